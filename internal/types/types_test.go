package types

import (
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func everyType() []T {
	var out []T
	for _, in := range All() {
		if in.Type == 'b' {
			out = append(out, Of(in.OID))
		}
	}
	return append(out, T{OID: OIDNumeric, Mod: NumericMod(10, 2)}, T{OID: OIDVarchar, Mod: 7}, T{OID: OIDBpchar, Mod: 7}, T{OID: OIDTimestamp, Mod: 2}, T{OID: OIDBit, Mod: 5})
}

// FuzzParseText wants no panic from any input function, and values that survive text, binary and key.
func FuzzParseText(f *testing.F) {
	for _, s := range []string{"", "1", "-1.5e3", "2001-02-03 04:05:06.789+02", "1 day ago", "{1,NULL,\"a\"}", "[0:1]={{1},{2}}", "{\"a\":[1,{}]}", "\\xdead", "P1Y2M", "J2451187", "NaN", "1.2.3.4/8", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "B101"} {
		f.Add(s)
	}
	list := everyType()
	z, _ := LoadZone("Europe/Berlin")
	env := &Env{Zone: z, Now: 1.6e15}
	f.Fuzz(func(t *testing.T, s string) {
		for _, typ := range list {
			d, err := ParseText(env, typ, s)
			if err != nil || d == nil {
				continue
			}
			text := string(AppendText(nil, env, typ, d))
			bin := AppendBinary(nil, typ, d)
			if typ.OID != OIDChar && typ.OID != OIDTid {
				back, err := DecodeBinary(typ, bin)
				if err != nil {
					t.Fatalf("%s %q: binary: %v", typ, s, err)
				}
				if Compare(typ, d, back) != 0 || string(AppendKey(nil, typ, d)) != string(AppendKey(nil, typ, back)) {
					t.Fatalf("%s %q: binary gives %v for %v", typ, s, back, d)
				}
			}
			if len(text) > 1<<20 || typ.OID == OIDBpchar || typ.OID == OIDChar || typ.Category() == 'D' && strings.Contains(text, "BC") {
				continue
			}
			if typ.IsArray() {
				continue
			}
			again, err := ParseText(env, typ, text)
			if err != nil {
				t.Fatalf("%s %q: its text %q: %v", typ, s, text, err)
			}
			if got := string(AppendText(nil, env, typ, again)); got != text {
				t.Fatalf("%s %q: text %q reads back as %q", typ, s, text, got)
			}
		}
	})
}

// FuzzDecodeBinary wants no panic from any receive function.
func FuzzDecodeBinary(f *testing.F) {
	for _, typ := range everyType() {
		for _, s := range []string{"1", "{1,2}", "{}", "2001-01-01", "1 day", "true", "1.2.3.4"} {
			if d, err := ParseText(nil, typ, s); err == nil && d != nil {
				f.Add(AppendBinary(nil, typ, d))
			}
		}
	}
	list := append(everyType(), AnyRecord)
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, typ := range list {
			d, err := DecodeBinary(typ, b)
			if err != nil || d == nil {
				continue
			}
			_ = AppendText(nil, nil, typ, d)
			_ = AppendKey(nil, typ, d)
			if Compare(typ, d, d) != 0 {
				t.Fatalf("%s %x is not equal to itself", typ, b)
			}
		}
	})
}

