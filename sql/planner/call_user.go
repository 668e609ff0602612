package planner

import (
	"errors"
	"slices"

	"streamsql/catalog"
	"streamsql/internal/fn"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/sql/parser/ast"
)

// notInlined says why the body of a function cannot be put in place of a call: the session has to run it.
type notInlined struct{ err *pgerr.Error }

func (e *notInlined) Error() string { return e.err.Error() }
func (e *notInlined) Unwrap() error { return e.err }

// userCallOf is a call of a user's function whose arguments are bound and have the types of the parameters.
type userCallOf struct {
	a   *funcArgs
	ret types.T
	// rec is the shape of the rows that it returns, nil of a scalar and of a record of unknown shape.
	rec *types.Record
	// column names the result in FROM where it is no row; named says that the function does, and no alias hides it.
	column string
	named  bool
}

// userResult finds what a call returns: want are the declared types of the arguments, have the actual ones.
func (b *binder) userResult(a *funcArgs, want, have []types.T, ret types.T, shape *types.Record) *userCallOf {
	u := &userCallOf{a: a, ret: ret, column: a.f.Name}
	names, ts := a.f.Out()
	for i := range ts {
		ts[i] = fn.PolyResult(want, have, ts[i])
	}
	switch {
	case len(names) == 1 && ret.OID != types.OIDRecord:
		for _, p := range a.f.Params {
			if p.Mode != 'i' && p.Mode != 'v' && p.Name != "" {
				u.column, u.named = p.Name, true
			}
		}
		u.rec = ret.Record()
	case len(names) > 0:
		u.rec = &types.Record{Names: names, Types: ts}
		u.ret = types.T{OID: types.OIDRecord, Mod: -1, Rec: u.rec}
	case ret.OID == types.OIDRecord && shape != nil:
		u.rec = shape
		u.ret = types.T{OID: types.OIDRecord, Mod: -1, Rec: u.rec}
	default:
		u.rec = ret.Record()
	}
	return u
}

// runCall gives a call that the session runs.
func (b *binder) runCall(c *exprCtx, u *userCallOf, why error) (Expr, error) {
	f := u.a.f
	if b.o.Continuous {
		e := pgerr.New(pgerr.FeatureNotSupported, "function %s cannot be used in a continuous query", f.Signature()).
			WithHint("Only a function whose body is one plain query can be maintained; call one that returns a set in FROM.").At(u.a.pos)
		if why != nil {
			e = e.WithDetail("%s.", pgerr.From(why).Message)
		}
		return nil, e
	}
	b.noteCall(f.OID)
	if b.viewDepth == 0 && !slices.Contains(b.calls, f.OID) {
		b.calls = append(b.calls, f.OID)
	}
	b.runs = true
	call := &fn.UserCall{OID: f.OID, Name: f.Name, Args: exprTypes(u.a.args), Ret: u.ret, Rec: u.rec, Column: u.column, Set: f.Set, Strict: f.Strict,
		Volatile: f.Volatility == 'v', Pos: u.a.pos}
	x := &Call{Fn: call.Func(), Args: u.a.args, Typ: u.ret, Pos: u.a.pos}
	if f.Set {
		return b.setCall(c, x, f.Name)
	}
	return x, nil
}

// userExpr binds a call in an expression: with the body in its place where that is possible.
func (b *binder) userExpr(c *exprCtx, u *userCallOf) (x Expr, err error) {
	if u.a.f.Set || u.ret.Is(types.Void) || u.ret.OID == types.OIDRecord {
		x, err = b.runOrJoin(c, u)
	} else {
		x, err = b.inline(c, u.a, u.ret)
		var n *notInlined
		switch {
		case errors.As(err, &n):
			x, err = b.runCall(c, u, n)
		case err != nil && u.rec != nil && pgerr.Code(err) == pgerr.InvalidFunctionDefinition: // the columns of a row
			x, err = b.runOrJoin(c, u)
		}
	}
	if err == nil && !u.a.f.Set {
		x, err = b.guarded(x, u.a.f.RetDomain)
	}
	b.outName = ""
	if u.named {
		b.outName = u.column
	}
	return x, err
}

