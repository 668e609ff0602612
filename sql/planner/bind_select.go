package planner

import (
	"slices"

	"streamsql/internal/fn"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/sql/parser/ast"
)

type target struct {
	name string
	e    Expr
	src  ast.Expr // nil for columns of a star
	id   int
	pos  int
}

// selectBlock binds one SELECT with the ORDER BY that belongs to it.
func (b *binder) selectBlock(s *ast.Select, order []ast.OrderItem, parent *scope, ctes *cteScope) (*qres, error) {
	rel, sc, err := b.from(s.From, parent, ctes)
	if err != nil {
		return nil, err
	}
	sel := &selectState{windows: map[string]*ast.NamedWindow{}}
	sc.sel = sel
	for i := range s.Windows {
		w := &s.Windows[i]
		if sel.windows[w.Name] != nil {
			return nil, pgerr.New(pgerr.WindowingError, "window \"%s\" is already defined", w.Name).At(w.Pos)
		}
		sel.windows[w.Name] = w
	}
	// In PostgreSQL's order, which decides the error of a query that has several.
	filter := func() error {
		if s.Where == nil {
			return nil
		}
		cond, err := b.boolExpr(&exprCtx{s: sc, clause: "WHERE"}, s.Where)
		if err == nil {
			rel, err = b.where(rel, cond)
		}
		return err
	}
	grouping := slices.ContainsFunc(s.GroupBy, func(g ast.GroupItem) bool { return g.Window != nil })
	if grouping { // the select list refers to the window, which is over the rows that are left
		if err := filter(); err != nil {
			return nil, err
		}
		if rel, err = b.groupWindow(rel, sc, s); err != nil {
			return nil, err
		}
	}
	targets, err := b.targets(s, sc, sel)
	if err != nil {
		return nil, err
	}
	if !grouping {
		if err := filter(); err != nil {
			return nil, err
		}
	}
	var having Expr
	if s.Having != nil {
		if having, err = b.boolExpr(&exprCtx{s: sc, clause: "HAVING", sel: sel, aggs: true}, s.Having); err != nil {
			return nil, err
		}
	}
	sorts, err := b.orderBy(order, sc, sel, targets, s.Distinct)
	if err != nil {
		return nil, err
	}
	sets, groupExprs, err := b.groupBy(s, sc, targets)
	if err != nil {
		return nil, err
	}
	var distinctOn []Expr
	for _, e := range s.DistinctOn {
		x, err := b.targetOrExpr(e, sc, sel, targets, "SELECT DISTINCT ON")
		if err != nil {
			return nil, err
		}
		distinctOn = append(distinctOn, x)
	}
	for i := 0; i < len(sel.later); i++ {
		if err := sel.later[i](); err != nil {
			return nil, err
		}
	}

	if len(sel.aggs) > 0 {
		if err := b.noRecursiveAggregate(s); err != nil {
			return nil, err
		}
	}
	// Everything is bound. Now build: group, HAVING, OVER, sets, projection.
	grouped := len(s.GroupBy) > 0
	if len(sel.aggs) > 0 || grouped || having != nil || len(sel.grouping) > 0 {
		g := &grouper{b: b, sc: sc, sel: sel, exprs: groupExprs, sets: sets, pos: s.Pos}
		if rel, err = g.build(rel); err != nil {
			return nil, err
		}
		for i := range targets {
			if targets[i].e, err = g.replace(targets[i].e, targets[i].pos); err != nil {
				return nil, err
			}
		}
		if having, err = g.replace(having, 0); err != nil {
			return nil, err
		}
		for i := range sorts {
			if sorts[i].e, err = g.replace(sorts[i].e, 0); err != nil {
				return nil, err
			}
		}
		for i := range distinctOn {
			if distinctOn[i], err = g.replace(distinctOn[i], 0); err != nil {
				return nil, err
			}
		}
		if err := g.replaceOvers(); err != nil {
			return nil, err
		}
		if having != nil {
			if rel, err = b.where(rel, having); err != nil {
				return nil, err
			}
		}
	}
	if len(sel.srfs) > 0 && sel.srfs[0].rel != nil && (len(sel.overs) > 0 || len(sel.aggs) > 0 || grouped) {
		return nil, notSupported("a function that returns a set beside aggregates in a continuous query", s.Pos).WithHint("Call it in FROM.")
	}
	if len(sel.overs) > 0 {
		if rel, err = b.overs(rel, sel.overs); err != nil {
			return nil, err
		}
	}
	if len(sel.srfs) > 0 {
		if rel, err = b.projectSets(rel, sel.srfs); err != nil {
			return nil, err
		}
	}
	r := &qres{}
	p := &lProject{}
	add := func(e Expr, name string) (int, error) {
		var err error
		if rel, e, err = b.unnest(rel, e); err != nil {
			return 0, err
		}
		if c, ok := e.(*Column); ok && containsInt(rel.cols(), c.Index) {
			if !slices.ContainsFunc(p.items, func(it projItem) bool { return it.id == c.Index }) {
				p.items = append(p.items, projItem{c.Index, e})
			}
			return c.Index, nil
		}
		if !volatileExpr(e) {
			for _, it := range p.items {
				if sameExpr(it.e, e) {
					return it.id, nil
				}
			}
		}
		id := b.newCol(name, e.Type())
		p.items = append(p.items, projItem{id, e})
		return id, nil
	}
	// A target that ORDER BY or DISTINCT ON names by its number or alias is the target, also where it has subqueries, which are joined once.
	again := func(e Expr, name string) (int, error) {
		for _, t := range targets {
			if t.e == e {
				return t.id, nil
			}
		}
		return add(e, name)
	}
	outs := map[int]bool{}
	for i := range targets {
		if targets[i].id, err = add(targets[i].e, targets[i].name); err != nil {
			return nil, err
		}
		outs[targets[i].id] = true
		r.cols = append(r.cols, outCol{targets[i].name, targets[i].id})
	}
	for _, s := range sorts {
		id, err := again(s.e, "order")
		if err != nil {
			return nil, err
		}
		r.order = append(r.order, lSortKey{id, s.desc, s.nullsFirst})
	}
	var on []int
	for _, e := range distinctOn {
		id, err := again(e, "on")
		if err != nil {
			return nil, err
		}
		on = append(on, id)
	}
	p.in = rel
	r.rel = p
	switch {
	case len(on) > 0:
		r.rel = &lLimit{in: p, partition: on, keys: r.order, limit: &Const{int64(1), types.Int8}, rank: -1, pos: s.Pos}
		for i := range r.order {
			if i < len(on) && !slices.Contains(on, r.order[i].col) {
				return nil, pgerr.New(pgerr.InvalidColumnReference, "SELECT DISTINCT ON expressions must match initial ORDER BY expressions").At(s.DistinctOn[0].Position())
			}
		}
	case s.Distinct:
		if err := b.resolveUnknown(r); err != nil {
			return nil, err
		}
		var keys []int
		for _, c := range r.cols {
			if !slices.Contains(keys, c.id) {
				keys = append(keys, c.id)
			}
			outs[c.id] = true
		}
		for i, k := range r.order {
			if !outs[k.col] {
				return nil, pgerr.New(pgerr.InvalidColumnReference, "for SELECT DISTINCT, ORDER BY expressions must appear in select list").At(order[i].Expr.Position())
			}
		}
		for _, k := range keys {
			if _, err := fn.ResolveOp("=", []types.T{b.cols[k].typ, b.cols[k].typ}); err != nil && b.cols[k].typ.OID != types.OIDRecord {
				return nil, pgerr.New(pgerr.UndefinedFunction, "could not identify an equality operator for type %s", b.cols[k].typ.Bare().Format()).At(s.Pos)
			}
		}
		r.rel = &lAgg{in: r.rel, keys: keys, grouped: true, pos: s.Pos}
	}
	return r, nil
}

