package planner

import (
	"slices"

	"streamsql/catalog"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/parser"
	"streamsql/sql/parser/ast"
)

func (b *binder) newCol(name string, t types.T) int {
	b.cols = append(b.cols, colInfo{name: name, typ: t})
	return len(b.cols) - 1
}

// oneRow is the input of a SELECT without FROM.
func oneRow() lrel { return &lValues{rows: [][]Expr{{}}} }

// from binds a FROM list.
func (b *binder) from(items []ast.FromItem, parent *scope, ctes *cteScope) (lrel, *scope, error) {
	sc := &scope{parent: parent, ctes: ctes}
	var rel lrel
	for _, it := range items {
		r, s, err := b.fromItem(it, sc)
		if err != nil {
			return nil, nil, err
		}
		if err := checkAliases(sc, s, itemPos(it)); err != nil {
			return nil, nil, err
		}
		if rel == nil {
			rel = r
		} else if rel, err = b.apply(rel, r, InnerJoin, nil); err != nil {
			return nil, nil, err
		}
		sc = joinScopes(sc, s)
	}
	if rel == nil {
		rel = oneRow()
	}
	return rel, sc, nil
}

func itemPos(f ast.FromItem) int {
	switch f := f.(type) {
	case *ast.TableRef:
		return f.Pos
	case *ast.SubqueryRef:
		return f.Pos
	case *ast.FuncRef:
		return f.Pos
	case *ast.WindowTVF:
		return f.Pos
	case *ast.JoinRef:
		return f.Pos
	}
	return 0
}

func checkAliases(l, r *scope, pos int) error {
	for _, t := range r.tables {
		for _, u := range l.tables {
			if !t.hidden && !u.hidden && t.alias != "" && t.alias == u.alias && (t.rel == nil || u.rel == nil || t.rel.Schema == u.rel.Schema || t.rel.Name != t.alias || u.rel.Name != u.alias) {
				return pgerr.New(pgerr.DuplicateAlias, "table name \"%s\" specified more than once", t.alias).At(pos)
			}
		}
	}
	return nil
}

// maxItems bounds what views that use views more than once can make of a short statement.
const maxItems = 4096

// fromItem binds one item; lat holds what is left of it, which LATERAL items may use.
func (b *binder) fromItem(f ast.FromItem, lat *scope) (lrel, *scope, error) {
	if b.items++; b.items > maxItems {
		return nil, nil, pgerr.New(pgerr.ProgramLimitExceeded, "too many range table entries").
			WithDetail("The statement reads more than %d relations, with those of views and WITH queries each time they are used.", maxItems).
			WithHint("Make a materialized view, or WITH ... AS MATERIALIZED, of what is used many times.").At(itemPos(f))
	}
	switch f := f.(type) {
	case *ast.TableRef:
		return b.tableRef(f, lat)
	case *ast.SubqueryRef:
		parent := lat.parent
		if f.Lateral {
			parent = lat
		}
		q, err := b.queryIn(f.Query, parent, lat.ctes)
		if err != nil {
			return nil, nil, err
		}
		if err := b.resolveUnknown(q); err != nil {
			return nil, nil, err
		}
		t, err := b.queryTable(q, f.Alias)
		if err != nil {
			return nil, nil, err
		}
		return q.rel, oneTable(lat, t), nil
	case *ast.FuncRef:
		return b.funcRef(f, lat)
	case *ast.WindowTVF:
		return b.windowTVF(f, lat)
	case *ast.JoinRef:
		return b.joinRef(f, lat)
	}
	return nil, nil, notSupported("this FROM item", 0)
}

func oneTable(lat *scope, t *table) *scope {
	s := &scope{parent: lat.parent, ctes: lat.ctes}
	s.addTable(t)
	return s
}

// queryTable makes the range-table entry of a subquery under an alias.
func (b *binder) queryTable(q *qres, a ast.Alias) (*table, error) {
	t := &table{alias: a.Name, hidden: a.Name == ""}
	for _, c := range q.cols {
		t.cols = append(t.cols, scopeCol{c.name, c.id, t})
	}
	return t, aliasColumns(t, a)
}

func aliasColumns(t *table, a ast.Alias) error {
	if len(a.Columns) > len(t.cols) {
		return pgerr.New(pgerr.InvalidColumnReference, "table \"%s\" has %d columns available but %d columns specified",
			t.alias, len(t.cols), len(a.Columns)).At(a.Pos)
	}
	for i, n := range a.Columns {
		t.cols[i].name = n
	}
	return nil
}

