package planner

import (
	"slices"

	"streamsql/window"
)

// optimise applies the logical rules: filters go down, ROW_NUMBER becomes Top-N.
func (b *binder) optimise(r lrel) lrel {
	return b.pushDown(r, nil)
}

// pushDown gives r filtered by conds, which it moves as far down as they can go.
func (b *binder) pushDown(r lrel, conds []Expr) lrel {
	above := func(r lrel, conds []Expr) lrel {
		if len(conds) == 0 {
			return r
		}
		return &lFilter{r, conds}
	}
	switch r := r.(type) {
	case *lFilter:
		var own []Expr
		for _, c := range r.conds {
			own = conjuncts(b.simplify(c), own)
		}
		return b.pushDown(r.in, append(own, conds...))
	case *lProject:
		m := map[int]Expr{}
		volatile := idset{}
		for _, it := range r.items {
			m[it.id] = it.e
			if volatileExpr(it.e) {
				volatile[it.id] = true
			}
		}
		var down, stay []Expr
		for _, c := range conds {
			if refs(c).intersects(volatile) {
				stay = append(stay, c)
			} else {
				down = append(down, b.simplify(substitute(c, m)))
			}
		}
		return above(&lProject{b.pushDown(r.in, down), r.items}, stay)
	case *lJoin:
		return b.pushJoin(b.orderJoins(r, conds), conds)
	case *lAgg:
		keys := setOf(r.keys...)
		var down, stay []Expr
		for _, c := range conds {
			rs := refs(c)
			if len(r.keys) > 0 && len(rs) > 0 && rs.subsetOf(keys) && !volatileExpr(c) {
				down = append(down, c)
			} else {
				stay = append(stay, c)
			}
		}
		if w, ok := r.in.(*lWindow); ok { // the window is computed with the groups: its columns are filtered above
			wcols := setOf(w.start, w.end, w.tim)
			var keep []Expr
			for _, c := range down {
				if refs(c).intersects(wcols) {
					stay = append(stay, c)
				} else {
					keep = append(keep, c)
				}
			}
			down = keep
		}
		c := *r
		c.in = b.pushDown(r.in, down)
		// Conditions on window columns between the window and the groups are hoisted, so that the two can fuse.
		if f, ok := c.in.(*lFilter); ok {
			if w, ok := f.in.(*lWindow); ok {
				var hoist, rest []Expr
				for _, x := range f.conds {
					if refs(x).subsetOf(keys) {
						hoist = append(hoist, x)
					} else {
						rest = append(rest, x)
					}
				}
				if len(rest) == 0 && fusable(&c, w) {
					c.in = w
					stay = append(hoist, stay...)
				}
			}
		}
		return above(&c, stay)
	case *lWindow:
		allowed := setOf(r.in.cols()...)
		if r.spec.Kind == window.Session {
			allowed = setOf(r.partition...)
		}
		down, stay := splitConds(conds, allowed)
		c := *r
		c.in = b.pushDown(r.in, down)
		return above(&c, stay)
	case *lUnion:
		c := *r
		c.in = make([]lrel, len(r.in))
		var down, stay []Expr
		for _, x := range conds {
			if volatileExpr(x) {
				stay = append(stay, x)
			} else {
				down = append(down, x)
			}
		}
		for i, in := range r.in {
			m := map[int]Expr{}
			for j, id := range r.ids {
				m[id] = b.col(r.from[i][j])
			}
			var mine []Expr
			for _, x := range down {
				mine = append(mine, substitute(x, m))
			}
			c.in[i] = b.pushDown(in, mine)
		}
		return above(&c, stay)
	case *lRecursive:
		c := *r
		c.base, c.term = b.pushDown(r.base, nil), b.pushDown(r.term, nil)
		return above(&c, conds)
	case *lAsOf:
		// A condition on the right row decides after it was found: it must not choose another one.
		down, stay := splitConds(conds, setOf(r.l.cols()...))
		c := *r
		rset := setOf(r.r.cols()...)
		c.outer = r.outer && !slices.ContainsFunc(stay, func(x Expr) bool { return rejectsNull(x, rset) })
		c.l, c.r = b.pushDown(r.l, down), b.pushDown(r.r, nil)
		return above(&c, stay)
	case *lSort:
		return &lSort{b.pushDown(r.in, conds), r.keys}
	case *lLimit:
		down, stay := splitConds(conds, setOf(r.partition...))
		if len(r.partition) == 0 {
			down, stay = nil, conds
		}
		c := *r
		c.in = b.pushDown(r.in, down)
		return above(&c, stay)
	case *lOver:
		if l, rest := b.rowNumberTopN(r, conds); l != nil {
			return b.pushDown(l, rest)
		}
		allowed := setOf(r.partition...)
		if len(r.partition) == 0 {
			allowed = idset{}
		}
		down, stay := splitConds(conds, allowed)
		c := *r
		c.in = b.pushDown(r.in, down)
		return above(&c, stay)
	case *lTableFunc:
		if r.in == nil {
			return above(r, conds)
		}
		down, stay := splitConds(conds, setOf(r.in.cols()...))
		c := *r
		c.in = b.pushDown(r.in, down)
		return above(&c, stay)
	case *lProjectSet:
		down, stay := splitConds(conds, setOf(r.in.cols()...))
		c := *r
		c.in = b.pushDown(r.in, down)
		return above(&c, stay)
	case *lSetOp:
		c := *r
		c.l, c.r = b.pushDown(r.l, nil), b.pushDown(r.r, nil)
		return above(&c, conds)
	}
	return above(r, conds)
}

