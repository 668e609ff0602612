package engine

import (
	"context"
	"sync/atomic"

	"streamsql/catalog"
	"streamsql/internal/pgerr"
	"streamsql/internal/vec"
	"streamsql/sql/parser/ast"
	"streamsql/state"
)

// pause is what a job that was paused needs to go on. What it reads from connectors waits there. With a data directory changes wait in the
// store, and it goes on as after a restart. Otherwise there are the contents that it has taken in, which share what has not changed with
// the present ones, and the rows of sources that keep none.
type pause struct {
	epoch uint64 // the last that the job has taken part in
	snaps map[uint32]*state.TableSnapshot
	// Of sources without a connector.
	waiting []epochChanges
	waking  bool // it is about to go on
	held    map[uint32]*heldRows
}

// heldRows are the rows of a source that wait for a paused job.
type heldRows struct {
	view string
	rows atomic.Int64
}

// heldKey names the rows of a source that wait for a job.
type heldKey struct{ source, job uint32 }

// pause makes the job stand still. It is called within the cut of an epoch, which the job has taken part in.
func (j *job) pause() {
	if j.paused != nil || j.failed != nil {
		return
	}
	p := &pause{epoch: j.e.epoch, held: map[uint32]*heldRows{}}
	if j.journal != nil { // the store keeps what it will take in
		j.paused = p
		return
	}
	var oids []uint32
	for _, f := range j.feeds {
		switch rel := f.scan.Rel; {
		case !f.changes:
		case rel.Kind == catalog.Source:
			if p.held[rel.OID] == nil {
				p.held[rel.OID] = &heldRows{view: j.what()}
				j.e.held.Store(heldKey{rel.OID, j.rel.rel.OID}, p.held[rel.OID])
			}
		default:
			oids = append(oids, rel.OID)
		}
	}
	p.snaps = j.e.snapshotsLocked(oids)
	j.paused = p
}

// hold keeps what a paused job would have taken in and what nobody else keeps.
func (p *pause) hold(epoch uint64, now vec.Time, deltas map[uint32][]*vec.Batch) {
	ec := epochChanges{epoch: epoch, now: now}
	for oid, h := range p.held {
		for _, b := range deltas[oid] {
			if ec.deltas == nil {
				ec.deltas = map[uint32][]*vec.Batch{}
			}
			ec.deltas[oid] = append(ec.deltas[oid], b.Retain())
			h.rows.Add(int64(b.N))
		}
	}
	if ec.deltas != nil {
		p.waiting = append(p.waiting, ec)
	}
}

func (p *pause) release(j *job) {
	for i := range p.waiting {
		p.waiting[i].release()
	}
	p.waiting = nil
	for oid := range p.held {
		j.e.held.Delete(heldKey{oid, j.rel.rel.OID})
	}
}

// checkHeld refuses more rows for a source when too many of it wait for a paused job.
func (e *Engine) checkHeld(source *catalog.Relation) (err error) {
	e.held.Range(func(k, v any) bool {
		if h := v.(*heldRows); k.(heldKey).source == source.OID && h.rows.Load() > maxPending {
			err = pgerr.New(pgerr.ConfigurationLimitExceeded, "more than %d rows of source \"%s\" wait for %s, which is paused", maxPending, source.Name, h.view).
				WithHint("RESUME or DROP it.")
		}
		return err == nil
	})
	return err
}

