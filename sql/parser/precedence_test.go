package parser

import (
	"testing"

	"streamsql/internal/pgerr"
	"streamsql/sql/parser/ast"
)

// TestPrecedence compares an expression with what PostgreSQL's grammar makes of it, written with parentheses.
func TestPrecedence(t *testing.T) {
	for _, c := range [][2]string{
		{"-2 ^ 2", "(-2) ^ 2"},
		{"- a ^ 2", "(- a) ^ 2"},
		{"- a::int", "- (a::int)"},
		{"- a[1]", "- (a[1])"},
		{"- (a).b", "- ((a).b)"},
		{"-1::int", "- (1::int)"},
		{"a ^ b ^ c", "(a ^ b) ^ c"},
		{"a - b - c", "(a - b) - c"},
		{"a + b * c", "a + (b * c)"},
		{"a * b ^ c", "a * (b ^ c)"},
		{"a / b % c * d", "((a / b) % c) * d"},
		{"a || b + c", "a || (b + c)"},
		{"a || b || c", "(a || b) || c"},
		{"a + b || c", "(a + b) || c"},
		{"a -> 'x' = 'y'", "(a -> 'x') = 'y'"},
		{"a -> 'x' ->> 'y'", "(a -> 'x') ->> 'y'"},
		{"a -> 'x' || b", "(a -> 'x') || b"},
		{"a -> b + 1", "a -> (b + 1)"},
		{"a & b = c", "(a & b) = c"},
		{"a << b + c", "a << (b + c)"},
		{"a # b * c", "a # (b * c)"},
		{"~ a + b", "~ (a + b)"},
		{"~ a || b", "(~ a) || b"},
		{"@ - a", "@ (- a)"},
		{"- @ a", "- (@ a)"},
		{"a @> b AND c", "(a @> b) AND c"},
		{"NOT a = b IS NULL", "NOT ((a = b) IS NULL)"},
		{"NOT a AND b", "(NOT a) AND b"},
		{"NOT a IS NULL", "NOT (a IS NULL)"},
		{"NOT a LIKE b", "NOT (a LIKE b)"},
		{"NOT NOT a", "NOT (NOT a)"},
		{"a = NOT b", "a = (NOT b)"},
		{"a = NOT b AND c", "(a = (NOT b)) AND c"},
		{"a = NOT b = c", "a = (NOT (b = c))"},
		{"a OR b AND c", "a OR (b AND c)"},
		{"a AND b OR c AND d", "(a AND b) OR (c AND d)"},
		{"a AND b OR NOT c", "(a AND b) OR (NOT c)"},
		{"a < b IS TRUE", "(a < b) IS TRUE"},
		{"a IS NULL = b", "a IS NULL = b"},
		{"a = b IS DISTINCT FROM c", "(a = b) IS DISTINCT FROM c"},
		{"a IS DISTINCT FROM b AND c", "(a IS DISTINCT FROM b) AND c"},
		{"a IS NOT DISTINCT FROM b + 1", "a IS NOT DISTINCT FROM (b + 1)"},
		{"a IS NULL IS NULL", "(a IS NULL) IS NULL"},
		{"a ISNULL AND b NOTNULL", "(a IS NULL) AND (b IS NOT NULL)"},
		{"a BETWEEN 1 AND 2 AND b", "(a BETWEEN 1 AND 2) AND b"},
		{"a BETWEEN b + 1 AND c + 2", "a BETWEEN (b + 1) AND (c + 2)"},
		{"a BETWEEN b = c AND d", "a BETWEEN (b = c) AND d"},
		{"a BETWEEN 1 AND 2 = c", "(a BETWEEN 1 AND 2) = c"},
		{"a = b BETWEEN 1 AND 2", "a = (b BETWEEN 1 AND 2)"},
		{"a NOT BETWEEN 1 AND 2 OR b", "(a NOT BETWEEN 1 AND 2) OR b"},
		{"a + b IN (1, 2)", "(a + b) IN (1, 2)"},
		{"a = b IN (1)", "a = (b IN (1))"},
		{"a || b LIKE c || d", "(a || b) LIKE (c || d)"},
		{"a LIKE b = c", "(a LIKE b) = c"},
		{"a LIKE b ESCAPE c || d", "a LIKE b ESCAPE (c || d)"},
		{"a LIKE b ESCAPE c AND d", "(a LIKE b ESCAPE c) AND d"},
		{"a ~ b || c", "(a ~ b) || c"},
		{"a = ANY (b) = ANY (c)", "(a = ANY (b)) = ANY (c)"},
		{"a + b::int", "a + (b::int)"},
		{"a::int::text", "(a::int)::text"},
		{"a::int[1]", "a::int[]"},
		{"a::int = b", "(a::int) = b"},
		{"a || b COLLATE \"C\"", "a || (b COLLATE \"C\")"},
		{"a COLLATE \"C\" < b", "(a COLLATE \"C\") < b"},
		{"- a COLLATE \"C\"", "(- a) COLLATE \"C\""},
		{"a AT TIME ZONE b AT TIME ZONE c", "(a AT TIME ZONE b) AT TIME ZONE c"},
		{"a + b AT TIME ZONE c", "a + (b AT TIME ZONE c)"},
		{"a AT TIME ZONE b || c", "(a AT TIME ZONE b) || c"},
		{"a::timestamp AT TIME ZONE 'x'", "(a::timestamp) AT TIME ZONE 'x'"},
		{"a OPERATOR(pg_catalog.+) b * c", "a OPERATOR(pg_catalog.+) (b * c)"},
		{"a OPERATOR(pg_catalog.*) b + c", "a OPERATOR(pg_catalog.*) (b + c)"},
		{"a <> b OR c != d", "(a <> b) OR (c <> d)"},
		{"a*-1", "a * (-1)"},
		{"a @-1", "a @- 1"},
		{"a <-1", "a < -1"},
		{"a[1][2]", "a[1][2]"},
		{"(a).b.c", "((a).b).c"},
		{"DATE '2020-01-01' + 1", "(DATE '2020-01-01') + 1"},
		{"INTERVAL '1' DAY * 2", "(INTERVAL '1' DAY) * 2"},
		{"CASE WHEN a THEN b ELSE c END + 1", "(CASE WHEN a THEN b ELSE c END) + 1"},
	} {
		got, err := ParseExpr(c[0])
		if err != nil {
			t.Errorf("%s: %v", c[0], err)
			continue
		}
		want, err := ParseExpr(c[1])
		if err != nil {
			// The operators that compare do not chain without parentheses on either side.
			t.Errorf("%s: %v", c[1], err)
			continue
		}
		if g, w := ast.Format(got), ast.Format(want); g != w {
			t.Errorf("%s:\n got %s\nwant %s", c[0], g, w)
		}
	}
	for _, bad := range []string{
		"a < b = c", "a < b < c", "a < b = ANY (c)", "a = b <> c", "a LIKE b LIKE c", "a BETWEEN 1 AND 2 BETWEEN 3 AND 4", "a LIKE b IN (c)",
		"a IS DISTINCT FROM b IS NULL", "a BETWEEN b AND", "a BETWEEN NOT b AND c", "f(a).b", "f(a)[1]", "ARRAY[1][1]", "a NOT", "a NOT b",
		"a = ", "= a", "a b", "(a", "a)", "()", "a..b", "a.1", "[1]", "a => b", "a := b", "CASE END", "ROW(1).a",
	} {
		if e, err := ParseExpr(bad); pgerr.Code(err) != pgerr.SyntaxError {
			t.Errorf("%s: %v, want a syntax error", bad, ast.Format(e))
		}
	}
}

