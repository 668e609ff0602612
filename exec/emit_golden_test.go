package exec_test

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow/memory"

	"streamsql/catalog"
	"streamsql/exec"
	"streamsql/internal/fn"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/parser"
	"streamsql/sql/planner"
	"streamsql/state"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the golden files")

// emitGolden is a file of queries with EMIT over sources whose rows come at given minutes of processing time:
//
//	source NAME (COLUMN TYPE, ..) WATERMARK COLUMN AS EXPRESSION
//	rows NAME
//	8:08 8:07 2 -        a row: when it comes, then its columns; times are minutes of 2026-01-01, - is NULL
//	emit SQL             from the first row until 12:00, the source not ended; until the empty line what it sends and how many rows are late
//	view SQL             the same of a view's changes: + and - rows
//	case TEXT            begins anew, without sources
type emitGolden struct {
	t       *testing.T
	cat     *catalog.Snapshot
	rows    []goldenRow
	restart bool
	copies  int // of each operator
}

type goldenRow struct {
	at     vec.Time
	source string
	cells  []string
}

const day = 1767225600e6 // 2026-01-01

func clockTime(s string) vec.Time {
	var h, m, sec int64
	if n, _ := fmt.Sscanf(s, "%d:%d:%d", &h, &m, &sec); n < 2 {
		panic("time " + s)
	}
	return day + (h*60+m)*60e6 + sec*1e6
}

// shortTime is the inverse of clockTime.
func shortTime(ts vec.Time) string {
	us := ts - day
	out := fmt.Sprintf("%d:%02d", us/3600e6, us/60e6%60)
	if s := us / 1e6 % 60; s != 0 || us%1e6 != 0 {
		out += fmt.Sprintf(":%02d", s)
	}
	if us%1e6 != 0 {
		out += fmt.Sprintf("+%d", us%1e6)
	}
	return out
}

func (g *emitGolden) source(def string) {
	name, rest, _ := strings.Cut(def, " (")
	list, wm, _ := strings.Cut(rest, ") WATERMARK ")
	col, expr, _ := strings.Cut(wm, " AS ")
	r := &catalog.Relation{OID: catalog.FirstUserOID + uint32(len(name))*7 + uint32(name[0]), Schema: "public", Name: name, Kind: catalog.Source}
	for _, c := range strings.Split(list, ", ") {
		n, tn, _ := strings.Cut(c, " ")
		t, ok := types.Lookup(tn)
		if !ok {
			g.t.Fatal(tn)
		}
		r.Columns = append(r.Columns, catalog.Column{Name: n, Type: t})
	}
	r.Watermark = &catalog.Watermark{Column: r.ColumnIndex(col), Expr: expr}
	g.cat = g.cat.With(r)
}

// run gives what a query sends.
func (g *emitGolden) run(sql string, view bool) []string {
	g.t.Helper()
	tree, err := parser.ParseQuery(sql)
	if err != nil {
		return []string{"ERROR " + err.Error()}
	}
	fc := &fn.Ctx{Now: day}
	o := &planner.Options{Catalog: g.cat, SearchPath: []string{"public"}, Env: &fc.Env, Text: sql,
		Fold: func(e planner.Expr) (types.Datum, error) { return exec.EvalConst(fc, e) }}
	plan := planner.PlanQuery
	if view {
		plan = planner.PlanView
	}
	q, err := plan(tree, o)
	if err != nil {
		e := pgerr.From(err)
		return []string{"ERROR " + e.Code + ": " + e.Message}
	}
	mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
	defer mem.AssertSize(g.t, 0)
	var stats exec.Stats
	out := exec.NewCollector()
	defer out.Close()
	build := func() *exec.Graph {
		gr, err := exec.Build(&exec.Context{Alloc: mem, Fn: &fn.Ctx{Alloc: mem, Now: day}, Continuous: true, Stats: &stats, Parallel: g.copies}, q.Root, out)
		if err != nil {
			g.t.Fatal(err)
		}
		return gr
	}
	gr := build()
	defer func() { gr.Close() }()
	var lines []string
	now := vec.Time(day)
	done := false
	tick := func(at vec.Time) {
		if done {
			return
		}
		now = at
		err := gr.Tick(exec.Tick{Now: now})
		if done = err == exec.ErrFinished; err != nil && !done {
			g.t.Fatal(err)
		}
		for b := out.Next(); b != nil; b = out.Next() {
			lines = append(lines, g.render(q.Columns, b, now, view)...)
			b.Release()
		}
		if done {
			lines = append(lines, "end")
			return
		}
		if g.restart {
			var w state.Writer
			if err := gr.Snapshot(&w); err != nil {
				g.t.Fatal(err)
			}
			gr.Close()
			gr = build()
			if err := gr.Restore(state.NewReader(w.Bytes())); err != nil {
				g.t.Fatal(err)
			}
		}
	}
	until := func(at vec.Time) {
		for !done && gr.NextTimer() < at {
			tick(max(gr.NextTimer(), now+1))
		}
	}
	tick(clockTime("8:00"))
	for i, r := range g.rows {
		until(r.at)
		for k, in := range gr.Inputs() {
			if in.Scan.Rel.Name != r.source || done {
				continue
			}
			b := vec.NewBuilder(mem, in.Scan.Schema())
			row := make([]types.Datum, len(in.Scan.Cols))
			for j, c := range in.Scan.Cols {
				row[j] = g.value(in.Scan.Rel.Columns[c].Type, r.cells[c])
			}
			b.AppendDatums(row, vec.Insert)
			batch := b.Finish()
			b.Release()
			err := gr.Push(k, 0, batch)
			batch.Release()
			if err != nil && err != exec.ErrFinished {
				g.t.Fatal(err)
			}
		}
		if i+1 == len(g.rows) || g.rows[i+1].at != r.at {
			tick(r.at)
		}
	}
	until(clockTime("12:00"))
	return append(lines, fmt.Sprintf("late %d", stats.LateRows))
}

