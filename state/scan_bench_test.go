package state

import (
	"fmt"
	"testing"

	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// BenchmarkScan reads a table in memory, the same in a store (from its cache), and from both.
func BenchmarkScan(b *testing.B) {
	const rows = 400_000
	schema := vec.NewSchema(vec.Field{Name: "id", Type: types.Int8}, vec.Field{Name: "v", Type: types.Text}, vec.Field{Name: "n", Type: types.Int4})
	memory := NewTable(schema, []int{0})
	memory.Track()
	bld := vec.NewBuilder(nil, schema)
	put := func(t *Table, from, to, step int) {
		for i := from; i < to; i += step {
			bld.AppendDatums([]types.Datum{int64(i), fmt.Sprintf("a text of some length %d", i), int32(i)}, vec.Insert)
			if bld.Len() == vec.MaxRows || i+step >= to {
				batch := bld.Finish()
				if err := t.Apply(batch); err != nil {
					b.Fatal(err)
				}
				batch.Release()
			}
		}
	}
	put(memory, 0, rows, 1)
	s, err := OpenStore(b.TempDir(), StoreOptions{CacheBytes: 256 << 20})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	snap := memory.Snapshot()
	if err := snap.WriteAll(s, 1); err != nil {
		b.Fatal(err)
	}
	at, err := s.Stored()
	if err != nil {
		b.Fatal(err)
	}
	stored := NewStoredTable(schema, []int{0}, at, snap.Record(1))
	both := stored.Clone()
	put(both, rows, rows+rows/10, 1)
	for _, c := range []struct {
		name string
		t    *Table
	}{{"memory", memory}, {"stored", stored}, {"both", both}} {
		b.Run(c.name, func(b *testing.B) {
			dst := vec.NewBuilder(nil, schema)
			for b.Loop() {
				scan := c.t.Snapshot().Scan(nil)
				n := 0
				for more := true; more; {
					if more, err = scan.Next(dst, vec.MaxRows); err != nil {
						b.Fatal(err)
					}
					n += dst.Len()
					dst.Finish().Release()
				}
				if int64(n) != c.t.Len() {
					b.Fatalf("%d rows instead of %d", n, c.t.Len())
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(c.t.Len()), "ns/row")
		})
	}
}
