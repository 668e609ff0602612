package fn

import (
	"math"

	"streamsql/internal/types"
	"streamsql/internal/vec"
)

func infinite(ts int64) bool { return ts == types.PosInfinity || ts == types.NegInfinity }

func infiniteDate(d int32) bool { return d == types.DatePosInfinity || d == types.DateNegInfinity }

// addSpans gives the kernel of timestamp + sign*interval. Constant spans without
// months, the usual ones, are plain additions. In a zone, days move the local time.
func addSpans(tsArg, spanArg int, negate, zoned bool) Kernel {
	return func(c *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
		if n == 0 {
			return
		}
		ts, sp, o := args[tsArg].I64[:n], args[spanArg].F16[:n], out.I64[:n]
		if s := types.SpanOf(sp[0]); args[spanArg].Const && s.Months == 0 && (!zoned || s.Days == 0) && s.Days > -1<<20 && s.Days < 1<<20 && s.Micros > math.MinInt64/4 && s.Micros < math.MaxInt64/4 {
			d := int64(s.Days)*dayMicros + s.Micros
			if negate {
				d = -d
			}
			odd := false
			for i, t := range ts {
				r := t + d
				o[i] = r
				odd = odd || r >= endPlainTime || r < -endPlainTime || t >= endPlainTime || t < -endPlainTime
			}
			if !odd {
				return
			}
		}
		for i, t := range ts {
			if out.IsNull(i) {
				continue
			}
			s := types.SpanOf(sp[i])
			r, err := addSpan(c, t, s, negate, zoned)
			if err != nil {
				out.Fail(i, err)
				continue
			}
			o[i] = r
		}
	}
}

// endPlainTime bounds the timestamps (years 0 to 3900 about) that additions need not check.
const endPlainTime = 1 << 56

func addSpan(c *Ctx, t int64, s types.Span, negate, zoned bool) (int64, error) {
	if infinite(t) {
		return t, nil
	}
	if negate {
		var err error
		if s, err = s.Neg(); err != nil {
			return 0, err
		}
	}
	if zoned {
		return types.AddSpanTz(t, s, c.Env.Zone)
	}
	return types.AddSpan(t, s)
}

func dateSpan(negate bool) func(c *Ctx, d int32, s types.Span) (int64, error) {
	return func(c *Ctx, d int32, s types.Span) (int64, error) {
		t, err := types.DateToTimestamp(d)
		if err != nil {
			return 0, err
		}
		return addSpan(c, t, s, negate, false)
	}
}

func dateTime(_ *Ctx, d int32, us int64) (int64, error) {
	t, err := types.DateToTimestamp(d)
	if err != nil || infinite(t) {
		return t, err
	}
	return t + us, nil
}

func dateTimetz(c *Ctx, d int32, z [16]byte) (int64, error) {
	us, east := types.TimetzOf(z)
	t, err := dateTime(c, d, us)
	if err != nil || infinite(t) {
		return t, err
	}
	return t - int64(east)*1000000, nil
}

func timeOfDay(us int64) int64 {
	us %= dayMicros
	if us < 0 {
		us += dayMicros
	}
	return us
}

func timetzSpan(b [16]byte, us int64) [16]byte {
	t, east := types.TimetzOf(b)
	return types.TimetzBytes(timeOfDay(t+us%dayMicros), east)
}

func addDays(_ *Ctx, d, n int32) (int32, error) { return types.AddDays(d, n) }

func subDays(_ *Ctx, d, n int32) (int32, error) {
	if infiniteDate(d) {
		return d, nil
	}
	if n == math.MinInt32 {
		return 0, errDate
	}
	return types.AddDays(d, -n)
}

func swap2[A, B, R any](f func(c *Ctx, a A, b B) (R, error)) func(c *Ctx, b B, a A) (R, error) {
	return func(c *Ctx, b B, a A) (R, error) { return f(c, a, b) }
}

func subTimestamps(_ *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
	a, b := args[0].I64[:n], args[1].I64[:n]
	for i := range a {
		if out.IsNull(i) {
			continue
		}
		s, err := types.SubTimestamps(a[i], b[i])
		if err != nil {
			out.Fail(i, err)
			continue
		}
		out.F16[i] = s.Bytes()
	}
}

func timestampToTime(us int64) int64 { return timeOfDay(us) }

func datesToTimestamps(_ *Ctx, in, out *vec.Vec, n int, _ int32, _ bool) {
	for i, d := range in.I32[:n] {
		if d > -100000000 && d < 100000000 {
			out.I64[i] = int64(d) * dayMicros
			continue
		}
		if out.IsNull(i) {
			continue
		}
		t, err := types.DateToTimestamp(d)
		if err != nil {
			out.Fail(i, err)
			continue
		}
		out.I64[i] = t
	}
}

func timestampsToDates(_ *Ctx, in, out *vec.Vec, n int, _ int32, _ bool) {
	for i, t := range in.I64[:n] {
		out.I32[i] = types.TimestampToDate(t)
	}
}

func timestampsToTz(c *Ctx, in, out *vec.Vec, n int, _ int32, _ bool) {
	z := c.Env.Zone
	for i, t := range in.I64[:n] {
		out.I64[i] = types.TimestampToTz(t, z)
	}
}

func tzToTimestamps(c *Ctx, in, out *vec.Vec, n int, _ int32, _ bool) {
	z := c.Env.Zone
	for i, t := range in.I64[:n] {
		out.I64[i] = types.TzToTimestamp(t, z)
	}
}

