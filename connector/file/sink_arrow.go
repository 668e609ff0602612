package file

import (
	"io"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/ipc"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/apache/arrow/go/v17/parquet"
	"github.com/apache/arrow/go/v17/parquet/compress"
	"github.com/apache/arrow/go/v17/parquet/pqarrow"

	"streamsql/connector"
	"streamsql/internal/vec"
)

// codecs are the compressions of parquet by name.
var codecs = map[string]compress.Compression{
	"none": compress.Codecs.Uncompressed, "snappy": compress.Codecs.Snappy, "zstd": compress.Codecs.Zstd, "gzip": compress.Codecs.Gzip,
}

// A row group of a parquet file is held in memory until it is complete.
const (
	rowGroupRows  = 1 << 18
	rowGroupBytes = 32 << 20
)

// recordMaker makes Arrow records of batches.
type recordMaker struct {
	schema *arrow.Schema
	out    []vec.ArrowOut
}

func newRecordMaker(cols []vec.Field) *recordMaker {
	m := &recordMaker{}
	var fs []arrow.Field
	for _, f := range cols {
		t, out := vec.ToArrow(f.Type)
		fs = append(fs, arrow.Field{Name: f.Name, Type: t, Nullable: true})
		m.out = append(m.out, out)
	}
	m.schema = arrow.NewSchema(fs, nil)
	return m
}

func (m *recordMaker) record(b *vec.Batch) (arrow.Record, error) {
	cols := make([]arrow.Array, 0, len(b.Cols))
	defer func() {
		for _, c := range cols {
			c.Release()
		}
	}()
	for i, a := range b.Cols {
		c, err := m.out[i](a)
		if err != nil {
			return nil, err
		}
		cols = append(cols, c)
	}
	return array.NewRecord(m.schema, cols, int64(b.N)), nil
}

// arrowEncoder writes the Arrow IPC file format.
type arrowEncoder struct {
	*recordMaker
	w *ipc.FileWriter
}

// place is a writer that knows where it is, which is all that the Arrow writer seeks for.
type place struct {
	w  io.Writer
	at int64
}

func (p *place) Write(b []byte) (int, error) {
	n, err := p.w.Write(b)
	p.at += int64(n)
	return n, err
}

func (p *place) Seek(int64, int) (int64, error) { return p.at, nil }

func newArrowEncoder(w io.Writer, cfg *connector.SinkConfig) (encoder, error) {
	m := newRecordMaker(cfg.Columns)
	fw, err := ipc.NewFileWriter(&place{w: w}, ipc.WithSchema(m.schema))
	if err != nil {
		return nil, err
	}
	return &arrowEncoder{m, fw}, nil
}

func (e *arrowEncoder) write(b *vec.Batch) error {
	r, err := e.record(b)
	if err != nil {
		return err
	}
	defer r.Release()
	return e.w.Write(r)
}

func (e *arrowEncoder) held() int64  { return 0 }
func (e *arrowEncoder) close() error { return e.w.Close() }

// parquetEncoder writes Parquet.
type parquetEncoder struct {
	*recordMaker
	w *pqarrow.FileWriter
}

func newParquetEncoder(w io.Writer, cfg *connector.SinkConfig, codec string) (encoder, error) {
	m := newRecordMaker(cfg.Columns)
	props := parquet.NewWriterProperties(parquet.WithCompression(codecs[codec]), parquet.WithMaxRowGroupLength(rowGroupRows),
		parquet.WithAllocator(memory.DefaultAllocator), parquet.WithCreatedBy("streamsql"))
	fw, err := pqarrow.NewFileWriter(m.schema, struct{ io.Writer }{w}, props, pqarrow.DefaultWriterProps())
	if err != nil {
		return nil, err
	}
	return &parquetEncoder{m, fw}, nil
}

func (e *parquetEncoder) write(b *vec.Batch) error {
	r, err := e.record(b)
	if err != nil {
		return err
	}
	defer r.Release()
	if err := e.w.WriteBuffered(r); err != nil {
		return err
	}
	if e.held() >= rowGroupBytes {
		e.w.NewBufferedRowGroup()
	}
	return nil
}

func (e *parquetEncoder) held() int64  { return e.w.RowGroupTotalCompressedBytes() }
func (e *parquetEncoder) close() error { return e.w.Close() }
