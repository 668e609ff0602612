package types

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"streamsql/internal/pgerr"
)

// fromChar holds the fields that to_timestamp and to_date read.
type fromChar struct {
	year, month, day, doy, hour, min, sec, us int64
	isoYear, isoWeek, isoDay, cc, julian      int64
	week, weekOfMonth, dow, sssss             int64
	haveYear, haveISO, clock12, bc            bool
	pm                                        int // 1 am, 2 pm
	off                                       int
	haveZone                                  bool
	yearDigits                                int
}

// ToTimestamp is to_timestamp(text, text): the instant, in the session's zone where the template has none.
func ToTimestamp(env *Env, s, format string) (int64, error) {
	f, err := readFromChar(s, format)
	if err != nil {
		return 0, err
	}
	days, us, err := f.resolve(s)
	if err != nil {
		return 0, err
	}
	if days < int64(minDate) || days >= endTimestamp/UsPerDay {
		return 0, errOut("timestamp", s)
	}
	ts := days*UsPerDay + us
	if f.haveZone {
		return ts - int64(f.off)*UsPerSecond, nil
	}
	return TimestampToTz(ts, env.zone()), nil
}

// ToDate is to_date(text, text).
func ToDate(s, format string) (int32, error) {
	f, err := readFromChar(s, format)
	if err != nil {
		return 0, err
	}
	days, _, err := f.resolve(s)
	if err != nil {
		return 0, err
	}
	if !validDate(days) {
		return 0, errOut("date", s)
	}
	return int32(days), nil
}

// keyWidths are the most digits that a keyword takes where another digit may follow it.
var keyWidths = map[string]int{
	"HH24": 2, "HH12": 2, "HH": 2, "MI": 2, "SS": 2, "MS": 3, "US": 6, "FF1": 1, "FF2": 2, "FF3": 3, "FF4": 4, "FF5": 5, "FF6": 6,
	"SSSS": 5, "SSSSS": 5, "MM": 2, "DDD": 3, "IDDD": 3, "DD": 2, "D": 1, "ID": 1, "WW": 2, "IW": 2, "W": 1, "Q": 1, "CC": 2,
	"YYYY": 4, "IYYY": 4, "YYY": 3, "IYY": 3, "YY": 2, "IY": 2, "Y": 1, "I": 1, "J": 9, "TZH": 2, "TZM": 2,
}

