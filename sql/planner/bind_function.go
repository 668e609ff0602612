package planner

import (
	"slices"

	"streamsql/catalog"
	"streamsql/internal/fn"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/sql/parser"
	"streamsql/sql/parser/ast"
)

// Users' functions are SQL expressions. A call is replaced by the body, in which the arguments stand for the parameters, before
// anything else looks at the expression: so the rest of the planner and the operators know nothing of functions.

// funcArgs are the arguments of a call whose body is being bound.
type funcArgs struct {
	f    *catalog.Function
	args []Expr
	uses []int
	// again binds an argument anew: a subquery may stand in a plan only once.
	again func(i int) (Expr, error)
	// rows says that the body is a query: what it uses of an argument may be evaluated in another number than the call.
	rows bool
	pos  int
}

func (a *funcArgs) use(i int) (Expr, error) {
	a.uses[i]++
	x := a.args[i]
	if volatileExpr(x) && (a.rows || a.uses[i] > 1) {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "the volatile argument of function %s cannot be evaluated once only", a.f.Signature()).
			WithHint("Compute the argument in a subquery in FROM, and call the function with its column.").At(a.pos)
	}
	if a.uses[i] > 1 && hasSubquery(x) {
		return a.again(i)
	}
	return x, nil
}

// param gives what $n stands for.
func (a *funcArgs) param(e *ast.Param) (Expr, error) {
	if e.N < 1 || e.N > len(a.args) {
		return nil, pgerr.New(pgerr.UndefinedParameter, "there is no parameter $%d", e.N).At(e.Pos)
	}
	return a.use(e.N - 1)
}

// named gives what a parameter's name stands for, nil where there is none: name, f.name, and fields of it.
func (a *funcArgs) named(parts []string, pos int) (Expr, error) {
	if a == nil {
		return nil, nil
	}
	if len(parts) > 1 && parts[0] == a.f.Name && slices.Contains(a.f.ArgNames, parts[1]) {
		parts = parts[1:]
	}
	i := slices.Index(a.f.ArgNames, parts[0])
	if i < 0 || parts[0] == "" {
		return nil, nil
	}
	x, err := a.use(i)
	for _, name := range parts[1:] {
		if err != nil {
			return nil, err
		}
		j := -1
		if rec := x.Type().Record(); rec != nil {
			j = slices.Index(rec.Names, name)
		}
		if j < 0 {
			return nil, nil
		}
		x = fieldOf(x, j)
	}
	return x, err
}

// userFunctions gives the functions made by users that a call may mean.
func (b *binder) userFunctions(n ast.Name) []*catalog.Function {
	if b.o.Catalog == nil {
		return nil
	}
	return b.o.Catalog.FindFunctions(n.Schema(), n.Base(), b.o.SearchPath)
}

// hidesAggregate reports whether a plain call that names an aggregate can only mean a user's function: no aggregate takes so many arguments.
func hidesAggregate(users []*catalog.Function, e *ast.FuncCall) bool {
	if len(users) == 0 || e.Star || e.Distinct || len(e.OrderBy) > 0 || len(e.WithinGroup) > 0 || e.Filter != nil || e.Over != nil {
		return false
	}
	for _, a := range fn.LookupAgg(e.Name.Base()) {
		if len(a.Args) == len(e.Args) || a.Variadic {
			return false
		}
	}
	return true
}

// paramOrder gives the parameter that each argument of a call is for; ok is false where the function cannot be called so.
func paramOrder(f *catalog.Function, e *ast.FuncCall) (order []int, ok bool) {
	filled := make([]bool, len(f.Args))
	for i := range e.Args {
		at := i
		if i < len(e.ArgNames) && e.ArgNames[i] != "" {
			at = slices.Index(f.ArgNames, e.ArgNames[i])
		}
		if at < 0 || at >= len(f.Args) || filled[at] {
			return nil, false
		}
		filled[at] = true
		order = append(order, at)
	}
	for i, given := range filled {
		if !given && i < len(f.Args)-len(f.Defaults) {
			return nil, false
		}
	}
	return order, true
}

