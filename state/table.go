package state

import (
	"bytes"
	"slices"
	"unsafe"

	"github.com/tidwall/btree"
	"github.com/zeebo/xxh3"

	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// Table is a multiset of rows with versions: the rows behind a table or a
// materialized view. With a key each key has at most one row; without one, equal
// rows are counted. One goroutine changes it; the snapshots it gives out never
// change and may be read by any.
//
// Rows are in memory, in a tree. A table may also lie over a base: rows in a store, which are read from there unless the tree, that is then
// what has changed since, says something else of their key.
type Table struct {
	name   string
	schema *vec.Schema
	key    []int
	types  []types.T // of the key, or of all columns
	// exact lists, in a table without a key, the columns whose equal values may differ in memory (numeric 1.0 and
	// 1.00): their bytes end the key, so that each is kept as it is.
	exact []int
	rows  *btree.BTreeG[tableRow]
	base  *base // nil: all rows are in the tree
	size  tableSize
	log   *changes // nil: changes are not tracked

	views  []vec.Vec
	cols   []vec.Vec
	buf    []byte
	whole  []byte // the key that keyOf has shortened; empty: it has not
	enc    []byte
	finder *Finder    // in base, of the batch under way
	undo   []tableRow // of the batch under way: entries of the tree as they were, with absent or hidden for those that were not there
}

// tableSize is how large a table is.
type tableSize struct {
	count    int64 // rows, with multiplicity
	bytes    int64 // of the rows, with what they would cost in the tree
	resident int64 // of the tree
}

// tableRow is an entry of the tree. Keys and rows are encoded: see vec.AppendKey and vec.AppendRow. They are never changed.
type tableRow struct {
	key string
	row string
	// n is how often the row is there, with shadows if the base may have the key; less than 0 only among undo.
	n int64
}

const (
	// shadows marks entries that stand for a key of the base: with a count of 0 they say that it is there no more.
	shadows = 1 << 62
	absent  = -1 // neither in the tree nor in the base
	hidden  = -2 // in the base only
)

func (r *tableRow) times() int64 { return r.n &^ shadows }

func (r *tableRow) cost() int64 { return int64(len(r.key)+len(r.row)) + rowOverhead }

func lessRow(a, b tableRow) bool { return a.key < b.key }

// DuplicateKey is the error of an insert whose key is taken.
type DuplicateKey struct {
	// Key holds the values of the key columns.
	Key []types.Datum
}

func (e *DuplicateKey) Error() string { return "duplicate key value" }

// NewTable makes an empty table. key lists the columns of the key; nil: the table is a bag of rows.
func NewTable(schema *vec.Schema, key []int) *Table {
	t := &Table{schema: schema, key: key}
	if key == nil {
		for i, f := range schema.Fields {
			t.types = append(t.types, f.Type)
			if types.NeedsKey(f.Type) {
				t.exact = append(t.exact, i)
			}
		}
	} else {
		for _, c := range key {
			t.types = append(t.types, schema.Fields[c].Type)
		}
	}
	t.rows = newTree()
	return t
}

func newTree() *btree.BTreeG[tableRow] {
	return btree.NewBTreeGOptions(lessRow, btree.Options{NoLocks: true})
}

// SetName sets the relation's name for error messages.
func (t *Table) SetName(name string) { t.name = name }

// Schema gives the columns.
func (t *Table) Schema() *vec.Schema { return t.schema }

// Key gives the columns of the key, nil for a bag.
func (t *Table) Key() []int { return t.key }

// hashKey is another one in tests, whose rows meet.
var hashKey = func(b []byte) [16]byte { return xxh3.Hash128(b).Bytes() }

// keyOf encodes the key of row i of cols, all the table's columns, into t.buf. In a table without a key that is all of the row, or where it is long (see vec.LongKey)
// its beginning, for the order, and a hash; t.whole is the whole then. Should two rows have one such key, which the rows themselves tell, the second goes by
// the whole. canonical is the length
// of the key without the bytes of t.exact.
func (t *Table) keyOf(cols []vec.Vec, i int) (key []byte, canonical int) {
	k := cols
	if t.key != nil {
		k = t.cols[:0]
		for _, c := range t.key {
			k = append(k, cols[c])
		}
		t.cols = k
	}
	t.buf = vec.AppendKey(t.buf[:0], k, t.types, i)
	t.whole = t.whole[:0]
	if t.key == nil && len(t.buf) > vec.LongKey {
		t.whole = append(t.whole, t.buf...)
		h := hashKey(t.buf)
		t.buf = append(t.buf[:vec.KeyStart], h[:]...)
	}
	canonical = len(t.buf)
	for _, c := range t.exact {
		if !cols[c].IsNull(i) {
			t.buf = vec.AppendRow(t.buf, cols[c:c+1], i)
		}
	}
	return t.buf, canonical
}

// wholeKey gives, after keyOf has shortened the key of row i, the whole.
func (t *Table) wholeKey(cols []vec.Vec, i int) []byte {
	key := slices.Clone(t.whole)
	for _, c := range t.exact {
		if !cols[c].IsNull(i) {
			key = vec.AppendRow(key, cols[c:c+1], i)
		}
	}
	return key
}

// isRow tells whether row i of the views is the row of r.
func (t *Table) isRow(r *tableRow, i int) bool {
	t.enc = vec.AppendRow(t.enc[:0], t.views, i)
	return string(t.enc) == r.row
}

func tempString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// Apply makes the changes of a batch with all the table's columns, in order; a key may be taken
// for a moment within the batch. On an error (*DuplicateKey, XX000 where a row
// to delete is not there, or that of reading the base) the table is as it was before.
func (t *Table) Apply(b *vec.Batch) error {
	t.views = b.Views(t.views)
	t.undo = t.undo[:0]
	size := t.size
	err := t.apply(b)
	if t.finder != nil {
		t.finder.Close()
		t.finder = nil
	}
	if err != nil {
		for i := len(t.undo) - 1; i >= 0; i-- {
			if u := t.undo[i]; u.n >= 0 {
				t.rows.Set(u)
			} else {
				t.rows.Delete(u)
			}
		}
		t.size = size
	} else if t.log != nil && len(t.undo) > 0 {
		t.noteChanges()
	}
	clear(t.undo)
	return err
}

func (t *Table) apply(b *vec.Batch) error {
	var waiting []int // inserts whose key is taken so far
	for i := range b.N {
		if b.Op(i) == vec.Delete {
			if err := t.remove(i); err != nil {
				return err
			}
			continue
		}
		ok, err := t.insert(i)
		if err != nil {
			return err
		}
		if !ok {
			waiting = append(waiting, i)
		}
	}
	for _, i := range waiting {
		ok, err := t.insert(i)
		if err != nil {
			return err
		}
		if !ok {
			row := make([]types.Datum, 0, len(t.key))
			for _, c := range t.key {
				row = append(row, t.views[c].Datum(i))
			}
			return &DuplicateKey{Key: row}
		}
	}
	return nil
}

// set puts an entry into the tree in the place of old, which is what undo is to put back.
func (t *Table) set(r, old tableRow) {
	t.rows.Set(r)
	t.size.resident += r.cost()
	if old.n >= 0 {
		t.size.resident -= old.cost()
	} else if old.key = r.key; r.n&shadows != 0 {
		old.n = hidden
	}
	t.undo = append(t.undo, old)
}

// insert adds row i of the views; false if its key is taken.
func (t *Table) insert(i int) (bool, error) {
	key, _ := t.keyOf(t.views, i)
	old, there, known, err := t.find(tempString(key))
	if err != nil {
		return false, err
	}
	if there && len(t.whole) > 0 && !t.isRow(&old, i) {
		key = t.wholeKey(t.views, i)
		if old, there, known, err = t.find(tempString(key)); err != nil {
			return false, err
		}
	}
	below, mark := tableRow{n: absent}, int64(0) // the entry of the tree
	if known {
		below, mark = old, old.n&shadows
	} else if there {
		mark = shadows
	}
	if there {
		if t.key != nil {
			return false, nil
		}
		old.n = (old.times() + 1) | mark
		t.set(old, below)
		t.size.count++
		return true, nil
	}
	// Key and row share one piece of memory.
	nk := len(key)
	t.enc = append(t.enc[:0], key...)
	t.enc = vec.AppendRow(t.enc, t.views, i)
	both := string(t.enc)
	r := tableRow{key: both[:nk], row: both[nk:], n: 1 | mark}
	t.set(r, below)
	t.size.count++
	t.size.bytes += r.cost()
	return true, nil
}

// rowOverhead is about what a row costs in the tree beside its bytes.
const rowOverhead = 64

func (t *Table) remove(i int) error {
	key, canonical := t.keyOf(t.views, i)
	old, there, known, err := t.find(tempString(key))
	if err != nil {
		return err
	}
	if long := len(t.whole) > 0; long && (!there || !t.isRow(&old, i)) {
		if old, there, known, err = t.find(string(t.wholeKey(t.views, i))); err != nil {
			return err
		}
	}
	if !there && len(t.exact) > 0 {
		// An equal row in another representation stands for it.
		if old, there, known, err = t.firstWith(string(key[:canonical]), t.whole); err != nil {
			return err
		}
		if !there && len(t.whole) > 0 {
			if old, there, known, err = t.firstWith(string(t.whole), nil); err != nil {
				return err
			}
		}
	}
	if there && t.key != nil {
		// The row must be the one that was read: a change that another transaction has overtaken is a conflict.
		there = t.isRow(&old, i)
	}
	if !there {
		what := "relation"
		if t.name != "" {
			what = "relation \"" + t.name + "\""
		}
		return pgerr.New(pgerr.InternalError, "%s has no row like the one to delete", what)
	}
	t.size.count--
	below := old
	if !known {
		below = tableRow{n: absent}
	}
	mark := old.n & shadows
	if n := old.times(); n > 1 {
		old.n = (n - 1) | mark
		t.set(old, below)
		return nil
	}
	t.size.bytes -= old.cost()
	if mark != 0 {
		t.set(tableRow{key: old.key, n: shadows}, below)
		return nil
	}
	t.rows.Delete(old)
	t.size.resident -= old.cost()
	t.undo = append(t.undo, old)
	return nil
}

// find gives the row of a key, and whether the tree, not the base, has told. A row of the base is marked.
func (t *Table) find(key string) (r tableRow, there, known bool, err error) {
	r, known = t.rows.Get(tableRow{key: key})
	if known || t.base == nil {
		return r, known && r.times() > 0, known, nil
	}
	if t.finder == nil {
		if t.finder, err = t.base.at.view.Finder(Rows, RowsPrefix(t.base.id)); err != nil {
			return r, false, false, err
		}
	}
	r, there, err = t.base.find(key, t.finder)
	r.n |= shadows
	return r, there, false, err
}

// firstWith gives the first row whose key begins with prefix, like find, and if whole is not empty is whole before it is shortened.
func (t *Table) firstWith(prefix string, whole []byte) (r tableRow, there, known bool, err error) {
	m := merge{tree: t.rows.Iter(), base: t.base, span: prefixSpan(prefix), fetch: 1}
	for {
		if there, err = m.next(); !there {
			return r, false, false, err
		}
		r = m.row
		if len(whole) > 0 {
			b := vec.NewBuilder(nil, t.schema)
			vec.DecodeRow(unsafe.Slice(unsafe.StringData(r.row), len(r.row)), nil, b)
			if !bytes.Equal(vec.AppendKey(nil, b.Cols, t.types, 0), whole) {
				continue
			}
		}
		if m.fromBase {
			r.n |= shadows
		}
		return r, true, !m.fromBase, nil
	}
}

// Get gives the row of a key, in the order of the key's columns.
func (t *Table) Get(key []types.Datum) (row []types.Datum, ok bool, err error) {
	return t.view().Get(key)
}

// Len gives the number of rows.
func (t *Table) Len() int64 { return t.size.count }

// Bytes estimates the memory that the present rows take when all of them are in it.
func (t *Table) Bytes() int64 { return t.size.bytes }

// Resident estimates the memory that the table takes: the rows that are not only in its base.
func (t *Table) Resident() int64 { return t.size.resident }

// Clone gives an independent table with the same rows, in constant time.
func (t *Table) Clone() *Table {
	t.log.seal()
	c := *t
	c.rows = t.rows.Copy()
	c.views, c.cols, c.buf, c.whole, c.enc, c.undo = nil, nil, nil, nil, nil, nil
	return &c
}

// Reset takes the table back to a snapshot that was made of it or of a clone.
func (t *Table) Reset(s *TableSnapshot) {
	t.rows, t.base, t.size, t.log = s.rows.Copy(), s.base, s.size, s.log
}
