package planner

import (
	"math"
	"strconv"
	"strings"

	"streamsql/internal/fn"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/sql/parser/ast"
)

// exprCtx says where an expression stands.
type exprCtx struct {
	s      *scope
	clause string // as error messages name it: "WHERE", "JOIN/ON", ...
	// sel gathers the aggregates, window functions and sets of the block; nil where none may stand.
	sel               *selectState
	aggs, overs, srfs bool
	inAgg, inOver     bool
	noSubqueries      bool
	columnsForbidden  string // message of the clause that may not refer to columns
}

func (b *binder) col(id int) *Column { return b.colAt(id, 0) }

func (b *binder) colAt(id, pos int) *Column {
	c := &b.cols[id]
	if pos > 0 {
		b.used[id] = true
	}
	return &Column{Index: id, Typ: c.typ, Name: c.name, Pos: pos}
}

func notSupported(what string, pos int) *pgerr.Error {
	return pgerr.New(pgerr.FeatureNotSupported, "%s is not supported yet", what).At(pos)
}

func (b *binder) expr(c *exprCtx, e ast.Expr) (Expr, error) {
	b.depth++
	defer func() { b.depth-- }()
	if b.depth > 2000 {
		return nil, pgerr.New(pgerr.StatementTooComplex, "stack depth limit exceeded").
			WithHint("Split the expression: it is nested too deeply.")
	}
	switch e := e.(type) {
	case *ast.ColumnRef:
		if c.columnsForbidden != "" {
			return nil, pgerr.New(pgerr.InvalidColumnReference, "%s", c.columnsForbidden).At(e.Pos)
		}
		return b.column(c.s, e)
	case *ast.Literal:
		return b.literal(e)
	case *ast.Param:
		if e.N < 1 || e.N > 65535 || b.noParams {
			return nil, pgerr.New(pgerr.UndefinedParameter, "there is no parameter $%d", e.N).At(e.Pos)
		}
		b.paramsUsed[e.N] = true
		return &Param{e.N, b.params.get(e.N)}, nil
	case *ast.Star:
		return nil, pgerr.New(pgerr.SyntaxError, "row expansion via \"*\" is not supported here").At(e.Pos)
	case *ast.Default:
		return nil, pgerr.New(pgerr.SyntaxError, "DEFAULT is not allowed in this context").At(e.Pos)
	case *ast.Unary:
		return b.unary(c, e)
	case *ast.Binary:
		return b.binary(c, e)
	case *ast.And:
		args, err := b.bools(c, e.Args, "AND")
		if err != nil {
			return nil, err
		}
		return &And{args}, nil
	case *ast.Or:
		args, err := b.bools(c, e.Args, "OR")
		if err != nil {
			return nil, err
		}
		return &Or{args}, nil
	case *ast.Not:
		args, err := b.bools(c, []ast.Expr{e.X}, "NOT")
		if err != nil {
			return nil, err
		}
		return &Not{args[0]}, nil
	case *ast.IsTest:
		return b.isTest(c, e)
	case *ast.IsDistinct:
		return b.isDistinct(c, e)
	case *ast.Like:
		return b.like(c, e)
	case *ast.Between:
		return b.between(c, e)
	case *ast.In:
		return b.in(c, e)
	case *ast.Quantified:
		return b.quantified(c, e)
	case *ast.Exists, *ast.ScalarQuery, *ast.ArrayQuery:
		return b.subqueryExpr(c, e)
	case *ast.Case:
		return b.caseExpr(c, e)
	case *ast.Cast:
		return b.castExpr(c, e)
	case *ast.FuncCall:
		return b.call(c, e)
	case *ast.ArrayExpr:
		return b.array(c, e, types.T{})
	case *ast.RowExpr:
		return b.row(c, e)
	case *ast.Subscript:
		return b.subscript(c, e)
	case *ast.Field:
		return b.field(c, e)
	case *ast.Collate:
		switch e.Collation.Base() {
		case "default", "C", "POSIX", "ucs_basic", "C.UTF-8":
		default:
			return nil, pgerr.New(pgerr.UndefinedObject, "collation \"%s\" for encoding \"UTF8\" does not exist", e.Collation.Base()).At(e.Pos)
		}
		return b.expr(c, e.X)
	case *ast.Grouping:
		return b.grouping(c, e)
	}
	return nil, notSupported("this expression", e.Position())
}

