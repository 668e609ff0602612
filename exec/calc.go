package exec

import (
	"slices"

	"github.com/apache/arrow/go/v17/arrow"

	"streamsql/internal/vec"
	"streamsql/sql/planner"
	"streamsql/state"
)

// calc filters and projects. The selection that passes the filter is private to it:
// what it sends is dense, and shares the arrays of columns that it passes on whole.
type calc struct {
	n   *planner.Calc
	ctx *Context
	out Output
	p   *Program
	// conds and exprs are the nodes of the conjuncts and of the output columns.
	conds, exprs []int
	slots        []int // frames of the conjuncts that are computed over a selection
	outSlot      int   // frame of the rows that passed
	goodSlot     int   // frame of those of them that did not fail
	same         []int // for each output column, an earlier one of the same node, else -1
	sel          []int32
	bad          map[int32]error // rows whose filter failed so far
}

func newCalc(n *planner.Calc) (Operator, error) { return &calc{n: n}, nil }

// conjuncts splits ANDs.
func conjuncts(in []planner.Expr, out []planner.Expr) []planner.Expr {
	for _, e := range in {
		if a, ok := e.(*planner.And); ok {
			out = conjuncts(a.Args, out)
			continue
		}
		out = append(out, e)
	}
	return out
}

func (c *calc) Open(ctx *Context, out Output) error {
	c.ctx, c.out = ctx, out
	filter := conjuncts(c.n.Filter, nil)
	exprs := append(append([]planner.Expr{}, filter...), c.n.Exprs...)
	var err error
	if c.p, err = CompileExprs(ctx, exprs, c.n.Input.Schema()); err != nil {
		return err
	}
	c.conds, c.exprs = c.p.roots[:len(filter)], c.p.roots[len(filter):]
	for range c.conds {
		c.slots = append(c.slots, c.p.slots)
		c.p.slots++
	}
	c.outSlot, c.goodSlot = c.p.slots, c.p.slots+1
	c.p.slots += 2
	for i, id := range c.exprs {
		c.same = append(c.same, slices.Index(c.exprs[:i], id))
	}
	return nil
}

func (c *calc) Push(_ int, b *vec.Batch) error {
	top := c.p.top
	top.begin(nil, b.Cols, b.N)
	clear(c.bad)
	if len(c.conds) > 0 {
		all, err := c.filter(top, b)
		if err != nil {
			return err
		}
		if !all {
			if len(c.sel) == 0 {
				return nil
			}
			return c.project(top.child(c.outSlot, c.sel), c.sel, b)
		}
	}
	return c.project(top, nil, b)
}

// filter leaves the rows that pass in c.sel and reports whether all do, in which case c.sel is not set.
func (c *calc) filter(top *frame, b *vec.Batch) (all bool, err error) {
	all = true
	for k, id := range c.conds {
		// A conjunct over few rows, or a dear one, is computed for the rows left only.
		narrow := !all && (!c.p.nodes[id].cheap || len(c.sel) < b.N/2) && !top.computed(id)
		switch {
		case narrow:
			c.narrow(top, k, id)
		case all:
			all = c.first(top.get(id))
		default:
			c.among(top.get(id))
		}
		if !all && len(c.sel) == 0 {
			return false, nil
		}
	}
	if len(c.bad) == 0 {
		return all, nil
	}
	keep := c.sel[:0]
	for _, i := range c.sel {
		if e, ok := c.bad[i]; ok {
			if err := rowError(c.ctx, e, b, int(i)); err != nil {
				return false, err
			}
			continue
		}
		keep = append(keep, i)
	}
	c.sel = keep
	return false, nil
}

// rowError asks what to do with a row that failed. Where rows that fail are put aside, one that goes again was never there.
func rowError(ctx *Context, err error, b *vec.Batch, row int) error {
	if ctx.RowError == nil {
		return err
	}
	if b.Op(row) == vec.Delete {
		return nil
	}
	return ctx.RowError(err, b, row)
}

// first selects among all rows; it reports whether all pass.
func (c *calc) first(v *vec.Vec) bool {
	if cap(c.sel) < v.N {
		c.sel = make([]int32, max(v.N, vec.MaxRows))
	}
	sel, k := c.sel[:v.N], 0
	if v.Valid == nil {
		for i, x := range bytesOf(v.Bools[:v.N]) {
			sel[k] = int32(i)
			k += int(x)
		}
	} else {
		for i, x := range bytesOf(v.Bools[:v.N]) {
			sel[k] = int32(i)
			k += int(x) & int(v.Valid[i>>6]>>(uint(i)&63))
		}
	}
	if k == v.N {
		return true
	}
	if len(v.Errs) > 0 { // failed rows are NULL: put them back
		failed := failures(v)
		k = 0
		for i, x := range v.Bools[:v.N] {
			if x && !v.IsNull(i) || failed[int32(i)] {
				sel[k] = int32(i)
				k++
			}
		}
		c.note(v.Errs, nil)
	}
	c.sel = sel[:k]
	return false
}

