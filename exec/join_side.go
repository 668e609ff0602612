package exec

import (
	"math"

	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// joinSide is one input of a join: its rows by key.
type joinSide struct {
	keys     []int
	keyTypes []types.T
	schema   *vec.Schema
	store    *rowStore
	// byRow finds a row that is taken back; only where the input retracts.
	byRow    rowIndex
	retracts bool
	// pad says that unmatched rows are emitted with NULLs (in an anti join: emitted).
	pad bool
	// timeCol is the column that bounds matches, -1 none. A row at t is final when no row of the other side at or
	// below t+shift can come: shift is Hi for the left side, -Lo for the right one.
	timeCol int
	shift   int64
	// final is the other side's watermark (one more where times are window ends): rows with t+shift < final are final.
	final   vec.Time
	width   int64 // how much event time a bucket should span
	buckets []*joinBucket
	mark    Mark
	active  bool // a watermark other than idle was seen
	ended   bool

	views  []vec.Vec
	hashes []uint64
}

// joinBucket indexes some of a side's rows: all of them, or those that arrived while the event
// time advanced by about a bucket's width, so that they are freed together.
type joinBucket struct {
	groups     groupTable
	heads      []rowRef // by group id: the first row of the key's chain
	blocks     []int
	todo       []linkRange // rows not indexed yet
	todoRows   int
	rows       int
	minT, maxT vec.Time
	scanned    int // probes that looked through todo instead of indexing it
}

// linkRange is the rows [from, to) of a block.
type linkRange struct{ at, from, to int }

// scanProbes is how many rows may be looked up by scanning a bucket before it is worth indexing.
const scanProbes = 32

func satAdd(a, b int64) int64 {
	c := a + b
	switch {
	case b > 0 && c < a:
		return math.MaxInt64
	case b < 0 && c > a:
		return math.MinInt64
	}
	return c
}

func newJoinSide(alloc vec.Allocator, schema *vec.Schema, keys []int, retracts bool) *joinSide {
	s := &joinSide{keys: keys, schema: schema, retracts: retracts, timeCol: -1,
		final: vec.MinTime, mark: Mark{W: vec.MinTime}}
	for _, k := range keys {
		s.keyTypes = append(s.keyTypes, schema.Fields[k].Type)
	}
	s.store = newRowStore(alloc, schemaKinds(schema))
	s.store.keepNext = true
	s.store.keepCounts = retracts
	return s
}

// keyCols gives the key columns of a set of columns.
func keyCols(dst []vec.Vec, cols []vec.Vec, keys []int) []vec.Vec {
	dst = dst[:0]
	for _, k := range keys {
		dst = append(dst, cols[k])
	}
	return dst
}

// timeOf gives the event time in row i of a time column, in microseconds.
func timeOf(v *vec.Vec, i int) vec.Time {
	if v.Kind == types.KindInt32 {
		switch d := v.I32[i]; d {
		case types.DatePosInfinity:
			return types.PosInfinity
		case types.DateNegInfinity:
			return types.NegInfinity
		default:
			return int64(d) * 86400e6
		}
	}
	return v.I64[i]
}

func (s *joinSide) rowTime(r rowRef) vec.Time {
	c := &s.store.cols[s.timeCol]
	if c.kind == types.KindInt64 {
		return c.i64[r>>blockBits][r&blockMask]
	}
	return timeOf(&s.store.blocks[r>>blockBits].cols[s.timeCol], int(r&blockMask))
}

// bucketFor gives the bucket that takes rows with times between lo and hi.
func (s *joinSide) bucketFor(lo, hi vec.Time) *joinBucket {
	if n := len(s.buckets); n > 0 {
		b := s.buckets[n-1]
		if s.timeCol < 0 || n >= maxBuckets || b.rows < minBucketRows ||
			max(b.maxT, hi)-min(b.minT, lo) <= s.width {
			b.minT, b.maxT = min(b.minT, lo), max(b.maxT, hi)
			return b
		}
	}
	b := &joinBucket{minT: lo, maxT: hi}
	if len(s.keys) > 0 {
		b.groups = newGroups(s.store.alloc, s.keyTypes)
	}
	s.buckets = append(s.buckets, b)
	s.store.closeOpen()
	return b
}

const (
	maxBuckets    = 8
	minBucketRows = 4 * blockRows
)

// enqueue notes that n rows of block at, from a row on, belong to b and are to be indexed.
func (s *joinSide) enqueue(b *joinBucket, at, from, n int) {
	if blk := s.store.blocks[at]; blk.bucket != b {
		blk.bucket = b
		b.blocks = append(b.blocks, at)
	}
	if k := len(b.todo); k > 0 && b.todo[k-1].at == at && b.todo[k-1].to == from {
		b.todo[k-1].to += n
	} else {
		b.todo = append(b.todo, linkRange{at, from, from + n})
	}
	b.todoRows += n
	b.rows += n
}

// link indexes the rows of a bucket that are not yet.
func (s *joinSide) link(b *joinBucket, sc *joinScratch) {
	for _, r := range b.todo {
		blk := s.store.blocks[r.at]
		n := r.to - r.from
		cols := keyCols(sc.keys, blk.cols, s.keys)
		if r.from > 0 {
			for i := range cols {
				for len(sc.parts) <= i {
					sc.parts = append(sc.parts, vec.Vec{})
				}
				p := &sc.parts[i]
				p.SetAllocator(s.store.alloc)
				p.Reset(cols[i].Kind, 0)
				p.AppendRange(&cols[i], r.from, r.to)
				cols[i] = *p
			}
		}
		sc.keys = cols
		ids := growSide(sc.linkIDs[:0], 0, n)
		sc.linkIDs = ids
		b.groups.Intern(cols, ids)
		for len(b.heads) < b.groups.Len() {
			b.heads = append(b.heads, noRow)
		}
		next := s.store.next[r.at][r.from:r.to]
		first := rowRef(r.at<<blockBits | r.from)
		for i, id := range ids {
			next[i] = b.heads[id]
			b.heads[id] = first + rowRef(i)
		}
	}
	b.todo, b.todoRows = b.todo[:0], 0
}

// joinScratch is memory that both sides use in turn.
type joinScratch struct {
	keys    []vec.Vec
	parts   []vec.Vec
	linkIDs []uint32
}

func (sc *joinScratch) release() {
	for i := range sc.parts {
		sc.parts[i].Release()
	}
}

// insertRows keeps the rows sel of a batch (nil: all); none of them is a delete. matched has their matches.
func (s *joinSide) insertRows(b *vec.Batch, cols []vec.Vec, sel []int32, matched []int32, times []vec.Time) {
	lo, hi := vec.MaxTime, vec.MinTime
	switch {
	case times == nil:
	case sel == nil:
		for _, t := range times[:b.N] {
			lo, hi = min(lo, t), max(hi, t)
		}
	default:
		for _, i := range sel {
			lo, hi = min(lo, times[i]), max(hi, times[i])
		}
	}
	bk := s.bucketFor(lo, hi)
	if sel == nil && b.N >= lendRows && b.N <= blockRows {
		at := s.store.lend(b)
		if s.store.keepMatches {
			copy(s.store.matches[at], matched)
		}
		s.enqueue(bk, at, 0, b.N)
		s.noteTimes(at, 0, times, nil, matched)
		return
	}
	if sel == nil {
		sel = make([]int32, b.N)
		for i := range sel {
			sel[i] = int32(i)
		}
	}
	s.store.addSel(cols, sel, func(at, row int, part []int32) {
		if s.store.keepMatches {
			m := s.store.matches[at][row:]
			for k, i := range part {
				m[k] = matched[i]
			}
		}
		s.enqueue(bk, at, row, len(part))
		s.noteTimes(at, row, times, part, matched)
	})
}

// noteTimes keeps the bounds of a block up to date with rows that were added.
func (s *joinSide) noteTimes(at, row int, times []vec.Time, sel []int32, matched []int32) {
	blk := s.store.blocks[at]
	if times == nil {
		blk.pending = vec.MinTime
		return
	}
	n := blk.n - row
	for k := range n {
		i := k
		if sel != nil {
			i = int(sel[k])
		}
		t := times[i]
		blk.minT, blk.maxT = min(blk.minT, t), max(blk.maxT, t)
		if s.pad {
			blk.pending = min(blk.pending, t, vec.MaxTime-1) // MaxTime, infinity, would say that none is
		}
	}
}

// insertRow keeps one row of an input that retracts, or counts it where there is one like it.
func (s *joinSide) insertRow(cols []vec.Vec, i int, h uint64, matched int32, t vec.Time, timed bool) {
	if r := s.byRow.find(s.store, cols, i, h); r != noRow {
		s.store.counts[r>>blockBits][r&blockMask]++
		return
	}
	lo, hi := vec.MaxTime, vec.MinTime
	if timed {
		lo, hi = t, t
	}
	bk := s.bucketFor(lo, hi)
	r := s.store.add(cols, i)
	at, row := int(r>>blockBits), int(r&blockMask)
	s.byRow.add(r, h)
	if s.store.keepMatches {
		s.store.matches[at][row] = matched
	}
	s.enqueue(bk, at, row, 1)
	blk := s.store.blocks[at]
	if timed {
		blk.minT, blk.maxT = min(blk.minT, t), max(blk.maxT, t)
		blk.pending = min(blk.pending, t, vec.MaxTime-1)
	} else {
		blk.pending = vec.MinTime
	}
}

// deleteRow takes a row back; false if it is not there.
func (s *joinSide) deleteRow(cols []vec.Vec, i int, h uint64) bool {
	r := s.byRow.find(s.store, cols, i, h)
	if r == noRow {
		return false
	}
	c := &s.store.counts[r>>blockBits][r&blockMask]
	if *c--; *c == 0 {
		s.byRow.remove(r, h)
		s.store.kill(r)
	}
	return true
}

// dropBucket frees the rows of bucket i.
func (s *joinSide) dropBucket(i int) {
	b := s.buckets[i]
	for _, at := range b.blocks {
		if s.retracts {
			blk := s.store.blocks[at]
			hs := growSide(s.hashes[:0], 0, blk.n)
			s.hashes = hs
			hashRows(blk.cols, blk.n, hs)
			for row, h := range hs {
				if s.store.counts[at][row] > 0 {
					s.byRow.remove(rowRef(at<<blockBits|row), h)
				}
			}
		}
		s.store.drop(at)
	}
	if b.groups != nil {
		b.groups.Close()
	}
	s.buckets = append(s.buckets[:i], s.buckets[i+1:]...)
}

// clear frees everything.
func (s *joinSide) clear() {
	for _, b := range s.buckets {
		if b.groups != nil {
			b.groups.Close()
		}
	}
	s.buckets = nil
	s.store.reset()
	s.byRow.reset()
}

// compact rebuilds the side without its dead rows once they are the larger part.
func (s *joinSide) compact() {
	if s.store.dead < 4096 || s.store.dead < s.store.live {
		return
	}
	old := s.store
	s.store = newRowStore(old.alloc, old.kinds)
	s.store.keepNext, s.store.keepCounts, s.store.keepMatches = old.keepNext, old.keepCounts, old.keepMatches
	s.byRow.reset()
	buckets := s.buckets
	s.buckets = nil
	for _, b := range buckets {
		if b.groups != nil {
			b.groups.Close()
		}
		nb := &joinBucket{minT: b.minT, maxT: b.maxT}
		if len(s.keys) > 0 {
			nb.groups = newGroups(old.alloc, s.keyTypes)
		}
		s.store.closeOpen()
		for _, at := range b.blocks {
			s.moveLive(old, at, nb)
		}
		if nb.rows > 0 {
			s.buckets = append(s.buckets, nb)
		} else if nb.groups != nil {
			nb.groups.Close()
		}
	}
	old.reset()
}

func (s *joinSide) moveLive(old *rowStore, at int, nb *joinBucket) {
	blk := old.blocks[at]
	sel := make([]int32, 0, blk.live)
	for row := range blk.n {
		if old.counts[at][row] > 0 {
			sel = append(sel, int32(row))
		}
	}
	hs := make([]uint64, blk.n)
	hashRows(blk.cols, blk.n, hs)
	s.store.addSel(blk.cols, sel, func(to, row int, part []int32) {
		for k, i := range part {
			s.store.counts[to][row+k] = old.counts[at][i]
			if s.store.keepMatches {
				s.store.matches[to][row+k] = old.matches[at][i]
			}
			s.byRow.add(rowRef(to<<blockBits|row+k), hs[i])
		}
		s.enqueue(nb, to, row, len(part))
		nblk := s.store.blocks[to]
		nblk.minT, nblk.maxT = min(nblk.minT, blk.minT), max(nblk.maxT, blk.maxT)
		nblk.pending = min(nblk.pending, blk.pending)
	})
}
