package parser

import (
	"strings"

	"streamsql/internal/pgerr"
	"streamsql/sql/parser/ast"
)

// create parses CREATE of anything.
func (p *parser) create() ast.Stmt {
	p.expect("create")
	replace := p.accept("or", "replace")
	temp := false
	switch {
	case (p.is("local") || p.is("global")) && (p.peek(1).isWord("temp") || p.peek(1).isWord("temporary")):
		p.i += 2
		temp = true
	case p.accept("temp"), p.accept("temporary"):
		temp = true
	default:
		p.accept("unlogged")
	}
	at := p.pos()
	kindOnly := func(ok bool) {
		if !ok {
			p.unexpected()
		}
	}
	switch {
	case p.accept("table"):
		kindOnly(!replace)
		return p.createTable(false, temp)
	case p.accept("source"):
		kindOnly(!replace && !temp)
		return p.createTable(true, false)
	case p.accept("materialized", "view"):
		kindOnly(!temp)
		return p.createView(true, replace, false)
	case p.accept("view"), p.accept("recursive", "view"):
		recursive := p.toks[p.i-2].isWord("recursive")
		v := p.createView(false, replace, temp)
		if recursive {
			p.recursiveView(v)
		}
		return v
	case p.accept("sink"):
		kindOnly(!replace && !temp)
		return p.createSink()
	case p.accept("schema"):
		return p.createSchema()
	case p.accept("sequence"):
		kindOnly(!replace)
		s := &ast.CreateSequence{Temp: temp, IfNotExists: p.ifNotExists(), Name: p.name()}
		p.sequenceOptions(&s.Options)
		return s
	case p.is("type"):
		return p.createType(at)
	case p.accept("domain"):
		return p.createDomain()
	case p.is("index") || p.is("unique"):
		return p.createIndex()
	case p.accept("function"):
		return p.createFunction(replace)
	case p.isAny("role", "user", "group"):
		kindOnly(!replace && !temp)
		return p.createRole(p.next().text)
	}
	return p.createOther(at)
}

// createOther names the kinds of objects that there are not yet, and skips their definition.
func (p *parser) createOther(at ast.Pos) ast.Stmt {
	for _, kind := range [][]string{{"type"}, {"secret"}, {"connection"},
		{"extension"}, {"database"}, {"trigger"}, {"constraint", "trigger"}, {"event", "trigger"}, {"aggregate"}, {"operator"},
		{"cast"}, {"collation"}, {"language"}, {"procedure"}, {"policy"}, {"publication"}, {"subscription"}, {"rule"}, {"server"},
		{"foreign", "table"}, {"foreign", "data", "wrapper"}, {"tablespace"}, {"statistics"}, {"text", "search"}, {"conversion"},
		{"access", "method"}, {"transform"}} {
		if !p.accept(kind...) {
			continue
		}
		c := &ast.CreateOther{Kind: strings.Join(kind, " "), Pos: at}
		p.ifNotExists()
		if p.tok().isColID() {
			c.Name = p.name()
		}
		p.skipStatement()
		return c
	}
	e := p.syntaxError()
	if p.tok().kind == tIdent {
		if w := nearest(p.tok().text, []string{"table", "source", "view", "materialized", "sink", "schema", "index", "function", "type", "temp"}); w != "" {
			e.WithHint("Perhaps you meant CREATE %s.", w)
		}
	}
	p.fail(e)
	return nil
}

// skipStatement passes the rest of a statement.
func (p *parser) skipStatement() {
	for p.tok().kind != tEOF && !p.isOp(";") {
		if p.tok().kind == tError {
			p.unexpected()
		}
		if m := p.tok().match; m > 0 {
			p.i = int(m)
		}
		p.next()
	}
}

