package exec

import (
	"slices"

	"streamsql/internal/vec"
	"streamsql/sql/planner"
	"streamsql/state"
	"streamsql/window"
)

// slicedAggregate is HOP or CUMULATE: by panes where each window is sent once, at its close
// or at the end, else by windows.
type slicedAggregate struct {
	n *planner.Aggregate
	Operator
}

// maxPanes is how many panes a window may have; with more, a row goes to its windows directly.
const maxPanes = 4096

// Open implements Operator.
func (s *slicedAggregate) Open(ctx *Context, out Output) error {
	w := s.n.Window
	once := !ctx.Continuous || s.n.OnClose && s.n.Lateness <= s.n.Hold
	if pane := w.PaneSize(); once && pane > 0 && w.Slide <= w.Size && w.Size/pane <= maxPanes {
		s.Operator = &paneAggregate{n: s.n}
	} else {
		s.Operator = &windowAggregate{n: s.n}
	}
	return s.Operator.Open(ctx, out)
}

// Close implements Operator.
func (s *slicedAggregate) Close() error {
	if s.Operator == nil {
		return nil
	}
	return s.Operator.Close()
}

// pane holds the states of the rows of a stretch of time, by the ids of the shared group table.
type pane struct {
	start, end vec.Time
	sent       bool // CUMULATE: windows up to end have been sent
	aggs       *aggStates
	rows       []int64 // with retract
	mark       []bool
	touched    []uint32
	sel        []int32
}

// paneAggregate aggregates each row once, into its pane, and merges the panes of
// a window when it closes. All panes share one group table, so that merging needs no look-up.
type paneAggregate struct {
	n    *planner.Aggregate
	spec *window.Spec
	ctx  *Context
	out  Output
	plan *groupPlan
	// set has the shared table and the states of the window being sent.
	set   *groupSet
	size  int64
	hold  int64
	panes []*pane // by start
	free  []*pane
	refs  []int32 // by group: the panes that hold it
	union []uint32
	seen  []bool
	// next is the start of HOP's next window to send, where there is some.
	next   vec.Time
	some   bool
	w      vec.Time
	done   bool
	chosen []*pane
	views  []vec.Vec
	times  []vec.Time
	part   batchPart

	held    int64 // bytes of the state, as of when they were last added up
	weighed int   // how often they are not to be added up again
}

func (a *paneAggregate) Open(ctx *Context, out Output) error {
	a.ctx, a.out, a.spec = ctx, out, a.n.Window
	a.plan = newGroupPlan(a.n, ctx, out)
	a.set = a.plan.take(window.Window{})
	a.size, a.hold, a.w = a.spec.PaneSize(), max(a.n.Hold, a.n.Lateness), vec.MinTime
	a.part.open(a.n, a.plan, ctx)
	return nil
}

// ends gives the ends of the first and the last window of ts.
func (a *paneAggregate) ends(ts vec.Time) (first, last vec.Time) {
	if a.spec.Kind == window.Cumulate {
		base := window.Floor(ts, a.spec.Size, a.spec.Offset)
		return a.spec.Pane(ts) + a.spec.Slide, base + a.spec.Size
	}
	start := window.Floor(ts, a.spec.Slide, a.spec.Offset)
	return a.firstStart(ts) + a.spec.Size, start + a.spec.Size
}

// firstStart gives the start of the first window of HOP that holds ts.
func (a *paneAggregate) firstStart(ts vec.Time) vec.Time {
	start := window.Floor(ts, a.spec.Slide, a.spec.Offset)
	return start - (a.spec.Size-1-(ts-start))/a.spec.Slide*a.spec.Slide
}

// paneOf gives the pane of ts, making it if need be. CUMULATE's panes grow into those
// before them when they have been sent, so that the one that holds ts may be longer.
func (a *paneAggregate) paneOf(ts vec.Time) *pane {
	i, _ := slices.BinarySearchFunc(a.panes, ts, func(p *pane, ts vec.Time) int {
		if p.start <= ts {
			return -1
		}
		return 1
	})
	if i > 0 && ts < a.panes[i-1].end {
		return a.panes[i-1]
	}
	start := a.spec.Pane(ts)
	var p *pane
	if n := len(a.free); n > 0 {
		p = a.free[n-1]
		a.free = a.free[:n-1]
	} else {
		p = &pane{aggs: a.plan.aggs.newStates(a.ctx.Alloc)}
	}
	p.start, p.end, p.sent = start, start+a.size, false
	a.panes = slices.Insert(a.panes, i, p)
	if a.spec.Kind == window.Cumulate {
		return p
	}
	next := a.firstStart(start)
	for window.Late(next+a.spec.Size, a.w, a.hold) {
		next += a.spec.Slide
	}
	if !a.some || next < a.next {
		a.next, a.some = next, true
	}
	return p
}

