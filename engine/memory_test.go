package engine

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"streamsql/internal/pgerr"
)

// hungry are views whose state cannot go to disk, each with what is to be blamed.
var hungry = []struct{ operator, query string }{
	{"Aggregate", "SELECT k, window_start, max(v) AS m FROM TUMBLE(e, ts, INTERVAL '1 hour') GROUP BY k, window_start, window_end"},
	{"Aggregate", "SELECT k, window_start, max(v) AS m FROM TUMBLE(e, ts, INTERVAL '1 hour') GROUP BY k, window_start, window_end EMIT ON WINDOW CLOSE"},
	{"Aggregate", "SELECT k, window_start, max(v) AS m FROM HOP(e, ts, INTERVAL '1 hour', INTERVAL '2 hours') GROUP BY k, window_start, window_end EMIT ON WINDOW CLOSE"},
	{"Aggregate", "SELECT k, window_start, max(v) AS m FROM SESSION(e PARTITION BY k, ts, INTERVAL '1 second') GROUP BY k, window_start, window_end"},
	{"Aggregate", "SELECT k, window_start, array_agg(v ORDER BY v) AS m FROM SESSION(e PARTITION BY k, ts, INTERVAL '1 second') GROUP BY k, window_start, window_end EMIT ON WINDOW CLOSE"},
	{"AsOfJoin", "SELECT a.k, b.v FROM e AS a ASOF JOIN e AS b ON a.k = b.k AND a.ts >= b.ts"},
	{"Over", "SELECT k, sum(k) OVER (PARTITION BY k ORDER BY ts) AS s, v FROM e EMIT ON WINDOW CLOSE"},
	{"Temporal", "SELECT k, v FROM e WHERE ts > now() - INTERVAL '1 day'"},
	{"Join", "SELECT b.k, b.v FROM e AS a JOIN e AS b ON a.k < b.k AND a.k = (SELECT 7)"},
	{"Join", "SELECT a.k, b.v FROM e AS a JOIN e AS b ON a.k = b.k AND b.ts BETWEEN a.ts - INTERVAL '1 day' AND a.ts + INTERVAL '1 day' EMIT ON WINDOW CLOSE"},
}

