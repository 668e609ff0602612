package state

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"streamsql/internal/pgerr"
)

func openStore(t testing.TB, dir string, o StoreOptions) *Store {
	t.Helper()
	s, err := OpenStore(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t testing.TB, s *Store, sync bool, kv ...string) {
	t.Helper()
	c := s.NewCommit()
	for i := 0; i < len(kv); i += 2 {
		c.Put(Jobs, []byte(kv[i]), []byte(kv[i+1]))
	}
	if err := c.Write(sync); err != nil {
		t.Fatal(err)
	}
}

func dump(t testing.TB, s *Store, prefix string) string {
	t.Helper()
	var out []string
	if err := s.Scan(Jobs, []byte(prefix), func(k, v []byte) bool {
		out = append(out, string(k)+"="+string(v))
		return true
	}); err != nil {
		t.Fatal(err)
	}
	return strings.Join(out, " ")
}

func TestStore(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, StoreOptions{})
	put(t, s, true, "a", "1", "ab", "2", "b", "3", "\xff\xff", "4")
	v, err := s.View()
	if err != nil {
		t.Fatal(err)
	}
	c := s.NewCommit()
	c.Put(Journal, []byte("a"), []byte("other space"))
	c.Delete(Jobs, []byte("b"))
	c.DeletePrefix(Jobs, []byte("\xff"))
	c.DeleteRange(Jobs, []byte("a"), []byte("ab"))
	c.Put(Jobs, []byte("a"), []byte("later"))
	if err := c.Write(false); err != nil {
		t.Fatal(err)
	}
	if got := dump(t, s, ""); got != "a=later ab=2" {
		t.Error(got)
	}
	if got := dump(t, s, "ab"); got != "ab=2" {
		t.Error(got)
	}
	if b, ok, err := v.Get(Jobs, []byte("b")); !ok || err != nil || string(b) != "3" {
		t.Error("a view changed", string(b), ok, err)
	}
	n := 0
	if err := v.Scan(Jobs, nil, []byte("ab"), func(k, v []byte) bool { n++; return n < 2 }); err != nil || n != 2 {
		t.Error(n, err)
	}
	if _, err := OpenStore(dir, StoreOptions{}); pgerr.Code(err) != pgerr.ObjectInUse {
		t.Error("second server on one directory:", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := v.Get(Jobs, []byte("b")); pgerr.Code(err) != pgerr.AdminShutdown {
		t.Error("read after Close:", err)
	}
	v.Close()
	s = openStore(t, dir, StoreOptions{})
	defer s.Close()
	if got := dump(t, s, ""); got != "a=later ab=2" {
		t.Error(got)
	}
	if _, ok, err := s.Get(Catalog, []byte("a")); ok || err != nil {
		t.Error(ok, err)
	}
}

// TestStoreFormat: another format version is refused before anything is touched.
func TestStoreFormat(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "streamsql.log"), []byte("streamsql\x01\x00\x00\x00"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused := func(code, text string) {
		t.Helper()
		_, err := OpenStore(dir, StoreOptions{})
		if pgerr.Code(err) != code || !strings.Contains(err.Error(), text) {
			t.Errorf("got %v, want %s %q", err, code, text)
		}
	}
	refused(pgerr.FeatureNotSupported, "has format 1, this server reads format 2")
	if es, _ := os.ReadDir(dir); len(es) != 1 {
		t.Error("the directory was changed", es)
	}
	os.Remove(filepath.Join(dir, "streamsql.log"))
	openStore(t, dir, StoreOptions{}).Close()
	format := filepath.Join(dir, "FORMAT")
	if err := os.WriteFile(format, []byte("streamsql data directory, format 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(pgerr.FeatureNotSupported, "has format 3, this server reads format 2")
	os.WriteFile(format, []byte("nothing of ours"), 0o600)
	refused(pgerr.DataCorrupted, "does not tell the format")
	os.Remove(format)
	refused(pgerr.DataCorrupted, "has lost its file")
}

func TestStoreTemporary(t *testing.T) {
	dir := t.TempDir()
	a, b := openStore(t, dir, StoreOptions{Temporary: true}), openStore(t, dir, StoreOptions{Temporary: true})
	put(t, a, true, "k", "1")
	put(t, b, true, "k", "2")
	if dump(t, a, "") != "k=1" {
		t.Error(dump(t, a, ""))
	}
	a.Close()
	b.Close()
	if es, _ := os.ReadDir(dir); len(es) != 0 {
		t.Error("left behind:", es)
	}
}

func writeBlob(s *Store, name string, data []byte, rng *rand.Rand) error {
	w, err := s.CreateBlob(name)
	if err != nil {
		return err
	}
	defer w.Abort()
	for len(data) > 0 {
		n := min(len(data), 1+rng.IntN(100_000))
		if _, err := w.Write(data[:n]); err != nil {
			return err
		}
		data = data[n:]
	}
	return w.Finish()
}

func readBlob(s *Store, name string) ([]byte, error) {
	r, err := s.OpenBlob(name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// TestBlobs: what was finished is read back whole; a blob that was cut or changed anywhere is reported.
func TestBlobs(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, StoreOptions{})
	defer s.Close()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for _, size := range []int{0, 1, blobChunk - 1, blobChunk, 3*blobChunk + 17} {
		data := make([]byte, size)
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		name := fmt.Sprint("b", size)
		if err := writeBlob(s, name, data, rng); err != nil {
			t.Fatal(err)
		}
		got, err := readBlob(s, name)
		if err != nil || !bytes.Equal(got, data) {
			t.Fatalf("size %d: %v", size, err)
		}
		path := filepath.Join(dir, "blobs", name)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			bad := bytes.Clone(whole)
			if rng.IntN(2) == 0 {
				bad = bad[:rng.IntN(len(bad))]
			} else {
				bad[rng.IntN(len(bad))] ^= 1 << rng.IntN(8)
			}
			os.WriteFile(path, bad, 0o600)
			if _, err := readBlob(s, name); pgerr.Code(err) != pgerr.DataCorrupted {
				t.Fatalf("size %d, damaged: %v", size, err)
			}
		}
	}
	if _, err := s.CreateBlob("left"); err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveBlob("b0"); err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveBlob("b0"); err != nil {
		t.Fatal(err)
	}
	names, err := s.Blobs()
	if err != nil || fmt.Sprint(names) != fmt.Sprintf("[b1 b%d b%d b%d]", blobChunk-1, blobChunk, 3*blobChunk+17) {
		t.Error(names, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "blobs", "left.new")); !os.IsNotExist(err) {
		t.Error("the unfinished blob is still there:", err)
	}
}

// TestStoreCrash: after a crash at any point, with what was not synced there or not, a block at a time, every commit is there wholly or not at
// all, no synced one is missing, nor one before it, and blobs that a commit names are whole.
func TestStoreCrash(t *testing.T) {
	for range 20 {
		seed := rand.Uint64()
		rng := rand.New(rand.NewPCG(seed, 1))
		fs := vfs.NewCrashableMem()
		done, synced := 0, 0
		for range 4 {
			// A commit is of up to 4,500 bytes: in one piece, or in up to five.
			s, err := OpenStore("/data", StoreOptions{FS: fs, MemTableBytes: 16 << 10, StageBytes: rng.IntN(3) * 1000})
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			n := crashContent(t, s, seed, rng)
			if n < synced || n > done {
				t.Fatalf("seed %d: %d commits after a crash, %d were made, %d synced", seed, n, done, synced)
			}
			done, synced = n, n
			for range rng.IntN(60) {
				done++
				name := fmt.Sprint("blob", done)
				if err := writeBlob(s, name, []byte(name), rng); err != nil {
					t.Fatal(err)
				}
				c := s.NewCommit()
				for i := range 5 {
					c.Put(Meta, fmt.Appendf(nil, "k%d", i), fmt.Appendf(nil, "%d %s", done, strings.Repeat("x", rng.IntN(900))))
				}
				sync := rng.IntN(3) == 0
				if err := c.Write(sync); err != nil {
					t.Fatal(err)
				}
				if sync {
					synced = done
				}
			}
			after := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
			s.Close()
			fs = after
		}
	}
}

func crashContent(t *testing.T, s *Store, seed uint64, rng *rand.Rand) int {
	n := -1
	for i := range 5 {
		v, ok, err := s.Get(Meta, fmt.Appendf(nil, "k%d", i))
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		m := 0
		if ok {
			fmt.Sscan(string(v), &m)
		}
		if n >= 0 && n != m {
			t.Fatalf("seed %d: a commit is there in part", seed)
		}
		n = m
	}
	if n > 0 {
		name := fmt.Sprint("blob", n)
		if b, err := readBlob(s, name); err != nil || string(b) != name {
			t.Fatalf("seed %d: blob %q: %q, %v", seed, name, b, err)
		}
	}
	return n
}

// TestStoreFailure: after a write that failed, wherever, no commit claims to be there, reads go on, and everything acknowledged is there when the
// directory is opened again.
func TestStoreFailure(t *testing.T) {
	for range 60 {
		seed := rand.Uint64()
		rng := rand.New(rand.NewPCG(seed, 2))
		mem := vfs.NewCrashableMem()
		var left atomic.Int64
		left.Store(int64(1 + rng.IntN(400)))
		fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && left.Add(-1) == 0 {
				return syscall.EIO
			}
			return nil
		}))
		s, err := OpenStore("/data", StoreOptions{FS: fs, MemTableBytes: 16 << 10, StageBytes: rng.IntN(2) * 100})
		acked := 0
		for i := 1; err == nil && i < 400; i++ {
			c := s.NewCommit()
			c.Put(Jobs, []byte("n"), fmt.Appendf(nil, "%d", i))
			c.Put(Jobs, fmt.Appendf(nil, "k%d", i), bytes.Repeat([]byte{'x'}, rng.IntN(900)))
			if err = c.Write(true); err == nil {
				acked = i
			}
		}
		if err != nil && pgerr.Code(err) != pgerr.IOError && pgerr.Code(err) != pgerr.ObjectInUse {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if s != nil {
			if err != nil {
				if err := s.NewCommit().Write(true); pgerr.Code(err) != pgerr.IOError {
					t.Fatalf("seed %d: a commit after a failure: %v", seed, err)
				}
				if v, ok, err := s.Get(Jobs, []byte("n")); acked > 0 && (err != nil || !ok || len(v) == 0) {
					t.Fatalf("seed %d: read after a failure: %v", seed, err)
				}
			}
			s.Close()
		}
		again := openStore(t, "/data", StoreOptions{FS: mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rng})})
		n := 0
		if v, ok, err := again.Get(Jobs, []byte("n")); err != nil {
			t.Fatal(err)
		} else if ok {
			fmt.Sscan(string(v), &n)
		}
		if n < acked {
			t.Fatalf("seed %d: commit %d was acknowledged, %d is there", seed, acked, n)
		}
		again.Close()
	}
}

