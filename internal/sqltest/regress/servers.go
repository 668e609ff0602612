package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// settings are what pg_regress gives to every session of psql.
const settings = "timezone=America/Los_Angeles datestyle='Postgres, MDY' intervalstyle=postgres_verbose"

// server is a streamsql process of our own on a loopback port.
type server struct {
	cmd  *exec.Cmd
	dir  string
	port int
	log  string
}

// stop ends the process politely, then firmly, and removes its directory.
func (s *server) stop() {
	if s == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGINT) // it may be gone already
	done := make(chan struct{})
	go func() { _ = s.cmd.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		_ = s.cmd.Process.Kill()
		<-done
	}
	os.RemoveAll(s.dir)
}

// startOurs starts our server in memory. What it logs goes to the file that server.log names, which is kept.
func startOurs(ctx context.Context, bin, log string) (*server, error) {
	dir, err := os.MkdirTemp("", "streamsql-regress")
	if err != nil {
		return nil, err
	}
	out, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	s := &server{dir: dir, log: log}
	s.cmd = exec.Command(bin, "serve", "--listen", "127.0.0.1:0")
	s.cmd.Dir, s.cmd.Stderr = dir, out
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	r := bufio.NewReader(stdout)
	line, err := r.ReadString('\n')
	if _, port, ok := strings.Cut(strings.TrimSpace(line), "127.0.0.1:"); ok {
		s.port, err = strconv.Atoi(port)
	}
	if err != nil || s.port == 0 {
		s.stop()
		return nil, fmt.Errorf("streamsql serve said %q: %v", line, err)
	}
	go func() { _, _ = io.Copy(io.Discard, r) }() // so that it never waits for a reader
	return s, nil
}

// session is a connection to one of the servers that can be opened again.
type session struct {
	port int
	db   string
	conn *pgconn.PgConn
	// timeout bounds a statement. What runs longer is cancelled.
	timeout time.Duration
}

func (s *session) open(ctx context.Context) error {
	s.close()
	c, err := pgconn.Connect(ctx, fmt.Sprintf("host=127.0.0.1 port=%d user=postgres dbname=%s sslmode=disable %s", s.port, s.db, settings))
	s.conn = c
	return err
}

func (s *session) close() {
	if s.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = s.conn.Close(ctx) // what it says no longer matters
		s.conn = nil
	}
}

// answer is what a server said to a query string.
type answer struct {
	results []result
	err     *pgconn.PgError // the error that ended it
	lost    error           // set when the connection broke or the statement had to be cancelled
}

// result is the answer to one statement.
type result struct {
	columns []column
	rows    [][]string
	tag     string
}

type column struct {
	name string
	oid  uint32
	mod  int32
}

// null stands for NULL in rows; no value of a text column is like it.
const null = "\x00"

// run sends a query string and takes what comes back. Lines for COPY .. FROM STDIN are in data.
func (s *session) run(ctx context.Context, sql, data string) (a answer) {
	if s.conn == nil || s.conn.IsClosed() {
		if err := s.open(ctx); err != nil {
			return answer{lost: err}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	var err error
	switch {
	case copyFromStdin.MatchString(sql):
		var tag pgconn.CommandTag
		tag, err = s.conn.CopyFrom(ctx, strings.NewReader(data), sql)
		a.results = []result{{tag: tag.String()}}
	case copyToStdout.MatchString(sql):
		var b strings.Builder
		var tag pgconn.CommandTag
		tag, err = s.conn.CopyTo(ctx, &b, sql)
		r := result{tag: tag.String()}
		for line := range strings.Lines(b.String()) {
			r.rows = append(r.rows, []string{line})
		}
		a.results = []result{r}
	default:
		for rr := s.conn.Exec(ctx, sql); ; {
			if !rr.NextResult() {
				err = rr.Close()
				break
			}
			a.results = append(a.results, read(rr.ResultReader()))
		}
	}
	if err != nil && !errors.As(err, &a.err) {
		a.lost = err
	}
	return a
}

func read(rr *pgconn.ResultReader) (r result) {
	for _, f := range rr.FieldDescriptions() {
		r.columns = append(r.columns, column{f.Name, f.DataTypeOID, f.TypeModifier})
	}
	for rr.NextRow() {
		row := make([]string, len(rr.Values()))
		for i, v := range rr.Values() {
			if row[i] = null; v != nil {
				row[i] = string(v)
			}
		}
		r.rows = append(r.rows, row)
	}
	tag, _ := rr.Close() // the error comes with the whole answer
	r.tag = tag.String()
	return r
}
