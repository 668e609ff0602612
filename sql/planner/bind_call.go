package planner

import (
	"fmt"
	"slices"
	"strings"

	"streamsql/catalog"
	"streamsql/internal/fn"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/sql/parser/ast"
)

// selectState gathers what the expressions of one SELECT block ask for.
type selectState struct {
	aggs     []boundAgg
	aggKeys  map[string]int
	overs    []boundOver
	srfs     []boundSet
	groupWin *lWindow // of a group window in GROUP BY
	kind     ast.WindowKind
	windows  map[string]*ast.NamedWindow
	grouping []groupingRef
	later    []func() error // binds the windows of overs
}

type groupingRef struct {
	id   int
	args []Expr
	pos  []int
}

type boundAgg struct {
	call   lAggCall // ids of args and filter are not set yet
	args   []Expr
	filter Expr
	order  []sortExpr
	pos    int
	direct int    // how many of args are direct arguments of an ordered-set aggregate
	given  []Expr // direct arguments that are not among args
}

type sortExpr struct {
	e                Expr
	desc, nullsFirst bool
	literal          bool // an untyped literal that became text
}

type boundOver struct {
	id        int
	name      string
	agg       *boundAgg
	args      []Expr
	ret       types.T
	partition []Expr
	order     []sortExpr
	frame     *ast.Frame
	lo, hi    Expr
	ignore    bool
	pos       int
}

type boundSet struct {
	id   int
	fnc  *fn.Func
	args []Expr
	rel  lrel // in place of fnc and args: the rows of a user's function, joined to each row
}

// function makes the call of a scalar function on bound arguments.
func (b *binder) function(name string, args []Expr, pos int, argPos ...int) (Expr, error) {
	r, err := fn.ResolveFunc(name, exprTypes(args))
	if err != nil {
		return nil, pgerr.AtPos(err, pos)
	}
	return b.applyFunc(r, args, pos, argPos)
}

func (b *binder) applyFunc(r *fn.Resolved, args []Expr, pos int, argPos []int) (Expr, error) {
	out := make([]Expr, len(args))
	for i, a := range args {
		p := pos
		if i < len(argPos) {
			p = argPos[i]
		}
		ctx := fn.Implicit
		var err error
		if out[i], err = b.mustCoerce(a, r.Args[i], ctx, p); err != nil {
			return nil, err
		}
	}
	return &Call{Fn: r.Func, Args: out, Typ: r.Ret, Pos: pos}, nil
}

