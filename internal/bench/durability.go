package bench

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"streamsql/engine"
)

// durabilityOptions say what to run.
type durabilityOptions struct {
	queries []string
	// events is how many events of all three kinds go by in a run.
	events int64
	// rounds is how often each query runs with and without a data directory, in turns. The medians count.
	rounds int
	// loss and stall are how much throughput durability may cost, as a share, and how long it may hold up the view in 99 of 100 durable epochs.
	loss  float64
	stall time.Duration
	dir   string
	// profile is where a CPU profile of the durable runs goes; "" is nowhere.
	profile string
}

// durabilityQueries are those whose views have state that matters.
var durabilityQueries = []string{"q4", "q5", "q7", "q9", "q18"}

// heldAtLeast tells the ends of steps at which a durable epoch was cut from others.
const heldAtLeast = 100 * time.Microsecond

// durabilityRun is one run of a query as a materialized view over the endless stream.
type durabilityRun struct {
	rate  float64 // events a second of time
	cpu   time.Duration
	holds []time.Duration // for how long each durable epoch held the view up
	steps []time.Duration
	disk  int64 // bytes in the data directory at the end
}

// durabilityAll runs each query as a view in memory and with a data directory in turns, and prints the rates beside each other. It is an error if
// durability costs more than it may.
func durabilityAll(w io.Writer, o durabilityOptions) error {
	fmt.Fprintf(w, "Materialized views over %d events of Nexmark, with one durable epoch a second and in memory, %d runs each in turns; %d cores; %s %s/%s.\n\n",
		o.events, o.rounds, runtime.GOMAXPROCS(0), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	fmt.Fprintf(w, "%-5s %12s %12s %7s %8s %10s %10s %10s %10s %9s\n", "query", "in memory", "durable", "ratio", "in CPU", "held p50", "held p99", "held most", "step p99", "on disk")
	var failed []string
	for _, name := range o.queries {
		if !slices.Contains(durabilityQueries, name) {
			return fmt.Errorf("there is no query %q; there are %s", name, strings.Join(durabilityQueries, ", "))
		}
		var rates [2][]float64
		var cpu [2]time.Duration
		var holds, steps []time.Duration
		var disk int64
		for range o.rounds {
			for durable := range 2 {
				r, err := durabilityOne(name, durable == 1, o)
				if err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				rates[durable] = append(rates[durable], r.rate)
				cpu[durable] += r.cpu
				if durable == 1 {
					holds, steps, disk = append(holds, r.holds...), append(steps, r.steps...), r.disk
				}
			}
		}
		without, with := median(rates[0]), median(rates[1])
		slices.Sort(holds)
		slices.Sort(steps)
		p99 := quantile(holds, 0.99)
		fmt.Fprintf(w, "%-5s %10.2f M %10.2f M %7.2f %8.2f %10s %10s %10s %10s %6d MB\n", name, without/1e6, with/1e6, with/without, cpu[1].Seconds()/cpu[0].Seconds(),
			fine(quantile(holds, 0.5)), fine(p99), fine(quantile(holds, 1)), fine(quantile(steps, 0.99)), disk>>20)
		if with < without*(1-o.loss) {
			failed = append(failed, fmt.Sprintf("%s is slower by %.0f %%", name, 100*(1-with/without)))
		}
		if p99 > o.stall {
			failed = append(failed, fmt.Sprintf("%s is held up for %s", name, fine(p99)))
		}
	}
	if failed != nil {
		return errors.New(strings.Join(failed, "; "))
	}
	return nil
}

func fine(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }

func median(x []float64) float64 {
	slices.Sort(x)
	return (x[(len(x)-1)/2] + x[len(x)/2]) / 2
}

// quantile gives that of sorted times, 0 of none.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// durabilityOne runs a view until its job has read the events, and what it then has is durable.
func durabilityOne(name string, durable bool, o durabilityOptions) (r durabilityRun, err error) {
	opts := engine.Options{Parallel: runtime.GOMAXPROCS(0)}
	var measuring atomic.Bool
	opts.Stepped = func(step, held time.Duration) {
		if !measuring.Load() {
			return
		}
		r.steps = append(r.steps, step)
		if held >= heldAtLeast {
			r.holds = append(r.holds, held)
		}
	}
	if durable {
		if opts.DataDir, err = os.MkdirTemp(o.dir, "streamsql-bench-"); err != nil {
			return r, err
		}
		defer os.RemoveAll(opts.DataDir)
	}
	sql, _, err := nexmarkQuery(name)
	if err != nil {
		return r, err
	}
	e, err := engine.Open(opts)
	if err != nil {
		return r, err
	}
	defer e.Close() // after which nothing is measured
	s, err := e.NewSession(engine.SessionOptions{})
	if err != nil {
		return r, err
	}
	defer s.Close()
	rows := int64(0)
	for _, table := range []string{"auction", "bid"} {
		if _, err := lastRow(s, "CREATE SOURCE "+table+" (WATERMARK FOR date_time AS date_time - INTERVAL '4 seconds') WITH (connector = 'nexmark', table = '"+table+"')"); err != nil {
			return r, err
		}
	}
	runtime.GC()
	if o.profile != "" && durable {
		f, err := os.Create(o.profile)
		if err != nil {
			return r, err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return r, err
		}
		defer pprof.StopCPUProfile()
	}
	measuring.Store(true)
	start, cpu := time.Now(), clock()
	if _, err = lastRow(s, "CREATE MATERIALIZED VIEW v AS "+sql); err != nil {
		return r, err
	}
	// What the view reads: a query with both sources has a share of the events of each.
	share := int64(bidEvents)
	if strings.Contains(sql, "auction A") {
		share += auctionEvents
	}
	for rows < o.events*share/50 {
		time.Sleep(5 * time.Millisecond)
		row, err := lastRow(s, "SELECT rows_read, state, coalesce(error, '') FROM sys.jobs WHERE relation = 'v'")
		if err != nil {
			return r, err
		}
		if len(row) < 3 || row[1] != "running" {
			return r, fmt.Errorf("the view is %v", row)
		}
		if rows, err = strconv.ParseInt(row[0], 10, 64); err != nil {
			return r, err
		}
	}
	took := time.Since(start)
	measuring.Store(false)
	r.rate, r.cpu = float64(rows)*50/float64(share)/took.Seconds(), clock()-cpu
	if durable {
		r.disk = diskUsed(opts.DataDir)
	}
	return r, nil
}

func diskUsed(dir string) (n int64) {
	// What is removed meanwhile does not count.
	filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				n += info.Size()
			}
		}
		return nil
	})
	return n
}

