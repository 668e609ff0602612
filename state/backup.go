package state

import (
	"errors"
	"io"
	"os"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"streamsql/internal/pgerr"
)

// Backup copies the store as it is now to a directory, which must not exist or be empty: it can be opened like the original. Files that
// no longer change are linked where the file system allows it. Nothing may be committed, and no blob created or removed, meanwhile; reads go on. A failure leaves
// the store as it is, and an unusable directory without a format file.
func (s *Store) Backup(dir string) error {
	if err := s.use(); err != nil {
		return err
	}
	defer s.open.RUnlock()
	if err := s.guard.failure(); err != nil {
		return err
	}
	if names, err := s.fs.List(dir); err == nil && len(names) > 0 {
		return pgerr.New(duplicateFile, "directory \"%s\" is not empty", dir).WithHint("Name a directory that does not exist: it will be made.")
	} else if err != nil && !errors.Is(err, os.ErrNotExist) {
		return ioError("read directory", dir, err)
	}
	blobs := s.fs.PathJoin(dir, blobsName)
	if err := s.fs.MkdirAll(blobs, 0o700); err != nil {
		return ioError("create directory", blobs, err)
	}
	// What fails over there is no failure of the store.
	s.guard.setPlain(dir)
	defer s.guard.setPlain("")
	if err := s.db.Checkpoint(s.fs.PathJoin(dir, storeName), pebble.WithFlushedWAL()); err != nil {
		return storeError("copy the store to", dir, err)
	}
	names, err := s.Blobs()
	if err != nil {
		return err
	}
	for _, n := range names {
		to := s.fs.PathJoin(blobs, n)
		if s.fs.Link(s.blobPath(n), to) == nil {
			continue
		}
		if err := copyFile(s.fs, s.blobPath(n), to); err != nil {
			return ioError("copy file", s.blobPath(n), err)
		}
	}
	if err := syncDir(s.fs, blobs); err != nil {
		return err
	}
	return writeFormat(s.fs, dir)
}

func copyFile(fs vfs.FS, from, to string) error {
	in, err := fs.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := fs.Create(to, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}

const duplicateFile = "58P02"
