package parser

import (
	"strconv"

	tast "github.com/pingcap/tidb/pkg/parser/ast"

	"streamsql/internal/pgerr"
	"streamsql/sql/parser/ast"
)

// filler converts the tree of a skeleton: it puts the parts of every node of
// the side table into its holes, in the order in which they were lowered.
type filler struct {
	side []any
	// err is the first error that only the complete tree shows.
	err *pgerr.Error
}

// fill parses the skeleton and completes the nodes of the side table.
func (e *emitter) fill() (err *pgerr.Error) {
	if len(e.roots) == 0 {
		return nil
	}
	text, err := e.skeleton()
	if err != nil {
		return err
	}
	s, err := parseSkeleton(text)
	if err != nil {
		return err
	}
	defer func() {
		if r := recover(); r != nil {
			m, ok := r.(mismatch)
			if !ok {
				panic(r)
			}
			err = pgerr.New(pgerr.InternalError, "the query's skeleton was read differently: %s", string(m)).WithDetail("%s", text)
		}
	}()
	f := &filler{side: e.side}
	if len(s.Fields.Fields) != len(e.roots) {
		f.wrong("fields")
	}
	for i, dst := range e.roots {
		x := s.Fields.Fields[i].Expr
		if dst == nil {
			f.subquery(x)
		} else {
			*dst = f.expr(x)
		}
	}
	return f.err
}

// mismatch says that TiDB's tree is not the one that the skeleton meant.
type mismatch string

func (f *filler) wrong(what string) { panic(mismatch(what)) }

func (f *filler) fail(e *pgerr.Error) {
	if f.err == nil {
		f.err = e
	}
}

// index gives the number that a leaf of the skeleton stands for.
func (f *filler) index(x tast.ExprNode) int {
	var n int64
	switch x := x.(type) {
	case tast.ValueExpr:
		v, ok := x.GetValue().(int64)
		if !ok {
			f.wrong("leaf")
		}
		n = v
	case *tast.PositionExpr: // a number in ORDER BY or GROUP BY
		n = int64(x.N)
	default:
		f.wrong("leaf")
	}
	if n < 0 || n >= int64(len(f.side)) {
		f.wrong("index")
	}
	return int(n)
}

func at[T any](f *filler, n int) T {
	v, ok := f.side[n].(T)
	if !ok {
		f.wrong("node")
	}
	return v
}

// kids hands out the operands of a carrier in turn: from TiDB's tree or, where
// all of them were finished before, from done.
type kids struct {
	f    *filler
	list []tast.ExprNode
	done []ast.Expr
}

func (k *kids) next() tast.ExprNode {
	if len(k.list) == 0 {
		k.f.wrong("operands")
	}
	x := k.list[0]
	k.list = k.list[1:]
	return x
}

func (k *kids) expr() ast.Expr {
	if len(k.done) > 0 {
		x := k.done[0]
		k.done = k.done[1:]
		return x
	}
	return k.f.expr(k.next())
}

// put completes *dst where it is a hole.
func (k *kids) put(dst *ast.Expr) {
	if *dst == hole {
		*dst = k.expr()
	}
}

func (k *kids) puts(dst []ast.Expr) {
	for i := range dst {
		k.put(&dst[i])
	}
}

func (k *kids) rest() []ast.Expr {
	if k.done != nil {
		out := k.done
		k.done = nil
		return out
	}
	out := make([]ast.Expr, len(k.list))
	for i, x := range k.list {
		out[i] = k.f.expr(x)
	}
	k.list = nil
	return out
}

func (k *kids) order(items []ast.OrderItem) {
	for i := range items {
		k.put(&items[i].Expr)
	}
}

func (k *kids) spec(w *ast.WindowSpec) {
	if w == nil {
		return
	}
	k.puts(w.PartitionBy)
	k.order(w.OrderBy)
	if w.Frame != nil {
		k.put(&w.Frame.Start.Offset)
		k.put(&w.Frame.End.Offset)
	}
}

// expr converts an expression.
func (f *filler) expr(x tast.ExprNode) ast.Expr {
	call, ok := x.(*tast.FuncCallExpr)
	if !ok {
		return at[ast.Expr](f, f.index(x))
	}
	if len(call.Args) == 0 {
		f.wrong("carrier")
	}
	node := f.side[f.index(call.Args[0])]
	k := &kids{f: f, list: call.Args[1:]}
	e := f.carrier(node, call.FnName.L, k)
	if len(k.list) > 0 {
		f.wrong("operands left")
	}
	return e
}

