package exec

import (
	"slices"

	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
	"streamsql/state"
)

// scalarJoin is the left join of a scalar subquery that may have more than one row, in a
// continuous query: a left row goes on with the one right row that it matches, with NULLs if there is
// none, and not at all while there are several (21000): it comes back when that has passed. What
// a left row has depends on all its matches, so they are counted at the tick, when both sides are complete.
type scalarJoin struct {
	n        *planner.Join
	ctx      *Context
	out      Output
	residual *Program

	groups groupTable
	left   *rowStore
	right  *rowStore
	byKey  []scalarGroup // by group
	alone  []rowRef      // left rows whose key is NULL: they match nothing
	dirty  []uint32      // groups to look at

	// What the tick sends: a left row, the right row beside it (noRow: NULLs) and its Op.
	own, ref []rowRef
	ops      []vec.Op

	marks [2]Mark
	mark  Mark
	sent  Mark
	hasW  bool

	views []vec.Vec
	keys  []vec.Vec
	ids   []uint32
}

// scalarGroup is the rows of one key.
type scalarGroup struct {
	left, right []rowRef
	shown       []rowRef // of each left row: the right row that was sent with it, noRow, noResult, or notShown
	dirty       bool
	all         bool // the right side has changed: all left rows are concerned
}

// Instead of a right row: nothing was sent, as several match; or nothing yet.
const (
	noResult rowRef = noRow - 1
	notShown rowRef = noRow - 2
)

// singleJoin is the join of a scalar subquery: in a snapshot the ordinary one, which ends with
// the error, in a continuous query a scalarJoin.
type singleJoin struct {
	Operator
	n *planner.Join
}

// Open implements Operator.
func (s *singleJoin) Open(ctx *Context, out Output) (err error) {
	if ctx.Continuous {
		none := Mark{W: vec.MinTime}
		s.Operator = &scalarJoin{n: s.n, marks: [2]Mark{none, none}, mark: none, sent: none}
	} else if s.Operator, err = newJoin(s.n); err != nil {
		return err
	}
	return s.Operator.Open(ctx, out)
}

// Close implements Operator.
func (s *singleJoin) Close() error {
	if s.Operator == nil {
		return nil
	}
	return s.Operator.Close()
}

func (s *singleJoin) stateRows() int64 {
	if c, ok := s.Operator.(stateCounter); ok {
		return c.stateRows()
	}
	return 0
}

func (j *scalarJoin) Open(ctx *Context, out Output) error {
	j.ctx, j.out = ctx, out
	ls, rs := j.n.Left.Schema(), j.n.Right.Schema()
	j.left, j.right = newRowStore(ctx.Alloc, schemaKinds(ls)), newRowStore(ctx.Alloc, schemaKinds(rs))
	var keys []types.T
	for _, k := range j.n.LeftKeys {
		keys = append(keys, ls.Fields[k].Type)
	}
	j.groups = newGroups(ctx.Alloc, keys)
	if len(j.n.Residual) == 0 {
		return nil
	}
	var err error
	j.residual, err = CompileExprs(ctx, j.n.Residual, j.n.Schema())
	return err
}

// Push implements Operator.
func (j *scalarJoin) Push(input int, b *vec.Batch) error {
	j.hasW = j.hasW || b.W != nil
	alone := j.find(input, b)
	for i, id := range j.ids {
		g := &j.byKey[id]
		switch {
		case alone != nil && alone[i]:
			if input == 0 {
				j.changeAlone(b.Op(i), i)
			}
		case input == 0:
			j.changeLeft(g, b.Op(i), i)
		default:
			j.changeRight(g, b.Op(i), i)
		}
		if !g.dirty {
			g.dirty = true
			j.dirty = append(j.dirty, id)
		}
	}
	return nil
}

// find gives the groups of a batch's rows, and which rows match nothing as a key is NULL.
func (j *scalarJoin) find(input int, b *vec.Batch) (alone []bool) {
	keys := j.n.LeftKeys
	if input == 1 {
		keys = j.n.RightKeys
	}
	j.views = b.Views(j.views)
	j.keys = keyCols(j.keys, j.views, keys)
	j.ids = growSide(j.ids[:0], 0, b.N)
	j.groups.Intern(j.keys, j.ids)
	for len(j.byKey) < j.groups.Len() {
		j.byKey = append(j.byKey, scalarGroup{})
	}
	for k, c := range keys {
		if k < len(j.n.NullSafe) && j.n.NullSafe[k] || !j.views[c].HasNulls() {
			continue
		}
		for i := range b.N {
			if j.views[c].IsNull(i) {
				if alone == nil {
					alone = make([]bool, b.N)
				}
				alone[i] = true
			}
		}
	}
	return alone
}

// position finds row i of the views among refs, -1 if it is not there.
func (j *scalarJoin) position(s *rowStore, refs []rowRef, i int) int {
	return slices.IndexFunc(refs, func(r rowRef) bool {
		cols, row := s.at(r)
		return sameRow(cols, row, j.views, i)
	})
}

