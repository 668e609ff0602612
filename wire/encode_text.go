package wire

import (
	"strings"

	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// formatText makes the cells of rows [from, to) in text format.
func (c *cells) formatText(t types.T, v *vec.Vec, from, to int, env *types.Env) {
	switch v.Kind {
	case types.KindString:
		if t.OID != types.OIDChar { // the column holds the text
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

// formatInts makes the text of the types held as integers, those that are most of
// what streams carry; false leaves a type to the general way.
func (c *cells) formatInts(t types.T, v *vec.Vec, from, to int, env *types.Env) bool {
	switch t.OID {
	case types.OIDInt2:
		c.begin()
		for _, x := range v.I16[from:to] {
			c.buf = appendInt(c.buf, int64(x))
			c.cell()
		}
	case types.OIDInt4:
		c.begin()
		for _, x := range v.I32[from:to] {
			c.buf = appendInt(c.buf, int64(x))
			c.cell()
		}
	case types.OIDInt8, types.OIDOid:
		c.begin()
		for _, x := range v.I64[from:to] {
			c.buf = appendInt(c.buf, x)
			c.cell()
		}
	case types.OIDDate:
		if !isoDates(env) {
			return false
		}
		c.begin()
		var d dayText
		for _, x := range v.I32[from:to] {
			if d.seek(int64(x)) {
				c.buf = append(c.buf, d.text[:10]...)
			} else {
				c.buf = types.AppendDate(c.buf, env, x)
			}
			c.cell()
		}
	case types.OIDTimestamp:
		if !isoDates(env) {
			return false
		}
		c.begin()
		var d dayText
		for _, x := range v.I64[from:to] {
			if d.seekMicros(x) {
				c.buf = appendClock(append(c.buf, d.text[:]...), x-d.start)
			} else {
				c.buf = types.AppendTimestamp(c.buf, env, x)
			}
			c.cell()
		}
	case types.OIDTimestamptz:
		if !isoDates(env) || env != nil && env.Zone != nil && env.Zone.Name() != "UTC" {
			return false
		}
		c.begin()
		var d dayText
		for _, x := range v.I64[from:to] {
			if d.seekMicros(x) {
				c.buf = append(appendClock(append(c.buf, d.text[:]...), x-d.start), "+00"...)
			} else {
				c.buf = types.AppendTimestamptz(c.buf, env, x)
			}
			c.cell()
		}
	default:
		return false
	}
	c.end()
	return true
}

// twoDigits holds 00 to 99.
const twoDigits = "00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748495051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899"

// appendInt appends x in decimal, two digits a division.
func appendInt(dst []byte, x int64) []byte {
	if x >= 0 && x < 10 {
		return append(dst, '0'+byte(x))
	}
	var b [20]byte
	at := len(b)
	u := uint64(x)
	if x < 0 {
		u = -u
	}
	for u >= 100 {
		q := u / 100
		d := (u - q*100) * 2
		at -= 2
		b[at], b[at+1] = twoDigits[d], twoDigits[d+1]
		u = q
	}
	if u >= 10 {
		at -= 2
		b[at], b[at+1] = twoDigits[u*2], twoDigits[u*2+1]
	} else {
		at--
		b[at] = '0' + byte(u)
	}
	if x < 0 {
		at--
		b[at] = '-'
	}
	return append(dst, b[at:]...)
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

// appendClock appends a time of day, microseconds from 0 to a day, as hh:mm:ss[.ffffff].
func appendClock(dst []byte, us int64) []byte {
	s := uint32(uint64(us) / 1_000_000)
	frac := uint32(uint64(us) - uint64(s)*1_000_000)
	h := s / 3600
	s -= h * 3600
	m := s / 60
	s -= m * 60
	dst = append(dst, twoDigits[2*h], twoDigits[2*h+1], ':', twoDigits[2*m], twoDigits[2*m+1], ':', twoDigits[2*s], twoDigits[2*s+1])
	if frac == 0 {
		return dst
	}
	a := frac / 10000
	b := frac / 100 % 100
	f := frac % 100
	dst = append(dst, '.', twoDigits[2*a], twoDigits[2*a+1], twoDigits[2*b], twoDigits[2*b+1], twoDigits[2*f], twoDigits[2*f+1])
	for dst[len(dst)-1] == '0' {
		dst = dst[:len(dst)-1]
	}
	return dst
}
