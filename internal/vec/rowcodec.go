package vec

import (
	"encoding/binary"
	"math"

	"streamsql/internal/types"
)

// A row is stored as the number of columns (2 bytes), for each column the end of its value
// (4 bytes, the top bit set for NULL), then the values: so any column is found without the others.
// Fixed-width values are little-endian.

const rowNull = 1 << 31

// AppendRow appends row i of cols to dst, encoded.
func AppendRow(dst []byte, cols []Vec, i int) []byte {
	base := len(dst)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(cols)))
	head := len(dst)
	for range cols {
		dst = append(dst, 0, 0, 0, 0)
	}
	for c := range cols {
		v := &cols[c]
		if v.IsNull(i) {
			binary.LittleEndian.PutUint32(dst[head+4*c:], uint32(len(dst)-base)|rowNull)
			continue
		}
		switch v.Kind {
		case types.KindBool:
			if v.Bools[i] {
				dst = append(dst, 1)
			} else {
				dst = append(dst, 0)
			}
		case types.KindInt16:
			dst = binary.LittleEndian.AppendUint16(dst, uint16(v.I16[i]))
		case types.KindInt32:
			dst = binary.LittleEndian.AppendUint32(dst, uint32(v.I32[i]))
		case types.KindInt64:
			dst = binary.LittleEndian.AppendUint64(dst, uint64(v.I64[i]))
		case types.KindFloat32:
			dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(v.F32[i]))
		case types.KindFloat64:
			dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(v.F64[i]))
		case types.KindFixed16:
			dst = append(dst, v.F16[i][:]...)
		default:
			dst = append(dst, v.Bytes(i)...)
		}
		binary.LittleEndian.PutUint32(dst[head+4*c:], uint32(len(dst)-base))
	}
	return dst
}

// field gives the bytes of column c of an encoded row, ok false for NULL.
func field(row []byte, c int) (b []byte, ok bool) {
	end := binary.LittleEndian.Uint32(row[2+4*c:])
	if end&rowNull != 0 {
		return nil, false
	}
	start := uint32(2 + 4*int(binary.LittleEndian.Uint16(row)))
	if c > 0 {
		start = binary.LittleEndian.Uint32(row[4*c-2:]) &^ rowNull
	}
	return row[start:end], true
}

// RowColumns gives the number of columns of an encoded row.
func RowColumns(row []byte) int { return int(binary.LittleEndian.Uint16(row)) }

// DecodeRow appends the columns cols (nil: all) of an encoded row to the columns of dst, in that
// order. It does not record an Op.
func DecodeRow(row []byte, cols []int, dst *Builder) {
	for k := range dst.Cols {
		c := k
		if cols != nil {
			c = cols[k]
		}
		appendField(&dst.Cols[k], row, c)
	}
}

// DecodeColumn appends column c of each of the encoded rows to v.
func DecodeColumn(rows [][]byte, c int, v *Vec) {
	switch v.Kind {
	case types.KindInt64:
		at := v.N
		v.Extend(len(rows))
		for i, row := range rows {
			b, ok := field(row, c)
			if !ok {
				v.SetNull(at + i)
				continue
			}
			v.I64[at+i] = int64(binary.LittleEndian.Uint64(b))
		}
	case types.KindInt32:
		at := v.N
		v.Extend(len(rows))
		for i, row := range rows {
			b, ok := field(row, c)
			if !ok {
				v.SetNull(at + i)
				continue
			}
			v.I32[at+i] = int32(binary.LittleEndian.Uint32(b))
		}
	default:
		for _, row := range rows {
			appendField(v, row, c)
		}
	}
}

// DecodeInto appends an encoded row to cols, one value a column; false if it is damaged or has other columns.
func DecodeInto(row []byte, cols []Vec) bool {
	if !validRow(row, cols) {
		return false
	}
	for c := range cols {
		appendField(&cols[c], row, c)
	}
	return true
}

func validRow(row []byte, cols []Vec) bool {
	if len(row) < 2 || RowColumns(row) != len(cols) || len(row) < 2+4*len(cols) {
		return false
	}
	last := uint32(2 + 4*len(cols))
	for c := range cols {
		x := binary.LittleEndian.Uint32(row[2+4*c:])
		end := x &^ rowNull
		if end < last || int(end) > len(row) {
			return false
		}
		if x&rowNull == 0 {
			w := 0
			if k := cols[c].Kind; k != types.KindString && k != types.KindBytes {
				w = width(k)
				if int(end-last) != w {
					return false
				}
			}
		}
		last = end
	}
	return true
}

