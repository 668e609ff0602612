package exec

import (
	"slices"

	"streamsql/internal/vec"
	"streamsql/sql/planner"
	"streamsql/state"
	"streamsql/window"
)

// openWindow is an open window with its groups, or, without a window function, the
// groups with one value of the closing key.
type openWindow struct {
	*groupSet
	sent    bool // OnClose: it has been emitted, and is kept for late rows
	pending bool // it is listed in windowAggregate.changed
	sel     []int32
}

// windowAggregate aggregates by TUMBLE, HOP or CUMULATE, or by a key that closes
// groups. Each window has a group table of its own, dropped whole when it closes.
type windowAggregate struct {
	n     *planner.Aggregate
	ctx   *Context
	out   Output
	plan  *groupPlan
	keep  int64 // how long after its end a window takes rows
	final bool  // windows close: rows can be late and state is freed

	open    map[window.Window]*openWindow
	order   []*openWindow // by end, then start
	last    *openWindow
	touched []*openWindow // in this batch
	changed []*openWindow // to be flushed

	w     vec.Time // the input's mark
	mark  Mark
	held  bool
	done  bool
	views []vec.Vec
	times []vec.Time
	part  batchPart
	wins  []window.Window
	late  []int32

	size    int64 // of the state, as of when it was last added up
	weighed int   // how often it is not to be added up again
}

func (a *windowAggregate) Open(ctx *Context, out Output) error {
	a.ctx, a.out = ctx, out
	a.plan = newGroupPlan(a.n, ctx, out)
	a.keep = max(a.n.Hold, a.n.Lateness)
	a.final = ctx.Continuous && (a.n.OnClose || a.n.FreeLate)
	a.open = map[window.Window]*openWindow{}
	a.w = vec.MinTime
	a.part.open(a.n, a.plan, ctx)
	return nil
}

// timeCol gives the input column that decides a row's window.
func (a *windowAggregate) timeCol() int {
	if a.n.Window != nil {
		return a.n.TimeCol
	}
	return a.n.Keys[a.n.CloseKey]
}

// windows gives the windows of a row.
func (a *windowAggregate) windows(ts vec.Time) []window.Window {
	if s := a.n.Window; s != nil {
		a.wins = s.Assign(ts, a.wins[:0])
		return a.wins
	}
	end := ts
	if !a.n.CloseEnd && ts != vec.MaxTime {
		end++
	}
	a.wins = append(a.wins[:0], window.Window{Start: ts, End: end})
	return a.wins
}

// get gives the open window w, opening it if need be.
func (a *windowAggregate) get(w window.Window) *openWindow {
	if a.last != nil && a.last.win == w {
		return a.last
	}
	o := a.open[w]
	if o == nil {
		o = &openWindow{groupSet: a.plan.take(w)}
		o.track = a.ctx.Continuous && !a.n.OnClose
		a.open[w] = o
		i, _ := slices.BinarySearchFunc(a.order, w, func(o *openWindow, w window.Window) int { return compareWindows(o.win, w) })
		a.order = slices.Insert(a.order, i, o)
	}
	a.last = o
	return o
}

func compareWindows(a, b window.Window) int {
	switch {
	case a.End != b.End:
		return cmpTime(a.End, b.End)
	default:
		return cmpTime(a.Start, b.Start)
	}
}

func cmpTime(a, b vec.Time) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func (a *windowAggregate) Push(_ int, b *vec.Batch) error {
	a.views = b.Views(a.views)
	if cap(a.times) < b.N {
		a.times = make([]vec.Time, max(b.N, vec.MaxRows))
	}
	times := timesOf(&a.views[a.timeCol()], b.N, a.times)
	check := a.final && b.W != nil
	a.plan.behind = a.plan.behind || b.W != nil && !a.final
	if check && a.n.OnClose && a.n.Lateness > a.n.Hold {
		return a.pushInSteps(b, times)
	}
	return a.assign(b, times, 0, b.N, check)
}

// pushInSteps closes windows at the very row where the watermark passes their
// end, so that what is sent at the close and what refines it does not depend on the batches.
func (a *windowAggregate) pushInSteps(b *vec.Batch, times []vec.Time) error {
	from, next := 0, a.nextClose()
	for i := range b.N {
		if b.W[i] >= next {
			if err := a.assign(b, times, from, i, true); err != nil {
				return err
			}
			if err := a.closeUpTo(b.W[i]); err != nil {
				return err
			}
			from, next = i, a.nextClose()
		}
		for _, w := range a.windows(times[i]) {
			if at := window.CloseAt(w.End, a.n.Hold); at > b.W[i] {
				next = min(next, at)
				break
			}
		}
	}
	return a.assign(b, times, from, b.N, true)
}

