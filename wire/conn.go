package wire

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"runtime/debug"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgproto3/v2"

	"streamsql/engine"
	"streamsql/internal/pgerr"
)

// conn is one client. Its goroutine handles messages one after another; a second
// goroutine reads ahead, so that a client's going away is noticed while a statement runs.
type conn struct {
	srv  *server
	nc   net.Conn
	ctx  context.Context // done with the connection
	in   *guard
	w    writer
	sess session
	pid  uint32
	key  uint32
	// raw is the socket, which nc encrypts where secure is true; binding is the certificate's data of channel binding.
	raw      net.Conn
	secure   bool
	binding  []byte
	reserved bool // a place has been taken among the sessions
	idle     bool // the client has been told that it may send a command

	inbox  *inbox
	source frameSource
	decode *pgproto3.Backend
	enc    encoder

	mu         sync.Mutex
	running    context.CancelCauseFunc // of the statement at work, nil between statements
	stop       context.CancelCauseFunc // of the connection, nil before it is served
	terminated bool

	// portals holds what the protocol adds to a portal of the session: its result formats.
	portals map[string]*boundPortal
	// empty names the prepared statements that were parsed from an empty string.
	empty map[string]bool
	// failed is the first error since the last Sync: until then messages are skipped.
	failed error
	// deadline is when statement_timeout ends what runs, counted from the first
	// message of a command to its Execute or Sync.
	deadline time.Time
}

// boundPortal is a portal made by Bind, or a SQL cursor that Execute or Describe named.
type boundPortal struct {
	portal  engine.Portal
	formats []int16
	owned   bool // made by Bind: it ends with the transaction
	done    bool
}

// serve runs the connection until its end. The session is there and the greeting is in the buffer.
func (c *conn) serve() {
	ctx, cancel := context.WithCancelCause(c.ctx)
	c.ctx = ctx
	c.mu.Lock()
	c.stop = cancel
	if c.terminated {
		cancel(errShutdown)
	}
	c.mu.Unlock()
	c.inbox = newInbox(readAhead)
	c.decode = pgproto3.NewBackend(&c.source, nil)
	c.portals, c.empty = map[string]*boundPortal{}, map[string]bool{}
	c.in.r = bufio.NewReaderSize(c.nc, 16<<10)
	var reader sync.WaitGroup
	reader.Add(1)
	go func() {
		defer reader.Done()
		c.read(cancel)
	}()
	defer reader.Wait()
	defer func() {
		cancel(errGone)
		_ = c.nc.Close() // ends the reader
	}()
	defer c.recover() // before the socket is closed: the client is told
	if err := c.ready(); err != nil {
		return
	}
	for {
		f, err := c.await(ctx)
		if err == nil {
			c.idle = false
			err = c.handle(f)
		}
		if err != nil {
			c.end(err)
			return
		}
	}
}

// await gives the client's next message. Between commands the session may be idle only for so long as its settings say.
func (c *conn) await(ctx context.Context) (frame, error) {
	if c.idle {
		name, cause := "idle_session_timeout", errIdle
		if c.sess.TxStatus() != 'I' {
			name, cause = "idle_in_transaction_session_timeout", errIdleInTransaction
		}
		if v, _ := c.sess.Setting(name); v != "" && v != "0" {
			if d := parseTimeout(v); d > 0 {
				limited, cancel := context.WithTimeoutCause(ctx, d, cause)
				defer cancel()
				f, err := c.inbox.get(limited)
				if err != nil && limited.Err() != nil {
					err = context.Cause(limited)
				}
				return f, err
			}
		}
	}
	return c.inbox.get(ctx)
}

// errTerminate is the client's wish to end.
var errTerminate = errors.New("terminate")

// end tells the client why the connection ends, where there is something to tell.
func (c *conn) end(err error) {
	var e *pgerr.Error
	if !errors.As(err, &e) {
		return
	}
	if c.w.err == nil {
		c.w.sendError(e, "FATAL")
		_ = c.w.flush()
	}
	c.srv.log.Warn("connection ended", "pid", c.pid, "code", e.Code, "err", e.Message, "detail", e.Detail)
}