// splitConds separates the conditions that only refer to columns of allowed.
func splitConds(conds []Expr, allowed idset) (down, stay []Expr) {
	for _, c := range conds {
		if rs := refs(c); len(rs) > 0 && rs.subsetOf(allowed) && !volatileExpr(c) {
			down = append(down, c)
		} else {
			stay = append(stay, c)
		}
	}
	return down, stay
}

func (b *binder) pushJoin(r *lJoin, conds []Expr) lrel {
	j := *r
	lset, rset := setOf(r.l.cols()...), setOf(r.r.cols()...)
	// A condition that is never true of padding turns an outer join into an inner one.
	for _, c := range conds {
		if (j.typ == LeftJoin && !j.single || j.typ == FullJoin) && rejectsNull(c, rset) {
			j.typ = map[JoinType]JoinType{LeftJoin: InnerJoin, FullJoin: RightJoin}[j.typ]
		}
		if (j.typ == RightJoin || j.typ == FullJoin) && rejectsNull(c, lset) {
			j.typ = map[JoinType]JoinType{RightJoin: InnerJoin, FullJoin: LeftJoin}[j.typ]
		}
	}
	var ldown, rdown, on, stay []Expr
	side := func(c Expr) (l, r bool) {
		rs := refs(c)
		return len(rs) > 0 && rs.subsetOf(lset), len(rs) > 0 && rs.subsetOf(rset)
	}
	for _, c := range conds {
		l, rr := side(c)
		switch {
		case volatileExpr(c):
			stay = append(stay, c)
		case l && (j.typ == InnerJoin || j.typ == LeftJoin || j.typ == SemiJoin || j.typ == AntiJoin):
			ldown = append(ldown, c)
		case rr && (j.typ == InnerJoin || j.typ == RightJoin):
			rdown = append(rdown, c)
		case j.typ == InnerJoin && !constantExpr(c):
			on = append(on, c)
		default:
			stay = append(stay, c)
		}
	}
	for i, c := range r.on {
		l, rr := side(c)
		switch {
		case volatileExpr(c) || j.notIn && i == 0:
			on = append(on, c)
		case l && (j.typ == InnerJoin || j.typ == RightJoin || j.typ == SemiJoin):
			ldown = append(ldown, c)
		case rr && (j.typ == InnerJoin || j.typ == LeftJoin || j.typ == SemiJoin || j.typ == AntiJoin):
			rdown = append(rdown, c)
		default:
			on = append(on, c)
		}
	}
	if j.notIn && len(on) > 0 && on[0] != r.on[0] { // the NOT IN comparison stays first
		i := slices.Index(on, r.on[0])
		on[0], on[i] = on[i], on[0]
	}
	j.on = on
	j.l, j.r = b.pushDown(r.l, ldown), b.pushDown(r.r, rdown)
	if len(stay) > 0 {
		return &lFilter{&j, stay}
	}
	return &j
}

// rowNumberTopN recognises ROW_NUMBER() OVER (PARTITION BY .. ORDER BY ..) <= n and gives the
// Top-N with the conditions that are left.
func (b *binder) rowNumberTopN(o *lOver, conds []Expr) (lrel, []Expr) {
	if len(o.calls) != 1 || o.calls[0].name != "row_number" || len(o.keys) == 0 {
		return nil, nil
	}
	id := o.calls[0].id
	for i, c := range conds {
		call, ok := c.(*Call)
		if !ok || !call.Fn.IsOp || len(call.Args) != 2 {
			continue
		}
		l, op, k := call.Args[0], call.Fn.Name, call.Args[1]
		if _, isConst := l.(*Const); isConst {
			l, k = k, l
			op = map[string]string{"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "="}[op]
		}
		for {
			if cast, ok := l.(*Cast); ok {
				l = cast.X
				continue
			}
			break
		}
		col, ok := l.(*Column)
		n, isInt := intConst(k)
		if !ok || !isInt || col.Index != id {
			continue
		}
		limit := n
		switch op {
		case "<":
			limit = n - 1
		case "<=":
		case "=":
			if n != 1 {
				continue
			}
		default:
			continue
		}
		if limit < 0 {
			limit = 0
		}
		rest := append(slices.Clone(conds[:i]), conds[i+1:]...)
		return &lLimit{in: o.in, partition: o.partition, keys: o.keys, limit: int8Const(limit), rank: id, pos: o.calls[0].pos}, rest
	}
	return nil, nil
}

func intConst(e Expr) (int64, bool) {
	c, ok := e.(*Const)
	if !ok {
		return 0, false
	}
	switch v := c.Val.(type) {
	case int16:
		return int64(v), true
	case int32:
		return int64(v), true
	case int64:
		return v, true
	}
	return 0, false
}

// fusable reports whether the groups of a are those of the windows of w, so that one operator
// assigns windows and groups. The window columns grouped by must determine the window.
func fusable(a *lAgg, w *lWindow) bool {
	keys := setOf(a.keys...)
	s, e, t := keys[w.start], keys[w.end], keys[w.tim]
	if !s && !e && !t {
		return false
	}
	switch w.spec.Kind {
	case window.Cumulate: // windows of one start differ in their ends
		if !e && !t {
			return false
		}
	case window.Session:
		for _, p := range w.partition {
			if !keys[p] {
				return false
			}
		}
	}
	wcols := setOf(w.start, w.end, w.tim)
	for _, c := range a.aggs {
		for _, id := range c.args {
			if wcols[id] {
				return false
			}
		}
		if c.filter >= 0 && wcols[c.filter] {
			return false
		}
		for _, k := range c.order {
			if wcols[k.col] {
				return false
			}
		}
	}
	return true
}
