package state

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"streamsql/internal/pgerr"
)

// A blob is a file of chunks: the magic, then for each chunk its length and the CRC-32C of its number and bytes, four
// bytes each, little-endian, and the bytes; a chunk of no bytes ends it.
const (
	blobMagic  = "streamsql blob 1"
	blobChunk  = 256 << 10
	unfinished = ".new"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func chunkSum(n uint64, b []byte) uint32 {
	return crc32.Update(crc32.Checksum(binary.LittleEndian.AppendUint64(nil, n), castagnoli), castagnoli, b)
}

// BlobWriter writes a blob. It is used by one goroutine.
type BlobWriter struct {
	s    *Store
	name string
	f    vfs.File
	buf  []byte // of the frame and the chunk under way
	n    uint64
	err  error
}

// CreateBlob begins a blob, which takes the place of one of that name when it is finished. A name is letters, digits, '-', '_' and '.'.
func (s *Store) CreateBlob(name string) (*BlobWriter, error) {
	if err := s.use(); err != nil {
		return nil, err
	}
	defer s.open.RUnlock()
	path := s.blobPath(name) + unfinished
	f, err := s.fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, ioError("create file", path, err)
	}
	w := &BlobWriter{s: s, name: name, f: f, buf: make([]byte, 8, 8+blobChunk)}
	w.write([]byte(blobMagic))
	return w, w.err
}

func (s *Store) blobPath(name string) string { return s.fs.PathJoin(s.dir, blobsName, name) }

func (w *BlobWriter) write(b []byte) {
	if w.err == nil {
		if _, err := w.f.Write(b); err != nil {
			w.err = ioError("write file", w.s.blobPath(w.name)+unfinished, err)
		}
	}
}

func (w *BlobWriter) flush() {
	b := w.buf[8:]
	binary.LittleEndian.PutUint32(w.buf, uint32(len(b)))
	binary.LittleEndian.PutUint32(w.buf[4:], chunkSum(w.n, b))
	w.n++
	w.write(w.buf)
	w.buf = w.buf[:8]
}

// Write implements io.Writer. A failure sticks.
func (w *BlobWriter) Write(p []byte) (n int, err error) {
	n = len(p)
	for len(p) > 0 && w.err == nil {
		k := min(len(p), blobChunk+8-len(w.buf))
		w.buf = append(w.buf, p[:k]...)
		p = p[k:]
		if len(w.buf) == blobChunk+8 {
			w.flush()
		}
	}
	return n - len(p), w.err
}

// Finish makes the blob durable. After an error there is no such blob, or the one that was there before.
func (w *BlobWriter) Finish() error {
	if len(w.buf) > 8 {
		w.flush()
	}
	w.flush()
	path := w.s.blobPath(w.name)
	if w.err == nil && !w.s.temp {
		if err := w.f.Sync(); err != nil {
			w.err = ioError("sync file", path+unfinished, err)
		}
	}
	err := w.f.Close()
	w.f = nil
	if w.err == nil && err != nil {
		w.err = ioError("close file", path+unfinished, err)
	}
	if w.err == nil {
		if err := w.s.fs.Rename(path+unfinished, path); err != nil {
			w.err = ioError("rename file", path+unfinished, err)
		}
	}
	if w.err != nil {
		w.s.fs.Remove(path + unfinished)
		return w.err
	}
	if w.s.temp {
		return nil
	}
	return syncDir(w.s.fs, w.s.path(blobsName))
}

// Abort drops a blob that is not finished. After Finish it does nothing.
func (w *BlobWriter) Abort() {
	if w.f != nil {
		w.f.Close()
		w.f = nil
		w.s.fs.Remove(w.s.blobPath(w.name) + unfinished)
	}
}

// BlobReader reads a blob and checks it. It is used by one goroutine.
type BlobReader struct {
	path  string
	f     vfs.File
	chunk []byte // not given yet
	buf   []byte
	n     uint64
	err   error
}

// OpenBlob begins to read a blob.
func (s *Store) OpenBlob(name string) (*BlobReader, error) {
	path := s.blobPath(name)
	f, err := s.fs.Open(path)
	if err != nil {
		return nil, ioError("open file", path, err)
	}
	r := &BlobReader{path: path, f: f}
	magic := make([]byte, len(blobMagic))
	if err := r.fill(magic); err == nil && string(magic) != blobMagic {
		r.damaged()
	}
	if r.err != nil {
		f.Close()
		return nil, r.err
	}
	return r, nil
}

func (r *BlobReader) damaged() {
	r.err = pgerr.New(pgerr.DataCorrupted, "file \"%s\" is damaged", r.path).WithHint("Restore the data directory from a backup.")
}

func (r *BlobReader) fill(b []byte) error {
	switch _, err := io.ReadFull(r.f, b); err {
	case nil:
	case io.EOF, io.ErrUnexpectedEOF:
		r.damaged()
	default:
		r.err = ioError("read file", r.path, err)
	}
	return r.err
}

func (r *BlobReader) next() {
	var frame [8]byte
	if r.fill(frame[:]) != nil {
		return
	}
	size := binary.LittleEndian.Uint32(frame[:])
	if size > blobChunk {
		r.damaged()
		return
	}
	r.buf = slices.Grow(r.buf[:0], int(size))[:size]
	if r.fill(r.buf) != nil {
		return
	}
	if chunkSum(r.n, r.buf) != binary.LittleEndian.Uint32(frame[4:]) {
		r.damaged()
		return
	}
	r.n++
	if r.chunk = r.buf; size == 0 {
		r.err = io.EOF
	}
}

// Read implements io.Reader; what it gives has been checked. Bytes that are not as they were written are XX001.
func (r *BlobReader) Read(p []byte) (int, error) {
	if len(r.chunk) == 0 && r.err == nil {
		r.next()
	}
	if len(r.chunk) == 0 {
		return 0, r.err
	}
	n := copy(p, r.chunk)
	r.chunk = r.chunk[n:]
	return n, nil
}

// Verify reads what is left of the blob and tells what is wrong with it: nil if it is whole.
func (r *BlobReader) Verify() error {
	_, err := io.Copy(io.Discard, r)
	return err
}

// Size gives how many bytes at most can be read of the blob; 0 if that cannot be told.
func (r *BlobReader) Size() int64 {
	info, err := r.f.Stat()
	if err != nil {
		return 0
	}
	return info.Size()
}

// Close ends the reading.
func (r *BlobReader) Close() error { return r.f.Close() }

// RemoveBlob removes a blob, which need not be there.
func (s *Store) RemoveBlob(name string) error {
	if err := s.fs.Remove(s.blobPath(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return ioError("remove file", s.blobPath(name), err)
	}
	return nil
}

// Blobs lists the finished blobs in the order of their names, and removes what was left unfinished by a crash: call it before any
// is created.
func (s *Store) Blobs() ([]string, error) {
	dir := s.path(blobsName)
	names, err := s.fs.List(dir)
	if err != nil {
		return nil, ioError("read directory", dir, err)
	}
	var out []string
	for _, n := range names {
		if !strings.HasSuffix(n, unfinished) {
			out = append(out, n)
		} else if err := s.RemoveBlob(n); err != nil {
			return nil, err
		}
	}
	slices.Sort(out)
	return out, nil
}
