package parser

import (
	"math"
	"strconv"
	"strings"

	"streamsql/internal/pgerr"
	"streamsql/sql/parser/ast"
)

func (p *parser) transaction() ast.Stmt {
	t := &ast.Transaction{}
	noise := func() {
		if !p.accept("work") {
			p.accept("transaction")
		}
	}
	chain := func() {
		if p.accept("and", "chain") {
			t.Chain = true
		} else {
			p.accept("and", "no", "chain")
		}
	}
	switch word := p.next().text; word {
	case "begin":
		t.Kind = "begin"
		noise()
		p.transactionModes(t)
	case "start":
		t.Kind, t.Start = "begin", true
		p.expect("transaction")
		p.transactionModes(t)
	case "commit", "end":
		t.Kind = "commit"
		if p.is("prepared") {
			p.unsupported(p.pos(), "two-phase commit", "")
		}
		noise()
		chain()
	case "savepoint":
		t.Kind = "savepoint"
		t.Savepoint = p.colID()
	case "release":
		t.Kind = "release"
		if p.is("savepoint") && p.peek(1).isColID() {
			p.next()
		}
		t.Savepoint = p.colID()
	default:
		t.Kind = "rollback"
		if p.is("prepared") {
			p.unsupported(p.pos(), "two-phase commit", "")
		}
		noise()
		if word == "rollback" && p.accept("to") {
			t.Kind = "rollback to"
			if p.is("savepoint") && p.peek(1).isColID() {
				p.next()
			}
			t.Savepoint = p.colID()
			break
		}
		chain()
	}
	return t
}

// transactionModes reads ISOLATION LEVEL, READ ONLY and the like, commas optional.
func (p *parser) transactionModes(t *ast.Transaction) {
	yes, no := true, false
	for {
		switch {
		case p.accept("isolation", "level"):
			switch {
			case p.accept("serializable"):
				t.Isolation = "serializable"
			case p.accept("repeatable", "read"):
				t.Isolation = "repeatable read"
			case p.accept("read", "committed"):
				t.Isolation = "read committed"
			case p.accept("read", "uncommitted"):
				t.Isolation = "read uncommitted"
			default:
				p.unexpected()
			}
		case p.accept("read", "only"):
			t.ReadOnly = &yes
		case p.accept("read", "write"):
			t.ReadOnly = &no
		case p.accept("deferrable"):
			t.Deferrable = &yes
		case p.accept("not", "deferrable"):
			t.Deferrable = &no
		default:
			return
		}
		p.acceptOp(",")
	}
}

func (p *parser) set() ast.Stmt {
	p.expect("set")
	s := &ast.Set{Pos: p.pos()}
	switch {
	case p.accept("transaction"):
		t := &ast.Transaction{Kind: "set transaction"}
		if p.is("snapshot") {
			p.unsupported(p.pos(), "SET TRANSACTION SNAPSHOT", "")
		}
		p.transactionModes(t)
		return t
	case p.accept("session", "characteristics", "as", "transaction"):
		t := &ast.Transaction{Kind: "set session characteristics"}
		p.transactionModes(t)
		return t
	case p.accept("constraints"):
		p.skipStatement()
		return &ast.NoOp{Tag: "SET CONSTRAINTS"}
	case p.accept("local"):
		s.Local = true
	case p.is("session") && p.peek(1).kind == tIdent && !p.peek(1).isWord("to") && !p.peek(1).isWord("authorization"):
		p.next()
	}
	s.Pos = p.pos()
	switch {
	case p.accept("time", "zone"):
		s.Name = "timezone"
		switch {
		case p.accept("local"), p.accept("default"):
			s.Default = true
		default:
			s.Values = []string{p.setValue()}
		}
		return s
	case p.accept("session", "authorization"):
		s.Name = "session_authorization"
		if s.Default = p.accept("default"); !s.Default {
			s.Values = []string{p.setValue()}
		}
		return s
	case p.is("role") && !p.peek(1).isOp("=") && !p.peek(1).isWord("to"):
		p.next()
		s.Name = "role"
		s.Values = []string{p.setValue()}
		return s
	case p.is("names") && !p.peek(1).isOp("=") && !p.peek(1).isWord("to"):
		p.next()
		s.Name = "client_encoding"
		if s.Default = p.accept("default") || p.isOp(";") || p.tok().kind == tEOF; !s.Default {
			s.Values = []string{p.setValue()}
		}
		return s
	case p.is("schema") && p.peek(1).kind == tString:
		p.next()
		s.Name = "search_path"
		s.Values = []string{p.setValue()}
		return s
	}
	s.Name = p.settingName()
	if p.accept("from", "current") {
		return &ast.NoOp{Tag: "SET"}
	}
	if !p.acceptOp("=") {
		p.expect("to")
	}
	if p.accept("default") {
		s.Default = true
		return s
	}
	s.Values = []string{p.setValue()}
	for p.acceptOp(",") {
		s.Values = append(s.Values, p.setValue())
	}
	return s
}

