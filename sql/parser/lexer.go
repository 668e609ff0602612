package parser

import (
	"strings"
	"unicode/utf8"

	"streamsql/internal/pgerr"
)

// tokenKind says what a token is.
type tokenKind uint8

const (
	tEOF tokenKind = iota
	tIdent
	tParam   // text holds the digits
	tInt     // decimal digits
	tNumeric // a number with a point or an exponent, or too large for int8
	tString  // text is decoded
	tBits    // text holds binary digits
	tOp      // an operator or a punctuation mark
	tError   // lexing stopped here: parser.lexErr says why
)

// maxIdentifier is NAMEDATALEN-1: longer identifiers are cut, in bytes.
const maxIdentifier = 63

// token is one lexeme. Positions are kept in bytes to cut texts and in
// characters for errors, because clients count characters.
type token struct {
	text      string // folded or decoded
	pos, end  int32  // byte offsets
	char      int32  // 1-based character position
	match     int32  // of ( and [: index of the closing token, of others 0
	kind      tokenKind
	cat       category
	bareLabel bool
	quoted    bool
	userOp    bool // a tOp of PostgreSQL's class Op: no keyword-like operator and no punctuation
}

// lexer cuts a text into tokens by the rules of PostgreSQL's scan.l with
// standard_conforming_strings on.
type lexer struct {
	src  string
	pos  int
	toks []token
	// char is the number of characters before charPos.
	char, charPos int
	open          []int32
	// runEnd is where the run of operator characters ends that was read last, runLast its last character that is no
	// sign; runKeeps says that signs at its end belong to the operator.
	runEnd, runLast int
	runKeeps        bool
	err             *pgerr.Error
}

// lex cuts src into tokens. A lexical error ends the list with tError, so that
// a syntax error before it is still the one that is reported, as in PostgreSQL.
func lex(src string) ([]token, *pgerr.Error) {
	l := &lexer{src: src, toks: make([]token, 0, len(src)/4+8)}
	for l.next() {
	}
	return l.toks, l.err
}

func (l *lexer) charAt(pos int) int32 {
	if pos > l.charPos {
		l.char += utf8.RuneCountInString(l.src[l.charPos:pos])
		l.charPos = pos
	}
	return int32(l.char) + 1
}

func (l *lexer) add(kind tokenKind, start int, text string) *token {
	l.toks = append(l.toks, token{kind: kind, text: text, pos: int32(start), end: int32(l.pos), char: l.charAt(start)})
	return &l.toks[len(l.toks)-1]
}

func (l *lexer) fail(start int, e *pgerr.Error) bool {
	l.err = e.At(int(l.charAt(start)))
	l.add(tError, start, "")
	return false
}

func (l *lexer) failNear(start int, msg string, end int) bool {
	return l.fail(start, pgerr.New(pgerr.SyntaxError, "%s at or near \"%s\"", msg, l.src[start:end]))
}

func isSpace(c byte) bool {
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v'
}
func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isIdentStart(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= 0x80
}
func isIdentCont(c byte) bool { return isIdentStart(c) || isDigit(c) || c == '$' }
func isOpChar(c byte) bool    { return strings.IndexByte("~!@#^&|`?+-*/%<>=", c) >= 0 }

func (l *lexer) at(i int) byte {
	if i < len(l.src) {
		return l.src[i]
	}
	return 0
}

// skipSpace passes blanks and comments; it gives false after an unterminated comment.
func (l *lexer) skipSpace() bool {
	for l.pos < len(l.src) {
		c := l.src[l.pos]
		switch {
		case isSpace(c):
			l.pos++
		case c == '-' && l.at(l.pos+1) == '-':
			l.pos = lineEnd(l.src, l.pos)
		case c == '/' && l.at(l.pos+1) == '*':
			end := commentEnd(l.src, l.pos)
			if end < 0 {
				return l.failNear(l.pos, "unterminated /* comment", len(l.src))
			}
			l.pos = end
		default:
			return true
		}
	}
	return true
}

// lineEnd gives the offset of the newline that ends the line of pos.
func lineEnd(s string, pos int) int {
	if i := strings.IndexAny(s[pos:], "\r\n"); i >= 0 {
		return pos + i
	}
	return len(s)
}