func (b *binder) tableRef(f *ast.TableRef, lat *scope) (lrel, *scope, error) {
	if f.TableSample {
		return nil, nil, notSupported("TABLESAMPLE", f.Pos).WithHint("Filter with random() instead.")
	}
	if f.AsOf != nil {
		return nil, nil, notSupported("FOR SYSTEM_TIME AS OF outside the right side of a join", f.Pos).
			WithHint("Write FROM a JOIN %s FOR SYSTEM_TIME AS OF a.ts ON a.key = %s.key.", f.Name.Base(), f.Name.Base())
	}
	alias := f.Alias
	if alias.Name == "" {
		alias.Name = f.Name.Base()
	}
	if len(f.Name.Parts) == 1 {
		if c := lat.ctes.find(f.Name.Base()); c != nil {
			return b.cteRef(c, f, alias, lat)
		}
	}
	rel, err := b.relation(f.Name)
	if err != nil {
		return nil, nil, err
	}
	b.depends(rel.OID)
	if rel.Kind == catalog.View {
		q, err := b.view(rel, f.Pos)
		if err != nil {
			return nil, nil, err
		}
		t, err := b.queryTable(q, ast.Alias{Name: alias.Name, Pos: alias.Pos})
		if err != nil {
			return nil, nil, err
		}
		t.schema, t.rel = rel.Schema, rel
		ids := make([]int, len(t.cols))
		for i := range t.cols {
			ids[i] = t.cols[i].id
		}
		b.noteScan(rel, ids, false)
		b.boundColumns(t)
		if err := aliasColumns(t, alias); err != nil {
			return nil, nil, err
		}
		return q.rel, oneTable(lat, t), nil
	}
	if rel.Kind == catalog.Sink || rel.Kind == catalog.Index {
		return nil, nil, pgerr.New(pgerr.WrongObjectType, "cannot read from %s \"%s\"", rel.Kind, rel.Name).At(f.Pos)
	}
	if rel.Kind == catalog.Source && !rel.Bounded && !b.o.Continuous {
		return nil, nil, pgerr.New(pgerr.FeatureNotSupported, "source \"%s\" is unbounded and keeps no rows: a plain SELECT would never end", rel.Name).
			WithHint("Add EMIT CHANGES to the query to follow it, or keep its result with CREATE MATERIALIZED VIEW.").At(f.Pos)
	}
	scan, t, err := b.scan(rel, alias, f.Alias)
	if err != nil {
		return nil, nil, err
	}
	b.noteScan(rel, scan.ids, false)
	return scan, oneTable(lat, t), nil
}

// relation finds a relation by name (42P01).
func (b *binder) relation(n ast.Name) (*catalog.Relation, error) {
	schema := n.Schema()
	if rel := b.boundRelation(n); rel != nil {
		return rel, nil
	}
	if err := b.mayName(n); err != nil {
		return nil, err
	}
	if b.o.Catalog != nil {
		if rel := b.o.Catalog.Find(schema, n.Base(), b.o.SearchPath); rel != nil {
			b.record(n, rel)
			return rel, nil
		}
	}
	name := n.Base()
	if schema != "" {
		name = schema + "." + name
	}
	return nil, pgerr.New(pgerr.UndefinedTable, "relation \"%s\" does not exist", name).At(n.Pos)
}

func (b *binder) depends(oid uint32) {
	if b.viewDepth == 0 && !slices.Contains(b.reads, oid) {
		b.reads = append(b.reads, oid)
	}
}

// scan makes the scan of a relation and its range-table entry.
func (b *binder) scan(rel *catalog.Relation, alias, cols ast.Alias) (*lScan, *table, error) {
	s := &lScan{rel: rel, wmCol: -1}
	t := &table{alias: alias.Name, schema: rel.Schema, rel: rel}
	for i, c := range rel.Columns {
		id := b.newCol(c.Name, c.Type)
		b.cols[id].qual = alias.Name
		b.cols[id].origin = Origin{rel.OID, rel.Attnum(i)}
		b.cols[id].notNull = c.NotNull || slices.Contains(rel.PrimaryKey, i)
		s.ids = append(s.ids, id)
		t.cols = append(t.cols, scopeCol{c.Name, id, t})
	}
	if b.o.Continuous && rel.Watermark != nil {
		if err := b.scanWatermark(s, t); err != nil {
			return nil, nil, err
		}
	}
	b.boundColumns(t)
	return s, t, aliasColumns(t, cols)
}

