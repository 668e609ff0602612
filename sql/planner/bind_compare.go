package planner

import (
	"slices"
	"strings"

	"streamsql/internal/fn"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/sql/parser/ast"
)

// compareRows compares rows field by field; orderings are lexicographic.
func (b *binder) compareRows(op string, l, r []Expr, pos int) (Expr, error) {
	if op == "!=" {
		op = "<>"
	}
	if len(l) != len(r) {
		return nil, pgerr.New(pgerr.SyntaxError, "unequal number of entries in row expressions").At(pos)
	}
	if len(l) == 0 {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "cannot compare rows of zero length").At(pos)
	}
	each := func(op string, i int) (Expr, error) { return b.operator(op, []Expr{l[i], r[i]}, pos) }
	var out []Expr
	switch op {
	case "=", "<>":
		for i := range l {
			x, err := each(op, i)
			if err != nil {
				return nil, err
			}
			out = append(out, x)
		}
		if len(out) == 1 {
			return out[0], nil
		}
		if op == "=" {
			return &And{out}, nil
		}
		return &Or{out}, nil
	case "<", "<=", ">", ">=":
		strict := op[:1]
		last := len(l) - 1
		evaluates := slices.ContainsFunc(slices.Concat(l[1:], r[1:]), func(e Expr) bool {
			switch e.(type) {
			case *Column, *Const, *Param:
				return false
			}
			return true
		})
		e, err := each(op, last)
		for i := last - 1; i >= 0 && err == nil; i-- {
			var lt, eq Expr
			if lt, err = each(strict, i); err != nil {
				break
			}
			if eq, err = each("=", i); err != nil {
				break
			}
			if evaluates { // what follows a field that decides is not evaluated
				e = &Case{[]When{{eq, e}}, lt, types.Bool}
				continue
			}
			e = &Or{[]Expr{lt, &And{[]Expr{eq, e}}}}
		}
		return e, err
	}
	return nil, pgerr.New(pgerr.FeatureNotSupported, "could not determine interpretation of row comparison operator %s", op).
		WithHint("Row comparison operators must be associated with btree operator families.").At(pos)
}

