package types

import (
	"math"
	"strconv"
	"strings"

	"streamsql/internal/pgerr"
)

func roundEvenInt(f float64) int64 { return int64(math.RoundToEven(f)) }

// intervalUnit is a unit of interval input: months, days or microseconds each.
type intervalUnit struct {
	months, days int64
	us           int64
	field        int32 // the field it fills, for the check against repetition
}

var intervalUnits = func() map[string]intervalUnit {
	m := map[string]intervalUnit{}
	add := func(u intervalUnit, names string) {
		for _, n := range strings.Fields(names) {
			m[n] = u
		}
	}
	add(intervalUnit{us: 1, field: 1 << 20}, "us usec usecs usecond useconds microsecond microsecon microseconds")
	add(intervalUnit{us: 1000, field: 1 << 21}, "ms msec msecs mseconds millisecond millisecon milliseconds")
	add(intervalUnit{us: UsPerSecond, field: fieldSecond}, "s sec secs second seconds")
	add(intervalUnit{us: UsPerMinute, field: fieldMinute}, "m min mins minute minutes")
	add(intervalUnit{us: UsPerHour, field: fieldHour}, "h hr hrs hour hours")
	add(intervalUnit{days: 1, field: fieldDay}, "d day days")
	add(intervalUnit{days: 7, field: 1 << 22}, "w week weeks")
	add(intervalUnit{months: 1, field: fieldMonth}, "mon mons month months")
	add(intervalUnit{months: 12, field: fieldYear}, "y yr yrs year years")
	add(intervalUnit{months: 120, field: 1 << 23}, "dec decs decade decades")
	add(intervalUnit{months: 1200, field: 1 << 24}, "c cent century centuries")
	add(intervalUnit{months: 12000, field: 1 << 25}, "mil mils millennia millennium")
	return m
}()

// spanAcc adds up parts in 64 bits; overflow is checked at the end.
type spanAcc struct {
	months, days, us int64
	bad              bool
}

func (a *spanAcc) add(u intervalUnit, n int64, frac float64) {
	mul := func(x, y int64) int64 {
		if x != 0 && y != 0 && (abs64(x) > math.MaxInt64/abs64(y) || x == math.MinInt64) {
			a.bad = true
			return 0
		}
		return x * y
	}
	sum := func(x, y int64) int64 {
		r := x + y
		if (y >= 0) != (r >= x) {
			a.bad = true
		}
		return r
	}
	switch {
	case u.us != 0:
		a.us = sum(a.us, sum(mul(n, u.us), roundEvenInt(frac*float64(u.us))))
	case u.days != 0:
		a.days = sum(a.days, mul(n, u.days))
		a.fracDays(frac * float64(u.days))
	case u.months == 1:
		a.months = sum(a.months, n)
		a.fracDays(frac * 30)
	default: // the fraction of years and more rounds to months
		a.months = sum(a.months, sum(mul(n, u.months), roundEvenInt(frac*float64(u.months))))
	}
}

func (a *spanAcc) fracDays(f float64) {
	d := math.Trunc(f)
	a.days += int64(d)
	a.us += roundEvenInt((f - d) * float64(UsPerDay))
}

func (a *spanAcc) span() (Span, bool) {
	if a.bad || a.months != int64(int32(a.months)) || a.days != int64(int32(a.days)) {
		return Span{}, false
	}
	return Span{int32(a.months), int32(a.days), a.us}, true
}

func errIntervalSyntax(s string) error {
	return pgerr.New(pgerr.InvalidDatetimeFormat, "invalid input syntax for type interval: \"%s\"", s)
}

func errIntervalField(s string) error {
	return pgerr.New(pgerr.IntervalFieldOverflow, "interval field value out of range: \"%s\"", s)
}

// ParseInterval is the input function of interval: PostgreSQL's verbose form, the SQL
// standard's and ISO 8601. mod is the modifier (-1 none); its fields give a bare number its unit.
func ParseInterval(s string, mod int32) (Span, error) {
	return parseIntervalStyle(s, mod, false)
}

