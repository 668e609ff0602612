package exec

import (
	"streamsql/internal/fn"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
)

// rowwise computes a column one row at a time from the datums of its operands: for
// arrays and records, whose values are encoded anyway.
type rowwise struct {
	args   []int
	kind   types.Kind
	strict bool // NULL for NULL, without a call
	pos    int
	fn     func(row []types.Datum) (types.Datum, error)
	vecs   []*vec.Vec
	row    []types.Datum
}

func (n *rowwise) eval(f *frame, r *reg) {
	for i, a := range n.args {
		n.vecs[i] = f.get(a)
	}
	out := &r.own
	out.Reset(n.kind, 0)
	failed := false
	for _, v := range n.vecs {
		failed = failed || len(v.Errs) > 0
	}
	var bad map[int32]error
	if failed {
		bad = map[int32]error{}
		for _, v := range n.vecs {
			for _, e := range v.Errs {
				if bad[e.Row] == nil {
					bad[e.Row] = e.Err
				}
			}
		}
	}
rows:
	for i := range f.n {
		if err := bad[int32(i)]; err != nil {
			out.AppendNull()
			out.Fail(i, err)
			continue
		}
		for k, v := range n.vecs {
			n.row[k] = v.Datum(i)
			if n.strict && n.row[k] == nil {
				out.AppendNull()
				continue rows
			}
		}
		d, err := n.fn(n.row)
		if err != nil {
			out.AppendNull()
			out.Fail(i, pgerr.AtPos(err, n.pos))
			continue
		}
		out.AppendDatum(d)
	}
	r.v = out
}

// rowNode adds a row-wise node. what and rest make the structural key.
func (c *compiler) rowNode(what string, t types.T, ids []int, strict bool, pos int, f func([]types.Datum) (types.Datum, error), rest ...any) int {
	n := &rowwise{args: ids, kind: t.Kind(), strict: strict, pos: pos, fn: f, vecs: make([]*vec.Vec, len(ids)), row: make([]types.Datum, len(ids))}
	return c.put(keyOf(what, t, ids, rest...), t, n, ids, false, false)
}

// array compiles ARRAY[..].
func (c *compiler) array(e *planner.Array) (int, error) {
	ids, err := c.addAll(e.Elems)
	if err != nil {
		return 0, err
	}
	elem, ok := e.Typ.Elem()
	if !ok {
		return 0, pgerr.New(pgerr.UndefinedObject, "could not find array type for data type %s", e.Typ).At(e.Pos)
	}
	elem = elem.Bare()
	nested := len(e.Elems) > 0 && e.Elems[0].Type().IsArray()
	build := func(row []types.Datum) (types.Datum, error) {
		vals := make([]types.Datum, len(row))
		copy(vals, row)
		return types.NewArray(elem, vals).Encode(), nil
	}
	if nested {
		build = func(row []types.Datum) (types.Datum, error) { return nestArrays(e.Typ, elem, row) }
	}
	return c.rowNode("array", e.Typ, ids, false, e.Pos, build, nested), nil
}

// nestArrays makes an array of arrays of one shape. NULL and empty ones count as empty, as in PostgreSQL.
func nestArrays(t, elem types.T, row []types.Datum) (types.Datum, error) {
	out := types.Array{Elem: elem}
	empty := 0
	for _, d := range row {
		if d == nil {
			empty++
			continue
		}
		a, err := types.DecodeArray(t, []byte(d.(string)))
		if err != nil {
			return nil, err
		}
		if len(a.Dims) == 0 {
			empty++
			continue
		}
		if out.Dims == nil {
			if len(a.Dims) >= 6 {
				return nil, pgerr.New(pgerr.ProgramLimitExceeded, "number of array dimensions (%d) exceeds the maximum allowed (%d)", len(a.Dims)+1, 6)
			}
			out.Dims = append([]types.Dim{{Lower: 1}}, a.Dims...)
		} else if !sameDims(out.Dims[1:], a.Dims) {
			return nil, errArrayShape()
		}
		out.Dims[0].Len++
		out.Elems = append(out.Elems, a.Elems...)
	}
	if empty > 0 && out.Dims != nil {
		return nil, errArrayShape()
	}
	return out.Encode(), nil
}

func sameDims(a, b []types.Dim) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func errArrayShape() error {
	return pgerr.New(pgerr.ArraySubscriptError, "multidimensional arrays must have array expressions with matching dimensions")
}