// runOrJoin binds a call of a function that returns a set or a row. What a continuous query maintains is the body, joined to the row that calls it.
func (b *binder) runOrJoin(c *exprCtx, u *userCallOf) (Expr, error) {
	if !b.o.Continuous || !c.srfs || c.sel == nil || c.inAgg || c.clause == "FROM" || len(c.sel.srfs) > 0 {
		return b.runCall(c, u, nil)
	}
	rel, cols, err := b.inlineRows(u)
	if err != nil {
		if n := (*notInlined)(nil); errors.As(err, &n) {
			return b.runCall(c, u, n)
		}
		return nil, err
	}
	var x Expr
	if u.rec == nil {
		x = b.col(cols[0])
	} else {
		r := &Row{Typ: u.ret}
		for _, id := range cols {
			r.Elems = append(r.Elems, b.col(id))
		}
		x = r
	}
	id := b.newCol(u.a.f.Name, u.ret)
	c.sel.srfs = append(c.sel.srfs, boundSet{id: id, rel: extend(rel, []projItem{{id, x}}, b)})
	return b.colAt(id, u.a.pos), nil
}

// inlineRows gives the body of a function that returns rows as a subquery in which the arguments stand for the parameters, and its columns.
func (b *binder) inlineRows(u *userCallOf) (lrel, []int, error) {
	a, f := u.a, u.a.f
	cannot := func(format string, args ...any) error {
		return &notInlined{pgerr.New(pgerr.FeatureNotSupported, format, args...).At(a.pos)}
	}
	stmts, err := parseBody(f)
	if err != nil {
		return nil, nil, inlineError(f, err)
	}
	if len(stmts) != 1 {
		return nil, nil, cannot("The body of function %s is several statements", f.Name)
	}
	q, ok := stmts[0].Stmt.(*ast.Query)
	switch {
	case !ok:
		return nil, nil, cannot("The body of function %s is no query", f.Name)
	case q.Emit != nil:
		return nil, nil, inlineError(f, pgerr.New(pgerr.FeatureNotSupported, "EMIT is not allowed in a function").At(q.Emit.Pos))
	case slices.Contains(b.inlining, f.OID):
		return nil, nil, cannot("Function %s calls itself", f.Name)
	case u.rec == nil && u.ret.OID == types.OIDRecord || u.ret.Is(types.Void):
		return nil, nil, cannot("Function %s returns %s", f.Name, u.ret.Format())
	}
	b.noteCall(f.OID)
	if b.viewDepth == 0 && !slices.Contains(b.calls, f.OID) {
		b.calls = append(b.calls, f.OID)
	}
	// What may be evaluated once only, or stand in a plan once only, becomes a column first.
	var args []projItem
	before := a.args
	a.args = slices.Clone(a.args)
	for i, x := range a.args {
		if volatileExpr(x) || hasSubquery(x) {
			id := b.newCol(f.ArgNames[i], x.Type())
			args = append(args, projItem{id, x})
			a.args[i] = b.col(id)
		}
	}
	defer func() { a.args = before }()
	outer := b.fnArgs
	b.fnArgs = a
	b.inlining = append(b.inlining, f.OID)
	a.uses, a.rows = make([]int, len(a.args)), true
	r, err := b.queryIn(q, nil, nil)
	b.fnArgs = outer
	b.inlining = b.inlining[:len(b.inlining)-1]
	if _, ok := err.(*notInlined); ok {
		return nil, nil, err
	}
	if err == nil {
		err = b.bodyColumns(r, u.ret, u.rec)
	}
	if err != nil {
		return nil, nil, inlineError(f, err)
	}
	if !b.o.Continuous && volatileRel(r.rel) { // as often, and in the order, that it is called
		return nil, nil, cannot("The body of function %s is volatile", f.Name)
	}
	rel := r.rel
	if !f.Set { // the first row, or NULLs
		one := &lLimit{in: rel, keys: r.order, limit: &Const{int64(1), types.Int8}, rank: -1, sorted: len(r.order) > 0}
		if rel, err = b.apply(oneRow(), one, LeftJoin, nil); err != nil {
			return nil, nil, cannot("The body of function %s cannot be joined", f.Name)
		}
	}
	if f.Strict {
		var conds []Expr
		for _, x := range a.args {
			if k, ok := x.(*Const); ok && k.Val != nil {
				continue
			}
			conds = append(conds, &IsNull{X: x, Not: true})
		}
		if len(conds) > 0 {
			rel = &lFilter{in: rel, conds: conds}
		}
	}
	var cols []int
	for _, c := range r.cols {
		cols = append(cols, c.id)
	}
	if u.rec != nil && len(r.cols) == 1 && len(u.rec.Types) != 1 { // one column that holds the rows
		var items []projItem
		cols = nil
		for i, n := range u.rec.Names {
			id := b.newCol(n, u.rec.Types[i])
			items = append(items, projItem{id, fieldOf(b.col(r.cols[0].id), i)})
			cols = append(cols, id)
		}
		rel = extend(rel, items, b)
	}
	if len(args) > 0 {
		in := oneRow()
		for i := range args {
			if in, args[i].e, err = b.unnest(in, args[i].e); err != nil {
				return nil, nil, err
			}
		}
		in = extend(in, args, b)
		if rel, err = b.apply(in, rel, InnerJoin, nil); err != nil {
			return nil, nil, err
		}
	}
	return rel, cols, nil
}

