package exec

import (
	"slices"

	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
	"streamsql/state"
)

// overOp computes window functions. It keeps the rows of each partition in order, ties broken by the whole row so
// that the results are a function of the content, each with its results: a tick computes those that its
// changes can reach and sends what differs. In a snapshot, and where a partition is sent when it
// closes, rows are only gathered, and sorted and computed once.
type overOp struct {
	n       *planner.Over
	ctx     *Context
	out     Output
	store   *rowStore // the rows
	res     *rowStore // their results
	order   *rowOrder
	groups  groupTable
	parts   []*overPart // by group id
	listed  []uint32    // partitions that changed since the last tick
	eval    *overEval
	reach   overReach
	queue   *closeQueue // of partitions that are freed when they close, nil: none is
	onClose bool        // partitions are sent once, at their close
	orphans []uint32
	mark    Mark
	sent    Mark
	hasW    bool
	done    bool

	views, keys []vec.Vec
	ids         []uint32
	refs        []rowRef
	pieces      []overPiece
	owners      []*overPart // by piece
	del, ins    overChanges
	dups        bool // equal rows may be among the changes
	sel         []int32
	slots       []*rowRef
	changed     []rowRef
	at, refs2   []rowRef
	one         [1]overPiece
	starts      []int
}

// overPart is a partition.
type overPart struct {
	rows           overRows
	added, removed []rowRef // since the last tick; removed holds copies of the rows that are to go
	listed         bool
	dups           bool // there may be equal rows
}

// overChanges are rows with their results that leave or enter the output.
type overChanges struct{ in, res []rowRef }

func (c *overChanges) add(in, res rowRef) { c.in, c.res = append(c.in, in), append(c.res, res) }
func (c *overChanges) reset()             { c.in, c.res = c.in[:0], c.res[:0] }

// overBatchRows is from how many rows on partitions are computed together, so that small ones share the cost of a pass.
const overBatchRows = 4096

func newOver(n *planner.Over) (Operator, error) {
	none := Mark{W: vec.MinTime}
	if n.Close.By == planner.RowsClose && n.Close.OnClose {
		return &overTimed{n: n, mark: none, sent: none}, nil
	}
	return &overOp{n: n, mark: none, sent: none}, nil
}

// Open implements Operator.
func (o *overOp) Open(ctx *Context, out Output) error {
	o.ctx, o.out = ctx, out
	schema := o.n.Input.Schema()
	o.store = newRowStore(ctx.Alloc, schemaKinds(schema))
	o.res = newRowStore(ctx.Alloc, resultKinds(o.n))
	o.order = newRowOrder(o.store, schema, o.n.Keys)
	o.order.breakTies(schema)
	o.groups = newGroups(ctx.Alloc, partitionTypes(o.n))
	o.queue = newCloseQueue(ctx, &o.n.Close)
	o.onClose = o.queue != nil && o.n.Close.OnClose
	var err error
	o.eval, err = newOverEval(ctx, o.n, o.order)
	if err == nil {
		o.reach = reachOf(o.eval.calls, o.n.Input)
	}
	return err
}

func resultKinds(n *planner.Over) (kinds []types.Kind) {
	for _, c := range n.Calls {
		kinds = append(kinds, c.Type.Type.Kind())
	}
	return kinds
}