func parseIntervalStyle(s string, mod int32, sqlStandard bool) (Span, error) {
	t := strings.Trim(s, spaces)
	if t != "" && (t[0] == 'P' || t[0] == 'p') {
		sp, e := parseISOInterval(t)
		switch e {
		case dtOK:
			return sp.WithMod(mod), nil
		case dtFieldOverflow:
			return Span{}, errIntervalField(s)
		}
		return Span{}, errIntervalSyntax(s)
	}
	t = strings.Map(func(c rune) rune { // punctuation that means nothing only separates
		if c > ' ' && c < 0x7f && strings.ContainsRune("!\"#$%&'();<=>?[\\]^_`{|}~*", c) {
			return ' '
		}
		return c
	}, strings.ToLower(t))
	sp, e := parseVerboseInterval(strings.Trim(t, spaces), mod, sqlStandard)
	switch e {
	case dtOK:
		return sp.WithMod(mod), nil
	case dtFieldOverflow:
		return Span{}, errIntervalField(s)
	case dtIntervalOverflow:
		return Span{}, errIntervalRange()
	}
	return Span{}, errIntervalSyntax(s)
}

// cutNumber reads [+-]digits[.digits] at the start of s.
func cutNumber(s string) (n int64, frac float64, neg bool, rest string, e dtError) {
	i := 0
	if i < len(s) && (s[i] == '+' || s[i] == '-') {
		neg = s[i] == '-'
		i++
	}
	at := i
	i = skipDigits(s, i)
	whole := s[at:i]
	var fr string
	if i < len(s) && s[i] == '.' {
		j := skipDigits(s, i+1)
		fr = s[i+1 : j]
		i = j
	}
	if whole == "" && fr == "" {
		return 0, 0, false, s, dtBadFormat
	}
	if whole != "" {
		var err error
		if n, err = strconv.ParseInt(whole, 10, 64); err != nil {
			return 0, 0, false, s, dtFieldOverflow
		}
	}
	if fr != "" {
		frac, _ = strconv.ParseFloat("0."+fr, 64)
	}
	if neg {
		n, frac = -n, -frac
	}
	return n, frac, neg, s[i:], dtOK
}

func parseISOInterval(t string) (Span, dtError) {
	t = strings.ToUpper(t[1:])
	if t == "" {
		return Span{}, dtBadFormat
	}
	var a spanAcc
	timePart := false
	units := map[byte]intervalUnit{'Y': {months: 12}, 'M': {months: 1}, 'W': {days: 7}, 'D': {days: 1}}
	for t != "" {
		if t[0] == 'T' {
			if timePart {
				return Span{}, dtBadFormat
			}
			timePart = true
			units = map[byte]intervalUnit{'H': {us: UsPerHour}, 'M': {us: UsPerMinute}, 'S': {us: UsPerSecond}}
			t = t[1:]
			continue
		}
		n, f, _, rest, e := cutNumber(t)
		if e != dtOK {
			return Span{}, e
		}
		if rest == "" && !timePart && len(t) == 8 && f == 0 { // P20200102
			a.add(units['Y'], n/10000, 0)
			a.add(units['M'], n/100%100, 0)
			a.add(units['D'], n%100, 0)
			break
		}
		if rest == "" || rest[0] == '-' || rest[0] == ':' || timePart && rest[0] == 'T' {
			// The alternative format: P0001-02-03T04:05:06.
			return parseISOAlternative(t, timePart, a)
		}
		u, ok := units[rest[0]]
		if !ok {
			return Span{}, dtBadFormat
		}
		a.add(u, n, f)
		t = rest[1:]
	}
	if s, ok := a.span(); ok {
		return s, dtOK
	}
	return Span{}, dtFieldOverflow
}

