package laws

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/apache/arrow/go/v17/arrow/memory"

	"streamsql/catalog"
	"streamsql/exec"
	"streamsql/internal/fn"
	"streamsql/internal/mem"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/parser"
	"streamsql/sql/parser/ast"
	"streamsql/sql/planner"
)

// plan parses and plans a query.
func plan(sql string) (*planner.Query, error) { return planAs(sql, planner.PlanQuery) }

// planForm plans a query emitted in a form.
func planForm(sql string, f *form) (*planner.Query, error) {
	if f.view {
		return planAs(sql+" "+f.emit, planner.PlanView)
	}
	return plan(sql + " " + f.emit)
}

func planAs(sql string, how func(*ast.Query, *planner.Options) (*planner.Query, error)) (q *planner.Query, err error) {
	defer recovered(&err)
	tree, err := parser.ParseQuery(sql)
	if err != nil {
		return nil, err
	}
	fc := &fn.Ctx{}
	return how(tree, &planner.Options{
		Catalog: snapshot, SearchPath: []string{"public"}, Env: &fc.Env, Text: sql,
		Fold: func(e planner.Expr) (types.Datum, error) { return exec.EvalConst(fc, e) },
	})
}

func recovered(err *error) {
	if x := recover(); x != nil {
		*err = fmt.Errorf("panic: %v\n%s", x, debug.Stack())
	}
}

// feed gives the events of a relation to one input of a graph.
type feed struct {
	alloc  vec.Allocator
	scan   *planner.Scan
	in     *input
	events []event
	stored int
	at     int
}

func (f *feed) Partitions() int {
	if f.in.split && f.scan.Rel.Kind == catalog.Source {
		return 2
	}
	return 1
}

func (f *feed) Stored() bool { return f.at < f.stored }

func (f *feed) Poll(_ context.Context, max int) (*vec.Batch, int, exec.Status, error) {
	if f.at == len(f.events) {
		return nil, 0, exec.Status{State: exec.End}, nil
	}
	end := min(f.at+max, len(f.events))
	if f.at < f.stored {
		end = min(end, f.stored)
	}
	part := f.in.partition(f.scan.Rel.Name, f.events[f.at])
	for i, e := range f.events[f.at:end] {
		if f.in.partition(f.scan.Rel.Name, e) != part {
			end = f.at + i
			break
		}
	}
	b := vec.NewBuilder(f.alloc, f.scan.Schema())
	defer b.Release()
	row := make([]types.Datum, len(f.scan.Cols))
	for _, e := range f.events[f.at:end] {
		for i, c := range f.scan.Cols {
			row[i] = parsed(f.scan.Rel.Columns[c].Type, e.row[c])
		}
		b.AppendDatums(row, e.op())
	}
	f.at = end
	return b.Finish(), part, exec.Status{}, nil
}

type parsedKey struct {
	oid uint32
	s   string
}

var parsedTexts sync.Map // parsedKey to types.Datum

func parsed(t types.T, s string) types.Datum {
	if s == null {
		return nil
	}
	k := parsedKey{t.OID, s}
	if d, ok := parsedTexts.Load(k); ok {
		return d
	}
	d, err := types.ParseText(&types.Env{}, t, s)
	if err != nil {
		panic(err)
	}
	parsedTexts.Store(k, d)
	return d
}

// schedule says how a run is cut up.
type schedule struct {
	name    string
	seed    uint64
	rows    int  // rows of a batch; 0 random, -1 random and small
	whole   bool // few ticks
	restart bool
	in      bool  // inputs one after the other
	copies  int   // how many operators share the keys
	spill   int64 // operators write their state to disk from so many bytes on; 0: never, less: always
}

func (s schedule) String() string {
	name := s.name
	if s.copies > 1 {
		name = fmt.Sprintf("%s, %d copies", name, s.copies)
	}
	switch {
	case s.spill < 0:
		name += ", all state on disk"
	case s.spill > 0:
		name = fmt.Sprintf("%s, state on disk from %d bytes on", name, s.spill)
	}
	return name
}

// account gives the account of a run, and what tells at the end how much of it has not been given back.
func (s schedule) account() (*mem.Account, func() int64) {
	if s.spill == 0 {
		return nil, func() int64 { return 0 }
	}
	budget := mem.Forced(max(s.spill, 0))
	q := budget.Query("law")
	return q, func() int64 {
		q.Close()
		return budget.Used()
	}
}

