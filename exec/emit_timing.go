package exec

import (
	"slices"

	"streamsql/internal/types"
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

func (b *batchTiming) snapshot(w *state.Writer) {
	w.Bool(b.armed)
	w.Int64(b.due)
}

func (b *batchTiming) restore(r *state.Reader) { b.armed, b.due = r.Bool(), r.Int64() }

func (b *batchTiming) close() {}

// delayTiming is AFTER DELAY: the first change of a key arms a timer, which sends the net change of that key.
type delayTiming struct {
	delay vec.Time
	due   []vec.Time // of each row of pend
	keys  Groups     // of pend
	of    []vec.Time // when the key is due, by its id
	ids   []uint32
	cols  []vec.Vec
}

// key gives the columns that identify a row: all of them where no key is known.
func (e *emit) key() []int {
	if e.spec.Key != nil {
		return e.spec.Key
	}
	all := make([]int, e.in.Len())
	for i := range all {
		all[i] = i
	}
	return all
}

// arm gives the rows of pend from at on the due time of their key, now + delay where it has none.
func (d *delayTiming) arm(e *emit, at int, due func(row int) vec.Time) {
	n := e.pend.len() - at
	if n == 0 {
		return
	}
	key := e.key()
	if d.keys == nil {
		ts := make([]types.T, len(key))
		for i, c := range key {
			ts[i] = e.in.Fields[c].Type
		}
		d.keys = NewGroups(e.ctx.Alloc, ts)
		d.cols = make([]vec.Vec, len(key))
		for i := range d.cols {
			d.cols[i].SetAllocator(e.ctx.Alloc)
		}
	}
	for i, c := range key {
		d.cols[i].Reset(e.in.Fields[c].Type.Kind(), 0)
		d.cols[i].AppendRange(&e.pend.cols[c], at, e.pend.len())
	}
	d.ids = slices.Grow(d.ids[:0], n)[:n]
	d.keys.Intern(d.cols, d.ids)
	for i, id := range d.ids {
		for int(id) >= len(d.of) {
			d.of = append(d.of, due(at+i))
		}
		d.due = append(d.due, d.of[id])
	}
}

// rearm finds the keys again after Restore.
func (d *delayTiming) rearm(e *emit) {
	due := d.due
	d.due = nil
	d.arm(e, 0, func(row int) vec.Time { return due[row] })
}

func (d *delayTiming) added(e *emit, at int, t Tick) {
	d.arm(e, at, func(int) vec.Time { return t.Now + d.delay })
}

func (d *delayTiming) before(e *emit, t Tick) error { return d.fire(e, t.Now-1) }

func (d *delayTiming) after(e *emit, t Tick) error {
	if e.ended {
		for i := range d.due {
			d.due[i] = min(d.due[i], t.Now)
		}
	}
	return d.fire(e, t.Now)
}

// fire sends what is due until some time, the earliest first.
func (d *delayTiming) fire(e *emit, until vec.Time) error {
	for {
		now := vec.MaxTime
		for _, x := range d.due {
			now = min(now, x)
		}
		if len(d.due) == 0 || now > until {
			return nil
		}
		var sel, rest []int32
		for i, x := range d.due {
			if x == now {
				sel = append(sel, int32(i))
			} else {
				rest = append(rest, int32(i))
			}
		}
		var fired, kept changes
		fired.init(e.ctx.Alloc, e.in)
		kept.init(e.ctx.Alloc, e.in)
		fired.take(&e.pend, sel)
		kept.take(&e.pend, rest)
		e.pend.close()
		e.pend = kept
		due := gatherSlice(d.due, rest)
		d.due, d.of = nil, d.of[:0]
		d.keys.Reset()
		d.arm(e, 0, func(row int) vec.Time { return due[row] })
		err := e.sendNet(&fired, e.stamp(now))
		fired.close()
		if err != nil {
			return err
		}
	}
}

func (d *delayTiming) next() vec.Time {
	next := vec.MaxTime
	for _, x := range d.due {
		next = min(next, x)
	}
	return next
}

func (d *delayTiming) snapshot(w *state.Writer) {
	w.Uint64(uint64(len(d.due)))
	for _, x := range d.due {
		w.Int64(x)
	}
}

func (d *delayTiming) restore(r *state.Reader) {
	n := r.Uint64()
	for range min(n, uint64(r.Len())) {
		d.due = append(d.due, r.Int64())
	}
}

func (d *delayTiming) close() {
	if d.keys != nil {
		d.keys.Close()
	}
	for i := range d.cols {
		d.cols[i].Release()
	}
}

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
	if p.content.len() == 0 {
		return nil
	}
	e.ts = e.stamp(at)
	e.net.run(&p.content)
	return e.render(&p.content, e.ts)
}

func (p *periodTiming) next() vec.Time {
	if p.due == vec.MinTime {
		return vec.MaxTime
	}
	return p.due
}

func (p *periodTiming) snapshot(w *state.Writer) {
	w.Int64(p.due)
	p.content.snapshot(w)
}

func (p *periodTiming) restore(r *state.Reader) {
	p.due = r.Int64()
	p.content.restore(r)
}

func (p *periodTiming) close() { p.content.close() }
