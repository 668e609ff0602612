package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"streamsql/catalog"
	"streamsql/internal/mem"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/parser/ast"
	"streamsql/sql/planner"
	"streamsql/state"
)

func releaseAll(bs []*vec.Batch) {
	for _, b := range bs {
		b.Release()
	}
}

// drainPortal gives all rows of a query that ends. They are counted by rows, which is nil or an account of their own; the query ends where they are too many.
func drainPortal(ctx context.Context, p Portal, rows *mem.Account) ([]*vec.Batch, error) {
	var out []*vec.Batch
	for {
		b, done, err := p.Fetch(ctx, 0)
		if b != nil {
			out = append(out, b)
			rows.Add(b.Bytes())
			if err == nil {
				err = rows.Check()
			}
		}
		if err != nil {
			releaseAll(out)
			return nil, err
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

// newDMLPortal makes the portal of INSERT, UPDATE, DELETE, MERGE, and of a query with such statements in WITH.
func (s *Session) newDMLPortal(st *Statement, args []types.Datum) Portal {
	d, columns := st.dml, st.columns
	var affected int64
	tag := func(rows int64) string {
		switch d.Kind {
		case planner.InsertDML:
			return fmt.Sprintf("INSERT 0 %d", affected)
		case planner.SelectDML:
			return fmt.Sprintf("SELECT %d", rows)
		}
		return fmt.Sprintf("%s %d", dmlName(d.Kind), affected)
	}
	return &valuesPortal{columns: columns, tag: tag, run: func(ctx context.Context) (out []*vec.Batch, err error) {
		defer recovered(s.e, "statement", &err)
		out, affected, err = s.executeDML(ctx, d, args)
		return out, err
	}}
}

// changesKept gives what of a statement changes tables that a read-only transaction must not change, "" if nothing does.
func changesKept(d *planner.DML) string {
	for _, m := range d.With {
		if n := changesKept(m.DML); n != "" {
			return n
		}
	}
	if d.Rel == nil || d.Rel.Temp {
		return ""
	}
	return dmlName(d.Kind)
}

// executeDML runs a change of a table in the session's transaction, or in one of
// its own. Where another session has changed the same rows meanwhile it is run again, at last with all other writers held off.
func (s *Session) executeDML(ctx context.Context, d *planner.DML, args []types.Datum) (returning []*vec.Batch, affected int64, err error) {
	if n := changesKept(d); n != "" && s.readOnly() {
		return nil, 0, errReadOnly(n)
	}
	if d.Runs {
		err = s.inTransaction(ctx, func() error {
			returning, affected, err = s.changeTables(ctx, d, args)
			return err
		}, func() {
			releaseAll(returning)
			returning = nil
		})
		return returning, affected, err
	}
	if s.tx != nil {
		return s.changeTables(ctx, d, args)
	}
	for try := 0; ; try++ {
		s.tx = s.newTx(false)
		returning, affected, err = s.changeTables(ctx, d, args)
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

// dmlRun is one execution of a statement.
type dmlRun struct {
	args []types.Datum
	// held counts the rows that the statement gathers. runs says that it calls functions whose bodies the session runs.
	held *mem.Account
	runs bool
	// rows are what the statements in WITH have returned, for those that read it.
	rows planner.GivenRows
	// changed are, by table, the rows that a statement in WITH has changed: another one leaves them alone. nil without such statements.
	changed map[uint32]map[string]bool
}

// changeTables runs a statement and the data-modifying ones in its WITH: those that are read before it, the others after it, all seeing the tables as
// they are now.
func (s *Session) changeTables(ctx context.Context, d *planner.DML, args []types.Datum) (returning []*vec.Batch, affected int64, err error) {
	held, free := s.e.gather(dmlName(d.Kind))
	defer free()
	run := &dmlRun{args: args, held: held, runs: d.Runs, rows: planner.GivenRows{}}
	// What a function changes that the statement calls is no part of the statement: it sees the tables as they have become.
	outer := s.pinned
	s.pinned = nil
	defer func() { s.pinned = outer }()
	if d.With == nil {
		return s.changeTable(ctx, d, run)
	}
	run.changed = map[uint32]map[string]bool{}
	before := s.markTx()
	s.pinned = map[uint32]*state.TableSnapshot{}
	for oid, t := range s.tx.tables {
		if t.work != nil {
			s.pinned[oid] = t.work.Snapshot()
		}
	}
	defer func() {
		for _, bs := range run.rows {
			releaseAll(bs)
		}
		if err != nil && s.tx != nil {
			s.resetTx(before)
		}
	}()
	with := func(read bool) error {
		for _, m := range d.With {
			if m.Read != read {
				continue
			}
			rows, _, err := s.changeTable(ctx, m.DML, run)
			if err != nil {
				return err
			}
			run.rows[m.Rows] = rows
		}
		return nil
	}
	if err = with(true); err != nil {
		return nil, 0, err
	}
	if d.Kind == planner.SelectDML {
		returning, err = s.drainPlan(ctx, planner.BindGiven(d.Source, args, run.rows), run)
	} else {
		returning, affected, err = s.changeTable(ctx, d, run)
	}
	if err == nil {
		err = with(false)
	}
	if err != nil {
		releaseAll(returning)
		return nil, 0, err
	}
	return returning, affected, nil
}

// changeTable computes the changes of a statement and applies them to the transaction's copy of the table, all or none.
func (s *Session) changeTable(ctx context.Context, d *planner.DML, run *dmlRun) (returning []*vec.Batch, affected int64, err error) {
	if d.Kind == planner.MergeDML || len(d.Rel.Constraints) > 0 || s.isReferred(d.Rel) { // a foreign key may change more than this table
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
	rows, err := s.drainPlan(ctx, planner.BindGiven(d.Source, run.args, run.rows), run)
	if err != nil {
		return nil, 0, err
	}
	defer func() { releaseAll(rows) }()
	c := dmlChanges{d: d}
	defer func() {
		if err != nil {
			releaseAll(c.changes)
			releaseAll(c.gone)
			releaseAll(c.come)
		}
		releaseAll(c.visible)
	}()
	width := len(d.Rel.Columns)
	switch d.Kind {
	case planner.InsertDML:
		if d.OnConflict != nil {
			if c.changes, c.affected, err = s.resolveConflicts(ctx, tt, d, rows, run); err != nil {
				return nil, 0, err
			}
			for _, b := range c.changes {
				if b.Ops == nil {
					c.visible = append(c.visible, b.Retain())
				}
			}
			break
		}
		for _, b := range rows {
			c.insert(b, 0)
		}
	case planner.UpdateDML, planner.DeleteDML:
		if rows, err = s.firstPerRow(d.Rel, rows, run); err != nil {
			return nil, 0, err
		}
		for _, b := range rows {
			c.delete(b, d.Kind == planner.DeleteDML)
		}
		if d.Kind == planner.UpdateDML {
			for _, b := range rows {
				c.insert(b, width)
			}
		}
	case planner.MergeDML:
		if err = s.mergeRows(&c, rows, run); err != nil {
			return nil, 0, err
		}
	}
	if d.HasReturning {
		if err = s.checkRows(ctx, d.Rel, c.changes); err != nil {
			return nil, 0, err
		}
		if returning, err = s.returning(ctx, d, c.visible, run); err != nil {
			return nil, 0, err
		}
	}
	update := d.Kind == planner.UpdateDML || d.OnConflict != nil
	for i, mine := range [][]*vec.Batch{c.gone, c.changes, c.come} {
		if mine == nil {
			continue
		}
		*[]*[]*vec.Batch{&c.gone, &c.changes, &c.come}[i] = nil
		if err = s.applyChanges(ctx, tt, mine, update || d.Kind == planner.MergeDML && i == 1); err != nil {
			releaseAll(returning)
			return nil, 0, err
		}
	}
	return returning, c.affected, nil
}

// dmlChanges gathers what a statement changes, and what RETURNING sees of it.
type dmlChanges struct {
	d                *planner.DML
	changes, visible []*vec.Batch // owned
	affected         int64
	// gone and come are, of MERGE, what it deletes and inserts; changes are then what it updates.
	gone, come []*vec.Batch
}

// insert adds the new rows that stand from a column on in what the statement's source gave.
func (c *dmlChanges) insert(b *vec.Batch, from int) {
	c.affected += int64(b.N)
	c.changes = append(c.changes, rowPart(c.d.Rel, b, from, vec.Insert))
	c.see(b, from)
}

// delete adds old rows; seen says that RETURNING sees them.
func (c *dmlChanges) delete(b *vec.Batch, seen bool) {
	c.changes = append(c.changes, rowPart(c.d.Rel, b, 0, vec.Delete))
	if seen {
		c.affected += int64(b.N)
		c.see(b, 0)
	}
}

// see gives RETURNING the rows from a column on, and the columns after all of them that it asked for.
func (c *dmlChanges) see(b *vec.Batch, from int) {
	if !c.d.HasReturning {
		return
	}
	schema := c.d.Changed.Schema()
	width := len(c.d.Rel.Columns)
	cols := make([]int, len(schema.Fields))
	for i := range cols {
		if cols[i] = from + i; i >= width {
			cols[i] = len(b.Cols) - len(cols) + i
		}
	}
	p := b.Project(schema, cols)
	p.Ops, p.W = nil, nil
	c.visible = append(c.visible, p)
}

// mergeRows does what MERGE's source says of each row.
func (s *Session) mergeRows(c *dmlChanges, rows []*vec.Batch, run *dmlRun) error {
	rel := c.d.Rel
	seen := map[string]bool{}
	width := len(rel.Columns)
	for _, b := range rows {
		views := b.Views(nil)
		var sel [planner.MergeInsert + 1][]int32
		for r, act := range views[len(views)-1].I32[:b.N] {
			if act == planner.MergeUpdate || act == planner.MergeDelete {
				key := rowKey(rel, views, r)
				if run.left(rel, key) {
					continue
				}
				if seen[key] && rel.PrimaryKey != nil {
					return pgerr.New(pgerr.CardinalityViolation, "MERGE command cannot affect row a second time").
						WithHint("Ensure that not more than one source row matches any one target row.")
				}
				seen[key] = true
			}
			sel[act] = append(sel[act], int32(r))
		}
		for act, rs := range sel {
			if act == int(planner.MergeNothing) || len(rs) == 0 {
				continue
			}
			c.affected += int64(len(rs))
			some := b.Select(s.e.alloc, rs)
			switch int32(act) {
			case planner.MergeUpdate:
				c.changes = append(c.changes, rowPart(rel, some, 0, vec.Delete), rowPart(rel, some, width, vec.Insert))
			case planner.MergeDelete:
				c.gone = append(c.gone, rowPart(rel, some, 0, vec.Delete))
			case planner.MergeInsert:
				c.come = append(c.come, rowPart(rel, some, width, vec.Insert))
			}
			some.Release()
		}
	}
	// All old rows go before a new one comes, as keys may move among them.
	slices.SortStableFunc(c.changes, func(x, y *vec.Batch) int { return len(y.Ops) - len(x.Ops) })
	run.keep(rel, seen)
	return nil
}

// rowKey gives what tells a row of a table: its primary key, or all of it.
func rowKey(rel *catalog.Relation, views []vec.Vec, r int) string {
	cols := rel.PrimaryKey
	if cols == nil {
		for i := range rel.Columns {
			cols = append(cols, i)
		}
	}
	ts, key := make([]types.T, len(cols)), make([]vec.Vec, len(cols))
	for i, c := range cols {
		ts[i], key[i] = rel.Columns[c].Type, views[c]
	}
	return string(vec.AppendKey(nil, key, ts, r))
}

// left says that another statement of the same WITH has changed a row.
func (r *dmlRun) left(rel *catalog.Relation, key string) bool { return r.changed[rel.OID][key] }

// keep remembers rows that have been changed.
func (r *dmlRun) keep(rel *catalog.Relation, keys map[string]bool) {
	if r.changed == nil {
		return
	}
	all := r.changed[rel.OID]
	if all == nil {
		all = map[string]bool{}
		r.changed[rel.OID] = all
	}
	for k := range keys {
		all[k] = true
	}
}

// dmlName gives the command's word.
func dmlName(k planner.DMLKind) string {
	return [...]string{planner.InsertDML: "INSERT", planner.UpdateDML: "UPDATE", planner.DeleteDML: "DELETE", planner.MergeDML: "MERGE", planner.SelectDML: "SELECT"}[k]
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
// more than once, and PostgreSQL then takes one of the matches. What another statement of the same WITH has changed is left out.
func (s *Session) firstPerRow(rel *catalog.Relation, rows []*vec.Batch, run *dmlRun) ([]*vec.Batch, error) {
	if rel.PrimaryKey == nil && run.changed == nil {
		return rows, nil
	}
	seen := map[string]bool{}
	for i, b := range rows {
		views := b.Views(nil)
		var sel []int32
		for r := range b.N {
			key := rowKey(rel, views, r)
			if seen[key] && rel.PrimaryKey != nil || run.left(rel, key) {
				continue
			}
			seen[key] = true
			sel = append(sel, int32(r))
		}
		if len(sel) < b.N {
			rows[i] = b.Select(s.e.alloc, sel)
			b.Release()
		}
	}
	run.keep(rel, seen)
	return rows, nil
}

// returning evaluates RETURNING over the rows that it sees.
func (s *Session) returning(ctx context.Context, d *planner.DML, rows []*vec.Batch, run *dmlRun) ([]*vec.Batch, error) {
	if len(rows) == 0 {
		return nil, nil
	}
	given := planner.GivenRows{d.Changed: rows}
	for g, r := range run.rows {
		given[g] = r
	}
	return s.drainPlan(ctx, planner.BindGiven(d.Returning, run.args, given), run)
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
		if o := rel.Object(cat); cat.Granted(s.who.current, &o, catalog.PrivTruncate, false) == 0 {
			return errDenied(&o)
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
				if err := s.e.setSequence(q.OID, q.Sequence.Start, false); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
