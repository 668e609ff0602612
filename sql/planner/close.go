package planner

import (
	"streamsql/internal/pgerr"
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
