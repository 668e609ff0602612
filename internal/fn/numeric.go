package fn

import (
	"encoding/binary"
	"math/bits"

	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// decimals gives access to the rows of a numeric column. A constant is decoded once.
type decimals struct {
	v     *vec.Vec
	first types.Decimal
	fixed bool
}

func decimalsOf(v *vec.Vec, n int) decimals {
	d := decimals{v: v}
	if v.Const && n > 0 && !v.IsNull(0) {
		d.fixed, d.first = true, types.DecodeNumeric(v.Bytes(0))
	}
	return d
}

func (d *decimals) at(i int) types.Decimal {
	if d.fixed {
		return d.first
	}
	return types.DecodeNumeric(d.v.Bytes(i))
}

func numericBinary(f func(a, b types.Decimal) (types.Decimal, error)) Kernel {
	return func(_ *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
		a, b := decimalsOf(args[0], n), decimalsOf(args[1], n)
		nulls := args[0].HasNulls() || args[1].HasNulls()
		for i := range n {
			if nulls && (args[0].IsNull(i) || args[1].IsNull(i)) {
				out.AppendNull()
				continue
			}
			r, err := f(a.at(i), b.at(i))
			if err != nil {
				failLane(out, i, err)
				continue
			}
			appendDecimal(out, r)
		}
	}
}

// small reads a finite numeric whose coefficient fits a word, straight from its
// encoding (see Decimal.Append).
func small(b []byte) (coef uint64, scale int, neg, ok bool) {
	if len(b) == 16 {
		coef = binary.LittleEndian.Uint64(b[8:])
	} else if len(b) != 8 {
		return 0, 0, false, false
	}
	return coef, int(binary.LittleEndian.Uint16(b[2:])), b[1] != 0, b[0] == 0
}

// mulNumerics multiplies; coefficients of a word, nearly all, are done in place.
func mulNumerics(_ *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
	for i := mulSmall(args[0], args[1], out, n); i < n; i++ {
		if args[0].IsNull(i) || args[1].IsNull(i) {
			out.AppendNull()
			continue
		}
		a, b := args[0].Bytes(i), args[1].Bytes(i)
		x, s, xn, ok1 := small(a)
		y, t, yn, ok2 := small(b)
		if ok1 && ok2 && s+t <= 1000 {
			hi, lo := bits.Mul64(x, y)
			h := uint64(s+t) << 16
			if xn != yn && lo|hi != 0 {
				h |= 1 << 8
			}
			dst := binary.LittleEndian.AppendUint64(out.DataTail(24), h)
			if lo|hi != 0 {
				dst = binary.LittleEndian.AppendUint64(dst, lo)
			}
			if hi != 0 {
				dst = binary.LittleEndian.AppendUint64(dst, hi)
			}
			out.EndBytes(dst)
			continue
		}
		r, err := types.DecodeNumeric(a).Mul(types.DecodeNumeric(b))
		if err != nil {
			failLane(out, i, err)
			continue
		}
		appendDecimal(out, r)
	}
}

// mulSmall multiplies columns without NULLs up to the first row whose factors do not
// fit a word, and gives the number of that row (n if there is none). It writes the
// products straight behind each other.
func mulSmall(a, b, out *vec.Vec, n int) int {
	if a.HasNulls() || b.HasNulls() {
		return 0
	}
	at := out.N
	out.Extend(n)
	off := out.Off[at+1 : at+n+1]
	data := out.DataTail(24 * n)
	pos := len(data)
	data = data[:cap(data)]
	if a.Const {
		a, b = b, a // numeric multiplication commutes
	}
	var y uint64
	var t int
	var yn, fits bool
	if b.Const && n > 0 {
		y, t, yn, fits = small(b.Bytes(0))
	}
	done := 0
	for ; done < n; done++ {
		if !b.Const {
			y, t, yn, fits = small(b.Bytes(done))
		}
		x, s, xn, ok := small(a.Bytes(done))
		if !ok || !fits || s+t > 1000 {
			break
		}
		hi, lo := bits.Mul64(x, y)
		h := uint64(s+t) << 16
		if xn != yn && lo|hi != 0 {
			h |= 1 << 8
		}
		row := data[pos : pos+24]
		binary.LittleEndian.PutUint64(row, h)
		binary.LittleEndian.PutUint64(row[8:], lo)
		binary.LittleEndian.PutUint64(row[16:], hi)
		switch {
		case hi != 0:
			pos += 24
		case lo != 0:
			pos += 16
		default:
			pos += 8
		}
		off[done] = int32(pos)
	}
	out.Data = data[:pos]
	out.Truncate(at + done)
	return done
}

// cmpNumerics compares two encodings, in place where scales agree and coefficients fit a word.
func cmpNumerics(a, b []byte) int {
	x, s, xn, ok1 := small(a)
	y, t, yn, ok2 := small(b)
	if !ok1 || !ok2 || s != t && (s-t > 18 || t-s > 18) {
		return types.DecodeNumeric(a).Cmp(types.DecodeNumeric(b))
	}
	if xn != yn {
		if xn {
			return -1
		}
		return 1
	}
	var xh, yh uint64
	if s < t {
		xh, x = bits.Mul64(x, powers10[t-s])
	} else if t < s {
		yh, y = bits.Mul64(y, powers10[s-t])
	}
	c := 0
	switch {
	case xh != yh:
		c = 1 - 2*b2i(xh < yh)
	case x != y:
		c = 1 - 2*b2i(x < y)
	}
	if xn {
		return -c
	}
	return c
}

var powers10 = func() (p [19]uint64) {
	p[0] = 1
	for i := 1; i < len(p); i++ {
		p[i] = p[i-1] * 10
	}
	return p
}()

func init() {
	numBinary := func(sym, name string, k Kernel) {
		op("numeric "+sym+" numeric numeric", k)
		def(name+"(numeric,numeric) numeric", k)
	}
	numBinary("+", "numeric_add", numericBinary(types.Decimal.Add))
	numBinary("-", "numeric_sub", numericBinary(types.Decimal.Sub))
	numBinary("*", "numeric_mul", mulNumerics)
	numBinary("/", "numeric_div", numericBinary(types.Decimal.Div))
	numBinary("%", "mod", numericBinary(types.Decimal.Mod))
	def("div(numeric,numeric) numeric", numericBinary(types.Decimal.Quo))
	op("+ numeric numeric", same)
	op("- numeric numeric", row1(types.Decimal.Neg))
	op("@ numeric numeric", row1(types.Decimal.Abs))
	def("abs(numeric) numeric", row1(types.Decimal.Abs))
}
