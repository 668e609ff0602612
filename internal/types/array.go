package types

import (
	"encoding/binary"
	"strconv"
	"strings"

	"streamsql/internal/pgerr"
)

// Dim is one dimension of an array.
type Dim struct{ Len, Lower int32 }

// Array is a decoded array value: Elems has the product of the dimensions' lengths
// elements, the last dimension fastest; the empty array has no dimensions.
type Array struct {
	Elem  T
	Dims  []Dim
	Elems []Datum
}

const maxDims = 6

// NewArray makes a one-dimensional array with lower bound 1.
func NewArray(elem T, elems []Datum) Array {
	a := Array{Elem: elem, Elems: elems}
	if len(elems) > 0 {
		a.Dims = []Dim{{int32(len(elems)), 1}}
	}
	return a
}

func elemOf(t T) T {
	if e, ok := t.Elem(); ok {
		return e
	}
	return T{OID: OIDText, Mod: -1}
}

func errArrayBinary() error {
	return pgerr.New(pgerr.InvalidBinaryRepresentation, "invalid array flags or dimensions in external binary format")
}

// arrayHeader reads the header of an in-memory array and gives the bytes of the elements.
func arrayHeader(b []byte) (dims []Dim, elemOID uint32, n int, rest []byte, ok bool) {
	if len(b) < 12 {
		return nil, 0, 0, nil, false
	}
	nd := int(int32(binary.BigEndian.Uint32(b)))
	elemOID = binary.BigEndian.Uint32(b[8:])
	if nd < 0 || nd > maxDims || len(b) < 12+8*nd {
		return nil, 0, 0, nil, false
	}
	if nd == 0 {
		return nil, elemOID, 0, b[12:], true
	}
	dims = make([]Dim, nd)
	n = 1
	for i := range dims {
		l := int32(binary.BigEndian.Uint32(b[12+8*i:]))
		if l < 0 || l > 1<<27 || n*int(l) > 1<<27 {
			return nil, 0, 0, nil, false
		}
		dims[i] = Dim{l, int32(binary.BigEndian.Uint32(b[16+8*i:]))}
		n *= int(l)
	}
	rest = b[12+8*nd:]
	if n*4 > len(rest) {
		return nil, 0, 0, nil, false
	}
	if n == 0 {
		dims = nil
	}
	return dims, elemOID, n, rest, true
}

// nextField cuts a length-prefixed field off b; nil is a NULL.
func nextField(b []byte) (field, rest []byte, ok bool) {
	if len(b) < 4 {
		return nil, nil, false
	}
	n := int32(binary.BigEndian.Uint32(b))
	if n < 0 {
		return nil, b[4:], n == -1
	}
	if int(n) > len(b)-4 {
		return nil, nil, false
	}
	return b[4 : 4+n : 4+n], b[4+n:], true
}

// DecodeArray decodes an in-memory array (PostgreSQL's binary format) of array type t (22P03).
func DecodeArray(t T, b []byte) (Array, error) {
	dims, oid, n, rest, ok := arrayHeader(b)
	if !ok {
		return Array{}, errArrayBinary()
	}
	a := Array{Elem: elemOf(t), Dims: dims}
	if t.OID == OIDAnyarray {
		a.Elem = Of(oid)
	} else if oid != a.Elem.OID {
		return Array{}, pgerr.New(pgerr.DatatypeMismatch, "binary data has array element type %d (%s) instead of expected %d (%s)", oid, Of(oid).Format(), a.Elem.OID, a.Elem.Bare().Format())
	}
	if n > 0 {
		a.Elems = make([]Datum, n)
	}
	for i := range n {
		var f []byte
		if f, rest, ok = nextField(rest); !ok {
			return Array{}, errArrayBinary()
		}
		if f == nil {
			continue
		}
		d, err := DecodeBinary(a.Elem, f)
		if err != nil {
			return Array{}, err
		}
		a.Elems[i] = d
	}
	if len(rest) > 0 {
		return Array{}, errArrayBinary()
	}
	return a, nil
}

