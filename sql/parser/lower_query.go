package parser

import (
	"streamsql/internal/pgerr"
	"streamsql/sql/parser/ast"
)

// queryNode is a query in the side table; slots get the expressions of its tail in the order of the text.
type queryNode struct {
	q     *ast.Query
	slots []*ast.Expr
}

// rootQuery lowers a query of a statement.
func (p *parser) rootQuery() *ast.Query {
	p.rootSep()
	p.em.put("(")
	q := p.query()
	p.em.put(")")
	p.em.roots = append(p.em.roots, nil)
	return q
}

// query lowers a query without parentheses around it.
func (p *parser) query() *ast.Query {
	p.enter()
	node := &queryNode{q: &ast.Query{Pos: p.pos()}}
	id := p.em.ref(node)
	if p.is("with") {
		node.q.With = p.with()
	}
	p.queryAfterWith(node, id)
	p.depth--
	return node.q
}

func (p *parser) queryAfterWith(node *queryNode, id int32) {
	ops := 0
	node.q.Body = p.setOps(1, &ops)
	p.em.putN(" ORDER BY ", id)
	p.tail(node)
}

// with lowers WITH. A data-modifying statement in it is complete at once and is not in the skeleton.
func (p *parser) with() *ast.With {
	p.expect("with")
	w := &ast.With{}
	if n := p.peek(1); !n.isOp("(") && !n.isWord("as") {
		w.Recursive = p.accept("recursive")
	}
	written := false
	for {
		c := ast.CTE{Pos: p.pos(), Name: p.colID()}
		if p.isOp("(") {
			c.Columns = p.nameList()
		}
		p.expect("as")
		yes, no := true, false
		if p.accept("materialized") {
			c.Materialized = &yes
		} else if p.accept("not", "materialized") {
			c.Materialized = &no
		}
		if !p.isOp("(") {
			p.unexpected()
		}
		if t := p.peek(1); t.isWord("insert") || t.isWord("update") || t.isWord("delete") || t.isWord("merge") {
			p.next()
			c.Stmt = p.nestedStatement()
			p.expectOp(")")
		} else {
			if !written {
				p.em.put("WITH RECURSIVE ")
				written = true
			} else {
				p.em.comma()
			}
			p.em.putN("c", int32(len(w.CTEs)))
			p.em.put(" AS ")
			c.Stmt = p.subquery()
		}
		p.searchAndCycle(&c)
		w.CTEs = append(w.CTEs, c)
		if !p.acceptOp(",") {
			break
		}
	}
	if written {
		p.em.put(" ")
	}
	return w
}

// searchAndCycle parses what may follow a recursive WITH query.
func (p *parser) searchAndCycle(c *ast.CTE) {
	names := func() []string {
		out := []string{p.colID()}
		for p.acceptOp(",") {
			out = append(out, p.colID())
		}
		return out
	}
	if at := p.pos(); p.accept("search") {
		s := &ast.Search{Pos: at, Breadth: p.accept("breadth")}
		if !s.Breadth {
			p.expect("depth")
		}
		p.expect("first", "by")
		s.By = names()
		p.expect("set")
		s.Set = p.colID()
		c.Search = s
	}
	if at := p.pos(); p.accept("cycle") {
		y := &ast.Cycle{Pos: at, Columns: names()}
		p.expect("set")
		y.Mark = p.colID()
		y.Value = &ast.Literal{At: ast.At{Pos: at}, Kind: ast.LitBool, Text: "true"}
		y.Other = &ast.Literal{At: ast.At{Pos: at}, Kind: ast.LitBool, Text: "false"}
		if p.accept("to") {
			y.Value = p.plainLiteral()
			p.expect("default")
			y.Other = p.plainLiteral()
		}
		p.expect("using")
		y.Path = p.colID()
		c.Cycle = y
	}
}

// plainLiteral parses a text, a number, TRUE, FALSE or NULL.
func (p *parser) plainLiteral() ast.Expr {
	t := p.tok()
	l := &ast.Literal{At: ast.At{Pos: int(t.char)}, Text: t.text}
	switch {
	case t.kind == tString:
		l.Kind = ast.LitString
	case t.kind == tInt:
		l.Kind = ast.LitInt
	case t.kind == tNumeric:
		l.Kind = ast.LitNumeric
	case t.isWord("true"), t.isWord("false"):
		l.Kind = ast.LitBool
	case t.isWord("null"):
		l.Kind = ast.LitNull
	default:
		p.unexpected()
	}
	p.next()
	return l
}

