package parser

import (
	"slices"
	"strings"

	"streamsql/internal/pgerr"
	"streamsql/sql/parser/ast"
)

// roleSpec reads the name of a role.
func (p *parser) roleSpec() ast.RoleSpec {
	t := p.tok()
	r := ast.RoleSpec{Pos: p.pos()}
	if t.kind == tIdent && !t.quoted {
		switch t.text {
		case "current_user", "current_role", "session_user", "public":
			r.Special = true
		case "none":
			p.fail(pgerr.New(pgerr.ReservedName, "role name \"none\" is reserved").At(r.Pos))
		default:
			if t.cat == reserved {
				p.unexpected()
			}
		}
	}
	r.Name = p.label()
	return r
}

// roleID reads the name of a role that is to be.
func (p *parser) roleID() ast.RoleSpec {
	r := p.roleSpec()
	if r.Special {
		e := pgerr.New(pgerr.ReservedName, "%s cannot be used as a role name here", strings.ToUpper(r.Name))
		if r.Name == "public" {
			e = pgerr.New(pgerr.ReservedName, "role name \"public\" is reserved")
		}
		p.fail(e.At(r.Pos))
	}
	return r
}

func (p *parser) roleList() []ast.RoleSpec {
	out := []ast.RoleSpec{p.roleSpec()}
	for p.acceptOp(",") {
		out = append(out, p.roleSpec())
	}
	return out
}

// createRole reads what follows CREATE ROLE, USER or GROUP.
func (p *parser) createRole(kind string) ast.Stmt {
	c := &ast.CreateRole{Kind: kind, User: kind == "user", Name: p.roleID()}
	p.accept("with")
	c.Options = p.roleOptions(true)
	return c
}

// roleFlags are the options that are on, or with NO before them off.
var roleFlags = []string{"superuser", "createdb", "createrole", "inherit", "login", "replication", "bypassrls"}

func (p *parser) roleOptions(create bool) (out []ast.RoleOption) {
	for p.tok().kind == tIdent && !p.tok().quoted {
		o := ast.RoleOption{Pos: p.pos(), On: true}
		w := p.tok().text
		switch {
		case slices.Contains(roleFlags, w):
			p.next()
			o.Name = w
		case len(w) > 2 && w[:2] == "no" && slices.Contains(roleFlags, w[2:]):
			p.next()
			o.Name, o.On = w[2:], false
		case p.accept("connection", "limit"):
			o.Name = "connection limit"
			sign := p.acceptOp("-")
			n := p.int64Lit()
			if n == nil {
				p.unexpected()
			}
			if o.Number = *n; sign {
				o.Number = -o.Number
			}
		case p.is("password"), p.is("encrypted"), p.is("unencrypted"):
			if p.accept("unencrypted") {
				p.fail(pgerr.New(pgerr.FeatureNotSupported, "UNENCRYPTED PASSWORD is no longer supported").
					WithHint("Remove UNENCRYPTED to store the password in encrypted form instead.").At(o.Pos))
			}
			p.accept("encrypted")
			p.expect("password")
			o.Name = "password"
			if !p.accept("null") {
				text := p.stringLit()
				o.Text = &text
			}
		case p.accept("valid", "until"):
			o.Name = "valid until"
			text := p.stringLit()
			o.Text = &text
		case create && (p.accept("in", "role") || p.accept("in", "group")):
			o.Name, o.Roles = "in role", p.roleList()
		case create && (p.accept("role") || p.accept("user")):
			o.Name, o.Roles = "role", p.roleList()
		case create && p.accept("admin"):
			o.Name, o.Roles = "admin", p.roleList()
		case create && p.accept("sysid"):
			p.int64Lit()
			continue
		default:
			if !p.atEnd() {
				p.fail(pgerr.New(pgerr.SyntaxError, "unrecognized role option \"%s\"", w).At(o.Pos))
			}
			return out
		}
		out = append(out, o)
	}
	return out
}

// atEnd says that the statement ends here.
func (p *parser) atEnd() bool { return p.tok().kind == tEOF || p.isOp(";") }

// alterRole reads what follows ALTER ROLE, USER or GROUP.
func (p *parser) alterRole(kind string) ast.Stmt {
	a := &ast.AlterRole{Kind: kind}
	if p.is("all") {
		p.next()
		a.All = true
	} else {
		a.Role = p.roleSpec()
	}
	switch {
	case !a.All && p.accept("rename", "to"):
		r := p.roleID()
		a.NewName = &r
		return a
	case kind == "group" && (p.is("add") || p.is("drop")):
		a.Drop = p.next().text == "drop"
		p.expect("user")
		a.Members = p.roleList()
		return a
	}
	if p.accept("in", "database") {
		p.colID()
		if !p.isAny("set", "reset") {
			p.unexpected()
		}
	}
	switch {
	case p.is("set"):
		pos := p.pos()
		s, ok := p.set().(*ast.Set)
		if !ok {
			p.fail(pgerr.New(pgerr.SyntaxError, "this SET cannot be of a role").At(pos))
		}
		a.Set = s
	case p.is("reset"):
		a.Set = p.reset().(*ast.Set)
	case a.All:
		p.unexpected()
	default:
		p.accept("with")
		a.Options = p.roleOptions(false)
	}
	return a
}

