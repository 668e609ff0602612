package planner

import (
	"streamsql/sql/parser/ast"
)

// PlanSink plans what a sink is fed with: a query with an Emit node on top. A query that carries no EMIT is emitted as
// the trigger CHANGES in the form as (append, changelog, upsert); pos is where an error of it is shown.
func PlanSink(q *ast.Query, as string, pos ast.Pos, o *Options) (*Query, error) {
	body := *q
	if body.Emit == nil {
		body.Emit = &ast.Emit{Pos: pos, AsPos: pos, Trigger: ast.EmitChanges, As: as}
	}
	return PlanQuery(&body, o)
}
