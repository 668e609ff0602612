package fn

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"streamsql/internal/pgerr"
)

// regex is a compiled regular expression of PostgreSQL's advanced flavour. Package regexp tells in linear time whether
// it matches; regexRun does what is not in its power: back references, lookaround, words beyond ASCII, and the bounds of
// a match where PostgreSQL's rules differ from Go's. It may be used concurrently.
type regex struct {
	re     *regexp.Regexp // nil where only regexRun can
	bounds bool           // the bounds that re finds are PostgreSQL's
	heads  bool           // it holds a condition on what stands before: re must see the text from its beginning

	lit    string // the whole expression is this text, anchored or not
	isLit  bool
	atHead bool
	global bool
	fold   bool

	root   *reNode
	groups int
	once   sync.Once
	top    *regexPart
	looks  []*lookProg
	err    error
}

func errRegex(format string, args ...any) error {
	return pgerr.New(pgerr.InvalidRegularExpression, "invalid regular expression: %s", fmt.Sprintf(format, args...))
}

// regexFlags are the options of the regexp functions.
type regexFlags struct {
	fold, expanded, quote  bool
	dotNewline, multiLines bool
	global                 bool
	flavour                rune // 'e' extended, 'b' basic, 0 advanced
}

func defaultFlags() regexFlags { return regexFlags{dotNewline: true} }

func (f *regexFlags) set(c rune) bool {
	switch c {
	case 'i':
		f.fold = true
	case 'c':
		f.fold = false
	case 'x':
		f.expanded = true
	case 't':
		f.expanded = false
	case 'q':
		f.quote = true
	case 'e', 'b':
		f.flavour, f.quote = c, false
	case 'n', 'm':
		f.dotNewline, f.multiLines = false, true
	case 's':
		f.dotNewline, f.multiLines = true, false
	case 'p':
		f.dotNewline, f.multiLines = false, false
	case 'w':
		f.dotNewline, f.multiLines = true, true
	default:
		return false
	}
	return true
}

// parseFlags reads the flags argument of a regexp function.
func parseFlags(s string) (regexFlags, error) {
	f := defaultFlags()
	for _, c := range s {
		if c == 'g' {
			f.global = true
			continue
		}
		if c == 'e' {
			c = 'b' // PostgreSQL clears what says extended
		}
		if !f.set(c) {
			return f, pgerr.New(pgerr.InvalidParameterValue, "invalid regular expression option: \"%c\"", c)
		}
	}
	return f, nil
}

// compileRegex reads an advanced regular expression.
func compileRegex(p string, f regexFlags) (*regex, error) {
	advanced := !f.quote && f.flavour == 0
	if advanced {
		if q, ok := strings.CutPrefix(p, "***="); ok {
			p, f.quote = q, true
		} else if q, ok := strings.CutPrefix(p, "***:"); ok {
			p = q
		} else if strings.HasPrefix(p, "***") {
			return nil, errRegex("invalid regexp (reg version 0.8)")
		}
	}
	// Embedded options: (?i) and its kin at the start only.
	if advanced && !f.quote && len(p) > 2 && strings.HasPrefix(p, "(?") && isAlnumByte(p[2]) && p[2] > '9' {
		opts, rest, ok := strings.Cut(p[2:], ")")
		for _, c := range opts {
			ok = ok && f.set(c)
		}
		if !ok {
			return nil, errRegex("invalid embedded option")
		}
		p = rest
	}
	if !f.quote && f.flavour != 0 {
		var err error
		if p, err = advancedRegex(p, f.flavour == 'b'); err != nil {
			return nil, err
		}
	}
	r := &regex{global: f.global, fold: f.fold}
	if f.quote {
		r.root = literalNode(p, f.fold)
	} else {
		n, parsed, err := parseRegex(p, f)
		if err != nil {
			return nil, err
		}
		r.root, r.groups = n, parsed.groups
	}
	g := goRegex{bounds: true, lone: r.groups == 0}
	g.node(r.root)
	r.heads, r.bounds = g.heads, g.bounds
	if !g.beyond {
		expr := g.out.String()
		if f.fold {
			expr = "(?i)" + expr
		}
		if re, err := regexp.Compile(expr); err == nil { // what it refuses is too large for it
			re.Longest()
			r.re = re
		}
	}
	if r.re == nil {
		if err := r.prepare(); err != nil {
			return nil, err
		}
	}
	r.lit, r.atHead, r.isLit = literalText(r.root)
	r.isLit = r.isLit && !f.fold
	return r, nil
}

