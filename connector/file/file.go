// Package file is the source that reads files: csv, ndjson, Parquet and Arrow
// IPC, one or many by a glob, to their end or following what is appended.
package file

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"streamsql/connector"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// Connector is the file connector.
type Connector struct{}

// Name implements connector.Connector.
func (Connector) Name() string { return "file" }

// Reach says that the connector touches files of the server.
func (Connector) Reach() connector.Reach { return connector.ReachFiles }

// Options implements connector.Connector.
func (Connector) Options() []connector.OptionSpec {
	return []connector.OptionSpec{
		{Name: "path", Doc: "a file, or a glob; files are read in the order of their names", Required: true},
		{Name: "format", Doc: "csv, ndjson, parquet or arrow", Default: "from the file's name"},
		{Name: "columns", Doc: "the file's columns that the declared ones are read from, in order", Default: "by name"},
		{Name: "follow", Doc: "true: go on with what is appended to csv and ndjson files, and with new files", Default: "false"},
		{Name: "header", Doc: "csv: whether the first line names the columns", Default: "true"},
		{Name: "delimiter", Doc: "csv: what stands between fields", Default: ","},
		{Name: "quote", Doc: "csv: what fields may stand in", Default: `"`},
		{Name: "null", Doc: "csv: the unquoted text that is NULL", Default: "empty"},
	}
}

// settings are the WITH options of a relation, checked.
type settings struct {
	path, format string
	columns      []string
	follow       bool
	header       bool
	delim, quote byte
	null         string
}

func invalid(name, value, hint string) error {
	return pgerr.New(pgerr.InvalidParameterValue, "invalid value for option \"%s\": \"%s\"", name, value).WithHint("%s", hint)
}

func parse(options map[string]string) (s settings, err error) {
	s = settings{path: options["path"], format: strings.ToLower(options["format"]), header: true, delim: ',', quote: '"', null: options["null"]}
	if s.path == "" {
		return s, pgerr.New(pgerr.InvalidParameterValue, "option \"path\" is missing").WithHint("Name a file or a glob: path = '/data/*.csv'.")
	}
	if s.format == "" {
		switch strings.ToLower(filepath.Ext(s.path)) {
		case ".csv":
			s.format = "csv"
		case ".ndjson", ".jsonl", ".json":
			s.format = "ndjson"
		case ".parquet":
			s.format = "parquet"
		case ".arrow", ".arrows", ".ipc", ".feather":
			s.format = "arrow"
		default:
			return s, pgerr.New(pgerr.InvalidParameterValue, "option \"format\" is missing and \"%s\" does not tell it", s.path).
				WithHint("It is csv, ndjson, parquet or arrow.")
		}
	}
	if s.format == "json" || s.format == "jsonl" {
		s.format = "ndjson"
	}
	if !slices.Contains([]string{"csv", "ndjson", "parquet", "arrow"}, s.format) {
		return s, invalid("format", options["format"], "It is csv, ndjson, parquet or arrow.")
	}
	flag := func(name string, def bool) bool {
		v, ok := options[name]
		if !ok {
			return def
		}
		d, perr := types.ParseText(&types.Env{}, types.Bool, v)
		if perr != nil {
			err = invalid(name, v, "It is true or false.")
			return def
		}
		return d.(bool)
	}
	s.follow, s.header = flag("follow", false), flag("header", true)
	char := func(name string, def byte) byte {
		v, ok := options[name]
		if !ok {
			return def
		}
		if v == `\t` || v == "tab" {
			v = "\t"
		}
		if len(v) != 1 || v == "\n" || v == "\r" {
			err = invalid(name, v, "It is one byte.")
			return def
		}
		return v[0]
	}
	s.delim, s.quote = char("delimiter", ','), char("quote", '"')
	if err == nil && s.delim == s.quote {
		err = invalid("delimiter", options["delimiter"], "It must differ from the quote.")
	}
	if c, ok := options["columns"]; ok {
		for _, n := range strings.Split(c, ",") {
			s.columns = append(s.columns, strings.TrimSpace(n))
		}
	}
	for _, n := range []string{"header", "delimiter", "quote", "null"} {
		if v, ok := options[n]; ok && s.format != "csv" {
			return s, invalid(n, v, "The option is for format csv only.")
		}
	}
	if s.follow && (s.format == "parquet" || s.format == "arrow") && !strings.ContainsAny(s.path, "*?[") {
		return s, invalid("follow", options["follow"], "Files of this format do not grow: follow a glob, or use csv or ndjson.")
	}
	return s, err
}

// fileColumns gives the name in the file of each declared column.
func (s *settings) fileColumns(declared []vec.Field) ([]string, error) {
	if s.columns == nil {
		out := make([]string, len(declared))
		for i, c := range declared {
			out[i] = c.Name
		}
		return out, nil
	}
	if len(s.columns) != len(declared) {
		return nil, pgerr.New(pgerr.InvalidParameterValue, "option \"columns\" names %d columns but %d are declared", len(s.columns), len(declared))
	}
	return s.columns, nil
}

