package sqltest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"streamsql/engine"
	"streamsql/internal/pgerr"
)

// errorSchema is what the statements of testdata/errors find.
const errorSchema = `CREATE TABLE t (a int, b bigint, c text, d date, n numeric(5,2), s varchar(3), ts timestamp, f float8);
	CREATE TABLE u (a int PRIMARY KEY, d date);
	INSERT INTO t (a, c) VALUES (1, 'x'), (2, 'y');
	INSERT INTO u VALUES (1, '2020-01-01'), (2, NULL);
	CREATE VIEW vw AS SELECT count(*) AS a FROM t`

// errorCase is a statement that is wrong and what PostgreSQL says of it.
type errorCase struct {
	sql, want string
}

// errorText gives an error as the files hold it.
func errorText(e *pgerr.Error) string {
	s := fmt.Sprintf("%s at %d: %s", e.Code, e.Position, e.Message)
	if e.Hint != "" {
		s += "\nHINT: " + e.Hint
	}
	return s
}

func theirError(c *pgconn.PgConn, sql string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err := c.Exec(ctx, sql).ReadAll()
	var pe *pgconn.PgError
	if !errors.As(err, &pe) {
		return fmt.Sprint("no error: ", err)
	}
	return errorText(&pgerr.Error{Code: pe.Code, Message: pe.Message, Position: int(pe.Position), Hint: pe.Hint})
}

func ourError(s *engine.Session, sql string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	c := &conn{s: s}
	_, err := c.exec(ctx, sql, nil)
	if err == nil {
		return "no error"
	}
	return errorText(pgerr.From(err))
}

const errorFiles = testdata + "/errors/*.txt"

// readErrors reads blocks of a statement, ----, and what is said of it.
func readErrors(t *testing.T, name string) []errorCase {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var out []errorCase
	for _, block := range strings.Split(strings.TrimSpace(string(text)), "\n\n") {
		sql, want, _ := strings.Cut(block, "\n----\n")
		out = append(out, errorCase{sql: strings.TrimSpace(sql), want: strings.TrimSpace(want)})
	}
	return out
}

// TestErrorMessages runs statements that are wrong. The files of testdata/errors hold what PostgreSQL 15 says of each: SQLSTATE,
// position, message and hint. What we say otherwise is in testdata/errors/ours: decided.txt, because we know better or do
// more, and open.txt, which should become empty (-rewrite writes it).
func TestErrorMessages(t *testing.T) {
	files, err := filepath.Glob(errorFiles)
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	const open = testdata + "/errors/ours/open.txt"
	ours, isOpen := map[string]string{}, map[string]bool{}
	for _, name := range []string{testdata + "/errors/ours/decided.txt", open} {
		for _, c := range readErrors(t, name) {
			if name != open || !*rewriteFlag {
				ours[c.sql] = c.want
				isOpen[c.sql] = name == open
			}
		}
	}
	n := 0
	var differences strings.Builder
	for _, name := range files {
		e, err := engine.Open(engine.Options{})
		if err != nil {
			t.Fatal(err)
		}
		s, err := e.NewSession(engine.SessionOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got := ourError(s, errorSchema); got != "no error" {
			t.Fatal(got)
		}
		for _, c := range readErrors(t, name) {
			n++
			got := ourError(s, c.sql)
			if got == "no error" { // it must not be in the way of the next
				ourError(s, "DROP TABLE IF EXISTS x; DROP VIEW IF EXISTS x; DROP MATERIALIZED VIEW IF EXISTS x")
			}
			same := got == c.want
			// A position or a hint where PostgreSQL has none is help.
			if code, rest, ok := strings.Cut(got, " at "); ok && !same {
				_, rest, _ = strings.Cut(rest, ": ")
				same = code+" at 0: "+rest == c.want
				if !same && !strings.Contains(c.want, "\nHINT") {
					bare, _, _ := strings.Cut(got, "\nHINT")
					same = bare == c.want
				}
			}
			want, known := ours[c.sql]
			switch {
			case same && known, !same && isOpen[c.sql]:
				if got != want {
					t.Logf("%s: the entry in errors/ours is out of date (-rewrite)", c.sql)
				}
			case !same && !known && *rewriteFlag:
				fmt.Fprintf(&differences, "%s\n----\n%s\n\n", c.sql, got)
			case !same && got != want:
				t.Errorf("%s: %s\nours:       %s\nPostgreSQL: %s", filepath.Base(name), c.sql, got, c.want)
			}
		}
		s.Close()
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
	if n < 300 {
		t.Errorf("only %d statements", n)
	}
	if *rewriteFlag {
		if err := os.WriteFile(open, []byte(strings.TrimRight(differences.String(), "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestErrorMessagesOnPostgres checks the files of testdata/errors on PostgreSQL, or writes them with -rewrite.
func TestErrorMessagesOnPostgres(t *testing.T) {
	s := postgres(t)
	files, err := filepath.Glob(errorFiles)
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	for _, name := range files {
		c := s.database(t)
		if _, err := c.Exec(context.Background(), errorSchema).ReadAll(); err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		for _, e := range readErrors(t, name) {
			got := theirError(c, e.sql)
			fmt.Fprintf(&out, "%s\n----\n%s\n\n", e.sql, got)
			if got != e.want && !*rewriteFlag {
				t.Errorf("%s: %s\ngot  %s\nwant %s", filepath.Base(name), e.sql, got, e.want)
			}
		}
		if *rewriteFlag {
			if err := os.WriteFile(name, []byte(strings.TrimRight(out.String(), "\n")+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}
