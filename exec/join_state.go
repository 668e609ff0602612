package exec

import (
	"slices"

	"streamsql/internal/vec"
	"streamsql/state"
)

// Snapshot implements Operator. Rows are written with their multiplicity, matches
// and times of finality; indexes are made anew.
func (j *joinOp) Snapshot(w *state.Writer) error {
	j.snapshotOf(nil, w)
	return nil
}

// joinPart picks rows for a snapshot of a part of the keys; nil picks all.
type joinPart struct {
	part   uint8
	held   [][]uint8    // by held batch: the part of each row
	blocks [2][][]uint8 // by side and block
	counts []uint8      // of a halfJoin: by id
}

// pick lists the rows of n that are of the part.
func (p *joinPart) pick(parts []uint8, n int) []int32 {
	if p == nil {
		return iota32(n)
	}
	sel := make([]int32, 0, 8)
	for i, x := range parts[:n] {
		if x == p.part {
			sel = append(sel, int32(i))
		}
	}
	return sel
}

// snapshotOf writes the rows of a part as Snapshot does.
func (j *joinOp) snapshotOf(p *joinPart, w *state.Writer) {
	w.Bool(j.leftDone)
	w.Bool(j.hasW)
	w.Int64(j.prev.W)
	w.Bool(j.prev.Idle)
	w.Uint64(uint64(len(j.held)))
	for i, b := range j.held {
		if p == nil {
			writeBatch(w, b)
			continue
		}
		part := b.Select(j.ctx.Alloc, p.pick(p.held[i], b.N))
		writeBatch(w, part)
		part.Release()
	}
	for i, s := range j.sides {
		s.snapshot(i, p, w)
	}
	if h := j.keyed; h != nil {
		w.Int64(h.rows)
		w.Int64(h.nulls)
		h.snapshot(p, w)
	}
}

// Restore implements Operator.
func (j *joinOp) Restore(r *state.Reader) error {
	j.leftDone = r.Bool()
	j.hasW = r.Bool()
	j.prev = Mark{W: r.Int64(), Idle: r.Bool()}
	for n := r.Uint64(); n > 0 && r.Err() == nil; n-- {
		b, err := readBatch(r, j.ctx.Alloc, j.sides[0].schema)
		if err != nil {
			return err
		}
		j.held = append(j.held, b)
	}
	for _, s := range j.sides {
		if err := s.restore(r); err != nil {
			return err
		}
	}
	if h := j.keyed; h != nil {
		h.rows, h.nulls = r.Int64(), r.Int64()
		if err := h.restore(r); err != nil {
			return err
		}
	}
	return r.Err()
}

func (s *joinSide) snapshot(side int, p *joinPart, w *state.Writer) {
	w.Int64(s.mark.W)
	w.Bool(s.mark.Idle)
	w.Bool(s.active)
	w.Bool(s.ended)
	w.Int64(s.final)
	w.Uint64(uint64(len(s.buckets)))
	for _, b := range s.buckets {
		w.Int64(b.minT)
		w.Int64(b.maxT)
		w.Uint64(uint64(len(b.blocks)))
		for _, at := range b.blocks {
			blk := s.store.blocks[at]
			var parts []uint8
			if p != nil {
				parts = p.blocks[side][at]
			}
			sel := p.pick(parts, blk.n)
			if s.store.keepCounts {
				counts := s.store.counts[at]
				sel = slices.DeleteFunc(sel, func(row int32) bool { return counts[row] == 0 })
			}
			w.Int64(blk.minT)
			w.Int64(blk.maxT)
			w.Int64(blk.pending)
			s.store.writeBlock(w, int(at), sel)
			for _, row := range sel {
				if s.store.keepCounts {
					w.Uint64(uint64(s.store.counts[at][row]))
				}
				if s.store.keepMatches {
					w.Uint64(uint64(s.store.matches[at][row]))
				}
			}
		}
	}
}

func (s *joinSide) restore(r *state.Reader) error {
	s.mark = Mark{W: r.Int64(), Idle: r.Bool()}
	s.active, s.ended = r.Bool(), r.Bool()
	s.final = r.Int64()
	cols := make([]vec.Vec, len(s.store.kinds))
	for i := range cols {
		cols[i].SetAllocator(s.store.alloc)
	}
	defer func() {
		for i := range cols {
			cols[i].Release()
		}
	}()
	for n := r.Uint64(); n > 0 && r.Err() == nil; n-- {
		b := &joinBucket{minT: r.Int64(), maxT: r.Int64()}
		if len(s.keys) > 0 {
			b.groups = newGroups(s.store.alloc, s.keyTypes)
		}
		s.buckets = append(s.buckets, b)
		s.store.closeOpen()
		for k := r.Uint64(); k > 0 && r.Err() == nil; k-- {
			minT, maxT, pending := r.Int64(), r.Int64(), r.Int64()
			rows, err := readRows(r, cols, s.store.kinds)
			if err != nil {
				return err
			}
			var hs []uint64
			if s.retracts {
				hs = make([]uint64, rows)
				hashRows(cols, rows, hs)
			}
			s.store.addSel(cols, iota32(rows), func(at, row int, part []int32) {
				for k, i := range part {
					if s.store.keepCounts {
						s.store.counts[at][row+k] = int32(r.Uint64())
					}
					if s.store.keepMatches {
						s.store.matches[at][row+k] = int32(r.Uint64())
					}
					if s.retracts {
						s.byRow.add(rowRef(at<<blockBits|row+k), hs[i])
					}
				}
				s.enqueue(b, at, row, len(part))
				blk := s.store.blocks[at]
				blk.minT, blk.maxT, blk.pending = min(blk.minT, minT), max(blk.maxT, maxT), min(blk.pending, pending)
			})
		}
	}
	return r.Err()
}

func (h *halfJoin) snapshot(p *joinPart, w *state.Writer) {
	var ids []uint32
	for id, n := range h.counts {
		if n > 0 && (p == nil || p.counts[id] == p.part) {
			ids = append(ids, uint32(id))
		}
	}
	types := h.j.sides[1].keyTypes
	cols := make([]vec.Vec, len(types))
	for i := range cols {
		cols[i].SetAllocator(h.j.ctx.Alloc)
		cols[i].Reset(types[i].Kind(), 0)
	}
	h.groups.Append(ids, cols)
	writeRows(w, cols, iota32(len(ids)))
	for i := range cols {
		cols[i].Release()
	}
	for _, id := range ids {
		w.Int64(h.counts[id])
	}
}

func (h *halfJoin) restore(r *state.Reader) error {
	side := h.j.sides[1]
	cols := make([]vec.Vec, len(side.keyTypes))
	kinds := schemaKinds(side.schema)
	keyKinds := kinds[:0:0]
	for i, k := range side.keys {
		cols[i].SetAllocator(h.j.ctx.Alloc)
		keyKinds = append(keyKinds, kinds[k])
	}
	defer func() {
		for i := range cols {
			cols[i].Release()
		}
	}()
	n, err := readRows(r, cols, keyKinds)
	if err != nil {
		return err
	}
	ids := make([]uint32, n)
	h.groups.Intern(cols, ids)
	h.counts = make([]int64, h.groups.Len())
	h.stamps = make([]uint32, h.groups.Len())
	for _, id := range ids {
		h.counts[id] = r.Int64()
	}
	return r.Err()
}
