package exec

import (
	"math"
	"sort"

	"streamsql/internal/vec"
	"streamsql/sql/planner"
)

// overReach says which results a change of a row can change.
type overReach struct {
	// global: any of its partition. carry: all that follow, until what calls carry along is as it was. counts: all that follow,
	// where the number of rows changed.
	global, carry, counts bool
	ranks                 bool // the first peer of a row counts
	// behind and ahead are how many rows results look back or forward; lazyBack and lazyAhead
	// say that they also do by the distance of keys or by groups of peers.
	behind, ahead       int
	lazyBack, lazyAhead bool
	peers               bool // a row changes the results of its peers
}

func reachOf(calls []*overCall, in planner.Node) (r overReach) {
	for _, c := range calls {
		f := c.frame
		switch {
		case c.Name == "row_number" || c.Name == "rank":
			r.counts, r.ranks = true, r.ranks || c.Name == "rank"
		case c.Name == "dense_rank":
			r.carry, r.ranks = true, true
		case c.Name == "lag" || c.Name == "lead":
			by, ok := c.Shift(in)
			if !ok || c.IgnoreNulls {
				r.global = true
				continue
			}
			if c.Name == "lag" {
				by = -by
			}
			by = min(max(by, -math.MaxInt32), math.MaxInt32)
			r.behind, r.ahead = max(r.behind, int(-by)), max(r.ahead, int(by))
		case !f.used(c):
			r.global = true
		case c.prefix:
			r.carry = true
			r.peers = r.peers || f.Unit != "rows"
			if f.Unit == "rows" && f.End.Kind == "preceding" && f.to != nil {
				r.behind = max(r.behind, f.to.count)
			}
		case f.Start.Kind == "unbounded preceding" || f.End.Kind == "unbounded following":
			r.global = true
		case f.Unit == "rows":
			if f.Start.Kind == "preceding" && f.from != nil {
				r.behind = max(r.behind, f.from.count)
			}
			if f.End.Kind == "following" && f.to != nil {
				r.ahead = max(r.ahead, f.to.count)
			}
		default:
			r.peers = true
			r.lazyBack = r.lazyBack || f.Start.Kind == "preceding"
			r.lazyAhead = r.lazyAhead || f.End.Kind == "following"
		}
	}
	return r
}

// Tick implements Operator.
func (o *overOp) Tick(Tick) error {
	if !o.ctx.Continuous || o.onClose {
		return nil
	}
	var empty []uint32
	o.refs, o.pieces, o.owners = o.refs[:0], o.pieces[:0], o.owners[:0]
	o.del.reset()
	o.ins.reset()
	for _, id := range o.listed {
		p := o.parts[id]
		p.listed = false
		o.settle(p)
		if err := o.change(p); err != nil {
			return err
		}
		if p.rows.n == 0 && o.queue == nil {
			empty = append(empty, id)
			o.parts[id] = nil
		}
	}
	o.listed = o.listed[:0]
	if err := o.flushBatch(); err != nil {
		return err
	}
	if o.dups {
		o.dups = false
		o.cancel()
	}
	out := marked(o.out, o.hasW, o.sent.W)
	if err := o.send(out, &o.del, vec.Delete); err != nil {
		return err
	}
	if err := o.send(out, &o.ins, vec.Insert); err != nil {
		return err
	}
	if o.queue != nil {
		for _, id := range o.queue.due(o.mark.W) {
			p := o.parts[id]
			p.rows.each(func(in, res *rowRef) {
				o.store.kill(*in)
				if *res < failedRow {
					o.res.kill(*res)
				}
			})
			o.dropCarries(p)
			o.parts[id] = nil
			empty = append(empty, id)
		}
	}
	o.groups.Remove(empty)
	o.compact()
	return passHeld(o.out, o.mark, &o.sent)
}

