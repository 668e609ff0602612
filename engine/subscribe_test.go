package engine

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"streamsql/internal/pgerr"
	"streamsql/internal/types"
)

// subscriber keeps what a careful client keeps: the rows that a progress row has confirmed, and that row's time.
type subscriber struct {
	rows   map[string]int64
	unsure map[string]int64
	token  string
}

// read reads a subscription until it has told progress a few times after done was closed, or until stop says so.
func (c *subscriber) read(t *testing.T, e *Engine, sql string, stop func() bool) (ended bool) {
	t.Helper()
	s, err := e.NewSession(SessionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	stmts, err := s.Parse(sql)
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Execute(ctx, stmts[0])
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	c.unsure = map[string]int64{}
	for {
		b, done, err := p.Fetch(ctx, 0)
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		if b != nil {
			views := b.Views(nil)
			for i := range b.N {
				ts := string(types.AppendText(nil, s.Env(), types.Timestamptz, views[0].Datum(i)))
				if views[1].Datum(i).(bool) {
					c.token = ts
					for k, n := range c.unsure {
						if c.rows[k] += n; c.rows[k] == 0 {
							delete(c.rows, k)
						}
					}
					clear(c.unsure)
					continue
				}
				if c.token != "" && ts < c.token {
					t.Fatalf("a row of %s came after the progress row of %s", ts, c.token)
				}
				var row []string
				for k := 3; k < len(views); k++ {
					row = append(row, fmt.Sprint(views[k].Datum(i)))
				}
				c.unsure[strings.Join(row, "|")] += views[2].Datum(i).(int64)
			}
			b.Release()
		}
		if done {
			return true
		}
		if stop() {
			return false
		}
	}
}

// TestT64SubscriptionsResume is trap T64: subscriptions that begin, break off and go on while others
// write lose nothing and repeat nothing, if they go on from a progress row.
func TestT64SubscriptionsResume(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	e, s := open(t)
	run(t, s, `CREATE TABLE t (id int PRIMARY KEY, k int, v int);
		CREATE MATERIALIZED VIEW g AS SELECT k, count(*) AS c, sum(v) AS s FROM t GROUP BY k`)
	done := make(chan struct{})
	var writer sync.WaitGroup
	writer.Add(1)
	go func() {
		defer writer.Done()
		defer close(done)
		rnd := rand.New(rand.NewPCG(seed, 1))
		w, err := e.NewSession(SessionOptions{})
		if err != nil {
			t.Error(err)
			return
		}
		defer w.Close()
		for i := 1; i <= 1000; i++ {
			sql := fmt.Sprintf("INSERT INTO t VALUES (%d, %d, %d)", i, i%7, rnd.IntN(100))
			switch rnd.IntN(10) {
			case 0:
				sql += fmt.Sprintf("; DELETE FROM t WHERE id = %d", rnd.IntN(i)+1)
			case 1:
				sql += fmt.Sprintf("; UPDATE t SET v = v + 1 WHERE k = %d", rnd.IntN(7))
			}
			if _, err := tryRun(w, sql); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	queries := []string{"SUBSCRIBE t", "SUBSCRIBE g", "SUBSCRIBE (SELECT k, max(v) AS m FROM t GROUP BY k)",
		"SUBSCRIBE (SELECT t.id, g.s FROM t JOIN g ON t.k = g.k WHERE t.id % 50 = 0)",
		"SUBSCRIBE (SELECT a.id, b.v FROM t AS a JOIN t AS b ON a.id = b.id + 1)"}
	var clients sync.WaitGroup
	states := make([]subscriber, len(queries))
	for n, q := range queries {
		clients.Add(1)
		go func() {
			defer clients.Done()
			rnd := rand.New(rand.NewPCG(seed, uint64(n+2)))
			c := &states[n]
			c.rows = map[string]int64{}
			for {
				sql := q + " WITH (PROGRESS = true)"
				if c.token != "" {
					sql = q + " WITH (PROGRESS = true, SNAPSHOT = false) AS OF '" + c.token + "'"
				}
				over := false
				select {
				case <-done:
					over = true
				default:
				}
				if over { // a last subscription takes what is left
					c.read(t, e, sql+" UP TO now() + interval '50 ms'", func() bool { return false })
					return
				}
				left := rnd.IntN(30) + 1
				c.read(t, e, sql, func() bool { left--; return left <= 0 })
			}
		}()
	}
	writer.Wait()
	clients.Wait()
	for n, q := range queries {
		sql := strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(q, "SUBSCRIBE "), "("), ")")
		if !strings.HasPrefix(sql, "SELECT") {
			sql = "TABLE " + sql
		}
		want := map[string]int64{}
		for _, r := range run(t, s, sql) {
			want[r]++
		}
		if !maps.Equal(states[n].rows, want) {
			t.Errorf("%s: %v instead of %v", q, states[n].rows, want)
		}
	}
}

func TestSubscribeBounds(t *testing.T) {
	_, s := open(t)
	run(t, s, `CREATE TABLE t (a int); CREATE SOURCE p (a int); INSERT INTO t VALUES (1)`)
	time.Sleep(2 * time.Millisecond)
	between := run(t, s, "SELECT now()")[0]
	run(t, s, "INSERT INTO t VALUES (2); DELETE FROM t WHERE a = 1")
	expect(t, s, "SUBSCRIBE (SELECT a FROM t) AS OF '"+between+"' UP TO now()",
		strip(t, run(t, s, "SUBSCRIBE (SELECT a FROM t) AS OF '"+between+"' UP TO now()"), "1|1", "1|2", "-1|1")...)
	expect(t, s, "SUBSCRIBE t WITH (SNAPSHOT = false) AS OF '"+between+"' UP TO now()",
		strip(t, run(t, s, "SUBSCRIBE t WITH (SNAPSHOT = false) AS OF '"+between+"' UP TO now()"), "1|2", "-1|1")...)
	for _, c := range []struct{ sql, code, text string }{
		{"SUBSCRIBE t AS OF now() + interval '1 hour'", "22023", "AS OF lies in the future"},
		{"SUBSCRIBE t AS OF '2001-01-01'", "72000", "not remembered"},
		{"SUBSCRIBE t AS OF now() UP TO now() - interval '1 hour'", "22023", "UP TO must be later"},
		{"SUBSCRIBE t AS OF NULL", "22004", "must not be null"},
		{"SUBSCRIBE t UP TO 'infinity'", "22023", "finite"},
		{"SUBSCRIBE t UP TO now() - interval '1 ms'", "22023", "UP TO lies in the past"}, // its content is of now
		{"SUBSCRIBE t AS OF 5", "42804", "must be type timestamp with time zone, not type integer"},
		{"SUBSCRIBE (SELECT count(*) FROM p) AS OF now()", "0A000", "keeps no rows"},
	} {
		_, err := tryRun(s, c.sql)
		if pgerr.Code(err) != c.code || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", c.sql, err)
		} else if pgerr.From(err).Position == 0 {
			t.Errorf("%s: no position", c.sql)
		}
	}
	run(t, s, "SET TimeZone = 'UTC'; CREATE TABLE late (a int)")
	if _, err := tryRun(s, "SUBSCRIBE late AS OF '"+between+"'"); pgerr.Code(err) != "72000" {
		t.Errorf("a relation made after AS OF: %v", err)
	}
}

