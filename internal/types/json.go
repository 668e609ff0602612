package types

import (
	"bytes"
	"cmp"
	"slices"
	"unicode/utf16"
	"unicode/utf8"

	"streamsql/internal/pgerr"
)

// maxJSONDepth bounds nesting: PostgreSQL fails at its stack limit with the same code.
const maxJSONDepth = 6000

// jsonScanner walks JSON text. The same grammar serves validation, normalisation and access.
type jsonScanner struct {
	b []byte
	i int
}

func (p *jsonScanner) space() {
	for p.i < len(p.b) {
		switch p.b[p.i] {
		case ' ', '\t', '\n', '\r':
			p.i++
		default:
			return
		}
	}
}

func (p *jsonScanner) peek() byte {
	if p.i < len(p.b) {
		return p.b[p.i]
	}
	return 0
}

func errJSON(detail string, args ...any) *pgerr.Error {
	return pgerr.New(pgerr.InvalidTextRepresentation, "invalid input syntax for type json").WithDetail(detail, args...)
}

// token gives the text of the token at i, as error details quote it.
func (p *jsonScanner) token() string {
	i := p.i
	if i >= len(p.b) {
		return ""
	}
	isWord := func(c byte) bool {
		return isAlpha(c) || isDigit(c) || c == '_' || c >= 0x80
	}
	switch c := p.b[i]; {
	case isWord(c) || c == '-':
		j := i + 1
		for j < len(p.b) && (isWord(p.b[j]) || (c == '-' || isDigit(c)) && (p.b[j] == '.' || p.b[j] == '+' || p.b[j] == '-')) {
			j++
		}
		return string(p.b[i:j])
	case c == '"':
		q := jsonScanner{p.b, p.i}
		if q.str() == nil {
			return string(p.b[i:q.i])
		}
	}
	_, n := utf8.DecodeRune(p.b[i:])
	return string(p.b[i : i+n])
}

// context adds the part of the line read so far, as PostgreSQL's CONTEXT does.
func (p *jsonScanner) context(e *pgerr.Error, end int) error {
	end = min(max(end, 0), len(p.b))
	line := bytes.Count(p.b[:end], []byte("\n")) + 1
	start := bytes.LastIndexByte(p.b[:end], '\n') + 1
	pre := ""
	if end-start > 50 {
		start, pre = end-50, "..."
		for start < end && !utf8.RuneStart(p.b[start]) {
			start++
		}
	}
	post := ""
	if end < len(p.b) && p.b[end] != '\n' && p.b[end] != '\r' {
		post = "..."
	}
	e.Where = "JSON data, line " + string(AppendInt(nil, int64(line))) + ": " + pre + string(p.b[start:end]) + post
	return e
}

func (p *jsonScanner) expected(what string) error {
	t := p.token()
	if t == "" {
		return p.context(errJSON("The input string ended unexpectedly."), len(p.b))
	}
	if what == "" || jsonInvalid(t) {
		return p.context(errJSON("Token \"%s\" is invalid.", t), p.i+len(t))
	}
	return p.context(errJSON("Expected %s, but found \"%s\".", what, t), p.i+len(t))
}

// jsonInvalid reports whether t is no JSON token at all.
func jsonInvalid(t string) bool {
	switch t[0] {
	case '{', '}', '[', ']', ',', ':', '"':
		return false
	}
	if t == "true" || t == "false" || t == "null" {
		return false
	}
	p := jsonScanner{b: []byte(t)}
	return p.number() != nil || p.i != len(t)
}

// value walks one value.
func (p *jsonScanner) value(depth int) error {
	if depth > maxJSONDepth {
		return pgerr.New(pgerr.StatementTooComplex, "stack depth limit exceeded")
	}
	p.space()
	switch c := p.peek(); {
	case c == '{':
		p.i++
		p.space()
		if p.peek() == '}' {
			p.i++
			return nil
		}
		first := true
		for {
			p.space()
			if p.peek() != '"' {
				if first {
					return p.expected("string or \"}\"")
				}
				return p.expected("string")
			}
			first = false
			if err := p.str(); err != nil {
				return err
			}
			p.space()
			if p.peek() != ':' {
				return p.expected("\":\"")
			}
			p.i++
			if err := p.value(depth + 1); err != nil {
				return err
			}
			p.space()
			switch p.peek() {
			case ',':
				p.i++
			case '}':
				p.i++
				return nil
			default:
				return p.expected("\",\" or \"}\"")
			}
		}
	case c == '[':
		p.i++
		p.space()
		if p.peek() == ']' {
			p.i++
			return nil
		}
		for {
			if err := p.value(depth + 1); err != nil {
				return err
			}
			p.space()
			switch p.peek() {
			case ',':
				p.i++
			case ']':
				p.i++
				return nil
			default:
				return p.expected("\",\" or \"]\"")
			}
		}
	case c == '"':
		return p.str()
	case c == '-' || isDigit(c):
		return p.number()
	case c == 't' && p.word("true"), c == 'f' && p.word("false"), c == 'n' && p.word("null"):
		return nil
	}
	return p.expected("JSON value")
}

