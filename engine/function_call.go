package engine

import (
	"context"
	"fmt"

	"streamsql/catalog"
	"streamsql/exec"
	"streamsql/internal/fn"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/parser/ast"
	"streamsql/sql/planner"
)

// maxCallDepth is how deep functions may call each other (54001).
const maxCallDepth = 500

// calls are the functions that a session runs.
type calls struct {
	depth int
	ctx   context.Context // of the statement
	// plans are kept for the catalog and the search path that they were made with.
	plans map[string]*planner.FuncBody
	uses  map[string]*planner.Uses
	cat   *catalog.Snapshot
	path  string
}

var _ fn.FunctionCaller = (*sessionInfo)(nil)

// CallFunction implements fn.FunctionCaller: it runs the statements of a function's body in the session's transaction.
func (i *sessionInfo) CallFunction(_ *fn.Ctx, u *fn.UserCall, args []types.Datum, emit func(row []types.Datum) error) error {
	s := i.s
	f := s.catalog().FunctionByOID(u.OID)
	if f == nil {
		return pgerr.New(pgerr.UndefinedFunction, "function with OID %d does not exist", u.OID)
	}
	if s.calls.depth >= maxCallDepth {
		return pgerr.New(pgerr.StatementTooComplex, "stack depth limit exceeded").
			WithHint("Functions may call each other %d deep: end the recursion earlier, or use WITH RECURSIVE.", maxCallDepth)
	}
	s.calls.depth++
	defer func() { s.calls.depth-- }()
	body, err := s.functionBody(f, u)
	if err != nil {
		return calledError(f, err, 0)
	}
	ctx := s.calls.ctx
	if ctx == nil {
		ctx = context.Background()
	}
	given := 0
	enough := false
	var stop error
	give := func(row []types.Datum) error {
		given++
		if enough {
			return nil
		}
		if err := emit(row); err != nil {
			stop, enough = err, true
			return err
		}
		return nil
	}
	for k := range body.Stmts {
		st := &body.Stmts[k]
		to := give
		if k < len(body.Stmts)-1 || u.Ret.Is(types.Void) {
			to = nil
		}
		err := s.runBodyStatement(ctx, f, st, args, resultRow(u, body, st, to))
		if stop != nil {
			return stop
		}
		if err != nil {
			return calledError(f, err, k+1)
		}
	}
	return nil
}

// functionBody gives the plans of a function's statements.
func (s *Session) functionBody(f *catalog.Function, u *fn.UserCall) (*planner.FuncBody, error) {
	c := &s.calls
	path, _ := s.vars.get("search_path")
	if c.cat != s.catalog() || c.path != path || c.plans == nil {
		c.plans, c.uses, c.cat, c.path = map[string]*planner.FuncBody{}, map[string]*planner.Uses{}, s.catalog(), path
	}
	key := fmt.Sprintf("%d %d", f.OID, u.Ret.OID)
	for _, t := range u.Args {
		key += fmt.Sprintf(" %d", t.OID)
	}
	if u.Rec != nil {
		for i, t := range u.Rec.Types {
			key += fmt.Sprintf(" %q %d/%d", u.Rec.Names[i], t.OID, t.Mod)
		}
	}
	if b := c.plans[key]; b != nil {
		return b, s.permitted(c.uses[key])
	}
	o := s.planOptions(nil, "")
	ret := u.Ret
	if u.Set && ret.OID == types.OIDRecord {
		ret.Rec = u.Rec
	}
	b, err := planner.PlanBody(f, u.Args, ret, u.Rec, o)
	if err != nil {
		return nil, err
	}
	o.Uses.Resolve()
	c.plans[key], c.uses[key] = b, o.Uses
	return b, s.permitted(o.Uses)
}

// resultRow gives what takes the rows of a statement and hands those of the function on; nil where the statement's rows go nowhere.
func resultRow(u *fn.UserCall, body *planner.FuncBody, st *planner.FuncStmt, to func(row []types.Datum) error) func(row []types.Datum) error {
	switch {
	case to == nil:
		return nil
	case u.Rec != nil && body.Whole:
		return func(row []types.Datum) error {
			vals := make([]types.Datum, len(u.Rec.Types))
			if s, ok := row[0].(string); ok {
				_, have, err := types.DecodeRecord([]byte(s))
				if err != nil {
					return err
				}
				copy(vals, have)
			}
			return to(vals)
		}
	case u.Rec == nil && u.Ret.OID == types.OIDRecord: // of whatever shape
		var fields []vec.Field
		if st.Query != nil {
			fields = st.Query.Columns
		} else if st.DML != nil {
			fields = st.DML.ResultColumns
		}
		if len(fields) == 1 && fields[0].Type.Record() != nil {
			return to
		}
		ts := make([]types.T, len(fields))
		for i, f := range fields {
			ts[i] = f.Type
		}
		return func(row []types.Datum) error { return to([]types.Datum{types.EncodeRecord(ts, row)}) }
	}
	return to
}

