package engine

import (
	"context"
	"strings"

	"streamsql/catalog"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/parser/ast"
	"streamsql/sql/planner"
)

// Statement is a prepared statement: parsed, planned, its parameters and result described.
type Statement struct {
	s        *Session
	name     string
	parsed   Parsed
	declared []types.T
	params   []types.T
	columns  []Column
	query    *planner.Query
	dml      *planner.DML
	uses     *planner.Uses     // what it does with relations and functions
	cat      *catalog.Snapshot // that it was planned against
	path     string            // the search_path that it was planned with
	role     uint32            // that it was planned for: names mean what its schemas have
	made     vec.Time
	fromSQL  bool // by PREPARE
}

// Params gives the types of the parameters, inferred where they were not declared.
func (st *Statement) Params() []types.T { return st.params }

// Columns describes the result, nil where there is none.
func (st *Statement) Columns() []Column { return st.columns }

// Text gives the statement's text.
func (st *Statement) Text() string { return st.parsed.Text }

// Prepare plans a statement. paramTypes are the types that the client declared; OID 0 and what is beyond the list is inferred.
func (s *Session) Prepare(ctx context.Context, p Parsed, paramTypes []types.T) (st *Statement, err error) {
	defer recovered(s.e, "planning", &err)
	if s.tx != nil && s.tx.failed {
		t, ok := p.Stmt.(*ast.Transaction)
		if !ok || t.Kind != "rollback" && t.Kind != "commit" && t.Kind != "rollback to" {
			return nil, pgerr.New(pgerr.InFailedSQLTransaction, "current transaction is aborted, commands ignored until end of transaction block")
		}
	}
	st = &Statement{s: s, parsed: p, declared: paramTypes, made: s.e.clock()}
	return st, st.plan()
}

// plan binds the statement against the catalog as it is now.
func (st *Statement) plan() error {
	s := st.s
	o := s.planOptions(append([]types.T(nil), st.declared...), st.parsed.Text)
	st.cat, st.role, st.uses = o.Catalog, s.who.current, o.Uses
	defer st.uses.Resolve()
	st.path, _ = s.vars.get("search_path")
	st.params = st.declared
	st.columns = nil
	switch x := st.parsed.Stmt.(type) {
	case *ast.Query:
		o.Modifies = true
		q, err := planner.PlanQuery(x, o)
		if err != nil {
			return err
		}
		if q.With != nil {
			st.dml = &planner.DML{Kind: planner.SelectDML, Source: q.Root, With: q.With, Params: q.Params, Depends: q.Depends, Runs: q.Runs, ResultColumns: q.Columns,
				HasReturning: true}
			st.params, st.columns = q.Params, queryColumns(q)
			return nil
		}
		st.query, st.params, st.columns = q, q.Params, queryColumns(q)
	case *ast.Subscribe:
		q, err := planner.PlanSubscribe(x, o)
		if err != nil {
			return err
		}
		st.query, st.params, st.columns = q, q.Params, queryColumns(q)
	case *ast.Insert, *ast.Update, *ast.Delete, *ast.Merge:
		d, err := planner.PlanDML(x, o)
		if err != nil {
			return err
		}
		st.dml, st.params, st.columns = d, d.Params, returningColumns(d)
	case *ast.Declare:
		q, err := planDeclared(x, o)
		if err != nil {
			return err
		}
		st.query, st.params = q, q.Params
	case *ast.Explain:
		st.columns = explainColumns(x)
		switch x.Stmt.(type) {
		case *ast.Query, *ast.Insert, *ast.Update, *ast.Delete, *ast.Merge, *ast.Subscribe, *ast.Declare:
			inner := &Statement{s: s, parsed: Parsed{Stmt: x.Stmt, Text: st.parsed.Text}, declared: st.declared}
			if err := inner.plan(); err != nil {
				return err
			}
			st.params = inner.params
			st.uses.Relations, st.uses.Functions = inner.uses.Relations, inner.uses.Functions
		}
	case *ast.Show:
		st.columns = showColumns(x)
	case *ast.Fetch:
		if !x.Move {
			if p := s.portals[x.Cursor]; p != nil {
				st.columns = p.Columns()
			}
		}
	case *ast.Execute:
		inner, err := s.Statement(x.Name)
		if err != nil {
			return err
		}
		st.columns = inner.columns
	case *ast.Copy:
		if !x.From && (x.Query != nil || x.Subscribe != nil || x.Table != nil) {
			q, err := s.planCopyOut(x, o)
			if err != nil {
				return err
			}
			st.query, st.params = q, q.Params
		}
	}
	return nil
}

