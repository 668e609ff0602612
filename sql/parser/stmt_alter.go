package parser

import (
	"strings"

	"streamsql/sql/parser/ast"
)

func (p *parser) alter() ast.Stmt {
	if s := p.alterPause(); s != nil {
		return s
	}
	p.expect("alter")
	a := &ast.Alter{Pos: p.pos()}
	a.Kind = p.objectKind()
	switch a.Kind {
	case "role", "user", "group":
		return p.alterRole(a.Kind)
	case "default privileges":
		return p.alterDefaults()
	}
	if a.Kind == "system" {
		a.Actions = []*ast.AlterAction{{Action: a.Kind, Pos: a.Pos}}
		p.skipStatement()
		return a
	}
	a.IfExists = p.ifExists()
	p.accept("only")
	a.Name = p.name()
	if p.isOp("(") {
		a.Args = p.argTypes()
	}
	if p.isOp("*") {
		p.next()
	}
	if a.Kind == "sequence" && !p.isAny("rename", "owner", "set") {
		a.Sequence = &ast.SequenceOptions{Pos: p.pos()}
		p.sequenceOptions(a.Sequence)
		if p.i == 0 || p.tok().kind != tEOF && !p.isOp(";") {
			p.unexpected()
		}
		return a
	}
	for {
		a.Actions = append(a.Actions, p.alterAction(a.Kind))
		if !p.acceptOp(",") {
			break
		}
	}
	return a
}

func (p *parser) alterAction(kind string) *ast.AlterAction {
	a := &ast.AlterAction{Pos: p.pos()}
	first := p.i
	switch {
	case p.accept("rename", "to"):
		a.Action, a.NewName = "rename to", p.colID()
	case p.accept("rename", "constraint"):
		a.Action, a.Column = "rename constraint", p.colID()
		p.expect("to")
		a.NewName = p.colID()
	case kind == "type" && p.accept("rename", "value"):
		a.Action, a.Column = "rename value", p.stringLit()
		p.expect("to")
		a.NewName = p.stringLit()
	case p.accept("rename"):
		p.accept("column")
		a.Action, a.Column = "rename column", p.colID()
		p.expect("to")
		a.NewName = p.colID()
	case p.accept("owner", "to"):
		a.Action, a.Role = "owner to", p.roleSpec()
	case kind == "function" && p.isAny("immutable", "stable", "volatile", "strict", "called", "returns", "leakproof", "not", "security", "external", "parallel", "cost", "rows"):
		a.Action, a.Function = "options", &ast.CreateFunction{}
		p.functionOptions(a.Function)
		p.accept("restrict")
	case p.accept("set", "schema"):
		a.Action, a.NewName = "set schema", p.colID()
	case kind == "type" && p.accept("add", "value"):
		a.Action, a.IfExists, a.NewName = "add value", p.ifNotExists(), p.stringLit()
		if a.Before = p.accept("before"); a.Before || p.accept("after") {
			a.Column = p.stringLit()
		}
	case kind == "domain" && p.accept("set", "default"):
		a.Action = "set default"
		p.alterDefault(a)
	case kind == "domain" && p.accept("drop", "default"):
		a.Action = "drop default"
	case kind == "domain" && p.accept("set", "not", "null"):
		a.Action = "set not null"
	case kind == "domain" && p.accept("drop", "not", "null"):
		a.Action = "drop not null"
	case p.accept("drop", "constraint"):
		a.Action, a.IfExists, a.Column = "drop constraint", p.ifExists(), p.colID()
		a.Cascade = p.cascade()
	case p.accept("validate", "constraint"):
		a.Action, a.Column = "validate constraint", p.colID()
	case p.is("add") && (p.peek(1).isWord("constraint") || p.peek(1).isWord("primary") || p.peek(1).isWord("unique") ||
		p.peek(1).isWord("check") || p.peek(1).isWord("foreign") || p.peek(1).isWord("exclude")):
		p.next()
		a.Action = "add constraint"
		a.Constraint, _ = p.constraint()
	case p.is("add"):
		p.next()
		p.accept("column")
		a.IfExists = p.ifNotExists()
		a.Action = "add column"
		a.Def = &ast.ColumnDef{}
		p.columnDef(a.Def)
		a.Column = a.Def.Name
	case p.is("drop") && p.peek(1).kind == tIdent:
		p.next()
		p.accept("column")
		a.IfExists = p.ifExists()
		a.Action, a.Column = "drop column", p.colID()
		a.Cascade = p.cascade()
	case p.is("alter"):
		p.next()
		p.accept("column")
		a.Column = p.colID()
		p.alterColumn(a)
	default:
		// The words say what is not there: cluster on, enable row level, ...
		var words []string
		for t := p.tok(); t.kind == tIdent && !t.quoted && t.cat != notKeyword && len(words) < 3; t = p.tok() {
			words = append(words, p.next().text)
		}
		if words == nil {
			p.unexpected()
		}
		a.Action = strings.Join(words, " ")
		p.i = max(p.i, first+1)
		p.skipStatement()
	}
	return a
}

