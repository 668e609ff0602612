package planner

import (
	"strconv"

	"streamsql/catalog"
	"streamsql/internal/fn"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
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

// DomainCheck is a condition on the values of a domain: Cond false is Err.
type DomainCheck struct {
	Cond Expr
	Err  error
}

// DomainChecks gives the conditions that the values x of a domain, of its base type, must meet.
func DomainChecks(t *catalog.Type, x *Column, o *Options) ([]DomainCheck, error) {
	var out []DomainCheck
	if t.NotNull {
		out = append(out, DomainCheck{&IsNull{X: x, Not: true},
			pgerr.New(pgerr.NotNullViolation, "domain %s does not allow null values", t.Name)})
	}
	for _, c := range t.Checks {
		e, err := parser.ParseExpr(c.Expr)
		if err != nil {
			return nil, unplaced(err)
		}
		fields := make([]vec.Field, x.Index+1) // so that VALUE is the column of that index
		for i := range fields {
			fields[i] = vec.Field{Name: "\x00", Type: types.Bool}
		}
		fields[x.Index] = vec.Field{Name: "value", Type: x.Typ}
		cond, err := BindScalar(e, fields, types.Bool, o)
		if err != nil {
			return nil, unplaced(err)
		}
		out = append(out, DomainCheck{cond, pgerr.New(pgerr.CheckViolation, "value for domain %s violates check constraint \"%s\"", t.Name, c.Name)})
	}
	return out, nil
}

// ResolveColumnType is ResolveType for what may also be a domain: then the type is its base type, and domain its OID.
func ResolveColumnType(tn ast.TypeName, cat *catalog.Snapshot, path []string) (t types.T, domain uint32, err error) {
	if cat != nil && tn.Array == 0 {
		if u := cat.FindType(tn.Name.Schema(), tn.Name.Base(), path); u != nil && u.Kind == 'd' {
			return u.Base, u.OID, nil
		}
	}
	t, err = ResolveType(tn, cat)
	return t, 0, err
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
	u := cat.FindType(tn.Name.Schema(), tn.Name.Base(), append([]string{"public"}, cat.Schemas()...))
	if u == nil {
		return types.T{}, notFound()
	}
	t := types.Of(u.OID)
	if u.Kind == 'd' {
		t = u.Base
	}
	if tn.Array > 0 {
		var ok bool
		if t, ok = t.ArrayOf(); !ok {
			return t, notFound()
		}
	}
	return t, nil
}