func parseISOAlternative(t string, timePart bool, a spanAcc) (Span, dtError) {
	read := func(sep byte, units ...intervalUnit) dtError {
		for i, u := range units {
			n, f, _, rest, e := cutNumber(t)
			if e != dtOK {
				return e
			}
			a.add(u, n, f)
			t = rest
			if t == "" || t[0] == 'T' {
				return dtOK
			}
			if t[0] != sep || i+1 == len(units) {
				return dtBadFormat
			}
			t = t[1:]
		}
		return dtOK
	}
	if !timePart {
		if e := read('-', intervalUnit{months: 12}, intervalUnit{months: 1}, intervalUnit{days: 1}); e != dtOK {
			return Span{}, e
		}
		if t != "" {
			t = t[1:]
		}
	}
	if t != "" {
		if e := read(':', intervalUnit{us: UsPerHour}, intervalUnit{us: UsPerMinute}, intervalUnit{us: UsPerSecond}); e != dtOK {
			return Span{}, e
		}
		if t != "" {
			return Span{}, dtBadFormat
		}
	}
	if s, ok := a.span(); ok {
		return s, dtOK
	}
	return Span{}, dtFieldOverflow
}

// parseVerboseInterval reads numbers with units, h:m:s, y-m, bare numbers and "ago"; t is in lower case.
func parseVerboseInterval(t string, mod int32, sqlStandard bool) (Span, dtError) {
	type part struct {
		n    int64
		frac float64
		neg  bool
		unit string
		us   int64 // of a clock
		ym   int64 // months of y-m
		kind byte  // n number, c clock, y year-month
	}
	var parts []part
	ago := false
	for i := 0; i < len(t); {
		c := t[i]
		switch {
		case isSpace(c) || c == '@' || c == ',':
			i++
		case isDigit(c) || c == '+' || c == '-' || c == '.':
			j := i
			signed := c == '+' || c == '-'
			neg := c == '-'
			if signed {
				j++
				for j < len(t) && isSpace(t[j]) {
					j++
				}
			}
			at := j
			for j < len(t) && (isDigit(t[j]) || t[j] == ':' || t[j] == '.') {
				j++
			}
			body := t[at:j]
			if body == "" || body == "." {
				return Span{}, dtBadFormat
			}
			if strings.Contains(body, ":") {
				us, e := parseLongClock(body, mod)
				if e != dtOK {
					return Span{}, e
				}
				if neg {
					us = -us
				}
				parts = append(parts, part{kind: 'c', us: us, neg: neg})
				i = j
				break
			}
			n, f, _, rest, e := cutNumber(body)
			if e != dtOK {
				return Span{}, e
			}
			if rest != "" {
				return Span{}, dtBadFormat
			}
			if j < len(t) && t[j] == '-' && f == 0 && j+1 < len(t) && isDigit(t[j+1]) {
				k := skipDigits(t, j+1)
				m, _ := strconv.Atoi(t[j+1 : k])
				if m > 11 || n > math.MaxInt32 {
					if rest := t[k:]; strings.Contains(rest, ":") && strings.ContainsAny(rest, "+") {
						return Span{}, dtBadFormat // the zone of a timestamp is met before its date
					}
					return Span{}, dtFieldOverflow
				}
				ym := n*12 + int64(m)
				if neg {
					ym = -ym
				}
				parts = append(parts, part{kind: 'y', ym: ym, neg: neg})
				if i = k; i < len(t) && !isSpace(t[i]) { // a date, say
					return Span{}, dtBadFormat
				}
				break
			}
			if neg {
				n, f = -n, -f
			}
			parts = append(parts, part{kind: 'n', n: n, frac: f, neg: neg})
			i = j
		case isAlpha(c):
			j := i
			for j < len(t) && isAlpha(t[j]) {
				j++
			}
			if j < len(t) && isDigit(t[j]) {
				return Span{}, dtBadFormat
			}
			w := t[i:j]
			i = j
			if w == "ago" {
				ago = true
				if strings.Trim(t[i:], spaces) != "" {
					return Span{}, dtBadFormat
				}
				break
			}
			if len(parts) == 0 || parts[len(parts)-1].kind != 'n' || parts[len(parts)-1].unit != "" {
				return Span{}, dtBadFormat
			}
			if _, ok := intervalUnits[w]; !ok {
				return Span{}, dtBadFormat
			}
			parts[len(parts)-1].unit = w
		default:
			return Span{}, dtBadFormat
		}
	}
	if len(parts) == 0 {
		return Span{}, dtBadFormat
	}
	// The SQL standard has one sign in front for all fields; it is read so where sql_standard is the style.
	if sqlStandard && parts[0].neg && len(parts) > 1 {
		more := false
		for _, p := range parts[1:] {
			more = more || p.neg
		}
		if !more {
			for i := range parts[1:] {
				p := &parts[i+1]
				p.n, p.frac, p.us, p.ym = -p.n, -p.frac, -p.us, -p.ym
			}
		}
	}
	var a spanAcc
	seen := int32(0)
	mark := func(f int32) bool {
		if seen&f != 0 {
			return false
		}
		seen |= f
		return true
	}
	// A bare number before hours counts days, as before a clock.
	hours := func(i int) bool {
		p := parts[i]
		if p.unit == "" && i+1 == len(parts) {
			return p.kind == 'n' && bareUnit(mod).field == fieldHour
		}
		return intervalUnits[p.unit].field == fieldHour
	}
	for i, p := range parts {
		switch p.kind {
		case 'c':
			if !mark(fieldHour | fieldMinute | fieldSecond) {
				return Span{}, dtBadFormat
			}
			a.add(intervalUnit{us: 1}, p.us, 0)
		case 'y':
			if !mark(fieldYear | fieldMonth) {
				return Span{}, dtBadFormat
			}
			a.add(intervalUnit{months: 1}, p.ym, 0)
		default:
			u := intervalUnits[p.unit]
			if p.unit == "" {
				if i+1 < len(parts) && (parts[i+1].kind == 'c' || hours(i+1)) {
					u = intervalUnits["day"]
				} else if i+1 == len(parts) {
					u = bareUnit(mod)
				} else {
					return Span{}, dtBadFormat
				}
			}
			if !mark(u.field) {
				return Span{}, dtBadFormat
			}
			a.add(u, p.n, p.frac)
		}
	}
	s, ok := a.span()
	if !ok {
		if !a.bad && a.days == int64(int32(a.days)) && a.months > math.MaxInt32 && seen&^(fieldYear|fieldMonth) == 0 && seen&fieldYear != 0 {
			return Span{}, dtIntervalOverflow
		}
		return Span{}, dtFieldOverflow
	}
	if ago {
		var err error
		if s, err = s.Neg(); err != nil {
			return Span{}, dtFieldOverflow
		}
	}
	return s, dtOK
}

