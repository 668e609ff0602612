package fn

import (
	"encoding/binary"
	"slices"
	"strings"

	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

func decode(t types.T, d types.Datum) (types.Array, error) {
	return types.DecodeArray(t, bytesOf(d.(string)))
}

// Subscript gives a[i, ..] of an array of type t, NULL where it is out of bounds or the number of subscripts is not the dimensions'.
func Subscript(t types.T, arr types.Datum, index []int32) (types.Datum, error) {
	if arr == nil {
		return nil, nil
	}
	a, err := decode(t, arr)
	if err != nil || len(index) != len(a.Dims) {
		return nil, err
	}
	at := 0
	for i, d := range a.Dims {
		x := int64(index[i]) - int64(d.Lower)
		if x < 0 || x >= int64(d.Len) {
			return nil, nil
		}
		at = at*int(d.Len) + int(x)
	}
	return a.Elems[at], nil
}

// Slice gives a[lo:hi, ..] of an array of type t; lo and hi may be nil for the array's own bounds. The result counts from 1.
func Slice(t types.T, arr types.Datum, lo, hi []*int32) (types.Datum, error) {
	if arr == nil {
		return nil, nil
	}
	a, err := decode(t, arr)
	if err != nil {
		return nil, err
	}
	out := types.Array{Elem: a.Elem}
	if len(lo) > len(a.Dims) {
		return out.Encode(), nil
	}
	from := make([]int, len(a.Dims))
	for i, d := range a.Dims {
		l, h := int64(d.Lower), int64(d.Lower)+int64(d.Len)-1
		if i < len(lo) {
			if lo[i] != nil {
				l = max(l, int64(*lo[i]))
			}
			if hi[i] != nil {
				h = min(h, int64(*hi[i]))
			}
		}
		if l > h {
			return types.Array{Elem: a.Elem}.Encode(), nil
		}
		from[i] = int(l - int64(d.Lower))
		out.Dims = append(out.Dims, types.Dim{Len: int32(h - l + 1), Lower: 1})
	}
	var walk func(dim, at int)
	walk = func(dim, at int) {
		if dim == len(a.Dims) {
			out.Elems = append(out.Elems, a.Elems[at])
			return
		}
		for i := range int(out.Dims[dim].Len) {
			walk(dim+1, at*int(a.Dims[dim].Len)+from[dim]+i)
		}
	}
	walk(0, 0)
	return out.Encode(), nil
}

func errDims(detail string) error {
	return pgerr.New(pgerr.ArraySubscriptError, "cannot concatenate incompatible arrays").WithDetail("%s", detail)
}

// appendElem is array || element, and element || array where front.
func appendElem(t types.T, arr, elem types.Datum, front bool) (types.Datum, error) {
	e, _ := t.Elem()
	a := types.Array{Elem: e}
	if arr != nil {
		var err error
		if a, err = decode(t, arr); err != nil {
			return nil, err
		}
	}
	switch {
	case len(a.Dims) == 0:
		return types.NewArray(e, []types.Datum{elem}).Encode(), nil
	case len(a.Dims) > 1:
		return nil, pgerr.New("22000", "argument must be empty or one-dimensional array")
	}
	out := types.Array{Elem: e, Dims: []types.Dim{{Len: a.Dims[0].Len + 1, Lower: a.Dims[0].Lower}}}
	if front {
		out.Elems = append(append(out.Elems, elem), a.Elems...)
	} else {
		out.Elems = append(append(out.Elems, a.Elems...), elem)
	}
	return out.Encode(), nil
}

func concatArrays(t types.T, x, y types.Datum) (types.Datum, error) {
	switch {
	case x == nil:
		return y, nil
	case y == nil:
		return x, nil
	}
	a, err := decode(t, x)
	if err != nil {
		return nil, err
	}
	b, err := decode(t, y)
	if err != nil {
		return nil, err
	}
	switch {
	case len(a.Dims) == 0:
		return y, nil
	case len(b.Dims) == 0:
		return x, nil
	}
	same := func(p, q []types.Dim) bool {
		for i := range p {
			if p[i].Len != q[i].Len {
				return false
			}
		}
		return true
	}
	out := types.Array{Elem: a.Elem}
	out.Elems = append(append(out.Elems, a.Elems...), b.Elems...)
	switch na, nb := len(a.Dims), len(b.Dims); {
	case na == nb && same(a.Dims[1:], b.Dims[1:]):
		out.Dims = append(out.Dims, a.Dims...)
		out.Dims[0].Len += b.Dims[0].Len
	case na == nb+1 && same(a.Dims[1:], b.Dims):
		out.Dims = append(out.Dims, a.Dims...)
		out.Dims[0].Len++
	case nb == na+1 && same(b.Dims[1:], a.Dims):
		out.Dims = append(out.Dims, b.Dims...)
		out.Dims[0].Len++
	default:
		return nil, errDims("Arrays with differing dimensions are not compatible for concatenation.")
	}
	return out.Encode(), nil
}

// arrayFn registers a function of an array and other arguments that must know the type of the array, argument k.
func arrayFn(sig string, k int, strict bool, f func(c *Ctx, t types.T, a []types.Datum) (types.Datum, error)) {
	o := []option{bound(func(ts []types.T, _ types.T) Kernel {
		t := ts[k]
		return rowD(func(c *Ctx, a []types.Datum) (types.Datum, error) { return f(c, t, a) }, strict)
	})}
	if !strict {
		o = append(o, nonStrict)
	}
	if strings.Contains(sig, " || ") {
		op(sig, nil, o...)
		return
	}
	def(sig, nil, o...)
}

// needEquality fails for elements that cannot be compared.
func needEquality(a types.Array) error {
	if len(a.Elems) > 0 && a.Elem.OID == types.OIDJSON {
		return pgerr.New(pgerr.UndefinedFunction, "could not identify an equality operator for type %s", a.Elem.Format())
	}
	return nil
}

func distinctFrom(t types.T, a, b types.Datum) bool {
	if a == nil || b == nil {
		return (a == nil) != (b == nil)
	}
	return types.Compare(t, a, b) != 0
}

// positions gives the subscripts of the elements of an array equal to x, from subscript start on.
func positions(t types.T, a []types.Datum, limit int) ([]types.Datum, error) {
	if a[0] == nil {
		return nil, nil
	}
	arr, err := decode(t, a[0])
	if err != nil {
		return nil, err
	}
	if len(arr.Dims) > 1 {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "searching for elements in multidimensional arrays is not supported")
	}
	if a[1] == nil && !slices.Contains(arr.Elems, nil) {
		return nil, nil
	}
	if len(a) > 2 && a[2] == nil && len(arr.Dims) > 0 {
		return nil, pgerr.New(pgerr.NullValueNotAllowed, "initial position must not be null")
	}
	var out []types.Datum
	for i, e := range arr.Elems {
		at := arr.Dims[0].Lower + int32(i)
		if len(a) > 2 && at < a[2].(int32) {
			continue
		}
		if !distinctFrom(arr.Elem, e, a[1]) {
			out = append(out, at)
			if len(out) == limit {
				break
			}
		}
	}
	return out, nil
}