// ownedBy reads BY roles of REASSIGN OWNED and DROP OWNED, whose first words have been read.
func (p *parser) ownedBy(x *ast.ReassignOwned) ast.Stmt {
	p.expect("by")
	x.Roles = p.roleList()
	x.Cascade = p.cascade()
	return x
}

func (p *parser) reassign() ast.Stmt {
	p.expect("reassign", "owned")
	x := &ast.ReassignOwned{}
	p.expect("by")
	x.Roles = p.roleList()
	p.expect("to")
	to := p.roleSpec()
	x.To = &to
	return x
}

// alterDefaults reads what follows ALTER DEFAULT PRIVILEGES.
func (p *parser) alterDefaults() ast.Stmt {
	var by []ast.RoleSpec
	var schemas []ast.Name
	for {
		if p.accept("for") {
			if !p.accept("role") {
				p.expect("user")
			}
			by = append(by, p.roleList()...)
			continue
		}
		if p.accept("in", "schema") {
			schemas = append(schemas, p.names()...)
			continue
		}
		break
	}
	if !p.isAny("grant", "revoke") {
		p.unexpected()
	}
	g := p.grantOf(true)
	g.Defaults, g.For, g.InSchemas = true, by, schemas
	return g
}

func (p *parser) grant() ast.Stmt { return p.grantOf(false) }

// grantKinds are what privileges are granted on; what is there besides tables is named.
var grantKinds = [][]string{{"table"}, {"sequence"}, {"schema"}, {"function"}, {"procedure"}, {"routine"}, {"database"}, {"type"}, {"domain"}, {"language"},
	{"secret"}, {"source"}, {"sink"}, {"view"}, {"materialized", "view"}, {"tablespace"}, {"foreign", "data", "wrapper"}, {"foreign", "server"}, {"foreign", "table"},
	{"large", "object"}, {"parameter"}}

// grantOf reads GRANT or REVOKE; defaults says that it is of ALTER DEFAULT PRIVILEGES, where no objects are named.
func (p *parser) grantOf(defaults bool) *ast.Grant {
	g := &ast.Grant{Pos: p.pos(), Revoke: p.next().text == "revoke"}
	if g.Revoke && (p.accept("grant", "option", "for") || p.accept("admin", "option", "for")) {
		g.OptionFor = true
	}
	if p.is("all") && !p.peek(1).isOp(",") {
		p.next()
		p.accept("privileges")
		g.All = true
		x := ast.GrantPrivilege{Name: "all", Pos: p.pos()}
		if p.isOp("(") {
			x.Columns = p.nameList()
		}
		g.Privileges = append(g.Privileges, x)
	} else {
		for {
			x := ast.GrantPrivilege{Pos: p.pos(), Name: p.label()}
			if p.isOp("(") {
				x.Columns = p.nameList()
			}
			g.Privileges = append(g.Privileges, x)
			if !p.acceptOp(",") {
				break
			}
		}
	}
	if p.accept("on") {
		p.grantObjects(g, defaults)
	} else if g.All {
		p.unexpected()
	}
	if g.Revoke {
		p.expect("from")
	} else {
		p.expect("to")
	}
	for {
		p.accept("group")
		g.Roles = append(g.Roles, p.roleSpec())
		if !p.acceptOp(",") {
			break
		}
	}
	if !g.Revoke && p.accept("with") {
		if !p.isAny("grant", "admin") || p.is("grant") != (g.Kind != "") {
			p.unexpected()
		}
		p.next()
		p.expect("option")
		g.WithOption = true
	}
	if p.accept("granted", "by") {
		by := p.roleSpec()
		g.By = &by
	}
	if g.Revoke {
		g.Cascade = p.cascade()
	}
	return g
}

func (p *parser) grantObjects(g *ast.Grant, defaults bool) {
	g.Kind = "table"
	plural := map[string]string{"tables": "table", "sequences": "sequence", "functions": "function", "routines": "function", "procedures": "function",
		"types": "type", "schemas": "schema"}
	if defaults {
		if g.Kind = plural[p.tok().text]; g.Kind == "" || p.tok().kind != tIdent {
			p.unexpected()
		}
		p.next()
		return
	}
	if p.is("all") && p.peek(2).isWord("in") {
		p.next()
		kind := plural[p.tok().text]
		if kind == "" || kind == "type" || kind == "schema" {
			p.unexpected()
		}
		g.Kind = "all " + kind + "s"
		p.next()
		p.expect("in", "schema")
		g.Objects = p.names()
		return
	}
	for _, k := range grantKinds {
		if next := p.peek(len(k)); p.isWords(k...) && next.kind == tIdent && !next.isWord("to") && !next.isWord("from") {
			p.i += len(k)
			g.Kind = k[0]
			for _, w := range k[1:] {
				g.Kind += " " + w
			}
			break
		}
	}
	if g.Kind == "large object" || g.Kind == "parameter" || g.Kind == "tablespace" || g.Kind == "foreign data wrapper" || g.Kind == "foreign server" {
		p.unsupported(g.Pos, "GRANT ON "+g.Kind, "")
	}
	for {
		g.Objects = append(g.Objects, p.name())
		if p.isOp("(") {
			for len(g.Args) < len(g.Objects)-1 {
				g.Args = append(g.Args, nil)
			}
			args := p.argTypes()
			if args == nil {
				args = []ast.TypeName{}
			}
			g.Args = append(g.Args, args)
		}
		if !p.acceptOp(",") {
			break
		}
	}
}
