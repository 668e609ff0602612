package engine

import (
	"errors"
	"slices"
	"strings"

	"streamsql/catalog"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/parser/ast"
	"streamsql/state"
)

// tableIndex finds the rows of a table by other columns than its primary key: the keys of UNIQUE constraints and the
// columns of foreign keys. It is kept with the table, in memory and in the store.
type tableIndex struct {
	oid    uint32 // of the index, or of the foreign key
	name   string
	unique bool
	key    []int // columns of the table
	// cols are the columns of the table that rows hold: key, then what identifies the row.
	cols   []int
	schema *vec.Schema
	rows   *state.Table // with a key if unique: rows with NULL in the key are left out
	// constraint is the foreign key or unique constraint, nil of CREATE UNIQUE INDEX.
	constraint *catalog.Constraint
}

// newIndexes makes the empty indexes of a table.
func newIndexes(rel *catalog.Relation) []*tableIndex {
	var out []*tableIndex
	if rel.Kind != catalog.Table {
		return nil
	}
	for _, x := range rel.AllIndexes() {
		if x.Unique && !x.Primary && x.Where == "" && !slices.Contains(x.Columns, -1) {
			out = append(out, newIndex(rel, x.OID, x.Name, x.Columns, true, x.Constraint))
		}
	}
	for _, c := range rel.Constraints {
		if c.Kind == catalog.ForeignConstraint {
			out = append(out, newIndex(rel, c.OID, c.Name, rel.ColumnsByNum(c.Columns), false, c))
		}
	}
	return out
}

func newIndex(rel *catalog.Relation, oid uint32, name string, key []int, unique bool, c *catalog.Constraint) *tableIndex {
	x := &tableIndex{oid: oid, name: name, unique: unique, key: key, cols: slices.Clone(key), schema: &vec.Schema{}, constraint: c}
	rest := rel.PrimaryKey
	if rest == nil {
		for i := range rel.Columns {
			rest = append(rest, i)
		}
	}
	for _, i := range rest {
		if !slices.Contains(x.cols, i) {
			x.cols = append(x.cols, i)
		}
	}
	for _, i := range x.cols {
		x.schema.Fields = append(x.schema.Fields, vec.Field{Name: rel.Columns[i].Name, Type: rel.Columns[i].Type})
	}
	x.rows = state.NewTable(x.schema, x.first())
	x.rows.SetName(name)
	return x
}

// first gives the key of the index's own rows.
func (x *tableIndex) first() (key []int) {
	if x.unique {
		for i := range x.key {
			key = append(key, i)
		}
	}
	return key
}

// indexPool is where the few rows that an index leaves some out of are copied.
var indexPool = vec.NewPool()

func cloneIndexes(xs []*tableIndex) []*tableIndex {
	if len(xs) == 0 {
		return nil
	}
	out := make([]*tableIndex, len(xs))
	for i, x := range xs {
		c := *x
		c.rows = x.rows.Clone()
		out[i] = &c
	}
	return out
}

// apply takes the changes of the table into the index.
func (x *tableIndex) apply(b *vec.Batch) error {
	p := b.Project(x.schema, x.cols)
	defer p.Release()
	p.W = nil
	if x.unique {
		var sel []int32
		nulls := false
		for i := range b.N {
			null := false
			for k := range x.key {
				null = null || p.Cols[k].IsNull(i)
			}
			if null {
				nulls = true
			} else {
				sel = append(sel, int32(i))
			}
		}
		if nulls {
			s := p.Select(indexPool, sel)
			defer s.Release()
			return x.rows.Apply(s)
		}
	}
	return x.rows.Apply(p)
}

// find gives the row of the index that has a key; ok is false if there is none. Only of a unique one.
func (x *tableIndex) find(key []types.Datum) (row []types.Datum, ok bool, err error) {
	if slices.Contains(key, nil) {
		return nil, false, nil
	}
	return x.rows.Get(key)
}

// fullRow gives the row of the table that a row of the index stands for.
func (x *tableIndex) fullRow(t *state.Table, rel *catalog.Relation, row []types.Datum) ([]types.Datum, bool, error) {
	if rel.PrimaryKey != nil {
		key := make([]types.Datum, len(rel.PrimaryKey))
		for i, c := range rel.PrimaryKey {
			key[i] = row[slices.Index(x.cols, c)]
		}
		return t.Get(key)
	}
	out := make([]types.Datum, len(rel.Columns))
	for i, c := range x.cols {
		out[c] = row[i]
	}
	return out, true, nil
}

