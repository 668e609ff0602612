package planner

import (
	"slices"
	"strconv"

	"streamsql/catalog"
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

// expandParts expands what expandRows does, but for the tables of FROM, whose columns a row takes as they are.
func (b *binder) expandParts(c *exprCtx, es []ast.Expr) ([]ast.Expr, error) {
	table := func(e ast.Expr) bool {
		st, ok := e.(*ast.Star)
		return ok && (len(st.Qualifier) == 0 || b.isTable(c.s, st))
	}
	var out []ast.Expr
	for _, e := range es {
		if table(e) {
			out = append(out, e)
			continue
		}
		more, err := b.expandRows(c, []ast.Expr{e})
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	return out, nil
}

// isTable reports whether t.* is of a relation in FROM.
func (b *binder) isTable(s *scope, st *ast.Star) bool {
	_, err := b.starColumns(s, st)
	return err == nil
}

func (b *binder) row(c *exprCtx, e *ast.RowExpr) (Expr, error) {
	rec := &types.Record{}
	r := &Row{}
	elems, err := b.expandParts(c, e.Elems)
	if err != nil {
		return nil, err
	}
	for _, el := range elems {
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
	rec := x.Type().Record()
	if e.Name == "*" && rec != nil {
		return x, nil // the row itself, where one value is wanted
	}
	if rec == nil {
		return nil, pgerr.New(pgerr.WrongObjectType, "column notation .%s applied to type %s, which is not a composite type", e.Name, x.Type().Bare().Format()).At(e.Pos)
	}
	for i, n := range rec.Names {
		if n == e.Name {
			return fieldOf(x, i), nil
		}
	}
	err = pgerr.New(pgerr.UndefinedColumn, "could not identify column \"%s\" in record data type", e.Name).At(e.Pos)
	if t := x.Type(); t.IsComposite() {
		err = pgerr.New(pgerr.UndefinedColumn, "column \"%s\" not found in data type %s", e.Name, t.Format()).At(e.Pos)
	}
	return b.functionOf(c, e.X, e.Name, e.Pos, err)
}

// functionOf binds x.name where name is no column of the row x, but a function of a user that takes it; else it gives err.
func (b *binder) functionOf(c *exprCtx, x ast.Expr, name string, pos int, err error) (Expr, error) {
	n := ast.Name{Parts: []string{name}, Pos: pos}
	users := b.userFunctions(n)
	if !slices.ContainsFunc(users, func(f *catalog.Function) bool { return len(f.Args) == 1 }) {
		return nil, err
	}
	y, ferr := b.userCall(c, &ast.FuncCall{At: ast.At{Pos: pos}, Name: n, Args: []ast.Expr{x}}, users, nil)
	if ferr != nil && pgerr.Code(ferr) == pgerr.UndefinedFunction {
		return nil, err
	}
	return y, ferr
}

func fieldOf(x Expr, i int) Expr {
	if r, ok := x.(*Row); ok {
		return r.Elems[i]
	}
	return &Field{x, i, x.Type().Record().Types[i]}
}
