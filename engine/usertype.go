package engine

import (
	"context"
	"slices"

	"streamsql/catalog"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/sql/parser/ast"
	"streamsql/sql/planner"
)

// typeTaken refuses a name that a type, or the row type of a relation, has already.
func (s *Session) typeTaken(schema, name string) error {
	cat := s.catalog()
	if cat.FindType(schema, name, nil) != nil || cat.Get(schema, name) != nil && cat.Get(schema, name).Kind != catalog.SequenceKind {
		return pgerr.New(pgerr.DuplicateObject, "type \"%s\" already exists", name)
	}
	return nil
}

// newTypeOIDs takes OIDs that no type of this process has: what a type means is known by its OID everywhere.
func (e *Engine) newTypeOIDs(n uint32) uint32 {
	e.write.Lock()
	defer e.write.Unlock()
	e.nextOID = max(e.nextOID, types.ReserveOIDs(e.nextOID, n))
	return e.newOIDs(n)
}

// createEnum executes CREATE TYPE .. AS ENUM.
func (s *Session) createEnum(x *ast.CreateEnum) error {
	schema, name, err := s.qualify(x.Name)
	if err != nil {
		return err
	}
	if err := s.typeTaken(schema, name); err != nil {
		return err
	}
	t := &catalog.Type{Schema: schema, Name: name, Kind: 'e', Owner: s.ownerName()}
	oid := s.e.newTypeOIDs(uint32(len(x.Labels)) + 2)
	t.OID, t.ArrayOID = oid, oid+1
	for i, l := range x.Labels {
		if err := checkLabel(l); err != nil {
			return err
		}
		if slices.Contains(x.Labels[:i], l) {
			e := pgerr.New(pgerr.UniqueViolation, "duplicate key value violates unique constraint \"pg_enum_typid_label_index\"").
				WithDetail("Key (enumtypid, enumlabel)=(%d, %s) already exists.", t.OID, l)
			return e
		}
		t.Labels = append(t.Labels, catalog.EnumLabel{OID: oid + 2 + uint32(i), Label: l, Order: float32(i + 1)})
	}
	s.putType(t)
	return nil
}

func checkLabel(l string) error {
	if len(l) > 63 {
		return pgerr.New(pgerr.InvalidName, "invalid enum label \"%s\"", l).WithDetail("Labels must be 63 bytes or less.")
	}
	return nil
}

// putType makes a type part of the transaction's catalog.
func (s *Session) putType(t *catalog.Type) {
	t.Register()
	s.change(&ddl{ch: &catalogChange{PutTypes: []*catalog.Type{t}}})
}

// createComposite executes CREATE TYPE .. AS (..).
func (s *Session) createComposite(x *ast.CreateComposite) error {
	schema, name, err := s.qualify(x.Name)
	if err != nil {
		return err
	}
	if err := s.typeTaken(schema, name); err != nil {
		return err
	}
	t := &catalog.Type{Schema: schema, Name: name, Kind: 'c', Owner: s.ownerName()}
	for i, d := range x.Attrs {
		if slices.ContainsFunc(x.Attrs[:i], func(e ast.ColumnDef) bool { return e.Name == d.Name }) {
			return pgerr.New(pgerr.DuplicateColumn, "column \"%s\" specified more than once", d.Name)
		}
		a, err := s.typeAttr(d.Name, d.Type)
		if err != nil {
			return err
		}
		t.Attrs = append(t.Attrs, a)
	}
	t.OID = s.e.newTypeOIDs(3)
	t.ArrayOID, t.ClassOID = t.OID+1, t.OID+2
	s.putType(t)
	return nil
}

func (s *Session) typeAttr(name string, tn ast.TypeName) (a catalog.TypeAttr, err error) {
	a.Name = name
	if a.Type, a.Domain, err = planner.ResolveColumnType(tn, s.catalog(), s.searchPath(s.catalog())); err == nil && a.Type.IsPseudo() {
		err = pgerr.New(pgerr.InvalidTableDefinition, "column \"%s\" has pseudo-type %s", name, a.Type.Format()).At(tn.Pos)
	}
	return a, err
}

// findType finds the type that a statement names; nil where IF EXISTS allows that there is none.
func (s *Session) findType(n ast.Name, kind string, ifExists bool) (*catalog.Type, error) {
	cat := s.catalog()
	t := cat.FindType(n.Schema(), n.Base(), s.searchPath(cat))
	switch {
	case t == nil && ifExists:
		s.notice(pgerr.New(pgerr.SuccessfulCompletion, "type \"%s\" does not exist, skipping", n))
		return nil, nil
	case t == nil:
		if _, ok := types.Lookup(n.Base()); ok && n.Schema() == "" {
			return nil, pgerr.New(pgerr.DependentObjectsStillExist, "cannot drop type %s because it is required by the database system", n.Base())
		}
		return nil, pgerr.New(pgerr.UndefinedObject, "type \"%s\" does not exist", n).At(0)
	case kind == "domain" && t.Kind != 'd':
		return nil, pgerr.New(pgerr.WrongObjectType, "\"%s\" is not a domain", n)
	}
	return t, nil
}

