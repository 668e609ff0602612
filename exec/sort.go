package exec

import (
	"bytes"
	"math"
	"slices"

	"streamsql/internal/fn"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
	"streamsql/state"
)

// sortOp orders rows: all of a snapshot, at its end; those of each tick of a changelog.
type sortOp struct {
	n     *planner.Sort
	ctx   *Context
	out   Output
	store *rowStore
	order *rowOrder
	refs  []rowRef
	ops   []vec.Op // nil: all inserts
	mark  Mark
	sent  Mark
	hasW  bool
	views []vec.Vec
	runs  sortRuns
}

func newSort(n *planner.Sort) (Operator, error) {
	none := Mark{W: vec.MinTime}
	return &sortOp{n: n, mark: none, sent: none}, nil
}

// Open implements Operator.
func (s *sortOp) Open(ctx *Context, out Output) error {
	s.ctx, s.out = ctx, out
	schema := s.n.Input.Schema()
	s.store = newRowStore(ctx.Alloc, schemaKinds(schema))
	s.order = newRowOrder(s.store, schema, s.n.Keys)
	s.runs.acct = ctx.Memory.Operator(operatorName(s.n))
	return nil
}

// Push implements Operator.
func (s *sortOp) Push(_ int, b *vec.Batch) error {
	s.hasW = s.hasW || b.W != nil
	if b.Ops != nil && s.ops == nil {
		s.ops = make([]vec.Op, len(s.refs), len(s.refs)+b.N)
		for i := range s.ops {
			s.ops[i] = vec.Insert
		}
	}
	if s.ops != nil {
		for i := range b.N {
			s.ops = append(s.ops, b.Op(i))
		}
	}
	take := func(at, row, n int) {
		for i := range n {
			s.refs = append(s.refs, rowRef(at<<blockBits|(row+i)))
		}
	}
	if b.N >= lendRows && b.N <= blockRows {
		take(s.store.lend(b), 0, b.N)
		return s.weigh()
	}
	s.views = b.Views(s.views)
	s.store.addSel(s.views, iota32(b.N), func(at, row int, sel []int32) { take(at, row, len(sel)) })
	return s.weigh()
}

// flush sends the rows in order.
func (s *sortOp) flush() error {
	if len(s.refs) == 0 {
		return nil
	}
	perm := s.order.sort(s.refs)
	ops := s.ops
	if ops != nil {
		ops = make([]vec.Op, len(perm))
		for i, p := range perm {
			ops[i] = s.ops[p]
		}
	}
	refs := make([]rowRef, len(perm))
	for i, p := range perm {
		refs[i] = s.refs[p]
	}
	err := s.store.emitRows(marked(s.out, s.hasW, s.sent.W), s.n.Schema(), refs, ops)
	s.store.reset()
	s.refs, s.ops = s.refs[:0], nil
	return err
}

// Advance implements Operator.
func (s *sortOp) Advance(_ int, m Mark) error {
	s.mark = m
	if s.ctx.Continuous {
		return nil
	}
	if m.W != vec.MaxTime {
		return nil
	}
	if len(s.runs.streams) > 0 {
		if err := s.beginMerge(); err != nil || s.ctx.Stepped {
			return err
		}
		for {
			if more, err := s.resume(); err != nil || !more {
				return err
			}
		}
	}
	if err := s.flush(); err != nil {
		return err
	}
	s.runs.acct.Set(0)
	return s.out.Watermark(m)
}

// Tick implements Operator.
func (s *sortOp) Tick(Tick) error {
	if !s.ctx.Continuous {
		return nil
	}
	if err := s.flush(); err != nil {
		return err
	}
	return passHeld(s.out, s.mark, &s.sent)
}

// passHeld sends a mark that waited for the tick's rows, where it changed.
func passHeld(out Output, m Mark, sent *Mark) error {
	if m == *sent {
		return nil
	}
	*sent = m
	return out.Watermark(m)
}

// markedOutput adds the watermark to each row of its batches: they may be behind it.
type markedOutput struct {
	Output
	w vec.Time
}

// Emit implements Output.
func (m markedOutput) Emit(b *vec.Batch) error {
	b.W = make([]vec.Time, b.N)
	for i := range b.W {
		b.W[i] = m.w
	}
	return m.Output.Emit(b)
}

// marked gives out, with watermarks in its batches where rows of the input were behind theirs.
func marked(out Output, hasW bool, w vec.Time) Output {
	if !hasW {
		return out
	}
	return markedOutput{out, w}
}

// Snapshot implements Operator. In a changelog nothing is held after a tick.
func (s *sortOp) Snapshot(w *state.Writer) error {
	w.Int64(s.mark.W)
	w.Bool(s.mark.Idle)
	w.Bool(s.hasW)
	writeStore(w, s.store, s.refs)
	return nil
}

