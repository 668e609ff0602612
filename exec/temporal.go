package exec

import (
	"streamsql/internal/fn"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
	"streamsql/state"
)

// temporal passes rows by a condition on a bound that moves with processing time. It keeps the rows that still have a
// moment before them: those that will be taken back (Key > Bound) or those that have yet to appear (Key < Bound). A row
// whose moment has passed is not kept.
//
// The bound is that of the last tick, and it never goes back: which rows have passed therefore follows from their
// keys alone, and deletes of those that have left are no news.
type temporal struct {
	n    *planner.Temporal
	ctx  *Context
	out  Output
	fc   fn.Ctx   // with the time of the tick
	now  vec.Time // of the last tick
	at   int64    // the bound
	set  bool     // there is a bound: it is not NULL
	held []*vec.Batch
	end  bool // the input has ended

	store *rowStore
	index rowIndex
	due   momentHeap

	// alarm is when the first row of the heap is due; alarmKey is its key.
	alarm    vec.Time
	alarmKey int64
	hasAlarm bool

	views  []vec.Vec
	hashes []uint64
	sel    []int32
	ops    []vec.Op
	refs   []rowRef
}

// momentRow is a kept row. Its count may be 0: then it has been deleted meanwhile.
type momentRow struct {
	key int64
	ref rowRef
}

// momentHeap has the row of the smallest key first.
type momentHeap []momentRow

func (h *momentHeap) push(x momentRow) {
	*h = append(*h, x)
	a := *h
	for i := len(a) - 1; i > 0; {
		up := (i - 1) / 2
		if a[up].key <= a[i].key {
			return
		}
		a[up], a[i] = a[i], a[up]
		i = up
	}
}

func (h *momentHeap) pop() momentRow {
	a := *h
	first := a[0]
	a[0] = a[len(a)-1]
	*h = a[:len(a)-1]
	h.down(0)
	return first
}

func (h momentHeap) down(i int) {
	for {
		c := 2*i + 1
		if c >= len(h) {
			return
		}
		if c+1 < len(h) && h[c+1].key < h[c].key {
			c++
		}
		if h[i].key <= h[c].key {
			return
		}
		h[i], h[c] = h[c], h[i]
		i = c
	}
}

// order makes a heap of rows in any order.
func (h momentHeap) order() {
	for i := len(h)/2 - 1; i >= 0; i-- {
		h.down(i)
	}
}

func newTemporal(n *planner.Temporal) (Operator, error) { return &temporal{n: n}, nil }

// Open implements Operator.
func (t *temporal) Open(ctx *Context, out Output) error {
	t.ctx, t.out, t.fc = ctx, out, *ctx.Fn
	t.store = t.newStore()
	if ctx.Continuous {
		return nil
	}
	return t.move(ctx.Fn.Now)
}

func (t *temporal) newStore() *rowStore {
	s := newRowStore(t.ctx.Alloc, schemaKinds(t.n.Schema()))
	s.keepCounts = true
	return s
}

// boundAt gives the bound at a time; ok is false where it is NULL.
func (t *temporal) boundAt(now vec.Time) (at int64, ok bool, err error) {
	t.fc.Now, t.fc.StmtNow = now, now
	d, err := EvalConst(&t.fc, t.n.Bound)
	if err != nil || d == nil {
		return 0, false, err
	}
	if x, date := d.(int32); date {
		return int64(x), true, nil
	}
	return d.(int64), true, nil
}

// move sets the bound to that of a later time.
func (t *temporal) move(now vec.Time) error {
	at, ok, err := t.boundAt(now)
	if err != nil || !ok {
		return err
	}
	t.now = now
	if !t.set || at > t.at {
		t.at, t.set = at, true
	}
	return nil
}

// reached reports whether the moment of a key has come at a bound: a row leaves, or it appears.
func (t *temporal) reached(key, at int64) bool {
	switch t.n.Op {
	case ">", "<=":
		return at >= key
	}
	return at > key // >= and <
}

// Push implements Operator.
func (t *temporal) Push(_ int, b *vec.Batch) error {
	if t.ctx.Continuous {
		b.Retain()
		t.held = append(t.held, b)
		return nil
	}
	return t.pass(b)
}

