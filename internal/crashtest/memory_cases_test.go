package crashtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// hostileCase is something that wants more memory than there is.
type hostileCase struct {
	name string
	// quick ones are part of the normal test run, the others of the soak only.
	quick bool
	// run does it and tells what came of it; what must not be is reported to m.
	run func(m *memoryWorld) string
}

// asks makes a case of statements, which are answered, with want as the first column of the last row ("" is not looked at), or refused.
func asks(name, want string, sql ...string) hostileCase {
	return hostileCase{name: name, run: func(m *memoryWorld) string { return m.ask(name, want, false, sql) }}
}

// endless is one of statements that have no end: they are refused, or go on within the memory until they are canceled.
func endless(name string, sql ...string) hostileCase {
	return hostileCase{name: name, run: func(m *memoryWorld) string { return m.ask(name, "", true, sql) }}
}

// quick makes a case one of the normal test run.
func quick(c hostileCase) hostileCase {
	c.quick = true
	return c
}

// endlessPatience is how long an endless statement may go on, patience how long another one.
const (
	endlessPatience = 4 * time.Second
	patience        = 2 * time.Minute
)

func (m *memoryWorld) ask(name, want string, endless bool, sql []string) string {
	c, err := m.connect()
	if err != nil {
		m.t.Errorf("%s: %v", name, err)
		return ""
	}
	defer c.Close(context.Background())
	wait := patience
	if endless {
		wait = endlessPatience
	}
	if _, _, err := run(context.Background(), c, fmt.Sprintf("SET statement_timeout = %d", wait.Milliseconds())); err != nil {
		m.t.Errorf("%s: %v", name, err)
	}
	got, rows, err := run(context.Background(), c, sql...)
	var e *pgconn.PgError
	switch {
	case err == nil:
		if want != "" && got != want {
			m.t.Errorf("%s: the answer was %q, not %q", name, got, want)
		}
		return fmt.Sprintf("answered (%d rows)", rows)
	case memoryRefused(err):
		errors.As(err, &e)
		return e.Code + " " + e.Message + " " + e.Detail
	case endless && errors.As(err, &e) && e.Code == "57014":
		return "canceled"
	}
	if !m.s.dead() {
		m.t.Errorf("%s: %v", name, err)
	}
	return err.Error()
}

