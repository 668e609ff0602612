package fn

import (
	"math"

	"streamsql/internal/vec"
)

// The float kernels compute every lane; a lane that may have overflowed or
// underflowed (the result is not finite, or zero) is looked at again.

func addFloats[A, B, R float](_ *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
	a, b, o := vals[A](args[0], n), vals[B](args[1], n), vals[R](out, n)
	odd := false
	for i, x := range a {
		r := R(x) + R(b[i])
		o[i] = r
		odd = odd || r-r != 0
	}
	if odd {
		checkOverflow[A, B, R](a, b, o, out)
	}
}

func subFloats[A, B, R float](_ *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
	a, b, o := vals[A](args[0], n), vals[B](args[1], n), vals[R](out, n)
	odd := false
	for i, x := range a {
		r := R(x) - R(b[i])
		o[i] = r
		odd = odd || r-r != 0
	}
	if odd {
		checkOverflow[A, B, R](a, b, o, out)
	}
}

func isInf[F float](f F) bool { return f == f && f-f != 0 }

// checkOverflow fails infinite results of finite operands.
func checkOverflow[A, B, R float](a []A, b []B, o []R, out *vec.Vec) {
	for i, r := range o {
		if isInf(r) && !isInf(a[i]) && !isInf(b[i]) && !out.IsNull(i) {
			out.Fail(i, errOverflow)
		}
	}
}

func mulFloats[A, B, R float](_ *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
	a, b, o := vals[A](args[0], n), vals[B](args[1], n), vals[R](out, n)
	odd := false
	for i, x := range a {
		r := R(x) * R(b[i])
		o[i] = r
		odd = odd || r-r != 0 || r == 0
	}
	if odd {
		checkOverflow[A, B, R](a, b, o, out)
		for i, r := range o {
			if r == 0 && a[i] != 0 && b[i] != 0 && !out.IsNull(i) {
				out.Fail(i, errUnderflow)
			}
		}
	}
}

func divFloats[A, B, R float](_ *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
	a, b, o := vals[A](args[0], n), vals[B](args[1], n), vals[R](out, n)
	odd := false
	for i, x := range a {
		r := R(x) / R(b[i])
		o[i] = r
		odd = odd || r-r != 0 || r == 0
	}
	if !odd {
		return
	}
	for i, r := range o {
		switch {
		case out.IsNull(i):
		case b[i] == 0 && a[i] == a[i]:
			out.Fail(i, errDivZero)
		case isInf(r) && !isInf(a[i]):
			out.Fail(i, errOverflow)
		case r == 0 && a[i] != 0 && !isInf(b[i]):
			out.Fail(i, errUnderflow)
		}
	}
}

func negFloats[A float](_ *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
	a, o := vals[A](args[0], n), vals[A](out, n)
	for i, x := range a {
		o[i] = -x
	}
}

func absFloats[A float](_ *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
	a, o := vals[A](args[0], n), vals[A](out, n)
	for i, x := range a {
		o[i] = A(math.Abs(float64(x)))
	}
}

func init() {
	op("float8 + float8 float8", addFloats[float64, float64, float64])
	op("float4 + float4 float4", addFloats[float32, float32, float32])
	op("float4 + float8 float8", addFloats[float32, float64, float64])
	op("float8 + float4 float8", addFloats[float64, float32, float64])
	op("float8 - float8 float8", subFloats[float64, float64, float64])
	op("float4 - float4 float4", subFloats[float32, float32, float32])
	op("float4 - float8 float8", subFloats[float32, float64, float64])
	op("float8 - float4 float8", subFloats[float64, float32, float64])
	op("float8 * float8 float8", mulFloats[float64, float64, float64])
	op("float4 * float4 float4", mulFloats[float32, float32, float32])
	op("float4 * float8 float8", mulFloats[float32, float64, float64])
	op("float8 * float4 float8", mulFloats[float64, float32, float64])
	op("float8 / float8 float8", divFloats[float64, float64, float64])
	op("float4 / float4 float4", divFloats[float32, float32, float32])
	op("float4 / float8 float8", divFloats[float32, float64, float64])
	op("float8 / float4 float8", divFloats[float64, float32, float64])
	for _, t := range []string{"float8", "float4"} {
		neg, abs := Kernel(negFloats[float64]), Kernel(absFloats[float64])
		if t == "float4" {
			neg, abs = negFloats[float32], absFloats[float32]
		}
		op("+ "+t+" "+t, same)
		op("- "+t+" "+t, neg)
		op("@ "+t+" "+t, abs)
		def("abs("+t+") "+t, abs)
	}
}
