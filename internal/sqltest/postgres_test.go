package sqltest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"streamsql/internal/pgerr"
)

// server is a PostgreSQL of our own: a fresh cluster in a temporary directory on a free loopback port.
type server struct {
	dir  string
	port int
	cmd  *exec.Cmd
}

var (
	serverOnce sync.Once
	theServer  *server
	serverErr  error
)

// postgres gives the server, which is started for the first test that asks; the test is skipped where there is none to start.
func postgres(t *testing.T) *server {
	t.Helper()
	serverOnce.Do(func() { theServer, serverErr = startPostgres() })
	if serverErr != nil {
		t.Skipf("not compared with PostgreSQL 15: %v", serverErr)
	}
	return theServer
}

func TestMain(m *testing.M) {
	code := m.Run()
	if theServer != nil {
		theServer.stop()
	}
	os.Exit(code)
}

func findProgram(name string) (string, error) {
	for _, dir := range []string{"/usr/lib/postgresql/15/bin", "/usr/local/bin", "/opt/homebrew/opt/postgresql@15/bin"} {
		p := filepath.Join(dir, name)
		if _, err := os.Stat(p); err == nil {
			return p, nil
		}
	}
	return exec.LookPath(name)
}

func startPostgres() (*server, error) {
	initdb, err := findProgram("initdb")
	if err != nil {
		return nil, errors.New("initdb is not installed (make deps)")
	}
	bin, err := findProgram("postgres")
	if err != nil {
		return nil, errors.New("postgres is not installed (make deps)")
	}
	version, err := exec.Command(bin, "--version").Output()
	if err != nil {
		return nil, err
	}
	if !strings.Contains(string(version), " 15") {
		return nil, fmt.Errorf("%s is not version 15", strings.TrimSpace(string(version)))
	}
	dir, err := os.MkdirTemp("", "streamsql-pg")
	if err != nil {
		return nil, err
	}
	s := &server{dir: dir}
	// PostgreSQL refuses to run as root: it gets the account that its package made.
	attr := &syscall.SysProcAttr{}
	if os.Getuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			os.RemoveAll(dir)
			return nil, errors.New("running as root, and there is no user postgres")
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		if err := os.Chown(dir, uid, gid); err != nil {
			os.RemoveAll(dir)
			return nil, err
		}
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	data := filepath.Join(dir, "data")
	init := exec.Command(initdb, "-D", data, "-U", "postgres", "--locale=C", "-E", "UTF8", "-A", "trust", "--no-sync")
	init.SysProcAttr, init.Dir = attr, dir
	if out, err := init.CombinedOutput(); err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("initdb: %v: %s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	s.port = l.Addr().(*net.TCPAddr).Port
	l.Close()
	s.cmd = exec.Command(bin, "-D", data, "-p", strconv.Itoa(s.port), "-k", dir,
		"-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "TimeZone=UTC", "-c", "log_destination=stderr")
	s.cmd.SysProcAttr, s.cmd.Dir = attr, dir
	if err := s.cmd.Start(); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		c, err := s.connect(context.Background(), "postgres")
		if err == nil {
			c.Close(context.Background())
			return s, nil
		}
		if time.Now().After(deadline) {
			s.stop()
			return nil, fmt.Errorf("postgres does not answer: %w", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (s *server) stop() {
	s.cmd.Process.Signal(syscall.SIGINT) // fast shutdown
	done := make(chan struct{})
	go func() { s.cmd.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		s.cmd.Process.Kill()
		<-done
	}
	os.RemoveAll(s.dir)
}

func (s *server) connect(ctx context.Context, db string) (*pgconn.PgConn, error) {
	return pgconn.Connect(ctx, fmt.Sprintf("host=127.0.0.1 port=%d user=postgres dbname=%s sslmode=disable", s.port, db))
}

// database makes an empty database and connects to it.
func (s *server) database(t *testing.T) *pgconn.PgConn {
	t.Helper()
	ctx := context.Background()
	admin, err := s.connect(ctx, "postgres")
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(ctx)
	name := fmt.Sprintf("db%d", time.Now().UnixNano())
	if _, err := admin.Exec(ctx, "CREATE DATABASE "+name).ReadAll(); err != nil {
		t.Fatal(err)
	}
	c, err := s.connect(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(ctx) })
	return c
}

// pgRows runs a query string and gives the text of the last result's rows as the files hold them, and its columns' type letters.
func pgRows(c *pgconn.PgConn, sql string) (rows []string, types, tag string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), statementTimeout)
	defer cancel()
	results, err := c.Exec(ctx, sql).ReadAll()
	if err != nil {
		return nil, "", "", err
	}
	if len(results) == 0 {
		return nil, "", "", nil
	}
	last := results[len(results)-1]
	for _, f := range last.FieldDescriptions {
		types += string(letter(f.DataTypeOID))
	}
	for _, r := range last.Rows {
		cells := make([]string, len(r))
		for i, v := range r {
			cells[i] = cell(string(v), v == nil)
		}
		rows = append(rows, strings.Join(cells, "|"))
	}
	return rows, types, last.CommandTag.String(), nil
}

// TestScriptsOnPostgres runs the records under `control postgres on` on PostgreSQL 15, which must agree with the files.
func TestScriptsOnPostgres(t *testing.T) {
	s := postgres(t)
	for _, sc := range scripts(t) {
		used := false
		for _, r := range sc.records {
			used = used || r.postgres
		}
		if !used {
			continue
		}
		t.Run(filepath.Base(sc.path), func(t *testing.T) {
			c := s.database(t)
			for _, rec := range sc.records {
				if !rec.postgres {
					continue
				}
				if err := onPostgres(c, rec); err != nil {
					t.Error("PostgreSQL: " + failure(sc, rec, err))
				}
			}
		})
	}
}

func onPostgres(c *pgconn.PgConn, rec *record) error {
	if rec.kind == copyIn {
		ctx, cancel := context.WithTimeout(context.Background(), statementTimeout)
		defer cancel()
		tag, err := c.CopyFrom(ctx, strings.NewReader(strings.Join(rec.rows, "\n")+"\n"), rec.sql)
		return checkPostgres(rec, tag.String(), err)
	}
	if rec.kind != query && rec.kind != statement {
		return errors.New("PostgreSQL cannot run this directive")
	}
	rows, types, tag, err := pgRows(c, rec.sql)
	if rec.kind == statement || err != nil {
		return checkPostgres(rec, tag, err)
	}
	want := rec.rows
	if rec.has("rowsort") {
		rows, want = sorted(rows), sorted(want)
	}
	if err := compare(rows, want); err != nil {
		return err
	}
	if len(rows) == 0 { // pgconn describes columns only with their rows
		return nil
	}
	return checkTypes(rec.types, types)
}

// checkPostgres compares an error of PostgreSQL by SQLSTATE only: our messages are tested apart.
func checkPostgres(rec *record, tag string, err error) error {
	code := ""
	var pe *pgconn.PgError
	switch {
	case errors.As(err, &pe):
		code = pe.Code
	case err != nil:
		code = pgerr.InternalError
	}
	if code != rec.wantErr {
		return fmt.Errorf("error %q (%v), the file has %q", code, err, rec.wantErr)
	}
	if err == nil && rec.tag != "" && rec.tag != tag {
		return fmt.Errorf("tag %q, the file has %q", tag, rec.tag)
	}
	return nil
}
