package exec

import (
	"math"
	"slices"

	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
	"streamsql/state"
	"streamsql/window"
)

// overTimed computes window functions in the order of event time under EMIT ON WINDOW CLOSE: no frame reaches beyond
// the peers of its row, so that a result is final when the watermark has passed the row's time. It is sent then, once. Of what has been
// sent a partition keeps the rows that later frames can reach, and what running calls carry.
type overTimed struct {
	n          *planner.Over
	ctx        *Context
	out        Output
	store      *rowStore
	order      *rowOrder
	groups     groupTable
	parts      []*timedPart // by group id
	eval       *overEval
	queue      *closeQueue // of partitions, by the time at which there is something to do
	keep       timedReach
	orphans    []uint32
	mark, sent Mark

	views, keys []vec.Vec
	ids         []uint32
	refs        []rowRef
	pieces      []overPiece
	owners      []timedRun
}

// timedPart is a partition.
type timedPart struct {
	pending rankedRows // not final yet
	kept    []rowRef   // sent, in the reach of later frames
	before  int        // rows before those kept
	peers   int        // of these, the last ones that are peers of the first one kept
	carry   *overCarry // of these, nil: there are none
	wake    vec.Time   // when it is listed in the queue
}

// timedRun is a partition that is being computed: after it the rows up to drop go, and next is what is carried of them.
type timedRun struct {
	id   uint32
	drop int
	next *overCarry
}

// timedReach says what later frames can reach.
type timedReach struct {
	all    bool // every row
	carry  bool // calls go on from what they know of the rows that were dropped
	rows   int
	groups int         // of peers, in addition to the one of the row itself
	span   int64       // of event time in microseconds, -1 none
	values []*overCall // lag IGNORE NULLS
}

func timedReachOf(calls []*overCall, in planner.Node) timedReach {
	r := timedReach{span: -1, groups: -1}
	for _, c := range calls {
		f := c.frame
		switch {
		case c.Name == "row_number" || c.Name == "rank" || c.Name == "dense_rank":
			r.carry = true
		case c.Name == "lag":
			by, _ := c.Shift(in)
			if c.IgnoreNulls {
				r.values = append(r.values, c)
			} else {
				r.rows = max(r.rows, int(min(by, math.MaxInt32)))
			}
		case c.prefix:
			r.carry = true
			r.reach(f, f.End.Kind, f.to, c.Hi)
		case f.Start.Kind == "unbounded preceding" || !f.used(c):
			r.all = true
		default:
			r.reach(f, f.Start.Kind, f.from, c.Lo)
		}
	}
	return r
}

// reach adds what a bound of a frame reaches.
func (r *timedReach) reach(f *overFrame, kind string, o *overOffset, x planner.Expr) {
	if kind != "preceding" || o == nil {
		return
	}
	switch f.Unit {
	case "rows":
		r.rows = max(r.rows, o.count)
	case "groups":
		r.groups = max(r.groups, o.count)
	default:
		c, ok := x.(*planner.Const)
		b, isSpan := [16]byte{}, false
		if ok {
			b, isSpan = c.Val.([16]byte)
		}
		if !isSpan {
			r.all = true
			return
		}
		// A day has up to 25 hours, a month up to 31 days.
		s := types.SpanOf(b)
		days := int64(s.Months)*31 + int64(s.Days)
		if days > 36500 || s.Micros > math.MaxInt64/4 {
			r.all = true
			return
		}
		r.span = max(r.span, s.Micros+days*25*3600e6)
	}
}

// Open implements Operator.
func (o *overTimed) Open(ctx *Context, out Output) error {
	o.ctx, o.out = ctx, out
	schema := o.n.Input.Schema()
	o.store = newRowStore(ctx.Alloc, schemaKinds(schema))
	o.order = newRowOrder(o.store, schema, o.n.Keys)
	o.order.breakTies(schema)
	o.groups = newGroups(ctx.Alloc, partitionTypes(o.n))
	o.queue = newCloseQueue(ctx, &o.n.Close)
	var err error
	o.eval, err = newOverEval(ctx, o.n, o.order)
	if err == nil {
		o.keep = timedReachOf(o.eval.calls, o.n.Input)
	}
	return err
}

