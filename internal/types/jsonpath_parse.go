package types

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"streamsql/internal/pgerr"
)

// CheckPathRegex refuses a pattern that like_regex cannot take. The package of functions, which knows regular
// expressions, sets it.
var CheckPathRegex = func(pattern, flags string) error { return nil }

type pathTokenKind byte

const (
	pathEnd pathTokenKind = iota
	pathPunct
	pathWord // an unquoted name or a keyword
	pathStr
	pathVar
	pathInt
	pathNum
)

type pathToken struct {
	kind pathTokenKind
	text string // decoded
	raw  string
}

type pathParser struct {
	src string
	i   int
	tok pathToken
	// filters and subscripts count what surrounds the place: @ and last are allowed inside only.
	filters, subscripts int
	depth               int
}

// pathFailure carries an error out of the recursion.
type pathFailure struct{ err error }

func (p *pathParser) fail(err error) { panic(pathFailure{err}) }

func (p *pathParser) syntax(message string) {
	if p.tok.kind == pathEnd && p.i >= len(p.src) {
		p.fail(pgerr.New(pgerr.SyntaxError, "%s at end of jsonpath input", message))
	}
	p.fail(pgerr.New(pgerr.SyntaxError, "%s at or near \"%s\" of jsonpath input", message, p.tok.raw))
}

// ParseJSONPath reads a jsonpath.
func ParseJSONPath(s string) (path *JSONPath, err error) {
	defer func() {
		switch f := recover().(type) {
		case nil:
		case pathFailure:
			path, err = nil, f.err
		default:
			panic(f)
		}
	}()
	p := &pathParser{src: s}
	p.next()
	if p.tok.kind == pathEnd {
		return nil, pgerr.New(pgerr.InvalidTextRepresentation, "invalid input syntax for type jsonpath: \"%s\"", s)
	}
	path = &JSONPath{}
	if p.isWord("strict") {
		path.Strict = true
		p.next()
	} else if p.isWord("lax") {
		p.next()
	}
	path.Root, _ = p.or()
	if p.tok.kind != pathEnd {
		p.syntax("syntax error")
	}
	return path, nil
}

func pathOther(c byte) bool {
	return c >= 0x80 || strings.IndexByte("?%$.[]{}()|&!=<>@#,*:-+/\\\" \t\n\r\f", c) < 0
}

// next reads a token.
func (p *pathParser) next() {
	for p.i < len(p.src) {
		switch c := p.src[p.i]; {
		case strings.IndexByte(" \t\n\r\f", c) >= 0:
			p.i++
		case strings.HasPrefix(p.src[p.i:], "/*"):
			end := strings.Index(p.src[p.i+2:], "*/")
			if end < 0 {
				p.i, p.tok = len(p.src), pathToken{}
				p.syntax("unexpected end of comment")
			}
			p.i += end + 4
		default:
			p.token(c)
			return
		}
	}
	p.tok = pathToken{}
}

func (p *pathParser) token(c byte) {
	at := p.i
	set := func(k pathTokenKind, text string) { p.tok = pathToken{k, text, p.src[at:p.i]} }
	rest := p.src[at:]
	switch {
	case c == '"':
		p.i++
		text := p.chars(true)
		set(pathStr, text)
	case c == '$' && len(rest) > 1 && (rest[1] == '"' || rest[1] == '\\' || pathOther(rest[1])):
		p.i++
		if rest[1] == '"' {
			p.i++
		}
		text := p.chars(rest[1] == '"')
		set(pathVar, text)
	case isDigit(c) || c == '.' && len(rest) > 1 && isDigit(rest[1]):
		p.number()
	case c == '\\' || pathOther(c):
		text := p.chars(false)
		set(pathWord, text)
	default:
		n := 1
		if len(rest) > 1 {
			switch rest[:2] {
			case "&&", "||", "**", "<=", "==", "<>", "!=", ">=":
				n = 2
			}
		}
		p.i += n
		set(pathPunct, rest[:n])
	}
}

