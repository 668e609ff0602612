package parser

import (
	"strings"

	"streamsql/internal/pgerr"
	"streamsql/sql/parser/ast"
)

// statement parses one statement up to its semicolon.
func (p *parser) statement() ast.Stmt {
	p.enter()
	defer func() { p.depth-- }()
	t := p.tok()
	if t.isOp("(") {
		return p.rootQuery()
	}
	if t.kind != tIdent || t.quoted {
		p.unexpected()
	}
	if f, ok := statements[t.text]; ok {
		return f(p)
	}
	e := p.syntaxError()
	if w := nearest(t.text, firstWords); w != "" {
		e.WithHint("Perhaps you meant %s.", w)
	}
	p.fail(e)
	return nil
}

// statements maps the first word of a statement to its parser. It is filled in
// init because the parsers lead back to it.
var statements map[string]func(*parser) ast.Stmt

var firstWords []string

func init() {
	query := func(p *parser) ast.Stmt { return p.rootQuery() }
	statements = map[string]func(*parser) ast.Stmt{
		"select": query, "values": query, "table": query,
		"with":       (*parser).withStatement,
		"insert":     func(p *parser) ast.Stmt { return p.insert(nil) },
		"update":     func(p *parser) ast.Stmt { return p.update(nil) },
		"delete":     func(p *parser) ast.Stmt { return p.delete(nil) },
		"truncate":   (*parser).truncate,
		"create":     (*parser).create,
		"drop":       (*parser).drop,
		"alter":      (*parser).alter,
		"comment":    (*parser).comment,
		"grant":      (*parser).grant,
		"revoke":     (*parser).grant,
		"copy":       (*parser).copy,
		"subscribe":  func(p *parser) ast.Stmt { return p.subscribe() },
		"declare":    (*parser).declare,
		"fetch":      (*parser).fetch,
		"move":       (*parser).fetch,
		"close":      (*parser).closeCursor,
		"prepare":    (*parser).prepare,
		"execute":    (*parser).execute,
		"deallocate": (*parser).deallocate,
		"begin":      (*parser).transaction,
		"start":      (*parser).transaction,
		"commit":     (*parser).transaction,
		"end":        (*parser).transaction,
		"rollback":   (*parser).transaction,
		"abort":      (*parser).transaction,
		"savepoint":  (*parser).transaction,
		"release":    (*parser).transaction,
		"set":        (*parser).set,
		"reset":      (*parser).reset,
		"show":       (*parser).show,
		"discard":    (*parser).discard,
		"explain":    (*parser).explain,
		"refresh":    (*parser).refresh,
		"listen":     (*parser).listen,
		"unlisten":   (*parser).listen,
		"notify":     (*parser).listen,
		"pause":      (*parser).pause,
		"resume":     (*parser).pause,
		"backup":     (*parser).backup,
		"lock":       (*parser).noOp,
		"analyze":    (*parser).noOp,
		"analyse":    (*parser).noOp,
		"vacuum":     (*parser).noOp,
		"checkpoint": (*parser).noOp,
		"cluster":    (*parser).noOp,
		"reindex":    (*parser).noOp,
		"security":   (*parser).noOp,
		"merge":      func(p *parser) ast.Stmt { return p.merge(nil) },
		"do":         func(p *parser) ast.Stmt { return p.refuse("DO", "There are no procedural languages.") },
		"call": func(p *parser) ast.Stmt {
			return p.refuse("CALL", "There are no procedures; a function is called with SELECT.")
		},
		"load": func(p *parser) ast.Stmt { return p.refuse("LOAD", "") },
		"import": func(p *parser) ast.Stmt {
			return p.refuse("IMPORT FOREIGN SCHEMA", "Declare a source with CREATE SOURCE.")
		},
		"reassign": (*parser).reassign,
	}
	for w := range statements {
		firstWords = append(firstWords, w)
	}
}

func (p *parser) refuse(what, hint string) ast.Stmt {
	p.unsupported(p.pos(), what, hint)
	return nil
}

// nearest gives the word that is meant, in upper case; "" if none is near.
func nearest(w string, words []string) string { return strings.ToUpper(pgerr.Nearest(w, words)) }

