package exec

import (
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
	"streamsql/state"
	"streamsql/window"
)

func newAggregate(n *planner.Aggregate) (Operator, error) {
	switch {
	case n.Window != nil && n.Window.Kind == window.Session:
		return newSessionAggregate(n)
	case n.Window != nil && n.Window.Kind != window.Tumble:
		return &slicedAggregate{n: n}, nil
	case n.Window != nil:
		return &windowAggregate{n: n}, nil
	case n.CloseKey >= 0 && (n.OnClose || n.FreeLate):
		return &windowAggregate{n: n}, nil
	}
	return &groupAggregate{n: n}, nil
}

// newGroupPlan makes what the group sets of an aggregate node share.
func newGroupPlan(n *planner.Aggregate, ctx *Context, out Output) *groupPlan {
	in := n.Input.Schema().Fields
	p := &groupPlan{
		ctx: ctx, out: out, schema: n.Schema(), keys: n.Keys, windowed: n.Window != nil,
		retract: ctx.Continuous && n.Input.Props().Retracts,
		always:  len(n.Keys) == 0 && n.Window == nil && !n.Grouped,
	}
	for _, k := range n.Keys {
		p.keyTypes = append(p.keyTypes, in[k].Type)
	}
	p.w = vec.MinTime
	p.aggs = newAggPlan(ctx, n.Input.Schema(), n.Aggs, p.retract)
	p.init()
	return p
}

// groupAggregate is GROUP BY without windows: groups live as long as they have rows.
type groupAggregate struct {
	n     *planner.Aggregate
	ctx   *Context
	out   Output
	plan  *groupPlan
	set   *groupSet
	views []vec.Vec
	mark  Mark
	held  bool // mark waits for the next flush
	done  bool
}

func (a *groupAggregate) Open(ctx *Context, out Output) error {
	a.ctx, a.out = ctx, out
	a.plan = newGroupPlan(a.n, ctx, out)
	a.set = a.plan.take(window.Window{})
	a.set.track = ctx.Continuous
	return nil
}

func (a *groupAggregate) Push(_ int, b *vec.Batch) error {
	a.views = b.Views(a.views)
	a.plan.behind = a.plan.behind || b.W != nil
	a.set.add(a.views, b.N, b.Ops)
	return nil
}

func (a *groupAggregate) Advance(_ int, m Mark) error {
	if !a.ctx.Continuous {
		if m.W != vec.MaxTime || a.done {
			return nil
		}
		a.done = true
		if err := a.set.emitAll(false); err != nil {
			return err
		}
		return a.out.Watermark(m)
	}
	// The mark waits for the changes that came before it, so that they stay one net change.
	a.mark, a.held = m, true
	if m.W == vec.MaxTime || len(a.set.dirty) == 0 && !a.unborn() {
		return a.flush()
	}
	return nil
}

// unborn says that the row of a global aggregate has not been sent yet.
func (a *groupAggregate) unborn() bool { return a.plan.always && !a.set.started }

func (a *groupAggregate) flush() error {
	if a.unborn() && len(a.set.dirty) == 0 {
		a.set.groups.Intern(nil, make([]uint32, 1))
		a.set.grow()
		a.set.touch([]uint32{0}, 0)
	}
	if err := a.set.flush(); err != nil {
		return err
	}
	if !a.held {
		return nil
	}
	a.held = false
	a.plan.w = a.mark.W
	return a.out.Watermark(a.mark)
}

func (a *groupAggregate) Tick(Tick) error {
	if !a.ctx.Continuous {
		return nil
	}
	return a.flush()
}

func (a *groupAggregate) Snapshot(w *state.Writer) error {
	a.set.snapshot(w)
	return nil
}

func (a *groupAggregate) Restore(r *state.Reader) error { return a.set.restore(r) }

func (a *groupAggregate) Close() error {
	releaseViews(a.views)
	if a.plan != nil {
		a.set.close()
		a.plan.release()
	}
	return nil
}

// releaseViews drops views' scratch.
func releaseViews(v []vec.Vec) {
	for i := range v {
		v[i].Release()
	}
}

// timesOf gives a time column as microseconds; NULLs give infinity.
func timesOf(v *vec.Vec, n int, scratch []vec.Time) []vec.Time {
	if v.Kind == types.KindInt64 && v.Valid == nil {
		return v.I64[:n]
	}
	t := scratch[:n]
	for i := range t {
		switch {
		case v.IsNull(i):
			t[i] = types.PosInfinity
		case v.Kind == types.KindInt32:
			ts, err := types.DateToTimestamp(v.I32[i])
			if err != nil {
				ts = types.PosInfinity
			}
			t[i] = ts
		default:
			t[i] = v.I64[i]
		}
	}
	return t
}
