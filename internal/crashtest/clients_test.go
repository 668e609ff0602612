package crashtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	_ "github.com/lib/pq" // one of the clients is another driver
)

// work lets clients write, files grow and definitions change until ctx is done or the server is gone.
func (w *world) work(ctx context.Context, s *server) {
	var wg sync.WaitGroup
	run := func(f func(rng *rand.Rand)) {
		rng := rand.New(rand.NewPCG(w.rng.Uint64(), w.rng.Uint64()))
		wg.Add(1)
		go func() {
			defer wg.Done()
			f(rng)
		}()
	}
	for _, c := range w.ws {
		run(func(rng *rand.Rand) { c.work(ctx, s, rng) })
	}
	for _, f := range []*feed{w.events, w.clicks} {
		run(func(rng *rand.Rand) {
			for ctx.Err() == nil {
				if err := f.grow(rng.IntN(40), rng.IntN(4) == 0); err != nil {
					panic(err) // of the test's own files
				}
				pause(ctx, time.Duration(rng.IntN(20))*time.Millisecond)
			}
		})
	}
	run(func(rng *rand.Rand) { w.ddl.work(ctx, s, rng) })
	for _, f := range w.followers {
		run(func(*rand.Rand) { w.follow(ctx, s, f) })
	}
	wg.Wait()
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// session is what a driver gives.
type session interface {
	exec(ctx context.Context, sql string) error
	close()
}

type pqSession struct{ c *sql.DB }

func (s pqSession) exec(ctx context.Context, sql string) error {
	_, err := s.c.ExecContext(ctx, sql)
	return err
}
func (s pqSession) close() { s.c.Close() }

type pgxSession struct {
	run func(ctx context.Context, sql string) error
	end func()
}

func (s pgxSession) exec(ctx context.Context, sql string) error { return s.run(ctx, sql) }
func (s pgxSession) close()                                     { s.end() }

func (c *writer) open(ctx context.Context, s *server) (session, error) {
	if c.n == 0 {
		db, err := sql.Open("postgres", s.url())
		if err != nil {
			return nil, err
		}
		db.SetMaxOpenConns(1)
		return pqSession{db}, nil
	}
	x, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	return pgxSession{func(ctx context.Context, sql string) error { _, err := x.Exec(ctx, sql); return err },
		func() { x.Close(context.Background()) }}, nil
}

// refused reports whether the server said that a statement had no effect.
func refused(err error) bool {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code == "40001"
	}
	return strings.Contains(err.Error(), "could not serialize")
}

// work writes until the server is gone. Statements are sent without the context of the cycle: a client that goes away is another test.
func (c *writer) work(ctx context.Context, s *server, rng *rand.Rand) {
	bg := context.Background()
	x, err := c.open(bg, s)
	if err != nil {
		return
	}
	defer x.close()
	for ctx.Err() == nil {
		switch rng.IntN(4) {
		case 0, 1:
			n := 1 + rng.IntN(5)
			var rows []string
			for i := range n {
				seq := c.acked + 1 + i
				rows = append(rows, fmt.Sprintf("(%d, %d, %d, %d)", c.n*1_000_000_000+seq, c.n, seq, seq%13))
			}
			c.maybe = n
			if err = x.exec(bg, "INSERT INTO ledger VALUES "+strings.Join(rows, ", ")); err == nil {
				c.acked, c.maybe = c.acked+n, 0
			}
		case 2:
			from, to, amount := rng.IntN(accounts), rng.IntN(accounts), 1+rng.IntN(50)
			err = x.exec(bg, fmt.Sprintf(`BEGIN; UPDATE accounts SET balance = balance - %d WHERE id = %d; UPDATE accounts SET balance = balance + %d WHERE id = %d;
				INSERT INTO transfers VALUES (%d, %d, %d, %d, %d); COMMIT`, amount, from, amount, to, c.n, c.transfers+1, from, to, amount))
			switch {
			case err == nil:
				c.transfers++
			case refused(err):
				if err = x.exec(bg, "ROLLBACK"); err == nil {
					continue
				}
			}
		case 3:
			c.other = fmt.Sprintf("%d-%d", c.n, rng.Uint32())
			if err = x.exec(bg, fmt.Sprintf("UPDATE dims SET name = '%s' WHERE k = %d", c.other, c.n)); err == nil {
				c.name, c.other = c.other, ""
			}
		}
		if err != nil {
			return
		}
		pause(ctx, time.Duration(rng.IntN(5))*time.Millisecond)
	}
}

// definitions creates, replaces and drops views, tables and sinks.
type definitions struct {
	world *world
	known map[string]*definition
	next  int
}

// definition is what is known of an object.
type definition struct {
	kind  string
	query string // of the object as it was acknowledged; "": not there
	maybe string // what it may be instead; "-": not there; "": nothing else
}

func (d *definitions) work(ctx context.Context, s *server, rng *rand.Rand) {
	bg := context.Background()
	c, err := s.connect(bg)
	if err != nil {
		return
	}
	defer c.Close(bg)
	for ctx.Err() == nil {
		name, old := d.pick(rng)
		query := fmt.Sprintf("SELECT client, count(*) AS n, max(amount) AS m FROM ledger WHERE seq %% %d = 0 GROUP BY client", 1+rng.IntN(9))
		var sql string
		switch {
		case old == nil:
			d.next++
			kind := []string{"MATERIALIZED VIEW", "MATERIALIZED VIEW", "VIEW", "TABLE"}[rng.IntN(4)]
			name, old = fmt.Sprintf("made_%d", d.next), &definition{kind: kind}
			d.known[name] = old
			if sql = "CREATE " + kind + " " + name + " AS " + query; kind == "TABLE" {
				query = "t"
				sql = "CREATE TABLE " + name + " (a int PRIMARY KEY, b text)"
			}
			old.maybe = query
		case rng.IntN(2) == 0 && old.kind != "TABLE":
			sql, old.maybe = "CREATE OR REPLACE "+old.kind+" "+name+" AS "+query, query
		default:
			sql, old.maybe = "DROP "+old.kind+" "+name, "-"
		}
		if _, err := c.Exec(bg, sql); err != nil {
			return
		}
		if old.query, old.maybe = old.maybe, ""; old.query == "-" {
			delete(d.known, name)
		}
		pause(ctx, time.Duration(rng.IntN(60))*time.Millisecond)
	}
}

// pick gives an object that is there, or nil to make one.
func (d *definitions) pick(rng *rand.Rand) (string, *definition) {
	if len(d.known) < 3 || len(d.known) < 8 && rng.IntN(2) == 0 {
		return "", nil
	}
	n := rng.IntN(len(d.known))
	for name, x := range d.known { // any order will do
		if n--; n < 0 {
			return name, x
		}
	}
	return "", nil
}
