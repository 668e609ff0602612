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
	if err := c.w.flush(); err != nil {
		in.Fail("the client has gone")
		return "", err
	}
	for {
		f, err := c.inbox.get(ctx)
		if err != nil {
			in.Fail("the connection was lost or the statement cancelled")
			var e *pgerr.Error
			if !errors.As(err, &e) {
				err = errGone
			}
			return "", err
		}
		if f.bad != nil {
			in.Fail(f.bad.Message)
			return "", f.bad
		}
		switch f.typ {
		case 'd':
			if err := in.Write(f.body); err != nil {
				in.Fail(err.Error())
				return "", err
			}
		case 'c':
			tag, err := in.Finish(ctx)
			return tag, err
		case 'f':
			msg := string(f.body[:len(f.body)-1])
			in.Fail(msg)
			return "", pgerr.New(pgerr.QueryCanceled, "COPY from stdin failed: %s", msg)
		case 'H', 'S': // clients may send them at any time; they mean nothing during a copy
		default:
			in.Fail("protocol violation")
			return "", pgerr.New(pgerr.ProtocolViolation, "unexpected message type 0x%02X during COPY from stdin", f.typ)
		}
	}
}
