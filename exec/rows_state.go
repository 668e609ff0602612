package exec

import (
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
	cols := make([]vec.Vec, len(s.kinds))
	for i := range cols {
		cols[i].SetAllocator(s.alloc)
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
	releaseViews(cols)
}

// readStore adds the rows that writeStore wrote to a store and gives their references in the same order.
func readStore(r *state.Reader, s *rowStore) ([]rowRef, error) {
	cols := make([]vec.Vec, len(s.kinds))
	for i := range cols {
		cols[i].SetAllocator(s.alloc)
	}
	n, err := readRows(r, cols, s.kinds)
	var refs []rowRef
	if err == nil {
		s.addSel(cols, iota32(n), func(at, row int, sel []int32) {
			for i := range sel {
				refs = append(refs, rowRef(at<<blockBits|(row+i)))
			}
		})
	}
	for i := range cols {
		cols[i].Release()
	}
	return refs, err
}
