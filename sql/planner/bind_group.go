package planner

import (
	"slices"

	"streamsql/internal/fn"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/sql/parser/ast"
)

// groupWindow puts the window function of GROUP BY over rel and its columns into scope.
func (b *binder) groupWindow(rel lrel, sc *scope, s *ast.Select) (lrel, error) {
	for _, g := range s.GroupBy {
		if g.Window == nil {
			continue
		}
		if hasTVF(s.From) {
			return nil, pgerr.New(pgerr.FeatureNotSupported, "a window table function and a group window cannot be used in one query block").
				WithHint("GROUP BY window_start, window_end of the table function instead.").At(g.Pos)
		}
		if sc.sel.groupWin != nil {
			return nil, pgerr.New(pgerr.FeatureNotSupported, "only one group window is allowed in GROUP BY").
				WithHint("Aggregate by one window in a subquery and join what two windows give.").At(g.Pos)
		}
		w, _, err := b.newWindow(rel, sc, &g.Window.WindowArgs)
		if err != nil {
			return nil, err
		}
		sc.sel.groupWin, sc.sel.kind = w, g.Window.Kind
		b.groupWins[w.start] = true
		rel = w
	}
	return rel, nil
}

// maxGroupingSets bounds CUBE and its products, as PostgreSQL does.
const maxGroupingSets = 4096

// groupBy binds GROUP BY. sets lists the grouping sets as indexes into exprs; without GROUPING SETS there is one.
func (b *binder) groupBy(s *ast.Select, sc *scope, targets []target) (sets [][]int, exprs []Expr, err error) {
	sets = [][]int{nil}
	add := func(e ast.Expr) (int, error) {
		x, err := b.groupExpr(e, sc, targets)
		if err != nil {
			return 0, err
		}
		for i, y := range exprs {
			if sameExpr(x, y) {
				return i, nil
			}
		}
		exprs = append(exprs, x)
		return len(exprs) - 1, nil
	}
	product := func(with [][]int) error {
		var out [][]int
		for _, a := range sets {
			for _, c := range with {
				m := slices.Clone(a)
				for _, i := range c {
					if !slices.Contains(m, i) {
						m = append(m, i)
					}
				}
				out = append(out, m)
			}
		}
		sets = out
		if len(sets) > maxGroupingSets {
			return pgerr.New(pgerr.StatementTooComplex, "too many grouping sets present (maximum %d)", maxGroupingSets)
		}
		return nil
	}
	var expand func(g ast.GroupItem) ([][]int, error)
	list := func(gs []ast.GroupItem) ([][]int, error) {
		var out [][]int // each element is one unit of ROLLUP or CUBE
		for _, g := range gs {
			x, err := expand(g)
			if err != nil {
				return nil, err
			}
			out = append(out, x...)
		}
		return out, nil
	}
	exprList := func(es []ast.Expr) ([]int, error) {
		var out []int
		for _, e := range es {
			i, err := add(e)
			if err != nil {
				return nil, err
			}
			out = append(out, i)
		}
		return out, nil
	}
	expand = func(g ast.GroupItem) ([][]int, error) {
		switch {
		case g.Expr != nil:
			es := []ast.Expr{g.Expr}
			if r, ok := g.Expr.(*ast.RowExpr); ok && !r.Explicit {
				es = r.Elems
			}
			one, err := exprList(es)
			return [][]int{one}, err
		case g.Sets != nil:
			switch g.Sets.Kind {
			case "set":
				one, err := exprList(g.Sets.Exprs)
				return [][]int{one}, err
			case "sets":
				return list(g.Sets.Sets)
			}
			units, err := list(g.Sets.Sets)
			if err != nil {
				return nil, err
			}
			for _, e := range g.Sets.Exprs {
				i, err := add(e)
				if err != nil {
					return nil, err
				}
				units = append(units, []int{i})
			}
			var out [][]int
			if g.Sets.Kind == "rollup" {
				for n := len(units); n >= 0; n-- {
					out = append(out, slices.Concat(units[:n]...))
				}
				return out, nil
			}
			if len(units) > 12 {
				return nil, pgerr.New(pgerr.StatementTooComplex, "CUBE is limited to 12 elements").At(g.Pos)
			}
			for m := 1<<len(units) - 1; m >= 0; m-- {
				var one []int
				for i, u := range units {
					if m>>(len(units)-1-i)&1 == 1 {
						one = append(one, u...)
					}
				}
				out = append(out, one)
			}
			return out, nil
		}
		return [][]int{nil}, nil
	}
	for _, g := range s.GroupBy {
		if g.Window != nil {
			continue
		}
		x, err := expand(g)
		if err != nil {
			return nil, nil, err
		}
		if err := product(x); err != nil {
			return nil, nil, err
		}
	}
	if s.GroupDistinct {
		var out [][]int
		for _, a := range sets {
			k := slices.Sorted(slices.Values(a))
			if !slices.ContainsFunc(out, func(o []int) bool { return slices.Equal(slices.Sorted(slices.Values(o)), k) }) {
				out = append(out, a)
			}
		}
		sets = out
	}
	return sets, exprs, nil
}

