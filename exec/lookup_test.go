package exec

import (
	"math/rand"
	"testing"

	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
)

// TestLookupJoin compares with a model: each left row is joined with the right rows at the end of its tick, for good.
func TestLookupJoin(t *testing.T) {
	for seed := range int64(120) {
		rng := rand.New(rand.NewSource(seed))
		size := []int{1, 7, 8192}[seed%3]
		retracts, outer := seed&1 != 0, seed&2 != 0
		l := newRowLeaf(retracts, types.Int8, types.Int8, types.Int8)
		r := newRowLeaf(true, types.Int8, types.Int8, types.Int8)
		n := &planner.LookupJoin{Left: l, Right: r, LeftKeys: []int{0}, RightKeys: []int{0}, Outer: outer}
		n.Describe(&vec.Schema{Fields: append(append([]vec.Field{}, l.Schema().Fields...), r.Schema().Fields...)}, planner.Props{})
		run := newRowRun(t, true, size, func() (Operator, error) { return newLookupJoin(n) }, l, r)
		var bags [2]rowBag
		want := map[string]int{}
		sent := map[string][][]string{} // by left row, what each copy gave
		for step := range 15 {
			var lefts []change
			for range rng.Intn(14) {
				in := rng.Intn(2)
				ch := randomChange(rng, in, &bags[in], in == 1 || retracts, randomRow(rng, 3))
				bags[in].apply(ch)
				run.add(ch)
				if in == 0 {
					lefts = append(lefts, ch)
				}
			}
			run.step()
			for _, ch := range lefts {
				key := datumText(ch.row...)
				if ch.op == vec.Delete {
					if s := sent[key]; len(s) > 0 {
						for _, x := range s[len(s)-1] {
							if want[x]--; want[x] == 0 {
								delete(want, x)
							}
						}
						sent[key] = s[:len(s)-1]
					}
					continue
				}
				var gave []string
				for _, y := range bags[1].rows {
					if ch.row[0] != nil && ch.row[0] == y[0] {
						gave = append(gave, datumText(append(append([]types.Datum{}, ch.row...), y...)...))
					}
				}
				if len(gave) == 0 && outer {
					gave = append(gave, datumText(append(append([]types.Datum{}, ch.row...), nil, nil, nil)...))
				}
				for _, x := range gave {
					want[x]++
				}
				if len(gave) > 0 {
					sent[key] = append(sent[key], gave)
				}
			}
			if got, want := bagText(run.out.rows), bagText(want); got != want {
				t.Fatalf("seed %d, step %d:\n%s\nwant\n%s", seed, step, got, want)
			}
			if rng.Intn(4) == 0 {
				run.restart()
			}
		}
		run.close()
	}
}
