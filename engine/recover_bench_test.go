package engine

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkCommits is how many transactions of one row become durable a second, by one client and by sixteen who share syncs.
func BenchmarkCommits(b *testing.B) {
	for _, clients := range []int{1, 16} {
		b.Run(fmt.Sprint("clients=", clients), func(b *testing.B) {
			e, s := start(b, Options{DataDir: b.TempDir()})
			defer e.Close()
			run(b, s, "CREATE TABLE t (id bigint PRIMARY KEY, v text)")
			s.Close()
			var next atomic.Int64
			b.SetParallelism((clients + 1) / 2) // of two processors
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				s, err := e.NewSession(SessionOptions{})
				if err != nil {
					b.Error(err)
					return
				}
				defer s.Close()
				for pb.Next() {
					if _, err := tryRun(s, fmt.Sprintf("INSERT INTO t VALUES (%d, 'some text')", next.Add(1))); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
		})
	}
}

// BenchmarkRecovery is how long it takes from the start of an engine to the answer of its first query, by the rows that it holds.
func BenchmarkRecovery(b *testing.B) {
	for _, rows := range []int{0, 100_000, 2_000_000} {
		b.Run(fmt.Sprint("rows=", rows), func(b *testing.B) {
			dir := b.TempDir()
			e, s := start(b, Options{DataDir: dir})
			run(b, s, "CREATE TABLE t (id bigint PRIMARY KEY, v text)")
			for from := 0; from < rows; from += 100_000 {
				run(b, s, fmt.Sprintf("INSERT INTO t SELECT n, 'a text of some length, which is written again and again ' || n FROM generate_series(%d, %d) n", from+1, from+100_000))
			}
			s.Close()
			e.Close()
			var first time.Duration
			for b.Loop() {
				began := time.Now()
				e, s := start(b, Options{DataDir: dir})
				run(b, s, "SELECT v FROM t LIMIT 1")
				first += time.Since(began)
				s.Close()
				e.Close()
			}
			b.ReportMetric(float64(first.Milliseconds())/float64(b.N), "ms-to-answer")
		})
	}
}
