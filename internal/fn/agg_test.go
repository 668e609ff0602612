package fn

import (
	"fmt"
	"math"
	"strconv"
	"testing"

	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/state"
)

// aggInput are the columns of the rows whose aggregates PostgreSQL 15 computed.
var aggInput = map[string]struct {
	t    types.T
	rows [5]string
}{
	"i2": {types.Int2, [5]string{"1", "2", "2", "5"}}, "i4": {types.Int4, [5]string{"1", "2", "2", "5"}},
	"i8": {types.Int8, [5]string{"1", "2", "2", "9223372036854775807"}}, "n": {types.Numeric, [5]string{"1.10", "2.5", "2.50", "-3.333"}},
	"f4": {types.Float4, [5]string{"1.5", "2.25", "-3", "7"}}, "f8": {types.Float8, [5]string{"1.5", "2.25", "-3", "1e10"}},
	"g8": {types.Float8, [5]string{"2", "3", "5.5", "7"}}, "s": {types.Text, [5]string{"b", "a", "b", "c"}},
	"b": {types.Bool, [5]string{"t", "f", "t"}}, "iv": {types.Interval, [5]string{"1 day", "2 hours", "1 mon", "-1 day"}},
	"ts": {types.Timestamp, [5]string{"2026-01-01", "2026-01-02", "2025-01-02", "2026-01-02"}},
}

var aggGolden = []struct {
	name string
	args []string
	want string
}{
	{"count", nil, "5"}, {"count", []string{"i4"}, "4"}, {"sum", []string{"i2"}, "10"}, {"sum", []string{"i4"}, "10"},
	{"sum", []string{"i8"}, "9223372036854775812"}, {"sum", []string{"n"}, "2.767"}, {"sum", []string{"f4"}, "7.75"},
	{"sum", []string{"f8"}, "10000000000.75"}, {"sum", []string{"iv"}, "1 mon 02:00:00"},
	{"avg", []string{"i2"}, "2.5000000000000000"}, {"avg", []string{"i4"}, "2.5000000000000000"}, {"avg", []string{"i8"}, "2305843009213693953"},
	{"avg", []string{"n"}, "0.69175000000000000000"}, {"avg", []string{"f4"}, "1.9375"}, {"avg", []string{"f8"}, "2500000000.1875"},
	{"avg", []string{"iv"}, "7 days 12:30:00"}, {"min", []string{"i2"}, "1"}, {"max", []string{"i4"}, "5"}, {"min", []string{"i8"}, "1"},
	{"min", []string{"n"}, "-3.333"}, {"min", []string{"f4"}, "-3"}, {"max", []string{"f8"}, "10000000000"}, {"min", []string{"s"}, "a"},
	{"max", []string{"s"}, "c"}, {"max", []string{"iv"}, "1 mon"}, {"min", []string{"ts"}, "2025-01-02 00:00:00"},
	{"bool_and", []string{"b"}, "f"}, {"bool_or", []string{"b"}, "t"}, {"every", []string{"b"}, "f"},
	{"bit_and", []string{"i4"}, "0"}, {"bit_or", []string{"i4"}, "7"}, {"bit_xor", []string{"i4"}, "4"},
	{"var_pop", []string{"i4"}, "2.2500000000000000"}, {"var_samp", []string{"i4"}, "3.0000000000000000"}, {"stddev", []string{"i4"}, "1.7320508075688773"},
	{"stddev_pop", []string{"n"}, "2.3929488476563806"}, {"variance", []string{"n"}, "7.6349389166666667"}, {"stddev_samp", []string{"i8"}, "4611686018427387903"},
	{"var_samp", []string{"f8"}, "2.499999999875e+19"}, {"stddev", []string{"f4"}, "4.0945848385398"},
	{"covar_pop", []string{"f8", "g8"}, "6562499997.4921875"}, {"covar_samp", []string{"f8", "g8"}, "8749999996.65625"},
	{"corr", []string{"f8", "g8"}, "0.7652825426596387"}, {"regr_slope", []string{"f8", "g8"}, "1673306772.2689242"},
	{"regr_intercept", []string{"f8", "g8"}, "-4820717128.489044"}, {"regr_r2", []string{"f8", "g8"}, "0.5856573700996016"},
	{"regr_count", []string{"f8", "g8"}, "4"}, {"regr_avgx", []string{"f8", "g8"}, "4.375"}, {"regr_sxy", []string{"f8", "g8"}, "26249999989.96875"},
	{"array_agg", []string{"i4"}, "{1,2,2,5,NULL}"}, {"array_agg", []string{"s"}, "{b,a,b,c,NULL}"}, {"string_agg", []string{"s", "s"}, "baabbcc"},
	{"json_agg", []string{"i4"}, "[1, 2, 2, 5, null]"}, {"jsonb_agg", []string{"s"}, `["b", "a", "b", "c", null]`},
	{"json_agg", []string{"n"}, "[1.10, 2.5, 2.50, -3.333, null]"}, {"approx_count_distinct", []string{"s"}, "3"},
}

