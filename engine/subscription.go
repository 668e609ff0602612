package engine

import (
	"sync"

	"streamsql/internal/mem"
	"streamsql/internal/pgerr"
	"streamsql/internal/vec"
	"streamsql/state"
)

// maxPending bounds what a subscription may leave unread, in rows. A query that is not read holds nobody back; past this it ends.
const maxPending = 4 << 20

// subscription delivers, epoch by epoch, the changes of some relations to one
// query, beginning right after the snapshots that it was made with.
type subscription struct {
	e      *Engine
	oids   map[uint32]bool
	snaps  map[uint32]*state.TableSnapshot
	epoch  uint64   // of the snapshots
	now    vec.Time // of that epoch
	notify chan struct{}

	// remembered says that the subscription tells how far it is, and that this is to hold after a restart: of times from promised on. See remembered.
	remembered bool
	promised   vec.Time

	mu     sync.Mutex
	queue  []epochChanges
	rows   int
	bytes  int64 // of queue
	failed error
	closed bool
}

// epochChanges is what one epoch changed in the relations of a subscription.
type epochChanges struct {
	epoch  uint64
	now    vec.Time
	deltas map[uint32][]*vec.Batch
}

// retain adds changes of a relation, which stay the caller's as well.
func (ec *epochChanges) retain(oid uint32, bs []*vec.Batch) {
	if ec.deltas == nil {
		ec.deltas = map[uint32][]*vec.Batch{}
	}
	for _, b := range bs {
		ec.deltas[oid] = append(ec.deltas[oid], b.Retain())
	}
}

func (ec *epochChanges) release() {
	for _, bs := range ec.deltas {
		for _, b := range bs {
			b.Release()
		}
	}
}

// subscribe takes snapshots of the relations and their changes from then on, without gap or repetition.
// told: it is to tell how far it is.
func (e *Engine) subscribe(oids []uint32, told bool) *subscription {
	s := &subscription{e: e, oids: map[uint32]bool{}, notify: make(chan struct{}, 1)}
	for _, oid := range oids {
		s.oids[oid] = true
	}
	e.cut.Lock()
	defer e.cut.Unlock()
	s.snaps = e.snapshotsLocked(oids)
	s.epoch = e.epoch
	e.lastTick = max(e.clock(), e.lastTick+1)
	s.now = e.lastTick
	if told {
		e.remember(s)
	}
	e.subs[s] = struct{}{}
	return s
}

// offer is called by the coordinator inside the cut.
func (s *subscription) offer(epoch uint64, now vec.Time, deltas map[uint32][]*vec.Batch) {
	ec := epochChanges{epoch: epoch, now: now}
	for oid, bs := range deltas {
		if s.oids[oid] {
			ec.retain(oid, bs)
		}
	}
	if ec.deltas == nil {
		return
	}
	rows, bytes := ec.size()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.failed != nil {
		ec.release()
		return
	}
	if s.rows+rows > maxPending && len(s.queue) > 0 {
		s.failed = pgerr.New(pgerr.ConfigurationLimitExceeded, "continuous query is too far behind: more than %d changed rows were not fetched", maxPending).
			WithHint("Fetch faster, or read the changes through an aggregate or a materialized view.")
		s.dropQueue()
		ec.release()
	} else if limit := s.e.budget.Limit(); limit > 0 && s.bytes+bytes > limit/4 && len(s.queue) > 0 {
		s.failed = pgerr.New(pgerr.ConfigurationLimitExceeded, "continuous query is too far behind: %s of changes were not fetched", mem.Format(s.bytes)).
			WithHint("Fetch faster, read the changes through an aggregate or a materialized view, or give the server more with --memory.")
		s.dropQueue()
		ec.release()
	} else {
		s.queue = append(s.queue, ec)
		s.rows += rows
		s.bytes += bytes
	}
	s.wake()
}

func (s *subscription) dropQueue() {
	for i := range s.queue {
		s.queue[i].release()
	}
	s.queue, s.rows, s.bytes = nil, 0, 0
}

// size gives how many rows and, roughly, bytes it holds.
func (ec *epochChanges) size() (rows int, bytes int64) {
	for _, bs := range ec.deltas {
		for _, b := range bs {
			rows += b.N
			bytes += b.Bytes()
		}
	}
	return rows, bytes
}

// tick gives a time for a tick without changes: every change until then has been taken, and what comes later has a
// later time, so that what the query says at that time is a promise. ok is false if there are changes to take first.
func (s *subscription) tick() (now vec.Time, ok bool) {
	e := s.e
	e.cut.Lock()
	defer e.cut.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) > 0 || s.failed != nil {
		return 0, false
	}
	e.lastTick = max(e.clock(), e.lastTick+1)
	if s.remembered {
		e.persist.ticked.Store(true)
		e.coord.poke()
	}
	return e.lastTick, true
}

// promise gives the time up to which a subscription that has sent everything below upTo may say so: what it says holds after a restart, too. ok is false as
// long as that is nothing.
func (s *subscription) promise(upTo vec.Time) (vec.Time, bool) {
	if !s.remembered {
		return upTo, true
	}
	upTo = min(upTo, s.e.persist.durable.Load()+1)
	return upTo, upTo > s.promised
}

// durableMoved wakes the subscriptions that wait for a durable epoch.
func (e *Engine) durableMoved() {
	e.cut.RLock()
	defer e.cut.RUnlock()
	for s := range e.subs {
		if s.remembered {
			s.wake()
		}
	}
}

func (s *subscription) wake() {
	select {
	case s.notify <- struct{}{}:
	default:
	}
}

// next gives the changes of the next epoch, nil if there are none yet. The caller releases them.
func (s *subscription) next() (*epochChanges, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed != nil {
		return nil, s.failed
	}
	if len(s.queue) == 0 {
		return nil, nil
	}
	ec := s.queue[0]
	s.queue = s.queue[1:]
	rows, bytes := ec.size()
	s.rows -= rows
	s.bytes -= bytes
	return &ec, nil
}

// close ends the subscription. The caller must not hold Engine.cut unless it removes s from Engine.subs itself.
func (s *subscription) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.dropQueue()
	s.snaps = nil
}

// failReaders ends the continuous queries that read a relation.
func (e *Engine) failReaders(oid uint32, err error) {
	e.cut.Lock()
	defer e.cut.Unlock()
	for s := range e.subs {
		if !s.oids[oid] {
			continue
		}
		s.mu.Lock()
		if s.failed == nil && !s.closed {
			s.failed = err
			s.dropQueue()
		}
		s.mu.Unlock()
		s.wake()
	}
}

// unsubscribe takes s out of the engine and frees it.
func (e *Engine) unsubscribe(s *subscription) {
	e.cut.Lock()
	delete(e.subs, s)
	e.remembered.leave(s, e.lastTick)
	e.cut.Unlock()
	s.close()
}
