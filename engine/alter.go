package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"streamsql/catalog"
	"streamsql/exec"
	"streamsql/internal/pgerr"
	"streamsql/internal/vec"
	"streamsql/sql/parser/ast"
	"streamsql/sql/planner"
	"streamsql/state"
)

// alter executes ALTER.
func (s *Session) alter(ctx context.Context, x *ast.Alter) error {
	kinds := map[string][]catalog.RelKind{"table": nil, "view": {catalog.View}, "materialized view": {catalog.MatView}, "source": {catalog.Source},
		"foreign table": {catalog.Source}, "sink": {catalog.Sink}, "sequence": {catalog.SequenceKind}}
	allowed, isRelation := kinds[x.Kind]
	switch {
	case isRelation:
	case x.Kind == "index":
		return s.alterIndex(x)
	case x.Kind == "type" || x.Kind == "domain":
		return s.alterType(ctx, x)
	case x.Kind == "schema":
		return s.alterSchema(x)
	case x.Kind == "function" || x.Kind == "procedure" || x.Kind == "routine":
		return s.alterFunction(x)
	default:
		if len(x.Actions) == 1 && x.Actions[0].Action == "owner to" {
			return nil
		}
		return unsupportedAlter(x, "")
	}
	cat := s.catalog()
	rel := cat.Find(x.Name.Schema(), x.Name.Base(), s.searchPath(cat))
	if rel == nil && x.Kind == "table" {
		if ix := cat.FindIndex(x.Name.Schema(), x.Name.Base(), s.searchPath(cat)); ix != nil {
			return s.alterIndex(x)
		}
	}
	switch {
	case rel == nil && x.IfExists:
		s.notice(pgerr.New(pgerr.SuccessfulCompletion, "relation \"%s\" does not exist, skipping", x.Name.Base()))
		return nil
	case rel == nil:
		return pgerr.New(pgerr.UndefinedTable, "relation \"%s\" does not exist", x.Name.String()).At(x.Name.Pos)
	case rel.Kind == catalog.System:
		return pgerr.New(pgerr.InsufficientPrivilege, "permission denied: \"%s\" is a system catalog", rel.Name).At(x.Name.Pos)
	case allowed != nil && !slices.Contains(allowed, rel.Kind):
		return pgerr.New(pgerr.WrongObjectType, "\"%s\" is not a %s", rel.Name, allowed[0]).At(x.Name.Pos)
	}
	s.touch(cat, rel.OID)
	if x.Sequence != nil {
		return s.alterSequence(rel, x.Sequence)
	}
	for _, a := range x.Actions {
		if rel = s.catalog().ByOID(rel.OID); rel == nil {
			return pgerr.New(pgerr.UndefinedTable, "relation \"%s\" does not exist", x.Name.String()).At(x.Name.Pos)
		}
		if err := s.alterRelation(ctx, x, a, rel); err != nil {
			return err
		}
	}
	return nil
}

func unsupportedAlter(x *ast.Alter, action string) error {
	if action == "" && len(x.Actions) > 0 {
		action = x.Actions[0].Action
	}
	return pgerr.New(pgerr.FeatureNotSupported, "ALTER %s ... %s is not supported", strings.ToUpper(x.Kind), strings.ToUpper(action)).At(x.Pos)
}

func (s *Session) alterRelation(ctx context.Context, x *ast.Alter, a *ast.AlterAction, rel *catalog.Relation) error {
	c := rel.Clone()
	switch a.Action {
	case "owner to", "set storage", "validate constraint", "cluster on", "set without cluster", "replica identity", "set logged", "set unlogged",
		"enable row level", "disable row level", "set tablespace", "reset", "set":
		if a.Action == "validate constraint" {
			return s.validate(ctx, rel, a)
		}
		return nil
	case "rename to":
		if schema := rel.Schema; a.NewName != rel.Name && relationTaken(s.catalog(), schema)(a.NewName) {
			return pgerr.New(pgerr.DuplicateTable, "relation \"%s\" already exists", a.NewName).At(a.Pos)
		}
		c.Name = a.NewName
		return s.putRelation(c)
	case "set schema":
		return s.setSchema(rel, c, a)
	case "rename column":
		return s.renameColumn(rel, c, a)
	}
	if rel.Kind != catalog.Table && !(rel.Kind == catalog.Source && slices.Contains([]string{"add column", "drop column", "set default", "drop default",
		"set not null", "drop not null"}, a.Action)) {
		return pgerr.New(pgerr.WrongObjectType, "ALTER action %s cannot be performed on relation \"%s\"", strings.ToUpper(a.Action), rel.Name).
			WithDetail("This operation is not supported for %ss.", rel.Kind)
	}
	switch a.Action {
	case "add column":
		return s.addColumn(ctx, rel, c, a)
	case "drop column":
		return s.dropColumn(ctx, rel, c, a)
	case "alter column type":
		return s.alterColumnType(ctx, rel, c, a)
	case "set default", "drop default":
		return s.setDefault(rel, c, a)
	case "set not null", "drop not null":
		return s.setNotNull(ctx, rel, c, a)
	case "add constraint":
		return s.addConstraint(ctx, rel, c, a)
	case "drop constraint":
		return s.dropConstraint(ctx, rel, c, a)
	case "rename constraint":
		return s.renameConstraint(rel, c, a)
	case "add identity", "set identity", "drop identity":
		return s.alterIdentity(rel, c, a)
	case "drop expression":
		i, err := s.columnOf(rel, a)
		if err != nil {
			return err
		}
		if c.Columns[i].Generated == "" {
			if a.IfExists {
				s.notice(pgerr.New(pgerr.SuccessfulCompletion, "column \"%s\" of relation \"%s\" is not a stored generated column, skipping", a.Column, rel.Name))
				return nil
			}
			return pgerr.New(pgerr.ObjectNotInPrerequisiteState, "column \"%s\" of relation \"%s\" is not a stored generated column", a.Column, rel.Name)
		}
		c.Columns[i].Generated = ""
		return s.putRelation(c)
	}
	return unsupportedAlter(x, a.Action)
}