// pass sends the rows of a batch that are to be seen now and keeps those that have a moment before them.
func (t *temporal) pass(b *vec.Batch) error {
	t.views = b.Views(t.views)
	key := &t.views[t.n.Key]
	leaves, keep := t.n.Leaves(), t.ctx.Continuous
	hashed := false
	t.sel, t.ops = t.sel[:0], t.ops[:0]
	for i := range b.N {
		if !t.set || key.IsNull(i) {
			continue
		}
		k := keyAt(key, i)
		past := t.reached(k, t.at)
		if past {
			if !leaves {
				t.sel, t.ops = append(t.sel, int32(i)), append(t.ops, b.Op(i))
			}
			continue
		}
		known := true
		if keep {
			if !hashed {
				hashed = true
				if cap(t.hashes) < b.N {
					t.hashes = make([]uint64, b.N)
				}
				t.hashes = t.hashes[:b.N]
				hashRows(t.views, b.N, t.hashes)
			}
			known = t.keep(b.Op(i), i, k)
		}
		if leaves && known {
			t.sel, t.ops = append(t.sel, int32(i)), append(t.ops, b.Op(i))
		}
	}
	if len(t.sel) == 0 {
		return nil
	}
	if len(t.sel) == b.N {
		return t.out.Emit(b)
	}
	nb := vec.NewBuilder(t.ctx.Alloc, t.n.Schema())
	for c := range nb.Cols {
		nb.Cols[c].Gather(&t.views[c], t.sel)
	}
	if len(nb.Cols) == 0 {
		nb.Ops = append(nb.Ops, t.ops...)
	}
	out := nb.Finish()
	nb.Release()
	if b.Ops != nil {
		out.Ops = t.ops
		t.ops = nil // the batch has them
	}
	err := t.out.Emit(out)
	out.Release()
	return err
}

func keyAt(v *vec.Vec, i int) int64 {
	if v.Kind == types.KindInt32 {
		return int64(v.I32[i])
	}
	return v.I64[i]
}

// keep notes row i of the views or takes it away; it reports whether a deleted row was there.
func (t *temporal) keep(op vec.Op, i int, key int64) bool {
	h := t.hashes[i]
	r := t.index.find(t.store, t.views, i, h)
	if op == vec.Insert {
		if r != noRow {
			t.store.counts[r>>blockBits][r&blockMask]++
			return true
		}
		r = t.store.add(t.views, i)
		t.index.add(r, h)
		t.due.push(momentRow{key, r})
		return true
	}
	if r == noRow {
		t.ctx.late()
		return false
	}
	c := &t.store.counts[r>>blockBits][r&blockMask]
	if *c--; *c == 0 {
		t.store.kill(r)
		t.index.remove(r, h)
	}
	return true
}

// Advance implements Operator. Rows come and go behind the watermark, so that only the end is passed on.
func (t *temporal) Advance(_ int, m Mark) error {
	if m.W != vec.MaxTime {
		return nil
	}
	if t.ctx.Continuous {
		t.end = true
		return nil
	}
	return t.out.Watermark(m)
}

// Tick implements Operator.
func (t *temporal) Tick(k Tick) error {
	if !t.ctx.Continuous {
		return nil
	}
	if err := t.move(k.Now); err != nil {
		return err
	}
	if err := t.release(); err != nil {
		return err
	}
	for _, b := range t.held {
		if err := t.pass(b); err != nil {
			return err
		}
	}
	t.drop()
	if t.store.dead > 1024 && t.store.dead > t.store.live {
		if err := t.compact(); err != nil {
			return err
		}
	}
	if t.end {
		t.end = false
		return t.out.Watermark(Mark{W: vec.MaxTime})
	}
	return nil
}

// release sends the kept rows whose moment has come: they leave or they appear.
func (t *temporal) release() error {
	op := vec.Insert
	if t.n.Leaves() {
		op = vec.Delete
	}
	refs, ops := t.refs[:0], []vec.Op(nil)
	for len(t.due) > 0 && t.set && t.reached(t.due[0].key, t.at) {
		r := t.due.pop().ref
		n := t.store.count(r)
		if n == 0 {
			continue
		}
		for range n {
			refs, ops = append(refs, r), append(ops, op)
		}
		cols, row := t.store.at(r)
		t.index.remove(r, hashOne(cols, row))
		t.store.counts[r>>blockBits][r&blockMask] = 0
		t.store.kill(r)
	}
	t.refs = refs
	return t.store.emitRows(t.out, t.n.Schema(), refs, ops)
}

// hashOne is hashRows for one row.
func hashOne(cols []vec.Vec, i int) uint64 {
	h := hashSeed
	for c := range cols {
		if cols[c].IsNull(i) {
			h = mix(h, 0xdead)
		} else {
			h = hashValue(&cols[c], i, h)
		}
	}
	return h
}