func partitionTypes(n *planner.Over) (keys []types.T) {
	for _, c := range n.Partition {
		keys = append(keys, n.Input.Schema().Fields[c].Type)
	}
	return keys
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
	var ends []vec.Time
	if o.queue != nil {
		ends = o.queue.endsOf(o.views, b.N)
	}
	o.sel = o.sel[:0]
	for i, id := range o.ids {
		if ends != nil && o.queue.late(b, i, ends[i]) {
			if o.parts[id] == nil {
				o.orphans = append(o.orphans, id)
			}
			if err := reportLate(o.ctx, b, i, ends[i]); err != nil {
				return err
			}
			continue
		}
		p := o.parts[id]
		if p == nil {
			p = new(overPart)
			o.parts[id] = p
			if ends != nil {
				o.queue.add(ends[i], id)
			}
		}
		if !p.listed && o.ctx.Continuous && !o.onClose {
			p.listed = true
			o.listed = append(o.listed, id)
		}
		o.sel = append(o.sel, int32(i))
	}
	o.store.addSel(o.views, o.sel, func(at, row int, sel []int32) {
		for k, i := range sel {
			p, r := o.parts[o.ids[i]], rowRef(at<<blockBits|(row+k))
			if b.Op(int(i)) == vec.Delete {
				p.removed = append(p.removed, r)
			} else {
				p.added = append(p.added, r)
			}
		}
	})
	o.orphans = removeOrphans(o.groups, o.orphans)
	return nil
}

// sortAll sorts rows by the order with its ties broken.
func (o *rowOrder) sortAll(refs []rowRef) {
	if len(refs) < 2 {
		return
	}
	perm := o.sort(refs)
	was := slices.Clone(refs)
	for i, p := range perm {
		refs[i] = was[p]
	}
	all := func(x, y rowRef) int {
		a, i := o.store.at(x)
		b, j := o.store.at(y)
		return o.compareAll(a, i, b, j)
	}
	for lo := 0; lo < len(refs); {
		a, i := o.store.at(refs[lo])
		hi := lo + 1
		for hi < len(refs) {
			if b, j := o.store.at(refs[hi]); o.compare(a, i, b, j) != 0 {
				break
			}
			hi++
		}
		if hi-lo > 1 {
			slices.SortStableFunc(refs[lo:hi], all)
		}
		lo = hi
	}
}

// compareRows compares two rows of the store by the whole order.
func (o *rowOrder) compareRows(x, y rowRef) int {
	if x == y {
		return 0
	}
	a, i := o.store.at(x)
	b, j := o.store.at(y)
	return o.compareAll(a, i, b, j)
}

// settle sorts the changes of a partition. A row that came and went is in neither list any more.
func (o *overOp) settle(p *overPart) {
	o.order.sortAll(p.added)
	if len(p.removed) == 0 {
		return
	}
	o.order.sortAll(p.removed)
	added, removed := p.added[:0], p.removed[:0]
	i, k := 0, 0
	for i < len(p.added) && k < len(p.removed) {
		x, y := p.added[i], p.removed[k]
		switch d := o.order.compareRows(x, y); {
		case d < 0:
			added = append(added, x)
			i++
		case d > 0:
			removed = append(removed, y)
			k++
		default:
			o.store.kill(x)
			o.store.kill(y)
			i++
			k++
		}
	}
	p.added, p.removed = append(added, p.added[i:]...), append(removed, p.removed[k:]...)
}

// Advance implements Operator.
func (o *overOp) Advance(_ int, m Mark) error {
	o.mark = m
	if o.onClose {
		due := o.queue.due(m.W)
		if err := o.sendParts(due); err != nil {
			return err
		}
		o.groups.Remove(due)
		o.compact()
		return passHeld(o.out, o.queue.mark(m), &o.sent)
	}
	if o.ctx.Continuous || m.W != vec.MaxTime || o.done {
		return nil
	}
	o.done = true
	all := make([]uint32, 0, len(o.parts))
	for id, p := range o.parts {
		if p != nil {
			all = append(all, uint32(id))
		}
	}
	if err := o.sendParts(all); err != nil {
		return err
	}
	o.parts = nil
	o.store.reset()
	return o.out.Watermark(m)
}

