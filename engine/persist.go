package engine

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"streamsql/catalog"
	"streamsql/internal/crash"
	"streamsql/internal/pgerr"
	"streamsql/internal/vary"
	"streamsql/internal/vec"
	"streamsql/state"
)

// durableEvery is how often what has changed is made durable when nobody waits for it.
const durableEvery = time.Second

// maxUncut bounds the rows that change between two durable epochs: from there on the coordinator waits for the one being written.
const maxUncut = 4 << 20

// persister makes epochs durable. A durable epoch is cut at the end of a step of the coordinator: what has changed since the last
// cut, as versions of tables and views that no longer change. A goroutine encodes it and writes it to the
// store in one commit, synced, while the coordinator goes on. Whoever was promised durability waits for the epoch that holds
// what it did; those who come while one is being written share the next.
//
// A nil persister is that of an engine that keeps nothing.
type persister struct {
	e     *Engine
	store *state.Store
	every time.Duration
	// epochPart is as the constant; tests make it small.
	epochPart int
	// atCut, where not nil, is called with each cut, under coordinator.step, and may add to it.
	atCut func(c *epochCut)

	// Under coordinator.step:
	saved   map[uint32]*savedRelation
	indexes map[uint32][]uint32 // of a relation those that are saved
	dirty   map[uint32]bool     // relations whose content has changed since the last cut
	changes []*catalogChange
	// positions are those of the connectors of tables.
	positions  map[uint32][]byte
	rows       int  // changed since the last cut
	changed    bool // anything
	last       time.Time
	nextID     uint64
	nextOID    uint32
	remembered []epochChanges // changes since the last cut that subscriptions may go back to
	// keep tells of which relations the changes themselves are kept, epoch by epoch: those that are run again by jobs.
	epochs   []epochChanges
	cutEpoch uint64 // the last durable epoch, also one on its way
	draining bool   // a cut waits for rows that have been put aside: nothing more is read that may bring others
	trim     uint64 // what was kept before this epoch is not in the store any more

	mu      sync.Mutex
	waiting []chan error // for the next cut
	writing bool
	failed  error

	// durable is the time of the last durable epoch: nothing that happened until then is lost any more.
	durable atomic.Int64
	// ticked says that somebody waits for a durable epoch of a later time, whether anything has changed or not.
	ticked atomic.Bool

	// Of the goroutine that writes:
	rememberedBytes int64    // of changes that subscriptions may go back to, in the store
	rememberedFrom  vec.Time // the time from which on they are there

	cuts    chan *epochCut
	tasks   chan func()    // run between two epochs
	stopped chan struct{}  // the goroutine has ended
	blobs   sync.WaitGroup // of checkpoints that are written
}

// savedRelation is what the store holds of a relation.
type savedRelation struct {
	record state.TableRecord
	mark   state.Mark
}

// epochCut is a durable epoch on its way.
type epochCut struct {
	epoch    uint64
	lastTick vec.Time
	nextOID  uint32
	nextID   uint64
	catalog  []*catalogChange
	rows     []rowsCut
	// dropped are relations that are gone, and the rows that no relation has any more.
	dropped    []uint32
	droppedID  []uint64
	positions  map[uint32][]byte
	changes    []epochChanges // owned
	trim       uint64         // changes of epochs before this are not needed any more
	remembered rememberedCut
	waiting    []chan error
	sinks      map[uint32]sinkPosition
	extra      []func(*state.Commit) error
	drop       func() // gives up what has not been written
}

// rowsCut is the content of a relation.
type rowsCut struct {
	oid  uint32
	id   uint64 // of its rows
	snap *state.TableSnapshot
	all  bool // the ID is new: all of it is to be written; else changes
	what state.Changes
	more []byte // behind the record: the layout of an index
}

// add makes f part of the cut: the goroutine that writes it calls f with the commit. An error ends the persister.
func (c *epochCut) add(f func(*state.Commit) error) { c.extra = append(c.extra, f) }

func newPersister(e *Engine, store *state.Store) *persister {
	p := &persister{e: e, store: store, every: durableEvery, epochPart: epochPart, saved: map[uint32]*savedRelation{}, indexes: map[uint32][]uint32{}, dirty: map[uint32]bool{},
		positions: map[uint32][]byte{}, last: time.Now(), nextID: 1, nextOID: catalog.FirstUserOID, cuts: make(chan *epochCut, 1), tasks: make(chan func()), stopped: make(chan struct{})}
	if v := vary.Drawn(); v != nil && v.StageBytes > 0 {
		p.epochPart = v.StageBytes
	}
	return p
}

// canWrite reports why nothing can be changed: the store has failed. What is read is not concerned.
func (e *Engine) canWrite() error {
	if e.persist == nil {
		return nil
	}
	return e.persist.failure()
}

func (p *persister) failure() error {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed
}