func (b *binder) scanWatermark(s *lScan, t *table) error {
	w := s.rel.Watermark
	s.wmCol = s.ids[w.Column]
	s.wm = b.col(s.wmCol)
	if w.Expr == "" {
		return nil
	}
	e, err := parser.ParseExpr(w.Expr)
	if err != nil {
		return err
	}
	sc := &scope{}
	own := *t
	sc.addTable(&own)
	x, err := b.expr(&exprCtx{s: sc, clause: "WATERMARK", noSubqueries: true}, e)
	if err != nil {
		return unplaced(err)
	}
	x, err = b.assign(x, s.rel.Columns[w.Column].Type, s.rel.Columns[w.Column].Name, 0)
	s.wm = x
	return unplaced(err)
}

// unplaced drops the position of an error that points into another text than the statement's.
func unplaced(err error) error {
	if err == nil {
		return nil
	}
	e := *pgerr.From(err)
	e.Position = 0
	return &e
}

// view binds the stored query of a view.
func (b *binder) view(rel *catalog.Relation, pos int) (*qres, error) {
	if b.viewDepth > 50 {
		return nil, pgerr.New(pgerr.InvalidObjectDefinition, "infinite recursion detected in rules for relation \"%s\"", rel.Name).At(pos)
	}
	ast, err := parser.ParseQuery(rel.Definition)
	if err != nil {
		return nil, unplaced(err)
	}
	b.viewDepth++
	noParams, fnArgs, reader, bound, owner := b.noParams, b.fnArgs, b.o, b.bound, b.owner
	b.noParams, b.fnArgs, b.bound, b.owner = true, nil, rel.Bound, rel.Owner
	if rel.Path != nil { // its names mean what they meant to whoever made it
		own := *b.o
		own.SearchPath = rel.Path
		b.o = &own
	}
	q, err := b.queryIn(ast, nil, nil)
	b.noParams, b.fnArgs, b.o, b.bound, b.owner = noParams, fnArgs, reader, bound, owner
	b.viewDepth--
	if err != nil {
		return nil, unplaced(err)
	}
	if err := b.resolveUnknown(q); err != nil {
		return nil, err
	}
	for i := range q.cols {
		if i < len(rel.Columns) {
			q.cols[i].name = rel.Columns[i].Name
		}
	}
	return q, nil
}

func (b *binder) cteRef(c *cteScope, f *ast.TableRef, alias ast.Alias, lat *scope) (lrel, *scope, error) {
	if rec := b.recursionOf(c); rec != nil {
		return b.selfReference(rec, f, alias, lat)
	}
	if c.cte.Search != nil || c.cte.Cycle != nil {
		if err := b.trace(c); err != nil {
			return nil, nil, err
		}
	}
	q, isQuery := c.cte.Stmt.(*ast.Query)
	// The body is bound anew for each use; equal plans become one node in the end.
	var r *qres
	var err error
	switch {
	case !isQuery:
		r, err = b.modifiedRows(c, f.Pos)
	case c.recursive && bodyNames(q.Body, c.name):
		r, err = b.recursiveQuery(c, q)
	case c.recursive:
		b.recursion = append(b.recursion, &recursion{c: c, plain: true})
		r, err = b.queryIn(q, c.scope, c.body)
		b.recursion = b.recursion[:len(b.recursion)-1]
	default:
		r, err = b.queryIn(q, c.scope, c.body)
	}
	if err != nil {
		return nil, nil, err
	}
	if err := b.resolveUnknown(r); err != nil {
		return nil, nil, err
	}
	if len(c.cte.Columns) > len(r.cols) {
		return nil, nil, pgerr.New(pgerr.InvalidColumnReference, "WITH query \"%s\" has %d columns available but %d columns specified",
			c.name, len(r.cols), len(c.cte.Columns)).At(c.cte.Pos)
	}
	for i, n := range c.cte.Columns {
		r.cols[i].name = n
	}
	a := f.Alias
	a.Name = alias.Name
	t, err := b.queryTable(r, a)
	if err != nil {
		return nil, nil, err
	}
	return r.rel, oneTable(lat, t), nil
}

