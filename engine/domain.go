package engine

import (
	"context"
	"fmt"
	"slices"

	"streamsql/catalog"
	"streamsql/internal/pgerr"
	"streamsql/internal/vec"
	"streamsql/sql/parser/ast"
	"streamsql/sql/planner"
)

// createDomain executes CREATE DOMAIN.
func (s *Session) createDomain(x *ast.CreateDomain) error {
	schema, name, err := s.qualify(x.Name)
	if err != nil {
		return err
	}
	if err := s.typeTaken(schema, name); err != nil {
		return err
	}
	t := &catalog.Type{Schema: schema, Name: name, Kind: 'd', Owner: s.ownerName(), NotNull: x.NotNull, Default: x.DefaultText}
	base, domain, err := planner.ResolveColumnType(x.Type, s.catalog(), s.searchPath(s.catalog()))
	if err != nil {
		return err
	}
	if base.IsPseudo() {
		return pgerr.New(pgerr.DatatypeMismatch, "\"%s\" is not a valid base type for a domain", base.Format()).At(x.Type.Pos)
	}
	t.Base, t.Over = base, domain
	if x.Default != nil {
		if _, err := planner.BindScalar(x.Default, nil, base, s.planOptions(nil, "")); err != nil {
			return err
		}
	}
	oid := s.e.newTypeOIDs(uint32(len(x.Checks)) + 2)
	t.OID, t.ArrayOID = oid, oid+1
	for i, c := range x.Checks {
		if err := s.addDomainCheck(t, c, oid+2+uint32(i)); err != nil {
			return err
		}
	}
	s.putType(t)
	return nil
}

func (s *Session) addDomainCheck(t *catalog.Type, c *ast.Constraint, oid uint32) error {
	taken := func(n string) bool {
		return slices.ContainsFunc(t.Checks, func(k *catalog.Constraint) bool { return k.Name == n })
	}
	name := c.Name
	if name == "" {
		name = freeName(t.Name, "", "check", taken)
	} else if taken(name) {
		return pgerr.New(pgerr.DuplicateObject, "constraint \"%s\" for domain \"%s\" already exists", name, t.Name).At(c.Pos)
	}
	k := &catalog.Constraint{OID: oid, Name: name, Kind: catalog.CheckConstraint, Expr: c.CheckText}
	k.NotValid = c.NotValid
	if _, err := planner.DomainCondition(k, t.Base, s.planOptions(nil, "")); err != nil {
		return err
	}
	t.Checks = append(slices.Clip(t.Checks), k)
	return nil
}

// alterDomain executes an action of ALTER DOMAIN on t.
func (s *Session) alterDomain(ctx context.Context, t *catalog.Type, a *ast.AlterAction) error {
	at := func() (int, error) {
		i := slices.IndexFunc(t.Checks, func(k *catalog.Constraint) bool { return k.Name == a.Column })
		if i < 0 {
			return i, pgerr.New(pgerr.UndefinedObject, "constraint \"%s\" of domain \"%s\" does not exist", a.Column, t.Name)
		}
		return i, nil
	}
	switch a.Action {
	case "set default":
		if _, err := planner.BindScalar(a.Expr, nil, t.Base, s.planOptions(nil, "")); err != nil {
			return err
		}
		t.Default = a.ExprText
	case "drop default":
		t.Default = ""
	case "set not null":
		if t.NotNull {
			return nil
		}
		t.NotNull = true
		return s.checkDomainColumns(ctx, t, nil)
	case "drop not null":
		t.NotNull = false
	case "add constraint":
		if a.Constraint.Kind != "check" {
			return pgerr.New(pgerr.SyntaxError, "%s constraints not possible for domains", a.Constraint.Kind).At(a.Constraint.Pos)
		}
		if err := s.addDomainCheck(t, a.Constraint, s.e.newTypeOIDs(1)); err != nil {
			return err
		}
		if k := t.Checks[len(t.Checks)-1]; !k.NotValid {
			return s.checkDomainColumns(ctx, t, k)
		}
	case "drop constraint":
		i, err := at()
		if err != nil && a.IfExists {
			s.notice(pgerr.New(pgerr.SuccessfulCompletion, "constraint \"%s\" of domain \"%s\" does not exist, skipping", a.Column, t.Name))
			return nil
		}
		if err != nil {
			return err
		}
		t.Checks = slices.Delete(t.Checks, i, i+1)
	case "rename constraint":
		i, err := at()
		if err != nil {
			return err
		}
		if slices.ContainsFunc(t.Checks, func(k *catalog.Constraint) bool { return k.Name == a.NewName }) {
			return pgerr.New(pgerr.DuplicateObject, "constraint \"%s\" for domain \"%s\" already exists", a.NewName, t.Name)
		}
		k := *t.Checks[i]
		k.Name = a.NewName
		t.Checks[i] = &k
	case "validate constraint":
		i, err := at()
		if err != nil || !t.Checks[i].NotValid {
			return err
		}
		k := *t.Checks[i]
		k.NotValid = false
		t.Checks[i] = &k
		return s.checkDomainColumns(ctx, t, &k)
	}
	return nil
}