func (s *Session) dropTypes(x *ast.Drop) error {
	var ts []*catalog.Type
	for _, n := range x.Names {
		t, err := s.findType(n, x.Kind, x.IfExists)
		if err != nil {
			return err
		}
		if t != nil {
			if !s.ownsSchema(t.Schema) {
				if err := s.mustOwn(t.Object(s.catalog())); err != nil {
					return err
				}
			}
			ts = append(ts, t)
		}
	}
	return s.dropAll(s.catalog(), dropping{types: ts}, x.Cascade)
}

// alterType executes ALTER TYPE and ALTER DOMAIN.
func (s *Session) alterType(ctx context.Context, x *ast.Alter) error {
	old, err := s.findType(x.Name, x.Kind, x.IfExists)
	if err != nil || old == nil {
		return err
	}
	t := *old
	t.Labels, t.Checks = slices.Clone(old.Labels), slices.Clone(old.Checks)
	for _, a := range x.Actions {
		if err := s.mustOwn(old.Object(s.catalog())); err != nil && a.Action != "owner to" {
			return err
		}
		switch a.Action {
		case "owner to":
			to, err := s.newOwner(old.Object(s.catalog()), a)
			if err != nil {
				return err
			}
			s.handOver(old.Object(s.catalog()), to)
			t.Owner = to.Name
		case "rename to":
			if err := s.typeTaken(t.Schema, a.NewName); err != nil {
				return err
			}
			t.Name = a.NewName
		case "set schema":
			if _, ok := s.catalog().SchemaOID(a.NewName); !ok {
				return pgerr.New(pgerr.InvalidSchemaName, "schema \"%s\" does not exist", a.NewName)
			}
			t.Schema = a.NewName
		case "add value", "rename value":
			if t.Kind != 'e' {
				return pgerr.New(pgerr.WrongObjectType, "%s is not an enum", t.Name)
			}
			if err := s.alterEnum(&t, a); err != nil {
				return err
			}
		case "set default", "drop default", "set not null", "drop not null", "add constraint", "drop constraint", "validate constraint", "rename constraint":
			if t.Kind != 'd' {
				return unsupportedAlter(x, a.Action)
			}
			if err := s.alterDomain(ctx, &t, a); err != nil {
				return err
			}
		default:
			return unsupportedAlter(x, a.Action)
		}
		s.putType(&t)
		next := t
		t = next
	}
	return nil
}

// alterEnum executes ADD VALUE and RENAME VALUE.
func (s *Session) alterEnum(t *catalog.Type, a *ast.AlterAction) error {
	at := func(l string) int {
		return slices.IndexFunc(t.Labels, func(e catalog.EnumLabel) bool { return e.Label == l })
	}
	if a.Action == "rename value" {
		i := at(a.Column)
		switch {
		case i < 0:
			return pgerr.New(pgerr.InvalidParameterValue, "\"%s\" is not an existing enum label", a.Column)
		case at(a.NewName) >= 0:
			return pgerr.New(pgerr.DuplicateObject, "enum label \"%s\" already exists", a.NewName)
		}
		for _, r := range s.catalog().Relations() {
			for _, c := range r.Columns {
				if e, _ := c.Type.Elem(); c.Type.OID == t.OID || e.OID == t.OID {
					return pgerr.New(pgerr.FeatureNotSupported, "a value of an enum that columns use cannot be renamed").
						WithDetail("%s %s has column %s.", r.Kind, r.Name, c.Name).WithHint("Add the new value, UPDATE the rows, and leave the old one.")
				}
			}
		}
		t.Labels[i].Label = a.NewName
		return nil
	}
	if err := checkLabel(a.NewName); err != nil {
		return err
	}
	if at(a.NewName) >= 0 {
		if a.IfExists {
			s.notice(pgerr.New(pgerr.DuplicateObject, "enum label \"%s\" already exists, skipping", a.NewName))
			return nil
		}
		return pgerr.New(pgerr.DuplicateObject, "enum label \"%s\" already exists", a.NewName)
	}
	n := catalog.EnumLabel{OID: s.e.newTypeOIDs(1), Label: a.NewName, Order: 1}
	i := len(t.Labels)
	if a.Column != "" {
		if i = at(a.Column); i < 0 {
			return pgerr.New(pgerr.InvalidParameterValue, "\"%s\" is not an existing enum label", a.Column)
		}
		if !a.Before {
			i++
		}
	}
	switch {
	case len(t.Labels) == 0:
	case i == 0:
		n.Order = t.Labels[0].Order - 1
	case i == len(t.Labels):
		n.Order = t.Labels[i-1].Order + 1
	default:
		lo, hi := t.Labels[i-1].Order, t.Labels[i].Order
		if n.Order = lo + (hi-lo)/2; n.Order == lo || n.Order == hi {
			return pgerr.New(pgerr.ProgramLimitExceeded, "there is no room for another value between \"%s\" and \"%s\"", t.Labels[i-1].Label, t.Labels[i].Label)
		}
	}
	t.Labels = slices.Insert(t.Labels, i, n)
	return nil
}
