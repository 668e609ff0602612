package planner

import (
	"slices"
	"strconv"
	"streamsql/catalog"

	"streamsql/internal/fn"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/sql/parser/ast"
)

// binder turns syntax into logical operators. One serves one statement.
type binder struct {
	o          *Options
	cols       []colInfo
	params     *paramTypes
	noParams   bool
	depth      int
	viewDepth  int
	owner      string // of the view whose definition is being bound, "" outside: see RelationUse
	items      int    // of FROM, those of views and WITH queries each time they are used
	reads      []uint32
	groupWins  idset // window_start ids of windows in GROUP BY
	paramsUsed map[int]bool
	recursion  []*recursion      // WITH RECURSIVE queries being bound, the innermost last
	used       idset             // columns that the statement's text refers to
	mentioned  []int             // the same in their order, with repetitions
	fnArgs     *funcArgs         // of the function whose body is being bound, nil outside
	inlining   []uint32          // the functions whose bodies are being bound, the innermost last
	calls      []uint32          // functions that have been called
	bound      []catalog.Binding // of the view whose definition is being bound; nil: names mean what the catalog says
	recorded   []catalog.Binding // what names of the statement mean
	runs       bool              // calls functions whose bodies the session runs
	outName    string            // of the last call of a user's function: what its only OUT parameter is called
	modifying  []*Modifying      // data-modifying statements in WITH, in their order, and by what defines them
	modified   map[*ast.CTE]*Modifying
}

func newBinder(o *Options) *binder {
	return &binder{o: o, bound: o.Bound, fnArgs: o.bodyArgs(), params: &paramTypes{ts: append([]types.T(nil), o.ParamTypes...)}, used: idset{}, groupWins: idset{}, paramsUsed: map[int]bool{}}
}

// qres is a bound query: its operators and result columns.
type qres struct {
	rel   lrel
	cols  []outCol
	order []lSortKey // the order of the result, where there is one

	mentioned []int // columns that the text of a subquery refers to, also where the plan does without them
}

type outCol struct {
	name string
	id   int
}

func (b *binder) query(q *ast.Query, parent *scope) (*qres, error) {
	var ctes *cteScope
	if parent != nil {
		ctes = parent.ctes
	}
	return b.queryIn(q, parent, ctes)
}

// queryIn binds a query whose outer columns are those of parent and whose WITH names are ctes.
func (b *binder) queryIn(q *ast.Query, parent *scope, ctes *cteScope) (*qres, error) {
	b.depth++
	defer func() { b.depth-- }()
	if b.depth > 500 {
		return nil, pgerr.New(pgerr.StatementTooComplex, "stack depth limit exceeded").WithHint("The query is nested too deeply.").At(q.Pos)
	}
	if q.Emit != nil && (parent != nil || b.depth > 0) && b.viewDepth == 0 {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "EMIT is not allowed in a subquery").
			WithHint("EMIT says how the changes of the whole query are sent: write it at the end of the statement.").At(q.Emit.Pos)
	}
	if q.With != nil {
		var err error
		if ctes, err = b.withScope(q.With, parent, ctes); err != nil {
			return nil, err
		}
	}
	r, ordered, err := b.body(q.Body, q.OrderBy, parent, ctes)
	if err != nil {
		return nil, err
	}
	if len(q.OrderBy) > 0 && !ordered {
		if r.order, err = b.orderByOutput(r, q.OrderBy); err != nil {
			return nil, err
		}
	}
	if q.Limit == nil && q.Offset == nil {
		if len(r.order) > 0 && len(q.OrderBy) > 0 {
			r.rel = &lSort{r.rel, r.order}
		}
		return r, nil
	}
	l := &lLimit{in: r.rel, keys: r.order, withTies: q.WithTies, rank: -1, sorted: len(r.order) > 0, pos: q.Pos}
	if q.WithTies && len(r.order) == 0 {
		return nil, pgerr.New(pgerr.SyntaxError, "WITH TIES cannot be specified without ORDER BY clause").At(q.Pos)
	}
	if q.Limit != nil {
		if l.limit, err = b.limitExpr(q.Limit, "LIMIT"); err != nil {
			return nil, err
		}
	}
	if q.Offset != nil {
		if l.offset, err = b.limitExpr(q.Offset, "OFFSET"); err != nil {
			return nil, err
		}
	}
	r.rel = l
	return r, nil
}

