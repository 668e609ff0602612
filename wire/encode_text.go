package wire

import (
	"math/bits"
	"slices"
	"strings"

	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// formatText makes the cells of rows [from, to) in text format.
func (c *cells) formatText(t types.T, v *vec.Vec, from, to int, env *types.Env) {
	switch v.Kind {
	case types.KindString:
		if t.OID != types.OIDChar && !t.IsEnum() { // the column holds the text
			c.data, c.off = v.Data, v.Off[from:to+1]
			return
		}
	case types.KindInt16, types.KindInt32, types.KindInt64:
		if c.formatInts(t, v, from, to, env) {
			return
		}
	}
	c.begin()
	nulls := v.HasNulls()
	extra := 0
	if env != nil {
		extra = env.ExtraFloat
	}
	switch {
	case v.Kind == types.KindBool:
		for _, x := range v.Bools[from:to] {
			c.buf = types.AppendBool(c.buf, x)
			c.cell()
		}
	case v.Kind == types.KindFloat64:
		for i, x := range v.F64[from:to] {
			if !nulls || !v.IsNull(from+i) {
				c.buf = types.AppendFloat8(c.buf, x, extra)
			}
			c.cell()
		}
	case v.Kind == types.KindFloat32:
		for i, x := range v.F32[from:to] {
			if !nulls || !v.IsNull(from+i) {
				c.buf = types.AppendFloat4(c.buf, x, extra)
			}
			c.cell()
		}
	case t.OID == types.OIDNumeric:
		for i := from; i < to; i++ {
			if !nulls || !v.IsNull(i) {
				c.buf = types.AppendNumeric(c.buf, v.Bytes(i))
			}
			c.cell()
		}
	case v.Kind == types.KindString || v.Kind == types.KindBytes:
		for i := from; i < to; i++ {
			if !nulls || !v.IsNull(i) {
				c.buf = types.AppendTextBytes(c.buf, env, t, v.Bytes(i))
			}
			c.cell()
		}
	case t.OID == types.OIDUUID:
		for i := from; i < to; i++ {
			c.buf = types.AppendUUID(c.buf, v.F16[i])
			c.cell()
		}
	default: // interval, timetz, time, date in another style, reg*
		for i := from; i < to; i++ {
			if !nulls || !v.IsNull(i) {
				c.buf = types.AppendText(c.buf, env, t, v.Datum(i))
			}
			c.cell()
		}
	}
	c.end()
}

// isoDates reports whether dates are shown in ISO style.
func isoDates(env *types.Env) bool {
	return env == nil || env.DateStyle == "" || strings.HasPrefix(env.DateStyle, "ISO")
}

// The longest texts of what formatInts writes.
const (
	intText   = 20
	stampText = 32
)

// room starts cells of at most size bytes each: they are written into buf from at
// on, without asking for memory in between.
func (c *cells) room(n, size int) {
	c.buf = slices.Grow(c.buf[:0], n*size)
	c.buf = c.buf[:cap(c.buf)]
	c.offs = slices.Grow(c.offs[:0], n+1)[:n+1]
	c.offs[0] = 0
	c.data, c.off = c.buf, c.offs
}

func putInts[E int16 | int32 | int64](c *cells, xs []E) {
	c.room(len(xs), intText)
	at, offs := 0, c.offs[1:]
	for i, x := range xs {
		at += putInt(c.buf[at:at+intText], int64(x))
		offs[i] = int32(at)
	}
}

// formatInts makes the text of the types held as integers, those that are most of
// what streams carry; false leaves a type to the general way.
func (c *cells) formatInts(t types.T, v *vec.Vec, from, to int, env *types.Env) bool {
	switch t.OID {
	case types.OIDInt2:
		putInts(c, v.I16[from:to])
		return true
	case types.OIDInt4:
		putInts(c, v.I32[from:to])
		return true
	case types.OIDInt8, types.OIDOid:
		putInts(c, v.I64[from:to])
		return true
	}
	if !isoDates(env) {
		return false
	}
	var d dayText
	at := 0
	switch t.OID {
	case types.OIDDate:
		c.room(to-from, stampText)
		for i, x := range v.I32[from:to] {
			b := c.buf[at : at+stampText]
			if d.seek(int64(x)) {
				*(*[11]byte)(b) = d.text
				at += 10
			} else {
				at += len(types.AppendDate(b[:0], env, x))
			}
			c.offs[i+1] = int32(at)
		}
		return true
	case types.OIDTimestamp:
		c.room(to-from, stampText)
		for i, x := range v.I64[from:to] {
			b := c.buf[at : at+stampText]
			if d.seekMicros(x) {
				*(*[11]byte)(b) = d.text
				at += 11 + putClock((*[15]byte)(b[11:]), x-d.start)
			} else {
				at += len(types.AppendTimestamp(b[:0], env, x))
			}
			c.offs[i+1] = int32(at)
		}
		return true
	case types.OIDTimestamptz:
		if env != nil && env.Zone != nil && env.Zone.Name() != "UTC" {
			return false
		}
		c.room(to-from, stampText)
		for i, x := range v.I64[from:to] {
			b := c.buf[at : at+stampText]
			if d.seekMicros(x) {
				*(*[11]byte)(b) = d.text
				at += 11 + putClock((*[15]byte)(b[11:]), x-d.start)
				at += copy(c.buf[at:], "+00")
			} else {
				at += len(types.AppendTimestamptz(b[:0], env, x))
			}
			c.offs[i+1] = int32(at)
		}
		return true
	}
	return false
}

// twoDigits holds 00 to 99.
const twoDigits = "00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748495051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899"

// powers[n] is the least number of n+1 digits.
var powers = [20]uint64{0, 10, 100, 1000, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19}

// putInt writes x in decimal to the start of b, two digits a division, and gives the length.
func putInt(b []byte, x int64) int {
	u := uint64(x)
	sign := 0
	if x < 0 {
		u = -u
		b[0] = '-'
		sign = 1
	}
	// log10(2) is 1233/4096, near enough for 64 bits; one comparison corrects it.
	n := bits.Len64(u|1) * 1233 >> 12
	if u >= powers[n] {
		n++
	}
	n = max(n, 1) // zero has a digit
	b = b[sign : sign+n]
	at := n
	for u >= 100 {
		q := u / 100
		d := (u - q*100) * 2
		at -= 2
		b[at], b[at+1] = twoDigits[d], twoDigits[d+1]
		u = q
	}
	if at == 2 {
		b[0], b[1] = twoDigits[u*2], twoDigits[u*2+1]
	} else {
		b[0] = '0' + byte(u)
	}
	return sign + n
}

const dayMicros = 86_400_000_000

// dayText remembers the text of the day that the last timestamp fell on:
// neighbouring rows nearly always share it. Only the years 1 to 9999 have the ten characters.
type dayText struct {
	text  [11]byte // "2006-01-02 "
	day   int64
	start int64 // of the day, microseconds
	known bool
}

const (
	firstDay = -719162 // 0001-01-01
	lastDay  = 2932896 // 9999-12-31
)

// seek makes the text that of day; false if its year has not four digits.
func (d *dayText) seek(day int64) bool {
	if d.known && day == d.day {
		return true
	}
	if day < firstDay || day > lastDay {
		return false
	}
	types.AppendDate(d.text[:0], nil, int32(day))
	d.text[10] = ' '
	d.day, d.start, d.known = day, day*dayMicros, true
	return true
}

// seekMicros makes the text that of the day of a timestamp.
func (d *dayText) seekMicros(us int64) bool {
	if d.known && uint64(us-d.start) < dayMicros {
		return true
	}
	day := us / dayMicros
	if us < 0 && day*dayMicros != us {
		day--
	}
	return d.seek(day)
}

// putClock writes a time of day, microseconds from 0 to a day, as hh:mm:ss[.ffffff] and gives the length.
func putClock(b *[15]byte, us int64) int {
	s := uint32(uint64(us) / 1_000_000)
	frac := uint32(uint64(us) - uint64(s)*1_000_000)
	h := s / 3600
	s -= h * 3600
	m := s / 60
	s -= m * 60
	b[0], b[1], b[2] = twoDigits[2*h], twoDigits[2*h+1], ':'
	b[3], b[4], b[5] = twoDigits[2*m], twoDigits[2*m+1], ':'
	b[6], b[7] = twoDigits[2*s], twoDigits[2*s+1]
	if frac == 0 {
		return 8
	}
	x := frac / 10000
	y := frac / 100 % 100
	z := frac % 100
	b[8], b[9], b[10] = '.', twoDigits[2*x], twoDigits[2*x+1]
	b[11], b[12], b[13], b[14] = twoDigits[2*y], twoDigits[2*y+1], twoDigits[2*z], twoDigits[2*z+1]
	n := 15
	for b[n-1] == '0' {
		n--
	}
	return n
}
