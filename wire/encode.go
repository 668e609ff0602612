package wire

import (
	"encoding/binary"
	"math"
	"slices"

	"streamsql/engine"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// encoder turns batches into messages a column at a time. Each column of a run
// of rows first becomes cells, which switches on its type once; then the sizes of
// all rows are added up, and every column's cells are written to their places in
// one buffer. Nothing is allocated per row.
//
// A message is either framed (DataRow, COPY binary: a count of columns, each
// cell after its length) or joined (COPY text and csv: cells with a byte between
// them).
type encoder struct {
	cols   []engine.Column
	binary []bool
	env    *types.Env
	typ    byte // 'D' or 'd'
	joined bool
	copyf  *engine.CopyFormat
	null   []byte // joined: what stands for NULL
	// lead goes in front of the first row of a binary COPY: the file header, which
	// clients expect in the same message.
	lead []byte

	views []vec.Vec
	cells []cells
	pos   []int32
	esc   cells // scratch
}

// cells are one column of a run of rows in their outer form. A NULL row's cell is never read.
type cells struct {
	// width, where positive, is the length of every cell, which put writes; the
	// other cells are data[off[i]:off[i+1]].
	width int
	data  []byte
	off   []int32
	// buf and offs are memory of the cells' own, for reuse; data and off may point elsewhere.
	buf  []byte
	offs []int32
}

const (
	// runRows bounds the rows of a run, so that the positions of its cells stay in the fastest cache.
	runRows = 1024
	// runBytes is how long the text of a run may become, but for rows that are longer themselves.
	runBytes = 256 << 10
)

// rows makes e encode DataRows with result formats as in Bind.
func (e *encoder) rows(cols []engine.Column, formats []int16, env *types.Env) {
	e.reset(cols, env, 'D')
	for i := range e.binary {
		e.binary[i] = formatOf(formats, i) == 1
	}
}

func (e *encoder) reset(cols []engine.Column, env *types.Env, typ byte) {
	e.cols, e.env, e.typ = cols, env, typ
	e.joined, e.copyf, e.null, e.lead = false, nil, nil, nil
	e.binary = slices.Grow(e.binary[:0], len(cols))[:len(cols)]
	clear(e.binary)
	for len(e.cells) < len(cols) {
		e.cells = append(e.cells, cells{})
	}
}

// send appends b's rows to w and flushes as they gather.
func (e *encoder) send(w *writer, b *vec.Batch) error {
	e.views = b.Views(e.views)
	defer e.forget()
	for from := 0; from < b.N; {
		to := e.runEnd(b.N, from)
		w.buf = e.append(w.buf, from, to)
		if err := w.maybeFlush(); err != nil {
			return err
		}
		from = to
	}
	return nil
}

// forget drops the references to a batch's memory.
func (e *encoder) forget() {
	for i := range e.views {
		e.views[i].Release()
	}
	for i := range e.cells {
		e.cells[i].data, e.cells[i].off = nil, nil
	}
}

// runEnd gives the end of the run of rows that starts at from.
func (e *encoder) runEnd(n, from int) int {
	to := min(n, from+runRows)
	for i := range e.views {
		off := e.views[i].Off
		if off == nil {
			continue
		}
		for to > from+1 && int(off[to]-off[from]) > runBytes {
			to = from + (to-from)/2
		}
	}
	return to
}

// append encodes rows [from, to) of the batch at hand.
func (e *encoder) append(dst []byte, from, to int) []byte {
	n, k := to-from, len(e.cols)
	for i := range e.cols {
		c := &e.cells[i]
		c.width = 0
		if e.binary[i] {
			c.formatBinary(e.cols[i].Type, &e.views[i], from, to)
		} else {
			c.formatText(e.cols[i].Type, &e.views[i], from, to, e.env)
		}
		if e.joined {
			e.escape(i, from, to)
		}
	}
	e.pos = slices.Grow(e.pos[:0], n)[:n]
	var fixed int32 // what every row has
	if e.joined {
		fixed = int32(5 + max(k, 1)) // type, length, a separator or line end per cell
	} else {
		fixed = int32(7 + 4*k) // type, length, count of columns, a length per cell
	}
	even := true // all rows have the same size
	for i := range k {
		if c := &e.cells[i]; c.width > 0 && !e.views[i].HasNulls() {
			fixed += int32(c.width)
		} else {
			even = false
		}
	}
	base := len(dst)
	size := int(fixed) * n
	if even {
		p := int32(base)
		for i := range e.pos {
			e.pos[i] = p
			p += fixed
		}
	} else {
		size = e.layout(int32(base), fixed, from)
	}
	dst = slices.Grow(dst, size)[:base+size]
	e.heads(dst, k)
	for i := range k {
		if e.joined {
			sep := e.copyf.Delimiter
			if i == k-1 {
				sep = '\n'
			}
			e.join(dst, i, from, sep)
		} else {
			e.frame(dst, i, from)
		}
	}
	if k == 0 && e.joined {
		for i := range e.pos {
			dst[e.pos[i]] = '\n'
		}
	}
	if e.lead != nil && n > 0 {
		dst = e.prefix(dst, base)
	}
	return dst
}

// layout adds up the sizes of rows that differ, and gives their sum.
func (e *encoder) layout(base, fixed int32, from int) int {
	pos := e.pos
	for i := range pos {
		pos[i] = fixed
	}
	for i := range e.cols {
		c, v := &e.cells[i], &e.views[i]
		nulls := v.HasNulls()
		switch {
		case c.width > 0 && !nulls: // in fixed
		case c.width > 0:
			for r := range pos {
				if !v.IsNull(from + r) {
					pos[r] += int32(c.width)
				}
			}
		case !nulls:
			off := c.off[:len(pos)+1]
			for r := range pos {
				pos[r] += off[r+1] - off[r]
			}
		default:
			for r := range pos {
				if v.IsNull(from + r) {
					pos[r] += int32(len(e.null)) // nothing where cells are framed
				} else {
					pos[r] += c.off[r+1] - c.off[r]
				}
			}
		}
	}
	p := base
	for i, n := range pos {
		pos[i] = p
		p += n
	}
	return int(p - base)
}

// heads writes what comes before the cells of each row, whose ends are known from the row after.
func (e *encoder) heads(dst []byte, k int) {
	pos := e.pos
	for i, p := range pos {
		end := int32(len(dst))
		if i+1 < len(pos) {
			end = pos[i+1]
		}
		h := dst[p : p+7]
		h[0] = e.typ
		binary.BigEndian.PutUint32(h[1:5], uint32(end-p-1))
		if e.joined {
			pos[i] = p + 5
			continue
		}
		binary.BigEndian.PutUint16(h[5:7], uint16(k))
		pos[i] = p + 7
	}
}

// frame writes column i of every row: the length of the cell, or -1, and the cell.
func (e *encoder) frame(dst []byte, i, from int) {
	c, v, pos := &e.cells[i], &e.views[i], e.pos
	nulls := v.HasNulls()
	if c.width > 0 {
		if nulls {
			c.putNullable(dst, pos, e.cols[i].Type, v, from)
		} else {
			c.put(dst, pos, e.cols[i].Type, v, from)
		}
		return
	}
	off := c.off[:len(pos)+1]
	data := c.data
	if !nulls {
		for r, p := range pos {
			a, b := off[r], off[r+1]
			binary.BigEndian.PutUint32(dst[p:], uint32(b-a))
			pos[r] = p + 4 + int32(copy(dst[p+4:], data[a:b]))
		}
		return
	}
	for r, p := range pos {
		if v.IsNull(from + r) {
			binary.BigEndian.PutUint32(dst[p:], math.MaxUint32)
			pos[r] = p + 4
			continue
		}
		a, b := off[r], off[r+1]
		binary.BigEndian.PutUint32(dst[p:], uint32(b-a))
		pos[r] = p + 4 + int32(copy(dst[p+4:], data[a:b]))
	}
}

// join writes column i of every row: the cell, or the text for NULL, and the byte after it.
func (e *encoder) join(dst []byte, i, from int, sep byte) {
	c, v, pos := &e.cells[i], &e.views[i], e.pos
	nulls := v.HasNulls()
	off := c.off[:len(pos)+1]
	for r, p := range pos {
		cell := c.data[off[r]:off[r+1]]
		if nulls && v.IsNull(from+r) {
			cell = e.null
		}
		p += int32(copy(dst[p:], cell))
		dst[p] = sep
		pos[r] = p + 1
	}
}