func parseRows(t *testing.T, typ types.T, rows []string) *vec.Vec {
	v := new(vec.Vec)
	v.Reset(typ.Kind(), 0)
	for _, s := range rows {
		if s == "" {
			v.AppendNull()
			continue
		}
		d, err := types.ParseText(&types.Env{}, typ, s)
		if err != nil {
			t.Fatal(err)
		}
		v.AppendDatum(d)
	}
	return v
}

// feed gives rows [from, to) of the arguments to group id, without those with a NULL where the aggregate skips them.
func feed(a Aggregate, agg *Agg, id uint32, args []*vec.Vec, from, to int, op vec.Op) {
	var sel []int32
	for i := from; i < to; i++ {
		if !agg.SkipNulls || !anyNull(args, i) {
			sel = append(sel, int32(i))
		}
	}
	var in []*vec.Vec
	for _, v := range args {
		g := new(vec.Vec)
		g.Reset(v.Kind, 0)
		g.Gather(v, sel)
		in = append(in, g)
	}
	ids, ops := make([]uint32, len(sel)), make([]vec.Op, len(sel))
	for i := range ids {
		ids[i], ops[i] = id, op
	}
	if op == vec.Insert {
		ops = nil
	}
	a.Update(ids, in, ops)
}

func resultText(a Aggregate, ret types.T, id uint32) string {
	var out vec.Vec
	out.Reset(ret.Kind(), 0)
	a.Result([]uint32{id}, &out)
	if len(out.Errs) > 0 {
		return pgerr.Code(out.Errs[0].Err)
	}
	if out.IsNull(0) {
		return "NULL"
	}
	return string(types.AppendText(nil, &types.Env{}, ret, out.Datum(0)))
}

func sameResult(got, want string) bool {
	if got == want {
		return true
	}
	a, err1 := strconv.ParseFloat(got, 64)
	b, err2 := strconv.ParseFloat(want, 64)
	return err1 == nil && err2 == nil && math.Abs(a-b) <= 1e-12*math.Abs(b)
}

func TestAggregatesAgainstPostgres(t *testing.T) {
	for _, c := range aggGolden {
		var ts []types.T
		var args []*vec.Vec
		for _, col := range c.args {
			in := aggInput[col]
			ts = append(ts, in.t)
			args = append(args, parseRows(t, in.t, in.rows[:]))
		}
		r, err := ResolveAgg(c.name, ts)
		if err != nil {
			t.Fatal(err)
		}
		if r.Agg.OID == 0 && c.name != "approx_count_distinct" {
			t.Errorf("%s%v has no OID", c.name, ts)
		}
		check := func(what string, a Aggregate, id uint32) {
			if got := resultText(a, r.Ret, id); !sameResult(got, c.want) {
				t.Errorf("%s(%v) %s: got %s, want %s", c.name, c.args, what, got, c.want)
			}
		}
		for _, retract := range []bool{false, true} {
			a := r.Agg.New(AggOptions{Retract: retract, Args: r.Args, Ret: r.Ret, Ctx: &Ctx{}})
			a.Grow(4)
			empty := resultText(a, r.Ret, 1)
			feed(a, r.Agg, 1, args, 0, 5, vec.Insert)
			check(fmt.Sprint("retract ", retract), a, 1)
			feed(a, r.Agg, 2, args, 0, 2, vec.Insert)
			feed(a, r.Agg, 3, args, 2, 5, vec.Insert)
			a.Merge([]uint32{2}, a, []uint32{3})
			check("merged", a, 2)
			var w state.Writer
			a.Snapshot([]uint32{1, 2}, &w)
			b := r.Agg.New(AggOptions{Retract: retract, Args: r.Args, Ret: r.Ret, Ctx: &Ctx{}})
			b.Grow(9)
			rd := state.NewReader(w.Bytes())
			if err := b.Restore([]uint32{7, 0}, rd); err != nil || rd.Len() != 0 {
				t.Errorf("%s: restore: %v, %d bytes left", c.name, err, rd.Len())
			}
			check("restored", b, 7)
			if retract && !r.Agg.Ordered {
				feed(a, r.Agg, 1, args, 1, 4, vec.Insert)
				feed(a, r.Agg, 1, args, 1, 4, vec.Delete)
				check("after inserts and deletes", a, 1)
				feed(a, r.Agg, 1, args, 0, 5, vec.Delete)
				if got := resultText(a, r.Ret, 1); got != empty {
					t.Errorf("%s: all taken back gives %s, not %s", c.name, got, empty)
				}
			}
			a.Clear([]uint32{2})
			if got := resultText(a, r.Ret, 2); got != empty {
				t.Errorf("%s: cleared gives %s, not %s", c.name, got, empty)
			}
		}
	}
}

