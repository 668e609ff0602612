package exec

import (
	"math"

	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// canonicalNaN is the word of every NaN.
var canonicalNaN = math.Float64bits(math.NaN())

func floatWord(x float64) uint64 {
	switch {
	case x == 0:
		return 0
	case x != x:
		return canonicalNaN
	}
	return math.Float64bits(x)
}

// appendWord appends a key word to a column of its kind.
func appendWord(v *vec.Vec, w uint64) {
	switch v.Kind {
	case types.KindBool:
		v.AppendBool(w != 0)
	case types.KindInt16:
		v.AppendInt16(int16(w))
	case types.KindInt32:
		v.AppendInt32(int32(w))
	case types.KindInt64:
		v.AppendInt64(int64(w))
	case types.KindFloat32:
		v.AppendFloat32(float32(math.Float64frombits(w)))
	case types.KindFloat64:
		v.AppendFloat64(math.Float64frombits(w))
	}
}

// wordSlot holds a key and its id in one cache line. id is the id plus one, 0 for an empty slot.
type wordSlot struct {
	key uint64
	id  uint64
}

// wordGroups is the table of one fixed-width key of at most eight bytes.
type wordGroups struct {
	alloc vec.Allocator
	kind  types.Kind
	slots store[wordSlot]
	mask  uint64
	keys  store[uint64] // by id
	ids   idPool
	null  uint32 // id of the NULL group
	words []uint64
	rest  []int32
}

func (g *wordGroups) Reset() {
	if len(g.slots.s) == 0 {
		g.slots.renew(g.alloc, minSlots)
	} else {
		clear(g.slots.s)
	}
	g.mask = uint64(len(g.slots.s) - 1)
	g.ids.reset()
	g.null = NoGroup
}

func (g *wordGroups) Close() {
	g.slots.free(g.alloc)
	g.keys.free(g.alloc)
}

func (g *wordGroups) Len() int   { return int(g.ids.n) }
func (g *wordGroups) Bytes() int { return len(g.slots.raw) + len(g.keys.raw) }

func (g *wordGroups) scratch(n int) []uint64 {
	if cap(g.words) < n {
		g.words = make([]uint64, max(n, vec.MaxRows))
	}
	return g.words[:n]
}

func (g *wordGroups) Intern(cols []vec.Vec, ids []uint32) {
	c := &cols[0]
	keys := keyWords(c, len(ids), g.scratch(len(ids)))
	if c.Valid != nil {
		for i, k := range keys {
			if c.IsNull(i) {
				if g.null == NoGroup {
					g.null = g.newID(0)
				}
				ids[i] = g.null
				continue
			}
			ids[i] = g.intern(k)
		}
		return
	}
	// Most keys are in the slot where they belong: those are found without a branch that could be mispredicted.
	slots := g.slots.s
	mask := uint64(len(slots) - 1)
	ids = ids[:len(keys)]
	if cap(g.rest) < len(keys) {
		g.rest = make([]int32, max(len(keys), vec.MaxRows))
	}
	rest, n := g.rest[:len(keys)], 0
	for i, k := range keys {
		s := &slots[hashWord(k)&mask]
		ids[i] = uint32(s.id - 1)
		rest[n] = int32(i)
		// An empty slot is a key that is not there, whatever it holds.
		differs := (s.key ^ k) | (s.id-1)>>63
		n += int((differs | -differs) >> 63)
	}
	for _, i := range rest[:n] {
		ids[i] = g.intern(keys[i])
	}
}

func (g *wordGroups) intern(k uint64) uint32 {
	for p := hashWord(k); ; p++ {
		s := &g.slots.s[p&g.mask]
		if s.id == 0 {
			return g.insert(k)
		}
		if s.key == k {
			return uint32(s.id - 1)
		}
	}
}

func (g *wordGroups) newID(k uint64) uint32 {
	id := g.ids.next()
	g.keys.grow(g.alloc, int(id)+1)
	g.keys.s[id] = k
	return id
}

// insert adds a key that is not there.
func (g *wordGroups) insert(k uint64) uint32 {
	if 2*(g.ids.live()+1) > len(g.slots.s) {
		g.rehash(2 * len(g.slots.s))
	}
	id := g.newID(k)
	g.place(k, uint64(id)+1)
	return id
}

func (g *wordGroups) place(k, id uint64) {
	p := hashWord(k)
	for g.slots.s[p&g.mask].id != 0 {
		p++
	}
	g.slots.s[p&g.mask] = wordSlot{k, id}
}

func (g *wordGroups) rehash(size int) {
	old := g.slots
	g.slots = store[wordSlot]{}
	g.slots.grow(g.alloc, size)
	g.mask = uint64(size - 1)
	for _, s := range old.s {
		if s.id != 0 {
			g.place(s.key, s.id)
		}
	}
	old.free(g.alloc)
}

func (g *wordGroups) Find(cols []vec.Vec, ids []uint32) {
	c := &cols[0]
	keys := keyWords(c, len(ids), g.scratch(len(ids)))
	for i, k := range keys {
		if c.IsNull(i) {
			ids[i] = g.null
			continue
		}
		ids[i] = NoGroup
		for p := hashWord(k); ; p++ {
			s := &g.slots.s[p&g.mask]
			if s.id == 0 {
				break
			}
			if s.key == k {
				ids[i] = uint32(s.id - 1)
				break
			}
		}
	}
}

func (g *wordGroups) Append(ids []uint32, dst []vec.Vec) {
	v := &dst[0]
	keys := g.keys.s
	if g.null == NoGroup {
		at := v.N
		v.Extend(len(ids))
		switch v.Kind {
		case types.KindInt64:
			out := v.I64[at:v.N]
			for i, id := range ids {
				out[i] = int64(keys[id])
			}
			return
		case types.KindInt32:
			out := v.I32[at:v.N]
			for i, id := range ids {
				out[i] = int32(keys[id])
			}
			return
		}
		v.Truncate(at)
	}
	for _, id := range ids {
		if id == g.null {
			v.AppendNull()
			continue
		}
		appendWord(v, keys[id])
	}
}

func (g *wordGroups) Remove(ids []uint32) {
	for _, id := range ids {
		g.ids.free = append(g.ids.free, id)
		if id == g.null {
			g.null = NoGroup
			continue
		}
		k := g.keys.s[id]
		p := hashWord(k) & g.mask
		for g.slots.s[p].id != uint64(id)+1 {
			p = (p + 1) & g.mask
		}
		g.unlink(p)
	}
}

// unlink empties slot p and moves later keys of its run back, so that no tombstones are needed.
func (g *wordGroups) unlink(p uint64) {
	s, mask := g.slots.s, g.mask
	for q := (p + 1) & mask; s[q].id != 0; q = (q + 1) & mask {
		home := hashWord(s[q].key) & mask
		if (q-home)&mask >= (q-p)&mask {
			s[p] = s[q]
			p = q
		}
	}
	s[p] = wordSlot{}
}

// pairKey is two words and, in bits 0 and 1, which of them are NULL.
type pairKey struct{ a, b, nulls uint64 }

// pairGroups is the table of two fixed-width keys, or of one of 16 bytes. A slot
// holds 32 bits of hash and the id plus one.
type pairGroups struct {
	alloc  vec.Allocator
	kinds  []types.Kind
	slots  store[uint64]
	mask   uint64
	keys   store[pairKey] // by id
	ids    idPool
	wa, wb []uint64
}

func (g *pairGroups) Reset() {
	if len(g.slots.s) == 0 {
		g.slots.renew(g.alloc, minSlots)
	} else {
		clear(g.slots.s)
	}
	g.mask = uint64(len(g.slots.s) - 1)
	g.ids.reset()
}

func (g *pairGroups) Close() {
	g.slots.free(g.alloc)
	g.keys.free(g.alloc)
}

func (g *pairGroups) Len() int   { return int(g.ids.n) }
func (g *pairGroups) Bytes() int { return len(g.slots.raw) + len(g.keys.raw) }

// load gives the two words of each row; values below a NULL are made 0.
func (g *pairGroups) load(cols []vec.Vec, n int) (a, b []uint64) {
	if cap(g.wa) < n {
		g.wa = make([]uint64, max(n, vec.MaxRows))
		g.wb = make([]uint64, max(n, vec.MaxRows))
	}
	if len(g.kinds) == 1 {
		a, b = g.wa[:n], g.wb[:n]
		for i, x := range cols[0].F16[:n] {
			a[i], b[i] = splitFixed16(x)
		}
		return a, b
	}
	return keyWords(&cols[0], n, g.wa[:n]), keyWords(&cols[1], n, g.wb[:n])
}

func splitFixed16(x [16]byte) (a, b uint64) {
	for i := 7; i >= 0; i-- {
		a = a<<8 | uint64(x[i])
		b = b<<8 | uint64(x[8+i])
	}
	return a, b
}

func joinFixed16(a, b uint64) (x [16]byte) {
	for i := range 8 {
		x[i] = byte(a >> (8 * i))
		x[8+i] = byte(b >> (8 * i))
	}
	return x
}

// nulled applies NULLs to row i's key.
func (g *pairGroups) nulled(cols []vec.Vec, i int, k pairKey) pairKey {
	if cols[0].IsNull(i) {
		k.a, k.nulls = 0, 1
		if len(g.kinds) == 1 {
			k.b = 0
		}
	}
	if len(cols) > 1 && cols[1].IsNull(i) {
		k.b, k.nulls = 0, k.nulls|2
	}
	return k
}

func hasNulls(cols []vec.Vec) bool {
	for i := range cols {
		if cols[i].Valid != nil {
			return true
		}
	}
	return false
}

func (k pairKey) hash() uint64 { return hashPair(k.a+k.nulls, k.b) }

func (g *pairGroups) Intern(cols []vec.Vec, ids []uint32) {
	a, b := g.load(cols, len(ids))
	nulls := hasNulls(cols)
	b, ids = b[:len(a)], ids[:len(a)]
	for i := range a {
		k := pairKey{a[i], b[i], 0}
		if nulls {
			k = g.nulled(cols, i, k)
		}
		h := k.hash()
		for p := h; ; p++ {
			s := g.slots.s[p&g.mask]
			if s == 0 {
				ids[i] = g.insert(k, h)
				break
			}
			if s>>32 == h>>32 && g.keys.s[uint32(s)-1] == k {
				ids[i] = uint32(s) - 1
				break
			}
		}
	}
}

func (g *pairGroups) insert(k pairKey, h uint64) uint32 {
	if 2*(g.ids.live()+1) > len(g.slots.s) {
		old := g.slots
		g.slots = store[uint64]{}
		g.slots.grow(g.alloc, 2*len(old.s))
		g.mask = uint64(len(g.slots.s) - 1)
		for _, s := range old.s {
			if s != 0 {
				placeGroup(g.slots.s, g.keys.s[uint32(s)-1].hash(), uint32(s)-1)
			}
		}
		old.free(g.alloc)
	}
	id := g.ids.next()
	g.keys.grow(g.alloc, int(id)+1)
	g.keys.s[id] = k
	placeGroup(g.slots.s, h, id)
	return id
}

func (g *pairGroups) Find(cols []vec.Vec, ids []uint32) {
	a, b := g.load(cols, len(ids))
	for i := range a {
		k := g.nulled(cols, i, pairKey{a[i], b[i], 0})
		h := k.hash()
		ids[i] = NoGroup
		for p := h; ; p++ {
			s := g.slots.s[p&g.mask]
			if s == 0 {
				break
			}
			if s>>32 == h>>32 && g.keys.s[uint32(s)-1] == k {
				ids[i] = uint32(s) - 1
				break
			}
		}
	}
}

func (g *pairGroups) Append(ids []uint32, dst []vec.Vec) {
	for _, id := range ids {
		k := g.keys.s[id]
		if len(g.kinds) == 1 {
			if k.nulls != 0 {
				dst[0].AppendNull()
			} else {
				dst[0].AppendFixed16(joinFixed16(k.a, k.b))
			}
			continue
		}
		appendNullable(&dst[0], k.a, k.nulls&1 != 0)
		appendNullable(&dst[1], k.b, k.nulls&2 != 0)
	}
}

func appendNullable(v *vec.Vec, w uint64, null bool) {
	if null {
		v.AppendNull()
		return
	}
	appendWord(v, w)
}

func (g *pairGroups) Remove(ids []uint32) {
	for _, id := range ids {
		g.ids.free = append(g.ids.free, id)
		p := g.keys.s[id].hash() & g.mask
		for uint32(g.slots.s[p]) != id+1 {
			p = (p + 1) & g.mask
		}
		unlinkTagged(g.slots.s, g.mask, p, func(id uint32) uint64 { return g.keys.s[id].hash() })
	}
}

// unlinkTagged empties slot p of a table of (hash, id+1) words and moves later keys of its run back.
func unlinkTagged(s []uint64, mask, p uint64, hash func(id uint32) uint64) {
	for q := (p + 1) & mask; s[q] != 0; q = (q + 1) & mask {
		home := hash(uint32(s[q])-1) & mask
		if (q-home)&mask >= (q-p)&mask {
			s[p] = s[q]
			p = q
		}
	}
	s[p] = 0
}
