package exec

import (
	"slices"

	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
	"streamsql/window"
)

// sessionSlot is the state of one group of a session: kid names its keys, slot its accumulators.
type sessionSlot struct{ kid, slot uint32 }

// sessionRun is a run of rows of one partition. Where rows can be taken back, or
// max_span may split sessions, a run holds rows of one time only and sessions
// are found by walking over the runs; else runs are sessions.
type sessionRun struct {
	window.Run
	slots []sessionSlot
}

// Where rows can be taken back a run may have none left. As long as it could not be late it stays, a
// ghost: it is in no result, but keeps its session open, so that an UPDATE, which takes a row and gives
// it back, does not close the session between the two. When it goes depends on the watermark alone.

// sessionPart is a partition: its runs in the order of time.
type sessionPart struct {
	runs  []sessionRun
	dirty bool
	gone  bool // taken out of the table
}

// sessionRow is a row of the result: a group of a session.
type sessionRow struct {
	pid, kid uint32
	win      window.Window
}

// sessionRows are rows of the result with their aggregates.
type sessionRows struct {
	rows []sessionRow
	res  []vec.Vec
}

// sessionAggregate aggregates by SESSION windows.
type sessionAggregate struct {
	n     *planner.Aggregate
	spec  *window.Spec
	ctx   *Context
	out   Output
	aggs  *aggPlan
	keep  int64
	final bool
	apart bool // runs hold rows of one time
	count bool // deletes may come: rows are counted by slot

	keyTypes []types.T
	kids     groupTable // keys
	pids     groupTable // session keys; kids where they are the same
	kidRefs  []int32
	parts    []sessionPart
	states   *aggStates
	tmp      *aggStates
	slots    idPool
	rows     []int64       // by slot: with count
	graves   []sessionSlot // of runs that went during a batch: freed after it

	due    dueHeap
	dirty  []uint32
	old    sessionRows
	w      vec.Time
	outW   vec.Time
	behind bool
	mark   Mark
	held   bool
	done   bool
	build  *vec.Builder
	views  []vec.Vec
	times  []vec.Time
	kid    []uint32
	pid    []uint32
	slot   []uint32
	merged map[uint32]uint32 // in this batch: slots that went into others
	skip   []int32
	// Keys and partitions that may be unused.
	idleKids, idlePids []uint32
	pidSlots           []uint32
	keyVecs            []vec.Vec
}

func newSessionAggregate(n *planner.Aggregate) (*sessionAggregate, error) {
	return &sessionAggregate{n: n, spec: n.Window}, nil
}

func (a *sessionAggregate) Open(ctx *Context, out Output) error {
	a.ctx, a.out = ctx, out
	in := a.n.Input.Schema()
	a.count = ctx.Continuous && a.n.Input.Props().Retracts
	a.apart = a.count || a.spec.MaxSpan > 0
	a.keep = max(a.n.Hold, a.n.Lateness)
	a.final = ctx.Continuous && (a.n.OnClose || a.n.FreeLate)
	a.w, a.outW = vec.MinTime, vec.MinTime
	for _, k := range a.n.Keys {
		a.keyTypes = append(a.keyTypes, in.Fields[k].Type)
	}
	a.kids = newGroups(ctx.Alloc, a.keyTypes)
	a.pids = a.kids
	if a.n.SessionKeys != nil {
		var ts []types.T
		for _, k := range a.n.SessionKeys {
			ts = append(ts, a.keyTypes[k])
		}
		a.pids = newGroups(ctx.Alloc, ts)
	}
	a.aggs = newAggPlan(ctx, in, a.n.Aggs, a.count)
	a.states, a.tmp = a.aggs.newStates(ctx.Alloc), a.aggs.newStates(ctx.Alloc)
	a.build = vec.NewBuilder(ctx.Alloc, a.n.Schema())
	a.old.res = a.newResults()
	a.keyVecs = make([]vec.Vec, len(a.keyTypes))
	for i := range a.keyVecs {
		a.keyVecs[i].SetAllocator(ctx.Alloc)
	}
	a.merged = map[uint32]uint32{}
	return nil
}

func (a *sessionAggregate) newResults() []vec.Vec {
	r := make([]vec.Vec, len(a.aggs.calls))
	for i := range r {
		r[i].SetAllocator(a.ctx.Alloc)
		r[i].Reset(a.aggs.kinds[i], 0)
	}
	return r
}

func scratchIDs(s *[]uint32, n int) []uint32 {
	if cap(*s) < n {
		*s = make([]uint32, max(n, vec.MaxRows))
	}
	return (*s)[:n]
}

