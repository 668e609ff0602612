package engine

import (
	"encoding/binary"
	"slices"

	"streamsql/internal/pgerr"
	"streamsql/internal/vec"
	"streamsql/state"
)

// engineKey is the key in the space Meta of what the engine counts.
var engineKey = []byte("engine")

// engineRecord is what the engine counts.
type engineRecord struct {
	epoch    uint64
	lastTick vec.Time
	nextOID  uint32
	nextID   uint64 // of rows
}

func (r *engineRecord) encode() []byte {
	var w state.Writer
	w.Uint64(r.epoch)
	w.Int64(r.lastTick)
	w.Uint64(uint64(r.nextOID))
	w.Uint64(r.nextID)
	return w.Bytes()
}

func readEngineRecord(b []byte) (r engineRecord, err error) {
	rd := state.NewReader(b)
	r = engineRecord{epoch: rd.Uint64(), lastTick: rd.Int64(), nextOID: uint32(rd.Uint64()), nextID: rd.Uint64()}
	return r, rd.Err()
}

func relationKey(oid uint32) []byte { return binary.BigEndian.AppendUint32(nil, oid) }

// writeCut writes an epoch, in one commit but for the rows of content that is all new, which nothing names before.
func (p *persister) writeCut(c *epochCut) error {
	for _, k := range c.rows {
		if k.all {
			if err := k.snap.WriteAll(p.store, k.id); err != nil {
				return err
			}
		}
	}
	b := p.store.NewCommit()
	if err := p.encode(c, b); err != nil {
		b.Close()
		return err
	}
	return b.Write(true)
}

func (p *persister) encode(c *epochCut, b *state.Commit) error {
	b.Put(state.Meta, engineKey, (&engineRecord{epoch: c.epoch, lastTick: c.lastTick, nextOID: c.nextOID, nextID: c.nextID}).encode())
	for _, ch := range c.catalog {
		if err := ch.write(b); err != nil {
			return err
		}
	}
	for _, oid := range c.dropped {
		b.Delete(state.Relations, relationKey(oid))
		b.Delete(state.Positions, relationKey(oid))
	}
	for _, id := range c.droppedID {
		b.DeletePrefix(state.Rows, state.RowsPrefix(id))
	}
	for _, k := range c.rows {
		b.Put(state.Relations, relationKey(k.oid), append(k.snap.Record(k.id).Encode(), k.more...))
		if !k.all {
			if err := k.snap.WriteChanges(b, k.id, k.what); err != nil {
				return err
			}
		}
	}
	for oid, at := range c.positions {
		if !slices.Contains(c.dropped, oid) {
			b.Put(state.Positions, relationKey(oid), at)
		}
	}
	for oid, at := range c.sinks {
		b.Put(state.Positions, relationKey(oid), at.encode())
	}
	for _, ch := range c.catalog {
		for _, oid := range ch.Drop { // also of sinks, which hold no rows
			b.Delete(state.Positions, relationKey(oid))
		}
	}
	for i := range c.changes {
		p.writeEpoch(b, state.History, &c.changes[i])
	}
	if p.trim < c.trim {
		b.DeleteRange(state.History, historyKey(0), historyKey(c.trim))
		p.trim = c.trim
	}
	if err := p.writeRemembered(&c.remembered, c.epoch, b); err != nil {
		return err
	}
	for _, f := range c.extra {
		if err := f(b); err != nil {
			return err
		}
	}
	return nil
}

// The changes of an epoch are kept under its number, with its time.

func historyKey(epoch uint64) []byte { return binary.BigEndian.AppendUint64(nil, epoch) }

// epochPart is about how many bytes of the changes of an epoch are under one key. What is beyond that is under the same key and a number.
const epochPart = 16 << 20

// writeEpoch gives how many bytes it wrote.
func (p *persister) writeEpoch(b *state.Commit, space state.Space, ec *epochChanges) int64 {
	var body, rows, row []byte // of the part; of the relation in it
	var relations, n, part uint64
	var written int64
	endRelation := func(oid uint32) {
		if n > 0 {
			body = binary.AppendUvarint(binary.AppendUvarint(body, uint64(oid)), n)
			body = append(body, rows...)
			relations++
			rows, n = rows[:0], 0
		}
	}
	endPart := func() {
		value := binary.AppendUvarint(binary.AppendVarint(nil, ec.now), relations)
		value = append(value, body...)
		key := historyKey(ec.epoch)
		if part > 0 {
			key = binary.BigEndian.AppendUint32(key, uint32(part))
		}
		b.Put(space, key, value)
		written += int64(len(value))
		body, relations = body[:0], 0
		part++
	}
	for oid, bs := range ec.deltas {
		for _, x := range bs {
			views := x.Views(nil)
			for i := range x.N {
				deleted := byte(0)
				if x.Op(i) == vec.Delete {
					deleted = 1
				}
				row = vec.AppendRow(row[:0], views, i)
				rows = append(binary.AppendUvarint(append(rows, deleted), uint64(len(row))), row...)
				if n++; len(body)+len(rows) > p.epochPart {
					endRelation(oid)
					endPart()
				}
			}
		}
		endRelation(oid)
	}
	if part == 0 || relations > 0 {
		endPart()
	}
	return written
}

// storedChanges gives, from the first to the last, the kept changes of epochs from from on whose time is at or later. The batches are the caller's,
// unless it returns an error. schema gives the columns of a relation; nil where it is not wanted.
func (p *persister) storedChanges(space state.Space, from uint64, at vec.Time, schema func(oid uint32) *vec.Schema, give func(ec epochChanges) error) error {
	var failed error
	var next epochChanges // whose parts are being gathered
	err := p.store.ScanFrom(space, nil, historyKey(from), func(key, value []byte) bool {
		if at > vec.MinTime && state.NewReader(value).Int64() < at {
			return true
		}
		ec, err := readEpoch(p.e.alloc, key, value, schema)
		switch {
		case err == nil && next.deltas != nil && ec.epoch == next.epoch:
			for oid, bs := range ec.deltas {
				next.deltas[oid] = append(next.deltas[oid], bs...)
			}
		case err == nil && next.deltas != nil:
			whole := next
			next = ec
			err = give(whole)
		case err == nil:
			next = ec
		}
		failed = err
		return err == nil
	})
	if err == nil {
		err = failed
	}
	if err == nil && next.deltas != nil {
		return give(next)
	}
	next.release()
	return err
}

func readEpoch(a vec.Allocator, key, value []byte, schema func(oid uint32) *vec.Schema) (epochChanges, error) {
	r := state.NewReader(value)
	ec := epochChanges{epoch: binary.BigEndian.Uint64(key), now: r.Int64(), deltas: map[uint32][]*vec.Batch{}}
	for range r.Uint64() {
		oid := uint32(r.Uint64())
		n := r.Uint64()
		if r.Err() != nil {
			break
		}
		var b *vec.Builder
		if s := schema(oid); s != nil {
			b = vec.NewBuilder(a, s)
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
			if b == nil {
				continue
			}
			vec.DecodeRow(row, nil, b)
			if b.AppendOp(op); b.Len() == vec.MaxRows {
				ec.deltas[oid] = append(ec.deltas[oid], b.Finish())
			}
		}
		if b != nil {
			if b.Len() > 0 {
				ec.deltas[oid] = append(ec.deltas[oid], b.Finish())
			}
			b.Release()
		}
	}
	if err := r.Err(); err != nil {
		ec.release()
		return epochChanges{}, pgerr.New(pgerr.DataCorrupted, "the stored changes of epoch %d cannot be read", ec.epoch).WithCause(err)
	}
	return ec, nil
}
