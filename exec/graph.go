package exec

import (
	"errors"

	"streamsql/internal/mem"
	"streamsql/internal/pgerr"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
	"streamsql/state"
)

// ErrFinished is what Push, Advance and Tick return once the query has given all
// its rows although its input goes on (LIMIT after EMIT). Those rows have been emitted.
var ErrFinished = errors.New("exec: the query has given all its rows")

// Input is a leaf of a graph: where the rows of a Scan come in.
type Input struct {
	Scan *planner.Scan
	// Watermarked says that a Watermark operator stands behind it: rows are pushed by partition.
	Watermarked bool
}

// Graph is a plan being run: its operators, wired by direct calls, and the inputs that
// feed them. It is used by one goroutine. After an error only Close may be called.
type Graph struct {
	ctx    *Context
	stages []*stage // in topological order: inputs of a stage come before it
	inputs []*input
	infos  []*Input
	leaves []*stage // operators without input that have not been started, by order
	timers []timer
	begun  bool
	quiet  silence
}

// timer is an operator that must be ticked at some time although nothing is pushed.
type timer interface {
	// next gives the time of the next Tick that the operator needs, MaxTime for none.
	next() vec.Time
}

// starter is an operator without an input: start sends its rows and MaxTime. A restored one that had started does nothing.
type starter interface{ start() error }

// partitioned is an operator that must know of which partition rows are.
type partitioned interface {
	setPartitions(n int)
	pushPartition(partition int, b *vec.Batch) error
	advancePartition(partition int, m Mark) error
	// pass sends the mark as it is now.
	pass() error
	// load says whether rows that come are the content that the query starts from.
	load(on bool)
	partitions() []PartitionMark
	// low gives the smallest watermark of the active partitions, MaxTime if there is none.
	low() vec.Time
}

// stage is an operator and its place in the graph.
type stage struct {
	node  planner.Node
	op    Operator
	out   fan
	order int // of a leaf: how many inputs are read before it
	size  sizer
	acct  *mem.Account // of size; nil where the operator reports itself
}

// weigh reports what the operators hold. The query ends where that is too much.
func (g *Graph) weigh() error {
	if g.ctx.Memory == nil {
		return nil
	}
	for _, s := range g.stages {
		if s.acct == nil {
			if err := s.out.acct.Exhausted(); err != nil {
				return err
			}
			continue
		}
		s.acct.Set(s.size.stateBytes())
		if err := s.acct.Check(); err != nil {
			return err
		}
	}
	return nil
}

// edge is where the output of a stage goes.
type edge struct {
	op   Operator
	port int
	name string // of the operator, for messages
}

// in tells the query's account, where a panic unwinds, in which operator that was.
func in(acct *mem.Account, name string, done *bool) {
	if !*done {
		acct.In(name)
	}
}

func (e *edge) push(acct *mem.Account, b *vec.Batch) error {
	done := false
	defer in(acct, e.name, &done)
	err := e.op.Push(e.port, b)
	done = true
	return err
}

func (e *edge) advance(acct *mem.Account, m Mark) error {
	done := false
	defer in(acct, e.name, &done)
	err := e.op.Advance(e.port, m)
	done = true
	return err
}

// run calls f, which is a step of the operator of s.
func (s *stage) run(f func() error) error {
	done := false
	if s.out.acct != nil {
		defer in(s.out.acct, s.out.acct.Name(), &done)
	}
	err := f()
	done = true
	return err
}

// fan is the Output of an operator: it hands everything to each consumer in turn.
type fan struct {
	edges []edge
	sink  Output // the graph's own output, at the root
	acct  *mem.Account
}

// Emit implements Output.
func (f *fan) Emit(b *vec.Batch) error {
	if b.N == 0 {
		return nil
	}
	// Whatever an operator does not count is seen here, also within a step.
	if err := f.acct.Exhausted(); err != nil {
		return err
	}
	for i := range f.edges {
		if err := f.edges[i].push(f.acct, b); err != nil {
			return err
		}
	}
	if f.sink != nil {
		return f.sink.Emit(b)
	}
	return nil
}

