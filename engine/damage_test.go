package engine

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"streamsql/internal/pgerr"
)

var damages = flag.Int("damage.cases", 9, "how often a file of a data directory is damaged")

// TestDamagedFiles damages files of a data directory: bytes change, or the end is missing. What is read is then what was there, or an error says what is damaged. Of
// the end of the log nobody can tell whether it was damaged or never got to the disk: there the content may be that of an earlier epoch, whole.
func TestDamagedFiles(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	rnd := rand.New(rand.NewPCG(seed, 2))
	whole := t.TempDir()
	e, s := reopen(t, nil, nil, whole)
	run(t, s, `CREATE TABLE t (id int PRIMARY KEY, v int); CREATE TABLE bag (k int, pad text);
		INSERT INTO t SELECT i, i FROM generate_series(1, 12000) i; INSERT INTO bag SELECT i % 10, repeat('x', i % 100) FROM generate_series(1, 3000) i;
		CREATE MATERIALIZED VIEW m AS SELECT md5(id::text) AS k, count(*) AS n, sum(v) AS s FROM t GROUP BY md5(id::text);
		CREATE MATERIALIZED VIEW small AS SELECT count(*) AS n, sum(length(pad)) AS l FROM bag`)
	for range 2 { // into files other than the log
		e, s = reopen(t, e, s, whole)
	}
	queries := []string{"SELECT count(*), sum(v), sum(id) FROM t", "SELECT count(*), sum(n), sum(s) FROM m", "SELECT * FROM small", "SELECT k, count(*), sum(length(pad)) FROM bag GROUP BY k ORDER BY k",
		"SELECT sum(a) FROM later", "SELECT relation, state FROM sys.jobs ORDER BY 1"}
	listing := func() ([]string, error) {
		var out []string
		for _, q := range queries {
			rows, err := tryRun(s, q)
			if err != nil && pgerr.Code(err) != pgerr.UndefinedTable {
				return nil, err
			}
			out = append(out, strings.Join(rows, " "))
		}
		return out, nil
	}
	var states [][]string
	note := func() {
		l, err := listing()
		if err != nil {
			t.Fatal(err)
		}
		states = append(states, l)
	}
	note()
	for _, sql := range []string{"CREATE TABLE later (a int)", "INSERT INTO later VALUES (1)", "INSERT INTO bag VALUES (3, 'y')", "DELETE FROM t WHERE id < 7"} {
		run(t, s, sql)
		note()
	}
	s.Close()
	e.Close()
	var files []string
	err := filepath.Walk(whole, func(path string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() && filepath.Base(path) != "lock" {
			rel, _ := filepath.Rel(whole, path)
			files = append(files, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"FORMAT", ".sst", ".log", "MANIFEST", "OPTIONS", "checkpoint"} {
		if !slices.ContainsFunc(files, func(f string) bool { return strings.Contains(f, kind) }) {
			t.Errorf("there is no file of kind %s: %q", kind, files)
		}
	}
	found, unharmed := 0, 0
	dirs := t.TempDir()
	for i := range *damages {
		file := files[i%len(files)]
		dir := filepath.Join(dirs, fmt.Sprint(i))
		if ok, err := vfs.Clone(vfs.Default, vfs.Default, whole, dir); err != nil || !ok {
			t.Fatal(ok, err)
		}
		path := filepath.Join(dir, file)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		what := "bytes changed"
		switch {
		case len(b) == 0:
			what, b = "there is something in it", []byte("x")
		case rnd.IntN(4) == 0 || i < len(files) && strings.Contains(file, "checkpoint"): // the error must name the file: at least one of them
			what, b = "the end is missing", b[:rnd.IntN(len(b))]
		default:
			for range 1 + rnd.IntN(3) {
				b[rnd.IntN(len(b))] ^= byte(1 + rnd.IntN(255))
			}
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		complain := func(format string, args ...any) {
			t.Errorf("seed %d, case %d, %s, %s: %s", seed, i, file, what, fmt.Sprintf(format, args...))
		}
		e, err := Open(Options{DataDir: dir})
		if err == nil {
			if s, err = e.NewSession(SessionOptions{}); err != nil {
				t.Fatal(err)
			}
			for deadline := time.Now().Add(10 * time.Second); e.resuming.Load() > 0 && time.Now().Before(deadline); {
				time.Sleep(time.Millisecond)
			}
			var got []string
			if got, err = listing(); err == nil {
				jobs := got[len(got)-1]
				at := slices.IndexFunc(states, func(st []string) bool { return slices.Equal(st[:len(st)-1], got[:len(got)-1]) })
				switch {
				case at < 0:
					complain("wrong content %q", got)
				case at < len(states)-1 && !strings.HasSuffix(file, ".log"):
					complain("an old content, %d", at)
				case strings.Contains(jobs, "failed"):
					found++
					if rows := run(t, s, "SELECT error FROM sys.jobs WHERE error IS NOT NULL"); !strings.Contains(strings.Join(rows, " "), "checkpoint-") {
						complain("a job has failed: %q", rows)
					}
				default:
					unharmed++
				}
			}
			s.Close()
			e.Close()
		}
		if err != nil {
			found++
			if p := pgerr.From(err); p.Code != pgerr.DataCorrupted && !(file == "FORMAT" && p.Code == pgerr.FeatureNotSupported) || !strings.Contains(p.Message, dir) {
				complain("%s: %v", p.Code, err)
			}
		}
		os.RemoveAll(dir)
	}
	t.Logf("seed %d: %d damages, %d found, %d in what is not read", seed, *damages, found, unharmed)
}