func (a *paneAggregate) Push(_ int, b *vec.Batch) error {
	a.views = b.Views(a.views)
	if cap(a.times) < b.N {
		a.times = make([]vec.Time, max(b.N, vec.MaxRows))
	}
	times := timesOf(&a.views[a.n.TimeCol], b.N, a.times)
	check := a.ctx.Continuous && b.W != nil
	var cur *pane
	for i, ts := range times {
		if cur == nil || ts < cur.start || ts >= cur.end || check {
			if window.Infinite(ts) || len(a.spec.Assign(ts, nil)) == 0 {
				if a.ctx.Stats != nil && window.Infinite(ts) {
					a.ctx.Stats.NullTimes++
				}
				continue
			}
			if check {
				first, last := a.ends(ts)
				if w := b.W[i]; window.Late(last, w, a.hold) {
					if err := reportLate(a.ctx, b, i, last); err != nil {
						return err
					}
					continue
				} else if w > a.w && window.Late(first, w, a.hold) {
					// The row must not get into windows that have closed before it.
					a.apply(b)
					cur = nil
					if err := a.closeUpTo(w); err != nil {
						return err
					}
				}
			}
			if cur == nil || ts < cur.start || ts >= cur.end {
				cur = a.paneOf(ts)
			}
			if len(cur.sel) == 0 {
				a.chosen = append(a.chosen, cur)
			}
		}
		cur.sel = append(cur.sel, int32(i))
	}
	a.apply(b)
	return nil
}

// apply adds the rows chosen so far to their panes.
func (a *paneAggregate) apply(b *vec.Batch) {
	for _, p := range a.chosen {
		if len(p.sel) == b.N {
			a.add(p, a.views, b.N, b.Ops)
		} else {
			cols, ops := a.part.take(a.views, b.Ops, p.sel)
			a.add(p, cols, len(p.sel), ops)
		}
		p.sel = p.sel[:0]
	}
	a.chosen = a.chosen[:0]
}

func (a *paneAggregate) add(p *pane, cols []vec.Vec, n int, ops []vec.Op) {
	for i, k := range a.n.Keys {
		a.plan.keyCols[i] = cols[k]
	}
	ids := scratchIDs(&a.plan.ids, n)
	a.set.groups.Intern(a.plan.keyCols, ids)
	a.growPane(p)
	mark := p.mark
	for _, id := range ids {
		if !mark[id] {
			a.hold1(p, id)
		}
	}
	if a.plan.retract {
		for i, id := range ids {
			p.rows[id] += opCount(ops, i)
		}
	}
	p.aggs.update(ids, cols, ops)
}

// hold1 notes that p has group id.
func (a *paneAggregate) hold1(p *pane, id uint32) {
	p.mark[id] = true
	p.touched = append(p.touched, id)
	a.refs[id]++
}

func (a *paneAggregate) growPane(p *pane) {
	p.aggs.grow(a.set.groups.Len())
	n := p.aggs.n
	if len(p.mark) < n {
		p.mark = append(p.mark, make([]bool, n-len(p.mark))...)
	}
	if a.plan.retract && len(p.rows) < n {
		p.rows = append(p.rows, make([]int64, n-len(p.rows))...)
	}
	if len(a.refs) < n {
		a.refs = append(a.refs, make([]int32, n-len(a.refs))...)
	}
}

// drop frees a pane and the groups that only it had.
func (a *paneAggregate) drop(p *pane) {
	p.aggs.clear(p.touched)
	gone := p.touched[:0]
	for _, id := range p.touched {
		p.mark[id] = false
		if a.plan.retract {
			p.rows[id] = 0
		}
		if a.refs[id]--; a.refs[id] == 0 {
			gone = append(gone, id)
		}
	}
	a.set.groups.Remove(gone)
	p.touched = p.touched[:0]
	a.free = append(a.free, p)
}

// send merges the panes of a window and sends its groups.
func (a *paneAggregate) send(w window.Window, panes []*pane) error {
	a.set.grow()
	n := a.set.aggs.n
	if len(a.seen) < n {
		a.seen = append(a.seen, make([]bool, n-len(a.seen))...)
	}
	union := a.union[:0]
	for _, p := range panes {
		a.set.aggs.merge(p.touched, p.aggs, p.touched)
		for _, id := range p.touched {
			if !a.seen[id] {
				a.seen[id] = true
				union = append(union, id)
			}
			if a.plan.retract {
				a.set.rows[id] += p.rows[id]
			}
		}
	}
	a.union = union
	ids := union
	if a.plan.retract {
		ids = make([]uint32, 0, len(union))
		for _, id := range union {
			if a.set.rows[id] > 0 {
				ids = append(ids, id)
			}
		}
	}
	a.set.win = w
	err := a.set.emitIDs(ids, a.ctx.Continuous)
	a.set.aggs.clear(union)
	for _, id := range union {
		a.seen[id] = false
		if a.plan.retract {
			a.set.rows[id] = 0
		}
	}
	return err
}