func (p *jsonScanner) word(w string) bool {
	if p.token() != w {
		return false
	}
	p.i += len(w)
	return true
}

func (p *jsonScanner) number() error {
	at := p.i
	bad := func() error {
		p.i = at
		return p.expected("")
	}
	if p.peek() == '-' {
		p.i++
	}
	switch c := p.peek(); {
	case c == '0':
		p.i++
	case isDigit(c):
		for isDigit(p.peek()) {
			p.i++
		}
	default:
		return bad()
	}
	if p.peek() == '.' {
		p.i++
		if !isDigit(p.peek()) {
			return bad()
		}
		for isDigit(p.peek()) {
			p.i++
		}
	}
	if c := p.peek(); c == 'e' || c == 'E' {
		p.i++
		if c := p.peek(); c == '+' || c == '-' {
			p.i++
		}
		if !isDigit(p.peek()) {
			return bad()
		}
		for isDigit(p.peek()) {
			p.i++
		}
	}
	if c := p.peek(); isAlpha(c) || isDigit(c) || c == '_' || c >= 0x80 {
		return bad()
	}
	return nil
}

// str walks a string.
func (p *jsonScanner) str() error {
	at := p.i
	p.i++
	for p.i < len(p.b) {
		c := p.b[p.i]
		switch {
		case c == '"':
			p.i++
			return nil
		case c < 0x20:
			return p.context(errJSON("Character with value 0x%02x must be escaped.", c), p.i)
		case c != '\\':
			p.i++
			continue
		}
		p.i++
		switch p.peek() {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			p.i++
		case 'u':
			p.i++
			for range 4 {
				if unhex(p.peek()) < 0 || p.i >= len(p.b) {
					if p.i >= len(p.b) {
						p.i = at
						return p.context(errJSON("Token \"%s\" is invalid.", p.b[at:]), len(p.b))
					}
					return p.context(errJSON("\"\\u\" must be followed by four hexadecimal digits."), p.i+1)
				}
				p.i++
			}
		default:
			if p.i >= len(p.b) {
				return p.context(errJSON("Token \"%s\" is invalid.", p.b[at:]), len(p.b))
			}
			_, n := utf8.DecodeRune(p.b[p.i:])
			return p.context(errJSON("Escape sequence \"\\%s\" is invalid.", p.b[p.i:p.i+n]), p.i+n)
		}
	}
	p.i = at
	return p.context(errJSON("Token \"%s\" is invalid.", p.b[at:]), len(p.b))
}

// ValidateJSON checks that s is JSON text (22P02 with PostgreSQL's wording).
func ValidateJSON(s []byte) error {
	p := jsonScanner{b: s}
	if err := p.value(0); err != nil {
		return err
	}
	p.space()
	if p.i < len(s) {
		return p.expected("end of input")
	}
	return nil
}

// NormalizeJSONB gives the text of jsonb: keys by length then bytes, the last of
// duplicates, numbers as numeric, one space after commas and colons.
func NormalizeJSONB(s []byte) ([]byte, error) {
	if err := ValidateJSON(s); err != nil {
		return nil, err
	}
	p := jsonScanner{b: s}
	return p.normalize(make([]byte, 0, len(s)+len(s)/8))
}

type jsonMember struct {
	key  []byte // decoded
	from int    // of the normalised value in the scratch
	to   int
}

