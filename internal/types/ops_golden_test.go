package types

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// opSQL gives the SQL of an operation of ops.golden; %1 to %3 are its arguments, quoted.
var opSQL = map[string]string{
	"add": "%1::numeric + %2::numeric", "sub": "%1::numeric - %2::numeric", "mul": "%1::numeric * %2::numeric",
	"div": "%1::numeric / %2::numeric", "mod": "%1::numeric %% %2::numeric", "quo": "div(%1::numeric, %2::numeric)",
	"round": "round(%1::numeric, %2::int)", "trunc": "trunc(%1::numeric, %2::int)", "ceil": "ceil(%1::numeric)", "floor": "floor(%1::numeric)",
	"sqrt": "sqrt(%1::numeric)", "exp": "exp(%1::numeric)", "ln": "ln(%1::numeric)", "log10": "log(%1::numeric)", "log": "log(%1::numeric, %2::numeric)",
	"power": "power(%1::numeric, %2::numeric)", "cmp": "CASE WHEN %1::numeric < %2::numeric THEN -1 WHEN %1::numeric = %2::numeric THEN 0 ELSE 1 END",
	"neg": "-(%1::numeric)", "abs": "abs(%1::numeric)", "trim": "trim_scale(%1::numeric)", "minscale": "min_scale(%1::numeric)",
	"gcd": "gcd(%1::numeric, %2::numeric)", "lcm": "lcm(%1::numeric, %2::numeric)", "fact": "factorial(%1::bigint)",
	"f8": "%1::float8::numeric", "f4": "%1::float4::numeric", "tof8": "%1::numeric::float8", "int8": "%1::numeric::int8",
	"tsadd": "%1::timestamp + %2::interval", "tzadd": "%1::timestamptz + %2::interval", "tssub": "%1::timestamp - %2::timestamp",
	"trunc_ts": "date_trunc(%1, %2::timestamp)", "trunc_tz": "date_trunc(%1, %2::timestamptz)", "trunc_iv": "date_trunc(%1, %2::interval)",
	"ext_ts": "extract(%1 from %2::timestamp)", "ext_tz": "extract(%1 from %2::timestamptz)", "ext_date": "extract(%1 from %2::date)",
	"ext_time": "extract(%1 from %2::time)", "ext_timetz": "extract(%1 from %2::timetz)", "ext_iv": "extract(%1 from %2::interval)",
	"age": "age(%1::timestamp, %2::timestamp)", "bin": "date_bin(%1::interval, %2::timestamp, %3::timestamp)",
	"ivadd": "%1::interval + %2::interval", "ivsub": "%1::interval - %2::interval", "ivmul": "%1::interval * %2::float8", "ivdiv": "%1::interval / %2::float8",
	"ivcmp": "CASE WHEN %1::interval < %2::interval THEN -1 WHEN %1::interval = %2::interval THEN 0 ELSE 1 END",
	"jh":    "justify_hours(%1::interval)", "jd": "justify_days(%1::interval)", "ji": "justify_interval(%1::interval)",
	"ivmod": "%2::interval %1", "jcmp": "CASE WHEN %1::jsonb < %2::jsonb THEN -1 WHEN %1::jsonb = %2::jsonb THEN 0 ELSE 1 END",
	"attz": "%1::timestamp AT TIME ZONE %2", "tzat": "%1::timestamptz AT TIME ZONE %2",
	"char_ts": "to_char(%1::timestamp, %2)", "char_tz": "to_char(%1::timestamptz, %2)", "char_iv": "to_char(%1::interval, %2)", "char_num": "to_char(%1::numeric, %2)",
	"to_ts": "to_timestamp(%1, %2)", "to_date": "to_date(%1, %2)", "to_num": "to_number(%1, %2)",
	"ttz_cmp":  "CASE WHEN %1::timetz < %2::timetz THEN -1 WHEN %1::timetz = %2::timetz THEN 0 ELSE 1 END",
	"arr_cmp":  "CASE WHEN %1::numeric[] < %2::numeric[] THEN -1 WHEN %1::numeric[] = %2::numeric[] THEN 0 ELSE 1 END",
	"inet_cmp": "CASE WHEN %1::inet < %2::inet THEN -1 WHEN %1::inet = %2::inet THEN 0 ELSE 1 END",
}

