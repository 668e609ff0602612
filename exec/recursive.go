package exec

import (
	"streamsql/internal/vec"
	"streamsql/sql/planner"
	"streamsql/state"
)

// recursive is WITH RECURSIVE in a snapshot. The recursive term is a graph of its own, over the working table and
// the parts that do not read it. Where rows of the working table flow through that graph, it is kept and each iteration is pushed
// in; else it is built anew for each. A call of produce moves one batch, so that a query ends as soon as it has enough rows, and can be cancelled.
type recursive struct {
	n      *planner.Recursive
	ctx    *Context
	out    Output
	flows  bool // rows of the working table flow through the term
	static [][]*vec.Batch
	seen   groupTable // the rows given so far, of UNION
	work   []*vec.Batch
	next   []*vec.Batch
	term   *termGraph
	given  *Collector // what the term gives
	ended  bool
	views  []vec.Vec
	ids    []uint32
	bytes  int64 // of static, work and next
}

// termGraph is the graph of a recursive term, with the places where its leaves come in.
type termGraph struct {
	g       *Graph
	working *fan
	static  []*fan
}

func newRecursive(n *planner.Recursive) (Operator, error) {
	return &recursive{n: n, static: make([][]*vec.Batch, len(n.Static)), given: NewCollector(), flows: flowsThrough(n.Term, n.Working)}, nil
}

// flowsThrough reports whether rows of w come out of n batch by batch, whatever came before.
func flowsThrough(n planner.Node, w *planner.WorkingTable) bool {
	if n == planner.Node(w) {
		return true
	}
	switch n := n.(type) {
	case *planner.Calc:
		return flowsThrough(n.Input, w)
	case *planner.ProjectSet:
		return flowsThrough(n.Input, w)
	case *planner.TableFunc:
		return n.Input != nil && flowsThrough(n.Input, w)
	case *planner.Join:
		switch n.Type {
		case planner.InnerJoin, planner.LeftJoin, planner.SemiJoin, planner.AntiJoin:
			return flowsThrough(n.Left, w) && !readsNode(n.Right, w)
		}
	}
	return false
}

func readsNode(n planner.Node, w *planner.WorkingTable) bool {
	if n == planner.Node(w) {
		return true
	}
	for _, in := range n.Inputs() {
		if readsNode(in, w) {
			return true
		}
	}
	return false
}

// buildTerm makes the graph of a recursive term over its leaves.
func buildTerm(ctx *Context, n *planner.Recursive, out Output) (*termGraph, error) {
	own := *ctx
	own.Memory, own.Stepped = nil, false // a round is not the end of the input: its operators keep their state in memory
	own.Parallel = 1
	b := builder{g: &Graph{ctx: &own}, made: map[planner.Node]*fan{}, scans: map[*planner.Scan]int{}}
	t := &termGraph{g: b.g, working: new(fan)}
	b.made[n.Working] = t.working
	for _, s := range n.Static {
		f := new(fan)
		t.static = append(t.static, f)
		b.made[s] = f
	}
	top, err := b.build(n.Term)
	if err == nil {
		top.sink = out
		err = b.open()
	}
	if err != nil {
		b.g.Close()
		return nil, err
	}
	return t, nil
}

// Open implements Operator.
func (r *recursive) Open(ctx *Context, out Output) error {
	r.ctx, r.out = ctx, out
	if !r.n.All {
		r.seen = newGroups(ctx.Alloc, schemaTypes(r.n.Schema()))
	}
	return nil
}

// Push implements Operator: rows of the base are the first working table, the others wait for the iterations.
func (r *recursive) Push(input int, b *vec.Batch) error {
	if input > 0 {
		r.static[input-1] = append(r.static[input-1], b.Retain())
		r.bytes += b.Bytes()
		return nil
	}
	return r.give(b)
}

