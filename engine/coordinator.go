package engine

import (
	"context"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"streamsql/connector"
	"streamsql/internal/mem"
	"streamsql/internal/pgerr"
	"streamsql/internal/vec"
	"streamsql/state"
)

// A step of the coordinator aims to take no longer than this, so that readers see progress and DML does not wait.
const stepBudget = 4 * time.Millisecond

// commit is the changes of one transaction on their way into an epoch.
type commit struct {
	writes []tableWrite
	ddl    func() // applied to the published state inside the cut, may be nil
	layout func() // runs when the commit's step begins, ahead of the jobs, may be nil
	done   chan error
	// alone says that whoever waits does not wait for what views put aside because of it: a commit of the catalog, whose
	// maker holds Engine.write, or of rows put aside.
	alone bool
	// sink, if not nil, has written the rows: its output until sinkEpoch is in its table with this commit.
	sink      *sinkWriter
	sinkEpoch uint64
	// light says that whoever waits does so for the epoch only, not until it is durable.
	light bool
	// offset, if not nil, is how far the connector of the table offsetOf has been read, the rows of the commit included.
	offset   connector.Offset
	offsetOf uint32
}

// tableWrite is what a commit does to one relation: the changes, and for a table its content after them.
type tableWrite struct {
	oid     uint32
	changes []*vec.Batch // owned by the commit
	after   *state.TableSnapshot
	indexes []indexContent // at after
	// made is a table that comes into being with the commit.
	made *relation
}

// coordinator numbers epochs. Each step takes one commit (so that every
// transaction has its own timestamp) and what sources have at hand, runs the jobs in the
// order of their dependencies, and publishes the results together.
type coordinator struct {
	e *Engine

	mu      sync.Mutex
	commits []*commit
	wake    chan struct{}

	// step is held while a step runs; jobs are added and dropped under it.
	step     sync.Mutex
	jobs     []*job // in the order of their dependencies
	draining bool   // connectors are read no more
	// awaited are the relations that jobs read which are on their way back after a restart.
	awaited map[uint32]bool
	// returning are the views and sinks that are on their way back after a restart.
	returning []restarted
}

func newCoordinator(e *Engine) *coordinator {
	return &coordinator{e: e, wake: make(chan struct{}, 1)}
}

// enqueue hands a commit over. Callers hold Engine.write, so the order of commits is the order of their validation.
func (c *coordinator) enqueue(k *commit) {
	if k.done == nil {
		k.done = make(chan error, 1)
	}
	c.mu.Lock()
	c.commits = append(c.commits, k)
	c.mu.Unlock()
	c.poke()
}

func (c *coordinator) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *coordinator) take() *commit {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.commits) == 0 {
		return nil
	}
	k := c.commits[0]
	c.commits[0] = nil // it has the content of tables as it was
	c.commits = c.commits[1:]
	return k
}

// urgent reports whether the next commit is not one of rows that somebody wrote: those wait for views that are on their way back after
// a restart, so that who has written sees the effect there.
func (c *coordinator) urgent() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.commits) > 0 && c.commits[0].alone
}

// run steps until ctx is done.
func (c *coordinator) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for ctx.Err() == nil {
		wait := c.stepOnce(ctx)
		if wait == 0 {
			continue
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
		case <-c.wake:
		case <-timer.C:
		}
	}
	c.refuse(pgerr.New(pgerr.AdminShutdown, "terminating connection due to administrator command"))
}

// stepOnce runs one step and tells how long to wait before the next when nothing wakes the coordinator.
func (c *coordinator) stepOnce(ctx context.Context) time.Duration {
	c.step.Lock()
	defer c.step.Unlock()
	if wait, err := c.e.persist.hold(); wait > 0 {
		if err != nil {
			c.refuse(err)
		}
		return wait
	}
	c.e.evictor.step()
	began := time.Now()
	wait := c.advance(ctx)
	stepped := time.Now()
	if d := c.e.persist.maybeCut(); d > 0 {
		wait = min(wait, d)
	}
	if c.e.stepped != nil {
		c.e.stepped(stepped.Sub(began), time.Since(stepped))
	}
	return wait
}

// refuse ends the commits that wait, none of which can become durable.
func (c *coordinator) refuse(err error) {
	for k := c.take(); k != nil; k = c.take() {
		k.release()
		k.done <- err
	}
}

// advance runs one step. The caller holds c.step.
func (c *coordinator) advance(ctx context.Context) time.Duration {
	var k *commit
	if c.e.resuming.Load() == 0 || c.urgent() {
		k = c.take()
	}
	deltas := map[uint32][]*vec.Batch{}
	if k != nil {
		if k.layout != nil {
			k.layout()
		}
		for _, w := range k.writes {
			deltas[w.oid] = append(deltas[w.oid], w.changes...)
		}
	}
	now := c.e.nextTick()
	wait := time.Hour
	moved := k != nil
	deadline := time.Now().Add(stepBudget)
	for _, j := range c.jobs {
		if j.failed != nil {
			continue
		}
		more, w := j.runStep(ctx, deltas, now, deadline)
		if more {
			wait = 0
		} else if w > 0 {
			wait = min(wait, w)
		}
		if j.journal != nil && len(j.journal.steps) > 0 {
			c.e.persist.changed = true // what it has read, even if nothing came of it
		}
		out := j.takeOutput()
		if j.sink != nil {
			if ended := j.ended && !j.told; len(out) > 0 || ended {
				// The output has an epoch of its own, so that a durable epoch lies before or behind it.
				moved, j.told = true, ended
				if err := j.sink.put(sinkOutput{epoch: c.e.epoch + 1, rows: out, last: ended}); err != nil {
					j.fail(err)
				}
			}
		} else if len(out) > 0 {
			moved = true
			deltas[j.rel.rel.OID] = append(deltas[j.rel.rel.OID], out...)
		}
	}
	if moved {
		c.publish(k, deltas, now)
	}
	for _, bs := range deltas {
		for _, b := range bs {
			b.Release()
		}
	}
	var rows []asideRows
	for _, j := range c.jobs {
		rows = append(rows, j.put.take()...)
	}
	switch {
	case len(rows) > 0 && (k == nil || k.alone):
		c.e.asides.put(rows, nil)
	case len(rows) > 0:
		c.e.asides.put(rows, k)
		return 0
	}
	if k != nil {
		if k.light {
			k.done <- nil
		} else {
			c.e.persist.await(k.done)
		}
		wait = 0
	}
	return wait
}

