package parser

import (
	"strings"

	"streamsql/internal/pgerr"
	"streamsql/sql/parser/ast"
)

// objectKinds are the kinds of objects that DROP, ALTER, COMMENT and GRANT name.
var objectKinds = [][]string{
	{"materialized", "view"}, {"table"}, {"source"}, {"view"}, {"sink"}, {"schema"}, {"index"}, {"function"}, {"type"}, {"sequence"},
	{"secret"}, {"connection"}, {"role"}, {"user"}, {"group"}, {"domain"}, {"extension"}, {"database"}, {"trigger"}, {"aggregate"},
	{"operator"}, {"cast"}, {"collation"}, {"language"}, {"procedure"}, {"routine"}, {"policy"}, {"publication"}, {"subscription"},
	{"rule"}, {"server"}, {"foreign", "table"}, {"foreign", "data", "wrapper"}, {"tablespace"}, {"statistics"}, {"owned"},
	{"event", "trigger"}, {"text", "search"}, {"conversion"}, {"access", "method"}, {"default", "privileges"}, {"system"}, {"column"},
	{"constraint"}, {"large", "object"},
}

func (p *parser) objectKind() string {
	for _, k := range objectKinds {
		if p.accept(k...) {
			return strings.Join(k, " ")
		}
	}
	e := p.syntaxError()
	if p.tok().kind == tIdent {
		if w := nearest(p.tok().text, []string{"table", "source", "view", "materialized", "sink", "schema", "index", "function"}); w != "" {
			e.WithHint("Perhaps you meant %s.", w)
		}
	}
	p.fail(e)
	return ""
}

// cascade reads CASCADE or RESTRICT.
func (p *parser) cascade() bool {
	if p.accept("cascade") {
		return true
	}
	p.accept("restrict")
	return false
}

func (p *parser) drop() ast.Stmt {
	p.expect("drop")
	if p.accept("owned") {
		return p.ownedBy(&ast.ReassignOwned{})
	}
	d := &ast.Drop{Kind: p.objectKind(), Pos: p.pos()}
	switch d.Kind {
	case "role", "user", "group":
		x := &ast.DropRole{Kind: d.Kind, IfExists: p.ifExists(), Roles: p.roleList()}
		return x
	case "column", "system", "default privileges", "constraint", "large object":
		p.i--
		p.unexpected()
	case "trigger", "policy", "rule", "cast", "operator", "owned", "text search", "access method":
		p.unsupported(d.Pos, "DROP "+strings.ToUpper(d.Kind), "")
	}
	if d.Kind == "index" {
		p.accept("concurrently")
	}
	d.IfExists = p.ifExists()
	for {
		d.Names = append(d.Names, p.name())
		switch {
		case d.Kind == "function" && p.isOp("("):
			args := p.argTypes()
			for len(d.Args) < len(d.Names) {
				d.Args = append(d.Args, nil)
			}
			d.Args[len(d.Names)-1] = args
		case p.isOp("("):
			p.skipParens()
		}
		if !p.acceptOp(",") {
			break
		}
	}
	d.Cascade = p.cascade()
	return d
}

func (p *parser) copy() ast.Stmt {
	c := &ast.Copy{Pos: p.pos(), Format: "text"}
	p.expect("copy")
	if p.is("binary") && p.peek(1).kind == tIdent {
		p.next()
		c.Format = "binary"
	}
	if p.isOp("(") {
		p.next()
		if p.is("subscribe") {
			c.Subscribe = p.subscribe()
		} else {
			if p.isAny("insert", "update", "delete", "merge") {
				p.unsupported(p.pos(), "COPY of a data-modifying statement", "Run the statement with RETURNING.")
			}
			c.Query = p.rootQuery()
		}
		p.expectOp(")")
	} else {
		n := p.name()
		c.Table = &n
		if p.isOp("(") {
			c.Columns = p.nameList()
		}
	}
	switch {
	case p.is("from") && c.Table != nil:
		p.next()
		c.From = true
	default:
		p.expect("to")
	}
	switch {
	case p.accept("stdin"), p.accept("stdout"):
	case p.accept("program"):
		c.Program = true
		c.File = p.stringLit()
	default:
		c.File = p.stringLit()
	}
	if p.accept("using") {
		p.expect("delimiters")
		c.Delimiter = p.stringLit()
	}
	with := p.accept("with")
	if p.isOp("(") {
		p.copyOptions(c)
	} else {
		p.oldCopyOptions(c)
		if with && p.toks[p.i-1].isWord("with") {
			p.unexpected()
		}
	}
	if c.From && p.accept("where") {
		p.rootExpr(&c.Where)
	}
	return c
}

// copyOptions reads the options in parentheses.
func (p *parser) copyOptions(c *ast.Copy) {
	p.expectOp("(")
	for {
		pos := p.pos()
		name := foldASCII(p.label())
		columns := func() []string {
			if p.acceptOp("*") {
				return []string{"*"}
			}
			return p.nameList()
		}
		value := func() string { return p.optionValue() }
		boolean := func() bool {
			o := ast.Option{Name: name, ValuePos: p.pos()}
			if !p.isOp(",") && !p.isOp(")") {
				o.Value = foldASCII(p.optionValue())
			}
			return *p.boolOption(o)
		}
		switch name {
		case "format":
			vpos := p.pos()
			c.Format = foldASCII(value())
			if c.Format != "text" && c.Format != "csv" && c.Format != "binary" {
				p.fail(pgerr.New(pgerr.InvalidParameterValue, "COPY format \"%s\" not recognized", c.Format).
					WithHint("The formats are text, csv and binary.").At(vpos))
			}
		case "delimiter":
			c.Delimiter = value()
		case "null":
			v := value()
			c.Null = &v
		case "header":
			if p.accept("match") {
				c.Header = "match"
			} else if boolean() {
				c.Header = "true"
			}
		case "quote":
			c.Quote = value()
		case "escape":
			c.Escape = value()
		case "encoding":
			c.Encoding = value()
		case "force_quote":
			c.ForceQuote = columns()
		case "force_null":
			c.ForceNull = columns()
		case "force_not_null":
			c.ForceNotNull = columns()
		case "freeze":
			boolean()
		default:
			p.fail(pgerr.New(pgerr.SyntaxError, "option \"%s\" not recognized", name).At(pos))
		}
		if !p.acceptOp(",") {
			break
		}
	}
	p.expectOp(")")
}

// oldCopyOptions reads the options as they were before PostgreSQL 9.0.
func (p *parser) oldCopyOptions(c *ast.Copy) {
	str := func() string {
		p.accept("as")
		return p.stringLit()
	}
	columns := func() []string {
		if p.acceptOp("*") {
			return []string{"*"}
		}
		out := []string{p.colID()}
		for p.acceptOp(",") {
			out = append(out, p.colID())
		}
		return out
	}
	for {
		switch {
		case p.accept("binary"):
			c.Format = "binary"
		case p.accept("csv"):
			c.Format = "csv"
		case p.accept("freeze"):
		case p.accept("header"):
			c.Header = "true"
		case p.accept("delimiter"):
			c.Delimiter = str()
		case p.accept("null"):
			v := str()
			c.Null = &v
		case p.accept("quote"):
			c.Quote = str()
		case p.accept("escape"):
			c.Escape = str()
		case p.accept("encoding"):
			c.Encoding = p.stringLit()
		case p.accept("force", "quote"):
			c.ForceQuote = columns()
		case p.accept("force", "not", "null"):
			c.ForceNotNull = columns()
		case p.accept("force", "null"):
			c.ForceNull = columns()
		default:
			return
		}
	}
}
