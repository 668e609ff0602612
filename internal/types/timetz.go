package types

import "encoding/binary"

// TimetzOf gives the microseconds of the day and the seconds east of UTC of an in-memory timetz.
func TimetzOf(b [16]byte) (us int64, east int32) {
	return int64(binary.LittleEndian.Uint64(b[:8])), int32(binary.LittleEndian.Uint32(b[8:12]))
}

// TimetzBytes makes an in-memory timetz: microseconds and seconds east of UTC, little endian.
func TimetzBytes(us int64, east int32) (b [16]byte) {
	binary.LittleEndian.PutUint64(b[:8], uint64(us))
	binary.LittleEndian.PutUint32(b[8:12], uint32(east))
	return b
}

// timetzCmp orders by the instant, then by the zone (further west is greater).
func timetzCmp(a, b [16]byte) int {
	ua, ea := TimetzOf(a)
	ub, eb := TimetzOf(b)
	x, y := ua-int64(ea)*UsPerSecond, ub-int64(eb)*UsPerSecond
	if x != y {
		return sign(b2i(x > y) - b2i(x < y))
	}
	return sign(eb - ea)
}
