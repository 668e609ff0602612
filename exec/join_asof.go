package exec

import (
	"container/heap"
	"slices"

	"streamsql/internal/pgerr"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
)

// asofJoin joins each left row with the nearest right row of its key, in one direction of time. Rows are kept in
// order by key; a right row that comes or goes makes dirty the left rows whose nearest it is or was, and a tick
// sends what changed of them. The nearest of right rows with one time is the first by the whole row.
//
// Where the plan frees (planner.AsOfJoin.Free), a left row is final when the right watermark shows that no nearer row
// can come, and right rows that no left row can need are dropped. With OnClose left rows are sent when they are final.
type asofJoin struct {
	n      *planner.AsOfJoin
	ctx    *Context
	out    Output
	sides  [2]*asofSide
	groups groupTable
	parts  []*asofPart
	left   []asofLeft // by reference to the left store
	dirty  []rowRef
	gone   []uint32 // keys that lost a row
	back   bool     // the nearest row is at or before the left row's time
	strict bool     // rows of equal time do not match
	// due holds, with OnClose, what decides on the next left rows to be sent: the left rows, or the right ones where the nearest row comes after.
	due     asofQueue
	freed   vec.Time // right rows below it may have been dropped
	final   vec.Time // the right watermark up to which left rows are final
	swept   int      // rows left by the last sweep
	prev    Mark
	sent    Mark
	hasW    bool
	held    []*vec.Batch // left rows of a snapshot until the right side is complete
	ended   bool         // the left side of a snapshot is complete
	scratch []vec.Vec
	res     asofResult
}

// asofPart is the rows of one key.
type asofPart struct {
	left, right timedRows
	waiting     int // rows in due
}

// asofLeft is what is known of a left row.
type asofLeft struct {
	id    uint32
	match rowRef // the right row that it was sent with; noRow: none
	dirty bool
	sent  bool
	gone  bool
}

// asofDue is a row in time order.
type asofDue struct {
	t   vec.Time
	ref rowRef
	id  uint32
}

type asofQueue []asofDue

// Len implements heap.Interface.
func (q asofQueue) Len() int { return len(q) }

// Less implements heap.Interface.
func (q asofQueue) Less(i, j int) bool {
	return q[i].t < q[j].t || q[i].t == q[j].t && q[i].ref < q[j].ref
}

