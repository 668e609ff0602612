package fn

import (
	"encoding/binary"
	"math"
	"math/bits"

	"streamsql/internal/pgerr"
	"streamsql/internal/types"
)

// overlayBytes is overlay of bytea.
func overlayBytes(s, with []byte, from, length int32) (types.Datum, error) {
	if from <= 0 {
		return nil, pgerr.New(pgerr.SubstringError, "negative substring length not allowed")
	}
	end := int64(from) + int64(length) // of what is replaced, counted from 1, exclusive
	if end > math.MaxInt32 {
		return nil, errInt4Range
	}
	out := append([]byte(nil), s[:min(int(from)-1, len(s))]...)
	out = append(out, with...)
	if at := max(end-1, 0); at < int64(len(s)) {
		out = append(out, s[at:]...)
	}
	return string(out), nil
}

func init() {
	def("overlay(bytea,bytea,int4,int4) bytea", rowD(func(_ *Ctx, a []datum) (datum, error) {
		return overlayBytes(bytesOf(a[0].(string)), bytesOf(a[1].(string)), a[2].(int32), a[3].(int32))
	}, true))
	def("overlay(bytea,bytea,int4) bytea", rowD(func(_ *Ctx, a []datum) (datum, error) {
		return overlayBytes(bytesOf(a[0].(string)), bytesOf(a[1].(string)), a[2].(int32), int32(len(a[1].(string))))
	}, true))
	def("bit_count(bytea) int8", row1(func(b []byte) int64 {
		n := 0
		for _, x := range b {
			n += bits.OnesCount8(x)
		}
		return int64(n)
	}))
	def("set_bit(bytea,int8,int4) bytea", row3e(func(_ *Ctx, b []byte, i int64, x int32) ([]byte, error) {
		if i < 0 || i >= int64(len(b))*8 {
			return nil, errBitIndex(i, int64(len(b))*8-1)
		}
		if x != 0 && x != 1 {
			return nil, pgerr.New(pgerr.InvalidParameterValue, "new bit must be 0 or 1")
		}
		out := append([]byte(nil), b...)
		out[i/8] = out[i/8]&^(1<<(i%8)) | byte(x)<<(i%8)
		return out, nil
	}))
	def("float4send(float4) bytea", row1(func(f float32) []byte { return binary.BigEndian.AppendUint32(nil, math.Float32bits(f)) }))
	def("float8send(float8) bytea", row1(func(f float64) []byte { return binary.BigEndian.AppendUint64(nil, math.Float64bits(f)) }))
	def("int2send(int2) bytea", row1(func(x int16) []byte { return binary.BigEndian.AppendUint16(nil, uint16(x)) }))
	def("int4send(int4) bytea", row1(func(x int32) []byte { return binary.BigEndian.AppendUint32(nil, uint32(x)) }))
	def("int8send(int8) bytea", row1(func(x int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(x)) }))
}
