package fn

import (
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/state"
)

// extreme is a group's smallest or largest value so far.
type extreme[E any] struct {
	x    E
	some bool
}

// minmaxNum is min or max of numbers of which none is taken back.
type minmaxNum[E int16 | int32 | int64] struct {
	s   []extreme[E]
	max bool
}

func (a *minmaxNum[E]) Grow(n int) { a.s = grown(a.s, n) }

func (a *minmaxNum[E]) Update(ids []uint32, args []*vec.Vec, _ []vec.Op) {
	x, s := vals[E](args[0], len(ids)), a.s
	if a.max {
		for i, id := range ids {
			if t := &s[id]; x[i] > t.x || !t.some {
				*t = extreme[E]{x[i], true}
			}
		}
		return
	}
	for i, id := range ids {
		if t := &s[id]; x[i] < t.x || !t.some {
			*t = extreme[E]{x[i], true}
		}
	}
}

func (a *minmaxNum[E]) Merge(dst []uint32, from Aggregate, src []uint32) {
	f := from.(*minmaxNum[E]).s
	for i, d := range dst {
		t, u := &a.s[d], f[src[i]]
		if u.some && (!t.some || a.max && u.x > t.x || !a.max && u.x < t.x) {
			*t = u
		}
	}
}

func (a *minmaxNum[E]) Result(ids []uint32, out *vec.Vec) {
	at := out.N
	out.Extend(len(ids))
	o := vals[E](out, out.N)[at:]
	for i, id := range ids {
		o[i] = a.s[id].x
		if !a.s[id].some {
			out.SetNull(at + i)
		}
	}
}

func (a *minmaxNum[E]) Clear(ids []uint32) { clearIDs(a.s, ids) }

func (a *minmaxNum[E]) Snapshot(ids []uint32, w *state.Writer) {
	for _, id := range ids {
		w.Bool(a.s[id].some)
		w.Int64(int64(a.s[id].x))
	}
}

func (a *minmaxNum[E]) Restore(ids []uint32, r *state.Reader) error {
	for _, id := range ids {
		some := r.Bool()
		a.s[id] = extreme[E]{E(r.Int64()), some}
	}
	return r.Err()
}

func (a *minmaxNum[E]) Bytes() int { return 16 * cap(a.s) }

// minmaxElem is min or max of any type, of which none is taken back.
type minmaxElem[E any] struct {
	e   elem[E]
	s   []extreme[E]
	dir int // the sign of cmp(new, old) for which new wins
}

func (a *minmaxElem[E]) Grow(n int) { a.s = grown(a.s, n) }

func (a *minmaxElem[E]) offer(t *extreme[E], x E) {
	if !t.some || a.e.cmp(x, t.x)*a.dir > 0 {
		*t = extreme[E]{a.e.keep(x), true}
	}
}

func (a *minmaxElem[E]) Update(ids []uint32, args []*vec.Vec, _ []vec.Op) {
	for i, id := range ids {
		a.offer(&a.s[id], a.e.at(args[0], i))
	}
}

func (a *minmaxElem[E]) Merge(dst []uint32, from Aggregate, src []uint32) {
	f := from.(*minmaxElem[E]).s
	for i, d := range dst {
		if u := &f[src[i]]; u.some {
			a.offer(&a.s[d], u.x)
		}
	}
}

func (a *minmaxElem[E]) Result(ids []uint32, out *vec.Vec) {
	for _, id := range ids {
		if t := &a.s[id]; t.some {
			a.e.put(out, t.x)
		} else {
			out.AppendNull()
		}
	}
}

func (a *minmaxElem[E]) Clear(ids []uint32) { clearIDs(a.s, ids) }

func (a *minmaxElem[E]) Snapshot(ids []uint32, w *state.Writer) {
	for _, id := range ids {
		t := &a.s[id]
		w.Bool(t.some)
		if t.some {
			a.e.write(w, t.x)
		}
	}
}