// number reads a numeric literal by the rules of ECMAScript.
func (p *pathParser) number() {
	at := p.i
	digits := func() (n int) {
		for ; p.i < len(p.src) && isDigit(p.src[p.i]); p.i++ {
			n++
		}
		return n
	}
	kind := pathInt
	if p.src[p.i] == '0' {
		p.i++
	} else {
		digits()
	}
	if p.i < len(p.src) && p.src[p.i] == '.' {
		kind = pathNum
		p.i++
		digits()
	}
	if p.i < len(p.src) && p.src[p.i]|0x20 == 'e' {
		mark := p.i
		p.i++
		if p.i < len(p.src) && (p.src[p.i] == '+' || p.src[p.i] == '-') {
			p.i++
		}
		if kind = pathNum; digits() == 0 {
			p.i = mark
		}
	}
	p.tok = pathToken{kind, p.src[at:p.i], p.src[at:p.i]}
	if p.i < len(p.src) && pathOther(p.src[p.i]) {
		_, n := utf8.DecodeRuneInString(p.src[p.i:])
		p.i += n
		p.tok.raw = p.src[at:p.i]
		p.syntax("trailing junk after numeric literal")
	}
}

// chars reads the characters of a string or a name, escapes decoded.
func (p *pathParser) chars(quoted bool) string {
	var b []byte
	at := p.i
	for p.i < len(p.src) {
		c := p.src[p.i]
		switch {
		case quoted && c == '"':
			p.i++
			return string(b)
		case c == '\\':
			b = p.escape(b)
			continue
		case !quoted && strings.HasPrefix(p.src[p.i:], "/*"), !quoted && !pathOther(c):
			return string(b)
		}
		b = append(b, c)
		p.i++
	}
	if quoted {
		p.tok = pathToken{raw: p.src[at:]}
		p.i = len(p.src)
		p.syntax("unexpected end of quoted string")
	}
	return string(b)
}

func (p *pathParser) escape(b []byte) []byte {
	at := p.i
	bad := func(message string) {
		p.tok = pathToken{kind: pathPunct, raw: p.src[at:min(p.i, len(p.src))]}
		p.syntax(message)
	}
	if p.i+1 >= len(p.src) {
		p.i, p.tok = len(p.src), pathToken{}
		p.syntax("unexpected end after backslash")
	}
	c := p.src[p.i+1]
	p.i += 2
	switch c {
	case 'b':
		return append(b, '\b')
	case 'f':
		return append(b, '\f')
	case 'n':
		return append(b, '\n')
	case 'r':
		return append(b, '\r')
	case 't':
		return append(b, '\t')
	case 'v':
		return append(b, '\v')
	case 'x':
		r, ok := p.hex(2)
		if !ok {
			bad("invalid hexadecimal character sequence")
		}
		return p.rune(b, r)
	case 'u':
		r, ok := p.unicode()
		if !ok {
			bad("invalid Unicode escape sequence")
		}
		if utf16.IsSurrogate(r) {
			return p.surrogates(b, r)
		}
		return p.rune(b, r)
	}
	p.i--
	_, n := utf8.DecodeRuneInString(p.src[p.i:])
	p.i += n
	return append(b, p.src[p.i-n:p.i]...)
}

func (p *pathParser) rune(b []byte, r rune) []byte {
	if r == 0 {
		p.fail(pgerr.New(pgerr.UntranslatableCharacter, "unsupported Unicode escape sequence").
			WithDetail("\\u0000 cannot be converted to text."))
	}
	if r > utf8.MaxRune {
		p.fail(pgerr.New(pgerr.SyntaxError, "invalid Unicode escape sequence"))
	}
	return utf8.AppendRune(b, r)
}

// surrogates reads the second half of a pair whose first is hi.
func (p *pathParser) surrogates(b []byte, hi rune) []byte {
	wrong := func(detail string) {
		p.fail(pgerr.New(pgerr.InvalidTextRepresentation, "invalid input syntax for type jsonpath").WithDetail("%s", detail))
	}
	const lonely = "Unicode low surrogate must follow a high surrogate."
	if hi >= 0xdc00 || !strings.HasPrefix(p.src[p.i:], `\u`) {
		wrong(lonely)
	}
	p.i += 2
	lo, ok := p.unicode()
	if ok && lo >= 0xd800 && lo < 0xdc00 {
		wrong("Unicode high surrogate must not follow a high surrogate.")
	}
	r := utf16.DecodeRune(hi, lo)
	if !ok || r == utf8.RuneError {
		wrong(lonely)
	}
	return p.rune(b, r)
}