func bodyNames(body ast.QueryBody, name string) bool {
	switch q := body.(type) {
	case *ast.Query:
		return bodyNames(q.Body, name)
	case *ast.SetOp:
		return bodyNames(q.L, name) || bodyNames(q.R, name)
	case *ast.Select:
		for _, f := range q.From {
			if fromNames(f, name) {
				return true
			}
		}
	}
	return false
}

func fromNames(f ast.FromItem, name string) bool {
	switch f := f.(type) {
	case *ast.TableRef:
		return len(f.Name.Parts) == 1 && f.Name.Base() == name
	case *ast.SubqueryRef:
		return bodyNames(f.Query.Body, name)
	case *ast.WindowTVF:
		return fromNames(f.Input, name)
	case *ast.JoinRef:
		return fromNames(f.L, name) || fromNames(f.R, name)
	}
	return false
}

func (b *binder) limitExpr(e ast.Expr, clause string) (Expr, error) {
	x, err := b.expr(&exprCtx{s: &scope{}, clause: clause, noSubqueries: true,
		columnsForbidden: "argument of " + clause + " must not contain variables"}, e)
	if err != nil {
		return nil, err
	}
	y, ok, err := b.coerce(x, types.Int8, fn.Assignment, e.Position())
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, pgerr.New(pgerr.DatatypeMismatch, "argument of %s must be type bigint, not type %s", clause, x.Type().Bare().Format()).At(e.Position())
	}
	y = b.simplify(y)
	if b.fnArgs != nil && (hasColumns(y) || hasSubquery(y)) {
		return nil, &notInlined{pgerr.New(pgerr.FeatureNotSupported, "The argument of %s in function %s is not constant", clause, b.fnArgs.f.Name).At(b.fnArgs.pos)}
	}
	if c, ok := y.(*Const); ok && c.Val != nil && c.Val.(int64) < 0 {
		code := pgerr.InvalidRowCountInLimit
		if clause == "OFFSET" {
			code = pgerr.InvalidRowCountInOffset
		}
		return nil, pgerr.New(code, "%s must not be negative", clause)
	}
	return y, nil
}

// body binds a query body. ordered says that it has bound order itself.
func (b *binder) body(body ast.QueryBody, order []ast.OrderItem, parent *scope, ctes *cteScope) (r *qres, ordered bool, err error) {
	switch q := body.(type) {
	case *ast.Select:
		r, err = b.selectBlock(q, order, parent, ctes)
		return r, true, err
	case *ast.Values:
		r, err = b.values(q, parent, ctes)
		return r, false, err
	case *ast.Query:
		r, err = b.queryIn(q, parent, ctes)
		if r != nil && len(order) > 0 {
			r.order = nil
		}
		return r, false, err
	case *ast.SetOp:
		r, err = b.setOp(q, parent, ctes)
		return r, false, err
	}
	return nil, false, notSupported("this query", 0)
}

// orderByOutput resolves ORDER BY of a set operation or VALUES: output names and positions only.
func (b *binder) orderByOutput(r *qres, items []ast.OrderItem) ([]lSortKey, error) {
	var keys []lSortKey
	for _, o := range items {
		i, err := b.outputColumn(r.cols, o.Expr, "ORDER BY")
		if err != nil {
			return nil, err
		}
		if i < 0 {
			return nil, pgerr.New(pgerr.FeatureNotSupported, "invalid UNION/INTERSECT/EXCEPT ORDER BY clause").
				WithDetail("Only result column names can be used, not expressions or functions.").
				WithHint("Add the expression/function to every SELECT, or move the UNION into a FROM clause.").At(o.Expr.Position())
		}
		if b.cols[r.cols[i].id].typ.OID == types.OIDUnknown {
			if err := b.resolveUnknown(r); err != nil {
				return nil, err
			}
		}
		s, err := b.sortKey(o, b.col(r.cols[i].id))
		if err != nil {
			return nil, err
		}
		keys = append(keys, lSortKey{r.cols[i].id, s.desc, s.nullsFirst})
	}
	return keys, nil
}

// outputColumn finds the output column that a bare name or position means; -1 for anything else.
func (b *binder) outputColumn(cols []outCol, e ast.Expr, clause string) (int, error) {
	switch e := e.(type) {
	case *ast.Literal:
		if e.Kind == ast.LitInt {
			n, err := strconv.Atoi(e.Text)
			if err != nil || n < 1 || n > len(cols) {
				return -1, pgerr.New(pgerr.InvalidColumnReference, "%s position %s is not in select list", clause, e.Text).At(e.Pos)
			}
			return n - 1, nil
		}
		if e.Kind != ast.LitNull {
			return -1, pgerr.New(pgerr.SyntaxError, "non-integer constant in %s", clause).At(e.Pos)
		}
	case *ast.ColumnRef:
		if len(e.Parts) != 1 {
			return -1, nil
		}
		found := -1
		for i, c := range cols {
			if c.name == e.Parts[0] {
				if found >= 0 && cols[found].id != c.id {
					return -1, pgerr.New(pgerr.AmbiguousColumn, "%s \"%s\" is ambiguous", clause, c.name).At(e.Pos)
				}
				if found < 0 {
					found = i
				}
			}
		}
		return found, nil
	}
	return -1, nil
}

