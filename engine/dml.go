package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"streamsql/catalog"
	"streamsql/exec"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/parser/ast"
	"streamsql/sql/planner"
)

func releaseAll(bs []*vec.Batch) {
	for _, b := range bs {
		b.Release()
	}
}

// drainPortal gives all rows of a query that ends.
func drainPortal(ctx context.Context, p Portal) ([]*vec.Batch, error) {
	var out []*vec.Batch
	for {
		b, done, err := p.Fetch(ctx, 0)
		if err != nil {
			releaseAll(out)
			return nil, err
		}
		if b != nil {
			out = append(out, b)
		}
		if done {
			return out, nil
		}
	}
}

// insertable checks that a relation takes INSERT or COPY.
func insertable(rel *catalog.Relation, verb string, pos int) error {
	switch rel.Kind {
	case catalog.Table:
		return nil
	case catalog.Source:
		if _, ok := rel.Option("connector"); !ok {
			return nil
		}
		return pgerr.New(pgerr.WrongObjectType, "cannot %s source \"%s\": its rows come from a connector", verb, rel.Name).
			WithHint("Create the source without a connector, or a TABLE.").At(pos)
	case catalog.System:
		return pgerr.New(pgerr.InsufficientPrivilege, "permission denied: \"%s\" is a system catalog", rel.Name).At(pos)
	}
	return pgerr.New(pgerr.WrongObjectType, "cannot %s %s \"%s\"", verb, rel.Kind, rel.Name).At(pos)
}

func returningColumns(d *planner.DML) []Column {
	if !d.HasReturning {
		return nil
	}
	out := make([]Column, len(d.ResultColumns))
	for i, f := range d.ResultColumns {
		out[i] = Column{Name: f.Name, Type: f.Type}
	}
	return out
}

// newDMLPortal makes the portal of INSERT, UPDATE and DELETE.
func (s *Session) newDMLPortal(st *Statement, args []types.Datum) Portal {
	d, columns := st.dml, st.columns
	var affected int64
	tag := func(int64) string {
		if d.Kind == planner.InsertDML {
			return fmt.Sprintf("INSERT 0 %d", affected)
		}
		return fmt.Sprintf("%s %d", dmlName(d.Kind), affected)
	}
	return &valuesPortal{columns: columns, tag: tag, run: func(ctx context.Context) (out []*vec.Batch, err error) {
		defer recovered(s.e, "statement", &err)
		out, affected, err = s.executeDML(ctx, d, args)
		return out, err
	}}
}

// executeDML runs a change of a table in the session's transaction, or in one of
// its own. Where another session has changed the same rows meanwhile it is run again, at last with all other writers held off.
func (s *Session) executeDML(ctx context.Context, d *planner.DML, args []types.Datum) (returning []*vec.Batch, affected int64, err error) {
	if s.tx != nil && s.tx.readOnly {
		return nil, 0, pgerr.New(pgerr.ReadOnlySQLTransaction, "cannot execute %s in a read-only transaction", dmlName(d.Kind))
	}
	if s.tx != nil {
		return s.changeTable(ctx, d, args)
	}
	for try := 0; ; try++ {
		s.tx = s.newTx(false)
		returning, affected, err = s.changeTable(ctx, d, args)
		if err != nil {
			s.rollback()
			return nil, 0, err
		}
		err = s.commit(ctx)
		if err == nil {
			return returning, affected, nil
		}
		releaseAll(returning)
		if pgerr.Code(err) != pgerr.SerializationFailure || try == 20 {
			return nil, 0, err
		}
	}
}

