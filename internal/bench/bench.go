// Package bench measures the engine end to end on the Nexmark queries, beside
// hand-written Go loops that do the same work.
package bench

import (
	"context"
	"embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"time"

	"streamsql/engine"
)

//go:embed nexmark/*.sql
var queries embed.FS

// Options say what to measure.
type Options struct {
	// Queries are names such as "q5"; nil is all of them.
	Queries []string
	// Events is how many events of all three kinds the generator makes; 0 is 10 million.
	Events int64
	// Snapshot leaves EMIT out: the query is answered as over a table. Every row is then
	// kept until the inputs end, so that this is for comparing results.
	Snapshot bool
	// NoLoop leaves the hand-written loops out, for profiles.
	NoLoop bool
}

// Result is what a query gave.
type Result struct {
	Query string
	// Bids is how many rows the source gave.
	Bids int64
	// Engine and Loop are the processor times of the engine and of the hand-written loop, Generate what of Loop was the generator's.
	Engine, Loop, Generate time.Duration
	// Out and LoopOut describe their outputs, which must agree.
	Out, LoopOut Sum
}

// Agree reports whether the engine and the loop gave the same output.
func (r Result) Agree() bool { return r.LoopOut.Columns == nil || r.Out.Equal(r.LoopOut) }

// Names lists the queries there are.
func Names() []string { return []string{"q0", "q1", "q2", "q5", "q7"} }

