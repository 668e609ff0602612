package exec

import (
	"time"

	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
	"streamsql/state"
)

// watermark keeps the maximum of an expression over the rows of each partition. Rows
// pass through at once; those that are behind the watermark carry it in Batch.W,
// computed row by row, so that results do not depend on how rows were batched.
type watermark struct {
	n    *planner.Watermark
	ctx  *Context
	out  Output
	p    *Program
	dup  bool // the expression is the event-time column itself
	part []partition
	mark Mark // of the stream, with every row that was seen
	sent Mark
	now  vec.Time
	col  vec.Vec
	// origins says that every row is passed on with where it came from: an operator further on may find rows late
	// that are not behind this watermark (a union, whose watermark may be ahead of this one).
	origins bool
	// loading says that what comes is the content that the query starts from: one snapshot, of which no row is late.
	loading bool
}

// partition is the progress of one partition of the input.
type partition struct {
	max           vec.Time
	idle, ended   bool
	rows          int64
	nulls, future int64
	late          int64
	fresh         bool     // had rows since the last tick
	at            vec.Time // processing time of the tick after the last rows, or of the first tick
	seen          bool     // at is set
}

func newWatermark(n *planner.Watermark) (Operator, error) {
	return &watermark{n: n, mark: Mark{W: vec.MinTime}, sent: Mark{W: vec.MinTime}}, nil
}

func (o *watermark) Open(ctx *Context, out Output) error {
	o.ctx, o.out = ctx, out
	if c, ok := o.n.Expr.(*planner.Column); ok {
		o.dup = c.Index == o.n.Column
	}
	var err error
	o.p, err = CompileExprs(ctx, []planner.Expr{o.n.Expr}, o.n.Input.Schema())
	o.setPartitions(1)
	return err
}

// setPartitions adds partitions: active ones, which hold the watermark until they have rows.
func (o *watermark) setPartitions(n int) {
	for len(o.part) < n {
		o.part = append(o.part, partition{max: vec.MinTime})
	}
	o.combine()
}

func (o *watermark) combine() {
	marks := make([]Mark, len(o.part))
	for i := range o.part {
		marks[i] = o.part[i].mark()
	}
	o.mark = Combine(o.mark.W, marks)
}

func (p *partition) mark() Mark {
	if p.ended {
		return Mark{W: vec.MaxTime}
	}
	return Mark{W: p.max, Idle: p.idle}
}

// others gives the smallest maximum of the active partitions but k; MaxTime if there is none.
func (o *watermark) others(k int) vec.Time {
	w := vec.MaxTime
	for i := range o.part {
		if p := &o.part[i]; i != k && !p.idle && !p.ended {
			w = min(w, p.max)
		}
	}
	return w
}

func (o *watermark) clock() vec.Time {
	if o.ctx.Fn != nil && o.ctx.Fn.Clock != nil {
		return o.ctx.Fn.Clock()
	}
	if o.now != 0 {
		return o.now
	}
	return time.Now().UnixMicro()
}

func (o *watermark) Push(_ int, b *vec.Batch) error { return o.pushPartition(0, b) }

func (o *watermark) pushPartition(k int, b *vec.Batch) error {
	if k >= len(o.part) {
		o.setPartitions(k + 1)
	}
	p := &o.part[k]
	p.idle, p.fresh = false, true
	p.rows += int64(b.N)
	o.p.top.begin(nil, b.Cols, b.N)
	exp := o.p.top.get(o.p.roots[0])
	times := exp
	if !o.dup {
		o.col.View(b.Cols[o.n.Column])
		times = &o.col
	}
	limit := vec.MaxTime - 1
	if o.n.MaxFuture > 0 {
		limit = o.clock() + o.n.MaxFuture
	}
	w := o.observe(p, micros(exp), micros(times), exp, times, b, limit, o.others(k))
	if o.loading {
		w = nil
	} else {
		o.combine()
	}
	if w == nil && !o.origins {
		return o.out.Emit(b)
	}
	late := vec.NewBatch(b.Schema, b.Cols, b.Ops, b.N)
	late.W, late.From = w, newOrigin(o, k, b)
	for _, c := range late.Cols {
		c.Retain()
	}
	err := o.out.Emit(late)
	late.Release()
	return err
}

// micros gives the times of a timestamp or date column in microseconds.
func micros(v *vec.Vec) []vec.Time {
	if v.Kind == types.KindInt64 {
		return v.I64[:v.N]
	}
	out := make([]vec.Time, v.N)
	for i, d := range v.I32[:v.N] {
		switch d {
		case types.DatePosInfinity:
			out[i] = types.PosInfinity
		case types.DateNegInfinity:
			out[i] = types.NegInfinity
		default:
			out[i] = int64(d) * 86400e6
		}
	}
	return out
}

// observe moves p.max over the rows and gives the watermark before each of them, or
// nil if no row is behind the watermark before it. Deletes do not move it: their rows have been seen.
func (o *watermark) observe(p *partition, exp, times []vec.Time, ev, tv *vec.Vec, b *vec.Batch, limit, others vec.Time) []vec.Time {
	floor := o.mark.W
	if o.mark.W == vec.MaxTime { // ended, and yet there are rows: a partition was added
		floor = vec.MinTime
	}
	start := p.max
	if ev.Valid == nil && b.Ops == nil && start <= limit && advance(p, exp, times, floor, others, limit) {
		return nil
	}
	w, behind := start, false
	for i, e := range exp {
		behind = behind || times[i] < max(floor, min(w, others))
		if e > w && e <= limit && (b.Ops == nil || b.Ops[i] == vec.Insert) && !ev.IsNull(i) {
			w = e
		}
	}
	p.max = w
	o.count(p, exp, ev, limit)
	if !behind {
		return nil
	}
	out := make([]vec.Time, len(exp))
	w, behind = start, false
	for i, e := range exp {
		out[i] = max(floor, min(w, others))
		behind = behind || times[i] < out[i] && !tv.IsNull(i)
		if e > w && e <= limit && (b.Ops == nil || b.Ops[i] == vec.Insert) && !ev.IsNull(i) {
			w = e
		}
	}
	if !behind { // only slots of NULL rows looked so
		return nil
	}
	return out
}