// changeTable computes the changes of a statement and applies them to the transaction's copy of the table, all or none.
func (s *Session) changeTable(ctx context.Context, d *planner.DML, args []types.Datum) (returning []*vec.Batch, affected int64, err error) {
	if len(d.Rel.Constraints) > 0 || s.isReferred(d.Rel) { // a foreign key may change more than this table
		before := s.markTx()
		defer func() {
			if err != nil && s.tx != nil {
				s.resetTx(before)
			}
		}()
	}
	tt, err := s.writable(d.Rel)
	if err != nil {
		return nil, 0, err
	}
	q := &planner.Query{Root: d.Source}
	p := s.newQueryPortal(q, planner.Bind(d.Source, args), nil, s.fnCtx(ctx))
	rows, err := drainPortal(ctx, p)
	p.Close()
	if err != nil {
		return nil, 0, err
	}
	defer func() { releaseAll(rows) }()
	width := len(d.Rel.Columns)
	var changes, visible []*vec.Batch // visible: what RETURNING sees
	defer func() {
		if err != nil {
			releaseAll(changes)
		}
		releaseAll(visible)
	}()
	part := func(b *vec.Batch, from int, op vec.Op) *vec.Batch {
		cols := make([]int, width)
		for i := range cols {
			cols[i] = from + i
		}
		c := b.Project(d.Rel.Fields(), cols)
		c.Ops, c.W = nil, nil
		if op == vec.Delete {
			c.Ops = deletes(b.N)
		}
		return c
	}
	switch d.Kind {
	case planner.InsertDML:
		for _, b := range rows {
			affected += int64(b.N)
			if d.OnConflict != nil {
				continue
			}
			changes = append(changes, part(b, 0, vec.Insert))
		}
		if d.OnConflict != nil {
			if changes, affected, err = s.resolveConflicts(ctx, tt, d, rows, args); err != nil {
				return nil, 0, err
			}
		}
		for _, c := range changes {
			if c.Ops == nil {
				visible = append(visible, c.Retain())
			}
		}
	case planner.UpdateDML:
		if rows, err = s.firstPerRow(d.Rel, rows); err != nil {
			return nil, 0, err
		}
		for _, b := range rows {
			changes = append(changes, part(b, 0, vec.Delete))
		}
		for _, b := range rows {
			affected += int64(b.N)
			n := part(b, width, vec.Insert)
			changes = append(changes, n)
			visible = append(visible, n.Retain())
		}
	case planner.DeleteDML:
		if rows, err = s.firstPerRow(d.Rel, rows); err != nil {
			return nil, 0, err
		}
		for _, b := range rows {
			affected += int64(b.N)
			changes = append(changes, part(b, 0, vec.Delete))
			visible = append(visible, part(b, 0, vec.Insert))
		}
	}
	if d.HasReturning {
		if err = s.checkRows(ctx, d.Rel, changes); err != nil {
			return nil, 0, err
		}
		if returning, err = s.returning(ctx, d, visible, args); err != nil {
			return nil, 0, err
		}
	}
	mine := changes
	changes = nil
	if err = s.applyChanges(ctx, tt, mine, d.Kind == planner.UpdateDML || d.OnConflict != nil); err != nil {
		releaseAll(returning)
		return nil, 0, err
	}
	return returning, affected, nil
}

// dmlName gives the command's word.
func dmlName(k planner.DMLKind) string {
	return [...]string{planner.InsertDML: "INSERT", planner.UpdateDML: "UPDATE", planner.DeleteDML: "DELETE"}[k]
}

func deletes(n int) []vec.Op {
	ops := make([]vec.Op, n)
	for i := range ops {
		ops[i] = vec.Delete
	}
	return ops
}