// nestedStatement parses DML inside of a query that is being lowered.
func (p *parser) nestedStatement() ast.Stmt {
	p.enter()
	outer, after := p.em, p.after
	p.em, p.after = &emitter{}, nil
	s := p.statement()
	p.complete()
	p.em, p.after = outer, after
	p.depth--
	return s
}

// setOps lowers operands joined by UNION, EXCEPT (1) and INTERSECT (2) of strength min or more.
func (p *parser) setOps(min int, ops *int) ast.QueryBody {
	l := p.operand()
	for {
		prec, word := 1, "UNION"
		switch {
		case p.is("union"):
		case p.is("except"):
			word = "EXCEPT"
		case p.is("intersect"):
			prec, word = 2, "INTERSECT"
		default:
			return l
		}
		if prec < min {
			return l
		}
		op := &ast.SetOp{Op: word, Pos: p.pos(), L: l}
		p.next()
		if p.accept("all") {
			op.All = true
			word += " ALL"
		} else {
			p.accept("distinct")
		}
		if *ops++; *ops > maxDepth {
			p.fail(tooDeep())
		}
		p.em.put(" " + word + " ")
		op.R = p.setOps(prec+1, ops)
		l = op
	}
}

// operand lowers SELECT, VALUES, TABLE or a query in parentheses.
func (p *parser) operand() ast.QueryBody {
	switch {
	case p.is("select"):
		return p.selectBlock()
	case p.is("values"):
		return p.values()
	case p.is("table"):
		s := &ast.Select{Pos: p.pos(), Items: []ast.SelectItem{{Pos: p.pos(), Expr: hole}}}
		p.next()
		p.em.open("SELECT ", s)
		p.em.comma()
		p.em.leaf(&ast.Star{At: ast.At{Pos: s.Pos}})
		p.em.put(" FROM ")
		t := &ast.TableRef{Pos: p.pos(), Only: p.accept("only")}
		t.Name = p.name()
		p.em.open("r", t)
		return s
	case p.isOp("("):
		// A derived table carries it, so that its ORDER BY and LIMIT stay its own.
		q := &ast.Query{}
		p.em.open("SELECT ", &parenQuery{q})
		p.em.put(" FROM ")
		*q = ast.Query{Body: p.subquery()}
		p.em.put(" q")
		return q
	}
	p.unexpected()
	return nil
}

// parenQuery is a query in parentheses as an operand; its Body is the inner query.
type parenQuery struct{ q *ast.Query }

func (p *parser) values() ast.QueryBody {
	v := &ast.Values{Pos: p.pos()}
	p.expect("values")
	p.em.open("SELECT ", v)
	for {
		p.expectOp("(")
		pos := p.pos()
		row := make([]ast.Expr, 0, 4)
		if n := len(v.Rows); n > 0 {
			row = make([]ast.Expr, 0, len(v.Rows[n-1]))
		}
		for {
			row = append(row, p.value())
			if !p.acceptOp(",") {
				break
			}
		}
		p.expectOp(")")
		if len(v.Rows) > 0 && len(row) != len(v.Rows[0]) {
			p.fail(pgerr.New(pgerr.SyntaxError, "VALUES lists must all be the same length").At(pos))
		}
		v.Rows = append(v.Rows, row)
		if !p.acceptOp(",") {
			return v
		}
	}
}

// value gives a literal that is a whole value at once and lowers anything else:
// long lists of constants need no grammar.
func (p *parser) value() ast.Expr {
	if n := p.peek(1); n.isOp(",") || n.isOp(")") {
		switch t := p.tok(); {
		case t.kind == tInt, t.kind == tNumeric, t.kind == tString, t.kind == tBits:
			p.next()
			return p.literal(t)
		case t.kind == tIdent && t.cat == reserved && !t.quoted && (t.text == "true" || t.text == "false"):
			p.next()
			return &ast.Literal{At: ast.At{Pos: int(t.char)}, Kind: ast.LitBool, Text: t.text}
		case t.isWord("null"):
			p.next()
			return &ast.Literal{At: ast.At{Pos: int(t.char)}, Kind: ast.LitNull, Text: t.text}
		}
	}
	p.em.comma()
	p.expr()
	return hole
}

