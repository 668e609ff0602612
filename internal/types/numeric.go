package types

import (
	"encoding/binary"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unsafe"

	"streamsql/internal/pgerr"
)

// Decimal is a value of the SQL type numeric: an exact decimal with a display
// scale, NaN or an infinity. The zero Decimal is 0. It is a value; methods never
// change their operands. Coefficients below 2^128 need no allocation.
// (The name Numeric is taken by the SQL type itself.)
type Decimal struct {
	big   *big.Int // |coefficient| where it does not fit u
	u     u128
	scale uint16
	kind  byte
	neg   bool
}

// The kinds of numeric, as byte 0 of the encoding holds them.
const (
	decFinite byte = iota
	decNaN
	decPosInf
	decNegInf
)

// PostgreSQL's limits of numeric.
const (
	maxNumericScale     = 16383
	maxNumericIntDigits = 131072
	numericHeader       = 8
)

// The special numerics.
var (
	NumericNaN    = Decimal{kind: decNaN}
	NumericPosInf = Decimal{kind: decPosInf}
	NumericNegInf = Decimal{kind: decNegInf, neg: true}
)

func errNumericOverflow() error {
	return pgerr.New(pgerr.NumericValueOutOfRange, "value overflows numeric format")
}

// DecodeNumeric gives the value of an in-memory numeric (see Append). It does
// not allocate below 2^128. Malformed bytes give NaN.
func DecodeNumeric(b []byte) Decimal {
	if len(b) < numericHeader {
		return NumericNaN
	}
	d := Decimal{kind: b[0], neg: b[1] != 0, scale: binary.LittleEndian.Uint16(b[2:])}
	w := b[numericHeader:]
	switch {
	case len(w) >= 24:
		d.big = bigFromLE(w)
	case len(w) >= 16:
		d.u = u128{binary.LittleEndian.Uint64(w[8:]), binary.LittleEndian.Uint64(w)}
	case len(w) >= 8:
		d.u.lo = binary.LittleEndian.Uint64(w)
	}
	return d
}

// decodeNumericString is DecodeNumeric of a datum.
func decodeNumericString(s string) Decimal {
	return DecodeNumeric(unsafe.Slice(unsafe.StringData(s), len(s)))
}

// NumericOf gives the value of a numeric datum.
func NumericOf(s string) Decimal { return decodeNumericString(s) }

func bigFromLE(w []byte) *big.Int {
	be := make([]byte, len(w)&^7)
	for i := range be {
		be[len(be)-1-i] = w[i]
	}
	return new(big.Int).SetBytes(be)
}

// Append appends the in-memory encoding: byte 0 the kind (0 finite, 1 NaN, 2
// Infinity, 3 -Infinity), byte 1 the sign (1 negative), bytes 2-3 the display scale
// (little endian), four zero bytes, then the absolute coefficient as
// little-endian 64-bit words without leading zero words.
func (d Decimal) Append(dst []byte) []byte {
	h := uint64(d.kind) | uint64(d.scale)<<16
	if d.neg && d.kind == decFinite {
		h |= 1 << 8
	}
	dst = binary.LittleEndian.AppendUint64(dst, h)
	if d.big != nil {
		be := d.big.Bytes()
		for i := len(be) - 1; i >= 0; i-- {
			dst = append(dst, be[i])
		}
		for i := len(be); i&7 != 0; i++ {
			dst = append(dst, 0)
		}
		return dst
	}
	if d.u.isZero() {
		return dst
	}
	dst = binary.LittleEndian.AppendUint64(dst, d.u.lo)
	if d.u.hi != 0 {
		dst = binary.LittleEndian.AppendUint64(dst, d.u.hi)
	}
	return dst
}

// Encode gives the in-memory encoding as a datum.
func (d Decimal) Encode() string { return string(d.Append(make([]byte, 0, 24))) }

// NumericFromInt64 gives i with scale 0.
func NumericFromInt64(i int64) Decimal {
	if i < 0 {
		return Decimal{u: u128{0, -uint64(i)}, neg: true}
	}
	return Decimal{u: u128{0, uint64(i)}}
}

// NumericFromUint64 gives i with scale 0.
func NumericFromUint64(i uint64) Decimal { return Decimal{u: u128{0, i}} }

// NumericFromScaled gives i/10^scale with that display scale, 0 <= scale <= 16383.
func NumericFromScaled(i int64, scale int) Decimal {
	d := NumericFromInt64(i)
	d.scale = uint16(scale)
	return d
}

