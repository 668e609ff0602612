package types

import (
	"math"
	"strings"

	"streamsql/internal/pgerr"
)

func errUnknownField(field string, t T) error {
	return pgerr.New(pgerr.InvalidParameterValue, "unit \"%s\" not recognized for type %s", field, t.Format())
}

func errUnsupportedField(field string, t T) error {
	return pgerr.New(pgerr.FeatureNotSupported, "unit \"%s\" not supported for type %s", field, t.Format())
}

// fieldNames maps the spellings of date_part and date_trunc units to one each.
var fieldNames = map[string]string{
	"us": "microseconds", "usec": "microseconds", "usecs": "microseconds", "microsecond": "microseconds", "microseconds": "microseconds", "useconds": "microseconds", "usecond": "microseconds", "microsecon": "microseconds",
	"ms": "milliseconds", "msec": "milliseconds", "msecs": "milliseconds", "millisecond": "milliseconds", "milliseconds": "milliseconds", "mseconds": "milliseconds", "millisecon": "milliseconds",
	"s": "second", "sec": "second", "secs": "second", "second": "second", "seconds": "second",
	"m": "minute", "min": "minute", "mins": "minute", "minute": "minute", "minutes": "minute",
	"h": "hour", "hr": "hour", "hrs": "hour", "hour": "hour", "hours": "hour",
	"d": "day", "day": "day", "days": "day", "w": "week", "week": "week", "weeks": "week",
	"mon": "month", "mons": "month", "month": "month", "months": "month",
	"qtr": "quarter", "quarter": "quarter", "y": "year", "yr": "year", "yrs": "year", "year": "year", "years": "year",
	"dec": "decade", "decs": "decade", "decade": "decade", "decades": "decade",
	"c": "century", "cent": "century", "century": "century", "centuries": "century",
	"mil": "millennium", "mils": "millennium", "millennia": "millennium", "millennium": "millennium",
	"dow": "dow", "isodow": "isodow", "doy": "doy", "isoyear": "isoyear", "julian": "julian", "epoch": "epoch",
	"timezone": "timezone", "timezone_h": "timezone_hour", "timezone_hour": "timezone_hour", "timezone_m": "timezone_minute", "timezone_minute": "timezone_minute",
}

// FieldOf gives the canonical name of a date_part or date_trunc unit, "" where it is unknown.
// The functions below take either spelling; give them the canonical one to spare a look-up a row.
func FieldOf(name string) string {
	if f, ok := fieldNames[name]; ok {
		return f
	}
	return fieldNames[strings.ToLower(name)]
}

// canonical is FieldOf with a shortcut for names that are canonical already.
func canonical(field string) string {
	switch field {
	case "microseconds", "milliseconds", "second", "minute", "hour", "day", "week", "month", "quarter", "year":
		return field
	}
	return FieldOf(field)
}

// TruncTimestamp is date_trunc on a timestamp (22023 unknown unit, 0A000 a unit that truncates nothing).
func TruncTimestamp(field string, ts int64) (int64, error) {
	return truncLocal(canonical(field), field, ts, Timestamp)
}

func truncLocal(f, given string, ts int64, t T) (int64, error) {
	if isInfinite(ts) {
		return ts, nil
	}
	switch f {
	case "", "dow", "isodow", "doy", "isoyear", "julian", "epoch":
		return 0, errUnknownField(strings.ToLower(given), t)
	case "timezone", "timezone_hour", "timezone_minute":
		return 0, errUnsupportedField(strings.ToLower(given), t)
	}
	floor := func(unit int64) int64 {
		r := ts % unit
		if r < 0 {
			r += unit
		}
		return ts - r
	}
	switch f {
	case "microseconds":
		return ts, nil
	case "milliseconds":
		return floor(1000), nil
	case "second":
		return floor(UsPerSecond), nil
	case "minute":
		return floor(UsPerMinute), nil
	case "hour":
		return floor(UsPerHour), nil
	case "day":
		return floor(UsPerDay), nil
	}
	days, _ := splitTimestamp(ts)
	if f == "week" {
		days -= int64(isoWeekday(days) - 1)
	} else {
		y, m, _ := CivilFromDays(days)
		switch f {
		case "month":
		case "quarter":
			m -= (m - 1) % 3
		case "year":
			m = 1
		case "decade":
			m = 1
			y = floor64(y, 10) * 10
		case "century":
			m = 1
			y = floor64(y-1, 100)*100 + 1
		case "millennium":
			m = 1
			y = floor64(y-1, 1000)*1000 + 1
		}
		days = DaysFromCivil(y, m, 1)
	}
	if days < int64(minDate) {
		return 0, errTimestampRange()
	}
	return days * UsPerDay, nil
}

