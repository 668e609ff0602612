package exec

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
)

// listFeed gives rows from a list. The first stored ones are those that a query starts from.
type listFeed struct {
	alloc  vec.Allocator
	schema *vec.Schema
	rows   [][]types.Datum
	stored int
	at     int
	idle   int // polls without rows before the end
	polls  *[]int
	id     int
}

func (f *listFeed) Partitions() int { return 1 }

func (f *listFeed) Stored() bool { return f.at < f.stored }

func (f *listFeed) Poll(_ context.Context, max int) (*vec.Batch, int, Status, error) {
	if f.polls != nil {
		*f.polls = append(*f.polls, f.id)
	}
	end := min(f.at+max, len(f.rows))
	if f.at < f.stored {
		end = min(end, f.stored)
	}
	if end == f.at {
		if f.idle > 0 {
			f.idle--
			return nil, 0, Status{State: Idle, Wait: time.Microsecond}, nil
		}
		return nil, 0, Status{State: End}, nil
	}
	b := tbatch(f.alloc, f.schema, f.rows[f.at:end]...)
	f.at = end
	return b, 0, Status{}, nil
}

// steps runs to the end.
func steps(t *testing.T, r *Runner) (n int) {
	t.Helper()
	for range 10000 {
		st, err := r.Step(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		n++
		if st.State == End {
			return n
		}
	}
	t.Fatal("no end")
	return n
}

func ints(xs ...int32) (rows [][]types.Datum) {
	for _, x := range xs {
		rows = append(rows, []types.Datum{x})
	}
	return rows
}

func tunion(in ...planner.Node) *planner.Union {
	u := &planner.Union{In: in}
	u.Describe(in[0].Schema(), planner.Props{})
	return u
}

// A snapshot reads its inputs one after the other; a node that occurs twice is one operator.
func TestRunSnapshot(t *testing.T) {
	alloc := checked(t)
	s := tschema(types.Int4)
	x, y := tscan(s), tscan(s)
	shared := tcalc(x, nil, []planner.Expr{top(t, "+", tcol(0, types.Int4), tint(100))})
	ctx := tctx(alloc)
	ctx.Continuous = false
	g, c := tgraph(t, ctx, tunion(shared, y, shared))
	if n := len(g.Inputs()); n != 2 || g.Inputs()[0].Scan != x || g.Inputs()[0].Watermarked {
		t.Fatalf("%d inputs", n)
	}
	var polls []int
	r := NewRunner(g, []Feed{
		&listFeed{alloc: alloc, schema: s, rows: ints(1, 2), polls: &polls, id: 0, idle: 1},
		&listFeed{alloc: alloc, schema: s, rows: ints(3), polls: &polls, id: 1},
	}, Policy{})
	steps(t, r)
	wantRows(t, drain(c), "101", "102", "101", "102", "3")
	if c.Mark().W != vec.MaxTime || !slices.IsSorted(polls) {
		t.Errorf("mark %v, polls %v", c.Mark(), polls)
	}
	if st, err := r.Step(context.Background()); st.State != End || err != nil {
		t.Error(st, err)
	}
}

// The side that a join keeps is read first.
func TestInputOrder(t *testing.T) {
	s := tschema(types.Int4)
	l, r, other := tscan(s), tscan(s), tscan(s)
	in, ports := inputsOf(&planner.Join{Left: l, Right: r})
	if in[0] != planner.Node(r) || ports[0] != 1 || in[1] != planner.Node(l) {
		t.Error("join")
	}
	if in, _ = inputsOf(tunion(l, r, other)); in[0] != planner.Node(l) || in[2] != planner.Node(other) {
		t.Error("union")
	}
}

func TestBuildRefuses(t *testing.T) {
	alloc := checked(t)
	// An operator that does not open closes the others.
	bad := tcalc(tcalc(tscan(tschema(types.Int4)), nil, []planner.Expr{tcol(0, types.Int4)}), nil, []planner.Expr{&planner.Param{N: 2, Typ: types.Int4}})
	if _, err := Build(tctx(alloc), bad, NewCollector()); pgerr.Code(err) != pgerr.UndefinedParameter {
		t.Errorf("got %v", err)
	}
}

func TestRunContinuous(t *testing.T) {
	alloc := checked(t)
	s := tschema(types.Int4, types.Int4)
	spec := changelog([]int{0})
	n := temit(spec)
	ctx := tctx(alloc)
	g, c := tgraph(t, ctx, n)
	rows := [][]types.Datum{{int32(1), int32(1)}, {int32(2), int32(2)}, {int32(3), int32(3)}, {int32(4), int32(4)}}
	now := vec.Time(100)
	r := NewRunner(g, []Feed{&listFeed{alloc: alloc, schema: s, rows: rows, stored: 3, idle: 2}},
		Policy{Rows: func() int { return 2 }, Now: func() vec.Time { now += 10; return now }})
	steps(t, r)
	got := drain(c)
	// The stored rows come as one _ts, whatever the batches.
	wantRows(t, got, "+I 110 1 1", "+I 110 2 2", "+I 110 3 3", "+I 120 4 4")

	spec.Limit = 2
	g, c = tgraph(t, ctx, temit(spec))
	r = NewRunner(g, []Feed{&listFeed{alloc: alloc, schema: s, rows: rows, idle: 1 << 30}}, Policy{})
	steps(t, r)
	if rows := drain(c); len(rows) != 2 {
		t.Errorf("LIMIT gave %v", rows)
	}
	ctx2, cancel := context.WithCancel(context.Background())
	cancel()
	g, _ = tgraph(t, ctx, temit(changelog(nil)))
	r = NewRunner(g, []Feed{&listFeed{alloc: alloc, schema: s, rows: rows, stored: 1}}, Policy{})
	if _, err := r.Step(ctx2); err != context.Canceled {
		t.Errorf("canceled: %v", err)
	}
}

// Any interleaving, split, tick and restart gives the same rows, and the same net effect where rows change.
func TestRunSeeded(t *testing.T) {
	first := uint64(time.Now().UnixNano())
	t.Logf("first seed %d", first)
	i8 := types.Int8
	s := tschema(types.Int4, types.Int4)
	ws := tschema(i8)
	for seed := first; seed < first+40; seed++ {
		alloc := checked(t)
		rnd := rand.New(rand.NewPCG(seed, 2))
		var rows, events [][]types.Datum
		for i := range 60 {
			rows = append(rows, []types.Datum{rnd.Int32N(10), rnd.Int32N(10)})
			events = append(events, []types.Datum{int64(10*i + rnd.IntN(50))})
		}
		plan := func() planner.Node {
			in := tscan(s)
			a, b := tcol(0, types.Int4), tcol(1, types.Int4)
			p := tcalc(in, []planner.Expr{top(t, "<>", b, tint(0)), top(t, ">", top(t, "/", a, b), tint(0))}, []planner.Expr{a, top(t, "+", a, b)})
			q := twatermark(tscan(ws), 0)
			times := tcalc(q, nil, []planner.Expr{tint(-1), tcast(t, tcol(0, i8), types.Int4)})
			u := tunion(p, times)
			n := temit(changelog(nil))
			e := &planner.Emit{Input: u, Spec: n.Spec}
			e.Describe(n.Schema(), planner.Props{})
			return e
		}
		run := func(p Policy) []string {
			node := plan()
			c := NewCollector()
			defer c.Close()
			now := vec.Time(0)
			p.Now = func() vec.Time { now++; return now }
			build := func() (*Graph, error) { return Build(tctx(alloc), node, c) }
			p.Rebuild = build
			g, err := build()
			if err != nil {
				t.Fatal(err)
			}
			r := NewRunner(g, []Feed{
				&listFeed{alloc: alloc, schema: s, rows: rows, stored: 10},
				&listFeed{alloc: alloc, schema: ws, rows: events},
			}, p)
			steps(t, r)
			if w := c.Mark().W; w != vec.MaxTime {
				t.Errorf("mark %d", w)
			}
			if err := r.Graph().Close(); err != nil {
				t.Error(err)
			}
			var out []string
			for b := c.Next(); b != nil; b = c.Next() {
				v := b.Views(nil)
				for i := range b.N {
					out = append(out, fmt.Sprint(v[0].Datum(i), v[2].Datum(i), v[3].Datum(i)))
				}
				b.Release()
			}
			slices.Sort(out)
			return out
		}
		want := run(Policy{})
		got := run(Policy{
			Pick:    rnd.IntN,
			Rows:    func() int { return 1 + rnd.IntN(9) },
			Tick:    func() bool { return rnd.IntN(3) == 0 },
			Restart: func() bool { return rnd.IntN(3) == 0 },
		})
		wantRows(t, got, want...)
	}
}
