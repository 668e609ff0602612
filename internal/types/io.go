package types

import (
	"math"
	"strings"
	"unicode/utf8"
	"unsafe"

	"streamsql/internal/pgerr"
)

// bytesOf gives the bytes of s without a copy; they must not be changed.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// stringOf gives b as a string without a copy; b must not change while it is used.
func stringOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// ParseText is the input function of t, modifier applied as for an assignment. env may be nil (UTC, ISO, MDY).
func ParseText(env *Env, t T, s string) (Datum, error) {
	if t.OID >= firstUserOID && t.IsEnum() {
		return datum(ParseEnum(t, s))
	}
	switch t.OID {
	case OIDBool:
		return datum(parseBool(s))
	case OIDInt2:
		i, err := parseInt(s, "smallint", 16)
		return datum(int16(i), err)
	case OIDInt4:
		i, err := parseInt(s, "integer", 32)
		return datum(int32(i), err)
	case OIDInt8:
		return datum(parseInt(s, "bigint", 64))
	case OIDOid, OIDXid:
		return datum(parseOID(s, t.Name()))
	case OIDRegclass, OIDRegtype, OIDRegproc, OIDRegprocedure, OIDRegoper, OIDRegoperator, OIDRegnamespace, OIDRegrole, OIDRegcollation:
		if s == "-" {
			return int64(0), nil
		}
		return datum(parseOID(s, t.Name()))
	case OIDFloat4:
		f, err := parseFloat(s, "real", 32)
		return datum(float32(f), err)
	case OIDFloat8:
		return datum(parseFloat(s, "double precision", 64))
	case OIDNumeric:
		d, err := ParseNumeric(s)
		if err == nil {
			d, err = d.WithMod(t.Mod)
		}
		if err != nil {
			return nil, err
		}
		return d.Encode(), nil
	case OIDText, OIDUnknown, OIDCstring, OIDPgNodeTree, OIDACLItem:
		return datum(s, validText(s))
	case OIDVarchar, OIDBpchar:
		if err := validText(s); err != nil {
			return nil, err
		}
		return ApplyMod(t, s, false)
	case OIDName:
		if err := validText(s); err != nil {
			return nil, err
		}
		return truncateName(s), nil
	case OIDChar:
		return datum(parseChar(s))
	case OIDBytea:
		return datum(parseBytea(s))
	case OIDDate:
		return datum(ParseDate(env, s))
	case OIDTime:
		return datum(ParseTime(env, s, t.Mod))
	case OIDTimetz:
		return datum(ParseTimetz(env, s, t.Mod))
	case OIDTimestamp:
		return datum(ParseTimestamp(env, s, t.Mod))
	case OIDTimestamptz:
		return datum(ParseTimestamptz(env, s, t.Mod))
	case OIDInterval:
		sp, err := parseIntervalStyle(s, t.Mod, env != nil && env.IntervalStyle == "sql_standard")
		return datum(sp.Bytes(), err)
	case OIDUUID:
		return datum(parseUUID(s))
	case OIDJSON:
		if err := validText(s); err != nil {
			return nil, err
		}
		if err := ValidateJSON(bytesOf(s)); err != nil {
			return nil, err
		}
		return s, nil
	case OIDJSONB:
		if err := validText(s); err != nil {
			return nil, err
		}
		b, err := NormalizeJSONB(bytesOf(s))
		return datum(string(b), err)
	case OIDJSONPath:
		if err := validText(s); err != nil {
			return nil, err
		}
		path, err := ParseJSONPath(s)
		if err != nil {
			return nil, err
		}
		return path.String(), nil
	case OIDInet:
		return datum(parseInet(s))
	case OIDBit:
		return datum(parseBits(s, t.Mod, false))
	case OIDVarbit:
		return datum(parseBits(s, t.Mod, true))
	case OIDInt2Vector, OIDOidVector:
		return parseVector(env, t, s)
	case OIDVoid:
		return "", nil
	case OIDRecord:
		return nil, pgerr.New(pgerr.FeatureNotSupported, "input of anonymous composite types is not implemented")
	}
	if e, ok := t.Elem(); ok {
		return parseArray(env, t, e, s)
	}
	if t.IsComposite() {
		return parseRecord(env, t, s)
	}
	return nil, pgerr.New(pgerr.FeatureNotSupported, "cannot accept a value of type %s", t.Format())
}

func datum[V any](v V, err error) (Datum, error) {
	if err != nil {
		return nil, err
	}
	return v, nil
}

