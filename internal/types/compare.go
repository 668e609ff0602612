package types

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"
	"strings"
)

// compareFloat puts NaN after everything and takes -0 for 0.
func compareFloat(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	case a == b:
		return 0
	case a == a:
		return -1
	case b == b:
		return 1
	}
	return 0
}

// Compare orders two values (not nil) of type t as PostgreSQL's btree operators do, text by bytes (collation C).
func Compare(t T, a, b Datum) int {
	switch x := a.(type) {
	case bool:
		return b2i(x) - b2i(b.(bool))
	case int16:
		return cmp.Compare(x, b.(int16))
	case int32:
		return cmp.Compare(x, b.(int32))
	case int64:
		return cmp.Compare(x, b.(int64))
	case float32:
		return compareFloat(float64(x), float64(b.(float32)))
	case float64:
		return compareFloat(x, b.(float64))
	case string:
		y := b.(string)
		if t.Kind() == KindString && t.OID != OIDBpchar && t.OID != OIDJSONB {
			return strings.Compare(x, y)
		}
		return CompareBytes(t, bytesOf(x), bytesOf(y))
	case [16]byte:
		return CompareFixed16(t, x, b.([16]byte))
	}
	return 0
}

// CompareFixed16 is Compare for types of KindFixed16.
func CompareFixed16(t T, a, b [16]byte) int {
	switch t.OID {
	case OIDInterval:
		return SpanOf(a).Cmp(SpanOf(b))
	case OIDTimetz:
		return timetzCmp(a, b)
	}
	return bytes.Compare(a[:], b[:])
}

func trimBlanks(b []byte) []byte {
	for len(b) > 0 && b[len(b)-1] == ' ' {
		b = b[:len(b)-1]
	}
	return b
}

// CompareBytes is Compare for types of KindString and KindBytes, on the in-memory bytes. It does not allocate but for jsonb, records and arrays of such.
func CompareBytes(t T, a, b []byte) int {
	switch t.OID {
	case OIDText, OIDVarchar, OIDName, OIDBytea, OIDChar, OIDUnknown, OIDJSON:
		return bytes.Compare(a, b)
	case OIDNumeric:
		return DecodeNumeric(a).Cmp(DecodeNumeric(b))
	case OIDBpchar:
		return bytes.Compare(trimBlanks(a), trimBlanks(b))
	case OIDJSONB:
		return compareJSONB(a, b)
	case OIDInet:
		return compareInet(a, b)
	case OIDBit, OIDVarbit:
		if len(a) < 4 || len(b) < 4 {
			return cmp.Compare(len(a), len(b))
		}
		if c := bytes.Compare(a[4:], b[4:]); c != 0 {
			return c
		}
		return cmp.Compare(bitLen(a), bitLen(b))
	case OIDRecord:
		return compareRecords(a, b)
	}
	if t.IsArray() || t.OID == OIDAnyarray {
		return compareArrays(t, a, b)
	}
	if t.IsComposite() {
		return compareRecords(a, b)
	}
	return bytes.Compare(a, b)
}

// compareField compares two values in binary format, either perhaps NULL (last).
func compareField(t T, a, b []byte) int {
	switch {
	case a == nil || b == nil:
		return b2i(a == nil) - b2i(b == nil)
	}
	switch t.OID {
	case OIDText, OIDVarchar, OIDName, OIDBytea, OIDUUID, OIDJSON, OIDChar, OIDBool:
		return bytes.Compare(a, b)
	case OIDInt2, OIDInt4, OIDInt8, OIDDate, OIDTimestamp, OIDTimestamptz, OIDTime:
		if len(a) == len(b) && len(a) > 0 {
			if c := cmp.Compare(int8(a[0]), int8(b[0])); c != 0 {
				return c
			}
			return bytes.Compare(a, b)
		}
	}
	x, err1 := DecodeBinary(t, a)
	y, err2 := DecodeBinary(t, b)
	if err1 != nil || err2 != nil || x == nil || y == nil {
		return bytes.Compare(a, b)
	}
	return Compare(t, x, y)
}

// compareArrays goes by elements, then their number, then the dimensions.
func compareArrays(t T, a, b []byte) int {
	da, oid, na, ra, ok1 := arrayHeader(a)
	db, _, nb, rb, ok2 := arrayHeader(b)
	if !ok1 || !ok2 {
		return bytes.Compare(a, b)
	}
	elem := Of(oid)
	for range min(na, nb) {
		var fa, fb []byte
		fa, ra, ok1 = nextField(ra)
		fb, rb, ok2 = nextField(rb)
		if !ok1 || !ok2 {
			return bytes.Compare(a, b)
		}
		if c := compareField(elem, fa, fb); c != 0 {
			return c
		}
	}
	if c := cmp.Compare(na, nb); c != 0 {
		return c
	}
	if c := cmp.Compare(len(da), len(db)); c != 0 {
		return c
	}
	for i := range da {
		if c := cmp.Compare(da[i].Len, db[i].Len); c != 0 {
			return c
		}
	}
	for i := range da {
		if c := cmp.Compare(da[i].Lower, db[i].Lower); c != 0 {
			return c
		}
	}
	return 0
}