// withStatement parses WITH .. and the query or DML that follows.
func (p *parser) withStatement() ast.Stmt {
	p.rootSep()
	p.em.put("(")
	node := &queryNode{q: &ast.Query{Pos: p.pos()}}
	id := p.em.ref(node)
	with := p.with()
	node.q.With = with
	finish := func() {
		p.em.put(")")
		p.em.roots = append(p.em.roots, nil)
	}
	if !p.isAny("insert", "update", "delete", "merge") {
		p.queryAfterWith(node, id)
		finish()
		return node.q
	}
	// The CTEs of DML are a query of their own in the skeleton.
	s := &ast.Select{}
	p.em.open("SELECT ", s)
	node.q.Body = s
	p.em.putN(" ORDER BY ", id)
	finish()
	switch {
	case p.is("insert"):
		return p.insert(with)
	case p.is("update"):
		return p.update(with)
	case p.is("delete"):
		return p.delete(with)
	}
	return p.merge(with)
}

// rootItems lowers the items of RETURNING.
func (p *parser) rootItems(dst *[]ast.SelectItem) {
	var roots []int
	var items []ast.SelectItem
	for {
		p.rootSep()
		items = append(items, p.selectItem())
		roots = append(roots, len(p.em.roots))
		p.em.roots = append(p.em.roots, nil)
		if !p.acceptOp(",") {
			break
		}
	}
	for i := range items {
		p.em.roots[roots[i]] = &items[i].Expr
	}
	*dst = items
}

// rootFrom lowers FROM of UPDATE or USING of DELETE.
func (p *parser) rootFrom(dst *[]ast.FromItem) {
	q := &queryNode{q: &ast.Query{}}
	s := &ast.Select{}
	q.q.Body = s
	p.rootSep()
	p.em.put("(")
	p.em.open("SELECT ", s)
	p.em.put(" FROM ")
	p.fromList()
	p.em.putN(" ORDER BY ", p.em.ref(q))
	p.em.put(")")
	p.em.roots = append(p.em.roots, nil)
	p.after = append(p.after, func() { *dst = s.From })
}

func (p *parser) insert(with *ast.With) ast.Stmt {
	p.expect("insert", "into")
	s := &ast.Insert{With: with, Table: p.name()}
	if p.accept("as") {
		s.Alias = p.colID()
	}
	if p.isOp("(") && !p.peek(1).isOp("(") && !p.looksLikeQuery(p.i) {
		p.next()
		for {
			s.ColumnPos = append(s.ColumnPos, p.pos())
			s.Columns = append(s.Columns, p.colID())
			if p.isOp(".") {
				p.unsupported(p.pos(), "an INSERT into a field of a column", "Name whole columns.")
			}
			if p.isOp("[") {
				s.Parts = append(s.Parts, make([][]*ast.Subscript, len(s.Columns)-len(s.Parts))...)
				for p.isOp("[") {
					s.Parts[len(s.Columns)-1] = append(s.Parts[len(s.Columns)-1], p.assignedPart())
				}
				p.defaultOK = false
			}
			if !p.acceptOp(",") {
				break
			}
		}
		p.expectOp(")")
	}
	if p.accept("overriding") {
		if !p.isAny("system", "user") {
			p.unexpected()
		}
		s.Overriding = p.next().text
		p.expect("value")
	}
	if p.is("default") {
		if p.expect("default", "values"); s.Columns != nil {
			p.i--
			p.i--
			p.unexpected()
		}
	} else {
		p.defaultOK = true
		s.Query = p.rootQuery()
		p.defaultOK = false
	}
	if p.is("on") {
		s.OnConflict = p.onConflict()
	}
	if p.accept("returning") {
		p.rootItems(&s.Returning)
	}
	return s
}