// sendParts computes partitions that were only gathered, sends them and forgets them.
func (o *overOp) sendParts(ids []uint32) error {
	o.refs, o.pieces = o.refs[:0], o.pieces[:0]
	for k, id := range ids {
		p := o.parts[id]
		o.settle(p)
		for range p.removed {
			o.ctx.late()
		}
		lo := len(o.refs)
		o.refs = append(o.refs, p.added...)
		if hi := len(o.refs); hi > lo {
			o.pieces = append(o.pieces, overPiece{lo: lo, hi: hi, from: lo, to: hi})
		}
		for _, r := range p.added {
			o.store.kill(r)
		}
		for _, r := range p.removed {
			o.store.kill(r)
		}
		o.parts[id] = nil
		if len(o.refs) < overBatchRows && k < len(ids)-1 || len(o.refs) == 0 {
			continue
		}
		if _, err := o.eval.run(o.store, o.refs, o.pieces); err != nil {
			return err
		}
		if err := o.eval.send(o.ctx, o.out, o.n.Schema()); err != nil {
			return err
		}
		o.refs, o.pieces = o.refs[:0], o.pieces[:0]
	}
	return nil
}

// send emits the rows that were computed with their results.
func (e *overEval) send(ctx *Context, out Output, schema *vec.Schema) error {
	failed := e.failures()
	var refs []rowRef
	var sel []int32
	k := int32(0)
	flush := func() error {
		if len(refs) == 0 {
			return nil
		}
		b := e.batch(ctx, schema, refs, sel)
		err := out.Emit(b)
		b.Release()
		refs, sel = refs[:0], sel[:0]
		return err
	}
	for p := range e.pieces {
		s := &e.pieces[p]
		for i := s.from; i < s.to; i++ {
			if err := failed[k]; err != nil {
				if err := e.rowError(ctx, err, schema, e.refs[i], k); err != nil {
					return err
				}
				k++
				continue
			}
			refs, sel = append(refs, e.refs[i]), append(sel, k)
			k++
			if len(refs) == vec.MaxRows {
				if err := flush(); err != nil {
					return err
				}
			}
		}
	}
	return flush()
}

// batch makes rows of the output: those of the store and the results sel that were just computed.
func (e *overEval) batch(ctx *Context, schema *vec.Schema, refs []rowRef, sel []int32) *vec.Batch {
	bld := vec.NewBuilder(ctx.Alloc, schema)
	for c := range e.store.cols {
		e.store.gather(&bld.Cols[c], c, refs, false)
	}
	for c := range e.results {
		v := &bld.Cols[len(e.store.cols)+c]
		v.Gather(&e.results[c], sel)
		v.Errs = v.Errs[:0]
	}
	b := bld.Finish()
	bld.Release()
	b.Ops = nil
	return b
}

// rowError reports a row that failed.
func (e *overEval) rowError(ctx *Context, bad error, schema *vec.Schema, r rowRef, k int32) error {
	if ctx.RowError == nil {
		return bad
	}
	b := e.batch(ctx, schema, []rowRef{r}, []int32{k})
	defer b.Release()
	return ctx.RowError(bad, b, 0)
}

// compact copies the live rows once the dead ones are the larger part.
func (o *overOp) compact() {
	if s := o.store; s.dead >= 4096 && s.dead >= s.live {
		o.store = newRowStore(s.alloc, s.kinds)
		o.order.store = o.store
		for _, p := range o.parts {
			if p == nil {
				continue
			}
			p.rows.each(func(in, _ *rowRef) { *in = o.store.move(s, *in) })
			for i, r := range p.added {
				p.added[i] = o.store.move(s, r)
			}
			for i, r := range p.removed {
				p.removed[i] = o.store.move(s, r)
			}
			if o.eval.values > 0 { // they refer to rows
				o.dropCarries(p)
			}
		}
		s.reset()
	}
	if s := o.res; s.dead >= 4096 && s.dead >= s.live {
		o.res = newRowStore(s.alloc, s.kinds)
		for _, p := range o.parts {
			if p == nil {
				continue
			}
			p.rows.each(func(_, res *rowRef) {
				if *res < failedRow {
					*res = o.res.move(s, *res)
				}
			})
		}
		s.reset()
	}
}

// move copies a row of another store.
func (s *rowStore) move(from *rowStore, r rowRef) rowRef {
	cols, row := from.at(r)
	return s.add(cols, row)
}

