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
	sorted []int // of each group, how many rows from its beginning are in order; sort puts the others where they belong
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
		a.sorted = append(a.sorted, make([]int, n-len(a.sorted))...)
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
	if n := len(g); a.sorted[id] == n && (n == 0 || len(a.keys) == 0 || a.compare(g[n-1], row) <= 0) {
		a.sorted[id]++
	}
	a.groups[id] = append(g, row)
	a.bytes += row.size()
}

// size gives roughly the memory that a row takes.
func (r sortedRow) size() int {
	n := 24 + 32*len(r)
	for _, d := range r {
		if s, ok := d.(string); ok {
			n += len(s)
		}
	}
	return n
}

// rows gives the rows of a group in order.
func (a *orderedAgg) rows(id uint32) []sortedRow {
	g, n := a.groups[id], a.sorted[id]
	if n == len(g) {
		return g
	}
	a.sorted[id] = len(g)
	if len(g)-n <= 4 { // seldom worth another list
		for k := n; k < len(g); k++ {
			row := g[k]
			at := sort.Search(k, func(i int) bool { return a.compare(g[i], row) > 0 })
			copy(g[at+1:k+1], g[at:k])
			g[at] = row
		}
		return g
	}
	late := g[n:]
	slices.SortStableFunc(late, a.compare)
	if n == 0 {
		return g
	}
	out := make([]sortedRow, 0, len(g)+len(g)/8)
	for i := 0; i < n; i++ {
		for len(late) > 0 && a.compare(late[0], g[i]) < 0 {
			out, late = append(out, late[0]), late[1:]
		}
		out = append(out, g[i])
	}
	out = append(out, late...)
	a.groups[id] = out
	return out
}

// remove takes out the first row that equals row. A delete that comes before its
// insert cannot be seen here: inputs send rows of one key in order.
func (a *orderedAgg) remove(id uint32, row sortedRow) {
	g := a.rows(id)
	at := 0
	if len(a.keys) > 0 {
		at = sort.Search(len(g), func(i int) bool { return a.compare(g[i], row) >= 0 })
	}
	for ; at < len(g); at++ {
		if slices.Equal(g[at], row) {
			a.groups[id] = slices.Delete(g, at, at+1)
			a.sorted[id]--
			a.bytes -= row.size()
			return
		}
	}
}

// Merge implements fn.Aggregate.
func (a *orderedAgg) Merge(dst []uint32, from fn.Aggregate, src []uint32) {
	for i, s := range src {
		for _, row := range from.(*orderedAgg).rows(s) {
			a.insert(dst[i], row)
		}
	}
}

// Result implements fn.Aggregate.
func (a *orderedAgg) Result(ids []uint32, out *vec.Vec) {
	one := []uint32{0}
	for _, id := range ids {
		rows := a.rows(id)
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
			a.bytes -= row.size()
		}
		a.groups[id], a.sorted[id] = nil, 0
	}
}

// Snapshot implements fn.Aggregate.
func (a *orderedAgg) Snapshot(ids []uint32, w *state.Writer) {
	for _, id := range ids {
		rows := a.rows(id)
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
		a.groups[id], a.sorted[id] = rows, len(rows)
		for _, row := range rows {
			a.bytes += row.size()
		}
	}
	return r.Err()
}

// Bytes implements fn.Aggregate.
func (a *orderedAgg) Bytes() int { return a.bytes + 24*cap(a.groups) }
