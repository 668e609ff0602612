package exec

import (
	"slices"

	"streamsql/internal/fn"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// call appends the values of a call for all rows to out.
func (e *overEval) call(c *overCall, out *vec.Vec) error {
	if c.agg >= 0 {
		return e.aggregate(c, out)
	}
	switch c.Name {
	case "row_number", "rank", "dense_rank":
		e.ranks(c.Name, out)
	case "percent_rank", "cume_dist":
		e.distribution(c.Name == "cume_dist", out)
	case "ntile":
		e.ntile(&e.cols[c.Args[0]], out)
	case "lag", "lead":
		e.shifted(c, out)
	case "first_value", "last_value", "nth_value":
		return e.framed(c, out)
	default:
		return pgerr.New(pgerr.InternalError, "no window function %s", c.Name)
	}
	return nil
}

// extend makes room for the results of a piece.
func (s *overPiece) extend(out *vec.Vec) int {
	at := out.N
	out.Extend(s.to - s.from)
	return at
}

func (e *overEval) ranks(name string, out *vec.Vec) {
	for p := range e.pieces {
		s := &e.pieces[p]
		if s.from == s.to {
			continue
		}
		at := s.extend(out)
		dst := out.I64[at:out.N]
		switch name {
		case "row_number":
			for k := range dst {
				dst[k] = int64(s.before+s.from-s.lo+k) + 1
			}
		case "rank":
			for k := range dst {
				dst[k] = int64(s.before+int(e.peerLo[s.from+k])-s.lo) + 1
			}
		default:
			first := int64(e.begun(s, s.from+1)) - int64(e.group[s.from])
			for k := range dst {
				dst[k] = first + int64(e.group[s.from+k])
			}
		}
	}
}

// distribution computes cume_dist and percent_rank of whole partitions.
func (e *overEval) distribution(cumulative bool, out *vec.Vec) {
	for p := range e.pieces {
		s := &e.pieces[p]
		n := s.hi - s.lo
		at := s.extend(out)
		for i := s.from; i < s.to; i++ {
			switch {
			case cumulative:
				out.F64[at] = float64(int(e.peerHi[i])-s.lo) / float64(n)
			case n == 1:
				out.F64[at] = 0
			default:
				out.F64[at] = float64(int(e.peerLo[i])-s.lo) / float64(n-1)
			}
			at++
		}
	}
}

// ntile deals the rows of each partition out to as many buckets as its first row with a number says;
// the first buckets take the rows that do not divide.
func (e *overEval) ntile(arg, out *vec.Vec) {
	for p := range e.pieces {
		s := &e.pieces[p]
		i := s.lo
		for ; i < s.hi && (arg.IsNull(i) || arg.I32[i] <= 0); i++ {
			out.AppendNull()
			if !arg.IsNull(i) {
				out.Fail(out.N-1, pgerr.New(pgerr.InvalidArgumentForNtile, "argument of ntile must be greater than zero"))
			}
		}
		if i == s.hi {
			continue
		}
		n, buckets := s.hi-s.lo, int(arg.I32[i])
		size, rest := n/buckets, n%buckets
		for k := range s.hi - i {
			if wide := rest * (size + 1); k < wide {
				out.AppendInt32(int32(k/(size+1)) + 1)
			} else {
				out.AppendInt32(int32(rest+(k-wide)/size) + 1)
			}
		}
	}
}

// shifted computes lag and lead.
func (e *overEval) shifted(c *overCall, out *vec.Vec) {
	val := &e.cols[c.Args[0]]
	for p := range e.pieces {
		s := &e.pieces[p]
		for i := s.from; i < s.to; i++ {
			by := 1
			if len(c.Args) > 1 {
				v := &e.cols[c.Args[1]]
				if v.IsNull(i) {
					out.AppendNull()
					continue
				}
				by = int(v.I32[i])
			}
			if c.Name == "lag" {
				by = -by
			}
			k := i + by
			if c.IgnoreNulls {
				k = skipNulls(val, overSpan{s.lo, s.hi}, i, by)
			}
			switch {
			case k >= s.lo && k < s.hi:
				out.Append(val, k)
			case len(c.Args) > 2:
				out.Append(&e.cols[c.Args[2]], i)
			default:
				out.AppendNull()
			}
		}
	}
}

// skipNulls gives the row that is by values that are not NULL away from row i, -1 if there is none.
func skipNulls(v *vec.Vec, s overSpan, i, by int) int {
	step := 1
	if by < 0 {
		step, by = -1, -by
	}
	for by > 0 {
		i += step
		if i < s.lo || i >= s.hi {
			return -1
		}
		if !v.IsNull(i) {
			by--
		}
	}
	return i
}

// framed computes first_value, last_value and nth_value.
func (e *overEval) framed(c *overCall, out *vec.Vec) error {
	val := &e.cols[c.Args[0]]
	for p := range e.pieces {
		s := &e.pieces[p]
		var known overValue
		carried := c.slot >= 0 && s.carry != nil
		pin := 0
		if carried {
			known, pin = s.carry.vals[c.slot], e.pins[p]+2*c.slot
		}
		for i := s.from; i < s.to; i++ {
			nth := 1
			if c.Name == "nth_value" {
				v := &e.cols[c.Args[1]]
				if v.IsNull(i) {
					out.AppendNull()
					continue
				}
				if nth = int(v.I32[i]); nth <= 0 {
					out.AppendNull()
					out.Fail(out.N-1, pgerr.New(pgerr.InvalidArgumentForNthValue, "argument of nth_value must be greater than zero"))
					continue
				}
			}
			if carried && c.Name != "last_value" {
				if nth <= known.n {
					out.Append(val, pin)
					continue
				}
				nth -= known.n
			}
			spans, n := c.frame.spans(e, i)
			k := -1
			switch {
			case c.IgnoreNulls:
				k = nthValue(val, spans, nth, c.Name == "last_value")
			case c.Name == "last_value":
				k = nthRow(spans, n)
			case nth <= n:
				k = nthRow(spans, nth)
			}
			if k < 0 && carried && c.Name == "last_value" {
				k = pin + 1
			}
			if k < 0 {
				out.AppendNull()
			} else {
				out.Append(val, k)
			}
		}
		if c.slot >= 0 {
			e.noteValues(c, s, val, known)
		}
	}
	return nil
}

// noteValues notes at the marks of a piece what a value call knows of the rows before.
func (e *overEval) noteValues(c *overCall, s *overPiece, val *vec.Vec, known overValue) {
	if s.carry == nil {
		known = overValue{nth: noRow, last: noRow}
	}
	i := s.lo
	for _, m := range s.marks {
		for ; i < m.at; i++ {
			if c.IgnoreNulls && val.IsNull(i) {
				continue
			}
			known.n++
			if known.n == c.nth {
				known.nth = e.refs[i]
			}
			known.last = e.refs[i]
		}
		m.c.vals[c.slot] = known
	}
}

// nthRow gives the nth row of a frame, counted from 1; -1 if nth is 0.
func nthRow(spans [3]overSpan, nth int) int {
	if nth == 0 {
		return -1
	}
	for _, s := range spans {
		if n := s.hi - s.lo; nth > n {
			nth -= n
		} else {
			return s.lo + nth - 1
		}
	}
	return -1
}

// nthValue gives the nth row of a frame whose value is not NULL.
func nthValue(v *vec.Vec, spans [3]overSpan, nth int, last bool) int {
	if last {
		for _, s := range []overSpan{spans[2], spans[1], spans[0]} {
			for i := s.hi - 1; i >= s.lo; i-- {
				if !v.IsNull(i) {
					return i
				}
			}
		}
		return -1
	}
	for _, s := range spans {
		for i := s.lo; i < s.hi; i++ {
			if !v.IsNull(i) {
				if nth--; nth == 0 {
					return i
				}
			}
		}
	}
	return -1
}

// open makes the states of an aggregate call.
func (c *overCall) open(e *overEval) {
	call, o := &e.aggs.calls[c.agg], e.aggs.opts[c.agg]
	c.state = call.Agg.New(o)
	c.state.Grow(1)
	if c.prefix {
		c.kept = call.Agg.New(o)
	}
	if c.exact(e.aggs.types[c.agg]) {
		o.Retract = true
		c.slide = call.Agg.New(o)
		c.slide.Grow(1)
	}
	c.args = make([]vec.Vec, len(call.Args))
	for i := range c.args {
		c.args[i].SetAllocator(e.ctx.Alloc)
	}
}

// exact says that taking a row back leaves what would be there without it: not so for sums of floats, whose
// last bits depend on what was added on the way.
func (c *overCall) exact(args []types.T) bool {
	if c.Agg.Agg.Ordered {
		return false
	}
	if c.Name == "min" || c.Name == "max" || c.Name == "count" {
		return true
	}
	return !slices.ContainsFunc(args, func(t types.T) bool { return t.Is(types.Float4) || t.Is(types.Float8) })
}

// aggregate computes an aggregate over the frame of each row.
func (e *overEval) aggregate(c *overCall, out *vec.Vec) error {
	e.chooseArgs(c)
	f := c.frame
	if f.whole() {
		e.perPartition(c, out)
		return nil
	}
	e.tmp.Reset(out.Kind, 0)
	e.sel = e.sel[:0]
	w := overFeed{e: e, c: c, a: c.state}
	for p := range e.pieces {
		s := &e.pieces[p]
		switch {
		case f.Exclude == "" && f.Start.Kind == "unbounded preceding":
			w.begin(s)
			for i := s.from; i < s.to; i++ {
				w.extend(f.hi[i])
			}
			w.finish()
		case f.Exclude == "" && f.End.Kind == "unbounded following" && !c.Agg.Agg.Ordered:
			at := len(e.sel)
			e.sel = slices.Grow(e.sel, s.to-s.from)[:at+s.to-s.from]
			for i := s.to - 1; i >= s.from; i-- { // from the end, so that rows only come
				e.sel[at+i-s.from] = w.reach(f.lo[i], int32(s.hi))
			}
			w.clear()
		case f.Exclude == "" && c.slide != nil:
			w.a = c.slide
			for i := s.from; i < s.to; i++ {
				w.slide(f.lo[i], f.hi[i])
			}
			w.clear()
		default:
			for i := s.from; i < s.to; i++ {
				spans, _ := f.spans(e, i)
				for _, r := range spans {
					w.add(int32(r.lo), int32(r.hi), vec.Insert)
				}
				w.result()
				w.clear()
			}
		}
	}
	out.Gather(&e.tmp, e.sel)
	return nil
}

// chooseArgs gathers the arguments of the rows that FILTER and NULLs leave.
func (e *overEval) chooseArgs(c *overCall) {
	call := &e.aggs.calls[c.agg]
	sel, all := e.aggs.choose(call, e.cols, e.n)
	c.upTo = slices.Grow(c.upTo[:0], e.n+1)[:e.n+1]
	if all {
		sel = iota32(e.n)
	}
	k := 0
	for i := range c.upTo {
		for k < len(sel) && int(sel[k]) < i {
			k++
		}
		c.upTo[i] = int32(k)
	}
	for j, col := range call.Args {
		c.args[j].Reset(e.cols[col].Kind, 0)
		c.args[j].Gather(&e.cols[col], sel)
	}
	e.sel = append(e.sel[:0], sel...)
}

// perPartition computes an aggregate that is the same for all rows of a partition.
func (e *overEval) perPartition(c *overCall, out *vec.Vec) {
	c.state.Grow(len(e.pieces))
	ids := make([]uint32, len(e.sel))
	for k, i := range e.sel {
		ids[k] = uint32(e.part[i])
	}
	args := make([]*vec.Vec, len(c.args))
	for j := range c.args {
		args[j] = &c.args[j]
	}
	if len(ids) > 0 {
		c.state.Update(ids, args, nil)
	}
	groups := e.aggs.iota(len(e.pieces))
	e.tmp.Reset(out.Kind, 0)
	c.state.Result(groups, &e.tmp)
	c.state.Clear(groups)
	e.sel = e.sel[:0]
	for p := range e.pieces {
		for range e.pieces[p].to - e.pieces[p].from {
			e.sel = append(e.sel, int32(p))
		}
	}
	out.Gather(&e.tmp, e.sel)
}

// overFeed feeds one state with the rows of a frame, and notes its results: in tmp each one, in sel that of every row.
type overFeed struct {
	e      *overEval
	c      *overCall
	a      fn.Aggregate
	lo, hi int32 // what has been fed
	piece  *overPiece
	mark   int  // the next mark of the piece
	fresh  bool // the result of what has been fed is the last one of tmp
	args   []*vec.Vec
	ids    []uint32
	ops    []vec.Op
}

var group0 = []uint32{0}

// add gives the state the rows from lo up to hi, or takes them back, and reports whether there were any.
func (w *overFeed) add(lo, hi int32, op vec.Op) {
	from, to := int(w.c.upTo[lo]), int(w.c.upTo[hi])
	if from >= to {
		return
	}
	w.fresh = false
	n := to - from
	if len(w.ids) < n {
		w.ids = make([]uint32, max(n, 2*len(w.ids)))
	}
	var ops []vec.Op
	if op == vec.Delete {
		for len(w.ops) < n {
			w.ops = append(w.ops, vec.Delete)
		}
		ops = w.ops[:n]
	}
	w.args = w.args[:0]
	for j := range w.c.args {
		t := &w.e.aggs.tmp[j]
		t.Reset(w.c.args[j].Kind, 0)
		t.AppendRange(&w.c.args[j], from, to)
		w.args = append(w.args, t)
	}
	w.a.Update(w.ids[:n], w.args, ops)
}

// result notes the result for one more row.
func (w *overFeed) result() {
	if !w.fresh {
		w.a.Result(group0, &w.e.tmp)
		w.fresh = true
	}
	w.e.sel = append(w.e.sel, int32(w.e.tmp.N-1))
}

func (w *overFeed) clear() {
	w.a.Clear(group0)
	w.lo, w.hi, w.fresh = 0, 0, false
}

// begin starts with what is carried of the rows before a piece.
func (w *overFeed) begin(s *overPiece) {
	w.piece, w.mark = s, 0
	w.restart()
}

func (w *overFeed) restart() {
	w.clear()
	w.lo, w.hi = int32(w.piece.lo), int32(w.piece.lo)
	if c := w.piece.carry; c != nil && w.c.kept != nil {
		w.a.Merge(group0, w.c.kept, []uint32{c.acc})
	}
}

// extend goes on to a frame that begins with the partition.
func (w *overFeed) extend(hi int32) {
	if hi < w.hi {
		w.restart()
	}
	w.feed(hi)
	w.result()
}

// feed goes on to row hi, and notes the state where it comes by a mark.
func (w *overFeed) feed(hi int32) {
	for w.mark < len(w.piece.marks) && int32(w.piece.marks[w.mark].at) <= hi {
		m := &w.piece.marks[w.mark]
		w.mark++
		if w.c.kept == nil {
			continue
		}
		if at := int32(m.at); at > w.hi {
			w.add(w.hi, at, vec.Insert)
			w.hi = at
		}
		to := []uint32{m.c.acc}
		w.c.kept.Clear(to)
		w.c.kept.Merge(to, w.a, group0)
	}
	if hi > w.hi {
		w.add(w.hi, hi, vec.Insert)
		w.hi = hi
	}
}

// finish notes the state at the marks that are left.
func (w *overFeed) finish() {
	if n := len(w.piece.marks); n > 0 {
		w.feed(max(w.hi, int32(w.piece.marks[n-1].at)))
	}
	w.clear()
}

// reach goes on to a frame that ends where the last one did and gives the position of its result.
func (w *overFeed) reach(lo, hi int32) int32 {
	if w.hi == 0 || lo > w.lo {
		w.clear()
		w.lo, w.hi = hi, hi
	}
	w.add(lo, w.lo, vec.Insert)
	w.lo = lo
	if !w.fresh {
		w.a.Result(group0, &w.e.tmp)
		w.fresh = true
	}
	return int32(w.e.tmp.N - 1)
}

// slide goes on to another frame, taking back what it does not have.
func (w *overFeed) slide(lo, hi int32) {
	if lo >= w.hi || hi <= w.lo {
		w.clear()
		w.add(lo, hi, vec.Insert)
	} else {
		if lo < w.lo {
			w.add(lo, w.lo, vec.Insert)
		}
		if hi > w.hi {
			w.add(w.hi, hi, vec.Insert)
		}
		if lo > w.lo {
			w.add(w.lo, lo, vec.Delete)
		}
		if hi < w.hi {
			w.add(hi, w.hi, vec.Delete)
		}
	}
	w.lo, w.hi = lo, hi
	w.result()
}
