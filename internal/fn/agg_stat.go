package fn

import (
	"math"
	"math/big"

	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/state"
)

// pairSums are the sums that the statistics of y and x are made of, each to about 106 bits, so that
// values can be taken back. odd counts the rows that are not finite: with one, the result is NaN.
type pairSums struct {
	n, odd           int64
	x, y, xx, yy, xy double
}

func (s *pairSums) add(y, x float64, o int64) {
	s.n += o
	if x-x != 0 || y-y != 0 {
		s.odd += o
		return
	}
	if s.n == s.odd { // the last finite row went: no rounding stays behind
		*s = pairSums{n: s.n, odd: s.odd}
		return
	}
	put := func(d *double, p double) {
		if o < 0 {
			p = p.neg()
		}
		*d = d.plus(p)
	}
	put(&s.x, double{hi: x})
	put(&s.y, double{hi: y})
	put(&s.xx, product(x, x))
	put(&s.yy, product(y, y))
	put(&s.xy, product(x, y))
}

func (s *pairSums) merge(f *pairSums) {
	s.n += f.n
	s.odd += f.odd
	s.x, s.y = s.x.plus(f.x), s.y.plus(f.y)
	s.xx, s.yy, s.xy = s.xx.plus(f.xx), s.yy.plus(f.yy), s.xy.plus(f.xy)
}

// centred gives the sum of (a - avg a)(b - avg b) of sums a, b and ab.
func (s *pairSums) centred(a, b, ab double) float64 {
	if s.odd > 0 {
		return math.NaN()
	}
	whole := ab.times(double{hi: float64(s.n)})
	rest := whole.plus(a.times(b).neg())
	if math.Abs(rest.hi) <= 1e-28*math.Abs(whole.hi) { // what rounding left: all values are alike
		return 0
	}
	return rest.over(float64(s.n))
}

func (s *pairSums) sxx() float64 { return max(s.centred(s.x, s.x, s.xx), 0) }
func (s *pairSums) syy() float64 { return max(s.centred(s.y, s.y, s.yy), 0) }
func (s *pairSums) sxy() float64 { return s.centred(s.x, s.y, s.xy) }

func (s *pairSums) mean(d double) float64 {
	if s.odd > 0 {
		return math.NaN()
	}
	return d.over(float64(s.n))
}

func newPairAgg(get func(args []*vec.Vec, i int) (y, x float64), least int64, f func(s *pairSums) (float64, bool)) func(AggOptions) Aggregate {
	return func(AggOptions) Aggregate {
		return &simpleAgg[pairSums]{
			size: 96,
			add: func(s *pairSums, args []*vec.Vec, i int, o int64) {
				y, x := get(args, i)
				s.add(y, x, o)
			},
			merge: func(s, from *pairSums) { s.merge(from) },
			result: func(s *pairSums, out *vec.Vec) {
				if s.n < least {
					out.AppendNull()
					return
				}
				x, ok := f(s)
				switch {
				case !ok:
					out.AppendNull()
				case math.IsInf(x, 0):
					failRow(out, errOverflow)
				default:
					out.AppendFloat64(x)
				}
			},
			write: func(s *pairSums, w *state.Writer) {
				w.Int64(s.n)
				w.Int64(s.odd)
				for _, d := range [5]double{s.x, s.y, s.xx, s.yy, s.xy} {
					w.Float64(d.hi)
					w.Float64(d.lo)
				}
			},
			read: func(s *pairSums, r *state.Reader) {
				s.n, s.odd = r.Int64(), r.Int64()
				for _, d := range [5]*double{&s.x, &s.y, &s.xx, &s.yy, &s.xy} {
					d.hi, d.lo = r.Float64(), r.Float64()
				}
			},
		}
	}
}

// numMoments are the exact sums that variance of numerics and integers is made of.
type numMoments struct {
	n, odd int64
	x, xx  types.Decimal
}

func (m *numMoments) add(d types.Decimal, o int64) {
	m.n += o
	if d.IsNaN() || d.IsInf() {
		m.odd += o
		return
	}
	sq, err := d.Mul(d)
	if o < 0 {
		d, sq = d.Neg(), sq.Neg()
	}
	if err == nil {
		m.x, _ = m.x.Add(d)
		m.xx, _ = m.xx.Add(sq)
	}
}

// variance gives the variance, of a sample or of the population, and its square root.
func (m *numMoments) variance(sample, root bool) (types.Decimal, error) {
	if m.odd > 0 {
		return types.NumericNaN, nil
	}
	n := types.NumericFromInt64(m.n)
	a, err := m.xx.Mul(n)
	if err != nil {
		return a, err
	}
	b, err := m.x.Mul(m.x)
	if err != nil {
		return b, err
	}
	if a, err = a.Sub(b); err != nil {
		return a, err
	}
	if a.Sign() <= 0 {
		return types.NumericFromInt64(0), nil
	}
	d := n
	if sample {
		d, _ = n.AddInt64(-1)
	}
	if d, err = d.Mul(n); err != nil {
		return d, err
	}
	v, err := a.Div(d)
	if err != nil || !root {
		return v, err
	}
	// The root has as many digits as the quotient; one more is computed to round.
	c, scale := v.Big()
	c.Mul(c, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale+2)), nil))
	return types.NumericFromBig(c.Sqrt(c), scale+1).Round(scale), nil
}

