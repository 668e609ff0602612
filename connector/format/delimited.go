// Package format decodes the formats that rows come in. Decoders are fed bytes
// and give rows or fields; they know nothing of files or networks.
package format

import (
	"bytes"

	"streamsql/internal/pgerr"
)

// Delimited splits COPY's text and csv formats into records and fields, as
// PostgreSQL 15 does. Feed it bytes with Write, take records with Next.
type Delimited struct {
	CSV           bool
	Delim         byte
	Quote, Escape byte   // csv
	Null          []byte // the text that stands for NULL
	buf           []byte
	at            int
	ended         bool // no more bytes will come
	done          bool // end-of-data marker or end seen
	line          int
	fields        []Field
	scratch       []byte
	start         int
}

// Field is one value of a record. Bytes are valid until the next call of Next or Write.
type Field struct {
	Bytes  []byte
	Null   bool
	Quoted bool
}

// NewDelimited makes a splitter with COPY's defaults for text or csv.
func NewDelimited(csv bool) *Delimited {
	if csv {
		return &Delimited{CSV: true, Delim: ',', Quote: '"', Escape: '"'}
	}
	return &Delimited{Delim: '\t', Null: []byte(`\N`)}
}

// Write adds bytes to be split.
func (d *Delimited) Write(p []byte) {
	if d.at > 0 {
		d.buf = append(d.buf[:0], d.buf[d.at:]...)
		d.at = 0
	}
	d.buf = append(d.buf, p...)
}

// End says that no more bytes will come, so that a last line needs no newline.
func (d *Delimited) End() { d.ended = true }

// Buffered gives the number of bytes not split yet.
func (d *Delimited) Buffered() int { return len(d.buf) - d.at }

// Line gives the number of the line on which the last record began, from 1.
func (d *Delimited) Line() int { return d.line }

// Raw gives the bytes of the last record, without its line end. Valid like its fields.
func (d *Delimited) Raw() []byte {
	return bytes.TrimRight(d.buf[d.start:d.at], "\r\n")
}

// Next gives the fields of the next record; ok is false when more bytes are needed or the end has come.
func (d *Delimited) Next() (fields []Field, ok bool, err error) {
	if d.done || d.at >= len(d.buf) {
		return nil, false, nil
	}
	if d.CSV {
		return d.nextCSV()
	}
	return d.nextText()
}

// endOfData reports whether a line is the marker \. that ends data.
func endOfData(line []byte) bool { return len(line) == 2 && line[0] == '\\' && line[1] == '.' }

// lineEnd gives the end of the line that begins at from and where the next one begins; -1 if it is not complete.
func (d *Delimited) lineEnd(from int) (end, next int) {
	i := bytes.IndexByte(d.buf[from:], '\n')
	if i < 0 {
		if !d.ended {
			return -1, -1
		}
		end, next = len(d.buf), len(d.buf)
	} else {
		end, next = from+i, from+i+1
	}
	if end > from && d.buf[end-1] == '\r' {
		end--
	}
	return end, next
}

func (d *Delimited) nextText() ([]Field, bool, error) {
	end, next := d.lineEnd(d.at)
	if end < 0 {
		return nil, false, nil
	}
	line := d.buf[d.at:end]
	d.start, d.at = d.at, next
	if endOfData(line) {
		d.done = true
		return nil, false, nil
	}
	d.line++
	d.fields = d.fields[:0]
	if bytes.IndexByte(line, '\\') < 0 {
		return d.split(line), true, nil
	}
	d.scratch = d.scratch[:0]
	if cap(d.scratch) < len(line) {
		d.scratch = make([]byte, 0, 2*len(line))
	}
	for i := 0; ; {
		from, raw := len(d.scratch), i
		for i < len(line) && line[i] != d.Delim {
			c := line[i]
			i++
			if c != '\\' || i >= len(line) {
				d.scratch = append(d.scratch, c)
				continue
			}
			c = line[i]
			i++
			switch c {
			case 'b':
				c = '\b'
			case 'f':
				c = '\f'
			case 'n':
				c = '\n'
			case 'r':
				c = '\r'
			case 't':
				c = '\t'
			case 'v':
				c = '\v'
			case '0', '1', '2', '3', '4', '5', '6', '7':
				v := int(c - '0')
				for k := 0; k < 2 && i < len(line) && line[i] >= '0' && line[i] <= '7'; k++ {
					v = v*8 + int(line[i]-'0')
					i++
				}
				c = byte(v)
			case 'x':
				if i < len(line) && hexVal(line[i]) >= 0 {
					v := hexVal(line[i])
					i++
					if i < len(line) && hexVal(line[i]) >= 0 {
						v = v*16 + hexVal(line[i])
						i++
					}
					c = byte(v)
				}
			}
			d.scratch = append(d.scratch, c)
		}
		d.fields = append(d.fields, Field{Bytes: d.scratch[from:], Null: bytes.Equal(line[raw:i], d.Null)})
		if i >= len(line) {
			return d.fields, true, nil
		}
		i++
		if i == len(line) {
			d.fields = append(d.fields, Field{Bytes: line[i:], Null: len(d.Null) == 0})
			return d.fields, true, nil
		}
	}
}