func (j *scalarJoin) changeAlone(op vec.Op, i int) {
	if op == vec.Insert {
		r := j.left.add(j.views, i)
		j.alone = append(j.alone, r)
		j.show(r, noRow, vec.Insert)
		return
	}
	if at := j.position(j.left, j.alone, i); at >= 0 {
		j.show(j.alone[at], noRow, vec.Delete)
		j.left.kill(j.alone[at])
		j.alone = slices.Delete(j.alone, at, at+1)
	}
}

func (j *scalarJoin) changeLeft(g *scalarGroup, op vec.Op, i int) {
	if op == vec.Insert {
		g.left = append(g.left, j.left.add(j.views, i))
		g.shown = append(g.shown, notShown)
		return
	}
	at := j.position(j.left, g.left, i)
	if at < 0 {
		j.ctx.late()
		return
	}
	j.show(g.left[at], g.shown[at], vec.Delete)
	j.left.kill(g.left[at])
	g.left, g.shown = slices.Delete(g.left, at, at+1), slices.Delete(g.shown, at, at+1)
}

func (j *scalarJoin) changeRight(g *scalarGroup, op vec.Op, i int) {
	g.all = true
	if op == vec.Insert {
		g.right = append(g.right, j.right.add(j.views, i))
		return
	}
	at := j.position(j.right, g.right, i)
	if at < 0 {
		j.ctx.late()
		return
	}
	j.right.kill(g.right[at]) // it is readable until the store is compacted, after the tick
	g.right = slices.Delete(g.right, at, at+1)
}

// show notes an output row, unless there is none.
func (j *scalarJoin) show(l, r rowRef, op vec.Op) {
	if r != noResult && r != notShown {
		j.own, j.ref, j.ops = append(j.own, l), append(j.ref, r), append(j.ops, op)
	}
}

// Tick implements Operator.
func (j *scalarJoin) Tick(Tick) error {
	for _, id := range j.dirty {
		g := &j.byKey[id]
		for k, l := range g.left {
			if !g.all && g.shown[k] != notShown {
				continue
			}
			r, err := j.match(g, l)
			if err != nil {
				return err
			}
			if r == g.shown[k] {
				continue
			}
			if r == noResult {
				if err := j.several(l); err != nil {
					return err
				}
			}
			j.show(l, g.shown[k], vec.Delete)
			j.show(l, r, vec.Insert)
			g.shown[k] = r
		}
		g.dirty, g.all = false, false
	}
	err := j.flush()
	var empty []uint32
	for _, id := range j.dirty {
		if g := &j.byKey[id]; len(g.left)+len(g.right) == 0 {
			*g = scalarGroup{}
			empty = append(empty, id)
		}
	}
	j.groups.Remove(empty)
	j.dirty = j.dirty[:0]
	if err != nil {
		return err
	}
	j.compact()
	return passHeld(j.out, j.mark, &j.sent)
}

// match gives the right row that a left row goes on with.
func (j *scalarJoin) match(g *scalarGroup, l rowRef) (rowRef, error) {
	refs := g.right
	if j.residual != nil && len(refs) > 0 {
		var err error
		if refs, err = j.filter(l, refs); err != nil {
			return 0, err
		}
	}
	switch len(refs) {
	case 0:
		return noRow, nil
	case 1:
		return refs[0], nil
	}
	return noResult, nil
}

// filter gives the right rows for which the residual condition holds beside l.
func (j *scalarJoin) filter(l rowRef, refs []rowRef) (pass []rowRef, err error) {
	own := make([]rowRef, len(refs))
	for i := range own {
		own[i] = l
	}
	b := j.rows(own, refs, nil)
	defer b.Release()
	out, err := j.residual.Eval(b.Views(nil), b.N)
	if err != nil {
		return nil, err
	}
	for i, r := range refs {
		ok := true
		for _, v := range out {
			for _, e := range v.Errs {
				if int(e.Row) == i {
					if j.ctx.RowError == nil {
						return nil, e.Err
					}
					if err := j.ctx.RowError(e.Err, b, i); err != nil {
						return nil, err
					}
					ok = false
				}
			}
			ok = ok && !v.IsNull(i) && v.Bools[i]
		}
		if ok {
			pass = append(pass, r)
		}
	}
	return pass, nil
}

// several reports a left row that matches more than one row.
func (j *scalarJoin) several(l rowRef) error {
	if j.ctx.RowError == nil {
		return errNotSingle()
	}
	b := j.left.takeRows(j.n.Left.Schema(), []rowRef{l}, nil)
	defer b.Release()
	return j.ctx.RowError(errNotSingle(), b, 0)
}

// rows makes a batch of left rows with right rows beside them.
func (j *scalarJoin) rows(own, ref []rowRef, ops []vec.Op) *vec.Batch {
	bld := vec.NewBuilder(j.ctx.Alloc, j.n.Schema())
	defer bld.Release()
	nl := j.n.Left.Schema().Len()
	for c := range bld.Cols {
		if c < nl {
			j.left.gather(&bld.Cols[c], c, own, false)
		} else {
			j.right.gather(&bld.Cols[c], c-nl, ref, slices.Contains(ref, noRow))
		}
	}
	b := bld.Finish()
	b.Ops = ops
	return b
}

