package planner

import (
	"fmt"

	"streamsql/internal/types"
)

// Bind gives the plan with every parameter replaced by its value, LIMIT and OFFSET included.
// Parts without parameters are shared with n. args are parallel to Query.Params; nil is NULL.
func Bind(n Node, args []types.Datum) Node {
	b := &paramBinder{args: args, done: map[Node]Node{}}
	return b.node(n)
}

// BindExpr replaces the parameters of an expression.
func BindExpr(e Expr, args []types.Datum) Expr {
	return (&paramBinder{args: args}).expr(e)
}

type paramBinder struct {
	args []types.Datum
	done map[Node]Node
}

func (b *paramBinder) expr(e Expr) Expr {
	return mapExpr(e, func(x Expr) Expr {
		p, ok := x.(*Param)
		if !ok {
			return x
		}
		if p.N > len(b.args) {
			return &Const{nil, p.Typ}
		}
		return &Const{b.args[p.N-1], p.Typ}
	})
}

func (b *paramBinder) list(es []Expr) ([]Expr, bool) {
	changed := false
	out := make([]Expr, len(es))
	for i, e := range es {
		out[i] = b.expr(e)
		changed = changed || out[i] != e
	}
	if !changed {
		return es, false
	}
	return out, true
}

func (b *paramBinder) node(n Node) Node {
	if n == nil {
		return nil
	}
	if m, ok := b.done[n]; ok {
		return m
	}
	m := b.rebuild(n)
	b.done[n] = m
	return m
}

func (b *paramBinder) rebuild(n Node) Node {
	switch n := n.(type) {
	case *Watermark:
		in, e := b.node(n.Input), b.expr(n.Expr)
		if in != n.Input || e != n.Expr {
			c := *n
			c.Input, c.Expr = in, e
			return &c
		}
	case *Values:
		changed := false
		rows := make([][]Expr, len(n.Rows))
		for i, r := range n.Rows {
			x, ch := b.list(r)
			rows[i], changed = x, changed || ch
		}
		if changed {
			c := *n
			c.Rows = rows
			return &c
		}
	case *TableFunc:
		in := b.node(n.Input)
		args, ch := b.list(n.Args)
		if ch || in != n.Input {
			c := *n
			c.Input, c.Args = in, args
			return &c
		}
	case *ProjectSet:
		in := b.node(n.Input)
		changed := in != n.Input
		args := make([][]Expr, len(n.Args))
		for i, a := range n.Args {
			x, ch := b.list(a)
			args[i], changed = x, changed || ch
		}
		if changed {
			c := *n
			c.Input, c.Args = in, args
			return &c
		}
	case *Calc:
		in := b.node(n.Input)
		f, c1 := b.list(n.Filter)
		e, c2 := b.list(n.Exprs)
		if c1 || c2 || in != n.Input {
			c := *n
			c.Input, c.Filter, c.Exprs = in, f, e
			return &c
		}
	case *Temporal:
		if in := b.node(n.Input); in != n.Input {
			c := *n
			c.Input = in
			return &c
		}
	case *WindowTVF:
		if in := b.node(n.Input); in != n.Input {
			c := *n
			c.Input = in
			return &c
		}
	case *Aggregate:
		if in := b.node(n.Input); in != n.Input {
			c := *n
			c.Input = in
			return &c
		}
	case *Join:
		l, r := b.node(n.Left), b.node(n.Right)
		res, ch := b.list(n.Residual)
		if ch || l != n.Left || r != n.Right {
			c := *n
			c.Left, c.Right, c.Residual = l, r, res
			return &c
		}
	case *WorkingTable, *Given:
	case *Recursive:
		c := *n
		c.Base, c.Term = b.node(n.Base), b.node(n.Term)
		c.Static = make([]Node, len(n.Static))
		changed := c.Base != n.Base || c.Term != n.Term
		for i, s := range n.Static {
			c.Static[i] = b.node(s)
			changed = changed || c.Static[i] != s
		}
		if changed {
			return &c
		}
	case *LookupJoin:
		l, r := b.node(n.Left), b.node(n.Right)
		if l != n.Left || r != n.Right {
			c := *n
			c.Left, c.Right = l, r
			return &c
		}
	case *AsOfJoin:
		l, r := b.node(n.Left), b.node(n.Right)
		if l != n.Left || r != n.Right {
			c := *n
			c.Left, c.Right = l, r
			return &c
		}
	case *Union:
		changed := false
		in := make([]Node, len(n.In))
		for i, x := range n.In {
			in[i] = b.node(x)
			changed = changed || in[i] != x
		}
		if changed {
			c := *n
			c.In = in
			return &c
		}
	case *SetOp:
		l, r := b.node(n.Left), b.node(n.Right)
		if l != n.Left || r != n.Right {
			c := *n
			c.Left, c.Right = l, r
			return &c
		}
	case *Sort:
		if in := b.node(n.Input); in != n.Input {
			c := *n
			c.Input = in
			return &c
		}
	case *TopN:
		in := b.node(n.Input)
		lim, off := n.LimitParam, n.OffsetParam
		if in == n.Input && lim == nil && off == nil {
			return n
		}
		c := *n
		c.Input = in
		count := func(e Expr, into *int64) Expr {
			if e == nil {
				return nil
			}
			x := b.expr(e)
			k, ok := x.(*Const)
			if !ok {
				return x
			}
			if v, ok := k.Val.(int64); ok {
				*into = v
			}
			return nil
		}
		c.LimitParam, c.OffsetParam = count(lim, &c.Limit), count(off, &c.Offset)
		return &c
	case *Over:
		in := b.node(n.Input)
		changed := in != n.Input
		calls := make([]OverCall, len(n.Calls))
		for i, o := range n.Calls {
			calls[i] = o
			calls[i].Lo, calls[i].Hi = b.expr(o.Lo), b.expr(o.Hi)
			changed = changed || calls[i].Lo != o.Lo || calls[i].Hi != o.Hi
		}
		if changed {
			c := *n
			c.Input, c.Calls = in, calls
			return &c
		}
	case *Emit:
		if in := b.node(n.Input); in != n.Input {
			c := *n
			c.Input = in
			return &c
		}
	case *Scan:
		conds := make([]KeyCond, len(n.Key))
		changed := false
		for i, k := range n.Key {
			vs, ch := b.list(k.Values)
			conds[i], changed = k, changed || ch
			conds[i].Values = vs
		}
		if changed {
			c := *n
			c.Key = conds
			return &c
		}
	default:
		panic(fmt.Sprintf("planner: Bind of %T", n))
	}
	return n
}
