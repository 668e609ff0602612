package sqltest

import (
	"flag"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow/memory"

	"streamsql/engine"
)

var (
	rewriteFlag = flag.Bool("rewrite", false, "write the rows that queries give into the files")
	fileFlag    = flag.String("file", "", "run only the files whose path contains this")
)

const testdata = "../../testdata"

// mode is a way to run a script. Results must not depend on it.
type mode struct {
	name string
	rows int // of a batch; 0 is the default
	// copies is how many copies of each operator share its work
	copies int
	// spill makes operators write their state to disk whenever there is some
	spill int64
}

var modes = []mode{{"plain", 0, 1, 0}, {"batch1", 1, 1, 0}, {"batch3", 3, 1, 0}, {"parallel", 0, 3, 0}, {"spilled", 0, 1, -1}}

func scripts(t *testing.T) []*script {
	t.Helper()
	data, err := filepath.Abs(filepath.Join(testdata, "data"))
	if err != nil {
		t.Fatal(err)
	}
	var out []*script
	err = filepath.WalkDir(filepath.Join(testdata, "slt"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".slt") || !strings.Contains(path, *fileFlag) {
			return err
		}
		s, err := parse(path, data)
		out = append(out, s)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestScripts runs every file in every mode, on an engine of its own whose memory is counted.
func TestScripts(t *testing.T) {
	for _, s := range scripts(t) {
		name := strings.TrimSuffix(filepath.ToSlash(strings.TrimPrefix(s.path, filepath.Join(testdata, "slt"))), ".slt")[1:]
		t.Run(name, func(t *testing.T) {
			for _, m := range modes {
				if s.once && m.name != "plain" || *rewriteFlag && m.name != "plain" {
					continue
				}
				t.Run(m.name, func(t *testing.T) { runScript(t, s, m) })
			}
		})
	}
}

func runScript(t *testing.T, s *script, m mode) {
	alloc := memory.NewCheckedAllocator(memory.NewGoAllocator())
	e, err := engine.Open(engine.Options{Alloc: alloc, BatchRows: m.rows, Parallel: m.copies, SpillAt: m.spill})
	if err != nil {
		t.Fatal(err)
	}
	defer alloc.AssertSize(t, 0)
	defer e.Close()
	r, err := newRunner(e)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	results := make([][]string, len(s.records))
	types := make([]string, len(s.records))
	if *rewriteFlag {
		r.onResult = func(i int, ty string, rows []string) {
			if rows == nil {
				rows = []string{}
			}
			results[i], types[i] = rows, ty
		}
	}
	for i, rec := range s.records {
		if rec.has("onlyif postgres") || rec.has("skipif "+m.name) {
			continue
		}
		if err := r.run(i, rec); err != nil {
			t.Error(failure(s, rec, err))
		}
	}
	if *rewriteFlag {
		if err := s.rewrite(results, types); err != nil {
			t.Error(err)
		}
	}
}

func failure(s *script, rec *record, err error) string {
	name := ""
	if rec.name != "" {
		name = " (" + rec.name + ")"
	}
	return fmt.Sprintf("%s:%d%s: %v\n  %s", s.path, rec.line, name, err, strings.ReplaceAll(rec.sql, "\n", "\n  "))
}
