package file

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"streamsql/connector/format"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// csvReader reads a csv file by pieces.
type csvReader struct {
	s      *source
	path   string
	f      *os.File
	split  *format.Delimited
	buf    []byte
	given  int64 // bytes given to the splitter so far
	lines  int64 // lines before the part read here
	header bool
	order  []int // field of each wanted column
	width  int   // fields of a record, 0 unknown
	eof    bool
}

// maxRecord bounds what one record may take, so that a file without line ends does not fill memory.
const maxRecord = 64 << 20

func openCSV(s *source, path string, at, line int64) (reader, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fileError(path, err)
	}
	r := &csvReader{s: s, path: path, f: f, buf: make([]byte, 256<<10), header: s.header}
	if s.header {
		// The header is read again at every opening, also when resuming.
		if err := r.readHeader(); err != nil {
			f.Close()
			return nil, err
		}
	} else {
		// Fields stand in the order of the declared columns.
		for _, w := range s.want {
			r.order = append(r.order, slices.Index(s.names, w.name))
		}
		r.width = len(s.names)
	}
	if at > 0 {
		if _, err := f.Seek(at, io.SeekStart); err != nil {
			f.Close()
			return nil, fileError(path, err)
		}
		r.split, r.given, r.lines, r.header = r.newSplit(), at, line, false
	}
	return r, nil
}

func (r *csvReader) newSplit() *format.Delimited {
	d := format.NewDelimited(true)
	d.Delim, d.Quote, d.Escape, d.Null = r.s.delim, r.s.quote, r.s.quote, []byte(r.s.null)
	return d
}

func (r *csvReader) readHeader() error {
	r.split = r.newSplit()
	for {
		fields, ok, err := r.split.Next()
		if err != nil {
			return err
		}
		if ok {
			return r.setHeader(fields)
		}
		if r.eof {
			if r.s.follow {
				return nil // an empty file that may grow
			}
			return pgerr.New(pgerr.BadCopyFileFormat, "file \"%s\" is empty: the line with the column names is missing", r.path).
				WithHint("Set header = 'false' if there is none.")
		}
		if err := r.fill(); err != nil {
			return err
		}
	}
}

func (r *csvReader) setHeader(fields []format.Field) error {
	r.header = false
	have := make([]string, len(fields))
	for i, f := range fields {
		have[i] = strings.TrimSpace(strings.TrimPrefix(string(f.Bytes), "\ufeff"))
	}
	r.width = len(have)
	r.order = r.order[:0]
	for _, w := range r.s.want {
		i := slices.Index(have, w.name)
		if i < 0 {
			i = slices.IndexFunc(have, func(h string) bool { return strings.EqualFold(h, w.name) })
		}
		if i < 0 {
			return missingColumn(r.path, w.name, have)
		}
		r.order = append(r.order, i)
	}
	return nil
}

func (r *csvReader) fill() error {
	n, err := r.f.Read(r.buf)
	if n > 0 {
		r.split.Write(r.buf[:n])
		r.given += int64(n)
	}
	if err == io.EOF {
		r.eof = true
		if !r.s.follow {
			r.split.End()
		}
		return nil
	}
	if err != nil {
		return fileError(r.path, err)
	}
	if r.split.Buffered() > maxRecord {
		return pgerr.New(pgerr.ProgramLimitExceeded, "a record of file \"%s\" after line %d is longer than %d bytes", r.path, r.line(), maxRecord)
	}
	return nil
}

func (r *csvReader) line() int64 { return r.lines + int64(r.split.Line()) }

func (r *csvReader) position() (int64, int64) {
	return r.given - int64(r.split.Buffered()), r.line()
}

func (r *csvReader) close() error { return r.f.Close() }

