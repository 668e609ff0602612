package exec

import (
	"math"
	"slices"

	"streamsql/internal/fn"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/parser/ast"
	"streamsql/sql/planner"
)

// overEval computes the calls of an Over node for a list of partitions, a call at a time.
type overEval struct {
	ctx     *Context
	order   *rowOrder
	calls   []*overCall
	frames  []*overFrame // those of the calls, equal ones once
	used    []bool       // input columns that are read
	cols    []vec.Vec    // the rows, columns that are not read are empty
	results []vec.Vec    // of each call
	aggs    *aggPlan

	n     int
	spans []overSpan
	// By row: the partition, its group of peers counted over all partitions, and where that group begins and ends.
	part, group    []int32
	peerLo, peerHi []int32
	starts         []int32 // where each group of peers begins
	sel            []int32
	tmp            vec.Vec
}

// overCall is one call with what belongs to it.
type overCall struct {
	planner.OverCall
	frame *overFrame
	agg   int // call of the aggPlan, -1 none
	state fn.Aggregate
	slide fn.Aggregate // takes rows back, nil where that is not exact
	args  []vec.Vec    // those of the rows that FILTER and NULLs leave
	upTo  []int32      // by row: how many of them come before it
}

func newOverEval(ctx *Context, n *planner.Over, order *rowOrder) (*overEval, error) {
	schema := n.Input.Schema()
	e := &overEval{ctx: ctx, order: order, used: make([]bool, schema.Len()), cols: make([]vec.Vec, schema.Len()), results: make([]vec.Vec, len(n.Calls))}
	for i := range e.cols {
		e.cols[i].SetAllocator(ctx.Alloc)
		e.cols[i].Reset(schema.Fields[i].Type.Kind(), 0)
	}
	for i := range e.results {
		e.results[i].SetAllocator(ctx.Alloc)
	}
	e.tmp.SetAllocator(ctx.Alloc)
	for _, k := range n.Keys {
		e.used[k.Col] = true
	}
	var aggs []planner.AggCall
	for i := range n.Calls {
		c := &overCall{OverCall: n.Calls[i], agg: -1}
		if c.Agg != nil {
			c.agg = len(aggs)
			aggs = append(aggs, *c.Agg)
		}
		for _, a := range c.Args {
			e.used[a] = true
		}
		f, err := e.frameOf(c, n, schema)
		if err != nil {
			return e, err
		}
		c.frame = f
		e.calls = append(e.calls, c)
	}
	e.aggs = newAggPlan(ctx, schema, aggs, false)
	e.aggs.columns(e.used)
	for _, c := range e.calls {
		if c.agg >= 0 {
			c.open(e)
		}
	}
	return e, nil
}

// frameOf gives the frame of a call: the same for calls that share a window.
func (e *overEval) frameOf(c *overCall, n *planner.Over, schema *vec.Schema) (*overFrame, error) {
	for _, f := range e.frames {
		if f.def == c.Frame {
			return f, nil
		}
	}
	f := &overFrame{def: c.Frame, keys: len(n.Keys) > 0}
	f.Frame = ast.Frame{Unit: "range", Start: ast.Bound{Kind: "unbounded preceding"}, End: ast.Bound{Kind: "current row"}}
	if c.Frame != nil {
		f.Frame = *c.Frame
	}
	if f.Unit != "rows" && !f.keys { // all rows are peers
		if f.Start.Kind == "current row" {
			f.Start.Kind = "unbounded preceding"
		}
		if f.End.Kind == "current row" {
			f.End.Kind = "unbounded following"
		}
	}
	var err error
	one := func(x planner.Expr, what string) *overOffset {
		if x == nil || err != nil {
			return nil
		}
		var d types.Datum
		if d, err = EvalConst(e.ctx.Fn, x); err != nil {
			return nil
		}
		if d == nil {
			f.err = pgerr.New(pgerr.NullValueNotAllowed, "frame %s offset must not be null", what)
			return nil
		}
		if f.Unit != "range" {
			k, _ := d.(int64)
			if k < 0 {
				f.err = pgerr.New(pgerr.InvalidFrameOffset, "frame %s offset must not be negative", what)
			}
			return &overOffset{count: int(min(k, math.MaxInt32))}
		}
		var o *overOffset
		o, err = newRangeOffset(e.ctx, n.Keys[0], schema.Fields[n.Keys[0].Col].Type, x, d)
		if code := pgerr.Code(err); code == pgerr.InvalidFrameOffset {
			f.err, err = err, nil
		}
		return o
	}
	f.from, f.to = one(c.Lo, "starting"), one(c.Hi, "ending")
	if err != nil {
		return nil, err
	}
	e.frames = append(e.frames, f)
	return f, nil
}

// run computes the results of the rows refs; spans are the partitions, which lie one after the other.
func (e *overEval) run(store *rowStore, refs []rowRef, spans []overSpan) error {
	e.n, e.spans = len(refs), spans
	for c := range e.cols {
		v := &e.cols[c]
		v.Reset(store.kinds[c], 0)
		if e.used[c] {
			store.gather(v, c, refs, false)
		}
	}
	e.findPeers()
	for _, f := range e.frames {
		if f.err != nil && e.n > 0 {
			return f.err
		}
		f.ready = false
	}
	for i, c := range e.calls {
		out := &e.results[i]
		out.Reset(c.Type.Type.Kind(), 0)
		if err := e.call(c, out); err != nil {
			return err
		}
	}
	return nil
}

// findPeers groups the rows of each partition that are equal in the order.
func (e *overEval) findPeers() {
	n := e.n
	e.part, e.group = slices.Grow(e.part[:0], n)[:n], slices.Grow(e.group[:0], n)[:n]
	e.peerLo, e.peerHi = slices.Grow(e.peerLo[:0], n)[:n], slices.Grow(e.peerHi[:0], n)[:n]
	e.starts = e.starts[:0]
	for p, s := range e.spans {
		for lo := s.lo; lo < s.hi; {
			hi := lo + 1
			for hi < s.hi && e.order.compare(e.cols, hi-1, e.cols, hi) == 0 {
				hi++
			}
			g := int32(len(e.starts))
			e.starts = append(e.starts, int32(lo))
			for i := lo; i < hi; i++ {
				e.part[i], e.group[i], e.peerLo[i], e.peerHi[i] = int32(p), g, int32(lo), int32(hi)
			}
			lo = hi
		}
	}
	e.starts = append(e.starts, int32(n))
}

// failures gives the error of each row that has one, nil if none has.
func (e *overEval) failures() map[int32]error {
	var m map[int32]error
	for c := range e.results {
		for _, l := range e.results[c].Errs {
			if m == nil {
				m = map[int32]error{}
			}
			if m[l.Row] == nil {
				m[l.Row] = l.Err
			}
		}
	}
	return m
}

func (e *overEval) close() {
	releaseViews(e.cols)
	releaseViews(e.results)
	e.tmp.Release()
	for _, c := range e.calls {
		releaseViews(c.args)
	}
	for _, f := range e.frames {
		f.close()
	}
	if e.aggs != nil {
		e.aggs.release()
	}
}
