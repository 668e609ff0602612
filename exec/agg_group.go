package exec

import (
	"bytes"
	"slices"

	"streamsql/internal/fn"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/state"
	"streamsql/window"
)

// groupPlan is what the group sets of one operator share.
type groupPlan struct {
	ctx      *Context
	out      Output
	schema   *vec.Schema
	keys     []int // input columns
	keyTypes []types.T
	windowed bool // three window columns follow the keys
	aggs     *aggPlan
	retract  bool     // deletes may come: rows are counted, so that groups vanish
	always   bool     // the one group is there also without rows
	w        vec.Time // the mark passed on
	behind   bool     // rows may come out behind w

	keyCols []vec.Vec
	ids     []uint32
	fresh   []uint32
	outKeys []vec.Vec
	results []vec.Vec
	build   *vec.Builder
	sel     []int32
	ops     []vec.Op
	free    []*groupSet
}

func (p *groupPlan) init() {
	p.keyCols = make([]vec.Vec, len(p.keys))
	mk := func(n int) []vec.Vec {
		v := make([]vec.Vec, n)
		for i := range v {
			v[i].SetAllocator(p.ctx.Alloc)
		}
		return v
	}
	p.outKeys, p.results = mk(len(p.keys)), mk(len(p.aggs.calls))
	p.build = vec.NewBuilder(p.ctx.Alloc, p.schema)
}

func (p *groupPlan) release() {
	for _, s := range [][]vec.Vec{p.outKeys, p.results} {
		for i := range s {
			s[i].Release()
		}
	}
	for _, g := range p.free {
		g.close()
	}
	p.free = nil
	p.build.Release()
	p.aggs.release()
}

// groupSet is a group table with the states of its groups: of a whole query, or of one window.
type groupSet struct {
	plan   *groupPlan
	groups groupTable
	aggs   *aggStates
	rows   []int64 // by id, with retract
	win    window.Window

	// With track, the groups changed since the last flush, in the order of their first change,
	// whether they were there before it, and their results then.
	track   bool
	mark    []bool
	dirty   []uint32
	existed []bool
	old     []vec.Vec
	started bool // with always: the group has been sent
}

// take gives an empty group set for a window.
func (p *groupPlan) take(w window.Window) *groupSet {
	if n := len(p.free); n > 0 {
		g := p.free[n-1]
		p.free = p.free[:n-1]
		g.win = w
		return g
	}
	g := &groupSet{plan: p, groups: newGroups(p.ctx.Alloc, p.keyTypes), aggs: p.aggs.newStates(p.ctx.Alloc), win: w}
	g.old = make([]vec.Vec, len(p.aggs.calls))
	for i := range g.old {
		g.old[i].SetAllocator(p.ctx.Alloc)
	}
	g.resetOld()
	return g
}

// maxFree is how many empty group sets are kept for windows to come.
const maxFree = 8

// drop empties g for reuse.
func (p *groupPlan) drop(g *groupSet) {
	if len(p.free) >= maxFree {
		g.close()
		return
	}
	g.unmark()
	g.groups.Reset()
	g.aggs.reset()
	clear(g.rows)
	g.track, g.started = false, false
	p.free = append(p.free, g)
}

func (g *groupSet) close() {
	g.groups.Close()
	g.aggs.close()
	for i := range g.old {
		g.old[i].Release()
	}
}

func (g *groupSet) resetOld() {
	for i := range g.old {
		g.old[i].Reset(g.plan.aggs.kinds[i], 0)
	}
}

// unmark forgets what has changed.
func (g *groupSet) unmark() {
	for _, id := range g.dirty {
		g.mark[id] = false
	}
	g.dirty, g.existed = g.dirty[:0], g.existed[:0]
	g.resetOld()
}

// add takes n rows of the input's columns.
func (g *groupSet) add(cols []vec.Vec, n int, ops []vec.Op) {
	p := g.plan
	for i, k := range p.keys {
		p.keyCols[i] = cols[k]
	}
	if cap(p.ids) < n {
		p.ids = make([]uint32, max(n, vec.MaxRows))
	}
	ids := p.ids[:n]
	before := g.groups.Len()
	g.groups.Intern(p.keyCols, ids)
	g.grow()
	if g.track {
		g.touch(ids, before)
	}
	if p.retract {
		rows := g.rows
		if ops == nil {
			for _, id := range ids {
				rows[id]++
			}
		} else {
			for i, id := range ids {
				rows[id] += int64(ops[i])
			}
		}
	}
	g.aggs.update(ids, cols, ops)
}

func (g *groupSet) grow() {
	g.aggs.grow(g.groups.Len())
	if g.plan.retract && len(g.rows) < g.aggs.n {
		g.rows = append(g.rows, make([]int64, g.aggs.n-len(g.rows))...)
	}
	if g.track && len(g.mark) < g.aggs.n {
		g.mark = append(g.mark, make([]bool, g.aggs.n-len(g.mark))...)
	}
}

