package engine

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"streamsql/internal/pgerr"
	"streamsql/state"
)

var updateGolden = flag.Bool("golden.update", false, "make the golden data directory of the present format again")

const formatsDir = "../testdata/data-format"

// TestDataFormats opens the data directories that earlier versions have written: everything is there, and goes on.
func TestDataFormats(t *testing.T) {
	top, err := filepath.Abs(formatsDir)
	if err != nil {
		t.Fatal(err)
	}
	versions, err := filepath.Glob(filepath.Join(top, "[0-9]*"))
	if err != nil || len(versions) == 0 {
		t.Fatal(versions, err)
	}
	if !slices.Contains(versions, filepath.Join(top, fmt.Sprint(state.FormatVersion))) {
		t.Errorf("there is no directory of format %d", state.FormatVersion)
	}
	for _, from := range versions {
		t.Run(filepath.Base(from), func(t *testing.T) {
			if *updateGolden && filepath.Base(from) == fmt.Sprint(state.FormatVersion) {
				makeGolden(t, from)
			}
			t.Chdir(t.TempDir()) // paths in there are relative
			if err := os.CopyFS("files", os.DirFS(filepath.Join(from, "files"))); err != nil {
				t.Fatal(err)
			}
			if err := Restore(t.Context(), filepath.Join(from, "data"), "data"); err != nil {
				t.Fatal(err)
			}
			e, s := reopen(t, nil, nil, "data")
			compareGolden(t, s, from, "before")
			events, err := os.OpenFile("files/events.ndjson", os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := events.Write(readGolden(t, from, "more.ndjson")); err != nil {
				t.Fatal(err)
			}
			events.Close()
			run(t, s, string(readGolden(t, from, "more.sql")))
			compareGolden(t, s, from, "after")
			e, s = reopen(t, e, s, "data")
			compareGolden(t, s, from, "after")
			s.Close()
			e.Close()
		})
	}
}

func readGolden(t *testing.T, from, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(from, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// goldenListing gives the queries with their rows, and the rows that the sink has written to files.
func goldenListing(t *testing.T, s *Session, from string) string {
	t.Helper()
	var out strings.Builder
	for _, sql := range strings.Split(strings.TrimSpace(string(readGolden(t, from, "check.sql"))), "\n") {
		fmt.Fprintf(&out, "%s\n", sql)
		for _, r := range run(t, s, sql) {
			fmt.Fprintf(&out, "  %s\n", r)
		}
	}
	files, _ := filepath.Glob("files/closed/part-*")
	slices.Sort(files)
	fmt.Fprintln(&out, "files/closed")
	var rows []string
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for r := range bytes.Lines(b) {
			row := string(r)
			if at := strings.Index(row, `"_ts":"`); at >= 0 { // when it was
				row = row[:at] + row[at+strings.Index(row[at:], ",")+1:]
			}
			rows = append(rows, row)
		}
	}
	slices.Sort(rows)
	for _, r := range rows {
		fmt.Fprintf(&out, "  %s", r)
	}
	return out.String()
}

// settled waits until the listing is the one expected; in the end it gives what there is.
func settled(t *testing.T, s *Session, from, want string) (got string) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if got = goldenListing(t, s, from); got == want {
			break
		}
	}
	return got
}

func compareGolden(t *testing.T, s *Session, from, name string) {
	t.Helper()
	want := string(readGolden(t, from, name+".txt"))
	got := settled(t, s, from, want)
	if got == want {
		return
	}
	a, b := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			t.Fatalf("%s, line %d\n got %s\nwant %s", name, i+1, a[i], b[i])
		}
	}
	t.Fatalf("%s: %d lines instead of %d", name, len(a), len(b))
}

// makeGolden makes the golden directory of the present format, and the listings from the engine that has made it.
func makeGolden(t *testing.T, from string) {
	for _, n := range []string{"data", "files"} {
		if err := os.RemoveAll(filepath.Join(from, n)); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(t.TempDir())
	if err := os.Mkdir("files", 0o777); err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(readGolden(t, from, "events.ndjson"), []byte("\n"))
	write := func(b []byte) {
		f, err := os.OpenFile("files/events.ndjson", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(b); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	e, s := reopen(t, nil, nil, "data")
	write(bytes.Join(lines[:30], nil))
	run(t, s, string(readGolden(t, from, "make.sql")))
	quiet := func() string {
		last := goldenListing(t, s, from)
		for same := 0; same < 5; { // for a second and more
			time.Sleep(300 * time.Millisecond)
			now := goldenListing(t, s, from)
			if same++; now != last {
				same = 0
			}
			last = now
		}
		return last
	}
	quiet()
	e, s = reopen(t, e, s, "data") // so that not everything is in the log
	e.coord.step.Lock()
	e.kept.rare = true // what comes now is in the journals
	e.coord.step.Unlock()
	write(bytes.Join(lines[30:], nil))
	run(t, s, "INSERT INTO pushed VALUES ('y', 8, '2026-01-01 00:01:20'); INSERT INTO bag VALUES (3, 3)")
	save := func(name string) {
		if err := os.WriteFile(filepath.Join(from, name), []byte(quiet()), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	save("before.txt")
	if err := e.Backup(t.Context(), filepath.Join(from, "data")); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(from, "files"), os.DirFS("files")); err != nil {
		t.Fatal(err)
	}
	write(readGolden(t, from, "more.ndjson"))
	run(t, s, string(readGolden(t, from, "more.sql")))
	save("after.txt")
	s.Close()
	e.Close()
}

// TestOtherFormats: a directory of a format that this version does not read is refused with what to do, and left as it is.
func TestOtherFormats(t *testing.T) {
	for format, hint := range map[int]string{1: "Start the version of streamsql that wrote it", state.FormatVersion + 1: "newer version"} {
		dir := t.TempDir()
		e, s := reopen(t, nil, nil, dir)
		s.Close()
		e.Close()
		path := filepath.Join(dir, "FORMAT")
		if err := os.WriteFile(path, fmt.Appendf(nil, "streamsql data directory, format %d\n", format), 0o600); err != nil {
			t.Fatal(err)
		}
		before := list(t, dir)
		_, err := Open(Options{DataDir: dir})
		if e := pgerr.From(err); err == nil || e.Code != pgerr.FeatureNotSupported || !strings.Contains(e.Hint, hint) || !strings.Contains(e.Message, dir) {
			t.Errorf("format %d: %v", format, err)
		}
		if after := list(t, dir); after != before {
			t.Errorf("format %d: before\n%s\nafter\n%s", format, before, after)
		}
	}
}

// list gives the files below a directory with their sizes.
func list(t *testing.T, dir string) string {
	t.Helper()
	var out []string
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil {
			out = append(out, fmt.Sprint(path, info.Size()))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(out, "\n")
}
