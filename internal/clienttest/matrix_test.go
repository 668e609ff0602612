// Package clienttest drives real clients, each in a process of its own, against our server: how they read endless
// queries and how they cancel them, and the everyday work of each. install.sh installs them at fixed versions; a
// client that is not there is skipped with a line that says so.
package clienttest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"streamsql/engine"
	"streamsql/wire"
)

// schema is what the programs find: an endless source of ten rows a second, one that never has a row, and an object
// of each kind.
const schema = `
CREATE SOURCE ticks WITH (connector = 'nexmark', table = 'bid', rate = '10');
CREATE TABLE never (auction bigint);
CREATE TABLE item (id int PRIMARY KEY, name varchar(80), price numeric(12,2), at timestamptz, tags text[]);
CREATE VIEW item_view AS SELECT name, price FROM item;
CREATE MATERIALIZED VIEW item_mv AS SELECT name, count(*) AS n FROM item GROUP BY name;
INSERT INTO item VALUES (1, 'one', 1.25, '2020-02-29 01:02:03+00', ARRAY['a', 'b']), (2, 'two', NULL, NULL, NULL);
`

// serveEmpty starts a server and gives its port.
func serveEmpty(t testing.TB) string {
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
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	return port
}

// serve starts a server with the schema and gives its port.
func serve(t testing.TB) string {
	t.Helper()
	port := serveEmpty(t)
	c := connect(t, port)
	if _, err := c.PgConn().Exec(context.Background(), schema).ReadAll(); err != nil {
		t.Fatal(err)
	}
	return port
}

func connect(t testing.TB, port string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(context.Background(), "postgres://tester@127.0.0.1:"+port+"/db?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

// strict makes the times count as they are written; "make clients" sets it, when nothing else is to run on the machine.
var strict = flag.Bool("clients.strict", false, "fail where a first row or an answer to a cancel is late by the stated times")

// slack is what the times are exceeded by on a machine that runs other tests at the same time.
func slack() time.Duration {
	if *strict {
		return 0
	}
	return 3 * time.Second
}

// row is a line of the matrix: seconds, or -1 for what did not happen or is not the client's to see.
type row struct {
	client, mode  string
	first, cancel float64
	state         string
	after         bool
}

// never is the first row of a client that shows nothing before the result has ended.
const never = -1

// limits says of each mode when its first row is due in seconds: at ten rows a second a batch of n is due after n/10.
// What is not listed is due within 0.3 s.
var limits = map[string]float64{
	"psql: SELECT":                         never,
	"psql: FETCH_COUNT 10":                 1.3,
	"psycopg2: cursor":                     never,
	"psycopg2: named cursor, itersize 10":  1.3,
	"psycopg2: copy_expert":                0.4,
	"psycopg 3: cursor":                    never,
	"asyncpg: cursor, prefetch 5":          0.8,
	"asyncpg: fetch()":                     never,
	"pg-cursor: read(5)":                   0.8,
	"postgres.js: cursor(5)":               0.8,
	"pgjdbc: default":                      never,
	"pgjdbc: fetchSize 10, autocommit off": 1.3,
	"pgjdbc: maxRows 10":                   1.3,
	"psqlODBC: UseDeclareFetch, Fetch=1":   0.5,
	"psqlODBC: SELECT":                     never,
	"DBD::Pg: SELECT":                      never,
}

// endsItself lists the modes that end, so that nothing is cancelled and no state comes.
func (r row) endsItself() bool { return r.state == "-" }

func (r row) check() error {
	due, listed := limits[r.client+": "+r.mode]
	if !listed {
		due = 0.3
	}
	switch {
	case due == never && r.first >= 0:
		return fmt.Errorf("shows a row after %.2f s, and was known to show none", r.first)
	case due != never && r.first < 0:
		return errors.New("has shown no row")
	case due != never && r.first > due+slack().Seconds():
		return fmt.Errorf("first row after %.2f s, due after %.2f s", r.first, due)
	case r.cancel > 0.5+slack().Seconds():
		return fmt.Errorf("cancelled after %.2f s", r.cancel)
	case !r.endsItself() && (r.state != "57014" || r.cancel < 0):
		return fmt.Errorf("ended with %s after the cancel, not with 57014", r.state)
	case !r.after:
		return errors.New("the connection is not usable afterwards")
	}
	return nil
}

// run runs a client's program and collects the lines it prints.
func run(t *testing.T, table *[]row, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("%s: %v\n%s", filepath.Base(args[len(args)-2]), err, stderr.String())
	}
	n := 0
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
		f := strings.Split(s.Text(), "\t")
		switch {
		case f[0] == "version" && len(f) == 3:
			t.Logf("%s %s", f[1], f[2])
		case f[0] == "row" && len(f) == 7 && table != nil:
			*table = append(*table, row{f[1], f[2], seconds(f[3]), seconds(f[4]), f[5], f[6] == "yes"})
			n++
		case f[0] == "check" && len(f) == 5:
			n++
			if f[3] != "ok" {
				t.Errorf("%s: %s: %s", f[1], f[2], f[4])
			}
		}
	}
	if n == 0 {
		t.Errorf("it printed nothing\n%s\n%s", out, stderr.String())
	}
}

