package exec

import (
	"container/heap"
	"slices"

	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/state"
	"streamsql/window"
)

// dueHeap orders partitions by the earliest time at which one of their sessions may end.
type dueHeap []dueEntry

type dueEntry struct {
	end vec.Time
	pid uint32
}

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].end < h[j].end }
func (h dueHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *dueHeap) Push(x any) { *h = append(*h, x.(dueEntry)) }

// Pop implements heap.Interface.
func (h *dueHeap) Pop() any {
	o := *h
	x := o[len(o)-1]
	*h = o[:len(o)-1]
	return x
}

// schedule makes a partition be looked at when the watermark reaches end.
func (a *sessionAggregate) schedule(pid uint32, end vec.Time) {
	if a.final {
		heap.Push(&a.due, dueEntry{end, pid})
	}
}

// flush sends the net changes of the partitions that changed.
func (a *sessionAggregate) flush() error {
	if len(a.dirty) == 0 {
		return nil
	}
	now := sessionRows{res: a.newResults()}
	defer releaseViews(now.res)
	for _, pid := range a.dirty {
		a.prune(pid, a.w)
		a.resultOf(pid, &now)
	}
	err := a.emitDiff(&a.old, &now)
	for _, pid := range a.dirty {
		a.parts[pid].dirty = false
	}
	a.dirty = a.dirty[:0]
	a.old.rows = a.old.rows[:0]
	for i := range a.old.res {
		a.old.res[i].Reset(a.aggs.kinds[i], 0)
	}
	a.sweep()
	return err
}

// failedRows drops rows of r that could not be computed, asking the context about those of the new result.
func (a *sessionAggregate) failedRows(r *sessionRows, ask bool) ([]bool, error) {
	ok := make([]bool, len(r.rows))
	for i := range ok {
		ok[i] = true
	}
	for c := range r.res {
		for _, e := range r.res[c].Errs {
			if !ok[e.Row] {
				continue
			}
			ok[e.Row] = false
			if !ask {
				continue
			}
			if a.ctx.RowError == nil {
				return nil, e.Err
			}
			if err := a.reportFailed(r.rows[e.Row], e.Err); err != nil {
				return nil, err
			}
		}
		r.res[c].Errs = r.res[c].Errs[:0]
	}
	return ok, nil
}

// reportFailed gives the key and window of a failed row to the context's handler.
func (a *sessionAggregate) reportFailed(row sessionRow, cause error) error {
	b := vec.NewBuilder(a.ctx.Alloc, a.n.Schema())
	defer b.Release()
	k := len(a.keyTypes)
	a.kids.Append([]uint32{row.kid}, b.Cols[:k])
	appendWindows(b.Cols[k:k+3], []window.Window{row.win})
	for c := k + 3; c < len(b.Cols); c++ {
		b.Cols[c].AppendNull()
	}
	batch := b.Finish()
	defer batch.Release()
	return a.ctx.RowError(cause, batch, 0)
}

// emitDiff sends what leads from the rows of old to those of now: for each
// partition first the sessions that are no more, then those that changed, then new ones.
func (a *sessionAggregate) emitDiff(old, now *sessionRows) error {
	okOld, _ := a.failedRows(old, false)
	okNow, err := a.failedRows(now, true)
	if err != nil {
		return err
	}
	was := make(map[sessionRow]int, len(old.rows))
	for i, r := range old.rows {
		if okOld[i] {
			was[r] = i
		}
	}
	m := len(old.rows)
	both := a.newResults()
	defer releaseViews(both)
	for c := range both {
		both[c].AppendRange(&old.res[c], 0, m)
		both[c].AppendRange(&now.res[c], 0, len(now.rows))
	}
	rows := append(slices.Clone(old.rows), now.rows...)
	type change struct {
		row int32
		op  vec.Op
	}
	var pairs, news, order []change
	kept := make([]bool, m)
	for i, r := range now.rows {
		if !okNow[i] {
			continue
		}
		o, ok := was[r]
		if !ok {
			news = append(news, change{int32(m + i), vec.Insert})
			continue
		}
		kept[o] = true
		same := true
		for c := range both {
			same = same && sameCell(&both[c], o, m+i)
		}
		if !same {
			pairs = append(pairs, change{int32(o), vec.Delete}, change{int32(m + i), vec.Insert})
		}
	}
	for i := range old.rows {
		if okOld[i] && !kept[i] {
			order = append(order, change{int32(i), vec.Delete})
		}
	}
	order = append(append(order, pairs...), news...)
	sel, ops := make([]int32, len(order)), make([]vec.Op, len(order))
	for i, c := range order {
		sel[i], ops[i] = c.row, c.op
	}
	if a.n.OnClose {
		a.sortClosed(rows, sel[len(sel)-len(news):])
	}
	return a.emitRows(rows, both, sel, ops)
}

