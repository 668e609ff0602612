package fn

import (
	"strconv"

	"streamsql/internal/pgerr"
	"streamsql/internal/types"
)

// arrayFill is array_fill: an array of the given lengths, all of whose elements are one value.
func arrayFill(c *Ctx, ret types.T, value types.Datum, lens, lower types.Datum) (types.Datum, error) {
	if lens == nil || lower == nil {
		return nil, pgerr.New(pgerr.NullValueNotAllowed, "dimension array or low bound array cannot be null")
	}
	read := func(d types.Datum) ([]int32, error) {
		a, err := types.DecodeArray(mustType("int4[]"), bytesOf(d.(string)))
		if err != nil {
			return nil, err
		}
		if len(a.Dims) > 1 {
			return nil, pgerr.New("2202E", "wrong number of array subscripts").WithDetail("Dimension array must be one dimensional.")
		}
		out := make([]int32, len(a.Elems))
		for i, e := range a.Elems {
			if e == nil {
				return nil, pgerr.New(pgerr.NullValueNotAllowed, "dimension values cannot be null")
			}
			out[i] = e.(int32)
		}
		return out, nil
	}
	ls, err := read(lens)
	if err != nil {
		return nil, err
	}
	lows := make([]int32, len(ls))
	for i := range lows {
		lows[i] = 1
	}
	if lower != 1 {
		if lows, err = read(lower); err != nil {
			return nil, err
		}
		if len(lows) != len(ls) {
			return nil, pgerr.New("2202E", "wrong number of array subscripts").WithDetail("Low bound array has different size than dimensions array.")
		}
	}
	if len(ls) > 6 {
		return nil, pgerr.New(pgerr.ProgramLimitExceeded, "number of array dimensions (%d) exceeds the maximum allowed (%d)", len(ls), 6)
	}
	const most = 1 << 27 // elements; as PostgreSQL's MaxArraySize
	n := int64(1)
	a := types.Array{}
	for i, l := range ls {
		if l < 0 || n*int64(l) > most {
			return nil, pgerr.New(pgerr.ProgramLimitExceeded, "array size exceeds the maximum allowed (%d)", most-1)
		}
		n *= int64(l)
		a.Dims = append(a.Dims, types.Dim{Len: l, Lower: lows[i]})
	}
	a.Elem, _ = ret.Elem()
	if len(ls) == 0 || n == 0 {
		a.Dims = nil
		return a.Encode(), nil
	}
	width := 16
	if s, ok := value.(string); ok {
		width += 16 + len(s)
	}
	c.Need(2 * width * int(n))
	a.Elems = make([]types.Datum, n)
	for i := range a.Elems {
		a.Elems[i] = value
	}
	return a.Encode(), nil
}

// bucketOf is width_bucket over an array of lower bounds: how many of them are not above the operand.
func bucketOf(t types.T, operand, bounds types.Datum) (types.Datum, error) {
	a, err := types.DecodeArray(t, bytesOf(bounds.(string)))
	if err != nil {
		return nil, err
	}
	if len(a.Dims) > 1 {
		return nil, pgerr.New("2202E", "thresholds must be one-dimensional array")
	}
	e, _ := t.Elem()
	for _, x := range a.Elems {
		if x == nil {
			return nil, pgerr.New(pgerr.NullValueNotAllowed, "thresholds array must not contain NULLs")
		}
	}
	lo, hi := 0, len(a.Elems)
	for lo < hi {
		mid := (lo + hi) / 2
		if types.Compare(e, operand, a.Elems[mid]) < 0 {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return int32(lo), nil
}

func init() {
	def("array_fill(anyelement,int4[]) anyarray", nil, nonStrict, bound(func(_ []types.T, ret types.T) Kernel {
		return rowD(func(c *Ctx, a []types.Datum) (types.Datum, error) { return arrayFill(c, ret, a[0], a[1], 1) }, false)
	}))
	def("array_fill(anyelement,int4[],int4[]) anyarray", nil, nonStrict, bound(func(_ []types.T, ret types.T) Kernel {
		return rowD(func(c *Ctx, a []types.Datum) (types.Datum, error) { return arrayFill(c, ret, a[0], a[1], a[2]) }, false)
	}))
	def("width_bucket(anycompatible,anycompatiblearray) int4", nil, bound(func(ts []types.T, _ types.T) Kernel {
		return rowD(func(_ *Ctx, a []types.Datum) (types.Datum, error) { return bucketOf(ts[1], a[0], a[1]) }, true)
	}))

	def("jsonb_set_lax(jsonb,text[],jsonb,bool,text) jsonb", rowD(jsonbSetLax, false), nonStrict, defaults("true", "use_json_null"),
		named("jsonb_in", "path", "replacement", "create_if_missing", "null_value_treatment"))
}

// jsonbSetLax is jsonb_set where the new value may be NULL.
func jsonbSetLax(_ *Ctx, a []types.Datum) (types.Datum, error) {
	if a[0] == nil || a[1] == nil || a[3] == nil {
		return nil, nil
	}
	mode := pathReplace
	if a[3].(bool) {
		mode |= pathCreate
	}
	const where = "cannot set path in scalar"
	if a[2] != nil && a[4] != nil {
		return jsonbSet(a[0].(string), a[1].(string), a[2].(string), mode, where)
	}
	const hint = "null_value_treatment must be \"delete_key\", \"return_target\", \"use_json_null\", or \"raise_exception\""
	how, _ := a[4].(string)
	switch {
	case a[4] == nil:
		return nil, pgerr.New(pgerr.InvalidParameterValue, hint)
	case how == "raise_exception":
		return nil, pgerr.New(pgerr.NullValueNotAllowed, "JSON value must not be null").
			WithDetail("Exception was raised because null_value_treatment is \"raise_exception\".").
			WithHint("To avoid, either change the null_value_treatment argument or ensure that an SQL NULL is not passed.")
	case how == "use_json_null":
		return jsonbSet(a[0].(string), a[1].(string), "null", mode, where)
	case how == "delete_key":
		return jsonbSet(a[0].(string), a[1].(string), "", pathDelete, "cannot delete path in scalar")
	case how == "return_target":
		return a[0], nil
	}
	return nil, pgerr.New(pgerr.InvalidParameterValue, hint)
}

var errBitIndex = func(i, n int64) error {
	return pgerr.New("2202E", "index %s out of valid range, 0..%s", strconv.FormatInt(i, 10), strconv.FormatInt(n, 10))
}
