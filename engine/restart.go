package engine

import (
	"context"
	"errors"
	"slices"
	"time"

	"streamsql/catalog"
	"streamsql/exec"
	"streamsql/internal/crash"
	"streamsql/internal/pgerr"
	"streamsql/sql/parser"
	"streamsql/sql/planner"
	"streamsql/state"
)

// restarted is a job that was running when the engine was left.
type restarted struct {
	rel *catalog.Relation
	rec *jobRecord // nil: nothing is kept of it
	sub *subscription
	// waking: RESUME brings it back, and makes the catalog say so afterwards.
	waking bool
}

// restartPatience is how long Open waits for the jobs to be back. Beyond that they come back while queries are answered from
// what is stored; changes of tables wait for them.
const restartPatience = 100 * time.Millisecond

// restart begins what was running when the directory was left: the jobs of views and sinks, those first that others read, and the connectors of tables.
func (e *Engine) restart(ctx context.Context, returning func(*catalog.Relation)) error {
	if e.persist == nil {
		return nil
	}
	records, err := readJobs(e.persist.store)
	if err != nil {
		return err
	}
	e.coord.step.Lock()
	e.kept = loadKept(records)
	e.persist.atCut = e.cutJobs
	err = e.dropUnusedBlobs()
	jobs := e.stoppedJobs(records)
	for oid := range records {
		if !slices.ContainsFunc(jobs, func(j restarted) bool { return j.rel.OID == oid }) {
			e.kept.forget(oid)
		}
	}
	e.coord.step.Unlock()
	if err != nil {
		return err
	}
	crash.At(crash.RecoveryBegun)
	e.resuming.Store(int32(len(jobs)))
	e.awaitReaders(jobs)
	for _, rel := range e.cat.Relations() {
		if _, ok := rel.Option("connector"); ok && rel.Kind == catalog.Table {
			at, err := e.persist.ingested(rel.OID)
			if err != nil {
				return err
			}
			e.write.Lock()
			e.startIngest(rel, at)
			e.write.Unlock()
		}
	}
	// What a view has given since it is back may be published while those that read it have taken it in, and not given anything yet: after
	// one more step they fit together.
	fit := &commit{alone: true, light: true, done: make(chan error, 1)}
	e.running.Add(1)
	go func() {
		defer e.running.Done()
		defer e.coord.enqueue(fit)
		for i, j := range jobs {
			if returning != nil {
				returning(j.rel)
			}
			var err error
			if !e.staysPaused(j) {
				err = e.restartJob(ctx, j)
			}
			crash.At(crash.RecoveredJob)
			e.resuming.Add(-1)
			e.awaitReaders(jobs[i+1:])
			e.coord.poke()
			if err != nil && ctx.Err() == nil {
				e.stayed(ctx, j.rel, err)
			}
		}
	}()
	select {
	case <-fit.done:
	case <-time.After(restartPatience):
		e.log.Info("jobs are still on their way back; queries are answered from what is stored")
	}
	return nil
}

// awaitReaders lets no view read more from its sources while one that reads the view is among those on their way back: queries would see the one ahead
// of the other.
func (e *Engine) awaitReaders(returning []restarted) {
	cat := e.Catalog()
	awaited := map[uint32]bool{}
	var add func(rel *catalog.Relation)
	add = func(rel *catalog.Relation) {
		for _, oid := range rel.Depends {
			if in := cat.ByOID(oid); in != nil && !awaited[oid] {
				awaited[oid] = true
				add(in)
			}
		}
	}
	for _, r := range returning {
		add(r.rel)
	}
	e.coord.step.Lock()
	e.coord.awaited, e.coord.returning = awaited, returning
	e.coord.step.Unlock()
}

// stoppedJobs lists the views and sinks, what they read before them. From now on the changes that each will have to take in are gathered.
func (e *Engine) stoppedJobs(records map[uint32]*jobRecord) (out []restarted) {
	seen := map[uint32]bool{}
	var add func(rel *catalog.Relation)
	add = func(rel *catalog.Relation) {
		if rel == nil || seen[rel.OID] {
			return
		}
		seen[rel.OID] = true
		for _, oid := range rel.Depends { // a view that was replaced may read what was made after it
			add(e.cat.ByOID(oid))
		}
		if rel.Kind != catalog.MatView && rel.Kind != catalog.Sink {
			return
		}
		j := restarted{rel: rel, rec: records[rel.OID]}
		if j.rec != nil && j.rec.checkpoint != nil {
			j.sub = e.subscribe(j.rec.checkpoint.reads, false)
		}
		out = append(out, j)
	}
	for _, rel := range e.cat.Relations() {
		add(rel)
	}
	return out
}

