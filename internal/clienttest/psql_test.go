package clienttest

import (
	"context"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"streamsql/internal/pgtest"
)

// psqlSchema is what both servers hold when psql's commands are compared.
const psqlSchema = `
CREATE SCHEMA app;
CREATE TABLE app.customers (id bigint PRIMARY KEY, name varchar(80) NOT NULL, m text DEFAULT 'ok', created_at timestamptz, tags text[], balance numeric(12,2) DEFAULT 0);
CREATE TABLE public.events (ts timestamptz NOT NULL, k text, v double precision CHECK (v > 0));
CREATE VIEW public.v_events AS SELECT k, v FROM public.events;
CREATE MATERIALIZED VIEW public.mv_events AS SELECT k, avg(v) AS a FROM public.events GROUP BY k;
COMMENT ON TABLE app.customers IS 'customers';
COMMENT ON COLUMN app.customers.name IS 'the name';
INSERT INTO public.events VALUES ('2024-01-01 00:00:00Z', 'a', 1), ('2024-01-01 00:01:00Z', 'b', 2), ('2024-01-01 00:02:00Z', 'a', 4);
REFRESH MATERIALIZED VIEW mv_events;
`

// psqlCommands are compared as psql prints them.
var psqlCommands = []string{
	`\d`, `\dt`, `\dt app.*`, `\dv`, `\dm`, `\d app.customers`, `\d v_events`, `\d mv_events`, `\df`, `\df pg_catalog.abs`, `\di`, `\di app.*`, `\ds`, `\dT`,
	`\dp`, `\dp app.*`, `\z`, `\det`, `\dy`, `\dRp`, `\dRs`, `\dX`, `\dD`, `\dE`, `\ddp`, `\drds`, `\dc app.*`, `\dC app.*`, `\dO app.*`, `\do app.*`, `\da app.*`,
	`\dF app.*`, `\dL app.*`, `\d nothing`, `\dt nothing`, `\dT+ nothing`, `\dconfig search_path`,
	"SELECT 1 AS a, 'x'::text AS b, 1.50::numeric(8,2) AS c, ARRAY[1,2] AS d \\gdesc",
	"SELECT k, sum(v) FROM events GROUP BY k ORDER BY k;",
	"SELECT 'k' AS x \\gset\nSELECT :'x' AS y;",
	"SELECT 'SELECT 4' || 2 \\gexec",
	"SELECT k, extract(minute FROM ts)::int AS m, v FROM events ORDER BY 1, 2 \\crosstabview",
	`\copy (SELECT k, v FROM events ORDER BY ts) to stdout csv header`,
	"\\copy events from stdin csv\n2024-01-02 00:00:00Z,c,9\n\\.\nSELECT count(*) FROM events;",
	"SELECT nope FROM events;", "SELECT * FROM nothing;",
	"\\set FETCH_COUNT 2\nSELECT k, v FROM events ORDER BY ts;",
	"BEGIN;\nSELECT nope;\nSELECT 1;\nROLLBACK;",
	`\encoding`, `\timing off`,
}

// psqlDiffers are the commands whose output differs, with what ours must hold and why.
var psqlDiffers = []struct{ command, ours, why string }{
	{`\dn`, "sys    | postgres", "the engine's own schema is listed"},
	{`\dx`, "(0 rows)", "there are no extensions, not even plpgsql"},
	{`\des`, "streamsql | postgres | connector", "sources are foreign tables, and of this server"},
	{`\dew`, "connector | postgres", "as above"},
	{`\dA`, "btree | Index\n heap  | Table", "there are no other access methods"},
	{`\sf abs(int)`, "AS $function$abs$function$", "PostgreSQL names its C function"},
	{`\d public.events`, "CHECK ((v > 0))", "PostgreSQL shows the cast that it has put in, and fewer parentheses"},
	{"SELEC 1;", "HINT:  Perhaps you meant SELECT.", "a hint more"},
	{"SELECT 1/0;", "LINE 1: SELECT 1/0;", "the place of a division is known"},
}

// TestPsqlCommands compares what psql prints of both servers.
func TestPsqlCommands(t *testing.T) {
	psql := program(t, "psql")
	theirs, err := pgtest.Start()
	if err != nil {
		t.Skip("skipped: ", err)
	}
	t.Cleanup(func() { theirs.Stop() })
	ports := []string{strconv.Itoa(theirs.Port), serveEmpty(t)}
	for _, port := range ports {
		c, err := pgx.Connect(context.Background(), "postgres://postgres@127.0.0.1:"+port+"/postgres?sslmode=disable")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.PgConn().Exec(context.Background(), psqlSchema).ReadAll(); err != nil {
			t.Fatal(err)
		}
		c.Close(context.Background())
	}
	prints := func(port, command string) string {
		cmd := exec.Command(psql, "-X", "-h", "127.0.0.1", "-p", port, "-U", "postgres", "-d", "postgres")
		cmd.Env = append(cmd.Environ(), "PGSSLMODE=disable")
		cmd.Stdin = strings.NewReader(command + "\n")
		text, _ := cmd.CombinedOutput() // the code tells only what the text tells
		return string(text)
	}
	for _, command := range psqlCommands {
		if want, got := prints(ports[0], command), prints(ports[1], command); want != got {
			t.Errorf("%s\nPostgreSQL prints\n%s\nwe print\n%s", command, want, got)
		}
	}
	for _, d := range psqlDiffers {
		want, got := prints(ports[0], d.command), prints(ports[1], d.command)
		if want == got {
			t.Errorf("%s prints what PostgreSQL's does: it belongs to the commands that are compared", d.command)
		}
		if !strings.Contains(got, d.ours) {
			t.Errorf("%s (%s): %q is not in\n%s", d.command, d.why, d.ours, got)
		}
	}
}

// TestKilledClient kills psql while it reads an endless query: the query is gone within a second.
func TestKilledClient(t *testing.T) {
	port := serve(t)
	for _, query := range []string{stream, "COPY (" + stream + ") TO STDOUT", "SELECT auction FROM never EMIT CHANGES"} {
		cmd := exec.Command(program(t, "psql"), "-X", "-h", "127.0.0.1", "-p", port, "-U", "tester", "-d", "db", "-c", query)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(300 * time.Millisecond)
		if n := running(t, port); n != 1 {
			t.Errorf("%s: %d queries run before the client is killed", query, n)
		}
		if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // it was killed
		start := time.Now()
		for running(t, port) > 0 {
			if time.Since(start) > time.Second+slack() {
				t.Errorf("%s: runs %v after its client was killed", query, time.Since(start))
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// running counts the endless queries of others.
func running(t *testing.T, port string) (n int) {
	t.Helper()
	c := connect(t, port)
	defer c.Close(context.Background())
	err := c.QueryRow(context.Background(), "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%EMIT CHANGES%' AND pid <> pg_backend_pid()").Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