func fillIndexes(rel *catalog.Relation, t *state.Table, xs []*tableIndex, alloc vec.Allocator) error {
	if len(xs) == 0 || t == nil {
		return nil
	}
	return eachBatch(t.Snapshot(), alloc, func(b *vec.Batch) error {
		for _, x := range xs {
			if err := x.apply(b); err != nil {
				var dup *state.DuplicateKey
				if errors.As(err, &dup) {
					return notUnique(rel, x.name, x.key, dup)
				}
				return err
			}
		}
		return nil
	})
}

// eachBatch calls f with the rows of a table, in pieces.
func eachBatch(s *state.TableSnapshot, alloc vec.Allocator, f func(*vec.Batch) error) error {
	scan := s.Scan(nil)
	bld := vec.NewBuilder(alloc, s.Schema())
	defer bld.Release()
	for more := true; more; {
		var err error
		if more, err = scan.Next(bld, vec.MaxRows); err != nil {
			return err
		}
		if bld.Len() == 0 {
			continue
		}
		b := bld.Finish()
		err = f(b)
		b.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// keyText words the values of a key: (a, b)=(1, x).
func keyText(rel *catalog.Relation, cols []int, key []types.Datum) string {
	names, vals := make([]string, len(cols)), make([]string, len(cols))
	for i, c := range cols {
		names[i] = rel.Columns[c].Name
		vals[i] = "null"
		if i < len(key) && key[i] != nil {
			vals[i] = string(types.AppendText(nil, &types.Env{}, rel.Columns[c].Type, key[i]))
		}
	}
	return "(" + strings.Join(names, ", ") + ")=(" + strings.Join(vals, ", ") + ")"
}

// duplicate words 23505 of an INSERT or UPDATE.
func duplicate(rel *catalog.Relation, name string, cols []int, dup *state.DuplicateKey) error {
	e := pgerr.New(pgerr.UniqueViolation, "duplicate key value violates unique constraint \"%s\"", name).
		WithDetail("Key %s already exists.", keyText(rel, cols, dup.Key))
	e.Schema, e.Table, e.Constraint = rel.Schema, rel.Name, name
	return e
}

// notUnique words 23505 of an index that cannot be made.
func notUnique(rel *catalog.Relation, name string, cols []int, dup *state.DuplicateKey) error {
	e := pgerr.New(pgerr.UniqueViolation, "could not create unique index \"%s\"", name).
		WithDetail("Key %s is duplicated.", keyText(rel, cols, dup.Key))
	e.Schema, e.Table, e.Constraint = rel.Schema, rel.Name, name
	return e
}

// apply puts changes into the transaction's copy and its indexes, all or none.
func (tt *txTable) apply(changes []*vec.Batch) (err error) {
	if tt.work == nil {
		return nil
	}
	before := tt.mark()
	defer func() {
		if err != nil {
			tt.restore(before)
		}
	}()
	for _, b := range changes {
		var dup *state.DuplicateKey
		if err := tt.work.Apply(b); err != nil {
			if errors.As(err, &dup) {
				return duplicate(tt.rel, tt.rel.PrimaryKeyName, tt.rel.PrimaryKey, dup)
			}
			return err
		}
		for _, x := range tt.indexes {
			if err := x.apply(b); err != nil {
				if errors.As(err, &dup) {
					return duplicate(tt.rel, x.name, x.key, dup)
				}
				return err
			}
		}
	}
	return nil
}

// alterIndex executes ALTER INDEX .. RENAME TO.
func (s *Session) alterIndex(x *ast.Alter) error {
	cat := s.catalog()
	ix := cat.FindIndex(x.Name.Schema(), x.Name.Base(), s.searchPath(cat))
	if ix == nil {
		if x.IfExists {
			s.notice(pgerr.New(pgerr.SuccessfulCompletion, "relation \"%s\" does not exist, skipping", x.Name.Base()))
			return nil
		}
		return pgerr.New(pgerr.UndefinedTable, "relation \"%s\" does not exist", x.Name.String()).At(x.Name.Pos)
	}
	for _, a := range x.Actions {
		switch a.Action {
		case "rename to":
			if relationTaken(cat, ix.Rel.Schema)(a.NewName) {
				return pgerr.New(pgerr.DuplicateTable, "relation \"%s\" already exists", a.NewName)
			}
			c := ix.Rel.Clone()
			switch {
			case ix.Primary:
				c.PrimaryKeyName = a.NewName
			case ix.Constraint != nil:
				c.FindConstraint(ix.Name).Name = a.NewName
			default:
				for _, d := range c.Indexes {
					if d.OID == ix.OID {
						d.Name = a.NewName
					}
				}
			}
			if err := s.replaceTable(ix.Rel, c, nil, ix.Rel.Kind == catalog.Table); err != nil {
				return err
			}
		case "owner to", "set", "reset", "set tablespace":
		default:
			return unsupportedAlter(x, a.Action)
		}
	}
	return nil
}
