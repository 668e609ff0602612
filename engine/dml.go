package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"streamsql/catalog"
	"streamsql/exec"
	"streamsql/internal/mem"
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
	if s.readOnly() && !d.Rel.Temp {
		return nil, 0, errReadOnly(dmlName(d.Kind))
	}
	if d.Runs {
		err = s.inTransaction(ctx, func() error {
			returning, affected, err = s.changeTable(ctx, d, args)
			return err
		}, func() {
			releaseAll(returning)
			returning = nil
		})
		return returning, affected, err
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
	held, free := s.e.gather(dmlName(d.Kind))
	defer free()
	rows, err := s.drainPlan(ctx, planner.Bind(d.Source, args), d.Runs, held)
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
	switch d.Kind {
	case planner.InsertDML:
		for _, b := range rows {
			affected += int64(b.N)
			if d.OnConflict != nil {
				continue
			}
			changes = append(changes, rowPart(d.Rel, b, 0, vec.Insert))
		}
		if d.OnConflict != nil {
			if changes, affected, err = s.resolveConflicts(ctx, tt, d, rows, args, held); err != nil {
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
			changes = append(changes, rowPart(d.Rel, b, 0, vec.Delete))
		}
		for _, b := range rows {
			affected += int64(b.N)
			n := rowPart(d.Rel, b, width, vec.Insert)
			changes = append(changes, n)
			visible = append(visible, n.Retain())
		}
	case planner.DeleteDML:
		if rows, err = s.firstPerRow(d.Rel, rows); err != nil {
			return nil, 0, err
		}
		for _, b := range rows {
			affected += int64(b.N)
			changes = append(changes, rowPart(d.Rel, b, 0, vec.Delete))
			visible = append(visible, rowPart(d.Rel, b, 0, vec.Insert))
		}
	}
	if d.HasReturning {
		if err = s.checkRows(ctx, d.Rel, changes); err != nil {
			return nil, 0, err
		}
		if returning, err = s.returning(ctx, d, visible, args, held); err != nil {
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
func (s *Session) returning(ctx context.Context, d *planner.DML, rows []*vec.Batch, args []types.Datum, held *mem.Account) ([]*vec.Batch, error) {
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
		held.Add(out[len(out)-1].Bytes())
		if err := held.Check(); err != nil {
			releaseAll(out)
			return nil, err
		}
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
func (s *Session) resolveConflicts(ctx context.Context, tt *txTable, d *planner.DML, rows []*vec.Batch, args []types.Datum, held *mem.Account) (changes []*vec.Batch, affected int64, err error) {
	rel, c := d.Rel, d.OnConflict
	ins := vec.NewBuilder(s.e.alloc, rel.Fields())
	defer ins.Release()
	pair := &vec.Schema{Fields: append(append([]vec.Field{}, rel.Fields().Fields...), rel.Fields().Fields...)}
	taken := vec.NewBuilder(s.e.alloc, pair)
	defer taken.Release()
	arbiters := arbitersOf(tt, c)
	defer func() {
		for _, a := range arbiters {
			a.drop()
		}
	}()
	for _, b := range rows {
		views := b.Views(nil)
		for _, a := range arbiters {
			if err := a.look(b); err != nil {
				return nil, 0, err
			}
		}
		for r := range b.N {
			row := make([]types.Datum, len(rel.Columns))
			for i := range row {
				row[i] = views[i].Datum(r)
			}
			var old []types.Datum
			exists, again := false, false
			for _, a := range arbiters {
				o, held, twice, err := a.find(r)
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
		updates, err := s.conflictUpdates(ctx, d, both, args, held)
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
func (s *Session) conflictUpdates(ctx context.Context, d *planner.DML, both *vec.Batch, args []types.Datum, held *mem.Account) ([]*vec.Batch, error) {
	c := d.OnConflict
	rows, err := s.drainPlan(ctx, planner.BindGiven(c.Update, args, planner.GivenRows{c.Pairs: {both}}), d.Runs, held)
	if err != nil {
		return nil, err
	}
	defer releaseAll(rows)
	var out []*vec.Batch
	for _, b := range rows {
		out = append(out, rowPart(d.Rel, b, 0, vec.Delete))
	}
	for _, b := range rows {
		out = append(out, rowPart(d.Rel, b, len(d.Rel.Columns), vec.Insert))
	}
	return out, nil
}

// drainPlan gives all rows of a plan, which are counted by held; runs says that it calls functions whose bodies the session runs.
func (s *Session) drainPlan(ctx context.Context, root planner.Node, runs bool, held *mem.Account) ([]*vec.Batch, error) {
	p := s.newQueryPortal(&planner.Query{Root: root, Runs: runs}, root, nil, s.fnCtx(ctx))
	defer p.Close()
	return drainPortal(ctx, p, held)
}

// rowPart gives the rows of a table that stand in a batch from a column on, as rows to delete or to insert.
func rowPart(rel *catalog.Relation, b *vec.Batch, from int, op vec.Op) *vec.Batch {
	cols := make([]int, len(rel.Columns))
	for i := range cols {
		cols[i] = from + i
	}
	c := b.Project(rel.Fields(), cols)
	c.Ops, c.W = nil, nil
	if op == vec.Delete {
		c.Ops = deletes(b.N)
	}
	return c
}

// arbiter is a key by which ON CONFLICT finds the row that a proposed one conflicts with.
type arbiter struct {
	ts   []types.T
	seen map[string]bool
	get  func(key []types.Datum) ([]types.Datum, bool, error)
	// image gives what the index holds of proposed rows, the key first, and of which of them, nil if of all.
	image func(b *vec.Batch) (*vec.Batch, []int32, error)
	// Of the batch of proposed rows that is being looked at: the keys, and for each row which of them is its, -1 none.
	keys []vec.Vec
	at   []int32
	held *vec.Batch
}

// arbitersOf gives the keys that ON CONFLICT looks at: those that it names, or all.
func arbitersOf(tt *txTable, c *planner.Conflict) []*arbiter {
	var out []*arbiter
	if tt.work == nil {
		return nil
	}
	named := func(oid uint32) bool { return c.Arbiters == nil || slices.Contains(c.Arbiters, oid) }
	if pk := tt.rel.PrimaryKey; pk != nil && named(tt.rel.PrimaryKeyOID) {
		a := &arbiter{seen: map[string]bool{}, get: tt.work.Get}
		schema := &vec.Schema{Fields: keyFields(tt.rel, pk)}
		for _, f := range schema.Fields {
			a.ts = append(a.ts, f.Type)
		}
		a.image = func(b *vec.Batch) (*vec.Batch, []int32, error) { return b.Project(schema, pk), nil, nil }
		out = append(out, a)
	}
	for _, x := range tt.indexes {
		if !x.unique || !named(x.oid) {
			continue
		}
		a := &arbiter{seen: map[string]bool{}, image: x.image}
		for _, f := range x.schema.Fields[:len(x.key)] {
			a.ts = append(a.ts, f.Type)
		}
		a.get = func(key []types.Datum) ([]types.Datum, bool, error) {
			row, ok, err := x.find(key)
			if err != nil || !ok {
				return nil, false, err
			}
			return x.fullRow(tt.work, tt.rel, row)
		}
		out = append(out, a)
	}
	return out
}

// look takes a batch of proposed rows.
func (a *arbiter) look(b *vec.Batch) error {
	p, of, err := a.image(b)
	if err != nil {
		return err
	}
	a.drop()
	a.held, a.keys, a.at = p, p.Views(nil)[:len(a.ts)], make([]int32, b.N)
	for i := range a.at {
		if a.at[i] = int32(i); of != nil {
			a.at[i] = -1
		}
	}
	for i, r := range of {
		a.at[r] = int32(i)
	}
	return nil
}

func (a *arbiter) drop() {
	if a.held != nil {
		a.held.Release()
		a.held = nil
	}
}

// find gives the row that has the key of a proposed one; twice says that the command has proposed that key before.
func (a *arbiter) find(r int) (old []types.Datum, held, twice bool, err error) {
	at := int(a.at[r])
	if at < 0 {
		return nil, false, false, nil
	}
	key := make([]types.Datum, len(a.keys))
	for i := range key {
		if key[i] = a.keys[i].Datum(at); key[i] == nil {
			return nil, false, false, nil
		}
	}
	enc := string(vec.AppendKey(nil, a.keys, a.ts, at))
	twice = a.seen[enc]
	a.seen[enc] = true
	old, held, err = a.get(key)
	return old, held, twice, err
}
