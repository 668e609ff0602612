package types

import "streamsql/internal/pgerr"

// Microseconds in a unit of time.
const (
	UsPerSecond int64 = 1e6
	UsPerMinute       = 60 * UsPerSecond
	UsPerHour         = 60 * UsPerMinute
	UsPerDay          = 24 * UsPerHour
)

// pgEpochDays and pgEpochMicros are 2000-01-01, the origin of PostgreSQL's binary formats.
const (
	pgEpochDays   = 10957
	pgEpochMicros = pgEpochDays * UsPerDay
)

// The ranges of date and timestamp: 4714-11-24 BC on; dates before 5874898-01-01 as
// PostgreSQL; timestamps before 294247-01-10, where int64 microseconds since 1970 end
// (PostgreSQL counts from 2000 and reaches 294276).
const (
	minDate      int32 = -2440588 // julian day 0
	endDate      int32 = 2145042906
	minTimestamp int64 = -2440588 * UsPerDay
	endTimestamp int64 = 106751991 * UsPerDay
)

// CivilFromDays gives the proleptic Gregorian date of a day number since
// 1970-01-01. Years are astronomical: 0 is 1 BC.
func CivilFromDays(days int64) (y int64, m, d int) {
	z := days + 719468
	era := z / 146097
	if z < 0 && z%146097 != 0 {
		era--
	}
	doe := uint64(z - era*146097)
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	d = int(doy-(153*mp+2)/5) + 1
	m = int(mp) + 3
	y = int64(yoe) + era*400
	if m > 12 {
		m -= 12
		y++
	}
	return y, m, d
}

// DaysFromCivil gives the day number since 1970-01-01 of a date; m in 1..12, d may overflow the month.
func DaysFromCivil(y int64, m, d int) int64 {
	if m <= 2 {
		y--
		m += 9
	} else {
		m -= 3
	}
	era := y / 400
	if y < 0 && y%400 != 0 {
		era--
	}
	yoe := y - era*400
	doy := int64((153*m+2)/5 + d - 1)
	doe := yoe*365 + yoe/4 - yoe/100 + doy
	return era*146097 + doe - 719468
}

func isLeap(y int64) bool { return y%4 == 0 && (y%100 != 0 || y%400 == 0) }

var monthDays = [13]int{0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}

func daysInMonth(y int64, m int) int {
	if m == 2 && isLeap(y) {
		return 29
	}
	return monthDays[m]
}

// splitTimestamp gives the day number and the microseconds of the day.
func splitTimestamp(ts int64) (days, us int64) {
	days = ts / UsPerDay
	us = ts - days*UsPerDay
	if us < 0 {
		us += UsPerDay
		days--
	}
	return days, us
}

func isInfinite(ts int64) bool { return ts == PosInfinity || ts == NegInfinity }

func validTimestamp(ts int64) bool { return ts >= minTimestamp && ts < endTimestamp }

func validDate(d int64) bool { return d >= int64(minDate) && d < int64(endDate) }

func errTimestampRange() error {
	return pgerr.New(pgerr.DatetimeFieldOverflow, "timestamp out of range")
}

func errDateRange() error { return pgerr.New(pgerr.DatetimeFieldOverflow, "date out of range") }

// isoWeek gives the ISO 8601 week number and its year.
func isoWeek(days int64) (year int64, week int) {
	// The week belongs to the year of its Thursday.
	wd := isoWeekday(days)
	th := days + int64(4-wd)
	y, _, _ := CivilFromDays(th)
	return y, int(th-DaysFromCivil(y, 1, 1))/7 + 1
}

// weekday gives 0 for Sunday to 6.
func weekday(days int64) int {
	w := (days + 4) % 7
	if w < 0 {
		w += 7
	}
	return int(w)
}

// isoWeekday gives 1 for Monday to 7.
func isoWeekday(days int64) int {
	if w := weekday(days); w != 0 {
		return w
	}
	return 7
}

// DateToTimestamp gives midnight of a date (22008 where a timestamp cannot hold it).
func DateToTimestamp(d int32) (int64, error) {
	switch d {
	case DatePosInfinity:
		return PosInfinity, nil
	case DateNegInfinity:
		return NegInfinity, nil
	}
	if int64(d) >= endTimestamp/UsPerDay {
		return 0, pgerr.New(pgerr.DatetimeFieldOverflow, "date out of range for timestamp")
	}
	return int64(d) * UsPerDay, nil
}