func (o *overOp) dropCarries(p *overPart) {
	for _, c := range p.rows.chunks {
		o.eval.freeCarry(c.carry)
		c.carry = nil
	}
}

// Snapshot implements Operator. The results are written too: what has been sent is what is taken back.
func (o *overOp) Snapshot(w *state.Writer) error {
	o.snapshotOf(o.parts, w)
	return nil
}

// snapshotOf writes the partitions parts as Snapshot does.
func (o *overOp) snapshotOf(parts []*overPart, w *state.Writer) {
	w.Int64(o.mark.W)
	w.Bool(o.mark.Idle)
	w.Bool(o.hasW)
	w.Bool(o.done)
	var in, res []rowRef
	for _, p := range parts {
		if p == nil {
			continue
		}
		if len(p.removed) > 0 {
			o.settle(p)
			for _, r := range p.removed {
				o.ctx.late()
				o.store.kill(r)
			}
			p.removed = p.removed[:0]
		}
		p.rows.each(func(i, r *rowRef) { in, res = append(in, *i), append(res, *r) })
		for _, r := range p.added {
			in, res = append(in, r), append(res, noRow)
		}
	}
	writeStore(w, o.store, in)
	good := res[:0:0]
	for _, r := range res {
		w.Uint64(uint64(max(r, failedRow-1) - (failedRow - 1)))
		if r < failedRow {
			good = append(good, r)
		}
	}
	writeStore(w, o.res, good)
}

// Restore implements Operator.
func (o *overOp) Restore(r *state.Reader) error {
	o.mark = Mark{W: r.Int64(), Idle: r.Bool()}
	o.sent = o.mark
	if o.onClose {
		o.sent = o.queue.mark(o.mark)
	}
	o.hasW, o.done = r.Bool(), r.Bool()
	in, err := readStore(r, o.store)
	if err != nil {
		return err
	}
	kind := make([]rowRef, len(in))
	for i := range kind {
		kind[i] = rowRef(r.Uint64()) + failedRow - 1
	}
	res, err := readStore(r, o.res)
	if err != nil {
		return err
	}
	for lo := 0; lo < len(in); { // rows of one block, in one go
		cols, first := o.store.at(in[lo])
		hi := lo
		for hi < len(in) && in[hi]>>blockBits == in[lo]>>blockBits {
			hi++
		}
		ids := make([]uint32, first+hi-lo)
		o.groups.Intern(keyCols(nil, cols, o.n.Partition), ids)
		var ends []vec.Time
		if o.queue != nil {
			ends = o.queue.endsOf(cols, first+hi-lo)
		}
		for len(o.parts) < o.groups.Len() {
			o.parts = append(o.parts, nil)
		}
		for i := lo; i < hi; i++ {
			at := first + i - lo
			p := o.parts[ids[at]]
			if p == nil {
				p = new(overPart)
				o.parts[ids[at]] = p
				if ends != nil {
					o.queue.add(ends[at], ids[at])
				}
			}
			switch {
			case !o.ctx.Continuous || o.onClose:
				p.added = append(p.added, in[i])
			case kind[i] == failedRow-1:
				if len(res) == 0 {
					return errForeignState()
				}
				o.restored(p, in[i], res[0])
				res = res[1:]
			default:
				o.restored(p, in[i], kind[i])
			}
		}
		lo = hi
	}
	return r.Err()
}

// restored puts a row at the end of its partition.
func (o *overOp) restored(p *overPart, in, res rowRef) {
	if k := len(p.rows.chunks) - 1; k >= 0 {
		c := p.rows.chunks[k].in
		p.dups = p.dups || o.order.compareRows(c[len(c)-1], in) == 0
	}
	p.rows.append(in, res)
}

// Close implements Operator.
func (o *overOp) Close() error {
	if o.store != nil {
		o.store.reset()
		o.res.reset()
		o.groups.Close()
		o.store = nil
	}
	if o.eval != nil {
		o.eval.close()
	}
	releaseViews(o.views)
	return nil
}
