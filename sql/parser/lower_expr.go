package parser

import (
	"strconv"

	"streamsql/internal/pgerr"
	"streamsql/sql/parser/ast"
)

// The binding strengths of PostgreSQL's grammar, weakest first.
const (
	precOr = iota + 1
	precAnd
	precNot
	precIs      // IS, ISNULL, NOTNULL; not associative
	precCompare // < > = <= >= <>; not associative
	precLike    // BETWEEN, IN, LIKE, ILIKE, SIMILAR; not associative
	precEscape
	precOp // every other operator
	precAdd
	precMul
	precPow
	precAt
	precCollate
	precSign
)

// rootExpr lowers an expression of a statement that is no query; dst gets it when the statement is complete.
func (p *parser) rootExpr(dst *ast.Expr) { p.rootExprPrec(dst, precOr) }

func (p *parser) rootExprPrec(dst *ast.Expr, min int) {
	p.rootSep()
	p.exprPrec(min, false)
	p.em.roots = append(p.em.roots, dst)
}

func (p *parser) rootSep() {
	if len(p.em.roots) > 0 {
		p.em.comma()
	}
}

// expr lowers an expression (a_expr).
func (p *parser) expr() { p.exprPrec(precOr, false) }

// exprPrec lowers an expression of operators that bind at least as strongly as
// min. b restricts it to b_expr, what may stand between BETWEEN and AND.
func (p *parser) exprPrec(min int, b bool) {
	p.enter()
	mark := p.em.mark()
	p.prefixed(b)
	for p.infix(mark, min, b) {
		p.rowEnd = 0
	}
	p.depth--
}

// prefixed lowers an operand with the prefix operators before it.
func (p *parser) prefixed(b bool) {
	t := p.tok()
	at := ast.At{Pos: int(t.char)}
	switch {
	case t.kind == tOp && (t.text == "-" || t.text == "+"):
		p.next()
		if n := p.tok(); t.text == "-" && (n.kind == tInt || n.kind == tNumeric) && !p.peek(1).isOp("::") {
			// A sign before a number is part of it, so that the least int8 can be written.
			p.next()
			kind := ast.LitNumeric
			if n.kind == tInt || n.text == "9223372036854775808" {
				kind = ast.LitInt
			}
			p.em.leaf(&ast.Literal{At: at, Kind: kind, Text: "-" + n.text})
			return
		}
		m := p.em.open("op__(", &ast.Unary{At: at, Op: t.text})
		p.em.comma()
		p.exprPrec(precSign, b)
		p.em.close(m)
	case t.userOp || t.isWord("operator") && p.peek(1).isOp("("):
		op, schema := p.operator()
		m := p.em.open("op__(", &ast.Unary{At: at, Op: op, Schema: schema})
		p.em.comma()
		p.exprPrec(precOp+1, b)
		p.em.close(m)
	case t.isWord("not") && !b:
		p.next()
		m := p.em.open("not__(", &ast.Not{At: at})
		p.em.comma()
		p.exprPrec(precNot, false)
		p.em.close(m)
	default:
		p.primary()
	}
}

// operator reads an operator or OPERATOR(schema.op).
func (p *parser) operator() (op, schema string) {
	if !p.accept("operator") {
		return p.next().text, ""
	}
	p.expectOp("(")
	for p.tok().kind == tIdent {
		schema = p.colID()
		p.expectOp(".")
	}
	if t := p.tok(); !t.userOp && operatorPrec(t) == 0 {
		p.unexpected()
	}
	op = p.next().text
	p.expectOp(")")
	return op, schema
}

// operatorPrec gives the strength of an infix operator symbol, 0 for none.
func operatorPrec(t *token) int {
	if t.kind != tOp {
		return 0
	}
	if t.userOp {
		return precOp
	}
	switch t.text {
	case "<", ">", "=", "<=", ">=", "<>":
		return precCompare
	case "+", "-":
		return precAdd
	case "*", "/", "%":
		return precMul
	case "^":
		return precPow
	}
	return 0
}

// likeAhead says whether BETWEEN, IN, LIKE, ILIKE or SIMILAR, or NOT before one of them, comes next.
func (p *parser) likeAhead() bool {
	n := 0
	if p.is("not") {
		n = 1
	}
	t := p.peek(n)
	if t.kind != tIdent || t.quoted {
		return false
	}
	switch t.text {
	case "between", "in", "like", "ilike":
		return true
	case "similar":
		// SUBSTRING(x SIMILAR p ESCAPE e) has no TO.
		if !p.peek(n + 1).isWord("to") {
			p.shifted = p.i + n
			return false
		}
		return true
	}
	return false
}

