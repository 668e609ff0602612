package fn

import (
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// toChar adapts a to_char; an empty format or an infinite time gives NULL.
func toChar[A value](f func(c *Ctx, a A, format string) (string, bool, error)) Kernel {
	return func(c *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
		a := reader[A](args[0])
		for i := range n {
			if anyNull(args, i) || args[1].Off[i] == args[1].Off[i+1] {
				out.AppendNull()
				continue
			}
			s, ok, err := f(c, a(i), args[1].Str(i))
			switch {
			case err != nil:
				failLane(out, i, err)
			case !ok:
				out.AppendNull()
			default:
				out.AppendStr(s)
			}
		}
	}
}

func numberToChar[A value](conv func(a A) types.Decimal) Kernel {
	return row2e(func(_ *Ctx, a A, format string) (string, error) { return types.ToCharNumeric(conv(a), format) })
}

func floatToChar[A float32 | float64](conv func(a A) types.Decimal, digits int) Kernel {
	return row2e(func(_ *Ctx, a A, format string) (string, error) {
		return types.ToCharFloat(float64(a), conv(a), digits, format)
	})
}

func init() {
	def("to_char(timestamp,text) text", toChar(func(_ *Ctx, t int64, format string) (string, bool, error) {
		if infinite(t) {
			return "", false, nil
		}
		s, err := types.ToCharTimestamp(t, format)
		return s, true, err
	}), stable)
	def("to_char(timestamptz,text) text", toChar(func(c *Ctx, t int64, format string) (string, bool, error) {
		if infinite(t) {
			return "", false, nil
		}
		s, err := types.ToCharTimestamptz(t, c.Env.Zone, format)
		return s, true, err
	}), stable)
	def("to_char(interval,text) text", toChar(func(_ *Ctx, s types.Span, format string) (string, bool, error) {
		r, err := types.ToCharInterval(s, format)
		return r, true, err
	}), stable)
	def("to_char(int4,text) text", numberToChar(func(x int32) types.Decimal { return types.NumericFromInt64(int64(x)) }), stable)
	def("to_char(int8,text) text", numberToChar(types.NumericFromInt64), stable)
	def("to_char(numeric,text) text", numberToChar(func(d types.Decimal) types.Decimal { return d }), stable)
	def("to_char(float4,text) text", floatToChar(types.NumericFromFloat32, 6), stable)
	def("to_char(float8,text) text", floatToChar(types.NumericFromFloat64, 15), stable)
	def("to_timestamp(text,text) timestamptz", row2e(func(c *Ctx, s, format string) (int64, error) { return types.ToTimestamp(&c.Env, s, format) }), stable)
	def("to_date(text,text) date", row2e(func(_ *Ctx, s, format string) (int32, error) { return types.ToDate(s, format) }), stable)
	def("to_number(text,text) numeric", rowD(func(_ *Ctx, a []types.Datum) (types.Datum, error) {
		if a[1] == "" {
			return nil, nil
		}
		d, err := types.ToNumber(a[0].(string), a[1].(string))
		if err != nil {
			return nil, err
		}
		return d.Encode(), nil
	}, true), stable)
}
