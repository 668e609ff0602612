package exec

import (
	"testing"

	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/parser/ast"
	"streamsql/sql/planner"
)

// TestClosingFreesState feeds in-order streams whose groups come and go: what is kept must not grow with the input.
func TestClosingFreesState(t *testing.T) {
	const second = 1_000_000
	hour := planner.Expr(&planner.Const{Val: types.Span{Micros: 10 * second}.Bytes(), Typ: types.Interval})
	back := func(unit string) *ast.Frame {
		return &ast.Frame{Unit: unit, Start: ast.Bound{Kind: "preceding"}, End: ast.Bound{Kind: "current row"}}
	}
	timed := planner.Closing{By: planner.RowsClose, Col: 0, OnClose: true, FreeLate: true}
	windows := planner.Closing{By: planner.PartitionsClose, Col: 1, End: true, FreeLate: true}
	closing := windows
	closing.OnClose = true
	keys := []planner.SortKey{{Col: 0}}
	type sizes struct{ rows, groups int }
	for _, c := range []struct {
		name string
		over *planner.Over
		topN *planner.TopN
		most sizes
	}{
		{name: "range", over: &planner.Over{Partition: []int{2}, Keys: keys, Close: timed, Calls: []planner.OverCall{{Name: "sum", Args: []int{2}, Frame: back("range"), Lo: hour}}}, most: sizes{25, 25}},
		{name: "rows", over: &planner.Over{Keys: keys, Close: timed, Calls: []planner.OverCall{{Name: "sum", Args: []int{2}, Frame: back("rows"), Lo: overOffsetConst(7)}, {Name: "row_number"}}}, most: sizes{12, 1}},
		{name: "groups", over: &planner.Over{Keys: keys, Close: timed, Calls: []planner.OverCall{{Name: "count", Args: []int{2}, Frame: back("groups"), Lo: overOffsetConst(3)}}}, most: sizes{12, 1}},
		{name: "running", over: &planner.Over{Keys: keys, Close: timed, Calls: []planner.OverCall{{Name: "sum", Args: []int{2}}, {Name: "dense_rank"}, {Name: "first_value", Args: []int{2}}, {Name: "last_value", Args: []int{2}}}}, most: sizes{8, 1}},
		{name: "windows on close", over: &planner.Over{Partition: []int{1}, Keys: keys, Close: closing, Calls: []planner.OverCall{{Name: "ntile", Args: []int{3}}}}, most: sizes{25, 4}},
		{name: "windows", over: &planner.Over{Partition: []int{1}, Keys: keys, Close: windows, Calls: []planner.OverCall{{Name: "sum", Args: []int{2}}}}, most: sizes{25, 4}},
		{name: "top on close", topN: &planner.TopN{Partition: []int{1, 2}, Keys: keys, Limit: 2, Close: closing}, most: sizes{25, 25}},
		{name: "top", topN: &planner.TopN{Partition: []int{1, 2}, Keys: keys, Limit: 2, Close: windows}, most: sizes{25, 25}},
	} {
		t.Run(c.name, func(t *testing.T) {
			leaf := newRowLeaf(false, types.Timestamp, types.Timestamp, types.Int8, types.Int4)
			mk := func() (Operator, error) {
				n := *c.topN
				n.Input = leaf
				n.Describe(leaf.Schema(), planner.Props{Retracts: true})
				return newTopN(&n)
			}
			if c.over != nil {
				n := overNode(t, leaf, *c.over)
				mk = func() (Operator, error) { return newOver(n) }
			}
			run := newRowRun(t, true, 100, mk, leaf)
			sent := 0
			for i := range int64(6_000) {
				end := (i/10 + 1) * 10 * second
				run.add(change{0, []types.Datum{i * second, end, i, int32(3)}, vec.Insert})
				run.flush()
				run.advance(0, i*second)
				run.step()
				if i%1500 == 1499 {
					run.restart()
				}
				var at sizes
				switch op := run.op.(type) {
				case *overTimed:
					at = sizes{op.store.live, op.groups.Len()}
				case *overOp:
					at = sizes{op.store.live + op.res.live/1000, op.groups.Len()}
				case *topNOp:
					at = sizes{op.store.live, op.groups.Len()}
				}
				if at.rows > c.most.rows || at.groups > c.most.groups {
					t.Fatalf("after %d rows: %+v are kept, at most %+v need be", i+1, at, c.most)
				}
				sent = len(run.out.log)
			}
			if sent < 5_700 {
				t.Fatalf("%d rows have come out", sent)
			}
			run.close()
		})
	}
}
