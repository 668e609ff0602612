package engine

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// restartViews are views of the kinds of state that there are, each beside the query that must give the same.
var restartViews = []string{
	"SELECT k, count(*) AS n, sum(v) AS s FROM t GROUP BY k",
	"SELECT a.k, a.v, b.v AS w FROM t a JOIN u b ON a.k = b.k",
	"SELECT a.k, b.v AS w FROM t a LEFT JOIN u b ON a.k = b.k",
	"SELECT k, v FROM t UNION SELECT k, v FROM u",
	"SELECT k, v, row_number() OVER (PARTITION BY k ORDER BY v, id) AS r FROM t",
	"SELECT k, v FROM (SELECT k, v, row_number() OVER (PARTITION BY k ORDER BY v DESC, id) AS r FROM t) x WHERE r <= 2",
	"SELECT n, count(*) AS c FROM v0 GROUP BY n",
	"SELECT k, count(DISTINCT v) AS d FROM f GROUP BY k",
	"SELECT f.k, f.v, u.v AS w FROM f JOIN u ON f.k = u.k",
	"SELECT f.k, f.v FROM f WHERE f.v = 3 AND f.k = 2", // most steps give nothing, and begin no epoch
}

// TestRestartJobs leaves the engine at random moments, as in a crash: what was written since the last durable epoch is lost, in part or wholly.
// Views go on from their checkpoints and journals and are what their queries give.
func TestRestartJobs(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	for r := range rounds {
		t.Run(fmt.Sprint(r), func(t *testing.T) { restartJobs(t, seed+uint64(r)) })
	}
}

func restartJobs(t *testing.T, seed uint64) {
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	disk := vfs.NewCrashableMem()
	dir := t.TempDir()
	path := filepath.Join(dir, "f.ndjson")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var e *Engine
	var s *Session
	start := func() {
		e, err = Open(Options{DataDir: "data", FS: disk, DurableEvery: time.Duration(1+rnd.IntN(30)) * time.Millisecond, BatchRows: 1 + rnd.IntN(100)})
		if err != nil {
			t.Fatal(err)
		}
		rare, blobs := rnd.IntN(2) == 0, rnd.IntN(2) == 0
		e.coord.step.Lock()
		e.kept.rare, e.kept.blobs = rare, blobs
		e.coord.step.Unlock()
		if s, err = e.NewSession(SessionOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	start()
	run(t, s, "CREATE TABLE t (id int PRIMARY KEY, k int, v int); CREATE TABLE u (k int, v int)")
	run(t, s, "CREATE SOURCE f (k int, v int) WITH (connector = 'file', path = '"+path+"', follow = true)")
	run(t, s, "CREATE SOURCE f_now (k int, v int) WITH (connector = 'file', path = '"+path+"')")
	views := 0
	id := 0
	for range 6 {
		for range 1 + rnd.IntN(12) {
			switch n := rnd.IntN(10); {
			case n < 2 && views < len(restartViews):
				run(t, s, fmt.Sprintf("CREATE MATERIALIZED VIEW v%d AS %s", views, restartViews[views]))
				views++
			case n < 5:
				id++
				run(t, s, fmt.Sprintf("INSERT INTO t SELECT %d * 1000 + i, i %% %d, i * %d %% 17 FROM generate_series(1, %d) i", id, 1+rnd.IntN(9), 1+rnd.IntN(9), rnd.IntN(60)))
			case n < 6:
				run(t, s, fmt.Sprintf("INSERT INTO u SELECT i %% %d, i FROM generate_series(1, %d) i", 1+rnd.IntN(9), rnd.IntN(9)))
			case n < 7:
				run(t, s, fmt.Sprintf("DELETE FROM t WHERE v %% 5 = %d", rnd.IntN(5)))
			case n < 8:
				run(t, s, fmt.Sprintf("UPDATE t SET v = v + 1 WHERE k = %d; DELETE FROM u WHERE v = %d", rnd.IntN(9), rnd.IntN(5)))
			case n < 9:
				for range rnd.IntN(200) {
					fmt.Fprintf(file, "{\"k\":%d,\"v\":%d}\n", rnd.IntN(9), rnd.IntN(30))
				}
			default:
				time.Sleep(time.Duration(rnd.IntN(40)) * time.Millisecond)
			}
		}
		compareViews(t, s, views)
		t.Log("crash")
		crashed := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rnd.IntN(101), RNG: rnd})
		s.Close()
		e.Close()
		disk = crashed
		start()
		compareViews(t, s, views)
	}
	s.Close()
	e.Close()
}

