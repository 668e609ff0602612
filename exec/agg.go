package exec

import (
	"slices"

	"streamsql/internal/fn"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
	"streamsql/state"
)

// aggPlan is what the states of a list of aggregate calls share: how they are
// made, which columns feed them, and scratch. It belongs to one operator.
type aggPlan struct {
	calls []planner.AggCall
	opts  []fn.AggOptions
	kinds []types.Kind // of the results
	// inputs are the columns that each call is fed: its arguments, then the columns of its ORDER BY.
	inputs [][]int
	types  [][]types.T // of inputs

	sel  []int32
	ids  []uint32
	ops  []vec.Op
	args []*vec.Vec
	tmp  []vec.Vec
	all  []uint32 // 0, 1, 2, ..: see iota
}

func newAggPlan(ctx *Context, in *vec.Schema, calls []planner.AggCall, retract bool) *aggPlan {
	p := &aggPlan{calls: calls}
	widest := 0
	for i := range calls {
		o := calls[i].Options
		o.Retract = retract
		o.Ctx = ctx.Fn
		p.opts = append(p.opts, o)
		p.kinds = append(p.kinds, o.Ret.Kind())
		cols := slices.Clone(calls[i].Args)
		for _, k := range calls[i].OrderBy {
			cols = append(cols, k.Col)
		}
		ts := make([]types.T, len(cols))
		for j, c := range cols {
			ts[j] = in.Fields[c].Type
		}
		p.inputs, p.types = append(p.inputs, cols), append(p.types, ts)
		widest = max(widest, len(cols))
	}
	p.tmp = make([]vec.Vec, widest)
	for i := range p.tmp {
		p.tmp[i].SetAllocator(ctx.Alloc)
	}
	return p
}

// columns marks the input columns that the calls read.
func (p *aggPlan) columns(used []bool) {
	for i := range p.calls {
		for _, c := range p.inputs[i] {
			used[c] = true
		}
		if f := p.calls[i].Filter; f >= 0 {
			used[f] = true
		}
	}
}

func (p *aggPlan) release() {
	for i := range p.tmp {
		p.tmp[i].Release()
	}
}

// iota gives 0..n-1. The slice is shared and must not be changed.
func (p *aggPlan) iota(n int) []uint32 {
	for i := len(p.all); i < n; i++ {
		p.all = append(p.all, uint32(i))
	}
	return p.all[:n]
}

// aggStates are the states of all calls for the groups of one table.
type aggStates struct {
	plan *aggPlan
	aggs []fn.Aggregate
	n    int
}

func (p *aggPlan) newStates(alloc vec.Allocator) *aggStates {
	s := &aggStates{plan: p, aggs: make([]fn.Aggregate, len(p.calls))}
	for i := range p.calls {
		s.aggs[i] = newAggCall(alloc, &p.calls[i], p.opts[i], p.types[i])
	}
	return s
}

// newAggCall makes the state of one call, with what ORDER BY and DISTINCT need around it.
func newAggCall(alloc vec.Allocator, c *planner.AggCall, o fn.AggOptions, ts []types.T) fn.Aggregate {
	inner := o
	if c.Agg.Ordered && (len(c.OrderBy) > 0 || c.Agg.WithinGroup || c.Distinct || o.Retract) {
		inner.Retract = false // it is fed anew for each result
		a := newOrderedAgg(c, inner, ts)
		a.SetAllocator(alloc)
		if c.Distinct {
			return newDistinctAgg(alloc, a, ts)
		}
		return a
	}
	if c.Distinct {
		return newDistinctAgg(alloc, c.Agg.New(inner), ts)
	}
	return c.Agg.New(inner)
}

func (s *aggStates) grow(n int) {
	if n <= s.n {
		return
	}
	s.n = max(n, 2*s.n, 64)
	for _, a := range s.aggs {
		a.Grow(s.n)
	}
}

