package types

import (
	"encoding/hex"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"streamsql/internal/pgerr"
)

// spaces are the characters that PostgreSQL's isspace skips around numbers.
const spaces = " \t\n\r\v\f"

func errSyntax(typ, s string) *pgerr.Error {
	return pgerr.New(pgerr.InvalidTextRepresentation, "invalid input syntax for type %s: \"%s\"", typ, s)
}

func errRange(typ, s string) *pgerr.Error {
	return pgerr.New(pgerr.NumericValueOutOfRange, "value \"%s\" is out of range for type %s", s, typ)
}

// parseInt is the input function of the integer types; size in bits.
func parseInt(s, typ string, size uint) (int64, error) {
	t := strings.Trim(s, spaces)
	neg := false
	if t != "" && (t[0] == '-' || t[0] == '+') {
		neg = t[0] == '-'
		t = t[1:]
	}
	if t == "" {
		return 0, errSyntax(typ, s)
	}
	limit := uint64(1)<<(size-1) - 1
	if neg {
		limit++
	}
	var x uint64
	over := false
	for i := range len(t) {
		c := t[i] - '0'
		if c > 9 {
			return 0, errSyntax(typ, s)
		}
		if over || x > (limit-uint64(c))/10 {
			over = true
			continue
		}
		x = x*10 + uint64(c)
	}
	if over {
		return 0, errRange(typ, s)
	}
	if neg {
		return int64(-x), nil
	}
	return int64(x), nil
}

// parseOID is the input function of oid: unsigned, but -1 wraps as in C's strtoul.
func parseOID(s, typ string) (int64, error) {
	t := strings.Trim(s, spaces)
	neg := strings.HasPrefix(t, "-")
	if neg || strings.HasPrefix(t, "+") {
		t = t[1:]
	}
	x, err := strconv.ParseUint(t, 10, 64)
	if err != nil && (t == "" || strings.Trim(t, "0123456789") != "") {
		return 0, errSyntax(typ, s)
	}
	if err != nil || x > math.MaxUint32 || neg && x > 1<<31 {
		return 0, errRange(typ, s)
	}
	if neg {
		x = uint64(uint32(-x))
	}
	return int64(x), nil
}

// parseBool takes any unambiguous prefix of true, false, yes, no, and on, off, 1, 0.
func parseBool(s string) (bool, error) {
	t := strings.ToLower(strings.Trim(s, spaces))
	switch t {
	case "on", "1":
		return true, nil
	case "of", "off", "0":
		return false, nil
	case "":
		return false, errSyntax("boolean", s)
	}
	switch {
	case strings.HasPrefix("true", t) || strings.HasPrefix("yes", t):
		return true, nil
	case strings.HasPrefix("false", t) || strings.HasPrefix("no", t):
		return false, nil
	}
	return false, errSyntax("boolean", s)
}

func parseFloat(s, typ string, size int) (float64, error) {
	t := strings.Trim(s, spaces)
	if t == "" || strings.IndexByte(t, '_') >= 0 {
		return 0, errSyntax(typ, s)
	}
	switch strings.ToLower(t) {
	case "+nan", "-nan":
		return 0, errSyntax(typ, s)
	}
	if len(t) > 2 && strings.ContainsAny(t[:3], "xX") && !strings.ContainsAny(t, "pP") {
		t += "p0"
	}
	f, err := strconv.ParseFloat(t, size)
	if err != nil {
		if e := err.(*strconv.NumError); e.Err == strconv.ErrRange {
			return 0, pgerr.New(pgerr.NumericValueOutOfRange, "\"%s\" is out of range for type %s", strings.Trim(s, spaces), typ)
		}
		return 0, errSyntax(typ, s)
	}
	if f == 0 {
		mant := t
		if i := strings.IndexAny(t, "eEpP"); i >= 0 {
			mant = t[:i]
		}
		if strings.ContainsAny(mant, "123456789") {
			return 0, pgerr.New(pgerr.NumericValueOutOfRange, "\"%s\" is out of range for type %s", strings.Trim(s, spaces), typ)
		}
	}
	return f, nil
}

// AppendInt appends i in decimal.
func AppendInt(dst []byte, i int64) []byte { return strconv.AppendInt(dst, i, 10) }

// AppendBool appends t or f.
func AppendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, 't')
	}
	return append(dst, 'f')
}

