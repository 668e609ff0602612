package fn

import (
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
)

// comparison are the operators that enums have: their values are held so that they compare as strings.
var comparison = map[string]bool{"=": true, "<>": true, "<": true, "<=": true, ">": true, ">=": true}

// enumsAsText gives text for the arguments of one enum type, and that type for all of them: unknown literals are taken for its
// labels. ok is false where there is no enum, or anything else beside it.
func enumsAsText(args []types.T) (text, enum []types.T, ok bool) {
	var e types.T
	for _, a := range args {
		switch {
		case a.Is(types.Unknown):
		case !a.IsEnum() || e.OID != 0 && e.OID != a.OID:
			return nil, nil, false
		default:
			e = a
		}
	}
	if e.OID == 0 {
		return nil, nil, false
	}
	for range args {
		text, enum = append(text, types.Text), append(enum, e)
	}
	return text, enum, true
}

// enumFn makes the kernel of a function that looks at the labels of its argument's type.
func enumFn(name string, f func(e *types.Enum, t types.T) types.Datum) option {
	return bound(func(args []types.T, _ types.T) Kernel {
		t := args[0]
		e := types.EnumOf(t)
		return rowD(func(*Ctx, []types.Datum) (types.Datum, error) {
			if e == nil {
				return nil, pgerr.New(pgerr.UndefinedFunction, "function %s(%s) does not exist", name, t.Format())
			}
			return f(e, t), nil
		}, false)
	})
}

func init() {
	def("enum_first(anyelement) anyelement", nil, enumFn("enum_first", func(e *types.Enum, _ types.T) types.Datum {
		if len(e.Labels) == 0 {
			return nil
		}
		return e.EnumValue(0)
	}), nonStrict, stable)
	def("enum_last(anyelement) anyelement", nil, enumFn("enum_last", func(e *types.Enum, _ types.T) types.Datum {
		if len(e.Labels) == 0 {
			return nil
		}
		return e.EnumValue(len(e.Labels) - 1)
	}), nonStrict, stable)
	def("enum_range(anyelement) anyarray", nil, enumFn("enum_range", func(e *types.Enum, t types.T) types.Datum {
		elems := make([]types.Datum, len(e.Labels))
		for i := range elems {
			elems[i] = e.EnumValue(i)
		}
		return types.NewArray(t, elems).Encode()
	}), nonStrict, stable)
	def("enum_range(anyelement,anyelement) anyarray", nil, bound(func(args []types.T, _ types.T) Kernel {
		t := args[0]
		e := types.EnumOf(t)
		return rowD(func(_ *Ctx, a []types.Datum) (types.Datum, error) {
			if e == nil {
				return nil, pgerr.New(pgerr.UndefinedFunction, "function enum_range(%s, %s) does not exist", t.Format(), t.Format())
			}
			var elems []types.Datum
			in := a[0] == nil
			for i := range e.Labels {
				v := e.EnumValue(i)
				if in = in || v == a[0]; in {
					elems = append(elems, v)
				}
				if a[1] != nil && v == a[1] {
					if !in {
						return types.NewArray(t, nil).Encode(), nil
					}
					break
				}
			}
			return types.NewArray(t, elems).Encode(), nil
		}, false)
	}), nonStrict, stable)
}
