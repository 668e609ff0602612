package wire

import (
	"context"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgproto3/v2"

	"streamsql/engine"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// parse prepares a statement.
func (c *conn) parse(ctx context.Context, m *pgproto3.Parse) error {
	if err := checkText(m.Query); err != nil {
		return err
	}
	stmts, err := c.sess.Parse(m.Query)
	if err != nil {
		return err
	}
	if len(stmts) > 1 {
		return pgerr.New(pgerr.SyntaxError, "cannot insert multiple commands into a prepared statement")
	}
	if m.Name == "" {
		c.sess.CloseStatement("")
	}
	if len(stmts) == 0 {
		if _, err := c.sess.Statement(m.Name); m.Name != "" && (err == nil || c.empty[m.Name]) {
			return pgerr.New(pgerr.DuplicatePreparedStatement, "prepared statement \"%s\" already exists", m.Name)
		}
		c.empty[m.Name] = true
	} else {
		if m.Name != "" && c.empty[m.Name] {
			return pgerr.New(pgerr.DuplicatePreparedStatement, "prepared statement \"%s\" already exists", m.Name)
		}
		params := make([]types.T, len(m.ParameterOIDs))
		for i, oid := range m.ParameterOIDs {
			if oid != 0 && types.InfoOf(types.Of(oid)) == nil {
				return pgerr.New(pgerr.UndefinedObject, "type with OID %d does not exist", oid)
			}
			if oid != 0 && oid != types.OIDUnknown {
				params[i] = types.Of(oid)
			}
		}
		st, err := c.sess.Prepare(ctx, stmts[0], params)
		c.notices()
		if err != nil {
			return err
		}
		if err := c.sess.SetStatement(m.Name, st); err != nil {
			return err
		}
		delete(c.empty, m.Name)
	}
	c.w.send(&pgproto3.ParseComplete{})
	return nil
}

// bind makes a portal of a statement and its parameters.
func (c *conn) bind(ctx context.Context, m *pgproto3.Bind) error {
	for _, f := range append(m.ParameterFormatCodes, m.ResultFormatCodes...) {
		if f != 0 && f != 1 {
			return pgerr.New(pgerr.InvalidParameterValue, "unsupported format code: %d", f)
		}
	}
	if m.DestinationPortal == "" {
		c.dropPortal("")
	}
	var portal engine.Portal
	if c.empty[m.PreparedStatement] {
		if len(m.Parameters) > 0 {
			return wrongParameters(m, 0)
		}
		portal = &emptyPortal{}
	} else {
		st, err := c.sess.Statement(m.PreparedStatement)
		if err != nil {
			return err
		}
		args, err := c.arguments(m, st.Params())
		if err != nil {
			return err
		}
		if n := len(st.Columns()); len(m.ResultFormatCodes) > 1 && len(m.ResultFormatCodes) != n {
			return pgerr.New(pgerr.ProtocolViolation, "bind message has %d result formats but query has %d columns", len(m.ResultFormatCodes), n)
		}
		portal, err = c.sess.Bind(ctx, st, args)
		c.notices()
		if err != nil {
			return err
		}
	}
	if err := c.sess.SetPortal(m.DestinationPortal, portal); err != nil {
		portal.Close()
		return err
	}
	c.portals[m.DestinationPortal] = &boundPortal{portal: portal, formats: m.ResultFormatCodes, owned: true}
	c.w.send(&pgproto3.BindComplete{})
	return nil
}

func wrongParameters(m *pgproto3.Bind, want int) error {
	return pgerr.New(pgerr.ProtocolViolation, "bind message supplies %d parameters, but prepared statement \"%s\" requires %d",
		len(m.Parameters), m.PreparedStatement, want)
}

// arguments decodes the parameters of a Bind.
func (c *conn) arguments(m *pgproto3.Bind, ts []types.T) ([]types.Datum, error) {
	if len(m.Parameters) != len(ts) {
		return nil, wrongParameters(m, len(ts))
	}
	args := make([]types.Datum, len(ts))
	for i, p := range m.Parameters {
		if p == nil {
			continue
		}
		d, err := c.argument(ts[i], p, formatOf(m.ParameterFormatCodes, i))
		if err != nil {
			e := *pgerr.From(err)
			if e.Where == "" {
				e.Where = "portal parameter $" + string(types.AppendInt(nil, int64(i+1)))
				if m.DestinationPortal == "" {
					e.Where = "unnamed " + e.Where
				}
			}
			return nil, &e
		}
		args[i] = d
	}
	return args, nil
}

func (c *conn) argument(t types.T, b []byte, format int16) (types.Datum, error) {
	if format == 1 {
		return types.DecodeBinary(t, b)
	}
	s := string(b)
	if strings.IndexByte(s, 0) >= 0 {
		return nil, pgerr.New(pgerr.CharacterNotInRepertoire, "invalid byte sequence for encoding \"UTF8\": 0x00")
	}
	if !utf8.ValidString(s) {
		return nil, checkText(s)
	}
	return types.ParseText(c.sess.Env(), t, s)
}

// lookup finds a portal by name: one made by Bind or a cursor made by DECLARE; they share one namespace.
func (c *conn) lookup(name string) (*boundPortal, error) {
	p, err := c.sess.Portal(name)
	if err != nil {
		delete(c.portals, name)
		return nil, err
	}
	b := c.portals[name]
	if b == nil || b.portal != p {
		b = &boundPortal{portal: p}
		c.portals[name] = b
	}
	return b, nil
}

// describe tells the parameters and columns of a statement, or the columns of a portal.
func (c *conn) describe(m *pgproto3.Describe) error {
	if m.ObjectType == 'P' {
		b, err := c.lookup(m.Name)
		if err != nil {
			return err
		}
		var cols []engine.Column
		if b.portal.CopyOut() == nil {
			cols = b.portal.Columns()
		}
		c.describeColumns(cols, b.formats)
		return nil
	}
	if c.empty[m.Name] {
		c.w.send(&pgproto3.ParameterDescription{})
		c.w.send(&pgproto3.NoData{})
		return nil
	}
	st, err := c.sess.Statement(m.Name)
	if err != nil {
		return err
	}
	params := st.Params()
	oids := make([]uint32, len(params))
	for i, t := range params {
		oids[i] = t.OID
	}
	c.w.send(&pgproto3.ParameterDescription{ParameterOIDs: oids})
	c.describeColumns(st.Columns(), nil)
	return nil
}

func (c *conn) describeColumns(cols []engine.Column, formats []int16) {
	if cols == nil {
		c.w.send(&pgproto3.NoData{})
		return
	}
	c.w.send(rowDescription(cols, formats))
}

// execute runs a portal to its end or until max rows were sent.
func (c *conn) execute(ctx context.Context, m *pgproto3.Execute) error {
	b, err := c.lookup(m.Portal)
	if err != nil {
		return err
	}
	if _, ok := b.portal.(*emptyPortal); ok {
		c.w.send(&pgproto3.EmptyQueryResponse{})
		return nil
	}
	if b.done {
		if b.portal.Columns() == nil || b.portal.CopyOut() != nil {
			return pgerr.New(pgerr.ObjectNotInPrerequisiteState, "portal \"%s\" cannot be run", m.Portal)
		}
		c.w.send(&pgproto3.CommandComplete{CommandTag: []byte(b.portal.Tag(0))})
		return nil
	}
	max := int64(m.MaxRows)
	if int32(m.MaxRows) < 0 || b.portal.Columns() == nil {
		max = 0 // as PostgreSQL reads it; a statement without rows always runs to its end
	}
	c.sess.BeginImplicit()
	tag, suspended, err := c.run(ctx, b.portal, b.formats, max)
	c.notices()
	if err != nil {
		return err
	}
	c.deadline = time.Time{}
	if suspended {
		c.w.send(&pgproto3.PortalSuspended{})
		return nil
	}
	b.done = true
	c.w.send(&pgproto3.CommandComplete{CommandTag: []byte(tag)})
	return nil
}

// close forgets a statement or portal; an unknown name is no error.
func (c *conn) close(m *pgproto3.Close) error {
	if m.ObjectType == 'S' {
		delete(c.empty, m.Name)
		c.sess.CloseStatement(m.Name)
	} else {
		delete(c.portals, m.Name)
		c.sess.ClosePortal(m.Name)
	}
	c.w.send(&pgproto3.CloseComplete{})
	return nil
}

// sync ends an extended command cycle: the implicit transaction commits, or rolls back after an error.
func (c *conn) sync() error {
	failed := c.failed
	c.failed = nil
	ctx, end := c.begin()
	err := cancelled(ctx, c.sess.EndImplicit(ctx, failed))
	end()
	if err != nil {
		if fatal(err) {
			return err
		}
		c.notices()
		c.w.sendError(err, "")
	}
	return c.ready()
}

// emptyPortal is what Bind makes of a statement without text.
type emptyPortal struct{ _ byte } // not of size zero: portals are told apart by their address

func (*emptyPortal) Columns() []engine.Column    { return nil }
func (*emptyPortal) Tag(int64) string            { return "" }
func (*emptyPortal) CopyOut() *engine.CopyFormat { return nil }
func (*emptyPortal) CopyIn() *engine.CopyIn      { return nil }
func (*emptyPortal) Continuous() bool            { return false }
func (*emptyPortal) Close()                      {}
func (*emptyPortal) Fetch(context.Context, int) (*vec.Batch, bool, error) {
	return nil, true, nil
}