func (b *binder) isTest(c *exprCtx, e *ast.IsTest) (Expr, error) {
	if form, ok := strings.CutSuffix(e.What, "normalized"); ok {
		// A text is normalized if normalize() leaves it as it is.
		args := []ast.Expr{e.X}
		if form = strings.TrimSpace(form); form != "" {
			args = append(args, &ast.Literal{At: e.At, Kind: ast.LitString, Text: form})
		}
		name := ast.Name{Parts: []string{"normalize"}, Pos: e.Pos}
		op := "="
		if e.Not {
			op = "<>"
		}
		return b.expr(c, &ast.Binary{At: e.At, Op: op, Schema: "pg_catalog", L: e.X, R: &ast.FuncCall{At: e.At, Name: name, Args: args, Special: true}})
	}
	x, err := b.expr(c, e.X)
	if err != nil {
		return nil, err
	}
	if e.What == "null" {
		if unknown(x) {
			if x, err = b.mustCoerce(x, types.Text, fn.Implicit, e.X.Position()); err != nil {
				return nil, err
			}
		}
		return &IsNull{x, e.Not}, nil
	}
	x, err = b.toBool(x, "IS "+strings.Repeat("NOT ", btoi(e.Not))+strings.ToUpper(e.What), e.X.Position())
	if err != nil {
		return nil, err
	}
	if e.What == "unknown" {
		return &IsNull{x, e.Not}, nil
	}
	return &IsBool{x, e.What == "true", e.Not}, nil
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (b *binder) isDistinct(c *exprCtx, e *ast.IsDistinct) (Expr, error) {
	l, err := b.expr(c, e.L)
	if err != nil {
		return nil, err
	}
	r, err := b.expr(c, e.R)
	if err != nil {
		return nil, err
	}
	lr, lok := l.(*Row)
	rr, rok := r.(*Row)
	if lok && rok {
		if len(lr.Elems) != len(rr.Elems) {
			return nil, pgerr.New(pgerr.SyntaxError, "unequal number of entries in row expressions").At(e.Pos)
		}
		var parts []Expr
		for i := range lr.Elems {
			x, err := b.distinct(lr.Elems[i], rr.Elems[i], e.Not, e.Pos)
			if err != nil {
				return nil, err
			}
			parts = append(parts, x)
		}
		if e.Not {
			return &And{parts}, nil
		}
		return &Or{parts}, nil
	}
	if lc, ok := l.(*Const); ok && lc.Val == nil && unknown(l) {
		l, r = r, l
	}
	if rc, ok := r.(*Const); ok && rc.Val == nil && unknown(r) {
		return &IsNull{l, !e.Not}, nil
	}
	return b.distinct(l, r, e.Not, e.Pos)
}

func (b *binder) distinct(l, r Expr, not bool, pos int) (Expr, error) {
	eq, err := b.operator("=", []Expr{l, r}, pos)
	if err != nil {
		return nil, err
	}
	args := eq.(*Call).Args
	if args[0].Type().OID != args[1].Type().OID {
		args = append([]Expr(nil), args...)
		if _, err := b.common(args, "IS DISTINCT FROM", nil); err != nil {
			return nil, err
		}
	}
	return &IsDistinct{args[0], args[1], not}, nil
}

func (b *binder) like(c *exprCtx, e *ast.Like) (Expr, error) {
	x, err := b.expr(c, e.X)
	if err != nil {
		return nil, err
	}
	p, err := b.expr(c, e.Pattern)
	if err != nil {
		return nil, err
	}
	op := map[string]string{"like": "~~", "ilike": "~~*", "similar": "~"}[e.Kind]
	if e.Not {
		op = "!" + op
	}
	var esc Expr
	if e.Escape != nil {
		if esc, err = b.expr(c, e.Escape); err != nil {
			return nil, err
		}
	}
	switch {
	case e.Kind == "similar":
		args := []Expr{p}
		if esc != nil {
			args = append(args, esc)
		}
		if p, err = b.function("similar_to_escape", args, e.Pos); err != nil {
			return nil, err
		}
	case esc != nil:
		if p, err = b.function("like_escape", []Expr{p, esc}, e.Pos); err != nil {
			return nil, err
		}
	}
	return b.operator(op, []Expr{x, p}, e.Pos, e.X.Position(), e.Pattern.Position())
}

func (b *binder) between(c *exprCtx, e *ast.Between) (Expr, error) {
	es, err := b.exprs(c, []ast.Expr{e.X, e.Lo, e.Hi})
	if err != nil {
		return nil, err
	}
	within := func(lo, hi Expr) (Expr, error) {
		ge, err := b.operator(">=", []Expr{es[0], lo}, e.Pos)
		if err != nil {
			return nil, err
		}
		le, err := b.operator("<=", []Expr{es[0], hi}, e.Pos)
		if err != nil {
			return nil, err
		}
		return &And{[]Expr{ge, le}}, nil
	}
	x, err := within(es[1], es[2])
	if err != nil {
		return nil, err
	}
	if e.Symmetric {
		y, err := within(es[2], es[1])
		if err != nil {
			return nil, err
		}
		x = &Or{[]Expr{x, y}}
	}
	if e.Not {
		x = &Not{x}
	}
	return x, nil
}

func (b *binder) in(c *exprCtx, e *ast.In) (Expr, error) {
	if e.Query != nil {
		x, err := b.quantified(c, &ast.Quantified{At: e.At, Op: "=", X: e.X, Query: e.Query})
		if err != nil {
			return nil, err
		}
		if e.Not {
			x = &Not{x}
		}
		return x, nil
	}
	x, err := b.expr(c, e.X)
	if err != nil {
		return nil, err
	}
	list, err := b.exprs(c, e.List)
	if err != nil {
		return nil, err
	}
	if _, isRow := x.(*Row); !isRow {
		all := append([]Expr{x}, list...)
		if t, err := fn.SelectCommonType(exprTypes(all)); err == nil {
			if _, err := fn.ResolveOp("=", []types.T{t, t}); err == nil {
				for i, y := range all {
					p := e.X.Position()
					if i > 0 {
						p = e.List[i-1].Position()
					}
					if all[i], err = b.mustCoerce(y, t.Bare(), fn.Implicit, p); err != nil {
						return nil, err
					}
				}
				return &In{all[0], all[1:], e.Not, e.Pos}, nil
			}
		}
	}
	var ors []Expr
	for i, y := range list {
		var eq Expr
		xr, ok1 := x.(*Row)
		yr, ok2 := y.(*Row)
		if ok1 && ok2 {
			eq, err = b.compareRows("=", xr.Elems, yr.Elems, e.Pos)
		} else {
			eq, err = b.operator("=", []Expr{x, y}, e.Pos, e.X.Position(), e.List[i].Position())
		}
		if err != nil {
			return nil, err
		}
		ors = append(ors, eq)
	}
	var out Expr = &Or{ors}
	if len(ors) == 1 {
		out = ors[0]
	}
	if e.Not {
		out = &Not{out}
	}
	return out, nil
}

func (b *binder) quantified(c *exprCtx, e *ast.Quantified) (Expr, error) {
	if err := checkOpSchema(e.Schema, e.Op, e.Pos); err != nil {
		return nil, err
	}
	op := e.Op
	if op == "!=" {
		op = "<>"
	}
	x, err := b.expr(c, e.X)
	if err != nil {
		return nil, err
	}
	if e.Query == nil {
		return b.anyArray(c, e, op, x)
	}
	if c.noSubqueries {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "cannot use subquery in %s", c.clause).At(e.Pos)
	}
	back := b.inRecursion(true, "a subquery")
	q, err := b.within(c, e.Query)
	back()
	if err != nil {
		return nil, err
	}
	if err := b.resolveUnknown(q); err != nil {
		return nil, err
	}
	tests := []Expr{x}
	if r, ok := x.(*Row); ok {
		tests = r.Elems
	}
	if len(tests) != len(q.cols) {
		what := "few"
		if len(q.cols) > len(tests) {
			what = "many"
		}
		return nil, pgerr.New(pgerr.SyntaxError, "subquery has too %s columns", what).At(e.Pos)
	}
	var outs []int
	cols := make([]Expr, len(q.cols))
	for i, oc := range q.cols {
		outs = append(outs, oc.id)
		cols[i] = b.col(oc.id)
	}
	cond, err := b.compareRows(op, tests, cols, e.Pos)
	if len(tests) == 1 {
		cond, err = b.operator(op, []Expr{x, cols[0]}, e.Pos, e.X.Position())
	}
	if err != nil {
		return nil, err
	}
	kind := subAny
	if e.All {
		kind = subAll
	}
	return &subquery{kind: kind, rel: q.rel, outs: outs, test: []Expr{cond}, typ: types.Bool, pos: e.Pos, mentioned: q.mentioned}, nil
}

