package types

import (
	"strconv"
	"strings"

	"streamsql/internal/pgerr"
)

// dtValue is what date and time input found.
type dtValue struct {
	special  string // infinity, -infinity, now, today, tomorrow, yesterday, epoch
	haveDate bool
	y        int64
	m, d     int
	haveTime bool
	us       int64 // of the day; may be 24:00
	haveZone bool
	off      int   // seconds east
	zone     *Zone // a zone whose offset depends on the time; then off is not set
}

// dtError is a failure before the type's name is known to the message.
type dtError byte

const (
	dtOK dtError = iota
	dtBadFormat
	dtFieldOverflow
	dtMonthDayOverflow // hints at DateStyle
	dtZoneOverflow
	dtBadZone
	dtIntervalOverflow
)

func (e dtError) err(typ, s string) error {
	switch e {
	case dtFieldOverflow:
		return pgerr.New(pgerr.DatetimeFieldOverflow, "date/time field value out of range: \"%s\"", s)
	case dtMonthDayOverflow:
		return pgerr.New(pgerr.DatetimeFieldOverflow, "date/time field value out of range: \"%s\"", s).
			WithHint("Perhaps you need a different \"datestyle\" setting.")
	case dtZoneOverflow:
		return pgerr.New("22009", "time zone displacement out of range: \"%s\"", s)
	}
	return pgerr.New(pgerr.InvalidDatetimeFormat, "invalid input syntax for type %s: \"%s\"", typ, s)
}

// fastTimestamp reads YYYY-MM-DD[( |T)HH:MM:SS[.ffffff]][Z|+HH[:MM]]: nearly all input that machines write.
func fastTimestamp(s string, v *dtValue) bool {
	if len(s) < 10 || s[4] != '-' || s[7] != '-' {
		return false
	}
	num := func(i, n int) int {
		x := 0
		for _, c := range []byte(s[i : i+n]) {
			c -= '0'
			if c > 9 {
				return -1
			}
			x = x*10 + int(c)
		}
		return x
	}
	y, m, d := num(0, 4), num(5, 2), num(8, 2)
	if y < 1 || m < 1 || m > 12 || d < 1 || d > daysInMonth(int64(y), m) {
		return false
	}
	*v = dtValue{haveDate: true, y: int64(y), m: m, d: d}
	if len(s) == 10 {
		return true
	}
	if len(s) < 19 || s[10] != ' ' && s[10] != 'T' || s[13] != ':' || s[16] != ':' {
		return false
	}
	h, mi, sec := num(11, 2), num(14, 2), num(17, 2)
	if h < 0 || h > 23 || mi < 0 || mi > 59 || sec < 0 || sec > 59 {
		return false
	}
	us := 0
	i := 19
	if i < len(s) && s[i] == '.' {
		i++
		at := i
		for i < len(s) && isDigit(s[i]) && i-at < 7 {
			us = us*10 + int(s[i]-'0')
			i++
		}
		if i == at || i-at > 6 {
			return false
		}
		us *= int(pow10tab[6-(i-at)])
	}
	v.haveTime = true
	v.us = int64(h*3600+mi*60+sec)*UsPerSecond + int64(us)
	switch {
	case i == len(s):
		return true
	case s[i] == 'Z' && i+1 == len(s):
		v.haveZone = true
		return true
	case s[i] == '+' || s[i] == '-':
		r := s[i+1:]
		if len(r) != 2 && !(len(r) == 5 && r[2] == ':') {
			return false
		}
		zh, zm := num(i+1, 2), 0
		if len(r) == 5 {
			zm = num(i+4, 2)
		}
		if zh < 0 || zh > 15 || zm < 0 || zm > 59 {
			return false
		}
		v.off = zh*3600 + zm*60
		if s[i] == '-' {
			v.off = -v.off
		}
		v.haveZone = true
		return true
	}
	return false
}

type dtDecoder struct {
	v      dtValue
	order  dateOrder
	nums   [3]string // numbers of a date written as single words (8 January 1999)
	n      int
	textM  int // month by name
	bc     bool
	meri   byte // a or p
	julian bool
	doy    int
	timeOK bool // only a time is wanted
}

