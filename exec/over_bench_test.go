package exec

import (
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