// infix lowers one operator after the operand written since mark. It gives
// false where no operator of strength min or more follows.
func (p *parser) infix(mark, min int, b bool) bool {
	t := p.tok()
	at := ast.At{Pos: int(t.char)}
	if t.kind == tOp {
		if t.text == "::" {
			p.next()
			p.em.wrap(mark, "cast__(", &ast.Cast{At: at, Type: p.typeName()})
			p.em.close(mark)
			return true
		}
		prec := operatorPrec(t)
		if prec == 0 || prec < min {
			return false
		}
		p.next()
		p.binary(mark, prec, at, t.text, "", b)
		return true
	}
	if t.kind != tIdent || t.quoted || t.cat == notKeyword || p.depth == p.labelDepth && t.bareLabel && p.endsItem(p.peek(1)) {
		return false
	}
	switch t.text {
	case "operator":
		if !p.peek(1).isOp("(") {
			p.shifted = p.i
			return false
		}
		if min > precOp {
			return false
		}
		op, schema := p.operator()
		p.binary(mark, precOp, at, op, schema, b)
		return true
	case "is":
		return min <= precIs && p.isTest(mark, at, b)
	}
	if b {
		return false
	}
	switch t.text {
	case "and":
		if min > precAnd {
			return false
		}
		p.chain(mark, "and", precAnd, &ast.And{At: at})
		return true
	case "or":
		if min > precOr {
			return false
		}
		p.chain(mark, "or", precOr, &ast.Or{At: at})
		return true
	case "isnull", "notnull":
		if min > precIs {
			return false
		}
		p.next()
		p.em.wrap(mark, "is__(", &ast.IsTest{At: at, What: "null", Not: t.text == "notnull"})
		p.em.close(mark)
		return true
	case "between", "in", "like", "ilike", "similar", "not":
		return min <= precLike && p.likeAhead() && p.like(mark, at)
	case "at":
		if !p.peek(1).isWord("time") {
			p.shifted = p.i
			return false
		}
		if min > precAt {
			return false
		}
		p.i += 2
		p.expect("zone")
		p.em.wrap(mark, "zone__(", &ast.FuncCall{At: at, Name: specialName("timezone", at.Pos), Special: true, Args: []ast.Expr{hole, hole}})
		p.em.comma()
		p.exprPrec(precAt+1, false)
		p.em.close(mark)
		return true
	case "collate":
		if min > precCollate {
			return false
		}
		p.next()
		p.em.wrap(mark, "collate__(", &ast.Collate{At: at, Collation: p.name()})
		p.em.close(mark)
		return true
	case "overlaps":
		// It stands between rows only.
		if !p.rowSince(mark) {
			return false
		}
		p.next()
		p.em.wrap(mark, "overlaps__(", &overlaps{pos: at.Pos})
		p.em.comma()
		if !p.isOp("(") && !p.is("row") {
			p.unexpected()
		}
		right := p.em.mark()
		p.primary()
		if !p.rowSince(right) {
			p.unexpected()
		}
		p.em.close(mark)
		return true
	}
	return false
}

// overlaps is row OVERLAPS row in the side table.
type overlaps struct{ pos ast.Pos }

// rowSince says whether exactly a row constructor was written since mark.
func (p *parser) rowSince(mark int) bool {
	return p.rowMark == mark && p.rowEnd == p.em.mark() && p.rowEnd > mark
}

func (p *parser) wroteRow(mark int) { p.rowMark, p.rowEnd = mark, p.em.mark() }

// specialName names a function that the grammar itself calls.
func specialName(fn string, pos ast.Pos) ast.Name { return ast.Name{Parts: []string{fn}, Pos: pos} }

// chain lowers a AND b AND .. (or OR) as one flat node.
func (p *parser) chain(mark int, word string, prec int, node any) {
	p.em.wrap(mark, word+"__(", node)
	for p.accept(word) {
		p.em.comma()
		p.exprPrec(prec+1, false)
	}
	p.em.close(mark)
}

// binary lowers what follows an infix operator that has been read.
func (p *parser) binary(mark, prec int, at ast.At, op, schema string, b bool) {
	if t := p.tok(); !b && t.cat == reserved && !t.quoted && (t.text == "any" || t.text == "some" || t.text == "all") {
		p.quantified(mark, at, op, schema)
		return
	}
	p.em.wrap(mark, "op__(", &ast.Binary{At: at, Op: op, Schema: schema})
	p.em.comma()
	p.exprPrec(prec+1, b)
	p.em.close(mark)
	if prec == precCompare && operatorPrec(p.tok()) == precCompare {
		p.fail(p.syntaxError().WithHint("Comparisons do not chain: write a < b AND b < c, or put parentheses."))
	}
}