func floor64(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// TruncTimestamptz is date_trunc on an instant in the local time of z.
func TruncTimestamptz(field string, ts int64, z *Zone) (int64, error) {
	f := canonical(field)
	if isInfinite(ts) || z == nil {
		return truncLocal(f, field, ts, Timestamptz)
	}
	off := int64(z.offset(ts)) * UsPerSecond
	r, err := truncLocal(f, field, ts+off, Timestamptz)
	if err != nil {
		return 0, err
	}
	switch f {
	case "microseconds", "milliseconds", "second", "minute", "hour":
		// The offset at ts stays: the hour that the clock repeats must not jump.
		return r - off, nil
	}
	return TimestampToTz(r, z), nil
}

// TruncInterval is date_trunc on an interval.
func TruncInterval(field string, s Span) (Span, error) {
	f := canonical(field)
	switch f {
	case "", "dow", "isodow", "doy", "isoyear", "julian", "epoch":
		return s, errUnknownField(strings.ToLower(field), Interval)
	case "millennium":
		return Span{Months: s.Months / 12000 * 12000}, nil
	case "century":
		return Span{Months: s.Months / 1200 * 1200}, nil
	case "decade":
		return Span{Months: s.Months / 120 * 120}, nil
	case "year":
		return Span{Months: s.Months / 12 * 12}, nil
	case "quarter":
		return Span{Months: s.Months / 3 * 3}, nil
	case "month":
		return Span{Months: s.Months}, nil
	case "day":
		return Span{Months: s.Months, Days: s.Days}, nil
	case "hour":
		s.Micros -= s.Micros % UsPerHour
	case "minute":
		s.Micros -= s.Micros % UsPerMinute
	case "second":
		s.Micros -= s.Micros % UsPerSecond
	case "milliseconds":
		s.Micros -= s.Micros % 1000
	case "microseconds":
	case "week":
		return s, pgerr.New(pgerr.FeatureNotSupported, "unit \"%s\" not supported for type interval", strings.ToLower(field)).
			WithDetail("Months usually have fractional weeks.")
	default:
		return s, errUnsupportedField(strings.ToLower(field), Interval)
	}
	return s, nil
}

// extracted is an exact result of extract: num/10^scale, or an infinity.
type extracted struct {
	num   int64
	scale int
	inf   int  // 1 or -1
	null  bool // a field that an infinite value does not have
	big   *Decimal
	err   error
}

func (x extracted) numeric() Decimal {
	switch {
	case x.inf > 0:
		return NumericPosInf
	case x.inf < 0:
		return NumericNegInf
	case x.big != nil:
		return *x.big
	}
	return NumericFromScaled(x.num, x.scale)
}

func (x extracted) float() float64 {
	switch {
	case x.inf != 0:
		return math.Inf(x.inf)
	case x.big != nil:
		return x.big.Float64()
	}
	return float64(x.num) / pow10f[x.scale]
}

// infiniteField says what a field of an infinite time is: fields that grow for ever are infinite, those that go round have no value.
func infiniteField(f, given string, positive bool, t T) extracted {
	switch f {
	case "year", "decade", "century", "millennium", "julian", "isoyear", "epoch":
		if positive {
			return extracted{inf: 1}
		}
		return extracted{inf: -1}
	case "":
		return extracted{err: errUnknownField(strings.ToLower(given), t)}
	}
	return extracted{null: true}
}

// dayField gives the fields of a date.
func dayField(f string, days int64) (int64, bool) {
	y, m, d := CivilFromDays(days)
	switch f {
	case "day":
		return int64(d), true
	case "month":
		return int64(m), true
	case "quarter":
		return int64(m-1)/3 + 1, true
	case "week":
		_, w := isoWeek(days)
		return int64(w), true
	case "year":
		if y <= 0 {
			y--
		}
		return y, true
	case "isoyear":
		y, _ := isoWeek(days)
		if y <= 0 {
			y--
		}
		return y, true
	case "decade":
		return floor64(y, 10), true
	case "century":
		if y > 0 {
			return (y + 99) / 100, true
		}
		return -((99 - (y - 1)) / 100), true
	case "millennium":
		if y > 0 {
			return (y + 999) / 1000, true
		}
		return -((999 - (y - 1)) / 1000), true
	case "dow":
		return int64(weekday(days)), true
	case "isodow":
		return int64(isoWeekday(days)), true
	case "doy":
		return days - DaysFromCivil(y, 1, 1) + 1, true
	}
	return 0, false
}

// timeField gives the fields of a time of day.
func timeField(f string, us int64) (extracted, bool) {
	switch f {
	case "microseconds":
		return extracted{num: us % UsPerMinute}, true
	case "milliseconds":
		return extracted{num: us % UsPerMinute, scale: 3}, true
	case "second":
		return extracted{num: us % UsPerMinute, scale: 6}, true
	case "minute":
		return extracted{num: us / UsPerMinute % 60}, true
	case "hour":
		return extracted{num: us / UsPerHour}, true
	}
	return extracted{}, false
}

func extractStamp(field string, ts int64, off int, t T) extracted {
	f := canonical(field)
	if isInfinite(ts) {
		return infiniteField(f, field, ts > 0, t)
	}
	if f == "epoch" {
		return extracted{num: ts, scale: 6}
	}
	days, us := splitTimestamp(ts + int64(off)*UsPerSecond)
	if x, ok := timeField(f, us); ok {
		return x
	}
	if n, ok := dayField(f, days); ok {
		return extracted{num: n}
	}
	switch f {
	case "":
		return extracted{err: errUnknownField(strings.ToLower(field), t)}
	case "julian":
		if us == 0 {
			d := NumericFromInt64(days + 2440588).Round(28)
			return extracted{big: &d}
		}
		frac, err := NumericFromInt64(us).Div(NumericFromInt64(UsPerDay))
		if err != nil {
			return extracted{err: err}
		}
		sum, err := frac.AddInt64(days + 2440588)
		return extracted{big: &sum, err: err}
	}
	if t.OID == OIDTimestamptz {
		switch f {
		case "timezone":
			return extracted{num: int64(off)}
		case "timezone_hour":
			return extracted{num: int64(off / 3600)}
		case "timezone_minute":
			return extracted{num: int64(off / 60 % 60)}
		}
	}
	return extracted{err: errUnsupportedField(strings.ToLower(field), t)}
}

// ErrNoField is returned by the extract functions for a field that an infinite value does not have: SQL NULL.
var ErrNoField = pgerr.New(pgerr.NullValueNotAllowed, "infinite value has no such field")

// resultOf gives the value of extract.
func (x extracted) resultOf() (Decimal, error) {
	if x.null {
		return Decimal{}, ErrNoField
	}
	return x.numeric(), x.err
}

// floatOf gives the value of date_part.
func (x extracted) floatOf() (float64, error) {
	if x.null {
		return 0, ErrNoField
	}
	return x.float(), x.err
}

func extractTz(field string, ts int64, z *Zone) extracted {
	off := 0
	if !isInfinite(ts) {
		off = z.offset(ts)
	}
	return extractStamp(field, ts, off, Timestamptz)
}

func extractDate(field string, d int32) extracted {
	f := canonical(field)
	if d == DatePosInfinity || d == DateNegInfinity {
		switch f {
		case "microseconds", "milliseconds", "second", "minute", "hour", "timezone", "timezone_hour", "timezone_minute":
			return extracted{err: errUnsupportedField(strings.ToLower(field), Date)}
		}
		return infiniteField(f, field, d > 0, Date)
	}
	if n, ok := dayField(f, int64(d)); ok {
		return extracted{num: n}
	}
	switch f {
	case "":
		return extracted{err: errUnknownField(strings.ToLower(field), Date)}
	case "julian":
		return extracted{num: int64(d) + 2440588}
	case "epoch":
		return extracted{num: int64(d) * 86400}
	}
	return extracted{err: errUnsupportedField(strings.ToLower(field), Date)}
}

func extractTime(field string, us int64, east int, t T) extracted {
	f := canonical(field)
	if x, ok := timeField(f, us); ok {
		return x
	}
	switch f {
	case "":
		return extracted{err: errUnknownField(strings.ToLower(field), t)}
	case "epoch":
		return extracted{num: us - int64(east)*UsPerSecond, scale: 6}
	}
	if t.OID == OIDTimetz {
		switch f {
		case "timezone":
			return extracted{num: int64(east)}
		case "timezone_hour":
			return extracted{num: int64(east / 3600)}
		case "timezone_minute":
			return extracted{num: int64(east / 60 % 60)}
		}
	}
	return extracted{err: errUnsupportedField(strings.ToLower(field), t)}
}

func extractSpan(field string, s Span) extracted {
	y, mo := int64(s.Months/12), int64(s.Months%12)
	f := canonical(field)
	switch f {
	case "":
		return extracted{err: errUnknownField(strings.ToLower(field), Interval)}
	case "hour":
		return extracted{num: s.Micros / UsPerHour}
	case "minute", "second", "milliseconds", "microseconds":
		x, _ := timeField(f, s.Micros%UsPerHour)
		return x
	case "day":
		return extracted{num: int64(s.Days)}
	case "month":
		return extracted{num: mo}
	case "quarter":
		return extracted{num: mo/3 + 1}
	case "year":
		return extracted{num: y}
	case "decade":
		return extracted{num: y / 10}
	case "century":
		return extracted{num: y / 100}
	case "millennium":
		return extracted{num: y / 1000}
	case "epoch":
		// A year has 365.25 days here, a month 30.
		secs := int64(s.Months/12)*31557600 + int64(s.Months%12)*2592000 + int64(s.Days)*86400
		if abs64(secs) < 9e12 {
			if us := secs*UsPerSecond + s.Micros; (us < 0) == (secs < 0) || abs64(secs) < 4e12 {
				return extracted{num: us, scale: 6}
			}
		}
		d, err := NumericFromScaled(s.Micros, 6).AddInt64(secs)
		return extracted{big: &d, err: err}
	}
	return extracted{err: errUnsupportedField(strings.ToLower(field), Interval)}
}

// ExtractTimestamp is extract(field from timestamp). All of the extract functions fail with
// 22023 for unknown fields, 0A000 for those that the type does not have, and ErrNoField where the result is NULL.
func ExtractTimestamp(field string, ts int64) (Decimal, error) {
	return extractStamp(field, ts, 0, Timestamp).resultOf()
}

// ExtractTimestamptz is extract(field from timestamptz) in zone z.
func ExtractTimestamptz(field string, ts int64, z *Zone) (Decimal, error) {
	return extractTz(field, ts, z).resultOf()
}

// ExtractDate is extract(field from date).
func ExtractDate(field string, d int32) (Decimal, error) { return extractDate(field, d).resultOf() }

// ExtractTime is extract(field from time).
func ExtractTime(field string, us int64) (Decimal, error) {
	return extractTime(field, us, 0, Time).resultOf()
}

// ExtractTimetz is extract(field from timetz).
func ExtractTimetz(field string, b [16]byte) (Decimal, error) {
	us, east := TimetzOf(b)
	return extractTime(field, us, int(east), Timetz).resultOf()
}

// ExtractInterval is extract(field from interval).
func ExtractInterval(field string, s Span) (Decimal, error) { return extractSpan(field, s).resultOf() }

// PartTimestamp is date_part, the float8 form of ExtractTimestamp; the others likewise.
func PartTimestamp(field string, ts int64) (float64, error) {
	return extractStamp(field, ts, 0, Timestamp).floatOf()
}

// PartTimestamptz is date_part on an instant in zone z.
func PartTimestamptz(field string, ts int64, z *Zone) (float64, error) {
	return extractTz(field, ts, z).floatOf()
}

// PartDate is date_part on a date, which is taken for the timestamp of its midnight.
func PartDate(field string, d int32) (float64, error) {
	ts, err := DateToTimestamp(d)
	if err != nil {
		return 0, err
	}
	return PartTimestamp(field, ts)
}

// PartTime is date_part on a time.
func PartTime(field string, us int64) (float64, error) {
	return extractTime(field, us, 0, Time).floatOf()
}

// PartTimetz is date_part on a timetz.
func PartTimetz(field string, b [16]byte) (float64, error) {
	us, east := TimetzOf(b)
	return extractTime(field, us, int(east), Timetz).floatOf()
}

// PartInterval is date_part on an interval.
func PartInterval(field string, s Span) (float64, error) { return extractSpan(field, s).floatOf() }