// noSlot marks a row that goes nowhere.
const noSlot = ^uint32(0)

func (a *sessionAggregate) Push(_ int, b *vec.Batch) error {
	a.views = b.Views(a.views)
	n := b.N
	if cap(a.times) < n {
		a.times = make([]vec.Time, max(n, vec.MaxRows))
	}
	times := timesOf(&a.views[a.n.TimeCol], n, a.times)
	cols := make([]vec.Vec, len(a.n.Keys))
	for i, k := range a.n.Keys {
		cols[i] = a.views[k]
	}
	kid := scratchIDs(&a.kid, n)
	a.kids.Intern(cols, kid)
	pid := kid
	if a.n.SessionKeys != nil {
		part := make([]vec.Vec, len(a.n.SessionKeys))
		for i, k := range a.n.SessionKeys {
			part[i] = cols[k]
		}
		pid = scratchIDs(&a.pid, n)
		a.pids.Intern(part, pid)
	}
	if m := a.pids.Len(); m > len(a.parts) {
		a.parts = append(a.parts, make([]sessionPart, m-len(a.parts))...)
	}
	if m := a.kids.Len(); m > len(a.kidRefs) {
		a.kidRefs = append(a.kidRefs, make([]int32, m-len(a.kidRefs))...)
	}
	check := a.final && b.W != nil
	a.behind = a.behind || b.W != nil && !a.final
	slot := scratchIDs(&a.slot, n)
	skipped := false
	for i, ts := range times {
		slot[i] = noSlot
		a.kidRefs[kid[i]] = max(a.kidRefs[kid[i]], 0)
		a.parts[pid[i]].gone = false
		if window.Infinite(ts) {
			if a.ctx.Stats != nil {
				a.ctx.Stats.NullTimes++
			}
			skipped = true
			continue
		}
		if check {
			a.exorcise(pid[i], b.W[i])
			end, late := a.late(&a.parts[pid[i]], ts, b.W[i])
			if late || a.count && b.Op(i) == vec.Delete && !a.has(pid[i], kid[i], ts) {
				skipped = true
				if err := reportLate(a.ctx, b, i, end); err != nil {
					return err
				}
				continue
			}
		}
		a.touch(pid[i])
		slot[i] = a.place(pid[i], kid[i], ts)
		if a.count {
			for len(a.rows) <= int(slot[i]) {
				a.rows = append(a.rows, 0)
			}
			a.rows[slot[i]] += int64(b.Op(i))
		}
	}
	a.applyMerges(slot)
	a.grow()
	if skipped {
		a.pidSlots = append(a.pidSlots[:0], slot...)
	}
	a.update(slot, b, skipped)
	for _, s := range a.graves {
		a.freeSlot(s)
	}
	a.graves = a.graves[:0]
	if skipped {
		for i, s := range a.pidSlots {
			if s == noSlot {
				a.idle(pid[i])
				a.idleKids = append(a.idleKids, kid[i])
			}
		}
		a.sweep()
	}
	return nil
}

// update adds the batch's rows to their slots.
func (a *sessionAggregate) update(slot []uint32, b *vec.Batch, skipped bool) {
	cols, ops := a.views, b.Ops
	if skipped {
		sel := a.skip[:0]
		for i, s := range slot {
			if s != noSlot {
				sel = append(sel, int32(i))
			}
		}
		a.skip = sel
		if len(sel) == 0 {
			return
		}
		part := b.Select(a.ctx.Alloc, sel)
		defer part.Release()
		cols, ops = part.Views(nil), part.Ops
		for i, r := range sel {
			slot[i] = slot[r]
		}
		slot = slot[:len(sel)]
	}
	a.states.update(slot, cols, ops)
}

func opCount(ops []vec.Op, i int) int64 {
	if ops == nil {
		return 1
	}
	return int64(ops[i])
}

func (a *sessionAggregate) grow() {
	a.states.grow(int(a.slots.n))
	if a.count && len(a.rows) < a.states.n {
		a.rows = append(a.rows, make([]int64, a.states.n-len(a.rows))...)
	}
}

func firstOf(r *sessionRun) vec.Time { return r.First }

