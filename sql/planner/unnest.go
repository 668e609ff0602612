package planner

import (
	"slices"

	"streamsql/internal/fn"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
)

// Subqueries and LATERAL items are dependent joins: the right side refers to
// columns of the left. They are made plain joins here. Where the correlation is in
// filters that can be pulled up, it becomes the join condition. Otherwise the right
// side is computed for every distinct value of the outer columns at once (Neumann
// and Kemper, "Unnesting Arbitrary Queries") and joined back on them.

// where filters rel by cond. Subqueries that are whole conjuncts become semi and anti joins.
func (b *binder) where(rel lrel, cond Expr) (lrel, error) {
	var plain []Expr
	var subs []Expr
	for _, c := range conjuncts(b.simplify(cond), nil) {
		if hasSubquery(c) {
			subs = append(subs, c)
		} else {
			plain = append(plain, c)
		}
	}
	if len(plain) > 0 {
		rel = &lFilter{rel, plain}
	}
	for _, c := range subs {
		var err error
		not := false
		x := c
		for {
			n, ok := x.(*Not)
			if !ok {
				break
			}
			x, not = n.X, !not
		}
		s, ok := x.(*subquery)
		if ok {
			for _, t := range s.test {
				ok = ok && !hasSubquery(t)
			}
		}
		switch {
		case ok && s.kind == subExists:
			typ := SemiJoin
			if not {
				typ = AntiJoin
			}
			rel, err = b.apply(rel, s.rel, typ, nil)
		case ok && s.kind == subAny && !not:
			rel, err = b.apply(rel, s.rel, SemiJoin, conjuncts(s.test[0], nil))
		case ok && s.kind == subAny:
			on := s.test
			if _, single := isOp(on[0], "="); !single {
				on = []Expr{&IsBool{on[0], false, true}}
				rel, err = b.apply(rel, s.rel, AntiJoin, on)
				break
			}
			rel, err = b.applyNotIn(rel, s)
		default:
			if rel, c, err = b.unnest(rel, c); err == nil {
				rel = &lFilter{rel, []Expr{c}}
			}
		}
		if err != nil {
			return nil, err
		}
	}
	return rel, nil
}

func (b *binder) applyNotIn(rel lrel, s *subquery) (lrel, error) {
	out, err := b.apply(rel, s.rel, AntiJoin, s.test)
	if err != nil {
		return nil, err
	}
	eq := s.test[0].(*Call)
	if !b.neverNull(eq.Args[0], rel) || !b.neverNull(eq.Args[1], s.rel) {
		j := *out.(*lJoin)
		j.notIn = true
		return &j, nil
	}
	return out, nil
}

// neverNull reports whether e is a column declared NOT NULL that no outer join below rel pads.
func (b *binder) neverNull(e Expr, rel lrel) bool {
	c, ok := e.(*Column)
	if !ok {
		k, isConst := e.(*Const)
		return isConst && k.Val != nil
	}
	return b.cols[c.Index].notNull && !padded(rel, c.Index)
}

func padded(r lrel, id int) bool {
	if j, ok := r.(*lJoin); ok {
		if (j.typ == LeftJoin || j.typ == FullJoin) && containsInt(j.r.cols(), id) {
			return true
		}
		if (j.typ == RightJoin || j.typ == FullJoin) && containsInt(j.l.cols(), id) {
			return true
		}
	}
	if j, ok := r.(*lAsOf); ok && j.outer && containsInt(j.r.cols(), id) {
		return true
	}
	for _, in := range r.inputs() {
		if padded(in, id) {
			return true
		}
	}
	return false
}

func hasSubquery(e Expr) bool {
	found := false
	walkExpr(e, func(x Expr) bool {
		if _, ok := x.(*subquery); ok {
			found = true
		}
		return !found
	})
	return found
}

