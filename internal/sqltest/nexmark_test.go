package sqltest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"streamsql/engine"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
)

const (
	nexmarkEvents = 100_000
	nexmarkRate   = 1000 // events a second of event time, where a file does not say otherwise
)

// nexmarkDir has the queries, which the benchmarks run too.
var nexmarkDir = filepath.Join("..", "bench", "nexmark")

var nexmarkTables = []string{"person", "auction", "bid"}

// nexmarkQuery is a file of internal/bench/nexmark.
type nexmarkQuery struct {
	name, sql, oracle string
	closes, view      bool
	rate              int
}

// setting finds the comments that say something to the test.
var setting = regexp.MustCompile(`(?m)^-- (forms|event_rate): (.*)$`)

func nexmarkQueries(t *testing.T) (list []nexmarkQuery) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(nexmarkDir, "q*.sql"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		q := nexmarkQuery{name: strings.TrimSuffix(filepath.Base(f), ".sql"), rate: nexmarkRate, view: true}
		sql, oracle, other := strings.Cut(string(text), "\n-- postgres\n")
		q.sql, q.oracle = strings.TrimSpace(sql), strings.TrimSpace(oracle)
		if !other {
			q.oracle = q.sql
		}
		for _, m := range setting.FindAllStringSubmatch(sql, -1) {
			switch m[1] {
			case "forms":
				forms := strings.Fields(m[2])
				q.closes, q.view = slices.Contains(forms, "close"), slices.Contains(forms, "view")
			case "event_rate":
				if q.rate, err = strconv.Atoi(m[2]); err != nil {
					t.Fatalf("%s: %v", f, err)
				}
			}
		}
		list = append(list, q)
	}
	slices.SortFunc(list, func(a, b nexmarkQuery) int {
		x, _ := strconv.Atoi(a.name[1:])
		y, _ := strconv.Atoi(b.name[1:])
		return x - y
	})
	for i := range 24 {
		if i >= len(list) || list[i].name != fmt.Sprint("q", i) {
			t.Fatalf("q%d.sql is missing", i)
		}
	}
	return list
}

// nexmarkAt is an engine, and PostgreSQL where there is one, with the events at some rate.
type nexmarkAt struct {
	ours *conn
	pg   *pgconn.PgConn // nil: there is none
}