// TestStoreFull: with a full disk a commit waits, reads go on, and it ends when there is room.
func TestStoreFull(t *testing.T) {
	var full atomic.Bool
	mem := vfs.NewCrashableMem()
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full.Load() && (op.Kind == errorfs.OpFileWrite || op.Kind == errorfs.OpCreate) {
			return syscall.ENOSPC
		}
		return nil
	}))
	told := make(chan bool, 10)
	s := openStore(t, "/data", StoreOptions{FS: fs, Full: func(b bool) { told <- b }})
	put(t, s, true, "a", "1")
	full.Store(true)
	written := make(chan error, 1)
	go func() {
		c := s.NewCommit()
		c.Put(Jobs, []byte("a"), []byte("2"))
		written <- c.Write(true)
	}()
	if !<-told || !s.Full() {
		t.Error("not full")
	}
	if _, ok, err := s.Get(Jobs, []byte("a")); !ok || err != nil {
		t.Error(ok, err)
	}
	select {
	case err := <-written:
		t.Fatal("written to a full disk", err)
	case <-time.After(3 * roomCheck):
	}
	if err := writeBlob(s, "b", []byte("x"), rand.New(rand.NewPCG(1, 1))); pgerr.Code(err) != pgerr.DiskFull {
		t.Error(err)
	}
	full.Store(false)
	if err := <-written; err != nil {
		t.Error(err)
	}
	if <-told || s.Full() {
		t.Error("still full")
	}
	full.Store(true)
	go func() {
		c := s.NewCommit()
		c.Put(Jobs, []byte("a"), []byte("3"))
		written <- c.Write(true)
	}()
	<-told
	s.Close()
	if err := <-written; pgerr.Code(err) != pgerr.DiskFull {
		t.Error("a commit that was given up:", err)
	}
	s = openStore(t, "/data", StoreOptions{FS: mem.CrashClone(vfs.CrashCloneCfg{})})
	defer s.Close()
	if got := dump(t, s, ""); got != "a=2" {
		t.Error(got)
	}
}

