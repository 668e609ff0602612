package format

import (
	"unicode/utf16"
	"unicode/utf8"

	"streamsql/internal/pgerr"
)

// maxJSONDepth bounds how deep a JSON value may be nested.
const maxJSONDepth = 512

// JSONObject walks over the members of one JSON object without building it: the
// caller takes the values that it wants, the others are only checked.
type JSONObject struct {
	b   []byte
	i   int
	esc []byte // decoded strings with escapes
}

// JSONKind says what a JSON value is.
type JSONKind byte

// The kinds of JSON values.
const (
	JSONNull   JSONKind = 'n'
	JSONBool   JSONKind = 'b'
	JSONNumber JSONKind = '0'
	JSONString JSONKind = '"'
	JSONObj    JSONKind = '{'
	JSONArr    JSONKind = '['
)

func (o *JSONObject) bad(what string) error {
	return pgerr.New(pgerr.InvalidTextRepresentation, "invalid JSON").WithDetail("%s at byte %d.", what, o.i+1)
}

// Open begins an object: line is one JSON value with nothing but white space around it.
func (o *JSONObject) Open(line []byte) error {
	o.b, o.i, o.esc = line, 0, o.esc[:0]
	o.space()
	if o.i >= len(o.b) || o.b[o.i] != '{' {
		return o.bad("Expected an object")
	}
	o.i++
	return nil
}

func (o *JSONObject) space() {
	for o.i < len(o.b) {
		switch o.b[o.i] {
		case ' ', '\t', '\n', '\r':
			o.i++
		default:
			return
		}
	}
}

// Next gives the next member: its key, and its value with strings decoded (other values as written). ok is
// false at the end of the object. Slices are valid until the next Open.
func (o *JSONObject) Next() (key []byte, kind JSONKind, value []byte, ok bool, err error) {
	o.space()
	if o.i >= len(o.b) {
		return nil, 0, nil, false, o.bad("The object is cut short")
	}
	switch o.b[o.i] {
	case '}':
		o.i++
		o.space()
		if o.i < len(o.b) {
			return nil, 0, nil, false, o.bad("Unexpected text after the object")
		}
		return nil, 0, nil, false, nil
	case ',':
		o.i++
		o.space()
		if o.i < len(o.b) && o.b[o.i] == '}' {
			return nil, 0, nil, false, o.bad("Expected a name after the comma")
		}
	case '"':
		if prev := o.before(); prev != '{' {
			return nil, 0, nil, false, o.bad("Expected a comma")
		}
	}
	if key, err = o.str(); err != nil {
		return nil, 0, nil, false, err
	}
	o.space()
	if o.i >= len(o.b) || o.b[o.i] != ':' {
		return nil, 0, nil, false, o.bad("Expected a colon")
	}
	o.i++
	kind, value, err = o.value()
	return key, kind, value, err == nil, err
}

// before gives the last byte before the present place that is not white space.
func (o *JSONObject) before() byte {
	for k := o.i - 1; k >= 0; k-- {
		switch o.b[k] {
		case ' ', '\t', '\n', '\r':
		default:
			return o.b[k]
		}
	}
	return 0
}

func (o *JSONObject) value() (JSONKind, []byte, error) {
	o.space()
	if o.i >= len(o.b) {
		return 0, nil, o.bad("A value is missing")
	}
	from := o.i
	switch c := o.b[o.i]; {
	case c == '"':
		s, err := o.str()
		return JSONString, s, err
	case c == '{' || c == '[':
		if err := o.skip(0); err != nil {
			return 0, nil, err
		}
		return JSONKind(c), o.b[from:o.i], nil
	case c == 't':
		return JSONBool, o.b[from:min(from+4, len(o.b))], o.word("true")
	case c == 'f':
		return JSONBool, o.b[from:min(from+5, len(o.b))], o.word("false")
	case c == 'n':
		return JSONNull, nil, o.word("null")
	}
	err := o.number()
	return JSONNumber, o.b[from:o.i], err
}

func (o *JSONObject) word(w string) error {
	if len(o.b)-o.i < len(w) || string(o.b[o.i:o.i+len(w)]) != w {
		return o.bad("Unknown word")
	}
	o.i += len(w)
	return nil
}

func (o *JSONObject) digits() bool {
	from := o.i
	for o.i < len(o.b) && o.b[o.i] >= '0' && o.b[o.i] <= '9' {
		o.i++
	}
	return o.i > from
}

func (o *JSONObject) number() error {
	if o.b[o.i] == '-' {
		o.i++
	}
	zero := o.i < len(o.b) && o.b[o.i] == '0'
	from := o.i
	if !o.digits() || zero && o.i > from+1 {
		return o.bad("Malformed number")
	}
	if o.i < len(o.b) && o.b[o.i] == '.' {
		o.i++
		if !o.digits() {
			return o.bad("Malformed number")
		}
	}
	if o.i < len(o.b) && (o.b[o.i] == 'e' || o.b[o.i] == 'E') {
		o.i++
		if o.i < len(o.b) && (o.b[o.i] == '+' || o.b[o.i] == '-') {
			o.i++
		}
		if !o.digits() {
			return o.bad("Malformed number")
		}
	}
	return nil
}

