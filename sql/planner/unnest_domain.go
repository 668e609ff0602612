package planner

import (
	"slices"

	"streamsql/internal/types"
)

// unnester computes a correlated tree for all distinct values of the outer columns.
type unnester struct {
	b     *binder
	l     lrel
	outer []int
}

// domain gives the distinct outer columns under fresh ids.
func (u *unnester) domain() (lrel, []int) {
	p := &lProject{in: u.l}
	var ids []int
	for _, id := range u.outer {
		n := u.b.newCol(u.b.cols[id].name, u.b.cols[id].typ)
		p.items = append(p.items, projItem{n, u.b.col(id)})
		ids = append(ids, n)
	}
	return &lAgg{in: p, keys: ids, grouped: true}, ids
}

func (u *unnester) subst(m []int) map[int]Expr {
	s := map[int]Expr{}
	for i, id := range u.outer {
		s[id] = u.b.col(m[i])
	}
	return s
}

func (u *unnester) sameRow(a, c []int) []Expr {
	var on []Expr
	for i := range a {
		on = append(on, &IsDistinct{u.b.col(a[i]), u.b.col(c[i]), true})
	}
	return on
}

// push gives r computed for each row of the domain, and the domain's columns in it.
func (u *unnester) push(r lrel) (lrel, []int, error) {
	if !freeCols(r).intersects(setOf(u.outer...)) {
		d, m := u.domain()
		if v, ok := r.(*lValues); ok && len(v.ids) == 0 && len(v.rows) == 1 {
			return d, m, nil
		}
		return &lJoin{typ: InnerJoin, l: d, r: r}, m, nil
	}
	sub := func(es []Expr, m []int) []Expr {
		out := make([]Expr, len(es))
		s := u.subst(m)
		for i, e := range es {
			out[i] = substitute(e, s)
		}
		return out
	}
	one := func(in lrel) (lrel, []int, map[int]Expr, error) {
		x, m, err := u.push(in)
		if err != nil {
			return nil, nil, nil, err
		}
		return x, m, u.subst(m), nil
	}
	switch r := r.(type) {
	case *lFilter:
		in, m, _, err := one(r.in)
		if err != nil {
			return nil, nil, err
		}
		return &lFilter{in, sub(r.conds, m)}, m, nil
	case *lProject:
		in, m, s, err := one(r.in)
		if err != nil {
			return nil, nil, err
		}
		p := &lProject{in: in}
		for _, it := range r.items {
			p.items = append(p.items, projItem{it.id, substitute(it.e, s)})
		}
		for _, id := range m {
			p.items = append(p.items, projItem{id, u.b.col(id)})
		}
		return p, m, nil
	case *lAgg:
		in, m, _, err := one(r.in)
		if err != nil {
			return nil, nil, err
		}
		agg := &lAgg{in: in, keys: append(slices.Clone(m), r.keys...), aggs: r.aggs, grouped: true, pos: r.pos}
		if len(r.keys) > 0 || r.grouped {
			return agg, m, nil
		}
		// Over no rows there is still one: pad with the domain.
		d, dm := u.domain()
		var out lrel = &lJoin{typ: LeftJoin, l: d, r: agg, on: u.sameRow(dm, m)}
		defaults := map[int]Expr{}
		for _, a := range r.aggs {
			if v := emptyValue(a); v != nil {
				defaults[a.id] = v
			}
		}
		if len(defaults) > 0 {
			out = u.b.withDefaults(out, defaults)
		}
		return out, dm, nil
	case *lJoin:
		lf := freeCols(r.l).intersects(setOf(u.outer...))
		rf := freeCols(r.r).intersects(setOf(u.outer...))
		if r.typ == RightJoin || r.typ == FullJoin {
			return u.pushOuter(r)
		}
		j := *r
		if !lf && rf && r.typ == InnerJoin {
			in, m, _, err := one(r.r)
			if err != nil {
				return nil, nil, err
			}
			j.r, j.on = in, sub(r.on, m)
			return &j, m, nil
		}
		in, m, _, err := one(r.l)
		if err != nil {
			return nil, nil, err
		}
		j.l, j.on = in, sub(r.on, m)
		if rf {
			in2, m2, err := u.push(r.r)
			if err != nil {
				return nil, nil, err
			}
			j.r = in2
			j.on = append(j.on, u.sameRow(m, m2)...)
		}
		return &j, m, nil
	case *lSort:
		in, m, err := u.push(r.in)
		if err != nil {
			return nil, nil, err
		}
		return &lSort{in, r.keys}, m, nil
	case *lLimit:
		in, m, _, err := one(r.in)
		if err != nil {
			return nil, nil, err
		}
		c := *r
		c.in, c.partition = in, append(slices.Clone(m), r.partition...)
		c.sorted = false
		for _, e := range r.exprs() {
			if refs(e).intersects(setOf(u.outer...)) {
				return nil, nil, notSupported("a LIMIT that depends on the outer query", r.pos)
			}
		}
		return &c, m, nil
	case *lUnion:
		out := &lUnion{ids: slices.Clone(r.ids)}
		var um []int
		for _, id := range u.outer {
			n := u.b.newCol(u.b.cols[id].name, u.b.cols[id].typ)
			um = append(um, n)
			out.ids = append(out.ids, n)
		}
		for i, in := range r.in {
			x, m, err := u.push(in)
			if err != nil {
				return nil, nil, err
			}
			out.in = append(out.in, x)
			out.from = append(out.from, concat(r.from[i], m))
		}
		return out, um, nil
	case *lSetOp:
		out := *r
		l, lm, err := u.push(r.l)
		if err != nil {
			return nil, nil, err
		}
		rr, rm, err := u.push(r.r)
		if err != nil {
			return nil, nil, err
		}
		var um []int
		for _, id := range u.outer {
			um = append(um, u.b.newCol(u.b.cols[id].name, u.b.cols[id].typ))
		}
		out.l, out.r = l, rr
		out.lfrom, out.rfrom, out.ids = concat(r.lfrom, lm), concat(r.rfrom, rm), concat(r.ids, um)
		return &out, um, nil
	case *lOver:
		in, m, err := u.push(r.in)
		if err != nil {
			return nil, nil, err
		}
		c := *r
		c.in, c.partition = in, append(slices.Clone(m), r.partition...)
		return &c, m, nil
	case *lWindow:
		in, m, err := u.push(r.in)
		if err != nil {
			return nil, nil, err
		}
		c := *r
		c.in = in
		if r.spec.Kind == 4 {
			c.partition = append(slices.Clone(m), r.partition...)
		}
		return &c, m, nil
	case *lTableFunc:
		var in lrel
		var m []int
		var err error
		if r.in == nil {
			in, m = u.domain()
		} else if in, m, err = u.push(r.in); err != nil {
			return nil, nil, err
		}
		c := *r
		c.in, c.args = in, sub(r.args, m)
		return &c, m, nil
	case *lProjectSet:
		in, m, err := u.push(r.in)
		if err != nil {
			return nil, nil, err
		}
		c := *r
		c.in = in
		c.args = nil
		for _, a := range r.args {
			c.args = append(c.args, sub(a, m))
		}
		return &c, m, nil
	case *lValues:
		// Rows of expressions over outer columns: a union of projections of the domain.
		out := &lUnion{ids: slices.Clone(r.ids)}
		var um []int
		for _, id := range u.outer {
			um = append(um, u.b.newCol(u.b.cols[id].name, u.b.cols[id].typ))
		}
		out.ids = append(out.ids, um...)
		for _, row := range r.rows {
			d, m := u.domain()
			p := &lProject{in: d}
			var from []int
			for i, e := range sub(row, m) {
				n := u.b.newCol(u.b.cols[r.ids[i]].name, e.Type())
				p.items = append(p.items, projItem{n, e})
				from = append(from, n)
			}
			for _, id := range m {
				p.items = append(p.items, projItem{id, u.b.col(id)})
			}
			out.in = append(out.in, p)
			out.from = append(out.from, concat(from, m))
		}
		return out, um, nil
	}
	return nil, nil, notSupported("this correlated subquery", 0)
}

