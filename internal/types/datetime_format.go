package types

import "strings"

// digits2 holds 00 to 99: two digits a look-up.
const digits2 = "00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748495051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899"

func append2(dst []byte, n int) []byte {
	n *= 2
	return append(dst, digits2[n], digits2[n+1])
}

// appendYear pads to four digits; y is a year of the era, at least 1.
func appendYear(dst []byte, y int64) []byte {
	if y < 10000 {
		return append2(append2(dst, int(y/100)), int(y%100))
	}
	return AppendInt(dst, y)
}

// era gives the year of its era and whether that is BC.
func era(y int64) (int64, bool) {
	if y > 0 {
		return y, false
	}
	return 1 - y, true
}

type outStyle byte

const (
	styleISO outStyle = iota
	styleSQL
	stylePostgres
	styleGerman
)

// style gives the output style and whether days go before months.
func (e *Env) style() (s outStyle, dmy bool) {
	if e == nil || e.DateStyle == "" || e.DateStyle[0] == 'I' {
		return styleISO, false
	}
	switch e.DateStyle[0] {
	case 'S', 's':
		s = styleSQL
	case 'P', 'p':
		s = stylePostgres
	case 'G', 'g':
		s = styleGerman
	}
	return s, e.order() == orderDMY
}

type dateOrder byte

const (
	orderMDY dateOrder = iota
	orderDMY
	orderYMD
)

func (e *Env) order() dateOrder {
	if e == nil || e.DateStyle == "" {
		return orderMDY
	}
	switch {
	case strings.Contains(e.DateStyle, "DMY"):
		return orderDMY
	case strings.Contains(e.DateStyle, "YMD"):
		return orderYMD
	}
	return orderMDY
}

func (e *Env) zone() *Zone {
	if e == nil {
		return nil
	}
	return e.Zone
}

func appendCivil(dst []byte, y int64, m, d int) []byte {
	dst = append(appendYear(dst, y), '-')
	dst = append(append2(dst, m), '-')
	return append2(dst, d)
}

func appendDateStyle(dst []byte, s outStyle, dmy bool, y int64, m, d int) []byte {
	sep := byte('-')
	switch s {
	case styleISO:
		return appendCivil(dst, y, m, d)
	case styleSQL:
		sep = '/'
	case styleGerman:
		sep, dmy = '.', true
	}
	if dmy {
		m, d = d, m
	}
	dst = append(append2(dst, m), sep)
	dst = append(append2(dst, d), sep)
	return appendYear(dst, y)
}

// AppendDate appends a date (days since 1970-01-01) in the session's DateStyle; env may be nil (ISO).
func AppendDate(dst []byte, env *Env, days int32) []byte {
	switch days {
	case DatePosInfinity:
		return append(dst, "infinity"...)
	case DateNegInfinity:
		return append(dst, "-infinity"...)
	}
	y, m, d := CivilFromDays(int64(days))
	s, dmy := env.style()
	y, bc := era(y)
	dst = appendDateStyle(dst, s, dmy, y, m, d)
	if bc {
		dst = append(dst, " BC"...)
	}
	return dst
}

// AppendTime appends a time of day in microseconds.
func AppendTime(dst []byte, us int64) []byte {
	sec := us / UsPerSecond
	h, r := int(sec/3600), int(sec%3600)
	m := r / 60
	dst = append(append2(dst, h), ':')
	dst = append(append2(dst, m), ':')
	dst = append2(dst, r-m*60)
	return appendFraction(dst, int(us-sec*UsPerSecond))
}

// appendFraction appends .ffffff without trailing zeros, nothing for zero.
func appendFraction(dst []byte, us int) []byte {
	if us == 0 {
		return dst
	}
	dst = append(dst, '.')
	a := us / 10000
	b := us / 100 % 100
	c := us % 100
	dst = append2(append2(append2(dst, a), b), c)
	for dst[len(dst)-1] == '0' {
		dst = dst[:len(dst)-1]
	}
	return dst
}

// appendOffset appends seconds east of UTC as +hh[:mm[:ss]].
func appendOffset(dst []byte, sec int) []byte {
	if sec < 0 {
		dst = append(dst, '-')
		sec = -sec
	} else {
		dst = append(dst, '+')
	}
	dst = append2(dst, sec/3600%100)
	if m, s := sec/60%60, sec%60; m != 0 || s != 0 {
		dst = append2(append(dst, ':'), m)
		if s != 0 {
			dst = append2(append(dst, ':'), s)
		}
	}
	return dst
}

func appendInfinity(dst []byte, ts int64) []byte {
	if ts == PosInfinity {
		return append(dst, "infinity"...)
	}
	return append(dst, "-infinity"...)
}

