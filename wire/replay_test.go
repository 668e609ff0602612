package wire_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"streamsql/engine"
	"streamsql/wire"
)

// replaySchema is what both servers hold before the statements of clients run.
const replaySchema = `
CREATE SCHEMA app;
CREATE TABLE app.customers (id bigint PRIMARY KEY, name varchar(80) NOT NULL, m text DEFAULT 'ok', created_at timestamptz, tags text[], extra jsonb, balance numeric(12,2) DEFAULT 0);
CREATE TABLE app.orders (id int PRIMARY KEY, customer_id bigint NOT NULL, qty int, ts timestamp, d date, tm time, iv interval, u uuid, b bytea, f4 real, f8 double precision, flag boolean, i2 smallint);
CREATE TABLE public.events (ts timestamptz NOT NULL, k text, v double precision);
CREATE VIEW public.v_events AS SELECT k, sum(v) AS s FROM public.events GROUP BY k;
CREATE MATERIALIZED VIEW public.mv_events AS SELECT k, avg(v) AS a FROM public.events GROUP BY k;
COMMENT ON TABLE app.customers IS 'customers';
COMMENT ON COLUMN app.customers.name IS 'the name';
INSERT INTO public.events SELECT timestamptz '2024-01-01 00:00:00Z' + n * interval '1 minute', 'k' || (n % 5), n / 7.0 FROM generate_series(1, 100) n;
INSERT INTO app.customers (id, name, tags, extra) SELECT n, 'c' || n, ARRAY['a', 'b'], '{"x": 1}' FROM generate_series(1, 10) n;
INSERT INTO app.orders (id, customer_id, qty, flag) SELECT n, 1 + n % 10, n, true FROM generate_series(1, 50) n;
`

// replayLevel is how many of the statements are answered like PostgreSQL's; raise it with what is made to work.
const replayLevel = 459

// TestReplay sends what real clients have sent to PostgreSQL 15, statement by statement, to it and to the engine. Where
// PostgreSQL has no error the engine must have none, and must describe the same result columns: names and type OIDs.
// STREAMSQL_POSTGRES_URL names a server to compare with; otherwise one is started for the time of the test.
func TestReplay(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	theirs := startPostgres(ctx, t)
	ours := startEngine(t)
	for _, url := range []string{theirs, ours} {
		c := dial(ctx, t, url)
		if _, err := c.Exec(ctx, replaySchema).ReadAll(); err != nil {
			t.Fatalf("%s: %v", url, err)
		}
		c.Close(ctx)
	}
	files, err := filepath.Glob("../sql/parser/testdata/clients/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatal("no statements", err)
	}
	good, all := 0, 0
	for _, f := range files {
		if filepath.Base(f) == "schema.sql" {
			continue
		}
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		pg, us := dial(ctx, t, theirs), dial(ctx, t, ours)
		ok, n := 0, 0
		for i, sql := range strings.Split("\n"+string(text), "\n----\n") {
			sql = strings.TrimSpace(sql)
			if sql == "" || skipReplay(sql) {
				continue
			}
			want := answer(ctx, pg, sql)
			start := time.Now()
			got := answer(ctx, us, sql)
			took := time.Since(start)
			if want.err != nil {
				continue
			}
			n++
			short := sql
			if len(short) > 3000 {
				short = short[:3000] + "..."
			}
			if took > 300*time.Millisecond {
				t.Logf("%s %d: takes %v\n%s", filepath.Base(f), i+1, took.Round(time.Millisecond), short)
			}
			switch {
			case got.err != nil:
				t.Logf("%s %d: %v\n%s", filepath.Base(f), i+1, got.err, short)
			case !slices.Equal(got.columns, want.columns):
				t.Logf("%s %d: columns\n got %v\nwant %v\n%s", filepath.Base(f), i+1, got.columns, want.columns, short)
			default:
				ok++
			}
		}
		t.Logf("%-20s %3d of %3d", filepath.Base(f), ok, n)
		good, all = good+ok, all+n
		pg.Close(ctx)
		us.Close(ctx)
	}
	t.Logf("%d of %d statements", good, all)
	if good < replayLevel {
		t.Errorf("%d statements are answered like PostgreSQL's, %d were before", good, replayLevel)
	}
}

// skipReplay tells the statements that mean something else to two servers: those that end sessions or wait for data.
func skipReplay(sql string) bool {
	s := strings.ToLower(sql)
	for _, w := range []string{"pg_terminate_backend", "pg_cancel_backend", "pg_sleep", "from stdin"} {
		if strings.Contains(s, w) {
			return true
		}
	}
	return false
}