// Push implements Operator.
func (o *overTimed) Push(_ int, b *vec.Batch) error {
	o.views = b.Views(o.views)
	o.keys = keyCols(o.keys, o.views, o.n.Partition)
	o.ids = growSide(o.ids[:0], 0, b.N)
	o.groups.Intern(o.keys, o.ids)
	for len(o.parts) < o.groups.Len() {
		o.parts = append(o.parts, nil)
	}
	ends := o.queue.endsOf(o.views, b.N)
	for i, id := range o.ids {
		p := o.parts[id]
		if o.queue.late(b, i, ends[i]) {
			if p == nil {
				o.orphans = append(o.orphans, id)
			}
			if err := reportLate(o.ctx, b, i, ends[i]); err != nil {
				return err
			}
			continue
		}
		if p == nil {
			p = &timedPart{wake: vec.MaxTime}
			o.parts[id] = p
		}
		c, at := p.pending.search(o.order, o.views, i)
		p.pending.insert(c, at, o.store.add(o.views, i))
		o.wakeAt(p, id, ends[i])
	}
	o.orphans = removeOrphans(o.groups, slices.DeleteFunc(o.orphans, func(id uint32) bool { return o.parts[id] != nil }))
	return nil
}

// wakeAt lists a partition at a time, unless it is listed before.
func (o *overTimed) wakeAt(p *timedPart, id uint32, at vec.Time) {
	if at < p.wake {
		p.wake = at
		o.queue.add(at, id)
	}
}

// endOf gives the watermark at which a row is final, but for the hold.
func (o *overTimed) endOf(r rowRef) vec.Time {
	cols, row := o.store.at(r)
	v := &cols[o.n.Close.Col]
	var t vec.Time
	switch {
	case v.IsNull(row):
		return vec.MaxTime
	case v.Kind == types.KindInt32:
		ts, err := types.DateToTimestamp(v.I32[row])
		if err != nil {
			return vec.MaxTime
		}
		t = ts
	default:
		t = v.I64[row]
	}
	if !o.n.Close.End && t != vec.MaxTime {
		t++
	}
	return t
}

// Advance implements Operator.
func (o *overTimed) Advance(_ int, m Mark) error {
	o.mark = m
	var free []uint32
	due := o.queue.due(m.W)
	if m.W == vec.MaxTime { // rows without a time come out too
		due = due[:0]
		for id := range o.parts {
			due = append(due, uint32(id))
		}
	}
	for _, id := range due {
		p := o.parts[id]
		if p == nil || m.W != vec.MaxTime && !window.Late(p.wake, m.W, o.n.Close.Hold) {
			continue // it was looked at under an earlier time
		}
		if o.list(p, id, m.W) {
			free = append(free, id)
		}
		if len(o.refs) >= overBatchRows {
			if err := o.flush(); err != nil {
				return err
			}
		}
	}
	if err := o.flush(); err != nil {
		return err
	}
	for _, id := range free {
		o.parts[id] = nil
	}
	o.groups.Remove(free)
	o.compact()
	return passHeld(o.out, o.queue.mark(m), &o.sent)
}

// list puts the rows of a partition that are final at watermark w on the list to compute, and
// decides what is kept of them. It reports whether nothing is.
func (o *overTimed) list(p *timedPart, id uint32, w vec.Time) (empty bool) {
	lo := len(o.refs)
	o.refs = append(o.refs, p.kept...)
	from := len(o.refs)
	n := 0
	p.pending.from(0, func(r rowRef) bool {
		if !window.Late(o.endOf(r), w, o.n.Close.Hold) {
			return false
		}
		o.refs = append(o.refs, r)
		n++
		return true
	})
	p.pending.dropFirst(n)
	refs := o.refs[lo:]
	d := o.reachable(refs, w)
	piece := overPiece{lo: lo, hi: len(o.refs), from: from, to: len(o.refs), before: p.before, peers: p.peers, carry: p.carry, sure: true}
	run := timedRun{id: id, drop: d}
	if o.keep.carry && d > 0 {
		run.next = o.eval.newCarry()
		piece.marks = []overMark{{lo + d, run.next}}
	}
	if d > 0 {
		k := d
		for k > 0 && d < len(refs) && o.order.compareKeys(refs[k-1], refs[d]) == 0 {
			k--
		}
		if peers := d - k; k == 0 && d < len(refs) {
			p.peers += peers
		} else {
			p.peers = peers
		}
	}
	p.before += d
	o.pieces, o.owners = append(o.pieces, piece), append(o.owners, run)
	p.kept = append(p.kept[:0], refs[d:]...)
	p.wake = vec.MaxTime
	if p.pending.n > 0 {
		o.wakeAt(p, id, o.endOf(p.pending.chunks[0][0]))
	}
	if o.keep.span >= 0 && len(p.kept) > 0 {
		if end := o.endOf(p.kept[len(p.kept)-1]); end < vec.MaxTime-o.keep.span {
			o.wakeAt(p, id, end+o.keep.span)
		}
	}
	return len(p.kept) == 0 && p.pending.n == 0 && !o.keep.carry || w == vec.MaxTime
}

