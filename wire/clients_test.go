package wire

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	_ "github.com/lib/pq"

	"streamsql/engine"
)

// serveEngine serves an engine for the time of a test.
func serveEngine(t testing.TB) string {
	t.Helper()
	e, err := engine.Open(engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return serveBackend(t, engineBackend{e}, Options{})
}

func openPgx(t testing.TB, addr string, mode pgx.QueryExecMode) *pgx.Conn {
	t.Helper()
	cfg, err := pgx.ParseConfig("postgres://tester@" + addr + "/db?sslmode=prefer")
	if err != nil {
		t.Fatal(err)
	}
	cfg.DefaultQueryExecMode = mode
	c, err := pgx.ConnectConfig(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

// TestPgx runs the everyday work of a pgx program in each of its query modes.
func TestPgx(t *testing.T) {
	addr := serveEngine(t)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol} {
		c := openPgx(t, addr, mode)
		table := fmt.Sprintf("t%d", mode)
		exec := func(sql string, args ...any) string {
			t.Helper()
			tag, err := c.Exec(ctx, sql, args...)
			if err != nil {
				t.Errorf("%v: %s: %v", mode, sql, err)
			}
			return tag.String()
		}
		exec("CREATE TABLE " + table + " (id bigint PRIMARY KEY, name text, at timestamp, price numeric)")
		if tag := exec("INSERT INTO "+table+" VALUES ($1, $2, $3, 1.25), (2, NULL, NULL, NULL)", int64(1), "one", time.Date(2020, 2, 29, 1, 2, 3, 4000, time.UTC)); tag != "INSERT 0 2" {
			t.Errorf("%v: tag %q", mode, tag)
		}
		var name *string
		var at time.Time
		var price pgtype.Numeric
		if err := c.QueryRow(ctx, "SELECT name, at, price FROM "+table+" WHERE id = $1", int64(1)).Scan(&name, &at, &price); err != nil {
			t.Fatalf("%v: %v", mode, err)
		}
		if f, _ := price.Float64Value(); *name != "one" || !at.Equal(time.Date(2020, 2, 29, 1, 2, 3, 4000, time.UTC)) || f.Float64 != 1.25 {
			t.Errorf("%v: got %v %v %v", mode, *name, at, price)
		}
		// An error names its place and leaves the connection usable.
		_, err := c.Exec(ctx, "SELECT nope FROM "+table)
		var pe *pgconn.PgError
		if !errors.As(err, &pe) || pe.Code != "42703" || pe.Position != 8 {
			t.Errorf("%v: %v", mode, err)
		}
		tx, err := c.Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(ctx, "DELETE FROM "+table); err != nil {
			t.Error(err)
		}
		if err := tx.Rollback(ctx); err != nil {
			t.Error(err)
		}
		var n int64
		if err := c.QueryRow(ctx, "SELECT count(*) FROM "+table).Scan(&n); err != nil || n != 2 {
			t.Errorf("%v: %d rows after ROLLBACK, %v", mode, n, err)
		}
	}
	c := openPgx(t, addr, pgx.QueryExecModeCacheStatement)
	if _, err := c.Exec(ctx, "CREATE TABLE c (a int, b text)"); err != nil {
		t.Fatal(err)
	}
	if n, err := c.CopyFrom(ctx, pgx.Identifier{"c"}, []string{"a", "b"}, pgx.CopyFromRows([][]any{{int32(1), "x"}, {int32(2), nil}})); n != 2 || err != nil {
		t.Errorf("CopyFrom: %d, %v", n, err)
	}
	var out strings.Builder
	if _, err := c.PgConn().CopyTo(ctx, &out, "COPY (SELECT a, b FROM c ORDER BY a) TO STDOUT (FORMAT csv, HEADER)"); err != nil || out.String() != "a,b\n1,x\n2,\n" {
		t.Errorf("CopyTo: %q, %v", out.String(), err)
	}
	var b pgx.Batch
	b.Queue("INSERT INTO c VALUES ($1, 'y')", 3)
	b.Queue("SELECT count(*) FROM c")
	r := c.SendBatch(ctx, &b)
	if _, err := r.Exec(); err != nil {
		t.Error(err)
	}
	var n int
	if err := r.QueryRow().Scan(&n); err != nil || n != 3 {
		t.Errorf("batch: %d, %v", n, err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// TestBinaryTypes reads each type in binary and in text and expects the same value.
func TestBinaryTypes(t *testing.T) {
	addr := serveEngine(t)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	exprs := []string{"true", "1::int2", "-2::int4", "3::int8", "1.5::float4", "-2.5::float8", "123456.789::numeric", "0.00001::numeric", "-1e20::numeric",
		"'text'", `'\xdead'::bytea`, "date '2020-02-29'", "date '1999-12-31'", "time '01:02:03.5'", "timestamp '1999-12-31 23:59:59.999999'",
		"timestamptz '2020-01-01 00:00:00+02'", "interval '1 mon 2 days 03:04:05'", "'123e4567-e89b-12d3-a456-426614174000'::uuid", `'{"a": 1}'::jsonb`, "ARRAY[1,NULL,3]", "ARRAY['a','b c']"}
	sql := "SELECT " + strings.Join(exprs, ", ")
	text, bin := openPgx(t, addr, pgx.QueryExecModeSimpleProtocol), openPgx(t, addr, pgx.QueryExecModeCacheStatement)
	values := func(c *pgx.Conn) []any {
		rows, err := c.Query(ctx, sql)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		if !rows.Next() {
			t.Fatal(rows.Err())
		}
		v, err := rows.Values()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	a, b := values(text), values(bin)
	for i := range exprs {
		if x, ok := a[i].(time.Time); ok {
			if !x.Equal(b[i].(time.Time)) {
				t.Errorf("%s: text %v, binary %v", exprs[i], a[i], b[i])
			}
			continue
		}
		if x, ok := a[i].(pgtype.Numeric); ok { // scale and digits may be split differently
			p, _ := x.Value()
			q, _ := b[i].(pgtype.Numeric).Value()
			if p != q {
				t.Errorf("%s: text %v, binary %v", exprs[i], p, q)
			}
			continue
		}
		if !reflect.DeepEqual(a[i], b[i]) {
			t.Errorf("%s: text %#v, binary %#v", exprs[i], a[i], b[i])
		}
	}
}

const demoSource = "CREATE SOURCE bid WITH (connector = 'nexmark', table = 'bid', rate = '1000')"

// TestStreams reads continuous queries in the ways that drivers have, ends each, and goes on with the connection.
func TestStreams(t *testing.T) {
	addr := serveEngine(t)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	setup := openPgx(t, addr, pgx.QueryExecModeSimpleProtocol)
	if _, err := setup.Exec(ctx, demoSource); err != nil {
		t.Fatal(err)
	}
	const stream = "SELECT auction, price FROM bid EMIT CHANGES"
	t.Run("pgx", func(t *testing.T) {
		for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeSimpleProtocol} {
			c := openPgx(t, addr, mode)
			qctx, stop := context.WithCancel(ctx)
			start := time.Now()
			rows, err := c.Query(qctx, stream)
			if err != nil {
				t.Fatal(err)
			}
			for range 5 {
				if !rows.Next() {
					t.Fatal(rows.Err())
				}
			}
			if d := time.Since(start); d > time.Second {
				t.Errorf("%v: five rows after %v", mode, d)
			}
			stop()
			rows.Close()
		}
	})
	t.Run("lib/pq", func(t *testing.T) {
		db, err := sql.Open("postgres", "postgres://tester@"+addr+"/db?sslmode=disable")
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		db.SetMaxOpenConns(1)
		qctx, stop := context.WithCancel(ctx)
		rows, err := db.QueryContext(qctx, stream)
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			if !rows.Next() {
				t.Fatal(rows.Err())
			}
		}
		stop()
		rows.Close()
		var one int
		if err := db.QueryRowContext(ctx, "SELECT $1::int + 1", 41).Scan(&one); err != nil || one != 42 {
			t.Errorf("after the cancel: %d, %v", one, err)
		}
	})
	t.Run("cursor", func(t *testing.T) {
		c := openPgx(t, addr, pgx.QueryExecModeSimpleProtocol)
		tx, err := c.Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(ctx, "DECLARE cur NO SCROLL CURSOR FOR "+stream); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			rows, err := tx.Query(ctx, "FETCH FORWARD 4 FROM cur")
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for rows.Next() {
				n++
			}
			if rows.Err() != nil || n != 4 {
				t.Errorf("FETCH 4: %d rows, %v", n, rows.Err())
			}
		}
		if err := tx.Rollback(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Run("copy", func(t *testing.T) {
		c := openPgx(t, addr, pgx.QueryExecModeSimpleProtocol)
		w := &lineLimit{limit: 5}
		_, err := c.PgConn().CopyTo(ctx, w, "COPY ("+stream+") TO STDOUT")
		if err == nil || w.lines < 5 {
			t.Errorf("COPY: %d lines, %v", w.lines, err)
		}
	})
	t.Run("cancel", func(t *testing.T) {
		c := connect(t, addr)
		c.send(query(stream))
		c.until("row")
		start := time.Now()
		cancelRequest(t, addr, c.pid, c.key)
		got := c.until("ready")
		if d := time.Since(start); d > 500*time.Millisecond {
			t.Errorf("cancelled after %v", d)
		}
		if s := got[len(got)-2]; s != "ERROR 57014 canceling statement due to user request" {
			t.Error(s)
		}
		c.query("select 1 as n", "columns n:23:4:0", "row 1", "done SELECT 1", "ready I")
	})
}

// lineLimit fails after some lines: a reader that has had enough.
type lineLimit struct{ lines, limit int }

func (l *lineLimit) Write(b []byte) (int, error) {
	l.lines += strings.Count(string(b), "\n")
	if l.lines >= l.limit {
		return 0, errors.New("enough")
	}
	return len(b), nil
}

// TestDescribeCursor describes and executes a SQL cursor as if it were a portal, as psycopg3 does.
func TestDescribeCursor(t *testing.T) {
	c := connect(t, serveEngine(t))
	c.query("begin", "done BEGIN", "ready T")
	c.query("declare nc cursor for select g as n from generate_series(1, 3) g", "done DECLARE CURSOR", "ready T")
	c.send(describePortal("nc"), syncMessage)
	c.expect("columns n:23:4:0", "ready T")
	c.send(executePortal("nc", 2), executePortal("nc", 0), syncMessage)
	got := strings.Join(c.until("ready"), ", ")
	if !strings.HasPrefix(got, "row 1, row 2, PortalSuspended, row 3, done ") {
		t.Error(got)
	}
	c.query("rollback", "done ROLLBACK", "ready I")
}