// publish makes the step visible: contents, catalog and the changes for subscribers, at once.
func (c *coordinator) publish(k *commit, deltas map[uint32][]*vec.Batch, now vec.Time) {
	e := c.e
	// Views are applied to their working tables before the cut: readers hold snapshots of the old versions.
	for _, j := range c.jobs {
		if bs := deltas[j.rel.rel.OID]; j.rel.table != nil && len(bs) > 0 && (j.failed == nil || len(j.carry) > 0) {
			for _, b := range bs {
				if err := j.rel.table.Apply(b); err != nil {
					j.fail(err)
					break
				}
			}
		}
	}
	for _, j := range c.jobs {
		j.carry = nil
	}
	e.cut.Lock()
	defer e.cut.Unlock()
	e.epoch++
	// A subscriber may have been promised, since the step began, that nothing more comes until now.
	now = max(now, e.lastTick+1)
	e.lastTick = now
	ec := epochChanges{epoch: e.epoch, now: now, deltas: deltas}
	e.history.record(ec, e.relations)
	e.persist.published(k, ec)
	for _, j := range c.jobs {
		if j.rel.table != nil && len(deltas[j.rel.rel.OID]) > 0 {
			j.rel.published = j.rel.table.Snapshot()
		}
	}
	if k != nil {
		for _, w := range k.writes {
			if r := e.relations[w.oid]; r != nil && w.after != nil {
				r.published, r.publishedIndexes = w.after, w.indexes
			}
		}
		if k.ddl != nil {
			k.ddl()
		}
		if k.sink != nil {
			k.sink.reached(k.sinkEpoch, 0)
		}
	}
	for s := range e.subs {
		s.offer(e.epoch, now, deltas)
	}
}

// nextTick gives the processing time of the next epoch: the clock, but always after the last.
func (e *Engine) nextTick() vec.Time {
	e.cut.RLock()
	defer e.cut.RUnlock()
	return max(e.clock(), e.lastTick+1)
}

func (k *commit) release() {
	for _, w := range k.writes {
		for _, b := range w.changes {
			b.Release()
		}
	}
}

// drain lets what was read and committed so far go through the jobs; from now on nothing is read from connectors.
func (c *coordinator) drain() {
	c.step.Lock()
	c.draining = true
	c.step.Unlock()
	k := &commit{alone: true, light: true}
	c.enqueue(k)
	for {
		select {
		case <-k.done:
			return
		case <-time.After(50 * time.Millisecond):
			if c.e.stuck() != nil {
				return
			}
		}
	}
}

// addJob puts a job that has caught up to the current state into the schedule: after the jobs it reads from and, as it may be one that
// comes back, before those that read from it, which would not see what it gives in a step otherwise. The caller holds c.step.
func (c *coordinator) addJob(j *job) {
	jobs := append(c.jobs, j)
	by := make(map[uint32][]*job, len(jobs)) // a view that is being replaced has two
	for _, k := range jobs {
		by[k.rel.rel.OID] = append(by[k.rel.rel.OID], k)
	}
	c.jobs = make([]*job, 0, len(jobs))
	seen := map[uint32]bool{}
	var add func(oid uint32)
	add = func(oid uint32) {
		if seen[oid] {
			return
		}
		seen[oid] = true
		if rel := c.e.Catalog().ByOID(oid); rel != nil {
			for _, in := range rel.Depends { // a view that is none of a job may lie between two jobs
				add(in)
			}
		}
		for _, k := range by[oid] {
			for _, in := range k.reads {
				add(in)
			}
			c.jobs = append(c.jobs, k)
		}
	}
	for _, k := range jobs {
		add(k.rel.rel.OID)
	}
}

// dropJob takes the job of a relation out of the schedule and frees it.
func (c *coordinator) dropJob(oid uint32) {
	c.step.Lock()
	defer c.step.Unlock()
	c.jobs = slices.DeleteFunc(c.jobs, func(j *job) bool {
		if j.rel.rel.OID != oid {
			return false
		}
		j.close()
		return true
	})
	c.e.kept.forget(oid)
}

// close frees all jobs, and commits that came too late for the last step. No step may run any more.
func (c *coordinator) close() {
	c.refuse(pgerr.New(pgerr.AdminShutdown, "terminating connection due to administrator command"))
	for _, j := range c.jobs {
		j.close()
	}
	c.jobs = nil
}

// recovered turns a panic into an error that names its cause; a failing operator fails its own job only.
func recovered(e *Engine, what string, err *error) {
	switch r := recover().(type) {
	case nil:
	case *mem.Refusal:
		*err = r.Cause()
	default:
		e.log.Error("panic", "in", what, "cause", r, "stack", string(debug.Stack()))
		*err = pgerr.New(pgerr.InternalError, "internal error in %s: %v", what, r)
	}
}
