package exec

import (
	"streamsql/internal/fn"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
)

// chooser makes a column whose rows come from several branches: CASE, COALESCE, GREATEST and LEAST.
type chooser struct {
	kind   types.Kind
	pick   []int32 // the branch of each row, noBranch for NULL
	failed []vec.LaneErr
	srcs   []branch
}

const noBranch = -1

// branch is a column that rows are taken from. rows lists the rows of the result that
// its own stand for; nil: it has all of them.
type branch struct {
	v    *vec.Vec
	rows []int32
	at   int
}

func (c *chooser) reset(n, branches int) {
	if cap(c.pick) < n {
		c.pick = make([]int32, max(n, vec.MaxRows))
	}
	c.pick = c.pick[:n]
	for i := range c.pick {
		c.pick[i] = noBranch
	}
	c.failed = c.failed[:0]
	if c.srcs == nil {
		c.srcs = make([]branch, branches)
	}
	for i := range c.srcs {
		c.srcs[i] = branch{}
	}
}

// compose builds the column into out.
func (c *chooser) compose(out *vec.Vec) {
	n := len(c.pick)
	switch c.kind {
	case types.KindString, types.KindBytes:
		out.Reset(c.kind, 0)
		for i, k := range c.pick {
			if k == noBranch {
				out.AppendNull()
				continue
			}
			b := &c.srcs[k]
			j := i
			if b.rows != nil {
				for b.rows[b.at] != int32(i) { // rows of b that another branch took
					b.at++
				}
				j = b.at
			}
			out.Append(b.v, j)
		}
	default:
		out.Reset(c.kind, n)
		for k := range c.srcs {
			b := &c.srcs[k]
			if b.v == nil {
				continue
			}
			switch c.kind {
			case types.KindBool:
				choose(out.Bools, b.v.Bools, c.pick, int32(k), b.rows)
			case types.KindInt16:
				choose(out.I16, b.v.I16, c.pick, int32(k), b.rows)
			case types.KindInt32:
				choose(out.I32, b.v.I32, c.pick, int32(k), b.rows)
			case types.KindInt64:
				choose(out.I64, b.v.I64, c.pick, int32(k), b.rows)
			case types.KindFloat32:
				choose(out.F32, b.v.F32, c.pick, int32(k), b.rows)
			case types.KindFloat64:
				choose(out.F64, b.v.F64, c.pick, int32(k), b.rows)
			case types.KindFixed16:
				choose(out.F16, b.v.F16, c.pick, int32(k), b.rows)
			}
			if b.v.Valid == nil {
				continue
			}
			for j := range b.v.N {
				i := j
				if b.rows != nil {
					i = int(b.rows[j])
				}
				if int(c.pick[i]) == k && b.v.IsNull(j) {
					out.SetNull(i)
				}
			}
		}
		for i, k := range c.pick {
			if k == noBranch {
				out.SetNull(i)
			}
		}
	}
	for k := range c.srcs {
		b := &c.srcs[k]
		if b.v == nil {
			continue
		}
		for _, e := range b.v.Errs {
			i := e.Row
			if b.rows != nil {
				i = b.rows[i]
			}
			if int(c.pick[i]) == k {
				out.Fail(int(i), e.Err)
			}
		}
	}
	for _, e := range c.failed {
		out.Fail(int(e.Row), e.Err)
	}
}

// choose assigns the rows of branch k.
func choose[E any](dst, src []E, pick []int32, k int32, rows []int32) {
	if rows != nil {
		for j, i := range rows {
			dst[i] = src[j]
		}
		return
	}
	for i, p := range pick {
		if p == k {
			dst[i] = src[i]
		}
	}
}

// caseNode is CASE: conditions are computed for the rows that none before
// them took, and a result only for the rows that chose it, unless both are cheap.
type caseNode struct {
	chooser
	conds, thens         []int
	condSlots, thenSlots []int
	left                 []int32
}

func (c *compiler) caseExpr(e *planner.Case) (int, error) {
	n := &caseNode{chooser: chooser{kind: e.Typ.Kind()}}
	var ids []int
	cheap := true
	add := func(x planner.Expr, to *[]int, slots *[]int) error {
		id, err := c.add(x)
		if err != nil {
			return err
		}
		ids = append(ids, id)
		*to = append(*to, id)
		slot := -1
		if !c.p.nodes[id].cheap {
			slot, cheap = c.slot(), false
		}
		*slots = append(*slots, slot)
		return nil
	}
	for _, w := range e.Whens {
		if err := add(w.Cond, &n.conds, &n.condSlots); err != nil {
			return 0, err
		}
		if err := add(w.Then, &n.thens, &n.thenSlots); err != nil {
			return 0, err
		}
	}
	if e.Else != nil {
		if err := add(e.Else, &n.thens, &n.thenSlots); err != nil {
			return 0, err
		}
	}
	return c.put(keyOf("case", e.Typ, ids, len(e.Whens)), e.Typ, n, ids, cheap, false), nil
}

func (n *caseNode) eval(f *frame, r *reg) {
	n.reset(f.n, len(n.thens))
	n.left = n.left[:0]
	all := true // no row has been taken yet
	for k, c := range n.conds {
		if !all && len(n.left) == 0 {
			break
		}
		n.take(f, k, c, all)
		all = false
	}
	if len(n.thens) > len(n.conds) {
		k := int32(len(n.conds))
		for _, i := range n.left {
			n.pick[i] = k
		}
	}
	for k, t := range n.thens {
		n.branch(f, k, t)
	}
	n.compose(&r.own)
	r.v = &r.own
}