// Append appends the in-memory form.
func (a Array) Append(dst []byte) []byte {
	nulls := uint32(0)
	for _, e := range a.Elems {
		if e == nil {
			nulls = 1
		}
	}
	dims := a.Dims
	if len(a.Elems) == 0 {
		dims = nil
	} else if dims == nil {
		dims = []Dim{{int32(len(a.Elems)), 1}}
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(dims)))
	dst = binary.BigEndian.AppendUint32(dst, nulls)
	dst = binary.BigEndian.AppendUint32(dst, a.Elem.OID)
	for _, d := range dims {
		dst = binary.BigEndian.AppendUint32(dst, uint32(d.Len))
		dst = binary.BigEndian.AppendUint32(dst, uint32(d.Lower))
	}
	for _, e := range a.Elems {
		dst = appendField(dst, a.Elem, e)
	}
	return dst
}

// appendField appends a length-prefixed value.
func appendField(dst []byte, t T, d Datum) []byte {
	if d == nil {
		return append(dst, 0xff, 0xff, 0xff, 0xff)
	}
	at := len(dst)
	dst = AppendBinary(append(dst, 0, 0, 0, 0), t, d)
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	return dst
}

// Encode gives the in-memory form as a datum.
func (a Array) Encode() string { return string(a.Append(make([]byte, 0, 32+12*len(a.Elems)))) }

func errArrayLiteral(s, detail string, args ...any) error {
	return pgerr.New(pgerr.InvalidTextRepresentation, "malformed array literal: \"%s\"", s).WithDetail(detail, args...)
}

type arrayParser struct {
	env   *Env
	elem  T
	s     string // whole literal, for messages
	t     string
	i     int
	elems []Datum
	lens  [maxDims]int
	depth int // deepest level, 0 unknown
}

func parseArray(env *Env, t, elem T, s string) (Datum, error) {
	p := arrayParser{env: env, elem: elem, s: s, t: s}
	p.space()
	var bounds []Dim
	for p.peek() == '[' {
		if len(bounds) == maxDims {
			return nil, errTooManyDims(maxDims + 1)
		}
		d, err := p.bound()
		if err != nil {
			return nil, err
		}
		bounds = append(bounds, d)
		p.space()
	}
	if bounds != nil {
		if p.peek() != '=' {
			return nil, errArrayLiteral(s, "Missing \"=\" after array dimensions.")
		}
		p.i++
		p.space()
		if p.peek() != '{' {
			return nil, errArrayLiteral(s, "Array contents must start with \"{\".")
		}
	} else if p.peek() != '{' {
		return nil, errArrayLiteral(s, "Array value must start with \"{\" or dimension information.")
	}
	for i := range p.lens {
		p.lens[i] = -1
	}
	if err := p.level(0); err != nil {
		return nil, err
	}
	p.space()
	if p.i < len(p.t) {
		return nil, errArrayLiteral(s, "Junk after closing right brace.")
	}
	a := Array{Elem: elem, Elems: p.elems}
	if len(p.elems) > 0 {
		for i := range p.depth {
			a.Dims = append(a.Dims, Dim{int32(p.lens[i]), 1})
		}
	}
	if bounds != nil {
		if len(bounds) != len(a.Dims) {
			return nil, errArrayLiteral(s, "Specified array dimensions do not match array contents.")
		}
		for i, d := range bounds {
			if d.Len != a.Dims[i].Len {
				return nil, errArrayLiteral(s, "Specified array dimensions do not match array contents.")
			}
			a.Dims[i].Lower = d.Lower
		}
	}
	return a.Encode(), nil
}

func errTooManyDims(n int) error {
	return pgerr.New(pgerr.ProgramLimitExceeded, "number of array dimensions (%d) exceeds the maximum allowed (%d)", n, maxDims)
}

func (p *arrayParser) peek() byte {
	if p.i < len(p.t) {
		return p.t[p.i]
	}
	return 0
}

