package engine

import (
	"strings"
	"testing"
	"time"
)

// TestPanickingJob: a view or sink that fails inside goes on from the last epoch, and nothing is missing or twice; what fails whenever it runs stays failed, with its last content
// and its cause, until RESUME. Others are not concerned.
func TestPanickingJob(t *testing.T) {
	e, s := reopen(t, nil, nil, t.TempDir())
	defer func() { s.Close(); e.Close() }()
	run(t, s, `CREATE TABLE t (a int); CREATE MATERIALIZED VIEW m AS SELECT count(*) AS n, sum(a) AS s FROM t; CREATE MATERIALIZED VIEW above AS SELECT n + 1 AS n FROM m;
		CREATE MATERIALIZED VIEW other AS SELECT a FROM t; CREATE TABLE out (n bigint, s bigint); CREATE SINK k FROM m WITH (connector = 'table', table = 'out');
		INSERT INTO t VALUES (1), (2)`)
	faults := 1
	set := func(n int, name string) {
		e.coord.step.Lock()
		defer e.coord.step.Unlock()
		faults = n
		e.fault = func(j *job) {
			if j.rel.rel.Name == name && faults > 0 {
				faults--
				panic("made up")
			}
		}
	}
	await := func(sql string, want string) {
		t.Helper()
		for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			got := strings.Join(run(t, s, sql), " ")
			if got == want {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s\n got %s\nwant %s\njobs %q", sql, got, want, run(t, s, "SELECT relation, state, error FROM sys.jobs"))
			}
		}
	}
	for i, name := range []string{"m", "k", "above"} {
		set(1, name)
		run(t, s, "INSERT INTO t VALUES (3)")
		n, sum := string(rune('3'+i)), []string{"6", "9", "12"}[i]
		await("SELECT * FROM m", n+"|"+sum)
		await("SELECT * FROM out", n+"|"+sum)
		await("SELECT n - 1 FROM above", n)
		await("SELECT count(*) FROM sys.jobs WHERE state = 'running'", "4")
	}
	set(1<<30, "m")
	run(t, s, "INSERT INTO t VALUES (4)")
	await("SELECT state, error FROM sys.jobs WHERE relation = 'm'", "failed|internal error in materialized view m: made up")
	time.Sleep(4 * firstRetry)
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		e.coord.step.Lock()
		tries := 1<<30 - faults
		e.coord.step.Unlock()
		if tries == maxRestarts {
			break
		}
	}
	time.Sleep(100 * time.Millisecond)
	e.coord.step.Lock()
	tries := 1<<30 - faults
	e.coord.step.Unlock()
	if tries != maxRestarts {
		t.Errorf("%d tries instead of %d", tries, maxRestarts)
	}
	expect(t, s, "SELECT count(*) FROM other", "6")
	set(0, "")
	run(t, s, "RESUME m")
	await("SELECT * FROM m", "6|16")
	await("SELECT * FROM out", "6|16")
	await("SELECT n - 1 FROM above", "6")
}