func (p *parser) createTable(source, temp bool) ast.Stmt {
	s := &ast.CreateTable{Source: source, Temp: temp, IfNotExists: p.ifNotExists(), Name: p.name()}
	if p.isAny("of", "partition") {
		p.unsupported(p.pos(), "CREATE TABLE .. "+strings.ToUpper(p.tok().text), "Name the columns of the table.")
	}
	namesOnly, elements := false, false
	if p.isOp("(") {
		// (a, b) AS SELECT names the columns only.
		namesOnly = (p.peek(2).isOp(",") || p.peek(2).isOp(")")) && p.peek(1).kind == tIdent
		if namesOnly {
			s.Names = p.nameList()
		} else {
			p.tableElements(s)
			elements = true
		}
	}
	for {
		switch {
		case p.is("append"):
			p.next()
			p.expect("only")
			s.AppendOnly = true
			continue
		case p.is("with") && p.peek(1).isOp("("):
			p.next()
			s.Options = append(s.Options, p.options()...)
			continue
		case p.accept("without", "oids"):
			continue
		case p.accept("on", "commit"):
			switch {
			case p.accept("preserve", "rows"):
			case p.accept("delete", "rows"):
				s.OnCommit = "delete rows"
			default:
				p.expect("drop")
				s.OnCommit = "drop"
			}
			continue
		case p.is("inherits") || p.is("partition") && p.peek(1).isWord("by"):
			p.unsupported(p.pos(), map[bool]string{true: "INHERITS", false: "PARTITION BY"}[p.is("inherits")], "")
		case p.accept("using"), p.accept("tablespace"):
			p.colID()
			continue
		}
		break
	}
	if p.accept("as") {
		if s.Columns != nil || source {
			p.i--
			p.unexpected()
		}
		first := p.i
		s.As = p.rootQuery()
		s.AsText = p.text(first)
		if p.accept("with", "no", "data") {
			s.WithNoData = true
		} else {
			p.accept("with", "data")
		}
	} else if namesOnly || !elements && s.Options == nil {
		// Without columns they come from the connector.
		p.unexpected()
	}
	return s
}

// tableElements reads the columns, constraints and the watermark of a table or source.
func (p *parser) tableElements(s *ast.CreateTable) {
	p.expectOp("(")
	var cols []*ast.ColumnDef
	var constraints []*ast.Constraint
	if p.acceptOp(")") {
		return
	}
	for {
		switch {
		case p.is("watermark") && p.peek(1).isWord("for"):
			pos := p.pos()
			p.i += 2
			if s.Watermark != nil {
				p.fail(pgerr.New(pgerr.InvalidTableDefinition, "multiple watermarks for relation \"%s\" are not allowed", s.Name.Base()).At(pos))
			}
			w := &ast.Watermark{Pos: pos, Column: p.colID()}
			if p.accept("as") {
				first := p.i
				p.rootExpr(&w.Expr)
				w.Text = p.text(first)
			}
			s.Watermark = w
		case p.is("like") && p.peek(1).isColID():
			p.next()
			l := ast.TableLike{Table: p.name(), At: len(cols)}
			for p.isAny("including", "excluding") {
				on := p.next().text == "including"
				what := p.label()
				for word, field := range map[string]*bool{"defaults": &l.Defaults, "constraints": &l.Constraints, "identity": &l.Identity,
					"generated": &l.Generated, "indexes": &l.Indexes, "comments": &l.Comments} {
					if what == word || what == "all" {
						*field = on
					}
				}
			}
			s.Like = append(s.Like, l)
		default:
			if c, ok := p.constraint(); ok {
				constraints = append(constraints, c)
				break
			}
			c := &ast.ColumnDef{}
			cols = append(cols, c)
			p.columnDef(c)
		}
		if !p.acceptOp(",") {
			break
		}
	}
	p.expectOp(")")
	// Defaults and checks arrive when the statement is complete.
	s.Columns = make([]ast.ColumnDef, len(cols))
	p.after = append(p.after, func() {
		for i, c := range cols {
			s.Columns[i] = *c
		}
		for _, c := range constraints {
			s.Constraints = append(s.Constraints, *c)
		}
	})
}