// among selects among the rows of c.sel by a column of all rows.
func (c *calc) among(v *vec.Vec) {
	k := 0
	bools := bytesOf(v.Bools[:v.N])
	if v.Valid == nil {
		for _, i := range c.sel {
			c.sel[k] = i
			k += int(bools[i])
		}
		c.sel = c.sel[:k]
		return
	}
	failed := failures(v)
	for _, i := range c.sel {
		c.sel[k] = i
		if failed[i] {
			k++
			continue
		}
		k += int(bools[i]) & int(v.Valid[i>>6]>>(uint(i)&63))
	}
	c.sel = c.sel[:k]
	c.note(v.Errs, nil)
}

// narrow computes conjunct k over the rows of c.sel only.
func (c *calc) narrow(top *frame, k, id int) {
	sel := append(top.selection(c.slots[k]), c.sel...)
	v := top.child(c.slots[k], sel).get(id)
	failed := failures(v)
	j := 0
	for i, row := range sel {
		if failed[int32(i)] || v.Bools[i] && !v.IsNull(i) {
			c.sel[j] = row
			j++
		}
	}
	c.sel = c.sel[:j]
	c.note(v.Errs, sel)
}

// note records failures of rows (of sel, where not nil): they fail unless a later conjunct drops them.
func (c *calc) note(errs []vec.LaneErr, sel []int32) {
	if len(errs) > 0 && c.bad == nil {
		c.bad = map[int32]error{}
	}
	for _, e := range errs {
		row := e.Row
		if sel != nil {
			row = sel[row]
		}
		if c.bad[row] == nil {
			c.bad[row] = e.Err
		}
	}
}

// project computes the output columns over f, whose rows are rows of b (nil: all of them), and sends them.
func (c *calc) project(f *frame, rows []int32, b *vec.Batch) error {
	failed := false
	for _, id := range c.exprs {
		if rows == nil && c.p.nodes[id].column >= 0 {
			continue // passed on as it is
		}
		failed = len(f.get(id).Errs) > 0 || failed
	}
	if failed {
		return c.projectGood(f, rows, b)
	}
	arrs := make([]arrow.Array, len(c.exprs))
	for i, id := range c.exprs {
		col := c.p.nodes[id].column
		switch {
		case c.same[i] >= 0:
			arrs[i] = arrs[c.same[i]]
			arrs[i].Retain()
		case rows == nil && col >= 0:
			arrs[i] = b.Cols[col]
			arrs[i].Retain()
		default:
			arrs[i] = f.seal(id)
		}
	}
	out := vec.NewBatch(c.n.Schema(), arrs, b.Ops, f.n)
	out.W = b.W
	if rows != nil {
		out.Ops = gatherSlice(b.Ops, rows)
		out.W = gatherSlice(b.W, rows)
	}
	out.From = b.From.Take(rows)
	err := c.out.Emit(out)
	out.Release()
	return err
}

// projectGood asks what to do with the rows of f that failed and projects the others.
func (c *calc) projectGood(f *frame, rows []int32, b *vec.Batch) error {
	bad := map[int32]error{}
	for _, id := range c.exprs {
		for _, e := range f.get(id).Errs {
			if bad[e.Row] == nil {
				bad[e.Row] = e.Err
			}
		}
	}
	keep := f.selection(c.goodSlot)
	var orig []int32
	for i := range int32(f.n) {
		row := i
		if rows != nil {
			row = rows[i]
		}
		if err := bad[i]; err != nil {
			if err := rowError(c.ctx, err, b, int(row)); err != nil {
				return err
			}
			continue
		}
		keep = append(keep, i)
		orig = append(orig, row)
	}
	if len(keep) == 0 {
		return nil
	}
	return c.project(f.child(c.goodSlot, keep), orig, b)
}

// seal gives the column of node id as an array, which the caller owns. Another get in this frame would compute it anew.
func (f *frame) seal(id int) arrow.Array {
	r := f.regs[id]
	if r.v == &r.own {
		r.stamp = 0
		return r.own.Seal()
	}
	var v vec.Vec
	v.SetAllocator(f.p.alloc)
	v.Reset(r.v.Kind, 0)
	v.AppendRange(r.v, 0, f.n)
	return v.Seal()
}

// gatherSlice gives the elements sel of s, nil for nil.
func gatherSlice[E any](s []E, sel []int32) []E {
	if s == nil {
		return nil
	}
	out := make([]E, len(sel))
	for i, k := range sel {
		out[i] = s[k]
	}
	return out
}

func (c *calc) Advance(_ int, m Mark) error { return c.out.Watermark(m) }

func (c *calc) Tick(Tick) error { return nil }

func (c *calc) Snapshot(*state.Writer) error { return nil }

func (c *calc) Restore(*state.Reader) error { return nil }

func (c *calc) Close() error {
	if c.p != nil {
		c.p.Close()
	}
	return nil
}
