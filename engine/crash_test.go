package engine

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"streamsql/internal/pgerr"
	"streamsql/state"
)

var crashSeeds = flag.Int("crash.seeds", 6, "how many random runs the tests of crashes and failing disks make")

// crashWorker does random transactions on rows and tables of its own, and knows what there may be after a crash: the state
// after the last transaction that was acknowledged, or after one that was begun since.
type crashWorker struct {
	id     int
	mu     sync.Mutex
	states []crashState // after each transaction
	acked  int          // index of the last acknowledged one
}

// crashState is what a worker has: its rows, and the tables that it has made.
type crashState struct {
	rows   map[int]int
	tables map[string]int // name -> rows in it
}

func (s crashState) clone() crashState { return crashState{maps.Clone(s.rows), maps.Clone(s.tables)} }

func (s crashState) String() string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(s.rows)) {
		out = append(out, fmt.Sprintf("%d=%d", k, s.rows[k]))
	}
	for _, k := range slices.Sorted(maps.Keys(s.tables)) {
		out = append(out, fmt.Sprintf("%s:%d", k, s.tables[k]))
	}
	return strings.Join(out, " ")
}

// step makes one transaction.
func (w *crashWorker) step(s *Session, rng *rand.Rand) error {
	w.mu.Lock()
	next := w.states[len(w.states)-1].clone()
	w.mu.Unlock()
	var sql string
	id, v := rng.IntN(30), rng.IntN(1000)
	_, there := next.rows[id]
	switch {
	case rng.IntN(12) == 0:
		name := fmt.Sprintf("x%d_%d", w.id, rng.IntN(3))
		if _, ok := next.tables[name]; ok {
			sql = "DROP TABLE " + name
			delete(next.tables, name)
		} else {
			n := rng.IntN(50)
			sql = fmt.Sprintf("CREATE TABLE %s AS SELECT n FROM generate_series(1, %d) n", name, n)
			next.tables[name] = n
		}
	case there && rng.IntN(2) == 0:
		sql = fmt.Sprintf("BEGIN; DELETE FROM t WHERE w = %d AND id = %d; DELETE FROM u WHERE w = %d AND id = %d; COMMIT", w.id, id, w.id, id)
		delete(next.rows, id)
	case there:
		sql = fmt.Sprintf("BEGIN; UPDATE t SET v = %d WHERE w = %d AND id = %d; UPDATE u SET v = %d WHERE w = %d AND id = %d; COMMIT", v, w.id, id, v, w.id, id)
		next.rows[id] = v
	default:
		sql = fmt.Sprintf("BEGIN; INSERT INTO t VALUES (%d, %d, %d); INSERT INTO u VALUES (%d, %d, %d); COMMIT", w.id, id, v, w.id, id, v)
		next.rows[id] = v
	}
	w.mu.Lock()
	w.states = append(w.states, next)
	at := len(w.states) - 1
	w.mu.Unlock()
	if _, err := tryRun(s, sql); err != nil {
		tryRun(s, "ROLLBACK")
		return err
	}
	w.mu.Lock()
	w.acked = at
	w.mu.Unlock()
	return nil
}

// found gives what of the worker is in an engine.
func (w *crashWorker) found(t *testing.T, s *Session) crashState {
	t.Helper()
	got := crashState{map[int]int{}, map[string]int{}}
	for _, table := range []string{"t", "u"} {
		rows := map[int]int{}
		for _, r := range run(t, s, fmt.Sprintf("SELECT id, v FROM %s WHERE w = %d", table, w.id)) {
			var id, v int
			fmt.Sscanf(r, "%d|%d", &id, &v)
			rows[id] = v
		}
		if table == "u" && !maps.Equal(rows, got.rows) {
			t.Errorf("a transaction of worker %d is there in part: t %v, u %v", w.id, got.rows, rows)
		}
		got.rows = rows
	}
	for i := range 3 {
		name := fmt.Sprintf("x%d_%d", w.id, i)
		if rows, err := tryRun(s, "SELECT count(*) FROM "+name); err == nil {
			fmt.Sscan(rows[0], new(int))
			n := 0
			fmt.Sscan(rows[0], &n)
			got.tables[name] = n
		} else if pgerr.Code(err) != pgerr.UndefinedTable {
			t.Errorf("%s: %v", name, err)
		}
	}
	return got
}