// reachable gives the first of the final rows refs that frames of later rows can reach.
func (o *overTimed) reachable(refs []rowRef, w vec.Time) int {
	n := len(refs)
	if o.keep.all {
		return 0
	}
	d := max(0, n-o.keep.rows)
	if o.keep.span >= 0 {
		// Later rows are at w or after it: those that close with it are still to be seen.
		w = window.Hold(w, o.n.Close.Hold)
		k := n
		for k > 0 && o.endOf(refs[k-1]) > w-o.keep.span {
			k--
		}
		d = min(d, k)
	}
	if o.keep.groups > 0 {
		k, groups := n, 0
		for k > 0 {
			if k == n || o.order.compareKeys(refs[k-1], refs[k]) != 0 {
				if groups == o.keep.groups {
					break
				}
				groups++
			}
			k--
		}
		d = min(d, k)
	}
	for _, c := range o.keep.values {
		by, _ := c.Shift(o.n.Input)
		k, first := n, n
		for k > 0 && by > 0 {
			k--
			if cols, row := o.store.at(refs[k]); !cols[c.Args[0]].IsNull(row) {
				by--
				first = k
			}
		}
		d = min(d, first)
	}
	return d
}

// compareKeys compares two rows of the store by the keys alone.
func (o *rowOrder) compareKeys(x, y rowRef) int {
	a, i := o.store.at(x)
	b, j := o.store.at(y)
	return o.compare(a, i, b, j)
}

// flush computes and sends what is listed.
func (o *overTimed) flush() error {
	if len(o.pieces) == 0 {
		return nil
	}
	if _, err := o.eval.run(o.store, o.refs, o.pieces); err != nil {
		return err
	}
	if err := o.eval.send(o.ctx, o.out, o.n.Schema()); err != nil {
		return err
	}
	for k := range o.owners {
		run, p := &o.owners[k], o.parts[o.owners[k].id]
		dropped := o.refs[o.pieces[k].lo : o.pieces[k].lo+run.drop]
		old := p.carry
		if run.next != nil {
			p.carry = run.next
		}
		pinned := p.carry.rows(nil)
		gone := slices.Clone(dropped)
		if run.next != nil {
			gone = old.rows(gone)
		}
		slices.Sort(gone)
		for _, r := range slices.Compact(gone) {
			if !slices.Contains(pinned, r) {
				o.store.kill(r)
			}
		}
		if run.next != nil {
			o.eval.freeCarry(old)
		}
	}
	o.refs, o.pieces, o.owners = o.refs[:0], o.pieces[:0], o.owners[:0]
	return nil
}

// rows appends the rows that a carry refers to.
func (c *overCarry) rows(dst []rowRef) []rowRef {
	if c == nil {
		return dst
	}
	for _, v := range c.vals {
		for _, r := range []rowRef{v.nth, v.last} {
			if r != noRow && !slices.Contains(dst, r) {
				dst = append(dst, r)
			}
		}
	}
	return dst
}

// Tick implements Operator.
func (o *overTimed) Tick(Tick) error { return nil }

// compact copies the live rows once the dead ones are the larger part.
func (o *overTimed) compact() {
	s := o.store
	if s.dead < 4096 || s.dead < s.live {
		return
	}
	o.store = newRowStore(s.alloc, s.kinds)
	o.order.store = o.store
	for _, p := range o.parts {
		if p == nil {
			continue
		}
		p.pending.moveTo(o.store, s)
		for i, r := range p.kept {
			p.kept[i] = o.store.move(s, r)
		}
		moved := map[rowRef]rowRef{noRow: noRow}
		for _, r := range p.carry.rows(nil) {
			moved[r] = o.store.move(s, r)
		}
		if p.carry != nil {
			for i, v := range p.carry.vals {
				p.carry.vals[i] = overValue{v.n, moved[v.nth], moved[v.last]}
			}
		}
	}
	s.reset()
}

// Snapshot implements Operator.
func (o *overTimed) Snapshot(w *state.Writer) error {
	w.Int64(o.mark.W)
	w.Bool(o.mark.Idle)
	var ids []uint32
	for id, p := range o.parts {
		if p != nil {
			ids = append(ids, uint32(id))
		}
	}
	keys := o.keyVecs()
	defer releaseViews(keys)
	o.groups.Append(ids, keys)
	writeRows(w, keys, iota32(len(ids)))
	for _, id := range ids {
		p := o.parts[id]
		var pending []rowRef
		p.pending.from(0, func(r rowRef) bool { pending = append(pending, r); return true })
		writeStore(w, o.store, pending)
		writeStore(w, o.store, p.kept)
		w.Uint64(uint64(p.before))
		w.Uint64(uint64(p.peers))
		w.Bool(p.carry != nil)
		if p.carry != nil {
			o.eval.writeCarry(w, o.store, p.carry)
		}
	}
	return nil
}

