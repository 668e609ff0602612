package fn

import (
	"math"
	"time"

	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// fieldMemo gives the canonical name of the unit in row i of column v, or what was
// written where it is unknown, for the error. A constant one is looked up once.
type fieldMemo struct {
	v     *vec.Vec
	given string
	name  string
}

func (m *fieldMemo) at(i int) string {
	if s := m.v.Str(i); m.name == "" || !m.v.Const && s != m.given {
		m.given = s
		if m.name = types.FieldOf(s); m.name == "" {
			m.name = s
		}
	}
	return m.name
}

// truncWidth gives the microseconds of units on a fixed grid from midnight, 0 for others.
func truncWidth(field string) int64 {
	switch field {
	case "milliseconds":
		return 1000
	case "second":
		return 1000000
	case "minute":
		return 60000000
	case "hour":
		return 3600000000
	case "day":
		return dayMicros
	}
	return 0
}

func truncTimestamps(_ *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
	if n == 0 {
		return
	}
	f, ts, o := fieldMemo{v: args[0]}, args[1].I64[:n], out.I64[:n]
	if w := int64(0); args[0].Const && !args[0].IsNull(0) {
		if w = truncWidth(f.at(0)); w > 0 {
			for i, t := range ts {
				r := t % w
				if r < 0 {
					r += w
				}
				if t <= math.MinInt64+dayMicros || t == math.MaxInt64 {
					r = 0 // infinities stay
				}
				o[i] = t - r
			}
			return
		}
	}
	for i, t := range ts {
		if out.IsNull(i) {
			continue
		}
		r, err := types.TruncTimestamp(f.at(i), t)
		if err != nil {
			out.Fail(i, err)
			continue
		}
		o[i] = r
	}
}

func truncTimestamptz(c *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
	f := fieldMemo{v: args[0]}
	z, loaded := c.Env.Zone, false
	for i := range n {
		if out.IsNull(i) {
			continue
		}
		if infinite(args[1].I64[i]) { // of any field, in any zone
			out.I64[i] = args[1].I64[i]
			continue
		}
		if len(args) == 3 && (!loaded || !args[2].Const) {
			loaded = true
			var err error
			if z, err = types.LoadZoneOrAbbrev(args[2].Str(i)); err != nil {
				out.Fail(i, err)
				continue
			}
		}
		r, err := types.TruncTimestamptz(f.at(i), args[1].I64[i], z)
		if err != nil {
			out.Fail(i, err)
			continue
		}
		out.I64[i] = r
	}
}

// extracts registers extract and date_part of one type.
func extracts[A value](t string, ext func(c *Ctx, f string, a A) (types.Decimal, error), part func(c *Ctx, f string, a A) (float64, error), opts ...option) {
	def("extract(text,"+t+") numeric", func(c *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
		f, a := fieldMemo{v: args[0]}, reader[A](args[1])
		for i := range n {
			if anyNull(args, i) {
				out.AppendNull()
				continue
			}
			d, err := ext(c, f.at(i), a(i))
			switch {
			case err == types.ErrNoField: // an infinite time has no hour
				out.AppendNull()
			case err != nil:
				failLane(out, i, err)
			default:
				appendDecimal(out, d)
			}
		}
	}, opts...)
	def("date_part(text,"+t+") float8", func(c *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
		f, a := fieldMemo{v: args[0]}, reader[A](args[1])
		for i := range n {
			if out.IsNull(i) {
				continue
			}
			x, err := part(c, f.at(i), a(i))
			if err == types.ErrNoField {
				out.SetNull(i)
				continue
			}
			if err != nil {
				out.Fail(i, err)
				continue
			}
			out.F64[i] = x
		}
	}, opts...)
}

// zoneless adapts an extraction that does not depend on the session's zone.
func zoneless[A, R any](f func(f string, a A) (R, error)) func(*Ctx, string, A) (R, error) {
	return func(_ *Ctx, name string, a A) (R, error) { return f(name, a) }
}

// roundTo rounds microseconds to a number of decimal digits of a second.
func roundTo(us int64, digits int32) int64 {
	if digits >= 6 || infinite(us) {
		return us
	}
	unit := int64(math.Pow10(6 - max(int(digits), 0)))
	r := us % unit
	if r < 0 {
		r += unit
	}
	us -= r
	if 2*r >= unit {
		us += unit
	}
	return us
}

func makeTimestamp(a []types.Datum) (int64, error) {
	d, err := types.MakeDate(int64(a[0].(int32)), int64(a[1].(int32)), int64(a[2].(int32)))
	if err != nil {
		return 0, err
	}
	us, err := types.MakeTime(int64(a[3].(int32)), int64(a[4].(int32)), a[5].(float64))
	if err != nil {
		return 0, err
	}
	t, err := types.DateToTimestamp(d)
	return t + us, err
}

func makeInterval(_ *Ctx, a []types.Datum) (types.Datum, error) {
	get := func(i int) int64 {
		if i < len(a) {
			return int64(a[i].(int32))
		}
		return 0
	}
	var secs float64
	if len(a) > 6 {
		secs = a[6].(float64)
	}
	months, days := get(0)*12+get(1), get(2)*7+get(3)
	us := float64(get(4))*3600e6 + float64(get(5))*60e6 + math.RoundToEven(secs*1e6)
	if months != int64(int32(months)) || days != int64(int32(days)) || !(math.Abs(us) < 1<<63) {
		return nil, errInterval
	}
	whole := (get(4)*60+get(5))*60000000 + int64(math.RoundToEven(secs*1e6))
	return types.Span{Months: int32(months), Days: int32(days), Micros: whole}.Bytes(), nil
}

func epochToTimestamptz(_ *Ctx, f float64) (int64, error) {
	switch {
	case f != f:
		return 0, pgerr.New(pgerr.DatetimeFieldOverflow, "timestamp cannot be NaN")
	case math.IsInf(f, 1):
		return types.PosInfinity, nil
	case math.IsInf(f, -1):
		return types.NegInfinity, nil
	}
	// From 2000 on, as PostgreSQL counts: the product is rounded.
	us := math.RoundToEven((f-946684800)*1e6) + 946684800e6
	if !(us >= -211813488000000000 && us < 9223371331200000000) {
		return 0, pgerr.New(pgerr.DatetimeFieldOverflow, "timestamp out of range: \"%g\"", f)
	}
	return int64(us), nil
}

// zoneOf gives the zone of a timezone() call's first argument.
func zoneOf(name string) (*types.Zone, error) { return types.LoadZoneOrAbbrev(name) }

func zoneOfSpan(s types.Span) (*types.Zone, error) {
	if s.Months != 0 || s.Days != 0 {
		return nil, pgerr.New(pgerr.InvalidParameterValue, "interval time zone must not include months or days")
	}
	return types.FixedZone(int(s.Micros / 1000000)), nil
}

// atZone registers timezone(zone, x) for a kind of zone argument.
func atZone[Z value](t string, zone func(Z) (*types.Zone, error)) {
	// The zone is looked up again only where it differs from the row before.
	memo := func(f func(z *types.Zone, t int64) int64) Kernel {
		return func(_ *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
			zs := reader[Z](args[0])
			var z *types.Zone
			var err error
			for i := range n {
				if out.IsNull(i) {
					continue
				}
				if infinite(args[1].I64[i]) { // before the zone is looked up, as PostgreSQL does
					out.I64[i] = args[1].I64[i]
					continue
				}
				if z == nil && err == nil || !args[0].Const {
					z, err = zone(zs(i))
				}
				if err != nil {
					out.Fail(i, err)
					continue
				}
				out.I64[i] = f(z, args[1].I64[i])
			}
		}
	}
	def("timezone("+t+",timestamp) timestamptz", memo(func(z *types.Zone, t int64) int64 { return types.TimestampToTz(t, z) }))
	def("timezone("+t+",timestamptz) timestamp", memo(func(z *types.Zone, t int64) int64 { return types.TzToTimestamp(t, z) }))
	def("timezone("+t+",timetz) timetz", row2e(func(c *Ctx, a Z, b [16]byte) ([16]byte, error) {
		z, err := zone(a)
		if err != nil {
			return b, err
		}
		us, east := types.TimetzOf(b)
		off, _, _ := z.Offset(c.Now)
		return types.TimetzBytes(timeOfDay(us+int64(off-int(east))*1000000), int32(off)), nil
	}), stable)
}

// overlaps is the predicate (s1, e1) OVERLAPS (s2, e2): NULLs as PostgreSQL reads the standard.
func overlaps(cmp func(a, b types.Datum) int) func(s1, e1, s2, e2 types.Datum) types.Datum {
	order := func(s, e types.Datum) (types.Datum, types.Datum) {
		if s == nil || e != nil && cmp(s, e) > 0 {
			return e, s
		}
		return s, e
	}
	return func(s1, e1, s2, e2 types.Datum) types.Datum {
		if s1 == nil && e1 == nil || s2 == nil && e2 == nil {
			return nil
		}
		s1, e1 = order(s1, e1)
		s2, e2 = order(s2, e2)
		if cmp(s1, s2) > 0 {
			s1, e1, s2, e2 = s2, e2, s1, e1
		}
		switch {
		case cmp(s1, s2) == 0:
			if e1 == nil || e2 == nil {
				return nil
			}
			return true
		case e1 == nil:
			return nil
		}
		if cmp(s2, e1) < 0 {
			return true
		}
		if e2 == nil {
			return nil
		}
		return false
	}
}

func overlapsDef(t string, add func(c *Ctx, a types.Datum, s types.Span) (types.Datum, error)) {
	typ := mustType(t)
	test := overlaps(func(a, b types.Datum) int { return types.Compare(typ, a, b) })
	for _, sig := range [][2]string{{t, t}, {"interval", t}, {t, "interval"}, {"interval", "interval"}} {
		if add == nil && (sig[0] != t || sig[1] != t) {
			continue
		}
		end := func(c *Ctx, s, e types.Datum, kind string) (types.Datum, error) {
			if kind == t {
				return e, nil
			}
			if s == nil || e == nil {
				return nil, nil
			}
			return add(c, s, types.SpanOf(e.([16]byte)))
		}
		def("overlaps("+t+","+sig[0]+","+t+","+sig[1]+") bool", rowD(func(c *Ctx, a []types.Datum) (types.Datum, error) {
			e1, err := end(c, a[0], a[1], sig[0])
			if err != nil {
				return nil, err
			}
			e2, err := end(c, a[2], a[3], sig[1])
			if err != nil {
				return nil, err
			}
			return test(a[0], e1, a[2], e2), nil
		}, false), nonStrict)
	}
}

func init() {
	for _, name := range []string{"now", "current_timestamp", "transaction_timestamp"} {
		def(name+"() timestamptz", row0(func(c *Ctx) int64 { return c.Now }), stable)
	}
	def("statement_timestamp() timestamptz", row0(func(c *Ctx) int64 { return c.StmtNow }), stable)
	def("clock_timestamp() timestamptz", row0(clock), volatile)
	def("timeofday() text", row0(func(c *Ctx) string {
		t := time.UnixMicro(clock(c)).UTC()
		off, _, abbrev := c.Env.Zone.Offset(t.UnixMicro())
		return t.Add(time.Duration(off)*time.Second).Format("Mon Jan 02 15:04:05.000000 2006 ") + abbrev
	}), volatile)
	local := func(c *Ctx) int64 { return types.TzToTimestamp(c.Now, c.Env.Zone) }
	def("localtimestamp() timestamp", row0(local), stable)
	def("localtimestamp(int4) timestamp", row1e(func(c *Ctx, p int32) (int64, error) { return roundTo(local(c), p), nil }), stable)
	def("current_timestamp(int4) timestamptz", row1e(func(c *Ctx, p int32) (int64, error) { return roundTo(c.Now, p), nil }), stable)
	def("current_date() date", row0(func(c *Ctx) int32 { return types.TimestampToDate(local(c)) }), stable)
	def("localtime() time", row0(func(c *Ctx) int64 { return timeOfDay(local(c)) }), stable)
	def("localtime(int4) time", row1e(func(c *Ctx, p int32) (int64, error) { return roundTo(timeOfDay(local(c)), p), nil }), stable)
	timetzNow := func(c *Ctx, p int32) [16]byte {
		off, _, _ := c.Env.Zone.Offset(c.Now)
		return types.TimetzBytes(roundTo(timeOfDay(local(c)), p), int32(off))
	}
	def("current_time() timetz", row0(func(c *Ctx) [16]byte { return timetzNow(c, 6) }), stable)
	def("current_time(int4) timetz", row1e(func(c *Ctx, p int32) ([16]byte, error) { return timetzNow(c, p), nil }), stable)

	def("date_trunc(text,timestamp) timestamp", truncTimestamps)
	def("date_trunc(text,timestamptz) timestamptz", truncTimestamptz, stable)
	def("date_trunc(text,timestamptz,text) timestamptz", truncTimestamptz, stable)
	def("date_trunc(text,interval) interval", row2e(func(_ *Ctx, f string, s types.Span) (types.Span, error) { return types.TruncInterval(f, s) }))
	bin := row3e(func(_ *Ctx, s types.Span, ts, origin int64) (int64, error) { return types.DateBin(s, ts, origin) })
	def("date_bin(interval,timestamp,timestamp) timestamp", bin)
	def("date_bin(interval,timestamptz,timestamptz) timestamptz", bin)

	extracts("timestamp", zoneless(types.ExtractTimestamp), zoneless(types.PartTimestamp))
	extracts("timestamptz", func(c *Ctx, f string, t int64) (types.Decimal, error) {
		return types.ExtractTimestamptz(f, t, c.Env.Zone)
	}, func(c *Ctx, f string, t int64) (float64, error) { return types.PartTimestamptz(f, t, c.Env.Zone) }, stable)
	extracts("date", zoneless(types.ExtractDate), zoneless(types.PartDate))
	extracts("time", zoneless(types.ExtractTime), zoneless(types.PartTime))
	extracts("timetz", zoneless(types.ExtractTimetz), zoneless(types.PartTimetz))
	extracts("interval", zoneless(types.ExtractInterval), zoneless(types.PartInterval))

	def("age(timestamp,timestamp) interval", row2e(func(_ *Ctx, a, b int64) (types.Span, error) { return types.Age(a, b) }))
	def("age(timestamptz,timestamptz) interval", row2e(func(c *Ctx, a, b int64) (types.Span, error) { return types.AgeTz(a, b, c.Env.Zone) }), stable)
	midnight := func(c *Ctx) int64 { t := local(c); return t - timeOfDay(t) }
	def("age(timestamp) interval", row1e(func(c *Ctx, a int64) (types.Span, error) { return types.Age(midnight(c), a) }), stable)
	def("age(timestamptz) interval", row1e(func(c *Ctx, a int64) (types.Span, error) {
		return types.Age(midnight(c), types.TzToTimestamp(a, c.Env.Zone))
	}), stable)
	def("age(xid) int4", row1(func(x int64) int32 { return math.MaxInt32 }), stable)

	def("make_date(int4,int4,int4) date", row3e(func(_ *Ctx, y, m, d int32) (int32, error) { return types.MakeDate(int64(y), int64(m), int64(d)) }), named("year", "month", "day"))
	def("make_time(int4,int4,float8) time", row3e(func(_ *Ctx, h, m int32, s float64) (int64, error) { return types.MakeTime(int64(h), int64(m), s) }), named("hour", "min", "sec"))
	ymd := named("year", "month", "mday", "hour", "min", "sec", "timezone")
	def("make_timestamp(int4,int4,int4,int4,int4,float8) timestamp", rowD(func(_ *Ctx, a []types.Datum) (types.Datum, error) { return makeTimestamp(a) }, true), ymd)
	def("make_timestamptz(int4,int4,int4,int4,int4,float8) timestamptz", rowD(func(c *Ctx, a []types.Datum) (types.Datum, error) {
		t, err := makeTimestamp(a)
		return types.TimestampToTz(t, c.Env.Zone), err
	}, true), stable, ymd)
	def("make_timestamptz(int4,int4,int4,int4,int4,float8,text) timestamptz", rowD(func(_ *Ctx, a []types.Datum) (types.Datum, error) {
		t, err := makeTimestamp(a)
		if err != nil {
			return nil, err
		}
		name := a[6].(string)
		if name != "" && name[0] >= '0' && name[0] <= '9' {
			return nil, pgerr.New(pgerr.InvalidParameterValue, "invalid input syntax for type numeric time zone: \"%s\"", name).
				WithHint("Numeric time zones must have \"-\" or \"+\" as first character.")
		}
		z, err := types.LoadZoneOrAbbrev(name)
		// A bare offset counts east here, as in a literal.
		if err == nil && name != "" && (name[0] == '+' || name[0] == '-') {
			off, _, _ := z.Offset(0)
			z = types.FixedZone(-off)
		}
		return types.TimestampToTz(t, z), err
	}, true), stable, ymd)
	def("make_interval(int4,int4,int4,int4,int4,int4,float8) interval", rowD(makeInterval, true), defaults("0", "0", "0", "0", "0", "0", "0"),
		named("years", "months", "weeks", "days", "hours", "mins", "secs"))
	def("to_timestamp(float8) timestamptz", row1e(epochToTimestamptz))

	defs([]string{"isfinite(timestamp) bool", "isfinite(timestamptz) bool"}, row1(func(t int64) bool { return !infinite(t) }))
	def("isfinite(date) bool", row1(func(d int32) bool { return !infiniteDate(d) }))
	def("isfinite(interval) bool", row1(func([16]byte) bool { return true }))
	def("justify_days(interval) interval", row1e(func(_ *Ctx, s types.Span) (types.Span, error) { return s.JustifyDays() }))
	def("justify_hours(interval) interval", row1e(func(_ *Ctx, s types.Span) (types.Span, error) { return s.JustifyHours() }))
	def("justify_interval(interval) interval", row1e(func(_ *Ctx, s types.Span) (types.Span, error) { return s.Justify() }))
	atZone("text", zoneOf)
	atZone("interval", zoneOfSpan)

	overlapsDef("timestamp", func(_ *Ctx, a types.Datum, s types.Span) (types.Datum, error) { return types.AddSpan(a.(int64), s) })
	overlapsDef("timestamptz", func(c *Ctx, a types.Datum, s types.Span) (types.Datum, error) {
		return types.AddSpanTz(a.(int64), s, c.Env.Zone)
	})
	overlapsDef("time", func(_ *Ctx, a types.Datum, s types.Span) (types.Datum, error) {
		return timeOfDay(a.(int64) + s.Micros%dayMicros), nil
	})
	overlapsDef("timetz", nil)
}

// clock reads the wall clock, which tests may replace.
func clock(c *Ctx) int64 {
	if c.Clock != nil {
		return c.Clock()
	}
	return time.Now().UnixMicro()
}
