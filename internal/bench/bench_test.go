package bench

import (
	"fmt"
	"io"
	"strings"
	"testing"
)

// TestNexmark: every query gives what its hand-written loop gives, and the same rows
// as a snapshot as it does continuously.
func TestNexmark(t *testing.T) {
	events := int64(300_000)
	if testing.Short() {
		events = 60_000
	}
	o := Options{Events: events}
	streamed, err := Nexmark(io.Discard, o)
	if err != nil {
		t.Fatal(err)
	}
	o.Snapshot, o.NoLoop = true, true
	whole, err := Nexmark(io.Discard, o)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range streamed {
		if r.Out.Rows == 0 || !r.Out.Equal(whole[i].Out) {
			t.Errorf("%s: %v while the input comes, %v as a snapshot", r.Query, r.Out, whole[i].Out)
		}
	}
	if _, err := Nexmark(io.Discard, Options{Queries: []string{"q99"}}); err == nil {
		t.Error("q99 was measured")
	}
}

// TestMemory: the memory of endless queries does not grow with the stream, and where it does it is said.
func TestMemory(t *testing.T) {
	var out strings.Builder
	if err := Memory(&out, MemoryOptions{Events: 2_000_000}); err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}
	// What watermarks do not bound grows with the keys that have come by.
	unbounded := memoryQuery{sql: "SELECT auction, count(*) FROM bid GROUP BY auction EMIT CHANGES", share: bidEvents}
	samples, err := measureMemory(io.Discard, unbounded, 1_000_000)
	if err != nil {
		t.Fatal(err)
	}
	if what := growth(samples); !strings.Contains(what, "state rows") {
		t.Errorf("a query whose state grows was not found out: %q", what)
	}
	heap := make([]memorySample, 8)
	for i := range heap {
		heap[i] = memorySample{events: int64(i), heap: int64(i) * 10 << 20, rows: 1}
	}
	if what := growth(heap); !strings.Contains(what, "live heap from 31.5 to 73.4 MB") {
		t.Errorf("a heap that grows was not found out: %q", what)
	}
	if err := Memory(io.Discard, MemoryOptions{Queries: []string{"nothing"}, Events: 1}); err == nil {
		t.Error("a query that there is not was run")
	}
}

// BenchmarkNexmark measures the engine alone; bids/s is what matters.
func BenchmarkNexmark(b *testing.B) {
	for _, q := range Names() {
		b.Run(q, func(b *testing.B) {
			b.ReportAllocs()
			total := 0.0
			for b.Loop() {
				r, err := Nexmark(io.Discard, Options{Queries: []string{q}, Events: 1_000_000, NoLoop: true})
				if err != nil {
					b.Fatal(err)
				}
				total += float64(r[0].Bids)
			}
			b.ReportMetric(total/b.Elapsed().Seconds(), "bids/s")
		})
	}
}

// BenchmarkLoop measures the hand-written loops.
func BenchmarkLoop(b *testing.B) {
	for _, q := range Names() {
		b.Run(q, func(b *testing.B) {
			total := 0.0
			for b.Loop() {
				if _, _, err := loops[q](1_000_000); err != nil {
					b.Fatal(fmt.Errorf("%s: %w", q, err))
				}
				total += float64(bids(1_000_000))
			}
			b.ReportMetric(total/b.Elapsed().Seconds(), "bids/s")
		})
	}
}