// hostile gives the cases.
func hostile() []hostileCase {
	return []hostileCase{
		// One value.
		quick(asks("repeat", "1000000000", "SELECT length(repeat('x', 1000000000))")),
		asks("repeat of repeat", "", "SELECT length(repeat(repeat('x', 30000), 30000))"),
		asks("repeat beyond 1 GB", "", "SELECT length(repeat('x', 2000000000))"),
		quick(asks("repeat shown", "", "SELECT repeat('x', 200000000)")),
		quick(asks("repeat of columns", "10000000000", "SELECT sum(length(repeat('x', 1000000 + g - g))) FROM generate_series(1, 10000) AS g")),
		asks("repeat of columns, shown", "", "SELECT repeat('x', 1000000 + g - g) FROM generate_series(1, 1000) AS g"),
		quick(asks("lpad", "", "SELECT length(lpad('x', 1000000000, 'yz'))")),
		asks("rpad of columns", "", "SELECT max(length(rpad('x', 30000000 + g, 'yz'))) FROM generate_series(1, 1000) AS g"),
		quick(asks("replace", "", "SELECT length(replace(repeat('x', 1000000), 'x', repeat('y', 1000)))")),
		asks("regexp_replace", "", "SELECT length(regexp_replace(repeat('x', 1000000), 'x', repeat('y', 1000), 'g'))"),
		asks("translate and overlay", "", "SELECT length(overlay(repeat('x', 100000000) placing repeat('y', 100000000) from 5))"),
		asks("format", "", "SELECT length(format('%1$s%1$s%1$s%1$s%1$s%1$s%1$s%1$s%1$s%1$s', repeat('x', 60000000)))"),
		quick(asks("format width", "", "SELECT length(format('%1000000000s', 'x'))")),
		asks("concat", "", "SELECT length(concat(x, x, x, x, x, x, x, x)) FROM (SELECT repeat('x', 80000000) AS x) AS t"),
		asks("concat_ws", "", "SELECT length(concat_ws(x, x, x, x, x, x, x, x)) FROM (SELECT repeat('x', 80000000) AS x) AS t"),
		asks("||", "", "SELECT length(x || x || x || x || x || x || x || x) FROM (SELECT repeat('x', 80000000) AS x) AS t"),
		quick(asks("|| in recursion", "", "WITH RECURSIVE r(s, n) AS (SELECT 'xxxxxxxx', 0 UNION ALL SELECT s || s, n + 1 FROM r WHERE n < 40) SELECT max(length(s)) FROM r")),
		asks("encode", "", "SELECT length(encode(convert_to(repeat('x', 120000000), 'UTF8'), 'hex'))"),
		asks("to_char", "", "SELECT length(to_char(1, repeat('9', 1000000)))"),
		asks("to_json", "", "SELECT length(to_jsonb(repeat(E'\\x01', 100000000))::text)"),
		asks("quote_literal", "", "SELECT length(quote_literal(repeat('''', 100000000)))"),
		quick(asks("array_fill", "", "SELECT array_length(array_fill(7, ARRAY[100000000]), 1)")),
		asks("array_fill of texts", "", "SELECT array_length(array_fill(repeat('x', 10000), ARRAY[100000]), 1)"),
		asks("array || in recursion", "", "WITH RECURSIVE r(a, n) AS (SELECT ARRAY[1,2,3,4], 0 UNION ALL SELECT a || a, n + 1 FROM r WHERE n < 40) SELECT max(array_length(a, 1)) FROM r"),
		asks("string_to_array", "", "SELECT array_length(string_to_array(repeat('x,', 30000000), ','), 1)"),
		quick(asks("regexp_split_to_array", "", "SELECT array_length(regexp_split_to_array(repeat('x,', 10000000), ','), 1)")),
		asks("string_to_table", "30000001", "SELECT count(*) FROM string_to_table(repeat('x,', 30000000), ',')"),
		asks("regexp_split_to_table", "10000001", "SELECT count(*) FROM regexp_split_to_table(repeat('x,', 10000000), ',')"),
		quick(asks("unnest", "", "SELECT count(*) FROM unnest(array_fill(7, ARRAY[20000000])) AS u")),
		asks("jsonb in recursion", "", "WITH RECURSIVE r(j, n) AS (SELECT '[1]'::jsonb, 0 UNION ALL SELECT jsonb_build_array(j, j), n + 1 FROM r WHERE n < 40) SELECT max(length(j::text)) FROM r"),
		asks("jsonb_array_elements", "", "SELECT count(*) FROM jsonb_array_elements(('[' || repeat('1,', 20000000) || '1]')::jsonb)"),

		// Aggregates that gather.
		quick(asks("string_agg", "", "SELECT length(string_agg(g::text, ',')) FROM generate_series(1, 100000000) AS g")),
		asks("array_agg", "", "SELECT array_length(array_agg(g), 1) FROM generate_series(1, 100000000) AS g"),
		asks("array_agg ordered", "", "SELECT array_length(array_agg(g ORDER BY -g), 1) FROM generate_series(1, 30000000) AS g"),
		asks("jsonb_agg", "", "SELECT length(jsonb_agg(g)::text) FROM generate_series(1, 100000000) AS g"),
		asks("json_object_agg", "", "SELECT length(json_object_agg(g, g)::text) FROM generate_series(1, 100000000) AS g"),
		asks("percentile_cont", "", "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY g) FROM generate_series(1, 50000000) AS g"),
		asks("ARRAY(subquery)", "", "SELECT array_length(ARRAY(SELECT g FROM generate_series(1, 100000000) AS g), 1)"),
		asks("array_agg by group", "", "SELECT count(*) FROM (SELECT g % 1000 AS k, array_agg(g) AS a FROM generate_series(1, 30000000) AS g GROUP BY k) AS t"),

		// Operators.
		endless("generate_series", "SELECT count(*) FROM generate_series(1, 10000000000)"),
		endless("generate_series, shown", "SELECT * FROM generate_series(1, 10000000000)"),
		quick(endless("generate_series in the list", "SELECT generate_series(1, 10000000000)")),
		endless("generate_series of times", "SELECT count(*) FROM generate_series('2000-01-01'::timestamp, '2999-01-01', '1 second')"),
		endless("generate_series of numerics", "SELECT count(*) FROM generate_series(1::numeric, 10000000000)"),
		endless("generate_series lateral", "SELECT count(*) FROM generate_series(1, 100) AS a, generate_series(1, 1000000000 + a) AS b"),
		endless("cross join", "SELECT count(*) FROM generate_series(1, 300000) AS a, generate_series(1, 300000) AS b"),
		endless("cross join sorted", "SELECT * FROM generate_series(1, 100000) AS a, generate_series(1, 100000) AS b ORDER BY 2, 1"),
		endless("join of one key", "SELECT count(*) FROM generate_series(1, 1000000) AS a JOIN generate_series(1, 1000000) AS b ON a % 2 = b % 2"),
		asks("cross join of wide rows", "", "SELECT count(*) FROM generate_series(1, 1000) AS a, (SELECT repeat('x', 1000000 + g) AS r FROM generate_series(1, 1000) AS g) AS b WHERE length(r) > a"),
		asks("order by", "5000000", "SELECT g FROM generate_series(1, 5000000) AS g ORDER BY -g DESC, g"),
		quick(asks("order by wide", "", "SELECT g, repeat('x', 1000) FROM generate_series(1, 1000000) AS g ORDER BY -g OFFSET 999990")),
		asks("distinct", "10000000", "SELECT count(*) FROM (SELECT DISTINCT g FROM generate_series(1, 10000000) AS g) AS t"),
		asks("count(distinct)", "10000000", "SELECT count(DISTINCT g) FROM generate_series(1, 10000000) AS g"),
		quick(asks("count(distinct) wide", "", "SELECT count(DISTINCT repeat('x', 500) || g) FROM generate_series(1, 1000000) AS g")),
		asks("group by", "", "SELECT count(*) FROM (SELECT g, count(*), max(g::text) FROM generate_series(1, 6000000) AS g GROUP BY g) AS t"),
		quick(asks("window of one partition", "", "SELECT max(r) FROM (SELECT rank() OVER (ORDER BY g), lag(g, 5) OVER (ORDER BY g) AS r FROM generate_series(1, 10000000) AS g) AS t")),
		asks("row_number shown", "", "SELECT row_number() OVER (), g FROM generate_series(1, 5000000) AS g"),
		quick(asks("array_agg over", "", "SELECT max(array_length(a, 1)) FROM (SELECT array_agg(g) OVER (ORDER BY g) AS a FROM generate_series(1, 100000) AS g) AS t")),
		asks("union", "", "SELECT count(*) FROM (SELECT g FROM generate_series(1, 5000000) AS g UNION SELECT g + 3 FROM generate_series(1, 5000000) AS g) AS t"),
		asks("except all", "", "SELECT count(*) FROM (SELECT g FROM generate_series(1, 5000000) AS g EXCEPT ALL SELECT g + 3 FROM generate_series(1, 5000000) AS g) AS t"),
		quick(asks("not in", "", "SELECT count(*) FROM generate_series(1, 5000000) AS g WHERE g NOT IN (SELECT g * 2 FROM generate_series(1, 5000000) AS g)")),
		asks("top-n", "", "SELECT count(*) FROM (SELECT g, repeat('x', 1000) FROM generate_series(1, 1000000) AS g ORDER BY g DESC LIMIT 900000) AS t"),
		endless("recursion", "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r"),
		endless("recursion that doubles", "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + k FROM r, (VALUES (1), (2)) AS v(k)) SELECT count(*) FROM r"),
		quick(endless("recursion, distinct", "WITH RECURSIVE r(n) AS (SELECT g FROM generate_series(1, 1000) AS g UNION SELECT n + 1000 FROM r) SELECT count(*) FROM r")),
		asks("grouping sets", "", "SELECT count(*) FROM (SELECT a, b, c, count(*) FROM (SELECT g AS a, g % 1000000 AS b, g % 999999 AS c FROM generate_series(1, 2000000) AS g) AS t GROUP BY CUBE (a, b, c)) AS u"),
		{name: "IN list", quick: true, run: inList},

		// Tables.
		asks("insert select", "", "CREATE TABLE i (a bigint PRIMARY KEY, b text)", "INSERT INTO i SELECT g, 'row ' || g FROM generate_series(1, 5000000) AS g", "DROP TABLE i"),
		asks("insert select, after", "", "DROP TABLE IF EXISTS i"),
		asks("insert wide", "", "CREATE TABLE w (b text)", "INSERT INTO w SELECT repeat('x', 100000) || g FROM generate_series(1, 10000) AS g"),
		asks("insert wide, after", "", "DROP TABLE IF EXISTS w"),
		quick(asks("create table as", "", "CREATE TABLE c AS SELECT g, repeat('x', 100) AS r FROM generate_series(1, 5000000) AS g")),
		quick(asks("create table as, after", "", "DROP TABLE IF EXISTS c")),
		quick(asks("insert returning", "", "CREATE TABLE r (a bigint)", "BEGIN", "INSERT INTO r SELECT g FROM generate_series(1, 3000000) AS g RETURNING a, repeat('x', 100)", "ROLLBACK")),
		quick(asks("insert returning, after", "0", "SELECT count(*) FROM r", "DROP TABLE r")),
		{name: "one transaction", run: oneTransaction},
		{name: "insert until full", run: insertUntilFull},
		{name: "copy", quick: true, run: copyIn},
		quick(asks("update all", "", "CREATE TABLE u AS SELECT g AS a, 0 AS b FROM generate_series(1, 200000) AS g", "UPDATE u SET b = b + 1", "UPDATE u SET b = b + 1", "UPDATE u SET b = b + 1", "SELECT sum(b) FROM u", "DROP TABLE u")),

		// Clients.
		{name: "a client that reads nothing", run: readsNothing},
		quick(asks("cursor with hold", "", "BEGIN", "DECLARE h SCROLL CURSOR WITH HOLD FOR SELECT g, repeat('x', 1000) FROM generate_series(1, 3000000) AS g", "FETCH 1 FROM h", "COMMIT", "MOVE LAST FROM h", "CLOSE h")),
		asks("scroll cursor", "", "BEGIN", "DECLARE h SCROLL CURSOR FOR SELECT g FROM generate_series(1, 30000000) AS g", "FETCH LAST FROM h", "ROLLBACK"),
		{name: "subscriber that reads nothing", run: subscriberReadsNothing},
		{name: "views with growing state", run: growingViews},
		{name: "ten at once", run: tenAtOnce},
		quick(asks("after all", "1000000", "SELECT count(DISTINCT g) FROM generate_series(1, 1000000) AS g")),
	}
}