// Check implements connector.Connector.
func (Connector) Check(cfg *connector.Config) error {
	s, err := parse(cfg.Options)
	if err != nil {
		return err
	}
	if _, err := s.fileColumns(cfg.Columns); err != nil {
		return err
	}
	files, err := s.list()
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return nil // follow: they may come
	}
	f, err := os.Open(files[0])
	if err != nil {
		return fileError(files[0], err)
	}
	return f.Close()
}

// list gives the files that there are now, in the order of their names. None is an error unless new ones are followed.
func (s *settings) list() ([]string, error) {
	if !strings.ContainsAny(s.path, "*?[") {
		st, err := os.Stat(s.path)
		if err != nil {
			return nil, fileError(s.path, err)
		}
		if st.IsDir() {
			return nil, pgerr.New(pgerr.WrongObjectType, "could not read file \"%s\": is a directory", s.path).WithHint("Name the files by a glob: '%s/*.%s'.", s.path, s.format)
		}
		return []string{s.path}, nil
	}
	files, err := filepath.Glob(s.path)
	if err != nil {
		return nil, invalid("path", s.path, "The glob is malformed.")
	}
	if len(files) == 0 && !s.follow {
		return nil, pgerr.New(pgerr.UndefinedFile, "no file matches \"%s\"", s.path)
	}
	slices.Sort(files)
	return files, nil
}

// fileError words what the operating system says of a file.
func fileError(path string, err error) error {
	var reason = err
	var pe *fs.PathError
	if errors.As(err, &pe) {
		reason = pe.Err
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return pgerr.New(pgerr.UndefinedFile, "could not open file \"%s\": No such file or directory", path).
			WithHint("The path is one of the machine that the server runs on.").WithCause(err)
	case errors.Is(err, fs.ErrPermission):
		return pgerr.New(pgerr.InsufficientPrivilege, "could not open file \"%s\": Permission denied", path).WithCause(err)
	}
	return pgerr.New(pgerr.IOError, "could not read file \"%s\": %v", path, reason).WithCause(err)
}

// Infer implements connector.Connector.
func (Connector) Infer(_ context.Context, options map[string]string) ([]vec.Field, error) {
	s, err := parse(options)
	if err != nil {
		return nil, err
	}
	files, err := s.list()
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, pgerr.New(pgerr.UndefinedFile, "no file matches \"%s\" to take the columns from", s.path).WithHint("Declare the columns.")
	}
	var fields []vec.Field
	switch s.format {
	case "csv":
		fields, err = inferCSV(&s, files[0])
	case "ndjson":
		fields, err = inferJSON(files[0])
	case "parquet":
		fields, err = inferParquet(files[0])
	default:
		fields, err = inferArrow(files[0])
	}
	if err == nil && len(fields) == 0 {
		err = pgerr.New(pgerr.InvalidTableDefinition, "file \"%s\" has no columns to take over", files[0]).WithHint("Declare the columns.")
	}
	return fields, err
}

// Bounded implements connector.Connector.
func (Connector) Bounded(options map[string]string) bool {
	s, err := parse(options)
	return err == nil && !s.follow
}

// Open implements connector.Connector.
func (Connector) Open(_ context.Context, cfg *connector.Config, at connector.Offset) (connector.Source, error) {
	s, err := parse(cfg.Options)
	if err != nil {
		return nil, err
	}
	src := &source{settings: s, cfg: cfg}
	names, err := s.fileColumns(cfg.Columns)
	if err != nil {
		return nil, err
	}
	column := func(p int) wanted {
		return wanted{field: cfg.Columns[p], name: names[p], notNull: p < len(cfg.NotNull) && cfg.NotNull[p]}
	}
	for _, p := range cfg.Project {
		src.want = append(src.want, column(p))
	}
	// Which rows are bad must not depend on which columns a query reads: where bad rows are left out, all are read.
	if cfg.BadRow != nil && (s.format == "csv" || s.format == "ndjson") {
		for p := range cfg.Columns {
			if !slices.Contains(cfg.Project, p) {
				src.want = append(src.want, column(p))
			}
		}
		src.unread = make([]vec.Vec, len(src.want)-len(cfg.Project))
	}
	src.names = names
	if src.files, err = s.list(); err != nil {
		return nil, err
	}
	if at != nil {
		if err := json.Unmarshal(at, &src.pos); err != nil {
			return nil, pgerr.New(pgerr.DataCorrupted, "offset of a file source is damaged").WithCause(err)
		}
		src.skipTo()
	}
	return src, nil
}

// wanted is a column that the query needs.
type wanted struct {
	field   vec.Field
	name    string // in the file
	notNull bool
}

// position is where a file source stands: in which file, and where in it as its format counts.
type position struct {
	File string `json:"file"`
	At   int64  `json:"at"`   // bytes of csv and ndjson, rows of Parquet and Arrow
	Line int64  `json:"line"` // lines before it, for messages
}

// reader reads one file.
type reader interface {
	// read appends up to most rows. done says that what the file has now has been read.
	read(dst *vec.Builder, most int) (done bool, err error)
	position() (at, line int64)
	close() error
}

