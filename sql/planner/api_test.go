package planner

import (
	"strings"
	"testing"

	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/parser"
)

func TestBindReplacesParameters(t *testing.T) {
	q, err := parser.ParseQuery("SELECT k, v + $1 FROM t JOIN s ON t.id = s.tid WHERE t.k = $2 LIMIT $3")
	if err != nil {
		t.Fatal(err)
	}
	p, err := PlanQuery(q, options())
	if err != nil {
		t.Fatal(err)
	}
	bound := Explain(Bind(p.Root, []types.Datum{int32(7), "x", int64(2)}), false)
	for _, want := range []string{"(v + 7)", "(k = 'x'::text)", "Limit: 2"} {
		if !strings.Contains(bound, want) {
			t.Errorf("no %s in\n%s", want, bound)
		}
	}
	if strings.Contains(bound, "$") {
		t.Errorf("parameters are left in\n%s", bound)
	}
	if !strings.Contains(Explain(p.Root, false), "$1") {
		t.Error("Bind changed its argument")
	}
}

func TestBindSharesWhatHasNoParameters(t *testing.T) {
	q, _ := parser.ParseQuery("SELECT k, count(*) FROM t GROUP BY k")
	p, err := PlanQuery(q, options())
	if err != nil {
		t.Fatal(err)
	}
	if Bind(p.Root, nil) != p.Root {
		t.Error("a plan without parameters was copied")
	}
}

func TestViewsAreContinuous(t *testing.T) {
	q, _ := parser.ParseQuery("SELECT k, count(*) n FROM t GROUP BY k")
	p, err := PlanView(q, options())
	if err != nil {
		t.Fatal(err)
	}
	pr := p.Root.Props()
	if !p.Continuous || !pr.Retracts || pr.Bounded || len(pr.Keys) != 1 || len(pr.Keys[0]) != 1 {
		t.Errorf("properties of a view: %+v", pr)
	}
	if len(p.Depends) != 1 || p.Origins[0].Attnum != 2 || p.Origins[1] != (Origin{}) {
		t.Errorf("depends %v, origins %v", p.Depends, p.Origins)
	}
}

func TestBindScalar(t *testing.T) {
	e, err := parser.ParseExpr("ts - interval '5 seconds'")
	if err != nil {
		t.Fatal(err)
	}
	x, err := BindScalar(e, []vec.Field{{Name: "a", Type: types.Int4}, {Name: "ts", Type: types.Timestamp}}, types.Timestamp, options())
	if err != nil {
		t.Fatal(err)
	}
	if got := exprString(x, []string{"a", "ts"}); got != "(ts - '00:00:05'::interval)" {
		t.Error(got)
	}
	e, _ = parser.ParseExpr("1 + 1")
	if x, err = BindScalar(e, nil, types.Int8, options()); err != nil {
		t.Fatal(err)
	}
	if c, ok := x.(*Const); !ok || c.Val != int64(2) {
		t.Errorf("%#v", x)
	}
}
