package exec

import (
	"fmt"
	"sort"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow/memory"

	"streamsql/internal/fn"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
	"streamsql/state"
	"streamsql/window"
)

// testLeaf is a leaf that tests feed by hand.
type testLeaf struct{ planner.Values }

func newLeaf(retracts bool, fields ...vec.Field) *testLeaf {
	l := &testLeaf{}
	l.Describe(vec.NewSchema(fields...), planner.Props{Retracts: retracts})
	return l
}

// event is a step of a test: a row, a watermark or a tick.
type event struct {
	row  []types.Datum
	op   vec.Op
	w    vec.Time
	kind byte // r(ow), w(atermark), t(ick)
}

func ins(row ...types.Datum) event { return event{row: row, op: vec.Insert, kind: 'r'} }
func del(row ...types.Datum) event { return event{row: row, op: vec.Delete, kind: 'r'} }
func wm(w vec.Time) event          { return event{w: w, kind: 'w'} }
func tick() event                  { return event{kind: 't'} }

// collected is what an operator sent.
type collected struct {
	log  []string
	rows map[string]int
}

func (c *collected) Emit(b *vec.Batch) error {
	views := b.Views(nil)
	for i := range b.N {
		var s []string
		for j := range views {
			s = append(s, show(b.Schema.Fields[j].Type, views[j].Datum(i)))
		}
		r := strings.Join(s, " ")
		sign := "+"
		if b.Op(i) == vec.Delete {
			sign = "-"
		}
		c.log = append(c.log, sign+" "+r)
		if c.rows == nil {
			c.rows = map[string]int{}
		}
		c.rows[r] += int(b.Op(i))
		if c.rows[r] == 0 {
			delete(c.rows, r)
		}
	}
	releaseViews(views)
	return nil
}

func (c *collected) Watermark(m Mark) error {
	switch m.W {
	case vec.MaxTime:
		c.log = append(c.log, "W max")
	case vec.MinTime:
	default:
		c.log = append(c.log, fmt.Sprint("W ", m.W))
	}
	return nil
}

// table gives the sum of the changes.
func (c *collected) table() string {
	var s []string
	for r, n := range c.rows {
		s = append(s, fmt.Sprintf("%s x%d", r, n))
	}
	sort.Strings(s)
	return strings.Join(s, "\n")
}

func show(t types.T, d types.Datum) string {
	switch x := d.(type) {
	case nil:
		return "NULL"
	case string:
		if t.Is(types.Numeric) {
			return types.NumericOf(x).String()
		}
		return x
	}
	return fmt.Sprint(d)
}

type harness struct {
	t     *testing.T
	mem   *memory.CheckedAllocator
	ctx   *Context
	op    Operator
	out   *collected
	in    *vec.Schema
	batch int // rows a batch
	b     *vec.Builder
	w     vec.Time
	ws    []vec.Time
	useW  bool
}

func run(t *testing.T, n planner.Node, continuous bool, batch int, withW bool) *harness {
	t.Helper()
	h := &harness{t: t, mem: memory.NewCheckedAllocator(memory.NewGoAllocator()), out: &collected{}, batch: batch, w: vec.MinTime, useW: withW}
	h.ctx = &Context{Alloc: h.mem, Fn: &fn.Ctx{}, Continuous: continuous, Stats: &Stats{}}
	h.in = n.Inputs()[0].Schema()
	h.b = vec.NewBuilder(h.mem, h.in)
	h.op = h.open(n)
	return h
}

func (h *harness) open(n planner.Node) Operator {
	var op Operator
	var err error
	switch n := n.(type) {
	case *planner.Aggregate:
		op, err = newAggregate(n)
	case *planner.WindowTVF:
		op, err = newWindowTVF(n)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	if err := op.Open(h.ctx, h.out); err != nil {
		h.t.Fatal(err)
	}
	return op
}

func (h *harness) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *harness) push() {
	if h.b.Len() == 0 {
		return
	}
	if h.useW {
		h.b.W = h.ws
		h.ws = nil
	}
	b := h.b.Finish()
	h.must(h.op.Push(0, b))
	b.Release()
}

