package vec

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow/go/v17/arrow/memory"

	"streamsql/internal/types"
)

var kinds = []types.T{types.Bool, types.Int2, types.Int4, types.Int8, types.Float4, types.Float8, types.Text, types.Bytea, types.UUID}

// randomDatum gives a datum of a type's kind, NULL every fifth time.
func randomDatum(r *rand.Rand, t types.T) types.Datum {
	if r.IntN(5) == 0 {
		return nil
	}
	switch t.Kind() {
	case types.KindBool:
		return r.IntN(2) == 0
	case types.KindInt16:
		return int16(r.Int32())
	case types.KindInt32:
		return r.Int32()
	case types.KindInt64:
		return r.Int64()
	case types.KindFloat32:
		return r.Float32()
	case types.KindFloat64:
		return r.NormFloat64()
	case types.KindFixed16:
		var b [16]byte
		for i := range b {
			b[i] = byte(r.Int32())
		}
		return b
	}
	b := make([]byte, r.IntN(40))
	for i := range b {
		b[i] = 'a' + byte(r.IntN(26))
	}
	return string(b)
}

// checked gives an allocator that fails the test if something is not freed, or freed with another size than it was allocated with.
func checked(t *testing.T) Allocator {
	a := memory.NewCheckedAllocator(memory.NewGoAllocator())
	t.Cleanup(func() { a.AssertSize(t, 0) })
	return a
}

// TestRoundTrip: what is appended by any method is what a view of the sealed column gives, for every kind and size.
func TestRoundTrip(t *testing.T) {
	const seed = 1
	r := rand.New(rand.NewPCG(seed, 0))
	for _, typ := range kinds {
		for _, n := range []int{0, 1, 7, 8, 63, 64, 65, 1000} {
			t.Run(fmt.Sprintf("%s/%d/seed %d", typ, n, seed), func(t *testing.T) {
				a := checked(t)
				want := make([]types.Datum, n)
				var v, w Vec
				v.SetAllocator(a)
				v.Reset(typ.Kind(), 0)
				for i := range want {
					want[i] = randomDatum(r, typ)
					v.AppendDatum(want[i])
				}
				arr := v.Seal()
				defer arr.Release()
				w.View(arr)
				check := func(what string, v *Vec, want []types.Datum) {
					t.Helper()
					if v.N != len(want) {
						t.Fatalf("%s: %d rows, want %d", what, v.N, len(want))
					}
					for i := range want {
						if got := v.Datum(i); got != want[i] {
							t.Fatalf("%s: row %d is %v, want %v", what, i, got, want[i])
						}
					}
				}
				check("view", &w, want)

				var sel []int32
				var picked []types.Datum
				for i := range n {
					if r.IntN(2) == 0 {
						sel = append(sel, int32(i))
						picked = append(picked, want[i])
					}
				}
				var g Vec
				g.SetAllocator(a)
				defer g.Release()
				g.Reset(typ.Kind(), 0)
				g.Gather(&w, sel)
				check("gather", &g, picked)
				from, to := n/3, n-n/4
				g.AppendRange(&w, from, to)
				check("gather and range", &g, append(picked, want[from:to]...))
				g.Truncate(len(sel))
				check("truncate", &g, picked)
				for i := range n {
					g.Append(&w, i)
				}
				check("append", &g, append(picked[:len(sel):len(sel)], want...))
			})
		}
	}
}

// TestFailedRowsTravel: a row that failed stays failed through Gather and AppendRange, at its new place.
func TestFailedRowsTravel(t *testing.T) {
	var v, g Vec
	v.Reset(types.KindInt64, 4)
	for i := range 4 {
		v.I64[i] = int64(i)
	}
	v.Fail(2, fmt.Errorf("boom"))
	g.Reset(types.KindInt64, 0)
	g.Gather(&v, []int32{3, 2, 0})
	g.AppendRange(&v, 1, 4)
	var rows []int32
	for _, e := range g.Errs {
		rows = append(rows, e.Row)
	}
	if fmt.Sprint(rows) != "[1 4]" || !g.IsNull(1) || !g.IsNull(4) || g.IsNull(0) {
		t.Errorf("failed rows %v", rows)
	}
}

// TestReuse: a column that is Reset for another kind keeps nothing of the old one.
func TestReuse(t *testing.T) {
	a := checked(t)
	var v Vec
	v.SetAllocator(a)
	defer v.Release()
	v.Reset(types.KindString, 0)
	v.AppendStr("abc")
	v.AppendNull()
	v.Reset(types.KindInt32, 3)
	if v.HasNulls() || v.N != 3 {
		t.Fatalf("nulls %v, %d rows", v.HasNulls(), v.N)
	}
	v.I32[0], v.I32[1], v.I32[2] = 1, 2, 3
	v.AppendNull()
	if v.I32[0] != 1 || !v.IsNull(3) || v.IsNull(2) {
		t.Error("AppendNull after Reset changed other rows")
	}
}

