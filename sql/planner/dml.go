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

// DMLKind says what a DML plan does.
type DMLKind uint8

// The kinds of DML.
const (
	InsertDML DMLKind = iota + 1
	UpdateDML
	DeleteDML
	MergeDML
	// SelectDML is a query with data-modifying statements in WITH.
	SelectDML
)

// DML is a planned INSERT, UPDATE, DELETE or MERGE.
type DML struct {
	Kind DMLKind
	Rel  *catalog.Relation
	// Source gives the rows. INSERT: full rows of the table in column order. UPDATE: the old row, then the new
	// one. DELETE: the old row. Values have been converted to the columns' types; NOT NULL and keys are the caller's to check.
	// An UPDATE .. FROM or DELETE .. USING may give an old row more than once: the first counts. MERGE: the old row, the new one, and what
	// is to be done (MergeNothing ..). Columns of FROM or USING that RETURNING reads follow. SELECT: the result.
	Source Node
	// With are the data-modifying statements in WITH; all see the tables as they were before the first of them.
	With []*Modifying
	// Returning reads Changed: a table row each, the new one of INSERT and UPDATE, the old one of DELETE, and the columns of FROM or USING
	// that it asks for.
	Returning     Node
	Changed       *Given
	ResultColumns []vec.Field
	// HasReturning tells RETURNING from its absence.
	HasReturning bool
	OnConflict   *Conflict
	Params       []types.T
	Depends      []uint32
	// Runs says that it calls functions whose bodies the session runs, which may change tables.
	Runs bool
}

// Conflict is ON CONFLICT.
type Conflict struct {
	// Arbiters are the OIDs of the indexes that arbitrate; nil (of DO NOTHING) is any.
	Arbiters  []uint32
	DoNothing bool
	// Pairs are rows that are there, each followed by the one that was proposed in its place; Update gives for those that are to change the
	// old row, then the new one.
	Pairs  *Given
	Update Node
}

// dmlTarget finds the relation that a statement changes.
func (b *binder) dmlTarget(n ast.Name, kind DMLKind) (*catalog.Relation, error) {
	rel, err := b.relation(n)
	if err != nil {
		return nil, err
	}
	verb := map[DMLKind]string{InsertDML: "insert into", UpdateDML: "update", DeleteDML: "delete from", MergeDML: "merge into"}[kind]
	switch rel.Kind {
	case catalog.Table:
	case catalog.View, catalog.MatView:
		if kind == MergeDML {
			return nil, pgerr.New(pgerr.FeatureNotSupported, "cannot execute MERGE on relation \"%s\"", rel.Name).
				WithDetail("This operation is not supported for %ss.", rel.Kind).WithHint("Change the tables that the view reads.").At(n.Pos)
		}
		if rel.Kind == catalog.MatView {
			return nil, pgerr.New(pgerr.WrongObjectType, "cannot change materialized view \"%s\"", rel.Name).At(n.Pos)
		}
		return nil, pgerr.New(pgerr.ObjectNotInPrerequisiteState, "cannot %s view \"%s\"", verb, rel.Name).
			WithHint("Change the tables that the view reads.").At(n.Pos)
	case catalog.Source:
		if kind != InsertDML {
			return nil, pgerr.New(pgerr.ObjectNotInPrerequisiteState, "cannot %s source \"%s\"", verb, rel.Name).
				WithDetail("A source keeps no rows.").WithHint("Create it with CREATE TABLE to keep rows that can change.").At(n.Pos)
		}
		if c, ok := rel.Option("connector"); ok {
			return nil, pgerr.New(pgerr.ObjectNotInPrerequisiteState, "cannot insert into source \"%s\": its rows come from connector %s", rel.Name, c).
				WithHint("A source without a connector takes INSERT and COPY.").At(n.Pos)
		}
	case catalog.System:
		return nil, pgerr.New(pgerr.InsufficientPrivilege, "permission denied: \"%s\" is a system catalog", rel.Name).At(n.Pos)
	default:
		return nil, pgerr.New(pgerr.WrongObjectType, "cannot %s %s \"%s\"", verb, rel.Kind, rel.Name).At(n.Pos)
	}
	if rel.AppendOnly && kind != InsertDML {
		return nil, pgerr.New(pgerr.ObjectNotInPrerequisiteState, "cannot %s append-only table \"%s\"", verb, rel.Name).
			WithHint("It was created APPEND ONLY.").At(n.Pos)
	}
	return rel, nil
}

