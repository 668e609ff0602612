package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"streamsql/engine"
	"streamsql/internal/pgerr"
	"streamsql/wire"
)

// errInterrupted is what Ctrl-C does to a statement.
var errInterrupted = pgerr.New(pgerr.QueryCanceled, "canceling statement due to user request")

// shell runs statements in a session of an embedded engine and prints what they give.
type shell struct {
	engine   *engine.Engine
	session  *engine.Session
	io       streams
	format   string // of results: table, csv or json
	expanded bool
	timing   bool
	// copyLine gives the next line of data for COPY FROM STDIN, false at the end; nil where there is none.
	copyLine func() (string, bool)
}

func newShell(e *engine.Engine, io streams, format string) (*shell, error) {
	s, err := e.NewSession(engine.SessionOptions{Settings: map[string]string{"application_name": "streamsql"}})
	if err != nil {
		return nil, err
	}
	return &shell{engine: e, session: s, io: io, format: format}, nil
}

func (s *shell) close() { s.session.Close() }

// run runs the statements in sql, in general one, and reports whether all succeeded.
// Errors are printed; where says where sql is from, "" if the user typed it.
func (s *shell) run(ctx context.Context, sql, where string) bool {
	start := time.Now()
	stmts, err := s.session.Parse(sql)
	for _, p := range stmts {
		if err != nil {
			break
		}
		err = s.statement(ctx, p)
		s.notices(where, sql)
	}
	if err != nil {
		if cause := context.Cause(ctx); cause != nil && (errors.Is(err, context.Canceled) || pgerr.Code(err) == pgerr.QueryCanceled) {
			err = cause
			if isTerminal(s.io.in) { // which shows ^C
				fmt.Fprintln(s.io.err)
			}
		}
		if e := s.session.EndImplicit(context.WithoutCancel(ctx), err); e != nil {
			printError(s.io.err, where, sql, e)
		}
		s.notices(where, sql)
		printError(s.io.err, where, sql, err)
	}
	if s.timing {
		fmt.Fprintf(s.io.out, "Time: %.3f ms\n", float64(time.Since(start).Microseconds())/1000)
	}
	return err == nil
}

func (s *shell) notices(where, sql string) {
	for _, n := range s.session.Notices() {
		printNotice(s.io.err, where, sql, n)
	}
}

// statement runs one statement to its end and prints its result.
func (s *shell) statement(ctx context.Context, p engine.Parsed) error {
	st, err := s.session.Prepare(ctx, p, nil)
	if err != nil {
		return err
	}
	portal, err := s.session.Bind(ctx, st, nil)
	if err != nil {
		return err
	}
	defer portal.Close()
	switch {
	case portal.CopyIn() != nil:
		return s.copyIn(ctx, portal.CopyIn())
	case portal.CopyOut() != nil:
		return s.copyOut(ctx, portal)
	}
	live := portal.Continuous()
	out := newRenderer(s.format, s.io.out, live, s.expanded)
	cols := portal.Columns()
	if cols != nil {
		out.begin(cols, s.session.Env())
	}
	var n int64
	for done := false; !done; {
		b, end, err := portal.Fetch(ctx, 0)
		done = end
		if b != nil {
			n += int64(b.N)
			if cols != nil && err == nil {
				out.rows(b)
			}
			b.Release()
		}
		if err == nil && ctx.Err() != nil && !done {
			err = context.Cause(ctx)
		}
		if live || err != nil {
			if e := out.flush(); err == nil {
				err = e
			}
		}
		if err != nil {
			return err
		}
	}
	if err := s.session.EndImplicit(ctx, nil); err != nil {
		return err
	}
	out.end(n, portal.Tag(n))
	return out.flush()
}

// copyIn feeds lines to COPY FROM STDIN up to the end of data, \. on a line of its own.
func (s *shell) copyIn(ctx context.Context, c *engine.CopyIn) error {
	if s.copyLine == nil {
		return c.Fail("there is no data here")
	}
	for ctx.Err() == nil {
		line, ok := s.copyLine()
		if !ok || strings.TrimSuffix(line, "\r") == `\.` {
			break
		}
		if err := c.Write([]byte(line + "\n")); err != nil {
			_ = c.Fail(err.Error()) // err says it better
			return err
		}
	}
	if ctx.Err() != nil {
		_ = c.Fail("interrupted")
		return context.Cause(ctx)
	}
	tag, err := c.Finish(ctx)
	if err == nil {
		err = s.session.EndImplicit(ctx, nil)
	}
	if err != nil {
		return err
	}
	if s.format == "table" {
		fmt.Fprintln(s.io.out, tag)
	}
	return nil
}

// copyOut prints what COPY TO STDOUT sends.
func (s *shell) copyOut(ctx context.Context, portal engine.Portal) error {
	enc := wire.NewCopyEncoder(portal.Columns(), portal.CopyOut(), s.session.Env())
	buf := enc.Head(nil)
	for done := false; !done; {
		b, end, err := portal.Fetch(ctx, 0)
		done = end
		if b != nil {
			buf = enc.Rows(buf, b)
			b.Release()
		}
		if err == nil && ctx.Err() != nil && !done {
			err = context.Cause(ctx)
		}
		if err != nil {
			return err
		}
		if _, err := s.io.out.Write(buf); err != nil {
			return err
		}
		buf = buf[:0]
	}
	if _, err := s.io.out.Write(enc.Tail(buf)); err != nil {
		return err
	}
	return s.session.EndImplicit(ctx, nil)
}
