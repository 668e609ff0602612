package exec

import (
	"slices"

	"streamsql/internal/pgerr"
	"streamsql/internal/vec"
	"streamsql/sql/parser/ast"
	"streamsql/sql/planner"
	"streamsql/state"
)

// emit is the root of a continuous query: it gathers the changes of a tick and sends
// their net effect as EMIT asks. The first tick is the seam: what came before it is the
// content that the query starts from, what comes after it are changes.
type emit struct {
	n    *planner.Emit
	in   *vec.Schema // what is sent of the input
	spec *planner.EmitSpec
	ctx  *Context
	out  Output

	held  []*vec.Batch // of this tick
	now   changes      // of this tick, where they are sent at once
	pend  changes      // of earlier ticks, waiting for a timer
	when  timing       // nil: everything is sent at each tick
	ts    vec.Time     // the last _ts
	began bool         // the first tick is over
	ended bool         // the input has ended
	w     vec.Time     // the input's mark
	left  int64        // rows until LIMIT, -1 no limit

	told vec.Time // _ts of the last progress row
	done vec.Time // everything below has been sent
	// asked says that a progress row is due that could not be sent yet.
	asked bool
	some  bool // rows were sent since
	net   netter
}

// timing decides when pending changes are sent.
type timing interface {
	// before fires what was due before the tick, whose rows have not been added yet.
	before(e *emit, t Tick) error
	// added is told of the rows of the tick, which are pend's from row at on.
	added(e *emit, at int, t Tick)
	// after fires what is due at the tick, or everything if the input has ended.
	after(e *emit, t Tick) error
	next() vec.Time
	snapshot(e *emit, w *state.Writer) // before pend's
	restore(r *state.Reader)
	close()
}

func newEmit(n *planner.Emit) (Operator, error) {
	e := &emit{n: n, spec: &n.Spec, ts: vec.MinTime, told: vec.MinTime, w: vec.MinTime, left: n.Spec.Limit}
	e.in = &vec.Schema{Fields: n.Input.Schema().Fields[:n.Input.Schema().Len()-n.Spec.Hidden]}
	s := e.spec
	switch {
	case s.Trigger == ast.EmitOnUpdate && s.Batch > 0:
		e.when = &batchTiming{every: s.Batch}
	case s.Trigger == ast.EmitAfterDelay || s.Trigger == ast.EmitAfterDelayAndClose:
		e.when = newDelayTiming(s)
	case s.Trigger == ast.EmitPeriodic && (s.Fold || s.Envelope != planner.EnvelopePeriodic):
		e.when = &batchTiming{every: s.Period} // the net change of the period
	case s.Trigger == ast.EmitPeriodic:
		e.when = &periodTiming{every: s.Period, repeat: s.Repeat, due: vec.MinTime}
	}
	if want := e.in.Len() + e.prefix(); n.Schema().Len() != want {
		return nil, pgerr.New(pgerr.InternalError, "EMIT has %d columns instead of %d", n.Schema().Len(), want)
	}
	return e, nil
}

// prefix gives the number of columns before the select list.
func (e *emit) prefix() int {
	progress := 0
	if e.spec.Progress {
		progress = 1
	}
	switch {
	case e.spec.Fold:
		return 0
	case e.spec.Subscribe:
		return 3
	case e.spec.Envelope == planner.EnvelopeAppend:
		return 2 * progress // with progress, rows need a _ts too
	case e.spec.Envelope == planner.EnvelopePeriodic:
		return 1 + progress
	}
	return 2 + progress
}

func (e *emit) Open(ctx *Context, out Output) error {
	e.ctx, e.out = ctx, out
	e.now.init(ctx.Alloc, e.in)
	e.pend.init(ctx.Alloc, e.waits())
	e.net.init(ctx.Alloc, e.in)
	if p, ok := e.when.(*periodTiming); ok {
		p.content.init(ctx.Alloc, e.in)
	}
	return nil
}

func (e *emit) Push(_ int, b *vec.Batch) error {
	if e.spec.Envelope == planner.EnvelopeAppend && !e.spec.Subscribe && slices.Contains(b.Ops, vec.Delete) {
		return pgerr.New(pgerr.FeatureNotSupported, "an append-only result cannot take rows back").
			WithHint("Use EMIT CHANGES, or leave out AS APPEND.")
	}
	if e.prefix() > 0 || e.when != nil || e.spec.Fold {
		e.held = append(e.held, b.Retain())
		return nil
	}
	if !e.began && !e.spec.Snapshot {
		return nil
	}
	out := vec.NewBatch(e.n.Schema(), b.Cols, nil, b.N)
	for _, c := range out.Cols {
		c.Retain()
	}
	return e.send(out)
}