// openNexmark declares the sources and gives PostgreSQL the rows that they generate.
func openNexmark(t *testing.T, rate int, pg *pgconn.PgConn) *nexmarkAt {
	t.Helper()
	ctx := context.Background()
	e, err := engine.Open(engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	s, err := e.NewSession(engine.SessionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	n := &nexmarkAt{ours: &conn{s}, pg: pg}
	text, err := os.ReadFile(filepath.Join(nexmarkDir, "schema.sql"))
	if err != nil {
		t.Fatal(err)
	}
	schema := strings.NewReplacer("$EVENTS", fmt.Sprint(nexmarkEvents), "$EVENT_RATE", fmt.Sprint(rate)).Replace(string(text))
	mine, theirs, _ := strings.Cut(schema, "\n-- postgres\n")
	if _, err := n.ours.exec(ctx, mine, nil); err != nil {
		t.Fatalf("schema.sql: %s", describe(err))
	}
	if pg == nil {
		return n
	}
	name := fmt.Sprint("rate", rate)
	if _, err := pg.Exec(ctx, "CREATE SCHEMA "+name+"; SET search_path = "+name+"; "+theirs).ReadAll(); err != nil {
		t.Fatalf("schema.sql: PostgreSQL: %v", err)
	}
	for _, table := range nexmarkTables {
		if err := copyToPostgres(ctx, n.ours, pg, table); err != nil {
			t.Fatalf("%s: %v", table, err)
		}
	}
	if _, err := pg.Exec(ctx, "ANALYZE").ReadAll(); err != nil {
		t.Fatal(err)
	}
	return n
}

// copyToPostgres copies the rows of a bounded source. Its texts hold nothing that COPY would have to be told of.
func copyToPostgres(ctx context.Context, from *conn, pg *pgconn.PgConn, table string) error {
	stmts, err := from.s.Parse("SELECT * FROM " + table)
	if err != nil {
		return err
	}
	p, err := from.s.Execute(ctx, stmts[0])
	if err != nil {
		return err
	}
	defer p.Close()
	var buf []byte
	for done := false; !done; {
		b, end, err := p.Fetch(ctx, 0)
		if err != nil {
			return err
		}
		if done = end; b == nil {
			continue
		}
		views := b.Views(nil)
		for i := range b.N {
			for c := range views {
				if c > 0 {
					buf = append(buf, '\t')
				}
				buf = types.AppendText(buf, from.s.Env(), b.Schema.Fields[c].Type, views[c].Datum(i))
			}
			buf = append(buf, '\n')
		}
		b.Release()
	}
	_, err = pg.CopyFrom(ctx, strings.NewReader(string(buf)), "COPY "+table+" FROM STDIN")
	return err
}

// TestNexmark answers every query of internal/bench/nexmark in each of its forms and compares the answers with
// PostgreSQL's, and with one another where there is no PostgreSQL.
func TestNexmark(t *testing.T) {
	var pg *pgconn.PgConn
	if serverOnce.Do(startServer); serverErr == nil {
		pg = theServer.database(t)
	} else {
		t.Logf("the forms are compared with one another only, not with PostgreSQL 15: %v", serverErr)
	}
	opened := map[int]*nexmarkAt{}
	for _, q := range nexmarkQueries(t) {
		if opened[q.rate] == nil {
			opened[q.rate] = openNexmark(t, q.rate, pg)
		}
		t.Run(q.name, func(t *testing.T) { opened[q.rate].check(t, q) })
	}
}

func (n *nexmarkAt) check(t *testing.T, q nexmarkQuery) {
	ctx, cancel := context.WithTimeout(context.Background(), statementTimeout)
	defer cancel()
	took := ""
	ask := func(form, emit string) []string {
		start := time.Now()
		r, err := n.ours.exec(ctx, q.sql+emit, nil)
		if err != nil {
			t.Fatalf("%s: error %s: %s", form, pgerr.Code(err), describe(err))
		}
		took += fmt.Sprintf(", %s %v", form, time.Since(start).Round(time.Millisecond))
		return r.rows
	}
	snapshot := sorted(ask("snapshot", ""))
	if len(snapshot) == 0 {
		t.Fatal("the answer is empty: nothing is tested")
	}
	want := snapshot
	if n.pg != nil {
		start := time.Now()
		theirs, _, _, err := pgRows(n.pg, fmt.Sprintf("SET search_path = rate%d; %s", q.rate, q.oracle))
		if err != nil {
			t.Fatalf("PostgreSQL: %v", err)
		}
		took += fmt.Sprintf(", PostgreSQL %v", time.Since(start).Round(time.Millisecond))
		want = sorted(theirs)
		if err := compare(snapshot, want); err != nil {
			t.Errorf("the snapshot: %v", err)
		}
	}
	folded, err := fold(ask("EMIT CHANGES", "\nEMIT CHANGES"))
	if err == nil {
		err = compare(folded, want)
	}
	if err != nil {
		t.Errorf("EMIT CHANGES: %v", err)
	}
	if q.closes {
		if err := compare(sorted(ask("EMIT ON WINDOW CLOSE", "\nEMIT ON WINDOW CLOSE")), want); err != nil {
			t.Errorf("EMIT ON WINDOW CLOSE: %v", err)
		}
	}
	if q.view {
		if err := n.view(ctx, q, want); err != nil {
			t.Errorf("as a materialized view: %v", err)
		}
	}
	t.Logf("%d rows%s", len(want), took)
}

// view keeps the query as a materialized view until it has read all input and compares what it holds.
func (n *nexmarkAt) view(ctx context.Context, q nexmarkQuery, want []string) error {
	if _, err := n.ours.exec(ctx, "CREATE MATERIALIZED VIEW "+q.name+" AS "+q.sql, nil); err != nil {
		return fmt.Errorf("error %s: %s", pgerr.Code(err), describe(err))
	}
	defer n.ours.exec(ctx, "DROP MATERIALIZED VIEW "+q.name, nil)
	var err error
	for ctx.Err() == nil {
		var r result
		if r, err = n.ours.exec(ctx, "SELECT count(*) FROM "+q.name, nil); err != nil {
			return err
		}
		if r.rows[0] == fmt.Sprint(len(want)) { // perhaps it is complete
			if r, err = n.ours.exec(ctx, "SELECT * FROM "+q.name, nil); err != nil {
				return err
			}
			if err = compare(sorted(r.rows), want); err == nil {
				return nil
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Errorf("not complete after %v: %v", statementTimeout, err)
}