func (r *csvReader) read(dst *vec.Builder, most int) (done bool, err error) {
	r.eof = false
	for n := 0; n < most; {
		fields, ok, err := r.split.Next()
		if err != nil {
			return false, r.s.badRow(r.split.Raw(), r.path, r.line(), err)
		}
		if !ok {
			if r.eof {
				if r.split.Buffered() > 0 && !r.s.follow {
					continue // End has made the rest a record
				}
				return true, nil
			}
			if err := r.fill(); err != nil {
				return false, err
			}
			continue
		}
		if r.header {
			if err := r.setHeader(fields); err != nil {
				return false, err
			}
			continue
		}
		if len(fields) == 1 && len(fields[0].Bytes) == 0 && r.width != 1 {
			continue // an empty line
		}
		at := dst.Len()
		if err := r.add(dst, fields); err != nil {
			r.s.rollback(dst, at)
			if err := r.s.badRow(r.split.Raw(), r.path, r.line(), err); err != nil {
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

func (r *csvReader) add(dst *vec.Builder, fields []format.Field) error {
	if len(fields) < r.width {
		return pgerr.New(pgerr.BadCopyFileFormat, "missing data: %d fields instead of %d", len(fields), r.width)
	}
	if len(fields) > r.width {
		return pgerr.New(pgerr.BadCopyFileFormat, "extra data after last expected column: %d fields instead of %d", len(fields), r.width)
	}
	r.s.begin()
	for i, w := range r.s.want {
		f := fields[r.order[i]]
		v := r.s.column(dst, i)
		if f.Null {
			if w.notNull {
				return nullValue(w)
			}
			v.AppendNull()
			continue
		}
		if err := appendText(v, &r.s.cfg.Env, w.field, f.Bytes); err != nil {
			return err
		}
	}
	return nil
}

func nullValue(w wanted) error {
	return pgerr.New(pgerr.NotNullViolation, "null value in column \"%s\" violates not-null constraint", w.field.Name)
}

// appendText appends a value from its text; integers and text take short cuts.
func appendText(v *vec.Vec, env *types.Env, f vec.Field, b []byte) error {
	switch f.Type.OID {
	case types.OIDInt8:
		if x, ok := fastInt(b); ok {
			v.AppendInt64(x)
			return nil
		}
	case types.OIDInt4:
		if x, ok := fastInt(b); ok && x == int64(int32(x)) {
			v.AppendInt32(int32(x))
			return nil
		}
	case types.OIDText:
		if validText(b) {
			v.AppendBytes(b)
			return nil
		}
	case types.OIDFloat8:
		if x, err := strconv.ParseFloat(unsafe.String(unsafe.SliceData(b), len(b)), 64); err == nil && len(b) > 0 && b[0] != 'i' && b[0] != 'I' {
			v.AppendFloat64(x)
			return nil
		}
	}
	d, err := types.ParseText(env, f.Type, string(b))
	if err != nil {
		e := *pgerr.From(err)
		if e.Detail == "" {
			e.Detail = fmt.Sprintf("The value is of column \"%s\".", f.Name)
		}
		return &e
	}
	v.AppendDatum(d)
	return nil
}

// fastInt reads a plain integer of up to 18 digits.
func fastInt(b []byte) (int64, bool) {
	neg := len(b) > 1 && b[0] == '-'
	if neg {
		b = b[1:]
	}
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	var x int64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		x = x*10 + int64(c-'0')
	}
	if neg {
		x = -x
	}
	return x, true
}

// inferCSV takes the columns of a csv file from its header and the types from its first records.
func inferCSV(s *settings, path string) ([]vec.Field, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fileError(path, err)
	}
	defer f.Close()
	sample := make([]byte, 1<<20)
	n, err := io.ReadFull(f, sample)
	if err != nil && err != io.ErrUnexpectedEOF && err != io.EOF {
		return nil, fileError(path, err)
	}
	d := format.NewDelimited(true)
	d.Delim, d.Quote, d.Escape, d.Null = s.delim, s.quote, s.quote, []byte(s.null)
	d.Write(sample[:n])
	if n < len(sample) {
		d.End()
	}
	var out []vec.Field
	var guesses []*guess
	for rows := 0; rows < 1000; rows++ {
		fields, ok, err := d.Next()
		if err != nil {
			return nil, err
		}
		if !ok {
			break
		}
		if out == nil {
			for i, fl := range fields {
				name := fmt.Sprintf("column%d", i+1)
				if s.header {
					name = strings.TrimSpace(strings.TrimPrefix(string(fl.Bytes), "\ufeff"))
				}
				out = append(out, vec.Field{Name: name})
				guesses = append(guesses, &guess{})
			}
			if s.header {
				continue
			}
		}
		for i, fl := range fields {
			if i < len(guesses) && !fl.Null {
				guesses[i].see(string(fl.Bytes))
			}
		}
	}
	for i := range out {
		out[i].Type = guesses[i].result()
	}
	return out, nil
}

// guess finds the narrowest type that takes all the texts seen.
type guess struct {
	out  []types.T // candidates left
	seen bool
}

var candidates = []types.T{types.Int8, types.Numeric, types.Float8, types.Bool, types.Date, types.Timestamp, types.Timestamptz}

func (g *guess) see(text string) {
	if !g.seen {
		g.out = slices.Clone(candidates)
		g.seen = true
	}
	g.out = slices.DeleteFunc(g.out, func(t types.T) bool {
		switch t.OID {
		case types.OIDBool:
			return text != "true" && text != "false" && text != "t" && text != "f"
		case types.OIDDate:
			if len(text) != 10 {
				return true
			}
		case types.OIDTimestamp, types.OIDTimestamptz:
			if len(text) < 10 || text[4] != '-' {
				return true
			}
			zoned := strings.HasSuffix(text, "Z") || strings.ContainsAny(text[10:], "+-")
			if zoned != (t.OID == types.OIDTimestamptz) {
				return true
			}
		case types.OIDFloat8:
			if !strings.ContainsAny(text, "eE") && !strings.ContainsAny(text, "0123456789") {
				return true
			}
		}
		_, err := types.ParseText(&types.Env{}, t, text)
		return err != nil
	})
}

func (g *guess) result() types.T {
	if len(g.out) == 0 {
		return types.Text
	}
	if g.out[0].Is(types.Numeric) {
		return types.Float8 // fractions in data files are measurements more often than money
	}
	return g.out[0]
}