func (b *binder) exprs(c *exprCtx, es []ast.Expr) ([]Expr, error) {
	out := make([]Expr, len(es))
	for i, e := range es {
		x, err := b.expr(c, e)
		if err != nil {
			return nil, err
		}
		out[i] = x
	}
	return out, nil
}

func (b *binder) bools(c *exprCtx, es []ast.Expr, clause string) ([]Expr, error) {
	out, err := b.exprs(c, es)
	for i := range out {
		if err == nil {
			out[i], err = b.toBool(out[i], clause, es[i].Position())
		}
	}
	return out, err
}

// boolExpr binds a condition of a clause.
func (b *binder) boolExpr(c *exprCtx, e ast.Expr) (Expr, error) {
	x, err := b.expr(c, e)
	if err != nil {
		return nil, err
	}
	return b.toBool(x, c.clause, e.Position())
}

func (b *binder) literal(l *ast.Literal) (Expr, error) {
	switch l.Kind {
	case ast.LitNull:
		return &Const{nil, types.Unknown}, nil
	case ast.LitBool:
		return &Const{l.Text == "true", types.Bool}, nil
	case ast.LitInt:
		i, err := strconv.ParseInt(l.Text, 10, 64)
		if err == nil {
			if i >= math.MinInt32 && i <= math.MaxInt32 {
				return &Const{int32(i), types.Int4}, nil
			}
			return &Const{i, types.Int8}, nil
		}
		fallthrough
	case ast.LitNumeric:
		d, err := types.ParseNumeric(l.Text)
		if err != nil {
			return nil, pgerr.AtPos(err, l.Pos)
		}
		return &Const{d.Encode(), types.Numeric}, nil
	case ast.LitBits:
		t := types.T{OID: types.OIDBit, Mod: int32(len(l.Text))}
		d, err := types.ParseText(nil, t, l.Text)
		if err != nil {
			return nil, pgerr.AtPos(err, l.Pos)
		}
		return &Const{d, t}, nil
	}
	return &Const{l.Text, types.Unknown}, nil
}

func exprTypes(es []Expr) []types.T {
	ts := make([]types.T, len(es))
	for i, e := range es {
		ts[i] = e.Type()
		if ts[i].OID == 0 {
			ts[i] = types.Unknown
		}
	}
	return ts
}

// operator makes the call of an operator on bound operands.
func (b *binder) operator(sym string, args []Expr, pos int, argPos ...int) (Expr, error) {
	r, err := fn.ResolveOp(sym, exprTypes(args))
	if err != nil {
		return nil, pgerr.AtPos(err, pos)
	}
	out := make([]Expr, len(args))
	for i, a := range args {
		p := pos
		if i < len(argPos) {
			p = argPos[i]
		}
		if out[i], err = b.mustCoerce(a, r.Args[i], fn.Implicit, p); err != nil {
			return nil, err
		}
	}
	return &Call{Fn: r.Func, Args: out, Typ: r.Ret, Pos: pos}, nil
}

func checkOpSchema(schema, op string, pos int) error {
	if schema != "" && schema != "pg_catalog" {
		return pgerr.New(pgerr.UndefinedFunction, "operator does not exist: %s.%s", schema, op).At(pos)
	}
	return nil
}

