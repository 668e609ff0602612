package exec

// findInChunks gives the first place in an ordered list, which is kept in chunks of which none is empty, that less is not true of; less is true of the
// places before it only. Behind the last one, the place is {len(chunks), 0}.
func findInChunks[T any](chunks [][]T, less func(T) bool) (chunk, at int) {
	lo, hi := 0, len(chunks)
	for lo < hi {
		m := int(uint(lo+hi) >> 1)
		if c := chunks[m]; less(c[len(c)-1]) {
			lo = m + 1
		} else {
			hi = m
		}
	}
	if lo == len(chunks) {
		return lo, 0
	}
	chunk = lo
	c := chunks[chunk]
	lo, hi = 0, len(c)
	for lo < hi {
		m := int(uint(lo+hi) >> 1)
		if less(c[m]) {
			lo = m + 1
		} else {
			hi = m
		}
	}
	return chunk, lo
}
