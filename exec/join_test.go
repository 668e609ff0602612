package exec

import (
	"fmt"
	"math/rand"
	"testing"

	"streamsql/internal/fn"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
)

// joinCase is a join of (k int8, v int8, t int8) with the same, and what pairs match.
type joinCase struct {
	typ       planner.JoinType
	keys      int // how many of k, v are keys
	nullSafe  bool
	residual  bool // l.v < r.v
	nullAware bool
	bound     *planner.IntervalBound
	window    bool
}

func (c joinCase) String() string {
	return fmt.Sprintf("%s keys=%d nullsafe=%v residual=%v notin=%v interval=%v window=%v", c.typ, c.keys, c.nullSafe, c.residual, c.nullAware, c.bound, c.window)
}

func (c joinCase) node(l, r *rowLeaf) *planner.Join {
	n := &planner.Join{Type: c.typ, Left: l, Right: r, NullAware: c.nullAware, Interval: c.bound}
	n.OnClose = c.bound != nil || c.window
	for k := range c.keys {
		n.LeftKeys, n.RightKeys = append(n.LeftKeys, k), append(n.RightKeys, k)
		n.NullSafe = append(n.NullSafe, c.nullSafe)
	}
	if c.window {
		n.WindowEnd = &[2]int{2, 2}
		n.LeftKeys, n.RightKeys = append(n.LeftKeys, 2), append(n.RightKeys, 2)
		n.NullSafe = append(n.NullSafe, false)
	}
	if c.residual {
		n.Residual = []planner.Expr{&planner.Call{Fn: fn.Less(types.Int8), Typ: types.Bool, Args: []planner.Expr{
			&planner.Column{Index: 1, Typ: types.Int8}, &planner.Column{Index: 4, Typ: types.Int8}}}}
	}
	fields := append([]vec.Field{}, l.Schema().Fields...)
	if c.typ != planner.SemiJoin && c.typ != planner.AntiJoin {
		fields = append(fields, r.Schema().Fields...)
	}
	n.Describe(&vec.Schema{Fields: fields}, planner.Props{Watermarks: []int{2}})
	return n
}

// matches says whether a pair is joined.
func (c joinCase) matches(l, r []types.Datum) bool {
	for k := range c.keys {
		null := l[k] == nil || r[k] == nil
		switch {
		case k == 0 && c.nullAware:
			if !null && l[k] != r[k] {
				return false
			}
		case null:
			if !c.nullSafe || l[k] != r[k] {
				return false
			}
		case l[k] != r[k]:
			return false
		}
	}
	if c.window && (l[2] == nil || l[2] != r[2]) {
		return false
	}
	if c.residual && (l[1] == nil || r[1] == nil || l[1].(int64) >= r[1].(int64)) {
		return false
	}
	if b := c.bound; b != nil {
		if l[2] == nil || r[2] == nil {
			return false
		}
		lt, rt := l[2].(int64), r[2].(int64)
		return lt+b.Lo <= rt && rt <= lt+b.Hi
	}
	return true
}

// naive computes the join of two bags.
func (c joinCase) naive(l, r *rowBag) map[string]int {
	out := map[string]int{}
	seen := make([]bool, len(r.rows))
	none := []types.Datum{nil, nil, nil}
	for _, x := range l.rows {
		any := false
		for k, y := range r.rows {
			if !c.matches(x, y) {
				continue
			}
			any, seen[k] = true, true
			if c.typ != planner.SemiJoin && c.typ != planner.AntiJoin {
				out[datumText(append(append([]types.Datum{}, x...), y...)...)]++
			}
		}
		switch {
		case any && c.typ == planner.SemiJoin, !any && c.typ == planner.AntiJoin:
			out[datumText(x...)]++
		case !any && (c.typ == planner.LeftJoin || c.typ == planner.FullJoin):
			out[datumText(append(append([]types.Datum{}, x...), none...)...)]++
		}
	}
	if c.typ == planner.RightJoin || c.typ == planner.FullJoin {
		for k, y := range r.rows {
			if !seen[k] {
				out[datumText(append(append([]types.Datum{}, none...), y...)...)]++
			}
		}
	}
	return out
}

func joinCases() (cases []joinCase) {
	for _, typ := range []planner.JoinType{planner.InnerJoin, planner.LeftJoin, planner.RightJoin, planner.FullJoin, planner.SemiJoin, planner.AntiJoin} {
		for keys := range 3 {
			for _, res := range []bool{false, true} {
				cases = append(cases, joinCase{typ: typ, keys: keys, residual: res})
			}
		}
		cases = append(cases, joinCase{typ: typ, keys: 2, nullSafe: true})
	}
	for keys := 1; keys <= 2; keys++ {
		for _, res := range []bool{false, true} {
			cases = append(cases, joinCase{typ: planner.AntiJoin, keys: keys, residual: res, nullAware: true})
		}
	}
	return cases
}

