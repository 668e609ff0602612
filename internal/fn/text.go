package fn

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"

	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

func ascii(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// runeAt gives the byte offset of character k of s, len(s) past its end.
func runeAt(s string, k int) int {
	i := 0
	for ; k > 0 && i < len(s); k-- {
		_, w := utf8.DecodeRuneInString(s[i:])
		i += w
	}
	return i
}

func charLen(s string) int32 { return int32(utf8.RuneCountInString(s)) }

func charLengths(_ *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
	off, data, o := args[0].Off[:n+1], args[0].Data, out.I32[:n]
	for i := range o {
		o[i] = int32(utf8.RuneCount(data[off[i]:off[i+1]]))
	}
}

func octetLengths(_ *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
	off, o := args[0].Off[:n+1], out.I32[:n]
	for i := range o {
		o[i] = off[i+1] - off[i]
	}
}

// concatText is the operator || of text and of bytea: NULL lanes may be joined, they stay NULL.
func concatText(_ *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
	a, b := args[0], args[1]
	for i := range n {
		x, y := a.Bytes(i), b.Bytes(i)
		if len(x)+len(y) > maxValue {
			out.AppendNull()
			out.Fail(i, errEnlarge)
			continue
		}
		out.EndBytes(append(append(out.DataTail(len(x)+len(y)), x...), y...))
	}
}

// castFormatter is formatter but for the types whose cast to text is not their output function.
func castFormatter(c *Ctx, t types.T, v *vec.Vec) func(dst []byte, i int) []byte {
	switch t.OID {
	case types.OIDBool:
		return func(dst []byte, i int) []byte { return append(dst, textBool(v.Bools[i])...) }
	case types.OIDBpchar:
		return func(dst []byte, i int) []byte { return append(dst, bytes.TrimRight(v.Bytes(i), " ")...) }
	}
	return formatter(c, t, v)
}

// concatAny is || of text and a value of any type.
func concatAny(args []types.T, _ types.T) Kernel {
	return func(c *Ctx, in []*vec.Vec, out *vec.Vec, n int) {
		a, b := castFormatter(c, args[0], in[0]), castFormatter(c, args[1], in[1])
		for i := range n {
			if anyNull(in, i) {
				out.AppendNull()
				continue
			}
			out.EndBytes(b(a(out.DataTail(2*textSize), i), i))
		}
	}
}

// mapASCII applies a case mapping, byte-wise where the text is ASCII.
func mapCase(byteMap func(c byte) byte, full func(string) string) Kernel {
	return func(_ *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
		for i := range n {
			s := args[0].Str(i)
			if !ascii(s) {
				out.AppendStr(full(s))
				continue
			}
			dst := out.DataTail(len(s))
			at := len(dst)
			dst = append(dst, s...)
			for j := at; j < len(dst); j++ {
				dst[j] = byteMap(dst[j])
			}
			out.EndBytes(dst)
		}
	}
}

func lowerByte(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

func upperByte(c byte) byte {
	if c >= 'a' && c <= 'z' {
		return c - ('a' - 'A')
	}
	return c
}

func initcap(s string) string {
	in := false
	return strings.Map(func(r rune) rune {
		word := unicode.IsLetter(r) || unicode.IsDigit(r)
		defer func() { in = word }()
		switch {
		case !word:
			return r
		case in:
			return unicode.ToLower(r)
		}
		return unicode.ToUpper(r)
	}, s)
}

var errSubstr = pgerr.New(pgerr.SubstringError, "negative substring length not allowed")

// substring gives characters [from, from+length) of s, counted from 1; length < 0 and not bounded means the rest.
func substring(s string, from, length int32, bounded bool) (string, error) {
	start, end := int64(from)-1, int64(len(s))
	if bounded {
		if length < 0 {
			return "", errSubstr
		}
		end = start + int64(length)
	}
	start = max(start, 0)
	if end <= start || start >= int64(len(s)) {
		return "", nil
	}
	if ascii(s) {
		return s[start:min(end, int64(len(s)))], nil
	}
	i := runeAt(s, int(start))
	return s[i : i+runeAt(s[i:], int(min(end-start, int64(len(s)))))], nil
}

func subBytes(b []byte, from, length int32, bounded bool) ([]byte, error) {
	start, end := int64(from)-1, int64(len(b))
	if bounded {
		if length < 0 {
			return nil, errSubstr
		}
		end = start + int64(length)
	}
	start, end = max(start, 0), min(end, int64(len(b)))
	if end <= start {
		return nil, nil
	}
	return b[start:end], nil
}

// left gives the first n characters, or all but the last -n.
func left(s string, n int32) string {
	if n < 0 {
		n = max(charLen(s)+n, 0)
	}
	return s[:runeAt(s, int(n))]
}

func right(s string, n int32) string {
	if n < 0 {
		if n == -1<<31 {
			return ""
		}
		return s[runeAt(s, int(-n)):]
	}
	return s[runeAt(s, int(max(charLen(s)-n, 0))):]
}

func position(s, sub string) int32 {
	i := strings.Index(s, sub)
	if i < 0 {
		return 0
	}
	return int32(utf8.RuneCountInString(s[:i])) + 1
}

// pad appends to s, or puts before it, characters of fill up to a length of n characters; longer text is cut.
func pad(c *Ctx, s string, n int32, fill string, before bool) (string, error) {
	have := int(charLen(s))
	want := max(int(n), 0)
	if want*utf8.UTFMax > maxValue {
		return "", errTooLong
	}
	if have >= want {
		return s[:runeAt(s, want)], nil
	}
	if fill == "" {
		return s, nil
	}
	per := utf8.RuneCountInString(fill)
	missing := want - have
	c.Need(2 * (len(s) + (missing/per+1)*len(fill)))
	p := strings.Repeat(fill, missing/per) + fill[:runeAt(fill, missing%per)]
	if before {
		return p + s, nil
	}
	return s + p, nil
}

func trimKernel(leftSide, rightSide bool) Kernel {
	trim := func(s, set string) string {
		if leftSide {
			s = strings.TrimLeft(s, set)
		}
		if rightSide {
			s = strings.TrimRight(s, set)
		}
		return s
	}
	return func(_ *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
		for i := range n {
			set := " "
			if len(args) == 2 {
				set = args[1].Str(i)
			}
			out.AppendStr(trim(args[0].Str(i), set))
		}
	}
}

func trimBytes(leftSide, rightSide bool) Kernel {
	return row2(func(b, set []byte) []byte {
		for leftSide && len(b) > 0 && bytes.IndexByte(set, b[0]) >= 0 {
			b = b[1:]
		}
		for rightSide && len(b) > 0 && bytes.IndexByte(set, b[len(b)-1]) >= 0 {
			b = b[:len(b)-1]
		}
		return b
	})
}

func replaceText(_ *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
	for i := range n {
		s, from := args[0].Str(i), args[1].Str(i)
		if from == "" || !strings.Contains(s, from) {
			out.AppendStr(s)
			continue
		}
		to := args[2].Str(i)
		size := len(s) + strings.Count(s, from)*(len(to)-len(from))
		if size > maxValue {
			out.AppendNull()
			out.Fail(i, errEnlarge)
			continue
		}
		dst := out.DataTail(size)
		for {
			j := strings.Index(s, from)
			if j < 0 {
				break
			}
			dst = append(append(dst, s[:j]...), to...)
			s = s[j+len(from):]
		}
		out.EndBytes(append(dst, s...))
	}
}

func translate(s, from, to string) string {
	f, t := []rune(from), []rune(to)
	return strings.Map(func(r rune) rune {
		for i, c := range f {
			if c == r {
				if i < len(t) {
					return t[i]
				}
				return -1
			}
		}
		return r
	}, s)
}

func repeatText(c *Ctx, s string, n int32) (string, error) {
	if n <= 0 || s == "" {
		return "", nil
	}
	if int64(len(s))*int64(n) > maxValue {
		return "", errTooLong
	}
	c.Need(2 * len(s) * int(n))
	return strings.Repeat(s, int(n)), nil
}

func reverse(s string) string {
	r := make([]byte, 0, len(s))
	for len(s) > 0 {
		_, w := utf8.DecodeLastRuneInString(s)
		r = append(r, s[len(s)-w:]...)
		s = s[:len(s)-w]
	}
	return string(r)
}

var errFieldZero = pgerr.New(pgerr.InvalidParameterValue, "field position must not be zero")

// splitPart gives field n of s, counted from 1, or from the end where n < 0.
func splitPart(s, sep string, n int32) (string, error) {
	switch {
	case n == 0:
		return "", errFieldZero
	case s == "":
		return "", nil
	case sep == "":
		if n == 1 || n == -1 {
			return s, nil
		}
		return "", nil
	}
	if n > 0 {
		for ; n > 1; n-- {
			i := strings.Index(s, sep)
			if i < 0 {
				return "", nil
			}
			s = s[i+len(sep):]
		}
		if i := strings.Index(s, sep); i >= 0 {
			s = s[:i]
		}
		return s, nil
	}
	for ; n < -1; n++ {
		i := strings.LastIndex(s, sep)
		if i < 0 {
			return "", nil
		}
		s = s[:i]
	}
	if i := strings.LastIndex(s, sep); i >= 0 {
		s = s[i+len(sep):]
	}
	return s, nil
}

func splitParts(_ *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
	for i := range n {
		if anyNull(args, i) {
			out.AppendNull()
			continue
		}
		s, err := splitPart(args[0].Str(i), args[1].Str(i), args[2].I32[i])
		if err != nil {
			failLane(out, i, err)
			continue
		}
		out.AppendStr(s)
	}
}

func overlay(s, with string, from, length int32) (string, error) {
	if from <= 0 {
		return "", errSubstr
	}
	head, err := substring(s, 1, from-1, true)
	if err != nil {
		return "", err
	}
	if int64(from)+int64(length) > 1<<31-1 {
		return "", errInt4Range
	}
	tail, err := substring(s, from+length, 0, false)
	return head + with + tail, err
}

func chr(_ *Ctx, n int32) (string, error) {
	switch {
	case n == 0:
		return "", pgerr.New(pgerr.ProgramLimitExceeded, "null character not permitted")
	case n < 0:
		return "", pgerr.New(pgerr.InvalidParameterValue, "character number must be positive")
	case n > unicode.MaxRune || !utf8.ValidRune(n):
		return "", pgerr.New(pgerr.ProgramLimitExceeded, "requested character too large for encoding: %d", n)
	}
	return string(n), nil
}

func startsWith(_ *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
	for i := range n {
		out.Bools[i] = bytes.HasPrefix(args[0].Bytes(i), args[1].Bytes(i))
	}
}

func init() {
	op("text || text text", concatText)
	op("bytea || bytea bytea", concatText)
	op("text || anynonarray text", nil, bound(concatAny), stable)
	op("anynonarray || text text", nil, bound(concatAny), stable)
	op("text ^@ text bool", startsWith)
	def("starts_with(text,text) bool", startsWith)
	def("textcat(text,text) text", concatText)
	for _, name := range []string{"length", "char_length", "character_length"} {
		def(name+"(text) int4", charLengths)
		def(name+"(bpchar) int4", row1(func(s string) int32 { return charLen(strings.TrimRight(s, " ")) }))
	}
	def("length(bytea) int4", octetLengths)
	defs([]string{"octet_length(text) int4", "octet_length(bytea) int4", "octet_length(bpchar) int4"}, octetLengths)
	defs([]string{"bit_length(text) int4", "bit_length(bytea) int4"}, row1(func(s []byte) int32 { return int32(len(s)) * 8 }))
	def("lower(text) text", mapCase(lowerByte, strings.ToLower))
	def("upper(text) text", mapCase(upperByte, strings.ToUpper))
	def("initcap(text) text", row1(initcap))
	for _, name := range []string{"substr", "substring"} {
		def(name+"(text,int4,int4) text", row3e(func(_ *Ctx, s string, from, length int32) (string, error) {
			return substring(s, from, length, true)
		}))
		def(name+"(text,int4) text", row2e(func(_ *Ctx, s string, from int32) (string, error) { return substring(s, from, 0, false) }))
		def(name+"(bytea,int4,int4) bytea", row3e(func(_ *Ctx, s []byte, from, length int32) ([]byte, error) {
			return subBytes(s, from, length, true)
		}))
		def(name+"(bytea,int4) bytea", row2e(func(_ *Ctx, s []byte, from int32) ([]byte, error) { return subBytes(s, from, 0, false) }))
	}
	def("left(text,int4) text", row2(left))
	def("right(text,int4) text", row2(right))
	defs([]string{"strpos(text,text) int4", "position(text,text) int4"}, row2(position))
	def("position(bytea,bytea) int4", row2(func(b, sub []byte) int32 { return int32(bytes.Index(b, sub)) + 1 }))
	for _, name := range []string{"lpad", "rpad"} {
		before := name == "lpad"
		def(name+"(text,int4,text) text", row3e(func(c *Ctx, s string, n int32, fill string) (string, error) { return pad(c, s, n, fill, before) }))
		def(name+"(text,int4) text", row2e(func(c *Ctx, s string, n int32) (string, error) { return pad(c, s, n, " ", before) }))
	}
	defs([]string{"btrim(text,text) text", "btrim(text) text"}, trimKernel(true, true))
	defs([]string{"ltrim(text,text) text", "ltrim(text) text"}, trimKernel(true, false))
	defs([]string{"rtrim(text,text) text", "rtrim(text) text"}, trimKernel(false, true))
	def("btrim(bytea,bytea) bytea", trimBytes(true, true))
	def("ltrim(bytea,bytea) bytea", trimBytes(true, false))
	def("rtrim(bytea,bytea) bytea", trimBytes(false, true))
	def("replace(text,text,text) text", replaceText)
	def("translate(text,text,text) text", row3e(func(_ *Ctx, s, from, to string) (string, error) { return translate(s, from, to), nil }))
	def("repeat(text,int4) text", row2e(repeatText))
	def("reverse(text) text", row1(reverse))
	def("split_part(text,text,int4) text", splitParts)
	def("overlay(text,text,int4,int4) text", rowD(func(_ *Ctx, a []datum) (datum, error) {
		return overlay(a[0].(string), a[1].(string), a[2].(int32), a[3].(int32))
	}, true))
	def("overlay(text,text,int4) text", row3e(func(_ *Ctx, s, with string, from int32) (string, error) {
		return overlay(s, with, from, charLen(with))
	}))
	def("ascii(text) int4", row1(func(s string) int32 {
		if s == "" {
			return 0
		}
		r, _ := utf8.DecodeRuneInString(s)
		return int32(r)
	}))
	def("chr(int4) text", row1e(chr))
	def("to_hex(int4) text", row1(func(x int32) string { return hexUint(uint64(uint32(x))) }))
	def("to_hex(int8) text", row1(func(x int64) string { return hexUint(uint64(x)) }))
	def("normalize(text,text) text", row2e(normalizeText), defaults("NFC"))
	def("is_normalized(text,text) bool", row2e(isNormalized), defaults("NFC"))
	def("unistr(text) text", row1e(func(_ *Ctx, s string) (string, error) { return unistr(s) }))
}