// check compares an engine with what may be there, from acked on, and goes on from what is.
func (w *crashWorker) check(t *testing.T, s *Session, acked int) {
	t.Helper()
	got := w.found(t, s)
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := len(w.states) - 1; i >= acked; i-- {
		if w.states[i].String() == got.String() {
			w.states, w.acked = []crashState{w.states[i]}, 0
			return
		}
	}
	t.Errorf("worker %d: after the crash there is\n  %v\nwhat was acknowledged is\n  %v", w.id, got, w.states[acked])
}

const crashSchema = `CREATE TABLE t (w int, id int, v int, PRIMARY KEY (w, id)); CREATE TABLE u (w int, id int, v int);
	CREATE MATERIALIZED VIEW m AS SELECT w, count(*) AS n, sum(v) AS s FROM t GROUP BY w;
	CREATE MATERIALIZED VIEW mm AS SELECT count(*) AS groups, sum(n) AS n FROM m`

func checkViews(t *testing.T, s *Session) {
	t.Helper()
	expect(t, s, "SELECT * FROM m ORDER BY w", run(t, s, "SELECT w, count(*), sum(v) FROM t GROUP BY w ORDER BY w")...)
	expect(t, s, "SELECT groups, coalesce(n, 0) FROM mm", run(t, s, "SELECT count(DISTINCT w), count(*) FROM t")...)
}

