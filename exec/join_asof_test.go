package exec

import (
	"testing"

	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
)

func asofNode(l, r *rowLeaf, op string, free, onClose bool) *planner.AsOfJoin {
	n := &planner.AsOfJoin{Left: l, Right: r, LeftKeys: []int{0}, RightKeys: []int{0}, LeftTime: 2, RightTime: 2, Op: op, Outer: true, Free: free, OnClose: onClose}
	n.Describe(&vec.Schema{Fields: append(append([]vec.Field{}, l.Schema().Fields...), r.Schema().Fields...)}, planner.Props{Watermarks: []int{2}})
	return n
}

// TestAsofFreesState: over an endless stream with many rows a key, what is kept does not grow, in each direction and form.
func TestAsofFreesState(t *testing.T) {
	for _, op := range []string{">=", ">", "<=", "<"} {
		for _, onClose := range []bool{false, true} {
			l, r := newRowLeaf(false, types.Int8, types.Int8, types.Timestamp), newRowLeaf(false, types.Int8, types.Int8, types.Timestamp)
			n := asofNode(l, r, op, true, onClose)
			run := newRowRun(t, true, 500, func() (Operator, error) { return newAsofJoin(n) }, l, r)
			peak, rows := 0, 0
			for i := range 15000 {
				at := int64(i / 10)
				run.add(change{0, []types.Datum{int64(i % 50), int64(0), at}, vec.Insert})
				if i%3 == 0 { // all keys have some
					run.add(change{1, []types.Datum{int64(i % 50), int64(i), at}, vec.Insert})
				}
				if i%1000 == 999 {
					run.advance(0, at)
					run.advance(1, at)
					run.step()
					a := run.op.(*asofJoin)
					peak = max(peak, a.sides[0].store.live+a.sides[1].store.live)
					if i%5000 == 4999 {
						run.restart()
					}
				}
			}
			run.advance(0, vec.MaxTime)
			run.advance(1, vec.MaxTime)
			run.step()
			for _, k := range run.out.rows {
				rows += k
			}
			if rows != 15000 {
				t.Errorf("%s, on close %v: %d rows instead of 15000", op, onClose, rows)
			}
			if peak > 6000 {
				t.Errorf("%s, on close %v: %d rows kept at the peak", op, onClose, peak)
			}
			run.close()
		}
	}
}

// TestAsofCompacts: rows that come and go leave no memory behind, and what stays is still found.
func TestAsofCompacts(t *testing.T) {
	l, r := newRowLeaf(true, types.Int8, types.Int8, types.Int8), newRowLeaf(true, types.Int8, types.Int8, types.Int8)
	n := asofNode(l, r, ">=", false, false)
	run := newRowRun(t, true, 100, func() (Operator, error) { return newAsofJoin(n) }, l, r)
	for i := range int64(30000) {
		for in := range 2 {
			run.add(change{in, []types.Datum{i % 7, i, i}, vec.Insert})
			if i >= 100 {
				run.add(change{in, []types.Datum{(i - 100) % 7, i - 100, i - 100}, vec.Delete})
			}
		}
		if i%100 == 99 {
			run.step()
		}
	}
	a := run.op.(*asofJoin)
	for _, s := range a.sides {
		if s.store.live != 100 || len(s.store.blocks) > 2 {
			t.Errorf("%d rows in %d blocks are kept", s.store.live, len(s.store.blocks))
		}
	}
	for i := int64(29900); i < 30000; i++ {
		if k := datumText(i%7, i, i, i%7, i, i); run.out.rows[k] != 1 {
			t.Fatalf("%s is missing", k)
		}
	}
	if len(run.out.rows) != 100 {
		t.Errorf("%d rows instead of 100", len(run.out.rows))
	}
	run.close()
}
