package state

import (
	"encoding/binary"
	"errors"
	"io"
	"math"

	"streamsql/internal/pgerr"
)

// Reader reads what a Writer wrote. The first failure sticks; ask Err once at the end.
type Reader struct {
	buf  []byte // not read yet
	src  io.Reader
	left int64 // at most so many bytes come from src
	err  error
}

// NewReader reads from b, which must not change meanwhile.
func NewReader(b []byte) *Reader { return &Reader{buf: b} }

// NewStreamReader reads from src, a piece at a time, at most n bytes.
func NewStreamReader(src io.Reader, n int64) *Reader { return &Reader{src: src, left: n} }

// Err reports the first failure: the state was cut short or is not what was expected, or that of the source.
func (r *Reader) Err() error { return r.err }

// Len gives how many bytes at most have not been read yet.
func (r *Reader) Len() int { return len(r.buf) + int(max(r.left, 0)) }

// End reports whether all has been read, without a failure.
func (r *Reader) End() bool { return r.err == nil && len(r.buf) == 0 && !r.fill(1) }

func (r *Reader) fail() {
	if r.err == nil {
		r.err = pgerr.New(pgerr.DataCorrupted, "operator state is cut short or damaged")
	}
	r.buf, r.src, r.left = nil, nil, 0
}

// readAhead is how much is read from a source at a time.
const readAhead = 64 << 10

// fill makes r.buf hold at least n bytes, false if there are not so many. What was given out of the buffer before stays as it is.
func (r *Reader) fill(n int) bool {
	if len(r.buf) >= n {
		return true
	}
	if r.src == nil || int64(n-len(r.buf)) > r.left {
		return false
	}
	had := len(r.buf)
	size := max(n, int(min(readAhead, int64(had)+r.left)))
	b := make([]byte, size)
	copy(b, r.buf)
	k, err := io.ReadAtLeast(r.src, b[had:], n-had)
	r.left -= int64(k)
	r.buf = b[:had+k]
	if err == nil {
		return true
	}
	r.src, r.left = nil, 0
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		r.buf, r.err = nil, err
	}
	return false
}

// take gives the next n bytes, nil if there are not so many.
func (r *Reader) take(n int) []byte {
	if !r.fill(n) {
		r.fail()
		return nil
	}
	b := r.buf[:n:n]
	r.buf = r.buf[n:]
	return b
}

// Uint64 reads a varint.
func (r *Reader) Uint64() uint64 {
	x, n := binary.Uvarint(r.buf)
	if n <= 0 {
		if n < 0 || !r.more() {
			r.fail()
			return 0
		}
		if x, n = binary.Uvarint(r.buf); n <= 0 {
			r.fail()
			return 0
		}
	}
	r.buf = r.buf[n:]
	return x
}

// more reads on where the buffer ends within a number.
func (r *Reader) more() bool {
	had := len(r.buf)
	r.fill(had + int(min(r.left, binary.MaxVarintLen64)))
	return len(r.buf) > had
}

// Int64 reads a zigzag varint.
func (r *Reader) Int64() int64 {
	x := r.Uint64()
	return int64(x>>1) ^ -int64(x&1)
}

// Float64 reads a float.
func (r *Reader) Float64() float64 {
	b := r.take(8)
	if b == nil {
		return 0
	}
	return math.Float64frombits(binary.LittleEndian.Uint64(b))
}

// Bool reads a bool.
func (r *Reader) Bool() bool {
	b := r.take(1)
	return b != nil && b[0] != 0
}

// Blob reads a byte string. It shares the Reader's memory.
func (r *Reader) Blob() []byte {
	n := r.Uint64()
	if n > uint64(r.Len()) {
		r.fail()
		return nil
	}
	return r.take(int(n))
}

// Take lets f read what Append wrote and give the rest, of which there is to be none; false says that it is damaged. f is not called after a failure.
func (r *Reader) Take(f func(b []byte) (rest []byte, ok bool)) {
	b := r.take(4)
	if b == nil {
		return
	}
	n := binary.LittleEndian.Uint32(b)
	if int64(n) > int64(r.Len()) {
		r.fail()
		return
	}
	if b = r.take(int(n)); b == nil {
		return
	}
	if rest, ok := f(b); !ok || len(rest) > 0 {
		r.fail()
	}
}

// String reads a string.
func (r *Reader) String() string { return string(r.Blob()) }

// Frames gives a reader of what Writer.Frames wrote. It has to be read to its End before r is used again.
func (r *Reader) Frames() *Reader {
	return NewStreamReader(&frames{r: r}, int64(r.Len()))
}

// CopyFrames copies the bytes of what Writer.Frames wrote.
func (r *Reader) CopyFrames(dst io.Writer) error {
	f := frames{r: r}
	if _, err := io.Copy(dst, &f); err != nil && r.err == nil {
		return err
	}
	return r.err
}

// frames reads the bytes within frames.
type frames struct {
	r    *Reader
	left int // in the frame
	end  bool
}

// Read implements io.Reader.
func (f *frames) Read(b []byte) (int, error) {
	if f.left == 0 && !f.end {
		if head := f.r.take(4); head != nil {
			n := binary.LittleEndian.Uint32(head)
			f.left, f.end = int(n), n == 0
			if n > frameBytes {
				f.r.fail()
			}
		}
	}
	if f.r.err != nil {
		return 0, f.r.err
	}
	if f.end {
		return 0, io.EOF
	}
	part := f.r.take(min(len(b), f.left, readAhead))
	if part == nil {
		return 0, f.r.err
	}
	f.left -= len(part)
	return copy(b, part), nil
}
