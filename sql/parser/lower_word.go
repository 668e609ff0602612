package parser

import (
	"slices"
	"strings"

	"streamsql/internal/pgerr"
	"streamsql/sql/parser/ast"
)

// word lowers an operand that begins with an identifier or keyword.
func (p *parser) word() {
	t := p.tok()
	if t.quoted || t.cat == notKeyword || t.cat == unreserved && t.text != "double" {
		p.nameOrCall()
		return
	}
	if t.cat == reserved {
		p.reservedWord()
		return
	}
	if p.typeLiteralAhead() {
		p.typedLiteral()
		return
	}
	if t.cat == colName && p.peek(1).isOp("(") {
		p.specialCall()
		return
	}
	if t.text == "collation" && p.peek(1).isWord("for") {
		at := ast.At{Pos: p.pos()}
		p.i += 2
		m := p.em.open("call__(", &ast.FuncCall{At: at, Name: specialName("pg_collation_for", at.Pos), Special: true, Args: []ast.Expr{hole}})
		p.em.comma()
		p.expectOp("(")
		p.expr()
		p.expectOp(")")
		p.em.close(m)
		return
	}
	if t.cat == typeFuncName && t.text == "current_schema" && !p.peek(1).isOp("(") {
		p.valueFunction(false)
		return
	}
	p.nameOrCall()
}

// typedLiteral lowers date '2026-01-01', numeric(4,2) '1.5', interval '1' day.
func (p *parser) typedLiteral() {
	at := ast.At{Pos: p.pos()}
	c := &ast.Cast{At: at, Type: p.simpleType(true), Literal: true}
	if p.tok().kind != tString {
		p.unexpected()
	}
	c.X = p.literal(p.next())
	if n := c.Type.Name.Parts; len(n) == 1 && n[0] == "interval" && c.Type.Mods == nil {
		p.intervalFields(&c.Type)
	}
	p.em.leaf(c)
}

// nameOrCall lowers a column, t.*, a function call or a literal of a named type.
func (p *parser) nameOrCall() {
	first := p.tok()
	mark := p.em.mark()
	at := ast.At{Pos: int(first.char)}
	end := p.i + 1
	for end+1 < len(p.toks) && p.toks[end].isOp(".") && p.toks[end+1].kind == tIdent {
		end += 2
	}
	after := &p.toks[min(end, len(p.toks)-1)]
	isFunc := first.isFuncName() || end > p.i+1 && first.isColID()
	if isFunc {
		if after.kind == tString {
			p.typedLiteral()
			return
		}
		if after.isOp("(") {
			if m := int(after.match); m > 0 && m+1 < len(p.toks) && p.toks[m+1].kind == tString && p.simpleMods(end, m) {
				p.typedLiteral()
				return
			}
			parts := make([]string, 0, 2)
			for ; p.i < end; p.next() {
				if p.tok().kind == tIdent {
					parts = append(parts, p.tok().text)
				}
			}
			if len(parts) > 3 {
				p.tooManyDots(parts, at.Pos)
			}
			p.call(ast.Name{Parts: parts, Pos: at.Pos}, false)
			return
		}
	}
	if !first.isColID() || p.nullsOrder() {
		if first.kind == tIdent && first.cat == typeFuncName {
			p.next() // it would do before a parenthesis
		}
		p.unexpected()
	}
	parts := make([]string, 1, 2)
	parts[0] = p.next().text
	for p.isOp(".") {
		p.next()
		if p.acceptOp("*") {
			p.em.leaf(&ast.Star{At: at, Qualifier: parts})
			return
		}
		parts = append(parts, p.label())
	}
	if len(parts) > 4 {
		p.tooManyDots(parts, at.Pos)
	}
	p.em.leaf(&ast.ColumnRef{At: at, Parts: parts})
	p.indirection(mark)
}

