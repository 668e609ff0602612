package state

import (
	"encoding/binary"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"unsafe"

	"github.com/tidwall/btree"

	"streamsql/internal/pgerr"
	"streamsql/internal/vec"
)

// Rows of a relation are stored under the ID that its record in the space Relations names, so that its whole content can be replaced, however large
// it is, by naming another one.

// Stored is the content of a store at one moment, that tables lie over. It is freed when none of them, nor a snapshot of
// them, is left.
type Stored struct{ view *StoreView }

// Stored gives the content as it is now.
func (s *Store) Stored() (*Stored, error) {
	v, err := s.View()
	if err != nil {
		return nil, err
	}
	st := &Stored{view: v}
	runtime.AddCleanup(st, func(v *StoreView) { v.Close() }, v)
	return st, nil
}

// TableRecord tells where the rows of a relation are stored, and how many.
type TableRecord struct {
	ID    uint64
	Count int64 // rows, with multiplicity
	Bytes int64 // see Table.Bytes
}

// Encode gives the bytes that ParseTableRecord reads.
func (r TableRecord) Encode() []byte {
	var w Writer
	w.Uint64(r.ID)
	w.Int64(r.Count)
	w.Int64(r.Bytes)
	return w.Bytes()
}

// ParseTableRecord reads a record; XX001 if it is none.
func ParseTableRecord(b []byte) (r TableRecord, err error) {
	rd := NewReader(b)
	r = TableRecord{ID: rd.Uint64(), Count: rd.Int64(), Bytes: rd.Int64()}
	return r, rd.Err()
}

// RowsPrefix gives the beginning of the keys of an ID in the space Rows.
func RowsPrefix(id uint64) []byte { return binary.BigEndian.AppendUint64(nil, id) }

// base is where the rows of a table are stored.
type base struct {
	at *Stored
	id uint64
	// piece is about how many bytes a piece of rows takes that is read at once.
	piece atomic.Int64
}

// NewStoredTable makes a table over its rows in a store. Its changes are tracked.
func NewStoredTable(schema *vec.Schema, key []int, at *Stored, r TableRecord) *Table {
	t := NewTable(schema, key)
	t.base = &base{at: at, id: r.ID}
	t.size = tableSize{count: r.Count, bytes: r.Bytes}
	t.Track()
	return t
}

func (b *base) damaged() error {
	return pgerr.New(pgerr.DataCorrupted, "a stored row cannot be read").WithHint("Restore the data directory from a backup.")
}

// get gives the row of a key.
func (b *base) get(key string) (tableRow, bool, error) {
	v, ok, err := b.at.view.Get(Rows, b.storedKey(key))
	return b.row(key, v, ok, err)
}

// find is get by a Finder of b.
func (b *base) find(key string, f *Finder) (tableRow, bool, error) {
	v, ok, err := f.Get(b.storedKey(key))
	return b.row(key, v, ok, err)
}

func (b *base) storedKey(key string) []byte {
	return append(binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(key)), b.id), key...)
}

// row gives the row that a value of the store is.
func (b *base) row(key string, v []byte, ok bool, err error) (tableRow, bool, error) {
	if !ok || err != nil {
		return tableRow{}, false, err
	}
	n, used := binary.Uvarint(v)
	if used <= 0 || n == 0 || n >= shadows {
		return tableRow{}, false, b.damaged()
	}
	return tableRow{key: strings.Clone(key), row: string(v[used:]), n: int64(n)}, true, nil
}

