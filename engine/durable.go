package engine

import (
	"context"
	"encoding/json"

	"streamsql/catalog"
	"streamsql/exec"
	"streamsql/internal/crash"
	"streamsql/internal/pgerr"
	"streamsql/internal/vec"
	"streamsql/sql/parser"
	"streamsql/sql/planner"
	"streamsql/state"
)

// catalogChange is a change of the catalog: what is put, what is dropped. With a
// data directory it is a record of the log.
type catalogChange struct {
	Put         []*catalog.Relation `json:",omitempty"`
	Drop        []uint32            `json:",omitempty"`
	PutSchemas  map[string]uint32   `json:",omitempty"`
	DropSchemas []string            `json:",omitempty"`
	// Functions are put before relations, whose definitions may call them, and dropped with them.
	PutFunctions  []*catalog.Function `json:",omitempty"`
	DropFunctions []uint32            `json:",omitempty"`
}

func (ch *catalogChange) apply(c *catalog.Snapshot) *catalog.Snapshot {
	for name, oid := range ch.PutSchemas {
		c = c.WithSchema(name, oid)
	}
	if len(ch.Drop) > 0 {
		c = c.Without(ch.Drop...)
	}
	for _, n := range ch.DropSchemas {
		c = c.WithoutSchema(n)
	}
	if len(ch.DropFunctions) > 0 {
		c = c.WithoutFunctions(ch.DropFunctions...)
	}
	for _, f := range ch.PutFunctions {
		c = c.WithFunction(f)
	}
	for _, r := range ch.Put {
		c = c.With(r)
	}
	return c
}

// Kinds of log records, their first byte.
const (
	recordCatalog = 'c' // JSON of a catalogChange
	recordRows    = 'r' // the writes of a transaction
)

// changeCatalog makes a change durable, publishes it in an epoch of its own and waits for it; runtime
// runs inside the cut. The caller holds e.write.
func (e *Engine) changeCatalog(ch *catalogChange, runtime func()) error {
	if err := e.logCatalog(ch); err != nil {
		return err
	}
	k := &commit{alone: true, ddl: func() {
		e.cat = ch.apply(e.cat)
		if runtime != nil {
			runtime()
		}
	}}
	e.coord.enqueue(k)
	return <-k.done
}

// logCatalog makes a change of the catalog durable. The caller holds e.write.
func (e *Engine) logCatalog(ch *catalogChange) error {
	if e.store == nil {
		return nil
	}
	b, err := json.Marshal(ch)
	if err != nil {
		return err
	}
	before, after := crash.DefineBefore, crash.DefineAfter
	if len(ch.Drop) > 0 {
		before, after = crash.DropBefore, crash.DropAfter
	}
	crash.At(before)
	if err := e.store.Append(append([]byte{recordCatalog}, b...)); err != nil {
		return err
	}
	crash.At(after)
	return nil
}

// logRows makes the writes of a transaction durable. The rows of push sources are not kept. The caller holds e.write.
func (e *Engine) logRows(writes []tableWrite) error {
	if e.store == nil {
		return nil
	}
	var w state.Writer
	for _, t := range writes {
		if t.after != nil {
			for _, b := range t.changes {
				writeRows(&w, t.oid, b)
			}
		}
	}
	if len(w.Bytes()) == 0 {
		return nil
	}
	return e.store.Append(append([]byte{recordRows}, w.Bytes()...))
}

func writeRows(w *state.Writer, oid uint32, b *vec.Batch) {
	w.Uint64(uint64(oid))
	w.Uint64(uint64(b.N))
	views := b.Views(nil)
	var row []byte
	for i := range b.N {
		w.Bool(b.Op(i) == vec.Delete)
		row = vec.AppendRow(row[:0], views, i)
		w.Blob(row)
	}
}

// replay applies a record of the log to the catalog and the tables, before anything runs.
func (e *Engine) replay(record []byte) error {
	switch record[0] {
	case recordCatalog:
		var ch catalogChange
		if err := json.Unmarshal(record[1:], &ch); err != nil {
			return pgerr.New(pgerr.DataCorrupted, "a catalog record of the log cannot be read").WithCause(err)
		}
		e.cat = ch.apply(e.cat)
		for _, oid := range ch.Drop {
			delete(e.relations, oid)
		}
		for _, r := range ch.Put {
			e.nextOID = max(e.nextOID, r.OID+3)
			switch old := e.relations[r.OID]; {
			case old != nil:
				old.rel = r
			case r.Kind == catalog.Table || r.Kind == catalog.MatView:
				e.relations[r.OID] = newRelation(r)
			}
		}
		for _, f := range ch.PutFunctions {
			e.nextOID = max(e.nextOID, f.OID+1)
		}
		for _, oid := range ch.PutSchemas {
			e.nextOID = max(e.nextOID, oid+1)
		}
	case recordRows:
		r := state.NewReader(record[1:])
		for r.Len() > 0 {
			oid := uint32(r.Uint64())
			n := int(r.Uint64())
			rel := e.relations[oid]
			var b *vec.Builder
			if rel != nil {
				b = vec.NewBuilder(e.alloc, rel.table.Schema())
			}
			for range n {
				op := vec.Insert
				if r.Bool() {
					op = vec.Delete
				}
				row := r.Blob()
				if r.Err() != nil {
					break
				}
				if b != nil {
					vec.DecodeRow(row, nil, b)
					b.AppendOp(op)
				}
			}
			if err := r.Err(); err != nil {
				return err
			}
			if b == nil {
				continue
			}
			batch := b.Finish()
			err := rel.table.Apply(batch)
			batch.Release()
			b.Release()
			if err != nil {
				return pgerr.New(pgerr.DataCorrupted, "the log does not fit the content of table \"%s\"", rel.rel.Name).WithCause(err)
			}
		}
	default:
		return pgerr.New(pgerr.DataCorrupted, "the log has a record of unknown kind %q", record[0])
	}
	return nil
}

