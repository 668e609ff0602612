package types

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
)

// skip moves past the valid value at i.
func (p *jsonScanner) skip() {
	p.space()
	depth := 0
	for p.i < len(p.b) {
		switch c := p.b[p.i]; c {
		case '{', '[':
			depth++
			p.i++
		case '}', ']':
			depth--
			p.i++
		case '"':
			p.i++
			for p.i < len(p.b) && p.b[p.i] != '"' {
				if p.b[p.i] == '\\' {
					p.i++
				}
				p.i++
			}
			p.i++
		case ',', ':', ' ', '\t', '\n', '\r':
			p.i++
			continue
		default:
			for p.i < len(p.b) && strings.IndexByte(",:{}[]\" \t\n\r", p.b[p.i]) < 0 {
				p.i++
			}
		}
		if depth <= 0 {
			break
		}
	}
	p.i = min(p.i, len(p.b))
}

// JSONEach calls f with each key (decoded) and value (raw text) of a JSON object, in order, until it returns false. It reports whether b is an object.
func JSONEach(b []byte, f func(key string, val []byte) bool) bool {
	p := jsonScanner{b: b}
	p.space()
	if p.peek() != '{' {
		return false
	}
	p.i++
	for {
		p.space()
		if p.peek() == ',' {
			p.i++
			p.space()
		}
		if p.peek() != '"' {
			return true
		}
		key, err := p.decodeString(nil)
		if err != nil {
			return true
		}
		p.space()
		p.i++
		p.space()
		at := p.i
		p.skip()
		if !f(string(key), b[at:p.i]) {
			return true
		}
	}
}

// JSONElements calls f with each element (raw text) of a JSON array until it returns false. It reports whether b is an array.
func JSONElements(b []byte, f func(i int, val []byte) bool) bool {
	p := jsonScanner{b: b}
	p.space()
	if p.peek() != '[' {
		return false
	}
	p.i++
	for i := 0; ; i++ {
		p.space()
		if p.peek() == ',' {
			p.i++
			p.space()
		}
		if p.i >= len(b) || p.peek() == ']' {
			return true
		}
		at := p.i
		p.skip()
		if !f(i, b[at:p.i]) {
			return true
		}
	}
}

// JSONGet gives the raw text of a member of a JSON object (the last of duplicates); ok is false where there is none.
func JSONGet(b []byte, key string) (val []byte, ok bool) {
	p := jsonScanner{b: b}
	p.space()
	if p.peek() != '{' {
		return nil, false
	}
	p.i++
	for {
		p.space()
		if p.peek() == ',' {
			p.i++
			p.space()
		}
		if p.peek() != '"' {
			return val, ok
		}
		at := p.i
		p.skip()
		raw := b[at+1 : p.i-1]
		match := string(raw) == key
		if !match && bytes.IndexByte(raw, '\\') >= 0 {
			q := jsonScanner{b: b, i: at}
			k, err := q.decodeString(nil)
			match = err == nil && string(k) == key
		}
		p.space()
		p.i++
		p.space()
		at = p.i
		p.skip()
		if match {
			val, ok = b[at:p.i], true
		}
	}
}

// JSONIndex gives the raw text of element i of a JSON array, from the end where i is negative.
func JSONIndex(b []byte, i int) (val []byte, ok bool) {
	if i < 0 {
		n := JSONLen(b)
		if n < 0 || -i > n {
			return nil, false
		}
		i += n
	}
	JSONElements(b, func(j int, v []byte) bool {
		if j == i {
			val, ok = v, true
		}
		return j < i
	})
	return val, ok
}

// JSONLen counts the elements of a JSON array; -1 for anything else.
func JSONLen(b []byte) int {
	n := 0
	if !JSONElements(b, func(int, []byte) bool { n++; return true }) {
		return -1
	}
	return n
}

