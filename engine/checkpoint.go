package engine

import (
	"errors"
	"math"
	"sync/atomic"
	"time"

	"github.com/zeebo/xxh3"

	"streamsql/connector"
	"streamsql/internal/crash"
	"streamsql/internal/pgerr"
	"streamsql/internal/vary"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
	"streamsql/state"
)

// A job survives a restart by its checkpoint, the state of its operators after some epoch, and its journal since then.
// The state of a small job is written with every durable epoch; that of a large one so seldom
// that it costs little of the time, and the journal gets longer instead.
const (
	// checkpointShare bounds the time spent on checkpoints: one is made when that many times its cost has passed.
	checkpointShare = 20
	// replayTarget is how long a journal may take to be run again before a checkpoint is made whatever it costs.
	replayTarget = 20 * time.Second
	// stateFormat is the version of what operators write. A checkpoint of another version is not read: its view is computed anew.
	stateFormat = 4
)

// errOldState says that what is kept of a job is of another version of the engine, or of another plan.
var errOldState = pgerr.New(pgerr.ObjectNotInPrerequisiteState, "the state of the job was written by another version")

// checkpointMark is what a job knows of its last checkpoint.
type checkpointMark struct {
	at   time.Time
	took time.Duration
}

// due reports whether the next durable epoch should make a checkpoint.
func (m *checkpointMark) due(l *journal, now time.Time) bool {
	if v := vary.Drawn(); v != nil && v.Checkpoints == vary.Always {
		return true
	}
	return m.at.IsZero() || now.Sub(m.at) >= checkpointShare*m.took || l.work >= replayTarget
}

// jobCut is what a durable epoch keeps of a job.
type jobCut struct {
	oid      uint32
	epoch    uint64 // the durable one
	position []byte
	steps    []byte // its journal since the last cut; nil: it did nothing, or there is a checkpoint
	number   uint64 // of the steps, among those since the engine was opened
	// checkpoint, of this epoch or an earlier one, takes the place of the last one; nil: that stands.
	checkpoint *jobSnapshot
}

// cut gives what is to be kept of the job after epoch, nil if nothing has changed since the last cut. It comes at the end of a step. rare
// puts off checkpoints but the first. The caller holds coordinator.step.
func (j *job) cut(epoch uint64, rare bool) (*jobCut, error) {
	l := j.journal
	if l == nil || len(l.steps) == 0 && !j.mark.at.IsZero() && !j.ripe(epoch) {
		return nil, nil
	}
	k := &jobCut{oid: j.rel.rel.OID, epoch: epoch}
	epoch = min(epoch, j.part())
	made := j.failed == nil && j.waiting == nil && (j.mark.at.IsZero() || !rare && j.mark.due(l, time.Now()))
	if made {
		if err := j.snapshot(epoch); err != nil {
			return nil, err
		}
	}
	k.steps = l.take()
	l.cuts++
	k.number = l.cuts
	if j.waiting != nil && j.waiting.number == 0 {
		j.waiting.number = l.cuts // the steps until here are in it
	}
	if j.ripe(epoch) {
		k.checkpoint, j.waiting = j.waiting, nil
		if j.mark.took += k.checkpoint.took; made { // it stands for all steps
			k.steps = nil
			l.reset()
		}
	}
	k.position = (&jobPosition{epoch: epoch, feeds: j.positions(), rows: j.rows, late: j.late.counts()}).encode()
	return k, nil
}

// part gives the last epoch that the job takes part in: of one that stands still or has failed that when it did, else any.
func (j *job) part() uint64 {
	switch {
	case j.failed != nil:
		return j.failedAt
	case j.paused != nil:
		return j.paused.epoch
	}
	return math.MaxUint64
}

// jobSnapshot is a checkpoint on its way to the store.
type jobSnapshot struct {
	epoch  uint64
	number uint64 // of the last steps that it holds
	head   []byte
	inline []byte        // the state, if it is small
	state  *state.Writer // that is to be written together with the epoch: that of a new job
	blob   string        // where a state that is not small is; "": inline
	// writing, of a blob that is written while the job goes on, is closed at its end.
	writing chan struct{}
	gone    atomic.Bool   // nobody wants the blob any more
	err     error         // after writing
	took    time.Duration // after writing
}

// snapshot makes a checkpoint after epoch, which waits to be ripe. The job waits only while what changes is written; the rest, and all of it to the disk,
// while it goes on. The caller holds coordinator.step.
func (j *job) snapshot(epoch uint64) error {
	began := time.Now()
	w := new(state.Writer)
	if err := j.graph.Snapshot(w); err != nil {
		w.Reset()
		return err
	}
	c := &jobSnapshot{epoch: epoch}
	c.head = (&checkpoint{plan: j.plan, epoch: epoch, reads: j.reads, feeds: j.positions(), ended: j.ended}).encode()
	switch {
	case !j.e.kept.blobs && w.Small(inlineState):
		c.inline = w.Bytes()
	case j.mark.at.IsZero(): // until there is one, a restart would have to begin from nothing
		c.state, c.blob = w, blobName(j.rel.rel.OID, epoch)
	default:
		c.blob = blobName(j.rel.rel.OID, epoch)
		c.writing = make(chan struct{})
		j.e.persist.blobs.Add(1)
		go func() {
			defer j.e.persist.blobs.Done()
			c.writeAside(j.e.persist.store, w)
		}()
	}
	j.waiting = c
	j.mark.at = time.Now()
	j.mark.took = j.mark.at.Sub(began)
	j.journal.work = 0
	return nil
}

