package exec

import (
	"encoding/binary"
	"math"
	"unsafe"

	"streamsql/internal/spill"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// What an operator has yet to take in is written as records: rows of an input, column by column as they lie in memory, or a mark. Files
// live no longer than the process, so that words are in the machine's own order.

const (
	spillRows byte = iota
	spillMark
	spillKept // a batch that stays in memory
)

const (
	spillOps byte = 1 << iota // each row has its change
	spillW                    // each row has its watermark
)

// spillHead is the length of a record's head: what it is, the input, flags, the number of rows and the bytes that follow.
const spillHead = 3 + 4 + 4

func putHead(dst []byte, what byte, input int, flags byte, n, size int) {
	dst[0], dst[1], dst[2] = what, byte(input), flags
	binary.NativeEndian.PutUint32(dst[3:], uint32(n))
	binary.NativeEndian.PutUint32(dst[7:], uint32(size))
}

// appendRows appends a record of the rows sel of a batch, whose columns are views.
func appendRows(dst []byte, input int, views []vec.Vec, b *vec.Batch, sel []int32) []byte {
	at := len(dst)
	dst = append(dst, make([]byte, spillHead)...)
	var flags byte
	if b.Ops != nil {
		flags |= spillOps
		for _, r := range sel {
			dst = append(dst, byte(b.Ops[r]))
		}
	}
	if b.W != nil {
		flags |= spillW
		for _, r := range sel {
			dst = binary.NativeEndian.AppendUint64(dst, uint64(b.W[r]))
		}
	}
	for c := range views {
		dst = appendColumn(dst, &views[c], sel)
	}
	putHead(dst[at:], spillRows, input, flags, len(sel), len(dst)-at-spillHead)
	return dst
}

// extendBytes gives dst with n more bytes of any content.
func extendBytes(dst []byte, n int) []byte {
	if len(dst)+n <= cap(dst) {
		return dst[:len(dst)+n]
	}
	t := make([]byte, len(dst)+n, max(len(dst)+n, 2*cap(dst)))
	copy(t, dst)
	return t
}

// appendColumn appends the rows sel of a column: whether there are NULLs, which, and the values.
func appendColumn(dst []byte, v *vec.Vec, sel []int32) []byte {
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
			binary.NativeEndian.PutUint16(dst[at+2*i:], uint16(v.I16[r]))
		}
	case types.KindInt32:
		dst = extendBytes(dst, 4*n)
		out := dst[at:]
		for i, r := range sel {
			binary.NativeEndian.PutUint32(out[4*i:], uint32(v.I32[r]))
		}
	case types.KindInt64:
		dst = extendBytes(dst, 8*n)
		out := dst[at:]
		for i, r := range sel {
			binary.NativeEndian.PutUint64(out[8*i:], uint64(v.I64[r]))
		}
	case types.KindFloat32:
		dst = extendBytes(dst, 4*n)
		for i, r := range sel {
			binary.NativeEndian.PutUint32(dst[at+4*i:], math.Float32bits(v.F32[r]))
		}
	case types.KindFloat64:
		dst = extendBytes(dst, 8*n)
		for i, r := range sel {
			binary.NativeEndian.PutUint64(dst[at+8*i:], math.Float64bits(v.F64[r]))
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
			binary.NativeEndian.PutUint32(dst[at+4*i:], uint32(size))
		}
		for _, r := range sel {
			if !v.IsNull(int(r)) {
				dst = append(dst, v.Data[v.Off[r]:v.Off[r+1]]...)
			}
		}
	}
	return dst
}

func wordsAsBytes[E any](s []E) []byte {
	if len(s) == 0 {
		return nil
	}
	var e E
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), len(s)*int(unsafe.Sizeof(e)))
}

