package engine

import (
	"encoding/binary"

	"streamsql/catalog"
	"streamsql/connector"
	"streamsql/internal/pgerr"
	"streamsql/state"
)

// recover opens the data directory: the catalog is read, tables and views lie over their stored rows, which are read when they are needed.
func (e *Engine) recover(o *Options) error {
	so := state.StoreOptions{FS: o.FS, Log: o.Log, Full: e.diskFull}
	if o.Memory > 0 { // the store keeps several that it has written
		so.StageBytes = int(min(max(o.Memory/64, 4<<20), 256<<20))
	}
	store, err := state.OpenStore(o.DataDir, so)
	if err != nil {
		return err
	}
	e.persist = newPersister(e, store)
	e.recordSinks = e.persist.request
	if o.DurableEvery > 0 {
		e.persist.every = o.DurableEvery
	}
	if err := e.readStore(); err != nil {
		store.Close()
		return err
	}
	return nil
}

// diskFull tells when writes wait for room, and when they go on.
func (e *Engine) diskFull(full bool) {
	if full {
		e.log.Warn("the disk is full: changes wait until there is room")
	} else {
		e.log.Info("there is room on the disk again")
	}
}

func (e *Engine) readStore() error {
	p := e.persist
	b, ok, err := p.store.Get(state.Meta, engineKey)
	if err != nil {
		return err
	}
	if ok {
		r, err := readEngineRecord(b)
		if err != nil {
			return pgerr.New(pgerr.DataCorrupted, "the record of the engine cannot be read").WithCause(err)
		}
		e.epoch, e.lastTick, e.nextOID, p.nextID, p.nextOID = r.epoch, r.lastTick, r.nextOID, r.nextID, r.nextOID
		p.cutEpoch = r.epoch
		e.started = max(e.started, e.lastTick)
		p.durable.Store(e.lastTick)
	}
	var ch catalogChange
	var failed error
	err = p.store.Scan(state.Catalog, nil, func(key, value []byte) bool {
		failed = ch.read(key, value)
		return failed == nil
	})
	if failed != nil {
		return failed
	}
	if err != nil {
		return err
	}
	for _, t := range ch.PutTypes {
		t.Register()
	}
	e.cat = ch.apply(e.cat)
	at, err := p.store.Stored()
	if err != nil {
		return err
	}
	used := map[uint64]bool{}
	for _, rel := range ch.Put {
		if rel.Kind == catalog.SequenceKind {
			e.sequences.declare(rel)
		}
		if rel.Kind != catalog.Table && rel.Kind != catalog.MatView {
			continue
		}
		b, ok, err := p.store.Get(state.Relations, relationKey(rel.OID))
		if err != nil {
			return err
		}
		if !ok && rel.Kind == catalog.MatView { // it was made, and was being filled
			e.relations[rel.OID] = e.newRelation(rel)
			continue
		}
		if !ok {
			return pgerr.New(pgerr.DataCorrupted, "the store has lost the content of %s \"%s\"", rel.Kind, rel.Name)
		}
		rec, err := state.ParseTableRecord(b)
		if err != nil {
			return pgerr.New(pgerr.DataCorrupted, "the record of %s \"%s\" cannot be read", rel.Kind, rel.Name).WithCause(err)
		}
		used[rec.ID] = true
		r := &relation{rel: rel, table: state.NewStoredTable(rel.Fields(), rel.PrimaryKey, at, rec)}
		r.table.SetName(rel.Name)
		if err := p.readIndexes(r, at, used); err != nil {
			return err
		}
		r.published = r.table.Snapshot()
		r.born = e.lastTick
		e.relations[rel.OID] = r
		p.saved[rel.OID] = &savedRelation{record: rec, mark: r.published.Mark()}
	}
	for oid, v := range ch.Sequences {
		e.sequences.restore(oid, v)
	}
	if err := p.readRemembered(); err != nil {
		return err
	}
	return p.dropUnused(used)
}

// ingested gives how far the connector of a table has been read; nil: not at all.
func (p *persister) ingested(oid uint32) (connector.Offset, error) {
	if p == nil {
		return nil, nil
	}
	at, ok, err := p.store.Get(state.Positions, relationKey(oid))
	if err != nil || !ok {
		return nil, err
	}
	return at, nil
}

// sinkAt gives the position that is recorded of a sink; the zero position: none.
func (p *persister) sinkAt(oid uint32) (at sinkPosition, err error) {
	b, ok, err := p.store.Get(state.Positions, relationKey(oid))
	if err != nil || !ok {
		return at, err
	}
	return decodeSinkPosition(b)
}

// dropUnused removes rows that nothing names: of content that was being written when the engine was left.
func (p *persister) dropUnused(used map[uint64]bool) error {
	c := p.store.NewCommit()
	for next := uint64(0); ; {
		found := false
		var id uint64
		if err := p.store.ScanFrom(state.Rows, nil, state.RowsPrefix(next), func(key, _ []byte) bool {
			found, id = true, binary.BigEndian.Uint64(key)
			return false
		}); err != nil {
			c.Close()
			return err
		}
		if !found {
			break
		}
		p.nextID = max(p.nextID, id+1)
		if !used[id] {
			c.DeletePrefix(state.Rows, state.RowsPrefix(id))
		}
		next = id + 1
	}
	if c.Empty() {
		c.Close()
		return nil
	}
	return c.Write(true)
}