func (p *arrayParser) space() {
	for p.i < len(p.t) && isSpace(p.t[p.i]) {
		p.i++
	}
}

func (p *arrayParser) bound() (Dim, error) {
	end := strings.IndexByte(p.t[p.i:], ']')
	if end < 0 {
		return Dim{}, errArrayLiteral(p.s, "Missing \"]\" after array dimensions.")
	}
	body := p.t[p.i+1 : p.i+end]
	p.i += end + 1
	lo, hi, ok := strings.Cut(body, ":")
	if !ok {
		lo, hi = "1", body
	}
	l, err1 := strconv.ParseInt(lo, 10, 32)
	h, err2 := strconv.ParseInt(hi, 10, 32)
	if err1 != nil || err2 != nil {
		if body != "" && isDigit(body[0]) {
			return Dim{}, errArrayLiteral(p.s, "Missing array dimension value.")
		}
		return Dim{}, errArrayLiteral(p.s, "\"[\" must introduce explicitly-specified array dimensions.")
	}
	if h < l {
		return Dim{}, pgerr.New(pgerr.ArraySubscriptError, "upper bound cannot be less than lower bound")
	}
	return Dim{int32(h - l + 1), int32(l)}, nil
}

func (p *arrayParser) mismatch() error {
	return errArrayLiteral(p.s, "Multidimensional arrays must have sub-arrays with matching dimensions.")
}

// level reads {..} at nesting depth d.
func (p *arrayParser) level(d int) error {
	if d >= maxDims {
		return errTooManyDims(d + 1)
	}
	p.i++ // {
	n := 0
	p.space()
	if p.peek() == '}' {
		if d > 0 {
			return errArrayLiteral(p.s, "Unexpected \"}\" character.")
		}
		p.i++
		return nil
	}
	for {
		p.space()
		switch c := p.peek(); c {
		case '{':
			if p.depth != 0 && d+1 >= p.depth {
				return errArrayLiteral(p.s, "Unexpected \"{\" character.")
			}
			if err := p.level(d + 1); err != nil {
				return err
			}
		case 0:
			return errArrayLiteral(p.s, "Unexpected end of input.")
		case ',', '}':
			return errArrayLiteral(p.s, "Unexpected \"%c\" character.", c)
		default:
			if p.depth == 0 {
				p.depth = d + 1
			} else if p.depth != d+1 {
				return errArrayLiteral(p.s, "Unexpected array element.")
			}
			if err := p.element(); err != nil {
				return err
			}
		}
		n++
		p.space()
		switch c := p.peek(); c {
		case ',':
			p.i++
			continue
		case '}':
			p.i++
			if p.lens[d] >= 0 && p.lens[d] != n {
				return p.mismatch()
			}
			p.lens[d] = n
			return nil
		case 0:
			return errArrayLiteral(p.s, "Unexpected end of input.")
		default:
			return errArrayLiteral(p.s, "Unexpected array element.")
		}
	}
}

func (p *arrayParser) element() error {
	if len(p.elems) >= 1<<27 {
		return pgerr.New(pgerr.ProgramLimitExceeded, "array size exceeds the maximum allowed (%d)", 1<<27)
	}
	var b []byte
	quoted := false
	if p.peek() == '"' {
		quoted = true
		p.i++
		for {
			c := p.peek()
			if p.i >= len(p.t) {
				return errArrayLiteral(p.s, "Unexpected end of input.")
			}
			p.i++
			if c == '"' {
				break
			}
			if c == '\\' {
				if p.i >= len(p.t) {
					return errArrayLiteral(p.s, "Unexpected end of input.")
				}
				c = p.t[p.i]
				p.i++
			}
			b = append(b, c)
		}
	} else {
		keep := 0 // what backslashes protect from trimming
		for p.i < len(p.t) {
			c := p.t[p.i]
			if c == ',' || c == '}' {
				break
			}
			if c == '{' {
				return errArrayLiteral(p.s, "Unexpected \"{\" character.")
			}
			if c == '"' {
				return errArrayLiteral(p.s, "Unexpected array element.")
			}
			p.i++
			if c == '\\' {
				if p.i >= len(p.t) {
					return errArrayLiteral(p.s, "Unexpected end of input.")
				}
				c = p.t[p.i]
				p.i++
				b = append(b, c)
				keep, quoted = len(b), true
				continue
			}
			b = append(b, c)
		}
		for len(b) > keep && isSpace(b[len(b)-1]) {
			b = b[:len(b)-1]
		}
	}
	if !quoted && strings.EqualFold(string(b), "null") {
		p.elems = append(p.elems, nil)
		return nil
	}
	d, err := ParseText(p.env, p.elem, string(b))
	if err != nil {
		return err
	}
	p.elems = append(p.elems, d)
	return nil
}