// str reads a string and decodes it; without escapes it is a part of the input.
func (o *JSONObject) str() ([]byte, error) {
	if o.i >= len(o.b) || o.b[o.i] != '"' {
		return nil, o.bad("Expected a string")
	}
	o.i++
	from := o.i
	for o.i < len(o.b) {
		c := o.b[o.i]
		if c == '"' {
			s := o.b[from:o.i]
			o.i++
			return s, o.text(s)
		}
		if c == '\\' {
			return o.escaped(from)
		}
		if c < 0x20 {
			return nil, o.bad("Control character in a string")
		}
		o.i++
	}
	return nil, o.bad("A string is cut short")
}

// text checks that a string is UTF-8; most are ASCII.
func (o *JSONObject) text(s []byte) error {
	for _, c := range s {
		if c >= 0x80 {
			if !utf8.Valid(s) {
				return pgerr.New(pgerr.CharacterNotInRepertoire, "invalid byte sequence for encoding \"UTF8\"")
			}
			return nil
		}
	}
	return nil
}

func (o *JSONObject) escaped(from int) ([]byte, error) {
	start := len(o.esc)
	o.esc = append(o.esc, o.b[from:o.i]...)
	for o.i < len(o.b) {
		c := o.b[o.i]
		o.i++
		switch {
		case c == '"':
			s := o.esc[start:len(o.esc):len(o.esc)]
			return s, o.text(s)
		case c < 0x20:
			return nil, o.bad("Control character in a string")
		case c != '\\':
			o.esc = append(o.esc, c)
			continue
		}
		if o.i >= len(o.b) {
			break
		}
		c = o.b[o.i]
		o.i++
		switch c {
		case '"', '\\', '/':
			o.esc = append(o.esc, c)
		case 'b':
			o.esc = append(o.esc, '\b')
		case 'f':
			o.esc = append(o.esc, '\f')
		case 'n':
			o.esc = append(o.esc, '\n')
		case 'r':
			o.esc = append(o.esc, '\r')
		case 't':
			o.esc = append(o.esc, '\t')
		case 'u':
			r, ok := o.hex4()
			if !ok {
				return nil, o.bad("Malformed escape")
			}
			if utf16.IsSurrogate(r) {
				if o.i+1 < len(o.b) && o.b[o.i] == '\\' && o.b[o.i+1] == 'u' {
					o.i += 2
					low, ok := o.hex4()
					if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError {
						return nil, o.bad("Malformed surrogate pair")
					}
				} else {
					return nil, o.bad("Malformed surrogate pair")
				}
			}
			if r == 0 {
				return nil, pgerr.New(pgerr.UntranslatableCharacter, "unsupported Unicode escape sequence").WithDetail("\\u0000 cannot be converted to text.")
			}
			o.esc = utf8.AppendRune(o.esc, r)
		default:
			return nil, o.bad("Malformed escape")
		}
	}
	return nil, o.bad("A string is cut short")
}

func (o *JSONObject) hex4() (rune, bool) {
	if len(o.b)-o.i < 4 {
		return 0, false
	}
	var r rune
	for _, c := range o.b[o.i : o.i+4] {
		v := hexVal(c)
		if v < 0 {
			return 0, false
		}
		r = r<<4 | rune(v)
	}
	o.i += 4
	return r, true
}

// skip passes over an object or array, checking it.
func (o *JSONObject) skip(depth int) error {
	if depth > maxJSONDepth {
		return pgerr.New(pgerr.StatementTooComplex, "JSON is nested deeper than %d levels", maxJSONDepth)
	}
	open := o.b[o.i]
	o.i++
	end := byte('}')
	if open == '[' {
		end = ']'
	}
	o.space()
	if o.i < len(o.b) && o.b[o.i] == end {
		o.i++
		return nil
	}
	for {
		o.space()
		if open == '{' {
			if err := o.skipString(); err != nil {
				return err
			}
			o.space()
			if o.i >= len(o.b) || o.b[o.i] != ':' {
				return o.bad("Expected a colon")
			}
			o.i++
			o.space()
		}
		if o.i >= len(o.b) {
			return o.bad("A value is missing")
		}
		var err error
		switch c := o.b[o.i]; c {
		case '"':
			err = o.skipString()
		case '{', '[':
			err = o.skip(depth + 1)
		case 't':
			err = o.word("true")
		case 'f':
			err = o.word("false")
		case 'n':
			err = o.word("null")
		default:
			err = o.number()
		}
		if err != nil {
			return err
		}
		o.space()
		if o.i >= len(o.b) {
			return o.bad("The value is cut short")
		}
		switch o.b[o.i] {
		case ',':
			o.i++
		case end:
			o.i++
			return nil
		default:
			return o.bad("Expected a comma")
		}
	}
}

// skipString passes over a string. What it holds is only checked where it has escapes.
func (o *JSONObject) skipString() error {
	keep := len(o.esc)
	_, err := o.str()
	o.esc = o.esc[:keep]
	return err
}