// live gives the kept rows, in no order, and their counts.
func (t *temporal) live() (refs []rowRef, counts []int32) {
	for _, d := range t.due {
		if n := t.store.count(d.ref); n > 0 {
			refs, counts = append(refs, d.ref), append(counts, n)
		}
	}
	return refs, counts
}

// compact gives back the room of rows that are gone.
func (t *temporal) compact() error {
	refs, counts := t.live()
	old := t.store
	t.store = t.newStore()
	t.index.reset()
	t.due = t.due[:0]
	var views []vec.Vec
	for len(refs) > 0 {
		n := min(len(refs), vec.MaxRows)
		b := old.takeRows(t.n.Schema(), refs[:n], nil)
		views = b.Views(views)
		t.load(views, n, counts[:n])
		b.Release()
		refs, counts = refs[n:], counts[n:]
	}
	old.reset()
	return nil
}

// load takes rows with their counts in.
func (t *temporal) load(cols []vec.Vec, n int, counts []int32) {
	for i := range n {
		r := t.store.add(cols, i)
		t.store.counts[r>>blockBits][r&blockMask] = counts[i]
		t.index.add(r, hashOne(cols, i))
		t.due = append(t.due, momentRow{keyAt(&cols[t.n.Key], i), r})
	}
	t.due.order()
}

// next implements timer: the first time at which the bound reaches the first kept row.
func (t *temporal) next() vec.Time {
	for len(t.due) > 0 && t.store.count(t.due[0].ref) == 0 {
		t.due.pop()
	}
	if len(t.due) == 0 || !t.set {
		return vec.MaxTime
	}
	key := t.due[0].key
	if t.hasAlarm && t.alarmKey == key && t.alarm > t.now {
		return t.alarm
	}
	t.alarmKey, t.hasAlarm = key, true
	t.alarm = t.find(key)
	return t.alarm
}

// find searches the time: the bound is now() and an interval, whose months and days differ in length.
func (t *temporal) find(key int64) vec.Time {
	reached := func(now vec.Time) bool {
		at, ok, err := t.boundAt(now)
		return err != nil || ok && t.reached(key, at)
	}
	lo, step := t.now, vec.Time(1)
	if d := key - t.at; d > 0 && t.n.Input.Schema().Fields[t.n.Key].Type.Kind() == types.KindInt64 && d < 1<<60 {
		step = d // right where the interval is of hours and less
		if !reached(lo + step - 1) {
			if reached(lo + step) {
				return lo + step
			}
			lo, step = lo+step, 1
		}
	}
	hi := lo + step
	for !reached(hi) {
		if lo, step = hi, step*4; step > 1<<60 || hi > vec.MaxTime-step {
			return vec.MaxTime // infinity, or beyond all times
		}
		hi = lo + step
	}
	for hi-lo > 1 {
		if mid := lo + (hi-lo)/2; reached(mid) {
			hi = mid
		} else {
			lo = mid
		}
	}
	return hi
}

// Snapshot implements Operator.
func (t *temporal) Snapshot(w *state.Writer) error {
	w.Bool(t.set)
	w.Int64(t.at)
	w.Int64(t.now)
	refs, counts := t.live()
	writeStore(w, t.store, refs)
	for _, c := range counts {
		w.Uint64(uint64(c))
	}
	return nil
}

// Restore implements Operator.
func (t *temporal) Restore(r *state.Reader) error {
	t.set = r.Bool()
	t.at = r.Int64()
	t.now = r.Int64()
	refs, err := readStore(r, t.store)
	if err != nil {
		return err
	}
	for _, ref := range refs {
		t.store.counts[ref>>blockBits][ref&blockMask] = int32(r.Uint64())
		cols, row := t.store.at(ref)
		t.index.add(ref, hashOne(cols, row))
		t.due = append(t.due, momentRow{keyAt(&cols[t.n.Key], row), ref})
	}
	t.due.order()
	return r.Err()
}

func (t *temporal) drop() {
	for _, b := range t.held {
		b.Release()
	}
	clear(t.held)
	t.held = t.held[:0]
}

func (t *temporal) stateRows() int64 { return int64(t.store.live) }

// Close implements Operator.
func (t *temporal) Close() error {
	t.drop()
	if t.store != nil {
		t.store.reset()
	}
	return nil
}