func (b *binder) unary(c *exprCtx, e *ast.Unary) (Expr, error) {
	if err := checkOpSchema(e.Schema, e.Op, e.Pos); err != nil {
		return nil, err
	}
	if l, ok := e.X.(*ast.Literal); ok && e.Op == "-" && (l.Kind == ast.LitInt || l.Kind == ast.LitNumeric) {
		n := *l
		if strings.HasPrefix(n.Text, "-") {
			n.Text = n.Text[1:]
		} else {
			n.Text = "-" + n.Text
		}
		return b.literal(&n)
	}
	x, err := b.expr(c, e.X)
	if err != nil {
		return nil, err
	}
	return b.operator(e.Op, []Expr{x}, e.Pos, e.X.Position())
}

func (b *binder) binary(c *exprCtx, e *ast.Binary) (Expr, error) {
	if err := checkOpSchema(e.Schema, e.Op, e.Pos); err != nil {
		return nil, err
	}
	l, lrow := e.L.(*ast.RowExpr)
	r, rrow := e.R.(*ast.RowExpr)
	if lrow && rrow {
		ls, err := b.exprs(c, l.Elems)
		if err != nil {
			return nil, err
		}
		rs, err := b.exprs(c, r.Elems)
		if err != nil {
			return nil, err
		}
		return b.compareRows(e.Op, ls, rs, e.Pos)
	}
	if lrow {
		if q, ok := e.R.(*ast.ScalarQuery); ok { // (a, b) = (SELECT x, y ..)
			return b.quantified(c, &ast.Quantified{At: e.At, Op: e.Op, X: e.L, Query: q.Query})
		}
	}
	x, err := b.expr(c, e.L)
	if err != nil {
		return nil, err
	}
	y, err := b.expr(c, e.R)
	if err != nil {
		return nil, err
	}
	if lx, ok := x.(*Row); ok {
		if ry, ok := y.(*Row); ok {
			return b.compareRows(e.Op, lx.Elems, ry.Elems, e.Pos)
		}
	}
	op := e.Op
	if op == "!=" {
		op = "<>"
	}
	return b.operator(op, []Expr{x, y}, e.Pos, e.L.Position(), e.R.Position())
}

// compareRows compares rows field by field; orderings are lexicographic.
func (b *binder) compareRows(op string, l, r []Expr, pos int) (Expr, error) {
	if op == "!=" {
		op = "<>"
	}
	if len(l) != len(r) {
		return nil, pgerr.New(pgerr.SyntaxError, "unequal number of entries in row expressions").At(pos)
	}
	if len(l) == 0 {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "cannot compare rows of zero length").At(pos)
	}
	each := func(op string, i int) (Expr, error) { return b.operator(op, []Expr{l[i], r[i]}, pos) }
	var out []Expr
	switch op {
	case "=", "<>":
		for i := range l {
			x, err := each(op, i)
			if err != nil {
				return nil, err
			}
			out = append(out, x)
		}
		if len(out) == 1 {
			return out[0], nil
		}
		if op == "=" {
			return &And{out}, nil
		}
		return &Or{out}, nil
	case "<", "<=", ">", ">=":
		strict := op[:1]
		last := len(l) - 1
		e, err := each(op, last)
		for i := last - 1; i >= 0 && err == nil; i-- {
			var lt, eq Expr
			if lt, err = each(strict, i); err != nil {
				break
			}
			if eq, err = each("=", i); err != nil {
				break
			}
			e = &Or{[]Expr{lt, &And{[]Expr{eq, e}}}}
		}
		return e, err
	}
	return nil, pgerr.New(pgerr.FeatureNotSupported, "could not determine interpretation of row comparison operator %s", op).
		WithHint("Row comparison operators must be associated with btree operator families.").At(pos)
}

