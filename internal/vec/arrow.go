package vec

import (
	"fmt"
	"math"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/bitutil"

	"streamsql/internal/pgerr"
	"streamsql/internal/types"
)

// ArrowColumn appends rows [from, to) of an Arrow array from outside to an owned column.
type ArrowColumn func(dst *Vec, a arrow.Array, from, to int) error

// TypeOfArrow gives the SQL type that an Arrow type from outside becomes; false where there is none.
func TypeOfArrow(t arrow.DataType) (types.T, bool) {
	switch t.ID() {
	case arrow.BOOL:
		return types.Bool, true
	case arrow.INT8, arrow.UINT8, arrow.INT16:
		return types.Int2, true
	case arrow.UINT16, arrow.INT32:
		return types.Int4, true
	case arrow.UINT32, arrow.INT64:
		return types.Int8, true
	case arrow.UINT64:
		return types.T{OID: types.OIDNumeric, Mod: types.NumericMod(20, 0)}, true
	case arrow.FLOAT16, arrow.FLOAT32:
		return types.Float4, true
	case arrow.FLOAT64:
		return types.Float8, true
	case arrow.STRING, arrow.LARGE_STRING:
		return types.Text, true
	case arrow.BINARY, arrow.LARGE_BINARY, arrow.FIXED_SIZE_BINARY:
		return types.Bytea, true
	case arrow.DATE32, arrow.DATE64:
		return types.Date, true
	case arrow.TIME32, arrow.TIME64:
		return types.Time, true
	case arrow.TIMESTAMP:
		if t.(*arrow.TimestampType).TimeZone != "" {
			return types.Timestamptz, true
		}
		return types.Timestamp, true
	case arrow.DECIMAL128:
		d := t.(*arrow.Decimal128Type)
		return types.T{OID: types.OIDNumeric, Mod: types.NumericMod(int(d.Precision), int(d.Scale))}, true
	case arrow.DICTIONARY:
		return TypeOfArrow(t.(*arrow.DictionaryType).ValueType)
	}
	return types.T{}, false
}