// feed plays events. Watermarks are given to the operator when a batch ends; rows know them at once.
func (h *harness) feed(evs ...event) *harness {
	h.t.Helper()
	pending := h.w
	for _, e := range evs {
		switch e.kind {
		case 'r':
			h.b.AppendDatums(e.row, e.op)
			h.ws = append(h.ws, pending)
			if h.b.Len() >= h.batch {
				h.push()
				h.advance(pending)
			}
		case 'w':
			pending = max(pending, e.w)
			if !h.useW || h.b.Len() == 0 || e.w == vec.MaxTime {
				h.push()
				h.advance(pending)
			}
		case 't':
			h.push()
			h.advance(pending)
			h.must(h.op.Tick(Tick{}))
		}
	}
	h.push()
	h.advance(pending)
	return h
}

func (h *harness) advance(w vec.Time) {
	if w > h.w {
		h.w = w
		h.must(h.op.Advance(0, Mark{W: w}))
	}
}

// restart snapshots the operator and goes on in a new one.
func (h *harness) restart(n planner.Node) {
	h.push()
	h.must(h.op.Tick(Tick{}))
	var w state.Writer
	h.must(h.op.Snapshot(&w))
	h.must(h.op.Close())
	h.op = h.open(n)
	r := state.NewReader(append([]byte(nil), w.Bytes()...))
	h.must(h.op.Restore(r))
	if r.Len() != 0 {
		h.t.Fatalf("%d bytes of state not read", r.Len())
	}
}

func (h *harness) close() *collected {
	h.must(h.op.Close())
	h.b.Release()
	h.mem.AssertSize(h.t, 0)
	return h.out
}

func call(t testing.TB, name string, in *vec.Schema, args ...int) planner.AggCall {
	var ts []types.T
	for _, a := range args {
		ts = append(ts, in.Fields[a].Type)
	}
	r, err := fn.ResolveAgg(name, ts)
	if err != nil {
		t.Fatal(err)
	}
	return planner.AggCall{Agg: r.Agg, Options: fn.AggOptions{Args: r.Args, Ret: r.Ret}, Args: args, Filter: -1, Name: name}
}

// aggNode makes an Aggregate whose schema follows from its parts.
func aggNode(in planner.Node, n planner.Aggregate) *planner.Aggregate {
	n.Input = in
	var f []vec.Field
	for _, k := range n.Keys {
		f = append(f, in.Schema().Fields[k])
	}
	if n.Window != nil {
		tt := in.Schema().Fields[n.TimeCol].Type
		for _, c := range []string{"window_start", "window_end", "window_time"} {
			f = append(f, vec.Field{Name: c, Type: tt})
		}
	}
	for _, a := range n.Aggs {
		f = append(f, vec.Field{Name: a.Name, Type: a.Options.Ret})
	}
	n.Describe(vec.NewSchema(f...), planner.Props{})
	return &n
}

const minute = 60_000_000

func fld(name string, t types.T) vec.Field { return vec.Field{Name: name, Type: t} }

func expect(t *testing.T, c *collected, want string) {
	t.Helper()
	var w []string
	for _, l := range strings.Split(strings.TrimSpace(want), "\n") {
		w = append(w, strings.TrimSpace(l))
	}
	if got := strings.Join(c.log, "\n"); got != strings.Join(w, "\n") {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(w, "\n"))
	}
}