func (b *binder) call(c *exprCtx, e *ast.FuncCall) (Expr, error) {
	take := c.take
	if take != nil {
		own := *c
		own.take = nil
		c = &own
	}
	name := e.Name.Base()
	schema := e.Name.Schema()
	var users []*catalog.Function
	if !e.Special {
		if err := b.mayName(e.Name); err != nil {
			return nil, err
		}
		users = b.userFunctions(e.Name)
	}
	if schema == "" || schema == "pg_catalog" {
		if x, ok, err := b.groupWindowHelper(c, e, name); ok || err != nil {
			return x, err
		}
		if e.Special {
			if x, ok, err := b.special(c, e, name); ok || err != nil {
				return x, err
			}
		}
		if e.Over != nil && (len(users) == 0 || len(fn.Lookup(name)) > 0 || len(fn.LookupAgg(name)) > 0 || isOverOnly(name)) {
			return b.overCall(c, e)
		}
		if len(e.WithinGroup) > 0 && isHypothetical(name) {
			return b.aggregate(c, e)
		}
		if len(fn.LookupAgg(name)) > 0 && !hidesAggregate(users, e) && (e.Star || len(fn.Lookup(name)) == 0 || e.Filter != nil || e.Distinct || len(e.OrderBy) > 0 || len(e.WithinGroup) > 0) {
			return b.aggregate(c, e)
		}
	} else if schema != "information_schema" && len(users) == 0 {
		args, err := b.exprs(c, e.Args)
		if err != nil {
			return nil, err
		}
		return nil, fn.FuncError(fn.NoMatch, e.Name.String(), exprTypes(args)).(*pgerr.Error).At(e.Pos)
	}
	what := ""
	switch {
	case e.Star:
		what = "%s(*) specified, but %s is not an aggregate function"
	case e.Distinct:
		what = "DISTINCT specified, but %s is not an aggregate function"
	case len(e.WithinGroup) > 0:
		what = "WITHIN GROUP specified, but %s is not an aggregate function"
	case len(e.OrderBy) > 0:
		what = "ORDER BY specified, but %s is not an aggregate function"
	case e.Filter != nil:
		what = "FILTER specified, but %s is not an aggregate function"
	case e.Over != nil:
		what = "OVER specified, but %s is not a window function nor an aggregate function"
	}
	if what != "" && (len(fn.Lookup(name)) > 0 || len(users) > 0) {
		return nil, pgerr.New(pgerr.WrongObjectType, "%s", strings.ReplaceAll(what, "%s", name)).At(e.Pos)
	}
	if len(users) > 0 {
		return b.userCall(c, e, users, take)
	}
	args, argPos, err := b.callArgs(c, e, name)
	if err != nil {
		return nil, err
	}
	if name == "pg_typeof" && len(args) == 1 && unknown(args[0]) {
		if _, ok := args[0].(*Const); ok {
			return &Const{int64(types.OIDUnknown), types.Regtype}, nil
		}
	}
	var r *fn.Resolved
	if e.Variadic {
		r, err = fn.ResolveVariadic(name, exprTypes(args))
	} else {
		r, err = fn.ResolveFunc(name, exprTypes(args))
	}
	if err != nil {
		if len(args) == 1 && len(e.ArgNames) == 0 { // f(t) may be the column t.f
			if rec := args[0].Type().Record(); rec != nil {
				for i, n := range rec.Names {
					if n == name {
						return fieldOf(args[0], i), nil
					}
				}
			}
		}
		if isHypothetical(name) && len(args) > 0 {
			return nil, errWithinGroup(name, e.Pos)
		}
		if isOverOnly(name) && pgerr.Code(err) == pgerr.UndefinedFunction {
			return nil, pgerr.New(pgerr.WrongObjectType, "window function %s requires an OVER clause", name).At(e.Pos)
		}
		if pe, ok := err.(*pgerr.Error); ok && (e.Special || schema != "") {
			// The forms with a grammar of their own call functions of pg_catalog.
			pe.Message = strings.Replace(pe.Message, "function "+name+"(", "function pg_catalog."+name+"(", 1)
		}
		return nil, pgerr.AtPos(err, e.Pos)
	}
	x, err := b.applyFunc(r, args, e.Pos, argPos)
	if err != nil {
		return nil, err
	}
	if r.Func.Set != nil {
		return b.setCall(c, x.(*Call), name)
	}
	return b.guardedPopulate(x)
}

// callArgs binds the arguments and puts named ones into their places.
func (b *binder) callArgs(c *exprCtx, e *ast.FuncCall, name string) ([]Expr, []int, error) {
	var args []Expr
	var pos []int
	for _, a := range e.Args {
		x, err := b.expr(c, a)
		if err != nil {
			return nil, nil, err
		}
		args = append(args, x)
		pos = append(pos, a.Position())
	}
	named := false
	for _, n := range e.ArgNames {
		named = named || n != ""
	}
	fs := fn.Lookup(name)
	if !named {
		// What is left out has its default, where only one function has the name.
		if len(fs) == 1 && len(args) < len(fs[0].Args) && len(args) >= len(fs[0].Args)-len(fs[0].DefaultText) {
			for i := len(args); i < len(fs[0].Args); i++ {
				args, pos = append(args, defaultArg(fs[0], i)), append(pos, e.Pos)
			}
		}
		return args, pos, nil
	}
	for _, f := range fs {
		if len(f.ArgNames) < len(args) {
			continue
		}
		n := len(args)
		if f.DefaultText != nil {
			n = len(f.Args)
		}
		out := make([]Expr, n)
		outPos := make([]int, n)
		ok := true
		for i, x := range args {
			at := i
			if n := e.ArgNames[i]; n != "" {
				at = -1
				for j, an := range f.ArgNames {
					if an == n {
						at = j
					}
				}
			}
			if at < 0 || at >= len(out) || out[at] != nil {
				ok = false
				break
			}
			out[at], outPos[at] = x, pos[i]
		}
		for i := range out {
			if ok && out[i] == nil {
				if ok = i >= len(f.Args)-len(f.DefaultText); ok {
					out[i], outPos[i] = defaultArg(f, i), e.Pos
				}
			}
		}
		if ok {
			return out, outPos, nil
		}
	}
	return nil, nil, noNamedMatch(e, args)
}

