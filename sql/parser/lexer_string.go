package parser

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"streamsql/internal/pgerr"
)

// continued gives the offset of the quote that continues a string ended before
// pos: SQL joins 'a' and 'b' where only blanks with a newline are between them.
func continued(s string, pos int) (int, bool) {
	newline := false
	for i := pos; i < len(s); {
		switch c := s[i]; {
		case c == '\n' || c == '\r':
			newline = true
			i++
		case isSpace(c):
			i++
		case c == '-' && i+1 < len(s) && s[i+1] == '-':
			i = lineEnd(s, i)
		case c == '\'':
			return i, newline
		default:
			return 0, false
		}
	}
	return 0, false
}

// str reads a string literal that begins at l.pos; start is where its token
// begins, escapes that it is an E'..' one.
func (l *lexer) str(start int, escapes bool) bool {
	text, ok := l.quotedBody(start, escapes, "unterminated quoted string")
	if !ok {
		return false
	}
	l.add(tString, start, text)
	return true
}

// quotedBody reads '..' with its continuations.
func (l *lexer) quotedBody(start int, escapes bool, unterminated string) (string, bool) {
	i := l.pos + 1
	seg := i
	var b []byte
	joined := false
	for {
		if i >= len(l.src) {
			return "", l.failNear(start, unterminated, len(l.src))
		}
		c := l.src[i]
		switch {
		case c == '\\' && escapes:
			b = append(b, l.src[seg:i]...)
			joined = true
			var ok bool
			if b, i, ok = l.escape(b, i, start); !ok {
				return "", false
			}
			seg = i
		case c != '\'':
			i++
		case l.at(i+1) == '\'':
			b = append(b, l.src[seg:i+1]...)
			joined = true
			i += 2
			seg = i
		default:
			if next, ok := continued(l.src, i+1); ok {
				b = append(b, l.src[seg:i]...)
				joined = true
				i = next + 1
				seg = i
				continue
			}
			l.pos = i + 1
			if !joined {
				return l.src[seg:i], true
			}
			b = append(b, l.src[seg:i]...)
			if escapes && !utf8.Valid(b) {
				l.fail(start, pgerr.New(pgerr.CharacterNotInRepertoire, "invalid byte sequence for encoding \"UTF8\": 0x%s", invalidBytes(string(b))))
				return "", false
			}
			return string(b), true
		}
	}
}

// invalidBytes shows the first bytes of s that are no UTF-8, as PostgreSQL shows them.
func invalidBytes(s string) string {
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n <= 1 {
			out := ""
			for j := i; j < len(s) && j < i+expectedBytes(s[i]); j++ {
				if j > i {
					out += " 0x"
				}
				out += strconv.FormatInt(int64(s[j]), 16)
			}
			return out
		}
		i += n
	}
	return ""
}

func expectedBytes(c byte) int {
	switch {
	case c >= 0xf0 && c < 0xf8:
		return 4
	case c >= 0xe0 && c < 0xf0:
		return 3
	case c >= 0xc0 && c < 0xe0:
		return 2
	}
	return 1
}

// escape decodes the backslash escape at i into b.
func (l *lexer) escape(b []byte, i, start int) ([]byte, int, bool) {
	i++
	if i >= len(l.src) {
		return b, i, l.failNear(start, "unterminated quoted string", len(l.src))
	}
	c := l.src[i]
	switch c {
	case 'b':
		return append(b, '\b'), i + 1, true
	case 'f':
		return append(b, '\f'), i + 1, true
	case 'n':
		return append(b, '\n'), i + 1, true
	case 'r':
		return append(b, '\r'), i + 1, true
	case 't':
		return append(b, '\t'), i + 1, true
	case 'u', 'U':
		r, next, ok := l.hexRune(i, c == 'U')
		if !ok {
			return b, i, l.fail(i-1, pgerr.New(pgerr.InvalidEscapeSequence, "invalid Unicode escape").
				WithHint("Unicode escapes must be \\uXXXX or \\UXXXXXXXX."))
		}
		if utf16.IsSurrogate(r) {
			low, after, ok := rune(0), 0, false
			if l.at(next) == '\\' && (l.at(next+1) == 'u' || l.at(next+1) == 'U') {
				low, after, ok = l.hexRune(next+1, l.at(next+1) == 'U')
			}
			if !ok || utf16.DecodeRune(r, low) == utf8.RuneError {
				if !ok { // what stands in its place is one character
					_, n := utf8.DecodeRuneInString(l.src[next:])
					after = next + n
				}
				return b, i, l.failNear(next, "invalid Unicode surrogate pair", after)
			}
			r, next = utf16.DecodeRune(r, low), after
		}
		if r == 0 || r > utf8.MaxRune {
			return b, i, l.failNear(i-1, "invalid Unicode escape value", next)
		}
		return utf8.AppendRune(b, r), next, true
	case 'x':
		j := i + 1
		for j < len(l.src) && j < i+3 && isHex(l.src[j]) {
			j++
		}
		if j > i+1 {
			v, _ := strconv.ParseUint(l.src[i+1:j], 16, 8)
			return l.escapedByte(b, byte(v), j, start)
		}
	}
	if c >= '0' && c <= '7' {
		j := i
		v := 0
		for j < len(l.src) && j < i+3 && l.src[j] >= '0' && l.src[j] <= '7' {
			v = v*8 + int(l.src[j]-'0')
			j++
		}
		return l.escapedByte(b, byte(v), j, start)
	}
	_, n := utf8.DecodeRuneInString(l.src[i:])
	return append(b, l.src[i:i+n]...), i + n, true
}