// groupExpr binds one GROUP BY expression: a bare name is an input column first, then an output name.
func (b *binder) groupExpr(e ast.Expr, sc *scope, targets []target) (Expr, error) {
	useTarget := func(i int) (Expr, error) {
		t := targets[i]
		used := refs(t.e)
		for _, a := range sc.sel.aggs {
			if used[a.call.id] {
				return nil, pgerr.New(pgerr.GroupingError, "aggregate functions are not allowed in GROUP BY").At(a.pos)
			}
		}
		for _, w := range sc.sel.overs {
			if used[w.id] {
				return nil, pgerr.New(pgerr.WindowingError, "window functions are not allowed in GROUP BY").At(w.pos)
			}
		}
		if unknown(t.e) {
			x, err := b.mustCoerce(t.e, types.Text, fn.Implicit, t.pos)
			if err != nil {
				return nil, err
			}
			targets[i].e = x
		}
		return targets[i].e, nil
	}
	if l, ok := e.(*ast.Literal); ok && l.Kind != ast.LitNull {
		i, err := b.outputColumn(outNames(targets), l, "GROUP BY")
		if err != nil {
			return nil, err
		}
		return useTarget(i)
	}
	if r, ok := e.(*ast.ColumnRef); ok && len(r.Parts) == 1 {
		if _, n := sc.lookup(r.Parts[0]); n == 0 && sc.windowColumn(b, r.Parts[0], 0) == nil {
			i, err := b.outputColumn(outNames(targets), e, "GROUP BY")
			if err != nil {
				return nil, err
			}
			if i >= 0 {
				return useTarget(i)
			}
		}
	}
	x, err := b.expr(&exprCtx{s: sc, clause: "GROUP BY"}, e)
	if err != nil {
		return nil, err
	}
	if unknown(x) {
		return b.mustCoerce(x, types.Text, fn.Implicit, e.Position())
	}
	if x.Type().OID != types.OIDRecord {
		if _, err := fn.ResolveOp("=", []types.T{x.Type(), x.Type()}); err != nil {
			return nil, pgerr.New(pgerr.UndefinedFunction, "could not identify an equality operator for type %s", x.Type().Bare().Format()).At(e.Position())
		}
	}
	return x, nil
}

// grouper builds the Aggregate of a block and rewrites what stands above it.
type grouper struct {
	b     *binder
	sc    *scope
	sel   *selectState
	exprs []Expr
	sets  [][]int
	pos   int

	byKey map[string]int // expression -> key id
	keys  idset
	block idset // columns of FROM
	final map[int]int
}

