package exec

import (
	"math"
	"slices"
	"sort"

	"streamsql/internal/fn"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/parser/ast"
	"streamsql/sql/planner"
)

// overFrame is the frame of window functions: for each row the rows from lo up to hi, but for those that EXCLUDE names.
type overFrame struct {
	ast.Frame
	def      *ast.Frame // as written, nil the default
	keys     bool
	from, to *overOffset
	err      error // of an offset, once there are rows
	ready    bool
	lo, hi   []int32
}

// overOffset is the offset of a bound: a count of rows or groups, or a distance from the sort key.
type overOffset struct {
	count int

	key     planner.SortKey
	int     int64 // of integers, and of time in microseconds
	float   float64
	isFloat bool
	prog    [2]*Program // key - offset, key + offset; of the other types
	in      *vec.Schema
	compare func(a *vec.Vec, i int, b *vec.Vec, j int) int
	date    bool // keys are compared as timestamps
	conv    vec.Vec
}

// newRangeOffset makes the offset d of a RANGE frame over a sort key of type t.
func newRangeOffset(ctx *Context, key planner.SortKey, t types.T, x planner.Expr, d types.Datum) (*overOffset, error) {
	o := &overOffset{key: key}
	negative := false
	switch {
	case t.Is(types.Int2), t.Is(types.Int4), t.Is(types.Int8):
		switch v := d.(type) {
		case int16:
			o.int = int64(v)
		case int32:
			o.int = int64(v)
		case int64:
			o.int = v
		}
		negative = o.int < 0
	case t.Is(types.Float4), t.Is(types.Float8):
		o.isFloat = true
		switch v := d.(type) {
		case float32:
			o.float = float64(v)
		case float64:
			o.float = v
		}
		negative = o.float < 0 || o.float != o.float
	default:
		zero := types.Datum(types.Span{}.Bytes())
		if x.Type().Is(types.Numeric) {
			zero = types.NumericFromInt64(0).Encode()
		}
		negative = types.Compare(x.Type(), d, zero) < 0
		if t.Is(types.Time) {
			b, _ := d.([16]byte)
			o.int = types.SpanOf(b).Micros
			break
		}
		if t.Is(types.Date) {
			o.date, t = true, types.Timestamp
		}
		o.compare = fn.Comparer(t)
		o.in = vec.NewSchema(vec.Field{Name: "key", Type: t})
		o.conv.SetAllocator(ctx.Alloc)
		for i, op := range []string{"-", "+"} {
			r, err := fn.ResolveOp(op, []types.T{t, x.Type()})
			if err != nil {
				return nil, err
			}
			call := &planner.Call{Fn: r.Func, Typ: t,
				Args: []planner.Expr{&planner.Column{Index: 0, Typ: t}, &planner.Const{Val: d, Typ: x.Type()}}}
			if o.prog[i], err = CompileExprs(ctx, []planner.Expr{call}, o.in); err != nil {
				return nil, err
			}
		}
	}
	if negative {
		o.close()
		return nil, pgerr.New(pgerr.InvalidFrameOffset, "invalid preceding or following size in window function")
	}
	return o, nil
}

func (o *overOffset) close() {
	for _, p := range o.prog {
		if p != nil {
			p.Close()
		}
	}
	o.conv.Release()
}

func (f *overFrame) close() {
	for _, o := range []*overOffset{f.from, f.to} {
		if o != nil {
			o.close()
		}
	}
}

// whole says that the frame of every row is its partition.
func (f *overFrame) whole() bool {
	return f.Start.Kind == "unbounded preceding" && f.End.Kind == "unbounded following" && f.Exclude == ""
}

// compute finds the frames of all rows.
func (f *overFrame) compute(e *overEval) error {
	if f.ready {
		return nil
	}
	f.ready = true
	f.lo, f.hi = slices.Grow(f.lo[:0], e.n)[:e.n], slices.Grow(f.hi[:0], e.n)[:e.n]
	if err := f.bound(e, f.Start.Kind, f.from, f.lo, false); err != nil {
		return err
	}
	if err := f.bound(e, f.End.Kind, f.to, f.hi, true); err != nil {
		return err
	}
	for p := range e.pieces {
		s := &e.pieces[p]
		for i := s.from; i < s.to; i++ {
			f.hi[i] = max(f.hi[i], f.lo[i])
		}
	}
	return nil
}

