package planner

import (
	"strings"

	"streamsql/internal/fn"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/sql/parser/ast"
)

// windowFuncs are the functions that only work with OVER: name -> minimal and maximal number of arguments.
var windowFuncs = map[string][2]int{
	"row_number": {0, 0}, "rank": {0, 0}, "dense_rank": {0, 0}, "percent_rank": {0, 0}, "cume_dist": {0, 0},
	"ntile": {1, 1}, "lag": {1, 3}, "lead": {1, 3}, "first_value": {1, 1}, "last_value": {1, 1}, "nth_value": {2, 2},
}

func isOverOnly(name string) bool { _, ok := windowFuncs[name]; return ok }

func (b *binder) overCall(c *exprCtx, e *ast.FuncCall) (Expr, error) {
	name := e.Name.Base()
	if c.inAgg {
		return nil, pgerr.New(pgerr.GroupingError, "aggregate function calls cannot contain window function calls").At(e.Pos)
	}
	if c.inOver {
		return nil, pgerr.New(pgerr.WindowingError, "window function calls cannot be nested").At(e.Pos)
	}
	if !c.overs || c.sel == nil {
		clause := c.clause
		if clause == "JOIN/ON" {
			clause = "JOIN conditions"
		}
		return nil, pgerr.New(pgerr.WindowingError, "window functions are not allowed in %s", clause).At(e.Pos)
	}
	in := *c
	in.inOver = true
	w := boundOver{name: name, pos: e.Pos, ignore: e.IgnoreNulls}
	spec, err := b.windowSpec(c, e.Over)
	if err != nil {
		return nil, err
	}
	if e.Distinct {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "DISTINCT is not implemented for window functions").At(e.Pos)
	}
	if e.IgnoreNulls && !takesIgnoreNulls[name] {
		return nil, pgerr.New(pgerr.SyntaxError, "IGNORE NULLS is not allowed for function %s", name).
			WithHint("It is for lag, lead, first_value, last_value and nth_value.").At(e.Pos)
	}
	if n, ok := windowFuncs[name]; ok {
		if e.Filter != nil {
			return nil, pgerr.New(pgerr.FeatureNotSupported, "FILTER is not implemented for non-aggregate window functions").At(e.Pos)
		}
		if w.args, err = b.exprs(&in, e.Args); err != nil {
			return nil, err
		}
		if len(w.args) > n[1] && isHypothetical(name) {
			return nil, errWithinGroup(name, e.Pos)
		}
		if len(w.args) < n[0] || len(w.args) > n[1] {
			return nil, fn.FuncError(fn.NoMatch, name, exprTypes(w.args)).(*pgerr.Error).At(e.Pos)
		}
		switch name {
		case "row_number", "rank", "dense_rank":
			w.ret = types.Int8
		case "percent_rank", "cume_dist":
			w.ret = types.Float8
		case "ntile":
			w.ret = types.Int4
			w.args[0], err = b.mustCoerce(w.args[0], types.Int4, fn.Implicit, e.Args[0].Position())
		default:
			if unknown(w.args[0]) && len(w.args) < 3 {
				if _, param := w.args[0].(*Param); !param {
					return nil, fn.FuncError(fn.NoPolyType, name, nil).(*pgerr.Error).At(e.Pos)
				}
				if w.args[0], err = b.mustCoerce(w.args[0], types.Text, fn.Implicit, e.Args[0].Position()); err != nil {
					return nil, err
				}
			}
			if len(w.args) > 1 {
				w.args[1], err = b.mustCoerce(w.args[1], types.Int4, fn.Implicit, e.Args[1].Position())
			}
			if len(w.args) > 2 && err == nil {
				two := []Expr{w.args[0], w.args[2]}
				if _, err := fn.SelectCommonType(exprTypes(two)); err != nil {
					return nil, fn.FuncError(fn.NoMatch, name, exprTypes(w.args)).(*pgerr.Error).At(e.Pos)
				}
				if _, err := b.common(two, name, []int{e.Args[0].Position(), e.Args[2].Position()}); err != nil {
					return nil, err
				}
				w.args[0], w.args[2] = two[0], two[1]
			}
			w.ret = w.args[0].Type()
		}
		if err != nil {
			return nil, err
		}
	} else {
		if len(fn.LookupAgg(name)) == 0 {
			if len(fn.Lookup(name)) > 0 {
				return nil, pgerr.New(pgerr.WrongObjectType, "OVER specified, but %s is not a window function nor an aggregate function", name).At(e.Pos)
			}
			args, err := b.exprs(&in, e.Args)
			if err != nil {
				return nil, err
			}
			return nil, fn.FuncError(fn.NoMatch, name, exprTypes(args)).(*pgerr.Error).At(e.Pos)
		}
		if len(e.OrderBy) > 0 {
			return nil, pgerr.New(pgerr.FeatureNotSupported, "aggregate ORDER BY is not implemented for window functions").At(e.Pos)
		}
		if len(e.WithinGroup) > 0 {
			return nil, pgerr.New(pgerr.FeatureNotSupported, "OVER is not supported for ordered-set aggregate %s", name).At(e.Pos)
		}
		// Aggregates may stand inside the arguments: the window is over the groups.
		plain := *e
		plain.Over = nil
		a, err := b.windowAgg(&in, &plain, name)
		if err != nil {
			return nil, err
		}
		w.agg, w.ret = a, a.call.ret
	}
	w.id = b.newCol(name, w.ret)
	sel, at := c.sel, len(c.sel.overs)
	sel.overs = append(sel.overs, w)
	sel.later = append(sel.later, func() error { // after the clauses of the query, as PostgreSQL does
		partition, err := b.exprs(&in, spec.PartitionBy)
		if err != nil {
			return err
		}
		order, err := b.sortExprs(&in, spec.OrderBy)
		if err != nil {
			return err
		}
		w := &sel.overs[at]
		w.partition, w.order, w.frame = partition, order, spec.Frame
		if w.frame != nil {
			w.lo, w.hi, err = b.frameOffsets(&in, w.frame, order)
		}
		return err
	})
	return b.colAt(w.id, e.Pos), nil
}

