package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow/memory"

	"streamsql/internal/pgerr"
)

// written gives the lines of a sink's files that readers see.
func written(t *testing.T, dir string) (lines []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "part-*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")...)
	}
	return lines
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

func TestFileSinks(t *testing.T) {
	e, s := open(t)
	dir := t.TempDir()
	run(t, s, `CREATE TABLE e (ts timestamp, k text, v numeric, WATERMARK FOR ts AS ts) APPEND ONLY;
		CREATE SINK rows FROM e WITH (connector = 'file', path = '`+dir+`/rows');
		CREATE SINK counts AS SELECT window_start, k, count(*) AS n FROM TUMBLE(e, ts, INTERVAL '1 minute') GROUP BY window_start, window_end, k
			EMIT ON WINDOW CLOSE WITH (connector = 'file', path = '`+dir+`/counts', format = 'csv');
		CREATE SINK log AS SELECT k, sum(v) AS s FROM e GROUP BY k EMIT CHANGES WITH (connector = 'file', path = '`+dir+`/log', type = 'changelog');
		INSERT INTO e VALUES ('2026-01-01 00:00:05', 'a "b"', 1.50), ('2026-01-01 00:00:07', NULL, 2)`)
	run(t, s, `INSERT INTO e VALUES ('2026-01-01 00:01:00', 'a "b"', NULL)`)
	eventually(t, "rows of the first sink", func() bool { return len(written(t, dir+"/rows")) == 3 })
	if got, want := written(t, dir+"/rows"), []string{
		`{"ts":"2026-01-01T00:00:05","k":"a \"b\"","v":1.50}`,
		`{"ts":"2026-01-01T00:00:07","k":null,"v":2}`,
		`{"ts":"2026-01-01T00:01:00","k":"a \"b\"","v":null}`,
	}; !slices.Equal(got, want) {
		t.Errorf("rows: %q", got)
	}
	eventually(t, "closed windows", func() bool { return len(written(t, dir+"/counts")) == 3 })
	if got, want := written(t, dir+"/counts"), []string{"window_start,k,n", `2026-01-01 00:00:00,"a ""b""",1`, "2026-01-01 00:00:00,,1"}; !slices.Equal(got, want) {
		t.Errorf("counts: %q", got)
	}
	eventually(t, "changes", func() bool { return len(written(t, dir+"/log")) == 2 })
	if got := strings.Join(written(t, dir+"/log"), "\n"); strings.Count(got, `"_op":"+I","_ts":"20`) != 2 {
		t.Errorf("log: %s", got)
	}
	expect(t, s, "SELECT relation, state, changes FROM sys.jobs ORDER BY relation", "counts|running|2", "log|running|2", "rows|running|3")
	_, err := tryRun(s, "DROP TABLE e")
	if pgerr.Code(err) != pgerr.DependentObjectsStillExist || !strings.Contains(pgerr.From(err).Detail, "sink rows depends on table e") {
		t.Errorf("drop of a table that sinks read: %v", err)
	}
	run(t, s, "DROP SINK rows; INSERT INTO e VALUES ('2026-01-01 00:02:00', 'c', 1)")
	eventually(t, "more windows", func() bool { return len(written(t, dir+"/counts")) > 3 })
	if n := len(written(t, dir+"/rows")); n != 3 {
		t.Errorf("%d rows after DROP SINK", n)
	}
	run(t, s, "DROP TABLE e CASCADE")
	expect(t, s, "SELECT count(*) FROM sys.jobs", "0")
	if hidden, _ := filepath.Glob(dir + "/*/.part-*"); len(hidden) > 1 {
		t.Errorf("left behind: %q", hidden)
	}
	e.closeSinks()
}

// TestBoundedSink checks that a sink of bounded input comes to an end with everything written.
func TestBoundedSink(t *testing.T) {
	_, s := open(t)
	dir := t.TempDir()
	run(t, s, `CREATE SOURCE bid WITH (connector = 'nexmark', table = 'bid', events = '5000');
		CREATE SINK out AS SELECT auction, price FROM bid EMIT CHANGES AS APPEND WITH (connector = 'file', path = '`+dir+`', format = 'csv', header = 'false')`)
	eventually(t, "the sink to finish", func() bool {
		return slices.Equal(run(t, s, "SELECT state, changes FROM sys.jobs"), []string{"finished|4600"})
	})
	if n := len(written(t, dir)); n != 4600 {
		t.Errorf("%d rows", n)
	}
}

