package engine

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"streamsql/catalog"
	"streamsql/internal/pgerr"
)

// TestPause: a paused view or sink stands still; when it goes on it has everything, from tables, views, files and sources that keep nothing.
func TestPause(t *testing.T) {
	e, s := open(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "f.csv")
	grow := func(from, to int) {
		f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if from == 0 {
			fmt.Fprintln(f, "n")
		}
		for i := from; i < to; i++ {
			fmt.Fprintln(f, i)
		}
	}
	grow(0, 10)
	run(t, s, `CREATE TABLE t (id int PRIMARY KEY, k text, v numeric); CREATE TABLE bag (k text, v numeric); CREATE SOURCE push (n int);
		CREATE SOURCE f (n int) WITH (connector = 'file', path = '`+file+`', follow = 'true');
		CREATE TABLE e (ts timestamp, v int, WATERMARK FOR ts AS ts);
		CREATE MATERIALIZED VIEW below AS SELECT k, sum(v) AS s FROM bag GROUP BY k;
		CREATE MATERIALIZED VIEW m AS SELECT t.id, t.v, b.s FROM t LEFT JOIN below AS b USING (k);
		CREATE MATERIALIZED VIEW rows AS SELECT k, v FROM bag;
		CREATE MATERIALIZED VIEW p AS SELECT count(*) AS n, sum(n) AS s FROM push;
		CREATE MATERIALIZED VIEW c AS SELECT count(*) AS n, sum(n) AS s FROM f;
		CREATE MATERIALIZED VIEW w AS SELECT window_start, count(*) AS n FROM TUMBLE(e, ts, INTERVAL '1 minute') GROUP BY window_start, window_end EMIT ON WINDOW CLOSE;
		CREATE TABLE out (k text, v numeric); CREATE SINK k AS SELECT k, v FROM bag WITH (connector = 'table', table = 'out')`)
	rng := rand.New(rand.NewPCG(1, 2))
	change := func() {
		for range 40 {
			id := rng.IntN(30)
			switch rng.IntN(6) {
			case 0:
				run(t, s, fmt.Sprintf("DELETE FROM t WHERE id = %d", id))
			case 1:
				run(t, s, fmt.Sprintf("UPDATE t SET v = v + 1 WHERE id < %d", id))
			case 2:
				run(t, s, fmt.Sprintf("INSERT INTO bag VALUES ('k%[1]d', %[2]d.%[3]d); INSERT INTO bag VALUES ('k%[1]d', %[2]d.%[3]d0)", id%5, id, id%3))
			case 3:
				run(t, s, fmt.Sprintf("DELETE FROM bag WHERE v < %d", id/3))
			default:
				run(t, s, fmt.Sprintf("INSERT INTO t VALUES (%d, 'k%d', %d) ON CONFLICT DO NOTHING", id, id%5, id))
			}
		}
	}
	pausable := []string{"m", "rows", "p", "c", "w", "k"}
	set := func(on bool) {
		for _, n := range pausable {
			kind, action := "MATERIALIZED VIEW", "RESUME"
			if n == "k" {
				kind = "SINK"
			}
			if on {
				action = "PAUSE"
			}
			run(t, s, "ALTER "+kind+" "+n+" "+action)
		}
	}
	equal := func() {
		t.Helper()
		for view, query := range map[string]string{
			"m":    "SELECT t.id, t.v, b.s FROM t LEFT JOIN (SELECT k, sum(v) AS s FROM bag GROUP BY k) AS b USING (k)",
			"rows": "SELECT k, v FROM bag", "out": "SELECT k, v FROM bag",
		} {
			eventually(t, view+" to equal its query", func() bool {
				return run(t, s, "SELECT count(*) FROM ((SELECT * FROM "+view+" EXCEPT ALL "+query+") UNION ALL ("+query+" EXCEPT ALL SELECT * FROM "+view+")) AS x")[0] == "0"
			})
		}
	}
	change()
	run(t, s, "INSERT INTO push VALUES (1), (2); INSERT INTO e VALUES ('2026-01-01 00:00:10', 1), ('2026-01-01 00:00:50', 1), ('2026-01-01 00:01:10', 1)")
	equal()
	eventually(t, "the file", func() bool { return run(t, s, "SELECT * FROM c")[0] == "10|45" })
	for round := range 3 {
		set(true)
		set(true) // again: nothing happens
		before := map[string]string{}
		for _, v := range []string{"m", "rows", "p", "c", "w", "out"} {
			before[v] = strings.Join(run(t, s, "SELECT x::text FROM "+v+" AS x ORDER BY 1"), "; ")
		}
		change()
		grow(10+round, 11+round)
		run(t, s, fmt.Sprintf("INSERT INTO push VALUES (%d)", 10+round))
		// Not in the order of time within the table, but in that of arrival: nothing is late when the view goes on.
		run(t, s, fmt.Sprintf("INSERT INTO e VALUES ('2026-01-01 00:0%d:20', 100); INSERT INTO e VALUES ('2026-01-01 00:0%d:30', 5); INSERT INTO e VALUES ('2026-01-01 00:0%d:40', 1)",
			2*round+1, 2*round+2, 2*round+3))
		expect(t, s, "SELECT string_agg(relation::text || ' ' || state, ', ' ORDER BY relation::text) FROM sys.jobs", "below running, c paused, k paused, m paused, p paused, rows paused, w paused")
		for v, want := range before {
			if got := strings.Join(run(t, s, "SELECT x::text FROM "+v+" AS x ORDER BY 1"), "; "); got != want {
				t.Errorf("%s changed while it was paused", v)
			}
		}
		set(false)
		equal()
		expect(t, s, "SELECT n FROM p", fmt.Sprint(3+round))
		eventually(t, "the file", func() bool { return run(t, s, "SELECT n FROM c")[0] == fmt.Sprint(11+round) })
		expect(t, s, "SELECT max(window_start), sum(n) = (SELECT count(*) FROM e WHERE ts < (SELECT date_trunc('minute', max(ts)) FROM e)) FROM w", fmt.Sprintf("2026-01-01 00:0%d:00|t", 2*round+2))
	}
	change()
	equal()
	// A job that is dropped while it is paused is gone.
	set(true)
	run(t, s, "INSERT INTO push VALUES (1); DROP MATERIALIZED VIEW p; INSERT INTO push VALUES (2)")
	e.held.Range(func(k, _ any) bool { t.Errorf("%+v is held", k); return true })
}