func (a *minmaxElem[E]) Restore(ids []uint32, r *state.Reader) error {
	for _, id := range ids {
		if r.Bool() {
			a.s[id] = extreme[E]{a.e.read(r), true}
		}
	}
	return r.Err()
}

func (a *minmaxElem[E]) Bytes() int {
	return 24*cap(a.s) + sampled(len(a.s), func(i int) int { return a.e.size(a.s[i].x) })
}

// minmaxBag is min or max where values are taken back: it keeps them all.
type minmaxBag[E any] struct {
	e    elem[E]
	s    []multiset[E]
	desc bool
}

func (a *minmaxBag[E]) Grow(n int) { a.s = grown(a.s, n) }

func (a *minmaxBag[E]) Update(ids []uint32, args []*vec.Vec, ops []vec.Op) {
	for i, id := range ids {
		a.s[id].add(&a.e, a.e.at(args[0], i), opAt(ops, i))
	}
}

func (a *minmaxBag[E]) Merge(dst []uint32, from Aggregate, src []uint32) {
	f := from.(*minmaxBag[E]).s
	for i, d := range dst {
		f[src[i]].each(false, func(x E, n int64) bool {
			a.s[d].add(&a.e, x, n)
			return true
		})
	}
}

func (a *minmaxBag[E]) Result(ids []uint32, out *vec.Vec) {
	for _, id := range ids {
		found := false
		a.s[id].each(a.desc, func(x E, n int64) bool {
			if n > 0 {
				a.e.put(out, x)
				found = true
			}
			return !found
		})
		if !found {
			out.AppendNull()
		}
	}
}

func (a *minmaxBag[E]) Clear(ids []uint32) { clearIDs(a.s, ids) }

func (a *minmaxBag[E]) Snapshot(ids []uint32, w *state.Writer) {
	for _, id := range ids {
		a.s[id].write(&a.e, w)
	}
}

func (a *minmaxBag[E]) Restore(ids []uint32, r *state.Reader) error {
	for _, id := range ids {
		a.s[id].read(&a.e, r)
	}
	return r.Err()
}

func (a *minmaxBag[E]) Bytes() int {
	return 32*cap(a.s) + sampled(len(a.s), func(i int) int { return 32 * a.s[i].len() })
}

func minmaxOf[E any](e elem[E], o AggOptions, max bool) Aggregate {
	if o.Retract {
		return &minmaxBag[E]{e: e, desc: max}
	}
	a := &minmaxElem[E]{e: e, dir: -1}
	if max {
		a.dir = 1
	}
	return a
}

func newMinmax(max bool) func(AggOptions) Aggregate {
	return func(o AggOptions) Aggregate {
		t := o.Args[0]
		switch t.Kind() {
		case types.KindInt16:
			if !o.Retract {
				return &minmaxNum[int16]{max: max}
			}
		case types.KindInt32:
			if !o.Retract {
				return &minmaxNum[int32]{max: max}
			}
		case types.KindInt64:
			if !o.Retract {
				return &minmaxNum[int64]{max: max}
			}
		case types.KindFloat32, types.KindFloat64:
			return minmaxOf(floatElem(t), o, max)
		case types.KindFixed16:
			return minmaxOf(fixed16Elem(t), o, max)
		case types.KindString, types.KindBytes:
			return minmaxOf(stringElem(t), o, max)
		}
		return minmaxOf(intElem(t), o, max)
	}
}

func init() {
	for _, max := range []bool{false, true} {
		name, d := "min", "minimum value of all "
		if max {
			name, d = "max", "maximum value of all "
		}
		for _, t := range []string{"int8", "int4", "int2", "oid", "float4", "float8", "date", "time", "timetz", "timestamp", "timestamptz",
			"interval", "text", "numeric", "bpchar", "inet", "anyarray"} {
			defAgg(name+"("+t+") "+t, newMinmax(max), aggDoc(d+t+" input values"))
		}
	}
}
