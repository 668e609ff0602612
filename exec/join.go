package exec

import (
	"slices"

	"streamsql/internal/fn"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
)

// joinOp is a hash join under retraction. Each side keeps its rows by key; a row of
// one side is joined with the rows of the other that are there. Rows that no row
// of the other side can match any more are not kept.
//
// A padded row (of an outer join; in an anti join: a left row without a match) is sent at once and
// taken back by the first match, so that the result is the query's at every tick. Where rows are final
// (a snapshot, or OnClose with times that bound the matches) it is sent once, when no match can come any more.
type joinOp struct {
	n     *planner.Join
	ctx   *Context
	out   Output
	sides [2]*joinSide // left, right

	residual *Program
	resCols  []int // the columns that the residual reads, of both sides
	resVecs  []vec.Vec
	// nullKey compares the first keys of NOT IN over candidate pairs, where NULLs match; nil: not asked for.
	nullKey func(a *vec.Vec, i int, b *vec.Vec, j int) int

	timed    bool
	past     int64 // 1 where the times are window ends: nothing of an end comes at a watermark of that end
	deferPad bool
	semi     bool // left rows with a match
	anti     bool // left rows without one
	pairs    bool // matching pairs are sent
	single   bool
	half     bool // semi or anti decided by the key alone: right rows are only counted

	held     []*vec.Batch // left rows of a snapshot until the right side is complete
	leftDone bool
	prev     Mark
	hasW     bool // rows behind the watermark were seen

	// Of the push under way.
	b        *vec.Batch
	own      int
	class    []rowClass // nil: all joinable
	times    []vec.Time // timed: of each row
	timeMem  []vec.Time
	matched  []int32
	firstRef []rowRef // single: the match of each row
	cur      int      // the first row whose pairs are not all sent
	pOwn     []int32
	pRef     []rowRef
	oOwn     []int32
	oRef     []rowRef
	oOp      []vec.Op
	ownPad   bool
	refPad   bool
	look     []bucketLookup
	scratch  joinScratch
	dst      vec.Vec

	keyed *halfJoin
}

// rowClass says what becomes of a row.
type rowClass uint8

const (
	rowJoins  rowClass = iota
	rowAlone           // matches nothing: a key or the time is NULL
	rowIsLate          // is behind what was freed
)

func newJoin(n *planner.Join) (Operator, error) {
	if len(n.LeftKeys) != len(n.RightKeys) {
		return nil, pgerr.New(pgerr.InternalError, "join keys do not pair up")
	}
	return &joinOp{n: n, prev: Mark{W: vec.MinTime}}, nil
}