// constraint reads a table constraint; ok is false where a column begins.
func (p *parser) constraint() (*ast.Constraint, bool) {
	c := &ast.Constraint{Pos: p.pos()}
	if p.accept("constraint") {
		c.Name = p.colID()
	}
	switch {
	case p.is("primary") && p.peek(1).isWord("key"):
		p.i += 2
		c.Kind = "primary key"
		c.Columns = p.keyColumns(c)
	case p.is("unique"):
		p.next()
		c.Kind = "unique"
		if p.accept("nulls") {
			p.accept("not")
			p.expect("distinct")
		}
		c.Columns = p.keyColumns(c)
	case p.is("check") && p.peek(1).isOp("("):
		p.next()
		c.Kind = "check"
		c.CheckText = p.parenExpr(&c.Check)
	case p.is("foreign") && p.peek(1).isWord("key"):
		p.i += 2
		c.Kind = "foreign key"
		c.Columns = p.nameList()
		p.references(c)
	case p.is("exclude"):
		p.unsupported(p.pos(), "EXCLUDE constraints", "")
	default:
		if c.Name != "" {
			p.unexpected()
		}
		return nil, false
	}
	for p.constraintAttribute(c) {
	}
	return c, true
}

// keyColumns reads the columns of PRIMARY KEY or UNIQUE, or USING INDEX.
func (p *parser) keyColumns(c *ast.Constraint) []string {
	if p.accept("using", "index") {
		c.UsingIndex = p.colID()
		return nil
	}
	cols := p.nameList()
	if p.accept("include") {
		p.nameList()
	}
	p.indexParameters()
	return cols
}

func (p *parser) indexParameters() {
	if p.is("with") && p.peek(1).isOp("(") {
		p.next()
		p.options()
	}
	if p.accept("using", "index", "tablespace") {
		p.colID()
	}
}

// references reads REFERENCES and what follows.
func (p *parser) references(c *ast.Constraint) {
	p.expect("references")
	n := p.name()
	c.RefTable = &n
	if p.isOp("(") {
		c.RefColumns = p.nameList()
	}
	c.OnUpdate, c.OnDelete, c.Match = 'a', 'a', 's'
	for {
		switch {
		case p.accept("match"):
			switch pos, w := p.pos(), p.label(); w {
			case "simple":
			case "full":
				c.Match = 'f'
			default:
				p.unsupported(pos, "MATCH PARTIAL", "")
			}
		case p.accept("on", "delete"):
			c.OnDelete = p.referenceAction()
		case p.accept("on", "update"):
			c.OnUpdate = p.referenceAction()
		default:
			return
		}
	}
}

func (p *parser) referenceAction() byte {
	switch {
	case p.accept("no", "action"):
		return 'a'
	case p.accept("cascade"):
		return 'c'
	case p.accept("set", "null"), p.accept("set", "default"):
		a := p.toks[p.i-1].text[0]
		if p.isOp("(") {
			p.unsupported(p.pos(), "a column list of SET NULL or SET DEFAULT", "")
		}
		return a
	}
	p.expect("restrict")
	return 'r'
}

// parenExpr lowers (expression) and gives its text.
func (p *parser) parenExpr(dst *ast.Expr) string {
	p.expectOp("(")
	first := p.i
	p.rootExpr(dst)
	text := p.text(first)
	p.expectOp(")")
	return text
}

// constraintAttribute reads one word that may follow a constraint c.
func (p *parser) constraintAttribute(c *ast.Constraint) bool {
	switch {
	case p.accept("deferrable"):
		c.Deferrable = true
	case p.accept("initially", "deferred"):
		c.Deferrable, c.Deferred = true, true
	case p.accept("not", "valid"):
		c.NotValid = true
	default:
		return p.accept("not", "deferrable") || p.accept("initially", "immediate") || p.accept("no", "inherit")
	}
	return true
}

// columnDef reads name type constraints.
func (p *parser) columnDef(c *ast.ColumnDef) {
	c.Pos = p.pos()
	c.Name = p.colID()
	if t := p.tok(); t.isOp(",") || t.isOp(")") {
		p.fail(p.syntaxError().WithHint("Column \"%s\" needs a type.", c.Name))
	}
	if p.serial(c) {
		return
	}
	c.Type = p.typeName()
	for p.columnConstraint(c) {
	}
}

