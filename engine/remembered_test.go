package engine

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// A follower is a client that keeps a copy of a query's result by SUBSCRIBE, in the way that the documentation tells: it applies the rows below a progress
// row, keeps that row's _ts, and goes on from there when the connection is lost.
type follower struct {
	query string

	mu      sync.Mutex
	content map[string]int // as of token
	token   vec.Time
	pending []followed
	told    int

	stop    context.CancelFunc
	stopped chan error
}

type followed struct {
	ts   vec.Time
	row  string
	diff int
}

func (f *follower) attach(e *Engine) error {
	s, err := e.NewSession(SessionOptions{})
	if err != nil {
		return err
	}
	sql := "SUBSCRIBE (" + f.query + ") WITH (PROGRESS = true)"
	if f.content != nil {
		sql = "SUBSCRIBE (" + f.query + ") WITH (PROGRESS = true, SNAPSHOT = false) AS OF '" + timestamp(f.token) + "'"
	}
	f.pending = nil
	ctx, stop := context.WithCancel(context.Background())
	f.stop, f.stopped = stop, make(chan error, 1)
	go func() {
		defer s.Close()
		f.stopped <- func() error {
			stmts, err := s.Parse(sql)
			if err != nil {
				return err
			}
			portal, err := s.Execute(ctx, stmts[0])
			if err != nil {
				return err
			}
			defer portal.Close()
			for {
				b, done, err := portal.Fetch(ctx, 0)
				if err != nil || done {
					return err
				}
				if b != nil {
					f.take(s, b)
					b.Release()
				}
			}
		}()
	}()
	return nil
}

func (f *follower) take(s *Session, b *vec.Batch) {
	f.mu.Lock()
	defer f.mu.Unlock()
	views := b.Views(nil)
	for i := range b.N {
		ts := views[0].Datum(i).(int64)
		if views[1].Datum(i).(bool) {
			if f.content == nil {
				f.content = map[string]int{}
			}
			left := f.pending[:0]
			for _, p := range f.pending {
				if p.ts >= ts {
					left = append(left, p)
				} else if f.content[p.row] += p.diff; f.content[p.row] == 0 {
					delete(f.content, p.row)
				}
			}
			f.pending, f.token = left, ts
			f.told++
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
		f.pending = append(f.pending, followed{ts, strings.Join(row, "|"), int(views[2].Datum(i).(int64))})
	}
}

// detach ends the subscription and gives the error that it had ended with before.
func (f *follower) detach() error {
	f.stop()
	if err := <-f.stopped; pgerr.Code(err) != pgerr.QueryCanceled && pgerr.Code(err) != pgerr.AdminShutdown {
		return err
	}
	return nil
}

func (f *follower) rows() (out []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for row, n := range f.content {
		for range n {
			out = append(out, row)
		}
		if n < 0 {
			out = append(out, fmt.Sprintf("%d times %s", n, row))
		}
	}
	slices.Sort(out)
	return out
}

// TestResumeAfterCrash: those who follow the changes of tables and views go on after a crash from the last progress row, without a gap or a repetition.
func TestResumeAfterCrash(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	for r := range 4 {
		t.Run(fmt.Sprint(r), func(t *testing.T) { resumeAfterCrash(t, seed+uint64(r)) })
	}
}

func resumeAfterCrash(t *testing.T, seed uint64) {
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	disk := vfs.NewCrashableMem()
	open := func() (*Engine, *Session) {
		return start(t, Options{DataDir: "data", FS: disk, DurableEvery: time.Duration(1+rnd.IntN(200)) * time.Millisecond, BatchRows: 1 + rnd.IntN(100)})
	}
	path := filepath.Join(t.TempDir(), "f.ndjson")
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	e, s := open()
	run(t, s, "CREATE SOURCE f (k int, v int) WITH (connector = 'file', path = '"+path+"', follow = true); CREATE MATERIALIZED VIEW g AS SELECT k, count(*) AS n, sum(v) AS s FROM f GROUP BY k")
	run(t, s, "CREATE TABLE t (id int PRIMARY KEY, k int, v int); CREATE TABLE u (k int, v int)")
	run(t, s, "CREATE MATERIALIZED VIEW n AS SELECT k, count(*) AS n, sum(v) AS s FROM t GROUP BY k")
	run(t, s, "CREATE MATERIALIZED VIEW j AS SELECT a.k, a.v, b.v AS w FROM t a JOIN u b ON a.k = b.k")
	run(t, s, "INSERT INTO t SELECT i, i % 3, i FROM generate_series(1, 10) i; INSERT INTO u SELECT i % 3, i FROM generate_series(1, 5) i")
	queries := []string{"SELECT * FROM t", "SELECT * FROM u", "SELECT * FROM n", "SELECT * FROM j", "SELECT * FROM g", "SELECT g.k, g.n, u.v FROM g JOIN u ON g.k = u.k", "SELECT t.id, u.v FROM t LEFT JOIN u ON t.k = u.k"}
	var followers []*follower
	id := 1000
	for range 5 {
		for range 2 {
			followers = append(followers, &follower{query: queries[rnd.IntN(len(queries))]})
		}
		for _, f := range followers {
			if err := f.attach(e); err != nil {
				t.Fatal(err)
			}
		}
		for range 5 + rnd.IntN(20) {
			switch n := rnd.IntN(10); {
			case n < 4:
				id += 100
				run(t, s, fmt.Sprintf("INSERT INTO t SELECT %d + i, i %% %d, i * %d %% 17 FROM generate_series(1, %d) i", id, 1+rnd.IntN(9), 1+rnd.IntN(9), rnd.IntN(60)))
			case n < 6:
				run(t, s, fmt.Sprintf("INSERT INTO u SELECT i %% %d, i FROM generate_series(1, %d) i", 1+rnd.IntN(9), rnd.IntN(4)))
			case n < 7:
				run(t, s, fmt.Sprintf("DELETE FROM t WHERE v %% 5 = %d", rnd.IntN(5)))
			case n < 8:
				run(t, s, fmt.Sprintf("UPDATE t SET v = v + 1 WHERE k = %d; DELETE FROM u WHERE v = %d", rnd.IntN(9), rnd.IntN(4)))
			default:
				time.Sleep(time.Duration(rnd.IntN(40)) * time.Millisecond)
			}
		}
		crash := rnd.IntN(4) > 0
		if !crash {
			s.Close()
			e.Close()
		} else { // rows come on, and nobody waits until they are durable
			var rows strings.Builder
			for range 1 + rnd.IntN(50) {
				fmt.Fprintf(&rows, "{\"k\":%d,\"v\":%d}\n", rnd.IntN(3), rnd.IntN(100))
			}
			if _, err := file.WriteString(rows.String()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Duration(rnd.IntN(60)) * time.Millisecond)
		}
		for _, f := range followers { // before the crash: what is told later is of a life that has not been
			if err := f.detach(); err != nil {
				t.Fatalf("%s: %v", f.query, err)
			}
		}
		if crash {
			crashed := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rnd.IntN(101), RNG: rnd})
			s.Close()
			e.Close()
			disk = crashed
		}
		e, s = open()
	}
	for _, f := range followers {
		if err := f.attach(e); err != nil {
			t.Fatal(err)
		}
	}
	run(t, s, "INSERT INTO t VALUES (0, 0, 0)") // waits for jobs that are on their way back
	for _, f := range followers {
		var got, want []string
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			want, got = run(t, s, f.query), f.rows() // views may still be reading the file
			if slices.Sort(want); slices.Equal(got, want) {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%s\n got %d rows %.500q\nwant %d rows %.500q", f.query, len(got), got, len(want), want)
		}
		if f.told == 0 {
			t.Errorf("%s has told no progress", f.query)
		}
	}
	for _, f := range followers {
		if err := f.detach(); err != nil {
			t.Errorf("%s: %v", f.query, err)
		}
	}
	s.Close()
	e.Close()
}