// Restore implements Operator.
func (s *sortOp) Restore(r *state.Reader) error {
	s.mark = Mark{W: r.Int64(), Idle: r.Bool()}
	s.hasW = r.Bool()
	s.sent = s.mark
	refs, err := readStore(r, s.store)
	s.refs = refs
	return err
}

// Close implements Operator.
func (s *sortOp) Close() error {
	if s.store != nil {
		s.store.reset()
	}
	for i := range s.views {
		s.views[i].Release()
	}
	return s.runs.close()
}

// rowOrder compares rows of a store by sort keys.
type rowOrder struct {
	store *rowStore
	keys  []planner.SortKey
	cmps  []func(a *vec.Vec, i int, b *vec.Vec, j int) int
	// whole compares the rest of the row, so that rows that differ have an order.
	whole []func(a *vec.Vec, i int, b *vec.Vec, j int) int
	exact []bool // whole: equal values may differ in memory
	text  bool   // the first key orders by its bytes
}

func newRowOrder(store *rowStore, schema *vec.Schema, keys []planner.SortKey) *rowOrder {
	o := &rowOrder{store: store, keys: keys}
	for _, k := range keys {
		o.cmps = append(o.cmps, fn.Comparer(schema.Fields[k.Col].Type))
	}
	if len(keys) > 0 {
		t := schema.Fields[keys[0].Col].Type
		o.text = t.Is(types.Text) || t.Is(types.Varchar) || t.Is(types.Name)
	}
	return o
}

// breakTies makes total order by the whole row, for compareAll.
func (o *rowOrder) breakTies(schema *vec.Schema) {
	for _, f := range schema.Fields {
		o.whole = append(o.whole, fn.Comparer(f.Type))
		o.exact = append(o.exact, types.NeedsKey(f.Type))
	}
}

// compare compares row i of a with row j of b by the keys.
func (o *rowOrder) compare(a []vec.Vec, i int, b []vec.Vec, j int) int {
	for k, key := range o.keys {
		x, y := &a[key.Col], &b[key.Col]
		if x.Valid != nil || y.Valid != nil {
			xn, yn := x.IsNull(i), y.IsNull(j)
			if xn || yn {
				if xn == yn {
					continue
				}
				if xn == key.NullsFirst {
					return -1
				}
				return 1
			}
		}
		c := o.cmps[k](x, i, y, j)
		if c != 0 {
			if key.Desc {
				return -c
			}
			return c
		}
	}
	return 0
}

// compareAll compares by the keys, then by the whole row: 0 only for rows with the same representation.
func (o *rowOrder) compareAll(a []vec.Vec, i int, b []vec.Vec, j int) int {
	if c := o.compare(a, i, b, j); c != 0 {
		return c
	}
	for k, cmp := range o.whole {
		x, y := &a[k], &b[k]
		xn, yn := x.IsNull(i), y.IsNull(j)
		if xn || yn {
			if xn == yn {
				continue
			}
			if yn {
				return -1
			}
			return 1
		}
		if c := cmp(x, i, y, j); c != 0 {
			return c
		}
	}
	for k, exact := range o.exact {
		if exact && !a[k].IsNull(i) {
			if c := compareBits(&a[k], i, &b[k], j); c != 0 {
				return c
			}
		}
	}
	return 0
}

// compareBits orders values that are SQL-equal by their representation.
func compareBits(a *vec.Vec, i int, b *vec.Vec, j int) int {
	switch a.Kind {
	case types.KindFloat32:
		return compareWords(floatBits(float64(a.F32[i])), floatBits(float64(b.F32[j])))
	case types.KindFloat64:
		return compareWords(floatBits(a.F64[i]), floatBits(b.F64[j]))
	case types.KindFixed16:
		return bytes.Compare(a.F16[i][:], b.F16[j][:])
	case types.KindString, types.KindBytes:
		return bytes.Compare(a.Bytes(i), b.Bytes(j))
	}
	return 0
}