// inList sends a statement that is large itself.
func inList(m *memoryWorld) string {
	var b strings.Builder
	b.WriteString("SELECT count(*) FROM generate_series(1, 1000) AS g WHERE g IN (0")
	for i := range 1_000_000 {
		fmt.Fprintf(&b, ",%d", i)
	}
	b.WriteString(")")
	return m.ask("IN list", "999", false, []string{b.String()})
}

// oneTransaction sends many statements of many rows in one transaction; when one is refused the table is as it was.
func oneTransaction(m *memoryWorld) string {
	sql := []string{"CREATE TABLE IF NOT EXISTS o (a bigint, b text)", "BEGIN"}
	for range 50 {
		sql = append(sql, "INSERT INTO o SELECT g, 'a row of some bytes ' || g FROM generate_series(1, 100000) AS g")
	}
	said := m.ask("one transaction", "", false, append(sql, "ROLLBACK"))
	m.ask("one transaction, after", "0", false, []string{"SELECT count(*) FROM o", "DROP TABLE o"})
	return said
}

// insertUntilFull inserts by small statements until the tables are full: what was acknowledged is there, and can be read and deleted.
func insertUntilFull(m *memoryWorld) string {
	c, err := m.connect()
	if err != nil {
		m.t.Errorf("insert until full: %v", err)
		return ""
	}
	defer c.Close(context.Background())
	if _, _, err := run(context.Background(), c, "CREATE TABLE f (a bigint PRIMARY KEY, b text)"); err != nil {
		m.t.Errorf("insert until full: %v", err)
	}
	const each, most = 10_000, 3_000_000
	n := 0
	said := "answered"
	for ; n < most; n += each {
		_, _, err := run(context.Background(), c, fmt.Sprintf("INSERT INTO f SELECT g, repeat('x', 100) FROM generate_series(%d, %d) AS g", n+1, n+each))
		if err == nil {
			continue
		}
		if !memoryRefused(err) && !m.s.dead() {
			m.t.Errorf("insert until full: after %d rows: %v", n, err)
		}
		said = err.Error()
		break
	}
	m.ask("insert until full, after", fmt.Sprint(n), false, []string{"SELECT count(*) FROM f"})
	m.ask("insert until full, by key", "7", false, []string{"SELECT a FROM f WHERE a = 7"})
	m.ask("insert until full, drop", "", false, []string{"DROP TABLE f"})
	return fmt.Sprintf("%d rows, %s", n, said)
}