// late says whether a row at ts falls into a session that has closed under the watermark w, or would be one.
func (a *sessionAggregate) late(p *sessionPart, ts, w vec.Time) (end vec.Time, late bool) {
	i := window.Find(p.runs, firstOf, ts)
	end = a.spec.SessionEnd(ts, ts)
	if i >= 0 {
		if e := a.endOf(p, i); ts < e {
			if p.runs[i].Closed || window.Late(e, w, a.keep) {
				return e, true
			}
			end = max(end, e)
		}
	}
	if j := i + 1; j < len(p.runs) && a.spec.Joins(ts, p.runs[j].First) {
		e := a.endOf(p, j)
		if p.runs[j].Closed || window.Late(e, w, a.keep) {
			return e, true
		}
		end = max(end, e)
	}
	if a.spec.MaxSpan > 0 {
		end = a.endWith(p, ts, i+1)
	}
	return end, window.Late(end, w, a.keep)
}

// endOf gives the end of the session that run i is in.
func (a *sessionAggregate) endOf(p *sessionPart, i int) vec.Time {
	if p.runs[i].Closed {
		return p.runs[i].End
	}
	run := func(i int) window.Run { return p.runs[i].Run }
	// Without max_span the end does not depend on where the session began.
	from := i
	if a.spec.MaxSpan > 0 {
		for from > 0 && !p.runs[from-1].Closed {
			from--
		}
	}
	for {
		next, w := a.spec.Next(run, len(p.runs), from)
		if i < next {
			return w.End
		}
		from = next
	}
}

// endWith gives the end of the session that a row at ts would be in, were it put before run at.
func (a *sessionAggregate) endWith(p *sessionPart, ts vec.Time, at int) vec.Time {
	run := func(i int) window.Run {
		switch {
		case i < at:
			return p.runs[i].Run
		case i == at:
			return window.Run{First: ts, Last: ts}
		}
		return p.runs[i-1].Run
	}
	from := at
	for from > 0 && !p.runs[from-1].Closed {
		from--
	}
	for {
		next, w := a.spec.Next(run, len(p.runs)+1, from)
		if at < next {
			return w.End
		}
		from = next
	}
}

// place gives the slot of a row, making or joining runs as it needs.
func (a *sessionAggregate) place(pid, kid uint32, ts vec.Time) uint32 {
	p := &a.parts[pid]
	i := window.Find(p.runs, firstOf, ts)
	if a.apart {
		if i < 0 || p.runs[i].First != ts || p.runs[i].Closed {
			i++
			p.runs = slices.Insert(p.runs, i, sessionRun{Run: window.Run{First: ts, Last: ts}})
			a.schedule(pid, a.spec.SessionEnd(ts, ts))
		}
		return a.slotOf(&p.runs[i], kid)
	}
	left := i >= 0 && !p.runs[i].Closed && a.spec.Joins(p.runs[i].Last, ts)
	right := i+1 < len(p.runs) && !p.runs[i+1].Closed && a.spec.Joins(ts, p.runs[i+1].First)
	switch {
	case left:
		r := &p.runs[i]
		if ts > r.Last {
			if a.keep > a.n.Hold && a.n.OnClose && window.Late(a.spec.SessionEnd(r.First, r.Last), a.w, a.n.Hold) {
				a.schedule(pid, a.spec.SessionEnd(r.First, ts)) // it has been sent, and goes on
			}
			r.Last = ts
		}
		if right = i+1 < len(p.runs) && !p.runs[i+1].Closed && a.spec.Joins(r.Last, p.runs[i+1].First); right {
			a.join(r, &p.runs[i+1])
			p.runs = slices.Delete(p.runs, i+1, i+2)
		}
	case right:
		i++
		p.runs[i].First = ts
	default:
		i++
		p.runs = slices.Insert(p.runs, i, sessionRun{Run: window.Run{First: ts, Last: ts}})
		a.schedule(pid, a.spec.SessionEnd(ts, ts))
	}
	return a.slotOf(&p.runs[i], kid)
}

// slotOf gives the accumulators of a run for the keys kid.
func (a *sessionAggregate) slotOf(r *sessionRun, kid uint32) uint32 {
	for _, s := range r.slots {
		if s.kid == kid {
			return s.slot
		}
	}
	id := a.slots.next()
	r.slots = append(r.slots, sessionSlot{kid, id})
	a.kidRefs[kid]++
	return id
}

// join puts run s behind run r into r. The accumulators are merged at the end of the batch.
func (a *sessionAggregate) join(r, s *sessionRun) {
	r.Last = max(r.Last, s.Last)
	for _, x := range s.slots {
		found := false
		for _, y := range r.slots {
			if y.kid == x.kid {
				a.merged[x.slot] = y.slot
				a.kidRefs[x.kid]--
				found = true
			}
		}
		if !found {
			r.slots = append(r.slots, x)
		}
	}
}

