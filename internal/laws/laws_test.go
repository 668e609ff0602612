package laws

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"streamsql/internal/vec"
	"streamsql/sql/planner"
)

var (
	caseCount = flag.Int("laws.cases", 10000, "number of (query, input) pairs to check")
	firstSeed = flag.Uint64("laws.seed", 1, "seed of the first input")
	onlyShape = flag.String("laws.shape", "", "check only the queries whose name contains this")
)

// form is a way to emit a query.
type form struct {
	emit  string
	check func(c *compiled, f *form, in *input, s schedule, want bag) error
	// prompt says of windows that they come out when the watermark passes their end.
	prompt bool
	view   bool // of a materialized view, whose changes are folded
}

var (
	changesForm = form{emit: "EMIT CHANGES", check: (*compiled).checkChanges}
	closeForm   = form{emit: "EMIT ON WINDOW CLOSE", check: (*compiled).checkClose, prompt: true}
	forms       = []*form{
		&changesForm, &closeForm,
		{emit: "EMIT ON WINDOW CLOSE WITH DELAY INTERVAL '3 seconds'", check: (*compiled).checkClose},
		{emit: "EMIT ON WINDOW CLOSE ALLOWED LATENESS INTERVAL '6 seconds'", check: (*compiled).checkFold},
		{emit: "EMIT ON UPDATE", check: (*compiled).checkUpdate},
		{emit: "EMIT ON UPDATE WITH BATCH INTERVAL '2 milliseconds'", check: (*compiled).checkUpdate},
		{emit: "EMIT AFTER DELAY INTERVAL '3 milliseconds'", check: (*compiled).checkFold},
		{emit: "EMIT AFTER DELAY INTERVAL '5 milliseconds' AND AFTER WINDOW CLOSE", check: (*compiled).checkFold},
		{emit: "EMIT AFTER DELAY INTERVAL '5 milliseconds' AND AFTER WINDOW CLOSE ALLOWED LATENESS INTERVAL '4 seconds'", check: (*compiled).checkFold},
		{emit: "EMIT ON WINDOW CLOSE TIMEOUT INTERVAL '1 hour'", check: (*compiled).checkClose, prompt: true},
		{emit: "EMIT PERIODIC INTERVAL '3 milliseconds'", check: (*compiled).checkPeriodic},
		{emit: "EMIT PERIODIC INTERVAL '3 milliseconds' REPEAT", check: (*compiled).checkPeriodic},
		{emit: "EMIT PERIODIC INTERVAL '3 milliseconds' AS CHANGELOG", check: (*compiled).checkFold},
		{emit: "EMIT CHANGES WITH (PROGRESS = true)", check: (*compiled).checkProgress},
		{emit: "EMIT CHANGES LIMIT 9", check: (*compiled).checkLimit},
		{emit: "EMIT PERIODIC INTERVAL '3 milliseconds'", check: (*compiled).checkFold, view: true},
		{emit: "EMIT ON UPDATE WITH BATCH INTERVAL '3 milliseconds'", check: (*compiled).checkFold, view: true},
		{emit: "EMIT AFTER DELAY INTERVAL '3 milliseconds' AND AFTER WINDOW CLOSE", check: (*compiled).checkFold, view: true},
	}
)

// compiled is a shape with its plans.
type compiled struct {
	*shape
	batch *planner.Query
	plans map[*form]*planner.Query
	reads []string
}

func compile(s *shape) (*compiled, error) {
	c := &compiled{shape: s, plans: map[*form]*planner.Query{}}
	sql := expand(s.sql, false)
	var err error
	if c.batch, err = plan(sql); err != nil {
		return nil, err
	}
	for _, name := range relationNames {
		if slices.Contains(c.batch.Depends, relations[name].rel.OID) {
			c.reads = append(c.reads, name)
		}
	}
	for _, f := range forms {
		q, err := planForm(sql, f)
		switch {
		case err == nil:
			c.plans[f] = q
		case f == &changesForm || f == &closeForm && s.close || s.update && f.emit == "EMIT ON UPDATE" || sqlstate(err) != "0A000":
			return nil, fmt.Errorf("%s: %w", f.emit, err)
		}
	}
	return c, nil
}