// fail ends the writing: nothing more becomes durable, whoever waits learns why.
func (p *persister) fail(err error) {
	p.mu.Lock()
	if p.failed == nil {
		e := pgerr.From(err)
		p.failed = pgerr.New(e.Code, "the data directory cannot be written any more: %s", e.Message).
			WithHint("Nothing has been acknowledged that is not there. Look at the disk and restart the server.").WithCause(err)
		p.e.log.Error("the data directory cannot be written any more: tables take no changes, views do not go on", "error", err)
	}
	waiting := p.waiting
	p.waiting = nil
	err = p.failed
	p.mu.Unlock()
	for _, w := range waiting {
		w <- err
	}
	go p.e.coord.failSinks(err) // who calls may hold what it waits for
	p.e.coord.poke()
}

// request asks for a durable epoch without waiting for it.
func (p *persister) request() {
	p.await(make(chan error, 1))
	p.e.coord.poke()
}

// catalogChanged notes a change of the catalog. The caller holds coordinator.step.
func (p *persister) catalogChanged(ch *catalogChange) {
	if p == nil {
		return
	}
	if ch = ch.durable(); ch == nil {
		return
	}
	p.changed = true
	p.changes = append(p.changes, ch)
	p.nextOID = max(p.nextOID, ch.lastOID()+1)
	for _, oid := range ch.Drop {
		p.dirty[oid] = true
	}
	for _, r := range ch.Put {
		if r.Kind == catalog.Table || r.Kind == catalog.MatView {
			p.dirty[r.OID] = true
		}
	}
}

// published notes what an epoch has changed. The caller holds coordinator.step and Engine.cut.
func (p *persister) published(k *commit, ec epochChanges) {
	if p == nil {
		return
	}
	p.changed = true
	kept := epochChanges{epoch: ec.epoch, now: ec.now}
	remembered := kept
	for oid, bs := range ec.deltas {
		p.dirty[oid] = true
		for _, b := range bs {
			p.rows += b.N
		}
		if p.e.kept.followed(oid, ec.epoch) {
			kept.retain(oid, bs)
		}
		if p.e.remembered.by[oid] != nil {
			remembered.retain(oid, bs)
		}
	}
	if kept.deltas != nil {
		p.epochs = append(p.epochs, kept)
	}
	if remembered.deltas != nil {
		p.remembered = append(p.remembered, remembered)
	}
	if k != nil && k.offset != nil {
		p.positions[k.offsetOf] = k.offset
	}
}

// replaced notes that the content of a relation is another than that of the epoch before plus its changes. The caller holds coordinator.step.
func (p *persister) replaced(oid uint32) {
	if p != nil {
		p.changed = true
		p.dirty[oid] = true
	}
}

// await gives done to be told when what has been published so far is durable, at once if nothing is kept.
func (p *persister) await(done chan error) {
	if p == nil {
		done <- nil
		return
	}
	p.mu.Lock()
	failed := p.failed
	if failed == nil {
		p.waiting = append(p.waiting, done)
	}
	p.mu.Unlock()
	if failed != nil {
		done <- failed
	}
}

// drains reports whether jobs are to read nothing that may wait. The caller holds coordinator.step.
func (p *persister) drains() bool { return p != nil && p.draining }

// wait waits until what has been published so far is durable. The caller does not hold coordinator.step.
func (p *persister) wait() error {
	if p == nil {
		return nil
	}
	done := make(chan error, 1)
	p.await(done)
	p.e.coord.poke()
	select {
	case err := <-done:
		return err
	case <-p.stopped:
		select {
		case err := <-done:
			return err
		default:
			return pgerr.New(pgerr.AdminShutdown, "terminating connection due to administrator command")
		}
	}
}

// hold reports how long the coordinator must not go on: the store waits for room, or too much waits for it. err says that it never will.
func (p *persister) hold() (wait time.Duration, err error) {
	if p == nil {
		return 0, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.failed != nil:
		return time.Hour, p.failed
	case p.store.Full():
		return 20 * time.Millisecond, nil
	case p.writing && p.rows > maxUncut:
		return time.Millisecond, nil
	}
	return 0, nil
}

// trouble tells sys.jobs why jobs do not go on, if they do not because of the disk.
func (p *persister) trouble() (state, why string) {
	if p == nil {
		return "", ""
	}
	if err := p.failure(); err != nil {
		return "stopped", err.Error()
	}
	if p.store.Full() {
		return "waiting", "the disk is full"
	}
	return "", ""
}

// maybeCut cuts a durable epoch if it is time, and tells how long to wait for the next (0: nothing to wait for). The
// caller holds coordinator.step.
func (p *persister) maybeCut() time.Duration {
	if p == nil {
		return 0
	}
	p.mu.Lock()
	asked := len(p.waiting) > 0
	if p.writing || p.failed != nil || !asked && !p.changed && !p.ticked.Load() {
		p.mu.Unlock()
		return 0 // whoever ends the writing wakes the coordinator
	}
	if d := p.every - time.Since(p.last); !asked && d > 0 && p.rows < maxUncut/2 {
		p.mu.Unlock()
		return d
	}
	if p.draining = !p.e.asides.idle(); p.draining {
		p.mu.Unlock()
		return time.Millisecond
	}
	p.writing = true
	c := &epochCut{waiting: p.waiting}
	p.waiting = nil
	p.mu.Unlock()
	p.cut(c)
	p.cuts <- c
	return 0
}