// defaultArg is what an argument has that a call leaves out.
func defaultArg(f *fn.Func, i int) Expr {
	return &Const{f.DefaultText[i-(len(f.Args)-len(f.DefaultText))], types.Unknown}
}

// noNamedMatch is the error of a call with named arguments that no function takes.
func noNamedMatch(e *ast.FuncCall, args []Expr) error {
	var sig []string
	for i, t := range exprTypes(args) {
		s := t.Bare().Format()
		if e.ArgNames[i] != "" {
			s = e.ArgNames[i] + " => " + s
		}
		sig = append(sig, s)
	}
	return pgerr.New(pgerr.UndefinedFunction, "function %s(%s) does not exist", e.Name.String(), strings.Join(sig, ", ")).
		WithHint("No function matches the given name and argument types. You might need to add explicit type casts.").At(e.Pos)
}

func (b *binder) setCall(c *exprCtx, x *Call, name string) (Expr, error) {
	if !c.srfs || c.sel == nil || c.inAgg {
		if c.inAgg {
			return nil, pgerr.New(pgerr.FeatureNotSupported, "aggregate function calls cannot contain set-returning function calls").
				WithHint("You might be able to move the set-returning function into a LATERAL FROM item.").At(x.Pos)
		}
		return nil, pgerr.New(pgerr.FeatureNotSupported, "set-returning functions are not allowed in %s", c.clause).At(x.Pos)
	}
	if len(c.sel.srfs) > 0 && c.sel.srfs[0].rel != nil {
		return nil, notSupported("several functions that return sets in one select list of a continuous query", x.Pos).WithHint("Call them in FROM.")
	}
	cols, shape, err := b.setColumns(c, x)
	if err != nil {
		return nil, err
	}
	fnc, t := x.Fn, x.Typ
	switch {
	case shape != nil:
		t.Rec = shape
		fnc = fnc.WithColumns(cols)
	case t.Record() != nil && len(cols) != 1: // the type of the argument
	case len(cols) == 1:
		t = cols[0].Type
	default:
		rec := &types.Record{}
		for _, f := range cols {
			rec.Names = append(rec.Names, f.Name)
			rec.Types = append(rec.Types, f.Type)
		}
		t = types.T{OID: types.OIDRecord, Mod: -1, Rec: rec}
	}
	id := b.newCol(name, t)
	c.sel.srfs = append(c.sel.srfs, boundSet{id: id, fnc: fnc, args: x.Args})
	return b.colAt(id, x.Pos), nil
}

