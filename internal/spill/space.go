// Package spill keeps on disk, for as long as a query runs, what does not fit its memory: a file that
// nobody else can see, cut into blocks, of which streams of bytes are made.
package spill

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"streamsql/internal/pgerr"
)

// BlockSize is the unit in which streams take room in the file, in bytes. It is what is written and read at once.
const BlockSize = 64 << 10

// file is what a Space needs of its file; tests bring files that fail.
type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
}

// Space is the room on disk of one query. The file is made when it is first needed and has no name from then
// on, so that it vanishes with the process however that ends. Room that a stream gives back is used again. It is safe for concurrent
// use; each Stream is for one goroutine.
type Space struct {
	dir  string
	open func(dir string) (file, error)

	mu   sync.Mutex
	f    file
	free []int64 // blocks
	// shared counts, of blocks that several streams have, those beside the first; shares the streams that Share has made.
	shared map[int64]int
	shares int
	end    int64 // blocks that the file has
	done   bool
}

// NewSpace makes a space whose file will lie in dir ("": the system's directory for temporary files).
func NewSpace(dir string) *Space { return &Space{dir: dir, open: openUnnamed} }

func openUnnamed(dir string) (file, error) {
	if dir == "" {
		dir = os.TempDir()
	} else if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, ioError("create directory", dir, err)
	}
	f, err := os.CreateTemp(dir, "streamsql-spill-")
	if err != nil {
		return nil, ioError("create temporary file in", dir, err)
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, ioError("unlink temporary file", f.Name(), err)
	}
	return f, nil
}

func ioError(what, path string, err error) error {
	code := pgerr.IOError
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		code = pgerr.DiskFull
	}
	return pgerr.New(code, "could not %s \"%s\": %v", what, filepath.ToSlash(path), err).WithCause(err)
}

func (s *Space) where() string {
	if s.dir == "" {
		return os.TempDir()
	}
	return s.dir
}

// Bytes gives the room in the file that is in use.
func (s *Space) Bytes() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return (s.end - int64(len(s.free))) * BlockSize
}

// Close gives the file back, when the last stream that Share has made is reset. Other streams must not be used any more.
func (s *Space) Close() error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = true
	if s.shares > 0 {
		return nil
	}
	return s.close()
}

// close closes the file. The caller holds s.mu.
func (s *Space) close() error {
	if s.f == nil {
		return nil
	}
	f := s.f
	s.f = nil
	if err := f.Close(); err != nil {
		return ioError("close temporary file in", s.where(), err)
	}
	return nil
}

// put writes b, at most a block, and gives the block.
func (s *Space) put(b []byte) (block int64, err error) {
	s.mu.Lock()
	if s.done {
		s.mu.Unlock()
		return 0, pgerr.New(pgerr.InternalError, "temporary file is closed")
	}
	if s.f == nil {
		if s.f, err = s.open(s.dir); err != nil {
			s.mu.Unlock()
			return 0, err
		}
	}
	if n := len(s.free); n > 0 {
		block, s.free = s.free[n-1], s.free[:n-1]
	} else {
		block = s.end
		s.end++
	}
	f := s.f
	s.mu.Unlock()
	if _, err := f.WriteAt(b, block*BlockSize); err != nil {
		s.release([]int64{block})
		return 0, ioError("write to temporary file in", s.where(), err)
	}
	return block, nil
}

func (s *Space) get(b []byte, block int64) error {
	s.mu.Lock()
	f := s.f
	s.mu.Unlock()
	if f == nil {
		return pgerr.New(pgerr.InternalError, "temporary file is closed")
	}
	if _, err := f.ReadAt(b, block*BlockSize); err != nil {
		return ioError("read from temporary file in", s.where(), err)
	}
	return nil
}

func (s *Space) release(blocks []int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.shared) == 0 {
		s.free = append(s.free, blocks...)
		return
	}
	for _, b := range blocks {
		switch n := s.shared[b]; n {
		case 0:
			s.free = append(s.free, b)
		case 1:
			delete(s.shared, b)
		default:
			s.shared[b] = n - 1
		}
	}
}

// share counts another stream with blocks.
func (s *Space) share(blocks []int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shared == nil {
		s.shared = map[int64]int{}
	}
	for _, b := range blocks {
		s.shared[b]++
	}
	s.shares++
}

// unshare ends a stream that share has counted.
func (s *Space) unshare() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shares--; s.shares == 0 && s.done {
		_ = s.close() // of a file that is gone already
	}
}