// selectBlock lowers SELECT up to WINDOW. Its node is the first field of the skeleton's block.
func (p *parser) selectBlock() *ast.Select {
	// DEFAULT belongs to the rows of INSERT only.
	def := p.defaultOK
	p.defaultOK = false
	s := &ast.Select{Pos: p.pos()}
	id := p.em.ref(s)
	p.next()
	p.em.putN("SELECT ", id)
	if p.accept("distinct") {
		if p.accept("on") {
			p.expectOp("(")
			for {
				p.em.comma()
				p.expr()
				s.DistinctOn = append(s.DistinctOn, hole)
				if !p.acceptOp(",") {
					break
				}
			}
			p.expectOp(")")
		} else {
			s.Distinct = true
		}
	} else {
		p.accept("all")
	}
	if s.Distinct || s.DistinctOn != nil || !p.endsItem(p.tok()) {
		s.Items = p.selectItems()
	}
	if p.is("into") {
		p.unsupported(p.pos(), "SELECT INTO", "Use CREATE TABLE .. AS SELECT.")
	}
	from := p.accept("from")
	if from {
		p.em.put(" FROM ")
		p.fromList()
	} else if p.isAny("where", "group", "having", "window") {
		p.em.put(" FROM r")
	}
	if p.accept("where") {
		s.Where = hole
		p.em.put(" WHERE ")
		p.expr()
	}
	if p.is("group") {
		p.groupBy(s)
	}
	if p.isAny("having", "window") {
		p.em.putN(" HAVING having__(", id)
		if p.accept("having") {
			s.Having = hole
			p.em.comma()
			p.expr()
		}
		if p.accept("window") {
			for {
				w := ast.NamedWindow{Pos: p.pos(), Name: p.colID()}
				p.expect("as")
				w.Spec = p.windowSpec()
				s.Windows = append(s.Windows, w)
				if !p.acceptOp(",") {
					break
				}
			}
		}
		p.em.put(")")
	}
	p.defaultOK = def
	return s
}

// endsItem says whether t is what follows an item of a select list. The list may be empty.
func (p *parser) endsItem(t *token) bool {
	switch t.kind {
	case tEOF:
		return true
	case tOp:
		return t.text == "," || t.text == ")" || t.text == ";"
	case tIdent:
		switch t.text {
		case "from", "where", "group", "having", "window", "union", "intersect", "except", "order", "limit", "offset", "fetch", "for", "into":
			return !t.quoted
		}
	}
	return false
}

// selectItems lowers a select list; each expression comes after a comma.
func (p *parser) selectItems() []ast.SelectItem {
	var items []ast.SelectItem
	for {
		p.em.comma()
		items = append(items, p.selectItem())
		if !p.acceptOp(",") {
			return items
		}
	}
}

func (p *parser) selectItem() ast.SelectItem {
	item := ast.SelectItem{Pos: p.pos(), Expr: hole}
	if p.isOp("*") {
		p.next()
		p.em.leaf(&ast.Star{At: ast.At{Pos: item.Pos}})
		return item
	}
	outer := p.labelDepth
	p.labelDepth = p.depth + 1
	p.expr()
	p.labelDepth = outer
	switch t := p.tok(); {
	case p.accept("as"):
		item.Alias = p.label()
	case t.kind == tIdent && t.bareLabel && !p.emitAhead():
		item.Alias = p.next().text
	}
	return item
}

// orderBy lowers ORDER BY; each expression comes after a comma.
func (p *parser) orderBy() []ast.OrderItem {
	p.expect("order", "by")
	var out []ast.OrderItem
	for {
		item := ast.OrderItem{Pos: p.pos(), Expr: hole}
		p.em.comma()
		p.expr()
		p.direction(&item)
		out = append(out, item)
		if !p.acceptOp(",") {
			return out
		}
	}
}

// direction reads ASC, DESC, USING op and NULLS FIRST or LAST.
func (p *parser) direction(item *ast.OrderItem) {
	switch {
	case p.accept("desc"):
		item.Desc = true
	case p.accept("asc"):
	case p.accept("using"):
		if !p.tok().userOp && !p.is("operator") && operatorPrec(p.tok()) == 0 {
			p.unexpected()
		}
		item.Using, _ = p.operator()
		item.Desc = item.Using == ">"
	}
	if p.nullsOrder() {
		first := p.peek(1).isWord("first")
		p.i += 2
		item.NullsFirst = &first
	}
}

