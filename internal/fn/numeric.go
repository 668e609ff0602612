package fn

import (
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// decimals gives access to the rows of a numeric column. A constant is decoded once.
type decimals struct {
	v     *vec.Vec
	first types.Decimal
	fixed bool
}

func decimalsOf(v *vec.Vec, n int) decimals {
	d := decimals{v: v}
	if v.Const && n > 0 && !v.IsNull(0) {
		d.fixed, d.first = true, types.DecodeNumeric(v.Bytes(0))
	}
	return d
}

func (d *decimals) at(i int) types.Decimal {
	if d.fixed {
		return d.first
	}
	return types.DecodeNumeric(d.v.Bytes(i))
}

func numericBinary(f func(a, b types.Decimal) (types.Decimal, error)) Kernel {
	return func(_ *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
		a, b := decimalsOf(args[0], n), decimalsOf(args[1], n)
		nulls := args[0].HasNulls() || args[1].HasNulls()
		for i := range n {
			if nulls && (args[0].IsNull(i) || args[1].IsNull(i)) {
				out.AppendNull()
				continue
			}
			r, err := f(a.at(i), b.at(i))
			if err != nil {
				failLane(out, i, err)
				continue
			}
			appendDecimal(out, r)
		}
	}
}

func init() {
	numBinary := func(sym, name string, k Kernel) {
		op("numeric "+sym+" numeric numeric", k)
		def(name+"(numeric,numeric) numeric", k)
	}
	numBinary("+", "numeric_add", numericBinary(types.Decimal.Add))
	numBinary("-", "numeric_sub", numericBinary(types.Decimal.Sub))
	numBinary("*", "numeric_mul", numericBinary(types.Decimal.Mul))
	numBinary("/", "numeric_div", numericBinary(types.Decimal.Div))
	numBinary("%", "mod", numericBinary(types.Decimal.Mod))
	def("div(numeric,numeric) numeric", numericBinary(types.Decimal.Quo))
	op("+ numeric numeric", same)
	op("- numeric numeric", row1(types.Decimal.Neg))
	op("@ numeric numeric", row1(types.Decimal.Abs))
	def("abs(numeric) numeric", row1(types.Decimal.Abs))
}