// send releases b after sending as much of it as LIMIT allows.
func (e *emit) send(b *vec.Batch) error {
	defer b.Release()
	e.some = true
	if e.left < 0 {
		return e.out.Emit(b)
	}
	n := min(int64(b.N), e.left)
	e.left -= n
	if n > 0 {
		s := b.Slice(e.ctx.Alloc, 0, int(n))
		err := e.out.Emit(s)
		s.Release()
		if err != nil {
			return err
		}
	}
	if e.left == 0 {
		return ErrFinished
	}
	return nil
}

func (e *emit) Advance(_ int, m Mark) error {
	e.w = m.W
	if m.W == vec.MaxTime {
		e.ended = true
	}
	return e.out.Watermark(m)
}

func (e *emit) Tick(t Tick) error {
	if e.left == 0 {
		return ErrFinished
	}
	first := !e.began
	e.began = true
	err := e.tick(t, first)
	e.drop()
	if err != nil || !e.spec.Progress || e.prefix() == 0 {
		return err
	}
	return e.progress(t)
}

func (e *emit) tick(t Tick, first bool) error {
	if first && !e.spec.Snapshot {
		if p, ok := e.when.(*periodTiming); ok { // later results are whole ones
			return p.absorb(e, t)
		}
		return nil
	}
	if e.when == nil || first && e.pend.len() == 0 && !e.periodic() {
		return e.sendHeld(e.stamp(t.Now))
	}
	if err := e.when.before(e, t); err != nil {
		return err
	}
	at := e.pend.len()
	for _, b := range e.held {
		e.pend.add(b)
	}
	e.when.added(e, at, t)
	return e.when.after(e, t)
}

func (e *emit) periodic() bool {
	_, ok := e.when.(*periodTiming)
	return ok
}

// stamp gives the next _ts, at now or just after the last one.
func (e *emit) stamp(now vec.Time) vec.Time { return max(now, e.ts+1) }

// sendHeld sends the net changes of the tick. Inserts alone need no netting.
func (e *emit) sendHeld(ts vec.Time) error {
	deletes := false
	rows := 0
	for _, b := range e.held {
		rows += b.N
		for _, op := range b.Ops {
			deletes = deletes || op == vec.Delete
		}
	}
	if rows == 0 {
		return nil
	}
	e.ts = ts
	if !deletes {
		for len(e.held) > 0 {
			b := e.held[0]
			e.held = e.held[1:]
			err := e.sendInserts(b, ts)
			b.Release()
			if err != nil {
				return err
			}
		}
		return nil
	}
	for _, b := range e.held {
		e.now.add(b)
	}
	defer e.now.clear()
	return e.sendNet(&e.now, ts)
}

// sendNet sends the net effect of c.
func (e *emit) sendNet(c *changes, ts vec.Time) error {
	e.net.run(c)
	if len(e.net.dels)+len(e.net.ins) == 0 {
		return nil
	}
	e.ts = ts
	return e.render(c, ts)
}

func (e *emit) drop() {
	for _, b := range e.held {
		b.Release()
	}
	clear(e.held)
	e.held = e.held[:0]
}

// next implements timer.
func (e *emit) next() vec.Time {
	next := vec.MaxTime
	if e.when != nil {
		next = e.when.next()
	}
	if e.spec.Progress {
		next = min(next, e.nextProgress())
	}
	return next
}

func (e *emit) Snapshot(w *state.Writer) error {
	w.Int64(e.ts)
	w.Int64(e.told)
	w.Int64(e.left)
	w.Int64(e.w)
	w.Bool(e.began)
	w.Bool(e.ended)
	w.Bool(e.some)
	if e.when != nil {
		e.when.snapshot(e, w)
	}
	e.pend.snapshot(w)
	return nil
}

func (e *emit) Restore(r *state.Reader) error {
	e.ts, e.told, e.left, e.w = r.Int64(), r.Int64(), r.Int64(), r.Int64()
	e.began, e.ended, e.some = r.Bool(), r.Bool(), r.Bool()
	if e.when != nil {
		e.when.restore(r)
	}
	e.pend.restore(r)
	if d, ok := e.when.(*delayTiming); ok && r.Err() == nil {
		return d.rearm(e)
	}
	return r.Err()
}

func (e *emit) Close() error {
	e.drop()
	e.now.close()
	e.pend.close()
	e.net.close()
	if e.when != nil {
		e.when.close()
	}
	return nil
}