func randomRow(rng *rand.Rand, domain int) func() []types.Datum {
	return func() []types.Datum {
		row := make([]types.Datum, 3)
		for i := range row {
			if rng.Intn(8) > 0 {
				row[i] = int64(rng.Intn(domain))
			}
		}
		return row
	}
}

func TestJoinChangelog(t *testing.T) {
	for ci, c := range joinCases() {
		for _, size := range []int{1, 7, 8192} {
			for mode := range 4 {
				seed := int64(1000*ci + 10*size + mode)
				if underRace && (ci+mode)%4 != 0 {
					continue
				}
				rng := rand.New(rand.NewSource(seed))
				retracts := [2]bool{mode&1 != 0, mode&2 != 0}
				l := newRowLeaf(retracts[0], types.Int8, types.Int8, types.Int8)
				r := newRowLeaf(retracts[1], types.Int8, types.Int8, types.Int8)
				n := c.node(l, r)
				run := newRowRun(t, true, size, func() (Operator, error) { return newJoin(n) }, l, r)
				var bags [2]rowBag
				for step := range 12 {
					for range rng.Intn(12) {
						in := rng.Intn(2)
						ch := randomChange(rng, in, &bags[in], retracts[in], randomRow(rng, 4))
						bags[in].apply(ch)
						run.add(ch)
					}
					run.step()
					want := bagText(c.naive(&bags[0], &bags[1]))
					if got := bagText(run.out.rows); got != want {
						t.Fatalf("seed %d, %v, batches of %d, retracts %v, step %d:\n%s\nwant\n%s\nleft %v\nright %v", seed, c, size, retracts, step, got, want, bags[0].rows, bags[1].rows)
					}
					if rng.Intn(6) == 0 {
						run.restart()
					}
				}
				// One side ends: the other goes on.
				in := rng.Intn(2)
				run.advance(in, vec.MaxTime)
				for range 20 {
					ch := randomChange(rng, 1-in, &bags[1-in], retracts[1-in], randomRow(rng, 4))
					bags[1-in].apply(ch)
					run.add(ch)
				}
				run.step()
				if got, want := bagText(run.out.rows), bagText(c.naive(&bags[0], &bags[1])); got != want {
					t.Fatalf("seed %d, %v, after input %d ended:\n%s\nwant\n%s", seed, c, in, got, want)
				}
				run.advance(1-in, vec.MaxTime)
				if run.out.mark.W != vec.MaxTime {
					t.Fatal("the end is not passed on")
				}
				run.close()
			}
		}
	}
}

func TestJoinSnapshot(t *testing.T) {
	for ci, c := range joinCases() {
		for _, size := range []int{1, 7, 8192} {
			for first := range 2 {
				seed := int64(1000*ci + 10*size + first)
				rng := rand.New(rand.NewSource(seed))
				l, r := newRowLeaf(false, types.Int8, types.Int8, types.Int8), newRowLeaf(false, types.Int8, types.Int8, types.Int8)
				n := c.node(l, r)
				run := newRowRun(t, false, size, func() (Operator, error) { return newJoin(n) }, l, r)
				run.out.noTake = true
				var bags [2]rowBag
				feed := func(in, rows int) {
					for range rows {
						ch := change{in, randomRow(rng, 5)(), vec.Insert}
						bags[in].apply(ch)
						run.add(ch)
					}
				}
				feed(first, 30)
				feed(1-first, 20)
				run.step()
				run.restart()
				feed(first, 10)
				run.advance(first, vec.MaxTime)
				feed(1-first, 30)
				run.step()
				run.restart()
				run.advance(1-first, vec.MaxTime)
				if got, want := bagText(run.out.rows), bagText(c.naive(&bags[0], &bags[1])); got != want {
					t.Fatalf("seed %d, %v, batches of %d:\n%s\nwant\n%s", seed, c, size, got, want)
				}
				if run.out.mark.W != vec.MaxTime {
					t.Fatal("the end is not passed on")
				}
				run.close()
			}
		}
	}
}

