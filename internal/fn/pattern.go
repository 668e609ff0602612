package fn

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"streamsql/internal/pgerr"
	"streamsql/internal/vec"
)

var errLikeEscape = pgerr.New(pgerr.InvalidEscapeSequence, "LIKE pattern must not end with escape character")

// likePattern is a LIKE pattern taken apart: literal pieces between runs of %.
// Most patterns need no more than a prefix, a suffix or a substring search.
type likePattern struct {
	fold   bool
	pieces []likePiece
	// anchored ends: the pattern does not start (end) with %.
	head, tail bool
	// escaped is the pattern before an escape character at the very end, as a prefix:
	// PostgreSQL fails where a match gets that far with text left.
	escaped *likePattern
}

// likePiece is text between %s; any lists the byte offsets in text where _ stands (text has a zero byte there).
type likePiece struct {
	text []byte
	any  []bool // per byte, nil where the piece has no _
	byte bool   // _ is a byte, not a character
}

// width is how much of s one _ takes.
func (p *likePiece) width(s []byte) int {
	if p.byte {
		return 1
	}
	_, w := utf8.DecodeRune(s)
	return w
}

func compileLike(p []byte, fold, binary bool) *likePattern {
	l := &likePattern{fold: fold, head: true, tail: true}
	if fold {
		p = bytes.ToLower(p)
	}
	var cur likePiece
	flush := func() {
		if len(cur.text) > 0 {
			cur.byte = binary
			l.pieces = append(l.pieces, cur)
		}
		cur = likePiece{}
	}
	lit := func(c byte, any bool) {
		if any && cur.any == nil {
			cur.any = make([]bool, len(cur.text))
		}
		cur.text = append(cur.text, c)
		if cur.any != nil {
			cur.any = append(cur.any, any)
		}
	}
	for i := 0; i < len(p); i++ {
		switch c := p[i]; c {
		case '%':
			if len(l.pieces) == 0 && len(cur.text) == 0 {
				l.head = false
			}
			flush()
			l.tail = false
			continue
		case '_':
			lit(0, true)
		case '\\':
			i++
			if i == len(p) {
				l.escaped = compileLike(append(bytes.Clone(p[:i-1]), '%'), fold, binary)
				flush()
				return l
			}
			lit(p[i], false)
		default:
			lit(c, false)
		}
		l.tail = true
	}
	flush()
	return l
}

// matchAt matches piece p at the start of s and gives the bytes it took, -1 for none.
func (p *likePiece) matchAt(s []byte) int {
	if p.any == nil {
		if bytes.HasPrefix(s, p.text) {
			return len(p.text)
		}
		return -1
	}
	at := 0
	for i, c := range p.text {
		if at >= len(s) {
			return -1
		}
		if p.any[i] {
			at += p.width(s[at:])
			continue
		}
		if s[at] != c {
			return -1
		}
		at++
	}
	return at
}

// find gives where p first matches in s and the end of the match, -1 for nowhere.
func (p *likePiece) find(s []byte) (int, int) {
	if p.any == nil {
		i := bytes.Index(s, p.text)
		if i < 0 {
			return -1, -1
		}
		return i, i + len(p.text)
	}
	for i := 0; i <= len(s); {
		if n := p.matchAt(s[i:]); n >= 0 {
			return i, i + n
		}
		if i == len(s) {
			break
		}
		i += p.width(s[i:])
	}
	return -1, -1
}

// matchEnd reports whether p matches at the very end of s.
func (p *likePiece) matchEnd(s []byte) bool {
	if p.any == nil {
		return bytes.HasSuffix(s, p.text)
	}
	for i := 0; i <= len(s); {
		if n := p.matchAt(s[i:]); n >= 0 && i+n == len(s) {
			return true
		}
		if i == len(s) {
			break
		}
		i += p.width(s[i:])
	}
	return false
}

func (l *likePattern) match(s []byte) bool {
	if l.fold {
		s = bytes.ToLower(s)
	}
	ps := l.pieces
	if len(ps) == 0 {
		return !l.head || !l.tail || len(s) == 0
	}
	if len(ps) == 1 && l.head && l.tail {
		return ps[0].matchAt(s) == len(s)
	}
	if l.head {
		n := ps[0].matchAt(s)
		if n < 0 {
			return false
		}
		s, ps = s[n:], ps[1:]
	}
	last := len(ps)
	if l.tail {
		last--
	}
	for i := range last {
		_, end := ps[i].find(s)
		if end < 0 {
			return false
		}
		s = s[end:]
	}
	return !l.tail || last < 0 || ps[last].matchEnd(s)
}