// prepare makes what regexRun needs.
func (r *regex) prepare() error {
	r.once.Do(func() { r.top, r.looks, r.err = buildParts(r.root, r.groups) })
	return r.err
}

func literalNode(s string, fold bool) *reNode {
	n := &reNode{op: reCat}
	p := regexParser{flags: regexFlags{fold: fold}}
	for _, c := range s {
		n.subs = append(n.subs, p.setNode(&charSet{items: []setRange{{lo: c, hi: c}}}))
	}
	return n
}

// literalText gives the text that an expression without any choice stands for.
func literalText(n *reNode) (text string, atHead, ok bool) {
	subs := []*reNode{n}
	if n.op == reCat {
		subs = n.subs
	}
	if len(subs) > 0 && subs[0].op == reAssert && subs[0].assert == atTextStart {
		atHead, subs = true, subs[1:]
	}
	var b strings.Builder
	for _, s := range subs {
		if s.op != reSet {
			return "", false, false
		}
		c, one := s.set.single()
		if !one {
			return "", false, false
		}
		b.WriteRune(c)
	}
	return b.String(), atHead, true
}

// regexMatcher matches texts with one expression. It is not for concurrent use.
type regexMatcher struct {
	*regex
	run regexRun
	c   *Ctx // asked for the room of many matches; may be nil
}

// matcher gives a matcher that ends with an error when the statement of c (nil: of none) is cancelled.
func (r *regex) matcher(c *Ctx) *regexMatcher {
	m := &regexMatcher{regex: r, run: regexRun{re: r}, c: c}
	if c != nil {
		m.run.done = c.Done
	}
	return m
}

// match reports whether the expression matches anywhere in s.
func (m *regexMatcher) match(s []byte) (bool, error) {
	if m.isLit {
		if m.atHead {
			return len(s) >= len(m.lit) && string(s[:len(m.lit)]) == m.lit, nil
		}
		return strings.Contains(stringOf(s), m.lit), nil
	}
	if m.re != nil {
		return m.re.Match(s), nil
	}
	m.run.begin(stringOf(s))
	return m.run.find(0) != nil, m.run.err
}

// find gives the bounds of the first match that begins at byte from or later and those of its groups, in pairs, -1 for a
// group that took no part; nil where there is no match.
func (m *regexMatcher) find(s string, from int) ([]int, error) {
	m.run.begin(s)
	return m.next(from)
}

// next is find in the text that the last begin named.
func (m *regexMatcher) next(from int) ([]int, error) {
	s := m.run.s
	if from > len(s) {
		return nil, nil
	}
	if m.re != nil && m.bounds && (from == 0 || !m.heads) {
		at := m.re.FindStringSubmatchIndex(s[from:])
		for i := range at {
			if at[i] >= 0 {
				at[i] += from
			}
		}
		return at, nil
	}
	if m.re != nil && from == 0 && !m.re.MatchString(s) {
		return nil, nil
	}
	if err := m.prepare(); err != nil {
		return nil, err
	}
	at := m.run.find(from)
	return at, m.run.err
}

const (
	// someMatches are found without asking for room and whether to go on; a match and its place in the list take matchSize bytes.
	someMatches = 10_000
	matchSize   = 64
)

