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
)

// droppable maps the word after DROP to the kind of relation.
var droppable = map[string]catalog.RelKind{
	"table": catalog.Table, "source": catalog.Source, "foreign table": catalog.Source,
	"view": catalog.View, "materialized view": catalog.MatView, "sink": catalog.Sink, "sequence": catalog.SequenceKind,
}

// drop executes DROP: the named objects and, with CASCADE, what depends on them.
func (s *Session) drop(x *ast.Drop) error {
	switch x.Kind {
	case "schema":
		return s.dropSchemas(x)
	case "function":
		return s.dropFunctions(x)
	case "index":
		return s.dropIndexes(x)
	case "type", "domain":
		return s.dropTypes(x)
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
	cat := s.catalog()
	var rels []*catalog.Relation
	for _, n := range x.Names {
		r := cat.Find(n.Schema(), n.Base(), s.searchPath(cat))
		if r == nil {
			if x.IfExists {
				what := n.Base()
				if _, ok := cat.SchemaOID(n.Schema()); n.Schema() != "" && !ok {
					s.notice(pgerr.New(pgerr.SuccessfulCompletion, "schema \"%s\" does not exist, skipping", n.Schema()))
					continue
				}
				s.notice(pgerr.New(pgerr.SuccessfulCompletion, "%s \"%s\" does not exist, skipping", x.Kind, what))
				continue
			}
			return pgerr.New(pgerr.UndefinedTable, "%s \"%s\" does not exist", x.Kind, n.Base()).At(n.Pos)
		}
		if r.Kind == catalog.System {
			return pgerr.New(pgerr.InsufficientPrivilege, "permission denied: \"%s\" is a system catalog", r.Name).At(n.Pos)
		}
		if !s.ownsSchema(r.Schema) {
			if err := s.mustOwn(r.Object(cat)); err != nil {
				return err
			}
		}
		if s.readsAsView(r.OID) && kind == catalog.MatView {
			rels = append(rels, r)
			continue
		}
		if r.Kind != kind {
			e := pgerr.New(pgerr.WrongObjectType, "\"%s\" is not a %s", r.Name, kind).At(n.Pos)
			return e.WithHint("Use DROP %s to remove a %s.", strings.ToUpper(r.Kind.String()), r.Kind)
		}
		if q := r.Sequence; q != nil && q.Identity {
			t := cat.ByOID(q.Owner)
			if t != nil && t.ColumnByNum(q.OwnerColumn) >= 0 {
				return pgerr.New(pgerr.DependentObjectsStillExist, "cannot drop sequence %s because column %s of table %s requires it", r.Name,
					t.Columns[t.ColumnByNum(q.OwnerColumn)].Name, t.Name).WithHint("You can drop column %s of table %s instead.",
					t.Columns[t.ColumnByNum(q.OwnerColumn)].Name, t.Name)
			}
		}
		if !slices.Contains(rels, r) {
			rels = append(rels, r)
		}
	}
	return s.dropAll(cat, dropping{rels: rels}, x.Cascade)
}

// readsAsView says that a relation is a materialized view of the transaction under way, which is filled at its end.
func (s *Session) readsAsView(oid uint32) bool {
	for _, d := range s.tx.ddl {
		if d.hidden && slices.ContainsFunc(d.ch.Put, func(r *catalog.Relation) bool { return r.OID == oid }) {
			return true
		}
	}
	return false
}

// dropping is what a DROP names.
type dropping struct {
	rels    []*catalog.Relation
	funcs   []*catalog.Function
	types   []*catalog.Type
	schemas []string
}

// dropAll removes relations, functions, types and their dependents.
func (s *Session) dropAll(cat *catalog.Snapshot, x dropping, cascade bool) error {
	rels, funcs := x.rels, x.funcs
	if len(rels)+len(funcs)+len(x.types) == 0 && len(x.schemas) == 0 {
		return nil
	}
	gone := map[uint32]bool{}
	for _, r := range rels {
		gone[r.OID] = true
	}
	// The sequences of a table's columns go with it.
	for _, r := range slices.Clone(rels) {
		for _, q := range ownedSequences(cat, r.OID, 0) {
			if !gone[q.OID] {
				gone[q.OID] = true
				rels = append(rels, q)
			}
		}
	}
	deps, detail := dependents(cat, rels, funcs)
	for _, r := range deps {
		gone[r.OID] = true
	}
	depTypes, typeDetail := dependentTypes(cat, x.types)
	if len(depTypes) > 0 && cascade {
		for _, t := range depTypes {
			if t.Kind == 'c' {
				return pgerr.New(pgerr.FeatureNotSupported, "DROP ... CASCADE does not drop columns of composite types").
					WithDetail("%s", strings.Join(typeDetail, "\n")).WithHint("Drop type %s first.", t.Name)
			}
		}
	}
	detail = append(detail, typeDetail...)
	ts := slices.Concat(x.types, depTypes)
	for _, r := range slices.Concat(rels, deps) {
		if r.ArrayOID != 0 && r.Kind != catalog.SequenceKind {
			ts = append(ts, &catalog.Type{OID: r.TypeOID, ArrayOID: r.ArrayOID, Name: r.Name})
		}
	}
	parts, partDetail := s.dependentParts(cat, gone, append(slices.Clone(rels), deps...), ts)
	calls, callDetail := s.typeFunctions(cat, ts, funcs)
	parts, partDetail = append(parts, calls...), append(partDetail, callDetail...)
	detail = append(detail, partDetail...)
	if len(deps)+len(parts)+len(depTypes) > 0 && !cascade {
		var what string
		switch n := len(x.rels) + len(funcs) + len(x.types); {
		case n == 1 && len(x.rels) == 1:
			what = fmt.Sprintf("cannot drop %s %s because other objects depend on it", rels[0].Kind, rels[0].Name)
		case n == 1 && len(funcs) == 1:
			what = fmt.Sprintf("cannot drop function %s because other objects depend on it", funcs[0].Signature())
		case n == 1:
			what = fmt.Sprintf("cannot drop type %s because other objects depend on it", x.types[0].Name)
		default:
			what = "cannot drop desired object(s) because other objects depend on them"
		}
		return pgerr.New(pgerr.DependentObjectsStillExist, "%s", what).
			WithDetail("%s", strings.Join(detail, "\n")).
			WithHint("Use DROP ... CASCADE to drop the dependent objects too.")
	}
	for _, r := range deps {
		if len(funcs) > 0 && (r.Kind == catalog.Table || r.Kind == catalog.Source) {
			// Only an expression of a column would have to go, not the rows.
			return pgerr.New(pgerr.FeatureNotSupported, "DROP FUNCTION ... CASCADE does not drop tables").
				WithDetail("%s", strings.Join(detail, "\n")).WithHint("Drop %s %s first.", r.Kind, r.Name)
		}
	}
	var lines []string
	for _, d := range deps {
		lines = append(lines, fmt.Sprintf("%s %s", d.Kind, d.Name))
	}
	for _, t := range depTypes {
		lines = append(lines, fmt.Sprintf("type %s", t.Name))
	}
	for _, p := range parts {
		lines = append(lines, p.name)
	}
	switch len(lines) {
	case 0:
	case 1:
		s.notice(pgerr.New(pgerr.SuccessfulCompletion, "drop cascades to %s", lines[0]))
	default:
		s.notice(pgerr.New(pgerr.SuccessfulCompletion, "drop cascades to %d other objects", len(lines)).
			WithDetail("drop cascades to %s", strings.Join(lines, "\ndrop cascades to ")))
	}
	for _, p := range parts {
		if err := p.drop(); err != nil {
			return err
		}
	}
	var oids []uint32
	for _, r := range slices.Concat(deps, rels) {
		oids = append(oids, r.OID)
	}
	if err := s.dropRelations(oids); err != nil {
		return err
	}
	ch := &catalogChange{DropSchemas: x.schemas, Access: map[uint32]*catalog.Access{}}
	for _, n := range x.schemas {
		oid, _ := cat.SchemaOID(n)
		ch.Access[oid] = nil
	}
	for _, f := range funcs {
		ch.DropFunctions = append(ch.DropFunctions, f.OID)
	}
	for _, t := range slices.Concat(x.types, depTypes) {
		ch.DropTypes = append(ch.DropTypes, t.OID)
	}
	s.change(&ddl{ch: ch})
	return nil
}

// dependentPart is a part of a relation that depends on what is dropped: with CASCADE it goes, and the relation stays.
type dependentPart struct {
	name string
	drop func() error
}

// dependentParts finds the constraints, defaults and columns that depend on what goes, in relations that stay.
func (s *Session) dependentParts(cat *catalog.Snapshot, gone map[uint32]bool, rels []*catalog.Relation, ts []*catalog.Type) (parts []dependentPart, detail []string) {
	for _, on := range rels {
		froms, keys := cat.Referring(on.OID)
		for i, k := range keys {
			if from := froms[i]; !gone[from.OID] {
				name := fmt.Sprintf("constraint %s on table %s", k.Name, from.Name)
				parts = append(parts, dependentPart{name, func() error { return s.removeConstraint(from, k) }})
				detail = append(detail, fmt.Sprintf("%s depends on %s %s", name, on.Kind, on.Name))
			}
		}
		if on.Kind != catalog.SequenceKind {
			continue
		}
		for _, r := range cat.Relations() {
			for i := range r.Columns {
				if r.Columns[i].Sequence != on.OID || gone[r.OID] {
					continue
				}
				oid := r.OID
				name := fmt.Sprintf("default value for column %s of %s %s", r.Columns[i].Name, r.Kind, r.Name)
				parts = append(parts, dependentPart{name, func() error {
					c := s.catalog().ByOID(oid).Clone()
					c.Columns[i].Sequence = 0
					return s.putRelation(c)
				}})
				detail = append(detail, fmt.Sprintf("%s depends on sequence %s", name, on.Name))
			}
		}
	}
	for _, t := range ts {
		for _, r := range cat.Relations() {
			for _, c := range r.Columns {
				elem, _ := c.Type.Elem()
				if gone[r.OID] || c.Type.OID != t.OID && elem.OID != t.OID && (c.Domain == 0 || c.Domain != t.OID && c.Domain != t.ArrayOID) {
					continue
				}
				name := fmt.Sprintf("column %s of %s %s", c.Name, r.Kind, r.Name)
				oid, column := r.OID, c.Name
				parts = append(parts, dependentPart{name, func() error {
					now := s.catalog().ByOID(oid)
					if now == nil {
						return nil
					}
					if now.Kind != catalog.Table {
						return s.dropAll(s.catalog(), dropping{rels: []*catalog.Relation{now}}, true)
					}
					return s.dropColumn(context.Background(), now, now.Clone(), &ast.AlterAction{Column: column, Cascade: true})
				}})
				detail = append(detail, fmt.Sprintf("%s depends on type %s", name, t.Name))
			}
		}
	}
	return parts, detail
}

// typeFunctions finds the functions, others than those that go, whose parameters or results are of a type.
func (s *Session) typeFunctions(cat *catalog.Snapshot, ts []*catalog.Type, going []*catalog.Function) (parts []dependentPart, detail []string) {
	for _, f := range cat.Functions() {
		if slices.Contains(going, f) {
			continue
		}
		used := append(slices.Clone(f.Args), f.Ret)
		for _, p := range f.Params {
			used = append(used, p.Type)
		}
		i := slices.IndexFunc(ts, func(t *catalog.Type) bool {
			return slices.ContainsFunc(used, func(u types.T) bool { return u.OID == t.OID || u.OID == t.ArrayOID })
		})
		if i < 0 {
			continue
		}
		oid := f.OID
		parts = append(parts, dependentPart{"function " + f.Signature(), func() error {
			now := s.catalog().FunctionByOID(oid)
			if now == nil {
				return nil
			}
			return s.dropAll(s.catalog(), dropping{funcs: []*catalog.Function{now}}, true)
		}})
		detail = append(detail, fmt.Sprintf("function %s depends on type %s", f.Signature(), ts[i].Name))
	}
	return parts, detail
}

// dropRelations removes relations, without a look at what depends on them.
func (s *Session) dropRelations(oids []uint32) error {
	if len(oids) == 0 {
		return nil
	}
	e, cat := s.e, s.catalog()
	var rels []*catalog.Relation
	for _, oid := range oids {
		if r := cat.ByOID(oid); r != nil {
			rels = append(rels, r)
		}
		if tt := s.tx.tables[oid]; tt != nil && tt.made {
			for _, b := range tt.changes {
				b.Release()
			}
			tt.changes = nil
		}
	}
	s.change(&ddl{ch: &catalogChange{Drop: oids},
		before: func() {
			for _, oid := range oids {
				e.stopIngest(oid)
			}
		},
		inside: func() {
			for _, oid := range oids {
				delete(e.relations, oid)
				e.rowErrors.forget(oid)
				e.bad.forget(oid)
			}
		},
		after: func() {
			// Until they were gone from the catalog, views kept up with the commits that were under way: readers saw both in one cut.
			for _, r := range rels {
				e.coord.dropJob(r.OID)
				e.rowErrors.forget(r.OID)
				e.sequences.drop(r.OID)
				e.failReaders(r.OID, pgerr.New(pgerr.ObjectNotInPrerequisiteState, "%s \"%s\" has been dropped", r.Kind, r.Name))
			}
		}})
	return nil
}

// dropIndexes executes DROP INDEX.
func (s *Session) dropIndexes(x *ast.Drop) error {
	for _, n := range x.Names {
		cat := s.catalog()
		ix := cat.FindIndex(n.Schema(), n.Base(), s.searchPath(cat))
		switch {
		case ix == nil && cat.Find(n.Schema(), n.Base(), s.searchPath(cat)) != nil:
			return pgerr.New(pgerr.WrongObjectType, "\"%s\" is not an index", n.Base()).At(n.Pos)
		case ix == nil && x.IfExists:
			s.notice(pgerr.New(pgerr.SuccessfulCompletion, "index \"%s\" does not exist, skipping", n.Base()))
			continue
		case ix == nil:
			return pgerr.New(pgerr.UndefinedObject, "index \"%s\" does not exist", n.Base()).At(n.Pos)
		case ix.Primary || ix.Constraint != nil:
			return pgerr.New(pgerr.DependentObjectsStillExist, "cannot drop index %s because constraint %s on table %s requires it", ix.Name, ix.Name, ix.Rel.Name).
				WithHint("You can drop constraint %s on table %s instead.", ix.Name, ix.Rel.Name)
		}
		if err := s.mustOwnIndex(ix); err != nil {
			return err
		}
		c := ix.Rel.Clone()
		c.Indexes = slices.DeleteFunc(c.Indexes, func(d *catalog.IndexDef) bool { return d.OID == ix.OID })
		if err := s.replaceTable(ix.Rel, c, nil, ix.Unique); err != nil {
			return err
		}
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
	cat := s.catalog()
	var rels []*catalog.Relation
	var funcs []*catalog.Function
	var ts []*catalog.Type
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
		if err := s.mustOwn(cat.SchemaObject(name, oid)); err != nil {
			return err
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
		for _, t := range cat.Types() {
			if t.Schema != name {
				continue
			}
			if !x.Cascade {
				return pgerr.New(pgerr.DependentObjectsStillExist, "cannot drop schema %s because other objects depend on it", name).
					WithDetail("type %s depends on schema %s", t.Name, name).
					WithHint("Use DROP ... CASCADE to drop the dependent objects too.").At(n.Pos)
			}
			ts = append(ts, t)
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
	return s.dropAll(cat, dropping{rels: rels, funcs: funcs, types: ts, schemas: names}, x.Cascade)
}
