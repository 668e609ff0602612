package exec

import (
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
	"streamsql/state"
)

// overOp computes window functions: it keeps the rows of each partition in order, ties broken
// by the whole row so that the results are a function of the content. Results are not kept:
// a tick computes those of a changed partition before and after and sends the difference.
type overOp struct {
	n      *planner.Over
	ctx    *Context
	out    Output
	store  *rowStore
	order  *rowOrder
	groups groupTable
	parts  []*overPart // by group id
	dirty  []uint32
	eval   *overEval
	mark   Mark
	sent   Mark
	hasW   bool
	done   bool

	views, keys []vec.Vec
	ids         []uint32
	refs        []rowRef
	spans       []overSpan
	del, ins    []int32         // rows of refs
	failed      map[int32]error // of the computed rows
}

// overPart is a partition: its rows in order, now and at the last tick.
type overPart struct {
	rows   rankedRows
	before []rowRef
	dirty  bool
}

// overSpan is a partition in a list of rows: from lo up to hi.
type overSpan struct{ lo, hi int }

// overChunk is from how many rows on partitions are computed together, so that small ones share the cost of a pass.
const overChunk = 4096

func newOver(n *planner.Over) (Operator, error) {
	none := Mark{W: vec.MinTime}
	return &overOp{n: n, mark: none, sent: none}, nil
}

// Open implements Operator.
func (o *overOp) Open(ctx *Context, out Output) error {
	o.ctx, o.out = ctx, out
	schema := o.n.Input.Schema()
	o.store = newRowStore(ctx.Alloc, schemaKinds(schema))
	o.order = newRowOrder(o.store, schema, o.n.Keys)
	o.order.breakTies(schema)
	var keys []types.T
	for _, c := range o.n.Partition {
		keys = append(keys, schema.Fields[c].Type)
	}
	o.groups = newGroups(ctx.Alloc, keys)
	var err error
	o.eval, err = newOverEval(ctx, o.n, o.order)
	return err
}

// Push implements Operator.
func (o *overOp) Push(_ int, b *vec.Batch) error {
	o.hasW = o.hasW || b.W != nil
	o.views = b.Views(o.views)
	o.keys = keyCols(o.keys, o.views, o.n.Partition)
	o.ids = growSide(o.ids[:0], 0, b.N)
	o.groups.Intern(o.keys, o.ids)
	for len(o.parts) < o.groups.Len() {
		o.parts = append(o.parts, nil)
	}
	for i, id := range o.ids {
		p := o.parts[id]
		if p == nil {
			p = new(overPart)
			o.parts[id] = p
		}
		if b.Op(i) == vec.Delete {
			o.deleteRow(p, id, i)
			continue
		}
		o.touch(p, id)
		c, at := p.rows.search(o.order, o.views, i)
		p.rows.insert(c, at, o.store.add(o.views, i))
	}
	return nil
}

// touch remembers the rows of a partition before its first change in a tick.
func (o *overOp) touch(p *overPart, id uint32) {
	if p.dirty || !o.ctx.Continuous {
		return
	}
	p.dirty = true
	o.dirty = append(o.dirty, id)
	p.before = p.rows.appendTo(p.before[:0])
}

func (o *overOp) deleteRow(p *overPart, id uint32, i int) {
	c, at := p.rows.search(o.order, o.views, i)
	if c < len(p.rows.chunks) {
		r := p.rows.chunks[c][at]
		if cols, row := o.store.at(r); o.order.compareAll(cols, row, o.views, i) == 0 {
			o.touch(p, id)
			p.rows.remove(c, at)
			o.store.kill(r)
			return
		}
	}
	o.ctx.late()
}

// add puts the rows of a partition at the end of the list to compute.
func (o *overOp) add(refs []rowRef) {
	lo := len(o.refs)
	o.refs = append(o.refs, refs...)
	o.spans = append(o.spans, overSpan{lo, len(o.refs)})
}

func (o *overOp) resetList() {
	o.refs, o.spans, o.del, o.ins = o.refs[:0], o.spans[:0], o.del[:0], o.ins[:0]
}

// Advance implements Operator.
func (o *overOp) Advance(_ int, m Mark) error {
	o.mark = m
	if o.ctx.Continuous || m.W != vec.MaxTime || o.done {
		return nil
	}
	o.done = true
	o.resetList()
	for k, p := range o.parts {
		if p == nil {
			continue
		}
		lo := len(o.refs)
		o.refs = p.rows.appendTo(o.refs)
		o.spans = append(o.spans, overSpan{lo, len(o.refs)})
		o.parts[k] = nil
		if len(o.refs) >= overChunk {
			if err := o.flush(); err != nil {
				return err
			}
		}
	}
	if err := o.flush(); err != nil {
		return err
	}
	o.parts = nil
	o.store.reset()
	return o.out.Watermark(m)
}

