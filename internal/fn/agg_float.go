package fn

import (
	"math"

	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/state"
)

// double is an unevaluated sum hi+lo of two float64: about 106 bits.
type double struct{ hi, lo float64 }

func twoSum(a, b float64) (s, e float64) {
	s = a + b
	t := s - a
	return s, (a - (s - t)) + (b - t)
}

func (d double) add(x float64) double {
	s, e := twoSum(d.hi, x)
	e += d.lo
	h := s + e
	return double{h, e - (h - s)}
}

func (d double) plus(o double) double {
	s, e := twoSum(d.hi, o.hi)
	t, f := twoSum(d.lo, o.lo)
	e += t
	h := s + e
	e = e - (h - s) + f
	s = h + e
	return double{s, e - (s - h)}
}

// product gives a*b exactly.
func product(a, b float64) double {
	p := a * b
	return double{p, math.FMA(a, b, -p)}
}

func (d double) times(o double) double {
	p := product(d.hi, o.hi)
	p.lo += d.hi*o.lo + d.lo*o.hi
	h := p.hi + p.lo
	return double{h, p.lo - (h - p.hi)}
}

func (d double) neg() double { return double{-d.hi, -d.lo} }

// over gives d/n.
func (d double) over(n float64) float64 {
	q := d.hi / n
	if math.IsInf(q, 0) || q != q {
		return q
	}
	return q + (math.FMA(-q, n, d.hi)+d.lo)/n
}

// floatSum is a sum of floats that does not depend on their order. NaN and
// infinities are counted beside it, so that the sum comes back when they are taken away.
type floatSum struct {
	n               int64
	sum             double
	nan, pinf, ninf int32
}

func (s *floatSum) add(x float64, o int64) {
	s.n += o
	if x-x == 0 {
		if o < 0 {
			x = -x
		}
		s.sum = s.sum.add(x)
		if s.n == 0 && s.nan|s.pinf|s.ninf == 0 {
			s.sum = double{}
		}
		return
	}
	s.special(x, int32(o))
}

func (s *floatSum) special(x float64, o int32) {
	switch {
	case x != x:
		s.nan += o
	case x > 0:
		s.pinf += o
	default:
		s.ninf += o
	}
}

func (s *floatSum) merge(f *floatSum) {
	s.n += f.n
	s.sum = s.sum.plus(f.sum)
	s.nan += f.nan
	s.pinf += f.pinf
	s.ninf += f.ninf
}

// value gives the total; ok is false where finite values overflowed.
func (s *floatSum) value() (d double, ok bool) {
	switch {
	case s.nan > 0 || s.pinf > 0 && s.ninf > 0:
		return double{hi: math.NaN()}, true
	case s.pinf > 0:
		return double{hi: math.Inf(1)}, true
	case s.ninf > 0:
		return double{hi: math.Inf(-1)}, true
	}
	return s.sum, s.sum.hi-s.sum.hi == 0
}

func (s *floatSum) snapshot(w *state.Writer) {
	w.Int64(s.n)
	w.Float64(s.sum.hi)
	w.Float64(s.sum.lo)
	w.Int64(int64(s.nan))
	w.Int64(int64(s.pinf))
	w.Int64(int64(s.ninf))
}

func (s *floatSum) restore(r *state.Reader) {
	*s = floatSum{n: r.Int64(), sum: double{r.Float64(), r.Float64()}, nan: int32(r.Int64()), pinf: int32(r.Int64()), ninf: int32(r.Int64())}
}

// sumFloat is sum (of the argument's type) or avg (float8) of floats.
type sumFloat[E float32 | float64] struct {
	s   []floatSum
	avg bool
}

func (a *sumFloat[E]) Grow(n int) { a.s = grown(a.s, n) }

func (a *sumFloat[E]) Update(ids []uint32, args []*vec.Vec, ops []vec.Op) {
	x := vals[E](args[0], len(ids))
	for i, id := range ids {
		a.s[id].add(float64(x[i]), opAt(ops, i))
	}
}

func (a *sumFloat[E]) Merge(dst []uint32, from Aggregate, src []uint32) {
	f := from.(*sumFloat[E]).s
	for i, d := range dst {
		a.s[d].merge(&f[src[i]])
	}
}