func (o *overTimed) keyVecs() []vec.Vec {
	keys := make([]vec.Vec, len(o.n.Partition))
	for i, t := range partitionTypes(o.n) {
		keys[i].SetAllocator(o.ctx.Alloc)
		keys[i].Reset(t.Kind(), 0)
	}
	return keys
}

// writeCarry writes a carry for readCarry: the rows it refers to by their content.
func (e *overEval) writeCarry(w *state.Writer, store *rowStore, c *overCarry) {
	w.Uint64(uint64(c.groups))
	for _, v := range c.vals {
		w.Uint64(uint64(v.n))
		for _, r := range []rowRef{v.nth, v.last} {
			var refs []rowRef
			if r != noRow {
				refs = []rowRef{r}
			}
			writeStore(w, store, refs)
		}
	}
	for _, call := range e.calls {
		if call.kept != nil {
			call.kept.Snapshot([]uint32{c.acc}, w)
		}
	}
}

func (e *overEval) readCarry(r *state.Reader, store *rowStore) (*overCarry, error) {
	c := e.newCarry()
	c.groups = int(r.Uint64())
	for i := range c.vals {
		c.vals[i] = overValue{n: int(r.Uint64()), nth: noRow, last: noRow}
		for _, to := range []*rowRef{&c.vals[i].nth, &c.vals[i].last} {
			refs, err := readStore(r, store)
			if err != nil {
				return nil, err
			}
			if len(refs) > 0 {
				*to = refs[0]
			}
		}
	}
	for _, call := range e.calls {
		if call.kept != nil {
			if err := call.kept.Restore([]uint32{c.acc}, r); err != nil {
				return nil, err
			}
		}
	}
	return c, nil
}

// Restore implements Operator.
func (o *overTimed) Restore(r *state.Reader) error {
	o.mark = Mark{W: r.Int64(), Idle: r.Bool()}
	o.sent = o.queue.mark(o.mark)
	keys := o.keyVecs()
	defer releaseViews(keys)
	var kinds []types.Kind
	for _, t := range partitionTypes(o.n) {
		kinds = append(kinds, t.Kind())
	}
	n, err := readRows(r, keys, kinds)
	if err != nil {
		return err
	}
	ids := make([]uint32, n)
	o.groups.Intern(keys, ids)
	o.parts = make([]*timedPart, o.groups.Len())
	for _, id := range ids {
		p := &timedPart{wake: vec.MaxTime}
		o.parts[id] = p
		pending, err := readStore(r, o.store)
		if err != nil {
			return err
		}
		for _, x := range pending {
			p.pending.insert(len(p.pending.chunks), 0, x)
		}
		if p.kept, err = readStore(r, o.store); err != nil {
			return err
		}
		p.before, p.peers = int(r.Uint64()), int(r.Uint64())
		if r.Bool() {
			if p.carry, err = o.eval.readCarry(r, o.store); err != nil {
				return err
			}
		}
		if len(pending) > 0 {
			o.wakeAt(p, id, o.endOf(pending[0]))
		}
		if o.keep.span >= 0 && len(p.kept) > 0 {
			o.wakeAt(p, id, o.endOf(p.kept[len(p.kept)-1]))
		}
	}
	return r.Err()
}

// Close implements Operator.
func (o *overTimed) Close() error {
	if o.store != nil {
		o.store.reset()
		o.groups.Close()
		o.store = nil
	}
	if o.eval != nil {
		o.eval.close()
	}
	releaseViews(o.views)
	return nil
}

// dropFirst takes the first n rows out.
func (l *rankedRows) dropFirst(n int) {
	l.n -= n
	k := 0
	for k < len(l.chunks) && n >= len(l.chunks[k]) {
		n -= len(l.chunks[k])
		k++
	}
	l.chunks = append(l.chunks[:0], l.chunks[k:]...)
	if n > 0 {
		l.chunks[0] = append(l.chunks[0][:0], l.chunks[0][n:]...)
	}
}

// moveTo copies the rows from store old to store s and refers to them there.
func (l *rankedRows) moveTo(s, old *rowStore) {
	for _, c := range l.chunks {
		for k, r := range c {
			c[k] = s.move(old, r)
		}
	}
}