// NumericFromInt128 gives the two's complement 128-bit integer hi:lo with scale 0 (sums of int8).
func NumericFromInt128(hi int64, lo uint64) Decimal {
	u := u128{uint64(hi), lo}
	if hi < 0 {
		u = u128{}.sub(u)
		return Decimal{u: u, neg: true}
	}
	return Decimal{u: u}
}

// NumericFromBig gives x/10^scale with that display scale; x is not kept.
func NumericFromBig(x *big.Int, scale int) Decimal {
	return fromBigAbs(new(big.Int).Abs(x), x.Sign() < 0, scale)
}

// fromBigAbs takes x >= 0 over.
func fromBigAbs(x *big.Int, neg bool, scale int) Decimal {
	d := Decimal{scale: uint16(scale), neg: neg}
	switch n := x.BitLen(); {
	case n == 0:
		d.neg = false
	case n <= 64:
		d.u.lo = x.Uint64()
	case n <= 128:
		d.u.lo = new(big.Int).And(x, maxU64).Uint64()
		d.u.hi = new(big.Int).Rsh(x, 64).Uint64()
	default:
		d.big = x
	}
	return d
}

var maxU64 = new(big.Int).SetUint64(math.MaxUint64)

func fromU128(u u128, neg bool, scale int) Decimal {
	return Decimal{u: u, neg: neg && !u.isZero(), scale: uint16(scale)}
}

// coef gives the absolute coefficient; it may be shared and must not be changed.
func (d Decimal) coef() *big.Int {
	if d.big != nil {
		return d.big
	}
	x := new(big.Int).SetUint64(d.u.lo)
	if d.u.hi != 0 {
		h := new(big.Int).SetUint64(d.u.hi)
		x.Or(x, h.Lsh(h, 64))
	}
	return x
}

// Big gives the coefficient (with its sign) and the scale of a finite numeric.
func (d Decimal) Big() (*big.Int, int) {
	x := new(big.Int).Set(d.coef())
	if d.neg {
		x.Neg(x)
	}
	return x, int(d.scale)
}

// signedBig gives the coefficient with its sign, not shared.
func (d Decimal) signedBig() *big.Int { x, _ := d.Big(); return x }

// NumericFromFloat64 converts as PostgreSQL's cast does: by 15 significant digits.
func NumericFromFloat64(f float64) Decimal { return numericFromFloat(f, 15) }

// NumericFromFloat32 converts by 6 significant digits.
func NumericFromFloat32(f float32) Decimal { return numericFromFloat(float64(f), 6) }

func numericFromFloat(f float64, prec int) Decimal {
	switch {
	case math.IsNaN(f):
		return NumericNaN
	case math.IsInf(f, 1):
		return NumericPosInf
	case math.IsInf(f, -1):
		return NumericNegInf
	}
	var buf [40]byte
	b := strconv.AppendFloat(buf[:0], f, 'e', prec-1, 64)
	mant, exp, _ := strings.Cut(string(b), "e")
	// %.15g leaves no trailing zeros, and they would become digits of the scale.
	if strings.Contains(mant, ".") {
		mant = strings.TrimRight(strings.TrimRight(mant, "0"), ".")
	}
	d, err := ParseNumeric(mant + "e" + exp)
	if err != nil {
		return NumericNaN
	}
	return d
}

func errNumericSyntax(s string) error { return errSyntax("numeric", s) }