// read fills the inbox until the client's side ends.
func (c *conn) read(cancel context.CancelCauseFunc) {
	for {
		f, err := c.in.next()
		if err != nil {
			c.inbox.end(err)
			var violation *pgerr.Error
			if !errors.As(err, &violation) {
				c.lost(cancel)
			}
			return
		}
		if c.inbox.put(f) {
			continue
		}
		if !c.awaitRoom() {
			c.inbox.end(errGone)
			c.lost(cancel)
			return
		}
	}
}

// awaitRoom waits until the inbox takes more. While nothing is read, the socket
// is asked now and then whether its peer is still there; false says that it is not.
func (c *conn) awaitRoom() bool {
	tick := time.NewTicker(goneGrace / 2)
	defer tick.Stop()
	for c.inbox.full() {
		select {
		case <-c.inbox.room:
		case <-tick.C:
			if hungUp(c.raw) {
				return false
			}
		case <-c.ctx.Done():
			return true
		}
	}
	return true
}

// lost ends what runs for a client that has gone, a moment later: what it sent
// last, and did not wait for, may come to its end.
func (c *conn) lost(cancel context.CancelCauseFunc) {
	t := time.NewTimer(goneGrace)
	defer t.Stop()
	select {
	case <-t.C:
		cancel(errGone)
		c.w.abandon()
	case <-c.ctx.Done():
	}
}

// recover ends the connection after a panic, which must not cost any other.
func (c *conn) recover() {
	r := recover()
	if r == nil {
		return
	}
	c.srv.log.Error("panic", "pid", c.pid, "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
	e := pgerr.New(pgerr.InternalError, "internal error: %v", r).
		WithHint("This is a bug in streamsql; the server's log has the details. Other connections are not affected.")
	c.w.buf = c.w.buf[:0] // may end in half a message
	c.w.sendError(e, "FATAL")
	_ = c.w.flush()
	if c.srv.opts.onPanic != nil {
		c.srv.opts.onPanic(r)
	}
}

// begin starts a statement: the context ends with the connection, by a cancel
// request, or when statement_timeout has passed. end must be called.
func (c *conn) begin() (ctx context.Context, end func()) {
	ctx, cancel := context.WithCancelCause(c.ctx)
	stop := func() {}
	if c.deadline.IsZero() {
		if d := c.timeout(); d > 0 {
			c.deadline = time.Now().Add(d)
		}
	}
	if !c.deadline.IsZero() {
		t := time.AfterFunc(time.Until(c.deadline), func() { cancel(errTimeout) })
		stop = func() { t.Stop() }
	}
	c.mu.Lock()
	c.running = cancel
	c.mu.Unlock()
	return ctx, func() {
		c.mu.Lock()
		c.running = nil
		c.mu.Unlock()
		stop()
		cancel(nil)
	}
}

// interrupt ends the statement at work, if there is one. Any goroutine may call it.
func (c *conn) interrupt(cause error) {
	c.mu.Lock()
	cancel := c.running
	c.mu.Unlock()
	if cancel != nil {
		cancel(cause)
	}
}

// terminate ends the connection, as an administrator may. Any goroutine may call it.
func (c *conn) terminate() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.terminated = true; c.stop != nil {
		c.stop(errShutdown)
	}
}

// timeout reads statement_timeout; 0 is none.
func (c *conn) timeout() time.Duration {
	s, _ := c.sess.Setting("statement_timeout")
	return parseTimeout(s)
}

// parseTimeout reads a duration as PostgreSQL shows it: 1500ms, 30s, 5min, 1h, 1d, a plain number in milliseconds.
func parseTimeout(s string) time.Duration {
	var n int64
	i := 0
	for ; i < len(s) && s[i] >= '0' && s[i] <= '9' && n < 1<<40; i++ {
		n = n*10 + int64(s[i]-'0')
	}
	unit := map[string]time.Duration{"us": time.Microsecond, "": time.Millisecond, "ms": time.Millisecond, "s": time.Second,
		"min": time.Minute, "h": time.Hour, "d": 24 * time.Hour}[s[i:]]
	if d := time.Duration(n) * unit; d/max(unit, 1) == time.Duration(n) {
		return d
	}
	return 0
}

