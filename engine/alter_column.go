package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"streamsql/catalog"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/sql/parser/ast"
	"streamsql/sql/planner"
)

// columnOf finds the column that an action names.
func (s *Session) columnOf(rel *catalog.Relation, a *ast.AlterAction) (int, error) {
	i := rel.ColumnIndex(a.Column)
	if i < 0 {
		return 0, pgerr.New(pgerr.UndefinedColumn, "column \"%s\" of relation \"%s\" does not exist", a.Column, rel.Name)
	}
	return i, nil
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
	if err := s.rowTypeFree(rel); err != nil { // rows that are held elsewhere would not have it
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
	if err := s.rowTypeFree(rel); err != nil {
		return err
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
	if err := s.rowTypeFree(rel); err != nil {
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

// rowTypeFree refuses to change what the rows of a relation are made of where columns hold such rows.
func (s *Session) rowTypeFree(rel *catalog.Relation) error {
	if rel.ArrayOID == 0 {
		return nil
	}
	for _, r := range s.catalog().Relations() {
		for _, c := range r.Columns {
			if r.Kind != catalog.View && holdsType(c.Type, rel.TypeOID) {
				return pgerr.New(pgerr.FeatureNotSupported, "cannot alter %s \"%s\" because column \"%s.%s\" uses its row type", rel.Kind, rel.Name, r.Name, c.Name)
			}
		}
	}
	return nil
}

// holdsType reports whether values of t have parts of the type oid.
func holdsType(t types.T, oid uint32) bool {
	if t.OID == oid {
		return true
	}
	if e, ok := t.Elem(); ok {
		return holdsType(e, oid)
	}
	if t.IsComposite() {
		for _, f := range t.Record().Types {
			if holdsType(f, oid) {
				return true
			}
		}
	}
	return false
}