// BindDefault gives the value of a column that a row leaves out: its DEFAULT, else NULL. It has the column's type.
func BindDefault(col *catalog.Column, o *Options) (Expr, error) {
	var e ast.Expr
	var err error
	switch {
	case col.Sequence != 0:
		e = nextValue(col.Sequence)
	case col.Default == "" && col.Domain != 0:
		if t := o.Catalog.TypeByOID(col.Domain); t != nil && t.Default != "" {
			e, err = parser.ParseExpr(t.Default)
			break
		}
		fallthrough
	case col.Default == "":
		return &Const{nil, col.Type}, nil
	default:
		e, err = parser.ParseExpr(col.Default)
	}
	if err != nil {
		return nil, unplaced(err)
	}
	b := newBinder(o)
	x, err := b.expr(&exprCtx{s: &scope{}, clause: "DEFAULT", noSubqueries: true,
		columnsForbidden: "cannot use column reference in DEFAULT expression"}, e)
	if err != nil {
		return nil, unplaced(err)
	}
	x, err = b.assign(x, col.Type, col.Name, 0)
	if err != nil {
		return nil, unplaced(err)
	}
	return b.simplify(x), nil
}

// rowScope makes ids and a scope for the columns of a table.
func (b *binder) rowScope(rel *catalog.Relation, alias string) (*scope, []int) {
	t := &table{alias: alias, schema: rel.Schema, rel: rel}
	var ids []int
	for i, c := range rel.Columns {
		id := b.newCol(c.Name, c.Type)
		b.cols[id].qual, b.cols[id].origin = alias, Origin{rel.OID, rel.Attnum(i)}
		ids = append(ids, id)
		t.cols = append(t.cols, scopeCol{c.Name, id, t})
	}
	s := &scope{}
	s.addTable(t)
	return s, ids
}

// generated computes the generated columns of a row whose other columns have the ids in row.
func (b *binder) generated(rel *catalog.Relation, in lrel, row []int) (lrel, []int, error) {
	row = slices.Clone(row)
	var items []projItem
	for i, c := range rel.Columns {
		if c.Generated == "" {
			continue
		}
		e, err := parser.ParseExpr(c.Generated)
		if err != nil {
			return nil, nil, unplaced(err)
		}
		t := &table{alias: rel.Name}
		for j, d := range rel.Columns {
			t.cols = append(t.cols, scopeCol{d.Name, row[j], t})
		}
		s := &scope{}
		s.addTable(t)
		x, err := b.expr(&exprCtx{s: s, clause: "column generation expression", noSubqueries: true}, e)
		if err != nil {
			return nil, nil, unplaced(err)
		}
		if x, err = b.assign(x, c.Type, c.Name, 0); err != nil {
			return nil, nil, unplaced(err)
		}
		id := b.newCol(c.Name, c.Type)
		items = append(items, projItem{id, x})
		row[i] = id
	}
	return extend(in, items, b), row, nil
}

func (b *binder) plan(rel lrel, ids []int) (Node, error) {
	p := newBuilder(false)
	return b.lowerRoot(p, rel, ids, setOf(ids...))
}