// used says that a call looks at its frame.
func (f *overFrame) used(c *overCall) bool {
	return c.Agg != nil && !f.whole() || c.Name == "first_value" || c.Name == "last_value" || c.Name == "nth_value"
}

// short says how many pieces have frames that may go on before (lo) or after (hi) the rows that are there.
func (f *overFrame) short(e *overEval) (n overSpan) {
	if f.Unit == "rows" {
		return n // the pieces are made for those
	}
	for p := range e.pieces {
		s := &e.pieces[p]
		if s.from == s.to || s.sure {
			continue
		}
		lo, hi := int(f.lo[s.from]), int(f.hi[s.to-1])
		if s.before > 0 {
			switch {
			case f.Start.Kind == "unbounded preceding" && f.End.Kind == "preceding":
				if int(f.hi[s.from]) <= s.lo {
					n.lo++
				}
			case f.Start.Kind == "unbounded preceding":
			case f.Start.Kind == "current row" && lo < s.lo, f.Start.Kind != "current row" && lo <= s.lo, f.Exclude != "" && int(e.peerLo[s.from]) < s.lo:
				n.lo++
			}
		}
		if s.more && f.End.Kind != "unbounded following" && hi >= s.hi {
			n.hi++
		}
	}
	return n
}

// bound computes where the frame of each row begins, or with end, where it ends.
func (f *overFrame) bound(e *overEval, kind string, o *overOffset, dst []int32, end bool) error {
	one := 0
	if end {
		one = 1
	}
	if f.Unit == "range" && (kind == "preceding" || kind == "following") {
		return o.bound(e, kind == "preceding", dst, end)
	}
	by := 0
	if o != nil {
		by = o.count
	}
	if kind == "preceding" {
		by = -by
	}
	for p := range e.pieces {
		s := &e.pieces[p]
		if s.from == s.to {
			continue
		}
		switch {
		case kind == "unbounded preceding":
			fill(dst[s.from:s.to], int32(s.lo))
		case kind == "unbounded following":
			fill(dst[s.from:s.to], int32(s.hi))
		case kind == "current row" && f.Unit == "rows":
			for i := s.from; i < s.to; i++ {
				dst[i] = int32(i + one)
			}
		case kind == "current row" && end:
			copy(dst[s.from:s.to], e.peerHi[s.from:s.to])
		case kind == "current row":
			copy(dst[s.from:s.to], e.peerLo[s.from:s.to])
		case f.Unit == "rows":
			for i := s.from; i < s.to; i++ {
				dst[i] = int32(min(max(i+by+one, s.lo), s.hi))
			}
		default:
			g0, g1 := int(e.group[s.lo]), int(e.group[s.hi-1])+1
			for i := s.from; i < s.to; i++ {
				g := min(max(int(e.group[i])+by+one, g0), g1)
				if g == g1 {
					dst[i] = int32(s.hi)
				} else {
					dst[i] = e.starts[g]
				}
			}
		}
	}
	return nil
}

func fill(dst []int32, x int32) {
	for i := range dst {
		dst[i] = x
	}
}

// bound finds the rows whose key is at least (with end: the rows after those whose key is at most) the
// offset before or after that of each row. NULLs are as far as can be from all values, and together.
func (o *overOffset) bound(e *overEval, preceding bool, dst []int32, end bool) error {
	sub := preceding != o.key.Desc // the limit is key - offset
	key := &e.cols[o.key.Col]
	side, err := o.limits(e, key, sub, end != o.key.Desc)
	if err != nil {
		return err
	}
	for p := range e.pieces {
		s := &e.pieces[p]
		lo, hi := s.lo, s.hi // of the keys that are not NULL
		for lo < hi && key.IsNull(lo) {
			lo++
		}
		for lo < hi && key.IsNull(hi-1) {
			hi--
		}
		for i := s.from; i < s.to; i++ {
			if i < lo || i >= hi {
				dst[i] = e.peerLo[i]
				if end {
					dst[i] = e.peerHi[i]
				}
				continue
			}
			if i > s.from && e.peerLo[i] < int32(i) {
				dst[i] = dst[i-1]
				continue
			}
			dst[i] = int32(lo + sort.Search(hi-lo, func(j int) bool {
				c := side(lo+j, i)
				if o.key.Desc {
					c = -c
				}
				if end {
					return c > 0
				}
				return c >= 0
			}))
		}
	}
	return nil
}

