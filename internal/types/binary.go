package types

import (
	"encoding/binary"
	"math"
	"math/big"
	"unicode/utf8"

	"streamsql/internal/pgerr"
)

func errBinaryLength(t T) error {
	return pgerr.New(pgerr.InvalidBinaryRepresentation, "incorrect binary data format for type %s", t.Bare().Format())
}

// DecodeBinary is the binary receive function of t (22P03, and the range errors of the type).
func DecodeBinary(t T, b []byte) (Datum, error) {
	width := 0
	switch t.Kind() {
	case KindBool:
		width = 1
	case KindInt16:
		width = 2
	case KindInt32, KindFloat32:
		width = 4
	case KindInt64, KindFloat64:
		width = 8
		if t.Category() == 'N' && t.OID != OIDInt8 && t.OID != OIDFloat8 || t.OID == OIDXid {
			width = 4
		}
	case KindFixed16:
		width = 16
		if t.OID == OIDTimetz {
			width = 12
		}
	}
	if width != 0 && len(b) != width {
		return nil, errBinaryLength(t)
	}
	switch t.OID {
	case OIDBool:
		return b[0] != 0, nil
	case OIDInt2:
		return int16(binary.BigEndian.Uint16(b)), nil
	case OIDInt4:
		return int32(binary.BigEndian.Uint32(b)), nil
	case OIDInt8:
		return int64(binary.BigEndian.Uint64(b)), nil
	case OIDFloat4:
		return math.Float32frombits(binary.BigEndian.Uint32(b)), nil
	case OIDFloat8:
		return math.Float64frombits(binary.BigEndian.Uint64(b)), nil
	case OIDDate:
		d := int64(int32(binary.BigEndian.Uint32(b)))
		if d == math.MaxInt32 || d == math.MinInt32 {
			return int32(d), nil
		}
		if d += pgEpochDays; !validDate(d) {
			return nil, errDateRange()
		}
		return int32(d), nil
	case OIDTime:
		us := int64(binary.BigEndian.Uint64(b))
		if us < 0 || us > UsPerDay {
			return nil, pgerr.New(pgerr.DatetimeFieldOverflow, "time out of range")
		}
		return us, nil
	case OIDTimestamp, OIDTimestamptz:
		ts := int64(binary.BigEndian.Uint64(b))
		if isInfinite(ts) {
			return ts, nil
		}
		if ts > math.MaxInt64-pgEpochMicros || !validTimestamp(ts+pgEpochMicros) {
			return nil, errTimestampRange()
		}
		return ts + pgEpochMicros, nil
	case OIDTimetz:
		us, west := int64(binary.BigEndian.Uint64(b)), int32(binary.BigEndian.Uint32(b[8:]))
		if us < 0 || us > UsPerDay {
			return nil, pgerr.New(pgerr.DatetimeFieldOverflow, "time out of range")
		}
		if west <= -16*3600 || west >= 16*3600 {
			return nil, pgerr.New("22009", "time zone displacement out of range")
		}
		return TimetzBytes(us, -west), nil
	case OIDInterval:
		return Span{
			Micros: int64(binary.BigEndian.Uint64(b)),
			Days:   int32(binary.BigEndian.Uint32(b[8:])),
			Months: int32(binary.BigEndian.Uint32(b[12:])),
		}.Bytes(), nil
	case OIDUUID:
		return [16]byte(b), nil
	case OIDNumeric:
		d, err := decodeBinaryNumeric(b)
		if err == nil {
			d, err = d.WithMod(t.Mod)
		}
		if err != nil {
			return nil, err
		}
		return d.Encode(), nil
	case OIDJSONB:
		if len(b) == 0 || b[0] != 1 {
			v := 0
			if len(b) > 0 {
				v = int(b[0])
			}
			return nil, pgerr.New(pgerr.InternalError, "unsupported jsonb version number %d", v)
		}
		if err := validText(string(b[1:])); err != nil {
			return nil, err
		}
		n, err := NormalizeJSONB(b[1:])
		return datum(string(n), err)
	case OIDJSON:
		if err := validText(string(b)); err != nil {
			return nil, err
		}
		return datum(string(b), ValidateJSON(b))
	case OIDBytea, OIDTid:
		return string(b), nil
	case OIDChar:
		if len(b) != 1 {
			return nil, errBinaryLength(t)
		}
		if b[0] == 0 {
			return "", nil
		}
		return string(b), nil
	case OIDInet:
		if s, ok := decodeInet(b); ok {
			return s, nil
		}
		return nil, pgerr.New(pgerr.InvalidBinaryRepresentation, "invalid address family in external \"inet\" value")
	case OIDBit, OIDVarbit:
		if len(b) < 4 || int32(binary.BigEndian.Uint32(b)) < 0 || (int(binary.BigEndian.Uint32(b))+7)/8 != len(b)-4 {
			return nil, pgerr.New(pgerr.InvalidBinaryRepresentation, "invalid length in external bit string")
		}
		return ApplyMod(t, string(b), false)
	case OIDRecord:
		if _, _, err := DecodeRecord(b); err != nil {
			return nil, err
		}
		return string(b), nil
	}
	switch t.Kind() {
	case KindInt64: // oid and its kin
		return int64(binary.BigEndian.Uint32(b)), nil
	case KindString:
		if t.IsEnum() {
			return datum(ParseEnum(t, string(b)))
		}
		if !utf8.Valid(b) || contains(b, 0) {
			return nil, validText(string(b))
		}
		return ApplyMod(t, string(b), false)
	}
	if t.IsArray() {
		a, err := DecodeArray(t, b)
		if err != nil {
			return nil, err
		}
		return a.Encode(), nil
	}
	if t.IsComposite() {
		return decodeComposite(t, b)
	}
	return nil, pgerr.New(pgerr.FeatureNotSupported, "cannot accept a value of type %s", t.Format())
}

