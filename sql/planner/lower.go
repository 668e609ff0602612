package planner

import (
	"fmt"
	"slices"
	"strings"

	"streamsql/catalog"
	"streamsql/internal/fn"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/window"
)

// lowerer turns logical operators into plan nodes, asking each only for the columns that are needed.
type lowerer struct {
	b *binder
	p *builder
	// working are the working tables of recursive queries, by their columns.
	working map[string]*WorkingTable
	// err is the first error; lowering goes on so that callers need not check each step.
	err error
}

func (l *lowerer) fail(err error) {
	if l.err == nil {
		l.err = err
	}
}

// layout says which column id is at which position of a node.
type layout []int

func (y layout) pos(id int) int { return slices.Index(y, id) }

// place gives e with positions in place of ids.
func (l *lowerer) place(e Expr, y layout) Expr {
	return mapExpr(e, func(x Expr) Expr {
		c, ok := x.(*Column)
		if !ok {
			return x
		}
		i := y.pos(c.Index)
		if i < 0 {
			l.fail(pgerr.New(pgerr.InternalError, "column \"%s\" is not in the input of its operator", c.Name))
			i = 0
		}
		return &Column{Index: i, Typ: c.Typ, Name: l.b.cols[c.Index].name, Pos: c.Pos}
	})
}

func (l *lowerer) places(es []Expr, y layout) []Expr {
	out := make([]Expr, len(es))
	for i, e := range es {
		out[i] = l.place(e, y)
	}
	return out
}

func (l *lowerer) positions(ids []int, y layout) []int {
	out := make([]int, len(ids))
	for i, id := range ids {
		out[i] = y.pos(id)
		if out[i] < 0 {
			l.fail(pgerr.New(pgerr.InternalError, "column \"%s\" is not in the input of its operator", l.b.cols[id].name))
			out[i] = 0
		}
	}
	return out
}

func (l *lowerer) sortKeys(keys []lSortKey, y layout) []SortKey {
	var out []SortKey
	for _, k := range keys {
		i := l.positions([]int{k.col}, y)[0]
		if slices.ContainsFunc(out, func(s SortKey) bool { return s.Col == i }) {
			continue
		}
		out = append(out, SortKey{Col: i, Desc: k.desc, NullsFirst: k.nullsFirst})
	}
	return out
}

// project makes n give exactly ids, in order.
func (l *lowerer) project(n Node, y layout, ids []int) Node {
	exprs := make([]Expr, len(ids))
	for i, id := range ids {
		exprs[i] = l.place(l.b.col(id), y)
	}
	return l.p.calc(n, nil, exprs, l.b.fields(ids))
}