// closeUpTo sends the windows that end by the watermark w, in the order of their ends.
func (a *paneAggregate) closeUpTo(w vec.Time) error {
	if w <= a.w {
		return nil
	}
	var err error
	if a.spec.Kind == window.Cumulate {
		err = a.closeCumulate(w)
	} else {
		err = a.closeHop(w)
	}
	a.w = w
	return err
}

func (a *paneAggregate) closeHop(w vec.Time) error {
	for len(a.panes) > 0 {
		// Skip windows without panes.
		if first := a.firstStart(a.panes[0].start); first > a.next {
			a.next = first
		}
		end := a.next + a.spec.Size
		if !window.Late(end, w, a.hold) {
			return nil
		}
		n := 0
		for n < len(a.panes) && a.panes[n].start < end {
			n++
		}
		from := 0
		for from < n && a.panes[from].start < a.next {
			from++
		}
		if err := a.send(window.Window{Start: a.next, End: end}, a.panes[from:n]); err != nil {
			return err
		}
		a.next += a.spec.Slide
		gone := 0
		for gone < len(a.panes) && a.panes[gone].start < a.next {
			a.drop(a.panes[gone])
			gone++
		}
		a.panes = slices.Delete(a.panes, 0, gone)
	}
	a.some = false
	return nil
}

func (a *paneAggregate) closeCumulate(w vec.Time) error {
	for len(a.panes) > 0 {
		p := a.panes[0] // what has been sent of the window so far, or its first pane
		base := window.Floor(p.start, a.spec.Size, a.spec.Offset)
		end := p.end
		if p.sent {
			end += a.size
		}
		for window.Late(end, a.w, a.hold) {
			end += a.size
		}
		if !window.Late(end, w, a.hold) {
			return nil
		}
		for len(a.panes) > 1 && a.panes[1].start < end {
			a.absorb(p, a.panes[1])
			a.panes = slices.Delete(a.panes, 1, 2)
		}
		// From here on the pane takes all rows of the window up to what has been sent.
		p.start, p.end, p.sent = base, end, true
		if err := a.send(window.Window{Start: base, End: end}, a.panes[:1]); err != nil {
			return err
		}
		if end == base+a.spec.Size {
			a.drop(p)
			a.panes = slices.Delete(a.panes, 0, 1)
		}
	}
	return nil
}

// absorb merges pane q into p.
func (a *paneAggregate) absorb(p, q *pane) {
	a.growPane(p)
	p.aggs.merge(q.touched, q.aggs, q.touched)
	for _, id := range q.touched {
		if !p.mark[id] {
			a.hold1(p, id)
		}
		if a.plan.retract {
			p.rows[id] += q.rows[id]
		}
	}
	a.drop(q)
}

func (a *paneAggregate) Advance(_ int, m Mark) error {
	if !a.ctx.Continuous {
		if m.W != vec.MaxTime || a.done {
			return nil
		}
		a.done = true
	}
	if err := a.closeUpTo(m.W); err != nil {
		return err
	}
	return a.out.Watermark(Mark{W: window.Hold(m.W, a.hold), Idle: m.Idle})
}

// Tick implements Operator: nothing is held back.
func (a *paneAggregate) Tick(Tick) error { return nil }

func (a *paneAggregate) Snapshot(w *state.Writer) error {
	w.Int64(a.w)
	w.Int64(a.next)
	w.Bool(a.some)
	w.Uint64(uint64(len(a.panes)))
	for _, p := range a.panes {
		w.Int64(p.start)
		w.Int64(p.end)
		w.Bool(p.sent)
		writeKeys(w, a.set.groups, a.plan.keyTypes, p.touched)
		if a.plan.retract {
			for _, id := range p.touched {
				w.Int64(p.rows[id])
			}
		}
		p.aggs.snapshot(p.touched, w)
	}
	return nil
}

func (a *paneAggregate) Restore(r *state.Reader) error {
	a.w = r.Int64()
	next, some := r.Int64(), r.Bool()
	for n := r.Uint64(); n > 0 && r.Err() == nil; n-- {
		start, end := r.Int64(), r.Int64()
		p := a.paneOf(start)
		p.end, p.sent = end, r.Bool()
		ids := readKeys(r, a.set.groups, a.plan.keyTypes)
		a.growPane(p)
		for _, id := range ids {
			a.hold1(p, id)
		}
		if a.plan.retract {
			for _, id := range ids {
				p.rows[id] = r.Int64()
			}
		}
		if err := p.aggs.restore(ids, r); err != nil {
			return err
		}
	}
	a.next, a.some = next, some
	return r.Err()
}

func (a *paneAggregate) Close() error {
	releaseViews(a.views)
	if a.plan == nil {
		return nil
	}
	for _, p := range append(a.panes, a.free...) {
		p.aggs.close()
	}
	a.set.close()
	a.part.release()
	a.plan.release()
	return nil
}
