package file

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"unicode/utf8"

	"streamsql/connector/format"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// validText reports whether b may be a text value: UTF-8 without zero bytes.
func validText(b []byte) bool { return bytes.IndexByte(b, 0) < 0 && utf8.Valid(b) }

// lineReader gives the lines of a file that may grow.
type lineReader struct {
	path string
	f    *os.File
	buf  []byte
	from int // of the bytes not given yet
	to   int
	at   int64 // file offset of buf[from]
	line int64
	grow bool // a last line without its end is not complete
}

func openLines(path string, at, line int64, grow bool) (*lineReader, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fileError(path, err)
	}
	if at > 0 {
		if _, err := f.Seek(at, io.SeekStart); err != nil {
			f.Close()
			return nil, fileError(path, err)
		}
	}
	return &lineReader{path: path, f: f, buf: make([]byte, 256<<10), at: at, line: line, grow: grow}, nil
}

// next gives the next line without its end; nil at the end of what there is now.
func (r *lineReader) next() ([]byte, error) {
	scanned := 0
	for {
		if i := bytes.IndexByte(r.buf[r.from+scanned:r.to], '\n'); i >= 0 {
			l := r.buf[r.from : r.from+scanned+i]
			n := scanned + i + 1
			r.from += n
			r.at += int64(n)
			r.line++
			return l, nil
		}
		scanned = r.to - r.from
		if r.from > 0 {
			copy(r.buf, r.buf[r.from:r.to])
			r.from, r.to = 0, scanned
		}
		if r.to == len(r.buf) {
			if len(r.buf) >= maxRecord {
				return nil, pgerr.New(pgerr.ProgramLimitExceeded, "line %d of file \"%s\" is longer than %d bytes", r.line+1, r.path, maxRecord)
			}
			r.buf = append(r.buf, make([]byte, len(r.buf))...)
		}
		n, err := r.f.Read(r.buf[r.to:])
		r.to += n
		if n > 0 {
			continue
		}
		if err != nil && err != io.EOF {
			return nil, fileError(r.path, err)
		}
		if r.grow || r.to == r.from {
			return nil, nil
		}
		l := r.buf[r.from:r.to]
		r.at += int64(len(l))
		r.from = r.to
		r.line++
		return l, nil
	}
}

// jsonReader reads a file of one JSON object a line.
type jsonReader struct {
	*lineReader
	s    *source
	obj  format.JSONObject
	seen []bool
}

func openJSON(s *source, path string, at, line int64) (reader, error) {
	l, err := openLines(path, at, line, s.follow)
	if err != nil {
		return nil, err
	}
	return &jsonReader{lineReader: l, s: s, seen: make([]bool, len(s.want))}, nil
}

func (r *jsonReader) position() (int64, int64) { return r.at, r.line }
func (r *jsonReader) close() error             { return r.f.Close() }

