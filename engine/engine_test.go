package engine

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"streamsql/internal/types"
)

// run executes a script and gives the rows of its last statement, one string a row.
func run(t testing.TB, s *Session, sql string) []string {
	t.Helper()
	rows, err := tryRun(s, sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return rows
}

func tryRun(s *Session, sql string) (rows []string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	stmts, err := s.Parse(sql)
	if err != nil {
		return nil, err
	}
	for _, p := range stmts {
		portal, err := s.Execute(ctx, p)
		if err != nil {
			s.EndImplicit(ctx, err)
			return nil, err
		}
		rows = rows[:0]
		for done := false; !done; {
			b, d, err := portal.Fetch(ctx, 0)
			if err != nil {
				portal.Close()
				s.EndImplicit(ctx, err)
				return nil, err
			}
			done = d
			if b == nil {
				continue
			}
			views := b.Views(nil)
			for i := range b.N {
				var out []string
				for c, v := range views {
					d := v.Datum(i)
					if d == nil {
						out = append(out, "NULL")
						continue
					}
					out = append(out, string(types.AppendText(nil, s.Env(), b.Schema.Fields[c].Type, d)))
				}
				rows = append(rows, strings.Join(out, "|"))
			}
			b.Release()
		}
		portal.Close()
		if err := s.EndImplicit(ctx, nil); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// start opens an engine and a session, which the test closes.
func start(t testing.TB, o Options) (*Engine, *Session) {
	t.Helper()
	e, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	s, err := e.NewSession(SessionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return e, s
}

// open is start in memory alone; the end of the test closes both.
func open(t testing.TB) (*Engine, *Session) {
	t.Helper()
	e, s := start(t, Options{})
	t.Cleanup(func() {
		s.Close()
		e.Close()
	})
	return e, s
}

func expect(t testing.TB, s *Session, sql string, want ...string) {
	t.Helper()
	got := run(t, s, sql)
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s\n got %v\nwant %v", sql, got, want)
	}
}

func TestTablesAndViews(t *testing.T) {
	_, s := open(t)
	run(t, s, `CREATE TABLE t (id int PRIMARY KEY, k text, v bigint DEFAULT 7)`)
	run(t, s, `INSERT INTO t VALUES (1,'a',10),(2,'b',20),(3,'a',30)`)
	run(t, s, `INSERT INTO t (id, k) VALUES (4,'b')`)
	expect(t, s, `SELECT k, count(*), sum(v) FROM t GROUP BY k ORDER BY k`, "a|2|40", "b|2|27")
	run(t, s, `CREATE MATERIALIZED VIEW m AS SELECT k, count(*) n, max(v) x FROM t GROUP BY k`)
	expect(t, s, `SELECT * FROM m ORDER BY k`, "a|2|30", "b|2|20")
	run(t, s, `CREATE MATERIALIZED VIEW mm AS SELECT sum(n) total FROM m`)
	expect(t, s, `SELECT * FROM mm`, "4")
	run(t, s, `DELETE FROM t WHERE id = 3`)
	expect(t, s, `SELECT * FROM m ORDER BY k`, "a|1|10", "b|2|20")
	expect(t, s, `SELECT * FROM mm`, "3")
	run(t, s, `UPDATE t SET v = v + 1, k = 'c' WHERE k = 'b'`)
	expect(t, s, `SELECT * FROM m ORDER BY k`, "a|1|10", "c|2|21")
	if _, err := tryRun(s, `INSERT INTO t VALUES (1,'x',1)`); err == nil || !strings.Contains(err.Error(), "duplicate key") {
		t.Errorf("duplicate key: %v", err)
	}
	run(t, s, `BEGIN; INSERT INTO t VALUES (9,'z',9)`)
	expect(t, s, `SELECT count(*) FROM t`, "4")
	run(t, s, `ROLLBACK`)
	expect(t, s, `SELECT count(*) FROM t`, "3")
	expect(t, s, `INSERT INTO t VALUES (1,'n',5) ON CONFLICT (id) DO UPDATE SET v = t.v + excluded.v RETURNING id, v`, "1|15")
	if _, err := tryRun(s, `DROP TABLE t`); err == nil {
		t.Error("DROP of a table with dependents succeeded")
	}
	expect(t, s, `SELECT pg_typeof(1), 't'::regclass, 'pg_catalog'::regnamespace`, "integer|t|pg_catalog")
	run(t, s, `DROP TABLE t CASCADE`)
}
