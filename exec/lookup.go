package exec

import (
	"slices"

	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
	"streamsql/state"
)

// lookupJoin joins each left row with the right rows of its key that are there at the end of the tick in which it comes. Later
// changes of the right side do not concern it. Where the left side retracts, what was sent of each left row is kept: its delete takes back just that.
type lookupJoin struct {
	n      *planner.LookupJoin
	ctx    *Context
	out    Output
	groups groupTable // the keys of the right side
	right  *rowStore
	rows   [][]rowRef // by group
	held   []*vec.Batch
	mark   Mark
	passed Mark

	retracts bool
	sent     groupTable   // the left rows that something was sent of
	results  *rowStore    // what was sent
	stacks   [][][]rowRef // by left row: the results of each copy of it, the last one last

	views []vec.Vec
	keys  []vec.Vec
	ids   []uint32
	lids  []uint32
	res   lookupResult
}

// lookupResult gathers output rows of a batch of left rows.
type lookupResult struct {
	own    []int32
	ref    []rowRef
	padded bool
}

func newLookupJoin(n *planner.LookupJoin) (Operator, error) {
	return &lookupJoin{n: n, mark: Mark{W: vec.MinTime}, passed: Mark{W: vec.MinTime}}, nil
}

// Open implements Operator.
func (l *lookupJoin) Open(ctx *Context, out Output) error {
	l.ctx, l.out = ctx, out
	if !ctx.Continuous {
		return pgerr.New(pgerr.InternalError, "a lookup join in a snapshot is a join")
	}
	ls, rs := l.n.Left.Schema(), l.n.Right.Schema()
	l.right = newRowStore(ctx.Alloc, schemaKinds(rs))
	var keys []types.T
	for _, k := range l.n.RightKeys {
		keys = append(keys, rs.Fields[k].Type)
	}
	l.groups = newGroups(ctx.Alloc, keys)
	l.retracts = l.n.Left.Props().Retracts
	if l.retracts {
		l.results = newRowStore(ctx.Alloc, schemaKinds(l.n.Schema()))
		var exact []types.T
		for _, f := range ls.Fields {
			exact = append(exact, exactType(f.Type))
		}
		l.sent = newGroups(ctx.Alloc, exact)
	}
	return nil
}

// Push implements Operator.
func (l *lookupJoin) Push(input int, b *vec.Batch) error {
	if b.N == 0 {
		return nil
	}
	if input == 0 {
		l.held = append(l.held, b.Retain())
		return nil
	}
	alone := l.find(b, l.n.RightKeys, true)
	for len(l.rows) < l.groups.Len() {
		l.rows = append(l.rows, nil)
	}
	for i, id := range l.ids {
		if alone != nil && alone[i] {
			continue
		}
		if b.Op(i) == vec.Insert {
			l.rows[id] = append(l.rows[id], l.right.add(l.views, i))
			continue
		}
		at := slices.IndexFunc(l.rows[id], func(r rowRef) bool {
			cols, row := l.right.at(r)
			return sameRow(cols, row, l.views, i)
		})
		if at < 0 {
			l.ctx.late()
			continue
		}
		l.right.kill(l.rows[id][at])
		l.rows[id] = slices.Delete(l.rows[id], at, at+1)
	}
	return nil
}

// find gives the groups of a batch's rows, and which rows match nothing as a key is NULL.
func (l *lookupJoin) find(b *vec.Batch, keys []int, add bool) (alone []bool) {
	l.views = b.Views(l.views)
	l.keys = keyCols(l.keys, l.views, keys)
	l.ids = growSide(l.ids[:0], 0, b.N)
	if add {
		l.groups.Intern(l.keys, l.ids)
	} else {
		l.groups.Find(l.keys, l.ids)
	}
	for k, c := range keys {
		v := &l.views[c]
		if !v.HasNulls() || k < len(l.n.NullSafe) && l.n.NullSafe[k] {
			continue
		}
		for i := range b.N {
			if v.IsNull(i) {
				if alone == nil {
					alone = make([]bool, b.N)
				}
				alone[i] = true
			}
		}
	}
	return alone
}

// Advance implements Operator: the right side holds nobody back.
func (l *lookupJoin) Advance(input int, m Mark) error {
	if input == 0 {
		l.mark = m
	}
	return nil
}

