package exec

import (
	"math"

	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
	"streamsql/state"
)

// topNOp keeps the first rows of each partition. An input that retracts makes it keep all
// rows, so that others move up; else only those that are still in the running.
type topNOp struct {
	n             *planner.TopN
	ctx           *Context
	out           Output
	limit, offset int64 // limit < 0: none
	retracts      bool
	store         *rowStore
	order         *rowOrder
	groups        groupTable
	parts         []*topPart // by group id
	dirty         []uint32
	mark, sent    Mark
	hasW          bool
	passed        int64 // rows of a snapshot without order: sent or skipped
	done          bool
	queue         *closeQueue // of partitions that are freed when they close, nil: none is
	onClose       bool        // rows are sent once, at the close
	orphans       []uint32    // ids of a batch that were given to late rows

	views, keys []vec.Vec
	ids         []uint32
	changes     topChanges
}

// topPart is a partition: its rows in order, and what was in the result at the last tick.
type topPart struct {
	rows   rankedRows
	before []rowRef
	dirty  bool
}

// topChanges gathers what a tick sends.
type topChanges struct {
	del, ins         []rowRef
	delRank, insRank []int64
}

func newTopN(n *planner.TopN) (Operator, error) {
	none := Mark{W: vec.MinTime}
	return &topNOp{n: n, mark: none, sent: none}, nil
}

// Open implements Operator.
func (t *topNOp) Open(ctx *Context, out Output) error {
	t.ctx, t.out = ctx, out
	var err error
	if t.limit, err = t.rowCount(t.n.Limit, t.n.LimitParam, -1, pgerr.InvalidRowCountInLimit, "LIMIT must not be negative"); err != nil {
		return err
	}
	if t.offset, err = t.rowCount(t.n.Offset, t.n.OffsetParam, 0, pgerr.InvalidRowCountInOffset, "OFFSET must not be negative"); err != nil {
		return err
	}
	schema := t.n.Input.Schema()
	t.retracts = ctx.Continuous && t.n.Input.Props().Retracts
	t.store = newRowStore(ctx.Alloc, schemaKinds(schema))
	t.order = newRowOrder(t.store, schema, t.n.Keys)
	t.order.breakTies(schema)
	var keys []types.T
	for _, c := range t.n.Partition {
		keys = append(keys, schema.Fields[c].Type)
	}
	t.groups = newGroups(ctx.Alloc, keys)
	t.queue = newCloseQueue(ctx, &t.n.Close)
	t.onClose = t.queue != nil && t.n.Close.OnClose
	return nil
}

// rowCount gives the number of rows of LIMIT or OFFSET; NULL is as if it were not there.
func (t *topNOp) rowCount(n int64, e planner.Expr, none int64, code, message string) (int64, error) {
	if e == nil {
		return n, nil
	}
	d, err := EvalConst(t.ctx.Fn, e)
	if err != nil {
		return 0, err
	}
	switch x := d.(type) {
	case nil:
		return none, nil
	case int64:
		n = x
	case int32:
		n = int64(x)
	case int16:
		n = int64(x)
	}
	if n < 0 {
		return 0, pgerr.New(code, "%s", message)
	}
	return n, nil
}

// most is how many rows of a partition can be in the result or before it.
func (t *topNOp) most() int64 {
	if t.limit < 0 || t.limit > math.MaxInt64-t.offset {
		return math.MaxInt64
	}
	return t.limit + t.offset
}

// plain says that the first rows that come will do.
func (t *topNOp) plain() bool {
	return !t.ctx.Continuous && (len(t.n.Keys) == 0 || t.n.Presorted) && len(t.n.Partition) == 0 && !t.n.RankCol
}