// putRelation changes what the catalog says of a relation whose rows stay as they are.
func (s *Session) putRelation(c *catalog.Relation) error {
	s.change(&ddl{ch: &catalogChange{Put: []*catalog.Relation{c}}})
	if tt := s.tx.tables[c.OID]; tt != nil && (tt.made || tt.rewritten) {
		tt.rel = c
		if tt.work != nil {
			tt.work.SetName(c.Name)
		}
	}
	return nil
}

// columnOf finds the column that an action names.
func (s *Session) columnOf(rel *catalog.Relation, a *ast.AlterAction) (int, error) {
	i := rel.ColumnIndex(a.Column)
	if i < 0 {
		return 0, pgerr.New(pgerr.UndefinedColumn, "column \"%s\" of relation \"%s\" does not exist", a.Column, rel.Name)
	}
	return i, nil
}

// rewrite computes the rows of a table anew.
type rewrite struct {
	// exprs give each column of the new table over the columns of the old one; nil: the rows stay as they are.
	exprs []planner.Expr
	// from says for each column where the same values stood before, -1 nowhere.
	from []int
	// explain words an error of the new rows; may be nil.
	explain func(error) error
	// checks lists the CHECK constraints that old rows have not been held against; all checks NOT NULL too.
	checks []*catalog.Constraint
}

// replaceTable puts next in the place of rel, and with content makes the rows anew: so that they have the columns, keys and
// constraints that next says.
func (s *Session) replaceTable(rel, next *catalog.Relation, w *rewrite, content bool) error {
	return s.replaceRows(context.Background(), rel, next, w, content)
}

func (s *Session) replaceRows(ctx context.Context, rel, next *catalog.Relation, w *rewrite, content bool) (err error) {
	s.e.write.Lock()
	s.e.registerParts(next)
	s.e.write.Unlock()
	d := &ddl{ch: &catalogChange{Put: []*catalog.Relation{next}}}
	if !content {
		s.change(d)
		if tt := s.tx.tables[next.OID]; tt != nil && (tt.made || tt.rewritten) {
			tt.rel = next
		}
		return nil
	}
	next.LayoutVersion = rel.LayoutVersion + 1
	if w == nil {
		w = &rewrite{}
	}
	moved := w.from != nil && !prefix(w.from, len(rel.Columns))
	if moved || w.exprs != nil && rel.Kind == catalog.Source {
		if err := s.movable(rel); err != nil {
			return err
		}
	}
	if w.from != nil {
		oid, before := rel.OID, rel
		d.layout = func() { s.e.moveColumns(oid, before, next) }
	}
	if moved {
		d.after = func() {
			s.e.failReaders(rel.OID, pgerr.New(pgerr.ObjectNotInPrerequisiteState, "columns of %s \"%s\" have been altered", rel.Kind, rel.Name).
				WithHint("Run the query again."))
		}
	}
	if rel.Kind != catalog.Table {
		s.change(d)
		return nil
	}
	d.ch.Rewrite = []uint32{rel.OID}
	tt, err := s.writable(rel)
	if err != nil {
		return err
	}
	work, err := s.newRows(ctx, tt, next, w)
	if err != nil {
		return err
	}
	indexes := newIndexes(next)
	if err := fillIndexes(next, work, indexes, s.e.alloc); err != nil {
		return err
	}
	s.e.trackIndexes(indexes)
	if w.from != nil && !tt.made {
		tt.layouts = append(slices.Clip(tt.layouts), layoutChange{at: len(tt.changes), from: w.from, rel: next})
	}
	tt.rel, tt.work, tt.indexes, tt.rewritten = next, work, indexes, true
	s.change(d)
	return nil
}

// prefix says that the first n columns are where they were.
func prefix(from []int, n int) bool {
	if len(from) < n {
		return false
	}
	for i := range n {
		if from[i] != i {
			return false
		}
	}
	return true
}

// newRows makes the rows of a table for its new definition.
func (s *Session) newRows(ctx context.Context, tt *txTable, next *catalog.Relation, w *rewrite) (*state.Table, error) {
	schema := next.Fields()
	work := state.NewTable(schema, next.PrimaryKey)
	if s.e.stores(next) {
		work.Track()
	}
	work.SetName(next.Name)
	var prog *exec.Program
	if w.exprs != nil {
		var err error
		if prog, err = exec.CompileExprs(s.execCtx(ctx), w.exprs, tt.work.Schema()); err != nil {
			return nil, err
		}
		defer prog.Close()
	}
	var checks []rowCheck
	for _, c := range w.checks {
		cs, err := s.rowChecks(next, c)
		if err != nil {
			return nil, err
		}
		checks = append(checks, cs...)
	}
	explain := func(err error) error {
		if err != nil && w.explain != nil {
			return w.explain(err)
		}
		return err
	}
	err := eachBatch(tt.work.Snapshot(), s.e.alloc, func(b *vec.Batch) error {
		out := b.Retain()
		defer func() { out.Release() }()
		if prog != nil {
			res, err := prog.Eval(b.Views(nil), b.N)
			if err != nil {
				return err
			}
			bld := vec.NewBuilder(s.e.alloc, schema)
			defer bld.Release()
			for i, v := range res {
				if len(v.Errs) > 0 {
					return v.Errs[0].Err
				}
				bld.Cols[i].AppendRange(v, 0, b.N)
			}
			out.Release()
			out = bld.Finish()
			out.Ops = nil
		}
		if err := checkNotNull(next, []*vec.Batch{out}); err != nil {
			col := pgerr.From(err).Column
			e := pgerr.New(pgerr.NotNullViolation, "column \"%s\" of relation \"%s\" contains null values", col, next.Name)
			e.Schema, e.Table, e.Column = next.Schema, next.Name, col
			return e
		}
		if len(checks) > 0 {
			if err := s.runChecks(ctx, checks, schema, []*vec.Batch{out}); err != nil {
				return explain(err)
			}
		}
		if err := work.Apply(out); err != nil {
			var dup *state.DuplicateKey
			if errors.As(err, &dup) {
				return notUnique(next, next.PrimaryKeyName, next.PrimaryKey, dup)
			}
			return err
		}
		return nil
	})
	return work, err
}