// nullsOrder says whether NULLS FIRST or NULLS LAST comes next; alone NULLS is a name.
func (p *parser) nullsOrder() bool {
	return p.is("nulls") && (p.peek(1).isWord("first") || p.peek(1).isWord("last"))
}

func (p *parser) groupBy(s *ast.Select) {
	p.expect("group", "by")
	if p.accept("distinct") {
		s.GroupDistinct = true
	} else {
		p.accept("all")
	}
	p.em.put(" GROUP BY 0")
	s.GroupBy = p.groupItems(false)
}

func (p *parser) groupItems(inSets bool) []ast.GroupItem {
	var out []ast.GroupItem
	for {
		out = append(out, p.groupItem(inSets))
		if !p.acceptOp(",") {
			return out
		}
	}
}

// groupItem lowers an element of GROUP BY or, inSets, of GROUPING SETS.
func (p *parser) groupItem(inSets bool) ast.GroupItem {
	p.enter()
	defer func() { p.depth-- }()
	item := ast.GroupItem{Pos: p.pos()}
	kind := ""
	switch {
	case p.isOp("(") && p.peek(1).isOp(")"):
		p.i += 2
		item.Sets = &ast.GroupingSets{Kind: "set"}
		return item
	case p.is("grouping") && p.peek(1).isWord("sets"):
		p.i += 2
		kind = "sets"
	case p.isAny("rollup", "cube") && p.peek(1).isOp("("):
		kind = p.next().text
	}
	if kind != "" {
		p.expectOp("(")
		item.Sets = &ast.GroupingSets{Kind: kind, Sets: p.groupItems(true)}
		p.expectOp(")")
		return item
	}
	p.em.comma()
	if k := p.windowAhead(); k != 0 && !inSets {
		item.Window = p.groupWindow(k)
		return item
	}
	item.Expr = hole
	p.expr()
	return item
}

// tail lowers ORDER BY, LIMIT, OFFSET, FETCH, FOR UPDATE and EMIT.
func (p *parser) tail(node *queryNode) {
	q := node.q
	if p.is("order") {
		q.OrderBy = p.orderBy()
		for i := range q.OrderBy {
			node.slots = append(node.slots, &q.OrderBy[i].Expr)
		}
	}
	slot := func(dst *ast.Expr, min int) {
		p.em.comma()
		p.exprPrec(min, false)
		node.slots = append(node.slots, dst)
	}
	limit, offset := false, false
	for {
		switch {
		case p.is("limit"):
			if limit {
				p.unexpected()
			}
			limit = true
			p.next()
			if !p.accept("all") {
				if p.is("null") {
					p.next()
				} else {
					slot(&q.Limit, precOr)
				}
			}
			if p.isOp(",") {
				p.fail(pgerr.New(pgerr.SyntaxError, "LIMIT #,# syntax is not supported").
					WithHint("Use separate LIMIT and OFFSET clauses.").At(p.pos()))
			}
		case p.is("offset"):
			if offset {
				p.unexpected()
			}
			offset = true
			p.next()
			slot(&q.Offset, precOr)
			if !p.accept("row") {
				p.accept("rows")
			}
		case p.is("fetch") && (p.peek(1).isWord("first") || p.peek(1).isWord("next")):
			if limit {
				p.unexpected()
			}
			limit = true
			p.i += 2
			if p.isAny("row", "rows") {
				q.Limit = intLit("1", p.pos())
			} else {
				slot(&q.Limit, precSign)
			}
			if !p.accept("row") {
				p.expect("rows")
			}
			if p.accept("with", "ties") {
				q.WithTies = true
			} else {
				p.expect("only")
			}
		case p.is("fetch"):
			p.next()
			p.unexpected()
		case p.is("for"):
			p.locking(q)
		case p.emitAhead():
			q.Emit = p.emit(slot)
			return
		default:
			return
		}
	}
}

// locking reads FOR UPDATE and its kin.
func (p *parser) locking(q *ast.Query) {
	p.expect("for")
	switch {
	case p.accept("read", "only"):
		return
	case p.accept("update"), p.accept("share"), p.accept("no", "key", "update"), p.accept("key", "share"):
	default:
		p.unexpected()
	}
	q.Locking = true
	if p.accept("of") {
		p.names()
	}
	if !p.accept("nowait") && p.accept("skip") {
		p.expect("locked")
	}
}
