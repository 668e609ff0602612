package planner

import (
	"slices"

	"streamsql/sql/parser/ast"
	"streamsql/window"
)

// timerKey finds columns by which the changes of r belong together, so that EMIT AFTER DELAY can give each group its timer,
// and makes them columns of r, though the query may not select them. Where there is a choice, it takes columns of want.
// The second result is nil if there are none.
func (b *binder) timerKey(r lrel, want idset) (lrel, []int) {
	switch r := r.(type) {
	case *lScan:
		key := r.rel.PrimaryKey
		if key == nil {
			key = r.rel.Key
		}
		if key == nil {
			return r, nil
		}
		ids := make([]int, len(key))
		for i, c := range key {
			ids[i] = r.ids[c]
		}
		return r, ids
	case *lProject:
		in, key := b.timerKey(r.in, want)
		if key == nil {
			return r, nil
		}
		return b.withItems(in, r.items, key), key
	case *lFilter, *lSort, *lOver:
		in, key := b.timerKey(r.inputs()[0], want)
		if key == nil {
			return r, nil
		}
		return withInputs(r, []lrel{in}, nil), key
	case *lLimit:
		if in, key := b.timerKey(r.in, want); key != nil {
			return withInputs(r, []lrel{in}, nil), key
		}
		if r.partition != nil {
			return r, r.partition
		}
	case *lAgg:
		key := slices.Clone(r.keys)
		if key == nil {
			key = []int{}
		}
		if w, _, _ := windowBelow(r.in); w != nil {
			key = windowKey(key, w, want)
		}
		return r, key
	case *lJoin:
		l, lkey := b.timerKey(r.l, want)
		if lkey == nil {
			return r, nil
		}
		if r.typ == SemiJoin || r.typ == AntiJoin {
			return withInputs(r, []lrel{l, r.r}, nil), lkey
		}
		right, rkey := b.timerKey(r.r, want)
		if rkey == nil {
			return r, nil
		}
		return withInputs(r, []lrel{l, right}, nil), concat(lkey, rkey)
	case *lAsOf:
		l, key := b.timerKey(r.l, want)
		if key == nil {
			return r, nil
		}
		return withInputs(r, []lrel{l, r.r}, nil), key
	case *lSetOp:
		return r, r.ids
	case *lUnion:
		return b.timerKeyOfUnion(r, want)
	}
	return r, nil
}

// windowKey leaves in the keys of a group by windows one column of the window, where one is enough. The end of a session
// grows, so its start it is that keeps the timer.
func windowKey(key []int, w *lWindow, want idset) []int {
	one := []int{w.start, w.end, w.tim}
	switch w.spec.Kind {
	case window.Cumulate:
		one = []int{w.end, w.tim}
	case window.Session:
		one = []int{w.start}
	}
	one = slices.DeleteFunc(one, func(id int) bool { return !slices.Contains(key, id) })
	if len(one) == 0 {
		return key
	}
	keep := one[0]
	if i := slices.IndexFunc(one, func(id int) bool { return want[id] }); i >= 0 {
		keep = one[i]
	}
	return slices.DeleteFunc(key, func(id int) bool {
		return id != keep && (id == w.start || id == w.end || id == w.tim)
	})
}

// timerKeyOfUnion puts the keys of all inputs side by side; in the rows of other inputs they are NULL.
func (b *binder) timerKeyOfUnion(r *lUnion, want idset) (lrel, []int) {
	in := make([]lrel, len(r.in))
	keys := make([][]int, len(r.in))
	for i, x := range r.in {
		inner := idset{}
		for c, id := range r.ids {
			if want[id] {
				inner[r.from[i][c]] = true
			}
		}
		if in[i], keys[i] = b.timerKey(x, inner); keys[i] == nil {
			return r, nil
		}
	}
	u := &lUnion{in: in, ids: slices.Clone(r.ids), from: make([][]int, len(r.from))}
	for i := range r.from {
		u.from[i] = slices.Clone(r.from[i])
	}
	key := []int{}
	extra := make([][]projItem, len(in))
	for i := range in {
		for _, id := range keys[i] {
			t := b.cols[id].typ
			out := b.newCol(b.cols[id].name, t)
			key = append(key, out)
			u.ids = append(u.ids, out)
			for k := range in {
				from := id
				if k != i {
					from = b.newCol(b.cols[id].name, t)
					extra[k] = append(extra[k], projItem{from, &Const{Typ: t}})
				}
				u.from[k] = append(u.from[k], from)
			}
		}
	}
	for k := range in {
		u.in[k] = extend(in[k], extra[k], b)
	}
	return u, key
}

// withItems projects in to items and those of ids that are not among them.
func (b *binder) withItems(in lrel, items []projItem, ids []int) lrel {
	for _, id := range ids {
		if !slices.ContainsFunc(items, func(it projItem) bool { return it.id == id }) {
			items = append(slices.Clone(items), projItem{id, b.col(id)})
		}
	}
	return &lProject{in: in, items: items}
}

// positionsOf gives where each of some ids is in all; nil for nil.
func positionsOf(some, all []int) []int {
	if some == nil {
		return nil
	}
	out := make([]int, len(some))
	for i, id := range some {
		out[i] = slices.Index(all, id)
	}
	return out
}

// setTimerKey tells EMIT AFTER DELAY by which columns of root its timers are. key is what timerKey found. A result without a key
// that takes rows back has one timer, or one for each close: a row for itself would come later than the one that it replaces goes.
func setTimerKey(s *EmitSpec, root Node, key []int) {
	p := root.Props()
	switch best := shortestKey(p.Keys); {
	case flowOf(root).session != nil && key != nil:
		s.TimerKey = key
	case s.Key != nil: // which serves
	case best != nil:
		s.TimerKey = best
	case key != nil:
		s.TimerKey = key
	case p.Retracts && s.Trigger == ast.EmitAfterDelayAndClose:
		s.TimerKey = []int{s.CloseCol}
	case p.Retracts:
		s.TimerKey = []int{}
	}
}