// movable refuses to move columns of a relation where what runs on it cannot follow: a connector that fills it, sinks, and
// what puts rows into it.
func (s *Session) movable(rel *catalog.Relation) error {
	refuse := func(by string) error {
		return pgerr.New(pgerr.DependentObjectsStillExist, "cannot change the columns of %s \"%s\" because %s", rel.Kind, rel.Name, by).
			WithHint("Drop it first, and create it again.")
	}
	if c, ok := rel.Option("connector"); ok {
		return refuse(fmt.Sprintf("connector %s fills it", c))
	}
	for _, r := range s.catalog().Relations() {
		switch {
		case r.Kind == catalog.Sink && slices.Contains(r.Depends, rel.OID):
			return refuse(fmt.Sprintf("sink %s depends on it", r.Name))
		case slices.Contains(r.Writes, rel.OID):
			return refuse(fmt.Sprintf("%s %s puts rows into it", r.Kind, r.Name))
		}
	}
	return nil
}

// moveColumns tells the jobs that read a relation where its columns stand now. It runs in a step of the coordinator.
func (e *Engine) moveColumns(oid uint32, old, next *catalog.Relation) {
	for _, j := range e.coord.jobs {
		for _, f := range j.feeds {
			if f.scan.Rel.OID != oid {
				continue
			}
			scan := *f.scan
			scan.Rel = next
			scan.Cols = slices.Clone(f.scan.Cols)
			for i, c := range scan.Cols {
				scan.Cols[i] = next.ColumnByNum(old.Attnum(c))
			}
			f.scan = &scan
		}
	}
}

// identityRow gives the expressions and origins of a table that stays as it is.
func identityRow(rel *catalog.Relation) (exprs []planner.Expr, from []int) {
	for i, c := range rel.Columns {
		exprs = append(exprs, &planner.Column{Index: i, Typ: c.Type, Name: c.Name})
		from = append(from, i)
	}
	return exprs, from
}

func (s *Session) addColumn(ctx context.Context, rel, c *catalog.Relation, a *ast.AlterAction) error {
	if rel.ColumnIndex(a.Def.Name) >= 0 {
		if a.IfExists {
			s.notice(pgerr.New(pgerr.DuplicateColumn, "column \"%s\" of relation \"%s\" already exists, skipping", a.Def.Name, rel.Name))
			return nil
		}
		return pgerr.New(pgerr.DuplicateColumn, "column \"%s\" of relation \"%s\" already exists", a.Def.Name, rel.Name)
	}
	parts := &tableParts{s: s, rel: c, cat: s.catalog()}
	before := len(c.Constraints)
	if err := parts.addColumn(a.Def); err != nil {
		return err
	}
	col := &c.Columns[len(c.Columns)-1]
	if err := s.bindColumn(c, col, a.Def.Default, a.Def.Generated); err != nil {
		return err
	}
	if err := parts.finish(); err != nil {
		return err
	}
	s.e.write.Lock()
	s.addSequences(parts)
	s.e.write.Unlock()
	exprs, from := identityRow(rel)
	var x planner.Expr
	var err error
	if col.Generated != "" {
		x, err = s.generatedValue(c, col)
	} else {
		x, err = planner.BindDefault(col, s.planOptions(nil, ""))
	}
	if err != nil {
		return err
	}
	return s.replaceRows(ctx, rel, c, &rewrite{exprs: append(exprs, x), from: append(from, -1), checks: c.Constraints[before:],
		explain: violatedBySomeRow(c)}, true)
}

// generatedValue binds the expression of a generated column over the table's row.
func (s *Session) generatedValue(rel *catalog.Relation, col *catalog.Column) (planner.Expr, error) {
	e, err := parseStored(col.Generated)
	if err != nil {
		return nil, err
	}
	o := s.planOptions(nil, "")
	o.Table = rel.Name
	return planner.BindScalar(e, rel.Fields().Fields, col.Type, o)
}

// violatedBySomeRow words 23514 of rows that are there already.
func violatedBySomeRow(rel *catalog.Relation) func(error) error {
	return func(err error) error {
		e := pgerr.From(err)
		if e.Code != pgerr.CheckViolation || e.Constraint == "" {
			return err
		}
		n := pgerr.New(pgerr.CheckViolation, "check constraint \"%s\" of relation \"%s\" is violated by some row", e.Constraint, rel.Name)
		n.Schema, n.Table, n.Constraint = rel.Schema, rel.Name, e.Constraint
		return n
	}
}

// usesColumn gives the relations whose definitions read a column of rel: those that name it, and those that cannot be planned
// without it.
func (s *Session) usesColumn(rel, without *catalog.Relation, num int16) []*catalog.Relation {
	cat := s.catalog()
	var out []*catalog.Relation
	for _, r := range cat.Relations() {
		if r.Definition == "" || !slices.Contains(r.Depends, rel.OID) {
			continue
		}
		used, known := false, false
		for _, b := range r.Bound {
			if b.OID == rel.OID {
				known = true
				used = used || slices.Contains(b.Used, num)
			}
		}
		if known && !used && without != nil {
			o := s.planOptions(nil, "")
			o.Catalog, o.Bound = cat.With(without), r.Bound
			used = !planner.CanPlan(r.Definition, r.Kind == catalog.MatView, o)
		}
		if used || !known {
			out = append(out, r)
		}
	}
	return out
}

