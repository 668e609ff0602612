package types

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"streamsql/internal/pgerr"
	"streamsql/internal/pgtest"
)

// The golden files hold what PostgreSQL 15 answers; -update asks a private server again.
var update = flag.Bool("update", false, "rewrite testdata from a PostgreSQL server started for it")

// startPostgres runs a private server and gives a connection; it skips the test where there is no postgres.
func startPostgres(t *testing.T) *pgconn.PgConn {
	t.Helper()
	s, err := pgtest.Start()
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(s.Stop)
	c, err := pgconn.Connect(context.Background(), s.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// ask gives the first column of the first row as text, or the error as the golden files hold it.
func ask(c *pgconn.PgConn, sql string) string {
	res, err := c.Exec(context.Background(), sql).ReadAll()
	if err != nil {
		var pe *pgconn.PgError
		if errors.As(err, &pe) {
			return errorText(pe.Code, pe.Message, pe.Detail, pe.Hint)
		}
		return "!" + err.Error()
	}
	for i := len(res) - 1; i >= 0; i-- {
		if len(res[i].Rows) > 0 {
			if res[i].Rows[0][0] == nil {
				return "<null>"
			}
			return string(res[i].Rows[0][0])
		}
	}
	return "<none>"
}

func errorText(code, msg, detail, hint string) string {
	s := "!" + code + " " + msg
	if detail != "" {
		s += " | " + detail
	}
	if hint != "" {
		s += " | hint: " + hint
	}
	return s
}

func errorOf(err error) string {
	e := pgerr.From(err)
	return errorText(e.Code, e.Message, e.Detail, e.Hint)
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

var escaper = strings.NewReplacer("\\", "\\\\", "\t", "\\t", "\n", "\\n")

func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
			switch s[i] {
			case 't':
				b.WriteByte('\t')
			case 'n':
				b.WriteByte('\n')
			default:
				b.WriteByte(s[i])
			}
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// eachGolden calls f with the key columns and the result of each line; with -update it writes what ask gives instead.
func eachGolden(t *testing.T, name string, sql func(cols []string) string, f func(line int, cols []string, want string)) {
	path := filepath.Join("testdata", name)
	in, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var pg *pgconn.PgConn
	var out strings.Builder
	if *update {
		pg = startPostgres(t)
	}
	sc := bufio.NewScanner(strings.NewReader(string(in)))
	sc.Buffer(nil, 1<<20)
	for n := 1; sc.Scan(); n++ {
		line := sc.Text()
		if line == "" || line[0] == '#' {
			out.WriteString(line + "\n")
			continue
		}
		key, res, _ := strings.Cut(line, " => ")
		cols := strings.Split(key, "\t")
		for i := range cols {
			cols[i] = unescape(cols[i])
		}
		want := unescape(res)
		if pg != nil {
			want = ask(pg, sql(cols))
			fmt.Fprintf(&out, "%s => %s\n", key, escaper.Replace(want))
			continue
		}
		f(n, cols, want)
	}
	if pg != nil { // compare in a run of its own
		if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// parseSettings reads "tz=..;ds=..;is=..;bo=..;fd=..".
func parseSettings(t *testing.T, s string) (*Env, string) {
	env := &Env{DateStyle: "ISO, MDY"}
	sql := "RESET ALL; SET TimeZone = 'UTC';"
	for kv := range strings.SplitSeq(s, ";") {
		k, v, _ := strings.Cut(kv, "=")
		name := ""
		switch k {
		case "":
			continue
		case "tz":
			z, err := LoadZone(v)
			if err != nil {
				t.Fatal(err)
			}
			env.Zone, name = z, "TimeZone"
		case "ds":
			env.DateStyle, name = v, "DateStyle"
		case "is":
			env.IntervalStyle, name = v, "IntervalStyle"
		case "bo":
			env.ByteaOutput, name = v, "bytea_output"
		case "fd":
			var n int
			_, _ = fmt.Sscan(v, &n)
			env.SetExtraFloatDigits(n)
			name = "extra_float_digits"
		}
		sql += fmt.Sprintf("SET %s = %s;", name, quote(v))
	}
	return env, sql
}

// typeOf reads a type as the golden files write it: a name, perhaps with a modifier and [].
func typeOf(t *testing.T, s string) T {
	base, isArray := strings.CutSuffix(s, "[]")
	name, args, has := strings.Cut(base, "(")
	typ, ok := Lookup(name)
	if !ok {
		t.Fatalf("type %s", s)
	}
	if has {
		var a, b int
		n, _ := fmt.Sscanf(strings.ReplaceAll(strings.TrimSuffix(args, ")"), ",", " "), "%d %d", &a, &b)
		switch typ.OID {
		case OIDNumeric:
			typ.Mod = NumericMod(a, b)
		case OIDVarchar, OIDBpchar:
			typ.Mod = int32(a) + 4
		case OIDInterval:
			typ.Mod, _ = IntervalMod("", a)
		default:
			typ.Mod = int32(a)
		}
		_ = n
	}
	if isArray {
		typ, _ = typ.ArrayOf()
	}
	return typ
}

func TestInputOutput(t *testing.T) {
	tables, last := map[string]int{}, "?"
	eachGolden(t, "io.golden", func(c []string) string {
		sql := ""
		if c[0] != last {
			_, sql = parseSettings(t, c[0])
			last = c[0]
		}
		n, ok := tables[c[1]]
		if !ok {
			n = len(tables)
			tables[c[1]] = n
			sql += fmt.Sprintf("CREATE TEMP TABLE x%d (v %s);", n, c[1])
		}
		if sql != "" {
			sql += "COMMIT;"
		}
		return sql + fmt.Sprintf("INSERT INTO x%d VALUES (%s) RETURNING v", n, quote(c[2]))
	}, func(line int, c []string, want string) {
		env, _ := parseSettings(t, c[0])
		typ := typeOf(t, c[1])
		d, err := ParseText(env, typ, c[2])
		got := ""
		if err != nil {
			got = errorOf(err)
		} else {
			got = string(AppendText(nil, env, typ, d))
		}
		if got != want {
			t.Errorf("line %d: %s %q\n got  %s\n want %s", line, c[1], c[2], got, want)
			return
		}
		if err != nil {
			return
		}
		// The binary format takes the value there and back.
		back, err := DecodeBinary(typ, AppendBinary(nil, typ, d))
		if err != nil || Compare(typ, d, back) != 0 || string(AppendText(nil, env, typ, back)) != got {
			t.Errorf("line %d: binary of %s %q: %v, %v", line, c[1], c[2], back, err)
		}
	})
}
