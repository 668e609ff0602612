package parser

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"streamsql/internal/pgerr"
	"streamsql/sql/parser/ast"
)

var rewrite = flag.Bool("rewrite", false, "write what the parser gives into testdata/golden")

// outcome gives the trees of a text, or its error as a client sees it.
func outcome(sql string) string {
	stmts, err := Parse(sql)
	if err != nil {
		e := pgerr.From(err)
		s := fmt.Sprintf("ERROR %s at %d: %s", e.Code, e.Position, e.Message)
		if e.Detail != "" {
			s += "\nDETAIL " + e.Detail
		}
		if e.Hint != "" {
			s += "\nHINT " + e.Hint
		}
		return s
	}
	lines := make([]string, len(stmts))
	for i, s := range stmts {
		lines[i] = ast.Format(s.Stmt)
	}
	return strings.Join(lines, "\n")
}

func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/golden/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no golden files", err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		for _, block := range strings.Split(strings.TrimRight(string(text), "\n")+"\n", "\n\n") {
			sql, want, ok := strings.Cut(block, "\n----\n")
			if !ok {
				if sql, ok = strings.CutSuffix(block, "\n----"); !ok {
					t.Fatalf("%s: no ---- in %q", name, block)
				}
			}
			got := outcome(sql)
			out.WriteString(sql + "\n----\n" + got + "\n\n")
			if want = strings.TrimRight(want, "\n"); got != want && !*rewrite {
				t.Errorf("%s: %s\n got %s\nwant %s", filepath.Base(name), sql, got, want)
			}
		}
		if *rewrite {
			if err := os.WriteFile(name, []byte(out.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestClients parses what the clients of PostgreSQL really send. Their own
// mistakes, sent to see an error, stay mistakes.
func TestClients(t *testing.T) {
	files, err := filepath.Glob("testdata/clients/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatal("no client files", err)
	}
	n := 0
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, sql := range strings.Split("\n"+string(text), "\n----\n") {
			var lines []string
			for _, l := range strings.Split(sql, "\n") {
				if !strings.HasPrefix(l, `\`) {
					lines = append(lines, l)
				}
			}
			sql = strings.Join(lines, "\n")
			n++
			_, err := Parse(sql)
			if strings.HasPrefix(strings.TrimPrefix(strings.TrimSpace(sql), "BEGIN;"), "selec") && !strings.Contains(sql, "select") {
				if pgerr.Code(err) != pgerr.SyntaxError {
					t.Errorf("%s: %s: %v, want a syntax error", name, sql, err)
				}
				continue
			}
			if err != nil {
				e := pgerr.From(err)
				t.Errorf("%s: %s %s at %d %s\n%s", name, e.Code, e.Message, e.Position, e.Detail, sql)
			}
		}
	}
	if n < 500 {
		t.Errorf("only %d statements were found", n)
	}
}
