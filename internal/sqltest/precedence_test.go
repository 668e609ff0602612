package sqltest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"streamsql/internal/pgerr"
	"streamsql/sql/parser"
	"streamsql/sql/parser/ast"
)

var precedenceCases = flag.Int("precedence.cases", 1500, "how many expressions TestPrecedenceOnPostgres compares")

// anyOperators are infix operators of all strengths.
var anyOperators = []string{"+", "-", "*", "/", "%", "^", "<", ">", "=", "<=", ">=", "<>", "||", "->", "~", "@>", "&&", "#", "~~", "~~*", "!~~", "!~~*", "<<", "?", "!=-"}

// exprSchema makes a type e for which every operator exists, also mixed with booleans, so that every expression that
// the grammar allows also has types.
func exprSchema() string {
	var b strings.Builder
	b.WriteString(`SET allow_system_table_mods = on;
		CREATE TYPE e;
		CREATE FUNCTION e_in(cstring) RETURNS e AS 'textin' LANGUAGE internal STRICT IMMUTABLE;
		CREATE FUNCTION e_out(e) RETURNS cstring AS 'textout' LANGUAGE internal STRICT IMMUTABLE;
		CREATE TYPE e (INPUT = e_in, OUTPUT = e_out, LIKE = text, COLLATABLE = true);
		CREATE DOMAIN d AS e;
		CREATE FUNCTION e_bool(e) RETURNS bool LANGUAGE sql AS 'SELECT true';
		CREATE FUNCTION bool_e(bool) RETURNS e LANGUAGE sql AS 'SELECT NULL::e';
		CREATE CAST (e AS bool) WITH FUNCTION e_bool(e) AS IMPLICIT;
		CREATE CAST (bool AS e) WITH FUNCTION bool_e(bool);
		CREATE TYPE r AS (f e, g e[]);
		CREATE TABLE t (a e, b e, c e, p r, q e[]);`)
	types := []string{"e", "bool"}
	for i, op := range anyOperators {
		result := "e"
		if strings.Contains("< > = <= >= <> ~~ ~~* !~~ !~~*", op) {
			result = "bool"
		}
		for _, l := range types {
			for _, r := range types {
				if l == "bool" && r == "bool" && strings.Contains("< > = <= >= <>", op) {
					continue // they are there
				}
				fmt.Fprintf(&b, "CREATE FUNCTION f%d(%s, %s) RETURNS %s LANGUAGE sql AS 'SELECT NULL::%s'; CREATE OPERATOR %s (FUNCTION = f%d, LEFTARG = %s, RIGHTARG = %s);\n",
					i, l, r, result, result, op, i, l, r)
			}
		}
	}
	for i, op := range []string{"-", "+", "~", "@", "!"} {
		for _, x := range types {
			fmt.Fprintf(&b, "CREATE FUNCTION p%d(%s) RETURNS e LANGUAGE sql AS 'SELECT NULL::e'; CREATE OPERATOR %s (FUNCTION = p%d, RIGHTARG = %s);\n", i, x, op, i, x)
		}
	}
	for _, l := range types {
		for _, r := range types {
			fmt.Fprintf(&b, "CREATE FUNCTION pg_catalog.timezone(%s, %s) RETURNS e LANGUAGE sql AS 'SELECT NULL::e';\n", l, r)
		}
	}
	return b.String()
}

// exprGen writes expressions without more parentheses than it feels like.
type exprGen struct {
	r *rand.Rand
	b strings.Builder
}

const collate = ` COLLATE "C"`

func (g *exprGen) pick(list ...string) string { return list[g.r.Intn(len(list))] }

func (g *exprGen) operand(depth int) {
	switch n := g.r.Intn(16); {
	case n == 0 && depth > 0:
		g.b.WriteString("(")
		g.expr(depth - 1)
		g.b.WriteString(")")
	case n < 4:
		g.b.WriteString(g.pick("- ", "+ ", "~ ", "@ ", "! ", "NOT ", "NOT ", "OPERATOR(public.~) "))
		g.operand(depth)
		return
	case n == 4 && depth > 0:
		g.b.WriteString("CASE WHEN ")
		g.expr(depth - 1)
		g.b.WriteString(" THEN ")
		g.expr(depth - 1)
		g.b.WriteString(" ELSE a END")
	default:
		g.b.WriteString(g.pick("a", "b", "c", "t.a", "(p).f", "q[1]", "(p).g[1]", "(t).b", "(q)[1]"))
	}
	if strings.HasSuffix(strings.TrimRight(g.b.String(), ")"), collate) {
		return // PostgreSQL moves a cast after COLLATE to before it, and then drops one or the other
	}
	for g.r.Intn(6) == 0 {
		g.b.WriteString("::d")
	}
	if g.r.Intn(12) == 0 {
		g.b.WriteString(collate)
	}
}

