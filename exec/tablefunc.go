package exec

import (
	"math"
	"slices"

	"streamsql/internal/fn"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
	"streamsql/state"
)

// tableFunc is a set-returning function in FROM with constant arguments.
type tableFunc struct {
	leaf
	n    *planner.TableFunc
	args []types.Datum // of the rows to come; nil: not computed yet
	rows int64         // sent
}

var _ producer = (*tableFunc)(nil)

func newTableFunc(n *planner.TableFunc) (Operator, error) { return &tableFunc{n: n}, nil }

func argTypes(es []planner.Expr) []types.T {
	ts := make([]types.T, len(es))
	for i, e := range es {
		ts[i] = e.Type()
	}
	return ts
}

// setFields gives the columns that a set-returning function appends.
func setFields(f *fn.Func, args []planner.Expr) *vec.Schema {
	if f.Cols != nil {
		return vec.NewSchema(f.Cols(argTypes(args))...)
	}
	return vec.NewSchema(vec.Field{Name: f.Name, Type: f.Ret})
}

// callSet appends the rows of f to emit. A strict function of a NULL has none.
func callSet(fc *fn.Ctx, f *fn.Func, args []types.Datum, emit *vec.Builder) error {
	if f.Strict {
		for _, a := range args {
			if a == nil {
				return nil
			}
		}
	}
	f.NeedSet(fc, args)
	return f.Set(fc, args, emit)
}

func (t *tableFunc) start() error {
	for {
		if more, err := t.produce(); err != nil || !more {
			return err
		}
	}
}

// produce sends at most a batch of a series of integers, and all of any other set.
func (t *tableFunc) produce() (bool, error) {
	if t.done {
		return false, nil
	}
	if t.args == nil {
		t.args = make([]types.Datum, len(t.n.Args))
		for i, e := range t.n.Args {
			var err error
			if t.args[i], err = EvalConst(t.ctx.Fn, e); err != nil {
				return false, err
			}
		}
	}
	args, rest := seriesStep(t.n.Fn, t.args)
	emit := vec.NewBuilder(t.ctx.Alloc, setFields(t.n.Fn, t.n.Args))
	defer emit.Release()
	if err := callSet(t.ctx.Fn, t.n.Fn, args, emit); err != nil {
		return false, err
	}
	if err := t.send(emit); err != nil {
		return false, err
	}
	if rest == nil || outputSated(t.out) {
		t.done = true
		return false, t.out.Watermark(Mark{W: vec.MaxTime})
	}
	t.args = rest
	return true, nil
}

