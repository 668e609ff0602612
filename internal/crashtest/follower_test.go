package crashtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// follower is a client that keeps a copy of a query's result by SUBSCRIBE. It applies the rows below a progress row, keeps that row's _ts, and goes on
// from there on the next server.
type follower struct {
	query string

	mu      sync.Mutex
	content map[string]int // as of token
	token   time.Time      // zero: there is none
	pending []followed
	told    int // progress rows
	resumed int // how often it went on
}

type followed struct {
	ts   time.Time
	row  string
	diff int
}

// followed queries are of every kind of relation, and one of a state of its own.
var followedQueries = []string{
	"SELECT * FROM ledger", "SELECT * FROM accounts", "SELECT * FROM by_client", "SELECT * FROM moved", "SELECT * FROM windows", "SELECT * FROM named",
	"SELECT * FROM top", "SELECT * FROM tags", "SELECT * FROM sessions", "SELECT * FROM steps", "SELECT d.name, count(*) AS n, sum(b.s) AS s FROM by_key AS b JOIN dims AS d ON d.k = b.k GROUP BY d.name",
}

// token text has the microseconds that a time of the server has.
func tokenText(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.000000+00") }

func (f *follower) text() string { return "(SELECT x::text FROM (" + f.query + ") AS x)" }

// follow goes on until ctx is done or the server is gone. An error that the server has answered with is given back.
func (f *follower) follow(ctx context.Context, s *server) error {
	c, err := s.connect(ctx)
	if err != nil {
		return nil
	}
	defer c.Close(context.Background())
	sql := "SUBSCRIBE " + f.text() + " WITH (PROGRESS = true)"
	f.mu.Lock()
	f.pending = nil
	if !f.token.IsZero() {
		sql = "SUBSCRIBE " + f.text() + " WITH (PROGRESS = true, SNAPSHOT = false) AS OF '" + tokenText(f.token) + "'"
		f.resumed++
	}
	f.mu.Unlock()
	rows, err := c.Query(ctx, sql)
	if err != nil {
		return answered(err)
	}
	defer rows.Close()
	for rows.Next() {
		var ts time.Time
		var progressed bool
		var diff *int64
		var row *string
		if err := rows.Scan(&ts, &progressed, &diff, &row); err != nil {
			return err
		}
		f.take(ts, progressed, diff, row)
	}
	if ctx.Err() != nil {
		return nil
	}
	return answered(rows.Err())
}

func (f *follower) take(ts time.Time, progressed bool, diff *int64, row *string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !progressed {
		f.pending = append(f.pending, followed{ts, *row, int(*diff)})
		return
	}
	if f.content == nil {
		f.content = map[string]int{}
	}
	left := f.pending[:0]
	for _, p := range f.pending {
		if !p.ts.Before(ts) {
			left = append(left, p)
		} else if f.content[p.row] += p.diff; f.content[p.row] == 0 {
			delete(f.content, p.row)
		}
	}
	f.pending, f.token = left, ts
	f.told++
}

func (f *follower) rows() (out []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for row, n := range f.content {
		if n < 0 {
			out = append(out, fmt.Sprintf("%d times %s", n, row))
		}
		for range n {
			out = append(out, row)
		}
	}
	slices.Sort(out)
	return out
}

// checkFollowers checks that the server gives as the content at each token what the follower has.
func (w *world) checkFollowers(k *checker) {
	for _, f := range w.followers {
		if f.token.IsZero() {
			continue
		}
		var want []string
		for _, r := range k.rows("SUBSCRIBE " + f.text() + " AS OF '" + tokenText(f.token) + "' UP TO '" + tokenText(f.token.Add(time.Microsecond)) + "'") {
			cells := strings.SplitN(r, "|", 4)
			if cells[2] != "1" {
				w.violation("the content of %s begins with %s", f.query, r)
			}
			want = append(want, cells[3])
		}
		if k.err != nil {
			return
		}
		slices.Sort(want)
		if got := f.rows(); !slices.Equal(got, want) {
			w.violation("who follows %s has at %s %s; the server had %s", f.query, tokenText(f.token), differences(got, want), differences(want, got))
		}
	}
}

// followersCatchUp waits until every follower has what its query gives; nobody writes.
func (w *world) followersCatchUp(s *server, k *checker) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	defer func() {
		cancel()
		wg.Wait()
	}()
	for _, f := range w.followers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			w.follow(ctx, s, f)
		}()
	}
	for _, f := range w.followers {
		var got, want []string
		for end := time.Now().Add(settlePatience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			want = k.rows("SELECT x::text FROM (" + f.query + ") AS x")
			slices.Sort(want)
			if got = f.rows(); k.err != nil || slices.Equal(got, want) {
				break
			}
		}
		if k.err == nil && !slices.Equal(got, want) {
			w.violation("who follows %s has %s, and not %s", f.query, differences(got, want), differences(want, got))
		}
	}
}

// follow lets a follower go on and notes what the server refuses.
func (w *world) follow(ctx context.Context, s *server, f *follower) {
	if err := f.follow(ctx, s); err != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.refused = append(w.refused, fmt.Sprintf("following %s from %s: %v", f.query, tokenText(f.token), err))
	}
}

// differences tells which rows of a are not in b: the first few.
func differences(a, b []string) string {
	n := map[string]int{}
	for _, row := range b {
		n[row]++
	}
	var out []string
	for _, row := range a {
		if n[row]--; n[row] < 0 {
			out = append(out, row)
		}
	}
	return fmt.Sprintf("%d rows more: %q", len(out), out[:min(len(out), 5)])
}

// answered gives the errors that a server has sent, not those of a connection that is gone.
func answered(err error) error {
	var e *pgconn.PgError
	if errors.As(err, &e) && e.Code != "57P01" {
		return e
	}
	return nil
}
