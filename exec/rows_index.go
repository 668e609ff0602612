package exec

import (
	"math"
	"math/bits"

	"streamsql/internal/types"
	"streamsql/internal/vary"
	"streamsql/internal/vec"
)

// Rows of a changelog are taken back by content: a delete carries the bytes of its
// insert. The hash and the equality here are therefore of the representation
// (numeric 1.0 is not 1.00), unlike those of Groups. NaNs are one value.

const golden = 0x9e3779b97f4a7c15

// hashSeed begins the hashes of keys. Nothing that outlives the process, and no result, depends on it: tests draw another.
var hashSeed = func() uint64 {
	if v := vary.Drawn(); v != nil {
		return v.HashSeed
	}
	return golden
}()

func mix(h, x uint64) uint64 {
	hi, lo := bits.Mul64(h^x, 0xd6e8feb86659fd93)
	return hi ^ lo ^ golden
}

func mixBytes(h uint64, b []byte) uint64 {
	h = mix(h, uint64(len(b)))
	for len(b) >= 8 {
		h = mix(h, uint64(b[0])|uint64(b[1])<<8|uint64(b[2])<<16|uint64(b[3])<<24|
			uint64(b[4])<<32|uint64(b[5])<<40|uint64(b[6])<<48|uint64(b[7])<<56)
		b = b[8:]
	}
	var t uint64
	for i, c := range b {
		t |= uint64(c) << (8 * i)
	}
	return mix(h, t)
}

func floatBits(f float64) uint64 {
	if f != f {
		return 0x7ff8000000000001
	}
	return math.Float64bits(f)
}

// hashRows sets dst[i] to the hash of row i of cols.
func hashRows(cols []vec.Vec, n int, dst []uint64) {
	dst = dst[:n]
	for i := range dst {
		dst[i] = hashSeed
	}
	for c := range cols {
		v := &cols[c]
		if v.Valid != nil {
			for i := range dst {
				if v.IsNull(i) {
					dst[i] = mix(dst[i], 0xdead)
				} else {
					dst[i] = hashValue(v, i, dst[i])
				}
			}
			continue
		}
		switch v.Kind {
		case types.KindInt64:
			for i, x := range v.I64[:n] {
				dst[i] = mix(dst[i], uint64(x))
			}
		case types.KindInt32:
			for i, x := range v.I32[:n] {
				dst[i] = mix(dst[i], uint64(x))
			}
		case types.KindString, types.KindBytes:
			for i := range dst {
				dst[i] = mixBytes(dst[i], v.Data[v.Off[i]:v.Off[i+1]])
			}
		default:
			for i := range dst {
				dst[i] = hashValue(v, i, dst[i])
			}
		}
	}
}

func hashValue(v *vec.Vec, i int, h uint64) uint64 {
	switch v.Kind {
	case types.KindBool:
		if v.Bools[i] {
			return mix(h, 1)
		}
		return mix(h, 0)
	case types.KindInt16:
		return mix(h, uint64(v.I16[i]))
	case types.KindInt32:
		return mix(h, uint64(v.I32[i]))
	case types.KindInt64:
		return mix(h, uint64(v.I64[i]))
	case types.KindFloat32:
		return mix(h, floatBits(float64(v.F32[i])))
	case types.KindFloat64:
		return mix(h, floatBits(v.F64[i]))
	case types.KindFixed16:
		return mixBytes(h, v.F16[i][:])
	}
	return mixBytes(h, v.Bytes(i))
}

// sameRow reports whether row i of a and row j of b have the same representation.
func sameRow(a []vec.Vec, i int, b []vec.Vec, j int) bool {
	for c := range a {
		x, y := &a[c], &b[c]
		if n := x.IsNull(i); n || y.IsNull(j) {
			if n != y.IsNull(j) {
				return false
			}
			continue
		}
		ok := false
		switch x.Kind {
		case types.KindBool:
			ok = x.Bools[i] == y.Bools[j]
		case types.KindInt16:
			ok = x.I16[i] == y.I16[j]
		case types.KindInt32:
			ok = x.I32[i] == y.I32[j]
		case types.KindInt64:
			ok = x.I64[i] == y.I64[j]
		case types.KindFloat32:
			ok = floatBits(float64(x.F32[i])) == floatBits(float64(y.F32[j]))
		case types.KindFloat64:
			ok = floatBits(x.F64[i]) == floatBits(y.F64[j])
		case types.KindFixed16:
			ok = x.F16[i] == y.F16[j]
		default:
			ok = string(x.Bytes(i)) == string(y.Bytes(j))
		}
		if !ok {
			return false
		}
	}
	return true
}

// rowIndex finds rows of a store by content: open addressing over references, with linear
// probing; removal moves entries back, so that there are no tombstones.
type rowIndex struct {
	slots []rowSlot
	n     int
}

type rowSlot struct {
	hash uint32
	ref  rowRef // noRow: empty
}

func (x *rowIndex) reset() {
	x.n = 0
	for i := range x.slots {
		x.slots[i].ref = noRow
	}
}

// find gives the row of s equal to row i of cols, whose hash is h; noRow if there is none.
func (x *rowIndex) find(s *rowStore, cols []vec.Vec, i int, h uint64) rowRef {
	if x.n == 0 {
		return noRow
	}
	mask := uint32(len(x.slots) - 1)
	for p := uint32(h) & mask; ; p = (p + 1) & mask {
		e := x.slots[p]
		if e.ref == noRow {
			return noRow
		}
		if e.hash == uint32(h) {
			if b, row := s.at(e.ref); sameRow(b, row, cols, i) {
				return e.ref
			}
		}
	}
}

// add puts a row in that find did not find.
func (x *rowIndex) add(r rowRef, h uint64) {
	if 4*(x.n+1) > 3*len(x.slots) {
		old := x.slots
		x.slots = make([]rowSlot, max(64, 2*len(old)))
		x.reset()
		for _, e := range old {
			if e.ref != noRow {
				x.put(e)
			}
		}
	}
	x.put(rowSlot{uint32(h), r})
}

func (x *rowIndex) put(e rowSlot) {
	mask := uint32(len(x.slots) - 1)
	p := e.hash & mask
	for x.slots[p].ref != noRow {
		p = (p + 1) & mask
	}
	x.slots[p] = e
	x.n++
}

// remove takes row r, whose hash is h, out.
func (x *rowIndex) remove(r rowRef, h uint64) {
	mask := uint32(len(x.slots) - 1)
	p := uint32(h) & mask
	for x.slots[p].ref != r {
		if x.slots[p].ref == noRow {
			return
		}
		p = (p + 1) & mask
	}
	x.n--
	for hole, q := p, p; ; {
		q = (q + 1) & mask
		e := x.slots[q]
		if e.ref == noRow {
			x.slots[hole].ref = noRow
			return
		}
		// e may move back to the hole unless its home lies behind it.
		if (q-e.hash)&mask >= (q-hole)&mask {
			x.slots[hole] = e
			hole = q
		}
	}
}