// unnest joins the subqueries of e to rel and gives e over the result.
func (b *binder) unnest(rel lrel, e Expr) (lrel, Expr, error) {
	if e == nil || !hasSubquery(e) {
		return rel, e, nil
	}
	var failed error
	out := mapExpr(e, func(x Expr) Expr {
		s, ok := x.(*subquery)
		if !ok || failed != nil {
			return x
		}
		var y Expr
		rel, y, failed = b.unnestOne(rel, s)
		return y
	})
	if failed != nil {
		return nil, nil, failed
	}
	return rel, b.simplify(out), nil
}

// aggOver builds an aggregate over all rows of rel for use as a scalar subquery.
func (b *binder) aggOver(rel lrel, name string, args []Expr, order []lSortKey, pos int) (lrel, int, error) {
	r, err := fn.ResolveAgg(name, exprTypes(args))
	if err != nil {
		return nil, 0, pgerr.AtPos(err, pos)
	}
	call := lAggCall{agg: r.Agg, argTypes: r.Args, ret: r.Ret, name: name, filter: -1, order: order}
	var items []projItem
	for i, a := range args {
		x, err := b.mustCoerce(a, r.Args[i], fn.Implicit, pos)
		if err != nil {
			return nil, 0, err
		}
		if c, ok := x.(*Column); ok && containsInt(rel.cols(), c.Index) {
			call.args = append(call.args, c.Index)
			continue
		}
		id := b.newCol("arg", x.Type())
		items = append(items, projItem{id, x})
		call.args = append(call.args, id)
	}
	call.id = b.newCol(name, r.Ret)
	return &lAgg{in: extend(rel, items, b), aggs: []lAggCall{call}, pos: pos}, call.id, nil
}

func (b *binder) unnestOne(rel lrel, s *subquery) (lrel, Expr, error) {
	switch s.kind {
	case subScalar:
		if r, e, ok := b.inlineScalar(rel, s); ok {
			return r, e, nil
		}
		out, err := b.applySingle(rel, s.rel)
		return out, b.col(s.outs[0]), err
	case subExists:
		sub, id, err := b.aggOver(s.rel, "count", nil, nil, s.pos)
		if err != nil {
			return nil, nil, err
		}
		if rel, err = b.applySingle(rel, sub); err != nil {
			return nil, nil, err
		}
		e, err := b.operator(">", []Expr{b.col(id), &Const{int64(0), types.Int8}}, s.pos)
		return rel, e, err
	case subArray:
		sub, id, err := b.aggOver(s.rel, "array_agg", []Expr{b.col(s.outs[0])}, s.order, s.pos)
		if err != nil {
			return nil, nil, err
		}
		if rel, err = b.applySingle(rel, sub); err != nil {
			return nil, nil, err
		}
		return rel, &Coalesce{[]Expr{b.col(id), &Array{nil, s.typ, s.pos}}, s.typ}, nil
	}
	// x op ANY: true if any is true, else NULL if any is NULL, else false; ALL is the mirror image.
	name, hit, miss := "bool_or", true, false
	if s.kind == subAll {
		name, hit, miss = "bool_and", false, true
	}
	sub, id, err := b.aggOver(s.rel, name, []Expr{s.test[0]}, nil, s.pos)
	if err != nil {
		return nil, nil, err
	}
	agg := sub.(*lAgg)
	r, err := fn.ResolveAgg("bool_or", []types.T{types.Bool})
	if err != nil {
		return nil, nil, err
	}
	isNull := b.newCol("isnull", types.Bool)
	open := b.newCol("unknown", types.Bool)
	in := extend(agg.in, []projItem{{isNull, &IsNull{b.col(agg.aggs[0].args[0]), false}}}, b)
	sub = &lAgg{in: in, pos: s.pos, aggs: append(slices.Clone(agg.aggs),
		lAggCall{id: open, agg: r.Agg, argTypes: r.Args, ret: r.Ret, args: []int{isNull}, filter: -1, name: "bool_or"})}
	if rel, err = b.applySingle(rel, sub); err != nil {
		return nil, nil, err
	}
	return rel, &Case{[]When{
		{&IsBool{b.col(id), hit, false}, &Const{hit, types.Bool}},
		{&IsBool{b.col(open), true, false}, &Const{nil, types.Bool}},
	}, &Const{miss, types.Bool}, types.Bool}, nil
}

