package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"streamsql/engine"
	"streamsql/internal/mem"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// spillQuery is a query whose state is larger than the memory that it is given.
type spillQuery struct {
	name, about string
	// statements run one after the other; the last one gives the row to check. $N is the number of rows, $FILE a csv file
	// of a column k with the numbers from 0 to $N-1, each once, in no order.
	statements []string
	want       func(n int64) []string
}

var spillQueries = []spillQuery{
	{"groups", "GROUP BY with as many groups as rows",
		[]string{`SELECT count(*), sum(c), sum(k) FROM (SELECT k, count(*) AS c FROM generate_series(1::int8, $N) g(k) GROUP BY k) x`},
		func(n int64) []string { return texts(n, n, n*(n+1)/2) }},
	{"join", "a join of two sides with a third of the rows each",
		[]string{`SELECT count(*), sum(a.v), sum(b.w)
			FROM (SELECT i * 7919 % ($N / 3) AS k, i AS v FROM generate_series(1::int8, $N / 3) g(i)) a
			JOIN (SELECT i * 104729 % ($N / 3) AS k, 2 * i AS w FROM generate_series(1::int8, $N / 3) g(i)) b ON a.k = b.k`},
		func(n int64) []string { n /= 3; return texts(n, n*(n+1)/2, n*(n+1)) }},
	{"view", "a materialized view with such a GROUP BY, over a file",
		[]string{`CREATE SOURCE keys (k int8) WITH (connector = 'file', path = '$FILE', format = 'csv', header = 'true')`,
			`CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n, sum(c) AS c, sum(k) AS k FROM (SELECT k, count(*) AS c FROM keys GROUP BY k) x`,
			`SELECT n, c, k FROM v`},
		func(n int64) []string { return texts(n, n, n*(n-1)/2) }},
}

func texts(xs ...int64) (out []string) {
	for _, x := range xs {
		out = append(out, strconv.FormatInt(x, 10))
	}
	return out
}

// spillRows is how many rows the queries read: as many groups, and twice a third of it in the join.
const spillRows = 30_000_000

// spillResult is what a process that ran a query tells of it.
type spillResult struct {
	Row        []string
	Time, CPU  time.Duration
	Peak, Disk int64 // bytes
}

// SpillQueries lists the queries there are.
func SpillQueries() (names []string) {
	for _, q := range spillQueries {
		names = append(names, q.name)
	}
	return names
}

// spillOptions say what to run.
type spillOptions struct {
	queries []string
	rows    int64
	memory  int64
	// peak is how large the process may become with the limit, in bytes.
	peak int64
}