// JSONTypeof gives object, array, string, number, boolean or null.
func JSONTypeof(b []byte) string {
	p := jsonScanner{b: b}
	p.space()
	switch p.peek() {
	case '{':
		return "object"
	case '[':
		return "array"
	case '"':
		return "string"
	case 't', 'f':
		return "boolean"
	case 'n':
		return "null"
	}
	return "number"
}

// JSONText gives what ->> makes of a raw value: the characters of a string, the text of anything else; ok is false for null.
func JSONText(val []byte) (s string, ok bool) {
	p := jsonScanner{b: val}
	p.space()
	switch p.peek() {
	case '"':
		d, err := p.decodeString(nil)
		if err != nil {
			return "", false
		}
		return string(d), true
	case 'n':
		return "", false
	}
	return string(bytes.TrimRight(val[p.i:], " \t\r\n")), true
}

// jsonRank orders types as jsonb does: object > array > boolean > number > string > null.
func jsonRank(typ string) int {
	return slices.Index([]string{"null", "string", "number", "boolean", "array", "object"}, typ)
}

// compareJSONB orders normalised jsonb texts as jsonb_cmp does.
func compareJSONB(a, b []byte) int {
	if bytes.Equal(a, b) {
		return 0
	}
	return compareJSONValue(a, b, true)
}

func compareJSONValue(a, b []byte, top bool) int {
	ta, tb := JSONTypeof(a), JSONTypeof(b)
	if ta != tb {
		// PostgreSQL wraps a scalar at the top in an array of one; an empty array sorts before it.
		if top {
			if ta == "array" && JSONLen(a) == 0 && tb != "object" {
				return -1
			}
			if tb == "array" && JSONLen(b) == 0 && ta != "object" {
				return 1
			}
		}
		return cmp.Compare(jsonRank(ta), jsonRank(tb))
	}
	switch ta {
	case "string":
		x, _ := JSONText(a)
		y, _ := JSONText(b)
		return strings.Compare(x, y)
	case "number":
		x, _ := ParseNumeric(string(a))
		y, _ := ParseNumeric(string(b))
		return x.Cmp(y)
	case "boolean":
		return b2i(a[0] == 't') - b2i(b[0] == 't')
	case "array":
		ea, eb := jsonList(a), jsonList(b)
		if c := cmp.Compare(len(ea), len(eb)); c != 0 {
			return c
		}
		for i := range ea {
			if c := compareJSONValue(ea[i], eb[i], false); c != 0 {
				return c
			}
		}
	case "object":
		ka, va := jsonMembers(a)
		kb, vb := jsonMembers(b)
		if c := cmp.Compare(len(ka), len(kb)); c != 0 {
			return c
		}
		for i := range ka {
			if c := strings.Compare(ka[i], kb[i]); c != 0 {
				return c
			}
			if c := compareJSONValue(va[i], vb[i], false); c != 0 {
				return c
			}
		}
	}
	return 0
}

func jsonList(b []byte) (out [][]byte) {
	JSONElements(b, func(_ int, v []byte) bool { out = append(out, v); return true })
	return out
}

func jsonMembers(b []byte) (keys []string, vals [][]byte) {
	JSONEach(b, func(k string, v []byte) bool {
		keys, vals = append(keys, k), append(vals, v)
		return true
	})
	return keys, vals
}

// appendJSONBKey writes the normalised text with numbers in their canonical form.
func appendJSONBKey(dst, b []byte) []byte {
	p := jsonScanner{b: b}
	for p.i < len(b) {
		switch c := b[p.i]; {
		case c == '"':
			at := p.i
			p.skip()
			dst = append(dst, b[at:p.i]...)
		case c == '-' || isDigit(c):
			at := p.i
			if p.number() != nil || p.i == at {
				return append(dst, b[at:]...)
			}
			d, err := ParseNumeric(string(b[at:p.i]))
			if err != nil {
				dst = append(dst, b[at:p.i]...)
				continue
			}
			dst = d.TrimScale().AppendString(dst)
		default:
			dst = append(dst, c)
			p.i++
		}
	}
	return dst
}
