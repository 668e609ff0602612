package planner

import (
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/parser/ast"
)

// columnDefinitions gives the shape that a column definition list says the rows of a function have; nil where there is none.
func (b *binder) columnDefinitions(defs []ast.ColumnDef) (*types.Record, error) {
	if len(defs) == 0 {
		return nil, nil
	}
	rec := &types.Record{}
	for _, d := range defs {
		t, _, err := ResolveColumnType(d.Type, b.o.Catalog, b.o.SearchPath)
		if err != nil {
			return nil, err
		}
		if t.IsPseudo() {
			return nil, pgerr.New(pgerr.InvalidTableDefinition, "column \"%s\" has pseudo-type %s", d.Name, t.Format()).At(d.Type.Pos)
		}
		if rec.Index(d.Name) >= 0 {
			return nil, pgerr.New(pgerr.DuplicateColumn, "column name \"%s\" specified more than once", d.Name).At(d.Type.Pos)
		}
		rec.Names, rec.Types = append(rec.Names, d.Name), append(rec.Types, t)
	}
	return rec, nil
}

// shaped gives a call in FROM the shape of its column definition list. Only what returns record has one, and needs it.
func (b *binder) shaped(x Expr, shape *types.Record, f *ast.FuncRef) (Expr, error) {
	call, scalar := x.(*Call)
	t := x.Type()
	switch {
	case shape == nil && scalar && t.OID == types.OIDRecord && t.Rec == nil && !isPopulate(call.Fn.Name):
		return nil, pgerr.New(pgerr.SyntaxError, "a column definition list is required for functions returning \"record\"").At(f.Pos)
	case shape == nil:
		return x, nil
	case t.OID != types.OIDRecord && t.Record() != nil:
		return nil, pgerr.New(pgerr.SyntaxError, "a column definition list is redundant for a function returning a named composite type").At(f.Alias.Pos)
	case t.OID != types.OIDRecord:
		return nil, pgerr.New(pgerr.SyntaxError, "a column definition list is only allowed for functions returning \"record\"").At(f.Alias.Pos)
	case scalar && t.Rec == nil || scalar && isPopulate(call.Fn.Name):
		if t.Rec != nil && !sameShape(t.Rec, shape) {
			return nil, errShape(t.Rec, shape)
		}
		c := *call
		c.Typ = types.T{OID: types.OIDRecord, Mod: -1, Rec: shape}
		c.Fn = c.Fn.Returning(exprTypes(c.Args), c.Typ)
		return &c, nil
	}
	return x, nil
}

// isPopulate reports whether a function's rows have the shape of its first argument.
func isPopulate(name string) bool {
	switch name {
	case "json_populate_record", "jsonb_populate_record", "json_populate_recordset", "jsonb_populate_recordset":
		return true
	}
	return false
}

func sameShape(a, b *types.Record) bool {
	if len(a.Types) != len(b.Types) {
		return false
	}
	for i := range a.Types {
		if a.Types[i].OID != b.Types[i].OID {
			return false
		}
	}
	return true
}

func errShape(have, want *types.Record) error {
	e := pgerr.New(pgerr.DatatypeMismatch, "function return row and query-specified return row do not match")
	if len(have.Types) != len(want.Types) {
		return e.WithDetail("Returned row contains %d attributes, but query expects %d.", len(have.Types), len(want.Types))
	}
	for i := range have.Types {
		if have.Types[i].OID != want.Types[i].OID {
			return e.WithDetail("Returned type %s at ordinal position %d, but query expects %s.", have.Types[i].Format(), i+1, want.Types[i].Format())
		}
	}
	return e
}

// setColumns gives the columns of a set-returning function: those of a column definition list, where it needs one.
func (b *binder) setColumns(c *exprCtx, x *Call) ([]vec.Field, *types.Record, error) {
	cols := x.Fn.Cols(exprTypes(x.Args))
	if x.Typ.OID != types.OIDRecord || len(cols) > 0 && !isPopulate(x.Fn.Name) {
		return cols, nil, nil
	}
	if c.shape == nil {
		switch {
		case len(cols) > 0:
			return cols, nil, nil
		case isPopulate(x.Fn.Name):
			return nil, nil, pgerr.New(pgerr.DatatypeMismatch, "could not determine row type for result of %s", x.Fn.Name).
				WithHint("Provide a non-null record argument, or call the function in the FROM clause using a column definition list.")
		case c.clause == "FROM":
			return nil, nil, pgerr.New(pgerr.SyntaxError, "a column definition list is required for functions returning \"record\"").At(x.Pos)
		}
		return nil, nil, pgerr.New(pgerr.FeatureNotSupported, "function returning record called in context that cannot accept type record").At(x.Pos)
	}
	if len(cols) > 0 && !sameShape(x.Typ.Rec, c.shape) {
		return nil, nil, errShape(x.Typ.Rec, c.shape)
	}
	fields := make([]vec.Field, len(c.shape.Names))
	for i, n := range c.shape.Names {
		fields[i] = vec.Field{Name: n, Type: c.shape.Types[i]}
	}
	return fields, c.shape, nil
}
