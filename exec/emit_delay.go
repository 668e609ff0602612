package exec

import (
	"slices"

	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/parser/ast"
	"streamsql/sql/planner"
	"streamsql/state"
)

// delayTiming is AFTER DELAY: the first change of a key arms a timer, which sends the net change of
// that key. With AFTER WATERMARK the close of the key's window sends it at once and takes the timer away;
// later changes arm it again.
type delayTiming struct {
	delay  vec.Time
	closes bool // AND AFTER WATERMARK
	w      vec.Time
	soon   vec.Time // no waiting key closes before it

	keys  groupTable
	at    []int32 // by key id: its slot, -1 none
	slots []delaySlot
	first int     // no slot before it waits
	slot  []int32 // of each row of pend
	link  []int32 // the next row of the same slot, -1 none
	dead  int     // rows of pend that have been sent

	ids   []uint32
	cols  []vec.Vec
	times []vec.Time
	saved []delaySlot // restored: of each row of pend
}

// delaySlot is a key that waits. Slots are in the order in which they are due.
type delaySlot struct {
	due, close vec.Time // close is the W at which its window has closed
	head, tail int32    // its rows; head < 0: sent
	key        uint32
}

func newDelayTiming(s *planner.EmitSpec) *delayTiming {
	return &delayTiming{delay: s.Delay, closes: s.Trigger == ast.EmitAfterDelayAndClose, w: vec.MinTime, soon: vec.MaxTime}
}