// copyIn sends rows without end.
func copyIn(m *memoryWorld) string {
	c, err := m.connect()
	if err != nil {
		m.t.Errorf("copy: %v", err)
		return ""
	}
	defer c.Close(context.Background())
	if _, _, err := run(context.Background(), c, "CREATE TABLE k (a bigint, b text)"); err != nil {
		m.t.Errorf("copy: %v", err)
	}
	chunk := []byte(strings.Repeat("1234567\tsome text that is a row\n", 10_000))
	var parts []io.Reader
	for range 500 {
		parts = append(parts, bytes.NewReader(chunk))
	}
	said := "answered"
	if _, err = c.CopyFrom(context.Background(), io.MultiReader(parts...), "COPY k FROM STDIN"); err != nil {
		if !memoryRefused(err) && !m.s.dead() {
			m.t.Errorf("copy: %v", err)
		}
		said = err.Error()
	}
	want := "0"
	if err == nil {
		want = "5000000"
	}
	m.ask("copy, after", want, false, []string{"SELECT count(*) FROM k"})
	m.ask("copy, drop", "", false, []string{"DROP TABLE k"})
	return said
}

// readsNothing asks for much and takes nothing of it.
func readsNothing(m *memoryWorld) string {
	var all []*pgconn.PgConn
	for _, q := range []string{
		"SELECT g, repeat('x', 1000) FROM generate_series(1, 10000000) AS g",
		"SELECT g, repeat('x', 1000) FROM generate_series(1, 2000000) AS g ORDER BY -g",
		"SELECT generate_series(1, 100000000), repeat('x', 1000)",
		"SELECT a, b, repeat('x', 1000) FROM generate_series(1, 100000) AS a JOIN generate_series(1, 100000) AS b ON a % 10 = b % 10",
	} {
		c, err := m.connect()
		if err != nil {
			m.t.Errorf("a client that reads nothing: %v", err)
			continue
		}
		all = append(all, c)
		c.Frontend().SendQuery(&pgproto3.Query{String: q})
		if err := c.Frontend().Flush(); err != nil {
			m.t.Errorf("a client that reads nothing: %v", err)
		}
	}
	time.Sleep(3 * time.Second)
	for _, c := range all {
		c.Conn().Close()
	}
	return fmt.Sprintf("%d clients", len(all))
}

