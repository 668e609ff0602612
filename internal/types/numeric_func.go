package types

import (
	"math"
	"math/big"
	"math/bits"

	"streamsql/internal/pgerr"
)

// fixed is a binary fixed-point number for the transcendental functions: value = m / 2^prec.
// Results are computed with guard bits and rounded once, so that they are right to the digit in all but
// halfway cases nobody can tell apart.
type fixed struct {
	prec uint
}

func (f fixed) fromDecimal(d Decimal) *big.Int {
	x := new(big.Int).Lsh(d.signedBig(), f.prec)
	return x.Quo(x, bigPow10(int(d.scale)))
}

// toDecimal rounds half away from zero to scale digits.
func (f fixed) toDecimal(m *big.Int, scale int) Decimal {
	neg := m.Sign() < 0
	x := new(big.Int).Mul(new(big.Int).Abs(m), bigPow10(scale))
	x.Add(x, new(big.Int).Lsh(bigOne, f.prec-1))
	x.Rsh(x, f.prec)
	return fromBigAbs(x, neg, scale)
}

func (f fixed) one() *big.Int { return new(big.Int).Lsh(bigOne, f.prec) }

func (f fixed) mul(a, b *big.Int) *big.Int {
	x := new(big.Int).Mul(a, b)
	return x.Rsh(x, f.prec)
}

// ln2 by the series of atanh(1/3), scaled.
func (f fixed) ln2() *big.Int { return new(big.Int).Lsh(f.atanhInv(3), 1) }

// atanhInv gives atanh(1/n).
func (f fixed) atanhInv(n int64) *big.Int {
	sum := new(big.Int)
	t := new(big.Int).Quo(f.one(), big.NewInt(n))
	nn := big.NewInt(n * n)
	for k := int64(1); t.Sign() != 0; k += 2 {
		sum.Add(sum, new(big.Int).Quo(t, big.NewInt(k)))
		t.Quo(t, nn)
	}
	return sum
}

// ln of x > 0: by halvings into [1,2), square roots towards 1, and the series of atanh.
func (f fixed) ln(x *big.Int) *big.Int {
	shift := x.BitLen() - 1 - int(f.prec)
	y := new(big.Int).Set(x)
	if shift > 0 {
		y.Rsh(y, uint(shift))
	} else {
		y.Lsh(y, uint(-shift))
	}
	roots := uint(math.Sqrt(float64(f.prec))/2) + 2
	for range roots {
		y.Lsh(y, f.prec)
		y.Sqrt(y)
	}
	one := f.one()
	num := new(big.Int).Sub(y, one)
	den := new(big.Int).Add(y, one)
	t := num.Lsh(num, f.prec)
	t.Quo(t, den)
	t2 := f.mul(t, t)
	sum := new(big.Int)
	for k := int64(1); t.Sign() != 0; k += 2 {
		sum.Add(sum, new(big.Int).Quo(t, big.NewInt(k)))
		t = f.mul(t, t2)
	}
	sum.Lsh(sum, 1+roots)
	if shift != 0 {
		sum.Add(sum, new(big.Int).Mul(f.ln2(), big.NewInt(int64(shift))))
	}
	return sum
}

// exp of any x: the remainder modulo ln 2, halved towards 0, by the power series, squared back.
func (f fixed) exp(x *big.Int) *big.Int {
	ln2 := f.ln2()
	k := new(big.Int)
	r := new(big.Int)
	k.DivMod(x, ln2, r)
	halves := uint(math.Sqrt(float64(f.prec))/2) + 2
	r.Rsh(r, halves)
	sum, t := f.one(), f.one()
	for n := int64(1); t.Sign() != 0; n++ {
		t = f.mul(t, r)
		t.Quo(t, big.NewInt(n))
		sum.Add(sum, t)
	}
	for range halves {
		sum = f.mul(sum, sum)
	}
	if s := k.Int64(); s >= 0 {
		return sum.Lsh(sum, uint(s))
	} else {
		return sum.Rsh(sum, uint(-s))
	}
}