// settingName reads a parameter's name, which may have a dot.
func (p *parser) settingName() string {
	n := p.colID()
	for p.acceptOp(".") {
		n += "." + p.label()
	}
	return strings.ToLower(n)
}

// setValue reads a value of SET as text.
func (p *parser) setValue() string {
	switch t := p.tok(); {
	case t.kind == tOp && (t.text == "-" || t.text == "+"):
		p.next()
		if k := p.tok().kind; k != tInt && k != tNumeric {
			p.unexpected()
		}
		if t.text == "-" {
			return "-" + p.next().text
		}
		return p.next().text
	case t.kind == tInt, t.kind == tNumeric, t.kind == tString:
		return p.next().text
	case t.isWord("interval") && p.peek(1).kind == tString:
		p.next()
		v := p.next().text
		var typ ast.TypeName
		p.intervalFields(&typ)
		return v
	case t.kind == tIdent && (t.cat != reserved || t.quoted || p.isAny("true", "false", "on")):
		return p.next().text
	}
	p.unexpected()
	return ""
}

func (p *parser) reset() ast.Stmt {
	p.expect("reset")
	s := &ast.Set{Pos: p.pos(), Default: true}
	switch {
	case p.accept("all"):
		s.Name = "all"
	case p.accept("time", "zone"):
		s.Name = "timezone"
	case p.accept("transaction", "isolation", "level"):
		s.Name = "transaction_isolation"
	case p.accept("session", "authorization"):
		s.Name = "session_authorization"
	default:
		s.Name = p.settingName()
	}
	return s
}

func (p *parser) show() ast.Stmt {
	p.expect("show")
	s := &ast.Show{Pos: p.pos()}
	switch {
	case p.accept("all"):
		s.Name = "all"
	case p.accept("time", "zone"):
		s.Name = "timezone"
	case p.accept("transaction", "isolation", "level"):
		s.Name = "transaction_isolation"
	case p.accept("session", "authorization"):
		s.Name = "session_authorization"
	case p.accept("materialized", "views"):
		s.Name = "materialized views"
	default:
		s.Name = p.settingName()
	}
	return s
}

func (p *parser) discard() ast.Stmt {
	p.expect("discard")
	if !p.isAny("all", "plans", "sequences", "temp", "temporary") {
		p.unexpected()
	}
	return &ast.Discard{What: p.next().text}
}

func (p *parser) explain() ast.Stmt {
	e := &ast.Explain{Pos: p.pos(), Format: "text"}
	p.expect("explain")
	if p.isOp("(") && !p.looksLikeQuery(p.i) {
		e.Options = map[string]string{}
		for _, o := range p.options() {
			switch o.Name {
			case "analyze", "analyse":
				e.Analyze = *p.boolOption(o)
			case "verbose":
				e.Verbose = *p.boolOption(o)
			case "format":
				switch e.Format = strings.ToLower(o.Value); e.Format {
				case "text", "json":
				case "xml", "yaml":
					p.unsupported(o.ValuePos, "EXPLAIN in format "+e.Format, "Use FORMAT TEXT or FORMAT JSON.")
				default:
					p.fail(pgerr.New(pgerr.InvalidParameterValue, "unrecognized value for EXPLAIN option \"format\": \"%s\"", o.Value).At(o.ValuePos))
				}
			case "costs", "settings", "buffers", "wal", "timing", "summary", "generic_plan":
				e.Options[o.Name] = strconv.FormatBool(*p.boolOption(o))
			default:
				p.fail(pgerr.New(pgerr.SyntaxError, "unrecognized EXPLAIN option \"%s\"", o.Name).At(o.Pos))
			}
		}
	} else {
		if p.accept("analyze") || p.accept("analyse") {
			e.Analyze = true
		}
		e.Verbose = p.accept("verbose")
	}
	if p.isAny("explain") {
		p.unexpected()
	}
	e.Stmt = p.statement()
	return e
}