func TestFloatSums(t *testing.T) { // T59
	sum := func(retract bool, xs ...float64) (Aggregate, *Agg, []*vec.Vec) {
		r, _ := ResolveAgg("sum", []types.T{types.Float8})
		v := new(vec.Vec)
		v.Reset(types.KindFloat64, 0)
		for _, x := range xs {
			v.AppendFloat64(x)
		}
		a := r.Agg.New(AggOptions{Retract: retract, Args: r.Args, Ret: r.Ret})
		a.Grow(1)
		feed(a, r.Agg, 0, []*vec.Vec{v}, 0, len(xs), vec.Insert)
		return a, r.Agg, []*vec.Vec{v}
	}
	if a, _, _ := sum(false, 1e20, 1, -1e20); resultText(a, types.Float8, 0) != "1" {
		t.Error("1e20 + 1 - 1e20 is not 1")
	}
	a, agg, args := sum(true, math.NaN(), 1, math.Inf(1))
	feed(a, agg, 0, args, 0, 1, vec.Delete)
	if got := resultText(a, types.Float8, 0); got != "Infinity" {
		t.Errorf("without NaN: %s", got)
	}
	feed(a, agg, 0, args, 2, 3, vec.Delete)
	if got := resultText(a, types.Float8, 0); got != "1" {
		t.Errorf("without infinity: %s", got)
	}
	if a, _, _ := sum(false, 1e308, 1e308); resultText(a, types.Float8, 0) != pgerr.NumericValueOutOfRange {
		t.Error("the sum overflows silently")
	}
}

func TestPercentiles(t *testing.T) {
	r, err := ResolveAgg("percentile_cont", []types.T{types.Unknown, types.Int4})
	if err != nil || !r.Args[1].Is(types.Float8) {
		t.Fatalf("%v %v", r, err)
	}
	for _, c := range []struct {
		name, f, want string
	}{{"percentile_cont", "0.5", "2.5"}, {"percentile_disc", "0.5", "2"}, {"percentile_disc", "0", "1"}, {"percentile_cont", "1", "4"}, {"percentile_cont", "1.5", "22003"}} {
		r, err := ResolveAgg(c.name, []types.T{types.Float8, types.Float8})
		if err != nil {
			t.Fatal(err)
		}
		a := r.Agg.New(AggOptions{Args: r.Args, Ret: r.Ret})
		a.Grow(1)
		feed(a, r.Agg, 0, []*vec.Vec{parseRows(t, types.Float8, []string{c.f, c.f, c.f, c.f}), parseRows(t, types.Float8, []string{"1", "2", "3", "4"})}, 0, 4, vec.Insert)
		if got := resultText(a, r.Ret, 0); got != c.want {
			t.Errorf("%s(%s) = %s, want %s", c.name, c.f, got, c.want)
		}
	}
	if _, err := ResolveAgg("sum", []types.T{types.Text}); pgerr.Code(err) != pgerr.UndefinedFunction {
		t.Errorf("sum(text): %v", err)
	}
}

func BenchmarkSum(b *testing.B) {
	r, _ := ResolveAgg("sum", []types.T{types.Int8})
	a := r.Agg.New(AggOptions{Args: r.Args, Ret: r.Ret})
	a.Grow(10_000)
	v := new(vec.Vec)
	v.Reset(types.KindInt64, vec.MaxRows)
	ids := make([]uint32, vec.MaxRows)
	for i := range ids {
		v.I64[i], ids[i] = int64(i), uint32(i*7919%10_000)
	}
	b.ReportAllocs()
	for b.Loop() {
		a.Update(ids, []*vec.Vec{v}, nil)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/vec.MaxRows, "ns/row")
}
