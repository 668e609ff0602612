package planner

import (
	"slices"

	"streamsql/internal/pgerr"
	"streamsql/sql/parser/ast"
	"streamsql/window"
)

// closeColumn finds the column that tells when the window of a row of r closes and makes it one of r's
// columns, though the query may not select it. The second result is its id, -1 if there is none.
func (b *binder) closeColumn(r lrel) (lrel, int) {
	switch r := r.(type) {
	case *lScan:
		if r.wm != nil {
			return r, r.wmCol
		}
	case *lWindow:
		return r, r.end
	case *lProject:
		in, id := b.closeColumn(r.in)
		if id < 0 {
			return r, -1
		}
		items := r.items
		if !slices.ContainsFunc(items, func(it projItem) bool { return it.id == id }) {
			items = append(slices.Clone(items), projItem{id, b.col(id)})
		}
		return &lProject{in: in, items: items}, id
	case *lFilter, *lSort, *lLimit, *lOver:
		in, id := b.closeColumn(r.inputs()[0])
		return withInputs(r, []lrel{in}, nil), id
	case *lAgg:
		return b.closeKey(r)
	case *lJoin:
		sides := []lrel{r.l, r.r}
		for i := range sides {
			if r.typ == FullJoin || i == 0 && r.typ == RightJoin || i == 1 && r.typ != RightJoin && r.typ != InnerJoin {
				continue // this side may be padded, or is not in the result
			}
			if in, id := b.closeColumn(sides[i]); id >= 0 {
				sides[i] = in
				return withInputs(r, sides, nil), id
			}
		}
	case *lUnion:
		for i, id := range r.ids {
			if !slices.ContainsFunc(r.in, func(in lrel) bool {
				return !closeIDs(in)[r.from[slices.Index(r.in, in)][i]]
			}) {
				return r, id
			}
		}
	}
	return r, -1
}

// closeKey is closeColumn of groups: the end of the window that they are of, or a key with a watermark.
func (b *binder) closeKey(r *lAgg) (lrel, int) {
	if w, _, _ := windowBelow(r.in); w != nil {
		for _, id := range []int{w.end, w.tim} {
			if slices.Contains(r.keys, id) {
				return r, id
			}
		}
		if slices.Contains(r.keys, w.start) && w.spec.Kind != window.Cumulate {
			a := *r
			a.keys = append(slices.Clone(r.keys), w.end) // which the start determines
			return &a, w.end
		}
	}
	ids := closeIDs(r.in)
	for _, k := range r.keys {
		if ids[k] {
			return r, k
		}
	}
	return r, -1
}

// closeIDs gives the ids of the event-time columns, window ends and window times in r.
func closeIDs(r lrel) idset {
	out := idset{}
	switch r := r.(type) {
	case *lScan:
		if r.wm != nil {
			out[r.wmCol] = true
		}
	case *lWindow:
		out[r.end], out[r.tim] = true, true
	case *lUnion:
		for i, id := range r.ids {
			all := true
			for k, in := range r.in {
				all = all && closeIDs(in)[r.from[k][i]]
			}
			if all {
				out[id] = true
			}
		}
		return out
	}
	for _, in := range r.inputs() {
		out.union(closeIDs(in))
	}
	return out
}

// setCloseColumn tells EMIT AFTER DELAY AND AFTER WATERMARK which column of root holds the close, and .
func setCloseColumn(s *EmitSpec, root Node, col int, e *ast.Emit) error {
	f := flowOf(root)
	if col < 0 || !slices.Contains(f.props.Watermarks, col) {
		return pgerr.New(pgerr.FeatureNotSupported, "EMIT AFTER DELAY AND AFTER WATERMARK: no column of the result tells when its windows close").
			WithHint("GROUP BY the window_end of a window function over the watermarked column, or use EMIT AFTER DELAY.").At(e.Pos)
	}
	s.CloseCol, s.CloseEnd = col, slices.Contains(f.ends, col)
	s.CloseLead = max(s.Lateness-s.Hold, 0)
	return nil
}