func compareRecords(a, b []byte) int {
	type field struct {
		oid uint32
		v   []byte
	}
	var fa []field
	recordFields(a, func(_ int, oid uint32, v []byte) bool {
		fa = append(fa, field{oid, v})
		return true
	})
	res, n := 0, 0
	recordFields(b, func(i int, oid uint32, v []byte) bool {
		n++
		if i >= len(fa) {
			return false
		}
		if fa[i].oid != oid {
			res = cmp.Compare(fa[i].oid, oid)
		} else {
			res = compareField(Of(oid), fa[i].v, v)
		}
		return res == 0
	})
	if res != 0 {
		return res
	}
	return cmp.Compare(len(fa), n)
}

// NeedsKey reports whether SQL-equal values of t may differ in memory, so that AppendKey must be used to compare or hash by bytes.
func NeedsKey(t T) bool {
	switch t.OID {
	case OIDFloat4, OIDFloat8, OIDNumeric, OIDInterval, OIDBpchar, OIDRecord, OIDAnyarray:
		return true
	case OIDJSONB:
		return true // 1.0 and 1 are equal
	}
	if e, ok := t.Elem(); ok {
		return NeedsKey(e)
	}
	return t.IsComposite()
}

// KeyOrdered reports whether keys of t in tables (vec.AppendKey) compare as the values do. Those of other types are only told apart.
func KeyOrdered(t T) bool {
	switch t.OID {
	case OIDBool, OIDInt2, OIDInt4, OIDInt8, OIDFloat4, OIDFloat8, OIDText, OIDVarchar, OIDName, OIDBpchar, OIDBytea, OIDUUID,
		OIDDate, OIDTime, OIDTimestamp, OIDTimestamptz:
		return true
	}
	return false
}

// AppendKey appends canonical bytes of d (not nil): two values of t are SQL-equal iff these are equal.
// They carry no length: a caller that joins several puts one before each of variable width.
func AppendKey(dst []byte, t T, d Datum) []byte {
	switch x := d.(type) {
	case bool:
		return append(dst, byte(b2i(x)))
	case int16:
		return binary.LittleEndian.AppendUint16(dst, uint16(x))
	case int32:
		return binary.LittleEndian.AppendUint32(dst, uint32(x))
	case int64:
		return binary.LittleEndian.AppendUint64(dst, uint64(x))
	case float32:
		return binary.LittleEndian.AppendUint32(dst, math.Float32bits(float32(canonFloat(float64(x)))))
	case float64:
		return binary.LittleEndian.AppendUint64(dst, math.Float64bits(canonFloat(x)))
	case string:
		return AppendKeyBytes(dst, t, bytesOf(x))
	case [16]byte:
		return AppendKeyFixed16(dst, t, x)
	}
	return dst
}

// AppendKeyFixed16 is AppendKey for types of KindFixed16; the key has 16 bytes.
func AppendKeyFixed16(dst []byte, t T, x [16]byte) []byte {
	if t.OID == OIDInterval {
		hi, lo := SpanOf(x).value()
		return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(dst, lo), uint64(hi))
	}
	return append(dst, x[:]...)
}

// AppendKeyBytes is AppendKey for types of KindString and KindBytes, on the in-memory bytes.
func AppendKeyBytes(dst []byte, t T, b []byte) []byte {
	if t.IsComposite() {
		t = AnyRecord
	}
	switch t.OID {
	case OIDNumeric:
		return DecodeNumeric(b).TrimScale().Append(dst)
	case OIDBpchar:
		return append(dst, trimBlanks(b)...)
	case OIDJSONB:
		return appendJSONBKey(dst, b)
	case OIDRecord:
		recordFields(b, func(_ int, oid uint32, v []byte) bool {
			dst = appendFieldKey(dst, Of(oid), v)
			return true
		})
		return dst
	}
	if t.IsArray() || t.OID == OIDAnyarray {
		dims, oid, n, rest, ok := arrayHeader(b)
		if !ok || !NeedsKey(Of(oid)) {
			return append(dst, b...)
		}
		dst = append(dst, byte(len(dims)))
		for _, d := range dims {
			dst = binary.LittleEndian.AppendUint32(dst, uint32(d.Len))
			dst = binary.LittleEndian.AppendUint32(dst, uint32(d.Lower))
		}
		for range n {
			var f []byte
			if f, rest, ok = nextField(rest); !ok {
				break
			}
			dst = appendFieldKey(dst, Of(oid), f)
		}
		return dst
	}
	return append(dst, b...)
}

// appendFieldKey appends the key of a value in binary format with its length.
func appendFieldKey(dst []byte, t T, f []byte) []byte {
	if f == nil {
		return append(dst, 0xff, 0xff, 0xff, 0xff)
	}
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	if NeedsKey(t) {
		if d, err := DecodeBinary(t, f); err == nil {
			dst = AppendKey(dst, t, d)
		}
	} else {
		dst = append(dst, f...)
	}
	binary.LittleEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	return dst
}