// carrier completes the node of a carrier with its operands.
func (f *filler) carrier(node any, name string, k *kids) ast.Expr {
	switch n := node.(type) {
	case *ast.Binary:
		n.L, n.R = k.expr(), k.expr()
		return n
	case *ast.Unary:
		n.X = k.expr()
		return n
	case *ast.And:
		n.Args = k.rest()
		return n
	case *ast.Or:
		n.Args = k.rest()
		return n
	case *ast.Not:
		n.X = k.expr()
		return n
	case *ast.IsTest:
		n.X = k.expr()
		return n
	case *ast.IsDistinct:
		n.L, n.R = k.expr(), k.expr()
		return n
	case *ast.Like:
		n.X, n.Pattern = k.expr(), k.expr()
		k.put(&n.Escape)
		return n
	case *ast.Between:
		n.X, n.Lo, n.Hi = k.expr(), k.expr(), k.expr()
		return n
	case *ast.In:
		n.X = k.expr()
		if n.Query != nil {
			f.subquery(k.next())
		} else {
			n.List = k.rest()
		}
		return n
	case *ast.Quantified:
		n.X = k.expr()
		if n.Query != nil {
			f.subquery(k.next())
		} else {
			k.put(&n.Array)
		}
		return n
	case *ast.Exists:
		n.Query = f.subquery(k.next())
		return n
	case *ast.ScalarQuery:
		n.Query = f.subquery(k.next())
		return n
	case *ast.ArrayQuery:
		n.Query = f.subquery(k.next())
		return n
	case *ast.Case:
		k.put(&n.X)
		for i := range n.Whens {
			n.Whens[i].Cond = k.expr()
			n.Whens[i].Then = k.expr()
		}
		k.put(&n.Else)
		return n
	case *ast.Cast:
		n.X = k.expr()
		return n
	case *ast.FuncCall:
		f.call(n, name, k)
		return n
	case *ast.ArrayExpr:
		n.Elems = k.rest()
		return n
	case *ast.RowExpr:
		n.Elems = k.rest()
		return n
	case *ast.Subscript:
		n.X = k.expr()
		k.put(&n.Lo)
		k.put(&n.Hi)
		return n
	case *ast.Field:
		n.X = k.expr()
		return n
	case *ast.Collate:
		n.X = k.expr()
		return n
	case *ast.Grouping:
		n.Args = k.rest()
		return n
	case *overlaps:
		return f.overlaps(n, k)
	case *windowSlots:
		for _, s := range n.slots {
			*s = k.expr()
		}
		return nil
	}
	f.wrong("carrier")
	return nil
}

func (f *filler) call(n *ast.FuncCall, name string, k *kids) {
	k.puts(n.Args)
	// The forms whose operands PostgreSQL passes in another order.
	switch {
	case name == "zone__", name == "position__":
		n.Args[0], n.Args[1] = n.Args[1], n.Args[0]
	case name == "trim__" && n.ArgNames != nil:
		n.Args[0], n.Args[1] = n.Args[1], n.Args[0]
		n.ArgNames = nil
	case name == "substring__" && n.ArgNames != nil:
		n.Args[1], n.Args[2] = n.Args[2], n.Args[1]
		n.ArgNames = nil
	}
	k.order(n.OrderBy)
	k.order(n.WithinGroup)
	k.put(&n.Filter)
	k.spec(n.Over)
}

func (f *filler) overlaps(n *overlaps, k *kids) ast.Expr {
	c := &ast.FuncCall{At: ast.At{Pos: n.pos}, Name: specialName("overlaps", n.pos), Special: true}
	for _, side := range []string{"left", "right"} {
		r, ok := k.expr().(*ast.RowExpr)
		if !ok || len(r.Elems) != 2 {
			f.fail(pgerr.New(pgerr.SyntaxError, "wrong number of parameters on %s side of OVERLAPS expression", side).At(n.pos))
			continue
		}
		c.Args = append(c.Args, r.Elems...)
	}
	return c
}

// subquery converts (SELECT ..) as an operand.
func (f *filler) subquery(x tast.ExprNode) *ast.Query {
	s, ok := x.(*tast.SubqueryExpr)
	if !ok {
		f.wrong("subquery")
	}
	return f.query(s.Query)
}