// compactAt is the size from which a log is rewritten at start if more than half of it is history.
const compactAt = 16 << 20

// recover opens the data directory: tables are as they were, views are computed anew from what they read.
func (e *Engine) recover(dir string) error {
	var err error
	if e.store, err = state.OpenLog(dir, e.replay); err != nil {
		return err
	}
	live := int64(0)
	for _, r := range e.relations {
		r.published = r.table.Snapshot()
		live += r.table.Bytes()
	}
	if e.store.Size() > compactAt && e.store.Size() > 2*live {
		return e.store.Rewrite(e.writeAll)
	}
	return nil
}

// writeAll gives the records that make the present catalog and tables.
func (e *Engine) writeAll(add func([]byte) error) error {
	ch := &catalogChange{PutSchemas: map[string]uint32{}, PutFunctions: e.cat.Functions()}
	for _, n := range e.cat.Schemas() {
		if oid, _ := e.cat.SchemaOID(n); oid >= catalog.FirstUserOID {
			ch.PutSchemas[n] = oid
		}
	}
	for _, r := range e.cat.Relations() {
		if r.Kind != catalog.System {
			ch.Put = append(ch.Put, r)
		}
	}
	b, err := json.Marshal(ch)
	if err != nil {
		return err
	}
	if err := add(append([]byte{recordCatalog}, b...)); err != nil {
		return err
	}
	for oid, r := range e.relations {
		if r.rel.Kind != catalog.Table {
			continue
		}
		scan := r.table.Snapshot().Scan(nil)
		bld := vec.NewBuilder(e.alloc, r.table.Schema())
		for more := true; more; {
			if more, err = scan.Next(bld, vec.MaxRows); err != nil {
				return err
			}
			if bld.Len() == 0 {
				continue
			}
			batch := bld.Finish()
			var w state.Writer
			writeRows(&w, oid, batch)
			batch.Release()
			if err := add(append([]byte{recordRows}, w.Bytes()...)); err != nil {
				return err
			}
		}
		bld.Release()
	}
	return nil
}

// restart begins what was running when the directory was left: connectors of tables, and the jobs of views
// in the order in which they were made. A view that cannot be computed any more (its file is gone) stays, failed.
func (e *Engine) restart(ctx context.Context) error {
	s, err := e.NewSession(SessionOptions{})
	if err != nil {
		return err
	}
	defer s.Close()
	seen := map[uint32]bool{}
	var start func(rel *catalog.Relation)
	start = func(rel *catalog.Relation) {
		if rel == nil || seen[rel.OID] {
			return
		}
		seen[rel.OID] = true
		for _, oid := range rel.Depends { // a view that was replaced may read what was made after it
			start(e.cat.ByOID(oid))
		}
		switch {
		case rel.Kind == catalog.Table:
			if _, ok := rel.Option("connector"); ok {
				e.write.Lock()
				e.startIngest(rel)
				e.write.Unlock()
			}
		case rel.Kind == catalog.Sink:
			e.restartSink(rel)
		case rel.Kind == catalog.MatView:
			if err := s.restartView(ctx, rel); err != nil {
				e.log.Error("materialized view could not be started", "view", rel.Name, "error", err)
			}
		}
	}
	for _, rel := range e.cat.Relations() {
		start(rel)
	}
	return nil
}

func (s *Session) restartView(ctx context.Context, rel *catalog.Relation) (err error) {
	defer recovered(s.e, "materialized view "+rel.Name, &err)
	r := s.e.relations[rel.OID]
	j := &job{e: s.e, rel: r, since: s.e.clock(), out: exec.NewCollector()}
	fail := func(err error) error {
		j.fail(err)
		s.e.coord.step.Lock()
		s.e.coord.addJob(j)
		s.e.coord.step.Unlock()
		return err
	}
	query, err := parser.ParseQuery(rel.Definition)
	if err != nil {
		return fail(err)
	}
	q, err := planner.PlanView(query, s.planOptions(nil, rel.Definition))
	if err != nil {
		return fail(err)
	}
	started, err := s.startJob(ctx, r, q.Root, true)
	if err != nil {
		return fail(err)
	}
	c := s.e.coord
	c.step.Lock()
	defer c.step.Unlock()
	return s.e.publishJob(started, nil)
}
