package engine

import (
	"fmt"
	"sync"
	"time"

	"streamsql/catalog"
	"streamsql/connector"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/state"
)

const (
	// sinkCommitEvery is how often what a sink was given is made visible, where the sink does not say.
	sinkCommitEvery = time.Second
	// sinkBacklog is the bytes that may wait for a writer before its job stops to read from connectors.
	sinkBacklog = 32 << 20
	// maxSinkBacklog is the bytes that may wait for a writer before the sink fails: changes of tables cannot be held back without
	// holding back those who make them.
	maxSinkBacklog = 512 << 20
	// tableSinkRows is the rows from which a sink into a table commits although more is waiting.
	tableSinkRows = 1 << 16
)

// sinkPosition says how far a sink is. It is recorded with each durable epoch, which is at least Through.
type sinkPosition struct {
	// Through is the epoch until which the output of the job is in the hands of the sink, prepared or committed: after a crash the output
	// of a replayed step counts if its epoch is later.
	Through uint64
	// Prepared is the last epoch that the connector has prepared; 0: none.
	Prepared uint64
}

func (p sinkPosition) encode() []byte {
	var w state.Writer
	w.Uint64(p.Through)
	w.Uint64(p.Prepared)
	return w.Bytes()
}

func decodeSinkPosition(b []byte) (p sinkPosition, err error) {
	r := state.NewReader(b)
	p = sinkPosition{Through: r.Uint64(), Prepared: r.Uint64()}
	return p, r.Err()
}

// sinkOutput is what one step of a job put out.
type sinkOutput struct {
	epoch uint64
	rows  []*vec.Batch // owned
	bytes int64
	last  bool // nothing comes after it
}

// sinkTo is where a writer writes: a connector or a table. It is used by the goroutine of the writer, before that by who creates the sink.
type sinkTo interface {
	// write takes a batch over.
	write(b *vec.Batch) error
	// wait gives how long the commit of what was written may wait (0 or less: not at all), the first row of it having waited for
	// waited; queued says that there is more to write.
	wait(waited time.Duration, queued bool) time.Duration
	// publish makes a new sink known to the catalog, together with what it begins with. The caller holds Engine.write.
	publish(ch *catalogChange) error
	// prepare and commit make visible what was written, which is the output until an epoch.
	prepare(epoch uint64) error
	commit(epoch uint64) error
	abort()
	close()
}

// sinkWriter carries the output of a sink's job to where the sink writes, in a goroutine of its own: a slow disk holds up nobody.
type sinkWriter struct {
	e    *Engine
	rel  *catalog.Relation
	to   sinkTo
	last uint64 // epoch of the last output that was written
	wake chan struct{}
	done chan struct{} // closed when the writer has ended

	mu       sync.Mutex
	changed  sync.Cond // recorded, stopping or failed
	queue    []sinkOutput
	bytes    int64 // of the queue
	pending  bool  // something has been taken from the queue that pos does not cover
	pos      sinkPosition
	recorded uint64 // the last epoch that was prepared and is recorded so
	started  bool
	stopping bool
	dropped  bool // the sink is no more, and nobody records its position
	finished bool // all output of a job that came to its end is committed
	failed   error
}

// openSink opens what a sink writes to, at the position that was recorded; the zero position is that of a new sink.
func (e *Engine) openSink(rel *catalog.Relation, at sinkPosition) (*sinkWriter, error) {
	w := &sinkWriter{e: e, rel: rel, pos: at, recorded: at.Prepared, last: at.Through, wake: make(chan struct{}, 1), done: make(chan struct{})}
	w.changed.L = &w.mu
	name, _ := rel.Option("connector")
	if name == tableSink {
		target := e.Catalog().ByOID(rel.Depends[len(rel.Depends)-1])
		if target == nil {
			return nil, pgerr.New(pgerr.UndefinedTable, "the table of sink \"%s\" does not exist any more", rel.Name)
		}
		w.to = &tableTo{w: w, rel: target}
		return w, nil
	}
	c, ok := e.connectors[name].(connector.SinkConnector)
	if !ok {
		return nil, pgerr.New(pgerr.InvalidParameterValue, "connector \"%s\" cannot be a sink", name)
	}
	k, err := c.OpenSink(&connector.SinkConfig{Name: rel.Schema + "." + rel.Name, Columns: rel.Fields().Fields,
		Options: optionMap(rel), Env: types.Env{}, Alloc: e.alloc, ID: fmt.Sprint(rel.OID), Prepared: at.Prepared})
	if err != nil {
		return nil, err
	}
	w.to = &connectorTo{w: w, sink: k}
	return w, nil
}

// start begins to write what is put.
func (w *sinkWriter) start() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.started {
		return
	}
	w.started = true
	w.e.writers.Add(1)
	go w.run()
}

// giveUp ends a writer that has not been started. What the connector has prepared stays.
func (w *sinkWriter) giveUp() {
	w.mu.Lock()
	w.stopping = true
	w.drop()
	w.mu.Unlock()
	w.to.close()
}