// TestDecimalAgainstBig compares the 128-bit paths with exact rational arithmetic.
func TestDecimalAgainstBig(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 1))
	random := func() Decimal {
		x := new(big.Int)
		for range r.IntN(4) + 1 {
			x.Lsh(x, uint(r.IntN(64))).Or(x, new(big.Int).SetUint64(r.Uint64()>>r.IntN(64)))
		}
		if r.IntN(2) == 0 {
			x.Neg(x)
		}
		return NumericFromBig(x, r.IntN(25))
	}
	rat := func(d Decimal) *big.Rat {
		x, s := d.Big()
		return new(big.Rat).SetFrac(x, bigPow10(s))
	}
	for range 20000 {
		a, b := random(), random()
		if got := DecodeNumeric([]byte(a.Encode())); got.Cmp(a) != 0 || got.Scale() != a.Scale() {
			t.Fatalf("seed %d: encoding of %s gives %s", seed, a, got)
		}
		if got, err := ParseNumeric(a.String()); err != nil || got.Cmp(a) != 0 || got.Scale() != a.Scale() {
			t.Fatalf("seed %d: text of %s gives %s", seed, a, got)
		}
		sum, _ := a.Add(b)
		if want := new(big.Rat).Add(rat(a), rat(b)); rat(sum).Cmp(want) != 0 {
			t.Fatalf("seed %d: %s + %s = %s", seed, a, b, sum)
		}
		prod, _ := a.Mul(b)
		if want := new(big.Rat).Mul(rat(a), rat(b)); rat(prod).Cmp(want) != 0 {
			t.Fatalf("seed %d: %s * %s = %s", seed, a, b, prod)
		}
		if got, want := a.Cmp(b), rat(a).Cmp(rat(b)); got != want {
			t.Fatalf("seed %d: %s against %s: %d", seed, a, b, got)
		}
		if b.IsZero() {
			continue
		}
		quo, _ := a.Div(b)
		err := new(big.Rat).Sub(rat(quo), new(big.Rat).Quo(rat(a), rat(b)))
		if half := new(big.Rat).SetFrac(bigOne, new(big.Int).Mul(big.NewInt(2), bigPow10(quo.Scale()))); err.Abs(err).Cmp(half) > 0 {
			t.Fatalf("seed %d: %s / %s = %s", seed, a, b, quo)
		}
		q, _ := a.Quo(b)
		m, _ := a.Mod(b)
		qb, _ := q.Mul(b)
		if back, _ := qb.Add(m); back.Cmp(a) != 0 {
			t.Fatalf("seed %d: %s = %s * %s + %s", seed, a, q, b, m)
		}
		s := r.IntN(30) - 5
		rounded := a.Round(s)
		diff := new(big.Rat).Sub(rat(rounded), rat(a))
		half := new(big.Rat).SetFrac(bigOne, big.NewInt(2))
		if s >= 0 {
			half.Quo(half, new(big.Rat).SetInt(bigPow10(s)))
		} else {
			half.Mul(half, new(big.Rat).SetInt(bigPow10(-s)))
		}
		if diff.Abs(diff).Cmp(half) > 0 {
			t.Fatalf("seed %d: round(%s, %d) = %s", seed, a, s, rounded)
		}
	}
}

// TestZonesAgainstTime compares the period tables with package time.
func TestZonesAgainstTime(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 2))
	names := ZoneNames()
	for range 40 {
		name := names[r.IntN(len(names))]
		z, err := LoadZone(name)
		loc, err2 := time.LoadLocation(name)
		if err != nil || err2 != nil {
			t.Fatal(name, err, err2)
		}
		for range 500 {
			us := (r.Int64N(2*13e9) - 13e9) * UsPerSecond // 1558 to 2381
			at := time.UnixMicro(us).In(loc)
			abbrev, off := at.Zone()
			got, dst, a := z.Offset(us)
			if us >= time.Date(1700, 1, 2, 0, 0, 0, 0, time.UTC).UnixMicro() && (got != off || dst != at.IsDST() || a != abbrev) {
				t.Fatalf("seed %d: %s at %s: %d %v %s", seed, name, at, got, dst, a)
			}
			// The local time of an instant leads back to it, but for the hour that is there twice.
			if back := z.ToUTC(us + int64(off)*UsPerSecond); back != us {
				if o2, _, _ := z.Offset(back); back+int64(o2)*UsPerSecond != us+int64(off)*UsPerSecond {
					t.Fatalf("seed %d: %s at %s: back %s", seed, name, at, time.UnixMicro(back).In(loc))
				}
			}
		}
	}
}

func TestRecords(t *testing.T) {
	types := []T{Int4, Text, Numeric, Timestamp, Text}
	vals := []Datum{int32(7), "a \"b\", c", NumericFromScaled(150, 2).Encode(), int64(0), nil}
	enc := EncodeRecord(types, vals)
	ts, vs, err := DecodeRecord([]byte(enc))
	if err != nil || len(ts) != 5 {
		t.Fatal(ts, err)
	}
	for i := range vals {
		if vs[i] != vals[i] || !ts[i].Is(types[i]) {
			t.Errorf("field %d: %v %v", i, ts[i], vs[i])
		}
	}
	if got, want := string(AppendText(nil, nil, AnyRecord, enc)), `(7,"a ""b"", c",1.50,"1970-01-01 00:00:00",)`; got != want {
		t.Errorf("got %s want %s", got, want)
	}
	other := EncodeRecord(types, []Datum{int32(7), "a \"b\", c", NumericFromScaled(15, 1).Encode(), int64(0), nil})
	if Compare(AnyRecord, enc, other) != 0 || string(AppendKey(nil, AnyRecord, enc)) != string(AppendKey(nil, AnyRecord, other)) {
		t.Error("records with equal numerics differ")
	}
	if _, _, err := DecodeRecord([]byte(enc)[:20]); err == nil {
		t.Error("a cut record decodes")
	}
}

