package vec

import (
	"math"
	"sync/atomic"

	"github.com/apache/arrow/go/v17/arrow"

	"streamsql/internal/types"
)

// Op says what a row of a changelog does: +1 insert, -1 delete. An update is a
// delete and an insert; pairing is done only where EMIT renders it.
type Op int8

// The two changes.
const (
	Insert Op = 1
	Delete Op = -1
)

// Time is microseconds since 1970-01-01 UTC, of event time or of wall time.
type Time = int64

// MinTime and MaxTime are the watermark before anything and after everything.
const (
	MinTime Time = math.MinInt64
	MaxTime Time = math.MaxInt64
)

// Field is a column's name and type.
type Field struct {
	Name string
	Type types.T
}

// Schema lists the columns of a batch. It is immutable and shared.
type Schema struct {
	Fields []Field
}

// NewSchema makes a schema.
func NewSchema(fields ...Field) *Schema { return &Schema{Fields: fields} }

// Len gives the number of columns.
func (s *Schema) Len() int { return len(s.Fields) }

// Index finds a column by name, -1 if there is none.
func (s *Schema) Index(name string) int {
	for i := range s.Fields {
		if s.Fields[i].Name == name {
			return i
		}
	}
	return -1
}

// Batch is a set of rows: dense (no selection), immutable, reference-counted.
// Whoever gets one as an argument borrows it and calls Retain to keep it;
// whoever makes one, or retained it, calls Release once. Slices may be shared
// between batches and must not be written. Every column was made by Vec.Seal.
type Batch struct {
	Schema *Schema
	Cols   []arrow.Array
	// Ops holds the change of each row; nil means that all are inserts.
	Ops []Op
	// W, where not nil, holds the watermark of this stream just before each row:
	// the prefix maximum inside the batch, so that results do not depend on how
	// rows were batched. nil means that no row is behind the watermark that
	// preceded it, so that none can be late.
	W []Time
	// From, where not nil, says of which rows of an input these rows were made: the rows
	// behind the watermark can be late, and whoever finds one late shows it as it came.
	From *Origin
	N    int

	refs atomic.Int32
}

// Origin says of which rows of an input the rows of a batch were made. A batch owns a reference to Rows through it.
type Origin struct {
	// Rows are the rows as they came in. Row i of the batch was made of row Sel[i] of Rows (-1: of none of them); nil Sel: of row i.
	Rows *Batch
	Sel  []int32
	// Input is what the executor knows of where Rows came from.
	Input any
}

// Row gives the row of Rows that row i of the batch was made of.
func (o *Origin) Row(i int) int {
	if o.Sel == nil {
		return i
	}
	return int(o.Sel[i])
}

// Take gives the origin of the rows sel of a batch with origin o (nil sel: of all its rows; -1: of a row that is not of the batch), with a reference to Rows of its own; nil for nil.
func (o *Origin) Take(sel []int32) *Origin {
	if o == nil {
		return nil
	}
	c := *o
	c.Rows.Retain()
	if sel != nil {
		c.Sel = make([]int32, len(sel))
		for i, k := range sel {
			c.Sel[i] = -1
			if k >= 0 {
				c.Sel[i] = int32(o.Row(int(k)))
			}
		}
	}
	return &c
}

// NewBatch makes a batch that owns the arrays in cols. Its reference count is 1.
func NewBatch(s *Schema, cols []arrow.Array, ops []Op, n int) *Batch {
	b := &Batch{Schema: s, Cols: cols, Ops: ops, N: n}
	b.refs.Store(1)
	return b
}

// Retain adds a reference and returns b.
func (b *Batch) Retain() *Batch {
	b.refs.Add(1)
	return b
}

// Release gives a reference back; the last one frees the columns.
func (b *Batch) Release() {
	switch n := b.refs.Add(-1); {
	case n == 0:
		for _, c := range b.Cols {
			c.Release()
		}
		b.Cols = nil
		if b.From != nil {
			b.From.Rows.Release()
			b.From = nil
		}
	case n < 0:
		panic("vec: batch released too often")
	}
}

// Bytes gives the memory that the columns hold. Buffers that are shared are counted by each batch.
func (b *Batch) Bytes() int64 {
	n := int64(len(b.Ops)) + 8*int64(len(b.W))
	for _, c := range b.Cols {
		for _, buf := range c.Data().Buffers() {
			if buf != nil {
				n += int64(buf.Cap())
			}
		}
	}
	return n
}

// Op gives the change of row i.
func (b *Batch) Op(i int) Op {
	if b.Ops == nil {
		return Insert
	}
	return b.Ops[i]
}

// Views fills dst with views of b's columns, growing it as needed, and returns it. They are valid while b is held.
func (b *Batch) Views(dst []Vec) []Vec {
	if cap(dst) < len(b.Cols) {
		dst = append(dst[:cap(dst)], make([]Vec, len(b.Cols)-cap(dst))...)
	}
	dst = dst[:len(b.Cols)]
	for i, c := range b.Cols {
		dst[i].View(c)
	}
	return dst
}

// Project gives a batch of the columns cols of b under schema s, sharing their memory. The caller releases it.
func (b *Batch) Project(s *Schema, cols []int) *Batch {
	out := make([]arrow.Array, len(cols))
	for i, c := range cols {
		b.Cols[c].Retain()
		out[i] = b.Cols[c]
	}
	p := NewBatch(s, out, b.Ops, b.N)
	p.W, p.From = b.W, b.From.Take(nil)
	return p
}

// Select gives a batch of the rows sel of b. The caller releases it.
func (b *Batch) Select(a Allocator, sel []int32) *Batch {
	cols := make([]arrow.Array, len(b.Cols))
	var src, dst Vec
	dst.SetAllocator(a)
	for i, c := range b.Cols {
		src.View(c)
		dst.Reset(src.Kind, 0)
		dst.Gather(&src, sel)
		cols[i] = dst.Seal()
	}
	out := NewBatch(b.Schema, cols, nil, len(sel))
	if b.Ops != nil {
		out.Ops = make([]Op, len(sel))
		gather(out.Ops, b.Ops, sel)
	}
	if b.W != nil {
		out.W = make([]Time, len(sel))
		gather(out.W, b.W, sel)
	}
	out.From = b.From.Take(sel)
	return out
}

// Slice gives a batch of rows [from, to) of b. The caller releases it.
func (b *Batch) Slice(a Allocator, from, to int) *Batch {
	if from == 0 && to == b.N {
		return b.Retain()
	}
	sel := make([]int32, to-from)
	for i := range sel {
		sel[i] = int32(from + i)
	}
	return b.Select(a, sel)
}