// Tick implements Operator: the right side is complete now, so the left rows of the tick can be joined.
func (l *lookupJoin) Tick(Tick) error {
	for i, b := range l.held {
		l.held[i] = nil
		err := l.join(b)
		b.Release()
		if err != nil {
			l.held = l.held[i+1:]
			return err
		}
	}
	l.held = l.held[:0]
	l.compact()
	return passHeld(l.out, l.mark, &l.passed)
}

// join sends what the left rows of a batch give.
func (l *lookupJoin) join(b *vec.Batch) error {
	alone := l.find(b, l.n.LeftKeys, false)
	if l.retracts {
		l.lids = growSide(l.lids[:0], 0, b.N)
		exact := make([]vec.Vec, len(l.views))
		for i := range exact {
			exact[i] = exactly(&l.views[i])
		}
		l.sent.Intern(exact, l.lids)
		for len(l.stacks) < l.sent.Len() {
			l.stacks = append(l.stacks, nil)
		}
	}
	for i, id := range l.ids {
		if b.Op(i) == vec.Delete {
			if err := l.flush(b); err != nil {
				return err
			}
			if err := l.takeBack(l.lids[i]); err != nil {
				return err
			}
			continue
		}
		var refs []rowRef
		if id != NoGroup && (alone == nil || !alone[i]) {
			refs = l.rows[id]
		}
		if len(refs) == 0 && l.n.Outer {
			refs = []rowRef{noRow}
			l.res.padded = true
		}
		for _, r := range refs {
			l.res.own, l.res.ref = append(l.res.own, int32(i)), append(l.res.ref, r)
		}
		if len(l.res.own) >= vec.MaxRows {
			if err := l.flush(b); err != nil {
				return err
			}
		}
	}
	err := l.flush(b)
	if l.retracts {
		l.forget()
	}
	return err
}

// flush sends the gathered rows, and keeps them where they may be taken back.
func (l *lookupJoin) flush(b *vec.Batch) error {
	q := &l.res
	n := len(q.own)
	if n == 0 {
		return nil
	}
	bld := vec.NewBuilder(l.ctx.Alloc, l.n.Schema())
	nl := l.n.Left.Schema().Len()
	for c := range bld.Cols {
		if c < nl {
			bld.Cols[c].Gather(&l.views[c], q.own)
		} else {
			l.right.gather(&bld.Cols[c], c-nl, q.ref, q.padded)
		}
	}
	if l.retracts {
		at := 0
		l.results.addSel(bld.Cols, iota32(n), func(blk, row int, sel []int32) {
			for k := range sel {
				ref := rowRef(blk<<blockBits | (row + k))
				id := l.lids[q.own[at]]
				if s := l.stacks[id]; at > 0 && q.own[at] == q.own[at-1] {
					s[len(s)-1] = append(s[len(s)-1], ref)
				} else {
					l.stacks[id] = append(s, []rowRef{ref})
				}
				at++
			}
		})
	}
	out := bld.Finish()
	bld.Release()
	if b.W != nil {
		out.W = make([]vec.Time, n)
		for k, i := range q.own {
			out.W[k] = b.W[i]
		}
	}
	*q = lookupResult{own: q.own[:0], ref: q.ref[:0]}
	err := l.out.Emit(out)
	out.Release()
	return err
}

// takeBack sends the deletes of what one copy of a left row gave: the last one that gave anything.
func (l *lookupJoin) takeBack(id uint32) error {
	s := l.stacks[id]
	if len(s) == 0 {
		return nil
	}
	refs := s[len(s)-1]
	l.stacks[id] = s[:len(s)-1]
	ops := make([]vec.Op, len(refs))
	for i := range ops {
		ops[i] = vec.Delete
	}
	err := l.results.emitRows(l.out, l.n.Schema(), refs, ops)
	for _, r := range refs {
		l.results.kill(r)
	}
	return err
}

// forget drops the left rows of the batch of which nothing is kept.
func (l *lookupJoin) forget() {
	slices.Sort(l.lids)
	var gone []uint32
	for _, id := range slices.Compact(l.lids) {
		if len(l.stacks[id]) == 0 {
			l.stacks[id] = nil
			gone = append(gone, id)
		}
	}
	l.sent.Remove(gone)
}

