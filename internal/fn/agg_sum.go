package fn

import (
	"math/big"
	"math/bits"

	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/state"
)

// smallSum is a sum of int2 or int4: it would take 2^32 rows to overflow.
type smallSum struct{ n, sum int64 }

// sumSmall is sum (int8) or avg (numeric) of int2 and int4.
type sumSmall[E int16 | int32] struct {
	s   []smallSum
	avg bool
}

func (a *sumSmall[E]) Grow(n int) { a.s = grown(a.s, n) }

func (a *sumSmall[E]) Update(ids []uint32, args []*vec.Vec, ops []vec.Op) {
	x, s := vals[E](args[0], len(ids)), a.s
	if ops == nil {
		for i, id := range ids {
			t := &s[id]
			t.n++
			t.sum += int64(x[i])
		}
		return
	}
	ops = ops[:len(ids)]
	for i, id := range ids {
		t, o := &s[id], int64(ops[i])
		t.n += o
		t.sum += o * int64(x[i])
	}
}

func (a *sumSmall[E]) Merge(dst []uint32, from Aggregate, src []uint32) {
	f := from.(*sumSmall[E]).s
	for i, d := range dst {
		a.s[d].n += f[src[i]].n
		a.s[d].sum += f[src[i]].sum
	}
}

func (a *sumSmall[E]) Result(ids []uint32, out *vec.Vec) {
	for _, id := range ids {
		switch t := a.s[id]; {
		case t.n == 0:
			out.AppendNull()
		case a.avg:
			appendQuotient(out, types.NumericFromInt64(t.sum), t.n)
		default:
			out.AppendInt64(t.sum)
		}
	}
}

func (a *sumSmall[E]) Clear(ids []uint32) { clearIDs(a.s, ids) }

func (a *sumSmall[E]) Snapshot(ids []uint32, w *state.Writer) {
	for _, id := range ids {
		w.Int64(a.s[id].n)
		w.Int64(a.s[id].sum)
	}
}

func (a *sumSmall[E]) Restore(ids []uint32, r *state.Reader) error {
	for _, id := range ids {
		a.s[id] = smallSum{r.Int64(), r.Int64()}
	}
	return r.Err()
}

func (a *sumSmall[E]) Bytes() int { return 16 * cap(a.s) }

// appendQuotient appends sum/n with the scale that PostgreSQL's avg has.
func appendQuotient(out *vec.Vec, sum types.Decimal, n int64) {
	q, err := sum.Div(types.NumericFromInt64(n))
	appendResult(out, q, err)
}

// appendResult appends d, or a failed row.
func appendResult(out *vec.Vec, d types.Decimal, err error) {
	if err != nil {
		failRow(out, err)
		return
	}
	appendDecimal(out, d)
}

// failRow appends a row that failed.
func failRow(out *vec.Vec, err error) {
	out.AppendNull()
	out.Fail(out.N-1, err)
}

// wideSum is a sum of int8 in 128 bits.
type wideSum struct {
	n  int64
	lo uint64
	hi int64
}

func (s *wideSum) add(x int64) {
	var c uint64
	s.lo, c = bits.Add64(s.lo, uint64(x), 0)
	s.hi += x>>63 + int64(c)
}

func (s *wideSum) sub(x int64) {
	var b uint64
	s.lo, b = bits.Sub64(s.lo, uint64(x), 0)
	s.hi -= x>>63 + int64(b)
}

func (s *wideSum) merge(f wideSum) {
	var c uint64
	s.n += f.n
	s.lo, c = bits.Add64(s.lo, f.lo, 0)
	s.hi += f.hi + int64(c)
}

// sumWide is sum or avg (numeric) of int8.
type sumWide struct {
	s   []wideSum
	avg bool
}

func (a *sumWide) Grow(n int) { a.s = grown(a.s, n) }