// inlineScalar spares the join for (SELECT expression) without FROM.
func (b *binder) inlineScalar(rel lrel, s *subquery) (lrel, Expr, bool) {
	p, ok := s.rel.(*lProject)
	if !ok {
		return nil, nil, false
	}
	v, ok := p.in.(*lValues)
	if !ok || len(v.rows) != 1 || len(v.ids) != 0 {
		return nil, nil, false
	}
	for _, it := range p.items {
		if it.id == s.outs[0] {
			return rel, it.e, true
		}
	}
	return nil, nil, false
}

// applySingle joins a scalar subquery: NULL where it has no row, 21000 where it has two.
func (b *binder) applySingle(l, r lrel) (lrel, error) {
	out, err := b.applyJoin(l, r, LeftJoin, nil, true)
	return out, err
}

func (b *binder) apply(l, r lrel, typ JoinType, on []Expr) (lrel, error) {
	for i, e := range on {
		if hasSubquery(e) {
			if typ != InnerJoin {
				var err error
				on = slices.Clone(on)
				if l, r, on[i], err = b.unnestSides(l, r, e); err != nil {
					return nil, err
				}
				continue
			}
			rest := append(slices.Clone(on[:i]), on[i+1:]...)
			out, err := b.apply(l, r, typ, rest)
			if err != nil {
				return nil, err
			}
			return b.where(out, e)
		}
	}
	return b.applyJoin(l, r, typ, on, false)
}

// unnestSides joins each subquery of the condition of an outer join to the side that it depends on: the condition is over its value then.
func (b *binder) unnestSides(l, r lrel, e Expr) (lrel, lrel, Expr, error) {
	var failed error
	out := mapExpr(e, func(x Expr) Expr {
		s, ok := x.(*subquery)
		if !ok || failed != nil {
			return x
		}
		uses := freeCols(s.rel)
		uses.union(refs(s.test...))
		var y Expr
		switch {
		case !uses.intersects(setOf(r.cols()...)):
			l, y, failed = b.unnestOne(l, s)
		case !uses.intersects(setOf(l.cols()...)):
			r, y, failed = b.unnestOne(r, s)
		default:
			failed = notSupported("a subquery over both sides in the condition of an outer join", s.pos).WithHint("Compute it in a subquery in FROM.")
		}
		return y
	})
	if failed != nil {
		return nil, nil, nil, failed
	}
	return l, r, b.simplify(out), nil
}

// atMostOne reports whether r has at most one row.
func atMostOne(r lrel) bool {
	switch r := r.(type) {
	case *lValues:
		return len(r.rows) <= 1
	case *lAgg:
		return len(r.keys) == 0
	case *lProject:
		return atMostOne(r.in)
	case *lFilter:
		return atMostOne(r.in)
	case *lSort:
		return atMostOne(r.in)
	case *lLimit:
		c, ok := r.limit.(*Const)
		return atMostOne(r.in) || ok && len(r.partition) == 0 && !r.withTies && c.Val != nil && c.Val.(int64) <= 1
	}
	return false
}

