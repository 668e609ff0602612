package engine

import (
	"time"

	"streamsql/catalog"
	"streamsql/connector"
	"streamsql/internal/pgerr"
	"streamsql/internal/vec"
)

// connectorTo writes to a connector's sink.
type connectorTo struct {
	w    *sinkWriter
	sink connector.Sink
}

func (t *connectorTo) write(b *vec.Batch) error {
	defer b.Release()
	return t.sink.Write(b)
}

func (t *connectorTo) wait(waited time.Duration, _ bool) time.Duration {
	if p, ok := t.sink.(connector.Paced); ok {
		return p.CommitIn(waited)
	}
	return sinkCommitEvery - waited
}

func (t *connectorTo) prepare(epoch uint64) error {
	if err := t.sink.Prepare(epoch); err != nil {
		return err
	}
	t.w.reached(epoch, epoch)
	return nil
}

func (t *connectorTo) publish(ch *catalogChange) error { return t.w.e.changeCatalog(ch, nil) }

func (t *connectorTo) commit(epoch uint64) error {
	if err := t.w.awaitRecord(epoch); err != nil {
		return err
	}
	return t.sink.Commit(epoch)
}

func (t *connectorTo) abort() {
	if err := t.sink.Abort(); err != nil {
		t.w.e.log.Error("what a sink has written could not be dropped", "sink", t.w.rel.Name, "error", err)
	}
}

func (t *connectorTo) close() {
	if err := t.sink.Close(); err != nil {
		t.w.e.log.Error("a sink could not be closed", "sink", t.w.rel.Name, "error", err)
	}
}

// tableTo writes into a table of the engine. Each commit is a transaction that carries the sink's position: the rows and the position
// are in the same epoch, so that there is nothing to prepare.
type tableTo struct {
	w     *sinkWriter
	rel   *catalog.Relation
	batch []*vec.Batch
	rows  int
}

func (t *tableTo) write(b *vec.Batch) error {
	cols := make([]int, len(b.Cols))
	for i := range cols {
		cols[i] = i
	}
	t.batch = append(t.batch, b.Project(t.rel.Fields(), cols))
	t.rows += b.N
	b.Release()
	return nil
}

func (t *tableTo) wait(_ time.Duration, queued bool) time.Duration {
	if queued && t.rows < tableSinkRows {
		return time.Millisecond
	}
	return 0
}

func (t *tableTo) prepare(uint64) error { return nil }

func (t *tableTo) publish(ch *catalogChange) error {
	k, err := t.enqueue(t.w.last, ch)
	if err != nil {
		return err
	}
	return <-k.done
}

func (t *tableTo) commit(epoch uint64) error {
	if len(t.batch) == 0 { // a new sink, whose rows are there since publish
		return nil
	}
	e := t.w.e
	e.write.Lock()
	k, err := t.enqueue(epoch, nil)
	e.write.Unlock()
	if err != nil {
		return err
	}
	select {
	case err := <-k.done:
		return err
	case <-e.stopping: // the coordinator may have taken its last commit
		return pgerr.New(pgerr.AdminShutdown, "terminating connection due to administrator command")
	}
}

// enqueue commits what was written, the output until an epoch, and a change of the catalog if there is one. The caller holds Engine.write.
func (t *tableTo) enqueue(epoch uint64, ch *catalogChange) (*commit, error) {
	changes := t.batch
	t.batch, t.rows = nil, 0
	e := t.w.e
	if err := checkNotNull(t.rel, changes); err != nil {
		releaseAll(changes)
		return nil, err
	}
	tt := &txTable{rel: t.rel, changes: changes}
	x := &tx{tables: map[uint32]*txTable{t.rel.OID: tt}, sink: t.w, sinkEpoch: epoch, catalog: ch, light: ch == nil}
	defer x.drop()
	e.cut.RLock()
	held := e.relations[t.rel.OID]
	e.cut.RUnlock()
	if held == nil {
		return nil, pgerr.New(pgerr.UndefinedTable, "relation \"%s\" does not exist", t.rel.Name)
	}
	tt.work, tt.version = held.table.Clone(), held.version
	if err := tt.apply(changes); err != nil {
		return nil, err
	}
	return e.commitLocked(x, ch != nil)
}

func (t *tableTo) abort() { t.close() }

func (t *tableTo) close() {
	releaseAll(t.batch)
	t.batch = nil
}