// commentEnd gives the offset after the comment that starts at pos, -1 if it has no end. Comments nest.
func commentEnd(s string, pos int) int {
	depth := 0
	for i := pos; i+1 < len(s); i++ {
		switch {
		case s[i] == '/' && s[i+1] == '*':
			depth++
			i++
		case s[i] == '*' && s[i+1] == '/':
			depth--
			i++
			if depth == 0 {
				return i + 1
			}
		}
	}
	return -1
}

// next adds one token; it gives false at the end.
func (l *lexer) next() bool {
	if !l.skipSpace() {
		return false
	}
	if l.pos >= len(l.src) {
		l.add(tEOF, l.pos, "")
		return false
	}
	start, c := l.pos, l.src[l.pos]
	switch {
	case c == '\'':
		return l.str(start, false)
	case c == '"':
		return l.quotedIdent(start, false)
	case isIdentStart(c):
		if n := l.at(start + 1); n == '\'' {
			switch c {
			case 'e', 'E':
				l.pos++
				return l.str(start, true)
			case 'b', 'B', 'x', 'X':
				l.pos++
				return l.bits(start)
			case 'n', 'N':
				// N'..' is a literal of type nchar.
				l.pos++
				l.add(tIdent, start, "nchar").cat = colName
				return l.str(l.pos, false)
			}
		} else if (c == 'u' || c == 'U') && n == '&' {
			switch l.at(start + 2) {
			case '\'':
				l.pos += 2
				return l.unicodeString(start)
			case '"':
				l.pos += 2
				return l.quotedIdent(start, true)
			}
		}
		l.ident(start)
		return true
	case isDigit(c) || c == '.' && isDigit(l.at(start+1)):
		return l.number(start)
	case c == '$':
		return l.dollar(start)
	case strings.IndexByte(",()[];", c) >= 0:
		l.pos++
		l.punct(c, l.add(tOp, start, l.src[start:l.pos]))
		return true
	case c == ':':
		l.pos++
		if n := l.at(l.pos); n == ':' || n == '=' {
			l.pos++
		}
		l.add(tOp, start, l.src[start:l.pos])
		return true
	case c == '.':
		l.pos++
		if l.at(l.pos) == '.' {
			l.pos++
		}
		l.add(tOp, start, l.src[start:l.pos])
		return true
	case isOpChar(c):
		return l.operator(start)
	}
	_, n := utf8.DecodeRuneInString(l.src[start:])
	l.pos += n
	return l.failNear(start, "syntax error", l.pos)
}

// punct pairs parentheses and brackets; the dialect stage looks ahead over whole groups.
func (l *lexer) punct(c byte, _ *token) {
	i := int32(len(l.toks) - 1)
	switch c {
	case '(', '[':
		l.open = append(l.open, i)
	case ')', ']':
		if n := len(l.open); n > 0 {
			l.toks[l.open[n-1]].match = i
			l.open = l.open[:n-1]
		}
	case ';':
		l.open = l.open[:0]
	}
}

// operator reads the longest run of operator characters that is no comment and
// drops trailing signs unless the operator has a character that SQL's own lack.
func (l *lexer) operator(start int) bool {
	if start >= l.runEnd {
		// The run is remembered: +-+-+- is many operators in one run.
		end := start
		l.runKeeps, l.runLast = false, start
		for end < len(l.src) && isOpChar(l.src[end]) {
			c, n := l.src[end], l.at(end+1)
			if c == '-' && n == '-' || c == '/' && n == '*' {
				break
			}
			if c != '+' && c != '-' {
				l.runLast = end
				l.runKeeps = l.runKeeps || strings.IndexByte("~!@#^&|`?%", c) >= 0
			}
			end++
		}
		l.runEnd = end
	}
	end := l.runEnd
	if !l.runKeeps {
		end = max(start, l.runLast) + 1
	}
	op := l.src[start:end]
	l.pos = end
	switch op {
	case "+", "-", "*", "/", "%", "^", "<", ">", "=", "<=", ">=", "<>", "=>":
		l.add(tOp, start, op)
	case "!=":
		l.add(tOp, start, "<>")
	default:
		if len(op) > maxIdentifier {
			return l.fail(start, pgerr.New(pgerr.SyntaxError, "operator too long"))
		}
		l.add(tOp, start, op).userOp = true
	}
	return true
}