// bitsFor gives the precision for digits after the point plus digits before it, with guards.
func bitsFor(digits int) fixed {
	p := max(digits, 0)*3322/1000 + 96
	return fixed{prec: uint(p + int(2*math.Sqrt(float64(p))))}
}

// lnWeight estimates the decimal weight of ln(d), d > 0, as PostgreSQL does to choose result scales.
func (d Decimal) lnWeight() int {
	if d.Sign() <= 0 {
		return 0
	}
	if d.Cmp(NumericFromScaled(9, 1)) >= 0 && d.Cmp(NumericFromScaled(11, 1)) <= 0 {
		x, _ := d.AddInt64(-1)
		if x.IsZero() {
			return 0
		}
		w, first := x.weight()
		return w*4 + int(math.Log10(float64(first)))
	}
	w, _ := d.weight()
	lead := d.digits() - 1 - int(d.scale) - 4*w + 1 // digits of the first group
	n := float64(d.top(lead + 4))
	ln := math.Log(n) + float64(4*w-4)*math.Ln10
	return int(math.Log10(math.Abs(ln)))
}

// Sqrt gives the square root (2201F for negative numbers).
func (d Decimal) Sqrt() (Decimal, error) {
	if d.kind == decNaN || d.kind == decPosInf {
		return d, nil
	}
	if d.Sign() < 0 {
		return Decimal{}, pgerr.New(pgerr.InvalidArgumentForPower, "cannot take square root of a negative number")
	}
	w, _ := d.weight()
	s := clampScale(16-(2*w+1), int(d.scale))
	if d.IsZero() {
		return Decimal{scale: uint16(s)}, nil
	}
	// The root of c*10^(2k-scale) to k digits; one digit more rounds it.
	k := s + 1
	x := new(big.Int).Set(d.coef())
	if e := 2*k - int(d.scale); e >= 0 {
		x.Mul(x, bigPow10(e))
	} else {
		x.Quo(x, bigPow10(-e))
	}
	return fromBigAbs(roundBig(x.Sqrt(x), 1), false, s), nil
}

// Exp gives e^d (22003).
func (d Decimal) Exp() (Decimal, error) {
	switch d.kind {
	case decNaN, decPosInf:
		return d, nil
	case decNegInf:
		return Decimal{}, nil
	}
	v := min(max(d.Float64()*0.434294481903252, -2000), 2000)
	scale := clampScale(16-int(v), int(d.scale))
	return expScaled(d, scale)
}

func expScaled(d Decimal, scale int) (Decimal, error) {
	if v := d.Float64(); math.Abs(v) >= 6000 {
		if v > 0 {
			return Decimal{}, errNumericOverflow()
		}
		return Decimal{scale: uint16(scale)}, nil
	}
	f := bitsFor(scale + 8 + int(max(d.Float64(), 0)*0.44)*2)
	return f.toDecimal(f.exp(f.fromDecimal(d)), scale).checked()
}

func (d Decimal) logArg() error {
	switch d.Sign() {
	case 0:
		return pgerr.New(pgerr.InvalidArgumentForLogarithm, "cannot take logarithm of zero")
	case -1:
		return pgerr.New(pgerr.InvalidArgumentForLogarithm, "cannot take logarithm of a negative number")
	}
	return nil
}

// Ln gives the natural logarithm (2201E).
func (d Decimal) Ln() (Decimal, error) {
	if d.kind == decNaN {
		return d, nil
	}
	if err := d.logArg(); err != nil || d.kind == decPosInf {
		return d, err
	}
	scale := clampScale(16-d.lnWeight(), int(d.scale))
	f := d.lnBits(scale)
	return f.toDecimal(f.ln(f.fromDecimal(d)), scale), nil
}