func compareWords(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// sortItem is a row to be sorted: the order-preserving prefix of its first key, and its place.
type sortItem struct {
	prefix uint64
	pos    int32
}

// sort gives the stable order of the rows refs, as positions in refs.
func (o *rowOrder) sort(refs []rowRef) []int32 {
	n := len(refs)
	items := make([]sortItem, n)
	exact := o.prefixes(refs, items)
	if exact && len(o.keys) == 1 {
		radixSort(items)
	} else {
		slices.SortFunc(items, func(x, y sortItem) int {
			if x.prefix != y.prefix {
				if x.prefix < y.prefix {
					return -1
				}
				return 1
			}
			a, i := o.store.at(refs[x.pos])
			b, j := o.store.at(refs[y.pos])
			if c := o.compare(a, i, b, j); c != 0 {
				return c
			}
			return int(x.pos) - int(y.pos)
		})
	}
	perm := make([]int32, n)
	for i, it := range items {
		perm[i] = it.pos
	}
	return perm
}

// prefixes computes for each row a word that orders as the first key does; exact says that
// equal words mean equal keys.
func (o *rowOrder) prefixes(refs []rowRef, items []sortItem) (exact bool) {
	for i := range items {
		items[i].pos = int32(i)
	}
	if len(o.keys) == 0 {
		return true
	}
	key := o.keys[0]
	kind := o.store.kinds[key.Col]
	exact = true
	text := false
	switch kind {
	case types.KindString:
		// Only text and varchar order by their bytes; for other strings the prefix stays 0.
		exact = false
		text = o.text
	case types.KindBytes, types.KindFixed16:
		exact = false
	case types.KindInt64:
		exact = false // the extreme values share their word with NULL
	}
	for i, r := range refs {
		cols, row := o.store.at(r)
		v := &cols[key.Col]
		var w uint64
		null := v.IsNull(row)
		if !null {
			switch kind {
			case types.KindBool:
				w = 1
				if v.Bools[row] {
					w = 2
				}
			case types.KindInt16:
				w = uint64(int64(v.I16[row])) ^ 1<<63
			case types.KindInt32:
				w = uint64(int64(v.I32[row])) ^ 1<<63
			case types.KindInt64:
				w = uint64(v.I64[row]) ^ 1<<63
			case types.KindFloat32:
				w = orderedWord(float64(v.F32[row]))
			case types.KindFloat64:
				w = orderedWord(v.F64[row])
			case types.KindString:
				if text {
					w = bytesWord(v.Bytes(row))
				}
			}
			if key.Desc {
				w = ^w
			}
		} else if key.NullsFirst {
			w = 0
		} else {
			w = math.MaxUint64
		}
		items[i].prefix = w
	}
	if kind == types.KindInt64 {
		exact = o.noExtremes(refs)
	}
	if kind == types.KindString && !text || kind == types.KindBytes || kind == types.KindFixed16 {
		// NULLs and values must not be told apart by a word that the values do not have.
		for i := range items {
			items[i].prefix = 0
		}
	}
	return exact
}

// noExtremes reports whether no value of the first key, an int8, has the word of NULL, or there are no NULLs.
func (o *rowOrder) noExtremes(refs []rowRef) bool {
	c := &o.store.cols[o.keys[0].Col]
	if c.nulls == 0 {
		return true
	}
	for _, r := range refs {
		cols, row := o.store.at(r)
		v := &cols[o.keys[0].Col]
		if !v.IsNull(row) && (v.I64[row] == math.MinInt64 || v.I64[row] == math.MaxInt64) {
			return false
		}
	}
	return true
}

// orderedWord maps floats to words that order as PostgreSQL orders them: -0 with 0, NaN last.
func orderedWord(f float64) uint64 {
	if f != f {
		return math.MaxUint64 - 1
	}
	if f == 0 {
		return 1 << 63
	}
	x := math.Float64bits(f)
	if x>>63 != 0 {
		return ^x
	}
	return x | 1<<63
}

// bytesWord gives the first eight bytes of b as a big-endian word.
func bytesWord(b []byte) uint64 {
	var w uint64
	for i := range min(len(b), 8) {
		w |= uint64(b[i]) << (56 - 8*i)
	}
	return w
}

// radixSort sorts by prefix, stably, a byte at a time; bytes that all words share cost nothing.
func radixSort(items []sortItem) {
	n := len(items)
	if n < 256 {
		slices.SortStableFunc(items, func(a, b sortItem) int { return compareWords(a.prefix, b.prefix) })
		return
	}
	var counts [8][256]int32
	for _, it := range items {
		w := it.prefix
		for d := range 8 {
			counts[d][byte(w>>(8*d))]++
		}
	}
	src, dst := items, make([]sortItem, n)
	for d := range 8 {
		c := &counts[d]
		shift := 8 * d
		if c[byte(src[0].prefix>>shift)] == int32(n) {
			continue
		}
		var sum int32
		for b := range c {
			c[b], sum = sum, sum+c[b]
		}
		for _, it := range src {
			b := byte(it.prefix >> shift)
			dst[c[b]] = it
			c[b]++
		}
		src, dst = dst, src
	}
	if &src[0] != &items[0] {
		copy(items, src)
	}
}
