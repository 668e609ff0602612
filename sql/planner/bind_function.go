package planner

import (
	"errors"
	"slices"

	"streamsql/catalog"
	"streamsql/internal/fn"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/sql/parser"
	"streamsql/sql/parser/ast"
)

// Users' functions are SQL statements. Where the body is one query a call is replaced by it, the arguments standing for the parameters, before
// anything else looks at the expression: so the rest of the planner and the operators know nothing of functions. Other
// bodies are run by the session, see call_user.go.

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
		return nil, &notInlined{pgerr.New(pgerr.FeatureNotSupported, "The volatile argument of function %s cannot be evaluated once only", a.f.Signature()).At(a.pos)}
	}
	if a.uses[i] > 1 && hasSubquery(x) && a.again != nil {
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

// paramOrder gives the parameter that each argument of a call is for; ok is false where the function cannot be called so. Those that
// a VARIADIC parameter takes up have its place.
func paramOrder(f *catalog.Function, e *ast.FuncCall) (order []int, ok bool) {
	filled := make([]bool, len(f.Args))
	last := len(f.Args) - 1
	for i := range e.Args {
		at := i
		if i < len(e.ArgNames) && e.ArgNames[i] != "" {
			at = slices.Index(f.ArgNames, e.ArgNames[i])
			if f.Variadic && !e.Variadic && at == last {
				return nil, false
			}
		} else if f.Variadic && !e.Variadic && i > last {
			at = last
		}
		if at < 0 || at > last || filled[at] && (i <= last || at < last) {
			return nil, false
		}
		filled[at] = true
		order = append(order, at)
	}
	if e.Variadic && !f.Variadic {
		return nil, false
	}
	for i, given := range filled {
		if !given && i < len(f.Args)-len(f.Defaults) {
			return nil, false
		}
	}
	return order, true
}

// userCall binds a call for which there are functions of users besides built-in ones. With take, one of a user's function is left to the caller.
func (b *binder) userCall(c *exprCtx, e *ast.FuncCall, users []*catalog.Function, take *userTake) (Expr, error) {
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
			t := f.Args[p]
			if spread := f.Variadic && !e.Variadic && p == len(f.Args)-1; spread {
				t = elemOf(t)
			}
			cand.Args = append(cand.Args, t)
		}
		same := func(k fn.Candidate) bool {
			return slices.EqualFunc(k.Args, cand.Args, func(a, b types.T) bool { return a.OID == b.OID })
		}
		if i := slices.IndexFunc(cands, same); i >= 0 {
			if f.Schema != of[i].Schema || f.Variadic && !of[i].Variadic {
				continue // hidden by one earlier in the path, or by one that spells the arguments out
			}
			if of[i].Variadic && !f.Variadic {
				cands[i], of[i], orders[i] = cand, f, order
				continue
			}
		}
		cands, of, orders = append(cands, cand), append(of, f), append(orders, order)
	}
	name, i := e.Name.Base(), 0
	var r *fn.Resolved
	if named || e.Variadic || e.Name.Schema() != "" {
		var coerced []types.T
		var ret types.T
		var miss fn.ResolveError
		i, coerced, ret, miss = fn.Resolve(cands, exprTypes(args))
		switch {
		case miss == fn.NoMatch && e.Variadic && e.Name.Schema() == "":
			if r, err = fn.ResolveVariadic(name, exprTypes(args)); err != nil {
				return nil, pgerr.AtPos(err, e.Pos)
			}
			i = -1
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
	given := make([][]int, len(f.Args)) // the arguments of each parameter
	for j, p := range order {
		given[p] = append(given[p], j)
	}
	spread := func(p int) bool { return f.Variadic && !e.Variadic && p == len(f.Args)-1 }
	// bind gives the value of a parameter; again says that the arguments are to be bound anew.
	bind := func(p int, again bool) (Expr, error) {
		if len(given[p]) == 0 {
			x, err := b.paramDefault(f, p)
			if err != nil && !again {
				err = inlineError(f, err)
			}
			return x, err
		}
		var elems []Expr
		for _, j := range given[p] {
			x := args[j]
			var err error
			if again {
				if x, err = b.expr(c, e.Args[j]); err != nil {
					return nil, err
				}
			}
			if x, err = b.mustCoerce(x, r.Args[j].Bare(), fn.Implicit, pos[j]); err != nil {
				return nil, err
			}
			elems = append(elems, x)
		}
		domain := uint32(0)
		if f.ArgDomains != nil {
			domain = f.ArgDomains[p]
		}
		if !spread(p) {
			if domain != 0 {
				return b.guarded(elems[0], domain)
			}
			return elems[0], nil
		}
		t, ok := elems[0].Type().Bare().ArrayOf()
		if !ok {
			return nil, pgerr.New(pgerr.UndefinedObject, "could not find array type for data type %s", elems[0].Type().Bare().Format()).At(e.Pos)
		}
		return b.guarded(&Array{elems, t, e.Pos}, domain)
	}
	for p := range a.args {
		if a.args[p], err = bind(p, false); err != nil {
			return nil, err
		}
	}
	outer := b.fnArgs
	a.again = func(p int) (Expr, error) {
		inner := b.fnArgs
		b.fnArgs = outer
		defer func() { b.fnArgs = inner }()
		return bind(p, true)
	}
	u := b.userResult(a, cands[i].Args, r.Args, r.Ret, c.shape)
	if take != nil {
		take.u = u
		return &Const{nil, types.Unknown}, nil
	}
	return b.userExpr(c, u)
}

// userTake receives the call of a user's function instead of an expression.
type userTake struct{ u *userCallOf }

// elemOf gives the type of the elements of an array, polymorphic ones included.
func elemOf(t types.T) types.T {
	switch t.OID {
	case types.OIDAnyarray:
		return types.Anyelement
	case types.OIDAnycompatiblearray:
		return types.Of(types.OIDAnycompatible)
	}
	e, _ := t.Elem()
	return e
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

// parseBody reads the statements of the body.
func parseBody(f *catalog.Function) ([]parser.Statement, error) { return parser.Parse(f.Body) }

// bodyQuery gives the body of a function that can stand in place of a call.
func bodyQuery(f *catalog.Function, pos int) (*ast.Query, error) {
	stmts, err := parseBody(f)
	if err != nil {
		return nil, inlineError(f, err)
	}
	if len(stmts) == 1 {
		if q, ok := stmts[0].Stmt.(*ast.Query); ok {
			return q, nil
		}
	}
	return nil, &notInlined{pgerr.New(pgerr.FeatureNotSupported, "The body of function %s is not one query", f.Name).At(pos)}
}

// inline gives the body with the arguments in it.
func (b *binder) inline(c *exprCtx, a *funcArgs, ret types.T) (Expr, error) {
	f := a.f
	if slices.Contains(b.inlining, f.OID) || b.o.body != nil && b.o.body.f.OID == f.OID {
		return nil, &notInlined{pgerr.New(pgerr.FeatureNotSupported, "Function %s calls itself", f.Signature()).At(a.pos)}
	}
	if b.viewDepth == 0 && !slices.Contains(b.calls, f.OID) {
		b.calls = append(b.calls, f.OID)
	}
	q, err := bodyQuery(f, a.pos)
	if err != nil {
		return nil, err
	}
	x, err := b.body1(c, a, q, ret)
	if err != nil {
		if n := (*notInlined)(nil); errors.As(err, &n) {
			return nil, err
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
	outer, owner := b.fnArgs, b.owner
	b.fnArgs, b.owner = a, "" // a function has the rights of whoever calls it, also in a view
	b.noteCall(a.f.OID)
	b.inlining = append(b.inlining, a.f.OID)
	defer func() {
		b.fnArgs, b.owner = outer, owner
		b.inlining = b.inlining[:len(b.inlining)-1]
	}()
	in := &exprCtx{s: &scope{}, clause: "SELECT", noSubqueries: c.noSubqueries}
	if e := soleExpr(q); e != nil {
		a.uses = make([]int, len(a.args))
		x, err := b.expr(in, e)
		code := pgerr.Code(err)
		if n := (*notInlined)(nil); errors.As(err, &n) {
			return nil, err
		}
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

// CheckFunction plans the statements of a function as a call of it would. Errors have positions in the body, or none.
func CheckFunction(f *catalog.Function, o *Options) error {
	if _, err := parseBody(f); err != nil {
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
	u := b.userResult(&funcArgs{f: f}, f.Args, f.Args, f.Ret, nil)
	_, err := PlanBody(f, f.Args, u.ret, u.rec, o)
	return err
}