// TimestampToDate gives the date of a timestamp.
func TimestampToDate(ts int64) int32 {
	switch ts {
	case PosInfinity:
		return DatePosInfinity
	case NegInfinity:
		return DateNegInfinity
	}
	d, _ := splitTimestamp(ts)
	return int32(d)
}

// TimestampToTz takes a local timestamp in z to the instant.
func TimestampToTz(ts int64, z *Zone) int64 {
	if isInfinite(ts) {
		return ts
	}
	return z.ToUTC(ts)
}

// TzToTimestamp takes an instant to the local timestamp in z.
func TzToTimestamp(ts int64, z *Zone) int64 {
	if z == nil || isInfinite(ts) {
		return ts
	}
	off := z.offset(ts)
	return ts + int64(off)*UsPerSecond
}

// AddDays gives d+n, infinities staying (22008).
func AddDays(d int32, n int32) (int32, error) {
	if d == DatePosInfinity || d == DateNegInfinity {
		return d, nil
	}
	r := int64(d) + int64(n)
	if !validDate(r) {
		return 0, errDateRange()
	}
	return int32(r), nil
}

// SubDates gives a-b in days (22008 for infinities).
func SubDates(a, b int32) (int32, error) {
	if a == DatePosInfinity || a == DateNegInfinity || b == DatePosInfinity || b == DateNegInfinity {
		return 0, pgerr.New(pgerr.DatetimeFieldOverflow, "cannot subtract infinite dates")
	}
	return a - b, nil
}

// SubTimestamps gives a-b as an interval of days and time (22008 for infinities).
func SubTimestamps(a, b int64) (Span, error) {
	if isInfinite(a) || isInfinite(b) {
		return Span{}, pgerr.New(pgerr.DatetimeFieldOverflow, "cannot subtract infinite timestamps")
	}
	d := a - b
	if (a < b) != (d < 0) {
		return Span{}, pgerr.New(pgerr.DatetimeFieldOverflow, "interval out of range")
	}
	return Span{Micros: d}.JustifyHours()
}

// addMonths moves a timestamp by months, clamping the day to the month's length.
func addMonths(ts int64, months int32) (int64, error) {
	days, us := splitTimestamp(ts)
	y, m, d := CivilFromDays(days)
	n := y*12 + int64(m-1) + int64(months)
	y, m = n/12, int(n%12)
	if m < 0 {
		m += 12
		y--
	}
	m++
	d = min(d, daysInMonth(y, m))
	nd := DaysFromCivil(y, m, d)
	if nd < int64(minDate) || nd >= endTimestamp/UsPerDay {
		return 0, errTimestampRange()
	}
	return nd*UsPerDay + us, nil
}

func addChecked(ts, us int64) (int64, error) {
	r := ts + us
	if (us >= 0) != (r >= ts) || !validTimestamp(r) {
		return 0, errTimestampRange()
	}
	return r, nil
}

// AddSpan adds an interval to a timestamp: months first (Jan 31 + 1 month is Feb 28), then days, then time.
func AddSpan(ts int64, s Span) (int64, error) {
	if isInfinite(ts) {
		return ts, nil
	}
	var err error
	if s.Months != 0 {
		if ts, err = addMonths(ts, s.Months); err != nil {
			return 0, err
		}
	}
	if s.Days != 0 {
		if days, _ := splitTimestamp(ts); !validDate(days+int64(s.Days)) || days+int64(s.Days) >= endTimestamp/UsPerDay {
			return 0, errTimestampRange()
		}
		ts += int64(s.Days) * UsPerDay
	}
	return addChecked(ts, s.Micros)
}

// AddSpanTz adds an interval to an instant: months and days move the local time of z, the time part the instant.
func AddSpanTz(ts int64, s Span, z *Zone) (int64, error) {
	if isInfinite(ts) {
		return ts, nil
	}
	if s.Months != 0 || s.Days != 0 {
		// Months and days are two steps with a look at the zone after each: the first may land in a gap.
		for _, p := range [2]Span{{Months: s.Months}, {Days: s.Days}} {
			if p == (Span{}) {
				continue
			}
			local, err := AddSpan(TzToTimestamp(ts, z), p)
			if err != nil {
				return 0, err
			}
			ts = TimestampToTz(local, z)
		}
	}
	return addChecked(ts, s.Micros)
}

// CompareDateTimestamp orders a date and a timestamp, also where the date is out of the range of timestamps.
func CompareDateTimestamp(d int32, ts int64) int {
	t, err := DateToTimestamp(d)
	if err != nil {
		if ts == PosInfinity {
			return -1
		}
		return 1
	}
	return sign(b2i(t > ts) - b2i(t < ts))
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
