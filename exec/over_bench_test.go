package exec

import (
	"fmt"
	"testing"

	"streamsql/internal/fn"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/parser/ast"
	"streamsql/sql/planner"
)

// BenchmarkOver computes a running, a sliding and a total aggregate over one large partition: time per row must not grow with it.
func BenchmarkOver(b *testing.B) {
	const rows = 100_000
	leaf := newRowLeaf(false, types.Int8, types.Int8, types.Int8)
	batches := benchBatches(1, rows, rows, leaf.Schema())
	sliding := &ast.Frame{Unit: "rows", Start: ast.Bound{Kind: "preceding"}, End: ast.Bound{Kind: "current row"}}
	for _, c := range []struct {
		name string
		call planner.OverCall
	}{
		{"row_number", planner.OverCall{Name: "row_number"}},
		{"running sum", planner.OverCall{Name: "sum", Args: []int{1}}},
		{"running min", planner.OverCall{Name: "min", Args: []int{1}}},
		{"sliding sum", planner.OverCall{Name: "sum", Args: []int{1}, Frame: sliding, Lo: overOffsetConst(1000)}},
		{"sliding min", planner.OverCall{Name: "min", Args: []int{1}, Frame: sliding, Lo: overOffsetConst(1000)}},
	} {
		b.Run(c.name, func(b *testing.B) {
			n := overNode(b, leaf, planner.Over{Keys: []planner.SortKey{{Col: 0}}, Calls: []planner.OverCall{c.call}})
			alloc := vec.NewPool()
			for b.Loop() {
				op, _ := newOver(n)
				out := &rowCount{}
				if err := op.Open(&Context{Alloc: alloc, Fn: &fn.Ctx{Alloc: alloc}}, out); err != nil {
					b.Fatal(err)
				}
				for _, x := range batches {
					if err := op.Push(0, x); err != nil {
						b.Fatal(err)
					}
				}
				if err := op.Advance(0, Mark{W: vec.MaxTime}); err != nil || out.n != rows {
					b.Fatal(err, out.n)
				}
				op.Close()
			}
			perRow(b, rows)
		})
	}
}

// BenchmarkOverChange adds a row a tick to a partition of 100,000 rows, and BenchmarkOverLoad loads it in one tick.
func BenchmarkOverChange(b *testing.B) { benchOverStream(b, 1) }

// BenchmarkOverLoad is the first tick of BenchmarkOverChange.
func BenchmarkOverLoad(b *testing.B) { benchOverStream(b, 0) }

func benchOverStream(b *testing.B, change int) {
	const rows = 100_000
	leaf := newRowLeaf(true, types.Int8, types.Int8, types.Int8)
	batch := func(alloc vec.Allocator, from, n, step int64, op vec.Op) *vec.Batch {
		bld := vec.NewBuilder(alloc, leaf.Schema())
		for i := range n {
			bld.AppendDatums([]types.Datum{(from + i) * step, i % 1000, i}, op)
		}
		return bld.Finish()
	}
	frame := func(unit string) *ast.Frame {
		return &ast.Frame{Unit: unit, Start: ast.Bound{Kind: "preceding"}, End: ast.Bound{Kind: "current row"}}
	}
	for _, c := range []struct {
		name string
		call planner.OverCall
	}{
		{"row_number", planner.OverCall{Name: "row_number"}},
		{"lag", planner.OverCall{Name: "lag", Args: []int{1}}},
		{"running sum", planner.OverCall{Name: "sum", Args: []int{1}}},
		{"rows 100", planner.OverCall{Name: "sum", Args: []int{1}, Frame: frame("rows"), Lo: overOffsetConst(100)}},
		{"range 1000", planner.OverCall{Name: "min", Args: []int{1}, Frame: frame("range"), Lo: overOffsetConst(1000)}},
	} {
		b.Run(c.name, func(b *testing.B) {
			n := overNode(b, leaf, planner.Over{Keys: []planner.SortKey{{Col: 0}}, Calls: []planner.OverCall{c.call}})
			alloc := vec.NewPool()
			for b.Loop() {
				b.StopTimer()
				op, _ := newOver(n)
				out := &rowCount{}
				if err := op.Open(&Context{Alloc: alloc, Fn: &fn.Ctx{Alloc: alloc}, Continuous: true}, out); err != nil {
					b.Fatal(err)
				}
				push := func(from, n int64) {
					for n > 0 {
						k := min(n, vec.MaxRows)
						x := batch(alloc, from, k, 10, vec.Insert)
						if err := op.Push(0, x); err != nil {
							b.Fatal(err)
						}
						x.Release()
						from, n = from+k, n-k
					}
					if err := op.Tick(Tick{}); err != nil {
						b.Fatal(err)
					}
				}
				if change == 0 {
					b.StartTimer()
				}
				push(0, rows)
				if change > 0 {
					b.StartTimer()
					for i := range int64(20) {
						push(rows+i, 1)
					}
				}
				b.StopTimer()
				op.Close()
				b.StartTimer()
			}
			if change > 0 {
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/20/1000, "us/tick")
			} else {
				perRow(b, rows)
			}
		})
	}
}

// BenchmarkTopNChange changes one row a tick of a partition of a million: the time must not grow with the partition.
func BenchmarkTopNChange(b *testing.B) {
	for _, rows := range []int64{10_000, 1_000_000} {
		for _, ties := range []bool{false, true} {
			name := map[bool]string{false: "", true: " with ties"}[ties]
			b.Run(fmt.Sprint(rows, " rows", name), func(b *testing.B) {
				leaf := newRowLeaf(true, types.Int8, types.Int8)
				n := &planner.TopN{Input: leaf, Limit: 10, Keys: []planner.SortKey{{Col: 0, Desc: true}}, WithTies: ties}
				n.Describe(leaf.Schema(), planner.Props{Retracts: true})
				alloc := vec.NewPool()
				op, _ := newTopN(n)
				if err := op.Open(&Context{Alloc: alloc, Fn: &fn.Ctx{Alloc: alloc}, Continuous: true}, &rowCount{}); err != nil {
					b.Fatal(err)
				}
				defer op.Close()
				push := func(from, n int64, op1 vec.Op) {
					for n > 0 {
						k := min(n, vec.MaxRows)
						bld := vec.NewBuilder(alloc, leaf.Schema())
						for i := range k {
							bld.AppendDatums([]types.Datum{(from + i) * 7919 % rows, from + i}, op1)
						}
						x := bld.Finish()
						bld.Release()
						if err := op.Push(0, x); err != nil {
							b.Fatal(err)
						}
						x.Release()
						from, n = from+k, n-k
					}
					if err := op.Tick(Tick{}); err != nil {
						b.Fatal(err)
					}
				}
				push(0, rows, vec.Insert)
				i := int64(0)
				for b.Loop() {
					push(i%rows, 1, vec.Delete)
					push(i%rows, 1, vec.Insert)
					i++
				}
			})
		}
	}
}
