package exec

import (
	"encoding/binary"
	"math"
	"unsafe"

	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// Columns are written, for checkpoints and for what does not fit into memory, as they lie there: whether there are NULLs and which, and
// the values, little-endian, which is how the machines that we run on hold them.

// extendBytes gives dst with n more bytes of any content.
func extendBytes(dst []byte, n int) []byte {
	if len(dst)+n <= cap(dst) {
		return dst[:len(dst)+n]
	}
	t := make([]byte, len(dst)+n, max(len(dst)+n, 2*cap(dst)))
	copy(t, dst)
	return t
}

// appendColumn appends the rows sel of a column (nil: all of them): whether there are NULLs, which, and the values.
func appendColumn(dst []byte, v *vec.Vec, sel []int32) []byte {
	all := sel == nil
	if all {
		if raw := rawColumn(v); raw != nil && v.Valid == nil {
			return append(append(dst, 0), raw...)
		}
		sel = iota32(v.N)
	}
	n := len(sel)
	nulls := false
	if v.Valid != nil {
		for _, r := range sel {
			nulls = nulls || v.IsNull(int(r))
		}
	}
	if nulls {
		dst = append(dst, 1)
		at := len(dst)
		dst = append(dst, make([]byte, (n+7)/8)...)
		for i, r := range sel {
			if v.IsNull(int(r)) {
				dst[at+i/8] |= 1 << (i % 8)
			}
		}
	} else {
		dst = append(dst, 0)
	}
	at := len(dst)
	switch v.Kind {
	case types.KindBool:
		dst = extendBytes(dst, n)
		for i, r := range sel {
			dst[at+i] = 0
			if v.Bools[r] {
				dst[at+i] = 1
			}
		}
	case types.KindInt16:
		dst = extendBytes(dst, 2*n)
		for i, r := range sel {
			binary.LittleEndian.PutUint16(dst[at+2*i:], uint16(v.I16[r]))
		}
	case types.KindInt32:
		dst = extendBytes(dst, 4*n)
		out := dst[at:]
		for i, r := range sel {
			binary.LittleEndian.PutUint32(out[4*i:], uint32(v.I32[r]))
		}
	case types.KindInt64:
		dst = extendBytes(dst, 8*n)
		out := dst[at:]
		for i, r := range sel {
			binary.LittleEndian.PutUint64(out[8*i:], uint64(v.I64[r]))
		}
	case types.KindFloat32:
		dst = extendBytes(dst, 4*n)
		for i, r := range sel {
			binary.LittleEndian.PutUint32(dst[at+4*i:], math.Float32bits(v.F32[r]))
		}
	case types.KindFloat64:
		dst = extendBytes(dst, 8*n)
		for i, r := range sel {
			binary.LittleEndian.PutUint64(dst[at+8*i:], math.Float64bits(v.F64[r]))
		}
	case types.KindFixed16:
		dst = extendBytes(dst, 16*n)
		for i, r := range sel {
			copy(dst[at+16*i:], v.F16[r][:])
		}
	default:
		dst = extendBytes(dst, 4*n)
		for i, r := range sel {
			size := 0
			if !v.IsNull(int(r)) {
				size = int(v.Off[r+1] - v.Off[r])
			}
			binary.LittleEndian.PutUint32(dst[at+4*i:], uint32(size))
		}
		if all && !nulls && n > 0 {
			return append(dst, v.Data[v.Off[0]:v.Off[n]]...)
		}
		for _, r := range sel {
			if !v.IsNull(int(r)) {
				dst = append(dst, v.Data[v.Off[r]:v.Off[r+1]]...)
			}
		}
	}
	return dst
}

// rawColumn gives the memory of the values of a column of fixed width, nil for another.
func rawColumn(v *vec.Vec) []byte {
	switch v.Kind {
	case types.KindBool:
		return wordsAsBytes(v.Bools[:v.N])
	case types.KindInt16:
		return wordsAsBytes(v.I16[:v.N])
	case types.KindInt32:
		return wordsAsBytes(v.I32[:v.N])
	case types.KindInt64:
		return wordsAsBytes(v.I64[:v.N])
	case types.KindFloat32:
		return wordsAsBytes(v.F32[:v.N])
	case types.KindFloat64:
		return wordsAsBytes(v.F64[:v.N])
	case types.KindFixed16:
		return wordsAsBytes(v.F16[:v.N])
	}
	return nil
}

func wordsAsBytes[E any](s []E) []byte {
	if len(s) == 0 {
		return nil
	}
	var e E
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), len(s)*int(unsafe.Sizeof(e)))
}

// takeColumn appends n values that appendColumn wrote to v and gives what follows them; false if they are cut short.
func takeColumn(v *vec.Vec, n int, b []byte) (rest []byte, ok bool) {
	take := func(size int) (part []byte) {
		if ok = ok && size <= len(b); ok {
			part, b = b[:size], b[size:]
		}
		return part
	}
	ok = true
	head := take(1)
	if !ok || n < 0 || n > len(b)*8+8 {
		return nil, false
	}
	var nulls []byte
	if head[0] != 0 {
		nulls = take((n + 7) / 8)
	}
	at, k := v.N, v.Kind
	if k == types.KindString || k == types.KindBytes {
		sizes := take(4 * n)
		for i := 0; i < n && ok; i++ {
			v.AppendBytes(take(int(binary.LittleEndian.Uint32(sizes[4*i:]))))
		}
	} else {
		v.Extend(n)
		copy(rawColumn(v)[at*width(k):], take(n*width(k)))
	}
	if !ok {
		return nil, false
	}
	if nulls != nil {
		for i := range n {
			if nulls[i/8]>>(i%8)&1 != 0 {
				v.SetNull(at + i)
			}
		}
	}
	return b, true
}

// width gives the bytes of a value of a kind of fixed width.
func width(k types.Kind) int {
	switch k {
	case types.KindBool:
		return 1
	case types.KindInt16:
		return 2
	case types.KindInt32, types.KindFloat32:
		return 4
	case types.KindFixed16:
		return 16
	}
	return 8
}
