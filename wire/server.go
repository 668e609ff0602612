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
	// ReservedConnections are those among MaxConnections that only superusers get, default 3 or as many as leave one for others.
	ReservedConnections int
	// Certificate is for TLS; nil: connections are not encrypted.
	Certificate *Certificate
	// Rules say who may connect and how they prove who they are. nil: whoever is on the machine is trusted, others need TLS and a password.
	Rules *Rules
	// RulesFile is where Reload reads the rules again; "" nowhere.
	RulesFile string
	// Databases are the names that the one database goes by; nil: streamsql and postgres, and without Rules whatever a client asks for.
	Databases []string
	// Insecure allows an address that others can reach although they would not need a password or encryption.
	Insecure bool
	// Reload makes the rules and the certificate be read again whenever something comes from it; may be nil.
	Reload <-chan struct{}
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
	if o.ReservedConnections <= 0 {
		o.ReservedConnections = min(3, o.MaxConnections-1)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	return o
}

// Serve accepts connections from ln and serves them until ctx is done; then it
// closes ln, ends every session with 57P01, waits for them and returns nil. Any
// other end of the listener is an error, as is an address that others can reach
// without a password over TLS (F0000). ln is closed in every case.
func Serve(ctx context.Context, ln net.Listener, e *engine.Engine, o Options) error {
	if err := CheckListen(ln.Addr(), o, e); err != nil {
		_ = ln.Close() // nothing was accepted
		return err
	}
	s := newServer(engineBackend{e}, o)
	s.room = e.AskMemory
	var err error
	if s.access, err = newAccess(&s.opts, e.Catalog); err != nil {
		_ = ln.Close()
		return err
	}
	e.SetRules(s.access.rows)
	if o.Reload != nil {
		stop := make(chan struct{})
		defer close(stop)
		go s.reloads(o.Reload, stop)
	}
	return s.serve(ctx, ln)
}

type server struct {
	backend backend
	opts    Options
	log     *slog.Logger
	room    func(n int64) error // asks for memory; may be nil
	access  *access             // nil: everybody gets in

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

// reloads reads the rules and the certificate again when it is told to. What cannot be read stays what it was.
func (s *server) reloads(asked <-chan struct{}, stop chan struct{}) {
	for {
		select {
		case <-asked:
		case <-stop:
			return
		}
		if s.opts.RulesFile != "" {
			if r, err := ReadRules(s.opts.RulesFile); err != nil {
				e := pgerr.From(err)
				s.log.Error("the rules were not loaded", "err", e.Message, "detail", e.Detail)
			} else {
				s.access.rules.Store(r)
				s.log.Info("the rules were loaded", "file", s.opts.RulesFile)
			}
		}
		if c := s.opts.Certificate; c != nil {
			if err := c.Reload(); err != nil {
				s.log.Error("the certificate was not loaded", "err", err)
			}
		}
	}
}

// reserve takes a place for one session, which dismiss gives back. The last ones are for superusers.
func (s *server) reserve(super bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sessions >= s.opts.MaxConnections {
		return pgerr.New(pgerr.TooManyConnections, "sorry, too many clients already")
	}
	if !super && s.sessions >= s.opts.MaxConnections-s.opts.ReservedConnections {
		return pgerr.New(pgerr.TooManyConnections, "remaining connection slots are reserved for non-replication superuser connections")
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
	if x, ok := c.sess.(controlled); ok {
		x.Control(func() { c.interrupt(errUserCancel) }, c.terminate)
	}
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