func appendField(v *Vec, row []byte, c int) {
	b, ok := field(row, c)
	if !ok {
		v.AppendNull()
		return
	}
	switch v.Kind {
	case types.KindBool:
		v.AppendBool(b[0] != 0)
	case types.KindInt16:
		v.AppendInt16(int16(binary.LittleEndian.Uint16(b)))
	case types.KindInt32:
		v.AppendInt32(int32(binary.LittleEndian.Uint32(b)))
	case types.KindInt64:
		v.AppendInt64(int64(binary.LittleEndian.Uint64(b)))
	case types.KindFloat32:
		v.AppendFloat32(math.Float32frombits(binary.LittleEndian.Uint32(b)))
	case types.KindFloat64:
		v.AppendFloat64(math.Float64frombits(binary.LittleEndian.Uint64(b)))
	case types.KindFixed16:
		v.AppendFixed16([16]byte(b))
	default:
		v.AppendBytes(b)
	}
}

// Keys order as their values do, NULL last: 1 before a value, 2 for NULL. Integers are big-endian with the sign
// flipped, floats their ordered bits, byte strings escaped (0 is 0 255) and ended by 0 0.
// Types whose equal values may differ in memory go by their canonical bytes, which are told apart but not in order.

// NullKey is the byte of NULL in a key, greater than that of a value.
const NullKey = 2

// Where all of a row is its key (state.Table), keys longer than LongKey have only their first KeyStart bytes, and a hash of 16.
const (
	LongKey  = 64
	KeyStart = LongKey - 16
)

// WholeKeys reports whether no key of columns of such types is longer than LongKey.
func WholeKeys(ts []types.T) bool {
	n := 0
	for _, t := range ts {
		w := 0
		switch t.Kind() {
		case types.KindBool:
			w = 1
		case types.KindInt16:
			w = 2
		case types.KindInt32:
			w = 4
		case types.KindInt64, types.KindFloat32, types.KindFloat64:
			w = 8
		case types.KindFixed16:
			w = 32 // at most, with what tells types apart
		default:
			return false
		}
		n += 1 + w
	}
	return n <= LongKey
}

// AppendKey appends row i of cols, of types ts, such that equal keys are equal bytes and, but for the types above,
// keys compare as their bytes do. A key of fewer columns is a prefix of the keys that begin with it.
func AppendKey(dst []byte, cols []Vec, ts []types.T, i int) []byte {
	for c := range cols {
		v := &cols[c]
		if v.IsNull(i) {
			dst = append(dst, NullKey)
			continue
		}
		dst = append(dst, 1)
		switch v.Kind {
		case types.KindBool:
			if v.Bools[i] {
				dst = append(dst, 1)
			} else {
				dst = append(dst, 0)
			}
		case types.KindInt16:
			dst = binary.BigEndian.AppendUint16(dst, uint16(v.I16[i])^1<<15)
		case types.KindInt32:
			dst = binary.BigEndian.AppendUint32(dst, uint32(v.I32[i])^1<<31)
		case types.KindInt64:
			dst = binary.BigEndian.AppendUint64(dst, uint64(v.I64[i])^1<<63)
		case types.KindFloat32:
			dst = binary.BigEndian.AppendUint64(dst, orderedBits(float64(v.F32[i])))
		case types.KindFloat64:
			dst = binary.BigEndian.AppendUint64(dst, orderedBits(v.F64[i]))
		case types.KindFixed16:
			dst = types.AppendKeyFixed16(dst, ts[c], v.F16[i])
		default:
			b := v.Bytes(i)
			if types.NeedsKey(ts[c]) {
				b = types.AppendKeyBytes(nil, ts[c], b)
			}
			dst = appendEscaped(dst, b)
		}
	}
	return dst
}

func orderedBits(f float64) uint64 {
	switch {
	case f != f:
		return math.MaxUint64
	case f == 0:
		f = 0
	}
	x := math.Float64bits(f)
	if x>>63 != 0 {
		return ^x
	}
	return x | 1<<63
}

func appendEscaped(dst, b []byte) []byte {
	for _, c := range b {
		dst = append(dst, c)
		if c == 0 {
			dst = append(dst, 255)
		}
	}
	return append(dst, 0, 0)
}
