package fn

import (
	"math/bits"

	"streamsql/internal/pgerr"
	"streamsql/internal/vec"
)

// rangeErr gives the error of a result that R cannot hold.
func rangeErr[R integer]() *pgerr.Error {
	var r R
	switch any(r).(type) {
	case int16:
		return errInt2Range
	case int32:
		return errInt4Range
	}
	return errInt8Range
}

// recheck fails the valid rows that a hot loop, which only learns that some row is out of range, cannot name.
func recheck(out *vec.Vec, n int, err error, bad func(i int) bool) {
	for i := range n {
		if !out.IsNull(i) && bad(i) {
			out.Fail(i, err)
		}
	}
}

// addInts and its kin compute every lane and remember whether any overflowed;
// only then are the lanes looked at one by one, NULLs left out.
func addInts[A, B, R integer](_ *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
	if n == 0 {
		return
	}
	a, b, o := vals[A](args[0], n), vals[B](args[1], n), vals[R](out, n)
	var bad int64
	if args[1].Const {
		y := int64(b[0])
		for i, x := range a {
			s := int64(x) + y
			o[i] = R(s)
			bad |= (int64(x)^s)&(y^s)&(-1<<63) | (s ^ int64(R(s)))
		}
	} else {
		for i, x := range a {
			y := int64(b[i])
			s := int64(x) + y
			o[i] = R(s)
			bad |= (int64(x)^s)&(y^s)&(-1<<63) | (s ^ int64(R(s)))
		}
	}
	if bad != 0 {
		recheck(out, n, rangeErr[R](), func(i int) bool {
			x, y := int64(a[i]), int64(b[i])
			s := x + y
			return (x^s)&(y^s) < 0 || s != int64(R(s))
		})
	}
}

func subInts[A, B, R integer](_ *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
	if n == 0 {
		return
	}
	a, b, o := vals[A](args[0], n), vals[B](args[1], n), vals[R](out, n)
	var bad int64
	if args[1].Const {
		y := int64(b[0])
		for i, x := range a {
			s := int64(x) - y
			o[i] = R(s)
			bad |= (int64(x)^y)&(int64(x)^s)&(-1<<63) | (s ^ int64(R(s)))
		}
	} else {
		for i, x := range a {
			y := int64(b[i])
			s := int64(x) - y
			o[i] = R(s)
			bad |= (int64(x)^y)&(int64(x)^s)&(-1<<63) | (s ^ int64(R(s)))
		}
	}
	if bad != 0 {
		recheck(out, n, rangeErr[R](), func(i int) bool {
			x, y := int64(a[i]), int64(b[i])
			s := x - y
			return (x^y)&(x^s) < 0 || s != int64(R(s))
		})
	}
}

// mulInts is for results of at most 32 bits, whose products fit int64.
func mulInts[A, B, R int16 | int32](_ *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
	if n == 0 {
		return
	}
	a, b, o := vals[A](args[0], n), vals[B](args[1], n), vals[R](out, n)
	var bad int64
	if args[1].Const {
		y := int64(b[0])
		for i, x := range a {
			s := int64(x) * y
			o[i] = R(s)
			bad |= s ^ int64(R(s))
		}
	} else {
		for i, x := range a {
			s := int64(x) * int64(b[i])
			o[i] = R(s)
			bad |= s ^ int64(R(s))
		}
	}
	if bad != 0 {
		recheck(out, n, rangeErr[R](), func(i int) bool {
			s := int64(a[i]) * int64(b[i])
			return s != int64(R(s))
		})
	}
}

// mulHigh gives the product and a non-zero word where it does not fit int64.
func mulHigh(x, y int64) (lo, bad int64) {
	h, l := bits.Mul64(uint64(x), uint64(y))
	hi := int64(h) - x>>63&y - y>>63&x
	return int64(l), hi ^ int64(l)>>63
}

func mulInts8[A, B integer](_ *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
	if n == 0 {
		return
	}
	a, b, o := vals[A](args[0], n), vals[B](args[1], n), out.I64[:n]
	var bad int64
	if args[1].Const {
		y := int64(b[0])
		for i, x := range a {
			s, w := mulHigh(int64(x), y)
			o[i] = s
			bad |= w
		}
	} else {
		for i, x := range a {
			s, w := mulHigh(int64(x), int64(b[i]))
			o[i] = s
			bad |= w
		}
	}
	if bad != 0 {
		recheck(out, n, errInt8Range, func(i int) bool { _, w := mulHigh(int64(a[i]), int64(b[i])); return w != 0 })
	}
}

func divInts[A, B, R integer](_ *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
	if n == 0 {
		return
	}
	a, b, o := vals[A](args[0], n), vals[B](args[1], n), vals[R](out, n)
	if y := int64(b[0]); args[1].Const && y != 0 && y != -1 {
		for i, x := range a {
			o[i] = R(int64(x) / y)
		}
		return
	}
	for i, x := range a {
		y := int64(b[i])
		switch {
		case y == 0:
			if !out.IsNull(i) {
				out.Fail(i, errDivZero)
			}
		case y == -1:
			o[i] = -R(x)
			if x != 0 && o[i] == R(x) && !out.IsNull(i) {
				out.Fail(i, rangeErr[R]())
			}
		default:
			o[i] = R(int64(x) / y)
		}
	}
}

