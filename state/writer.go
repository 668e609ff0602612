package state

import (
	"encoding/binary"
	"io"
	"math"
)

// Writer collects an operator's state. Values are little-endian; what is
// written must be read back in the same order with the same methods.
//
// What the operator will not change any more need not be copied: Later takes it in as a function that encodes it when the Writer is read. A barrier then
// holds the operator up for as long as it takes to write what does change, and somebody else encodes the rest.
type Writer struct {
	buf  []byte // after done
	done []segment
	size int64 // bytes of done that are there
}

// segment is a piece of what was written: bytes, a function that gives them, or in frames a Writer or what a function writes.
type segment struct {
	bytes  []byte
	later  func(dst []byte) []byte
	stream func(dst io.Writer) error
	free   func()
	frames *Writer
}

// sealAt is from how many bytes on a buffer is put aside and another one begun, since making it larger copies it.
const sealAt = 1 << 20

func (w *Writer) seal() {
	if len(w.buf) > 0 {
		w.done = append(w.done, segment{bytes: w.buf})
		w.size += int64(len(w.buf))
		w.buf = nil
	}
}

func (w *Writer) grown() {
	if len(w.buf) >= sealAt {
		w.seal()
	}
}

// Bytes gives what was written, in one piece. It is valid until the next write. It is nil, which no Reader takes for a state, if a function given to
// Stream fails: use WriteTo where there may be such.
func (w *Writer) Bytes() []byte {
	if len(w.done) == 0 {
		return w.buf
	}
	var all appender
	if _, err := w.WriteTo(&all); err != nil {
		return nil
	}
	w.buf = all
	return w.buf
}

type appender []byte

func (a *appender) Write(b []byte) (int, error) {
	*a = append(*a, b...)
	return len(b), nil
}

// Reset forgets what was written and keeps the memory.
func (w *Writer) Reset() {
	w.free()
	w.buf = w.buf[:0]
}

// free gives back what the segments hold.
func (w *Writer) free() {
	for i := range w.done {
		s := &w.done[i]
		if s.free != nil {
			s.free()
		}
		if s.frames != nil {
			s.frames.Reset()
		}
	}
	clear(w.done)
	w.done, w.size = w.done[:0], 0
}

// Small tells whether at most n bytes were written, all of which are there.
func (w *Writer) Small(n int) bool {
	for i := range w.done {
		s := &w.done[i]
		if s.later != nil || s.stream != nil {
			return false
		}
		if s.frames != nil {
			if !s.frames.Small(n) {
				return false
			}
			n -= int(s.frames.size) + len(s.frames.buf)
		}
	}
	return w.size+int64(len(w.buf)) <= int64(n)
}

// WriteTo implements io.WriterTo. The Writer is empty then, and holds nothing, also after an error. It may be called by another goroutine than that which
// wrote, while the operators go on.
func (w *Writer) WriteTo(dst io.Writer) (n int64, err error) {
	w.seal()
	var scratch []byte
	n, err = w.writeTo(dst, &scratch)
	w.free()
	return n, err
}

func (w *Writer) writeTo(dst io.Writer, scratch *[]byte) (n int64, err error) {
	put := func(b []byte) {
		if err == nil && len(b) > 0 {
			var k int
			k, err = dst.Write(b)
			n += int64(k)
		}
	}
	for i := range w.done {
		s := &w.done[i]
		switch {
		case err != nil:
		case s.frames != nil || s.stream != nil:
			f := framer{dst: dst}
			if s.stream != nil {
				err = s.stream(&f)
			} else {
				s.frames.seal()
				_, err = s.frames.writeTo(&f, scratch)
			}
			if err == nil {
				err = f.end()
			}
			n += f.n
		case s.later != nil:
			*scratch = s.later((*scratch)[:0])
			put(*scratch)
		default:
			put(s.bytes)
		}
		if s.free != nil { // at once: it may be much
			s.free()
			s.free = nil
		}
		s.bytes = nil
	}
	return n, err
}

// Uint64 writes x as a varint.
func (w *Writer) Uint64(x uint64) { w.buf = binary.AppendUvarint(w.buf, x); w.grown() }

// Int64 writes x as a zigzag varint.
func (w *Writer) Int64(x int64) { w.buf = binary.AppendVarint(w.buf, x); w.grown() }

// Float64 writes the bits of x.
func (w *Writer) Float64(x float64) {
	w.buf = binary.LittleEndian.AppendUint64(w.buf, math.Float64bits(x))
	w.grown()
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
	w.grown()
}

// String writes the length of s and s.
func (w *Writer) String(s string) {
	w.Uint64(uint64(len(s)))
	w.buf = append(w.buf, s...)
	w.grown()
}

// Append writes what f appends; Reader.Take reads it.
func (w *Writer) Append(f func(dst []byte) []byte) {
	w.buf = appendSized(w.buf, f)
	w.grown()
}

func appendSized(dst []byte, f func(dst []byte) []byte) []byte {
	at := len(dst)
	dst = f(append(dst, 0, 0, 0, 0))
	binary.LittleEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	return dst
}

// Later is as Append, but f is called when the Writer is read, once, from any goroutine, and then free, which is called also where f is not. What f reads must not
// change until then.
func (w *Writer) Later(f func(dst []byte) []byte, free func()) {
	w.seal()
	w.done = append(w.done, segment{later: func(dst []byte) []byte { return appendSized(dst, f) }, free: free})
}

// Stream writes, as Frames does, what f writes to dst when the Writer is read. As to when f and free are called see Later. An error of f is that of WriteTo.
func (w *Writer) Stream(f func(dst io.Writer) error, free func()) {
	w.seal()
	w.done = append(w.done, segment{stream: f, free: free})
}

// Frames writes all of sub, whose length need not be known, so that Reader.Frames can tell its end. sub must not be used any more.
func (w *Writer) Frames(sub *Writer) {
	w.seal()
	w.done = append(w.done, segment{frames: sub})
}

// A framer writes frames: the length, four bytes, and so many bytes; one of no bytes ends them.
type framer struct {
	dst io.Writer
	buf []byte
	n   int64
}

// frameBytes is about how long a frame is.
const frameBytes = 64 << 10

func (f *framer) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		if f.buf == nil {
			f.buf = make([]byte, 4, 512)
		}
		k := min(len(b), frameBytes+4-len(f.buf))
		f.buf = append(f.buf, b[:k]...)
		b = b[k:]
		if len(f.buf) == frameBytes+4 {
			if err := f.flush(); err != nil {
				return n - len(b), err
			}
		}
	}
	return n, nil
}

func (f *framer) flush() error {
	binary.LittleEndian.PutUint32(f.buf, uint32(len(f.buf)-4))
	k, err := f.dst.Write(f.buf)
	f.n += int64(k)
	f.buf = f.buf[:4]
	return err
}

func (f *framer) end() error {
	if len(f.buf) > 4 {
		if err := f.flush(); err != nil {
			return err
		}
	}
	k, err := f.dst.Write([]byte{0, 0, 0, 0})
	f.n += int64(k)
	return err
}
