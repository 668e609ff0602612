package exec

import (
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

func gatherRows[E any](dst []E, src [][]E, refs []rowRef) {
	dst = dst[:len(refs)]
	for i, r := range refs {
		dst[i] = src[r>>blockBits][r&blockMask]
	}
}

func gatherPadded[E any](dst []E, src [][]E, refs []rowRef) {
	dst = dst[:len(refs)]
	for i, r := range refs {
		if r == noRow {
			var zero E
			dst[i] = zero
			continue
		}
		dst[i] = src[r>>blockBits][r&blockMask]
	}
}

func gatherEither[E any](padded bool, dst []E, src [][]E, refs []rowRef) {
	if padded {
		gatherPadded(dst, src, refs)
	} else {
		gatherRows(dst, src, refs)
	}
}

// gather appends column c of the rows refs to v, whose kind is the column's; noRow gives NULL, which padded announces.
func (s *rowStore) gather(v *vec.Vec, c int, refs []rowRef, padded bool) {
	if len(refs) == 0 {
		return
	}
	col := &s.cols[c]
	at := v.N
	v.Extend(len(refs))
	switch col.kind {
	case types.KindBool:
		gatherEither(padded, v.Bools[at:], col.bools, refs)
	case types.KindInt16:
		gatherEither(padded, v.I16[at:], col.i16, refs)
	case types.KindInt32:
		gatherEither(padded, v.I32[at:], col.i32, refs)
	case types.KindInt64:
		gatherEither(padded, v.I64[at:], col.i64, refs)
	case types.KindFloat32:
		gatherEither(padded, v.F32[at:], col.f32, refs)
	case types.KindFloat64:
		gatherEither(padded, v.F64[at:], col.f64, refs)
	case types.KindFixed16:
		gatherEither(padded, v.F16[at:], col.f16, refs)
	default:
		total := 0
		for _, r := range refs {
			if r != noRow {
				off := col.off[r>>blockBits]
				total += int(off[r&blockMask+1] - off[r&blockMask])
			}
		}
		d := v.DataTail(total)
		off := v.Off[at+1:]
		for i, r := range refs {
			if r != noRow {
				o := col.off[r>>blockBits]
				d = append(d, col.data[r>>blockBits][o[r&blockMask]:o[r&blockMask+1]]...)
			}
			off[i] = int32(len(d))
		}
		v.Data = d
	}
	if padded || col.nulls > 0 {
		for i, r := range refs {
			if r == noRow {
				v.SetNull(at + i)
				continue
			}
			row := r & blockMask
			if valid := col.valid[r>>blockBits]; valid != nil && valid[row>>6]>>(row&63)&1 == 0 {
				v.SetNull(at + i)
			}
		}
	}
}

// appendNulls appends n NULLs to v.
func appendNulls(v *vec.Vec, n int) {
	if n == 0 {
		return
	}
	at := v.N
	v.Extend(n)
	if v.Off != nil {
		off := v.Off[at+1 : at+n+1]
		for i := range off {
			off[i] = int32(len(v.Data))
		}
	}
	for i := at; i < at+n; i++ {
		v.SetNull(i)
	}
}

// gatherBatch appends rows of a batch's column; -1 gives NULL, which padded announces.
func gatherBatch(v, src *vec.Vec, sel []int32, padded bool) {
	if !padded {
		v.Gather(src, sel)
		return
	}
	for lo := 0; lo < len(sel); {
		hi := lo + 1
		pad := sel[lo] < 0
		for hi < len(sel) && (sel[hi] < 0) == pad {
			hi++
		}
		if pad {
			appendNulls(v, hi-lo)
		} else {
			v.Gather(src, sel[lo:hi])
		}
		lo = hi
	}
}

// takeRows makes a batch of the rows refs of the store. ops nil: all inserts. The caller releases it.
func (s *rowStore) takeRows(schema *vec.Schema, refs []rowRef, ops []vec.Op) *vec.Batch {
	b := vec.NewBuilder(s.alloc, schema)
	for c := range s.cols {
		s.gather(&b.Cols[c], c, refs, false)
	}
	if len(s.cols) == 0 {
		for range refs {
			b.Ops = append(b.Ops, vec.Insert)
		}
	}
	out := b.Finish()
	b.Release()
	out.Ops = ops
	return out
}

// emitRows sends the rows refs in batches of at most vec.MaxRows.
func (s *rowStore) emitRows(out Output, schema *vec.Schema, refs []rowRef, ops []vec.Op) error {
	for len(refs) > 0 {
		n := min(len(refs), vec.MaxRows)
		var o []vec.Op
		if ops != nil {
			o, ops = ops[:n], ops[n:]
		}
		b := s.takeRows(schema, refs[:n], o)
		err := out.Emit(b)
		b.Release()
		if err != nil {
			return err
		}
		refs = refs[n:]
	}
	return nil
}