// userCall binds a call for which there are functions of users besides built-in ones.
func (b *binder) userCall(c *exprCtx, e *ast.FuncCall, users []*catalog.Function) (Expr, error) {
	args, err := b.exprs(c, e.Args)
	if err != nil {
		return nil, err
	}
	pos := make([]int, len(e.Args))
	for i, a := range e.Args {
		pos[i] = a.Position()
	}
	named := slices.ContainsFunc(e.ArgNames, func(n string) bool { return n != "" })
	var cands []fn.Candidate
	var of []*catalog.Function
	var orders [][]int
	for _, f := range users {
		order, ok := paramOrder(f, e)
		if !ok {
			continue
		}
		cand := fn.Candidate{Ret: f.Ret}
		for _, p := range order {
			cand.Args = append(cand.Args, f.Args[p])
		}
		same := func(k fn.Candidate) bool {
			return slices.EqualFunc(k.Args, cand.Args, func(a, b types.T) bool { return a.OID == b.OID })
		}
		if i := slices.IndexFunc(cands, same); i >= 0 && f.Schema != of[i].Schema {
			continue // hidden by one earlier in the path
		}
		cands, of, orders = append(cands, cand), append(of, f), append(orders, order)
	}
	name, i := e.Name.Base(), 0
	var r *fn.Resolved
	if named || e.Name.Schema() != "" {
		var coerced []types.T
		var ret types.T
		var miss fn.ResolveError
		i, coerced, ret, miss = fn.Resolve(cands, exprTypes(args))
		switch {
		case miss == fn.NoMatch && named && e.Name.Schema() == "" && len(fn.Lookup(name)) > 0:
			builtin, argPos, err := b.callArgs(c, e, name)
			if err != nil {
				return nil, err
			}
			if r, err = fn.ResolveFunc(name, exprTypes(builtin)); err != nil {
				return nil, pgerr.AtPos(err, e.Pos)
			}
			args, pos, i = builtin, argPos, -1
		case miss == fn.NoMatch && named:
			return nil, noNamedMatch(e, args)
		case miss != fn.Matched:
			return nil, pgerr.AtPos(fn.FuncError(miss, e.Name.String(), exprTypes(args)), e.Pos)
		default:
			r = &fn.Resolved{Args: coerced, Ret: ret}
		}
	} else if r, i, err = fn.ResolveAmong(name, exprTypes(args), cands); err != nil {
		return nil, pgerr.AtPos(err, e.Pos)
	}
	if i < 0 {
		x, err := b.applyFunc(r, args, e.Pos, pos)
		if err == nil && r.Func.Set != nil {
			return b.setCall(c, x.(*Call), name)
		}
		return x, err
	}
	f, order := of[i], orders[i]
	a := &funcArgs{f: f, args: make([]Expr, len(f.Args)), pos: e.Pos}
	given := make([]int, len(f.Args))
	for j, p := range order {
		if a.args[p], err = b.mustCoerce(args[j], r.Args[j].Bare(), fn.Implicit, pos[j]); err != nil {
			return nil, err
		}
		given[p] = j + 1
	}
	for p := range a.args {
		if given[p] == 0 {
			if a.args[p], err = b.paramDefault(f, p); err != nil {
				return nil, inlineError(f, err)
			}
		}
	}
	outer := b.fnArgs
	a.again = func(p int) (Expr, error) {
		inner := b.fnArgs
		b.fnArgs = outer
		defer func() { b.fnArgs = inner }()
		if given[p] == 0 {
			return b.paramDefault(f, p)
		}
		j := given[p] - 1
		x, err := b.expr(c, e.Args[j])
		if err != nil {
			return nil, err
		}
		return b.mustCoerce(x, r.Args[j].Bare(), fn.Implicit, pos[j])
	}
	return b.inline(c, a, r.Ret)
}

// paramDefault binds the DEFAULT of a parameter.
func (b *binder) paramDefault(f *catalog.Function, p int) (Expr, error) {
	e, err := parser.ParseExpr(f.Defaults[p-(len(f.Args)-len(f.Defaults))])
	if err != nil {
		return nil, err
	}
	outer := b.fnArgs
	b.fnArgs = nil
	defer func() { b.fnArgs = outer }()
	x, err := b.expr(&exprCtx{s: &scope{}, clause: "DEFAULT expressions", noSubqueries: true,
		columnsForbidden: "cannot use table references in parameter default value"}, e)
	if err != nil {
		return nil, err
	}
	x, ok, err := b.coerce(x, f.Args[p].Bare(), fn.Assignment, e.Position())
	if err == nil && !ok {
		err = pgerr.New(pgerr.DatatypeMismatch, "argument of DEFAULT must be type %s, not type %s", f.Args[p].Format(), x.Type().Bare().Format())
	}
	return x, err
}

// inlineError says of an error in a body where it is: positions in the body mean nothing to who calls the function.
func inlineError(f *catalog.Function, err error) error {
	e := *pgerr.From(err)
	e.Position = 0
	if e.Where == "" {
		e.Where = "SQL function \"" + f.Name + "\" during inlining"
	}
	return &e
}

