package parser

import (
	"strconv"
	"strings"

	"streamsql/internal/pgerr"
	"streamsql/sql/parser/ast"
)

// int64Lit reads a number with a sign.
func (p *parser) int64Lit() *int64 {
	neg := false
	if p.isOp("-") || p.isOp("+") {
		neg = p.next().text == "-"
	}
	t := p.tok()
	if t.kind != tInt {
		p.unexpected()
	}
	text := t.text
	if neg {
		text = "-" + text
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		p.fail(pgerr.New(pgerr.NumericValueOutOfRange, "value \"%s\" is out of range for type bigint", text).At(p.pos()))
	}
	p.next()
	return &n
}

// sequenceOptions reads the options of a sequence, as many as there are.
func (p *parser) sequenceOptions(o *ast.SequenceOptions) {
	o.Pos = p.pos()
	for p.sequenceOption(o) {
	}
}

func (p *parser) sequenceOption(o *ast.SequenceOptions) bool {
	twice := func(set bool) {
		if set {
			p.fail(pgerr.New(pgerr.SyntaxError, "conflicting or redundant options").At(p.pos()))
		}
	}
	yes, no := true, false
	switch {
	case p.is("as"):
		twice(o.Type != nil)
		p.next()
		t := p.typeName()
		o.Type = &t
	case p.is("start"):
		twice(o.Start != nil)
		p.next()
		p.accept("with")
		o.Start = p.int64Lit()
	case p.is("increment"):
		twice(o.Increment != nil)
		p.next()
		p.accept("by")
		o.Increment = p.int64Lit()
	case p.is("minvalue"):
		twice(o.Min != nil || o.NoMin)
		p.next()
		o.Min = p.int64Lit()
	case p.is("maxvalue"):
		twice(o.Max != nil || o.NoMax)
		p.next()
		o.Max = p.int64Lit()
	case p.accept("no", "minvalue"):
		o.NoMin = true
	case p.accept("no", "maxvalue"):
		o.NoMax = true
	case p.accept("no", "cycle"):
		o.Cycle = &no
	case p.accept("cycle"):
		o.Cycle = &yes
	case p.accept("cache"):
		if o.Cache = p.int64Lit(); *o.Cache < 1 {
			p.fail(pgerr.New(pgerr.InvalidParameterValue, "CACHE (%d) must be greater than zero", *o.Cache).At(p.pos()))
		}
	case p.accept("owned", "by"):
		if p.accept("none") {
			o.OwnedByNone = true
			break
		}
		n := p.name()
		o.OwnedBy = &n
	case p.accept("restart"):
		o.Restart = true
		p.accept("with")
		if p.atNumber() {
			o.RestartWith = p.int64Lit()
		}
	case p.accept("sequence", "name"):
		n := p.name()
		o.Name = &n
	default:
		return false
	}
	return true
}

// createType parses CREATE TYPE: enums and composite types are there, other kinds are not.
func (p *parser) createType(at ast.Pos) ast.Stmt {
	p.expect("type")
	name := p.name()
	if p.is("as") && p.peek(1).isOp("(") {
		p.next()
		return p.createComposite(name)
	}
	if !p.accept("as", "enum") {
		p.skipStatement()
		return &ast.CreateOther{Kind: "type", Name: name, Pos: at}
	}
	e := &ast.CreateEnum{Name: name}
	p.expectOp("(")
	for !p.isOp(")") {
		e.Labels = append(e.Labels, p.stringLit())
		if !p.acceptOp(",") {
			break
		}
	}
	p.expectOp(")")
	return e
}

func (p *parser) createComposite(name ast.Name) ast.Stmt {
	c := &ast.CreateComposite{Name: name}
	p.expectOp("(")
	for !p.isOp(")") {
		d := ast.ColumnDef{Name: p.colID()}
		d.Type = p.typeName()
		if p.accept("collate") {
			p.name()
		}
		c.Attrs = append(c.Attrs, d)
		if !p.acceptOp(",") {
			break
		}
	}
	p.expectOp(")")
	return c
}

