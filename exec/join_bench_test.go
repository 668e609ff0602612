package exec

import (
	"math/rand"
	"testing"

	"streamsql/internal/fn"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
)

type rowCount struct{ n int }

func (c *rowCount) Emit(b *vec.Batch) error { c.n += b.N; return nil }
func (c *rowCount) Watermark(Mark) error    { return nil }

// benchBatches makes batches of (key, value, time): keys below domain, ten rows a millisecond.
func benchBatches(seed int64, rows, domain int, s *vec.Schema) []*vec.Batch {
	rng := rand.New(rand.NewSource(seed))
	var out []*vec.Batch
	for at := 0; at < rows; at += vec.MaxRows {
		n := min(vec.MaxRows, rows-at)
		b := vec.NewBuilder(nil, s)
		for i := range n {
			b.Cols[0].AppendInt64(int64(rng.Intn(domain)))
			b.Cols[1].AppendInt64(int64(at + i))
			b.Cols[2].AppendInt64(int64(at+i) * 100)
		}
		out = append(out, b.Finish())
	}
	return out
}

func openJoin(b *testing.B, c joinCase, continuous bool, retracts bool) (Operator, *rowCount, *vec.Schema) {
	l, r := newRowLeaf(retracts, types.Int8, types.Int8, types.Int8), newRowLeaf(retracts, types.Int8, types.Int8, types.Int8)
	op, err := newJoin(c.node(l, r))
	if err != nil {
		b.Fatal(err)
	}
	out := &rowCount{}
	pool := vec.NewPool()
	if err := op.Open(&Context{Alloc: pool, Fn: &fn.Ctx{Alloc: pool}, Continuous: continuous, Stats: &Stats{}}, out); err != nil {
		b.Fatal(err)
	}
	return op, out, l.Schema()
}

func perRow(b *testing.B, rows int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(rows), "ns/row")
}

// BenchmarkJoin pushes 1e6 rows to each side in turn, 1e5 keys on the right: insert and probe.
func BenchmarkJoin(b *testing.B) {
	for _, bb := range []struct {
		name              string
		typ               planner.JoinType
		retracts, batched bool
	}{{"inner", planner.InnerJoin, false, false}, {"left", planner.LeftJoin, false, false}, {"retract", planner.InnerJoin, true, false}, {"semi", planner.SemiJoin, false, false}, {"snapshot", planner.InnerJoin, false, true}} {
		b.Run(bb.name, func(b *testing.B) {
			c := joinCase{typ: bb.typ, keys: 1}
			var left, right []*vec.Batch
			for b.Loop() {
				op, _, s := openJoin(b, c, !bb.batched, bb.retracts)
				if left == nil {
					left, right = benchBatches(1, 1000000, 100000, s), benchBatches(2, 100000, 100000, s)
				}
				for _, x := range right {
					if err := op.Push(1, x); err != nil {
						b.Fatal(err)
					}
				}
				if bb.batched {
					if err := op.Advance(1, Mark{W: vec.MaxTime}); err != nil {
						b.Fatal(err)
					}
				}
				for _, x := range left {
					if err := op.Push(0, x); err != nil {
						b.Fatal(err)
					}
				}
				op.Close()
			}
			perRow(b, 1100000)
		})
	}
}

// BenchmarkJoinInterval is the shape of Nexmark q7: many rows by a nearly unique key, few to join with them.
func BenchmarkJoinInterval(b *testing.B) {
	for _, bb := range []struct {
		name  string
		every int // right rows for each left batch
	}{{"sparse", 0}, {"dense", vec.MaxRows}} {
		b.Run(bb.name, func(b *testing.B) {
			c := joinCase{typ: planner.InnerJoin, keys: 1, bound: &planner.IntervalBound{LeftTime: 2, RightTime: 2, Lo: 0, Hi: 10e6}}
			var left, right []*vec.Batch
			for b.Loop() {
				op, _, s := openJoin(b, c, true, false)
				if left == nil {
					left, right = benchBatches(1, 1000000, 50000000, s), benchBatches(2, 1000000, 50000000, s)
				}
				for i, x := range left {
					w := int64(i) * vec.MaxRows * 100
					if err := op.Push(0, x); err != nil {
						b.Fatal(err)
					}
					if bb.every > 0 {
						op.Push(1, right[i])
					} else if i%12 == 0 {
						one := right[i].Slice(nil, 0, 1)
						op.Push(1, one)
						one.Release()
					}
					op.Advance(0, Mark{W: w})
					op.Advance(1, Mark{W: w})
				}
				op.Close()
			}
			perRow(b, 1000000*(1+min(bb.every, 1)))
		})
	}
}

func BenchmarkSort(b *testing.B) {
	for _, keys := range []int{1, 2} {
		b.Run([]string{"", "int8", "two"}[keys], func(b *testing.B) {
			leaf := newRowLeaf(false, types.Int8, types.Int8, types.Int8)
			n := &planner.Sort{Input: leaf}
			for k := range keys {
				n.Keys = append(n.Keys, planner.SortKey{Col: k})
			}
			n.Describe(leaf.Schema(), planner.Props{})
			in := benchBatches(1, 1000000, 100000, leaf.Schema())
			pool := vec.NewPool()
			for b.Loop() {
				op, _ := newSort(n)
				op.Open(&Context{Alloc: pool, Fn: &fn.Ctx{}}, &rowCount{})
				for _, x := range in {
					op.Push(0, x)
				}
				op.Advance(0, Mark{W: vec.MaxTime})
				op.Close()
			}
			perRow(b, 1000000)
		})
	}
}

func BenchmarkTopN(b *testing.B) {
	for _, part := range []bool{false, true} {
		b.Run(map[bool]string{false: "global", true: "partitioned"}[part], func(b *testing.B) {
			leaf := newRowLeaf(false, types.Int8, types.Int8, types.Int8)
			n := &planner.TopN{Input: leaf, Limit: 10, Keys: []planner.SortKey{{Col: 1, Desc: true}}}
			if part {
				n.Partition = []int{0}
			}
			n.Describe(leaf.Schema(), planner.Props{Retracts: true})
			in := benchBatches(1, 1000000, 100000, leaf.Schema())
			pool := vec.NewPool()
			for b.Loop() {
				op, _ := newTopN(n)
				op.Open(&Context{Alloc: pool, Fn: &fn.Ctx{}, Continuous: true}, &rowCount{})
				for _, x := range in {
					op.Push(0, x)
					op.Tick(Tick{})
				}
				op.Close()
			}
			perRow(b, 1000000)
		})
	}
}
