package planner

import (
	"slices"

	"streamsql/internal/pgerr"
	"streamsql/sql/parser/ast"
)

// trace rewrites a recursive query with SEARCH or CYCLE into one whose rows carry the columns that these ask for:
//
//	t(c..) AS (L UNION ALL R) SEARCH DEPTH FIRST BY k SET o CYCLE k SET m USING p
//	t(c.., o, m, p) AS (SELECT c.., ARRAY[ROW(k)], false, ARRAY[ROW(k)] FROM (L) l(c..) UNION ALL
//	    SELECT c.., o || ROW(k), CASE WHEN ROW(k) = ANY (p) THEN true ELSE false END, p || ROW(k) FROM (R') r(c.., o, m, p))
//
// where R' is R that also gives t's o, m and p, of rows where m is not set. Breadth first, o is ROW(depth, k).
func (b *binder) trace(c *cteScope) error {
	search, cycle := c.cte.Search, c.cte.Cycle
	pos := c.cte.Pos
	if cycle != nil {
		pos = cycle.Pos
	}
	if search != nil {
		pos = search.Pos
	}
	q, _ := c.cte.Stmt.(*ast.Query)
	var set *ast.SetOp
	if q != nil {
		set, _ = q.Body.(*ast.SetOp)
	}
	if !c.recursive || set == nil || !bodyNames(q.Body, c.name) {
		return pgerr.New(pgerr.SyntaxError, "WITH query is not recursive").At(pos)
	}
	if set.Op != "UNION" {
		return notRecursive(c)
	}
	right, ok := set.R.(*ast.Select)
	if !ok {
		return pgerr.New(pgerr.SyntaxError, "with a SEARCH or CYCLE clause, the right side of the UNION must be a SELECT")
	}
	if _, ok := set.L.(*ast.SetOp); ok {
		return pgerr.New(pgerr.FeatureNotSupported, "with a SEARCH or CYCLE clause, the left side of the UNION must be a SELECT")
	}
	cols, err := b.tracedColumns(c, q, set)
	if err != nil {
		return err
	}
	if err := checkTrace(cols, search, cycle); err != nil {
		return err
	}
	alias := ""
	for _, f := range right.From {
		alias = max(alias, referenceTo(f, c.name))
	}
	if alias == "" {
		return pgerr.New(pgerr.FeatureNotSupported, "with a SEARCH or CYCLE clause, the recursive reference to WITH query \"%s\" must be at the top level of its right-hand SELECT", c.name).At(pos)
	}
	at := ast.At{Pos: pos}
	ref := func(parts ...string) ast.Expr { return &ast.ColumnRef{At: at, Parts: parts} }
	row := func(keys []string, first ...ast.Expr) ast.Expr {
		r := &ast.RowExpr{At: at, Elems: first, Explicit: true}
		for _, k := range keys {
			r.Elems = append(r.Elems, ref(k))
		}
		return r
	}
	array := func(e ast.Expr) ast.Expr { return &ast.ArrayExpr{At: at, Elems: []ast.Expr{e}} }
	op := func(sym string, l, r ast.Expr) ast.Expr { return &ast.Binary{At: at, Op: sym, L: l, R: r} }
	num := func(text string) ast.Expr {
		return &ast.Cast{At: at, X: &ast.Literal{At: at, Kind: ast.LitInt, Text: text}, Type: ast.TypeName{Name: ast.Name{Parts: []string{"int8"}}, Pos: pos}}
	}
	var first, more []ast.SelectItem // of the new columns, in either term
	var names []string
	add := func(name string, base, step ast.Expr) {
		names = append(names, name)
		first, more = append(first, ast.SelectItem{Expr: base, Alias: name, Pos: pos}), append(more, ast.SelectItem{Expr: step, Alias: name, Pos: pos})
	}
	switch {
	case search == nil:
	case search.Breadth:
		add(search.Set, row(search.By, num("0")), row(search.By, op("+", &ast.Field{At: at, X: ref(search.Set), Name: "f1"}, num("1"))))
	default:
		add(search.Set, array(row(search.By)), op("||", ref(search.Set), row(search.By)))
	}
	inner := *right
	inner.Items = slices.Clip(inner.Items)
	if cycle != nil {
		met := &ast.Quantified{At: at, Op: "=", X: row(cycle.Columns), Array: ref(cycle.Path)}
		add(cycle.Mark, cycle.Other, &ast.Case{At: at, Whens: []ast.When{{Cond: met, Then: cycle.Value}}, Else: cycle.Other})
		add(cycle.Path, array(row(cycle.Columns)), op("||", ref(cycle.Path), row(cycle.Columns)))
		goesOn := op("<>", ref(alias, cycle.Mark), cycle.Value)
		if inner.Where != nil {
			goesOn = &ast.And{At: at, Args: []ast.Expr{inner.Where, goesOn}}
		}
		inner.Where = goesOn
	}
	for _, n := range names {
		inner.Items = append(inner.Items, ast.SelectItem{Expr: ref(alias, n), Alias: n, Pos: pos})
	}
	term := func(body ast.QueryBody, inner []string, items []ast.SelectItem) *ast.Select {
		s := &ast.Select{Pos: pos}
		for _, n := range cols {
			s.Items = append(s.Items, ast.SelectItem{Expr: ref(n), Alias: n, Pos: pos})
		}
		s.Items = append(s.Items, items...)
		s.From = []ast.FromItem{&ast.SubqueryRef{Query: &ast.Query{Body: body, Pos: pos}, Alias: ast.Alias{Name: "*traced*", Columns: inner}, Pos: pos}}
		return s
	}
	all := slices.Concat(cols, names)
	traced, body, both := *c.cte, *q, *set
	both.L, both.R = term(set.L, cols, first), term(&inner, all, more)
	body.Body = &both
	traced.Stmt, traced.Columns, traced.Search, traced.Cycle = &body, all, nil, nil
	c.cte = &traced
	return nil
}

