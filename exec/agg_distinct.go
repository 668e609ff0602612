package exec

import (
	"streamsql/internal/fn"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/state"
)

// noEntry ends a list of entries.
const noEntry = ^uint32(0)

// distinctAgg feeds an aggregate each distinct value of a group once. It counts
// how often each has come, so that deletes take it out at the right time.
type distinctAgg struct {
	inner fn.Aggregate
	alloc vec.Allocator
	table groupTable // of (group, values..): its ids are the entries

	// By entry: how often it came, and the list of the entries of its group.
	count      []int64
	next, prev []uint32
	head       []uint32 // by group: its first entry + 1

	keys    []vec.Vec // group and values, as given to the table
	group   vec.Vec
	entries []uint32
	sel     []int32
	ops     []vec.Op
	ids     []uint32
	vals    []vec.Vec
	args    []*vec.Vec
}

func newDistinctAgg(alloc vec.Allocator, inner fn.Aggregate, ts []types.T) *distinctAgg {
	a := &distinctAgg{inner: inner, alloc: alloc, table: newGroups(alloc, append([]types.T{types.Int8}, ts...))}
	a.keys, a.vals = make([]vec.Vec, len(ts)+1), make([]vec.Vec, len(ts)+1)
	a.group.SetAllocator(alloc)
	for i := range a.vals {
		a.vals[i].SetAllocator(alloc)
		k := types.KindInt64
		if i > 0 {
			k = ts[i-1].Kind()
		}
		a.vals[i].Kind = k
	}
	return a
}

// Close gives the memory of the table back.
func (a *distinctAgg) Close() {
	a.table.Close()
	a.group.Release()
	for i := range a.vals {
		a.vals[i].Release()
	}
	if c, ok := a.inner.(interface{ Close() }); ok {
		c.Close()
	}
}

// Grow implements fn.Aggregate.
func (a *distinctAgg) Grow(n int) {
	a.inner.Grow(n)
	if n > len(a.head) {
		a.head = append(a.head, make([]uint32, n-len(a.head))...)
	}
}

// Update implements fn.Aggregate.
func (a *distinctAgg) Update(ids []uint32, args []*vec.Vec, ops []vec.Op) {
	a.apply(ids, args, func(i int) int64 {
		if ops == nil {
			return 1
		}
		return int64(ops[i])
	})
}

// apply adds row i delta(i) times.
func (a *distinctAgg) apply(ids []uint32, args []*vec.Vec, delta func(i int) int64) {
	n := len(ids)
	a.group.Reset(types.KindInt64, n)
	for i, id := range ids {
		a.group.I64[i] = int64(id)
	}
	a.keys[0] = a.group
	for i, v := range args {
		a.keys[i+1] = *v
	}
	if cap(a.entries) < n {
		a.entries = make([]uint32, max(n, vec.MaxRows))
	}
	entries := a.entries[:n]
	a.table.Intern(a.keys, entries)
	if m := a.table.Len(); m > len(a.count) {
		m = max(m, 2*len(a.count))
		grow := m - len(a.count)
		a.count = append(a.count, make([]int64, grow)...)
		a.next = append(a.next, make([]uint32, grow)...)
		a.prev = append(a.prev, make([]uint32, grow)...)
	}
	sel, ops := a.sel[:0], a.ops[:0]
	deletes := false
	var empty []uint32
	for i, e := range entries {
		d, old := delta(i), a.count[e]
		if old == 0 {
			a.link(e, ids[i])
		}
		now := old + d
		a.count[e] = now
		switch {
		case old <= 0 && now > 0:
			sel, ops = append(sel, int32(i)), append(ops, vec.Insert)
		case old > 0 && now <= 0:
			sel, ops = append(sel, int32(i)), append(ops, vec.Delete)
			deletes = true
		}
		if now == 0 {
			a.unlink(e, ids[i])
			empty = append(empty, e)
		}
	}
	a.sel, a.ops = sel, ops
	a.forward(ids, args, sel, ops, deletes)
	a.forget(empty)
}

// forward gives the chosen rows to the inner aggregate.
func (a *distinctAgg) forward(ids []uint32, args []*vec.Vec, sel []int32, ops []vec.Op, deletes bool) {
	if len(sel) == 0 {
		return
	}
	if !deletes {
		ops = nil
	}
	if len(sel) == len(ids) {
		a.inner.Update(ids, args, ops)
		return
	}
	a.ids, a.args = a.ids[:0], a.args[:0]
	for _, r := range sel {
		a.ids = append(a.ids, ids[r])
	}
	for i, v := range args {
		t := &a.vals[i+1]
		t.Reset(v.Kind, 0)
		t.Gather(v, sel)
		a.args = append(a.args, t)
	}
	a.inner.Update(a.ids, a.args, ops)
}

