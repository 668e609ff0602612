package state

import (
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// FS is the file system that a store lives in; tests bring ones that crash and fail.
type FS = vfs.FS

// roomCheck is how often a write that met a full disk is tried again.
const roomCheck = 100 * time.Millisecond

// guard is the file system as the database below a store sees it. The database ends its process when a write fails,
// and what it holds is unknown after a failed sync; so a failure never reaches it. A write for which there is no room
// waits until there is; after any other failure that write, and with it all that follows, never returns. To the database
// the disk has stalled: it goes on serving reads, while the store tells whoever commits what has happened.
type guard struct {
	vfs.FS
	opening atomic.Bool // nothing waits for room yet
	waiting atomic.Int32
	plain   atomic.Pointer[string] // the failures of what is below this directory are returned
	// full, where not nil, is called when writes begin (true) and cease to wait for room.
	full func(bool)

	mu     sync.Mutex
	err    error
	failed chan struct{} // closed with err set
	closed chan struct{} // the store is being closed: nothing waits for room any more
}

func newGuard(fs vfs.FS, full func(bool)) *guard {
	g := &guard{FS: fs, full: full, failed: make(chan struct{}), closed: make(chan struct{})}
	g.opening.Store(true)
	return g
}

// fail remembers the first failure.
func (g *guard) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err == nil {
		g.err = err
		close(g.failed)
	}
}

func (g *guard) failure() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

func (g *guard) setPlain(dir string) { g.plain.Store(&dir) }

func (g *guard) isPlain(path string) bool {
	dir := g.plain.Load()
	return dir != nil && *dir != "" && strings.HasPrefix(path, *dir)
}

func noRoom(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// write runs an operation that writes. retry says that it may be done again after it met a full disk: a sync may not, since
// what the system has then kept of the data is unknown.
func (g *guard) write(what, path string, retry bool, op func() error) error {
	waits := false
	for {
		err := op()
		if err == nil || errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrExist) || g.isPlain(path) {
			if waits && g.waiting.Add(-1) == 0 && g.full != nil {
				g.full(false)
			}
			return err
		}
		if !retry || !noRoom(err) || g.opening.Load() {
			g.fail(ioError(what, path, err))
			select {} // see guard
		}
		if !waits {
			waits = true
			if g.waiting.Add(1) == 1 && g.full != nil {
				g.full(true)
			}
		}
		select {
		case <-time.After(roomCheck):
		case <-g.closed:
			g.fail(ioError(what, path, err))
			select {}
		case <-g.failed:
			select {}
		}
	}
}

func (g *guard) Create(name string, category vfs.DiskWriteCategory) (f vfs.File, err error) {
	err = g.write("create file", name, true, func() (err error) { f, err = g.FS.Create(name, category); return err })
	return g.file(name, f, err)
}

func (g *guard) file(name string, f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &guardedFile{File: f, g: g, name: name}, nil
}

func (g *guard) Link(from, to string) error {
	return g.write("link file", to, true, func() error { return g.FS.Link(from, to) })
}

func (g *guard) Open(name string, o ...vfs.OpenOption) (vfs.File, error) {
	return g.FS.Open(name, o...)
}

func (g *guard) OpenReadWrite(name string, category vfs.DiskWriteCategory, o ...vfs.OpenOption) (f vfs.File, err error) {
	err = g.write("open file", name, true, func() (err error) { f, err = g.FS.OpenReadWrite(name, category, o...); return err })
	return g.file(name, f, err)
}

func (g *guard) OpenDir(name string) (vfs.File, error) {
	f, err := g.FS.OpenDir(name)
	return g.file(name, f, err)
}

func (g *guard) Rename(from, to string) error {
	return g.write("rename file", from, true, func() error { return g.FS.Rename(from, to) })
}

func (g *guard) ReuseForWrite(from, to string, category vfs.DiskWriteCategory) (f vfs.File, err error) {
	err = g.write("reuse file", from, true, func() (err error) { f, err = g.FS.ReuseForWrite(from, to, category); return err })
	return g.file(to, f, err)
}

func (g *guard) MkdirAll(dir string, perm os.FileMode) error {
	return g.write("create directory", dir, true, func() error { return g.FS.MkdirAll(dir, perm) })
}

// Lock does nothing: the store has locked the directory above, and can give that free when the database never ends.
func (g *guard) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }

// Unwrap implements vfs.FS.
func (g *guard) Unwrap() vfs.FS { return g.FS }

// guardedFile is a file of a guard.
type guardedFile struct {
	vfs.File
	g    *guard
	name string
}

func (f *guardedFile) Write(p []byte) (n int, err error) {
	err = f.g.write("write file", f.name, true, func() error {
		m, err := f.File.Write(p[n:])
		n += m
		return err
	})
	return n, err
}

func (f *guardedFile) WriteAt(p []byte, at int64) (n int, err error) {
	err = f.g.write("write file", f.name, true, func() error {
		m, err := f.File.WriteAt(p[n:], at+int64(n))
		n += m
		return err
	})
	return n, err
}

func (f *guardedFile) Preallocate(offset, length int64) error {
	return f.g.write("extend file", f.name, true, func() error { return f.File.Preallocate(offset, length) })
}

func (f *guardedFile) Sync() error {
	return f.g.write("sync file", f.name, false, f.File.Sync)
}

func (f *guardedFile) SyncData() error {
	return f.g.write("sync file", f.name, false, f.File.SyncData)
}

func (f *guardedFile) SyncTo(length int64) (full bool, err error) {
	err = f.g.write("sync file", f.name, false, func() (err error) { full, err = f.File.SyncTo(length); return err })
	return full, err
}
