package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"streamsql/catalog"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/parser"
	"streamsql/sql/parser/ast"
	"streamsql/sql/planner"
)

// txMark is the session's transaction as it was before a statement.
type txMark struct {
	tables map[uint32]savepointMark
	ddl    int
}

func (s *Session) markTx() txMark {
	m := txMark{tables: map[uint32]savepointMark{}, ddl: len(s.tx.ddl)}
	for oid, tt := range s.tx.tables {
		m.tables[oid] = tt.mark()
	}
	return m
}

// resetTx takes the transaction back to a mark.
func (s *Session) resetTx(m txMark) {
	if s.tx == nil {
		return
	}
	for oid, tt := range s.tx.tables {
		if old, ok := m.tables[oid]; ok {
			tt.restore(old)
			continue
		}
		for _, b := range tt.changes {
			b.Release()
		}
		delete(s.tx.tables, oid)
	}
	s.e.sequences.forget(s.tx.ddl[m.ddl:])
	undone := s.tx.ddl[m.ddl:]
	s.tx.ddl, s.tx.base = s.tx.ddl[:m.ddl], nil
	for _, d := range undone {
		for _, r := range d.ch.Put {
			if now := s.catalog().ByOID(r.OID); now != nil {
				now.RegisterRow()
			}
		}
	}
}

// tempSchema gives the schema of the session's temporary relations, which it makes when it is first needed.
func (s *Session) tempSchema() string {
	name := s.tempName()
	s.hasTemp = true
	if _, ok := s.catalog().SchemaOID(name); !ok {
		s.e.write.Lock()
		oid := s.e.newOIDs(1)
		s.change(&ddl{ch: &catalogChange{PutSchemas: map[string]uint32{name: oid}}})
		s.e.write.Unlock()
	}
	return name
}

// qualifyTemp is qualify for what may be temporary.
func (s *Session) qualifyTemp(n ast.Name, temp bool) (schema, name string, err error) {
	if !temp && n.Schema() != "pg_temp" {
		return s.qualify(n)
	}
	if n.Schema() != "" && n.Schema() != "pg_temp" && !isTempSchema(n.Schema()) {
		return "", "", pgerr.New(pgerr.InvalidTableDefinition, "cannot create temporary relation in non-temporary schema").At(n.Pos)
	}
	return s.tempSchema(), n.Base(), nil
}

