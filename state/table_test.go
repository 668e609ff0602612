package state

import (
	"errors"
	"fmt"
	"math/rand"
	"sort"
	"testing"

	"github.com/apache/arrow/go/v17/arrow/memory"

	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

var testSchema = vec.NewSchema(vec.Field{Name: "k", Type: types.Int8}, vec.Field{Name: "s", Type: types.Text},
	vec.Field{Name: "n", Type: types.Numeric})

func batchOf(t testing.TB, a vec.Allocator, s *vec.Schema, rows [][]any, ops []vec.Op) *vec.Batch {
	b := vec.NewBuilder(a, s)
	defer b.Release()
	for i, r := range rows {
		op := vec.Insert
		if ops != nil {
			op = ops[i]
		}
		b.AppendDatums(r, op)
	}
	return b.Finish()
}

func num(s string) string {
	d, err := types.ParseNumeric(s)
	if err != nil {
		panic(err)
	}
	return d.Encode()
}

func scanAll(t testing.TB, a vec.Allocator, sc *Scanner, s *vec.Schema, max int) []string {
	var out []string
	for {
		b := vec.NewBuilder(a, s)
		more, err := sc.Next(b, max)
		if err != nil {
			t.Fatal(err)
		}
		for i := range b.Len() {
			row := ""
			for c := range b.Cols {
				d := b.Cols[c].Datum(i)
				if x, ok := d.(string); ok && s.Fields[c].Type.Is(types.Numeric) {
					d = types.NumericOf(x).String()
				}
				row += fmt.Sprint(d, "|")
			}
			out = append(out, row)
		}
		b.Release()
		if !more {
			return out
		}
	}
}

func TestTableBag(t *testing.T) {
	a := memory.NewCheckedAllocator(memory.NewGoAllocator())
	defer a.AssertSize(t, 0)
	tb := NewTable(testSchema, nil)
	tb.SetName("bag")
	rows := [][]any{{int64(2), "b", num("1.0")}, {int64(-1), nil, num("1.00")}, {int64(2), "b", num("1.00")}, {int64(2), "b", num("1.0")}, {nil, "a\x00z", nil}}
	b := batchOf(t, a, testSchema, rows, nil)
	if err := tb.Apply(b); err != nil {
		t.Fatal(err)
	}
	b.Release()
	snap := tb.Snapshot()
	want := []string{"-1|<nil>|1.00|", "2|b|1.0|", "2|b|1.0|", "2|b|1.00|", "<nil>|a\x00z|<nil>|"}
	if got := scanAll(t, a, snap.Scan(nil), testSchema, 2); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("got %q", got)
	}
	del := batchOf(t, a, testSchema, [][]any{{int64(2), "b", num("1.0")}, {int64(2), "b", num("1.000")}}, []vec.Op{vec.Delete, vec.Delete})
	if err := tb.Apply(del); err != nil {
		t.Fatal(err)
	}
	if tb.Len() != 3 || snap.Len() != 5 {
		t.Fatal(tb.Len(), snap.Len())
	}
	if err := tb.Apply(del); pgerr.Code(err) != pgerr.InternalError {
		t.Fatal(err)
	}
	if n := len(scanAll(t, a, tb.Snapshot().Scan(nil), testSchema, 100)); n != int(tb.Len()) {
		t.Fatal("a failed batch changed the table")
	}
	del.Release()
	if got := scanAll(t, a, snap.Scan([]int{1}), vec.NewSchema(testSchema.Fields[1]), 100); len(got) != 5 {
		t.Fatal(got)
	}
}

func TestTableKey(t *testing.T) {
	a := memory.NewCheckedAllocator(memory.NewGoAllocator())
	defer a.AssertSize(t, 0)
	tb := NewTable(testSchema, []int{1, 0})
	apply := func(rows [][]any, ops []vec.Op) error {
		b := batchOf(t, a, testSchema, rows, ops)
		defer b.Release()
		return tb.Apply(b)
	}
	if err := apply([][]any{{int64(1), "a", nil}, {int64(2), "a", nil}, {int64(1), "b", num("7")}}, nil); err != nil {
		t.Fatal(err)
	}
	err := apply([][]any{{int64(5), "x", nil}, {int64(2), "a", num("3")}}, nil)
	var dup *DuplicateKey
	if !errors.As(err, &dup) || fmt.Sprint(dup.Key) != "[a 2]" || tb.Len() != 3 {
		t.Fatal(err, tb.Len())
	}
	// An update may come as insert before delete within a batch.
	if err := apply([][]any{{int64(2), "a", num("3")}, {int64(2), "a", nil}}, []vec.Op{vec.Insert, vec.Delete}); err != nil {
		t.Fatal(err)
	}
	row, ok, err := tb.Get([]types.Datum{"a", int64(2)})
	if err != nil || !ok || types.NumericOf(row[2].(string)).String() != "3" {
		t.Fatal(row, ok)
	}
	if _, ok, err := tb.Get([]types.Datum{"a", int64(9)}); ok || err != nil {
		t.Fatal("found")
	}
	if got := scanAll(t, a, tb.Snapshot().Lookup([]types.Datum{"a"}, nil), testSchema, 1); len(got) != 2 {
		t.Fatal(got)
	}
}

