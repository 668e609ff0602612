// Package house keeps the order of the packages: who may import whom, and which
// package alone knows a library.
package house

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// order lists the packages from the ground up. A package may import what stands
// before it, and nothing after it or beside it on the same line.
var order = [][]string{
	{"internal/pgerr", "sql/parser/ast", "internal/pgtest", "internal/crash", "internal/vary"},
	{"internal/types", "connector/format", "internal/mem", "internal/spill", "internal/scram"},
	{"internal/vec", "sql/parser"},
	{"state", "window", "connector"},
	{"internal/fn"},
	{"connector/file", "connector/nexmark"},
	{"catalog"},
	{"sql/planner"},
	{"exec"},
	{"engine"},
	{"wire", "internal/sqltest", "internal/bench", "internal/laws", "internal/difftest", "internal/crashtest", "internal/clienttest"},
	{"cmd/streamsql", "internal/bench/cmd", "internal/sqltest/regress"},
}

// libraries lists the packages that may import a library (by the beginning of
// its path) directly. A library that is not listed may not be imported at all.
var libraries = map[string][]string{
	"github.com/pingcap/tidb/":         {"sql/parser"},
	"github.com/jackc/pgproto3/":       {"wire"},
	"github.com/chzyer/readline":       {"cmd/streamsql"},
	"github.com/apache/arrow/go/v17/":  {"internal/vec", "connector/file", "exec"},
	"github.com/tidwall/btree":         {"state", "internal/fn"},
	"github.com/cockroachdb/pebble/v2": {"state"},
	"github.com/zeebo/xxh3":            {"engine", "exec", "internal/fn", "internal/vec", "state"},
	"golang.org/x/sys/unix":            {"wire"},
	"golang.org/x/text/unicode/norm":   {"internal/fn", "internal/scram"},
	"golang.org/x/text/unicode/bidi":   {"internal/scram"},
	"github.com/jackc/pgx/v5":          {"internal/sqltest/regress"}, // a client: what is not a test of its own program needs none
}

// arrowPackages narrows the use of Arrow further: outside internal/vec only what is
// named here. exec holds arrow.Array values in the columns of batches that it
// passes on; connector/file reads Parquet and Arrow files.
var arrowPackages = map[string][]string{
	"exec":           {"arrow"},
	"connector/file": {"arrow", "arrow/ipc", "arrow/memory", "parquet", "parquet/compress", "parquet/file", "parquet/pqarrow", "arrow/array"},
}

// testLibraries may be imported by tests only (libraries names the programs that are tests themselves).
var testLibraries = []string{"github.com/jackc/pgx/v5", "github.com/lib/pq", "go.uber.org/goleak"}

type pkg struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
	Standard                           bool
}

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", "streamsql/...")
	out, err := cmd.Output()
	if err != nil {
		var ee *exec.ExitError
		if errors.As(err, &ee) {
			t.Fatalf("go list: %v\n%s", err, ee.Stderr)
		}
		t.Fatal(err)
	}
	var all []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func local(path string) (string, bool) { return strings.CutPrefix(path, "streamsql/") }

func external(path string) bool { return strings.Contains(strings.SplitN(path, "/", 2)[0], ".") }

func TestArrows(t *testing.T) {
	rank := map[string]int{}
	for i, line := range order {
		for _, p := range line {
			rank[p] = i
		}
	}
	for _, p := range packages(t) {
		name, _ := local(p.ImportPath)
		if name == "internal/house" {
			continue
		}
		mine, known := rank[name]
		if !known {
			t.Errorf("%s has no place in the order", name)
			continue
		}
		for _, imp := range p.Imports {
			if to, ok := local(imp); ok && rank[to] >= mine {
				t.Errorf("%s imports %s, which stands above or beside it", name, to)
			}
		}
	}
}

func TestLibraries(t *testing.T) {
	for _, p := range packages(t) {
		name, _ := local(p.ImportPath)
		for _, imp := range p.Imports {
			if !external(imp) {
				continue
			}
			found := false
			for lib, users := range libraries {
				if strings.HasPrefix(imp, lib) {
					found = true
					if !slices.Contains(users, name) {
						t.Errorf("%s imports %s; only %v may", name, imp, users)
					}
				}
			}
			if !found {
				t.Errorf("%s imports %s, which is not in the list of libraries", name, imp)
			}
			if part, ok := strings.CutPrefix(imp, "github.com/apache/arrow/go/v17/"); ok && name != "internal/vec" {
				if !slices.Contains(arrowPackages[name], part) {
					t.Errorf("%s imports Arrow's %s", name, part)
				}
			}
		}
		for _, imp := range slices.Concat(p.TestImports, p.XTestImports) {
			known := !external(imp)
			for lib := range libraries {
				known = known || strings.HasPrefix(imp, lib)
			}
			for _, lib := range testLibraries {
				known = known || strings.HasPrefix(imp, lib)
			}
			if !known {
				t.Errorf("the tests of %s import %s, which is not in the list of libraries", name, imp)
			}
		}
	}
}
