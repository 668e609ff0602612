package engine

import (
	"strings"

	"streamsql/catalog"
	"streamsql/internal/pgerr"
	"streamsql/sql/parser/ast"
)

// comment executes COMMENT ON.
func (s *Session) comment(x *ast.Comment) error {
	text := ""
	if x.Text != nil {
		text = *x.Text
	}
	cat := s.catalog()
	switch x.Kind {
	case "column":
		return s.commentColumn(x, text)
	case "constraint":
		return s.commentConstraint(x, text)
	case "domain constraint":
		t, err := s.findType(x.Table, "domain", false)
		if err != nil {
			return err
		}
		for _, k := range t.Checks {
			if k.Name == x.Name.Base() {
				s.change(&ddl{ch: &catalogChange{Comments: map[uint32]string{k.OID: text}}})
				return nil
			}
		}
		return pgerr.New(pgerr.UndefinedObject, "constraint \"%s\" for domain %s does not exist", x.Name.Base(), t.Name)
	case "schema":
		oid, ok := cat.SchemaOID(x.Name.Base())
		if !ok {
			return pgerr.New(pgerr.InvalidSchemaName, "schema \"%s\" does not exist", x.Name.Base())
		}
		if err := s.mustOwn(cat.SchemaObject(x.Name.Base(), oid)); err != nil {
			return err
		}
		s.change(&ddl{ch: &catalogChange{Comments: map[uint32]string{oid: text}}})
		return nil
	case "type", "domain":
		t, err := s.findType(x.Name, x.Kind, false)
		if err != nil {
			return err
		}
		if err := s.mustOwn(t.Object(cat)); err != nil {
			return err
		}
		s.change(&ddl{ch: &catalogChange{Comments: map[uint32]string{t.OID: text}}})
		return nil
	case "function", "procedure", "routine":
		d := &ast.Drop{Kind: "function", Names: []ast.Name{x.Name}}
		if x.Args != nil {
			d.Args = [][]ast.TypeName{x.Args}
		}
		f, err := s.findFunction(cat, d, 0, x.Name)
		if err != nil {
			return err
		}
		if err := s.mustOwn(f.Object(cat)); err != nil {
			return err
		}
		c := *f
		c.Comment = text
		s.change(&ddl{ch: &catalogChange{PutFunctions: []*catalog.Function{&c}}})
		return nil
	case "index":
		ix := cat.FindIndex(x.Name.Schema(), x.Name.Base(), s.searchPath(cat))
		if ix == nil {
			if cat.Find(x.Name.Schema(), x.Name.Base(), s.searchPath(cat)) != nil {
				return pgerr.New(pgerr.WrongObjectType, "\"%s\" is not an index", x.Name.Base())
			}
			return pgerr.New(pgerr.UndefinedTable, "relation \"%s\" does not exist", x.Name)
		}
		if err := s.mustOwnIndex(ix); err != nil {
			return err
		}
		c := ix.Rel.Clone()
		switch {
		case ix.Primary:
			c.KeyIndexComment = text
		case ix.Constraint != nil:
			c.FindConstraint(ix.Name).IndexComment = text
		default:
			for _, d := range c.Indexes {
				if d.OID == ix.OID {
					d.Comment = text
				}
			}
		}
		return s.putRelation(c)
	case "database", "role", "extension", "tablespace", "language", "access method":
		return nil // there is one of each, and nobody to read it
	}
	kinds := map[string]catalog.RelKind{"table": catalog.Table, "view": catalog.View, "materialized view": catalog.MatView, "source": catalog.Source,
		"foreign table": catalog.Source, "sink": catalog.Sink, "sequence": catalog.SequenceKind}
	kind, ok := kinds[x.Kind]
	if !ok {
		return pgerr.New(pgerr.FeatureNotSupported, "COMMENT ON %s is not supported", strings.ToUpper(x.Kind)).At(x.Name.Pos)
	}
	rel, err := s.lookup(x.Name)
	if err != nil {
		return err
	}
	if rel.Kind != kind && !(kind == catalog.MatView && s.readsAsView(rel.OID)) {
		return pgerr.New(pgerr.WrongObjectType, "\"%s\" is not a %s", rel.Name, kind).At(x.Name.Pos)
	}
	if err := s.mustOwn(rel.Object(cat)); err != nil {
		return err
	}
	c := rel.Clone()
	c.Comment = text
	return s.putRelation(c)
}

func (s *Session) commentColumn(x *ast.Comment, text string) error {
	n := x.Name
	table := ast.Name{Parts: n.Parts[:len(n.Parts)-1], Pos: n.Pos}
	if len(table.Parts) == 0 {
		return pgerr.New(pgerr.SyntaxError, "column name must be qualified").At(n.Pos)
	}
	rel, err := s.lookup(table)
	if err != nil {
		return err
	}
	i := rel.ColumnIndex(n.Base())
	if i < 0 {
		return pgerr.New(pgerr.UndefinedColumn, "column \"%s\" of relation \"%s\" does not exist", n.Base(), rel.Name)
	}
	if err := s.mustOwn(rel.Object(s.catalog())); err != nil {
		return err
	}
	c := rel.Clone()
	c.Columns[i].Comment = text
	return s.putRelation(c)
}

func (s *Session) commentConstraint(x *ast.Comment, text string) error {
	rel, err := s.lookup(x.Table)
	if err != nil {
		return err
	}
	if err := s.mustOwn(rel.Object(s.catalog())); err != nil {
		return err
	}
	c := rel.Clone()
	k := c.FindConstraint(x.Name.Base())
	switch {
	case rel.PrimaryKey != nil && rel.PrimaryKeyName == x.Name.Base():
		c.KeyComment = text
	case k != nil:
		k.Comment = text
	default:
		return pgerr.New(pgerr.UndefinedObject, "constraint \"%s\" for table \"%s\" does not exist", x.Name.Base(), rel.Name)
	}
	return s.putRelation(c)
}
