package exec

import (
	"streamsql/internal/vec"
	"streamsql/state"
)

// ceilTo gives the first multiple of every that is not before t.
func ceilTo(t, every vec.Time) vec.Time {
	q := t / every
	if q*every < t {
		q++
	}
	return q * every
}

// batchTiming is ON UPDATE WITH BATCH: changes are sent at multiples of an interval of wall time.
type batchTiming struct {
	every vec.Time
	due   vec.Time
	armed bool
}

func (b *batchTiming) before(e *emit, t Tick) error {
	if b.armed && b.due < t.Now {
		return b.fire(e, b.due)
	}
	return nil
}

func (b *batchTiming) fire(e *emit, at vec.Time) error {
	b.armed = false
	defer e.pend.clear()
	return e.sendNet(&e.pend, e.stamp(at))
}

func (b *batchTiming) added(e *emit, at int, t Tick) {
	if e.pend.len() > at && !b.armed {
		b.armed, b.due = true, ceilTo(t.Now, b.every)
	}
	e.net.shrink(&e.pend)
}

func (b *batchTiming) after(e *emit, t Tick) error {
	if b.armed && (b.due <= t.Now || e.ended) {
		return b.fire(e, t.Now)
	}
	return nil
}

func (b *batchTiming) next() vec.Time {
	if b.armed {
		return b.due
	}
	return vec.MaxTime
}

func (b *batchTiming) snapshot(_ *emit, w *state.Writer) {
	w.Bool(b.armed)
	w.Int64(b.due)
}

func (b *batchTiming) restore(r *state.Reader) { b.armed, b.due = r.Bool(), r.Int64() }

func (b *batchTiming) close() {}

// periodTiming is PERIODIC: the whole result at multiples of an interval of wall time, if it has changed or always.
type periodTiming struct {
	every   vec.Time
	repeat  bool
	due     vec.Time
	content changes // the result when it was last netted, inserts only
}

func (p *periodTiming) arm(now vec.Time) {
	if p.due == vec.MinTime {
		p.due = ceilTo(now+1, p.every)
	}
}

// absorb makes the rows of the tick part of the content without sending them.
func (p *periodTiming) absorb(e *emit, t Tick) error {
	p.arm(t.Now)
	for _, b := range e.held {
		p.content.add(b)
	}
	e.net.compact(&p.content)
	return nil
}

func (p *periodTiming) before(e *emit, t Tick) error {
	if p.due == vec.MinTime || p.due >= t.Now {
		return nil
	}
	err := p.fire(e, p.due)
	p.due = ceilTo(t.Now, p.every)
	return err
}

func (p *periodTiming) added(e *emit, _ int, t Tick) {
	p.arm(t.Now)
	e.net.shrink(&e.pend)
}

func (p *periodTiming) after(e *emit, t Tick) error {
	if p.due > t.Now {
		if e.ended && e.pend.len() > 0 {
			return p.fire(e, t.Now)
		}
		return nil
	}
	p.due += p.every
	return p.fire(e, t.Now)
}

func (p *periodTiming) fire(e *emit, at vec.Time) error {
	e.net.compact(&e.pend)
	if e.pend.len() == 0 && !p.repeat {
		return nil
	}
	for c := range p.content.cols {
		p.content.cols[c].AppendRange(&e.pend.cols[c], 0, e.pend.len())
	}
	p.content.ops = append(p.content.ops, e.pend.ops...)
	e.pend.clear()
	e.net.compact(&p.content)
	e.ts, e.some = e.stamp(at), true
	if p.content.len() == 0 { // nothing to send, but progress tells that it is so
		return nil
	}
	e.net.run(&p.content)
	return e.render(&p.content, e.ts)
}

func (p *periodTiming) next() vec.Time {
	if p.due == vec.MinTime {
		return vec.MaxTime
	}
	return p.due
}

func (p *periodTiming) snapshot(_ *emit, w *state.Writer) {
	w.Int64(p.due)
	p.content.snapshot(w)
}

func (p *periodTiming) restore(r *state.Reader) {
	p.due = r.Int64()
	p.content.restore(r)
}

func (p *periodTiming) close() { p.content.close() }