func TestGroupChanges(t *testing.T) {
	leaf := newLeaf(true, fld("k", types.Text), fld("v", types.Int4))
	s := leaf.Schema()
	n := aggNode(leaf, planner.Aggregate{Keys: []int{0}, CloseKey: -1, Aggs: []planner.AggCall{call(t, "count", s), call(t, "max", s, 1)}})
	for _, size := range []int{1, 7} {
		h := run(t, n, true, size, false)
		h.feed(ins("a", int32(5)), tick(), ins("a", int32(9)), tick(), del("a", int32(9)), tick(), // T44
			ins("b", int32(1)), tick(), del("b", int32(1)), tick(), // T45
			ins("c", int32(1)), del("c", int32(1)), tick()) // never was
		h.restart(n)
		h.feed(ins("a", int32(9)), ins("a", int32(9)), tick(), del("a", int32(9)), tick())
		expect(t, h.close(), `+ a 1 5
			- a 1 5
			+ a 2 9
			- a 2 9
			+ a 1 5
			+ b 1 1
			- b 1 1
			- a 1 5
			+ a 3 9
			- a 3 9
			+ a 2 9`)
	}
}

func TestGlobalAggregate(t *testing.T) { // T46
	leaf := newLeaf(true, fld("v", types.Int4))
	n := aggNode(leaf, planner.Aggregate{CloseKey: -1, Aggs: []planner.AggCall{call(t, "count", leaf.Schema()), call(t, "sum", leaf.Schema(), 0)}})
	h := run(t, n, true, 1, false)
	h.feed(tick(), ins(int32(1)), tick(), del(int32(1)), tick())
	expect(t, h.close(), "+ 0 NULL\n- 0 NULL\n+ 1 1\n- 1 1\n+ 0 NULL")

	h = run(t, n, false, 1, false)
	h.feed(wm(vec.MaxTime))
	expect(t, h.close(), "+ 0 NULL\nW max")
}

func tumble10(leaf planner.Node, t *testing.T, f func(*planner.Aggregate)) *planner.Aggregate {
	n := planner.Aggregate{CloseKey: -1, TimeCol: 0, Window: &window.Spec{Kind: window.Tumble, Size: 10 * minute},
		OnClose: true, FreeLate: true, Aggs: []planner.AggCall{call(t, "count", leaf.Schema()), call(t, "sum", leaf.Schema(), 1)}}
	if f != nil {
		f(&n)
	}
	return aggNode(leaf, n)
}

// at makes a row at a minute.
func at(min int, v int) event { return ins(int64(min)*minute, int32(v)) }

func w(min int) event { return wm(int64(min) * minute) }

// minutes writes the times of a log in minutes.
func minutes(c *collected) *collected {
	for i, l := range c.log {
		f := strings.Fields(l)
		for j, x := range f {
			var n int64
			if _, err := fmt.Sscan(x, &n); err == nil && n > minute/2 {
				f[j] = fmt.Sprintf("%dm", (n+1)/minute)
			}
		}
		c.log[i] = strings.Join(f, " ")
	}
	return c
}

// TestWorkedExample is the feed of dialect.md 5.
func TestWorkedExample(t *testing.T) {
	leaf := newLeaf(false, fld("ts", types.Timestamp), fld("v", types.Int4))
	feed := []event{w(5), at(7, 2), tick(), at(11, 3), tick(), at(5, 4), tick(), w(8), at(9, 5), tick(), w(12), tick(), at(13, 1), tick(), at(17, 6), tick(), w(20), tick(), at(8, 7), tick(), w(31), tick(), at(6, 9), tick()}
	for _, c := range []struct {
		name, want string
		late       int64
		f          func(*planner.Aggregate)
	}{
		{"close", `W 5m
			W 8m
			+ 0 10m 10m 3 11
			W 12m
			+ 10m 20m 20m 3 10
			W 20m
			W 31m`, 2, nil},
		{"lateness", `+ 0 10m 10m 3 11
			+ 10m 20m 20m 3 10
			W 5m
			- 0 10m 10m 3 11
			+ 0 10m 10m 4 18
			W 16m`, 1, func(n *planner.Aggregate) { n.Lateness = 15 * minute }},
		{"delay", `W 0
			W 3m
			W 7m
			+ 0 10m 10m 3 11
			W 15m
			+ 10m 20m 20m 3 10
			W 26m`, 2, func(n *planner.Aggregate) { n.Hold = 5 * minute }},
		{"changes", `W 5m
			+ 0 10m 10m 1 2
			+ 10m 20m 20m 1 3
			- 0 10m 10m 1 2
			+ 0 10m 10m 2 6
			W 8m
			- 0 10m 10m 2 6
			+ 0 10m 10m 3 11
			W 12m
			- 10m 20m 20m 1 3
			+ 10m 20m 20m 2 4
			- 10m 20m 20m 2 4
			+ 10m 20m 20m 3 10
			W 20m
			W 31m`, 2, func(n *planner.Aggregate) { n.OnClose = false }},
	} {
		for _, size := range []int{1, 7} {
			h := run(t, tumble10(leaf, t, c.f), true, size, true)
			h.feed(feed...)
			late := h.ctx.Stats.LateRows
			out := minutes(h.close())
			var log []string
			for _, l := range out.log {
				if !strings.HasPrefix(l, "W -") {
					log = append(log, l)
				}
			}
			out.log = log
			if late != c.late {
				t.Errorf("%s: %d late rows, want %d", c.name, late, c.late)
			}
			t.Run(c.name, func(t *testing.T) { expect(t, out, c.want) })
		}
	}
}