// ParseNumeric is the input function of numeric without modifier (22P02, 22003).
func ParseNumeric(s string) (Decimal, error) {
	t := strings.Trim(s, spaces)
	if t == "" {
		return Decimal{}, errNumericSyntax(s)
	}
	neg := false
	i := 0
	if t[0] == '+' || t[0] == '-' {
		neg = t[0] == '-'
		i++
	}
	if i < len(t) && !(t[i] >= '0' && t[i] <= '9' || t[i] == '.') {
		switch w := strings.ToLower(t[i:]); {
		case w == "nan" && i == 0:
			return NumericNaN, nil
		case w == "inf" || w == "infinity":
			if neg {
				return NumericNegInf, nil
			}
			return NumericPosInf, nil
		}
		return Decimal{}, errNumericSyntax(s)
	}
	start := i
	var u u128
	var lo uint64
	nd, lead, scale := 0, 0, 0 // nd: significant digits; lead: characters up to the first of them
	point, any := false, false
	for ; i < len(t); i++ {
		c := t[i]
		if c >= '0' && c <= '9' {
			any = true
			if point {
				scale++
			}
			if nd == 0 && c == '0' {
				lead++
				continue
			}
			nd++
			if nd <= 19 {
				lo = lo*10 + uint64(c-'0')
				if nd == 19 {
					u = u128{0, lo}
				}
			} else if nd <= 38 {
				u, _ = u.mul64(10)
				u, _ = u.add(u128{0, uint64(c - '0')})
			}
			continue
		}
		if c == '.' && !point {
			point = true
			continue
		}
		break
	}
	if !any {
		return Decimal{}, errNumericSyntax(s)
	}
	end := i
	exp := 0
	if i < len(t) {
		if t[i] != 'e' && t[i] != 'E' {
			return Decimal{}, errNumericSyntax(s)
		}
		e := t[i+1:]
		if e == "" {
			return Decimal{}, errNumericSyntax(s)
		}
		j := 0
		if e[0] == '+' || e[0] == '-' {
			j++
		}
		if j == len(e) {
			return Decimal{}, errNumericSyntax(s)
		}
		for _, c := range []byte(e[j:]) {
			if c < '0' || c > '9' {
				return Decimal{}, errNumericSyntax(s)
			}
			if exp < 1e9 {
				exp = exp*10 + int(c-'0')
			}
		}
		if exp >= math.MaxInt32/2 {
			return Decimal{}, errNumericOverflow()
		}
		if e[0] == '-' {
			exp = -exp
		}
	}
	scale -= exp
	var d Decimal
	switch {
	case nd < 19:
		d = Decimal{u: u128{0, lo}, neg: neg && lo != 0}
	case nd <= 38:
		d = Decimal{u: u, neg: neg}
	default:
		digs := strings.Replace(t[start:end], ".", "", 1)
		x, ok := new(big.Int).SetString(digs, 10)
		if !ok {
			return Decimal{}, errNumericSyntax(s)
		}
		d = fromBigAbs(x, neg, 0)
	}
	if scale < 0 {
		if nd > 0 {
			if nd-scale > maxNumericIntDigits {
				return Decimal{}, errNumericOverflow()
			}
			d = d.mulPow10(-scale)
		}
		scale = 0
	}
	if scale > maxNumericScale {
		return Decimal{}, errNumericOverflow()
	}
	d.scale = uint16(scale)
	return d.checked()
}

// mulPow10 multiplies the coefficient by 10^n, leaving the scale.
func (d Decimal) mulPow10(n int) Decimal {
	if d.big == nil {
		if u, ok := d.u.mulPow10(n); ok {
			d.u = u
			return d
		}
	}
	return fromBigAbs(new(big.Int).Mul(d.coef(), bigPow10(n)), d.neg, int(d.scale))
}

// checked fails where d has more digits before the point than PostgreSQL's format holds.
func (d Decimal) checked() (Decimal, error) {
	if d.big != nil && d.big.BitLen() > 400000 && bigDigits(d.big)-int(d.scale) > maxNumericIntDigits {
		return Decimal{}, errNumericOverflow()
	}
	return d, nil
}

// IsNaN reports whether d is NaN.
func (d Decimal) IsNaN() bool { return d.kind == decNaN }

// IsInf reports whether d is infinite.
func (d Decimal) IsInf() bool { return d.kind >= decPosInf }

// IsZero reports whether d is zero.
func (d Decimal) IsZero() bool { return d.kind == decFinite && d.big == nil && d.u.isZero() }

// Scale gives the number of digits shown after the point (0 for NaN and infinities).
func (d Decimal) Scale() int { return int(d.scale) }

// Sign gives -1, 0 or 1; NaN gives 0.
func (d Decimal) Sign() int {
	switch {
	case d.kind == decNaN || d.IsZero():
		return 0
	case d.neg || d.kind == decNegInf:
		return -1
	}
	return 1
}

// digits counts the significant digits of the coefficient, 0 for zero.
func (d Decimal) digits() int {
	if d.big != nil {
		return bigDigits(d.big)
	}
	return d.u.digits()
}

