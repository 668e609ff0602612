package fn

import (
	"slices"
	"testing"

	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// A row that failed in an argument fails in the result with that error, once, and NULL rows never fail.
func TestCallNullsAndFailures(t *testing.T) {
	c := &Ctx{}
	a := column(t, c, types.Int4, "1", null, "2147483647", "5", "6")
	b := column(t, c, types.Int4, "0", "0", "1", null, "2")
	boom := pgerr.New("XX001", "boom")
	b.Fail(4, boom)
	for _, k := range []struct {
		sym  string
		want []string
	}{
		{"+", []string{"1", "NULL", "!22003 integer out of range", "NULL", "!XX001 boom"}},
		{"/", []string{"!22012 division by zero", "NULL", "2147483647", "NULL", "!XX001 boom"}},
		{"=", []string{"false", "NULL", "false", "NULL", "!XX001 boom"}},
	} {
		r, err := ResolveOp(k.sym, []types.T{types.Int4, types.Int4})
		if err != nil {
			t.Fatal(err)
		}
		var out vec.Vec
		r.Func.Call(c, []*vec.Vec{a, b}, &out, 5)
		if got := text(c, r.Ret, &out); !slices.Equal(got, k.want) {
			t.Errorf("%s: got %q, want %q", k.sym, got, k.want)
		}
		out.Release()
	}
	// A variable-width result keeps its rows aligned.
	s := column(t, c, types.Text, "a", null, "c", "d", "e")
	n := column(t, c, types.Int4, "1", "2", "0", "1", "1")
	s.Fail(3, boom)
	r, err := ResolveFunc("split_part", []types.T{types.Text, types.Text, types.Int4})
	if err != nil {
		t.Fatal(err)
	}
	sep := column(t, c, types.Text, ",", ",", ",", ",", ",")
	var out vec.Vec
	r.Func.Call(c, []*vec.Vec{s, sep, n}, &out, 5)
	want := []string{"a", "NULL", "!22023 field position must not be zero", "!XX001 boom", "e"}
	if got := text(c, r.Ret, &out); !slices.Equal(got, want) {
		t.Errorf("split_part: got %q, want %q", got, want)
	}
}

func TestCastModifiers(t *testing.T) {
	c := &Ctx{}
	for _, k := range []struct {
		from, val string
		to        types.T
		explicit  bool
		want      string
	}{
		{"text", "abcdef", types.T{OID: types.OIDVarchar, Mod: 7}, true, "abc"},
		{"text", "abcdef", types.T{OID: types.OIDVarchar, Mod: 7}, false, "!22001 value too long for type character varying(3)"},
		{"text", "ab", types.T{OID: types.OIDBpchar, Mod: 8}, true, "ab  "},
		{"float8", "1.005", types.T{OID: types.OIDNumeric, Mod: types.NumericMod(4, 2)}, true, "1.01"},
		{"int4", "12345", types.T{OID: types.OIDNumeric, Mod: types.NumericMod(4, 2)}, true, "!22003 numeric field overflow"},
		{"int4[]", "{1,2}", types.TextArray, true, "{1,2}"},
		{"unknown", "{1,2}", types.Int4Array, false, "{1,2}"},
		{"timestamp", "2020-01-01 10:00:00.56", types.T{OID: types.OIDTimestamp, Mod: 0}, true, "2020-01-01 10:00:01"},
		{"int4", "5", types.Text, true, "5"},
	} {
		from := mustType(k.from)
		src := from
		if from.Is(types.Unknown) {
			src = types.Text
		}
		in := column(t, c, src, k.val)
		var out vec.Vec
		FindCast(from, k.to).Run(c, in, &out, 1, k.to, k.explicit)
		if got := text(c, k.to, &out)[0]; got != k.want {
			t.Errorf("%s to %s: got %q, want %q", k.from, k.to, got, k.want)
		}
	}
}

func set(t *testing.T, name string, ts []types.T, args ...types.Datum) []string {
	t.Helper()
	c := &Ctx{}
	r, err := ResolveFunc(name, ts)
	if err != nil {
		t.Fatal(err)
	}
	fields := r.Func.Cols(r.Args)
	b := vec.NewBuilder(nil, vec.NewSchema(fields...))
	defer b.Release()
	if err := r.Func.Set(c, args, b); err != nil {
		return []string{"!" + err.Error()}
	}
	return text(c, fields[0].Type, &b.Cols[0])
}

func TestSets(t *testing.T) {
	i4, i8 := types.Int4, types.Int8
	for _, k := range []struct {
		got, want []string
	}{
		{set(t, "generate_series", []types.T{i4, i4}, int32(1), int32(3)), []string{"1", "2", "3"}},
		{set(t, "generate_series", []types.T{i8, i8, i8}, int64(5), int64(0), int64(-2)), []string{"5", "3", "1"}},
		{set(t, "generate_series", []types.T{i8, i8}, int64(1<<63-2), int64(1<<63-1)), []string{"9223372036854775806", "9223372036854775807"}},
		{set(t, "generate_series", []types.T{i4, i4, i4}, int32(1), int32(3), int32(0)), []string{"!step size cannot equal zero"}},
		{set(t, "unnest", []types.T{types.TextArray}, textArray([]types.Datum{"a", nil})), []string{"a", "NULL"}},
		{set(t, "regexp_matches", []types.T{types.Text, types.Text, types.Text}, "foobar", "o|a", "g"), []string{"{o}", "{o}", "{a}"}},
		{set(t, "jsonb_array_elements_text", []types.T{types.JSONB}, `["x", null, 1]`), []string{"x", "NULL", "1"}},
		{set(t, "jsonb_each", []types.T{types.JSONB}, `{"a": 1, "b": 2}`), []string{"a", "b"}},
		{set(t, "jsonb_object_keys", []types.T{types.JSONB}, `1`), []string{"!cannot call jsonb_object_keys on a scalar"}},
		{set(t, "string_to_table", []types.T{types.Text, types.Text}, "a,b", ","), []string{"a", "b"}},
	} {
		if !slices.Equal(k.got, k.want) {
			t.Errorf("got %q, want %q", k.got, k.want)
		}
	}
}

func benchOp(b *testing.B, sym string, constant bool, l, r types.T, lv, rv string) {
	c := &Ctx{}
	const n = 8192
	rows := func(t types.T, s string, isConst bool) *vec.Vec {
		v := new(vec.Vec)
		d, err := types.ParseText(&c.Env, t, s)
		if err != nil {
			b.Fatal(err)
		}
		v.SetConst(t.Kind(), d, n)
		v.Const = isConst
		return v
	}
	f, err := ResolveOp(sym, []types.T{l, r})
	if err != nil {
		b.Fatal(err)
	}
	args := []*vec.Vec{rows(l, lv, false), rows(r, rv, constant)}
	var out vec.Vec
	b.ReportAllocs()
	for b.Loop() {
		f.Func.Call(c, args, &out, n)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/row")
}

func BenchmarkOps(b *testing.B) {
	for _, k := range []struct {
		name, sym string
		constant  bool
		l, r      types.T
		lv, rv    string
	}{
		{"int8+int8", "+", false, types.Int8, types.Int8, "5", "7"},
		{"int8+const", "+", true, types.Int8, types.Int8, "5", "7"},
		{"int4*int4", "*", false, types.Int4, types.Int4, "5", "7"},
		{"int8*int8", "*", false, types.Int8, types.Int8, "5", "7"},
		{"int8<const", "<", true, types.Int8, types.Int8, "5", "7"},
		{"int8%const", "%", true, types.Int8, types.Int8, "5", "7"},
		{"float8*float8", "*", false, types.Float8, types.Float8, "5", "7"},
		{"numeric*numeric", "*", true, types.Numeric, types.Numeric, "123.45", "0.908"},
		{"numeric<const", "<", true, types.Numeric, types.Numeric, "123.45", "0.908"},
		{"text=const", "=", true, types.Text, types.Text, "https://example", "https://exampla"},
		{"text like %x%", "~~", true, types.Text, types.Text, "https://example.com/abc", "%abd%"},
		{"text ~ regex", "~", true, types.Text, types.Text, "https://example.com/abc", "e.*d$"},
		{"timestamp+interval", "+", true, types.Timestamp, types.Interval, "2020-01-01 10:00", "10 min"},
	} {
		b.Run(k.name, func(b *testing.B) { benchOp(b, k.sym, k.constant, k.l, k.r, k.lv, k.rv) })
	}
}
