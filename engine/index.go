package engine

import (
	"errors"
	"slices"
	"strings"

	"streamsql/catalog"
	"streamsql/exec"
	"streamsql/internal/fn"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/parser/ast"
	"streamsql/sql/planner"
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
	// computed is set where the key has expressions, or the index a condition. Of an expression key and cols hold -1.
	computed *planner.IndexKey
	text     string // what tells the expressions and the condition
	// constraint is the foreign key or unique constraint, nil of CREATE UNIQUE INDEX.
	constraint *catalog.Constraint
}

// newIndexes makes the empty indexes of a table. o is what expressions of indexes are bound with; a table that is being made has none yet (nil).
func newIndexes(rel *catalog.Relation, o *planner.Options) ([]*tableIndex, error) {
	var out []*tableIndex
	if rel.Kind != catalog.Table {
		return nil, nil
	}
	for _, x := range rel.AllIndexes() {
		switch {
		case !x.Unique || x.Primary:
		case o == nil && (x.Where != "" || slices.Contains(x.Columns, -1)):
		case x.Where == "" && !slices.Contains(x.Columns, -1):
			out = append(out, newIndex(rel, x.OID, x.Name, x.Columns, true, x.Constraint, nil))
		default:
			k, err := planner.BindIndex(&x, o)
			if err != nil {
				return nil, err
			}
			n := newIndex(rel, x.OID, x.Name, x.Columns, true, nil, k)
			n.text = x.Definition()
			out = append(out, n)
		}
	}
	for _, c := range rel.Constraints {
		if c.Kind == catalog.ForeignConstraint {
			out = append(out, newIndex(rel, c.OID, c.Name, rel.ColumnsByNum(c.Columns), false, c, nil))
		}
	}
	return out, nil
}