func TestJSONAccess(t *testing.T) {
	doc := []byte(`{"a": [1, {"b": null}, "x\"y"], "k\u00e9": true, "a b": {"c": {}}}`)
	if v, ok := JSONGet(doc, "ké"); !ok || string(v) != "true" {
		t.Errorf("%s %v", v, ok)
	}
	a, _ := JSONGet(doc, "a")
	if v, ok := JSONIndex(a, -1); !ok || string(v) != `"x\"y"` {
		t.Errorf("%s %v", v, ok)
	} else if s, ok := JSONText(v); !ok || s != `x"y` {
		t.Errorf("%s %v", s, ok)
	}
	if v, ok := JSONIndex(a, 3); ok {
		t.Errorf("%s", v)
	}
	if n := JSONLen(a); n != 3 {
		t.Error(n)
	}
	if _, ok := JSONGet(doc, "zz"); ok {
		t.Error("found zz")
	}
	for s, want := range map[string]string{"1": "number", `"x"`: "string", " [1]": "array", "{}": "object", "null": "null", "false": "boolean"} {
		if got := JSONTypeof([]byte(s)); got != want {
			t.Errorf("%s: %s", s, got)
		}
	}
}

func TestHotPathsDoNotAllocate(t *testing.T) {
	z, err := LoadZone("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	env := &Env{Zone: z}
	buf := make([]byte, 0, 256)
	num := []byte(NumericFromScaled(123456789, 4).Encode())
	for name, f := range map[string]func(){
		"timestamptz": func() { buf = AppendTimestamptz(buf[:0], env, 1612345678123456) },
		"numeric":     func() { buf = AppendNumeric(buf[:0], num) },
		"add":         func() { d := DecodeNumeric(num); d, _ = d.Add(d); buf = d.Append(buf[:0]) },
		"div":         func() { d := DecodeNumeric(num); d, _ = d.Div(NumericFromInt64(7)); buf = d.Append(buf[:0]) },
		"key":         func() { buf = AppendKeyBytes(buf[:0], Numeric, num) },
		"compare":     func() { _ = CompareBytes(Numeric, num, num) },
		"parse":       func() { _, _ = ParseTimestamp(env, "2001-02-03 04:05:06.789", -1) },
		"float":       func() { buf = AppendFloat8(buf[:0], 1234.5678, 0) },
		"interval":    func() { buf = AppendInterval(buf[:0], env, Span{1, 2, 3e6}) },
		"zone":        func() { _, _ = TruncTimestamptz("day", 1612345678123456, z) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}

func BenchmarkAppendTimestamp(b *testing.B) {
	buf := make([]byte, 0, 64)
	ts := int64(1612345678123456)
	for b.Loop() {
		buf = AppendTimestamp(buf[:0], nil, ts)
		ts += 1e9
	}
}

func BenchmarkAppendTimestamptz(b *testing.B) {
	z, _ := LoadZone("America/New_York")
	env := &Env{Zone: z}
	buf := make([]byte, 0, 64)
	ts := int64(1612345678123456)
	for b.Loop() {
		buf = AppendTimestamptz(buf[:0], env, ts)
		ts += 1e9
	}
}

func BenchmarkParseTimestamp(b *testing.B) {
	for b.Loop() {
		_, _ = ParseTimestamp(nil, "2001-02-03 04:05:06.789", -1)
	}
}

func BenchmarkNumericAdd(b *testing.B) {
	x := []byte(NumericFromScaled(123456789, 4).Encode())
	sum := Decimal{}
	for b.Loop() {
		sum, _ = sum.Add(DecodeNumeric(x))
	}
}
