package planner

import (
	"strconv"

	"streamsql/catalog"
	"streamsql/internal/fn"
	"streamsql/internal/types"
	"streamsql/sql/parser"
	"streamsql/sql/parser/ast"
)

// Immutable reports whether an expression gives the same for the same row whatever the time and the settings.
func Immutable(e Expr) bool {
	ok := true
	walkExpr(e, func(x Expr) bool {
		if c, is := x.(*Call); is && c.Fn.Volatility != fn.Immutable {
			ok = false
		}
		return ok
	})
	return ok
}

// nextValue is the default of a serial or identity column.
func nextValue(sequence uint32) ast.Expr {
	oid := &ast.Cast{X: &ast.Literal{Kind: ast.LitString, Text: strconv.FormatUint(uint64(sequence), 10)},
		Type: ast.TypeName{Name: ast.Name{Parts: []string{"pg_catalog", "regclass"}}}}
	return &ast.FuncCall{Name: ast.Name{Parts: []string{"pg_catalog", "nextval"}}, Args: []ast.Expr{oid}}
}

// CanPlan reports whether the definition of a view can be planned.
func CanPlan(definition string, maintained bool, o *Options) bool {
	q, err := parser.ParseQuery(definition)
	if err != nil {
		return false
	}
	if maintained {
		_, err = PlanView(q, o)
	} else {
		c := *o
		_, err = PlanQuery(q, &c)
	}
	return err == nil
}

// userType finds a type that a user has made. Where a domain is named its base type is given.
func userType(tn ast.TypeName, cat *catalog.Snapshot, notFound func() error) (types.T, error) {
	if cat == nil {
		return types.T{}, notFound()
	}
	path := append([]string{"public"}, cat.Schemas()...)
	u := cat.FindType(tn.Name.Schema(), tn.Name.Base(), path)
	var t types.T
	switch r := cat.FindRow(tn.Name.Schema(), tn.Name.Base(), path); {
	case u == nil && r == nil:
		return types.T{}, notFound()
	case u == nil:
		t = types.Of(r.TypeOID)
	case u.Kind == 'd':
		t = u.Base
	default:
		t = types.Of(u.OID)
	}
	if tn.Array > 0 {
		var ok bool
		if t, ok = t.ArrayOf(); !ok {
			return t, notFound()
		}
	}
	return t, nil
}