// dropUnusedBlobs removes the checkpoints that no record names: of epochs that did not get to the store.
func (e *Engine) dropUnusedBlobs() error {
	names, err := e.persist.store.Blobs()
	if err != nil {
		return err
	}
	for _, name := range names {
		used := false
		for _, j := range e.kept.by {
			used = used || j.blob == name
		}
		if !used {
			if err := e.persist.store.RemoveBlob(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// cutJobs adds to a durable epoch what is kept of jobs. The caller holds coordinator.step.
func (e *Engine) cutJobs(c *epochCut) {
	jc := e.kept.cut(e.coord.jobs, c.epoch)
	taken := e.kept.taken(c.epoch)
	c.trim = taken + 1
	kept := c.changes[:0]
	for _, ec := range c.changes {
		if ec.epoch <= taken {
			ec.release()
		} else {
			kept = append(kept, ec)
		}
	}
	c.changes = kept
	c.add(func(b *state.Commit) error { return jc.write(e.persist.store, b) })
	c.drop = jc.drop
}

// keep makes the job one that survives a restart, from the present epoch on. The caller holds coordinator.step and then schedules it.
func (j *job) keep() {
	if j.e.persist == nil {
		return
	}
	j.journal = newJournal()
	for _, f := range j.feeds {
		if f.src != nil {
			f.log = j.journal
		}
	}
}

// restartJob brings a job back. A view of which nothing usable is kept is computed anew, as far as what it reads is still there.
func (e *Engine) restartJob(ctx context.Context, r restarted) (err error) {
	defer recovered(e, r.rel.Kind.String()+" "+r.rel.Name, &err)
	taken := false
	defer func() {
		if r.sub != nil && !taken {
			e.unsubscribe(r.sub)
		}
	}()
	if r.rel = e.Catalog().ByOID(r.rel.OID); r.rel == nil { // it was dropped meanwhile
		return nil
	}
	s, err := e.NewSession(SessionOptions{})
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.takeSettings(r.rel); err != nil {
		return err
	}
	q, err := s.planStored(r.rel)
	if err != nil {
		return err
	}
	if r.sub != nil {
		j, err := s.resumeJob(ctx, e.runtimeOf(r.rel), q.Root, r.rec, r.sub)
		if err == nil {
			taken = true
			return e.scheduleResumed(j, r.waking)
		}
		if !errors.Is(err, errOldState) {
			return err
		}
	}
	if r.rel.Kind == catalog.Sink {
		return pgerr.New(pgerr.ObjectNotInPrerequisiteState, "the sink does not go on: where it was is not kept in a form that this version reads").
			WithHint("DROP SINK and CREATE it again with another path.")
	}
	e.log.Warn("the materialized view is computed anew: its state is not kept in a form that this version reads", "view", r.rel.Name)
	// Readers see what is stored until it has been computed.
	started, err := s.startJob(ctx, e.newRelation(r.rel), q.Root, true)
	if err != nil {
		return err
	}
	c := e.coord
	c.step.Lock()
	defer c.step.Unlock()
	if e.Catalog().ByOID(r.rel.OID) == nil {
		started.close()
		return nil
	}
	if err := e.publishJob(started, nil); err != nil {
		return err
	}
	e.pauseReturned(started, r.waking) // where it stood still is not known any more: it does so where it is now
	return nil
}

// pauseReturned lets a job that has just come back stand still if the catalog says so. The caller holds coordinator.step.
func (e *Engine) pauseReturned(j *job, waking bool) {
	e.cut.Lock()
	defer e.cut.Unlock()
	if rel := e.cat.ByOID(j.rel.rel.OID); rel != nil && rel.Paused && !waking {
		j.pause()
	}
}

// staysPaused shows a job that was paused when the engine was left, and is still meant to be. What it has to take in stays in the store until it
// goes on. It is false for a job that comes back.
func (e *Engine) staysPaused(r restarted) bool {
	if r.sub == nil {
		return false
	}
	e.coord.step.Lock()
	defer e.coord.step.Unlock()
	rel := e.Catalog().ByOID(r.rel.OID)
	if rel == nil || !rel.Paused {
		return false
	}
	e.unsubscribe(r.sub)
	e.coord.addJob(&job{e: e, rel: e.runtimeOf(rel), since: e.clock(), out: exec.NewCollector(), paused: &pause{}, asleep: true})
	return true
}

// runtimeOf gives the runtime side of a view, or makes one for a sink.
func (e *Engine) runtimeOf(rel *catalog.Relation) *relation {
	e.cut.RLock()
	defer e.cut.RUnlock()
	if r := e.relations[rel.OID]; r != nil {
		return r
	}
	return &relation{rel: rel}
}

// planStored plans the definition of a view or sink.
func (s *Session) planStored(rel *catalog.Relation) (*planner.Query, error) {
	query, err := parser.ParseQuery(rel.Definition)
	if err != nil {
		return nil, err
	}
	if rel.Kind == catalog.MatView {
		return planner.PlanView(query, boundOptions(s, rel))
	}
	takes, err := s.sinkTakes(rel)
	if err != nil {
		return nil, err
	}
	return s.planSink(rel, query, takes, 0, rel.Definition, nil)
}

// boundOptions are for the definition of a relation that is planned again: its names mean what they did.
func boundOptions(s *Session, rel *catalog.Relation) *planner.Options {
	o := s.planOptions(nil, rel.Definition)
	o.Bound = rel.Bound
	return o
}

// scheduleResumed puts a job that is back into the schedule, with the changes that came meanwhile, unless it was dropped.
func (e *Engine) scheduleResumed(j *job, waking bool) (err error) {
	c := e.coord
	c.step.Lock()
	defer c.step.Unlock()
	kept := false
	defer func() {
		if !kept {
			if j.sink != nil {
				j.sink.giveUp()
				j.sink = nil
			}
			j.close()
		}
	}()
	if e.Catalog().ByOID(j.rel.rel.OID) == nil {
		return nil
	}
	if err := j.drain(); err != nil {
		return err
	}
	kept = true
	e.unsubscribe(j.sub)
	j.sub = nil
	c.jobs = slices.DeleteFunc(c.jobs, func(k *job) bool { // the one that said why it was not back yet
		if k.rel.rel.OID != j.rel.rel.OID {
			return false
		}
		j.restarts, j.cameBack = k.restarts, k.cameBack
		k.close()
		return true
	})
	c.addJob(j)
	if j.sink != nil {
		j.sink.start()
	}
	e.pauseReturned(j, waking)
	c.poke()
	return nil
}

// stayed shows in sys.jobs why a job did not come back, and tries again for as long as that may help.
func (e *Engine) stayed(ctx context.Context, rel *catalog.Relation, why error) {
	e.log.Error(rel.Kind.String()+" could not be started", "name", rel.Name, "error", why)
	j := &job{e: e, rel: e.runtimeOf(rel), since: e.clock(), out: exec.NewCollector(), failed: why}
	e.coord.step.Lock()
	gone := e.Catalog().ByOID(rel.OID) == nil
	if !gone {
		e.coord.addJob(j)
	}
	e.coord.step.Unlock()
	if gone || !mayPass(why) {
		return
	}
	e.running.Add(1)
	go func() {
		defer e.running.Done()
		for pause := firstRetry; ; pause = min(2*pause, lastRetry) {
			if sleep(ctx, pause) != nil || e.Catalog().ByOID(rel.OID) == nil {
				return
			}
			err := e.restartAgain(ctx, rel, false)
			if err == nil {
				return
			}
			e.coord.step.Lock()
			j.failed = err
			e.coord.step.Unlock()
			if !mayPass(err) {
				return
			}
		}
	}()
}

// restartAgain brings a job back while the engine runs: what it has to take in is in the store, up to the present.
func (e *Engine) restartAgain(ctx context.Context, rel *catalog.Relation, waking bool) error {
	records, err := readJobs(e.persist.store)
	if err != nil {
		return err
	}
	r := restarted{rel: rel, rec: records[rel.OID], waking: waking}
	if r.rec != nil && r.rec.checkpoint != nil {
		r.sub = e.subscribe(r.rec.checkpoint.reads, false)
		if err := e.persist.wait(); err != nil {
			e.unsubscribe(r.sub)
			return err
		}
	}
	return e.restartJob(ctx, r)
}
