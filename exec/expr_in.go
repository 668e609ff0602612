package exec

import (
	"streamsql/internal/fn"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
)

// inNode is X [NOT] IN (list).
type inNode struct {
	x     int
	list  []int
	not   bool
	cmp   func(a *vec.Vec, i int, b *vec.Vec, j int) int
	elems []*vec.Vec
	// Where all of the list is constant and equality is that of the bytes, it is a set.
	ints    map[int64]struct{}
	strs    map[string]struct{}
	hasNull bool
}

func (c *compiler) inList(e *planner.In) (int, error) {
	x, err := c.add(e.X)
	if err != nil {
		return 0, err
	}
	list, err := c.addAll(e.List)
	if err != nil {
		return 0, err
	}
	t := e.X.Type()
	n := &inNode{x: x, list: list, not: e.Not, cmp: fn.Comparer(t), elems: make([]*vec.Vec, len(list))}
	n.makeSet(c.p, t)
	ids := append([]int{x}, list...)
	return c.put(keyOf("in", t, ids, e.Not), types.Bool, n, ids, n.ints != nil, false), nil
}

// makeSet turns a list of constants into a set.
func (n *inNode) makeSet(p *Program, t types.T) {
	ints, strs := map[int64]struct{}{}, map[string]struct{}{}
	for _, id := range n.list {
		k, ok := p.nodes[id].evaluator.(*constNode)
		if !ok || k.err != nil {
			return
		}
		switch v := k.val.(type) {
		case nil:
			n.hasNull = true
		case int16:
			ints[int64(v)] = struct{}{}
		case int32:
			ints[int64(v)] = struct{}{}
		case int64:
			ints[v] = struct{}{}
		case string:
			strs[v] = struct{}{}
		default:
			return
		}
	}
	switch t.OID {
	case types.OIDText, types.OIDVarchar, types.OIDName, types.OIDBytea:
		n.strs = strs
		return
	}
	switch t.Kind() {
	case types.KindInt16, types.KindInt32, types.KindInt64:
		n.ints = ints
	}
}

func (n *inNode) eval(f *frame, r *reg) {
	v, out := f.get(n.x), &r.own
	r.v = out
	if n.ints != nil || n.strs != nil {
		out.Reset(types.KindBool, f.n)
		n.lookup(v, out, f.n)
		if n.hasNull { // not found among the values is unknown
			for i, in := range out.Bools[:f.n] {
				if in == n.not {
					out.SetNull(i)
				}
			}
		}
		out.AndValid(v)
		out.CopyErrs(v)
		return
	}
	for k, id := range n.list {
		n.elems[k] = f.get(id)
	}
	out.Reset(types.KindBool, f.n)
	for i := range f.n {
		if v.IsNull(i) {
			out.SetNull(i)
			continue
		}
		found, unknown := false, false
		for _, e := range n.elems {
			if e.IsNull(i) {
				unknown = true
			} else if n.cmp(v, i, e, i) == 0 {
				found = true
				break
			}
		}
		out.Bools[i] = found != n.not
		if !found && unknown {
			out.SetNull(i)
		}
	}
	inheritErrs(out, v)
	// An element that failed makes unknown what was not found, and that is a failure; so does one that is compared with NULL.
	var seen map[int32]bool
	for _, le := range v.Errs {
		if seen == nil {
			seen = map[int32]bool{}
		}
		seen[le.Row] = true
	}
	for _, e := range n.elems {
		for _, le := range e.Errs {
			if !out.IsNull(int(le.Row)) {
				continue
			}
			if seen == nil {
				seen = map[int32]bool{}
			}
			if !seen[le.Row] {
				seen[le.Row] = true
				out.Fail(int(le.Row), le.Err)
			}
		}
	}
}

// lookup computes found != not for each row.
func (n *inNode) lookup(v, out *vec.Vec, rows int) {
	d := out.Bools[:rows]
	switch v.Kind {
	case types.KindInt16:
		lookupInts(d, v.I16, n.ints, n.not)
	case types.KindInt32:
		lookupInts(d, v.I32, n.ints, n.not)
	case types.KindInt64:
		lookupInts(d, v.I64, n.ints, n.not)
	default:
		for i := range d {
			_, ok := n.strs[string(v.Bytes(i))]
			d[i] = ok != n.not
		}
	}
}

func lookupInts[I int16 | int32 | int64](d []bool, s []I, set map[int64]struct{}, not bool) {
	if len(set) <= 8 {
		var few [8]I
		k := few[:0]
		for x := range set {
			if int64(I(x)) == x {
				k = append(k, I(x))
			}
		}
		for i, x := range s[:len(d)] {
			found := false
			for _, y := range k {
				found = found || x == y
			}
			d[i] = found != not
		}
		return
	}
	for i, x := range s[:len(d)] {
		_, ok := set[int64(x)]
		d[i] = ok != not
	}
}