// resolveUnknown makes text of result columns that are still untyped literals.
func (b *binder) resolveUnknown(r *qres) error {
	ts := make([]types.T, len(r.cols))
	change := false
	for i, c := range r.cols {
		ts[i] = b.cols[c.id].typ
		if ts[i].OID == types.OIDUnknown {
			ts[i] = types.Text
			change = true
		}
	}
	if !change {
		return nil
	}
	return b.convert(r, ts, "SELECT")
}

// convert gives the result columns of r the types ts. Untyped literals are read as them.
func (b *binder) convert(r *qres, ts []types.T, construct string) error {
	var items []projItem
	p, isProject := r.rel.(*lProject)
	for i := range r.cols {
		id := r.cols[i].id
		if b.cols[id].typ == ts[i] {
			continue
		}
		var e Expr = b.col(id)
		if isProject {
			for _, it := range p.items {
				if it.id == id { // the conversion joins the projection: it cannot refer to its output, which nothing reads any more
					e = it.e
				}
			}
		}
		if b.cols[id].typ.OID == types.OIDUnknown && unknown(e) {
			if _, ok := e.(*Column); ok { // an untyped literal below other operators holds its text
				e = &Cast{X: e, To: types.Text}
			}
		}
		x, ok, err := b.coerce(e, ts[i], fn.Implicit, 0)
		if err != nil {
			return err
		}
		if !ok {
			return pgerr.New(pgerr.CannotCoerce, "%s could not convert type %s to %s", construct, e.Type().Bare().Format(), ts[i].Bare().Format())
		}
		if x.Type() != ts[i] {
			x = &Cast{X: x, To: ts[i]}
		}
		n := b.newCol(b.cols[id].name, ts[i])
		items = append(items, projItem{n, x})
		for j := range r.order {
			if r.order[j].col == id {
				r.order[j].col = n
			}
		}
		for j := range r.cols {
			if j != i && r.cols[j].id == id && ts[j] == ts[i] {
				r.cols[j].id = n
			}
		}
		r.cols[i].id = n
	}
	if isProject && len(items) > 0 {
		r.rel = &lProject{p.in, append(slices.Clone(p.items), items...)}
		return nil
	}
	r.rel = extend(r.rel, items, b)
	return nil
}

// expandValues expands the rows in the lists of VALUES.
func (b *binder) expandValues(c *exprCtx, v *ast.Values) (*ast.Values, error) {
	out := *v
	out.Rows = make([][]ast.Expr, len(v.Rows))
	for i, row := range v.Rows {
		var err error
		if out.Rows[i], err = b.expandRows(c, row); err != nil {
			return nil, err
		}
	}
	return &out, nil
}

