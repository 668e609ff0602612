package exec

import (
	"fmt"
	"math/rand"
	"sort"
	"strings"
	"testing"
	"time"

	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
	"streamsql/window"
)

// modelRow is a row of the reference model: the watermark before it, its time, key and value.
type modelRow struct {
	w, ts vec.Time
	k     int64
	v     int32
	op    vec.Op
}

// modelResult aggregates rows naively: count, sum, max and count distinct by key and window.
func modelResult(rows []modelRow, windows func(ts vec.Time) []window.Window, late func(end, w vec.Time) bool) string {
	type group struct {
		k int64
		w window.Window
	}
	g := map[group][]modelRow{}
	for _, r := range rows {
		for _, w := range windows(r.ts) {
			if !late(w.End, r.w) {
				g[group{r.k, w}] = append(g[group{r.k, w}], r)
			}
		}
	}
	var out []string
	for k, rs := range g {
		n, sum := 0, int64(0)
		have := map[int32]int{}
		for _, r := range rs {
			n += int(r.op)
			sum += int64(r.op) * int64(r.v)
			have[r.v] += int(r.op)
		}
		if n == 0 {
			continue
		}
		distinct, top := 0, int32(-1<<31)
		for v, c := range have {
			if c > 0 {
				distinct++
				top = max(top, v)
			}
		}
		out = append(out, fmt.Sprintf("%d %d %d %d %d %d %d %d x1", k.k, k.w.Start, k.w.End, k.w.End-1, n, sum, top, distinct))
	}
	sort.Strings(out)
	return strings.Join(out, "\n")
}

// randomRows makes a feed: times wander forwards, watermarks follow at a distance, and with deletes some rows are taken back.
func randomRows(r *rand.Rand, n int, deletes bool) ([]modelRow, []event) {
	var rows []modelRow
	var evs []event
	now, w := int64(r.Intn(40)-20), vec.MinTime
	for range n {
		now += int64(r.Intn(3))
		row := modelRow{w, now - int64(r.Intn(12)), int64(r.Intn(4)), int32(r.Intn(5)), vec.Insert}
		if deletes && len(rows) > 0 && r.Intn(4) == 0 {
			// Only what is still there, and was not late when it came, is deleted: now it is not late either.
			c := rows[r.Intn(len(rows))]
			if c.op == vec.Insert && c.w != vec.MaxTime && c.ts > w {
				row = modelRow{w, c.ts, c.k, c.v, vec.Delete}
				for i := range rows {
					if rows[i] == c {
						rows[i].op = 2 // spent: see below
						break
					}
				}
			}
		}
		rows = append(rows, row)
		e := ins(row.ts, row.k, row.v)
		e.op = row.op
		evs = append(evs, e)
		if r.Intn(5) == 0 {
			w = max(w, now-int64(r.Intn(10)))
			evs = append(evs, wm(w))
		}
		if r.Intn(10) == 0 {
			evs = append(evs, tick())
		}
	}
	for i := range rows {
		if rows[i].op == 2 {
			rows[i].op = vec.Insert
		}
	}
	return rows, append(evs, tick(), wm(vec.MaxTime))
}

func TestWindowsAgainstModel(t *testing.T) {
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewSource(seed))
	for round := range rounds(100) {
		retract := r.Intn(2) == 0
		leaf := newLeaf(retract, fld("ts", types.Timestamp), fld("k", types.Int8), fld("v", types.Int4))
		var spec window.Spec
		switch r.Intn(3) {
		case 0:
			spec = window.Spec{Kind: window.Tumble, Size: int64(1 + r.Intn(10))}
		case 1:
			slide := int64(1 + r.Intn(6))
			spec = window.Spec{Kind: window.Hop, Slide: slide, Size: int64(1 + r.Intn(12))}
		case 2:
			slide := int64(1 + r.Intn(4))
			spec = window.Spec{Kind: window.Cumulate, Slide: slide, Size: slide * int64(1+r.Intn(4))}
		}
		spec.Offset = int64(r.Intn(7) - 3)
		n := planner.Aggregate{Keys: []int{1}, CloseKey: -1, Window: &spec, OnClose: r.Intn(2) == 0, FreeLate: r.Intn(4) > 0}
		if r.Intn(3) == 0 {
			n.Hold = int64(r.Intn(5))
		}
		if r.Intn(3) == 0 {
			n.Lateness = int64(r.Intn(8))
		}
		s := leaf.Schema()
		distinct := call(t, "count", s, 2)
		distinct.Distinct = true
		n.Aggs = []planner.AggCall{call(t, "count", s), call(t, "sum", s, 2), call(t, "max", s, 2), distinct}
		node := aggNode(leaf, n)
		rows, evs := randomRows(r, 60, retract)
		keep := max(n.Hold, n.Lateness)
		late := func(end, w vec.Time) bool { return (n.OnClose || n.FreeLate) && w >= end+keep && w != vec.MinTime }
		want := modelResult(rows, func(ts vec.Time) []window.Window { return spec.Assign(ts, nil) }, late)
		var log string
		for i, size := range []int{1, 7, 1000} {
			h := run(t, node, true, size, true)
			cut := r.Intn(len(evs))
			h.feed(evs[:cut]...)
			h.restart(node)
			h.feed(evs[cut:]...)
			out := h.close()
			if got := out.table(); got != want {
				t.Fatalf("round %d, batches of %d, %+v %+v\ngot\n%s\nwant\n%s", round, size, n, spec, got, want)
			}
			if n.OnClose && keep == n.Hold { // append-only, in one order
				var rows []string
				for _, l := range out.log {
					if l[0] == '-' {
						t.Fatalf("round %d: deletes from ON WINDOW CLOSE", round)
					}
					if l[0] == '+' {
						rows = append(rows, l)
					}
				}
				if i > 0 && strings.Join(rows, "\n") != log {
					t.Fatalf("round %d: the order depends on the batches\n%s\nthen\n%s", round, log, strings.Join(rows, "\n"))
				}
				log = strings.Join(rows, "\n")
			}
		}
		if !retract {
			h := run(t, node, false, 7, false)
			h.feed(evs...)
			want := modelResult(rows, func(ts vec.Time) []window.Window { return spec.Assign(ts, nil) }, func(_, _ vec.Time) bool { return false })
			if got := h.close().table(); got != want {
				t.Fatalf("round %d snapshot %+v\ngot\n%s\nwant\n%s", round, spec, got, want)
			}
		}
	}
}

