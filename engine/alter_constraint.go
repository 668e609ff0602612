package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"streamsql/catalog"
	"streamsql/internal/pgerr"
	"streamsql/internal/vec"
	"streamsql/sql/parser/ast"
)

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