// serial reads the types that are an integer with a sequence.
func (p *parser) serial(c *ast.ColumnDef) bool {
	base := ""
	if !p.tok().quoted && p.tok().kind == tIdent {
		base = map[string]string{"serial": "int4", "serial4": "int4", "bigserial": "int8", "serial8": "int8", "smallserial": "int2", "serial2": "int2"}[p.tok().text]
	}
	if base == "" {
		return false
	}
	c.Type = ast.TypeName{Name: ast.Name{Parts: []string{base}, Pos: p.pos()}, Pos: p.pos()}
	p.next()
	c.Serial = true
	c.NotNull = true
	for p.columnConstraint(c) {
	}
	return true
}

func (p *parser) columnConstraint(c *ast.ColumnDef) bool {
	k := &ast.Constraint{Pos: p.pos(), Columns: []string{c.Name}}
	if p.accept("constraint") {
		k.Name = p.colID()
	}
	add := func(kind string) {
		k.Kind = kind
		c.Constraints = append(c.Constraints, k)
	}
	switch {
	case p.accept("not", "null"):
		c.NotNull = true
	case p.accept("null"):
	case p.accept("primary", "key"):
		c.PrimaryKey, c.NotNull = true, true
		p.indexParameters()
		add("primary key")
	case p.accept("unique"):
		if p.accept("nulls") {
			p.accept("not")
			p.expect("distinct")
		}
		p.indexParameters()
		add("unique")
	case p.accept("default"):
		first := p.i
		p.rootExprB(&c.Default)
		c.DefaultText = p.text(first)
	case p.accept("check"):
		add("check")
		k.Columns = nil
		k.CheckText = p.parenExpr(&k.Check)
	case p.accept("generated"):
		always := p.accept("always")
		if !always {
			p.expect("by", "default")
		}
		p.expect("as")
		if p.accept("identity") {
			c.Identity = "by default"
			if always {
				c.Identity = "always"
			}
			c.NotNull = true
			c.Sequence = &ast.SequenceOptions{Pos: p.pos()}
			if p.acceptOp("(") {
				p.sequenceOptions(c.Sequence)
				p.expectOp(")")
			}
			break
		}
		if !always {
			p.unexpected()
		}
		c.GeneratedText = p.parenExpr(&c.Generated)
		p.expect("stored")
	case p.is("references"):
		p.references(k)
		add("foreign key")
	case p.accept("collate"):
		c.Collation = p.name().Base()
	case p.accept("compression"):
		p.label()
	default:
		if n := len(c.Constraints); n > 0 {
			k = c.Constraints[n-1]
		}
		return p.constraintAttribute(k)
	}
	return true
}

// rootExprB lowers a b_expr, which ends before NOT NULL and the like.
func (p *parser) rootExprB(dst *ast.Expr) {
	p.rootSep()
	p.exprPrec(precOr, true)
	p.em.roots = append(p.em.roots, dst)
}

// recursiveView makes of a view's query one that names the view: WITH RECURSIVE v (columns) AS (query) SELECT columns FROM v.
func (p *parser) recursiveView(s *ast.CreateView) {
	at := s.Name.Pos
	if len(s.Columns) == 0 {
		p.unexpected()
	}
	cols := make([]string, len(s.Columns))
	out := &ast.Select{Pos: at, From: []ast.FromItem{&ast.TableRef{Name: ast.Name{Parts: []string{s.Name.Base()}, Pos: at}, Pos: at}}}
	for i, c := range s.Columns {
		cols[i] = QuoteIdent(c)
		out.Items = append(out.Items, ast.SelectItem{Expr: &ast.ColumnRef{At: ast.At{Pos: at}, Parts: []string{c}}, Pos: at})
	}
	name, list := QuoteIdent(s.Name.Base()), strings.Join(cols, ", ")
	s.Text = "WITH RECURSIVE " + name + "(" + list + ") AS (" + s.Text + ") SELECT " + list + " FROM " + name
	with := &ast.With{Recursive: true, CTEs: []ast.CTE{{Name: s.Name.Base(), Columns: s.Columns, Stmt: s.Query, Pos: at}}}
	s.Query = &ast.Query{With: with, Body: out, Pos: at}
}

