package exec

import (
	"math/rand"
	"testing"

	"streamsql/internal/fn"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
)

// TestTemporal compares with a model, the rows that satisfy the condition at the time of the last tick, under random changes, jumps of
// the clock and restarts; and next() says when the first row is due, to the microsecond.
func TestTemporal(t *testing.T) {
	r, err := fn.ResolveFunc("now", nil)
	if err != nil {
		t.Fatal(err)
	}
	for seed := range int64(rounds(160)) {
		rng := rand.New(rand.NewSource(seed))
		in := newRowLeaf(true, types.Timestamptz, types.Int8, types.Int8)
		n := &planner.Temporal{Input: in, Key: 0, Op: []string{"<", "<=", ">", ">="}[seed%4], Bound: &planner.Call{Fn: r.Func, Typ: r.Ret}}
		n.Describe(in.Schema(), planner.Props{})
		run := newRowRun(t, true, []int{1, 7, 8192}[seed%3], func() (Operator, error) { return newTemporal(n) }, in)
		seen := func(key types.Datum, now vec.Time) bool {
			k, ok := key.(int64)
			switch {
			case !ok:
				return false
			case n.Op == "<":
				return k < now
			case n.Op == "<=":
				return k <= now
			case n.Op == ">":
				return k > now
			}
			return k >= now
		}
		var bag rowBag
		now := vec.Time(-3)
		check := func(step int) {
			t.Helper()
			want := map[string]int{}
			for _, x := range bag.rows {
				if seen(x[0], now) {
					want[datumText(x...)]++
				}
			}
			if got, want := bagText(run.out.rows), bagText(want); got != want {
				t.Fatalf("seed %d, step %d, %s at %d:\n%s\nwant\n%s", seed, step, n.Op, now, got, want)
			}
			// The alarm is the first time at which another row is seen, or one no longer.
			due := vec.MaxTime
			for _, x := range bag.rows {
				if k, ok := x[0].(int64); ok {
					for at := now + 1; at <= now+64; at++ {
						if seen(k, at) != seen(k, now) {
							due = min(due, at)
							break
						}
					}
				}
			}
			if got := run.op.(*temporal).next(); got != due && (due != vec.MaxTime || got <= now+64) {
				t.Fatalf("seed %d, step %d, %s at %d: next %d, want %d", seed, step, n.Op, now, got, due)
			}
		}
		for step := range 30 {
			for range rng.Intn(8) {
				ch := randomChange(rng, 0, &bag, true, func() []types.Datum {
					row := randomRow(rng, 3)()
					if rng.Intn(8) > 0 {
						row[0] = int64(rng.Intn(40))
					}
					return row
				})
				bag.apply(ch)
				run.add(ch)
			}
			now += vec.Time(rng.Intn(5))
			run.flush()
			run.tick++
			run.must(run.op.Tick(Tick{Epoch: run.tick, Now: now}))
			check(step)
			if rng.Intn(4) == 0 {
				run.restart()
				check(step)
			}
		}
		run.close()
	}
}
