package exec

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sort"
	"strings"
	"testing"
	"time"

	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/parser/ast"
	"streamsql/sql/planner"
	"streamsql/state"
)

// temit makes an Emit over a scan of (k int4, v int4).
func temit(spec planner.EmitSpec) *planner.Emit {
	in := tscan(tschema(types.Int4, types.Int4))
	n := &planner.Emit{Input: in, Spec: spec}
	var f []vec.Field
	op, ts := vec.Field{Name: "_op", Type: types.Text}, vec.Field{Name: "_ts", Type: types.Timestamptz}
	progress := vec.Field{Name: "_progressed", Type: types.Bool}
	switch {
	case spec.Subscribe:
		f = append(f, ts, progress, vec.Field{Name: "_diff", Type: types.Int8})
	case spec.Envelope == planner.EnvelopePeriodic:
		f = append(f, ts)
	case spec.Envelope != planner.EnvelopeAppend:
		f = append(f, op, ts)
	case spec.Progress:
		f = append(f, ts)
	}
	if spec.Progress && !spec.Subscribe {
		f = append(f, progress)
	}
	n.Describe(vec.NewSchema(append(f, in.Schema().Fields...)...), planner.Props{})
	return n
}

func changelog(key []int) planner.EmitSpec {
	return planner.EmitSpec{Trigger: ast.EmitChanges, Envelope: planner.EnvelopeChangelog, Key: key, Snapshot: true, Limit: -1}
}

// emitTest drives an Emit with a script: "+k v" and "-k v" are rows, "@t" a tick at t, "|" ends a batch, "end" ends the input.
type emitTest struct {
	t    *testing.T
	ctx  *Context
	node *planner.Emit
	g    *Graph
	c    *Collector
	rows []string
}

func newEmitTest(t *testing.T, spec planner.EmitSpec) *emitTest {
	e := &emitTest{t: t, ctx: tctx(checked(t)), node: temit(spec), c: NewCollector()}
	var err error
	if e.g, err = Build(e.ctx, e.node, e.c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		e.c.Close()
		e.g.Close()
	})
	return e
}

func (e *emitTest) play(script string) error {
	b := vec.NewBuilder(e.ctx.Alloc, e.node.Input.Schema())
	defer b.Release()
	flush := func() error {
		batch := b.Finish()
		defer batch.Release()
		return e.g.Push(0, 0, batch)
	}
	defer func() { e.rows = append(e.rows, drain(e.c)...) }()
	for _, w := range strings.Split(script, ",") {
		w = strings.TrimSpace(w)
		var err error
		switch {
		case w == "":
		case w == "|":
			err = flush()
		case w == "end":
			if err = flush(); err == nil {
				err = e.g.Advance(0, 0, Mark{W: vec.MaxTime})
			}
		case w[0] == '@':
			if err = flush(); err == nil {
				var now int64
				fmt.Sscan(w[1:], &now)
				err = e.g.Tick(Tick{Now: now})
			}
		default:
			var k, v int32
			fmt.Sscan(w[1:], &k, &v)
			op := vec.Insert
			if w[0] == '-' {
				op = vec.Delete
			}
			b.AppendDatums([]types.Datum{k, v}, op)
		}
		if err != nil {
			return err
		}
	}
	return flush()
}

// restart carries the state over into a new graph.
func (e *emitTest) restart() {
	e.t.Helper()
	var w state.Writer
	if err := e.g.Snapshot(&w); err != nil {
		e.t.Fatal(err)
	}
	e.g.Close()
	var err error
	if e.g, err = Build(e.ctx, e.node, e.c); err == nil {
		err = e.g.Restore(state.NewReader(w.Bytes()))
	}
	if err != nil {
		e.t.Fatal(err)
	}
}

