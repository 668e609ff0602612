package parser

import (
	"streamsql/internal/pgerr"
	"streamsql/sql/parser/ast"
)

// joinAlias is a parenthesised join with an alias.
type joinAlias struct{ alias ast.Alias }

// fromList lowers the items of FROM.
func (p *parser) fromList() {
	p.fromItem()
	for p.acceptOp(",") {
		p.em.put(" , ")
		p.fromItem()
	}
}

// fromItem lowers a table reference with the joins that follow it. Every join
// is parenthesised, so its nesting is PostgreSQL's.
func (p *parser) fromItem() {
	p.enter()
	mark := p.em.mark()
	p.tablePrimary()
	for p.join(mark) {
	}
	p.depth--
}

// join lowers one join after the item written since mark.
func (p *parser) join(mark int) bool {
	j := &ast.JoinRef{Kind: ast.InnerJoin, Pos: p.pos()}
	first := p.i
	switch {
	case p.accept("cross"):
		j.Kind = ast.CrossJoin
	case p.accept("natural"):
		j.Natural = true
	case p.asofAhead():
		p.next()
		j.AsOf = true
	}
	word := " JOIN "
	if j.Kind != ast.CrossJoin {
		switch {
		case p.accept("inner"):
		case p.accept("left"):
			j.Kind, word = ast.LeftJoin, " LEFT JOIN "
			p.accept("outer")
		case p.accept("right"):
			j.Kind, word = ast.RightJoin, " RIGHT JOIN "
			p.accept("outer")
		case p.accept("full"):
			// The grammar has no full join: its node says what it is.
			j.Kind, word = ast.FullJoin, " LEFT JOIN "
			p.accept("outer")
		}
	}
	if !p.accept("join") {
		if p.i > first {
			p.unexpected()
		}
		return false
	}
	p.em.wrapN(mark, "(", -1)
	p.em.put(word)
	id := p.em.ref(j)
	if j.Kind == ast.CrossJoin || j.Natural {
		p.tablePrimary()
		p.em.putN(" ON join__(", id)
		p.em.put("))")
		return true
	}
	p.fromItem()
	p.em.putN(" ON join__(", id)
	switch {
	case p.accept("on"):
		j.On = hole
		p.em.comma()
		p.expr()
	case p.accept("using"):
		j.Using = p.nameList()
		if p.accept("as") {
			j.UsingAlias = p.colID()
		}
	default:
		e := p.syntaxError()
		if p.tok().kind != tError {
			e.WithHint("A join needs ON or USING, or write CROSS JOIN.")
		}
		p.fail(e)
	}
	p.em.put("))")
	return true
}

// asofAhead says whether ASOF JOIN follows; ASOF is no keyword.
func (p *parser) asofAhead() bool {
	if !p.is("asof") {
		return false
	}
	t := p.peek(1)
	return t.isWord("join") || t.isWord("inner") || (t.isWord("left") || t.isWord("right") || t.isWord("full")) && (p.peek(2).isWord("join") || p.peek(2).isWord("outer"))
}

// tablePrimary lowers one item of FROM without joins.
func (p *parser) tablePrimary() {
	pos := p.pos()
	lateral := p.accept("lateral")
	switch {
	case p.isOp("("):
		if p.looksLikeQuery(p.i) || lateral {
			s := &ast.SubqueryRef{Lateral: lateral, Pos: pos}
			id := p.em.ref(s)
			p.subquery()
			p.em.putN(" r", id)
			s.Alias = p.alias(false)
			return
		}
		p.parenthesisedJoin()
		return
	case p.is("rows") && p.peek(1).isWord("from"):
		p.rowsFrom(pos, lateral)
		return
	case p.is("table") && p.peek(1).isOp("("):
		// TABLE(TUMBLE(..)) and TABLE(f(..)).
		p.i += 2
		p.fromFunction(pos, lateral, func() { p.expectOp(")") })
		return
	case p.is("only"):
		p.next()
		t := &ast.TableRef{Pos: pos, Only: true}
		if p.acceptOp("(") {
			t.Name = p.name()
			p.expectOp(")")
		} else {
			t.Name = p.name()
		}
		p.finishTable(t)
		return
	}
	if p.callAhead() {
		p.fromFunction(pos, lateral, nil)
		return
	}
	if t := p.tok(); lateral || t.kind == tIdent && !t.quoted && t.cat == typeFuncName {
		// Only a function may stand here, whose arguments are missing.
		if !t.isColID() && !t.isFuncName() {
			p.unexpected()
		}
		p.next()
		for p.acceptOp(".") {
			p.label()
		}
		p.unexpected()
	}
	p.finishTable(&ast.TableRef{Pos: pos, Name: p.name()})
}