func (p *parser) createView(mat, replace, temp bool) *ast.CreateView {
	s := &ast.CreateView{Materialized: mat, OrReplace: replace, Temp: temp, IfNotExists: p.ifNotExists(), Name: p.name()}
	if p.isOp("(") {
		s.Columns = p.nameList()
	}
	if mat && p.accept("using") {
		p.colID()
	}
	if p.accept("with") {
		s.Options = p.options()
	}
	p.expect("as")
	first := p.i
	s.Query = p.rootQuery()
	s.Text = p.text(first)
	switch {
	case mat && p.accept("with", "no", "data"):
		s.WithNoData = true
	case mat && p.accept("with", "data"):
	case p.is("with") && (p.peek(1).isWord("check") || p.peek(1).isWord("cascaded") || p.peek(1).isWord("local")):
		p.unsupported(p.pos(), "WITH CHECK OPTION", "Views are not updatable.")
	}
	return s
}

func (p *parser) createSink() ast.Stmt {
	s := &ast.CreateSink{IfNotExists: p.ifNotExists(), Name: p.name()}
	switch {
	case p.accept("from"):
		n := p.name()
		s.From = &n
	case p.accept("as"):
		first := p.i
		p.inSink = true
		s.Query = p.rootQuery()
		p.inSink = false
		s.Text = p.text(first)
	default:
		p.fail(p.syntaxError().WithHint("Write CREATE SINK name FROM relation WITH (..) or CREATE SINK name AS query WITH (..)."))
	}
	if p.accept("with") {
		s.Options = p.options()
	}
	return s
}

func (p *parser) createIndex() ast.Stmt {
	s := &ast.CreateIndex{Pos: p.pos(), Unique: p.accept("unique")}
	p.expect("index")
	p.accept("concurrently")
	s.IfNotExists = p.ifNotExists()
	if !p.is("on") {
		s.Name = p.name().Base()
	}
	p.expect("on")
	p.accept("only")
	s.Table = p.name()
	if p.accept("using") {
		s.Method = p.colID()
	}
	p.expectOp("(")
	var cols []*ast.OrderItem
	for {
		first := p.i
		item, _ := p.indexTerm()
		p.direction(item)
		cols = append(cols, item)
		s.Terms = append(s.Terms, p.text(first))
		if !p.acceptOp(",") {
			break
		}
	}
	p.expectOp(")")
	p.after = append(p.after, func() {
		for _, c := range cols {
			s.Columns = append(s.Columns, *c)
		}
	})
	if p.accept("include") {
		p.nameList()
	}
	if p.accept("nulls") {
		p.accept("not")
		p.expect("distinct")
	}
	if p.accept("with") {
		p.options()
	}
	if p.accept("tablespace") {
		p.colID()
	}
	if p.accept("where") {
		first := p.i
		p.rootExpr(&s.Where)
		s.WhereText = p.text(first)
	}
	return s
}

// indexTerm parses what an index is of: an expression and an operator class, "" if none is named.
func (p *parser) indexTerm() (item *ast.OrderItem, class string) {
	item = &ast.OrderItem{Pos: p.pos()}
	p.rootExpr(&item.Expr)
	if p.tok().isColID() && !p.is("nulls") {
		n := p.name()
		class = n.Base()
	}
	return item, class
}

// IndexTerm is what an index is of: Text is the expression without collation, operator class and direction.
type IndexTerm struct {
	Expr      ast.Expr
	Text      string
	Collation string
	Class     string
}

// ParseIndexTerm parses what stands in the definition of an index between commas.
func ParseIndexTerm(sql string) (t IndexTerm, err error) {
	p, err := newParser(sql)
	if err != nil {
		return t, err
	}
	defer p.recover(&err)
	item, class := p.indexTerm()
	end := p.i
	p.direction(item)
	p.end()
	t.Expr, t.Class, t.Text = item.Expr, class, p.src[p.toks[0].pos:p.toks[end-1].end]
	if c, ok := t.Expr.(*ast.Collate); ok {
		t.Expr, t.Collation = c.X, c.Collation.Base()
	}
	for i := range end { // the expression ends where a collation or an operator class begins
		if p.toks[i].isWord("collate") && t.Collation != "" || i == end-1 && class != "" {
			t.Text = strings.TrimSpace(p.src[p.toks[0].pos:p.toks[i].pos])
			break
		}
	}
	return t, nil
}