// stateOf waits until the job of a view is in the state, and gives the error of it.
func stateOf(t *testing.T, s *Session, view, state string) string {
	t.Helper()
	var rows []string
	for range 500 {
		rows = run(t, s, "SELECT state, coalesce(error, '') FROM sys.jobs WHERE relation = '"+view+"'")
		if len(rows) == 1 && strings.HasPrefix(rows[0], state+"|") {
			return rows[0][len(state)+1:]
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("the job of %s is %q, not %s", view, rows, state)
	return ""
}

const memoryFeed = "INSERT INTO e SELECT g, now()::timestamp, repeat('x', 300) || g FROM generate_series(%d, %d) AS g"

// TestHungryViews: a view whose state outgrows the budget fails with an error that names its operator and gives its memory back; others go on.
func TestHungryViews(t *testing.T) {
	e, s := start(t, Options{Memory: 12 << 20})
	defer e.Close()
	defer s.Close()
	run(t, s, `CREATE SOURCE e (k bigint, ts timestamp, v text, WATERMARK FOR ts AS ts - INTERVAL '100 days');
		CREATE MATERIALIZED VIEW n AS SELECT count(*) AS n FROM e`)
	fed := 0
	feed := func() {
		run(t, s, fmt.Sprintf(memoryFeed, fed+1, fed+2000))
		fed += 2000
	}
	for _, h := range hungry {
		run(t, s, "CREATE MATERIALIZED VIEW h AS "+h.query)
		for from := fed; fed-from < 60_000 && !strings.HasPrefix(run(t, s, "SELECT state FROM sys.jobs WHERE relation = 'h'")[0], "failed"); {
			feed()
		}
		if got := stateOf(t, s, "h", "failed"); !strings.Contains(got, "out of memory") || !strings.Contains(got, h.operator+" of the query") || !strings.Contains(got, pgerr.OutOfMemory) {
			t.Errorf("%s: the error is %q", h.query, got)
		}
		expect(t, s, "SELECT memory, on_disk, state_rows FROM sys.jobs WHERE relation = 'h'", "0|0|NULL")
		feed()
		expect(t, s, "SELECT n FROM n", fmt.Sprint(fed))
		run(t, s, "DROP MATERIALIZED VIEW h")
	}
	if n := e.Memory().Used; n > 1<<20 {
		t.Errorf("%d bytes are still counted", n)
	}
}

// TestHungryViewGoesOn: a view that has failed because there was no room goes on, when there is, from the last epoch, and has everything.
func TestHungryViewGoesOn(t *testing.T) {
	t.Run("tick", func(t *testing.T) { hungryViewGoesOn(t, Options{}) })
	// Where operators have copies it is the taking in of changes that fails.
	t.Run("push", func(t *testing.T) { hungryViewGoesOn(t, Options{BatchRows: 4096, Parallel: 3}) })
}

func hungryViewGoesOn(t *testing.T, o Options) {
	o.Memory, o.DataDir, o.DurableEvery = 12<<20, t.TempDir(), 10*time.Millisecond
	e, s := start(t, o)
	defer e.Close()
	defer s.Close()
	const view = "SELECT k, window_start, max(v) AS m FROM SESSION(e PARTITION BY k, ts, INTERVAL '1 second') GROUP BY k, window_start, window_end"
	run(t, s, `CREATE TABLE e (k bigint, ts timestamp, v text, WATERMARK FOR ts AS ts - INTERVAL '100 days');
		CREATE MATERIALIZED VIEW first AS `+view+`; CREATE MATERIALIZED VIEW second AS `+view)
	fed, failed := 0, ""
	for failed == "" {
		if fed > 60_000 {
			t.Fatal("no view has failed")
		}
		run(t, s, fmt.Sprintf(memoryFeed, fed+1, fed+1000))
		fed += 1000
		failed = strings.Join(run(t, s, "SELECT relation FROM sys.jobs WHERE state = 'failed'"), ",")
	}
	other := map[string]string{"first": "second", "second": "first"}[failed]
	if other == "" {
		t.Fatalf("%s failed, not one view", failed)
	}
	run(t, s, fmt.Sprintf(memoryFeed, fed+1, fed+1000))
	fed += 1000
	run(t, s, "DROP MATERIALIZED VIEW "+other)
	if _, err := tryRun(s, "RESUME "+failed); err != nil {
		t.Fatal(failureText(err))
	}
	stateOf(t, s, failed, "running")
	want, got := fmt.Sprintf("%d|1|%d", fed, fed), ""
	for range 500 { // what it has missed is published with the step after RESUME
		if got = run(t, s, "SELECT count(*), min(k), max(k) FROM "+failed)[0]; got == want {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%s has %s, not %s", failed, got, want)
}

// TestViewsOverViews: views that use views twice each cannot make a statement of any size out of a short one.
func TestViewsOverViews(t *testing.T) {
	_, s := open(t)
	run(t, s, "CREATE TABLE t (a int); INSERT INTO t VALUES (1); CREATE VIEW v0 AS SELECT a FROM t")
	for i := range 8 {
		run(t, s, fmt.Sprintf("CREATE VIEW v%d AS SELECT x.a FROM v%d AS x JOIN v%d AS y ON x.a = y.a", i+1, i, i))
	}
	expect(t, s, "SELECT a FROM v8", "1")
	for _, sql := range []string{
		"SELECT 1 FROM v8 a, v8 b, v8 c, v8 d, v8 e",
		"WITH a AS (SELECT * FROM v8), b AS (SELECT x.a FROM a AS x, a AS y), c AS (SELECT x.a FROM b AS x, b AS y) SELECT x.a FROM c AS x, c AS y",
	} {
		if _, err := tryRun(s, sql); pgerr.Code(err) != pgerr.ProgramLimitExceeded {
			t.Errorf("%s: %v", sql, err)
		}
	}
}