// AppendFloat8 appends f as float8out does. extra is Env.ExtraFloat: 0 or more
// gives the shortest text that reads back as f, less gives 16+extra digits.
func AppendFloat8(dst []byte, f float64, extra int) []byte {
	// Integral values are most of what aggregates give; their shortest text is the integer's.
	if f > -1e15 && f < 1e15 && f == math.Trunc(f) && extra >= 0 && (f != 0 || !math.Signbit(f)) {
		return strconv.AppendInt(dst, int64(f), 10)
	}
	return appendFloat(dst, f, 64, extra, 15)
}

// AppendFloat4 appends f as float4out does.
func AppendFloat4(dst []byte, f float32, extra int) []byte {
	return appendFloat(dst, float64(f), 32, extra, 6)
}

// appendFloat switches to the exponent form where the decimal exponent is not in [-4, digits).
func appendFloat(dst []byte, f float64, size, extra, digits int) []byte {
	switch {
	case f != f:
		return append(dst, "NaN"...)
	case math.IsInf(f, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(f, -1):
		return append(dst, "-Infinity"...)
	}
	prec := -1
	if extra < 0 {
		digits = max(digits+extra+1, 1)
		prec = digits - 1
	}
	at := len(dst)
	dst = strconv.AppendFloat(dst, f, 'e', prec, size)
	// Read the exponent back: the digits decide between the two forms.
	e := at
	for dst[e] != 'e' {
		e++
	}
	exp := 0
	for _, c := range dst[e+2:] {
		exp = exp*10 + int(c-'0')
	}
	if dst[e+1] == '-' {
		exp = -exp
	}
	if exp < -4 || exp >= digits {
		if prec >= 0 {
			return trimMantissa(dst, at, e)
		}
		return dst
	}
	if prec >= 0 {
		prec = max(digits-1-exp, 0)
		dst = strconv.AppendFloat(dst[:at], f, 'f', prec, 64)
		if prec > 0 {
			for dst[len(dst)-1] == '0' {
				dst = dst[:len(dst)-1]
			}
			if dst[len(dst)-1] == '.' {
				dst = dst[:len(dst)-1]
			}
		}
		return dst
	}
	return strconv.AppendFloat(dst[:at], f, 'f', -1, size)
}

// trimMantissa drops zeros at the end of the digits before the exponent at e, as %g does.
func trimMantissa(dst []byte, at, e int) []byte {
	i := e
	for i > at && dst[i-1] == '0' {
		i--
	}
	if i > at && dst[i-1] == '.' {
		i--
	} else if i == e || !contains(dst[at:e], '.') {
		return dst
	}
	return append(dst[:i], dst[e:]...)
}

func contains(b []byte, c byte) bool {
	for _, x := range b {
		if x == c {
			return true
		}
	}
	return false
}

const hexDigits = "0123456789abcdef"

// AppendUUID appends the 36 characters of u.
func AppendUUID(dst []byte, u [16]byte) []byte {
	for i, b := range u {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			dst = append(dst, '-')
		}
		dst = append(dst, hexDigits[b>>4], hexDigits[b&15])
	}
	return dst
}

func parseUUID(s string) (u [16]byte, err error) {
	t := s
	if strings.HasPrefix(t, "{") {
		if !strings.HasSuffix(t, "}") {
			return u, errSyntax("uuid", s)
		}
		t = t[1 : len(t)-1]
	}
	for i := range u {
		if len(t) < 2 {
			return u, errSyntax("uuid", s)
		}
		if _, err := hex.Decode(u[i:i+1], []byte(t[:2])); err != nil {
			return u, errSyntax("uuid", s)
		}
		t = t[2:]
		if i&1 == 1 && i < 15 && strings.HasPrefix(t, "-") {
			t = t[1:]
		}
	}
	if t != "" {
		return u, errSyntax("uuid", s)
	}
	return u, nil
}