func planDeclared(x *ast.Declare, o *planner.Options) (*planner.Query, error) {
	if x.Subscribe != nil {
		return planner.PlanSubscribe(x.Subscribe, o)
	}
	o.NoModifying = "DECLARE CURSOR must not contain data-modifying statements in WITH"
	return planner.PlanQuery(x.Query, o)
}

func queryColumns(q *planner.Query) []Column {
	out := make([]Column, len(q.Columns))
	for i, f := range q.Columns {
		out[i] = Column{Name: f.Name, Type: f.Type}
		if i < len(q.Origins) {
			out[i].Table, out[i].Attr = q.Origins[i].Rel, q.Origins[i].Attnum
		}
	}
	return out
}

// replan plans again where the catalog or the search path has changed since; a result of another shape is an error, as in PostgreSQL.
func (st *Statement) replan() error {
	path, _ := st.s.vars.get("search_path")
	if st.query == nil && st.dml == nil || st.cat == st.s.catalog() && path == st.path && st.role == st.s.who.current {
		return nil
	}
	before := st.columns
	if err := st.plan(); err != nil {
		return err
	}
	if len(before) != len(st.columns) {
		return pgerr.New(pgerr.FeatureNotSupported, "cached plan must not change result type")
	}
	for i := range before {
		if before[i].Type.OID != st.columns[i].Type.OID {
			return pgerr.New(pgerr.FeatureNotSupported, "cached plan must not change result type")
		}
	}
	return nil
}

// Bind makes a portal of a statement with values for its parameters.
func (s *Session) Bind(ctx context.Context, st *Statement, args []types.Datum) (p Portal, err error) {
	defer recovered(s.e, "planning", &err)
	if s.tx != nil && s.tx.failed {
		if _, ok := st.parsed.Stmt.(*ast.Transaction); !ok {
			return nil, pgerr.New(pgerr.InFailedSQLTransaction, "current transaction is aborted, commands ignored until end of transaction block")
		}
	}
	if err := st.replan(); err != nil {
		return nil, err
	}
	if err := s.permitted(st.uses); err != nil {
		return nil, err
	}
	s.query = st.parsed.Text
	s.began(st.parsed)
	if s.tx != nil && seesTables(st.parsed.Stmt) {
		s.tx.queried = true
	}
	switch x := st.parsed.Stmt.(type) {
	case *ast.Query, *ast.Subscribe:
		if st.query == nil {
			return s.newDMLPortal(st, args), nil
		}
		if st.query.Runs {
			return s.runsPortal(st.query, st.columns, args), nil
		}
		return s.bindQuery(ctx, st.query, st.columns, args), nil
	case *ast.Insert, *ast.Update, *ast.Delete, *ast.Merge:
		return s.newDMLPortal(st, args), nil
	case *ast.Declare:
		q := st.query
		return s.utility(func(ctx context.Context) (string, error) {
			return "DECLARE CURSOR", s.declare(ctx, x, q, args, st.parsed.Text)
		}), nil
	case *ast.Fetch:
		return s.newFetchPortal(x)
	case *ast.CloseCursor:
		return s.utility(func(context.Context) (string, error) { return s.closeCursor(x) }), nil
	case *ast.Explain:
		return s.explain(x, st, args), nil
	case *ast.Show:
		return s.show(x)
	case *ast.Execute:
		return s.execute(ctx, x)
	case *ast.Copy:
		return s.copyPortal(ctx, x, st, args)
	default:
		return s.utility(func(ctx context.Context) (string, error) { return s.run(ctx, st.parsed) }), nil
	}
}

