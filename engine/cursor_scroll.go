package engine

import (
	"context"
	"strconv"

	"streamsql/internal/pgerr"
	"streamsql/internal/vec"
	"streamsql/sql/parser/ast"
)

// scrollLimit is how many bytes of rows a cursor keeps that was not declared with SCROLL: PostgreSQL lets such cursors go
// back where it costs nothing, and clients that read a long result through one must not make us keep it all.
const scrollLimit = 4 << 20

// scrollCursor is a cursor that keeps the rows it has given, so that FETCH can go back to them.
type scrollCursor struct {
	Portal
	alloc vec.Allocator
	all   bool // declared with SCROLL: everything is kept
	// kept are the rows read, without the first base ones; starts are the row numbers (from 0) of the batches.
	kept   []*vec.Batch
	starts []int64
	base   int64
	read   int64 // rows read from Portal
	bytes  int64
	ended  bool
	pos    int64 // 0 before the first row, n on the n-th, read+1 after the last
}

// Close implements Portal.
func (c *scrollCursor) Close() {
	for _, b := range c.kept {
		b.Release()
	}
	c.kept = nil
	c.Portal.Close()
}

// Fetch implements Portal: the next rows, as the protocol asks for them.
func (c *scrollCursor) Fetch(ctx context.Context, max int) (*vec.Batch, bool, error) {
	want := int64(max)
	if max <= 0 {
		want = 1 << 30
	}
	if err := c.need(ctx, c.pos+1); err != nil {
		return nil, false, err
	}
	at := min(c.pos, c.read)
	b := c.piece(at, want)
	if b == nil {
		c.pos = c.read + 1
		return nil, true, nil
	}
	c.pos = at + int64(b.N)
	return b, c.ended && c.pos == c.read, nil
}

// need reads until there are n rows or the end.
func (c *scrollCursor) need(ctx context.Context, n int64) error {
	for !c.ended && c.read < n {
		b, done, err := c.Portal.Fetch(ctx, 0)
		if err != nil {
			return err
		}
		c.ended = done
		if b == nil {
			continue
		}
		c.kept, c.starts = append(c.kept, b), append(c.starts, c.read)
		c.read += int64(b.N)
		c.bytes += b.Bytes()
		for !c.all && c.bytes > scrollLimit && len(c.kept) > 1 {
			c.bytes -= c.kept[0].Bytes()
			c.kept[0].Release()
			c.kept, c.starts = c.kept[1:], c.starts[1:]
			c.base = c.starts[0]
		}
	}
	return nil
}

// piece gives rows from number at (from 0) on, at most n and of one batch; nil where there is none.
func (c *scrollCursor) piece(at, n int64) *vec.Batch {
	for i, b := range c.kept {
		if from := at - c.starts[i]; from >= 0 && from < int64(b.N) {
			return b.Slice(c.alloc, int(from), int(min(from+n, int64(b.N))))
		}
	}
	return nil
}

// back refuses to go back to rows that are not kept.
func (c *scrollCursor) back(row int64) error {
	if row >= 1 && row <= c.base {
		return pgerr.New(pgerr.ObjectNotInPrerequisiteState, "cursor can only scan forward").
			WithHint("Declare it with SCROLL option to enable backward scan.")
	}
	return nil
}

// scrollFetch is FETCH or MOVE of a cursor that can go back.
type scrollFetch struct {
	cursor *scrollCursor
	x      *ast.Fetch
	moved  int64
	begun  bool
	// The rows still to give: left of them from row next (from 1), one step each.
	next, left, step int64
}

func (f *scrollFetch) Columns() []Column {
	if f.x.Move {
		return nil
	}
	return f.cursor.Columns()
}
func (f *scrollFetch) CopyOut() *CopyFormat { return nil }
func (f *scrollFetch) CopyIn() *CopyIn      { return nil }
func (f *scrollFetch) Continuous() bool     { return false }
func (f *scrollFetch) Close()               {}

func (f *scrollFetch) Tag(rows int64) string {
	if f.x.Move {
		return "MOVE " + strconv.FormatInt(f.moved, 10)
	}
	return "FETCH " + strconv.FormatInt(rows, 10)
}

// begin finds the rows to give, reads up to them, and leaves the cursor where the statement leaves it.
func (f *scrollFetch) begin(ctx context.Context) error {
	c, n := f.cursor, f.x.Count
	const far = int64(1) << 50
	one := func(row int64) error { // a single row, where there is one
		if row < 0 {
			row = 0
		}
		if err := c.need(ctx, row); err != nil {
			return err
		}
		if row <= c.pos {
			if err := c.back(row); err != nil {
				return err
			}
		}
		f.next, f.step = row, 1
		if row >= 1 && row <= c.read {
			f.left = 1
		}
		c.pos = min(row, c.read+1)
		return nil
	}
	forward := func(n int64) error {
		if n == 0 {
			return one(min(c.pos, c.read+1))
		}
		if err := c.need(ctx, min(c.pos+n, far)); err != nil {
			return err
		}
		f.next, f.step, f.left = c.pos+1, 1, max(min(n, c.read-c.pos), 0)
		if c.pos += f.left; f.left < n {
			c.pos = c.read + 1
		}
		return nil
	}
	backward := func(n int64) error {
		if n == 0 {
			return one(min(c.pos, c.read+1))
		}
		f.next, f.step, f.left = c.pos-1, -1, max(min(n, c.pos-1), 0)
		if f.left > 0 {
			if err := c.back(f.next - f.left + 1); err != nil {
				return err
			}
		}
		if c.pos -= f.left; f.left < n {
			c.pos = 0
		}
		return nil
	}
	if n == -1 && (f.x.Direction == "forward" || f.x.Direction == "backward") {
		n = far
	}
	switch f.x.Direction {
	case "forward":
		return forward(n)
	case "prior":
		return backward(1)
	case "backward":
		return backward(n)
	case "first":
		return one(1)
	case "last":
		if err := c.need(ctx, far); err != nil {
			return err
		}
		return one(c.read)
	case "absolute":
		if n >= 0 {
			return one(n)
		}
		if err := c.need(ctx, far); err != nil {
			return err
		}
		return one(max(c.read+1+n, 0))
	case "relative":
		return one(c.pos + n)
	}
	return forward(1)
}

// Fetch implements Portal.
func (f *scrollFetch) Fetch(ctx context.Context, max int) (*vec.Batch, bool, error) {
	if !f.begun {
		if err := f.begin(ctx); err != nil {
			return nil, true, posErr(err, f.x.Pos)
		}
		f.begun = true
	}
	if f.x.Move {
		f.moved, f.left = f.left, 0
	}
	if f.left == 0 {
		return nil, true, nil
	}
	want := f.left
	if max > 0 {
		want = min(want, int64(max))
	}
	if f.step < 0 { // backward a row at a time: such fetches are short
		want = 1
	}
	b := f.cursor.piece(f.next-1, want)
	if b == nil {
		return nil, true, nil
	}
	f.left -= int64(b.N)
	f.next += f.step * int64(b.N)
	return b, f.left == 0, nil
}