// quantified lowers ANY (..), SOME (..) and ALL (..).
func (p *parser) quantified(mark int, at ast.At, op, schema string) {
	q := &ast.Quantified{At: at, Op: op, Schema: schema, All: p.next().text == "all"}
	p.em.wrap(mark, "any__(", q)
	p.em.comma()
	if !p.isOp("(") {
		p.unexpected()
	}
	if p.looksLikeQuery(p.i) {
		q.Query = p.subquery()
	} else {
		p.next()
		q.Array = hole
		p.expr()
		p.expectOp(")")
	}
	p.em.close(mark)
}

func (p *parser) isTest(mark int, at ast.At, b bool) bool {
	k := 1
	not := p.peek(1).isWord("not")
	if not {
		k = 2
	}
	what := p.peek(k)
	if what.isWord("distinct") {
		p.i += k + 1
		p.expect("from")
		p.em.wrap(mark, "distinct__(", &ast.IsDistinct{At: at, Not: not})
		p.em.comma()
		p.exprPrec(precIs+1, b)
		p.em.close(mark)
		if p.is("is") || p.is("isnull") || p.is("notnull") {
			p.unexpected()
		}
		return true
	}
	if b {
		p.i += k
		p.unexpected()
	}
	test := &ast.IsTest{At: at, Not: not}
	p.i += k
	switch {
	case p.accept("null"), p.accept("true"), p.accept("false"), p.accept("unknown"), p.accept("normalized"):
		test.What = p.toks[p.i-1].text
	case p.isAny("nfc", "nfd", "nfkc", "nfkd") && p.peek(1).isWord("normalized"):
		test.What = p.next().text + " normalized"
		p.next()
	case p.isAny("nfc", "nfd", "nfkc", "nfkd"):
		p.next()
		p.unexpected()
	case p.is("document"):
		p.unsupported(at.Pos, "IS DOCUMENT", "")
	default:
		p.unexpected()
	}
	p.em.wrap(mark, "is__(", test)
	p.em.close(mark)
	return true
}

// like lowers [NOT] BETWEEN, IN, LIKE, ILIKE and SIMILAR TO.
func (p *parser) like(mark int, at ast.At) bool {
	not := p.accept("not")
	switch word := p.next().text; word {
	case "between":
		n := &ast.Between{At: at, Not: not}
		if p.accept("symmetric") {
			n.Symmetric = true
		} else {
			p.accept("asymmetric")
		}
		p.em.wrap(mark, "between__(", n)
		p.em.comma()
		p.exprPrec(precOr, true)
		p.expect("and")
		p.em.comma()
		p.exprPrec(precLike+1, false)
	case "in":
		n := &ast.In{At: at, Not: not}
		p.em.wrap(mark, "in__(", n)
		p.em.comma()
		if !p.isOp("(") {
			p.unexpected()
		}
		if p.looksLikeQuery(p.i) {
			n.Query = p.subquery()
		} else {
			p.next()
			p.exprList()
			p.expectOp(")")
		}
		p.em.close(mark)
		return true
	default:
		kind := word
		if word == "similar" {
			p.expect("to")
		} else if p.tok().cat == reserved && p.isAny("any", "some", "all") {
			op := map[string]string{"like": "~~", "ilike": "~~*"}[word]
			if not {
				op = "!" + op
			}
			p.quantified(mark, at, op, "")
			return true
		}
		n := &ast.Like{At: at, Kind: kind, Not: not}
		p.em.wrap(mark, "like__(", n)
		p.em.comma()
		p.exprPrec(precLike+1, false)
		if p.accept("escape") {
			n.Escape = hole
			p.em.comma()
			p.exprPrec(precLike+1, false)
		}
	}
	p.em.close(mark)
	if p.likeAhead() {
		p.unexpected()
	}
	return true
}

// exprList lowers a, b, .. and gives their number.
func (p *parser) exprList() int {
	n := 1
	p.expr()
	for p.acceptOp(",") {
		p.em.comma()
		p.expr()
		n++
	}
	return n
}

// subquery lowers (SELECT ..) with its parentheses.
func (p *parser) subquery() *ast.Query {
	p.enter()
	p.expectOp("(")
	p.em.put("(")
	q := p.query()
	p.em.put(")")
	p.expectOp(")")
	p.depth--
	return q
}