func (s *Session) dropColumn(ctx context.Context, rel, c *catalog.Relation, a *ast.AlterAction) error {
	i := rel.ColumnIndex(a.Column)
	if i < 0 {
		if a.IfExists {
			s.notice(pgerr.New(pgerr.SuccessfulCompletion, "column \"%s\" of relation \"%s\" does not exist, skipping", a.Column, rel.Name))
			return nil
		}
		return pgerr.New(pgerr.UndefinedColumn, "column \"%s\" of relation \"%s\" does not exist", a.Column, rel.Name)
	}
	num := rel.Attnum(i)
	if w := rel.Watermark; w != nil && (w.Column == i || slices.Contains(exprColumns(rel, w.Expr), i)) {
		return pgerr.New(pgerr.DependentObjectsStillExist, "cannot drop column %s of %s %s because its watermark depends on it", a.Column, rel.Kind, rel.Name)
	}
	// Attribute numbers become explicit, as positions change.
	for k := range c.Columns {
		c.Columns[k].Num = rel.Attnum(k)
	}
	c.LastNum = rel.NextNum() - 1
	c.Columns = slices.Delete(c.Columns, i, i+1)
	if slices.Contains(rel.PrimaryKey, i) {
		c.PrimaryKey, c.PrimaryKeyName, c.PrimaryKeyOID, c.PrimaryKeyCon = nil, "", 0, 0
	} else {
		for k, p := range c.PrimaryKey {
			if p > i {
				c.PrimaryKey[k]--
			}
		}
	}
	if w := c.Watermark; w != nil && w.Column > i {
		w.Column--
	}
	keyGone := func(nums []int16) bool { return slices.Contains(nums, num) }
	c.Constraints = slices.DeleteFunc(c.Constraints, func(k *catalog.Constraint) bool { return keyGone(k.Columns) })
	c.Indexes = slices.DeleteFunc(c.Indexes, func(x *catalog.IndexDef) bool {
		if keyGone(x.Columns) || slices.Contains(exprColumns(rel, x.Where), i) {
			return true
		}
		for k, n := range x.Columns {
			if n == 0 && slices.Contains(exprColumns(rel, x.Terms[k]), i) {
				return true
			}
		}
		return false
	})
	var detail []string
	users := s.usesColumn(rel, c, num)
	for _, r := range users {
		detail = append(detail, fmt.Sprintf("%s %s depends on column %s of %s %s", r.Kind, r.Name, a.Column, rel.Kind, rel.Name))
	}
	var generated []string
	for _, col := range c.Columns {
		if col.Generated != "" && slices.Contains(exprColumns(rel, col.Generated), i) {
			generated = append(generated, col.Name)
			detail = append(detail, fmt.Sprintf("column %s of %s %s depends on column %s of %s %s", col.Name, rel.Kind, rel.Name, a.Column, rel.Kind, rel.Name))
		}
	}
	rels, keys := s.catalog().Referring(rel.OID)
	for k, f := range keys {
		if slices.Contains(f.RefColumns, num) && rels[k].OID != rel.OID {
			detail = append(detail, fmt.Sprintf("constraint %s on table %s depends on column %s of %s %s", f.Name, rels[k].Name, a.Column, rel.Kind, rel.Name))
		}
	}
	if len(detail) > 0 && !a.Cascade {
		return pgerr.New(pgerr.DependentObjectsStillExist, "cannot drop column %s of %s %s because other objects depend on it", a.Column, rel.Kind, rel.Name).
			WithDetail("%s", strings.Join(detail, "\n")).WithHint("Use DROP ... CASCADE to drop the dependent objects too.")
	}
	if len(users) > 0 {
		if err := s.dropAll(s.catalog(), dropping{rels: users}, true); err != nil {
			return err
		}
	}
	for k, f := range keys {
		if slices.Contains(f.RefColumns, num) && rels[k].OID != rel.OID {
			if err := s.removeConstraint(rels[k], f); err != nil {
				return err
			}
		}
	}
	for _, q := range ownedSequences(s.catalog(), rel.OID, num) {
		if err := s.dropRelations([]uint32{q.OID}); err != nil {
			return err
		}
	}
	exprs, from := identityRow(rel)
	if err := s.replaceRows(ctx, rel, c, &rewrite{exprs: slices.Delete(exprs, i, i+1), from: slices.Delete(from, i, i+1)}, true); err != nil {
		return err
	}
	for _, n := range generated {
		now := s.catalog().ByOID(rel.OID)
		if err := s.dropColumn(ctx, now, now.Clone(), &ast.AlterAction{Column: n, Cascade: true}); err != nil {
			return err
		}
	}
	return nil
}

