package vec

import (
	"encoding/binary"
	"math/bits"
	"unsafe"

	"github.com/zeebo/xxh3"

	"streamsql/internal/types"
)

// Digest gives a hash of the rows of b: of their values and changes, not of where they lie in memory. It goes over whole
// columns, at the speed of memory where nothing is NULL.
func (b *Batch) Digest(views []Vec) uint64 {
	h := uint64(b.N)
	for c := range b.Cols {
		h = bits.RotateLeft64(h, 7) ^ views[c].digest()
		h *= 0x9E3779B97F4A7C15
	}
	if b.Ops != nil {
		h ^= xxh3.Hash(rawBytes(b.Ops))
	}
	return h
}

// rawBytes gives the memory of a slice of numbers.
func rawBytes[E any](s []E) []byte {
	var e E
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), len(s)*int(unsafe.Sizeof(e)))
}

func (v *Vec) digest() uint64 {
	if v.Const || !v.allValid() {
		return v.digestRows()
	}
	switch v.Kind {
	case types.KindBool:
		return xxh3.Hash(rawBytes(v.Bools[:v.N]))
	case types.KindInt16:
		return xxh3.Hash(rawBytes(v.I16[:v.N]))
	case types.KindInt32:
		return xxh3.Hash(rawBytes(v.I32[:v.N]))
	case types.KindInt64:
		return xxh3.Hash(rawBytes(v.I64[:v.N]))
	case types.KindFloat32:
		return xxh3.Hash(rawBytes(v.F32[:v.N]))
	case types.KindFloat64:
		return xxh3.Hash(rawBytes(v.F64[:v.N]))
	case types.KindFixed16:
		return xxh3.Hash(rawBytes(v.F16[:v.N]))
	}
	if v.N == 0 {
		return 0
	}
	if v.Off[0] != 0 {
		return v.digestRows()
	}
	return xxh3.Hash(v.Data[:v.Off[v.N]]) ^ bits.RotateLeft64(xxh3.Hash(rawBytes(v.Off[:v.N+1])), 1)
}

// digestRows is the slow way, for columns whose memory may hold more than their values: what lies under a NULL. A column
// without NULL must not be taken for one that has some, so the result need not agree with the fast way.
func (v *Vec) digestRows() uint64 {
	var buf []byte
	one := []Vec{*v}
	for i := range v.N {
		if v.IsNull(i) {
			buf = append(buf, 0)
			continue
		}
		buf = binary.AppendUvarint(append(buf, 1), uint64(i))
		buf = AppendRow(buf, one, i)
	}
	return xxh3.Hash(buf)
}

// allValid reports whether no value is NULL; a bitmap that says so of every row may be there.
func (v *Vec) allValid() bool {
	if v.Valid == nil {
		return true
	}
	whole := v.N / 64
	for _, w := range v.Valid[:whole] {
		if w != ^uint64(0) {
			return false
		}
	}
	rest := uint(v.N % 64)
	return rest == 0 || ^v.Valid[whole]&(1<<rest-1) == 0
}
