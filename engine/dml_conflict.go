package engine

import (
	"context"
	"slices"

	"streamsql/catalog"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
)

// resolveConflicts sorts the proposed rows of INSERT .. ON CONFLICT into those to insert and those whose key is taken, and gives
// the changes that result.
func (s *Session) resolveConflicts(ctx context.Context, tt *txTable, d *planner.DML, rows []*vec.Batch, run *dmlRun) (changes []*vec.Batch, affected int64, err error) {
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
		updates, err := s.conflictUpdates(ctx, d, both, run)
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
func (s *Session) conflictUpdates(ctx context.Context, d *planner.DML, both *vec.Batch, run *dmlRun) ([]*vec.Batch, error) {
	c := d.OnConflict
	given := planner.GivenRows{c.Pairs: {both}}
	for g, r := range run.rows {
		given[g] = r
	}
	rows, err := s.drainPlan(ctx, planner.BindGiven(c.Update, run.args, given), run)
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

// drainPlan gives all rows of a plan of the statement that runs.
func (s *Session) drainPlan(ctx context.Context, root planner.Node, run *dmlRun) ([]*vec.Batch, error) {
	p := s.newQueryPortal(&planner.Query{Root: root, Runs: run.runs}, root, nil, s.fnCtx(ctx))
	defer p.Close()
	return drainPortal(ctx, p, run.held)
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