// TestStoreStaged: a commit in pieces does the same, in the same order, as one of one piece; one that is dropped leaves nothing; what was seen before it
// does not change.
func TestStoreStaged(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 3))
	dir := t.TempDir()
	whole, pieces := openStore(t, t.TempDir(), StoreOptions{}), openStore(t, dir, StoreOptions{StageBytes: 64})
	defer whole.Close()
	for range 30 {
		n, drop := rng.IntN(200), rng.IntN(4) == 0
		script := rng.Uint64()
		before, err := pieces.View()
		if err != nil {
			t.Fatal(err)
		}
		was := dump(t, pieces, "")
		for _, s := range []*Store{whole, pieces} {
			rng := rand.New(rand.NewPCG(script, 4))
			key := func() []byte { return fmt.Appendf(nil, "k%02d", rng.IntN(60)) }
			c := s.NewCommit()
			for range n {
				switch rng.IntN(5) {
				case 0:
					c.Delete(Jobs, key())
				case 1:
					from := key()
					c.DeleteRange(Jobs, from, append(from, '~'))
				default:
					c.Put(Jobs, key(), fmt.Appendf(nil, "%d", rng.IntN(1000)))
				}
			}
			if drop {
				c.Close()
			} else if err := c.Write(false); err != nil {
				t.Fatal(err)
			}
		}
		if a, b := dump(t, whole, ""), dump(t, pieces, ""); a != b || drop && b != was {
			t.Fatalf("seed %d: %q and %q, before %q", seed, a, b, was)
		}
		seen := ""
		if err := before.Scan(Jobs, nil, nil, func(k, v []byte) bool { seen += fmt.Sprintf(" %s=%s", k, v); return true }); err != nil || strings.TrimSpace(seen) != was {
			t.Fatalf("seed %d: a view changed from %q to %q, %v", seed, was, seen, err)
		}
		before.Close()
		left := 0
		if err := pieces.Scan(staged, nil, func(k, v []byte) bool { left++; return true }); err != nil || left > 0 {
			t.Fatalf("seed %d: %d pieces are left, %v", seed, left, err)
		}
	}
	pieces.Close()
	pieces = openStore(t, dir, StoreOptions{})
	defer pieces.Close()
	if a, b := dump(t, whole, ""), dump(t, pieces, ""); a != b {
		t.Fatalf("seed %d: %q and, opened again, %q", seed, a, b)
	}
}