// checkDomainColumns holds the rows of all tables against a domain that has become stricter: by the condition k, or by NOT NULL where k is nil.
func (s *Session) checkDomainColumns(ctx context.Context, t *catalog.Type, k *catalog.Constraint) error {
	cat := s.catalog()
	for _, r := range cat.Relations() {
		if r.Kind != catalog.Table {
			continue
		}
		var checks []rowCheck
		for i := range r.Columns {
			c := &r.Columns[i]
			over, inside := cat.IsOver(c.Domain, c.Type, t)
			if inside {
				return pgerr.New(pgerr.FeatureNotSupported, "cannot alter type \"%s\" because column \"%s.%s\" uses it", t.Name, r.Name, c.Name)
			}
			if !over {
				continue
			}
			g := &planner.Guard{Typ: c.Type}
			if k == nil {
				e := pgerr.New(pgerr.NotNullViolation, "column \"%s\" of table \"%s\" contains null values", c.Name, r.Name)
				e.Schema, e.Table, e.Column = r.Schema, r.Name, c.Name
				g.Null = e
			} else {
				cond, err := planner.DomainCondition(k, c.Type, s.planOptions(nil, ""))
				if err != nil {
					return err
				}
				e := pgerr.New(pgerr.CheckViolation, "column \"%s\" of table \"%s\" contains values that violate the new constraint", c.Name, r.Name)
				e.Schema, e.Table, e.Column = r.Schema, r.Name, c.Name
				g.Checks = []planner.DomainCheck{{Cond: cond, Err: e}}
			}
			checks = append(checks, guardCheck(i, c, g))
		}
		if checks == nil {
			continue
		}
		snaps, _ := s.readSnapshots([]uint32{r.OID})
		if snaps[r.OID] == nil {
			continue
		}
		if err := eachBatch(snaps[r.OID], s.e.alloc, func(b *vec.Batch) error {
			return s.runChecks(ctx, checks, r.Fields(), []*vec.Batch{b})
		}); err != nil {
			return err
		}
	}
	return nil
}

// dependentTypes finds the domains over types that go, and the composite types with attributes of them, which do not go themselves.
func dependentTypes(cat *catalog.Snapshot, gone []*catalog.Type) (deps []*catalog.Type, detail []string) {
	for _, t := range gone {
		for _, u := range cat.Types() {
			uses, column := false, ""
			if u.Kind == 'd' {
				over, _ := cat.IsOver(u.Over, u.Base, t)
				elem, _ := u.Base.Elem()
				uses = over || u.Base.OID == t.OID || elem.OID == t.OID
			}
			for _, a := range u.Attrs {
				over, _ := cat.IsOver(a.Domain, a.Type, t)
				if elem, _ := a.Type.Elem(); over || a.Type.OID == t.OID || elem.OID == t.OID {
					uses, column = true, fmt.Sprintf("column %s of composite ", a.Name)
				}
			}
			if uses && u != t && !slices.Contains(gone, u) && !slices.Contains(deps, u) {
				deps = append(deps, u)
				detail = append(detail, fmt.Sprintf("%stype %s depends on type %s", column, u.Name, t.Name))
			}
		}
	}
	return deps, detail
}