// Open implements Operator.
func (j *joinOp) Open(ctx *Context, out Output) error {
	j.ctx, j.out = ctx, out
	n := j.n
	lk, rk := n.LeftKeys, n.RightKeys
	j.semi, j.anti = n.Type == planner.SemiJoin, n.Type == planner.AntiJoin
	j.pairs = !j.semi && !j.anti
	j.single = n.Single
	bound := n.Interval
	if bound == nil && n.WindowEnd != nil {
		bound = &planner.IntervalBound{LeftTime: n.WindowEnd[0], RightTime: n.WindowEnd[1]}
	}
	j.timed = bound != nil
	if n.Interval == nil && n.CloseEnd {
		j.past = 1
	}
	j.half = (j.semi || j.anti) && len(n.Residual) == 0 && !j.timed && len(lk) > 0 && (!n.NullAware || len(lk) == 1)
	if n.NullAware && !j.half && len(lk) > 0 {
		j.nullKey = fn.Comparer(n.Left.Schema().Fields[lk[0]].Type)
		lk, rk = lk[1:], rk[1:]
	}
	ls, rs := n.Left.Schema(), n.Right.Schema()
	l := newJoinSide(ctx.Alloc, ls, lk, ctx.Continuous && n.Left.Props().Retracts)
	r := newJoinSide(ctx.Alloc, rs, rk, ctx.Continuous && n.Right.Props().Retracts)
	j.sides = [2]*joinSide{l, r}
	l.pad = n.Type == planner.LeftJoin || n.Type == planner.FullJoin || j.anti
	r.pad = n.Type == planner.RightJoin || n.Type == planner.FullJoin
	l.store.keepMatches = l.pad || j.semi
	r.store.keepMatches = r.pad
	if j.timed {
		l.timeCol, l.shift = bound.LeftTime, bound.Hi
		r.timeCol, r.shift = bound.RightTime, -bound.Lo
		l.width = max((bound.Hi-bound.Lo)/4, 1)
		r.width = l.width
	}
	j.deferPad = !ctx.Continuous || j.timed && n.OnClose
	if j.half {
		j.keyed = newHalfJoin(j)
	}
	if len(n.Residual) > 0 {
		both := &vec.Schema{Fields: append(append([]vec.Field{}, ls.Fields...), rs.Fields...)}
		p, err := CompileExprs(ctx, n.Residual, both)
		if err != nil {
			return err
		}
		j.residual = p
		j.resVecs = make([]vec.Vec, len(both.Fields))
		seen := make([]bool, len(both.Fields))
		for _, nd := range p.nodes {
			if nd.column >= 0 && !seen[nd.column] {
				seen[nd.column] = true
				j.resCols = append(j.resCols, nd.column)
			}
		}
		for i := range j.resVecs {
			j.resVecs[i].SetAllocator(ctx.Alloc)
			j.resVecs[i].Reset(both.Fields[i].Type.Kind(), 0)
		}
	}
	j.dst.SetAllocator(ctx.Alloc)
	return nil
}

// Push implements Operator.
func (j *joinOp) Push(input int, b *vec.Batch) error {
	if b.N == 0 {
		return nil
	}
	if !j.ctx.Continuous {
		if input == 0 && !j.sides[1].ended {
			j.held = append(j.held, b.Retain())
			return nil
		}
	}
	return j.push(input, b)
}

// push joins a batch with the other side and keeps its rows where a match can still come.
func (j *joinOp) push(input int, b *vec.Batch) error {
	s := j.sides[input]
	s.views = b.Views(s.views)
	j.hasW = j.hasW || b.W != nil
	j.begin(input, b)
	if j.half {
		return j.keyed.push(input, b)
	}
	if err := j.classify(s, b); err != nil {
		return err
	}
	if err := j.probe(); err != nil {
		return err
	}
	if err := j.flushOut(); err != nil {
		return err
	}
	if !j.sides[1-input].ended {
		j.keep(s, b)
		s.compact()
	}
	return nil
}

func (j *joinOp) begin(input int, b *vec.Batch) {
	j.b, j.own, j.cur = b, input, 0
	j.pOwn, j.pRef = j.pOwn[:0], j.pRef[:0]
	j.matched = growSide(j.matched[:0], 0, b.N)
	if j.single {
		j.firstRef = growSide(j.firstRef[:0], 0, b.N)
	}
}

// classify finds the rows that cannot match anything, and in timed joins the event times.
func (j *joinOp) classify(s *joinSide, b *vec.Batch) error {
	j.class = nil
	mark := func(i int, c rowClass) {
		if j.class == nil {
			j.class = make([]rowClass, b.N)
		}
		j.class[i] = c
	}
	first := len(j.n.LeftKeys) - len(s.keys) // a key of NOT IN is not among them
	for k, c := range s.keys {
		if v := &s.views[c]; v.HasNulls() && !(k+first < len(j.n.NullSafe) && j.n.NullSafe[k+first]) {
			for i := range b.N {
				if v.IsNull(i) {
					mark(i, rowAlone)
				}
			}
		}
	}
	j.times = nil
	if !j.timed {
		return nil
	}
	o := j.sides[1-j.own]
	v := &s.views[s.timeCol]
	if v.Kind == types.KindInt64 && v.Valid == nil && b.W == nil {
		j.times = v.I64[:b.N]
		return nil
	}
	j.timeMem = growSide(j.timeMem[:0], 0, b.N)
	j.times = j.timeMem
	for i := range b.N {
		if v.IsNull(i) {
			mark(i, rowAlone)
			continue
		}
		t := timeOf(v, i)
		j.times[i] = t
		if b.W == nil {
			continue
		}
		w := satAdd(b.W[i], j.past)
		if t >= w {
			continue
		}
		// A late row still meets the rows that are not final for it, and those to come.
		if satAdd(w, -o.shift) > satAdd(t, s.shift) && satAdd(t, s.shift) < s.final {
			if err := reportLate(j.ctx, b, i, satAdd(t, s.shift)); err != nil {
				return err
			}
			mark(i, rowIsLate)
		}
	}
	return nil
}