func (a *sumWide) Update(ids []uint32, args []*vec.Vec, ops []vec.Op) {
	x, s := args[0].I64[:len(ids)], a.s
	if ops == nil {
		for i, id := range ids {
			t := &s[id]
			t.n++
			t.add(x[i])
		}
		return
	}
	ops = ops[:len(ids)]
	for i, id := range ids {
		t := &s[id]
		t.n += int64(ops[i])
		if ops[i] == vec.Insert {
			t.add(x[i])
		} else {
			t.sub(x[i])
		}
	}
}

func (a *sumWide) Merge(dst []uint32, from Aggregate, src []uint32) {
	f := from.(*sumWide).s
	for i, d := range dst {
		a.s[d].merge(f[src[i]])
	}
}

func (a *sumWide) Result(ids []uint32, out *vec.Vec) {
	for _, id := range ids {
		t := a.s[id]
		if t.n == 0 {
			out.AppendNull()
			continue
		}
		d := types.NumericFromInt128(t.hi, t.lo)
		if a.avg {
			appendQuotient(out, d, t.n)
		} else {
			appendDecimal(out, d)
		}
	}
}

func (a *sumWide) Clear(ids []uint32) { clearIDs(a.s, ids) }

func (a *sumWide) Snapshot(ids []uint32, w *state.Writer) {
	for _, id := range ids {
		t := a.s[id]
		w.Int64(t.n)
		w.Uint64(t.lo)
		w.Int64(t.hi)
	}
}

func (a *sumWide) Restore(ids []uint32, r *state.Reader) error {
	for _, id := range ids {
		a.s[id] = wideSum{r.Int64(), r.Uint64(), r.Int64()}
	}
	return r.Err()
}

func (a *sumWide) Bytes() int { return 24 * cap(a.s) }

// numSum is a sum of numerics: an integer in units of 10^-scale while it fits
// 128 bits, else a Decimal in sumNumeric.slow. What is not finite is counted, so that it can be taken back.
type numSum struct {
	n               int64
	lo              uint64
	hi              int64
	nan, pinf, ninf int32
	scale           uint16
	slow            bool
}

// sumNumeric is sum or avg of numeric.
type sumNumeric struct {
	s    []numSum
	slow map[uint32]types.Decimal
	avg  bool
	// scales counts the rows of each scale in a group where rows can be taken back: the result shows the largest that is there.
	scales map[scaleKey]int64
}

type scaleKey struct {
	id    uint32
	scale uint16
}

func (a *sumNumeric) Grow(n int) { a.s = grown(a.s, n) }

func (a *sumNumeric) Update(ids []uint32, args []*vec.Vec, ops []vec.Op) {
	v := args[0]
	for i, id := range ids {
		b := v.Bytes(i)
		o := opAt(ops, i)
		t := &a.s[id]
		t.n += o
		// The usual case, a coefficient of one word: kind 0, then sign, scale and the word.
		if len(b) <= 16 && b[0] == 0 && !t.slow {
			sc := uint16(b[2]) | uint16(b[3])<<8
			if t.n == o { // the first row
				t.scale = max(t.scale, sc)
			}
			if sc == t.scale {
				var c uint64
				if len(b) == 16 {
					c = le64(b[8:])
				}
				if a.scales != nil {
					a.countScale(id, sc, o)
				}
				t.addWord(c, (b[1] != 0) != (o < 0))
				if t.hi>>62 != t.hi>>63 {
					a.toSlow(id)
				}
				continue
			}
		}
		a.addDecimal(id, types.DecodeNumeric(b), o)
	}
}

func le64(b []byte) uint64 {
	_ = b[7]
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
		uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
}

func (t *numSum) addWord(c uint64, neg bool) {
	var x uint64
	if neg {
		t.lo, x = bits.Sub64(t.lo, c, 0)
		t.hi -= int64(x)
	} else {
		t.lo, x = bits.Add64(t.lo, c, 0)
		t.hi += int64(x)
	}
}

func (a *sumNumeric) countScale(id uint32, scale uint16, o int64) {
	k := scaleKey{id, scale}
	if n := a.scales[k] + o; n != 0 {
		a.scales[k] = n
	} else {
		delete(a.scales, k)
	}
}