func (p *jsonScanner) normalize(dst []byte) ([]byte, error) {
	p.space()
	switch c := p.b[p.i]; {
	case c == '{':
		p.i++
		var members []jsonMember
		var vals []byte
		for {
			p.space()
			if p.b[p.i] == '}' {
				p.i++
				break
			}
			if p.b[p.i] == ',' {
				p.i++
				p.space()
			}
			key, err := p.decodeString(nil)
			if err != nil {
				return nil, err
			}
			p.space()
			p.i++ // :
			from := len(vals)
			if vals, err = p.normalize(vals); err != nil {
				return nil, err
			}
			members = append(members, jsonMember{key, from, len(vals)})
		}
		slices.SortStableFunc(members, func(a, b jsonMember) int { return compareJSONKeys(a.key, b.key) })
		dst = append(dst, '{')
		first := true
		for i, m := range members {
			if i+1 < len(members) && bytes.Equal(m.key, members[i+1].key) {
				continue
			}
			if !first {
				dst = append(dst, ", "...)
			}
			first = false
			dst = append(AppendJSONString(dst, stringOf(m.key)), ": "...)
			dst = append(dst, vals[m.from:m.to]...)
		}
		return append(dst, '}'), nil
	case c == '[':
		p.i++
		dst = append(dst, '[')
		for first := true; ; first = false {
			p.space()
			if p.b[p.i] == ']' {
				p.i++
				return append(dst, ']'), nil
			}
			if !first {
				p.i++ // ,
				dst = append(dst, ", "...)
			}
			var err error
			if dst, err = p.normalize(dst); err != nil {
				return nil, err
			}
		}
	case c == '"':
		at := p.i
		s, err := p.decodeString(nil)
		if err != nil {
			return nil, err
		}
		if bytes.IndexByte(p.b[at:p.i], '\\') < 0 {
			return append(dst, p.b[at:p.i]...), nil
		}
		return AppendJSONString(dst, stringOf(s)), nil
	case c == '-' || isDigit(c):
		at := p.i
		_ = p.number()
		d, err := ParseNumeric(string(p.b[at:p.i]))
		if err != nil {
			return nil, err
		}
		return d.AppendString(dst), nil
	case c == 't':
		p.i += 4
		return append(dst, "true"...), nil
	case c == 'f':
		p.i += 5
		return append(dst, "false"...), nil
	}
	p.i += 4
	return append(dst, "null"...), nil
}

func compareJSONKeys(a, b []byte) int {
	if len(a) != len(b) {
		return cmp.Compare(len(a), len(b))
	}
	return bytes.Compare(a, b)
}

// decodeString appends the characters of the (valid) string at i.
func (p *jsonScanner) decodeString(dst []byte) ([]byte, error) {
	p.i++
	for p.b[p.i] != '"' {
		c := p.b[p.i]
		p.i++
		if c != '\\' {
			dst = append(dst, c)
			continue
		}
		c = p.b[p.i]
		p.i++
		switch c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			r := p.hex4()
			if r == 0 {
				return nil, p.context(pgerr.New(pgerr.UntranslatableCharacter, "unsupported Unicode escape sequence").WithDetail("\\u0000 cannot be converted to text."), p.i)
			}
			if utf16.IsSurrogate(r) {
				if r >= 0xdc00 {
					return nil, p.context(errJSON("Unicode low surrogate must follow a high surrogate."), p.i)
				}
				if p.b[p.i] != '\\' || p.b[p.i+1] != 'u' {
					return nil, p.context(errJSON("Unicode low surrogate must follow a high surrogate."), p.i)
				}
				p.i += 2
				lo := p.hex4()
				if lo < 0xdc00 || lo > 0xdfff {
					if lo >= 0xd800 && lo < 0xdc00 {
						return nil, p.context(errJSON("Unicode high surrogate must not follow a high surrogate."), p.i)
					}
					return nil, p.context(errJSON("Unicode low surrogate must follow a high surrogate."), p.i)
				}
				r = utf16.DecodeRune(r, lo)
			}
			dst = utf8.AppendRune(dst, r)
			continue
		}
		dst = append(dst, c)
	}
	p.i++
	return dst, nil
}

func (p *jsonScanner) hex4() rune {
	r := rune(0)
	for range 4 {
		r = r<<4 | rune(unhex(p.b[p.i]))
		p.i++
	}
	return r
}

// AppendJSONString appends s as a JSON string, escaped as PostgreSQL does.
func AppendJSONString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := range len(s) {
		switch c := s[i]; c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, `\b`...)
		case '\f':
			dst = append(dst, `\f`...)
		case '\n':
			dst = append(dst, `\n`...)
		case '\r':
			dst = append(dst, `\r`...)
		case '\t':
			dst = append(dst, `\t`...)
		default:
			if c < 0x20 {
				dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			} else {
				dst = append(dst, c)
			}
		}
	}
	return append(dst, '"')
}
