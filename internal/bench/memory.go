package bench

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"

	"streamsql/engine"
)

// memoryQuery is a query over the endless stream whose state the watermark bounds.
type memoryQuery struct {
	name, about, sql string
	// share is how many of 50 events the query reads.
	share int64
}

// The keys of the groups move on with the stream (people and auctions come and go), so that a table that keeps dead keys grows.
var memoryQueries = []memoryQuery{
	{"tumble", "bids by bidder in windows of ten seconds, on close",
		`SELECT window_start, bidder, count(*), sum(price), count(DISTINCT auction)
		 FROM TUMBLE(bid, date_time, INTERVAL '10 seconds') GROUP BY window_start, window_end, bidder EMIT ON WINDOW CLOSE`, bidEvents},
	{"session", "sessions of bidders, two seconds apart, on close",
		`SELECT bidder, window_start, window_end, count(*), max(price)
		 FROM SESSION(bid PARTITION BY bidder, date_time, INTERVAL '2 seconds') GROUP BY bidder, window_start, window_end EMIT ON WINDOW CLOSE`, bidEvents},
	{"interval", "auctions with the bids of their first ten seconds",
		`SELECT a.id, b.bidder, b.price FROM auction a JOIN bid b
		 ON a.id = b.auction AND b.date_time BETWEEN a.date_time AND a.date_time + INTERVAL '10 seconds' EMIT CHANGES`, bidEvents + auctionEvents},
	{"hop", "bids by auction of the last ten seconds, every two seconds, on close",
		`SELECT window_start, auction, count(*)
		 FROM HOP(bid, date_time, INTERVAL '2 seconds', INTERVAL '10 seconds') GROUP BY window_start, window_end, auction EMIT ON WINDOW CLOSE`, bidEvents},
	{"changes", "bids by bidder in windows of ten seconds, every change",
		`SELECT window_start, bidder, count(*)
		 FROM TUMBLE(bid, date_time, INTERVAL '10 seconds') GROUP BY window_start, window_end, bidder EMIT CHANGES`, bidEvents},
}

const (
	bidEvents     = 46 // of 50
	auctionEvents = 3

	memorySamples = 40
	// A quarter may exceed another by these before it counts as growth: what the garbage collector and pools leave
	// varies from sample to sample, and so does how many keys a window happens to have.
	heapTolerance = 1.10
	heapSlack     = 2 << 20
	rowsTolerance = 1.10
	// rowsSlack is more than what a window holds: its rows come and go in a rhythm that samples meet anywhere.
	rowsSlack = 5000
)

// MemoryOptions say what to run.
type MemoryOptions struct {
	// Queries are names such as "tumble"; nil is all of them.
	Queries []string
	// Events is how many events of all three kinds go by; 0 is 50 million.
	Events int64
}

// MemoryQueries lists the queries there are.
func MemoryQueries() (names []string) {
	for _, q := range memoryQueries {
		names = append(names, q.name)
	}
	return names
}

// memorySample is what was measured after a number of events.
type memorySample struct {
	events, heap, rows int64
}

// Memory runs queries over an endless stream in order, prints heap and state at intervals, and gives an error if
// either is larger in the last quarter of the run than in the second (in the first they fill).
func Memory(w io.Writer, o MemoryOptions) error {
	if o.Events == 0 {
		o.Events = 50_000_000
	}
	if o.Queries == nil {
		o.Queries = MemoryQueries()
	}
	var grown []string
	for _, name := range o.Queries {
		i := slices.IndexFunc(memoryQueries, func(q memoryQuery) bool { return q.name == name })
		if i < 0 {
			return fmt.Errorf("there is no query %q; there are %s", name, strings.Join(MemoryQueries(), ", "))
		}
		q := memoryQueries[i]
		fmt.Fprintf(w, "%s: %s; %d events at 10,000 a second of event time\n", q.name, q.about, o.Events)
		fmt.Fprintf(w, "%14s %14s %14s %12s\n", "events", "live heap", "state rows", "events/s")
		samples, err := measureMemory(w, q, o.Events)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if what := growth(samples); what != "" {
			fmt.Fprintf(w, "%s grows: %s\n", name, what)
			grown = append(grown, name)
		}
		fmt.Fprintln(w)
	}
	if grown != nil {
		return fmt.Errorf("memory grows with the stream in %s", strings.Join(grown, ", "))
	}
	return nil
}

