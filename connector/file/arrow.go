package file

import (
	"context"
	"io"
	"os"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/ipc"
	"github.com/apache/arrow/go/v17/arrow/memory"
	pqfile "github.com/apache/arrow/go/v17/parquet/file"
	"github.com/apache/arrow/go/v17/parquet/pqarrow"

	"streamsql/internal/pgerr"
	"streamsql/internal/vec"
)

// records gives the Arrow records of a file, one after the other; io.EOF at the end. A record is valid until the next call.
type records interface {
	next() (arrow.Record, error)
	close() error
}

// recordReader copies the wanted columns of records into batches.
type recordReader struct {
	s       *source
	path    string
	recs    records
	cols    []int // of the record, for each wanted column
	convert []vec.ArrowColumn
	cur     arrow.Record
	row     int
	done    int64 // rows given before cur
	skip    int64 // rows to pass over when resuming
}

func newRecordReader(s *source, path string, recs records, schema *arrow.Schema, at int64) (reader, error) {
	r := &recordReader{s: s, path: path, recs: recs, skip: at}
	have := make([]string, schema.NumFields())
	for i, f := range schema.Fields() {
		have[i] = f.Name
	}
	for _, w := range s.want {
		i := slices.Index(have, w.name)
		if i < 0 {
			recs.close()
			return nil, missingColumn(path, w.name, have)
		}
		conv, ok := vec.FromArrow(schema.Field(i).Type, w.field.Type)
		if !ok {
			recs.close()
			return nil, pgerr.New(pgerr.DatatypeMismatch, "column \"%s\" is of type %s but in file \"%s\" it is of type %s", w.field.Name, w.field.Type, path, schema.Field(i).Type)
		}
		r.cols, r.convert = append(r.cols, i), append(r.convert, conv)
	}
	return r, nil
}

func (r *recordReader) position() (int64, int64) { return r.done + int64(r.row), 0 }
func (r *recordReader) close() error             { return r.recs.close() }

func (r *recordReader) read(dst *vec.Builder, most int) (bool, error) {
	for r.cur == nil || r.row >= int(r.cur.NumRows()) {
		if r.cur != nil {
			r.done += r.cur.NumRows()
			r.cur, r.row = nil, 0
		}
		rec, err := r.recs.next()
		if err == io.EOF {
			return true, nil
		}
		if err != nil {
			return false, pgerr.New(pgerr.DataCorrupted, "could not read file \"%s\": %v", r.path, err).WithCause(err)
		}
		r.cur = rec
		if pass := min(r.skip, rec.NumRows()); pass > 0 {
			r.row, r.skip = int(pass), r.skip-pass
		}
	}
	to := min(r.row+most, int(r.cur.NumRows()))
	for i, w := range r.s.want {
		before := dst.Cols[i].N
		if err := r.convert[i](&dst.Cols[i], r.cur.Column(r.cols[i]), r.row, to); err != nil {
			return false, err
		}
		if w.notNull && dst.Cols[i].HasNulls() {
			for k := before; k < dst.Cols[i].N; k++ {
				if dst.Cols[i].IsNull(k) {
					return false, nullValue(w)
				}
			}
		}
	}
	if len(r.s.want) == 0 {
		for range to - r.row {
			dst.AppendOp(vec.Insert)
		}
	}
	r.row = to
	return false, nil
}

// ipcRecords reads Arrow IPC, the file format or the stream format.
type ipcRecords struct {
	f      *os.File
	file   *ipc.FileReader
	stream *ipc.Reader
	at     int
}

func openIPC(path string) (*ipcRecords, *arrow.Schema, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fileError(path, err)
	}
	var magic [6]byte
	if _, err := io.ReadFull(f, magic[:]); err == nil && string(magic[:]) == "ARROW1" {
		r, err := ipc.NewFileReader(f)
		if err != nil {
			f.Close()
			return nil, nil, damaged(path, err)
		}
		return &ipcRecords{f: f, file: r}, r.Schema(), nil
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		f.Close()
		return nil, nil, fileError(path, err)
	}
	r, err := ipc.NewReader(f)
	if err != nil {
		f.Close()
		return nil, nil, damaged(path, err)
	}
	return &ipcRecords{f: f, stream: r}, r.Schema(), nil
}