// decodeDatetime reads the general forms.
func decodeDatetime(s string, env *Env, timeOnly bool) (v dtValue, e dtError) {
	if fastTimestamp(s, &v) {
		return v, dtOK
	}
	var buf [26]dtToken
	toks, ok := lexDatetime(s, buf[:0])
	if !ok || len(toks) == 0 {
		return v, dtBadFormat
	}
	d := dtDecoder{order: env.order(), timeOK: timeOnly}
	for i := 0; i < len(toks); i++ {
		t := toks[i]
		switch t.kind {
		case dtDate:
			// A date after a time is read as that time's zone, which such numbers are not.
			if d.v.haveDate || d.n > 0 || d.v.haveTime {
				return v, dtBadFormat
			}
			if e := d.date(t.s); e != dtOK {
				return v, e
			}
		case dtTime:
			if d.v.haveTime {
				return v, dtBadFormat
			}
			us, e := parseClock(t.s)
			if e != dtOK {
				return v, e
			}
			d.v.haveTime, d.v.us = true, us
		case dtZone:
			if !d.v.haveTime && !d.v.haveDate {
				return v, dtBadFormat
			}
			off, e := parseOffset(t.s)
			if e != dtOK {
				return v, e
			}
			// A sign after a zone's name (UTC+3) counts with it.
			if d.v.haveZone && i > 0 && toks[i-1].kind == dtWord && d.v.zone == nil {
				d.v.off += off
				break
			}
			if d.v.haveZone {
				return v, dtBadFormat
			}
			d.v.haveZone, d.v.off = true, off
		case dtNumber:
			if e := d.number(t.s); e != dtOK {
				return v, e
			}
		case dtSpecial:
			switch t.s {
			case "-infinity":
				if len(toks) != 1 {
					return v, dtBadFormat
				}
				return dtValue{special: t.s}, dtOK
			}
			return v, dtBadFormat
		case dtWord:
			next := dtToken{}
			if i+1 < len(toks) {
				next = toks[i+1]
			}
			skip, e := d.word(t.s, next)
			if e != dtOK {
				return v, e
			}
			i += skip
		}
	}
	return d.finish()
}

func (d *dtDecoder) word(w string, next dtToken) (skip int, e dtError) {
	switch w {
	case "infinity", "now", "today", "tomorrow", "yesterday", "epoch":
		if d.v.special != "" {
			return 0, dtBadFormat
		}
		d.v.special = w
		return 0, dtOK
	case "allballs":
		d.v.haveTime, d.v.us, d.v.haveZone, d.v.off = true, 0, true, 0
		return 0, dtOK
	case "am", "pm":
		d.meri = w[0]
		return 0, dtOK
	case "ad":
		return 0, dtOK
	case "bc":
		d.bc = true
		return 0, dtOK
	case "at", "on":
		return 0, dtOK
	case "t":
		if next.kind == dtTime && d.v.haveDate || next.kind == dtNumber {
			return 0, dtOK
		}
		if next.s == "" {
			return 0, dtBadFormat
		}
		return 0, dtOK
	case "j", "jd", "julian":
		if next.kind == dtNumber {
			n, err := strconv.ParseFloat(next.s, 64)
			if err != nil || n > 2.2e9 {
				return 0, dtFieldOverflow
			}
			days := int64(n)
			y, m, dd := CivilFromDays(days - 2440588)
			d.v.y, d.v.m, d.v.d, d.v.haveDate, d.julian = y, m, dd, true, true
			if f := n - float64(days); f > 0 {
				d.v.us, d.v.haveTime = int64(f*float64(UsPerDay)), true
			}
			return 1, dtOK
		}
		return 0, dtBadFormat
	case "dst":
		if d.v.haveZone && d.v.zone == nil {
			d.v.off += 3600
			return 0, dtOK
		}
		return 0, dtBadFormat
	}
	if m, ok := monthByName[w]; ok {
		if d.textM != 0 {
			return 0, dtBadFormat
		}
		d.textM = m
		return 0, dtOK
	}
	if z := changingAbbrev(w); z != nil {
		if d.v.haveZone {
			return 0, dtBadFormat
		}
		d.v.haveZone, d.v.zone = true, z
		return 0, dtOK
	}
	if a, ok := zoneAbbrevs[w]; ok {
		if d.v.haveZone {
			return 0, dtBadFormat
		}
		d.v.haveZone, d.v.off = true, a.off
		return 0, dtOK
	}
	if dayNames[w] {
		return 0, dtOK
	}
	if d.v.haveZone {
		return 0, dtBadFormat
	}
	z, err := LoadZone(w)
	if err != nil {
		if strings.ContainsAny(w, "/_") {
			return 0, dtBadZone
		}
		return 0, dtBadFormat
	}
	d.v.haveZone, d.v.zone = true, z
	return 0, dtOK
}