func (b *binder) insert(s *ast.Insert, outer *cteScope) (*DML, error) {
	rel, err := b.dmlTarget(s.Table, InsertDML)
	if err != nil {
		return nil, err
	}
	b.noteChange(rel, catalog.PrivInsert, s.Columns, false)
	if s.OnConflict != nil && !s.OnConflict.DoNothing {
		b.noteAssigned(rel, s.OnConflict.Set)
	}
	ctes, err := b.withScope(s.With, nil, outer)
	if err != nil {
		return nil, err
	}
	targets, err := insertTargets(rel, s)
	if err != nil {
		return nil, err
	}
	in, given, err := b.insertSource(s, rel, targets, ctes)
	if err != nil {
		return nil, err
	}
	var items []projItem
	row := make([]int, len(rel.Columns))
	for i := range rel.Columns {
		col := &rel.Columns[i]
		if id, ok := given[i]; ok {
			row[i] = id
			continue
		}
		x, err := BindDefault(col, b.o)
		if err != nil {
			return nil, err
		}
		row[i] = b.newCol(col.Name, col.Type)
		items = append(items, projItem{row[i], x})
	}
	in, row, err = b.generated(rel, extend(in, items, b), row)
	if err != nil {
		return nil, err
	}
	d := &DML{Kind: InsertDML, Rel: rel}
	if d.Source, err = b.plan(in, row); err != nil {
		return nil, err
	}
	alias := s.Alias
	if alias == "" {
		alias = rel.Name
	}
	if s.OnConflict != nil {
		if d.OnConflict, err = b.onConflict(s.OnConflict, rel, alias, ctes); err != nil {
			return nil, err
		}
	}
	_, err = b.returning(d, s.Returning, alias, nil, ctes)
	return d, err
}

func insertTargets(rel *catalog.Relation, s *ast.Insert) ([]int, error) {
	var out []int
	if len(s.Columns) == 0 {
		for i := range rel.Columns {
			out = append(out, i)
		}
		return out, nil
	}
	for i, name := range s.Columns {
		pos := 0
		if i < len(s.ColumnPos) {
			pos = s.ColumnPos[i]
		}
		at := rel.ColumnIndex(name)
		if at < 0 {
			return nil, pgerr.New(pgerr.UndefinedColumn, "column \"%s\" of relation \"%s\" does not exist", name, rel.Name).At(pos)
		}
		if j := slices.Index(out, at); j >= 0 && (partOf(s, i) == nil || partOf(s, j) == nil) {
			return nil, pgerr.New(pgerr.DuplicateColumn, "column \"%s\" specified more than once", name).At(pos)
		}
		out = append(out, at)
	}
	return out, nil
}

// partOf gives the subscripts of the i-th column that an INSERT names, nil where it names all of it.
func partOf(s *ast.Insert, i int) []*ast.Subscript {
	if i < len(s.Parts) {
		return s.Parts[i]
	}
	return nil
}

// identityValue says what becomes of a value that is given for a column: that of an identity column may be refused, or with
// OVERRIDING USER VALUE left out.
func identityValue(col *catalog.Column, overriding string) (skip bool, err error) {
	switch {
	case col.Identity == "":
	case overriding == "user":
		return true, nil
	case col.Identity == "always" && overriding != "system":
		return false, pgerr.New("428C9", "cannot insert a non-DEFAULT value into column \"%s\"", col.Name).
			WithDetail("Column \"%s\" is an identity column defined as GENERATED ALWAYS.", col.Name).
			WithHint("Use OVERRIDING SYSTEM VALUE to override.")
	}
	return false, nil
}

func errGenerated(name string) *pgerr.Error {
	return pgerr.New("428C9", "cannot insert a non-DEFAULT value into column \"%s\"", name).
		WithDetail("Column \"%s\" is a generated column.", name)
}

