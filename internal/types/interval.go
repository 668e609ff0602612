package types

import (
	"encoding/binary"
	"math"
	"math/bits"

	"streamsql/internal/pgerr"
)

// Span is a value of the SQL type interval: three fields that are not
// interchangeable (a month has no fixed number of days, a day no fixed number of hours).
type Span struct {
	Months, Days int32
	Micros       int64
}

// SpanOf gives the interval of an in-memory value.
func SpanOf(b [16]byte) Span {
	return Span{
		Micros: int64(binary.LittleEndian.Uint64(b[:8])),
		Days:   int32(binary.LittleEndian.Uint32(b[8:12])),
		Months: int32(binary.LittleEndian.Uint32(b[12:])),
	}
}

// Bytes gives the in-memory form: microseconds, days, months, little endian.
func (s Span) Bytes() (b [16]byte) {
	binary.LittleEndian.PutUint64(b[:8], uint64(s.Micros))
	binary.LittleEndian.PutUint32(b[8:12], uint32(s.Days))
	binary.LittleEndian.PutUint32(b[12:], uint32(s.Months))
	return b
}

func errIntervalRange() error {
	return pgerr.New(pgerr.DatetimeFieldOverflow, "interval out of range")
}

// Add gives s+t field by field (22008).
func (s Span) Add(t Span) (Span, error) {
	m, d := int64(s.Months)+int64(t.Months), int64(s.Days)+int64(t.Days)
	us := s.Micros + t.Micros
	if m != int64(int32(m)) || d != int64(int32(d)) || (t.Micros >= 0) != (us >= s.Micros) {
		return Span{}, errIntervalRange()
	}
	return Span{int32(m), int32(d), us}, nil
}

// Neg gives -s (22008 for the extreme values).
func (s Span) Neg() (Span, error) {
	if s.Months == math.MinInt32 || s.Days == math.MinInt32 || s.Micros == math.MinInt64 {
		return Span{}, errIntervalRange()
	}
	return Span{-s.Months, -s.Days, -s.Micros}, nil
}

// Sub gives s-t.
func (s Span) Sub(t Span) (Span, error) {
	m, d := int64(s.Months)-int64(t.Months), int64(s.Days)-int64(t.Days)
	us := s.Micros - t.Micros
	if m != int64(int32(m)) || d != int64(int32(d)) || (t.Micros > 0) != (us < s.Micros) {
		return Span{}, errIntervalRange()
	}
	return Span{int32(m), int32(d), us}, nil
}

// Mul gives s*f. Fractions of months become days of a 30-day month, fractions of days time.
func (s Span) Mul(f float64) (Span, error) { return s.scale(f, false) }

// Div gives s/f (22012 for zero).
func (s Span) Div(f float64) (Span, error) {
	if f == 0 {
		return Span{}, errDivZero()
	}
	return s.scale(f, true)
}

func (s Span) scale(f float64, div bool) (Span, error) {
	op := func(x float64) float64 {
		if div {
			return x / f
		}
		return x * f
	}
	m, d := op(float64(s.Months)), op(float64(s.Days))
	if !(math.Abs(m) <= math.MaxInt32) || !(math.Abs(d) <= math.MaxInt32) {
		return Span{}, errIntervalRange()
	}
	r := Span{Months: int32(m), Days: int32(d)}
	// The cascade is rounded to microseconds at each step, or 1.1 months would give 2.999999 days.
	monthDays := roundUs((m - float64(r.Months)) * 30)
	sec := roundUs((d - float64(r.Days) + monthDays - math.Trunc(monthDays)) * 86400)
	if math.Abs(sec) >= 86400 {
		n := math.Trunc(sec / 86400)
		r.Days += int32(n)
		sec -= n * 86400
	}
	days := int64(r.Days) + int64(monthDays)
	us := math.RoundToEven(op(float64(s.Micros)) + sec*1e6)
	if days != int64(int32(days)) || !(us >= -0x1p63 && us < 0x1p63) {
		return Span{}, errIntervalRange()
	}
	r.Days, r.Micros = int32(days), int64(us)
	return r, nil
}

func roundUs(f float64) float64 { return math.RoundToEven(f*1e6) / 1e6 }

// value gives the interval as a 128-bit number of microseconds with 30-day months: what comparison goes by.
func (s Span) value() (hi int64, lo uint64) {
	days := int64(s.Months)*30 + int64(s.Days)
	h, l := bits.Mul64(uint64(days), uint64(UsPerDay))
	if days < 0 {
		h -= uint64(UsPerDay)
	}
	var c uint64
	l, c = bits.Add64(l, uint64(s.Micros), 0)
	h, _ = bits.Add64(h, uint64(s.Micros>>63), c)
	return int64(h), l
}

// Cmp compares with months of 30 days and days of 24 hours.
func (s Span) Cmp(t Span) int {
	h, l := s.value()
	h2, l2 := t.value()
	switch {
	case h < h2 || h == h2 && l < l2:
		return -1
	case h == h2 && l == l2:
		return 0
	}
	return 1
}

