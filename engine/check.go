package engine

import (
	"context"

	"streamsql/catalog"
	"streamsql/exec"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
)

// rowCheck is a condition on the rows of a table.
type rowCheck struct {
	expr planner.Expr
	// failed words that expr is false for a row. Without it expr is no condition: only an error of its own counts.
	failed func(b *vec.Batch, row int) error
}

// guardCheck holds column i against the domains in its type.
func guardCheck(i int, c *catalog.Column, g *planner.Guard) rowCheck {
	return rowCheck{expr: &planner.Guarded{X: &planner.Column{Index: i, Typ: c.Type, Name: c.Name}, Guard: g}}
}

// rowChecks binds the CHECK constraints of a table and of the domains of its columns.
func (s *Session) rowChecks(rel *catalog.Relation, only *catalog.Constraint) ([]rowCheck, error) {
	var out []rowCheck
	fields := rel.Fields().Fields
	if only == nil {
		for i := range rel.Columns {
			c := &rel.Columns[i]
			g, err := planner.GuardOf(c.Domain, c.Type, s.planOptions(nil, ""))
			if err != nil {
				return nil, err
			}
			if g != nil {
				out = append(out, guardCheck(i, c, g))
			}
		}
	}
	for _, c := range rel.Constraints {
		if c.Kind != catalog.CheckConstraint || only != nil && c != only {
			continue
		}
		e, err := parseStored(c.Expr)
		if err != nil {
			return nil, err
		}
		o := s.planOptions(nil, "")
		o.Table = rel.Name
		x, err := planner.BindScalar(e, fields, types.Bool, o)
		if err != nil {
			return nil, unplacedErr(err)
		}
		out = append(out, rowCheck{x, func(b *vec.Batch, row int) error {
			e := pgerr.New(pgerr.CheckViolation, "new row for relation \"%s\" violates check constraint \"%s\"", rel.Name, c.Name).
				WithDetail("Failing row contains (%s).", rowText(b, row))
			e.Schema, e.Table, e.Constraint = rel.Schema, rel.Name, c.Name
			return e
		}})
	}
	return out, nil
}

func unplacedErr(err error) error {
	e := *pgerr.From(err)
	e.Position = 0
	return &e
}

// checkRows refuses rows to insert that violate NOT NULL or CHECK.
func (s *Session) checkRows(ctx context.Context, rel *catalog.Relation, changes []*vec.Batch) error {
	if err := checkNotNull(rel, changes); err != nil {
		return err
	}
	checks, err := s.rowChecks(rel, nil)
	if err != nil || len(checks) == 0 {
		return err
	}
	return s.runChecks(ctx, checks, rel.Fields(), changes)
}

// runChecks evaluates checks over rows to insert.
func (s *Session) runChecks(ctx context.Context, checks []rowCheck, schema *vec.Schema, rows []*vec.Batch) error {
	exprs := make([]planner.Expr, len(checks))
	for i, c := range checks {
		exprs[i] = c.expr
	}
	prog, err := exec.CompileExprs(s.execCtx(ctx), exprs, schema)
	if err != nil {
		return err
	}
	defer prog.Close()
	for _, b := range rows {
		if b.Ops != nil || b.N == 0 {
			continue
		}
		res, err := prog.Eval(b.Views(nil), b.N)
		if err != nil {
			return err
		}
		row, at := b.N, -1 // the first row that fails, by the first of the checks
		var failure error
		for i, v := range res {
			for _, e := range v.Errs {
				if int(e.Row) < row {
					row, at, failure = int(e.Row), i, e.Err
				}
			}
			for r := range min(row, b.N) {
				if checks[i].failed != nil && !v.IsNull(r) && !v.Bools[r] {
					row, at, failure = r, i, nil
					break
				}
			}
		}
		if at >= 0 {
			if failure != nil {
				return failure
			}
			return checks[at].failed(b, row)
		}
	}
	return nil
}

// execCtx is for expressions that are evaluated outside a graph.
func (s *Session) execCtx(ctx context.Context) *exec.Context {
	return &exec.Context{Alloc: s.e.alloc, Fn: s.fnCtx(ctx), Stats: &exec.Stats{}}
}

// defaultValue evaluates the DEFAULT of a column.
func (s *Session) defaultValue(ctx context.Context, rel *catalog.Relation, c int) (types.Datum, error) {
	x, err := planner.BindDefault(&rel.Columns[c], s.planOptions(nil, ""))
	if err != nil {
		return nil, err
	}
	return exec.EvalConst(s.fnCtx(ctx), x)
}
