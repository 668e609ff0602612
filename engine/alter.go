package engine

import (
	"context"
	"slices"
	"strings"

	"streamsql/catalog"
	"streamsql/internal/pgerr"
	"streamsql/sql/parser/ast"
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
	case x.Kind == "database" && len(x.Actions) == 1 && x.Actions[0].Action == "owner to":
		return s.ownObject(s.catalog().DatabaseObject(s.database), x.Actions[0])
	default:
		return unsupportedAlter(x, "")
	}
	cat := s.catalog()
	if x.Kind == "table" && cat.Find(x.Name.Schema(), x.Name.Base(), s.searchPath(cat)) == nil {
		if ix := cat.FindIndex(x.Name.Schema(), x.Name.Base(), s.searchPath(cat)); ix != nil {
			return s.alterIndex(x)
		}
	}
	rel, err := s.relationNamed(cat, x.Name, x.IfExists)
	switch {
	case rel == nil:
		return err
	case rel.Kind == catalog.System:
		return pgerr.New(pgerr.InsufficientPrivilege, "permission denied: \"%s\" is a system catalog", rel.Name).At(x.Name.Pos)
	case allowed != nil && !slices.Contains(allowed, rel.Kind):
		return pgerr.New(pgerr.WrongObjectType, "\"%s\" is not a %s", rel.Name, allowed[0]).At(x.Name.Pos)
	}
	if !slices.ContainsFunc(x.Actions, func(a *ast.AlterAction) bool { return a.Action == "owner to" }) {
		if err := s.mustOwn(rel.Object(cat)); err != nil {
			return err
		}
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

// relationNamed finds the relation that a statement is about. With ifExists it is no error that there is none: there is a notice, and the relation is nil.
func (s *Session) relationNamed(cat *catalog.Snapshot, name ast.Name, ifExists bool) (*catalog.Relation, error) {
	rel := cat.Find(name.Schema(), name.Base(), s.searchPath(cat))
	switch {
	case rel != nil:
		return rel, nil
	case ifExists:
		s.notice(pgerr.New(pgerr.SuccessfulCompletion, "relation \"%s\" does not exist, skipping", name.Base()))
		return nil, nil
	}
	return nil, pgerr.New(pgerr.UndefinedTable, "relation \"%s\" does not exist", name.String()).At(name.Pos)
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
	case "owner to":
		return s.ownRelation(rel, c, a)
	case "set storage", "validate constraint", "cluster on", "set without cluster", "replica identity", "set logged", "set unlogged",
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

// renew makes what a transaction has made or changed of a relation be what the catalog says of it now.
func (s *Session) renew(c *catalog.Relation) {
	if tt := s.tx.tables[c.OID]; tt != nil && (tt.made || tt.rewritten) {
		tt.rel = c
		if tt.work != nil {
			tt.work.SetName(c.Name)
		}
	}
}

// putRelation changes what the catalog says of a relation whose rows stay as they are.
func (s *Session) putRelation(c *catalog.Relation) error {
	s.change(&ddl{ch: &catalogChange{Put: []*catalog.Relation{c}}})
	s.renew(c)
	return nil
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
	if err := s.mayCreateIn(a.NewName); err != nil {
		return err
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

// alterSchema executes ALTER SCHEMA .. RENAME TO.
func (s *Session) alterSchema(x *ast.Alter) error {
	cat := s.catalog()
	name := x.Name.Base()
	oid, ok := cat.SchemaOID(name)
	if !ok {
		return pgerr.New(pgerr.InvalidSchemaName, "schema \"%s\" does not exist", name).At(x.Name.Pos)
	}
	for _, a := range x.Actions {
		if err := s.mustOwn(cat.SchemaObject(name, oid)); err != nil && a.Action != "owner to" {
			return err
		}
		switch a.Action {
		case "owner to":
			if err := s.ownObject(cat.SchemaObject(name, oid), a); err != nil {
				return err
			}
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
