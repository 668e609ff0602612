package planner

import (
	"streamsql/internal/fn"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// fold evaluates constant expressions with the kernels, one row at a time, as the executor does in batches.
func fold(e Expr) (types.Datum, error) {
	v, err := eval(e)
	if err != nil {
		return nil, err
	}
	return v, nil
}

var foldCtx = &fn.Ctx{}

func column(t types.T, d types.Datum) *vec.Vec {
	v := &vec.Vec{}
	v.SetConst(t.Kind(), d, 1)
	return v
}

func eval(e Expr) (types.Datum, error) {
	switch e := e.(type) {
	case *Const:
		return e.Val, nil
	case *Call:
		args := make([]*vec.Vec, len(e.Args))
		for i, a := range e.Args {
			d, err := eval(a)
			if err != nil {
				return nil, err
			}
			args[i] = column(a.Type(), d)
		}
		out := &vec.Vec{}
		e.Fn.Call(foldCtx, args, out, 1)
		return result(out)
	case *Cast:
		d, err := eval(e.X)
		if err != nil || e.Cast == nil {
			return d, err
		}
		out := &vec.Vec{}
		e.Cast.Run(foldCtx, column(e.X.Type(), d), out, 1, e.To, e.Explicit)
		return result(out)
	case *Not:
		d, err := eval(e.X)
		if b, ok := d.(bool); ok {
			return !b, err
		}
		return nil, err
	case *IsNull:
		d, err := eval(e.X)
		return (d == nil) != e.Not, err
	}
	return nil, errFold
}

var errFold = fnError("not foldable in this test")

type fnError string

func (e fnError) Error() string { return string(e) }

func result(v *vec.Vec) (types.Datum, error) {
	if len(v.Errs) > 0 {
		return nil, v.Errs[0].Err
	}
	return v.Datum(0), nil
}
