package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"streamsql/catalog"
	"streamsql/exec"
	"streamsql/internal/pgerr"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
	"streamsql/state"
)

// rewrite computes the rows of a table anew.
type rewrite struct {
	// exprs give each column of the new table over the columns of the old one; nil: the rows stay as they are.
	exprs []planner.Expr
	// from says for each column where the same values stood before, -1 nowhere.
	from []int
	// explain words an error of the new rows; may be nil.
	explain func(error) error
	// checks lists the CHECK constraints that old rows have not been held against; all checks NOT NULL too.
	checks []*catalog.Constraint
}

// replaceTable puts next in the place of rel, and with content makes the rows anew: so that they have the columns, keys and
// constraints that next says.
func (s *Session) replaceTable(rel, next *catalog.Relation, w *rewrite, content bool) error {
	return s.replaceRows(context.Background(), rel, next, w, content)
}

func (s *Session) replaceRows(ctx context.Context, rel, next *catalog.Relation, w *rewrite, content bool) (err error) {
	s.e.write.Lock()
	s.e.registerParts(next)
	s.e.write.Unlock()
	d := &ddl{ch: &catalogChange{Put: []*catalog.Relation{next}}}
	if !content {
		s.change(d)
		if tt := s.tx.tables[next.OID]; tt != nil && (tt.made || tt.rewritten) {
			tt.rel = next
		}
		return nil
	}
	next.LayoutVersion = rel.LayoutVersion + 1
	if w == nil {
		w = &rewrite{}
	}
	moved := w.from != nil && !prefix(w.from, len(rel.Columns))
	if moved || w.exprs != nil && rel.Kind == catalog.Source {
		if err := s.movable(rel); err != nil {
			return err
		}
	}
	if w.from != nil {
		oid, before := rel.OID, rel
		d.layout = func() { s.e.moveColumns(oid, before, next) }
	}
	if moved {
		d.after = func() {
			s.e.failReaders(rel.OID, pgerr.New(pgerr.ObjectNotInPrerequisiteState, "columns of %s \"%s\" have been altered", rel.Kind, rel.Name).
				WithHint("Run the query again."))
		}
	}
	if rel.Kind != catalog.Table {
		s.change(d)
		return nil
	}
	d.ch.Rewrite = []uint32{rel.OID}
	tt, err := s.writable(rel)
	if err != nil {
		return err
	}
	work, err := s.newRows(ctx, tt, next, w)
	if err != nil {
		return err
	}
	indexes, err := newIndexes(next, s.planOptions(nil, ""))
	if err != nil {
		return err
	}
	if err := fillIndexes(next, work, indexes, s.e.alloc); err != nil {
		return err
	}
	s.e.trackIndexes(indexes)
	if w.from != nil && !tt.made {
		tt.layouts = append(slices.Clip(tt.layouts), layoutChange{at: len(tt.changes), from: w.from, rel: next})
	}
	tt.rel, tt.work, tt.indexes, tt.rewritten = next, work, indexes, true
	s.change(d)
	return nil
}

// prefix says that the first n columns are where they were.
func prefix(from []int, n int) bool {
	if len(from) < n {
		return false
	}
	for i := range n {
		if from[i] != i {
			return false
		}
	}
	return true
}

// newRows makes the rows of a table for its new definition.
func (s *Session) newRows(ctx context.Context, tt *txTable, next *catalog.Relation, w *rewrite) (*state.Table, error) {
	schema := next.Fields()
	work := state.NewTable(schema, next.PrimaryKey)
	if s.e.stores(next) {
		work.Track()
	}
	work.SetName(next.Name)
	var prog *exec.Program
	if w.exprs != nil {
		var err error
		if prog, err = exec.CompileExprs(s.execCtx(ctx), w.exprs, tt.work.Schema()); err != nil {
			return nil, err
		}
		defer prog.Close()
	}
	var checks []rowCheck
	for _, c := range w.checks {
		cs, err := s.rowChecks(next, c)
		if err != nil {
			return nil, err
		}
		checks = append(checks, cs...)
	}
	explain := func(err error) error {
		if err != nil && w.explain != nil {
			return w.explain(err)
		}
		return err
	}
	err := eachBatch(tt.work.Snapshot(), s.e.alloc, func(b *vec.Batch) error {
		out := b.Retain()
		defer func() { out.Release() }()
		if prog != nil {
			res, err := prog.Eval(b.Views(nil), b.N)
			if err != nil {
				return err
			}
			bld := vec.NewBuilder(s.e.alloc, schema)
			defer bld.Release()
			for i, v := range res {
				if len(v.Errs) > 0 {
					return v.Errs[0].Err
				}
				bld.Cols[i].AppendRange(v, 0, b.N)
			}
			for i := 0; len(res) == 0 && i < b.N; i++ { // rows without columns
				bld.AppendOp(vec.Insert)
			}
			out.Release()
			out = bld.Finish()
			out.Ops = nil
		}
		if err := checkNotNull(next, []*vec.Batch{out}); err != nil {
			col := pgerr.From(err).Column
			e := pgerr.New(pgerr.NotNullViolation, "column \"%s\" of relation \"%s\" contains null values", col, next.Name)
			e.Schema, e.Table, e.Column = next.Schema, next.Name, col
			return e
		}
		if len(checks) > 0 {
			if err := s.runChecks(ctx, checks, schema, []*vec.Batch{out}); err != nil {
				return explain(err)
			}
		}
		if err := work.Apply(out); err != nil {
			var dup *state.DuplicateKey
			if errors.As(err, &dup) {
				return notUnique(next, next.PrimaryKeyName, columnNames(next, next.PrimaryKey), keyFields(next, next.PrimaryKey), dup)
			}
			return err
		}
		return nil
	})
	return work, err
}

// movable refuses to move columns of a relation where what runs on it cannot follow: a connector that fills it, sinks, and
// what puts rows into it.
func (s *Session) movable(rel *catalog.Relation) error {
	refuse := func(by string) error {
		return pgerr.New(pgerr.DependentObjectsStillExist, "cannot change the columns of %s \"%s\" because %s", rel.Kind, rel.Name, by).
			WithHint("Drop it first, and create it again.")
	}
	if c, ok := rel.Option("connector"); ok {
		return refuse(fmt.Sprintf("connector %s fills it", c))
	}
	for _, r := range s.catalog().Relations() {
		switch {
		case r.Kind == catalog.Sink && slices.Contains(r.Depends, rel.OID):
			return refuse(fmt.Sprintf("sink %s depends on it", r.Name))
		case slices.Contains(r.Writes, rel.OID):
			return refuse(fmt.Sprintf("%s %s puts rows into it", r.Kind, r.Name))
		}
	}
	return nil
}

// moveColumns tells the jobs that read a relation where its columns stand now. It runs in a step of the coordinator.
func (e *Engine) moveColumns(oid uint32, old, next *catalog.Relation) {
	for _, j := range e.coord.jobs {
		for _, f := range j.feeds {
			if f.scan.Rel.OID != oid {
				continue
			}
			scan := *f.scan
			scan.Rel = next
			scan.Cols = slices.Clone(f.scan.Cols)
			for i, c := range scan.Cols {
				scan.Cols[i] = next.ColumnByNum(old.Attnum(c))
			}
			f.scan = &scan
		}
	}
}

// identityRow gives the expressions and origins of a table that stays as it is.
func identityRow(rel *catalog.Relation) (exprs []planner.Expr, from []int) {
	for i, c := range rel.Columns {
		exprs = append(exprs, &planner.Column{Index: i, Typ: c.Type, Name: c.Name})
		from = append(from, i)
	}
	return exprs, from
}