// flush sends the results of the listed partitions of a snapshot.
func (o *overOp) flush() error {
	if len(o.refs) == 0 {
		return nil
	}
	if err := o.eval.run(o.store, o.refs, o.spans); err != nil {
		return err
	}
	o.failed = o.eval.failures()
	for i := range o.refs {
		o.ins = append(o.ins, int32(i))
	}
	err := o.send(o.ins, vec.Insert)
	o.resetList()
	return err
}

// Tick implements Operator.
func (o *overOp) Tick(Tick) error {
	if !o.ctx.Continuous {
		return nil
	}
	var empty []uint32
	o.resetList()
	for k, id := range o.dirty {
		p := o.parts[id]
		o.add(p.before)
		lo := len(o.refs)
		o.refs = p.rows.appendTo(o.refs)
		o.spans = append(o.spans, overSpan{lo, len(o.refs)})
		p.dirty, p.before = false, p.before[:0]
		if p.rows.n == 0 {
			empty = append(empty, id)
			o.parts[id] = nil
		}
		if len(o.refs) >= overChunk || k == len(o.dirty)-1 {
			if err := o.flushChanges(); err != nil {
				return err
			}
		}
	}
	o.dirty = o.dirty[:0]
	o.groups.Remove(empty)
	o.compact()
	return passHeld(o.out, o.mark, &o.sent)
}

// flushChanges sends what changed in the listed partitions: each is there twice, as it was and as it is.
func (o *overOp) flushChanges() error {
	if err := o.eval.run(o.store, o.refs, o.spans); err != nil {
		return err
	}
	o.failed = o.eval.failures()
	for k := 0; k < len(o.spans); k += 2 {
		o.diff(o.spans[k], o.spans[k+1])
	}
	err := o.send(o.del, vec.Delete)
	if err == nil {
		err = o.send(o.ins, vec.Insert)
	}
	o.resetList()
	return err
}

// diff notes what leaves and what enters the result of a partition.
func (o *overOp) diff(before, after overSpan) {
	i, k := before.lo, after.lo
	for i < before.hi || k < after.hi {
		d := 0
		switch {
		case i == before.hi:
			d = 1
		case k == after.hi:
			d = -1
		default:
			d = o.compare(i, k)
		}
		switch {
		case d < 0:
			o.del = append(o.del, int32(i))
			i++
		case d > 0:
			o.ins = append(o.ins, int32(k))
			k++
		default:
			i2, k2 := o.equals(i, before.hi), o.equals(k, after.hi)
			o.diffEqual(overSpan{i, i2}, overSpan{k, k2})
			i, k = i2, k2
		}
	}
}

func (o *overOp) compare(i, k int) int {
	if o.refs[i] == o.refs[k] {
		return 0
	}
	a, x := o.store.at(o.refs[i])
	b, y := o.store.at(o.refs[k])
	return o.order.compareAll(a, x, b, y)
}

// equals gives where the rows that equal row i end.
func (o *overOp) equals(i, hi int) int {
	k := i + 1
	for k < hi && o.compare(i, k) == 0 {
		k++
	}
	return k
}

// diffEqual compares the results of rows that are equal, as bags.
func (o *overOp) diffEqual(before, after overSpan) {
	res := o.eval.results
	if before.hi-before.lo == 1 && after.hi-after.lo == 1 {
		i, k := int32(before.lo), int32(after.lo)
		was, is := o.failed[i] != nil, o.failed[k] != nil
		if was != is || !is && !sameRow(res, before.lo, res, after.lo) {
			o.del = append(o.del, i)
			o.ins = append(o.ins, k)
		}
		return
	}
	bag := map[string]int{}
	var row []byte
	key := func(i int) []byte {
		row = append(row[:0], 0)
		if o.failed[int32(i)] != nil {
			row[0] = 1
		}
		row = vec.AppendRow(row, res, i)
		return row
	}
	for i := before.lo; i < before.hi; i++ {
		bag[string(key(i))]++
	}
	for k := after.lo; k < after.hi; k++ {
		if s := key(k); bag[string(s)] > 0 {
			bag[string(s)]--
			continue
		}
		o.ins = append(o.ins, int32(k))
	}
	for i := before.lo; i < before.hi; i++ {
		if s := key(i); bag[string(s)] > 0 {
			bag[string(s)]--
			o.del = append(o.del, int32(i))
		}
	}
}

