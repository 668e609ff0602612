package vec

import "math/bits"

func popcount(x uint64) int { return bits.OnesCount64(x) }

// unpacked[b] holds the eight bits of b, least significant first.
var unpacked [256][8]bool

func init() {
	for b := range unpacked {
		for i := range 8 {
			unpacked[b][i] = b>>i&1 == 1
		}
	}
}

func unpackBools(dst []bool, src []byte) {
	i := 0
	for ; i+8 <= len(dst); i += 8 {
		*(*[8]bool)(dst[i:]) = unpacked[src[i>>3]]
	}
	for ; i < len(dst); i++ {
		dst[i] = src[i>>3]>>(uint(i)&7)&1 == 1
	}
}

func packBools(dst []byte, src []bool) {
	clear(dst[:(len(src)+7)/8])
	for i, b := range src {
		if b {
			dst[i>>3] |= 1 << (uint(i) & 7)
		}
	}
}
