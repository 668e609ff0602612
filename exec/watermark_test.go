package exec

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/state"
)

// Rows that are behind carry the watermark before each row of their batch; one batch or one row at a time is the same.
func TestWatermark(t *testing.T) {
	tests := []struct {
		name string
		in   []int64
		want []string // the rows, with the watermark where it matters
		mark vec.Time
	}{
		{"ordered", []int64{10, 20, 30}, []string{"10", "20", "30"}, 30},
		{"equal times are on time (T17)", []int64{10, 10, 10, 20}, []string{"10", "10", "10", "20"}, 20},
		{"behind in one batch (T19)", []int64{1000, 1011, 1005}, []string{"1000 Wmin", "1011 W1000", "1005 W1011"}, 1011},
		{"behind (T20)", []int64{1004, 1002, 1010}, []string{"1004 Wmin", "1002 W1004", "1010 W1004"}, 1010},
		{"NULL (T13)", []int64{1, -1, 11}, []string{"1", "~", "11"}, 11},
		{"infinity (T14)", []int64{1, types.PosInfinity, 2, 11}, []string{"1", "inf", "2", "11"}, 11},
		{"-infinity", []int64{5, types.NegInfinity}, []string{"5 Wmin", "-inf W5"}, 5},
	}
	show := strings.NewReplacer(fmt.Sprint(vec.MinTime), "min", fmt.Sprint(types.PosInfinity), "inf")
	for _, tc := range tests {
		for _, size := range []int{1, 2, 100} {
			t.Run(fmt.Sprintf("%s/%d", tc.name, size), func(t *testing.T) {
				alloc := checked(t)
				s := tschema(types.Timestamp)
				ctx := tctx(alloc)
				g, c := tgraph(t, ctx, twatermark(tscan(s), 0))
				for at := 0; at < len(tc.in); at += size {
					push(t, g, 0, times(alloc, s, tc.in[at:min(at+size, len(tc.in))]...))
				}
				var got []string
				for _, r := range drain(c) {
					r = strings.Replace(r, fmt.Sprint(types.NegInfinity)+" ", "-inf ", 1)
					got = append(got, show.Replace(r))
				}
				// A batch without W says that no row of it is behind; with one, all rows have it.
				for i := range got {
					want := tc.want[i]
					if !strings.Contains(got[i], "W") {
						row := tc.in[i]
						if _, w, ok := strings.Cut(want, " W"); ok && size > 1 && w != "min" && row != -1 {
							var x int64
							fmt.Sscan(w, &x)
							if row < x {
								t.Errorf("row %d is behind W%s but carries none", row, w)
							}
						}
						want, _, _ = strings.Cut(want, " W")
					}
					if g, _, _ := strings.Cut(got[i], " W"); !strings.Contains(tc.want[i], "W") {
						got[i] = g
					}
					if got[i] != want {
						t.Errorf("row %d: got %q, want %q", i, got[i], want)
					}
				}
				if err := g.Tick(Tick{Now: 1}); err != nil {
					t.Fatal(err)
				}
				if c.Mark().W != tc.mark {
					t.Errorf("mark %d, want %d", c.Mark().W, tc.mark)
				}
			})
		}
	}
}

func TestWatermarkCounts(t *testing.T) {
	alloc := checked(t)
	s := tschema(types.Timestamp)
	ctx := tctx(alloc)
	ctx.Fn.Clock = func() vec.Time { return 1000 }
	n := twatermark(tscan(s), 0)
	n.MaxFuture = 50
	g, c := tgraph(t, ctx, n)
	push(t, g, 0, times(alloc, s, 10, -1, types.PosInfinity, 1051, 1050, -1))
	if err := g.Tick(Tick{Now: 2000}); err != nil {
		t.Fatal(err)
	}
	drain(c)
	p := g.Watermark(0)[0]
	if c.Mark().W != 1050 || p.NullTimes != 2 || p.Future != 2 || p.Rows != 6 || p.State != "active" || p.LastRowAt != 2000 {
		t.Errorf("mark %v, %+v", c.Mark(), p)
	}
	if ctx.Stats.NullTimes != 2 || ctx.Stats.FutureRows != 2 || ctx.Stats.Rows != 6 {
		t.Errorf("%+v", ctx.Stats)
	}
}