// simpleMods says whether the tokens between open and end are a type's modifiers: otherwise they are read as arguments, whose
// mistakes come before the string that no call may have after it.
func (p *parser) simpleMods(open, end int) bool {
	for i := open + 1; i < end; i++ {
		if t := &p.toks[i]; (i-open)%2 == 0 && !t.isOp(",") || (i-open)%2 == 1 && t.kind != tInt && t.kind != tString && !t.isColID() {
			return false
		}
	}
	return end > open+1
}

func (p *parser) tooManyDots(parts []string, pos ast.Pos) {
	p.fail(pgerr.New(pgerr.SyntaxError, "improper qualified name (too many dotted names): %s", ast.Name{Parts: parts}.String()).At(pos))
}

// reservedWord lowers the operands that are reserved words.
func (p *parser) reservedWord() {
	t := p.tok()
	at := ast.At{Pos: int(t.char)}
	switch t.text {
	case "null":
		p.next()
		p.em.leaf(&ast.Literal{At: at, Kind: ast.LitNull, Text: "null"})
	case "true", "false":
		p.next()
		p.em.leaf(&ast.Literal{At: at, Kind: ast.LitBool, Text: t.text})
	case "default":
		if !p.defaultOK {
			p.failLate(pgerr.New(pgerr.SyntaxError, "DEFAULT is not allowed in this context").At(at.Pos))
		}
		p.next()
		p.em.leaf(&ast.Default{At: at})
	case "case":
		p.caseExpr(at)
	case "cast":
		p.next()
		p.expectOp("(")
		c := &ast.Cast{At: at}
		m := p.em.open("cast__(", c)
		p.em.comma()
		p.expr()
		p.expect("as")
		c.Type = p.typeName()
		p.expectOp(")")
		p.em.close(m)
	case "array":
		p.next()
		if p.isOp("(") && p.looksLikeQuery(p.i) {
			m := p.em.open("array_query__(", &ast.ArrayQuery{At: at})
			p.em.comma()
			p.subquery()
			p.em.close(m)
			return
		}
		if p.acceptOp("(") {
			p.unexpected()
		}
		p.array(at)
	case "current_date", "current_time", "current_timestamp", "localtime", "localtimestamp":
		p.valueFunction(t.text != "current_date")
	case "current_role", "current_user", "session_user", "user", "current_catalog":
		p.valueFunction(false)
	default:
		p.unexpected()
	}
}

// valueFunction lowers CURRENT_TIMESTAMP(3) and the functions without parentheses.
func (p *parser) valueFunction(precision bool) {
	t := p.next()
	fc := &ast.FuncCall{At: ast.At{Pos: int(t.char)}, Name: specialName(t.text, int(t.char)), Special: true}
	if precision && p.acceptOp("(") {
		if p.tok().kind != tInt {
			p.unexpected()
		}
		fc.Args = []ast.Expr{p.literal(p.next())}
		p.expectOp(")")
	}
	p.em.leaf(fc)
}

func (p *parser) caseExpr(at ast.At) {
	p.next()
	c := &ast.Case{At: at}
	m := p.em.open("case__(", c)
	if !p.is("when") {
		c.X = hole
		p.em.comma()
		p.expr()
	}
	for p.accept("when") {
		p.em.comma()
		p.expr()
		p.expect("then")
		p.em.comma()
		p.expr()
		c.Whens = append(c.Whens, ast.When{})
	}
	if c.Whens == nil {
		p.unexpected()
	}
	if p.accept("else") {
		c.Else = hole
		p.em.comma()
		p.expr()
	}
	p.expect("end")
	p.em.close(m)
}

// array lowers [a, b] and [[a], [b]].
func (p *parser) array(at ast.At) {
	p.enter()
	m := p.em.open("array__(", &ast.ArrayExpr{At: at})
	p.expectOp("[")
	nested := p.isOp("[")
	for !p.isOp("]") {
		p.em.comma()
		if nested {
			p.array(ast.At{Pos: p.pos()})
		} else {
			p.expr()
		}
		if !p.isOp("]") {
			p.expectOp(",")
			if p.isOp("]") {
				p.unexpected()
			}
		}
	}
	p.next()
	p.em.close(m)
	p.depth--
}

