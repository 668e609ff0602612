package exec

import (
	"streamsql/internal/vec"
	"streamsql/sql/planner"
	"streamsql/state"
)

// union is UNION ALL: it passes batches on and combines the watermarks of its inputs.
type union struct {
	n     *planner.Union
	ctx   *Context
	out   Output
	marks []Mark
	mark  Mark
}

func newUnion(n *planner.Union) (Operator, error) {
	u := &union{n: n, marks: make([]Mark, len(n.In)), mark: Mark{W: vec.MinTime}}
	for i := range u.marks {
		u.marks[i].W = vec.MinTime
	}
	return u, nil
}

func (u *union) Open(ctx *Context, out Output) error {
	u.ctx, u.out = ctx, out
	return nil
}

func (u *union) Push(in int, b *vec.Batch) error {
	w, changed := u.watermarks(in, b)
	if b.Schema == u.n.Schema() && !changed {
		return u.out.Emit(b)
	}
	o := vec.NewBatch(u.n.Schema(), b.Cols, b.Ops, b.N)
	o.W, o.From = w, b.From.Take(nil)
	for _, c := range o.Cols {
		c.Retain()
	}
	err := u.out.Emit(o)
	o.Release()
	return err
}

// watermarks gives the watermark of the union before each row: that of the row's own
// stream, held back by the other inputs, but never below what was sent.
func (u *union) watermarks(in int, b *vec.Batch) (w []vec.Time, changed bool) {
	if !u.ctx.Continuous {
		return nil, b.W != nil
	}
	others := vec.MaxTime
	for i, m := range u.marks {
		if i != in && !m.Idle && m.W != vec.MaxTime {
			others = min(others, m.W)
		}
	}
	own := u.marks[in].W
	if b.W == nil && u.mark.W <= own {
		return nil, false
	}
	// Its own stream may have been idle while the union went on: then rows are behind the union's mark.
	w = make([]vec.Time, b.N)
	for i := range w {
		x := own
		if b.W != nil {
			x = b.W[i]
		}
		w[i] = max(u.mark.W, min(x, others))
	}
	return w, true
}

func (u *union) Advance(in int, m Mark) error {
	u.marks[in] = m
	next := Combine(u.mark.W, u.marks)
	if next == u.mark {
		return nil
	}
	u.mark = next
	return u.out.Watermark(next)
}

func (u *union) Tick(Tick) error { return nil }

func (u *union) Snapshot(w *state.Writer) error {
	for _, m := range append(u.marks, u.mark) {
		w.Int64(m.W)
		w.Bool(m.Idle)
	}
	return nil
}

func (u *union) Restore(r *state.Reader) error {
	for i := range u.marks {
		u.marks[i] = Mark{W: r.Int64(), Idle: r.Bool()}
	}
	u.mark = Mark{W: r.Int64(), Idle: r.Bool()}
	return r.Err()
}

func (u *union) Close() error { return nil }