func TestEmit(t *testing.T) {
	key := []int{0}
	with := func(s planner.EmitSpec, f func(*planner.EmitSpec)) planner.EmitSpec {
		f(&s)
		return s
	}
	upsert := func(batch int64) planner.EmitSpec {
		return with(changelog(key), func(s *planner.EmitSpec) {
			s.Trigger, s.Envelope, s.Batch = ast.EmitOnUpdate, planner.EnvelopeUpsert, batch
		})
	}
	appendOnly := with(changelog(nil), func(s *planner.EmitSpec) { s.Trigger, s.Envelope = ast.EmitOnClose, planner.EnvelopeAppend })
	delay := with(changelog(key), func(s *planner.EmitSpec) { s.Trigger, s.Delay = ast.EmitAfterDelay, 6 })
	period := with(changelog(nil), func(s *planner.EmitSpec) {
		s.Trigger, s.Envelope, s.Period = ast.EmitPeriodic, planner.EnvelopePeriodic, 10
	})
	tests := []struct {
		name, script string
		spec         planner.EmitSpec
		want         []string
	}{
		// The worked example of the dialect: windows 800 and 810, value s; minutes after 8:00 as time.
		{"worked example, changes", "@0, +800 2,@8, +810 3,@12, -800 2,+800 6,@13, -800 6,+800 11,@15, -810 3,+810 4,@17, -810 4,+810 10,@18",
			changelog(key), []string{
				"+I 8 800 2", "+I 12 810 3", "-U 13 800 2", "+U 13 800 6", "-U 15 800 6", "+U 15 800 11",
				"-U 17 810 3", "+U 17 810 4", "-U 18 810 4", "+U 18 810 10"}},
		{"worked example, after delay", "@0, +800 2,@8, +810 3,@12, -800 2,+800 6,@13, @14, -800 6,+800 11,@15, -810 3,+810 4,@17, -810 4,+810 10,@18, @30",
			delay, []string{"+I 14 800 6", "+I 18 810 10", "-U 21 800 6", "+U 21 800 11"}},
		{"worked example, on update with batch", "@0, +800 2,@8, +810 3,@12, -800 2,+800 6,@13, -800 6,+800 11,@15, -810 3,+810 4,@17, -810 4,+810 10,@18, @25",
			upsert(5), []string{"upsert 10 800 2", "upsert 15 800 11", "upsert 15 810 3", "upsert 20 810 10"}},

		{"net of a tick", "+1 5,@1, +1 9,-1 5,|,-1 9,+1 7,@2", changelog(key), []string{"+I 1 1 5", "-U 2 1 5", "+U 2 1 7"}},
		{"no-op update (T52)", "+1 9,@1, -1 9,+1 9,@2, +2 1,-2 1,@3", changelog(key), []string{"+I 1 1 9"}},
		{"bag", "+1 1,+1 1,+1 1,@1, -1 1,-1 1,@2", changelog(nil), []string{"+I 1 1 1", "+I 1 1 1", "+I 1 1 1", "-D 2 1 1", "-D 2 1 1"}},
		{"order: deletes, pairs, inserts", "+1 1,+2 2,@1, +3 3,-1 1,+1 9,-2 2,@2", changelog(key),
			[]string{"+I 1 1 1", "+I 1 2 2", "-D 2 2 2", "-U 2 1 1", "+U 2 1 9", "+I 2 3 3"}},
		{"insert before its delete", "+1 1,@1, +1 2,-1 1,@2", changelog(key), []string{"+I 1 1 1", "-U 2 1 1", "+U 2 1 2"}},
		{"no key: no pairs", "+1 1,@1, -1 1,+1 2,@2", changelog(nil), []string{"+I 1 1 1", "-D 2 1 1", "+I 2 1 2"}},
		{"one row at most", "+0 1,@1, -0 1,+5 2,@2", changelog([]int{}), []string{"+I 1 0 1", "-U 2 0 1", "+U 2 5 2"}},
		{"_ts grows", "+1 1,@5, +2 2,@5, +3 3,@4", changelog(key), []string{"+I 5 1 1", "+I 6 2 2", "+I 7 3 3"}},
		{"no snapshot", "+1 1,@1, -1 1,+1 2,@2", with(changelog(key), func(s *planner.EmitSpec) { s.Snapshot = false }), []string{"-U 2 1 1", "+U 2 1 2"}},
		{"upsert", "+1 1,+2 2,@1, -1 1,-2 2,+2 3,+4 4,@2", upsert(0), []string{"upsert 1 1 1", "upsert 1 2 2", "delete 2 1 ~", "upsert 2 2 3", "upsert 2 4 4"}},
		{"batch at the end", "@0, +1 1,@3, end, @4", upsert(10), []string{"upsert 4 1 1"}},
		{"batch across the boundary", "@0, +1 1,@3, +1 2,-1 1,@11", upsert(10), []string{"upsert 10 1 1"}},
		{"append", "+1 1,@1, +2 2,+3 3", appendOnly, []string{"1 1", "2 2", "3 3"}},
		{"append without snapshot", "+1 1,@1, +2 2,@2", with(appendOnly, func(s *planner.EmitSpec) { s.Snapshot = false }), []string{"2 2"}},
		{"append with progress", "+1 1,@1, +2 2,@2", with(appendOnly, func(s *planner.EmitSpec) { s.Progress = true }),
			[]string{"1 false 1 1", "2 true ~ ~", "2 false 2 2", "3 true ~ ~"}},
		{"periodic changelog", "@1, +1 1,@3, -1 1,+1 2,@8, @10, -1 2,@22, @35", with(period, func(s *planner.EmitSpec) { s.Envelope = planner.EnvelopeChangelog }),
			[]string{"+I 10 1 2", "-D 30 1 2"}},
		{"delay cancels out", "@0, +1 1,@1, -1 1,@3, @9", delay, nil},
		{"delay at the end", "@0, +1 1,@1, end, @2", delay, []string{"+I 2 1 1"}},
		{"periodic", "@1, +1 1,@3, @10, @20, -1 1,+1 2,+2 2,@22, @35", period, []string{"10 1 1", "30 1 2", "30 2 2"}},
		{"periodic repeat", "@1, +1 1,@3, @10, @20", with(period, func(s *planner.EmitSpec) { s.Repeat = true }), []string{"10 1 1", "20 1 1"}},
		{"periodic result of nothing", "@1, @3, +1 1,@5, @10, -1 1,@12, @20, @30", with(period, func(s *planner.EmitSpec) { s.Progress = true }),
			[]string{"2 true ~ ~", "10 false 1 1", "11 true ~ ~", "21 true ~ ~"}},
		{"periodic result of nothing, repeated", "@1, @10, @20", with(period, func(s *planner.EmitSpec) { s.Progress, s.Repeat = true, true }),
			[]string{"2 true ~ ~", "11 true ~ ~", "21 true ~ ~"}},
		{"progress", "+1 1,@1, @2, +2 2,@9", with(changelog(key), func(s *planner.EmitSpec) { s.Progress = true }),
			[]string{"+I 1 false 1 1", "~ 2 true ~ ~", "+I 9 false 2 2", "~ 10 true ~ ~"}},
		{"subscribe", "+1 1,+1 1,@1, -1 1,-1 1,+2 2,@2", with(changelog(nil), func(s *planner.EmitSpec) { s.Subscribe = true }),
			[]string{"1 false 1 1 1", "1 false 1 1 1", "2 false -2 1 1", "2 false 1 2 2"}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			e := newEmitTest(t, tc.spec)
			if err := e.play(tc.script); err != nil {
				t.Fatal(err)
			}
			wantRows(t, e.rows, tc.want...)
		})
		t.Run(tc.name+", restarted after each tick", func(t *testing.T) {
			e := newEmitTest(t, tc.spec)
			for _, part := range strings.SplitAfter(strings.ReplaceAll(tc.script, "@", "\x00@"), "\x00") {
				tick, rest, ok := strings.Cut(strings.ReplaceAll(part, "\x00", ""), ",")
				if !ok {
					rest = ""
				}
				if !strings.HasPrefix(tick, "@") {
					tick, rest = "", part
				}
				if err := e.play(tick); err != nil {
					t.Fatal(err)
				}
				if tick != "" {
					e.restart()
				}
				if err := e.play(strings.ReplaceAll(rest, "\x00", "")); err != nil {
					t.Fatal(err)
				}
			}
			wantRows(t, e.rows, tc.want...)
		})
	}
}