// call lowers (args) after a function's name and the clauses that follow it.
// In FROM there are none of those.
func (p *parser) call(name ast.Name, inFrom bool) {
	fc := &ast.FuncCall{At: ast.At{Pos: name.Pos}, Name: name}
	m := p.em.open("call__(", fc)
	p.expectOp("(")
	switch {
	case p.acceptOp(")"):
	case p.isOp("*"):
		p.next()
		fc.Star = true
		p.expectOp(")")
	default:
		if p.accept("distinct") {
			fc.Distinct = true
		} else {
			p.accept("all")
		}
		p.callArgs(fc)
		if p.is("order") {
			fc.OrderBy = p.orderBy()
		}
		p.expectOp(")")
	}
	if !inFrom {
		p.callClauses(fc)
	}
	p.em.close(m)
}

func (p *parser) callArgs(fc *ast.FuncCall) {
	for {
		if p.accept("variadic") {
			fc.Variadic = true
		}
		name := ""
		if t := p.peek(1); t.isOp("=>") || t.isOp(":=") {
			if p.tok().kind != tIdent {
				p.unexpected()
			}
			name = p.next().text
			p.next()
			if fc.ArgNames == nil {
				fc.ArgNames = make([]string, len(fc.Args))
			}
		}
		if fc.ArgNames != nil {
			fc.ArgNames = append(fc.ArgNames, name)
		}
		p.em.comma()
		p.expr()
		fc.Args = append(fc.Args, hole)
		if fc.Variadic || !p.acceptOp(",") {
			return
		}
	}
}

// callClauses lowers WITHIN GROUP, FILTER, IGNORE NULLS and OVER.
func (p *parser) callClauses(fc *ast.FuncCall) {
	if p.is("within") {
		pos := p.pos()
		p.expect("within", "group")
		switch {
		case fc.OrderBy != nil:
			p.fail(pgerr.New(pgerr.SyntaxError, "cannot use multiple ORDER BY clauses with WITHIN GROUP").At(pos))
		case fc.Distinct:
			p.fail(pgerr.New(pgerr.SyntaxError, "cannot use DISTINCT with WITHIN GROUP").At(pos))
		case fc.Variadic:
			p.fail(pgerr.New(pgerr.SyntaxError, "cannot use VARIADIC with WITHIN GROUP").At(pos))
		}
		p.expectOp("(")
		if !p.is("order") {
			p.unexpected()
		}
		fc.WithinGroup = p.orderBy()
		p.expectOp(")")
	}
	if p.accept("filter") {
		p.expectOp("(")
		p.expect("where")
		fc.Filter = hole
		p.em.comma()
		p.expr()
		p.expectOp(")")
	}
	if p.isAny("ignore", "respect") && p.peek(1).isWord("nulls") {
		fc.IgnoreNulls = p.is("ignore")
		p.i += 2
	}
	if !p.is("over") {
		return
	}
	p.next()
	if p.isOp("(") {
		fc.Over = p.windowSpec()
		return
	}
	pos := p.pos()
	fc.Over = &ast.WindowSpec{Ref: p.colID(), Pos: pos}
}

// windowSpec lowers (base PARTITION BY .. ORDER BY .. frame).
func (p *parser) windowSpec() *ast.WindowSpec {
	w := &ast.WindowSpec{Pos: p.pos()}
	p.expectOp("(")
	if t := p.tok(); t.isColID() && !p.isAny("partition", "range", "rows", "groups") {
		w.Ref = p.next().text
	}
	if p.accept("partition") {
		p.expect("by")
		for {
			p.em.comma()
			p.expr()
			w.PartitionBy = append(w.PartitionBy, hole)
			if !p.acceptOp(",") {
				break
			}
		}
	}
	if p.is("order") {
		w.OrderBy = p.orderBy()
	}
	if p.isAny("range", "rows", "groups") {
		w.Frame = p.frame()
	}
	p.expectOp(")")
	return w
}

