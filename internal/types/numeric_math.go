package types

import (
	"math/big"

	"streamsql/internal/pgerr"
)

func errDivZero() error { return pgerr.New(pgerr.DivisionByZero, "division by zero") }

// Neg gives -d.
func (d Decimal) Neg() Decimal {
	switch d.kind {
	case decPosInf:
		return NumericNegInf
	case decNegInf:
		return NumericPosInf
	case decFinite:
		d.neg = !d.neg && !d.IsZero()
	}
	return d
}

// Abs gives |d|.
func (d Decimal) Abs() Decimal {
	if d.Sign() < 0 {
		return d.Neg()
	}
	return d
}

// align brings finite a and b to one scale, their greater one.
func align(a, b Decimal) (Decimal, Decimal) {
	switch {
	case a.scale < b.scale:
		s := b.scale
		a = a.mulPow10(int(b.scale - a.scale))
		a.scale = s
	case a.scale > b.scale:
		s := a.scale
		b = b.mulPow10(int(a.scale - b.scale))
		b.scale = s
	}
	return a, b
}

// Add gives d+e (22003 on overflow of the format).
func (d Decimal) Add(e Decimal) (Decimal, error) {
	if d.kind|e.kind != decFinite {
		switch {
		case d.kind == decNaN || e.kind == decNaN:
			return NumericNaN, nil
		case d.kind == decFinite:
			return e, nil
		case e.kind == decFinite || d.kind == e.kind:
			return d, nil
		}
		return NumericNaN, nil
	}
	if d.scale != e.scale {
		d, e = align(d, e)
	}
	if d.big == nil && e.big == nil {
		if d.neg == e.neg {
			if u, ok := d.u.add(e.u); ok {
				d.u = u
				return d, nil
			}
		} else if d.u.cmp(e.u) >= 0 {
			return fromU128(d.u.sub(e.u), d.neg, int(d.scale)), nil
		} else {
			return fromU128(e.u.sub(d.u), e.neg, int(d.scale)), nil
		}
	}
	x, y := d.signedBig(), e.signedBig()
	x.Add(x, y)
	neg := x.Sign() < 0
	return fromBigAbs(x.Abs(x), neg, int(d.scale)).checked()
}

// Sub gives d-e.
func (d Decimal) Sub(e Decimal) (Decimal, error) { return d.Add(e.Neg()) }

// AddInt64 gives d+i.
func (d Decimal) AddInt64(i int64) (Decimal, error) { return d.Add(NumericFromInt64(i)) }

// MulInt64 gives d*i.
func (d Decimal) MulInt64(i int64) (Decimal, error) { return d.Mul(NumericFromInt64(i)) }

// Mul gives d*e, exact up to 16383 digits after the point.
func (d Decimal) Mul(e Decimal) (Decimal, error) {
	if d.kind|e.kind != decFinite {
		if d.kind == decNaN || e.kind == decNaN {
			return NumericNaN, nil
		}
		switch d.Sign() * e.Sign() {
		case 0:
			return NumericNaN, nil
		case 1:
			return NumericPosInf, nil
		}
		return NumericNegInf, nil
	}
	s := int(d.scale) + int(e.scale)
	neg := d.neg != e.neg
	if d.big == nil && e.big == nil && s <= maxNumericScale {
		if u, ok := d.u.mul(e.u); ok {
			return fromU128(u, neg, s), nil
		}
	}
	x := new(big.Int).Mul(d.coef(), e.coef())
	if s > maxNumericScale {
		x = roundBig(x, s-maxNumericScale)
		s = maxNumericScale
	}
	return fromBigAbs(x, neg, s).checked()
}

// roundBig gives x/10^n rounded half up, x >= 0.
func roundBig(x *big.Int, n int) *big.Int {
	if n <= 0 {
		return x
	}
	p := bigPow10(n)
	q, r := new(big.Int).QuoRem(x, p, new(big.Int))
	if r.Lsh(r, 1).Cmp(p) >= 0 {
		q.Add(q, bigOne)
	}
	return q
}

// weight gives the base-10000 weight of the first digit and that digit, as PostgreSQL's
// format sees a finite value; both are 0 for zero. Result scales are chosen by them.
func (d Decimal) weight() (w int, first int) {
	n := d.digits()
	if n == 0 {
		return 0, 0
	}
	e := n - 1 - int(d.scale)
	w = floorDiv(e, 4)
	return w, int(d.top(e - 4*w + 1))
}

// top gives the first n (<= 18) decimal digits of the coefficient, zeros appended where it has fewer.
func (d Decimal) top(n int) uint64 {
	have := d.digits()
	if have <= n {
		return d.u.lo * pow10tab[n-have]
	}
	if d.big != nil {
		return new(big.Int).Quo(d.big, bigPow10(have-n)).Uint64()
	}
	q, _, _ := d.u.divPow10(have - n)
	return q.lo
}