func (s *Session) alterColumnType(ctx context.Context, rel, c *catalog.Relation, a *ast.AlterAction) error {
	i, err := s.columnOf(rel, a)
	if err != nil {
		return err
	}
	t, domain, err := planner.ResolveColumnType(*a.Type, s.catalog(), s.searchPath(s.catalog()))
	if err != nil {
		return err
	}
	old := rel.Columns[i]
	if users := s.usesColumn(rel, nil, rel.Attnum(i)); len(users) > 0 {
		return pgerr.New(pgerr.FeatureNotSupported, "cannot alter type of a column used by a view or rule").
			WithDetail("rule _RETURN on %s %s depends on column \"%s\"", users[0].Kind, users[0].Name, a.Column)
	}
	for _, col := range rel.Columns {
		if col.Generated != "" && slices.Contains(exprColumns(rel, col.Generated), i) {
			return pgerr.New(pgerr.FeatureNotSupported, "cannot alter type of a column used by a generated column").
				WithDetail("Column \"%s\" is used by generated column \"%s\".", a.Column, col.Name)
		}
	}
	if w := rel.Watermark; w != nil && w.Column == i {
		return pgerr.New(pgerr.FeatureNotSupported, "cannot alter the type of the watermark column \"%s\"", a.Column)
	}
	if rels, keys := s.catalog().Referring(rel.OID); len(keys) > 0 {
		for k, f := range keys {
			if slices.Contains(f.RefColumns, rel.Attnum(i)) && !(integral(t) && integral(old.Type)) {
				return pgerr.New(pgerr.FeatureNotSupported, "cannot alter type of a column that constraint \"%s\" of table \"%s\" refers to", f.Name, rels[k].Name)
			}
		}
	}
	o := s.planOptions(nil, "")
	o.Table = rel.Name
	var using ast.Expr = &ast.ColumnRef{Parts: []string{a.Column}}
	if a.Expr != nil {
		using = a.Expr
	}
	x, err := planner.BindScalar(using, rel.Fields().Fields, t, o)
	if err != nil {
		if pgerr.Code(err) == pgerr.DatatypeMismatch {
			if a.Expr != nil {
				return pgerr.New(pgerr.DatatypeMismatch, "result of USING clause for column \"%s\" cannot be cast automatically to type %s", a.Column, t.Format()).
					WithHint("You might need to add an explicit cast.")
			}
			return pgerr.New(pgerr.DatatypeMismatch, "column \"%s\" cannot be cast automatically to type %s", a.Column, t.Format()).
				WithHint("You might need to specify \"USING %s::%s\".", quoted(a.Column), t.Format())
		}
		return err
	}
	c.Columns[i].Type, c.Columns[i].Domain = t, domain
	if d := old.Default; d != "" {
		e, err := parseStored(d)
		if err != nil {
			return err
		}
		if _, err := planner.BindScalar(e, nil, t, s.planOptions(nil, "")); err != nil {
			return pgerr.New(pgerr.DatatypeMismatch, "default for column \"%s\" cannot be cast automatically to type %s", a.Column, t.Format())
		}
	}
	var checks []*catalog.Constraint
	for _, k := range c.Constraints {
		if k.Kind == catalog.CheckConstraint && slices.Contains(k.Columns, rel.Attnum(i)) {
			e, err := parseStored(k.Expr)
			if err != nil {
				return err
			}
			if err := s.bindCheck(c, e); err != nil {
				return unplacedErr(err)
			}
			checks = append(checks, k)
		}
	}
	exprs, from := identityRow(rel)
	exprs[i], from[i] = x, -1
	return s.replaceRows(ctx, rel, c, &rewrite{exprs: exprs, from: from, checks: checks, explain: violatedBySomeRow(c)}, true)
}

func (s *Session) setDefault(rel, c *catalog.Relation, a *ast.AlterAction) error {
	i, err := s.columnOf(rel, a)
	if err != nil {
		return err
	}
	col := &c.Columns[i]
	switch {
	case col.Identity != "":
		return pgerr.New(pgerr.SyntaxError, "column \"%s\" of relation \"%s\" is an identity column", a.Column, rel.Name)
	case col.Generated != "":
		return pgerr.New(pgerr.SyntaxError, "column \"%s\" of relation \"%s\" is a generated column", a.Column, rel.Name)
	}
	col.Default, col.Sequence = a.ExprText, 0
	if a.Action == "set default" {
		if err := s.bindColumn(c, col, a.Expr, nil); err != nil {
			return err
		}
		if err := s.setDefaultSequence(col, a.Expr); err != nil {
			return err
		}
	}
	return s.putRelation(c)
}

func (s *Session) setNotNull(ctx context.Context, rel, c *catalog.Relation, a *ast.AlterAction) error {
	i, err := s.columnOf(rel, a)
	if err != nil {
		return err
	}
	if a.Action == "drop not null" {
		switch {
		case slices.Contains(rel.PrimaryKey, i):
			return pgerr.New(pgerr.InvalidTableDefinition, "column \"%s\" is in a primary key", a.Column)
		case rel.Columns[i].Identity != "":
			return pgerr.New(pgerr.SyntaxError, "column \"%s\" of relation \"%s\" is an identity column", a.Column, rel.Name)
		}
		c.Columns[i].NotNull = false
		return s.replaceRows(ctx, rel, c, nil, rel.Kind == catalog.Table)
	}
	c.Columns[i].NotNull = true
	return s.replaceRows(ctx, rel, c, nil, rel.Kind == catalog.Table)
}

func (s *Session) addConstraint(ctx context.Context, rel, c *catalog.Relation, a *ast.AlterAction) error {
	parts := &tableParts{s: s, rel: c, cat: s.catalog()}
	if a.Constraint.Kind == "primary key" && a.Constraint.Name != "" && relationTaken(s.catalog(), rel.Schema)(a.Constraint.Name) {
		return pgerr.New(pgerr.DuplicateTable, "relation \"%s\" already exists", a.Constraint.Name).At(a.Constraint.Pos)
	}
	if err := parts.addConstraint(a.Constraint, ""); err != nil {
		return err
	}
	if err := parts.finish(); err != nil {
		return err
	}
	w := &rewrite{explain: violatedBySomeRow(c)}
	if n := len(c.Constraints); n > len(rel.Constraints) {
		k := c.Constraints[n-1]
		if k.Kind == catalog.CheckConstraint && !k.NotValid {
			w.checks = []*catalog.Constraint{k}
		}
		if k.Ref == 0 && k.Kind == catalog.ForeignConstraint {
			k.Ref = rel.OID
		}
		if err := s.replaceRows(ctx, rel, c, w, true); err != nil {
			return err
		}
		if k.Kind == catalog.ForeignConstraint && !k.NotValid {
			return s.checkForeign(c, k)
		}
		return nil
	}
	return s.replaceRows(ctx, rel, c, w, true)
}