func sessionNode(t *testing.T, leaf planner.Node, gap int64, f func(*planner.Aggregate)) *planner.Aggregate {
	n := planner.Aggregate{Keys: []int{1}, CloseKey: -1, TimeCol: 0, Window: &window.Spec{Kind: window.Session, Gap: gap},
		FreeLate: true, Aggs: []planner.AggCall{call(t, "count", leaf.Schema())}}
	if f != nil {
		f(&n)
	}
	return aggNode(leaf, n)
}

func kv(min int, k string) event { return ins(int64(min)*minute, k) }

func TestSessions(t *testing.T) {
	leaf := newLeaf(false, fld("ts", types.Timestamp), fld("k", types.Text))
	// T39: a bridge merges two sessions.
	h := run(t, sessionNode(t, leaf, 6*minute, nil), true, 1, true)
	h.feed(kv(0, "a"), tick(), kv(10, "a"), tick(), kv(5, "a"), tick())
	expect(t, minutes(h.close()), "+ a 0 6m 6m 1\n+ a 10m 16m 16m 1\n- a 0 6m 6m 1\n- a 10m 16m 16m 1\n+ a 0 16m 16m 3")
	// With gap 5 the three stay apart (T38: strict), and keys do not bridge (T42).
	for _, size := range []int{1, 7} {
		h = run(t, sessionNode(t, leaf, 5*minute, func(n *planner.Aggregate) { n.OnClose = true }), true, size, true)
		h.feed(kv(0, "a"), kv(10, "a"), kv(5, "a"), kv(3, "b"), wm(vec.MaxTime))
		expect(t, minutes(h.close()), "+ a 0 5m 5m 1\n+ b 3m 8m 8m 1\n+ a 5m 10m 10m 1\n+ a 10m 15m 15m 1\nW max")
		// A row inside a closed session is late.
		h = run(t, sessionNode(t, leaf, 5*minute, func(n *planner.Aggregate) { n.OnClose = true }), true, size, true)
		h.feed(kv(0, "a"), kv(4, "a"), w(9), kv(8, "a"), kv(9, "a"), w(10), kv(7, "b"), kv(1, "b"), wm(vec.MaxTime))
		if h.ctx.Stats.LateRows != 2 {
			t.Errorf("late %d", h.ctx.Stats.LateRows)
		}
		want := "+ a 0 9m 9m 2\nW 9m\nW 10m\n+ b 7m 12m 12m 1\n+ a 9m 14m 14m 1\nW max"
		if size > 1 { // the marks come at the end of the batch
			want = "+ a 0 9m 9m 2\n+ b 7m 12m 12m 1\n+ a 9m 14m 14m 1\nW max"
		}
		expect(t, minutes(h.close()), want)
	}
}