func modInts[A integer](_ *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
	if n == 0 {
		return
	}
	a, b, o := vals[A](args[0], n), vals[A](args[1], n), vals[A](out, n)
	if y := b[0]; args[1].Const && y > 0 {
		for i, x := range a {
			o[i] = x % y
		}
		return
	}
	for i, x := range a {
		switch y := b[i]; y {
		case 0:
			if !out.IsNull(i) {
				out.Fail(i, errDivZero)
			}
		case -1:
			o[i] = 0
		default:
			o[i] = x % y
		}
	}
}

func negInts[A integer](_ *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
	a, o := vals[A](args[0], n), vals[A](out, n)
	bad := false
	for i, x := range a {
		o[i] = -x
		bad = bad || x != 0 && x == -x
	}
	if bad {
		recheck(out, n, rangeErr[A](), func(i int) bool { return a[i] != 0 && a[i] == -a[i] })
	}
}

func absInts[A integer](_ *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
	a, o := vals[A](args[0], n), vals[A](out, n)
	bad := false
	for i, x := range a {
		if x < 0 {
			x = -x
			bad = bad || x < 0
		}
		o[i] = x
	}
	if bad {
		recheck(out, n, rangeErr[A](), func(i int) bool { return a[i] != 0 && a[i] == -a[i] })
	}
}

func same(_ *Ctx, args []*vec.Vec, out *vec.Vec, n int) { copyValues(args[0], out, n) }

// shift counts are taken modulo the width, as the hardware that PostgreSQL runs on does.
func shl[A integer](bits int32) Kernel {
	return row2(func(a A, b int32) A { return a << uint(b&(bits-1)) })
}

func shr[A integer](bits int32) Kernel {
	return row2(func(a A, b int32) A { return a >> uint(b&(bits-1)) })
}

func bitOps[A integer](t string, width int32) {
	op(t+" & "+t+" "+t, row2(func(a, b A) A { return a & b }))
	op(t+" | "+t+" "+t, row2(func(a, b A) A { return a | b }))
	op(t+" # "+t+" "+t, row2(func(a, b A) A { return a ^ b }))
	op("~ "+t+" "+t, row1(func(a A) A { return ^a }))
	op(t+" << int4 "+t, shl[A](width))
	op(t+" >> int4 "+t, shr[A](width))
	op(t+" % "+t+" "+t, modInts[A])
	op("+ "+t+" "+t, same)
	op("- "+t+" "+t, negInts[A])
	op("@ "+t+" "+t, absInts[A])
	def("mod("+t+","+t+") "+t, modInts[A])
	def("abs("+t+") "+t, absInts[A])
}

func init() {
	op("int4 + int4 int4", addInts[int32, int32, int32])
	op("int8 + int8 int8", addInts[int64, int64, int64])
	op("int2 + int2 int2", addInts[int16, int16, int16])
	op("int2 + int4 int4", addInts[int16, int32, int32])
	op("int4 + int2 int4", addInts[int32, int16, int32])
	op("int2 + int8 int8", addInts[int16, int64, int64])
	op("int8 + int2 int8", addInts[int64, int16, int64])
	op("int4 + int8 int8", addInts[int32, int64, int64])
	op("int8 + int4 int8", addInts[int64, int32, int64])

	op("int4 - int4 int4", subInts[int32, int32, int32])
	op("int8 - int8 int8", subInts[int64, int64, int64])
	op("int2 - int2 int2", subInts[int16, int16, int16])
	op("int2 - int4 int4", subInts[int16, int32, int32])
	op("int4 - int2 int4", subInts[int32, int16, int32])
	op("int2 - int8 int8", subInts[int16, int64, int64])
	op("int8 - int2 int8", subInts[int64, int16, int64])
	op("int4 - int8 int8", subInts[int32, int64, int64])
	op("int8 - int4 int8", subInts[int64, int32, int64])

	op("int4 * int4 int4", mulInts[int32, int32, int32])
	op("int2 * int2 int2", mulInts[int16, int16, int16])
	op("int2 * int4 int4", mulInts[int16, int32, int32])
	op("int4 * int2 int4", mulInts[int32, int16, int32])
	op("int8 * int8 int8", mulInts8[int64, int64])
	op("int2 * int8 int8", mulInts8[int16, int64])
	op("int8 * int2 int8", mulInts8[int64, int16])
	op("int4 * int8 int8", mulInts8[int32, int64])
	op("int8 * int4 int8", mulInts8[int64, int32])

	op("int4 / int4 int4", divInts[int32, int32, int32])
	op("int8 / int8 int8", divInts[int64, int64, int64])
	op("int2 / int2 int2", divInts[int16, int16, int16])
	op("int2 / int4 int4", divInts[int16, int32, int32])
	op("int4 / int2 int4", divInts[int32, int16, int32])
	op("int2 / int8 int8", divInts[int16, int64, int64])
	op("int8 / int2 int8", divInts[int64, int16, int64])
	op("int4 / int8 int8", divInts[int32, int64, int64])
	op("int8 / int4 int8", divInts[int64, int32, int64])

	bitOps[int16]("int2", 32) // PostgreSQL shifts an int2 as an int
	bitOps[int32]("int4", 32)
	bitOps[int64]("int8", 64)
}