func (b *binder) applyJoin(l, r lrel, typ JoinType, on []Expr, single bool) (lrel, error) {
	lset := setOf(l.cols()...)
	outer := idset{}
	for id := range freeCols(r) {
		if lset[id] {
			outer[id] = true
		}
	}
	one := atMostOne(r)
	if len(outer) == 0 {
		return &lJoin{typ: typ, l: l, r: r, on: on, single: single && !one}, nil
	}
	if typ == RightJoin || typ == FullJoin {
		return nil, pgerr.New(pgerr.InvalidColumnReference, "invalid reference to FROM-clause entry: the combining JOIN type must be INNER or LEFT for a LATERAL reference")
	}
	// A function over columns of the left side needs no join at all.
	if tf, ok := r.(*lTableFunc); ok && tf.in == nil && (typ == InnerJoin || typ == LeftJoin && len(on) == 0) {
		c := *tf
		c.in, c.outer = l, typ == LeftJoin
		if len(on) > 0 {
			return &lFilter{&c, on}, nil
		}
		return &c, nil
	}
	pu := &pullUp{b: b, outer: outer}
	if in, ok := pu.pull(r); ok {
		preds := append(slices.Clone(on), pu.preds...)
		if len(pu.defaults) == 0 {
			if pu.scalarAgg && typ == InnerJoin {
				typ = LeftJoin
			}
			return &lJoin{typ: typ, l: l, r: in, on: preds, single: single && !one}, nil
		}
		if typ == LeftJoin && len(on) == 0 || typ == InnerJoin && len(on) == 0 {
			var out lrel = &lJoin{typ: LeftJoin, l: l, r: in, on: preds, single: single && !one}
			return b.withDefaults(out, pu.defaults), nil
		}
	}
	d := &unnester{b: b, l: l, outer: slices.Sorted(keysOf(outer))}
	in, m, err := d.push(r)
	if err != nil {
		return nil, err
	}
	conds := slices.Clone(on)
	for i, id := range d.outer {
		conds = append(conds, &IsDistinct{b.col(id), b.col(m[i]), true})
	}
	return &lJoin{typ: typ, l: l, r: in, on: conds, single: single && !one}, nil
}

func keysOf(s idset) func(func(int) bool) {
	return func(yield func(int) bool) {
		for k := range s {
			if !yield(k) {
				return
			}
		}
	}
}

// withDefaults gives aggregates of empty groups their value (count: 0) where a left join padded them. The ids stay.
func (b *binder) withDefaults(r lrel, defaults map[int]Expr) lrel {
	p := &lProject{in: r}
	for _, id := range r.cols() {
		var e Expr = b.col(id)
		if d, ok := defaults[id]; ok {
			e = &Coalesce{[]Expr{e, d}, e.Type()}
		}
		p.items = append(p.items, projItem{id, e})
	}
	return p
}

// emptyValue is what an aggregate gives for no rows; nil for NULL.
func emptyValue(a lAggCall) Expr {
	switch a.name {
	case "count", "regr_count":
		return &Const{int64(0), types.Int8}
	}
	return nil
}

// pullUp moves correlated filters to the top of a tree.
type pullUp struct {
	b         *binder
	outer     idset
	preds     []Expr
	defaults  map[int]Expr
	scalarAgg bool
}

func (p *pullUp) correlated(e Expr) bool { return refs(e).intersects(p.outer) }

func (p *pullUp) free(r lrel) bool { return freeCols(r).intersects(p.outer) }

