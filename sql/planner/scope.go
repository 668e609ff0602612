package planner

import (
	"slices"
	"strings"

	"streamsql/catalog"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/sql/parser/ast"
)

// scope is what names can mean in one query block; parent is the query around it.
type scope struct {
	parent *scope
	tables []*table
	// cols are the columns that an unqualified name and * may mean, in order.
	cols []scopeCol
	ctes *cteScope
	sel  *selectState // of the block whose FROM this is
	// at is where in the block the subquery stands that is being bound; nil in FROM.
	at *exprCtx
}

// table is a relation in FROM under its alias.
type table struct {
	alias, schema string
	rel           *catalog.Relation
	cols          []scopeCol
	// hidden tables were not given a name (a join's alias hides its sides): reachable by * only.
	hidden bool
	// lateral tells a FROM item that is visible only to LATERAL ones while FROM is bound.
	notLateral bool
}

type scopeCol struct {
	name string
	id   int
	tab  *table
}

type cteScope struct {
	parent *cteScope
	name   string
	cte    *ast.CTE
	scope  *scope // where the body is bound
	// body are the WITH queries that the body sees; recursive says that it may see itself.
	body      *cteScope
	recursive bool
}

func (s *cteScope) find(name string) *cteScope {
	for c := s; c != nil; c = c.parent {
		if c.name == name {
			return c
		}
	}
	return nil
}

// star gives the columns of * in order.
func (s *scope) star() []scopeCol { return s.cols }

func (s *scope) addTable(t *table) {
	s.tables = append(s.tables, t)
	s.cols = append(s.cols, t.cols...)
}

// join adds the tables and columns of two sides.
func joinScopes(l, r *scope) *scope {
	return &scope{parent: l.parent, ctes: l.ctes, sel: l.sel,
		tables: append(slices.Clone(l.tables), r.tables...), cols: append(slices.Clone(l.cols), r.cols...)}
}

// lookup finds an unqualified column in s alone; n is the number of matches.
func (s *scope) lookup(name string) (c scopeCol, n int) {
	for _, x := range s.cols {
		if x.name == name && (n == 0 || x.id != c.id) {
			c = x
			n++
		}
	}
	return c, n
}

func (s *scope) table(schema, name string) (t *table, n int) {
	for _, x := range s.tables {
		if !x.hidden && x.alias == name && (schema == "" || x.schema == schema) {
			t = x
			n++
		}
	}
	return t, n
}

// column resolves a column reference through s and the queries around it.
func (b *binder) column(s *scope, r *ast.ColumnRef) (Expr, error) {
	pos := r.Position()
	parts := r.Parts
	switch len(parts) {
	case 1:
		name := parts[0]
		for q := s; q != nil; q = q.parent {
			c, n := q.lookup(name)
			if n > 1 {
				return nil, pgerr.New(pgerr.AmbiguousColumn, "column reference \"%s\" is ambiguous", name).At(pos)
			}
			if n == 1 {
				return b.colAt(c.id, pos), nil
			}
			if e := q.windowColumn(b, name, pos); e != nil {
				return e, nil
			}
			if name == "tableoid" && len(q.tables) == 1 && q.tables[0].rel != nil {
				return &Const{int64(q.tables[0].rel.OID), types.Oid}, nil
			}
		}
		for q := s; q != nil; q = q.parent {
			if t, n := q.table("", name); n == 1 {
				return b.wholeRow(t, pos), nil
			}
		}
		if x, err := b.fnArgs.named(parts, pos); x != nil || err != nil {
			return x, err
		}
		return nil, b.noColumn(s, "", name).At(pos)
	case 2, 3, 4:
		schema, tab, name := "", parts[len(parts)-2], parts[len(parts)-1]
		if len(parts) >= 3 {
			schema = parts[len(parts)-3]
		}
		for q := s; q != nil; q = q.parent {
			t, n := q.table(schema, tab)
			if n > 1 {
				return nil, pgerr.New("42P09", "table reference \"%s\" is ambiguous", tab).At(pos)
			}
			if n == 0 {
				continue
			}
			if t.notLateral && q == s {
				continue
			}
			var found *scopeCol
			for i := range t.cols {
				if t.cols[i].name == name {
					if found != nil {
						return nil, pgerr.New(pgerr.AmbiguousColumn, "column reference \"%s\" is ambiguous", name).At(pos)
					}
					found = &t.cols[i]
				}
			}
			if found != nil {
				return b.colAt(found.id, pos), nil
			}
			if name == "tableoid" && t.rel != nil {
				return &Const{int64(t.rel.OID), types.Oid}, nil
			}
			return nil, b.noColumn(s, tab, name).At(pos)
		}
		if x, err := b.fnArgs.named(parts, pos); x != nil || err != nil {
			return x, err
		}
		// A composite column's field written without parentheses is no valid reference in PostgreSQL either.
		return nil, b.noTable(s, schema, tab).At(pos)
	}
	return nil, pgerr.New(pgerr.SyntaxError, "improper qualified name (too many dotted names): %s", strings.Join(parts, ".")).At(pos)
}

