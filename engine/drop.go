package engine

import (
	"fmt"
	"slices"
	"strings"

	"streamsql/catalog"
	"streamsql/internal/pgerr"
	"streamsql/sql/parser/ast"
)

// droppable maps the word after DROP to the kind of relation.
var droppable = map[string]catalog.RelKind{
	"table": catalog.Table, "source": catalog.Source, "foreign table": catalog.Source,
	"view": catalog.View, "materialized view": catalog.MatView, "sink": catalog.Sink,
}

// drop executes DROP: the named objects and, with CASCADE, what depends on them.
func (s *Session) drop(x *ast.Drop) error {
	switch x.Kind {
	case "schema":
		return s.dropSchemas(x)
	case "function":
		return s.dropFunctions(x)
	}
	kind, ok := droppable[x.Kind]
	if !ok {
		if x.IfExists {
			for _, n := range x.Names {
				s.notice(pgerr.New(pgerr.SuccessfulCompletion, "%s \"%s\" does not exist, skipping", x.Kind, n))
			}
			return nil
		}
		if len(x.Names) > 0 {
			return pgerr.New(pgerr.UndefinedObject, "%s \"%s\" does not exist", x.Kind, x.Names[0]).At(x.Names[0].Pos)
		}
		return pgerr.New(pgerr.FeatureNotSupported, "DROP %s is not supported", strings.ToUpper(x.Kind)).At(x.Pos)
	}
	s.e.write.Lock()
	defer s.e.write.Unlock()
	cat := s.e.Catalog()
	var rels []*catalog.Relation
	for _, n := range x.Names {
		r := cat.Find(n.Schema(), n.Base(), s.searchPath(cat))
		if r == nil {
			if x.IfExists {
				s.notice(pgerr.New(pgerr.SuccessfulCompletion, "%s \"%s\" does not exist, skipping", x.Kind, n.Base()))
				continue
			}
			return pgerr.New(pgerr.UndefinedTable, "%s \"%s\" does not exist", x.Kind, n.Base()).At(n.Pos)
		}
		if r.Kind == catalog.System {
			return pgerr.New(pgerr.InsufficientPrivilege, "permission denied: \"%s\" is a system catalog", r.Name).At(n.Pos)
		}
		if r.Kind != kind {
			e := pgerr.New(pgerr.WrongObjectType, "\"%s\" is not a %s", r.Name, kind).At(n.Pos)
			return e.WithHint("Use DROP %s to remove a %s.", strings.ToUpper(r.Kind.String()), r.Kind)
		}
		rels = append(rels, r)
	}
	return s.dropAll(cat, rels, nil, x.Cascade, nil)
}

// dropAll removes relations, functions and their dependents in one epoch. The caller holds e.write.
func (s *Session) dropAll(cat *catalog.Snapshot, rels []*catalog.Relation, funcs []*catalog.Function, cascade bool, schemas []string) error {
	if len(rels)+len(funcs) == 0 && len(schemas) == 0 {
		return nil
	}
	gone := map[uint32]bool{}
	for _, r := range rels {
		gone[r.OID] = true
	}
	deps, detail := dependents(cat, rels, funcs)
	if len(deps) > 0 && !cascade {
		var what string
		switch {
		case len(rels)+len(funcs) == 1 && len(rels) == 1:
			what = fmt.Sprintf("cannot drop %s %s because other objects depend on it", rels[0].Kind, rels[0].Name)
		case len(rels)+len(funcs) == 1:
			what = fmt.Sprintf("cannot drop function %s because other objects depend on it", funcs[0].Signature())
		default:
			what = "cannot drop desired object(s) because other objects depend on them"
		}
		return pgerr.New(pgerr.DependentObjectsStillExist, "%s", what).
			WithDetail("%s", strings.Join(detail, "\n")).
			WithHint("Use DROP ... CASCADE to drop the dependent objects too.")
	}
	for _, r := range deps {
		gone[r.OID] = true
		if len(funcs) > 0 && (r.Kind == catalog.Table || r.Kind == catalog.Source) {
			// Only an expression of a column would have to go, not the rows.
			return pgerr.New(pgerr.FeatureNotSupported, "DROP FUNCTION ... CASCADE does not drop tables").
				WithDetail("%s", strings.Join(detail, "\n")).WithHint("Drop %s %s first.", r.Kind, r.Name)
		}
	}
	switch len(deps) {
	case 0:
	case 1:
		s.notice(pgerr.New(pgerr.SuccessfulCompletion, "drop cascades to %s %s", deps[0].Kind, deps[0].Name))
	default:
		var lines []string
		for _, d := range deps {
			lines = append(lines, fmt.Sprintf("drop cascades to %s %s", d.Kind, d.Name))
		}
		s.notice(pgerr.New(pgerr.SuccessfulCompletion, "drop cascades to %d other objects", len(deps)).WithDetail("%s", strings.Join(lines, "\n")))
	}
	oids := make([]uint32, 0, len(gone))
	for _, r := range slices.Concat(deps, rels) {
		oids = append(oids, r.OID)
		s.e.stopIngest(r.OID)
	}
	var foids []uint32
	for _, f := range funcs {
		foids = append(foids, f.OID)
	}
	err := s.e.changeCatalog(&catalogChange{Drop: oids, DropSchemas: schemas, DropFunctions: foids}, func() {
		for _, oid := range oids {
			delete(s.e.relations, oid)
			s.e.rowErrors.forget(oid)
			s.e.bad.forget(oid)
		}
	})
	if err != nil {
		return err
	}
	// Until they were gone from the catalog, views kept up with the commits that were under way: readers saw both in one cut.
	for _, r := range slices.Concat(deps, rels) {
		s.e.coord.dropJob(r.OID)
		s.e.rowErrors.forget(r.OID)
		s.e.failReaders(r.OID, pgerr.New(pgerr.ObjectNotInPrerequisiteState, "%s \"%s\" has been dropped", r.Kind, r.Name))
	}
	return nil
}

