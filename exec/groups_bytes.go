package exec

import (
	"encoding/binary"
	"math"
	"unsafe"

	"github.com/zeebo/xxh3"

	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// keyRef says where an id's key lies in the arena: n bytes that decide equality,
// then, where the value as it came differs from them (numeric 1.00), more bytes to give it back.
type keyRef struct {
	off     uint64
	n, more uint32
	hash    uint64
}

// byteGroups is the table of one string key, or of any row of keys, encoded. A
// slot holds 32 bits of hash and the id plus one.
type byteGroups struct {
	alloc   vec.Allocator
	types   []types.T
	single  bool   // one string key: its bytes are the key
	special []bool // columns whose equal values may differ in their bytes
	any     bool
	slots   store[uint64]
	mask    uint64
	refs    store[keyRef] // by id
	arena   store[byte]
	used    int
	dead    int
	ids     idPool
	null    uint32
	row     []byte // scratch: the key
	orig    []byte // scratch: the row as it came
}

func (g *byteGroups) init() {
	g.special = make([]bool, len(g.types))
	for i, t := range g.types {
		g.special[i] = types.NeedsKey(t) && (t.Kind() == types.KindString || t.Kind() == types.KindBytes || t.Kind() == types.KindFixed16)
		g.any = g.any || g.special[i]
	}
	k := g.types[0].Kind()
	g.single = len(g.types) == 1 && (k == types.KindString || k == types.KindBytes)
	g.Reset()
}

func (g *byteGroups) Reset() {
	if len(g.slots.s) == 0 {
		g.slots.renew(g.alloc, minSlots)
	} else {
		clear(g.slots.s)
	}
	g.mask = uint64(len(g.slots.s) - 1)
	g.ids.reset()
	g.used, g.dead = 0, 0
	g.null = NoGroup
}

func (g *byteGroups) Close() {
	g.slots.free(g.alloc)
	g.refs.free(g.alloc)
	g.arena.free(g.alloc)
}

func (g *byteGroups) Len() int   { return int(g.ids.n) }
func (g *byteGroups) Bytes() int { return len(g.slots.raw) + len(g.refs.raw) + len(g.arena.raw) }

// encode leaves row i's key in g.row and, where equal keys can come in several forms, the row as it came in g.orig.
func (g *byteGroups) encode(cols []vec.Vec, i int) {
	if g.single {
		b := cols[0].Bytes(i)
		g.row, g.orig = g.row[:0], g.orig[:0]
		if !g.any {
			g.row = append(g.row, b...)
			return
		}
		g.row = types.AppendKeyBytes(g.row, g.types[0], b)
		g.orig = append(g.orig, b...)
		return
	}
	g.row, g.orig = g.row[:0], g.orig[:0]
	for c := range cols {
		v := &cols[c]
		if g.any {
			g.orig = appendCell(g.orig, v, i)
		}
		if !g.special[c] || v.IsNull(i) {
			g.row = appendCell(g.row, v, i)
			continue
		}
		// The length is not known before: four bytes are kept free for it.
		at := len(g.row)
		g.row = append(g.row, 1, 0, 0, 0, 0)
		if v.Kind == types.KindFixed16 {
			g.row = types.AppendKeyFixed16(g.row, g.types[c], v.F16[i])
		} else {
			g.row = types.AppendKeyBytes(g.row, g.types[c], v.Bytes(i))
		}
		binary.LittleEndian.PutUint32(g.row[at+1:], uint32(len(g.row)-at-5))
	}
}

// appendCell encodes a value: 0 for NULL, else 1 and its bytes (fixed width, or length and bytes).
func appendCell(b []byte, v *vec.Vec, i int) []byte {
	if v.IsNull(i) {
		return append(b, 0)
	}
	b = append(b, 1)
	switch v.Kind {
	case types.KindBool:
		if v.Bools[i] {
			return append(b, 1)
		}
		return append(b, 0)
	case types.KindInt16:
		return binary.LittleEndian.AppendUint16(b, uint16(v.I16[i]))
	case types.KindInt32:
		return binary.LittleEndian.AppendUint32(b, uint32(v.I32[i]))
	case types.KindInt64:
		return binary.LittleEndian.AppendUint64(b, uint64(v.I64[i]))
	case types.KindFloat32:
		return binary.LittleEndian.AppendUint64(b, floatWord(float64(v.F32[i])))
	case types.KindFloat64:
		return binary.LittleEndian.AppendUint64(b, floatWord(v.F64[i]))
	case types.KindFixed16:
		return append(b, v.F16[i][:]...)
	}
	x := v.Bytes(i)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(x)))
	return append(b, x...)
}

// readCell appends the value at the start of b to v and gives the rest.
func readCell(v *vec.Vec, b []byte) []byte {
	if b[0] == 0 {
		v.AppendNull()
		return b[1:]
	}
	b = b[1:]
	switch v.Kind {
	case types.KindBool:
		v.AppendBool(b[0] != 0)
		return b[1:]
	case types.KindInt16:
		v.AppendInt16(int16(binary.LittleEndian.Uint16(b)))
		return b[2:]
	case types.KindInt32:
		v.AppendInt32(int32(binary.LittleEndian.Uint32(b)))
		return b[4:]
	case types.KindInt64:
		v.AppendInt64(int64(binary.LittleEndian.Uint64(b)))
		return b[8:]
	case types.KindFloat32:
		v.AppendFloat32(float32(math.Float64frombits(binary.LittleEndian.Uint64(b))))
		return b[8:]
	case types.KindFloat64:
		v.AppendFloat64(math.Float64frombits(binary.LittleEndian.Uint64(b)))
		return b[8:]
	case types.KindFixed16:
		v.AppendFixed16([16]byte(b))
		return b[16:]
	}
	n := binary.LittleEndian.Uint32(b)
	v.AppendBytes(b[4 : 4+n])
	return b[4+n:]
}

