package parser

import (
	"math/rand"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"streamsql/internal/pgerr"
	"streamsql/sql/parser/ast"
)

func contains(s, sub string) bool { return strings.Contains(s, sub) }

func TestStatements(t *testing.T) {
	got, err := Parse(" ;; SELECT 'é;', $$;$$ -- c;\n ; /* ; */ SELECT \"a;b\" ; ")
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].Text != "SELECT 'é;', $$;$$" || got[0].Offset != 4 || got[1].Text != `SELECT "a;b"` || got[1].Offset != 40 {
		t.Errorf("%+v", got)
	}
	if p := got[1].Stmt.(*ast.Query).Body.(*ast.Select).Items[0].Expr.Position(); p != 48 {
		t.Errorf("position %d, want 48: positions are characters of the whole text", p)
	}
	for _, empty := range []string{"", "  ", ";;", "-- x", "/* x */;"} {
		if got, err := Parse(empty); err != nil || len(got) != 0 {
			t.Errorf("%q: %v %v", empty, got, err)
		}
	}
	if _, err := ParseOne("SELECT 1; SELECT 2"); err == nil {
		t.Error("two statements are not one")
	}
	if _, err := ParseOne(""); pgerr.From(err).Message != "syntax error at end of input" {
		t.Error(err)
	}
}

// TestErrors checks messages and positions against PostgreSQL 15's.
func TestErrors(t *testing.T) {
	for _, c := range []struct {
		sql, code, message string
		pos                int
	}{
		{"SELECT ü x y", "42601", `syntax error at or near "y"`, 12},
		{"SELECT", "", "", 0},
		{"SELECT 1 +", "42601", "syntax error at end of input", 11},
		{"SELECT (1", "42601", "syntax error at end of input", 10},
		{"SELECT 'abc", "42601", `unterminated quoted string at or near "'abc"`, 8},
		{`SELECT "abc`, "42601", `unterminated quoted identifier at or near ""abc"`, 8},
		{"SELECT $a$abc", "42601", `unterminated dollar-quoted string at or near "$a$abc"`, 8},
		{"SELECT 1 /* x", "42601", `unterminated /* comment at or near "/* x"`, 10},
		{"SELECT B'1", "42601", `unterminated bit string literal at or near "B'1"`, 8},
		{`SELECT ""`, "42601", `zero-length delimited identifier at or near """"`, 8},
		{"SELECT 1_000", "42601", `trailing junk after numeric literal at or near "1_000"`, 8},
		{"SELECT 1x", "42601", `trailing junk after numeric literal at or near "1x"`, 8},
		{"SELECT $1x", "42601", `trailing junk after parameter at or near "$1x"`, 8},
		{"foo", "42601", `syntax error at or near "foo"`, 1},
		{"foo 'abc", "42601", `syntax error at or near "foo"`, 1},
		{"SELECT 1; SELECT * FORM t", "42601", `syntax error at or near "FORM"`, 20},
		{`SELECT E'\u00'`, "22025", "invalid Unicode escape", 10},
		{`SELECT E'\xff'`, "22021", `invalid byte sequence for encoding "UTF8": 0xff`, 8},
		{"SELECT '\xff'", "22021", `invalid byte sequence for encoding "UTF8": 0xff`, 0},
		{"SELECT '\x00'", "22021", `invalid byte sequence for encoding "UTF8": 0x00`, 0},
		{"SELECT $0", "42P02", "there is no parameter $0", 8},
		{"SELECT DEFAULT", "42601", "DEFAULT is not allowed in this context", 8},
		{"SELECT sum(a) OVER (ROWS BETWEEN CURRENT ROW AND 1 PRECEDING)", "42P20", "frame starting from current row cannot have preceding rows", 50},
	} {
		_, err := Parse(c.sql)
		if c.code == "" {
			if err != nil {
				t.Errorf("%s: %v", c.sql, err)
			}
			continue
		}
		if err == nil {
			t.Errorf("%s: no error", c.sql)
			continue
		}
		if e := pgerr.From(err); e.Code != c.code || e.Message != c.message || e.Position != c.pos {
			t.Errorf("%s: %s %q at %d\nwant %s %q at %d", c.sql, e.Code, e.Message, e.Position, c.code, c.message, c.pos)
		}
	}
}