// likeKernel compiles a constant pattern once, others whenever they change. Of bytea, an underscore is a byte.
func likeKernel(fold, negate, binary bool) Kernel {
	return func(_ *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
		var l *likePattern
		var last []byte
		for i := range n {
			if out.IsNull(i) {
				continue
			}
			if p := args[1].Bytes(i); l == nil || !args[1].Const && !bytes.Equal(p, last) {
				l, last = compileLike(p, fold, binary), p
			}
			s := args[0].Bytes(i)
			if l.escaped != nil {
				if l.escaped.match(s) && !l.match(s) {
					out.Fail(i, errLikeEscape)
				}
				out.Bools[i] = negate
				continue
			}
			out.Bools[i] = l.match(s) != negate
		}
	}
}

// likeEscape rewrites a pattern with another escape character to one with a backslash: like_escape.
func likeEscape(_ *Ctx, p, esc string) (string, error) {
	if utf8.RuneCountInString(esc) > 1 {
		return "", pgerr.New(pgerr.InvalidEscapeSequence, "invalid escape string").
			WithHint("Escape string must be empty or one character.")
	}
	if esc == `\` {
		return p, nil
	}
	if esc == "" {
		return strings.ReplaceAll(p, `\`, `\\`), nil
	}
	var b strings.Builder
	e, _ := utf8.DecodeRuneInString(esc)
	escaped := false
	for i, r := range p {
		switch {
		case r == e && !escaped:
			b.WriteByte('\\')
			escaped = true
			continue
		case r == '\\' && !escaped:
			b.WriteString(`\\`)
		default: // as it stands: bytea need not be text
			b.WriteString(p[i : i+runeWidth(p, i)])
		}
		escaped = false
	}
	return b.String(), nil
}

// latin1 gives a character for each byte.
func latin1(b []byte) string {
	r := make([]rune, len(b))
	for i, c := range b {
		r[i] = rune(c)
	}
	return string(r)
}

// similarToRegexp translates a SIMILAR TO pattern to a regular expression: similar_to_escape.
func similarToRegexp(p, esc string) (string, error) {
	if utf8.RuneCountInString(esc) > 1 {
		return "", pgerr.New(pgerr.InvalidEscapeSequence, "invalid escape string").
			WithHint("Escape string must be empty or one character.")
	}
	e, _ := utf8.DecodeRuneInString(esc)
	var b strings.Builder
	b.WriteString("^(?:")
	escaped, class, parts := false, false, 0
	for _, r := range p {
		switch {
		case escaped:
			switch {
			case r == '"' && !class:
				// SUBSTRING(s SIMILAR 'a#"b#"c'): the middle part is what matters.
				if parts == 0 {
					b.WriteString("){1,1}?(")
				} else if parts == 1 {
					b.WriteString("){1,1}(?:")
				} else {
					return "", pgerr.New("2200C", "SQL regular expression may not contain more than two escape-double-quote separators")
				}
				parts++
			default:
				b.WriteByte('\\')
				b.WriteRune(r)
			}
			escaped = false
		case r == e && esc != "":
			escaped = true
		case class:
			if r == '\\' {
				b.WriteByte('\\')
			}
			b.WriteRune(r)
			class = r != ']'
		case r == '[':
			b.WriteRune(r)
			class = true
		case r == '%':
			b.WriteString(".*")
		case r == '_':
			b.WriteByte('.')
		case r == '(':
			b.WriteString("(?:")
		case r == '\\' || r == '.' || r == '^' || r == '$':
			b.WriteByte('\\')
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteString(")$")
	return b.String(), nil
}

func init() {
	for _, l := range []struct {
		sym, name    string
		fold, negate bool
	}{{"~~", "like", false, false}, {"!~~", "notlike", false, true}, {"~~*", "texticlike", true, false}, {"!~~*", "texticnlike", true, true}} {
		k := likeKernel(l.fold, l.negate, false)
		for _, t := range []string{"text", "name", "bpchar"} {
			op(t+" "+l.sym+" text bool", k)
		}
		def(l.name+"(text,text) bool", k)
		if !l.fold {
			k := likeKernel(l.fold, l.negate, true)
			op("bytea "+l.sym+" bytea bool", k)
			def(l.name+"(bytea,bytea) bool", k)
		}
	}
	def("like_escape(text,text) text", row2e(likeEscape))
	def("like_escape(bytea,bytea) bytea", row2e(func(c *Ctx, p, esc []byte) ([]byte, error) {
		s, err := likeEscape(c, latin1(p), latin1(esc))
		out := make([]byte, 0, len(s))
		for _, r := range s {
			out = append(out, byte(r))
		}
		return out, err
	}))
	def("similar_to_escape(text,text) text", row2e(func(_ *Ctx, p, e string) (string, error) { return similarToRegexp(p, e) }))
	def("similar_to_escape(text) text", row1e(func(_ *Ctx, p string) (string, error) { return similarToRegexp(p, `\`) }))
}
