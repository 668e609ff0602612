package planner

import (
	"slices"

	"streamsql/internal/fn"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/sql/parser/ast"
)

// isHypothetical reports whether f(..) WITHIN GROUP (ORDER BY ..) tells where a row with the values .. would stand among those of the group.
func isHypothetical(name string) bool {
	return name == "rank" || name == "dense_rank" || name == "percent_rank" || name == "cume_dist"
}

// hypothetical binds a hypothetical-set aggregate. It counts the rows that come before the hypothetical one, so that it needs no order and follows
// rows that come and go as any count does.
func (b *binder) hypothetical(c *exprCtx, e *ast.FuncCall) (Expr, error) {
	name := e.Name.Base()
	in := *c
	in.inAgg, in.aggs = true, true
	before := len(b.mentioned)
	given, err := b.exprs(&in, e.Args)
	if err != nil {
		return nil, err
	}
	order := make([]Expr, len(e.WithinGroup))
	for i, o := range e.WithinGroup {
		if order[i], err = b.expr(&in, o.Expr); err != nil {
			return nil, err
		}
	}
	var filter Expr
	if e.Filter != nil {
		f := in
		f.clause = "FILTER"
		if filter, err = b.boolExpr(&f, e.Filter); err != nil {
			return nil, err
		}
	}
	if len(given) != len(order) {
		err := fn.FuncError(fn.NoMatch, name, exprTypes(slices.Concat(given, order))).(*pgerr.Error)
		return nil, err.WithHint("To use the hypothetical-set aggregate %s, the number of hypothetical direct arguments (here %d) must match the number of ordering columns (here %d).",
			name, len(given), len(order)).At(e.Pos)
	}
	var first Expr // the row of the group comes before the hypothetical one
	for i := len(order) - 1; i >= 0; i-- {
		pair := []Expr{order[i], given[i]}
		if unknown(pair[0]) && unknown(pair[1]) {
			for j := range pair {
				if pair[j], err = b.mustCoerce(pair[j], types.Text, fn.Implicit, e.Args[i].Position()); err != nil {
					return nil, err
				}
			}
		}
		if _, err := b.common(pair, "WITHIN GROUP", []int{e.WithinGroup[i].Expr.Position(), e.Args[i].Position()}); err != nil {
			return nil, err
		}
		order[i], given[i] = pair[0], pair[1]
		key, err := b.sortKey(e.WithinGroup[i], order[i])
		if err != nil {
			return nil, err
		}
		if first == nil && name == "cume_dist" { // peers stand before it
			first = &Const{true, types.Bool}
		}
		if first, err = b.comesBefore(key, given[i], first, e.Pos); err != nil {
			return nil, err
		}
	}
	count := func(filter Expr, distinct []Expr) (Expr, error) {
		r, err := fn.ResolveAgg("count", exprTypes(distinct))
		if err != nil {
			return nil, err
		}
		a := &boundAgg{pos: e.Pos, args: distinct, filter: filter, given: given}
		a.call = lAggCall{agg: r.Agg, argTypes: r.Args, ret: r.Ret, name: "count", filter: -1, distinct: len(distinct) > 0}
		return b.placeAggregate(c, a, before, "count", e.Pos)
	}
	both := first
	if filter != nil {
		both = &And{[]Expr{filter, first}}
	}
	var distinct []Expr
	if name == "dense_rank" { // of a row, since NULL counts
		row := &Row{Elems: order, Typ: types.T{OID: types.OIDRecord, Mod: -1, Rec: &types.Record{}}}
		for _, o := range order {
			row.Typ.Rec.Names, row.Typ.Rec.Types = append(row.Typ.Rec.Names, ""), append(row.Typ.Rec.Types, o.Type())
		}
		distinct = []Expr{row}
	}
	n, err := count(both, distinct)
	if err != nil {
		return nil, err
	}
	op := func(sym string, l, r Expr) Expr {
		if err == nil {
			l, err = b.operator(sym, []Expr{l, r}, e.Pos)
		}
		return l
	}
	one := &Const{int64(1), types.Int8}
	if name == "rank" || name == "dense_rank" {
		return op("+", n, one), err
	}
	all, err := count(filter, nil)
	if err != nil {
		return nil, err
	}
	float := func(x Expr) Expr {
		if err == nil {
			x, err = b.mustCoerce(x, types.Float8, fn.Explicit, e.Pos)
		}
		return x
	}
	if name == "cume_dist" {
		return op("/", float(op("+", n, one)), float(op("+", all, one))), err
	}
	share := op("/", float(n), float(all))
	none := op("=", all, &Const{int64(0), types.Int8})
	return &Case{[]When{{none, &Const{float64(0), types.Float8}}}, share, types.Float8}, err
}

// comesBefore is the condition that a row comes before one with the value x in the order by key, or, where the two are equal in it, that rest holds (nil: no).
func (b *binder) comesBefore(key sortExpr, x, rest Expr, pos int) (Expr, error) {
	sym := "<"
	if key.desc {
		sym = ">"
	}
	less, err := b.operator(sym, []Expr{key.e, x}, pos)
	if err != nil {
		return nil, err
	}
	null := &And{[]Expr{&IsNull{key.e, true}, &IsNull{x, false}}}
	if key.nullsFirst {
		null = &And{[]Expr{&IsNull{key.e, false}, &IsNull{x, true}}}
	}
	before := []Expr{less, null}
	if rest != nil {
		same, err := b.distinct(key.e, x, true, pos)
		if err != nil {
			return nil, err
		}
		before = append(before, &And{[]Expr{same, rest}})
	}
	return &Or{before}, nil
}