// final reports whether no match can come any more for row i of the batch.
func (j *joinOp) final(i int) bool {
	s := j.sides[j.own]
	if j.sides[1-j.own].ended {
		return true
	}
	return j.timed && j.ctx.Continuous && satAdd(j.times[i], s.shift) < s.final
}

// keep stores the rows of the batch that may still be matched.
func (j *joinOp) keep(s *joinSide, b *vec.Batch) {
	stored := func(i int) bool {
		if j.class != nil && j.class[i] != rowJoins {
			return false
		}
		return !j.timed || !j.ctx.Continuous || satAdd(j.times[i], s.shift) >= s.final
	}
	if !s.retracts {
		all := true
		if j.class == nil && j.timed && j.ctx.Continuous {
			all = satAdd(slices.Min(j.times), s.shift) >= s.final
		} else {
			for i := 0; i < b.N && all; i++ {
				all = stored(i)
			}
		}
		if all {
			s.insertRows(b, s.views, nil, j.matched, j.times)
			return
		}
		var sel []int32
		for i := range b.N {
			if stored(i) {
				sel = append(sel, int32(i))
			}
		}
		if len(sel) > 0 {
			s.insertRows(b, s.views, sel, j.matched, j.times)
		}
		return
	}
	s.hashes = growSide(s.hashes[:0], 0, b.N)
	hashRows(s.views, b.N, s.hashes)
	for i := range b.N {
		if !stored(i) {
			continue
		}
		if b.Op(i) == vec.Insert {
			var t vec.Time
			if j.timed {
				t = j.times[i]
			}
			s.insertRow(s.views, i, s.hashes[i], j.matched[i], t, j.timed)
		} else if !s.deleteRow(s.views, i, s.hashes[i]) {
			j.ctx.late()
		}
	}
}

// Advance implements Operator.
func (j *joinOp) Advance(input int, m Mark) error {
	s := j.sides[input]
	s.mark = m
	s.active = s.active || !m.Idle
	if m.W == vec.MaxTime && !s.ended {
		if err := j.end(input); err != nil {
			return err
		}
	}
	if j.timed && j.ctx.Continuous {
		if err := j.finalize(); err != nil {
			return err
		}
	}
	return j.passMark()
}

// end takes note that no more rows of an input come.
func (j *joinOp) end(input int) error {
	if !j.ctx.Continuous {
		if input == 0 && !j.sides[1].ended {
			j.leftDone = true // the held rows are still to be joined
			return nil
		}
		j.sides[input].ended = true
		if input == 1 {
			for i, b := range j.held {
				err := j.push(0, b)
				b.Release()
				j.held[i] = nil
				if err != nil {
					j.held = j.held[i+1:]
					return err
				}
			}
			j.held = nil
			if !j.leftDone {
				return nil
			}
			j.sides[0].ended = true
		}
		if j.half {
			j.keyed.clear(1)
			return nil
		}
		if err := j.padPending(1, vec.MaxTime); err != nil {
			return err
		}
		j.sides[1].clear()
		return nil
	}
	j.sides[input].ended = true
	if j.half {
		if input == 1 {
			j.keyed.clear(0) // the counts still decide on left rows
		}
		return nil
	}
	o := 1 - input
	if j.deferPad {
		if err := j.padPending(o, vec.MaxTime); err != nil {
			return err
		}
	}
	j.sides[o].clear()
	return nil
}

