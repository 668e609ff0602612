package main

import (
	"reflect"
	"strings"
	"testing"

	"streamsql/internal/pgerr"
)

func TestStatementEnd(t *testing.T) {
	for sql, want := range map[string]string{
		"select 1; x":                      "select 1;",
		"select 1":                         "",
		"select ';' ; x":                   "select ';' ;",
		"select 'it''s;'; x":               "select 'it''s;';",
		`select E'\';'; x`:                 `select E'\';';`,
		`select '\'; x`:                    `select '\';`,
		`select ";""" ; x`:                 `select ";""" ;`,
		"select 1 -- ; no\n; x":            "select 1 -- ; no\n;",
		"select 1 -- ; no":                 "",
		"select /* ; /* ; */ ; */ 1; x":    "select /* ; /* ; */ ; */ 1;",
		"select /* ; ":                     "",
		"select $$ ; $$; x":                "select $$ ; $$;",
		"select $a$ ; $$ ; $a$; x":         "select $a$ ; $$ ; $a$;",
		"select $1; x":                     "select $1;",
		"select a$1$; x":                   "select a$1$;",
		"create rule (a; b); x":            "create rule (a; b);",
		"select ')' ; x":                   "select ')' ;",
		"select 'open":                     "",
		"select $$ open":                   "",
		"insert into t values (1, ';') ;;": "insert into t values (1, ';') ;",
	} {
		got := ""
		if n := statementEnd(sql); n >= 0 {
			got = sql[:n]
		}
		if got != want {
			t.Errorf("%q: %q, want %q", sql, got, want)
		}
	}
	for sql, want := range map[string]bool{"": true, " ;\n": true, "-- x": true, "/* a /* b */ */ ;": true, "/* a": false, "x": false, "-- x\ny": false} {
		if blank(sql) != want {
			t.Errorf("blank(%q) = %v", sql, !want)
		}
	}
}

func TestCaret(t *testing.T) {
	long := "select " + strings.Repeat("a, ", 50) + "nope" + strings.Repeat(", b", 50)
	for _, x := range []struct {
		sql  string
		pos  int
		want string
	}{
		{"select a", 8, "LINE 1: select a\n               ^\n"},
		{"select\n\tä, b", 12, "LINE 2:  ä, b\n            ^\n"},
		{"select", 7, "LINE 1: select\n              ^\n"},
		{"x", 9, ""},
		{long, 158, "LINE 1: ..., a, a, a, a, a, a, a, a, a, nope, b, b, b, b, b, b, b, b, b...\n" + strings.Repeat(" ", 8+3+30) + "^\n"},
	} {
		var b strings.Builder
		printCaret(&b, x.sql, x.pos)
		lines := strings.Split(b.String(), "\n")
		if x.sql == long { // the caret is under the n of nope
			if i := strings.IndexByte(lines[1], '^'); !strings.HasPrefix(lines[0][i:], "nope") || len(lines[0]) > 80 {
				t.Errorf("long line:\n%s", b.String())
			}
			continue
		}
		if b.String() != x.want {
			t.Errorf("%q at %d:\n%q, want\n%q", x.sql, x.pos, b.String(), x.want)
		}
	}
	var b strings.Builder
	e := pgerr.New(pgerr.SyntaxError, "bad").WithDetail("d").WithHint("h")
	printError(&b, "f.sql:3", "", e)
	if want := "f.sql:3: ERROR:  bad\nDETAIL:  d\nHINT:  h\n"; b.String() != want {
		t.Errorf("%q", b.String())
	}
}

func TestComplete(t *testing.T) {
	e, ok := new(resources).open(nil, streams{})
	if !ok {
		t.Fatal("no engine")
	}
	defer e.Close()
	var out, errs strings.Builder
	s, err := newShell(e, streams{nil, &out, &errs}, "table")
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if !s.run(t.Context(), "create table trips (fare int, distance int)", "") {
		t.Fatal(errs.String())
	}
	for before, want := range map[string][]string{
		"select * from tr":      {"ips"},
		"select fals":           {"e"},
		"select trips.d":        {"istance"},
		`\ti`:                   {"ming"},
		`\d tr`:                 {"ips"},
		"select * from trips e": nil,
	} {
		got, shared := s.complete(before)
		if want == nil { // keywords in the user's case
			if !strings.Contains(strings.Join(got, " "), "mit") || shared != 1 {
				t.Errorf("%q: %q", before, got)
			}
			continue
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %q, want %q", before, got, want)
		}
	}
	if got, _ := s.complete("SELEC"); !reflect.DeepEqual(got, []string{"T"}) {
		t.Errorf("SELEC: %q", got)
	}
}

func TestRedraw(t *testing.T) {
	if got, want := redraw("abc\ndef\n", 2, 2), "\x1b[2A\x1b[2Kab\n\x1b[2Kde\n\x1b[J"; got != want {
		t.Errorf("%q", got)
	}
}

func TestTextWidth(t *testing.T) {
	for s, want := range map[string]int{"": 0, "abc": 3, "äö": 2, "日本": 4, "é": 1, "🙂": 2} {
		if got := textWidth(s); got != want {
			t.Errorf("%q: %d", s, got)
		}
	}
}
