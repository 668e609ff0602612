package wire

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow/memory"

	"streamsql/engine"
)

// TestT82FetchBlocks: a FETCH of n rows waits for n rows however slowly they come, because a client that gets
// fewer takes the stream to be over.
func TestT82FetchBlocks(t *testing.T) {
	addr := serveEngine(t)
	writer, reader := connect(t, addr), connect(t, addr)
	writer.query("CREATE TABLE t (v int) APPEND ONLY", "done CREATE TABLE", "ready I")
	insert := func(v int) {
		writer.query(fmt.Sprintf("INSERT INTO t VALUES (%d)", v), "done INSERT 0 1", "ready I")
	}
	reader.query("BEGIN", "done BEGIN", "ready T")
	reader.query("DECLARE c NO SCROLL CURSOR FOR SELECT v FROM t EMIT CHANGES AS APPEND LIMIT 3", "done DECLARE CURSOR", "ready T")
	got := make(chan []string, 1)
	fetch := func() {
		reader.send(query("FETCH FORWARD 2 FROM c"))
		go func() { got <- reader.until("ready") }()
	}
	fetch()
	insert(1)
	select {
	case m := <-got:
		t.Fatalf("FETCH 2 came back after one row: %q", m)
	case <-time.After(200 * time.Millisecond):
	}
	insert(2)
	check := func(want string) {
		t.Helper()
		select {
		case m := <-got:
			if s := strings.Join(m[1:], ", "); s != want {
				t.Fatalf("got %s instead of %s", s, want)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("FETCH does not come back")
		}
	}
	check("row 1, row 2, done FETCH 2, ready T")
	fetch() // LIMIT ends the stream with its third row: this one may be short
	insert(3)
	check("row 3, done FETCH 1, ready T")
	reader.query("COMMIT", "done COMMIT", "ready I")
}

// TestT82Psql: psql with FETCH_COUNT shows all rows of a stream that are to come.
func TestT82Psql(t *testing.T) {
	psql, err := exec.LookPath("psql")
	if err != nil {
		t.Skip("psql is not installed (make deps)")
	}
	addr := serveEngine(t)
	writer := connect(t, addr)
	writer.query("CREATE SOURCE s (v int)", "done CREATE SOURCE", "ready I")
	cmd := exec.Command(psql, "-X", "-A", "-t", "-v", "FETCH_COUNT=2", "postgresql://tester@"+addr+"/db?sslmode=disable")
	cmd.Stdin = strings.NewReader("SELECT v FROM s EMIT CHANGES AS APPEND LIMIT 3;\nSELECT 'over';\n")
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for v := 1; ; v++ { // until psql, which takes a while to begin, has its three rows
		select {
		case err := <-done:
			lines := strings.Fields(out.String())
			if err != nil || len(lines) != 4 || lines[3] != "over" {
				t.Errorf("psql: %v, %q", err, out.String())
			}
			return
		case <-time.After(50 * time.Millisecond):
			writer.query(fmt.Sprintf("INSERT INTO s VALUES (%d)", v), "done INSERT 0 1", "ready I")
		}
	}
}

// TestT83CopyIsFlushed: a row that a COPY of a stream gives is with the client at once, without further traffic.
func TestT83CopyIsFlushed(t *testing.T) {
	addr := serveEngine(t)
	writer, reader := connect(t, addr), connect(t, addr)
	writer.query("CREATE TABLE t (v int) APPEND ONLY", "done CREATE TABLE", "ready I")
	reader.send(query("COPY (SELECT v FROM t EMIT CHANGES AS APPEND) TO STDOUT"))
	if m := reader.next(); !strings.HasPrefix(m, "copy out") {
		t.Fatal(m)
	}
	for v := 1; v <= 3; v++ {
		start := time.Now()
		writer.query(fmt.Sprintf("INSERT INTO t VALUES (%d)", v), "done INSERT 0 1", "ready I")
		if m, want := reader.next(), fmt.Sprint("data ", v); m != want {
			t.Fatalf("%s instead of %s", m, want)
		}
		if d := time.Since(start); d > time.Second {
			t.Errorf("row %d came after %v", v, d)
		}
	}
	cancelRequest(t, addr, reader.pid, reader.key)
	reader.until("ready I")
}

// TestT84CancelFrees: a cancel of a query that waits for rows ends it with 57014 and frees the state of its operators.
func TestT84CancelFrees(t *testing.T) {
	alloc := memory.NewCheckedAllocator(memory.NewGoAllocator())
	e, err := engine.Open(engine.Options{Alloc: alloc})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	addr := serveBackend(t, engineBackend{e}, Options{})
	writer, reader := connect(t, addr), connect(t, addr)
	writer.query("CREATE TABLE t (k int, v int)", "done CREATE TABLE", "ready I")
	writer.query("INSERT INTO t SELECT i, i FROM generate_series(1, 1000) i", "done INSERT 0 1000", "ready I")
	before := alloc.CurrentAlloc()
	reader.send(query("SELECT k, count(*) FROM t GROUP BY k EMIT CHANGES"))
	reader.until("row")
	for range 999 {
		reader.next()
	}
	if alloc.CurrentAlloc() <= before {
		t.Error("the query holds no memory: nothing is tested")
	}
	cancelRequest(t, addr, reader.pid, reader.key)
	if m := reader.next(); m != "ERROR 57014 canceling statement due to user request" {
		t.Error(m)
	}
	reader.until("ready I")
	eventually(t, "the memory of the query is free", func() bool { return alloc.CurrentAlloc() <= before })
	reader.query("SELECT 1 AS n", "columns n:23:4:0", "row 1", "done SELECT 1", "ready I")
}