// unicode reads what follows \u: four digits, or up to six in braces.
func (p *pathParser) unicode() (rune, bool) {
	if p.i < len(p.src) && p.src[p.i] == '{' {
		end := strings.IndexByte(p.src[p.i:], '}')
		if end < 2 || end > 7 {
			return 0, false
		}
		r, err := strconv.ParseUint(p.src[p.i+1:p.i+end], 16, 32)
		p.i += end + 1
		return rune(r), err == nil
	}
	return p.hex(4)
}

func (p *pathParser) hex(n int) (rune, bool) {
	if p.i+n > len(p.src) {
		return 0, false
	}
	r, err := strconv.ParseUint(p.src[p.i:p.i+n], 16, 32)
	p.i += n
	return rune(r), err == nil
}

func (p *pathParser) is(punct string) bool { return p.tok.kind == pathPunct && p.tok.text == punct }

// isWord compares with a keyword; null, true and false are lower case only.
func (p *pathParser) isWord(w string) bool {
	if p.tok.kind != pathWord {
		return false
	}
	return p.tok.text == w || strings.EqualFold(p.tok.text, w) && w != "null" && w != "true" && w != "false"
}

func (p *pathParser) expect(punct string) {
	if !p.is(punct) {
		p.syntax("syntax error")
	}
	p.next()
}

func (p *pathParser) expectWord(w string) {
	if !p.isWord(w) {
		p.syntax("syntax error")
	}
	p.next()
}

// predicate is or() where only a predicate will do.
func (p *pathParser) predicate() *JSONPathItem {
	x, pred := p.or()
	if !pred {
		p.syntax("syntax error")
	}
	return x
}

// The methods from or() down to primary() read what binds ever tighter. pred says that it was a predicate.

func (p *pathParser) or() (*JSONPathItem, bool) {
	if p.depth++; p.depth > 2000 {
		p.fail(pgerr.New(pgerr.StatementTooComplex, "stack depth limit exceeded"))
	}
	defer func() { p.depth-- }()
	return p.logical(PathOr, "||", func() (*JSONPathItem, bool) { return p.logical(PathAnd, "&&", p.comparison) })
}

func (p *pathParser) logical(op JSONPathOp, symbol string, part func() (*JSONPathItem, bool)) (*JSONPathItem, bool) {
	x, pred := part()
	for p.is(symbol) {
		if !pred {
			p.syntax("syntax error")
		}
		p.next()
		y, right := part()
		if !right {
			p.syntax("syntax error")
		}
		x = &JSONPathItem{Op: op, Left: x, Right: y}
	}
	return x, pred
}

func (p *pathParser) comparison() (*JSONPathItem, bool) {
	if p.is("!") {
		p.next()
		if p.isWord("exists") {
			x, _ := p.primary()
			return &JSONPathItem{Op: PathNot, Left: x}, true
		}
		p.expect("(")
		x := p.predicate()
		p.expect(")")
		return &JSONPathItem{Op: PathNot, Left: x}, true
	}
	x, pred := p.additive()
	if pred {
		return x, true
	}
	var op JSONPathOp
	switch {
	case p.is("=="):
		op = PathEqual
	case p.is("!="), p.is("<>"):
		op = PathNotEqual
	case p.is("<"):
		op = PathLess
	case p.is(">"):
		op = PathGreater
	case p.is("<="):
		op = PathLessOrEqual
	case p.is(">="):
		op = PathGreaterOrEqual
	case p.isWord("starts"):
		p.next()
		p.expectWord("with")
		y := &JSONPathItem{Op: PathString, Str: p.tok.text}
		switch p.tok.kind {
		case pathVar:
			y.Op = PathVariable
		case pathStr:
		default:
			p.syntax("syntax error")
		}
		p.next()
		return &JSONPathItem{Op: PathStartsWith, Left: x, Right: y}, true
	case p.isWord("like_regex"):
		return p.likeRegex(x), true
	default:
		return x, false
	}
	p.next()
	y, right := p.additive()
	if right {
		p.syntax("syntax error")
	}
	return &JSONPathItem{Op: op, Left: x, Right: y}, true
}

