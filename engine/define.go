package engine

import (
	"context"
	"slices"
	"strings"

	"streamsql/catalog"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/sql/parser/ast"
	"streamsql/sql/planner"
	"streamsql/state"
)

// define executes the statements that change the catalog and gives their command tag: within the session's transaction, or
// one of their own.
func (s *Session) define(ctx context.Context, p Parsed) (tag string, err error) {
	if s.startsJob(p.Stmt) && (s.tx == nil || !s.tx.explicit) {
		// What is filled or runs on begins with what is committed.
		if s.tx != nil {
			if err := s.commit(ctx); err != nil {
				return "", err
			}
			defer s.BeginImplicit()
		}
		return s.defineIn(ctx, p)
	}
	own := s.tx == nil
	if own {
		s.tx = s.newTx(false)
	}
	before := s.markTx()
	if tag, err = s.defineIn(ctx, p); err != nil {
		if own {
			s.rollback()
		} else {
			s.resetTx(before)
		}
		return "", err
	}
	if own {
		return tag, s.commit(ctx)
	}
	return tag, nil
}

// startsJob tells the statements whose objects run on.
func (s *Session) startsJob(x ast.Stmt) bool {
	switch x := x.(type) {
	case *ast.CreateView:
		return x.Materialized
	case *ast.CreateSink, *ast.Pause:
		return true
	}
	return false
}

