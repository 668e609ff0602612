package exec

import (
	"slices"

	"streamsql/internal/fn"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// timedRow is a row of an ASOF join and a word that orders as its time column does.
type timedRow struct {
	word uint64
	ref  rowRef
}

// timedRows is a list of rows in the order of their side: chunks of limited size, so that an insert moves little.
type timedRows struct {
	chunks [][]timedRow
	n      int
}

// asofPlace is a position in a timedRows; the end is behind the last chunk.
type asofPlace struct{ chunk, at int }

func (p asofPlace) less(q asofPlace) bool {
	return p.chunk < q.chunk || p.chunk == q.chunk && p.at < q.at
}

// asofSide is one input of an ASOF join.
type asofSide struct {
	schema   *vec.Schema
	keys     []int
	nullSafe []bool
	timeCol  int
	store    *rowStore
	order    *rowOrder // by the whole row
	// reversed lists rows of equal time by the whole row from the last to the first, so that the nearest one before a time is the last.
	reversed bool
	// cmp compares times where equal words do not mean equal times; else nil.
	cmp    func(a *vec.Vec, i int, b *vec.Vec, j int) int
	views  []vec.Vec
	words  []uint64
	ids    []uint32
	mark   Mark
	active bool // a watermark other than idle was seen
	ended  bool
}

func newAsofSide(alloc vec.Allocator, schema *vec.Schema, keys []int, nullSafe []bool, timeCol int) *asofSide {
	s := &asofSide{schema: schema, keys: keys, nullSafe: nullSafe, timeCol: timeCol, mark: Mark{W: vec.MinTime}}
	s.store = newRowStore(alloc, schemaKinds(schema))
	s.order = newRowOrder(s.store, schema, nil)
	s.order.breakTies(schema)
	if t := schema.Fields[timeCol].Type; !exactTime(t) {
		s.cmp = fn.Comparer(t)
	}
	return s
}

// exactTime says that timeWords gives equal words for equal values only.
func exactTime(t types.T) bool {
	switch t.Kind() {
	case types.KindInt16, types.KindInt32, types.KindInt64, types.KindFloat32, types.KindFloat64:
		return true
	}
	return false
}

// timeWords gives words that order as the values of a column do; those of types that have none are 0. Dates are
// microseconds, as watermarks are.
func timeWords(v *vec.Vec, t types.T, n int, dst []uint64) []uint64 {
	dst = growSide(dst[:0], 0, n)
	const sign = 1 << 63
	switch v.Kind {
	case types.KindInt16:
		for i, x := range v.I16[:n] {
			dst[i] = uint64(int64(x)) ^ sign
		}
	case types.KindInt32:
		if t.OID == types.OIDDate {
			for i := range n {
				dst[i] = uint64(timeOf(v, i)) ^ sign
			}
			break
		}
		for i, x := range v.I32[:n] {
			dst[i] = uint64(int64(x)) ^ sign
		}
	case types.KindInt64:
		for i, x := range v.I64[:n] {
			dst[i] = uint64(x) ^ sign
		}
	case types.KindFloat32:
		for i, x := range v.F32[:n] {
			dst[i] = orderedWord(float64(x))
		}
	case types.KindFloat64:
		for i, x := range v.F64[:n] {
			dst[i] = orderedWord(x)
		}
	}
	return dst
}

// word is timeWords of one row.
func (s *asofSide) word(v *vec.Vec, i int) uint64 {
	switch v.Kind {
	case types.KindInt16:
		return timeWord(int64(v.I16[i]))
	case types.KindInt32:
		if s.schema.Fields[s.timeCol].Type.OID == types.OIDDate {
			return timeWord(timeOf(v, i))
		}
		return timeWord(int64(v.I32[i]))
	case types.KindInt64:
		return timeWord(v.I64[i])
	case types.KindFloat32:
		return orderedWord(float64(v.F32[i]))
	case types.KindFloat64:
		return orderedWord(v.F64[i])
	}
	return 0
}

// wordTime gives the time that timeWords made a word of.
func wordTime(w uint64) vec.Time { return vec.Time(w ^ 1<<63) }

func timeWord(t vec.Time) uint64 { return uint64(t) ^ 1<<63 }

// compareTime compares the time of e with that of row i of a column.
func (s *asofSide) compareTime(e timedRow, w uint64, v *vec.Vec, i int) int {
	if e.word != w {
		return compareWords(e.word, w)
	}
	if s.cmp == nil {
		return 0
	}
	cols, row := s.store.at(e.ref)
	return s.cmp(&cols[s.timeCol], row, v, i)
}

// compare compares e with row i of cols in the order of the list.
func (s *asofSide) compare(e timedRow, w uint64, cols []vec.Vec, i int) int {
	if c := s.compareTime(e, w, &cols[s.timeCol], i); c != 0 {
		return c
	}
	own, row := s.store.at(e.ref)
	c := s.order.compareAll(own, row, cols, i)
	if s.reversed {
		return -c
	}
	return c
}

// find gives the first place whose row is not less; less must be true of the rows before it only.
func (l *timedRows) find(less func(e timedRow) bool) asofPlace {
	chunk, at := findInChunks(l.chunks, less)
	return asofPlace{chunk, at}
}

// search gives where row i of cols stands or would stand.
func (s *asofSide) search(l *timedRows, w uint64, cols []vec.Vec, i int) asofPlace {
	if k := len(l.chunks); k > 0 { // rows mostly come in order
		if c := l.chunks[k-1]; c[len(c)-1].word < w {
			return asofPlace{k, 0}
		}
	}
	return l.find(func(e timedRow) bool { return s.compare(e, w, cols, i) < 0 })
}

// bound gives the first row whose time is at or after that of row i of v; after: whose time is after it.
func (s *asofSide) bound(l *timedRows, w uint64, v *vec.Vec, i int, after bool) asofPlace {
	if s.cmp == nil {
		if after {
			return l.find(func(e timedRow) bool { return e.word <= w })
		}
		return l.find(func(e timedRow) bool { return e.word < w })
	}
	most := 0
	if after {
		most = 1
	}
	return l.find(func(e timedRow) bool { return s.compareTime(e, w, v, i) < most })
}

// at gives the row at a place, if there is one.
func (l *timedRows) at(p asofPlace) (timedRow, bool) {
	if p.chunk >= len(l.chunks) {
		return timedRow{}, false
	}
	return l.chunks[p.chunk][p.at], true
}

// before gives the place before p, if there is one.
func (l *timedRows) before(p asofPlace) (asofPlace, bool) {
	if p.at > 0 {
		return asofPlace{p.chunk, p.at - 1}, true
	}
	if p.chunk == 0 {
		return p, false
	}
	return asofPlace{p.chunk - 1, len(l.chunks[p.chunk-1]) - 1}, true
}

// after gives the place behind p.
func (l *timedRows) after(p asofPlace) asofPlace {
	if p.at+1 < len(l.chunks[p.chunk]) {
		return asofPlace{p.chunk, p.at + 1}
	}
	return asofPlace{p.chunk + 1, 0}
}

// each calls f for the rows from one place up to another.
func (l *timedRows) each(from, to asofPlace, f func(e timedRow)) {
	for c := from.chunk; c <= to.chunk && c < len(l.chunks); c++ {
		rows := l.chunks[c]
		if c == to.chunk {
			rows = rows[:to.at]
		}
		if c == from.chunk {
			rows = rows[min(from.at, len(rows)):]
		}
		for _, e := range rows {
			f(e)
		}
	}
}

func (l *timedRows) end() asofPlace { return asofPlace{len(l.chunks), 0} }

// insert puts a row at the place that search gave, and gives its place.
func (l *timedRows) insert(p asofPlace, e timedRow) asofPlace {
	l.n++
	if p.chunk == len(l.chunks) {
		if p.chunk == 0 {
			l.chunks = append(l.chunks, []timedRow{e})
			return asofPlace{}
		}
		p.chunk--
		p.at = len(l.chunks[p.chunk])
		if p.at >= maxChunk { // at the end a new chunk spares moving half of the last one
			l.chunks = append(l.chunks, append(make([]timedRow, 0, maxChunk), e))
			return asofPlace{p.chunk + 1, 0}
		}
	}
	c := slices.Insert(l.chunks[p.chunk], p.at, e)
	l.chunks[p.chunk] = c
	if len(c) <= maxChunk {
		return p
	}
	half := append(make([]timedRow, 0, maxChunk), c[maxChunk/2:]...)
	l.chunks[p.chunk] = c[:maxChunk/2]
	l.chunks = slices.Insert(l.chunks, p.chunk+1, half)
	if p.at >= maxChunk/2 {
		return asofPlace{p.chunk + 1, p.at - maxChunk/2}
	}
	return p
}

// remove takes the row at a place out.
func (l *timedRows) remove(p asofPlace) {
	l.n--
	c := slices.Delete(l.chunks[p.chunk], p.at, p.at+1)
	l.chunks[p.chunk] = c
	if len(c) == 0 {
		l.chunks = slices.Delete(l.chunks, p.chunk, p.chunk+1)
	}
}

// cut drops the rows before a place, telling f of each.
func (l *timedRows) cut(p asofPlace, f func(e timedRow)) {
	for _, c := range l.chunks[:p.chunk] {
		for _, e := range c {
			f(e)
		}
		l.n -= len(c)
	}
	l.chunks = slices.Delete(l.chunks, 0, p.chunk)
	if p.at == 0 || len(l.chunks) == 0 {
		return
	}
	c := l.chunks[0]
	for _, e := range c[:p.at] {
		f(e)
	}
	l.n -= p.at
	l.chunks[0] = slices.Delete(c, 0, p.at)
}