// rows appends to dst up to n rows whose key is in a span and greater than *after (nil: no condition). Fewer are the last ones, but for
// large ones: the end is where none come.
func (b *base) rows(dst []tableRow, in span, after *string, n int) ([]tableRow, error) {
	id := RowsPrefix(b.id)
	from := append(slices.Clone(id), in.from...)
	if after != nil {
		from = append(append(slices.Clone(id), *after...), 0)
	}
	to := prefixEnd(id)
	if in.to != "" {
		to = append(slices.Clone(id), in.to...)
	}
	type piece struct{ key, row, n int }
	var arena []byte
	var pieces []piece
	if n == maxFetch && after != nil { // many rows: what the first ones took is not enough
		arena, pieces = make([]byte, 0, b.piece.Load()), make([]piece, 0, n)
	}
	bad := false
	err := b.at.view.ScanRange(Rows, from, to, func(k, v []byte) bool {
		times, used := binary.Uvarint(v)
		if used <= 0 || times == 0 || times >= shadows {
			bad = true
			return false
		}
		arena = append(append(arena, k[8:]...), v[used:]...)
		pieces = append(pieces, piece{len(k) - 8, len(v) - used, int(times)})
		return len(pieces) < n && len(arena) < fetchBytes
	})
	if err != nil {
		return dst, err
	}
	if bad {
		return dst, b.damaged()
	}
	b.piece.Store(int64(len(arena) + len(arena)/8))
	all := unsafe.String(unsafe.SliceData(arena), len(arena)) // nobody changes arena any more
	for _, p := range pieces {
		dst = append(dst, tableRow{key: all[:p.key], row: all[p.key : p.key+p.row], n: int64(p.n)})
		all = all[p.key+p.row:]
	}
	return dst, nil
}

// pieceBytes is about how much of a table is written at a time where all of it is.
const pieceBytes = 4 << 20

// WriteAll writes the rows of s under an ID that nobody has used yet. They are durable when a later commit is that was synced.
func (s *TableSnapshot) WriteAll(st *Store, id uint64) error {
	m := merge{tree: s.rows.Iter(), base: s.base, fetch: maxFetch}
	c := st.NewCommit()
	key, value := RowsPrefix(id), []byte(nil)
	for {
		ok, err := m.next()
		if err != nil {
			c.Close()
			return err
		}
		if ok {
			key = append(key[:8], m.row.key...)
			value = append(binary.AppendUvarint(value[:0], uint64(m.row.times())), m.row.row...)
			c.Put(Rows, key, value)
		}
		if !ok || c.Bytes() > pieceBytes {
			if err := c.Write(false); err != nil || !ok {
				return err
			}
			c = st.NewCommit()
		}
	}
}

// changes are keys whose rows have changed, newest last. A piece that has been sealed, which all are but the first of a
// chain, is shared between tables and snapshots.
type changes struct {
	keys   []changedKey
	sealed bool
	prev   *changes
}

func (c *changes) seal() {
	if c != nil && !c.sealed {
		c.sealed = true
	}
}

// changedKey is a key whose row has changed; born says that there was none before.
type changedKey struct {
	key  string
	born bool
}

// Track makes the table remember which keys change from now on.
func (t *Table) Track() { t.log = &changes{sealed: true} }

// noteChanges remembers the keys of the batch that was applied.
func (t *Table) noteChanges() {
	if t.log.sealed {
		t.log = &changes{prev: t.log}
	}
	t.log.keys = slices.Grow(t.log.keys, len(t.undo))
	for i := range t.undo {
		t.log.keys = append(t.log.keys, changedKey{t.undo[i].key, t.undo[i].n == absent})
	}
}

// A Mark is a version of a table, to ask what has changed since.
type Mark struct{ at *changes }

// Mark gives the mark of a snapshot of a table whose changes are tracked.
func (s *TableSnapshot) Mark() Mark { return Mark{s.log} }

// Forget tells that nobody will ask for changes since versions before m.
func (m Mark) Forget() {
	if m.at != nil {
		m.at.prev, m.at.keys = nil, nil // keys hold the memory of their rows
	}
}

// Changes are the keys that may have changed between two versions of a table.
type Changes struct {
	pieces [][]changedKey // from the newest to the oldest
}

// Since gives what has changed since m. ok is false where s does not descend from that version: all of it may be different.
// Since and Forget exclude each other.
func (s *TableSnapshot) Since(m Mark) (ch Changes, ok bool) {
	if m.at == nil {
		return ch, false
	}
	for c := s.log; c != m.at; c = c.prev {
		if c == nil {
			return ch, false
		}
		ch.pieces = append(ch.pieces, c.keys)
	}
	return ch, true
}

// Empty says that nothing has changed.
func (ch Changes) Empty() bool { return len(ch.pieces) == 0 }