// TestJoinTimed feeds rows in order of time (give or take) with watermarks: the answer is that of the join of everything,
// nothing is taken back, padded rows come as soon as the watermark allows, and state is freed.
func TestJoinTimed(t *testing.T) {
	types3 := []types.T{types.Int8, types.Int8, types.Int8}
	for _, typ := range []planner.JoinType{planner.InnerJoin, planner.LeftJoin, planner.RightJoin, planner.FullJoin, planner.SemiJoin, planner.AntiJoin} {
		for _, c := range []joinCase{
			{typ: typ, keys: 1, bound: &planner.IntervalBound{LeftTime: 2, RightTime: 2, Lo: -5, Hi: 20}},
			{typ: typ, keys: 1, bound: &planner.IntervalBound{LeftTime: 2, RightTime: 2, Lo: 3, Hi: 9}, residual: true},
			{typ: typ, keys: 0, bound: &planner.IntervalBound{LeftTime: 2, RightTime: 2, Lo: -4, Hi: 0}},
			{typ: typ, keys: 1, window: true},
		} {
			for _, size := range []int{1, 7, 8192} {
				seed := int64(size) + int64(typ)
				rng := rand.New(rand.NewSource(seed))
				l, r := newRowLeaf(false, types3...), newRowLeaf(false, types3...)
				n := c.node(l, r)
				run := newRowRun(t, true, size, func() (Operator, error) { return newJoin(n) }, l, r)
				run.out.noTake = true
				run.out.timeCol = 2
				var bags [2]rowBag
				var w [2]int64
				kept := 0
				for step := range 100 {
					in := rng.Intn(2)
					for range rng.Intn(6) {
						row := []types.Datum{int64(rng.Intn(3)), int64(rng.Intn(5)), w[in] + int64(rng.Intn(8))}
						if rng.Intn(12) == 0 {
							row[rng.Intn(3)] = nil
						}
						ch := change{in, row, vec.Insert}
						bags[in].apply(ch)
						run.add(ch)
					}
					w[in] = max(w[in], int64(step)*2-10+int64(rng.Intn(10)))
					run.advance(in, w[in])
					run.step()
					if rng.Intn(20) == 0 {
						run.restart()
					}
					j := run.op.(*joinOp)
					kept = max(kept, j.sides[0].store.live+j.sides[1].store.live)
					if typ == planner.LeftJoin && c.bound != nil {
						checkPads(t, c, run, &bags, w)
					}
				}
				run.advance(0, vec.MaxTime)
				run.advance(1, vec.MaxTime)
				if got, want := bagText(run.out.rows), bagText(c.naive(&bags[0], &bags[1])); got != want {
					t.Fatalf("seed %d, %v, batches of %d:\n%s\nwant\n%s", seed, c, size, got, want)
				}
				if run.ctx.Stats.LateRows != 0 {
					t.Fatalf("seed %d, %v: %d late rows", seed, c, run.ctx.Stats.LateRows)
				}
				run.close()
			}
		}
	}
}

// checkPads holds T33: a left row is padded exactly when the right watermark is beyond the last time that could match.
func checkPads(t *testing.T, c joinCase, run *rowRun, bags *[2]rowBag, w [2]int64) {
	want := map[string]int{}
	for _, x := range bags[0].rows {
		any := false
		for _, y := range bags[1].rows {
			any = any || c.matches(x, y)
		}
		if any {
			continue
		}
		if x[0] == nil || x[2] == nil || x[2].(int64)+c.bound.Hi < w[1] {
			want[datumText(x[0], x[1], x[2], nil, nil, nil)]++
		}
	}
	got := map[string]int{}
	for r, n := range run.out.rows {
		if r[len(r)-6:] == ",-,-,-" {
			got[r] = n
		}
	}
	// A row with a NULL key and no key column counts as matching nothing by its time alone.
	if c.keys == 0 {
		for r := range want {
			if got[r] == 0 {
				delete(want, r)
			}
		}
	}
	if a, b := bagText(got), bagText(want); a != b {
		t.Fatalf("%v: padded\n%s\nwant\n%s", c, a, b)
	}
}

func TestJoinFreesState(t *testing.T) {
	for _, retracts := range []bool{false, true} {
		l, r := newRowLeaf(retracts, types.Int8, types.Int8, types.Int8), newRowLeaf(false, types.Int8, types.Int8, types.Int8)
		n := joinCase{typ: planner.InnerJoin, keys: 1, bound: &planner.IntervalBound{LeftTime: 2, RightTime: 2, Lo: -10, Hi: 10}}.node(l, r)
		run := newRowRun(t, true, 1000, func() (Operator, error) { return newJoin(n) }, l, r)
		peak := 0
		for i := range 200000 {
			run.add(change{0, []types.Datum{int64(i), int64(0), int64(i / 1000)}, vec.Insert})
			if i%1000 == 999 {
				run.add(change{1, []types.Datum{int64(i), int64(0), int64(i / 1000)}, vec.Insert})
				run.advance(0, int64(i/1000))
				run.advance(1, int64(i/1000))
				peak = max(peak, run.op.(*joinOp).sides[0].store.live)
			}
		}
		if peak > 60000 || peak < 10000 {
			t.Errorf("%d rows kept at the peak", peak)
		}
		if len(run.out.rows) != 200 {
			t.Errorf("%d rows, want 200", len(run.out.rows))
		}
		run.close()
	}
}