// sortClosed puts rows in the order of their window's end, then of their keys.
func (a *sessionAggregate) sortClosed(rows []sessionRow, sel []int32) {
	ids := make([]uint32, len(rows))
	for i, r := range rows {
		ids[i] = r.kid
	}
	for i := range a.keyVecs {
		a.keyVecs[i].Reset(a.keyTypes[i].Kind(), 0)
	}
	a.kids.Append(ids, a.keyVecs)
	rank := make([]uint32, len(rows))
	for i, r := range sortRows(a.keyVecs, a.keyTypes, identity(len(rows))) {
		rank[r] = uint32(i)
	}
	slices.SortStableFunc(sel, func(x, y int32) int {
		if c := cmpTime(rows[x].win.End, rows[y].win.End); c != 0 {
			return c
		}
		if c := int(rank[x]) - int(rank[y]); c != 0 {
			return c
		}
		return cmpTime(rows[x].win.Start, rows[y].win.Start)
	})
}

func identity(n int) []uint32 {
	s := make([]uint32, n)
	for i := range s {
		s[i] = uint32(i)
	}
	return s
}

// emitRows sends rows with their aggregates.
func (a *sessionAggregate) emitRows(rows []sessionRow, res []vec.Vec, sel []int32, ops []vec.Op) error {
	k := len(a.keyTypes)
	var kids []uint32
	var wins []window.Window
	for at := 0; at < len(sel); at += vec.MaxRows {
		part := sel[at:min(at+vec.MaxRows, len(sel))]
		kids, wins = kids[:0], wins[:0]
		for i, r := range part {
			kids, wins = append(kids, rows[r].kid), append(wins, rows[r].win)
			a.build.AppendOp(ops[at+i])
			if a.behind {
				a.build.W = append(a.build.W, a.outW)
			}
		}
		a.kids.Append(kids, a.build.Cols[:k])
		appendWindows(a.build.Cols[k:k+3], wins)
		for c := range res {
			a.build.Cols[k+3+c].Gather(&res[c], part)
		}
		b := a.build.Finish()
		err := a.out.Emit(b)
		b.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// closeUpTo moves the watermark to w: it sends what closes (ON WINDOW CLOSE) and frees what takes no more rows.
func (a *sessionAggregate) closeUpTo(w vec.Time) error {
	hold := a.keep
	if a.n.OnClose {
		hold = a.n.Hold
	}
	var pids []uint32
	for len(a.due) > 0 && window.Late(a.due[0].end, w, hold) {
		pid := heap.Pop(&a.due).(dueEntry).pid
		if a.n.OnClose {
			a.touchAlways(pid)
		}
		pids = append(pids, pid)
	}
	a.w = max(a.w, w)
	slices.Sort(pids)
	pids = slices.Compact(pids)
	if a.n.OnClose {
		if err := a.flush(); err != nil {
			return err
		}
	}
	for _, pid := range pids {
		a.seal(pid, w)
	}
	a.sweep()
	return nil
}

// seal frees the sessions of a partition that take no more rows; their times stay until no row could touch them.
func (a *sessionAggregate) seal(pid uint32, w vec.Time) {
	a.prune(pid, w)
	p := &a.parts[pid]
	run := func(i int) window.Run { return p.runs[i].Run }
	for i := 0; i < len(p.runs); {
		if p.runs[i].Closed {
			i++
			continue
		}
		next, win := a.spec.Next(run, len(p.runs), i)
		if !window.Late(win.End, w, a.keep) {
			i = next
			continue
		}
		for j := i; j < next; j++ {
			a.freeSlots(&p.runs[j])
		}
		p.runs[i].Run = window.Run{First: win.Start, Last: p.runs[next-1].Last, End: win.End, Closed: true}
		p.runs = slices.Delete(p.runs, i+1, next)
		i++
	}
	for i := 0; i < len(p.runs); {
		r := &p.runs[i]
		far := i+1 == len(p.runs) || p.runs[i+1].Closed || !a.spec.Joins(r.End, p.runs[i+1].First)
		if r.Closed && far && w >= a.spec.Tombstone(r.End, a.keep) {
			p.runs = slices.Delete(p.runs, i, i+1)
			continue
		}
		i++
	}
	if len(p.runs) == 0 {
		a.idle(pid)
		return
	}
	a.reschedule(pid, w)
}

// reschedule finds when a partition must be looked at next.
func (a *sessionAggregate) reschedule(pid uint32, w vec.Time) {
	p := &a.parts[pid]
	next := vec.MaxTime
	hold := a.keep
	if a.n.OnClose {
		hold = a.n.Hold
	}
	for i := 0; i < len(p.runs); i++ {
		r := &p.runs[i]
		end := a.spec.SessionEnd(r.First, r.Last)
		switch {
		case r.Closed:
			end = a.spec.Tombstone(r.End, 0)
		case !window.Late(end, w, hold): // not sent yet
		default:
			end += a.keep - hold
		}
		if window.Late(end, w, hold) {
			end = w - hold + 1
		}
		next = min(next, end)
	}
	a.schedule(pid, next)
}

func (a *sessionAggregate) Advance(_ int, m Mark) error {
	if !a.ctx.Continuous {
		if m.W != vec.MaxTime || a.done {
			return nil
		}
		a.done = true
		all := sessionRows{res: a.newResults()}
		defer releaseViews(all.res)
		for pid := range a.parts {
			a.resultOf(uint32(pid), &all)
		}
		if err := a.emitDiff(&a.old, &all); err != nil {
			return err
		}
		return a.out.Watermark(m)
	}
	a.mark, a.held = m, true
	if a.n.OnClose {
		if err := a.closeUpTo(m.W); err != nil {
			return err
		}
	}
	if len(a.dirty) == 0 || m.W == vec.MaxTime {
		return a.pass()
	}
	return nil
}

// pass flushes and hands the mark on.
func (a *sessionAggregate) pass() error {
	if err := a.flush(); err != nil {
		return err
	}
	if !a.held {
		return nil
	}
	a.held = false
	if a.final && !a.n.OnClose {
		if err := a.closeUpTo(a.mark.W); err != nil {
			return err
		}
	}
	a.outW = window.Hold(a.mark.W, a.keep)
	return a.out.Watermark(Mark{W: a.outW, Idle: a.mark.Idle})
}

func (a *sessionAggregate) Tick(Tick) error {
	if !a.ctx.Continuous {
		return nil
	}
	return a.pass()
}

// Snapshot writes the partitions that have runs, with their keys, and the groups of the runs with theirs.
func (a *sessionAggregate) Snapshot(w *state.Writer) error {
	w.Int64(a.w)
	var pids, kids, slots []uint32
	for pid := range a.parts {
		if len(a.parts[pid].runs) > 0 {
			pids = append(pids, uint32(pid))
		}
	}
	writeKeys(w, a.pids, a.partTypes(), pids)
	for _, pid := range pids {
		p := &a.parts[pid]
		w.Uint64(uint64(len(p.runs)))
		for i := range p.runs {
			r := &p.runs[i]
			w.Int64(r.First)
			w.Int64(r.Last)
			w.Int64(r.End)
			w.Bool(r.Closed)
			w.Uint64(uint64(len(r.slots)))
			for _, s := range r.slots {
				kids, slots = append(kids, s.kid), append(slots, s.slot)
			}
		}
	}
	writeKeys(w, a.kids, a.keyTypes, kids)
	if a.count {
		for _, s := range slots {
			w.Int64(a.rows[s])
		}
	}
	a.states.snapshot(slots, w)
	return nil
}

// partTypes gives the types of the keys that name a partition.
func (a *sessionAggregate) partTypes() []types.T {
	if a.n.SessionKeys == nil {
		return a.keyTypes
	}
	ts := make([]types.T, 0, len(a.n.SessionKeys))
	for _, k := range a.n.SessionKeys {
		ts = append(ts, a.keyTypes[k])
	}
	return ts
}

// Restore implements Operator.
func (a *sessionAggregate) Restore(r *state.Reader) error {
	a.w = r.Int64()
	pids := readKeys(r, a.pids, a.partTypes())
	a.parts = make([]sessionPart, a.pids.Len())
	var lens []int
	for _, pid := range pids {
		p := &a.parts[pid]
		for n := r.Uint64(); n > 0 && r.Err() == nil; n-- {
			p.runs = append(p.runs, sessionRun{Run: window.Run{First: r.Int64(), Last: r.Int64(), End: r.Int64(), Closed: r.Bool()}})
			lens = append(lens, int(r.Uint64()))
		}
		a.schedule(pid, vec.MinTime)
	}
	kids := readKeys(r, a.kids, a.keyTypes)
	if r.Err() != nil {
		return r.Err()
	}
	a.kidRefs = make([]int32, a.kids.Len())
	if a.n.SessionKeys == nil {
		a.parts = append(a.parts, make([]sessionPart, a.kids.Len()-len(a.parts))...)
	}
	var slots []uint32
	run := 0
	for _, pid := range pids {
		p := &a.parts[pid]
		for i := range p.runs {
			for range lens[run] {
				if len(slots) == len(kids) {
					return errState()
				}
				slots = append(slots, a.slotOf(&p.runs[i], kids[len(slots)]))
			}
			run++
		}
	}
	a.grow()
	if a.count {
		for _, s := range slots {
			a.rows[s] = r.Int64()
		}
	}
	return a.states.restore(slots, r)
}

func errState() error {
	return pgerr.New(pgerr.DataCorrupted, "operator state is cut short or damaged")
}

// writeKeys writes the keys of ids.
func writeKeys(w *state.Writer, g groupTable, ts []types.T, ids []uint32) {
	cols := make([]vec.Vec, len(ts))
	for i := range cols {
		cols[i].Reset(ts[i].Kind(), 0)
	}
	g.Append(ids, cols)
	w.Uint64(uint64(len(ids)))
	for i := range cols {
		writeColumn(w, &cols[i])
	}
}

// readKeys adds keys written by writeKeys to a table and gives their ids.
func readKeys(r *state.Reader, g groupTable, ts []types.T) []uint32 {
	n := int(r.Uint64())
	cols := make([]vec.Vec, len(ts))
	for i := range cols {
		readColumn(r, &cols[i], ts[i].Kind(), n)
		if cols[i].N != n {
			return nil
		}
	}
	if r.Err() != nil {
		return nil
	}
	ids := make([]uint32, n)
	g.Intern(cols, ids)
	return ids
}

func (a *sessionAggregate) Close() error {
	releaseViews(a.views)
	if a.kids == nil {
		return nil
	}
	a.kids.Close()
	if a.n.SessionKeys != nil {
		a.pids.Close()
	}
	a.states.close()
	a.tmp.close()
	a.aggs.release()
	a.build.Release()
	releaseViews(a.old.res)
	releaseViews(a.keyVecs)
	return nil
}