// compact copies the live rows of a store once the dead ones are the larger part.
func (l *lookupJoin) compact() {
	shrunk := func(old *rowStore, lists [][]rowRef) *rowStore {
		s := newRowStore(old.alloc, old.kinds)
		for _, refs := range lists {
			for i, r := range refs {
				cols, row := old.at(r)
				refs[i] = s.add(cols, row)
			}
		}
		old.reset()
		return s
	}
	large := func(s *rowStore) bool { return s != nil && s.dead >= 4096 && s.dead >= s.live }
	if large(l.right) {
		l.right = shrunk(l.right, l.rows)
	}
	if large(l.results) {
		l.results = shrunk(l.results, slices.Concat(l.stacks...))
	}
}

// Snapshot implements Operator. After a tick no left row is held.
func (l *lookupJoin) Snapshot(w *state.Writer) error {
	w.Int64(l.mark.W)
	w.Bool(l.mark.Idle)
	writeStore(w, l.right, slices.Concat(l.rows...))
	if !l.retracts {
		return nil
	}
	var refs []rowRef
	var sizes []int
	for _, s := range l.stacks {
		for _, r := range s {
			refs = append(refs, r...)
			sizes = append(sizes, len(r))
		}
	}
	writeStore(w, l.results, refs)
	w.Uint64(uint64(len(sizes)))
	for _, n := range sizes {
		w.Uint64(uint64(n))
	}
	return nil
}

// Restore implements Operator.
func (l *lookupJoin) Restore(r *state.Reader) error {
	l.mark = Mark{W: r.Int64(), Idle: r.Bool()}
	l.passed = l.mark
	refs, err := readStore(r, l.right)
	if err != nil {
		return err
	}
	l.rows = regroup(l.groups, l.right, l.n.RightKeys, refs, false, func(dst [][]rowRef, id uint32, k int) { dst[id] = append(dst[id], refs[k]) })
	if !l.retracts {
		return r.Err()
	}
	if refs, err = readStore(r, l.results); err != nil {
		return err
	}
	var first []rowRef
	var parts [][]rowRef
	for n := r.Uint64(); n > 0 && r.Err() == nil; n-- {
		k := int(r.Uint64())
		if k < 1 || k > len(refs) {
			return errForeignState()
		}
		first, parts, refs = append(first, refs[0]), append(parts, refs[:k:k]), refs[k:]
	}
	l.stacks = regroup(l.sent, l.results, iotaInts(l.n.Left.Schema().Len()), first, true, func(dst [][][]rowRef, id uint32, k int) { dst[id] = append(dst[id], parts[k]) })
	return r.Err()
}

func iotaInts(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = i
	}
	return s
}

// regroup finds the groups of the rows refs of a store by some of its columns, and has each put into a list by group.
func regroup[E any](g groupTable, s *rowStore, cols []int, refs []rowRef, exact bool, put func(dst []E, id uint32, k int)) []E {
	keys := make([]vec.Vec, len(cols))
	for i, c := range cols {
		var v vec.Vec
		v.SetAllocator(s.alloc)
		v.Reset(s.kinds[c], 0)
		s.gather(&v, c, refs, false)
		keys[i] = v
	}
	given := keys
	if exact {
		given = make([]vec.Vec, len(keys))
		for i := range keys {
			given[i] = exactly(&keys[i])
		}
	}
	ids := make([]uint32, len(refs))
	g.Intern(given, ids)
	out := make([]E, g.Len())
	for k, id := range ids {
		put(out, id, k)
	}
	for i := range keys {
		keys[i].Release()
	}
	return out
}

// Close implements Operator.
func (l *lookupJoin) Close() error {
	for _, b := range l.held {
		if b != nil {
			b.Release()
		}
	}
	l.held = nil
	for _, s := range []*rowStore{l.right, l.results} {
		if s != nil {
			s.reset()
		}
	}
	for _, g := range []groupTable{l.groups, l.sent} {
		if g != nil {
			g.Close()
		}
	}
	l.groups, l.sent = nil, nil
	for i := range l.views {
		l.views[i].Release()
	}
	return nil
}

var _ Operator = (*lookupJoin)(nil)