func (p *parser) onConflict() *ast.OnConflict {
	c := &ast.OnConflict{Pos: p.pos()}
	p.expect("on", "conflict")
	switch {
	case p.isOp("("):
		p.next()
		for {
			item, class := p.indexTerm()
			c.Terms = append(c.Terms, item)
			c.Classes = append(c.Classes, class)
			if !p.acceptOp(",") {
				break
			}
		}
		p.expectOp(")")
		if p.accept("where") {
			p.rootExpr(&c.IndexWhere)
		}
	case p.accept("on", "constraint"):
		c.Constraint = p.colID()
	}
	p.expect("do")
	if p.accept("nothing") {
		c.DoNothing = true
		return c
	}
	p.expect("update", "set")
	if c.Terms == nil && c.Constraint == "" {
		p.fail(pgerr.New(pgerr.SyntaxError, "ON CONFLICT DO UPDATE requires inference specification or constraint name").
			WithHint("For example, ON CONFLICT (column_name).").At(c.Pos))
	}
	p.assignments(&c.Set)
	if p.accept("where") {
		p.rootExpr(&c.Where)
	}
	return c
}

// assignments lowers the list after SET.
func (p *parser) assignments(dst *[]ast.Assignment) {
	var list []*ast.Assignment
	p.defaultOK = true
	for {
		a := &ast.Assignment{Pos: p.pos()}
		if p.isOp("(") {
			a.Columns = p.nameList()
		} else {
			a.Columns = []string{p.colID()}
			if p.isOp(".") {
				p.unsupported(p.pos(), "an assignment to a part of a column", "Assign the whole column.")
			}
			for p.isOp("[") {
				a.Subs = append(a.Subs, p.assignedPart())
			}
		}
		p.expectOp("=")
		p.rootExpr(&a.Value)
		list = append(list, a)
		if !p.acceptOp(",") {
			break
		}
	}
	p.defaultOK = false
	p.after = append(p.after, func() {
		for _, a := range list {
			*dst = append(*dst, *a)
		}
	})
}

// assignedPart lowers a subscript on the left of an assignment.
func (p *parser) assignedPart() *ast.Subscript {
	sub := &ast.Subscript{}
	sub.Pos = p.pos()
	p.expectOp("[")
	p.defaultOK = false
	defer func() { p.defaultOK = true }()
	if !p.isOp(":") {
		p.rootExpr(&sub.Lo)
	}
	if p.isOp(":") {
		p.next()
		sub.Slice = true
		if !p.isOp("]") {
			p.rootExpr(&sub.Hi)
		}
	}
	p.expectOp("]")
	return sub
}

// target reads the relation of UPDATE and DELETE with its alias.
func (p *parser) target(name *ast.Name, alias *string, stop string) {
	only := p.accept("only")
	paren := only && p.acceptOp("(")
	*name = p.name()
	if paren {
		p.expectOp(")")
	}
	if p.isOp("*") {
		p.next()
	}
	if p.accept("as") || p.tok().isColID() && !p.is(stop) {
		*alias = p.colID()
	}
}

func (p *parser) where(dst *ast.Expr) {
	if !p.accept("where") {
		return
	}
	if p.accept("current", "of") {
		p.unsupported(p.pos(), "WHERE CURRENT OF", "Use the key of the row.")
	}
	p.rootExpr(dst)
}

func (p *parser) update(with *ast.With) ast.Stmt {
	s := &ast.Update{With: with}
	p.expect("update")
	p.target(&s.Table, &s.Alias, "set")
	p.expect("set")
	p.assignments(&s.Set)
	if p.accept("from") {
		p.rootFrom(&s.From)
	}
	p.where(&s.Where)
	if p.accept("returning") {
		p.rootItems(&s.Returning)
	}
	return s
}

func (p *parser) delete(with *ast.With) ast.Stmt {
	s := &ast.Delete{With: with}
	p.expect("delete", "from")
	p.target(&s.Table, &s.Alias, "using")
	if p.accept("using") {
		p.rootFrom(&s.Using)
	}
	p.where(&s.Where)
	if p.accept("returning") {
		p.rootItems(&s.Returning)
	}
	return s
}

func (p *parser) truncate() ast.Stmt {
	p.expect("truncate")
	p.accept("table")
	s := &ast.Truncate{}
	for {
		p.accept("only")
		s.Names = append(s.Names, p.name())
		if p.isOp("*") {
			p.next()
		}
		if !p.acceptOp(",") {
			break
		}
	}
	if s.Restart = p.accept("restart"); s.Restart || p.accept("continue") {
		p.expect("identity")
	}
	s.Cascade = p.accept("cascade")
	if !s.Cascade {
		p.accept("restrict")
	}
	return s
}
