package wire

import (
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgproto3/v2"

	"streamsql/engine"
	"streamsql/internal/pgerr"
)

// The codes that stand in the place of the protocol version.
const (
	codeCancel = 80877102
	codeSSL    = 80877103
	codeGSS    = 80877104
	version3   = 3 << 16
)

// handle serves one socket from its first byte to its last. A panic costs this connection alone.
func (s *server) handle(ctx context.Context, nc net.Conn) {
	c := &conn{srv: s, nc: nc, raw: nc, ctx: ctx, w: writer{nc: nc, stall: s.opts.StallTimeout}}
	c.in = &guard{r: nc, max: s.opts.MaxMessage, room: s.room}
	defer c.recover()
	// A server that stops does not wait for the packets of clients that have not come in yet.
	stop := context.AfterFunc(ctx, func() { _ = nc.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	_ = nc.SetDeadline(time.Now().Add(s.opts.StartupTimeout)) // fails only on a closed socket
	msg, version, err := c.negotiate()
	if err != nil {
		var e *pgerr.Error
		if errors.As(err, &e) {
			c.w.sendError(e, "FATAL")
			_ = c.w.flush() // the client may be gone
		}
		return
	}
	if msg == nil { // a cancel request: nothing is said
		return
	}
	err = c.start(msg, version)
	if !stop() && err == nil {
		err = errShutdown
		s.dismiss(c)
	}
	_ = nc.SetDeadline(time.Time{})
	if err != nil {
		var e *pgerr.Error
		if ctx.Err() != nil {
			err = errShutdown
		} else if !errors.As(err, &e) {
			return // the client is gone
		}
		s.log.Info("connection refused", "from", nc.RemoteAddr(), "user", msg.Parameters["user"], "code", pgerr.Code(err), "err", err)
		c.w.buf = c.w.buf[:0]
		c.w.sendError(err, "FATAL")
		_ = c.w.flush()
		return
	}
	defer s.dismiss(c)
	c.serve()
}

// negotiate answers encryption requests until the startup message or a cancel
// request comes. Of a cancel request it gives no message.
func (c *conn) negotiate() (*pgproto3.StartupMessage, uint32, error) {
	for range 3 { // GSS encryption, TLS, then the startup
		body, err := c.in.startup()
		if err != nil {
			return nil, 0, err
		}
		switch code := binary.BigEndian.Uint32(body); code {
		case codeSSL, codeGSS:
			if code == codeSSL && c.srv.opts.Certificate != nil && !c.secure {
				if _, err := c.nc.Write([]byte{'S'}); err != nil {
					return nil, 0, err
				}
				if err := c.startTLS(); err != nil {
					return nil, 0, err
				}
				continue
			}
			if _, err := c.nc.Write([]byte{'N'}); err != nil {
				return nil, 0, err
			}
		case codeCancel:
			if len(body) == 12 {
				c.srv.cancel(binary.BigEndian.Uint32(body[4:]), binary.BigEndian.Uint32(body[8:]))
			}
			return nil, 0, nil
		default:
			if code>>16 != 3 {
				return nil, 0, pgerr.New(pgerr.FeatureNotSupported, "unsupported frontend protocol %d.%d: server supports 3.0 to 3.0", code>>16, code&0xffff)
			}
			m, err := decodeStartup(body)
			return m, code, err
		}
	}
	return nil, 0, pgerr.New(pgerr.ProtocolViolation, "expected a startup packet")
}

func decodeStartup(body []byte) (*pgproto3.StartupMessage, error) {
	invalid := pgerr.New(pgerr.ProtocolViolation, "invalid startup packet layout: expected terminator as last byte")
	if len(body) < 5 || body[len(body)-1] != 0 {
		return nil, invalid
	}
	m := &pgproto3.StartupMessage{Parameters: map[string]string{}}
	if len(body) > 5 {
		// pgproto3 knows only version 3.0; later minor versions lay out the packet the same way.
		b := append([]byte(nil), body...)
		binary.BigEndian.PutUint32(b, version3)
		if err := m.Decode(b); err != nil {
			return nil, invalid.WithCause(err)
		}
	}
	if m.Parameters["user"] == "" {
		return nil, pgerr.New(pgerr.InvalidAuthorization, "no PostgreSQL user name specified in startup packet")
	}
	return m, nil
}

// start makes the session and greets the client.
func (c *conn) start(m *pgproto3.StartupMessage, version uint32) error {
	user, database := m.Parameters["user"], m.Parameters["database"]
	if database == "" {
		database = user
	}
	settings := map[string]string{}
	var extensions []string
	for _, name := range slices.Sorted(maps.Keys(m.Parameters)) {
		value := m.Parameters[name]
		switch {
		case name == "user" || name == "database":
		case strings.HasPrefix(name, "_pq_."):
			extensions = append(extensions, name)
		case name == "replication":
			if v := strings.ToLower(value); v != "false" && v != "off" && v != "no" && v != "0" {
				return pgerr.New(pgerr.FeatureNotSupported, "replication connections are not supported").
					WithHint("Read changes with SELECT .. EMIT CHANGES or SUBSCRIBE.")
			}
		case name == "options":
			if err := commandLine(value, settings); err != nil {
				return err
			}
		case name == "client_encoding":
			settings[name] = strings.Trim(value, "'") // asyncpg quotes it
		default:
			settings[name] = value
		}
	}
	if version > version3 || len(extensions) > 0 {
		c.negotiateVersion(extensions)
	}
	if err := c.admitted(user, database); err != nil {
		if c.reserved {
			c.srv.dismiss(c)
		}
		return err
	}
	if !c.reserved {
		if err := c.srv.reserve(true); err != nil {
			return err
		}
	}
	sess, err := c.srv.backend.NewSession(engine.SessionOptions{
		User: user, Database: database, Settings: settings, RemoteAddr: c.nc.RemoteAddr().String(),
	})
	if err == nil {
		c.sess = sess
		err = c.srv.admit(c)
	}
	if err != nil {
		c.srv.dismiss(c)
		return err
	}
	c.w.send(&pgproto3.AuthenticationOk{})
	c.sess.ParameterChanges() // all are told here
	c.parameters(c.sess.ReportedParameters())
	c.w.send(&pgproto3.BackendKeyData{ProcessID: c.pid, SecretKey: c.key})
	return nil
}

// negotiateVersion appends NegotiateProtocolVersion, which pgproto3/v2 does not have: 3.0 is
// spoken, and the named protocol extensions are not.
func (c *conn) negotiateVersion(extensions []string) {
	n := 4 + 4 + 4
	for _, e := range extensions {
		n += len(e) + 1
	}
	b := append(c.w.buf, 'v')
	b = binary.BigEndian.AppendUint32(b, uint32(n))
	b = binary.BigEndian.AppendUint32(b, version3)
	b = binary.BigEndian.AppendUint32(b, uint32(len(extensions)))
	for _, e := range extensions {
		b = append(append(b, e...), 0)
	}
	c.w.buf = b
}

// commandLine reads the settings of the startup parameter "options": -c name=value and --name=value,
// separated by spaces, a backslash keeping the character after it.
func commandLine(s string, settings map[string]string) error {
	var words []string
	var word []byte
	some := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			word, some = append(word, s[i]), true
		case s[i] == ' ' || s[i] == '\t' || s[i] == '\n':
			if some {
				words = append(words, string(word))
			}
			word, some = word[:0], false
		default:
			word, some = append(word, s[i]), true
		}
	}
	if some {
		words = append(words, string(word))
	}
	for i := 0; i < len(words); i++ {
		w := words[i]
		switch {
		case w == "-c" && i+1 < len(words):
			i++
			w = words[i]
		case strings.HasPrefix(w, "-c"):
			w = w[2:]
		case strings.HasPrefix(w, "--"):
			w = w[2:]
		default:
			return pgerr.New(pgerr.InvalidParameterValue, "invalid command-line argument for server process: %s", w)
		}
		name, value, ok := strings.Cut(w, "=")
		if !ok {
			return pgerr.New(pgerr.SyntaxError, "-c %s requires a value", w)
		}
		settings[strings.ReplaceAll(name, "-", "_")] = value
	}
	return nil
}
