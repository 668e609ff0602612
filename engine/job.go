package engine

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"streamsql/catalog"
	"streamsql/exec"
	"streamsql/internal/fn"
	"streamsql/internal/pgerr"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
)

// job maintains one materialized view, or computes what a sink writes.
type job struct {
	e      *Engine
	rel    *relation
	graph  *exec.Graph // nil when it has failed
	reads  []uint32    // the relations that the graph scans
	feeds  []*feed
	sub    *subscription // while the view is being filled
	out    *exec.Collector
	failed error
	// failedAt is the last epoch that it had taken part in then.
	failedAt uint64
	stats    exec.Stats
	stored   int64        // rows that it begins with
	read     atomic.Int64 // rows read while it fills the view
	put      *aside
	late     *lateRows
	sink     *sinkWriter // takes the output; nil: a view
	steps    int64
	rows     int64 // changes applied
	since    vec.Time
	timed    bool   // reads a connector: ticks without rows too
	ended    bool   // no input goes on, or LIMIT has been reached: the view stays as it is
	told     bool   // the sink knows that it has ended
	paused   *pause // what the job needs to go on after a pause; nil: it runs
	asleep   bool   // paused since before the engine was opened: all that there is of it is in the store
	// stopped, with failed, says that nothing went wrong: the job just does not go on.
	stopped bool

	// Of a job that survives restarts (see checkpoint.go); nil in an engine that keeps nothing.
	journal *journal
	mark    checkpointMark
	waiting *jobSnapshot // a checkpoint that is not ripe
	plan    uint64
	memory  queryMemory
	took    time.Duration // of the last tick
	again   bool          // it runs steps again: what they told has been told
	// restarts is how often in a row it was brought back after it had failed inside, the last time at cameBack.
	restarts int
	cameBack time.Time
	// carry is output from before the present step, of a job that has come back: it counts even if this step fails.
	carry []*vec.Batch
}

// what names the job in messages.
func (j *job) what() string { return j.rel.rel.Kind.String() + " " + j.rel.rel.Name }

// takeAll takes every batch that a collector holds.
func takeAll(c *exec.Collector) []*vec.Batch {
	var out []*vec.Batch
	for b := c.Next(); b != nil; b = c.Next() {
		out = append(out, b)
	}
	return out
}

// newJob builds the graph of a view and opens its inputs. rel.table receives the result.
// at, where not nil, says where the inputs stood when the state was written that the job will go on with.
func (e *Engine) newJob(ctx context.Context, rel *relation, root planner.Node, fc *fn.Ctx, viewer *catalog.Viewer, path []string, at []feedPosition) (j *job, err error) {
	j = &job{e: e, rel: rel, since: e.clock(), out: exec.NewCollector(), put: newAside(e, rel.rel.Owner), plan: planDigest(root)}
	if j.late, err = e.newLateRows(root, rel.rel, path, j.put); err != nil {
		j.close()
		return nil, err
	}
	xc := &exec.Context{Alloc: e.alloc, Fn: fc, Continuous: true, Stats: &j.stats, RowError: j.rowError, Late: j.late.late, Parallel: e.parallel}
	j.memory = e.newMemory(e.budget.Job(rel.rel.Name))
	j.memory.bind(xc, j.out)
	if j.graph, err = exec.Build(xc, root, j.out); err != nil {
		j.close()
		return nil, err
	}
	j.reads = scannedOIDs(j.graph)
	j.sub = e.subscribe(j.reads, false)
	if j.feeds, err = e.newFeeds(ctx, j.graph, j.sub.snaps, viewer, fc.Env, true, e.alloc, j.put, at); err != nil {
		j.close()
		return nil, err
	}
	for _, s := range j.sub.snaps {
		j.stored += s.Len()
	}
	for _, f := range j.feeds {
		j.timed = j.timed || f.src != nil
	}
	return j, nil
}

// scannedOIDs lists the relations that the inputs of a graph read, each once.
func scannedOIDs(g *exec.Graph) []uint32 {
	var oids []uint32
	for _, in := range g.Inputs() {
		if oid := in.Scan.Rel.OID; !slices.Contains(oids, oid) {
			oids = append(oids, oid)
		}
	}
	return oids
}

// fillRows is how many rows of the result wait to be put into a view that is being filled.
const fillRows = 64 * vec.MaxRows