// resume lets a paused job go on with what has changed meanwhile. The caller does not hold coordinator.step.
func (j *job) resume() error {
	e, c := j.e, j.e.coord
	c.step.Lock()
	p := j.paused
	if p == nil {
		failed := j.failed
		c.step.Unlock()
		if failed == nil || j.journal == nil {
			return nil
		}
		return j.wake() // of a job that failed: from the last epoch
	}
	if j.asleep || j.journal != nil {
		again := p.waking
		p.waking = true
		c.step.Unlock()
		if again {
			return nil
		}
		err := j.wake()
		c.step.Lock()
		defer c.step.Unlock()
		p.waking = false
		return err
	}
	oids := j.reads
	sub := e.subscribe(oids, false)
	c.step.Unlock()

	// Contents are compared while others go on.
	changes := map[uint32][]*vec.Batch{}
	defer func() {
		for _, bs := range changes {
			releaseAll(bs)
		}
		e.unsubscribe(sub)
	}()
	for oid, old := range p.snaps {
		rel, now := e.Catalog().ByOID(oid), sub.snaps[oid]
		if rel == nil || old == nil || now == nil {
			continue // it was dropped, and the job is about to be
		}
		bs, err := changesBetween(rel, old, now, e.alloc)
		if err != nil {
			return err
		}
		changes[oid] = bs
	}

	c.step.Lock()
	defer c.step.Unlock()
	if j.paused != p {
		return nil // somebody else has, or the job is gone
	}
	first := &epochChanges{epoch: sub.epoch, now: sub.now, deltas: changes}
	j.sub = sub
	err := func() error {
		for i := range p.waiting {
			if w := &p.waiting[i]; w.epoch <= sub.epoch { // later ones come with the subscription
				if err := j.takeEpoch(w); err != nil {
					return err
				}
			}
		}
		if err := j.takeEpoch(first); err != nil {
			return err
		}
		return j.drain()
	}()
	j.sub = nil
	p.release(j)
	j.paused = nil
	if err != nil {
		j.fail(err)
	}
	c.poke()
	return err
}

// pause executes PAUSE and RESUME.
func (s *Session) pause(x *ast.Pause) error {
	cat := s.e.Catalog()
	rel, err := s.relationNamed(cat, x.Name, x.IfExists)
	switch {
	case rel == nil:
		return err
	case rel.Kind != catalog.MatView && rel.Kind != catalog.Sink, x.Kind == "sink" && rel.Kind != catalog.Sink, x.Kind == "materialized view" && rel.Kind != catalog.MatView:
		what := x.Kind
		if what == "" {
			what = "materialized view or sink"
		}
		return pgerr.New(pgerr.WrongObjectType, "\"%s\" is not a %s", rel.Name, what).At(x.Name.Pos)
	}
	if err := s.mustOwn(rel.Object(cat)); err != nil {
		return err
	}
	return s.e.setPaused(rel, !x.Resume)
}

// wake lets a job that is paused, or has failed, go on from what the store keeps of it, as after a restart.
func (j *job) wake() error { return j.restart(context.Background(), true) }

func (j *job) restart(ctx context.Context, waking bool) error {
	if j.sink != nil { // what it was given is committed, and its position recorded
		j.sink.stop(false)
		<-j.sink.done
	}
	if err := j.e.persist.wait(); err != nil {
		return err
	}
	return j.e.restartAgain(ctx, j.rel.rel, waking)
}

// setPaused makes a view or sink stand still or go on, and remembers it. One that is on its way back after a restart finds in the catalog what it is
// to do. The caller holds no lock of the engine.
func (e *Engine) setPaused(rel *catalog.Relation, on bool) error {
	if on {
		return e.putPaused(rel, true)
	}
	goOn := func() error {
		if j := e.jobOf(rel.OID); j != nil {
			return j.resume()
		}
		return nil
	}
	// First it goes on, then it is known to: a crash in between leaves it paused.
	if err := goOn(); err != nil {
		return err
	}
	if err := e.putPaused(rel, false); err != nil {
		return err
	}
	return goOn() // if it came back, and stood still, before the catalog said otherwise
}

// putPaused makes the catalog say that a view or sink stands still or does not, and one that runs stand still.
func (e *Engine) putPaused(rel *catalog.Relation, on bool) error {
	e.write.Lock()
	defer e.write.Unlock()
	now := e.Catalog().ByOID(rel.OID)
	if now == nil {
		return pgerr.New(pgerr.UndefinedTable, "relation \"%s\" does not exist", rel.Name)
	}
	if now.Paused == on {
		return nil
	}
	put := *now
	put.Paused = on
	return e.changeCatalog(&catalogChange{Put: []*catalog.Relation{&put}}, func() {
		if r := e.relations[put.OID]; r != nil {
			r.rel = &put
		}
		for _, j := range e.coord.jobs {
			if j.rel.rel.OID == put.OID {
				j.rel.rel = &put
				if on {
					j.pause()
				}
			}
		}
	})
}

// jobOf gives the job of a view or sink, nil if there is none.
func (e *Engine) jobOf(oid uint32) *job {
	e.coord.step.Lock()
	defer e.coord.step.Unlock()
	for _, j := range e.coord.jobs {
		if j.rel.rel.OID == oid {
			return j
		}
	}
	return nil
}