// TestStoreBackup: a copy made while the store is open can be opened, and holds what was committed; the copying fails without harm.
func TestStoreBackup(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, StoreOptions{})
	put(t, s, true, "a", "1")
	if err := writeBlob(s, "b", []byte("blob"), rand.New(rand.NewPCG(1, 1))); err != nil {
		t.Fatal(err)
	}
	put(t, s, false, "c", "2")
	to := filepath.Join(t.TempDir(), "sub", "copy")
	// What is written aside, and is nobody's yet, stays out of it, and unharmed.
	aside, err := s.CreateBlob("aside")
	if err != nil {
		t.Fatal(err)
	}
	if err := backupStore(s, to, "b"); err != nil {
		t.Fatal(err)
	}
	if err := aside.Finish(); err != nil {
		t.Error("a blob that was written meanwhile:", err)
	}
	if err := backupStore(s, to); pgerr.Code(err) != duplicateFile {
		t.Error("a second copy to one place:", err)
	}
	if left, err := os.ReadDir(filepath.Dir(to)); len(left) != 1 || err != nil {
		t.Error("beside the copy:", left, err)
	}
	put(t, s, true, "a", "later")
	s.RemoveBlob("b")
	s.Close()
	c := openStore(t, to, StoreOptions{})
	if got := dump(t, c, ""); got != "a=1 c=2" {
		t.Error(got)
	}
	if b, err := readBlob(c, "b"); string(b) != "blob" || err != nil {
		t.Error(b, err)
	}
	put(t, c, true, "a", "other")
	c.Close()

	fs := errorfs.Wrap(vfs.NewCrashableMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if (strings.HasPrefix(op.Path, "/copy") || strings.HasPrefix(op.Path, "/data/backup")) && op.Kind == errorfs.OpFileWrite {
			return syscall.ENOSPC
		}
		return nil
	}))
	s = openStore(t, "/data", StoreOptions{FS: fs})
	defer s.Close()
	put(t, s, true, "a", "1")
	if err := backupStore(s, "/copy"); pgerr.Code(err) != pgerr.DiskFull {
		t.Error("a copy to a full disk:", err)
	}
	if left, _ := fs.List("/"); slices.ContainsFunc(left, func(n string) bool { return strings.HasPrefix(n, "copy") }) {
		t.Error("what is left of the copy:", left)
	}
	put(t, s, true, "a", "2")
}

