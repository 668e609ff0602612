package exec

import (
	"slices"

	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
)

// closeOrder puts what the copies of an aggregate send at a close into the order that one alone has: by window end, then by key.
type closeOrder struct {
	schema *vec.Schema
	keys   []int // columns of the output: the window's end first
	types  []types.T
	alloc  vec.Allocator
	views  []vec.Vec
	all    []vec.Vec
}

func newCloseOrder(n *planner.Aggregate) *closeOrder {
	o := &closeOrder{schema: n.Schema()}
	end := n.CloseKey
	if n.Window != nil {
		end = len(n.Keys) + 1
	}
	o.keys = append(o.keys, end)
	for k := range n.Keys {
		if !slices.Contains(o.keys, k) {
			o.keys = append(o.keys, k)
		}
	}
	for _, k := range o.keys {
		o.types = append(o.types, o.schema.Fields[k].Type)
	}
	return o
}

// send merges the rows of the copies. What refines closed windows has no order.
func (o *closeOrder) send(copies []*parallelCopy, out Output) error {
	senders, merge, behind := 0, true, false
	for _, c := range copies {
		if len(c.rows) > 0 {
			senders++
		}
		for _, b := range c.rows {
			merge = merge && b.Ops == nil
			behind = behind || b.W != nil
		}
	}
	if senders < 2 || !merge {
		for _, c := range copies {
			for _, b := range c.rows {
				if err := out.Emit(b); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if o.all == nil {
		o.all = make([]vec.Vec, o.schema.Len())
		for i := range o.all {
			o.all[i].SetAllocator(o.alloc)
		}
	}
	for i, f := range o.schema.Fields {
		o.all[i].Reset(f.Type.Kind(), 0)
	}
	n := 0
	var marks []vec.Time
	for _, c := range copies {
		for _, b := range c.rows {
			o.views = b.Views(o.views)
			for i := range o.all {
				o.all[i].AppendRange(&o.views[i], 0, b.N)
			}
			if behind {
				for i := range b.N {
					w := vec.MinTime
					if b.W != nil {
						w = b.W[i]
					}
					marks = append(marks, w)
				}
			}
			n += b.N
		}
	}
	keys := make([]vec.Vec, len(o.keys))
	for i, k := range o.keys {
		keys[i] = o.all[k]
	}
	ids := make([]uint32, n)
	for i := range ids {
		ids[i] = uint32(i)
	}
	order := make([]int32, n)
	for i, id := range sortRows(keys, o.types, ids) {
		order[i] = int32(id)
	}
	for from := 0; from < n; {
		to := from + 1
		for to < n && to-from < vec.MaxRows && sameRow(keys[:1], int(order[from]), keys[:1], int(order[to])) {
			to++
		}
		if err := o.emit(order[from:to], marks, out); err != nil {
			return err
		}
		from = to
	}
	return nil
}

// emit sends rows of one window end.
func (o *closeOrder) emit(sel []int32, marks []vec.Time, out Output) error {
	bld := vec.NewBuilder(o.alloc, o.schema)
	defer bld.Release()
	for i := range o.all {
		bld.Cols[i].Gather(&o.all[i], sel)
	}
	b := bld.Finish()
	defer b.Release()
	if marks != nil {
		b.W = make([]vec.Time, len(sel))
		for i, r := range sel {
			b.W[i] = marks[r]
		}
	}
	return out.Emit(b)
}

func (o *closeOrder) release() {
	releaseViews(o.views)
	releaseViews(o.all)
}
