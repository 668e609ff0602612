package state

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"streamsql/internal/pgerr"
)

const (
	// sumsName is the file of a backup that lists all others with their checksums, as sha256sum -c reads it.
	sumsName = "SHA256SUMS"
	// stagingName is the directory, within that of the store, in which a backup is gathered.
	stagingName = "backup.incomplete"
	// partName is what a directory is called until it is complete, after its own name; markName, in there, says that it may be removed, and is locked
	// by whoever is at work.
	partName = ".incomplete"
	markName = "INCOMPLETE"
)

const duplicateFile = "58P02"

// StagedBackup is the store as it was at one moment: files that no longer change, or have been copied.
type StagedBackup struct {
	s   *Store
	dir string
}

// StageBackup takes hold of the store as it is now, and of the blobs named. It takes milliseconds: within a file system files are linked. Nothing may be
// committed, and none of the blobs removed, meanwhile; reads go on. One backup can be made at a time (55006). A failure leaves the store as it is. Drop what is given.
func (s *Store) StageBackup(blobs []string) (*StagedBackup, error) {
	if err := s.use(); err != nil {
		return nil, err
	}
	defer s.open.RUnlock()
	if err := s.guard.failure(); err != nil {
		return nil, err
	}
	if !s.backing.CompareAndSwap(false, true) {
		return nil, pgerr.New(pgerr.ObjectInUse, "another backup is being made").WithHint("Try again when it is there.")
	}
	b := &StagedBackup{s: s, dir: s.path(stagingName)}
	if err := b.gather(blobs); err != nil {
		b.Drop()
		return nil, err
	}
	return b, nil
}

func (b *StagedBackup) gather(blobs []string) error {
	s := b.s
	to := s.fs.PathJoin(b.dir, blobsName)
	if err := s.fs.MkdirAll(to, 0o700); err != nil {
		return ioError("create directory", to, err)
	}
	// What fails over there is no failure of the store.
	s.guard.setPlain(b.dir)
	defer s.guard.setPlain("")
	if err := s.db.Checkpoint(s.fs.PathJoin(b.dir, storeName), pebble.WithFlushedWAL()); err != nil {
		return storeError("copy the store to", b.dir, err)
	}
	for _, n := range blobs {
		if err := linkOrCopy(s.fs, s.blobPath(n), s.fs.PathJoin(to, n)); err != nil {
			return err
		}
	}
	return writeFormat(s.fs, b.dir)
}

// Drop frees what was taken hold of. The store must still be open.
func (b *StagedBackup) Drop() {
	_ = b.s.fs.RemoveAll(b.dir) // or it is at the next start
	b.s.backing.Store(false)
}

// Write makes the backup: a directory, which must not exist or be empty, and which is there when it is complete and not before. It can be opened like the
// original. Files are linked where the file system allows it, so that several backups share what has not changed; each has its checksum in the file SHA256SUMS.
func (b *StagedBackup) Write(ctx context.Context, dir string) error {
	fs := b.s.fs
	return makeDirectory(fs, dir, func(part string) error {
		var sums []fileSum
		err := walkFiles(fs, b.dir, "", func(name string) error {
			from, to := join(fs, b.dir, name), join(fs, part, name)
			if err := fs.MkdirAll(fs.PathDir(to), 0o700); err != nil {
				return ioError("create directory", fs.PathDir(to), err)
			}
			if err := linkOrCopy(fs, from, to); err != nil {
				return err
			}
			sum, err := hashFile(ctx, fs, to, nil)
			sums = append(sums, fileSum{name, sum})
			return err
		})
		if err != nil {
			return err
		}
		if err := writeSums(fs, part, sums); err != nil {
			return err
		}
		return syncTree(fs, part)
	})
}