func arrayToString(c *Ctx, t types.T, a []types.Datum) (types.Datum, error) {
	if a[0] == nil || a[1] == nil {
		return nil, nil
	}
	arr, err := decode(t, a[0])
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	some := false
	for _, e := range arr.Elems {
		s := ""
		if e == nil {
			if len(a) < 3 || a[2] == nil {
				continue
			}
			s = a[2].(string)
		} else {
			s = formatDatum(c, arr.Elem, e)
		}
		if some {
			b.WriteString(a[1].(string))
		}
		some = true
		b.WriteString(s)
	}
	return b.String(), nil
}

func containsAll(t types.T, a, b types.Datum) (bool, error) {
	x, err := decode(t, a)
	if err != nil {
		return false, err
	}
	y, err := decode(t, b)
	if err != nil {
		return false, err
	}
	for _, e := range y.Elems {
		if e == nil || !hasElem(x, e) {
			return false, nil
		}
	}
	return true, nil
}

func hasElem(a types.Array, e types.Datum) bool {
	for _, x := range a.Elems {
		if x != nil && types.Compare(a.Elem, x, e) == 0 {
			return true
		}
	}
	return false
}

// dimsKernel adapts a function of an array's dimensions; a nil result is NULL.
func dimsKernel(f func(dims []types.Dim, n int, d int32) types.Datum) Kernel {
	return func(_ *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
		for i := range n {
			if anyNull(args, i) {
				skip(out)
				continue
			}
			dims, count, err := arrayDims(args[0].Bytes(i))
			if err != nil {
				failLane(out, i, err)
				continue
			}
			d := int32(1)
			if len(args) > 1 {
				d = args[1].I32[i]
			}
			putDatum(out, i, f(dims, count, d), nil)
		}
	}
}