// fill brings the view up to the present: stored rows, bounded input to its end, and the epochs that passed meanwhile.
func (j *job) fill(ctx context.Context) (err error) {
	defer recovered(j.e, j.what(), &err)
	j.e.filling.Store(j, nil)
	defer j.e.filling.Delete(j)
	if j.sink == nil { // nobody sees the view yet: rows go into it as they come
		j.out.OnFull(fillRows, j.apply)
		defer j.out.OnFull(0, nil)
	}
	for _, f := range j.feeds {
		f.load(true)
		for more := f.rows != nil; more; {
			more, err = f.pushStored()
			if err = j.orEnd(err); err != nil {
				return err
			}
			j.read.Store(j.stats.Rows)
			if err := ctx.Err(); err != nil {
				return canceled(ctx)
			}
			if j.sink != nil { // what can go out at once does not gather
				if err := j.apply(); err != nil {
					return err
				}
			}
		}
		f.load(false)
		// A sink writes while its connectors are read.
		for j.sink == nil && f.src != nil && !f.ended && f.scan.Rel.Bounded {
			if _, err := f.poll(ctx, f.e.batchRows); err != nil {
				return err
			}
			j.read.Store(j.stats.Rows)
			if ctx.Err() != nil {
				return canceled(ctx)
			}
		}
	}
	if j.ended { // LIMIT
		return j.apply()
	}
	if j.ended, err = endIdle(j.feeds); err != nil {
		return err
	}
	now := j.e.nextTick()
	if j.sink != nil { // what it begins with has the time of that content
		now = j.sub.now
	}
	if err := j.tick(j.sub.epoch, now); err != nil {
		return err
	}
	if err := j.drain(); err != nil {
		return err
	}
	for _, f := range j.feeds {
		f.patient = f.src != nil
	}
	return j.apply()
}

// drain pushes the epochs that the subscription has gathered.
func (j *job) drain() error {
	for {
		ec, err := j.sub.next()
		if err != nil || ec == nil {
			return err
		}
		if j.ended {
			ec.release()
			continue
		}
		err = j.takeEpoch(ec)
		ec.release()
		if err != nil {
			return err
		}
	}
}

// takeEpoch runs a step with the changes of an epoch and nothing else.
func (j *job) takeEpoch(ec *epochChanges) error {
	began := time.Now()
	j.beginStep()
	for _, f := range j.feeds {
		if bs := ec.deltas[f.scan.Rel.OID]; f.changes && len(bs) > 0 {
			j.tookDeltas()
			if err := j.orEnd(f.pushChanges(bs)); err != nil || j.ended {
				j.endStep(ec.epoch, ec.now, false, time.Since(began))
				return err
			}
		}
	}
	if err := j.tick(ec.epoch, ec.now); err != nil {
		return err
	}
	j.endStep(ec.epoch, ec.now, true, time.Since(began))
	return nil
}