// limits gives the comparison of the key of row j with the limit of row i: its key less or more the
// offset. most says that the limit is the largest value of the frame, not the smallest. Limits do not wrap.
func (o *overOffset) limits(e *overEval, key *vec.Vec, sub, most bool) (func(j, i int) int, error) {
	if o.isFloat {
		by := o.float
		if sub {
			by = -by
		}
		at := func(v *vec.Vec, i int) float64 {
			if v.Kind == types.KindFloat32 {
				return float64(v.F32[i])
			}
			return v.F64[i]
		}
		return func(j, i int) int {
			k := at(key, i)
			limit := k + by
			if limit != limit && k == k { // infinity less infinity: every number is near enough
				limit = math.Inf(-1)
				if most {
					limit = math.Inf(1)
				}
			}
			return compareFloats(at(key, j), limit)
		}, nil
	}
	if o.prog[0] == nil {
		by := o.int
		at := func(i int) int64 {
			switch key.Kind {
			case types.KindInt16:
				return int64(key.I16[i])
			case types.KindInt32:
				return int64(key.I32[i])
			}
			return key.I64[i]
		}
		return func(j, i int) int {
			k := at(i)
			if sub {
				if k < math.MinInt64+by {
					return 1
				}
				k -= by
			} else {
				if k > math.MaxInt64-by {
					return -1
				}
				k += by
			}
			x := at(j)
			switch {
			case x < k:
				return -1
			case x > k:
				return 1
			}
			return 0
		}, nil
	}
	if o.date {
		o.conv.Reset(types.KindInt64, 0)
		for i := range e.n {
			if key.IsNull(i) {
				o.conv.AppendNull()
				continue
			}
			ts, err := types.DateToTimestamp(key.I32[i])
			if err != nil {
				return nil, err
			}
			o.conv.AppendInt64(ts)
		}
		key = &o.conv
	}
	p := o.prog[1]
	if sub {
		p = o.prog[0]
	}
	out, err := p.Eval([]vec.Vec{*key}, e.n)
	if err != nil {
		return nil, err
	}
	limit := out[0]
	if len(limit.Errs) > 0 {
		return nil, limit.Errs[0].Err
	}
	return func(j, i int) int { return o.compare(key, j, limit, i) }, nil
}

// compareFloats orders floats as PostgreSQL does: NaNs are equal and last.
func compareFloats(a, b float64) int { return compareWords(orderedWord(a), orderedWord(b)) }

// spans gives the rows of the frame of row i as up to three ranges, and their number.
func (f *overFrame) spans(e *overEval, i int) (s [3]overSpan, n int) {
	lo, hi := int(f.lo[i]), int(f.hi[i])
	x0, x1, self := 0, 0, false
	switch f.Exclude {
	case "":
		s[0] = overSpan{lo, hi}
		return s, hi - lo
	case "current row":
		x0, x1 = i, i+1
	case "group":
		x0, x1 = int(e.peerLo[i]), int(e.peerHi[i])
	case "ties":
		x0, x1, self = int(e.peerLo[i]), int(e.peerHi[i]), lo <= i && i < hi
	}
	s[0] = overSpan{lo, max(lo, min(hi, x0))}
	s[2] = overSpan{min(hi, max(lo, x1)), hi}
	if self {
		s[1] = overSpan{i, i + 1}
	}
	for _, r := range s {
		n += r.hi - r.lo
	}
	return s, n
}