// subscriberReadsNothing follows a table and takes nothing of what comes.
func subscriberReadsNothing(m *memoryWorld) string {
	m.ask("subscriber, table", "", false, []string{"CREATE TABLE s (a bigint PRIMARY KEY, b text)"})
	var all []*pgconn.PgConn
	for _, q := range []string{"SUBSCRIBE s", "SELECT * FROM s EMIT CHANGES", "SELECT a, max(b) FROM s GROUP BY a EMIT CHANGES"} {
		c, err := m.connect()
		if err != nil {
			m.t.Errorf("subscriber: %v", err)
			continue
		}
		all = append(all, c)
		c.Frontend().SendQuery(&pgproto3.Query{String: q})
		if err := c.Frontend().Flush(); err != nil {
			m.t.Errorf("subscriber: %v", err)
		}
	}
	time.Sleep(200 * time.Millisecond)
	said := ""
	for i := range 40 {
		said = m.ask("subscriber, changes", "", false, []string{
			fmt.Sprintf("INSERT INTO s SELECT g, repeat('x', 1000) || %d FROM generate_series(1, 20000) AS g", i), "DELETE FROM s"})
	}
	for _, c := range all {
		c.Conn().Close()
	}
	m.ask("subscriber, after", "0", false, []string{"SELECT count(*) FROM s", "DROP TABLE s"})
	return said
}