// change brings a partition up to date.
func (o *overOp) change(p *overPart) error {
	n := len(p.added) + len(p.removed)
	if n == 0 {
		return nil
	}
	many := n > p.rows.n/8
	changed := append(append(o.changed[:0], p.added...), p.removed...)
	o.changed = changed
	shift := 0
	if many {
		o.merge(p)
	} else {
		shift = o.apply(p)
	}
	p.added, p.removed = p.added[:0], p.removed[:0]
	o.dups = o.dups || p.dups
	switch {
	case p.rows.n == 0:
		return nil
	case many || o.reach.global || p.rows.n <= overChunkRows:
		return o.addWhole(p)
	}
	o.order.sortAll(changed)
	return o.recompute(p, changed, shift)
}

// gone notes that a row leaves the partition.
func (o *overOp) gone(in, res rowRef) {
	o.store.kill(in)
	if res < failedRow {
		o.del.add(in, res)
		o.res.kill(res)
	}
}

// merge makes the list of a partition's rows anew.
func (o *overOp) merge(p *overPart) {
	o.dropCarries(p)
	old := p.rows
	p.rows = overRows{}
	add := func(in, res rowRef) {
		if k := len(p.rows.chunks) - 1; k >= 0 && !p.dups {
			c := p.rows.chunks[k].in
			p.dups = o.order.compareRows(c[len(c)-1], in) == 0
		}
		p.rows.append(in, res)
	}
	i, k := 0, 0
	old.each(func(in, res *rowRef) {
		for i < len(p.added) && o.order.compareRows(p.added[i], *in) < 0 {
			add(p.added[i], noRow)
			i++
		}
		for k < len(p.removed) {
			d := o.order.compareRows(p.removed[k], *in)
			if d > 0 {
				break
			}
			o.store.kill(p.removed[k])
			k++
			if d == 0 {
				o.gone(*in, *res)
				return
			}
			o.ctx.late()
		}
		add(*in, *res)
	})
	for ; i < len(p.added); i++ {
		add(p.added[i], noRow)
	}
	for ; k < len(p.removed); k++ {
		o.store.kill(p.removed[k])
		o.ctx.late()
	}
}

// apply changes the list of a partition's rows and gives by how many rows it grew.
func (o *overOp) apply(p *overPart) (shift int) {
	for _, r := range p.removed {
		o.store.kill(r)
		at, ok := o.last(p, r)
		if !ok {
			o.ctx.late()
			continue
		}
		in, res, freed := p.rows.remove(at)
		o.eval.freeCarry(freed)
		o.gone(in, res)
		shift--
	}
	for _, r := range p.added {
		if _, ok := o.last(p, r); ok {
			p.dups = true
		}
		p.rows.insert(o.after(p, r), r)
		shift++
	}
	return shift
}

// after finds the first row behind all that equal r.
func (o *overOp) after(p *overPart, r rowRef) overPlace {
	b, j := o.store.at(r)
	return p.rows.search(func(x rowRef) bool {
		a, i := o.store.at(x)
		return o.order.compareAll(a, i, b, j) > 0
	})
}

// last finds the last row that equals r.
func (o *overOp) last(p *overPart, r rowRef) (overPlace, bool) {
	at := o.after(p, r)
	if at.at--; at.at < 0 {
		if at.chunk--; at.chunk < 0 {
			return at, false
		}
		at.at = len(p.rows.chunks[at.chunk].in) - 1
	}
	return at, o.order.compareRows(p.rows.chunks[at.chunk].in[at.at], r) == 0
}

// addWhole lists a partition to be computed as a whole.
func (o *overOp) addWhole(p *overPart) error {
	lo := len(o.refs)
	piece := overPiece{lo: lo, from: lo}
	for k, c := range p.rows.chunks {
		if k > 0 && o.reach.carry {
			if c.carry == nil {
				c.carry = o.eval.newCarry()
			}
			piece.marks = append(piece.marks, overMark{len(o.refs), c.carry})
		}
		o.refs = append(o.refs, c.in...)
	}
	piece.hi = len(o.refs)
	piece.to = piece.hi
	o.pieces, o.owners = append(o.pieces, piece), append(o.owners, p)
	if len(o.refs) < overBatchRows {
		return nil
	}
	return o.flushBatch()
}

