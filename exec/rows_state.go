package exec

import (
	"slices"

	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/state"
)

func iota32(n int) []int32 {
	sel := make([]int32, n)
	for i := range sel {
		sel[i] = int32(i)
	}
	return sel
}

// writeColumn writes all values of a column; readColumn reads n of them back into v, which it resets to kind k.
func writeColumn(w *state.Writer, v *vec.Vec) {
	w.Append(func(dst []byte) []byte { return appendColumn(dst, v, nil) })
}

func readColumn(r *state.Reader, v *vec.Vec, k types.Kind, n int) {
	v.Reset(k, 0)
	r.Take(func(b []byte) ([]byte, bool) { return takeColumn(v, n, b) })
}

// writeRows writes the rows sel of cols, for readRows.
func writeRows(w *state.Writer, cols []vec.Vec, sel []int32) {
	w.Uint64(uint64(len(sel)))
	for c := range cols {
		w.Append(func(dst []byte) []byte { return appendColumn(dst, &cols[c], sel) })
	}
}

// laterRows is from how many rows on a block is not copied into a snapshot but shared with it. Tests make it less.
var laterRows = 1024

// writeBlock writes the rows sel of a block as writeRows does, later if nothing is appended to the block any more.
func (s *rowStore) writeBlock(w *state.Writer, at int, sel []int32) {
	blk := s.blocks[at]
	if at == s.open && blk.n < blockRows || len(sel) < laterRows {
		writeRows(w, blk.cols, sel)
		return
	}
	w.Uint64(uint64(len(sel)))
	if len(sel) == blk.n { // all of them, in order
		sel = nil
	}
	blk.users.Add(int32(len(blk.cols)))
	for c := range blk.cols {
		w.Later(func(dst []byte) []byte { return appendColumn(dst, &blk.cols[c], sel) }, blk.release)
	}
}

// liveRows appends the rows of a block that have not been killed. Counts are not kept.
func (s *rowStore) liveRows(dst []int32, at int) []int32 {
	b := s.blocks[at]
	for i := range int32(b.n) {
		if b.gone == nil || b.gone[i/64]>>(i%64)&1 == 0 {
			dst = append(dst, i)
		}
	}
	return dst
}

// readRows reads what writeRows wrote into cols, which it resets to kinds, and gives the number of rows.
func readRows(r *state.Reader, cols []vec.Vec, kinds []types.Kind) (int, error) {
	n := r.Uint64()
	if n > 1<<31 {
		return 0, errForeignState()
	}
	for i := range cols {
		readColumn(r, &cols[i], kinds[i], int(n))
	}
	return int(n), r.Err()
}

// writeBatch writes a batch's rows with their changes, for readBatch. W is not kept: a
// batch is only held where nothing is late.
func writeBatch(w *state.Writer, b *vec.Batch) {
	writeRows(w, b.Views(nil), iota32(b.N))
	w.Bool(b.Ops != nil)
	if b.Ops != nil {
		for _, op := range b.Ops {
			w.Bool(op == vec.Delete)
		}
	}
}

// readBatch reads what writeBatch wrote. The caller releases it.
func readBatch(r *state.Reader, alloc vec.Allocator, schema *vec.Schema) (*vec.Batch, error) {
	bld := vec.NewBuilder(alloc, schema)
	defer bld.Release()
	n, err := readRows(r, bld.Cols, schemaKinds(schema))
	if err != nil {
		return nil, err
	}
	if len(bld.Cols) == 0 {
		bld.Ops = make([]vec.Op, n)
	}
	b := bld.Finish()
	b.Ops = nil
	if r.Bool() {
		b.Ops = make([]vec.Op, n)
		for i := range b.Ops {
			b.Ops[i] = vec.Insert
			if r.Bool() {
				b.Ops[i] = vec.Delete
			}
		}
	}
	if err := r.Err(); err != nil {
		b.Release()
		return nil, err
	}
	return b, nil
}

// writeStore writes rows of a store in the order of refs, for readStore.
func writeStore(w *state.Writer, s *rowStore, refs []rowRef) {
	w.Uint64(uint64(len(refs)))
	cols := make([]vec.Vec, len(s.kinds))
	for i := range cols {
		cols[i].SetAllocator(s.alloc)
	}
	for part := range slices.Chunk(refs, storeRows) {
		writeRefs(w, s, part, cols)
	}
	releaseViews(cols)
}

// storeRows is how many rows of a store are written at a time at most.
const storeRows = 8 * blockRows

// writeLive writes the rows of a store that have not been killed, for readStore. Counts are not kept.
func (s *rowStore) writeLive(w *state.Writer) {
	w.Uint64(uint64(s.live))
	for at, b := range s.blocks {
		if b != nil && b.live > 0 {
			s.writeBlock(w, at, s.liveRows(make([]int32, 0, b.live), at))
		}
	}
}

func writeRefs(w *state.Writer, s *rowStore, refs []rowRef, cols []vec.Vec) {
	for i := range cols {
		cols[i].Reset(s.kinds[i], 0)
	}
	var sel []int32
	for i := 0; i < len(refs); { // the rows that stand together in a block at a time
		at := refs[i] >> blockBits
		for sel = sel[:0]; i < len(refs) && refs[i]>>blockBits == at; i++ {
			sel = append(sel, int32(refs[i]&blockMask))
		}
		for c := range cols {
			cols[c].Gather(&s.blocks[at].cols[c], sel)
		}
	}
	writeRows(w, cols, iota32(len(refs)))
}

// readStore adds the rows that writeStore wrote to a store and gives their references in the same order.
func readStore(r *state.Reader, s *rowStore) (refs []rowRef, err error) {
	err = readParts(r, s, func(cols []vec.Vec, n int) {
		s.addSel(cols, iota32(n), func(at, row int, sel []int32) {
			for i := range sel {
				refs = append(refs, rowRef(at<<blockBits|(row+i)))
			}
		})
	})
	return refs, err
}

// readParts calls each with some rows at a time of what writeStore wrote.
func readParts(r *state.Reader, s *rowStore, each func(cols []vec.Vec, n int)) error {
	cols := make([]vec.Vec, len(s.kinds))
	for i := range cols {
		cols[i].SetAllocator(s.alloc)
	}
	defer releaseViews(cols)
	for left := r.Uint64(); left > 0; {
		n, err := readRows(r, cols, s.kinds)
		if err != nil {
			return err
		}
		if n == 0 || uint64(n) > left {
			return errForeignState()
		}
		left -= uint64(n)
		each(cols, n)
	}
	return r.Err()
}
