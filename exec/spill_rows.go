package exec

import (
	"encoding/binary"

	"streamsql/internal/spill"
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
			var ok bool
			if body, ok = takeColumn(&bld.Cols[c], k, body); !ok {
				return input, nil, m, true, errForeignState()
			}
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
