// Package sqltest runs SQL tests that are written as data: files in the manner
// of sqllogictest, extended with what a streaming engine needs (changelogs,
// queries that run beside the statements, COPY data) and with a comparison
// against PostgreSQL. testdata/slt/README.md describes the format.
package sqltest

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// kind says what a record does.
type kind uint8

const (
	statement kind = iota
	query          // runs a query and compares its rows
	copyIn         // runs COPY .. FROM STDIN with the data after ----
	changelog      // compares a query's snapshot with the fold of its changes
	listen         // starts a continuous query in a session of its own
	expect         // compares the rows that a continuous query has given since
	finish         // as expect, and the query must end by itself
	unlisten       // ends a continuous query
)

// record is one test case of a script.
type record struct {
	kind kind
	line int // of its first line in the file
	name string
	sql  string
	// wantErr is the SQLSTATE that is expected, "" for success; errLike must match the error as describe words it.
	wantErr, errLike string
	tag              string   // of a statement: the command tag expected, "" for any
	types            string   // a letter a column: I integer, R real, T text, B boolean, D date or time, ? anything
	flags            []string // rowsort, retry, close
	rows             []string // expected rows; of COPY its data
	// postgres says that PostgreSQL must give the same.
	postgres bool
	// resultFrom and resultTo are the lines of the file that hold the expected rows, for rewriting.
	resultFrom, resultTo int
	head                 int // the line of the file that begins the record proper
}

func (r *record) has(flag string) bool {
	for _, f := range r.flags {
		if f == flag {
			return true
		}
	}
	return false
}

// script is a parsed file.
type script struct {
	path    string
	lines   []string
	records []*record
	// once says that the file is run in one mode only: it is long, or measures.
	once bool
}

// parse reads a script. dataDir replaces ${DATA}.
func parse(path, dataDir string) (*script, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s := &script{path: path, lines: strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")}
	postgres := false
	var pending record // attributes of the next record
	for i := 0; i < len(s.lines); {
		line := strings.TrimRight(s.lines[i], " ")
		words := strings.Fields(line)
		bad := func(format string, a ...any) error {
			return fmt.Errorf("%s:%d: %s", path, i+1, fmt.Sprintf(format, a...))
		}
		if len(words) == 0 || strings.HasPrefix(line, "#") {
			i++
			continue
		}
		switch words[0] {
		case "halt":
			return s, nil
		case "once":
			s.once = true
			i++
			continue
		case "control":
			if len(words) != 3 || words[1] != "postgres" {
				return nil, bad("control postgres on|off")
			}
			postgres = words[2] == "on"
			i++
			continue
		case "case":
			pending.name = strings.TrimSpace(strings.TrimPrefix(line, "case"))
			i++
			continue
		case "skipif", "onlyif":
			if len(words) != 2 || words[1] != "postgres" && line != "skipif spilled" {
				return nil, bad("%s postgres, or skipif spilled", words[0])
			}
			pending.flags = append(pending.flags, line)
			i++
			continue
		}
		r := pending
		r.line, r.head = i+1, i
		r.postgres = postgres && !r.has("skipif postgres") || r.has("onlyif postgres")
		pending = record{name: r.name}
		switch words[0] {
		case "statement", "copy":
			if words[0] == "copy" {
				r.kind = copyIn
			}
			if len(words) < 2 || words[1] != "ok" && words[1] != "error" {
				return nil, bad("%s ok [TAG] | error SQLSTATE [REGEXP]", words[0])
			}
			if words[1] == "ok" {
				r.tag = strings.Join(words[2:], " ")
				break
			}
			if len(words) < 3 {
				return nil, bad("which SQLSTATE?")
			}
			r.wantErr = words[2]
			_, after, _ := strings.Cut(line, words[2])
			r.errLike = strings.TrimSpace(after)
		case "query", "changelog", "listen", "expect", "finish", "unlisten":
			r.kind = map[string]kind{"query": query, "changelog": changelog, "listen": listen, "expect": expect, "finish": finish, "unlisten": unlisten}[words[0]]
			rest := words[1:]
			if r.kind == listen || r.kind == expect || r.kind == finish || r.kind == unlisten {
				if len(rest) == 0 {
					return nil, bad("which query?")
				}
				r.tag, rest = rest[0], rest[1:]
			}
			if r.kind == query && len(rest) > 0 && strings.Trim(rest[0], "IRTBD?") == "" {
				r.types, rest = rest[0], rest[1:]
			}
			r.flags = append(r.flags, rest...)
		default:
			return nil, bad("unknown directive %q", words[0])
		}
		i++
		var sql []string
		for ; i < len(s.lines) && strings.TrimSpace(s.lines[i]) != "" && s.lines[i] != "----"; i++ {
			sql = append(sql, s.lines[i])
		}
		r.sql = strings.ReplaceAll(strings.Join(sql, "\n"), "${DATA}", dataDir)
		r.resultFrom, r.resultTo = i, i
		if i < len(s.lines) && s.lines[i] == "----" {
			for i++; i < len(s.lines) && s.lines[i] != ""; i++ {
				r.rows = append(r.rows, s.lines[i])
			}
			r.resultTo = i
		}
		s.records = append(s.records, &r)
	}
	return s, nil
}

// rewrite writes the file again with the rows that were got. results are parallel to the records; nil leaves one as it is.
func (s *script) rewrite(results [][]string, types []string) error {
	var out []string
	at := 0
	for i, r := range s.records {
		if results[i] == nil {
			continue
		}
		out = append(out, s.lines[at:r.resultFrom]...)
		if types[i] != "" && r.kind == query {
			h := len(out) - (r.resultFrom - r.head)
			out[h] = strings.Join(append([]string{"query", types[i]}, keepFlags(r.flags)...), " ")
		}
		out = append(out, "----")
		out = append(out, results[i]...)
		at = r.resultTo
	}
	out = append(out, s.lines[at:]...)
	return os.WriteFile(s.path, []byte(strings.Join(out, "\n")+"\n"), 0o644)
}

func keepFlags(flags []string) []string {
	var out []string
	for _, f := range flags {
		if !strings.Contains(f, " ") {
			out = append(out, f)
		}
	}
	return out
}

// cell words a value as the files hold it: NULL, (empty), and no line breaks.
func cell(text string, null bool) string {
	switch {
	case null:
		return "NULL"
	case text == "":
		return "(empty)"
	case strings.ContainsAny(text, "\n\r\t"):
		q := strconv.Quote(text)
		return q[1 : len(q)-1]
	}
	return text
}
