// Package state holds what the engine remembers: the codec that operators
// write their state with at a barrier, versioned tables of rows with consistent
// snapshots, and (with --data) the durable store.
package state

import (
	"encoding/binary"
	"math"

	"streamsql/internal/pgerr"
)

// Writer collects an operator's state. Values are little-endian; what is
// written must be read back in the same order with the same methods.
type Writer struct {
	buf []byte
}

// Bytes gives what was written. It is valid until the next write.
func (w *Writer) Bytes() []byte { return w.buf }

// Reset forgets what was written and keeps the memory.
func (w *Writer) Reset() { w.buf = w.buf[:0] }

// Uint64 writes x as a varint.
func (w *Writer) Uint64(x uint64) { w.buf = binary.AppendUvarint(w.buf, x) }

// Int64 writes x as a zigzag varint.
func (w *Writer) Int64(x int64) { w.buf = binary.AppendVarint(w.buf, x) }

// Float64 writes the bits of x.
func (w *Writer) Float64(x float64) {
	w.buf = binary.LittleEndian.AppendUint64(w.buf, math.Float64bits(x))
}

// Bool writes x.
func (w *Writer) Bool(x bool) {
	if x {
		w.buf = append(w.buf, 1)
	} else {
		w.buf = append(w.buf, 0)
	}
}

// Blob writes the length of b and b.
func (w *Writer) Blob(b []byte) {
	w.Uint64(uint64(len(b)))
	w.buf = append(w.buf, b...)
}

// String writes the length of s and s.
func (w *Writer) String(s string) {
	w.Uint64(uint64(len(s)))
	w.buf = append(w.buf, s...)
}

// Append lets f append to what was written; Reader.Take reads it.
func (w *Writer) Append(f func(dst []byte) []byte) { w.buf = f(w.buf) }

// Reader reads what a Writer wrote. The first failure sticks; ask Err once at the end.
type Reader struct {
	buf []byte
	err error
}

// NewReader reads from b, which must not change meanwhile.
func NewReader(b []byte) *Reader { return &Reader{buf: b} }

// Err reports the first failure: the state was cut short or is not what was expected.
func (r *Reader) Err() error { return r.err }

// Len gives the number of bytes not read yet.
func (r *Reader) Len() int { return len(r.buf) }

func (r *Reader) fail() {
	if r.err == nil {
		r.err = pgerr.New(pgerr.DataCorrupted, "operator state is cut short or damaged")
	}
	r.buf = nil
}

// Uint64 reads a varint.
func (r *Reader) Uint64() uint64 {
	x, n := binary.Uvarint(r.buf)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.buf = r.buf[n:]
	return x
}

// Int64 reads a zigzag varint.
func (r *Reader) Int64() int64 {
	x, n := binary.Varint(r.buf)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.buf = r.buf[n:]
	return x
}

// Float64 reads a float.
func (r *Reader) Float64() float64 {
	if len(r.buf) < 8 {
		r.fail()
		return 0
	}
	x := math.Float64frombits(binary.LittleEndian.Uint64(r.buf))
	r.buf = r.buf[8:]
	return x
}

// Bool reads a bool.
func (r *Reader) Bool() bool {
	if len(r.buf) < 1 {
		r.fail()
		return false
	}
	x := r.buf[0] != 0
	r.buf = r.buf[1:]
	return x
}

// Blob reads a byte string. It shares the Reader's memory.
func (r *Reader) Blob() []byte {
	n := r.Uint64()
	if n > uint64(len(r.buf)) {
		r.fail()
		return nil
	}
	b := r.buf[:n:n]
	r.buf = r.buf[n:]
	return b
}

// Take lets f read from what is left and give the rest; false says that it is damaged. f is not called after a failure.
func (r *Reader) Take(f func(b []byte) (rest []byte, ok bool)) {
	if r.err != nil {
		return
	}
	rest, ok := f(r.buf)
	if !ok {
		r.fail()
		return
	}
	r.buf = rest
}

// String reads a string.
func (r *Reader) String() string { return string(r.Blob()) }