// AppendString appends the output function's text.
func (d Decimal) AppendString(dst []byte) []byte {
	switch d.kind {
	case decNaN:
		return append(dst, "NaN"...)
	case decPosInf:
		return append(dst, "Infinity"...)
	case decNegInf:
		return append(dst, "-Infinity"...)
	}
	if d.neg {
		dst = append(dst, '-')
	}
	at := len(dst)
	switch {
	case d.big != nil:
		dst = d.big.Append(dst, 10)
	case d.u.hi == 0:
		dst = strconv.AppendUint(dst, d.u.lo, 10)
	default:
		q, r := d.u.div64(pow10tab[19])
		if q.hi != 0 {
			q2, r2 := q.div64(pow10tab[19])
			dst = strconv.AppendUint(dst, q2.lo, 10)
			dst = appendPadded(dst, r2, 19)
		} else {
			dst = strconv.AppendUint(dst, q.lo, 10)
		}
		dst = appendPadded(dst, r, 19)
	}
	s := int(d.scale)
	if s == 0 {
		return dst
	}
	if n := len(dst) - at; n <= s { // zeros between the point and the first digit
		pad := s + 1 - n
		for range pad {
			dst = append(dst, '0')
		}
		copy(dst[at+pad:], dst[at:at+n])
		for i := range pad {
			dst[at+i] = '0'
		}
	}
	dst = append(dst, 0)
	p := len(dst) - 1 - s
	copy(dst[p+1:], dst[p:len(dst)-1])
	dst[p] = '.'
	return dst
}

func appendPadded(dst []byte, x uint64, width int) []byte {
	var buf [20]byte
	i := len(buf)
	for range width {
		i--
		buf[i] = byte('0' + x%10)
		x /= 10
	}
	return append(dst, buf[i:]...)
}

// String gives the output function's text.
func (d Decimal) String() string { return string(d.AppendString(make([]byte, 0, 32))) }

// AppendNumeric appends the text of an in-memory numeric.
func AppendNumeric(dst []byte, enc []byte) []byte { return DecodeNumeric(enc).AppendString(dst) }

// Float64 gives the nearest double; infinite where it is out of range.
func (d Decimal) Float64() float64 {
	switch d.kind {
	case decNaN:
		return math.NaN()
	case decPosInf:
		return math.Inf(1)
	case decNegInf:
		return math.Inf(-1)
	}
	if d.big == nil && d.u.hi == 0 && d.u.lo < 1<<53 && d.scale <= 22 {
		f := float64(d.u.lo) / pow10f[d.scale]
		if d.neg {
			return -f
		}
		return f
	}
	var buf [64]byte
	b := d.AppendString(buf[:0])
	f, _ := strconv.ParseFloat(unsafe.String(unsafe.SliceData(b), len(b)), 64)
	return f
}

// Float32 gives the nearest float; infinite where it is out of range.
func (d Decimal) Float32() float32 {
	switch d.kind {
	case decFinite:
		f, _ := strconv.ParseFloat(d.String(), 32)
		return float32(f)
	}
	return float32(d.Float64())
}

var pow10f = [23]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// Int64 rounds half away from zero; ok is false for NaN, infinities and values out of range.
func (d Decimal) Int64() (i int64, ok bool) {
	if d.kind != decFinite {
		return 0, false
	}
	if d.scale != 0 {
		d = d.Round(0)
	}
	if d.big != nil || d.u.hi != 0 {
		return 0, false
	}
	if d.neg {
		return int64(-d.u.lo), d.u.lo <= 1<<63
	}
	return int64(d.u.lo), d.u.lo < 1<<63
}

// WithMod applies a numeric(p,s) modifier: rounds to s digits and fails with 22003 where p is exceeded. mod < 4 leaves d as it is.
func (d Decimal) WithMod(mod int32) (Decimal, error) {
	p, s, ok := NumericPrecScale(mod)
	if !ok || d.kind == decNaN {
		return d, nil
	}
	if d.IsInf() {
		return d, pgerr.New(pgerr.NumericValueOutOfRange, "numeric field overflow").
			WithDetail("A field with precision %d, scale %d cannot hold an infinite value.", p, s)
	}
	r := d.Round(s)
	if r.digits()-int(r.scale) > p-s && !r.IsZero() {
		e := pgerr.New(pgerr.NumericValueOutOfRange, "numeric field overflow")
		if p-s == 0 {
			return d, e.WithDetail("A field with precision %d, scale %d must round to an absolute value less than 1.", p, s)
		}
		return d, e.WithDetail("A field with precision %d, scale %d must round to an absolute value less than 10^%d.", p, s, p-s)
	}
	return r, nil
}