func (p *parser) declare() ast.Stmt {
	p.expect("declare")
	yes, no := true, false
	d := &ast.Declare{Pos: p.pos(), Name: p.colID()}
	for {
		switch {
		case p.accept("binary"):
			d.Binary = true
			continue
		case p.accept("insensitive"), p.accept("asensitive"):
			continue
		case p.accept("no", "scroll"):
			d.Scroll = &no
			continue
		case p.accept("scroll"):
			d.Scroll = &yes
			continue
		}
		break
	}
	p.expect("cursor")
	if p.accept("with", "hold") {
		d.Hold = true
	} else {
		p.accept("without", "hold")
	}
	p.expect("for")
	if p.is("subscribe") {
		d.Subscribe = p.subscribe()
	} else {
		d.Query = p.rootQuery()
	}
	return d
}

// signedInt reads an integer with an optional sign.
func (p *parser) signedInt() int64 {
	neg := false
	if p.isOp("-") || p.isOp("+") {
		neg = p.next().text == "-"
	}
	t := p.tok()
	n, err := strconv.ParseInt(t.text, 10, 64)
	if t.kind != tInt || err != nil || n > math.MaxInt32 {
		p.unexpected()
	}
	p.next()
	if neg {
		return -n
	}
	return n
}

func (p *parser) atNumber() bool {
	return p.tok().kind == tInt || (p.isOp("-") || p.isOp("+")) && p.peek(1).kind == tInt
}

func (p *parser) fetch() ast.Stmt {
	f := &ast.Fetch{Pos: p.pos(), Move: p.next().text == "move", Direction: "next", Count: 1}
	count := func() {
		if p.accept("all") {
			f.Count = -1
		} else if p.atNumber() {
			if f.Count = p.signedInt(); f.Count < 0 {
				f.Count = -f.Count
				f.Direction = map[string]string{"forward": "backward", "backward": "forward"}[f.Direction]
			}
		}
	}
	// A direction's word may be the cursor's name where nothing follows it.
	last := p.peek(1).kind == tEOF || p.peek(1).isOp(";")
	switch {
	case last:
	case p.isAny("next", "prior", "first", "last"):
		f.Direction = p.next().text
	case p.isAny("absolute", "relative"):
		f.Direction = p.next().text
		f.Count = p.signedInt()
	case p.isAny("forward", "backward"):
		f.Direction = p.next().text
		count()
	case p.is("all") || p.atNumber():
		f.Direction = "forward"
		count()
	}
	if !p.accept("from") {
		p.accept("in")
	}
	f.Cursor = p.colID()
	if p.accept("with") {
		for _, o := range p.options() {
			if o.Name != "timeout" {
				p.fail(pgerr.New(pgerr.InvalidParameterValue, "unrecognized FETCH option \"%s\"", o.Name).
					WithHint("FETCH .. WITH takes timeout.").At(o.Pos))
			}
			f.Timeout = o.Value
		}
	}
	return f
}

func (p *parser) closeCursor() ast.Stmt {
	p.expect("close")
	if p.accept("all") {
		return &ast.CloseCursor{}
	}
	return &ast.CloseCursor{Name: p.colID()}
}

func (p *parser) prepare() ast.Stmt {
	s := &ast.Prepare{Pos: p.pos()}
	p.expect("prepare")
	if p.is("transaction") {
		p.unsupported(p.pos(), "two-phase commit", "")
	}
	s.Name = p.colID()
	if p.acceptOp("(") {
		for {
			s.Types = append(s.Types, p.typeName())
			if !p.acceptOp(",") {
				break
			}
		}
		p.expectOp(")")
	}
	p.expect("as")
	first := p.i
	if !p.isAny("select", "values", "table", "with", "insert", "update", "delete", "subscribe", "merge") && !p.isOp("(") {
		p.unexpected()
	}
	s.Stmt = p.statement()
	s.Text = p.text(first)
	return s
}