func (g *exprGen) expr(depth int) {
	g.operand(depth)
	for range g.r.Intn(5) {
		switch g.r.Intn(14) {
		case 0:
			g.b.WriteString(g.pick(" IS NULL", " ISNULL", " NOTNULL", " IS NOT NULL", " IS TRUE", " IS NOT UNKNOWN", " IS FALSE"))
		case 1:
			g.b.WriteString(g.pick(" BETWEEN ", " NOT BETWEEN "))
			g.operand(0)
			if g.r.Intn(2) == 0 {
				g.b.WriteString(" " + g.pick(anyOperators...) + " ")
				g.operand(0)
			}
			g.b.WriteString(" AND ")
			g.operand(depth)
		case 2:
			g.b.WriteString(g.pick(" IN (", " NOT IN ("))
			g.operand(0)
			g.b.WriteString(")")
		case 3:
			g.b.WriteString(g.pick(" LIKE ", " NOT LIKE ", " ILIKE ", " NOT ILIKE "))
			g.operand(depth)
		case 4:
			g.b.WriteString(g.pick(" IS DISTINCT FROM ", " IS NOT DISTINCT FROM "))
			g.operand(depth)
		case 5:
			g.b.WriteString(" AT TIME ZONE ")
			g.operand(depth)
		case 6, 7:
			g.b.WriteString(g.pick(" AND ", " OR "))
			g.operand(depth)
		case 8:
			g.b.WriteString(g.pick(" OPERATOR(public.+) ", " OPERATOR(public.=) "))
			g.operand(depth)
		case 9:
			g.b.WriteString(" " + g.pick("=", "<", "~~", ">=") + g.pick(" ANY (q)", " ALL (q)", " SOME (q)"))
		default:
			g.b.WriteString(" " + g.pick(anyOperators...) + " ")
			g.operand(depth)
		}
	}
}

// meaning writes an expression with all parentheses and the forms that PostgreSQL keeps in another way brought to one.
func meaning(x ast.Expr) string {
	bin := func(l, op, r string) string { return "(" + l + " " + op + " " + r + ")" }
	chain := func(word string, parts []string) string {
		var flat []string
		for _, p := range parts {
			// Our own text: (and x;y) opens what may be one chain with its surroundings.
			if s, ok := strings.CutPrefix(p, "{"+word+"|"); ok {
				flat = append(flat, strings.TrimSuffix(s, "}"+word))
			} else {
				flat = append(flat, p)
			}
		}
		return "{" + word + "|" + strings.Join(flat, " & ") + "}" + word
	}
	args := func(list []ast.Expr, of func(ast.Expr) string) []string {
		out := make([]string, len(list))
		for i, a := range list {
			out[i] = of(a)
		}
		return out
	}
	// A collation is lost where a boolean is made of its expression.
	condition := func(x ast.Expr) string {
		for {
			c, ok := x.(*ast.Collate)
			if !ok {
				return meaning(x)
			}
			x = c.X
		}
	}
	not := func(n bool, s string) string {
		if n {
			return "not(" + s + ")"
		}
		return s
	}
	switch n := x.(type) {
	case *ast.ColumnRef:
		return n.Parts[len(n.Parts)-1]
	case *ast.Literal:
		return n.Text
	case *ast.Binary:
		return bin(meaning(n.L), n.Op, meaning(n.R))
	case *ast.Unary:
		return n.Op + "(" + meaning(n.X) + ")"
	case *ast.Not:
		return not(true, condition(n.X))
	case *ast.And:
		return chain("AND", args(n.Args, condition))
	case *ast.Or:
		return chain("OR", args(n.Args, condition))
	case *ast.IsTest:
		return "(" + condition(n.X) + fmt.Sprintf(" is %s %v)", n.What, n.Not)
	case *ast.IsDistinct:
		return not(n.Not, bin(meaning(n.L), "distinct", meaning(n.R)))
	case *ast.Like:
		return bin(meaning(n.X), strings.Repeat("!", map[bool]int{true: 1}[n.Not])+map[string]string{"like": "~~", "ilike": "~~*"}[n.Kind], meaning(n.Pattern))
	case *ast.Between:
		v, lo, hi := meaning(n.X), meaning(n.Lo), meaning(n.Hi)
		if n.Not {
			return chain("OR", []string{bin(v, "<", lo), bin(v, ">", hi)})
		}
		return chain("AND", []string{bin(v, ">=", lo), bin(v, "<=", hi)})
	case *ast.In:
		return bin(meaning(n.X), map[bool]string{true: "<>", false: "="}[n.Not], meaning(n.List[0]))
	case *ast.Quantified:
		return bin(meaning(n.X), n.Op+fmt.Sprintf(" all:%v", n.All), meaning(n.Array))
	case *ast.Case:
		return "case(" + condition(n.Whens[0].Cond) + "," + meaning(n.Whens[0].Then) + "," + meaning(n.Else) + ")"
	case *ast.Cast:
		if n.Type.Name.Base() == "d" {
			if s := meaning(n.X); strings.HasPrefix(s, "d(") && strings.HasSuffix(s, ")d") {
				return s // PostgreSQL has dropped the second one
			}
			return "d(" + meaning(n.X) + ")d"
		}
		return meaning(n.X) // an implicit one that PostgreSQL shows
	case *ast.Collate:
		return "collate(" + meaning(n.X) + ")"
	case *ast.FuncCall:
		return n.Name.Base() + "(" + strings.Join(args(n.Args, meaning), ",") + ")"
	case *ast.Field:
		if c, ok := n.X.(*ast.ColumnRef); ok && len(c.Parts) == 1 && c.Parts[0] == "t" {
			return n.Name
		}
		return meaning(n.X) + "." + n.Name
	case *ast.Subscript:
		return meaning(n.X) + "[" + meaning(n.Lo) + "]"
	}
	return fmt.Sprintf("%T", x)
}