func newNumVariance(sample, root bool) func(AggOptions) Aggregate {
	return func(o AggOptions) Aggregate {
		get := func(v *vec.Vec, i int) types.Decimal { return types.DecodeNumeric(v.Bytes(i)) }
		if k := o.Args[0].Kind(); k != types.KindBytes {
			e := intElem(o.Args[0])
			get = func(v *vec.Vec, i int) types.Decimal { return types.NumericFromInt64(e.at(v, i)) }
		}
		least := int64(1)
		if sample {
			least = 2
		}
		return &simpleAgg[numMoments]{
			size: 96,
			add:  func(s *numMoments, args []*vec.Vec, i int, o int64) { s.add(get(args[0], i), o) },
			merge: func(s, f *numMoments) {
				s.n += f.n
				s.odd += f.odd
				s.x, _ = s.x.Add(f.x)
				s.xx, _ = s.xx.Add(f.xx)
			},
			result: func(s *numMoments, out *vec.Vec) {
				if s.n < least {
					out.AppendNull()
					return
				}
				d, err := s.variance(sample, root)
				appendResult(out, d, err)
			},
			write: func(s *numMoments, w *state.Writer) {
				w.Int64(s.n)
				w.Int64(s.odd)
				w.String(s.x.Encode())
				w.String(s.xx.Encode())
			},
			read: func(s *numMoments, r *state.Reader) {
				s.n, s.odd = r.Int64(), r.Int64()
				s.x, s.xx = types.DecodeNumeric(r.Blob()), types.DecodeNumeric(r.Blob())
			},
		}
	}
}

func init() {
	for _, f := range []struct {
		name         string
		sample, root bool
	}{
		{"var_pop", false, false}, {"var_samp", true, false}, {"variance", true, false},
		{"stddev_pop", false, true}, {"stddev_samp", true, true}, {"stddev", true, true},
	} {
		d := "sample "
		if !f.sample {
			d = "population "
		}
		if f.root {
			d += "standard deviation"
		} else {
			d += "variance"
		}
		for _, t := range []string{"int8", "int4", "int2", "numeric"} {
			defAgg(f.name+"("+t+") numeric", newNumVariance(f.sample, f.root), aggDoc(d))
		}
		least := int64(1)
		if f.sample {
			least = 2
		}
		result := func(s *pairSums) (float64, bool) {
			v := s.sxx() / float64(s.n-least+1)
			if f.root {
				v = math.Sqrt(v)
			}
			return v, true
		}
		defAgg(f.name+"(float4) float8", newPairAgg(func(a []*vec.Vec, i int) (float64, float64) {
			return 0, float64(a[0].F32[i])
		}, least, result), aggDoc(d))
		defAgg(f.name+"(float8) float8", newPairAgg(func(a []*vec.Vec, i int) (float64, float64) {
			return 0, a[0].F64[i]
		}, least, result), aggDoc(d))
	}
	pair := func(a []*vec.Vec, i int) (y, x float64) { return a[0].F64[i], a[1].F64[i] }
	for _, f := range []struct {
		name  string
		least int64
		f     func(s *pairSums) (float64, bool)
	}{
		{"covar_pop", 1, func(s *pairSums) (float64, bool) { return s.sxy() / float64(s.n), true }},
		{"covar_samp", 2, func(s *pairSums) (float64, bool) { return s.sxy() / float64(s.n-1), true }},
		{"corr", 1, func(s *pairSums) (float64, bool) {
			x, y := s.sxx(), s.syy()
			if x == 0 || y == 0 {
				return 0, false
			}
			return s.sxy() / math.Sqrt(x*y), true
		}},
		{"regr_sxx", 1, func(s *pairSums) (float64, bool) { return s.sxx(), true }},
		{"regr_syy", 1, func(s *pairSums) (float64, bool) { return s.syy(), true }},
		{"regr_sxy", 1, func(s *pairSums) (float64, bool) { return s.sxy(), true }},
		{"regr_avgx", 1, func(s *pairSums) (float64, bool) { return s.mean(s.x), true }},
		{"regr_avgy", 1, func(s *pairSums) (float64, bool) { return s.mean(s.y), true }},
		{"regr_r2", 1, func(s *pairSums) (float64, bool) {
			x, y, xy := s.sxx(), s.syy(), s.sxy()
			if x == 0 {
				return 0, false
			}
			if y == 0 {
				return 1, true
			}
			return xy * xy / (x * y), true
		}},
		{"regr_slope", 1, func(s *pairSums) (float64, bool) {
			x := s.sxx()
			return s.sxy() / x, x != 0
		}},
		{"regr_intercept", 1, func(s *pairSums) (float64, bool) {
			x := s.sxx()
			return s.mean(s.y) - s.mean(s.x)*(s.sxy()/x), x != 0
		}},
	} {
		defAgg(f.name+"(float8,float8) float8", newPairAgg(pair, f.least, f.f), aggDoc("statistic of pairs (Y, X)"))
	}
	defAgg("regr_count(float8,float8) int8", newCount, aggDoc("number of input rows in which both expressions are not null"))
}