// checkForeign holds all rows of a table against a foreign key.
func (s *Session) checkForeign(rel *catalog.Relation, c *catalog.Constraint) error {
	own, _, err := s.foreignKeys(s.catalog().ByOID(rel.OID))
	if err != nil {
		return err
	}
	for _, k := range own {
		if k.c.Name != c.Name {
			continue
		}
		return eachBatch(k.child.work.Snapshot(), s.e.alloc, func(b *vec.Batch) error {
			views := b.Views(nil)
			for r := range b.N {
				key, null, _ := keyOf(views, k.cols, r)
				if null {
					continue
				}
				if ok, err := k.has(key); err != nil {
					return err
				} else if !ok {
					return k.missing(key)
				}
			}
			return nil
		})
	}
	return nil
}

func (s *Session) validate(ctx context.Context, rel *catalog.Relation, a *ast.AlterAction) error {
	k := rel.FindConstraint(a.Column)
	if k == nil {
		return pgerr.New(pgerr.UndefinedObject, "constraint \"%s\" of relation \"%s\" does not exist", a.Column, rel.Name)
	}
	if !k.NotValid {
		return nil
	}
	c := rel.Clone()
	k = c.FindConstraint(a.Column)
	k.NotValid = false
	w := &rewrite{explain: violatedBySomeRow(c)}
	if k.Kind == catalog.CheckConstraint {
		w.checks = []*catalog.Constraint{k}
	}
	if err := s.replaceRows(ctx, rel, c, w, true); err != nil {
		return err
	}
	if k.Kind == catalog.ForeignConstraint {
		return s.checkForeign(c, k)
	}
	return nil
}

// removeConstraint takes a constraint away.
func (s *Session) removeConstraint(rel *catalog.Relation, k *catalog.Constraint) error {
	rel = s.catalog().ByOID(rel.OID)
	c := rel.Clone()
	c.Constraints = slices.DeleteFunc(c.Constraints, func(o *catalog.Constraint) bool { return o.OID == k.OID })
	return s.replaceTable(rel, c, nil, true)
}

func (s *Session) dropConstraint(ctx context.Context, rel, c *catalog.Relation, a *ast.AlterAction) error {
	k := rel.FindConstraint(a.Column)
	primary := rel.PrimaryKey != nil && rel.PrimaryKeyName == a.Column
	if k == nil && !primary {
		if a.IfExists {
			s.notice(pgerr.New(pgerr.SuccessfulCompletion, "constraint \"%s\" of relation \"%s\" does not exist, skipping", a.Column, rel.Name))
			return nil
		}
		return pgerr.New(pgerr.UndefinedObject, "constraint \"%s\" of relation \"%s\" does not exist", a.Column, rel.Name)
	}
	if primary || k.Kind == catalog.UniqueConstraint {
		nums := rel.Attnums(rel.PrimaryKey)
		if !primary {
			nums = k.Columns
		}
		rels, keys := s.catalog().Referring(rel.OID)
		var detail []string
		for i, f := range keys {
			if samePermuted(rel.ColumnsByNum(f.RefColumns), rel.ColumnsByNum(nums)) {
				detail = append(detail, fmt.Sprintf("constraint %s on table %s depends on index %s", f.Name, rels[i].Name, a.Column))
			}
		}
		if len(detail) > 0 && !a.Cascade {
			return pgerr.New(pgerr.DependentObjectsStillExist, "cannot drop constraint %s on table %s because other objects depend on it", a.Column, rel.Name).
				WithDetail("%s", strings.Join(detail, "\n")).WithHint("Use DROP ... CASCADE to drop the dependent objects too.")
		}
		for i, f := range keys {
			if samePermuted(rel.ColumnsByNum(f.RefColumns), rel.ColumnsByNum(nums)) {
				if err := s.removeConstraint(rels[i], f); err != nil {
					return err
				}
			}
		}
		if now := s.catalog().ByOID(rel.OID); now != rel { // it referred to itself
			rel, c = now, now.Clone()
		}
	}
	if !primary {
		return s.removeConstraint(rel, k)
	}
	c.PrimaryKey, c.PrimaryKeyName, c.PrimaryKeyOID, c.PrimaryKeyCon, c.KeyComment, c.KeyIndexComment = nil, "", 0, 0, "", ""
	return s.replaceRows(ctx, rel, c, nil, true)
}

func (s *Session) renameConstraint(rel, c *catalog.Relation, a *ast.AlterAction) error {
	if constraintTaken(rel)(a.NewName) {
		return pgerr.New(pgerr.DuplicateObject, "constraint \"%s\" for relation \"%s\" already exists", a.NewName, rel.Name)
	}
	k := c.FindConstraint(a.Column)
	switch {
	case rel.PrimaryKey != nil && rel.PrimaryKeyName == a.Column:
		c.PrimaryKeyName = a.NewName
	case k != nil:
		k.Name = a.NewName
	default:
		return pgerr.New(pgerr.UndefinedObject, "constraint \"%s\" for table \"%s\" does not exist", a.Column, rel.Name)
	}
	return s.replaceTable(rel, c, nil, true)
}