// Watermark implements Output.
func (f *fan) Watermark(m Mark) error {
	for i := range f.edges {
		if err := f.edges[i].advance(f.acct, m); err != nil {
			return err
		}
	}
	if f.sink != nil {
		return f.sink.Watermark(m)
	}
	return nil
}

// input is the state of an Input. Without a Watermark operator its stream has no event time: it holds nobody back until it ends.
type input struct {
	info  *Input
	out   fan
	by    []partitioned // the consumers that take rows by partition; out has the others
	ended []bool
	done  bool
}

// Inputs gives the inputs, in an order such that reading input i of a bounded snapshot
// to its end before i+1 lets hash joins build their right side first.
func (g *Graph) Inputs() []*Input { return g.infos }

// SetPartitions says how many partitions an input has. A partition without rows yet is active and holds the watermark.
func (g *Graph) SetPartitions(in, n int) {
	p := g.inputs[in]
	for len(p.ended) < n {
		p.ended = append(p.ended, false)
		p.done = false
	}
	for _, op := range p.by {
		op.setPartitions(n)
	}
}

// Load says that what is pushed to an input from now on is the content that the query starts from (on), or that this
// content has been pushed. It is one snapshot: it has no order in time, none of its rows is late, and
// the watermark stands where all of it has it, once it is over.
func (g *Graph) Load(in int, on bool) {
	for _, op := range g.inputs[in].by {
		op.load(on)
	}
}

// begin tells the operators of the inputs without event time; it comes after Restore, before anything else.
func (g *Graph) begin() error {
	g.begun = true
	for _, in := range g.inputs {
		if in.done {
			continue
		}
		if err := in.out.Watermark(Mark{W: vec.MinTime, Idle: true}); err != nil {
			return err
		}
	}
	return nil
}

// startLeaves starts the operators without input that come before input order.
func (g *Graph) startLeaves(order int) error {
	if !g.begun {
		if err := g.begin(); err != nil {
			return err
		}
	}
	for len(g.leaves) > 0 && g.leaves[0].order <= order {
		s := g.leaves[0]
		g.leaves = g.leaves[1:]
		if err := s.run(s.op.(starter).start); err != nil {
			return err
		}
	}
	return nil
}

// Push gives rows of a partition of an input. The batch is borrowed.
func (g *Graph) Push(in, partition int, b *vec.Batch) error {
	if b.N == 0 {
		return nil
	}
	if len(g.leaves) > 0 || !g.begun {
		if err := g.startLeaves(in); err != nil {
			return err
		}
	}
	if g.ctx.Stats != nil {
		g.ctx.Stats.Rows += int64(b.N)
	}
	g.quiet.pushed = true
	p := g.inputs[in]
	for _, op := range p.by {
		if err := op.pushPartition(partition, b); err != nil {
			return err
		}
	}
	if err := p.out.Emit(b); err != nil {
		return err
	}
	return g.weigh()
}

// Advance says that a partition of an input has ended (m.W == MaxTime) or is idle. Its
// event time is not said here: the Watermark operator behind the input finds it in the rows.
func (g *Graph) Advance(in, partition int, m Mark) error {
	if len(g.leaves) > 0 || !g.begun {
		if err := g.startLeaves(in); err != nil {
			return err
		}
	}
	p := g.inputs[in]
	for _, op := range p.by {
		if err := op.advancePartition(partition, m); err != nil {
			return err
		}
	}
	if m.W != vec.MaxTime || p.done {
		return nil
	}
	p.ended[partition] = true
	for _, e := range p.ended {
		if !e {
			return nil
		}
	}
	p.done = true
	return p.out.Watermark(Mark{W: vec.MaxTime})
}

// Tick ends a step: marks go out, then every operator sends its net changes.
func (g *Graph) Tick(t Tick) error {
	if len(g.leaves) > 0 || !g.begun {
		if err := g.startLeaves(len(g.inputs)); err != nil {
			return err
		}
	}
	for _, in := range g.inputs {
		for _, op := range in.by {
			if err := op.pass(); err != nil {
				return err
			}
		}
	}
	if g.quiet.timeout > 0 && g.quiet.tick(t.Now) {
		if err := g.closeOpen(t); err != nil {
			return err
		}
	}
	for _, s := range g.stages {
		if err := s.run(func() error { return s.op.Tick(t) }); err != nil {
			return err
		}
	}
	return nil
}

