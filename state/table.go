package state

import (
	"unsafe"

	"github.com/tidwall/btree"

	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// Table is a multiset of rows with versions: the rows behind a table or a
// materialized view. With a key each key has at most one row; without one, equal
// rows are counted. One goroutine changes it; the snapshots it gives out never
// change and may be read by any.
type Table struct {
	name   string
	schema *vec.Schema
	key    []int
	types  []types.T // of the key, or of all columns
	// exact lists, in a table without a key, the columns whose equal values may differ in memory (numeric 1.0 and
	// 1.00): their bytes end the key, so that each is kept as it is.
	exact []int
	rows  *btree.BTreeG[tableRow]
	count int64 // rows, with multiplicity
	bytes int64

	views []vec.Vec
	cols  []vec.Vec
	buf   []byte
	enc   []byte
	undo  []tableRow // of the batch under way: rows as they were, n 0 for those that were not there
}

// tableRow is a row of the tree. Keys and rows are encoded: see vec.AppendKey and vec.AppendRow. They are never changed.
type tableRow struct {
	key string
	row string
	n   int64
}

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
	t.Clear()
	return t
}

// SetName sets the relation's name for error messages.
func (t *Table) SetName(name string) { t.name = name }

// Schema gives the columns.
func (t *Table) Schema() *vec.Schema { return t.schema }

// Key gives the columns of the key, nil for a bag.
func (t *Table) Key() []int { return t.key }

// Clear drops all rows; snapshots keep theirs.
func (t *Table) Clear() {
	t.rows = btree.NewBTreeGOptions(lessRow, btree.Options{NoLocks: true})
	t.count, t.bytes = 0, 0
}

// keyOf encodes the key of row i of cols, all the table's columns, into t.buf.
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
	canonical = len(t.buf)
	for _, c := range t.exact {
		if !cols[c].IsNull(i) {
			t.buf = vec.AppendRow(t.buf, cols[c:c+1], i)
		}
	}
	return t.buf, canonical
}

func tempString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// Apply makes the changes of a batch with all the table's columns, in order; a key may be taken
// for a moment within the batch. On an error (*DuplicateKey, or XX000 where a row
// to delete is not there) the table is as it was before.
func (t *Table) Apply(b *vec.Batch) error {
	t.views = b.Views(t.views)
	t.undo = t.undo[:0]
	count, size := t.count, t.bytes
	err := t.apply(b)
	if err != nil {
		for i := len(t.undo) - 1; i >= 0; i-- {
			if u := t.undo[i]; u.n > 0 {
				t.rows.Set(u)
			} else {
				t.rows.Delete(u)
			}
		}
		t.count, t.bytes = count, size
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
		if !t.insert(i) {
			waiting = append(waiting, i)
		}
	}
	for _, i := range waiting {
		if !t.insert(i) {
			row := make([]types.Datum, 0, len(t.key))
			for _, c := range t.key {
				row = append(row, t.views[c].Datum(i))
			}
			return &DuplicateKey{Key: row}
		}
	}
	return nil
}

// insert adds row i of the views; false if its key is taken.
func (t *Table) insert(i int) bool {
	key, _ := t.keyOf(t.views, i)
	if old, ok := t.rows.Get(tableRow{key: tempString(key)}); ok {
		if t.key != nil {
			return false
		}
		t.undo = append(t.undo, old)
		old.n++
		t.rows.Set(old)
		t.count++
		return true
	}
	// Key and row share one piece of memory.
	nk := len(key)
	t.enc = append(t.enc[:0], key...)
	t.enc = vec.AppendRow(t.enc, t.views, i)
	both := string(t.enc)
	t.rows.Set(tableRow{key: both[:nk], row: both[nk:], n: 1})
	t.undo = append(t.undo, tableRow{key: both[:nk]})
	t.count++
	t.bytes += int64(len(both)) + rowOverhead
	return true
}

// rowOverhead is about what a row costs in the tree beside its bytes.
const rowOverhead = 64

func (t *Table) remove(i int) error {
	key, canonical := t.keyOf(t.views, i)
	old, ok := t.rows.Get(tableRow{key: tempString(key)})
	if !ok && len(t.exact) > 0 {
		// An equal row in another representation stands for it.
		prefix := string(key[:canonical])
		t.rows.Ascend(tableRow{key: prefix}, func(r tableRow) bool {
			if len(r.key) >= len(prefix) && r.key[:len(prefix)] == prefix {
				old, ok = r, true
			}
			return false
		})
	}
	if ok && t.key != nil {
		// The row must be the one that was read: a change that another transaction has overtaken is a conflict.
		t.enc = vec.AppendRow(t.enc[:0], t.views, i)
		ok = string(t.enc) == old.row
	}
	if !ok {
		what := "relation"
		if t.name != "" {
			what = "relation \"" + t.name + "\""
		}
		return pgerr.New(pgerr.InternalError, "%s has no row like the one to delete", what)
	}
	t.count--
	t.undo = append(t.undo, old)
	if old.n > 1 {
		old.n--
		t.rows.Set(old)
		return nil
	}
	t.rows.Delete(old)
	t.bytes -= int64(len(old.key)+len(old.row)) + rowOverhead
	return nil
}

// Get gives the row of a key, in the order of the key's columns.
func (t *Table) Get(key []types.Datum) (row []types.Datum, ok bool) {
	return t.view().Get(key)
}

