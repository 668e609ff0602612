package engine

import (
	"time"

	"streamsql/internal/pgerr"
	"streamsql/internal/vec"
	"streamsql/state"
)

// journal is what a job has taken in, step by step, since its last checkpoint. A graph is a function of its inputs and of
// the times of its ticks, so the checkpoint and the journal give the same state again; changes of
// tables and views are in the changes log and not here. It is used by whoever runs the job.
type journal struct {
	steps []journalStep // not in the store yet
	step  journalStep   // under way
	// work is how long the steps since the checkpoint took: about what it will take to run them again.
	work time.Duration
	// cuts numbers what is taken from here to the store. It begins with the clock, so that it grows over restarts, too.
	cuts uint64
	// bytes is what the store holds of the journal.
	bytes int64
}

// journalStep is one step of a job: the changes of an epoch, then what was read from connectors, then a tick.
type journalStep struct {
	epoch  uint64
	now    vec.Time
	deltas bool // it took the changes of the epoch
	ended  bool // every input had ended
	polls  []journalPoll
}

// journalPoll is what one poll of a connector gave.
type journalPoll struct {
	input, partition int
	parts            int // partitions known then
	rows             int
	end              bool
	// digest is a hash of the rows: a source that gives others when it is read again is found out.
	digest uint64
}

func newJournal() *journal { return &journal{cuts: uint64(time.Now().UnixNano())} }

// poll notes what a poll gave.
func (l *journal) poll(p journalPoll) {
	if p.rows > 0 || p.end {
		l.step.polls = append(l.step.polls, p)
	}
}

// commit ends a step that was ticked.
func (l *journal) commit(epoch uint64, now vec.Time, took time.Duration) {
	l.step.epoch, l.step.now = epoch, now
	l.steps = append(l.steps, l.step)
	l.work += took
	l.step = journalStep{}
}

// take gives the steps that are not in the store yet, encoded; nil if there are none.
func (l *journal) take() []byte {
	if len(l.steps) == 0 {
		return nil
	}
	var w state.Writer
	writeSteps(&w, l.steps)
	clear(l.steps)
	l.steps = l.steps[:0]
	l.bytes += int64(len(w.Bytes()))
	return w.Bytes()
}

// reset forgets the steps: a checkpoint stands for them.
func (l *journal) reset() {
	clear(l.steps)
	l.steps, l.work, l.bytes = l.steps[:0], 0, 0
}

const (
	stepDeltas = 1 << iota
	stepEnded
)

func writeSteps(w *state.Writer, steps []journalStep) {
	w.Uint64(uint64(len(steps)))
	epoch, now := uint64(0), vec.Time(0)
	for i := range steps {
		s := &steps[i]
		w.Uint64(s.epoch - epoch)
		w.Int64(s.now - now)
		epoch, now = s.epoch, s.now
		flags := uint64(0)
		if s.deltas {
			flags |= stepDeltas
		}
		if s.ended {
			flags |= stepEnded
		}
		w.Uint64(flags)
		w.Uint64(uint64(len(s.polls)))
		for _, p := range s.polls {
			w.Uint64(uint64(p.input))
			w.Uint64(uint64(p.partition))
			w.Uint64(uint64(p.parts))
			w.Uint64(uint64(p.rows))
			w.Bool(p.end)
			w.Uint64(p.digest)
		}
	}
}

func readSteps(r *state.Reader) ([]journalStep, error) {
	n := r.Uint64()
	if n > uint64(r.Len()) {
		return nil, errJournal()
	}
	steps := make([]journalStep, 0, n)
	epoch, now := uint64(0), vec.Time(0)
	for range n {
		epoch += r.Uint64()
		now += r.Int64()
		flags := r.Uint64()
		s := journalStep{epoch: epoch, now: now, deltas: flags&stepDeltas != 0, ended: flags&stepEnded != 0}
		k := r.Uint64()
		if k > uint64(r.Len()) {
			return nil, errJournal()
		}
		for range k {
			s.polls = append(s.polls, journalPoll{input: int(r.Uint64()), partition: int(r.Uint64()), parts: int(r.Uint64()),
				rows: int(r.Uint64()), end: r.Bool(), digest: r.Uint64()})
		}
		steps = append(steps, s)
	}
	if r.Err() != nil || r.Len() > 0 {
		return nil, errJournal()
	}
	return steps, nil
}

func errJournal() error {
	return pgerr.New(pgerr.DataCorrupted, "the journal of a job is cut short or damaged")
}

// beginStep, tookDeltas and endStep note what a step of the job takes in; they do nothing for a job that is not kept.
func (j *job) beginStep() {
	for _, f := range j.feeds {
		f.polled = false
	}
	if j.journal != nil {
		j.journal.step = journalStep{}
	}
}

func (j *job) tookDeltas() {
	if j.journal != nil {
		j.journal.step.deltas = true
	}
}

// endStep ends a step after its tick. A tick that nothing preceded and that no operator had asked for changes nothing and is left out.
func (j *job) endStep(epoch uint64, now vec.Time, due bool, took time.Duration) {
	l := j.journal
	if l == nil || j.failed != nil {
		return
	}
	l.step.ended = j.ended
	if s := &l.step; s.deltas || s.ended || due || len(s.polls) > 0 {
		l.commit(epoch, now, took)
	}
}