// Swap implements heap.Interface.
func (q asofQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Push implements heap.Interface.
func (q *asofQueue) Push(x any) { *q = append(*q, x.(asofDue)) }

// Pop implements heap.Interface.
func (q *asofQueue) Pop() any {
	o := *q
	x := o[len(o)-1]
	*q = o[:len(o)-1]
	return x
}

// asofResult gathers rows to be sent, by reference to both stores.
type asofResult struct {
	l, r   []rowRef
	ops    []vec.Op
	dels   int
	padded bool
}

func (r *asofResult) add(l, right rowRef, op vec.Op) {
	r.l, r.r, r.ops = append(r.l, l), append(r.r, right), append(r.ops, op)
	r.padded = r.padded || right == noRow
	if op == vec.Delete {
		r.dels++
	}
}

func newAsofJoin(n *planner.AsOfJoin) (Operator, error) {
	if len(n.LeftKeys) != len(n.RightKeys) {
		return nil, pgerr.New(pgerr.InternalError, "join keys do not pair up")
	}
	return &asofJoin{n: n, prev: Mark{W: vec.MinTime}, sent: Mark{W: vec.MinTime}, freed: vec.MinTime, final: vec.MinTime}, nil
}

// Open implements Operator.
func (a *asofJoin) Open(ctx *Context, out Output) error {
	a.ctx, a.out = ctx, out
	n := a.n
	a.back = n.Op == ">=" || n.Op == ">"
	a.strict = n.Op == ">" || n.Op == "<"
	a.sides[0] = newAsofSide(ctx.Alloc, n.Left.Schema(), n.LeftKeys, n.NullSafe, n.LeftTime)
	a.sides[1] = newAsofSide(ctx.Alloc, n.Right.Schema(), n.RightKeys, n.NullSafe, n.RightTime)
	a.sides[1].reversed = a.back
	ts := schemaTypes(n.Left.Schema())
	keys := ts[:0:0]
	for _, k := range n.LeftKeys {
		keys = append(keys, ts[k])
	}
	a.groups = newGroups(ctx.Alloc, keys)
	return nil
}

// free says that the watermark frees state.
func (a *asofJoin) free() bool { return a.ctx.Continuous && a.n.Free }

// Push implements Operator.
func (a *asofJoin) Push(input int, b *vec.Batch) error {
	if b.N == 0 {
		return nil
	}
	a.hasW = a.hasW || b.W != nil
	if !a.ctx.Continuous && input == 0 {
		if !a.sides[1].ended {
			a.held = append(a.held, b.Retain())
			return nil
		}
		return a.probe(b)
	}
	s := a.sides[input]
	alone := a.intern(s, b, true)
	if input == 1 {
		return a.pushRight(s, b, alone)
	}
	return a.pushLeft(s, b, alone)
}

// intern finds the groups and time words of a batch's rows, and which rows match nothing as a key or the time is NULL.
func (a *asofJoin) intern(s *asofSide, b *vec.Batch, add bool) (alone []bool) {
	s.views = b.Views(s.views)
	s.words = timeWords(&s.views[s.timeCol], s.schema.Fields[s.timeCol].Type, b.N, s.words)
	s.ids = growSide(s.ids[:0], 0, b.N)
	a.scratch = keyCols(a.scratch, s.views, s.keys)
	if add {
		a.groups.Intern(a.scratch, s.ids)
		for len(a.parts) < a.groups.Len() {
			a.parts = append(a.parts, nil)
		}
	} else {
		a.groups.Find(a.scratch, s.ids)
	}
	mark := func(v *vec.Vec) {
		if !v.HasNulls() {
			return
		}
		for i := range b.N {
			if v.IsNull(i) {
				if alone == nil {
					alone = make([]bool, b.N)
				}
				alone[i] = true
			}
		}
	}
	mark(&s.views[s.timeCol])
	for k, c := range s.keys {
		if k >= len(s.nullSafe) || !s.nullSafe[k] {
			mark(&s.views[c])
		}
	}
	return alone
}

func (a *asofJoin) part(id uint32) *asofPart {
	p := a.parts[id]
	if p == nil {
		p = new(asofPart)
		a.parts[id] = p
	}
	return p
}

// nearest gives the right row that a left row with the time in row i of v joins; noRow if there is none.
func (a *asofJoin) nearest(p *asofPart, w uint64, v *vec.Vec, i int) rowRef {
	if p == nil {
		return noRow
	}
	at := a.sides[1].bound(&p.right, w, v, i, a.back != a.strict)
	if a.back {
		var ok bool
		if at, ok = p.right.before(at); !ok {
			return noRow
		}
	}
	if e, ok := p.right.at(at); ok {
		return e.ref
	}
	return noRow
}

// pushRight takes right rows in and marks the left rows that they concern.
func (a *asofJoin) pushRight(s *asofSide, b *vec.Batch, alone []bool) error {
	for i, id := range s.ids {
		if alone != nil && alone[i] {
			if a.parts[id] == nil {
				a.gone = append(a.gone, id)
			}
			continue
		}
		p, w := a.part(id), s.words[i]
		if !a.ctx.Continuous {
			p.right.chunks = appendUnsorted(p.right.chunks, timedRow{w, s.store.add(s.views, i)})
			p.right.n++
			continue
		}
		at := s.search(&p.right, w, s.views, i)
		if b.Op(i) == vec.Delete {
			e, ok := p.right.at(at)
			if !ok || s.compare(e, w, s.views, i) != 0 {
				a.ctx.late()
				continue
			}
			a.concern(p, at)
			p.right.remove(at)
			s.store.kill(e.ref)
			a.gone = append(a.gone, id)
			continue
		}
		if a.free() && a.dead(p, at, w) {
			if err := a.late(b, i, w); err != nil {
				return err
			}
			continue
		}
		e := timedRow{w, s.store.add(s.views, i)}
		at = p.right.insert(at, e)
		a.concern(p, at)
		if a.n.OnClose && !a.back {
			heap.Push(&a.due, asofDue{wordTime(w), e.ref, id})
			p.waiting++
		}
	}
	return nil
}

// appendUnsorted gathers the rows of a snapshot's key in one chunk, which is sorted when all are there.
func appendUnsorted(c [][]timedRow, e timedRow) [][]timedRow {
	if len(c) == 0 {
		return [][]timedRow{{e}}
	}
	c[0] = append(c[0], e)
	return c
}

// late reports a row that comes after what it could have met was freed.
func (a *asofJoin) late(b *vec.Batch, i int, w uint64) error {
	if b.W != nil {
		return reportLate(a.ctx, b, i, wordTime(w))
	}
	a.ctx.late()
	return nil
}

// dead reports whether a right row that would stand at a place comes too late to be the nearest of any left row.
func (a *asofJoin) dead(p *asofPart, at asofPlace, w uint64) bool {
	if wordTime(w) >= a.freed {
		return false
	}
	if a.back { // there is a nearer one for every left row that may still come
		e, ok := p.right.at(at)
		return ok && wordTime(e.word) < a.freed
	}
	// Only left rows that wait for a nearest row may still need it.
	from, to := a.reach(p, w, nil, 0, at, false)
	return !from.less(to)
}

// reach gives the left rows whose nearest right row is, or would be, one of a time at a place of the right list. there says that the row is in the list.
func (a *asofJoin) reach(p *asofPart, w uint64, v *vec.Vec, i int, at asofPlace, there bool) (from, to asofPlace) {
	l, r := a.sides[0], a.sides[1]
	edge := func(e timedRow) asofPlace {
		cols, row := r.store.at(e.ref)
		return l.bound(&p.left, e.word, &cols[r.timeCol], row, a.back == a.strict)
	}
	own := l.bound(&p.left, w, v, i, a.back == a.strict)
	if a.back {
		next := at
		if there {
			next = p.right.after(at)
		}
		if e, ok := p.right.at(next); ok {
			return own, edge(e)
		}
		return own, p.left.end()
	}
	if before, ok := p.right.before(at); ok {
		e, _ := p.right.at(before)
		return edge(e), own
	}
	return asofPlace{}, own
}

// concern marks the left rows whose nearest right row stands at a place.
func (a *asofJoin) concern(p *asofPart, at asofPlace) {
	if p.left.n == 0 || a.n.OnClose {
		return
	}
	e, _ := p.right.at(at)
	cols, row := a.sides[1].store.at(e.ref)
	from, to := a.reach(p, e.word, &cols[a.sides[1].timeCol], row, at, true)
	if !from.less(to) {
		return
	}
	free := a.free()
	p.left.each(from, to, func(l timedRow) {
		m := &a.left[l.ref]
		if m.dirty || free && m.sent && a.isFinal(wordTime(l.word), m.match) {
			return
		}
		m.dirty = true
		a.dirty = append(a.dirty, l.ref)
	})
}

// isFinal reports whether no nearer right row can come for a left row at t, whose nearest so far is match.
func (a *asofJoin) isFinal(t vec.Time, match rowRef) bool {
	if a.sides[1].ended {
		return true
	}
	if a.back {
		return t < a.final || a.strict && t == a.final
	}
	if match == noRow {
		return false
	}
	return a.timeOf(match) < a.final
}

// timeOf gives the time of a right row.
func (a *asofJoin) timeOf(r rowRef) vec.Time {
	s := a.sides[1]
	cols, row := s.store.at(r)
	return timeOf(&cols[s.timeCol], row)
}

// pushLeft takes left rows in.
func (a *asofJoin) pushLeft(s *asofSide, b *vec.Batch, alone []bool) error {
	var pad []int32
	for i, id := range s.ids {
		if alone != nil && alone[i] {
			pad = append(pad, int32(i))
			if a.parts[id] == nil {
				a.gone = append(a.gone, id)
			}
			continue
		}
		p, w := a.part(id), s.words[i]
		if a.free() && wordTime(w) < a.freed {
			if err := a.late(b, i, w); err != nil {
				return err
			}
			a.gone = append(a.gone, id)
			continue
		}
		if b.Op(i) == vec.Delete {
			at := s.search(&p.left, w, s.views, i)
			e, ok := p.left.at(at)
			if !ok || s.compare(e, w, s.views, i) != 0 {
				a.ctx.late()
				continue
			}
			p.left.remove(at)
			m := &a.left[e.ref]
			m.gone = true
			if !m.dirty {
				m.dirty = true
				a.dirty = append(a.dirty, e.ref)
			}
			a.gone = append(a.gone, id)
			continue
		}
		ref := s.store.add(s.views, i)
		setAt(&a.left, int(ref), asofLeft{id: id, match: noRow, dirty: !a.n.OnClose})
		if a.n.OnClose && a.back {
			heap.Push(&a.due, asofDue{wordTime(w), ref, id})
			p.waiting++
			continue
		}
		p.left.insert(s.search(&p.left, w, s.views, i), timedRow{w, ref})
		if !a.n.OnClose {
			a.dirty = append(a.dirty, ref)
		} else if r := a.nearest(p, w, &s.views[s.timeCol], i); r != noRow && a.isFinal(wordTime(w), r) {
			// The row that decides on it has been passed: look again.
			heap.Push(&a.due, asofDue{a.timeOf(r), r, id})
			p.waiting++
		}
	}
	if a.n.Outer && len(pad) > 0 {
		return a.sendBatch(b, s.views, pad, nil)
	}
	return nil
}

// sendBatch sends rows of a left batch beside right rows, nil: NULLs.
func (a *asofJoin) sendBatch(b *vec.Batch, views []vec.Vec, sel []int32, refs []rowRef) error {
	bld := vec.NewBuilder(a.ctx.Alloc, a.n.Schema())
	nl := a.sides[0].schema.Len()
	padded := slices.Contains(refs, noRow)
	for c := range bld.Cols {
		switch {
		case c < nl:
			bld.Cols[c].Gather(&views[c], sel)
		case refs == nil:
			appendNulls(&bld.Cols[c], len(sel))
		default:
			a.sides[1].store.gather(&bld.Cols[c], c-nl, refs, padded)
		}
	}
	var ops []vec.Op
	if b.Ops != nil {
		ops = make([]vec.Op, len(sel))
		for k, i := range sel {
			ops[k] = b.Ops[i]
		}
	}
	out := bld.Finish()
	bld.Release()
	out.Ops = ops
	err := marked(a.out, a.hasW && a.ctx.Continuous, a.sent.W).Emit(out)
	out.Release()
	return err
}

// probe joins left rows of a snapshot.
func (a *asofJoin) probe(b *vec.Batch) error {
	s := a.sides[0]
	alone := a.intern(s, b, false)
	v := &s.views[s.timeCol]
	sel, refs := make([]int32, 0, b.N), make([]rowRef, 0, b.N)
	for i, id := range s.ids {
		r := noRow
		if id != NoGroup && (alone == nil || !alone[i]) {
			r = a.nearest(a.parts[id], s.words[i], v, i)
		}
		if r != noRow || a.n.Outer {
			sel, refs = append(sel, int32(i)), append(refs, r)
		}
	}
	if len(sel) == 0 {
		return nil
	}
	return a.sendBatch(b, s.views, sel, refs)
}

// Advance implements Operator.
func (a *asofJoin) Advance(input int, m Mark) error {
	s := a.sides[input]
	s.mark = m
	s.active = s.active || !m.Idle
	if a.ctx.Continuous {
		s.ended = s.ended || m.W == vec.MaxTime
		return nil
	}
	if m.W != vec.MaxTime || s.ended {
		return nil
	}
	if input == 0 && !a.sides[1].ended {
		a.ended = true // the held rows are still to be joined
		return nil
	}
	s.ended = true
	if input == 1 {
		a.sortRight()
		for i, b := range a.held {
			a.held[i] = nil
			err := a.probe(b)
			b.Release()
			if err != nil {
				a.held = a.held[i+1:]
				return err
			}
		}
		a.held = nil
		if !a.ended {
			return nil
		}
		a.sides[0].ended = true
	}
	a.sides[1].store.reset()
	a.parts = nil
	return a.out.Watermark(Mark{W: vec.MaxTime})
}

// sortRight puts the right rows of a snapshot in order.
func (a *asofJoin) sortRight() {
	s := a.sides[1]
	for _, p := range a.parts {
		if p == nil || p.right.n < 2 {
			continue
		}
		slices.SortFunc(p.right.chunks[0], func(x, y timedRow) int {
			cols, row := s.store.at(y.ref)
			return s.compare(x, y.word, cols, row)
		})
	}
}

// effective is the watermark of a side: an idle one does not hold the other back, once it has had a watermark.
func (a *asofJoin) effective(side int) vec.Time {
	s, o := a.sides[side], a.sides[1-side]
	if s.mark.Idle && s.active && o.mark.W != vec.MaxTime {
		return max(s.mark.W, o.mark.W)
	}
	return s.mark.W
}

// Tick implements Operator.
func (a *asofJoin) Tick(Tick) error {
	if !a.ctx.Continuous {
		return nil
	}
	a.resolve()
	if a.n.Free {
		a.final = max(a.final, a.effective(1))
		if a.n.OnClose {
			a.closeDue()
		}
	}
	if err := a.send(); err != nil {
		return err
	}
	a.forget()
	if a.n.Free {
		a.freed = max(a.freed, min(a.effective(0), a.effective(1)))
		if n := a.sides[0].store.live + a.sides[1].store.live; n > 2*a.swept+blockRows/8 {
			a.sweep()
		}
	}
	a.compact()
	a.prev = Combine(a.prev.W, []Mark{a.sides[0].mark, a.sides[1].mark})
	return passHeld(a.out, a.prev, &a.sent)
}

// resolve finds the nearest rows of the dirty left rows anew and gathers what changed.
func (a *asofJoin) resolve() {
	s := a.sides[0]
	emit := func(l, r rowRef, op vec.Op) {
		if r != noRow || a.n.Outer {
			a.res.add(l, r, op)
		}
	}
	slices.Sort(a.dirty)
	for _, ref := range a.dirty {
		m := &a.left[ref]
		m.dirty = false
		now := noRow
		if !m.gone {
			cols, row := s.store.at(ref)
			v := &cols[s.timeCol]
			now = a.nearest(a.parts[m.id], s.word(v, row), v, row)
		}
		change := !m.sent || m.gone || !a.sameRight(m.match, now)
		if m.sent && change {
			emit(ref, m.match, vec.Delete)
		}
		if !m.gone && change {
			emit(ref, now, vec.Insert)
		}
		m.match, m.sent = now, true
		if m.gone {
			s.store.kill(ref)
		}
	}
	a.dirty = a.dirty[:0]
}

func (a *asofJoin) sameRight(x, y rowRef) bool {
	if x == y || x == noRow || y == noRow {
		return x == y
	}
	s := a.sides[1]
	b, i := s.store.at(x)
	c, j := s.store.at(y)
	return sameRow(b, i, c, j)
}

// closeDue gathers the left rows that have become final, in the order of time.
func (a *asofJoin) closeDue() {
	l, r := a.sides[0], a.sides[1]
	for len(a.due) > 0 {
		d := a.due[0]
		if !r.ended && d.t >= a.final && !(a.back && a.strict && d.t == a.final) {
			break
		}
		heap.Pop(&a.due)
		p := a.parts[d.id]
		p.waiting--
		a.gone = append(a.gone, d.id)
		if a.back {
			cols, row := l.store.at(d.ref)
			v := &cols[l.timeCol]
			a.sendFinal(d.ref, a.nearest(p, timeWord(d.t), v, row))
			continue
		}
		// Every left row up to this right one is final.
		to := l.bound(&p.left, timeWord(d.t), nil, 0, !a.strict)
		p.left.cut(to, func(e timedRow) {
			cols, row := l.store.at(e.ref)
			a.sendFinal(e.ref, a.nearest(p, e.word, &cols[l.timeCol], row))
		})
	}
	if a.back || !r.ended {
		return
	}
	for id, p := range a.parts { // nothing comes after what is left
		if p == nil {
			continue
		}
		if p.left.n == 0 {
			continue
		}
		p.left.cut(p.left.end(), func(e timedRow) {
			cols, row := l.store.at(e.ref)
			a.sendFinal(e.ref, a.nearest(p, e.word, &cols[l.timeCol], row))
		})
		a.gone = append(a.gone, uint32(id))
	}
}

func (a *asofJoin) sendFinal(l, r rowRef) {
	if r != noRow || a.n.Outer {
		a.res.add(l, r, vec.Insert)
	}
	a.sides[0].store.kill(l)
}

// send sends the gathered rows, deletes first.
func (a *asofJoin) send() error {
	q := &a.res
	defer func() { *q = asofResult{l: q.l[:0], r: q.r[:0], ops: q.ops[:0]} }()
	if q.dels > 0 && q.dels < len(q.ops) {
		perm := iota32(len(q.ops))
		slices.SortStableFunc(perm, func(i, j int32) int { return int(q.ops[i]) - int(q.ops[j]) })
		l, r, ops := make([]rowRef, len(perm)), make([]rowRef, len(perm)), make([]vec.Op, len(perm))
		for k, i := range perm {
			l[k], r[k], ops[k] = q.l[i], q.r[i], q.ops[i]
		}
		q.l, q.r, q.ops = l, r, ops
	}
	nl := a.sides[0].schema.Len()
	out := marked(a.out, a.hasW, a.sent.W)
	for from := 0; from < len(q.l); from += vec.MaxRows {
		to := min(from+vec.MaxRows, len(q.l))
		bld := vec.NewBuilder(a.ctx.Alloc, a.n.Schema())
		for c := range bld.Cols {
			if c < nl {
				a.sides[0].store.gather(&bld.Cols[c], c, q.l[from:to], false)
			} else {
				a.sides[1].store.gather(&bld.Cols[c], c-nl, q.r[from:to], q.padded)
			}
		}
		b := bld.Finish()
		bld.Release()
		if q.dels > 0 {
			b.Ops = slices.Clone(q.ops[from:to])
		}
		err := out.Emit(b)
		b.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// Close implements Operator.
func (a *asofJoin) Close() error {
	for _, b := range a.held {
		if b != nil {
			b.Release()
		}
	}
	a.held = nil
	for _, s := range a.sides {
		if s == nil {
			continue
		}
		s.store.reset()
		for i := range s.views {
			s.views[i].Release()
		}
	}
	if a.groups != nil {
		a.groups.Close()
		a.groups = nil
	}
	return nil
}

var _ Operator = (*asofJoin)(nil)