// Restore copies a backup to a data directory, which must not exist or be empty and is there when it is complete, and not before. A file that is not as it was, is
// missing or does not belong there is XX001. fs may be nil: the operating system's.
func Restore(ctx context.Context, fs FS, backup, dir string) error {
	if fs == nil {
		fs = vfs.Default
	}
	sums, err := readSums(fs, backup)
	if err != nil {
		return err
	}
	return makeDirectory(fs, dir, func(part string) error {
		err := walkFiles(fs, backup, "", func(name string) error {
			if name == sumsName || name == lockName {
				return nil
			}
			i := slices.IndexFunc(sums, func(f fileSum) bool { return f.name == name })
			if i < 0 {
				return damagedBackup(join(fs, backup, name), "file \"%s\" does not belong to the backup")
			}
			want := sums[i].sum
			sums = slices.Delete(sums, i, i+1)
			to := join(fs, part, name)
			if err := fs.MkdirAll(fs.PathDir(to), 0o700); err != nil {
				return ioError("create directory", fs.PathDir(to), err)
			}
			got, err := copyFile(ctx, fs, join(fs, backup, name), to)
			if err == nil && got != want {
				err = damagedBackup(join(fs, backup, name), "file \"%s\" of the backup is damaged")
			}
			return err
		})
		if err != nil {
			return err
		}
		if len(sums) > 0 {
			return damagedBackup(join(fs, backup, sums[0].name), "file \"%s\" of the backup is missing")
		}
		return syncTree(fs, part)
	})
}

func damagedBackup(path, what string) error {
	return pgerr.New(pgerr.DataCorrupted, what, path).WithHint("Take another backup, or another copy of this one.")
}

type fileSum struct{ name, sum string }

// join gives the path of a file by its name below dir, which has slashes.
func join(fs FS, dir, name string) string {
	return fs.PathJoin(append([]string{dir}, strings.Split(name, "/")...)...)
}

func writeSums(fs FS, dir string, sums []fileSum) error {
	var text bytes.Buffer
	for _, f := range sums {
		fmt.Fprintf(&text, "%s  %s\n", f.sum, f.name)
	}
	path := fs.PathJoin(dir, sumsName)
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return ioError("create file", path, err)
	}
	_, err = f.Write(text.Bytes())
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return ioError("write file", path, err)
	}
	return nil
}

func readSums(fs FS, dir string) (sums []fileSum, err error) {
	path := fs.PathJoin(dir, sumsName)
	f, err := fs.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		e := pgerr.New(pgerr.UndefinedFile, "\"%s\" is no backup: there is no file \"%s\"", dir, sumsName)
		if _, err := fs.Stat(fs.PathJoin(dir, formatName)); err == nil {
			e = e.WithHint("It is a data directory that has been in use: start the server on it, or on a copy.")
		}
		return nil, e
	}
	if err != nil {
		return nil, ioError("open file", path, err)
	}
	defer f.Close()
	for r := bufio.NewReader(f); ; {
		line, err := r.ReadString('\n')
		if err == io.EOF && line == "" && len(sums) > 0 {
			return sums, nil
		}
		if err != nil && err != io.EOF {
			return nil, ioError("read file", path, err)
		}
		sum, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		if err == io.EOF || !ok || len(sum) != 2*sha256.Size || name == "" {
			return nil, damagedBackup(path, "file \"%s\" of the backup is damaged")
		}
		sums = append(sums, fileSum{name, sum})
	}
}

