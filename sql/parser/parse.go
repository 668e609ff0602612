package parser

import (
	"strings"
	"unicode/utf8"

	"streamsql/internal/pgerr"
	"streamsql/sql/parser/ast"
)

// maxDepth bounds the nesting of expressions, queries and parentheses: what
// works on trees after the parser recurses as deep.
const maxDepth = 4000

// Statement is one statement of a text.
type Statement struct {
	Stmt   ast.Stmt
	Text   string // its own text, trimmed, without the semicolon
	Offset int    // 0-based character offset of Text in the whole text
}

// Parse parses the statements of sql, which semicolons separate. Positions in
// the trees and in errors are 1-based characters of the whole text. Empty
// statements are dropped. Errors are *pgerr.Error.
func Parse(sql string) (out []Statement, err error) {
	p, err := newParser(sql)
	if err != nil {
		return nil, err
	}
	defer p.recover(&err)
	for {
		for p.acceptOp(";") {
		}
		if p.tok().kind == tEOF {
			if p.late != nil {
				return nil, p.late
			}
			return out, nil
		}
		first := p.i
		s := p.topStatement()
		if t := p.tok(); t.kind != tEOF && !p.isOp(";") {
			p.fail(p.trailing())
		}
		out = append(out, Statement{Stmt: s, Text: p.text(first), Offset: int(p.toks[first].char) - 1})
	}
}

// ParseOne parses a text of exactly one statement.
func ParseOne(sql string) (ast.Stmt, error) {
	s, err := Parse(sql)
	if err != nil {
		return nil, err
	}
	switch len(s) {
	case 0:
		return nil, pgerr.New(pgerr.SyntaxError, "syntax error at end of input").At(utf8.RuneCountInString(sql) + 1)
	case 1:
		return s[0].Stmt, nil
	}
	return nil, pgerr.New(pgerr.SyntaxError, "cannot insert multiple commands into a prepared statement").At(s[1].Offset + 1)
}

// ParseQuery parses one query without a semicolon: a stored view's body.
func ParseQuery(sql string) (q *ast.Query, err error) {
	p, err := newParser(sql)
	if err != nil {
		return nil, err
	}
	defer p.recover(&err)
	q = p.rootQuery()
	p.end()
	return q, nil
}

// ParseExpr parses one scalar expression: a stored default, a watermark.
func ParseExpr(sql string) (e ast.Expr, err error) {
	p, err := newParser(sql)
	if err != nil {
		return nil, err
	}
	defer p.recover(&err)
	p.rootExpr(&e)
	p.end()
	return e, nil
}

// ParseTypeName parses a type as it stands after :: or in a column definition.
func ParseTypeName(s string) (t ast.TypeName, err error) {
	p, err := newParser(s)
	if err != nil {
		return t, err
	}
	defer p.recover(&err)
	t = p.typeName()
	p.end()
	return t, nil
}

// parser reads tokens by recursive descent. Errors are thrown as abort and caught at the exported functions.
type parser struct {
	src    string
	toks   []token
	i      int
	lexErr *pgerr.Error
	depth  int
	em     *emitter
	// after runs when the trees of a statement are complete.
	after []func()
	// queryParen remembers what looksLikeQuery found, by token: 0 unknown, 1 yes, 2 no.
	queryParen []uint8
	// rowMark and rowEnd bound the last row constructor in the skeleton.
	rowMark, rowEnd int
	// defaultOK says that DEFAULT may stand for a value.
	defaultOK bool
	// sawEmit says that the current statement has an EMIT clause, for a hint.
	sawEmit bool
	// inSink says that a WITH list after EMIT may be the one of CREATE SINK.
	inSink bool
	// shifted is a keyword that only continues the operand before it, so that PostgreSQL complains of the token after it; 0 for none.
	shifted int
	// late is the first complaint that PostgreSQL has only when the whole text has the form of statements.
	late *pgerr.Error
	// labelDepth is the depth where an operator's keyword that no operand follows is a column's label; 0 for none.
	labelDepth int
}

type abort struct{ err *pgerr.Error }

