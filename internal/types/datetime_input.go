package types

import (
	"strings"

	"streamsql/internal/pgerr"
)

func (v *dtValue) days() int64 { return DaysFromCivil(v.y, v.m, v.d) }

func errOut(what, s string) error {
	return pgerr.New(pgerr.DatetimeFieldOverflow, "%s out of range: \"%s\"", what, s)
}

func badZoneErr(s string) error {
	// The zone is the word with a slash or underscore.
	for _, f := range strings.Fields(s) {
		if i := strings.IndexFunc(f, func(r rune) bool { return r|0x20 >= 'a' && r|0x20 <= 'z' }); i >= 0 && strings.ContainsAny(f[i:], "/_") {
			return pgerr.New(pgerr.InvalidParameterValue, "time zone \"%s\" not recognized", strings.ToLower(f[i:]))
		}
	}
	return pgerr.New(pgerr.InvalidParameterValue, "time zone \"%s\" not recognized", s)
}

func (e dtError) report(typ, s string) error {
	if e == dtBadZone {
		return badZoneErr(s)
	}
	return e.err(typ, s)
}

// specialStamp gives the instant of a special word; local asks for the local time of it.
func specialStamp(v *dtValue, env *Env, local bool) int64 {
	var now int64
	if env != nil {
		now = env.Now
	}
	switch v.special {
	case "infinity":
		return PosInfinity
	case "-infinity":
		return NegInfinity
	case "epoch":
		return 0
	case "now":
		if local {
			return TzToTimestamp(now, env.zone())
		}
		return now
	}
	days, _ := splitTimestamp(TzToTimestamp(now, env.zone()))
	switch v.special {
	case "tomorrow":
		days++
	case "yesterday":
		days--
	}
	ts := days*UsPerDay + v.us
	if !local {
		return TimestampToTz(ts, env.zone())
	}
	return ts
}

// ParseTimestamp is the input function of timestamp; a zone in the text is ignored. mod is the precision, -1 none.
func ParseTimestamp(env *Env, s string, mod int32) (int64, error) {
	v, e := decodeDatetime(s, env, false)
	if e != dtOK {
		return 0, e.report("timestamp", s)
	}
	if v.special != "" {
		return roundStamp(specialStamp(&v, env, true), mod), nil
	}
	if !v.haveDate {
		return 0, dtBadFormat.err("timestamp", s)
	}
	ts, ok := v.stamp()
	if !ok {
		return 0, errOut("timestamp", s)
	}
	return roundStamp(ts, mod), nil
}

func (v *dtValue) stamp() (int64, bool) {
	days := v.days()
	if days < int64(minDate) || days > endTimestamp/UsPerDay {
		return 0, false
	}
	ts := days*UsPerDay + v.us
	return ts, ts >= minTimestamp && validTimestamp(ts)
}

func roundStamp(ts int64, mod int32) int64 {
	if mod < 0 || isInfinite(ts) {
		return ts
	}
	return roundMicros(ts-pgEpochMicros, int(mod)) + pgEpochMicros
}

// ParseTimestamptz is the input function of timestamptz; a text without zone means the session's.
func ParseTimestamptz(env *Env, s string, mod int32) (int64, error) {
	v, e := decodeDatetime(s, env, false)
	if e != dtOK {
		return 0, e.report("timestamp with time zone", s)
	}
	if v.special != "" {
		ts := specialStamp(&v, env, false)
		if v.haveZone && v.special != "now" && v.special != "epoch" && !isInfinite(ts) {
			ts = specialStamp(&v, env, true) - int64(v.off)*UsPerSecond
		}
		return roundStamp(ts, mod), nil
	}
	if !v.haveDate {
		return 0, dtBadFormat.err("timestamp with time zone", s)
	}
	ts, ok := v.stamp()
	if ok {
		switch {
		case v.zone != nil:
			ts = TimestampToTz(ts, v.zone)
		case v.haveZone:
			ts -= int64(v.off) * UsPerSecond
		default:
			ts = TimestampToTz(ts, env.zone())
		}
	}
	if !ok || !validTimestamp(ts) {
		return 0, errOut("timestamp", s)
	}
	return roundStamp(ts, mod), nil
}

// ParseDate is the input function of date; a time in the text is ignored.
func ParseDate(env *Env, s string) (int32, error) {
	v, e := decodeDatetime(s, env, false)
	if e != dtOK {
		return 0, e.report("date", s)
	}
	switch v.special {
	case "":
	case "infinity":
		return DatePosInfinity, nil
	case "-infinity":
		return DateNegInfinity, nil
	default:
		return TimestampToDate(specialStamp(&v, env, true)), nil
	}
	if !v.haveDate {
		return 0, dtBadFormat.err("date", s)
	}
	d := v.days()
	if !validDate(d) {
		return 0, errOut("date", s)
	}
	return int32(d), nil
}

// ParseTime is the input function of time.
func ParseTime(env *Env, s string, mod int32) (int64, error) {
	v, e := decodeDatetime(s, env, true)
	if e != dtOK {
		return 0, e.report("time", s)
	}
	if v.special == "now" {
		_, v.us = splitTimestamp(specialStamp(&v, env, true))
	} else if !v.haveTime || v.special != "" {
		return 0, dtBadFormat.err("time", s)
	}
	if v.zone != nil && !v.haveDate && len(v.zone.periods) > 1 {
		return 0, dtBadFormat.err("time", s)
	}
	return roundMicros(v.us, precision(mod)), nil
}

func precision(mod int32) int {
	if mod < 0 {
		return 6
	}
	return int(mod)
}

// ParseTimetz is the input function of timetz.
func ParseTimetz(env *Env, s string, mod int32) ([16]byte, error) {
	v, e := decodeDatetime(s, env, true)
	if e != dtOK {
		return [16]byte{}, e.report("time with time zone", s)
	}
	var now int64
	if env != nil {
		now = env.Now
	}
	off := v.off
	switch {
	case v.special == "now":
		_, v.us = splitTimestamp(specialStamp(&v, env, true))
		off = env.zone().offset(now)
	case !v.haveTime || v.special != "":
		return [16]byte{}, dtBadFormat.err("time with time zone", s)
	case v.zone != nil:
		if !v.haveDate && len(v.zone.periods) > 1 {
			return [16]byte{}, dtBadFormat.err("time with time zone", s)
		}
		if v.haveDate {
			now, _ = v.stamp()
			now = TimestampToTz(now, v.zone)
		}
		off = v.zone.offset(now)
	case !v.haveZone:
		if v.haveDate {
			now, _ = v.stamp()
			now = TimestampToTz(now, env.zone())
		}
		off = env.zone().offset(now)
	}
	if off <= -16*3600 || off >= 16*3600 {
		return [16]byte{}, dtZoneOverflow.err("time with time zone", s)
	}
	return TimetzBytes(roundMicros(v.us, precision(mod)), int32(off)), nil
}