// spillAll runs each query in a process with the limit and in one without, and prints time and memory of both. It
// is an error if a result is wrong or a process with the limit has become too large.
func spillAll(w io.Writer, o spillOptions) error {
	dir, err := os.MkdirTemp("", "streamsql-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fmt.Fprintf(w, "State that does not fit: %d rows, %s of memory; %d cores; %s %s/%s.\n\n",
		o.rows, mem.Format(o.memory), runtime.GOMAXPROCS(0), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	fmt.Fprintf(w, "%-8s %12s %12s %12s %12s %12s %8s %8s\n", "query", "time", "unlimited", "peak", "unlimited", "on disk", "slower", "in CPU")
	var failed []string
	for _, name := range o.queries {
		i := slices.IndexFunc(spillQueries, func(q spillQuery) bool { return q.name == name })
		if i < 0 {
			return fmt.Errorf("there is no query %q; there are %s", name, strings.Join(SpillQueries(), ", "))
		}
		file := filepath.Join(dir, "keys.csv")
		if name == "view" {
			if err := writeKeys(file, o.rows); err != nil {
				return err
			}
		}
		var results [2]spillResult
		for k, limit := range []int64{o.memory, 0} {
			if results[k], err = spillProcess(name, file, o.rows, limit); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if want := spillQueries[i].want(o.rows); !slices.Equal(results[k].Row, want) {
				failed = append(failed, fmt.Sprintf("%s with a limit of %d bytes gives %v instead of %v", name, limit, results[k].Row, want))
			}
		}
		with, without := results[0], results[1]
		fmt.Fprintf(w, "%-8s %12s %12s %12s %12s %12s %7.2fx %7.2fx\n", name, round(with.Time), round(without.Time),
			mem.Format(with.Peak), mem.Format(without.Peak), mem.Format(with.Disk),
			with.Time.Seconds()/without.Time.Seconds(), with.CPU.Seconds()/without.CPU.Seconds())
		if with.Peak > o.peak {
			failed = append(failed, fmt.Sprintf("%s needs %s of memory; %s are allowed", name, mem.Format(with.Peak), mem.Format(o.peak)))
		}
	}
	if failed != nil {
		return errors.New(strings.Join(failed, "; "))
	}
	return nil
}

func round(d time.Duration) time.Duration { return d.Round(10 * time.Millisecond) }

// writeKeys makes the file of a view.
func writeKeys(path string, n int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	w.WriteString("k\n")
	const step = 982_451_653 // a prime: every number comes once
	var b []byte
	for i := range n {
		b = append(strconv.AppendInt(b[:0], i*step%n, 10), '\n')
		w.Write(b)
	}
	if err := w.Flush(); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// spillProcess runs a query in a process of its own, so that its memory can be told apart.
func spillProcess(query, file string, rows, limit int64) (r spillResult, err error) {
	self, err := os.Executable()
	if err != nil {
		return r, err
	}
	cmd := exec.Command(self, "bench", "spill", "--child", query, "--file", file,
		"--rows", strconv.FormatInt(rows, 10), "--memory", strconv.FormatInt(limit, 10))
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return r, fmt.Errorf("%w: %s", err, strings.TrimSpace(errs.String()))
	}
	return r, json.Unmarshal(out.Bytes(), &r)
}

// spillChild is what spillProcess runs.
func spillChild(w io.Writer, query, file string, rows, limit int64) error {
	i := slices.IndexFunc(spillQueries, func(q spillQuery) bool { return q.name == query })
	if i < 0 {
		return fmt.Errorf("there is no query %q", query)
	}
	if limit > 0 {
		debug.SetMemoryLimit(limit)
	}
	e, err := engine.Open(engine.Options{Memory: limit, Parallel: runtime.GOMAXPROCS(0)})
	if err != nil {
		return err
	}
	defer e.Close()
	s, err := e.NewSession(engine.SessionOptions{})
	if err != nil {
		return err
	}
	defer s.Close()
	var r spillResult
	start, cpu := time.Now(), clock()
	for _, sql := range spillQueries[i].statements {
		sql = strings.NewReplacer("$N", strconv.FormatInt(rows, 10), "$FILE", file).Replace(sql)
		if r.Row, err = lastRow(s, sql); err != nil {
			return err
		}
	}
	r.Time, r.CPU = time.Since(start), clock()-cpu
	r.Peak, r.Disk = peakMemory(), e.Memory().MostOnDisk
	return json.NewEncoder(w).Encode(r)
}

// lastRow runs a statement and gives the last row of its result as texts.
func lastRow(s *engine.Session, sql string) (row []string, err error) {
	ctx := context.Background()
	parsed, err := s.Parse(sql)
	if err != nil {
		return nil, err
	}
	portal, err := s.Execute(ctx, parsed[0])
	if err == nil {
		for done := false; !done && err == nil; {
			b, last, ferr := portal.Fetch(ctx, 0)
			done, err = last, ferr
			if b != nil {
				row = lastOf(b)
				b.Release()
			}
		}
		portal.Close()
	}
	if end := s.EndImplicit(ctx, err); err == nil {
		err = end
	}
	return row, err
}

// peakMemory gives the largest size that the process has had in memory, in bytes; 0 where that is not told.
func peakMemory() int64 { return peakMemoryOf("self") }

func peakMemoryOf(pid string) int64 {
	b, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == "VmHWM:" {
			kb, err := strconv.ParseInt(f[1], 10, 64)
			if err != nil {
				return 0
			}
			return kb << 10
		}
	}
	return 0
}

// spillMain is "streamsql bench spill".
func spillMain(args []string, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("bench spill", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {
		fmt.Fprintln(stderr, "Usage: streamsql bench spill [flags]\n\nRuns queries whose state does not fit the memory, and the same with enough of it; exits with 1 if a result is wrong or the memory is not kept to.")
		f.PrintDefaults()
	}
	o := spillOptions{memory: 512 << 20}
	names := f.String("query", strings.Join(SpillQueries(), ","), "the queries, separated by commas")
	f.Int64Var(&o.rows, "rows", spillRows, "how many rows there are")
	f.Func("memory", "the `amount` of memory (512MB)", func(s string) (err error) {
		o.memory, err = mem.ParseSize(s)
		return err
	})
	child := f.String("child", "", "run this query in this process (used by the benchmark itself)")
	file := f.String("file", "", "the file of --child")
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case f.NArg() > 0 || o.rows < 3:
		f.Usage()
		return 2
	}
	o.queries = strings.Split(*names, ",")
	o.peak = o.memory / 512 * 700
	var err error
	if *child != "" {
		err = spillChild(stdout, *child, *file, o.rows, o.memory)
	} else {
		err = spillAll(stdout, o)
	}
	if err != nil {
		fmt.Fprintln(stderr, "streamsql bench:", err)
		return 1
	}
	return 0
}

// lastOf gives the last row of a batch as texts.
func lastOf(b *vec.Batch) (row []string) {
	views := b.Views(nil)
	for c := range views {
		row = append(row, string(types.AppendText(nil, &types.Env{}, b.Schema.Fields[c].Type, views[c].Datum(b.N-1))))
	}
	return row
}