// special binds the keywords of the grammar that look like calls.
func (b *binder) special(c *exprCtx, e *ast.FuncCall, name string) (Expr, bool, error) {
	args := func() ([]Expr, []int, error) {
		xs, err := b.exprs(c, e.Args)
		pos := make([]int, len(e.Args))
		for i, a := range e.Args {
			pos[i] = a.Position()
		}
		return xs, pos, err
	}
	switch name {
	case "coalesce", "greatest", "least":
		xs, pos, err := args()
		if err != nil {
			return nil, true, err
		}
		t, err := b.common(xs, strings.ToUpper(name), pos)
		if err != nil {
			return nil, true, err
		}
		if name == "coalesce" {
			return &Coalesce{xs, t}, true, nil
		}
		if _, err := fn.ResolveOp("<", []types.T{t, t}); err != nil {
			return nil, true, pgerr.New(pgerr.UndefinedFunction, "could not identify a comparison function for type %s", t.Bare().Format()).At(e.Pos)
		}
		return &MinMax{xs, name == "greatest", t}, true, nil
	case "nullif":
		xs, pos, err := args()
		if err != nil {
			return nil, true, err
		}
		if len(xs) != 2 {
			return nil, true, pgerr.New(pgerr.SyntaxError, "NULLIF requires two arguments").At(e.Pos)
		}
		eq, err := b.operator("=", xs, e.Pos, pos...)
		if err != nil {
			return nil, true, err
		}
		first := xs[0]
		if call, ok := eq.(*Call); ok { // the type is what the operator compares
			first = call.Args[0]
		}
		return &Case{[]When{{eq, &Const{nil, first.Type()}}}, first, first.Type()}, true, nil
	case "current_timestamp", "localtimestamp", "current_time", "localtime", "current_date":
		t := map[string]types.T{"current_timestamp": types.Timestamptz, "localtimestamp": types.Timestamp,
			"current_time": types.Timetz, "localtime": types.Time, "current_date": types.Date}[name]
		if len(e.Args) == 1 {
			l, ok := e.Args[0].(*ast.Literal)
			if !ok || len(l.Text) > 3 {
				return nil, true, pgerr.New(pgerr.SyntaxError, "%s takes a precision", strings.ToUpper(name)).At(e.Pos)
			}
			var p int32
			for _, d := range l.Text {
				p = p*10 + d - '0'
			}
			t.Mod = min(p, 6)
		}
		x, err := b.function("now", nil, e.Pos)
		if err != nil {
			return nil, true, err
		}
		if x.Type() == t {
			return x, true, nil
		}
		x, err = b.mustCoerce(x, t, fn.Explicit, e.Pos)
		return x, true, err
	case "current_user", "session_user", "user", "current_role", "current_catalog", "current_schema", "system_user":
		f := map[string]string{"user": "current_user", "current_role": "current_user", "current_catalog": "current_database"}[name]
		if f == "" {
			f = name
		}
		x, err := b.function(f, nil, e.Pos)
		return x, true, err
	}
	return nil, false, nil
}

var aggForbidden = map[string]string{
	"check constraints": "aggregate functions are not allowed in check constraints",
	"WHERE":             "aggregate functions are not allowed in WHERE",
	"GROUP BY":          "aggregate functions are not allowed in GROUP BY",
	"JOIN/ON":           "aggregate functions are not allowed in JOIN conditions",
	"FROM":              "aggregate functions are not allowed in FROM clause of their own query level",
	"FILTER":            "aggregate functions are not allowed in FILTER",
}

func (b *binder) aggregate(c *exprCtx, e *ast.FuncCall) (Expr, error) {
	name := e.Name.Base()
	if len(e.WithinGroup) > 0 && isHypothetical(name) {
		return b.hypothetical(c, e)
	}
	before := len(b.mentioned)
	a, err := b.aggCall(c, e, name)
	if err != nil {
		return nil, err
	}
	return b.placeAggregate(c, a, before, name, e.Pos)
}

// placeAggregate gives the query that an aggregate belongs to its call, and the column that it becomes. before is how many columns had been
// mentioned when its arguments were bound.
func (b *binder) placeAggregate(c *exprCtx, a *boundAgg, before int, name string, pos int) (Expr, error) {
	inner := c.s
	all := append(slices.Clone(a.args[a.direct:]), a.filter)
	for _, o := range a.order {
		all = append(all, o.e)
	}
	if c = b.levelOf(c, all...); c.s != inner { // the subquery does not read what its outer query gathers
		b.mentioned = b.mentioned[:before]
		direct := refs(a.args[:a.direct]...)
		for q := inner; q != nil && q != c.s; q = q.parent {
			if direct.intersects(b.scopeCols(q)) {
				return nil, pgerr.New(pgerr.GroupingError, "outer-level aggregate cannot contain a lower-level variable in its direct arguments").At(pos)
			}
		}
	}
	switch {
	case c.clause == "FILTER" || !c.inAgg && (!c.aggs || c.sel == nil):
		msg := aggForbidden[c.clause]
		if msg == "" {
			msg = "aggregate functions are not allowed in " + c.clause
		}
		return nil, pgerr.New(pgerr.GroupingError, "%s", msg).At(pos)
	case c.inAgg:
		return nil, pgerr.New(pgerr.GroupingError, "aggregate function calls cannot be nested").At(pos)
	}
	key := a.key()
	if c.sel.aggKeys == nil {
		c.sel.aggKeys = map[string]int{}
	}
	if id, ok := c.sel.aggKeys[key]; ok {
		return b.colAt(id, pos), nil
	}
	a.call.id = b.newCol(name, a.call.ret)
	c.sel.aggs = append(c.sel.aggs, *a)
	c.sel.aggKeys[key] = a.call.id
	return b.colAt(a.call.id, pos), nil
}