func (g *grouper) build(rel lrel) (lrel, error) {
	b := g.b
	g.byKey, g.keys, g.block = map[string]int{}, idset{}, b.scopeCols(g.sc)
	var items []projItem
	id := func(e Expr) (int, error) {
		var err error
		if rel, e, err = b.unnest(rel, e); err != nil {
			return 0, err
		}
		if c, ok := e.(*Column); ok {
			if g.block[c.Index] || containsInt(rel.cols(), c.Index) {
				return c.Index, nil
			}
		}
		for _, it := range items {
			if sameExpr(it.e, e) && !volatileExpr(e) {
				return it.id, nil
			}
		}
		name := "arg"
		if c, ok := e.(*Column); ok {
			name = c.Name
		}
		n := b.newCol(name, e.Type())
		items = append(items, projItem{n, e})
		return n, nil
	}
	keyIDs := make([]int, len(g.exprs))
	for i, e := range g.exprs {
		n, err := id(e)
		if err != nil {
			return nil, err
		}
		keyIDs[i] = n
		if _, ok := e.(*Column); !ok {
			b.cols[n].name = "key"
			if c, ok := e.(*Call); ok && !c.Fn.IsOp {
				b.cols[n].name = c.Fn.Name
			}
		}
		g.byKey[exprKey(e)] = n
		g.keys[n] = true
	}
	var window []int
	if w := g.sel.groupWin; w != nil {
		window = []int{w.start, w.end, w.tim}
		for _, n := range window {
			g.keys[n] = true
			g.block[n] = true
		}
	}
	aggs := make([]lAggCall, len(g.sel.aggs))
	for i, a := range g.sel.aggs {
		aggs[i] = a.call
		for _, e := range a.args {
			n, err := id(e)
			if err != nil {
				return nil, err
			}
			aggs[i].args = append(aggs[i].args, n)
		}
		if a.filter != nil {
			n, err := id(a.filter)
			if err != nil {
				return nil, err
			}
			aggs[i].filter = n
		}
		for _, o := range a.order {
			n, err := id(o.e)
			if err != nil {
				return nil, err
			}
			aggs[i].order = append(aggs[i].order, lSortKey{n, o.desc, o.nullsFirst})
		}
	}
	// Columns of a table whose primary key is grouped depend on it.
	var dependent []int
	for _, t := range g.sc.tables {
		if t.rel == nil || len(t.rel.PrimaryKey) == 0 || len(t.cols) != len(t.rel.Columns) {
			continue
		}
		whole := true
		for _, i := range t.rel.PrimaryKey {
			whole = whole && g.keys[t.cols[i].id]
		}
		if whole && len(g.sets) == 1 {
			for _, c := range t.cols {
				if !g.keys[c.id] {
					dependent = append(dependent, c.id)
				}
			}
		}
	}
	for _, a := range g.sel.aggs {
		for _, x := range slices.Concat(a.args[:a.direct], a.given) {
			if refs(x).subsetOf(setOf(dependent...)) {
				continue
			}
			if _, err := g.replace(x, a.pos); err != nil {
				return nil, pgerr.From(err).WithDetail("Direct arguments of an ordered-set aggregate must use only grouped columns.")
			}
		}
	}
	rel = extend(rel, items, b)
	if len(g.sets) == 1 {
		var keys []int
		for _, i := range g.sets[0] {
			if !slices.Contains(keys, keyIDs[i]) {
				keys = append(keys, keyIDs[i])
			}
		}
		used := g.usedAbove()
		for _, d := range dependent {
			g.keys[d] = true
			if used[d] {
				keys = append(keys, d)
			}
		}
		keys = append(keys, window...)
		var out lrel = &lAgg{in: rel, keys: keys, aggs: aggs, grouped: len(keys) > 0, pos: g.pos}
		var zero []projItem
		for _, r := range g.sel.grouping { // with one set nothing is left out
			if err := g.checkGrouping(r); err != nil {
				return nil, err
			}
			zero = append(zero, projItem{r.id, &Const{int32(0), types.Int4}})
		}
		return extend(out, zero, b), nil
	}
	return g.groupingSets(rel, keyIDs, window, aggs)
}

// usedAbove gives the columns that the expressions above the grouping refer to.
func (g *grouper) usedAbove() idset {
	// All columns of the block may be: the targets are not at hand here, and pruning drops what is not needed
	// of other operators, but a key cannot be pruned. So only those bound under the block's scope are looked at.
	out := idset{}
	for i, c := range g.b.cols {
		if g.block[i] && c.origin.Rel != 0 && g.b.used[i] {
			out[i] = true
		}
	}
	return out
}

func (g *grouper) checkGrouping(r groupingRef) error {
	for i, a := range r.args {
		if _, ok := g.byKey[exprKey(a)]; !ok {
			return pgerr.New(pgerr.GroupingError, "arguments to GROUPING must be grouping expressions of the associated query level").At(r.pos[i])
		}
	}
	return nil
}