// evalOp computes what opSQL asks.
func evalOp(env *Env, c []string) (string, error) {
	var err error
	check := func(e error) {
		if err == nil {
			err = e
		}
	}
	num := func(i int) Decimal { d, e := ParseNumeric(c[i]); check(e); return d }
	integer := func(i int) int { n, e := strconv.Atoi(c[i]); check(e); return n }
	ts := func(i int) int64 { x, e := ParseTimestamp(env, c[i], -1); check(e); return x }
	tz := func(i int) int64 { x, e := ParseTimestamptz(env, c[i], -1); check(e); return x }
	iv := func(i int) Span { x, e := ParseInterval(c[i], -1); check(e); return x }
	flt := func(i int) float64 { x, e := strconv.ParseFloat(c[i], 64); check(e); return x }
	text := func(t T, d Datum, e error) (string, error) {
		check(e)
		if err == ErrNoField {
			return "<null>", nil
		}
		if err != nil {
			return "", err
		}
		return string(AppendText(nil, env, t, d)), nil
	}
	dec := func(d Decimal, e error) (string, error) {
		check(e)
		if err == ErrNoField {
			return "<null>", nil
		}
		return d.String(), err
	}
	span := func(s Span, e error) (string, error) { return text(Interval, s.Bytes(), e) }
	order := func(t T) (string, error) {
		a, e1 := ParseText(env, t, c[1])
		b, e2 := ParseText(env, t, c[2])
		check(e1)
		check(e2)
		if err != nil {
			return "", err
		}
		n := sign(Compare(t, a, b))
		if (n == 0) != (string(AppendKey(nil, t, a)) == string(AppendKey(nil, t, b))) {
			return "", fmt.Errorf("order %d, but the keys disagree", n)
		}
		if sign(Compare(t, b, a)) != -n {
			return "", fmt.Errorf("order %d is not antisymmetric", n)
		}
		return strconv.Itoa(n), nil
	}
	switch c[0] {
	case "add":
		return dec(num(1).Add(num(2)))
	case "sub":
		return dec(num(1).Sub(num(2)))
	case "mul":
		return dec(num(1).Mul(num(2)))
	case "div":
		return dec(num(1).Div(num(2)))
	case "mod":
		return dec(num(1).Mod(num(2)))
	case "quo":
		return dec(num(1).Quo(num(2)))
	case "round":
		return dec(num(1).Round(integer(2)), nil)
	case "trunc":
		return dec(num(1).Trunc(integer(2)), nil)
	case "ceil":
		return dec(num(1).Ceil(), nil)
	case "floor":
		return dec(num(1).Floor(), nil)
	case "sqrt":
		return dec(num(1).Sqrt())
	case "exp":
		return dec(num(1).Exp())
	case "ln":
		return dec(num(1).Ln())
	case "log10":
		return dec(num(1).Log10())
	case "log":
		return dec(num(1).Log(num(2)))
	case "power":
		return dec(num(1).Power(num(2)))
	case "cmp":
		return order(Numeric)
	case "neg":
		return dec(num(1).Neg(), nil)
	case "abs":
		return dec(num(1).Abs(), nil)
	case "trim":
		return dec(num(1).TrimScale(), nil)
	case "minscale":
		if d := num(1); d.IsNaN() || d.IsInf() {
			return "<null>", nil
		}
		return strconv.Itoa(num(1).MinScale()), err
	case "gcd":
		return dec(num(1).GCD(num(2)), nil)
	case "lcm":
		return dec(num(1).LCM(num(2)))
	case "fact":
		return dec(Factorial(int64(integer(1))))
	case "f8":
		return dec(NumericFromFloat64(flt(1)), nil)
	case "f4":
		f, e := strconv.ParseFloat(c[1], 32)
		return dec(NumericFromFloat32(float32(f)), e)
	case "tof8":
		return text(Float8, num(1).Float64(), nil)
	case "int8":
		i, ok := num(1).Int64()
		if !ok {
			return "overflow", nil
		}
		return strconv.FormatInt(i, 10), nil
	case "tsadd":
		x, e := AddSpan(ts(1), iv(2))
		return text(Timestamp, x, e)
	case "tzadd":
		x, e := AddSpanTz(tz(1), iv(2), env.Zone)
		return text(Timestamptz, x, e)
	case "tssub":
		return span(SubTimestamps(ts(1), ts(2)))
	case "trunc_ts":
		x, e := TruncTimestamp(c[1], ts(2))
		return text(Timestamp, x, e)
	case "trunc_tz":
		x, e := TruncTimestamptz(c[1], tz(2), env.Zone)
		return text(Timestamptz, x, e)
	case "trunc_iv":
		return span(TruncInterval(c[1], iv(2)))
	case "ext_ts":
		return dec(ExtractTimestamp(c[1], ts(2)))
	case "ext_tz":
		return dec(ExtractTimestamptz(c[1], tz(2), env.Zone))
	case "ext_date":
		d, e := ParseDate(env, c[2])
		check(e)
		return dec(ExtractDate(c[1], d))
	case "ext_time":
		x, e := ParseTime(env, c[2], -1)
		check(e)
		return dec(ExtractTime(c[1], x))
	case "ext_timetz":
		x, e := ParseTimetz(env, c[2], -1)
		check(e)
		return dec(ExtractTimetz(c[1], x))
	case "ext_iv":
		return dec(ExtractInterval(c[1], iv(2)))
	case "age":
		return span(Age(ts(1), ts(2)))
	case "bin":
		x, e := DateBin(iv(1), ts(2), ts(3))
		return text(Timestamp, x, e)
	case "ivadd":
		return span(iv(1).Add(iv(2)))
	case "ivsub":
		return span(iv(1).Sub(iv(2)))
	case "ivmul":
		return span(iv(1).Mul(flt(2)))
	case "ivdiv":
		return span(iv(1).Div(flt(2)))
	case "ivcmp":
		return order(Interval)
	case "ttz_cmp":
		return order(Timetz)
	case "jcmp":
		return order(JSONB)
	case "arr_cmp":
		n, _ := Numeric.ArrayOf()
		return order(n)
	case "inet_cmp":
		return order(Of(OIDInet))
	case "jh":
		return span(iv(1).JustifyHours())
	case "jd":
		return span(iv(1).JustifyDays())
	case "ji":
		return span(iv(1).Justify())
	case "ivmod":
		fields, prec := c[1], -1
		if name, p, ok := strings.Cut(strings.TrimSuffix(c[1], ")"), "("); ok {
			fields = name
			prec, _ = strconv.Atoi(p)
		}
		mod, ok := IntervalMod(strings.TrimSpace(fields), prec)
		if !ok {
			return "", fmt.Errorf("fields %s", c[1])
		}
		return span(ParseInterval(c[2], mod))
	case "attz":
		z, e := LoadZoneOrAbbrev(c[2])
		check(e)
		return text(Timestamptz, TimestampToTz(ts(1), z), e)
	case "tzat":
		z, e := LoadZoneOrAbbrev(c[2])
		check(e)
		return text(Timestamp, TzToTimestamp(tz(1), z), e)
	}
	return evalFormat(env, c)
}