// sum gives the finite part of a group's sum.
func (a *sumNumeric) sum(id uint32) types.Decimal {
	t := &a.s[id]
	if t.slow {
		return a.slow[id]
	}
	if t.hi == int64(t.lo)>>63 {
		return types.NumericFromScaled(int64(t.lo), int(t.scale))
	}
	x := new(big.Int).Lsh(big.NewInt(t.hi), 64)
	return types.NumericFromBig(x.Add(x, new(big.Int).SetUint64(t.lo)), int(t.scale))
}

func (a *sumNumeric) toSlow(id uint32) {
	d := a.sum(id)
	a.setSlow(id, d)
}

func (a *sumNumeric) setSlow(id uint32, d types.Decimal) {
	if a.slow == nil {
		a.slow = map[uint32]types.Decimal{}
	}
	a.slow[id] = d
	t := &a.s[id]
	t.slow, t.lo, t.hi = true, 0, 0
}

// setSum stores a group's finite sum, in words where it fits.
func (a *sumNumeric) setSum(id uint32, d types.Decimal) {
	t := &a.s[id]
	x, scale := d.Big()
	if x.BitLen() > 120 {
		a.setSlow(id, d)
		return
	}
	if t.slow {
		delete(a.slow, id)
		t.slow = false
	}
	t.scale = uint16(scale)
	neg := x.Sign() < 0
	x.Abs(x)
	t.lo = new(big.Int).And(x, lowWord).Uint64()
	t.hi = int64(x.Rsh(x, 64).Uint64())
	if neg {
		var b uint64
		t.lo, b = bits.Sub64(0, t.lo, 0)
		t.hi = -t.hi - int64(b)
	}
}

var lowWord = new(big.Int).SetUint64(^uint64(0))

// addDecimal adds (o > 0) or takes away a value of any form, |o| times.
func (a *sumNumeric) addDecimal(id uint32, d types.Decimal, o int64) {
	t := &a.s[id]
	switch {
	case d.IsNaN():
		t.nan += int32(o)
		return
	case d.IsInf() && d.Sign() > 0:
		t.pinf += int32(o)
		return
	case d.IsInf():
		t.ninf += int32(o)
		return
	}
	if a.scales != nil {
		a.countScale(id, uint16(d.Scale()), o)
	}
	if o < 0 {
		d = d.Neg()
	}
	s, err := a.sum(id).Add(d)
	if err == nil {
		a.setSum(id, s)
	}
}

func (a *sumNumeric) Merge(dst []uint32, from Aggregate, src []uint32) {
	f := from.(*sumNumeric)
	for i, d := range dst {
		t, u := &a.s[d], &f.s[src[i]]
		if u.n == 0 && u.lo == 0 && u.hi == 0 {
			continue
		}
		fresh := t.n == 0 && !t.slow
		t.n += u.n
		t.nan += u.nan
		t.pinf += u.pinf
		t.ninf += u.ninf
		if fresh && t.lo == 0 && t.hi == 0 {
			t.scale = u.scale
		}
		if !t.slow && !u.slow && t.scale == u.scale {
			var c uint64
			t.lo, c = bits.Add64(t.lo, u.lo, 0)
			t.hi += u.hi + int64(c)
			if t.hi>>62 != t.hi>>63 {
				a.toSlow(d)
			}
		} else if s, err := a.sum(d).Add(f.sum(src[i])); err == nil {
			a.setSum(d, s)
		}
	}
	if a.scales != nil {
		to := make(map[uint32]uint32, len(src))
		for i, s := range src {
			to[s] = dst[i]
		}
		for k, n := range f.scales {
			if d, ok := to[k.id]; ok {
				a.countScale(d, k.scale, n)
			}
		}
	}
}

