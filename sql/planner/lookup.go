package planner

import (
	"streamsql/sql/parser/ast"
)

func (b *binder) lookupJoin(l, r lrel, rs *scope, outer bool, on []Expr, f *ast.JoinRef) (lrel, error) {
	return nil, notSupported("FOR SYSTEM_TIME AS OF now()", f.Pos)
}