// split cuts a line in which nothing is quoted or escaped.
func (d *Delimited) split(line []byte) []Field {
	for {
		i := bytes.IndexByte(line, d.Delim)
		f := line
		if i >= 0 {
			f = line[:i]
		}
		d.fields = append(d.fields, Field{Bytes: f, Null: bytes.Equal(f, d.Null)})
		if i < 0 {
			return d.fields
		}
		line = line[i+1:]
	}
}

func hexVal(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

func (d *Delimited) nextCSV() ([]Field, bool, error) {
	// A record without quotes is one line; with them it ends at a newline outside quotes.
	end, next := d.lineEnd(d.at)
	if end < 0 {
		return nil, false, nil
	}
	line := d.buf[d.at:end]
	if endOfData(line) {
		d.done = true
		d.start, d.at = d.at, next
		return nil, false, nil
	}
	d.fields = d.fields[:0]
	if bytes.IndexByte(line, d.Quote) < 0 {
		d.start, d.at = d.at, next
		d.line++
		return d.split(line), true, nil
	}
	// Quoted: walk byte by byte, over line ends where need be.
	type span struct {
		from, to int
		quoted   bool
	}
	var spans []span
	d.scratch = d.scratch[:0]
	i, lines := d.at, 1
	from, quoted, in := 0, false, false
	for {
		if i >= len(d.buf) {
			if !d.ended {
				return nil, false, nil
			}
			if in {
				d.start, d.at = d.at, len(d.buf)
				return nil, false, pgerr.New(pgerr.BadCopyFileFormat, "unterminated CSV quoted field")
			}
			break
		}
		c := d.buf[i]
		switch {
		case in && c == d.Escape && i+1 < len(d.buf) && (d.buf[i+1] == d.Quote || d.buf[i+1] == d.Escape):
			d.scratch = append(d.scratch, d.buf[i+1])
			i++
		case in && c == d.Escape && d.Escape == d.Quote && i+1 >= len(d.buf) && !d.ended:
			return nil, false, nil // the next byte decides whether the quote ends here
		case c == d.Quote:
			in = !in
			quoted = true
		case in:
			if c == '\n' {
				lines++
			}
			d.scratch = append(d.scratch, c)
		case c == d.Delim:
			spans = append(spans, span{from, len(d.scratch), quoted})
			from, quoted = len(d.scratch), false
		case c == '\n':
			goto out
		case c == '\r' && i+1 < len(d.buf) && d.buf[i+1] == '\n':
		case c == '\r' && i+1 >= len(d.buf) && !d.ended:
			return nil, false, nil
		default:
			d.scratch = append(d.scratch, c)
		}
		i++
	}
out:
	spans = append(spans, span{from, len(d.scratch), quoted})
	for _, s := range spans {
		b := d.scratch[s.from:s.to]
		d.fields = append(d.fields, Field{Bytes: b, Quoted: s.quoted, Null: !s.quoted && bytes.Equal(b, d.Null)})
	}
	d.start, d.at = d.at, min(i+1, len(d.buf))
	d.line += lines
	return d.fields, true, nil
}