// keep gives the ids of all that are in need, in the order of all.
func keep(all []int, need idset) []int {
	var out []int
	for _, id := range all {
		if need[id] && !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}

func (l *lowerer) lower(r lrel, need idset) (Node, layout) {
	switch r := r.(type) {
	case *lScan:
		return l.lowerScan(r, need)
	case *lGiven:
		return r.node, r.ids
	case *lValues:
		ids := keep(r.ids, need)
		if len(r.ids) > 0 && len(ids) == 0 {
			ids = r.ids[:1]
		}
		rows := make([][]Expr, len(r.rows))
		for i, row := range r.rows {
			for _, id := range ids {
				rows[i] = append(rows[i], l.b.simplify(l.place(row[slices.Index(r.ids, id)], nil)))
			}
		}
		return l.p.values(rows, l.b.fields(ids)), ids
	case *lTableFunc:
		return l.lowerTableFunc(r, need)
	case *lProjectSet:
		in := need.clone()
		for _, id := range r.ids {
			delete(in, id)
		}
		in.union(refs(r.exprs()...))
		n, y := l.lower(r.in, in)
		args := make([][]Expr, len(r.args))
		for i, a := range r.args {
			args[i] = l.places(a, y)
		}
		return l.p.projectSet(n, r.fns, args, l.b.fields(r.ids), r.ord), append(slices.Clone(y), r.ids...)
	case *lProject, *lFilter:
		return l.lowerCalc(r, need)
	case *lWindow:
		in := need.clone()
		for _, id := range []int{r.start, r.end, r.tim} {
			delete(in, id)
		}
		in[r.timeCol] = true
		in.addAll(r.partition)
		n, y := l.lower(r.in, in)
		out := l.p.windowTVF(n, r.spec, l.positions([]int{r.timeCol}, y)[0], l.positions(r.partition, y))
		return out, append(slices.Clone(y), r.start, r.end, r.tim)
	case *lAgg:
		return l.lowerAgg(r, need)
	case *lJoin:
		return l.lowerJoin(r, need)
	case *lAsOf:
		return l.lowerAsOf(r, need)
	case *lWorking:
		return l.working[fmt.Sprint(r.ids)], r.ids
	case *lRecursive:
		return l.lowerRecursive(r)
	case *lUnion:
		ids := keep(r.ids, need)
		if len(ids) == 0 {
			ids = r.ids[:min(1, len(r.ids))]
		}
		var in []Node
		for i, x := range r.in {
			var from []int
			for _, id := range ids {
				from = append(from, r.from[i][slices.Index(r.ids, id)])
			}
			n, y := l.lower(x, setOf(from...))
			n = l.project(n, y, from)
			if u, ok := n.(*Union); ok { // a UNION ALL of a UNION ALL is one
				in = append(in, u.In...)
				continue
			}
			in = append(in, n)
		}
		return l.p.union(in, l.b.fields(ids)), ids
	case *lSetOp:
		ln, ly := l.lower(r.l, setOf(r.lfrom...))
		rn, ry := l.lower(r.r, setOf(r.rfrom...))
		return l.p.setOp(l.project(ln, ly, r.lfrom), l.project(rn, ry, r.rfrom), r.except, r.all), r.ids
	case *lSort:
		in := need.clone()
		for _, k := range r.keys {
			in[k.col] = true
		}
		n, y := l.lower(r.in, in)
		return l.p.sort(n, l.sortKeys(r.keys, y)), y
	case *lLimit:
		return l.lowerLimit(r, need)
	case *lOver:
		return l.lowerOver(r, need)
	}
	l.fail(pgerr.New(pgerr.InternalError, "unknown operator"))
	return l.p.values(nil, nil), nil
}

func (l *lowerer) lowerScan(r *lScan, need idset) (Node, layout) {
	want := need.clone()
	if r.wm != nil {
		want.union(refs(r.wm))
		want[r.wmCol] = true
	}
	ids := keep(r.ids, want)
	if len(ids) == 0 && len(r.ids) > 0 {
		ids = []int{l.cheapest(r)}
	}
	var late LatePolicy
	if r.wm != nil {
		if late = l.p.latePolicy(r.rel); late.Into != nil || late.Error {
			ids = r.ids // late rows are shown whole
		}
	}
	n := l.p.scan(r.rel, l.positions(ids, r.ids))
	if r.wm != nil {
		idle := l.duration(r.rel, "watermark.idle_timeout")
		future := l.duration(r.rel, "watermark.max_future")
		y := layout(ids)
		n = l.p.watermark(n, l.b.simplify(l.place(r.wm, y)), y.pos(r.wmCol), idle, future, late, r.rel.Kind == catalog.Source)
		if late.Into != nil || late.Error {
			return l.trim(n, y, want)
		}
	}
	return n, ids
}

// latePolicy gives what becomes of late rows of a relation: what the query says, else the relation's option.
func (p *builder) latePolicy(rel *catalog.Relation) LatePolicy {
	if p.lateRows != nil {
		return *p.lateRows
	}
	v, _ := rel.Option("late")
	if v == "error" {
		return LatePolicy{Error: true}
	}
	return LatePolicy{Into: AsideTable(rel, "late")}
}

// AsideTable gives the name of the table that an option of a relation, 'table:NAME', puts rows into; nil where it does
// not say so. A name without a schema is of the relation's own schema.
func AsideTable(rel *catalog.Relation, option string) []string {
	v, _ := rel.Option(option)
	name, ok := strings.CutPrefix(v, "table:")
	if !ok {
		return nil
	}
	parts := SplitName(name)
	if len(parts) == 1 {
		parts = []string{rel.Schema, parts[0]}
	}
	return parts
}

// cheapest gives the column to read where only the number of rows matters.
func (l *lowerer) cheapest(r *lScan) int {
	for _, id := range r.ids {
		switch l.b.cols[id].typ.Kind() {
		case types.KindString, types.KindBytes:
		default:
			return id
		}
	}
	return r.ids[0]
}

func (l *lowerer) duration(rel *catalog.Relation, option string) int64 {
	v, ok := rel.Option(option)
	if !ok {
		return 0
	}
	s, err := types.ParseInterval(v, -1)
	if err != nil {
		l.fail(pgerr.New(pgerr.InvalidParameterValue, "option \"%s\" of \"%s\" is not an interval: %s", option, rel.Name, v))
		return 0
	}
	return (int64(s.Months)*30+int64(s.Days))*usPerDay + s.Micros
}

func (l *lowerer) lowerTableFunc(r *lTableFunc, need idset) (Node, layout) {
	var n Node
	var y layout
	if r.in != nil {
		in := refs(r.args...)
		for _, id := range r.in.cols() {
			if need[id] {
				in[id] = true
			}
		}
		n, y = l.lower(r.in, in)
	}
	args := l.places(r.args, y)
	for i := range args {
		args[i] = l.b.simplify(args[i])
	}
	ids := r.ids
	fields := l.b.fields(ids)
	if r.ord >= 0 {
		ids = append(slices.Clone(ids), r.ord)
		fields = append(fields, vec.Field{Name: "ordinality", Type: types.Int8})
	}
	return l.p.tableFunc(n, r.fn, args, r.ord >= 0, r.outer, fields), append(slices.Clone(y), ids...)
}

// lowerCalc makes one Calc of a projection, a filter, or a projection over a filter.
func (l *lowerer) lowerCalc(r lrel, need idset) (Node, layout) {
	var items []projItem
	var conds []Expr
	in := r
	if p, ok := in.(*lProject); ok {
		for _, it := range p.items {
			if need[it.id] {
				items = append(items, it)
			}
		}
		in = p.in
		if f, ok := in.(*lFilter); ok {
			conds, in = f.conds, f.in
		}
	} else {
		f := in.(*lFilter)
		conds, in = f.conds, f.in
		for _, id := range keep(in.cols(), need) {
			items = append(items, projItem{id, l.b.col(id)})
		}
	}
	want := refs(conds...)
	for _, it := range items {
		want.addRefs(it.e)
	}
	n, y := l.lower(in, want)
	exprs := make([]Expr, len(items))
	ids := make([]int, len(items))
	for i, it := range items {
		exprs[i] = l.b.simplify(l.place(it.e, y))
		ids[i] = it.id
	}
	var filter []Expr
	for _, c := range conds {
		filter = conjuncts(l.b.simplify(l.place(c, y)), filter)
	}
	if len(filter) == 0 && len(items) == 0 { // only the number of rows matters
		return n, y
	}
	return l.p.calc(n, filter, exprs, l.b.fields(ids)), ids
}

func (l *lowerer) lowerAgg(r *lAgg, need idset) (Node, layout) {
	keys := setOf(r.keys...)
	var aggs []lAggCall
	for _, a := range r.aggs {
		if need[a.id] {
			aggs = append(aggs, a)
		}
	}
	if !r.grouped && len(r.keys) == 0 && len(aggs) == 0 { // one row whatever the input holds, and nothing to compute from it
		return l.lower(oneRow(), idset{})
	}
	in := r.in
	// A projection between the window and the groups that only computes arguments does not part them.
	w, proj, filter := windowBelow(in)
	fuse := w != nil && fusable(&lAgg{keys: r.keys, aggs: aggs}, w)
	if fuse && (proj != nil || filter != nil) {
		wcols := setOf(w.start, w.end, w.tim)
		if filter != nil && refs(filter.conds...).intersects(wcols) {
			fuse = false
		}
		if proj != nil {
			for _, it := range proj.items {
				c, plain := it.e.(*Column)
				if plain && c.Index == it.id {
					continue
				}
				if refs(it.e).intersects(wcols) {
					used := keys[it.id]
					for _, a := range aggs {
						used = used || slices.Contains(a.args, it.id) || a.filter == it.id
					}
					if used {
						fuse = false
					}
				}
			}
		}
	}
	want := idset{}
	for _, a := range aggs {
		want.addAll(a.args)
		if a.filter >= 0 {
			want[a.filter] = true
		}
		for _, k := range a.order {
			want[k.col] = true
		}
	}
	var plain []int
	for _, k := range r.keys {
		if fuse && (k == w.start || k == w.end || k == w.tim) {
			continue
		}
		if !slices.Contains(plain, k) {
			plain = append(plain, k)
		}
	}
	want.addAll(plain)
	if fuse {
		want[w.timeCol] = true
		want.addAll(w.partition)
		in = w.in
		if filter != nil {
			in = &lFilter{in, filter.conds}
		}
		if proj != nil {
			p := &lProject{in: in}
			has := idset{}
			wcols := setOf(w.start, w.end, w.tim)
			for _, it := range proj.items {
				if !refs(it.e).intersects(wcols) {
					p.items = append(p.items, it)
					has[it.id] = true
				}
			}
			for _, id := range append([]int{w.timeCol}, w.partition...) {
				if !has[id] {
					p.items = append(p.items, projItem{id, l.b.col(id)})
					has[id] = true
				}
			}
			in = p
		}
	}
	n, y := l.lower(in, want)
	calls := make([]AggCall, len(aggs))
	for i, a := range aggs {
		calls[i] = AggCall{Agg: a.agg, Options: fn.AggOptions{Args: a.argTypes, Ret: a.ret}, Args: l.positions(a.args, y),
			Distinct: a.distinct, Filter: -1, OrderBy: l.sortKeys(a.order, y), Name: a.name}
		if a.filter >= 0 {
			calls[i].Filter = l.positions([]int{a.filter}, y)[0]
		}
	}
	var spec *window.Spec
	timeCol := -1
	var session []int
	if fuse {
		s := w.spec
		spec = &s
		timeCol = l.positions([]int{w.timeCol}, y)[0]
		if s.Kind == window.Session && len(w.partition) < len(plain) && !l.groupWindow(w) {
			session = []int{}
			for _, k := range w.partition {
				session = append(session, slices.Index(plain, k))
			}
		}
	}
	out := l.p.aggregate(n, l.positions(plain, y), spec, timeCol, session, calls, r.grouped || len(plain) > 0)
	lay := slices.Clone(plain)
	if fuse {
		lay = append(lay, w.start, w.end, w.tim)
	}
	for _, a := range aggs {
		lay = append(lay, a.id)
	}
	return out, lay
}

// groupWindow reports whether a session stands in GROUP BY, where it is per the other keys.
func (l *lowerer) groupWindow(w *lWindow) bool { return l.b.groupWins[w.start] }

// windowBelow finds a window function under at most one projection and one filter.
func windowBelow(r lrel) (w *lWindow, p *lProject, f *lFilter) {
	for {
		switch x := r.(type) {
		case *lWindow:
			return x, p, f
		case *lProject:
			if p != nil || f != nil {
				return nil, nil, nil
			}
			p, r = x, x.in
		case *lFilter:
			if f != nil {
				return nil, nil, nil
			}
			f, r = x, x.in
		default:
			return nil, nil, nil
		}
	}
}

func (l *lowerer) lowerJoin(r *lJoin, need idset) (Node, layout) {
	if r.typ == InnerJoin && !r.single && readsWorking(r.r) && !readsWorking(r.l) {
		c := *r
		c.l, c.r = r.r, r.l // so that an iteration flows through, and the other side is built once
		r = &c
	}
	lset, rset := setOf(r.l.cols()...), setOf(r.r.cols()...)
	type pair struct {
		l, r     Expr
		nullSafe bool
	}
	var pairs []pair
	var residual []Expr
	for i, c := range r.on {
		c = l.b.simplify(c)
		var x, y Expr
		null := false
		if eq, ok := isOp(c, "="); ok {
			x, y = eq.Args[0], eq.Args[1]
		} else if d, ok := c.(*IsDistinct); ok && d.Not {
			x, y, null = d.L, d.R, true
		}
		if x != nil && !volatileExpr(c) {
			xs, ys := refs(x), refs(y)
			if len(xs) > 0 && xs.subsetOf(rset) && len(ys) > 0 && ys.subsetOf(lset) {
				x, y, xs, ys = y, x, ys, xs
			}
			if len(xs) > 0 && len(ys) > 0 && xs.subsetOf(lset) && ys.subsetOf(rset) {
				if two, ok := l.b.hashable(x, y); ok {
					p := pair{two[0], two[1], null}
					if r.notIn && i == 0 {
						pairs = append([]pair{p}, pairs...)
					} else {
						pairs = append(pairs, p)
					}
					continue
				}
			}
		}
		if r.notIn && i == 0 { // not to be hashed: test that no row makes it true or NULL
			c = &IsBool{c, false, true}
			cp := *r
			cp.notIn = false
			r = &cp
		}
		residual = append(residual, c)
	}
	lneed, rneed := idset{}, idset{}
	lneed.union(need)
	lneed.union(refs(residual...))
	rneed.union(lneed)
	if r.typ == SemiJoin || r.typ == AntiJoin {
		rneed = refs(residual...)
	}
	// Keys that are expressions are computed below.
	var litems, ritems []projItem
	var lk, rk []int
	key := func(e Expr, items *[]projItem, need idset) int {
		if c, ok := e.(*Column); ok {
			need[c.Index] = true
			return c.Index
		}
		id := l.b.newCol("key", e.Type())
		*items = append(*items, projItem{id, e})
		need[id] = true
		return id
	}
	seen := map[[2]int]bool{}
	var nullSafe []bool
	anyNull := false
	for _, p := range pairs {
		a, c := key(p.l, &litems, lneed), key(p.r, &ritems, rneed)
		if seen[[2]int{a, c}] {
			continue
		}
		seen[[2]int{a, c}] = true
		lk, rk = append(lk, a), append(rk, c)
		nullSafe = append(nullSafe, p.nullSafe)
		anyNull = anyNull || p.nullSafe
	}
	if !anyNull {
		nullSafe = nil
	}
	side := func(in lrel, items []projItem, need idset) (Node, layout) {
		in = extend(in, items, l.b)
		return l.lower(in, need)
	}
	ln, ly := side(r.l, litems, within(lneed, lset, litems))
	rn, ry := side(r.r, ritems, within(rneed, rset, ritems))
	// Only what is needed goes into the join's state.
	ln, ly = l.trim(ln, ly, lneed)
	rn, ry = l.trim(rn, ry, rneed)
	j := Join{Type: r.typ, Left: ln, Right: rn, LeftKeys: l.positions(lk, ly), RightKeys: l.positions(rk, ry),
		NullSafe: nullSafe, Single: r.single, NullAware: r.notIn}
	both := append(slices.Clone(ly), ry...)
	j.Residual = l.places(residual, both)
	if len(j.Residual) == 0 {
		j.Residual = nil
	}
	n := l.p.join(j)
	if r.typ == SemiJoin || r.typ == AntiJoin {
		return n, ly
	}
	return n, both
}

// within gives the needed ids of one side.
func within(need, side idset, items []projItem) idset {
	out := idset{}
	for id := range need {
		if side[id] {
			out[id] = true
		}
	}
	for _, it := range items {
		out[it.id] = true
	}
	return out
}

// trim drops columns that nothing above needs.
func (l *lowerer) trim(n Node, y layout, need idset) (Node, layout) {
	ids := keep(y, need)
	if len(ids) == len(y) || len(ids) == 0 {
		return n, y
	}
	return l.project(n, y, ids), ids
}

// hashable brings the operands of an equality to one type, where that keeps the meaning.
func (b *binder) hashable(x, y Expr) ([]Expr, bool) {
	if x.Type().OID == y.Type().OID {
		return []Expr{x, y}, true
	}
	es := []Expr{x, y}
	t, err := fn.SelectCommonType([]types.T{x.Type().Bare(), y.Type().Bare()})
	if err != nil {
		return nil, false
	}
	for i, e := range es {
		c, ok, err := b.coerce(e, t.Bare(), fn.Implicit, 0)
		if err != nil || !ok {
			return nil, false
		}
		es[i] = c
	}
	return es, true
}

func (l *lowerer) lowerLimit(r *lLimit, need idset) (Node, layout) {
	in := need.clone()
	delete(in, r.rank)
	for _, k := range r.keys {
		in[k.col] = true
	}
	in.addAll(r.partition)
	n, y := l.lower(r.in, in)
	t := TopN{Input: n, Partition: l.positions(r.partition, y), Keys: l.sortKeys(r.keys, y), Limit: -1, WithTies: r.withTies,
		Sorted: r.sorted}
	if len(t.Partition) == 0 {
		t.Partition = nil
	}
	value := func(e Expr, none int64) (int64, Expr) {
		switch c := e.(type) {
		case nil:
			return none, nil
		case *Const:
			if c.Val == nil {
				return none, nil
			}
			return c.Val.(int64), nil
		}
		return none, e
	}
	t.Limit, t.LimitParam = value(l.simple(r.limit), -1)
	t.Offset, t.OffsetParam = value(l.simple(r.offset), 0)
	out := slices.Clone(y)
	if r.rank >= 0 && need[r.rank] {
		t.RankCol = true
		out = append(out, r.rank)
	}
	return l.p.topN(t), out
}

func (l *lowerer) simple(e Expr) Expr {
	if e == nil {
		return nil
	}
	return l.b.simplify(e)
}

func (l *lowerer) lowerOver(r *lOver, need idset) (Node, layout) {
	in := idset{}
	own := idset{}
	for _, c := range r.calls {
		own[c.id] = true
		if !need[c.id] {
			continue
		}
		in.addAll(c.args)
		if c.agg != nil {
			in.addAll(c.agg.args)
			if c.agg.filter >= 0 {
				in[c.agg.filter] = true
			}
		}
	}
	for id := range need {
		if !own[id] {
			in[id] = true
		}
	}
	in.addAll(r.partition)
	for _, k := range r.keys {
		in[k.col] = true
	}
	n, y := l.lower(r.in, in)
	var calls []OverCall
	out := slices.Clone(y)
	for _, c := range r.calls {
		if !need[c.id] {
			continue
		}
		o := OverCall{Name: c.name, Args: l.positions(c.args, y), Type: vec.Field{Name: c.name, Type: c.typ}, Frame: c.frame,
			Lo: l.simple(c.lo), Hi: l.simple(c.hi), IgnoreNulls: c.ignore}
		if c.agg != nil {
			a := AggCall{Agg: c.agg.agg, Options: fn.AggOptions{Args: c.agg.argTypes, Ret: c.agg.ret}, Args: l.positions(c.agg.args, y), Filter: -1, Name: c.name}
			if c.agg.filter >= 0 {
				a.Filter = l.positions([]int{c.agg.filter}, y)[0]
			}
			o.Agg = &a
		}
		calls = append(calls, o)
		out = append(out, c.id)
	}
	if len(calls) == 0 {
		return n, y
	}
	return l.p.over(n, l.positions(r.partition, y), l.sortKeys(r.keys, y), calls), out
}
