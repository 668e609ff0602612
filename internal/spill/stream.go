package spill

import (
	"io"
	"slices"
)

// Stream is a sequence of bytes that is appended to and read from its beginning. Full blocks are on disk,
// the rest is in memory, so that a stream of a few bytes never meets the disk.
type Stream struct {
	sp     *Space
	blocks []int64
	shorts []part // blocks that are not full
	tail   []byte
	size   int64
	shared bool // made by Share
}

// part is a block that holds n bytes.
type part struct{ at, n int }

// NewStream makes an empty stream.
func (s *Space) NewStream() *Stream { return &Stream{sp: s} }

// Share gives a stream with the same content, which stays as it is, for reading by one other goroutine. It has to be Reset.
func (st *Stream) Share() *Stream {
	st.sp.share(st.blocks)
	return &Stream{sp: st.sp, blocks: slices.Clone(st.blocks), shorts: slices.Clone(st.shorts), tail: slices.Clone(st.tail), size: st.size, shared: true}
}

// Len gives the number of bytes in the stream.
func (st *Stream) Len() int64 { return st.size }

// Held gives the memory that the stream holds, OnDisk its room in the file.
func (st *Stream) Held() int64 { return int64(cap(st.tail) + 8*cap(st.blocks)) }

// OnDisk gives the room in the file that the stream has.
func (st *Stream) OnDisk() int64 { return int64(len(st.blocks)) * BlockSize }

// Write appends b. After an error the stream must not be read.
func (st *Stream) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		room := BlockSize - len(st.tail)
		k := min(room, len(b))
		if st.tail == nil && k == BlockSize { // a whole block goes by the tail
			if err := st.put(b[:k]); err != nil {
				return n - len(b), err
			}
		} else {
			st.grow(k)
			st.tail = append(st.tail, b[:k]...)
			if len(st.tail) == BlockSize {
				if err := st.put(st.tail); err != nil {
					return n - len(b), err
				}
				st.tail = st.tail[:0]
			}
		}
		b = b[k:]
		st.size += int64(k)
	}
	return n, nil
}

// grow makes room for k more bytes in the tail, which grows to a block in few steps.
func (st *Stream) grow(k int) {
	need := len(st.tail) + k
	if need <= cap(st.tail) {
		return
	}
	t := make([]byte, len(st.tail), min(max(need, 4*cap(st.tail), 1<<10), BlockSize))
	copy(t, st.tail)
	st.tail = t
}

func (st *Stream) put(b []byte) error {
	block, err := st.sp.put(b)
	if err != nil {
		return err
	}
	if len(b) < BlockSize {
		st.shorts = append(st.shorts, part{len(st.blocks), len(b)})
	}
	st.blocks = append(st.blocks, block)
	return nil
}

// Flush writes what is in memory to disk and gives the memory back.
func (st *Stream) Flush() error {
	if len(st.tail) > 0 {
		if err := st.put(st.tail); err != nil {
			return err
		}
	}
	st.tail = nil
	return nil
}

// Reset empties the stream and gives its room back.
func (st *Stream) Reset() {
	if len(st.blocks) > 0 {
		st.sp.release(st.blocks)
	}
	if st.shared {
		st.sp.unshare()
	}
	*st = Stream{sp: st.sp}
}

// Reader reads a stream from its beginning. The stream must not change meanwhile.
type Reader struct {
	st    *Stream
	next  int // block to read
	short int
	rest  []byte
	buf   []byte
	left  int64
}

// Reader gives a reader of the stream.
func (st *Stream) Reader() *Reader { return &Reader{st: st, left: st.size} }

// Len gives the number of bytes not read yet.
func (r *Reader) Len() int64 { return r.left }

// Held gives the memory that the reader holds.
func (r *Reader) Held() int64 { return int64(cap(r.buf)) }

// Read implements io.Reader.
func (r *Reader) Read(b []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	if len(r.rest) == 0 {
		if r.next == len(r.st.blocks) {
			r.next++
			r.rest = r.st.tail
		} else {
			n := BlockSize
			if r.short < len(r.st.shorts) && r.st.shorts[r.short].at == r.next {
				n = r.st.shorts[r.short].n
				r.short++
			}
			if r.buf == nil {
				r.buf = make([]byte, BlockSize)
			}
			if err := r.st.sp.get(r.buf[:n], r.st.blocks[r.next]); err != nil {
				return 0, err
			}
			r.next++
			r.rest = r.buf[:n]
		}
	}
	n := copy(b, r.rest)
	r.rest = r.rest[n:]
	r.left -= int64(n)
	return n, nil
}

// Full reads exactly len(b) bytes.
func (r *Reader) Full(b []byte) error {
	_, err := io.ReadFull(r, b)
	return err
}