// emitOf gives the EMIT of a plan.
func emitOf(q *planner.Query) *planner.EmitSpec { return &q.Root.(*planner.Emit).Spec }

// TestLaws checks every shape over random inputs. A longer run, with other inputs:
//
//	go test ./internal/laws -run TestLaws -laws.cases 100000 -laws.seed $RANDOM -timeout 0
//
// A failure prints the seed, the query and a minimised input; repeat it with
//
//	go test ./internal/laws -run TestLaws -laws.seed SEED -laws.cases 1 -laws.shape NAME
func TestLaws(t *testing.T) {
	var list []*compiled
	for i := range shapes {
		s := &shapes[i]
		if !strings.Contains(s.name, *onlyShape) {
			continue
		}
		c, err := compile(s)
		if err != nil {
			t.Errorf("%s: %v\n  %s", s.name, err, expand(s.sql, false))
			continue
		}
		list = append(list, c)
	}
	server, err := startPostgres(t)
	if err != nil {
		t.Logf("PostgreSQL is not asked: %v", err)
	}
	r := &lawRun{t: t, list: list, bad: map[string]bool{}}
	start := time.Now()
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), 4) {
		var pg *postgres
		if server != nil {
			if pg, err = server.connect(t); err != nil {
				t.Fatal(err)
			}
		}
		workers.Add(1)
		go func() {
			defer workers.Done()
			for k := r.next(); k >= 0; k = r.next() {
				r.input(pg, *firstSeed+uint64(k), *caseCount-k*len(list))
			}
		}()
	}
	workers.Wait()
	fmt.Fprintf(os.Stderr, "laws: %d cases over %d queries, %d compared with PostgreSQL, in %v\n", r.cases, len(list), r.asked, time.Since(start).Round(time.Millisecond))
}

// lawRun is a run of TestLaws: inputs are handed to workers, each input is checked with every query.
type lawRun struct {
	t    *testing.T
	list []*compiled

	mu           sync.Mutex
	inputs       int // begun
	cases, asked int
	bad          map[string]bool // queries that have failed: once is enough
}

// next gives the number of an input to check, negative if there is nothing left to do.
func (r *lawRun) next() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.inputs > 0 && r.inputs*len(r.list) >= *caseCount || len(r.bad) == len(r.list) {
		return -1
	}
	r.inputs++
	return r.inputs - 1
}

// take counts a case; false says that the query has failed already.
func (r *lawRun) take(c *compiled) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.bad[c.name] {
		return false
	}
	r.cases++
	return true
}

func (r *lawRun) fail(c *compiled, seed uint64, err error, in *input, again func(*input) error) {
	r.mu.Lock()
	known := r.bad[c.name]
	r.bad[c.name] = true
	r.mu.Unlock()
	if known {
		return
	}
	small := shrink(in, c.reads, again)
	if e := again(small); e != nil {
		err = e
	}
	show := &input{events: map[string][]event{}, stored: small.stored, split: small.split}
	for _, rel := range c.reads {
		show.events[rel] = small.events[rel]
	}
	r.t.Errorf("%s: seed %d\n  %s\n%v\n%s", c.name, seed, expand(c.sql, false), err, show)
}

