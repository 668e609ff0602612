package exec

import (
	"streamsql/internal/vec"
	"streamsql/sql/planner"
	"streamsql/state"
)

// leaf is the part that operators without input share: they send their rows once and end.
type leaf struct {
	ctx  *Context
	out  Output
	done bool
}

func (l *leaf) Open(ctx *Context, out Output) error {
	l.ctx, l.out = ctx, out
	return nil
}

func (l *leaf) Push(int, *vec.Batch) error { return nil }

func (l *leaf) Advance(int, Mark) error { return nil }

func (l *leaf) Tick(Tick) error { return nil }

func (l *leaf) Snapshot(w *state.Writer) error {
	w.Bool(l.done)
	return nil
}

func (l *leaf) Restore(r *state.Reader) error {
	l.done = r.Bool()
	return r.Err()
}

func (l *leaf) Close() error { return nil }

// run sends what rows appends to a builder, in batches, and then the end.
func (l *leaf) run(s *vec.Schema, rows func(b *vec.Builder, flush func() error) error) error {
	if l.done {
		return nil
	}
	l.done = true
	b := vec.NewBuilder(l.ctx.Alloc, s)
	defer b.Release()
	flush := func() error {
		if b.Len() == 0 {
			return nil
		}
		batch := b.Finish()
		defer batch.Release()
		return l.out.Emit(batch)
	}
	if err := rows(b, flush); err != nil {
		return err
	}
	if err := flush(); err != nil {
		return err
	}
	return l.out.Watermark(Mark{W: vec.MaxTime})
}

// values sends rows of constants.
type values struct {
	leaf
	n *planner.Values
}

func newValues(n *planner.Values) (Operator, error) { return &values{n: n}, nil }

func (v *values) start() error {
	return v.run(v.n.Schema(), func(b *vec.Builder, flush func() error) error {
		for _, row := range v.n.Rows {
			for c, e := range row {
				d, err := EvalConst(v.ctx.Fn, e)
				if err != nil {
					return err
				}
				b.Cols[c].AppendDatum(d)
			}
			b.AppendOp(vec.Insert)
			if b.Len() >= vec.MaxRows {
				if err := flush(); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// given sends rows that are at hand.
type given struct {
	leaf
	n *planner.Given
}

func (g *given) start() error {
	if g.done {
		return nil
	}
	g.done = true
	for _, b := range g.n.Rows {
		if err := g.out.Emit(b); err != nil {
			return err
		}
	}
	return g.out.Watermark(Mark{W: vec.MaxTime})
}