func (b *binder) wholeRow(t *table, pos int) Expr {
	rec := &types.Record{}
	r := &Row{}
	for _, c := range t.cols {
		rec.Names = append(rec.Names, c.name)
		rec.Types = append(rec.Types, b.cols[c.id].typ)
		r.Elems = append(r.Elems, b.colAt(c.id, pos))
	}
	if t.rel == nil && len(t.cols) == 1 && t.cols[0].name == t.alias {
		return r.Elems[0] // the value of a function in FROM
	}
	r.Typ = types.T{OID: types.OIDRecord, Mod: -1, Rec: rec}
	if row := t.rowType(b); row.OID != 0 {
		r.Typ = row
	}
	return r
}

// rowType gives the type of the rows of a relation in FROM; OID 0 where it has none that tells what the columns are.
func (t *table) rowType(b *binder) types.T {
	if t.rel == nil || t.rel.ArrayOID == 0 {
		return types.T{}
	}
	row := types.Of(t.rel.TypeOID)
	rec := row.Record()
	if rec == nil || len(rec.Types) != len(t.cols) {
		return types.T{}
	}
	for i, c := range t.cols {
		if b.cols[c.id].typ.OID != rec.Types[i].OID {
			return types.T{}
		}
	}
	return row
}

// wholeRowOf gives the row that t.* stands for where a value is wanted.
func (b *binder) wholeRowOf(s *scope, st *ast.Star) (Expr, error) {
	if t := s.starTable(st); t != nil {
		return b.wholeRow(t, st.Pos), nil
	}
	if x, err := b.fnArgs.named(st.Qualifier, st.Pos); x != nil || err != nil {
		return x, err
	}
	schema, name := st.Table()
	return nil, b.noTable(s, schema, name).At(st.Pos)
}

// expandRows replaces t.* and (x).* in a list of values by their columns.
func (b *binder) expandRows(c *exprCtx, es []ast.Expr) ([]ast.Expr, error) {
	star := func(e ast.Expr) ast.Expr { // what the star is of
		switch e := e.(type) {
		case *ast.Star:
			if len(e.Qualifier) > 0 {
				return e
			}
		case *ast.Field:
			if e.Name == "*" {
				return e.X
			}
		}
		return nil
	}
	if !slices.ContainsFunc(es, func(e ast.Expr) bool { return star(e) != nil }) {
		return es, nil
	}
	var out []ast.Expr
	for _, e := range es {
		of := star(e)
		if of == nil {
			out = append(out, e)
			continue
		}
		x, err := b.expr(c, of)
		if err != nil {
			return nil, err
		}
		rec := x.Type().Record()
		if rec == nil {
			return nil, pgerr.New(pgerr.WrongObjectType, "type %s is not composite", x.Type().Bare().Format()).At(e.Position())
		}
		for _, n := range rec.Names {
			out = append(out, &ast.Field{At: ast.At{Pos: e.Position()}, X: of, Name: n})
		}
	}
	return out, nil
}

func (b *binder) noTable(s *scope, schema, name string) *pgerr.Error {
	full := name
	if schema != "" {
		full = schema + "." + name
	}
	for q := s; q != nil; q = q.parent {
		for _, t := range q.tables {
			if t.rel != nil && t.rel.Name == name && t.alias != name {
				return pgerr.New(pgerr.UndefinedTable, "invalid reference to FROM-clause entry for table \"%s\"", name).
					WithHint("Perhaps you meant to reference the table alias \"%s\".", t.alias)
			}
			if t.alias == name && t.notLateral {
				return pgerr.New(pgerr.UndefinedTable, "invalid reference to FROM-clause entry for table \"%s\"", name).
					WithDetail("There is an entry for table \"%s\", but it cannot be referenced from this part of the query.", name)
			}
		}
	}
	return pgerr.New(pgerr.UndefinedTable, "missing FROM-clause entry for table \"%s\"", full)
}

func (b *binder) noColumn(s *scope, tab, name string) *pgerr.Error {
	var e *pgerr.Error
	if tab != "" {
		e = pgerr.New(pgerr.UndefinedColumn, "column %s.%s does not exist", tab, name)
	} else {
		e = pgerr.New(pgerr.UndefinedColumn, "column \"%s\" does not exist", name)
	}
	best, bestD, ties := "", 1<<30, 0
	consider := func(t *table, c string) {
		if tab != "" && t.alias != tab {
			// PostgreSQL also weighs a wrong alias; a column of the exact name elsewhere is worth naming.
			if c != name {
				return
			}
		}
		d := pgerr.EditDistance(name, c)
		if d > max(len(name)/2, 1) || d > 3 {
			return
		}
		full := c
		if t.alias != "" {
			full = t.alias + "." + c
		}
		if d < bestD {
			best, bestD, ties = full, d, 1
		} else if d == bestD && full != best {
			ties++
		}
	}
	for q := s; q != nil; q = q.parent {
		for _, t := range q.tables {
			for _, c := range t.cols {
				consider(t, c.name)
			}
		}
	}
	if best != "" && ties == 1 {
		e = e.WithHint("Perhaps you meant to reference the column \"%s\".", best)
	}
	return e
}
