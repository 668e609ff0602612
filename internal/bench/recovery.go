package bench

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"streamsql/internal/mem"
)

// The goals of recovery: until the first answered query with goalSize and more, and of an empty engine.
const (
	goalSize      = 5 << 30
	goalLarge     = 5 * time.Second
	goalEmpty     = 300 * time.Millisecond
	recoveryBatch = 50_000 // rows of an INSERT
)

// recoverySchema has a table with rows of half a kilobyte, a view with half as many groups as that has rows, and a view that joins it.
const recoverySchema = `CREATE TABLE small (id int PRIMARY KEY, name text);
	INSERT INTO small SELECT n, 'name ' || n FROM generate_series(0, 99) n;
	CREATE TABLE facts (id bigint PRIMARY KEY, grp bigint, kind int NOT NULL, ref text UNIQUE, body text);
	CREATE MATERIALIZED VIEW grouped AS SELECT grp, count(*) AS n, sum(id) AS total FROM facts GROUP BY grp;
	CREATE MATERIALIZED VIEW joined AS SELECT f.id, s.name, f.kind FROM facts f JOIN small s ON f.kind = s.id WHERE f.id % 10 = 0`

func recoveryInsert(from, to int64) string {
	body := make([]string, 14)
	for i := range body {
		body[i] = fmt.Sprintf("md5((n * 14 + %d)::text)", i) // nothing that compresses
	}
	return fmt.Sprintf("INSERT INTO facts SELECT n, n / 2, n %% 100, 'ref ' || n, %s FROM generate_series(%d::bigint, %d) n", strings.Join(body, " || "), from, to)
}

// The queries that are asked after the restart, in this order, and the rows that they give.
var recoveryQueries = []struct {
	name, sql string
	rows      int
}{
	{"by key", "SELECT body FROM facts WHERE id = 12345", 1},
	{"LIMIT 10", "SELECT * FROM facts LIMIT 10", 10},
	{"count of view", "SELECT count(*) FROM grouped", 1},
	{"group by key", "SELECT n, total FROM grouped WHERE grp = 777", 1},
	{"small table", "SELECT count(*), max(name) FROM small", 1},
}

// recoveryResult is what was measured of one size, times in milliseconds since the start of the process.
type recoveryResult struct {
	Size      int64              `json:"size"` // asked for, bytes
	Disk      int64              `json:"disk"` // of the data directory, when the process was killed
	Rows      int64              `json:"rows"`
	Build     float64            `json:"build_ms"`
	Connected float64            `json:"connected_ms"`
	First     float64            `json:"first_answer_ms"`
	Queries   map[string]float64 `json:"queries_ms"` // each by itself
	Write     float64            `json:"first_write_ms"`
	CaughtUp  float64            `json:"caught_up_ms"`
	PeakFirst int64              `json:"peak_rss_at_queries"`
	Peak      int64              `json:"peak_rss"`
}

// recoveryOptions say what to run.
type recoveryOptions struct {
	sizes []int64
	dir   string
	json  string
}

// recovery measures, for each size, how long the real process takes from its start after kill -9 to its answers. It is an error if a
// goal is missed or a result is wrong.
func recovery(w io.Writer, o recoveryOptions) error {
	fmt.Fprintf(w, "From the start after kill -9, in ms; sizes are those of the data directory.\n\n")
	fmt.Fprintf(w, "%9s %9s %10s %9s %8s", "size", "on disk", "rows", "connected", "answer")
	for _, q := range recoveryQueries {
		fmt.Fprintf(w, " %13s", q.name)
	}
	fmt.Fprintf(w, " %9s %9s %10s %9s\n", "write", "caught up", "peak then", "peak")
	var results []*recoveryResult
	var failed []string
	for _, size := range o.sizes {
		r, err := recoverSize(o.dir, size)
		if err != nil {
			return fmt.Errorf("%s: %w", mem.Format(size), err)
		}
		results = append(results, r)
		fmt.Fprintf(w, "%9s %9s %10d %9.0f %8.0f", mem.Format(r.Size), mem.Format(r.Disk), r.Rows, r.Connected, r.First)
		for _, q := range recoveryQueries {
			fmt.Fprintf(w, " %13.1f", r.Queries[q.name])
		}
		fmt.Fprintf(w, " %9.0f %9.0f %10s %9s\n", r.Write, r.CaughtUp, mem.Format(r.PeakFirst), mem.Format(r.Peak))
		goal := goalLarge
		if size == 0 {
			goal = goalEmpty
		}
		if r.First > ms(goal) {
			failed = append(failed, fmt.Sprintf("the first query with %s is answered after %.0f ms; the goal is %.0f", mem.Format(size), r.First, ms(goal)))
		}
	}
	if o.json != "" {
		b, err := json.MarshalIndent(results, "", "  ")
		if err == nil {
			err = os.WriteFile(o.json, append(b, '\n'), 0o644)
		}
		if err != nil {
			return err
		}
	}
	if failed != nil {
		return errors.New(strings.Join(failed, "; "))
	}
	return nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// process is a server.
type process struct {
	cmd     *exec.Cmd
	addr    string
	errs    bytes.Buffer
	started time.Time
}

// startServer starts a server on a data directory and waits until it listens.
func startServer(dir string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(self, "serve", "--listen", "127.0.0.1:0", "--data", dir)}
	p.cmd.Stderr = &p.errs
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.started = time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if addr, ok := strings.CutPrefix(lines.Text(), "listening on "); ok {
			p.addr = addr
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return p, nil
		}
	}
	p.kill()
	return nil, fmt.Errorf("the server does not start: %s", strings.TrimSpace(p.errs.String()))
}