// lookup gives the slot's id of the key k, or NoGroup.
func (g *byteGroups) lookup(k []byte, h uint64) uint32 {
	slots, mask := g.slots.s, g.mask
	for p := h; ; p++ {
		s := slots[p&mask]
		if s == 0 {
			return NoGroup
		}
		if s>>32 != h>>32 {
			continue
		}
		r := &g.refs.s[uint32(s)-1]
		if int(r.n) == len(k) && string(g.arena.s[r.off:r.off+uint64(r.n)]) == unsafe.String(unsafe.SliceData(k), len(k)) {
			return uint32(s) - 1
		}
	}
}

func (g *byteGroups) Intern(cols []vec.Vec, ids []uint32) {
	plain := g.single && !g.any
	for i := range ids {
		var k []byte
		if g.single && cols[0].IsNull(i) {
			if g.null == NoGroup {
				g.null = g.add(nil, nil, 0)
			}
			ids[i] = g.null
			continue
		}
		if plain {
			k = cols[0].Bytes(i)
		} else {
			g.encode(cols, i)
			k = g.row
		}
		h := xxh3.Hash(k)
		id := g.lookup(k, h)
		if id == NoGroup {
			if 2*(g.ids.live()+1) > len(g.slots.s) {
				g.rehash()
			}
			var orig []byte
			if g.any && string(g.orig) != string(g.row) {
				orig = g.orig
			}
			id = g.add(k, orig, h)
			placeGroup(g.slots.s, h, id)
		}
		ids[i] = id
	}
}

func (g *byteGroups) Find(cols []vec.Vec, ids []uint32) {
	for i := range ids {
		if g.single && cols[0].IsNull(i) {
			ids[i] = g.null
			continue
		}
		g.encode(cols, i)
		ids[i] = g.lookup(g.row, xxh3.Hash(g.row))
	}
}

// add gives a new id and stores its key.
func (g *byteGroups) add(k, orig []byte, h uint64) uint32 {
	if g.dead > 1<<16 && g.dead > g.used/2 {
		g.compact()
	}
	id := g.ids.next()
	g.refs.grow(g.alloc, int(id)+1)
	g.arena.grow(g.alloc, g.used+len(k)+len(orig))
	g.refs.s[id] = keyRef{uint64(g.used), uint32(len(k)), uint32(len(orig)), h}
	g.used += copy(g.arena.s[g.used:], k)
	g.used += copy(g.arena.s[g.used:], orig)
	return id
}

// placeGroup enters a group under its hash: slots, of which there is a power of two, hold a half of the hash and the number of the group plus one.
func placeGroup(slots []uint64, h uint64, id uint32) {
	mask := uint64(len(slots) - 1)
	p := h
	for slots[p&mask] != 0 {
		p++
	}
	slots[p&mask] = h>>32<<32 | uint64(id+1)
}

func (g *byteGroups) rehash() {
	old := g.slots
	g.slots = store[uint64]{}
	g.slots.grow(g.alloc, 2*len(old.s))
	g.mask = uint64(len(g.slots.s) - 1)
	for _, s := range old.s {
		if s != 0 {
			placeGroup(g.slots.s, g.refs.s[uint32(s)-1].hash, uint32(s)-1)
		}
	}
	old.free(g.alloc)
}

// compact drops the bytes of removed keys from the arena.
func (g *byteGroups) compact() {
	gone := make([]bool, g.ids.n)
	for _, id := range g.ids.free {
		gone[id] = true
	}
	old := g.arena
	g.arena = store[byte]{}
	g.arena.grow(g.alloc, g.used-g.dead)
	g.used, g.dead = 0, 0
	for id := range gone {
		if gone[id] {
			continue
		}
		r := &g.refs.s[id]
		at := g.used
		g.used += copy(g.arena.s[at:], old.s[r.off:r.off+uint64(r.n)+uint64(r.more)])
		r.off = uint64(at)
	}
	old.free(g.alloc)
}

func (g *byteGroups) Append(ids []uint32, dst []vec.Vec) {
	for _, id := range ids {
		if id == g.null {
			dst[0].AppendNull()
			continue
		}
		r := g.refs.s[id]
		k := g.arena.s[r.off:]
		if r.more > 0 {
			k = k[r.n : uint64(r.n)+uint64(r.more)]
		} else {
			k = k[:r.n]
		}
		if g.single {
			dst[0].AppendBytes(k)
			continue
		}
		for c := range dst {
			k = readCell(&dst[c], k)
		}
	}
}

func (g *byteGroups) Remove(ids []uint32) {
	for _, id := range ids {
		g.ids.free = append(g.ids.free, id)
		r := g.refs.s[id]
		g.dead += int(r.n + r.more)
		if id == g.null {
			g.null = NoGroup
			continue
		}
		p := r.hash & g.mask
		for uint32(g.slots.s[p]) != id+1 {
			p = (p + 1) & g.mask
		}
		unlinkTagged(g.slots.s, g.mask, p, func(id uint32) uint64 { return g.refs.s[id].hash })
	}
}