// Sign gives -1, 0 or 1 by Cmp with zero.
func (s Span) Sign() int { return s.Cmp(Span{}) }

// JustifyHours moves whole 24-hour parts of the time to days.
func (s Span) JustifyHours() (Span, error) {
	n := s.Micros / UsPerDay
	s.Micros -= n * UsPerDay
	d := int64(s.Days) + n
	switch {
	case d > 0 && s.Micros < 0:
		s.Micros += UsPerDay
		d--
	case d < 0 && s.Micros > 0:
		s.Micros -= UsPerDay
		d++
	}
	if d != int64(int32(d)) {
		return Span{}, errIntervalRange()
	}
	s.Days = int32(d)
	return s, nil
}

// JustifyDays moves whole 30-day parts of the days to months.
func (s Span) JustifyDays() (Span, error) {
	n := s.Days / 30
	s.Days -= n * 30
	m := int64(s.Months) + int64(n)
	switch {
	case m > 0 && s.Days < 0:
		s.Days += 30
		m--
	case m < 0 && s.Days > 0:
		s.Days -= 30
		m++
	}
	if m != int64(int32(m)) {
		return Span{}, errIntervalRange()
	}
	s.Months = int32(m)
	return s, nil
}

// Justify does both and gives all fields one sign: justify_interval.
func (s Span) Justify() (Span, error) {
	n := s.Micros / UsPerDay
	us := s.Micros - n*UsPerDay
	d := int64(s.Days) + n
	k := d / 30
	d -= k * 30
	m := int64(s.Months) + k
	if m > 0 && (d < 0 || d == 0 && us < 0) {
		d += 30
		m--
	} else if m < 0 && (d > 0 || d == 0 && us > 0) {
		d -= 30
		m++
	}
	if d > 0 && us < 0 {
		us += UsPerDay
		d--
	} else if d < 0 && us > 0 {
		us -= UsPerDay
		d++
	}
	if m != int64(int32(m)) {
		return Span{}, errIntervalRange()
	}
	return Span{int32(m), int32(d), us}, nil
}

// The field bits of an interval modifier: it holds them above the precision.
const (
	fieldMonth  = 1 << 1
	fieldYear   = 1 << 2
	fieldDay    = 1 << 3
	fieldHour   = 1 << 10
	fieldMinute = 1 << 11
	fieldSecond = 1 << 12
	fieldAll    = 0x7fff
)

// IntervalMod packs an interval modifier of field names (YEAR, "DAY TO SECOND", "" all) and a precision (-1 none).
func IntervalMod(fields string, precision int) (int32, bool) {
	if fields == "" && precision < 0 {
		return -1, true
	}
	r, ok := map[string]int32{
		"": fieldAll, "YEAR": fieldYear, "MONTH": fieldMonth, "DAY": fieldDay, "HOUR": fieldHour,
		"MINUTE": fieldMinute, "SECOND": fieldSecond, "YEAR TO MONTH": fieldYear | fieldMonth,
		"DAY TO HOUR": fieldDay | fieldHour, "DAY TO MINUTE": fieldDay | fieldHour | fieldMinute,
		"DAY TO SECOND":  fieldDay | fieldHour | fieldMinute | fieldSecond,
		"HOUR TO MINUTE": fieldHour | fieldMinute, "HOUR TO SECOND": fieldHour | fieldMinute | fieldSecond,
		"MINUTE TO SECOND": fieldMinute | fieldSecond,
	}[fields]
	if precision < 0 {
		precision = 0xffff
	}
	return r<<16 | int32(precision), ok
}

// WithMod applies an interval modifier: drops the fields below the least it names and rounds to its precision.
func (s Span) WithMod(mod int32) Span {
	if mod < 0 {
		return s
	}
	switch r := mod >> 16 & 0x7fff; {
	case r == fieldAll || r&fieldSecond != 0:
	case r&fieldMinute != 0:
		s.Micros -= s.Micros % UsPerMinute
	case r&fieldHour != 0:
		s.Micros -= s.Micros % UsPerHour
	case r&fieldDay != 0:
		s.Micros = 0
	case r&fieldMonth != 0:
		s.Days, s.Micros = 0, 0
	case r&fieldYear != 0:
		s.Months, s.Days, s.Micros = s.Months/12*12, 0, 0
	}
	if p := mod & 0xffff; p < 6 {
		s.Micros = roundMicros(s.Micros, int(p))
	}
	return s
}

// roundMicros rounds to p digits of seconds, half away from zero.
func roundMicros(us int64, p int) int64 {
	if p < 0 || p >= 6 {
		return us
	}
	unit := int64(pow10tab[6-p])
	if us >= 0 {
		return (us + unit/2) / unit * unit
	}
	return -((-us + unit/2) / unit * unit)
}