// AppendTimestamp appends a timestamp in the session's DateStyle; env may be nil (ISO).
func AppendTimestamp(dst []byte, env *Env, ts int64) []byte {
	if isInfinite(ts) {
		return appendInfinity(dst, ts)
	}
	days, us := splitTimestamp(ts)
	y, m, d := CivilFromDays(days)
	s, dmy := env.style()
	if s != styleISO {
		return appendStamp(dst, s, dmy, days, us, "")
	}
	if y <= 0 {
		dst = append(appendCivil(dst, 1-y, m, d), ' ')
		return append(AppendTime(dst, us), " BC"...)
	}
	return AppendTime(append(appendCivil(dst, y, m, d), ' '), us)
}

// AppendTimestamptz appends an instant in the session's zone and DateStyle; env may be nil (ISO, UTC).
func AppendTimestamptz(dst []byte, env *Env, ts int64) []byte {
	if isInfinite(ts) {
		return appendInfinity(dst, ts)
	}
	z := env.zone()
	if s, dmy := env.style(); s != styleISO {
		off, _, abbrev := z.Offset(ts)
		days, us := splitTimestamp(ts + int64(off)*UsPerSecond)
		return appendStamp(dst, s, dmy, days, us, abbrev)
	}
	off := z.offset(ts)
	days, us := splitTimestamp(ts + int64(off)*UsPerSecond)
	y, m, d := CivilFromDays(days)
	bc := y <= 0
	if bc {
		y = 1 - y
	}
	dst = AppendTime(append(appendCivil(dst, y, m, d), ' '), us)
	dst = appendOffset(dst, off)
	if bc {
		dst = append(dst, " BC"...)
	}
	return dst
}

const (
	dayAbbrevs   = "SunMonTueWedThuFriSat"
	monthAbbrevs = "JanFebMarAprMayJunJulAugSepOctNovDec"
)

// appendStamp appends in the styles other than ISO; zone is the abbreviation, "" for a timestamp without zone.
func appendStamp(dst []byte, s outStyle, dmy bool, days, us int64, zone string) []byte {
	y, m, d := CivilFromDays(days)
	y, bc := era(y)
	if s == stylePostgres {
		w := weekday(days) * 3
		dst = append(append(dst, dayAbbrevs[w:w+3]...), ' ')
		mon := monthAbbrevs[3*m-3 : 3*m]
		if dmy {
			dst = append(append(append2(dst, d), ' '), mon...)
		} else {
			dst = append2(append(append(dst, mon...), ' '), d)
		}
		dst = AppendTime(append(dst, ' '), us)
		dst = appendYear(append(dst, ' '), y)
	} else {
		dst = append(appendDateStyle(dst, s, dmy, y, m, d), ' ')
		dst = AppendTime(dst, us)
	}
	if zone != "" {
		dst = append(append(dst, ' '), zone...)
	}
	if bc {
		dst = append(dst, " BC"...)
	}
	return dst
}

// AppendTimetz appends a time with zone.
func AppendTimetz(dst []byte, b [16]byte) []byte {
	us, east := TimetzOf(b)
	return appendOffset(AppendTime(dst, us), int(east))
}

// AppendInterval appends s in the session's IntervalStyle; env may be nil (postgres).
func AppendInterval(dst []byte, env *Env, s Span) []byte {
	style := ""
	if env != nil {
		style = env.IntervalStyle
	}
	switch style {
	case "iso_8601":
		return appendISOInterval(dst, s)
	case "sql_standard":
		return appendSQLInterval(dst, s)
	case "postgres_verbose":
		return appendVerboseInterval(dst, s)
	}
	at := len(dst)
	before := false
	part := func(n int64, unit string) {
		if n == 0 {
			return
		}
		if len(dst) > at {
			dst = append(dst, ' ')
		}
		if before && n > 0 {
			dst = append(dst, '+')
		}
		dst = append(append(AppendInt(dst, n), ' '), unit...)
		if n != 1 {
			dst = append(dst, 's')
		}
		before = n < 0
	}
	part(int64(s.Months/12), "year")
	part(int64(s.Months%12), "mon")
	part(int64(s.Days), "day")
	if s.Micros != 0 || len(dst) == at {
		if len(dst) > at {
			dst = append(dst, ' ')
		}
		if s.Micros < 0 {
			dst = append(dst, '-')
		} else if before {
			dst = append(dst, '+')
		}
		dst = appendClock(dst, absU(s.Micros), true)
	}
	return dst
}

func absU(x int64) uint64 {
	if x < 0 {
		return -uint64(x)
	}
	return uint64(x)
}