// tracedColumns gives the names of a recursive query's columns.
func (b *binder) tracedColumns(c *cteScope, q *ast.Query, set *ast.SetOp) ([]string, error) {
	b.recursion = append(b.recursion, &recursion{c: c, where: "its non-recursive term"})
	defer func() { b.recursion = b.recursion[:len(b.recursion)-1] }()
	ctes := c.body
	if q.With != nil {
		var err error
		if ctes, err = b.withScope(q.With, c.scope, ctes); err != nil {
			return nil, err
		}
	}
	base, _, err := b.body(set.L, nil, c.scope, ctes)
	if err != nil {
		return nil, err
	}
	var out []string
	for i, col := range base.cols {
		if out = append(out, col.name); i < len(c.cte.Columns) {
			out[i] = c.cte.Columns[i]
		}
	}
	return out, nil
}

// referenceTo gives the name under which a FROM item refers to a WITH query, "" if it does not.
func referenceTo(f ast.FromItem, name string) string {
	switch f := f.(type) {
	case *ast.TableRef:
		if len(f.Name.Parts) == 1 && f.Name.Base() == name {
			if f.Alias.Name != "" {
				return f.Alias.Name
			}
			return name
		}
	case *ast.JoinRef:
		return max(referenceTo(f.L, name), referenceTo(f.R, name))
	}
	return ""
}

// checkTrace checks the names of SEARCH and CYCLE.
func checkTrace(cols []string, search *ast.Search, cycle *ast.Cycle) error {
	columns := func(names []string, what string, pos int) error {
		for i, n := range names {
			if !slices.Contains(cols, n) {
				return pgerr.New(pgerr.SyntaxError, "%s column \"%s\" not in WITH query column list", what, n).At(pos)
			}
			if slices.Contains(names[:i], n) {
				return pgerr.New(pgerr.DuplicateColumn, "%s column \"%s\" specified more than once", what, n).At(pos)
			}
		}
		return nil
	}
	free := func(name, what string, pos int) error {
		if slices.Contains(cols, name) {
			return pgerr.New(pgerr.SyntaxError, "%s column name \"%s\" already used in WITH query column list", what, name).At(pos)
		}
		return nil
	}
	if search != nil {
		if err := columns(search.By, "search", search.Pos); err != nil {
			return err
		}
		if err := free(search.Set, "search sequence", search.Pos); err != nil {
			return err
		}
	}
	if cycle == nil {
		return nil
	}
	if err := columns(cycle.Columns, "cycle", cycle.Pos); err != nil {
		return err
	}
	if err := free(cycle.Mark, "cycle mark", cycle.Pos); err != nil {
		return err
	}
	if err := free(cycle.Path, "cycle path", cycle.Pos); err != nil {
		return err
	}
	if cycle.Mark == cycle.Path {
		return pgerr.New(pgerr.SyntaxError, "cycle mark column name and cycle path column name are the same").At(cycle.Pos)
	}
	if search != nil && search.Set == cycle.Mark {
		return pgerr.New(pgerr.SyntaxError, "search sequence column name and cycle mark column name are the same").At(search.Pos)
	}
	if search != nil && search.Set == cycle.Path {
		return pgerr.New(pgerr.SyntaxError, "search sequence column name and cycle path column name are the same").At(search.Pos)
	}
	return nil
}
