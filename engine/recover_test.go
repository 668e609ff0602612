package engine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"streamsql/internal/pgerr"
)

// reopen closes an engine and opens its data directory again.
func reopen(t *testing.T, e *Engine, s *Session, dir string) (*Engine, *Session) {
	t.Helper()
	if s != nil {
		s.Close()
	}
	if e != nil {
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return start(t, Options{DataDir: dir})
}

// TestRestart: tables, definitions and views over tables are there again after a restart, also after another.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	e, s := reopen(t, nil, nil, dir)
	run(t, s, `CREATE SCHEMA app; CREATE TABLE app.t (id int PRIMARY KEY, v numeric(10,2), at timestamptz)`)
	run(t, s, `INSERT INTO app.t SELECT n, n * 1.5, '2026-01-01 00:00:00+00' FROM generate_series(1, 1000) n`)
	run(t, s, `CREATE VIEW app.plain AS SELECT id FROM app.t WHERE id < 10`)
	run(t, s, `CREATE MATERIALIZED VIEW app.m AS SELECT id % 3 AS k, count(*) AS n, sum(v) AS s FROM app.t GROUP BY id % 3`)
	run(t, s, `DELETE FROM app.t WHERE id > 500; UPDATE app.t SET v = 0 WHERE id = 1`)
	run(t, s, `CREATE TABLE gone (a int); DROP TABLE gone; COMMENT ON TABLE app.t IS 'kept'`)
	run(t, s, `BEGIN; INSERT INTO app.t VALUES (9999, 1, NULL); ROLLBACK`)
	want := run(t, s, `SELECT * FROM app.m ORDER BY k`)
	check := func() {
		t.Helper()
		expect(t, s, `SELECT * FROM app.m ORDER BY k`, want...)
		expect(t, s, `SELECT count(*), min(v), max(v) FROM app.t`, "500|0.00|750.00")
		expect(t, s, `SELECT count(*) FROM app.plain`, "9")
		if _, err := tryRun(s, `SELECT * FROM gone`); pgerr.Code(err) != pgerr.UndefinedTable {
			t.Errorf("dropped table: %v", err)
		}
	}
	e, s = reopen(t, e, s, dir)
	check()
	run(t, s, `INSERT INTO app.t VALUES (501, 0, NULL); DELETE FROM app.t WHERE id = 501`)
	e, s = reopen(t, e, s, dir)
	check()
	if _, err := Open(Options{DataDir: dir}); pgerr.Code(err) != pgerr.ObjectInUse {
		t.Errorf("second server on one directory: %v", err)
	}
	s.Close()
	e.Close()
}

// TestRestartReplacedViews: a view that was replaced by one which reads a younger view is there again after a restart.
func TestRestartReplacedViews(t *testing.T) {
	dir := t.TempDir()
	e, s := reopen(t, nil, nil, dir)
	run(t, s, `CREATE TABLE t (a int); CREATE MATERIALIZED VIEW one AS SELECT a FROM t;
		CREATE MATERIALIZED VIEW two AS SELECT a + 1 AS a FROM t; CREATE VIEW plain AS TABLE two;
		CREATE OR REPLACE MATERIALIZED VIEW one AS SELECT a FROM plain; INSERT INTO t VALUES (1)`)
	expect(t, s, "TABLE one", "2")
	e, s = reopen(t, e, s, dir)
	expect(t, s, "TABLE one", "2")
	run(t, s, "INSERT INTO t VALUES (5)")
	expect(t, s, "TABLE one ORDER BY 1", "2", "6")
	s.Close()
	e.Close()
}