// give sends the rows of a batch that are new and keeps them for the next iteration.
func (r *recursive) give(b *vec.Batch) error {
	var o *vec.Batch
	if r.seen != nil {
		r.views = b.Views(r.views)
		r.ids = growSide(r.ids[:0], 0, b.N)
		known := uint32(r.seen.Len())
		r.seen.Intern(r.views, r.ids)
		var sel []int32
		for i, id := range r.ids {
			if id >= known {
				sel = append(sel, int32(i))
				known = id + 1 // ids are given in the order of first appearance
			}
		}
		if len(sel) == 0 {
			return nil
		}
		o = b.Select(r.ctx.Alloc, sel)
		o.Schema = r.n.Schema()
	} else {
		o = vec.NewBatch(r.n.Schema(), b.Cols, nil, b.N)
		for _, c := range o.Cols {
			c.Retain()
		}
	}
	r.next = append(r.next, o)
	r.bytes += o.Bytes()
	return r.out.Emit(o)
}

// Advance implements Operator: produce comes when all inputs have ended.
func (r *recursive) Advance(int, Mark) error { return nil }

func (r *recursive) start() error {
	for {
		if more, err := r.produce(); err != nil || !more {
			return err
		}
	}
}

// produce moves one batch of the working table through the term.
func (r *recursive) produce() (bool, error) {
	if r.ended {
		return false, nil
	}
	if len(r.work) == 0 {
		if err := r.finishIteration(); err != nil {
			return false, err
		}
		r.work, r.next = r.next, nil
		if len(r.work) == 0 || outputSated(r.out) {
			r.ended = true
			return false, r.out.Watermark(Mark{W: vec.MaxTime})
		}
	}
	if r.term == nil {
		t, err := buildTerm(r.ctx, r.n, r.given)
		if err != nil {
			return false, err
		}
		r.term = t
		for i, f := range t.static {
			for _, b := range r.static[i] {
				if err := f.Emit(b); err != nil {
					return false, err
				}
			}
			if err := f.Watermark(Mark{W: vec.MaxTime}); err != nil {
				return false, err
			}
		}
	}
	b := r.work[0]
	r.work[0] = nil
	r.work = r.work[1:]
	err := r.term.working.Emit(b)
	r.bytes -= b.Bytes()
	b.Release()
	if err == nil {
		err = r.take()
	}
	return true, err
}

// finishIteration ends a term that is built anew for each iteration.
func (r *recursive) finishIteration() error {
	if r.term == nil || r.flows {
		return nil
	}
	err := r.term.working.Watermark(Mark{W: vec.MaxTime})
	if err == nil {
		err = r.term.g.startLeaves(len(r.term.g.inputs)) // a recursive query inside the term
	}
	if err == nil {
		err = r.take()
	}
	if e := r.term.g.Close(); err == nil {
		err = e
	}
	r.term = nil
	return err
}

// take gives what the term has given.
func (r *recursive) take() error {
	for b := r.given.Next(); b != nil; b = r.given.Next() {
		err := r.give(b)
		b.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// Tick implements Operator.
func (r *recursive) Tick(Tick) error { return nil }

// Snapshot implements Operator. Recursive queries are snapshots, which are over at their only tick.
func (r *recursive) Snapshot(w *state.Writer) error {
	w.Bool(r.ended)
	return nil
}

// Restore implements Operator.
func (r *recursive) Restore(rd *state.Reader) error {
	r.ended = rd.Bool()
	return rd.Err()
}

// Close implements Operator.
func (r *recursive) Close() error {
	var err error
	if r.term != nil {
		err = r.term.g.Close()
		r.term = nil
	}
	r.given.Close()
	for _, list := range append(r.static, r.work, r.next) {
		for _, b := range list {
			b.Release()
		}
	}
	r.static, r.work, r.next = nil, nil, nil
	if r.seen != nil {
		r.seen.Close()
		r.seen = nil
	}
	for i := range r.views {
		r.views[i].Release()
	}
	return err
}

var _ producer = (*recursive)(nil)
