package wire

import (
	"context"
	"time"

	"github.com/jackc/pgproto3/v2"

	"streamsql/engine"
	"streamsql/internal/types"
)

// slowFetch is how long a Fetch may take before the rows that wait for more company are sent all the same.
const slowFetch = 5 * time.Millisecond

// query runs the statements of a simple query.
func (c *conn) query(sql string) error {
	c.dropPortal("") // as PostgreSQL does
	err := checkText(sql)
	var stmts []engine.Parsed
	if err == nil {
		stmts, err = c.sess.Parse(sql)
	}
	if err != nil {
		return c.endQuery(err)
	}
	if len(stmts) == 0 {
		c.w.send(&pgproto3.EmptyQueryResponse{})
	}
	for i, p := range stmts {
		if len(stmts) > 1 { // also after a COMMIT among them
			c.sess.BeginImplicit()
		}
		c.deadline = time.Time{} // statement_timeout counts for each of them
		if err := c.statement(p, i == len(stmts)-1); err != nil {
			return c.endQuery(err)
		}
	}
	return c.ready()
}

// endQuery rolls the implicit transaction back and hands err on.
func (c *conn) endQuery(err error) error {
	if e := c.sess.EndImplicit(c.ctx, err); e != nil {
		c.srv.log.Warn("rollback failed", "pid", c.pid, "err", e)
	}
	return err
}

// statement runs one statement of a simple query. The last one commits what the
// string did before its tag is sent: success is claimed only where it is true.
func (c *conn) statement(p engine.Parsed, last bool) error {
	ctx, end := c.begin()
	defer end()
	tag, err := c.runParsed(ctx, p)
	if err == nil && last {
		err = c.sess.EndImplicit(ctx, nil)
	}
	c.notices()
	if err != nil {
		return cancelled(ctx, err)
	}
	c.w.send(&pgproto3.CommandComplete{CommandTag: []byte(tag)})
	return c.w.maybeFlush()
}

func (c *conn) runParsed(ctx context.Context, p engine.Parsed) (tag string, err error) {
	st, err := c.sess.Prepare(ctx, p, nil)
	if err != nil {
		return "", err
	}
	portal, err := c.sess.Bind(ctx, st, nil)
	if err != nil {
		return "", err
	}
	defer portal.Close()
	if cols := portal.Columns(); cols != nil && portal.CopyOut() == nil {
		c.notices()
		c.w.send(rowDescription(cols, nil))
	}
	tag, _, err = c.run(ctx, portal, nil, 0)
	return tag, err
}

// run takes the rows of a portal to the client, at most max of them (0: all).
// Unless it was suspended, which means that max rows were sent, the portal is done and has a tag.
func (c *conn) run(ctx context.Context, p engine.Portal, formats []int16, max int64) (tag string, suspended bool, err error) {
	if in := c.sess.CopyIn(p); in != nil {
		tag, err = c.copyIn(ctx, in)
		return tag, false, err
	}
	if f := p.CopyOut(); f != nil {
		tag, err = c.copyOut(ctx, p, f)
		return tag, false, err
	}
	if cols := p.Columns(); cols != nil {
		c.enc.rows(cols, formats, c.sess.Env())
	}
	n, done, err := c.stream(ctx, p, max)
	if err != nil {
		return "", false, err
	}
	if !done || max > 0 && n == max {
		return "", true, nil
	}
	return p.Tag(n), false, nil
}

// stream fetches batches and sends them as c.enc says until the portal is done or
// max rows (0: no limit) were sent.
func (c *conn) stream(ctx context.Context, p engine.Portal, max int64) (n int64, done bool, err error) {
	live := p.Continuous()
	if live { // nobody knows when the first row comes
		if err := c.w.flush(); err != nil {
			return 0, false, err
		}
	}
	for !done && (max == 0 || n < max) {
		if err := ctx.Err(); err != nil {
			return n, false, context.Cause(ctx)
		}
		want := 0
		if max > 0 {
			want = int(min(max-n, 1<<30))
		}
		start := time.Now()
		b, end, err := p.Fetch(ctx, want)
		done = end
		if b != nil {
			n += int64(b.N)
			if err == nil {
				err = c.enc.send(&c.w, b)
			}
			b.Release()
		}
		c.notices()
		if err != nil {
			return n, done, err
		}
		if live || time.Since(start) > slowFetch {
			if err := c.w.flush(); err != nil {
				return n, done, err
			}
		}
	}
	return n, done, nil
}

// rowDescription describes columns; formats is as in Bind, nil for text.
func rowDescription(cols []engine.Column, formats []int16) *pgproto3.RowDescription {
	m := &pgproto3.RowDescription{Fields: make([]pgproto3.FieldDescription, len(cols))}
	for i, c := range cols {
		m.Fields[i] = pgproto3.FieldDescription{
			Name: []byte(c.Name), TableOID: c.Table, TableAttributeNumber: uint16(c.Attr), DataTypeOID: c.Type.OID,
			DataTypeSize: typeLen(c.Type), TypeModifier: c.Type.Mod, Format: formatOf(formats, i),
		}
	}
	return m
}

// typeLen gives pg_type.typlen.
func typeLen(t types.T) int16 {
	if in := types.InfoOf(t); in != nil {
		return in.Len
	}
	return -1
}

// formatOf gives the format code of column or parameter i: none given is text, one is for all.
func formatOf(formats []int16, i int) int16 {
	switch {
	case len(formats) == 0:
		return 0
	case len(formats) == 1:
		return formats[0]
	}
	return formats[i]
}
