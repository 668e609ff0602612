package engine

import (
	"context"
	"strconv"
	"time"

	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/parser/ast"
	"streamsql/sql/planner"
)

// declare executes DECLARE. A cursor over a continuous query also works outside a transaction.
func (s *Session) declare(ctx context.Context, x *ast.Declare, q *planner.Query, args []types.Datum, text string) error {
	if !q.Continuous && !x.Hold && (s.tx == nil || !s.tx.explicit) {
		return pgerr.New(pgerr.NoActiveSQLTransaction, "DECLARE CURSOR can only be used in transaction blocks").
			WithHint("Use BEGIN, or WITH HOLD.").At(x.Pos)
	}
	var p Portal
	if q.Runs {
		p = s.runsPortal(q, queryColumns(q), args)
	} else {
		p = s.bindQuery(ctx, q, queryColumns(q), args)
	}
	if !q.Continuous && (x.Scroll == nil || *x.Scroll) {
		p = &scrollCursor{Portal: p, alloc: s.e.alloc, all: x.Scroll != nil}
	}
	if err := s.SetPortal(x.Name, p); err != nil {
		return posErr(err, x.Pos)
	}
	np := s.portals[x.Name]
	np.cursor, np.hold, np.text = true, x.Hold || q.Continuous && (s.tx == nil || !s.tx.explicit), text
	return nil
}

// fetchPortal gives the next rows of a cursor. A plain FETCH n blocks until there are n rows or the
// end: psql and others take fewer as the end.
type fetchPortal struct {
	cursor  Portal
	left    int64 // rows still to give, -1 all
	move    bool
	moved   int64
	timeout time.Duration // < 0: none
	until   time.Time
	done    bool
}

// newFetchPortal makes the portal of FETCH or MOVE.
func (s *Session) newFetchPortal(x *ast.Fetch) (Portal, error) {
	np := s.portals[x.Cursor]
	if np == nil {
		return nil, pgerr.New(pgerr.InvalidCursorName, "cursor \"%s\" does not exist", x.Cursor).At(x.Pos)
	}
	if np.failed {
		return nil, pgerr.New(pgerr.ObjectNotInPrerequisiteState, "portal \"%s\" cannot be run", x.Cursor)
	}
	p, err := s.fetchOf(np, x)
	if err != nil {
		return nil, err
	}
	return &cursorFetch{Portal: p, of: np}, nil
}

// cursorFetch is a FETCH that leaves a cursor that fails unusable.
type cursorFetch struct {
	Portal
	of *namedPortal
}

// Fetch implements Portal.
func (f *cursorFetch) Fetch(ctx context.Context, max int) (*vec.Batch, bool, error) {
	b, done, err := f.Portal.Fetch(ctx, max)
	if err != nil && pgerr.Code(err) != pgerr.QueryCanceled {
		f.of.failed = true
	}
	return b, done, err
}

func (s *Session) fetchOf(np *namedPortal, x *ast.Fetch) (Portal, error) {
	if c, ok := np.Portal.(*scrollCursor); ok && x.Timeout == "" {
		return &scrollFetch{cursor: c, x: x}, nil
	}
	f := &fetchPortal{cursor: np.Portal, move: x.Move, timeout: -1}
	switch x.Direction {
	case "", "next":
		f.left = 1
	case "forward":
		f.left = x.Count
	default:
		return nil, pgerr.New(pgerr.ObjectNotInPrerequisiteState, "cursor can only scan forward").
			WithHint("Declare it with SCROLL option to enable backward scan.").At(x.Pos)
	}
	if f.left < -1 {
		return nil, pgerr.New(pgerr.ObjectNotInPrerequisiteState, "cursor can only scan forward").At(x.Pos)
	}
	if x.Timeout != "" {
		span, err := types.ParseText(&s.vars.env, types.Interval, x.Timeout)
		if err != nil {
			return nil, posErr(err, x.Pos)
		}
		sp := types.SpanOf(span.([16]byte))
		us := sp.Micros + (int64(sp.Days)+30*int64(sp.Months))*86_400_000_000
		f.timeout = time.Duration(us) * time.Microsecond
	}
	return f, nil
}

func (f *fetchPortal) Columns() []Column {
	if f.move {
		return nil
	}
	return f.cursor.Columns()
}
func (f *fetchPortal) CopyOut() *CopyFormat { return nil }
func (f *fetchPortal) CopyIn() *CopyIn      { return nil }
func (f *fetchPortal) Continuous() bool     { return f.cursor.Continuous() }
func (f *fetchPortal) Close()               {}

func (f *fetchPortal) Tag(rows int64) string {
	if f.move {
		return "MOVE " + strconv.FormatInt(f.moved, 10)
	}
	return "FETCH " + strconv.FormatInt(rows, 10)
}

// Fetch implements Portal.
func (f *fetchPortal) Fetch(ctx context.Context, max int) (*vec.Batch, bool, error) {
	if f.until.IsZero() && f.timeout >= 0 {
		f.until = time.Now().Add(f.timeout)
	}
	for !f.done && f.left != 0 {
		n := max
		if f.move {
			n = 0
		}
		if f.left > 0 && (n == 0 || int64(n) > f.left) {
			n = int(min(f.left, 1<<30))
		}
		fctx, cancel := ctx, context.CancelFunc(func() {})
		if f.timeout >= 0 {
			fctx, cancel = context.WithDeadline(context.WithValue(ctx, resumable{}, true), f.until)
		}
		b, done, err := f.cursor.Fetch(fctx, n)
		cancel()
		if err != nil {
			if f.timeout >= 0 && ctx.Err() == nil && pgerr.Code(err) == pgerr.QueryCanceled {
				f.done = true
				break
			}
			return nil, true, err
		}
		f.done = done
		if b == nil {
			continue
		}
		if f.left > 0 {
			f.left -= int64(b.N)
		}
		if f.move {
			f.moved += int64(b.N)
			b.Release()
			continue
		}
		return b, f.done || f.left == 0, nil
	}
	return nil, true, nil
}

// closeCursor executes CLOSE.
func (s *Session) closeCursor(x *ast.CloseCursor) (string, error) {
	if x.Name == "" {
		for name, p := range s.portals {
			if p.cursor {
				s.dropPortal(name)
			}
		}
		return "CLOSE CURSOR ALL", nil
	}
	if s.portals[x.Name] == nil {
		return "", pgerr.New(pgerr.InvalidCursorName, "cursor \"%s\" does not exist", x.Name)
	}
	s.dropPortal(x.Name)
	return "CLOSE CURSOR", nil
}
