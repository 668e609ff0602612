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
	"streamsql/state"
)

// define executes the statements that change the catalog and gives their command tag.
func (s *Session) define(ctx context.Context, p Parsed) (tag string, err error) {
	if s.tx != nil && s.tx.explicit {
		s.warning(pgerr.ActiveSQLTransaction, "%s takes effect at once and is not undone by ROLLBACK", statementName(p.Stmt))
	}
	tag = statementName(p.Stmt)
	switch x := p.Stmt.(type) {
	case *ast.CreateTable:
		return s.createTable(ctx, x)
	case *ast.CreateView:
		return s.createView(ctx, x)
	case *ast.CreateSchema:
		return tag, s.createSchema(x)
	case *ast.CreateIndex:
		_, err := s.lookup(x.Table, catalog.Table, catalog.MatView)
		if err == nil {
			s.notice(pgerr.New(pgerr.SuccessfulCompletion, "indexes are not needed: CREATE INDEX has no effect"))
		}
		return tag, err
	case *ast.Drop:
		return tag, s.drop(x)
	case *ast.Comment:
		return tag, s.comment(x)
	case *ast.Truncate:
		return tag, s.truncate(ctx, x)
	case *ast.Refresh:
		_, err := s.lookup(x.Name, catalog.MatView)
		return tag, err
	case *ast.Alter:
		if x.Action == "owner to" {
			return tag, nil
		}
		return "", pgerr.New(pgerr.FeatureNotSupported, "ALTER %s ... %s is not supported", strings.ToUpper(x.Kind), strings.ToUpper(x.Action)).
			WithHint("Drop the relation and create it anew.").At(x.Pos)
	case *ast.Grant:
		s.warning(pgerr.FeatureNotSupported, "privileges are not enforced: every user may do everything")
		return tag, nil
	case *ast.CreateSink:
		return s.createSink(ctx, x)
	case *ast.CreateFunction:
		return tag, s.createFunction(x)
	case *ast.CreateOther:
		return "", pgerr.New(pgerr.FeatureNotSupported, "CREATE %s is not supported", strings.ToUpper(x.Kind)).At(x.Pos)
	}
	return "", pgerr.New(pgerr.FeatureNotSupported, "%s is not supported", tag)
}

// qualify gives the schema and name under which a relation is created.
func (s *Session) qualify(n ast.Name) (schema, name string, err error) {
	cat := s.e.Catalog()
	schema, name = n.Schema(), n.Base()
	if schema == "" {
		path := s.searchPath(cat)
		if len(path) == 0 {
			return "", "", pgerr.New(pgerr.InvalidSchemaName, "no schema has been selected to create in").At(n.Pos)
		}
		schema = path[0]
	}
	if _, ok := cat.SchemaOID(schema); !ok {
		return "", "", pgerr.New(pgerr.InvalidSchemaName, "schema \"%s\" does not exist", schema).At(n.Pos)
	}
	if schema == "pg_catalog" || schema == "information_schema" || schema == "sys" {
		return "", "", pgerr.New(pgerr.InsufficientPrivilege, "permission denied to create \"%s.%s\"", schema, name).
			WithDetail("System catalog modifications are currently disallowed.").At(n.Pos)
	}
	return schema, name, nil
}

// taken reports that a name is in use: an error, or with IF NOT EXISTS a notice.
func (s *Session) taken(schema, name string, ifNotExists bool, pos int) (bool, error) {
	if s.e.Catalog().Get(schema, name) == nil {
		return false, nil
	}
	if ifNotExists {
		s.notice(pgerr.New(pgerr.DuplicateTable, "relation \"%s\" already exists, skipping", name))
		return true, nil
	}
	return false, pgerr.New(pgerr.DuplicateTable, "relation \"%s\" already exists", name).At(pos)
}

// lookup finds a relation that must exist and be of one of the kinds (any, if none are given).
func (s *Session) lookup(n ast.Name, kinds ...catalog.RelKind) (*catalog.Relation, error) {
	cat := s.e.Catalog()
	r := cat.Find(n.Schema(), n.Base(), s.searchPath(cat))
	if r == nil {
		return nil, pgerr.New(pgerr.UndefinedTable, "relation \"%s\" does not exist", n.String()).At(n.Pos)
	}
	if len(kinds) > 0 && !slices.Contains(kinds, r.Kind) {
		return nil, pgerr.New(pgerr.WrongObjectType, "\"%s\" is not a %s", r.Name, kinds[0]).At(n.Pos)
	}
	return r, nil
}

