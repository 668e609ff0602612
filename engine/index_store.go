package engine

import (
	"bytes"

	"streamsql/catalog"
	"streamsql/internal/types"
	"streamsql/sql/planner"
	"streamsql/state"
)

// Indexes are stored as the rows of relations are, under the OID of the index, so that a start does not read the tables. Their record
// also tells which columns they are of: one that is of others, as the table has been altered since, is made anew.

// indexContent is an index at one epoch.
type indexContent struct {
	oid  uint32
	snap *state.TableSnapshot
	what []byte // see layout
}

// layout tells what the rows of an index are: whether it is unique, how many columns its key has and which columns of the table it holds.
func (x *tableIndex) layout(rel *catalog.Relation) []byte {
	var w state.Writer
	w.Bool(x.unique)
	w.Uint64(uint64(len(x.key)))
	for _, c := range x.cols {
		if c < 0 { // what it computes is told below
			w.Uint64(0)
			continue
		}
		w.Uint64(uint64(rel.Attnum(c)))
		w.Uint64(uint64(rel.Columns[c].Type.OID))
	}
	if x.computed != nil {
		w.String(x.text)
	}
	return w.Bytes()
}

// trackIndexes makes indexes remember what changes, for a persister.
func (e *Engine) trackIndexes(xs []*tableIndex) {
	if e.persist == nil {
		return
	}
	for _, x := range xs {
		x.rows.Track()
	}
}

// indexContents gives the indexes of a table as they are now, where they are stored.
func (e *Engine) indexContents(rel *catalog.Relation, xs []*tableIndex) (out []indexContent) {
	if e.persist == nil || rel.Temp {
		return nil
	}
	for _, x := range xs {
		if x.oid != 0 {
			out = append(out, indexContent{oid: x.oid, snap: x.rows.Snapshot(), what: x.layout(rel)})
		}
	}
	return out
}

// readIndexes gives a table that is being recovered its indexes: those that are stored, and the others from its rows. used
// gets the IDs of their rows.
func (p *persister) readIndexes(r *relation, at *state.Stored, used map[uint64]bool) error {
	var missing []*tableIndex
	var err error
	if r.indexes, err = newIndexes(r.rel, &planner.Options{Catalog: p.e.cat, SearchPath: p.e.cat.Schemas(), Env: &types.Env{}}); err != nil {
		return err
	}
	for _, x := range r.indexes {
		b, ok, err := p.store.Get(state.Relations, relationKey(x.oid))
		if err != nil {
			return err
		}
		var rec state.TableRecord
		if ok {
			if rec, err = state.ParseTableRecord(b); err != nil {
				return err
			}
			ok = bytes.Equal(b, append(rec.Encode(), x.layout(r.rel)...))
		}
		if !ok {
			missing = append(missing, x)
			continue
		}
		used[rec.ID] = true
		x.rows = state.NewStoredTable(x.schema, x.first(), at, rec)
		x.rows.SetName(x.name)
		p.saved[x.oid] = &savedRelation{record: rec, mark: x.rows.Snapshot().Mark()}
		p.indexes[r.rel.OID] = append(p.indexes[r.rel.OID], x.oid)
	}
	if missing != nil {
		if err := fillIndexes(r.rel, r.table, missing, p.e.alloc); err != nil {
			return err
		}
		p.e.trackIndexes(missing)
		p.dirty[r.rel.OID], p.changed = true, true // so that they are stored
	}
	r.publishedIndexes = p.e.indexContents(r.rel, r.indexes)
	return nil
}