func (a *sumFloat[E]) Result(ids []uint32, out *vec.Vec) {
	for _, id := range ids {
		t := &a.s[id]
		if t.n == 0 {
			out.AppendNull()
			continue
		}
		d, ok := t.value()
		switch {
		case !ok:
			failRow(out, errOverflow)
		case a.avg:
			out.AppendFloat64(d.over(float64(t.n)))
		case out.Kind == types.KindFloat32:
			f := float32(d.hi)
			if math.IsInf(float64(f), 0) && !math.IsInf(d.hi, 0) {
				failRow(out, errOverflow)
				continue
			}
			out.AppendFloat32(f)
		default:
			out.AppendFloat64(d.hi)
		}
	}
}

func (a *sumFloat[E]) Clear(ids []uint32) { clearIDs(a.s, ids) }

func (a *sumFloat[E]) Snapshot(ids []uint32, w *state.Writer) {
	for _, id := range ids {
		a.s[id].snapshot(w)
	}
}

func (a *sumFloat[E]) Restore(ids []uint32, r *state.Reader) error {
	for _, id := range ids {
		a.s[id].restore(r)
	}
	return r.Err()
}

func (a *sumFloat[E]) Bytes() int { return 40 * cap(a.s) }

// spanSum is a sum of intervals, field by field.
type spanSum struct{ n, months, days, micros int64 }

// sumSpan is sum or avg of interval.
type sumSpan struct {
	s   []spanSum
	avg bool
}

func (a *sumSpan) Grow(n int) { a.s = grown(a.s, n) }

func (a *sumSpan) Update(ids []uint32, args []*vec.Vec, ops []vec.Op) {
	for i, id := range ids {
		x, o, t := types.SpanOf(args[0].F16[i]), opAt(ops, i), &a.s[id]
		t.n += o
		t.months += o * int64(x.Months)
		t.days += o * int64(x.Days)
		t.micros += o * x.Micros
	}
}

func (a *sumSpan) Merge(dst []uint32, from Aggregate, src []uint32) {
	for i, d := range dst {
		t, f := &a.s[d], from.(*sumSpan).s[src[i]]
		t.n += f.n
		t.months += f.months
		t.days += f.days
		t.micros += f.micros
	}
}

func (a *sumSpan) Result(ids []uint32, out *vec.Vec) {
	for _, id := range ids {
		t := a.s[id]
		if t.n == 0 {
			out.AppendNull()
			continue
		}
		s := types.Span{Months: int32(t.months), Days: int32(t.days), Micros: t.micros}
		var err error
		if int64(s.Months) != t.months || int64(s.Days) != t.days {
			err = errInterval
		} else if a.avg {
			s, err = s.Div(float64(t.n))
		}
		if err != nil {
			failRow(out, err)
			continue
		}
		out.AppendFixed16(s.Bytes())
	}
}

func (a *sumSpan) Clear(ids []uint32) { clearIDs(a.s, ids) }

func (a *sumSpan) Snapshot(ids []uint32, w *state.Writer) {
	for _, id := range ids {
		t := a.s[id]
		w.Int64(t.n)
		w.Int64(t.months)
		w.Int64(t.days)
		w.Int64(t.micros)
	}
}

func (a *sumSpan) Restore(ids []uint32, r *state.Reader) error {
	for _, id := range ids {
		a.s[id] = spanSum{r.Int64(), r.Int64(), r.Int64(), r.Int64()}
	}
	return r.Err()
}

func (a *sumSpan) Bytes() int { return 32 * cap(a.s) }

func init() {
	for _, avg := range []bool{false, true} {
		name, f4, d := "sum", "float4", "sum of all input values"
		if avg {
			name, f4, d = "avg", "float8", "the average (arithmetic mean) of all input values"
		}
		defAgg(name+"(float4) "+f4, func(AggOptions) Aggregate { return &sumFloat[float32]{avg: avg} }, aggDoc(d))
		defAgg(name+"(float8) float8", func(AggOptions) Aggregate { return &sumFloat[float64]{avg: avg} }, aggDoc(d))
		defAgg(name+"(interval) interval", func(AggOptions) Aggregate { return &sumSpan{avg: avg} }, aggDoc(d))
	}
}