// waits gives the columns of what waits for a timer: those that are sent, and the hidden ones of the timer's key.
func (e *emit) waits() *vec.Schema {
	n := e.in.Len()
	for _, c := range e.spec.TimerKey {
		n = max(n, c+1)
	}
	return &vec.Schema{Fields: e.n.Input.Schema().Fields[:n]}
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

// arm gives the rows of pend from at on to the slot of their key; where it has none, set makes it.
func (d *delayTiming) arm(e *emit, at int, set func(row int) delaySlot) {
	n := e.pend.len() - at
	if n == 0 {
		return
	}
	key := e.spec.TimerKey
	if key == nil {
		key = e.key()
	}
	if d.keys == nil {
		ts := make([]types.T, len(key))
		for i, c := range key {
			ts[i] = e.pend.in.Fields[c].Type
		}
		d.keys = newGroups(e.ctx.Alloc, ts)
		d.cols = make([]vec.Vec, len(key))
		for i := range d.cols {
			d.cols[i].SetAllocator(e.ctx.Alloc)
		}
	}
	for i, c := range key {
		d.cols[i].Reset(e.pend.in.Fields[c].Type.Kind(), 0)
		d.cols[i].AppendRange(&e.pend.cols[c], at, e.pend.len())
	}
	d.ids = slices.Grow(d.ids[:0], n)[:n]
	d.keys.Intern(d.cols, d.ids)
	for i, id := range d.ids {
		for int(id) >= len(d.at) {
			d.at = append(d.at, -1)
		}
		row := int32(at + i)
		x := set(int(row))
		s := d.at[id]
		if s < 0 {
			s = int32(len(d.slots))
			d.at[id] = s
			d.slots = append(d.slots, delaySlot{due: x.due, close: vec.MinTime, head: row, tail: row, key: id})
		} else {
			d.link[d.slots[s].tail] = row
			d.slots[s].tail = row
		}
		if o := &d.slots[s]; x.close > o.close {
			o.close = x.close
			if x.close > d.w {
				d.soon = min(d.soon, x.close)
			}
		}
		d.slot, d.link = append(d.slot, s), append(d.link, -1)
	}
}

func (d *delayTiming) added(e *emit, at int, t Tick) {
	if d.closes {
		d.times = d.times[:0]
		for _, b := range e.held {
			d.closeTimes(b, e.spec)
		}
	}
	d.arm(e, at, func(row int) delaySlot {
		x := delaySlot{due: t.Now + d.delay, close: vec.MinTime}
		if d.closes {
			x.close = d.times[row-at]
		}
		return x
	})
}

// closeTimes appends the W at which the windows of the rows of b have closed.
func (d *delayTiming) closeTimes(b *vec.Batch, s *planner.EmitSpec) {
	var v vec.Vec
	v.View(b.Cols[s.CloseCol])
	for i, t := range micros(&v) {
		switch {
		case v.IsNull(i):
			t = vec.MaxTime
		case !s.CloseEnd && t < vec.MaxTime:
			t++
		}
		d.times = append(d.times, t)
	}
}

// rearm finds the keys again after Restore.
func (d *delayTiming) rearm(e *emit) error {
	if len(d.saved) != e.pend.len() {
		return errForeignState()
	}
	saved := d.saved
	d.saved = nil
	d.arm(e, 0, func(row int) delaySlot { return saved[row] })
	return nil
}

func (d *delayTiming) before(e *emit, t Tick) error {
	for len(d.slots) > 0 {
		due := d.next()
		if due >= t.Now {
			return nil
		}
		if err := d.fire(e, e.stamp(due), d.upTo(due)); err != nil {
			return err
		}
	}
	return nil
}

func (d *delayTiming) after(e *emit, t Tick) error {
	until := t.Now
	if e.ended {
		until = vec.MaxTime
	}
	chosen := d.upTo(until)
	if d.closes {
		w := e.w
		if w != vec.MinTime && w < vec.MaxTime-e.spec.CloseLead {
			w += e.spec.CloseLead
		}
		if w >= d.soon {
			chosen = d.closing(chosen, w)
		}
		d.w = max(d.w, w)
	}
	return d.fire(e, e.stamp(t.Now), chosen)
}

// upTo gives the slots that are due by some time.
func (d *delayTiming) upTo(due vec.Time) []int32 {
	var out []int32
	for i := d.first; i < len(d.slots) && d.slots[i].due <= due; i++ {
		if d.slots[i].head >= 0 {
			out = append(out, int32(i))
		}
	}
	return out
}

// closing adds to chosen, which are the first slots that wait, those that the mark w closes.
func (d *delayTiming) closing(chosen []int32, w vec.Time) []int32 {
	from := d.first
	if len(chosen) > 0 {
		from = int(chosen[len(chosen)-1]) + 1
	}
	d.soon = vec.MaxTime
	for i := from; i < len(d.slots); i++ {
		switch s := &d.slots[i]; {
		case s.head < 0:
		case s.close > w:
			d.soon = min(d.soon, s.close)
		case s.close > d.w:
			chosen = append(chosen, int32(i))
		}
	}
	return chosen
}

// fire sends the net change of the chosen slots.
func (d *delayTiming) fire(e *emit, ts vec.Time, chosen []int32) error {
	if len(chosen) == 0 {
		return nil
	}
	var sel []int32
	keys := make([]uint32, len(chosen))
	for i, c := range chosen {
		s := &d.slots[c]
		keys[i] = s.key
		d.at[s.key] = -1
		for r := s.head; r >= 0; r = d.link[r] {
			sel = append(sel, r)
		}
		s.head = -1
	}
	slices.Sort(sel) // in the order in which they came
	var fired changes
	fired.init(e.ctx.Alloc, e.in)
	fired.take(&e.pend, sel)
	d.dead += len(sel)
	for d.first < len(d.slots) && d.slots[d.first].head < 0 {
		d.first++
	}
	d.keys.Remove(keys)
	if d.dead == e.pend.len() || d.dead > e.pend.len()/2+vec.MaxRows {
		d.compact(e)
	}
	err := e.sendNet(&fired, ts)
	fired.close()
	return err
}

// compact drops the rows that have been sent.
func (d *delayTiming) compact(e *emit) {
	if d.dead == 0 {
		return
	}
	var kept changes
	kept.init(e.ctx.Alloc, e.pend.in)
	var sel []int32
	var slots []delaySlot
	for r := range e.pend.len() {
		if s := d.slots[d.slot[r]]; s.head >= 0 {
			sel, slots = append(sel, int32(r)), append(slots, s)
		}
	}
	kept.take(&e.pend, sel)
	e.pend.close()
	e.pend = kept
	d.keys.Reset()
	d.at, d.slots, d.slot, d.link, d.dead, d.first = d.at[:0], d.slots[:0], d.slot[:0], d.link[:0], 0, 0
	d.arm(e, 0, func(row int) delaySlot { return slots[row] })
}

func (d *delayTiming) next() vec.Time {
	if d.first < len(d.slots) {
		return d.slots[d.first].due
	}
	return vec.MaxTime
}

func (d *delayTiming) snapshot(e *emit, w *state.Writer) {
	d.compact(e)
	w.Int64(d.w)
	w.Uint64(uint64(len(d.slot)))
	for _, s := range d.slot {
		w.Int64(d.slots[s].due)
		w.Int64(d.slots[s].close)
	}
}

func (d *delayTiming) restore(r *state.Reader) {
	d.w = r.Int64()
	n := r.Uint64()
	for range min(n, uint64(r.Len())) {
		d.saved = append(d.saved, delaySlot{due: r.Int64(), close: r.Int64()})
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