// query converts a query; its ORDER BY begins with the number of its node.
func (f *filler) query(x tast.ResultSetNode) *ast.Query {
	var with *tast.WithClause
	var order *tast.OrderByClause
	var operands []tast.Node
	switch s := x.(type) {
	case *tast.SelectStmt:
		with, order, operands = s.With, s.OrderBy, []tast.Node{s}
	case *tast.SetOprStmt:
		with, order, operands = s.With, s.OrderBy, s.SelectList.Selects
	default:
		f.wrong("query")
	}
	if order == nil || len(order.Items) == 0 {
		f.wrong("order")
	}
	node := at[*queryNode](f, f.index(order.Items[0].Expr))
	if with != nil {
		for _, c := range with.CTEs {
			n, err := strconv.Atoi(c.Name.L[1:])
			if err != nil || n >= len(node.q.With.CTEs) {
				f.wrong("cte")
			}
			node.q.With.CTEs[n].Stmt = f.query(c.Query.Query)
		}
	}
	node.q.Body = f.body(node.q.Body, &operands)
	if len(operands) > 0 {
		f.wrong("operands of a set operation")
	}
	if len(order.Items) != len(node.slots)+1 {
		f.wrong("order")
	}
	for i, s := range node.slots {
		*s = f.expr(order.Items[i+1].Expr)
	}
	return node.q
}

// body completes a tree of set operations with the operands in their order.
func (f *filler) body(b ast.QueryBody, operands *[]tast.Node) ast.QueryBody {
	if op, ok := b.(*ast.SetOp); ok {
		op.L = f.body(op.L, operands)
		op.R = f.body(op.R, operands)
		return op
	}
	if len(*operands) == 0 {
		f.wrong("operand")
	}
	s, ok := (*operands)[0].(*tast.SelectStmt)
	if !ok || len(s.Fields.Fields) == 0 {
		f.wrong("operand")
	}
	*operands = (*operands)[1:]
	k := &kids{f: f, list: make([]tast.ExprNode, 0, len(s.Fields.Fields))}
	for _, x := range s.Fields.Fields {
		k.list = append(k.list, x.Expr)
	}
	switch n := f.side[f.index(k.next())].(type) {
	case *ast.Select:
		f.selectBlock(n, s, k)
	case *ast.Values:
		for _, row := range n.Rows {
			k.puts(row)
		}
	case *parenQuery:
		t, ok := s.From.TableRefs.Left.(*tast.TableSource)
		if !ok {
			f.wrong("parenthesised query")
		}
		inner := f.query(t.Source)
		if inner.With == nil && inner.OrderBy == nil && inner.Limit == nil && inner.Offset == nil && inner.Emit == nil && !inner.Locking {
			return inner.Body
		}
		return inner
	default:
		f.wrong("operand")
	}
	if len(k.list) > 0 {
		f.wrong("select list")
	}
	return b
}

// selectBlock completes a SELECT block; k holds its select list.
func (f *filler) selectBlock(n *ast.Select, s *tast.SelectStmt, k *kids) {
	k.puts(n.DistinctOn)
	for i := range n.Items {
		k.put(&n.Items[i].Expr)
	}
	if s.From != nil {
		n.From = f.fromList(s.From.TableRefs)
	}
	if s.Where != nil {
		n.Where = f.expr(s.Where)
	}
	if s.GroupBy != nil {
		g := &kids{f: f}
		for _, x := range s.GroupBy.Items[1:] {
			g.list = append(g.list, x.Expr)
		}
		n.GroupBy = f.groupItems(n.GroupBy, g, false)
	}
	if s.Having != nil {
		c, ok := s.Having.Expr.(*tast.FuncCallExpr)
		if !ok || at[*ast.Select](f, f.index(c.Args[0])) != n {
			f.wrong("having")
		}
		h := &kids{f: f, list: c.Args[1:]}
		k.f.having(n, h)
	}
}

func (f *filler) having(n *ast.Select, k *kids) {
	k.put(&n.Having)
	for i := range n.Windows {
		k.spec(n.Windows[i].Spec)
	}
	if len(k.list) > 0 {
		f.wrong("having")
	}
}

