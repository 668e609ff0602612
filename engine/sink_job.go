package engine

import (
	"context"
	"time"

	"streamsql/catalog"
	"streamsql/internal/crash"
	"streamsql/internal/pgerr"
	"streamsql/sql/parser/ast"
	"streamsql/sql/planner"
)

// startSink opens the writer and the job of a new sink, writes what the sink begins with, and makes it known. What it begins with is prepared
// before the catalog knows the sink, so that after a crash there is either no sink or one that has it.
func (s *Session) startSink(ctx context.Context, x *ast.CreateSink, rel *catalog.Relation, q *planner.Query) error {
	e := s.e
	e.write.Lock()
	e.register(rel)
	e.write.Unlock()
	w, err := e.openSink(rel, sinkPosition{})
	if err != nil {
		return err
	}
	fc := s.fnCtx(ctx)
	j, err := e.newJob(ctx, &relation{rel: rel}, q.Root, fc, s.viewer(), s.searchPath(e.Catalog()), nil)
	if err != nil {
		w.abort()
		return err
	}
	fc.Session, fc.Env.RegName = nil, nil // the job outlives the session
	j.sink = w
	skip, err := s.publishSink(ctx, x, j)
	if err != nil || skip {
		w.abort()
		e.coord.dropJob(rel.OID)
		j.close()
		return err
	}
	if err := w.to.commit(w.last); err != nil {
		w.mu.Lock()
		w.fail(err)
		w.mu.Unlock()
		w.to.close()
		return err
	}
	w.start()
	return nil
}

// publishSink fills a sink, schedules its job and makes it known. skip says that there is a relation of that name, and the statement says IF NOT EXISTS.
func (s *Session) publishSink(ctx context.Context, x *ast.CreateSink, j *job) (skip bool, err error) {
	e, rel, w := s.e, j.rel.rel, j.sink
	if err := j.fill(ctx); err != nil {
		return false, err
	}
	if err := j.put.commit(); err != nil {
		return false, err
	}
	rel.Writes = j.late.writes()
	if err := e.scheduleSink(j); err != nil {
		return false, err
	}
	if err := w.to.prepare(w.last); err != nil {
		return false, err
	}
	crash.At(crash.DefineFilled)
	e.write.Lock()
	defer e.write.Unlock()
	if skip, err := s.taken(rel.Schema, rel.Name, x.IfNotExists, x.Name.Pos); skip || err != nil {
		return skip, err
	}
	for _, oid := range rel.Depends {
		if e.Catalog().ByOID(oid) == nil {
			return false, pgerr.New(pgerr.UndefinedTable, "a relation that sink \"%s\" reads or writes has been dropped meanwhile", rel.Name)
		}
	}
	return false, w.to.publish(&catalogChange{Put: []*catalog.Relation{rel}})
}

// scheduleSink brings a sink that was filled up to the present epoch and puts its job into the schedule: what the job puts out from
// now on waits until the sink is known.
func (e *Engine) scheduleSink(j *job) error {
	c := e.coord
	c.step.Lock()
	defer c.step.Unlock()
	if err := j.drain(); err != nil {
		return err
	}
	if err := j.apply(); err != nil {
		return err
	}
	e.unsubscribe(j.sub)
	j.sub = nil
	j.sink.last = e.epoch
	j.keep()
	if j.journal != nil {
		// From here on there is a checkpoint: when the sink is known it is in the store.
		if err := j.snapshot(e.epoch); err != nil {
			return err
		}
		e.kept.by[j.rel.rel.OID] = &keptJob{reads: j.reads, epoch: e.epoch}
	}
	c.addJob(j)
	c.poke()
	return nil
}

// sinkPositions gives the positions to record with the durable epoch that ends with the present step. The caller holds c.step.
func (c *coordinator) sinkPositions() map[uint32]sinkPosition {
	var out map[uint32]sinkPosition
	for _, j := range c.jobs {
		if j.sink == nil {
			continue
		}
		if out == nil {
			out = map[uint32]sinkPosition{}
		}
		out[j.rel.rel.OID] = j.sinkAt(c.e.epoch)
	}
	return out
}

// sinkAt gives the position of the job's sink at an epoch. The caller holds coordinator.step.
func (j *job) sinkAt(epoch uint64) sinkPosition {
	return j.sink.at(min(epoch, j.part()))
}

// sinksRecorded tells the sinks that positions are in a durable epoch: they commit.
func (c *coordinator) sinksRecorded(at map[uint32]sinkPosition) {
	c.step.Lock()
	defer c.step.Unlock()
	for _, j := range c.jobs {
		if p, ok := at[j.rel.rel.OID]; ok && j.sink != nil {
			j.sink.isRecorded(p)
		}
	}
}

// failSinks ends the sinks whose positions cannot be recorded any more: what they have prepared stays as it is.
func (c *coordinator) failSinks(err error) {
	c.step.Lock()
	defer c.step.Unlock()
	for _, j := range c.jobs {
		if j.sink != nil {
			j.sink.mu.Lock()
			j.sink.fail(err)
			j.sink.mu.Unlock()
		}
	}
}

// stuck reports why nothing becomes durable for the time being, or ever.
func (e *Engine) stuck() error {
	if e.persist == nil {
		return nil
	}
	if err := e.persist.failure(); err != nil {
		return err
	}
	if e.persist.store.Full() {
		return pgerr.New(pgerr.DiskFull, "the disk of the data directory is full")
	}
	return nil
}

// closeSinks ends the writers of all sinks and waits until what they were given is committed, also of those that were dropped just now. Where
// nothing can be recorded they end without.
func (e *Engine) closeSinks() {
	e.coord.step.Lock()
	for _, j := range e.coord.jobs {
		if j.sink != nil {
			j.sink.stop(false)
		}
	}
	e.coord.step.Unlock()
	ended := make(chan struct{})
	go func() {
		e.writers.Wait()
		close(ended)
	}()
	for {
		select {
		case <-ended:
			return
		case <-time.After(50 * time.Millisecond):
			if err := e.stuck(); err != nil {
				e.coord.failSinks(err)
			}
		}
	}
}
