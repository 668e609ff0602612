package engine

import (
	"bytes"
	"encoding/binary"
	"slices"

	"streamsql/catalog"
	"streamsql/internal/pgerr"
	"streamsql/internal/vec"
	"streamsql/state"
)

// remembered tells of which relations the store keeps the changes, so that a subscription can go on from a progress row after a restart, too: of those
// that somebody has subscribed to with progress rows. It is used under Engine.cut.
//
// A progress row is a promise that must outlive the engine. Therefore such a subscription tells no time before a durable epoch has it.
type remembered struct {
	by      map[uint32]*rememberedRelation
	horizon vec.Time // changes before are not in the store any more
	changed bool     // since the last durable epoch
	// past is what the engine began with; nil: nothing that a subscription could go back to.
	past *rememberedPast
}

// rememberedRelation is a relation whose changes are kept.
type rememberedRelation struct {
	from vec.Time // changes at this time and later are there
	uses int      // subscriptions that tell how far they are
	left vec.Time // when the last one ended
}

// rememberedPast is the state in which the engine was started.
type rememberedPast struct {
	epoch    uint64
	from     map[uint32]vec.Time
	contents map[uint32]*state.TableSnapshot // of relations that have one
	schemas  map[uint32]*vec.Schema
}

// remember keeps the changes of the subscription's relations from now on, and until nobody can go back to them any more. The caller holds Engine.cut.
func (e *Engine) remember(s *subscription) {
	if e.persist == nil {
		return
	}
	s.remembered, s.promised = true, s.now
	for oid := range s.oids {
		rel := e.cat.ByOID(oid)
		if rel == nil || rel.Kind == catalog.System || !e.stores(rel) {
			continue
		}
		k := e.remembered.by[oid]
		if k == nil {
			e.lastTick = max(e.clock(), e.lastTick+1) // no durable epoch of this time is without the mark
			k = &rememberedRelation{from: e.lastTick + 1}
			if e.remembered.by == nil {
				e.remembered.by = map[uint32]*rememberedRelation{}
			}
			e.remembered.by[oid] = k
			e.remembered.changed = true
		}
		k.uses++
		s.promised = max(s.promised, k.from-1)
	}
}

// leave ends what remember began. The caller holds Engine.cut.
func (m *remembered) leave(s *subscription, now vec.Time) {
	if !s.remembered {
		return
	}
	for oid := range s.oids {
		if k := m.by[oid]; k != nil {
			k.uses, k.left = max(k.uses-1, 0), now
		}
	}
}

// forget says that changes before horizon are gone: nobody goes back to relations that were left before. The caller holds Engine.cut.
func (m *remembered) forget(horizon vec.Time) {
	m.horizon = horizon
	for oid, k := range m.by {
		if k.uses == 0 && k.left < horizon {
			delete(m.by, oid)
		}
	}
}

// reaches gives the first time before the start of the engine to which a subscription can go back; the time after the start if there is none.
func (e *Engine) reaches(oids []uint32) vec.Time {
	m := &e.remembered
	begin := m.horizon
	for _, oid := range oids {
		if m.past == nil || m.past.schemas[oid] == nil {
			return e.started + 1
		}
		begin = max(begin, m.past.from[oid])
	}
	return begin
}

// before gives what a relation contained before changes, which are all of the time from then until the start of the engine.
func (p *rememberedPast) before(a vec.Allocator, oid uint32, changes []epochChanges) (*state.TableSnapshot, error) {
	now := p.contents[oid]
	if now == nil {
		return nil, nil
	}
	t := now.Table()
	for _, ec := range slices.Backward(changes) {
		for _, b := range slices.Backward(ec.deltas[oid]) {
			back := inverse(a, b)
			err := t.Apply(back)
			back.Release()
			if err != nil {
				return nil, err
			}
		}
	}
	return t.Snapshot(), nil
}

// inverse gives a batch that takes back what b changes.
func inverse(a vec.Allocator, b *vec.Batch) *vec.Batch {
	sel := make([]int32, b.N)
	ops := make([]vec.Op, b.N)
	for i := range sel {
		row := b.N - 1 - i
		sel[i], ops[i] = int32(row), vec.Delete
		if b.Op(row) == vec.Delete {
			ops[i] = vec.Insert
		}
	}
	x := b.Select(a, sel)
	x.Ops = ops
	return x
}

// rememberedKey is the key in the space Meta of what is kept besides the changes.
var rememberedKey = []byte("remembered")

// rememberedCut is the part of a durable epoch that is about changes that are remembered.
type rememberedCut struct {
	write  bool
	epochs []epochChanges      // owned
	from   map[uint32]vec.Time // of the relations; nil: none is remembered any more
}