// Nexmark measures on one core, prints a line a query and gives the results. It
// is an error if an output is not what the hand-written loop gives.
func Nexmark(w io.Writer, o Options) ([]Result, error) {
	if o.Events == 0 {
		o.Events = 10_000_000
	}
	if o.Queries == nil {
		o.Queries = Names()
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	fmt.Fprintf(w, "Nexmark, %d events at 10,000 a second of event time, of which 92%% are bids; one core; %s %s/%s.\n",
		o.Events, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	fmt.Fprintf(w, "Rates are bids read a second of processor time, generating them included. loop is a Go loop written for the query by hand.\n\n")
	fmt.Fprintf(w, "%-5s %14s %14s %7s %16s %12s\n", "query", "engine", "loop", "ratio", "generator alone", "rows out")
	var all []Result
	var failed []string
	for _, q := range o.Queries {
		r, err := measure(q, o)
		if err != nil {
			return all, fmt.Errorf("%s: %w", q, err)
		}
		all = append(all, r)
		rate := func(d time.Duration) string {
			if d <= 0 {
				return "-"
			}
			return fmt.Sprintf("%.2f M/s", float64(r.Bids)/d.Seconds()/1e6)
		}
		ratio := "-"
		if r.Loop > 0 {
			ratio = fmt.Sprintf("%.2f", r.Loop.Seconds()/r.Engine.Seconds())
		}
		fmt.Fprintf(w, "%-5s %14s %14s %7s %16s %12d\n", q, rate(r.Engine), rate(r.Loop), ratio, rate(r.Generate), r.Out.Rows)
		if !r.Agree() {
			fmt.Fprintf(w, "      the outputs differ: engine %v, loop %v\n", r.Out, r.LoopOut)
			failed = append(failed, q)
		}
	}
	if failed != nil {
		return all, fmt.Errorf("the engine's output differs from the loop's in %s", strings.Join(failed, ", "))
	}
	return all, nil
}

// nexmarkQuery gives the text of a query, without EMIT, and whether it is one over windows that close.
func nexmarkQuery(name string) (sql string, closes bool, err error) {
	text, err := queries.ReadFile("nexmark/" + name + ".sql")
	sql, _, _ = strings.Cut(string(text), "\n-- postgres\n")
	for line := range strings.Lines(sql) {
		if forms, ok := strings.CutPrefix(line, "-- forms:"); ok {
			closes = slices.Contains(strings.Fields(forms), "close")
		}
	}
	return sql, closes, err
}

// measure runs a query and its loop.
func measure(name string, o Options) (Result, error) {
	r := Result{Query: name}
	sql, closes, err := nexmarkQuery(name)
	loop := loops[name]
	if err != nil || loop == nil {
		return r, fmt.Errorf("there is no such query; there are %s", strings.Join(Names(), ", "))
	}
	switch {
	case o.Snapshot:
	case closes:
		sql += " EMIT ON WINDOW CLOSE"
	default:
		sql += " EMIT CHANGES AS APPEND"
	}
	if !o.NoLoop {
		runtime.GC()
		start := clock()
		if r.LoopOut, r.Generate, err = loop(o.Events); err != nil {
			return r, err
		}
		r.Loop = clock() - start
	}
	r.Bids = bids(o.Events)
	r.Out, r.Engine, err = runSQL(sql, o.Events)
	return r, err
}

// bids gives the number of bids among the first n events: of 50 events the last 46.
func bids(n int64) int64 { return n/50*46 + max(n%50-4, 0) }

// runSQL runs a query on an engine of its own, from text to the last row, and sums the rows up.
func runSQL(sql string, events int64) (sum Sum, took time.Duration, err error) {
	e, err := engine.Open(engine.Options{})
	if err != nil {
		return sum, 0, err
	}
	defer e.Close()
	s, err := e.NewSession(engine.SessionOptions{})
	if err != nil {
		return sum, 0, err
	}
	defer s.Close()
	create := fmt.Sprintf("CREATE SOURCE bid (WATERMARK FOR date_time AS date_time - INTERVAL '4 seconds') "+
		"WITH (connector = 'nexmark', table = 'bid', events = '%d')", events)
	if err := execute(s, create, &sum); err != nil {
		return sum, 0, err
	}
	sum = Sum{}
	runtime.GC()
	start := clock()
	err = execute(s, sql, &sum)
	return sum, clock() - start, err
}

func execute(s *engine.Session, sql string, sum *Sum) error {
	ctx := context.Background()
	parsed, err := s.Parse(sql)
	if err != nil {
		return err
	}
	for _, p := range parsed {
		portal, err := s.Execute(ctx, p)
		if err == nil {
			err = sum.drain(ctx, portal)
			portal.Close()
		}
		if end := s.EndImplicit(ctx, err); err == nil {
			err = end
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Main runs "streamsql bench" with the arguments after it and gives the exit code.
func Main(args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == "memory" {
		return memoryMain(args[1:], stdout, stderr)
	}
	if len(args) > 0 && args[0] == "spill" {
		return spillMain(args[1:], stdout, stderr)
	}
	if len(args) > 0 && args[0] == "durability" {
		return durabilityMain(args[1:], stdout, stderr)
	}
	if len(args) > 0 && args[0] == "recovery" {
		return recoveryMain(args[1:], stdout, stderr)
	}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {
		fmt.Fprintln(stderr, "Usage: streamsql bench nexmark [flags]\n       streamsql bench memory [flags]\n       streamsql bench spill [flags]\n       streamsql bench durability [flags]\n       streamsql bench recovery [flags]")
		f.PrintDefaults()
	}
	names := f.String("queries", strings.Join(Names(), ","), "the queries, separated by commas")
	events := f.Int64("events", 10_000_000, "how many events the generator makes")
	profile := f.String("cpuprofile", "", "write a CPU profile of the engine alone, without the loops, to this file")
	snapshot := f.Bool("snapshot", false, "leave EMIT out (keeps every row: for few events)")
	if len(args) == 0 || args[0] != "nexmark" {
		if !slices.Contains(args, "-h") && !slices.Contains(args, "--help") {
			fmt.Fprintln(stderr, "streamsql bench: which benchmark? There are nexmark, memory, spill, durability and recovery.")
		}
		f.Usage()
		return 2
	}
	switch err := f.Parse(args[1:]); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case f.NArg() > 0 || *events <= 0:
		f.Usage()
		return 2
	}
	if *profile != "" {
		out, err := os.Create(*profile)
		if err == nil {
			defer out.Close()
			err = pprof.StartCPUProfile(out)
		}
		if err != nil {
			fmt.Fprintln(stderr, "streamsql bench:", err)
			return 1
		}
		defer pprof.StopCPUProfile()
	}
	_, err := Nexmark(stdout, Options{Queries: strings.Split(*names, ","), Events: *events, Snapshot: *snapshot, NoLoop: *profile != ""})
	if err != nil {
		fmt.Fprintln(stderr, "streamsql bench:", err)
		return 1
	}
	return 0
}