// createTable executes CREATE TABLE and CREATE SOURCE.
func (s *Session) createTable(ctx context.Context, x *ast.CreateTable) (string, error) {
	tag := statementName(x)
	schema, name, err := s.qualify(x.Name)
	if err != nil {
		return "", err
	}
	if skip, err := s.taken(schema, name, x.IfNotExists, x.Name.Pos); skip || err != nil {
		return tag, err
	}
	if x.As != nil {
		return s.createTableAs(ctx, x, schema, name)
	}
	rel := &catalog.Relation{Schema: schema, Name: name, Kind: catalog.Table, AppendOnly: x.AppendOnly, Owner: s.user}
	if x.Source {
		rel.Kind = catalog.Source
	}
	if err := s.setOptions(ctx, rel, x); err != nil {
		return "", err
	}
	if err := s.setColumns(rel, x); err != nil {
		return "", err
	}
	if err := s.setWatermark(rel, x.Watermark); err != nil {
		return "", err
	}
	if name, ok := rel.Option("connector"); ok {
		c := s.e.connectors[name]
		if err := c.Check(s.e.connectorConfig(rel, s.vars.env, s.e.alloc, nil)); err != nil {
			return "", optionError(err, x)
		}
		rel.Bounded = c.Bounded(optionMap(rel))
	}
	if err := s.makeAside(rel, x); err != nil {
		return "", err
	}
	s.e.write.Lock()
	defer s.e.write.Unlock()
	if skip, err := s.taken(schema, name, x.IfNotExists, x.Name.Pos); skip || err != nil {
		return tag, err
	}
	r := s.e.register(rel)
	err = s.e.changeCatalog(&catalogChange{Put: []*catalog.Relation{rel}}, func() {
		if r != nil {
			s.e.addRelation(r)
		}
	})
	if err == nil && rel.Kind == catalog.Table {
		if _, ok := rel.Option("connector"); ok {
			s.e.startIngest(rel)
		}
	}
	return tag, err
}

// makeAside makes the tables that the options late and bad_data of a relation name, or checks that they fit.
func (s *Session) makeAside(rel *catalog.Relation, x *ast.CreateTable) error {
	put := newAside(s.e)
	defer put.close()
	for _, o := range x.Options {
		name := planner.AsideTable(rel, o.Name)
		if name == nil {
			continue
		}
		var err error
		switch {
		case o.Name == "late" && rel.Watermark == nil:
			err = pgerr.New(pgerr.InvalidParameterValue, "option \"late\" needs a watermark: without one no row is late").WithHint("Declare WATERMARK FOR column.")
		case o.Name == "late":
			_, err = put.open(name[0], name[len(name)-1], lateColumns(rel), "late rows of "+rel.Name)
		case o.Name == "bad_data":
			_, err = put.open(name[0], name[len(name)-1], badColumns, "rows of "+rel.Name+" that could not be decoded")
		}
		if err != nil {
			return posErr(err, o.ValuePos)
		}
	}
	return nil
}

// register gives a relation its OIDs, and a table its storage. The caller holds e.write.
func (e *Engine) register(rel *catalog.Relation) *relation {
	rel.OID = e.newOIDs(3)
	rel.TypeOID = rel.OID + 1
	if rel.PrimaryKey != nil {
		rel.PrimaryKeyOID = rel.OID + 2
		if rel.PrimaryKeyName == "" {
			rel.PrimaryKeyName = rel.Name + "_pkey"
		}
	}
	if rel.Kind != catalog.Table && rel.Kind != catalog.MatView {
		return nil
	}
	return newRelation(rel)
}

// newRelation makes the empty storage of a table or materialized view.
func newRelation(rel *catalog.Relation) *relation {
	r := &relation{rel: rel, table: state.NewTable(rel.Fields(), rel.PrimaryKey)}
	r.table.SetName(rel.Name)
	r.published = r.table.Snapshot()
	return r
}

// unknownOption is the error of a WITH option that does not exist.
func unknownOption(o ast.Option, known []string) error {
	e := pgerr.New(pgerr.InvalidParameterValue, "unrecognized option \"%s\"", o.Name).At(o.Pos)
	if n := pgerr.Nearest(o.Name, known); n != "" {
		return e.WithHint("Perhaps you meant \"%s\".", n)
	}
	return e.WithHint("The options are: %s.", strings.Join(known, ", "))
}

