package engine

import (
	"context"
	"slices"
	"strings"

	"streamsql/catalog"
	"streamsql/internal/crash"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/sql/parser/ast"
	"streamsql/sql/planner"
)

// setResultColumns gives a relation the columns of a query, renamed by a column list.
func setResultColumns(rel *catalog.Relation, q *planner.Query, names []string) error {
	if len(names) > len(q.Columns) {
		return pgerr.New(pgerr.SyntaxError, "too many column names were specified")
	}
	for i, f := range q.Columns {
		c := catalog.Column{Name: f.Name, Type: f.Type}
		if i < len(names) {
			c.Name = names[i]
		}
		if c.Type.Is(types.Unknown) {
			c.Type = types.Text
		}
		if rel.ColumnIndex(c.Name) >= 0 {
			return pgerr.New(pgerr.DuplicateColumn, "column \"%s\" specified more than once", c.Name)
		}
		rel.Columns = append(rel.Columns, c)
	}
	return nil
}

// createView executes CREATE VIEW and CREATE MATERIALIZED VIEW.
func (s *Session) createView(ctx context.Context, x *ast.CreateView) (string, error) {
	tag := statementName(x)
	schema, name, err := s.qualify(x.Name)
	if err != nil {
		return "", err
	}
	old := s.catalog().Get(schema, name)
	replace := x.OrReplace && old != nil
	switch {
	case replace && !x.Materialized && old.Kind != catalog.View:
		return "", pgerr.New(pgerr.WrongObjectType, "\"%s\" is not a view", name).At(x.Name.Pos)
	case replace && x.Materialized && old.Kind != catalog.MatView:
		return "", pgerr.New(pgerr.WrongObjectType, "\"%s\" is not a materialized view", name).At(x.Name.Pos)
	}
	if !replace {
		if skip, err := s.taken(schema, name, x.IfNotExists, x.Name.Pos); skip || err != nil {
			return tag, err
		}
	}
	for _, o := range x.Options {
		return "", pgerr.New(pgerr.InvalidParameterValue, "unrecognized option \"%s\"", o.Name).At(o.Pos)
	}
	if x.Query.Emit != nil && !x.Materialized {
		return "", pgerr.New(pgerr.FeatureNotSupported, "a view that is not materialized cannot carry EMIT").
			WithHint("Use CREATE MATERIALIZED VIEW, or write EMIT in the query that reads the view.").At(x.Query.Emit.Pos)
	}
	o := s.planOptions(nil, x.Text)
	o.NoModifying = "views must not contain data-modifying statements in WITH"
	if x.Materialized {
		o.NoModifying = "materialized views must not use data-modifying statements in WITH"
	}
	q, err := planner.PlanView(x.Query, o)
	if err != nil && !x.Materialized && pgerr.Code(err) == pgerr.FeatureNotSupported {
		// What cannot be continuous (WITH RECURSIVE) may still be read.
		if snapshot, e := planner.PlanQuery(x.Query, s.planOptions(nil, x.Text)); e == nil {
			q, err = snapshot, nil
		}
	}
	if err != nil {
		return "", err
	}
	if len(q.Params) > 0 {
		return "", pgerr.New(pgerr.UndefinedParameter, "there is no parameter $1").At(x.Name.Pos)
	}
	if x.Materialized { // it is filled now, and its owner's rights are what counts from then on
		o.Uses.Resolve()
		if err := s.permitted(o.Uses); err != nil {
			return "", err
		}
	}
	if replace {
		if err := s.mustOwn(old.Object(s.catalog())); err != nil {
			return "", err
		}
	}
	rel := &catalog.Relation{Schema: schema, Name: name, Kind: catalog.View, Owner: s.ownerName(), Definition: x.Text, Depends: q.Depends, Calls: q.Calls, Bound: q.Bound}
	s.keepSettings(rel)
	if x.Materialized {
		rel.Kind = catalog.MatView
		if ks := q.Root.Props().Keys; len(ks) > 0 {
			rel.Key = ks[0]
		}
		rel.Retracts = q.Root.Props().Retracts
	}
	if err := setResultColumns(rel, q, x.Columns); err != nil {
		return "", err
	}
	if x.Materialized {
		if !replace {
			old = nil
		}
		if s.tx != nil {
			return tag, s.deferMatView(x, rel, old)
		}
		return tag, s.createMatView(ctx, x, rel, q, old)
	}
	s.e.write.Lock()
	defer s.e.write.Unlock()
	if replace {
		if err := replaceable(old, rel); err != nil {
			return "", err
		}
		rel.OID, rel.TypeOID, rel.ArrayOID, rel.Comment = old.OID, old.TypeOID, old.ArrayOID, old.Comment
	} else {
		if skip, err := s.taken(schema, name, x.IfNotExists, x.Name.Pos); skip || err != nil {
			return tag, err
		}
		s.e.register(rel)
	}
	s.change(&ddl{ch: &catalogChange{Put: []*catalog.Relation{rel}}})
	return tag, nil
}

