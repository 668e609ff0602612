package engine

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"streamsql/internal/pgerr"
)

// TestLateIntoConcurrently: late rows of views, and of a query of a session, get into their tables while several sessions
// insert, read and change the catalog. Whoever has inserted sees what was put aside; nothing is lost and nothing waits for ever.
func TestLateIntoConcurrently(t *testing.T) {
	e, s := open(t)
	run(t, s, `CREATE SOURCE e (ts timestamp, w int, v int, WATERMARK FOR ts)`)
	run(t, s, `CREATE MATERIALIZED VIEW a AS SELECT window_start, count(*) AS n FROM TUMBLE(e, ts, INTERVAL '1 minute') GROUP BY window_start EMIT ON WINDOW CLOSE LATE INTO la`)
	run(t, s, `CREATE MATERIALIZED VIEW b AS SELECT window_start, count(*) AS n FROM TUMBLE(la, ts, INTERVAL '1 minute') x GROUP BY window_start`)
	run(t, s, `CREATE MATERIALIZED VIEW c AS SELECT w, count(*) AS n FROM la GROUP BY w`)
	run(t, s, `INSERT INTO e VALUES ('2026-01-01 12:00', 0, 0)`)
	done := make(chan struct{})
	go func() {
		defer close(done)
		var wg sync.WaitGroup
		for w := 1; w <= 3; w++ {
			wg.Add(1)
			go func() {
				defer wg.Done()
				s, err := e.NewSession(SessionOptions{})
				if err != nil {
					t.Error(err)
					return
				}
				defer s.Close()
				for i := range 30 {
					run(t, s, fmt.Sprintf(`INSERT INTO e VALUES ('2026-01-01 10:%02d', %d, %d)`, i, w, i))
					expect(t, s, fmt.Sprintf(`SELECT count(*) FROM la WHERE w = %d`, w), fmt.Sprint(i+1))
				}
			}()
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			s, err := e.NewSession(SessionOptions{})
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			for i := range 20 {
				run(t, s, fmt.Sprintf(`CREATE TABLE x%d (a int)`, i))
				run(t, s, fmt.Sprintf(`CREATE MATERIALIZED VIEW v%d AS SELECT count(*) FROM la`, i))
				run(t, s, `SELECT * FROM sys.late`)
				run(t, s, `SELECT * FROM sys.watermarks`)
				run(t, s, fmt.Sprintf(`DROP MATERIALIZED VIEW v%d`, i))
			}
		}()
		wg.Wait()
	}()
	select {
	case <-done:
	case <-time.After(60 * time.Second):
		t.Fatal("a session waits for ever")
	}
	expect(t, s, `SELECT count(*), count(DISTINCT (w, v)) FROM la`, "90|90")
	expect(t, s, `SELECT late_rows, target FROM sys.late WHERE view = 'a'`, "90|la")
	if _, err := tryRun(s, `DROP TABLE la`); pgerr.Code(err) != pgerr.DependentObjectsStillExist || !strings.Contains(pgerr.From(err).Detail, "materialized view a depends on table la") {
		t.Errorf("a table that a view puts late rows into: %v", err)
	}
}

// TestLateAcrossRestart: the table for late rows is durable, and a view that is computed anew does not put its late rows aside a second time.
func TestLateAcrossRestart(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(t.TempDir(), "in.csv")
	if err := os.WriteFile(file, []byte("ts,v\n2026-01-01 10:00,1\n2026-01-01 10:20,2\n2026-01-01 10:05,3\nbroken,4\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	e, s := reopen(t, nil, nil, dir)
	run(t, s, `CREATE SOURCE e (ts timestamp, v int, WATERMARK FOR ts) WITH (connector = 'file', path = '`+file+`', late = 'table:late_e', bad_data = 'table:bad_e')`)
	run(t, s, `CREATE MATERIALIZED VIEW m AS SELECT window_start, sum(v) AS s FROM TUMBLE(e, ts, INTERVAL '10 minutes') GROUP BY window_start EMIT ON WINDOW CLOSE`)
	for range 2 {
		expect(t, s, `SELECT window_start, s FROM m ORDER BY 1`, "2026-01-01 10:00:00|1", "2026-01-01 10:20:00|2")
		expect(t, s, `SELECT v, _watermark FROM late_e`, "3|2026-01-01 10:20:00")
		expect(t, s, `SELECT position, sqlstate FROM bad_e`, "5|22007")
		expect(t, s, `SELECT relation, late_rows, target FROM sys.late`, "e|1|late_e")
		expect(t, s, `SELECT state, watermark, late_rows FROM sys.watermarks`, "finished|infinity|1")
		e, s = reopen(t, e, s, dir)
	}
	s.Close()
	e.Close()
}

// TestLateErrorEndsQuery: LATE ERROR ends a query of a session with 22000 and frees it.
func TestLateErrorEndsQuery(t *testing.T) {
	_, s := open(t)
	run(t, s, `CREATE TABLE e (ts timestamp, v int, WATERMARK FOR ts)`)
	stmts, err := s.Parse(`SELECT window_start, count(*) FROM TUMBLE(e, ts, INTERVAL '1 minute') GROUP BY window_start EMIT ON WINDOW CLOSE LATE ERROR`)
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Execute(context.Background(), stmts[0])
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	if _, _, err := p.Fetch(ctx, 1); pgerr.Code(err) != pgerr.QueryCanceled {
		t.Fatal(err)
	}
	cancel()
	run(t, s, `INSERT INTO e VALUES ('2026-01-01 10:05', 1)`)
	run(t, s, `INSERT INTO e VALUES ('2026-01-01 10:03', 2)`)
	for range 3 {
		b, _, ferr := p.Fetch(context.Background(), 1)
		if b != nil {
			b.Release()
		}
		if err = ferr; err != nil {
			break
		}
	}
	if pgerr.Code(err) != pgerr.DataException || !strings.Contains(pgerr.From(err).Detail, "(2026-01-01 10:03:00, 2)") {
		t.Errorf("%v", err)
	}
	expect(t, s, `SELECT count(*) FROM sys.late`, "0")
}

// TestJobsWhileFilling: sys.jobs shows how far the filling of a view is.
func TestJobsWhileFilling(t *testing.T) {
	e, s := open(t)
	run(t, s, `CREATE SOURCE n WITH (connector = 'nexmark', table = 'bid', events = '4000000')`)
	filled := make(chan error, 1)
	go func() {
		o, err := e.NewSession(SessionOptions{})
		if err == nil {
			defer o.Close()
			_, err = tryRun(o, `CREATE MATERIALIZED VIEW m AS SELECT count(*) AS n FROM n`)
		}
		filled <- err
	}()
	seen := false
	for {
		select {
		case err := <-filled:
			if err != nil || !seen {
				t.Fatalf("%v, seen while it was filled: %v", err, seen)
			}
			expect(t, s, `SELECT relation, state, rows_read = (SELECT n FROM m), changes FROM sys.jobs`, "m|finished|t|1")
			return
		default:
		}
		if rows := run(t, s, `SELECT relation FROM sys.jobs WHERE state = 'filling' AND rows_read > 0`); len(rows) == 1 && rows[0] == "m" {
			seen = true
		}
	}
}