// handle does what one message asks for. An error ends the connection.
func (c *conn) handle(f frame) error {
	switch f.typ {
	case 'X':
		return errTerminate
	case 'S':
		if f.bad == nil {
			return c.sync()
		}
	case 'd', 'c', 'f':
		return nil // left over from a COPY that failed
	}
	if c.failed != nil {
		return nil // until Sync
	}
	extended := f.typ != 'Q' && f.typ != 'F' && f.typ != 'p'
	err := error(f.bad)
	if f.bad == nil {
		err = c.message(f)
	}
	switch {
	case err == nil:
		return c.w.maybeFlush()
	case fatal(err):
		return err
	}
	c.notices()
	c.w.sendError(err, "")
	if extended {
		c.failed = err
		return c.w.flush() // a client that asked for it with a Flush that is skipped now would wait for ever
	}
	return c.ready()
}

// message decodes a frame that has passed the guard and dispatches it.
func (c *conn) message(f frame) error {
	switch f.typ {
	case 'F':
		return pgerr.New(pgerr.FeatureNotSupported, "the function call protocol is not supported").WithHint("Use SELECT function(...).")
	case 'p':
		return pgerr.New(pgerr.ProtocolViolation, "unexpected password message")
	}
	m, err := c.receive(f)
	if err != nil {
		return err
	}
	if m, ok := m.(*pgproto3.Query); ok {
		return c.query(m.String)
	}
	ctx, end := c.begin()
	defer end()
	switch m := m.(type) {
	case *pgproto3.Parse:
		err = c.parse(ctx, m)
	case *pgproto3.Bind:
		err = c.bind(ctx, m)
	case *pgproto3.Describe:
		err = c.describe(m)
	case *pgproto3.Execute:
		err = c.execute(ctx, m)
	case *pgproto3.Close:
		err = c.close(m)
	case *pgproto3.Flush:
		err = c.w.flush()
	default:
		err = pgerr.New(pgerr.ProtocolViolation, "unexpected message type 0x%02X", f.typ)
	}
	return cancelled(ctx, err)
}

// receive decodes a frame. Should pgproto3 panic in spite of the guard, the connection ends.
func (c *conn) receive(f frame) (m pgproto3.FrontendMessage, err error) {
	defer func() {
		if r := recover(); r != nil {
			e := pgerr.New(pgerr.ProtocolViolation, "invalid message format").WithDetail("message type \"%c\": %v", f.typ, r)
			e.Severity = "FATAL"
			m, err = nil, e
		}
	}()
	c.source.load(f)
	m, err = c.decode.Receive()
	if err != nil {
		e := pgerr.New(pgerr.ProtocolViolation, "invalid message format").WithCause(err)
		e.Severity = "FATAL" // pgproto3 may be out of step with the frames
		return nil, e
	}
	return m, nil
}

// notices sends what the session has to say beside its results.
func (c *conn) notices() {
	for _, n := range c.sess.Notices() {
		c.w.sendNotice(n)
	}
}

func (c *conn) parameters(m map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		c.w.send(&pgproto3.ParameterStatus{Name: name, Value: m[name]})
	}
}

// ready ends a command cycle: everything goes out, and the client may speak.
func (c *conn) ready() error {
	c.deadline = time.Time{}
	if c.sess.TxStatus() == 'I' {
		c.dropPortals()
	}
	c.notices()
	c.parameters(c.sess.ParameterChanges())
	c.w.send(&pgproto3.ReadyForQuery{TxStatus: c.sess.TxStatus()})
	c.idle = true
	if s, ok := c.sess.(controlled); ok {
		s.Idle()
	}
	return c.w.flush()
}

// dropPortals closes the protocol's portals: they end with their transaction.
func (c *conn) dropPortals() {
	for name := range c.portals {
		c.dropPortal(name)
	}
}

func (c *conn) dropPortal(name string) {
	b := c.portals[name]
	delete(c.portals, name)
	if b == nil || !b.owned {
		return
	}
	if p, err := c.sess.Portal(name); err == nil && p == b.portal {
		c.sess.ClosePortal(name)
	}
}

// checkText refuses a query that is not UTF-8, as PostgreSQL does.
func checkText(s string) error {
	if utf8.ValidString(s) {
		return nil
	}
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			return pgerr.New(pgerr.CharacterNotInRepertoire, "invalid byte sequence for encoding \"UTF8\": 0x%02x", s[i])
		}
		i += n
	}
	return nil
}
