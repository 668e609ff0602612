package fn

import (
	"bytes"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"
	"unicode/utf8"

	"streamsql/internal/pgerr"
	"streamsql/internal/types"
)

func errEncoding(s string) error {
	return pgerr.New(pgerr.InvalidParameterValue, "unrecognized encoding: \"%s\"", s)
}

func encode(_ *Ctx, b []byte, format string) (string, error) {
	switch strings.ToLower(format) {
	case "hex":
		return hex.EncodeToString(b), nil
	case "base64": // lines of 76 characters
		s := base64.StdEncoding.EncodeToString(b)
		var out strings.Builder
		for len(s) > 76 {
			out.WriteString(s[:76] + "\n")
			s = s[76:]
		}
		out.WriteString(s)
		return out.String(), nil
	case "escape":
		var out strings.Builder
		for _, c := range b {
			switch {
			case c == '\\':
				out.WriteString(`\\`)
			case c == 0 || c >= 0x80:
				out.WriteByte('\\')
				out.WriteString(strconv.FormatInt(int64(c)|01000, 8)[1:])
			default:
				out.WriteByte(c)
			}
		}
		return out.String(), nil
	}
	return "", errEncoding(format)
}

func decodeText(_ *Ctx, s, format string) (string, error) {
	strip := func(s string) string {
		return strings.Map(func(r rune) rune {
			if r == ' ' || r == '\t' || r == '\n' || r == '\r' {
				return -1
			}
			return r
		}, s)
	}
	switch strings.ToLower(format) {
	case "hex":
		h := strip(s)
		for _, r := range h {
			if !strings.ContainsRune("0123456789abcdefABCDEF", r) {
				return "", pgerr.New(pgerr.InvalidParameterValue, "invalid hexadecimal digit: \"%c\"", r)
			}
		}
		b, err := hex.DecodeString(h)
		if err != nil {
			return "", pgerr.New(pgerr.InvalidParameterValue, "invalid hexadecimal data: odd number of digits")
		}
		return string(b), nil
	case "base64":
		b, err := base64.StdEncoding.DecodeString(strip(s))
		if err != nil {
			for _, r := range strip(s) {
				if r >= utf8.RuneSelf || !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=", r) {
					return "", pgerr.New(pgerr.InvalidParameterValue, "invalid symbol \"%c\" found while decoding base64 sequence", r)
				}
			}
			return "", pgerr.New(pgerr.InvalidParameterValue, "invalid base64 end sequence").
				WithHint("Input data is missing padding, is truncated, or is otherwise corrupted.")
		}
		return string(b), nil
	case "escape":
		d, err := types.ParseText(nil, types.Bytea, s)
		if err != nil {
			return "", err
		}
		return d.(string), nil
	}
	return "", errEncoding(format)
}

func convertFrom(_ *Ctx, b []byte, enc string) (string, error) {
	switch strings.ToUpper(strings.NewReplacer("-", "", "_", "").Replace(enc)) {
	case "UTF8", "SQLASCII":
		if !utf8.Valid(b) || bytes.IndexByte(b, 0) >= 0 {
			return "", pgerr.New(pgerr.CharacterNotInRepertoire, "invalid byte sequence for encoding \"UTF8\"")
		}
		return string(b), nil
	case "LATIN1", "ISO88591":
		if bytes.IndexByte(b, 0) >= 0 {
			return "", pgerr.New(pgerr.CharacterNotInRepertoire, "invalid byte sequence for encoding \"LATIN1\": 0x00")
		}
		r := make([]rune, len(b))
		for i, c := range b {
			r[i] = rune(c)
		}
		return string(r), nil
	}
	return "", pgerr.New(pgerr.InvalidParameterValue, "invalid source encoding name \"%s\"", enc)
}

func convertTo(_ *Ctx, s, enc string) (string, error) {
	switch strings.ToUpper(strings.NewReplacer("-", "", "_", "").Replace(enc)) {
	case "UTF8", "SQLASCII":
		return s, nil
	case "LATIN1", "ISO88591":
		var b []byte
		for _, r := range s {
			if r > 255 {
				return "", pgerr.New(pgerr.UntranslatableCharacter, "character \"%c\" in encoding \"UTF8\" has no equivalent in encoding \"LATIN1\"", r)
			}
			b = append(b, byte(r))
		}
		return string(b), nil
	}
	return "", pgerr.New(pgerr.InvalidParameterValue, "invalid destination encoding name \"%s\"", enc)
}