// measureMemory runs a query for some events.
func measureMemory(w io.Writer, q memoryQuery, events int64) (samples []memorySample, err error) {
	e, err := engine.Open(engine.Options{})
	if err != nil {
		return nil, err
	}
	defer e.Close()
	s, err := e.NewSession(engine.SessionOptions{})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	var ignored Sum
	for _, table := range []string{"auction", "bid"} {
		create := "CREATE SOURCE " + table + " (WATERMARK FOR date_time AS date_time - INTERVAL '1 second') WITH (connector = 'nexmark', table = '" + table + "')"
		if err := execute(s, create, &ignored); err != nil {
			return nil, err
		}
		ignored = Sum{}
	}
	parsed, err := s.Parse(q.sql)
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	portal, err := s.Execute(ctx, parsed[0])
	if err != nil {
		return nil, err
	}
	defer portal.Close()
	progress, ok := portal.(engine.Progress)
	if !ok {
		return nil, errors.New("the portal does not tell its progress")
	}
	step := max(events/memorySamples, 1)
	next, last, start := step, int64(0), time.Now()
	for next <= events {
		b, done, err := portal.Fetch(ctx, 0)
		if err != nil {
			return samples, err
		}
		if b != nil {
			b.Release()
		}
		if done {
			return samples, errors.New("the query ended")
		}
		read, kept := progress.Progress()
		seen := read * 50 / q.share
		if seen < next {
			continue
		}
		rate := float64(seen-last) / time.Since(start).Seconds()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		samples = append(samples, memorySample{seen, int64(m.HeapAlloc), kept})
		fmt.Fprintf(w, "%14d %12.1f MB %14d %12.0f\n", seen, float64(m.HeapAlloc)/1e6, kept, rate)
		for next <= seen {
			next += step
		}
		last, start = seen, time.Now()
	}
	return samples, nil
}

// growth says what is larger in the last quarter of the samples than in the second, "" if nothing is.
func growth(samples []memorySample) string {
	quarter := len(samples) / 4
	if quarter == 0 {
		return "there are too few samples to tell; run more events"
	}
	most := func(of func(memorySample) int64, from, to int) (m int64) {
		for _, s := range samples[from:to] {
			m = max(m, of(s))
		}
		return m
	}
	heap := func(s memorySample) int64 { return s.heap }
	rows := func(s memorySample) int64 { return s.rows }
	var what []string
	end := len(samples)
	if second, last := most(heap, quarter, 2*quarter), most(heap, end-quarter, end); float64(last) > float64(second)*heapTolerance+heapSlack {
		what = append(what, fmt.Sprintf("live heap from %.1f to %.1f MB", float64(second)/1e6, float64(last)/1e6))
	}
	if second, last := most(rows, quarter, 2*quarter), most(rows, end-quarter, end); float64(last) > float64(second)*rowsTolerance+rowsSlack {
		what = append(what, fmt.Sprintf("state rows from %d to %d", second, last))
	}
	return strings.Join(what, ", ")
}

// memoryMain is "streamsql bench memory".
func memoryMain(args []string, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("bench memory", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {
		fmt.Fprintln(stderr, "Usage: streamsql bench memory [flags]\n\nRuns endless queries and exits with 1 if their memory grows with the stream.")
		f.PrintDefaults()
	}
	names := f.String("query", strings.Join(MemoryQueries(), ","), "the queries, separated by commas")
	events := f.Int64("events", 50_000_000, "how many events go by")
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case f.NArg() > 0 || *events <= 0:
		f.Usage()
		return 2
	}
	if err := Memory(stdout, MemoryOptions{Queries: strings.Split(*names, ","), Events: *events}); err != nil {
		fmt.Fprintln(stderr, "streamsql bench:", err)
		return 1
	}
	return 0
}
