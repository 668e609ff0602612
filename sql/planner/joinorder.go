package planner

import "slices"

// orderJoins reorders a chain of inner joins whose order in FROM would multiply relations that no condition connects:
// after the first comes always the next one in FROM that an equality ties to those before. A chain that is tied
// throughout keeps its order, as the user's is as good as any without statistics. conds are conditions above the chain.
func (b *binder) orderJoins(r *lJoin, conds []Expr) *lJoin {
	if r.typ != InnerJoin || r.single {
		return r
	}
	var items []lrel
	var on []Expr
	var flatten func(x lrel)
	flatten = func(x lrel) {
		if j, ok := x.(*lJoin); ok && j.typ == InnerJoin && !j.single {
			flatten(j.l)
			flatten(j.r)
			on = append(on, j.on...)
			return
		}
		items = append(items, x)
	}
	flatten(r)
	if len(items) < 3 {
		return r
	}
	if slices.ContainsFunc(on, volatileExpr) {
		return r // its place among the joins decides how often it is evaluated
	}
	var ties []*Call
	for _, c := range slices.Concat(on, conds) {
		for _, c := range conjuncts(c, nil) {
			if call, ok := c.(*Call); ok && call.Fn.IsOp && call.Fn.Name == "=" && len(call.Args) == 2 && !volatileExpr(c) {
				ties = append(ties, call)
			}
		}
	}
	sets := make([]idset, len(items))
	for i, it := range items {
		sets[i] = setOf(it.cols()...)
	}
	within := func(e Expr, s idset) bool {
		rs := refs(e)
		return len(rs) > 0 && rs.subsetOf(s)
	}
	done := setOf(items[0].cols()...)
	tied := func(i int) bool {
		for _, c := range ties {
			l, r := c.Args[0], c.Args[1]
			if within(l, done) && within(r, sets[i]) || within(r, done) && within(l, sets[i]) {
				return true
			}
		}
		return false
	}
	rest := make([]int, 0, len(items)-1)
	for i := 1; i < len(items); i++ {
		rest = append(rest, i)
	}
	moved := false
	var out lrel = items[0]
	for len(rest) > 0 {
		next := 0
		for k, i := range rest {
			if tied(i) {
				next = k
				break
			}
		}
		moved = moved || next > 0
		i := rest[next]
		rest = append(rest[:next], rest[next+1:]...)
		for id := range sets[i] {
			done[id] = true
		}
		out = &lJoin{typ: InnerJoin, l: out, r: items[i]}
	}
	if !moved {
		return r
	}
	j := out.(*lJoin)
	j.on = on
	return j
}