// send sends the rows of emit.
func (t *tableFunc) send(emit *vec.Builder) error {
	n := emit.Len()
	b := vec.NewBuilder(t.ctx.Alloc, t.n.Schema())
	defer b.Release()
	for at := 0; at < n; at += vec.MaxRows {
		end := min(at+vec.MaxRows, n)
		for c := range emit.Cols {
			b.Cols[c].AppendRange(&emit.Cols[c], at, end)
		}
		for i := at; i < end && t.n.Ordinality; i++ {
			t.rows++
			b.Cols[len(emit.Cols)].AppendInt64(t.rows)
		}
		batch := b.Finish()
		err := t.out.Emit(batch)
		batch.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// seriesStep splits the arguments of generate_series over integers: those of its first batch of rows, and those of
// the others; nil where args are all of it.
func seriesStep(f *fn.Func, args []types.Datum) (first, rest []types.Datum) {
	if f.Name != "generate_series" || f.Ret.OID != types.OIDInt4 && f.Ret.OID != types.OIDInt8 {
		return args, nil
	}
	v := [3]int64{2: 1}
	for i, a := range args {
		switch x := a.(type) {
		case int32:
			v[i] = int64(x)
		case int64:
			v[i] = x
		default:
			return args, nil
		}
	}
	from, to, step := v[0], v[1], v[2]
	if step == 0 {
		return args, nil
	}
	span := satMul(step, vec.MaxRows-1)
	last, next := satAdd(from, span), satAdd(from, satAdd(span, step))
	if step > 0 && (next > to || next == math.MaxInt64) || step < 0 && (next < to || next == math.MinInt64) {
		return args, nil
	}
	datum := func(x int64) types.Datum {
		if f.Ret.OID == types.OIDInt4 {
			return int32(x)
		}
		return x
	}
	first, rest = slices.Clone(args), slices.Clone(args)
	first[1], rest[0] = datum(last), datum(next)
	return first, rest
}

// satMul is a*b for b > 0, or the bound that it would pass.
func satMul(a, b int64) int64 {
	switch {
	case a > math.MaxInt64/b:
		return math.MaxInt64
	case a < math.MinInt64/b:
		return math.MinInt64
	}
	return a * b
}

// lateral calls set-returning functions for each row of its input: a LATERAL function
// in FROM, or the functions of a select list, side by side.
type lateral struct {
	in     planner.Node
	schema *vec.Schema
	ctx    *Context
	out    Output
	p      *Program
	fns    []*fn.Func
	args   [][]planner.Expr
	// zip pads the sets of a row to the longest with NULL and makes one column of each function.
	zip        bool
	outer      bool
	ordinality bool
	emits      []*vec.Builder
	build      []vec.Vec // the functions' columns of the output
	sel        []int32   // input row of each output row
	views      []vec.Vec
}

func newLateral(n *planner.TableFunc) (Operator, error) {
	return &lateral{in: n.Input, schema: n.Schema(), fns: []*fn.Func{n.Fn}, args: [][]planner.Expr{n.Args}, outer: n.Outer, ordinality: n.Ordinality}, nil
}

func newProjectSet(n *planner.ProjectSet) (Operator, error) {
	return &lateral{in: n.Input, schema: n.Schema(), fns: n.Fns, args: n.Args, zip: true, ordinality: n.Ordinality}, nil
}

func (l *lateral) Open(ctx *Context, out Output) error {
	l.ctx, l.out = ctx, out
	var all []planner.Expr
	for i, f := range l.fns {
		all = append(all, l.args[i]...)
		l.emits = append(l.emits, vec.NewBuilder(ctx.Alloc, setFields(f, l.args[i])))
	}
	l.build = make([]vec.Vec, l.schema.Len()-l.in.Schema().Len())
	for i := range l.build {
		l.build[i].SetAllocator(ctx.Alloc)
	}
	l.reset()
	var err error
	l.p, err = CompileExprs(ctx, all, l.in.Schema())
	return err
}

func (l *lateral) reset() {
	for i := range l.build {
		l.build[i].Reset(l.schema.Fields[l.in.Schema().Len()+i].Type.Kind(), 0)
	}
	l.sel = l.sel[:0]
}

func (l *lateral) Push(_ int, b *vec.Batch) error {
	l.views = b.Views(l.views)
	cols, err := l.p.Eval(l.views, b.N)
	if err != nil {
		return err
	}
	bad := map[int32]error{}
	for _, v := range cols {
		for _, e := range v.Errs {
			if bad[e.Row] == nil {
				bad[e.Row] = e.Err
			}
		}
	}
	defer l.reset()
	for i := range b.N {
		err := bad[int32(i)]
		if err == nil {
			err = l.row(cols, i)
		}
		if err != nil {
			if err := rowError(l.ctx, err, b, i); err != nil {
				return err
			}
			continue
		}
		if len(l.sel) >= vec.MaxRows {
			if err := l.flush(b); err != nil {
				return err
			}
		}
	}
	return l.flush(b)
}

// row appends the output rows of input row i; if it fails, none.
func (l *lateral) row(cols []*vec.Vec, i int) error {
	defer func() {
		for _, e := range l.emits {
			for c := range e.Cols {
				e.Cols[c].Reset(e.Schema.Fields[c].Type.Kind(), 0)
			}
			e.Ops = nil
		}
	}()
	n, at := 0, 0
	for k, f := range l.fns {
		args := make([]types.Datum, len(l.args[k]))
		for j := range args {
			args[j] = cols[at].Datum(i)
			at++
		}
		if err := callSet(l.ctx.Fn, f, args, l.emits[k]); err != nil {
			return err
		}
		n = max(n, l.emits[k].Len())
	}
	if l.zip {
		for k, e := range l.emits {
			l.zipColumn(&l.build[k], e, n)
		}
		for r := 0; l.ordinality && r < n; r++ {
			l.build[len(l.emits)].AppendInt64(int64(r) + 1)
		}
	} else {
		e := l.emits[0]
		for c := range e.Cols {
			l.build[c].AppendRange(&e.Cols[c], 0, n)
		}
		for r := range n {
			if l.ordinality {
				l.build[len(e.Cols)].AppendInt64(int64(r) + 1)
			}
		}
		if n == 0 && l.outer {
			for c := range l.build {
				l.build[c].AppendNull()
			}
			n = 1
		}
	}
	for range n {
		l.sel = append(l.sel, int32(i))
	}
	return nil
}

// zipColumn appends the rows of e, padded to n, to a column: as records where e has several columns.
func (l *lateral) zipColumn(dst *vec.Vec, e *vec.Builder, n int) {
	rows := e.Len()
	if len(e.Cols) == 1 {
		dst.AppendRange(&e.Cols[0], 0, rows)
	} else {
		ts, vals := make([]types.T, len(e.Cols)), make([]types.Datum, len(e.Cols))
		for i := range rows {
			for c := range e.Cols {
				ts[c], vals[c] = e.Schema.Fields[c].Type, e.Cols[c].Datum(i)
			}
			dst.AppendStr(types.EncodeRecord(ts, vals))
		}
	}
	for range n - rows {
		dst.AppendNull()
	}
}

// flush sends the output rows so far.
func (l *lateral) flush(b *vec.Batch) error {
	if len(l.sel) == 0 {
		return nil
	}
	out := b.Select(l.ctx.Alloc, l.sel)
	for i := range l.build {
		out.Cols = append(out.Cols, l.build[i].Seal())
	}
	out.Schema = l.schema
	err := l.out.Emit(out)
	out.Release()
	l.reset()
	return err
}

func (l *lateral) Advance(_ int, m Mark) error { return l.out.Watermark(m) }

func (l *lateral) Tick(Tick) error { return nil }

func (l *lateral) Snapshot(*state.Writer) error { return nil }

func (l *lateral) Restore(*state.Reader) error { return nil }

func (l *lateral) Close() error {
	if l.p != nil {
		l.p.Close()
	}
	for _, e := range l.emits {
		e.Release()
	}
	for i := range l.build {
		l.build[i].Release()
	}
	return nil
}
