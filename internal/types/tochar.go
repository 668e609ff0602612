package types

import (
	"sort"
	"strings"
	"sync/atomic"

	"streamsql/internal/pgerr"
)

// fmtNode is a piece of a date template: a keyword with its affixes, or literal text.
type fmtNode struct {
	key  string // upper case; "" for text
	raw  string // as written
	tm   bool   // translated words, which are not padded
	form byte   // case of words: 'U' UPPER, 'C' Capitalised, 'l' lower
	fm   bool   // no padding
	th   byte   // 'T' or 't': ordinal suffix
	text string
	quot bool // text came in double quotes
}

// dateKeys are the keywords of date templates, longest first.
var dateKeys = func() []string {
	k := strings.Fields(`Y,YYY SSSSS A.D. A.M. B.C. P.M. HH24 HH12 IDDD IYYY MONTH SSSS YYYY
		DAY DDD FF1 FF2 FF3 FF4 FF5 FF6 IYY MON TZH TZM YYY AD AM BC CC DD DY HH ID IW IY MI MM MS OF PM RM SS TZ US WW YY D I J Q W Y`)
	sort.SliceStable(k, func(i, j int) bool { return len(k[i]) > len(k[j]) })
	return k
}()

// dateTemplate is a template and what it was split into. It is not changed.
type dateTemplate struct {
	text  string
	nodes []fmtNode
	fx    bool
}

// lastTemplate is the one that was used last: nearly always all rows of a column have the same.
var lastTemplate atomic.Pointer[dateTemplate]

// splitDateFormat is parseDateFormat, which it calls only for another template than the last.
func splitDateFormat(f string) (nodes []fmtNode, fx bool) {
	t := lastTemplate.Load()
	if t == nil || t.text != f {
		t = &dateTemplate{text: strings.Clone(f)} // f may lie in a batch's memory
		t.nodes, t.fx = parseDateFormat(t.text)
		lastTemplate.Store(t)
	}
	return t.nodes, t.fx
}

// parseDateFormat splits a template.
func parseDateFormat(f string) (nodes []fmtNode, fx bool) {
	for i := 0; i < len(f); {
		n := fmtNode{}
		for i+2 <= len(f) { // prefixes
			p := strings.ToUpper(f[i : i+2])
			if p == "FM" {
				n.fm = true
			} else if p == "FX" {
				fx = true
			} else if p == "TM" {
				n.tm = true
			} else {
				break
			}
			i += 2
		}
		if i >= len(f) {
			break
		}
		for _, k := range dateKeys {
			if len(f)-i < len(k) || !strings.EqualFold(f[i:i+len(k)], k) {
				continue
			}
			w := f[i : i+len(k)]
			switch {
			case w == strings.ToUpper(w):
				n.form = 'U'
			case w == strings.ToLower(w):
				n.form = 'l'
			case (k == "MONTH" || k == "MON" || k == "DAY" || k == "DY") && w[1:] == strings.ToLower(w[1:]):
				n.form = 'C'
			default:
				continue // letters
			}
			n.key, n.raw = k, w
			i += len(k)
			if i+2 <= len(f) {
				switch f[i : i+2] {
				case "TH":
					n.th = 'T'
					i += 2
				case "th":
					n.th = 't'
					i += 2
				}
			}
			break
		}
		if n.key != "" {
			nodes = append(nodes, n)
			continue
		}
		if f[i] == '"' {
			i++
			var b strings.Builder
			for i < len(f) && f[i] != '"' {
				if f[i] == '\\' && i+1 < len(f) {
					i++
				}
				b.WriteByte(f[i])
				i++
			}
			i++
			nodes = append(nodes, fmtNode{text: b.String(), quot: true})
			continue
		}
		if f[i] == '\\' && i+1 < len(f) && f[i+1] == '"' {
			i++
		}
		j := i + 1
		for j < len(f) && f[j]&0xc0 == 0x80 {
			j++
		}
		nodes = append(nodes, fmtNode{text: f[i:j]})
		i = j
	}
	return nodes, fx
}

// fmtTime is what a date template shows.
type fmtTime struct {
	year          int64 // astronomical
	month, day    int
	days          int64 // since 1970
	hour          int64
	min, sec, us  int64
	interval      bool
	zoned         bool
	off           int
	abbrev        string
	dow, isodow   int
	doy           int64
	isoYear       int64
	isoWeek       int
	intervalYears int64
}

