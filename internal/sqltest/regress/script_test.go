package main

import (
	"slices"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

func steps(text string, vars map[string]string) (out []step) {
	for s := newScript(text, vars); ; {
		st, ok := s.next()
		if !ok {
			return out
		}
		st.line = 0
		out = append(out, st)
	}
}

// TestScript holds what psql's rules make of a script.
func TestScript(t *testing.T) {
	for _, c := range []struct {
		text string
		want []step
	}{
		{"SELECT 1; SELECT ';' -- no; end\n, \"a;b\";", []step{{sql: "SELECT 1"}, {sql: "SELECT ';' \n, \"a;b\""}}},
		{"/* ; /* nested ; */ ; */ SELECT 1;", []step{{sql: "/* ; /* nested ; */ ; */ SELECT 1"}}},
		{`SELECT E'a\';b', 'c\';`, []step{{sql: `SELECT E'a\';b', 'c\'`}}},
		{`SET standard_conforming_strings = off; SELECT 'a\';b';`, []step{{sql: "SET standard_conforming_strings = off"}, {sql: `SELECT 'a\';b'`}}},
		{"CREATE FUNCTION f() AS $a$ ; $$ ; $a$;", []step{{sql: "CREATE FUNCTION f() AS $a$ ; $$ ; $a$"}}},
		{"CREATE FUNCTION f() BEGIN ATOMIC SELECT CASE WHEN a THEN 1 END; SELECT 2; END; SELECT 3;",
			[]step{{sql: "CREATE FUNCTION f() BEGIN ATOMIC SELECT CASE WHEN a THEN 1 END; SELECT 2; END"}, {sql: "SELECT 3"}}},
		{"CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2);", []step{{sql: "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2)"}}},
		{`SELECT 1\; SELECT 2;`, []step{{sql: "SELECT 1; SELECT 2"}}},
		{"COPY t FROM stdin;\n1\ta;b\n\\.\nSELECT 1;", []step{{sql: "COPY t FROM stdin", data: "1\ta;b\n"}, {sql: "SELECT 1"}}},
		{"\\set x 5\nSELECT 1 AS a \\gset\nSELECT :y, :'y', a::int, :z;", []step{{meta: "set x 5"}, {sql: "SELECT 1 AS a", meta: "gset"}, {sql: "SELECT it's, 'it''s', a::int, :z"}}},
		{"SELECT 1", []step{{sql: "SELECT 1"}}},
	} {
		got := steps(c.text, map[string]string{"y": "it's"})
		if !slices.Equal(got, c.want) {
			t.Errorf("%s\n got %+v\nwant %+v", c.text, got, c.want)
		}
	}
}

// TestOrder holds which rows may come in any order.
func TestOrder(t *testing.T) {
	cols := []column{{name: "a"}, {name: "b"}}
	rows := func(r ...[]string) answer {
		return answer{results: []result{{columns: cols, rows: r, tag: "SELECT 2"}}}
	}
	ab, ba := rows([]string{"1", "x"}, []string{"1", "y"}), rows([]string{"1", "y"}, []string{"1", "x"})
	up, down := rows([]string{"1", "x"}, []string{"2", "y"}), rows([]string{"2", "y"}, []string{"1", "x"})
	for _, c := range []struct {
		sql       string
		want, got answer
		same      bool
	}{
		{"select a, b from t", up, down, true},
		{"select a, b from t order by a", up, down, false},
		{"select a, b from t order by a desc nulls last limit 3", ab, ba, true},
		{"select a, b from t order by 1, t.b", ab, ba, false},
		{"select a, b from t order by a + 1", ab, ba, false},
		{"select a, b from (select * from t order by a) s", up, down, true},
		{"select a, b from t where s = ' order by a'", up, down, true},
		{"select a, b from t", up, rows([]string{"1", "x"}, []string{"2", "z"}), false},
		{"select a, b from t", answer{err: &pgconn.PgError{Code: "22012"}}, answer{err: &pgconn.PgError{Code: "22012", Message: "otherwise"}}, true},
		{"select a, b from t", answer{err: &pgconn.PgError{Code: "22012"}}, answer{err: &pgconn.PgError{Code: "22003"}}, false},
	} {
		if d := difference(c.sql, c.want, c.got); (d == "") != c.same {
			t.Errorf("%s: %q", c.sql, d)
		}
	}
}

// TestScope holds that what is made by a statement outside is outside, until the name is made anew.
func TestScope(t *testing.T) {
	s := scope{made: map[string]string{}}
	for _, c := range []struct {
		sql     string
		outside bool
	}{
		{"SELECT 1", false},
		{"EXPLAIN SELECT 1", true},
		{"CREATE FUNCTION f(int) RETURNS int LANGUAGE plpgsql AS 'begin end'", true},
		{"SELECT * FROM F(1)", true},
		{"CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'select 1'", true}, // it names f: still the same
		{"SELECT rank() OVER (PARTITION BY a) FROM t", false},
		{"CREATE TABLE p (a int) PARTITION BY LIST (a)", true},
		{"INSERT INTO p VALUES (1)", true},
	} {
		if got := s.reason(c.sql) != ""; got != c.outside {
			t.Errorf("%s: outside %v", c.sql, got)
		}
	}
}