func (p *parser) createDomain() ast.Stmt {
	d := &ast.CreateDomain{Name: p.name()}
	p.accept("as")
	d.Type = p.typeName()
	for {
		c := &ast.Constraint{Pos: p.pos()}
		if p.accept("constraint") {
			c.Name = p.colID()
		}
		switch {
		case p.accept("not", "null"):
			d.NotNull = true
		case p.accept("null"):
		case p.accept("check"):
			c.Kind = "check"
			c.CheckText = p.parenExpr(&c.Check)
			d.Checks = append(d.Checks, c)
		case p.accept("default"):
			first := p.i
			p.rootExprB(&d.Default)
			d.DefaultText = p.text(first)
		case p.accept("collate"):
			p.name()
		default:
			if c.Name != "" {
				p.unexpected()
			}
			return d
		}
	}
}

// createSchema parses CREATE SCHEMA with the objects that may follow.
func (p *parser) createSchema() ast.Stmt {
	s := &ast.CreateSchema{IfNotExists: p.ifNotExists(), Pos: p.pos()}
	if !p.is("authorization") {
		s.Name = p.colID()
	}
	if p.accept("authorization") {
		owner := p.roleSpec()
		s.Owner = &owner
	} else if s.Name == "" {
		p.unexpected()
	}
	for p.isAny("create", "grant") {
		first := p.i
		if p.is("grant") {
			s.Elements = append(s.Elements, p.grant())
		} else {
			s.Elements = append(s.Elements, p.create())
		}
		s.Texts = append(s.Texts, p.text(first))
	}
	return s
}

// merge parses MERGE.
func (p *parser) merge(with *ast.With) ast.Stmt {
	s := &ast.Merge{With: with, Pos: p.pos()}
	p.expect("merge", "into")
	p.target(&s.Table, &s.Alias, "using")
	p.expect("using")
	var from []ast.FromItem
	p.rootFrom(&from)
	p.after = append(p.after, func() {
		if len(from) == 1 {
			s.Source = from[0]
		}
	})
	p.expect("on")
	p.rootExpr(&s.On)
	if !p.is("when") {
		p.unexpected()
	}
	for p.is("when") {
		w := &ast.MergeWhen{Pos: p.pos()}
		p.next()
		w.Matched = !p.accept("not")
		p.expect("matched")
		if p.accept("and") {
			p.rootExpr(&w.And)
		}
		p.expect("then")
		p.mergeAction(w)
		s.When = append(s.When, w)
	}
	return s
}

func (p *parser) mergeAction(w *ast.MergeWhen) {
	switch {
	case p.accept("do", "nothing"):
		w.Nothing = true
	case w.Matched && p.accept("delete"):
		w.Delete = true
	case w.Matched && p.accept("update", "set"):
		w.Update = true
		p.assignments(&w.Set)
	case !w.Matched && p.accept("insert"):
		w.Insert = true
		if p.isOp("(") {
			p.next()
			for {
				w.ColumnPos = append(w.ColumnPos, p.pos())
				w.Columns = append(w.Columns, p.colID())
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
			w.Overriding = p.next().text
			p.expect("value")
		}
		if p.accept("default", "values") {
			break
		}
		p.expect("values")
		p.expectOp("(")
		p.defaultOK = true
		var list []*ast.Expr
		for {
			e := new(ast.Expr)
			p.rootExpr(e)
			list = append(list, e)
			if !p.acceptOp(",") {
				break
			}
		}
		p.defaultOK = false
		p.expectOp(")")
		p.after = append(p.after, func() {
			for _, e := range list {
				w.Values = append(w.Values, *e)
			}
		})
	default:
		e := p.syntaxError()
		if p.tok().kind == tIdent {
			if n := nearest(p.tok().text, []string{"insert", "update", "delete", "do"}); n != "" && !strings.EqualFold(n, p.tok().text) {
				e.WithHint("Perhaps you meant %s.", n)
			}
		}
		p.fail(e)
	}
}