// sessionModel gives the sessions of the rows of each key that are there, walking over them in order of time.
func sessionModel(rows []modelRow, gap, maxSpan int64) string {
	byKey := map[int64][]modelRow{}
	for _, r := range rows {
		if r.op == vec.Delete {
			k := byKey[r.k]
			for i := range k {
				if k[i].ts == r.ts && k[i].v == r.v {
					byKey[r.k] = append(k[:i:i], k[i+1:]...)
					break
				}
			}
			continue
		}
		byKey[r.k] = append(byKey[r.k], r)
	}
	var out []string
	for k, rs := range byKey {
		sort.SliceStable(rs, func(i, j int) bool { return rs[i].ts < rs[j].ts })
		for i := 0; i < len(rs); {
			first, end := rs[i].ts, vec.MaxTime
			n, sum := 0, int64(0)
			seen := map[int32]bool{}
			top := rs[i].v
			for ; i < len(rs) && rs[i].ts < end; i++ {
				n++
				sum += int64(rs[i].v)
				seen[rs[i].v] = true
				top = max(top, rs[i].v)
				end = rs[i].ts + gap
				if maxSpan > 0 {
					end = min(end, first+maxSpan)
				}
			}
			out = append(out, fmt.Sprintf("%d %d %d %d %d %d %d %d x1", k, first, end, end-1, n, sum, top, len(seen)))
		}
	}
	sort.Strings(out)
	return strings.Join(out, "\n")
}

func TestSessionsAgainstModel(t *testing.T) {
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewSource(seed))
	for round := range 100 {
		retract := r.Intn(2) == 0
		leaf := newLeaf(retract, fld("ts", types.Timestamp), fld("k", types.Int8), fld("v", types.Int4))
		spec := window.Spec{Kind: window.Session, Gap: int64(1 + r.Intn(4))}
		if r.Intn(3) == 0 {
			spec.MaxSpan = int64(1 + r.Intn(12))
		}
		s := leaf.Schema()
		distinct := call(t, "count", s, 2)
		distinct.Distinct = true
		n := planner.Aggregate{Keys: []int{1}, CloseKey: -1, Window: &spec, Aggs: []planner.AggCall{call(t, "count", s), call(t, "sum", s, 2), call(t, "max", s, 2), distinct}}
		n.OnClose = r.Intn(2) == 0
		if r.Intn(4) == 0 {
			n.SessionKeys = []int{0}
		}
		node := aggNode(leaf, n)
		rows, evs := randomRows(r, 60, retract)
		// Nothing may be late here: watermarks come only at the end.
		var feed []event
		for _, e := range evs {
			if e.kind != 'w' || e.w == vec.MaxTime {
				feed = append(feed, e)
			}
		}
		want := sessionModel(rows, spec.Gap, spec.MaxSpan)
		for _, size := range []int{1, 7, 1000} {
			h := run(t, node, true, size, false)
			cut := r.Intn(len(feed))
			h.feed(feed[:cut]...)
			h.restart(node)
			h.feed(feed[cut:]...)
			if got := h.close().table(); got != want {
				t.Fatalf("round %d, batches of %d, %+v %+v\ngot\n%s\nwant\n%s", round, size, n, spec, got, want)
			}
		}
		if retract {
			continue
		}
		h := run(t, node, false, 7, false)
		h.feed(feed...)
		if got := h.close().table(); got != want {
			t.Fatalf("round %d snapshot\ngot\n%s\nwant\n%s", round, got, want)
		}
		// With watermarks, what is sent does not depend on the batches.
		if n.OnClose {
			var log string
			for i, size := range []int{1, 7, 1000} {
				h := run(t, node, true, size, true)
				h.feed(evs...)
				got := h.close().table()
				if i > 0 && got != log {
					t.Fatalf("round %d: batches of %d give\n%s\nnot\n%s", round, size, got, log)
				}
				log = got
			}
		}
	}
}