// spillAt chooses a threshold: none, always, or one of the size of the little state that there is.
func spillAt(rnd *rand.Rand) int64 {
	switch rnd.IntN(4) {
	case 0:
		return -1
	case 1:
		return 1 << (8 + rnd.IntN(9))
	}
	return 0
}

func (s schedule) policy() exec.Policy {
	rnd := rand.New(rand.NewPCG(s.seed, 77))
	now := int64(1767225600e6)
	p := exec.Policy{
		Pick: rnd.IntN,
		Rows: func() int {
			switch s.rows {
			case 0:
				return 1 + rnd.IntN(40)
			case -1:
				return 1 + rnd.IntN(4)
			}
			return s.rows
		},
		Tick:    func() bool { return s.rows == 1 && !s.whole || rnd.IntN(3) == 0 },
		Restart: func() bool { return s.restart && rnd.IntN(3) == 0 },
		Now:     func() vec.Time { now += 1000; return now },
	}
	if s.whole {
		p.Tick = func() bool { return rnd.IntN(1000) == 0 }
	}
	if s.in {
		p.Pick = func(int) int { return 0 }
	}
	return p
}

// rendered is a batch of output as texts.
func rendered(schema []vec.Field, b *vec.Batch) [][]string {
	views := b.Views(nil)
	env := &types.Env{}
	out := make([][]string, b.N)
	for i := range out {
		row := make([]string, len(views))
		for c := range views {
			row[c] = null
			if d := views[c].Datum(i); d != nil {
				row[c] = string(types.AppendText(nil, env, schema[c].Type, d))
			}
		}
		out[i] = row
	}
	return out
}

// changesOf is rendered of the changes of a view, as rows of a changelog without times.
func changesOf(schema []vec.Field, b *vec.Batch) [][]string {
	out := rendered(schema, b)
	for i := range out {
		op := "+I"
		if b.Op(i) == vec.Delete {
			op = "-D"
		}
		out[i] = append([]string{op, ""}, out[i]...)
	}
	return out
}

// countingAllocator counts the bytes that are held. Arrow's checked allocator, which also finds out where they were asked for,
// takes a third of the time of a case.
type countingAllocator struct {
	memory.GoAllocator
	held atomic.Int64
}

func (a *countingAllocator) Allocate(size int) []byte {
	a.held.Add(int64(size))
	return a.GoAllocator.Allocate(size)
}

func (a *countingAllocator) Reallocate(size int, b []byte) []byte {
	a.held.Add(int64(size - len(b)))
	return a.GoAllocator.Reallocate(size, b)
}

func (a *countingAllocator) Free(b []byte) {
	a.held.Add(-int64(len(b)))
	a.GoAllocator.Free(b)
}

// run drives a query over the input. step is called after each step with the rows of it and how many events each input
// has given so far.
func run(q *planner.Query, in *input, s schedule, step func(rows [][]string, at map[string]int) error) (stats exec.Stats, err error) {
	mem := &countingAllocator{}
	defer recovered(&err)
	collect := exec.NewCollector()
	copies := s.copies
	account, left := s.account()
	defer func() {
		if n := left(); err == nil && n != 0 {
			err = fmt.Errorf("%d bytes are not given back to the account", n)
		}
	}()
	build := func() (*exec.Graph, error) {
		ctx := &exec.Context{Alloc: mem, Fn: &fn.Ctx{Alloc: mem, Now: 1767225600e6}, Continuous: q.Continuous, Stats: &stats, Parallel: copies,
			Memory: account, Stepped: s.seed%2 == 0}
		if copies > 1 { // a graph that is restored keeps the number that it had
			copies = 2 + copies%3
		}
		return exec.Build(ctx, q.Root, collect)
	}
	g, err := build()
	if err != nil {
		return stats, err
	}
	var feeds []exec.Feed
	var mine []*feed
	for _, i := range g.Inputs() {
		f := &feed{alloc: mem, in: in, scan: i.Scan, events: in.events[i.Scan.Rel.Name], stored: in.stored[i.Scan.Rel.Name]}
		if !q.Continuous {
			f.events, f.stored = in.content(i.Scan.Rel.Name, len(f.events)), 0
			if readsInOrder(q.Root) {
				f.events = inKeyOrder(i.Scan.Rel, f.events)
			}
		}
		mine = append(mine, f)
		feeds = append(feeds, f)
	}
	p := s.policy()
	p.Rebuild = build
	r := exec.NewRunner(g, feeds, p)
	finish := func() error {
		err := r.Graph().Close()
		collect.Close()
		if n := mem.held.Load(); err == nil && n != 0 {
			err = fmt.Errorf("%d bytes leak", n)
		}
		return err
	}
	for n := 0; ; n++ {
		if n > 100000 {
			return stats, errors.New("the run does not end")
		}
		st, err := r.Step(context.Background())
		var rows [][]string
		for b := collect.Next(); b != nil; b = collect.Next() {
			if e, ok := q.Root.(*planner.Emit); ok && e.Spec.Fold {
				rows = append(rows, changesOf(q.Columns, b)...)
			} else {
				rows = append(rows, rendered(q.Columns, b)...)
			}
			b.Release()
		}
		if err == nil {
			at := map[string]int{}
			for _, f := range mine {
				name := f.scan.Rel.Name
				if was, ok := at[name]; ok && was != f.at {
					at[""] = 1 // two scans of one relation at different places: no prefix
				}
				at[name] = f.at
			}
			err = step(rows, at)
		}
		if err != nil {
			if e := finish(); e != nil && strings.Contains(e.Error(), "leak") {
				err = errors.Join(err, e)
			}
			return stats, err
		}
		if st.State == exec.End {
			return stats, finish()
		}
	}
}