func TestJoinLateRows(t *testing.T) {
	l, r := newRowLeaf(false, types.Int8, types.Int8, types.Int8), newRowLeaf(false, types.Int8, types.Int8, types.Int8)
	n := joinCase{typ: planner.LeftJoin, keys: 1, bound: &planner.IntervalBound{LeftTime: 2, RightTime: 2, Lo: 0, Hi: 10}}.node(l, r)
	run := newRowRun(t, true, 100, func() (Operator, error) { return newJoin(n) }, l, r)
	row := func(k, at int64) []types.Datum { return []types.Datum{k, int64(0), at} }
	run.add(change{0, row(1, 100), vec.Insert})
	run.advance(0, 120)
	run.advance(1, 105)
	run.has = true
	run.add(change{1, row(1, 102), vec.Insert}) // behind its watermark, but the left row is not final
	run.add(change{1, row(1, 50), vec.Insert})  // nothing it could meet is left
	run.flush()
	if got := bagText(run.out.rows); got != "1,0,100,1,0,102 x1" || run.ctx.Stats.LateRows != 1 {
		t.Fatalf("%s, %d late", got, run.ctx.Stats.LateRows)
	}
	run.close()
}

// TestJoinWindowEnds: rows of a window are final when the watermark is at its end, those of a time only when it is beyond it.
func TestJoinWindowEnds(t *testing.T) {
	for _, ends := range []bool{false, true} {
		l, r := newRowLeaf(false, types.Int8, types.Int8, types.Int8), newRowLeaf(false, types.Int8, types.Int8, types.Int8)
		n := joinCase{typ: planner.LeftJoin, keys: 1, window: true}.node(l, r)
		n.CloseEnd, n.OnClose = ends, true
		run := newRowRun(t, true, 100, func() (Operator, error) { return newJoin(n) }, l, r)
		row := func(k, end int64) []types.Datum { return []types.Datum{k, int64(0), end} }
		run.add(change{0, row(1, 100), vec.Insert})
		run.flush()
		run.add(change{0, row(2, 110), vec.Insert})
		run.flush()
		run.advance(0, 100)
		run.advance(1, 100)
		run.flush()
		want := ""
		if ends {
			want = "1,0,100,-,-,- x1"
		}
		if got := bagText(run.out.rows); got != want {
			t.Errorf("ends %v: at the end %q, want %q", ends, got, want)
		}
		run.has = true
		run.add(change{1, row(1, 100), vec.Insert}) // behind: of a window that has closed, or just in time
		run.flush()
		if got := run.ctx.Stats.LateRows; got != map[bool]int64{true: 1}[ends] {
			t.Errorf("ends %v: %d late rows", ends, got)
		}
		run.close()
	}
}

func TestJoinSequenceT54(t *testing.T) {
	l, r := newRowLeaf(true, types.Int8, types.Int8, types.Int8), newRowLeaf(true, types.Int8, types.Int8, types.Int8)
	n := joinCase{typ: planner.LeftJoin, keys: 1}.node(l, r)
	run := newRowRun(t, true, 100, func() (Operator, error) { return newJoin(n) }, l, r)
	row := func(v int64) []types.Datum { return []types.Datum{int64(1), v, nil} }
	run.add(change{0, row(0), vec.Insert})
	for _, c := range []change{{1, row(1), vec.Insert}, {1, row(2), vec.Insert}, {1, row(1), vec.Delete}, {1, row(2), vec.Delete}} {
		run.add(c)
		run.step()
	}
	want := "[+1,0,-,-,-,- -1,0,-,-,-,- +1,0,-,1,1,- +1,0,-,1,2,- -1,0,-,1,1,- -1,0,-,1,2,- +1,0,-,-,-,-]"
	if got := fmt.Sprint(run.out.log); got != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
	run.close()
}

