package engine

import (
	"slices"

	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/state"
)

// defaultHistory is how many bytes of changes an engine remembers, for subscriptions that resume.
const defaultHistory = 64 << 20

// historyParts is how many segments the history has when it is full: it forgets a segment at a time.
const historyParts = 8

// history remembers the changes of recent epochs, so that SUBSCRIBE .. AS OF can go
// on from a time in the past without a gap. It is used under Engine.cut. What it cannot go back
// to is refused: a client never gets a stream with a hole.
type history struct {
	limit    int64
	bytes    int64
	segments []*segment
	horizon  vec.Time // changes at this time and later are all here
}

// segment is a run of epochs and the content that relations had before the first of them.
type segment struct {
	start map[uint32]*state.TableSnapshot
	// evicted tells of which relations start has no content because it would keep all of their rows in memory: it is what followed, less the changes.
	evicted map[uint32]bool
	epochs  []epochChanges
	bytes   int64
}

// record adds an epoch whose changes are not yet in the published snapshots of relations.
func (h *history) record(ec epochChanges, relations map[uint32]*relation) {
	if len(ec.deltas) == 0 {
		return
	}
	var last *segment
	if n := len(h.segments); n > 0 {
		last = h.segments[n-1]
	}
	if last == nil || last.bytes >= h.limit/historyParts {
		last = &segment{start: make(map[uint32]*state.TableSnapshot, len(relations))}
		for oid, r := range relations {
			last.start[oid] = r.published
		}
		h.segments = append(h.segments, last)
	}
	kept := epochChanges{epoch: ec.epoch, now: ec.now, deltas: make(map[uint32][]*vec.Batch, len(ec.deltas))}
	size := int64(0)
	for oid, bs := range ec.deltas {
		if r := relations[oid]; last.start[oid] == nil && !last.evicted[oid] && r != nil {
			last.start[oid] = r.published // made since the segment began
		}
		for _, b := range bs {
			kept.deltas[oid] = append(kept.deltas[oid], b.Retain())
			size += b.Bytes() + copiedNodes
		}
	}
	last.epochs = append(last.epochs, kept)
	last.bytes += size
	h.bytes += size
	for h.bytes > h.limit && len(h.segments) > 0 {
		old := h.segments[0]
		h.segments[0] = nil
		h.segments = h.segments[1:]
		h.bytes -= old.bytes
		h.horizon = old.epochs[len(old.epochs)-1].now + 1
		old.release()
	}
}

// evict gives the memory of a relation's rows back.
func (h *history) evict(oid uint32) {
	for _, s := range h.segments {
		if s.start[oid] != nil {
			delete(s.start, oid)
			if s.evicted == nil {
				s.evicted = map[uint32]bool{}
			}
			s.evicted[oid] = true
		}
	}
}

// copiedNodes is about what the segment's snapshots cost for a batch of changes: the nodes of the tree that it copied.
const copiedNodes = 2048

func (s *segment) release() {
	for i := range s.epochs {
		s.epochs[i].release()
	}
	s.epochs = nil
}

// forget drops what it remembers of a relation that has been dropped: its rows may be all that memory holds.
func (h *history) forget(oid uint32) {
	for _, s := range h.segments {
		delete(s.start, oid)
		for _, ec := range s.epochs {
			for _, b := range ec.deltas[oid] {
				n := b.Bytes() + copiedNodes
				s.bytes -= n
				h.bytes -= n
				b.Release()
			}
			delete(ec.deltas, oid)
		}
		delete(s.evicted, oid)
	}
}

func (h *history) close() {
	for _, s := range h.segments {
		s.release()
	}
	h.segments, h.bytes = nil, 0
}