func backupStore(s *Store, to string, blobs ...string) error {
	b, err := s.StageBackup(blobs)
	if err != nil {
		return err
	}
	defer b.Drop()
	return b.Write(context.Background(), to)
}

// TestStoreRestore: a backup is restored as it was, and not if any byte of it has changed, a file is missing or one has come; what is left of a
// backup or restore that did not come to its end is in nobody's way.
func TestStoreRestore(t *testing.T) {
	top := t.TempDir()
	dir, copy := filepath.Join(top, "data"), filepath.Join(top, "copy")
	s := openStore(t, dir, StoreOptions{})
	rnd := rand.New(rand.NewPCG(1, 1))
	put(t, s, true, "a", strings.Repeat("1", 1000))
	if err := writeBlob(s, "b", []byte("blob"), rnd); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(copy+partName+"/store", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := backupStore(s, copy, "b"); pgerr.Code(err) != duplicateFile {
		t.Error("something else lies where the copy would be gathered:", err)
	}
	if err := os.WriteFile(copy+partName+"/"+markName, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := backupStore(s, copy, "b"); err != nil {
		t.Fatal(err)
	}
	s.Close()
	var files []string
	if err := walkFiles(vfs.Default, copy, "", func(n string) error { files = append(files, n); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(files) < 5 {
		t.Errorf("files of the backup: %q", files)
	}
	restored := 0
	try := func() error {
		restored++
		to := filepath.Join(top, fmt.Sprint("restored", restored))
		err := Restore(context.Background(), nil, copy, to)
		if _, serr := os.Stat(to); (serr == nil) != (err == nil) {
			t.Errorf("after %v there is %v", err, serr)
		}
		return err
	}
	for _, n := range files {
		path := filepath.Join(copy, n)
		was, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		bad := bytes.Clone(was)
		if len(bad) == 0 {
			bad = []byte("x")
		} else {
			bad[rnd.IntN(len(bad))] ^= 1 << rnd.IntN(8)
		}
		for what, b := range map[string][]byte{"changed": bad, "cut off": was[:len(was)/2], "missing": nil} {
			if len(was) == 0 && what == "cut off" {
				continue
			}
			os.Remove(path) // it may be linked
			if what != "missing" {
				if err := os.WriteFile(path, b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := try(); err == nil || pgerr.Code(err) != pgerr.DataCorrupted && n != sumsName {
				t.Errorf("%s %s: %v", n, what, err)
			}
		}
		if err := os.WriteFile(path, was, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	other := filepath.Join(copy, "store", "other")
	if err := os.WriteFile(other, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := try(); pgerr.Code(err) != pgerr.DataCorrupted {
		t.Error("a file that does not belong there:", err)
	}
	os.Remove(other)
	if err := try(); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(top, fmt.Sprint("restored", restored))
	c := openStore(t, to, StoreOptions{})
	if got := dump(t, c, ""); got != "a="+strings.Repeat("1", 1000) {
		t.Error(got)
	}
	c.Close()
	if err := Restore(context.Background(), nil, to, filepath.Join(top, "again")); pgerr.Code(err) != pgerr.UndefinedFile {
		t.Error("a directory that has been in use:", err)
	}
	if err := Restore(context.Background(), nil, copy, to); pgerr.Code(err) != duplicateFile {
		t.Error("into a directory that is not empty:", err)
	}
}

// TestStoreDamage: a block that is not as it was written is reported by whoever reads it.
func TestStoreDamage(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, StoreOptions{})
	c := s.NewCommit()
	for i := range 1000 {
		c.Put(Jobs, fmt.Appendf(nil, "k%05d", i), bytes.Repeat([]byte{byte(i)}, 100))
	}
	if err := c.Write(true); err != nil {
		t.Fatal(err)
	}
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	s.Close()
	files, _ := filepath.Glob(filepath.Join(dir, "store", "*.sst"))
	if len(files) == 0 {
		t.Fatal("no table files")
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		b[1000] ^= 1
		os.WriteFile(f, b, 0o600)
	}
	s, err := OpenStore(dir, StoreOptions{})
	if err == nil {
		err = s.Scan(Jobs, nil, func(k, v []byte) bool { return true })
		s.Close()
	}
	if pgerr.Code(err) != pgerr.DataCorrupted {
		t.Error(err)
	}
	if e := (*pgerr.Error)(nil); !errors.As(err, &e) || e.Hint == "" {
		t.Error("no hint")
	}
}