func seconds(s string) float64 {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return -1
	}
	return v
}

// home is where install.sh keeps the clients.
func home() string {
	if d := os.Getenv("STREAMSQL_CLIENTS"); d != "" {
		return d
	}
	d, err := os.UserCacheDir()
	if err != nil {
		d = os.TempDir()
	}
	return filepath.Join(d, "streamsql-clients")
}

// program gives the path of a program of an installed client, or skips.
func program(t *testing.T, path string) string {
	t.Helper()
	if !filepath.IsAbs(path) && strings.ContainsRune(path, '/') {
		path = filepath.Join(home(), path)
	}
	p, err := exec.LookPath(path)
	if err != nil {
		t.Skipf("skipped: %s is not installed (make clients installs it where it can be had)", filepath.Base(path))
	}
	return p
}

// TestStreaming is the streaming matrix: each client reads an endless query of ten rows a second in each way it has,
// is cancelled, and goes on with its connection.
func TestStreaming(t *testing.T) {
	port := serve(t)
	var table []row
	t.Run("psql", func(t *testing.T) { psqlStreams(t, port, &table) })
	t.Run("pgx", func(t *testing.T) { pgxStreams(t, port, &table) })
	t.Run("libpq", func(t *testing.T) { pqStreams(t, port, &table) })
	t.Run("python", func(t *testing.T) { run(t, &table, program(t, "python/bin/python"), "python/stream.py", port) })
	t.Run("node", func(t *testing.T) { run(t, &table, program(t, "node"), nodeScript(t, "stream.js"), port) })
	t.Run("java", func(t *testing.T) {
		java := program(t, "java")
		jars, _ := filepath.Glob(filepath.Join(home(), "java", "*.jar"))
		if len(jars) == 0 {
			t.Skip("skipped: pgjdbc is not installed (make clients installs it where it can be had)")
		}
		run(t, &table, java, "-cp", jars[0], "java/Stream.java", port)
	})
	t.Run("perl", func(t *testing.T) {
		perl := program(t, "perl")
		if err := exec.Command(perl, "-MDBD::Pg", "-e", "1").Run(); err != nil {
			t.Skip("skipped: DBD::Pg is not installed (make clients installs it where it can be had)")
		}
		run(t, &table, perl, "perl/stream.pl", port)
	})
	t.Run("odbc", func(t *testing.T) {
		python := program(t, "python/bin/python")
		if !installed("/usr/lib/*/odbc/psqlodbcw.so") {
			t.Skip("skipped: psqlODBC is not installed (make clients installs it where it can be had)")
		}
		run(t, &table, python, "python/odbc.py", port)
	})
	var out strings.Builder
	fmt.Fprintf(&out, "\n%-16s %-32s %9s %9s %7s %s\n", "client", "mode", "first row", "cancel", "state", "usable after")
	show := func(v float64) string {
		if v < 0 {
			return "-"
		}
		return fmt.Sprintf("%.2f s", v)
	}
	for _, r := range table {
		first := show(r.first)
		if limits[r.client+": "+r.mode] == never && r.first < 0 {
			first = "never"
		}
		fmt.Fprintf(&out, "%-16s %-32s %9s %9s %7s %v\n", r.client, r.mode, first, show(r.cancel), r.state, r.after)
		if err := r.check(); err != nil {
			t.Errorf("%s: %s: %v", r.client, r.mode, err)
		}
	}
	t.Log(out.String())
	if len(table) == 0 {
		t.Error("no client has run")
	}
	for _, c := range slices.Compact(clientsOf(table)) {
		t.Logf("ran: %s", c)
	}
	// Whoever has gone has left nothing behind: no query of theirs runs a second later.
	for start := time.Now(); running(t, port) > 0; time.Sleep(20 * time.Millisecond) {
		if time.Since(start) > time.Second+slack() {
			t.Errorf("%d queries of clients that have gone still run", running(t, port))
			break
		}
	}
}

func clientsOf(table []row) (all []string) {
	for _, r := range table {
		all = append(all, r.client)
	}
	return all
}

func installed(pattern string) bool {
	files, err := filepath.Glob(pattern)
	return err == nil && len(files) > 0
}

// nodeScript copies a program beside the modules, where node looks for them.
func nodeScript(t *testing.T, name string) string {
	t.Helper()
	if !installed(filepath.Join(home(), "node", "node_modules", "pg", "package.json")) {
		t.Skip("skipped: node's drivers are not installed (make clients installs them where they can be had)")
	}
	text, err := os.ReadFile(filepath.Join("node", name))
	if err != nil {
		t.Fatal(err)
	}
	p := filepath.Join(home(), "node", name)
	if err := os.WriteFile(p, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return p
}