// checkNotNull refuses NULL in columns that are NOT NULL.
func checkNotNull(rel *catalog.Relation, changes []*vec.Batch) error {
	for c, col := range rel.Columns {
		if !col.NotNull {
			continue
		}
		for _, b := range changes {
			if b.Ops != nil || b.Cols[c].NullN() == 0 {
				continue
			}
			for i := range b.N {
				if !b.Cols[c].IsNull(i) {
					continue
				}
				vals := make([]string, len(rel.Columns))
				for k := range rel.Columns {
					var v vec.Vec
					v.View(b.Cols[k])
					vals[k] = "null"
					if d := v.Datum(i); d != nil {
						vals[k] = string(types.AppendText(nil, &types.Env{}, rel.Columns[k].Type, d))
					}
				}
				e := pgerr.New(pgerr.NotNullViolation, "null value in column \"%s\" of relation \"%s\" violates not-null constraint", col.Name, rel.Name).
					WithDetail("Failing row contains (%s).", strings.Join(vals, ", "))
				e.Schema, e.Table, e.Column = rel.Schema, rel.Name, col.Name
				return e
			}
		}
	}
	return nil
}

// firstPerRow leaves one change for each row of a table with a primary key: a join in UPDATE .. FROM may name a row
// more than once, and PostgreSQL then takes one of the matches.
func (s *Session) firstPerRow(rel *catalog.Relation, rows []*vec.Batch) ([]*vec.Batch, error) {
	if rel.PrimaryKey == nil {
		return rows, nil
	}
	seen := map[string]bool{}
	var ts []types.T
	for _, c := range rel.PrimaryKey {
		ts = append(ts, rel.Columns[c].Type)
	}
	var key []byte
	for i, b := range rows {
		views := b.Views(nil)
		keyCols := make([]vec.Vec, len(rel.PrimaryKey))
		for k, c := range rel.PrimaryKey {
			keyCols[k] = views[c]
		}
		var sel []int32
		for r := range b.N {
			key = vec.AppendKey(key[:0], keyCols, ts, r)
			if !seen[string(key)] {
				seen[string(key)] = true
				sel = append(sel, int32(r))
			}
		}
		if len(sel) < b.N {
			rows[i] = b.Select(s.e.alloc, sel)
			b.Release()
		}
	}
	return rows, nil
}

// returning evaluates RETURNING over the rows that it sees.
func (s *Session) returning(ctx context.Context, d *planner.DML, rows []*vec.Batch, args []types.Datum) ([]*vec.Batch, error) {
	var out []*vec.Batch
	if len(rows) == 0 {
		return nil, nil
	}
	xc := &exec.Context{Alloc: s.e.alloc, Fn: s.fnCtx(ctx), Stats: &exec.Stats{}}
	prog, err := exec.CompileExprs(xc, bindExprs(d.Returning, args), rows[0].Schema)
	if err != nil {
		return nil, err
	}
	defer prog.Close()
	b := vec.NewBuilder(s.e.alloc, vec.NewSchema(d.ResultColumns...))
	defer b.Release()
	for _, in := range rows {
		res, err := prog.Eval(in.Views(nil), in.N)
		if err != nil {
			releaseAll(out)
			return nil, err
		}
		for i, v := range res {
			if len(v.Errs) > 0 {
				releaseAll(out)
				return nil, v.Errs[0].Err
			}
			b.Cols[i].AppendRange(v, 0, in.N)
		}
		out = append(out, b.Finish())
	}
	return out, nil
}

// insertBatches inserts full rows of a relation, in the session's transaction or in one of its own. It takes the batches over.
func (s *Session) insertBatches(ctx context.Context, rel *catalog.Relation, bs []*vec.Batch) error {
	own := s.tx == nil
	if own {
		s.tx = s.newTx(false)
	}
	before := s.markTx()
	tt, err := s.writable(rel)
	if err != nil {
		releaseAll(bs)
	} else {
		err = s.applyChanges(ctx, tt, bs, false)
	}
	if err != nil {
		if own {
			s.rollback()
		} else {
			s.resetTx(before)
		}
		return err
	}
	if own {
		return s.commit(ctx)
	}
	return nil
}