func (l *lexer) ident(start int) {
	i := start + 1
	upper := l.src[start] >= 'A' && l.src[start] <= 'Z'
	for i < len(l.src) && isIdentCont(l.src[i]) {
		upper = upper || l.src[i] >= 'A' && l.src[i] <= 'Z'
		i++
	}
	l.pos = i
	text := l.src[start:i]
	if upper {
		text = foldASCII(text)
	}
	t := l.add(tIdent, start, text)
	if k, ok := keywords[text]; ok {
		t.cat, t.bareLabel = k.cat, k.bareLabel
		return
	}
	t.text, t.bareLabel = truncateIdent(text), true
}

// foldASCII lowers the ASCII letters only, as PostgreSQL does for UTF-8.
func foldASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 32
		}
	}
	return string(b)
}

// truncateIdent cuts s to 63 bytes at a character's border.
func truncateIdent(s string) string {
	if len(s) <= maxIdentifier {
		return s
	}
	n := maxIdentifier
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// quotedIdent reads "..", which begins at l.pos; start is where its token begins (U& is before it).
func (l *lexer) quotedIdent(start int, unicode bool) bool {
	i := l.pos + 1
	var b strings.Builder
	for {
		j := strings.IndexByte(l.src[i:], '"')
		if j < 0 {
			return l.failNear(start, "unterminated quoted identifier", len(l.src))
		}
		b.WriteString(l.src[i : i+j])
		i += j + 1
		if l.at(i) != '"' {
			break
		}
		b.WriteByte('"')
		i++
	}
	l.pos = i
	text := b.String()
	if text == "" {
		return l.failNear(start, "zero-length delimited identifier", l.pos)
	}
	if unicode {
		var ok bool
		if text, ok = l.uescape(start, text, 3); !ok {
			return false
		}
	}
	t := l.add(tIdent, start, truncateIdent(text))
	t.quoted, t.bareLabel = true, true
	return true
}

// dollar reads $1 or a dollar-quoted string.
func (l *lexer) dollar(start int) bool {
	i := start + 1
	if isDigit(l.at(i)) {
		for isDigit(l.at(i)) {
			i++
		}
		if isIdentStart(l.at(i)) {
			for i < len(l.src) && isIdentCont(l.src[i]) {
				i++
			}
			return l.failNear(start, "trailing junk after parameter", i)
		}
		l.pos = i
		l.add(tParam, start, l.src[start+1:i])
		return true
	}
	if tag, ok := dollarTag(l.src, start); ok {
		body := start + len(tag)
		j := strings.Index(l.src[body:], tag)
		if j < 0 {
			return l.failNear(start, "unterminated dollar-quoted string", len(l.src))
		}
		l.pos = body + j + len(tag)
		l.add(tString, start, l.src[body:body+j])
		return true
	}
	return l.failNear(start, "syntax error", start+1)
}

// dollarTag gives the $tag$ at pos.
func dollarTag(s string, pos int) (string, bool) {
	i := pos + 1
	if i < len(s) && isIdentStart(s[i]) {
		for i < len(s) && (isIdentStart(s[i]) || isDigit(s[i])) {
			i++
		}
	}
	if i < len(s) && s[i] == '$' {
		return s[pos : i+1], true
	}
	return "", false
}

func (l *lexer) number(start int) bool {
	i, kind := start, tInt
	for isDigit(l.at(i)) {
		i++
	}
	// 1..10 is an integer, a range and an integer.
	if l.at(i) == '.' && (l.at(i+1) != '.' || i == start) {
		kind = tNumeric
		i++
		for isDigit(l.at(i)) {
			i++
		}
	}
	if c := l.at(i); c == 'e' || c == 'E' {
		j := i + 1
		if s := l.at(j); s == '+' || s == '-' {
			j++
		}
		if isDigit(l.at(j)) {
			kind = tNumeric
			for i = j; isDigit(l.at(i)); {
				i++
			}
		} else if j > i+1 {
			return l.failNear(start, "trailing junk after numeric literal", j)
		}
	}
	if isIdentStart(l.at(i)) {
		for i < len(l.src) && isIdentCont(l.src[i]) {
			i++
		}
		return l.failNear(start, "trailing junk after numeric literal", i)
	}
	l.pos = i
	text := l.src[start:i]
	if kind == tInt && !fitsInt8(text) {
		kind = tNumeric
	}
	l.add(kind, start, text)
	return true
}

func fitsInt8(digits string) bool {
	if len(digits) < 19 {
		return true
	}
	digits = strings.TrimLeft(digits, "0")
	return len(digits) < 19 || len(digits) == 19 && digits <= "9223372036854775807"
}