func openOn(t *testing.T, fs state.FS, every time.Duration) (*Engine, *Session) {
	t.Helper()
	e, err := Open(Options{DataDir: "/data", FS: fs, DurableEvery: every})
	if err != nil {
		t.Fatal(err)
	}
	e.coord.step.Lock()
	e.kept.blobs = every/time.Millisecond%2 == 0 // every other time states are treated as large ones
	e.coord.step.Unlock()
	s, err := e.NewSession(SessionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return e, s
}

// work lets workers go on, each in a session of its own, until stop; it gives the errors that ended them.
func work(t *testing.T, e *Engine, ws []*crashWorker, seed uint64, stop *atomic.Bool) (wait func() []error) {
	var running sync.WaitGroup
	errs := make([]error, len(ws))
	for i, w := range ws {
		s, err := e.NewSession(SessionOptions{})
		if err != nil {
			t.Fatal(err)
		}
		running.Add(1)
		go func() {
			defer running.Done()
			defer s.Close()
			rng := rand.New(rand.NewPCG(seed, uint64(i)))
			for !stop.Load() && errs[i] == nil {
				errs[i] = w.step(s, rng)
			}
		}()
	}
	return func() []error { running.Wait(); return errs }
}

func newWorkers(n int) []*crashWorker {
	ws := make([]*crashWorker, n)
	for i := range ws {
		ws[i] = &crashWorker{id: i, states: []crashState{{map[int]int{}, map[string]int{}}}}
	}
	return ws
}

// TestCrash: the power goes while clients change tables and make and drop some. Of what was not synced any block and any entry of
// a directory may be there or not. All that was acknowledged is there, every transaction wholly or not at all, and views fit the tables.
func TestCrash(t *testing.T) {
	for range *crashSeeds {
		seed := rand.Uint64()
		rng := rand.New(rand.NewPCG(seed, 99))
		fs := vfs.NewCrashableMem()
		ws := newWorkers(3)
		e, s := openOn(t, fs, time.Duration(1+rng.IntN(50))*time.Millisecond)
		run(t, s, crashSchema)
		for generation := range 3 {
			var stop atomic.Bool
			wait := work(t, e, ws, seed+uint64(generation), &stop)
			time.Sleep(time.Duration(rng.IntN(120)) * time.Millisecond)
			acked := make([]int, len(ws))
			for i, w := range ws {
				w.mu.Lock()
				acked[i] = w.acked
				w.mu.Unlock()
			}
			after := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
			stop.Store(true)
			if err := errors.Join(wait()...); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			s.Close()
			e.Close()
			fs = after
			e, s = openOn(t, fs, time.Duration(1+rng.IntN(50))*time.Millisecond)
			for i, w := range ws {
				w.check(t, s, acked[i])
			}
			checkViews(t, s)
			if t.Failed() {
				t.Fatalf("seed %d, generation %d", seed, generation)
			}
		}
		s.Close()
		e.Close()
	}
}

// TestFailingDisk: some write fails. From then on changes are refused with 58030, reads go on, and after a restart everything acknowledged is there.
func TestFailingDisk(t *testing.T) {
	for range *crashSeeds {
		seed := rand.Uint64()
		rng := rand.New(rand.NewPCG(seed, 98))
		mem := vfs.NewCrashableMem()
		var left atomic.Int64
		left.Store(1 << 60)
		fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && op.Kind != errorfs.OpRemove && left.Add(-1) < 0 {
				return syscall.EIO
			}
			return nil
		}))
		e, s := openOn(t, fs, 5*time.Millisecond)
		run(t, s, crashSchema)
		ws := newWorkers(3)
		left.Store(int64(rng.IntN(300)))
		var stop atomic.Bool
		for i, err := range work(t, e, ws, seed, &stop)() {
			if pgerr.Code(err) != pgerr.IOError {
				t.Fatalf("seed %d: worker %d: %v", seed, i, err)
			}
		}
		for _, sql := range []string{"INSERT INTO u VALUES (9, 9, 9)", "CREATE TABLE late (a int)", "DROP TABLE u", "CREATE MATERIALIZED VIEW late AS TABLE u"} {
			if _, err := tryRun(s, sql); pgerr.Code(err) != pgerr.IOError {
				t.Errorf("seed %d: %s: %v", seed, sql, err)
			}
		}
		run(t, s, "SELECT count(*) FROM t")
		expect(t, s, "SELECT DISTINCT state FROM sys.jobs", "stopped")
		acked := make([]int, len(ws))
		for i, w := range ws {
			acked[i] = w.acked
		}
		after := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
		s.Close()
		e.Close()
		e, s = openOn(t, after, 0)
		for i, w := range ws {
			w.check(t, s, acked[i])
		}
		checkViews(t, s)
		s.Close()
		e.Close()
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// TestFullDisk: while the disk is full changes wait and reads go on; when there is room all goes on by itself, and nothing is lost.
func TestFullDisk(t *testing.T) {
	var full atomic.Bool
	mem := vfs.NewCrashableMem()
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full.Load() && (op.Kind == errorfs.OpFileWrite || op.Kind == errorfs.OpCreate) {
			return syscall.ENOSPC
		}
		return nil
	}))
	e, s := openOn(t, fs, 5*time.Millisecond)
	run(t, s, crashSchema)
	ws := newWorkers(3)
	var stop atomic.Bool
	wait := work(t, e, ws, 1, &stop)
	for range 3 {
		time.Sleep(30 * time.Millisecond)
		full.Store(true)
		time.Sleep(150 * time.Millisecond)
		before := []int{}
		for _, w := range ws {
			w.mu.Lock()
			before = append(before, w.acked)
			w.mu.Unlock()
		}
		run(t, s, "SELECT count(*), sum(v) FROM t")
		expect(t, s, "SELECT DISTINCT state, error FROM sys.jobs", "waiting|the disk is full")
		time.Sleep(50 * time.Millisecond)
		for i, w := range ws {
			w.mu.Lock()
			if w.acked != before[i] {
				t.Errorf("worker %d was told that a change is durable while the disk was full", i)
			}
			w.mu.Unlock()
		}
		full.Store(false)
		eventually(t, "changes to go on", func() bool {
			for i, w := range ws {
				w.mu.Lock()
				on := w.acked > before[i]
				w.mu.Unlock()
				if !on {
					return false
				}
			}
			return true
		})
	}
	stop.Store(true)
	if err := errors.Join(wait()...); err != nil {
		t.Fatal(err)
	}
	after := mem.CrashClone(vfs.CrashCloneCfg{})
	s.Close()
	e.Close()
	e, s = openOn(t, after, 0)
	for _, w := range ws {
		w.check(t, s, w.acked)
	}
	checkViews(t, s)
	s.Close()
	e.Close()
}