// Push implements Operator.
func (t *topNOp) Push(_ int, b *vec.Batch) error {
	if t.plain() {
		return t.pass(b)
	}
	t.hasW = t.hasW || b.W != nil
	t.views = b.Views(t.views)
	t.keys = keyCols(t.keys, t.views, t.n.Partition)
	t.ids = growSide(t.ids[:0], 0, b.N)
	t.groups.Intern(t.keys, t.ids)
	for len(t.parts) < t.groups.Len() {
		t.parts = append(t.parts, nil)
	}
	most := t.most()
	var ends []vec.Time
	if t.queue != nil {
		ends = t.queue.endsOf(t.views, b.N)
	}
	for i, id := range t.ids {
		if ends != nil && t.queue.late(b, i, ends[i]) {
			if t.parts[id] == nil {
				t.orphans = append(t.orphans, id)
			}
			if err := reportLate(t.ctx, b, i, ends[i]); err != nil {
				return err
			}
			continue
		}
		p := t.parts[id]
		if p == nil {
			p = new(topPart)
			t.parts[id] = p
			if ends != nil {
				t.queue.add(ends[i], id)
			}
		}
		if b.Op(i) == vec.Delete {
			t.deleteRow(p, id, i)
			continue
		}
		if !t.retracts && int64(p.rows.n) >= most {
			if most == 0 {
				continue
			}
			cols, row := t.store.at(p.rows.last())
			if t.n.WithTies {
				if t.order.compare(t.views, i, cols, row) > 0 {
					continue
				}
			} else if t.order.compareAll(t.views, i, cols, row) >= 0 {
				continue
			}
		}
		t.touch(p, id)
		c, at := p.rows.search(t.order, t.views, i)
		p.rows.insert(c, at, t.store.add(t.views, i))
		if !t.retracts {
			t.prune(p, most)
		}
	}
	t.orphans = removeOrphans(t.groups, t.orphans)
	return nil
}

// touch remembers the result of a partition before its first change in a tick.
func (t *topNOp) touch(p *topPart, id uint32) {
	if p.dirty || t.onClose {
		return
	}
	p.dirty = true
	t.dirty = append(t.dirty, id)
	if t.ctx.Continuous {
		p.before = t.window(p, p.before[:0])
	}
}

// window appends the rows of the result.
func (t *topNOp) window(p *topPart, dst []rowRef) []rowRef {
	if t.limit == 0 || t.offset >= int64(p.rows.n) {
		return dst
	}
	var n int64
	p.rows.from(int(t.offset), func(r rowRef) bool {
		if t.limit >= 0 && n >= t.limit {
			if !t.n.WithTies {
				return false
			}
			a, i := t.store.at(dst[len(dst)-1])
			b, j := t.store.at(r)
			if t.order.compare(a, i, b, j) != 0 {
				return false
			}
		}
		dst = append(dst, r)
		n++
		return true
	})
	return dst
}

// prune drops rows that cannot get into the result any more.
func (t *topNOp) prune(p *topPart, most int64) {
	for int64(p.rows.n) > most {
		if t.n.WithTies {
			var edge rowRef
			p.rows.from(int(most)-1, func(r rowRef) bool { edge = r; return false })
			a, i := t.store.at(edge)
			b, j := t.store.at(p.rows.last())
			if t.order.compare(a, i, b, j) == 0 {
				return
			}
		}
		t.store.kill(p.rows.popLast())
	}
}

func (t *topNOp) deleteRow(p *topPart, id uint32, i int) {
	c, at := p.rows.search(t.order, t.views, i)
	if c < len(p.rows.chunks) {
		r := p.rows.chunks[c][at]
		if cols, row := t.store.at(r); t.order.compareAll(cols, row, t.views, i) == 0 {
			t.touch(p, id)
			p.rows.remove(c, at)
			t.store.kill(r)
			return
		}
	}
	t.ctx.late()
}

// pass sends rows on until there are enough.
func (t *topNOp) pass(b *vec.Batch) error {
	if t.done {
		return nil
	}
	skip := min(max(t.offset-t.passed, 0), int64(b.N))
	take := int64(b.N) - skip
	if t.limit >= 0 {
		take = min(take, t.most()-max(t.passed, t.offset))
	}
	t.passed += skip + take
	if take > 0 {
		part := b.Slice(t.ctx.Alloc, int(skip), int(skip+take))
		err := t.out.Emit(part)
		part.Release()
		if err != nil {
			return err
		}
	}
	if t.limit >= 0 && t.passed >= t.most() {
		t.done = true
		return t.out.Watermark(Mark{W: vec.MaxTime})
	}
	return nil
}

// Advance implements Operator.
func (t *topNOp) Advance(_ int, m Mark) error {
	t.mark = m
	if t.onClose {
		return t.closeDue()
	}
	if t.ctx.Continuous || m.W != vec.MaxTime || t.done {
		return nil
	}
	t.done = true
	for _, p := range t.parts {
		if p == nil {
			continue
		}
		from := len(t.changes.ins)
		t.changes.ins = t.window(p, t.changes.ins)
		if t.n.RankCol {
			for k := range t.changes.ins[from:] {
				t.changes.insRank = append(t.changes.insRank, t.offset+int64(k)+1)
			}
		}
	}
	if t.n.Sorted && len(t.n.Partition) > 0 {
		t.sortResult()
	}
	if err := t.send(t.changes.ins, t.changes.insRank, vec.Insert); err != nil {
		return err
	}
	t.changes = topChanges{}
	t.parts = nil
	t.store.reset()
	return t.out.Watermark(m)
}