// shown gives d with the largest scale among the rows that are in the group.
func (a *sumNumeric) shown(id uint32, d types.Decimal) types.Decimal {
	if a.scales == nil {
		return d
	}
	for sc := d.Scale(); sc > 0; sc-- {
		if a.scales[scaleKey{id, uint16(sc)}] > 0 {
			return d.Round(sc)
		}
	}
	return d.Round(0)
}

func (a *sumNumeric) Result(ids []uint32, out *vec.Vec) {
	for _, id := range ids {
		t := &a.s[id]
		switch {
		case t.n == 0:
			out.AppendNull()
		case t.nan > 0 || t.pinf > 0 && t.ninf > 0:
			appendDecimal(out, types.NumericNaN)
		case t.pinf > 0:
			appendDecimal(out, types.NumericPosInf)
		case t.ninf > 0:
			appendDecimal(out, types.NumericNegInf)
		case a.avg:
			appendQuotient(out, a.shown(id, a.sum(id)), t.n)
		default:
			appendDecimal(out, a.shown(id, a.sum(id)))
		}
	}
}

func (a *sumNumeric) Clear(ids []uint32) {
	for _, id := range ids {
		if a.s[id].slow {
			delete(a.slow, id)
		}
		a.s[id] = numSum{}
	}
	if len(a.scales) > 0 {
		gone := make(map[uint32]bool, len(ids))
		for _, id := range ids {
			gone[id] = true
		}
		for k := range a.scales {
			if gone[k.id] {
				delete(a.scales, k)
			}
		}
	}
}

func (a *sumNumeric) Snapshot(ids []uint32, w *state.Writer) {
	for _, id := range ids {
		t := &a.s[id]
		w.Int64(t.n)
		for _, c := range [3]int32{t.nan, t.pinf, t.ninf} {
			w.Int64(int64(c))
		}
		w.Blob(a.sum(id).Append(nil))
	}
	if a.scales == nil {
		return
	}
	for _, id := range ids {
		d := a.sum(id)
		for sc := 0; sc <= d.Scale(); sc++ {
			if n := a.scales[scaleKey{id, uint16(sc)}]; n != 0 {
				w.Uint64(uint64(sc) + 1)
				w.Int64(n)
			}
		}
		w.Uint64(0)
	}
}

func (a *sumNumeric) Restore(ids []uint32, r *state.Reader) error {
	for _, id := range ids {
		a.s[id] = numSum{n: r.Int64(), nan: int32(r.Int64()), pinf: int32(r.Int64()), ninf: int32(r.Int64())}
		a.setSum(id, types.DecodeNumeric(r.Blob()))
	}
	if a.scales == nil {
		return r.Err()
	}
	for _, id := range ids {
		for r.Err() == nil {
			sc := r.Uint64()
			if sc == 0 {
				break
			}
			a.scales[scaleKey{id, uint16(sc - 1)}] = r.Int64()
		}
	}
	return r.Err()
}

func (a *sumNumeric) Bytes() int { return 48*cap(a.s) + 96*len(a.slow) + 32*len(a.scales) }

func newSumNumeric(avg bool) func(AggOptions) Aggregate {
	return func(o AggOptions) Aggregate {
		a := &sumNumeric{avg: avg}
		if o.Retract {
			a.scales = map[scaleKey]int64{}
		}
		return a
	}
}

func init() {
	for _, avg := range []bool{false, true} {
		name, small, d := "sum", "int8", "sum as bigint across all input values"
		if avg {
			name, small, d = "avg", "numeric", "the average (arithmetic mean) as numeric of all input values"
		}
		defAgg(name+"(int8) numeric", func(AggOptions) Aggregate { return &sumWide{avg: avg} }, aggDoc(d))
		defAgg(name+"(int4) "+small, func(AggOptions) Aggregate { return &sumSmall[int32]{avg: avg} }, aggDoc(d))
		defAgg(name+"(int2) "+small, func(AggOptions) Aggregate { return &sumSmall[int16]{avg: avg} }, aggDoc(d))
		defAgg(name+"(numeric) numeric", newSumNumeric(avg), aggDoc(d))
	}
}