func (p *parser) frame() *ast.Frame {
	f := &ast.Frame{Pos: p.pos(), Unit: p.next().text}
	bad := func(pos ast.Pos, msg string) { p.fail(pgerr.New(pgerr.WindowingError, "%s", msg).At(pos)) }
	between := p.accept("between")
	start := p.pos()
	f.Start = p.bound()
	if f.Start.Kind == "unbounded following" {
		bad(start, "frame start cannot be UNBOUNDED FOLLOWING")
	}
	if between {
		p.expect("and")
		end := p.pos()
		f.End = p.bound()
		switch {
		case f.End.Kind == "unbounded preceding":
			bad(end, "frame end cannot be UNBOUNDED PRECEDING")
		case f.Start.Kind == "current row" && f.End.Kind == "preceding":
			bad(end, "frame starting from current row cannot have preceding rows")
		case f.Start.Kind == "following" && (f.End.Kind == "preceding" || f.End.Kind == "current row"):
			bad(end, "frame starting from following row cannot have preceding rows")
		}
	} else if f.End.Kind = "current row"; f.Start.Kind == "following" {
		bad(start, "frame starting from following row cannot end with current row")
	}
	if p.accept("exclude") {
		switch {
		case p.accept("current", "row"):
			f.Exclude = "current row"
		case p.accept("group"):
			f.Exclude = "group"
		case p.accept("ties"):
			f.Exclude = "ties"
		default:
			p.expect("no", "others")
		}
	}
	return f
}

func (p *parser) bound() ast.Bound {
	b := ast.Bound{}
	switch {
	case p.is("unbounded") && (p.peek(1).isWord("preceding") || p.peek(1).isWord("following")):
		p.next()
		return ast.Bound{Kind: "unbounded " + p.next().text}
	case p.accept("current", "row"):
		return ast.Bound{Kind: "current row"}
	}
	b.Offset = hole
	p.em.comma()
	p.exprPrec(precOr, false)
	if !p.isAny("preceding", "following") {
		p.unexpected()
	}
	b.Kind = p.next().text
	return b
}