// lnBits gives a precision for ln(d) to scale digits: small arguments lose the digits before their first one.
func (d Decimal) lnBits(scale int) fixed {
	lead := int(d.scale) - d.digits()
	return bitsFor(scale + max(lead, 0) + 8)
}

// Log10 gives the logarithm to the base 10 (2201E).
func (d Decimal) Log10() (Decimal, error) { return NumericFromInt64(10).Log(d) }

// Log gives the logarithm of x to the base d (2201E, 22012).
func (d Decimal) Log(x Decimal) (Decimal, error) {
	if d.kind == decNaN || x.kind == decNaN {
		return NumericNaN, nil
	}
	if err := d.logArg(); err != nil {
		return Decimal{}, err
	}
	if err := x.logArg(); err != nil {
		return Decimal{}, err
	}
	switch {
	case d.IsInf() && x.IsInf():
		return NumericNaN, nil
	case d.IsInf():
		return Decimal{}, nil
	case x.IsInf():
		return NumericPosInf, nil
	}
	scale := clampScale(16-(x.lnWeight()-d.lnWeight()), int(d.scale), int(x.scale))
	f := d.lnBits(scale + int(math.Abs(float64(d.lnWeight()))) + int(math.Abs(float64(x.lnWeight()))) + max(int(x.scale)-x.digits(), 0))
	den := f.ln(f.fromDecimal(d))
	if den.Sign() == 0 {
		return Decimal{}, errDivZero()
	}
	num := f.ln(f.fromDecimal(x))
	num.Lsh(num, f.prec)
	return f.toDecimal(num.Quo(num, den), scale), nil
}

// Power gives d^e with PostgreSQL's result scales (2201F, 22003).
func (d Decimal) Power(e Decimal) (Decimal, error) {
	if d.kind|e.kind != decFinite {
		return powerSpecial(d, e)
	}
	isInt := e.MinScale() == 0
	if d.IsZero() && e.Sign() < 0 {
		return Decimal{}, pgerr.New(pgerr.InvalidArgumentForPower, "zero raised to a negative power is undefined")
	}
	if d.Sign() < 0 && !isInt {
		return Decimal{}, pgerr.New(pgerr.InvalidArgumentForPower, "a negative number raised to a non-integer power yields a complex result")
	}
	if isInt {
		if n, ok := e.Int64(); ok && n == int64(int32(n)) {
			return d.powerInt(n, clampScale(16, int(d.scale)))
		}
	}
	if d.IsZero() {
		return Decimal{scale: 16}, nil
	}
	neg := false
	if d.neg {
		h, _ := e.Trunc(0).Mod(NumericFromInt64(2))
		neg = !h.IsZero()
		d.neg = false
	}
	lnv := d.lnFloat() * e.Float64()
	if math.Abs(lnv) > 2000*3.01 {
		if lnv > 0 {
			return Decimal{}, errNumericOverflow()
		}
		return Decimal{scale: 1000}, nil
	}
	weight := int(lnv * 0.434294481903252)
	scale := clampScale(16-weight, int(d.scale), int(e.scale))
	f := d.lnBits(scale + 2*max(weight, 0) + max(e.digits()-int(e.scale), 0) + 8)
	x := f.ln(f.fromDecimal(d))
	x = f.mul(x, f.fromDecimal(e))
	r := f.toDecimal(f.exp(x), scale)
	r.neg = neg && !r.IsZero()
	return r.checked()
}

// lnFloat gives ln(d), d > 0, also where d is out of the range of doubles.
func (d Decimal) lnFloat() float64 {
	n := d.digits()
	lead := float64(d.top(min(n, 17)))
	return math.Log(lead) + float64(n-min(n, 17)-int(d.scale))*math.Ln10
}

