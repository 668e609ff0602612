package engine

import (
	"context"
	"math"
	"slices"
	"strings"

	"streamsql/catalog"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// foreignKey is a foreign key with the tables on both ends as a transaction has them.
type foreignKey struct {
	c             *catalog.Constraint
	child, parent *txTable
	cols, refCols []int
}

// has reports whether the parent has a key that a child's row holds.
func (k *foreignKey) has(key []types.Datum) (bool, error) {
	conv := make([]types.Datum, len(key))
	for i, d := range key {
		v, ok := convertKey(d, k.child.rel.Columns[k.cols[i]].Type, k.parent.rel.Columns[k.refCols[i]].Type)
		if !ok {
			return false, nil
		}
		conv[i] = v
	}
	return k.parent.hasKey(k.refCols, conv)
}

// hasKey looks a key up in the primary key or a unique index of those columns.
func (tt *txTable) hasKey(cols []int, key []types.Datum) (bool, error) {
	in := func(order []int) []types.Datum {
		out := make([]types.Datum, len(order))
		for i, c := range order {
			out[i] = key[slices.Index(cols, c)]
		}
		return out
	}
	if samePermuted(cols, tt.rel.PrimaryKey) {
		_, ok, err := tt.work.Get(in(tt.rel.PrimaryKey))
		return ok, err
	}
	for _, x := range tt.indexes {
		if x.unique && samePermuted(cols, x.key) {
			_, ok, err := x.find(in(x.key))
			return ok, err
		}
	}
	return false, nil
}

// referring gives the rows of the child that hold a key of the parent.
func (k *foreignKey) referring(key []types.Datum, max int) ([][]types.Datum, error) {
	conv := make([]types.Datum, len(key))
	for i, d := range key {
		v, ok := convertKey(d, k.parent.rel.Columns[k.refCols[i]].Type, k.child.rel.Columns[k.cols[i]].Type)
		if !ok || v == nil {
			return nil, nil
		}
		conv[i] = v
	}
	for _, x := range k.child.indexes {
		if x.constraint == nil || x.constraint.OID != k.c.OID { // either may be of an older version of the table
			continue
		}
		bld := vec.NewBuilder(nil, x.schema)
		defer bld.Release()
		scan := x.rows.Snapshot().Lookup(conv, nil)
		for more := true; more && bld.Len() < max; {
			var err error
			if more, err = scan.Next(bld, min(max, vec.MaxRows)); err != nil {
				return nil, err
			}
		}
		var out [][]types.Datum
		for r := range bld.Len() {
			row := make([]types.Datum, len(bld.Cols))
			for c := range row {
				row[c] = bld.Cols[c].Datum(r)
			}
			full, ok, err := x.fullRow(k.child.work, k.child.rel, row)
			if err != nil {
				return nil, err
			}
			if ok {
				out = append(out, full)
			}
		}
		return out, nil
	}
	return nil, nil
}

// convertKey gives a value of one integer or text type as another; ok is false where it does not fit.
func convertKey(d types.Datum, from, to types.T) (types.Datum, bool) {
	if d == nil || from.Kind() == to.Kind() {
		return d, true
	}
	var n int64
	switch x := d.(type) {
	case int16:
		n = int64(x)
	case int32:
		n = int64(x)
	case int64:
		n = x
	}
	switch to.Kind() {
	case types.KindInt16:
		return int16(n), n >= math.MinInt16 && n <= math.MaxInt16
	case types.KindInt32:
		return int32(n), n >= math.MinInt32 && n <= math.MaxInt32
	}
	return n, true
}

// missing words 23503 of a row without its parent.
func (k *foreignKey) missing(key []types.Datum) error {
	child, parent := k.child.rel, k.parent.rel
	e := pgerr.New(pgerr.ForeignKeyViolation, "insert or update on table \"%s\" violates foreign key constraint \"%s\"", child.Name, k.c.Name).
		WithDetail("Key %s is not present in table \"%s\".", keyText(child, k.cols, key), parent.Name)
	e.Schema, e.Table, e.Constraint = child.Schema, child.Name, k.c.Name
	return e
}

// referenced words 23503 of a parent whose key is still used.
func (k *foreignKey) referenced(key []types.Datum) error {
	child, parent := k.child.rel, k.parent.rel
	e := pgerr.New(pgerr.ForeignKeyViolation, "update or delete on table \"%s\" violates foreign key constraint \"%s\" on table \"%s\"", parent.Name, k.c.Name, child.Name).
		WithDetail("Key %s is still referenced from table \"%s\".", keyText(parent, k.refCols, key), child.Name)
	e.Schema, e.Table, e.Constraint = child.Schema, child.Name, k.c.Name
	return e
}

// keyOf gives the values of columns of a row; null says whether there is a NULL among them, full that all are.
func keyOf(views []vec.Vec, cols []int, row int) (key []types.Datum, null, all bool) {
	key, all = make([]types.Datum, len(cols)), true
	for i, c := range cols {
		key[i] = views[c].Datum(row)
		null, all = null || key[i] == nil, all && key[i] == nil
	}
	return key, null, all
}

// foreignKeys gives the foreign keys that a relation has and those that refer to it, opened in the transaction.
func (s *Session) foreignKeys(rel *catalog.Relation) (own, referring []*foreignKey, err error) {
	cat := s.catalog()
	open := func(child *catalog.Relation, c *catalog.Constraint) (*foreignKey, error) {
		parent := cat.ByOID(c.Ref)
		if parent == nil {
			return nil, pgerr.New(pgerr.UndefinedTable, "the table that constraint \"%s\" refers to does not exist", c.Name)
		}
		ct, err := s.writable(child)
		if err != nil {
			return nil, err
		}
		pt, err := s.writable(parent)
		if err != nil {
			return nil, err
		}
		return &foreignKey{c: c, child: ct, parent: pt, cols: child.ColumnsByNum(c.Columns), refCols: parent.ColumnsByNum(c.RefColumns)}, nil
	}
	for _, c := range rel.Constraints {
		if c.Kind == catalog.ForeignConstraint {
			k, err := open(rel, c)
			if err != nil {
				return nil, nil, err
			}
			own = append(own, k)
		}
	}
	rels, keys := cat.Referring(rel.OID)
	for i, c := range keys {
		k, err := open(rels[i], c)
		if err != nil {
			return nil, nil, err
		}
		referring = append(referring, k)
	}
	return own, referring, nil
}

// afterChange enforces foreign keys once the changes of a statement have been applied to tt: rows must have their parents, and
// what refers to rows that are gone is refused, changed or deleted. Of an UPDATE changes are the old rows, then the new ones, batch
// by batch in one order.
func (s *Session) afterChange(ctx context.Context, tt *txTable, changes []*vec.Batch, update bool) error {
	if tt.work == nil {
		return nil
	}
	own, referring, err := s.foreignKeys(tt.rel)
	if err != nil || len(own)+len(referring) == 0 {
		return err
	}
	for i, b := range changes {
		if b.Ops == nil {
			continue
		}
		var after []vec.Vec
		if update {
			after = changes[i+len(changes)/2].Views(nil)
		}
		for _, k := range referring {
			if err := s.parentGone(ctx, k, b, after); err != nil {
				return err
			}
		}
	}
	for _, k := range own {
		if k.c.Deferred {
			continue
		}
		for _, b := range changes {
			if b.Ops != nil {
				continue
			}
			views := b.Views(nil)
			for r := range b.N {
				key, null, all := keyOf(views, k.cols, r)
				if null && (k.c.Match != 'f' || all) {
					continue
				}
				if null {
					e := pgerr.New(pgerr.ForeignKeyViolation, "insert or update on table \"%s\" violates foreign key constraint \"%s\"", tt.rel.Name, k.c.Name).
						WithDetail("MATCH FULL does not allow mixing of null and nonnull key values.")
					e.Schema, e.Table, e.Constraint = tt.rel.Schema, tt.rel.Name, k.c.Name
					return e
				}
				if ok, err := k.has(key); err != nil {
					return err
				} else if !ok {
					return k.missing(key)
				}
			}
		}
	}
	return nil
}

// parentGone treats the rows that refer to rows that were deleted, or updated to those in after.
func (s *Session) parentGone(ctx context.Context, k *foreignKey, gone *vec.Batch, after []vec.Vec) error {
	views := gone.Views(nil)
	action := k.c.OnDelete
	if after != nil {
		action = k.c.OnUpdate
	}
	del, ins := vec.NewBuilder(s.e.alloc, k.child.rel.Fields()), vec.NewBuilder(s.e.alloc, k.child.rel.Fields())
	defer del.Release()
	defer ins.Release()
	for r := range gone.N {
		key, null, _ := keyOf(views, k.refCols, r)
		if null {
			continue
		}
		if there, err := k.parent.hasKey(k.refCols, key); err != nil {
			return err
		} else if there && action != 'r' {
			continue
		}
		var newKey []types.Datum
		if after != nil {
			newKey, _, _ = keyOf(after, k.refCols, r)
			if slices.Equal(key, newKey) {
				continue
			}
		}
		most := math.MaxInt
		if action == 'a' || action == 'r' {
			if most = 1; k.c.Deferred && action == 'a' {
				continue
			}
		}
		rows, err := k.referring(key, most)
		if err != nil {
			return err
		}
		for _, row := range rows {
			if action == 'a' || action == 'r' {
				return k.referenced(key)
			}
			del.AppendDatums(row, vec.Insert)
			if action == 'c' && after == nil {
				continue
			}
			row = slices.Clone(row)
			for i, c := range k.cols {
				switch {
				case action == 'c':
					row[c], _ = convertKey(newKey[i], k.parent.rel.Columns[k.refCols[i]].Type, k.child.rel.Columns[c].Type)
				case action == 'n':
					row[c] = nil
				default:
					d, err := s.defaultValue(ctx, k.child.rel, c)
					if err != nil {
						return err
					}
					row[c] = d
				}
			}
			ins.AppendDatums(row, vec.Insert)
		}
	}
	if del.Len() == 0 {
		return nil
	}
	var changes []*vec.Batch
	d := del.Finish()
	d.Ops = deletes(d.N)
	changes = append(changes, d)
	if ins.Len() > 0 {
		n := ins.Finish()
		n.Ops = nil
		changes = append(changes, n)
	}
	return s.applyChanges(ctx, k.child, changes, len(changes) == 2)
}

// applyChanges checks changes, applies them to the transaction's copy and enforces foreign keys. It takes the batches over.
func (s *Session) applyChanges(ctx context.Context, tt *txTable, changes []*vec.Batch, update bool) error {
	if err := s.checkRows(ctx, tt.rel, changes); err != nil {
		releaseAll(changes)
		return err
	}
	if err := s.e.askKept(roomFor(tt.rel), tt.growth(changes)); err != nil {
		releaseAll(changes)
		return err
	}
	before := tt.mark()
	if err := tt.apply(changes); err != nil {
		releaseAll(changes)
		return err
	}
	tt.changes = append(tt.changes, changes...)
	if len(tt.rel.Constraints) == 0 && !s.isReferred(tt.rel) {
		return nil
	}
	if err := s.afterChange(ctx, tt, changes, update); err != nil {
		if before.table.work == tt.work {
			tt.restore(before)
		}
		return err
	}
	return nil
}

// roomFor names a relation that takes rows, for messages that begin with it.
func roomFor(rel *catalog.Relation) string {
	kind := rel.Kind.String()
	return strings.ToUpper(kind[:1]) + kind[1:] + ` "` + rel.Name + `"`
}

// growth tells roughly how much memory the table takes for changes. What only deletes is free: it is the way out where memory is full.
func (tt *txTable) growth(changes []*vec.Batch) (n int64) {
	const perRow = 96 // in the tree of the table, or of an index
	for _, b := range changes {
		if b.Ops == nil {
			n += b.Bytes() + int64(b.N)*perRow*int64(1+len(tt.indexes))
		}
	}
	return n
}

func (s *Session) isReferred(rel *catalog.Relation) bool {
	_, keys := s.catalog().Referring(rel.OID)
	return len(keys) > 0
}

// checkReferences validates, at COMMIT, the foreign keys of what the transaction has changed against the newest content of
// the tables: others may have changed them meanwhile, and deferred constraints have not been looked at. The caller holds e.write, and
// the changes have been applied.
func (e *Engine) checkReferences(t *tx) error {
	cat := e.Catalog()
	if t.change != nil {
		cat = t.change.apply(cat)
	}
	now := func(oid uint32) *txTable {
		if tt := t.tables[oid]; tt != nil && tt.made {
			return tt
		}
		e.cut.RLock()
		defer e.cut.RUnlock()
		r, rel := e.relations[oid], cat.ByOID(oid)
		if r == nil || rel == nil || r.table == nil {
			return nil
		}
		return &txTable{rel: rel, work: r.table, indexes: r.indexes}
	}
	check := func(child *catalog.Relation, c *catalog.Constraint, changed *txTable, parent bool) error {
		k := &foreignKey{c: c, child: now(child.OID), parent: now(c.Ref)}
		if k.child == nil || k.parent == nil {
			return nil
		}
		k.cols, k.refCols = k.child.rel.ColumnsByNum(c.Columns), k.parent.rel.ColumnsByNum(c.RefColumns)
		cols := k.cols
		if parent {
			cols = k.refCols
		}
		for _, b := range changed.changes {
			if (b.Ops != nil) != parent || len(changed.layouts) > 0 {
				continue
			}
			views := b.Views(nil)
			for r := range b.N {
				key, null, _ := keyOf(views, cols, r)
				if null {
					continue
				}
				if parent {
					there, err := k.parent.hasKey(cols, key)
					if err != nil {
						return err
					}
					if there {
						continue
					}
					if rows, err := k.referring(key, 1); err != nil {
						return err
					} else if len(rows) > 0 {
						return k.referenced(key)
					}
					continue
				}
				if ok, err := k.has(key); err != nil {
					return err
				} else if ok {
					continue
				}
				pkey := make([]types.Datum, len(key))
				for i := range key {
					v, ok := convertKey(key[i], k.child.rel.Columns[k.cols[i]].Type, k.parent.rel.Columns[k.refCols[i]].Type)
					if !ok {
						return k.missing(key)
					}
					pkey[i] = v
				}
				if rows, err := k.referring(pkey, 1); err != nil {
					return err
				} else if len(rows) > 0 {
					return k.missing(key)
				}
			}
		}
		return nil
	}
	for oid, tt := range t.tables {
		if tt.dropped || len(tt.changes) == 0 || tt.work == nil {
			continue
		}
		rel := cat.ByOID(oid)
		if rel == nil {
			continue
		}
		for _, c := range rel.Constraints {
			if c.Kind == catalog.ForeignConstraint {
				if err := check(rel, c, tt, false); err != nil {
					return err
				}
			}
		}
		rels, keys := cat.Referring(oid)
		for i, c := range keys {
			if err := check(rels[i], c, tt, true); err != nil {
				return err
			}
		}
	}
	return nil
}
