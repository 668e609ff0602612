package planner

import (
	"slices"

	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/sql/parser/ast"
)

// checkClose refuses ON WINDOW CLOSE where nothing ever closes.
func (b *binder) checkClose(root Node, e *ast.Emit, s EmitSpec) error {
	f := flowOf(root)
	if !hasWatermark(root) {
		return pgerr.New(pgerr.FeatureNotSupported, "EMIT ON WINDOW CLOSE needs a watermark, and no relation of the query declares one").
			WithHint("Declare WATERMARK FOR column in CREATE SOURCE or CREATE TABLE, or use EMIT CHANGES.").At(e.Pos)
	}
	open := openAggregate(root, s.Trigger == ast.EmitOnClose)
	if !open {
		if err := neverFinal(root, e, s); err != nil {
			return err
		}
	}
	switch {
	case open:
		return pgerr.New(pgerr.FeatureNotSupported, "EMIT ON WINDOW CLOSE: no group key derives from a watermarked column").
			WithHint("GROUP BY the window_start and window_end of TUMBLE, HOP, CUMULATE or SESSION over the watermarked column, or use EMIT CHANGES.").At(e.Pos)
	case s.Trigger == ast.EmitOnClose && f.props.Retracts && s.Lateness == 0:
		return pgerr.New(pgerr.FeatureNotSupported, "EMIT ON WINDOW CLOSE: the result of this query is never final").
			WithHint("Rows may be taken back by an outer join, a Top-N or a changing input. Use EMIT CHANGES.").At(e.Pos)
	case s.Trigger == ast.EmitOnClose && !f.finals && !hasWindow(root):
		return pgerr.New(pgerr.FeatureNotSupported, "EMIT ON WINDOW CLOSE: no group key derives from a watermarked column").
			WithHint("The query has no windows. GROUP BY window_start, window_end of a window function, or use EMIT CHANGES.").At(e.Pos)
	}
	return nil
}

func visit(n Node, f func(Node)) {
	seen := map[Node]bool{}
	var walk func(Node)
	walk = func(n Node) {
		if n == nil || seen[n] {
			return
		}
		seen[n] = true
		f(n)
		for _, in := range n.Inputs() {
			walk(in)
		}
	}
	walk(n)
}

func hasWatermark(n Node) bool {
	found := false
	visit(n, func(n Node) {
		if _, ok := n.(*Watermark); ok {
			found = true
		}
	})
	return found
}

func hasWindow(n Node) bool {
	found := false
	visit(n, func(n Node) {
		if _, ok := n.(*WindowTVF); ok {
			found = true
		}
	})
	return found
}

// openAggregate reports whether an aggregate never becomes final.
func openAggregate(n Node, marked bool) bool {
	found := false
	visit(n, func(n Node) {
		a, ok := n.(*Aggregate)
		if !ok || a.props.Bounded && allBounded(a.Input) {
			return
		}
		if marked && !a.OnClose {
			found = true
		}
		if !marked && a.Window == nil && a.CloseKey < 0 {
			found = true
		}
	})
	return found
}

// allBounded reports whether a subplan reads nothing that streams.
func allBounded(n Node) bool {
	ok := true
	visit(n, func(n Node) {
		if _, isWM := n.(*Watermark); isWM {
			ok = false
		}
	})
	return ok
}

// closing finds out what a watermark makes final of an operator over in that works by partitions, in the order of keys where it has
// calls, and sets the flow of its output.
func (p *builder) closing(out *base, in Node, partition []int, keys []SortKey, calls []OverCall) Closing {
	f := flowOf(in)
	out.props.Watermarks, out.ends = nil, nil
	c := Closing{}
	if !p.continuous {
		return c
	}
	i := slices.IndexFunc(partition, func(col int) bool { return slices.Contains(f.props.Watermarks, col) })
	switch {
	case i >= 0:
		c.By, c.Col = PartitionsClose, partition[i]
	case p.onClose && len(calls) > 0 && len(keys) > 0 && slices.Contains(f.props.Watermarks, keys[0].Col) && !keys[0].Desc && !keys[0].NullsFirst &&
		!f.props.Retracts && !slices.ContainsFunc(calls, func(c OverCall) bool { return c.ahead(in) != "" }):
		c.By, c.Col = RowsClose, keys[0].Col
	default:
		return c
	}
	c.End = slices.Contains(f.ends, c.Col)
	// What is refined after its close (ALLOWED LATENESS) is refined here too.
	refined := p.late > 0 && f.finals
	c.OnClose = p.onClose && !refined
	c.FreeLate = f.freeLate || p.onClose
	if c.OnClose {
		out.finals = true
		out.props.Retracts = false
		c.Hold = p.holdOver(f)
		out.held = out.held || c.Hold > 0
	}
	if !c.FreeLate {
		return c // nothing is final over kept rows
	}
	final := func(col int) bool {
		if c.By == RowsClose {
			return col == c.Col
		}
		return slices.Contains(partition, col)
	}
	for _, col := range f.props.Watermarks {
		if final(col) {
			out.props.Watermarks = append(out.props.Watermarks, col)
		}
	}
	for _, col := range f.ends {
		if final(col) {
			out.ends = append(out.ends, col)
		}
	}
	return c
}