func (l *lexer) escapedByte(b []byte, c byte, next, start int) ([]byte, int, bool) {
	if c == 0 {
		return b, next, l.fail(start, pgerr.New(pgerr.CharacterNotInRepertoire, "invalid byte sequence for encoding \"UTF8\": 0x00"))
	}
	return append(b, c), next, true
}

func isHex(c byte) bool {
	return isDigit(c) || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// hexRune reads the digits after the u or U at i.
func (l *lexer) hexRune(i int, long bool) (rune, int, bool) {
	n := 4
	if long {
		n = 8
	}
	if i+1+n > len(l.src) {
		return 0, i, false
	}
	v, err := strconv.ParseUint(l.src[i+1:i+1+n], 16, 32)
	if err != nil {
		return 0, i, false
	}
	return rune(min(v, utf8.MaxRune+1)), i + 1 + n, true
}

// bits reads B'..' or X'..', whose quote is at l.pos.
func (l *lexer) bits(start int) bool {
	hex := l.src[start] == 'x' || l.src[start] == 'X'
	what := "unterminated bit string literal"
	if hex {
		what = "unterminated hexadecimal string literal"
	}
	text, ok := l.quotedBody(start, false, what)
	if !ok {
		return false
	}
	if !hex {
		l.add(tBits, start, text)
		return true
	}
	var b strings.Builder
	for _, r := range text {
		if r >= 0x80 || !isHex(byte(r)) {
			// What is no digit is found again, and complained of, when the literal is used.
			b.Reset()
			b.WriteString(text)
			break
		}
		v, _ := strconv.ParseUint(string(r), 16, 8)
		for bit := 3; bit >= 0; bit-- {
			b.WriteByte('0' + byte(v>>bit&1))
		}
	}
	l.add(tBits, start, b.String())
	return true
}

// bitDigits gives the error of a bit string with something else than digits.
func (p *parser) bitDigits(t *token) *pgerr.Error {
	hex, what := p.src[t.pos] == 'x' || p.src[t.pos] == 'X', "binary"
	if hex {
		what = "hexadecimal"
	}
	for _, r := range t.text {
		if r != '0' && r != '1' && (!hex || r >= 0x80 || !isHex(byte(r))) {
			return pgerr.New(pgerr.InvalidTextRepresentation, "\"%c\" is not a valid %s digit", r, what).At(int(t.char))
		}
	}
	return nil
}

// unicodeString reads U&'..', whose quote is at l.pos.
func (l *lexer) unicodeString(start int) bool {
	text, ok := l.quotedBody(start, false, "unterminated quoted string")
	if !ok {
		return false
	}
	if text, ok = l.uescape(start, text, 3); !ok {
		return false
	}
	l.add(tString, start, text)
	return true
}

// uescape decodes the escapes of U&'..' and U&"..", reading a UESCAPE clause if
// one follows. lead is the length of what stands before the text in the source.
func (l *lexer) uescape(start int, text string, lead int) (string, bool) {
	esc := byte('\\')
	save := l.pos
	if !l.skipSpace() {
		return "", false
	}
	if len(l.src)-l.pos > 7 && strings.EqualFold(l.src[l.pos:l.pos+7], "uescape") && !isIdentCont(l.src[l.pos+7]) {
		l.pos += 7
		if !l.skipSpace() {
			return "", false
		}
		at := l.pos
		if l.at(at) != '\'' {
			return "", l.failNear(at, "UESCAPE must be followed by a simple string literal", min(at+1, len(l.src)))
		}
		c, ok := l.quotedBody(at, false, "unterminated quoted string")
		if !ok {
			return "", false
		}
		if len(c) != 1 || isHex(c[0]) || c[0] == '+' || c[0] == '\'' || c[0] == '"' || isSpace(c[0]) {
			return "", l.failNear(at, "invalid Unicode escape character", l.pos)
		}
		esc = c[0]
	} else {
		l.pos = save
	}
	if strings.IndexByte(text, esc) < 0 {
		return text, true
	}
	bad := func(i int, msg string) (string, bool) {
		e := pgerr.New(pgerr.SyntaxError, "%s", msg)
		if msg == "invalid Unicode escape" {
			e.Hint = "Unicode escapes must be \\XXXX or \\+XXXXXX."
		}
		return "", l.fail(start, e.At(int(l.charAt(start))+lead+utf8.RuneCountInString(text[:i])))
	}
	read := func(i int) (rune, int, bool) {
		n := 4
		if i < len(text) && text[i] == '+' {
			i, n = i+1, 6
		}
		if i+n > len(text) {
			return 0, 0, false
		}
		v, err := strconv.ParseUint(text[i:i+n], 16, 32)
		return rune(v), i + n, err == nil
	}
	var b []byte
	for i := 0; i < len(text); {
		if text[i] != esc {
			b = append(b, text[i])
			i++
			continue
		}
		if i+1 < len(text) && text[i+1] == esc {
			b = append(b, esc)
			i += 2
			continue
		}
		r, next, ok := read(i + 1)
		if !ok {
			return bad(i, "invalid Unicode escape")
		}
		if utf16.IsSurrogate(r) {
			if next >= len(text) || text[next] != esc || next+1 < len(text) && text[next+1] == esc {
				return bad(next, "invalid Unicode surrogate pair")
			}
			low, after, ok := read(next + 1)
			if !ok {
				return bad(next, "invalid Unicode escape")
			}
			if utf16.DecodeRune(r, low) == utf8.RuneError {
				return bad(next, "invalid Unicode surrogate pair")
			}
			r, next = utf16.DecodeRune(r, low), after
		}
		if r == 0 || r > utf8.MaxRune {
			return bad(i, "invalid Unicode escape value")
		}
		b = utf8.AppendRune(b, r)
		i = next
	}
	return string(b), true
}