// appendClock appends h:mm:ss.f of a possibly long time.
func appendClock(dst []byte, us uint64, pad bool) []byte {
	h := us / uint64(UsPerHour)
	us -= h * uint64(UsPerHour)
	if pad && h < 100 {
		dst = append2(dst, int(h))
	} else {
		dst = AppendInt(dst, int64(h))
	}
	dst = append2(append(dst, ':'), int(us/uint64(UsPerMinute)))
	us %= uint64(UsPerMinute)
	dst = append2(append(dst, ':'), int(us/1e6))
	return appendFraction(dst, int(us%1e6))
}

// clock splits microseconds into hours, minutes, seconds and microseconds, all with its sign.
func clock(us int64) (h, m, s, f int64) {
	h, us = us/UsPerHour, us%UsPerHour
	m, us = us/UsPerMinute, us%UsPerMinute
	return h, m, us / UsPerSecond, us % UsPerSecond
}

func appendSeconds(dst []byte, s, f int64) []byte {
	if s < 0 || f < 0 {
		dst = append(dst, '-')
		s, f = -s, -f
	}
	return appendFraction(AppendInt(dst, s), int(f))
}

func appendISOInterval(dst []byte, s Span) []byte {
	if s == (Span{}) {
		return append(dst, "PT0S"...)
	}
	part := func(n int64, u byte) {
		if n != 0 {
			dst = append(AppendInt(dst, n), u)
		}
	}
	dst = append(dst, 'P')
	part(int64(s.Months/12), 'Y')
	part(int64(s.Months%12), 'M')
	part(int64(s.Days), 'D')
	if s.Micros != 0 {
		h, m, sec, f := clock(s.Micros)
		dst = append(dst, 'T')
		part(h, 'H')
		part(m, 'M')
		if sec != 0 || f != 0 {
			dst = append(appendSeconds(dst, sec, f), 'S')
		}
	}
	return dst
}

func appendVerboseInterval(dst []byte, s Span) []byte {
	dst = append(dst, '@')
	zero, before := true, false
	part := func(n int64, unit string) {
		if n == 0 {
			return
		}
		if zero {
			before = n < 0
			n = abs64(n)
		} else if before {
			n = -n
		}
		dst = append(append(AppendInt(append(dst, ' '), n), ' '), unit...)
		if n != 1 {
			dst = append(dst, 's')
		}
		zero = false
	}
	part(int64(s.Months/12), "year")
	part(int64(s.Months%12), "mon")
	part(int64(s.Days), "day")
	h, m, sec, f := clock(s.Micros)
	part(h, "hour")
	part(m, "min")
	if sec != 0 || f != 0 {
		dst = append(dst, ' ')
		if sec < 0 || f < 0 {
			if zero {
				before = true
			} else if !before {
				dst = append(dst, '-')
			}
		} else if before {
			dst = append(dst, '-')
		}
		sec, f = abs64(sec), abs64(f)
		dst = appendFraction(AppendInt(dst, sec), int(f))
		dst = append(dst, " sec"...)
		if sec != 1 || f != 0 {
			dst = append(dst, 's')
		}
		zero = false
	}
	if zero {
		dst = append(dst, " 0"...)
	}
	if before {
		dst = append(dst, " ago"...)
	}
	return dst
}

func abs64(x int64) int64 {
	if x < 0 {
		return -x
	}
	return x
}

func appendSQLInterval(dst []byte, s Span) []byte {
	y, mo, d := int64(s.Months/12), int64(s.Months%12), int64(s.Days)
	neg := s.Months < 0 || d < 0 || s.Micros < 0
	pos := s.Months > 0 || d > 0 || s.Micros > 0
	hasYM, hasDT := s.Months != 0, d != 0 || s.Micros != 0
	if !neg && !pos {
		return append(dst, '0')
	}
	signOf := func(n bool) byte {
		if n {
			return '-'
		}
		return '+'
	}
	if neg && pos || hasYM && hasDT {
		// No standard form: every part gets its sign.
		dst = append(dst, signOf(s.Months < 0))
		dst = append(AppendInt(dst, abs64(y)), '-')
		dst = append(AppendInt(dst, abs64(mo)), ' ')
		dst = append(dst, signOf(d < 0))
		dst = append(AppendInt(dst, abs64(d)), ' ')
		dst = append(dst, signOf(s.Micros < 0))
		return appendClock(dst, absU(s.Micros), false)
	}
	if neg {
		dst = append(dst, '-')
	}
	switch {
	case hasYM:
		dst = append(AppendInt(dst, abs64(y)), '-')
		return AppendInt(dst, abs64(mo))
	case d != 0:
		dst = append(AppendInt(dst, abs64(d)), ' ')
	}
	return appendClock(dst, absU(s.Micros), false)
}