// put takes the output of a step over. It never waits. An error is that of the sink, which has ended.
func (w *sinkWriter) put(o sinkOutput) error {
	for _, b := range o.rows {
		o.bytes += b.Bytes()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed == nil && w.bytes+o.bytes > maxSinkBacklog && len(w.queue) > 0 {
		w.fail(pgerr.New(pgerr.ConfigurationLimitExceeded, "sink \"%s\" is too far behind: more than %d MB of changes wait to be written", w.rel.Name, maxSinkBacklog>>20).
			WithHint("Let the sink write less, as an aggregate does, or to a faster place."))
	}
	if w.failed != nil || w.stopping {
		releaseAll(o.rows)
		return w.failed
	}
	w.queue = append(w.queue, o)
	w.bytes += o.bytes
	w.poke()
	return nil
}

func (w *sinkWriter) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// full says that enough waits to be written: the job is to read nothing that can wait.
func (w *sinkWriter) full() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.bytes > sinkBacklog
}

// state gives what sys.jobs shows of the writer.
func (w *sinkWriter) state() (finished bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.finished, w.failed
}

// fail ends the writer. The caller holds w.mu.
func (w *sinkWriter) fail(err error) {
	if w.failed == nil {
		w.failed = err
	}
	w.drop()
	w.changed.Broadcast()
	w.poke()
}

// drop drops what is queued. The caller holds w.mu.
func (w *sinkWriter) drop() {
	for _, o := range w.queue {
		releaseAll(o.rows)
	}
	w.queue, w.bytes = nil, 0
}

// stop lets the writer end when everything that was put is committed. It does not wait. dropped says that the sink is no more.
func (w *sinkWriter) stop(dropped bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopping = true
	w.dropped = w.dropped || dropped
	w.changed.Broadcast()
	w.poke()
}

// abort drops a new sink that has not been published.
func (w *sinkWriter) abort() {
	w.mu.Lock()
	w.stopping = true
	w.drop()
	w.mu.Unlock()
	w.to.abort()
	w.to.close()
}

// run writes until the writer is stopped, fails, or the job has come to its end.
func (w *sinkWriter) run() {
	defer w.e.writers.Done()
	defer close(w.done)
	defer w.to.close()
	if err := w.write(); err != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		if !w.dropped {
			w.e.log.Error("sink stopped", "sink", w.rel.Name, "error", err)
		}
		w.fail(err)
		w.e.coord.poke() // its job is to stop, too
	}
}

func (w *sinkWriter) write() (err error) {
	defer recovered(w.e, "sink "+w.rel.Name, &err)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var since time.Time // when the first row came that is not committed
	for {
		o, queued, end, err := w.next()
		if err != nil {
			return err
		}
		if o != nil {
			for i, b := range o.rows {
				if err := w.to.write(b); err != nil {
					releaseAll(o.rows[i+1:])
					return err
				}
			}
			w.last = o.epoch
			if since.IsZero() {
				since = time.Now()
			}
		}
		wait := time.Hour
		if !since.IsZero() {
			if wait = w.to.wait(time.Since(since), queued); wait <= 0 || end {
				if err := w.to.prepare(w.last); err != nil {
					return err
				}
				if err := w.to.commit(w.last); err != nil {
					return err
				}
				since, wait = time.Time{}, time.Hour
			}
		}
		switch {
		case end:
			w.mu.Lock()
			w.finished = o != nil && o.last
			w.mu.Unlock()
			return nil
		case o != nil:
			continue
		}
		timer.Reset(wait)
		select {
		case <-w.wake:
		case <-timer.C:
		}
	}
}

// next takes the next output, nil if there is none now. queued says that there is more, end that nothing comes after it.
func (w *sinkWriter) next() (o *sinkOutput, queued, end bool, err error) {
	w.mu.Lock()
	if w.failed != nil {
		defer w.mu.Unlock()
		return nil, false, true, w.failed
	}
	wasFull := w.bytes > sinkBacklog
	if len(w.queue) > 0 {
		first := w.queue[0]
		w.queue[0] = sinkOutput{}
		w.queue = w.queue[1:]
		w.bytes -= first.bytes
		w.pending = true
		o = &first
	}
	queued = len(w.queue) > 0
	end = !queued && (w.stopping || o != nil && o.last)
	hasRoom := wasFull && w.bytes <= sinkBacklog
	w.mu.Unlock()
	if hasRoom {
		w.e.coord.poke()
	}
	return o, queued, end, nil
}

// reached says that the output until an epoch is in the hands of the sink, prepared (unless 0) under an epoch.
func (w *sinkWriter) reached(epoch, prepared uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pos.Through = max(w.pos.Through, epoch)
	w.pos.Prepared = max(w.pos.Prepared, prepared)
	w.pending = false
}

// at gives the position to record with a durable epoch, which all output until then was put before. A sink that nothing waits
// for is as far as the epoch.
func (w *sinkWriter) at(epoch uint64) sinkPosition {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.started && !w.pending && len(w.queue) == 0 && w.failed == nil {
		w.pos.Through = max(w.pos.Through, epoch)
	}
	return w.pos
}

// isRecorded says that a position is in a durable epoch.
func (w *sinkWriter) isRecorded(p sinkPosition) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.recorded = max(w.recorded, p.Prepared)
	w.changed.Broadcast()
}

// awaitRecord waits until it is recorded that an epoch is prepared. Where nothing is recorded it does not wait.
func (w *sinkWriter) awaitRecord(epoch uint64) error {
	if w.e.recordSinks == nil {
		return nil
	}
	w.e.recordSinks()
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.recorded < epoch && w.failed == nil && !w.dropped {
		w.changed.Wait()
	}
	return w.failed
}