func (s *Session) defineIn(ctx context.Context, p Parsed) (tag string, err error) {
	tag = statementName(p.Stmt)
	switch x := p.Stmt.(type) {
	case *ast.CreateTable:
		return s.createTable(ctx, x)
	case *ast.CreateView:
		return s.createView(ctx, x)
	case *ast.CreateSchema:
		return tag, s.createSchema(ctx, x)
	case *ast.CreateIndex:
		return tag, s.createIndex(x)
	case *ast.CreateSequence:
		return tag, s.createSequence(ctx, x)
	case *ast.CreateEnum:
		return tag, s.createEnum(x)
	case *ast.CreateComposite:
		return tag, s.createComposite(x)
	case *ast.CreateDomain:
		return tag, s.createDomain(x)
	case *ast.Drop:
		return tag, s.drop(x)
	case *ast.Comment:
		return tag, s.comment(x)
	case *ast.Truncate:
		return tag, s.truncate(ctx, x)
	case *ast.Refresh:
		rel, err := s.lookup(x.Name, catalog.MatView)
		if err == nil {
			err = s.mustOwn(rel.Object(s.catalog()))
		}
		return tag, err
	case *ast.Alter:
		return tag, s.alter(ctx, x)
	case *ast.Pause:
		return tag, s.pause(x)
	case *ast.Grant:
		return tag, s.grant(x)
	case *ast.CreateRole:
		return tag, s.createRole(x)
	case *ast.AlterRole:
		return tag, s.alterRole(x)
	case *ast.DropRole:
		return tag, s.dropRoles(x)
	case *ast.ReassignOwned:
		if x.To == nil {
			return tag, s.dropOwned(x)
		}
		return tag, s.reassign(x)
	case *ast.CreateSink:
		if s.tx != nil {
			return "", pgerr.New(pgerr.ActiveSQLTransaction, "CREATE SINK cannot run inside a transaction block")
		}
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
	cat := s.catalog()
	schema, name = n.Schema(), n.Base()
	if schema == "" {
		path := s.searchPath(cat)
		if len(path) == 0 {
			return "", "", pgerr.New(pgerr.InvalidSchemaName, "no schema has been selected to create in").At(n.Pos)
		}
		if schema = path[0]; isTempSchema(schema) { // only what is said to be temporary goes there
			if len(path) == 1 {
				return "", "", pgerr.New(pgerr.InvalidSchemaName, "no schema has been selected to create in").At(n.Pos)
			}
			schema = path[1]
		}
	}
	if _, ok := cat.SchemaOID(schema); !ok {
		return "", "", pgerr.New(pgerr.InvalidSchemaName, "schema \"%s\" does not exist", schema).At(n.Pos)
	}
	if schema == "pg_catalog" || schema == "information_schema" || schema == "sys" {
		return "", "", pgerr.New(pgerr.InsufficientPrivilege, "permission denied to create \"%s.%s\"", schema, name).
			WithDetail("System catalog modifications are currently disallowed.").At(n.Pos)
	}
	return schema, name, posErr(s.mayCreateIn(schema), n.Pos)
}

// taken reports that a name is in use: an error, or with IF NOT EXISTS a notice.
func (s *Session) taken(schema, name string, ifNotExists bool, pos int) (bool, error) {
	if cat := s.catalog(); cat.Get(schema, name) == nil && cat.FindIndex(schema, name, nil) == nil {
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
	cat := s.catalog()
	schema := n.Schema()
	if schema == "pg_temp" {
		schema = s.tempName()
	}
	if err := s.usage(schema); err != nil {
		return nil, posErr(err, n.Pos)
	}
	r := cat.Find(schema, n.Base(), s.searchPath(cat))
	if r == nil {
		return nil, pgerr.New(pgerr.UndefinedTable, "relation \"%s\" does not exist", n.String()).At(n.Pos)
	}
	if len(kinds) > 0 && !slices.Contains(kinds, r.Kind) {
		return nil, pgerr.New(pgerr.WrongObjectType, "\"%s\" is not a %s", r.Name, kinds[0]).At(n.Pos)
	}
	return r, nil
}

// makeAside makes the tables that the options late and bad_data of a relation name, or checks that they fit.
func (s *Session) makeAside(rel *catalog.Relation, x *ast.CreateTable) error {
	put := newAside(s.e, s.ownerName())
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
	e.nextOID = max(e.nextOID, types.ReserveOIDs(e.nextOID, 3)) // see newTypeOIDs
	rel.OID = e.newOIDs(3)
	rel.TypeOID, rel.ArrayOID = rel.OID+1, rel.OID+2
	e.registerParts(rel)
	if rel.Kind != catalog.Table && rel.Kind != catalog.MatView {
		return nil
	}
	r := e.newRelation(rel)
	e.trackIndexes(r.indexes)
	return r
}

// registerParts gives OIDs, and the primary key a name, to what of a relation has none. The caller holds e.write.
func (e *Engine) registerParts(rel *catalog.Relation) {
	if rel.PrimaryKey != nil && rel.PrimaryKeyOID == 0 {
		rel.PrimaryKeyOID = e.newOIDs(2)
		rel.PrimaryKeyCon = rel.PrimaryKeyOID + 1
		if rel.PrimaryKeyName == "" {
			rel.PrimaryKeyName = freeName(rel.Name, "", "pkey", relationTaken(e.Catalog(), rel.Schema))
		}
	}
	for _, c := range rel.Constraints {
		if c.OID == 0 {
			c.OID = e.newOIDs(1)
		}
		if c.Kind == catalog.UniqueConstraint && c.IndexOID == 0 {
			c.IndexOID = e.newOIDs(1)
		}
		if c.Kind == catalog.ForeignConstraint && c.Ref == 0 {
			c.Ref = rel.OID
		}
	}
	for _, x := range rel.Indexes {
		if x.OID == 0 {
			x.OID = e.newOIDs(1)
		}
	}
}

// stores reports whether the rows of a relation are written to a store, for which its table has to remember what changes.
func (e *Engine) stores(rel *catalog.Relation) bool { return e.persist != nil && !rel.Temp }

// newRelation makes the empty storage of a table or materialized view.
func (e *Engine) newRelation(rel *catalog.Relation) *relation {
	r := &relation{rel: rel, table: state.NewTable(rel.Fields(), rel.PrimaryKey)}
	r.indexes, _ = newIndexes(rel, nil) // nothing is bound, so that nothing fails
	r.table.SetName(rel.Name)
	if e.stores(rel) {
		r.table.Track()
	}
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

// isStorageParameter tells PostgreSQL's parameters of how a table is stored and cleaned, which dumps carry: they mean nothing here.
func isStorageParameter(name string) bool {
	switch name {
	case "fillfactor", "toast_tuple_target", "parallel_workers", "vacuum_index_cleanup", "vacuum_truncate", "user_catalog_table", "log_autovacuum_min_duration":
		return true
	}
	return strings.HasPrefix(name, "autovacuum_") || strings.HasPrefix(name, "toast.")
}

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
		if isStorageParameter(o.Name) && rel.Kind == catalog.Table && conn == "" {
			continue
		}
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

// columnOptions are for the expressions of a relation's columns, which depends on the functions that they call.
func (s *Session) columnOptions(rel *catalog.Relation) *planner.Options {
	o := s.planOptions(nil, "")
	o.Table = rel.Name
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

// longFill is how long the filling of a view takes before its end is worth a notice, in microseconds.
const longFill = 1e6

// namesTable reports whether the value of an option is table:NAME, the name perhaps with a schema.
func namesTable(v string) bool {
	name, ok := strings.CutPrefix(v, "table:")
	parts := planner.SplitName(name)
	return ok && len(parts) <= 2 && !slices.Contains(parts, "")
}