// groupingSets makes a union of one Aggregate for each set.
func (g *grouper) groupingSets(rel lrel, keyIDs, window []int, aggs []lAggCall) (lrel, error) {
	b := g.b
	u := &lUnion{}
	final := map[int]int{} // key or aggregate id -> id of the union
	outIDs := append(append([]int(nil), keyIDs...), window...)
	for _, a := range aggs {
		outIDs = append(outIDs, a.id)
	}
	outIDs = slices.Compact(slices.Sorted(slices.Values(outIDs)))
	for _, id := range outIDs {
		final[id] = b.newCol(b.cols[id].name, b.cols[id].typ)
		u.ids = append(u.ids, final[id])
	}
	for _, r := range g.sel.grouping {
		if err := g.checkGrouping(r); err != nil {
			return nil, err
		}
		u.ids = append(u.ids, r.id)
	}
	for _, set := range g.sets {
		in := idset{}
		var keys []int
		for _, i := range set {
			if !in[keyIDs[i]] {
				in[keyIDs[i]] = true
				keys = append(keys, keyIDs[i])
			}
		}
		keys = append(keys, window...)
		in.addAll(window)
		own := make([]lAggCall, len(aggs))
		for i, a := range aggs {
			own[i] = a
			in[a.id] = true
		}
		p := &lProject{in: &lAgg{in: rel, keys: keys, aggs: own, grouped: len(keys) > 0, pos: g.pos}}
		var from []int
		for _, id := range outIDs {
			n := b.newCol(b.cols[id].name, b.cols[id].typ)
			var e Expr = &Const{nil, b.cols[id].typ}
			if in[id] {
				e = b.col(id)
			}
			p.items = append(p.items, projItem{n, e})
			from = append(from, n)
		}
		for _, r := range g.sel.grouping {
			var bits int32
			for _, a := range r.args {
				bits <<= 1
				if !in[g.byKey[exprKey(a)]] {
					bits |= 1
				}
			}
			n := b.newCol("grouping", types.Int4)
			p.items = append(p.items, projItem{n, &Const{bits, types.Int4}})
			from = append(from, n)
		}
		u.in = append(u.in, p)
		u.from = append(u.from, from)
	}
	g.final = final
	return u, nil
}

// replace makes an expression over the groups of one over the input (42803 where that is impossible).
func (g *grouper) replace(e Expr, pos int) (Expr, error) {
	if e == nil {
		return nil, nil
	}
	var failed error
	out := func(id int, c *Column) Expr {
		if f, ok := g.final[id]; ok {
			id = f
		}
		p := 0
		if c != nil {
			p = c.Pos
		}
		return g.b.colAt(id, p)
	}
	x := replaceExpr(e, func(x Expr) Expr {
		if id, ok := g.byKey[exprKey(x)]; ok {
			c, _ := x.(*Column)
			return out(id, c)
		}
		switch x := x.(type) {
		case *Column:
			if g.keys[x.Index] || !g.block[x.Index] {
				return out(x.Index, x)
			}
			if failed == nil {
				failed = g.ungrouped(x, false, pos)
			}
			return x
		case *subquery:
			m := map[int]Expr{}
			for _, id := range x.mentioned {
				if g.block[id] && !g.keys[id] && failed == nil {
					failed = g.ungrouped(g.b.col(id), true, x.pos)
				}
			}
			for id := range refs(x) {
				if g.block[id] && !g.keys[id] {
					if failed == nil {
						failed = g.ungrouped(g.b.col(id), true, x.pos)
					}
				} else if f, ok := g.final[id]; ok {
					m[id] = g.b.col(f)
				}
			}
			if len(m) == 0 {
				return x
			}
			c := *x
			c.rel = substituteRel(x.rel, m)
			c.test = nil
			for _, t := range x.test {
				c.test = append(c.test, substitute(t, m))
			}
			return &c
		}
		return nil
	})
	return x, failed
}

func (g *grouper) ungrouped(c *Column, sub bool, pos int) error {
	info := g.b.cols[c.Index]
	name := info.name
	for _, t := range g.sc.tables {
		for _, x := range t.cols {
			if x.id == c.Index {
				name = x.name
				if t.alias != "" {
					name = t.alias + "." + x.name
				}
			}
		}
	}
	if c.Pos > 0 {
		pos = c.Pos
	}
	if sub {
		return pgerr.New(pgerr.GroupingError, "subquery uses ungrouped column \"%s\" from outer query", name).At(pos)
	}
	return pgerr.New(pgerr.GroupingError, "column \"%s\" must appear in the GROUP BY clause or be used in an aggregate function", name).At(pos)
}

// replaceOvers rewrites the arguments of window functions and sets, which see the groups.
func (g *grouper) replaceOvers() error {
	list := func(es []Expr) error {
		for i := range es {
			x, err := g.replace(es[i], 0)
			if err != nil {
				return err
			}
			es[i] = x
		}
		return nil
	}
	for i := range g.sel.overs {
		w := &g.sel.overs[i]
		if err := list(w.partition); err != nil {
			return err
		}
		if err := list(w.args); err != nil {
			return err
		}
		for j := range w.order {
			x, err := g.replace(w.order[j].e, 0)
			if err != nil {
				return err
			}
			w.order[j].e = x
		}
		if w.agg != nil {
			if err := list(w.agg.args); err != nil {
				return err
			}
			x, err := g.replace(w.agg.filter, 0)
			if err != nil {
				return err
			}
			w.agg.filter = x
		}
	}
	for i := range g.sel.srfs {
		if err := list(g.sel.srfs[i].args); err != nil {
			return err
		}
	}
	return nil
}