func (b *binder) values(v *ast.Values, parent *scope, ctes *cteScope) (*qres, error) {
	sc := &scope{parent: parent, ctes: ctes}
	c := &exprCtx{s: sc, clause: "VALUES"}
	var rows [][]Expr
	v, err := b.expandValues(c, v)
	if err != nil {
		return nil, err
	}
	for _, row := range v.Rows {
		if len(row) != len(v.Rows[0]) {
			return nil, pgerr.New(pgerr.SyntaxError, "VALUES lists must all be the same length").At(row[0].Position())
		}
		es, err := b.exprs(c, row)
		if err != nil {
			return nil, err
		}
		rows = append(rows, es)
	}
	r := &qres{}
	l := &lValues{rows: rows}
	for i := range v.Rows[0] {
		col := make([]Expr, len(rows))
		pos := make([]int, len(rows))
		open := true
		for j := range rows {
			col[j], pos[j] = rows[j][i], v.Rows[j][i].Position()
			open = open && unknown(col[j])
		}
		t := types.Unknown
		if !open || len(rows) > 1 {
			var err error
			if t, err = b.common(col, "VALUES", pos); err != nil {
				return nil, err
			}
		}
		for j := range rows {
			rows[j][i] = col[j]
		}
		id := b.newCol("column"+strconv.Itoa(i+1), t)
		l.ids = append(l.ids, id)
		r.cols = append(r.cols, outCol{b.cols[id].name, id})
	}
	hasSub := false
	for _, e := range l.exprs() {
		walkExpr(e, func(x Expr) bool {
			if _, ok := x.(*subquery); ok {
				hasSub = true
			}
			return true
		})
	}
	if len(rows) == 1 || hasSub { // a row of expressions over nothing, which subqueries may join
		var parts []*qres
		for _, row := range rows {
			p := &qres{}
			rel := oneRow()
			proj := &lProject{}
			for i, e := range row {
				var err error
				if rel, e, err = b.unnest(rel, e); err != nil {
					return nil, err
				}
				id := b.newCol(r.cols[i].name, e.Type())
				proj.items = append(proj.items, projItem{id, e})
				p.cols = append(p.cols, outCol{r.cols[i].name, id})
			}
			proj.in = rel
			p.rel = proj
			parts = append(parts, p)
		}
		if len(parts) == 1 {
			return parts[0], nil
		}
		u := &lUnion{ids: l.ids}
		for _, p := range parts {
			u.in = append(u.in, p.rel)
			from := make([]int, len(p.cols))
			for i, c := range p.cols {
				from[i] = c.id
			}
			u.from = append(u.from, from)
		}
		r.rel = u
		return r, nil
	}
	r.rel = l
	return r, nil
}

func (b *binder) setOp(q *ast.SetOp, parent *scope, ctes *cteScope) (*qres, error) {
	back := b.inRecursion(q.All && q.Op != "UNION", q.Op)
	l, _, err := b.body(q.L, nil, parent, ctes)
	back()
	if err != nil {
		return nil, err
	}
	back = b.inRecursion(q.Op == "EXCEPT" || q.All && q.Op == "INTERSECT", q.Op)
	r, _, err := b.body(q.R, nil, parent, ctes)
	back()
	if err != nil {
		return nil, err
	}
	if len(l.cols) != len(r.cols) {
		return nil, pgerr.New(pgerr.SyntaxError, "each %s query must have the same number of columns", q.Op).At(q.Pos)
	}
	ts := make([]types.T, len(l.cols))
	for i := range ts {
		pair := []types.T{b.cols[l.cols[i].id].typ, b.cols[r.cols[i].id].typ}
		if ts[i], err = b.commonType(pair, q.Op, []int{q.Pos, q.Pos}); err != nil {
			return nil, err
		}
	}
	l.order, r.order = nil, nil
	if err := b.convert(l, ts, q.Op); err != nil {
		return nil, err
	}
	if err := b.convert(r, ts, q.Op); err != nil {
		return nil, err
	}
	out := &qres{}
	var ids, lf, rf []int
	for i := range ts {
		id := b.newCol(l.cols[i].name, ts[i])
		ids = append(ids, id)
		lf, rf = append(lf, l.cols[i].id), append(rf, r.cols[i].id)
		out.cols = append(out.cols, outCol{l.cols[i].name, id})
	}
	if q.Op == "UNION" {
		u := &lUnion{in: []lrel{l.rel, r.rel}, from: [][]int{lf, rf}, ids: ids}
		out.rel = u
		if !q.All {
			out.rel = &lAgg{in: u, keys: ids, grouped: true, pos: q.Pos}
		}
		return out, nil
	}
	out.rel = &lSetOp{l: l.rel, r: r.rel, lfrom: lf, rfrom: rf, except: q.Op == "EXCEPT", all: q.All, ids: ids}
	return out, nil
}

// starColumns gives the columns that * or t.* stands for.
func (b *binder) starColumns(s *scope, st *ast.Star) ([]scopeCol, error) {
	if len(st.Qualifier) == 0 {
		if len(s.tables) == 0 && len(s.cols) == 0 {
			return nil, pgerr.New(pgerr.SyntaxError, "SELECT * with no tables specified is not valid").At(st.Pos)
		}
		return s.star(), nil
	}
	if t := s.starTable(st); t != nil {
		return t.cols, nil
	}
	schema, name := st.Table()
	return nil, b.noTable(s, schema, name).At(st.Pos)
}

// starTable gives the table of t.*, nil without one.
func (s *scope) starTable(st *ast.Star) *table {
	if len(st.Qualifier) == 0 {
		return nil
	}
	schema, name := st.Table()
	for q := s; q != nil; q = q.parent {
		if t, n := q.table(schema, name); n > 0 {
			return t
		}
	}
	return nil
}