// createTable executes CREATE TABLE and CREATE SOURCE.
func (s *Session) createTable(ctx context.Context, x *ast.CreateTable) (string, error) {
	tag := statementName(x)
	schema, name, err := s.qualifyTemp(x.Name, x.Temp)
	if err != nil {
		return "", err
	}
	if skip, err := s.taken(schema, name, x.IfNotExists, x.Name.Pos); skip || err != nil {
		return tag, err
	}
	rel := &catalog.Relation{Schema: schema, Name: name, Kind: catalog.Table, AppendOnly: x.AppendOnly, Owner: s.ownerName(),
		Temp: isTempSchema(schema), OnCommit: x.OnCommit}
	if x.OnCommit != "" && !rel.Temp {
		return "", pgerr.New(pgerr.InvalidTableDefinition, "ON COMMIT can only be used on temporary tables")
	}
	if x.As != nil {
		return s.createTableAs(ctx, x, rel)
	}
	if x.Source {
		rel.Kind = catalog.Source
	}
	if err := s.setOptions(ctx, rel, x); err != nil {
		return "", err
	}
	parts := &tableParts{s: s, rel: rel, cat: s.catalog()}
	likes, err := s.setColumns(parts, x)
	if err != nil {
		return "", err
	}
	if err := s.setWatermark(rel, x.Watermark); err != nil {
		return "", err
	}
	if err := parts.finish(); err != nil {
		return "", err
	}
	if err := s.copyLike(parts, likes); err != nil {
		return "", err
	}
	if name, ok := rel.Option("connector"); ok {
		if err := s.mayReach(name, readsServer); err != nil {
			return "", err
		}
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
	if rel.PrimaryKey != nil && rel.PrimaryKeyName != "" && relationTaken(s.catalog(), schema, parts.seqs...)(rel.PrimaryKeyName) {
		return "", pgerr.New(pgerr.DuplicateTable, "relation \"%s\" already exists", rel.PrimaryKeyName)
	}
	r := s.e.register(rel)
	s.addSequences(parts)
	d := &ddl{ch: &catalogChange{Put: []*catalog.Relation{rel}}}
	if rel.Kind == catalog.Table {
		if _, ok := rel.Option("connector"); ok {
			d.after = func() { s.e.startIngest(rel, nil) }
		}
	}
	s.change(d)
	if r != nil {
		s.tx.tables[rel.OID] = &txTable{rel: rel, work: r.table, indexes: r.indexes, made: true}
	}
	return tag, nil
}

// addSequences makes the sequences of serial and identity columns. The relation has its OIDs; the caller holds e.write.
func (s *Session) addSequences(t *tableParts) {
	if len(t.seqs) == 0 {
		return
	}
	d := &ddl{ch: &catalogChange{}}
	for i, q := range t.seqs {
		s.e.register(q)
		q.Sequence.Owner, q.Sequence.OwnerColumn = t.rel.OID, t.rel.Attnum(t.cols[i])
		t.rel.Columns[t.cols[i]].Sequence = q.OID
		s.e.sequences.declare(q)
		d.ch.Put = append(d.ch.Put, q)
		d.newSequences = append(d.newSequences, q.OID)
	}
	s.change(d)
}

// setColumns resolves the columns of CREATE TABLE, those of LIKE among them, and what is written with them.
func (s *Session) setColumns(t *tableParts, x *ast.CreateTable) ([]*likeTable, error) {
	rel := t.rel
	var likes []*likeTable
	like := func(at int) error {
		for _, l := range x.Like {
			if l.At != at {
				continue
			}
			k, err := s.addLike(t, l)
			if err != nil {
				return err
			}
			likes = append(likes, k)
		}
		return nil
	}
	for i := range x.Columns {
		if err := like(i); err != nil {
			return nil, err
		}
		if err := t.addColumn(&x.Columns[i]); err != nil {
			return nil, err
		}
	}
	if err := like(len(x.Columns)); err != nil {
		return nil, err
	}
	for i := range x.Constraints {
		if err := t.addConstraint(&x.Constraints[i], ""); err != nil {
			return nil, err
		}
	}
	for _, d := range x.Columns {
		if err := s.bindColumn(rel, &rel.Columns[rel.ColumnIndex(d.Name)], d.Default, d.Generated); err != nil {
			return nil, err
		}
	}
	return likes, nil
}

// bindColumn checks the DEFAULT and the generation expression of a column.
func (s *Session) bindColumn(rel *catalog.Relation, c *catalog.Column, def, gen ast.Expr) error {
	if def != nil && gen != nil {
		return pgerr.New(pgerr.SyntaxError, "both default and generation expression specified for column \"%s\" of table \"%s\"", c.Name, rel.Name)
	}
	if def != nil {
		o := s.columnOptions(rel)
		o.Clause, o.Table = "DEFAULT expressions", ""
		if _, err := planner.BindScalar(def, nil, c.Type, o); err != nil {
			if pgerr.Code(err) == pgerr.UndefinedColumn {
				return pgerr.New(pgerr.FeatureNotSupported, "cannot use column reference in DEFAULT expression").At(pgerr.From(err).Position)
			}
			return err
		}
	}
	if gen == nil {
		return nil
	}
	o := s.columnOptions(rel)
	o.Clause = "column generation expressions"
	x, err := planner.BindScalar(gen, rel.Fields().Fields, c.Type, o)
	if err != nil {
		return err
	}
	for _, i := range exprColumns(rel, c.Generated) {
		if g := rel.Columns[i]; g.Generated != "" {
			return pgerr.New(pgerr.InvalidObjectDefinition, "cannot use generated column \"%s\" in column generation expression", g.Name).
				WithDetail("A generated column cannot reference another generated column.").At(gen.Position())
		}
	}
	if !planner.Immutable(x) {
		return pgerr.New(pgerr.InvalidObjectDefinition, "generation expression is not immutable").At(gen.Position())
	}
	return nil
}

// likeTable is LIKE of CREATE TABLE once its columns have been copied.
type likeTable struct {
	ast.TableLike
	rel *catalog.Relation
}

func (s *Session) addLike(t *tableParts, l ast.TableLike) (*likeTable, error) {
	rel, err := s.lookup(l.Table)
	if err != nil {
		return nil, err
	}
	switch rel.Kind {
	case catalog.Table, catalog.View, catalog.MatView, catalog.Source, catalog.System:
	default:
		return nil, pgerr.New(pgerr.WrongObjectType, "relation \"%s\" is invalid in LIKE clause", rel.Name).At(l.Table.Pos)
	}
	for i := range rel.Columns {
		c := &rel.Columns[i]
		if t.rel.ColumnIndex(c.Name) >= 0 {
			return nil, pgerr.New(pgerr.DuplicateColumn, "column \"%s\" specified more than once", c.Name).At(l.Table.Pos)
		}
		n := catalog.Column{Name: c.Name, Type: c.Type, Domain: c.Domain, NotNull: c.NotNull}
		if l.Defaults {
			n.Default = c.Default
			if c.Identity == "" {
				n.Sequence = c.Sequence
			}
		}
		if l.Generated {
			n.Generated = c.Generated
		}
		if l.Comments {
			n.Comment = c.Comment
		}
		if l.Identity {
			n.Identity = c.Identity
		}
		t.rel.Columns = append(t.rel.Columns, n)
		if n.Identity != "" {
			if err := t.addSequence(len(t.rel.Columns)-1, nil, l.Table.Pos); err != nil {
				return nil, err
			}
			if q := t.cat.ByOID(c.Sequence); q != nil {
				d := *q.Sequence
				t.seqs[len(t.seqs)-1].Sequence = &d
			}
		}
	}
	return &likeTable{l, rel}, nil
}

// copyLike copies constraints and indexes of LIKE, which follow those of the table itself.
func (s *Session) copyLike(t *tableParts, likes []*likeTable) error {
	for _, l := range likes {
		rel := t.rel
		nums := func(old []int16) (out []int16) {
			for _, i := range l.rel.ColumnsByNum(old) {
				if i >= 0 {
					out = append(out, rel.Attnum(rel.ColumnIndex(l.rel.Columns[i].Name)))
				}
			}
			return out
		}
		for _, c := range l.rel.Constraints {
			if c.Kind == catalog.CheckConstraint && l.Constraints {
				k := *c
				k.OID, k.Columns = 0, nums(c.Columns)
				if rel.FindConstraint(k.Name) != nil {
					return pgerr.New(pgerr.DuplicateObject, "check constraint \"%s\" already exists", k.Name)
				}
				rel.Constraints = append(rel.Constraints, &k)
			}
		}
		if !l.Indexes {
			continue
		}
		for _, x := range l.rel.AllIndexes() {
			if x.Where != "" || slices.Contains(x.Columns, -1) {
				continue
			}
			taken := relationTaken(t.cat, rel.Schema, append(t.seqs, rel)...)
			cols := nums(l.rel.Attnums(x.Columns))
			var names []string
			for _, i := range x.Columns {
				names = append(names, l.rel.Columns[i].Name)
			}
			joined := objectName(strings.Join(names, "_"), "", "")
			switch {
			case x.Primary:
				if rel.PrimaryKey != nil {
					return multipleKeys(rel, 0)
				}
				rel.PrimaryKey = rel.ColumnsByNum(cols)
			case x.Constraint != nil:
				rel.Constraints = append(rel.Constraints, &catalog.Constraint{Kind: catalog.UniqueConstraint, Columns: cols,
					Name: freeName(rel.Name, joined, "key", taken)})
			default:
				rel.Indexes = append(rel.Indexes, &catalog.IndexDef{Unique: x.Unique, Method: x.Method, Columns: cols, Terms: x.Terms,
					Name: freeName(rel.Name, joined, "idx", taken)})
			}
		}
	}
	return nil
}

// createTableAs executes CREATE TABLE .. AS and SELECT INTO.
func (s *Session) createTableAs(ctx context.Context, x *ast.CreateTable, rel *catalog.Relation) (string, error) {
	o := s.planOptions(nil, "")
	q, err := planner.PlanQuery(x.As, o)
	if err != nil {
		return "", err
	}
	o.Uses.Resolve()
	if err := s.permitted(o.Uses); err != nil {
		return "", err
	}
	if q.Continuous {
		return "", pgerr.New(pgerr.FeatureNotSupported, "CREATE TABLE AS needs a query that ends").
			WithHint("Use CREATE MATERIALIZED VIEW to keep the result of a continuous query.").At(x.As.Emit.Pos)
	}
	if err := setResultColumns(rel, q, x.Names); err != nil {
		return "", err
	}
	rows := 0
	bs, err := s.ctasRows(ctx, x, q)
	if err != nil {
		return "", err
	}
	s.e.write.Lock()
	defer s.e.write.Unlock()
	if skip, err := s.taken(rel.Schema, rel.Name, x.IfNotExists, x.Name.Pos); skip || err != nil {
		releaseAll(bs)
		return "CREATE TABLE AS", err
	}
	r := s.e.register(rel)
	tt := &txTable{rel: rel, work: r.table, made: true, changes: bs}
	for _, b := range bs {
		rows += b.N
		b.W = nil
		if err := tt.work.Apply(b); err != nil {
			releaseAll(bs)
			return "", err
		}
	}
	s.change(&ddl{ch: &catalogChange{Put: []*catalog.Relation{rel}}})
	s.tx.tables[rel.OID] = tt
	if x.WithNoData {
		return "CREATE TABLE AS", nil
	}
	return fmt.Sprintf("SELECT %d", rows), nil
}

// createSchema executes CREATE SCHEMA.
func (s *Session) createSchema(ctx context.Context, x *ast.CreateSchema) error {
	s.e.write.Lock()
	done, err := func() (bool, error) {
		defer s.e.write.Unlock()
		owner, err := s.schemaOwner(x)
		if err != nil {
			return true, err
		}
		if _, ok := s.catalog().SchemaOID(x.Name); ok {
			if x.IfNotExists {
				s.notice(pgerr.New(pgerr.DuplicateSchema, "schema \"%s\" already exists, skipping", x.Name))
				return true, nil
			}
			return true, pgerr.New(pgerr.DuplicateSchema, "schema \"%s\" already exists", x.Name).At(x.Pos)
		}
		if strings.HasPrefix(x.Name, "pg_") {
			return true, pgerr.New("42939", "unacceptable schema name \"%s\"", x.Name).WithDetail("The prefix \"pg_\" is reserved for system schemas.").At(x.Pos)
		}
		oid := s.e.newOIDs(1)
		s.change(&ddl{ch: &catalogChange{PutSchemas: map[string]uint32{x.Name: oid}, Access: map[uint32]*catalog.Access{oid: {Owner: owner}}}})
		return false, nil
	}()
	if done || err != nil {
		return err
	}
	for i, el := range x.Elements {
		inSchema := func(n *ast.Name) {
			if len(n.Parts) == 1 {
				n.Parts = []string{x.Name, n.Parts[0]}
			}
		}
		switch e := el.(type) {
		case *ast.CreateTable:
			inSchema(&e.Name)
		case *ast.CreateView:
			inSchema(&e.Name)
		case *ast.CreateSequence:
			inSchema(&e.Name)
		case *ast.CreateIndex:
			inSchema(&e.Table)
		}
		old, _ := s.vars.get("search_path")
		if err := s.vars.set("search_path", quoteIdent(x.Name)+", "+old, true); err != nil {
			return err
		}
		_, err := s.defineIn(ctx, Parsed{Stmt: el, Text: x.Texts[i]})
		if rerr := s.vars.set("search_path", old, true); err == nil {
			err = rerr
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// createIndex executes CREATE INDEX. A unique index of columns is kept and enforced; others are only remembered.
func (s *Session) createIndex(x *ast.CreateIndex) error {
	rel, err := s.lookup(x.Table, catalog.Table, catalog.MatView)
	if err != nil {
		return err
	}
	cat := s.catalog()
	if err := s.mustOwn(rel.Object(cat)); err != nil {
		return err
	}
	d := &catalog.IndexDef{Name: x.Name, Unique: x.Unique, Method: x.Method, Where: x.WhereText}
	switch d.Method {
	case "":
		d.Method = "btree"
	case "btree", "hash", "gist", "gin", "spgist", "brin":
	default:
		return pgerr.New(pgerr.UndefinedObject, "access method \"%s\" does not exist", d.Method)
	}
	if d.Unique && d.Method != "btree" {
		return pgerr.New(pgerr.FeatureNotSupported, "access method \"%s\" does not support unique indexes", d.Method)
	}
	c := rel.Clone()
	o := s.columnOptions(c)
	var names []string
	for i, k := range x.Columns {
		term := x.Terms[i]
		e := k.Expr
		if k, ok := e.(*ast.Collate); ok {
			if _, ok := k.X.(*ast.ColumnRef); ok {
				e = k.X
			}
		}
		ref, ok := e.(*ast.ColumnRef)
		if !ok || len(ref.Parts) != 1 {
			o.Clause = "index expressions"
			b, err := planner.BindScalar(k.Expr, rel.Fields().Fields, types.T{}, o)
			if err != nil {
				return err
			}
			if !planner.Immutable(b) {
				return pgerr.New(pgerr.InvalidObjectDefinition, "functions in index expression must be marked IMMUTABLE").At(k.Expr.Position())
			}
			d.Columns, d.Terms, names = append(d.Columns, 0), append(d.Terms, term), append(names, "expr")
			continue
		}
		k := rel.ColumnIndex(ref.Parts[0])
		if k < 0 {
			return pgerr.New(pgerr.UndefinedColumn, "column \"%s\" does not exist", ref.Parts[0]).At(ref.Pos)
		}
		if !strings.HasPrefix(term, `"`) {
			term = quoted(ref.Parts[0]) + term[min(len(ref.Parts[0]), len(term)):]
		}
		d.Columns, d.Terms, names = append(d.Columns, rel.Attnum(k)), append(d.Terms, term), append(names, ref.Parts[0])
	}
	if x.Where != nil {
		b, err := s.bindCondition(c, x.Where, "index predicates", "WHERE")
		if err != nil {
			return err
		}
		if !planner.Immutable(b) {
			return pgerr.New(pgerr.InvalidObjectDefinition, "functions in index predicate must be marked IMMUTABLE").At(x.Where.Position())
		}
	}
	if rel.Kind == catalog.MatView && d.Unique {
		s.notice(pgerr.New(pgerr.SuccessfulCompletion, "the uniqueness of rows of a materialized view is not enforced"))
		d.Unique = false
	}
	if d.Name == "" {
		d.Name = freeName(rel.Name, objectName(strings.Join(names, "_"), "", ""), "idx", relationTaken(cat, rel.Schema))
	} else if relationTaken(cat, rel.Schema)(d.Name) {
		if x.IfNotExists {
			s.notice(pgerr.New(pgerr.DuplicateTable, "relation \"%s\" already exists, skipping", d.Name))
			return nil
		}
		return pgerr.New(pgerr.DuplicateTable, "relation \"%s\" already exists", d.Name).At(x.Pos)
	}
	c.Indexes = append(c.Indexes, d)
	return s.replaceTable(rel, c, nil, d.Unique)
}

// parseStored parses an expression of the catalog.
func parseStored(text string) (ast.Expr, error) {
	e, err := parser.ParseExpr(text)
	if err != nil {
		c := *pgerr.From(err)
		c.Position = 0
		return nil, &c
	}
	return e, nil
}

// ctasRows gives the rows of CREATE TABLE .. AS.
func (s *Session) ctasRows(ctx context.Context, x *ast.CreateTable, q *planner.Query) ([]*vec.Batch, error) {
	if x.WithNoData {
		return nil, nil
	}
	p := s.bindQuery(ctx, q, nil, nil)
	defer p.Close()
	held, free := s.e.gather("CREATE TABLE AS")
	defer free()
	rows, err := drainPortal(ctx, p, held)
	if err != nil {
		return nil, err
	}
	growing := &txTable{}
	if err := s.e.askKept(`Table "`+x.Name.String()+`"`, growing.growth(rows)); err != nil {
		releaseAll(rows)
		return nil, err
	}
	return rows, nil
}

// onCommit does what ON COMMIT of temporary tables says, at the end of a transaction.
func (s *Session) onCommit(t *tx) {
	if !s.hasTemp {
		return
	}
	s.tx = t
	defer func() { s.tx = nil }()
	var drop []uint32
	for _, r := range s.catalog().Relations() {
		if !r.Temp || r.OnCommit == "" || r.Schema != s.tempName() {
			continue
		}
		tt, err := s.writable(r)
		switch {
		case r.OnCommit == "drop":
			drop = append(drop, r.OID)
			for _, q := range ownedSequences(s.catalog(), r.OID, 0) {
				drop = append(drop, q.OID)
			}
		case err == nil && tt.work != nil && tt.work.Len() > 0:
			if changes, err := s.allRows(tt); err == nil {
				if err := tt.apply(changes); err != nil {
					releaseAll(changes)
					continue
				}
				tt.changes = append(tt.changes, changes...)
			}
		}
	}
	if err := s.dropRelations(drop); err != nil {
		s.e.log.Error("temporary tables could not be dropped", "error", err)
	}
}

func (s *Session) tempName() string { return fmt.Sprintf("pg_temp_%d", s.pid) }

// allRows gives the deletion of every row of a table.
func (s *Session) allRows(tt *txTable) ([]*vec.Batch, error) {
	var changes []*vec.Batch
	err := eachBatch(tt.work.Snapshot(), s.e.alloc, func(b *vec.Batch) error {
		c := b.Project(tt.rel.Fields(), identity(len(tt.rel.Columns)))
		c.Ops = deletes(c.N)
		changes = append(changes, c)
		return nil
	})
	return changes, err
}

func identity(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// dropTemp drops the temporary relations of a session that ends.
func (s *Session) dropTemp() {
	if !s.hasTemp || s.e.closed.Load() {
		return
	}
	s.tx = s.newTx(false)
	var rels []*catalog.Relation
	for _, r := range s.catalog().Relations() {
		if r.Schema == s.tempName() {
			rels = append(rels, r)
		}
	}
	err := s.dropAll(s.catalog(), dropping{rels: rels, schemas: []string{s.tempName()}}, true)
	if err == nil {
		err = s.commit(context.Background())
	}
	if err != nil {
		s.rollback()
		s.e.log.Error("temporary tables could not be dropped", "error", err)
	}
}
