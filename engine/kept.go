package engine

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"

	"streamsql/exec"
	"streamsql/internal/pgerr"
	"streamsql/internal/vary"
	"streamsql/state"
)

// keptJobs is what the store holds of jobs, also of those that do not run now. It is used under coordinator.step. A nil one is that of an engine
// that keeps nothing.
type keptJobs struct {
	by map[uint32]*keptJob
	// dropped are jobs of which nothing is kept any more, from the next durable epoch on.
	dropped []uint32
	// unused are blobs that nothing names any more once the epochs that are being written are durable.
	unused []string
	// rare lets journals grow: a checkpoint is made for a new job only. Tests set it.
	rare bool
	// blobs keeps all states as blobs, however small they are. Tests set it.
	blobs bool
}

// keptJob is a job of which there is a checkpoint, after epoch.
type keptJob struct {
	reads []uint32
	epoch uint64
	blob  string // that holds the state; "": it is with the rest
}

// followed reports whether a job will need the changes of a relation in an epoch.
func (k *keptJobs) followed(oid uint32, epoch uint64) bool {
	if k == nil {
		return false
	}
	for _, j := range k.by {
		if j.epoch < epoch && slices.Contains(j.reads, oid) {
			return true
		}
	}
	return false
}

// taken gives the epoch whose changes, and those before it, no job needs any more: now, or an earlier one.
func (k *keptJobs) taken(now uint64) uint64 {
	for _, j := range k.by {
		if len(j.reads) > 0 {
			now = min(now, j.epoch)
		}
	}
	return now
}

// jobsCut is what a durable epoch keeps of all jobs.
type jobsCut struct {
	jobs    []*jobCut
	dropped []uint32
	unused  []string // blobs to remove
}

// cut gives what is to be kept of the jobs after an epoch, at the end of its step. The caller writes it, or gives the store up.
func (k *keptJobs) cut(jobs []*job, epoch uint64) *jobsCut {
	c := &jobsCut{dropped: k.dropped, unused: k.unused}
	k.dropped, k.unused = nil, nil
	for _, j := range jobs {
		jc, err := j.cut(epoch, k.rare)
		if err != nil {
			j.fail(err)
			continue
		}
		if jc == nil {
			continue
		}
		c.jobs = append(c.jobs, jc)
		if jc.checkpoint == nil {
			continue
		}
		if old := k.by[jc.oid]; old != nil && old.blob != "" {
			k.unused = append(k.unused, old.blob)
		}
		k.by[jc.oid] = &keptJob{reads: j.reads, epoch: jc.checkpoint.epoch, blob: jc.checkpoint.blob}
	}
	return c
}

func blobName(oid uint32, epoch uint64) string { return fmt.Sprintf("checkpoint-%d-%d", oid, epoch) }

// forget drops what is kept of a job.
func (k *keptJobs) forget(oid uint32) {
	if k == nil {
		return
	}
	if j := k.by[oid]; j != nil && j.blob != "" {
		k.unused = append(k.unused, j.blob)
	}
	delete(k.by, oid)
	k.dropped = append(k.dropped, oid)
}

// inlineState is up to which size the state of a job is kept with its other records and not as a blob.
const inlineState = 256 << 10

// The keys of jobs. In the space Jobs: a job and what of it; in Journal: the steps of a job by epoch.
const (
	jobCheckpoint = 'c'
	jobPlace      = 'p'
)

func jobKey(oid uint32, part byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, oid), part)
}

// stepsKey has the cut besides the epoch: a job may take steps, and a durable epoch be asked for, without that a new epoch has begun.
func stepsKey(oid uint32, epoch, cut uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(stepsPrefix(oid), epoch), cut)
}

func stepsPrefix(oid uint32) []byte {
	return binary.BigEndian.AppendUint32(nil, oid)
}

// write adds the cut to a commit. Blobs are durable when it returns.
func (c *jobsCut) write(s *state.Store, b *state.Commit) error {
	for _, name := range c.unused { // the epoch before this one, which names others, is durable
		if err := s.RemoveBlob(name); err != nil {
			return err
		}
	}
	for _, oid := range c.dropped {
		b.DeletePrefix(state.Jobs, binary.BigEndian.AppendUint32(nil, oid))
		b.DeletePrefix(state.Journal, stepsPrefix(oid))
	}
	for _, j := range c.jobs {
		b.Put(state.Jobs, jobKey(j.oid, jobPlace), j.position)
		if j.steps != nil {
			b.Put(state.Journal, stepsKey(j.oid, j.epoch, j.number), j.steps)
		}
		ck := j.checkpoint
		if ck == nil {
			continue
		}
		var w state.Writer
		if ck.state != nil {
			if err := writeBlob(s, ck.blob, ck.state, nil); err != nil {
				return err
			}
		}
		w.Blob(ck.head)
		w.String(ck.blob)
		w.Blob(ck.inline)
		b.Put(state.Jobs, jobKey(j.oid, jobCheckpoint), w.Bytes())
		b.DeleteRange(state.Journal, stepsKey(j.oid, 0, 0), stepsKey(j.oid, ck.epoch, ck.number+1))
	}
	return nil
}