// send emits listed rows with their results. Rows that failed are reported when they
// come up, and were not sent when they go.
func (o *overOp) send(sel []int32, op vec.Op) error {
	sel, err := o.good(sel, op)
	if err != nil {
		return err
	}
	out := marked(o.out, o.hasW, o.sent.W)
	refs := make([]rowRef, 0, min(len(sel), vec.MaxRows))
	for len(sel) > 0 {
		n := min(len(sel), vec.MaxRows)
		refs = refs[:0]
		for _, i := range sel[:n] {
			refs = append(refs, o.refs[i])
		}
		b := o.batch(refs, sel[:n])
		if op == vec.Delete {
			b.Ops = make([]vec.Op, n)
			for i := range b.Ops {
				b.Ops[i] = op
			}
		}
		err := out.Emit(b)
		b.Release()
		if err != nil {
			return err
		}
		sel = sel[n:]
	}
	return nil
}

// batch makes rows of the output: those of the store and their results.
func (o *overOp) batch(refs []rowRef, sel []int32) *vec.Batch {
	bld := vec.NewBuilder(o.ctx.Alloc, o.n.Schema())
	for c := range o.store.cols {
		o.store.gather(&bld.Cols[c], c, refs, false)
	}
	for c := range o.eval.results {
		v := &bld.Cols[len(o.store.cols)+c]
		v.Gather(&o.eval.results[c], sel)
		v.Errs = v.Errs[:0]
	}
	b := bld.Finish()
	bld.Release()
	b.Ops = nil
	return b
}

// good takes the rows that failed out of sel, in place.
func (o *overOp) good(sel []int32, op vec.Op) ([]int32, error) {
	if o.failed == nil {
		return sel, nil
	}
	kept := sel[:0]
	for _, i := range sel {
		bad := o.failed[i]
		if bad == nil {
			kept = append(kept, i)
			continue
		}
		if op == vec.Delete {
			continue
		}
		if o.ctx.RowError == nil {
			return nil, bad
		}
		b := o.batch(o.refs[i:i+1], []int32{i})
		err := o.ctx.RowError(bad, b, 0)
		b.Release()
		if err != nil {
			return nil, err
		}
	}
	return kept, nil
}

// compact copies the live rows once the dead ones are the larger part.
func (o *overOp) compact() {
	if o.store.dead < 4096 || o.store.dead < o.store.live {
		return
	}
	old := o.store
	o.store = newRowStore(old.alloc, old.kinds)
	o.order.store = o.store
	for _, p := range o.parts {
		if p != nil {
			p.rows.moveTo(o.store, old)
		}
	}
	old.reset()
}

// Snapshot implements Operator.
func (o *overOp) Snapshot(w *state.Writer) error {
	w.Int64(o.mark.W)
	w.Bool(o.mark.Idle)
	w.Bool(o.hasW)
	w.Bool(o.done)
	var refs []rowRef
	for _, p := range o.parts {
		if p != nil {
			refs = p.rows.appendTo(refs)
		}
	}
	writeStore(w, o.store, refs)
	return nil
}

// Restore implements Operator.
func (o *overOp) Restore(r *state.Reader) error {
	o.mark = Mark{W: r.Int64(), Idle: r.Bool()}
	o.sent = o.mark
	o.hasW, o.done = r.Bool(), r.Bool()
	cols := make([]vec.Vec, len(o.store.kinds))
	for i := range cols {
		cols[i].SetAllocator(o.store.alloc)
	}
	defer releaseViews(cols)
	n, err := readRows(r, cols, o.store.kinds)
	if err != nil {
		return err
	}
	ids := make([]uint32, n)
	o.groups.Intern(keyCols(nil, cols, o.n.Partition), ids)
	o.parts = make([]*overPart, o.groups.Len())
	o.store.addSel(cols, iota32(n), func(at, row int, sel []int32) {
		for k, i := range sel {
			p := o.parts[ids[i]]
			if p == nil {
				p = new(overPart)
				o.parts[ids[i]] = p
			}
			p.rows.insert(len(p.rows.chunks), 0, rowRef(at<<blockBits|(row+k)))
		}
	})
	return nil
}

// Close implements Operator.
func (o *overOp) Close() error {
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

// appendTo appends all rows to dst.
func (l *rankedRows) appendTo(dst []rowRef) []rowRef {
	for _, c := range l.chunks {
		dst = append(dst, c...)
	}
	return dst
}

// moveTo copies the rows from store old to store s and refers to them there.
func (l *rankedRows) moveTo(s, old *rowStore) {
	for _, c := range l.chunks {
		for k, r := range c {
			cols, row := old.at(r)
			c[k] = s.add(cols, row)
		}
	}
}