func damaged(path string, err error) error {
	return pgerr.New(pgerr.DataCorrupted, "could not read file \"%s\": %v", path, err).WithCause(err)
}

func (r *ipcRecords) next() (rec arrow.Record, err error) {
	if r.stream != nil {
		return r.stream.Read()
	}
	if r.at >= r.file.NumRecords() {
		return nil, io.EOF
	}
	rec, err = r.file.Record(r.at)
	r.at++
	return rec, err
}

func (r *ipcRecords) close() error {
	if r.stream != nil {
		r.stream.Release()
	} else {
		r.file.Close()
	}
	return r.f.Close()
}

// guardPanic turns a panic of a decoder that was given a damaged file into an error.
func guardPanic(path string, err *error) {
	if p := recover(); p != nil {
		*err = pgerr.New(pgerr.DataCorrupted, "could not read file \"%s\": %v", path, p)
	}
}

func openArrow(s *source, path string, at int64) (r reader, err error) {
	defer guardPanic(path, &err)
	recs, schema, err := openIPC(path)
	if err != nil {
		return nil, err
	}
	return newRecordReader(s, path, recs, schema, at)
}

func fields(schema *arrow.Schema) []vec.Field {
	var out []vec.Field
	for _, f := range schema.Fields() {
		if t, ok := vec.TypeOfArrow(f.Type); ok {
			out = append(out, vec.Field{Name: f.Name, Type: t})
		}
	}
	return out
}

func inferArrow(path string) (out []vec.Field, err error) {
	defer guardPanic(path, &err)
	recs, schema, err := openIPC(path)
	if err != nil {
		return nil, err
	}
	defer recs.close()
	return fields(schema), nil
}

// parquetRecords reads the wanted columns of a Parquet file.
type parquetRecords struct {
	f    *pqfile.Reader
	recs pqarrow.RecordReader
}

func (r *parquetRecords) next() (arrow.Record, error) {
	if !r.recs.Next() {
		if err := r.recs.Err(); err != nil {
			return nil, err
		}
		return nil, io.EOF
	}
	return r.recs.Record(), nil
}

func (r *parquetRecords) close() error {
	if r.recs != nil {
		r.recs.Release()
	}
	return r.f.Close()
}

func openPq(path string) (*pqfile.Reader, *pqarrow.FileReader, *arrow.Schema, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, nil, nil, fileError(path, err)
	}
	f, err := pqfile.OpenParquetFile(path, false)
	if err != nil {
		return nil, nil, nil, damaged(path, err)
	}
	fr, err := pqarrow.NewFileReader(f, pqarrow.ArrowReadProperties{BatchSize: vec.MaxRows}, memory.DefaultAllocator)
	if err == nil {
		var schema *arrow.Schema
		if schema, err = fr.Schema(); err == nil {
			return f, fr, schema, nil
		}
	}
	f.Close()
	return nil, nil, nil, damaged(path, err)
}

func openParquet(s *source, path string, at int64) (r reader, err error) {
	defer guardPanic(path, &err)
	f, fr, schema, err := openPq(path)
	if err != nil {
		return nil, err
	}
	recs := &parquetRecords{f: f}
	// Only the leaves of the wanted columns are read. A query of no column still needs the number of rows: the first column tells.
	var leaves []int
	for leaf := range f.MetaData().Schema.NumColumns() {
		root := f.MetaData().Schema.Column(leaf).ColumnPath()[0]
		for _, w := range s.want {
			if w.name == root {
				leaves = append(leaves, leaf)
				break
			}
		}
	}
	if len(leaves) == 0 && f.MetaData().Schema.NumColumns() > 0 {
		leaves = []int{0}
	}
	if recs.recs, err = fr.GetRecordReader(context.Background(), leaves, nil); err != nil {
		f.Close()
		return nil, damaged(path, err)
	}
	for _, w := range s.want {
		if len(schema.FieldIndices(w.name)) == 0 {
			recs.close()
			return nil, missingColumn(path, w.name, names(schema))
		}
	}
	return newRecordReader(s, path, recs, recs.recs.Schema(), at)
}

func names(schema *arrow.Schema) []string {
	var out []string
	for _, f := range schema.Fields() {
		out = append(out, f.Name)
	}
	return out
}

func inferParquet(path string) (out []vec.Field, err error) {
	defer guardPanic(path, &err)
	f, _, schema, err := openPq(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return fields(schema), nil
}
