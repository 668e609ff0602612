package state

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"streamsql/internal/crash"
	"streamsql/internal/pgerr"
	"streamsql/internal/vary"
)

// FormatVersion is the version of what a data directory holds. Another one is refused.
const FormatVersion = 2

// The names in a data directory.
const (
	formatName = "FORMAT" // one line: what this is, and the version; made when all else is there
	newName    = "NEW"    // as long as the directory is being made: nothing in it counts
	storeName  = "store"  // the database
	blobsName  = "blobs"
	lockName   = "lock"
	oldLogName = "streamsql.log" // of format 1
)

// A Space is a part of a store with keys of its own.
type Space byte

// The spaces of a store.
const (
	// Meta holds the engine's own counters.
	Meta Space = 'm'
	// Catalog holds the objects of the catalog.
	Catalog Space = 'c'
	// Relations tells of each relation with content which rows are its own: OID -> ID of the rows, their number and bytes.
	Relations Space = 'n'
	// Rows holds the rows of relations: ID and key -> row. See Table.
	Rows Space = 'r'
	// Jobs holds what jobs need to go on: their offsets, checkpoints, positions.
	Jobs Space = 'j'
	// Journal holds the inputs of jobs since their checkpoints.
	Journal Space = 'l'
	// Positions holds how far the connectors of tables have been read.
	Positions Space = 'p'
	// History holds the changes of recent epochs that jobs have not taken into a checkpoint.
	History Space = 'h'
	// Remembered holds the changes of recent epochs that subscriptions may go back to.
	Remembered Space = 's'
	// staged holds pieces of a large commit until all of them are there. It comes first: who looks for a key of another space that is not there reads the block
	// behind where it would be, and must not meet these.
	staged Space = 1
)

// StoreOptions say how to open a store.
type StoreOptions struct {
	// FS is where it lives; nil is the operating system's.
	FS FS
	// Log takes what the database below has to say, at the level debug. May be nil.
	Log *slog.Logger
	// Temporary makes a store that is never synced, has a directory of its own below the one given ("": the system's
	// for temporary files) and is removed by Close.
	Temporary bool
	// CacheBytes bounds the blocks of files kept in memory; 0 is 32 MiB. Besides, up to MemTableBytes (0: 8 MiB) are
	// kept of what was written last, twice while that goes to a file.
	CacheBytes    int64
	MemTableBytes uint64
	// StageBytes is from how many bytes on a commit is written to the disk in pieces, twice, and not held in memory as one. 0 is 256 MiB.
	StageBytes int
	// Full, where not nil, is called from any goroutine when writes begin to wait for room on the disk (true), and
	// when they go on.
	Full func(bool)
}

// Store is an ordered map in a directory, which survives a crash at any point: what a Commit writes is there wholly or not at all,
// and for good once a synced one has returned. Beside it are blobs: files for what is large. It is safe for concurrent use.
//
// A write for which the disk has no room waits until there is. After any other failure of a write the store takes
// no more of them (58030), but goes on serving reads: what is on the disk is known again when it is opened the next time.
type Store struct {
	dir   string
	fs    vfs.FS
	guard *guard
	log   *slog.Logger
	db    *pebble.DB
	lock  io.Closer
	cache *pebble.Cache
	temp  bool
	fresh bool // it is being made

	// open is held shared by everything that uses db, and exclusively to close it.
	open    sync.RWMutex
	closing sync.Once
	closed  bool
	views   map[*StoreView]struct{} // under viewing
	viewing sync.Mutex
	freeing sync.WaitGroup // views that are being closed
	backing atomic.Bool    // a backup is being made

	stageAt  int
	staging  sync.Mutex   // held by the commit that is written in pieces
	applying sync.RWMutex // held exclusively while the pieces of a commit are put in their places, which nobody may see half done
}