// deferMatView makes a materialized view part of the transaction: until COMMIT it is read as a view, and then filled.
func (s *Session) deferMatView(x *ast.CreateView, rel, old *catalog.Relation) error {
	if old != nil {
		return pgerr.New(pgerr.ActiveSQLTransaction, "CREATE OR REPLACE MATERIALIZED VIEW cannot replace a view inside a transaction block").At(x.Name.Pos)
	}
	s.e.write.Lock()
	r := s.e.register(rel)
	s.e.write.Unlock()
	s.change(&ddl{ch: &catalogChange{Put: []*catalog.Relation{rel}}, hidden: true, last: func(ctx context.Context) error {
		o := s.planOptions(nil, x.Text)
		o.Bound = rel.Bound
		q, err := planner.PlanView(x.Query, o)
		if err != nil {
			return err
		}
		return s.fillMatView(ctx, x, rel, q, nil, r)
	}})
	return nil
}

// replaceable checks that a view may take the place of another: the old columns stay.
func replaceable(old, rel *catalog.Relation) error {
	if len(rel.Columns) < len(old.Columns) {
		return pgerr.New(pgerr.InvalidTableDefinition, "cannot drop columns from view")
	}
	for i, c := range old.Columns {
		n := rel.Columns[i]
		if n.Name != c.Name {
			return pgerr.New(pgerr.InvalidTableDefinition, "cannot change name of view column \"%s\" to \"%s\"", c.Name, n.Name).
				WithHint("Use ALTER VIEW ... RENAME COLUMN ... to change name of view column instead.")
		}
		if n.Type.OID != c.Type.OID {
			return pgerr.New(pgerr.InvalidTableDefinition, "cannot change data type of view column \"%s\" from %s to %s", c.Name, c.Type, n.Type)
		}
	}
	return nil
}

// createMatView fills a view aside, lets it catch up with the present, and publishes it in one epoch with its job. It takes
// the place of old, if that is given, which is read until then.
func (s *Session) createMatView(ctx context.Context, x *ast.CreateView, rel *catalog.Relation, q *planner.Query, old *catalog.Relation) error {
	var r *relation
	s.e.write.Lock()
	if old == nil {
		r = s.e.register(rel)
	} else {
		rel.OID, rel.TypeOID, rel.ArrayOID, rel.Comment = old.OID, old.TypeOID, old.ArrayOID, old.Comment
		r = s.e.newRelation(rel)
	}
	s.e.write.Unlock()
	return s.fillMatView(ctx, x, rel, q, old, r)
}

// fillMatView fills and publishes a view.
func (s *Session) fillMatView(ctx context.Context, x *ast.CreateView, rel *catalog.Relation, q *planner.Query, old *catalog.Relation, r *relation) error {
	if err := s.replaceableMatView(old, q, x.Name.Pos); err != nil {
		return err
	}
	j, err := s.startJob(ctx, r, q.Root, false)
	if err != nil {
		return err
	}
	rel.Writes = j.late.writes()
	if took := s.e.clock() - j.since; took >= longFill {
		s.notice(pgerr.New(pgerr.SuccessfulCompletion, "materialized view \"%s\" was filled from %d rows in %.1f s", rel.Name, j.stats.Rows, float64(took)/1e6))
	}
	s.e.write.Lock()
	defer s.e.write.Unlock()
	if err := s.publishView(x, j, old, q); err != nil {
		return err
	}
	err = s.e.persist.wait()
	if err == nil {
		crash.At(crash.DefineAfter)
	}
	return err
}