// truncate executes TRUNCATE: every row is taken away, one by one for those who follow the table.
func (s *Session) truncate(ctx context.Context, x *ast.Truncate) error {
	var rels []*catalog.Relation
	cat := s.catalog()
	for _, n := range x.Names {
		rel, err := s.lookup(n, catalog.Table)
		if err != nil {
			return err
		}
		if rel.AppendOnly {
			return pgerr.New(pgerr.ObjectNotInPrerequisiteState, "cannot truncate append-only table \"%s\"", rel.Name).At(n.Pos)
		}
		if !slices.Contains(rels, rel) {
			rels = append(rels, rel)
		}
	}
	for i := 0; i < len(rels); i++ {
		from, _ := cat.Referring(rels[i].OID)
		for _, r := range from {
			if slices.Contains(rels, r) {
				continue
			}
			if !x.Cascade {
				return pgerr.New(pgerr.FeatureNotSupported, "cannot truncate a table referenced in a foreign key constraint").
					WithDetail("Table \"%s\" references \"%s\".", r.Name, rels[i].Name).
					WithHint("Truncate table \"%s\" at the same time, or use TRUNCATE ... CASCADE.", r.Name)
			}
			s.notice(pgerr.New(pgerr.SuccessfulCompletion, "truncate cascades to table \"%s\"", r.Name))
			rels = append(rels, r)
		}
	}
	for _, rel := range rels {
		tt, err := s.writable(rel)
		if err != nil {
			return err
		}
		changes, err := s.allRows(tt)
		if err == nil {
			err = tt.apply(changes)
		}
		if err != nil {
			releaseAll(changes)
			return err
		}
		tt.changes = append(tt.changes, changes...)
		if x.Restart {
			for _, q := range ownedSequences(cat, rel.OID, 0) {
				if err := s.sequenceRestart(q, nil); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func bindExprs(es []planner.Expr, args []types.Datum) []planner.Expr {
	out := make([]planner.Expr, len(es))
	for i, e := range es {
		out[i] = planner.BindExpr(e, args)
	}
	return out
}

// resolveConflicts sorts the proposed rows of INSERT .. ON CONFLICT into those to insert and those whose key is taken, and gives
// the changes that result.
func (s *Session) resolveConflicts(ctx context.Context, tt *txTable, d *planner.DML, rows []*vec.Batch, args []types.Datum) (changes []*vec.Batch, affected int64, err error) {
	rel, c := d.Rel, d.OnConflict
	ins := vec.NewBuilder(s.e.alloc, rel.Fields())
	defer ins.Release()
	pair := &vec.Schema{Fields: append(append([]vec.Field{}, rel.Fields().Fields...), rel.Fields().Fields...)}
	taken := vec.NewBuilder(s.e.alloc, pair)
	defer taken.Release()
	arbiters := arbitersOf(tt, c)
	for _, b := range rows {
		views := b.Views(nil)
		for r := range b.N {
			row := make([]types.Datum, len(rel.Columns))
			for i := range row {
				row[i] = views[i].Datum(r)
			}
			var old []types.Datum
			exists, again := false, false
			for _, a := range arbiters {
				o, held, twice, err := a.find(views, row, r)
				if err != nil {
					return nil, 0, err
				}
				if again = again || twice; held && !exists {
					old, exists = o, true
				}
			}
			switch {
			case again && c.DoNothing:
			case again:
				return nil, 0, pgerr.New(pgerr.CardinalityViolation, "ON CONFLICT DO UPDATE command cannot affect row a second time").
					WithHint("Ensure that no rows proposed for insertion within the same command have duplicate constrained values.")
			case !exists:
				ins.AppendDatums(row, vec.Insert)
			case !c.DoNothing:
				taken.AppendDatums(append(old, row...), vec.Insert)
			}
		}
	}
	if taken.Len() > 0 {
		both := taken.Finish()
		defer both.Release()
		updates, err := s.conflictUpdates(ctx, d, both, args)
		if err != nil {
			return nil, 0, err
		}
		changes = updates
		for _, u := range updates {
			if u.Ops == nil {
				affected += int64(u.N)
			}
		}
	}
	if ins.Len() > 0 {
		b := ins.Finish()
		affected += int64(b.N)
		changes = append(changes, b)
	}
	return changes, affected, nil
}

// conflictUpdates evaluates DO UPDATE over pairs of an old and a proposed row.
func (s *Session) conflictUpdates(ctx context.Context, d *planner.DML, both *vec.Batch, args []types.Datum) ([]*vec.Batch, error) {
	width := len(d.Rel.Columns)
	xc := &exec.Context{Alloc: s.e.alloc, Fn: s.fnCtx(ctx), Stats: &exec.Stats{}}
	exprs := bindExprs(d.OnConflict.Set, args)
	if d.OnConflict.Where != nil {
		exprs = append(exprs, planner.BindExpr(d.OnConflict.Where, args))
	}
	prog, err := exec.CompileExprs(xc, exprs, both.Schema)
	if err != nil {
		return nil, err
	}
	defer prog.Close()
	views := both.Views(nil)
	res, err := prog.Eval(views, both.N)
	if err != nil {
		return nil, err
	}
	for _, v := range res {
		if len(v.Errs) > 0 {
			return nil, v.Errs[0].Err
		}
	}
	var sel []int32
	for i := range both.N {
		if d.OnConflict.Where != nil {
			if w := res[width]; w.IsNull(i) || !w.Bools[i] {
				continue
			}
		}
		sel = append(sel, int32(i))
	}
	if len(sel) == 0 {
		return nil, nil
	}
	old, updated := vec.NewBuilder(s.e.alloc, d.Rel.Fields()), vec.NewBuilder(s.e.alloc, d.Rel.Fields())
	defer old.Release()
	defer updated.Release()
	for c := range width {
		old.Cols[c].Gather(&views[c], sel)
		updated.Cols[c].Gather(res[c], sel)
	}
	gone := old.Finish()
	gone.Ops = deletes(gone.N)
	return []*vec.Batch{gone, updated.Finish()}, nil
}

// arbiter is a key by which ON CONFLICT finds the row that a proposed one conflicts with.
type arbiter struct {
	cols []int
	ts   []types.T
	seen map[string]bool
	get  func(key []types.Datum) ([]types.Datum, bool, error)
}

// arbitersOf gives the keys that ON CONFLICT looks at: the one that it names, or all.
func arbitersOf(tt *txTable, c *planner.Conflict) []*arbiter {
	var out []*arbiter
	if tt.work == nil {
		return nil
	}
	add := func(cols []int, get func([]types.Datum) ([]types.Datum, bool, error)) {
		if c.Columns != nil && !slices.Equal(c.Columns, cols) {
			return
		}
		a := &arbiter{cols: cols, seen: map[string]bool{}, get: get}
		for _, k := range cols {
			a.ts = append(a.ts, tt.rel.Columns[k].Type)
		}
		out = append(out, a)
	}
	if tt.rel.PrimaryKey != nil {
		add(tt.rel.PrimaryKey, tt.work.Get)
	}
	for _, x := range tt.indexes {
		if x.unique {
			add(x.key, func(key []types.Datum) ([]types.Datum, bool, error) {
				row, ok, err := x.find(key)
				if err != nil || !ok {
					return nil, false, err
				}
				return x.fullRow(tt.work, tt.rel, row)
			})
		}
	}
	return out
}

// find gives the row that has the key of a proposed one; twice says that the command has proposed that key before.
func (a *arbiter) find(views []vec.Vec, row []types.Datum, r int) (old []types.Datum, held, twice bool, err error) {
	key, cols := make([]types.Datum, len(a.cols)), make([]vec.Vec, len(a.cols))
	for i, k := range a.cols {
		if key[i], cols[i] = row[k], views[k]; key[i] == nil {
			return nil, false, false, nil
		}
	}
	enc := string(vec.AppendKey(nil, cols, a.ts, r))
	twice = a.seen[enc]
	a.seen[enc] = true
	old, held, err = a.get(key)
	return old, held, twice, err
}