// seesTables tells the statements for which PostgreSQL takes a snapshot.
func seesTables(x ast.Stmt) bool {
	switch x.(type) {
	case *ast.Transaction, *ast.Set, *ast.Show, *ast.Fetch, *ast.CloseCursor, *ast.NoOp, *ast.Listen, *ast.Deallocate, *ast.Execute:
		return false
	}
	return true
}

func (s *Session) bindQuery(ctx context.Context, q *planner.Query, columns []Column, args []types.Datum) *queryPortal {
	p := s.newQueryPortal(q, planner.Bind(q.Root, args), columns, s.fnCtx(ctx))
	p.args = args
	return p
}

// Execute runs one statement without parameters: Prepare and Bind in one.
func (s *Session) Execute(ctx context.Context, p Parsed) (Portal, error) {
	st, err := s.Prepare(ctx, p, nil)
	if err != nil {
		return nil, err
	}
	return s.Bind(ctx, st, make([]types.Datum, len(st.params)))
}

// utilityPortal runs a statement that returns no rows.
type utilityPortal struct {
	run func(context.Context) (string, error)
	tag string
	ran bool
	e   *Engine
}

func (s *Session) utility(run func(context.Context) (string, error)) *utilityPortal {
	return &utilityPortal{run: run, e: s.e}
}

func (p *utilityPortal) Columns() []Column    { return nil }
func (p *utilityPortal) CopyOut() *CopyFormat { return nil }
func (p *utilityPortal) CopyIn() *CopyIn      { return nil }
func (p *utilityPortal) Continuous() bool     { return false }
func (p *utilityPortal) Tag(int64) string     { return p.tag }
func (p *utilityPortal) Close()               {}

// Fetch implements Portal.
func (p *utilityPortal) Fetch(ctx context.Context, _ int) (_ *vec.Batch, done bool, err error) {
	if p.ran {
		return nil, true, nil
	}
	p.ran = true
	defer recovered(p.e, "statement", &err)
	p.tag, err = p.run(ctx)
	return nil, true, err
}

// run executes the statements that return no rows and gives their command tag.
func (s *Session) run(ctx context.Context, p Parsed) (string, error) {
	switch x := p.Stmt.(type) {
	case *ast.Transaction:
		return s.transaction(ctx, x)
	case *ast.Set:
		return s.set(x)
	case *ast.Discard:
		return s.discard(x)
	case *ast.Prepare:
		return "PREPARE", s.prepareSQL(ctx, x, p)
	case *ast.Deallocate:
		if x.Name == "" {
			clear(s.statements)
			return "DEALLOCATE ALL", nil
		}
		if _, err := s.Statement(x.Name); err != nil {
			return "", err
		}
		s.CloseStatement(x.Name)
		return "DEALLOCATE", nil
	case *ast.Backup:
		return "BACKUP", s.backup(ctx, x)
	case *ast.Listen:
		return strings.ToUpper(x.Kind), nil
	case *ast.NoOp:
		if x.Tag == "VACUUM" && s.tx != nil && s.tx.explicit {
			return "", pgerr.New(pgerr.ActiveSQLTransaction, "VACUUM cannot run inside a transaction block")
		}
		return x.Tag, nil
	}
	if s.readOnly() {
		return "", errReadOnly(statementName(p.Stmt))
	}
	return s.define(ctx, p)
}