// publishView makes a filled view known, in the place of old if that is given. The caller holds e.write.
func (s *Session) publishView(x *ast.CreateView, j *job, old *catalog.Relation, q *planner.Query) error {
	rel := j.rel.rel
	c := s.e.coord
	c.step.Lock()
	defer c.step.Unlock()
	if old == nil {
		if skip, err := s.taken(rel.Schema, rel.Name, x.IfNotExists, x.Name.Pos); skip || err != nil {
			j.close()
			return err
		}
		return s.e.publishJob(j, &catalogChange{Put: []*catalog.Relation{rel}})
	}
	if err := s.replaceableMatView(old, q, x.Name.Pos); err != nil {
		j.close()
		return err
	}
	if err := s.e.publishJob(j, &catalogChange{Put: []*catalog.Relation{rel}}); err != nil {
		return err
	}
	c.jobs = slices.DeleteFunc(c.jobs, func(k *job) bool {
		if k == j || k.rel.rel.OID != rel.OID {
			return false
		}
		k.close()
		return true
	})
	s.e.failReaders(rel.OID, pgerr.New(pgerr.ObjectNotInPrerequisiteState, "materialized view \"%s\" has been replaced", rel.Name).
		WithHint("Run the query again."))
	return nil
}

// replaceableMatView checks that nothing was planned against a view that is to be replaced: the new one may take rows
// back where the old one did not, or have other columns.
func (s *Session) replaceableMatView(old *catalog.Relation, q *planner.Query, pos int) error {
	if old == nil {
		return nil
	}
	cat := s.catalog()
	if cat.ByOID(old.OID) == nil {
		return pgerr.New(pgerr.UndefinedTable, "relation \"%s\" does not exist", old.Name).At(pos)
	}
	if slices.Contains(q.Depends, old.OID) {
		return pgerr.New(pgerr.InvalidObjectDefinition, "materialized view \"%s\" cannot read itself", old.Name).At(pos)
	}
	if deps, detail := dependents(cat, []*catalog.Relation{old}, nil); len(deps) > 0 {
		return pgerr.New(pgerr.DependentObjectsStillExist, "cannot replace materialized view %s because other objects depend on it", old.Name).
			WithDetail("%s", strings.Join(detail, "\n")).WithHint("DROP ... CASCADE it, and create all of them again.").At(pos)
	}
	return nil
}

// startJob opens the job of a view and fills the view's table. again says that the view was filled before the engine
// was opened: the rows that it put aside then are still there.
func (s *Session) startJob(ctx context.Context, r *relation, root planner.Node, again bool) (*job, error) {
	fc := s.fnCtx(ctx)
	j, err := s.e.newJob(ctx, r, root, fc, s.viewer(), s.searchPath(s.catalog()), nil)
	if err != nil {
		return nil, err
	}
	// The job outlives the session: what its functions may ask must not be the session's.
	fc.Session, fc.Env.RegName = nil, nil
	j.put.muted = again
	if err = j.fill(ctx); err == nil {
		err = j.put.commit()
	}
	if err != nil {
		j.close()
		return nil, err
	}
	j.put.muted = false
	return j, nil
}

// publishJob brings a filled view up to the present epoch, makes it visible (with ch, if it is new) and puts its
// job into the schedule. The caller holds coordinator.step, and e.write where ch is given.
func (e *Engine) publishJob(j *job, ch *catalogChange) (err error) {
	defer func() {
		if err != nil {
			j.close()
		}
	}()
	for _, in := range j.graph.Inputs() {
		if e.Catalog().ByOID(in.Scan.Rel.OID) == nil {
			return pgerr.New(pgerr.UndefinedTable, "relation \"%s\", which \"%s\" reads, has been dropped meanwhile", in.Scan.Rel.Name, j.rel.rel.Name)
		}
	}
	if err := j.drain(); err != nil {
		return err
	}
	if err := j.apply(); err != nil {
		return err
	}
	if ch != nil {
		crash.At(crash.DefineFilled)
	}
	if err := e.canWrite(); err != nil {
		return err
	}
	e.unsubscribe(j.sub)
	j.sub = nil
	e.cut.Lock()
	j.rel.published = j.rel.table.Snapshot()
	e.epoch++
	if ch != nil {
		e.applyCatalog(ch)
	}
	e.persist.replaced(j.rel.rel.OID)
	e.addRelation(j.rel)
	e.cut.Unlock()
	j.keep()
	e.coord.addJob(j)
	e.coord.poke()
	return nil
}
