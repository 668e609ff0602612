package laws

import (
	"bytes"
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
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// postgresServer is a private PostgreSQL server.
type postgresServer struct {
	url     string
	schemas int
}

// postgres is a connection to it with tables of its own.
type postgres struct{ c *pgx.Conn }

// startPostgres starts a server on a port of its own for the time of the test.
func startPostgres(t *testing.T) (*postgresServer, error) {
	initdb, err := exec.LookPath("initdb")
	if err != nil {
		return nil, err
	}
	bin, err := exec.LookPath("postgres")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "laws")
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	attr := &syscall.SysProcAttr{}
	if os.Getuid() == 0 { // the server refuses to run as root
		u, err := user.Lookup("postgres")
		if err != nil {
			return nil, err
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(dir, uid, gid); err != nil {
			return nil, err
		}
	}
	data := filepath.Join(dir, "data")
	cmd := exec.Command(initdb, "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
	cmd.SysProcAttr, cmd.Dir = attr, dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	server := exec.Command(bin, "-D", data, "-p", strconv.Itoa(port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
		"-c", "fsync=off", "-c", "full_page_writes=off", "-c", "synchronous_commit=off", "-c", "TimeZone=UTC", "-c", "jit=off", "-c", "autovacuum=off")
	var log bytes.Buffer
	server.SysProcAttr, server.Dir, server.Stderr = attr, dir, &log
	if err := server.Start(); err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		server.Process.Signal(syscall.SIGINT)
		server.Wait()
	})
	ctx := context.Background()
	url := fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable&default_query_exec_mode=simple_protocol", port)
	for range 100 {
		var c *pgx.Conn
		if c, err = pgx.Connect(ctx, url); err == nil {
			return &postgresServer{url: url}, c.Close(ctx)
		}
		time.Sleep(50 * time.Millisecond)
	}
	return nil, fmt.Errorf("%w: %s", err, log.String())
}

// connect makes a connection with empty tables.
func (s *postgresServer) connect(t *testing.T) (*postgres, error) {
	ctx := context.Background()
	c, err := pgx.Connect(ctx, s.url)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { c.Close(ctx) })
	s.schemas++
	name := fmt.Sprintf("laws%d", s.schemas)
	if _, err := c.Exec(ctx, "CREATE SCHEMA "+name+"; SET search_path = "+name); err != nil {
		return nil, err
	}
	p := &postgres{c}
	return p, p.createTables()
}

func (p *postgres) createTables() error {
	for _, name := range relationNames {
		var cols []string
		for _, c := range relations[name].rel.Columns {
			cols = append(cols, c.Name+" "+c.Type.Format())
		}
		if _, err := p.c.Exec(context.Background(), fmt.Sprintf("CREATE UNLOGGED TABLE %s (%s)", name, strings.Join(cols, ", "))); err != nil {
			return err
		}
	}
	return nil
}

// load replaces the tables' rows by what the input amounts to.
func (p *postgres) load(in *input) error {
	ctx := context.Background()
	if _, err := p.c.Exec(ctx, "TRUNCATE "+strings.Join(relationNames, ", ")); err != nil {
		return err
	}
	for _, name := range relationNames {
		var b bytes.Buffer
		for _, e := range in.content(name, len(in.events[name])) {
			b.WriteString(strings.Join(e.row, "\t"))
			b.WriteByte('\n')
		}
		if _, err := p.c.PgConn().CopyFrom(ctx, &b, "COPY "+name+" FROM STDIN"); err != nil {
			return err
		}
	}
	return nil
}

// check compares the answer to a query with PostgreSQL's.
func (p *postgres) check(c *compiled, in *input) error {
	sql := c.pg
	if sql == "" {
		sql = c.sql
	}
	sql = expand(sql, true)
	res, theirErr := p.c.PgConn().Exec(context.Background(), sql).ReadAll()
	ours, err := answer(c.batch, in, schedule{rows: 8192})
	var pe *pgconn.PgError
	if theirErr != nil && !errors.As(theirErr, &pe) {
		return theirErr
	}
	if theirErr != nil || err != nil {
		code := ""
		if pe != nil {
			code = pe.Code
		}
		if sqlstate(err) != code {
			return fmt.Errorf("  PostgreSQL: error %v instead of %v\n  %s", err, theirErr, sql)
		}
		return nil
	}
	var rows [][]string
	for _, r := range res[0].Rows {
		row := make([]string, len(r))
		for i, x := range r {
			row[i] = null
			if x != nil {
				row[i] = string(x)
			}
		}
		rows = append(rows, row)
	}
	if d := c.same(bagOf(ours), bagOf(rows)); d != "" {
		return fmt.Errorf("  PostgreSQL:\n%s\n  %s", d, sql)
	}
	if c.ordered && !c.loose {
		for i := range rows {
			if a, b := strings.Join(ours[i], sep), strings.Join(rows[i], sep); a != b {
				return fmt.Errorf("  PostgreSQL: row %d is %s instead of %s", i, a, b)
			}
		}
	}
	return nil
}
