package main

import (
	"bufio"
	"encoding/json"
	"math"
	"strings"

	"streamsql/engine"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// csvLines prints a header and comma-separated rows; NULL is empty and the empty string quoted.
type csvLines struct {
	out  *bufio.Writer
	env  *types.Env
	cols []engine.Column
}

func (l *csvLines) begin(cols []engine.Column, env *types.Env) {
	l.cols, l.env = cols, env
	for i, c := range cols {
		if i > 0 {
			l.out.WriteByte(',')
		}
		l.out.WriteString(csvCell(c.Name))
	}
	l.out.WriteByte('\n')
}

func csvCell(s string) string {
	if s != "" && !strings.ContainsAny(s, ",\"\r\n") {
		return s
	}
	return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
}

func (l *csvLines) rows(b *vec.Batch) {
	views := b.Views(nil)
	rows := textCells(b, l.cols, l.env)
	for i, r := range rows {
		for c, s := range r {
			if c > 0 {
				l.out.WriteByte(',')
			}
			if !views[c].IsNull(i) {
				l.out.WriteString(csvCell(s))
			}
		}
		l.out.WriteByte('\n')
	}
}

func (l *csvLines) end(int64, string) {}
func (l *csvLines) flush() error      { return l.out.Flush() }

// jsonLines prints an object a row, the columns in order.
type jsonLines struct {
	out   *bufio.Writer
	env   *types.Env
	cols  []engine.Column
	names [][]byte
}

func (l *jsonLines) begin(cols []engine.Column, env *types.Env) {
	l.cols, l.env = cols, env
	for _, c := range cols {
		l.names = append(l.names, append(jsonString(c.Name), ':'))
	}
}

func (l *jsonLines) rows(b *vec.Batch) {
	views := b.Views(nil)
	var buf []byte
	for i := range b.N {
		buf = append(buf[:0], '{')
		for c := range l.cols {
			if c > 0 {
				buf = append(buf, ',')
			}
			buf = append(buf, l.names[c]...)
			buf = appendJSON(buf, l.env, l.cols[c].Type, views[c].Datum(i))
		}
		l.out.Write(append(buf, '}', '\n')) // an error stays with the writer until flush
	}
}

func (l *jsonLines) end(int64, string) {}
func (l *jsonLines) flush() error      { return l.out.Flush() }

// jsonString gives s as JSON, without the escapes that only HTML needs.
func jsonString(s string) []byte {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return []byte(`""`) // strings always encode
	}
	return []byte(strings.TrimSuffix(b.String(), "\n"))
}

// appendJSON appends a value: numbers, booleans, json and arrays as they are in JSON, all else as text.
func appendJSON(dst []byte, env *types.Env, t types.T, d types.Datum) []byte {
	switch x := d.(type) {
	case nil:
		return append(dst, "null"...)
	case bool:
		if x {
			return append(dst, "true"...)
		}
		return append(dst, "false"...)
	}
	text := types.AppendText(nil, env, t, d)
	switch {
	case t.OID == types.OIDJSON || t.OID == types.OIDJSONB:
		return append(dst, text...)
	case rightAligned(t):
		if f, ok := d.(float64); ok && (math.IsNaN(f) || math.IsInf(f, 0)) {
			break
		}
		if f, ok := d.(float32); ok && (math.IsNaN(float64(f)) || math.IsInf(float64(f), 0)) {
			break
		}
		if c := text[len(text)-1]; c >= '0' && c <= '9' { // numeric has NaN and Infinity too
			return append(dst, text...)
		}
	case t.IsArray():
		s, _ := d.(string)
		if a, err := types.DecodeArray(t, []byte(s)); err == nil && len(a.Dims) <= 1 {
			elem, _ := t.Elem()
			dst = append(dst, '[')
			for i, e := range a.Elems {
				if i > 0 {
					dst = append(dst, ',')
				}
				dst = appendJSON(dst, env, elem, e)
			}
			return append(dst, ']')
		}
	}
	return append(dst, jsonString(string(text))...)
}