// pull gives r without references to outer columns, so that r is the result filtered by p.preds.
func (p *pullUp) pull(r lrel) (lrel, bool) {
	if !p.free(r) {
		return r, true
	}
	switch r := r.(type) {
	case *lFilter:
		in, ok := p.pull(r.in)
		if !ok || p.scalarAgg {
			return nil, false
		}
		var keep []Expr
		for _, c := range r.conds {
			if p.correlated(c) {
				p.preds = append(p.preds, c)
			} else {
				keep = append(keep, c)
			}
		}
		if len(keep) == 0 {
			return in, true
		}
		return &lFilter{in, keep}, true
	case *lProject:
		for _, it := range r.items {
			if p.correlated(it.e) {
				return nil, false
			}
		}
		in, ok := p.pull(r.in)
		if !ok {
			return nil, false
		}
		out := &lProject{in: in, items: slices.Clone(r.items)}
		have := idset{}
		for _, it := range r.items {
			have[it.id] = true
			if len(p.defaults) > 0 {
				if _, ok := it.e.(*Column); !ok && refersToDefaults(it.e, p.defaults) {
					return nil, false
				}
			}
			if p.scalarAgg {
				if _, ok := it.e.(*Column); !ok { // a padded row must stay NULL
					if !nullFrom(it.e, setOf(in.cols()...)) {
						return nil, false
					}
				}
			}
		}
		for _, id := range in.cols() {
			if !have[id] && refs(p.preds...)[id] {
				out.items = append(out.items, projItem{id, p.b.col(id)})
			}
		}
		return out, true
	case *lJoin:
		if r.typ != InnerJoin && p.free(r.r) {
			return nil, false
		}
		if r.typ == RightJoin || r.typ == FullJoin {
			return nil, false
		}
		l, ok := p.pull(r.l)
		if !ok || p.scalarAgg {
			return nil, false
		}
		rr, ok := p.pull(r.r)
		if !ok || p.scalarAgg {
			return nil, false
		}
		var keep []Expr
		for _, c := range r.on {
			if p.correlated(c) {
				if r.typ != InnerJoin {
					return nil, false
				}
				p.preds = append(p.preds, c)
			} else {
				keep = append(keep, c)
			}
		}
		return &lJoin{typ: r.typ, l: l, r: rr, on: keep, single: r.single, notIn: r.notIn}, true
	case *lSort:
		in, ok := p.pull(r.in)
		return in, ok // the order of a subquery's rows does not reach the join
	case *lAgg:
		if p.scalarAgg || len(p.preds) > 0 {
			return nil, false
		}
		in, ok := p.pull(r.in)
		if !ok || p.scalarAgg {
			return nil, false
		}
		keys := slices.Clone(r.keys)
		var items []projItem
		for i, c := range p.preds {
			inner, outerSide, null, ok := p.equality(c)
			if !ok {
				return nil, false
			}
			id := -1
			if col, isCol := inner.(*Column); isCol {
				id = col.Index
			} else {
				id = p.b.newCol("key", inner.Type())
				items = append(items, projItem{id, inner})
			}
			if !slices.Contains(keys, id) {
				keys = append(keys, id)
			}
			var eq Expr
			if null {
				eq = &IsDistinct{outerSide, p.b.col(id), true}
			} else {
				x, err := p.b.operator("=", []Expr{outerSide, p.b.col(id)}, 0)
				if err != nil {
					return nil, false
				}
				eq = x
			}
			p.preds[i] = eq
		}
		if len(r.keys) == 0 && !r.grouped {
			p.scalarAgg = true
			for _, a := range r.aggs {
				if v := emptyValue(a); v != nil {
					if p.defaults == nil {
						p.defaults = map[int]Expr{}
					}
					p.defaults[a.id] = v
				}
			}
		}
		return &lAgg{in: extend(in, items, p.b), keys: keys, aggs: r.aggs, grouped: true, pos: r.pos}, true
	}
	return nil, false
}

func refersToDefaults(e Expr, m map[int]Expr) bool { return refersTo(refs(e), m) }

// equality splits inner = outer.
func (p *pullUp) equality(c Expr) (inner, outer Expr, null, ok bool) {
	var l, r Expr
	if eq, is := isOp(c, "="); is {
		l, r = eq.Args[0], eq.Args[1]
	} else if d, is := c.(*IsDistinct); is && d.Not {
		l, r, null = d.L, d.R, true
	} else {
		return nil, nil, false, false
	}
	lo, ro := p.correlated(l), p.correlated(r)
	switch {
	case lo && !ro && refs(l).subsetOf(p.outer):
		return r, l, null, true
	case ro && !lo && refs(r).subsetOf(p.outer):
		return l, r, null, true
	}
	return nil, nil, false, false
}
