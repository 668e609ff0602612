package file

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"streamsql/connector"
	"streamsql/internal/fn"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// SinkOptions implements connector.SinkConnector.
func (Connector) SinkOptions() []connector.OptionSpec {
	return []connector.OptionSpec{
		{Name: "path", Doc: "a directory, made if missing, for files part-<number>.<format>", Required: true},
		{Name: "format", Doc: "ndjson or csv", Default: "ndjson"},
		{Name: "type", Doc: "append, changelog or upsert: which changes the files hold", Default: "append"},
		{Name: "header", Doc: "csv: whether the first line of a file names the columns", Default: "true"},
	}
}

// sinkSettings are the WITH options of a sink, checked.
type sinkSettings struct {
	path, format string
	takes        connector.Takes
	header       bool
}

func parseSink(options map[string]string) (s sinkSettings, err error) {
	s = sinkSettings{path: options["path"], format: "ndjson", takes: connector.TakesAppends, header: true}
	if s.path == "" {
		return s, pgerr.New(pgerr.InvalidParameterValue, "option \"path\" is missing").WithHint("Name a directory: path = '/data/out'.")
	}
	if f, ok := options["format"]; ok {
		switch s.format = strings.ToLower(f); s.format {
		case "ndjson", "csv":
		case "json", "jsonl":
			s.format = "ndjson"
		default:
			return s, invalid("format", f, "A sink writes ndjson or csv.")
		}
	}
	switch t := options["type"]; strings.ToLower(t) {
	case "", "append", "append-only":
	case "changelog":
		s.takes = connector.TakesChanges
	case "upsert":
		s.takes = connector.TakesUpserts
	default:
		return s, invalid("type", t, "It is append, changelog or upsert.")
	}
	if h, ok := options["header"]; ok {
		if s.header, err = strconv.ParseBool(h); err != nil {
			return s, invalid("header", h, "It is true or false.")
		}
	}
	return s, nil
}

// CheckSink implements connector.SinkConnector.
func (Connector) CheckSink(options map[string]string) (connector.Takes, error) {
	s, err := parseSink(options)
	if err != nil {
		return 0, err
	}
	if i, err := os.Stat(s.path); err == nil && !i.IsDir() {
		return 0, invalid("path", s.path, "It is a file; a sink writes files into a directory.")
	}
	return s.takes, nil
}

// sink writes rows into files of a directory. A file is written under a name that begins with a dot, which
// readers of globs pass over, and gets its own name when its epoch is committed: whoever sees a file sees all of it.
type sink struct {
	sinkSettings
	cfg    *connector.SinkConfig
	fn     fn.Ctx
	number int // of the next file

	file     *os.File
	out      *bufio.Writer
	prepared string // the hidden file that waits for Commit
	views    []vec.Vec
	names    [][]byte // ndjson: the quoted names of the columns with a colon
	line     []byte
}

// OpenSink implements connector.SinkConnector.
func (Connector) OpenSink(cfg *connector.SinkConfig) (connector.Sink, error) {
	s, err := parseSink(cfg.Options)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(s.path, 0o777); err != nil {
		return nil, fileError(s.path, err)
	}
	k := &sink{sinkSettings: s, cfg: cfg, number: 1, fn: fn.Ctx{Env: cfg.Env, Alloc: cfg.Alloc}}
	for _, f := range cfg.Columns {
		k.names = append(k.names, append(types.AppendJSONString(nil, f.Name), ':'))
	}
	entries, err := os.ReadDir(s.path)
	if err != nil {
		return nil, fileError(s.path, err)
	}
	for _, e := range entries {
		name := strings.TrimPrefix(e.Name(), ".")
		n, ok := k.numberOf(name)
		switch {
		case !ok:
		case name != e.Name():
			if err := os.Remove(filepath.Join(s.path, e.Name())); err != nil {
				return nil, fileError(e.Name(), err)
			}
		default:
			k.number = max(k.number, n+1)
		}
	}
	return k, nil
}

func (k *sink) fileName() string { return fmt.Sprintf("part-%08d.%s", k.number, k.format) }

// numberOf gives the number in the name of one of the sink's files.
func (k *sink) numberOf(name string) (int, bool) {
	s, ok := strings.CutPrefix(name, "part-")
	if !ok {
		return 0, false
	}
	if s, ok = strings.CutSuffix(s, "."+k.format); !ok {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	return n, err == nil
}

// Write implements connector.Sink.
func (k *sink) Write(b *vec.Batch) error {
	if k.file == nil {
		f, err := os.OpenFile(filepath.Join(k.path, "."+k.fileName()), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o666)
		if err != nil {
			return fileError(k.path, err)
		}
		k.file, k.out = f, bufio.NewWriterSize(f, 64<<10)
		if k.format == "csv" && k.header {
			k.line = k.line[:0]
			for i, f := range k.cfg.Columns {
				k.line = appendField(separate(k.line, i), f.Name, false)
			}
			if err := k.write(); err != nil {
				return err
			}
		}
	}
	k.views = b.Views(k.views)
	for i := range b.N {
		if k.format == "csv" {
			k.csvLine(i)
		} else {
			k.jsonLine(i)
		}
		if err := k.write(); err != nil {
			return err
		}
	}
	return nil
}

func (k *sink) write() error {
	k.line = append(k.line, '\n')
	if _, err := k.out.Write(k.line); err != nil {
		return fileError(k.file.Name(), err)
	}
	return nil
}

func (k *sink) jsonLine(row int) {
	k.line = append(k.line[:0], '{')
	for c := range k.views {
		k.line = append(separate(k.line, c), k.names[c]...)
		k.line = fn.AppendJSON(k.line, &k.fn, k.cfg.Columns[c].Type, k.views[c].Datum(row))
	}
	k.line = append(k.line, '}')
}

func separate(dst []byte, column int) []byte {
	if column > 0 {
		dst = append(dst, ',')
	}
	return dst
}

func (k *sink) csvLine(row int) {
	k.line = k.line[:0]
	for c := range k.views {
		k.line = separate(k.line, c)
		d := k.views[c].Datum(row)
		if d == nil {
			continue
		}
		text := string(types.AppendText(nil, &k.cfg.Env, k.cfg.Columns[c].Type, d))
		k.line = appendField(k.line, text, text == "") // an empty field without quotes is NULL
	}
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

// Prepare implements connector.Sink: the file is complete and on disk.
func (k *sink) Prepare(uint64) error {
	if k.file == nil {
		return nil
	}
	if err := k.out.Flush(); err != nil {
		return fileError(k.file.Name(), err)
	}
	if err := k.file.Sync(); err != nil {
		return fileError(k.file.Name(), err)
	}
	k.prepared = k.file.Name()
	err := k.file.Close()
	k.file, k.out = nil, nil
	if err != nil {
		return fileError(k.prepared, err)
	}
	return nil
}

// Commit implements connector.Sink: the file gets the name that readers see.
func (k *sink) Commit(uint64) error {
	if k.prepared == "" {
		return nil
	}
	if err := os.Rename(k.prepared, filepath.Join(k.path, k.fileName())); err != nil {
		return fileError(k.prepared, err)
	}
	k.prepared = ""
	k.number++
	return syncDir(k.path)
}

// syncDir makes the names in a directory durable.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return fileError(path, err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fileError(path, err)
	}
	return nil
}

// Close implements connector.Sink.
func (k *sink) Close() error {
	left := k.prepared
	if k.file != nil {
		left = k.file.Name()
		k.file.Close()
		k.file = nil
	}
	if left == "" {
		return nil
	}
	k.prepared = ""
	return os.Remove(left)
}