func (t *topNOp) sortResult() {
	c := &t.changes
	perm := t.order.sort(c.ins)
	refs := make([]rowRef, len(perm))
	ranks := make([]int64, len(c.insRank))
	for i, p := range perm {
		refs[i] = c.ins[p]
		if t.n.RankCol {
			ranks[i] = c.insRank[p]
		}
	}
	c.ins, c.insRank = refs, ranks
}

// Tick implements Operator.
func (t *topNOp) Tick(Tick) error {
	if !t.ctx.Continuous || t.onClose {
		return nil
	}
	c := &t.changes
	c.del, c.ins, c.delRank, c.insRank = c.del[:0], c.ins[:0], c.delRank[:0], c.insRank[:0]
	var after []rowRef
	var empty []uint32
	for _, id := range t.dirty {
		p := t.parts[id]
		after = t.window(p, after[:0])
		t.diff(p.before, after)
		p.dirty, p.before = false, p.before[:0]
		if p.rows.n == 0 && t.queue == nil {
			empty = append(empty, id)
			t.parts[id] = nil
		}
	}
	t.dirty = t.dirty[:0]
	if err := t.send(c.del, c.delRank, vec.Delete); err != nil {
		return err
	}
	if err := t.send(c.ins, c.insRank, vec.Insert); err != nil {
		return err
	}
	if t.queue != nil {
		for _, id := range t.queue.due(t.mark.W) {
			t.free(id)
			empty = append(empty, id)
		}
	}
	t.groups.Remove(empty)
	t.compact()
	return passHeld(t.out, t.mark, &t.sent)
}

// free drops a partition; its id is still to be given back.
func (t *topNOp) free(id uint32) {
	t.parts[id].rows.from(0, func(r rowRef) bool { t.store.kill(r); return true })
	t.parts[id] = nil
}

// closeDue sends the rows of the partitions that the watermark closes, and frees those.
func (t *topNOp) closeDue() error {
	c := &t.changes
	due := t.queue.due(t.mark.W)
	c.ins, c.insRank = c.ins[:0], c.insRank[:0]
	for _, id := range due {
		from := len(c.ins)
		c.ins = t.window(t.parts[id], c.ins)
		if t.n.RankCol {
			for k := range c.ins[from:] {
				c.insRank = append(c.insRank, t.offset+int64(k)+1)
			}
		}
	}
	if err := t.send(c.ins, c.insRank, vec.Insert); err != nil {
		return err
	}
	for _, id := range due {
		t.free(id)
	}
	t.groups.Remove(due)
	t.compact()
	return passHeld(t.out, t.queue.mark(t.mark), &t.sent)
}

// diff notes what leaves and what enters the result of a partition.
func (t *topNOp) diff(before, after []rowRef) {
	c := &t.changes
	same := func(a, b rowRef) int {
		if a == b {
			return 0
		}
		x, i := t.store.at(a)
		y, j := t.store.at(b)
		return t.order.compareAll(x, i, y, j)
	}
	if t.n.RankCol {
		for k := range max(len(before), len(after)) {
			if k < len(before) && k < len(after) && same(before[k], after[k]) == 0 {
				continue
			}
			rank := t.offset + int64(k) + 1
			if k < len(before) {
				c.del, c.delRank = append(c.del, before[k]), append(c.delRank, rank)
			}
			if k < len(after) {
				c.ins, c.insRank = append(c.ins, after[k]), append(c.insRank, rank)
			}
		}
		return
	}
	i, k := 0, 0
	for i < len(before) && k < len(after) {
		switch d := same(before[i], after[k]); {
		case d == 0:
			i++
			k++
		case d < 0:
			c.del = append(c.del, before[i])
			i++
		default:
			c.ins = append(c.ins, after[k])
			k++
		}
	}
	c.del = append(c.del, before[i:]...)
	c.ins = append(c.ins, after[k:]...)
}

