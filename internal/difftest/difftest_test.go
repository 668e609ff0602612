package difftest

import (
	"context"
	"flag"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"streamsql/internal/pgtest"
)

var (
	queries = flag.Int("difftest.queries", 2000, "how many random queries are compared with PostgreSQL (make soak: 100000)")
	seed    = flag.Uint64("difftest.seed", 1, "the seed of the first world; 0 takes the time")
	most    = flag.Int("difftest.most", 10, "after how many differences to stop")
)

// perWorld is how many queries run over one schema.
const perWorld = 40

func TestQueries(t *testing.T) {
	server, err := pgtest.Start()
	if err != nil {
		t.Skipf("not compared with PostgreSQL 15: %v", err)
	}
	t.Cleanup(server.Stop)
	first := *seed
	if first == 0 {
		first = uint64(time.Now().UnixNano() / 1e6 % 1e9)
	}
	t.Logf("-difftest.seed %d", first)
	var mu sync.Mutex
	var found, ran, failed int
	next := first
	worlds := (*queries + perWorld - 1) / perWorld
	shown := map[string]bool{}
	var workers sync.WaitGroup
	for k := range min(runtime.GOMAXPROCS(0), 4) {
		c, err := pgconn.Connect(context.Background(), server.URL("postgres"))
		if err != nil {
			t.Fatal(err)
		}
		db := fmt.Sprintf("worker%d", k)
		if _, err := c.Exec(context.Background(), "CREATE DATABASE "+db).ReadAll(); err != nil {
			t.Fatal(err)
		}
		c.Close(context.Background())
		if c, err = pgconn.Connect(context.Background(), server.URL(db)); err != nil {
			t.Fatal(err)
		}
		sigs, err := loadSignatures(c)
		if err != nil {
			t.Fatal(err)
		}
		if k == 0 {
			t.Logf("%d signatures", len(sigs.all))
		}
		workers.Add(1)
		go func() {
			defer workers.Done()
			defer c.Close(context.Background())
			for {
				mu.Lock()
				s := next
				next++
				stop := s >= first+uint64(worlds) || found >= *most
				mu.Unlock()
				if stop {
					return
				}
				w, err := newWorld(s, c, sigs)
				if err != nil {
					t.Errorf("-difftest.seed %d: %v", s, err)
					return
				}
				for i := range perWorld {
					var due *signature
					if i%2 == 0 {
						due = sigs.all[(int(s)*perWorld/2+i/2)%len(sigs.all)]
					}
					q := w.g.statement(due)
					d, them, err := w.check(q)
					mu.Lock()
					ran++
					if them.code != "" {
						failed++
					}
					if err != nil {
						t.Errorf("-difftest.seed %d: %v\n  %s", s, err, q.root)
						found = *most
					}
					if d != nil && !shown[d.kind+d.sql] {
						shown[d.kind+d.sql] = true
						found++
						t.Errorf("-difftest.seed %d -difftest.queries %d: %s\n  %s", s, perWorld, d.text, d.sql)
					}
					mu.Unlock()
				}
				w.close()
			}
		}()
	}
	workers.Wait()
	t.Logf("%d queries, of which %d failed on both sides", ran, failed)
}
