package exec

import (
	"fmt"
	"math"
	"math/rand"
	"slices"
	"strings"
	"testing"

	"streamsql/internal/fn"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
)

// modelOrder sorts rows by keys with the comparison of datums, stably; whole breaks ties by the row.
func modelOrder(ts []types.T, keys []planner.SortKey, whole bool) func(a, b []types.Datum) int {
	one := func(c int, x, y types.Datum, desc, nullsFirst bool) int {
		if x == nil || y == nil {
			switch {
			case x == y:
				return 0
			case (x == nil) == nullsFirst:
				return -1
			}
			return 1
		}
		var a, b vec.Vec
		a.Reset(ts[c].Kind(), 0)
		b.Reset(ts[c].Kind(), 0)
		a.AppendDatum(x)
		b.AppendDatum(y)
		r := fn.CompareVecs(ts[c], &a, 0, &b, 0)
		if desc {
			r = -r
		}
		return r
	}
	return func(a, b []types.Datum) int {
		for _, k := range keys {
			if r := one(k.Col, a[k.Col], b[k.Col], k.Desc, k.NullsFirst); r != 0 {
				return r
			}
		}
		if whole {
			for c := range ts {
				if r := one(c, a[c], b[c], false, false); r != 0 {
					return r
				}
			}
		}
		return 0
	}
}

var sortTypes = []types.T{types.Int8, types.Int4, types.Float8, types.Text, types.Bool, types.Interval}

func sortRow(rng *rand.Rand) []types.Datum {
	row := []types.Datum{
		[]types.Datum{int64(rng.Intn(9) - 4), int64(math.MaxInt64), int64(math.MinInt64), rng.Int63()}[rng.Intn(4)],
		int32(rng.Intn(20) - 10),
		[]types.Datum{float64(rng.Intn(9)-4) / 2, math.NaN(), math.Inf(-1), math.Copysign(0, -1)}[rng.Intn(4)],
		[]string{"", "a", "abcdefgh", "abcdefghi", "abcdefgha", "\xc3\xa9", "b"}[rng.Intn(7)],
		rng.Intn(2) == 0,
		types.Span{Micros: int64(rng.Intn(3)) * 3600e6, Days: int32(rng.Intn(2))}.Bytes(),
	}
	for i := range row {
		if rng.Intn(7) == 0 {
			row[i] = nil
		}
	}
	return row
}

func randomKeys(rng *rand.Rand, cols int) (keys []planner.SortKey) {
	for range 1 + rng.Intn(3) {
		keys = append(keys, planner.SortKey{Col: rng.Intn(cols), Desc: rng.Intn(2) == 0, NullsFirst: rng.Intn(2) == 0})
	}
	return keys
}

func TestSortSnapshot(t *testing.T) {
	for seed := range int64(60) {
		rng := rand.New(rand.NewSource(seed))
		leaf := newRowLeaf(false, sortTypes...)
		n := &planner.Sort{Input: leaf, Keys: randomKeys(rng, len(sortTypes))}
		if seed%4 == 0 {
			n.Keys = n.Keys[:1]
			n.Keys[0].Col = int(seed/4) % len(sortTypes)
		}
		n.Describe(leaf.Schema(), planner.Props{})
		run := newRowRun(t, false, []int{1, 7, 600, 8192}[rng.Intn(4)], func() (Operator, error) { return newSort(n) }, leaf)
		var rows [][]types.Datum
		for i := range 900 {
			row := sortRow(rng)
			rows = append(rows, row)
			run.add(change{0, row, vec.Insert})
			if i == 400 {
				run.flush()
				run.restart()
			}
		}
		run.advance(0, vec.MaxTime)
		slices.SortStableFunc(rows, modelOrder(sortTypes, n.Keys, false))
		var want []string
		for _, r := range rows {
			want = append(want, datumText(r...))
		}
		if got := run.out.order; strings.Join(got, "\n") != strings.Join(want, "\n") {
			for i := range want {
				if i >= len(got) || got[i] != want[i] {
					t.Fatalf("seed %d, keys %+v, row %d: %q, want %q", seed, n.Keys, i, got[i], want[i])
				}
			}
			t.Fatalf("seed %d: %d rows, want %d", seed, len(got), len(want))
		}
		run.close()
	}
}

func TestSortTicks(t *testing.T) {
	leaf := newRowLeaf(true, types.Int8)
	n := &planner.Sort{Input: leaf, Keys: []planner.SortKey{{Col: 0}}}
	n.Describe(leaf.Schema(), planner.Props{Retracts: true})
	run := newRowRun(t, true, 2, func() (Operator, error) { return newSort(n) }, leaf)
	for _, v := range []int64{3, 1, 2} {
		run.add(change{0, []types.Datum{v}, vec.Insert})
	}
	run.advance(0, 7)
	if run.out.mark.W == 7 {
		t.Fatal("the watermark overtook the rows")
	}
	run.step()
	run.add(change{0, []types.Datum{int64(2)}, vec.Delete})
	run.add(change{0, []types.Datum{int64(0)}, vec.Insert})
	run.step()
	if got := fmt.Sprint(run.out.log); got != "[+1 +2 +3 +0 -2]" || run.out.mark.W != 7 {
		t.Fatal(got, run.out.mark)
	}
	run.close()
}