func TestJoinSingle(t *testing.T) {
	l, r := newRowLeaf(false, types.Int8, types.Int8, types.Int8), newRowLeaf(false, types.Int8, types.Int8, types.Int8)
	n := joinCase{typ: planner.LeftJoin, keys: 1}.node(l, r)
	n.Single = true
	run := newRowRun(t, false, 100, func() (Operator, error) { return newJoin(n) }, l, r)
	row := func(k, v int64) []types.Datum { return []types.Datum{k, v, nil} }
	run.add(change{1, row(1, 1), vec.Insert})
	run.add(change{1, row(2, 1), vec.Insert})
	run.add(change{1, row(2, 1), vec.Insert})
	run.advance(1, vec.MaxTime)
	run.add(change{0, row(1, 7), vec.Insert})
	run.add(change{0, row(3, 7), vec.Insert})
	run.flush()
	if got, want := bagText(run.out.rows), "1,7,-,1,1,- x1\n3,7,-,-,-,- x1"; got != want {
		t.Fatal(got)
	}
	b := tRowBatch(run, 0, row(2, 7))
	err := run.op.Push(0, b)
	b.Release()
	if pgerr.Code(err) != pgerr.CardinalityViolation {
		t.Fatal(err)
	}
	run.close()
}

func TestJoinSingleChangelog(t *testing.T) {
	l, r := newRowLeaf(true, types.Int8, types.Int8, types.Int8), newRowLeaf(true, types.Int8, types.Int8, types.Int8)
	n := joinCase{typ: planner.LeftJoin}.node(l, r)
	n.Single = true
	run := newRowRun(t, true, 100, func() (Operator, error) { return &singleJoin{n: n}, nil }, l, r)
	row := func(k int64) []types.Datum { return []types.Datum{k, nil, nil} }
	run.add(change{0, row(7), vec.Insert})
	run.add(change{1, row(1), vec.Insert})
	run.step()
	run.add(change{1, row(2), vec.Insert}) // a second match for a moment only
	run.add(change{1, row(1), vec.Delete})
	run.step()
	if got := bagText(run.out.rows); got != "7,-,-,2,-,- x1" {
		t.Fatal(got)
	}
	run.add(change{1, row(3), vec.Insert})
	run.flush()
	if err := run.op.Tick(Tick{}); pgerr.Code(err) != pgerr.CardinalityViolation {
		t.Fatal(err)
	}
	run.close()
}

func tRowBatch(r *rowRun, in int, rows ...[]types.Datum) *vec.Batch {
	b := vec.NewBuilder(r.mem, r.in[in])
	for _, row := range rows {
		b.AppendDatums(row, vec.Insert)
	}
	out := b.Finish()
	b.Release()
	return out
}

// TestJoinRetractingInterval takes rows back before they are final.
func TestJoinRetractingInterval(t *testing.T) {
	for _, typ := range []planner.JoinType{planner.InnerJoin, planner.LeftJoin, planner.FullJoin, planner.SemiJoin, planner.AntiJoin} {
		for seed := range int64(20) {
			rng := rand.New(rand.NewSource(seed))
			l, r := newRowLeaf(true, types.Int8, types.Int8, types.Int8), newRowLeaf(true, types.Int8, types.Int8, types.Int8)
			c := joinCase{typ: typ, keys: 1, bound: &planner.IntervalBound{LeftTime: 2, RightTime: 2, Lo: -3, Hi: 3}}
			n := c.node(l, r)
			run := newRowRun(t, true, 7, func() (Operator, error) { return newJoin(n) }, l, r)
			var bags, young [2]rowBag
			for step := range 60 {
				w := int64(step)
				for in := range 2 {
					for range rng.Intn(4) {
						ch := randomChange(rng, in, &young[in], true, func() []types.Datum {
							return []types.Datum{int64(rng.Intn(3)), int64(rng.Intn(3)), w + int64(rng.Intn(5))}
						})
						bags[in].apply(ch)
						young[in].apply(ch)
						run.add(ch)
					}
				}
				run.step()
				if rng.Intn(10) == 0 {
					run.restart()
				}
				for in := range 2 {
					run.advance(in, w)
					var keep [][]types.Datum
					for _, row := range young[in].rows {
						if row[2].(int64) > w+1 {
							keep = append(keep, row)
						}
					}
					young[in].rows = keep
				}
			}
			run.advance(0, vec.MaxTime)
			run.advance(1, vec.MaxTime)
			if got, want := bagText(run.out.rows), bagText(c.naive(&bags[0], &bags[1])); got != want {
				t.Fatalf("seed %d, %v:\n%s\nwant\n%s", seed, c, got, want)
			}
			run.close()
		}
	}
}