// levelOf gives the context of the query that an aggregate or GROUPING in c belongs to: the innermost of those whose columns the arguments have,
// and that of c where they have none. It is what stands in that query around the subquery in which the call stands.
func (b *binder) levelOf(c *exprCtx, args ...Expr) *exprCtx {
	used := refs(nonNil(args)...)
	if len(used) == 0 || used.intersects(b.scopeCols(c.s)) {
		return c
	}
	for q := c.s.parent; q != nil; q = q.parent {
		if !used.intersects(b.scopeCols(q)) {
			continue
		}
		if q.at == nil {
			return &exprCtx{s: q, clause: "FROM"}
		}
		return q.at
	}
	return c
}

func nonNil(es []Expr) []Expr {
	out := es[:0:0]
	for _, e := range es {
		if e != nil {
			out = append(out, e)
		}
	}
	return out
}

func (b *binder) scopeCols(s *scope) idset {
	out := idset{}
	for _, t := range s.tables {
		for _, c := range t.cols {
			out[c.id] = true
		}
	}
	for _, c := range s.cols {
		out[c.id] = true
	}
	return out
}

func (a *boundAgg) key() string {
	k := fmt.Sprintf("%s/%v/%d/", a.call.name, a.call.distinct, a.call.ret.OID)
	for _, x := range a.args {
		k += exprKey(x) + ","
	}
	k += "|" + exprKey(a.filter)
	for _, o := range a.order {
		k += fmt.Sprintf("|%s %v %v", exprKey(o.e), o.desc, o.nullsFirst)
	}
	return k
}

func (b *binder) aggCall(c *exprCtx, e *ast.FuncCall, name string) (*boundAgg, error) {
	in := *c
	in.inAgg, in.aggs = true, true
	a := &boundAgg{pos: e.Pos}
	a.call = lAggCall{distinct: e.Distinct, name: name, filter: -1}
	var err error
	argAsts := e.Args
	if len(e.WithinGroup) > 0 {
		for _, o := range e.WithinGroup {
			argAsts = append(append([]ast.Expr(nil), argAsts...), o.Expr)
		}
	}
	if a.args, err = b.exprs(&in, argAsts); err != nil {
		return nil, err
	}
	if e.Filter != nil {
		f := in
		f.clause = "FILTER"
		if a.filter, err = b.boolExpr(&f, e.Filter); err != nil {
			return nil, err
		}
	}
	if !e.Star && len(e.Args) == 0 && len(e.WithinGroup) == 0 && name == "count" {
		return nil, pgerr.New(pgerr.WrongObjectType, "count(*) must be used to call a parameterless aggregate function").At(e.Pos)
	}
	r, err := fn.ResolveAgg(name, exprTypes(a.args))
	if err != nil {
		return nil, pgerr.AtPos(err, e.Pos)
	}
	if e.Distinct && len(a.args) == 0 {
		return nil, pgerr.New(pgerr.SyntaxError, "DISTINCT is not allowed with count(*)").At(e.Pos)
	}
	if r.Agg.WithinGroup != (len(e.WithinGroup) > 0) {
		if r.Agg.WithinGroup {
			return nil, errWithinGroup(name, e.Pos)
		}
		return nil, pgerr.New(pgerr.WrongObjectType, "%s is not an ordered-set aggregate, so it cannot have WITHIN GROUP", name).At(e.Pos)
	}
	written := slices.Clone(a.args)
	for i := range a.args {
		if a.args[i], err = b.mustCoerce(a.args[i], r.Args[i], fn.Implicit, argAsts[i].Position()); err != nil {
			return nil, err
		}
	}
	a.call.agg, a.call.argTypes, a.call.ret = r.Agg, r.Args, r.Ret
	items := e.OrderBy
	if len(e.WithinGroup) > 0 {
		items = e.WithinGroup
		a.direct = len(e.Args)
	}
	if a.order, err = b.sortExprs(&in, items); err != nil {
		return nil, err
	}
	if e.Distinct {
		for k, o := range a.order {
			found := false
			for i, x := range a.args {
				switch {
				case o.literal: // PostgreSQL compares it before it is text, with an argument that is
					found = found || sameExpr(o.e, x) && r.Agg.Args[min(i, len(r.Agg.Args)-1)].Is(types.Any)
				case sameExpr(o.e, x):
					found = true
				case sameExpr(o.e, written[i]):
					found = true
					a.order[k].e = x
				}
			}
			if !found {
				return nil, pgerr.New(pgerr.InvalidColumnReference, "in an aggregate with DISTINCT, ORDER BY expressions must appear in argument list").At(items[0].Pos)
			}
		}
	}
	if !r.Agg.Ordered && !r.Agg.WithinGroup {
		a.order = nil // an order that the result does not depend on
	}
	return a, nil
}

