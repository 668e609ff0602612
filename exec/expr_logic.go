package exec

import (
	"unsafe"

	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
)

// A lane of AND or OR is one of four values, numbered so that the result of two
// is the smaller: the absorbing one (false for AND, true for OR), a failure, NULL, the neutral one.
const (
	laneAbsorbing = iota
	laneFailed
	laneNull
	laneNeutral
)

// logicNode is AND or OR. An operand that is not cheap is computed only where the others before it leave the result open.
type logicNode struct {
	args  []int
	slots []int // of the operands that are not cheap, else -1
	and   bool
	lanes []uint8
	errs  map[int32]error
}

func (c *compiler) logic(args []planner.Expr, and bool) (int, error) {
	ids, err := c.addAll(args)
	if err != nil {
		return 0, err
	}
	l := &logicNode{args: ids, and: and}
	cheap := true
	for i, id := range ids {
		s := -1
		if !c.p.nodes[id].cheap {
			cheap = false
			if i > 0 {
				s = c.slot()
			}
		}
		l.slots = append(l.slots, s)
	}
	return c.put(keyOf("logic", types.Bool, ids, and), types.Bool, l, ids, cheap, false), nil
}

// bytesOf shows booleans as bytes, 0 or 1, so that loops over them have no branches.
func bytesOf(b []bool) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(b))), len(b))
}

func (l *logicNode) eval(f *frame, r *reg) {
	out := &r.own
	r.v = out
	if l.plain(f) {
		out.Reset(types.KindBool, f.n)
		d := bytesOf(out.Bools[:f.n])
		copy(d, bytesOf(f.get(l.args[0]).Bools[:f.n]))
		for _, a := range l.args[1:] {
			s := bytesOf(f.get(a).Bools[:f.n])
			if l.and {
				for i, x := range s[:len(d)] {
					d[i] &= x
				}
			} else {
				for i, x := range s[:len(d)] {
					d[i] |= x
				}
			}
		}
		return
	}
	if cap(l.lanes) < f.n {
		l.lanes = make([]uint8, f.n)
	}
	lanes := l.lanes[:f.n]
	for i := range lanes {
		lanes[i] = laneNeutral
	}
	clear(l.errs)
	for k, a := range l.args {
		if l.slots[k] < 0 {
			l.merge(lanes, f.get(a), nil)
			continue
		}
		sel := f.selection(l.slots[k])
		for i, x := range lanes {
			if x != laneAbsorbing {
				sel = append(sel, int32(i))
			}
		}
		if len(sel) == f.n {
			l.merge(lanes, f.get(a), nil)
			continue
		}
		l.merge(lanes, f.child(l.slots[k], sel).get(a), sel)
	}
	out.Reset(types.KindBool, f.n)
	for i, x := range lanes {
		out.Bools[i] = (x == laneNeutral) == l.and
		if x == laneNull {
			out.SetNull(i)
		}
	}
	if len(l.errs) > 0 {
		for i, x := range lanes {
			if x == laneFailed {
				out.Fail(i, l.errs[int32(i)])
			}
		}
	}
}

// plain reports whether every operand is cheap and has neither NULLs nor failures.
func (l *logicNode) plain(f *frame) bool {
	for k, a := range l.args {
		if l.slots[k] >= 0 && !f.computed(a) {
			return false
		}
		if v := f.get(a); v.Valid != nil || len(v.Errs) > 0 {
			return false
		}
	}
	return true
}

// merge combines an operand, whose rows are sel (nil: all), into lanes.
func (l *logicNode) merge(lanes []uint8, v *vec.Vec, sel []int32) {
	for i := range v.N {
		x := uint8(laneAbsorbing)
		switch {
		case v.IsNull(i):
			x = laneNull
		case v.Bools[i] == l.and:
			x = laneNeutral
		}
		at := i
		if sel != nil {
			at = int(sel[i])
		}
		lanes[at] = min(lanes[at], x)
	}
	for _, e := range v.Errs {
		at := e.Row
		if sel != nil {
			at = sel[at]
		}
		if lanes[at] == laneAbsorbing {
			continue
		}
		if l.errs == nil {
			l.errs = map[int32]error{}
		}
		if lanes[at] != laneFailed {
			l.errs[at] = e.Err
		}
		lanes[at] = laneFailed
	}
}

