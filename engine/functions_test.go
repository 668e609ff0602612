package engine

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// ownRules are functions that the binder resolves by rules of their own, not by the catalogue: a call of each, and its type.
var ownRules = []struct{ signature, call, typ string }{
	{"cume_dist() float8", "cume_dist() OVER (ORDER BY x)", "double precision"},
	{"dense_rank() int8", "dense_rank() OVER (ORDER BY x)", "bigint"},
	{"percent_rank() float8", "percent_rank() OVER (ORDER BY x)", "double precision"},
	{"rank() int8", "rank() OVER (ORDER BY x)", "bigint"},
	{"row_number() int8", "row_number() OVER ()", "bigint"},
	{"ntile(int4) int4", "ntile(2) OVER (ORDER BY x)", "integer"},
	{"first_value(anyelement) anyelement", "first_value(x) OVER ()", "integer"},
	{"last_value(anyelement) anyelement", "last_value(x) OVER ()", "integer"},
	{"nth_value(anyelement,int4) anyelement", "nth_value(x, 1) OVER ()", "integer"},
	{"lag(anyelement) anyelement", "lag(x) OVER (ORDER BY x)", "integer"},
	{"lag(anyelement,int4) anyelement", "lag(x, 1) OVER (ORDER BY x)", "integer"},
	{"lag(anycompatible,int4,anycompatible) anycompatible", "lag(x, 1, 2.5) OVER (ORDER BY x)", "numeric"},
	{"lead(anyelement) anyelement", "lead(x) OVER (ORDER BY x)", "integer"},
	{"lead(anyelement,int4) anyelement", "lead(x, 1) OVER (ORDER BY x)", "integer"},
	{"lead(anycompatible,int4,anycompatible) anycompatible", "lead(x, 1, 2.5) OVER (ORDER BY x)", "numeric"},
	{"enum_first(anyenum) anyenum", "enum_first(NULL::mood)", "mood"},
	{"enum_last(anyenum) anyenum", "enum_last(NULL::mood)", "mood"},
	{"enum_range(anyenum) anyarray", "enum_range(NULL::mood)", "mood[]"},
	{"enum_range(anyenum,anyenum) anyarray", "enum_range('sad'::mood, NULL)", "mood[]"},
	{"max(anyenum) anyenum", "max('sad'::mood)", "mood"},
	{"min(anyenum) anyenum", "min('sad'::mood)", "mood"},
}

// TestFunctions: each function of PostgreSQL 15 in testdata/functions/functions.txt (made by the query beside it) is here with the same type of its
// result, or is named in docs/differences.md, and what is named there is not here.
func TestFunctions(t *testing.T) {
	e, s := start(t, Options{})
	defer e.Close()
	defer s.Close()
	run(t, s, `CREATE TYPE mood AS ENUM ('sad', 'happy')`)
	have := map[string]bool{}
	for _, f := range run(t, s, `SELECT proname || '(' || coalesce((SELECT string_agg(t.typname, ',' ORDER BY n)
			FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY u(o, n) JOIN pg_type t ON t.oid = u.o), '') || ') ' || r.typname
		FROM pg_proc p JOIN pg_type r ON r.oid = p.prorettype WHERE p.pronamespace = 'pg_catalog'::regnamespace`) {
		have[f] = true
	}
	for _, o := range ownRules {
		got := run(t, s, "SELECT DISTINCT pg_typeof(y) FROM (SELECT "+o.call+" AS y FROM (VALUES (1), (2)) v(x)) q")
		if !slices.Equal(got, []string{o.typ}) {
			t.Errorf("%s is %v, expected %s", o.call, got, o.typ)
		}
		have[o.signature] = true
	}
	doc, err := os.ReadFile("../docs/differences.md")
	if err != nil {
		t.Fatal(err)
	}
	_, absent, ok := strings.Cut(string(doc), "## Functions that are not there\n")
	if !ok {
		t.Fatal("docs/differences.md does not say which functions are not there")
	}
	list, err := os.ReadFile("../testdata/functions/functions.txt")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(list)), "\n")
	if len(lines) < 600 {
		t.Errorf("only %d functions", len(lines))
	}
	for _, f := range lines {
		signature, _, _ := strings.Cut(f, " ")
		named := strings.Contains(absent, "`"+signature+"`")
		switch {
		case !have[f] && !named:
			t.Errorf("%s is not here and not in docs/differences.md", f)
		case have[f] && named:
			t.Errorf("%s is here, but docs/differences.md says that it is not", f)
		}
	}
}