// TestPositions checks that nodes point into the text that was parsed.
func TestPositions(t *testing.T) {
	const sql = "SELECT 1; SELECT é + foo(bar), x::int FROM t AS u JOIN s ON u.a = s.b WHERE NOT c IS NULL GROUP BY TUMBLE(ts, 5) LIMIT 7 EMIT CHANGES"
	stmts, err := Parse(sql)
	if err != nil {
		t.Fatal(err)
	}
	runes := []rune(sql)
	at := func(pos int, want string) {
		t.Helper()
		if pos < 1 || !strings.HasPrefix(string(runes[pos-1:]), want) {
			t.Errorf("position %d is not at %q", pos, want)
		}
	}
	q := stmts[1].Stmt.(*ast.Query)
	s := q.Body.(*ast.Select)
	at(q.Pos, "SELECT é")
	add := s.Items[0].Expr.(*ast.Binary)
	at(add.Pos, "+ foo")
	at(add.R.Position(), "foo(")
	at(add.R.(*ast.FuncCall).Args[0].Position(), "bar")
	at(s.Items[1].Expr.Position(), "::int")
	at(s.Items[1].Expr.(*ast.Cast).Type.Pos, "int FROM")
	j := s.From[0].(*ast.JoinRef)
	at(j.Pos, "JOIN")
	at(j.L.(*ast.TableRef).Pos, "t AS")
	at(j.L.(*ast.TableRef).Alias.Pos, "u JOIN")
	at(j.On.Position(), "= s.b")
	at(s.Where.Position(), "NOT c")
	at(s.GroupBy[0].Window.Pos, "TUMBLE")
	at(s.GroupBy[0].Window.TimeCol.Position(), "ts,")
	at(q.Limit.Position(), "7 ")
	at(q.Emit.Pos, "EMIT")
}

func TestTypeNames(t *testing.T) {
	for _, c := range [][2]string{
		{"int", "(typename name:int4)"},
		{"double precision", "(typename name:float8)"},
		{"numeric(10, -2)[]", "(typename name:numeric mods:[10 (unary - 2)] array:1)"},
		{"float(24)", "(typename name:float4)"},
		{"character varying(3)", "(typename name:varchar mods:[3])"},
		{"char", "(typename name:bpchar mods:[1])"},
		{`"char"`, "(typename name:char)"},
		{"bit varying(3)", "(typename name:varbit mods:[3])"},
		{"timestamp(3) with time zone", "(typename name:timestamptz mods:[3])"},
		{"time without time zone[3][]", "(typename name:time array:2)"},
		{"interval day to second(3)", "(typename name:interval mods:[3] fields:'day to second')"},
		{"text ARRAY[4]", "(typename name:text array:1)"},
		{"pg_catalog.int4", "(typename name:pg_catalog.int4)"},
		{"SETOF app.addr", "(typename name:app.addr setof)"},
	} {
		got, err := ParseTypeName(c[0])
		if err != nil || ast.Format(&got) != c[1] {
			t.Errorf("%s: %s %v, want %s", c[0], ast.Format(&got), err, c[1])
		}
	}
	for _, bad := range []string{"", "1", "int int", "interval month to year", "interval second to day", "numeric(", "text[a]"} {
		if _, err := ParseTypeName(bad); err == nil {
			t.Errorf("%s is no type", bad)
		}
	}
}