func TestTableOrder(t *testing.T) {
	seed := int64(7)
	rng := rand.New(rand.NewSource(seed))
	s := vec.NewSchema(vec.Field{Name: "a", Type: types.Int4}, vec.Field{Name: "b", Type: types.Text}, vec.Field{Name: "c", Type: types.Float8})
	tb := NewTable(s, []int{0, 1, 2})
	type row struct {
		a int32
		b string
		c float64
	}
	var all []row
	seen := map[row]bool{}
	bld := vec.NewBuilder(nil, s)
	for range 2000 {
		r := row{int32(rng.Intn(40) - 20), fmt.Sprintf("%c%c", rune(rng.Intn(3)), rune('a'+rng.Intn(3)))[:1+rng.Intn(2)], float64(rng.Intn(9)-4) / 2}
		if seen[r] {
			continue
		}
		seen[r] = true
		all = append(all, r)
		bld.AppendDatums([]types.Datum{r.a, r.b, r.c}, vec.Insert)
	}
	b := bld.Finish()
	if err := tb.Apply(b); err != nil {
		t.Fatal(err)
	}
	sort.Slice(all, func(i, j int) bool {
		x, y := all[i], all[j]
		if x.a != y.a {
			return x.a < y.a
		}
		if x.b != y.b {
			return x.b < y.b
		}
		return x.c < y.c
	})
	got := scanAll(t, nil, tb.Snapshot().Scan(nil), s, 100)
	if len(got) != len(all) {
		t.Fatalf("seed %d: %d rows, want %d", seed, len(got), len(all))
	}
	for i, r := range all {
		if want := fmt.Sprint(r.a, "|") + fmt.Sprint(r.b, "|") + fmt.Sprint(r.c, "|"); got[i] != want {
			t.Fatalf("seed %d, row %d: %q, want %q", seed, i, got[i], want)
		}
	}
}

func BenchmarkTableApply(b *testing.B) {
	const n = 8192
	rng := rand.New(rand.NewSource(1))
	bld := vec.NewBuilder(nil, testSchema)
	for i := range n {
		bld.AppendDatums([]types.Datum{rng.Int63(), fmt.Sprint("name", i), num("12.5")}, vec.Insert)
	}
	batch := bld.Finish()
	for b.Loop() {
		tb := NewTable(testSchema, []int{0})
		if err := tb.Apply(batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/row")
}

func BenchmarkTableScan(b *testing.B) {
	const n = 8192
	bld := vec.NewBuilder(nil, testSchema)
	for i := range n {
		bld.AppendDatums([]types.Datum{int64(i), fmt.Sprint("name", i), num("12.5")}, vec.Insert)
	}
	tb := NewTable(testSchema, []int{0})
	if err := tb.Apply(bld.Finish()); err != nil {
		b.Fatal(err)
	}
	out := vec.NewSchema(testSchema.Fields[0])
	for b.Loop() {
		dst := vec.NewBuilder(nil, out)
		for sc, more := tb.Snapshot().Scan([]int{0}), true; more; {
			more, _ = sc.Next(dst, n)
		}
		dst.Release()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/row")
}

func BenchmarkTableGet(b *testing.B) {
	const n = 8192
	bld := vec.NewBuilder(nil, testSchema)
	for i := range n {
		bld.AppendDatums([]types.Datum{int64(i), fmt.Sprint("name", i), num("12.5")}, vec.Insert)
	}
	tb := NewTable(testSchema, []int{0})
	if err := tb.Apply(bld.Finish()); err != nil {
		b.Fatal(err)
	}
	i := int64(0)
	for b.Loop() {
		i = (i + 4999) % n
		if _, ok, err := tb.Get([]types.Datum{i}); !ok || err != nil {
			b.Fatal(err)
		}
	}
}