// bodyColumns converts the result of the last statement of a body to what the function returns: ret, of the shape rec if that is known.
func (b *binder) bodyColumns(r *qres, ret types.T, rec *types.Record) error {
	if ret.Is(types.Void) || rec == nil && ret.OID == types.OIDRecord {
		return b.resolveUnknown(r)
	}
	if err := b.resolveUnknown(r); err != nil {
		return err
	}
	want, whole, err := b.bodyTypes(len(r.cols), func(i int) types.T { return b.cols[r.cols[i].id].typ }, ret, rec)
	if err != nil || whole {
		return err
	}
	// Columns may share an id, which is converted in each of its own way.
	var items []projItem
	for i := range r.cols {
		id := r.cols[i].id
		x, err := b.bodyColumn(b.col(id), want[i], i, rec != nil, ret)
		if err != nil {
			return err
		}
		if _, same := x.(*Column); same && !slices.ContainsFunc(r.cols[:i], func(c outCol) bool { return c.id == id }) {
			continue
		}
		n := b.newCol(r.cols[i].name, want[i])
		items = append(items, projItem{n, x})
		r.cols[i].id = n
	}
	r.rel = extend(r.rel, items, b)
	return nil
}

// bodyTypes gives the types that the n columns of a body must have; whole says that the only one holds the row.
func (b *binder) bodyTypes(n int, typ func(i int) types.T, ret types.T, rec *types.Record) (want []types.T, whole bool, err error) {
	mismatch := returnMismatch(ret)
	switch {
	case rec == nil && n != 1:
		return nil, false, mismatch.WithDetail("Final statement must return exactly one column.")
	case rec == nil:
		return []types.T{ret}, false, nil
	case n == 1 && (ret.IsComposite() && typ(0).OID == ret.OID || len(rec.Types) > 1 && typ(0).Record() != nil && sameShape(typ(0).Record(), rec)):
		return nil, true, nil
	case n < len(rec.Types):
		return nil, false, mismatch.WithDetail("Final statement returns too few columns.")
	case n > len(rec.Types):
		return nil, false, mismatch.WithDetail("Final statement returns too many columns.")
	}
	return rec.Types, false, nil
}

func (b *binder) bodyColumn(x Expr, want types.T, i int, row bool, ret types.T) (Expr, error) {
	y, ok, err := b.coerce(x, want, fn.Assignment, 0)
	if err != nil {
		return nil, err
	}
	if !ok {
		e := returnMismatch(ret)
		if row {
			return nil, e.WithDetail("Final statement returns %s instead of %s at column %d.", x.Type().Bare().Format(), want.Bare().Format(), i+1)
		}
		return nil, e.WithDetail("Actual return type is %s.", x.Type().Bare().Format())
	}
	if t := y.Type(); t != want && want.Rec == nil { // the declared type has no modifier
		y = &Cast{X: y, To: want}
	}
	return y, nil
}

