package planner

import (
	"strconv"

	"streamsql/internal/fn"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/sql/parser/ast"
)

// array binds ARRAY[..]; want is the type it is cast to, if any: the cast goes to the elements.
func (b *binder) array(c *exprCtx, e *ast.ArrayExpr, want types.T) (Expr, error) {
	if len(e.Elems) == 0 && want.OID == 0 {
		return nil, pgerr.New(pgerr.IndeterminateDatatype, "cannot determine type of empty array").
			WithHint("Explicitly cast to the desired type, for example ARRAY[]::integer[].").At(e.Pos)
	}
	var elems []Expr
	var pos []int
	nested := false
	for _, x := range e.Elems {
		var y Expr
		var err error
		if a, ok := x.(*ast.ArrayExpr); ok {
			y, err = b.array(c, a, want)
			nested = true
		} else {
			y, err = b.expr(c, x)
		}
		if err != nil {
			return nil, err
		}
		nested = nested || y.Type().IsArray() && want.OID == 0
		elems = append(elems, y)
		pos = append(pos, x.Position())
	}
	if want.OID != 0 {
		el, _ := want.Elem()
		if nested {
			el = want
		}
		for i := range elems {
			x, err := b.mustCoerce(elems[i], el, fn.Explicit, pos[i])
			if err != nil {
				return nil, err
			}
			elems[i] = x
		}
		return &Array{elems, want, e.Pos}, nil
	}
	t, err := b.common(elems, "ARRAY", pos)
	if err != nil {
		return nil, err
	}
	if !nested {
		at, ok := t.ArrayOf()
		if !ok {
			return nil, pgerr.New(pgerr.UndefinedObject, "could not find array type for data type %s", t.Format()).At(e.Pos)
		}
		t = at
	}
	return &Array{elems, t, e.Pos}, nil
}

func (b *binder) row(c *exprCtx, e *ast.RowExpr) (Expr, error) {
	rec := &types.Record{}
	r := &Row{}
	for _, el := range e.Elems {
		if st, ok := el.(*ast.Star); ok {
			cols, err := b.starColumns(c.s, st)
			if err != nil {
				return nil, err
			}
			for _, sc := range cols {
				r.Elems = append(r.Elems, b.colAt(sc.id, st.Pos))
			}
			continue
		}
		x, err := b.expr(c, el)
		if err != nil {
			return nil, err
		}
		r.Elems = append(r.Elems, x)
	}
	for i, x := range r.Elems {
		rec.Names = append(rec.Names, "f"+strconv.Itoa(i+1))
		rec.Types = append(rec.Types, x.Type())
	}
	r.Typ = types.T{OID: types.OIDRecord, Mod: -1, Rec: rec}
	return r, nil
}

func (b *binder) field(c *exprCtx, e *ast.Field) (Expr, error) {
	x, err := b.expr(c, e.X)
	if err != nil {
		return nil, err
	}
	if e.Name == "*" {
		return nil, pgerr.New(pgerr.SyntaxError, "row expansion via \"*\" is not supported here").At(e.Pos)
	}
	rec := x.Type().Record()
	if rec == nil {
		return nil, pgerr.New(pgerr.WrongObjectType, "column notation .%s applied to type %s, which is not a composite type", e.Name, x.Type().Bare().Format()).At(e.Pos)
	}
	for i, n := range rec.Names {
		if n == e.Name {
			return fieldOf(x, i), nil
		}
	}
	return nil, pgerr.New(pgerr.UndefinedColumn, "could not identify column \"%s\" in record data type", e.Name).At(e.Pos)
}

func fieldOf(x Expr, i int) Expr {
	if r, ok := x.(*Row); ok {
		return r.Elems[i]
	}
	return &Field{x, i, x.Type().Record().Types[i]}
}
