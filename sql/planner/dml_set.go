package planner

import (
	"slices"

	"streamsql/catalog"
	"streamsql/internal/pgerr"
	"streamsql/sql/parser/ast"
)

func errColumnCount(a ast.Assignment) error {
	return pgerr.New(pgerr.SyntaxError, "number of columns does not match number of values").At(a.Pos)
}

// rowQuery makes a subquery of several columns one whose single column is their row.
func rowQuery(q *ast.ScalarQuery) ast.Expr {
	star := &ast.RowExpr{Elems: []ast.Expr{&ast.Star{At: q.At}}}
	star.Pos = q.Pos
	s := &ast.Select{Items: []ast.SelectItem{{Expr: star, Pos: q.Pos}}, From: []ast.FromItem{&ast.SubqueryRef{Query: q.Query, Pos: q.Pos}}}
	return &ast.ScalarQuery{At: q.At, Query: &ast.Query{Body: s, Pos: q.Pos}}
}

// assignRow binds SET (a, b) = row: e is computed once, and its fields go to the columns.
func (b *binder) assignRow(e ast.Expr, a ast.Assignment, ctx *exprCtx, put func(name string, value ast.Expr, bound Expr, pos int) error) error {
	x, err := b.expr(ctx, e)
	if err != nil {
		return err
	}
	rec := x.Type().Record()
	if rec == nil || len(rec.Types) != len(a.Columns) {
		return errColumnCount(a)
	}
	for i, n := range a.Columns {
		if err := put(n, nil, fieldOf(x, i), a.Pos); err != nil {
			return err
		}
	}
	return nil
}

// assignments binds SET: column index -> new value.
func (b *binder) assignments(set []ast.Assignment, rel *catalog.Relation, ctx *exprCtx) (map[int]Expr, error) {
	out := map[int]Expr{}
	put := func(name string, value ast.Expr, bound Expr, pos int) error {
		i := rel.ColumnIndex(name)
		if i < 0 {
			return pgerr.New(pgerr.UndefinedColumn, "column \"%s\" of relation \"%s\" does not exist", name, rel.Name).At(pos)
		}
		if _, ok := out[i]; ok {
			return pgerr.New(pgerr.SyntaxError, "multiple assignments to same column \"%s\"", name).At(pos)
		}
		col := &rel.Columns[i]
		if _, ok := value.(*ast.Default); ok {
			if col.Generated != "" {
				return nil
			}
			x, err := BindDefault(col, b.o)
			out[i] = x
			return err
		}
		if col.Generated != "" {
			return pgerr.New("428C9", "column \"%s\" can only be updated to DEFAULT", name).WithDetail("Column \"%s\" is a generated column.", name).At(pos)
		}
		if col.Identity == "always" {
			return pgerr.New("428C9", "column \"%s\" can only be updated to DEFAULT", name).
				WithDetail("Column \"%s\" is an identity column defined as GENERATED ALWAYS.", name).At(pos)
		}
		var err error
		if bound == nil {
			if bound, err = b.expr(ctx, value); err != nil {
				return err
			}
		}
		p := pos
		if value != nil {
			p = value.Position()
		}
		out[i], err = b.assign(bound, col.Type, col.Name, p)
		return err
	}
	for _, a := range set {
		if len(a.Subs) > 0 {
			if err := b.assignPart(a, rel, ctx, out); err != nil {
				return nil, err
			}
			continue
		}
		if len(a.Columns) == 1 {
			if err := put(a.Columns[0], a.Value, nil, a.Pos); err != nil {
				return nil, err
			}
			continue
		}
		r, ok := a.Value.(*ast.RowExpr)
		if q, isQuery := a.Value.(*ast.ScalarQuery); isQuery {
			if err := b.assignRow(rowQuery(q), a, ctx, put); err != nil {
				return nil, err
			}
			continue
		}
		if !ok {
			return nil, pgerr.New(pgerr.FeatureNotSupported, "source for a multiple-column UPDATE item must be a sub-SELECT or ROW() expression").At(a.Value.Position())
		}
		if slices.ContainsFunc(r.Elems, func(x ast.Expr) bool { _, star := x.(*ast.Star); return star }) {
			if err := b.assignRow(r, a, ctx, put); err != nil {
				return nil, err
			}
			continue
		}
		if len(r.Elems) != len(a.Columns) {
			return nil, errColumnCount(a)
		}
		for i, n := range a.Columns {
			if err := put(n, r.Elems[i], nil, a.Pos); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}
