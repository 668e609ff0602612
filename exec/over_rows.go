package exec

import "sort"

// overRows is a partition in order: its rows with their results, in chunks, so that a change moves
// little. What calls know of the rows before a chunk is kept with it: a change is computed from there on.
type overRows struct {
	chunks []*overChunk
	n      int
}

// overChunk is a run of rows.
type overChunk struct {
	in    []rowRef
	res   []rowRef   // results by row, noRow: there is none yet, failedRow: it failed
	carry *overCarry // of the rows before; nil: not known
}

// failedRow stands for the result of a row that failed to evaluate: it is not in the output.
const failedRow = noRow - 1

// overChunkRows bounds a chunk, which is what one change recomputes at least. Tests make it small.
var overChunkRows = 256

// overPlace is a place in a partition.
type overPlace struct{ chunk, at int }

// search finds the first row for which after holds; it holds for all that follow it.
func (l *overRows) search(after func(rowRef) bool) overPlace {
	k := sort.Search(len(l.chunks), func(k int) bool { c := l.chunks[k].in; return after(c[len(c)-1]) })
	if k == len(l.chunks) {
		return overPlace{k, 0}
	}
	c := l.chunks[k].in
	return overPlace{k, sort.Search(len(c), func(i int) bool { return after(c[i]) })}
}

// insert puts a row without result before the place p.
func (l *overRows) insert(p overPlace, r rowRef) {
	l.n++
	if p.chunk == len(l.chunks) { // at the end: a full chunk stays as it is
		if p.chunk == 0 || len(l.chunks[p.chunk-1].in) >= overChunkRows {
			l.chunks = append(l.chunks, &overChunk{})
		} else {
			p.chunk--
		}
		p.at = len(l.chunks[p.chunk].in)
	}
	c := l.chunks[p.chunk]
	c.in, c.res = insertAt(c.in, p.at, r), insertAt(c.res, p.at, noRow)
	if len(c.in) <= overChunkRows {
		return
	}
	half := len(c.in) / 2
	next := &overChunk{in: append([]rowRef(nil), c.in[half:]...), res: append([]rowRef(nil), c.res[half:]...)}
	c.in, c.res = c.in[:half], c.res[:half]
	l.chunks = insertAt(l.chunks, p.chunk+1, next)
}

func insertAt[E any](s []E, at int, e E) []E {
	var zero E
	s = append(s, zero)
	copy(s[at+1:], s[at:])
	s[at] = e
	return s
}

// remove takes the row at a place out. It gives the carry that is not needed any more, nil if there is none.
func (l *overRows) remove(p overPlace) (in, res rowRef, freed *overCarry) {
	l.n--
	c := l.chunks[p.chunk]
	in, res = c.in[p.at], c.res[p.at]
	c.in, c.res = append(c.in[:p.at], c.in[p.at+1:]...), append(c.res[:p.at], c.res[p.at+1:]...)
	if len(c.in) > 0 {
		return in, res, nil
	}
	freed = c.carry
	if p.chunk+1 < len(l.chunks) { // what is before the next chunk now was before this one
		next := l.chunks[p.chunk+1]
		freed, next.carry = next.carry, c.carry
	}
	l.chunks = append(l.chunks[:p.chunk], l.chunks[p.chunk+1:]...)
	return in, res, freed
}

// append puts a row at the end of a list that is being built.
func (l *overRows) append(in, res rowRef) {
	k := len(l.chunks) - 1
	if k < 0 || len(l.chunks[k].in) >= overChunkRows*3/4 {
		l.chunks = append(l.chunks, &overChunk{})
		k++
	}
	c := l.chunks[k]
	c.in, c.res = append(c.in, in), append(c.res, res)
	l.n++
}

// starts appends the position of the first row of each chunk to dst, and the number of rows.
func (l *overRows) starts(dst []int) []int {
	n := 0
	for _, c := range l.chunks {
		dst = append(dst, n)
		n += len(c.in)
	}
	return append(dst, n)
}

// each calls f for every row in order.
func (l *overRows) each(f func(in, res *rowRef)) {
	for _, c := range l.chunks {
		for i := range c.in {
			f(&c.in[i], &c.res[i])
		}
	}
}