// callAhead says whether a function call begins here rather than a relation's name.
func (p *parser) callAhead() bool {
	t := p.tok()
	if t.kind != tIdent {
		return false
	}
	if !t.quoted && t.cat == reserved {
		switch t.text {
		case "current_date", "current_time", "current_timestamp", "localtime", "localtimestamp", "current_user", "current_role",
			"session_user", "user", "current_catalog", "cast":
			return true
		}
		return false
	}
	if t.isWord("current_schema") {
		return true
	}
	i := p.i + 1
	for i+1 < len(p.toks) && p.toks[i].isOp(".") && p.toks[i+1].kind == tIdent {
		i += 2
	}
	return i < len(p.toks) && p.toks[i].isOp("(")
}

// finishTable lowers what may follow a table's name.
func (p *parser) finishTable(t *ast.TableRef) {
	id := p.em.ref(t)
	if p.isOp("*") {
		p.next()
	}
	if p.is("for") && p.peek(1).isWord("system_time") {
		p.i += 2
		p.expect("as", "of")
		t.AsOf = hole
		p.em.put("(SELECT 0")
		p.em.comma()
		p.exprPrec(precOp, false)
		p.em.put(")")
	}
	p.em.putN(" r", id)
	t.Alias = p.alias(false)
	if p.is("tablesample") {
		p.next()
		p.name()
		p.unused()
		if p.accept("repeatable") {
			p.unused()
		}
		t.TableSample = true
	}
}

// unused reads (a, b, ..) of a clause that is only accepted.
func (p *parser) unused() {
	outer, after := p.em, p.after
	p.em, p.after = &emitter{}, nil
	p.expectOp("(")
	p.exprList()
	p.expectOp(")")
	p.em, p.after = outer, after
}

// parenthesisedJoin lowers (a JOIN b ..) with an optional alias.
func (p *parser) parenthesisedJoin() {
	mark := p.em.mark()
	p.enter()
	first := p.i
	p.next()
	p.fromItem()
	joined := p.em.pieces[mark].prefix > 0 || p.toks[first+1].isOp("(")
	if !joined {
		// (t) alone is no table reference.
		p.unexpected()
	}
	p.expectOp(")")
	p.depth--
	if a := p.alias(false); a.Name != "" {
		p.em.wrapN(mark, "(SELECT 0 FROM ", -1)
		p.em.putN(") r", p.em.ref(&joinAlias{a}))
	}
}

// alias reads [AS] name [(columns)]; defs allows a column definition list, also without a name.
func (p *parser) alias(defs bool) ast.Alias {
	a := ast.Alias{Pos: p.pos()}
	switch t := p.tok(); {
	case p.accept("as"):
		if defs && p.isOp("(") {
			a.ColDefs = p.colDefs()
			return a
		}
		a.Pos = p.pos()
		a.Name = p.colID()
	case t.isColID() && !p.emitAhead() && !p.asofAhead() && !(p.is("partition") && p.peek(1).isWord("by")):
		a.Name = p.next().text
	default:
		a.Pos = 0
		return a
	}
	if p.isOp("(") {
		if t := p.peek(2); defs && !t.isOp(",") && !t.isOp(")") {
			a.ColDefs = p.colDefs()
		} else {
			a.Columns = p.nameList()
		}
	}
	return a
}

