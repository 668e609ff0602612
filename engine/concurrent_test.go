package engine

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"streamsql/internal/pgerr"
	"streamsql/internal/types"
)

// TestConsistentCut: while transactions move money between accounts, every reader sees the same total in the table,
// in a view over it and in a view over that view, and a subscriber folds to it at every timestamp.
func TestConsistentCut(t *testing.T) {
	e, s := start(t, Options{BatchRows: 8192}) // the changes of a time come in one batch
	defer e.Close()
	defer s.Close()
	run(t, s, `CREATE TABLE acc (id int PRIMARY KEY, v bigint); INSERT INTO acc SELECT n, 100 FROM generate_series(1, 20) n`)
	run(t, s, `CREATE MATERIALIZED VIEW by_group AS SELECT id % 4 AS g, sum(v) AS v FROM acc GROUP BY id % 4`)
	run(t, s, `CREATE MATERIALIZED VIEW total AS SELECT sum(v) AS v FROM by_group`)
	ctx, cancel := context.WithTimeout(context.Background(), 1500*time.Millisecond)
	defer cancel()
	var wg sync.WaitGroup
	fail := make(chan error, 32)
	worker := func(f func(s *Session, i int) error) {
		ws, err := e.NewSession(SessionOptions{})
		if err != nil {
			t.Fatal(err)
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			defer ws.Close()
			for i := 0; ctx.Err() == nil; i++ {
				if err := f(ws, i); err != nil {
					select {
					case fail <- err:
					default:
					}
					return
				}
			}
		}()
	}
	for w := range 3 {
		worker(func(s *Session, i int) error {
			_, err := tryRun(s, fmt.Sprintf(`UPDATE acc SET v = v + CASE id WHEN %d THEN -7 ELSE 7 END WHERE id IN (%d, %d)`, 1+w, 1+w, 5+(i+w)%15))
			if err == nil && i%10 == w {
				_, err = tryRun(s, fmt.Sprintf(`BEGIN; UPDATE acc SET v = v - 5 WHERE id = %d; UPDATE acc SET v = v + 5 WHERE id = %d; COMMIT`, 1+i%20, 1+(i+3)%20))
				if pgerr.Code(err) == pgerr.SerializationFailure {
					tryRun(s, `ROLLBACK`)
					err = nil
				}
			}
			return err
		})
	}
	for range 2 {
		worker(func(s *Session, i int) error {
			rows, err := tryRun(s, `SELECT (SELECT sum(v) FROM acc), (SELECT sum(v) FROM by_group), (SELECT v FROM total)`)
			if err == nil && rows[0] != "2000|2000|2000" {
				err = fmt.Errorf("a reader saw %s", rows[0])
			}
			return err
		})
	}
	worker(func(s *Session, _ int) error { // follow the changes of a view
		stmts, err := s.Parse(`SELECT g, v FROM by_group EMIT CHANGES`)
		if err != nil {
			return err
		}
		p, err := s.Execute(ctx, stmts[0])
		if err != nil {
			return err
		}
		defer p.Close()
		content := map[string]int{}
		for {
			b, _, err := p.Fetch(ctx, 0)
			if err != nil {
				if pgerr.Code(err) == pgerr.QueryCanceled {
					return nil
				}
				return err
			}
			views := b.Views(nil)
			for i := range b.N {
				row := fmt.Sprint(views[2].Datum(i), types.NumericOf(views[3].Datum(i).(string)))
				if op := views[0].Str(i); op == "+I" || op == "+U" {
					content[row]++
				} else if content[row]--; content[row] < 0 {
					b.Release()
					return fmt.Errorf("%s of a row that is not there: %s", op, row)
				}
				if content[row] == 0 {
					delete(content, row)
				}
			}
			b.Release()
			var total int64
			for row := range content {
				var g, v int64
				fmt.Sscan(row, &g, &v)
				total += v
			}
			if total != 2000 {
				return fmt.Errorf("the changes fold to %d: %v", total, content)
			}
		}
	})
	wg.Wait()
	select {
	case err := <-fail:
		t.Fatal(err)
	default:
	}
	expect(t, s, `SELECT sum(v) FROM acc`, "2000")
}