// set executes SET and RESET.
func (s *Session) set(x *ast.Set) (string, error) {
	tag := "SET"
	if x.Default {
		if strings.EqualFold(x.Name, "all") || len(x.Values) == 0 {
			tag = "RESET"
		}
		if x.Name == "session_authorization" {
			return tag, posErr(s.setSessionAuthorization("", true), x.Pos)
		}
		return tag, posErr(s.vars.reset(x.Name), x.Pos)
	}
	if x.Local && s.tx == nil {
		s.warning(pgerr.NoActiveSQLTransaction, "SET LOCAL can only be used in transaction blocks")
		return tag, nil
	}
	value := strings.Join(x.Values, ", ")
	switch strings.ToLower(x.Name) {
	case "session_authorization":
		return tag, posErr(s.setAuthorization(value, x), x.Pos)
	case "search_path":
		for i, v := range x.Values {
			if v != strings.ToLower(v) || strings.ContainsAny(v, " ,\"") {
				x.Values[i] = `"` + strings.ReplaceAll(v, `"`, `""`) + `"`
			}
		}
		value = strings.Join(x.Values, ", ")
	case "datestyle":
		now, _ := s.vars.get("datestyle")
		merged, err := dateStyle(now, value)
		if err != nil {
			return "", posErr(err, x.Pos)
		}
		value = merged
	case "client_encoding", "names":
		x.Name = "client_encoding"
		if err := s.vars.apply("client_encoding", value); err != nil {
			return "", posErr(err, x.Pos)
		}
		value = "UTF8"
	}
	if i, ok := settingIndex[strings.ToLower(x.Name)]; ok && s.tx != nil {
		v, err := settings[i].check(value)
		if err != nil {
			return "", posErr(err, x.Pos)
		}
		if t := modeSetting(strings.ToLower(x.Name), v); t != nil {
			return tag, posErr(s.setTxModes(t), x.Pos)
		}
	}
	return tag, posErr(s.vars.set(x.Name, value, x.Local), x.Pos)
}

func posErr(err error, pos int) error {
	if err == nil {
		return nil
	}
	return pgerr.AtPos(err, pos)
}

// discard executes DISCARD.
func (s *Session) discard(x *ast.Discard) (string, error) {
	what := strings.ToLower(x.What)
	if what == "all" {
		if s.tx != nil && s.tx.explicit {
			return "", pgerr.New(pgerr.ActiveSQLTransaction, "DISCARD ALL cannot run inside a transaction block")
		}
		for name := range s.portals {
			s.dropPortal(name)
		}
		clear(s.statements)
		if err := s.setSessionAuthorization("", true); err != nil {
			return "", err
		}
		if err := s.vars.reset("all"); err != nil {
			return "", err
		}
	}
	return "DISCARD " + strings.ToUpper(x.What), nil
}

// prepareSQL executes PREPARE.
func (s *Session) prepareSQL(ctx context.Context, x *ast.Prepare, p Parsed) error {
	cat := s.catalog()
	var ts []types.T
	for _, tn := range x.Types {
		t, err := planner.ResolveType(tn, cat)
		if err != nil {
			return err
		}
		ts = append(ts, t)
	}
	st, err := s.Prepare(ctx, Parsed{Stmt: x.Stmt, Text: x.Text, Offset: p.Offset}, ts)
	if err != nil {
		return err
	}
	for i, t := range st.params {
		if t.OID == 0 || t.OID == types.OIDUnknown {
			return pgerr.New(pgerr.IndeterminateDatatype, "could not determine data type of parameter $%d", i+1)
		}
	}
	st.fromSQL = true
	return posErr(s.SetStatement(x.Name, st), x.Pos)
}

// execute executes EXECUTE: the prepared statement's own portal.
func (s *Session) execute(ctx context.Context, x *ast.Execute) (Portal, error) {
	st, err := s.Statement(x.Name)
	if err != nil {
		return nil, posErr(err, x.Pos)
	}
	if len(x.Args) != len(st.params) {
		return nil, pgerr.New(pgerr.SyntaxError, "wrong number of parameters for prepared statement \"%s\"", x.Name).
			WithDetail("Expected %d parameters but got %d.", len(st.params), len(x.Args)).At(x.Pos)
	}
	args := make([]types.Datum, len(x.Args))
	fc := s.fnCtx(ctx)
	for i, a := range x.Args {
		e, err := planner.BindScalar(a, nil, st.params[i], s.planOptions(nil, s.query))
		if err != nil {
			return nil, err
		}
		if args[i], err = evalConst(fc, e); err != nil {
			return nil, err
		}
	}
	return s.Bind(ctx, st, args)
}