// strip checks the rows after _ts and _progressed, and gives them whole.
func strip(t *testing.T, rows []string, want ...string) []string {
	t.Helper()
	var got []string
	for _, r := range rows {
		got = append(got, strings.SplitN(r, "|", 3)[2])
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("%v instead of %v", got, want)
	}
	return rows
}

// TestHistoryForgets checks that what was forgotten is refused, and that what is remembered is right
// however many segments it lies in.
func TestHistoryForgets(t *testing.T) {
	e, s := start(t, Options{HistoryBytes: 200 << 10})
	defer e.Close()
	defer s.Close()
	run(t, s, "CREATE TABLE t (a int)")
	var at, content []string
	for i := range 300 {
		sql := fmt.Sprintf("INSERT INTO t VALUES (%d)", i)
		if i%3 == 2 {
			sql = fmt.Sprintf("DELETE FROM t WHERE a = %d", i/2)
		}
		run(t, s, sql)
		at = append(at, run(t, s, "SELECT clock_timestamp()")[0])
		content = append(content, run(t, s, "SELECT count(*), sum(a) FROM t")[0])
		time.Sleep(10 * time.Microsecond)
	}
	kept := 0
	for i := range at {
		rows, err := tryRun(s, "SUBSCRIBE (SELECT count(*), sum(a) FROM t) AS OF '"+at[i]+"' UP TO now()")
		if pgerr.Code(err) == "72000" && kept == 0 {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		kept++
		if got := strings.SplitN(rows[0], "|", 4)[3]; got != content[i] {
			t.Errorf("AS OF %s: %s instead of %s", at[i], got, content[i])
		}
	}
	if kept == 0 || kept == len(at) {
		t.Errorf("%d of %d times are remembered", kept, len(at))
	}
}

// TestAsOfAfterReplacing: the past of a view that was replaced, and of a table that has got other columns, begins there.
func TestAsOfAfterReplacing(t *testing.T) {
	_, s := open(t)
	now := func() string {
		time.Sleep(2 * time.Millisecond)
		defer time.Sleep(2 * time.Millisecond)
		return run(t, s, "SELECT clock_timestamp()")[0]
	}
	content := func(what, at string) (rows []string) {
		for _, row := range run(t, s, "SUBSCRIBE "+what+" AS OF '"+at+"' UP TO now()") {
			_, row, _ = strings.Cut(row, "|f|")
			rows = append(rows, row)
		}
		slices.Sort(rows)
		return rows
	}
	same := func(got []string, want ...string) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	run(t, s, "CREATE TABLE t (a int, b int); CREATE MATERIALIZED VIEW m AS SELECT a FROM t; INSERT INTO t VALUES (1, 10)")
	before := now()
	run(t, s, "INSERT INTO t VALUES (2, 20); CREATE OR REPLACE MATERIALIZED VIEW m AS SELECT a + 100 AS a FROM t")
	after := now()
	run(t, s, "INSERT INTO t VALUES (3, 30)")
	same(content("m", after), "1|101", "1|102", "1|103")
	if _, err := tryRun(s, "SUBSCRIBE m AS OF '"+before+"' UP TO now()"); pgerr.Code(err) != "72000" {
		t.Errorf("a view as of before it was replaced: %v", err)
	}
	same(content("t", before), "1|1|10", "1|2|20", "1|3|30")
	run(t, s, "DROP MATERIALIZED VIEW m; BEGIN; ALTER TABLE t DROP COLUMN a; ALTER TABLE t ADD COLUMN c text DEFAULT 'x'; INSERT INTO t VALUES (40, 'y'); COMMIT")
	altered := now()
	run(t, s, "DELETE FROM t WHERE b = 10; INSERT INTO t VALUES (50, 'z')")
	same(content("t", altered), "-1|10|x", "1|10|x", "1|20|x", "1|30|x", "1|40|y", "1|50|z")
	if _, err := tryRun(s, "SUBSCRIBE t AS OF '"+after+"' UP TO now()"); pgerr.Code(err) != "72000" {
		t.Errorf("a table as of before it had its columns: %v", err)
	}
}