func ofDim(f func(d types.Dim) int32) Kernel {
	return dimsKernel(func(dims []types.Dim, _ int, d int32) types.Datum {
		if d < 1 || int(d) > len(dims) {
			return nil
		}
		return f(dims[d-1])
	})
}

func init() {
	def("array_length(anyarray,int4) int4", ofDim(func(d types.Dim) int32 { return d.Len }))
	def("array_lower(anyarray,int4) int4", ofDim(func(d types.Dim) int32 { return d.Lower }))
	def("array_upper(anyarray,int4) int4", ofDim(func(d types.Dim) int32 { return d.Lower + d.Len - 1 }))
	def("cardinality(anyarray) int4", dimsKernel(func(_ []types.Dim, n int, _ int32) types.Datum { return int32(n) }))
	def("array_ndims(anyarray) int4", dimsKernel(func(dims []types.Dim, _ int, _ int32) types.Datum {
		if len(dims) == 0 {
			return nil
		}
		return int32(len(dims))
	}))
	def("array_dims(anyarray) text", dimsKernel(func(dims []types.Dim, _ int, _ int32) types.Datum {
		if len(dims) == 0 {
			return nil
		}
		var b []byte
		for _, d := range dims {
			b = types.AppendInt(append(b, '['), int64(d.Lower))
			b = append(types.AppendInt(append(b, ':'), int64(d.Lower+d.Len-1)), ']')
		}
		return string(b)
	}))
	push := func(_ *Ctx, t types.T, a []types.Datum) (types.Datum, error) { return appendElem(t, a[0], a[1], false) }
	unshift := func(_ *Ctx, t types.T, a []types.Datum) (types.Datum, error) { return appendElem(t, a[1], a[0], true) }
	cat := func(_ *Ctx, t types.T, a []types.Datum) (types.Datum, error) { return concatArrays(t, a[0], a[1]) }
	arrayFn("anycompatiblearray || anycompatiblearray anycompatiblearray", 0, false, cat)
	arrayFn("anycompatiblearray || anycompatible anycompatiblearray", 0, false, push)
	arrayFn("anycompatible || anycompatiblearray anycompatiblearray", 1, false, unshift)
	arrayFn("array_cat(anycompatiblearray,anycompatiblearray) anycompatiblearray", 0, false, cat)
	arrayFn("array_append(anycompatiblearray,anycompatible) anycompatiblearray", 0, false, push)
	arrayFn("array_prepend(anycompatible,anycompatiblearray) anycompatiblearray", 1, false, unshift)
	first := func(_ *Ctx, t types.T, a []types.Datum) (types.Datum, error) {
		p, err := positions(t, a, 1)
		if len(p) == 0 {
			return nil, err
		}
		return p[0], err
	}
	arrayFn("array_position(anycompatiblearray,anycompatible) int4", 0, false, first)
	arrayFn("array_position(anycompatiblearray,anycompatible,int4) int4", 0, false, first)
	arrayFn("array_positions(anycompatiblearray,anycompatible) int4[]", 0, false, func(_ *Ctx, t types.T, a []types.Datum) (types.Datum, error) {
		if a[0] == nil {
			return nil, nil
		}
		p, err := positions(t, a, 0)
		return types.NewArray(types.Int4, p).Encode(), err
	})
	arrayFn("array_remove(anycompatiblearray,anycompatible) anycompatiblearray", 0, false, func(_ *Ctx, t types.T, a []types.Datum) (types.Datum, error) {
		if a[0] == nil {
			return nil, nil
		}
		arr, err := decode(t, a[0])
		if err != nil {
			return nil, err
		}
		if len(arr.Dims) > 1 {
			return nil, pgerr.New(pgerr.FeatureNotSupported, "removing elements from multidimensional arrays is not supported")
		}
		if err := needEquality(arr); err != nil {
			return nil, err
		}
		var kept []types.Datum
		for _, e := range arr.Elems {
			if distinctFrom(arr.Elem, e, a[1]) {
				kept = append(kept, e)
			}
		}
		out := types.NewArray(arr.Elem, kept)
		for i := range out.Dims {
			out.Dims[i].Lower = arr.Dims[i].Lower
		}
		return out.Encode(), nil
	})
	arrayFn("array_replace(anycompatiblearray,anycompatible,anycompatible) anycompatiblearray", 0, false, func(_ *Ctx, t types.T, a []types.Datum) (types.Datum, error) {
		if a[0] == nil {
			return nil, nil
		}
		arr, err := decode(t, a[0])
		if err == nil {
			err = needEquality(arr)
		}
		if err != nil {
			return nil, err
		}
		for i, e := range arr.Elems {
			if !distinctFrom(arr.Elem, e, a[1]) {
				arr.Elems[i] = a[2]
			}
		}
		return arr.Encode(), nil
	})
	arrayFn("trim_array(anyarray,int4) anyarray", 0, true, func(_ *Ctx, t types.T, a []types.Datum) (types.Datum, error) {
		arr, err := decode(t, a[0])
		if err != nil {
			return nil, err
		}
		n, have := a[1].(int32), int32(0)
		if len(arr.Dims) > 0 {
			have = arr.Dims[0].Len
		}
		if n < 0 || n > have {
			return nil, pgerr.New(pgerr.ArraySubscriptError, "number of elements to trim must be between 0 and %d", have)
		}
		if n == have {
			return types.Array{Elem: arr.Elem}.Encode(), nil
		}
		arr.Elems = arr.Elems[:len(arr.Elems)/int(have)*int(have-n)]
		arr.Dims[0] = types.Dim{Len: have - n, Lower: 1}
		return arr.Encode(), nil
	})
	arrayFn("array_to_string(anyarray,text) text", 0, false, arrayToString)
	arrayFn("array_to_string(anyarray,text,text) text", 0, false, arrayToString)
	test := func(sym string, f func(t types.T, a, b types.Datum) (bool, error)) {
		op("anyarray "+sym+" anyarray bool", nil, bound(func(ts []types.T, _ types.T) Kernel {
			return rowD(func(_ *Ctx, a []types.Datum) (types.Datum, error) { return f(ts[0], a[0], a[1]) }, true)
		}))
	}
	test("@>", containsAll)
	test("<@", func(t types.T, a, b types.Datum) (bool, error) { return containsAll(t, b, a) })
	test("&&", func(t types.T, a, b types.Datum) (bool, error) {
		x, err := decode(t, a)
		if err != nil {
			return false, err
		}
		y, err := decode(t, b)
		for _, e := range y.Elems {
			if e != nil && hasElem(x, e) {
				return true, err
			}
		}
		return false, err
	})
}

// arrayDims reads only the dimensions of an array and the number of its elements.
func arrayDims(b []byte) ([]types.Dim, int, error) {
	bad := pgerr.New(pgerr.InvalidBinaryRepresentation, "invalid array flags or dimensions in external binary format")
	if len(b) < 12 {
		return nil, 0, bad
	}
	nd := int(binary.BigEndian.Uint32(b))
	if nd > 6 || len(b) < 12+8*nd {
		return nil, 0, bad
	}
	dims, n := make([]types.Dim, nd), min(nd, 1)
	for i := range dims {
		dims[i] = types.Dim{Len: int32(binary.BigEndian.Uint32(b[12+8*i:])), Lower: int32(binary.BigEndian.Uint32(b[16+8*i:]))}
		n *= int(dims[i].Len)
	}
	if n == 0 {
		dims = nil
	}
	return dims, n, nil
}