// number takes a number that stands alone: packed dates and times, or a part of a date in words.
func (d *dtDecoder) number(s string) dtError {
	digs, frac, point := strings.Cut(s, ".")
	dateDone := d.v.haveDate || d.n == 3 || d.textM != 0 && d.n == 2
	if !dateDone && d.textM == 0 && d.n == 0 && !(d.timeOK && !point && len(digs) != 8) && !(d.timeOK && point) {
		switch {
		case len(digs) == 8 && !point:
			d.setDate(int64(atoiSmall(digs[:4])), atoiSmall(digs[4:6]), atoiSmall(digs[6:]))
			return dtOK
		case len(digs) == 6 && !point:
			d.setDate(twoDigitYear(atoiSmall(digs[:2])), atoiSmall(digs[2:4]), atoiSmall(digs[4:]))
			return dtOK
		case len(digs) == 7 && !point: // the last four digits are month and day
			d.setDate(int64(atoiSmall(digs[:3])), atoiSmall(digs[3:5]), atoiSmall(digs[5:]))
			return dtOK
		case len(digs) == 4 && point && len(frac) == 3:
			d.v.y, d.doy, d.v.haveDate = int64(atoiSmall(digs)), atoiSmall(frac), true
			return dtOK
		}
	}
	if dateDone || d.timeOK {
		if d.v.haveTime {
			return dtBadFormat
		}
		var h, m, sec int
		switch len(digs) {
		case 6:
			h, m, sec = atoiSmall(digs[:2]), atoiSmall(digs[2:4]), atoiSmall(digs[4:])
		case 4:
			h, m = atoiSmall(digs[:2]), atoiSmall(digs[2:])
		default:
			return dtBadFormat
		}
		us, e := clockMicros(h, m, sec, frac)
		if e != dtOK {
			return e
		}
		d.v.haveTime, d.v.us = true, us
		return dtOK
	}
	if point || d.n == 3 || len(digs) > 7 {
		return dtBadFormat
	}
	d.nums[d.n] = digs
	d.n++
	return dtOK
}

func (d *dtDecoder) setDate(y int64, m, day int) {
	d.v.y, d.v.m, d.v.d, d.v.haveDate = y, m, day, true
}

func twoDigitYear(y int) int64 {
	if y < 70 {
		return int64(y) + 2000
	}
	return int64(y) + 1900
}

// date reads parts joined by one separator.
func (d *dtDecoder) date(s string) dtError {
	parts := strings.FieldsFunc(s, func(r rune) bool { return r == '-' || r == '/' || r == '.' })
	for _, p := range parts {
		if isAlpha(p[0]) {
			m, ok := monthByName[p]
			if !ok || d.textM != 0 {
				return dtBadFormat
			}
			d.textM = m
			continue
		}
		if d.n == 3 || strings.Trim(p, "0123456789") != "" {
			return dtBadFormat
		}
		d.nums[d.n] = p
		d.n++
	}
	return dtOK
}

// assign gives the numbers of a date their roles: a number of three and more digits is the year, DateStyle decides the rest.
func (d *dtDecoder) assign() dtError {
	num := func(s string) int {
		if len(s) > 7 {
			return -1
		}
		return atoiSmall(s)
	}
	n := d.nums
	var ys, ms, ds string
	switch {
	case d.textM != 0 && d.n == 2:
		if len(n[0]) >= 3 || d.order == orderYMD && len(n[1]) < 3 {
			ys, ds = n[0], n[1]
		} else {
			ds, ys = n[0], n[1]
		}
	case d.textM == 0 && d.n == 3:
		switch {
		case len(n[0]) >= 3 || d.order == orderYMD:
			ys, ms, ds = n[0], n[1], n[2]
		case d.order == orderDMY:
			ds, ms, ys = n[0], n[1], n[2]
		default:
			ms, ds, ys = n[0], n[1], n[2]
		}
	case d.textM == 0 && d.n == 2 && len(n[0]) >= 4 && len(n[1]) == 3:
		d.v.y, d.doy, d.v.haveDate = int64(num(n[0])), num(n[1]), true
		return dtOK
	case d.textM == 0 && d.n == 1 && len(n[0]) <= 2 && (num(n[0]) < 1 || num(n[0]) > 12):
		return dtMonthDayOverflow // it was taken for a month
	default:
		return dtBadFormat
	}
	y, m, day := num(ys), d.textM, num(ds)
	if ms != "" {
		m = num(ms)
	}
	if y < 0 || m < 0 || day < 0 {
		return dtFieldOverflow
	}
	yy := int64(y)
	if len(ys) <= 2 && !d.bc {
		yy = twoDigitYear(y)
	}
	d.setDate(yy, m, day)
	return dtOK
}