// cut takes what has changed. The caller holds coordinator.step.
func (p *persister) cut(c *epochCut) {
	e := p.e
	p.ticked.Store(false)
	e.cut.Lock()
	if e.epoch <= p.cutEpoch { // no two durable epochs have one number: what jobs have read may be all that is new
		e.epoch = p.cutEpoch + 1
	}
	p.cutEpoch = e.epoch
	e.cut.Unlock()
	e.cut.RLock()
	c.epoch, c.lastTick = e.epoch, e.lastTick
	for oid := range p.dirty {
		r := e.relations[oid]
		was := p.indexes[oid]
		delete(p.indexes, oid)
		if r == nil {
			p.cutDropped(c, oid)
		} else if r.published != nil && !r.rel.Temp {
			p.cutRows(c, rowsCut{oid: oid, snap: r.published})
			for _, x := range r.publishedIndexes {
				p.cutRows(c, rowsCut{oid: x.oid, snap: x.snap, more: x.what})
				p.indexes[oid] = append(p.indexes[oid], x.oid)
			}
		}
		for _, x := range was {
			if !slices.Contains(p.indexes[oid], x) {
				p.cutDropped(c, x)
			}
		}
	}
	e.cut.RUnlock()
	c.catalog, c.changes, c.positions = p.changes, p.epochs, p.positions
	c.nextID, c.nextOID = p.nextID, p.nextOID
	p.changes, p.epochs, p.positions = nil, nil, map[uint32][]byte{}
	clear(p.dirty)
	p.rows, p.changed, p.last = 0, false, time.Now()
	p.cutRemembered(c)
	c.trim = c.epoch + 1
	if p.atCut != nil {
		p.atCut(c)
	}
	c.sinks = e.coord.sinkPositions() // after the checkpoints of sinks have been judged by them
}

// cutRows adds to a cut what has changed of a relation or index.
func (p *persister) cutRows(c *epochCut, k rowsCut) {
	old := p.saved[k.oid]
	if old != nil {
		k.what, k.all = k.snap.Since(old.mark)
		k.all = !k.all
	}
	if old == nil || k.all {
		if old != nil {
			c.droppedID = append(c.droppedID, old.record.ID)
		}
		k.all, k.id = true, p.nextID
		p.nextID++
	} else if k.id = old.record.ID; k.what.Empty() {
		return
	}
	mark := k.snap.Mark()
	mark.Forget()
	p.saved[k.oid] = &savedRelation{record: k.snap.Record(k.id), mark: mark}
	c.rows = append(c.rows, k)
}

// cutDropped adds to a cut that a relation or index is gone.
func (p *persister) cutDropped(c *epochCut, oid uint32) {
	if old := p.saved[oid]; old != nil {
		c.dropped = append(c.dropped, oid)
		c.droppedID = append(c.droppedID, old.record.ID)
		delete(p.saved, oid)
	}
}

// run writes cuts until the channel is closed.
func (p *persister) run() {
	defer close(p.stopped)
	failures := p.store.Failures()
	for {
		select {
		case c, ok := <-p.cuts:
			if !ok {
				return
			}
			p.write(c)
		case f := <-p.tasks:
			f()
		case <-failures:
			failures = nil
			p.fail(p.store.Failed())
		}
	}
}

// write makes a cut durable and tells those who wait.
func (p *persister) write(c *epochCut) {
	err := p.failure()
	if err == nil {
		crash.At(crash.EpochCut)
		err = p.writeCut(c)
		if err == nil {
			crash.At(crash.EpochDurable)
			if c.sinks != nil {
				p.e.coord.sinksRecorded(c.sinks)
			}
			p.durable.Store(c.lastTick)
			p.e.durableMoved()
		} else {
			p.fail(err)
			err = p.failure()
		}
	}
	for _, ecs := range [][]epochChanges{c.changes, c.remembered.epochs} {
		for i := range ecs {
			ecs[i].release()
		}
	}
	if err != nil && c.drop != nil {
		c.drop()
	}
	p.mu.Lock()
	p.writing = false
	p.mu.Unlock()
	for _, w := range c.waiting {
		w <- err
	}
	p.e.coord.poke()
}

// close makes what is left durable and ends the persister. No step runs any more. What still waits for room on the disk is given up.
func (p *persister) close() {
	p.every = 0
	for p.failure() == nil {
		if p.store.Full() {
			p.store.Close() // which fails what waits
		}
		p.mu.Lock()
		writing, waiting := p.writing, len(p.waiting)
		p.mu.Unlock()
		if !writing {
			if !p.changed && waiting == 0 {
				break
			}
			p.maybeCut()
		}
		time.Sleep(100 * time.Microsecond)
	}
	close(p.cuts)
	<-p.stopped
	p.mu.Lock()
	p.failed = pgerr.New(pgerr.AdminShutdown, "terminating connection due to administrator command")
	p.mu.Unlock()
	for _, ecs := range [][]epochChanges{p.epochs, p.remembered} {
		for i := range ecs {
			ecs[i].release()
		}
	}
	p.epochs, p.remembered = nil, nil
}