func init() {
	op("timestamp + interval timestamp", addSpans(0, 1, false, false))
	op("interval + timestamp timestamp", addSpans(1, 0, false, false))
	op("timestamp - interval timestamp", addSpans(0, 1, true, false))
	op("timestamptz + interval timestamptz", addSpans(0, 1, false, true), stable)
	op("interval + timestamptz timestamptz", addSpans(1, 0, false, true), stable)
	op("timestamptz - interval timestamptz", addSpans(0, 1, true, true), stable)
	op("timestamp - timestamp interval", subTimestamps)
	op("timestamptz - timestamptz interval", subTimestamps)
	op("date + int4 date", row2e(addDays))
	op("int4 + date date", row2e(swap2(addDays)))
	op("date - int4 date", row2e(subDays))
	op("date - date int4", row2e(func(_ *Ctx, a, b int32) (int32, error) { return types.SubDates(a, b) }))
	op("date + interval timestamp", row2e(dateSpan(false)))
	op("interval + date timestamp", row2e(swap2(dateSpan(false))))
	op("date - interval timestamp", row2e(dateSpan(true)))
	op("date + time timestamp", row2e(dateTime))
	op("time + date timestamp", row2e(swap2(dateTime)))
	op("date + timetz timestamptz", row2e(dateTimetz))
	op("timetz + date timestamptz", row2e(swap2(dateTimetz)))
	op("time + interval time", row2(func(t int64, s types.Span) int64 { return timeOfDay(t + s.Micros%dayMicros) }))
	op("interval + time time", row2(func(s types.Span, t int64) int64 { return timeOfDay(t + s.Micros%dayMicros) }))
	op("time - interval time", row2(func(t int64, s types.Span) int64 { return timeOfDay(t - s.Micros%dayMicros) }))
	op("time - time interval", row2(func(a, b int64) types.Span { return types.Span{Micros: a - b} }))
	op("timetz + interval timetz", row2(func(t [16]byte, s types.Span) [16]byte { return timetzSpan(t, s.Micros) }))
	op("interval + timetz timetz", row2(func(s types.Span, t [16]byte) [16]byte { return timetzSpan(t, s.Micros) }))
	op("timetz - interval timetz", row2(func(t [16]byte, s types.Span) [16]byte { return timetzSpan(t, -(s.Micros % dayMicros)) }))
	op("interval + interval interval", row2e(func(_ *Ctx, a, b types.Span) (types.Span, error) { return a.Add(b) }))
	op("interval - interval interval", row2e(func(_ *Ctx, a, b types.Span) (types.Span, error) { return a.Sub(b) }))
	op("- interval interval", row1e(func(_ *Ctx, a types.Span) (types.Span, error) { return a.Neg() }))
	op("interval * float8 interval", row2e(func(_ *Ctx, a types.Span, f float64) (types.Span, error) { return a.Mul(f) }))
	op("float8 * interval interval", row2e(func(_ *Ctx, f float64, a types.Span) (types.Span, error) { return a.Mul(f) }))
	op("interval / float8 interval", row2e(func(_ *Ctx, a types.Span, f float64) (types.Span, error) { return a.Div(f) }))

	defCast("date", "timestamp", Implicit, datesToTimestamps)
	defCast("date", "timestamptz", Implicit, func(c *Ctx, in, out *vec.Vec, n int, mod int32, explicit bool) {
		datesToTimestamps(c, in, out, n, mod, explicit)
		for i, t := range out.I64[:n] {
			out.I64[i] = types.TimestampToTz(t, c.Env.Zone)
		}
	})
	defCast("timestamp", "date", Assignment, timestampsToDates)
	defCast("timestamptz", "date", Assignment, func(c *Ctx, in, out *vec.Vec, n int, _ int32, _ bool) {
		for i, t := range in.I64[:n] {
			out.I32[i] = types.TimestampToDate(types.TzToTimestamp(t, c.Env.Zone))
		}
	})
	defCast("timestamp", "timestamptz", Implicit, timestampsToTz)
	defCast("timestamptz", "timestamp", Assignment, tzToTimestamps)
	defCast("timestamp", "time", Assignment, unary(rowD(func(_ *Ctx, a []datum) (datum, error) {
		if infinite(a[0].(int64)) {
			return nil, nil
		}
		return timestampToTime(a[0].(int64)), nil
	}, true)))
	defCast("timestamptz", "time", Assignment, unary(rowD(func(c *Ctx, a []datum) (datum, error) {
		if infinite(a[0].(int64)) {
			return nil, nil
		}
		return timestampToTime(types.TzToTimestamp(a[0].(int64), c.Env.Zone)), nil
	}, true)))
	defCast("timestamptz", "timetz", Assignment, unary(rowD(func(c *Ctx, a []datum) (datum, error) {
		t := a[0].(int64)
		if infinite(t) {
			return nil, nil
		}
		east, _, _ := c.Env.Zone.Offset(t)
		return types.TimetzBytes(timeOfDay(t+int64(east)*1000000), int32(east)), nil
	}, true)))
	defCast("time", "timetz", Implicit, unary(row1e(func(c *Ctx, t int64) ([16]byte, error) {
		now := types.TzToTimestamp(c.Now, c.Env.Zone)
		local := now - timeOfDay(now) + t
		east, _, _ := c.Env.Zone.Offset(types.TimestampToTz(local, c.Env.Zone))
		return types.TimetzBytes(t, int32(east)), nil
	})))
	defCast("timetz", "time", Assignment, unary(row1(func(b [16]byte) int64 { us, _ := types.TimetzOf(b); return us })))
	defCast("time", "interval", Implicit, unary(row1(func(t int64) types.Span { return types.Span{Micros: t} })))
	defCast("interval", "time", Assignment, unary(row1(func(s types.Span) int64 { return timeOfDay(s.Micros) })))
}