func newParser(sql string) (*parser, error) {
	if !utf8.ValidString(sql) {
		return nil, pgerr.New(pgerr.CharacterNotInRepertoire, "invalid byte sequence for encoding \"UTF8\": 0x%s", invalidBytes(sql))
	}
	if i := strings.IndexByte(sql, 0); i >= 0 {
		return nil, pgerr.New(pgerr.CharacterNotInRepertoire, "invalid byte sequence for encoding \"UTF8\": 0x00")
	}
	p := &parser{src: sql, em: &emitter{}}
	p.toks, p.lexErr = lex(sql)
	return p, nil
}

func (p *parser) recover(err *error) {
	if r := recover(); r != nil {
		a, ok := r.(abort)
		if !ok {
			panic(r)
		}
		*err = a.err
	}
}

// topStatement parses a statement and completes its trees.
func (p *parser) topStatement() ast.Stmt {
	p.sawEmit, p.inSink = false, false
	s := p.statement()
	p.complete()
	return s
}

// complete gives the statement's skeletons to the grammar and fills the trees in.
func (p *parser) complete() {
	if err := p.em.fill(); err != nil {
		p.fail(err)
	}
	for _, f := range p.after {
		f()
	}
	p.after = p.after[:0]
	p.em.reset()
}

// end completes a text that is no statement.
func (p *parser) end() {
	if p.tok().kind != tEOF {
		p.fail(p.trailing())
	}
	if p.late != nil {
		p.fail(p.late)
	}
	p.complete()
}

func (p *parser) fail(err *pgerr.Error) { panic(abort{err}) }

func (p *parser) tok() *token { return &p.toks[p.i] }

// peek gives the token n after the current one, at most the last.
func (p *parser) peek(n int) *token {
	if i := p.i + n; i < len(p.toks) {
		return &p.toks[i]
	}
	return &p.toks[len(p.toks)-1]
}

func (p *parser) next() *token {
	t := &p.toks[p.i]
	if p.i < len(p.toks)-1 {
		p.i++
	}
	return t
}

func (p *parser) pos() ast.Pos { return int(p.toks[p.i].char) }

// text gives the source from token first up to the current one, trimmed.
func (p *parser) text(first int) string {
	if p.i == first {
		return ""
	}
	return p.src[p.toks[first].pos:p.toks[p.i-1].end]
}

func (t *token) isWord(w string) bool { return t.kind == tIdent && !t.quoted && t.text == w }
func (t *token) isOp(op string) bool  { return t.kind == tOp && t.text == op }

func (p *parser) is(w string) bool   { return p.tok().isWord(w) }
func (p *parser) isOp(o string) bool { return p.tok().isOp(o) }

// isWords says whether the words follow one another from here.
func (p *parser) isWords(words ...string) bool {
	for i, w := range words {
		if !p.peek(i).isWord(w) {
			return false
		}
	}
	return true
}

func (p *parser) isAny(words ...string) bool {
	for _, w := range words {
		if p.is(w) {
			return true
		}
	}
	return false
}

func (p *parser) accept(words ...string) bool {
	if !p.isWords(words...) {
		return false
	}
	for range words {
		p.next()
	}
	return true
}

func (p *parser) acceptOp(o string) bool {
	if p.isOp(o) {
		p.next()
		return true
	}
	return false
}

func (p *parser) expect(words ...string) {
	for _, w := range words {
		if !p.accept(w) {
			p.unexpected()
		}
	}
}

func (p *parser) expectOp(o string) {
	if !p.acceptOp(o) {
		p.unexpected()
	}
}

// syntaxError is PostgreSQL's complaint about the current token.
func (p *parser) syntaxError() *pgerr.Error { return p.syntaxErrorAt(p.i) }

func (p *parser) syntaxErrorAt(i int) *pgerr.Error {
	if i > 0 && i == p.shifted {
		i++
	}
	t := &p.toks[i]
	switch t.kind {
	case tError:
		return p.lexErr
	case tEOF:
		return pgerr.New(pgerr.SyntaxError, "syntax error at end of input").At(int(t.char))
	}
	return pgerr.New(pgerr.SyntaxError, "syntax error at or near \"%s\"", p.src[t.pos:t.end]).At(int(t.char))
}

func (p *parser) unexpected() { p.fail(p.syntaxError()) }

// failLate keeps a complaint for the end of the text: a syntax error anywhere in it comes first.
func (p *parser) failLate(e *pgerr.Error) {
	if p.late == nil {
		p.late = e
	}
}