func (b *binder) isTest(c *exprCtx, e *ast.IsTest) (Expr, error) {
	x, err := b.expr(c, e.X)
	if err != nil {
		return nil, err
	}
	switch e.What {
	case "null":
		if unknown(x) {
			if x, err = b.mustCoerce(x, types.Text, fn.Implicit, e.X.Position()); err != nil {
				return nil, err
			}
		}
		return &IsNull{x, e.Not}, nil
	case "true", "false", "unknown":
		x, err = b.toBool(x, "IS "+strings.Repeat("NOT ", btoi(e.Not))+strings.ToUpper(e.What), e.X.Position())
		if err != nil {
			return nil, err
		}
		if e.What == "unknown" {
			return &IsNull{x, e.Not}, nil
		}
		return &IsBool{x, e.What == "true", e.Not}, nil
	}
	return nil, notSupported("IS NORMALIZED", e.Pos)
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (b *binder) isDistinct(c *exprCtx, e *ast.IsDistinct) (Expr, error) {
	l, err := b.expr(c, e.L)
	if err != nil {
		return nil, err
	}
	r, err := b.expr(c, e.R)
	if err != nil {
		return nil, err
	}
	lr, lok := l.(*Row)
	rr, rok := r.(*Row)
	if lok && rok {
		if len(lr.Elems) != len(rr.Elems) {
			return nil, pgerr.New(pgerr.SyntaxError, "unequal number of entries in row expressions").At(e.Pos)
		}
		var parts []Expr
		for i := range lr.Elems {
			x, err := b.distinct(lr.Elems[i], rr.Elems[i], e.Not, e.Pos)
			if err != nil {
				return nil, err
			}
			parts = append(parts, x)
		}
		if e.Not {
			return &And{parts}, nil
		}
		return &Or{parts}, nil
	}
	if lc, ok := l.(*Const); ok && lc.Val == nil && unknown(l) {
		l, r = r, l
	}
	if rc, ok := r.(*Const); ok && rc.Val == nil && unknown(r) {
		return &IsNull{l, !e.Not}, nil
	}
	return b.distinct(l, r, e.Not, e.Pos)
}

func (b *binder) distinct(l, r Expr, not bool, pos int) (Expr, error) {
	eq, err := b.operator("=", []Expr{l, r}, pos)
	if err != nil {
		return nil, err
	}
	args := eq.(*Call).Args
	if args[0].Type().OID != args[1].Type().OID {
		args = append([]Expr(nil), args...)
		if _, err := b.common(args, "IS DISTINCT FROM", nil); err != nil {
			return nil, err
		}
	}
	return &IsDistinct{args[0], args[1], not}, nil
}

func (b *binder) like(c *exprCtx, e *ast.Like) (Expr, error) {
	x, err := b.expr(c, e.X)
	if err != nil {
		return nil, err
	}
	p, err := b.expr(c, e.Pattern)
	if err != nil {
		return nil, err
	}
	op := map[string]string{"like": "~~", "ilike": "~~*", "similar": "~"}[e.Kind]
	if e.Not {
		op = "!" + op
	}
	var esc Expr
	if e.Escape != nil {
		if esc, err = b.expr(c, e.Escape); err != nil {
			return nil, err
		}
	}
	switch {
	case e.Kind == "similar":
		args := []Expr{p}
		if esc != nil {
			args = append(args, esc)
		}
		if p, err = b.function("similar_to_escape", args, e.Pos); err != nil {
			return nil, err
		}
	case esc != nil:
		if p, err = b.function("like_escape", []Expr{p, esc}, e.Pos); err != nil {
			return nil, err
		}
	}
	return b.operator(op, []Expr{x, p}, e.Pos, e.X.Position(), e.Pattern.Position())
}

func (b *binder) between(c *exprCtx, e *ast.Between) (Expr, error) {
	es, err := b.exprs(c, []ast.Expr{e.X, e.Lo, e.Hi})
	if err != nil {
		return nil, err
	}
	within := func(lo, hi Expr) (Expr, error) {
		ge, err := b.operator(">=", []Expr{es[0], lo}, e.Pos)
		if err != nil {
			return nil, err
		}
		le, err := b.operator("<=", []Expr{es[0], hi}, e.Pos)
		if err != nil {
			return nil, err
		}
		return &And{[]Expr{ge, le}}, nil
	}
	x, err := within(es[1], es[2])
	if err != nil {
		return nil, err
	}
	if e.Symmetric {
		y, err := within(es[2], es[1])
		if err != nil {
			return nil, err
		}
		x = &Or{[]Expr{x, y}}
	}
	if e.Not {
		x = &Not{x}
	}
	return x, nil
}

func (b *binder) in(c *exprCtx, e *ast.In) (Expr, error) {
	if e.Query != nil {
		x, err := b.quantified(c, &ast.Quantified{At: e.At, Op: "=", X: e.X, Query: e.Query})
		if err != nil {
			return nil, err
		}
		if e.Not {
			x = &Not{x}
		}
		return x, nil
	}
	x, err := b.expr(c, e.X)
	if err != nil {
		return nil, err
	}
	list, err := b.exprs(c, e.List)
	if err != nil {
		return nil, err
	}
	if _, isRow := x.(*Row); !isRow {
		all := append([]Expr{x}, list...)
		if t, err := fn.SelectCommonType(exprTypes(all)); err == nil {
			if _, err := fn.ResolveOp("=", []types.T{t, t}); err == nil {
				for i, y := range all {
					p := e.X.Position()
					if i > 0 {
						p = e.List[i-1].Position()
					}
					if all[i], err = b.mustCoerce(y, t.Bare(), fn.Implicit, p); err != nil {
						return nil, err
					}
				}
				return &In{all[0], all[1:], e.Not, e.Pos}, nil
			}
		}
	}
	var ors []Expr
	for i, y := range list {
		var eq Expr
		xr, ok1 := x.(*Row)
		yr, ok2 := y.(*Row)
		if ok1 && ok2 {
			eq, err = b.compareRows("=", xr.Elems, yr.Elems, e.Pos)
		} else {
			eq, err = b.operator("=", []Expr{x, y}, e.Pos, e.X.Position(), e.List[i].Position())
		}
		if err != nil {
			return nil, err
		}
		ors = append(ors, eq)
	}
	var out Expr = &Or{ors}
	if len(ors) == 1 {
		out = ors[0]
	}
	if e.Not {
		out = &Not{out}
	}
	return out, nil
}

func (b *binder) quantified(c *exprCtx, e *ast.Quantified) (Expr, error) {
	if err := checkOpSchema(e.Schema, e.Op, e.Pos); err != nil {
		return nil, err
	}
	op := e.Op
	if op == "!=" {
		op = "<>"
	}
	x, err := b.expr(c, e.X)
	if err != nil {
		return nil, err
	}
	if e.Query == nil {
		return b.anyArray(c, e, op, x)
	}
	if c.noSubqueries {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "cannot use subquery in %s", c.clause).At(e.Pos)
	}
	back := b.inRecursion(true, "a subquery")
	q, err := b.query(e.Query, c.s)
	back()
	if err != nil {
		return nil, err
	}
	if err := b.resolveUnknown(q); err != nil {
		return nil, err
	}
	tests := []Expr{x}
	if r, ok := x.(*Row); ok {
		tests = r.Elems
	}
	if len(tests) != len(q.cols) {
		what := "few"
		if len(q.cols) > len(tests) {
			what = "many"
		}
		return nil, pgerr.New(pgerr.SyntaxError, "subquery has too %s columns", what).At(e.Pos)
	}
	var outs []int
	cols := make([]Expr, len(q.cols))
	for i, oc := range q.cols {
		outs = append(outs, oc.id)
		cols[i] = b.col(oc.id)
	}
	cond, err := b.compareRows(op, tests, cols, e.Pos)
	if len(tests) == 1 {
		cond, err = b.operator(op, []Expr{x, cols[0]}, e.Pos, e.X.Position())
	}
	if err != nil {
		return nil, err
	}
	kind := subAny
	if e.All {
		kind = subAll
	}
	return &subquery{kind: kind, rel: q.rel, outs: outs, test: []Expr{cond}, typ: types.Bool, pos: e.Pos}, nil
}