// format is the function format(): %s, %I and %L with positions and widths.
func format(c *Ctx, ts []types.T, a []types.Datum) (types.Datum, error) {
	if a[0] == nil {
		return nil, nil
	}
	f := a[0].(string)
	var out strings.Builder
	next := 1
	arg := func(k int) (types.T, types.Datum, error) {
		if k >= len(a) {
			return types.T{}, nil, pgerr.New(pgerr.InvalidParameterValue, "too few arguments for format()")
		}
		return ts[k], a[k], nil
	}
	for i := 0; i < len(f); i++ {
		if f[i] != '%' {
			out.WriteByte(f[i])
			continue
		}
		i++
		unterminated := pgerr.New(pgerr.InvalidParameterValue, "unterminated format() type specifier").
			WithHint("For a single \"%s\" use \"%s\".", "%", "%%")
		if i >= len(f) {
			return nil, unterminated
		}
		if f[i] == '%' {
			out.WriteByte('%')
			continue
		}
		number := func() (int, bool) {
			from := i
			for i < len(f) && f[i] >= '0' && f[i] <= '9' {
				i++
			}
			n, err := strconv.Atoi(f[from:i])
			return n, err == nil
		}
		at, width, left := 0, 0, false
		save := i
		if n, ok := number(); ok && i < len(f) && f[i] == '$' {
			if n == 0 {
				return nil, pgerr.New(pgerr.InvalidParameterValue, "format specifies argument 0, but arguments are numbered from 1")
			}
			at = n
			i++
		} else {
			i = save
		}
		for i < len(f) && f[i] == '-' {
			left = true
			i++
		}
		if i < len(f) && f[i] == '*' {
			i++
			k := next
			if n, ok := number(); ok && i < len(f) && f[i] == '$' {
				k = n
				i++
			} else {
				next++
			}
			t, d, err := arg(k)
			if err != nil {
				return nil, err
			}
			if d != nil {
				w, err := types.ParseText(&c.Env, types.Int4, formatDatum(c, t, d))
				if err != nil {
					return nil, err
				}
				width = int(w.(int32))
				if width < 0 {
					left, width = true, -width
				}
			}
		} else if n, ok := number(); ok {
			width = n
		}
		if i >= len(f) {
			return nil, unterminated
		}
		if at == 0 {
			at = next
		}
		next = at + 1
		kind := f[i]
		if kind != 's' && kind != 'I' && kind != 'L' {
			return nil, pgerr.New(pgerr.InvalidParameterValue, "unrecognized format() type specifier \"%c\"", kind).
				WithHint("For a single \"%s\" use \"%s\".", "%", "%%")
		}
		t, d, err := arg(at)
		if err != nil {
			return nil, err
		}
		s := ""
		switch {
		case d != nil:
			s = formatDatum(c, t, d)
			if kind == 'I' {
				s = QuoteIdent(s)
			} else if kind == 'L' {
				s = QuoteLiteral(s)
			}
		case kind == 'I':
			return nil, pgerr.New(pgerr.NullValueNotAllowed, "null values cannot be formatted as an SQL identifier")
		case kind == 'L':
			s = "NULL"
		}
		fill := ""
		if n := width - utf8.RuneCountInString(s); n > 0 {
			if n > maxValue {
				return nil, errTooLong
			}
			c.Need(3 * (n + len(s)))
			fill = strings.Repeat(" ", n)
		}
		if err := c.enlarge(&out, len(s)+len(fill)); err != nil {
			return nil, err
		}
		if left {
			out.WriteString(s + fill)
		} else {
			out.WriteString(fill + s)
		}
	}
	return out.String(), nil
}

func concat(c *Ctx, ts []types.T, a []types.Datum) (types.Datum, error) {
	var b strings.Builder
	for i, d := range a {
		if d == nil {
			continue
		}
		x := formatDatum(c, ts[i], d)
		if err := c.enlarge(&b, len(x)); err != nil {
			return nil, err
		}
		b.WriteString(x)
	}
	return b.String(), nil
}

func concatWS(c *Ctx, ts []types.T, a []types.Datum) (types.Datum, error) {
	if a[0] == nil {
		return nil, nil
	}
	var b strings.Builder
	some := false
	for i, d := range a[1:] {
		if d == nil {
			continue
		}
		x, sep := formatDatum(c, ts[i+1], d), ""
		if some {
			sep = a[0].(string)
		}
		some = true
		if err := c.enlarge(&b, len(x)+len(sep)); err != nil {
			return nil, err
		}
		b.WriteString(sep)
		b.WriteString(x)
	}
	return b.String(), nil
}

// parseIdent splits a qualified name into its parts, folded and unquoted.
func parseIdent(s string, strict bool) ([]types.Datum, error) {
	bad := pgerr.New(pgerr.InvalidParameterValue, "string is not a valid identifier: \"%s\"", s)
	var out []types.Datum
	for rest := strings.TrimSpace(s); ; {
		if q, ok := strings.CutPrefix(rest, `"`); ok {
			end := 0
			for end < len(q) && (q[end] != '"' || end+1 < len(q) && q[end+1] == '"') {
				if q[end] == '"' {
					end++
				}
				end++
			}
			if end >= len(q) {
				return nil, bad.WithDetail("String has unclosed double quotes.")
			}
			if end == 0 {
				return nil, bad.WithDetail("Quoted identifier must not be empty.")
			}
			out = append(out, strings.ReplaceAll(q[:end], `""`, `"`))
			rest = q[end+1:]
		} else {
			n := 0
			for n < len(rest) && ((rest[n] == '_' || rest[n] >= utf8.RuneSelf || isAlnumByte(rest[n])) || n > 0 && rest[n] == '$') && (n > 0 || rest[n] < '0' || rest[n] > '9') {
				n++
			}
			if n == 0 {
				return nil, bad
			}
			out = append(out, strings.ToLower(rest[:n]))
			rest = rest[n:]
		}
		rest = strings.TrimLeft(rest, " \t\n\r")
		if rest == "" {
			return out, nil
		}
		if rest[0] != '.' {
			if strict {
				return nil, bad
			}
			return out, nil
		}
		rest = strings.TrimLeft(rest[1:], " \t\n\r")
	}
}

