package vec

import (
	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/decimal128"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"streamsql/internal/pgerr"
	"streamsql/internal/types"
)

// maxDecimal is how many digits an Arrow decimal of 128 bits holds.
const maxDecimal = 38

// ArrowOut gives a column made by Seal as an array of the type that others know. The caller releases it.
type ArrowOut func(a arrow.Array) (arrow.Array, error)

// ToArrow gives the Arrow type that a SQL type has outside, and the conversion to it. Times keep their microseconds
// (infinity is the largest and smallest value), numeric(p, s) of up to 38 digits is a decimal; what Arrow has no type for (numeric
// without precision, interval, uuid, arrays, json) is its text.
func ToArrow(t types.T) (arrow.DataType, ArrowOut) {
	out := ArrowType(t.Kind())
	switch t.OID {
	case types.OIDDate:
		out = arrow.FixedWidthTypes.Date32
	case types.OIDTime:
		out = arrow.FixedWidthTypes.Time64us
	case types.OIDTimestamp:
		out = &arrow.TimestampType{Unit: arrow.Microsecond}
	case types.OIDTimestamptz:
		out = &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}
	case types.OIDBytea:
	case types.OIDNumeric:
		if p, s, ok := types.NumericPrecScale(t.Mod); ok && p <= maxDecimal && s >= 0 && s <= p {
			d := &arrow.Decimal128Type{Precision: int32(p), Scale: int32(s)}
			return d, func(a arrow.Array) (arrow.Array, error) { return decimals(a, d, t) }
		}
		return arrow.BinaryTypes.String, func(a arrow.Array) (arrow.Array, error) { return texts(a, t), nil }
	default:
		if k := t.Kind(); k == types.KindBytes || k == types.KindFixed16 {
			return arrow.BinaryTypes.String, func(a arrow.Array) (arrow.Array, error) { return texts(a, t), nil }
		}
	}
	return out, func(a arrow.Array) (arrow.Array, error) {
		d := a.Data()
		data := array.NewData(out, d.Len(), d.Buffers(), nil, d.NullN(), d.Offset())
		defer data.Release()
		return array.MakeFromData(data), nil
	}
}

// texts gives the values of a column as PostgreSQL writes them.
func texts(a arrow.Array, t types.T) arrow.Array {
	b := array.NewStringBuilder(memory.DefaultAllocator)
	defer b.Release()
	b.Reserve(a.Len())
	var v Vec
	v.View(a)
	env := &types.Env{}
	var text []byte
	for i := range v.N {
		if v.IsNull(i) {
			b.AppendNull()
			continue
		}
		text = types.AppendText(text[:0], env, t, v.Datum(i))
		b.Append(string(text))
	}
	return b.NewArray()
}

func decimals(a arrow.Array, d *arrow.Decimal128Type, t types.T) (arrow.Array, error) {
	b := array.NewDecimal128Builder(memory.DefaultAllocator, d)
	defer b.Release()
	b.Reserve(a.Len())
	var v Vec
	v.View(a)
	for i := range v.N {
		if v.IsNull(i) {
			b.AppendNull()
			continue
		}
		n := types.DecodeNumeric(v.Bytes(i))
		if !n.IsNaN() && !n.IsInf() {
			var err error
			if n, err = n.WithMod(t.Mod); err != nil {
				return nil, err
			}
		}
		if n.IsNaN() || n.IsInf() {
			return nil, pgerr.New(pgerr.NumericValueOutOfRange, "%s cannot be written as %s", n, t.Format()).
				WithHint("Cast the column to numeric without a precision, which is written as text, or to float8.")
		}
		x, _ := n.Big()
		b.Append(decimal128.FromBigInt(x))
	}
	return b.NewArray(), nil
}
