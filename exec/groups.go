package exec

import (
	"math/bits"
	"unsafe"

	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// groupTable is a Groups whose keys can also be taken out one by one.
type groupTable interface {
	Groups
	// Remove forgets the keys of ids; later keys get these ids again, last removed first.
	Remove(ids []uint32)
	// Bytes gives the memory held.
	Bytes() int
}

// NewGroups makes an empty group table for keys of the given types: without
// types there is one group. It is used by one goroutine; Close gives its memory back.
func NewGroups(alloc vec.Allocator, keys []types.T) Groups { return newGroups(alloc, keys) }

func newGroups(alloc vec.Allocator, keys []types.T) groupTable {
	if alloc == nil {
		alloc = goHeap{}
	}
	switch {
	case len(keys) == 0:
		return new(oneGroup)
	case len(keys) == 1 && wordKind(keys[0]):
		g := &wordGroups{alloc: alloc, kind: keys[0].Kind()}
		g.Reset()
		return g
	case len(keys) == 1 && keys[0].Is(types.UUID), len(keys) == 2 && wordKind(keys[0]) && wordKind(keys[1]):
		g := &pairGroups{alloc: alloc}
		for _, t := range keys {
			g.kinds = append(g.kinds, t.Kind())
		}
		g.Reset()
		return g
	}
	g := &byteGroups{alloc: alloc, types: keys}
	g.init()
	return g
}

// wordKind says that values of t are told apart by (at most) 64 bits.
func wordKind(t types.T) bool {
	switch t.Kind() {
	case types.KindBool, types.KindInt16, types.KindInt32, types.KindInt64, types.KindFloat32, types.KindFloat64:
		return true
	}
	return false
}

// store is a pointer-free slice in an allocator's memory: the garbage collector
// does not look into it, and the allocator's limit counts it.
type store[E any] struct {
	raw []byte
	s   []E
}

// grow makes room for at least n elements; new ones are zero.
func (m *store[E]) grow(a vec.Allocator, n int) {
	if n <= len(m.s) {
		return
	}
	var e E
	size := int(unsafe.Sizeof(e))
	n = max(n, 2*len(m.s), 16)
	raw := a.Allocate(n * size)
	used := copy(raw, m.raw)
	clear(raw[used:])
	if m.raw != nil {
		a.Free(m.raw)
	}
	m.raw = raw
	m.s = unsafe.Slice((*E)(unsafe.Pointer(unsafe.SliceData(raw))), n)
}

// renew replaces the contents by n zero elements.
func (m *store[E]) renew(a vec.Allocator, n int) {
	m.free(a)
	m.grow(a, n)
}

func (m *store[E]) free(a vec.Allocator) {
	if m.raw != nil {
		a.Free(m.raw)
	}
	m.raw, m.s = nil, nil
}

const (
	hashK0 = 0x9e3779b97f4a7c15
	hashK1 = 0xd6e8feb86659fd93
)

// hashWord spreads x over all 64 bits.
func hashWord(x uint64) uint64 {
	hi, lo := bits.Mul64(x^hashK1, hashK0)
	return hi ^ lo
}

func hashPair(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a^hashK0, b^hashK1)
	return hashWord(hi ^ lo ^ a)
}

// ids gives out dense ids and takes vanished ones back.
type idPool struct {
	n    uint32
	free []uint32
}

func (p *idPool) next() uint32 {
	if k := len(p.free); k > 0 {
		id := p.free[k-1]
		p.free = p.free[:k-1]
		return id
	}
	p.n++
	return p.n - 1
}

func (p *idPool) live() int { return int(p.n) - len(p.free) }

func (p *idPool) reset() { p.n, p.free = 0, p.free[:0] }

// oneGroup is the table of no key columns.
type oneGroup struct{ some bool }

func (g *oneGroup) Intern(_ []vec.Vec, ids []uint32) {
	g.some = g.some || len(ids) > 0
	clear(ids)
}

func (g *oneGroup) Find(_ []vec.Vec, ids []uint32) {
	clear(ids)
	if !g.some {
		for i := range ids {
			ids[i] = NoGroup
		}
	}
}

func (g *oneGroup) Len() int {
	if g.some {
		return 1
	}
	return 0
}

func (g *oneGroup) Append([]uint32, []vec.Vec) {}
func (g *oneGroup) Remove([]uint32)            {}
func (g *oneGroup) Reset()                     { g.some = false }
func (g *oneGroup) Close()                     {}
func (g *oneGroup) Bytes() int                 { return 1 }

// minSlots is the size of a new hash table. There is a table for each open window, so it is small.
const minSlots = 64

// keyWords reads a column of a word kind as words that are equal iff the values are:
// -0 is 0 and all NaNs are one. The result is scratch or the column itself.
func keyWords(v *vec.Vec, n int, scratch []uint64) []uint64 {
	if v.Kind == types.KindInt64 {
		return castWords(v.I64[:n])
	}
	w := scratch[:n]
	switch v.Kind {
	case types.KindBool:
		for i, x := range v.Bools[:n] {
			w[i] = 0
			if x {
				w[i] = 1
			}
		}
	case types.KindInt16:
		for i, x := range v.I16[:n] {
			w[i] = uint64(x)
		}
	case types.KindInt32:
		for i, x := range v.I32[:n] {
			w[i] = uint64(x)
		}
	case types.KindFloat32:
		for i, x := range v.F32[:n] {
			w[i] = floatWord(float64(x))
		}
	case types.KindFloat64:
		for i, x := range v.F64[:n] {
			w[i] = floatWord(x)
		}
	}
	return w
}

func castWords(s []int64) []uint64 {
	return unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(s))), len(s))
}

// goHeap allocates from Go's heap, for tables made without an allocator.
type goHeap struct{}

func (goHeap) Allocate(n int) []byte { return make([]byte, n) }

func (goHeap) Reallocate(n int, b []byte) []byte {
	r := make([]byte, n)
	copy(r, b)
	return r
}

func (goHeap) Free([]byte) {}