// flushBatch computes the listed partitions and notes what changed.
func (o *overOp) flushBatch() error {
	if len(o.pieces) == 0 {
		return nil
	}
	if _, err := o.eval.run(o.store, o.refs, o.pieces); err != nil {
		return err
	}
	slots, in := o.slots[:0], o.at[:0]
	for _, p := range o.owners {
		p.rows.each(func(i, res *rowRef) { slots, in = append(slots, res), append(in, *i) })
	}
	o.slots, o.at = slots, in
	err := o.compare(in, slots)
	o.refs, o.pieces, o.owners = o.refs[:0], o.pieces[:0], o.owners[:0]
	return err
}

// compare compares the results that were computed, of the rows in, with those that are in slots, puts them
// there and notes what that sends.
func (o *overOp) compare(in []rowRef, slots []*rowRef) error {
	failed := o.eval.failures()
	sel, fresh := o.sel[:0], slots[:0]
	results := o.eval.results
	for k, slot := range slots {
		old := *slot
		if old < failedRow {
			cols, row := o.res.at(old)
			if failed == nil && sameRow(results, k, cols, row) {
				continue
			}
		}
		bad := failed[int32(k)]
		switch {
		case bad == nil && old < failedRow:
			if cols, row := o.res.at(old); sameRow(results, k, cols, row) {
				continue
			}
			fallthrough
		case old < failedRow:
			o.del.add(in[k], old)
			o.res.kill(old)
		}
		if bad == nil {
			sel, fresh = append(sel, int32(k)), append(fresh, slot)
			continue
		}
		*slot = failedRow
		if old != failedRow {
			if err := o.eval.rowError(o.ctx, bad, o.n.Schema(), in[k], int32(k)); err != nil {
				return err
			}
		}
	}
	o.sel = sel
	for c := range results {
		results[c].Errs = results[c].Errs[:0]
	}
	k := 0
	o.res.addSel(results, sel, func(at, row int, part []int32) {
		for i := range part {
			r := rowRef(at<<blockBits | (row + i))
			*fresh[k] = r
			o.ins.add(in[sel[k]], r)
			k++
		}
	})
	return nil
}

// recompute computes what the rows changed, in order, which came or went, can have changed. shift is by how much the partition grew.
func (o *overOp) recompute(p *overPart, changed []rowRef, shift int) error {
	o.starts = p.rows.starts(o.starts[:0])
	n := p.rows.n
	pos := func(at overPlace) int { return o.starts[at.chunk] + at.at }
	before := func(r rowRef, peers bool, last bool) int {
		b, j := o.store.at(r)
		return pos(p.rows.search(func(x rowRef) bool {
			a, i := o.store.at(x)
			var d int
			if peers {
				d = o.order.compare(a, i, b, j)
			} else {
				d = o.order.compareAll(a, i, b, j)
			}
			return d > 0 || d == 0 && !last
		}))
	}
	tail := o.reach.carry || o.reach.counts && shift != 0
	var run overRun
	for k, r := range changed {
		at := before(r, false, false)
		next := overRun{first: at, last: at, from: at, to: at + 1, safe: max(0, at-1)} // the row that went may have stood before a chunk
		if o.reach.peers {
			next.from, next.to = before(r, true, false), max(next.to, before(r, true, true))
		}
		next.from, next.to = max(0, next.from-o.reach.ahead), min(n, next.to+o.reach.behind)
		switch {
		case k == 0:
			run = next
		case tail || o.reach.counts || next.from <= run.to || o.reach.lazyBack || o.reach.lazyAhead:
			run.from, run.to, run.last = min(run.from, next.from), max(run.to, next.to), next.last
		default:
			if err := o.recomputeRun(p, run, overStop, before); err != nil {
				return err
			}
			run = next
		}
	}
	mode := overStop
	switch {
	case o.reach.counts && shift != 0:
		mode = overToEnd
	case o.reach.carry:
		mode = overToSame
	}
	return o.recomputeRun(p, run, mode, before)
}