// touch notes the groups that change for the first time since the last flush, with what they were.
func (g *groupSet) touch(ids []uint32, before int) {
	fresh, mark := g.plan.fresh[:0], g.mark
	for _, id := range ids {
		if !mark[id] {
			mark[id] = true
			fresh = append(fresh, id)
		}
	}
	g.plan.fresh = fresh
	if len(fresh) == 0 {
		return
	}
	for _, id := range fresh {
		var was bool
		switch {
		case g.plan.always:
			was = g.started
		case g.plan.retract:
			was = g.rows[id] > 0
		default:
			was = int(id) < before
		}
		g.existed = append(g.existed, was)
	}
	g.dirty = append(g.dirty, fresh...)
	g.aggs.results(fresh, g.old)
}

// exists says whether group id is in the result now.
func (g *groupSet) exists(id uint32) bool {
	return g.plan.always || !g.plan.retract || g.rows[id] > 0
}

// flush emits the net change of each group that changed: the old row and the new one, where they differ.
func (g *groupSet) flush() error {
	m := len(g.dirty)
	if m == 0 {
		return nil
	}
	p := g.plan
	was, is := g.existed, make([]bool, m)
	fail := func(i int) { was[i] = false }
	for c := range g.old {
		for _, e := range g.old[c].Errs { // it has been reported when it came up, and was not sent
			fail(int(e.Row))
		}
		g.old[c].Errs = g.old[c].Errs[:0]
	}
	g.aggs.results(g.dirty, g.old)
	for i, id := range g.dirty {
		is[i] = g.exists(id)
	}
	g.keysOf(g.dirty)
	if err := g.failed(g.old, m, is); err != nil {
		return err
	}
	same := p.sameRows(g.old, m)
	sel, ops := p.sel[:0], p.ops[:0]
	for i := range m {
		if was[i] && is[i] && same[i] {
			continue
		}
		if was[i] {
			sel, ops = append(sel, int32(i)), append(ops, vec.Delete)
		}
		if is[i] {
			sel, ops = append(sel, int32(m+i)), append(ops, vec.Insert)
		}
	}
	p.sel, p.ops = sel, ops
	if err := p.emit(g, m, g.old, sel, ops); err != nil {
		return err
	}
	g.started = true
	var gone []uint32
	if p.retract && !p.always {
		for _, id := range g.dirty {
			if g.rows[id] == 0 {
				gone = append(gone, id)
			}
		}
	}
	g.unmark()
	if len(gone) > 0 {
		g.aggs.clear(gone)
		g.groups.Remove(gone)
	}
	return nil
}

// keysOf fills the plan's key columns with the keys of ids.
func (g *groupSet) keysOf(ids []uint32) {
	p := g.plan
	for i := range p.outKeys {
		p.outKeys[i].Reset(p.keyTypes[i].Kind(), 0)
	}
	g.groups.Append(ids, p.outKeys)
}

// failed reports rows of res from row at on that failed; those that the handler drops are not there any more.
func (g *groupSet) failed(res []vec.Vec, at int, is []bool) error {
	p := g.plan
	for c := range res {
		for _, e := range res[c].Errs {
			i := int(e.Row) - at
			if i < 0 || !is[i] {
				continue
			}
			if p.ctx.RowError == nil {
				return e.Err
			}
			is[i] = false
			b := p.errorRow(g, i)
			err := p.ctx.RowError(e.Err, b, 0)
			b.Release()
			if err != nil {
				return err
			}
		}
		res[c].Errs = res[c].Errs[:0]
	}
	return nil
}

// errorRow gives the key of a failed group as a row of the output, its aggregates NULL.
func (p *groupPlan) errorRow(g *groupSet, i int) *vec.Batch {
	b := vec.NewBuilder(p.ctx.Alloc, p.schema)
	k := len(p.outKeys)
	for c := range b.Cols {
		if c < k {
			b.Cols[c].Append(&p.outKeys[c], i)
		} else if p.windowed && c < k+3 {
			p.appendWindow(&b.Cols[c], c-k, g.win, 1)
		} else {
			b.Cols[c].AppendNull()
		}
	}
	out := b.Finish()
	b.Release()
	return out
}

// sameRows tells for each of the first m rows of res whether row m+i is the same.
func (p *groupPlan) sameRows(res []vec.Vec, m int) []bool {
	same := make([]bool, m)
	for i := range same {
		same[i] = true
	}
	for c := range res {
		v := &res[c]
		for i := range same {
			same[i] = same[i] && sameCell(v, i, m+i)
		}
	}
	return same
}

