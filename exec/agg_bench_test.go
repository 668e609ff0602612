package exec

import (
	"math/rand"
	"testing"

	"streamsql/internal/fn"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
	"streamsql/window"
)

type countRowsOut struct{ rows int }

func (d *countRowsOut) Emit(b *vec.Batch) error { d.rows += b.N; return nil }
func (d *countRowsOut) Watermark(Mark) error    { return nil }

// benchAggregate feeds an aggregate with bids: 10,000 a second of event time, keys as Nexmark's auctions move on.
func benchAggregate(b *testing.B, spec window.Spec, keys int64) {
	leaf := newLeaf(false, fld("ts", types.Timestamp), fld("k", types.Int8))
	n := aggNode(leaf, planner.Aggregate{Keys: []int{1}, CloseKey: -1, Window: &spec, OnClose: true, FreeLate: true,
		Aggs: []planner.AggCall{call(b, "count", leaf.Schema())}})
	op, err := newAggregate(n)
	if err != nil {
		b.Fatal(err)
	}
	out := &countRowsOut{}
	if err := op.Open(&Context{Alloc: goHeap{}, Fn: &fn.Ctx{}, Continuous: true, Stats: &Stats{}}, out); err != nil {
		b.Fatal(err)
	}
	r := rand.New(rand.NewSource(1))
	var batches []*vec.Batch
	build := vec.NewBuilder(nil, leaf.Schema())
	for range 256 {
		for range vec.MaxRows {
			build.Cols[0].AppendInt64(0)
			build.Cols[1].AppendInt64(r.Int63n(keys))
		}
		batches = append(batches, build.Finish())
	}
	ts := int64(0)
	var v vec.Vec
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		batch := batches[i%len(batches)]
		i++
		v.View(batch.Cols[0])
		for j := range v.I64 {
			v.I64[j] = ts
			ts += 100
		}
		if err := op.Push(0, batch); err != nil {
			b.Fatal(err)
		}
		if err := op.Advance(0, Mark{W: ts - 4*1_000_000}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/vec.MaxRows, "ns/row")
	if err := op.Close(); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkTumbleCount(b *testing.B) {
	benchAggregate(b, window.Spec{Kind: window.Tumble, Size: 10_000_000}, 10_000)
}

func BenchmarkHopCount(b *testing.B) { // Nexmark q5
	benchAggregate(b, window.Spec{Kind: window.Hop, Size: 10_000_000, Slide: 2_000_000}, 5_000)
}
