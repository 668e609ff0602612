package fn

import "streamsql/internal/types"

func init() {
	def("sqrt(numeric) numeric", row1e(func(_ *Ctx, d types.Decimal) (types.Decimal, error) { return d.Sqrt() }))
	def("exp(numeric) numeric", row1e(func(_ *Ctx, d types.Decimal) (types.Decimal, error) { return d.Exp() }))
	def("ln(numeric) numeric", row1e(func(_ *Ctx, d types.Decimal) (types.Decimal, error) { return d.Ln() }))
	defs([]string{"log(numeric) numeric", "log10(numeric) numeric"}, row1e(func(_ *Ctx, d types.Decimal) (types.Decimal, error) { return d.Log10() }))
	def("log(numeric,numeric) numeric", row2e(func(_ *Ctx, b, d types.Decimal) (types.Decimal, error) { return b.Log(d) }))
	op("numeric ^ numeric numeric", numericBinary(types.Decimal.Power))
	defs([]string{"power(numeric,numeric) numeric", "pow(numeric,numeric) numeric"}, numericBinary(types.Decimal.Power))
}