// TestTableSink checks that a table which a sink writes is the query's answer, rows that go included.
func TestTableSink(t *testing.T) {
	_, s := open(t)
	run(t, s, `CREATE TABLE t (id int PRIMARY KEY, k text, v int); CREATE TABLE out (k text PRIMARY KEY, n bigint, s bigint);
		CREATE MATERIALIZED VIEW above AS SELECT k FROM out WHERE n > 1;
		CREATE SINK to_out AS SELECT k, count(*) AS n, sum(v) AS s FROM t GROUP BY k WITH (connector = 'table', table = 'out')`)
	for i := range 50 {
		run(t, s, fmt.Sprintf("INSERT INTO t VALUES (%d, 'k%d', %d)", i, i%5, i))
	}
	run(t, s, "DELETE FROM t WHERE k = 'k3'; UPDATE t SET v = 0 WHERE k = 'k1'; DELETE FROM t WHERE k = 'k4' AND id > 4")
	want := run(t, s, "SELECT k, count(*) AS n, sum(v) AS s FROM t GROUP BY k ORDER BY k")
	eventually(t, "the table to be the answer", func() bool { return slices.Equal(run(t, s, "SELECT * FROM out ORDER BY k"), want) })
	expect(t, s, "SELECT k FROM above ORDER BY k", "k0", "k1", "k2")
	if _, err := tryRun(s, "CREATE SINK back AS SELECT 1 AS id, k, 2 AS v FROM above WITH (connector = 'table', table = 't')"); pgerr.Code(err) != "0A000" {
		t.Errorf("a sink that feeds itself: %v", err)
	}
}

func TestSinkErrors(t *testing.T) {
	_, s := open(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "f")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	run(t, s, `CREATE TABLE t (id int PRIMARY KEY, k text); CREATE TABLE log (k text) APPEND ONLY; CREATE SOURCE e (ts timestamp, k text)`)
	to := "WITH (connector = 'file', path = '" + dir + "/x'"
	for _, c := range []struct{ sql, at, code, text, hint string }{
		{"CREATE SINK s AS SELECT k, count(*) FROM t GROUP BY k EMIT CHANGES " + to + ")", "EMIT", "0A000", "an append-only sink cannot take a changelog", "EMIT ON WINDOW CLOSE"},
		{"CREATE SINK s FROM t " + to + ")", "t W", "0A000", "an append-only sink cannot take a changelog", "type = 'changelog'"},
		{"CREATE SINK s AS SELECT k FROM t " + to + ")", "s A", "0A000", "an append-only sink cannot take a changelog", "type = 'changelog'"},
		{"CREATE SINK s AS SELECT k FROM t EMIT CHANGES " + to + ", type = 'upsert')", "EMIT", "0A000", "the sink takes upserts, and the query is emitted as a changelog", "agree"},
		{"CREATE SINK s AS SELECT k FROM t " + to + ", type = 'upsert')", "s A", "0A000", "needs a key", "GROUP BY"},
		{"CREATE SINK s AS SELECT k FROM t WITH (connector = 'table', table = 'log')", "'log'", "0A000", "an append-only table cannot take a changelog", "EMIT ON WINDOW CLOSE"},
		{"CREATE SINK s AS SELECT id FROM t WITH (connector = 'table', table = 'log')", "'log'", "42804", "column \"k\" is of type text but expression is of type integer", "cast"},
		{"CREATE SINK s AS SELECT id, k FROM t WITH (connector = 'table', table = 'log')", "'log'", "42804", "1 columns and the query 2", ""},
		{"CREATE SINK s AS SELECT k FROM t WITH (connector = 'table', table = 'nothing')", "'nothing'", "42P01", "does not exist", ""},
		{"CREATE SINK s FROM t WITH (connector = 'table', table = 't')", "'t'", "0A000", "would be fed by what it writes", ""},
		{"CREATE SINK s FROM e WITH (connector = 'nexmark')", "'nexmark'", "22023", "cannot be a sink", "file, table"},
		{"CREATE SINK s FROM e WITH (path = 'x')", "s F", "22023", "\"connector\" is missing", "file, table"},
		{"CREATE SINK s FROM e " + to + ", fromat = 'csv')", "fromat", "22023", "unrecognized option \"fromat\"", "format"},
		{"CREATE SINK s FROM e " + to + ", format = 'orc')", "format", "22023", "invalid value for option \"format\"", "ndjson, csv"},
		{"CREATE SINK s FROM e WITH (connector = 'file', path = '" + file + "')", "path", "22023", "It is a file", ""},
		{"CREATE SINK s FROM e WITH (connector = 'file')", "", "22023", "\"path\" is missing", "directory"},
		{"CREATE SINK s FROM nothing " + to + ")", "nothing", "42P01", "does not exist", ""},
		{"CREATE SINK t FROM e " + to + ")", "t F", "42P07", "already exists", ""},
	} {
		_, err := tryRun(s, c.sql)
		got := pgerr.From(err)
		if err == nil || got.Code != c.code || !strings.Contains(got.Message+got.Hint, c.text) || !strings.Contains(got.Hint, c.hint) {
			t.Errorf("%s: %v (%s)", c.sql, err, pgerr.Code(err))
			continue
		}
		if at := strings.Index(c.sql, c.at) + 1; c.at != "" && got.Position != at {
			t.Errorf("%s: at %d instead of %d", c.sql, got.Position, at)
		}
	}
	expect(t, s, "SELECT count(*) FROM pg_class WHERE relname = 's'", "0")
}