// colDefs reads (name type, ..) of a function that returns records.
func (p *parser) colDefs() []ast.ColumnDef {
	p.expectOp("(")
	var out []ast.ColumnDef
	for {
		c := ast.ColumnDef{Pos: p.pos(), Name: p.colID()}
		c.Type = p.typeName()
		if p.accept("collate") {
			c.Collation = p.name().Base()
		}
		out = append(out, c)
		if !p.acceptOp(",") {
			break
		}
	}
	p.expectOp(")")
	return out
}

// fromFunction lowers a function or window table function; end reads what stands between it and the alias.
func (p *parser) fromFunction(pos ast.Pos, lateral bool, end func()) {
	if k := p.windowAhead(); k != 0 {
		p.windowTVF(k, pos, end)
		return
	}
	f := &ast.FuncRef{Pos: pos, Lateral: lateral, Calls: make([]*ast.FuncCall, 1)}
	id := p.em.ref(f)
	p.em.put("(SELECT 0")
	p.em.comma()
	p.fromCall()
	p.em.put(")")
	p.em.putN(" r", id)
	if end != nil {
		end()
	}
	p.finishFunction(f)
}

func (p *parser) finishFunction(f *ast.FuncRef) {
	if p.is("with") && p.peek(1).isWord("ordinality") {
		p.i += 2
		f.Ordinality = true
	}
	f.Alias = p.alias(true)
}

// fromCall lowers a call in FROM, which has no FILTER and no OVER.
func (p *parser) fromCall() {
	t := p.tok()
	if !t.quoted && (t.cat == colName || t.cat == reserved || t.text == "current_schema") && !p.peek(1).isOp(".") {
		p.word()
		return
	}
	n := ast.Name{Pos: p.pos()}
	if !t.isFuncName() && !(t.isColID() && p.peek(1).isOp(".")) {
		p.unexpected()
	}
	n.Parts = append(n.Parts, p.next().text)
	for p.acceptOp(".") {
		n.Parts = append(n.Parts, p.label())
	}
	p.call(n, true)
}

func (p *parser) rowsFrom(pos ast.Pos, lateral bool) {
	p.i += 2
	f := &ast.FuncRef{Pos: pos, Lateral: lateral, RowsFrom: true}
	id := p.em.ref(f)
	p.em.put("(SELECT 0")
	p.expectOp("(")
	for {
		p.em.comma()
		p.fromCall()
		f.Calls = append(f.Calls, nil)
		if p.accept("as") {
			for len(f.ColDefs) < len(f.Calls) {
				f.ColDefs = append(f.ColDefs, nil)
			}
			f.ColDefs[len(f.Calls)-1] = p.colDefs()
		}
		if !p.acceptOp(",") {
			break
		}
	}
	p.expectOp(")")
	p.em.put(")")
	p.em.putN(" r", id)
	p.finishFunction(f)
}

// windowAhead says which window function begins here. Their names are not
// reserved: a call needs a parenthesis and no schema.
func (p *parser) windowAhead() ast.WindowKind {
	t := p.tok()
	if t.kind != tIdent || t.quoted || !p.peek(1).isOp("(") {
		return 0
	}
	switch t.text {
	case "tumble":
		return ast.Tumble
	case "hop":
		return ast.Hop
	case "cumulate":
		return ast.Cumulate
	case "session":
		return ast.Session
	}
	return 0
}

// windowSlots are the expressions of a window function in the side table, in the order of the text.
type windowSlots struct{ slots []*ast.Expr }