// targets binds the select list.
func (b *binder) targets(s *ast.Select, sc *scope, sel *selectState) ([]target, error) {
	var out []target
	for _, it := range s.Items {
		c := &exprCtx{s: sc, clause: "SELECT", sel: sel, aggs: true, overs: true, srfs: true}
		if st, ok := it.Expr.(*ast.Star); ok && b.fnArgs != nil && len(st.Qualifier) > 0 && !b.isTable(sc, st) { // a parameter
			it.Expr = &ast.Field{At: st.At, X: st, Name: "*"}
		}
		if st, ok := it.Expr.(*ast.Star); ok {
			cols, err := b.starColumns(sc, st)
			if err != nil {
				return nil, err
			}
			for _, x := range cols {
				out = append(out, target{name: x.name, e: b.colAt(x.id, st.Pos), pos: st.Pos})
			}
			continue
		}
		if f, ok := it.Expr.(*ast.Field); ok && f.Name == "*" {
			x, err := b.expr(c, f.X)
			if err != nil {
				return nil, err
			}
			rec := x.Type().Record()
			if rec == nil {
				return nil, pgerr.New(pgerr.WrongObjectType, "type %s is not composite", x.Type().Bare().Format()).At(f.Pos)
			}
			for i, n := range rec.Names {
				out = append(out, target{name: n, e: fieldOf(x, i), pos: f.Pos})
			}
			continue
		}
		x, err := b.expr(c, it.Expr)
		if err != nil {
			return nil, err
		}
		name := it.Alias
		if name == "" {
			name = columnName(it.Expr)
		}
		pos := it.Pos
		if pos == 0 {
			pos = it.Expr.Position()
		}
		out = append(out, target{name: name, e: x, src: it.Expr, pos: pos})
	}
	return out, nil
}

func outNames(ts []target) []outCol {
	out := make([]outCol, len(ts))
	for i, t := range ts {
		out[i] = outCol{t.name, -1 - i}
	}
	return out
}