// row compiles ROW(..).
func (c *compiler) row(e *planner.Row) (int, error) {
	ids, err := c.addAll(e.Elems)
	if err != nil {
		return 0, err
	}
	ts := make([]types.T, len(e.Elems))
	for i, x := range e.Elems {
		ts[i] = x.Type()
		if ts[i].Is(types.Unknown) {
			ts[i] = types.Text
		}
	}
	return c.rowNode("row", e.Typ, ids, false, 0, func(row []types.Datum) (types.Datum, error) {
		return types.EncodeRecord(ts, row), nil
	}), nil
}

// field compiles (record).field.
func (c *compiler) field(e *planner.Field) (int, error) {
	x, err := c.add(e.X)
	if err != nil {
		return 0, err
	}
	return c.rowNode("field", e.Typ, []int{x}, true, 0, func(row []types.Datum) (types.Datum, error) {
		_, vals, err := types.DecodeRecord([]byte(row[0].(string)))
		if err != nil || e.Index >= len(vals) {
			return nil, err
		}
		return vals[e.Index], nil
	}, e.Index), nil
}

// isNullRecord is IS [NOT] NULL of a record: true if the record is NULL or all its
// fields are NULL (NOT: none is).
type isNullRecord struct {
	x   int
	not bool
}

func (n *isNullRecord) eval(f *frame, r *reg) {
	v, out := f.get(n.x), &r.own
	out.Reset(types.KindBool, f.n)
	for i := range f.n {
		res := !n.not
		if v.IsNull(i) {
			out.Bools[i] = res
			continue
		}
		_, vals, err := types.DecodeRecord(v.Bytes(i))
		if err != nil {
			out.Fail(i, err)
			continue
		}
		res = true
		for _, d := range vals {
			if (d == nil) == n.not {
				res = false
			}
		}
		out.Bools[i] = res
	}
	out.CopyErrs(v)
	r.v = out
}

// subscript compiles array[i] and array[i:j].
func (c *compiler) subscript(e *planner.Subscript) (int, error) {
	ids := []int{-1}
	x, err := c.add(e.X)
	if err != nil {
		return 0, err
	}
	ids[0] = x
	// at and to give the operand of each lower and upper bound, 0 where it is open.
	bounds := func(es []planner.Expr) ([]int, error) {
		at := make([]int, len(es))
		for i, s := range es {
			if s == nil {
				continue
			}
			id, err := c.add(s)
			if err != nil {
				return nil, err
			}
			at[i] = len(ids)
			ids = append(ids, id)
		}
		return at, nil
	}
	at, err := bounds(e.Subs)
	if err != nil {
		return 0, err
	}
	to, err := bounds(e.Upper)
	if err != nil {
		return 0, err
	}
	t := e.X.Type()
	get := func(row []types.Datum) (types.Datum, error) {
		a, err := types.DecodeArray(t, []byte(row[0].(string)))
		if err != nil {
			return nil, err
		}
		if e.Slice {
			return slice(a, row, at, to).Encode(), nil
		}
		return element(a, row, at), nil
	}
	return c.rowNode("subscript", e.Typ, ids, true, 0, get, e.Slice, at, to), nil
}

func intDatum(d types.Datum) int64 {
	switch x := d.(type) {
	case int16:
		return int64(x)
	case int32:
		return int64(x)
	case int64:
		return x
	}
	return 0
}

// element gives one element: NULL where a subscript is out of bounds or their number is wrong.
func element(a types.Array, row []types.Datum, at []int) types.Datum {
	if len(at) != len(a.Dims) {
		return nil
	}
	i := int64(0)
	for d, s := range at {
		k := intDatum(row[s]) - int64(a.Dims[d].Lower)
		if k < 0 || k >= int64(a.Dims[d].Len) {
			return nil
		}
		i = i*int64(a.Dims[d].Len) + k
	}
	return a.Elems[i]
}