// windowTVF lowers TUMBLE, HOP, CUMULATE or SESSION in FROM: its input is the
// FROM of a derived table, its arguments the HAVING.
func (p *parser) windowTVF(kind ast.WindowKind, pos ast.Pos, end func()) {
	w := &ast.WindowTVF{Pos: pos}
	w.Kind, w.WindowArgs.Pos = kind, p.pos()
	id := p.em.ref(w)
	p.em.put("(SELECT 0 FROM ")
	p.i += 2
	if t := p.peek(1); p.is("data") && (t.isOp("=>") || t.isOp(":=")) {
		p.i += 2
	}
	p.windowInput(kind)
	if p.is("partition") && p.peek(1).isWord("by") {
		if kind != ast.Session {
			p.fail(p.syntaxError().WithHint("Only SESSION takes PARTITION BY; the others need no key."))
		}
		p.i += 2
		w.PartitionBy = p.partitionColumns()
	}
	if !p.acceptOp(",") {
		e := p.syntaxError()
		if p.tok().kind != tError {
			e.WithHint("%s", windowUsage[kind])
		}
		p.fail(e)
	}
	if t := p.peek(1); p.is("timecol") && (t.isOp("=>") || t.isOp(":=")) {
		p.i += 2
	}
	p.em.put(" HAVING ")
	p.windowArgs(&w.WindowArgs)
	p.em.put(")")
	p.em.putN(" r", id)
	if end != nil {
		end()
	}
	w.Alias = p.alias(false)
}

// windowInput lowers the relation that a window function reads.
func (p *parser) windowInput(kind ast.WindowKind) {
	pos := p.pos()
	if p.isOp("(") && p.looksLikeQuery(p.i) {
		s := &ast.SubqueryRef{Pos: pos}
		id := p.em.ref(s)
		p.subquery()
		p.em.putN(" r", id)
		s.Alias = p.alias(false)
		return
	}
	if p.is("table") {
		p.next()
	}
	if p.callAhead() {
		p.fail(p.syntaxError().WithHint("The first argument of %s is a relation's name or (SELECT ..).", kind))
	}
	if p.tok().kind != tIdent {
		p.fail(p.syntaxError().WithHint("The first argument of %s is a relation's name or (SELECT ..).", kind))
	}
	t := &ast.TableRef{Pos: pos, Name: p.name()}
	p.em.putN("r", p.em.ref(t))
	t.Alias = p.alias(false)
}

// columnRef reads a column, possibly qualified, without lowering it.
func (p *parser) columnRef() *ast.ColumnRef {
	c := &ast.ColumnRef{At: ast.At{Pos: p.pos()}, Parts: []string{p.colID()}}
	for p.acceptOp(".") {
		c.Parts = append(c.Parts, p.label())
	}
	return c
}

// partitionColumns reads the columns of PARTITION BY in SESSION. A comma
// follows them and then the time column: it is the one with DESCRIPTOR or the
// last column before something that is none.
func (p *parser) partitionColumns() []ast.Expr {
	var out []ast.Expr
	if p.acceptOp("(") {
		for {
			out = append(out, p.columnRef())
			if !p.acceptOp(",") {
				break
			}
		}
		p.expectOp(")")
		return out
	}
	for {
		out = append(out, p.columnRef())
		if !p.isOp(",") {
			return out
		}
		// What follows the comma is one more key if it is a column and the element after it is a column too.
		i, ok := p.columnEnd(p.i + 1)
		if !ok || !p.toks[i].isOp(",") {
			return out
		}
		j, ok := p.columnEnd(i + 1)
		descriptor := p.toks[i+1].isWord("descriptor") && i+2 < len(p.toks) && p.toks[i+2].isOp("(")
		if !descriptor && (!ok || !p.toks[j].isOp(",")) {
			return out
		}
		p.next()
	}
}

// columnEnd gives the token after the column reference at token i.
func (p *parser) columnEnd(i int) (int, bool) {
	if i >= len(p.toks) || !p.toks[i].isColID() {
		return i, false
	}
	i++
	for i+1 < len(p.toks) && p.toks[i].isOp(".") && p.toks[i+1].kind == tIdent {
		i += 2
	}
	return min(i, len(p.toks)-1), true
}