var (
	longMonths = []string{"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"}
	longDays   = []string{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"}
	romans     = []string{"I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"}
)

func stampTime(ts int64) *fmtTime {
	days, us := splitTimestamp(ts)
	y, m, d := CivilFromDays(days)
	t := &fmtTime{year: y, month: m, day: d, days: days, hour: us / UsPerHour, min: us / UsPerMinute % 60, sec: us / UsPerSecond % 60, us: us % UsPerSecond}
	t.dow, t.isodow = weekday(days), isoWeekday(days)
	t.doy = days - DaysFromCivil(y, 1, 1) + 1
	t.isoYear, t.isoWeek = isoWeek(days)
	return t
}

// ToCharTimestamp is to_char(timestamp, text).
func ToCharTimestamp(ts int64, format string) (string, error) {
	if isInfinite(ts) || format == "" {
		return "", nil
	}
	return stampTime(ts).format(format)
}

// ToCharTimestamptz is to_char(timestamptz, text) in zone z.
func ToCharTimestamptz(ts int64, z *Zone, format string) (string, error) {
	if isInfinite(ts) || format == "" {
		return "", nil
	}
	off, _, abbrev := z.Offset(ts)
	t := stampTime(ts + int64(off)*UsPerSecond)
	t.zoned, t.off, t.abbrev = true, off, abbrev
	return t.format(format)
}

// ToCharInterval is to_char(interval, text).
func ToCharInterval(s Span, format string) (string, error) {
	t := &fmtTime{interval: true, intervalYears: int64(s.Months / 12), month: int(s.Months % 12), day: int(s.Days)}
	t.year = t.intervalYears
	t.hour, t.min, t.sec, t.us = clock(s.Micros)
	t.doy = int64(s.Months)*30 + int64(s.Days)
	t.days = DaysFromCivil(t.year, t.month, t.day)
	return t.format(format)
}

func cased(s string, form byte) string {
	switch form {
	case 'U':
		return strings.ToUpper(s)
	case 'l':
		return strings.ToLower(s)
	}
	return s
}

func ordinal(n int64, form byte) string {
	s := "th"
	n = abs64(n)
	if n%100/10 != 1 {
		switch n % 10 {
		case 1:
			s = "st"
		case 2:
			s = "nd"
		case 3:
			s = "rd"
		}
	}
	if form == 'T' {
		return strings.ToUpper(s)
	}
	return s
}

func errIntervalFormat() error {
	return pgerr.New(pgerr.InvalidDatetimeFormat, "invalid format specification for an interval value").
		WithHint("Intervals are not tied to specific calendar dates.")
}

func (t *fmtTime) format(f string) (string, error) {
	nodes, _ := splitDateFormat(f)
	var out []byte
	var err error
	num := func(n fmtNode, x int64, width int) {
		if !n.fm {
			if x < 0 && n.key != "DD" && n.key != "DDD" {
				width++ // the sign has its own column
			}
		} else {
			width = 0
		}
		neg := x < 0
		s := AppendInt(nil, abs64(x))
		w := width
		if neg {
			out = append(out, '-')
			w--
		}
		for i := len(s); i < w; i++ {
			out = append(out, '0')
		}
		out = append(out, s...)
		if n.th != 0 {
			out = append(out, ordinal(x, n.th)...)
		}
	}
	word := func(n fmtNode, s string, width int) {
		if t.interval {
			err = errIntervalFormat()
			return
		}
		out = append(out, cased(s, n.form)...)
		if !n.fm && !n.tm {
			for i := len(s); i < width; i++ {
				out = append(out, ' ')
			}
		}
	}
	y, bc := t.year, false
	isoY := t.isoYear
	if !t.interval {
		y, bc = era(t.year)
		isoY, _ = era(t.isoYear)
	}
	for _, n := range nodes {
		switch n.key {
		case "":
			out = append(out, n.text...)
		case "AM", "PM", "A.M.", "P.M.":
			s := "AM"
			if h := t.hour % 24; h >= 12 {
				s = "PM"
			}
			if len(n.key) == 4 {
				s = s[:1] + "." + s[1:] + "."
			}
			out = append(out, cased(s, n.form)...)
		case "AD", "BC", "A.D.", "B.C.":
			s := "AD"
			if bc {
				s = "BC"
			}
			if len(n.key) == 4 {
				s = s[:1] + "." + s[1:] + "."
			}
			word(n, s, 0)
		case "HH24":
			num(n, t.hour, 2)
		case "HH12", "HH":
			h := t.hour % 12
			if h == 0 {
				h = 12
			}
			num(n, h, 2)
		case "MI":
			num(n, t.min, 2)
		case "SS":
			num(n, t.sec, 2)
		case "MS", "FF3":
			num(fmtNode{th: n.th}, t.us/1000, 3)
		case "US", "FF6":
			num(fmtNode{th: n.th}, t.us, 6)
		case "FF1":
			num(fmtNode{th: n.th}, t.us/100000, 1)
		case "FF2":
			num(fmtNode{th: n.th}, t.us/10000, 2)
		case "FF4":
			num(fmtNode{th: n.th}, t.us/100, 4)
		case "FF5":
			num(fmtNode{th: n.th}, t.us/10, 5)
		case "SSSS", "SSSSS":
			num(fmtNode{fm: true, th: n.th}, t.hour*3600+t.min*60+t.sec, 0)
		case "TZ":
			if t.interval {
				return "", errIntervalFormat()
			}
			out = append(out, cased(t.abbrev, n.form)...)
		case "TZH", "TZM", "OF":
			if t.interval {
				return "", errIntervalFormat()
			}
			a := t.off
			if n.key != "TZM" {
				if a < 0 {
					out = append(out, '-')
				} else {
					out = append(out, '+')
				}
			}
			if a < 0 {
				a = -a
			}
			switch n.key {
			case "TZH":
				out = append2(out, a/3600)
			case "TZM":
				out = append2(out, a/60%60)
			default:
				out = append2(out, a/3600)
				if a/60%60 != 0 {
					out = append2(append(out, ':'), a/60%60)
				}
			}
		case "MONTH":
			if t.interval || t.month > 0 {
				word(n, longMonths[max(t.month-1, 0)], 9)
			}
		case "MON":
			word(n, longMonths[max(t.month-1, 0)][:3], 0)
		case "MM":
			num(n, int64(t.month), 2)
		case "DAY":
			word(n, longDays[t.dow], 9)
		case "DY":
			word(n, longDays[t.dow][:3], 0)
		case "DDD":
			num(n, t.doy, 3)
		case "IDDD":
			num(n, t.days-(DaysFromCivil(t.isoYear, 1, 4)-int64(isoWeekday(DaysFromCivil(t.isoYear, 1, 4))-1))+1, 3)
		case "DD":
			num(n, int64(t.day), 2)
		case "D", "ID":
			if t.interval {
				return "", errIntervalFormat()
			}
			d := t.dow + 1
			if n.key == "ID" {
				d = t.isodow
			}
			num(fmtNode{fm: true, th: n.th}, int64(d), 0)
		case "WW":
			num(n, (t.doy-1)/7+1, 2)
		case "IW":
			num(n, int64(t.isoWeek), 2)
		case "Q":
			if t.month != 0 {
				num(fmtNode{fm: true, th: n.th}, int64(t.month-1)/3+1, 0)
			}
		case "CC":
			c := y / 100
			if !t.interval {
				c = (y + 99) / 100
				if bc {
					c = -c
				}
			}
			num(n, c, 2)
		case "Y,YYY":
			out = AppendInt(out, y/1000)
			out = append(out, ',')
			out = appendPadded(out, uint64(abs64(y%1000)), 3)
			if n.th != 0 {
				out = append(out, ordinal(y, n.th)...)
			}
		case "YYYY":
			num(n, y, 4)
		case "IYYY":
			num(n, isoY, 4)
		case "YYY":
			num(n, y%1000, 3)
		case "IYY":
			num(n, isoY%1000, 3)
		case "YY":
			num(n, y%100, 2)
		case "IY":
			num(n, isoY%100, 2)
		case "Y":
			num(fmtNode{fm: true, th: n.th}, y%10, 0)
		case "I":
			num(fmtNode{fm: true, th: n.th}, isoY%10, 0)
		case "RM":
			if t.month == 0 {
				break
			}
			m := t.month
			if m < 0 {
				m += 13
			}
			s := cased(romans[m-1], n.form)
			out = append(out, s...)
			if !n.fm {
				for i := len(s); i < 4; i++ {
					out = append(out, ' ')
				}
			}
		case "W":
			num(fmtNode{fm: true, th: n.th}, int64(t.day-1)/7+1, 0)
		case "J":
			num(fmtNode{fm: true, th: n.th}, t.days+2440588, 0)
		}
		if err != nil {
			return "", err
		}
	}
	return string(out), nil
}