func floorDiv(a, b int) int {
	q := a / b
	if a%b != 0 && (a < 0) != (b < 0) {
		q--
	}
	return q
}

// divScale is how many digits after the point PostgreSQL gives a quotient: at least 16 significant ones.
func divScale(a, b Decimal) int {
	w1, f1 := a.weight()
	w2, f2 := b.weight()
	q := w1 - w2
	if f1 <= f2 {
		q--
	}
	return clampScale(16-q*4, int(a.scale), int(b.scale))
}

func clampScale(s int, mins ...int) int {
	for _, m := range mins {
		s = max(s, m)
	}
	return min(max(s, 0), 1000)
}

// Div gives d/e with PostgreSQL's result scale (22012 on division by zero).
func (d Decimal) Div(e Decimal) (Decimal, error) {
	if r, done, err := divSpecial(d, e); done {
		return r, err
	}
	return divRound(d, e, divScale(d, e), true).checked()
}

// divSpecial handles NaN, infinities and zero divisors.
func divSpecial(d, e Decimal) (r Decimal, done bool, err error) {
	if d.kind|e.kind == decFinite {
		if e.IsZero() {
			return r, true, errDivZero()
		}
		return r, false, nil
	}
	switch {
	case d.kind == decNaN || e.kind == decNaN:
		return NumericNaN, true, nil
	case d.IsInf() && e.IsInf():
		return NumericNaN, true, nil
	case d.IsInf():
		switch e.Sign() {
		case 0:
			return r, true, errDivZero()
		case d.Sign():
			return NumericPosInf, true, nil
		}
		if d.Sign() < 0 && e.Sign() < 0 {
			return NumericPosInf, true, nil
		}
		return NumericNegInf, true, nil
	}
	return Decimal{}, true, nil // finite / infinity
}

// divRound gives d/e to scale digits, rounded half away from zero or truncated; both finite, e not zero.
func divRound(d, e Decimal, scale int, round bool) Decimal {
	neg := d.neg != e.neg
	k := scale + int(e.scale) - int(d.scale)
	if k >= 0 && d.big == nil && e.big == nil && e.u.hi == 0 && k <= 38 {
		if u, ok := d.u.mulPow10(k); ok {
			q, r := u.div64(e.u.lo)
			if round && r >= e.u.lo-r {
				q, ok = q.add(u128{0, 1})
			}
			if ok {
				return fromU128(q, neg, scale)
			}
		}
	}
	x, y := d.coef(), e.coef()
	if k >= 0 {
		x = new(big.Int).Mul(x, bigPow10(k))
	} else {
		y = new(big.Int).Mul(y, bigPow10(-k))
	}
	q, r := new(big.Int).QuoRem(x, y, new(big.Int))
	if round && r.Lsh(r, 1).Cmp(y) >= 0 {
		q.Add(q, bigOne)
	}
	return fromBigAbs(q, neg, scale)
}

// Quo gives the quotient truncated to an integer: the function div.
func (d Decimal) Quo(e Decimal) (Decimal, error) {
	if r, done, err := divSpecial(d, e); done {
		return r, err
	}
	return divRound(d, e, 0, false).checked()
}

// Mod gives the rest of the truncated division; it has the sign of d.
func (d Decimal) Mod(e Decimal) (Decimal, error) {
	switch {
	case d.kind == decNaN || e.kind == decNaN:
		return NumericNaN, nil
	case e.IsZero():
		return Decimal{}, errDivZero()
	case d.IsInf():
		return NumericNaN, nil
	case e.IsInf():
		return d, nil
	}
	a, b := align(d, e)
	if a.big == nil && b.big == nil && b.u.hi == 0 {
		_, r := a.u.div64(b.u.lo)
		return fromU128(u128{0, r}, d.neg, int(a.scale)), nil
	}
	return fromBigAbs(new(big.Int).Rem(a.coef(), b.coef()), d.neg, int(a.scale)), nil
}

// Cmp compares by value: -Infinity < finite < Infinity < NaN; scales do not matter.
func (d Decimal) Cmp(e Decimal) int {
	if d.kind|e.kind != decFinite {
		return kindRank(d.kind) - kindRank(e.kind)
	}
	if s, t := d.Sign(), e.Sign(); s != t || s == 0 {
		return sign(s - t)
	}
	c := d.cmpAbs(e)
	if d.neg {
		return -c
	}
	return c
}

func kindRank(k byte) int {
	switch k {
	case decNaN:
		return 2
	case decPosInf:
		return 1
	case decNegInf:
		return -1
	}
	return 0
}

func sign[I int | int32 | int64](x I) int {
	switch {
	case x < 0:
		return -1
	case x > 0:
		return 1
	}
	return 0
}

