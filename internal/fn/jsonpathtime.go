package fn

import (
	"cmp"

	"streamsql/internal/pgerr"
	"streamsql/internal/types"
)

// pathTime is a date, time or timestamp that datetime() made.
type pathTime struct {
	t types.T
	types.Clock
}

// String writes it as ISO 8601 does; a timestamp keeps the zone that it came with.
func (p *pathTime) String() string {
	iso := &types.Env{}
	var b []byte
	switch p.t.OID {
	case types.OIDDate:
		return string(types.AppendText(nil, iso, p.t, int32(p.Days)))
	case types.OIDTime:
		return string(types.AppendText(nil, iso, p.t, p.Us))
	case types.OIDTimetz:
		return string(fullOffset(types.AppendText(nil, iso, p.t, types.TimetzBytes(p.Us, p.East))))
	case types.OIDTimestamptz:
		b = types.AppendText(nil, iso, types.Timestamp, p.Us+int64(p.East)*types.UsPerSecond)
		zone := types.AppendText(nil, iso, types.Timetz, types.TimetzBytes(0, p.East))
		b = append(b, fullOffset(zone[len("00:00:00"):])...)
	default:
		b = types.AppendText(nil, iso, p.t, p.Us)
	}
	for i, c := range b {
		if c == ' ' {
			b[i] = 'T'
			break
		}
	}
	return string(b)
}

// pathTemplates are tried in turn where datetime() has no template.
var pathTemplates = []string{"yyyy-mm-dd", "HH24:MI:SSTZH:TZM", "HH24:MI:SSTZH", "HH24:MI:SS",
	"yyyy-mm-dd HH24:MI:SSTZH:TZM", "yyyy-mm-dd HH24:MI:SSTZH", "yyyy-mm-dd HH24:MI:SS",
	`yyyy-mm-dd"T"HH24:MI:SSTZH:TZM`, `yyyy-mm-dd"T"HH24:MI:SSTZH`, `yyyy-mm-dd"T"HH24:MI:SS`}

// datetime is the method .datetime().
func (r *pathRun) datetime(x *types.JSONPathItem, v pathValue, found *[]pathValue) pathStatus {
	if v.kind != pathString {
		return r.fail(codeDatetimeArgument, "jsonpath item method .datetime() can only be applied to a string")
	}
	var c types.Clock
	var err error
	if x.Left != nil {
		if c, err = types.ParseClock(v.str, x.Left.Str); err != nil {
			if r.throw {
				return r.abort(err)
			}
			return pathError
		}
	} else {
		for _, template := range pathTemplates {
			if c, err = types.ParseClock(v.str, template); err == nil {
				break
			}
		}
		if err != nil {
			if !r.throw {
				return pathError
			}
			return r.abort(pgerr.New(codeDatetimeArgument, "datetime format is not recognized: \"%s\"", v.str).
				WithHint("Use a datetime template argument for specifying the input data format."))
		}
	}
	return r.value(x, pathValue{kind: pathDatetime, time: pathTime{c.T, c}}, found)
}

// needsZone fails where a comparison depends on the session's zone and the function is not a *_tz one.
func (r *pathRun) needsZone(a, b types.T) bool {
	if r.zoned {
		return true
	}
	r.abort(pgerr.New(pgerr.FeatureNotSupported, "cannot convert value from %s to %s without time zone usage", a.Name(), b.Name()).
		WithHint("Use *_tz() function for time zone support."))
	return false
}

// compareTimes orders two values; ok is false where they cannot be compared.
func (r *pathRun) compareTimes(a, b *pathTime) (c int, ok bool) {
	day := func(t types.T) bool {
		return t.OID == types.OIDDate || t.OID == types.OIDTimestamp || t.OID == types.OIDTimestamptz
	}
	if day(a.t) != day(b.t) {
		return 0, false
	}
	zoned := func(t types.T) bool { return t.OID == types.OIDTimestamptz || t.OID == types.OIDTimetz }
	if zoned(a.t) != zoned(b.t) {
		from, to := a.t, b.t
		if zoned(from) {
			from, to = to, from
		}
		if !r.needsZone(from, to) {
			return 0, false
		}
	}
	both := zoned(a.t) || zoned(b.t)
	if !day(a.t) {
		x, y := a.Clock, b.Clock
		if both {
			for i, c := range []*types.Clock{&x, &y} {
				if [2]*pathTime{a, b}[i].t.OID == types.OIDTime {
					east, _, _ := r.env.Zone.Offset(r.now)
					c.East = int32(east)
				}
			}
			// Instants first, then zones.
			if d := cmp.Compare(x.Us-int64(x.East)*types.UsPerSecond, y.Us-int64(y.East)*types.UsPerSecond); d != 0 {
				return d, true
			}
			return cmp.Compare(y.East, x.East), true
		}
		return cmp.Compare(x.Us, y.Us), true
	}
	instant := func(p *pathTime) int64 {
		us := p.Us
		if p.t.OID == types.OIDDate {
			us = p.Days * types.UsPerDay
		}
		if both && !zoned(p.t) {
			return types.TimestampToTz(us, r.env.Zone)
		}
		return us
	}
	return cmp.Compare(instant(a), instant(b)), true
}
