package wire

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"github.com/jackc/pgproto3/v2"

	"streamsql/internal/pgerr"
)

const (
	// flushSize is how many bytes gather before they are written without being asked for.
	flushSize = 64 << 10
	// writeSize is how much is written under one deadline: a slow reader that
	// takes that much in time is slow, not stuck.
	writeSize = 64 << 10
	// keepSize is the largest buffer kept between results.
	keepSize = 1 << 20
)

// errGone says that the client cannot be reached any more.
var errGone = errors.New("the client has closed the connection")

// writer gathers messages for the client. Messages are appended to buf by its
// owner, the connection's goroutine, and written by flush. After a write has
// failed everything is dropped and every flush gives the first error.
type writer struct {
	nc    net.Conn
	stall time.Duration // how long one write may take
	buf   []byte
	err   error
	sent  int64 // bytes written so far

	mu   sync.Mutex // guards gone and the deadline
	gone bool
}

// send appends a message of pgproto3.
func (w *writer) send(m pgproto3.BackendMessage) {
	buf, err := m.Encode(w.buf)
	if err != nil {
		// Only a message beyond 1 GiB fails to encode.
		if w.err == nil {
			w.err = pgerr.New(pgerr.ProgramLimitExceeded, "message is too long").WithCause(err)
		}
		return
	}
	w.buf = buf
}

// maybeFlush flushes once enough has gathered.
func (w *writer) maybeFlush() error {
	if len(w.buf) < flushSize {
		return w.err
	}
	return w.flush()
}

// flush writes what has gathered.
func (w *writer) flush() error {
	b := w.buf
	for len(b) > 0 && w.err == nil {
		if !w.arm(w.stall) {
			w.err = errGone
			break
		}
		n, err := w.nc.Write(b[:min(len(b), writeSize)])
		b = b[n:]
		w.sent += int64(n)
		switch {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded) && !w.isGone():
			e := pgerr.New(pgerr.ConfigurationLimitExceeded, "terminating connection because the client did not read its results for %s", w.stall)
			e.Severity = "FATAL"
			w.err = e
			w.farewell(b)
		default:
			w.err = errGone
		}
	}
	if cap(w.buf) > keepSize {
		w.buf = nil
	} else {
		w.buf = w.buf[:0]
	}
	return w.err
}

// farewell tries to end the stream with the reason, should the client's buffer take it after all.
func (w *writer) farewell(rest []byte) {
	if len(rest) > keepSize || !w.arm(100*time.Millisecond) {
		return
	}
	m, err := errorResponse(pgerr.From(w.err), "FATAL").Encode(append([]byte(nil), rest...))
	if err == nil {
		_, _ = w.nc.Write(m) // it is gone if it cannot
	}
}

func (w *writer) arm(d time.Duration) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gone {
		return false
	}
	return w.nc.SetWriteDeadline(time.Now().Add(d)) == nil
}

func (w *writer) isGone() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.gone
}

// abandon makes the current write and all that follow fail. Any goroutine may call it.
func (w *writer) abandon() {
	w.mu.Lock()
	w.gone = true
	_ = w.nc.SetWriteDeadline(time.Unix(1, 0)) // fails only where the socket is closed already
	w.mu.Unlock()
}