// AppendBinary is the binary send function of t; d is not nil.
func AppendBinary(dst []byte, t T, d Datum) []byte {
	switch x := d.(type) {
	case bool:
		return append(dst, byte(b2i(x)))
	case int16:
		return binary.BigEndian.AppendUint16(dst, uint16(x))
	case int32:
		if t.OID == OIDDate && x != DatePosInfinity && x != DateNegInfinity {
			x -= pgEpochDays
		}
		return binary.BigEndian.AppendUint32(dst, uint32(x))
	case int64:
		switch t.OID {
		case OIDTimestamp, OIDTimestamptz:
			if !isInfinite(x) {
				x -= pgEpochMicros
			}
		case OIDInt8, OIDTime:
		default:
			return binary.BigEndian.AppendUint32(dst, uint32(x))
		}
		return binary.BigEndian.AppendUint64(dst, uint64(x))
	case float32:
		return binary.BigEndian.AppendUint32(dst, math.Float32bits(x))
	case float64:
		return binary.BigEndian.AppendUint64(dst, math.Float64bits(x))
	case string:
		return AppendBinaryBytes(dst, t, bytesOf(x))
	case [16]byte:
		return AppendBinaryFixed16(dst, t, x)
	}
	return dst
}

// AppendBinaryFixed16 is AppendBinary for types of KindFixed16.
func AppendBinaryFixed16(dst []byte, t T, x [16]byte) []byte {
	switch t.OID {
	case OIDUUID:
		return append(dst, x[:]...)
	case OIDTimetz:
		us, east := TimetzOf(x)
		return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(dst, uint64(us)), uint32(-east))
	}
	s := SpanOf(x)
	dst = binary.BigEndian.AppendUint64(dst, uint64(s.Micros))
	dst = binary.BigEndian.AppendUint32(dst, uint32(s.Days))
	return binary.BigEndian.AppendUint32(dst, uint32(s.Months))
}

// AppendBinaryBytes is AppendBinary for types of KindString and KindBytes; b is the in-memory value.
func AppendBinaryBytes(dst []byte, t T, b []byte) []byte {
	switch t.OID {
	case OIDNumeric:
		return DecodeNumeric(b).AppendBinary(dst)
	case OIDJSONB:
		return append(append(dst, 1), b...)
	case OIDInet:
		return appendInetBinary(dst, b)
	case OIDChar:
		if len(b) == 0 {
			return append(dst, 0)
		}
	}
	if t.IsEnum() {
		b = enumLabel(t, b)
	}
	return append(dst, b...)
}

// The sign words of PostgreSQL's binary numeric.
const (
	numPos    = 0x0000
	numNeg    = 0x4000
	numNaN    = 0xC000
	numPosInf = 0xD000
	numNegInf = 0xF000
)