type source struct {
	settings
	cfg    *connector.Config
	want   []wanted
	unread []vec.Vec // of the wanted columns after the projected ones: read only to be checked
	names  []string  // in the file, of all declared columns
	files  []string
	next   int // of files to open
	pos    position
	cur    reader
	listed time.Time
}

// skipTo goes to the file of the offset; files before it have been read.
func (s *source) skipTo() {
	for s.next < len(s.files) && s.files[s.next] < s.pos.File {
		s.next++
	}
}

// Partitions implements connector.Source.
func (s *source) Partitions() int { return 1 }

// Offset implements connector.Source.
func (s *source) Offset() connector.Offset {
	if s.cur != nil {
		s.pos.At, s.pos.Line = s.cur.position()
	}
	b, _ := json.Marshal(s.pos)
	return b
}

// Close implements connector.Source.
func (s *source) Close() error {
	if s.cur == nil {
		return nil
	}
	err := s.cur.close()
	s.cur = nil
	return err
}

// relist is how often a followed glob is looked at again.
const relist = 500 * time.Millisecond

// Poll implements connector.Source.
func (s *source) Poll(_ context.Context, dst *vec.Builder, most int) (connector.Polled, error) {
	if s.cur == nil {
		if s.next >= len(s.files) {
			return s.exhausted()
		}
		if err := s.open(); err != nil {
			return connector.Polled{}, err
		}
	}
	done, err := s.cur.read(dst, most)
	if err != nil {
		return connector.Polled{}, err
	}
	if !done {
		return connector.Polled{Status: connector.More}, nil
	}
	growing := s.follow && (s.format == "csv" || s.format == "ndjson")
	if growing && s.next >= len(s.files) {
		return s.exhausted() // the last file may grow: stay in it
	}
	if err := s.finishFile(); err != nil {
		return connector.Polled{}, err
	}
	if s.next >= len(s.files) {
		return s.exhausted()
	}
	return connector.Polled{Status: connector.More}, nil
}

// begin makes ready for a row.
func (s *source) begin() {
	for i := range s.unread {
		s.unread[i].Reset(s.want[len(s.want)-len(s.unread)+i].field.Type.Kind(), 0)
	}
}

// column gives where the values of wanted column i go.
func (s *source) column(dst *vec.Builder, i int) *vec.Vec {
	if projected := len(s.want) - len(s.unread); i >= projected {
		return &s.unread[i-projected]
	}
	return &dst.Cols[i]
}

// rollback takes a row back that turned out bad after some of its columns were appended.
func (s *source) rollback(dst *vec.Builder, rows int) {
	for c := range dst.Cols {
		dst.Cols[c].Truncate(rows)
	}
}

func (s *source) finishFile() error {
	s.pos.At, s.pos.Line = s.cur.position()
	return s.Close()
}

// exhausted looks for new files where they are followed.
func (s *source) exhausted() (connector.Polled, error) {
	if !s.follow {
		return connector.Polled{Status: connector.End}, nil
	}
	if time.Since(s.listed) > relist {
		s.listed = time.Now()
		files, err := s.list()
		if err != nil && s.cur == nil {
			return connector.Polled{}, err
		}
		last := ""
		if s.next > 0 && s.next <= len(s.files) {
			last = s.files[s.next-1]
		}
		for _, f := range files {
			if f > last && !slices.Contains(s.files, f) {
				s.files = append(s.files, f)
			}
		}
		if s.next < len(s.files) {
			if s.cur != nil {
				if err := s.finishFile(); err != nil {
					return connector.Polled{}, err
				}
			}
			return connector.Polled{Status: connector.More}, nil
		}
	}
	return connector.Polled{Status: connector.Idle, Wait: 10_000}, nil
}

func (s *source) open() (err error) {
	path := s.files[s.next]
	s.next++
	at, line := int64(0), int64(0)
	if s.pos.File == path {
		at, line = s.pos.At, s.pos.Line
	}
	s.pos = position{File: path, At: at, Line: line}
	switch s.format {
	case "csv":
		s.cur, err = openCSV(s, path, at, line)
	case "ndjson":
		s.cur, err = openJSON(s, path, at, line)
	case "parquet":
		s.cur, err = openParquet(s, path, at)
	default:
		s.cur, err = openArrow(s, path, at)
	}
	return err
}

// missingColumn is the error of a declared column that a file lacks.
func missingColumn(path, name string, have []string) error {
	return pgerr.New(pgerr.UndefinedColumn, "file \"%s\" has no column \"%s\"", path, name).
		WithHint("Its columns are %s; map them with the option columns.", strings.Join(have, ", "))
}

// badRow hands a row that cannot be decoded to the policy of the relation.
func (s *source) badRow(raw []byte, path string, line int64, err error) error {
	place := fmt.Sprintf("%s, line %d", path, line)
	if s.cfg.BadRow != nil {
		return s.cfg.BadRow(&connector.BadRow{Raw: raw, Place: place, Position: line, Err: err})
	}
	e := *pgerr.From(err)
	e.Where = place
	if e.Hint == "" {
		e.WithHint("Set bad_data = 'drop' to leave such rows out, or 'table:NAME' to keep them there.")
	}
	return &e
}
