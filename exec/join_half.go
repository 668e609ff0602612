package exec

import (
	"streamsql/internal/vec"
)

// halfJoin is a semi or anti join that the key alone decides: of the right side only the number of
// rows of each key is kept. NOT IN also asks whether there is any row, and whether one is NULL.
type halfJoin struct {
	j      *joinOp
	groups groupTable
	counts []int64
	// rows and nulls count the right rows, and those whose key is NULL.
	rows, nulls int64

	ids, leftIDs []uint32
	stamps       []uint32 // by id: the last push that touched it
	stamp        uint32
	touched      []int32 // rows of the push that touched an id first
	was          []bool  // by touched: whether the key had rows before
}

func newHalfJoin(j *joinOp) *halfJoin {
	h := &halfJoin{j: j, groups: newGroups(j.ctx.Alloc, j.sides[1].keyTypes)}
	j.sides[0].store.keepMatches = true // whether the row has been sent
	return h
}

func (h *halfJoin) close() {
	if h.groups != nil {
		h.groups.Close()
		h.groups = nil
	}
}

// clear forgets a side that nothing will ask for any more.
func (h *halfJoin) clear(side int) {
	if side == 0 {
		h.j.sides[0].clear()
		return
	}
	h.groups.Reset()
	h.counts, h.stamps = h.counts[:0], h.stamps[:0]
}

// wanted says whether a left row with n matches is in the result. null: its key is NULL.
func (h *halfJoin) wanted(n int64, null bool) bool {
	switch {
	case h.j.semi:
		return n > 0 && !null
	case !h.j.n.NullAware:
		return n == 0 || null
	case h.rows == 0:
		return true
	}
	return !null && h.nulls == 0 && n == 0
}

func (h *halfJoin) count(id uint32) int64 {
	if id == NoGroup || int(id) >= len(h.counts) {
		return 0
	}
	return h.counts[id]
}

func (h *halfJoin) push(input int, b *vec.Batch) error {
	j := h.j
	s := j.sides[input]
	if err := j.classify(s, b); err != nil {
		return err
	}
	h.ids = growSide(h.ids[:0], 0, b.N)
	keys := keyCols(j.scratch.keys, s.views, s.keys)
	j.scratch.keys = keys
	if input == 1 {
		return h.pushRight(s, b, keys)
	}
	h.groups.Find(keys, h.ids)
	for i := range b.N {
		null := j.class != nil && j.class[i] == rowAlone
		if h.wanted(h.count(h.ids[i]), null) {
			j.matched[i] = 1
			if err := j.put(i, noRow, b.Op(i), 1); err != nil {
				return err
			}
		}
	}
	if err := j.flushOut(); err != nil {
		return err
	}
	if j.sides[1].ended {
		return nil
	}
	if j.n.NullAware {
		j.class = nil // rows with a NULL key come and go with the others
	}
	j.keep(s, b)
	s.compact()
	return nil
}

func (h *halfJoin) pushRight(s *joinSide, b *vec.Batch, keys []vec.Vec) error {
	j := h.j
	rows0, nulls0 := h.rows, h.nulls
	h.groups.Intern(keys, h.ids)
	for len(h.counts) < h.groups.Len() {
		h.counts = append(h.counts, 0)
		h.stamps = append(h.stamps, 0)
	}
	h.stamp++
	h.touched, h.was = h.touched[:0], h.was[:0]
	for i, id := range h.ids {
		d := int64(b.Op(i))
		h.rows += d
		if j.class != nil && j.class[i] == rowAlone {
			h.nulls += d
			continue
		}
		if h.stamps[id] != h.stamp {
			h.stamps[id] = h.stamp
			h.touched = append(h.touched, int32(i))
			h.was = append(h.was, h.counts[id] > 0)
		}
		h.counts[id] += d
	}
	l := j.sides[0]
	if l.store.live > 0 {
		var err error
		if j.n.NullAware && ((rows0 == 0) != (h.rows == 0) || (nulls0 == 0) != (h.nulls == 0)) {
			err = h.reviseAll(l)
		} else {
			err = h.revise(l, keys)
		}
		if err == nil {
			err = j.flushOut()
		}
		if err != nil {
			return err
		}
	}
	var gone []uint32
	for _, i := range h.touched {
		if id := h.ids[i]; h.counts[id] <= 0 {
			gone = append(gone, id)
			h.counts[id] = 0
		}
	}
	h.groups.Remove(gone)
	return nil
}

// revise sends or takes back the left rows of the keys that appeared or vanished.
func (h *halfJoin) revise(l *joinSide, keys []vec.Vec) error {
	for _, b := range l.buckets {
		if b.todoRows > 0 {
			// link works in the scratch columns that hold the keys
			own := append([]vec.Vec(nil), keys...)
			l.link(b, &h.j.scratch)
			keys = own
		}
		h.leftIDs = growSide(h.leftIDs[:0], 0, len(h.ids))
		b.groups.Find(keys, h.leftIDs)
		for k, i := range h.touched {
			now := h.counts[h.ids[i]]
			id := h.leftIDs[i]
			if h.was[k] == (now > 0) || id == NoGroup {
				continue
			}
			for r := b.heads[id]; r != noRow; r = l.store.next[r>>blockBits][r&blockMask] {
				if err := h.set(l, r, h.wanted(now, false)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// reviseAll compares every left row with what it should be: the answer of NOT IN changed for all.
func (h *halfJoin) reviseAll(l *joinSide) error {
	for _, b := range l.buckets {
		for _, at := range b.blocks {
			blk := l.store.blocks[at]
			cols := keyCols(nil, blk.cols, l.keys)
			h.leftIDs = growSide(h.leftIDs[:0], 0, blk.n)
			h.groups.Find(cols, h.leftIDs)
			for row := range blk.n {
				want := h.wanted(h.count(h.leftIDs[row]), cols[0].IsNull(row))
				if err := h.set(l, rowRef(at<<blockBits|row), want); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// set makes left row r part of the result or not.
func (h *halfJoin) set(l *joinSide, r rowRef, want bool) error {
	n := l.store.count(r)
	m := &l.store.matches[r>>blockBits][r&blockMask]
	if n == 0 || (*m > 0) == want {
		return nil
	}
	if want {
		*m = 1
		return h.j.put(-1, r, vec.Insert, n)
	}
	*m = 0
	return h.j.put(-1, r, vec.Delete, n)
}