func TestOperations(t *testing.T) {
	last := "?"
	eachGolden(t, "ops.golden", func(c []string) string {
		sql := ""
		if c[0] != last {
			_, sql = parseSettings(t, c[0])
			last = c[0]
			sql += "COMMIT;"
		}
		tmpl := opSQL[c[1]]
		if c[1] == "ivmod" {
			if strings.HasPrefix(c[2], "(") {
				return sql + "SELECT interval" + c[2] + " " + quote(c[3])
			}
			return sql + "SELECT interval " + quote(c[3]) + " " + strings.TrimSpace(c[2])
		}
		tmpl = strings.ReplaceAll(tmpl, "%%", "%")
		for i := len(c) - 1; i >= 2; i-- {
			tmpl = strings.ReplaceAll(tmpl, "%"+strconv.Itoa(i-1), quote(c[i]))
		}
		return sql + "SELECT " + tmpl
	}, func(line int, c []string, want string) {
		env, _ := parseSettings(t, c[0])
		got, err := evalOp(env, c[1:])
		if err != nil {
			got = errorOf(err)
		}
		if c[1] == "int8" && strings.Contains(want, "out of range") || c[1] == "int8" && strings.Contains(want, "cannot convert") {
			want = "overflow"
		}
		if got != want {
			t.Errorf("line %d: %q\n got  %s\n want %s", line, c, got, want)
		}
	})
}