// nextClose gives the watermark at which the next open window is sent.
func (a *windowAggregate) nextClose() vec.Time {
	for _, o := range a.order {
		if !o.sent {
			return window.CloseAt(o.win.End, a.n.Hold)
		}
	}
	return vec.MaxTime
}

// assign puts rows [from, to) into their windows.
func (a *windowAggregate) assign(b *vec.Batch, times []vec.Time, from, to int, check bool) error {
	if from == to {
		return nil
	}
	if a.n.Window == nil && !check && to-from == b.N && same(times) {
		a.addWhole(b, times[0])
		return nil
	}
	a.touched, a.late = a.touched[:0], a.late[:0]
	if s := a.n.Window; s != nil && s.Kind == window.Tumble && !s.Local() && !check {
		a.tumble(times[from:to], from)
	} else {
		a.each(b, times, from, to, check)
	}
	for _, o := range a.touched {
		if len(o.sel) == b.N {
			o.add(a.views, b.N, b.Ops)
		} else {
			a.addPart(o, b)
		}
		o.sel = o.sel[:0]
		a.noteChanged(o)
	}
	return a.reportLate(b)
}

func (a *windowAggregate) noteChanged(o *openWindow) {
	if o.track && !o.pending {
		o.pending = true
		a.changed = append(a.changed, o)
	}
}

// addWhole gives a batch to the one set that all of its rows belong to: a closed window's rows come like this.
func (a *windowAggregate) addWhole(b *vec.Batch, key vec.Time) {
	for _, w := range a.windows(key) {
		o := a.get(w)
		o.add(a.views, b.N, b.Ops)
		a.noteChanged(o)
	}
}

func same(times []vec.Time) bool {
	for _, t := range times {
		if t != times[0] {
			return false
		}
	}
	return true
}

// reportLate counts the rows of b that came too late for every window and hands them on.
func (a *windowAggregate) reportLate(b *vec.Batch) error {
	for _, r := range a.late {
		if a.n.Window == nil && b.From != nil && a.elsewhere(b, int(r)) {
			continue
		}
		if err := reportLate(a.ctx, b, int(r), a.lateEnd(b, int(r))); err != nil {
			return err
		}
	}
	return nil
}

// elsewhere reports whether a row was put into several windows below, one of which still takes it: such a row is not
// late. The rows that a window function makes of one row stand together.
func (a *windowAggregate) elsewhere(b *vec.Batch, row int) bool {
	open := func(i int) bool {
		t := timeOf(&a.views[a.timeCol()], i)
		return !window.Late(a.windows(t)[0].End, b.W[i], a.keep)
	}
	for i := row - 1; i >= 0 && sameOrigin(b, i, row); i-- {
		if open(i) {
			return true
		}
	}
	for i := row + 1; i < b.N && sameOrigin(b, i, row); i++ {
		if open(i) {
			return true
		}
	}
	return false
}

// lateEnd gives the end of the last window of a row.
func (a *windowAggregate) lateEnd(_ *vec.Batch, row int) vec.Time {
	t := timesOf(&a.views[a.timeCol()], row+1, make([]vec.Time, row+1))
	ws := a.windows(t[row])
	return ws[len(ws)-1].End
}

// addPart gives a window its rows of the batch.
func (a *windowAggregate) addPart(o *openWindow, b *vec.Batch) {
	cols, ops := a.part.take(a.views, b.Ops, o.sel)
	o.add(cols, len(o.sel), ops)
}

// tumble is each for the plain grid where no row can be late.
func (a *windowAggregate) tumble(times []vec.Time, base int) {
	var cur *openWindow
	var w window.Window
	for i, ts := range times {
		if cur == nil || ts < w.Start || ts >= w.End {
			ws := a.n.Window.Assign(ts, a.wins[:0])
			if len(ws) == 0 {
				a.noWindow(ts)
				continue
			}
			w = ws[0]
			cur = a.get(w)
			if len(cur.sel) == 0 {
				a.touched = append(a.touched, cur)
			}
		}
		cur.sel = append(cur.sel, int32(base+i))
	}
}

// noWindow counts a row without a window, unless it lies in a gap between windows.
func (a *windowAggregate) noWindow(ts vec.Time) {
	if window.Infinite(ts) && a.ctx.Stats != nil {
		a.ctx.Stats.NullTimes++
	}
}

