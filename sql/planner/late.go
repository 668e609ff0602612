package planner

import (
	"slices"

	"streamsql/catalog"
	"streamsql/internal/pgerr"
	"streamsql/sql/parser/ast"
)

// checkLate looks at EMIT .. LATE: rows of relations of different columns cannot go into one table, and where nothing is
// ever late the clause does nothing, which a notice says.
func (b *binder) checkLate(root Node, e *ast.Emit) error {
	if e.Late != "into" && e.Late != "error" {
		return nil
	}
	var rels []*catalog.Relation
	visit(root, func(n Node) {
		if w, ok := n.(*Watermark); ok {
			if s, ok := w.Input.(*Scan); ok && !slices.Contains(rels, s.Rel) {
				rels = append(rels, s.Rel)
			}
		}
	})
	if !findsLate(root) && b.o.Notice != nil {
		b.o.Notice(pgerr.New(pgerr.SuccessfulCompletion, "no row of this query is ever late: LATE has no effect").
			WithHint("Rows are late for windows that have closed: of a source with a watermark, or under EMIT ON WINDOW CLOSE."))
	}
	if e.Late != "into" {
		return nil
	}
	for i, r := range rels {
		same := func(a, c catalog.Column) bool { return a.Name == c.Name && a.Type == c.Type }
		if i > 0 && !slices.EqualFunc(rels[0].Columns, r.Columns, same) {
			return pgerr.New(pgerr.FeatureNotSupported, "LATE INTO: the late rows of \"%s\" and \"%s\" have different columns", rels[0].Name, r.Name).
				WithHint("Set late = 'table:NAME' for each of the relations instead.").At(e.LateInto.Pos)
		}
	}
	return nil
}

// findsLate reports whether an operator of a plan finds rows late.
func findsLate(root Node) bool {
	found := false
	visit(root, func(n Node) {
		switch n := n.(type) {
		case *Aggregate:
			found = found || n.OnClose || n.FreeLate
		case *Join:
			found = found || n.Interval != nil || n.WindowEnd != nil
		case *WindowTVF:
			found = found || flowOf(n).freeLate
		case *Emit:
			found = found || n.Spec.Trigger == ast.EmitOnClose
		}
	})
	return found
}