// cutRemembered adds to a durable epoch the changes since the last one. The caller holds coordinator.step.
func (p *persister) cutRemembered(c *epochCut) {
	e := p.e
	e.cut.Lock()
	defer e.cut.Unlock()
	m := &e.remembered
	c.remembered.epochs, p.remembered = p.remembered, nil
	// The record is part of each durable epoch: where it is of an older one than the engine's, somebody has written who does not remember.
	c.remembered.write = len(m.by) > 0 || m.changed
	m.changed = false
	if len(m.by) == 0 {
		return
	}
	c.remembered.from = make(map[uint32]vec.Time, len(m.by))
	for oid, k := range m.by {
		if e.cat.ByOID(oid) == nil {
			delete(m.by, oid)
			continue
		}
		if r := e.relations[oid]; r != nil {
			k.from = max(k.from, r.born+1) // it may have been made anew, with other columns
		}
		c.remembered.from[oid] = k.from
	}
}

// writeRemembered writes the changes that are to be remembered and forgets the oldest if they are too many.
func (p *persister) writeRemembered(c *rememberedCut, epoch uint64, b *state.Commit) error {
	switch {
	case !c.write:
		return nil
	case len(c.from) == 0:
		b.Delete(state.Meta, rememberedKey)
		b.DeletePrefix(state.Remembered, nil)
		p.rememberedBytes = 0
		return nil
	}
	for i := range c.epochs {
		p.rememberedBytes += p.writeEpoch(b, state.Remembered, &c.epochs[i])
	}
	if p.rememberedBytes > p.e.history.limit {
		if err := p.trimRemembered(b); err != nil {
			return err
		}
	}
	var w state.Writer
	w.Uint64(epoch)
	w.Int64(p.rememberedFrom)
	w.Uint64(uint64(len(c.from)))
	for oid, from := range c.from {
		w.Uint64(uint64(oid))
		w.Int64(from)
	}
	b.Put(state.Meta, rememberedKey, w.Bytes())
	return nil
}

// trimRemembered removes the oldest of the changes that are in the store, an eighth of what there may be.
func (p *persister) trimRemembered(b *state.Commit) error {
	var last []byte
	var until vec.Time
	err := p.store.Scan(state.Remembered, nil, func(key, value []byte) bool {
		another := last == nil || !bytes.Equal(last[:8], key[:8]) // and not one more part of the same epoch
		if another && p.rememberedBytes <= p.e.history.limit/historyParts*(historyParts-1) {
			return false
		}
		p.rememberedBytes -= int64(len(value))
		last = append(last[:0], key...)
		until = state.NewReader(value).Int64()
		return true
	})
	if err != nil || last == nil {
		return err
	}
	b.DeleteRange(state.Remembered, nil, historyKey(binary.BigEndian.Uint64(last)+1))
	p.rememberedFrom = until + 1
	p.e.cut.Lock() // before they are gone: see subscribeAt
	p.e.remembered.forget(p.rememberedFrom)
	p.e.cut.Unlock()
	return nil
}

// readRemembered reads what is remembered when the engine starts; the relations are there.
func (p *persister) readRemembered() error {
	e := p.e
	record, ok, err := p.store.Get(state.Meta, rememberedKey)
	if err != nil || !ok {
		return err
	}
	r := state.NewReader(record)
	epoch, horizon := r.Uint64(), r.Int64()
	by := map[uint32]*rememberedRelation{}
	past := &rememberedPast{epoch: e.epoch, from: map[uint32]vec.Time{}, contents: map[uint32]*state.TableSnapshot{}, schemas: map[uint32]*vec.Schema{}}
	for range r.Uint64() {
		oid, from := uint32(r.Uint64()), r.Int64()
		if r.Err() != nil {
			break
		}
		if rel := e.cat.ByOID(oid); rel != nil {
			by[oid] = &rememberedRelation{from: from, left: e.lastTick}
			past.from[oid], past.schemas[oid] = from, rel.Fields()
		}
	}
	if err := r.Err(); err != nil {
		return pgerr.New(pgerr.DataCorrupted, "the record of the changes that are remembered cannot be read").WithCause(err)
	}
	e.remembered.changed = true
	if epoch != e.epoch {
		return nil // the next durable epoch removes it all
	}
	for oid, k := range by {
		if r := e.relations[oid]; r != nil {
			r.born = k.from - 1
			past.contents[oid] = r.published
		}
	}
	e.remembered.by, e.remembered.horizon, e.remembered.past = by, horizon, past
	p.rememberedFrom = horizon
	return p.store.Scan(state.Remembered, nil, func(_, value []byte) bool {
		p.rememberedBytes += int64(len(value))
		return true
	})
}

// since gives the changes at at and later that were made before the engine was started. The batches are the caller's.
func (p *rememberedPast) since(e *Engine, at vec.Time, oids []uint32) (out []epochChanges, err error) {
	schema := func(oid uint32) *vec.Schema {
		if slices.Contains(oids, oid) {
			return p.schemas[oid]
		}
		return nil
	}
	err = e.persist.storedChanges(state.Remembered, 0, at, schema, func(ec epochChanges) error {
		if ec.epoch > p.epoch {
			return errTaken
		}
		if len(ec.deltas) > 0 {
			out = append(out, ec)
		}
		return nil
	})
	if err == errTaken {
		err = nil
	}
	if err != nil {
		for i := range out {
			out[i].release()
		}
		out = nil
	}
	return out, err
}
