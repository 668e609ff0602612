package engine

import (
	"testing"

	"streamsql/internal/pgerr"
)

// TestFunctionsRestart: functions, and what calls them, are there again after a restart, also from a rewritten log.
func TestFunctionsRestart(t *testing.T) {
	dir := t.TempDir()
	e, s := reopen(t, nil, nil, dir)
	run(t, s, `CREATE FUNCTION twice(a int, b int DEFAULT 2) RETURNS int LANGUAGE sql AS 'SELECT a * b'`)
	run(t, s, `CREATE FUNCTION gone(a int) RETURNS int LANGUAGE sql AS 'SELECT a'; DROP FUNCTION gone`)
	run(t, s, `CREATE TABLE t (a int); INSERT INTO t VALUES (3)`)
	run(t, s, `CREATE MATERIALIZED VIEW m AS SELECT twice(a) AS v FROM t`)
	check := func() {
		t.Helper()
		expect(t, s, `SELECT v, twice(v, 10) FROM m`, "6|60")
		if _, err := tryRun(s, `SELECT gone(1)`); pgerr.Code(err) != pgerr.UndefinedFunction {
			t.Errorf("dropped function: %v", err)
		}
		if _, err := tryRun(s, `DROP FUNCTION twice`); pgerr.Code(err) != pgerr.DependentObjectsStillExist {
			t.Errorf("function of a view: %v", err)
		}
	}
	check()
	e, s = reopen(t, e, s, dir)
	check()
	e, s = reopen(t, e, s, dir)
	check()
	run(t, s, `CREATE FUNCTION later(a int) RETURNS int LANGUAGE sql AS 'SELECT twice(a)'`)
	expect(t, s, `SELECT later(4)`, "8")
	s.Close()
	e.Close()
}