// slice gives a part of an array, empty where it lies outside. Lower bounds become 1.
func slice(a types.Array, row []types.Datum, at, to []int) types.Array {
	out := types.Array{Elem: a.Elem}
	if len(at) > len(a.Dims) {
		return out
	}
	lo, n := make([]int64, len(a.Dims)), make([]int64, len(a.Dims))
	total := int64(1)
	for d, dim := range a.Dims {
		first, last := int64(dim.Lower), int64(dim.Lower)+int64(dim.Len)-1
		from, upto := first, last
		if d < len(at) && at[d] > 0 {
			from = max(from, intDatum(row[at[d]]))
		}
		if d < len(to) && to[d] > 0 {
			upto = min(upto, intDatum(row[to[d]]))
		}
		if from > upto {
			return out
		}
		lo[d], n[d] = from-first, upto-from+1
		total *= n[d]
		out.Dims = append(out.Dims, types.Dim{Len: int32(n[d]), Lower: 1})
	}
	pos := make([]int64, len(a.Dims))
	for range total {
		i := int64(0)
		for d := range pos {
			i = i*int64(a.Dims[d].Len) + lo[d] + pos[d]
		}
		out.Elems = append(out.Elems, a.Elems[i])
		for d := len(pos) - 1; d >= 0; d-- {
			if pos[d]++; pos[d] < n[d] {
				break
			}
			pos[d] = 0
		}
	}
	return out
}

// anyNode is X op ANY (array), or ALL: the operator runs once over all elements of all rows.
type anyNode struct {
	x, arr int
	op     *fn.Func
	all    bool
	pos    int
	typ    types.T // of the array
	lhs    vec.Vec
	rhs    vec.Vec
	res    vec.Vec
	ends   []int
}

func (c *compiler) anyArray(e *planner.AnyArray) (int, error) {
	ids, err := c.addAll([]planner.Expr{e.X, e.Array})
	if err != nil {
		return 0, err
	}
	n := &anyNode{x: ids[0], arr: ids[1], op: e.Op, all: e.All, pos: e.Pos, typ: e.Array.Type()}
	key := keyOf("any", e.Array.Type(), ids, e.Op.Name, e.Op.OID, e.All)
	return c.put(key, types.Bool, n, ids, false, e.Op.Volatility == fn.Volatile), nil
}

func (n *anyNode) eval(f *frame, r *reg) {
	x, arr, out := f.get(n.x), f.get(n.arr), &r.own
	r.v = out
	elem, _ := n.typ.Elem()
	out.Reset(types.KindBool, f.n)
	n.lhs.Reset(x.Kind, 0)
	n.rhs.Reset(elem.Kind(), 0)
	n.ends = n.ends[:0]
	var last types.Array
	for i := range f.n {
		if !arr.IsNull(i) && (i == 0 || !arr.Const || last.Elems == nil) {
			var err error
			if last, err = types.DecodeArray(n.typ, arr.Bytes(i)); err != nil {
				out.Fail(i, pgerr.AtPos(err, n.pos))
				last = types.Array{}
			}
		}
		if !arr.IsNull(i) {
			for _, d := range last.Elems {
				n.lhs.Append(x, i)
				n.rhs.AppendDatum(d)
			}
		}
		n.ends = append(n.ends, n.rhs.N)
	}
	n.res.Reset(types.KindBool, 0)
	if n.rhs.N > 0 {
		n.op.Call(f.p.fn, []*vec.Vec{&n.lhs, &n.rhs}, &n.res, n.rhs.N)
	}
	var bad map[int]error
	if len(n.res.Errs) > 0 {
		bad = map[int]error{}
		place(n.res.Errs, n.pos)
		for _, e := range n.res.Errs {
			bad[int(e.Row)] = e.Err
		}
	}
	failed := failures(out)
	from := 0
	for i, end := range n.ends {
		n.reduce(out, i, from, end, arr.IsNull(i), failed[int32(i)], bad)
		from = end
	}
	inheritErrs(out, x, arr)
	n.lhs.Release()
	n.rhs.Release()
	n.res.Release()
}

// reduce makes row i of the results of its elements. A decisive element hides NULLs and failures of others.
func (n *anyNode) reduce(out *vec.Vec, i, from, end int, null, failed bool, bad map[int]error) {
	if failed {
		return
	}
	if null {
		out.SetNull(i)
		return
	}
	unknown := false
	var err error
	for j := from; j < end; j++ {
		switch {
		case bad[j] != nil:
			if err == nil {
				err = bad[j]
			}
		case n.res.IsNull(j):
			unknown = true
		case n.res.Bools[j] != n.all:
			out.Bools[i] = !n.all
			return
		}
	}
	out.Bools[i] = n.all
	switch {
	case err != nil:
		out.Fail(i, err)
	case unknown:
		out.SetNull(i)
	}
}
