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
	columnsForbidden  string        // message of the clause that may not refer to columns
	shape             *types.Record // the column definition list of a function in FROM
	take              *userTake     // of a function in FROM: gets the call of a user's function
}

func (b *binder) col(id int) *Column { return b.colAt(id, 0) }

func (b *binder) colAt(id, pos int) *Column {
	c := &b.cols[id]
	if pos > 0 {
		b.used[id] = true
		b.mentioned = append(b.mentioned, id)
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
		x, err := b.column(c.s, e)
		if n := len(e.Parts); err != nil && n > 1 && pgerr.Code(err) == pgerr.UndefinedColumn {
			return b.functionOf(c, &ast.ColumnRef{At: e.At, Parts: e.Parts[:n-1]}, e.Parts[n-1], e.Pos, err)
		}
		return x, err
	case *ast.Literal:
		return b.literal(e)
	case *ast.Param:
		if b.fnArgs != nil {
			return b.fnArgs.param(e)
		}
		if e.N < 1 || e.N > 65535 || b.noParams {
			return nil, pgerr.New(pgerr.UndefinedParameter, "there is no parameter $%d", e.N).At(e.Pos)
		}
		b.paramsUsed[e.N] = true
		return &Param{e.N, b.params.get(e.N)}, nil
	case *ast.Star:
		if len(e.Qualifier) > 0 && c.columnsForbidden == "" {
			return b.wholeRowOf(c.s, e)
		}
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
		x, err := b.expr(c, e.X)
		if err != nil {
			return nil, err
		}
		if t := x.Type(); !t.Is(types.Unknown) && !t.Collatable() {
			return nil, pgerr.New(pgerr.DatatypeMismatch, "collations are not supported by type %s", t.Bare().Format()).At(e.Pos)
		}
		return x, nil
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
	t, domain, err := ResolveColumnType(e.Type, b.o.Catalog, b.o.SearchPath)
	if err != nil {
		return nil, err
	}
	if a, ok := e.X.(*ast.ArrayExpr); ok && t.IsArray() {
		x, err := b.array(c, a, t)
		if err != nil {
			return nil, err
		}
		return b.guarded(x, domain)
	}
	x, err := b.expr(c, e.X)
	if err != nil {
		return nil, err
	}
	pos := e.Pos
	if unknown(x) { // what is wrong is the literal
		pos = e.X.Position()
	}
	if x, err = b.mustCoerce(x, t, fn.Explicit, pos); err != nil {
		return nil, err
	}
	return b.guarded(x, domain)
}