// TestPauseHolds: rows of a source that keeps none wait for a paused view, up to a bound.
func TestPauseHolds(t *testing.T) {
	_, s := open(t)
	run(t, s, "CREATE SOURCE push (n int); CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM push")
	run(t, s, "PAUSE v")
	run(t, s, fmt.Sprintf("INSERT INTO push SELECT n FROM generate_series(0, %d) AS n", maxPending))
	if _, err := tryRun(s, "INSERT INTO push VALUES (1)"); pgerr.Code(err) != pgerr.ConfigurationLimitExceeded {
		t.Errorf("rows beyond the bound: %v", err)
	}
	run(t, s, "RESUME v")
	for _, c := range []struct{ sql, code string }{{"ALTER SINK v PAUSE", pgerr.WrongObjectType}, {"ALTER SINK nothing RESUME", pgerr.UndefinedTable},
		{"ALTER MATERIALIZED VIEW push PAUSE", pgerr.WrongObjectType}, {"PAUSE push", pgerr.WrongObjectType}} {
		if _, err := tryRun(s, c.sql); pgerr.Code(err) != c.code {
			t.Errorf("%s: %v", c.sql, err)
		}
	}
	run(t, s, "ALTER SINK IF EXISTS nothing PAUSE")
	run(t, s, "INSERT INTO push VALUES (1)")
	expect(t, s, "SELECT n FROM v", fmt.Sprint(maxPending+2))
}

