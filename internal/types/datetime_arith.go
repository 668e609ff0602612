package types

import "streamsql/internal/pgerr"

// Age gives a-b in years, months, days and time, as the clock and calendar show it (22008 out of range).
func Age(a, b int64) (Span, error) {
	if isInfinite(a) || isInfinite(b) {
		return Span{}, pgerr.New(pgerr.DatetimeFieldOverflow, "timestamp out of range")
	}
	neg := a < b
	if neg {
		a, b = b, a
	}
	da, ua := splitTimestamp(a)
	db, ub := splitTimestamp(b)
	ya, ma, dda := CivilFromDays(da)
	yb, mb, ddb := CivilFromDays(db)
	us, days, months := ua-ub, dda-ddb, (ya-yb)*12+int64(ma-mb)
	if us < 0 {
		us += UsPerDay
		days--
	}
	if days < 0 {
		days += daysInMonth(yb, mb) // borrowed from the earlier value's month
		months--
	}
	s := Span{int32(months), int32(days), us}
	if neg {
		return s.Neg()
	}
	return s, nil
}

// AgeTz is Age of two instants in the local time of z.
func AgeTz(a, b int64, z *Zone) (Span, error) {
	return Age(TzToTimestamp(a, z), TzToTimestamp(b, z))
}

// DateBin is date_bin: the start of the bin of width stride, counted from origin, that holds ts (floor, also before the origin).
func DateBin(stride Span, ts, origin int64) (int64, error) {
	if isInfinite(ts) {
		return ts, nil
	}
	if isInfinite(origin) {
		return 0, pgerr.New(pgerr.DatetimeFieldOverflow, "origin out of range")
	}
	if stride.Months != 0 {
		return 0, pgerr.New(pgerr.FeatureNotSupported, "timestamps cannot be binned into intervals containing months or years")
	}
	width := int64(stride.Days)*UsPerDay + stride.Micros
	if width <= 0 {
		return 0, pgerr.New(pgerr.DatetimeFieldOverflow, "stride must be greater than zero")
	}
	d := ts - origin
	if (origin > 0) != (d < ts) && origin != 0 {
		return 0, errTimestampRange()
	}
	r := d % width
	if r < 0 {
		r += width
	}
	return addChecked(ts, -r)
}

// MakeDate checks a year (negative: BC), month and day (22008).
func MakeDate(y, m, d int64) (int32, error) {
	bad := func() (int32, error) {
		return 0, pgerr.New(pgerr.DatetimeFieldOverflow, "date field value out of range: %d-%02d-%02d", y, m, d)
	}
	yy := y
	if y < 0 {
		yy = y + 1
	}
	if y == 0 || abs64(y) > 6e6 || m < 1 || m > 12 || d < 1 || d > int64(daysInMonth(yy, int(m))) {
		return bad()
	}
	days := DaysFromCivil(yy, int(m), int(d))
	if !validDate(days) {
		return 0, pgerr.New(pgerr.DatetimeFieldOverflow, "date out of range: %d-%02d-%02d", y, m, d)
	}
	return int32(days), nil
}

// MakeTime checks hours, minutes and seconds and gives the microseconds of the day (22008).
func MakeTime(h, m int64, sec float64) (int64, error) {
	us := roundEvenInt(sec * 1e6)
	if h < 0 || h > 24 || m < 0 || m > 59 || sec != sec || sec < 0 || sec > 60 || h == 24 && (m > 0 || us > 0) {
		return 0, pgerr.New(pgerr.DatetimeFieldOverflow, "time field value out of range: %d:%02d:%02v", h, m, sec)
	}
	return h*UsPerHour + m*UsPerMinute + us, nil
}
