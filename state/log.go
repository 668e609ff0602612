package state

import (
	"bufio"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"

	"streamsql/internal/pgerr"
)

// Log keeps, in a directory, what must survive a restart: records appended and
// synced one commit at a time, read back in order when it is opened. A record
// that was being written when the power went is cut off; damage before the end is an error.
//
// File: the magic and format version, then for each record its length and the
// CRC-32C of its bytes, four bytes each, little-endian, and the bytes.
type Log struct {
	dir    string
	f      *os.File
	lock   *os.File
	size   int64
	failed error
}

const (
	logName    = "streamsql.log"
	logMagic   = "streamsql"
	logVersion = 1
	logHeader  = len(logMagic) + 4
	// maxRecord bounds what a damaged length may make us read.
	maxRecord = 1 << 30
)

// OpenLog opens the log of a directory, making both if they are missing, and gives every record to replay. The bytes are valid during the call.
func OpenLog(dir string, replay func(record []byte) error) (*Log, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, ioError("create directory", dir, err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, ioError("open file", filepath.Join(dir, "lock"), err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		return nil, pgerr.New(pgerr.ObjectInUse, "data directory \"%s\" is in use by another server", dir)
	}
	l := &Log{dir: dir, lock: lock}
	if err := l.open(replay); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

func (l *Log) path() string { return filepath.Join(l.dir, logName) }

func header() []byte {
	return binary.LittleEndian.AppendUint32([]byte(logMagic), logVersion)
}

func (l *Log) open(replay func([]byte) error) (err error) {
	if l.f, err = os.OpenFile(l.path(), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return ioError("open file", l.path(), err)
	}
	st, err := l.f.Stat()
	if err != nil {
		return ioError("read file", l.path(), err)
	}
	if st.Size() == 0 {
		if _, err := l.f.Write(header()); err != nil {
			return ioError("write file", l.path(), err)
		}
		if err := l.f.Sync(); err != nil {
			return ioError("sync file", l.path(), err)
		}
		l.size = int64(logHeader)
		return syncDir(vfs.Default, l.dir)
	}
	r := bufio.NewReaderSize(l.f, 1<<20)
	head := make([]byte, logHeader)
	if _, err := io.ReadFull(r, head); err != nil || string(head[:len(logMagic)]) != logMagic {
		return pgerr.New(pgerr.DataCorrupted, "file \"%s\" is not a streamsql log", l.path())
	}
	if v := binary.LittleEndian.Uint32(head[len(logMagic):]); v != logVersion {
		return pgerr.New(pgerr.FeatureNotSupported, "data directory \"%s\" has format %d, this server reads format %d", l.dir, v, logVersion).
			WithHint("Start the version of streamsql that wrote it.")
	}
	l.size = int64(logHeader)
	var frame [8]byte
	var buf []byte
	for {
		n, err := io.ReadFull(r, frame[:])
		if n == 0 && err == io.EOF {
			break
		}
		size := int64(binary.LittleEndian.Uint32(frame[:]))
		torn := err != nil || l.size+8+size > st.Size()
		if !torn {
			if size > maxRecord {
				return l.damaged()
			}
			if int64(cap(buf)) < size {
				buf = make([]byte, size)
			}
			buf = buf[:size]
			if _, err := io.ReadFull(r, buf); err != nil {
				return ioError("read file", l.path(), err)
			}
			if crc32.Checksum(buf, castagnoli) != binary.LittleEndian.Uint32(frame[4:]) {
				if l.size+8+size < st.Size() {
					return l.damaged()
				}
				torn = true
			}
		}
		if torn { // the last write before the power went: nobody was told that it was done
			if err := l.f.Truncate(l.size); err != nil {
				return ioError("truncate file", l.path(), err)
			}
			break
		}
		if err := replay(buf); err != nil {
			return err
		}
		l.size += 8 + size
	}
	_, err = l.f.Seek(l.size, io.SeekStart)
	return err
}

func (l *Log) damaged() error {
	return pgerr.New(pgerr.DataCorrupted, "file \"%s\" is damaged at byte %d", l.path(), l.size).
		WithHint("Restore the data directory from a backup.")
}

func frame(dst []byte, record []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(record)))
	dst = binary.LittleEndian.AppendUint32(dst, crc32.Checksum(record, castagnoli))
	return append(dst, record...)
}

// Append writes a record and returns when it survives a power cut. After a failure of the file nothing more is
// accepted: what the disk holds is then unknown until the log is opened again.
func (l *Log) Append(record []byte) error {
	if l.failed != nil {
		return l.failed
	}
	if len(record) > maxRecord {
		return pgerr.New(pgerr.ProgramLimitExceeded, "a transaction of %d bytes is too large", len(record)).WithHint("Commit in smaller pieces.")
	}
	b := frame(make([]byte, 0, len(record)+8), record)
	_, err := l.f.Write(b)
	if errors.Is(err, syscall.ENOSPC) {
		// Take the part that was written back, so that the log stays whole and can go on when there is room.
		if l.f.Truncate(l.size) == nil {
			if _, serr := l.f.Seek(l.size, io.SeekStart); serr == nil {
				return ioError("write file", l.path(), err)
			}
		}
	}
	if err == nil {
		err = l.f.Sync()
	}
	if err != nil {
		l.failed = ioError("write file", l.path(), err)
		return l.failed
	}
	l.size += int64(len(b))
	return nil
}

// Size gives the bytes of the log.
func (l *Log) Size() int64 { return l.size }

// Rewrite replaces the log by the records that write gives, atomically.
func (l *Log) Rewrite(write func(add func(record []byte) error) error) error {
	tmp := l.path() + ".new"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return ioError("create file", tmp, err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	size := int64(logHeader)
	_, err = w.Write(header())
	if err == nil {
		err = write(func(record []byte) error {
			b := frame(nil, record)
			size += int64(len(b))
			_, err := w.Write(b)
			return err
		})
	}
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(tmp, l.path())
	}
	if err != nil {
		f.Close()
		os.Remove(tmp)
		return ioError("write file", tmp, err)
	}
	l.f.Close()
	l.f, l.size = f, size
	return syncDir(vfs.Default, l.dir)
}

// Close closes the files and gives the directory free.
func (l *Log) Close() error {
	var err error
	if l.f != nil {
		err = l.f.Close()
		l.f = nil
	}
	if l.lock != nil {
		l.lock.Close()
		l.lock = nil
	}
	return err
}