func (b *binder) anyArray(c *exprCtx, e *ast.Quantified, op string, x Expr) (Expr, error) {
	a, err := b.expr(c, e.Array)
	if err != nil {
		return nil, err
	}
	pos := e.Array.Position()
	if unknown(a) {
		t := x.Type()
		if unknown(x) {
			t = types.Text
		}
		at, ok := t.Bare().ArrayOf()
		if !ok {
			return nil, pgerr.New(pgerr.UndefinedObject, "could not find array type for data type %s", t.Format()).At(pos)
		}
		if a, err = b.mustCoerce(a, at, fn.Implicit, pos); err != nil {
			return nil, err
		}
	}
	el, ok := a.Type().Elem()
	if !ok {
		return nil, pgerr.New(pgerr.WrongObjectType, "op ANY/ALL (array) requires array on right side").At(e.Pos)
	}
	r, err := fn.ResolveOp(op, []types.T{x.Type(), el})
	if err != nil {
		return nil, pgerr.AtPos(err, e.Pos)
	}
	if r.Ret.OID != types.OIDBool {
		return nil, pgerr.New(pgerr.WrongObjectType, "op ANY/ALL (array) requires operator to yield boolean").At(e.Pos)
	}
	if x, err = b.mustCoerce(x, r.Args[0], fn.Implicit, e.X.Position()); err != nil {
		return nil, err
	}
	if r.Args[1].OID != el.OID {
		at, ok := r.Args[1].Bare().ArrayOf()
		if !ok {
			return nil, notSupported("ANY over this array type", pos)
		}
		if a, err = b.mustCoerce(a, at, fn.Implicit, pos); err != nil {
			return nil, err
		}
	}
	return &AnyArray{X: x, Array: a, Op: r.Func, All: e.All, Pos: e.Pos}, nil
}