// parseBody reads the body, which must be one query.
func parseBody(f *catalog.Function) (*ast.Query, error) {
	stmts, err := parser.Parse(f.Body)
	if err != nil {
		return nil, err
	}
	const hint = "Write one SELECT."
	switch len(stmts) {
	case 0:
		return nil, returnMismatch(f.Ret).WithDetail("Function's final statement must be SELECT or INSERT/UPDATE/DELETE RETURNING.")
	case 1:
		if q, ok := stmts[0].Stmt.(*ast.Query); ok {
			return q, nil
		}
		return nil, pgerr.New(pgerr.FeatureNotSupported, "functions other than queries are not supported").WithHint(hint)
	}
	return nil, pgerr.New(pgerr.FeatureNotSupported, "functions of several statements are not supported").WithHint(hint)
}

// inline gives the body with the arguments in it.
func (b *binder) inline(c *exprCtx, a *funcArgs, ret types.T) (Expr, error) {
	f := a.f
	if slices.Contains(b.inlining, f.OID) {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "function %s calls itself, which is not supported", f.Signature()).
			WithHint("Use WITH RECURSIVE for what recurs.").At(a.pos)
	}
	if b.viewDepth == 0 && !slices.Contains(b.calls, f.OID) {
		b.calls = append(b.calls, f.OID)
	}
	q, err := parseBody(f)
	if err != nil {
		return nil, inlineError(f, err)
	}
	x, err := b.body1(c, a, q, ret)
	if err != nil {
		if pgerr.From(err).Position == a.pos && pgerr.Code(err) == pgerr.FeatureNotSupported && pgerr.From(err).Where == "" {
			return nil, err // a call that cannot be inlined
		}
		return nil, inlineError(f, err)
	}
	x = a.place(x)
	if !f.Strict || len(a.args) == 0 {
		return x, nil
	}
	var null []Expr
	for i, arg := range a.args {
		if k, ok := arg.(*Const); ok {
			if k.Val == nil {
				return &Const{nil, ret}, nil
			}
			continue
		}
		if a.uses[i] > 0 && propagatesNull(x, arg) {
			continue
		}
		if arg, err = a.use(i); err != nil {
			return nil, err
		}
		null = append(null, &IsNull{X: arg})
	}
	switch len(null) {
	case 0:
		return x, nil
	case 1:
		return &Case{[]When{{null[0], &Const{nil, ret}}}, x, ret}, nil
	}
	return &Case{[]When{{&Or{null}, &Const{nil, ret}}}, x, ret}, nil
}

// propagatesNull reports whether x is NULL, and nothing of it fails, wherever arg is NULL: strict functions lead from one to the other.
func propagatesNull(x, arg Expr) bool {
	if x == arg {
		return true
	}
	switch x := x.(type) {
	case *Call:
		if x.Fn.Strict {
			for _, y := range x.Args {
				if propagatesNull(y, arg) {
					return true
				}
			}
		}
	case *Cast:
		return propagatesNull(x.X, arg)
	}
	return false
}

// body1 binds the body: as an expression where it is SELECT e, else as a subquery that gives its first row.
func (b *binder) body1(c *exprCtx, a *funcArgs, q *ast.Query, ret types.T) (Expr, error) {
	outer := b.fnArgs
	b.fnArgs = a
	b.inlining = append(b.inlining, a.f.OID)
	defer func() {
		b.fnArgs = outer
		b.inlining = b.inlining[:len(b.inlining)-1]
	}()
	in := &exprCtx{s: &scope{}, clause: "SELECT", noSubqueries: c.noSubqueries}
	if e := soleExpr(q); e != nil {
		a.uses = make([]int, len(a.args))
		x, err := b.expr(in, e)
		code := pgerr.Code(err)
		// Aggregates, window functions and sets need a query of their own.
		if c.noSubqueries || code != pgerr.GroupingError && code != pgerr.WindowingError && code != pgerr.FeatureNotSupported {
			if err != nil {
				return nil, err
			}
			return b.result(x, ret)
		}
	}
	if q.Emit != nil {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "EMIT is not allowed in a function").At(q.Emit.Pos)
	}
	a.uses, a.rows = make([]int, len(a.args)), true
	first := *q
	one := ast.Expr(&ast.Literal{At: ast.At{Pos: q.Pos}, Kind: ast.LitInt, Text: "1"})
	if q.Limit != nil {
		one = &ast.FuncCall{At: ast.At{Pos: q.Pos}, Name: ast.Name{Parts: []string{"least"}}, Args: []ast.Expr{q.Limit, one}, Special: true}
	}
	first.Limit, first.WithTies = one, false
	if s, ok := q.Body.(*ast.Select); ok && q.Limit == nil && len(s.GroupBy) == 0 && len(s.Items) == 1 && len(s.From) == 0 && s.Where == nil && s.Having == nil {
		first = *q // at most one row, but for sets
		if fc, ok := s.Items[0].Expr.(*ast.FuncCall); !ok || len(fn.LookupAgg(fc.Name.Base())) == 0 {
			first.Limit = one
		}
	}
	x, err := b.subqueryExpr(in, &ast.ScalarQuery{At: ast.At{Pos: q.Pos}, Query: &first})
	if err != nil {
		if e := pgerr.From(err); e.Code == pgerr.SyntaxError && e.Message == "subquery must return only one column" {
			err = returnMismatch(ret).WithDetail("Final statement must return exactly one column.")
		}
		return nil, err
	}
	return b.result(x, ret)
}