// insertSource binds the rows of INSERT; given says which id holds which column of the table.
func (b *binder) insertSource(s *ast.Insert, rel *catalog.Relation, targets []int, ctes *cteScope) (lrel, map[int]int, error) {
	given := map[int]int{}
	if s.Query == nil { // DEFAULT VALUES
		return oneRow(), given, nil
	}
	tooMany := func(n, pos int) error {
		if n > len(targets) {
			return pgerr.New(pgerr.SyntaxError, "INSERT has more expressions than target columns").At(pos)
		}
		if len(s.Columns) > 0 && n < len(targets) {
			return pgerr.New(pgerr.SyntaxError, "INSERT has more target columns than expressions").At(pos)
		}
		return nil
	}
	if s.Query.Emit != nil {
		return nil, nil, pgerr.New(pgerr.FeatureNotSupported, "EMIT is not allowed in INSERT: its query must end").
			WithHint("Leave EMIT out, or keep the result with CREATE MATERIALIZED VIEW.").At(s.Query.Emit.Pos)
	}
	v, isValues := s.Query.Body.(*ast.Values)
	if isValues && len(s.Query.OrderBy) == 0 && s.Query.Limit == nil && s.Query.Offset == nil && s.Query.With == nil {
		return b.insertValues(s, v, rel, targets, ctes, given, tooMany)
	}
	b.depth++
	r, err := b.queryIn(s.Query, nil, ctes)
	b.depth--
	if err != nil {
		return nil, nil, err
	}
	if err := tooMany(len(r.cols), s.Query.Pos); err != nil {
		return nil, nil, err
	}
	p, isProject := r.rel.(*lProject)
	var items []projItem
	parts := map[int]int{}
	for i, oc := range r.cols {
		col := &rel.Columns[targets[i]]
		if col.Generated != "" {
			return nil, nil, errGenerated(col.Name)
		}
		if skip, err := identityValue(col, s.Overriding); err != nil {
			return nil, nil, err
		} else if skip {
			continue
		}
		var e Expr = b.col(oc.id)
		if isProject && unknown(e) {
			for _, it := range p.items {
				if it.id == oc.id {
					e = it.e
				}
			}
		} else if unknown(e) {
			e = &Cast{X: e, To: types.Text}
		}
		part := partOf(s, i)
		x, typ, err := b.insertValue(e, col, part, s.Query.Pos)
		if err != nil {
			return nil, nil, err
		}
		id := 0
		if k, ok := x.(*Column); ok {
			id = k.Index
		} else {
			id = b.newCol(col.Name, typ)
			items = append(items, projItem{id, x})
		}
		if part != nil {
			parts[i] = id
		} else {
			given[targets[i]] = id
		}
	}
	in, err := b.insertParts(s, rel, targets, extend(r.rel, items, b), parts, given)
	return in, given, err
}

// insertValue converts what is inserted to the type of a column, or of the part of it that is given.
func (b *binder) insertValue(e Expr, col *catalog.Column, part []*ast.Subscript, pos int) (Expr, types.T, error) {
	if part == nil {
		x, err := b.assign(e, col.Type, col.Name, pos)
		return x, col.Type, err
	}
	t, err := partType(col, part, pos)
	if err != nil {
		return nil, t, err
	}
	x, err := b.assignTo(e, t, col.Name, pos)
	return x, t, err
}

