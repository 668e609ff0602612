package laws

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow/memory"
	"go.uber.org/goleak"

	"streamsql/engine"
	"streamsql/internal/pgerr"
)

// TestEngineLawsConcurrently lets sessions write, define views and read all at once: each reader sees one cut, each writer what it
// has committed, in the table and in the views over it, and each subscriber what was there in the end.
func TestEngineLawsConcurrently(t *testing.T) {
	here := goleak.IgnoreCurrent()
	seed := *engineSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	alloc := memory.NewCheckedAllocator(memory.NewGoAllocator())
	e, err := engine.Open(engine.Options{Alloc: alloc, Parallel: 2})
	if err != nil {
		t.Fatal(err)
	}
	views := map[string]string{
		"by_k":    "SELECT k, count(*) AS n, sum(v) AS s FROM t GROUP BY k",
		"by_id":   "SELECT id, count(*) AS n FROM u GROUP BY id",
		"total":   "SELECT sum(n) AS n FROM by_k",
		"pairs":   "SELECT t.id, u.v FROM t JOIN u ON t.id = u.id",
		"missing": "SELECT id FROM t EXCEPT SELECT id FROM u",
		"top":     "SELECT id, v FROM t ORDER BY v DESC, id LIMIT 5",
	}
	order := []string{"by_k", "by_id", "total", "pairs", "missing", "top"}
	connect := func() *engine.Session {
		s, err := e.NewSession(engine.SessionOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	setup := connect()
	must := func(sql string) []string {
		rows, err := query(setup, sql, "")
		if err != nil {
			t.Fatalf("seed %d: %s: %v", seed, sql, err)
		}
		return rows
	}
	must("CREATE TABLE t (id int PRIMARY KEY, k int, v bigint); CREATE TABLE u (id int, v bigint)")
	for _, name := range order {
		must("CREATE MATERIALIZED VIEW " + name + " AS " + views[name])
	}
	differ := func(name, sql string) string {
		return fmt.Sprintf("SELECT '%[1]s' AS view, count(*) AS n FROM ((TABLE %[1]s EXCEPT ALL (%[2]s)) UNION ALL ((%[2]s) EXCEPT ALL TABLE %[1]s)) AS x", name, sql)
	}
	stop := time.Now().Add(*engineTime / 4)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed error
	work := func(n uint64, f func(s *engine.Session, r *rand.Rand, i int) error) {
		s, r := connect(), rand.New(rand.NewPCG(seed, n))
		wg.Go(func() {
			defer s.Close()
			for i := 0; time.Now().Before(stop); i++ {
				if err := f(s, r, i); err != nil {
					mu.Lock()
					failed = err
					mu.Unlock()
					return
				}
			}
		})
	}
	fine := func(sql string, err error) error {
		if err == nil || slices.Contains(expectedErrors, pgerr.Code(err)) {
			return nil
		}
		return fmt.Errorf("%s: %w", sql, err)
	}
	for n := range 3 { // writers, each of ids of its own
		work(uint64(n), func(s *engine.Session, r *rand.Rand, i int) error {
			id := n*1000 + r.IntN(60)
			sql := fmt.Sprintf("INSERT INTO t VALUES (%d, %d, %d) ON CONFLICT (id) DO UPDATE SET v = excluded.v; INSERT INTO u VALUES (%[1]d, %d)", id, r.IntN(5), r.IntN(100), i)
			switch r.IntN(5) {
			case 0:
				sql = fmt.Sprintf("DELETE FROM t WHERE id BETWEEN %d AND %d; DELETE FROM u WHERE id = %[1]d", id, id+5)
			case 1:
				sql = fmt.Sprintf("BEGIN; UPDATE t SET v = v + 1, k = k + 1 WHERE id BETWEEN %d AND %d; SAVEPOINT a; INSERT INTO u VALUES (%[1]d, -1); ROLLBACK TO a; UPDATE u SET v = 0 WHERE id = %[1]d; COMMIT", n*1000, id)
			}
			if _, err := query(s, sql, ""); err != nil {
				if err := fine(sql, err); err != nil {
					return err
				}
				_, err := query(s, "ROLLBACK", "")
				return err
			}
			own := fmt.Sprintf("SELECT (SELECT count(*) FROM u WHERE id = %d) = coalesce((SELECT n FROM by_id WHERE id = %[1]d), 0), (SELECT count(*) FROM u WHERE id = %[1]d) > 0", id)
			rows, err := query(s, own, "")
			if err != nil {
				return fmt.Errorf("%s: %w", own, err)
			}
			if want := map[bool]string{true: "t|t", false: "t|f"}[sql[0] == 'I']; rows[0] != want && sql[0] != 'B' {
				return fmt.Errorf("after %s: %s gives %s", sql, own, rows[0])
			}
			return nil
		})
	}
	for n := range 2 { // readers
		work(uint64(10+n), func(s *engine.Session, r *rand.Rand, _ int) error {
			a, b := pick(r, order...), pick(r, order...)
			sql := differ(a, views[a]) + " UNION ALL " + differ(b, views[b]) + " UNION ALL SELECT 'sum', (SELECT n FROM total) - (SELECT count(*) FROM t)"
			rows, err := query(s, sql, "")
			if err != nil {
				return fine(sql, err)
			}
			for _, row := range rows {
				if row[len(row)-2:] != "|0" && row != "sum|NULL" {
					return fmt.Errorf("%s: rows differ: %s", sql, row)
				}
			}
			return nil
		})
	}
	work(20, func(s *engine.Session, r *rand.Rand, _ int) error { // views come and go
		name := pick(r, "pairs", "missing", "top")
		sql := pick(r, "DROP MATERIALIZED VIEW IF EXISTS "+name, "CREATE MATERIALIZED VIEW IF NOT EXISTS "+name+" AS "+views[name], "CREATE OR REPLACE MATERIALIZED VIEW "+name+" AS "+views[name])
		_, err := query(s, sql, "")
		return fine(sql, err)
	})
	for n, name := range []string{"by_k", "total", "by_id"} { // each subscription begins where the last one ended
		rows, from := map[string]int{}, ""
		work(uint64(30+n), func(s *engine.Session, r *rand.Rand, _ int) error {
			now, err := query(s, "SELECT clock_timestamp()", "")
			if err != nil {
				return err
			}
			sql := "SUBSCRIBE " + name
			if from != "" {
				sql += " WITH (SNAPSHOT = false) AS OF '" + from + "'"
			}
			until := now[0]
			if from == "" {
				q, err := query(s, "SELECT clock_timestamp() + INTERVAL '5 ms'", "")
				if err != nil {
					return err
				}
				until = q[0]
			}
			got, err := query(s, sql+" UP TO '"+until+"'", "")
			if from == "" && pgerr.Code(err) == pgerr.InvalidParameterValue {
				return nil // it began after its end: the machine was busy
			}
			if err != nil {
				return fmt.Errorf("%s UP TO '%s': %w", sql, until, err)
			}
			for _, row := range got {
				f := strings.Split(row, "|")
				d := 1
				if f[2] == "-1" {
					d = -1
				} else if f[2] != "1" {
					fmt.Sscan(f[2], &d)
				}
				body := fmt.Sprint(f[3:])
				if rows[body] += d; rows[body] == 0 {
					delete(rows, body)
				}
			}
			for body, c := range rows {
				if c != 1 {
					return fmt.Errorf("%s UP TO '%s': %s is there %d times", sql, until, body, c)
				}
			}
			from = until
			return nil
		})
	}
	wg.Wait()
	if failed != nil {
		t.Fatalf("seed %d: %v", seed, failed)
	}
	for _, name := range order {
		must("CREATE MATERIALIZED VIEW IF NOT EXISTS " + name + " AS " + views[name])
		if row := must(differ(name, views[name]))[0]; row != name+"|0" {
			t.Errorf("seed %d: at the end %s", seed, row)
		}
	}
	setup.Close()
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	alloc.AssertSize(t, 0)
	goleak.VerifyNone(t, here)
}
