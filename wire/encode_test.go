package wire

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand"
	"testing"

	"github.com/apache/arrow/go/v17/arrow/memory"

	"streamsql/engine"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// sampleTypes has every type of which the encoder knows a way of its own.
var sampleTypes = []types.T{
	types.Bool, types.Int2, types.Int4, types.Int8, types.Oid, types.Float4, types.Float8, types.Numeric, types.Text,
	types.Varchar, types.Bytea, types.Date, types.Time, types.Timestamp, types.Timestamptz, types.Interval, types.Timetz,
	types.UUID, types.JSONB, types.JSON, types.Int8Array, types.TextArray, types.Regclass,
}

func randomDatum(r *rand.Rand, t types.T) types.Datum {
	pick := func(xs ...int64) int64 { return xs[r.Intn(len(xs))] }
	text := func() string {
		words := []string{"", "a", `\`, `\.`, "\\N", "tab\there", "line\nfeed", "cr\rcr", `say "hi"`, "comma,semi;", "ünïcode", "plain words", "NULL"}
		return words[r.Intn(len(words))] + words[r.Intn(len(words))]
	}
	switch t.OID {
	case types.OIDBool:
		return r.Intn(2) == 1
	case types.OIDInt2:
		return int16(pick(0, 9, 10, 99, 100, -1, math.MinInt16, math.MaxInt16, r.Int63()))
	case types.OIDInt4:
		return int32(pick(0, 7, -10, 12345, math.MinInt32, math.MaxInt32, r.Int63()))
	case types.OIDDate:
		return int32(pick(0, -1, 10957, 19000, -719162, -719163, 2932896, 2932897, math.MinInt32, math.MaxInt32, r.Int63n(30000)))
	case types.OIDInt8:
		return pick(0, -1, 10, 99, 100, 1000, math.MinInt64, math.MaxInt64, r.Int63())
	case types.OIDOid, types.OIDRegclass:
		return pick(0, 1, 16384, math.MaxUint32)
	case types.OIDTime:
		return pick(0, 1, dayMicros-1, dayMicros, r.Int63n(dayMicros))
	case types.OIDTimestamp, types.OIDTimestamptz:
		return pick(0, -1, 1, 978307200000000, 978307200000001, 978393599999999, 978307200120000, types.PosInfinity, types.NegInfinity,
			-62135596800000000, -62135596800000001, 253402300799999999, 253402300800000000, r.Int63n(4e15)-1e15)
	case types.OIDFloat4:
		return []float32{0, 1.5, -3, 1e20, float32(math.NaN()), float32(math.Inf(1)), r.Float32()}[r.Intn(7)]
	case types.OIDFloat8:
		return []float64{0, 1.5, -3, 1e300, math.NaN(), math.Inf(-1), r.NormFloat64()}[r.Intn(7)]
	case types.OIDNumeric:
		return types.NumericFromScaled(r.Int63()-r.Int63(), r.Intn(12)).Encode()
	case types.OIDInterval, types.OIDTimetz, types.OIDUUID:
		var b [16]byte
		switch t.OID {
		case types.OIDInterval:
			return types.Span{Months: int32(r.Intn(50)), Days: int32(r.Intn(90)) - 40, Micros: r.Int63n(1e12)}.Bytes()
		case types.OIDTimetz:
			return types.TimetzBytes(r.Int63n(dayMicros), int32(r.Intn(24)-12)*3600)
		}
		r.Read(b[:])
		return b
	case types.OIDBytea:
		b := make([]byte, r.Intn(20))
		r.Read(b)
		return string(b)
	case types.OIDJSONB, types.OIDJSON:
		return `{"a": [1, "x\ty"]}`
	case types.Int8Array.OID:
		return types.NewArray(types.Int8, []types.Datum{int64(1), nil, r.Int63()}).Encode()
	case types.TextArray.OID:
		return types.NewArray(types.Text, []types.Datum{text(), nil, `q"`}).Encode()
	}
	return text()
}

// randomBatch makes rows of every sample type, a third of the columns with NULLs.
func randomBatch(t testing.TB, r *rand.Rand, mem vec.Allocator, n int) ([]engine.Column, [][]types.Datum, *vec.Batch) {
	s := &vec.Schema{}
	var cols []engine.Column
	ts := append([]types.T(nil), sampleTypes...)
	r.Shuffle(len(ts), func(i, j int) { ts[i], ts[j] = ts[j], ts[i] })
	ts = ts[:1+r.Intn(len(ts))]
	for _, t := range ts {
		s.Fields = append(s.Fields, vec.Field{Name: t.Name(), Type: t})
		cols = append(cols, engine.Column{Name: t.Name(), Type: t})
	}
	b := vec.NewBuilder(mem, s)
	defer b.Release()
	rows := make([][]types.Datum, n)
	for i := range rows {
		row := make([]types.Datum, len(ts))
		for c, t := range ts {
			if c%3 != 0 || r.Intn(4) != 0 {
				row[c] = randomDatum(r, t)
			}
		}
		rows[i] = row
		b.AppendDatums(row, vec.Insert)
	}
	return cols, rows, b.Finish()
}

// encodeAll encodes a batch in runs as send does.
func encodeAll(e *encoder, b *vec.Batch) []byte {
	var out []byte
	e.views = b.Views(e.views)
	for from := 0; from < b.N; {
		to := e.runEnd(b.N, from)
		out = e.append(out, from, to)
		from = to
	}
	e.forget()
	return out
}

// cell gives a value as the types package writes it: the reference.
func cell(env *types.Env, t types.T, d types.Datum, bin bool) []byte {
	if bin {
		return types.AppendBinary(nil, t, d)
	}
	return types.AppendText(nil, env, t, d)
}

// TestRows compares the encoder with a row-wise reference for random columns, formats and settings.
func TestRows(t *testing.T) {
	seed := rand.Int63()
	r := rand.New(rand.NewSource(seed))
	var e encoder
	east := types.FixedZone(5*3600 + 1800)
	for range 60 {
		mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
		cols, rows, b := randomBatch(t, r, mem, []int{0, 1, 7, 1024, 1500}[r.Intn(5)])
		env := []*types.Env{nil, {}, {Zone: east, DateStyle: "ISO, DMY"}, {DateStyle: "SQL, DMY", ExtraFloat: -2}}[r.Intn(4)]
		formats := make([]int16, len(cols))
		for i := range formats {
			formats[i] = int16(r.Intn(2))
		}
		e.rows(cols, formats, env)
		got := encodeAll(&e, b)
		var want []byte
		for _, row := range rows {
			base := len(want)
			want = append(want, 'D', 0, 0, 0, 0)
			want = binary.BigEndian.AppendUint16(want, uint16(len(cols)))
			for c, d := range row {
				if d == nil {
					want = append(want, 0xff, 0xff, 0xff, 0xff)
					continue
				}
				x := cell(env, cols[c].Type, d, formats[c] == 1)
				want = append(binary.BigEndian.AppendUint32(want, uint32(len(x))), x...)
			}
			binary.BigEndian.PutUint32(want[base+1:], uint32(len(want)-base-1))
		}
		b.Release()
		mem.AssertSize(t, 0)
		if !bytes.Equal(got, want) {
			t.Fatalf("seed %d: encoded rows differ\n got %q\nwant %q", seed, clip(got), clip(want))
		}
	}
}

func clip(b []byte) []byte { return b[:min(len(b), 2000)] }

// TestCopyText compares COPY's text format with a reference that escapes each cell.
func TestCopyText(t *testing.T) {
	seed := rand.Int63()
	r := rand.New(rand.NewSource(seed))
	var e encoder
	escapes := map[byte]string{'\b': `\b`, '\f': `\f`, '\n': `\n`, '\r': `\r`, '\t': `\t`, '\v': `\v`, '\\': `\\`}
	for range 40 {
		cols, rows, b := randomBatch(t, r, nil, r.Intn(1300))
		f := &engine.CopyFormat{Format: "text", Delimiter: "\t,-|:"[r.Intn(5)], Null: `\N`}
		e.copy(cols, f, nil)
		got := encodeAll(&e, b)
		b.Release()
		var want []byte
		for _, row := range rows {
			base := len(want)
			want = append(want, 'd', 0, 0, 0, 0)
			for c, d := range row {
				if c > 0 {
					want = append(want, f.Delimiter)
				}
				if d == nil {
					want = append(want, f.Null...)
					continue
				}
				for _, x := range cell(nil, cols[c].Type, d, false) {
					switch {
					case escapes[x] != "":
						want = append(want, escapes[x]...)
					case x == f.Delimiter:
						want = append(want, '\\', x)
					default:
						want = append(want, x)
					}
				}
			}
			want = append(want, '\n')
			binary.BigEndian.PutUint32(want[base+1:], uint32(len(want)-base-1))
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("seed %d: COPY rows differ\n got %q\nwant %q", seed, clip(got), clip(want))
		}
	}
}

func TestCopyCSV(t *testing.T) {
	cols := []engine.Column{{Name: "a b", Type: types.Text}, {Name: "n,m", Type: types.Int4}}
	f := &engine.CopyFormat{Format: "csv", Delimiter: ',', Quote: '"', Escape: '"', Header: true}
	rows := [][]types.Datum{{`x,"y"`, int32(1)}, {"", nil}, {nil, int32(2)}, {"two\nlines", int32(-3)}, {"plain", nil}}
	want := "a b,\"n,m\"\n\"x,\"\"y\"\"\",1\n\"\",\n,2\n\"two\nlines\",-3\nplain,\n"
	if got := copyLines(cols, rows, f); got != want {
		t.Errorf("csv:\n got %q\nwant %q", got, want)
	}
	f.ForceQuote = []bool{false, true}
	f.Header = false
	if got, want := copyLines(cols, rows[2:3], f), ",\"2\"\n"; got != want {
		t.Errorf("force quote: got %q, want %q", got, want)
	}
	one := &engine.CopyFormat{Format: "csv", Delimiter: ';', Quote: '\'', Escape: '\\', Null: "-"}
	rows = [][]types.Datum{{`\.`}, {"-"}, {"it's"}, {`back\slash`}, {nil}}
	if got, want := copyLines(cols[:1], rows, one), "'\\\\.'\n'-'\n'it\\'s'\nback\\slash\n-\n"; got != want {
		t.Errorf("one column: got %q, want %q", got, want)
	}
}

// copyLines encodes rows as a file.
func copyLines(cols []engine.Column, rows [][]types.Datum, f *engine.CopyFormat) string {
	b := makeBatch(cols, rows)
	defer b.Release()
	e := NewCopyEncoder(cols, f, nil)
	return string(e.Tail(e.Rows(e.Head(nil), b)))
}

func makeBatch(cols []engine.Column, rows [][]types.Datum) *vec.Batch {
	s := &vec.Schema{}
	for _, c := range cols {
		s.Fields = append(s.Fields, vec.Field{Name: c.Name, Type: c.Type})
	}
	b := vec.NewBuilder(nil, s)
	for _, r := range rows {
		b.AppendDatums(r, vec.Insert)
	}
	return b.Finish()
}

func TestCopyBinary(t *testing.T) {
	cols := []engine.Column{{Name: "a", Type: types.Int4}}
	f := &engine.CopyFormat{Format: "binary"}
	head := string(copySignature)
	got := copyLines(cols, [][]types.Datum{{int32(7)}, {nil}}, f)
	want := head + "\x00\x01\x00\x00\x00\x04\x00\x00\x00\x07" + "\x00\x01\xff\xff\xff\xff" + "\xff\xff"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := copyLines(cols, nil, f); got != head+"\xff\xff" {
		t.Errorf("no rows: got %q", got)
	}
}

// TestRunEnd checks that long values shorten runs but never stop them.
func TestRunEnd(t *testing.T) {
	cols := []engine.Column{{Name: "a", Type: types.Text}}
	long := string(make([]byte, 3*runBytes))
	b := makeBatch(cols, [][]types.Datum{{"a"}, {long}, {long}, {"b"}})
	var e encoder
	e.rows(cols, nil, nil)
	if got := len(encodeAll(&e, b)); got != 4*11+2+2*len(long) {
		t.Errorf("%d bytes", got)
	}
	b.Release()
}

// benchBatch has three integers and two timestamps a row, as a windowed count has.
func benchBatch() ([]engine.Column, *vec.Batch) {
	cols := []engine.Column{{Name: "auction", Type: types.Int8}, {Name: "bidder", Type: types.Int8}, {Name: "price", Type: types.Int4},
		{Name: "date_time", Type: types.Timestamp}, {Name: "window_start", Type: types.Timestamp}}
	s := &vec.Schema{}
	for _, c := range cols {
		s.Fields = append(s.Fields, vec.Field{Name: c.Name, Type: c.Type})
	}
	r := rand.New(rand.NewSource(1))
	b := vec.NewBuilder(nil, s)
	base := int64(1436918400000000)
	for i := range 8192 {
		ts := base + int64(i)*100_000
		b.Cols[0].AppendInt64(1000 + r.Int63n(100000))
		b.Cols[1].AppendInt64(1000 + r.Int63n(20000))
		b.Cols[2].AppendInt32(r.Int31n(10_000_000))
		b.Cols[3].AppendInt64(ts)
		b.Cols[4].AppendInt64(ts - ts%10_000_000)
	}
	return cols, b.Finish()
}

func benchmarkEncode(b *testing.B, set func(e *encoder, cols []engine.Column)) {
	cols, batch := benchBatch()
	var e encoder
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		set(&e, cols)
		e.views = batch.Views(e.views)
		buf = buf[:0]
		for from := 0; from < batch.N; {
			to := e.runEnd(batch.N, from)
			buf = e.append(buf, from, to)
			if len(buf) > flushSize {
				buf = buf[:0]
			}
			from = to
		}
	}
	b.ReportMetric(float64(batch.N)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
}

func BenchmarkDataRowBinary(b *testing.B) {
	benchmarkEncode(b, func(e *encoder, cols []engine.Column) { e.rows(cols, []int16{1}, nil) })
}

func BenchmarkDataRowText(b *testing.B) {
	benchmarkEncode(b, func(e *encoder, cols []engine.Column) { e.rows(cols, nil, nil) })
}

func BenchmarkCopyText(b *testing.B) {
	f := &engine.CopyFormat{Format: "text", Delimiter: '\t', Null: `\N`}
	benchmarkEncode(b, func(e *encoder, cols []engine.Column) { e.copy(cols, f, nil) })
}

func BenchmarkCopyBinary(b *testing.B) {
	f := &engine.CopyFormat{Format: "binary"}
	benchmarkEncode(b, func(e *encoder, cols []engine.Column) { e.copy(cols, f, nil) })
}