func (r *jsonReader) read(dst *vec.Builder, most int) (done bool, err error) {
	for n := 0; n < most; {
		line, err := r.next()
		if err != nil {
			return false, err
		}
		if line == nil {
			return true, nil
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		at := dst.Len()
		if err := r.add(dst, line); err != nil {
			r.s.rollback(dst, at)
			if err := r.s.badRow(line, r.path, r.line, err); err != nil {
				return false, err
			}
			continue
		}
		if len(dst.Cols) == 0 {
			dst.AppendOp(vec.Insert)
		}
		n++
	}
	return false, nil
}

func (r *jsonReader) add(dst *vec.Builder, line []byte) error {
	if err := r.obj.Open(line); err != nil {
		return err
	}
	clear(r.seen)
	r.s.begin()
	expect := 0 // objects of a file mostly have their members in one order
	for {
		key, kind, value, ok, err := r.obj.Next()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		c := -1
		for k := range r.s.want {
			i := expect + k
			if i >= len(r.s.want) {
				i -= len(r.s.want)
			}
			if string(key) == r.s.want[i].name {
				c = i
				break
			}
		}
		if c < 0 {
			continue
		}
		if expect = c + 1; expect == len(r.s.want) {
			expect = 0
		}
		v := r.s.column(dst, c)
		if r.seen[c] { // a name that comes twice: the last one counts
			v.Truncate(v.N - 1)
		}
		r.seen[c] = true
		if err := appendJSON(v, &r.s.cfg.Env, r.s.want[c], kind, value); err != nil {
			return err
		}
	}
	for c, seen := range r.seen {
		if !seen {
			if r.s.want[c].notNull {
				return nullValue(r.s.want[c])
			}
			r.s.column(dst, c).AppendNull()
		}
	}
	return nil
}

// appendJSON appends a JSON value to a column of any type: strings and numbers are read as the type's text,
// objects and arrays go to json and text columns as they are.
func appendJSON(v *vec.Vec, env *types.Env, w wanted, kind format.JSONKind, value []byte) error {
	t := w.field.Type
	isJSON := t.OID == types.OIDJSONB || t.OID == types.OIDJSON
	switch {
	case kind == format.JSONNull:
		if w.notNull {
			return nullValue(w)
		}
		v.AppendNull()
		return nil
	case isJSON && kind == format.JSONString:
		return appendText(v, env, w.field, quoteJSON(value))
	case isJSON:
		return appendText(v, env, w.field, value)
	case kind == format.JSONObj || kind == format.JSONArr:
		if t.Category() != 'S' {
			return pgerr.New(pgerr.InvalidTextRepresentation, "column \"%s\" is of type %s but the JSON value is %s", w.field.Name, t, jsonKindName(kind))
		}
	case kind == format.JSONBool && t.OID != types.OIDBool && t.Category() != 'S',
		kind == format.JSONNumber && t.Category() != 'N' && t.Category() != 'S':
		return pgerr.New(pgerr.InvalidTextRepresentation, "column \"%s\" is of type %s but the JSON value is %s", w.field.Name, t, jsonKindName(kind))
	}
	return appendText(v, env, w.field, value)
}

func jsonKindName(k format.JSONKind) string {
	switch k {
	case format.JSONObj:
		return "an object"
	case format.JSONArr:
		return "an array"
	case format.JSONBool:
		return "a boolean"
	case format.JSONNumber:
		return "a number"
	}
	return "a string"
}

// quoteJSON writes a string as a JSON string.
func quoteJSON(b []byte) []byte {
	out := append(make([]byte, 0, len(b)+2), '"')
	for _, c := range b {
		switch {
		case c == '"' || c == '\\':
			out = append(out, '\\', c)
		case c < 0x20:
			out = fmt.Appendf(out, "\\u%04x", c)
		default:
			out = append(out, c)
		}
	}
	return append(out, '"')
}

// inferJSON takes the columns of a ndjson file from its first objects, in the order in which they appear.
func inferJSON(path string) ([]vec.Field, error) {
	r, err := openLines(path, 0, 0, false)
	if err != nil {
		return nil, err
	}
	defer r.f.Close()
	var out []vec.Field
	var guesses []*guess
	index := map[string]int{}
	var obj format.JSONObject
	for rows := 0; rows < 1000 && r.at < 4<<20; rows++ {
		line, err := r.next()
		if err != nil {
			return nil, err
		}
		if line == nil {
			break
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		if err := obj.Open(line); err != nil {
			return nil, pgerr.AtPos(err, 0)
		}
		for {
			key, kind, value, ok, err := obj.Next()
			if err != nil {
				return nil, err
			}
			if !ok {
				break
			}
			i, known := index[string(key)]
			if !known {
				i = len(out)
				index[string(key)] = i
				out = append(out, vec.Field{Name: string(key)})
				guesses = append(guesses, &guess{})
			}
			switch kind {
			case format.JSONNull:
			case format.JSONObj, format.JSONArr:
				guesses[i].seen, guesses[i].out = true, []types.T{types.JSONB}
			case format.JSONString:
				guesses[i].see(string(value))
				// A number in quotes is text; times and dates have no other form.
				guesses[i].keep(types.Date, types.Timestamp, types.Timestamptz)
			case format.JSONBool:
				guesses[i].see(string(value))
				guesses[i].keep(types.Bool)
			default:
				guesses[i].see(string(value))
				guesses[i].keep(types.Int8, types.Numeric, types.Float8)
			}
		}
	}
	for i := range out {
		out[i].Type = guesses[i].result()
	}
	return out, nil
}

// keep leaves only the given candidates.
func (g *guess) keep(ts ...types.T) {
	var left []types.T
	for _, c := range g.out {
		for _, t := range ts {
			if c.Is(t) {
				left = append(left, c)
			}
		}
	}
	g.out = left
}