// OpenStore opens the store in a directory, making both if they are missing. A directory that another server uses is
// refused with 55006, one of another format version with 0A000, a damaged one with XX001.
func OpenStore(dir string, o StoreOptions) (*Store, error) {
	fs := o.FS
	if fs == nil {
		fs = vfs.Default
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = 32 << 20
	}
	if o.MemTableBytes == 0 {
		o.MemTableBytes = 8 << 20
	}
	if o.Temporary {
		var err error
		if o.FS != nil {
			dir = fs.PathJoin(dir, "streamsql-temporary")
		} else if dir, err = os.MkdirTemp(dir, "streamsql-"); err != nil {
			return nil, ioError("create directory", dir, err)
		}
	}
	if o.StageBytes == 0 {
		o.StageBytes = 256 << 20
	}
	if v := vary.Drawn(); v != nil && v.StageBytes > 0 {
		o.StageBytes = min(o.StageBytes, v.StageBytes)
	}
	s := &Store{dir: dir, fs: fs, log: o.Log, temp: o.Temporary, views: map[*StoreView]struct{}{}, stageAt: o.StageBytes}
	s.guard = newGuard(fs, o.Full)
	if err := s.openDir(); err != nil {
		s.Close()
		return nil, err
	}
	err := s.openDB(&o)
	if err == nil && s.fresh {
		if err = writeFormat(s.fs, s.dir); err == nil {
			err = s.removeNew()
		}
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Store) removeNew() error {
	if err := s.fs.Remove(s.path(newName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return ioError("remove file", s.path(newName), err)
	}
	return nil
}

// openDir locks the directory and checks its format.
func (s *Store) openDir() error {
	if _, err := s.fs.Stat(s.path(oldLogName)); err == nil {
		return s.otherFormat(1)
	}
	// The format is looked at before the directory is touched, and again under the lock.
	if err := s.checkFormat(); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, d := range []string{s.dir, s.path(storeName), s.path(blobsName)} {
		if err := s.fs.MkdirAll(d, 0o700); err != nil {
			return ioError("create directory", d, err)
		}
	}
	lock, err := s.fs.Lock(s.path(lockName))
	if err != nil {
		return pgerr.New(pgerr.ObjectInUse, "data directory \"%s\" is in use by another server", s.dir).WithCause(err)
	}
	s.lock = lock
	// A backup that is opened is one no longer, and one that was being made when the server died is of no use.
	for _, n := range []string{sumsName, stagingName} {
		if err := s.fs.RemoveAll(s.path(n)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return ioError("remove", s.path(n), err)
		}
	}
	err = s.checkFormat()
	if err == nil {
		return s.removeNew()
	}
	if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	s.fresh = true
	if _, err := s.fs.Stat(s.path(newName)); err == nil { // whoever was making it did not come to an end
		return s.clear()
	}
	names, err := s.fs.List(s.path(storeName))
	if err != nil {
		return ioError("read directory", s.path(storeName), err)
	}
	for _, n := range names {
		if strings.HasPrefix(n, "MANIFEST") {
			return pgerr.New(pgerr.DataCorrupted, "data directory \"%s\" has lost its file \"%s\"", s.dir, formatName).
				WithHint("Restore the data directory from a backup.")
		}
	}
	f, err := s.fs.Create(s.path(newName), vfs.WriteCategoryUnspecified)
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return ioError("create file", s.path(newName), err)
	}
	if err := syncDir(s.fs, s.dir); err != nil {
		return err
	}
	return syncDir(s.fs, s.fs.PathDir(s.dir))
}

// clear makes the directories of a store that was not finished anew.
func (s *Store) clear() error {
	for _, d := range []string{s.path(storeName), s.path(blobsName)} {
		if err := s.fs.RemoveAll(d); err != nil {
			return ioError("remove directory", d, err)
		}
		if err := s.fs.MkdirAll(d, 0o700); err != nil {
			return ioError("create directory", d, err)
		}
	}
	return nil
}

// writeFormat makes the file that tells the format version, and makes the entries of the directory durable.
func writeFormat(fs vfs.FS, dir string) error {
	path := fs.PathJoin(dir, formatName)
	tmp := path + ".new"
	f, err := fs.Create(tmp, vfs.WriteCategoryUnspecified)
	if err == nil {
		_, err = fmt.Fprintf(f, "streamsql data directory, format %d\n", FormatVersion)
		if err == nil {
			err = f.Sync()
		}
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}
	if err == nil {
		err = fs.Rename(tmp, path)
	}
	if err != nil {
		return ioError("write file", tmp, err)
	}
	if err := syncDir(fs, dir); err != nil {
		return err
	}
	return syncDir(fs, fs.PathDir(dir))
}

// checkFormat compares the format of the directory with FormatVersion; an error that is os.ErrNotExist where there is none.
func (s *Store) checkFormat() error {
	f, err := s.fs.Open(s.path(formatName))
	if err != nil {
		return ioError("open file", s.path(formatName), err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		return ioError("read file", s.path(formatName), err)
	}
	text, ok := strings.CutPrefix(strings.TrimSpace(string(b)), "streamsql data directory, format ")
	v, err := strconv.Atoi(text)
	if !ok || err != nil {
		return pgerr.New(pgerr.DataCorrupted, "file \"%s\" does not tell the format of a data directory", s.path(formatName)).
			WithHint("Restore the data directory from a backup.")
	}
	if v != FormatVersion {
		return s.otherFormat(v)
	}
	return nil
}

func (s *Store) otherFormat(v int) error {
	e := pgerr.New(pgerr.FeatureNotSupported, "data directory \"%s\" has format %d, this server reads format %d", s.dir, v, FormatVersion)
	if v < FormatVersion {
		return e.WithHint("Start the version of streamsql that wrote it, save the tables with COPY .. TO and the definitions, and load them into a new directory.")
	}
	return e.WithHint("It was written by a newer version of streamsql: start that one.")
}

// openDB opens the database.
func (s *Store) openDB(o *StoreOptions) error {
	s.cache = pebble.NewCache(o.CacheBytes)
	opts := &pebble.Options{
		FS:                          s.guard,
		Cache:                       s.cache,
		Logger:                      storeLogger{s},
		FormatMajorVersion:          pebble.FormatTableFormatV6,
		MemTableSize:                o.MemTableBytes,
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       16,
		L0StopWritesThreshold:       1000,
		LBaseMaxBytes:               64 << 20,
		MaxOpenFiles:                500,
		DisableWAL:                  o.Temporary,
	}
	if v := vary.Drawn(); v != nil && v.Compact {
		opts.MemTableSize, opts.L0CompactionThreshold, opts.LBaseMaxBytes = min(opts.MemTableSize, 256<<10), 1, 1<<20
	}
	for i := range opts.Levels {
		opts.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		if i < len(opts.Levels)-1 {
			// What was written lately is rewritten soon. To compress it was a tenth of the work of a busy view.
			opts.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.NoCompression }
		}
	}
	l := pebble.MakeLoggingEventListener(opts.Logger)
	l.BackgroundError = func(err error) { s.log.Warn("store", "error", err) }
	l.DiskSlow = func(info pebble.DiskSlowInfo) { s.log.Warn("store", "slow", info.String()) }
	l.FlushBegin, l.FlushEnd = passing(crash.FlushBegun, l.FlushBegin), passing(crash.FlushDone, l.FlushEnd)
	l.CompactionBegin, l.CompactionEnd = passing(crash.CompactionBegun, l.CompactionBegin), passing(crash.CompactionDone, l.CompactionEnd)
	opts.EventListener = &l

	type opened struct {
		db  *pebble.DB
		err error
	}
	done := make(chan opened, 1)
	go func() { // where the database would end the process it waits for ever: see guard
		db, err := pebble.Open(s.path(storeName), opts)
		done <- opened{db, err}
	}()
	select {
	case d := <-done:
		if d.err != nil {
			return openError(s.path(storeName), d.err)
		}
		s.db = d.db
	case <-s.guard.failed:
		return s.guard.failure()
	}
	if err := s.finishStaged(); err != nil {
		return err
	}
	s.guard.opening.Store(false)
	return s.guard.failure()
}

// passing makes what happens a point of the tests of crashes.
func passing[T any](point string, tell func(T)) func(T) {
	return func(info T) {
		crash.At(point)
		tell(info)
	}
}

// storeLogger hands the messages of the database on.
type storeLogger struct{ s *Store }

func (l storeLogger) Infof(format string, args ...any) {
	if l.s.log.Enabled(context.Background(), slog.LevelDebug) {
		l.s.log.Debug("store", "message", fmt.Sprintf(format, args...))
	}
}

func (l storeLogger) Errorf(format string, args ...any) {
	l.s.log.Warn("store", "message", fmt.Sprintf(format, args...))
}

// Fatalf must not return. The database holds what nobody knows: no more is written.
func (l storeLogger) Fatalf(format string, args ...any) {
	err := pgerr.New(pgerr.IOError, "the store in \"%s\" failed: %s", l.s.dir, fmt.Sprintf(format, args...))
	l.s.log.Error("store", "error", err)
	l.s.guard.fail(err)
	select {}
}

func (s *Store) path(name string) string { return s.fs.PathJoin(s.dir, name) }

// Dir gives the directory.
func (s *Store) Dir() string { return s.dir }

// Failed gives the failure after which the store takes no more writes; nil while it does.
func (s *Store) Failed() error { return s.guard.failure() }

// Failures gives a channel that is closed when Failed is no longer nil.
func (s *Store) Failures() <-chan struct{} { return s.guard.failed }

// Full says that writes wait for room on the disk.
func (s *Store) Full() bool { return s.guard.waiting.Load() > 0 }

// Close ends the store. Views of it can no longer be read. Writes that wait are given up.
func (s *Store) Close() error {
	s.closing.Do(func() { close(s.guard.closed) })
	s.open.Lock()
	defer s.open.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	var err error
	if s.db != nil {
		err = s.closeDB()
	}
	if s.cache != nil {
		s.cache.Unref()
	}
	if s.lock != nil {
		s.lock.Close()
	}
	if s.temp {
		if rerr := s.fs.RemoveAll(s.dir); err == nil && rerr != nil {
			err = ioError("remove directory", s.dir, rerr)
		}
	}
	return err
}

func (s *Store) closeDB() error {
	if s.guard.failure() != nil {
		return nil
	}
	done := make(chan error, 1)
	go func() {
		s.viewing.Lock()
		for v := range s.views {
			v.snap.Close()
		}
		clear(s.views)
		s.viewing.Unlock()
		s.freeing.Wait()
		done <- s.db.Close()
	}()
	select {
	case err := <-done:
		if err != nil {
			return storeError("close", s.dir, err)
		}
		return nil
	case <-s.guard.failed:
		return s.guard.failure()
	}
}

// openError words an error of opening the database. What is not one of the system's is about what is in the files, and so is a missing file.
func openError(path string, err error) error {
	var number syscall.Errno
	if errors.As(err, &number) && !errors.Is(err, os.ErrNotExist) || noRoom(err) {
		return ioError("open", path, err)
	}
	return pgerr.New(pgerr.DataCorrupted, "could not open \"%s\": %v", path, err).WithCause(err).WithHint("Restore the data directory from a backup.")
}

// storeError words an error of the database.
func storeError(what, path string, err error) error {
	if pebble.IsCorruptionError(err) {
		return pgerr.New(pgerr.DataCorrupted, "could not %s \"%s\": %v", what, path, err).WithCause(err).
			WithHint("Restore the data directory from a backup.")
	}
	return ioError(what, path, err)
}

func ioError(what, path string, err error) error {
	code := pgerr.IOError
	if noRoom(err) {
		code = pgerr.DiskFull
	}
	return pgerr.New(code, "could not %s \"%s\": %v", what, path, err).WithCause(err)
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return ioError("open directory", dir, err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return ioError("sync directory", dir, err)
	}
	return nil
}

// use takes the store for a while in which it stays open.
func (s *Store) use() error {
	s.open.RLock()
	if s.closed {
		s.open.RUnlock()
		return pgerr.New(pgerr.AdminShutdown, "the store in \"%s\" has been closed", s.dir)
	}
	return nil
}

// StoreView is the content of a store at one moment. It is safe for concurrent readers. Close it, or the store keeps what it shows for ever.
type StoreView struct {
	s    *Store
	snap *pebble.Snapshot
}

// View gives the content as it is now.
func (s *Store) View() (*StoreView, error) {
	if err := s.use(); err != nil {
		return nil, err
	}
	defer s.open.RUnlock()
	s.applying.RLock()
	v := &StoreView{s: s, snap: s.db.NewSnapshot()}
	s.applying.RUnlock()
	s.viewing.Lock()
	s.views[v] = struct{}{}
	s.viewing.Unlock()
	return v, nil
}

// Close frees the view. It does not wait for the disk.
func (v *StoreView) Close() {
	v.s.viewing.Lock()
	defer v.s.viewing.Unlock()
	if _, held := v.s.views[v]; !held {
		return
	}
	delete(v.s.views, v)
	v.s.freeing.Add(1)
	go func() { // it may have to wait for a file of the database to be written
		defer v.s.freeing.Done()
		v.snap.Close()
	}()
}

// Get gives a copy of the value of a key; ok is false where there is none.
func (v *StoreView) Get(space Space, key []byte) (value []byte, ok bool, err error) {
	return v.s.get(v.snap, space, key)
}

// A Finder looks for single keys of a view, one after the other, many of which are not there. It is used by one goroutine, and closed soon: as long as
// it is open the files that it sees stay.
type Finder struct {
	s    *Store
	it   *pebble.Iterator
	full []byte
}

// Finder gives a Finder of the keys of a space that begin with prefix.
func (v *StoreView) Finder(space Space, prefix []byte) (*Finder, error) {
	if err := v.s.use(); err != nil {
		return nil, err
	}
	defer v.s.open.RUnlock()
	lower := append([]byte{byte(space)}, prefix...)
	it, err := v.snap.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: prefixEnd(lower), UseL6Filters: true})
	if err != nil {
		return nil, storeError("read from the store in", v.s.dir, err)
	}
	return &Finder{s: v.s, it: it, full: lower[:1]}, nil
}