// TestMisreadings holds what TiDB's grammar would read differently from PostgreSQL without a word.
func TestMisreadings(t *testing.T) {
	for _, c := range []struct{ sql, want string }{
		{"SELECT 1 FROM t FULL JOIN s ON true", "(joinref kind:full (tableref name:t) (tableref name:s) on:true)"},
		{"SELECT 1 FROM t NATURAL FULL JOIN s", "(joinref kind:full (tableref name:t) (tableref name:s) natural)"},
		{"SELECT 1 FROM t EMIT CHANGES", "from:[(tableref name:t)]) emit:(emit trigger:changes))"},
		{"SELECT 1 FROM t EMIT", "(tableref name:t alias:(alias name:'emit'))"},
		{`SELECT E'a\nb'`, "(selectitem 'a\nb')"},
		{`SELECT E 'a'`, "(cast 'a' type:(typename name:e) literal)"},
		{"SELECT a # b", "(binary # a b)"},
		{"SELECT # a", "(unary # a)"},
		{"SELECT 1 --x\n+ 2", "(binary + 1 2)"},
		{"SELECT 1--2", "(selectitem 1)]))"},
		{"SELECT a ^ b", "(binary ^ a b)"},
		{"SELECT 2 * 3 ^ 2", "(binary * 2 (binary ^ 3 2))"},
		{"SELECT a || b = c", "(binary = (binary || a b) c)"},
		{"SELECT a && b", "(binary && a b)"},
		{"SELECT !a", "(unary ! a)"},
		{"SELECT a !~ b", "(binary !~ a b)"},
		{`SELECT "x"`, "(selectitem x)"},
		{`SELECT "X"."y Z"`, `(selectitem "X"."y Z")`},
		{"SELECT X.Y", "(selectitem x.y)"},
		{`SELECT 'a\'`, `(selectitem 'a\')`},
		{`SELECT '\\'`, `(selectitem '\\')`},
		{"SELECT 'a'\n'b'", "(selectitem 'ab')"},
		{"SELECT x'1F'", "(selectitem B'00011111')"},
		{"SELECT b'101'", "(selectitem B'101')"},
		{"SELECT a -> 'x', a ->> 'x'", "(selectitem (binary -> a 'x')) (selectitem (binary ->> a 'x'))"},
		{"SELECT div, mod, xor, rlike, regexp, xbinary", "[(selectitem div) (selectitem mod) (selectitem xor) (selectitem rlike) (selectitem regexp) (selectitem xbinary)]"},
		{"SELECT a div", "(selectitem a alias:'div')"},
		{"SELECT rank, schema, index, groups, system, row_number, key, keys, condition, interval", "(selectitem rank) (selectitem schema)"},
		{"SELECT 1 /*! + 1 */", "(selectitem 1)]))"},
		{"SELECT /*+ hint */ 1", "(selectitem 1)]))"},
		{"SELECT 1 /* a /* b */ c */ + 2", "(binary + 1 2)"},
		{"SELECT $1, $2", "(selectitem $1) (selectitem $2)"},
		{"SELECT count(*), \"count\"(*)", "(funccall name:count star)) (selectitem (funccall name:count star))"},
		{"SELECT replace(a, b, c), left(a, 1), if(a), insert(a)", "(funccall name:replace [a b c])) (selectitem (funccall name:left [a 1])) (selectitem (funccall name:if [a]))"},
		{"SELECT now(), sysdate, utc_date", "(funccall name:now)) (selectitem sysdate) (selectitem utc_date)"},
		{"SELECT 1e400, 99999999999999999999", "(selectitem 1e400) (selectitem 99999999999999999999)"},
		{"SELECT .5, 5., 1.50", "(selectitem .5) (selectitem 5.) (selectitem 1.50)"},
		{"SELECT a <=> b", "(binary <=> a b)"},
		{"SELECT a := 1", "ERROR"},
		{"SELECT @a", "(unary @ a)"},
		{"SELECT @@a", "(unary @@ a)"},
		{"SELECT `a`", "ERROR"},
		{"SELECT a\\g", "ERROR"},
		{"SELECT 0x1F", "ERROR"},
		{"SELECT 'a' 'b'", "ERROR"},
		{"SELECT BINARY x", "ERROR"},
		{"SELECT a REGEXP b", "ERROR"},
		{"SELECT a MOD b", "ERROR"},
		{"SELECT a DIV 2", "ERROR"},
		{"SELECT 1 FROM t LIMIT 1, 2", "ERROR"},
		{"SELECT 1 FROM DUAL", "(tableref name:dual)"},
		{"SELECT STRAIGHT_JOIN", "(selectitem straight_join)"},
		{"SELECT SQL_CACHE a", "(selectitem sql_cache alias:'a')"},
		{"SELECT DISTINCTROW a", "(selectitem distinctrow alias:'a')"},
		{"SELECT HIGH_PRIORITY", "(selectitem high_priority)"},
		{"SELECT 1 FROM t PARTITION (p0)", "alias:(alias name:'partition' columns:['p0'])"},
		{"SELECT 1 FROM t FORCE INDEX (a)", "ERROR"},
		{"SELECT 1 FROM a STRAIGHT_JOIN b", "ERROR"},
		{"SELECT 1 FROM a JOIN b", "ERROR"},
		{"SELECT a IS TRUE, a IS NOT UNKNOWN", "(istest a what:'true')) (selectitem (istest a what:'unknown' not))"},
		{"SELECT INTERVAL '1' DAY", "(cast '1' type:(typename name:interval fields:'day') literal)"},
		{"SELECT interval(a, b)", "ERROR"},
		{"SELECT TIMESTAMP '2020-01-01'", "(cast '2020-01-01' type:(typename name:timestamp) literal)"},
		{"SELECT TRUE AND NOT FALSE", "(and [true (not false)])"},
		{"SELECT a NOT REGEXP b", "ERROR"},
		{"SELECT CAST(a AS char)", "(cast a type:(typename name:bpchar mods:[1]))"},
		{"SELECT CAST(a AS SIGNED)", "(cast a type:(typename name:signed))"},
		{"SELECT CONVERT(a, char)", "(funccall name:convert [a char])"},
		{"SELECT VALUES(a)", "ERROR"},
		{"SELECT 1 UNION DISTINCT SELECT 2", "(setop op:'UNION' (select"},
		{"SELECT 1 MINUS SELECT 2", "ERROR"},
		{"SELECT 1 UNION SELECT 2 INTERSECT SELECT 3", "(setop op:'UNION' (select items:[(selectitem 1)]) (setop op:'INTERSECT' (select items:[(selectitem 2)]) (select items:[(selectitem 3)])))"},
		{"SELECT ROW(1), (1)", "(rowexpr [1] explicit)) (selectitem 1)"},
		{"SELECT _utf8'a', N'a'", "(cast 'a' type:(typename name:_utf8) literal)) (selectitem (cast 'a' type:(typename name:bpchar) literal))"},
	} {
		got := outcome(c.sql)
		if c.want == "ERROR" {
			if _, err := Parse(c.sql); pgerr.Code(err) != pgerr.SyntaxError {
				t.Errorf("%s: %s, want a syntax error", c.sql, got)
			}
			continue
		}
		if !contains(got, c.want) {
			t.Errorf("%s:\n got %s\nwant %s", c.sql, got, c.want)
		}
	}
}
