package fn

import (
	"math"
	"math/rand/v2"

	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

var (
	errLogZero     = pgerr.New(pgerr.InvalidArgumentForLogarithm, "cannot take logarithm of zero")
	errLogNegative = pgerr.New(pgerr.InvalidArgumentForLogarithm, "cannot take logarithm of a negative number")
	errSqrt        = pgerr.New(pgerr.InvalidArgumentForPower, "cannot take square root of a negative number")
	errPowZero     = pgerr.New(pgerr.InvalidArgumentForPower, "zero raised to a negative power is undefined")
	errPowNegative = pgerr.New(pgerr.InvalidArgumentForPower, "a negative number raised to a non-integer power yields a complex result")
	errInput       = pgerr.New(pgerr.NumericValueOutOfRange, "input is out of range")
)

// pureFloat adapts a function that needs no checks.
func pureFloat(f func(float64) float64) Kernel {
	return func(_ *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
		o := out.F64[:n]
		for i, x := range args[0].F64[:n] {
			o[i] = f(x)
		}
	}
}

// checked refuses a finite argument's infinite result.
func checked(f func(float64) float64) Kernel {
	return row1e(func(_ *Ctx, x float64) (float64, error) {
		r := f(x)
		if isInf(r) && !isInf(x) {
			return 0, errOverflow
		}
		return r, nil
	})
}

// trig refuses infinite arguments; bounded ones |x| > 1 too.
func trig(f func(float64) float64, bounded bool) Kernel {
	return row1e(func(_ *Ctx, x float64) (float64, error) {
		if isInf(x) || bounded && (x < -1 || x > 1) {
			return 0, errInput
		}
		return f(x), nil
	})
}

func logChecked(f func(float64) float64) Kernel {
	return row1e(func(_ *Ctx, x float64) (float64, error) {
		switch {
		case x == 0:
			return 0, errLogZero
		case x < 0:
			return 0, errLogNegative
		}
		return f(x), nil
	})
}

func powFloat(_ *Ctx, x, y float64) (float64, error) {
	switch {
	case x != x:
		if y == 0 {
			return 1, nil
		}
		return x, nil
	case y != y:
		if x == 1 {
			return 1, nil
		}
		return y, nil
	case x == 0 && y < 0:
		return 0, errPowZero
	case x < 0 && y != math.Floor(y): // -Infinity as well
		return 0, errPowNegative
	}
	r := math.Pow(x, y)
	if !isInf(x) && !isInf(y) {
		if isInf(r) {
			return 0, errOverflow
		}
		if r == 0 && x != 0 {
			return 0, errUnderflow
		}
	}
	return r, nil
}

func expFloat(_ *Ctx, x float64) (float64, error) {
	r := math.Exp(x)
	if !isInf(x) {
		if isInf(r) {
			return 0, errOverflow
		}
		if r == 0 {
			return 0, errUnderflow
		}
	}
	return r, nil
}

func sign(x float64) float64 {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return 0
}

func sqrtFloat(_ *Ctx, x float64) (float64, error) {
	if x < 0 {
		return 0, errSqrt
	}
	return math.Sqrt(x), nil
}

func gcd64(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

func mag(x int64) uint64 {
	if x < 0 {
		return -uint64(x)
	}
	return uint64(x)
}

func gcdInt[I integer](_ *Ctx, a, b I) (I, error) {
	g := gcd64(mag(int64(a)), mag(int64(b)))
	if r := I(g); r >= 0 && uint64(r) == g {
		return r, nil
	}
	return 0, rangeErr[I]()
}

func lcmInt[I integer](_ *Ctx, a, b I) (I, error) {
	if a == 0 || b == 0 {
		return 0, nil
	}
	x, y := mag(int64(a)), mag(int64(b))
	l, bad := mulHigh(int64(x/gcd64(x, y)), int64(y))
	if r := I(l); bad == 0 && l >= 0 && int64(r) == l && r >= 0 {
		return r, nil
	}
	return 0, rangeErr[I]()
}

func errBucket(s string) error { return pgerr.New(pgerr.InvalidArgumentForWidthBucket, "%s", s) }

func widthBucketFloat(c *Ctx, args []types.Datum) (types.Datum, error) {
	x, lo, hi, n := args[0].(float64), args[1].(float64), args[2].(float64), args[3].(int32)
	switch {
	case n <= 0:
		return nil, errBucket("count must be greater than zero")
	case x != x || lo != lo || hi != hi:
		return nil, errBucket("operand, lower bound, and upper bound cannot be NaN")
	case isInf(lo) || isInf(hi):
		return nil, errBucket("lower and upper bounds must be finite")
	case lo == hi:
		return nil, errBucket("lower bound cannot equal upper bound")
	}
	if lo < hi {
		switch {
		case x < lo:
			return int32(0), nil
		case x >= hi:
			if n == math.MaxInt32 {
				return nil, errInt4Range
			}
			return n + 1, nil
		}
		return int32(float64(n)*((x-lo)/(hi-lo))) + 1, nil
	}
	switch {
	case x > lo:
		return int32(0), nil
	case x <= hi:
		if n == math.MaxInt32 {
			return nil, errInt4Range
		}
		return n + 1, nil
	}
	return int32(float64(n)*((lo-x)/(lo-hi))) + 1, nil
}

func widthBucketNumeric(c *Ctx, args []types.Datum) (types.Datum, error) {
	x, lo, hi, n := types.NumericOf(args[0].(string)), types.NumericOf(args[1].(string)), types.NumericOf(args[2].(string)), args[3].(int32)
	switch {
	case n <= 0:
		return nil, errBucket("count must be greater than zero")
	case x.IsNaN() || lo.IsNaN() || hi.IsNaN():
		return nil, errBucket("operand, lower bound, and upper bound cannot be NaN")
	case lo.IsInf() || hi.IsInf():
		return nil, errBucket("lower and upper bounds must be finite")
	case lo.Cmp(hi) == 0:
		return nil, errBucket("lower bound cannot equal upper bound")
	}
	if lo.Cmp(hi) > 0 { // a falling range is the mirror of a rising one
		x, lo, hi = x.Neg(), lo.Neg(), hi.Neg()
	}
	switch {
	case x.Cmp(lo) < 0:
		return int32(0), nil
	case x.Cmp(hi) >= 0:
		if n == math.MaxInt32 {
			return nil, errInt4Range
		}
		return n + 1, nil
	}
	a, err := x.Sub(lo)
	if err != nil {
		return nil, err
	}
	b, err := hi.Sub(lo)
	if err != nil {
		return nil, err
	}
	if a, err = a.MulInt64(int64(n)); err != nil {
		return nil, err
	}
	q, err := a.Quo(b)
	if err != nil {
		return nil, err
	}
	r, _ := q.Int64()
	return int32(r) + 1, nil
}

// log10 is exact for powers of ten, which math.Log10 is not.
func log10(x float64) float64 {
	y := math.Log10(x)
	if n := math.Round(y); math.Abs(y-n) < 1e-9 && math.Pow10(int(n)) == x {
		return n
	}
	return y
}

func deg(f func(float64) float64) func(float64) float64 {
	return func(x float64) float64 { return f(x) * (180 / math.Pi) }
}

// The functions of degrees are exact at multiples of 30 and 45, since they measure against the sine of 30 and the cosine of 60 degrees as they come out.
var sin30, versin60 = math.Sin(30 * (math.Pi / 180)), 1 - math.Cos(60*(math.Pi/180))

// sinQuadrant is the sine of 0 to 90 degrees.
func sinQuadrant(x float64) float64 {
	if x <= 30 {
		return math.Sin(x*(math.Pi/180)) / sin30 / 2
	}
	return cosTo60(90 - x)
}

// cosQuadrant is the cosine of 0 to 90 degrees.
func cosQuadrant(x float64) float64 {
	if x <= 60 {
		return cosTo60(x)
	}
	return math.Sin((90-x)*(math.Pi/180)) / sin30 / 2
}

func cosTo60(x float64) float64 { return 1 - (1-math.Cos(x*(math.Pi/180)))/versin60/2 }

// quadrant folds an angle into 0 to 90 degrees. left says that the sine stays and the cosine changes its sign, below that the sine does.
func quadrant(x float64) (r float64, below, left bool) {
	r = math.Mod(x, 360)
	if below = math.Signbit(r); below {
		r = -r
	}
	if r > 180 {
		r, below = 360-r, !below
	}
	if left = r > 90; left {
		r = 180 - r
	}
	return r, below, left
}

func sinDegrees(x float64) float64 {
	r, below, _ := quadrant(x)
	return signed(sinQuadrant(r), below)
}

func cosDegrees(x float64) float64 {
	r, _, left := quadrant(x)
	return signed(cosQuadrant(r), left) + 0 // no negative zero
}

var tan45 = sinQuadrant(45) / cosQuadrant(45)

func tanDegrees(x float64) float64 {
	r, below, left := quadrant(x)
	return signed(sinQuadrant(r)/cosQuadrant(r)/tan45, below != left) + 0
}

func cotDegrees(x float64) float64 {
	r, below, left := quadrant(x)
	return signed(cosQuadrant(r)/sinQuadrant(r)*tan45, below != left) + 0
}

func signed(x float64, negative bool) float64 {
	if negative {
		return -x
	}
	return x
}

// inverseDegrees makes an inverse trigonometric function one of degrees: in terms of the angle of one degree value that is exact, as PostgreSQL does.
func inverseDegrees(f func(float64) float64, exact map[float64]float64, unit, degrees float64) func(float64) float64 {
	of := f(unit)
	return func(x float64) float64 {
		if v, ok := exact[x]; ok && v != 0 { // zero keeps its sign
			return v
		}
		return f(x) / of * degrees
	}
}

func init() {
	op("float8 ^ float8 float8", row2e(powFloat))
	def("power(float8,float8) float8", row2e(powFloat))
	def("pow(float8,float8) float8", row2e(powFloat))
	def("dpow(float8,float8) float8", row2e(powFloat))
	op("|/ float8 float8", row1e(sqrtFloat))
	def("sqrt(float8) float8", row1e(sqrtFloat))
	op("||/ float8 float8", pureFloat(math.Cbrt))
	def("cbrt(float8) float8", pureFloat(math.Cbrt))
	defs([]string{"ceil(float8) float8", "ceiling(float8) float8"}, pureFloat(math.Ceil))
	def("floor(float8) float8", pureFloat(math.Floor))
	def("round(float8) float8", pureFloat(math.RoundToEven))
	def("trunc(float8) float8", pureFloat(math.Trunc))
	def("sign(float8) float8", pureFloat(sign))
	def("degrees(float8) float8", checked(func(x float64) float64 { return x / (math.Pi / 180) }))
	def("radians(float8) float8", checked(func(x float64) float64 { return x * (math.Pi / 180) }))
	def("exp(float8) float8", row1e(expFloat))
	def("ln(float8) float8", logChecked(math.Log))
	defs([]string{"log(float8) float8", "log10(float8) float8"}, logChecked(log10))
	def("pi() float8", row0(func(*Ctx) float64 { return math.Pi }))
	def("sin(float8) float8", trig(math.Sin, false))
	def("cos(float8) float8", trig(math.Cos, false))
	def("tan(float8) float8", trig(math.Tan, false))
	def("cot(float8) float8", trig(func(x float64) float64 { return 1 / math.Tan(x) }, false))
	def("asin(float8) float8", trig(math.Asin, true))
	def("acos(float8) float8", trig(math.Acos, true))
	def("atan(float8) float8", pureFloat(math.Atan))
	def("atan2(float8,float8) float8", row2(math.Atan2))
	def("sinh(float8) float8", pureFloat(math.Sinh))
	def("cosh(float8) float8", pureFloat(math.Cosh))
	def("tanh(float8) float8", pureFloat(math.Tanh))
	def("asinh(float8) float8", pureFloat(math.Asinh))
	def("acosh(float8) float8", row1e(func(_ *Ctx, x float64) (float64, error) {
		if x < 1 {
			return 0, errInput
		}
		return math.Acosh(x), nil
	}))
	def("atanh(float8) float8", row1e(func(_ *Ctx, x float64) (float64, error) {
		if x < -1 || x > 1 {
			return 0, errInput
		}
		return math.Atanh(x), nil
	}))
	def("sind(float8) float8", trig(sinDegrees, false))
	def("cosd(float8) float8", trig(cosDegrees, false))
	def("tand(float8) float8", trig(tanDegrees, false))
	def("cotd(float8) float8", trig(cotDegrees, false))
	def("asind(float8) float8", trig(inverseDegrees(math.Asin, map[float64]float64{-1: -90, -0.5: -30, 0.5: 30, 1: 90}, 0.5, 30), true))
	def("acosd(float8) float8", trig(inverseDegrees(math.Acos, map[float64]float64{-1: 180, -0.5: 120, 0: 90, 0.5: 60}, 0.5, 60), true))
	def("atand(float8) float8", pureFloat(inverseDegrees(math.Atan, map[float64]float64{-1: -45, 1: 45}, 1, 45)))
	def("atan2d(float8,float8) float8", row2(func(y, x float64) float64 { return deg(func(float64) float64 { return math.Atan2(y, x) })(0) }))

	def("gcd(int4,int4) int4", row2e(gcdInt[int32]))
	def("gcd(int8,int8) int8", row2e(gcdInt[int64]))
	def("lcm(int4,int4) int4", row2e(lcmInt[int32]))
	def("lcm(int8,int8) int8", row2e(lcmInt[int64]))
	def("gcd(numeric,numeric) numeric", row2(types.Decimal.GCD))
	def("lcm(numeric,numeric) numeric", row2e(func(_ *Ctx, a, b types.Decimal) (types.Decimal, error) { return a.LCM(b) }))
	def("factorial(int8) numeric", row1e(func(_ *Ctx, n int64) (types.Decimal, error) { return types.Factorial(n) }))

	defs([]string{"ceil(numeric) numeric", "ceiling(numeric) numeric"}, row1(types.Decimal.Ceil))
	def("floor(numeric) numeric", row1(types.Decimal.Floor))
	def("round(numeric) numeric", row1(func(d types.Decimal) types.Decimal { return d.Round(0) }))
	def("round(numeric,int4) numeric", row2(func(d types.Decimal, s int32) types.Decimal { return d.Round(int(s)) }))
	def("trunc(numeric) numeric", row1(func(d types.Decimal) types.Decimal { return d.Trunc(0) }))
	def("trunc(numeric,int4) numeric", row2(func(d types.Decimal, s int32) types.Decimal { return d.Trunc(int(s)) }))
	def("sign(numeric) numeric", row1(func(d types.Decimal) types.Decimal {
		if d.IsNaN() {
			return d
		}
		return types.NumericFromInt64(int64(d.Sign()))
	}))
	def("scale(numeric) int4", rowD(func(_ *Ctx, a []datum) (datum, error) {
		d := types.NumericOf(a[0].(string))
		if d.IsNaN() || d.IsInf() {
			return nil, nil
		}
		return int32(d.Scale()), nil
	}, true))
	def("min_scale(numeric) int4", rowD(func(_ *Ctx, a []datum) (datum, error) {
		d := types.NumericOf(a[0].(string))
		if d.IsNaN() || d.IsInf() {
			return nil, nil
		}
		return int32(d.MinScale()), nil
	}, true))
	def("trim_scale(numeric) numeric", row1(types.Decimal.TrimScale))
	def("width_bucket(float8,float8,float8,int4) int4", rowD(widthBucketFloat, true))
	def("width_bucket(numeric,numeric,numeric,int4) int4", rowD(widthBucketNumeric, true))
	def("random() float8", row0(func(*Ctx) float64 { return rand.Float64() }), volatile)
}
