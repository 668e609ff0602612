package types

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"streamsql/internal/pgerr"
)

// fromChar holds the fields that to_timestamp and to_date read; what is zero was not there.
type fromChar struct {
	year, month, day, doy, hour, min, sec, ms, us int64
	cc, julian, week, weekOfMonth, dow, sssss     int64 // dow is 1 on Sunday
	yearDigits                                    int   // of the keyword
	mode                                          byte  // 'g' Gregorian, 'i' ISO weeks
	clock12                                       bool
	pm, bc                                        int64
	zone                                          int64 // the zone's sign
	zoneHours, zoneMinutes                        int64
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
	if f.zone != 0 {
		return ts - f.east()*UsPerSecond, nil
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

// keyWidths are the digits that a keyword takes where another digit follows it.
var keyWidths = map[string]int{
	"HH24": 2, "HH12": 2, "HH": 2, "MI": 2, "SS": 2, "MS": 3, "US": 6, "FF1": 1, "FF2": 2, "FF3": 3, "FF4": 4, "FF5": 5, "FF6": 6,
	"SSSS": 4, "SSSSS": 5, "MM": 2, "DDD": 3, "IDDD": 3, "DD": 2, "D": 1, "ID": 1, "WW": 2, "IW": 2, "W": 1, "Q": 1, "CC": 2,
	"YYYY": 4, "IYYY": 4, "YYY": 3, "IYY": 3, "YY": 2, "IY": 2, "Y": 1, "I": 1, "J": 1, "TZH": 2, "TZM": 2,
}

// readFromChar reads the fields of s by a template. Outside FX, blanks before and after a field are skipped, a separator of the template stands for one of the text or
// none, and letters of the template stand for as many characters, whatever they are.
func readFromChar(s, format string) (*fromChar, error) {
	nodes, fx := splitDateFormat(format)
	f := &fromChar{}
	rest := s
	skipped := 0 // blanks and separators beyond those of the template, where a letter takes none and TZH looks for its sign
	skip := func() {
		t := strings.TrimLeft(rest, spaces)
		skipped += len(rest) - len(t)
		rest = t
	}
	for i, n := range nodes {
		if rest == "" {
			break
		}
		if !fx && (n.key != "" || i == 0) {
			skip()
			if rest == "" && n.key == "" {
				break
			}
		}
		switch {
		case n.key == "" && !n.quot && (isSpace(n.text[0]) || isSeparator(n.text[0])):
			if fx {
				_, w := utf8.DecodeRuneInString(rest)
				rest = rest[w:]
				continue
			}
			skipped--
			if isSpace(rest[0]) || isSeparator(rest[0]) {
				rest = rest[1:]
				skipped++
			}
			continue
		case n.key == "":
			for range utf8.RuneCountInString(n.text) {
				if !fx && skipped > 0 {
					skipped--
				} else if rest != "" {
					_, w := utf8.DecodeRuneInString(rest)
					rest = rest[w:]
				}
			}
			continue
		}
		minus := skipped > 0 && strings.HasSuffix(s[:len(s)-len(rest)], "-")
		var err error
		if rest, err = f.read(n, rest, nextIsDigit(nodes, i), minus); err != nil {
			return nil, err
		}
		if !fx {
			skipped = 0
			skip()
		}
	}
	return f, nil
}

// isSeparator reports whether c is punctuation.
func isSeparator(c byte) bool {
	return c > 0x20 && c < 0x7f && !isDigit(c) && !isAlpha(c)
}

// nextIsDigit reports whether node i must leave digits to the next.
func nextIsDigit(nodes []fmtNode, i int) bool {
	if nodes[i].th != 0 || i+1 == len(nodes) {
		return false
	}
	n := nodes[i+1]
	if n.key == "" {
		return n.text != "" && isDigit(n.text[0])
	}
	_, ok := keyWidths[n.key]
	return ok && n.key != "TZH" && !strings.HasPrefix(n.key, "FF")
}

func fromCharError(format string, args ...any) *pgerr.Error {
	return pgerr.New(pgerr.InvalidDatetimeFormat, format, args...)
}

// set puts a value into a field, which may have it already but no other.
func (n *fmtNode) set(field *int64, x int64) error {
	if *field != 0 && *field != x {
		return fromCharError("conflicting values for \"%s\" field in formatting string", n.raw).
			WithDetail("This value contradicts a previous setting for the same field type.")
	}
	*field = x
	return nil
}

// word reads one of the words, whatever its case: its number and what is left.
func (n *fmtNode) word(s string, list []string, prefix int) (int64, string, error) {
	for i, w := range list {
		if prefix > 0 {
			w = w[:prefix]
		}
		if len(s) >= len(w) && strings.EqualFold(s[:len(w)], w) {
			return int64(i), s[len(w):], nil
		}
	}
	w := s
	if j := strings.IndexAny(s, spaces); j >= 0 {
		w = s[:j]
	}
	return 0, s, fromCharError("invalid value \"%s\" for \"%s\"", w, n.raw).WithDetail("The given value did not match any of the allowed values for this field.")
}

// romanMonths are the months in Roman numerals, those that begin with another after it.
var romanMonths = []string{"XII", "XI", "X", "IX", "VIII", "VII", "VI", "V", "IV", "III", "II", "I"}

// read reads the field of a node at the beginning of s and gives what is left. tight says that the next node reads digits; minus, that a minus sign was
// skipped as a separator.
func (f *fromChar) read(n fmtNode, s string, tight, minus bool) (string, error) {
	switch n.key {
	case "IYYY", "IYY", "IY", "I", "IDDD", "ID", "IW":
		if f.mode == 'g' {
			return s, errDateConventions()
		}
		f.mode = 'i'
	case "Y,YYY", "YYYY", "YYY", "YY", "Y", "MONTH", "MON", "MM", "RM", "DDD", "DD", "D", "WW", "W":
		if f.mode == 'i' {
			return s, errDateConventions()
		}
		f.mode = 'g'
	}
	words := func(field *int64, list []string, prefix int, value func(int64) int64) (string, error) {
		i, r, err := n.word(s, list, prefix)
		if err == nil {
			err = n.set(field, value(i))
		}
		return r, err
	}
	same := func(i int64) int64 { return i }
	next := func(i int64) int64 { return i + 1 }
	switch n.key {
	case "AM", "PM":
		f.clock12 = true
		return words(&f.pm, []string{"am", "pm"}, 0, same)
	case "A.M.", "P.M.":
		f.clock12 = true
		return words(&f.pm, []string{"a.m.", "p.m."}, 0, same)
	case "AD", "BC":
		return words(&f.bc, []string{"ad", "bc"}, 0, same)
	case "A.D.", "B.C.":
		return words(&f.bc, []string{"a.d.", "b.c."}, 0, same)
	case "MONTH":
		return words(&f.month, longMonths, 0, next)
	case "MON":
		return words(&f.month, longMonths, 3, next)
	case "DAY":
		return words(&f.dow, longDays, 0, next)
	case "DY":
		return words(&f.dow, longDays, 3, next)
	case "RM":
		return words(&f.month, romanMonths, 0, func(i int64) int64 { return 12 - i })
	case "TZ", "OF":
		return s, pgerr.New(pgerr.FeatureNotSupported, "formatting field \"%s\" is only supported in to_char", n.raw)
	case "TZH":
		f.zone = 1
		if s != "" && (s[0] == '+' || s[0] == '-' || s[0] == ' ') {
			minus, s = s[0] == '-', s[1:]
		}
		if minus {
			f.zone = -1
		}
	case "TZM":
		if f.zone == 0 {
			f.zone = 1
		}
	case "Y,YYY":
		return f.yearWithComma(&n, s)
	}
	x, w, r, err := n.number(s, tight)
	if err != nil {
		return s, err
	}
	r = n.ordinal(r)
	switch n.key {
	case "HH24":
		err = n.set(&f.hour, x)
	case "HH12", "HH":
		f.clock12 = true
		err = n.set(&f.hour, x)
	case "MI":
		err = n.set(&f.min, x)
	case "SS":
		err = n.set(&f.sec, x)
	case "MS":
		err = n.set(&f.ms, x)
		f.ms = scaled(f.ms, w, 3)
	case "US", "FF1", "FF2", "FF3", "FF4", "FF5", "FF6":
		err = n.set(&f.us, x)
		f.us = scaled(f.us, w, 6)
	case "SSSS", "SSSSS":
		err = n.set(&f.sssss, x)
	case "TZH":
		err = n.set(&f.zoneHours, x)
	case "TZM":
		err = n.set(&f.zoneMinutes, x)
	case "MM":
		err = n.set(&f.month, x)
	case "DD":
		err = n.set(&f.day, x)
	case "DDD", "IDDD":
		err = n.set(&f.doy, x)
	case "D":
		err = n.set(&f.dow, x)
	case "ID":
		err = n.set(&f.dow, x)
		if f.dow++; f.dow > 7 {
			f.dow = 1
		}
	case "WW", "IW":
		err = n.set(&f.week, x)
	case "W":
		err = n.set(&f.weekOfMonth, x)
	case "CC":
		err = n.set(&f.cc, x)
	case "J":
		err = n.set(&f.julian, x)
	case "YYYY", "YYY", "YY", "Y", "IYYY", "IYY", "IY", "I":
		err = n.set(&f.year, x)
		f.yearDigits = keyWidths[n.key]
		if f.yearDigits < 4 && w < 4 {
			f.year = nearYear(f.year)
		}
	}
	return r, err
}

func errDateConventions() error {
	return fromCharError("invalid combination of date conventions").
		WithHint("Do not mix Gregorian and ISO week date conventions in a formatting template.")
}

// scaled gives a fraction of a second that was written in w of the digits.
func scaled(x int64, w, digits int) int64 {
	if w >= digits {
		return x
	}
	for ; w < digits; w++ {
		x *= 10
	}
	return x
}

// yearWithComma reads a number of thousands, a comma and three digits at most.
func (f *fromChar) yearWithComma(n *fmtNode, s string) (string, error) {
	t := strings.TrimLeft(s, spaces)
	thousands, w := leadingInt(t, len(t))
	if w > 0 && w < len(t) && t[w] == ',' {
		t = t[w+1:]
		t = strings.TrimLeft(t, spaces)
		if rest, w := leadingInt(t, 3); w > 0 {
			f.yearDigits = 4
			return n.ordinal(t[w:]), n.set(&f.year, int64(int32(rest+thousands*1000)))
		}
	}
	return s, fromCharError("invalid input string for \"Y,YYY\"")
}

// ordinal skips the two letters that a template with TH has after a number.
func (n *fmtNode) ordinal(s string) string {
	for range 2 {
		if n.th != 0 {
			_, w := utf8.DecodeRuneInString(s)
			s = s[w:]
		}
	}
	return s
}

// leadingInt reads a number with a sign from the first most bytes of s, and gives how many it has, 0 without a digit. Beyond 64 bits it is the greatest.
func leadingInt(s string, most int) (x int64, w int) {
	s = s[:min(len(s), most)]
	if s != "" && (s[0] == '-' || s[0] == '+') {
		w = 1
	}
	for w < len(s) && isDigit(s[w]) {
		w++
	}
	if w == 0 || !isDigit(s[w-1]) {
		return 0, 0
	}
	x, _ = strconv.ParseInt(s[:w], 10, 64) // the limit where it overflows
	return x, w
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

// number reads a number: where digits follow it has just the keyword's width, elsewhere as many digits as there are. w is how many bytes it took.
func (n *fmtNode) number(s string, tight bool) (x int64, w int, rest string, err error) {
	width := keyWidths[n.key]
	t := strings.TrimLeft(s, spaces)
	blanks := len(s) - len(t)
	copied := t[:min(len(t), width)]
	if !tight || n.fm {
		x, w = leadingInt(t, len(t))
	} else {
		if len(t) < width {
			return 0, 0, s, fromCharError("source string too short for \"%s\" formatting field", n.raw).
				WithDetail("Field requires %d characters, but only %d remain.", width, len(t)).
				WithHint("If your source string is not fixed-width, try using the \"FM\" modifier.")
		}
		x, w = leadingInt(copied, width)
		if w > 0 && w < width {
			return 0, 0, s, fromCharError("invalid value \"%s\" for \"%s\"", copied, n.raw).
				WithDetail("Field requires %d characters, but only %d could be parsed.", width, w).
				WithHint("If your source string is not fixed-width, try using the \"FM\" modifier.")
		}
	}
	if w == 0 {
		return 0, 0, s, fromCharError("invalid value \"%s\" for \"%s\"", copied, n.raw).WithDetail("Value must be an integer.")
	}
	if x != int64(int32(x)) {
		return 0, 0, s, pgerr.New(pgerr.DatetimeFieldOverflow, "value for \"%s\" in source string is out of range", n.raw).
			WithDetail("Value must be in the range -2147483648 to 2147483647.")
	}
	return x, blanks + w, t[w:], nil
}

// east is the offset of the zone in seconds.
func (f *fromChar) east() int64 { return f.zone * (f.zoneHours*3600 + f.zoneMinutes*60) }

// resolve turns the fields into a day and a time.
func (f *fromChar) resolve(s string) (days, us int64, err error) {
	overflow := func() (int64, int64, error) {
		return 0, 0, pgerr.New(pgerr.DatetimeFieldOverflow, "date/time field value out of range: \"%s\"", s)
	}
	hour, minute, sec := f.sssss/3600, f.sssss/60%60, f.sssss%60
	for _, x := range []struct{ to, from *int64 }{{&hour, &f.hour}, {&minute, &f.min}, {&sec, &f.sec}} {
		if *x.from != 0 {
			*x.to = *x.from
		}
	}
	if f.clock12 {
		if hour < 1 || hour > 12 {
			return 0, 0, fromCharError("hour \"%d\" is invalid for the 12-hour clock", hour).
				WithHint("Use the 24-hour clock, or give an hour between 1 and 12.")
		}
		if f.pm != 0 && hour < 12 {
			hour += 12
		} else if f.pm == 0 && hour == 12 {
			hour = 0
		}
	}
	y, dated := f.yearOf()
	m, d, doy := int64(1), int64(1), f.doy
	haveMonth, haveDay := false, false
	whole := func(days int64) {
		var mm, dd int
		y, mm, dd = CivilFromDays(days)
		m, d, dated, haveMonth, haveDay = int64(mm), int64(dd), true, true, true
	}
	if f.julian != 0 {
		whole(f.julian - 2440588)
	}
	monday := func(week int64) int64 { // of an ISO week
		jan4 := DaysFromCivil(y, 1, 4)
		return jan4 - int64(isoWeekday(jan4)-1) + (week-1)*7
	}
	if f.week != 0 {
		switch {
		case f.mode != 'i':
			doy = (f.week-1)*7 + 1
		case f.dow > 1:
			whole(monday(f.week) + f.dow - 2)
		case f.dow == 1:
			whole(monday(f.week) + 6)
		default:
			whole(monday(f.week))
		}
	}
	day := f.day
	if f.weekOfMonth != 0 {
		day = (f.weekOfMonth-1)*7 + 1
	}
	if day != 0 {
		d, haveDay = day, true
	}
	if f.month != 0 {
		m, haveMonth = f.month, true
	}
	if doy != 0 && (m <= 1 || d <= 1) {
		if y == 0 && f.bc == 0 {
			return 0, 0, fromCharError("cannot calculate day of year without year information")
		}
		if f.mode == 'i' {
			whole(monday(1) + doy - 1)
		} else {
			i, before := int64(1), int64(0)
			for ; i <= 12 && doy > before+int64(daysInMonth(y, int(i))); i++ {
				before += int64(daysInMonth(y, int(i)))
			}
			if m <= 1 {
				m = i
			}
			if d <= 1 {
				d = doy - before
			}
			haveMonth, haveDay = true, true
		}
	}
	us = f.ms*1000 + f.us
	if haveMonth && (m < 1 || m > 12) || haveDay && (d < 1 || d > 31) || dated && haveMonth && haveDay && d > int64(daysInMonth(y, int(m))) ||
		hour < 0 || hour > 23 || minute < 0 || minute > 59 || sec < 0 || sec > 59 || us < 0 || us >= UsPerSecond {
		return overflow()
	}
	if f.zone != 0 && (f.zoneHours < 0 || f.zoneHours > 15 || f.zoneMinutes < 0 || f.zoneMinutes > 59) {
		return 0, 0, pgerr.New("22009", "time zone displacement out of range: \"%s\"", s)
	}
	return DaysFromCivil(y, int(m), 1) + d - 1, hour*UsPerHour + minute*UsPerMinute + sec*UsPerSecond + us, nil
}

// yearOf gives the year, 0 being 1 BC, and whether one was given.
func (f *fromChar) yearOf() (y int64, given bool) {
	cc := f.cc
	if f.bc != 0 {
		cc = -cc
	}
	switch {
	case f.year != 0 && f.cc != 0 && f.yearDigits <= 2:
		switch y = f.year % 100; {
		case y != 0 && cc >= 0:
			return y + (cc-1)*100, true
		case y != 0:
			return (cc+1)*100 - y + 1, true
		case cc >= 0:
			return cc * 100, true
		}
		return cc*100 + 1, true
	case f.year != 0:
		if y = f.year; f.bc != 0 {
			y = -y
		}
		if y < 0 {
			y++
		}
		return y, true
	case cc > 0:
		return (cc-1)*100 + 1, true
	case cc < 0:
		return cc*100 + 1, true
	}
	return 0, false
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
