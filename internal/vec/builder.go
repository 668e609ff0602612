package vec

import (
	"github.com/apache/arrow/go/v17/arrow"

	"streamsql/internal/types"
)

// Builder makes batches row by row or column by column. Append the same number
// of values to every column, then call Finish; Op-less rows are inserts.
type Builder struct {
	Schema *Schema
	Cols   []Vec
	Ops    []Op
	W      []Time
	alloc  Allocator
	some   bool // a delete was appended
}

// NewBuilder makes a builder that takes memory from a (nil: Go's heap).
func NewBuilder(a Allocator, s *Schema) *Builder {
	b := &Builder{Schema: s, alloc: a, Cols: make([]Vec, len(s.Fields))}
	for i := range b.Cols {
		b.Cols[i].SetAllocator(a)
	}
	b.reset()
	return b
}

func (b *Builder) reset() {
	for i := range b.Cols {
		b.Cols[i].Reset(b.Schema.Fields[i].Type.Kind(), 0)
	}
	b.Ops, b.W, b.some = nil, nil, false
}

// Len gives the number of rows of the first column (of Ops where there are no columns).
func (b *Builder) Len() int {
	if len(b.Cols) == 0 {
		return len(b.Ops)
	}
	return b.Cols[0].N
}

// AppendOp records the change of the next row; call it for every row or for none.
func (b *Builder) AppendOp(op Op) {
	b.Ops = append(b.Ops, op)
	b.some = b.some || op == Delete
}

// Truncate takes back all rows but the first n.
func (b *Builder) Truncate(n int) {
	for i := range b.Cols {
		b.Cols[i].Truncate(n)
	}
	if len(b.Ops) > n {
		b.Ops = b.Ops[:n]
	}
}

// AppendRow appends row i of the columns src with a change.
func (b *Builder) AppendRow(src []Vec, i int, op Op) {
	for c := range b.Cols {
		b.Cols[c].Append(&src[c], i)
	}
	b.AppendOp(op)
}

// AppendDatums appends a row of datums with a change.
func (b *Builder) AppendDatums(row []types.Datum, op Op) {
	for c := range b.Cols {
		b.Cols[c].AppendDatum(row[c])
	}
	b.AppendOp(op)
}

// Finish gives the rows so far as a batch, which the caller releases, and starts anew.
func (b *Builder) Finish() *Batch {
	n := b.Len()
	cols := make([]arrow.Array, len(b.Cols))
	for i := range b.Cols {
		cols[i] = b.Cols[i].Seal()
	}
	ops := b.Ops
	if !b.some {
		ops = nil
	}
	out := NewBatch(b.Schema, cols, ops, n)
	out.W = b.W
	b.reset()
	return out
}

// Release gives back the memory of rows not finished. The builder must not be used afterwards.
func (b *Builder) Release() {
	for i := range b.Cols {
		b.Cols[i].Release()
	}
}
