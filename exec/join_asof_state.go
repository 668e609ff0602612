package exec

import (
	"container/heap"
	"slices"

	"streamsql/internal/vec"
	"streamsql/state"
)

// forget drops the keys that have no rows any more.
func (a *asofJoin) forget() {
	if len(a.gone) == 0 {
		return
	}
	slices.Sort(a.gone)
	var ids []uint32
	for _, id := range slices.Compact(a.gone) {
		if p := a.parts[id]; p == nil || p.left.n == 0 && p.right.n == 0 && p.waiting == 0 {
			a.parts[id] = nil
			ids = append(ids, id)
		}
	}
	a.groups.Remove(ids)
	a.gone = a.gone[:0]
}

// sweep drops the rows that the watermarks have made dead. It comes when the rows have doubled, so that a row costs little however many keys there are.
func (a *asofJoin) sweep() {
	l, r := a.sides[0], a.sides[1]
	for id, p := range a.parts {
		if p == nil {
			continue
		}
		if !a.n.OnClose && p.left.n > 0 {
			a.sweepLeft(p)
		}
		if p.right.n > 0 {
			at := p.right.find(func(e timedRow) bool { return wordTime(e.word) < a.freed })
			if a.back { // the nearest of them is still that of the next left row
				at, _ = p.right.before(at)
			}
			p.right.cut(at, func(e timedRow) { r.store.kill(e.ref) })
		}
		if p.left.n == 0 && p.right.n == 0 {
			a.gone = append(a.gone, uint32(id))
		}
	}
	a.forget()
	a.swept = l.store.live + r.store.live
}

// sweepLeft drops the left rows of a key that are final.
func (a *asofJoin) sweepLeft(p *asofPart) {
	l := a.sides[0]
	to := p.left.end()
	switch {
	case a.sides[1].ended:
	case a.back:
		to = p.left.find(func(e timedRow) bool {
			return wordTime(e.word) < a.final || a.strict && wordTime(e.word) == a.final
		})
	default:
		last, ok := p.right.before(p.right.find(func(e timedRow) bool { return wordTime(e.word) < a.final }))
		if !ok {
			return
		}
		e, _ := p.right.at(last)
		to = l.bound(&p.left, e.word, nil, 0, !a.strict)
	}
	p.left.cut(to, func(e timedRow) { l.store.kill(e.ref) })
}

// compact copies the live rows of a store once the dead ones are the larger part.
func (a *asofJoin) compact() {
	for side, s := range a.sides {
		old := s.store
		if old.dead < 4096 || old.dead < old.live {
			continue
		}
		s.store = newRowStore(old.alloc, old.kinds)
		s.order.store = s.store
		var left []asofLeft
		var moved []rowRef
		if side == 1 {
			moved = make([]rowRef, len(old.blocks)<<blockBits)
			for i := range moved {
				moved[i] = noRow
			}
		}
		move := func(r rowRef) rowRef {
			cols, row := old.at(r)
			to := s.store.add(cols, row)
			if side == 0 {
				setAt(&left, int(to), a.left[r])
			} else {
				moved[r] = to
			}
			return to
		}
		for _, p := range a.parts {
			if p == nil {
				continue
			}
			rows := &p.left
			if side == 1 {
				rows = &p.right
			}
			for _, c := range rows.chunks {
				for i := range c {
					c[i].ref = move(c[i].ref)
				}
			}
		}
		for i := range a.due {
			switch {
			case a.back && side == 0:
				a.due[i].ref = move(a.due[i].ref)
			case !a.back && side == 1:
				a.due[i].ref = moved[a.due[i].ref]
			}
		}
		if side == 0 {
			a.left = left
		} else {
			for i := range a.left {
				if m := &a.left[i]; m.match != noRow {
					m.match = moved[m.match]
				}
			}
		}
		old.reset()
	}
}