// topModel computes the result of a TopN.
func topModel(n *planner.TopN, ts []types.T, rows [][]types.Datum) (out []string) {
	rows = slices.Clone(rows)
	byKey := modelOrder(ts, n.Keys, false)
	slices.SortStableFunc(rows, modelOrder(ts, n.Keys, true))
	parts := map[string][][]types.Datum{}
	var names []string
	for _, r := range rows {
		var p []types.Datum
		for _, c := range n.Partition {
			p = append(p, r[c])
		}
		k := datumText(p...)
		if parts[k] == nil {
			names = append(names, k)
		}
		parts[k] = append(parts[k], r)
	}
	for _, k := range names {
		part := parts[k]
		for i, r := range part {
			if int64(i) < n.Offset {
				continue
			}
			if n.Limit >= 0 && int64(i) >= n.Offset+n.Limit {
				if !n.WithTies || n.Limit == 0 || byKey(part[n.Offset+n.Limit-1], r) != 0 {
					break
				}
			}
			s := datumText(r...)
			if n.RankCol {
				s += fmt.Sprint(",", i+1)
			}
			out = append(out, s)
		}
	}
	return out
}

func bagOf(rows []string) map[string]int {
	m := map[string]int{}
	for _, r := range rows {
		m[r]++
	}
	return m
}

func TestTopN(t *testing.T) {
	ts := []types.T{types.Int8, types.Int4, types.Float8}
	for seed := range int64(rounds(50)) {
		rng := rand.New(rand.NewSource(seed))
		retracts := seed%2 == 0
		leaf := newRowLeaf(retracts, ts...)
		n := &planner.TopN{Input: leaf, Limit: int64(rng.Intn(6) - 1), Offset: int64(rng.Intn(3)), RankCol: rng.Intn(2) == 0, WithTies: rng.Intn(3) == 0}
		if rng.Intn(8) > 0 {
			n.Keys = randomKeys(rng, len(ts))
		}
		if rng.Intn(2) == 0 {
			n.Partition = []int{0}
		}
		fields := slices.Clone(leaf.Schema().Fields)
		if n.RankCol {
			fields = append(fields, vec.Field{Name: "rank", Type: types.Int8})
		}
		n.Describe(&vec.Schema{Fields: fields}, planner.Props{Retracts: true})
		run := newRowRun(t, true, []int{1, 7, 8192}[rng.Intn(3)], func() (Operator, error) { return newTopN(n) }, leaf)
		var bag rowBag
		row := func() []types.Datum {
			r := []types.Datum{int64(rng.Intn(3)), int32(rng.Intn(6)), float64(rng.Intn(4))}
			if rng.Intn(6) == 0 {
				r[rng.Intn(3)] = nil
			}
			return r
		}
		for step := range 40 {
			for range rng.Intn(10) {
				ch := randomChange(rng, 0, &bag, retracts, row)
				bag.apply(ch)
				run.add(ch)
			}
			before := len(run.out.log)
			run.step()
			if got, want := bagText(run.out.rows), bagText(bagOf(topModel(n, ts, bag.rows))); got != want {
				t.Fatalf("seed %d, %+v, step %d:\n%s\nwant\n%s", seed, *n, step, got, want)
			}
			net := map[string]bool{}
			for _, l := range run.out.log[before:] {
				if net[l[1:]] && !strings.Contains(l, "x") && seenOther(run.out.log[before:], l) {
					t.Fatalf("seed %d: %s is sent and taken back in one tick", seed, l)
				}
				net[l[1:]] = true
			}
			if rng.Intn(8) == 0 {
				run.restart()
			}
		}
		run.close()
	}
}

// seenOther reports whether a row was both sent and taken back.
func seenOther(log []string, l string) bool {
	other := "-" + l[1:]
	if l[0] == '-' {
		other = "+" + l[1:]
	}
	return slices.Contains(log, other)
}