// Get gives the value of a key, which is valid until the next call; ok is false where there is none.
func (f *Finder) Get(key []byte) (value []byte, ok bool, err error) {
	if err := f.s.use(); err != nil {
		return nil, false, err
	}
	defer f.s.open.RUnlock()
	f.full = append(f.full[:1], key...)
	if !f.it.SeekPrefixGE(f.full) {
		if err := f.it.Error(); err != nil {
			return nil, false, storeError("read from the store in", f.s.dir, err)
		}
		return nil, false, nil
	}
	return f.it.Value(), true, nil
}

// Close ends it.
func (f *Finder) Close() {
	if f.s.use() == nil { // the database may not be there any more
		_ = f.it.Close()
		f.s.open.RUnlock()
	}
}

// Scan gives every key that begins with prefix, in order, to f, from the first that is not less than from (nil: the first of all), until
// f gives false. The slices are valid during the call, in which nothing else may be asked of the store.
func (v *StoreView) Scan(space Space, prefix, from []byte, f func(key, value []byte) bool) error {
	return v.s.scan(v.snap, space, prefix, from, f)
}

// ScanRange is Scan of the keys from from, and before to.
func (v *StoreView) ScanRange(space Space, from, to []byte, f func(key, value []byte) bool) error {
	return v.s.scanRange(v.snap, append([]byte{byte(space)}, from...), append([]byte{byte(space)}, to...), f)
}