// bareUnit is the unit of a number without one: the least field of the modifier, else seconds.
func bareUnit(mod int32) intervalUnit {
	if mod >= 0 {
		switch r := mod >> 16 & 0x7fff; {
		case r&fieldSecond != 0:
		case r&fieldMinute != 0:
			return intervalUnits["minute"]
		case r&fieldHour != 0:
			return intervalUnits["hour"]
		case r&fieldDay != 0:
			return intervalUnits["day"]
		case r&fieldMonth != 0:
			return intervalUnits["month"]
		case r&fieldYear != 0:
			return intervalUnits["year"]
		}
	}
	return intervalUnits["second"]
}

// parseLongClock reads h:m[:s[.f]] with any number of hours; two fields are m:s under a MINUTE TO SECOND modifier.
func parseLongClock(s string, mod int32) (int64, dtError) {
	body, frac, point := strings.Cut(s, ".")
	f := strings.Split(body, ":")
	if len(f) > 3 || strings.ContainsAny(frac, ":.") {
		return 0, dtBadFormat
	}
	var v [3]int64
	for i, p := range f {
		if p == "" {
			continue
		}
		n, err := strconv.ParseInt(p, 10, 64)
		if err != nil {
			return 0, dtFieldOverflow
		}
		v[i] = n
	}
	if len(f) == 2 && (point || mod >= 0 && mod>>16&0x7fff == fieldMinute|fieldSecond) {
		v[2], v[1], v[0] = v[1], v[0], 0
	}
	if v[1] > 59 || v[2] > 60 || v[0] > math.MaxInt64/UsPerHour-1 {
		return 0, dtFieldOverflow
	}
	return v[0]*UsPerHour + v[1]*UsPerMinute + v[2]*UsPerSecond + fracMicros(frac), dtOK
}