// optionError places the error of a connector's option at that option.
func optionError(err error, x *ast.CreateTable) error { return placeAtOption(err, x.Options) }

func placeAtOption(err error, options []ast.Option) error {
	e := pgerr.From(err)
	if e.Position != 0 {
		return e
	}
	for _, o := range options {
		if strings.Contains(e.Message, `"`+o.Name+`"`) {
			return e.At(o.Pos)
		}
	}
	for _, o := range options {
		if o.Value != "" && strings.Contains(e.Message, o.Value) {
			return e.At(o.ValuePos)
		}
	}
	return e
}

// relationOptions are the WITH options that do not belong to a connector.
var relationOptions = []string{"connector", "watermark.idle_timeout", "watermark.max_future", "late", "bad_data"}

// setOptions checks WITH and infers columns where none were declared.
func (s *Session) setOptions(ctx context.Context, rel *catalog.Relation, x *ast.CreateTable) error {
	known := slices.Clone(relationOptions)
	var conn string
	for _, o := range x.Options {
		if o.Name == "connector" {
			conn = strings.ToLower(o.Value)
			c := s.e.connectors[conn]
			if c == nil {
				names := make([]string, 0, len(s.e.connectors))
				for n := range s.e.connectors {
					names = append(names, n)
				}
				slices.Sort(names)
				return pgerr.New(pgerr.InvalidParameterValue, "connector \"%s\" does not exist", o.Value).
					WithHint("The connectors are: %s.", strings.Join(names, ", ")).At(o.ValuePos)
			}
			for _, spec := range c.Options() {
				known = append(known, spec.Name)
			}
		}
	}
	seen := map[string]bool{}
	for _, o := range x.Options {
		if seen[o.Name] {
			return pgerr.New(pgerr.SyntaxError, "option \"%s\" is given twice", o.Name).At(o.Pos)
		}
		seen[o.Name] = true
		if !slices.Contains(known, o.Name) {
			return unknownOption(o, known)
		}
		v := o.Value
		switch o.Name {
		case "connector":
			v = conn
		case "watermark.idle_timeout", "watermark.max_future":
			iv, err := types.ParseInterval(v, -1)
			if err != nil {
				return posErr(err, o.ValuePos)
			}
			if iv.Months < 0 || iv.Days < 0 || iv.Micros < 0 {
				return pgerr.New(pgerr.InvalidParameterValue, "option \"%s\" must not be negative", o.Name).At(o.ValuePos)
			}
		case "late":
			if v != "drop" && v != "error" && !namesTable(v) {
				return pgerr.New(pgerr.InvalidParameterValue, "invalid value for option \"late\": \"%s\"", v).
					WithHint("It is drop, error or table:NAME.").At(o.ValuePos)
			}
		case "bad_data":
			if v != "fail" && v != "drop" && !namesTable(v) {
				return pgerr.New(pgerr.InvalidParameterValue, "invalid value for option \"bad_data\": \"%s\"", v).
					WithHint("It is fail, drop or table:NAME.").At(o.ValuePos)
			}
			if conn == "" {
				return pgerr.New(pgerr.InvalidParameterValue, "option \"bad_data\" needs a connector: INSERT and COPY refuse what cannot be read").At(o.Pos)
			}
		}
		rel.Options = append(rel.Options, catalog.Option{Name: o.Name, Value: v})
	}
	if len(x.Columns) > 0 {
		return nil
	}
	if conn == "" {
		if rel.Kind == catalog.Source {
			return pgerr.New(pgerr.InvalidTableDefinition, "a source without a connector needs columns").At(x.Name.Pos)
		}
		return nil
	}
	fields, err := s.e.connectors[conn].Infer(ctx, optionMap(rel))
	if err != nil {
		return optionError(err, x)
	}
	for _, f := range fields {
		rel.Columns = append(rel.Columns, catalog.Column{Name: f.Name, Type: f.Type})
	}
	return nil
}