// cmpAbs compares absolute values of finite numerics.
func (d Decimal) cmpAbs(e Decimal) int {
	if d.scale == e.scale && d.big == nil && e.big == nil {
		return d.u.cmp(e.u)
	}
	// The decimal exponents decide without scaling up, unless they are equal.
	if x, y := d.digits()-int(d.scale), e.digits()-int(e.scale); x != y {
		return sign(x - y)
	}
	a, b := align(d, e)
	if a.big == nil && b.big == nil {
		return a.u.cmp(b.u)
	}
	return a.coef().Cmp(b.coef())
}

// Round rounds half away from zero to scale digits after the point (before it, where negative) and shows max(scale, 0) digits.
func (d Decimal) Round(scale int) Decimal { return d.rescale(scale, true) }

// Trunc cuts to scale digits.
func (d Decimal) Trunc(scale int) Decimal { return d.rescale(scale, false) }

func (d Decimal) rescale(scale int, round bool) Decimal {
	if d.kind != decFinite {
		return d
	}
	scale = max(min(scale, maxNumericScale), -maxNumericIntDigits-1)
	n := int(d.scale) - scale // digits to drop
	if n <= 0 {
		d = d.mulPow10(-n)
		d.scale = uint16(scale)
		return d
	}
	var r Decimal
	if d.big == nil {
		q, half, _ := d.u.divPow10(n)
		if half && round {
			q, _ = q.add(u128{0, 1})
		}
		r = fromU128(q, d.neg, max(scale, 0))
	} else {
		if n > bigDigits(d.big)+1 {
			return Decimal{scale: uint16(max(scale, 0))}
		}
		var q *big.Int
		if round {
			q = roundBig(d.big, n)
		} else {
			q = new(big.Int).Quo(d.big, bigPow10(n))
		}
		r = fromBigAbs(q, d.neg, max(scale, 0))
	}
	if scale < 0 {
		r = r.mulPow10(-scale)
	}
	return r
}

// Ceil gives the smallest integer not below d.
func (d Decimal) Ceil() Decimal {
	if d.kind != decFinite || d.scale == 0 {
		return d
	}
	t := d.Trunc(0)
	if !d.neg && t.Cmp(d) != 0 {
		t, _ = t.AddInt64(1)
	}
	return t
}

// Floor gives the greatest integer not above d.
func (d Decimal) Floor() Decimal { return d.Neg().Ceil().Neg() }

// MinScale gives the scale needed to show d exactly.
func (d Decimal) MinScale() int {
	if d.kind != decFinite || d.IsZero() {
		return 0
	}
	return int(d.TrimScale().scale)
}

// TrimScale drops trailing zeros after the point.
func (d Decimal) TrimScale() Decimal {
	if d.kind != decFinite || d.scale == 0 {
		return d
	}
	if d.IsZero() {
		d.scale = 0
		return d
	}
	if d.big == nil {
		for d.scale > 0 {
			q, r := d.u.div64(10)
			if r != 0 {
				break
			}
			d.u = q
			d.scale--
		}
		return d
	}
	x, s := new(big.Int).Set(d.big), int(d.scale)
	for step := 4096; step > 0; {
		if s < step {
			step /= 2
			continue
		}
		q, r := new(big.Int).QuoRem(x, bigPow10(step), new(big.Int))
		if r.Sign() != 0 {
			step /= 2
			continue
		}
		x, s = q, s-step
	}
	return fromBigAbs(x, d.neg, s)
}

// GCD gives the greatest common divisor, as PostgreSQL's gcd(numeric, numeric).
func (d Decimal) GCD(e Decimal) Decimal {
	if d.kind|e.kind != decFinite {
		return NumericNaN
	}
	a, b := align(d, e)
	return fromBigAbs(new(big.Int).GCD(nil, nil, a.coef(), b.coef()), false, int(a.scale))
}

// LCM gives the least common multiple.
func (d Decimal) LCM(e Decimal) (Decimal, error) {
	if d.kind|e.kind != decFinite {
		return NumericNaN, nil
	}
	a, b := align(d, e)
	if a.IsZero() || b.IsZero() {
		return Decimal{scale: a.scale}, nil
	}
	g := new(big.Int).GCD(nil, nil, a.coef(), b.coef())
	x := new(big.Int).Quo(a.coef(), g)
	return fromBigAbs(x.Mul(x, b.coef()), false, int(a.scale)).checked()
}

// Factorial gives n! (22003 for negative n and where the result overflows).
func Factorial(n int64) (Decimal, error) {
	if n < 0 {
		return Decimal{}, pgerr.New(pgerr.NumericValueOutOfRange, "factorial of a negative number is undefined")
	}
	if n > 32177 {
		return Decimal{}, errNumericOverflow()
	}
	return fromBigAbs(new(big.Int).MulRange(1, max(n, 1)), false, 0).checked()
}
