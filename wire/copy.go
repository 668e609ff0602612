package wire

import (
	"context"
	"errors"

	"github.com/jackc/pgproto3/v2"

	"streamsql/engine"
	"streamsql/internal/pgerr"
)

// copyFormats gives the overall format code and those of n columns.
func copyFormats(f *engine.CopyFormat, n int) (byte, []uint16) {
	formats := make([]uint16, n)
	if f.Format != "binary" {
		return 0, formats
	}
	for i := range formats {
		formats[i] = 1
	}
	return 1, formats
}

// copyOut sends a portal's rows as COPY data.
func (c *conn) copyOut(ctx context.Context, p engine.Portal, f *engine.CopyFormat) (tag string, err error) {
	cols := p.Columns()
	overall, formats := copyFormats(f, len(cols))
	c.w.send(&pgproto3.CopyOutResponse{OverallFormat: overall, ColumnFormatCodes: formats})
	c.enc.copy(cols, f, c.sess.Env())
	c.w.buf = c.enc.copyHead(c.w.buf)
	n, _, err := c.stream(ctx, p, 0)
	if err != nil {
		return "", err
	}
	c.w.buf = c.enc.copyTail(c.w.buf)
	c.w.send(&pgproto3.CopyDone{})
	return p.Tag(n), nil
}

// copyIn feeds what the client sends into a COPY FROM STDIN.
func (c *conn) copyIn(ctx context.Context, in copyIn) (tag string, err error) {
	overall, formats := copyFormats(in.Format(), in.Columns())
	c.w.send(&pgproto3.CopyInResponse{OverallFormat: overall, ColumnFormatCodes: formats})
	drop := func(err error) (string, error) {
		_ = in.Fail(err.Error()) // err is the reason that the client is told
		return "", err
	}
	if err := c.w.flush(); err != nil {
		return drop(err)
	}
	for {
		f, err := c.inbox.get(ctx)
		if err != nil {
			var e *pgerr.Error
			if !errors.As(err, &e) {
				err = errGone
			}
			return drop(err)
		}
		if f.bad != nil {
			return drop(f.bad)
		}
		switch f.typ {
		case 'd':
			if err := in.Write(f.body); err != nil {
				return drop(err)
			}
		case 'c':
			return in.Finish(ctx)
		case 'f':
			return "", in.Fail(string(f.body[:len(f.body)-1]))
		case 'H', 'S': // clients may send them at any time; they mean nothing during a copy
		default:
			return drop(pgerr.New(pgerr.ProtocolViolation, "unexpected message type 0x%02X during COPY from stdin", f.typ))
		}
	}
}