func (b *binder) subqueryExpr(c *exprCtx, e ast.Expr) (Expr, error) {
	pos := e.Position()
	if c.noSubqueries {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "cannot use subquery in %s", c.clause).At(pos)
	}
	var aq *ast.Query
	switch e := e.(type) {
	case *ast.Exists:
		aq = e.Query
	case *ast.ScalarQuery:
		aq = e.Query
	case *ast.ArrayQuery:
		aq = e.Query
	}
	back := b.inRecursion(true, "a subquery")
	q, err := b.query(aq, c.s)
	back()
	if err != nil {
		return nil, err
	}
	if err := b.resolveUnknown(q); err != nil {
		return nil, err
	}
	s := &subquery{rel: q.rel, pos: pos, typ: types.Bool}
	for _, oc := range q.cols {
		s.outs = append(s.outs, oc.id)
	}
	if _, ok := e.(*ast.Exists); ok {
		s.kind = subExists
		return s, nil
	}
	if len(q.cols) != 1 {
		return nil, pgerr.New(pgerr.SyntaxError, "subquery must return only one column").At(pos)
	}
	t := b.cols[s.outs[0]].typ
	s.kind, s.typ = subScalar, t
	if _, ok := e.(*ast.ArrayQuery); ok {
		s.kind = subArray
		s.order = q.order
		at, ok := t.ArrayOf()
		if !ok {
			return nil, pgerr.New(pgerr.UndefinedObject, "could not find array type for data type %s", t.Format()).At(pos)
		}
		s.typ = at.Bare()
	}
	return s, nil
}