// update adds the n rows of cols, the input's columns, to the groups ids.
func (s *aggStates) update(ids []uint32, cols []vec.Vec, ops []vec.Op) {
	for i, a := range s.aggs {
		s.plan.feed(a, i, ids, cols, ops)
	}
}

// feed gives one aggregate the rows that its FILTER and NULLs leave.
func (p *aggPlan) feed(a fn.Aggregate, call int, ids []uint32, cols []vec.Vec, ops []vec.Op) {
	c := &p.calls[call]
	sel, all := p.choose(c, cols, len(ids))
	args := p.args[:0]
	if all {
		for _, x := range p.inputs[call] {
			args = append(args, &cols[x])
		}
		p.args = args
		a.Update(ids, args, ops)
		return
	}
	if len(sel) == 0 {
		return
	}
	for j, x := range p.inputs[call] {
		t := &p.tmp[j]
		t.Reset(cols[x].Kind, 0)
		t.Gather(&cols[x], sel)
		args = append(args, t)
	}
	p.args = args
	ids, ops = p.pick(sel, ids, ops)
	a.Update(ids, args, ops)
}

// pick gathers ids and ops by sel into scratch.
func (p *aggPlan) pick(sel []int32, ids []uint32, ops []vec.Op) ([]uint32, []vec.Op) {
	p.ids = p.ids[:0]
	for _, r := range sel {
		p.ids = append(p.ids, ids[r])
	}
	if ops == nil {
		return p.ids, nil
	}
	p.ops = p.ops[:0]
	for _, r := range sel {
		p.ops = append(p.ops, ops[r])
	}
	return p.ids, p.ops
}

// choose lists the rows that a call takes; all says that it is every one of the n.
func (p *aggPlan) choose(c *planner.AggCall, cols []vec.Vec, n int) (sel []int32, all bool) {
	nulls := false
	if c.Agg.SkipNulls {
		for _, a := range c.Args {
			nulls = nulls || cols[a].Valid != nil
		}
	}
	if c.Filter < 0 && !nulls {
		return nil, true
	}
	sel = p.sel[:0]
	if c.Filter >= 0 {
		f := &cols[c.Filter]
		for i, ok := range f.Bools[:n] {
			if ok && !f.IsNull(i) {
				sel = append(sel, int32(i))
			}
		}
	} else {
		for i := range n {
			sel = append(sel, int32(i))
		}
	}
	if nulls {
		for _, a := range c.Args {
			v := &cols[a]
			if v.Valid == nil {
				continue
			}
			kept := sel[:0]
			for _, r := range sel {
				if !v.IsNull(int(r)) {
					kept = append(kept, r)
				}
			}
			sel = kept
		}
	}
	p.sel = sel
	return sel, len(sel) == n
}

// results appends the values of ids to out, a column for each call.
func (s *aggStates) results(ids []uint32, out []vec.Vec) {
	for i, a := range s.aggs {
		a.Result(ids, &out[i])
	}
}

func (s *aggStates) merge(dst []uint32, from *aggStates, src []uint32) {
	for i, a := range s.aggs {
		a.Merge(dst, from.aggs[i], src)
	}
}

func (s *aggStates) clear(ids []uint32) {
	for _, a := range s.aggs {
		a.Clear(ids)
	}
}

// reset empties all groups.
func (s *aggStates) reset() { s.clear(s.plan.iota(s.n)) }

func (s *aggStates) close() {
	for _, a := range s.aggs {
		if c, ok := a.(interface{ Close() }); ok {
			c.Close()
		}
	}
}

func (s *aggStates) snapshot(ids []uint32, w *state.Writer) {
	for _, a := range s.aggs {
		a.Snapshot(ids, w)
	}
}

func (s *aggStates) restore(ids []uint32, r *state.Reader) error {
	for _, a := range s.aggs {
		if err := a.Restore(ids, r); err != nil {
			return err
		}
	}
	return r.Err()
}
