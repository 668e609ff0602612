package engine

import (
	"context"
	"errors"
	"slices"
	"time"

	"streamsql/catalog"
	"streamsql/connector"
	"streamsql/internal/pgerr"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
	"streamsql/state"
)

// resumeJob brings a job back from what is kept of it: its state at the checkpoint, the steps since then run again without
// anybody seeing their output, and then the changes since the last of them that the store has, whose output waits in j.out.
// sub gathers the changes after those. The caller puts the job into the schedule; errOldState means that the view has to be computed anew.
func (s *Session) resumeJob(ctx context.Context, r *relation, root planner.Node, rec *jobRecord, sub *subscription) (j *job, err error) {
	e := s.e
	defer recovered(e, r.rel.Kind.String()+" "+r.rel.Name, &err)
	if rec.checkpoint == nil || rec.position == nil || rec.checkpoint.plan != planDigest(root) {
		return nil, errOldState
	}
	store := e.persist.store
	steps, err := readJournal(store, r.rel.OID)
	if err != nil {
		return nil, err
	}
	fc := s.fnCtx(ctx)
	j, err = e.newJob(ctx, r, root, fc, s.viewer(), s.searchPath(e.Catalog()), rec.checkpoint.feeds)
	if err != nil {
		return nil, err
	}
	made := j
	defer func() {
		if err == nil {
			return
		}
		if made.sink != nil {
			made.sink.giveUp()
			made.sink = nil
		}
		made.sub = nil // the caller's
		made.close()
	}()
	e.unsubscribe(j.sub)
	j.sub = sub
	fc.Session, fc.Env.RegName = nil, nil // the job outlives the session
	if err := rec.restore(store, j.graph); err != nil {
		return nil, err
	}
	j.ended = rec.checkpoint.ended
	j.journal = newJournal()
	j.mark.at = time.Now() // there is a checkpoint: the next one need not hurry
	p := &replay{j: j, steps: steps, from: rec}
	if r.rel.Kind == catalog.Sink {
		if p.sink, err = e.persist.sinkAt(r.rel.OID); err != nil {
			return nil, err
		}
		if j.sink, err = e.openSink(r.rel, p.sink); err != nil {
			return nil, err
		}
	}
	p.begin()
	err = e.persist.storedChanges(state.History, rec.checkpoint.epoch+1, vec.MinTime, p.schema, func(ec epochChanges) error {
		defer ec.release()
		if ctx.Err() != nil {
			return canceled(ctx)
		}
		if ec.epoch > sub.epoch { // it has become durable since; sub has it as well, and all that come after it
			return errTaken
		}
		return p.take(ctx, &ec)
	})
	if err == nil || errors.Is(err, errTaken) {
		err = p.finish(ctx)
	}
	return j, err
}

// errTaken ends the reading of changes.
var errTaken = errors.New("what follows is gathered")

// replay runs the steps of a job again, and goes on with changes that the job has not taken in yet.
type replay struct {
	j     *job
	steps []journalStep
	from  *jobRecord
	done  bool         // the steps have been run
	sink  sinkPosition // of a sink
}

// schema gives the columns of the relations whose changes the job reads, nil for others.
func (p *replay) schema(oid uint32) *vec.Schema {
	if rel := p.j.e.Catalog().ByOID(oid); rel != nil && slices.Contains(p.from.checkpoint.reads, oid) {
		return rel.Fields()
	}
	return nil
}

// begin silences the job: what its steps give and tell is known.
func (p *replay) begin() {
	p.mute(true)
	for _, f := range p.j.feeds {
		f.log = &journal{} // so that what is pushed has a digest
	}
}

func (p *replay) mute(on bool) {
	p.j.again, p.j.late.again, p.j.put.muted = on, on, on
}

// take goes on to the changes of an epoch.
func (p *replay) take(ctx context.Context, ec *epochChanges) error {
	if !slices.ContainsFunc(p.j.feeds, func(f *feed) bool { return len(ec.deltas[f.scan.Rel.OID]) > 0 }) {
		return nil
	}
	for len(p.steps) > 0 {
		st := &p.steps[0]
		if st.deltas && st.epoch > ec.epoch {
			return nil
		}
		if st.deltas && st.epoch < ec.epoch {
			return lostChanges(st.epoch)
		}
		p.steps = p.steps[1:]
		if err := p.run(ctx, st, ec); err != nil || st.deltas {
			return err
		}
	}
	if err := p.end(ctx); err != nil || ec.epoch <= p.from.position.epoch || p.j.ended {
		return err
	}
	return p.j.takeEpoch(ec)
}

// finish runs the steps that are left.
func (p *replay) finish(ctx context.Context) error {
	for i := range p.steps {
		if p.steps[i].deltas {
			return lostChanges(p.steps[i].epoch)
		}
		if err := p.run(ctx, &p.steps[i], nil); err != nil {
			return err
		}
	}
	p.steps = nil
	return p.end(ctx)
}

