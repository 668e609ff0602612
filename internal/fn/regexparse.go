package fn

import (
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// reOp says what a node of a parsed regular expression is.
type reOp uint8

const (
	reEmpty  reOp = iota
	reSet         // one character of a set
	reCat         // subs one after the other
	reAlt         // one of subs
	reRepeat      // sub min to max times
	reGroup       // parentheses; cap is their number, 0 where they do not capture
	reBack        // a back reference to group cap
	reLook        // lookaround: behind, negate
	reAssert      // a condition on the position
)

// reAssertion is a condition on a position in the text.
type reAssertion uint8

const (
	atTextStart reAssertion = iota // \A, and ^ outside of newline-sensitive matching
	atTextEnd
	atLineStart
	atLineEnd
	atWordStart // \m
	atWordEnd   // \M
	atWordEdge  // \y
	notWordEdge // \Y
)

// unbounded is the upper bound of * and +.
const unbounded = -1

// maxRepeat is the greatest count in braces, as in PostgreSQL.
const maxRepeat = 255

// maxRegexDepth limits nested parentheses, for the recursive functions over the tree.
const maxRegexDepth = 500

// maxRegexAtoms limits the characters, sets and groups of an expression: each takes some hundred bytes before anything is computed. PostgreSQL, which
// limits what it compiles, takes about as many.
const maxRegexAtoms = 200_000

// reNode is a node of a parsed regular expression.
type reNode struct {
	op       reOp
	subs     []*reNode
	set      *charSet
	min, max int
	// prefer is the preference of the quantifier, 0 where it passes on the one of its operand: {m}.
	prefer         int
	cap            int
	behind, negate bool
	assert         reAssertion
}

// setRange is a run of characters, or a class of them.
type setRange struct {
	lo, hi rune
	class  string // the name of a class in charClasses; lo and hi do not count then
	negate bool   // what is not of the class
}

// charSet is the set of characters that one position of a regular expression takes.
type charSet struct {
	items  []setRange
	negate bool
	noLine bool // never a newline
	fold   bool
	ascii  [2]uint64
}

func (s *charSet) finish() *charSet {
	for c := range rune(utf8.RuneSelf) {
		if s.holds(c) {
			s.ascii[c>>6] |= 1 << (c & 63)
		}
	}
	return s
}

func (s *charSet) has(c rune) bool {
	if c < utf8.RuneSelf {
		return s.ascii[c>>6]>>(c&63)&1 != 0
	}
	return s.holds(c)
}

func (s *charSet) holds(c rune) bool {
	in := s.listed(c)
	if s.fold && !in {
		in = s.listed(unicode.ToLower(c)) || s.listed(unicode.ToUpper(c))
	}
	return in != s.negate && !(s.noLine && c == '\n')
}

func (s *charSet) listed(c rune) bool {
	for i := range s.items {
		it := &s.items[i]
		if it.class != "" {
			if charClasses[it.class].has(c) != it.negate {
				return true
			}
		} else if it.lo <= c && c <= it.hi {
			return true
		}
	}
	return false
}

// single gives the one character that s takes.
func (s *charSet) single() (rune, bool) {
	if len(s.items) == 1 && !s.negate && s.items[0].class == "" && s.items[0].lo == s.items[0].hi {
		return s.items[0].lo, true
	}
	return 0, false
}

// charClass is a named class: a test, and what it is between brackets in the syntax of package regexp.
type charClass struct {
	has      func(rune) bool
	inGo     string
	negateGo string // its complement, "" where there is none
}

func isWordRune(c rune) bool { return c == '_' || unicode.IsLetter(c) || unicode.IsNumber(c) }

func isSpaceRune(c rune) bool { return c == ' ' || c >= '\t' && c <= '\r' }

var charClasses = map[string]charClass{
	"alpha":  {unicode.IsLetter, `\p{L}`, `\P{L}`},
	"digit":  {func(c rune) bool { return c >= '0' && c <= '9' }, `0-9`, `\D`},
	"alnum":  {func(c rune) bool { return unicode.IsLetter(c) || unicode.IsNumber(c) }, `\p{L}\p{N}`, ``},
	"upper":  {unicode.IsUpper, `\p{Lu}`, `\P{Lu}`},
	"lower":  {unicode.IsLower, `\p{Ll}`, `\P{Ll}`},
	"space":  {isSpaceRune, `\s\x0b`, `\x00-\x08\x0e-\x1f!-\x{10ffff}`},
	"blank":  {func(c rune) bool { return c == ' ' || c == '\t' }, ` \t`, ``},
	"punct":  {func(c rune) bool { return c < utf8.RuneSelf && c > ' ' && c != 0x7f && !isAlnumByte(byte(c)) }, `[:punct:]`, ``},
	"xdigit": {func(c rune) bool { return c < utf8.RuneSelf && strings.IndexByte(hexDigits, byte(c)) >= 0 }, `0-9A-Fa-f`, ``},
	"cntrl":  {func(c rune) bool { return c < ' ' || c == 0x7f }, `[:cntrl:]`, ``},
	"print":  {func(c rune) bool { return c >= ' ' && c < 0x7f }, `[:print:]`, ``},
	"graph":  {func(c rune) bool { return c > ' ' && c < 0x7f }, `[:graph:]`, ``},
	"word":   {isWordRune, `\p{L}\p{N}_`, ``},
	"ascii":  {func(c rune) bool { return c < utf8.RuneSelf }, `\x00-\x7f`, ``},
}

const hexDigits = "0123456789abcdefABCDEF"

func isAlnumByte(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// regexParser reads an advanced regular expression.
type regexParser struct {
	src    string
	pos    int
	flags  regexFlags
	groups int
	closed []bool // by number: the group's closing parenthesis is read
	depth  int
	look   int // how many lookarounds are open
	atoms  int
}

func parseRegex(src string, flags regexFlags) (*reNode, *regexParser, error) {
	p := &regexParser{src: src, flags: flags, closed: make([]bool, 1)}
	n, err := p.alternatives(false)
	if err != nil {
		return nil, nil, err
	}
	return n, p, nil
}

// skip passes over white space and comments where they do not count.
func (p *regexParser) skip() error {
	for p.pos < len(p.src) {
		rest := p.src[p.pos:]
		switch {
		case p.flags.expanded && isSpaceRune(rune(rest[0])):
			p.pos++
		case p.flags.expanded && rest[0] == '#':
			for p.pos < len(p.src) && p.src[p.pos] != '\n' {
				p.pos++
			}
		case strings.HasPrefix(rest, "(?#"):
			if end := strings.IndexByte(rest, ')'); end >= 0 {
				p.pos += end + 1
			} else {
				p.pos = len(p.src)
			}
		default:
			return nil
		}
	}
	return nil
}

func (p *regexParser) peek() byte {
	p.skip()
	if p.pos < len(p.src) {
		return p.src[p.pos]
	}
	return 0
}

func (p *regexParser) ended() bool { p.skip(); return p.pos >= len(p.src) }

func (p *regexParser) alternatives(inner bool) (*reNode, error) {
	if p.depth++; p.depth > maxRegexDepth {
		return nil, errRegex("regular expression is too complex")
	}
	defer func() { p.depth-- }()
	var alts []*reNode
	for {
		n, err := p.branch(inner)
		if err != nil {
			return nil, err
		}
		alts = append(alts, n)
		if p.ended() || p.peek() != '|' {
			break
		}
		p.pos++
	}
	if inner && p.ended() {
		return nil, errRegex("parentheses () not balanced")
	}
	if len(alts) == 1 {
		return alts[0], nil
	}
	return &reNode{op: reAlt, subs: alts}, nil
}

func (p *regexParser) branch(inner bool) (*reNode, error) {
	var subs []*reNode
	for !p.ended() && p.peek() != '|' && !(inner && p.peek() == ')') {
		n, quantifiable, err := p.atom()
		if err != nil {
			return nil, err
		}
		if quantifiable {
			if n, err = p.quantified(n); err != nil {
				return nil, err
			}
		}
		subs = append(subs, n)
	}
	if len(subs) == 1 {
		return subs[0], nil
	}
	return &reNode{op: reCat, subs: subs}, nil
}

// The preferences of a quantifier.
const (
	preferLong  = 1
	preferShort = 2
)

// quantified reads the quantifier that may follow an atom.
func (p *regexParser) quantified(n *reNode) (*reNode, error) {
	if p.ended() {
		return n, nil
	}
	q := &reNode{op: reRepeat, subs: []*reNode{n}, prefer: preferLong}
	switch p.peek() {
	case '*':
		q.min, q.max = 0, unbounded
	case '+':
		q.min, q.max = 1, unbounded
	case '?':
		q.min, q.max = 0, 1
	case '{':
		if p.pos+1 >= len(p.src) || p.src[p.pos+1] < '0' || p.src[p.pos+1] > '9' {
			return n, nil
		}
		body, _, ok := strings.Cut(p.src[p.pos+1:], "}")
		if !ok {
			return nil, errRegex("braces {} not balanced")
		}
		lo, hi, pair := strings.Cut(body, ",")
		var okLo, okHi bool
		q.min, okLo = repeatCount(lo)
		q.max, okHi = q.min, true
		switch {
		case pair && hi == "":
			q.max = unbounded
		case pair:
			q.max, okHi = repeatCount(hi)
			okHi = okHi && q.max >= q.min
		default:
			q.prefer = 0
		}
		if !okLo || !okHi {
			return nil, errRegex("invalid repetition count(s)")
		}
		p.pos += len(body) + 1
	default:
		return n, nil
	}
	if p.pos++; p.pos < len(p.src) && p.src[p.pos] == '?' {
		p.pos++
		if q.prefer != 0 {
			q.prefer = preferShort
		}
	}
	return q, nil
}

func repeatCount(s string) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	return int(n), err == nil && n <= maxRepeat
}

// atom reads what a quantifier may follow, or a condition, which none may follow.
func (p *regexParser) atom() (n *reNode, quantifiable bool, err error) {
	condition := func(a reAssertion, width int) (*reNode, bool, error) {
		p.pos += width
		return &reNode{op: reAssert, assert: a}, false, nil
	}
	if p.atoms++; p.atoms > maxRegexAtoms {
		return nil, false, errRegex("regular expression is too complex")
	}
	rest := p.src[p.pos:]
	switch c := rest[0]; c {
	case '*', '+', '?':
		return nil, false, errRegex("quantifier operand invalid")
	case '{':
		if len(rest) > 1 && rest[1] >= '0' && rest[1] <= '9' {
			return nil, false, errRegex("quantifier operand invalid")
		}
	case ')':
		return nil, false, errRegex("parentheses () not balanced")
	case '^':
		if p.flags.multiLines {
			return condition(atLineStart, 1)
		}
		return condition(atTextStart, 1)
	case '$':
		if p.flags.multiLines {
			return condition(atLineEnd, 1)
		}
		return condition(atTextEnd, 1)
	case '.':
		p.pos++
		return p.setNode(&charSet{negate: true, noLine: !p.flags.dotNewline}), true, nil
	case '(':
		return p.group()
	case '[':
		switch {
		case strings.HasPrefix(rest, "[[:<:]]"):
			return condition(atWordStart, 7)
		case strings.HasPrefix(rest, "[[:>:]]"):
			return condition(atWordEnd, 7)
		}
		n, err = p.brackets()
		return n, true, err
	case '\\':
		if len(rest) == 1 {
			return nil, false, errRegex(`invalid escape \ sequence`)
		}
		switch e := rest[1]; e {
		case 'A':
			return condition(atTextStart, 2)
		case 'Z':
			return condition(atTextEnd, 2)
		case 'm':
			return condition(atWordStart, 2)
		case 'M':
			return condition(atWordEnd, 2)
		case 'y':
			return condition(atWordEdge, 2)
		case 'Y':
			return condition(notWordEdge, 2)
		case '1', '2', '3', '4', '5', '6', '7', '8', '9':
			// One digit is a reference; more of them only where there are that many groups, else a character by its octal code.
			w := 1
			for w < len(rest) && rest[w] >= '0' && rest[w] <= '9' {
				w++
			}
			g, err := strconv.Atoi(rest[1:w])
			if w == 2 || err == nil && g <= p.groups {
				if p.look > 0 || g >= len(p.closed) || !p.closed[g] {
					return nil, false, errRegex("invalid backreference number")
				}
				p.pos += w
				return &reNode{op: reBack, cap: g}, true, nil
			}
		}
		it, err := p.escape()
		if err != nil {
			return nil, false, err
		}
		return p.setNode(&charSet{items: []setRange{it}}), true, nil
	}
	r, w := utf8.DecodeRuneInString(rest)
	p.pos += w
	return p.setNode(&charSet{items: []setRange{{lo: r, hi: r}}}), true, nil
}

func (p *regexParser) setNode(s *charSet) *reNode {
	s.fold = p.flags.fold
	return &reNode{op: reSet, set: s.finish()}
}

func (p *regexParser) group() (*reNode, bool, error) {
	n := &reNode{op: reGroup}
	rest := p.src[p.pos:]
	width := 1
	if strings.HasPrefix(rest, "(?") {
		n.op = reLook
		switch {
		case strings.HasPrefix(rest, "(?:"):
			n.op, width = reGroup, 3
		case strings.HasPrefix(rest, "(?="):
			width = 3
		case strings.HasPrefix(rest, "(?!"):
			n.negate, width = true, 3
		case strings.HasPrefix(rest, "(?<="):
			n.behind, width = true, 4
		case strings.HasPrefix(rest, "(?<!"):
			n.behind, n.negate, width = true, true, 4
		default:
			return nil, false, errRegex("quantifier operand invalid")
		}
	} else if p.look == 0 { // lookaround captures nothing
		p.groups++
		n.cap = p.groups
		p.closed = append(p.closed, false)
	}
	p.pos += width
	if n.op == reLook {
		p.look++
	}
	sub, err := p.alternatives(true)
	if err != nil {
		return nil, false, err
	}
	if n.op == reLook {
		p.look--
	}
	p.pos++ // the closing parenthesis
	n.subs = []*reNode{sub}
	if n.cap > 0 {
		p.closed[n.cap] = true
	}
	return n, n.op == reGroup, nil
}

// escape reads an escape that stands for a character or a class of them, in and outside brackets.
func (p *regexParser) escape() (setRange, error) {
	bad := errRegex(`invalid escape \ sequence`)
	if p.pos+1 >= len(p.src) {
		return setRange{}, bad
	}
	c := p.src[p.pos+1]
	p.pos += 2
	one := func(r rune) (setRange, error) { return setRange{lo: r, hi: r}, nil }
	digits := func(base, least, most int) (setRange, error) {
		n, x := 0, uint32(0) // 32 bits, in which many digits turn over
		for p.pos+n < len(p.src) && n < most {
			d, err := strconv.ParseUint(p.src[p.pos+n:p.pos+n+1], base, 8)
			if err != nil {
				break
			}
			x = x*uint32(base) + uint32(d)
			n++
		}
		if n < least || x > math.MaxInt32-1 { // beyond Unicode it is a character that no text has
			return setRange{}, bad
		}
		p.pos += n
		return one(rune(x))
	}
	switch c {
	case 'a':
		return one('\a')
	case 'b':
		return one('\b')
	case 'B':
		return one('\\')
	case 'e':
		return one(0x1b)
	case 'f':
		return one('\f')
	case 'n':
		return one('\n')
	case 'r':
		return one('\r')
	case 't':
		return one('\t')
	case 'v':
		return one('\v')
	case 'u':
		return digits(16, 4, 4)
	case 'U':
		return digits(16, 8, 8)
	case 'x':
		return digits(16, 1, 255)
	case 'c':
		if p.pos >= len(p.src) {
			return setRange{}, bad
		}
		p.pos++
		return one(rune(p.src[p.pos-1] & 31))
	case 'd':
		return setRange{class: "digit"}, nil
	case 'D':
		return setRange{class: "digit", negate: true}, nil
	case 's':
		return setRange{class: "space"}, nil
	case 'S':
		return setRange{class: "space", negate: true}, nil
	case 'w':
		return setRange{class: "word"}, nil
	case 'W':
		return setRange{class: "word", negate: true}, nil
	case '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		p.pos--
		return digits(8, 1, 3)
	}
	if isAlnumByte(c) {
		return setRange{}, bad
	}
	p.pos--
	r, w := utf8.DecodeRuneInString(p.src[p.pos:])
	p.pos += w
	return one(r)
}

// brackets reads a bracket expression.
func (p *regexParser) brackets() (*reNode, error) {
	p.pos++
	s := &charSet{}
	if p.pos < len(p.src) && p.src[p.pos] == '^' {
		p.pos++
		s.negate, s.noLine = true, !p.flags.dotNewline
	}
	for first := true; ; first = false {
		if p.pos >= len(p.src) {
			return nil, errRegex("brackets [] not balanced")
		}
		if p.src[p.pos] == ']' && !first {
			p.pos++
			return p.setNode(s), nil
		}
		if p.src[p.pos] == '-' && !first && !strings.HasPrefix(p.src[p.pos:], "-]") {
			return nil, errRegex("invalid character range")
		}
		it, err := p.bracketItem()
		if err != nil {
			return nil, err
		}
		if p.pos+1 < len(p.src) && p.src[p.pos] == '-' && p.src[p.pos+1] != ']' {
			p.pos++
			end, err := p.bracketItem()
			if err != nil {
				return nil, err
			}
			if it.class != "" || end.class != "" || end.lo < it.lo {
				return nil, errRegex("invalid character range")
			}
			it.hi = end.lo
		}
		if p.flags.fold && (it.class == "upper" || it.class == "lower") {
			it.class = "alpha"
		}
		s.items = append(s.items, it)
	}
}

// bracketItem reads one character or class between brackets.
func (p *regexParser) bracketItem() (setRange, error) {
	rest := p.src[p.pos:]
	if len(rest) > 1 && rest[0] == '[' && strings.IndexByte(":.=", rest[1]) >= 0 {
		name, _, ok := strings.Cut(rest[2:], rest[1:2]+"]")
		if !ok {
			return setRange{}, errRegex("brackets [] not balanced")
		}
		p.pos += len(name) + 4
		if rest[1] == ':' {
			if _, ok := charClasses[name]; !ok {
				return setRange{}, errRegex("invalid character class")
			}
			return setRange{class: name}, nil
		}
		r, w := utf8.DecodeRuneInString(name)
		if name == "" || w < len(name) {
			return setRange{}, errRegex("invalid collating element")
		}
		return setRange{lo: r, hi: r}, nil
	}
	if rest[0] == '\\' {
		return p.escape()
	}
	r, w := utf8.DecodeRuneInString(rest)
	p.pos += w
	return setRange{lo: r, hi: r}, nil
}