// TestRememberedForgets: after a restart a subscription goes back as far as the changes are still there, and is refused beyond; what nobody has
// subscribed to with progress rows cannot be gone back to.
func TestRememberedForgets(t *testing.T) {
	o := Options{DataDir: t.TempDir(), HistoryBytes: 64 << 10, DurableEvery: time.Millisecond}
	e, s := start(t, o)
	run(t, s, "CREATE TABLE t (a int); CREATE TABLE u (a int); CREATE SOURCE push (a int)")
	f, g := &follower{query: "SELECT count(*), sum(a) FROM t"}, &follower{query: "SELECT a FROM push"}
	for _, x := range []*follower{f, g} {
		if err := x.attach(e); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the first progress row of "+x.query, func() bool { x.mu.Lock(); defer x.mu.Unlock(); return x.told > 0 })
	}
	run(t, s, "INSERT INTO u VALUES (1); INSERT INTO push VALUES (1)")
	early := run(t, s, "SELECT clock_timestamp()")[0]
	run(t, s, "INSERT INTO push VALUES (2)")
	var at, content []string
	for i := range 150 {
		sql := fmt.Sprintf("INSERT INTO t SELECT %d FROM generate_series(1, 100)", i)
		if i%3 == 2 {
			sql = fmt.Sprintf("DELETE FROM t WHERE a = %d", i/2)
		}
		run(t, s, sql)
		at = append(at, run(t, s, "SELECT clock_timestamp()")[0])
		content = append(content, run(t, s, "SELECT count(*), sum(a) FROM t")[0])
	}
	for _, x := range []*follower{f, g} {
		if err := x.detach(); err != nil {
			t.Fatal(err)
		}
	}
	for restart := range 3 {
		s.Close()
		e.Close()
		e, s = start(t, o)
		kept := 0
		for i := restart; i < len(at); i += 3 {
			rows, err := tryRun(s, "SUBSCRIBE (SELECT count(*), sum(a) FROM t) AS OF '"+at[i]+"' UP TO now()")
			if pgerr.Code(err) == "72000" && kept == 0 {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			kept++
			if got := strings.SplitN(rows[0], "|", 4)[3]; got != content[i] {
				t.Errorf("restart %d, AS OF %s: %s instead of %s", restart, at[i], got, content[i])
			}
		}
		if kept < 10 || kept > len(at)/3-10 {
			t.Errorf("restart %d: %d of %d times are remembered", restart, kept, len(at))
		}
		for _, sql := range []string{"SUBSCRIBE u AS OF '" + at[len(at)-1] + "' UP TO now()", "SUBSCRIBE push AS OF '" + early + "' UP TO now()"} {
			if _, err := tryRun(s, sql); pgerr.Code(err) != "72000" {
				t.Errorf("restart %d: %s: %v", restart, sql, err)
			}
		}
	}
	run(t, s, "ALTER TABLE t ADD COLUMN b int DEFAULT 7")
	s.Close()
	e.Close()
	e, s = start(t, o)
	if _, err := tryRun(s, "SUBSCRIBE t AS OF '"+at[len(at)-1]+"' UP TO now()"); pgerr.Code(err) != "72000" {
		t.Errorf("across a change of the columns: %v", err)
	}
	s.Close()
	e.Close()
}
