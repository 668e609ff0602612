package spill

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"

	"streamsql/internal/pgerr"
)

// TestStreams writes streams side by side in random pieces, flushes and resets them, and reads each back.
func TestStreams(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	dir := t.TempDir()
	sp := NewSpace(dir)
	var streams [5]*Stream
	var want [5][]byte
	for i := range streams {
		streams[i] = sp.NewStream()
	}
	for range 2000 {
		i := rnd.IntN(len(streams))
		switch st := streams[i]; rnd.IntN(40) {
		case 0:
			st.Reset()
			want[i] = nil
		case 1:
			if err := st.Flush(); err != nil {
				t.Fatal(err)
			}
		case 2:
			got, err := io.ReadAll(st.Reader())
			if err != nil || !bytes.Equal(got, want[i]) || st.Len() != int64(len(got)) {
				t.Fatalf("stream %d: %d bytes, %v; want %d", i, len(got), err, len(want[i]))
			}
		default:
			b := make([]byte, rnd.IntN(3*BlockSize>>rnd.IntN(12)))
			for k := range b {
				b[k] = byte(rnd.Uint32())
			}
			if _, err := st.Write(b); err != nil {
				t.Fatal(err)
			}
			want[i] = append(want[i], b...)
		}
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
		t.Errorf("the file has a name: %v %v", files, err)
	}
	for _, st := range streams {
		st.Reset()
	}
	if n := sp.Bytes(); n != 0 {
		t.Errorf("%d bytes are not given back", n)
	}
	if err := sp.Close(); err != nil {
		t.Error(err)
	}
}

type fullFile struct {
	file
	left int
}

func (f *fullFile) WriteAt(b []byte, at int64) (int, error) {
	if f.left--; f.left < 0 {
		return 0, &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}
	}
	return f.file.WriteAt(b, at)
}

func TestDiskFull(t *testing.T) {
	sp := NewSpace(t.TempDir())
	inner := sp.open
	sp.open = func(dir string) (file, error) {
		f, err := inner(dir)
		return &fullFile{f, 3}, err
	}
	defer sp.Close()
	st := sp.NewStream()
	_, err := st.Write(make([]byte, 3*BlockSize))
	if err != nil {
		t.Fatal(err)
	}
	_, err = st.Write(make([]byte, BlockSize))
	if pgerr.Code(err) != pgerr.DiskFull || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a full disk is %v", err)
	}
	st.Reset()
	if n := sp.Bytes(); n != 0 {
		t.Errorf("%d bytes are not given back", n)
	}
	if pgerr.Code(func() error { _, err := NewSpace("/dev/null/x").NewStream().Write(make([]byte, BlockSize)); return err }()) != pgerr.IOError {
		t.Error("a directory that cannot be made is no error")
	}
}
