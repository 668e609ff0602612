package engine

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"maps"
	"slices"

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
	// Rewrite lists tables among Put whose rows begin anew: what the same transaction writes is all that they hold.
	Rewrite []uint32 `json:",omitempty"`
	// Sequences are values that sequences have reached (see sequence.logged): what they give next is beyond.
	Sequences map[uint32]sequenceValue `json:",omitempty"`
	// PutTypes and DropTypes are of enums and domains; types are put before the relations that use them.
	PutTypes  []*catalog.Type `json:",omitempty"`
	DropTypes []uint32        `json:",omitempty"`
	logged    bool            // the log has it already
	// Comments are of schemas and types; "" takes one away.
	Comments map[uint32]string `json:",omitempty"`
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
	if len(ch.DropTypes) > 0 {
		c = c.WithoutTypes(ch.DropTypes...)
	}
	for _, t := range ch.PutTypes {
		c = c.WithType(t)
	}
	for _, f := range ch.PutFunctions {
		c = c.WithFunction(f)
	}
	for _, r := range ch.Put {
		c = c.With(r)
	}
	for oid, text := range ch.Comments {
		c = c.WithComment(oid, text)
	}
	return c
}

// Kinds of log records, their first byte.
const (
	recordCatalog = 'c' // JSON of a catalogChange
	recordRows    = 'r' // the writes of a transaction
	recordTx      = 't' // a transaction that also changes the catalog: the length of the JSON, the JSON, the writes
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
	if ch = ch.durable(); ch == nil {
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

// durable gives what of a change survives the end of the process: temporary relations do not. nil is nothing.
func (ch *catalogChange) durable() *catalogChange {
	out := *ch
	out.Put = slices.DeleteFunc(slices.Clone(ch.Put), func(r *catalog.Relation) bool { return r.Temp })
	out.PutSchemas = maps.Clone(ch.PutSchemas)
	maps.DeleteFunc(out.PutSchemas, func(name string, _ uint32) bool { return isTempSchema(name) })
	out.DropSchemas = slices.DeleteFunc(slices.Clone(ch.DropSchemas), isTempSchema)
	if len(out.Put)+len(out.Drop)+len(out.PutSchemas)+len(out.DropSchemas)+len(out.PutFunctions)+len(out.DropFunctions)+
		len(out.Sequences)+len(out.PutTypes)+len(out.DropTypes)+len(out.Comments) == 0 {
		return nil
	}
	return &out
}

// logCommit makes a transaction durable: its changes of the catalog and the writes to tables, both or neither. The rows
// of push sources and temporary tables are not kept. The caller holds e.write.
func (e *Engine) logCommit(ch *catalogChange, writes []tableWrite) error {
	if e.store == nil {
		return nil
	}
	var rows []byte
	for _, t := range writes {
		if t.after == nil || t.temp {
			continue
		}
		if t.whole {
			err := e.writeContent(t.oid, t.after, func(piece []byte) error {
				rows = append(rows, piece...)
				return nil
			})
			if err != nil {
				return err
			}
			continue
		}
		var w state.Writer
		for _, b := range t.changes {
			writeRows(&w, t.oid, b)
		}
		rows = append(rows, w.Bytes()...)
	}
	if ch != nil {
		ch = ch.durable()
	}
	switch {
	case ch != nil:
		b, err := json.Marshal(ch)
		if err != nil {
			return err
		}
		before, after := crash.DefineBefore, crash.DefineAfter
		if len(ch.Drop) > 0 {
			before, after = crash.DropBefore, crash.DropAfter
		}
		record := binary.AppendUvarint([]byte{recordTx}, uint64(len(b)))
		crash.At(before)
		if err := e.store.Append(append(append(record, b...), rows...)); err != nil {
			return err
		}
		crash.At(after)
		return nil
	case len(rows) == 0:
		return nil
	}
	return e.store.Append(append([]byte{recordRows}, rows...))
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
	case recordTx:
		n, used := binary.Uvarint(record[1:])
		if used <= 0 || n > uint64(len(record)-1-used) {
			return pgerr.New(pgerr.DataCorrupted, "a record of the log cannot be read")
		}
		head := record[1+used : 1+used+int(n)]
		if err := e.replay(append([]byte{recordCatalog}, head...)); err != nil {
			return err
		}
		return e.replay(append([]byte{recordRows}, record[1+used+int(n):]...))
	case recordCatalog:
		var ch catalogChange
		if err := json.Unmarshal(record[1:], &ch); err != nil {
			return pgerr.New(pgerr.DataCorrupted, "a catalog record of the log cannot be read").WithCause(err)
		}
		e.cat = ch.apply(e.cat)
		for _, oid := range ch.Drop {
			delete(e.relations, oid)
			e.sequences.drop(oid)
		}
		for _, r := range ch.Put {
			e.nextOID = max(e.nextOID, lastOID(r)+1)
			switch old := e.relations[r.OID]; {
			case old != nil && slices.Contains(ch.Rewrite, r.OID):
				e.relations[r.OID] = newRelation(r)
			case old != nil:
				old.rel = r
			case r.Kind == catalog.SequenceKind:
				e.sequences.declare(r)
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
		for _, t := range ch.PutTypes {
			t.Register()
			e.nextOID = max(e.nextOID, t.LastOID()+1)
		}
		for oid, v := range ch.Sequences {
			e.sequences.restore(oid, v)
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
		if err := r.buildIndexes(e.alloc); err != nil {
			return err
		}
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
	ch := &catalogChange{PutSchemas: map[string]uint32{}, PutFunctions: e.cat.Functions(), PutTypes: e.cat.Types(), Comments: e.cat.Comments(),
		Sequences: e.sequences.values()}
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
		err := e.writeContent(oid, r.table.Snapshot(), func(rows []byte) error { return add(append([]byte{recordRows}, rows...)) })
		if err != nil {
			return err
		}
	}
	return nil
}

// writeContent gives the rows of a table, encoded, in pieces.
func (e *Engine) writeContent(oid uint32, content *state.TableSnapshot, add func([]byte) error) error {
	scan := content.Scan(nil)
	bld := vec.NewBuilder(e.alloc, content.Schema())
	defer bld.Release()
	for more := true; more; {
		var err error
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
		if err := add(w.Bytes()); err != nil {
			return err
		}
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

// boundOptions are for the definition of a relation that is planned again: its names mean what they did.
func boundOptions(s *Session, rel *catalog.Relation) *planner.Options {
	o := s.planOptions(nil, rel.Definition)
	o.Bound = rel.Bound
	return o
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
	q, err := planner.PlanView(query, boundOptions(s, rel))
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