// sorted gives each key once, with whether it was born when it changed for the first time.
func (ch Changes) sorted() []changedKey {
	all := slices.Concat(reversed(ch.pieces)...)
	if len(all) == 0 {
		return nil
	}
	// The first bytes in which keys differ tell most of them apart without a look at the keys, which are all over memory.
	common := len(all[0].key)
	for i := range all {
		common = commonPrefix(all[i].key, all[0].key[:common])
	}
	type dated struct {
		start uint64
		age   int // the place in all
	}
	order := make([]dated, len(all))
	for i := range all {
		order[i] = dated{startOf(all[i].key[common:]), i}
	}
	slices.SortFunc(order, func(a, b dated) int {
		if a.start != b.start {
			if a.start < b.start {
				return -1
			}
			return 1
		}
		if c := strings.Compare(all[a.age].key, all[b.age].key); c != 0 {
			return c
		}
		return a.age - b.age
	})
	out := make([]changedKey, 0, len(all))
	for i, o := range order {
		if k := all[o.age]; i == 0 || k.key != out[len(out)-1].key {
			out = append(out, k)
		}
	}
	return out
}

func reversed[T any](s []T) []T {
	s = slices.Clone(s)
	slices.Reverse(s)
	return s
}

// commonPrefix gives how many bytes a has in common with the beginning of b.
func commonPrefix(a, b string) int {
	n := min(len(a), len(b))
	if a[:n] == b[:n] {
		return n
	}
	i := 0
	for a[i] == b[i] {
		i++
	}
	return i
}

// startOf gives the first eight bytes of s, in whose order such are.
func startOf(s string) uint64 {
	var b [8]byte
	copy(b[:], s)
	return binary.BigEndian.Uint64(b[:])
}

// Record gives the record of s whose rows are stored under an ID.
func (s *TableSnapshot) Record(id uint64) TableRecord {
	return TableRecord{ID: id, Count: s.size.count, Bytes: s.size.bytes}
}

// find gives the row of an encoded key, wherever it is; its count is 0 where there is none. Who looks for keys in their order keeps near.
func (s *TableSnapshot) find(key string, near *btree.PathHint) (r tableRow, err error) {
	r, known := s.rows.GetHint(tableRow{key: key}, near)
	if !known && s.base != nil {
		r, _, err = s.base.get(key)
	}
	return r, err
}

// WriteChanges adds to c what makes the rows stored under an ID those of s, given that they were those of the version since which ch
// tells the changes.
func (s *TableSnapshot) WriteChanges(c *Commit, id uint64, ch Changes) error {
	key, value := RowsPrefix(id), []byte(nil)
	var near btree.PathHint
	for _, k := range ch.sorted() {
		r, err := s.find(k.key, &near)
		if err != nil {
			return err
		}
		key = append(key[:8], k.key...)
		if r.times() == 0 {
			if !k.born { // else it has come and gone: the store does not know it
				c.Delete(Rows, key)
			}
			continue
		}
		value = append(binary.AppendUvarint(value[:0], uint64(r.times())), r.row...)
		c.Put(Rows, key, value)
	}
	return nil
}

// Rebase gives the memory of t's rows free: they are read from the store from now on, except those that have changed since
// the version m, which is the content stored under the ID of r. It reports false, and does nothing, where t does not descend from it.
func (t *Table) Rebase(at *Stored, r TableRecord, m Mark) (bool, error) {
	t.log.seal()
	s := t.view()
	ch, ok := s.Since(m)
	if !ok {
		return false, nil
	}
	tree := newTree()
	var resident int64
	var near btree.PathHint
	for _, k := range ch.sorted() {
		row, err := s.find(k.key, &near)
		if err != nil {
			return false, err
		}
		// What is kept must not keep the piece of memory that it shares with others. What is not there must hide what may be in the base.
		row = tableRow{key: strings.Clone(k.key), row: strings.Clone(row.row), n: row.n | shadows}
		tree.Set(row)
		resident += row.cost()
	}
	t.rows, t.base, t.size.resident = tree, &base{at: at, id: r.ID}, resident
	return true, nil
}