// makeDirectory makes a directory with what fill puts into it, so that it is complete when it appears under its name.
func makeDirectory(fs FS, dir string, fill func(part string) error) error {
	names, err := fs.List(dir)
	switch {
	case err == nil && len(names) > 0:
		return pgerr.New(duplicateFile, "directory \"%s\" is not empty", dir).WithHint("Name a directory that does not exist: it will be made.")
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return ioError("read directory", dir, err)
	}
	exists := err == nil
	part := dir + partName
	if names, err = fs.List(part); err == nil && len(names) > 0 && !slices.Contains(names, markName) {
		return pgerr.New(duplicateFile, "directory \"%s\", where \"%s\" would be gathered, is not empty", part, dir).WithHint("Remove it, or name another directory.")
	}
	if err := fs.MkdirAll(part, 0o700); err != nil {
		return ioError("create directory", part, err)
	}
	mark := fs.PathJoin(part, markName)
	lock, err := fs.Lock(mark)
	if err != nil {
		return pgerr.New(pgerr.ObjectInUse, "somebody else is making \"%s\"", dir).WithCause(err)
	}
	err = func() error {
		for _, n := range names { // of one that was not finished
			if n != markName {
				if err := fs.RemoveAll(fs.PathJoin(part, n)); err != nil {
					return ioError("remove", fs.PathJoin(part, n), err)
				}
			}
		}
		return fill(part)
	}()
	if err != nil {
		lock.Close()
		_ = fs.RemoveAll(part) // or the next one does
		return err
	}
	err = fs.Remove(mark)
	lock.Close()
	if err == nil && exists {
		err = fs.Remove(dir)
	}
	if err == nil {
		err = fs.Rename(part, dir)
	}
	if err != nil {
		_ = fs.RemoveAll(part)
		return ioError("make directory", dir, err)
	}
	return syncDir(fs, fs.PathDir(dir))
}

// walkFiles gives the names of the files below dir to f, with slashes, in order.
func walkFiles(fs FS, dir, below string, f func(name string) error) error {
	at := join(fs, dir, below)
	names, err := fs.List(at)
	if err != nil {
		return ioError("read directory", at, err)
	}
	slices.Sort(names)
	for _, n := range names {
		name := n
		if below != "" {
			name = below + "/" + n
		}
		info, err := fs.Stat(join(fs, dir, name))
		switch {
		case err != nil:
			err = ioError("read", join(fs, dir, name), err)
		case info.IsDir():
			err = walkFiles(fs, dir, name, f)
		default:
			err = f(name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// syncTree makes the entries of a directory and those below it durable.
func syncTree(fs FS, dir string) error {
	names, err := fs.List(dir)
	if err != nil {
		return ioError("read directory", dir, err)
	}
	for _, n := range names {
		if info, err := fs.Stat(fs.PathJoin(dir, n)); err == nil && info.IsDir() {
			if err := syncTree(fs, fs.PathJoin(dir, n)); err != nil {
				return err
			}
		}
	}
	return syncDir(fs, dir)
}

func linkOrCopy(fs FS, from, to string) error {
	if fs.Link(from, to) == nil {
		return nil
	}
	_, err := copyFile(context.Background(), fs, from, to)
	return err
}

// copyFile copies a file, makes the copy durable, and gives the checksum of what was read.
func copyFile(ctx context.Context, fs FS, from, to string) (sum string, err error) {
	out, err := fs.Create(to, vfs.WriteCategoryUnspecified)
	if err != nil {
		return "", ioError("create file", to, err)
	}
	sum, err = hashFile(ctx, fs, from, out)
	if err == nil {
		if serr := out.Sync(); serr != nil {
			err = ioError("sync file", to, serr)
		}
	}
	if cerr := out.Close(); err == nil && cerr != nil {
		err = ioError("close file", to, cerr)
	}
	return sum, err
}

// hashFile gives the checksum of a file, and its bytes to a writer, if there is one.
func hashFile(ctx context.Context, fs FS, path string, to io.Writer) (string, error) {
	in, err := fs.Open(path)
	if err != nil {
		return "", ioError("open file", path, err)
	}
	defer in.Close()
	h := sha256.New()
	for buf := make([]byte, 1<<20); ; {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		n, err := in.Read(buf)
		h.Write(buf[:n])
		if to != nil && n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return "", ioError("copy file", path, err)
			}
		}
		switch err {
		case nil:
		case io.EOF:
			return hex.EncodeToString(h.Sum(nil)), nil
		default:
			return "", ioError("read file", path, err)
		}
	}
}