// input checks the queries with one input, at most n of them; the first input is checked with all.
func (r *lawRun) input(pg *postgres, seed uint64, n int) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	in, late := makeInput(rnd, false), makeInput(rnd, true)
	loaded := false
	for i, c := range r.list {
		if i >= n && seed != *firstSeed {
			return
		}
		if !r.take(c) {
			continue
		}
		check := func(in *input) error { return c.check(in, seed) }
		if err := check(in); err != nil {
			r.fail(c, seed, err, in, check)
			continue
		}
		checkLate := func(in *input) error { return c.checkLate(in, seed) }
		if err := checkLate(late); err != nil {
			r.fail(c, seed, err, late, checkLate)
			continue
		}
		if pg == nil || c.pg == noPostgres {
			continue
		}
		if !loaded {
			if err := pg.load(in); err != nil {
				r.t.Errorf("loading seed %d into PostgreSQL: %v", seed, err)
				return
			}
			loaded = true
		}
		r.mu.Lock()
		r.asked++
		r.mu.Unlock()
		if err := pg.check(c, in); err != nil {
			r.fail(c, seed, err, in, func(in *input) error {
				if err := pg.load(in); err != nil {
					return nil
				}
				return pg.check(c, in)
			})
			loaded = false
		}
	}
}

func (c *compiled) same(got, want bag) string {
	if c.loose {
		got, want = normal(got), normal(want)
	}
	return diff(got, want)
}

// check tests the laws that hold when nothing is late.
func (c *compiled) check(in *input, seed uint64) error {
	ref, refErr := answer(c.batch, in, schedule{rows: 8192})
	if refErr != nil && sqlstate(refErr) == "" {
		return fmt.Errorf("  batch: %w", refErr)
	}
	if refErr != nil && !c.errs {
		return fmt.Errorf("  batch: %w", refErr)
	}
	want := bagOf(ref)
	rnd := rand.New(rand.NewPCG(seed, 78))
	for _, s := range []schedule{{name: "batch of 1", rows: 1}, {name: "batch, random", rows: 0, seed: seed, copies: 1 + int(seed%4), spill: spillAt(rnd)},
		{name: "batch, spilled", rows: 0, seed: seed + 1, spill: -1}} {
		got, err := answer(c.batch, in, s)
		switch {
		case refErr != nil || err != nil:
			if sqlstate(err) != sqlstate(refErr) {
				return fmt.Errorf("  %s: error %v instead of %v", s.name, err, refErr)
			}
			continue
		case c.ordered && !c.loose && !slices.EqualFunc(got, ref, slices.Equal):
			return fmt.Errorf("  %s: another order: %v instead of %v", s.name, got, ref)
		}
		if d := c.same(bagOf(got), want); d != "" {
			return fmt.Errorf("  %s:\n%s", s.name, d)
		}
	}
	pick := rand.New(rand.NewPCG(seed, 5))
	for _, f := range forms {
		if c.plans[f] == nil || strings.Contains(f.emit, "CLOSE") && slices.ContainsFunc(c.reads, func(r string) bool { return relations[r].scattered }) {
			continue // where windows close, such rows are late
		}
		list := []schedule{
			{name: "whole", rows: 8192, whole: true},
			{name: "row by row", rows: 1, seed: seed},
			{name: "seven", rows: 7, seed: seed + 1, restart: true},
			{name: "random", rows: 0, seed: seed + 2, restart: true},
			{name: "small", rows: -1, seed: seed + 3, restart: true},
			{name: "in turn", rows: 0, seed: seed + 4, in: true},
		}
		pick.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		n := 2
		if f != &changesForm && f != &closeForm {
			if n = 1; pick.IntN(4) > 0 {
				continue
			}
		}
		for _, s := range list[:n] {
			s.copies = 1 + pick.IntN(4)
			s.spill = spillAt(pick)
			err := f.check(c, f, in, s, want)
			if refErr != nil {
				if early := emitOf(c.plans[f]).Limit >= 0; sqlstate(err) != sqlstate(refErr) && !(early && err == nil) {
					return fmt.Errorf("  %s, %s: error %v instead of %v", f.emit, s, err, refErr)
				}
				continue
			}
			if c.errs && sqlstate(err) != "" {
				continue // a row that is there for a moment may fail
			}
			if err != nil {
				return fmt.Errorf("  %s, %s:\n%w", f.emit, s, err)
			}
		}
	}
	return nil
}

