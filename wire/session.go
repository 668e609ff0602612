package wire

import (
	"context"

	"streamsql/engine"
	"streamsql/internal/types"
)

// session is what a connection needs of engine.Session, statement of
// engine.Statement and copyIn of engine.CopyIn. They are interfaces so that the
// protocol can be tested against a session that blocks, fails and panics at will.
type session interface {
	PID() int32
	Close()
	Notices() []*engine.Notice
	ParameterChanges() map[string]string
	ReportedParameters() map[string]string
	Setting(name string) (string, bool)
	Env() *types.Env
	TxStatus() byte
	Parse(sql string) ([]engine.Parsed, error)
	BeginImplicit()
	EndImplicit(ctx context.Context, err error) error
	Prepare(ctx context.Context, p engine.Parsed, paramTypes []types.T) (statement, error)
	SetStatement(name string, st statement) error
	Statement(name string) (statement, error)
	CloseStatement(name string)
	Bind(ctx context.Context, st statement, args []types.Datum) (engine.Portal, error)
	SetPortal(name string, p engine.Portal) error
	Portal(name string) (engine.Portal, error)
	ClosePortal(name string)
	CopyIn(p engine.Portal) copyIn // nil where p is no COPY FROM STDIN
}

// controlled is what a session may be as well: another one may cancel what it runs, or end it, and pg_stat_activity shows when it is idle.
type controlled interface {
	Control(cancel, terminate func())
	Idle()
}

type statement interface {
	Params() []types.T
	Columns() []engine.Column
}

type copyIn interface {
	Format() *engine.CopyFormat
	Columns() int
	Write(data []byte) error
	Finish(ctx context.Context) (tag string, err error)
	Fail(msg string) error
}

// backend makes sessions.
type backend interface {
	NewSession(o engine.SessionOptions) (session, error)
}

type engineBackend struct{ e *engine.Engine }

func (b engineBackend) NewSession(o engine.SessionOptions) (session, error) {
	s, err := b.e.NewSession(o)
	if err != nil {
		return nil, err
	}
	return engineSession{s}, nil
}

// engineSession is an engine.Session with its concrete types behind the interfaces above.
type engineSession struct{ *engine.Session }

func (s engineSession) Prepare(ctx context.Context, p engine.Parsed, paramTypes []types.T) (statement, error) {
	st, err := s.Session.Prepare(ctx, p, paramTypes)
	if err != nil {
		return nil, err
	}
	return st, nil
}

func (s engineSession) SetStatement(name string, st statement) error {
	return s.Session.SetStatement(name, st.(*engine.Statement))
}

func (s engineSession) Statement(name string) (statement, error) {
	st, err := s.Session.Statement(name)
	if err != nil {
		return nil, err
	}
	return st, nil
}

func (s engineSession) Bind(ctx context.Context, st statement, args []types.Datum) (engine.Portal, error) {
	return s.Session.Bind(ctx, st.(*engine.Statement), args)
}

func (s engineSession) CopyIn(p engine.Portal) copyIn {
	if c := p.CopyIn(); c != nil {
		return c
	}
	return nil
}