// Snapshot implements Operator.
func (a *asofJoin) Snapshot(w *state.Writer) error {
	for _, s := range a.sides {
		w.Int64(s.mark.W)
		w.Bool(s.mark.Idle)
		w.Bool(s.active)
		w.Bool(s.ended)
	}
	w.Int64(a.prev.W)
	w.Bool(a.prev.Idle)
	w.Bool(a.hasW)
	w.Bool(a.ended)
	w.Int64(a.freed)
	w.Int64(a.final)
	w.Uint64(uint64(a.swept))
	w.Uint64(uint64(len(a.held)))
	for _, b := range a.held {
		writeBatch(w, b)
	}
	var refs [2][]rowRef
	for _, p := range a.parts {
		if p != nil {
			p.left.each(asofPlace{}, p.left.end(), func(e timedRow) { refs[0] = append(refs[0], e.ref) })
			p.right.each(asofPlace{}, p.right.end(), func(e timedRow) { refs[1] = append(refs[1], e.ref) })
		}
	}
	if a.back {
		for _, d := range a.due {
			refs[0] = append(refs[0], d.ref)
		}
	}
	if !a.back {
		waiting := map[rowRef]bool{}
		for _, d := range a.due {
			waiting[d.ref] = true
		}
		w.Uint64(uint64(len(refs[1])))
		for _, r := range refs[1] {
			w.Bool(waiting[r])
		}
	}
	writeStore(w, a.sides[1].store, refs[1])
	writeStore(w, a.sides[0].store, refs[0])
	return nil
}

// Restore implements Operator. Which right row a left one was sent with is found anew: after a tick it is the nearest, unless it was final, which nothing changes any more.
func (a *asofJoin) Restore(r *state.Reader) error {
	for _, s := range a.sides {
		s.mark = Mark{W: r.Int64(), Idle: r.Bool()}
		s.active, s.ended = r.Bool(), r.Bool()
	}
	a.prev = Mark{W: r.Int64(), Idle: r.Bool()}
	a.sent = a.prev
	a.hasW, a.ended = r.Bool(), r.Bool()
	a.freed, a.final = r.Int64(), r.Int64()
	a.swept = int(r.Uint64())
	for n := r.Uint64(); n > 0 && r.Err() == nil; n-- {
		b, err := readBatch(r, a.ctx.Alloc, a.sides[0].schema)
		if err != nil {
			return err
		}
		a.held = append(a.held, b)
	}
	var waiting []bool
	if !a.back {
		for n := min(r.Uint64(), uint64(r.Len())); n > 0; n-- {
			waiting = append(waiting, r.Bool())
		}
	}
	for _, side := range []int{1, 0} {
		err := readParts(r, a.sides[side].store, func(cols []vec.Vec, n int) {
			a.restoreRows(side, cols, n, waiting)
			waiting = waiting[min(n, len(waiting)):]
		})
		if err != nil {
			return err
		}
	}
	return r.Err()
}

// restoreRows takes back n rows of a side. waiting says, of those of the right one, which wait for their left rows.
func (a *asofJoin) restoreRows(side int, cols []vec.Vec, n int, waiting []bool) {
	s := a.sides[side]
	s.words = timeWords(&cols[s.timeCol], s.schema.Fields[s.timeCol].Type, n, s.words)
	ids := make([]uint32, n)
	a.groups.Intern(keyCols(nil, cols, s.keys), ids)
	for len(a.parts) < a.groups.Len() {
		a.parts = append(a.parts, nil)
	}
	for i, id := range ids {
		p, w := a.part(id), s.words[i]
		e := timedRow{w, s.store.add(cols, i)}
		if side == 1 {
			if !a.ctx.Continuous && !s.ended {
				p.right.chunks = appendUnsorted(p.right.chunks, e)
				p.right.n++
			} else {
				p.right.insert(s.search(&p.right, w, cols, i), e)
			}
			if !a.back && i < len(waiting) && waiting[i] {
				heap.Push(&a.due, asofDue{wordTime(w), e.ref, id})
				p.waiting++
			}
			continue
		}
		m := asofLeft{id: id, match: noRow}
		if a.n.OnClose && a.back {
			heap.Push(&a.due, asofDue{wordTime(w), e.ref, id})
			p.waiting++
		} else {
			p.left.insert(s.search(&p.left, w, cols, i), e)
			if !a.n.OnClose {
				m.match, m.sent = a.nearest(p, w, &cols[s.timeCol], i), true
			}
		}
		setAt(&a.left, int(e.ref), m)
	}
}
