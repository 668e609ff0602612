package laws

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/apache/arrow/go/v17/arrow/memory"

	"streamsql/engine"
	"streamsql/internal/pgerr"
)

// The other tests of this package run graphs; these run an engine with random statements: definition and change of tables,
// sources, views and sinks, transactions of several sessions, and clients who follow changes.
//
// One run is reproduced by its seed: go test ./internal/laws -run EngineLaws -laws.engine.seed N -laws.engine.cases 1.
// A soak is go test ./internal/laws -run EngineLaws -laws.engine.time 10m [-race].
var (
	engineTime  = flag.Duration("laws.engine.time", 8*time.Second, "for how long to run random statements")
	engineCases = flag.Int("laws.engine.cases", 1<<30, "how many scripts to run at most")
	engineSeed  = flag.Uint64("laws.engine.seed", 0, "seed of the first script; 0 is the time")
	engineTrace = flag.Bool("laws.engine.trace", false, "print each statement")
)

// expectedErrors are the SQLSTATEs that a random statement may end with.
var expectedErrors = []string{
	pgerr.UniqueViolation, pgerr.SerializationFailure, pgerr.InFailedSQLTransaction, pgerr.DependentObjectsStillExist,
	pgerr.ObjectNotInPrerequisiteState, // UPDATE of an APPEND ONLY table; a view that is replaced while it is followed
	pgerr.FeatureNotSupported,          // EMIT ON WINDOW CLOSE of what has no watermark
	pgerr.UndefinedTable,               // dropped by another session
	pgerr.NotNullViolation,
}

// base is a table or a source. All have the columns id, k, v, s and at.
type base struct {
	name                          string
	pk, watermark, append, source bool
}

// view is a view of the same columns. Its query is kept to be asked again.
type view struct {
	name, query, emit string
	materialized      bool
	closes            bool            // windows close: what is in it depends on the order of the rows
	rows              int             // about how many it has at most
	reads             map[string]bool // every relation below it
	live              bool            // reads a source: its query cannot be asked
	twin              *client         // read the same query with the same EMIT from the same moment on
}

// maintained says that the view equals its query at every instant.
func (v *view) maintained() bool {
	return !v.live && (v.emit == "" || v.emit == "EMIT CHANGES" || v.emit == "EMIT ON UPDATE")
}

// timed says that the view comes to equal its query when nothing happens for a while.
func (v *view) timed() bool {
	return !v.live && (strings.Contains(v.emit, "'20 ms'") && !strings.Contains(v.emit, "WATERMARK"))
}

// variant is a way to run an engine that must not make a difference.
type variant struct{ parallel, rows int }

// world is an engine under random statements.
type world struct {
	variant
	seed    uint64
	rnd     *rand.Rand
	dir     string // "" in memory
	files   string
	alloc   *memory.CheckedAllocator
	e       *engine.Engine
	conns   []*conn
	bases   []*base
	views   []*view
	clients []*client
	sinks   []*sinkUnderTest
	names   int
	clock   int // seconds of event time
	trace   []string
	commits []string // what was committed, in order, for PostgreSQL
	counts  map[string]int
	// serial says that no two open transactions change one table: then PostgreSQL, who runs them one after another, has the
	// same rows. Otherwise their changes merge as long as they are of other rows.
	serial bool
}

// conn is a session that sends statements.
type conn struct {
	w       *world
	s       *engine.Session
	tx      bool
	failed  bool
	wrote   bool
	pending []string        // of the open transaction
	saved   map[string]int  // length of pending at a savepoint
	changes map[string]bool // tables that the open transaction has changed
	order   []string        // savepoints, the oldest first
}

// law is the error of a property that does not hold.
type law struct{ msg string }

func (l law) Error() string { return l.msg }

func failf(format string, args ...any) { panic(law{fmt.Sprintf(format, args...)}) }

func (w *world) connect() *conn {
	s, err := w.e.NewSession(engine.SessionOptions{})
	if err != nil {
		failf("session: %v", err)
	}
	return &conn{w: w, s: s, saved: map[string]int{}}
}