func (p *parser) alterDefault(a *ast.AlterAction) {
	first := p.i
	p.rootExpr(&a.Expr)
	a.ExprText = p.text(first)
}

// alterColumn reads what ALTER COLUMN name does.
func (p *parser) alterColumn(a *ast.AlterAction) {
	switch {
	case p.accept("set", "data", "type"), p.accept("type"):
		a.Action = "alter column type"
		t := p.typeName()
		a.Type = &t
		if p.accept("collate") {
			p.name()
		}
		if p.accept("using") {
			p.alterDefault(a)
		}
	case p.accept("set", "default"):
		a.Action = "set default"
		p.alterDefault(a)
	case p.accept("drop", "default"):
		a.Action = "drop default"
	case p.accept("set", "not", "null"):
		a.Action = "set not null"
	case p.accept("drop", "not", "null"):
		a.Action = "drop not null"
	case p.accept("drop", "expression"):
		a.Action, a.IfExists = "drop expression", p.ifExists()
	case p.accept("drop", "identity"):
		a.Action, a.IfExists = "drop identity", p.ifExists()
	case p.accept("add", "generated"):
		a.Action, a.Identity = "add identity", "always"
		if !p.accept("always") {
			p.expect("by", "default")
			a.Identity = "by default"
		}
		p.expect("as", "identity")
		a.Sequence = &ast.SequenceOptions{Pos: p.pos()}
		if p.acceptOp("(") {
			p.sequenceOptions(a.Sequence)
			p.expectOp(")")
		}
	case p.is("set") && p.peek(1).isWord("generated"), p.is("restart"), p.is("set") && p.identityOption():
		a.Action, a.Sequence = "set identity", &ast.SequenceOptions{Pos: p.pos()}
		for {
			switch {
			case p.accept("set", "generated", "always"):
				a.Identity = "always"
			case p.accept("set", "generated"):
				p.expect("by", "default")
				a.Identity = "by default"
			case p.is("restart"), p.is("set") && p.identityOption():
				p.accept("set")
				if !p.sequenceOption(a.Sequence) {
					p.unexpected()
				}
			default:
				return
			}
		}
	case p.accept("set", "statistics"), p.accept("set", "storage"), p.accept("set", "compression"):
		a.Action = "set storage"
		if p.atNumber() {
			p.signedInt()
		} else {
			p.label()
		}
	default:
		p.unexpected()
	}
}

// identityOption says whether an option of a sequence follows SET.
func (p *parser) identityOption() bool {
	t := p.peek(1)
	for _, w := range []string{"start", "increment", "minvalue", "maxvalue", "no", "cache", "cycle", "restart"} {
		if t.isWord(w) {
			return true
		}
	}
	return false
}

func (p *parser) comment() ast.Stmt {
	p.expect("comment", "on")
	c := &ast.Comment{Kind: p.objectKind(), Name: p.name()}
	if p.isOp("(") {
		if c.Kind == "function" || c.Kind == "procedure" || c.Kind == "routine" {
			c.Args = p.argTypes()
		} else {
			p.skipParens()
		}
	}
	if p.accept("on") {
		if p.accept("domain") {
			c.Kind = "domain constraint"
		}
		c.Table = p.name()
	}
	p.expect("is")
	if !p.accept("null") {
		s := p.stringLit()
		c.Text = &s
	}
	return c
}
