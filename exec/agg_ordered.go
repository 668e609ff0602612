package exec

import (
	"slices"
	"sort"

	"streamsql/internal/fn"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
	"streamsql/state"
)

// sortedRow is a row of an ordered aggregate: its arguments, then its sort keys.
type sortedRow []types.Datum

// orderedAgg keeps the rows of each group in the order of an aggregate's ORDER BY,
// ties in the order of arrival, and feeds them to the aggregate for each result.
type orderedAgg struct {
	inner  fn.Aggregate
	types  []types.T
	keys   []planner.SortKey // Col is a position in the row
	nargs  int
	groups [][]sortedRow
	cols   []vec.Vec
	args   []*vec.Vec
	bytes  int
}

func newOrderedAgg(c *planner.AggCall, o fn.AggOptions, ts []types.T) *orderedAgg {
	a := &orderedAgg{inner: c.Agg.New(o), types: ts, nargs: len(c.Args), cols: make([]vec.Vec, len(c.Args))}
	for i, k := range c.OrderBy {
		k.Col = len(c.Args) + i
		a.keys = append(a.keys, k)
	}
	switch {
	case len(a.keys) > 0:
	case c.Agg.WithinGroup:
		a.keys = []planner.SortKey{{Col: len(c.Args) - 1}}
	case c.Distinct: // as PostgreSQL, which sorts to find the duplicates
		for i := range c.Args {
			a.keys = append(a.keys, planner.SortKey{Col: i})
		}
	}
	for i := range a.cols {
		a.args = append(a.args, &a.cols[i])
	}
	a.inner.Grow(1)
	return a
}

func (a *orderedAgg) SetAllocator(alloc vec.Allocator) {
	for i := range a.cols {
		a.cols[i].SetAllocator(alloc)
	}
}

// Close releases scratch.
func (a *orderedAgg) Close() { releaseViews(a.cols) }

func (a *orderedAgg) compare(x, y sortedRow) int {
	for _, k := range a.keys {
		u, v := x[k.Col], y[k.Col]
		if u == nil || v == nil {
			if u == nil && v == nil {
				continue
			}
			if (u == nil) == k.NullsFirst {
				return -1
			}
			return 1
		}
		if c := types.Compare(a.types[k.Col], u, v); c != 0 {
			if k.Desc {
				return -c
			}
			return c
		}
	}
	return 0
}

// Grow implements fn.Aggregate.
func (a *orderedAgg) Grow(n int) {
	if n > len(a.groups) {
		a.groups = append(a.groups, make([][]sortedRow, n-len(a.groups))...)
	}
}

// Update implements fn.Aggregate.
func (a *orderedAgg) Update(ids []uint32, args []*vec.Vec, ops []vec.Op) {
	for i, id := range ids {
		row := make(sortedRow, len(args))
		for j, v := range args {
			row[j] = v.Datum(i)
		}
		if ops == nil || ops[i] == vec.Insert {
			a.insert(id, row)
		} else {
			a.remove(id, row)
		}
	}
}

func (a *orderedAgg) insert(id uint32, row sortedRow) {
	g := a.groups[id]
	at := len(g)
	if len(a.keys) > 0 {
		at = sort.Search(len(g), func(i int) bool { return a.compare(g[i], row) > 0 })
	}
	a.groups[id] = slices.Insert(g, at, row)
	a.bytes += 24 + 32*len(row)
}

// remove takes out the first row that equals row. A delete that comes before its
// insert cannot be seen here: inputs send rows of one key in order.
func (a *orderedAgg) remove(id uint32, row sortedRow) {
	g := a.groups[id]
	at := 0
	if len(a.keys) > 0 {
		at = sort.Search(len(g), func(i int) bool { return a.compare(g[i], row) >= 0 })
	}
	for ; at < len(g); at++ {
		if slices.Equal(g[at], row) {
			a.groups[id] = slices.Delete(g, at, at+1)
			a.bytes -= 24 + 32*len(row)
			return
		}
	}
}

// Merge implements fn.Aggregate.
func (a *orderedAgg) Merge(dst []uint32, from fn.Aggregate, src []uint32) {
	for i, s := range src {
		for _, row := range from.(*orderedAgg).groups[s] {
			a.insert(dst[i], row)
		}
	}
}

// Result implements fn.Aggregate.
func (a *orderedAgg) Result(ids []uint32, out *vec.Vec) {
	one := []uint32{0}
	for _, id := range ids {
		rows := a.groups[id]
		for j := range a.cols {
			a.cols[j].Reset(a.types[j].Kind(), 0)
			for _, row := range rows {
				a.cols[j].AppendDatum(row[j])
			}
		}
		if len(rows) > 0 {
			a.inner.Update(make([]uint32, len(rows)), a.args, nil)
		}
		a.inner.Result(one, out)
		a.inner.Clear(one)
	}
}

// Clear implements fn.Aggregate.
func (a *orderedAgg) Clear(ids []uint32) {
	for _, id := range ids {
		for _, row := range a.groups[id] {
			a.bytes -= 24 + 32*len(row)
		}
		a.groups[id] = nil
	}
}

// Snapshot implements fn.Aggregate.
func (a *orderedAgg) Snapshot(ids []uint32, w *state.Writer) {
	for _, id := range ids {
		rows := a.groups[id]
		w.Uint64(uint64(len(rows)))
		for j, t := range a.types {
			var v vec.Vec
			v.Reset(t.Kind(), 0)
			for _, row := range rows {
				v.AppendDatum(row[j])
			}
			writeColumn(w, &v)
		}
	}
}

// Restore implements fn.Aggregate.
func (a *orderedAgg) Restore(ids []uint32, r *state.Reader) error {
	for _, id := range ids {
		n := int(r.Uint64())
		rows := make([]sortedRow, 0, min(n, r.Len()))
		for j, t := range a.types {
			var v vec.Vec
			readColumn(r, &v, t.Kind(), n)
			if r.Err() != nil {
				return r.Err()
			}
			for i := range v.N {
				if j == 0 {
					rows = append(rows, make(sortedRow, len(a.types)))
				}
				rows[i][j] = v.Datum(i)
			}
		}
		a.groups[id] = rows
		a.bytes += n * (24 + 32*len(a.types))
	}
	return r.Err()
}

// Bytes implements fn.Aggregate.
func (a *orderedAgg) Bytes() int { return a.bytes + 24*cap(a.groups) }