func (p *parser) execute() ast.Stmt {
	s := &ast.Execute{Pos: p.pos()}
	p.expect("execute")
	s.Name = p.colID()
	if p.acceptOp("(") {
		var cells []*ast.Expr
		for !p.isOp(")") {
			e := new(ast.Expr)
			p.rootExpr(e)
			cells = append(cells, e)
			if !p.acceptOp(",") {
				break
			}
		}
		p.expectOp(")")
		p.after = append(p.after, func() {
			for _, e := range cells {
				s.Args = append(s.Args, *e)
			}
		})
	}
	return s
}

func (p *parser) deallocate() ast.Stmt {
	p.expect("deallocate")
	if p.is("prepare") && p.peek(1).kind == tIdent {
		p.next()
	}
	if p.accept("all") {
		return &ast.Deallocate{}
	}
	return &ast.Deallocate{Name: p.colID()}
}

func (p *parser) refresh() ast.Stmt {
	p.expect("refresh", "materialized", "view")
	p.accept("concurrently")
	s := &ast.Refresh{Name: p.name()}
	if p.accept("with") {
		p.accept("no")
		p.expect("data")
	}
	return s
}

func (p *parser) listen() ast.Stmt {
	l := &ast.Listen{Kind: p.next().text}
	if l.Kind == "unlisten" && p.acceptOp("*") {
		l.Channel = "*"
		return l
	}
	l.Channel = p.colID()
	if l.Kind == "notify" && p.acceptOp(",") {
		l.Payload = p.stringLit()
	}
	return l
}

// alterPause reads ALTER MATERIALIZED VIEW or SINK name PAUSE or RESUME; nil, with nothing read, if it is another ALTER.
func (p *parser) alterPause() ast.Stmt {
	first := p.i
	p.expect("alter")
	s := &ast.Pause{Alter: true, Kind: "sink"}
	if p.accept("materialized", "view") {
		s.Kind = "materialized view"
	} else if !p.accept("sink") {
		p.i = first
		return nil
	}
	s.IfExists = p.ifExists()
	s.Name = p.name()
	switch {
	case p.accept("pause"):
	case p.accept("resume"):
		s.Resume = true
	default:
		p.i = first
		return nil
	}
	return s
}

func (p *parser) pause() ast.Stmt {
	s := &ast.Pause{Resume: p.next().text == "resume"}
	if !p.accept("materialized", "view") {
		for _, w := range []string{"view", "sink", "source"} {
			if p.is(w) && p.peek(1).isColID() {
				p.next()
				break
			}
		}
	}
	s.Name = p.name()
	return s
}

// backup reads BACKUP TO 'directory'.
func (p *parser) backup() ast.Stmt {
	p.next()
	p.expect("to")
	return &ast.Backup{Pos: p.pos(), Dir: p.stringLit()}
}

func (p *parser) noOp() ast.Stmt {
	tag := strings.ToUpper(p.next().text)
	switch tag {
	case "LOCK":
		tag = "LOCK TABLE"
	case "SECURITY":
		p.expect("label")
		tag = "SECURITY LABEL"
	case "ANALYSE":
		tag = "ANALYZE"
	}
	p.skipStatement()
	return &ast.NoOp{Tag: tag}
}

func (p *parser) subscribe() *ast.Subscribe {
	s := &ast.Subscribe{Pos: p.pos()}
	p.expect("subscribe")
	p.accept("to")
	if p.isOp("(") {
		if !p.looksLikeQuery(p.i) {
			p.next()
			p.unexpected()
		}
		p.next()
		s.Query = p.rootQuery()
		p.expectOp(")")
	} else {
		n := p.name()
		s.Relation = &n
	}
	for {
		switch {
		case p.is("with") && p.peek(1).isOp("("):
			p.next()
			for _, o := range p.options() {
				switch o.Name {
				case "snapshot":
					s.Snapshot = p.boolOption(o)
				case "progress":
					s.Progress = p.boolOption(o)
				default:
					p.fail(pgerr.New(pgerr.InvalidParameterValue, "unrecognized SUBSCRIBE option \"%s\"", o.Name).
						WithHint("SUBSCRIBE .. WITH takes SNAPSHOT and PROGRESS.").At(o.Pos))
				}
			}
		case p.accept("as", "of"):
			p.rootExprPrec(&s.AsOf, precOp)
		case p.accept("up", "to"):
			p.rootExprPrec(&s.UpTo, precOp)
		default:
			return s
		}
	}
}
