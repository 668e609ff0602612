package wire

import (
	"encoding/binary"
	"math"
	"slices"

	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// The distance from 1970-01-01 to PostgreSQL's epoch, 2000-01-01.
const (
	epochDays   = 10957
	epochMicros = epochDays * 86_400_000_000
)

// formatBinary makes the cells of rows [from, to) in binary format. Types of
// fixed width are not copied: put writes them from the column.
func (c *cells) formatBinary(t types.T, v *vec.Vec, from, to int) {
	if c.width = binaryWidth(t); c.width > 0 {
		return
	}
	switch t.OID {
	case types.OIDNumeric, types.OIDJSONB, types.OIDInet, types.OIDChar:
		c.begin()
		for i := from; i < to; i++ {
			if !v.IsNull(i) {
				c.buf = types.AppendBinaryBytes(c.buf, t, v.Bytes(i))
			}
			c.cell()
		}
		c.end()
	default: // what the column holds is the binary format
		if t.IsEnum() {
			c.begin()
			for i := from; i < to; i++ {
				if !v.IsNull(i) {
					c.buf = types.AppendBinaryBytes(c.buf, t, v.Bytes(i))
				}
				c.cell()
			}
			c.end()
			return
		}
		c.data, c.off = v.Data, v.Off[from:to+1]
	}
}

// begin starts cells made in memory of their own: the value of each row is
// appended to buf and ended by cell, the column by end.
func (c *cells) begin() { c.buf, c.offs = c.buf[:0], append(c.offs[:0], 0) }

func (c *cells) cell() { c.offs = append(c.offs, int32(len(c.buf))) }

func (c *cells) end() { c.data, c.off = c.buf, c.offs }

// binaryWidth gives the length of values of t in binary format, 0 where it varies.
func binaryWidth(t types.T) int {
	switch t.Kind() {
	case types.KindBool:
		return 1
	case types.KindInt16:
		return 2
	case types.KindInt32, types.KindFloat32:
		return 4
	case types.KindFloat64:
		return 8
	case types.KindInt64:
		if isWide(t) {
			return 8
		}
		return 4 // oid and its kin
	case types.KindFixed16:
		if t.OID == types.OIDTimetz {
			return 12
		}
		return 16
	}
	return 0
}

// isWide reports whether a KindInt64 type has 8 bytes on the wire.
func isWide(t types.T) bool {
	switch t.OID {
	case types.OIDInt8, types.OIDTime, types.OIDTimestamp, types.OIDTimestamptz:
		return true
	}
	return false
}

// put writes a column of fixed width without NULLs and moves the positions behind its cells.
func (c *cells) put(dst []byte, pos []int32, t types.T, v *vec.Vec, from int) {
	to := from + len(pos)
	switch v.Kind {
	case types.KindBool:
		for r, x := range v.Bools[from:to] {
			p := pos[r]
			putHead(dst[p:], 1)
			dst[p+4] = 0
			if x {
				dst[p+4] = 1
			}
			pos[r] = p + 5
		}
	case types.KindInt16:
		for r, x := range v.I16[from:to] {
			p := pos[r]
			b := dst[p : p+6]
			putHead(b, 2)
			binary.BigEndian.PutUint16(b[4:], uint16(x))
			pos[r] = p + 6
		}
	case types.KindInt32:
		if t.OID == types.OIDDate {
			for r, x := range v.I32[from:to] {
				put4(dst, pos, r, uint32(wireDate(x)))
			}
			return
		}
		for r, x := range v.I32[from:to] {
			put4(dst, pos, r, uint32(x))
		}
	case types.KindFloat32:
		for r, x := range v.F32[from:to] {
			put4(dst, pos, r, math.Float32bits(x))
		}
	case types.KindFloat64:
		for r, x := range v.F64[from:to] {
			put8(dst, pos, r, math.Float64bits(x))
		}
	case types.KindInt64:
		switch {
		case t.OID == types.OIDTimestamp || t.OID == types.OIDTimestamptz:
			for r, x := range v.I64[from:to] {
				put8(dst, pos, r, uint64(wireTimestamp(x)))
			}
		case c.width == 8:
			for r, x := range v.I64[from:to] {
				put8(dst, pos, r, uint64(x))
			}
		default:
			for r, x := range v.I64[from:to] {
				put4(dst, pos, r, uint32(x))
			}
		}
	case types.KindFixed16:
		for r := range pos {
			p := pos[r]
			putHead(dst[p:], uint32(c.width))
			types.AppendBinaryFixed16(dst[p+4:p+4:p+4+int32(c.width)], t, v.F16[from+r])
			pos[r] = p + 4 + int32(c.width)
		}
	}
}

// putNullable is put for columns with NULLs: it writes runs of rows that have values by put, and the others itself.
func (c *cells) putNullable(dst []byte, pos []int32, t types.T, v *vec.Vec, from int) {
	for r := 0; r < len(pos); {
		if v.IsNull(from + r) {
			putHead(dst[pos[r]:], math.MaxUint32)
			pos[r] += 4
			r++
			continue
		}
		end := r + 1
		for end < len(pos) && !v.IsNull(from+end) {
			end++
		}
		c.put(dst, pos[r:end], t, v, from+r)
		r = end
	}
}

func putHead(b []byte, n uint32) { binary.BigEndian.PutUint32(b, n) }

func put4(dst []byte, pos []int32, r int, x uint32) {
	p := pos[r]
	binary.BigEndian.PutUint64(dst[p:], 4<<32|uint64(x))
	pos[r] = p + 8
}

func put8(dst []byte, pos []int32, r int, x uint64) {
	p := pos[r]
	b := dst[p : p+12]
	binary.BigEndian.PutUint32(b, 8)
	binary.BigEndian.PutUint64(b[4:], x)
	pos[r] = p + 12
}

func wireDate(x int32) int32 {
	if x == types.DatePosInfinity || x == types.DateNegInfinity {
		return x
	}
	return x - epochDays
}

func wireTimestamp(x int64) int64 {
	if x == types.PosInfinity || x == types.NegInfinity {
		return x
	}
	return x - epochMicros
}

// The parts of a binary COPY beside its rows.
var (
	copySignature = []byte("PGCOPY\n\xff\r\n\x00" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00")
	copyTrailer   = []byte{0xff, 0xff}
)

// prefix puts the pending header of a binary COPY into the first message at base.
func (e *encoder) prefix(dst []byte, base int) []byte {
	n := binary.BigEndian.Uint32(dst[base+1:])
	dst = slices.Insert(dst, base+5, e.lead...)
	binary.BigEndian.PutUint32(dst[base+1:], n+uint32(len(e.lead)))
	e.lead = nil
	return dst
}
