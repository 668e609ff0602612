package engine

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// TestEvict: tables, indexes and views whose rows are taken out of memory all the time are as those of an engine that keeps them, also after a restart, and those who
// follow changes from a time in the past see the same.
func TestEvict(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	rnd := rand.New(rand.NewPCG(seed, 1))
	dir := t.TempDir()
	evicting := func() (*Engine, *Session) {
		e, s := start(t, Options{DataDir: dir, DurableEvery: time.Millisecond})
		e.coord.step.Lock()
		e.evictor.always = true
		e.coord.step.Unlock()
		return e, s
	}
	e, s := evicting()
	plain, ps := start(t, Options{})
	defer plain.Close()
	defer ps.Close()
	both := func(sql string) {
		t.Helper()
		a, aerr := tryRun(s, sql)
		b, berr := tryRun(ps, sql)
		if slices.Sort(a); aerr != nil {
			a = []string{failureText(aerr)}
		}
		if slices.Sort(b); berr != nil {
			b = []string{failureText(berr)}
		}
		if !slices.Equal(a, b) {
			t.Fatalf("seed %d: %s: %q, without evicting %q", seed, sql, a, b)
		}
	}
	both("CREATE TABLE t (id int PRIMARY KEY, k int, v text); CREATE UNIQUE INDEX u ON t (v) WHERE k = 1; CREATE INDEX i ON t (k); CREATE TABLE bag (k int, n numeric)")
	both("CREATE MATERIALIZED VIEW g AS SELECT k, count(*) AS n, max(id) AS m FROM t GROUP BY k")
	both("CREATE MATERIALIZED VIEW j AS SELECT t.id, t.v, bag.n FROM t JOIN bag ON t.k = bag.k")
	evicted := 0
	for round := range 60 {
		switch n := rnd.IntN(20); {
		case n < 6:
			both(fmt.Sprintf("INSERT INTO t SELECT i, i %% 7, 'v' || i %% 40 || repeat('x', %d) FROM generate_series(%d, %d) i ON CONFLICT (id) DO UPDATE SET k = excluded.k + 1", rnd.IntN(900), rnd.IntN(300), rnd.IntN(300)))
		case n < 8:
			both(fmt.Sprintf("INSERT INTO t VALUES (%d, 1, 'v%d')", rnd.IntN(400), rnd.IntN(40)))
		case n < 11:
			both(fmt.Sprintf("INSERT INTO bag SELECT i %% %d, (i %% 3)::numeric FROM generate_series(1, %d) i", 1+rnd.IntN(9), rnd.IntN(40)))
		case n < 13:
			both(fmt.Sprintf("UPDATE t SET k = %d WHERE id %% 5 = %d", rnd.IntN(7), rnd.IntN(5)))
		case n < 15:
			both(fmt.Sprintf("DELETE FROM t WHERE id BETWEEN %d AND %d", rnd.IntN(300), rnd.IntN(300)))
		case n < 16:
			both(fmt.Sprintf("DELETE FROM bag WHERE k = %d", rnd.IntN(9)))
		case n < 17:
			both(fmt.Sprintf("BEGIN; INSERT INTO t VALUES (%d, 2, 'a'); SAVEPOINT p; DELETE FROM bag; ROLLBACK TO p; COMMIT", 1000+round))
		case n < 18:
			time.Sleep(3 * time.Millisecond)
		case n < 19 && round > 10:
			s.Close()
			e.Close()
			e, s = evicting()
		default:
			both(fmt.Sprintf("SELECT id, v FROM t WHERE k = %d", rnd.IntN(7)))
		}
		both("SELECT * FROM g")
		both("SELECT count(*), sum(n), min(v), max(id) FROM j")
		both("SELECT k, n, count(*) FROM bag GROUP BY k, n")
		e.cut.RLock()
		for _, r := range e.relations {
			if r.published.Len() > 0 && r.published.Resident() == 0 {
				evicted++
			}
		}
		e.cut.RUnlock()
	}
	if evicted == 0 {
		t.Error("nothing was evicted")
	}
	// What was there before, as the history tells it whose contents are not in memory any more.
	var at []vec.Time
	var want [][]string
	for i := range 5 {
		run(t, s, fmt.Sprintf("UPDATE t SET v = v || '%d' WHERE k = %d; DELETE FROM bag WHERE k = %d; INSERT INTO bag VALUES (%d, 1), (%d, 1.0)", i, 2+i, i, i, i))
		time.Sleep(2 * time.Millisecond)
		want = append(want, append(run(t, s, "SELECT id, k, v FROM t"), run(t, s, "SELECT k, n FROM bag")...))
		slices.Sort(want[i])
		at = append(at, e.nextTick())
		time.Sleep(2 * time.Millisecond)
	}
	for i := range at {
		var got []string
		for _, q := range []string{"SELECT id, k, v FROM t", "SELECT k, n FROM bag"} {
			got = append(got, asOf(t, s, q, at[i])...)
		}
		if slices.Sort(got); !slices.Equal(got, want[i]) {
			t.Errorf("seed %d: as of %d there are %d rows, there were %d", seed, i, len(got), len(want[i]))
		}
	}
	s.Close()
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

// asOf gives the rows that a query had at a time in the past.
func asOf(t *testing.T, s *Session, query string, at vec.Time) (out []string) {
	t.Helper()
	stmts, err := s.Parse("SUBSCRIBE (" + query + ") WITH (PROGRESS = true) AS OF '" + timestamp(at) + "'")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(context.Background(), 20*time.Second)
	defer stop()
	portal, err := s.Execute(ctx, stmts[0])
	if err != nil {
		t.Fatal(failureText(err))
	}
	defer portal.Close()
	for {
		b, done, err := portal.Fetch(ctx, 0)
		if err != nil || done {
			t.Fatal(failureText(err))
		}
		views := b.Views(nil)
		for i := range b.N {
			if views[1].Datum(i).(bool) { // the snapshot is there, and maybe what followed it
				b.Release()
				return out
			}
			if views[0].Datum(i).(int64) > at {
				continue
			}
			var row []string
			for c := 3; c < len(views); c++ {
				text := "NULL"
				if d := views[c].Datum(i); d != nil {
					text = string(types.AppendText(nil, s.Env(), b.Schema.Fields[c].Type, d))
				}
				row = append(row, text)
			}
			out = append(out, strings.Join(row, "|"))
		}
		b.Release()
	}
}