// take gives the rows left for which condition c is true to branch k. all says that every row is left.
func (n *caseNode) take(f *frame, k, c int, all bool) {
	if all {
		v := f.get(c)
		for i := range f.n {
			switch {
			case v.IsNull(i) || !v.Bools[i]:
				n.left = append(n.left, int32(i))
			default:
				n.pick[i] = int32(k)
			}
		}
		n.fail(v, nil)
		return
	}
	left := n.left[:0]
	if n.condSlots[k] < 0 || len(n.left) == f.n {
		v := f.get(c)
		for _, i := range n.left {
			if v.IsNull(int(i)) || !v.Bools[i] {
				left = append(left, i)
			} else {
				n.pick[i] = int32(k)
			}
		}
		n.left = left
		n.fail(v, nil)
		return
	}
	sel := append(f.selection(n.condSlots[k]), n.left...)
	v := f.child(n.condSlots[k], sel).get(c)
	for j, i := range sel {
		if v.IsNull(j) || !v.Bools[j] {
			left = append(left, i)
		} else {
			n.pick[i] = int32(k)
		}
	}
	n.left = left
	n.fail(v, sel)
}

// fail takes the rows whose condition failed out of those left: they fail as a whole.
func (n *caseNode) fail(v *vec.Vec, sel []int32) {
	if len(v.Errs) == 0 {
		return
	}
	bad := make(map[int32]error, len(v.Errs))
	for _, e := range v.Errs {
		row := e.Row
		if sel != nil {
			row = sel[row]
		}
		bad[row] = e.Err
	}
	left := n.left[:0]
	for _, i := range n.left {
		if err, ok := bad[i]; ok {
			n.failed = append(n.failed, vec.LaneErr{Row: i, Err: err})
			continue
		}
		left = append(left, i)
	}
	n.left = left
}

// branch computes the result of branch k for the rows that chose it.
func (n *caseNode) branch(f *frame, k, id int) {
	if n.thenSlots[k] < 0 {
		n.srcs[k].v = f.get(id)
		return
	}
	sel := f.selection(n.thenSlots[k])
	for i, p := range n.pick {
		if int(p) == k {
			sel = append(sel, int32(i))
		}
	}
	if len(sel) == f.n {
		n.srcs[k].v = f.get(id)
		return
	}
	if len(sel) > 0 {
		n.srcs[k] = branch{v: f.child(n.thenSlots[k], sel).get(id), rows: sel}
	}
}

// coalesceNode is COALESCE: each argument is computed for the rows where those before it are NULL.
type coalesceNode struct {
	chooser
	args, slots []int
	left        []int32
}

func (c *compiler) coalesce(e *planner.Coalesce) (int, error) {
	ids, err := c.addAll(e.Args)
	if err != nil {
		return 0, err
	}
	n := &coalesceNode{chooser: chooser{kind: e.Typ.Kind()}, args: ids}
	cheap := true
	for _, id := range ids {
		slot := -1
		if !c.p.nodes[id].cheap {
			slot, cheap = c.slot(), false
		}
		n.slots = append(n.slots, slot)
	}
	return c.put(keyOf("coalesce", e.Typ, ids), e.Typ, n, ids, cheap, false), nil
}

func (n *coalesceNode) eval(f *frame, r *reg) {
	n.reset(f.n, len(n.args))
	n.left = n.left[:0]
	for i := range f.n {
		n.left = append(n.left, int32(i))
	}
	for k, a := range n.args {
		if len(n.left) == 0 {
			break
		}
		var rows []int32
		var v *vec.Vec
		if n.slots[k] < 0 || len(n.left) == f.n {
			v = f.get(a)
		} else {
			rows = append(f.selection(n.slots[k]), n.left...)
			v = f.child(n.slots[k], rows).get(a)
		}
		n.srcs[k].v = v
		n.srcs[k].rows = rows
		bad := failures(v)
		left := n.left[:0]
		for j, i := range n.left {
			if rows == nil {
				j = int(i)
			}
			if v.IsNull(j) && !bad[int32(j)] {
				left = append(left, i)
			} else {
				n.pick[i] = int32(k)
			}
		}
		n.left = left
	}
	n.compose(&r.own)
	r.v = &r.own
}

// minMaxNode is GREATEST or LEAST.
type minMaxNode struct {
	chooser
	args []int
	cmp  func(a *vec.Vec, i int, b *vec.Vec, j int) int
	sign int
}

func (c *compiler) minMax(e *planner.MinMax) (int, error) {
	ids, err := c.addAll(e.Args)
	if err != nil {
		return 0, err
	}
	n := &minMaxNode{chooser: chooser{kind: e.Typ.Kind()}, args: ids, cmp: fn.Comparer(e.Typ), sign: -1}
	if e.Greatest {
		n.sign = 1
	}
	return c.put(keyOf("minmax", e.Typ, ids, e.Greatest), e.Typ, n, ids, false, false), nil
}

func (n *minMaxNode) eval(f *frame, r *reg) {
	n.reset(f.n, len(n.args))
	for k, a := range n.args {
		v := f.get(a)
		n.srcs[k].v = v
		for i := range f.n {
			if v.IsNull(i) {
				continue
			}
			if p := n.pick[i]; p == noBranch || n.sign*n.cmp(v, i, n.srcs[p].v, i) > 0 {
				n.pick[i] = int32(k)
			}
		}
	}
	n.compose(&r.own)
	for k := range n.srcs {
		inheritErrs(&r.own, n.srcs[k].v)
	}
	r.v = &r.own
}
