package types

import (
	"encoding/binary"
	"slices"

	"streamsql/internal/pgerr"
)

// EncodeRecord gives the in-memory form of a record: PostgreSQL's record_send format.
func EncodeRecord(types []T, vals []Datum) string {
	dst := binary.BigEndian.AppendUint32(make([]byte, 0, 4+16*len(vals)), uint32(len(vals)))
	for i, v := range vals {
		dst = binary.BigEndian.AppendUint32(dst, types[i].OID)
		dst = appendField(dst, types[i], v)
	}
	return string(dst)
}

func errRecordBinary() error {
	return pgerr.New(pgerr.InvalidBinaryRepresentation, "improper binary format in record")
}

// recordFields calls f for each field of an in-memory record; a nil value is NULL.
func recordFields(b []byte, f func(i int, oid uint32, v []byte) bool) bool {
	if len(b) < 4 {
		return false
	}
	n := int(binary.BigEndian.Uint32(b))
	b = b[4:]
	for i := range n {
		if len(b) < 8 {
			return false
		}
		oid := binary.BigEndian.Uint32(b)
		v, rest, ok := nextField(b[4:])
		if !ok {
			return false
		}
		if !f(i, oid, v) {
			return true
		}
		b = rest
	}
	return len(b) == 0
}

// DecodeRecord decodes an in-memory record (22P03).
func DecodeRecord(b []byte) (types []T, vals []Datum, err error) {
	ok := recordFields(b, func(_ int, oid uint32, v []byte) bool {
		t := Of(oid)
		types = append(types, t)
		if v == nil {
			vals = append(vals, nil)
			return true
		}
		var d Datum
		if d, err = DecodeBinary(t, v); err != nil {
			return false
		}
		vals = append(vals, d)
		return true
	})
	if err == nil && !ok {
		err = errRecordBinary()
	}
	return types, vals, err
}

// appendRecordText is record_out.
func appendRecordText(dst []byte, env *Env, b []byte) []byte {
	dst = append(dst, '(')
	var scratch []byte
	recordFields(b, func(i int, oid uint32, v []byte) bool {
		if i > 0 {
			dst = append(dst, ',')
		}
		if v == nil {
			return true
		}
		scratch = appendFieldText(scratch[:0], env, Of(oid), v)
		dst = appendRecordField(dst, scratch)
		return true
	})
	return append(dst, ')')
}

func appendRecordField(dst, s []byte) []byte {
	need := len(s) == 0
	for _, c := range s {
		if c == '"' || c == '\\' || c == '(' || c == ')' || c == ',' || isSpace(c) {
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
			dst = append(dst, c)
		}
		dst = append(dst, c)
	}
	return append(dst, '"')
}

// IsComposite reports whether t is a composite type that a user has made. The pseudo-type record is none.
func (t T) IsComposite() bool { return t.OID >= firstUserOID && compositeOf(t.OID) != nil }

func compositeOf(oid uint32) *Record {
	if in := infoOf(oid); in != nil {
		return in.Rec
	}
	return nil
}

// Record gives the shape of t's values: of a composite type, and of a record whose shape is known; else nil.
func (t T) Record() *Record {
	if t.Rec == nil && t.OID >= firstUserOID {
		return compositeOf(t.OID)
	}
	return t.Rec
}

// Index finds a column by its name, -1 if there is none.
func (r *Record) Index(name string) int {
	if r == nil {
		return -1
	}
	return slices.Index(r.Names, name)
}

// decodeComposite is record_recv of a composite type: the fields have to be the type's.
func decodeComposite(t T, b []byte) (Datum, error) {
	ts, vals, err := DecodeRecord(b)
	if err != nil {
		return nil, err
	}
	rec := t.Record()
	if len(ts) != len(rec.Types) {
		return nil, pgerr.New(pgerr.DatatypeMismatch, "wrong number of columns: %d, expected %d", len(ts), len(rec.Types))
	}
	for i := range ts {
		if ts[i].OID != rec.Types[i].OID {
			return nil, pgerr.New(pgerr.DatatypeMismatch, "binary data has type %d (%s) instead of expected %d (%s) in record column %d",
				ts[i].OID, ts[i].Format(), rec.Types[i].OID, rec.Types[i].Format(), i+1)
		}
		if vals[i], err = ApplyMod(rec.Types[i], vals[i], false); err != nil {
			return nil, err
		}
	}
	return EncodeRecord(rec.Types, vals), nil
}

// parseRecord is record_in of a composite type.
func parseRecord(env *Env, t T, s string) (Datum, error) {
	rec := t.Record()
	bad := func(detail string) (Datum, error) {
		return nil, pgerr.New(pgerr.InvalidTextRepresentation, "malformed record literal: \"%s\"", s).WithDetail("%s", detail)
	}
	i := 0
	space := func() {
		for i < len(s) && isSpace(s[i]) {
			i++
		}
	}
	if space(); i == len(s) || s[i] != '(' {
		return bad("Missing left parenthesis.")
	}
	i++
	vals := make([]Datum, len(rec.Types))
	var buf []byte
	for n := range vals {
		if n > 0 {
			if i == len(s) || s[i] != ',' {
				return bad("Too few columns.")
			}
			i++
		}
		if i < len(s) && (s[i] == ',' || s[i] == ')') {
			continue // NULL
		}
		buf = buf[:0]
		for quoted := false; quoted || i == len(s) || s[i] != ',' && s[i] != ')'; i++ {
			if i == len(s) {
				return bad("Unexpected end of input.")
			}
			switch c := s[i]; {
			case c == '\\':
				if i++; i == len(s) {
					return bad("Unexpected end of input.")
				}
				buf = append(buf, s[i])
			case c == '"' && !quoted:
				quoted = true
			case c == '"' && i+1 < len(s) && s[i+1] == '"':
				i++
				buf = append(buf, '"')
			case c == '"':
				quoted = false
			default:
				buf = append(buf, c)
			}
		}
		d, err := ParseText(env, rec.Types[n], string(buf))
		if err == nil {
			d, err = ApplyMod(rec.Types[n], d, false)
		}
		if err != nil {
			return nil, err
		}
		vals[n] = d
	}
	if len(vals) == 0 {
		space()
	}
	if i < len(s) && s[i] == ',' {
		return bad("Too many columns.")
	}
	if i == len(s) || s[i] != ')' {
		return bad("Too many columns.")
	}
	i++
	if space(); i < len(s) {
		return bad("Junk after right parenthesis.")
	}
	return EncodeRecord(rec.Types, vals), nil
}