func (a *windowAggregate) each(b *vec.Batch, times []vec.Time, from, to int, check bool) {
	for i := from; i < to; i++ {
		ws := a.windows(times[i])
		if len(ws) == 0 {
			a.noWindow(times[i])
			continue
		}
		if check && window.Late(ws[len(ws)-1].End, b.W[i], a.keep) {
			a.late = append(a.late, int32(i))
			continue
		}
		for _, w := range ws {
			if check && window.Late(w.End, b.W[i], a.keep) {
				continue
			}
			o := a.get(w)
			if len(o.sel) == 0 {
				a.touched = append(a.touched, o)
			}
			o.sel = append(o.sel, int32(i))
		}
	}
}

// closeUpTo sends the windows that the watermark w closes, in the order of their
// ends, and frees those that take no more rows.
func (a *windowAggregate) closeUpTo(w vec.Time) error {
	a.w = max(a.w, w)
	kept := 0
	i := 0
	for ; i < len(a.order); i++ {
		o := a.order[i]
		if window.CloseAt(o.win.End, a.n.Hold) > w {
			break
		}
		if a.n.OnClose && !o.sent {
			if err := o.emitAll(true); err != nil {
				return err
			}
			o.sent, o.track = true, a.keep > a.n.Hold
		}
		if window.CloseAt(o.win.End, a.keep) > w {
			a.order[kept] = o
			kept++
			continue
		}
		if err := a.flush(o); err != nil {
			return err
		}
		delete(a.open, o.win)
		a.plan.drop(o.groupSet)
	}
	if i > kept {
		a.order = slices.Delete(a.order, kept, i)
		a.last = nil
		a.changed = slices.DeleteFunc(a.changed, func(o *openWindow) bool { return !o.pending })
	}
	return nil
}

func (a *windowAggregate) flush(o *openWindow) error {
	o.pending = false
	return o.groupSet.flush()
}

// flushAll sends the net changes since the last time, by window, and frees what has closed.
func (a *windowAggregate) flushAll() error {
	slices.SortFunc(a.changed, func(x, y *openWindow) int { return compareWindows(x.win, y.win) })
	for _, o := range a.changed {
		if err := a.flush(o); err != nil {
			return err
		}
	}
	a.changed = a.changed[:0]
	if !a.held {
		return nil
	}
	a.held = false
	if a.final && !a.n.OnClose {
		if err := a.closeUpTo(a.mark.W); err != nil {
			return err
		}
	}
	return a.pass()
}

// pass hands the mark on: no window that ends before it will change.
func (a *windowAggregate) pass() error {
	a.plan.w = window.Hold(a.mark.W, a.keep)
	return a.out.Watermark(Mark{W: a.plan.w, Idle: a.mark.Idle})
}

func (a *windowAggregate) Advance(_ int, m Mark) error {
	if !a.ctx.Continuous {
		if m.W != vec.MaxTime || a.done {
			return nil
		}
		a.done = true
		for _, o := range a.order {
			if err := o.emitAll(false); err != nil {
				return err
			}
		}
		return a.out.Watermark(m)
	}
	a.mark, a.held = m, true
	if a.n.OnClose {
		if err := a.closeUpTo(m.W); err != nil {
			return err
		}
	}
	// The mark waits for the changes that came before it, so that they stay one net change.
	if len(a.changed) == 0 || m.W == vec.MaxTime {
		return a.flushAll()
	}
	return nil
}

func (a *windowAggregate) Tick(Tick) error {
	if !a.ctx.Continuous {
		return nil
	}
	return a.flushAll()
}

func (a *windowAggregate) Snapshot(w *state.Writer) error {
	w.Int64(a.w)
	w.Uint64(uint64(len(a.order)))
	for _, o := range a.order {
		w.Int64(o.win.Start)
		w.Int64(o.win.End)
		w.Bool(o.sent)
		o.snapshot(w)
	}
	return nil
}

func (a *windowAggregate) Restore(r *state.Reader) error {
	a.w = r.Int64()
	for n := r.Uint64(); n > 0 && r.Err() == nil; n-- {
		w := window.Window{Start: r.Int64(), End: r.Int64()}
		o := a.get(w)
		o.sent = r.Bool()
		if err := o.restore(r); err != nil {
			return err
		}
	}
	return r.Err()
}

func (a *windowAggregate) Close() error {
	releaseViews(a.views)
	if a.plan == nil {
		return nil
	}
	for _, o := range a.order {
		o.close()
	}
	a.part.release()
	a.plan.release()
	return nil
}
