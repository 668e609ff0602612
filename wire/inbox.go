package wire

import (
	"context"
	"sync"
)

// inbox holds the frames that have been read and not yet handled. Reading ahead
// lets the connection notice that its client has gone while a query runs; the
// bound keeps a client that sends without end from filling memory.
type inbox struct {
	limit int // bytes at which put waits

	mu    sync.Mutex
	q     []frame
	bytes int
	err   error // why no frame follows those in q

	more chan struct{} // a frame or the end has come
	room chan struct{} // a frame was taken
}

func newInbox(limit int) *inbox {
	return &inbox{limit: limit, more: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// frameOverhead is what a queued frame weighs beside its body, so that empty messages are bounded too.
const frameOverhead = 64

// put adds a frame and reports whether the inbox has room for more.
func (b *inbox) put(f frame) bool {
	b.mu.Lock()
	b.q = append(b.q, f)
	b.bytes += len(f.body) + frameOverhead
	ok := b.bytes < b.limit
	b.mu.Unlock()
	signal(b.more)
	return ok
}

func (b *inbox) full() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bytes >= b.limit
}

// end says that no frame will follow.
func (b *inbox) end(err error) {
	b.mu.Lock()
	if b.err == nil {
		b.err = err
	}
	b.mu.Unlock()
	signal(b.more)
}

// get takes the next frame, waiting for one until ctx is done.
func (b *inbox) get(ctx context.Context) (frame, error) {
	for {
		b.mu.Lock()
		if len(b.q) > 0 {
			f := b.q[0]
			b.q[0] = frame{}
			b.q = b.q[1:]
			b.bytes -= len(f.body) + frameOverhead
			b.mu.Unlock()
			signal(b.room)
			return f, nil
		}
		err := b.err
		b.mu.Unlock()
		if err != nil {
			return frame{}, err
		}
		select {
		case <-b.more:
		case <-ctx.Done():
			return frame{}, context.Cause(ctx)
		}
	}
}
