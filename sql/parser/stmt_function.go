package parser

import (
	"strings"
	"unicode/utf8"

	"streamsql/sql/parser/ast"
)

// createFunction parses CREATE FUNCTION; only LANGUAGE SQL has a use for the body.
func (p *parser) createFunction(replace bool) ast.Stmt {
	s := &ast.CreateFunction{OrReplace: replace, Name: p.name()}
	p.expectOp("(")
	for !p.isOp(")") {
		a := p.parameter()
		if p.accept("default") || p.acceptOp("=") {
			first := p.i
			p.rootExpr(new(ast.Expr)) // only to check it: the text is what is kept
			a.Default = p.text(first)
		}
		s.Params = append(s.Params, a)
		if !p.acceptOp(",") {
			break
		}
	}
	p.expectOp(")")
	if p.accept("returns") {
		if p.is("table") && p.peek(1).isOp("(") {
			p.tableColumns(s)
		} else {
			s.Returns = p.typeName()
		}
	}
	p.functionOptions(s)
	return s
}

// tableColumns reads the columns of RETURNS TABLE (..).
func (p *parser) tableColumns(s *ast.CreateFunction) {
	p.next()
	p.expectOp("(")
	for {
		a := ast.FuncParam{Mode: 't', Pos: p.pos()}
		a.Name = p.label()
		a.Type = p.typeName()
		s.Params = append(s.Params, a)
		if !p.acceptOp(",") {
			break
		}
	}
	p.expectOp(")")
}

// parameter reads [mode] [name] type; the mode may also stand behind the name.
func (p *parser) parameter() ast.FuncParam {
	a := ast.FuncParam{Pos: p.pos()}
	p.paramMode(&a)
	// A name stands before the type, where two words follow one another.
	if n := p.peek(1); p.tok().kind == tIdent && n.kind == tIdent && !n.isWord("default") && !n.isWord("precision") && !n.isWord("varying") &&
		!n.isWord("array") && (!p.tok().isWord("timestamp") && !p.tok().isWord("time") && !p.tok().isWord("interval") || n.quoted) && !p.tok().isWord("setof") {
		a.Name = p.label()
		if a.Mode == 0 {
			p.paramMode(&a)
		}
	}
	if a.Mode == 0 {
		a.Mode = 'i'
	}
	a.Type = p.typeName()
	return a
}

func (p *parser) paramMode(a *ast.FuncParam) {
	switch {
	case p.accept("in", "out"), p.accept("inout"):
		a.Mode = 'b'
	case p.accept("in"):
		a.Mode = 'i'
	case p.accept("out"):
		a.Mode = 'o'
	case p.accept("variadic"):
		a.Mode = 'v'
	}
}

func (p *parser) functionOptions(s *ast.CreateFunction) {
	for {
		switch {
		case p.accept("language"):
			s.Language = foldASCII(p.next().text)
		case p.is("immutable"), p.is("stable"), p.is("volatile"):
			s.Volatility = p.next().text
		case p.accept("strict"), p.accept("returns", "null", "on", "null", "input"):
			s.Strict = true
		case p.accept("called", "on", "null", "input"):
			s.Strict, s.Called = false, true
		case p.accept("leakproof"), p.accept("not", "leakproof"),
			p.accept("security", "definer"), p.accept("security", "invoker"),
			p.accept("external", "security", "definer"), p.accept("external", "security", "invoker"):
		case p.accept("parallel"):
			s.Parallel = p.label()
		case p.accept("cost"):
			s.Cost = p.next().text
		case p.accept("rows"):
			s.Rows = p.next().text
		case p.accept("as"):
			s.HasBody = true
			t, raw := p.tok(), ""
			s.Body = p.stringLit()
			switch raw = p.src[t.pos:t.end]; raw[0] {
			case '\'':
				s.BodyPos, s.Quoted = int(t.char)+1, true
			case '$':
				s.BodyPos = int(t.char) + utf8.RuneCountInString(raw[:strings.IndexByte(raw[1:], '$')+2])
			}
			if p.acceptOp(",") {
				p.unsupported(p.pos(), "a function of a library", "Use LANGUAGE SQL.")
			}
		case p.is("return"):
			p.next()
			first := p.i
			s.BodyPos = p.pos() - len("SELECT ")
			p.rootExpr(new(ast.Expr)) // as above
			s.Body = "SELECT " + p.text(first)
			s.HasBody, s.Return = true, true
			if s.Language == "" {
				s.Language = "sql"
			}
		case p.accept("begin", "atomic"):
			p.atomicBody(s)
		default:
			return
		}
	}
}

// atomicBody reads the statements up to the END of BEGIN ATOMIC.
func (p *parser) atomicBody(s *ast.CreateFunction) {
	s.HasBody, s.Atomic = true, true
	if s.Language == "" {
		s.Language = "sql"
	}
	first := p.i
	s.BodyPos = p.pos()
	for !p.is("end") {
		switch {
		case p.isOp(";"):
			p.next()
		case p.is("return"): // only RETURN e: its text is read again as a body
			p.unsupported(p.pos(), "RETURN in BEGIN ATOMIC", "Write SELECT, or RETURN without BEGIN ATOMIC.")
		default:
			p.statement()
			if !p.isOp(";") {
				p.unexpected()
			}
		}
	}
	if p.i > first {
		s.Body = p.text(first)
	}
	p.next()
}

// argTypes reads the parameters of a function in parentheses, as statements name it, and gives the types of those that it is called with.
func (p *parser) argTypes() []ast.TypeName {
	args := []ast.TypeName{}
	p.expectOp("(")
	for !p.isOp(")") {
		if a := p.parameter(); a.Mode != 'o' {
			args = append(args, a.Type)
		}
		if !p.acceptOp(",") {
			break
		}
	}
	p.expectOp(")")
	return args
}