func newIndex(rel *catalog.Relation, oid uint32, name string, key []int, unique bool, c *catalog.Constraint, computed *planner.IndexKey) *tableIndex {
	x := &tableIndex{oid: oid, name: name, unique: unique, key: key, cols: slices.Clone(key), schema: &vec.Schema{}, constraint: c, computed: computed}
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
	for i, c := range x.cols {
		f := vec.Field{Name: "expr"}
		if c >= 0 {
			f.Name, f.Type = rel.Columns[c].Name, rel.Columns[c].Type
		} else {
			f.Type = computed.Exprs[i].Type()
		}
		x.schema.Fields = append(x.schema.Fields, f)
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
	p, _, err := x.image(b)
	if err != nil {
		return err
	}
	defer p.Release()
	return x.rows.Apply(p)
}

// image gives what the index holds of rows of the table: of which of them, nil if of all.
func (x *tableIndex) image(b *vec.Batch) (p *vec.Batch, of []int32, err error) {
	if x.computed != nil {
		return x.compute(b)
	}
	p = b.Project(x.schema, x.cols)
	p.W = nil
	if !x.unique {
		return p, nil, nil
	}
	var sel []int32
	for i := range b.N {
		null := false
		for k := range x.key {
			null = null || p.Cols[k].IsNull(i)
		}
		if !null {
			sel = append(sel, int32(i))
		}
	}
	if len(sel) == b.N {
		return p, nil, nil
	}
	defer p.Release()
	return p.Select(indexPool, sel), sel, nil
}

// compute is image of an index with expressions or a condition. The functions in them are immutable: they need no session.
func (x *tableIndex) compute(b *vec.Batch) (p *vec.Batch, of []int32, err error) {
	var exprs []planner.Expr
	for i, e := range x.computed.Exprs {
		if e == nil {
			c := x.key[i]
			e = &planner.Column{Index: c, Typ: b.Schema.Fields[c].Type, Name: b.Schema.Fields[c].Name}
		}
		exprs = append(exprs, e)
	}
	if x.computed.Where != nil {
		exprs = append(exprs, x.computed.Where)
	}
	xc := &exec.Context{Alloc: indexPool, Fn: &fn.Ctx{Alloc: indexPool}, Stats: &exec.Stats{}}
	prog, err := exec.CompileExprs(xc, exprs, b.Schema)
	if err != nil {
		return nil, nil, err
	}
	defer prog.Close()
	views := b.Views(nil)
	res, err := prog.Eval(views, b.N)
	if err != nil {
		return nil, nil, err
	}
	key := res[:len(x.key)]
	of = make([]int32, 0, b.N)
	for i := range b.N {
		in := true
		if x.computed.Where != nil {
			if err := errorAt(res[len(x.key)], i); err != nil {
				return nil, nil, err
			}
			w := res[len(x.key)]
			in = !w.IsNull(i) && w.Bools[i]
		}
		for _, k := range key {
			if !in {
				break
			}
			if err := errorAt(k, i); err != nil {
				return nil, nil, err
			}
			in = !k.IsNull(i)
		}
		if in {
			of = append(of, int32(i))
		}
	}
	bld := vec.NewBuilder(indexPool, x.schema)
	defer bld.Release()
	for i, c := range x.cols {
		v := &vec.Vec{}
		if i < len(key) {
			v = key[i]
		} else {
			v = &views[c]
		}
		bld.Cols[i].Gather(v, of)
	}
	p = bld.Finish()
	p.N = len(of)
	if b.Ops != nil {
		p.Ops = make([]vec.Op, len(of))
		for i, r := range of {
			p.Ops[i] = b.Ops[r]
		}
	}
	return p, of, nil
}

// errorAt gives the error of a row, nil if it has none.
func errorAt(v *vec.Vec, row int) error {
	for _, e := range v.Errs {
		if int(e.Row) == row {
			return e.Err
		}
	}
	return nil
}

// columnNames gives what messages call the columns of the key.
func (x *tableIndex) columnNames(rel *catalog.Relation) []string {
	if x.computed != nil {
		return x.computed.Names
	}
	return columnNames(rel, x.key)
}

func columnNames(rel *catalog.Relation, cols []int) []string {
	out := make([]string, len(cols))
	for i, c := range cols {
		out[i] = rel.Columns[c].Name
	}
	return out
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
		if c >= 0 {
			out[c] = row[i]
		}
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
					return notUnique(rel, x.name, x.columnNames(rel), x.schema.Fields, dup)
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

// keyText words the values of columns of a table: (a, b)=(1, x).
func keyText(rel *catalog.Relation, cols []int, key []types.Datum) string {
	return namedKey(columnNames(rel, cols), keyFields(rel, cols), key)
}

func namedKey(names []string, fields []vec.Field, key []types.Datum) string {
	vals := make([]string, len(names))
	for i := range names {
		vals[i] = "null"
		if i < len(key) && key[i] != nil {
			vals[i] = string(types.AppendText(nil, &types.Env{}, fields[i].Type, key[i]))
		}
	}
	return "(" + strings.Join(names, ", ") + ")=(" + strings.Join(vals, ", ") + ")"
}

// keyFields describes columns of a table.
func keyFields(rel *catalog.Relation, cols []int) []vec.Field {
	out := make([]vec.Field, len(cols))
	for i, c := range cols {
		out[i] = vec.Field{Name: rel.Columns[c].Name, Type: rel.Columns[c].Type}
	}
	return out
}

// duplicate words 23505 of an INSERT or UPDATE.
func duplicate(rel *catalog.Relation, name string, columns []string, fields []vec.Field, dup *state.DuplicateKey) error {
	e := pgerr.New(pgerr.UniqueViolation, "duplicate key value violates unique constraint \"%s\"", name).
		WithDetail("Key %s already exists.", namedKey(columns, fields, dup.Key))
	e.Schema, e.Table, e.Constraint = rel.Schema, rel.Name, name
	return e
}

// notUnique words 23505 of an index that cannot be made.
func notUnique(rel *catalog.Relation, name string, columns []string, fields []vec.Field, dup *state.DuplicateKey) error {
	e := pgerr.New(pgerr.UniqueViolation, "could not create unique index \"%s\"", name).
		WithDetail("Key %s is duplicated.", namedKey(columns, fields, dup.Key))
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
				return duplicate(tt.rel, tt.rel.PrimaryKeyName, columnNames(tt.rel, tt.rel.PrimaryKey), keyFields(tt.rel, tt.rel.PrimaryKey), dup)
			}
			return err
		}
		for _, x := range tt.indexes {
			if err := x.apply(b); err != nil {
				if errors.As(err, &dup) {
					return duplicate(tt.rel, x.name, x.columnNames(tt.rel), x.schema.Fields, dup)
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
	if err := s.mustOwnIndex(ix); err != nil {
		return err
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