// looksLikeQuery says whether the parenthesis at token i holds a query rather
// than an expression or a joined table.
func (p *parser) looksLikeQuery(i int) bool {
	if i+1 >= len(p.toks) || !p.toks[i].isOp("(") {
		return false
	}
	if !p.toks[i+1].isOp("(") {
		return p.startsQuery(i + 1)
	}
	if p.queryParen == nil {
		p.queryParen = make([]uint8, len(p.toks))
	}
	if p.queryParen[i] == 0 {
		j := i + 1
		for j < len(p.toks) && p.toks[j].isOp("(") {
			j++
		}
		// From the inside out: a group is a query if the group it begins with is
		// one and what follows that continues a query or closes the group.
		is := j < len(p.toks) && p.startsQuery(j)
		for k := j - 1; k >= i; k-- {
			if is && k < j-1 {
				m := int(p.toks[k+1].match)
				is = m > 0 && m+1 < len(p.toks) && continuesQuery(&p.toks[m+1])
			}
			p.queryParen[k] = 2
			if is {
				p.queryParen[k] = 1
			}
		}
	}
	return p.queryParen[i] == 1
}

// startsQuery says whether a query begins at token i.
func (p *parser) startsQuery(i int) bool {
	t := &p.toks[i]
	if t.kind != tIdent || t.quoted {
		return false
	}
	switch t.text {
	case "select", "with", "table":
		return true
	case "values":
		return i+1 < len(p.toks) && p.toks[i+1].isOp("(")
	}
	return false
}

// continuesQuery says whether t may follow a parenthesised query inside a query.
func continuesQuery(t *token) bool {
	if t.kind != tIdent {
		return t.isOp(")")
	}
	switch t.text {
	case "union", "intersect", "except", "order", "limit", "offset", "fetch", "for", "emit":
		return !t.quoted
	}
	return false
}

// primary lowers an operand (c_expr) with its subscripts and fields.
func (p *parser) primary() {
	t := p.tok()
	at := ast.At{Pos: int(t.char)}
	switch t.kind {
	case tInt, tNumeric, tString, tBits:
		p.next()
		p.em.leaf(p.literal(t))
		return
	case tParam:
		mark := p.em.mark()
		n, err := strconv.Atoi(t.text)
		if err != nil || n < 1 || n > 65535 {
			p.fail(pgerr.New(pgerr.UndefinedParameter, "there is no parameter $%s", t.text).At(at.Pos))
		}
		p.next()
		p.em.leaf(&ast.Param{At: at, N: n})
		p.indirection(mark)
		return
	case tOp:
		if t.text == "(" {
			p.parenthesised()
			return
		}
	case tIdent:
		p.word()
		return
	}
	p.unexpected()
}

// literal gives the node of a literal's token.
func (p *parser) literal(t *token) *ast.Literal {
	kind := ast.LitString
	switch t.kind {
	case tInt:
		kind = ast.LitInt
	case tNumeric:
		kind = ast.LitNumeric
	case tBits:
		kind = ast.LitBits
		if e := p.bitDigits(t); e != nil {
			p.failLate(e)
		}
	}
	return &ast.Literal{At: ast.At{Pos: int(t.char)}, Kind: kind, Text: t.text}
}

// parenthesised lowers (x), (a, b), (SELECT ..) and what follows them.
func (p *parser) parenthesised() {
	mark := p.em.mark()
	at := ast.At{Pos: p.pos()}
	if p.looksLikeQuery(p.i) {
		m := p.em.open("query__(", &ast.ScalarQuery{At: at})
		p.em.comma()
		p.subquery()
		p.em.close(m)
		p.indirection(mark)
		return
	}
	p.next()
	p.expr()
	if p.isOp(",") {
		p.em.wrap(mark, "row__(", &ast.RowExpr{At: at})
		for p.acceptOp(",") {
			p.em.comma()
			p.expr()
		}
		p.em.close(mark)
		p.expectOp(")")
		p.wroteRow(mark)
		if p.isOp(".") || p.isOp("[") {
			p.unexpected()
		}
		return
	}
	p.expectOp(")")
	p.indirection(mark)
}

// indirection lowers [i], [lo:hi], .field and .* after the operand written since mark.
func (p *parser) indirection(mark int) {
	chained := false
	for {
		at := ast.At{Pos: p.pos()}
		switch {
		case p.isOp("."):
			p.next()
			f := &ast.Field{At: at}
			if p.acceptOp("*") {
				f.Name = "*"
			} else {
				f.Name = p.label()
			}
			p.em.wrap(mark, "field__(", f)
			p.em.close(mark)
			chained = false
		case p.isOp("["):
			p.next()
			s := &ast.Subscript{At: at, Chained: chained}
			chained = true
			p.em.wrap(mark, "subscript__(", s)
			if !p.isOp(":") {
				s.Lo = hole
				p.em.comma()
				p.expr()
			}
			if p.acceptOp(":") {
				s.Slice = true
				if !p.isOp("]") {
					s.Hi = hole
					p.em.comma()
					p.expr()
				}
			}
			p.expectOp("]")
			p.em.close(mark)
		default:
			return
		}
	}
}