// compareViews compares the views with what their queries give now.
func compareViews(t *testing.T, s *Session, views int) {
	t.Helper()
	run(t, s, "DELETE FROM u WHERE k < 0") // waits for jobs that are on their way back
	sorted := func(sql string) []string {
		rows := run(t, s, sql)
		slices.Sort(rows)
		return rows
	}
	for i := range views {
		q := restartViews[i]
		want := func() []string {
			// A source with follow cannot be read as a snapshot that ends: the same file is read without.
			return sorted(strings.Replace(strings.Replace(q, "FROM f ", "FROM f_now AS f ", 1), "FROM v0", "FROM ("+restartViews[0]+") v0", 1))
		}
		var got, w []string
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			if got, w = sorted(fmt.Sprintf("SELECT * FROM v%d", i)), want(); slices.Equal(got, w) {
				break
			}
			if !strings.Contains(q, "FROM f ") || time.Now().After(deadline) {
				t.Fatalf("v%d: %s\n got %q\nwant %q\njobs %q", i, q, got, w, run(t, s, "SELECT relation, state, error FROM sys.jobs"))
			}
		}
	}
}

// TestLargeStates: states of many blocks, which are written to blobs while their jobs change them, are what they were at their epoch: views go on from
// them as if nothing had been, also with another number of processors.
func TestLargeStates(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	dir := t.TempDir()
	views := map[string]string{
		"j": "SELECT t.id, u.id AS u FROM t JOIN u ON t.k = u.k",
		"l": "SELECT t.id, u.id AS u FROM t LEFT JOIN u ON t.id = u.id AND u.v > 500",
		"n": "SELECT id, k, v FROM (SELECT *, row_number() OVER (PARTITION BY k ORDER BY v DESC, id) AS r FROM t) x WHERE r <= 2",
		"g": "SELECT k, count(*) AS n, sum(v) AS s, min(v) AS m FROM t GROUP BY k",
	}
	for round := range 3 {
		e, err := Open(Options{DataDir: dir, DurableEvery: time.Millisecond, Parallel: []int{1, 3, 2}[round]})
		if err != nil {
			t.Fatal(err)
		}
		e.coord.step.Lock()
		e.kept.blobs = true
		e.coord.step.Unlock()
		s, err := e.NewSession(SessionOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if round == 0 {
			run(t, s, "CREATE TABLE t (id int PRIMARY KEY, k int, v int); CREATE TABLE u (id int PRIMARY KEY, k int, v int)")
			for name, sql := range views {
				run(t, s, "CREATE MATERIALIZED VIEW "+name+" AS "+sql)
			}
		}
		for range 4 {
			for _, table := range []string{"t", "u"} {
				from := rnd.IntN(6_000)
				run(t, s, fmt.Sprintf("DELETE FROM %s WHERE id BETWEEN %d AND %d", table, from, from+rnd.IntN(600)))
				run(t, s, fmt.Sprintf("INSERT INTO %s SELECT i, i * 7919 %% 4001, i * %d %% 1000 FROM generate_series(%d, %d) i ON CONFLICT DO NOTHING",
					table, 1+rnd.IntN(1000), from, from+rnd.IntN(2500)))
			}
		}
		for name, sql := range views {
			differ := fmt.Sprintf("SELECT count(*) FROM ((TABLE %s EXCEPT ALL (%s)) UNION ALL ((%s) EXCEPT ALL TABLE %s)) x", name, sql, sql, name)
			if got := run(t, s, differ); got[0] != "0" {
				t.Fatalf("round %d: view %s differs in %s rows; jobs %q", round, name, got[0], run(t, s, "SELECT relation, state, error FROM sys.jobs"))
			}
		}
		s.Close()
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