// readColumnRows appends n values that appendColumn wrote to v and gives what follows them.
func readColumnRows(v *vec.Vec, n int, b []byte) []byte {
	var nulls []byte
	some := b[0] != 0
	b = b[1:]
	if some {
		nulls, b = b[:(n+7)/8], b[(n+7)/8:]
	}
	at := v.N
	take := func(dst []byte) {
		copy(dst, b)
		b = b[len(dst):]
	}
	switch v.Kind {
	case types.KindString, types.KindBytes:
		sizes := b[:4*n]
		b = b[4*n:]
		for i := range n {
			k := binary.NativeEndian.Uint32(sizes[4*i:])
			v.AppendBytes(b[:k])
			b = b[k:]
		}
	default:
		v.Extend(n)
		switch v.Kind {
		case types.KindBool:
			for i := range n {
				v.Bools[at+i] = b[i] != 0
			}
			b = b[n:]
		case types.KindInt16:
			take(wordsAsBytes(v.I16[at:v.N]))
		case types.KindInt32:
			take(wordsAsBytes(v.I32[at:v.N]))
		case types.KindInt64:
			take(wordsAsBytes(v.I64[at:v.N]))
		case types.KindFloat32:
			take(wordsAsBytes(v.F32[at:v.N]))
		case types.KindFloat64:
			take(wordsAsBytes(v.F64[at:v.N]))
		case types.KindFixed16:
			take(wordsAsBytes(v.F16[at:v.N]))
		}
	}
	if some {
		for i := range n {
			if nulls[i/8]>>(i%8)&1 != 0 {
				v.SetNull(at + i)
			}
		}
	}
	return b
}

// spillReader reads records back. Runs of rows of one input become batches of a decent size.
type spillReader struct {
	r       *spill.Reader
	alloc   vec.Allocator
	schemas []*vec.Schema
	kept    []*vec.Batch
	head    [spillHead]byte
	ready   bool // head has been read
	body    []byte
}

// next gives the next record: rows (which the caller releases), or a mark. ok is false at the end.
func (s *spillReader) next() (input int, b *vec.Batch, m Mark, ok bool, err error) {
	if !s.ready && s.r.Len() == 0 {
		return 0, nil, m, false, nil
	}
	if err = s.readHead(); err != nil {
		return 0, nil, m, false, err
	}
	input = int(s.head[1])
	switch s.head[0] {
	case spillMark:
		if err = s.readBody(); err == nil {
			m = Mark{W: int64(binary.NativeEndian.Uint64(s.body)), Idle: s.body[8] != 0}
		}
		return input, nil, m, true, err
	case spillKept:
		if err = s.readBody(); err == nil {
			b = s.kept[0]
			s.kept = s.kept[1:]
		}
		return input, b, m, true, err
	}
	bld := vec.NewBuilder(s.alloc, s.schemas[input])
	defer bld.Release()
	n, some := 0, false
	for {
		k, flags := int(binary.NativeEndian.Uint32(s.head[3:])), s.head[2]
		if err = s.readBody(); err != nil {
			return input, nil, m, true, err
		}
		body := s.body
		if flags&spillOps != 0 {
			for len(bld.Ops) < n {
				bld.Ops = append(bld.Ops, vec.Insert)
			}
			for _, o := range body[:k] {
				bld.Ops = append(bld.Ops, vec.Op(int8(o)))
			}
			body, some = body[k:], true
		} else if some {
			for range k {
				bld.Ops = append(bld.Ops, vec.Insert)
			}
		}
		if flags&spillW != 0 {
			for i := range k {
				bld.W = append(bld.W, int64(binary.NativeEndian.Uint64(body[8*i:])))
			}
			body = body[8*k:]
		}
		for c := range bld.Cols {
			body = readColumnRows(&bld.Cols[c], k, body)
		}
		n += k
		if flags&spillW != 0 || n >= vec.MaxRows || s.r.Len() == 0 {
			break
		}
		if err = s.readHead(); err != nil {
			return input, nil, m, true, err
		}
		if s.head[0] != spillRows || int(s.head[1]) != input || s.head[2]&spillW != 0 ||
			n+int(binary.NativeEndian.Uint32(s.head[3:])) > vec.MaxRows {
			break
		}
	}
	ops := bld.Ops
	b = bld.Finish()
	b.Ops = nil
	if some {
		b.Ops = ops
	}
	return input, b, m, true, nil
}

func (s *spillReader) readHead() error {
	if s.ready {
		return nil
	}
	err := s.r.Full(s.head[:])
	s.ready = err == nil
	return err
}

func (s *spillReader) readBody() error {
	n := int(binary.NativeEndian.Uint32(s.head[7:]))
	if cap(s.body) < n {
		s.body = make([]byte, max(n, 2*cap(s.body)))
	}
	s.body = s.body[:n]
	s.ready = false
	return s.r.Full(s.body)
}