// appendArrayText is array_out.
func appendArrayText(dst []byte, env *Env, t T, b []byte) []byte {
	dims, oid, n, rest, ok := arrayHeader(b)
	if !ok || n == 0 {
		return append(dst, "{}"...)
	}
	elem := elemOf(t)
	if t.OID == OIDAnyarray {
		elem = Of(oid)
	}
	for _, d := range dims {
		if d.Lower != 1 {
			for _, d := range dims {
				dst = AppendInt(append(dst, '['), int64(d.Lower))
				dst = AppendInt(append(dst, ':'), int64(d.Lower)+int64(d.Len)-1)
				dst = append(dst, ']')
			}
			dst = append(dst, '=')
			break
		}
	}
	var scratch []byte
	var walk func(level int)
	walk = func(level int) {
		dst = append(dst, '{')
		for i := range int(dims[level].Len) {
			if i > 0 {
				dst = append(dst, ',')
			}
			if level+1 < len(dims) {
				walk(level + 1)
				continue
			}
			var f []byte
			if f, rest, ok = nextField(rest); !ok || f == nil {
				dst = append(dst, "NULL"...)
				continue
			}
			scratch = appendFieldText(scratch[:0], env, elem, f)
			dst = appendQuoted(dst, scratch, '{', '}', true)
		}
		dst = append(dst, '}')
	}
	walk(0)
	return dst
}

// appendFieldText appends the text of a value in binary format.
func appendFieldText(dst []byte, env *Env, t T, f []byte) []byte {
	d, err := DecodeBinary(t, f)
	if err != nil {
		return dst
	}
	return AppendText(dst, env, t, d)
}

// appendQuoted appends s for an array, in double quotes where it must.
func appendQuoted(dst, s []byte, open, end byte, nullWord bool) []byte {
	need := len(s) == 0 || nullWord && strings.EqualFold(stringOf(s), "null")
	for _, c := range s {
		if c == '"' || c == '\\' || c == open || c == end || c == ',' || isSpace(c) {
			need = true
			break
		}
	}
	if !need {
		return append(dst, s...)
	}
	dst = append(dst, '"')
	for _, c := range s {
		if c == '"' || c == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, c)
	}
	return append(dst, '"')
}

// parseVector is the input of int2vector and oidvector: numbers with blanks between them; lower bound 0.
func parseVector(env *Env, t T, s string) (Datum, error) {
	elem := elemOf(t)
	a := Array{Elem: elem}
	for _, f := range strings.Fields(s) {
		d, err := ParseText(env, elem, f)
		if err != nil {
			return nil, err
		}
		a.Elems = append(a.Elems, d)
	}
	a.Dims = []Dim{{int32(len(a.Elems)), 0}}
	return a.Encode(), nil
}

func appendVectorText(dst []byte, env *Env, t T, b []byte) []byte {
	_, _, n, rest, ok := arrayHeader(b)
	for i := 0; i < n && ok; i++ {
		var f []byte
		if f, rest, ok = nextField(rest); !ok {
			break
		}
		if i > 0 {
			dst = append(dst, ' ')
		}
		dst = appendFieldText(dst, env, elemOf(t), f)
	}
	return dst
}
