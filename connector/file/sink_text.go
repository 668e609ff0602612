package file

import (
	"io"
	"strings"

	"streamsql/connector"
	"streamsql/internal/fn"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// csvEncoder writes lines of csv.
type csvEncoder struct {
	w     io.Writer
	cfg   *connector.SinkConfig
	views []vec.Vec
	line  []byte
}

func newCSVEncoder(w io.Writer, cfg *connector.SinkConfig, header bool) (*csvEncoder, error) {
	e := &csvEncoder{w: w, cfg: cfg}
	if !header {
		return e, nil
	}
	for i, f := range cfg.Columns {
		e.line = appendField(separate(e.line, i), f.Name, false)
	}
	_, err := w.Write(append(e.line, '\n'))
	return e, err
}

func (e *csvEncoder) write(b *vec.Batch) error {
	e.views = b.Views(e.views)
	for row := range b.N {
		e.line = e.line[:0]
		for c := range e.views {
			e.line = separate(e.line, c)
			d := e.views[c].Datum(row)
			if d == nil {
				continue
			}
			text := string(types.AppendText(nil, &e.cfg.Env, e.cfg.Columns[c].Type, d))
			e.line = appendField(e.line, text, text == "") // an empty field without quotes is NULL
		}
		e.line = append(e.line, '\n')
		if _, err := e.w.Write(e.line); err != nil {
			return err
		}
	}
	return nil
}

func (e *csvEncoder) held() int64  { return 0 }
func (e *csvEncoder) close() error { return nil }

func separate(dst []byte, column int) []byte {
	if column > 0 {
		dst = append(dst, ',')
	}
	return dst
}

// appendField appends a field of csv, in quotes if it needs them.
func appendField(dst []byte, s string, quote bool) []byte {
	if !quote && !strings.ContainsAny(s, ",\"\r\n") {
		return append(dst, s...)
	}
	dst = append(dst, '"')
	dst = append(dst, strings.ReplaceAll(s, `"`, `""`)...)
	return append(dst, '"')
}

// jsonEncoder writes a JSON object a line.
type jsonEncoder struct {
	w     io.Writer
	cfg   *connector.SinkConfig
	fn    fn.Ctx
	views []vec.Vec
	names [][]byte // the quoted names of the columns with a colon
	line  []byte
}

func newJSONEncoder(w io.Writer, cfg *connector.SinkConfig) *jsonEncoder {
	e := &jsonEncoder{w: w, cfg: cfg, fn: fn.Ctx{Env: cfg.Env, Alloc: cfg.Alloc}}
	for _, f := range cfg.Columns {
		e.names = append(e.names, append(types.AppendJSONString(nil, f.Name), ':'))
	}
	return e
}

func (e *jsonEncoder) write(b *vec.Batch) error {
	e.views = b.Views(e.views)
	for row := range b.N {
		e.line = append(e.line[:0], '{')
		for c := range e.views {
			e.line = append(separate(e.line, c), e.names[c]...)
			e.line = fn.AppendJSON(e.line, &e.fn, e.cfg.Columns[c].Type, e.views[c].Datum(row))
		}
		e.line = append(e.line, '}', '\n')
		if _, err := e.w.Write(e.line); err != nil {
			return err
		}
	}
	return nil
}

func (e *jsonEncoder) held() int64  { return 0 }
func (e *jsonEncoder) close() error { return nil }