func (s *Session) alterIdentity(rel, c *catalog.Relation, a *ast.AlterAction) error {
	i, err := s.columnOf(rel, a)
	if err != nil {
		return err
	}
	col := &c.Columns[i]
	switch a.Action {
	case "add identity":
		switch {
		case col.Identity != "":
			return pgerr.New(pgerr.ObjectNotInPrerequisiteState, "column \"%s\" of relation \"%s\" is already an identity column", a.Column, rel.Name)
		case !col.NotNull:
			return pgerr.New(pgerr.ObjectNotInPrerequisiteState, "column \"%s\" of relation \"%s\" must be declared NOT NULL before identity can be added", a.Column, rel.Name)
		case col.Default != "" || col.Sequence != 0:
			return pgerr.New(pgerr.ObjectNotInPrerequisiteState, "column \"%s\" of relation \"%s\" already has a default value", a.Column, rel.Name)
		}
		col.Identity = a.Identity
		parts := &tableParts{s: s, rel: c, cat: s.catalog()}
		if err := parts.addSequence(i, a.Sequence, a.Pos); err != nil {
			return err
		}
		s.e.write.Lock()
		s.addSequences(parts)
		s.e.write.Unlock()
		return s.putRelation(c)
	}
	if col.Identity == "" {
		if a.IfExists {
			s.notice(pgerr.New(pgerr.SuccessfulCompletion, "column \"%s\" of relation \"%s\" is not an identity column, skipping", a.Column, rel.Name))
			return nil
		}
		return pgerr.New(pgerr.ObjectNotInPrerequisiteState, "column \"%s\" of relation \"%s\" is not an identity column", a.Column, rel.Name)
	}
	seq := s.catalog().ByOID(col.Sequence)
	if a.Action == "drop identity" {
		col.Identity, col.Sequence = "", 0
		if err := s.putRelation(c); err != nil || seq == nil {
			return err
		}
		return s.dropRelations([]uint32{seq.OID})
	}
	if a.Identity != "" {
		col.Identity = a.Identity
		if err := s.putRelation(c); err != nil {
			return err
		}
	}
	if seq == nil {
		return nil
	}
	return s.alterSequence(seq, a.Sequence)
}

// alterSequence executes ALTER SEQUENCE.
func (s *Session) alterSequence(rel *catalog.Relation, o *ast.SequenceOptions) error {
	c := rel.Clone()
	if err := s.sequenceOptions(c.Sequence, o, false); err != nil {
		return err
	}
	if err := s.ownedBy(c, o); err != nil {
		return err
	}
	s.change(&ddl{ch: &catalogChange{Put: []*catalog.Relation{c}}, after: func() { s.e.sequences.declare(c) }})
	if o.Restart {
		return s.sequenceRestart(c, o.RestartWith)
	}
	return nil
}

// renameColumn renames a column here and in the expressions of the table; views go on to know it by its old name.
func (s *Session) renameColumn(rel, c *catalog.Relation, a *ast.AlterAction) error {
	i := rel.ColumnIndex(a.Column)
	if i < 0 {
		return pgerr.New(pgerr.UndefinedColumn, "column \"%s\" does not exist", a.Column)
	}
	if rel.ColumnIndex(a.NewName) >= 0 {
		return pgerr.New(pgerr.DuplicateColumn, "column \"%s\" of relation \"%s\" already exists", a.NewName, rel.Name)
	}
	c.Columns[i].Name = a.NewName
	rename := func(text string) string { return renameColumnIn(text, a.Column, a.NewName) }
	for k := range c.Columns {
		c.Columns[k].Generated = rename(c.Columns[k].Generated)
	}
	for _, k := range c.Constraints {
		k.Expr = rename(k.Expr)
	}
	for _, x := range c.Indexes {
		x.Where = rename(x.Where)
		for t := range x.Terms {
			if x.Columns[t] == rel.Attnum(i) {
				old := quoted(a.Column)
				x.Terms[t] = quoted(a.NewName) + strings.TrimPrefix(x.Terms[t], old)
			} else if x.Columns[t] == 0 {
				x.Terms[t] = rename(x.Terms[t])
			}
		}
	}
	if c.Watermark != nil {
		c.Watermark.Expr = rename(c.Watermark.Expr)
	}
	return s.putRelation(c)
}

// renameColumnIn replaces a column's name in an expression over its table.
func renameColumnIn(text, old, name string) string {
	if text == "" {
		return ""
	}
	runes := []rune(text)
	refs := columnRefs(text)
	for k := len(refs) - 1; k >= 0; k-- {
		if refs[k].name != old {
			continue
		}
		at := refs[k].refs.Pos - 1
		for range len(refs[k].refs.Parts) - 1 { // past the qualifiers
			for at < len(runes) && runes[at] != '.' {
				at++
			}
			at++
		}
		end := at
		if at < len(runes) && runes[at] == '"' {
			for end++; end < len(runes); end++ {
				if runes[end] == '"' {
					if end++; end >= len(runes) || runes[end] != '"' {
						break
					}
				}
			}
		} else {
			for end < len(runes) && (runes[end] == '_' || runes[end] == '$' || runes[end] >= '0' && runes[end] <= '9' ||
				runes[end] >= 'a' && runes[end] <= 'z' || runes[end] >= 'A' && runes[end] <= 'Z' || runes[end] > 127) {
				end++
			}
		}
		runes = slices.Concat(runes[:at], []rune(quoted(name)), runes[end:])
	}
	return string(runes)
}