// fold keeps the content that a changelog describes.
type fold struct {
	rows bag
	ts   string
}

func (f *fold) add(row []string) error {
	op, ts, r := row[0], row[1], strings.Join(row[2:], sep)
	if ts < f.ts {
		return fmt.Errorf("    _ts goes back from %s to %s", f.ts, ts)
	}
	f.ts = ts
	switch op {
	case "+I", "+U":
		f.rows[r]++
	case "-D", "-U":
		if f.rows[r] == 0 {
			return fmt.Errorf("    %s of a row that is not there: %s", op, r)
		}
		if f.rows[r]--; f.rows[r] == 0 {
			delete(f.rows, r)
		}
	default:
		return fmt.Errorf("    _op %s", op)
	}
	return nil
}

// prefix is the input so far.
func prefix(in *input, at map[string]int) *input {
	out := &input{events: map[string][]event{}, stored: map[string]int{}, split: in.split}
	for k, n := range at {
		if k != "" {
			out.events[k] = in.events[k][:n]
		}
	}
	return out
}

// checkChanges folds EMIT CHANGES: at every tick it is the query over the rows so far.
func (c *compiled) checkChanges(form *form, in *input, s schedule, want bag) error {
	f := &fold{rows: bag{}}
	q := c.plans[form]
	var last map[string]int
	n := 0
	_, err := run(q, in, s, func(rows [][]string, at map[string]int) error {
		pending := "" // -U waiting for its +U
		for _, r := range rows {
			if (pending != "") != (r[0] == "+U") {
				return fmt.Errorf("    %s after -U: %v", r[0], pending != "")
			}
			if pending = ""; r[0] == "-U" {
				pending = strings.Join(r[2:], sep)
			}
			if err := f.add(r); err != nil {
				return err
			}
		}
		if at[""] == 1 || maps.Equal(last, at) || s.name != "small" && n > 8 {
			return nil
		}
		n++
		last = at
		now, err := answer(c.batch, prefix(in, at), schedule{rows: 8192})
		if err != nil {
			return err
		}
		if d := c.same(f.rows, bagOf(now)); d != "" {
			return fmt.Errorf("    after %v\n%s", at, d)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if d := c.same(f.rows, want); d != "" {
		return errors.New(d)
	}
	return nil
}

// checkClose gathers ON WINDOW CLOSE: the batch answer, each row once, as soon as the watermark allows it.
func (c *compiled) checkClose(form *form, in *input, s schedule, want bag) error {
	got := bag{}
	q := c.plans[form]
	end := c.windowEnd()
	_, err := run(q, in, s, func(rows [][]string, at map[string]int) error {
		for _, r := range rows {
			got[strings.Join(r, sep)]++
		}
		if !form.prompt || end < 0 || len(c.reads) > 1 || c.loose || c.late || at[c.reads[0]] == len(in.events[c.reads[0]]) {
			return nil
		}
		w := watermarks(in, c.reads[0])[at[c.reads[0]]]
		due := bag{}
		for k, n := range want {
			if e := parseTime(strings.Split(k, sep)[end]); e <= w {
				due[k] = n
			}
		}
		if d := diff(got, due); d != "" {
			return fmt.Errorf("    after %v, at the watermark %s\n%s", at, timeText(w), d)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if d := c.same(got, want); d != "" {
		return errors.New(d)
	}
	return nil
}

// checkFold folds a changelog that comes in its own time: in the end it is the batch answer.
func (c *compiled) checkFold(form *form, in *input, s schedule, want bag) error {
	if spec := emitOf(c.plans[form]); spec.Envelope == planner.EnvelopeAppend && !spec.Fold {
		return c.checkClose(form, in, s, want)
	}
	f := &fold{rows: bag{}}
	_, err := run(c.plans[form], in, s, func(rows [][]string, _ map[string]int) error {
		for _, r := range rows {
			if err := f.add(r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if d := c.same(f.rows, want); d != "" {
		return errors.New(d)
	}
	return nil
}

// checkPeriodic takes the last of the results, each of which replaces the one before; one without rows shows in nothing.
func (c *compiled) checkPeriodic(form *form, in *input, s schedule, want bag) error {
	got, ts := bag{}, ""
	_, err := run(c.plans[form], in, s, func(rows [][]string, _ map[string]int) error {
		for _, r := range rows {
			if r[0] < ts {
				return fmt.Errorf("    _ts goes back from %s to %s", ts, r[0])
			}
			if r[0] > ts {
				got, ts = bag{}, r[0]
			}
			got[strings.Join(r[1:], sep)]++
		}
		return nil
	})
	if err != nil || len(want) == 0 {
		return err
	}
	if d := c.same(got, want); d != "" {
		return errors.New(d)
	}
	return nil
}

// checkProgress folds a changelog with progress: nothing comes below what has been promised.
func (c *compiled) checkProgress(form *form, in *input, s schedule, want bag) error {
	f := &fold{rows: bag{}}
	promised, last := "", false
	_, err := run(c.plans[form], in, s, func(rows [][]string, _ map[string]int) error {
		for _, r := range rows {
			if r[1] < promised {
				return fmt.Errorf("    %v after progress to %s", r, promised)
			}
			if last = r[2] == "t"; last {
				promised = r[1]
				continue
			}
			if err := f.add(append(r[:2:2], r[3:]...)); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && !last {
		err = errors.New("    the last row is not progress")
	}
	if err != nil {
		return err
	}
	if d := c.same(f.rows, want); d != "" {
		return errors.New(d)
	}
	return nil
}

// checkLimit counts the rows of a changelog that ends early.
func (c *compiled) checkLimit(form *form, in *input, s schedule, want bag) error {
	f, n := &fold{rows: bag{}}, 0
	_, err := run(c.plans[form], in, s, func(rows [][]string, _ map[string]int) error {
		for _, r := range rows {
			n++
			if err := f.add(r); err != nil {
				return err
			}
		}
		return nil
	})
	total := 0
	for _, k := range want {
		total += k
	}
	if limit := int(emitOf(c.plans[form]).Limit); err == nil && (n > limit || n < min(limit, total)) {
		err = fmt.Errorf("    %d rows", n)
	}
	return err
}

// checkUpdate keeps the table that upserts make.
func (c *compiled) checkUpdate(form *form, in *input, s schedule, want bag) error {
	q := c.plans[form]
	key := q.Root.(*planner.Emit).Spec.Key
	table := map[string]string{}
	keyOf := func(r []string) string {
		var k []string
		for _, c := range key {
			k = append(k, r[2+c])
		}
		return strings.Join(k, sep)
	}
	_, err := run(q, in, s, func(rows [][]string, _ map[string]int) error {
		for _, r := range rows {
			k := keyOf(r)
			switch r[0] {
			case "upsert":
				table[k] = strings.Join(r[2:], sep)
			case "delete":
				if _, ok := table[k]; !ok {
					return fmt.Errorf("    delete of a key that is not there: %s", k)
				}
				delete(table, k)
			default:
				return fmt.Errorf("    _op %s", r[0])
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	got := bag{}
	for _, r := range table {
		got[r]++
	}
	if d := c.same(got, want); d != "" {
		return errors.New(d)
	}
	return nil
}

// checkLate tests that with late rows the answer does not depend on the split into batches. With several
// inputs it depends on their order, so only queries over one relation are tested.
func (c *compiled) checkLate(in *input, seed uint64) error {
	if len(c.reads) != 1 || c.errs {
		return nil
	}
	pick := rand.New(rand.NewPCG(seed, 6))
	var model bag
	if end := c.windowEnd(); c.lateModel && end >= 0 {
		var err error
		if model, err = c.onTime(in, end); err != nil {
			return err
		}
	}
	for _, form := range forms {
		q := c.plans[form]
		if q == nil {
			continue
		}
		spec := emitOf(q)
		appends := spec.Envelope == planner.EnvelopeAppend && !spec.Fold
		if !appends && spec.Envelope != planner.EnvelopeChangelog && !spec.Fold || spec.Progress || spec.Limit >= 0 {
			continue
		}
		var want bag
		var late int64
		if form != &changesForm && form != &closeForm && pick.IntN(4) > 0 {
			continue
		}
		list := []schedule{
			{name: "whole", rows: 8192, whole: true, in: true},
			{name: "rows in one tick", rows: 1, whole: true, in: true},
			{name: "seven", rows: 7, seed: seed, in: true},
			{name: "random", rows: 0, seed: seed, in: true, restart: true},
		}
		pick.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		for i, s := range append([]schedule{{name: "row by row", rows: 1, in: true}}, list[:2]...) {
			if i > 0 {
				s.copies = 1 + pick.IntN(4)
				s.spill = spillAt(pick)
				s.spill = spillAt(pick)
			}
			f := &fold{rows: bag{}}
			stats, err := run(q, in, s, func(rows [][]string, at map[string]int) error {
				for _, r := range rows {
					if appends {
						f.rows[strings.Join(r, sep)]++
					} else if err := f.add(r); err != nil {
						return err
					}
				}
				if at[""] == 1 {
					return errTwoPlaces
				}
				return nil
			})
			if errors.Is(err, errTwoPlaces) {
				break
			}
			if err != nil {
				return fmt.Errorf("  late, %s, %s: %w", form.emit, s, err)
			}
			if i == 0 {
				want, late = f.rows, stats.LateRows
				if model != nil && (form == &closeForm || form == &changesForm) {
					if d := c.same(want, model); d != "" {
						return fmt.Errorf("  late, %s, against the rows that were on time:\n%s", form.emit, d)
					}
				}
				continue
			}
			if d := c.same(f.rows, want); d != "" {
				return fmt.Errorf("  late, %s, %s against row by row:\n%s", form.emit, s, d)
			}
			if late != stats.LateRows {
				return fmt.Errorf("  late, %s, %s: %d late rows, row by row %d", form.emit, s, stats.LateRows, late)
			}
		}
	}
	return nil
}

// errTwoPlaces ends a run whose two scans of one relation are at different places: there is no order to compare.
var errTwoPlaces = errors.New("two scans of one relation are read one after the other")

func (c *compiled) windowEnd() int {
	return slices.IndexFunc(c.batch.Columns, func(f vec.Field) bool { return f.Name == "window_end" })
}

// onTime gives the answer over the rows that count: in each window those that came while the watermark was before its end.
func (c *compiled) onTime(in *input, end int) (bag, error) {
	name := c.reads[0]
	before := watermarks(in, name)
	n := len(in.events[name])
	from := n
	if strings.Contains(c.sql, "HAVING") {
		from = 0 // a window that HAVING leaves out at the end may be there without the rows that are late
	}
	ends := map[string]bool{}
	for ; from <= n; from++ {
		all, err := answer(c.batch, prefix(in, map[string]int{name: from}), schedule{rows: 8192})
		if err != nil {
			return nil, err
		}
		for _, r := range all {
			ends[r[end]] = true
		}
	}
	out := bag{}
	for e := range ends {
		part := &input{events: map[string][]event{}}
		for i, ev := range in.events[name] {
			if before[i] < parseTime(e) {
				part.events[name] = append(part.events[name], ev)
			}
		}
		rows, err := answer(c.batch, part, schedule{rows: 8192})
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			if r[end] == e {
				out[strings.Join(r, sep)]++
			}
		}
	}
	return out, nil
}