// runBodyStatement runs one statement; row, if it is not nil, gets its rows.
func (s *Session) runBodyStatement(ctx context.Context, f *catalog.Function, st *planner.FuncStmt, args []types.Datum, row func([]types.Datum) error) error {
	rows := func(b *vec.Batch) error {
		if row == nil {
			return nil
		}
		views := b.Views(nil)
		for r := range b.N {
			out := make([]types.Datum, len(views))
			for c := range views {
				out[c] = views[c].Datum(r)
			}
			if err := row(out); err != nil {
				return err
			}
		}
		return nil
	}
	switch {
	case st.Query != nil:
		p := s.bindQuery(ctx, st.Query, nil, args)
		defer p.Close()
		for {
			b, done, err := p.Fetch(ctx, 0)
			if err != nil {
				return err
			}
			if b != nil {
				err = rows(b)
				b.Release()
			}
			if err != nil || done {
				return err
			}
		}
	case st.DML != nil:
		if f.Volatility != 'v' {
			return pgerr.New(pgerr.FeatureNotSupported, "%s is not allowed in a non-volatile function", dmlName(st.DML.Kind))
		}
		out, _, err := s.executeDML(ctx, st.DML, args)
		if err != nil {
			return err
		}
		defer releaseAll(out)
		for _, b := range out {
			if err := rows(b); err != nil {
				return err
			}
		}
		return nil
	}
	return s.runBodyOther(ctx, st)
}

// runBodyOther runs what is neither a query nor a change of a table.
func (s *Session) runBodyOther(ctx context.Context, st *planner.FuncStmt) error {
	if err := allowedInBody(st.Other); err != nil {
		return err
	}
	_, err := s.run(ctx, Parsed{Stmt: st.Other, Text: st.Text})
	return err
}

// allowedInBody refuses the statements that a function cannot run.
func allowedInBody(x ast.Stmt) error {
	switch x.(type) {
	case *ast.Set, *ast.Truncate, *ast.Comment, *ast.Grant, *ast.CreateRole, *ast.AlterRole, *ast.DropRole, *ast.ReassignOwned, *ast.CreateTable, *ast.CreateView, *ast.Drop, *ast.Alter, *ast.CreateSequence:
		return nil
	}
	return pgerr.New(pgerr.FeatureNotSupported, "%s is not allowed in an SQL function", statementName(x))
}

// calledError says of an error where it happened; statement 0 is before any ran.
func calledError(f *catalog.Function, err error, statement int) error {
	e := *pgerr.From(err)
	e.Position = 0
	if e.Where == "" {
		e.Where = fmt.Sprintf("SQL function \"%s\" during startup", f.Name)
		if statement > 0 {
			e.Where = fmt.Sprintf("SQL function \"%s\" statement %d", f.Name, statement)
		}
	}
	return &e
}

// runsPortal makes the portal of a query that calls functions which may change tables: it runs to its end at once, in the
// session's transaction or in one of its own.
func (s *Session) runsPortal(q *planner.Query, columns []Column, args []types.Datum) Portal {
	tag := func(rows int64) string { return fmt.Sprintf("SELECT %d", rows) }
	return &valuesPortal{columns: columns, tag: tag, run: func(ctx context.Context) (out []*vec.Batch, err error) {
		defer recovered(s.e, "statement", &err)
		err = s.inTransaction(ctx, func() error {
			p := s.bindQuery(ctx, q, columns, args)
			defer p.Close()
			held, free := s.e.gather("SELECT")
			defer free()
			out, err = drainPortal(ctx, p, held)
			return err
		}, func() {
			releaseAll(out)
			out = nil
		})
		return out, err
	}}
}

// inTransaction runs f, whose changes are all kept or none, in the session's transaction or in one of its own. Where another session has
// changed the same rows meanwhile it is run again, after again.
func (s *Session) inTransaction(ctx context.Context, f func() error, again func()) error {
	before := s.calls.ctx
	s.calls.ctx = ctx
	defer func() { s.calls.ctx = before }()
	if s.tx != nil {
		mark := s.markTx()
		err := f()
		if err != nil && s.tx != nil {
			s.resetTx(mark)
		}
		return err
	}
	for try := 0; ; try++ {
		s.tx = s.newTx(false)
		if err := f(); err != nil {
			s.rollback()
			return err
		}
		err := s.commit(ctx)
		if err == nil {
			return nil
		}
		again()
		if pgerr.Code(err) != pgerr.SerializationFailure || try == 20 {
			return err
		}
	}
}

// single keeps what calls functions of the session on one goroutine: a session is used by one.
func single(xc *exec.Context, q *planner.Query) {
	if q.Runs {
		xc.Parallel = 1
	}
}