func readFromChar(s, format string) (*fromChar, error) {
	nodes, fx := splitDateFormat(format)
	f := &fromChar{}
	rest := s
	for i, n := range nodes {
		if n.key == "" {
			if rest == "" {
				break
			}
			switch {
			case n.quot:
				// Quoted text takes as many characters, whatever they are.
				for range utf8.RuneCountInString(n.text) {
					if rest != "" {
						_, w := utf8.DecodeRuneInString(rest)
						rest = rest[w:]
					}
				}
			case n.text == " " || isSeparator(n.text[0]):
				if !fx {
					rest = strings.TrimLeft(rest, spaces)
				}
				if rest != "" && (isSeparator(rest[0]) || isSpace(rest[0])) && !((rest[0] == '-' || rest[0] == '+') && nextIs(nodes, i, "TZH")) {
					rest = rest[1:]
				}
				if !fx {
					rest = strings.TrimLeft(rest, spaces)
				}
			default:
				_, w := utf8.DecodeRuneInString(rest)
				rest = rest[w:]
			}
			continue
		}
		if !fx {
			rest = strings.TrimLeft(rest, spaces)
		}
		if rest == "" {
			break
		}
		var err error
		if rest, err = f.read(n, rest, nextIsDigit(nodes, i)); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func nextIs(nodes []fmtNode, i int, key string) bool {
	return i+1 < len(nodes) && nodes[i+1].key == key
}

func isSeparator(c byte) bool {
	return c > 0x20 && c < 0x7f && !isDigit(c) && !isAlpha(c)
}

// nextIsDigit reports whether the next node reads digits, so that this one must not take them.
func nextIsDigit(nodes []fmtNode, i int) bool {
	if i+1 == len(nodes) {
		return false
	}
	n := nodes[i+1]
	if n.key == "" {
		return n.text != "" && isDigit(n.text[0])
	}
	_, ok := keyWidths[n.key]
	return ok
}

func (f *fromChar) read(n fmtNode, s string, tight bool) (string, error) {
	words := func(list []string, prefix int) (int, string, error) {
		for i, w := range list {
			if prefix > 0 {
				w = w[:prefix]
			}
			if len(s) >= len(w) && strings.EqualFold(s[:len(w)], w) {
				return i, s[len(w):], nil
			}
		}
		w := s
		if j := strings.IndexFunc(s, func(r rune) bool { return r == ' ' }); j >= 0 {
			w = s[:j]
		}
		return 0, s, pgerr.New(pgerr.InvalidDatetimeFormat, "invalid value \"%s\" for \"%s\"", w, n.raw).
			WithDetail("The given value did not match any of the allowed values for this field.")
	}
	switch n.key {
	case "AM", "PM":
		i, r, err := words([]string{"am", "pm"}, 0)
		f.pm, f.clock12 = i+1, true
		return r, err
	case "A.M.", "P.M.":
		i, r, err := words([]string{"a.m.", "p.m."}, 0)
		f.pm, f.clock12 = i+1, true
		return r, err
	case "AD", "BC":
		i, r, err := words([]string{"ad", "bc"}, 0)
		f.bc = i == 1
		return r, err
	case "A.D.", "B.C.":
		i, r, err := words([]string{"a.d.", "b.c."}, 0)
		f.bc = i == 1
		return r, err
	case "MONTH":
		i, r, err := words(longMonths, 0)
		f.month = int64(i + 1)
		return r, err
	case "MON":
		i, r, err := words(longMonths, 3)
		f.month = int64(i + 1)
		return r, err
	case "DAY":
		i, r, err := words(longDays, 0)
		f.dow = int64(i + 1)
		return r, err
	case "DY":
		i, r, err := words(longDays, 3)
		f.dow = int64(i + 1)
		return r, err
	case "RM":
		best := -1 // the longest of those that begin alike
		for j, r := range romans {
			if len(s) >= len(r) && strings.EqualFold(s[:len(r)], r) && (best < 0 || len(r) > len(romans[best])) {
				best = j
			}
		}
		if best >= 0 {
			f.month = int64(best + 1)
			return s[len(romans[best]):], nil
		}
		_, r, err := words(nil, 0)
		return r, err
	case "TZ", "OF":
		return s, pgerr.New(pgerr.FeatureNotSupported, "formatting field \"%s\" is only supported in to_char", n.key)
	case "TZH":
		f.haveZone = true
		neg := s[0] == '-'
		if neg || s[0] == '+' {
			s = s[1:]
		}
		x, _, r, err := f.digits(n, s, true)
		f.off = int(x) * 3600
		if neg {
			f.off = -f.off
		}
		return r, err
	case "TZM":
		x, _, r, err := f.digits(n, s, true)
		f.haveZone = true
		if f.off < 0 {
			x = -x
		}
		f.off += int(x) * 60
		return r, err
	case "Y,YYY":
		j := strings.IndexByte(s, ',')
		if j <= 0 || len(s) < j+4 {
			return s, pgerr.New(pgerr.InvalidDatetimeFormat, "invalid input string for \"Y,YYY\"")
		}
		a, e1 := strconv.ParseInt(s[:j], 10, 32)
		b, e2 := strconv.ParseInt(s[j+1:j+4], 10, 32)
		if e1 != nil || e2 != nil {
			return s, pgerr.New(pgerr.InvalidDatetimeFormat, "invalid input string for \"Y,YYY\"")
		}
		f.year, f.haveYear, f.yearDigits = a*1000+b, true, 4
		return s[j+4:], nil
	}
	x, w, r, err := f.digits(n, s, tight)
	if err != nil {
		return s, err
	}
	if n.th != 0 && len(r) >= 2 {
		r = r[2:]
	}
	switch n.key {
	case "HH24":
		f.hour = x
	case "HH12", "HH":
		f.hour, f.clock12 = x, true
		if x < 1 || x > 12 {
			return s, pgerr.New(pgerr.InvalidDatetimeFormat, "hour \"%d\" is invalid for the 12-hour clock", x).
				WithHint("Use the 24-hour clock, or give an hour between 1 and 12.")
		}
	case "MI":
		f.min = x
	case "SS":
		f.sec = x
	case "MS":
		for ; w < 3; w++ {
			x *= 10
		}
		f.us += x * 1000
	case "US", "FF1", "FF2", "FF3", "FF4", "FF5", "FF6":
		for ; w < 6; w++ {
			x *= 10
		}
		f.us += x
	case "SSSS", "SSSSS":
		f.sssss = x
		f.hour, f.min, f.sec = x/3600, x/60%60, x%60
	case "MM":
		f.month = x
	case "DD":
		f.day = x
	case "DDD":
		f.doy = x
	case "IDDD":
		f.doy, f.haveISO = x, true
	case "D":
		f.dow = x
	case "ID":
		f.isoDay = x
	case "WW":
		f.week = x
	case "IW":
		f.isoWeek = x
	case "W":
		f.weekOfMonth = x
	case "CC":
		f.cc = x
	case "J":
		f.julian = x
	case "Q":
	case "YYYY", "YYY", "YY", "Y", "IYYY", "IYY", "IY", "I":
		if w < 4 && n.key != "YYYY" && n.key != "IYYY" {
			x = nearYear(x)
		}
		if n.key[0] == 'I' {
			f.isoYear, f.haveISO = x, true
		} else {
			f.year, f.haveYear, f.yearDigits = x, true, w
		}
	}
	return r, nil
}

// nearYear completes a year of fewer digits towards 2020.
func nearYear(x int64) int64 {
	switch {
	case x < 70:
		return x + 2000
	case x < 100:
		return x + 1900
	case x < 520:
		return x + 2000
	case x < 1000:
		return x + 1000
	}
	return x
}

// digits reads a number: at most the keyword's width where digits follow.
func (f *fromChar) digits(n fmtNode, s string, tight bool) (x int64, w int, rest string, err error) {
	width := keyWidths[n.key]
	neg := false
	t := s
	if t != "" && (t[0] == '-' || t[0] == '+') && !tight && n.key != "TZM" {
		neg = t[0] == '-'
		t = t[1:]
	}
	limit := len(t)
	if tight && !n.fm {
		limit = min(limit, width)
	}
	for w < limit && isDigit(t[w]) {
		w++
	}
	if w == 0 {
		bad := s
		if len(bad) > width {
			bad = bad[:width]
		}
		return 0, 0, s, pgerr.New(pgerr.InvalidDatetimeFormat, "invalid value \"%s\" for \"%s\"", bad, n.raw).WithDetail("Value must be an integer.")
	}
	frac := strings.HasPrefix(n.key, "FF") || n.key == "US" || n.key == "MS"
	use := w
	if frac {
		use = min(w, width)
	}
	x, perr := strconv.ParseInt(t[:use], 10, 32)
	if perr != nil {
		return 0, 0, s, pgerr.New(pgerr.DatetimeFieldOverflow, "value for \"%s\" in source string is out of range", n.raw).
			WithDetail("Value must be in the range -2147483648 to 2147483647.")
	}
	if neg {
		x = -x
	}
	return x, use, t[w:], nil
}

// resolve turns the fields into a day and a time.
func (f *fromChar) resolve(s string) (days, us int64, err error) {
	overflow := func() (int64, int64, error) {
		return 0, 0, pgerr.New(pgerr.DatetimeFieldOverflow, "date/time field value out of range: \"%s\"", s)
	}
	h := f.hour
	if f.clock12 {
		if f.pm == 2 && h < 12 {
			h += 12
		} else if f.pm == 1 && h == 12 {
			h = 0
		}
	}
	if h < 0 || h > 23 || f.min < 0 || f.min > 59 || f.sec < 0 || f.sec > 59 || f.us < 0 || f.us >= UsPerSecond {
		return overflow()
	}
	us = h*UsPerHour + f.min*UsPerMinute + f.sec*UsPerSecond + f.us
	if f.julian != 0 {
		return f.julian - 2440588, us, nil
	}
	y := f.year
	if f.cc != 0 && f.yearDigits <= 2 {
		if f.haveYear {
			y = y%100 + (f.cc-1)*100
			if y%100 == 0 {
				y += 100
			}
		} else {
			y = (f.cc-1)*100 + 1
		}
	}
	switch {
	case f.bc && y > 0:
		y = 1 - y
	case y < 0:
		y++
	}
	if f.haveISO && f.isoYear != 0 {
		jan4 := DaysFromCivil(f.isoYear, 1, 4)
		monday := jan4 - int64(isoWeekday(jan4)-1)
		switch {
		case f.doy > 0:
			return monday + f.doy - 1, us, nil
		case f.isoWeek > 0:
			return monday + (f.isoWeek-1)*7 + max(f.isoDay, 1) - 1, us, nil
		}
		return monday, us, nil
	}
	if f.week > 0 {
		return DaysFromCivil(y, 1, 1) + (f.week-1)*7, us, nil
	}
	if f.doy > 0 && f.month == 0 && f.day == 0 {
		if f.doy > 366 || f.doy == 366 && !isLeap(y) {
			return overflow()
		}
		return DaysFromCivil(y, 1, 1) + f.doy - 1, us, nil
	}
	m, d := f.month, f.day
	if m == 0 {
		m = 1
	}
	if f.weekOfMonth > 0 && d == 0 {
		d = (f.weekOfMonth-1)*7 + 1
	}
	if d == 0 {
		d = 1
	}
	if m < 1 || m > 12 || d < 1 || d > int64(daysInMonth(y, int(m))) {
		return overflow()
	}
	return DaysFromCivil(y, int(m), int(d)), us, nil
}

// ToNumber is to_number(text, text).
func ToNumber(s, format string) (Decimal, error) {
	n, err := parseNumFormat(format)
	if err != nil {
		return Decimal{}, err
	}
	if n.eeee || n.roman {
		what := "EEEE"
		if n.roman {
			what = "RN"
		}
		return Decimal{}, pgerr.New(pgerr.FeatureNotSupported, "\"%s\" not supported for input", what)
	}
	var b []byte
	neg, digits := false, 0
	t := strings.TrimLeft(s, spaces)
	if t != "" && t[0] == '<' && n.br {
		neg = true
		t = t[1:]
	}
	i := 0
	takeSign := func() {
		for i < len(t) && (isSpace(t[i]) || t[i] == '-' || t[i] == '+') {
			neg = neg || t[i] == '-'
			i++
		}
	}
	takeSign()
	for _, k := range n.toks {
		if i >= len(t) {
			break
		}
		switch k.kind {
		case '9', '0':
			if digits == 0 {
				takeSign()
			}
			if i < len(t) && t[i] == '.' && !n.point {
				continue
			}
			if i < len(t) && isDigit(t[i]) {
				b = append(b, t[i])
				digits++
				i++
			}
		case '.':
			if t[i] == '.' {
				b = append(b, '.')
				i++
			}
		case ',':
			if t[i] == ',' {
				i++
			}
		case 'S', 'M', 'P', 'G':
			takeSign()
		case 'x':
			if i < len(t) && !isDigit(t[i]) {
				_, w := utf8.DecodeRuneInString(t[i:])
				i += w
			}
		case 'L':
			if !isDigit(t[i]) {
				i++
			}
		}
	}
	if strings.ContainsRune(t[min(i, len(t)):], '-') && (n.mi || n.sLast) {
		neg = true
	}
	if digits == 0 {
		return Decimal{}, errSyntax("numeric", " ")
	}
	d, err := ParseNumeric(string(b))
	if err != nil {
		return Decimal{}, err
	}
	if neg {
		d = d.Neg()
	}
	if n.shift > 0 {
		if d, err = d.Div(NumericFromInt64(1).mulPow10(n.shift)); err != nil {
			return Decimal{}, err
		}
	}
	if n.post > 0 && n.shift == 0 && d.Scale() > n.post {
		d = d.Round(n.post)
	}
	return d, nil
}