// TestBackup: a copy made while clients change tables, a source is read and a sink written is consistent, and all goes on from it exactly once, whether it is opened
// itself or restored.
func TestBackup(t *testing.T) {
	const events = 30_000
	dir, to := t.TempDir(), filepath.Join(t.TempDir(), "copy")
	e, s := reopen(t, nil, nil, dir)
	run(t, s, crashSchema)
	run(t, s, fmt.Sprintf(`CREATE SOURCE bid WITH (connector = 'nexmark', table = 'bid', events = '%d', rate = '60000');
		CREATE MATERIALIZED VIEW bids AS SELECT auction %% 7 AS k, count(*) AS n, sum(price) AS s FROM bid GROUP BY auction %% 7;
		CREATE TABLE out (k bigint, n bigint, s numeric); CREATE SINK to_out FROM bids WITH (connector = 'table', table = 'out')`, events))
	ws := newWorkers(2)
	var stop atomic.Bool
	wait := work(t, e, ws, 5, &stop)
	time.Sleep(20 * time.Millisecond)
	acked := make([]int, len(ws))
	for i, w := range ws {
		w.mu.Lock()
		acked[i] = w.acked
		w.mu.Unlock()
	}
	if _, err := tryRun(s, "BACKUP TO 'copy'"); pgerr.Code(err) != pgerr.InvalidName {
		t.Error("a relative path:", err)
	}
	if _, err := tryRun(s, "BACKUP TO '"+filepath.Join(dir, "copy")+"'"); pgerr.Code(err) != pgerr.InvalidParameterValue {
		t.Error("into the data directory:", err)
	}
	if _, err := tryRun(s, "BEGIN; BACKUP TO '"+to+"'"); pgerr.Code(err) != pgerr.ActiveSQLTransaction {
		t.Error("in a block:", err)
	}
	run(t, s, "ROLLBACK; BACKUP TO '"+to+"'")
	stop.Store(true)
	if err := errors.Join(wait()...); err != nil {
		t.Fatal(err)
	}
	if err := BackupDirectory(t.Context(), dir, to+"2"); pgerr.Code(err) != pgerr.ObjectInUse {
		t.Error("a directory in use:", err)
	}
	all := func() []string {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			jobs := run(t, s, "SELECT state FROM sys.jobs WHERE relation = 'bids'")
			want, got := run(t, s, "SELECT k, n, s FROM bids ORDER BY k"), run(t, s, "SELECT k, n, s FROM out ORDER BY k")
			if slices.Equal(jobs, []string{"finished"}) && slices.Equal(got, want) {
				return want
			}
			if time.Now().After(deadline) {
				t.Fatalf("jobs %q\n got %q\nwant %q", run(t, s, "SELECT relation, state, error FROM sys.jobs"), got, want)
			}
		}
	}
	want := all()
	s.Close()
	e.Close()
	if err := BackupDirectory(t.Context(), dir, to+"2"); err != nil {
		t.Error(err)
	}
	if err := Restore(t.Context(), to, to+"3"); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{to, to + "3", to + "2"} {
		e, s = reopen(t, nil, nil, d)
		for i, w := range ws {
			if d != to+"2" { // which is of later
				w.check(t, s, acked[i])
				acked[i] = 0
			}
		}
		checkViews(t, s)
		if got := all(); !slices.Equal(got, want) {
			t.Errorf("%s\n got %q\nwant %q", d, got, want)
		}
		s.Close()
		e.Close()
	}
}

// TestConnectedTableRestart: a table that is fed by a connector goes on where it was: no row is there twice.
func TestConnectedTableRestart(t *testing.T) {
	dir := t.TempDir()
	csv := filepath.Join(dir, "in.csv")
	if err := os.WriteFile(csv, []byte("a,b\n1,x\n2,y\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	e, s := reopen(t, nil, nil, data)
	run(t, s, `CREATE TABLE t (a int, b text) WITH (connector = 'file', path = '`+csv+`', format = 'csv', header = 'true')`)
	eventually(t, "the rows", func() bool { return run(t, s, `SELECT count(*) FROM t`)[0] == "2" })
	for range 2 {
		e, s = reopen(t, e, s, data)
		time.Sleep(30 * time.Millisecond)
		expect(t, s, `SELECT a, b FROM t ORDER BY a`, "1|x", "2|y")
	}
	s.Close()
	e.Close()
}