func lostChanges(epoch uint64) error {
	return pgerr.New(pgerr.DataCorrupted, "the store has lost the changes of epoch %d", epoch).WithHint("Restore the data directory from a backup.")
}

// end goes over from what the job has done before to what is new.
func (p *replay) end(ctx context.Context) error {
	if p.done {
		return nil
	}
	p.done = true
	releaseRows(p.j.put.take())
	p.mute(false)
	p.j.rows = p.from.position.rows
	p.j.late.restore(p.from.position.late)
	return p.j.reopen(ctx, p.from.position.feeds)
}

// run runs a step again. Its output is in the view, or with the sink, unless the sink had not prepared it.
func (p *replay) run(ctx context.Context, st *journalStep, ec *epochChanges) error {
	if ctx.Err() != nil {
		return canceled(ctx)
	}
	if !st.deltas {
		ec = nil
	}
	j := p.j
	if err := j.replayStep(ctx, st, ec); err != nil {
		return err
	}
	out := takeAll(j.out)
	if j.sink == nil || st.epoch <= p.sink.Through {
		releaseAll(out)
		return nil
	}
	if j.ended {
		j.told = true
	}
	if len(out) == 0 && !j.ended {
		return nil
	}
	return j.sink.put(sinkOutput{epoch: st.epoch, rows: out, last: j.ended})
}

func releaseRows(rows []asideRows) {
	for _, r := range rows {
		r.rows.Release()
	}
}

func (j *job) replayStep(ctx context.Context, st *journalStep, ec *epochChanges) error {
	began := time.Now()
	if ec != nil {
		for _, f := range j.feeds {
			if bs := ec.deltas[f.scan.Rel.OID]; f.changes && len(bs) > 0 {
				if err := j.orEnd(f.pushChanges(bs)); err != nil || j.ended {
					return err
				}
			}
		}
	}
	for i := range st.polls {
		p := &st.polls[i]
		if p.input >= len(j.feeds) || j.feeds[p.input].src == nil {
			return errJournal()
		}
		if err := j.orEnd(j.feeds[p.input].pollAgain(ctx, p, st.epoch)); err != nil || j.ended {
			return err
		}
	}
	if st.ended {
		if _, err := endIdle(j.feeds); err != nil {
			return err
		}
		j.ended = true
	}
	err := j.tick(st.epoch, st.now)
	j.journal.work += time.Since(began)
	return err
}

// replayPatience is how long a source may have nothing although it gave rows there before.
const replayPatience = 30 * time.Second

// pollAgain reads the rows that a poll gave, and checks that they are the same.
func (f *feed) pollAgain(ctx context.Context, p *journalPoll, epoch uint64) error {
	var waited time.Duration
	for f.builder.Len() < p.rows {
		had := f.builder.Len()
		got, err := f.src.Poll(ctx, f.builder, p.rows-had)
		if err != nil {
			return err
		}
		n := f.builder.Len() - had
		switch {
		case n > 0 && got.Partition != p.partition || n == 0 && got.Status == connector.End:
			return f.changed(epoch)
		case n == 0 && got.Status == connector.Idle:
			if waited >= replayPatience {
				return f.changed(epoch)
			}
			d := max(time.Duration(got.Wait)*time.Microsecond, time.Millisecond)
			if err := sleep(ctx, d); err != nil {
				return canceled(ctx)
			}
			waited += d
		}
	}
	if p.parts != f.parts {
		f.setPartitionCount(p.parts)
	}
	if err := f.flush(p.partition); err != nil {
		return err
	}
	if p.rows > 0 && f.digest != p.digest {
		return f.changed(epoch)
	}
	if p.end {
		return f.end()
	}
	return nil
}

// changed is the error of a source that does not give again what it gave.
func (f *feed) changed(epoch uint64) error {
	return pgerr.New(pgerr.DataCorrupted, "\"%s\" does not give the rows again that it gave in epoch %d", f.scan.Rel.Name, epoch).
		WithDetail("What it gave since the last checkpoint has to be read again after a restart, and is now missing or different.").
		WithHint("Create the view again to compute it from what the source has now.")
}

// reopen opens the connectors where the job had stopped reading.
func (j *job) reopen(ctx context.Context, at []feedPosition) error {
	if len(at) != len(j.feeds) {
		return errOldState
	}
	for i, f := range j.feeds {
		if f.src != nil {
			f.src.Close()
			f.src = nil
			if err := f.open(ctx, at[i].offset, false); err != nil {
				return err
			}
		}
		if f.log = nil; f.src != nil {
			f.log, f.patient = j.journal, true
		}
	}
	return nil
}