// settled waits, for who reads the newest content, until no commit is there in part, and keeps it so until free is called. Views do not change.
func (s *Store) settled(r pebble.Reader) (free func()) {
	if r != pebble.Reader(s.db) {
		return func() {}
	}
	s.applying.RLock()
	return s.applying.RUnlock
}

func (s *Store) get(r pebble.Reader, space Space, key []byte) (value []byte, ok bool, err error) {
	if err := s.use(); err != nil {
		return nil, false, err
	}
	defer s.open.RUnlock()
	full := append(append(make([]byte, 0, len(key)+1), byte(space)), key...)
	free := s.settled(r)
	b, closer, err := r.Get(full)
	free()
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, storeError("read from the store in", s.dir, err)
	}
	value = bytes.Clone(b)
	closer.Close()
	return value, true, nil
}

func (s *Store) scan(r pebble.Reader, space Space, prefix, from []byte, f func(key, value []byte) bool) error {
	lower := append([]byte{byte(space)}, prefix...)
	upper := prefixEnd(lower)
	if len(from) > 0 {
		if start := append([]byte{byte(space)}, from...); bytes.Compare(start, lower) > 0 {
			lower = start
		}
	}
	return s.scanRange(r, lower, upper, f)
}

func (s *Store) scanRange(r pebble.Reader, lower, upper []byte, f func(key, value []byte) bool) error {
	if err := s.use(); err != nil {
		return err
	}
	defer s.open.RUnlock()
	free := s.settled(r) // what the iterator shows from then on does not change
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	free()
	if err != nil {
		return storeError("read from the store in", s.dir, err)
	}
	for ok := it.First(); ok && f(it.Key()[1:], it.Value()); ok = it.Next() {
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return storeError("read from the store in", s.dir, err)
	}
	return nil
}

// Get gives a copy of the newest value of a key.
func (s *Store) Get(space Space, key []byte) (value []byte, ok bool, err error) {
	return s.get(s.db, space, key)
}

// Scan is StoreView.Scan of the newest content, from the beginning.
func (s *Store) Scan(space Space, prefix []byte, f func(key, value []byte) bool) error {
	return s.scan(s.db, space, prefix, nil, f)
}

// ScanFrom is StoreView.Scan of the newest content.
func (s *Store) ScanFrom(space Space, prefix, from []byte, f func(key, value []byte) bool) error {
	return s.scan(s.db, space, prefix, from, f)
}
