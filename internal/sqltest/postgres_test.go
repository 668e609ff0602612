package sqltest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"streamsql/internal/pgerr"
	"streamsql/internal/pgtest"
)

// server is a private PostgreSQL.
type server struct{ *pgtest.Server }

var (
	serverOnce sync.Once
	theServer  *server
	serverErr  error
)

func startServer() {
	var s *pgtest.Server
	if s, serverErr = pgtest.Start(); serverErr == nil {
		theServer = &server{s}
	}
}

// postgres gives the server, which is started for the first test that asks; the test is skipped where there is none to start.
func postgres(t *testing.T) *server {
	t.Helper()
	serverOnce.Do(startServer)
	if serverErr != nil {
		t.Skipf("not compared with PostgreSQL 15: %v", serverErr)
	}
	return theServer
}

func TestMain(m *testing.M) {
	code := m.Run()
	if theServer != nil {
		theServer.Stop()
	}
	os.Exit(code)
}

func (s *server) connect(ctx context.Context, db string) (*pgconn.PgConn, error) {
	return pgconn.Connect(ctx, s.URL(db))
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