func (j *scalarJoin) flush() error {
	out := marked(j.out, j.hasW, j.sent.W)
	for at := 0; at < len(j.own); at += vec.MaxRows {
		end := min(at+vec.MaxRows, len(j.own))
		b := j.rows(j.own[at:end], j.ref[at:end], slices.Clone(j.ops[at:end]))
		err := out.Emit(b)
		b.Release()
		if err != nil {
			return err
		}
	}
	j.own, j.ref, j.ops = j.own[:0], j.ref[:0], j.ops[:0]
	return nil
}

// Advance implements Operator: the mark waits for the rows of the tick.
func (j *scalarJoin) Advance(input int, m Mark) error {
	j.marks[input] = m
	j.mark = Combine(j.mark.W, j.marks[:])
	return nil
}

// compact copies the live rows once the dead ones are the larger part.
func (j *scalarJoin) compact() {
	moved := func(s *rowStore) bool { return s.dead >= 4096 && s.dead >= s.live }
	if moved(j.left) {
		s := newRowStore(j.left.alloc, j.left.kinds)
		move := func(refs []rowRef) {
			for i, r := range refs {
				cols, row := j.left.at(r)
				refs[i] = s.add(cols, row)
			}
		}
		move(j.alone)
		for i := range j.byKey {
			move(j.byKey[i].left)
		}
		j.left.reset()
		j.left = s
	}
	if moved(j.right) {
		s := newRowStore(j.right.alloc, j.right.kinds)
		for i := range j.byKey {
			g := &j.byKey[i]
			to := make(map[rowRef]rowRef, len(g.right))
			for k, r := range g.right {
				cols, row := j.right.at(r)
				g.right[k] = s.add(cols, row)
				to[r] = g.right[k]
			}
			for k, r := range g.shown {
				if x, ok := to[r]; ok {
					g.shown[k] = x
				}
			}
		}
		j.right.reset()
		j.right = s
	}
}

// Snapshot implements Operator. What was sent with a left row is written as its place among the right rows of its key,
// or as one of the special references.
func (j *scalarJoin) Snapshot(w *state.Writer) error {
	for _, m := range []Mark{j.marks[0], j.marks[1], j.mark} {
		w.Int64(m.W)
		w.Bool(m.Idle)
	}
	w.Bool(j.hasW)
	var left, right []rowRef
	var shown []uint64
	for i := range j.byKey {
		g := &j.byKey[i]
		left, right = append(left, g.left...), append(right, g.right...)
		for _, r := range g.shown {
			if at := slices.Index(g.right, r); at >= 0 {
				shown = append(shown, uint64(at))
			} else {
				shown = append(shown, uint64(r))
			}
		}
	}
	writeStore(w, j.left, left)
	for _, x := range shown {
		w.Uint64(x)
	}
	writeStore(w, j.left, j.alone)
	writeStore(w, j.right, right)
	return nil
}

// Restore implements Operator.
func (j *scalarJoin) Restore(r *state.Reader) error {
	for _, m := range []*Mark{&j.marks[0], &j.marks[1], &j.mark} {
		*m = Mark{W: r.Int64(), Idle: r.Bool()}
	}
	j.sent, j.hasW = j.mark, r.Bool()
	left, err := readStore(r, j.left)
	if err != nil {
		return err
	}
	shown := make([]uint64, len(left))
	for i := range shown {
		shown[i] = r.Uint64()
	}
	if j.alone, err = readStore(r, j.left); err != nil {
		return err
	}
	right, err := readStore(r, j.right)
	if err != nil || r.Err() != nil {
		return errForeignState()
	}
	byLeft := regroup(j.groups, j.left, j.n.LeftKeys, left, false, func(dst [][]int, id uint32, k int) { dst[id] = append(dst[id], k) })
	byRight := regroup(j.groups, j.right, j.n.RightKeys, right, false, func(dst [][]rowRef, id uint32, k int) { dst[id] = append(dst[id], right[k]) })
	j.byKey = make([]scalarGroup, j.groups.Len())
	for id, refs := range byRight {
		j.byKey[id].right = refs
	}
	for id, ks := range byLeft {
		g := &j.byKey[id]
		for _, k := range ks {
			at := shown[k]
			if at < uint64(notShown) {
				if at >= uint64(len(g.right)) {
					return errForeignState()
				}
				at = uint64(g.right[at])
			}
			g.left, g.shown = append(g.left, left[k]), append(g.shown, rowRef(at))
		}
	}
	return nil
}

// Close implements Operator.
func (j *scalarJoin) Close() error {
	for _, s := range []*rowStore{j.left, j.right} {
		if s != nil {
			s.reset()
		}
	}
	if j.groups != nil {
		j.groups.Close()
		j.groups = nil
	}
	if j.residual != nil {
		j.residual.Close()
	}
	releaseViews(j.views)
	return nil
}

func (j *scalarJoin) stateRows() int64 { return int64(j.left.live + j.right.live) }
