package types

import (
	"strings"
	"unicode/utf8"

	"streamsql/internal/pgerr"
)

// Clock is what a template of date and time reads: a date, a time of day, or both, with or without a zone.
type Clock struct {
	T    T     // date, time, timetz, timestamp or timestamptz
	Days int64 // since 1970-01-01, of a date
	Us   int64 // of a time: of the day; of a timestamp: since 1970-01-01 00:00:00, for timestamptz in UTC
	East int32 // seconds east of UTC, of timetz and timestamptz
}

// ParseClock reads s by a template as the SQL standard does, which jsonpath's datetime() wants: separators must be
// those of the template, nothing may be left over, and the template decides the type.
func ParseClock(s, format string) (c Clock, err error) {
	bad := func(message string, args ...any) (Clock, error) {
		return c, pgerr.New(pgerr.InvalidDatetimeFormat, message, args...)
	}
	nodes, fx := splitDateFormat(format)
	dated, timed, zoned := false, false, false
	for _, n := range nodes {
		switch n.key {
		case "":
			if r, _ := utf8.DecodeRuneInString(n.text); !n.quot && !strings.ContainsRune("-./,':; ", r) {
				return bad("invalid datetime format separator: \"%s\"", n.text)
			}
		case "HH24", "HH12", "HH", "MI", "SS", "MS", "US", "FF1", "FF2", "FF3", "FF4", "FF5", "FF6", "SSSS", "SSSSS", "AM", "PM", "A.M.", "P.M.":
			timed = true
		case "TZH", "TZM":
			zoned = true
		case "TZ", "OF":
			return c, pgerr.New(pgerr.FeatureNotSupported, "formatting field \"%s\" is only supported in to_char", n.raw)
		default:
			dated = true
		}
	}
	f := &fromChar{}
	rest := s
	for i, n := range nodes {
		if n.key == "" {
			for _, want := range n.text {
				r, w := utf8.DecodeRuneInString(rest)
				if rest == "" {
					return bad("input string is too short for datetime format")
				}
				if r != want {
					if n.quot {
						return bad("unmatched format character \"%c\"", want)
					}
					return bad("unmatched format separator \"%c\"", want)
				}
				rest = rest[w:]
			}
			continue
		}
		if !fx {
			rest = strings.TrimLeft(rest, spaces)
		}
		if rest == "" {
			return bad("input string is too short for datetime format")
		}
		if rest, err = f.read(n, rest, nextIsDigit(nodes, i), false); err != nil {
			return c, err
		}
	}
	if strings.TrimLeft(rest, spaces) != "" {
		return bad("trailing characters remain in input string after datetime format")
	}
	if dated || timed {
		c.Days, c.Us, err = f.resolve(s)
		if err != nil {
			return c, err
		}
	}
	c.East = int32(f.east())
	switch {
	case dated && timed && zoned:
		c.T, c.Us = Timestamptz, c.Days*UsPerDay+c.Us-int64(c.East)*UsPerSecond
	case dated && timed:
		c.T, c.Us = Timestamp, c.Days*UsPerDay+c.Us
	case dated && zoned:
		return bad("datetime format is zoned but not timed")
	case dated:
		c.T = Date
	case timed && zoned:
		c.T = Timetz
	case timed:
		c.T = Time
	default:
		return bad("datetime format is not dated and not timed")
	}
	if dated && (c.Days < int64(minDate) || c.Days >= endTimestamp/UsPerDay) {
		return c, errOut("timestamp", s)
	}
	return c, nil
}