func TestTopNSnapshot(t *testing.T) {
	ts := []types.T{types.Int8, types.Int4, types.Float8}
	for seed := range int64(rounds(40)) {
		rng := rand.New(rand.NewSource(seed))
		leaf := newRowLeaf(false, ts...)
		n := &planner.TopN{Input: leaf, Limit: int64(rng.Intn(40) - 1), Offset: int64(rng.Intn(3)), Sorted: true, WithTies: rng.Intn(3) == 0, Keys: randomKeys(rng, 3)}
		n.Describe(leaf.Schema(), planner.Props{})
		run := newRowRun(t, false, []int{1, 7, 8192}[rng.Intn(3)], func() (Operator, error) { return newTopN(n) }, leaf)
		var bag rowBag
		for i := range 700 {
			ch := change{0, []types.Datum{int64(rng.Intn(9)), int32(rng.Intn(9)), rng.Float64()}, vec.Insert}
			bag.apply(ch)
			run.add(ch)
			if i == 300 {
				run.flush()
				run.restart()
			}
		}
		run.advance(0, vec.MaxTime)
		if got, want := run.out.order, topModel(n, ts, bag.rows); strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Fatalf("seed %d, %+v:\n%q\nwant\n%q", seed, *n, got, want)
		}
		run.close()
	}
}

func TestLimitWithoutOrder(t *testing.T) {
	leaf := newRowLeaf(false, types.Int8)
	n := &planner.TopN{Input: leaf, Limit: 4, Offset: 3}
	n.Describe(leaf.Schema(), planner.Props{})
	run := newRowRun(t, false, 2, func() (Operator, error) { return newTopN(n) }, leaf)
	for i := range int64(10) {
		run.add(change{0, []types.Datum{i}, vec.Insert})
	}
	if got := fmt.Sprint(run.out.order); got != "[3 4 5 6]" || run.out.mark.W != vec.MaxTime {
		t.Fatal(got, run.out.mark)
	}
	run.close()
	n.LimitParam = &planner.Const{Val: int64(-1), Typ: types.Int8}
	op, _ := newTopN(n)
	if err := op.Open(run.ctx, run.out); err == nil || err.Error() != "LIMIT must not be negative" {
		t.Fatal(err)
	}
}

func TestTopNBackfillT56(t *testing.T) {
	leaf := newRowLeaf(true, types.Int8)
	n := &planner.TopN{Input: leaf, Limit: 2, Keys: []planner.SortKey{{Col: 0, Desc: true}}}
	n.Describe(leaf.Schema(), planner.Props{Retracts: true})
	run := newRowRun(t, true, 1, func() (Operator, error) { return newTopN(n) }, leaf)
	for _, v := range []int64{5, 4, 3} {
		run.add(change{0, []types.Datum{v}, vec.Insert})
		run.step()
	}
	run.add(change{0, []types.Datum{int64(5)}, vec.Delete})
	run.step()
	if got := fmt.Sprint(run.out.log); got != "[+5 +4 -5 +3]" {
		t.Fatal(got)
	}
	run.close()
}

func TestSetOp(t *testing.T) {
	ts := []types.T{types.Int8, types.Text}
	for seed := range int64(40) {
		rng := rand.New(rand.NewSource(seed))
		continuous := seed%2 == 0
		l, r := newRowLeaf(continuous, ts...), newRowLeaf(continuous, ts...)
		n := &planner.SetOp{Left: l, Right: r, Except: seed&2 != 0, All: seed&4 != 0}
		n.Describe(l.Schema(), planner.Props{Retracts: true})
		run := newRowRun(t, continuous, []int{1, 7, 8192}[rng.Intn(3)], func() (Operator, error) { return newSetOp(n) }, l, r)
		var bags [2]rowBag
		row := func() []types.Datum {
			r := []types.Datum{int64(rng.Intn(3)), fmt.Sprint("s", rng.Intn(3))}
			if rng.Intn(5) == 0 {
				r[rng.Intn(2)] = nil
			}
			return r
		}
		check := func() {
			var c [2]map[string]int
			for i := range bags {
				c[i] = map[string]int{}
				for _, r := range bags[i].rows {
					c[i][datumText(r...)]++
				}
			}
			want := map[string]int{}
			for k, a := range c[0] {
				b := c[1][k]
				var x int
				switch {
				case n.Except && n.All:
					x = max(a-b, 0)
				case n.Except && b == 0, !n.Except && !n.All && b > 0:
					x = 1
				case !n.Except && n.All:
					x = min(a, b)
				}
				if x > 0 {
					want[k] = x
				}
			}
			if got, want := bagText(run.out.rows), bagText(want); got != want {
				t.Fatalf("seed %d, %+v:\n%s\nwant\n%s", seed, *n, got, want)
			}
		}
		for range 30 {
			for range rng.Intn(8) {
				in := rng.Intn(2)
				ch := randomChange(rng, in, &bags[in], continuous, row)
				bags[in].apply(ch)
				run.add(ch)
			}
			run.step()
			if continuous {
				check()
			}
			if rng.Intn(8) == 0 {
				run.restart()
			}
		}
		run.advance(0, vec.MaxTime)
		run.advance(1, vec.MaxTime)
		run.step()
		check()
		run.close()
	}
}