// dependents gives what reads the relations or calls the functions, directly or not and not among them, those that depend on
// others first, and a line for each dependency.
func dependents(cat *catalog.Snapshot, rels []*catalog.Relation, funcs []*catalog.Function) (deps []*catalog.Relation, detail []string) {
	seen := map[uint32]bool{}
	for _, r := range rels {
		seen[r.OID] = true
	}
	rels = slices.Clone(rels)
	for _, f := range funcs {
		for _, r := range cat.Relations() {
			if !seen[r.OID] && slices.Contains(r.Calls, f.OID) {
				seen[r.OID] = true
				deps = append(deps, r)
				detail = append(detail, fmt.Sprintf("%s %s depends on function %s", r.Kind, r.Name, f.Signature()))
				rels = append(rels, r)
			}
		}
	}
	for queue := slices.Clone(rels); len(queue) > 0; queue = queue[1:] {
		on := queue[0]
		for _, r := range cat.Relations() {
			if !seen[r.OID] && (slices.Contains(r.Depends, on.OID) || slices.Contains(r.Writes, on.OID)) {
				seen[r.OID] = true
				deps = append(deps, r)
				detail = append(detail, fmt.Sprintf("%s %s depends on %s %s", r.Kind, r.Name, on.Kind, on.Name))
				queue = append(queue, r)
			}
		}
	}
	slices.Reverse(deps)
	return deps, detail
}

func (s *Session) dropSchemas(x *ast.Drop) error {
	s.e.write.Lock()
	defer s.e.write.Unlock()
	cat := s.e.Catalog()
	var rels []*catalog.Relation
	var funcs []*catalog.Function
	var names []string
	for _, n := range x.Names {
		name := n.Base()
		oid, ok := cat.SchemaOID(name)
		if !ok {
			if x.IfExists {
				s.notice(pgerr.New(pgerr.SuccessfulCompletion, "schema \"%s\" does not exist, skipping", name))
				continue
			}
			return pgerr.New(pgerr.InvalidSchemaName, "schema \"%s\" does not exist", name).At(n.Pos)
		}
		if oid < catalog.FirstUserOID && name != "public" {
			return pgerr.New(pgerr.DependentObjectsStillExist, "cannot drop schema %s because it is required by the database system", name).At(n.Pos)
		}
		names = append(names, name)
		for _, f := range cat.Functions() {
			if f.Schema != name {
				continue
			}
			if !x.Cascade {
				return pgerr.New(pgerr.DependentObjectsStillExist, "cannot drop schema %s because other objects depend on it", name).
					WithDetail("function %s depends on schema %s", f.Signature(), name).
					WithHint("Use DROP ... CASCADE to drop the dependent objects too.").At(n.Pos)
			}
			funcs = append(funcs, f)
		}
		for _, r := range cat.Relations() {
			if r.Schema != name {
				continue
			}
			if !x.Cascade {
				return pgerr.New(pgerr.DependentObjectsStillExist, "cannot drop schema %s because other objects depend on it", name).
					WithDetail("%s %s depends on schema %s", r.Kind, r.Name, name).
					WithHint("Use DROP ... CASCADE to drop the dependent objects too.").At(n.Pos)
			}
			rels = append(rels, r)
		}
	}
	return s.dropAll(cat, rels, funcs, x.Cascade, names)
}
