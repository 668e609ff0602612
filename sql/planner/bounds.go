package planner

import (
	"slices"

	"streamsql/internal/types"
)

// bounds finds what lets a join forget rows: a window or time equated by the keys,
// or conditions that keep the times of both sides within an interval.
func (p *builder) bounds(n *Join) {
	l, r := flowOf(n.Left), flowOf(n.Right)
	if !p.onClose && !(l.freeLate && r.freeLate) {
		return // a late change of a kept row may still come and must find its partners
	}
	lw, rw := l.props.Watermarks, r.props.Watermarks
	semi := n.Type == SemiJoin || n.Type == AntiJoin
	nl := n.Left.Schema().Len()
	for i, lk := range n.LeftKeys {
		rk := n.RightKeys[i]
		lend, rend := slices.Contains(l.ends, lk), slices.Contains(r.ends, rk)
		if !slices.Contains(lw, lk) || !slices.Contains(rw, rk) || lend != rend {
			continue
		}
		if n.WindowEnd == nil || lend {
			n.WindowEnd, n.CloseEnd = &[2]int{lk, rk}, lend
		}
		n.props.Watermarks = append(n.props.Watermarks, lk)
		if lend {
			n.ends = append(n.ends, lk)
		}
		if !semi {
			n.props.Watermarks = append(n.props.Watermarks, rk+nl)
			if lend {
				n.ends = append(n.ends, rk+nl)
			}
		}
	}
	if n.WindowEnd != nil {
		return
	}
	type bound struct {
		set bool
		us  int64
	}
	lo, hi := map[[2]int]bound{}, map[[2]int]bound{}
	for _, c := range n.Residual {
		call, ok := c.(*Call)
		if !ok || !call.Fn.IsOp || len(call.Args) != 2 {
			continue
		}
		x, ox, ok1 := linearTime(call.Args[0])
		y, oy, ok2 := linearTime(call.Args[1])
		if !ok1 || !ok2 || x.Typ.OID != y.Typ.OID {
			continue
		}
		switch call.Fn.Name {
		case "<=", "<":
		case ">=", ">":
			x, y, ox, oy = y, x, oy, ox
		default:
			continue
		}
		// x + ox <= y + oy
		switch {
		case x.Index < nl && y.Index >= nl: // right >= left + (ox - oy)
			k := [2]int{x.Index, y.Index - nl}
			if b := lo[k]; !b.set || ox-oy > b.us {
				lo[k] = bound{true, ox - oy}
			}
		case x.Index >= nl && y.Index < nl: // right <= left + (oy - ox)
			k := [2]int{y.Index, x.Index - nl}
			if b := hi[k]; !b.set || oy-ox < b.us {
				hi[k] = bound{true, oy - ox}
			}
		}
	}
	for _, lt := range lw {
		for _, rt := range rw {
			k := [2]int{lt, rt}
			if lo[k].set && hi[k].set && n.Interval == nil {
				n.Interval = &IntervalBound{LeftTime: lt, RightTime: rt, Lo: lo[k].us, Hi: hi[k].us}
				n.props.Watermarks = []int{lt}
			}
		}
	}
}

// linearTime reads a timestamp column plus or minus constant intervals of fixed length.
func linearTime(e Expr) (*Column, int64, bool) {
	switch e := e.(type) {
	case *Column:
		if e.Typ.OID == types.OIDTimestamp || e.Typ.OID == types.OIDTimestamptz {
			return e, 0, true
		}
	case *Call:
		if !e.Fn.IsOp || len(e.Args) != 2 || e.Fn.Name != "+" && e.Fn.Name != "-" {
			return nil, 0, false
		}
		a, b := e.Args[0], e.Args[1]
		if _, ok := a.(*Const); ok && e.Fn.Name == "+" {
			a, b = b, a
		}
		k, ok := b.(*Const)
		if !ok || k.Typ.OID != types.OIDInterval || k.Val == nil {
			return nil, 0, false
		}
		c, off, ok := linearTime(a)
		if !ok {
			return nil, 0, false
		}
		s := types.SpanOf(k.Val.([16]byte))
		if s.Months != 0 || s.Days != 0 && c.Typ.OID == types.OIDTimestamptz {
			return nil, 0, false
		}
		us := int64(s.Days)*usPerDay + s.Micros
		if e.Fn.Name == "-" {
			us = -us
		}
		return c, off + us, true
	}
	return nil, 0, false
}