// since gives the epochs at at or later, retained for the caller, and a function that
// computes what relations contained just before at. That function may be called without Engine.cut.
func (h *history) since(at vec.Time, oids []uint32, relations map[uint32]*relation) (epochs []epochChanges, content func() (map[uint32]*state.TableSnapshot, error)) {
	type past struct {
		from  *state.TableSnapshot
		undo  []*vec.Batch // retained; what is to be taken back from it, the last first
		apply []*vec.Batch // retained; what then comes on top
	}
	pasts := make(map[uint32]*past, len(oids))
	for _, oid := range oids {
		if r := relations[oid]; r != nil {
			pasts[oid] = &past{from: r.published}
		}
	}
	// From the newest segment back to the one that at lies in: each has an older content, and
	// in that one the changes before at come on top.
	for i := len(h.segments) - 1; i >= 0; i-- {
		s := h.segments[i]
		if s.epochs[len(s.epochs)-1].now < at {
			break
		}
		for oid, p := range pasts {
			if s.evicted[oid] {
				for _, ec := range slices.Backward(s.epochs) {
					if ec.now >= at {
						for _, b := range slices.Backward(ec.deltas[oid]) {
							p.undo = append(p.undo, b.Retain())
						}
					}
				}
				continue
			}
			if from := s.start[oid]; from != nil {
				p.from = from
				releaseAll(p.undo)
				p.undo = nil
			}
			for _, ec := range s.epochs {
				if ec.now < at {
					for _, b := range ec.deltas[oid] {
						p.apply = append(p.apply, b.Retain())
					}
				}
			}
		}
	}
	for _, s := range h.segments {
		for _, ec := range s.epochs {
			if ec.now < at {
				continue
			}
			kept := epochChanges{epoch: ec.epoch, now: ec.now, deltas: map[uint32][]*vec.Batch{}}
			for _, oid := range oids {
				for _, b := range ec.deltas[oid] {
					kept.deltas[oid] = append(kept.deltas[oid], b.Retain())
				}
			}
			if len(kept.deltas) > 0 {
				epochs = append(epochs, kept)
			}
		}
	}
	return epochs, func() (map[uint32]*state.TableSnapshot, error) {
		out := make(map[uint32]*state.TableSnapshot, len(pasts))
		var failed error
		for oid, p := range pasts {
			if len(p.apply)+len(p.undo) == 0 {
				out[oid] = p.from
			} else {
				t := p.from.Table()
				for _, b := range p.undo {
					back := reversed(b)
					if err := t.Apply(back); err != nil && failed == nil {
						failed = err
					}
					back.Release()
				}
				for _, b := range p.apply {
					if err := t.Apply(b); err != nil && failed == nil {
						failed = err
					}
				}
				out[oid] = t.Snapshot()
			}
			releaseAll(p.undo)
			releaseAll(p.apply)
		}
		return out, failed
	}
}

// reversed gives changes that take back those of a batch.
func reversed(b *vec.Batch) *vec.Batch {
	sel := make([]int32, b.N)
	for i := range sel {
		sel[i] = int32(b.N - 1 - i)
	}
	out := b.Select(nil, sel)
	ops := make([]vec.Op, b.N)
	for i := range ops {
		ops[i] = -b.Op(b.N - 1 - i)
	}
	out.Ops = ops
	return out
}

// subscribeAt is subscribe from just before a time in the past: the snapshots are the content before at, and every
// change at at or later follows.
func (e *Engine) subscribeAt(oids []uint32, at vec.Time, told bool, pos int) (*subscription, error) {
	var stored []epochChanges // of the time before the engine was started
	e.cut.RLock()
	past := e.remembered.past
	e.cut.RUnlock()
	if past != nil && at <= e.started {
		var err error
		if stored, err = past.since(e, at, oids); err != nil {
			return nil, err
		}
		defer func() {
			for i := range stored {
				stored[i].release()
			}
		}()
	}
	s := &subscription{e: e, oids: map[uint32]bool{}, notify: make(chan struct{}, 1), now: at - 1}
	for _, oid := range oids {
		s.oids[oid] = true
	}
	content, err := func() (func() (map[uint32]*state.TableSnapshot, error), error) {
		e.cut.Lock()
		defer e.cut.Unlock()
		if at > max(e.clock(), e.lastTick)+1 {
			return nil, pgerr.New(pgerr.InvalidParameterValue, "AS OF lies in the future").
				WithHint("Use a _ts that a progress row showed, or leave AS OF out to begin now.").At(pos)
		}
		begin := e.history.horizon
		if at <= e.started { // what has been read above is all of it unless the store has forgotten some since, which this tells
			begin = max(begin, e.reaches(oids))
		}
		if at < begin {
			return nil, pgerr.New(pgerr.SnapshotTooOld, "changes before %s are not remembered any more", timestamp(begin)).
				WithHint("Subscribe without AS OF: the subscription begins with a snapshot of the present.").At(pos)
		}
		for _, oid := range oids {
			if r := e.relations[oid]; r != nil && at <= r.born {
				return nil, pgerr.New(pgerr.SnapshotTooOld, "relation \"%s\" was made at %s, after the time of AS OF", r.rel.Name, timestamp(r.born)).At(pos)
			}
		}
		epochs, content := e.history.since(at, oids, e.relations)
		for i := len(stored) - 1; i >= 0; i-- {
			ec := epochChanges{epoch: stored[i].epoch, now: stored[i].now}
			for oid, bs := range stored[i].deltas {
				ec.retain(oid, bs)
			}
			epochs = slices.Insert(epochs, 0, ec)
		}
		s.epoch = e.epoch
		for i := range epochs {
			s.epoch = min(s.epoch, epochs[i].epoch-1)
			rows, bytes := epochs[i].size()
			s.rows += rows
			s.bytes += bytes
		}
		s.queue = epochs
		if told {
			e.remember(s)
		}
		e.subs[s] = struct{}{}
		return content, nil
	}()
	if err != nil {
		return nil, err
	}
	if s.snaps, err = content(); err == nil && past != nil && at <= e.started {
		for _, oid := range oids {
			if s.snaps[oid], err = past.before(e.alloc, oid, stored); err != nil {
				break
			}
		}
	}
	if err != nil {
		e.unsubscribe(s)
		return nil, err
	}
	return s, nil
}

func timestamp(t vec.Time) string {
	env := types.Env{}
	return string(types.AppendText(nil, &env, types.Timestamptz, t))
}