// soleExpr gives e of a query that is just SELECT e, else nil.
func soleExpr(q *ast.Query) ast.Expr {
	s, ok := q.Body.(*ast.Select)
	if !ok || q.With != nil || len(q.OrderBy) > 0 || q.Limit != nil || q.Offset != nil || q.Emit != nil || len(s.Items) != 1 || s.Distinct || len(s.DistinctOn) > 0 ||
		len(s.From) > 0 || s.Where != nil || len(s.GroupBy) > 0 || s.Having != nil || len(s.Windows) > 0 {
		return nil
	}
	if _, star := s.Items[0].Expr.(*ast.Star); star {
		return nil
	}
	return s.Items[0].Expr
}

func returnMismatch(ret types.T) *pgerr.Error {
	return pgerr.New(pgerr.InvalidFunctionDefinition, "return type mismatch in function declared to return %s", ret.Format())
}

// result converts what the body gives to the declared type.
func (b *binder) result(x Expr, ret types.T) (Expr, error) {
	if unknown(x) { // as any literal in a select list
		var err error
		if x, err = b.mustCoerce(x, types.Text, fn.Implicit, 0); err != nil {
			return nil, err
		}
	}
	y, ok, err := b.coerce(x, ret, fn.Assignment, 0)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, returnMismatch(ret).WithDetail("Actual return type is %s.", x.Type().Bare().Format())
	}
	if t := y.Type(); t.OID == ret.OID && t.Mod >= 0 { // the declared type has no modifier
		y = &Cast{X: y, To: ret}
	}
	return y, nil
}

// place gives x with the positions of what is not in an argument set to the call's: those in the body mean nothing in the statement.
func (a *funcArgs) place(x Expr) Expr {
	own := map[Expr]bool{}
	for _, arg := range a.args {
		walkExpr(arg, func(y Expr) bool {
			own[y] = true
			return true
		})
	}
	return mapExpr(x, func(y Expr) Expr {
		if own[y] {
			return y
		}
		switch y := y.(type) {
		case *Call:
			n := *y
			n.Pos = a.pos
			return &n
		case *Cast:
			n := *y
			n.Pos = a.pos
			return &n
		case *In:
			n := *y
			n.Pos = a.pos
			return &n
		case *AnyArray:
			n := *y
			n.Pos = a.pos
			return &n
		case *Array:
			n := *y
			n.Pos = a.pos
			return &n
		}
		return y
	})
}

// CheckFunction binds the body of a function as a call of it would. Errors have positions in the body, or none.
func CheckFunction(f *catalog.Function, o *Options) error {
	q, err := parseBody(f)
	if err != nil {
		return err
	}
	b := newBinder(o)
	for p := len(f.Args) - len(f.Defaults); p < len(f.Args); p++ {
		if _, err := b.paramDefault(f, p); err != nil {
			return unplaced(err)
		}
	}
	if slices.ContainsFunc(f.Args, func(t types.T) bool { return t.IsPseudo() }) {
		return nil // what the body means depends on the call
	}
	a := &funcArgs{f: f, args: make([]Expr, len(f.Args))}
	a.again = func(i int) (Expr, error) { return a.args[i], nil }
	for i, t := range f.Args {
		id := b.newCol(f.ArgNames[i], t)
		a.args[i] = &Column{Index: id, Typ: t}
	}
	_, err = b.body1(&exprCtx{}, a, q, f.Ret)
	return err
}