// specialCall lowers the functions whose names are keywords and whose arguments have a grammar of their own.
func (p *parser) specialCall() {
	mark := p.em.mark()
	t := p.next()
	at := ast.At{Pos: int(t.char)}
	if t.text == "exists" {
		if !p.looksLikeQuery(p.i) {
			p.next()
			p.unexpected()
		}
		p.em.open("exists__(", &ast.Exists{At: at})
		p.em.comma()
		p.subquery()
		p.em.close(mark)
		return
	}
	fc := &ast.FuncCall{At: at, Name: specialName(t.text, at.Pos), Special: true}
	arg := func() {
		p.em.comma()
		p.expr()
		fc.Args = append(fc.Args, hole)
	}
	list := func() {
		arg()
		for p.acceptOp(",") {
			arg()
		}
	}
	switch t.text {
	case "row":
		p.next()
		p.em.open("row__(", &ast.RowExpr{At: at, Explicit: true})
		if !p.isOp(")") {
			p.em.comma()
			p.exprList()
		}
	case "grouping":
		p.next()
		p.em.open("grouping__(", &ast.Grouping{At: at})
		p.em.comma()
		p.exprList()
	case "coalesce", "greatest", "least", "nullif", "normalize":
		p.next()
		p.em.open("call__(", fc)
		if t.text == "normalize" {
			arg()
			if p.acceptOp(",") {
				p.em.comma()
				p.em.leaf(&ast.Literal{At: ast.At{Pos: p.pos()}, Kind: ast.LitString, Text: p.label()})
				fc.Args = append(fc.Args, hole)
			}
			break
		}
		list()
		if t.text == "nullif" && len(fc.Args) != 2 {
			p.unexpected()
		}
	case "extract":
		p.next()
		p.em.open("call__(", fc)
		f := p.tok()
		if f.kind != tString && (f.kind != tIdent || !f.quoted && f.cat != notKeyword && !slices.Contains(intervalUnits, f.text)) {
			p.unexpected()
		}
		p.next()
		p.em.comma()
		p.em.leaf(&ast.Literal{At: ast.At{Pos: int(f.char)}, Kind: ast.LitString, Text: f.text})
		fc.Args = append(fc.Args, hole)
		p.expect("from")
		arg()
	case "position":
		// position(a IN b) is position(b, a).
		p.next()
		p.em.open("position__(", fc)
		fc.Args = []ast.Expr{hole, hole}
		p.em.comma()
		p.exprPrec(precOr, true)
		p.expect("in")
		p.em.comma()
		p.exprPrec(precOr, true)
	case "overlay":
		p.next()
		p.em.open("call__(", fc)
		if p.isOp(")") {
			fc.Special = false
			break
		}
		arg()
		if p.isOp(",") || p.isOp(")") {
			fc.Special = false
			for p.acceptOp(",") {
				arg()
			}
			break
		}
		p.expect("placing")
		arg()
		p.expect("from")
		arg()
		if p.accept("for") {
			arg()
		}
	case "substring":
		p.next()
		p.em.open("substring__(", fc)
		p.substring(fc, arg)
	case "trim":
		p.next()
		p.trim(fc, arg)
	default:
		switch t.text {
		case "timestamp", "time", "interval", "numeric", "decimal", "dec", "float", "char", "character", "varchar", "bit", "nchar":
			p.next() // a type's modifiers would end in a string
		}
		if !strings.HasPrefix(t.text, "xml") && t.text != "treat" {
			p.unexpected()
		}
		p.unsupported(at.Pos, strings.ToUpper(t.text), "")
	}
	p.expectOp(")")
	p.em.close(mark)
	if t.text == "row" {
		p.wroteRow(mark)
	}
}

// substring lowers the arguments of SUBSTRING in all their forms.
func (p *parser) substring(fc *ast.FuncCall, arg func()) {
	if p.isOp(")") {
		return
	}
	arg()
	switch {
	case p.accept("from"):
		arg()
		if p.accept("for") {
			arg()
		}
	case p.accept("for"):
		arg()
		if p.accept("from") {
			// FOR came first: the conversion sees it by the order of the positions.
			fc.ArgNames = []string{"swap"}
			arg()
			return
		}
		// substring(x FOR n) is substring(x, 1, n).
		p.em.comma()
		p.em.leaf(intLit("1", fc.Pos))
		fc.Args = append(fc.Args, hole)
		fc.ArgNames = []string{"swap"}
	case p.is("similar"):
		p.next()
		arg()
		p.expect("escape")
		arg()
	default:
		fc.Special = false
		for p.acceptOp(",") {
			arg()
		}
	}
}

// trim lowers TRIM([BOTH|LEADING|TRAILING] [characters] FROM x), which calls btrim, ltrim or rtrim.
func (p *parser) trim(fc *ast.FuncCall, arg func()) {
	fn := "btrim"
	switch {
	case p.accept("both"):
	case p.accept("leading"):
		fn = "ltrim"
	case p.accept("trailing"):
		fn = "rtrim"
	}
	fc.Name = specialName(fn, fc.Pos)
	p.em.open("trim__(", fc)
	if p.accept("from") {
		arg()
	} else {
		arg()
		if p.accept("from") {
			// TRIM(c FROM x) is btrim(x, c).
			fc.ArgNames = []string{"swap"}
			arg()
		}
	}
	for p.acceptOp(",") {
		arg()
	}
}
