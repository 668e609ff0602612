package wire

import (
	"bytes"
	"encoding/binary"

	"streamsql/engine"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// copy makes e encode COPY data.
func (e *encoder) copy(cols []engine.Column, f *engine.CopyFormat, env *types.Env) {
	e.reset(cols, env, 'd')
	e.copyf = f
	if f.Format == "binary" {
		for i := range e.binary {
			e.binary[i] = true
		}
		e.lead = copySignature
		return
	}
	e.joined, e.null = true, []byte(f.Null)
}

// copyHead appends what comes before the first row: the column names, where a HEADER is wanted.
func (e *encoder) copyHead(dst []byte) []byte {
	if !e.joined || !e.copyf.Header {
		return dst
	}
	base := len(dst)
	dst = append(dst, 'd', 0, 0, 0, 0)
	for i, c := range e.cols {
		if i > 0 {
			dst = append(dst, e.copyf.Delimiter)
		}
		if e.copyf.Format == "csv" {
			dst = e.appendCSV(dst, []byte(c.Name), false)
		} else {
			dst = e.appendEscaped(dst, []byte(c.Name))
		}
	}
	dst = append(dst, '\n')
	binary.BigEndian.PutUint32(dst[base+1:], uint32(len(dst)-base-1))
	return dst
}

// copyTail appends what comes after the last row.
func (e *encoder) copyTail(dst []byte) []byte {
	if e.joined {
		return dst
	}
	dst = append(dst, 'd')
	dst = binary.BigEndian.AppendUint32(dst, uint32(4+len(e.lead)+len(copyTrailer)))
	dst = append(append(dst, e.lead...), copyTrailer...)
	e.lead = nil
	return dst
}

// escape makes the cells of column i fit between delimiters. Most columns have
// nothing to escape, which one look at all their bytes tells.
func (e *encoder) escape(i, from, to int) {
	c := &e.cells[i]
	text := c.data[c.off[0]:c.off[to-from]]
	csv := e.copyf.Format == "csv"
	force := csv && i < len(e.copyf.ForceQuote) && e.copyf.ForceQuote[i]
	if !force && !e.special(text, csv, c, to-from, e.plain(e.cols[i].Type)) {
		return
	}
	v := &e.views[i]
	s := &e.esc
	s.begin()
	for r := range to - from {
		if !v.IsNull(from + r) {
			cell := c.data[c.off[r]:c.off[r+1]]
			if csv {
				s.buf = e.appendCSV(s.buf, cell, force)
			} else {
				s.buf = e.appendEscaped(s.buf, cell)
			}
		}
		s.cell()
	}
	// The cells take the scratch's memory and leave their own.
	c.buf, s.buf = s.buf, c.buf
	c.offs, s.offs = s.offs, c.offs
	c.end()
}

// plain reports whether the text of a type has only characters of numbers and
// times, none of which the format treats in a special way.
func (e *encoder) plain(t types.T) bool {
	switch t.OID {
	case types.OIDInt2, types.OIDInt4, types.OIDInt8, types.OIDDate, types.OIDTimestamp, types.OIDTimestamptz, types.OIDNumeric, types.OIDFloat8:
	default:
		return false
	}
	for _, b := range []byte{e.copyf.Delimiter, e.copyf.Quote} {
		switch {
		case b == 0, b == '\t', b == ',', b == ';', b == '|', b == '"', b == '\'':
		default:
			return false
		}
	}
	return true
}

// special reports whether any of n cells, whose text is given, may need quotes or escapes.
func (e *encoder) special(text []byte, csv bool, c *cells, n int, plain bool) bool {
	if plain {
		text = nil
	}
	if !csv {
		for _, b := range text {
			if b == '\\' || b == e.copyf.Delimiter || b < 0x20 {
				return true
			}
		}
		return false
	}
	for _, b := range text {
		if b == e.copyf.Delimiter || b == e.copyf.Quote || b == '\n' || b == '\r' {
			return true
		}
	}
	if len(e.cols) == 1 && bytes.Contains(text, []byte(`\.`)) {
		return true
	}
	for r := range n { // a value that looks like NULL is quoted
		if int(c.off[r+1]-c.off[r]) == len(e.null) {
			return true
		}
	}
	return false
}

// appendEscaped appends a cell of COPY's text format.
func (e *encoder) appendEscaped(dst, cell []byte) []byte {
	for _, b := range cell {
		switch b {
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		case '\v':
			dst = append(dst, '\\', 'v')
		case '\\', e.copyf.Delimiter:
			dst = append(dst, '\\', b)
		default:
			dst = append(dst, b)
		}
	}
	return dst
}

// appendCSV appends a cell of COPY's csv format, in quotes where it needs or is to have them.
func (e *encoder) appendCSV(dst, cell []byte, force bool) []byte {
	q, esc := e.copyf.Quote, e.copyf.Escape
	need := force || bytes.Equal(cell, e.null) || len(e.cols) == 1 && string(cell) == `\.`
	for _, b := range cell {
		if need {
			break
		}
		need = b == e.copyf.Delimiter || b == q || b == '\n' || b == '\r'
	}
	if !need {
		return append(dst, cell...)
	}
	dst = append(dst, q)
	for _, b := range cell {
		if b == q || b == esc {
			dst = append(dst, esc)
		}
		dst = append(dst, b)
	}
	return append(dst, q)
}

// CopyEncoder writes batches in a format of COPY to anything but a connection.
// It is used by one goroutine.
type CopyEncoder struct{ e encoder }

// NewCopyEncoder makes an encoder of rows of cols. env may be nil (ISO dates, UTC).
func NewCopyEncoder(cols []engine.Column, f *engine.CopyFormat, env *types.Env) *CopyEncoder {
	c := &CopyEncoder{}
	c.e.copy(cols, f, env)
	return c
}

// Head appends what comes before the first row.
func (c *CopyEncoder) Head(dst []byte) []byte { return payload(dst, c.e.copyHead(nil)) }

// Rows appends the rows of b, which is borrowed.
func (c *CopyEncoder) Rows(dst []byte, b *vec.Batch) []byte {
	c.e.views = b.Views(c.e.views)
	defer c.e.forget()
	var run []byte
	for from := 0; from < b.N; {
		to := c.e.runEnd(b.N, from)
		run = c.e.append(run[:0], from, to)
		dst = payload(dst, run)
		from = to
	}
	return dst
}

// Tail appends what comes after the last row.
func (c *CopyEncoder) Tail(dst []byte) []byte { return payload(dst, c.e.copyTail(nil)) }

// payload appends the bodies of messages.
func payload(dst, messages []byte) []byte {
	for len(messages) > 0 {
		n := binary.BigEndian.Uint32(messages[1:])
		dst = append(dst, messages[5:1+n]...)
		messages = messages[1+n:]
	}
	return dst
}