func TestEmitLimit(t *testing.T) {
	spec := changelog([]int{0})
	spec.Limit = 3
	e := newEmitTest(t, spec)
	if err := e.play("+1 1,+2 2,@1"); err != nil {
		t.Fatal(err)
	}
	if err := e.play("+3 3,+4 4,@2"); !errors.Is(err, ErrFinished) {
		t.Fatalf("got %v", err)
	}
	if err := e.play("+5 5,@3"); !errors.Is(err, ErrFinished) {
		t.Fatalf("got %v", err)
	}
	wantRows(t, e.rows, "+I 1 1 1", "+I 1 2 2", "+I 2 3 3")
}

func TestEmitRefuses(t *testing.T) {
	spec := changelog(nil)
	spec.Trigger, spec.Envelope = ast.EmitOnClose, planner.EnvelopeAppend
	e := newEmitTest(t, spec)
	if err := e.play("+1 1,-1 1,@1"); pgerr.Code(err) != pgerr.FeatureNotSupported {
		t.Errorf("got %v", err)
	}
}

// The sum of the emitted changes is the table, after every tick, and pairs are adjacent and of one key.
func TestEmitFolds(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	for range 20 {
		var keys []int
		if rnd.IntN(2) == 0 {
			keys = []int{0}
		}
		e := newEmitTest(t, changelog(keys))
		table, log := map[int]int{}, map[string]int{}
		for tick := range 30 {
			var s []string
			for range rnd.IntN(20) {
				k := rnd.IntN(8)
				if v, ok := table[k]; ok {
					s = append(s, fmt.Sprintf("-%d %d", k, v))
					delete(table, k)
				}
				if rnd.IntN(3) > 0 {
					table[k] = rnd.IntN(4)
					s = append(s, fmt.Sprintf("+%d %d", k, table[k]))
				}
				if rnd.IntN(4) == 0 {
					s = append(s, "|")
				}
			}
			s = append(s, fmt.Sprintf("@%d", tick))
			e.rows = nil
			if err := e.play(strings.Join(s, ",")); err != nil {
				t.Fatal(err)
			}
			for i, r := range e.rows {
				f := strings.Fields(r)
				row := f[2] + " " + f[3]
				switch f[0] {
				case "+I", "+U":
					log[row]++
				default:
					log[row]--
				}
				if f[0] == "-U" {
					next := strings.Fields(e.rows[i+1])
					if next[0] != "+U" || next[2] != f[2] || next[3] == f[3] {
						t.Fatalf("pair %v %v", f, next)
					}
				}
				if log[row] == 0 {
					delete(log, row)
				}
			}
			var got, want []string
			for row, n := range log {
				got = append(got, fmt.Sprint(row, " x", n))
			}
			for k, v := range table {
				want = append(want, fmt.Sprint(k, " ", v, " x1"))
			}
			sort.Strings(got)
			sort.Strings(want)
			wantRows(t, got, want...)
		}
		if e.rows = nil; rnd.IntN(2) == 0 {
			e.restart()
		}
	}
}
