package engine

import (
	"sync/atomic"
	"testing"
	"time"

	"streamsql/internal/pgerr"
	"streamsql/internal/vec"
)

// TestTemporalFilter: rows of a view leave, or appear, when their moment comes by the clock, which is the test's.
func TestTemporalFilter(t *testing.T) {
	var now atomic.Int64
	at := func(clock string) {
		x, err := time.Parse("2006-01-02 15:04:05", clock)
		if err != nil {
			t.Fatal(err)
		}
		now.Store(x.UnixMicro())
	}
	at("2026-03-01 12:00:05") // ticks are some microseconds later, so nothing stands on the edge
	e, s := start(t, Options{Clock: func() vec.Time { return now.Load() }})
	defer e.Close()
	defer s.Close()
	run(t, s, `SET timezone = 'UTC'`)
	run(t, s, `CREATE TABLE e (id int, ts timestamptz, local timestamp, d date)`)
	run(t, s, `CREATE TABLE bell (n int)`)
	// A step happens when something is written.
	step := func(clock string) {
		t.Helper()
		at(clock)
		run(t, s, `INSERT INTO bell VALUES (1)`)
	}
	run(t, s, `INSERT INTO e SELECT n, timestamptz '2026-03-01 11:00:00' + n * interval '10 minutes', timestamp '2026-03-01 11:00:00' + n * interval '10 minutes', date '2026-02-28' + n
		FROM generate_series(0, 9) n`)
	run(t, s, `INSERT INTO e VALUES (99, NULL, NULL, NULL), (98, 'infinity', 'infinity', 'infinity')`)
	run(t, s, `CREATE MATERIALIZED VIEW hour AS SELECT id FROM e WHERE ts > now() - interval '1 hour'`)
	run(t, s, `CREATE MATERIALIZED VIEW hourly AS SELECT count(*) n, max(id) m FROM e WHERE now() - interval '1 hour' <= local`)
	run(t, s, `CREATE MATERIALIZED VIEW past AS SELECT count(*) n FROM e WHERE ts <= now()`)
	run(t, s, `CREATE MATERIALIZED VIEW slice AS SELECT id FROM e WHERE ts BETWEEN now() - interval '20 minutes' AND now() + interval '10 minutes' AND id <> 5`)
	run(t, s, `CREATE MATERIALIZED VIEW days AS SELECT count(*) n FROM e WHERE d >= current_date - 1`)
	run(t, s, `CREATE MATERIALIZED VIEW month AS SELECT count(*) n FROM e WHERE ts > now() - interval '1 month'`)
	check := func() {
		t.Helper()
		same := func(view, sql string) {
			t.Helper()
			expect(t, s, `SELECT * FROM `+view+` ORDER BY 1`, run(t, s, sql)...)
		}
		same("hour", `SELECT id FROM e WHERE ts > now() - interval '1 hour' ORDER BY 1`)
		same("hourly", `SELECT count(*) n, max(id) m FROM e WHERE now() - interval '1 hour' <= local`)
		same("past", `SELECT count(*) n FROM e WHERE ts <= now()`)
		same("slice", `SELECT id FROM e WHERE ts BETWEEN now() - interval '20 minutes' AND now() + interval '10 minutes' AND id <> 5 ORDER BY 1`)
		same("days", `SELECT count(*) n FROM e WHERE d >= current_date - 1`)
		same("month", `SELECT count(*) n FROM e WHERE ts > now() - interval '1 month'`)
	}
	check()
	expect(t, s, `SELECT id FROM hour ORDER BY 1`, "1", "2", "3", "4", "5", "6", "7", "8", "9", "98")
	for _, clock := range []string{"2026-03-01 12:10:05", "2026-03-01 12:19:59", "2026-03-01 12:30:01"} {
		step(clock)
		check()
	}
	run(t, s, `DELETE FROM e WHERE id IN (0, 5, 98)`)
	check()
	run(t, s, `UPDATE e SET ts = ts + interval '1 day', local = local + interval '2 hours' WHERE id IN (1, 7)`)
	check()
	for _, clock := range []string{"2026-03-01 14:00:05", "2026-03-02 12:00:05", "2026-04-01 11:45:05", "2026-04-01 12:15:05", "2026-04-05 00:00:05"} {
		step(clock)
		check()
	}
	expect(t, s, `SELECT * FROM month`, "0")

	for _, sql := range []string{
		`CREATE MATERIALIZED VIEW x AS SELECT now()`,
		`CREATE MATERIALIZED VIEW x AS SELECT id, now() - ts AS age FROM e`,
		`CREATE MATERIALIZED VIEW x AS SELECT id FROM e WHERE ts = now()`,
		`CREATE MATERIALIZED VIEW x AS SELECT id FROM e WHERE ts > now() OR id = 1`,
		`CREATE MATERIALIZED VIEW x AS SELECT id FROM e WHERE extract(hour FROM now()) > id`,
	} {
		if _, err := tryRun(s, sql); pgerr.Code(err) != pgerr.FeatureNotSupported || pgerr.From(err).Hint == "" || pgerr.From(err).Position == 0 {
			t.Errorf("%s: %v", sql, err)
		}
	}
}

// TestTemporalFilterByItself: nobody writes, and the rows leave all the same.
func TestTemporalFilterByItself(t *testing.T) {
	_, s := open(t)
	run(t, s, `CREATE TABLE e (ts timestamptz)`)
	run(t, s, `CREATE MATERIALIZED VIEW m AS SELECT count(*) n FROM e WHERE ts > now() - interval '300 milliseconds'`)
	run(t, s, `INSERT INTO e VALUES (now())`)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if got := run(t, s, `SELECT n FROM m`); got[0] == "0" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the row is still there")
		}
	}
}