func byteIndex(b []byte, i int64, bits int64) error {
	if n := int64(len(b)) * bits; i < 0 || i >= n {
		return pgerr.New(pgerr.ArraySubscriptError, "index %d out of valid range, 0..%d", i, n-1)
	}
	return nil
}

func hashFn(sig string, sum func(b []byte) []byte) {
	def(sig, row1(func(b []byte) []byte { return sum(b) }))
}

func init() {
	md5hex := func(b []byte) string { h := md5.Sum(b); return hex.EncodeToString(h[:]) }
	defs([]string{"md5(text) text", "md5(bytea) text"}, row1(md5hex))
	hashFn("sha224(bytea) bytea", func(b []byte) []byte { h := sha256.Sum224(b); return h[:] })
	hashFn("sha256(bytea) bytea", func(b []byte) []byte { h := sha256.Sum256(b); return h[:] })
	hashFn("sha384(bytea) bytea", func(b []byte) []byte { h := sha512.Sum384(b); return h[:] })
	hashFn("sha512(bytea) bytea", func(b []byte) []byte { h := sha512.Sum512(b); return h[:] })
	def("encode(bytea,text) text", row2e(encode))
	def("decode(text,text) bytea", row2e(decodeText))
	def("convert_from(bytea,name) text", row2e(convertFrom))
	def("convert_to(text,name) bytea", row2e(convertTo))
	def("get_byte(bytea,int4) int4", row2e(func(_ *Ctx, b []byte, i int32) (int32, error) {
		if err := byteIndex(b, int64(i), 1); err != nil {
			return 0, err
		}
		return int32(b[i]), nil
	}))
	def("get_bit(bytea,int8) int4", row2e(func(_ *Ctx, b []byte, i int64) (int32, error) {
		if err := byteIndex(b, i, 8); err != nil {
			return 0, err
		}
		return int32(b[i/8] >> uint(i%8) & 1), nil
	}))
	def("set_byte(bytea,int4,int4) bytea", row3e(func(_ *Ctx, b []byte, i, x int32) ([]byte, error) {
		if err := byteIndex(b, int64(i), 1); err != nil {
			return nil, err
		}
		r := append([]byte(nil), b...)
		r[i] = byte(x)
		return r, nil
	}))
	def("quote_ident(text) text", row1(QuoteIdent))
	def("quote_literal(text) text", row1(QuoteLiteral))
	quoteAny := func(null types.Datum) binder {
		return func(ts []types.T, _ types.T) Kernel {
			return rowD(func(c *Ctx, a []types.Datum) (types.Datum, error) {
				if a[0] == nil {
					return null, nil
				}
				return QuoteLiteral(formatKey(c, ts[0], a[0])), nil
			}, false)
		}
	}
	def("quote_literal(anyelement) text", nil, bound(quoteAny(nil)), stable)
	def("quote_nullable(text) text", nil, bound(quoteAny("NULL")), nonStrict)
	def("quote_nullable(anyelement) text", nil, bound(quoteAny("NULL")), nonStrict, stable)
	variadicAny("concat(any) text", concat)
	variadicAny("concat_ws(text,any) text", concatWS)
	variadicAny("format(text,any) text", format)
	def("format(text) text", rowD(func(c *Ctx, a []types.Datum) (types.Datum, error) { return format(c, ts1, a) }, true), stable)
	def("parse_ident(text,bool) text[]", rowD(func(_ *Ctx, a []types.Datum) (types.Datum, error) {
		parts, err := parseIdent(a[0].(string), len(a) < 2 || a[1].(bool))
		if err != nil {
			return nil, err
		}
		return textArray(parts), nil
	}, true), defaults("true"), named("str", "strict"))
	def("gen_random_uuid() uuid", row0(func(*Ctx) [16]byte {
		var u [16]byte
		_, _ = rand.Read(u[:]) // never fails
		u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
		return u
	}), volatile)
	for _, g := range []struct {
		name string
		skip bool
	}{{"num_nulls", false}, {"num_nonnulls", true}} {
		variadicAny(g.name+"(any) int4", func(_ *Ctx, _ []types.T, a []types.Datum) (types.Datum, error) {
			n := int32(0)
			for _, d := range a {
				if (d == nil) != g.skip {
					n++
				}
			}
			return n, nil
		})
	}
}

var ts1 = []types.T{types.Text}