// send emits rows of the store, with their ranks where asked for.
func (t *topNOp) send(refs []rowRef, ranks []int64, op vec.Op) error {
	out := marked(t.out, t.hasW, t.sent.W)
	if t.onClose {
		out = t.out // what comes at the close is not behind the watermark
	}
	for len(refs) > 0 {
		n := min(len(refs), vec.MaxRows)
		bld := vec.NewBuilder(t.ctx.Alloc, t.n.Schema())
		for c := range t.store.cols {
			t.store.gather(&bld.Cols[c], c, refs[:n], false)
		}
		if t.n.RankCol {
			v := &bld.Cols[len(bld.Cols)-1]
			v.Extend(n)
			copy(v.I64[:n], ranks[:n])
			ranks = ranks[n:]
		}
		bld.Ops = make([]vec.Op, n)
		for i := range bld.Ops {
			bld.Ops[i] = op
		}
		ops := bld.Ops
		b := bld.Finish()
		bld.Release()
		b.Ops = nil
		if op == vec.Delete {
			b.Ops = ops
		}
		err := out.Emit(b)
		b.Release()
		if err != nil {
			return err
		}
		refs = refs[n:]
	}
	return nil
}

// compact copies the live rows once the dead ones are the larger part.
func (t *topNOp) compact() {
	if t.store.dead < 4096 || t.store.dead < t.store.live {
		return
	}
	old := t.store
	t.store = newRowStore(old.alloc, old.kinds)
	t.order.store = t.store
	var sel []int32
	for _, p := range t.parts {
		if p == nil {
			continue
		}
		for _, c := range p.rows.chunks {
			for lo := 0; lo < len(c); {
				// rows of one block, in one go
				hi := lo + 1
				for hi < len(c) && c[hi]>>blockBits == c[lo]>>blockBits {
					hi++
				}
				cols, _ := old.at(c[lo])
				sel = sel[:0]
				for _, r := range c[lo:hi] {
					sel = append(sel, int32(r&blockMask))
				}
				k := lo
				t.store.addSel(cols, sel, func(at, row int, part []int32) {
					for i := range part {
						c[k] = rowRef(at<<blockBits | (row + i))
						k++
					}
				})
				lo = hi
			}
		}
	}
	old.reset()
}

// Snapshot implements Operator.
func (t *topNOp) Snapshot(w *state.Writer) error {
	t.writeHead(w)
	t.store.writeLive(w)
	return nil
}

func (t *topNOp) writeHead(w *state.Writer) {
	w.Int64(t.mark.W)
	w.Bool(t.mark.Idle)
	w.Bool(t.hasW)
	w.Bool(t.done)
	w.Int64(t.passed)
}

// snapshotOf writes the partitions parts as Snapshot does.
func (t *topNOp) snapshotOf(parts []*topPart, w *state.Writer) {
	t.writeHead(w)
	var refs []rowRef
	for _, p := range parts {
		if p != nil {
			p.rows.from(0, func(r rowRef) bool { refs = append(refs, r); return true })
		}
	}
	writeStore(w, t.store, refs)
}

// Restore implements Operator.
func (t *topNOp) Restore(r *state.Reader) error {
	t.mark = Mark{W: r.Int64(), Idle: r.Bool()}
	t.sent = t.mark
	if t.onClose {
		t.sent = t.queue.mark(t.mark)
	}
	t.hasW, t.done, t.passed = r.Bool(), r.Bool(), r.Int64()
	var ids []uint32
	return readParts(r, t.store, func(cols []vec.Vec, n int) {
		ids = growSide(ids[:0], 0, n)
		t.groups.Intern(keyCols(nil, cols, t.n.Partition), ids)
		for len(t.parts) < t.groups.Len() {
			t.parts = append(t.parts, nil)
		}
		var ends []vec.Time
		if t.queue != nil {
			ends = t.queue.endsOf(cols, n)
		}
		t.store.addSel(cols, iota32(n), func(at, row int, sel []int32) {
			for k, i := range sel {
				p := t.parts[ids[i]]
				if p == nil {
					p = new(topPart)
					t.parts[ids[i]] = p
					if ends != nil {
						t.queue.add(ends[i], ids[i])
					}
				}
				chunk, place := 0, 0
				if p.rows.n > 0 {
					chunk, place = p.rows.search(t.order, cols, int(i))
				}
				p.rows.insert(chunk, place, rowRef(at<<blockBits|(row+k)))
			}
		})
	})
}

// Close implements Operator.
func (t *topNOp) Close() error {
	if t.store != nil {
		t.store.reset()
		t.groups.Close()
		t.store = nil
	}
	for i := range t.views {
		t.views[i].Release()
	}
	return nil
}