// neverFinal explains why a Top-N or a window function does not become final.
func neverFinal(root Node, e *ast.Emit, s EmitSpec) error {
	if s.Trigger != ast.EmitOnClose {
		return nil
	}
	var err error
	fail := func(hint, format string, args ...any) {
		if err == nil {
			err = pgerr.New(pgerr.FeatureNotSupported, "EMIT ON WINDOW CLOSE: "+format, args...).WithHint("%s", hint).At(e.Pos)
		}
	}
	visit(root, func(n Node) {
		switch n := n.(type) {
		case *TopN:
			switch {
			case n.props.Bounded && allBounded(n.Input):
			case n.Close.OnClose && s.Lateness > 0:
				fail("Use WITH DELAY, or ALLOWED LATENESS with a Top-N over a window aggregate.", "the rows of a Top-N cannot be refined after the close")
			case n.Close.By == NeverCloses:
				fail("PARTITION BY window_start, window_end of a window function over the watermarked column, or use EMIT CHANGES.",
					"the rows of a Top-N without a window are never final")
			}
		case *Over:
			if n.props.Bounded && allBounded(n.Input) {
				return
			}
			if n.Close.OnClose && s.Lateness > 0 {
				fail("Use WITH DELAY.", "window functions cannot be refined after the close")
			}
			if n.Close.By != NeverCloses {
				return
			}
			f := flowOf(n.Input)
			const windows = "PARTITION BY window_start, window_end of a window function, or use EMIT CHANGES."
			switch {
			case len(n.Keys) == 0 || !slices.Contains(f.props.Watermarks, n.Keys[0].Col):
				fail("ORDER BY the watermarked column first (of windows: window_end), or "+windows, "the results of OVER without an order in event time are never final")
			case n.Keys[0].Desc || n.Keys[0].NullsFirst:
				fail("ORDER BY the watermarked column ascending, NULLS LAST, or use EMIT CHANGES.", "the results of OVER that looks from the latest row are never final")
			case f.props.Retracts:
				fail("Rows may be taken back. Use EMIT CHANGES.", "the results of OVER over a changing input are never final")
			}
			for _, c := range n.Calls {
				if why := c.ahead(n.Input); why != "" {
					fail("End the frame at CURRENT ROW or before it, or "+windows, "%s", why)
				}
			}
		}
	})
	return err
}

// ahead says why the result of a call is not known once all rows up to its own and its peers are there; "" if it is.
func (c *OverCall) ahead(in Node) string {
	switch c.Name {
	case "row_number", "rank", "dense_rank":
		return ""
	case "percent_rank", "cume_dist", "ntile":
		return c.Name + " depends on all rows of its partition"
	case "lead":
		return "lead depends on rows that follow"
	case "lag":
		if by, ok := c.Shift(in); !ok || by < 0 {
			return "lag by a number of rows that is not a constant, or negative, depends on rows that follow"
		}
		return ""
	}
	if c.Frame == nil {
		return ""
	}
	switch c.Frame.End.Kind {
	case "following", "unbounded following":
		return "the frame of " + c.Name + " has rows that follow"
	}
	return ""
}

// Shift gives by how many rows lag or lead looks back or ahead, where that is a constant. in is the input of the Over node.
func (c *OverCall) Shift(in Node) (by int64, ok bool) {
	if len(c.Args) < 2 {
		return 1, true
	}
	return constantInt(in, c.Args[1])
}

// Nth gives the constant argument of nth_value.
func (c *OverCall) Nth(in Node) (n int64, ok bool) {
	if c.Name != "nth_value" {
		return 0, false
	}
	return constantInt(in, c.Args[1])
}

// constantInt gives the value of a column of n that is an integer and not NULL, the same in all rows.
func constantInt(n Node, col int) (int64, bool) {
	for {
		switch x := n.(type) {
		case *Calc:
			switch e := x.Exprs[col].(type) {
			case *Const:
				return intConst(e)
			case *Column:
				n, col = x.Input, e.Index
			case *Cast:
				if k, ok := e.X.(*Const); ok && (e.To.OID == types.OIDInt4 || e.To.OID == types.OIDInt8) {
					return intConst(k)
				}
				return 0, false
			default:
				return 0, false
			}
		case *Over:
			if col >= x.Input.Schema().Len() {
				return 0, false
			}
			n = x.Input
		default:
			return 0, false
		}
	}
}