// setColumns resolves the columns and the primary key.
func (s *Session) setColumns(rel *catalog.Relation, x *ast.CreateTable) error {
	cat := s.e.Catalog()
	for _, d := range x.Columns {
		if rel.ColumnIndex(d.Name) >= 0 {
			return pgerr.New(pgerr.DuplicateColumn, "column \"%s\" specified more than once", d.Name).At(d.Pos)
		}
		if d.Identity != "" || strings.HasSuffix(d.Type.Name.Base(), "serial") {
			return pgerr.New(pgerr.FeatureNotSupported, "identity and serial columns are not supported yet").
				WithHint("Give the values yourself, or use DEFAULT gen_random_uuid().").At(d.Pos)
		}
		if d.Check != nil || d.References != nil || d.Unique {
			return pgerr.New(pgerr.FeatureNotSupported, "only NOT NULL and PRIMARY KEY constraints are supported").At(d.Pos)
		}
		t, err := planner.ResolveType(d.Type, cat)
		if err != nil {
			return err
		}
		if t.IsPseudo() {
			return pgerr.New(pgerr.InvalidTableDefinition, "column \"%s\" has pseudo-type %s", d.Name, t).At(d.Pos)
		}
		rel.Columns = append(rel.Columns, catalog.Column{Name: d.Name, Type: t, NotNull: d.NotNull || d.PrimaryKey,
			Default: d.DefaultText, Generated: d.GeneratedText})
		if d.PrimaryKey {
			if rel.PrimaryKey != nil {
				return multipleKeys(rel, d.Pos)
			}
			rel.PrimaryKey = []int{len(rel.Columns) - 1}
		}
	}
	for _, c := range x.Constraints {
		if c.Kind != "primary key" {
			return pgerr.New(pgerr.FeatureNotSupported, "only NOT NULL and PRIMARY KEY constraints are supported").At(c.Pos)
		}
		if rel.PrimaryKey != nil {
			return multipleKeys(rel, c.Pos)
		}
		rel.PrimaryKeyName = c.Name
		for _, n := range c.Columns {
			i := rel.ColumnIndex(n)
			if i < 0 {
				return pgerr.New(pgerr.UndefinedColumn, "column \"%s\" named in key does not exist", n).At(c.Pos)
			}
			rel.Columns[i].NotNull = true
			rel.PrimaryKey = append(rel.PrimaryKey, i)
		}
	}
	fields := rel.Fields().Fields
	for i, d := range x.Columns {
		if d.Default != nil {
			if _, err := planner.BindScalar(d.Default, nil, rel.Columns[i].Type, s.columnOptions(rel)); err != nil {
				return err
			}
		}
		if d.Generated != nil {
			if _, err := planner.BindScalar(d.Generated, fields, rel.Columns[i].Type, s.columnOptions(rel)); err != nil {
				return err
			}
		}
	}
	return nil
}

// columnOptions are for the expressions of a relation's columns, which depends on the functions that they call.
func (s *Session) columnOptions(rel *catalog.Relation) *planner.Options {
	o := s.planOptions(nil, "")
	o.Called = func(oid uint32) {
		if !slices.Contains(rel.Calls, oid) {
			rel.Calls = append(rel.Calls, oid)
		}
	}
	return o
}

func multipleKeys(rel *catalog.Relation, pos int) error {
	return pgerr.New(pgerr.InvalidTableDefinition, "multiple primary keys for table \"%s\" are not allowed", rel.Name).At(pos)
}

// setWatermark checks and stores WATERMARK FOR.
func (s *Session) setWatermark(rel *catalog.Relation, w *ast.Watermark) error {
	if w == nil {
		return nil
	}
	i := rel.ColumnIndex(w.Column)
	if i < 0 {
		return pgerr.New(pgerr.UndefinedColumn, "column \"%s\" does not exist", w.Column).At(w.Pos)
	}
	t := rel.Columns[i].Type
	if !t.Is(types.Timestamp) && !t.Is(types.Timestamptz) {
		return pgerr.New(pgerr.FeatureNotSupported, "the watermark column must be of type timestamp or timestamptz, not %s", t).At(w.Pos)
	}
	if w.Expr != nil {
		x, err := planner.BindScalar(w.Expr, rel.Fields().Fields, types.T{}, s.columnOptions(rel))
		if err != nil {
			return err
		}
		if !x.Type().Is(t) {
			return pgerr.New(pgerr.FeatureNotSupported, "the watermark expression is of type %s but column \"%s\" is of type %s", x.Type(), w.Column, t).
				WithHint("Add a cast.").At(w.Expr.Position())
		}
	}
	rel.Watermark = &catalog.Watermark{Column: i, Expr: w.Text}
	return nil
}