// targetOrExpr resolves an item of ORDER BY or DISTINCT ON: an output column, a position, or an expression over the input.
func (b *binder) targetOrExpr(e ast.Expr, sc *scope, sel *selectState, targets []target, clause string) (Expr, error) {
	i, err := b.outputColumn(outNames(targets), e, clause)
	if err != nil {
		if pgerr.Code(err) == pgerr.AmbiguousColumn { // names of one expression are no ambiguity
			if r, ok := e.(*ast.ColumnRef); ok {
				var first Expr
				same := true
				for _, t := range targets {
					if t.name == r.Parts[0] {
						if first == nil {
							first = t.e
						}
						same = same && sameExpr(first, t.e)
					}
				}
				if same {
					return first, nil
				}
			}
		}
		return nil, err
	}
	if i >= 0 {
		if unknown(targets[i].e) {
			x, err := b.mustCoerce(targets[i].e, types.Text, fn.Implicit, targets[i].pos)
			if err != nil {
				return nil, err
			}
			targets[i].e = x
		}
		return targets[i].e, nil
	}
	return b.expr(&exprCtx{s: sc, clause: clause, sel: sel, aggs: true, overs: true, srfs: true}, e)
}

func (b *binder) orderBy(items []ast.OrderItem, sc *scope, sel *selectState, targets []target, distinct bool) ([]sortExpr, error) {
	var out []sortExpr
	for _, o := range items {
		x, err := b.targetOrExpr(o.Expr, sc, sel, targets, "ORDER BY")
		if err != nil {
			return nil, err
		}
		s, err := b.sortKey(o, x)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

func (b *binder) projectSets(rel lrel, srfs []boundSet) (lrel, error) {
	// A set function may feed another: those go one level further down.
	done := idset{}
	for len(srfs) > 0 {
		ids := idset{}
		for _, s := range srfs {
			ids[s.id] = true
		}
		ps := &lProjectSet{}
		var rest []boundSet
		for _, s := range srfs {
			if s.rel != nil { // alone
				return b.apply(rel, s.rel, InnerJoin, nil)
			}
			if refs(s.args...).intersects(ids) {
				rest = append(rest, s)
				continue
			}
			args := make([]Expr, len(s.args))
			for i, a := range s.args {
				var err error
				if rel, args[i], err = b.unnest(rel, a); err != nil {
					return nil, err
				}
			}
			ps.fns, ps.args, ps.ids = append(ps.fns, s.fnc), append(ps.args, args), append(ps.ids, s.id)
			done[s.id] = true
		}
		if len(ps.fns) == 0 {
			break
		}
		ps.in = rel
		rel = ps
		srfs = rest
	}
	return rel, nil
}

// overs builds the window functions, one operator for each partitioning and order.
func (b *binder) overs(rel lrel, calls []boundOver) (lrel, error) {
	var items []projItem
	id := func(e Expr) (int, error) {
		var err error
		if rel, e, err = b.unnest(rel, e); err != nil {
			return 0, err
		}
		if c, ok := e.(*Column); ok && containsInt(rel.cols(), c.Index) {
			return c.Index, nil
		}
		for _, it := range items {
			if sameExpr(it.e, e) {
				return it.id, nil
			}
		}
		n := b.newCol("over", e.Type())
		items = append(items, projItem{n, e})
		return n, nil
	}
	var overs []*lOver
	for _, c := range calls {
		o := &lOver{}
		for _, e := range c.partition {
			n, err := id(e)
			if err != nil {
				return nil, err
			}
			o.partition = append(o.partition, n)
		}
		for _, s := range c.order {
			n, err := id(s.e)
			if err != nil {
				return nil, err
			}
			o.keys = append(o.keys, lSortKey{n, s.desc, s.nullsFirst})
		}
		l := lOverCall{id: c.id, name: c.name, typ: c.ret, frame: c.frame, lo: c.lo, hi: c.hi, ignore: c.ignore, pos: c.pos}
		if c.agg != nil {
			a := c.agg.call
			for _, e := range c.agg.args {
				n, err := id(e)
				if err != nil {
					return nil, err
				}
				a.args = append(a.args, n)
			}
			if c.agg.filter != nil {
				n, err := id(c.agg.filter)
				if err != nil {
					return nil, err
				}
				a.filter = n
			}
			l.agg = &a
		}
		for _, e := range c.args {
			n, err := id(e)
			if err != nil {
				return nil, err
			}
			l.args = append(l.args, n)
		}
		merged := false
		for _, x := range overs {
			if slices.Equal(x.partition, o.partition) && slices.Equal(x.keys, o.keys) {
				x.calls = append(x.calls, l)
				merged = true
			}
		}
		if !merged {
			o.calls = []lOverCall{l}
			overs = append(overs, o)
		}
	}
	rel = extend(rel, items, b)
	for _, o := range overs {
		o.in = rel
		rel = o
	}
	return rel, nil
}