// applyMerges merges accumulators of joined runs and names the slots that rows go to in the end.
func (a *sessionAggregate) applyMerges(slot []uint32) {
	if len(a.merged) == 0 {
		return
	}
	a.grow()
	root := func(s uint32) uint32 {
		for {
			t, ok := a.merged[s]
			if !ok {
				return s
			}
			s = t
		}
	}
	gone := make([]uint32, 0, len(a.merged))
	for s := range a.merged {
		gone = append(gone, s)
	}
	slices.Sort(gone)
	into := make([]uint32, len(gone))
	for i, s := range gone {
		into[i] = root(s)
	}
	a.states.merge(into, a.states, gone)
	a.states.clear(gone)
	for i, s := range slot {
		if s != noSlot {
			slot[i] = root(s)
		}
	}
	for i, s := range gone {
		if a.count {
			a.rows[into[i]] += a.rows[s]
			a.rows[s] = 0
		}
		a.slots.free = append(a.slots.free, s)
	}
	clear(a.merged)
}

// freeSlots gives the accumulators of a run back.
func (a *sessionAggregate) freeSlots(r *sessionRun) {
	for _, s := range r.slots {
		a.freeSlot(s)
	}
	r.slots = nil
}

func (a *sessionAggregate) freeSlot(s sessionSlot) {
	a.states.clear([]uint32{s.slot})
	if a.count {
		a.rows[s.slot] = 0
	}
	a.slots.free = append(a.slots.free, s.slot)
	if a.kidRefs[s.kid]--; a.kidRefs[s.kid] == 0 {
		a.idleKids = append(a.idleKids, s.kid)
	}
}

// sweep takes keys that nothing refers to any more out of the tables: those of
// sessions that are gone, and of rows that had no session.
func (a *sessionAggregate) sweep() {
	if len(a.dirty) > 0 {
		return
	}
	shared := a.n.SessionKeys == nil
	one := make([]uint32, 1)
	for _, kid := range a.idleKids {
		if a.kidRefs[kid] == 0 && (!shared || len(a.parts[kid].runs) == 0) {
			a.kidRefs[kid] = -1
			one[0] = kid
			a.kids.Remove(one)
		}
	}
	for _, pid := range a.idlePids {
		if p := &a.parts[pid]; !p.gone && len(p.runs) == 0 {
			p.gone = true
			one[0] = pid
			a.pids.Remove(one)
		}
	}
	a.idleKids, a.idlePids = a.idleKids[:0], a.idlePids[:0]
}

// idle notes that a key or partition may not be needed any more.
func (a *sessionAggregate) idle(pid uint32) {
	if a.n.SessionKeys == nil {
		a.idleKids = append(a.idleKids, pid)
	} else {
		a.idlePids = append(a.idlePids, pid)
	}
}

// touch notes a partition whose result changes for the first time since the last flush, with what it was.
func (a *sessionAggregate) touch(pid uint32) {
	p := &a.parts[pid]
	if p.dirty || !a.ctx.Continuous || a.n.OnClose && a.keep == a.n.Hold {
		return
	}
	a.touchAlways(pid)
}

func (a *sessionAggregate) touchAlways(pid uint32) {
	p := &a.parts[pid]
	if p.dirty {
		return
	}
	p.dirty = true
	a.dirty = append(a.dirty, pid)
	a.resultOf(pid, &a.old)
}

// visible says whether a session is in the result: ON WINDOW CLOSE shows those that have closed.
func (a *sessionAggregate) visible(end vec.Time) bool {
	return !a.ctx.Continuous || !a.n.OnClose || window.Late(end, a.w, a.n.Hold)
}

// resultOf appends the sessions of a partition that are in the result to dst.
func (a *sessionAggregate) resultOf(pid uint32, dst *sessionRows) {
	p := &a.parts[pid]
	run := func(i int) window.Run { return p.runs[i].Run }
	var ids []uint32
	for i := 0; i < len(p.runs); {
		if p.runs[i].Closed {
			i++
			continue
		}
		next, w := a.spec.Next(run, len(p.runs), i)
		if a.visible(w.End) {
			ids = a.livingResult(pid, p.runs[i:next], w, dst, ids)
		}
		i = next
	}
	if len(ids) > 0 {
		a.states.results(ids, dst.res)
	}
}

