package types

import (
	"math/big"
	"math/bits"
	"sync"
)

// u128 is an unsigned 128-bit integer: the coefficients of nearly all numerics fit, so arithmetic needs no big.Int.
type u128 struct{ hi, lo uint64 }

func (a u128) isZero() bool { return a.hi|a.lo == 0 }

func (a u128) cmp(b u128) int {
	switch {
	case a.hi < b.hi || a.hi == b.hi && a.lo < b.lo:
		return -1
	case a == b:
		return 0
	}
	return 1
}

func (a u128) add(b u128) (u128, bool) {
	lo, c := bits.Add64(a.lo, b.lo, 0)
	hi, c := bits.Add64(a.hi, b.hi, c)
	return u128{hi, lo}, c == 0
}

// sub needs a >= b.
func (a u128) sub(b u128) u128 {
	lo, c := bits.Sub64(a.lo, b.lo, 0)
	hi, _ := bits.Sub64(a.hi, b.hi, c)
	return u128{hi, lo}
}

func (a u128) mul64(m uint64) (u128, bool) {
	h, lo := bits.Mul64(a.lo, m)
	if a.hi == 0 {
		return u128{h, lo}, true
	}
	o, hi := bits.Mul64(a.hi, m)
	hi, c := bits.Add64(hi, h, 0)
	return u128{hi, lo}, o == 0 && c == 0
}

func (a u128) mul(b u128) (u128, bool) {
	switch {
	case b.hi == 0:
		return a.mul64(b.lo)
	case a.hi == 0:
		return b.mul64(a.lo)
	}
	return u128{}, false
}

func (a u128) div64(d uint64) (q u128, r uint64) {
	q.hi, r = a.hi/d, a.hi%d
	q.lo, r = bits.Div64(r, a.lo, d)
	return q, r
}

// mulPow10 gives a*10^n.
func (a u128) mulPow10(n int) (u128, bool) {
	ok := true
	for n > 19 && ok {
		if a.isZero() {
			return a, true
		}
		a, ok = a.mul64(pow10tab[19])
		n -= 19
	}
	if !ok {
		return a, false
	}
	return a.mul64(pow10tab[n])
}

// divPow10 gives a/10^n truncated and whether the rest is at least half (half) and not zero (rest).
func (a u128) divPow10(n int) (q u128, half, rest bool) {
	if n > 39 {
		return u128{}, false, !a.isZero()
	}
	for n > 19 {
		var r uint64
		a, r = a.div64(pow10tab[19])
		rest = rest || r != 0
		n -= 19
	}
	if n == 0 {
		return a, false, rest
	}
	d := pow10tab[n]
	q, r := a.div64(d)
	return q, r >= d-r, rest || r != 0
}

func (a u128) digits() int {
	if a.hi == 0 {
		return digits64(a.lo)
	}
	q, _ := a.div64(pow10tab[19])
	if q.hi == 0 {
		return 19 + digits64(q.lo)
	}
	q, _ = q.div64(pow10tab[19])
	return 38 + digits64(q.lo)
}

func digits64(x uint64) int {
	if x == 0 {
		return 0
	}
	n := bits.Len64(x) * 1233 >> 12
	if x >= pow10tab[n] {
		n++
	}
	return n
}

var pow10tab = [20]uint64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19}

var (
	bigPow  [128]*big.Int
	bigPow1 sync.Once
	bigTen  = big.NewInt(10)
	bigOne  = big.NewInt(1)
)

// bigPow10 gives 10^n; the result is shared and must not be changed.
func bigPow10(n int) *big.Int {
	bigPow1.Do(func() {
		p := big.NewInt(1)
		for i := range bigPow {
			bigPow[i] = p
			p = new(big.Int).Mul(p, bigTen)
		}
	})
	if n < len(bigPow) {
		return bigPow[n]
	}
	return new(big.Int).Exp(bigTen, big.NewInt(int64(n)), nil)
}

// bigDigits counts the decimal digits of x >= 0 (0 for zero).
func bigDigits(x *big.Int) int {
	b := x.BitLen()
	if b == 0 {
		return 0
	}
	n := int(float64(b-1) * 0.30102999566398120)
	for x.Cmp(bigPow10(n)) >= 0 {
		n++
	}
	return n
}
