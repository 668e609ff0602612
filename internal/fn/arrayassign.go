package fn

import (
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
)

// ArrayAssign gives the function that UPDATE .. SET a[i] = v computes: its arguments are the array of type t (which may be
// NULL), the value (an element, or with slice an array) and n subscripts, for a slice n lower and then n upper bounds.
// Elements between the old bounds and the new ones become NULL.
func ArrayAssign(t types.T, n int, slice bool) *Func {
	elem, _ := t.Elem()
	return &Func{Name: "array assignment", Ret: t, Volatility: Immutable, Kernel: rowD(func(_ *Ctx, a []types.Datum) (types.Datum, error) {
		subs := make([]int32, 0, len(a)-2)
		for _, s := range a[2:] {
			if s == nil {
				return nil, pgerr.New(pgerr.NullValueNotAllowed, "array subscript in assignment must not be null")
			}
			subs = append(subs, s.(int32))
		}
		lower, upper := subs, subs
		values := []types.Datum{a[1]}
		if slice {
			if a[1] == nil {
				return a[0], nil
			}
			lower, upper = subs[:n], subs[n:]
			v, err := types.DecodeArray(t, bytesOf(a[1].(string)))
			if err != nil {
				return nil, err
			}
			values = v.Elems
		}
		arr := types.Array{Elem: elem}
		if a[0] != nil {
			var err error
			if arr, err = types.DecodeArray(t, bytesOf(a[0].(string))); err != nil {
				return nil, err
			}
		}
		if err := assignElements(&arr, lower, upper, values); err != nil {
			return nil, err
		}
		return arr.Encode(), nil
	}, false)}
}

func errSubscript(message string) error { return pgerr.New("2202E", "%s", message) }

// assignElements puts values into the box from lower to upper.
func assignElements(arr *types.Array, lower, upper []int32, values []types.Datum) error {
	for i := range lower {
		if upper[i] < lower[i] {
			return errSubscript("upper bound cannot be less than lower bound")
		}
	}
	if len(arr.Dims) == 0 {
		n := int64(1)
		for i := range lower {
			d := types.Dim{Len: upper[i] - lower[i] + 1, Lower: lower[i]}
			if n *= int64(d.Len); n > 1<<27 || d.Len < 0 {
				return pgerr.New(pgerr.ProgramLimitExceeded, "array size exceeds the maximum allowed (%d)", 1<<27-1)
			}
			arr.Dims = append(arr.Dims, d)
		}
		if int64(len(values)) < n {
			return errSubscript("source array too small")
		}
		arr.Elems = values[:n]
		return nil
	}
	if len(arr.Dims) < len(lower) || len(arr.Dims) > 1 && len(lower) != len(arr.Dims) {
		return errSubscript("wrong number of array subscripts")
	}
	if len(arr.Dims) == 1 {
		d := &arr.Dims[0]
		first, end := min(d.Lower, lower[0]), max(int64(d.Lower)+int64(d.Len), int64(upper[0])+1)
		if end-int64(first) > 1<<27 {
			return pgerr.New(pgerr.ProgramLimitExceeded, "array size exceeds the maximum allowed (%d)", 1<<27-1)
		}
		elems := make([]types.Datum, end-int64(first))
		copy(elems[d.Lower-first:], arr.Elems)
		arr.Elems, d.Lower, d.Len = elems, first, int32(len(elems))
	}
	count := 1
	for i, d := range arr.Dims {
		if lower[i] < d.Lower || int64(upper[i]) >= int64(d.Lower)+int64(d.Len) {
			return errSubscript("array subscript out of range")
		}
		count *= int(upper[i]-lower[i]) + 1
	}
	if len(values) < count {
		return errSubscript("source array too small")
	}
	at := append([]int32(nil), lower...)
	for _, v := range values[:count] {
		k := 0
		for i, d := range arr.Dims {
			k = k*int(d.Len) + int(at[i]-d.Lower)
		}
		arr.Elems[k] = v
		for i := len(at) - 1; i >= 0; i-- {
			if at[i]++; at[i] <= upper[i] {
				break
			}
			at[i] = lower[i]
		}
	}
	return nil
}
