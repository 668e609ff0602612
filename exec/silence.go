package exec

import (
	"streamsql/internal/vec"
	"streamsql/sql/planner"
	"streamsql/state"
	"streamsql/window"
)

// silence is EMIT .. TIMEOUT: when no input has given a row for so long, the watermark moves on
// to where every open window has closed. It is of the whole graph, as one silent input is no reason to close.
type silence struct {
	timeout vec.Time // 0: none
	pushed  bool     // rows came since the last tick
	last    vec.Time // processing time of the tick after the last rows
	armed   bool     // windows may be open
}

// opener is an operator with windows that close.
type opener interface {
	// lastClose gives the mark at which all windows that are open now have closed, and the operator's mark; open is false
	// if there is none.
	lastClose() (need, w vec.Time, open bool)
}

// timedOut gives the TIMEOUT of a plan.
func timedOut(root planner.Node) vec.Time {
	if e, ok := root.(*planner.Emit); ok {
		return e.Spec.Timeout
	}
	return 0
}

// next implements timer.
func (s *silence) next() vec.Time {
	if !s.armed {
		return vec.MaxTime
	}
	return s.last + s.timeout
}

// tick notes a tick and reports whether the silence has lasted too long.
func (s *silence) tick(now vec.Time) bool {
	if s.pushed {
		s.pushed, s.armed, s.last = false, true, now
		return false
	}
	if !s.armed || now < s.last+s.timeout {
		return false
	}
	s.armed = false
	return true
}

func (s *silence) snapshot(w *state.Writer) {
	w.Int64(s.last)
	w.Bool(s.armed)
}

func (s *silence) restore(r *state.Reader) { s.last, s.armed = r.Int64(), r.Bool() }

// closeOpen moves watermarks until no window is open. What closes may open windows further on, and what holds a
// mark back needs it moved further: hence the rounds.
func (g *Graph) closeOpen(t Tick) error {
	moved := map[opener]vec.Time{}
	for range 2 * len(g.stages) {
		some := false
		for _, s := range g.stages {
			o, ok := s.op.(opener)
			if !ok {
				continue
			}
			need, w, open := o.lastClose()
			if !open || w >= need || need == vec.MaxTime {
				continue
			}
			to := need
			if before, ok := moved[o]; ok {
				if w == vec.MinTime { // no mark comes through: another input holds it
					continue
				}
				to = window.CloseAt(before, need-w)
			}
			moved[o], some = to, true
			for _, x := range g.streamsBelow(s.node) {
				if err := x.raise(to); err != nil {
					return err
				}
			}
		}
		if !some {
			return nil
		}
		for _, s := range g.stages {
			if _, root := s.node.(*planner.Emit); root {
				continue
			}
			if err := s.op.Tick(t); err != nil {
				return err
			}
		}
	}
	return nil
}

// streamsBelow gives the operators that keep the watermarks of what n reads.
func (g *Graph) streamsBelow(n planner.Node) []*watermark {
	below := map[planner.Node]bool{}
	var walk func(planner.Node)
	walk = func(n planner.Node) {
		if !below[n] {
			below[n] = true
			for _, in := range n.Inputs() {
				walk(in)
			}
		}
	}
	walk(n)
	var out []*watermark
	for _, s := range g.stages {
		if o, ok := s.op.(*watermark); ok && below[s.node] {
			out = append(out, o)
		}
	}
	return out
}

// raise moves the stream's watermark to w although no row has said so. A mark holds an idle stream's consumers only
// when it comes from an active one, so an idle stream is active for this moment.
func (o *watermark) raise(w vec.Time) error {
	if o.mark.W >= w {
		return nil
	}
	idle := o.mark.Idle
	o.mark = Mark{W: w}
	if err := o.pass(); err != nil {
		return err
	}
	o.mark.Idle = idle
	return o.pass()
}

func (a *windowAggregate) lastClose() (need, w vec.Time, open bool) {
	if n := len(a.order); a.final && n > 0 && !a.order[n-1].sent {
		return window.CloseAt(a.order[n-1].win.End, a.n.Hold), a.w, true
	}
	return 0, 0, false
}

func (a *paneAggregate) lastClose() (need, w vec.Time, open bool) {
	if n := len(a.panes); n > 0 {
		_, end := a.ends(a.panes[n-1].start)
		return window.CloseAt(end, a.hold), a.w, true
	}
	return 0, 0, false
}

func (s *slicedAggregate) lastClose() (need, w vec.Time, open bool) {
	if o, ok := s.Operator.(opener); ok {
		return o.lastClose()
	}
	return 0, 0, false
}

func (a *sessionAggregate) lastClose() (need, w vec.Time, open bool) {
	if !a.final {
		return 0, 0, false
	}
	last := vec.MinTime
	for pid := range a.parts {
		p := &a.parts[pid]
		if i := len(p.runs) - 1; i >= 0 && !p.runs[i].Closed {
			last = max(last, a.endOf(p, i))
			open = true
		}
	}
	return window.CloseAt(last, a.n.Hold), a.w, open
}

func (t *topNOp) lastClose() (need, w vec.Time, open bool) {
	if !t.onClose {
		return 0, 0, false
	}
	need, open = t.queue.last()
	return need, t.mark.W, open
}

// last gives the watermark at which every partition that ever closes has.
func (q *closeQueue) last() (w vec.Time, some bool) {
	for _, end := range q.ends {
		if end != vec.MaxTime && (!some || end > w) {
			w, some = end, true
		}
	}
	return window.CloseAt(w, q.hold), some
}

// lastClose is of the rows that wait for the time from which they have no match.
func (j *joinOp) lastClose() (need, w vec.Time, open bool) {
	if !j.ctx.Continuous || !j.timed || !j.deferPad {
		return 0, 0, false
	}
	for i, s := range j.sides {
		if !s.pad || j.sides[1-i].ended {
			continue
		}
		w = j.effective(1 - i)
		for at, blk := range s.store.blocks {
			if blk == nil || blk.pending == vec.MaxTime {
				continue
			}
			for row := range blk.n {
				r := rowRef(at<<blockBits | row)
				if t := s.rowTime(r); s.store.count(r) > 0 && s.store.matches[at][row] == 0 && t >= blk.pending {
					if end := satAdd(satAdd(t, s.shift), 1); end != vec.MaxTime && (!open || end > need) {
						need, open = end, true
					}
				}
			}
		}
	}
	return need, w, open
}

// lastClose implements opener for all the copies, which have one mark.
func (p *parallel) lastClose() (need, w vec.Time, open bool) {
	for _, c := range p.copies {
		o, ok := c.op.(opener)
		if !ok {
			return 0, 0, false
		}
		if n, cw, some := o.lastClose(); some {
			if !open || n > need {
				need = n
			}
			w, open = cw, true
		}
	}
	return need, w, open
}

func (o *overOp) lastClose() (need, w vec.Time, open bool) {
	if !o.onClose {
		return 0, 0, false
	}
	need, open = o.queue.last()
	return need, o.mark.W, open
}

// lastClose is of the left rows that wait for right rows before their time; what waits for a row after it waits for no window.
func (a *asofJoin) lastClose() (need, w vec.Time, open bool) {
	if !a.ctx.Continuous || !a.n.OnClose || !a.back || a.sides[1].ended {
		return 0, 0, false
	}
	for _, d := range a.due {
		if end := satAdd(d.t, 1); end != vec.MaxTime && (!open || end > need) {
			need, open = end, true
		}
	}
	return need, a.effective(1), open
}
