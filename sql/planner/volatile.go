package planner

import (
	"streamsql/internal/fn"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
)

// checkVolatile refuses, in a continuous plan, volatile functions of rows that may be taken back: what they give is computed
// once more when the row goes, and that would be the end of another row than came.
func checkVolatile(n Node) error {
	for _, in := range n.Inputs() {
		if err := checkVolatile(in); err != nil {
			return err
		}
	}
	retracts := false
	for _, in := range n.Inputs() {
		retracts = retracts || in.Props().Retracts
	}
	if !retracts {
		return nil
	}
	var bad *Call
	for _, e := range nodeExprs(n) {
		walkExpr(e, func(x Expr) bool {
			if c, ok := x.(*Call); ok && bad == nil && c.Fn.Volatility == fn.Volatile && c.Typ.OID != types.OIDVoid {
				bad = c
			}
			return bad == nil
		})
	}
	if bad == nil {
		return nil
	}
	return pgerr.New(pgerr.FeatureNotSupported, "volatile function %s cannot be used on rows that may change in a continuous query", bad.Fn.Name).
		WithHint("It gives another value when a row is taken back. Keep its value in a column of the table (DEFAULT %s()), or read an APPEND ONLY table or a source.", bad.Fn.Name).At(bad.Pos)
}
