package fn

import (
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

func variable(k types.Kind) bool { return k == types.KindString || k == types.KindBytes }

// Call computes f for n rows of args into out, which it resets. It is the whole
// calling convention: NULL for NULL where f is strict, rows that failed in an
// argument fail in the result with the first of their errors, and rows that are
// NULL or failed are not evaluated so that they could fail again. f must be the
// one that ResolveFunc or ResolveOp gave, and args must have its types.
func (f *Func) Call(c *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
	k := f.Ret.Kind()
	v := variable(k)
	if v {
		out.Reset(k, 0)
	} else {
		out.Reset(k, n)
		if f.Strict {
			for _, a := range args {
				out.AndValid(a)
			}
		}
	}
	f.needFor(c, args)
	f.Kernel(c, args, out, n)
	if v && f.Strict {
		for _, a := range args {
			out.AndValid(a)
		}
	}
	inheritErrs(args, out)
	if n > 0 && f.Volatility != Volatile && len(out.Errs) == 0 {
		out.Const = true
		for _, a := range args {
			out.Const = out.Const && a.Const
		}
	}
}

// inheritErrs makes rows that failed in an argument fail in out, once each.
func inheritErrs(args []*vec.Vec, out *vec.Vec) {
	total := 0
	for _, a := range args {
		total += len(a.Errs)
	}
	if total == 0 {
		return
	}
	own := out.Errs
	seen := make(map[int32]bool, total+len(own))
	out.Errs = nil
	for _, a := range args {
		for _, e := range a.Errs {
			if !seen[e.Row] {
				seen[e.Row] = true
				out.Fail(int(e.Row), e.Err)
			}
		}
	}
	for _, e := range own {
		if !seen[e.Row] {
			out.Errs = append(out.Errs, e)
		}
	}
}

// Run converts n rows of in to type to, whose modifier is applied; out is reset.
// explicit says that the cast was written out.
func (c *Cast) Run(ctx *Ctx, in, out *vec.Vec, n int, to types.T, explicit bool) {
	k := to.Kind()
	v := variable(k)
	if v {
		out.Reset(k, 0)
	} else {
		out.Reset(k, n)
		out.AndValid(in)
	}
	if c.Kernel != nil {
		c.Kernel(ctx, in, out, n, to.Mod, explicit)
	} else {
		copyValues(in, out, n)
	}
	if v {
		out.AndValid(in)
	}
	if len(in.Errs) > 0 {
		inheritErrs([]*vec.Vec{in}, out)
	}
	if to.Mod >= 0 && needsMod(to) && !c.modDone {
		applyMod(in, out, n, to, explicit)
	}
	out.Const = in.Const && n > 0 && len(out.Errs) == 0
}

// copyValues copies rows of one kind: the kernel of casts that keep the representation.
func copyValues(in, out *vec.Vec, n int) {
	switch in.Kind {
	case types.KindBool:
		copy(out.Bools[:n], in.Bools)
	case types.KindInt16:
		copy(out.I16[:n], in.I16)
	case types.KindInt32:
		copy(out.I32[:n], in.I32)
	case types.KindInt64:
		copy(out.I64[:n], in.I64)
	case types.KindFloat32:
		copy(out.F32[:n], in.F32)
	case types.KindFloat64:
		copy(out.F64[:n], in.F64)
	case types.KindFixed16:
		copy(out.F16[:n], in.F16)
	default:
		src := *in
		src.Valid, src.Errs = nil, nil // the caller ANDs them
		out.AppendRange(&src, 0, n)
	}
}

// anyNull reports whether row i is NULL in any of args.
func anyNull(args []*vec.Vec, i int) bool {
	for _, a := range args {
		if a.IsNull(i) {
			return true
		}
	}
	return false
}
