// Package wire serves an engine over the PostgreSQL protocol, version 3: it
// frames and guards what clients send, runs their statements in a session of
// the engine, and encodes results column by column into messages. Only this
// package knows pgproto3.
package wire

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"streamsql/engine"
	"streamsql/internal/pgerr"
)

// Options are the limits of a server. The zero value of each means its default.
type Options struct {
	// MaxConnections is how many sessions may exist at once, default 100; one more gets 53300.
	MaxConnections int
	// MaxMessage is the longest message with data, in bytes, default 16 MiB.
	MaxMessage int
	// StartupTimeout is how long a client may take until it has sent its startup packet, default 10 s.
	StartupTimeout time.Duration
	// StallTimeout is how long a client may leave its results unread before it is disconnected with 53400, default 60 s.
	StallTimeout time.Duration
	// Log takes what no client can be told; nil discards it.
	Log *slog.Logger

	// onPanic, in tests, sees what a connection recovered from.
	onPanic func(any)
}

const (
	defaultMaxConnections = 100
	defaultMaxMessage     = 16 << 20
	defaultStartupTimeout = 10 * time.Second
	defaultStallTimeout   = 60 * time.Second
	// goneGrace is how long a statement may go on after its client has closed the
	// connection: enough for one that was sent and not waited for.
	goneGrace = 300 * time.Millisecond
	// stopGrace is how long a stopping server waits for its connections to say goodbye.
	stopGrace = 2 * time.Second
	// readAhead is how many bytes of messages are read while a statement runs.
	readAhead = 1 << 20
)

func (o Options) withDefaults() Options {
	if o.MaxConnections <= 0 {
		o.MaxConnections = defaultMaxConnections
	}
	if o.MaxMessage <= 0 {
		o.MaxMessage = defaultMaxMessage
	}
	if o.StartupTimeout <= 0 {
		o.StartupTimeout = defaultStartupTimeout
	}
	if o.StallTimeout <= 0 {
		o.StallTimeout = defaultStallTimeout
	}
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	return o
}

// Serve accepts connections from ln and serves them until ctx is done; then it
// closes ln, ends every session with 57P01, waits for them and returns nil. Any
// other end of the listener is an error. ln is closed in every case.
func Serve(ctx context.Context, ln net.Listener, e *engine.Engine, o Options) error {
	s := newServer(engineBackend{e}, o)
	s.room = e.AskMemory
	return s.serve(ctx, ln)
}

type server struct {
	backend backend
	opts    Options
	log     *slog.Logger
	room    func(n int64) error // asks for memory; may be nil

	mu       sync.Mutex
	sessions int
	conns    map[uint32]*conn      // sessions by process ID
	sockets  map[net.Conn]struct{} // every open socket
	wg       sync.WaitGroup
}

func newServer(b backend, o Options) *server {
	o = o.withDefaults()
	return &server{backend: b, opts: o, log: o.Log, conns: map[uint32]*conn{}, sockets: map[net.Conn]struct{}{}}
}

func (s *server) serve(ctx context.Context, ln net.Listener) error {
	// Connections must learn the reason, which the caller's context does not carry.
	parent := ctx
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(parent))
	defer s.stop(cancel)
	stop := context.AfterFunc(parent, func() {
		cancel(errShutdown)
		_ = ln.Close()
	})
	defer stop()
	defer func() { _ = ln.Close() }()
	for delay := time.Duration(0); ; {
		nc, err := ln.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			// Out of file descriptors or the like passes; a closed listener does not.
			if errors.Is(err, net.ErrClosed) {
				return err
			}
			delay = min(max(2*delay, 5*time.Millisecond), time.Second)
			s.log.Warn("accept failed", "err", err, "retry", delay)
			select {
			case <-time.After(delay):
			case <-ctx.Done():
				return nil
			}
			continue
		}
		delay = 0
		s.mu.Lock()
		s.sockets[nc] = struct{}{}
		s.wg.Add(1)
		s.mu.Unlock()
		go func() {
			defer s.wg.Done()
			defer s.forget(nc)
			s.handle(ctx, nc)
		}()
	}
}

func (s *server) forget(nc net.Conn) {
	_ = nc.Close() // may be closed already
	s.mu.Lock()
	delete(s.sockets, nc)
	s.mu.Unlock()
}

// stop ends every connection and waits until all are gone.
func (s *server) stop(cancel context.CancelCauseFunc) {
	cancel(errShutdown)
	force := time.AfterFunc(stopGrace, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for nc := range s.sockets {
			_ = nc.Close() // wakes whoever still reads or writes it
		}
	})
	s.wg.Wait()
	force.Stop()
}

// reserve takes a place for one session, which dismiss gives back.
func (s *server) reserve() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sessions >= s.opts.MaxConnections {
		return pgerr.New(pgerr.TooManyConnections, "sorry, too many clients already")
	}
	s.sessions++
	return nil
}

// admit makes c's session known to cancel requests, under a fresh secret key.
func (s *server) admit(c *conn) error {
	var key [4]byte
	if _, err := rand.Read(key[:]); err != nil {
		return err
	}
	c.pid, c.key = uint32(c.sess.PID()), binary.BigEndian.Uint32(key[:])
	s.mu.Lock()
	s.conns[c.pid] = c
	s.mu.Unlock()
	return nil
}

// dismiss closes c's session, if it has one, and gives its place back.
func (s *server) dismiss(c *conn) {
	s.mu.Lock()
	delete(s.conns, c.pid)
	s.sessions--
	s.mu.Unlock()
	if c.sess != nil {
		c.sess.Close()
	}
}

// cancel ends what the session with this process ID is running, if the key is its own.
func (s *server) cancel(pid, key uint32) {
	s.mu.Lock()
	c := s.conns[pid]
	s.mu.Unlock()
	if c == nil {
		return
	}
	var a, b [4]byte
	binary.BigEndian.PutUint32(a[:], c.key)
	binary.BigEndian.PutUint32(b[:], key)
	if subtle.ConstantTimeCompare(a[:], b[:]) == 1 {
		c.interrupt(errUserCancel)
	}
}