func (s *Session) setSchema(rel, c *catalog.Relation, a *ast.AlterAction) error {
	cat := s.catalog()
	if _, ok := cat.SchemaOID(a.NewName); !ok {
		return pgerr.New(pgerr.InvalidSchemaName, "schema \"%s\" does not exist", a.NewName)
	}
	if a.NewName == rel.Schema {
		return nil
	}
	if q := rel.Sequence; q != nil && q.Owner != 0 {
		return pgerr.New(pgerr.FeatureNotSupported, "cannot move an owned sequence into another schema").
			WithDetail("Sequence \"%s\" is linked to table \"%s\".", rel.Name, cat.ByOID(q.Owner).Name)
	}
	if relationTaken(cat, a.NewName)(rel.Name) {
		return pgerr.New(pgerr.DuplicateTable, "relation \"%s\" already exists in schema \"%s\"", rel.Name, a.NewName)
	}
	c.Schema = a.NewName
	if err := s.putRelation(c); err != nil {
		return err
	}
	for _, q := range ownedSequences(cat, rel.OID, 0) {
		n := q.Clone()
		n.Schema = a.NewName
		if err := s.putRelation(n); err != nil {
			return err
		}
	}
	return nil
}

// alterIndex executes ALTER INDEX .. RENAME TO.
func (s *Session) alterIndex(x *ast.Alter) error {
	cat := s.catalog()
	ix := cat.FindIndex(x.Name.Schema(), x.Name.Base(), s.searchPath(cat))
	if ix == nil {
		if x.IfExists {
			s.notice(pgerr.New(pgerr.SuccessfulCompletion, "relation \"%s\" does not exist, skipping", x.Name.Base()))
			return nil
		}
		return pgerr.New(pgerr.UndefinedTable, "relation \"%s\" does not exist", x.Name.String()).At(x.Name.Pos)
	}
	for _, a := range x.Actions {
		switch a.Action {
		case "rename to":
			if relationTaken(cat, ix.Rel.Schema)(a.NewName) {
				return pgerr.New(pgerr.DuplicateTable, "relation \"%s\" already exists", a.NewName)
			}
			c := ix.Rel.Clone()
			switch {
			case ix.Primary:
				c.PrimaryKeyName = a.NewName
			case ix.Constraint != nil:
				c.FindConstraint(ix.Name).Name = a.NewName
			default:
				for _, d := range c.Indexes {
					if d.OID == ix.OID {
						d.Name = a.NewName
					}
				}
			}
			if err := s.replaceTable(ix.Rel, c, nil, ix.Rel.Kind == catalog.Table); err != nil {
				return err
			}
		case "owner to", "set", "reset", "set tablespace":
		default:
			return unsupportedAlter(x, a.Action)
		}
	}
	return nil
}

// alterSchema executes ALTER SCHEMA .. RENAME TO.
func (s *Session) alterSchema(x *ast.Alter) error {
	cat := s.catalog()
	name := x.Name.Base()
	oid, ok := cat.SchemaOID(name)
	if !ok {
		return pgerr.New(pgerr.InvalidSchemaName, "schema \"%s\" does not exist", name).At(x.Name.Pos)
	}
	for _, a := range x.Actions {
		switch a.Action {
		case "owner to":
		case "rename to":
			if _, ok := cat.SchemaOID(a.NewName); ok {
				return pgerr.New(pgerr.DuplicateSchema, "schema \"%s\" already exists", a.NewName)
			}
			if strings.HasPrefix(a.NewName, "pg_") {
				return pgerr.New("42939", "unacceptable schema name \"%s\"", a.NewName).WithDetail("The prefix \"pg_\" is reserved for system schemas.")
			}
			if oid < catalog.FirstUserOID && name != "public" {
				return pgerr.New(pgerr.InsufficientPrivilege, "permission denied: schema \"%s\" is a system schema", name)
			}
			ch := &catalogChange{PutSchemas: map[string]uint32{a.NewName: oid}, DropSchemas: []string{name}}
			for _, r := range cat.Relations() {
				if r.Schema == name {
					c := r.Clone()
					c.Schema = a.NewName
					ch.Put = append(ch.Put, c)
				}
			}
			for _, f := range cat.Functions() {
				if f.Schema == name {
					c := *f
					c.Schema = a.NewName
					ch.PutFunctions = append(ch.PutFunctions, &c)
				}
			}
			for _, t := range cat.Types() {
				if t.Schema == name {
					c := *t
					c.Schema = a.NewName
					ch.PutTypes = append(ch.PutTypes, &c)
				}
			}
			s.change(&ddl{ch: ch})
		default:
			return unsupportedAlter(x, a.Action)
		}
	}
	return nil
}

// alterFunction executes ALTER FUNCTION for what does not change what the function gives.
func (s *Session) alterFunction(x *ast.Alter) error {
	d := &ast.Drop{Kind: "function", Names: []ast.Name{x.Name}}
	if x.Args != nil {
		d.Args = [][]ast.TypeName{x.Args}
	}
	f, err := s.findFunction(s.catalog(), d, 0, x.Name)
	if err != nil {
		return err
	}
	for _, a := range x.Actions {
		c := *f
		switch a.Action {
		case "owner to":
			continue
		case "rename to":
			c.Name = a.NewName
		case "set schema":
			if _, ok := s.catalog().SchemaOID(a.NewName); !ok {
				return pgerr.New(pgerr.InvalidSchemaName, "schema \"%s\" does not exist", a.NewName)
			}
			c.Schema = a.NewName
		default:
			return unsupportedAlter(x, a.Action)
		}
		if g := sameFunction(s.catalog(), &c); g != nil {
			return pgerr.New(pgerr.DuplicateFunction, "function %s already exists in schema \"%s\"", c.Signature(), c.Schema)
		}
		for _, r := range s.catalog().Relations() {
			if slices.Contains(r.Calls, f.OID) {
				return pgerr.New(pgerr.DependentObjectsStillExist, "cannot rename function %s because other objects depend on it", f.Signature()).
					WithDetail("%s %s depends on function %s", r.Kind, r.Name, f.Signature())
			}
		}
		s.change(&ddl{ch: &catalogChange{PutFunctions: []*catalog.Function{&c}}})
		f = &c
	}
	return nil
}