// TestSinkAfterRestart checks that a sink goes on after a restart and writes no row a second time.
func TestSinkAfterRestart(t *testing.T) {
	data, dir := t.TempDir(), t.TempDir()
	for i := range 3 {
		e, s := start(t, Options{DataDir: data})
		if i == 0 {
			run(t, s, "CREATE TABLE t (a int) APPEND ONLY; CREATE SINK k FROM t WITH (connector = 'file', path = '"+dir+"')")
		}
		expect(t, s, "SELECT relation, state, error FROM sys.jobs", "k|running|NULL")
		run(t, s, fmt.Sprintf("INSERT INTO t VALUES (%d)", i))
		s.Close()
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		if got := written(t, dir); len(got) != i+1 {
			t.Errorf("run %d: %q", i, got)
		}
	}
}

// TestDroppedSinkEnds checks that a closed engine has nothing left of sinks that were dropped just before.
func TestDroppedSinkEnds(t *testing.T) {
	for range 20 {
		alloc := memory.NewCheckedAllocator(memory.NewGoAllocator())
		e, s := start(t, Options{Alloc: alloc})
		run(t, s, `CREATE TABLE t (a int); CREATE TABLE out (a int);
			CREATE SINK k AS SELECT x.a FROM t AS x JOIN t AS y USING (a) WITH (connector = 'table', table = 'out');
			INSERT INTO t SELECT n FROM generate_series(1, 5000) n; DROP SINK k`)
		s.Close()
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		alloc.AssertSize(t, 0)
	}
}

// TestSinkPositions plays the recorder of durable epochs: files appear only when it is recorded that they are prepared, and what is
// recorded as handed over is in the files.
func TestSinkPositions(t *testing.T) {
	e, s := open(t)
	dir := t.TempDir()
	wanted := make(chan struct{}, 1)
	e.recordSinks = func() {
		select {
		case wanted <- struct{}{}:
		default:
		}
	}
	run(t, s, "CREATE TABLE t (n int); INSERT INTO t VALUES (0)")
	go func() { // the first commit waits, too
		<-wanted
		e.coord.step.Lock()
		at := e.coord.sinkPositions()
		e.coord.step.Unlock()
		e.coord.sinksRecorded(at)
	}()
	run(t, s, "CREATE SINK k FROM t WITH (connector = 'file', path = '"+dir+"', type = 'changelog', format = 'csv', header = 'false', rollover_interval = '0 s')")
	seen := 1
	for i := 1; i <= 20; i++ {
		run(t, s, fmt.Sprintf("INSERT INTO t VALUES (%d)", i))
		if i%5 > 0 {
			continue
		}
		for seen <= i {
			<-wanted
			if n := len(written(t, dir)); n != seen {
				t.Fatalf("%d rows are seen before they are recorded, instead of %d", n, seen)
			}
			e.coord.step.Lock()
			at := e.coord.sinkPositions()
			epoch := e.epoch
			e.coord.step.Unlock()
			for _, p := range at {
				if p.Through > epoch || p.Prepared > p.Through || p.Prepared == 0 {
					t.Errorf("position %+v at epoch %d", p, epoch)
				}
			}
			e.coord.sinksRecorded(at)
			eventually(t, "the recorded rows", func() bool { return len(written(t, dir)) > seen })
			seen = len(written(t, dir))
		}
	}
	eventually(t, "a sink with nothing to do to be as far as the epoch", func() bool {
		e.coord.step.Lock()
		defer e.coord.step.Unlock()
		for _, p := range e.coord.sinkPositions() {
			return p.Through == e.epoch
		}
		return false
	})
}