// effective is the watermark of a side for freeing the other's rows: an idle stream does not hold it back, once it has had a watermark.
func (j *joinOp) effective(side int) vec.Time {
	s, o := j.sides[side], j.sides[1-side]
	if s.mark.Idle && s.active && o.mark.W != vec.MaxTime {
		return max(s.mark.W, o.mark.W)
	}
	return s.mark.W
}

// finalize sends the padded rows that the watermarks decide and frees what they close.
func (j *joinOp) finalize() error {
	for i, s := range j.sides {
		w := j.effective(1 - i)
		if w != vec.MinTime {
			w = satAdd(w, j.past)
		}
		if w <= s.final {
			continue
		}
		s.final = w
		if j.sides[1-i].ended {
			continue // everything went when it ended
		}
		if s.pad && j.deferPad {
			if err := j.padPending(i, w); err != nil {
				return err
			}
		}
		for k := 0; k < len(s.buckets); {
			if satAdd(s.buckets[k].maxT, s.shift) < w {
				s.dropBucket(k)
			} else {
				k++
			}
		}
	}
	return nil
}

// padPending sends, padded, the unmatched rows of a side that are final under watermark w of the other one.
func (j *joinOp) padPending(side int, w vec.Time) error {
	s := j.sides[side]
	if !s.pad || s.store.live == 0 {
		return nil
	}
	var refs []rowRef
	for at, blk := range s.store.blocks {
		if blk == nil || blk.pending == vec.MaxTime || j.timed && w != vec.MaxTime && satAdd(blk.pending, s.shift) >= w {
			continue
		}
		was := blk.pending
		blk.pending = vec.MaxTime
		for row := range blk.n {
			r := rowRef(at<<blockBits | row)
			n := s.store.count(r)
			if n == 0 {
				continue
			}
			if j.timed {
				t := s.rowTime(r)
				if t < was {
					continue // sent before
				}
				if w != vec.MaxTime && satAdd(t, s.shift) >= w {
					blk.pending = min(blk.pending, t, vec.MaxTime-1)
					continue
				}
			}
			if s.store.matches[at][row] == 0 {
				for range n {
					refs = append(refs, r)
				}
			}
		}
		if len(refs) >= vec.MaxRows {
			if err := j.emitPadded(side, refs); err != nil {
				return err
			}
			refs = refs[:0]
		}
	}
	return j.emitPadded(side, refs)
}

// passMark combines the inputs' marks and sends the result on where it changed.
func (j *joinOp) passMark() error {
	l, r := j.sides[0].mark, j.sides[1].mark
	var m Mark
	if !j.timed || !j.ctx.Continuous {
		m = Combine(j.prev.W, []Mark{l, r})
	} else {
		shifted := func(m Mark, by int64) Mark {
			if m.W != vec.MaxTime && m.W != vec.MinTime {
				m.W = satAdd(m.W, by)
			}
			return m
		}
		left, right := false, false
		nl := j.sides[0].schema.Len()
		for _, c := range j.n.Props().Watermarks {
			left = left || c < nl
			right = right || c >= nl
		}
		if !left && !right {
			left, right = true, true
		}
		hi, lo := j.sides[0].shift, -j.sides[1].shift
		var in []Mark
		if left {
			in = append(in, l, shifted(r, -hi))
		}
		if right {
			in = append(in, r, shifted(l, lo))
		}
		m = Combine(j.prev.W, in)
	}
	if !j.ctx.Continuous && m.W != vec.MaxTime || m == j.prev {
		return nil
	}
	j.prev = m
	return j.out.Watermark(m)
}

// Tick implements Operator.
func (j *joinOp) Tick(Tick) error {
	return nil
}

// Close implements Operator.
func (j *joinOp) Close() error {
	for _, b := range j.held {
		b.Release()
	}
	j.held = nil
	for _, s := range j.sides {
		if s == nil {
			continue
		}
		s.clear()
		for i := range s.views {
			s.views[i].Release()
		}
	}
	if j.keyed != nil {
		j.keyed.close()
	}
	if j.residual != nil {
		j.residual.Close()
	}
	for i := range j.resVecs {
		j.resVecs[i].Release()
	}
	j.scratch.release()
	j.dst.Release()
	return nil
}

var _ Operator = (*joinOp)(nil)
