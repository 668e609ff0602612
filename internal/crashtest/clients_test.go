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
	run(func(rng *rand.Rand) { w.alter.work(ctx, s, rng) })
	run(func(rng *rand.Rand) { w.pause.work(ctx, s, rng) })
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

// refused reports whether the server said that a statement had no effect because of another one.
func refused(err error) bool { return saidBy(err, "40001", "could not serialize") }

// saidBy reports whether err is an error of the server with a code, whose message has a part where the driver does not tell the code.
func saidBy(err error, code, part string) bool {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code == code
	}
	return err != nil && strings.Contains(err.Error(), part)
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
		switch rng.IntN(6) {
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
		case 4:
			err = x.exec(bg, fmt.Sprintf("INSERT INTO counters VALUES (%d, 1, '%d-1') ON CONFLICT (client) DO UPDATE SET n = counters.n + 1, tag = '%d-' || counters.n + 1", c.n, c.n, c.n))
			if err == nil {
				c.upserts++
			} else if refused(err) {
				continue
			}
		case 5: // a tag that is there: no row may come of it
			err = x.exec(bg, fmt.Sprintf("INSERT INTO counters SELECT %d, 0, tag FROM counters WHERE client = %d", 1000+c.n, c.n))
			if saidBy(err, "23505", "duplicate key") || refused(err) {
				continue
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

// alterer adds a column to table shape and drops it, and inserts numbered rows.
type alterer struct {
	rows, maybe  int
	wide         bool // there is a column b
	maybeAltered bool
	times        int // that it was altered
}

func (a *alterer) work(ctx context.Context, s *server, rng *rand.Rand) {
	bg := context.Background()
	c, err := s.connect(bg)
	if err != nil {
		return
	}
	defer c.Close(bg)
	for ctx.Err() == nil {
		if rng.IntN(4) == 0 {
			sql := "ALTER TABLE shape ADD COLUMN b int NOT NULL DEFAULT 7"
			if a.wide {
				sql = "ALTER TABLE shape DROP COLUMN b"
			}
			a.maybeAltered = true
			if _, err := c.Exec(bg, sql); err != nil {
				return
			}
			a.wide, a.maybeAltered = !a.wide, false
			a.times++
		} else {
			n := 1 + rng.IntN(3)
			a.maybe = n
			if _, err := c.Exec(bg, fmt.Sprintf("INSERT INTO shape (id, a) SELECT n, CASE WHEN n %% 2 = 0 THEN 'even' END FROM generate_series(%d, %d) AS n", a.rows+1, a.rows+n)); err != nil {
				return
			}
			a.rows, a.maybe = a.rows+n, 0
		}
		pause(ctx, time.Duration(rng.IntN(30))*time.Millisecond)
	}
}

// pauser pauses view pausable and lets it go on.
type pauser struct {
	paused, maybe bool
	times         int // that it was paused or went on
}

func (p *pauser) work(ctx context.Context, s *server, rng *rand.Rand) {
	bg := context.Background()
	c, err := s.connect(bg)
	if err != nil {
		return
	}
	defer c.Close(bg)
	for ctx.Err() == nil {
		p.maybe = true
		if _, err := c.Exec(bg, p.sql()); err != nil {
			return
		}
		p.paused, p.maybe = !p.paused, false
		p.times++
		pause(ctx, time.Duration(rng.IntN(200))*time.Millisecond)
	}
}

func (p *pauser) sql() string {
	if p.paused {
		return "RESUME pausable"
	}
	return "PAUSE pausable"
}