// overRun is a range of rows to be computed, with the positions of the first and the last change behind it. What is carried
// is right for chunks that begin at or before safe.
type overRun struct{ first, last, from, to, safe int }

// chunkAt gives the chunk that a position is in.
func (o *overOp) chunkAt(pos int) int {
	return sort.SearchInts(o.starts, pos+1) - 1
}

// overMode says where a computation ends: with its run, at the end of the partition, or where what calls carry is as it was.
type overMode uint8

const (
	overStop overMode = iota
	overToEnd
	overToSame
)

// recomputeRun computes the rows of run, and those that follow as mode says.
func (o *overOp) recomputeRun(p *overPart, run overRun, mode overMode, before func(r rowRef, peers, last bool) int) error {
	n, chunks := p.rows.n, p.rows.chunks
	tail := mode != overStop
	if run.from = min(run.from, n-1); run.from >= run.to && !tail {
		return nil
	}
	var old []byte // what was carried to the end of the run before it was computed
	for step, noted := 1, -1; ; step *= 2 {
		if tail { // up to the end of a chunk, where what is carried is known
			run.to = o.starts[o.chunkAt(max(run.to, run.from+1)-1)+1]
		}
		end := o.chunkAt(run.to)
		if run.to != noted {
			noted, old = run.to, nil
			if o.reach.carry && run.to < n && chunks[end].carry != nil {
				old = o.eval.stateOf(chunks[end].carry)
			}
		}
		grown, err := o.runPart(p, run, before)
		if err != nil {
			return err
		}
		if grown != run { // frames reach further: those rows change too
			run = grown
			continue
		}
		slots, in := o.slots[:0], o.at[:0]
		for k, pos := o.chunkAt(run.from), run.from; pos < run.to; k++ {
			c := chunks[k]
			for i := pos - o.starts[k]; i < len(c.in) && pos < run.to; i++ {
				slots, in = append(slots, &c.res[i]), append(in, c.in[i])
				pos++
			}
		}
		o.slots, o.at = slots, in
		if err := o.compare(in, slots); err != nil {
			return err
		}
		if !tail || run.to == n {
			return nil
		}
		if mode == overToSame && old != nil && run.to > run.last && string(old) == string(o.eval.stateOf(chunks[end].carry)) {
			return nil
		}
		run.from, run.to, run.safe = run.to, min(n, run.to+step*overChunkRows), run.to
	}
}