// apply puts the output so far into the view's table or what the sink writes to. Used while it is filled; later the coordinator does it.
func (j *job) apply() error {
	for b := j.out.Next(); b != nil; b = j.out.Next() {
		j.rows += int64(b.N)
		if j.sink != nil {
			if err := j.sink.to.write(b); err != nil {
				return err
			}
			continue
		}
		err := j.rel.table.Apply(b)
		b.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

func (j *job) tick(epoch uint64, now vec.Time) error {
	j.steps++
	began := time.Now()
	err := j.orEnd(j.graph.Tick(exec.Tick{Epoch: epoch, Now: now}))
	j.took = time.Since(began)
	return err
}

// orEnd takes the error that says that the query has given all its rows for what it is.
func (j *job) orEnd(err error) error {
	if errors.Is(err, exec.ErrFinished) {
		j.ended, err = true, nil
	}
	return err
}

// runStep takes part in a step of the coordinator.
func (j *job) runStep(ctx context.Context, deltas map[uint32][]*vec.Batch, now vec.Time, deadline time.Time) (more bool, wait time.Duration) {
	var err error
	defer func() {
		if err != nil && ctx.Err() == nil {
			j.fail(err)
			j.comeBack(ctx)
		}
	}()
	defer recovered(j.e, j.what(), &err)
	j.carry = takeAll(j.out)
	if j.e.fault != nil {
		j.e.fault(j)
	}
	if j.paused != nil {
		j.paused.hold(j.e.epoch+1, now, deltas)
		return false, 0
	}
	if j.ended {
		return false, 0
	}
	began := time.Now()
	pushed := false
	j.beginStep()
	for _, f := range j.feeds {
		if bs := deltas[f.scan.Rel.OID]; f.changes && len(bs) > 0 {
			pushed = true
			j.tookDeltas()
			if err = j.orEnd(f.pushChanges(bs)); err != nil {
				return false, 0 // the journal knows nothing of a step that failed
			}
			if j.ended {
				j.endStep(j.e.epoch+1, now, false, time.Since(began))
				return false, 0
			}
		}
	}
	if j.timed && (j.e.coord.draining || j.e.coord.awaited[j.rel.rel.OID]) {
		wait = time.Second
	} else if j.timed && (j.e.asides.full() || j.e.persist.drains()) {
		wait = time.Millisecond
	} else if j.timed && j.sink != nil && j.sink.full() {
		wait = time.Second // the writer wakes the coordinator
	} else if j.timed {
		var p bool
		if j.memory.spilled() {
			deadline = j.memory.deadline(j.took)
		}
		p, more, wait, err = pollAll(ctx, j.feeds, deadline, nil)
		if err = j.orEnd(err); err != nil {
			return false, 0
		}
		if j.ended {
			j.endStep(j.e.epoch+1, now, false, time.Since(began))
			return false, 0
		}
		pushed = pushed || p
	}
	if j.ended, err = endIdle(j.feeds); err != nil {
		return false, 0
	}
	if due := j.graph.NextTimer(); pushed || j.ended || due <= now {
		if err = j.tick(j.e.epoch+1, now); err == nil {
			j.endStep(j.e.epoch+1, now, due <= now, time.Since(began))
		}
	}
	if due := j.graph.NextTimer(); err == nil && !j.ended && due != vec.MaxTime {
		if w := time.Duration(max(due-now, 100)) * time.Microsecond; wait == 0 || w < wait {
			wait = w
		}
	}
	return more, wait
}

func (j *job) takeOutput() []*vec.Batch {
	bs := append(j.carry, takeAll(j.out)...)
	for _, b := range bs {
		j.rows += int64(b.N)
	}
	return bs
}

// fail stops the job; the view keeps its last content and sys.jobs shows why.
func (j *job) fail(err error) {
	j.failed, j.failedAt = err, j.e.epoch
	j.e.log.Error(j.rel.rel.Kind.String()+" stopped", "name", j.rel.rel.Name, "error", failureText(err))
	j.out.Close()
	j.free()
}

// free gives back the memory of the job's state. That of a job that has failed is of no more use: it goes on from what the store keeps.
func (j *job) free() {
	var err error
	defer recovered(j.e, j.what(), &err) // an operator that has panicked may do so again
	if g := j.graph; g != nil {
		j.graph = nil
		g.Close()
	}
	j.memory.close()
}

// failureText says in one line why something failed: what an error is about is in its detail.
func failureText(err error) string {
	e := pgerr.From(err)
	text := e.Message
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	if e.Code == pgerr.OutOfMemory {
		text += " (SQLSTATE " + e.Code + ")"
	}
	return text
}

func (j *job) rowError(err error, b *vec.Batch, row int) error {
	if j.again {
		return nil
	}
	j.rel.rowErrors.Add(1)
	j.e.recordRowError(j.rel.rel, err, b, row)
	return nil
}

func (j *job) close() {
	if j.sub != nil {
		j.e.unsubscribe(j.sub)
		j.sub = nil
	}
	if j.sink != nil {
		j.sink.stop(true)
	}
	if j.paused != nil {
		j.paused.release(j)
		j.paused = nil
	}
	if j.waiting != nil {
		c := j.waiting
		j.waiting = nil
		if c.gone.Store(true); c.writing == nil {
			c.drop(j.e.persist.store)
		} else { // it may take a moment
			j.e.persist.blobs.Add(1)
			go func() {
				defer j.e.persist.blobs.Done()
				c.drop(j.e.persist.store)
			}()
		}
	}
	closeFeeds(j.feeds)
	j.feeds = nil
	j.put.close()
	j.late.close()
	if j.graph != nil {
		j.graph.Close()
		j.graph = nil
	}
	j.out.Close()
	j.memory.close()
}