// windowAgg is aggCall for an aggregate with OVER, whose arguments may themselves hold aggregates.
func (b *binder) windowAgg(c *exprCtx, e *ast.FuncCall, name string) (*boundAgg, error) {
	args, err := b.exprs(c, e.Args)
	if err != nil {
		return nil, err
	}
	a := &boundAgg{pos: e.Pos, args: args}
	if e.Filter != nil {
		if a.filter, err = b.boolExpr(c, e.Filter); err != nil {
			return nil, err
		}
	}
	r, err := fn.ResolveAgg(name, exprTypes(args))
	if err != nil {
		return nil, pgerr.AtPos(err, e.Pos)
	}
	for i := range args {
		if a.args[i], err = b.mustCoerce(args[i], r.Args[i], fn.Implicit, e.Args[i].Position()); err != nil {
			return nil, err
		}
	}
	a.call = lAggCall{agg: r.Agg, argTypes: r.Args, ret: r.Ret, name: name, filter: -1}
	return a, nil
}

func (b *binder) windowSpec(c *exprCtx, w *ast.WindowSpec) (*ast.WindowSpec, error) {
	if w.Ref == "" {
		return w, nil
	}
	nw := c.sel.windows[w.Ref]
	if nw == nil {
		return nil, pgerr.New(pgerr.UndefinedObject, "window \"%s\" does not exist", w.Ref).At(w.Pos)
	}
	base, err := b.windowSpec(c, nw.Spec)
	if err != nil {
		return nil, err
	}
	out := *base
	out.Ref = ""
	if len(w.PartitionBy) > 0 {
		return nil, pgerr.New(pgerr.WindowingError, "cannot override PARTITION BY clause of window \"%s\"", w.Ref).At(w.Pos)
	}
	if len(w.OrderBy) > 0 {
		if len(base.OrderBy) > 0 {
			return nil, pgerr.New(pgerr.WindowingError, "cannot override ORDER BY clause of window \"%s\"", w.Ref).At(w.Pos)
		}
		out.OrderBy = w.OrderBy
	}
	if w.Frame != nil {
		if base.Frame != nil {
			return nil, pgerr.New(pgerr.WindowingError, "cannot copy window \"%s\" because it has a frame clause", w.Ref).At(w.Pos)
		}
		out.Frame = w.Frame
	}
	return &out, nil
}

func (b *binder) frameOffsets(c *exprCtx, f *ast.Frame, order []sortExpr) (lo, hi Expr, err error) {
	one := func(bd ast.Bound) (Expr, error) {
		if bd.Offset == nil {
			return nil, nil
		}
		x, err := b.expr(&exprCtx{s: c.s, clause: strings.ToUpper(f.Unit), noSubqueries: true}, bd.Offset)
		if err != nil {
			return nil, err
		}
		if hasColumns(x) {
			return nil, pgerr.New(pgerr.InvalidColumnReference, "argument of %s must not contain variables", strings.ToUpper(f.Unit)).At(bd.Offset.Position())
		}
		want := types.Int8
		if f.Unit == "range" {
			if len(order) != 1 {
				return nil, pgerr.New(pgerr.WindowingError, "RANGE with offset PRECEDING/FOLLOWING requires exactly one ORDER BY column").At(f.Pos)
			}
			if want, err = rangeOffsetType(order[0].e.Type(), x.Type()); err != nil {
				return nil, pgerr.AtPos(err, bd.Offset.Position())
			}
		}
		return b.mustCoerce(x, want, fn.Implicit, bd.Offset.Position())
	}
	if f.Unit == "groups" && len(order) == 0 {
		return nil, nil, pgerr.New(pgerr.WindowingError, "GROUPS mode requires an ORDER BY clause").At(f.Pos)
	}
	if lo, err = one(f.Start); err == nil {
		hi, err = one(f.End)
	}
	return lo, hi, err
}

// rangeOffsetType gives the type of the offset of a RANGE frame over a sort key of type key.
func rangeOffsetType(key, offset types.T) (types.T, error) {
	want := key
	switch {
	case key.Is(types.Int2), key.Is(types.Int4):
		want = types.Int8
	case key.Is(types.Float4):
		want = types.Float8
	case key.Category() == 'D':
		want = types.Interval
	case key.Is(types.Int8), key.Is(types.Float8), key.Is(types.Numeric), key.Is(types.Interval):
		want = key.Bare()
	default:
		return want, pgerr.New(pgerr.FeatureNotSupported, "RANGE with offset PRECEDING/FOLLOWING is not supported for column type %s", key.Bare().Format())
	}
	if !offset.Is(types.Unknown) && !fn.CanCoerce(offset, want, fn.Implicit) {
		return want, pgerr.New(pgerr.FeatureNotSupported, "RANGE with offset PRECEDING/FOLLOWING is not supported for column type %s and offset type %s",
			key.Bare().Format(), offset.Bare().Format()).WithHint("Cast the offset value to an appropriate type.")
	}
	return want, nil
}