func parseBytea(s string) (string, error) {
	if strings.HasPrefix(s, "\\x") {
		out := make([]byte, 0, len(s)/2)
		for i := 2; i < len(s); {
			if strings.IndexByte(" \n\t\r", s[i]) >= 0 {
				i++
				continue
			}
			hi := unhex(s[i])
			if hi < 0 {
				r, _ := utf8.DecodeRuneInString(s[i:])
				return "", pgerr.New(pgerr.InvalidParameterValue, "invalid hexadecimal digit: \"%c\"", r)
			}
			if i+1 == len(s) {
				return "", pgerr.New(pgerr.InvalidParameterValue, "invalid hexadecimal data: odd number of digits")
			}
			lo := unhex(s[i+1])
			if lo < 0 {
				r, _ := utf8.DecodeRuneInString(s[i+1:])
				return "", pgerr.New(pgerr.InvalidParameterValue, "invalid hexadecimal digit: \"%c\"", r)
			}
			out = append(out, byte(hi<<4|lo))
			i += 2
		}
		return string(out), nil
	}
	if strings.IndexByte(s, '\\') < 0 {
		return s, nil
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			out = append(out, s[i])
			continue
		}
		switch {
		case i+1 < len(s) && s[i+1] == '\\':
			out = append(out, '\\')
			i++
		case i+3 < len(s) && s[i+1] >= '0' && s[i+1] <= '3' && isOctal(s[i+2]) && isOctal(s[i+3]):
			out = append(out, (s[i+1]-'0')<<6|(s[i+2]-'0')<<3|(s[i+3]-'0'))
			i += 3
		default:
			return "", pgerr.New(pgerr.InvalidTextRepresentation, "invalid input syntax for type bytea")
		}
	}
	return string(out), nil
}

func isOctal(c byte) bool { return c >= '0' && c <= '7' }

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// AppendBytea appends b as bytea_output (Env.ByteaOutput) says.
func AppendBytea(dst []byte, env *Env, b []byte) []byte {
	if env != nil && env.ByteaOutput == "escape" {
		for _, c := range b {
			switch {
			case c == '\\':
				dst = append(dst, '\\', '\\')
			case c < 0x20 || c > 0x7e:
				dst = append(dst, '\\', '0'+c>>6, '0'+c>>3&7, '0'+c&7)
			default:
				dst = append(dst, c)
			}
		}
		return dst
	}
	dst = append(dst, '\\', 'x')
	return hex.AppendEncode(dst, b)
}

// parseBits is the input function of bit and varbit: B or X digits. In memory: the
// number of bits (4 bytes, big endian), then the bits, as varbit_send writes them.
func parseBits(s string, mod int32, varying bool) (string, error) {
	t := s
	isHex := false
	if t != "" && (t[0] == 'b' || t[0] == 'B') {
		t = t[1:]
	} else if t != "" && (t[0] == 'x' || t[0] == 'X') {
		t, isHex = t[1:], true
	}
	n := len(t)
	if isHex {
		n *= 4
	}
	out := make([]byte, 4+(n+7)/8)
	out[0], out[1], out[2], out[3] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
	for i := range len(t) {
		if isHex {
			h := unhex(t[i])
			if h < 0 {
				return "", pgerr.New(pgerr.InvalidTextRepresentation, "\"%c\" is not a valid hexadecimal digit", firstRune(t[i:]))
			}
			out[4+i/2] |= byte(h << (4 * (1 - i&1)))
			continue
		}
		switch t[i] {
		case '1':
			out[4+i/8] |= 0x80 >> (i & 7)
		case '0':
		default:
			return "", pgerr.New(pgerr.InvalidTextRepresentation, "\"%c\" is not a valid binary digit", firstRune(t[i:]))
		}
	}
	switch {
	case mod >= 0 && !varying && n != int(mod):
		return "", errBitLength(n, mod)
	case mod >= 0 && varying && n > int(mod):
		return "", errVarbitLength(mod)
	}
	return string(out), nil
}

func errBitLength(n int, mod int32) error {
	return pgerr.New("22026", "bit string length %d does not match type bit(%d)", n, mod)
}

func errVarbitLength(mod int32) error {
	return pgerr.New(pgerr.StringDataRightTruncation, "bit string too long for type bit varying(%d)", mod)
}

func firstRune(s string) rune { r, _ := utf8.DecodeRuneInString(s); return r }

func bitLen(b []byte) int {
	if len(b) < 4 {
		return 0
	}
	n := int(b[0])<<24 | int(b[1])<<16 | int(b[2])<<8 | int(b[3])
	return min(n, (len(b)-4)*8)
}

func appendBits(dst, b []byte) []byte {
	for i := range bitLen(b) {
		dst = append(dst, '0'+b[4+i/8]>>(7-i&7)&1)
	}
	return dst
}
