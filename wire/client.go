package wire

import (
	"bufio"
	"context"
	"net"
	"time"

	"github.com/jackc/pgproto3/v2"

	"streamsql/internal/pgerr"
)

// dialTimeout is how long a server may take to accept a connection.
const dialTimeout = 10 * time.Second

// Exec asks a server, which listens on the address addr ("host:port"), to run statements whose results nobody wants. An error is that of the
// first that failed, as the server words it, or 08001 if there is no server. When ctx is done the connection is closed, which ends the statement.
func Exec(ctx context.Context, addr, application, sql string) error {
	d := net.Dialer{Timeout: dialTimeout}
	nc, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return pgerr.New("08001", "could not connect to the server: %v", err).
			WithHint("Is it running, and does it listen there? --connect names its address.")
	}
	defer nc.Close()
	stop := context.AfterFunc(ctx, func() { nc.Close() })
	defer stop()
	f := pgproto3.NewFrontend(pgproto3.NewChunkReader(bufio.NewReader(nc)), nc)
	err = f.Send(&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersionNumber,
		Parameters: map[string]string{"user": "streamsql", "database": "streamsql", "application_name": application}})
	if err == nil {
		err = ready(f)
	}
	if err == nil {
		err = f.Send(&pgproto3.Query{String: sql})
	}
	if err == nil {
		err = ready(f)
	}
	if err == nil {
		_ = f.Send(&pgproto3.Terminate{}) // or it sees that the connection is closed
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if e, ok := err.(*pgerr.Error); ok {
		return e
	}
	return pgerr.New("08006", "the connection to the server was lost: %v", err)
}

// ready reads until the server waits for a statement, and gives the first error that it told of.
func ready(f *pgproto3.Frontend) (failed error) {
	for {
		m, err := f.Receive()
		if err != nil {
			if failed != nil { // FATAL
				return failed
			}
			return err
		}
		switch m := m.(type) {
		case *pgproto3.ErrorResponse:
			if failed == nil {
				e := pgerr.New(m.Code, "%s", m.Message)
				e.Detail, e.Hint, e.Severity = m.Detail, m.Hint, m.Severity
				failed = e
			}
		case *pgproto3.AuthenticationOk:
		case pgproto3.AuthenticationResponseMessage:
			return pgerr.New("28000", "the server asks for a password, which this command cannot give")
		case *pgproto3.ReadyForQuery:
			return failed
		}
	}
}