// validText refuses what no text holds: bytes that are not UTF-8 and NUL.
func validText(s string) error {
	if !utf8.ValidString(s) {
		i := 0
		for i < len(s) {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				break
			}
			i += n
		}
		var b strings.Builder
		for j := i; j < min(len(s), i+utf8SeqLen(s[i])); j++ {
			if j > i {
				b.WriteByte(' ')
			}
			b.WriteString("0x")
			b.WriteByte(hexDigits[s[j]>>4])
			b.WriteByte(hexDigits[s[j]&15])
		}
		return pgerr.New(pgerr.CharacterNotInRepertoire, "invalid byte sequence for encoding \"UTF8\": %s", b.String())
	}
	if strings.IndexByte(s, 0) >= 0 {
		return pgerr.New(pgerr.CharacterNotInRepertoire, "invalid byte sequence for encoding \"UTF8\": 0x00")
	}
	return nil
}

func utf8SeqLen(c byte) int {
	switch {
	case c >= 0xf0 && c < 0xf8:
		return 4
	case c >= 0xe0:
		return 3
	case c >= 0xc0:
		return 2
	}
	return 1
}

// truncateName cuts to the 63 bytes of a name, not inside a character.
func truncateName(s string) string {
	if len(s) <= 63 {
		return s
	}
	n := 63
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// parseChar is charin: one byte, or \ooo for those above ASCII.
func parseChar(s string) (string, error) {
	if len(s) == 4 && s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && isOctal(s[2]) && isOctal(s[3]) {
		return string([]byte{(s[1]-'0')<<6 | (s[2]-'0')<<3 | (s[3] - '0')}), nil
	}
	if s == "" {
		return "", nil
	}
	return s[:1], nil
}

// CharText is the text of a "char": empty for the zero byte, a backslash and three octal digits for a byte beyond ASCII.
func CharText(s string) string {
	switch {
	case len(s) != 1 || s[0] > 0 && s[0] < 0x80:
		return s
	case s[0] == 0:
		return ""
	}
	return string([]byte{'\\', '0' + s[0]>>6, '0' + s[0]>>3&7, '0' + s[0]&7})
}

// CharOf is the "char" that a text stands for: its first byte, or the byte that a backslash and three octal digits are.
func CharOf(s string) string {
	c, _ := parseChar(s)
	return c
}

// AppendText is the output function of t; d is not nil. env may be nil.
func AppendText(dst []byte, env *Env, t T, d Datum) []byte {
	switch x := d.(type) {
	case bool:
		return AppendBool(dst, x)
	case int16:
		return AppendInt(dst, int64(x))
	case int32:
		if t.OID == OIDDate {
			return AppendDate(dst, env, x)
		}
		return AppendInt(dst, int64(x))
	case int64:
		switch t.OID {
		case OIDTime:
			return AppendTime(dst, x)
		case OIDTimestamp:
			return AppendTimestamp(dst, env, x)
		case OIDTimestamptz:
			return AppendTimestamptz(dst, env, x)
		case OIDRegclass, OIDRegproc, OIDRegtype, OIDRegprocedure, OIDRegoper, OIDRegoperator, OIDRegnamespace, OIDRegrole, OIDRegcollation:
			if x == 0 {
				return append(dst, '-')
			}
			if env != nil && env.RegName != nil {
				if name, ok := env.RegName(t, uint32(x)); ok {
					return append(dst, name...)
				}
			}
		}
		return AppendInt(dst, x)
	case float32:
		return AppendFloat4(dst, x, env.extraFloat())
	case float64:
		return AppendFloat8(dst, x, env.extraFloat())
	case string:
		return AppendTextBytes(dst, env, t, bytesOf(x))
	case [16]byte:
		switch t.OID {
		case OIDUUID:
			return AppendUUID(dst, x)
		case OIDTimetz:
			return AppendTimetz(dst, x)
		}
		return AppendInterval(dst, env, SpanOf(x))
	}
	return dst
}

func (e *Env) extraFloat() int {
	if e == nil {
		return 0
	}
	return e.ExtraFloat
}

// AppendTextBytes is AppendText for types of KindString and KindBytes; b is the in-memory value.
func AppendTextBytes(dst []byte, env *Env, t T, b []byte) []byte {
	switch t.OID {
	case OIDNumeric:
		return AppendNumeric(dst, b)
	case OIDBytea:
		return AppendBytea(dst, env, b)
	case OIDBit, OIDVarbit:
		return appendBits(dst, b)
	case OIDRecord:
		return appendRecordText(dst, env, b)
	case OIDChar:
		return append(dst, CharText(string(b))...)
	case OIDInt2Vector, OIDOidVector:
		return appendVectorText(dst, env, t, b)
	}
	if t.IsComposite() {
		return appendRecordText(dst, env, b)
	}
	if t.OID >= firstUserOID && !t.IsArray() {
		return append(dst, enumLabel(t, b)...)
	}
	if t.Kind() == KindString || t.OID == OIDInet || t.OID == OIDTid {
		return append(dst, b...)
	}
	return appendArrayText(dst, env, t, b)
}

// ApplyMod coerces a value (not nil) to t's modifier: lengths, precisions. explicit
// says that a cast was written, which truncates strings where an assignment fails (22001).
func ApplyMod(t T, d Datum, explicit bool) (Datum, error) {
	if t.Mod < 0 || d == nil {
		return d, nil
	}
	switch t.OID {
	case OIDVarchar:
		s, n := d.(string), int(t.Mod)-4
		at := runePrefix(s, n)
		if at == len(s) {
			return d, nil
		}
		if !explicit && strings.Trim(s[at:], " ") != "" {
			return nil, errTooLong("character varying", n)
		}
		return s[:at], nil
	case OIDBpchar:
		s, n := d.(string), int(t.Mod)-4
		at := runePrefix(s, n)
		if at < len(s) {
			if !explicit && strings.Trim(s[at:], " ") != "" {
				return nil, errTooLong("character", n)
			}
			return s[:at], nil
		}
		if have := utf8.RuneCountInString(s); have < n {
			return s + strings.Repeat(" ", n-have), nil
		}
		return s, nil
	case OIDNumeric:
		v, err := decodeNumericString(d.(string)).WithMod(t.Mod)
		if err != nil {
			return nil, err
		}
		return v.Encode(), nil
	case OIDTimestamp, OIDTimestamptz:
		ts := roundStamp(d.(int64), t.Mod)
		if !isInfinite(ts) && !validTimestamp(ts) {
			return nil, errTimestampRange()
		}
		return ts, nil
	case OIDTime:
		return roundMicros(d.(int64), int(t.Mod)), nil
	case OIDTimetz:
		us, east := TimetzOf(d.([16]byte))
		return TimetzBytes(roundMicros(us, int(t.Mod)), east), nil
	case OIDInterval:
		return SpanOf(d.([16]byte)).WithMod(t.Mod).Bytes(), nil
	case OIDBit, OIDVarbit:
		return applyBitMod(t, d.(string), explicit)
	}
	if e, ok := t.Elem(); ok {
		a, err := DecodeArray(t, bytesOf(d.(string)))
		if err != nil {
			return nil, err
		}
		for i, x := range a.Elems {
			if x == nil {
				continue
			}
			if a.Elems[i], err = ApplyMod(e, x, explicit); err != nil {
				return nil, err
			}
		}
		return a.Encode(), nil
	}
	return d, nil
}

func applyBitMod(t T, s string, explicit bool) (Datum, error) {
	b := bytesOf(s)
	n, want := bitLen(b), int(t.Mod)
	if n == want || t.OID == OIDVarbit && n <= want {
		return s, nil
	}
	if !explicit {
		if t.OID == OIDBit {
			return nil, errBitLength(n, t.Mod)
		}
		return nil, errVarbitLength(t.Mod)
	}
	out := make([]byte, 4+(want+7)/8)
	copy(out[4:], b[4:])
	out[0], out[1], out[2], out[3] = byte(want>>24), byte(want>>16), byte(want>>8), byte(want)
	if r := want & 7; r != 0 && n > want {
		out[len(out)-1] &= 0xff << (8 - r)
	}
	return string(out), nil
}

func errTooLong(typ string, n int) error {
	return pgerr.New(pgerr.StringDataRightTruncation, "value too long for type %s(%d)", typ, n)
}

// runePrefix gives the length in bytes of the first n characters of s.
func runePrefix(s string, n int) int {
	if len(s) <= n {
		return len(s)
	}
	for i := range s {
		if n == 0 {
			return i
		}
		n--
	}
	return len(s)
}

// canonFloat gives NaN and zero one representation each.
func canonFloat(f float64) float64 {
	switch {
	case f != f:
		return math.NaN()
	case f == 0:
		return 0
	}
	return f
}