func (g *emitGolden) value(t types.T, s string) types.Datum {
	switch {
	case s == "-":
		return nil
	case t.Is(types.Timestamp):
		return clockTime(s)
	}
	d, err := types.ParseText(&types.Env{}, t, s)
	if err != nil {
		g.t.Fatal(err)
	}
	return d
}

// render gives the rows of a batch: the time of sending (which is _ts, where there is one), then the cells.
func (g *emitGolden) render(cols []vec.Field, b *vec.Batch, now vec.Time, view bool) []string {
	views := b.Views(nil)
	var out []string
	for r := range b.N {
		at, line := now, ""
		if view {
			line += map[vec.Op]string{vec.Insert: " +", vec.Delete: " -"}[b.Op(r)]
		}
		for c := range views {
			d := views[c].Datum(r)
			switch {
			case cols[c].Name == "_ts":
				at = d.(int64)
			case d == nil:
				line += " NULL"
			case cols[c].Type.Is(types.Timestamp):
				line += " " + shortTime(d.(int64))
			default:
				line += " " + string(types.AppendText(nil, &types.Env{}, cols[c].Type, d))
			}
		}
		out = append(out, shortTime(at)+line)
	}
	return out
}

// file runs a file and gives it with the actual results.
func (g *emitGolden) file(text string) string {
	var out []string
	rows := ""
	skip := false
	g.cat, g.rows = catalog.NewSnapshot(nil), nil
	for _, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		if skip = skip && line != ""; skip {
			continue
		}
		out = append(out, line)
		word, rest, _ := strings.Cut(line, " ")
		switch {
		case line == "":
			rows = ""
		case strings.HasPrefix(line, "#"):
		case word == "case":
			g.cat, g.rows = catalog.NewSnapshot(nil), nil
		case word == "source":
			g.source(rest)
		case word == "rows":
			rows = rest
		case word == "emit" || word == "view":
			out = append(out, g.run(rest, word == "view")...)
			skip = true
		case rows != "":
			g.rows = append(g.rows, goldenRow{at: clockTime(word), source: rows, cells: strings.Fields(rest)})
		default:
			g.t.Fatalf("cannot read %s", strconv.Quote(line))
		}
	}
	return strings.Join(out, "\n") + "\n"
}

// TestEmitGolden compares testdata/emit with what the forms send, also when the query is restored after each tick and when
// copies of an operator share its work. With -rewrite it writes the file.
func TestEmitGolden(t *testing.T) {
	const file = "../testdata/emit/forms.txt"
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i, restart := range []bool{false, true, true} {
		g := &emitGolden{t: t, restart: restart, copies: 1 + i}
		got := g.file(string(raw))
		if got == string(raw) {
			continue
		}
		if *rewrite && !restart {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
			raw = []byte(got)
			continue
		}
		want, have := strings.Split(string(raw), "\n"), strings.Split(got, "\n")
		for i := range min(len(want), len(have)) {
			if want[i] != have[i] {
				t.Errorf("restart %v, %d copies, line %d:\n%s\ninstead of\n%s", restart, g.copies, i+1, strings.Join(have[max(i-3, 0):min(i+6, len(have))], "\n"), want[i])
				break
			}
		}
	}
}