func (p *pathParser) likeRegex(x *JSONPathItem) *JSONPathItem {
	p.next()
	if p.tok.kind != pathStr {
		p.syntax("syntax error")
	}
	v := &JSONPathItem{Op: PathLikeRegex, Left: x, Str: p.tok.text}
	p.next()
	given := ""
	if p.isWord("flag") {
		p.next()
		if p.tok.kind != pathStr {
			p.syntax("syntax error")
		}
		given = p.tok.text
		p.next()
	}
	for i, c := range given {
		if !strings.ContainsRune("ismxq", c) {
			_, n := utf8.DecodeRuneInString(given[i:])
			p.fail(pgerr.New(pgerr.SyntaxError, "invalid input syntax for type %s", "jsonpath").
				WithDetail("Unrecognized flag character \"%s\" in LIKE_REGEX predicate.", given[i:i+n]))
		}
	}
	for _, c := range "ismxq" {
		if strings.ContainsRune(given, c) {
			v.Flags += string(c)
		}
	}
	if strings.ContainsRune(v.Flags, 'x') && !strings.ContainsRune(v.Flags, 'q') {
		p.fail(pgerr.New(pgerr.FeatureNotSupported, "XQuery \"x\" flag (expanded regular expressions) is not implemented"))
	}
	if err := CheckPathRegex(v.Str, v.Flags); err != nil {
		p.fail(err)
	}
	return v
}

func (p *pathParser) additive() (*JSONPathItem, bool) {
	return p.arithmetic(map[string]JSONPathOp{"+": PathAdd, "-": PathSub}, func() (*JSONPathItem, bool) {
		return p.arithmetic(map[string]JSONPathOp{"*": PathMul, "/": PathDiv, "%": PathMod}, p.unary)
	})
}

func (p *pathParser) arithmetic(ops map[string]JSONPathOp, part func() (*JSONPathItem, bool)) (*JSONPathItem, bool) {
	x, pred := part()
	for p.tok.kind == pathPunct {
		op, ok := ops[p.tok.text]
		if !ok {
			break
		}
		if pred {
			p.syntax("syntax error")
		}
		p.next()
		y, right := part()
		if right {
			p.syntax("syntax error")
		}
		x = &JSONPathItem{Op: op, Left: x, Right: y}
	}
	return x, pred
}

func (p *pathParser) unary() (*JSONPathItem, bool) {
	op := PathPlus
	switch {
	case p.is("-"):
		op = PathMinus
	case !p.is("+"):
		return p.primary()
	}
	if p.depth++; p.depth > 2000 {
		p.fail(pgerr.New(pgerr.StatementTooComplex, "stack depth limit exceeded"))
	}
	defer func() { p.depth-- }()
	p.next()
	x, pred := p.unary()
	if pred {
		p.syntax("syntax error")
	}
	if x.Op == PathNumeric && x.Next == nil {
		if op == PathMinus {
			x.Num = x.Num.Neg()
		}
		return x, false
	}
	return &JSONPathItem{Op: op, Left: x}, false
}

// primary reads a literal, $, @, last, a name or something in parentheses, with the accessors that follow.
func (p *pathParser) primary() (x *JSONPathItem, pred bool) {
	switch {
	case p.isWord("exists"):
		p.next()
		p.expect("(")
		e, isPred := p.or()
		if isPred {
			p.syntax("syntax error")
		}
		p.expect(")")
		return &JSONPathItem{Op: PathExists, Left: e}, true
	case p.is("("):
		p.next()
		x, pred = p.or()
		p.expect(")")
		if pred && p.isWord("is") {
			p.next()
			p.expectWord("unknown")
			return &JSONPathItem{Op: PathIsUnknown, Left: x}, true
		}
		if next := p.accessors(); next != nil {
			last := x
			for last.Next != nil {
				last = last.Next
			}
			last.Next, pred = next, false
		}
		return x, pred
	case p.tok.kind == pathStr:
		x = &JSONPathItem{Op: PathString, Str: p.tok.text}
	case p.tok.kind == pathVar:
		x = &JSONPathItem{Op: PathVariable, Str: p.tok.text}
	case p.tok.kind == pathInt || p.tok.kind == pathNum:
		n, err := ParseNumeric(p.tok.text)
		if err != nil {
			p.fail(err)
		}
		x = &JSONPathItem{Op: PathNumeric, Num: n}
	case p.isWord("null"):
		x = &JSONPathItem{Op: PathNull}
	case p.isWord("true"), p.isWord("false"):
		x = &JSONPathItem{Op: PathBool, Bool: p.tok.text == "true"}
	case p.is("$"):
		x = &JSONPathItem{Op: PathRoot}
	case p.is("@"):
		if p.filters == 0 {
			p.fail(pgerr.New(pgerr.SyntaxError, "@ is not allowed in root expressions"))
		}
		x = &JSONPathItem{Op: PathCurrent}
	case p.isWord("last"):
		if p.subscripts == 0 {
			p.fail(pgerr.New(pgerr.SyntaxError, "LAST is allowed only in array subscripts"))
		}
		x = &JSONPathItem{Op: PathLast}
	default:
		p.syntax("syntax error")
	}
	p.next()
	x.Next = p.accessors()
	return x, false
}