func (b *binder) caseExpr(c *exprCtx, e *ast.Case) (Expr, error) {
	var x Expr
	var err error
	if e.X != nil {
		if x, err = b.expr(c, e.X); err != nil {
			return nil, err
		}
		if unknown(x) {
			if x, err = b.mustCoerce(x, types.Text, fn.Implicit, e.X.Position()); err != nil {
				return nil, err
			}
		}
	}
	out := &Case{}
	// PostgreSQL weighs the ELSE first.
	results, pos := []Expr{nil}, []int{0}
	if e.Else != nil {
		if results[0], err = b.expr(c, e.Else); err != nil {
			return nil, err
		}
		pos[0] = e.Else.Position()
	} else {
		results[0] = &Const{nil, types.Unknown}
	}
	for _, w := range e.Whens {
		cond, err := b.expr(c, w.Cond)
		if err != nil {
			return nil, err
		}
		if x != nil {
			cond, err = b.operator("=", []Expr{x, cond}, w.Cond.Position())
		} else {
			cond, err = b.toBool(cond, "CASE/WHEN", w.Cond.Position())
		}
		if err != nil {
			return nil, err
		}
		then, err := b.expr(c, w.Then)
		if err != nil {
			return nil, err
		}
		out.Whens = append(out.Whens, When{cond, then})
		results = append(results, then)
		pos = append(pos, w.Then.Position())
	}
	if out.Typ, err = b.common(results, "CASE", pos); err != nil {
		return nil, err
	}
	if e.Else != nil {
		out.Else = results[0]
	}
	for i := range out.Whens {
		out.Whens[i].Then = results[i+1]
	}
	return out, nil
}

func (b *binder) castExpr(c *exprCtx, e *ast.Cast) (Expr, error) {
	t, err := ResolveType(e.Type, b.o.Catalog)
	if err != nil {
		return nil, err
	}
	if a, ok := e.X.(*ast.ArrayExpr); ok && t.IsArray() {
		return b.array(c, a, t)
	}
	x, err := b.expr(c, e.X)
	if err != nil {
		return nil, err
	}
	pos := e.Pos
	if unknown(x) { // what is wrong is the literal
		pos = e.X.Position()
	}
	return b.mustCoerce(x, t, fn.Explicit, pos)
}

// array binds ARRAY[..]; want is the type it is cast to, if any: the cast goes to the elements.
func (b *binder) array(c *exprCtx, e *ast.ArrayExpr, want types.T) (Expr, error) {
	if len(e.Elems) == 0 && want.OID == 0 {
		return nil, pgerr.New(pgerr.IndeterminateDatatype, "cannot determine type of empty array").
			WithHint("Explicitly cast to the desired type, for example ARRAY[]::integer[].").At(e.Pos)
	}
	var elems []Expr
	var pos []int
	nested := false
	for _, x := range e.Elems {
		var y Expr
		var err error
		if a, ok := x.(*ast.ArrayExpr); ok {
			y, err = b.array(c, a, want)
			nested = true
		} else {
			y, err = b.expr(c, x)
		}
		if err != nil {
			return nil, err
		}
		nested = nested || y.Type().IsArray() && want.OID == 0
		elems = append(elems, y)
		pos = append(pos, x.Position())
	}
	if want.OID != 0 {
		el, _ := want.Elem()
		if nested {
			el = want
		}
		for i := range elems {
			x, err := b.mustCoerce(elems[i], el, fn.Explicit, pos[i])
			if err != nil {
				return nil, err
			}
			elems[i] = x
		}
		return &Array{elems, want, e.Pos}, nil
	}
	t, err := b.common(elems, "ARRAY", pos)
	if err != nil {
		return nil, err
	}
	if !nested {
		at, ok := t.ArrayOf()
		if !ok {
			return nil, pgerr.New(pgerr.UndefinedObject, "could not find array type for data type %s", t.Format()).At(e.Pos)
		}
		t = at
	}
	return &Array{elems, t, e.Pos}, nil
}

func (b *binder) row(c *exprCtx, e *ast.RowExpr) (Expr, error) {
	rec := &types.Record{}
	r := &Row{}
	for _, el := range e.Elems {
		if st, ok := el.(*ast.Star); ok {
			cols, err := b.starColumns(c.s, st)
			if err != nil {
				return nil, err
			}
			for _, sc := range cols {
				r.Elems = append(r.Elems, b.colAt(sc.id, st.Pos))
			}
			continue
		}
		x, err := b.expr(c, el)
		if err != nil {
			return nil, err
		}
		r.Elems = append(r.Elems, x)
	}
	for i, x := range r.Elems {
		rec.Names = append(rec.Names, "f"+strconv.Itoa(i+1))
		rec.Types = append(rec.Types, x.Type())
	}
	r.Typ = types.T{OID: types.OIDRecord, Mod: -1, Rec: rec}
	return r, nil
}