// unsupported throws 0A000 for what is understood and not there.
func (p *parser) unsupported(pos ast.Pos, what, hint string) {
	e := pgerr.New(pgerr.FeatureNotSupported, "%s is not supported", what).At(pos)
	if hint != "" {
		e.Hint = hint
	}
	p.fail(e)
}

// trailing is the error for a token after a complete statement, with the way out where it is known.
func (p *parser) trailing() *pgerr.Error {
	e := p.syntaxError()
	if p.tok().kind == tError {
		return e
	}
	switch {
	case p.i > 0 && p.toks[p.i-1].isWord("emit") && p.tok().kind == tIdent:
		return e.WithHint("EMIT takes CHANGES, ON UPDATE, ON WINDOW CLOSE, AFTER WATERMARK, AFTER DELAY, FINAL or PERIODIC.")
	case p.sawEmit && p.isAny("where", "group", "having", "order", "window", "union", "intersect", "except", "from", "join", "offset", "fetch"):
		return e.WithHint("EMIT is the last clause of a query: write it after WHERE, GROUP BY, HAVING, ORDER BY and LIMIT.")
	case p.is("emit"):
		return e.WithHint("EMIT takes CHANGES, ON UPDATE, ON WINDOW CLOSE, AFTER WATERMARK, AFTER DELAY, FINAL or PERIODIC.")
	case p.is("where") || p.is("having"):
		return e.WithHint("The clauses of a query come in the order SELECT, FROM, WHERE, GROUP BY, HAVING, WINDOW, ORDER BY, LIMIT, EMIT.")
	}
	return e
}

// enter counts nesting; leave with p.depth--.
func (p *parser) enter() {
	p.depth++
	if p.depth > maxDepth {
		p.fail(tooDeep())
	}
}

func tooDeep() *pgerr.Error {
	return pgerr.New(pgerr.StatementTooComplex, "stack depth limit exceeded").
		WithHint("The statement is nested too deeply: split it, for instance with WITH, or use IN (..) or an array instead of a chain of operators.")
}

// colID reads a name of a column, table or alias.
func (p *parser) colID() string {
	t := p.tok()
	if !t.isColID() {
		p.unexpected()
	}
	return p.next().text
}

func (t *token) isColID() bool {
	return t.kind == tIdent && (t.quoted || t.cat != typeFuncName && t.cat != reserved)
}

// isFuncName says whether t may be the name of a function or type.
func (t *token) isFuncName() bool {
	return t.kind == tIdent && (t.quoted || t.cat != colName && t.cat != reserved)
}

// label reads a name where every keyword may stand (after AS, after a dot).
func (p *parser) label() string {
	if p.tok().kind != tIdent {
		p.unexpected()
	}
	return p.next().text
}

// name reads a qualified name.
func (p *parser) name() ast.Name {
	n := ast.Name{Pos: p.pos()}
	n.Parts = append(n.Parts, p.colID())
	for p.acceptOp(".") {
		n.Parts = append(n.Parts, p.label())
	}
	if len(n.Parts) > 3 {
		p.fail(pgerr.New(pgerr.SyntaxError, "improper qualified name (too many dotted names): %s", n.String()).At(n.Pos))
	}
	return n
}

func (p *parser) names() []ast.Name {
	out := []ast.Name{p.name()}
	for p.acceptOp(",") {
		out = append(out, p.name())
	}
	return out
}

// nameList reads (a, b, ..).
func (p *parser) nameList() []string {
	p.expectOp("(")
	out := []string{p.colID()}
	for p.acceptOp(",") {
		out = append(out, p.colID())
	}
	p.expectOp(")")
	return out
}

func (p *parser) stringLit() string {
	if p.tok().kind != tString {
		p.unexpected()
	}
	return p.next().text
}

// skipParens passes a balanced group that starts here.
func (p *parser) skipParens() {
	m := p.tok().match
	if !p.isOp("(") || m == 0 {
		p.i = len(p.toks) - 1
		p.unexpected()
	}
	p.i = int(m) + 1
}

// ifExists reads IF EXISTS, ifNotExists IF NOT EXISTS.
func (p *parser) ifExists() bool    { return p.accept("if", "exists") }
func (p *parser) ifNotExists() bool { return p.accept("if", "not", "exists") }