// livingResult appends the sessions among runs that would be one session, w, if none of them were empty.
func (a *sessionAggregate) livingResult(pid uint32, runs []sessionRun, w window.Window, dst *sessionRows, ids []uint32) []uint32 {
	if !slices.ContainsFunc(runs, func(r sessionRun) bool { return a.empty(&r) }) {
		return a.sessionResult(pid, runs, w, dst, ids)
	}
	living := slices.DeleteFunc(slices.Clone(runs), func(r sessionRun) bool { return a.empty(&r) })
	run := func(i int) window.Run { return living[i].Run }
	for i := 0; i < len(living); {
		next, w := a.spec.Next(run, len(living), i)
		ids = a.sessionResult(pid, living[i:next], w, dst, ids)
		i = next
	}
	return ids
}

// sessionResult appends one session. Slots whose results are still to be appended are added to ids.
func (a *sessionAggregate) sessionResult(pid uint32, runs []sessionRun, w window.Window, dst *sessionRows, ids []uint32) []uint32 {
	if len(runs) == 1 {
		for _, s := range runs[0].slots {
			if !a.count || a.rows[s.slot] > 0 {
				dst.rows = append(dst.rows, sessionRow{pid, s.kid, w})
				ids = append(ids, s.slot)
			}
		}
		return ids
	}
	if len(ids) > 0 { // keep the order of rows and results
		a.states.results(ids, dst.res)
		ids = ids[:0]
	}
	var kids, into, from []uint32
	for i := range runs {
		for _, s := range runs[i].slots {
			if a.count && a.rows[s.slot] == 0 {
				continue
			}
			k := slices.Index(kids, s.kid)
			if k < 0 {
				k = len(kids)
				kids = append(kids, s.kid)
			}
			into, from = append(into, uint32(k)), append(from, s.slot)
		}
	}
	if len(kids) == 0 {
		return ids
	}
	a.tmp.grow(len(kids))
	a.tmp.merge(into, a.states, from)
	all := a.aggs.iota(len(kids))
	a.tmp.results(all, dst.res)
	a.tmp.clear(all)
	for _, k := range kids {
		dst.rows = append(dst.rows, sessionRow{pid, k, w})
	}
	return ids
}

// empty says that no row of a run is left.
func (a *sessionAggregate) empty(r *sessionRun) bool {
	if !a.count || r.Closed {
		return false
	}
	for _, s := range r.slots {
		if a.rows[s.slot] != 0 {
			return false
		}
	}
	return true
}

// ghost says whether an empty run stays at watermark w.
func (a *sessionAggregate) ghost(r *sessionRun, w vec.Time) bool {
	return a.final && a.spec.MaxSpan == 0 && !window.Late(a.spec.SessionEnd(r.First, r.Last), w, a.keep)
}

// exorcise takes out the empty runs that do not stay at watermark w. It may be called while a batch is being
// placed: their accumulators are freed after it.
func (a *sessionAggregate) exorcise(pid uint32, w vec.Time) {
	if !a.count {
		return
	}
	p := &a.parts[pid]
	gone := func(r sessionRun) bool { return a.empty(&r) && !a.ghost(&r, w) }
	if !slices.ContainsFunc(p.runs, gone) {
		return
	}
	a.touchAlways(pid) // a session that a ghost kept open may have been in no result yet
	p.runs = slices.DeleteFunc(p.runs, func(r sessionRun) bool {
		if !gone(r) {
			return false
		}
		a.graves = append(a.graves, r.slots...)
		return true
	})
	if len(p.runs) == 0 {
		a.idle(pid)
	}
}

// has says whether a row with these keys at ts is there to be taken back: one that came late is not.
func (a *sessionAggregate) has(pid, kid uint32, ts vec.Time) bool {
	p := &a.parts[pid]
	i := window.Find(p.runs, firstOf, ts)
	if i < 0 || p.runs[i].First != ts || p.runs[i].Closed {
		return false
	}
	for _, s := range p.runs[i].slots {
		if s.kid == kid {
			return a.rows[s.slot] > 0
		}
	}
	return false
}

// prune drops what deletes have left empty, but for ghosts at watermark w. No batch is being placed.
func (a *sessionAggregate) prune(pid uint32, w vec.Time) {
	if !a.count {
		return
	}
	p := &a.parts[pid]
	p.runs = slices.DeleteFunc(p.runs, func(r sessionRun) bool {
		if !a.empty(&r) {
			return false
		}
		a.freeSlots(&r)
		return !a.ghost(&r, w)
	})
	for i := range p.runs {
		if r := &p.runs[i]; a.empty(r) {
			r.slots = nil
		}
	}
	if len(p.runs) == 0 {
		a.idle(pid)
	}
}