// kill ends the process as kill -9 does.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// peak gives the largest size that the process has had in memory.
func (p *process) peak() int64 { return peakMemoryOf(strconv.Itoa(p.cmd.Process.Pid)) }

func recoverSize(in string, size int64) (r *recoveryResult, err error) {
	dir, err := os.MkdirTemp(in, "streamsql-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	r = &recoveryResult{Size: size, Queries: map[string]float64{}}
	data := filepath.Join(dir, "data")
	if err := r.build(data); err != nil {
		return nil, err
	}
	r.Disk = diskUsed(data)
	p, err := startServer(data)
	if err != nil {
		return nil, err
	}
	defer func() { p.kill() }()
	c, err := dial(p.addr)
	if err != nil {
		return nil, err
	}
	defer c.close()
	since := func() float64 { return ms(time.Since(p.started)) }
	r.Connected = since()
	if size == 0 {
		if _, err := c.query("SELECT 1"); err != nil {
			return nil, err
		}
		r.First = since()
		r.PeakFirst, r.Peak = p.peak(), p.peak()
		return r, nil
	}
	for i, q := range recoveryQueries {
		began := time.Now()
		rows, err := c.query(q.sql)
		if err != nil {
			return nil, err
		}
		if len(rows) != q.rows {
			return nil, fmt.Errorf("%s gives %d rows instead of %d", q.sql, len(rows), q.rows)
		}
		if r.Queries[q.name] = ms(time.Since(began)); i == 0 {
			r.First = since()
		}
	}
	r.PeakFirst = p.peak()
	if _, err := c.query(recoveryInsert(-1, -1)); err != nil {
		return nil, err
	}
	r.Write = since()
	for {
		rows, err := c.query("SELECT count(*) FROM sys.jobs WHERE state <> 'running'")
		if err != nil {
			return nil, err
		}
		if rows[0] == "0" {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	r.CaughtUp, r.Peak = since(), p.peak()
	// Nothing that was acknowledged is lost, and the views are those of the rows.
	rows, err := c.query("SELECT (SELECT count(*) FROM facts), (SELECT sum(n) FROM grouped), (SELECT sum(total) FROM grouped), (SELECT sum(id) FROM facts)")
	if err != nil {
		return nil, err
	}
	f := strings.Split(rows[0], "|")
	if n, err := strconv.ParseInt(f[0], 10, 64); err != nil || n < r.Rows+1 || f[0] != f[1] || f[2] != f[3] {
		return nil, fmt.Errorf("after the restart there are %s rows (%d were acknowledged), and the view has %s and %s instead of %s", f[0], r.Rows+1, f[1], f[2], f[3])
	}
	return r, nil
}

// build makes a data directory of the size and leaves it by kill -9, in the middle of changes.
func (r *recoveryResult) build(data string) error {
	began := time.Now()
	p, err := startServer(data)
	if err != nil {
		return err
	}
	defer func() { p.kill() }()
	if r.Size == 0 {
		return nil
	}
	c, err := dial(p.addr)
	if err != nil {
		return err
	}
	defer c.close()
	if _, err := c.query(recoverySchema); err != nil {
		return err
	}
	for diskUsed(data) < r.Size {
		if _, err := c.query(recoveryInsert(r.Rows, r.Rows+recoveryBatch-1)); err != nil {
			return err
		}
		r.Rows += recoveryBatch
	}
	r.Build = ms(time.Since(began))
	var wait sync.WaitGroup
	defer wait.Wait()
	var acked int64
	wait.Go(func() { // until the server is gone
		for at := r.Rows; ; at += 100 {
			if _, err := c.query(recoveryInsert(at, at+99)); err != nil {
				return
			}
			acked += 100
		}
	})
	time.Sleep(500 * time.Millisecond)
	p.kill()
	wait.Wait()
	r.Rows += acked
	return nil
}

// recoveryMain is "streamsql bench recovery".
func recoveryMain(args []string, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("bench recovery", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {
		fmt.Fprintln(stderr, "Usage: streamsql bench recovery [flags]\n\nFills data directories, kills the server and measures how long it takes from its start to the first answers; exits with 1 if a result is wrong or it takes too long.")
		f.PrintDefaults()
	}
	var o recoveryOptions
	sizes := f.String("size", "0,100MB,1GB,5GB", "the sizes of the data directories, separated by commas")
	f.StringVar(&o.dir, "dir", "", "where to make them (default: the directory for temporary files)")
	f.StringVar(&o.json, "json", "", "write the figures to this file, too")
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case f.NArg() > 0:
		f.Usage()
		return 2
	}
	for s := range strings.SplitSeq(*sizes, ",") {
		n, err := mem.ParseSize(s)
		if err != nil {
			fmt.Fprintln(stderr, "streamsql bench:", err)
			return 2
		}
		o.sizes = append(o.sizes, n)
	}
	slices.Sort(o.sizes)
	if err := recovery(stdout, o); err != nil {
		fmt.Fprintln(stderr, "streamsql bench:", err)
		return 1
	}
	return 0
}
