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
	"streamsql/state"
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

	store  *rowStore
	n      int
	refs   []rowRef // those of the n rows, then those that carries refer to
	pieces []overPiece
	pins   []int // by piece: where the rows of its carry begin in cols
	values int   // calls that carry a value
	// carries counts the ids of carries given out, spare lists those taken back.
	carries int
	spare   []uint32
	// By row: the partition, its group of peers counted over all partitions, and where that group begins and ends.
	part, group    []int32
	peerLo, peerHi []int32
	starts         []int32 // where each group of peers begins
	sel            []int32
	tmp            vec.Vec
}

// overSpan is a range of rows: from lo up to hi.
type overSpan struct{ lo, hi int }

// overPiece is a run of rows of one partition in the list to compute. Most are whole partitions.
type overPiece struct {
	lo, hi   int        // the rows that are there
	from, to int        // of these, those whose results are wanted
	before   int        // rows of the partition before lo
	peers    int        // of those, the last ones that are peers of row lo
	more     bool       // rows follow hi
	sure     bool       // no frame reaches beyond lo and hi
	carry    *overCarry // of the rows before lo, nil: there are none
	marks    []overMark // where to note what is carried, in order
}

// overMark asks for what the rows before at amount to.
type overMark struct {
	at int
	c  *overCarry
}

// overCarry is what calls whose frames begin with the partition know of its first rows.
type overCarry struct {
	groups int         // groups of peers that begin there
	acc    uint32      // the states of aggregates, in kept
	vals   []overValue // by slot
}

// overValue is what first_value and its kin know: how many rows there were (with IGNORE NULLS: with a value), the one wanted and the last one.
type overValue struct {
	n         int
	nth, last rowRef
}