func (b *binder) subscript(c *exprCtx, e *ast.Subscript) (Expr, error) {
	s := &Subscript{}
	var x Expr
	var err error
	// Flatten a[i][j] into one node; a[i:j] makes a slice.
	var chain []*ast.Subscript
	var base ast.Expr = e
	for {
		sub, ok := base.(*ast.Subscript)
		if !ok {
			break
		}
		chain = append([]*ast.Subscript{sub}, chain...)
		base = sub.X
	}
	if x, err = b.expr(c, base); err != nil {
		return nil, err
	}
	t := x.Type()
	if t.OID == types.OIDJSONB {
		for _, sub := range chain {
			if sub.Slice {
				return nil, pgerr.New(pgerr.DatatypeMismatch, "jsonb subscript does not support slices").At(sub.Pos)
			}
			i, err := b.expr(c, sub.Lo)
			if err != nil {
				return nil, err
			}
			if x, err = b.operator("->", []Expr{x, i}, sub.Pos); err != nil {
				return nil, err
			}
		}
		return x, nil
	}
	el, ok := t.Elem()
	if !ok {
		return nil, pgerr.New(pgerr.DatatypeMismatch, "cannot subscript type %s because it does not support subscripting", t.Bare().Format()).At(e.Pos)
	}
	for _, sub := range chain {
		s.Slice = s.Slice || sub.Slice
	}
	index := func(a ast.Expr) (Expr, error) {
		if a == nil {
			return nil, nil
		}
		i, err := b.expr(c, a)
		if err != nil {
			return nil, err
		}
		j, ok, err := b.coerce(i, types.Int4, fn.Assignment, a.Position())
		if err == nil && !ok {
			err = pgerr.New(pgerr.DatatypeMismatch, "array subscript must have type integer").At(a.Position())
		}
		return j, err
	}
	for _, sub := range chain {
		lo, err := index(sub.Lo)
		if err != nil {
			return nil, err
		}
		if !s.Slice {
			s.Subs = append(s.Subs, lo)
			continue
		}
		hi := lo
		if sub.Slice {
			if hi, err = index(sub.Hi); err != nil {
				return nil, err
			}
		} else {
			lo = &Const{int32(1), types.Int4}
		}
		s.Subs = append(s.Subs, lo)
		s.Upper = append(s.Upper, hi)
	}
	s.X, s.Typ = x, el
	if s.Slice {
		s.Typ = t
	}
	return s, nil
}

func (b *binder) field(c *exprCtx, e *ast.Field) (Expr, error) {
	x, err := b.expr(c, e.X)
	if err != nil {
		return nil, err
	}
	if e.Name == "*" {
		return nil, pgerr.New(pgerr.SyntaxError, "row expansion via \"*\" is not supported here").At(e.Pos)
	}
	rec := x.Type().Rec
	if rec == nil {
		return nil, pgerr.New(pgerr.WrongObjectType, "column notation .%s applied to type %s, which is not a composite type", e.Name, x.Type().Bare().Format()).At(e.Pos)
	}
	for i, n := range rec.Names {
		if n == e.Name {
			return fieldOf(x, i), nil
		}
	}
	return nil, pgerr.New(pgerr.UndefinedColumn, "could not identify column \"%s\" in record data type", e.Name).At(e.Pos)
}

func fieldOf(x Expr, i int) Expr {
	if r, ok := x.(*Row); ok {
		return r.Elems[i]
	}
	return &Field{x, i, x.Type().Rec.Types[i]}
}