// TestPrecedenceOnPostgres compares how operators bind: what PostgreSQL makes of an expression, which it prints with all
// its parentheses, and our tree of it. The type of the columns has all operators.
func TestPrecedenceOnPostgres(t *testing.T) {
	c := postgres(t).database(t)
	ctx := context.Background()
	if _, err := c.Exec(ctx, exprSchema()).ReadAll(); err != nil {
		t.Fatal(err)
	}
	seed := time.Now().UnixNano()
	g := &exprGen{r: rand.New(rand.NewSource(seed))}
	compared, untyped, refused := 0, map[string]int{}, 0
	for range *precedenceCases {
		g.b.Reset()
		g.expr(2)
		text := g.b.String()
		got, ourErr := parser.ParseExpr(text)
		_, err := c.Exec(ctx, "CREATE OR REPLACE TEMP VIEW v AS SELECT CASE WHEN true THEN NULL::e ELSE (("+text+")::e) COLLATE \"C\" END AS x FROM t").ReadAll()
		var pe *pgconn.PgError
		if errors.As(err, &pe) {
			if (pe.Code == pgerr.SyntaxError) != (pgerr.Code(ourErr) == pgerr.SyntaxError) {
				t.Errorf("seed %d: %s: PostgreSQL: %v, ours: %v", seed, text, err, ourErr)
			}
			if pe.Code == pgerr.SyntaxError {
				refused++
			} else {
				untyped[pe.Message]++
			}
			continue
		}
		if err != nil || ourErr != nil {
			t.Errorf("seed %d: %s: PostgreSQL: %v, ours: %v", seed, text, err, ourErr)
			continue
		}
		res, err := c.Exec(ctx, "SELECT pg_get_viewdef('v')").ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		def := string(res[0].Rows[0][0])
		q, err := parser.ParseQuery(strings.TrimSuffix(strings.TrimSpace(def), ";"))
		if err != nil {
			t.Fatalf("seed %d: %s: %v", seed, def, err)
		}
		compared++
		want := q.Body.(*ast.Select).Items[0].Expr.(*ast.Case).Else
		if c, ok := want.(*ast.Collate); ok {
			want = c.X
		}
		if c, ok := got.(*ast.Collate); ok && !strings.HasPrefix(meaning(want), "collate") {
			got = c.X
		}
		if g, w := meaning(got), meaning(want); g != w {
			t.Errorf("seed %d: %s\nours:       %s\nPostgreSQL: %s\n%s", seed, text, g, w, def)
		}
	}
	t.Logf("%d compared, %d refused by both, without types: %v", compared, refused, untyped)
	if compared < *precedenceCases/3 {
		t.Errorf("only %d of %d expressions were compared", compared, *precedenceCases)
	}
}