// AppendBinary appends PostgreSQL's binary format: base-10000 digits.
func (d Decimal) AppendBinary(dst []byte) []byte {
	word := func(x int) { dst = binary.BigEndian.AppendUint16(dst, uint16(x)) }
	switch d.kind {
	case decNaN:
		return append(dst, 0, 0, 0, 0, numNaN>>8, 0, 0, 0)
	case decPosInf:
		return append(dst, 0, 0, 0, 0, numPosInf>>8, 0, 0, 0)
	case decNegInf:
		return append(dst, 0, 0, 0, 0, numNegInf>>8, 0, 0, 0)
	}
	sgn := numPos
	if d.neg {
		sgn = numNeg
	}
	scale := int(d.scale)
	pad := (4 - scale&3) & 3 // zeros that complete the last group
	u, x := d.u, d.big
	if x == nil {
		var ok bool
		if u, ok = u.mul64(pow10tab[pad]); !ok {
			x = d.coef()
		}
	}
	var buf [16]uint16
	groups := buf[:0] // least significant first
	if x != nil {
		s := new(big.Int).Mul(x, bigPow10(pad)).Append(nil, 10)
		for len(s) > 0 {
			n := max(len(s)-4, 0)
			groups = append(groups, uint16(atoiSmall(string(s[n:]))))
			s = s[:n]
		}
	} else {
		for !u.isZero() {
			var r uint64
			u, r = u.div64(10000)
			groups = append(groups, uint16(r))
		}
	}
	weight := len(groups) - (scale+pad)/4 - 1
	low := 0
	for low < len(groups) && groups[low] == 0 {
		low++
	}
	if low == len(groups) {
		weight = 0
	}
	word(len(groups) - low)
	word(weight)
	word(sgn)
	word(scale)
	for i := len(groups) - 1; i >= low; i-- {
		word(int(groups[i]))
	}
	return dst
}

func decodeBinaryNumeric(b []byte) (Decimal, error) {
	bad := func(what string) (Decimal, error) {
		return Decimal{}, pgerr.New(pgerr.InvalidBinaryRepresentation, "invalid %s in external \"numeric\" value", what)
	}
	if len(b) < 8 {
		return Decimal{}, pgerr.New(pgerr.ProtocolViolation, "insufficient data left in message")
	}
	n := int(binary.BigEndian.Uint16(b))
	weight := int(int16(binary.BigEndian.Uint16(b[2:])))
	sgn := binary.BigEndian.Uint16(b[4:])
	scale := int(binary.BigEndian.Uint16(b[6:]))
	switch sgn {
	case numNaN:
		return NumericNaN, nil
	case numPosInf:
		return NumericPosInf, nil
	case numNegInf:
		return NumericNegInf, nil
	case numPos, numNeg:
	default:
		return bad("sign")
	}
	if scale > maxNumericScale {
		return bad("scale")
	}
	if len(b) != 8+2*n {
		return Decimal{}, pgerr.New(pgerr.InvalidBinaryRepresentation, "incorrect binary data format for type numeric")
	}
	var u u128
	var x *big.Int
	for i := range n {
		g := uint64(binary.BigEndian.Uint16(b[8+2*i:]))
		if g >= 10000 {
			return bad("digit")
		}
		if x == nil {
			v, ok := u.mul64(10000)
			if ok {
				v, ok = v.add(u128{0, g})
			}
			if ok {
				u = v
				continue
			}
			x = Decimal{u: u}.coef()
		}
		x.Mul(x, big.NewInt(10000))
		x.Add(x, new(big.Int).SetUint64(g))
	}
	d := Decimal{u: u}
	if x != nil {
		d = fromBigAbs(x, false, 0)
	}
	d.neg = sgn == numNeg && !d.IsZero()
	// The groups end 4*(weight+1-n) digits left of the point.
	e := 4 * (weight + 1 - n)
	switch {
	case e >= 0:
		d = d.mulPow10(e)
		d = d.mulPow10(scale)
	case -e <= scale:
		d = d.mulPow10(scale + e)
	default: // digits beyond the scale are dropped
		cut := -e - scale
		if d.big == nil {
			q, _, _ := d.u.divPow10(cut)
			d = fromU128(q, d.neg, 0)
		} else {
			d = fromBigAbs(new(big.Int).Quo(d.big, bigPow10(cut)), d.neg, 0)
		}
	}
	d.scale = uint16(scale)
	return d.checked()
}