// TestPauseSurvives: a paused view is paused after a restart, too, and loses nothing.
func TestPauseSurvives(t *testing.T) {
	dir := t.TempDir()
	for i := range 3 {
		e, s := start(t, Options{DataDir: dir})
		switch i {
		case 0:
			run(t, s, "CREATE TABLE t (n int); CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM t; INSERT INTO t VALUES (1); PAUSE v; INSERT INTO t VALUES (2)")
		case 1:
			eventually(t, "the view to be paused", func() bool { return run(t, s, "SELECT state FROM sys.jobs")[0] == "paused" })
			before := run(t, s, "SELECT n FROM v")[0]
			run(t, s, "INSERT INTO t VALUES (3)")
			expect(t, s, "SELECT n FROM v", before)
			run(t, s, "RESUME v")
			expect(t, s, "SELECT n FROM v", "3")
		case 2:
			eventually(t, "the view to run", func() bool { return run(t, s, "SELECT state FROM sys.jobs")[0] == "running" })
			run(t, s, "INSERT INTO t VALUES (4)")
			eventually(t, "the view to go on", func() bool { return run(t, s, "SELECT n FROM v")[0] == "4" })
		}
		s.Close()
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSilentSteps: what a job has read without giving anything is kept, however often nothing else changes between durable epochs.
func TestSilentSteps(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f.ndjson")
	if err := os.WriteFile(path, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for restarts := range 2 {
		e, s := start(t, Options{DataDir: filepath.Join(dir, "data")})
		e.coord.step.Lock()
		e.kept.rare = true // the journal grows
		e.coord.step.Unlock()
		if restarts == 0 {
			run(t, s, "CREATE SOURCE f (n int) WITH (connector = 'file', path = '"+path+"', follow = 'true'); CREATE TABLE t (n int)")
			run(t, s, "CREATE MATERIALIZED VIEW v AS SELECT f.n FROM f JOIN t ON f.n = t.n")
			for i := range 4 {
				fmt.Fprintf(file, "{\"n\":%d}\n", i)
				eventually(t, "the row", func() bool { return run(t, s, "SELECT rows_read FROM sys.jobs")[0] == fmt.Sprint(i+1) })
				if err := e.persist.wait(); err != nil {
					t.Fatal(err)
				}
			}
		} else {
			run(t, s, "INSERT INTO t VALUES (0), (1), (2), (3)")
			expect(t, s, "SELECT n FROM v ORDER BY n", "0", "1", "2", "3")
		}
		s.Close()
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPausedSinkSurvives: a sink that is paused over a restart goes on with what it has not written, once.
func TestPausedSinkSurvives(t *testing.T) {
	dir := t.TempDir()
	want := 0
	for i := range 6 {
		e, s := start(t, Options{DataDir: filepath.Join(dir, "data")})
		insert := func() {
			want++
			run(t, s, fmt.Sprintf("INSERT INTO t VALUES (%d)", want))
		}
		if i == 0 {
			run(t, s, "CREATE TABLE t (n int) APPEND ONLY; CREATE SINK k FROM t WITH (connector = 'file', path = '"+dir+"/out', rollover_interval = '10 ms')")
		}
		insert()
		if i%3 > 0 {
			run(t, s, "ALTER SINK k RESUME")
			insert()
			eventually(t, "all rows", func() bool { return len(written(t, dir+"/out")) >= want })
		}
		if i%3 < 2 {
			run(t, s, "ALTER SINK k PAUSE")
			insert()
		}
		s.Close()
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	got := written(t, dir+"/out")
	for i, row := range got {
		if row != fmt.Sprintf("{\"n\":%d}", i+1) {
			t.Fatalf("row %d is %s", i+1, row)
		}
	}
	if len(got) != want {
		t.Errorf("%d rows instead of %d", len(got), want)
	}
}

// A view that was paused goes on ahead of the views that read it: they take in what it gives from then on.
func TestResumedViewIsReadOn(t *testing.T) {
	for _, dir := range []string{"", t.TempDir()} {
		e, s := start(t, Options{DataDir: dir})
		run(t, s, `CREATE TABLE t (id int); CREATE MATERIALIZED VIEW a AS SELECT id % 10 AS k, count(*) AS n FROM t GROUP BY 1;
			CREATE VIEW between AS SELECT n FROM a; CREATE MATERIALIZED VIEW b AS SELECT sum(n) AS n FROM between;
			CREATE MATERIALIZED VIEW c AS SELECT n + 1 AS n FROM b; INSERT INTO t SELECT * FROM generate_series(1, 100)`)
		for _, name := range []string{"a", "b"} {
			run(t, s, "PAUSE "+name+"; INSERT INTO t VALUES (1)")
			run(t, s, "RESUME "+name)
			run(t, s, "INSERT INTO t VALUES (1)")
		}
		expect(t, s, "SELECT a.n, b.n, c.n FROM (SELECT sum(n) AS n FROM a) AS a, b, c", "104|104|105")
		s.Close()
		e.Close()
	}
}

// What becomes durable while a view is on its way back is taken in once: from the store, or as it comes.
func TestResumeWhileChanging(t *testing.T) {
	e, s := start(t, Options{DataDir: t.TempDir(), DurableEvery: time.Millisecond})
	defer e.Close()
	defer s.Close()
	run(t, s, "CREATE TABLE t (id int); CREATE MATERIALIZED VIEW n AS SELECT count(*) AS n FROM t")
	var stop atomic.Bool
	var writers sync.WaitGroup
	for range 2 {
		w, err := e.NewSession(SessionOptions{})
		if err != nil {
			t.Fatal(err)
		}
		writers.Go(func() {
			defer w.Close()
			for !stop.Load() {
				if _, err := tryRun(w, "INSERT INTO t VALUES (1)"); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 20 {
		run(t, s, "PAUSE n")
		time.Sleep(3 * time.Millisecond)
		run(t, s, "RESUME n")
	}
	stop.Store(true)
	writers.Wait()
	expect(t, s, "SELECT n FROM n", run(t, s, "SELECT count(*) FROM t")...)
}

// A paused view does not come back after a restart; what it reads goes on all the same.
func TestRestartBelowPaused(t *testing.T) {
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "f.csv")
	if err := os.WriteFile(file, []byte("a\n1\n2\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	for generation := range 2 {
		e, s := start(t, Options{DataDir: dir})
		if generation == 0 {
			run(t, s, "CREATE SOURCE f (a int) WITH (connector = 'file', path = '"+file+"', format = 'csv', follow = 'true'); CREATE MATERIALIZED VIEW n AS SELECT count(*) AS n FROM f")
			run(t, s, "CREATE MATERIALIZED VIEW m AS SELECT n + 1 AS m FROM n; PAUSE m")
		}
		if err := os.WriteFile(file, []byte("a\n1\n2\n"+strings.Repeat("3\n", generation+1)), 0o666); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the view to go on", func() bool { return run(t, s, "SELECT n FROM n")[0] == fmt.Sprint(3+generation) })
		s.Close()
		e.Close()
	}
}

// TestWhileReturning: what is asked of views and sinks that are on their way back after a restart holds when they are back.
func TestWhileReturning(t *testing.T) {
	dir := t.TempDir()
	const states = "SELECT relation, state FROM sys.jobs ORDER BY relation"
	{
		e, s := start(t, Options{DataDir: dir})
		run(t, s, `CREATE TABLE t (a int); CREATE TABLE got (a int)`)
		for _, name := range []string{"first", "runs", "pauses", "stands", "resumes", "goes"} {
			run(t, s, "CREATE MATERIALIZED VIEW "+name+" AS SELECT count(*) AS n FROM t")
		}
		run(t, s, `CREATE SINK sink FROM t WITH (connector = 'table', table = 'got'); INSERT INTO t VALUES (1), (2); PAUSE stands; PAUSE resumes; INSERT INTO t VALUES (3)`)
		s.Close()
		e.Close()
	}
	gate, once := make(chan struct{}), sync.Once{}
	e, s := start(t, Options{DataDir: dir, returning: func(*catalog.Relation) { <-gate }})
	open := func() { once.Do(func() { close(gate) }) }
	defer open()
	expect(t, s, states, "first|starting", "goes|starting", "pauses|starting", "resumes|paused", "runs|starting", "sink|starting", "stands|paused")
	run(t, s, "PAUSE pauses; RESUME resumes; DROP MATERIALIZED VIEW goes; PAUSE sink")
	expect(t, s, states, "first|starting", "pauses|paused", "resumes|starting", "runs|starting", "sink|paused", "stands|paused")
	open()
	run(t, s, "INSERT INTO t VALUES (4)")
	want := []string{"first|running", "pauses|paused", "resumes|running", "runs|running", "sink|paused", "stands|paused"}
	expect(t, s, states, want...)
	for range 2 {
		for name, n := range map[string]string{"first": "4", "runs": "4", "resumes": "4", "pauses": "3", "stands": "2"} {
			eventually(t, name+" to have "+n, func() bool { return run(t, s, "SELECT n FROM "+name)[0] == n })
		}
		eventually(t, "the states to be what was asked for", func() bool { return slices.Equal(run(t, s, states), want) })
		s.Close()
		e.Close()
		e, s = start(t, Options{DataDir: dir})
	}
	run(t, s, "RESUME pauses; RESUME stands; RESUME sink")
	for _, name := range []string{"pauses", "stands"} {
		eventually(t, name+" to go on", func() bool { return run(t, s, "SELECT n FROM "+name)[0] == "4" })
	}
	eventually(t, "the sink to go on", func() bool { return run(t, s, "SELECT count(*), count(DISTINCT a) FROM got")[0] == "4|4" })
	s.Close()
	e.Close()
}
