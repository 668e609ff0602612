package exec

import (
	"streamsql/catalog"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
)

// originBatch is the vec.Origin.Input of rows that a Watermark operator passed on: where they
// came from, and which of them have been found late. A row that several operators find late is one late row.
type originBatch struct {
	wm   *watermark
	part int
	late []uint64
}

// newOrigin names the rows of b as the ones that came in from a partition.
func newOrigin(o *watermark, part int, b *vec.Batch) *vec.Origin {
	return &vec.Origin{Rows: b.Retain(), Input: &originBatch{wm: o, part: part}}
}

// LateRow is a row that came too late for every window that it falls in.
type LateRow struct {
	// Rel is the relation that it is a row of, and Partition its partition of it; nil where the row was
	// made by operators that do not know of which rows (a Top-N, the other side of a join).
	Rel       *catalog.Relation
	Partition int
	// Rows holds it at Row: the columns of the relation's Scan, or what the operator saw of it.
	// The batch is lent for the call.
	Rows *vec.Batch
	Row  int
	// W is the watermark before the row and End the end of its last window: W >= End, plus what holds the
	// window open. An End of MaxTime is unknown.
	W, End vec.Time
}

// reportLate counts a row that nothing takes any more and tells the context of it, once for each row that came in. b has
// watermarks, and end is the end of the last window that the row would be in.
func reportLate(ctx *Context, b *vec.Batch, row int, end vec.Time) error {
	if ctx.shared != nil {
		ctx.shared.Lock()
		defer ctx.shared.Unlock()
	}
	l := LateRow{Rows: b, Row: row, W: b.W[row], End: end}
	if b.From != nil {
		if o, ok := b.From.Input.(*originBatch); ok && b.From.Row(row) >= 0 {
			l.Rows, l.Row, l.Partition = b.From.Rows, b.From.Row(row), o.part
			if scan, ok := o.wm.n.Input.(*planner.Scan); ok {
				l.Rel = scan.Rel
			}
			if o.late == nil {
				o.late = make([]uint64, (l.Rows.N+63)/64)
			}
			bit := uint64(1) << (l.Row & 63)
			if o.late[l.Row>>6]&bit != 0 {
				return nil
			}
			o.late[l.Row>>6] |= bit
			o.wm.part[o.part].late++
		}
	}
	ctx.late()
	if ctx.Late == nil {
		return nil
	}
	return ctx.Late(&l)
}

// sameOrigin reports whether rows i and k of a batch were made of one row.
func sameOrigin(b *vec.Batch, i, k int) bool {
	return b.From != nil && b.From.Row(i) >= 0 && b.From.Row(i) == b.From.Row(k)
}

// late counts a row that came after what it could have met was freed.
func (c *Context) late() {
	if c.Stats != nil {
		c.Stats.LateRows++
	}
}