// notNode is NOT.
type notNode struct{ x int }

func (n *notNode) eval(f *frame, r *reg) {
	v, out := f.get(n.x), &r.own
	out.Reset(types.KindBool, f.n)
	d := bytesOf(out.Bools[:f.n])
	for i, x := range bytesOf(v.Bools[:f.n]) {
		d[i] = x ^ 1
	}
	out.AndValid(v)
	out.CopyErrs(v)
	r.v = out
}

// isNullNode is IS [NOT] NULL of anything but a record.
type isNullNode struct {
	x   int
	not bool
}

func (c *compiler) isNull(e *planner.IsNull) (int, error) {
	x, err := c.add(e.X)
	if err != nil {
		return 0, err
	}
	if t := e.X.Type(); t.OID == types.OIDRecord || t.IsComposite() {
		return c.put(keyOf("isnullrec", types.Bool, []int{x}, e.Not), types.Bool, &isNullRecord{x, e.Not}, []int{x}, false, false), nil
	}
	return c.put(keyOf("isnull", types.Bool, []int{x}, e.Not), types.Bool, &isNullNode{x, e.Not}, []int{x}, true, false), nil
}

func (n *isNullNode) eval(f *frame, r *reg) {
	v, out := f.get(n.x), &r.own
	out.Reset(types.KindBool, f.n)
	d := out.Bools[:f.n]
	if v.Valid == nil {
		for i := range d {
			d[i] = n.not
		}
	} else {
		for i := range d {
			d[i] = v.IsNull(i) != n.not
		}
	}
	out.CopyErrs(v)
	r.v = out
}

// isBoolNode is IS [NOT] TRUE or FALSE.
type isBoolNode struct {
	x         int
	want, not bool
}

func (n *isBoolNode) eval(f *frame, r *reg) {
	v, out := f.get(n.x), &r.own
	out.Reset(types.KindBool, f.n)
	for i, x := range v.Bools[:f.n] {
		out.Bools[i] = (!v.IsNull(i) && x == n.want) != n.not
	}
	out.CopyErrs(v)
	r.v = out
}

// distinctNode is IS [NOT] DISTINCT FROM.
type distinctNode struct {
	l, r int
	cmp  func(a *vec.Vec, i int, b *vec.Vec, j int) int
	not  bool
}

func (n *distinctNode) eval(f *frame, r *reg) {
	a, b, out := f.get(n.l), f.get(n.r), &r.own
	out.Reset(types.KindBool, f.n)
	for i := range f.n {
		var distinct bool
		switch x, y := a.IsNull(i), b.IsNull(i); {
		case x != y:
			distinct = true
		case !x:
			distinct = n.cmp(a, i, b, i) != 0
		}
		out.Bools[i] = distinct != n.not
	}
	inheritErrs(out, a, b)
	r.v = out
}

// failures gives the rows that failed in v, nil if none did.
func failures(v *vec.Vec) map[int32]bool {
	if len(v.Errs) == 0 {
		return nil
	}
	m := make(map[int32]bool, len(v.Errs))
	for _, e := range v.Errs {
		m[e.Row] = true
	}
	return m
}

// inheritErrs makes the rows that failed in any of args fail in out, each once.
func inheritErrs(out *vec.Vec, args ...*vec.Vec) {
	var seen map[int32]bool
	for _, a := range args {
		if len(a.Errs) == 0 {
			continue
		}
		if seen == nil {
			if seen = failures(out); seen == nil {
				seen = map[int32]bool{}
			}
		}
		for _, e := range a.Errs {
			if !seen[e.Row] {
				seen[e.Row] = true
				out.Fail(int(e.Row), e.Err)
			}
		}
	}
}
