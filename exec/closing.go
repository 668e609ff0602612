package exec

import (
	"container/heap"
	"slices"

	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
	"streamsql/window"
)

// closeQueue lists partitions of a Top-N or of window functions by the time at which they are final.
type closeQueue struct {
	close *planner.Closing
	hold  int64
	ends  timeHeap
	ids   map[vec.Time][]uint32
	times []vec.Time // of the rows of a batch
}

// timeHeap is a heap of times, the earliest first.
type timeHeap []vec.Time

func (h timeHeap) Len() int           { return len(h) }
func (h timeHeap) Less(i, j int) bool { return h[i] < h[j] }
func (h timeHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *timeHeap) Push(x any) { *h = append(*h, x.(vec.Time)) }

// Pop implements heap.Interface.
func (h *timeHeap) Pop() any {
	n := len(*h) - 1
	x := (*h)[n]
	*h = (*h)[:n]
	return x
}

// newCloseQueue gives the queue of an operator whose closed partitions are freed; nil where nothing is.
func newCloseQueue(ctx *Context, c *planner.Closing) *closeQueue {
	if !ctx.Continuous || c.By == planner.NeverCloses || !c.FreeLate && !c.OnClose {
		return nil
	}
	return &closeQueue{close: c, hold: c.Hold, ids: map[vec.Time][]uint32{}}
}

// endsOf gives, for each of the n rows of cols, the watermark at which it is final, but for the hold; NULL and infinity never are.
func (q *closeQueue) endsOf(cols []vec.Vec, n int) []vec.Time {
	if cap(q.times) < n {
		q.times = make([]vec.Time, max(n, vec.MaxRows))
	}
	v := &cols[q.close.Col]
	if q.close.End && v.Kind == types.KindInt64 {
		return timesOf(v, n, q.times)
	}
	t := q.times[:n]
	for i, x := range timesOf(v, n, q.times) {
		if !q.close.End && x != vec.MaxTime {
			x++
		}
		t[i] = x
	}
	return t
}

// add notes when partition id is final.
func (q *closeQueue) add(end vec.Time, id uint32) {
	ids, ok := q.ids[end]
	if !ok {
		heap.Push(&q.ends, end)
	}
	q.ids[end] = append(ids, id)
}

// due takes the partitions out that are final at watermark w, in the order of their ends.
func (q *closeQueue) due(w vec.Time) (ids []uint32) {
	for len(q.ends) > 0 && window.Late(q.ends[0], w, q.hold) {
		end := heap.Pop(&q.ends).(vec.Time)
		ids = append(ids, q.ids[end]...)
		delete(q.ids, end)
	}
	return ids
}

// late reports whether a row of a partition that is final at end came too late.
func (q *closeQueue) late(b *vec.Batch, i int, end vec.Time) bool {
	return b.W != nil && window.Late(end, b.W[i], q.hold)
}

// mark gives what the operator passes on of a mark.
func (q *closeQueue) mark(m Mark) Mark { return Mark{W: window.Hold(m.W, q.hold), Idle: m.Idle} }

// removeOrphans gives ids back that only late rows were given. It returns the list emptied.
func removeOrphans(g groupTable, ids []uint32) []uint32 {
	if len(ids) > 0 {
		slices.Sort(ids)
		g.Remove(slices.Compact(ids))
	}
	return ids[:0]
}
