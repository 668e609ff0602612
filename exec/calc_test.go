package exec

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"streamsql/internal/fn"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
)

// rowText shows row i of b: its change, values and, where set, watermark.
func rowText(b *vec.Batch, i int) string {
	var s strings.Builder
	if b.Op(i) == vec.Delete {
		s.WriteString("-")
	}
	for c, v := range b.Views(nil) {
		if c > 0 {
			s.WriteByte(' ')
		}
		if d := v.Datum(i); d == nil {
			s.WriteString("~")
		} else {
			fmt.Fprint(&s, d)
		}
	}
	if b.W != nil {
		fmt.Fprintf(&s, " W%d", b.W[i])
	}
	return s.String()
}

// drain takes the rows of a collector as text.
func drain(c *Collector) (rows []string) {
	for b := c.Next(); b != nil; b = c.Next() {
		for i := range b.N {
			rows = append(rows, rowText(b, i))
		}
		b.Release()
	}
	return rows
}

func wantRows(t *testing.T, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Fatalf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func tscan(s *vec.Schema) *planner.Scan {
	n := &planner.Scan{}
	n.Describe(s, planner.Props{})
	return n
}

func tcalc(in planner.Node, filter, exprs []planner.Expr) *planner.Calc {
	n := &planner.Calc{Input: in, Filter: filter, Exprs: exprs}
	s := &vec.Schema{}
	for _, e := range exprs {
		s.Fields = append(s.Fields, vec.Field{Type: e.Type()})
	}
	n.Describe(s, planner.Props{})
	return n
}

// tgraph builds a graph that ends in a collector; both are closed with the test.
func tgraph(t testing.TB, ctx *Context, root planner.Node) (*Graph, *Collector) {
	t.Helper()
	c := NewCollector()
	g, err := Build(ctx, root, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g, c
}

func push(t testing.TB, g *Graph, in int, b *vec.Batch) {
	t.Helper()
	defer b.Release()
	if err := g.Push(in, 0, b); err != nil {
		t.Fatal(err)
	}
}

func TestCalc(t *testing.T) {
	i4 := types.Int4
	a, b := tcol(0, i4), tcol(1, i4)
	s := tschema(i4, i4, types.Text)
	rows := [][]types.Datum{
		{int32(1), int32(10), "one"}, {int32(2), int32(0), "two"}, {nil, int32(5), "null"}, {int32(4), int32(2), nil}, {int32(5), int32(1), "five"},
	}
	gt := func(x planner.Expr, n int32) planner.Expr { return top(t, ">", x, tint(n)) }
	div := top(t, "/", tint(10), b)
	tests := []struct {
		name          string
		filter, exprs []planner.Expr
		want          []string
	}{
		{"all columns", nil, []planner.Expr{tcol(2, types.Text), a}, []string{"one 1", "two 2", "null ~", "~ 4", "five 5"}},
		{"a column twice", nil, []planner.Expr{a, a}, []string{"1 1", "2 2", "~ ~", "4 4", "5 5"}},
		{"no columns", []planner.Expr{gt(a, 3)}, nil, []string{"", ""}},
		{"all pass", []planner.Expr{gt(b, -1)}, []planner.Expr{a, top(t, "+", a, b)}, []string{"1 11", "2 2", "~ ~", "4 6", "5 6"}},
		{"some pass", []planner.Expr{gt(a, 1)}, []planner.Expr{a, tcol(2, types.Text), top(t, "*", a, tint(2)), tint(7)}, []string{"2 two 4 7", "4 ~ 8 7", "5 five 10 7"}},
		{"none passes", []planner.Expr{gt(a, 9)}, []planner.Expr{a}, nil},
		{"guarded by a conjunct", []planner.Expr{top(t, "<>", b, tint(0)), gt(div, 1)}, []planner.Expr{a, div}, []string{"1 1", "~ 2", "4 5", "5 10"}[1:]},
		{"guarded by a later conjunct", []planner.Expr{gt(div, 1), top(t, "<>", b, tint(0))}, []planner.Expr{b}, []string{"5", "2", "1"}},
		{"guarded inside AND", []planner.Expr{&planner.And{Args: []planner.Expr{gt(div, 1), top(t, "<>", b, tint(0)), gt(a, 0)}}}, []planner.Expr{b}, []string{"2", "1"}},
		{"failed row dropped by the filter", []planner.Expr{gt(div, 0)}, []planner.Expr{a}, []string{"1", "~", "4", "5"}},
		{"failed row dropped in the output", nil, []planner.Expr{a, div, tcol(2, types.Text)}, []string{"1 1 one", "~ 2 null", "4 5 ~", "5 10 five"}},
		{"failed row dropped after a filter", []planner.Expr{gt(a, 1)}, []planner.Expr{div, top(t, "+", a, tint(1))}, []string{"5 5", "10 6"}},
		{"three conjuncts", []planner.Expr{gt(a, 1), top(t, "<>", tcol(2, types.Text), ttext("two")), gt(b, 0)}, []planner.Expr{a}, []string{"5"}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			alloc := checked(t)
			ctx := tctx(alloc)
			ctx.RowError = func(err error, b *vec.Batch, row int) error {
				if pgerr.Code(err) != pgerr.DivisionByZero || row != 1 {
					return err
				}
				return nil
			}
			g, c := tgraph(t, ctx, tcalc(tscan(s), tc.filter, tc.exprs))
			for range 2 {
				push(t, g, 0, tbatch(alloc, s, rows...))
				wantRows(t, drain(c), tc.want...)
			}
		})
	}
}

func TestCalcFailsTheQuery(t *testing.T) {
	alloc := checked(t)
	s := tschema(types.Int4)
	div := top(t, "/", tint(1), tcol(0, types.Int4))
	for _, n := range []*planner.Calc{
		tcalc(tscan(s), nil, []planner.Expr{div}),
		tcalc(tscan(s), []planner.Expr{top(t, ">", div, tint(0))}, []planner.Expr{tint(1)}),
	} {
		g, _ := tgraph(t, tctx(alloc), n)
		b := tbatch(alloc, s, []types.Datum{int32(1)}, []types.Datum{int32(0)})
		if err := g.Push(0, 0, b); pgerr.Code(err) != pgerr.DivisionByZero {
			t.Errorf("got %v", err)
		}
		b.Release()
	}
}

// Changes and watermarks stay with their rows, and columns that pass whole are shared.
func TestCalcKeepsOpsAndShares(t *testing.T) {
	alloc := checked(t)
	s := tschema(types.Int4)
	a := tcol(0, types.Int4)
	g, c := tgraph(t, tctx(alloc), tcalc(tscan(s), []planner.Expr{top(t, ">", a, tint(1))}, []planner.Expr{a}))
	in := func() *vec.Batch {
		b := tbatch(alloc, s, []types.Datum{int32(1)}, []types.Datum{int32(2)}, []types.Datum{int32(3)})
		b.Ops, b.W = []vec.Op{1, -1, 1}, []vec.Time{10, 20, 30}
		return b
	}
	push(t, g, 0, in())
	wantRows(t, drain(c), "-2 W20", "3 W30")
	g, c = tgraph(t, tctx(alloc), tcalc(tscan(s), []planner.Expr{top(t, ">", a, tint(0))}, []planner.Expr{a}))
	b := in()
	arr := b.Cols[0]
	push(t, g, 0, b)
	out := c.Next()
	if out.Cols[0] != arr || out.N != 3 {
		t.Error("the column was copied")
	}
	out.Release()
}

// A random filter and projection gives the same rows however they are batched.
func TestCalcRandomSplits(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	alloc := checked(t)
	i4, i8 := types.Int4, types.Int8
	s := tschema(i4, i8, types.Text)
	var rows [][]types.Datum
	for range 500 {
		r := []types.Datum{rnd.Int32N(20), rnd.Int64N(20), fmt.Sprint(rnd.IntN(5))}
		for c := range r {
			if rnd.IntN(8) == 0 {
				r[c] = nil
			}
		}
		rows = append(rows, r)
	}
	a, x := tcol(0, i4), tcol(2, types.Text)
	for range rounds(50) {
		n := rnd.Int32N(20)
		filter := []planner.Expr{
			top(t, ">", a, tint(n)),
			&planner.Or{Args: []planner.Expr{top(t, "=", x, ttext("3")), top(t, ">", top(t, "/", tint(40), top(t, "-", a, tint(n+2))), tint(3))}},
			top(t, "<", tcol(1, i8), tcast(t, tint(rnd.Int32N(30)), i8)),
		}
		rnd.Shuffle(3, func(i, j int) { filter[i], filter[j] = filter[j], filter[i] })
		exprs := []planner.Expr{a, top(t, "||", x, ttext("z")),
			&planner.Case{Whens: []planner.When{{Cond: top(t, "=", x, ttext("1")), Then: tcast(t, x, i4)}}, Else: top(t, "/", tint(9), top(t, "-", a, tint(7))), Typ: i4}}
		node := tcalc(tscan(s), filter[:rnd.IntN(4)], exprs)
		run := func(size func() int) []string {
			ctx := tctx(alloc)
			failed := 0
			ctx.RowError = func(error, *vec.Batch, int) error { failed++; return nil }
			g, c := tgraph(t, ctx, node)
			for at := 0; at < len(rows); {
				end := min(at+size(), len(rows))
				push(t, g, 0, tbatch(alloc, s, rows[at:end]...))
				at = end
			}
			return append(drain(c), fmt.Sprint(failed))
		}
		want := run(func() int { return 1 })
		wantRows(t, run(func() int { return 1000 }), want...)
		wantRows(t, run(func() int { return 1 + rnd.IntN(60) }), want...)
	}
}

func TestUnion(t *testing.T) {
	alloc := checked(t)
	s := tschema(types.Int8)
	x, y := twatermark(tscan(s), 0), twatermark(tscan(s), 0)
	u := &planner.Union{In: []planner.Node{x, y}}
	u.Describe(tschema(types.Int8), planner.Props{})
	g, c := tgraph(t, tctx(alloc), u)
	rows := func(in int, ts ...int64) {
		t.Helper()
		push(t, g, in, times(alloc, s, ts...))
	}
	tick := func(now vec.Time) vec.Time {
		t.Helper()
		if err := g.Tick(Tick{Now: now}); err != nil {
			t.Fatal(err)
		}
		return c.Mark().W
	}
	rows(0, 1200)
	if w := tick(1); w != vec.MinTime {
		t.Errorf("an input without rows must hold the watermark, got %d", w)
	}
	rows(1, 1100)
	if w := tick(2); w != 1100 { // T25
		t.Errorf("watermark %d", w)
	}
	// Row 1150 is behind its own stream's 1200, but the union is at 1100 only.
	rows(0, 1150)
	rows(1, 1300, 1250)
	wantRows(t, drain(c), "1200", "1100", "1150 W1100", "1300 W1100", "1250 W1200")
	if w := tick(3); w != 1200 {
		t.Errorf("watermark %d", w)
	}
	for in := range 2 {
		if err := g.Advance(in, 0, Mark{W: vec.MaxTime}); err != nil {
			t.Fatal(err)
		}
	}
	if w := tick(4); w != vec.MaxTime {
		t.Errorf("at the end: %d", w)
	}
}

// T26: an input that was idle comes back with rows behind the union's watermark.
func TestUnionResume(t *testing.T) {
	alloc := checked(t)
	s := tschema(types.Int8)
	x, y := twatermark(tscan(s), 0), twatermark(tscan(s), 0)
	u := &planner.Union{In: []planner.Node{x, y}}
	u.Describe(s, planner.Props{})
	g, c := tgraph(t, tctx(alloc), u)
	push(t, g, 0, times(alloc, s, 1200))
	if err := g.Advance(1, 0, Mark{Idle: true}); err != nil {
		t.Fatal(err)
	}
	if err := g.Tick(Tick{Now: 1}); err != nil || c.Mark().W != 1200 {
		t.Fatalf("%v %v", err, c.Mark())
	}
	drain(c)
	push(t, g, 1, times(alloc, s, 1130))
	push(t, g, 1, times(alloc, s, 1205))
	got := drain(c)
	wantRows(t, got[:1], "1130 W1200")
	if !strings.HasPrefix(got[1], "1205") {
		t.Error(got[1])
	}
	if err := g.Tick(Tick{Now: 2}); err != nil || c.Mark().W != 1200 {
		t.Fatalf("%v %v", err, c.Mark())
	}
}

func twatermark(in planner.Node, col int) *planner.Watermark {
	w := &planner.Watermark{Input: in, Column: col, Expr: tcol(col, in.Schema().Fields[col].Type)}
	w.Describe(in.Schema(), planner.Props{Watermarks: []int{col}})
	return w
}

// times makes a batch of one int64 column; -1 is NULL.
func times(a vec.Allocator, s *vec.Schema, ts ...int64) *vec.Batch {
	var rows [][]types.Datum
	for _, x := range ts {
		if x == -1 {
			rows = append(rows, []types.Datum{nil})
		} else {
			rows = append(rows, []types.Datum{x})
		}
	}
	return tbatch(a, s, rows...)
}

func TestValuesAndFunctions(t *testing.T) {
	alloc := checked(t)
	v := &planner.Values{Rows: [][]planner.Expr{{tint(1), ttext("a")}, {top(t, "+", tint(1), tint(1)), tnull(types.Text)}}}
	v.Describe(tschema(types.Int4, types.Text), planner.Props{})
	g, c := tgraph(t, tctx(alloc), v)
	if err := g.Tick(Tick{}); err != nil {
		t.Fatal(err)
	}
	wantRows(t, drain(c), "1 a", "2 ~")
	if c.Mark().W != vec.MaxTime {
		t.Error("values must end")
	}

	series, err := fn.ResolveFunc("generate_series", []types.T{types.Int4, types.Int4})
	if err != nil {
		t.Fatal(err)
	}
	f := &planner.TableFunc{Fn: series.Func, Args: []planner.Expr{tint(3), tint(5)}, Ordinality: true}
	f.Describe(tschema(types.Int4, types.Int8), planner.Props{})
	g, c = tgraph(t, tctx(alloc), f)
	if err := g.Tick(Tick{}); err != nil {
		t.Fatal(err)
	}
	wantRows(t, drain(c), "3 1", "4 2", "5 3")

	in := tschema(types.Int4)
	l := &planner.TableFunc{Input: tscan(in), Fn: series.Func, Args: []planner.Expr{tint(1), tcol(0, types.Int4)}, Outer: true}
	l.Describe(tschema(types.Int4, types.Int4), planner.Props{})
	g, c = tgraph(t, tctx(alloc), l)
	push(t, g, 0, tbatch(alloc, in, []types.Datum{int32(2)}, []types.Datum{int32(0)}, []types.Datum{nil}, []types.Datum{int32(1)}))
	wantRows(t, drain(c), "2 1", "2 2", "0 ~", "~ ~", "1 1")

	p := &planner.ProjectSet{Input: tscan(in), Fns: []*fn.Func{series.Func, series.Func}, Args: [][]planner.Expr{{tint(1), tcol(0, types.Int4)}, {tint(5), tint(6)}}}
	p.Describe(tschema(types.Int4, types.Int4, types.Int4), planner.Props{})
	g, c = tgraph(t, tctx(alloc), p)
	push(t, g, 0, tbatch(alloc, in, []types.Datum{int32(3)}, []types.Datum{int32(0)}))
	wantRows(t, drain(c), "3 1 5", "3 2 6", "3 3 ~", "0 ~ 5", "0 ~ 6")
}

// benchBatch has three int8 columns and an int4 one.
func benchProgram(b *testing.B, wide types.T) (*planner.Calc, *vec.Schema) {
	k := func(n int32) planner.Expr {
		if wide.Is(types.Int8) {
			return &planner.Const{Val: int64(n), Typ: types.Int8}
		}
		return tint(n)
	}
	s := tschema(wide, wide, wide, types.Int4)
	x := top(b, ">", top(b, "+", top(b, "*", tcol(0, wide), k(2)), tcol(1, wide)), tcol(2, wide))
	y := top(b, "<", tcol(3, types.Int4), tint(100))
	return tcalc(tscan(s), []planner.Expr{x, y}, []planner.Expr{tcol(0, wide)}), s
}

type discard struct{}

func (discard) Emit(*vec.Batch) error { return nil }
func (discard) Watermark(Mark) error  { return nil }

func BenchmarkCalc(b *testing.B) {
	for _, wide := range []types.T{types.Int4, types.Int8} {
		b.Run(wide.Name(), func(b *testing.B) {
			node, s := benchProgram(b, wide)
			pool := vec.NewPool()
			g, err := Build(tctx(pool), node, discard{})
			if err != nil {
				b.Fatal(err)
			}
			defer g.Close()
			rnd := rand.New(rand.NewPCG(1, 2))
			bb := vec.NewBuilder(pool, s)
			for range vec.MaxRows {
				for c := range 3 {
					if wide.Is(types.Int8) {
						bb.Cols[c].AppendInt64(rnd.Int64N(1000))
					} else {
						bb.Cols[c].AppendInt32(rnd.Int32N(1000))
					}
				}
				bb.Cols[3].AppendInt32(rnd.Int32N(200))
			}
			batch := bb.Finish()
			defer batch.Release()
			b.ReportAllocs()
			for b.Loop() {
				if err := g.Push(0, 0, batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*vec.MaxRows), "ns/row")
		})
	}
}
