package exec

import (
	"slices"

	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// pairRows is how many candidate pairs are gathered before they are checked and sent.
const pairRows = vec.MaxRows

// bucketLookup is what a push knows of a bucket of the other side.
type bucketLookup struct {
	b    *joinBucket
	ids  []uint32 // the group of each row's key; nil in a join without keys
	scan bool     // look through the rows that are not indexed
}

// probe finds the rows of the other side that each row of the batch joins, and sends the results.
func (j *joinOp) probe() error {
	j.lookup()
	n := j.b.N
	o := j.sides[1-j.own]
	simple := len(j.look) == 1 && !j.timed && !o.store.keepCounts && j.look[0].ids != nil && !j.look[0].scan
	if simple {
		return j.probeOne(&j.look[0], o)
	}
	for i := range n {
		if j.class != nil && j.class[i] != rowJoins {
			continue
		}
		if !j.candidates(i) {
			continue
		}
		lo, hi := vec.MinTime, vec.MaxTime
		if j.timed {
			lo, hi = j.bounds(i)
			if lo > hi {
				continue
			}
		}
		for k := range j.look {
			l := &j.look[k]
			if j.timed && (l.b.minT > hi || l.b.maxT < lo) {
				continue
			}
			var err error
			if l.ids == nil {
				err = j.pairAll(i, l.b, lo, hi)
			} else {
				if id := l.ids[i]; id != NoGroup {
					err = j.pairChain(i, l.b, id, lo, hi)
				}
				if l.scan && err == nil {
					err = j.pairScan(i, l.b, lo, hi)
				}
			}
			if err != nil {
				return err
			}
		}
	}
	return j.flushPairs(n-1, true)
}

// candidates reports whether row i may pair with rows of some bucket: most rows of a selective join do not.
func (j *joinOp) candidates(i int) bool {
	for k := range j.look {
		if l := &j.look[k]; l.ids == nil || l.scan || l.ids[i] != NoGroup {
			return true
		}
	}
	return false
}

// probeOne is probe where all rows of the other side are in one index and none is dead.
func (j *joinOp) probeOne(l *bucketLookup, o *joinSide) error {
	heads, next := l.b.heads, o.store.next
	own, refs := j.pOwn, j.pRef
	for i, id := range l.ids {
		if id == NoGroup || j.class != nil && j.class[i] != rowJoins {
			continue
		}
		for r := heads[id]; r != noRow; r = next[r>>blockBits][r&blockMask] {
			own, refs = append(own, int32(i)), append(refs, r)
			if len(refs) >= pairRows {
				j.pOwn, j.pRef = own, refs
				if err := j.flushPairs(i, false); err != nil {
					return err
				}
				own, refs = j.pOwn, j.pRef
			}
		}
	}
	j.pOwn, j.pRef = own, refs
	return j.flushPairs(j.b.N-1, true)
}

// bounds gives the times of the other side's rows that row i may join.
func (j *joinOp) bounds(i int) (lo, hi vec.Time) {
	s, o := j.sides[j.own], j.sides[1-j.own]
	t := j.times[i]
	at := t
	if j.ctx.Continuous {
		at = max(at, o.final)
		if j.b.W != nil {
			at = max(at, satAdd(j.b.W[i], j.past))
		}
	}
	return satAdd(at, -o.shift), satAdd(t, s.shift)
}

// lookup finds the keys of the batch in the other side's buckets.
func (j *joinOp) lookup() {
	s, o := j.sides[j.own], j.sides[1-j.own]
	look := j.look[:0]
	if o.store.live == 0 {
		j.look = look
		return
	}
	var lo, hi vec.Time
	switch {
	case !j.timed:
	case j.class == nil && j.b.W == nil && j.b.N > 0: // bounds grow with the time
		least, most := slices.Min(j.times), slices.Max(j.times)
		if j.ctx.Continuous {
			least = max(least, o.final)
		}
		lo, hi = satAdd(least, -o.shift), satAdd(most, s.shift)
	default:
		lo, hi = vec.MaxTime, vec.MinTime
		for i := range j.b.N {
			if j.class != nil && j.class[i] != rowJoins {
				continue
			}
			l, h := j.bounds(i)
			lo, hi = min(lo, l), max(hi, h)
		}
	}
	keys := keyCols(j.scratch.keys, s.views, s.keys)
	for _, b := range o.buckets {
		if j.timed && (b.minT > hi || b.maxT < lo) {
			continue
		}
		if len(look) < cap(look) {
			look = look[:len(look)+1]
		} else {
			look = append(look, bucketLookup{})
		}
		l := &look[len(look)-1]
		l.b, l.scan = b, false
		if len(s.keys) == 0 {
			l.ids = nil
			continue
		}
		if b.todoRows > 0 {
			if l.scan = o.scannable() && b.scanned+j.b.N <= scanProbes; l.scan {
				b.scanned += j.b.N
			} else {
				j.scratch.keys = keys
				o.link(b, &j.scratch)
				b.scanned = 0
				keys = keyCols(j.scratch.keys, s.views, s.keys)
			}
		}
		l.ids = growSide(l.ids[:0], 0, j.b.N)
		b.groups.Find(keys, l.ids)
	}
	j.scratch.keys, j.look = keys, look
}

// scannable says that the side's rows can be looked through by key: the key is one integer.
func (s *joinSide) scannable() bool {
	if len(s.keys) != 1 || s.retracts {
		return false
	}
	k := s.store.kinds[s.keys[0]]
	return k == types.KindInt64 || k == types.KindInt32
}

func (j *joinOp) pair(i int, r rowRef) error {
	j.pOwn = append(j.pOwn, int32(i))
	j.pRef = append(j.pRef, r)
	if len(j.pRef) >= pairRows {
		return j.flushPairs(i, false)
	}
	return nil
}

// pairChain pairs row i with the rows of a group. Dead rows are unlinked on the way.
func (j *joinOp) pairChain(i int, b *joinBucket, id uint32, lo, hi vec.Time) error {
	o := j.sides[1-j.own]
	st := o.store
	prev := noRow
	for r := b.heads[id]; r != noRow; {
		at, row := r>>blockBits, r&blockMask
		nx := st.next[at][row]
		if st.keepCounts && st.counts[at][row] == 0 {
			if prev == noRow {
				b.heads[id] = nx
			} else {
				st.next[prev>>blockBits][prev&blockMask] = nx
			}
			r = nx
			continue
		}
		prev = r
		if j.timed {
			if t := o.rowTime(r); t < lo || t > hi {
				r = nx
				continue
			}
		}
		if err := j.pair(i, r); err != nil {
			return err
		}
		r = nx
	}
	return nil
}

// pairAll pairs row i with all rows of a bucket: a join without keys.
func (j *joinOp) pairAll(i int, b *joinBucket, lo, hi vec.Time) error {
	o := j.sides[1-j.own]
	st := o.store
	for _, at := range b.blocks {
		blk := st.blocks[at]
		for row := range blk.n {
			if st.keepCounts && st.counts[at][row] == 0 {
				continue
			}
			r := rowRef(at<<blockBits | row)
			if j.timed {
				if t := o.rowTime(r); t < lo || t > hi {
					continue
				}
			}
			if err := j.pair(i, r); err != nil {
				return err
			}
		}
	}
	return nil
}

// pairScan pairs row i with those rows of a bucket that are not indexed.
func (j *joinOp) pairScan(i int, b *joinBucket, lo, hi vec.Time) error {
	s, o := j.sides[j.own], j.sides[1-j.own]
	key := &s.views[s.keys[0]]
	null := key.IsNull(i) // only where the key is compared null-safe
	for _, t := range b.todo {
		blk := o.store.blocks[t.at]
		if j.timed && (blk.minT > hi || blk.maxT < lo) {
			continue
		}
		v := &blk.cols[o.keys[0]]
		hit := func(row int) error {
			r := rowRef(t.at<<blockBits | row)
			if v.IsNull(row) != null {
				return nil
			}
			if j.timed {
				if t := o.rowTime(r); t < lo || t > hi {
					return nil
				}
			}
			return j.pair(i, r)
		}
		switch {
		case null:
			for row := t.from; row < t.to; row++ {
				if err := hit(row); err != nil {
					return err
				}
			}
		case key.Kind == types.KindInt64:
			k := key.I64[i]
			for row, x := range v.I64[t.from:t.to] {
				if x == k {
					if err := hit(t.from + row); err != nil {
						return err
					}
				}
			}
		default:
			k := key.I32[i]
			for row, x := range v.I32[t.from:t.to] {
				if x == k {
					if err := hit(t.from + row); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// flushPairs checks the candidate pairs and sends what they mean. Rows up to `upto`
// have all their pairs in hand, the last one only if complete.
func (j *joinOp) flushPairs(upto int, complete bool) error {
	if err := j.filterPairs(); err != nil {
		return err
	}
	s, o := j.sides[j.own], j.sides[1-j.own]
	if j.pairs && !j.single && !s.pad && !o.store.keepMatches && !o.store.keepCounts {
		err := j.sendPairs()
		j.cur = upto
		if complete {
			j.cur++
		}
		return err
	}
	k := 0
	for row := j.cur; row <= upto; row++ {
		op := j.b.Op(row)
		for k < len(j.pOwn) && int(j.pOwn[k]) == row {
			if err := j.matchPair(s, o, row, j.pRef[k], op); err != nil {
				return err
			}
			k++
		}
		if row == upto && !complete {
			break
		}
		if err := j.finishRow(s, row, op); err != nil {
			return err
		}
	}
	j.cur = upto
	if complete {
		j.cur++
	}
	j.pOwn, j.pRef = j.pOwn[:0], j.pRef[:0]
	return nil
}

// sendPairs sends the pairs as they are: an inner join without multiplicities.
func (j *joinOp) sendPairs() error {
	if len(j.oOwn) > 0 {
		if err := j.flushOut(); err != nil {
			return err
		}
	}
	j.oOwn, j.pOwn = j.pOwn, j.oOwn[:0]
	j.oRef, j.pRef = j.pRef, j.oRef[:0]
	if j.b.Ops != nil {
		for _, i := range j.oOwn {
			j.oOp = append(j.oOp, j.b.Ops[i])
		}
	}
	return j.flushOut()
}

// matchPair takes note that a row of the batch and row r of the other side match.
func (j *joinOp) matchPair(s, o *joinSide, row int, r rowRef, op vec.Op) error {
	n := o.store.count(r)
	j.matched[row] += n
	before := int32(1)
	if o.store.keepMatches {
		m := &o.store.matches[r>>blockBits][r&blockMask]
		before = *m
		*m += int32(op)
	}
	first := op == vec.Insert && before == 0
	last := op == vec.Delete && before == 1
	switch {
	case j.semi:
		if j.own == 1 && (first || last) {
			return j.put(-1, r, op, n)
		}
		return nil
	case j.anti:
		if j.own == 1 && (first || last) && !j.deferPad {
			return j.put(-1, r, -op, n)
		}
		return nil
	case j.single:
		j.firstRef[row] = r
		return nil
	}
	if first && o.pad && !j.deferPad {
		if err := j.put(-1, r, vec.Delete, n); err != nil {
			return err
		}
	}
	if err := j.put(row, r, op, n); err != nil {
		return err
	}
	if last && o.pad && !j.deferPad {
		return j.put(-1, r, vec.Insert, n)
	}
	return nil
}

// finishRow sends what depends on all matches of a row of the batch.
func (j *joinOp) finishRow(s *joinSide, row int, op vec.Op) error {
	alone := false
	if j.class != nil {
		if j.class[row] == rowIsLate {
			return nil
		}
		alone = j.class[row] == rowAlone
	}
	m := j.matched[row]
	switch {
	case m > 1 && j.single:
		return j.notSingle(row)
	case m > 0 && j.single:
		return j.put(row, j.firstRef[row], op, 1)
	case m > 0 && j.semi && j.own == 0:
		return j.put(row, noRow, op, 1)
	case m == 0 && s.pad && (!j.deferPad || alone || j.final(row)):
		return j.put(row, noRow, op, 1)
	}
	return nil
}

func errNotSingle() error {
	return pgerr.New(pgerr.CardinalityViolation, "more than one row returned by a subquery used as an expression")
}

func (j *joinOp) notSingle(row int) error {
	if j.ctx.RowError == nil {
		return errNotSingle()
	}
	return j.ctx.RowError(errNotSingle(), j.b, row)
}

// put queues n copies of an output row: row own of the batch (-1: NULLs) beside row r of the other side (noRow: NULLs).
func (j *joinOp) put(own int, r rowRef, op vec.Op, n int32) error {
	j.ownPad = j.ownPad || own < 0
	j.refPad = j.refPad || r == noRow
	for ; n > 0; n-- {
		j.oOwn = append(j.oOwn, int32(own))
		j.oRef = append(j.oRef, r)
		j.oOp = append(j.oOp, op)
		if len(j.oOwn) >= vec.MaxRows {
			if err := j.flushOut(); err != nil {
				return err
			}
		}
	}
	return nil
}

// flushOut sends the queued rows.
func (j *joinOp) flushOut() error {
	n := len(j.oOwn)
	if n == 0 {
		return nil
	}
	s, o := j.sides[j.own], j.sides[1-j.own]
	bld := vec.NewBuilder(j.ctx.Alloc, j.n.Schema())
	nl := j.sides[0].schema.Len()
	for c := range bld.Cols {
		side, col := 0, c
		if c >= nl {
			side, col = 1, c-nl
		}
		if side == j.own {
			gatherBatch(&bld.Cols[c], &s.views[col], j.oOwn, j.ownPad)
		} else {
			o.store.gather(&bld.Cols[c], col, j.oRef, j.refPad)
		}
	}
	var ops []vec.Op
	for _, op := range j.oOp {
		if op == vec.Delete {
			ops = append([]vec.Op(nil), j.oOp...)
			break
		}
	}
	var w []vec.Time
	if j.hasW {
		w = j.outW(n)
	}
	// A pair is late because of the row that came last.
	from := j.b.From.Take(j.oOwn)
	j.oOwn, j.oRef, j.oOp = j.oOwn[:0], j.oRef[:0], j.oOp[:0]
	j.ownPad, j.refPad = false, false
	return j.send(bld, n, ops, w, from)
}

// outW gives the watermark before each queued row: that of the row that caused it, held back by the other side.
func (j *joinOp) outW(n int) []vec.Time {
	w := make([]vec.Time, n)
	at := j.prev.W
	for k := range w {
		if i := j.oOwn[k]; i >= 0 && j.b.W != nil && !j.timed {
			at = max(at, min(j.b.W[i], j.sides[1-j.own].mark.W))
		}
		w[k] = at
	}
	return w
}

func (j *joinOp) send(bld *vec.Builder, n int, ops []vec.Op, w []vec.Time, from *vec.Origin) error {
	if len(bld.Cols) == 0 {
		bld.Ops = make([]vec.Op, n)
		for i := range bld.Ops {
			bld.Ops[i] = vec.Insert
		}
	}
	b := bld.Finish()
	bld.Release()
	b.Ops, b.W, b.From = ops, w, from
	err := j.out.Emit(b)
	b.Release()
	return err
}

// emitPadded sends rows of a side with NULLs for the other one.
func (j *joinOp) emitPadded(side int, refs []rowRef) error {
	s := j.sides[side]
	for len(refs) > 0 {
		n := min(len(refs), vec.MaxRows)
		bld := vec.NewBuilder(j.ctx.Alloc, j.n.Schema())
		nl := j.sides[0].schema.Len()
		for c := range bld.Cols {
			at, col := 0, c
			if c >= nl {
				at, col = 1, c-nl
			}
			if at == side {
				s.store.gather(&bld.Cols[c], col, refs[:n], false)
			} else {
				appendNulls(&bld.Cols[c], n)
			}
		}
		var w []vec.Time
		if j.hasW {
			w = make([]vec.Time, n)
			for i := range w {
				w[i] = j.prev.W
			}
		}
		if err := j.send(bld, n, nil, w, nil); err != nil {
			return err
		}
		refs = refs[n:]
	}
	return nil
}

// filterPairs keeps the candidate pairs that satisfy the residual condition.
func (j *joinOp) filterPairs() error {
	if j.nullKey != nil {
		j.filterNullKey()
	}
	n := len(j.pOwn)
	if j.residual == nil || n == 0 {
		return nil
	}
	s, o := j.sides[j.own], j.sides[1-j.own]
	nl := j.sides[0].schema.Len()
	for _, c := range j.resCols {
		side, col := 0, c
		if c >= nl {
			side, col = 1, c-nl
		}
		v := &j.resVecs[c]
		v.Reset(v.Kind, 0)
		if side == j.own {
			v.Gather(&s.views[col], j.pOwn)
		} else {
			o.store.gather(v, col, j.pRef, false)
		}
	}
	out, err := j.residual.Eval(j.resVecs, n)
	if err != nil {
		return err
	}
	failed, err := j.residualErrs(out)
	if err != nil {
		return err
	}
	k := 0
	for i := range n {
		ok := true
		for _, v := range out {
			if !v.Bools[i] || v.IsNull(i) {
				ok = false
				break
			}
		}
		if ok && !failed[int32(i)] {
			j.pOwn[k], j.pRef[k] = j.pOwn[i], j.pRef[i]
			k++
		}
	}
	j.pOwn, j.pRef = j.pOwn[:k], j.pRef[:k]
	return nil
}

// residualErrs reports the pairs whose condition failed, unless another conjunct is false: false AND an error is false.
func (j *joinOp) residualErrs(out []*vec.Vec) (failed map[int32]bool, err error) {
	for _, v := range out {
	rows:
		for _, e := range v.Errs {
			for _, u := range out {
				if !u.IsNull(int(e.Row)) && !u.Bools[e.Row] {
					continue rows
				}
			}
			if failed[e.Row] {
				continue
			}
			if j.ctx.RowError == nil {
				return nil, e.Err
			}
			if err := j.ctx.RowError(e.Err, j.b, int(j.pOwn[e.Row])); err != nil {
				return nil, err
			}
			if failed == nil {
				failed = map[int32]bool{}
			}
			failed[e.Row] = true
		}
	}
	return failed, nil
}

// filterNullKey keeps the pairs that make NOT IN not true: the keys are equal or one of them is NULL.
func (j *joinOp) filterNullKey() {
	s, o := j.sides[j.own], j.sides[1-j.own]
	keys := [2]int{j.n.LeftKeys[0], j.n.RightKeys[0]}
	a := &s.views[keys[j.own]]
	k := 0
	for i, row := range j.pOwn {
		cols, at := o.store.at(j.pRef[i])
		b := &cols[keys[1-j.own]]
		if a.IsNull(int(row)) || b.IsNull(at) || j.nullKey(a, int(row), b, at) == 0 {
			j.pOwn[k], j.pRef[k] = row, j.pRef[i]
			k++
		}
	}
	j.pOwn, j.pRef = j.pOwn[:k], j.pRef[:k]
}
