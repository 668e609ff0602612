package clienttest

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/lib/pq"
)

const stream = "SELECT auction, price FROM ticks EMIT CHANGES"

// psqlStreams reads with psql and ends each query with Ctrl-C, as a person does.
func psqlStreams(t *testing.T, port string, table *[]row) {
	psql := program(t, "psql")
	if v, err := exec.Command(psql, "--version").Output(); err == nil {
		t.Log(strings.TrimSpace(string(v)))
	}
	for _, m := range []struct{ mode, script string }{
		{"SELECT", stream + ";\n"},
		{"FETCH_COUNT 1", "\\set FETCH_COUNT 1\n" + stream + ";\n"},
		{"FETCH_COUNT 10", "\\set FETCH_COUNT 10\n" + stream + ";\n"},
		{"COPY TO STDOUT", "COPY (" + stream + ") TO STDOUT;\n"},
		{"\\copy", "\\copy (" + stream + ") to stdout\n"},
	} {
		*table = append(*table, psqlStream(t, psql, port, m.mode, m.script))
	}
}

func psqlStream(t *testing.T, psql, port, mode, script string) row {
	r := row{client: "psql", mode: mode, first: -1, cancel: -1, state: "-"}
	ctx, stop := context.WithTimeout(context.Background(), 20*time.Second)
	defer stop()
	master, slave := openTerminal(t)
	defer master.Close()
	cmd := exec.CommandContext(ctx, psql, "-X", "-q", "-n", "-A", "-t", "-P", "pager=off", "-v", "PROMPT1=", "-v", "PROMPT2=",
		"-h", "127.0.0.1", "-p", port, "-U", "tester", "-d", "db")
	cmd.Env = append(os.Environ(), "PGSSLMODE=disable")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	defer cmd.Wait()
	lines := make(chan string, 1024)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(master); s.Scan(); {
			lines <- s.Text()
		}
	}()
	expect := func(what string) bool {
		for l := range lines {
			if strings.Contains(l, what) {
				return true
			}
		}
		return false
	}
	send := func(s string) {
		if _, err := master.WriteString(s); err != nil {
			t.Errorf("psql: %v", err)
		}
	}
	send("\\set VERBOSITY verbose\n\\echo ready\n")
	expect("ready")
	start := time.Now()
	send(script)
	wait := time.After(1600 * time.Millisecond)
	if mode == "SELECT" {
		wait = time.After(500 * time.Millisecond)
	}
reading:
	for {
		select {
		case l := <-lines:
			if strings.Contains(l, "ERROR") {
				t.Errorf("psql %s: %s", mode, l)
				break reading
			}
			if r.first < 0 {
				r.first = time.Since(start).Seconds()
			}
		case <-wait:
			break reading
		}
	}
	at := time.Now()
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Errorf("psql: %v", err)
	}
	for l := range lines {
		if _, e, found := strings.Cut(l, "ERROR:  "); found {
			r.cancel, r.state = time.Since(at).Seconds(), e[:5]
			break
		}
	}
	send("SELECT 'still ' || 'here';\n")
	r.after = expect("still here")
	send("\\q\n")
	for range lines { // whatever is left
	}
	return r
}

func pgxStreams(t *testing.T, port string, table *[]row) {
	for _, m := range []struct {
		mode string
		exec pgx.QueryExecMode
	}{{"Query, extended", pgx.QueryExecModeCacheStatement}, {"Query, simple", pgx.QueryExecModeSimpleProtocol}} {
		r := row{client: "pgx", mode: m.mode, first: -1, cancel: -1, state: "-"}
		c := connect(t, port)
		ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
		start := time.Now()
		rows, err := c.Query(ctx, stream, m.exec)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < 3 && rows.Next(); i++ {
			if r.first < 0 {
				r.first = time.Since(start).Seconds()
			}
		}
		// pgx closes the connection when a context ends; its CancelRequest leaves it open.
		at := time.Now()
		if err := c.PgConn().CancelRequest(ctx); err != nil {
			t.Error(err)
		}
		for rows.Next() {
		}
		r.cancel = time.Since(at).Seconds()
		var pe *pgconn.PgError
		if errors.As(rows.Err(), &pe) {
			r.state = pe.Code
		}
		var one int
		r.after = c.QueryRow(ctx, "SELECT 1").Scan(&one) == nil && one == 1
		stop()
		*table = append(*table, r)
	}
}

func pqStreams(t *testing.T, port string, table *[]row) {
	db, err := sql.Open("postgres", "postgres://tester@127.0.0.1:"+port+"/db?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, m := range []struct {
		mode, query string
		args        []any
	}{{"QueryContext, simple", stream, nil}, {"QueryContext, extended", "SELECT auction FROM ticks WHERE price > $1 EMIT CHANGES", []any{-1}}} {
		r := row{client: "lib/pq", mode: m.mode, first: -1, cancel: -1, state: "-"}
		ctx, stop := context.WithCancel(context.Background())
		start := time.Now()
		rows, err := db.QueryContext(ctx, m.query, m.args...)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < 3 && rows.Next(); i++ {
			if r.first < 0 {
				r.first = time.Since(start).Seconds()
			}
		}
		at := time.Now()
		stop()
		for rows.Next() {
		}
		var pe *pq.Error
		switch err := rows.Err(); {
		case errors.As(err, &pe):
			r.state = string(pe.Code)
		case errors.Is(err, context.Canceled): // database/sql answers before the driver does
			r.state = "57014"
		}
		rows.Close()
		r.cancel = time.Since(at).Seconds()
		var one int
		r.after = db.QueryRow("SELECT $1::int", 1).Scan(&one) == nil && one == 1
		*table = append(*table, r)
	}
}
