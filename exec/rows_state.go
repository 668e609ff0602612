package exec

import (
	"streamsql/internal/pgerr"
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

// writeRows writes the rows sel of cols, for readRows.
func writeRows(w *state.Writer, cols []vec.Vec, sel []int32) {
	w.Uint64(uint64(len(sel)))
	var row []byte
	for _, i := range sel {
		row = vec.AppendRow(row[:0], cols, int(i))
		w.Blob(row)
	}
}

// readRows reads what writeRows wrote into cols, which it resets to kinds, and gives the number of rows.
func readRows(r *state.Reader, cols []vec.Vec, kinds []types.Kind) (int, error) {
	for i := range cols {
		cols[i].Reset(kinds[i], 0)
	}
	n := int(r.Uint64())
	for range n {
		row := r.Blob()
		if r.Err() != nil {
			return 0, r.Err()
		}
		if !vec.DecodeInto(row, cols) {
			return 0, pgerr.New(pgerr.DataCorrupted, "operator state is cut short or damaged")
		}
	}
	return n, r.Err()
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
	var buf []byte
	for _, r := range refs {
		cols, row := s.at(r)
		buf = vec.AppendRow(buf[:0], cols, row)
		w.Blob(buf)
	}
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