// TestDepth checks that deep nesting is refused and that long flat statements are not.
func TestDepth(t *testing.T) {
	const n = 100_000
	deep := []string{
		strings.Repeat("(", n), "SELECT " + strings.Repeat("(", n) + "1" + strings.Repeat(")", n), "SELECT " + strings.Repeat("- ", n) + "a",
		"SELECT " + strings.Repeat("NOT ", n) + "a", "SELECT 1" + strings.Repeat(" + 1", n), "SELECT " + strings.Repeat("ARRAY[", n),
		strings.Repeat("SELECT * FROM (", n), "SELECT 1" + strings.Repeat(" UNION SELECT 1", n), "SELECT " + strings.Repeat("f(", n),
		"SELECT " + strings.Repeat("CASE WHEN ", n), "SELECT a" + strings.Repeat("::int", n), "SELECT a" + strings.Repeat("[1]", n),
		"SELECT * FROM " + strings.Repeat("(a JOIN ", n), "SELECT * FROM a" + strings.Repeat(" JOIN b", n), strings.Repeat("EXPLAIN ", n),
		"SELECT 1 GROUP BY " + strings.Repeat("ROLLUP(", n), strings.Repeat("WITH x AS (", n), "SELECT * FROM a" + strings.Repeat(" CROSS JOIN b", n),
		strings.Repeat("PREPARE x AS ", n),
	}
	for _, sql := range deep {
		start := time.Now()
		_, err := Parse(sql)
		if code := pgerr.Code(err); code != pgerr.StatementTooComplex && code != pgerr.SyntaxError {
			t.Errorf("%.40s..: %v", sql, err)
		}
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("%.40s..: %v", sql, d)
		}
	}
	for _, sql := range []string{
		"SELECT a" + strings.Repeat(" OR a = 1", n), "SELECT a IN (1" + strings.Repeat(",1", n) + ")", "INSERT INTO t VALUES (1,'a')" + strings.Repeat(",(1,'a')", n),
		"SELECT 1" + strings.Repeat(", a", n), strings.Repeat("SELECT 1;", n/10), "SELECT '" + strings.Repeat("''", n) + "'", "SELECT 1 /*" + strings.Repeat("/*", n) + strings.Repeat("*/", n) + "*/",
		"SELECT '" + strings.Repeat("é", n) + "', a" + strings.Repeat(", 'é'", n),
	} {
		start := time.Now()
		if _, err := Parse(sql); err != nil {
			t.Errorf("%.40s..: %v", sql, err)
		}
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("%.40s..: %v", sql, d)
		}
	}
}

func TestSplit(t *testing.T) {
	for _, c := range []struct {
		sql      string
		complete []string
		rest     string
		pending  Pending
	}{
		{"", nil, "", PendingNothing},
		{"SELECT 1", nil, "SELECT 1", PendingStatement},
		{"SELECT 1; ", []string{"SELECT 1"}, " ", PendingNothing},
		{"a;b;c", []string{"a", "b"}, "c", PendingStatement},
		{";;", nil, "", PendingNothing},
		{"SELECT ';'; x", []string{"SELECT ';'"}, " x", PendingStatement},
		{"SELECT 'a;", nil, "SELECT 'a;", PendingString},
		{`SELECT "a;`, nil, `SELECT "a;`, PendingIdent},
		{"SELECT $x$;$$", nil, "SELECT $x$;$$", PendingDollar},
		{"SELECT $x$;$x$;", []string{"SELECT $x$;$x$"}, "", PendingNothing},
		{"SELECT a$b$;", []string{"SELECT a$b$"}, "", PendingNothing},
		{"SELECT 1 -- ;\n;", []string{"SELECT 1 -- ;"}, "", PendingNothing},
		{"/* ; /* ; */", nil, "/* ; /* ; */", PendingBlockComment},
		{"-- x", nil, "-- x", PendingNothing},
		{"f(;", nil, "f(;", PendingParen},
		{"f(;);", []string{"f(;)"}, "", PendingNothing},
		{`SELECT E'\';';`, []string{`SELECT E'\';'`}, "", PendingNothing},
		{`SELECT '\';`, []string{`SELECT '\'`}, "", PendingNothing},
		{"SELECT $1;", []string{"SELECT $1"}, "", PendingNothing},
	} {
		complete, rest, pending := Split(c.sql)
		if !reflect.DeepEqual(complete, c.complete) || rest != c.rest || pending != c.pending {
			t.Errorf("%q: %q %q %d", c.sql, complete, rest, pending)
		}
	}
}

