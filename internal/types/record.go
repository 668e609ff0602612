package types

import (
	"encoding/binary"

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