func (d *dtDecoder) finish() (dtValue, dtError) {
	v := &d.v
	if v.special != "" {
		if v.haveDate || d.n > 0 {
			return *v, dtBadFormat
		}
		if v.special == "infinity" && v.haveTime {
			return *v, dtBadFormat
		}
		return *v, dtOK
	}
	if !v.haveDate && (d.n > 0 || d.textM != 0) {
		if e := d.assign(); e != dtOK {
			return *v, e
		}
	}
	if v.haveDate && !d.julian {
		if d.bc {
			if v.y <= 0 {
				return *v, dtFieldOverflow
			}
			v.y = 1 - v.y
		} else if v.y <= 0 {
			return *v, dtFieldOverflow
		}
		if d.doy > 0 {
			v.y, v.m, v.d = CivilFromDays(DaysFromCivil(v.y, 1, 1) + int64(d.doy) - 1)
		}
		if v.m < 1 || v.m > 12 || v.d < 1 || v.d > 31 {
			return *v, dtMonthDayOverflow
		}
		if v.d > daysInMonth(v.y, v.m) {
			return *v, dtFieldOverflow
		}
	}
	if d.meri != 0 {
		if !v.haveTime {
			return *v, dtBadFormat
		}
		h := v.us / UsPerHour
		if h > 12 {
			return *v, dtFieldOverflow
		}
		switch {
		case d.meri == 'p' && h != 12:
			v.us += 12 * UsPerHour
		case d.meri == 'a' && h == 12:
			v.us -= 12 * UsPerHour
		}
	}
	return *v, dtOK
}

// clockMicros checks the fields and gives the microseconds of the day; frac are the digits after the point.
func clockMicros(h, m, s int, frac string) (int64, dtError) {
	us := fracMicros(frac)
	if m > 59 || s > 60 || h > 24 || h == 24 && (m > 0 || s > 0 || us > 0) || s == 60 && us > 0 {
		return 0, dtFieldOverflow
	}
	return int64(h*3600+m*60+s)*UsPerSecond + us, dtOK
}

// fracMicros rounds the digits of a fraction of a second.
func fracMicros(frac string) int64 {
	if frac == "" {
		return 0
	}
	if len(frac) <= 6 {
		return int64(atoiSmall(frac)) * int64(pow10tab[6-len(frac)])
	}
	f, _ := strconv.ParseFloat("0."+frac, 64)
	return roundEvenInt(f * 1e6)
}

func parseClock(s string) (int64, dtError) {
	body, frac, point := strings.Cut(s, ".")
	if strings.ContainsAny(frac, ":.") {
		return 0, dtBadFormat
	}
	var f [3]int
	n := 0
	for p := range strings.SplitSeq(body, ":") {
		if n == 3 || p == "" && n < 1 {
			return 0, dtBadFormat
		}
		if len(p) > 6 {
			return 0, dtFieldOverflow
		}
		f[n] = atoiSmall(p)
		n++
	}
	if point && n == 2 { // mm:ss.fff
		f[2], f[1], f[0] = f[1], f[0], 0
	}
	return clockMicros(f[0], f[1], f[2], frac)
}

// parseOffset reads a zone token: +h, +hh, +hhmm, +hhmmss, +hh:mm, +hh:mm:ss.
func parseOffset(t string) (int, dtError) {
	body := t[1:]
	var h, m, s int
	if strings.Contains(body, ":") {
		f := strings.Split(body, ":")
		if len(f) > 3 {
			return 0, dtBadFormat
		}
		v := [3]int{}
		for i, p := range f {
			if p == "" || len(p) > 4 || strings.Trim(p, "0123456789") != "" {
				return 0, dtBadFormat
			}
			v[i] = atoiSmall(p)
		}
		h, m, s = v[0], v[1], v[2]
	} else {
		if strings.Trim(body, "0123456789") != "" || len(body) > 6 {
			return 0, dtBadFormat
		}
		n := atoiSmall(body)
		switch {
		case len(body) > 4:
			h, m, s = n/10000, n/100%100, n%100
		case len(body) > 2:
			h, m = n/100, n%100
		default:
			h = n
		}
	}
	if h > 15 || m > 59 || s > 59 {
		return 0, dtZoneOverflow
	}
	off := h*3600 + m*60 + s
	if t[0] == '-' {
		off = -off
	}
	return off, dtOK
}
