package state

import (
	"unsafe"

	"github.com/tidwall/btree"

	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// TableSnapshot is a version of a Table. It never changes and is safe for concurrent readers.
type TableSnapshot struct {
	name   string
	schema *vec.Schema
	key    []int
	types  []types.T
	rows   *btree.BTreeG[tableRow]
	base   *base
	size   tableSize
	log    *changes
}

func (t *Table) view() *TableSnapshot {
	return &TableSnapshot{name: t.name, schema: t.schema, key: t.key, types: t.types, rows: t.rows, base: t.base, size: t.size, log: t.log}
}

// Snapshot gives the rows as they are now, in constant time.
func (t *Table) Snapshot() *TableSnapshot {
	t.log.seal()
	s := t.view()
	s.rows = t.rows.Copy()
	return s
}

// Schema gives the columns.
func (s *TableSnapshot) Schema() *vec.Schema { return s.schema }

// Table gives a new table with the rows of s, whose changes are tracked if those of s's table are.
func (s *TableSnapshot) Table() *Table {
	t := NewTable(s.schema, s.key)
	t.SetName(s.name)
	t.Reset(s)
	return t
}

// Len gives the number of rows.
func (s *TableSnapshot) Len() int64 { return s.size.count }

// Bytes is Table.Bytes.
func (s *TableSnapshot) Bytes() int64 { return s.size.bytes }

// Resident is Table.Resident.
func (s *TableSnapshot) Resident() int64 { return s.size.resident }

// encodeKey encodes the first columns of a key.
func (s *TableSnapshot) encodeKey(key []types.Datum) string {
	cols := make([]vec.Vec, len(key))
	for i, d := range key {
		cols[i].Reset(s.types[i].Kind(), 0)
		cols[i].AppendDatum(d)
	}
	return string(vec.AppendKey(nil, cols, s.types, 0))
}

// Get gives the row of a key (of all its columns, in their order). The table has a key.
func (s *TableSnapshot) Get(key []types.Datum) (row []types.Datum, ok bool, err error) {
	k := s.encodeKey(key)
	r, known := s.rows.Get(tableRow{key: k})
	ok = r.times() > 0
	if !known && s.base != nil {
		if r, ok, err = s.base.get(k); err != nil {
			return nil, false, err
		}
	}
	if !ok {
		return nil, false, nil
	}
	dst := vec.NewBuilder(nil, s.schema)
	vec.DecodeRow(unsafe.Slice(unsafe.StringData(r.row), len(r.row)), nil, dst)
	for i := range dst.Cols {
		row = append(row, dst.Cols[i].Datum(0))
	}
	return row, true, nil
}

// Scan reads the columns cols (nil: all) of every row, in the order of the key.
func (s *TableSnapshot) Scan(cols []int) *Scanner {
	x := s.scanner(cols, []span{{}})
	x.whole = true
	return x
}

// Lookup reads the columns cols (nil: all) of the rows whose key begins with the values in prefix.
func (s *TableSnapshot) Lookup(prefix []types.Datum, cols []int) *Scanner {
	return s.ScanRanges([]KeyRange{{Prefix: prefix}}, cols)
}

func (s *TableSnapshot) scanner(cols []int, spans []span) *Scanner {
	return &Scanner{s: s, cols: cols, spans: spans, at: merge{done: true}}
}

// Scanner reads rows of a snapshot. It is used by one goroutine. It holds nothing that must be freed.
type Scanner struct {
	s      *TableSnapshot
	cols   []int
	spans  []span // not begun yet
	at     merge
	done   bool
	whole  bool  // all of the table
	repeat int64 // copies of the present row still to give
	rows   [][]byte
}

// count gives rows without columns: how many there are is known.
func (s *Scanner) count(dst *vec.Builder, max int) (more bool) {
	if !s.done {
		s.done, s.repeat = true, s.s.Len()
	}
	n := min(s.repeat, int64(max))
	s.repeat -= n
	for range n {
		dst.AppendOp(vec.Insert)
	}
	return s.repeat > 0
}

// Next appends up to max rows to dst, whose columns are those asked for, as inserts without an Op
// (with one where there are no columns). more is false when all have been given. An error is that of reading the store below the table.
func (s *Scanner) Next(dst *vec.Builder, max int) (more bool, err error) {
	if len(dst.Cols) == 0 && s.whole {
		return s.count(dst, max), nil
	}
	s.rows = s.rows[:0]
	s.at.fetch = max
	for !s.done && len(s.rows) < max {
		if s.repeat == 0 {
			ok, err := s.at.next()
			if err != nil {
				return false, err
			}
			if !ok {
				if len(s.spans) == 0 {
					s.done = true
					break
				}
				s.at = merge{tree: s.s.rows.Iter(), base: s.s.base, span: s.spans[0], fetch: max}
				s.spans = s.spans[1:]
				continue
			}
			s.repeat = s.at.row.times()
		}
		row := unsafe.Slice(unsafe.StringData(s.at.row.row), len(s.at.row.row))
		for s.repeat > 0 && len(s.rows) < max {
			s.rows = append(s.rows, row)
			s.repeat--
		}
	}
	if len(dst.Cols) == 0 {
		for range s.rows {
			dst.AppendOp(vec.Insert)
		}
		return !s.done, nil
	}
	for k := range dst.Cols {
		c := k
		if s.cols != nil {
			c = s.cols[k]
		}
		vec.DecodeColumn(s.rows, c, &dst.Cols[k])
	}
	return !s.done, nil
}

// merge goes over the rows of a tree and of the base below it in the order of their keys.
type merge struct {
	tree  btree.IterG[tableRow]
	base  *base
	span  span // of the keys wanted
	fetch int  // rows wanted of the base at a time, at most maxFetch

	row      tableRow // the present one
	fromBase bool

	started bool
	done    bool
	treeEnd bool
	fetched []tableRow // of the base
	taken   int        // of fetched
	last    *string    // key of the last one fetched
	baseEnd bool
}

// maxFetch bounds the rows read from a base at a time, and fetchBytes their size.
const (
	maxFetch   = 1024
	fetchBytes = 256 << 10
)

// next moves to the next row; false at the end.
func (m *merge) next() (bool, error) {
	if m.done {
		return false, nil
	}
	if !m.started {
		m.started = true
		m.baseEnd = m.base == nil
		if m.span.from == "" {
			m.treeEnd = !m.tree.First()
		} else {
			m.treeEnd = !m.tree.Seek(tableRow{key: m.span.from})
		}
	} else if !m.fromBase && !m.treeEnd {
		m.treeEnd = !m.tree.Next()
	}
	for {
		if !m.treeEnd {
			m.row = m.tree.Item()
			if m.span.to != "" && m.row.key >= m.span.to {
				m.treeEnd = true
			}
		}
		if m.base == nil {
			m.done = m.treeEnd
			return !m.treeEnd, nil
		}
		if m.span.point && !m.treeEnd { // the tree knows it
			m.baseEnd = true
		}
		if m.taken == len(m.fetched) && !m.baseEnd {
			if err := m.fill(); err != nil {
				return false, err
			}
		}
		if m.taken < len(m.fetched) {
			b := &m.fetched[m.taken]
			if m.treeEnd || b.key < m.row.key {
				m.row, m.fromBase = *b, true
				m.taken++
				return true, nil
			}
			if b.key == m.row.key {
				m.taken++
			}
		}
		if m.treeEnd {
			if m.taken == len(m.fetched) && m.baseEnd {
				m.done = true
				return false, nil
			}
			continue
		}
		if m.row.times() > 0 {
			m.fromBase = false
			return true, nil
		}
		m.treeEnd = !m.tree.Next()
	}
}

// fill fetches the next rows of the base.
func (m *merge) fill() error {
	m.fetched, m.taken = m.fetched[:0], 0
	if m.span.point {
		m.baseEnd = true
		r, ok, err := m.base.get(m.span.from)
		if ok {
			m.fetched = append(m.fetched, r)
		}
		return err
	}
	n := min(max(m.fetch, 1), maxFetch)
	rows, err := m.base.rows(m.fetched, m.span, m.last, n)
	if err != nil {
		return err
	}
	m.fetched = rows
	m.baseEnd = len(rows) == 0
	if !m.baseEnd {
		last := rows[len(rows)-1].key
		m.last = &last
	}
	return nil
}