// growingViews makes views whose state grows with the stream, and feeds them.
func growingViews(m *memoryWorld) string {
	m.ask("views, made", "", false, []string{
		"CREATE SOURCE e (id bigint, k bigint, ts timestamp, v text, WATERMARK FOR ts AS ts - INTERVAL '100 days')",
		"CREATE MATERIALIZED VIEW v1 AS SELECT k, window_start, count(*), max(v) FROM SESSION(TABLE e, DESCRIPTOR(ts), INTERVAL '1 second') GROUP BY k, window_start, window_end",
		"CREATE MATERIALIZED VIEW v2 AS SELECT k, window_start, count(*), array_agg(v) AS vs FROM TUMBLE(TABLE e, DESCRIPTOR(ts), INTERVAL '1 hour') GROUP BY k, window_start, window_end",
		"CREATE MATERIALIZED VIEW v3 AS SELECT a.id, b.v FROM e AS a JOIN e AS b ON a.id = b.id AND b.ts BETWEEN a.ts - INTERVAL '1 day' AND a.ts + INTERVAL '1 day'",
		"CREATE MATERIALIZED VIEW v4 AS SELECT count(DISTINCT id) AS n, count(*) AS c FROM e",
	})
	said := ""
	for i := range 60 {
		said = m.ask("views, fed", "", false, []string{
			fmt.Sprintf("INSERT INTO e SELECT g, g, TIMESTAMP '2026-01-01' + g * INTERVAL '1 second', repeat('x', 200) FROM generate_series(%d, %d) AS g", i*20000+1, i*20000+20000)})
	}
	jobs := m.ask("views, jobs", "", false, []string{"SELECT state || ' ' || coalesce(error, '') FROM sys.jobs"})
	for _, v := range []string{"v1", "v2", "v3", "v4"} {
		m.ask("views, dropped", "", false, []string{"DROP MATERIALIZED VIEW IF EXISTS " + v})
	}
	m.ask("views, end", "", false, []string{"DROP SOURCE e"})
	return said + "; jobs: " + jobs
}

// tenAtOnce does it ten times at once.
func tenAtOnce(m *memoryWorld) string {
	queries := []string{
		"SELECT length(repeat('x', 100000000 + g)) FROM generate_series(1, 20) AS g",
		"SELECT array_length(array_agg(g), 1) FROM generate_series(1, 50000000) AS g",
		"SELECT count(*) FROM (SELECT g, repeat('x', 100) FROM generate_series(1, 3000000) AS g ORDER BY -g) AS t",
		"SELECT count(DISTINCT g) FROM generate_series(1, 3000000) AS g",
		"SELECT max(r) FROM (SELECT rank() OVER (ORDER BY g) AS r FROM generate_series(1, 3000000) AS g) AS t",
		"SELECT length(string_agg(repeat('x', 100), ',')) FROM generate_series(1, 10000000) AS g",
		"SELECT count(*) FROM (SELECT DISTINCT g::text FROM generate_series(1, 3000000) AS g) AS t",
		"WITH RECURSIVE r(s, n) AS (SELECT 'xxxxxxxx', 0 UNION ALL SELECT s || s, n + 1 FROM r WHERE n < 40) SELECT max(length(s)) FROM r",
		"SELECT count(*) FROM generate_series(1, 2000000) AS a JOIN generate_series(1, 2000000) AS b ON a = b",
		"SELECT length(jsonb_agg(g)::text) FROM generate_series(1, 30000000) AS g",
	}
	said := make([]string, len(queries))
	var all sync.WaitGroup
	for i, q := range queries {
		all.Go(func() { said[i] = m.ask("ten at once: "+q, "", false, []string{q}) })
	}
	all.Wait()
	for i := range said {
		said[i] = strings.SplitN(said[i], " ", 2)[0]
	}
	return strings.Join(said, ", ")
}
