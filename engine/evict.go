package engine

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"streamsql/catalog"
	"streamsql/internal/vary"
	"streamsql/state"
)

// What tables and views contain is in the store with every durable epoch. Where memory gets scarce they give theirs back: their rows are read from the store from
// then on, except those that change afterwards. See state.Table.

const (
	// evictEvery is how often the evictor looks whether memory is scarce.
	evictEvery = 50 * time.Millisecond
	// evictAt is from which share of the limit, in percent, on tables give their memory back: below the one at which they take no more rows.
	evictAt = 45
	// evictLeast is how many bytes a table must have in memory so that it is worth the while.
	evictLeast = 256 << 10
	// evictWait bounds how long a change of a table that finds no memory waits for others to be given back.
	evictWait = 2 * time.Second
)

// evictor takes the rows of tables and views out of memory when it is scarce. A nil one does nothing: there is no store to read them from.
type evictor struct {
	e      *Engine
	always bool        // of tests: memory is always scarce
	due    atomic.Bool // the next step that can is to evict

	mu      sync.Mutex
	waiting []chan struct{} // for that
}

func newEvictor(e *Engine) *evictor {
	v := vary.Drawn()
	return &evictor{e: e, always: v != nil && v.Evict}
}

// run looks at the memory until ctx is done.
func (v *evictor) run(ctx context.Context) {
	tick := time.NewTicker(evictEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if v.due.Load() || v.e.budget.Holds(evictAt) {
				v.due.Store(true)
				v.e.coord.poke()
			}
		}
	}
}

// room waits until tables have given back what they can, and reports whether they may have. Who holds a lock that the coordinator needs waits in vain.
func (v *evictor) room() bool {
	if v == nil {
		return false
	}
	done := make(chan struct{})
	v.mu.Lock()
	v.waiting = append(v.waiting, done)
	v.mu.Unlock()
	v.due.Store(true)
	v.e.coord.poke()
	select {
	case <-done:
		return true
	case <-v.e.stopping:
	case <-time.After(evictWait):
	}
	return false
}

// step evicts if that is due and can be done: while a durable epoch is being written, what the store holds is not yet what tables take to be there. The caller holds
// coordinator.step.
func (v *evictor) step() {
	if v == nil || !v.always && !v.due.Load() {
		return
	}
	p := v.e.persist
	p.mu.Lock()
	busy := p.writing || p.failed != nil
	p.mu.Unlock()
	if busy {
		return
	}
	tables := v.e.write.TryLock() // which is taken before coordinator.step elsewhere
	v.evict(tables)
	if !tables {
		return
	}
	v.e.write.Unlock()
	v.due.Store(false)
	v.mu.Lock()
	for _, done := range v.waiting {
		close(done)
	}
	v.waiting = nil
	v.mu.Unlock()
}

// evict lets views, and with tables also tables, give their memory back. With tables the caller holds Engine.write.
func (v *evictor) evict(tables bool) {
	e, p := v.e, v.e.persist
	least := int64(evictLeast)
	if v.always {
		least = 1
	}
	e.cut.RLock()
	var large []*relation
	for oid, r := range e.relations {
		if r.rel.Kind == catalog.Table && !tables || r.table == nil || r.rel.Temp || p.saved[oid] == nil {
			continue
		}
		held := r.table.Resident()
		for _, x := range r.indexes {
			held += x.rows.Resident()
		}
		if held >= least {
			large = append(large, r)
		}
	}
	e.cut.RUnlock()
	if large == nil {
		return
	}
	at, err := p.store.Stored()
	if err != nil {
		return
	}
	for _, r := range large {
		if err := v.evictRelation(r, at); err != nil {
			e.log.Warn("the rows of a relation stay in memory", "relation", r.rel.Name, "error", err)
		}
	}
}

// evictRelation makes a table or view lie over its stored rows. The caller holds coordinator.step, and of a table Engine.write; no durable epoch is on its way.
func (v *evictor) evictRelation(r *relation, at *state.Stored) error {
	e, p := v.e, v.e.persist
	saved := p.saved[r.rel.OID]
	published, indexes := r.published, r.publishedIndexes // which only the coordinator changes
	ok, err := r.table.Rebase(at, saved.record, saved.mark)
	if err != nil || !ok {
		return err // its content has been replaced: the next durable epoch stores it
	}
	if published, err = rebased(published, at, saved); err != nil {
		return err
	}
	indexes = append([]indexContent(nil), indexes...)
	for i := range indexes {
		if saved := p.saved[indexes[i].oid]; saved != nil {
			if indexes[i].snap, err = rebased(indexes[i].snap, at, saved); err != nil {
				return err
			}
		}
	}
	for _, x := range r.indexes {
		if saved := p.saved[x.oid]; saved != nil {
			if _, err := x.rows.Rebase(at, saved.record, saved.mark); err != nil {
				return err
			}
		}
	}
	e.cut.Lock()
	defer e.cut.Unlock()
	r.published, r.publishedIndexes = published, indexes
	e.history.evict(r.rel.OID)
	return nil
}

// rebased gives s over what is stored, or as it is where it does not descend from that.
func rebased(s *state.TableSnapshot, at *state.Stored, saved *savedRelation) (*state.TableSnapshot, error) {
	t := s.Table()
	if _, err := t.Rebase(at, saved.record, saved.mark); err != nil {
		return nil, err
	}
	return t.Snapshot(), nil
}

// askKept is mem.Account.AskKept of what is to be kept beyond a statement, after other tables have given back what they can.
func (e *Engine) askKept(what string, n int64) error {
	err := e.statements.AskKept(what, n)
	for late := time.Now().Add(evictWait); err != nil && time.Now().Before(late) && e.evictor.room(); {
		// What was read before, and rows on their way to views and to the disk, may hold the memory for a moment longer.
		if err = e.statements.AskKept(what, n); err != nil {
			time.Sleep(evictEvery)
		}
	}
	return err
}