// sameCell says whether rows i and j of a column hold the same value to the bit.
func sameCell(v *vec.Vec, i, j int) bool {
	if v.Valid != nil {
		if a, b := v.IsNull(i), v.IsNull(j); a || b {
			return a && b
		}
	}
	switch v.Kind {
	case types.KindBool:
		return v.Bools[i] == v.Bools[j]
	case types.KindInt16:
		return v.I16[i] == v.I16[j]
	case types.KindInt32:
		return v.I32[i] == v.I32[j]
	case types.KindInt64:
		return v.I64[i] == v.I64[j]
	case types.KindFloat32:
		return v.F32[i] == v.F32[j] || v.F32[i] != v.F32[i] && v.F32[j] != v.F32[j]
	case types.KindFloat64:
		return v.F64[i] == v.F64[j] || v.F64[i] != v.F64[i] && v.F64[j] != v.F64[j]
	case types.KindFixed16:
		return v.F16[i] == v.F16[j]
	}
	return bytes.Equal(v.Bytes(i), v.Bytes(j))
}

// live lists the groups that are in the result, by id.
func (g *groupSet) live() []uint32 {
	ids := make([]uint32, 0, g.groups.Len())
	for id := range uint32(g.groups.Len()) {
		if g.exists(id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// emitAll sends every group once; sorted puts them in the order of their keys.
func (g *groupSet) emitAll(sorted bool) error {
	p := g.plan
	if p.always && g.groups.Len() == 0 {
		g.groups.Intern(nil, make([]uint32, 1))
		g.grow()
	}
	return g.emitIDs(g.live(), sorted)
}

// emitIDs sends the groups ids once.
func (g *groupSet) emitIDs(ids []uint32, sorted bool) error {
	p := g.plan
	m := len(ids)
	if m == 0 {
		return nil
	}
	if sorted {
		ids = g.sortByKey(ids)
	}
	g.keysOf(ids)
	for i := range p.results {
		p.results[i].Reset(p.aggs.kinds[i], 0)
	}
	g.aggs.results(ids, p.results)
	is := make([]bool, m)
	for i := range is {
		is[i] = true
	}
	if err := g.failed(p.results, 0, is); err != nil {
		return err
	}
	sel := p.sel[:0]
	for i, ok := range is {
		if ok {
			sel = append(sel, int32(i))
		}
	}
	p.sel = sel
	g.started = true
	return p.emit(g, m, p.results, sel, nil)
}

// sortByKey orders ids by their keys, NULLs last.
func (g *groupSet) sortByKey(ids []uint32) []uint32 {
	p := g.plan
	if len(ids) < 2 || len(p.keyTypes) == 0 {
		return ids
	}
	g.keysOf(ids)
	return sortRows(p.outKeys, p.keyTypes, ids)
}

// sortRows gives ids in the order of the rows of cols that belong to them.
func sortRows(cols []vec.Vec, ts []types.T, ids []uint32) []uint32 {
	if len(cols) == 1 && cols[0].Valid == nil && (cols[0].Kind == types.KindInt64 || cols[0].Kind == types.KindInt32) {
		return sortByInt(&cols[0], ids)
	}
	out := make([]uint32, len(ids))
	cmps := make([]func(a *vec.Vec, i int, b *vec.Vec, j int) int, len(cols))
	for c := range cols {
		cmps[c] = fn.Comparer(ts[c])
	}
	rows := make([]int, len(ids))
	for i := range rows {
		rows[i] = i
	}
	slices.SortStableFunc(rows, func(a, b int) int {
		for c := range cols {
			v := &cols[c]
			an, bn := v.IsNull(a), v.IsNull(b)
			switch {
			case an && bn:
				continue
			case an:
				return 1
			case bn:
				return -1
			}
			if r := cmps[c](v, a, v, b); r != 0 {
				return r
			}
		}
		return 0
	})
	for i, r := range rows {
		out[i] = ids[r]
	}
	return out
}

// intKey is a key less the smallest one, and the id that it stands for.
type intKey struct {
	k  uint64
	id uint32
}

// sortByInt gives ids in the order of the integers of v.
func sortByInt(v *vec.Vec, ids []uint32) []uint32 {
	if v.Kind == types.KindInt32 {
		return sortInts(v.I32[:len(ids)], ids)
	}
	return sortInts(v.I64[:len(ids)], ids)
}

func sortInts[E int32 | int64](vals []E, ids []uint32) []uint32 {
	if len(ids) == 0 {
		return nil
	}
	low := int64(slices.Min(vals))
	top := uint64(int64(slices.Max(vals)) - low) // wraps to the right unsigned distance
	if top < uint64(4*len(ids))+1024 {
		if out := placeInts(vals, ids, low, top); out != nil {
			return out
		}
	}
	return radixInts(vals, ids, low, top)
}

// placeInts sorts integers from low to low+top, of which a good part is there, by putting
// each in its place. It gives nil if two are equal, which the keys of groups never are.
func placeInts[E int32 | int64](vals []E, ids []uint32, low int64, top uint64) []uint32 {
	places := make([]uint32, top+1) // the id plus one
	for i, x := range vals {
		p := &places[uint64(int64(x)-low)]
		if *p != 0 {
			return nil
		}
		*p = ids[i] + 1
	}
	n := 0
	for _, id := range places {
		places[n] = id - 1
		if id != 0 {
			n++
		}
	}
	return places[:n]
}

// radixInts sorts integers from low to low+top, equal ones by their place, over the bytes in which they differ.
func radixInts[E int32 | int64](vals []E, ids []uint32, low int64, top uint64) []uint32 {
	a, b := make([]intKey, len(ids)), make([]intKey, len(ids))
	for i, id := range ids {
		a[i] = intKey{uint64(int64(vals[i]) - low), id}
	}
	for shift := uint(0); shift < 64 && top>>shift > 0; shift += 8 {
		var count [257]int
		for i := range a {
			count[a[i].k>>shift&255+1]++
		}
		for d := range 256 {
			count[d+1] += count[d]
		}
		for i := range a {
			d := a[i].k >> shift & 255
			b[count[d]] = a[i]
			count[d]++
		}
		a, b = b, a
	}
	out := make([]uint32, len(ids))
	for i := range a {
		out[i] = a[i].id
	}
	return out
}

// emit sends the rows sel of res, whose row i or m+i has the key i. ops nil: all inserts.
func (p *groupPlan) emit(g *groupSet, m int, res []vec.Vec, sel []int32, ops []vec.Op) error {
	var keySel []int32
	for at := 0; at < len(sel); at += vec.MaxRows {
		part := sel[at:min(at+vec.MaxRows, len(sel))]
		keySel = keySel[:0]
		for _, r := range part {
			if int(r) >= m {
				r -= int32(m)
			}
			keySel = append(keySel, r)
		}
		k := len(p.outKeys)
		first := k
		if p.windowed {
			first += 3
		}
		for c := range p.build.Cols {
			v := &p.build.Cols[c]
			switch {
			case c < k:
				v.Gather(&p.outKeys[c], keySel)
			case c < first:
				p.appendWindow(v, c-k, g.win, len(part))
			default:
				v.Gather(&res[c-first], part)
			}
		}
		if ops != nil {
			for _, o := range ops[at : at+len(part)] {
				p.build.AppendOp(o)
			}
		}
		if p.behind {
			for range part {
				p.build.W = append(p.build.W, p.w)
			}
		}
		b := p.build.Finish()
		err := p.out.Emit(b)
		b.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// appendWindow appends window_start, window_end or window_time (which 0, 1, 2) n times, in the type of the time column.
func (p *groupPlan) appendWindow(v *vec.Vec, which int, w window.Window, n int) {
	t := [3]vec.Time{w.Start, w.End, w.Time()}[which]
	at := v.N
	v.Extend(n)
	if v.Kind == types.KindInt32 {
		d := types.TimestampToDate(t)
		for i := at; i < v.N; i++ {
			v.I32[i] = d
		}
		return
	}
	for i := at; i < v.N; i++ {
		v.I64[i] = t
	}
}

// kept lists the groups that a snapshot holds.
func (g *groupSet) kept() []uint32 {
	ids := make([]uint32, 0, g.groups.Len())
	for id := range uint32(g.groups.Len()) {
		if g.plan.always || !g.plan.retract || g.rows[id] != 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

func (g *groupSet) snapshot(w *state.Writer) { g.snapshotOf(g.kept(), w) }

// snapshotOf writes the groups ids as snapshot does.
func (g *groupSet) snapshotOf(ids []uint32, w *state.Writer) {
	w.Bool(g.started)
	w.Bool(g.track)
	w.Uint64(uint64(len(ids)))
	g.keysOf(ids)
	for c := range g.plan.outKeys {
		writeColumn(w, &g.plan.outKeys[c])
	}
	if g.plan.retract {
		for _, id := range ids {
			w.Int64(g.rows[id])
		}
	}
	g.aggs.snapshot(ids, w)
}

func (g *groupSet) restore(r *state.Reader) error {
	g.started = r.Bool()
	g.track = r.Bool()
	n := int(r.Uint64())
	for c := range g.plan.outKeys {
		readColumn(r, &g.plan.outKeys[c], g.plan.keyTypes[c].Kind(), n)
	}
	if r.Err() != nil {
		return r.Err()
	}
	ids := make([]uint32, n)
	g.groups.Intern(g.plan.outKeys, ids)
	g.grow()
	if g.plan.retract {
		for _, id := range ids {
			g.rows[id] = r.Int64()
		}
	}
	return g.aggs.restore(ids, r)
}
