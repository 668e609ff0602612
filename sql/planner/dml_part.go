package planner

import (
	"streamsql/catalog"
	"streamsql/internal/fn"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/sql/parser/ast"
)

// assignPart binds SET column[..] = value: the column's new value is its old one, or what an assignment before this one made
// of it, with the part replaced.
func (b *binder) assignPart(a ast.Assignment, rel *catalog.Relation, ctx *exprCtx, out map[int]Expr) error {
	name := a.Columns[0]
	i := rel.ColumnIndex(name)
	if i < 0 {
		return pgerr.New(pgerr.UndefinedColumn, "column \"%s\" of relation \"%s\" does not exist", name, rel.Name).At(a.Pos)
	}
	col := &rel.Columns[i]
	if _, err := partType(col, a.Subs, a.Pos); err != nil {
		return err
	}
	if _, ok := a.Value.(*ast.Default); ok {
		return pgerr.New(pgerr.FeatureNotSupported, "cannot set an array element to DEFAULT").At(a.Pos)
	}
	whole, ok := out[i]
	if !ok {
		var err error
		ref := &ast.ColumnRef{Parts: []string{rel.Name, name}}
		if ctx.s != nil && len(ctx.s.tables) > 0 {
			ref.Parts[0] = ctx.s.tables[0].alias
		}
		ref.Pos = a.Pos
		if whole, err = b.expr(ctx, ref); err != nil {
			return err
		}
	}
	value, err := b.expr(ctx, a.Value)
	if err != nil {
		return err
	}
	out[i], err = b.putPart(col, whole, a.Subs, value, a.Value.Position(), ctx, a.Pos)
	return err
}

// partType gives the type of what is assigned to a part of a column.
func partType(col *catalog.Column, subs []*ast.Subscript, pos int) (types.T, error) {
	elem, ok := col.Type.Elem()
	switch {
	case col.Type.OID == types.OIDJSONB:
		return types.JSONB, nil
	case !ok:
		return elem, notSubscriptable(col.Type, pos)
	case len(subs) > 6:
		return elem, pgerr.New(pgerr.ProgramLimitExceeded, "number of array dimensions (%d) exceeds the maximum allowed (%d)", len(subs), 6).At(pos)
	}
	for _, s := range subs {
		if s.Slice {
			return col.Type, nil
		}
	}
	return elem, nil
}

// putPart gives a column's value with a part of it replaced.
func (b *binder) putPart(col *catalog.Column, whole Expr, subs []*ast.Subscript, value Expr, valuePos int, ctx *exprCtx, pos int) (Expr, error) {
	to, err := partType(col, subs, pos)
	if err != nil {
		return nil, err
	}
	if value, err = b.assignTo(value, to, col.Name, valuePos); err != nil {
		return nil, err
	}
	if col.Type.OID == types.OIDJSONB {
		return b.putJSONB(whole, subs, value, ctx, pos)
	}
	slice := to.OID == col.Type.OID
	for _, s := range subs {
		if s.Lo == nil || s.Slice && s.Hi == nil {
			return nil, pgerr.New("2202E", "array slice subscript must provide both boundaries").
				WithDetail("When assigning to a slice of an empty array value, slice boundaries must be fully specified.").At(s.Pos)
		}
	}
	lower, upper, err := b.arraySubscripts(ctx, subs, slice)
	if err != nil {
		return nil, err
	}
	args := append([]Expr{whole, value}, lower...)
	args = append(args, upper...)
	return &Call{Fn: fn.ArrayAssign(col.Type, len(subs), slice), Args: args, Typ: col.Type, Pos: pos}, nil
}

// insertParts puts the parts of columns that an INSERT gives together: what it leaves out of such a column is NULL.
func (b *binder) insertParts(s *ast.Insert, rel *catalog.Relation, targets []int, in lrel, ids, given map[int]int) (lrel, error) {
	var items []projItem
	made := map[int]Expr{}
	ctx := &exprCtx{s: &scope{}, clause: "INSERT", noSubqueries: true}
	for i, at := range targets {
		id, ok := ids[i]
		if !ok {
			continue
		}
		col := &rel.Columns[at]
		whole := made[at]
		if whole == nil {
			whole = &Const{nil, col.Type}
		}
		x, err := b.putPart(col, whole, s.Parts[i], b.col(id), 0, ctx, s.ColumnPos[i])
		if err != nil {
			return nil, err
		}
		made[at] = x
	}
	for _, at := range targets {
		if x := made[at]; x != nil {
			id := b.newCol(rel.Columns[at].Name, rel.Columns[at].Type)
			items, given[at] = append(items, projItem{id, x}), id
			delete(made, at)
		}
	}
	return extend(in, items, b), nil
}

// assignTo converts what is assigned to a part of a column to the part's type.
func (b *binder) assignTo(e Expr, to types.T, column string, pos int) (Expr, error) {
	x, ok, err := b.coerce(e, to, fn.Assignment, pos)
	if err == nil && !ok {
		err = pgerr.New(pgerr.DatatypeMismatch, "subscripted assignment to \"%s\" requires type %s but expression is of type %s",
			column, to.Bare().Format(), e.Type().Bare().Format()).WithHint("You will need to rewrite or cast the expression.").At(pos)
	}
	return x, err
}

// putJSONB is putPart of a jsonb column.
func (b *binder) putJSONB(whole Expr, subs []*ast.Subscript, value Expr, ctx *exprCtx, pos int) (Expr, error) {
	args := []Expr{whole, value}
	var ts []types.T
	for _, s := range subs {
		x, err := b.jsonbSubscript(ctx, s)
		if err != nil {
			return nil, err
		}
		args, ts = append(args, x), append(ts, x.Type())
	}
	return &Call{Fn: fn.JSONBAssign(ts), Args: args, Typ: types.JSONB, Pos: pos}, nil
}