// TestCancelWhileWaiting: a continuous query that waits for rows ends with 57014 soon after its context, and can be fetched from again.
func TestCancelWhileWaiting(t *testing.T) {
	_, s := open(t)
	run(t, s, `CREATE TABLE t (a int)`)
	stmts, err := s.Parse(`SELECT * FROM t EMIT CHANGES`)
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Execute(context.Background(), stmts[0])
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(50*time.Millisecond, cancel)
	start := time.Now()
	_, _, err = p.Fetch(ctx, 1)
	if pgerr.Code(err) != pgerr.QueryCanceled || time.Since(start) > 500*time.Millisecond {
		t.Fatalf("%v after %v", err, time.Since(start))
	}
	run(t, s, `INSERT INTO t VALUES (1)`)
	b, _, err := p.Fetch(context.Background(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Release()
	if b.N != 1 {
		t.Errorf("%d rows", b.N)
	}
}

// TestPushSource: rows of a source without a connector reach those who follow it and are not kept.
func TestPushSource(t *testing.T) {
	_, s := open(t)
	run(t, s, `CREATE SOURCE e (at timestamp, v int, WATERMARK FOR at)`)
	run(t, s, `CREATE MATERIALIZED VIEW w AS SELECT window_start, sum(v) AS s FROM TUMBLE(e, at, INTERVAL '10 minutes') GROUP BY window_start`)
	run(t, s, `CREATE MATERIALIZED VIEW closed AS SELECT window_start, sum(v) AS s FROM TUMBLE(e, at, INTERVAL '10 minutes') GROUP BY window_start EMIT ON WINDOW CLOSE`)
	run(t, s, `INSERT INTO e VALUES ('2026-01-01 10:00', 1), ('2026-01-01 10:05', 2), ('2026-01-01 10:11', 4)`)
	expect(t, s, `SELECT * FROM w ORDER BY 1`, "2026-01-01 10:00:00|3", "2026-01-01 10:10:00|4")
	expect(t, s, `SELECT * FROM closed`, "2026-01-01 10:00:00|3")
	run(t, s, `INSERT INTO e VALUES ('2026-01-01 10:09', 100)`) // late: its window has closed
	expect(t, s, `SELECT * FROM w ORDER BY 1`, "2026-01-01 10:00:00|3", "2026-01-01 10:10:00|4")
	expect(t, s, `SELECT DISTINCT late_rows FROM sys.watermarks`, "1")
	if _, err := tryRun(s, `SELECT * FROM e`); pgerr.Code(err) != pgerr.FeatureNotSupported || !strings.Contains(pgerr.From(err).Hint, "EMIT CHANGES") {
		t.Errorf("plain SELECT over a source: %v", err)
	}
}

// TestRowErrorsOfViews: a row that fails goes to sys.errors and costs its neighbours nothing.
func TestRowErrorsOfViews(t *testing.T) {
	_, s := open(t)
	run(t, s, `CREATE TABLE t (a int, b int)`)
	run(t, s, `CREATE MATERIALIZED VIEW m AS SELECT a, a / b AS q FROM t`)
	run(t, s, `INSERT INTO t VALUES (1, 1), (2, 0), (3, 1)`)
	expect(t, s, `SELECT * FROM m ORDER BY a`, "1|1", "3|3")
	expect(t, s, `SELECT relation, sqlstate, row_data->>'a' FROM sys.errors`, "m|22012|2")
	if _, err := tryRun(s, `SELECT a / b FROM t`); pgerr.Code(err) != pgerr.DivisionByZero {
		t.Errorf("ad hoc: %v", err)
	}
	run(t, s, `DELETE FROM t WHERE a = 2`)
	run(t, s, `UPDATE t SET b = 3 WHERE a = 3`)
	expect(t, s, `SELECT * FROM m ORDER BY a`, "1|1", "3|1")
}

// TestDropEndsReaders checks that a continuous query ends with an error when what it reads is dropped or replaced.
func TestDropEndsReaders(t *testing.T) {
	e, s := open(t)
	for _, c := range []struct{ ddl, text string }{
		{"DROP TABLE t CASCADE", "has been dropped"},
		{"CREATE OR REPLACE MATERIALIZED VIEW m AS SELECT 1 AS x", "materialized view \"m\" has been replaced"},
		{"DROP MATERIALIZED VIEW m", "materialized view \"m\" has been dropped"},
	} {
		run(t, s, "DROP TABLE IF EXISTS t CASCADE; DROP MATERIALIZED VIEW IF EXISTS m; CREATE TABLE t (a int); INSERT INTO t VALUES (1); CREATE MATERIALIZED VIEW m AS SELECT a FROM t")
		reader, err := e.NewSession(SessionOptions{})
		if err != nil {
			t.Fatal(err)
		}
		stmts, err := reader.Parse("SELECT t.a FROM t JOIN m ON t.a = m.a EMIT CHANGES")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		p, err := reader.Execute(ctx, stmts[0])
		if err != nil {
			t.Fatal(err)
		}
		b, _, err := p.Fetch(ctx, 0)
		if err != nil || b.N != 1 {
			t.Fatalf("%v", err)
		}
		b.Release()
		run(t, s, c.ddl)
		_, _, err = p.Fetch(ctx, 0)
		if pgerr.Code(err) != pgerr.ObjectNotInPrerequisiteState || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", c.ddl, err)
		}
		cancel()
		p.Close()
		reader.Close()
	}
}