func (b *binder) insertValues(s *ast.Insert, v *ast.Values, rel *catalog.Relation, targets []int, ctes *cteScope, given map[int]int, check func(n, pos int) error) (lrel, map[int]int, error) {
	sc := &scope{ctes: ctes}
	v, err := b.expandValues(&exprCtx{s: sc, clause: "VALUES"}, v)
	if err != nil {
		return nil, nil, err
	}
	var ids []int
	partIDs := map[int]int{}
	n := len(v.Rows[0])
	if n > 0 {
		if err := check(n, v.Rows[0][min(n-1, len(targets))].Position()); err != nil {
			return nil, nil, err
		}
	}
	for i := range n {
		col := &rel.Columns[targets[i]]
		t := col.Type
		part := partOf(s, i)
		if part != nil {
			var err error
			if t, err = partType(col, part, s.ColumnPos[i]); err != nil {
				return nil, nil, err
			}
		}
		id := b.newCol(col.Name, t)
		ids = append(ids, id)
		if part != nil {
			partIDs[i] = id
		} else {
			given[targets[i]] = id
		}
	}
	lv := &lValues{ids: ids}
	var parts []lrel
	sub := false
	for _, row := range v.Rows {
		if len(row) != n {
			return nil, nil, pgerr.New(pgerr.SyntaxError, "VALUES lists must all be the same length").At(row[0].Position())
		}
		es := make([]Expr, n)
		for i, a := range row {
			col := &rel.Columns[targets[i]]
			_, useDefault := a.(*ast.Default)
			if !useDefault {
				skip, err := identityValue(col, s.Overriding)
				if err != nil {
					return nil, nil, pgerr.AtPos(err, a.Position())
				}
				useDefault = skip
			}
			if useDefault && partOf(s, i) != nil {
				return nil, nil, pgerr.New(pgerr.FeatureNotSupported, "cannot set an array element to DEFAULT").At(a.Position())
			}
			if useDefault {
				x, err := BindDefault(col, b.o)
				if err != nil {
					return nil, nil, err
				}
				es[i] = x
				continue
			}
			if col.Generated != "" {
				return nil, nil, errGenerated(col.Name).At(a.Position())
			}
			x, err := b.expr(&exprCtx{s: sc, clause: "VALUES"}, a)
			if err != nil {
				return nil, nil, err
			}
			if es[i], _, err = b.insertValue(x, col, partOf(s, i), a.Position()); err != nil {
				return nil, nil, err
			}
			sub = sub || hasSubquery(es[i])
		}
		lv.rows = append(lv.rows, es)
	}
	for i, id := range targets { // a generated column may be named with DEFAULT
		if i < n && rel.Columns[id].Generated != "" {
			delete(given, id)
		}
	}
	if !sub {
		in, err := b.insertParts(s, rel, targets, lv, partIDs, given)
		return in, given, err
	}
	u := &lUnion{ids: ids}
	for _, row := range lv.rows {
		in := oneRow()
		p := &lProject{}
		var from []int
		for i, e := range row {
			var err error
			if in, e, err = b.unnest(in, e); err != nil {
				return nil, nil, err
			}
			id := b.newCol(b.cols[ids[i]].name, b.cols[ids[i]].typ)
			p.items = append(p.items, projItem{id, e})
			from = append(from, id)
		}
		p.in = in
		parts = append(parts, p)
		u.from = append(u.from, from)
	}
	u.in = parts
	in, err := b.insertParts(s, rel, targets, u, partIDs, given)
	return in, given, err
}

func (b *binder) onConflict(c *ast.OnConflict, rel *catalog.Relation, alias string, ctes *cteScope) (*Conflict, error) {
	out := &Conflict{DoNothing: c.DoNothing}
	var err error
	switch {
	case c.Constraint != "":
		k := rel.FindConstraint(c.Constraint)
		switch {
		case rel.PrimaryKey != nil && c.Constraint == rel.PrimaryKeyName:
			out.Arbiters = []uint32{rel.PrimaryKeyOID}
		case k != nil && k.Kind == catalog.UniqueConstraint:
			out.Arbiters = []uint32{k.IndexOID}
		case k != nil:
			return nil, pgerr.New(pgerr.WrongObjectType, "constraint in ON CONFLICT clause has no associated index").At(c.Pos)
		default:
			return nil, pgerr.New(pgerr.UndefinedObject, "constraint \"%s\" for table \"%s\" does not exist", c.Constraint, rel.Name).At(c.Pos)
		}
	case len(c.Terms) > 0:
		if out.Arbiters, err = b.arbiters(c, rel, alias); err != nil {
			return nil, err
		}
	case !c.DoNothing:
		return nil, pgerr.New(pgerr.SyntaxError, "ON CONFLICT DO UPDATE requires inference specification or constraint name").
			WithHint("For example, ON CONFLICT (column_name).").At(c.Pos)
	}
	if c.DoNothing {
		return out, nil
	}
	sc, old := b.rowScope(rel, alias)
	b.noteScan(rel, old, true)
	ex, proposed := b.rowScope(rel, "excluded")
	both := &scope{tables: append(slices.Clone(sc.tables), ex.tables...), cols: sc.cols, ctes: ctes}
	pairs := b.given(concat(old, proposed))
	out.Pairs = pairs.node
	var in lrel = pairs
	set, err := b.assignments(c.Set, rel, &exprCtx{s: both, clause: "ON CONFLICT DO UPDATE"})
	if err != nil {
		return nil, err
	}
	if c.Where != nil {
		w, err := b.boolExpr(&exprCtx{s: both, clause: "WHERE"}, c.Where)
		if err != nil {
			return nil, err
		}
		if in, err = b.where(in, w); err != nil {
			return nil, err
		}
	}
	in, row, err := b.newRow(in, rel, old, set)
	if err != nil {
		return nil, err
	}
	out.Update, err = b.plan(in, concat(old, row))
	return out, err
}