// FromArrow gives the conversion of an Arrow type from outside to a SQL type; false where a value of the one is not
// one of the other. Numbers widen; narrowing checks each value. Timestamps of any unit become microseconds.
func FromArrow(from arrow.DataType, to types.T) (ArrowColumn, bool) {
	if d, ok := from.(*arrow.DictionaryType); ok {
		inner, ok := FromArrow(d.ValueType, to)
		if !ok {
			return nil, false
		}
		return func(dst *Vec, a arrow.Array, from, to int) error {
			x := a.(*array.Dictionary)
			for i := from; i < to; i++ {
				if x.IsNull(i) {
					dst.AppendNull()
					continue
				}
				k := x.GetValueIndex(i)
				if err := inner(dst, x.Dictionary(), k, k+1); err != nil {
					return err
				}
			}
			return nil
		}, true
	}
	natural, ok := TypeOfArrow(from)
	if !ok {
		return nil, false
	}
	switch from.ID() {
	case arrow.INT64:
		if to.OID == types.OIDInt8 {
			return func(dst *Vec, a arrow.Array, from, to int) error {
				at := dst.N
				dst.Extend(to - from)
				copy(dst.I64[at:], a.(*array.Int64).Int64Values()[from:to])
				copyNulls(dst, at, a, from, to)
				return nil
			}, true
		}
	case arrow.FLOAT64:
		if to.OID == types.OIDFloat8 {
			return func(dst *Vec, a arrow.Array, from, to int) error {
				at := dst.N
				dst.Extend(to - from)
				copy(dst.F64[at:], a.(*array.Float64).Float64Values()[from:to])
				copyNulls(dst, at, a, from, to)
				return nil
			}, true
		}
	case arrow.TIMESTAMP:
		if to.OID != types.OIDTimestamp && to.OID != types.OIDTimestamptz {
			return nil, false
		}
		mul, div := int64(1), int64(1)
		switch from.(*arrow.TimestampType).Unit {
		case arrow.Second:
			mul = 1_000_000
		case arrow.Millisecond:
			mul = 1000
		case arrow.Nanosecond:
			div = 1000
		}
		return func(dst *Vec, a arrow.Array, from, to int) error {
			at := dst.N
			dst.Extend(to - from)
			vals := a.(*array.Timestamp).TimestampValues()[from:to]
			out := dst.I64[at:dst.N]
			for i, v := range vals {
				out[i] = floorDiv(int64(v)*mul, div)
			}
			copyNulls(dst, at, a, from, to)
			return nil
		}, true
	case arrow.STRING:
		if to.Category() == 'S' && to.Mod < 0 && to.OID != types.OIDName && to.OID != types.OIDChar {
			return func(dst *Vec, a arrow.Array, from, to int) error {
				x := a.(*array.String)
				for i := from; i < to; i++ {
					if x.IsNull(i) {
						dst.AppendNull()
					} else {
						dst.AppendStr(x.Value(i))
					}
				}
				return nil
			}, true
		}
	}
	// The general way goes over datums, and over text where the types differ in kind.
	if natural.Is(to) && natural.OID != types.OIDNumeric && to.Mod < 0 {
		return func(dst *Vec, a arrow.Array, from, to int) error {
			for i := from; i < to; i++ {
				d, err := arrowDatum(a, i)
				if err != nil {
					return err
				}
				dst.AppendDatum(d)
			}
			return nil
		}, true
	}
	numeric := natural.Category() == 'N' && to.Category() == 'N'
	text := natural.Category() == 'S'
	if !numeric && !text && !natural.Is(to) {
		return nil, false
	}
	env := &types.Env{}
	return func(dst *Vec, a arrow.Array, from, last int) error {
		for i := from; i < last; i++ {
			d, err := arrowDatum(a, i)
			if err != nil {
				return err
			}
			if d != nil {
				s := string(types.AppendText(nil, env, natural.Bare(), d))
				if d, err = types.ParseText(env, to, s); err != nil {
					return err
				}
			}
			dst.AppendDatum(d)
		}
		return nil
	}, true
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func copyNulls(dst *Vec, at int, a arrow.Array, from, to int) {
	if a.NullN() == 0 {
		return
	}
	bits, off := a.NullBitmapBytes(), a.Data().Offset()
	for i := from; i < to; i++ {
		if !bitutil.BitIsSet(bits, off+i) {
			dst.SetNull(at + i - from)
		}
	}
}

// arrowDatum gives a value of an array from outside as a datum of its natural type.
func arrowDatum(a arrow.Array, i int) (types.Datum, error) {
	if a.IsNull(i) {
		return nil, nil
	}
	switch x := a.(type) {
	case *array.Boolean:
		return x.Value(i), nil
	case *array.Int8:
		return int16(x.Value(i)), nil
	case *array.Uint8:
		return int16(x.Value(i)), nil
	case *array.Int16:
		return x.Value(i), nil
	case *array.Uint16:
		return int32(x.Value(i)), nil
	case *array.Int32:
		return x.Value(i), nil
	case *array.Uint32:
		return int64(x.Value(i)), nil
	case *array.Int64:
		return x.Value(i), nil
	case *array.Uint64:
		n, err := types.ParseNumeric(fmt.Sprint(x.Value(i)))
		return n.Encode(), err
	case *array.Float16:
		return x.Value(i).Float32(), nil
	case *array.Float32:
		return x.Value(i), nil
	case *array.Float64:
		return x.Value(i), nil
	case *array.String:
		return x.Value(i), nil
	case *array.LargeString:
		return x.Value(i), nil
	case *array.Binary:
		return string(x.Value(i)), nil
	case *array.LargeBinary:
		return string(x.Value(i)), nil
	case *array.FixedSizeBinary:
		return string(x.Value(i)), nil
	case *array.Date32:
		return int32(x.Value(i)), nil
	case *array.Date64:
		days := floorDiv(int64(x.Value(i)), 86_400_000)
		if days < math.MinInt32 || days > math.MaxInt32 {
			return nil, pgerr.New(pgerr.DatetimeFieldOverflow, "date out of range")
		}
		return int32(days), nil
	case *array.Time32:
		if x.DataType().(*arrow.Time32Type).Unit == arrow.Second {
			return int64(x.Value(i)) * 1_000_000, nil
		}
		return int64(x.Value(i)) * 1000, nil
	case *array.Time64:
		if x.DataType().(*arrow.Time64Type).Unit == arrow.Nanosecond {
			return int64(x.Value(i)) / 1000, nil
		}
		return int64(x.Value(i)), nil
	case *array.Decimal128:
		n := types.NumericFromBig(x.Value(i).BigInt(), int(x.DataType().(*arrow.Decimal128Type).Scale))
		return n.Encode(), nil
	}
	return nil, pgerr.New(pgerr.FeatureNotSupported, "Arrow type %s is not supported", a.DataType())
}