// An expression other than the column: ts - 5.
func TestWatermarkDelay(t *testing.T) {
	alloc := checked(t)
	s := tschema(types.Int8, types.Int8) // the second column is the watermark's (bidtime AS wm)
	n := twatermark(tscan(s), 0)
	n.Expr = tcol(1, types.Int8)
	g, c := tgraph(t, tctx(alloc), n)
	push(t, g, 0, tbatch(alloc, s, []types.Datum{int64(100), int64(95)}, []types.Datum{int64(96), int64(91)}, []types.Datum{int64(94), nil}))
	got := drain(c)
	if got[2] != "94 ~ W95" || got[1] != "96 91 W95" {
		t.Error(got)
	}
}

func TestWatermarkPartitions(t *testing.T) {
	alloc := checked(t)
	s := tschema(types.Timestamp)
	n := twatermark(tscan(s), 0)
	n.IdleTimeout = 100
	g, c := tgraph(t, tctx(alloc), n)
	g.SetPartitions(0, 2)
	feed := func(part int, ts ...int64) {
		t.Helper()
		b := times(alloc, s, ts...)
		defer b.Release()
		if err := g.Push(0, part, b); err != nil {
			t.Fatal(err)
		}
	}
	tick := func(now, want vec.Time) {
		t.Helper()
		if err := g.Tick(Tick{Now: now}); err != nil {
			t.Fatal(err)
		}
		if c.Mark().W != want {
			t.Fatalf("at %d: mark %d, want %d", now, c.Mark().W, want)
		}
	}
	feed(0, 50)
	tick(1000, vec.MinTime) // the other partition has had no row: it holds
	if g.NextTimer() != 1100 {
		t.Errorf("next timer %d", g.NextTimer())
	}
	feed(0, 60, 40) // 40 is behind its partition, but not behind the stream
	tick(1099, vec.MinTime)
	wantRows(t, drain(c), "50", "60", "40")
	tick(1100, 60) // the other partition is idle
	feed(1, 30, 70)
	got := drain(c)
	wantRows(t, got, "30 W60", "70 W60")
	tick(1110, 60)
	feed(0, 80)
	tick(1120, 70)

	var w state.Writer
	if err := g.Snapshot(&w); err != nil {
		t.Fatal(err)
	}
	h, d := tgraph(t, tctx(alloc), n)
	if err := h.Restore(state.NewReader(w.Bytes())); err != nil {
		t.Fatal(err)
	}
	b := times(alloc, s, 65)
	if err := h.Push(0, 1, b); err != nil {
		t.Fatal(err)
	}
	b.Release()
	wantRows(t, drain(d), "65 W70")
	if p := h.Watermark(0); len(p) != 2 || p[0].W != 80 || p[1].Rows != 3 {
		t.Errorf("%+v", p)
	}
	for p := range 2 {
		if err := h.Advance(0, p, Mark{W: vec.MaxTime}); err != nil {
			t.Fatal(err)
		}
	}
	if d.Mark().W != vec.MaxTime {
		t.Error("ended partitions must end the stream")
	}
	if err := h.Restore(state.NewReader(w.Bytes()[:3])); err == nil {
		t.Error("a state cut short must be refused")
	}
	drain(c)
}

// Which rows are behind which watermark must not depend on batches.
func TestWatermarkRandomSplits(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	alloc := checked(t)
	s := tschema(types.Timestamp)
	for range 30 {
		var rows []int64
		for i := range 100 {
			rows = append(rows, int64(i*10+rnd.IntN(60)))
		}
		// behind gives for each row the watermark it is behind of, if any.
		behind := func(size func() int) (out []string) {
			g, c := tgraph(t, tctx(alloc), twatermark(tscan(s), 0))
			for at := 0; at < len(rows); {
				end := min(at+size(), len(rows))
				push(t, g, 0, times(alloc, s, rows[at:end]...))
				at = end
				if rnd.IntN(3) == 0 {
					if err := g.Tick(Tick{}); err != nil {
						t.Fatal(err)
					}
				}
			}
			for b := c.Next(); b != nil; b = c.Next() {
				v := b.Views(nil)[0]
				for i := range b.N {
					if b.W != nil && v.I64[i] < b.W[i] {
						out = append(out, fmt.Sprint(v.I64[i], b.W[i]))
					} else {
						out = append(out, fmt.Sprint(v.I64[i]))
					}
				}
				b.Release()
			}
			return out
		}
		want := behind(func() int { return 1 })
		wantRows(t, behind(func() int { return 1 + rnd.IntN(40) }), want...)
		wantRows(t, behind(func() int { return 100 }), want...)
	}
}
