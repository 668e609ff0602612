package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// A followed file that cannot be opened for a while: the view says so in sys.jobs, keeps its rows, and goes on where it was.
func TestSourceComesBack(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a.ndjson", "{\"x\":1}\n{\"x\":2}\n")
	_, s := open(t)
	run(t, s, fmt.Sprintf("CREATE SOURCE f (x int8) WITH (connector = 'file', path = '%s/*.ndjson', follow = true)", dir))
	run(t, s, "CREATE MATERIALIZED VIEW v AS SELECT x FROM f")
	gives := func(sql string, want ...string) {
		t.Helper()
		eventually(t, sql, func() bool { return slices.Equal(run(t, s, sql), want) })
	}
	gives("SELECT x FROM v ORDER BY x", "1", "2")
	// The next file is a link to nowhere for now.
	away := filepath.Join(dir, "b.ndjson")
	if err := os.Symlink(filepath.Join(dir, "nowhere"), away); err != nil {
		t.Fatal(err)
	}
	gives("SELECT state FROM sys.jobs WHERE error LIKE '%No such file%'", "retrying")
	if err := os.Remove(away); err != nil {
		t.Fatal(err)
	}
	write("b.ndjson", "{\"x\":3}\n")
	gives("SELECT x FROM v ORDER BY x", "1", "2", "3")
	gives("SELECT state FROM sys.jobs", "running")
}