func (w *world) open() {
	w.alloc = memory.NewCheckedAllocator(memory.NewGoAllocator())
	e, err := engine.Open(engine.Options{DataDir: w.dir, Alloc: w.alloc, Parallel: w.parallel, BatchRows: w.rows})
	if err != nil {
		failf("open: %v", err)
	}
	w.e = e
	for range 3 {
		w.conns = append(w.conns, w.connect())
	}
}

// countdown is what AssertSize reports to.
type countdown struct{ msgs []string }

func (c *countdown) Errorf(format string, args ...any) {
	c.msgs = append(c.msgs, fmt.Sprintf(format, args...))
}
func (c *countdown) Helper() {}

func (w *world) close() {
	for _, c := range w.clients {
		c.close()
	}
	w.clients = nil
	for _, c := range w.conns {
		c.s.Close()
	}
	w.conns = nil
	if err := w.e.Close(); err != nil {
		failf("close: %v", err)
	}
	var c countdown
	w.alloc.AssertSize(&c, 0)
	if len(c.msgs) > 0 {
		failf("not freed: %s", strings.Join(c.msgs[:min(len(c.msgs), 3)], "\n"))
	}
}

// query runs statements and gives the rows of the last one, columns separated by |.
func query(s *engine.Session, sql, data string) (rows []string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	stmts, err := s.Parse(sql)
	if err != nil {
		return nil, err
	}
	for _, p := range stmts {
		rows = rows[:0]
		err = func() error {
			portal, err := s.Execute(ctx, p)
			if err != nil {
				return err
			}
			defer portal.Close()
			if in := portal.CopyIn(); in != nil {
				if err := in.Write([]byte(data)); err != nil {
					in.Fail(err.Error())
					return err
				}
				_, err := in.Finish(ctx)
				return err
			}
			for done := false; !done; {
				b, d, err := portal.Fetch(ctx, 0)
				if err != nil {
					return err
				}
				done = d
				if b == nil {
					continue
				}
				rows = append(rows, texts(s, b)...)
				b.Release()
			}
			return nil
		}()
		if e := s.EndImplicit(ctx, err); err == nil {
			err = e
		}
		if err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// try runs a statement that may fail in an expected way, and keeps track of transactions.
func (c *conn) try(sql, data string) (rows []string, err error) {
	w := c.w
	w.trace = append(w.trace, sql+map[bool]string{true: " <- " + fmt.Sprintf("%q", data)}[data != ""])
	if *engineTrace {
		fmt.Println(w.trace[len(w.trace)-1])
	}
	rows, err = query(c.s, sql, data)
	verb := strings.ToUpper(strings.Fields(sql)[0])
	code := pgerr.Code(err)
	w.counts[verb+" "+code]++
	if err != nil && !slices.Contains(expectedErrors, code) {
		failf("%s: %v", sql, err)
	}
	if err != nil {
		w.trace[len(w.trace)-1] += " -> " + err.Error()
	}
	return rows, err
}

// must is for statements that cannot fail.
func (c *conn) must(sql string) []string {
	rows, err := query(c.s, sql, "")
	if err != nil {
		failf("%s: %v", sql, err)
	}
	return rows
}

// takes says whether a session may change a table now.
func (w *world) takes(c *conn, b *base) bool {
	if w.serial && !b.source {
		for _, o := range w.conns {
			if o != c && o.tx && o.changes[b.name] {
				return false
			}
		}
	}
	if c.tx {
		c.changes[b.name] = true
	}
	return true
}

// dml runs a statement that changes a table, in the open transaction if there is one.
func (c *conn) dml(sql, data string) {
	_, err := c.try(sql, data)
	switch {
	case err != nil:
		c.failed = c.tx
	case c.tx:
		c.wrote = true
		c.pending = append(c.pending, oracle(sql, data))
	default:
		c.w.commits = append(c.w.commits, oracle(sql, data))
	}
}

// transact begins or ends a transaction, or a part of one.
func (c *conn) transact() {
	r := c.w.rnd
	if !c.tx {
		if _, err := c.try("BEGIN", ""); err == nil {
			c.tx, c.failed, c.wrote, c.pending, c.order = true, false, false, nil, nil
			c.changes = map[string]bool{}
		}
		return
	}
	switch x := r.IntN(10); {
	case x < 3 && !c.failed:
		name := fmt.Sprintf("p%d", r.IntN(3))
		c.try("SAVEPOINT "+name, "")
		c.saved[name] = len(c.pending)
		c.order = append(slices.DeleteFunc(c.order, func(n string) bool { return n == name }), name)
	case x < 5 && len(c.order) > 0:
		i := r.IntN(len(c.order))
		if _, err := c.try("ROLLBACK TO SAVEPOINT "+c.order[i], ""); err != nil {
			failf("rollback to a savepoint: %v", err)
		}
		c.pending, c.failed = c.pending[:c.saved[c.order[i]]], false
		c.order = c.order[:i+1]
	case x < 6:
		c.try("ROLLBACK", "")
		c.tx = false
	default:
		c.commit()
	}
}

func (c *conn) commit() {
	if !c.tx {
		return
	}
	if _, err := c.try("COMMIT", ""); err == nil && !c.failed {
		c.w.commits = append(c.w.commits, c.pending...)
	}
	c.tx = false
}

// run sends random statements and checks the laws at random moments, then at the end; it gives the final contents of
// all relations which do not depend on time.
func (w *world) run(steps int) map[string][]string {
	w.open()
	w.createBases()
	for i := range steps {
		w.step()
		if w.rnd.IntN(8) == 0 {
			w.checkViews()
		}
		if w.dir != "" && i == steps*2/3 {
			w.reopen()
		}
	}
	for _, c := range w.conns {
		c.commit()
	}
	w.checkViews()
	w.checkEventually()
	final := map[string][]string{}
	c := w.conns[0]
	for _, b := range w.bases {
		if !b.source {
			final[b.name] = sorted(c.must("TABLE " + b.name))
		}
	}
	for _, v := range w.views {
		timed := slices.ContainsFunc(w.views, func(o *view) bool { return (o == v || v.reads[o.name]) && strings.Contains(o.emit, "'20 ms'") })
		if v.materialized && !timed {
			final[v.name+" AS "+v.query+" "+v.emit] = sorted(c.must("TABLE " + v.name))
		}
	}
	w.close()
	return final
}

// reopen closes the engine and opens its directory again: tables are as they were, and views over them equal their queries.
func (w *world) reopen() {
	for _, c := range w.conns {
		c.commit()
	}
	w.dropSinks()
	before := map[string][]string{}
	for _, b := range w.bases {
		if !b.source {
			before[b.name] = sorted(w.conns[0].must("TABLE " + b.name))
		}
	}
	for _, v := range w.views {
		if v.maintained() {
			before[v.name] = sorted(w.conns[0].must("TABLE " + v.name))
		}
		v.twin = nil // what closes, closes anew
	}
	w.trace = append(w.trace, "-- reopen")
	w.close()
	w.open()
	for _, v := range w.views {
		for name := range v.reads {
			if i := slices.IndexFunc(w.views, func(o *view) bool { return o.name == name }); i >= 0 && !w.views[i].maintained() {
				delete(before, v.name)
			}
		}
	}
	for name, rows := range before {
		if got := sorted(w.conns[0].must("TABLE " + name)); !slices.Equal(got, rows) {
			failf("after a restart %s has\n%v instead of\n%v", name, got, rows)
		}
	}
	w.checkViews()
}

func sorted(rows []string) []string { slices.Sort(rows); return rows }

// checkViews checks that all views equal their queries, in one query that must see one cut.
func (w *world) checkViews() {
	var free *conn
	for _, c := range w.conns {
		if !c.tx {
			free = c
		}
	}
	if free == nil {
		return
	}
	var parts []string
	for _, v := range w.views {
		if v.maintained() {
			parts = append(parts, fmt.Sprintf("SELECT '%[1]s', count(*) FROM ((TABLE %[1]s EXCEPT ALL (%[2]s)) UNION ALL ((%[2]s) EXCEPT ALL TABLE %[1]s)) AS x", v.name, v.query))
		}
	}
	if len(parts) == 0 {
		return
	}
	w.counts["check of views"] += len(parts)
	for _, row := range free.must(strings.Join(parts, " UNION ALL ")) {
		name, n, _ := strings.Cut(row, "|")
		if n != "0" {
			for _, v := range w.views {
				if v.name == name {
					failf("%s AS %s %s: %s rows differ\nview  %v\nquery %v", name, v.query, v.emit, n, sorted(free.must("TABLE "+name)), sorted(free.must(v.query)))
				}
			}
		}
	}
}

// eventually waits until two bags of rows are equal.
func eventually(what string, both func() (got, want []string)) {
	var got, want []string
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		got, want = both()
		if slices.Equal(sorted(got), sorted(want)) {
			return
		}
	}
	failf("%s:\ngot  %v\nwant %v", what, got, want)
}

// checkEventually checks what takes its time: timed views, clients, sinks.
func (w *world) checkEventually() {
	c := w.conns[0]
	for _, v := range w.views {
		if v.timed() {
			w.counts["check of timed views"]++
			eventually("view "+v.name+" AS "+v.query+" "+v.emit, func() (got, want []string) { return c.must("TABLE " + v.name), c.must(v.query) })
		}
	}
	for _, v := range w.views {
		if v.twin != nil && !v.twin.closed() {
			w.counts["check of twins"]++
			eventually("a client of "+v.query+" "+v.emit+", and view "+v.name, func() (got, want []string) { v.twin.poll(); return v.twin.content(), c.must("TABLE " + v.name) })
		}
	}
	for _, f := range w.clients {
		if f.query != "" && !f.closed() {
			w.counts["check of clients"]++
			eventually("client of "+f.sql, func() (got, want []string) { f.poll(); return f.content(), c.must(f.query) })
		}
	}
	w.checkSinks()
}

// attempt runs a script and gives its final contents, or the law that it breaks.
func attempt(w *world, steps int) (final map[string][]string, err error) {
	defer func() {
		if r := recover(); r != nil {
			l, ok := r.(law)
			if !ok {
				panic(r)
			}
			err = l
		}
	}()
	return w.run(steps), nil
}

func TestEngineLaws(t *testing.T) {
	seed := *engineSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	counts := map[string]int{}
	pg := enginePostgres(t)
	here := goleak.IgnoreCurrent()
	n := 0
	for end := time.Now().Add(*engineTime); n < *engineCases && (n == 0 || time.Now().Before(end)); n++ {
		all := []variant{{1, 0}, {4, 1}, {4, 0}, {1, 3}}
		rand.New(rand.NewPCG(seed, 9)).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		var first map[string][]string
		for i, v := range all[:2] {
			w := &world{variant: v, seed: seed, rnd: rand.New(rand.NewPCG(seed, 1)), files: t.TempDir(), counts: counts}
			w.serial = w.rnd.IntN(3) > 0
			if w.rnd.IntN(3) == 0 {
				w.dir = t.TempDir()
			}
			final, err := attempt(w, 60)
			if err == nil && i == 0 && pg != nil && w.serial {
				err = pg.replay(w, final)
			}
			if err == nil && i > 0 {
				err = sameContents(final, first)
			}
			if err != nil {
				path := fmt.Sprintf("%s/laws-%d.sql", os.TempDir(), seed)
				os.WriteFile(path, []byte(strings.Join(w.trace, ";\n")+";\n"), 0o644)
				t.Fatalf("seed %d, %d copies of operators, batches of %d: %v\nThe script is in %s.", seed, v.parallel, v.rows, err, path)
			}
			first = final
		}
		seed++
	}
	goleak.VerifyNone(t, here)
	t.Logf("%d scripts up to seed %d: %v", n, seed-1, counts)
}

func sameContents(a, b map[string][]string) error {
	for name, rows := range a {
		if other, ok := b[name]; !ok || !slices.Equal(rows, other) {
			return fmt.Errorf("%s:\n%v\nand with other options\n%v", name, rows, other)
		}
	}
	return nil
}