// durabilityMain is "streamsql bench durability".
func durabilityMain(args []string, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("bench durability", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {
		fmt.Fprintln(stderr, "Usage: streamsql bench durability [flags]\n\nRuns materialized views with a data directory and without, and exits with 1 if durability costs more than it may.")
		f.PrintDefaults()
	}
	o := durabilityOptions{}
	names := f.String("queries", strings.Join(durabilityQueries, ","), "the queries, separated by commas")
	f.Int64Var(&o.events, "events", 10_000_000, "how many events go by in a run")
	f.IntVar(&o.rounds, "rounds", 3, "how often each query runs each way")
	f.Float64Var(&o.loss, "loss", 0.15, "the share of throughput that durability may cost")
	f.DurationVar(&o.stall, "stall", 50*time.Millisecond, "how long a durable epoch may hold a view up, 99 of 100 times")
	f.StringVar(&o.dir, "dir", "", "where data directories are made; \"\" is the system's directory of temporary files")
	f.StringVar(&o.profile, "cpuprofile", "", "write a CPU profile of the last durable run to this file")
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case f.NArg() > 0 || o.events <= 0 || o.rounds <= 0:
		f.Usage()
		return 2
	}
	o.queries = strings.Split(*names, ",")
	if err := durabilityAll(stdout, o); err != nil {
		fmt.Fprintln(stderr, "streamsql bench:", err)
		return 1
	}
	return 0
}