// runPart computes the rows of run with those around that their frames need. Where frames tell that other rows
// have changed too, it gives the range with those, and nothing is computed.
func (o *overOp) runPart(p *overPart, run overRun, before func(r rowRef, peers, last bool) int) (overRun, error) {
	chunks, n := p.rows.chunks, p.rows.n
	lo := o.chunkAt(max(0, run.from-o.reach.behind))
	if o.reach.carry {
		lo = min(lo, o.chunkAt(run.safe))
	}
	hi := run.to + o.reach.ahead
	if o.reach.peers {
		k := o.chunkAt(run.to - 1)
		hi = max(hi, before(chunks[k].in[run.to-1-o.starts[k]], true, true))
	}
	end := o.chunkAt(min(n, hi)-1) + 1
	for {
		for o.reach.carry && lo > 0 && chunks[lo].carry == nil {
			lo--
		}
		refs := o.refs2[:0]
		base := o.starts[lo]
		piece := overPiece{from: run.from - base, to: run.to - base, before: base, more: end < len(chunks)}
		if lo > 0 {
			piece.carry = chunks[lo].carry
			if o.reach.ranks || o.reach.peers {
				piece.peers = base - before(chunks[lo].in[0], true, false)
			}
		}
		for k := lo; k < end; k++ {
			if k > lo && o.reach.carry && o.starts[k] <= run.to {
				if chunks[k].carry == nil {
					chunks[k].carry = o.eval.newCarry()
				}
				piece.marks = append(piece.marks, overMark{len(refs), chunks[k].carry})
			}
			refs = append(refs, chunks[k].in...)
		}
		piece.hi = len(refs)
		if o.reach.carry && end < len(chunks) && o.starts[end] <= run.to {
			if chunks[end].carry == nil {
				chunks[end].carry = o.eval.newCarry()
			}
			piece.marks = append(piece.marks, overMark{len(refs), chunks[end].carry})
		}
		o.refs2 = refs
		o.one[0] = piece
		short, err := o.eval.run(o.store, refs, o.one[:])
		if err != nil {
			return run, err
		}
		if short.lo+short.hi == 0 {
			break
		}
		width := end - lo
		if short.lo > 0 {
			lo = max(0, lo-width)
		}
		if short.hi > 0 {
			end = min(len(chunks), end+width)
		}
	}
	base := o.starts[lo]
	grow := max(64, run.to-run.from)
	wide := run
	for _, c := range o.eval.calls {
		f := c.frame
		if !f.used(c) || f.Unit == "rows" || c.prefix {
			continue
		}
		if f.Start.Kind == "preceding" && run.to < n && base+int(f.lo[run.to-1-base]) <= run.last {
			wide.to = min(n, run.to+grow)
		}
		if f.End.Kind == "following" && run.from > 0 && base+int(f.hi[run.from-base]) >= run.first {
			wide.from = max(0, run.from-grow)
		}
	}
	return wide, nil
}

// cancel takes out of the changes what both leaves and enters: equal rows may have changed places.
func (o *overOp) cancel() {
	if len(o.del.in) == 0 || len(o.ins.in) == 0 {
		return
	}
	var row []byte
	key := func(c *overChanges, i int) []byte {
		cols, at := o.store.at(c.in[i])
		row = vec.AppendRow(row[:0], cols, at)
		cols, at = o.res.at(c.res[i])
		row = vec.AppendRow(row, cols, at)
		return row
	}
	bag := map[string]int{}
	for i := range o.del.in {
		bag[string(key(&o.del, i))]++
	}
	kept := 0
	for i := range o.ins.in {
		if s := key(&o.ins, i); bag[string(s)] > 0 {
			bag[string(s)]--
			continue
		}
		o.ins.in[kept], o.ins.res[kept] = o.ins.in[i], o.ins.res[i]
		kept++
	}
	o.ins.in, o.ins.res = o.ins.in[:kept], o.ins.res[:kept]
	kept = 0
	for i := range o.del.in {
		s := key(&o.del, i)
		if bag[string(s)] == 0 {
			continue
		}
		bag[string(s)]--
		o.del.in[kept], o.del.res[kept] = o.del.in[i], o.del.res[i]
		kept++
	}
	o.del.in, o.del.res = o.del.in[:kept], o.del.res[:kept]
}

// send emits rows with their results.
func (o *overOp) send(out Output, c *overChanges, op vec.Op) error {
	for lo := 0; lo < len(c.in); lo += vec.MaxRows {
		hi := min(lo+vec.MaxRows, len(c.in))
		bld := vec.NewBuilder(o.ctx.Alloc, o.n.Schema())
		for k := range o.store.cols {
			o.store.gather(&bld.Cols[k], k, c.in[lo:hi], false)
		}
		for k := range o.res.cols {
			o.res.gather(&bld.Cols[len(o.store.cols)+k], k, c.res[lo:hi], false)
		}
		b := bld.Finish()
		bld.Release()
		b.Ops = nil
		if op == vec.Delete {
			b.Ops = make([]vec.Op, b.N)
			for i := range b.Ops {
				b.Ops[i] = op
			}
		}
		err := out.Emit(b)
		b.Release()
		if err != nil {
			return err
		}
	}
	return nil
}