// drop gives up what has not been written.
func (c *jobsCut) drop() {
	for _, j := range c.jobs {
		if ck := j.checkpoint; ck != nil && ck.state != nil {
			ck.state.Reset()
		}
	}
}

// writeBlob writes a state to a blob, unless gone says meanwhile that nobody wants it. data is empty then.
func writeBlob(s *state.Store, name string, data *state.Writer, gone *atomic.Bool) error {
	defer data.Reset()
	b, err := s.CreateBlob(name)
	if err != nil {
		return err
	}
	if _, err := data.WriteTo(wanted{b, gone}); err != nil {
		b.Abort()
		return err
	}
	return b.Finish()
}

// wanted ends the writing to w when gone says so.
type wanted struct {
	w    io.Writer
	gone *atomic.Bool
}

// Write implements io.Writer.
func (w wanted) Write(b []byte) (int, error) {
	if w.gone != nil && w.gone.Load() {
		return 0, errUnwanted
	}
	return w.w.Write(b)
}

// jobRecord is all that is kept of a job.
type jobRecord struct {
	checkpoint *checkpoint // nil: of another version
	position   *jobPosition
	inline     []byte
	blob       string
}

// restore gives the state of the operators at the checkpoint to a graph.
func (r *jobRecord) restore(s *state.Store, g *exec.Graph) error {
	if r.blob == "" {
		return restoreGraph(g, state.NewReader(r.inline))
	}
	b, err := s.OpenBlob(r.blob)
	if err != nil {
		return err
	}
	defer b.Close()
	if err = restoreGraph(g, state.NewStreamReader(b, b.Size())); err != nil {
		if damaged := b.Verify(); damaged != nil { // what operators say of a file cut short does not name it
			return damaged
		}
	}
	return err
}

// restoreGraph gives the state that a reader gives to a graph.
func restoreGraph(g *exec.Graph, from *state.Reader) error {
	err := g.Restore(from)
	if err == nil && !from.End() {
		err = damagedJobs()
	}
	if damaged := from.Err(); err != nil && damaged != nil { // which operators take for something else
		return damaged
	}
	return err
}

// readJobs reads what a store holds of jobs.
func readJobs(store *state.Store) (map[uint32]*jobRecord, error) {
	out := map[uint32]*jobRecord{}
	var failed error
	err := store.Scan(state.Jobs, nil, func(key, value []byte) bool {
		if len(key) != 5 {
			failed = damagedJobs()
			return false
		}
		oid := binary.BigEndian.Uint32(key)
		rec := out[oid]
		if rec == nil {
			rec = &jobRecord{}
			out[oid] = rec
		}
		switch key[4] {
		case jobPlace:
			rec.position, failed = decodePosition(value)
		case jobCheckpoint:
			r := state.NewReader(value)
			head := r.Blob()
			rec.blob = strings.Clone(r.String())
			rec.inline = slices.Clone(r.Blob())
			if failed = r.Err(); failed == nil {
				rec.checkpoint, _, failed = decodeCheckpoint(head)
			}
		default:
			failed = damagedJobs()
		}
		return failed == nil
	})
	if err == nil {
		err = failed
	}
	return out, err
}

func damagedJobs() error {
	return pgerr.New(pgerr.DataCorrupted, "the records of jobs are damaged").WithHint("Restore the data directory from a backup.")
}

// loadKept gives the registry of the jobs in a store.
func loadKept(records map[uint32]*jobRecord) *keptJobs {
	k := &keptJobs{by: map[uint32]*keptJob{}}
	if v := vary.Drawn(); v != nil {
		k.rare = v.Checkpoints == vary.Rarely
	}
	for oid, r := range records {
		if r.checkpoint != nil {
			k.by[oid] = &keptJob{reads: r.checkpoint.reads, epoch: r.checkpoint.epoch, blob: r.blob}
		}
	}
	return k
}

// readJournal gives the steps of a job since its checkpoint, in order.
func readJournal(store *state.Store, oid uint32) (steps []journalStep, err error) {
	var failed error
	err = store.Scan(state.Journal, stepsPrefix(oid), func(_, value []byte) bool {
		var s []journalStep
		if s, failed = readSteps(state.NewReader(value)); failed != nil {
			return false
		}
		steps = append(steps, s...)
		return true
	})
	if err == nil {
		err = failed
	}
	return steps, err
}
