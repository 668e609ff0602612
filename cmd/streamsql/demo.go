package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"streamsql/wire"
)

// The demonstration: what it creates, and what it shows again and again.
var demoSetup = []string{
	`CREATE SOURCE bid WITH (connector = 'nexmark', table = 'bid', rate = '10000')`,
	`CREATE MATERIALIZED VIEW bids_per_window AS
  SELECT window_start, window_end, count(*) AS bids, count(DISTINCT bidder) AS bidders,
         round(avg(price), 2) AS avg_price, max(price) AS max_price
  FROM TUMBLE(bid, date_time, INTERVAL '5 seconds')
  GROUP BY window_start, window_end`,
}

const (
	demoQuery = `SELECT * FROM bids_per_window ORDER BY window_start DESC LIMIT 10`
	// demoEvery is how often the view is shown on a terminal, demoPlain elsewhere.
	demoEvery = 500 * time.Millisecond
	demoPlain = time.Second
	// demoRefreshes is how often it is shown where there is no terminal and no --for.
	demoRefreshes = 5
)

// demo is streamsql demo.
func demo(args []string, std streams) int {
	f := flags("demo", std, "demo [--for DURATION]")
	limit := f.Duration("for", 0, "stop after this time (10s, 1m); 0 goes on until Ctrl-C")
	if _, code, ok := parse(f, args, 0); !ok {
		return code
	}
	e, ok := new(resources).open(nil, std)
	if !ok {
		return exitError
	}
	defer e.Close()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintf(std.err, "streamsql: %v\n", err)
		return exitError
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, *limit)
		defer cancel()
	}
	serving, stopServing := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- wire.Serve(serving, ln, e, wire.Options{}) }()
	defer func() {
		stopServing()
		<-served
	}()
	sh, err := newShell(e, std, "table")
	if err != nil {
		printError(std.err, "", "", err)
		return exitError
	}
	defer sh.close()
	fmt.Fprintf(std.out, "10,000 auction events a second, generated here; one row for each window of 5 seconds, kept up to date:\n\n")
	sh.io.out = io.Discard // their tags say nothing new
	for _, sql := range demoSetup {
		fmt.Fprintf(std.out, "%s;\n", sql)
		if !sh.run(ctx, sql, "") {
			return exitError
		}
	}
	port := ln.Addr().(*net.TCPAddr).Port
	fmt.Fprintf(std.out, "\nTry it from another terminal:\n  psql -h 127.0.0.1 -p %d -U streamsql -c \"SELECT * FROM bids_per_window ORDER BY 1 DESC LIMIT 3\"\n"+
		"  psql -h 127.0.0.1 -p %d -U streamsql -c \"COPY (SELECT * FROM bids_per_window EMIT CHANGES) TO STDOUT\"\n\n", port, port)
	return sh.watch(ctx, std, *limit > 0)
}

// watch shows the view until ctx ends: on a terminal in one place, elsewhere a few times (until the end if timed).
func (s *shell) watch(ctx context.Context, std streams, timed bool) int {
	live := isTerminal(std.out)
	every := demoPlain
	if live {
		every = demoEvery
		fmt.Fprint(std.out, "Ctrl-C ends it.\n\n")
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	drawn := 0 // lines of the last picture
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return exitOK
		case <-tick.C:
		}
		var picture strings.Builder
		s.io.out = &picture
		if !s.run(ctx, demoQuery, "") {
			if ctx.Err() != nil {
				return exitOK
			}
			return exitError
		}
		text := picture.String()
		if live {
			text = redraw(text, drawn, terminalWidth())
			drawn = strings.Count(picture.String(), "\n")
		}
		if _, err := io.WriteString(std.out, text); err != nil {
			return exitError
		}
		if !live && !timed && n == demoRefreshes {
			return exitOK
		}
	}
}

// redraw gives the control sequences that draw text over the picture before it, which had the
// given number of lines. Lines are cut at the width, lest they wrap.
func redraw(text string, drawn, width int) string {
	var b strings.Builder
	if drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", drawn)
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if r := []rune(line); len(r) > width {
			line = string(r[:width])
		}
		b.WriteString("\x1b[2K" + line + "\n")
	}
	b.WriteString("\x1b[J")
	return b.String()
}
