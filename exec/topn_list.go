package exec

import "streamsql/internal/vec"

// rankedRows is a list of rows in order: chunks of limited size, so that an insert moves little
// and the first rows are found at once. Most lists are one small chunk.
type rankedRows struct {
	chunks [][]rowRef
	n      int
}

const maxChunk = 512

// search gives where row i of cols stands or would stand: behind all rows that compare less.
func (l *rankedRows) search(o *rowOrder, cols []vec.Vec, i int) (chunk, at int) {
	return findInChunks(l.chunks, func(r rowRef) bool {
		b, row := o.store.at(r)
		return o.compareAll(b, row, cols, i) < 0
	})
}

// insert puts r at the place that search gave.
func (l *rankedRows) insert(chunk, at int, r rowRef) {
	l.n++
	if chunk == len(l.chunks) {
		if chunk == 0 {
			l.chunks = append(l.chunks, []rowRef{r})
			return
		}
		chunk--
		at = len(l.chunks[chunk])
	}
	c := append(l.chunks[chunk], 0)
	copy(c[at+1:], c[at:])
	c[at] = r
	l.chunks[chunk] = c
	if len(c) > maxChunk {
		half := append(make([]rowRef, 0, maxChunk), c[maxChunk/2:]...)
		l.chunks[chunk] = c[:maxChunk/2]
		l.chunks = append(l.chunks, nil)
		copy(l.chunks[chunk+2:], l.chunks[chunk+1:])
		l.chunks[chunk+1] = half
	}
}

// remove takes the row at a place out.
func (l *rankedRows) remove(chunk, at int) {
	l.n--
	c := l.chunks[chunk]
	c = append(c[:at], c[at+1:]...)
	l.chunks[chunk] = c
	if len(c) == 0 {
		l.chunks = append(l.chunks[:chunk], l.chunks[chunk+1:]...)
	}
}

// last gives the last row.
func (l *rankedRows) last() rowRef {
	c := l.chunks[len(l.chunks)-1]
	return c[len(c)-1]
}

func (l *rankedRows) popLast() rowRef {
	k := len(l.chunks) - 1
	c := l.chunks[k]
	r := c[len(c)-1]
	l.remove(k, len(c)-1)
	return r
}

// from calls f for each row from position pos on, until it gives false.
func (l *rankedRows) from(pos int, f func(rowRef) bool) {
	for _, c := range l.chunks {
		if pos >= len(c) {
			pos -= len(c)
			continue
		}
		for _, r := range c[pos:] {
			if !f(r) {
				return
			}
		}
		pos = 0
	}
}