// overCall is one call with what belongs to it.
type overCall struct {
	planner.OverCall
	frame  *overFrame
	agg    int          // call of the aggPlan, -1 none
	prefix bool         // the frame begins with the partition and has nothing beyond the peers of its row
	slot   int          // of its carried value, -1 none
	nth    int          // of a prefix value
	kept   fn.Aggregate // states of carries
	state  fn.Aggregate
	slide  fn.Aggregate // takes rows back, nil where that is not exact
	args   []vec.Vec    // those of the rows that FILTER and NULLs leave
	upTo   []int32      // by row: how many of them come before it
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
		c := &overCall{OverCall: n.Calls[i], agg: -1, slot: -1}
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
		c.findPrefix(e, n)
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

// findPrefix finds out whether the call can go on from what it knew of the first rows of a partition.
func (c *overCall) findPrefix(e *overEval, n *planner.Over) {
	f := c.frame
	if f.Start.Kind != "unbounded preceding" || f.Exclude != "" || f.End.Kind != "current row" && f.End.Kind != "preceding" {
		return
	}
	switch c.Name {
	case "first_value", "last_value":
		c.prefix, c.nth = true, 1
	case "nth_value":
		k, ok := c.Nth(n.Input)
		c.prefix, c.nth = ok && k > 0, int(min(k, math.MaxInt32))
	default:
		c.prefix = c.Agg != nil && !c.Agg.Agg.Ordered
		return
	}
	if c.prefix {
		c.slot = e.values
		e.values++
	}
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

// run computes results for the rows refs of the store. short says that a frame may reach beyond the
// rows of its piece, before or after, and nothing was computed.
func (e *overEval) run(store *rowStore, refs []rowRef, pieces []overPiece) (short overSpan, err error) {
	e.store, e.n, e.pieces = store, len(refs), pieces
	e.refs = append(e.refs[:0], refs...)
	e.pins = e.pins[:0]
	if e.values > 0 {
		for k := range pieces {
			e.pins = append(e.pins, len(e.refs))
			if c := pieces[k].carry; c != nil {
				for _, v := range c.vals {
					e.refs = append(e.refs, v.nth, v.last)
				}
			}
		}
	}
	for c := range e.cols {
		v := &e.cols[c]
		v.Reset(store.kinds[c], 0)
		if e.used[c] {
			store.gather(v, c, e.refs, len(e.refs) > e.n)
		}
	}
	e.findPeers()
	for _, f := range e.frames {
		if f.err != nil && e.n > 0 {
			return short, f.err
		}
		f.ready = false
	}
	for _, c := range e.calls {
		if !c.frame.used(c) {
			continue
		}
		if err := c.frame.compute(e); err != nil {
			return short, err
		}
		s := c.frame.short(e)
		short.lo, short.hi = max(short.lo, s.lo), max(short.hi, s.hi)
	}
	if short.lo+short.hi > 0 {
		return short, nil
	}
	for i, c := range e.calls {
		out := &e.results[i]
		out.Reset(c.Type.Type.Kind(), 0)
		if err := e.call(c, out); err != nil {
			return short, err
		}
	}
	e.noteGroups()
	return short, nil
}

// findPeers groups the rows of each piece that are equal in the order.
func (e *overEval) findPeers() {
	n := e.n
	e.part, e.group = slices.Grow(e.part[:0], n)[:n], slices.Grow(e.group[:0], n)[:n]
	e.peerLo, e.peerHi = slices.Grow(e.peerLo[:0], n)[:n], slices.Grow(e.peerHi[:0], n)[:n]
	e.starts = e.starts[:0]
	for p := range e.pieces {
		s := &e.pieces[p]
		for lo := s.lo; lo < s.hi; {
			hi := lo + 1
			for hi < s.hi && e.order.compare(e.cols, hi-1, e.cols, hi) == 0 {
				hi++
			}
			g := int32(len(e.starts))
			e.starts = append(e.starts, int32(lo))
			first := int32(lo)
			if lo == s.lo {
				first -= int32(s.peers)
			}
			for i := lo; i < hi; i++ {
				e.part[i], e.group[i], e.peerLo[i], e.peerHi[i] = int32(p), g, first, int32(hi)
			}
			lo = hi
		}
	}
	e.starts = append(e.starts, int32(n))
}

// begun gives how many groups of peers begin in a partition before row at of its piece.
func (e *overEval) begun(s *overPiece, at int) int {
	n := 0
	if s.carry != nil {
		n = s.carry.groups
	}
	if at > s.lo {
		n += int(e.group[at-1]-e.group[s.lo]) + 1
		if s.peers > 0 {
			n-- // the first one began before
		}
	}
	return n
}

func (e *overEval) noteGroups() {
	for p := range e.pieces {
		s := &e.pieces[p]
		for _, m := range s.marks {
			m.c.groups = e.begun(s, m.at)
		}
	}
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

// newCarry gives an empty carry.
func (e *overEval) newCarry() *overCarry {
	c := &overCarry{vals: make([]overValue, e.values)}
	if n := len(e.spare); n > 0 {
		c.acc = e.spare[n-1]
		e.spare = e.spare[:n-1]
		return c
	}
	c.acc = uint32(e.carries)
	e.carries++
	for _, call := range e.calls {
		if call.kept != nil {
			call.kept.Grow(e.carries)
		}
	}
	return c
}

// freeCarry takes a carry back; c may be nil.
func (e *overEval) freeCarry(c *overCarry) {
	if c == nil {
		return
	}
	ids := []uint32{c.acc}
	for _, call := range e.calls {
		if call.kept != nil {
			call.kept.Clear(ids)
		}
	}
	e.spare = append(e.spare, c.acc)
}

// stateOf gives bytes that are equal for carries from which all goes on in the same way.
func (e *overEval) stateOf(c *overCarry) []byte {
	var w state.Writer
	w.Uint64(uint64(c.groups))
	for _, v := range c.vals {
		w.Uint64(uint64(v.n))
		w.Uint64(uint64(v.nth))
		w.Uint64(uint64(v.last))
	}
	for _, call := range e.calls {
		if call.kept != nil {
			call.kept.Snapshot([]uint32{c.acc}, &w)
		}
	}
	return w.Bytes()
}