// readsInOrder reports whether a plan relies on that rows come in the order of their keys.
func readsInOrder(n planner.Node) bool {
	if t, ok := n.(*planner.TopN); ok && t.Presorted {
		return true
	}
	return slices.ContainsFunc(n.Inputs(), readsInOrder)
}

// inKeyOrder gives the rows of a relation as they are stored: by the primary key, else by all columns.
func inKeyOrder(rel *catalog.Relation, events []event) []event {
	key := rel.PrimaryKey
	if key == nil {
		for c := range rel.Columns {
			key = append(key, c)
		}
	}
	return slices.SortedStableFunc(slices.Values(events), func(a, b event) int {
		for _, c := range key {
			t := rel.Columns[c].Type
			x, y := parsed(t, a.row[c]), parsed(t, b.row[c])
			d := 0
			switch {
			case x == nil && y == nil:
			case x == nil:
				d = 1
			case y == nil:
				d = -1
			default:
				d = types.Compare(t, x, y)
			}
			if d != 0 {
				return d
			}
		}
		return 0
	})
}

// answer runs a snapshot and gives its rows.
func answer(q *planner.Query, in *input, s schedule) (rows [][]string, err error) {
	_, err = run(q, in, s, func(r [][]string, _ map[string]int) error {
		rows = append(rows, r...)
		return nil
	})
	return rows, err
}

// sqlstate gives the SQLSTATE of an error, "" if it has none.
func sqlstate(err error) string {
	var e *pgerr.Error
	if errors.As(err, &e) {
		return pgerr.Code(err)
	}
	return ""
}

const sep = " | "

// bag is a multiset of rows.
type bag map[string]int

func bagOf(rows [][]string) bag {
	b := bag{}
	for _, r := range rows {
		b[strings.Join(r, sep)]++
	}
	return b
}

// normal makes rows that are equal as values equal as texts: which of equal keys stands for a group is not defined.
func normal(b bag) bag {
	out := bag{}
	for k, n := range b {
		f := strings.Split(k, sep)
		for i, x := range f {
			f[i] = normalText(x)
		}
		out[strings.Join(f, sep)] += n
	}
	return out
}

func normalText(x string) string {
	if x == "-0" {
		return "0"
	}
	if dot := strings.IndexByte(x, '.'); dot >= 0 && strings.Trim(x, "-.0123456789") == "" {
		x = strings.TrimRight(strings.TrimRight(x, "0"), ".")
		if x == "-0" || x == "" {
			x = "0"
		}
	}
	return x
}

// diff says how two bags differ, "" if they do not.
func diff(got, want bag) string {
	var lines []string
	for k, n := range got {
		if d := n - want[k]; d > 0 {
			lines = append(lines, fmt.Sprintf("    unexpected x%d: %s", d, k))
		}
	}
	for k, n := range want {
		if d := n - got[k]; d > 0 {
			lines = append(lines, fmt.Sprintf("    missing    x%d: %s", d, k))
		}
	}
	slices.Sort(lines)
	if len(lines) > 12 {
		lines = append(lines[:12], fmt.Sprintf("    and %d more", len(lines)-12))
	}
	return strings.Join(lines, "\n")
}