// newRow computes a row with some of its columns replaced, and its generated columns.
func (b *binder) newRow(in lrel, rel *catalog.Relation, old []int, set map[int]Expr) (lrel, []int, error) {
	row := slices.Clone(old)
	var items []projItem
	for i := range rel.Columns {
		e, ok := set[i]
		if !ok {
			continue
		}
		var err error
		if in, e, err = b.unnest(in, e); err != nil {
			return nil, nil, err
		}
		row[i] = b.newCol(rel.Columns[i].Name, rel.Columns[i].Type)
		items = append(items, projItem{row[i], e})
	}
	return b.generated(rel, extend(in, items, b), row)
}

// changed binds the common part of UPDATE and DELETE: the target joined with FROM or USING, filtered. others are the relations of FROM or USING.
func (b *binder) changed(rel *catalog.Relation, alias string, ctes *cteScope, from []ast.FromItem, where ast.Expr) (in lrel, sc, others *scope, ids []int, err error) {
	if alias == "" {
		alias = rel.Name
	}
	b.depends(rel.OID)
	scan, t, err := b.scan(rel, ast.Alias{Name: alias}, ast.Alias{})
	if err != nil {
		return nil, nil, nil, nil, err
	}
	b.noteScan(rel, scan.ids, true)
	sc = &scope{ctes: ctes}
	sc.addTable(t)
	in = scan
	if len(from) > 0 {
		r, fs, err := b.from(from, nil, ctes)
		if err != nil {
			return nil, nil, nil, nil, err
		}
		if err := checkAliases(sc, fs, itemPos(from[0])); err != nil {
			return nil, nil, nil, nil, err
		}
		in = &lJoin{typ: InnerJoin, l: in, r: r}
		sc, others = joinScopes(sc, fs), fs
	}
	if where != nil {
		cond, err := b.boolExpr(&exprCtx{s: sc, clause: "WHERE"}, where)
		if err != nil {
			return nil, nil, nil, nil, err
		}
		if in, err = b.where(in, cond); err != nil {
			return nil, nil, nil, nil, err
		}
	}
	return in, sc, others, scan.ids, nil
}

func (b *binder) update(s *ast.Update, outer *cteScope) (*DML, error) {
	rel, err := b.dmlTarget(s.Table, UpdateDML)
	if err != nil {
		return nil, err
	}
	b.noteAssigned(rel, s.Set)
	ctes, err := b.withScope(s.With, nil, outer)
	if err != nil {
		return nil, err
	}
	in, sc, others, old, err := b.changed(rel, s.Alias, ctes, s.From, s.Where)
	if err != nil {
		return nil, err
	}
	set, err := b.assignments(s.Set, rel, &exprCtx{s: sc, clause: "UPDATE"})
	if err != nil {
		return nil, err
	}
	in, row, err := b.newRow(in, rel, old, set)
	if err != nil {
		return nil, err
	}
	d := &DML{Kind: UpdateDML, Rel: rel}
	more, err := b.returning(d, s.Returning, s.Alias, others, ctes)
	if err != nil {
		return nil, err
	}
	d.Source, err = b.plan(in, concat(concat(old, row), more))
	return d, err
}

func (b *binder) delete(s *ast.Delete, outer *cteScope) (*DML, error) {
	rel, err := b.dmlTarget(s.Table, DeleteDML)
	if err != nil {
		return nil, err
	}
	b.noteChange(rel, catalog.PrivDelete, nil, true)
	ctes, err := b.withScope(s.With, nil, outer)
	if err != nil {
		return nil, err
	}
	in, _, others, old, err := b.changed(rel, s.Alias, ctes, s.Using, s.Where)
	if err != nil {
		return nil, err
	}
	d := &DML{Kind: DeleteDML, Rel: rel}
	more, err := b.returning(d, s.Returning, s.Alias, others, ctes)
	if err != nil {
		return nil, err
	}
	d.Source, err = b.plan(in, concat(old, more))
	return d, err
}