func (b *binder) anyArray(c *exprCtx, e *ast.Quantified, op string, x Expr) (Expr, error) {
	a, err := b.expr(c, e.Array)
	if err != nil {
		return nil, err
	}
	pos := e.Array.Position()
	if unknown(a) {
		t := x.Type()
		if unknown(x) {
			t = types.Text
		}
		at, ok := t.Bare().ArrayOf()
		if !ok {
			return nil, pgerr.New(pgerr.UndefinedObject, "could not find array type for data type %s", t.Format()).At(pos)
		}
		if a, err = b.mustCoerce(a, at, fn.Implicit, pos); err != nil {
			return nil, err
		}
	}
	el, ok := a.Type().Elem()
	if !ok {
		return nil, pgerr.New(pgerr.WrongObjectType, "op ANY/ALL (array) requires array on right side").At(e.Pos)
	}
	r, err := fn.ResolveOp(op, []types.T{x.Type(), el})
	if err != nil {
		return nil, pgerr.AtPos(err, e.Pos)
	}
	if r.Ret.OID != types.OIDBool {
		return nil, pgerr.New(pgerr.WrongObjectType, "op ANY/ALL (array) requires operator to yield boolean").At(e.Pos)
	}
	if x, err = b.mustCoerce(x, r.Args[0], fn.Implicit, e.X.Position()); err != nil {
		return nil, err
	}
	if r.Args[1].OID != el.OID {
		at, ok := r.Args[1].Bare().ArrayOf()
		if !ok {
			return nil, notSupported("ANY over this array type", pos)
		}
		if a, err = b.mustCoerce(a, at, fn.Implicit, pos); err != nil {
			return nil, err
		}
	}
	return &AnyArray{X: x, Array: a, Op: r.Func, All: e.All, Pos: e.Pos}, nil
}

// within binds the query of a subquery expression.
func (b *binder) within(c *exprCtx, q *ast.Query) (*qres, error) {
	around := c.s.at
	c.s.at = c
	defer func() { c.s.at = around }()
	before := len(b.mentioned)
	r, err := b.query(q, c.s)
	if err == nil {
		r.mentioned = slices.Clip(b.mentioned[before:])
	}
	return r, err
}

func (b *binder) subqueryExpr(c *exprCtx, e ast.Expr) (Expr, error) {
	pos := e.Position()
	if c.noSubqueries {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "cannot use subquery in %s", c.clause).At(pos)
	}
	var aq *ast.Query
	switch e := e.(type) {
	case *ast.Exists:
		aq = e.Query
	case *ast.ScalarQuery:
		aq = e.Query
	case *ast.ArrayQuery:
		aq = e.Query
	}
	back := b.inRecursion(true, "a subquery")
	q, err := b.within(c, aq)
	back()
	if err != nil {
		return nil, err
	}
	if err := b.resolveUnknown(q); err != nil {
		return nil, err
	}
	s := &subquery{rel: q.rel, pos: pos, typ: types.Bool, mentioned: q.mentioned}
	for _, oc := range q.cols {
		s.outs = append(s.outs, oc.id)
	}
	if _, ok := e.(*ast.Exists); ok {
		s.kind = subExists
		return s, nil
	}
	if len(q.cols) != 1 {
		return nil, pgerr.New(pgerr.SyntaxError, "subquery must return only one column").At(pos)
	}
	t := b.cols[s.outs[0]].typ
	s.kind, s.typ = subScalar, t
	if _, ok := e.(*ast.ArrayQuery); ok {
		s.kind = subArray
		s.order = q.order
		at, ok := t.ArrayOf()
		if !ok {
			return nil, pgerr.New(pgerr.UndefinedObject, "could not find array type for data type %s", t.Format()).At(pos)
		}
		s.typ = at.Bare()
	}
	return s, nil
}