// FuncBody is what a call of a function runs.
type FuncBody struct {
	Stmts []FuncStmt
	// Whole says that the last statement gives the rows in one column.
	Whole bool
}

// FuncStmt is a statement of a body: one of Query, DML and Other.
type FuncStmt struct {
	Query *Query
	DML   *DML
	Other ast.Stmt
	Text  string
}

// funcBody says, in Options, that what is planned is a statement of a function.
type funcBody struct {
	f     *catalog.Function
	last  bool // whose result is the function's
	ret   types.T
	rec   *types.Record
	whole bool
}

// PlanBody plans the statements of a function for arguments of the types args, the parameters of the plans. ret and rec are what it
// returns, as of fn.UserCall.
func PlanBody(f *catalog.Function, args []types.T, ret types.T, rec *types.Record, o *Options) (*FuncBody, error) {
	stmts, err := parseBody(f)
	if err != nil {
		return nil, err
	}
	out := &FuncBody{}
	noResult := func() error {
		if ret.Is(types.Void) {
			return nil
		}
		return returnMismatch(ret).WithDetail("Function's final statement must be SELECT or INSERT/UPDATE/DELETE RETURNING.")
	}
	if len(stmts) == 0 {
		return out, noResult()
	}
	for i, st := range stmts {
		c := *o
		c.ParamTypes, c.Text = args, st.Text
		c.body = &funcBody{f: f, ret: ret, rec: rec, last: i == len(stmts)-1 && !ret.Is(types.Void)}
		s := FuncStmt{Text: st.Text}
		switch x := st.Stmt.(type) {
		case *ast.Query:
			if x.Emit != nil {
				return nil, pgerr.New(pgerr.FeatureNotSupported, "EMIT is not allowed in a function").At(x.Emit.Pos)
			}
			s.Query, err = PlanQuery(x, &c)
		case *ast.Insert, *ast.Update, *ast.Delete, *ast.Merge:
			s.DML, err = PlanDML(x, &c)
		default:
			s.Other = x
		}
		if err == nil && c.body.last && s.Query == nil && (s.DML == nil || !s.DML.HasReturning) {
			err = noResult()
		}
		if err != nil {
			return nil, err
		}
		out.Whole = c.body.whole
		out.Stmts = append(out.Stmts, s)
	}
	return out, nil
}

// bodyArgs are the parameters of the function whose statement is planned: they are those of the plan.
func (o *Options) bodyArgs() *funcArgs {
	if o.body == nil {
		return nil
	}
	a := &funcArgs{f: o.body.f, args: make([]Expr, len(o.ParamTypes)), uses: make([]int, len(o.ParamTypes))}
	for i, t := range o.ParamTypes {
		a.args[i] = &Param{i + 1, t}
	}
	return a
}

// bodyResult converts the result of a query that is the last of a body.
func (b *binder) bodyResult(r *qres) error {
	o := b.o.body
	if o == nil || !o.last {
		return nil
	}
	o.whole = o.rec != nil && len(r.cols) == 1 && len(o.rec.Types) != 1
	if o.rec != nil && len(r.cols) == 1 && len(o.rec.Types) == 1 {
		o.whole = o.ret.IsComposite() && b.cols[r.cols[0].id].typ.OID == o.ret.OID
	}
	return b.bodyColumns(r, o.ret, o.rec)
}

// bodyReturning is bodyResult for RETURNING.
func (b *binder) bodyReturning(ts []target) error {
	o := b.o.body
	if o == nil || !o.last || o.rec == nil && o.ret.OID == types.OIDRecord {
		return nil
	}
	want, whole, err := b.bodyTypes(len(ts), func(i int) types.T { return ts[i].e.Type() }, o.ret, o.rec)
	if err != nil || whole {
		o.whole = whole
		return err
	}
	for i := range ts {
		if ts[i].e, err = b.bodyColumn(ts[i].e, want[i], i, o.rec != nil, o.ret); err != nil {
			return err
		}
	}
	return nil
}

// volatileRel reports whether anything below r calls a volatile function.
func volatileRel(r lrel) bool {
	return slices.ContainsFunc(r.exprs(), func(e Expr) bool { return e != nil && volatileExpr(e) }) || slices.ContainsFunc(r.inputs(), volatileRel)
}