// forget removes the entries that are still empty.
func (a *distinctAgg) forget(empty []uint32) {
	if len(empty) == 0 {
		return
	}
	gone := empty[:0]
	for _, e := range empty {
		if a.count[e] == 0 {
			a.count[e] = -1 // once only
			gone = append(gone, e)
		}
	}
	for _, e := range gone {
		a.count[e] = 0
	}
	a.table.Remove(gone)
}

func (a *distinctAgg) link(e, group uint32) {
	h := a.head[group]
	a.next[e], a.prev[e] = noEntry, noEntry
	if h != 0 {
		a.next[e] = h - 1
		a.prev[h-1] = e
	}
	a.head[group] = e + 1
}

func (a *distinctAgg) unlink(e, group uint32) {
	n, p := a.next[e], a.prev[e]
	if n != noEntry {
		a.prev[n] = p
	}
	switch {
	case p != noEntry:
		a.next[p] = n
	case n != noEntry:
		a.head[group] = n + 1
	default:
		a.head[group] = 0
	}
}

// of lists the entries of a group.
func (a *distinctAgg) of(group uint32, dst []uint32) []uint32 {
	if h := a.head[group]; h != 0 {
		for e := h - 1; e != noEntry; e = a.next[e] {
			dst = append(dst, e)
		}
	}
	return dst
}

// Merge implements fn.Aggregate.
func (a *distinctAgg) Merge(dst []uint32, from fn.Aggregate, src []uint32) {
	f := from.(*distinctAgg)
	var entries, ids []uint32
	for i, s := range src {
		at := len(entries)
		entries = f.of(s, entries)
		for range entries[at:] {
			ids = append(ids, dst[i])
		}
	}
	if len(entries) == 0 {
		return
	}
	cols := make([]vec.Vec, len(f.vals))
	args := make([]*vec.Vec, 0, len(cols)-1)
	for i := range cols {
		cols[i].SetAllocator(a.alloc)
		cols[i].Reset(f.vals[i].Kind, 0)
		if i > 0 {
			args = append(args, &cols[i])
		}
	}
	f.table.Append(entries, cols)
	a.apply(ids, args, func(i int) int64 { return f.count[entries[i]] })
	for i := range cols {
		cols[i].Release()
	}
}

// Result implements fn.Aggregate.
func (a *distinctAgg) Result(ids []uint32, out *vec.Vec) { a.inner.Result(ids, out) }

// Clear implements fn.Aggregate.
func (a *distinctAgg) Clear(ids []uint32) {
	a.inner.Clear(ids)
	gone := a.entries[:0]
	for _, id := range ids {
		gone = a.of(id, gone)
		a.head[id] = 0
	}
	for _, e := range gone {
		a.count[e] = 0
	}
	a.table.Remove(gone)
	a.entries = gone[:0]
}

// Snapshot implements fn.Aggregate. The inner aggregate is fed again by Restore.
func (a *distinctAgg) Snapshot(ids []uint32, w *state.Writer) {
	for _, id := range ids {
		entries := a.of(id, nil)
		w.Uint64(uint64(len(entries)))
		for i := range a.vals {
			a.vals[i].Reset(a.vals[i].Kind, 0)
		}
		a.table.Append(entries, a.vals)
		for i := range a.vals[1:] {
			writeColumn(w, &a.vals[i+1])
		}
		for _, e := range entries {
			w.Int64(a.count[e])
		}
	}
}

// Restore implements fn.Aggregate.
func (a *distinctAgg) Restore(ids []uint32, r *state.Reader) error {
	cols := make([]vec.Vec, len(a.vals)-1)
	args := make([]*vec.Vec, len(cols))
	for i := range cols {
		cols[i].SetAllocator(a.alloc)
		defer cols[i].Release()
		args[i] = &cols[i]
	}
	for _, id := range ids {
		n := int(r.Uint64())
		for i := range cols {
			readColumn(r, &cols[i], a.vals[i+1].Kind, n)
		}
		if r.Err() != nil {
			return r.Err()
		}
		counts, same := make([]int64, n), make([]uint32, n)
		for i := range counts {
			counts[i], same[i] = r.Int64(), id
		}
		a.apply(same, args, func(i int) int64 { return counts[i] })
	}
	return r.Err()
}

// Bytes implements fn.Aggregate.
func (a *distinctAgg) Bytes() int {
	return a.inner.Bytes() + a.table.Bytes() + 16*cap(a.count) + 4*cap(a.head)
}
