package exec

import (
	"math/rand"
	"testing"

	"streamsql/internal/fn"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
)

// TestScalarJoin compares with a model: a left row is there with the right row that it matches or with NULLs, and not at all
// while it matches several. Without a key all rows are of one group; a residual condition narrows what matches.
func TestScalarJoin(t *testing.T) {
	for seed := range int64(rounds(160)) {
		rng := rand.New(rand.NewSource(seed))
		size := []int{1, 7, 8192}[seed%3]
		keyed, residual := seed&1 != 0, seed&2 != 0
		l, r := newRowLeaf(true, types.Int8, types.Int8, types.Int8), newRowLeaf(true, types.Int8, types.Int8, types.Int8)
		n := &planner.Join{Type: planner.LeftJoin, Left: l, Right: r, Single: true}
		if keyed {
			n.LeftKeys, n.RightKeys, n.NullSafe = []int{0}, []int{0}, []bool{false}
		}
		if residual {
			n.Residual = []planner.Expr{&planner.Call{Fn: fn.Less(types.Int8), Typ: types.Bool, Args: []planner.Expr{
				&planner.Column{Index: 1, Typ: types.Int8}, &planner.Column{Index: 4, Typ: types.Int8}}}}
		}
		n.Describe(&vec.Schema{Fields: append(append([]vec.Field{}, l.Schema().Fields...), r.Schema().Fields...)}, planner.Props{})
		run := newRowRun(t, true, size, func() (Operator, error) { return &singleJoin{n: n}, nil }, l, r)
		reported := 0
		run.ctx.RowError = func(err error, _ *vec.Batch, _ int) error {
			if pgerr.Code(err) != pgerr.CardinalityViolation {
				t.Errorf("seed %d: %v", seed, err)
			}
			reported++
			return nil
		}
		var bags [2]rowBag
		for step := range 20 {
			for range rng.Intn(6) {
				in := rng.Intn(2)
				ch := randomChange(rng, in, &bags[in], true, randomRow(rng, 4))
				bags[in].apply(ch)
				run.add(ch)
			}
			run.step()
			want, several := map[string]int{}, 0
			for _, x := range bags[0].rows {
				var match [][]types.Datum
				for _, y := range bags[1].rows {
					if keyed && (x[0] == nil || x[0] != y[0]) {
						continue
					}
					if residual && (x[1] == nil || y[1] == nil || x[1].(int64) >= y[1].(int64)) {
						continue
					}
					match = append(match, y)
				}
				switch len(match) {
				case 0:
					want[datumText(append(append([]types.Datum{}, x...), nil, nil, nil)...)]++
				case 1:
					want[datumText(append(append([]types.Datum{}, x...), match[0]...)...)]++
				default:
					several++
				}
			}
			if got, want := bagText(run.out.rows), bagText(want); got != want {
				t.Fatalf("seed %d, step %d:\n%s\nwant\n%s", seed, step, got, want)
			}
			if several > 0 && reported == 0 {
				t.Fatalf("seed %d, step %d: rows with several matches were not reported", seed, step)
			}
			if rng.Intn(4) == 0 {
				run.restart()
			}
		}
		run.close()
	}
}