func errWithinGroup(name string, pos int) error {
	return pgerr.New(pgerr.WrongObjectType, "WITHIN GROUP is required for ordered-set aggregate %s", name).At(pos)
}

func (b *binder) sortExprs(c *exprCtx, items []ast.OrderItem) ([]sortExpr, error) {
	var out []sortExpr
	for _, o := range items {
		x, err := b.expr(c, o.Expr)
		if err != nil {
			return nil, err
		}
		s, err := b.sortKey(o, x)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// sortKey gives the order by x that an ORDER BY item asks for.
func (b *binder) sortKey(o ast.OrderItem, x Expr) (sortExpr, error) {
	literal := unknown(x)
	if literal {
		var err error
		if x, err = b.mustCoerce(x, types.Text, fn.Implicit, o.Expr.Position()); err != nil {
			return sortExpr{}, err
		}
	}
	s := sortExpr{e: x, desc: o.Desc, literal: literal}
	switch o.Using {
	case "", "<":
	case ">":
		s.desc = true
	default:
		return s, pgerr.New(pgerr.WrongObjectType, "operator %s is not a valid ordering operator", o.Using).
			WithHint("Ordering operators must be \"<\" or \">\" members of btree operator families.").At(o.Pos)
	}
	if _, isRow := x.(*Row); !isRow {
		if _, err := fn.ResolveOp("<", []types.T{x.Type(), x.Type()}); err != nil {
			return s, pgerr.New(pgerr.UndefinedFunction, "could not identify an ordering operator for type %s", x.Type().Bare().Format()).
				WithHint("Use an explicit ordering operator or modify the query.").At(o.Expr.Position())
		}
	}
	s.nullsFirst = s.desc
	if o.NullsFirst != nil {
		s.nullsFirst = *o.NullsFirst
	}
	return s, nil
}

var takesIgnoreNulls = map[string]bool{"lag": true, "lead": true, "first_value": true, "last_value": true, "nth_value": true}

// hasColumns reports whether an expression reads a row.
func hasColumns(e Expr) bool {
	found := false
	walkExpr(e, func(x Expr) bool {
		if _, ok := x.(*Column); ok {
			found = true
		}
		return !found
	})
	return found
}

func (b *binder) grouping(c *exprCtx, e *ast.Grouping) (Expr, error) {
	in := *c
	in.inAgg = true
	args, err := b.exprs(&in, e.Args)
	if err != nil {
		return nil, err
	}
	c = b.levelOf(c, args...)
	if c.sel == nil || !c.aggs || c.inAgg {
		return nil, pgerr.New(pgerr.GroupingError, "grouping operations are not allowed in %s", c.clause).At(e.Pos)
	}
	g := groupingRef{id: b.newCol("grouping", types.Int4), args: args}
	for _, a := range e.Args {
		g.pos = append(g.pos, a.Position())
	}
	c.sel.grouping = append(c.sel.grouping, g)
	return b.colAt(g.id, e.Pos), nil
}