func TestQuote(t *testing.T) {
	for s, want := range map[string]string{"a": "a", "A": `"A"`, "select": `"select"`, "left": `"left"`, "int": `"int"`, "emit": "emit", "a b": `"a b"`, `a"b`: `"a""b"`, "1a": `"1a"`, "": `""`, "day": "day"} {
		if got := QuoteIdent(s); got != want {
			t.Errorf("QuoteIdent(%q) = %s, want %s", s, got, want)
		}
	}
	seed := time.Now().UnixNano()
	r := rand.New(rand.NewSource(seed))
	for range 500 {
		b := make([]rune, 1+r.Intn(8))
		for i := range b {
			b[i] = []rune(`aZ_0"'\$;é- `)[r.Intn(12)]
		}
		s := string(b)
		e, err := ParseExpr(QuoteLiteral(s))
		if err != nil || e.(*ast.Literal).Text != s {
			t.Fatalf("seed %d: literal %q reads back as %v %v", seed, s, e, err)
		}
		e, err = ParseExpr(QuoteIdent(s))
		if err != nil || e.(*ast.ColumnRef).Parts[0] != s {
			t.Fatalf("seed %d: identifier %q reads back as %v %v", seed, s, e, err)
		}
	}
}

func TestKeywords(t *testing.T) {
	words := Keywords()
	for _, w := range []string{"select", "emit", "tumble", "watermark", "zone"} {
		if !contains(" "+strings.Join(words, " ")+" ", " "+w+" ") {
			t.Errorf("%s is missing", w)
		}
	}
	if c, bare, ok := KeywordCategory("year"); c != 'U' || bare || !ok {
		t.Errorf("year: %c %v %v", c, bare, ok)
	}
	if _, _, ok := KeywordCategory("foo"); ok {
		t.Error("foo is no keyword")
	}
}

func TestIdentifiers(t *testing.T) {
	long := strings.Repeat("é", 40)
	e, err := ParseExpr(long + "." + `"` + strings.Repeat("A", 70) + `"`)
	if err != nil {
		t.Fatal(err)
	}
	c := e.(*ast.ColumnRef)
	if c.Parts[0] != strings.Repeat("é", 31) || c.Parts[1] != strings.Repeat("A", 63) {
		t.Errorf("identifiers are cut to 63 bytes at a character: %q", c.Parts)
	}
}

// FuzzParse checks that no text makes the parser panic or its two grammars disagree.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"SELECT a FROM TUMBLE(t, ts, INTERVAL '1' DAY) GROUP BY 1 EMIT CHANGES", "INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING",
		"WITH x AS (DELETE FROM t RETURNING *) SELECT (a).b[1:2], ARRAY[[1]] FROM x JOIN y USING (a)", "CREATE SOURCE s (a int, WATERMARK FOR a) WITH (a=b)",
		"((SELECT 1) UNION VALUES (1,(2)) ORDER BY 1) LIMIT 1", "SELECT sum(a) OVER (w ROWS 1 PRECEDING) FROM t WINDOW w AS ()",
		"SELECT E'\\u0041', U&'\\0041' UESCAPE '!', $$a$$, b'1'", "COPY (SUBSCRIBE t) TO STDOUT (FORMAT csv)",
		"SELECT a GROUP BY GROUPING SETS ((a,b),()), HOP(t, 1, 2)", "SELECT * FROM ROWS FROM (f(1), g()) WITH ORDINALITY, LATERAL (SELECT 1) x",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		if len(sql) > 10_000 {
			return
		}
		start := time.Now()
		_, err := Parse(sql)
		if d := time.Since(start); d > 10*time.Second {
			t.Fatalf("%v for %q", d, sql)
		}
		if pgerr.Code(err) == pgerr.InternalError {
			e := pgerr.From(err)
			t.Fatalf("%s: %s %s", sql, e.Message, e.Detail)
		}
		if c := pgerr.Code(err); strings.TrimSpace(sql) != "" && err != nil && c == "" {
			t.Fatal("an error without a code")
		}
		Split(sql)
	})
}