func (b *binder) joinRef(f *ast.JoinRef, lat *scope) (lrel, *scope, error) {
	if err := checkNearest(f); err != nil {
		return nil, nil, err
	}
	back := b.inRecursion(f.Kind == ast.RightJoin || f.Kind == ast.FullJoin, "an outer join")
	l, ls, err := b.fromItem(f.L, lat)
	back()
	if err != nil {
		return nil, nil, err
	}
	lat2 := joinScopes(lat, ls)
	if f.Kind == ast.RightJoin || f.Kind == ast.FullJoin {
		lat2 = joinScopes(lat, &scope{parent: lat.parent, ctes: lat.ctes})
		for _, t := range ls.tables {
			c := *t
			c.notLateral = true
			lat2.tables = append(lat2.tables, &c)
		}
	}
	right := f.R
	version, temporal := systemTime(f)
	if temporal {
		t := *version
		t.AsOf = nil
		right = &t
	}
	back = b.inRecursion(f.Kind == ast.LeftJoin || f.Kind == ast.FullJoin, "an outer join")
	r, rs, err := b.fromItem(right, lat2)
	back()
	if err != nil {
		return nil, nil, err
	}
	if err := checkAliases(ls, rs, f.Pos); err != nil {
		return nil, nil, err
	}
	sc := joinScopes(ls, rs)
	sc.parent, sc.ctes = lat.parent, lat.ctes
	typ := map[ast.JoinKind]JoinType{ast.InnerJoin: InnerJoin, ast.CrossJoin: InnerJoin, ast.LeftJoin: LeftJoin,
		ast.RightJoin: RightJoin, ast.FullJoin: FullJoin}[f.Kind]
	var on []Expr
	using := f.Using
	if f.Natural {
		for _, c := range ls.cols {
			if _, n := rs.lookup(c.name); n > 0 && !slices.Contains(using, c.name) {
				using = append(using, c.name)
			}
		}
	}
	var merged []scopeCol
	type pair struct{ l, r int }
	var pairs []pair
	for _, name := range using {
		lc, ln := ls.lookup(name)
		rc, rn := rs.lookup(name)
		for _, x := range []struct {
			n    int
			side string
		}{{ln, "left"}, {rn, "right"}} {
			if x.n == 0 {
				return nil, nil, pgerr.New(pgerr.UndefinedColumn, "column \"%s\" specified in USING clause does not exist in %s table", name, x.side).At(f.Pos)
			}
			if x.n > 1 {
				return nil, nil, pgerr.New(pgerr.AmbiguousColumn, "common column name \"%s\" appears more than once in %s table", name, x.side).At(f.Pos)
			}
		}
		op := "="
		if f.AsOf && name == using[len(using)-1] { // the last column of USING is the time
			op = ">="
		}
		b.used[lc.id], b.used[rc.id] = true, true
		eq, err := b.operator(op, []Expr{b.col(lc.id), b.col(rc.id)}, f.Pos)
		if err != nil {
			return nil, nil, err
		}
		on = append(on, eq)
		pairs = append(pairs, pair{lc.id, rc.id})
	}
	if f.On != nil {
		e, err := b.boolExpr(&exprCtx{s: sc, clause: "JOIN/ON"}, f.On)
		if err != nil {
			return nil, nil, err
		}
		on = conjuncts(e, on)
	}
	var rel lrel
	switch {
	case f.AsOf:
		rel, err = b.asOfJoin(l, r, typ == LeftJoin, on, f)
	case temporal:
		rel, err = b.systemTimeJoin(l, r, ls, rs, lat, typ == LeftJoin, on, f)
	default:
		rel, err = b.apply(l, r, typ, on)
	}
	if err != nil {
		return nil, nil, err
	}
	if len(using) > 0 {
		var items []projItem
		for i, p := range pairs {
			two := []Expr{b.col(p.l), b.col(p.r)}
			t, err := b.common(two, "JOIN/USING", nil)
			if err != nil {
				return nil, nil, err
			}
			var e Expr = two[0]
			switch typ {
			case RightJoin:
				e = two[1]
			case FullJoin:
				e = &Coalesce{two, t}
			}
			var id int
			if c, ok := e.(*Column); ok {
				id = c.Index
			} else {
				id = b.newCol(using[i], t)
				items = append(items, projItem{id, e})
			}
			merged = append(merged, scopeCol{name: using[i], id: id})
		}
		rel = extend(rel, items, b)
		cols := merged
		for _, c := range sc.cols {
			if !slices.Contains(using, c.name) {
				cols = append(cols, c)
			}
		}
		sc.cols = cols
		if f.UsingAlias != "" {
			t := &table{alias: f.UsingAlias, cols: merged}
			sc.tables = append(sc.tables, t)
		}
	}
	if f.Alias.Name != "" {
		t := &table{alias: f.Alias.Name}
		for _, c := range sc.cols {
			t.cols = append(t.cols, scopeCol{c.name, c.id, t})
		}
		if err := aliasColumns(t, f.Alias); err != nil {
			return nil, nil, err
		}
		sc = oneTable(lat, t)
	}
	return rel, sc, nil
}

// fields gives the schema of column ids.
func (b *binder) fields(ids []int) []vec.Field {
	out := make([]vec.Field, len(ids))
	for i, id := range ids {
		out[i] = vec.Field{Name: b.cols[id].name, Type: b.cols[id].typ}
	}
	return out
}
