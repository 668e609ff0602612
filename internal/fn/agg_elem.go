package fn

import (
	"bytes"
	"sort"
	"strings"

	"github.com/tidwall/btree"

	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/state"
)

// elem is what aggregates that keep values must know of them: E is int64 for
// integers and times, float64 for floats, string for all of variable width.
type elem[E any] struct {
	at    func(v *vec.Vec, i int) E // strings share the column's memory: see keep
	keep  func(x E) E
	cmp   func(a, b E) int
	put   func(out *vec.Vec, x E)
	write func(w *state.Writer, x E)
	read  func(r *state.Reader) E
	size  func(x E) int
}

func intElem(t types.T) elem[int64] {
	e := elem[int64]{
		keep:  func(x int64) int64 { return x },
		cmp:   cmpInt[int64],
		write: func(w *state.Writer, x int64) { w.Int64(x) },
		read:  func(r *state.Reader) int64 { return r.Int64() },
		size:  func(int64) int { return 8 },
	}
	switch t.Kind() {
	case types.KindBool:
		e.at = func(v *vec.Vec, i int) int64 {
			if v.Bools[i] {
				return 1
			}
			return 0
		}
		e.put = func(out *vec.Vec, x int64) { out.AppendBool(x != 0) }
	case types.KindInt16:
		e.at = func(v *vec.Vec, i int) int64 { return int64(v.I16[i]) }
		e.put = func(out *vec.Vec, x int64) { out.AppendInt16(int16(x)) }
	case types.KindInt32:
		e.at = func(v *vec.Vec, i int) int64 { return int64(v.I32[i]) }
		e.put = func(out *vec.Vec, x int64) { out.AppendInt32(int32(x)) }
	default:
		e.at = func(v *vec.Vec, i int) int64 { return v.I64[i] }
		e.put = func(out *vec.Vec, x int64) { out.AppendInt64(x) }
	}
	return e
}

func floatElem(t types.T) elem[float64] {
	e := elem[float64]{
		keep:  func(x float64) float64 { return x },
		cmp:   cmpFloat,
		write: func(w *state.Writer, x float64) { w.Float64(x) },
		read:  func(r *state.Reader) float64 { return r.Float64() },
		size:  func(float64) int { return 8 },
	}
	if t.Kind() == types.KindFloat32 {
		e.at = func(v *vec.Vec, i int) float64 { return float64(v.F32[i]) }
		e.put = func(out *vec.Vec, x float64) { out.AppendFloat32(float32(x)) }
	} else {
		e.at = func(v *vec.Vec, i int) float64 { return v.F64[i] }
		e.put = func(out *vec.Vec, x float64) { out.AppendFloat64(x) }
	}
	return e
}

func fixed16Elem(t types.T) elem[b16] {
	e := elem[b16]{
		at:    func(v *vec.Vec, i int) b16 { return v.F16[i] },
		keep:  func(x b16) b16 { return x },
		put:   func(out *vec.Vec, x b16) { out.AppendFixed16(x) },
		write: func(w *state.Writer, x b16) { w.Blob(x[:]) },
		read: func(r *state.Reader) (x b16) {
			copy(x[:], r.Blob())
			return x
		},
		size: func(b16) int { return 16 },
	}
	switch t.OID {
	case types.OIDInterval:
		e.cmp = cmpSpan
	case types.OIDUUID:
		e.cmp = func(a, b b16) int { return bytes.Compare(a[:], b[:]) }
	default:
		e.cmp = func(a, b b16) int { return types.Compare(t, a, b) }
	}
	return e
}

func stringElem(t types.T) elem[string] {
	e := elem[string]{
		at:    (*vec.Vec).Str,
		keep:  strings.Clone,
		put:   func(out *vec.Vec, x string) { out.AppendStr(x) },
		write: func(w *state.Writer, x string) { w.String(x) },
		read:  func(r *state.Reader) string { return r.String() },
		size:  func(x string) int { return 16 + len(x) },
	}
	switch t.OID {
	case types.OIDText, types.OIDVarchar, types.OIDName, types.OIDBytea, types.OIDChar, types.OIDUnknown:
		e.cmp = strings.Compare
	case types.OIDNumeric:
		e.cmp = func(a, b string) int { return types.NumericOf(a).Cmp(types.NumericOf(b)) }
	default:
		e.cmp = func(a, b string) int { return types.Compare(t, a, b) }
	}
	return e
}

// counted is a value of a multiset and how often it is in it.
type counted[E any] struct {
	x E
	n int64
}

// multisetSlice is up to how many distinct values a multiset is a sorted slice; then it is a tree.
const multisetSlice = 512

// multiset is a sorted bag of values. Counts may be negative for a while, when a
// value is taken away before it came.
type multiset[E any] struct {
	s    []counted[E]
	tree *btree.BTreeG[counted[E]]
}

func (m *multiset[E]) add(e *elem[E], x E, o int64) {
	if m.tree != nil {
		old, ok := m.tree.Get(counted[E]{x: x})
		switch {
		case !ok:
			m.tree.Set(counted[E]{e.keep(x), o})
		case old.n+o == 0:
			m.tree.Delete(old)
		default:
			m.tree.Set(counted[E]{old.x, old.n + o})
		}
		return
	}
	i := sort.Search(len(m.s), func(i int) bool { return e.cmp(m.s[i].x, x) >= 0 })
	if i < len(m.s) && e.cmp(m.s[i].x, x) == 0 {
		if m.s[i].n += o; m.s[i].n == 0 {
			copy(m.s[i:], m.s[i+1:])
			m.s[len(m.s)-1] = counted[E]{}
			m.s = m.s[:len(m.s)-1]
		}
		return
	}
	m.s = append(m.s, counted[E]{})
	copy(m.s[i+1:], m.s[i:])
	m.s[i] = counted[E]{e.keep(x), o}
	if len(m.s) > multisetSlice {
		m.tree = btree.NewBTreeGOptions(func(a, b counted[E]) bool { return e.cmp(a.x, b.x) < 0 }, btree.Options{NoLocks: true})
		for _, c := range m.s {
			m.tree.Load(c)
		}
		m.s = nil
	}
}

// each calls f for the values in order (descending where desc) until it gives false.
func (m *multiset[E]) each(desc bool, f func(x E, n int64) bool) {
	it := func(c counted[E]) bool { return f(c.x, c.n) }
	switch {
	case m.tree != nil && desc:
		m.tree.Reverse(it)
	case m.tree != nil:
		m.tree.Scan(it)
	case desc:
		for i := len(m.s) - 1; i >= 0 && it(m.s[i]); i-- {
		}
	default:
		for i := 0; i < len(m.s) && it(m.s[i]); i++ {
		}
	}
}

func (m *multiset[E]) len() int {
	if m.tree != nil {
		return m.tree.Len()
	}
	return len(m.s)
}

func (m *multiset[E]) write(e *elem[E], w *state.Writer) {
	w.Uint64(uint64(m.len()))
	m.each(false, func(x E, n int64) bool {
		e.write(w, x)
		w.Int64(n)
		return true
	})
}

func (m *multiset[E]) read(e *elem[E], r *state.Reader) {
	*m = multiset[E]{}
	for n := r.Uint64(); n > 0 && r.Err() == nil; n-- {
		x := e.read(r)
		m.add(e, x, r.Int64())
	}
}