type replayAnswer struct {
	columns []string
	err     error
}

// answer describes and, if it has no parameters, runs a statement.
func answer(ctx context.Context, c *pgconn.PgConn, sql string) (a replayAnswer) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if c.IsClosed() {
		a.err = errors.New("the connection is closed")
		return a
	}
	d, err := c.Prepare(ctx, "", sql, nil)
	if err != nil {
		var pe *pgconn.PgError
		if errors.As(err, &pe) && pe.Code == "42601" && strings.Contains(pe.Message, "multiple commands") {
			_, a.err = c.Exec(ctx, sql).ReadAll()
			return a
		}
		a.err = err
		return a
	}
	for _, f := range d.Fields {
		a.columns = append(a.columns, f.Name+":"+strconv.Itoa(int(f.DataTypeOID)))
	}
	if len(d.ParamOIDs) == 0 {
		a.err = c.ExecPrepared(ctx, "", nil, nil, nil).Read().Err
	}
	return a
}

func dial(ctx context.Context, t *testing.T, url string) *pgconn.PgConn {
	t.Helper()
	c, err := pgconn.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func startEngine(t *testing.T) string {
	t.Helper()
	e, err := engine.Open(engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- wire.Serve(ctx, ln, e, wire.Options{}) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, e.Close()); err != nil {
			t.Error(err)
		}
	})
	return "postgres://postgres@" + ln.Addr().String() + "/replay?sslmode=disable"
}

// startPostgres gives the URL of an empty database in PostgreSQL 15, or skips the test where there is none.
func startPostgres(ctx context.Context, t *testing.T) string {
	t.Helper()
	url := os.Getenv("STREAMSQL_POSTGRES_URL")
	if url == "" {
		url = spawnPostgres(ctx, t)
	}
	c := dial(ctx, t, url)
	defer c.Close(ctx)
	if v := c.ParameterStatus("server_version"); !strings.HasPrefix(v, "15.") {
		t.Skipf("skipped: PostgreSQL is version %s, and the statements were captured from 15", v)
	}
	if _, err := c.Exec(ctx, "DROP DATABASE IF EXISTS replay").ReadAll(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Exec(ctx, "CREATE DATABASE replay").ReadAll(); err != nil {
		t.Fatal(err)
	}
	i := strings.LastIndexByte(url, '/')
	_, params, _ := strings.Cut(url[i:], "?")
	return url[:i] + "/replay?" + params
}

// spawnPostgres starts a server in a directory of its own, as the user postgres if the test runs as root.
func spawnPostgres(ctx context.Context, t *testing.T) string {
	t.Helper()
	find := func(name string) string {
		for _, dir := range []string{"/usr/lib/postgresql/15/bin", "/usr/local/pgsql/bin"} {
			if p := filepath.Join(dir, name); fileExists(p) {
				return p
			}
		}
		p, err := exec.LookPath(name)
		if err != nil {
			t.Skipf("skipped: %s is not installed", name)
		}
		return p
	}
	initdb, postgres := find("initdb"), find("postgres")
	attr := &syscall.SysProcAttr{}
	dir, err := os.MkdirTemp("", "replay")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if os.Getuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			t.Skipf("skipped: PostgreSQL does not run as root, and %v", err)
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(dir, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	data := filepath.Join(dir, "data")
	cmd := exec.CommandContext(ctx, initdb, "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	cmd.SysProcAttr, cmd.Dir = attr, dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("skipped: initdb: %v\n%s", err, out)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := ln.Addr().(*net.TCPAddr).Port
	ln.Close()
	srv := exec.Command(postgres, "-D", data, "-p", strconv.Itoa(port), "-k", dir, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off")
	srv.SysProcAttr, srv.Dir = attr, dir
	if err := srv.Start(); err != nil {
		t.Skipf("skipped: postgres: %v", err)
	}
	t.Cleanup(func() {
		// SIGINT is PostgreSQL's fast shutdown: it ends sessions and waits for its own processes.
		if err := srv.Process.Signal(syscall.SIGINT); err == nil {
			srv.Wait()
		}
	})
	url := fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", port)
	for start := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		c, err := pgconn.Connect(ctx, url)
		if err == nil {
			c.Close(ctx)
			return url
		}
		if time.Since(start) > 30*time.Second {
			t.Skipf("skipped: postgres does not answer: %v", err)
		}
	}
}

func fileExists(p string) bool {
	_, err := os.Stat(p)
	return err == nil
}