// groupWindow lowers a window function in GROUP BY.
func (p *parser) groupWindow(kind ast.WindowKind) *ast.GroupWindow {
	g := &ast.GroupWindow{WindowArgs: ast.WindowArgs{Kind: kind, Pos: p.pos()}}
	p.i += 2
	p.windowArgs(&g.WindowArgs)
	return g
}

// windowParam is an argument of a window function.
type windowParam struct {
	name     string
	dst      *ast.Expr
	required bool
}

func windowParams(w *ast.WindowArgs) []windowParam {
	offset, zone := windowParam{"offset", &w.Offset, false}, windowParam{"timezone", &w.TimeZone, false}
	switch w.Kind {
	case ast.Hop:
		return []windowParam{{"slide", &w.Slide, true}, {"size", &w.Size, true}, offset, zone}
	case ast.Cumulate:
		return []windowParam{{"step", &w.Step, true}, {"size", &w.Size, true}, offset, zone}
	case ast.Session:
		return []windowParam{{"gap", &w.Gap, true}, {"max_span", &w.MaxSpan, false}, zone}
	}
	return []windowParam{{"size", &w.Size, true}, offset, zone}
}

var windowUsage = map[ast.WindowKind]string{
	ast.Tumble:   "Write TUMBLE(relation, time_column, size [, offset]).",
	ast.Hop:      "Write HOP(relation, time_column, slide, size [, offset]): the slide comes first.",
	ast.Cumulate: "Write CUMULATE(relation, time_column, step, size [, offset]).",
	ast.Session:  "Write SESSION(relation [PARTITION BY columns], time_column, gap [, max_span]).",
}

// windowArgs lowers the time column and what follows it, up to the closing parenthesis.
func (p *parser) windowArgs(w *ast.WindowArgs) {
	hint := windowUsage[w.Kind]
	node := &windowSlots{}
	p.em.open("window__(", node)
	if p.is("descriptor") && p.peek(1).isOp("(") {
		p.i += 2
		w.TimeCol = p.columnRef()
		p.expectOp(")")
	} else {
		if _, ok := p.columnEnd(p.i); !ok {
			p.fail(p.syntaxError().WithHint("%s", hint))
		}
		w.TimeCol = p.columnRef()
	}
	params := windowParams(w)
	named := false
	for n := 0; p.acceptOp(","); n++ {
		pos := p.pos()
		var param *windowParam
		if t := p.peek(1); t.isOp("=>") || t.isOp(":=") {
			named = true
			name := p.label()
			p.next()
			for i := range params {
				if params[i].name == name {
					param = &params[i]
				}
			}
			if param == nil {
				p.fail(pgerr.New(pgerr.UndefinedFunction, "%s has no argument named \"%s\"", w.Kind, name).WithHint("%s", hint).At(pos))
			}
		} else {
			if named {
				p.fail(pgerr.New(pgerr.SyntaxError, "positional argument cannot follow named argument").At(pos))
			}
			// TIMEZONE is given by name only.
			if n >= len(params)-1 {
				p.fail(pgerr.New(pgerr.UndefinedFunction, "too many arguments of %s", w.Kind).WithHint("%s", hint).At(pos))
			}
			param = &params[n]
		}
		if *param.dst != nil {
			p.fail(pgerr.New(pgerr.SyntaxError, "argument name \"%s\" used more than once", param.name).At(pos))
		}
		*param.dst = hole
		p.em.comma()
		p.expr()
		node.slots = append(node.slots, param.dst)
	}
	if !p.isOp(")") {
		e := p.syntaxError()
		if p.tok().kind != tError {
			e.WithHint("%s", hint)
		}
		p.fail(e)
	}
	for _, param := range params {
		if param.required && *param.dst == nil {
			p.fail(pgerr.New(pgerr.UndefinedFunction, "%s needs a %s", w.Kind, param.name).WithHint("%s", hint).At(w.Pos))
		}
	}
	p.next()
	p.em.put(")") // the grammar keeps it: it is no expression
}