// groupItems completes the items of GROUP BY. A row in parentheses is a set of
// its columns; outside of GROUPING SETS that is the columns themselves.
func (f *filler) groupItems(items []ast.GroupItem, k *kids, inSets bool) []ast.GroupItem {
	out := items
	copied := false
	for i := range items {
		item := &items[i]
		switch {
		case item.Window != nil:
			f.expr(k.next())
		case item.Sets != nil:
			item.Sets.Sets = f.groupItems(item.Sets.Sets, k, true)
		default:
			item.Expr = k.expr()
			r, ok := item.Expr.(*ast.RowExpr)
			if !ok || r.Explicit {
				break
			}
			if inSets {
				item.Expr, item.Sets = nil, &ast.GroupingSets{Kind: "set", Exprs: r.Elems}
				break
			}
			if !copied {
				out, copied = append([]ast.GroupItem(nil), items[:i]...), true
			}
			for _, e := range r.Elems {
				out = append(out, ast.GroupItem{Expr: e, Pos: e.Position()})
			}
			continue
		}
		if copied {
			out = append(out, *item)
		}
	}
	return out
}

// fromList converts FROM: joins with a condition are joins, those without are the commas of the list.
func (f *filler) fromList(j *tast.Join) []ast.FromItem {
	var spine []tast.ResultSetNode
	var x tast.ResultSetNode = j
	for {
		c, ok := x.(*tast.Join)
		if !ok || c.On != nil {
			break
		}
		if c.Right != nil {
			spine = append(spine, c.Right)
		}
		x = c.Left
	}
	out := make([]ast.FromItem, 0, len(spine)+1)
	if t, ok := x.(*tast.TableSource); ok && isDummy(t) {
		return nil
	}
	out = append(out, f.from(x))
	for i := len(spine) - 1; i >= 0; i-- {
		out = append(out, f.from(spine[i]))
	}
	return out
}

// isDummy recognises the relation of a SELECT without FROM.
func isDummy(t *tast.TableSource) bool {
	n, ok := t.Source.(*tast.TableName)
	return ok && n.Name.L == "r"
}

// from converts one item of FROM.
func (f *filler) from(x tast.ResultSetNode) ast.FromItem {
	switch t := x.(type) {
	case *tast.Join:
		if t.On == nil {
			// Parentheses around one item.
			if t.Right != nil {
				f.wrong("join")
			}
			return f.from(t.Left)
		}
		c, ok := t.On.Expr.(*tast.FuncCallExpr)
		if !ok {
			f.wrong("join")
		}
		n := at[*ast.JoinRef](f, f.index(c.Args[0]))
		n.L, n.R = f.from(t.Left), f.from(t.Right)
		k := &kids{f: f, list: c.Args[1:]}
		k.put(&n.On)
		return n
	case *tast.TableSource:
		return f.table(t)
	}
	f.wrong("from")
	return nil
}

// table converts a relation: r with the number of its node, as a name or an alias.
func (f *filler) table(t *tast.TableSource) ast.FromItem {
	name := t.AsName.L
	if n, ok := t.Source.(*tast.TableName); ok {
		name = n.Name.L
	}
	id, err := strconv.Atoi(name[1:])
	if err != nil || id >= len(f.side) {
		f.wrong("relation")
	}
	inner, _ := t.Source.(*tast.SelectStmt)
	switch n := f.side[id].(type) {
	case *ast.TableRef:
		if n.AsOf != nil {
			n.AsOf = f.expr(inner.Fields.Fields[1].Expr)
		}
		return n
	case *ast.SubqueryRef:
		n.Query = f.query(t.Source)
		return n
	case *ast.FuncRef:
		if inner == nil || len(inner.Fields.Fields) != len(n.Calls)+1 {
			f.wrong("function")
		}
		for i := range n.Calls {
			e := f.expr(inner.Fields.Fields[i+1].Expr)
			c, ok := e.(*ast.FuncCall)
			if !ok {
				c = &ast.FuncCall{At: ast.At{Pos: n.Pos}}
				f.fail(pgerr.New(pgerr.FeatureNotSupported, "this expression in FROM is not supported").At(e.Position()).
					WithHint("Write it in a subquery: FROM (SELECT ..)."))
			}
			n.Calls[i] = c
		}
		return n
	case *ast.WindowTVF:
		if inner == nil || inner.From == nil || inner.Having == nil {
			f.wrong("window function")
		}
		n.Input = f.from(inner.From.TableRefs)
		f.expr(inner.Having.Expr)
		return n
	case *joinAlias:
		if inner == nil || inner.From == nil {
			f.wrong("join")
		}
		j, ok := f.from(inner.From.TableRefs).(*ast.JoinRef)
		if !ok {
			f.wrong("join")
		}
		j.Alias = n.alias
		return j
	}
	f.wrong("relation")
	return nil
}