// TestEndBytes: rows formatted in place are whole also where append moved them.
func TestEndBytes(t *testing.T) {
	a := checked(t)
	var v Vec
	v.SetAllocator(a)
	defer v.Release()
	v.Reset(types.KindString, 0)
	want := []string{"", "x", string(make([]byte, 1000)), "tail", string(make([]byte, 100_000))}
	for _, w := range want {
		v.EndBytes(append(v.DataTail(0), w...))
	}
	for i, w := range want {
		if v.Str(i) != w {
			t.Errorf("row %d: %d bytes, want %d", i, len(v.Str(i)), len(w))
		}
	}
}

// TestBatch: selections and projections share or copy what they should, and everything is freed.
func TestBatch(t *testing.T) {
	a := checked(t)
	s := NewSchema(Field{"a", types.Int8}, Field{"b", types.Text})
	b := NewBuilder(a, s)
	defer b.Release()
	for i := range 10 {
		op := Insert
		if i%3 == 0 {
			op = Delete
		}
		b.AppendDatums([]types.Datum{int64(i), fmt.Sprint(i)}, op)
	}
	full := b.Finish()
	full.W = []Time{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}
	part := full.Select(a, []int32{9, 3, 4})
	p := full.Project(NewSchema(s.Fields[1]), []int{1})
	full.Release()
	v := part.Views(nil)
	if v[0].I64[0] != 9 || v[1].Str(1) != "3" || part.Op(1) != Delete || part.Op(2) != Insert || part.W[2] != 4 {
		t.Error("Select mixed up rows")
	}
	if pv := p.Views(nil); pv[0].Str(7) != "7" {
		t.Error("Project lost a column when the batch was released")
	}
	for i := range 5 {
		b.AppendDatums([]types.Datum{int64(i), nil}, Insert)
	}
	if again := b.Finish(); again.Ops != nil || again.N != 5 {
		t.Error("a batch of inserts has Ops")
	} else {
		again.Release()
	}
	part.Release()
	p.Release()
}

// TestPool: buffers come back, whole and of the size asked for, and the count of what is lent out is right.
func TestPool(t *testing.T) {
	p := NewPool()
	var held [][]byte
	total := 0
	for _, n := range []int{1, 64, 65, 4096, 1 << 22, 1<<22 + 1} {
		b := p.Allocate(n)
		if len(b) != n {
			t.Fatalf("%d bytes, want %d", len(b), n)
		}
		total += n
		held = append(held, b)
	}
	if p.Held() != int64(total) {
		t.Errorf("held %d, want %d", p.Held(), total)
	}
	b := p.Reallocate(200, held[2])
	held[2] = b
	for _, b := range held {
		p.Free(b)
	}
	if p.Held() != 0 {
		t.Errorf("held %d at the end", p.Held())
	}
}

// TestRowCodec: encoded rows decode to what they were, whole or by column, and keys order integers and text.
func TestRowCodec(t *testing.T) {
	const seed = 2
	r := rand.New(rand.NewPCG(seed, 0))
	s := &Schema{}
	for i, k := range kinds {
		s.Fields = append(s.Fields, Field{fmt.Sprint("c", i), k})
	}
	src, dst := NewBuilder(nil, s), NewBuilder(nil, s)
	var rows [][]byte
	for range 200 {
		row := make([]types.Datum, len(kinds))
		for i, k := range kinds {
			row[i] = randomDatum(r, k)
		}
		src.AppendDatums(row, Insert)
	}
	for i := range src.Len() {
		rows = append(rows, AppendRow(nil, src.Cols, i))
		DecodeRow(rows[i], nil, dst)
	}
	for c := range kinds {
		var col Vec
		col.Reset(kinds[c].Kind(), 0)
		DecodeColumn(rows, c, &col)
		for i := range rows {
			want := src.Cols[c].Datum(i)
			if got := dst.Cols[c].Datum(i); got != want {
				t.Fatalf("seed %d: row %d column %d: %v, want %v", seed, i, c, got, want)
			}
			if got := col.Datum(i); got != want {
				t.Fatalf("seed %d: row %d column %d by column: %v, want %v", seed, i, c, got, want)
			}
		}
	}
	var ints, texts Vec
	ints.Reset(types.KindInt64, 0)
	texts.Reset(types.KindString, 0)
	for _, x := range []int64{-1 << 63, -5, 0, 7, 1<<63 - 1} {
		ints.AppendInt64(x)
	}
	for _, x := range []string{"", "a", "a\x00", "a\x00b", "b"} {
		texts.AppendStr(x)
	}
	for i := 1; i < 5; i++ {
		if string(AppendKey(nil, []Vec{ints}, []types.T{types.Int8}, i-1)) >= string(AppendKey(nil, []Vec{ints}, []types.T{types.Int8}, i)) {
			t.Errorf("keys of integers %d and %d are out of order", i-1, i)
		}
		if string(AppendKey(nil, []Vec{texts}, []types.T{types.Text}, i-1)) >= string(AppendKey(nil, []Vec{texts}, []types.T{types.Text}, i)) {
			t.Errorf("keys of texts %d and %d are out of order", i-1, i)
		}
	}
}