func (d Decimal) powerInt(n int64, scale int) (Decimal, error) {
	switch {
	case n == 0:
		return NumericFromInt64(1).Round(scale), nil
	case d.IsZero():
		return Decimal{scale: uint16(scale)}, nil
	case n == 1:
		return d.Round(scale), nil
	case n == -1:
		return divRound(NumericFromInt64(1), d, scale, true).checked()
	}
	abs := d
	abs.neg = false
	neg := d.neg && n&1 == 1
	// log10 of the result decides between overflow, underflow and computing it.
	w := float64(n) * abs.lnFloat() / math.Ln10
	if w > maxNumericIntDigits+10 {
		return Decimal{}, errNumericOverflow()
	}
	if w < -float64(scale)-10 {
		return Decimal{scale: uint16(scale)}, nil
	}
	m := n
	if m < 0 {
		m = -m
	}
	var r Decimal
	t := abs.TrimScale()
	if int64(t.digits())*m <= 2*maxNumericIntDigits {
		x := new(big.Int).Exp(t.coef(), big.NewInt(m), nil)
		s := int(t.scale) * int(m)
		if n > 0 {
			if s > scale {
				x, s = roundBig(x, s-scale), scale
			}
			r = fromBigAbs(x, neg, s).Round(scale)
		} else {
			num := bigPow10(s + scale + 1)
			r = fromBigAbs(roundBig(new(big.Int).Quo(num, x), 1), neg, scale)
		}
		return r.checked()
	}
	// By squares of the digits that count: each product may lose the last bit, which the next ones multiply.
	const bitsPerDigit = 3.33
	prec := uint(float64(scale+max(int(w), 0))*bitsPerDigit) + 2*uint(bits.Len64(uint64(m))) + 64
	base := new(big.Float).SetPrec(prec).SetInt(t.coef())
	base.Quo(base, new(big.Float).SetPrec(prec).SetInt(bigPow10(int(t.scale))))
	x := new(big.Float).SetPrec(prec).SetInt64(1)
	for ; m > 0; m >>= 1 {
		if m&1 == 1 {
			x.Mul(x, base)
		}
		if m > 1 {
			base.Mul(base, base)
		}
	}
	if n < 0 {
		x.Quo(new(big.Float).SetPrec(prec).SetInt64(1), x)
	}
	x.Mul(x, new(big.Float).SetPrec(prec).SetInt(bigPow10(scale)))
	whole, _ := x.Add(x, big.NewFloat(0.5)).Int(nil)
	r = fromBigAbs(whole, neg, scale)
	r.neg = neg && !r.IsZero()
	return r.checked()
}

// powerSpecial follows POSIX pow where an argument is NaN or infinite.
func powerSpecial(d, e Decimal) (Decimal, error) {
	one := NumericFromInt64(1)
	switch {
	case d.kind == decNaN:
		if e.kind == decFinite && e.IsZero() {
			return one, nil
		}
		return NumericNaN, nil
	case e.kind == decNaN:
		if d.kind == decFinite && d.Cmp(one) == 0 {
			return one, nil
		}
		return NumericNaN, nil
	}
	if d.kind == decFinite && d.IsZero() && e.Sign() < 0 {
		return Decimal{}, pgerr.New(pgerr.InvalidArgumentForPower, "zero raised to a negative power is undefined")
	}
	if d.Sign() < 0 && e.kind == decFinite && e.MinScale() > 0 {
		return Decimal{}, pgerr.New(pgerr.InvalidArgumentForPower, "a negative number raised to a non-integer power yields a complex result")
	}
	if e.kind == decFinite { // d is infinite
		switch {
		case e.IsZero():
			return one, nil
		case e.Sign() < 0:
			return Decimal{}, nil
		case d.kind == decPosInf:
			return NumericPosInf, nil
		}
		h, _ := e.Trunc(0).Mod(NumericFromInt64(2))
		if h.IsZero() {
			return NumericPosInf, nil
		}
		return NumericNegInf, nil
	}
	c := 1
	if d.kind == decFinite {
		c = d.Abs().Cmp(one)
	}
	switch {
	case c == 0:
		return one, nil
	case (c > 0) == (e.kind == decPosInf):
		return NumericPosInf, nil
	}
	return Decimal{}, nil
}