// advance moves p.max over rows of which all are there, are inserts and are not
// beyond the limit, and none is behind the watermark before it: nearly every batch.
// Else it leaves p.max alone and reports false.
func advance(p *partition, exp, times []vec.Time, floor, others, limit vec.Time) bool {
	w := p.max
	mark := max(floor, min(w, others))
	times = times[:len(exp)]
	for i, e := range exp {
		if times[i] < mark {
			return false
		}
		if e > w {
			if e > limit {
				return false
			}
			w = e
			mark = max(floor, min(w, others))
		}
	}
	p.max = w
	return true
}

// count counts the rows that cannot move the watermark.
func (o *watermark) count(p *partition, exp []vec.Time, ev *vec.Vec, limit vec.Time) {
	var nulls, future int64
	if ev.Valid != nil {
		for i := range exp {
			if ev.IsNull(i) {
				nulls++
			}
		}
	}
	for i, e := range exp {
		if e > limit && !ev.IsNull(i) {
			future++
		}
	}
	p.nulls += nulls
	p.future += future
	if s := o.ctx.Stats; s != nil {
		s.NullTimes += nulls
		s.FutureRows += future
	}
}

// load says whether the rows that come are the content that the query starts from.
// Its end moves the watermark to where that content has it.
func (o *watermark) load(on bool) {
	o.loading = on
	if !on {
		o.combine()
	}
}

func (o *watermark) Advance(_ int, m Mark) error {
	if m.W == vec.MaxTime {
		return o.advancePartition(0, m)
	}
	return nil
}

func (o *watermark) advancePartition(k int, m Mark) error {
	if k >= len(o.part) {
		o.setPartitions(k + 1)
	}
	p := &o.part[k]
	if m.W == vec.MaxTime {
		p.ended = true
	} else {
		p.idle = m.Idle
	}
	o.combine()
	return o.pass()
}

// pass sends the mark if it has changed.
func (o *watermark) pass() error {
	if o.mark == o.sent {
		return nil
	}
	o.sent = o.mark
	return o.out.Watermark(o.mark)
}

func (o *watermark) Tick(t Tick) error {
	o.now = t.Now
	changed := false
	for i := range o.part {
		p := &o.part[i]
		if p.fresh || !p.seen {
			p.at, p.fresh, p.seen = t.Now, false, true
			continue
		}
		if o.n.IdleTimeout > 0 && !p.idle && !p.ended && t.Now-p.at >= o.n.IdleTimeout {
			p.idle, changed = true, true
		}
	}
	if !changed {
		return nil
	}
	o.combine()
	return o.pass()
}

// next gives the time at which a partition becomes idle.
func (o *watermark) next() vec.Time {
	next := vec.MaxTime
	if o.n.IdleTimeout == 0 {
		return next
	}
	for i := range o.part {
		if p := &o.part[i]; p.seen && !p.idle && !p.ended {
			next = min(next, p.at+o.n.IdleTimeout)
		}
	}
	return next
}

func (o *watermark) partitions() []PartitionMark {
	out := make([]PartitionMark, len(o.part))
	for i := range o.part {
		p := &o.part[i]
		m := PartitionMark{Partition: i, State: "active", W: p.max, Rows: p.rows, NullTimes: p.nulls, Future: p.future, Late: p.late, LastRowAt: p.at}
		switch {
		case p.ended:
			m.State, m.W = "finished", vec.MaxTime
		case p.idle:
			m.State = "idle"
		}
		if p.rows == 0 {
			m.LastRowAt = vec.MinTime
		}
		out[i] = m
	}
	return out
}

func (o *watermark) low() vec.Time {
	w := vec.MaxTime
	for i := range o.part {
		// Rows without any event time say nothing about how far the stream has come.
		if p := &o.part[i]; !p.ended && !p.idle && (p.rows == 0 || p.max != vec.MinTime) {
			w = min(w, p.max)
		}
	}
	return w
}

func (o *watermark) Snapshot(w *state.Writer) error {
	w.Uint64(uint64(len(o.part)))
	for i := range o.part {
		p := &o.part[i]
		w.Int64(p.max)
		w.Bool(p.idle)
		w.Bool(p.ended)
		w.Int64(p.rows)
		w.Int64(p.nulls)
		w.Int64(p.future)
		w.Int64(p.late)
		w.Int64(p.at)
		w.Bool(p.seen)
	}
	for _, m := range []Mark{o.mark, o.sent} {
		w.Int64(m.W)
		w.Bool(m.Idle)
	}
	return nil
}

func (o *watermark) Restore(r *state.Reader) error {
	n := r.Uint64()
	if n > uint64(r.Len()) {
		return errForeignState()
	}
	o.part = make([]partition, n)
	for i := range o.part {
		o.part[i] = partition{max: r.Int64(), idle: r.Bool(), ended: r.Bool(), rows: r.Int64(), nulls: r.Int64(), future: r.Int64(), late: r.Int64(), at: r.Int64(), seen: r.Bool()}
	}
	for _, m := range []*Mark{&o.mark, &o.sent} {
		m.W, m.Idle = r.Int64(), r.Bool()
	}
	return r.Err()
}

func (o *watermark) Close() error {
	if o.p != nil {
		o.p.Close()
	}
	return nil
}