// createTableAs executes CREATE TABLE .. AS.
func (s *Session) createTableAs(ctx context.Context, x *ast.CreateTable, schema, name string) (string, error) {
	q, err := planner.PlanQuery(x.As, s.planOptions(nil, ""))
	if err != nil {
		return "", err
	}
	if q.Continuous {
		return "", pgerr.New(pgerr.FeatureNotSupported, "CREATE TABLE AS needs a query that ends").
			WithHint("Use CREATE MATERIALIZED VIEW to keep the result of a continuous query.").At(x.As.Emit.Pos)
	}
	rel := &catalog.Relation{Schema: schema, Name: name, Kind: catalog.Table, Owner: s.user}
	if err := setResultColumns(rel, q, x.Names); err != nil {
		return "", err
	}
	p := s.bindQuery(ctx, q, nil, nil)
	defer p.Close()
	bs, err := drainPortal(ctx, p)
	if err != nil {
		return "", err
	}
	if x.WithNoData {
		releaseAll(bs)
		bs = nil
	}
	s.e.write.Lock()
	defer s.e.write.Unlock()
	if skip, err := s.taken(schema, name, x.IfNotExists, x.Name.Pos); skip || err != nil {
		releaseAll(bs)
		return "CREATE TABLE", err
	}
	defer releaseAll(bs)
	r := s.e.register(rel)
	rows := 0
	for _, b := range bs {
		rows += b.N
		if err := r.table.Apply(b); err != nil {
			return "", err
		}
	}
	r.published = r.table.Snapshot()
	err = s.e.changeCatalog(&catalogChange{Put: []*catalog.Relation{rel}}, func() { s.e.addRelation(r) })
	if err == nil {
		err = s.e.logRows([]tableWrite{{oid: rel.OID, changes: bs, after: r.published}})
	}
	return fmt.Sprintf("SELECT %d", rows), err
}

// longFill is how long the filling of a view takes before its end is worth a notice, in microseconds.
const longFill = 1e6

func (s *Session) createSchema(x *ast.CreateSchema) error {
	s.e.write.Lock()
	defer s.e.write.Unlock()
	if _, ok := s.e.Catalog().SchemaOID(x.Name); ok {
		if x.IfNotExists {
			s.notice(pgerr.New(pgerr.DuplicateSchema, "schema \"%s\" already exists, skipping", x.Name))
			return nil
		}
		return pgerr.New(pgerr.DuplicateSchema, "schema \"%s\" already exists", x.Name).At(x.Pos)
	}
	if strings.HasPrefix(x.Name, "pg_") {
		return pgerr.New("42939", "unacceptable schema name \"%s\"", x.Name).WithDetail("The prefix \"pg_\" is reserved for system schemas.").At(x.Pos)
	}
	oid := s.e.newOIDs(1)
	return s.e.changeCatalog(&catalogChange{PutSchemas: map[string]uint32{x.Name: oid}}, nil)
}

// comment executes COMMENT ON.
func (s *Session) comment(x *ast.Comment) error {
	text := ""
	if x.Text != nil {
		text = *x.Text
	}
	name, column := x.Name, ""
	switch x.Kind {
	case "column":
		column = name.Base()
		name = ast.Name{Parts: name.Parts[:len(name.Parts)-1], Pos: name.Pos}
		if len(name.Parts) == 0 {
			return pgerr.New(pgerr.SyntaxError, "column name must be qualified").At(x.Name.Pos)
		}
	case "table", "view", "materialized view", "source", "foreign table", "sink":
	default:
		return pgerr.New(pgerr.FeatureNotSupported, "COMMENT ON %s is not supported", strings.ToUpper(x.Kind)).At(x.Name.Pos)
	}
	rel, err := s.lookup(name)
	if err != nil {
		return err
	}
	c := *rel
	if column == "" {
		c.Comment = text
	} else {
		i := rel.ColumnIndex(column)
		if i < 0 {
			return pgerr.New(pgerr.UndefinedColumn, "column \"%s\" of relation \"%s\" does not exist", column, rel.Name).At(x.Name.Pos)
		}
		c.Columns = slices.Clone(rel.Columns)
		c.Columns[i].Comment = text
	}
	s.e.write.Lock()
	defer s.e.write.Unlock()
	return s.e.changeCatalog(&catalogChange{Put: []*catalog.Relation{&c}}, nil)
}

// namesTable reports whether the value of an option is table:NAME, the name perhaps with a schema.
func namesTable(v string) bool {
	name, ok := strings.CutPrefix(v, "table:")
	parts := planner.SplitName(name)
	return ok && len(parts) <= 2 && !slices.Contains(parts, "")
}