// pushOuter is push of a RIGHT or FULL JOIN: both sides are computed for each row of the domain, which they are joined by.
func (u *unnester) pushOuter(r *lJoin) (lrel, []int, error) {
	j := *r
	var err error
	var lm, rm []int
	if j.l, lm, err = u.push(r.l); err != nil {
		return nil, nil, err
	}
	there := u.b.newCol("there", types.Bool)
	if r.typ == FullJoin {
		j.l = extend(j.l, []projItem{{there, &Const{true, types.Bool}}}, u.b)
	}
	if j.r, rm, err = u.push(r.r); err != nil {
		return nil, nil, err
	}
	s := u.subst(rm)
	j.on = nil
	for _, c := range r.on {
		j.on = append(j.on, substitute(c, s))
	}
	j.on = append(j.on, u.sameRow(lm, rm)...)
	if r.typ == RightJoin {
		return &j, rm, nil
	}
	var items []projItem
	var m []int
	for i := range lm { // the values of the domain may be NULL, so they do not tell which side is there
		c := u.b.cols[lm[i]]
		n := u.b.newCol(c.name, c.typ)
		items = append(items, projItem{n, &Case{[]When{{&IsNull{u.b.col(there), false}, u.b.col(rm[i])}}, u.b.col(lm[i]), c.typ}})
		m = append(m, n)
	}
	return extend(&j, items, u.b), m, nil
}
