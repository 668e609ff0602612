package exec

import (
	"sync/atomic"

	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// rowRef addresses a retained row: the block in the high bits, the row within it in the low ones.
type rowRef = uint32

const (
	blockBits = 13
	blockRows = 1 << blockBits
	blockMask = blockRows - 1
	// noRow is the reference to no row: the end of a chain, or the padding of an outer join.
	noRow rowRef = ^rowRef(0)
	// lendRows is from how many rows on a batch is kept as a block as it is instead of being copied.
	lendRows = 512
)

// rowBlock holds up to blockRows rows: copied ones in columns of its own, or a whole batch that is held.
type rowBlock struct {
	cols  []vec.Vec
	batch *vec.Batch // held, nil when the columns are the block's own
	n     int
	// live counts the rows whose count is not 0; where counts are not kept, the rows not dropped.
	live int
	// times, of rows of time-bounded operators: the smallest and largest time in the block.
	minT, maxT vec.Time
	// pending is the smallest time of a row whose padding is still to be decided.
	pending vec.Time
	bucket  *joinBucket
	held    int64 // what the store counts for it
	// gone are, where counts are not kept, the rows that have been killed, a bit each; nil: none.
	gone []uint64
	// users are the store and the snapshots that have yet to write the columns: the last one frees them.
	users atomic.Int32
}

// release ends the use of the columns by one of users.
func (b *rowBlock) release() {
	if b.users.Add(-1) > 0 {
		return
	}
	for i := range b.cols {
		b.cols[i].Release()
	}
	if b.batch != nil {
		b.batch.Release()
	}
}

// rowStore keeps rows in append-only blocks, column by column. References stay valid
// until the block is dropped or the store is compacted.
type rowStore struct {
	alloc  vec.Allocator
	kinds  []types.Kind
	blocks []*rowBlock // nil where dropped
	spare  []uint32    // dropped block numbers, for reuse
	open   int         // the block that is appended to, -1 none
	cols   []blockColumn
	// next links the rows of one key. counts, where kept, is the multiplicity of each row (0: dead);
	// matches, where kept, the number of rows of the other side that a row is joined with.
	next        [][]rowRef
	counts      [][]int32
	matches     [][]int32
	keepCounts  bool
	keepMatches bool
	keepNext    bool
	live, dead  int
	held        int64 // bytes of the blocks
}

// blockColumn is one column of all blocks: the value slices by block, so that a row
// is found with two loads whatever block it is in.
type blockColumn struct {
	kind  types.Kind
	bools [][]bool
	i16   [][]int16
	i32   [][]int32
	i64   [][]int64
	f32   [][]float32
	f64   [][]float64
	f16   [][][16]byte
	off   [][]int32
	data  [][]byte
	valid [][]uint64
	nulls int // blocks that have NULLs
}

func schemaKinds(s *vec.Schema) []types.Kind {
	kinds := make([]types.Kind, len(s.Fields))
	for i, f := range s.Fields {
		kinds[i] = f.Type.Kind()
	}
	return kinds
}

func newRowStore(alloc vec.Allocator, kinds []types.Kind) *rowStore {
	s := &rowStore{alloc: alloc, kinds: kinds, open: -1, cols: make([]blockColumn, len(kinds))}
	for i, k := range kinds {
		s.cols[i].kind = k
	}
	return s
}

func setAt[E any](s *[]E, i int, e E) {
	for len(*s) <= i {
		var zero E
		*s = append(*s, zero)
	}
	(*s)[i] = e
}

// bind publishes the slices of block b, which appending may have moved.
func (c *blockColumn) bind(b int, v *vec.Vec) {
	switch c.kind {
	case types.KindBool:
		setAt(&c.bools, b, v.Bools)
	case types.KindInt16:
		setAt(&c.i16, b, v.I16)
	case types.KindInt32:
		setAt(&c.i32, b, v.I32)
	case types.KindInt64:
		setAt(&c.i64, b, v.I64)
	case types.KindFloat32:
		setAt(&c.f32, b, v.F32)
	case types.KindFloat64:
		setAt(&c.f64, b, v.F64)
	case types.KindFixed16:
		setAt(&c.f16, b, v.F16)
	default:
		setAt(&c.off, b, v.Off)
		setAt(&c.data, b, v.Data)
	}
	had := b < len(c.valid) && c.valid[b] != nil
	setAt(&c.valid, b, v.Valid)
	if has := v.Valid != nil; has != had {
		if has {
			c.nulls++
		} else {
			c.nulls--
		}
	}
}

func (s *rowStore) newBlock() (int, *rowBlock) {
	b := &rowBlock{minT: vec.MaxTime, maxT: vec.MinTime, pending: vec.MaxTime}
	b.users.Store(1)
	var at int
	if n := len(s.spare); n > 0 {
		at = int(s.spare[n-1])
		s.spare = s.spare[:n-1]
		s.blocks[at] = b
	} else {
		at = len(s.blocks)
		s.blocks = append(s.blocks, b)
	}
	return at, b
}

func (s *rowStore) bind(at int) {
	b := s.blocks[at]
	for i := range s.cols {
		s.cols[i].bind(at, &b.cols[i])
	}
}

// side makes room in the arrays beside the columns for n rows of block at, those from `from` on zeroed.
func (s *rowStore) side(at, from, n int) {
	if s.keepNext {
		setAt(&s.next, at, growSide(sideAt(s.next, at), from, n))
	}
	if s.keepCounts {
		setAt(&s.counts, at, growSide(sideAt(s.counts, at), from, n))
	}
	if s.keepMatches {
		setAt(&s.matches, at, growSide(sideAt(s.matches, at), from, n))
	}
}

func sideAt[E any](s [][]E, at int) []E {
	if at < len(s) {
		return s[at]
	}
	return nil
}

func growSide[E any](s []E, from, n int) []E {
	if n > cap(s) {
		t := make([]E, n, max(n, min(2*cap(s), blockRows)))
		copy(t, s)
		s = t
	}
	s = s[:n]
	clear(s[from:])
	return s
}

// lend keeps a batch of at most blockRows rows as a block. All its rows get count 1.
func (s *rowStore) lend(b *vec.Batch) int {
	at, blk := s.newBlock()
	blk.batch = b.Retain()
	blk.cols = b.Views(nil)
	blk.n, blk.live = b.N, b.N
	s.side(at, 0, b.N)
	if s.keepCounts {
		for i := range s.counts[at] {
			s.counts[at][i] = 1
		}
	}
	s.bind(at)
	s.live += b.N
	blk.held = b.Bytes() + s.sideBytes(b.N)
	s.held += blk.held
	return at
}

// sideBytes gives what n rows take beside their columns.
func (s *rowStore) sideBytes(n int) int64 {
	each := 0
	for _, keep := range []bool{s.keepNext, s.keepCounts, s.keepMatches} {
		if keep {
			each += 4
		}
	}
	return int64(n * each)
}

// measure brings the bytes of a block of the store's own up to date.
func (s *rowStore) measure(at int) {
	b := s.blocks[at]
	held := s.sideBytes(b.n)
	for i := range b.cols {
		held += int64(b.cols[i].Held())
	}
	s.held += held - b.held
	b.held = held
}

// room gives a block with room for at least one more row. A reference is to the block's next row.
func (s *rowStore) room() (int, *rowBlock) {
	if s.open >= 0 {
		if b := s.blocks[s.open]; b.n < blockRows {
			return s.open, b
		}
	}
	at, b := s.newBlock()
	b.cols = make([]vec.Vec, len(s.kinds))
	for i, k := range s.kinds {
		b.cols[i].SetAllocator(s.alloc)
		b.cols[i].Reset(k, 0)
	}
	s.side(at, 0, 0)
	s.open = at
	return at, b
}

// closeOpen makes the next append start a block of its own.
func (s *rowStore) closeOpen() { s.open = -1 }

// add appends row i of cols with count 1 and gives its reference.
func (s *rowStore) add(cols []vec.Vec, i int) rowRef {
	at, b := s.room()
	for c := range b.cols {
		b.cols[c].Append(&cols[c], i)
	}
	row := b.n
	b.n++
	b.live++
	s.live++
	s.side(at, row, b.n)
	if s.keepCounts {
		s.counts[at][row] = 1
	}
	s.bind(at)
	if b.n&255 == 1 {
		s.measure(at)
	}
	return rowRef(at<<blockBits | row)
}

// addSel appends the rows sel of cols with count 1, calling each with the reference of every run that went into one block.
func (s *rowStore) addSel(cols []vec.Vec, sel []int32, each func(at, row int, sel []int32)) {
	for len(sel) > 0 {
		at, b := s.room()
		n := min(len(sel), blockRows-b.n)
		for c := range b.cols {
			b.cols[c].Gather(&cols[c], sel[:n])
		}
		row := b.n
		b.n += n
		b.live += n
		s.live += n
		s.side(at, row, b.n)
		if s.keepCounts {
			counts := s.counts[at]
			for i := row; i < b.n; i++ {
				counts[i] = 1
			}
		}
		s.bind(at)
		s.measure(at)
		each(at, row, sel[:n])
		sel = sel[n:]
	}
}

// kill marks a row whose count fell to 0.
func (s *rowStore) kill(r rowRef) {
	b := s.blocks[r>>blockBits]
	if !s.keepCounts {
		if b.gone == nil {
			b.gone = make([]uint64, blockRows/64)
		}
		b.gone[r&blockMask/64] |= 1 << (r % 64)
	}
	b.live--
	s.live--
	s.dead++
}

// drop frees a block with all its rows.
func (s *rowStore) drop(at int) {
	b := s.blocks[at]
	s.live -= b.live
	s.dead -= b.n - b.live
	s.freeBlock(at)
	s.spare = append(s.spare, uint32(at))
}

func (s *rowStore) freeBlock(at int) {
	b := s.blocks[at]
	s.held -= b.held
	var none vec.Vec
	for i := range s.cols {
		s.cols[i].bind(at, &none)
	}
	if s.keepNext {
		s.next[at] = nil
	}
	if s.keepCounts {
		s.counts[at] = nil
	}
	if s.keepMatches {
		s.matches[at] = nil
	}
	b.release()
	if s.open == at {
		s.open = -1
	}
	s.blocks[at] = nil
}

// reset drops all rows.
func (s *rowStore) reset() {
	for at, b := range s.blocks {
		if b != nil {
			s.freeBlock(at)
		}
	}
	s.blocks, s.spare, s.open, s.live, s.dead = s.blocks[:0], s.spare[:0], -1, 0, 0
}

// col gives a column of the block of a row, for comparers.
func (s *rowStore) at(r rowRef) (cols []vec.Vec, row int) {
	return s.blocks[r>>blockBits].cols, int(r & blockMask)
}

func (s *rowStore) count(r rowRef) int32 {
	if !s.keepCounts {
		return 1
	}
	return s.counts[r>>blockBits][r&blockMask]
}