// errUnwanted ends the writing of a checkpoint that is not needed any more.
var errUnwanted = errors.New("the job is gone")

// writeAside writes the blob. A failure of the disk is that of the store, which tells everybody.
func (c *jobSnapshot) writeAside(s *state.Store, w *state.Writer) {
	began := time.Now()
	c.err = writeBlob(s, c.blob, w, &c.gone)
	c.took = time.Since(began)
	crash.At(crash.CheckpointWritten)
	close(c.writing)
}

// written reports whether the blob is there, or will be with the epoch.
func (c *jobSnapshot) written() bool {
	if c.writing == nil {
		return true
	}
	select {
	case <-c.writing:
		return c.err == nil
	default:
		return false
	}
}

// drop gives a checkpoint up that did not become the job's.
func (c *jobSnapshot) drop(s *state.Store) {
	if c.state != nil {
		c.state.Reset()
	}
	if c.writing == nil {
		return
	}
	c.gone.Store(true)
	<-c.writing
	if c.err == nil {
		s.RemoveBlob(c.blob) // what fails here is removed at the next start
	}
}

// ripe reports whether the checkpoint that waits may take the place of the last one and of the journal until then: when it is written, and that of a sink when
// all output until its epoch is in the hands of the sink, since the steps before it are not run again.
func (j *job) ripe(epoch uint64) bool {
	return j.waiting != nil && j.waiting.written() && (j.sink == nil || j.sinkAt(epoch).Through >= j.waiting.epoch)
}

// checkpoint is the state of a job after an epoch.
type checkpoint struct {
	plan  uint64 // of the plan whose operators the state is of
	epoch uint64
	reads []uint32 // the relations whose changes the job takes in
	feeds []feedPosition
	ended bool
}

// feedPosition is where an input of a job stands.
type feedPosition struct {
	offset connector.Offset // nil: not read from a connector, or by another feed
	parts  int
	ended  bool
}

// planDigest identifies the operators of a plan, so that no state is given to others.
func planDigest(root planner.Node) uint64 { return xxh3.HashString(planner.Explain(root, true)) }

func (j *job) positions() []feedPosition {
	out := make([]feedPosition, len(j.feeds))
	for i, f := range j.feeds {
		out[i] = feedPosition{parts: f.parts, ended: f.ended}
		if f.src != nil {
			out[i].offset = f.offset(j.failed != nil)
		}
	}
	return out
}

func writeFeeds(w *state.Writer, feeds []feedPosition) {
	w.Uint64(uint64(len(feeds)))
	for _, f := range feeds {
		w.Bool(f.offset != nil)
		w.Blob(f.offset)
		w.Uint64(uint64(f.parts))
		w.Bool(f.ended)
	}
}

func readFeeds(r *state.Reader) []feedPosition {
	n := r.Uint64()
	if n > uint64(r.Len()) {
		return nil
	}
	out := make([]feedPosition, n)
	for i := range out {
		given := r.Bool()
		if o := r.Blob(); given {
			out[i].offset = append(connector.Offset{}, o...)
		}
		out[i].parts, out[i].ended = int(r.Uint64()), r.Bool()
	}
	return out
}

func (c *checkpoint) encode() []byte {
	var w state.Writer
	w.Uint64(stateFormat)
	w.Uint64(c.plan)
	w.Uint64(c.epoch)
	w.Uint64(uint64(len(c.reads)))
	for _, oid := range c.reads {
		w.Uint64(uint64(oid))
	}
	writeFeeds(&w, c.feeds)
	w.Bool(c.ended)
	return w.Bytes()
}

// decodeCheckpoint reads what encode wrote; format is false for that of another version.
func decodeCheckpoint(b []byte) (c *checkpoint, format bool, err error) {
	r := state.NewReader(b)
	if r.Uint64() != stateFormat {
		return nil, false, r.Err()
	}
	c = &checkpoint{plan: r.Uint64(), epoch: r.Uint64()}
	for range min(r.Uint64(), uint64(r.Len())) {
		c.reads = append(c.reads, uint32(r.Uint64()))
	}
	c.feeds, c.ended = readFeeds(r), r.Bool()
	return c, true, r.Err()
}

// jobPosition is how far a job is.
type jobPosition struct {
	epoch uint64 // the last that it has taken part in
	feeds []feedPosition
	rows  int64 // that it has given
	late  map[uint32]lateCount
}

// lateCount is how many rows of a relation came late, and when the last one did.
type lateCount struct {
	rows int64
	at   vec.Time
}

func (p *jobPosition) encode() []byte {
	var w state.Writer
	w.Uint64(p.epoch)
	writeFeeds(&w, p.feeds)
	w.Int64(p.rows)
	w.Uint64(uint64(len(p.late)))
	for oid, c := range p.late {
		w.Uint64(uint64(oid))
		w.Int64(c.rows)
		w.Int64(c.at)
	}
	return w.Bytes()
}

func decodePosition(b []byte) (*jobPosition, error) {
	r := state.NewReader(b)
	p := &jobPosition{epoch: r.Uint64(), feeds: readFeeds(r), rows: r.Int64(), late: map[uint32]lateCount{}}
	for range min(r.Uint64(), uint64(r.Len())) {
		p.late[uint32(r.Uint64())] = lateCount{r.Int64(), r.Int64()}
	}
	return p, r.Err()
}