// TestRandomTokens puts words of the grammar in random order: most texts are
// wrong, and none may confuse the parser.
func TestRandomTokens(t *testing.T) {
	words := append(strings.Fields(`SELECT FROM WHERE GROUP BY ORDER ( ) ( ) , , a b t 1 'x' $1 = + - * || :: int [ ] . AS JOIN ON USING LEFT UNION ALL
		VALUES WITH INSERT INTO UPDATE SET DELETE RETURNING CASE WHEN THEN END NOT NULL IS IN BETWEEN AND OR LIKE ANY ARRAY ROW EXISTS EMIT CHANGES
		TUMBLE HOP SESSION DISTINCT LIMIT OFFSET OVER PARTITION ROWS FILTER CREATE TABLE VIEW CAST INTERVAL DAY EXTRACT TRIM LATERAL ; DEFAULT GROUPING SETS
		ROLLUP WINDOW w HAVING LATERAL TABLE TABLESAMPLE OVERLAPS COLLATE AT TIME ZONE FOR FETCH FIRST ONLY`), "f(", "(SELECT 1)", "FROM t", "SELECT a")
	seed := time.Now().UnixNano()
	r := rand.New(rand.NewSource(seed))
	for range 30_000 {
		var b strings.Builder
		b.WriteString([]string{"SELECT ", "SELECT a FROM t ", "SELECT * FROM ", "INSERT INTO t ", "UPDATE t SET a = ", "", "WITH x AS ("}[r.Intn(7)])
		for range r.Intn(14) {
			b.WriteString(words[r.Intn(len(words))])
			b.WriteByte(' ')
		}
		_, err := Parse(b.String())
		if pgerr.Code(err) == pgerr.InternalError {
			t.Fatalf("seed %d: %s: %v %s", seed, b.String(), err, pgerr.From(err).Detail)
		}
	}
}

func benchmark(b *testing.B, sql string) {
	b.ReportAllocs()
	b.SetBytes(int64(len(sql)))
	for b.Loop() {
		if _, err := Parse(sql); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWindowAggregate(b *testing.B) {
	benchmark(b, `SELECT window_start, auction, count(*) AS n, sum(price) FILTER (WHERE price > 100) AS s
		FROM HOP(bid, ts, INTERVAL '2 seconds', INTERVAL '10 seconds') WHERE channel <> 'x' GROUP BY window_start, auction HAVING count(*) > 1 EMIT ON WINDOW CLOSE`)
}

func BenchmarkCatalogQuery(b *testing.B) {
	benchmark(b, "SELECT 1"+strings.Repeat(`, CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' END as "Type", pg_catalog.pg_get_userbyid(c.relowner)
		, (SELECT d.adbin::pg_catalog.text FROM pg_catalog.pg_attrdef d WHERE d.adrelid = a.attrelid AND d.adnum = any(x) AND NOT a.atthasdef)`, 25)+
		` FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r','p') AND n.nspname !~ '^pg_' ORDER BY 1,2`)
}

func BenchmarkInsertValues(b *testing.B) {
	benchmark(b, "INSERT INTO t VALUES (1, 'abc', 2.5, NULL)"+strings.Repeat(", (1, 'abc', 2.5, NULL)", 9_999))
}

func BenchmarkSelectOne(b *testing.B) { benchmark(b, "SELECT 1") }

// TestCarriers sends every operator through the grammar, which gives the trees
// that the dialect stage finishes by itself where it can.
func TestCarriers(t *testing.T) {
	defer func() { keepCarriers = false }()
	check := func(sql string) {
		t.Helper()
		keepCarriers = false
		want := outcome(sql)
		keepCarriers = true
		if got := outcome(sql); got != want {
			t.Errorf("%s:\n got %s\nwant %s", sql, got, want)
		}
	}
	for _, pattern := range []string{"testdata/golden/*.txt", "testdata/clients/*.sql"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatal(pattern, err)
		}
		for _, name := range files {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, sql := range strings.Split(string(text), "\n----\n") {
				if strings.HasSuffix(name, ".txt") {
					_, sql, _ = strings.Cut(sql, "\n\n")
				}
				check(sql)
			}
		}
	}
}