// findAll gives the first limit matches (0: all) that start at byte start or later. Like PostgreSQL's search it goes on
// where a match ends, and one character further where it is empty.
func (m *regexMatcher) findAll(s string, start, limit int) ([][]int, error) {
	var all [][]int
	m.run.begin(s)
	for start <= len(s) {
		at, err := m.next(start)
		if err != nil || at == nil {
			return all, err
		}
		if all = append(all, at); len(all) == limit {
			break
		}
		if len(all)%someMatches == 0 {
			if !m.run.going() {
				return nil, m.run.err
			}
			if most := len(s) / max(at[1], 1); len(all) == someMatches && (limit == 0 || limit > someMatches) {
				m.c.Need(someMatches * most * (matchSize + 16*m.groups))
			}
		}
		if start = at[1]; at[0] == at[1] {
			start += max(1, runeWidth(s, start))
		}
	}
	return all, nil
}

func runeWidth(s string, at int) int {
	_, w := utf8.DecodeRuneInString(s[at:])
	return w
}

// goRegex writes an expression in the syntax of package regexp.
type goRegex struct {
	out    strings.Builder
	beyond bool // not in its power
	bounds bool // what it finds as the bounds of a match is what PostgreSQL finds
	heads  bool
	lone   bool // there are no groups
}

func (g *goRegex) node(n *reNode) {
	switch n.op {
	case reSet:
		g.set(n.set)
	case reCat:
		for _, s := range n.subs {
			g.node(s)
		}
	case reAlt:
		g.bounds = g.bounds && g.lone
		g.out.WriteString("(?:")
		for i, s := range n.subs {
			if i > 0 {
				g.out.WriteByte('|')
			}
			g.node(s)
		}
		g.out.WriteByte(')')
	case reRepeat:
		// Without groups only the whole length counts, and with single characters each part takes what it can, as a search
		// that goes back finds it; else Go's choice among matches of one length is another one than PostgreSQL's.
		g.bounds = g.bounds && n.prefer != preferShort && (g.lone || n.subs[0].op == reSet)
		g.out.WriteString("(?:")
		g.node(n.subs[0])
		g.out.WriteByte(')')
		g.out.WriteByte('{')
		g.out.WriteString(strconv.Itoa(n.min))
		g.out.WriteByte(',')
		if n.max != unbounded {
			g.out.WriteString(strconv.Itoa(n.max))
		}
		g.out.WriteByte('}')
	case reGroup:
		if n.cap > 0 {
			g.out.WriteByte('(')
		} else {
			g.out.WriteString("(?:")
		}
		g.node(n.subs[0])
		g.out.WriteByte(')')
	case reAssert:
		g.out.WriteString(map[reAssertion]string{atTextStart: `\A`, atTextEnd: `\z`, atLineStart: `(?m:^)`, atLineEnd: `(?m:$)`}[n.assert])
		g.heads = g.heads || n.assert == atTextStart || n.assert == atLineStart
		g.beyond = g.beyond || n.assert >= atWordStart // Go's words are ASCII only
	default:
		g.beyond = true
	}
}

func (g *goRegex) set(s *charSet) {
	if c, ok := s.single(); ok {
		g.out.WriteString(quoteRune(c))
		return
	}
	if s.negate && len(s.items) == 0 && !s.noLine {
		g.out.WriteString(`(?s:.)`)
		return
	}
	g.out.WriteByte('[')
	negate := s.negate
	if len(s.items) == 1 && s.items[0].negate && !negate && charClasses[s.items[0].class].negateGo == "" {
		s, negate = &charSet{items: []setRange{{class: s.items[0].class}}}, true
	}
	if negate {
		g.out.WriteByte('^')
		if s.noLine {
			g.out.WriteString(`\n`)
		}
	}
	for _, it := range s.items {
		switch {
		case it.class == "":
			g.out.WriteString(quoteRune(it.lo))
			if it.hi != it.lo {
				g.out.WriteByte('-')
				g.out.WriteString(quoteRune(it.hi))
			}
		case !it.negate:
			g.out.WriteString(charClasses[it.class].inGo)
		default:
			not := charClasses[it.class].negateGo
			g.beyond = g.beyond || not == ""
			g.out.WriteString(not)
		}
	}
	g.out.WriteByte(']')
}

func quoteRune(r rune) string {
	if r < utf8.RuneSelf && !isAlnumByte(byte(r)) {
		return fmt.Sprintf(`\x%02x`, r)
	}
	return string(r)
}