// NextTimer gives the processing time at which the graph wants a Tick although nothing was pushed; MaxTime for none.
func (g *Graph) NextTimer() vec.Time {
	next := vec.MaxTime
	for _, t := range g.timers {
		next = min(next, t.next())
	}
	return next
}

// PartitionMark is what is known of one partition of an input with a watermark.
type PartitionMark struct {
	Partition int
	State     string // active, idle or finished
	W         vec.Time
	Rows      int64
	NullTimes int64
	Future    int64 // rows with infinity or beyond max_future, which did not advance the watermark
	Late      int64 // rows that came too late for every window of the query
	LastRowAt vec.Time
}

// Watermark gives the marks of the partitions of an input; none where no Watermark operator stands behind it.
func (g *Graph) Watermark(in int) (parts []PartitionMark) {
	for _, op := range g.inputs[in].by {
		return op.partitions()
	}
	return nil
}

// Low gives how far the event time of an input has come: the smallest watermark of its active partitions, MinTime before
// its first row. ok is false for an input without event time or with no active partition.
func (g *Graph) Low(in int) (w vec.Time, ok bool) {
	for _, op := range g.inputs[in].by {
		w = op.low()
		return w, w != vec.MaxTime
	}
	return vec.MinTime, false
}

// Snapshot writes the state of all operators. It may be called only directly after a Tick. w holds what the operators share with it until it has been read or
// reset, which has to be before the memory that they got is asked for; the graph may go on, and be closed, meanwhile.
func (g *Graph) Snapshot(w *state.Writer) error {
	w.Uint64(uint64(len(g.stages)))
	for _, s := range g.stages {
		var sub state.Writer
		err := s.op.Snapshot(&sub)
		w.Frames(&sub)
		if err != nil {
			return err
		}
	}
	w.Uint64(uint64(len(g.inputs)))
	for _, in := range g.inputs {
		w.Uint64(uint64(len(in.ended)))
		for _, e := range in.ended {
			w.Bool(e)
		}
		w.Bool(in.done)
	}
	st := Stats{}
	if g.ctx.Stats != nil {
		st = *g.ctx.Stats
	}
	for _, n := range []int64{st.Rows, st.LateRows, st.NullTimes, st.FutureRows} {
		w.Int64(n)
	}
	g.quiet.snapshot(w)
	return nil
}

// Restore reads what Snapshot of a graph of the same plan wrote. It comes before any row.
func (g *Graph) Restore(r *state.Reader) error {
	if r.Uint64() != uint64(len(g.stages)) {
		return errForeignState()
	}
	for _, s := range g.stages {
		sub := r.Frames()
		if err := s.op.Restore(sub); err != nil {
			return err
		}
		if !sub.End() {
			return foreignState(sub)
		}
	}
	if r.Uint64() != uint64(len(g.inputs)) {
		return errForeignState()
	}
	for _, in := range g.inputs {
		n := r.Uint64()
		if n > uint64(r.Len()) {
			return errForeignState()
		}
		in.ended = make([]bool, n)
		for i := range in.ended {
			in.ended[i] = r.Bool()
		}
		in.done = r.Bool()
	}
	st := Stats{Rows: r.Int64(), LateRows: r.Int64(), NullTimes: r.Int64(), FutureRows: r.Int64()}
	if g.ctx.Stats != nil && r.Err() == nil {
		*g.ctx.Stats = st
	}
	g.quiet.restore(r)
	return r.Err()
}

func errForeignState() error {
	return pgerr.New(pgerr.DataCorrupted, "operator state does not belong to this plan")
}

// foreignState is the error of state that was not read to its end.
func foreignState(r *state.Reader) error {
	if err := r.Err(); err != nil {
		return err
	}
	return errForeignState()
}

// Close frees the state of all operators.
func (g *Graph) Close() error {
	var first error
	for _, s := range g.stages {
		if err := s.op.Close(); err != nil && first == nil {
			first = err
		}
		s.acct.Close()
	}
	g.stages, g.leaves, g.timers = nil, nil, nil
	return first
}