func (p *pathParser) accessors() (first *JSONPathItem) {
	link := &first
	for {
		var x *JSONPathItem
		switch {
		case p.is("."):
			p.next()
			x = p.member()
		case p.is("["):
			x = p.subscript()
		case p.is("?"):
			p.next()
			p.expect("(")
			p.filters++
			x = &JSONPathItem{Op: PathFilter, Left: p.predicate()}
			p.filters--
			p.expect(")")
		default:
			return first
		}
		*link = x
		link = &x.Next
	}
}

// member reads what follows a dot: a key, *, ** or a method.
func (p *pathParser) member() *JSONPathItem {
	switch {
	case p.is("*"):
		p.next()
		return &JSONPathItem{Op: PathAnyKey}
	case p.is("**"):
		p.next()
		x := &JSONPathItem{Op: PathAny, Last: PathDeepest}
		if p.is("{") {
			p.next()
			x.First = p.level()
			x.Last = x.First
			if p.isWord("to") {
				p.next()
				x.Last = p.level()
			}
			p.expect("}")
		}
		return x
	case p.tok.kind == pathStr:
		x := &JSONPathItem{Op: PathKey, Str: p.tok.text}
		p.next()
		return x
	case p.tok.kind != pathWord:
		p.syntax("syntax error")
	}
	x := &JSONPathItem{Op: PathKey, Str: p.tok.text}
	p.next()
	if !p.is("(") {
		return x
	}
	switch name := strings.ToLower(x.Str); name {
	case "type", "size", "abs", "floor", "ceiling", "double", "keyvalue":
		p.next()
		x.Op, x.Str = PathMethod, name
	case "datetime":
		p.next()
		x.Op = PathDatetime
		if p.tok.kind == pathStr {
			x.Left = &JSONPathItem{Op: PathString, Str: p.tok.text}
			p.next()
		}
	default:
		p.syntax("syntax error")
	}
	p.expect(")")
	return x
}

func (p *pathParser) level() uint32 {
	if p.isWord("last") {
		p.next()
		return PathDeepest
	}
	if p.tok.kind != pathInt {
		p.syntax("syntax error")
	}
	n, err := strconv.ParseUint(p.tok.text, 10, 31)
	if err != nil {
		p.fail(pgerr.New(pgerr.NumericValueOutOfRange, "value \"%s\" is out of range for type %s", p.tok.text, "integer"))
	}
	p.next()
	return uint32(n)
}

func (p *pathParser) subscript() *JSONPathItem {
	p.next()
	if p.is("*") {
		p.next()
		p.expect("]")
		return &JSONPathItem{Op: PathAnyArray}
	}
	x := &JSONPathItem{Op: PathIndexArray}
	p.subscripts++
	part := func() *JSONPathItem {
		e, pred := p.or()
		if pred {
			p.syntax("syntax error")
		}
		return e
	}
	for {
		r := JSONPathRange{From: part()}
		if p.isWord("to") {
			p.next()
			r.To = part()
		}
		x.Subscripts = append(x.Subscripts, r)
		if !p.is(",") {
			break
		}
		p.next()
	}
	p.subscripts--
	p.expect("]")
	return x
}