// Has tells of each row of a batch of the key's columns whether its key is in the table.
func (t *Table) Has(keys *vec.Batch) []bool {
	cols := keys.Views(nil)
	out := make([]bool, keys.N)
	for i := range out {
		t.buf = vec.AppendKey(t.buf[:0], cols, t.types, i)
		_, out[i] = t.rows.Get(tableRow{key: tempString(t.buf)})
	}
	return out
}

// Len gives the number of rows.
func (t *Table) Len() int64 { return t.count }

// Bytes estimates the memory held by the present rows.
func (t *Table) Bytes() int64 { return t.bytes }

func (t *Table) view() *TableSnapshot {
	return &TableSnapshot{schema: t.schema, key: t.key, types: t.types, rows: t.rows, count: t.count, bytes: t.bytes}
}

// Snapshot gives the rows as they are now, in constant time.
func (t *Table) Snapshot() *TableSnapshot {
	s := t.view()
	s.rows = t.rows.Copy()
	return s
}

// TableSnapshot is a version of a Table. It never changes and is safe for concurrent readers.
type TableSnapshot struct {
	schema *vec.Schema
	key    []int
	types  []types.T
	rows   *btree.BTreeG[tableRow]
	count  int64
	bytes  int64
}

// Schema gives the columns.
func (s *TableSnapshot) Schema() *vec.Schema { return s.schema }

// Table gives a new table with the rows of s.
func (s *TableSnapshot) Table() *Table {
	t := NewTable(s.schema, s.key)
	t.Reset(s)
	return t
}

// Len gives the number of rows.
func (s *TableSnapshot) Len() int64 { return s.count }

// encodeKey encodes the first columns of a key.
func (s *TableSnapshot) encodeKey(key []types.Datum) string {
	cols := make([]vec.Vec, len(key))
	for i, d := range key {
		cols[i].Reset(s.types[i].Kind(), 0)
		cols[i].AppendDatum(d)
	}
	return string(vec.AppendKey(nil, cols, s.types, 0))
}

// Get gives the row of a key (of all its columns, in their order).
func (s *TableSnapshot) Get(key []types.Datum) (row []types.Datum, ok bool) {
	sc := s.Lookup(key, nil)
	dst := vec.NewBuilder(nil, s.schema)
	sc.Next(dst, 1)
	if dst.Len() == 0 {
		return nil, false
	}
	for i := range dst.Cols {
		row = append(row, dst.Cols[i].Datum(0))
	}
	return row, true
}

// Scan reads the columns cols (nil: all) of every row, in the order of the key.
func (s *TableSnapshot) Scan(cols []int) *Scanner { return s.scanner(cols, "") }

// Lookup reads the columns cols (nil: all) of the rows whose key begins with the values in prefix.
func (s *TableSnapshot) Lookup(prefix []types.Datum, cols []int) *Scanner {
	return s.scanner(cols, s.encodeKey(prefix))
}

func (s *TableSnapshot) scanner(cols []int, prefix string) *Scanner {
	return &Scanner{cols: cols, prefix: prefix, iter: s.rows.Iter()}
}

// Scanner reads rows of a snapshot. It is used by one goroutine.
type Scanner struct {
	cols    []int
	prefix  string
	iter    btree.IterG[tableRow]
	started bool
	done    bool
	repeat  int64 // copies of the present row still to give
	rows    [][]byte
}

// Next appends up to max rows to dst, whose columns are those asked for, as inserts without an Op
// (with one where there are no columns). more is false when all have been given.
func (s *Scanner) Next(dst *vec.Builder, max int) (more bool) {
	s.rows = s.rows[:0]
	for !s.done && len(s.rows) < max {
		if s.repeat == 0 && !s.advance() {
			s.done = true
			break
		}
		item := s.iter.Item()
		row := unsafe.Slice(unsafe.StringData(item.row), len(item.row))
		for s.repeat > 0 && len(s.rows) < max {
			s.rows = append(s.rows, row)
			s.repeat--
		}
	}
	if len(dst.Cols) == 0 {
		for range s.rows {
			dst.AppendOp(vec.Insert)
		}
		return !s.done
	}
	for k := range dst.Cols {
		c := k
		if s.cols != nil {
			c = s.cols[k]
		}
		vec.DecodeColumn(s.rows, c, &dst.Cols[k])
	}
	return !s.done
}

// advance moves to the next row.
func (s *Scanner) advance() bool {
	ok := false
	switch {
	case s.started:
		ok = s.iter.Next()
	case s.prefix == "":
		ok = s.iter.First()
	default:
		ok = s.iter.Seek(tableRow{key: s.prefix})
	}
	s.started = true
	if !ok {
		return false
	}
	item := s.iter.Item()
	if len(item.key) < len(s.prefix) || item.key[:len(s.prefix)] != s.prefix {
		return false
	}
	s.repeat = item.n
	return true
}

// Clone gives an independent table with the same rows, in constant time.
func (t *Table) Clone() *Table {
	c := *t
	c.rows = t.rows.Copy()
	c.views, c.cols, c.buf, c.enc, c.undo = nil, nil, nil, nil, nil
	return &c
}

// Reset takes the table back to a snapshot that was made of it or of a clone.
func (t *Table) Reset(s *TableSnapshot) {
	t.rows = s.rows.Copy()
	t.count, t.bytes = s.count, s.bytes
}
