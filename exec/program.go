package exec

import (
	"fmt"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"

	"streamsql/internal/fn"
	"streamsql/internal/mem"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
)

// Program is a set of expressions compiled over the columns of one input: typed
// nodes, each computed once a batch however often it occurs, with a register for
// its column in every frame. It is used by one goroutine.
type Program struct {
	fn    *fn.Ctx
	alloc vec.Allocator
	nodes []*node
	roots []int
	slots int // child frames that the nodes need
	top   *frame
	outs  []*vec.Vec
	// guards are those of the expressions, each with programs of its own.
	guards []*guard
}

// evaluator computes the column of a node in a frame: it sets r.v.
type evaluator interface{ eval(f *frame, r *reg) }

// node is a distinct subexpression.
type node struct {
	evaluator
	typ types.T
	// column is the index of an input column that the node is, as it stands; -1 none.
	column int
	// cheap says that computing all lanes costs less than choosing some.
	cheap bool
	// volatile says that each row must be computed at most once, and only where asked for.
	volatile bool
}

// reg is where a frame keeps the column of a node. v points at own, at a column of the input or at another register.
type reg struct {
	stamp uint64
	v     *vec.Vec
	own   vec.Vec
	view  vec.Vec // part of own; never released
}

// frame is a set of rows that nodes are computed over: those of a batch, or a
// selection of the rows of another frame (the lanes of a CASE branch, or those that passed a filter).
type frame struct {
	p      *Program
	parent *frame
	sel    []int32 // rows of the parent
	n      int
	stamp  uint64
	regs   []*reg
	kids   []*frame
	cols   []vec.Vec     // of the top frame: the input's columns, or
	arrs   []arrow.Array // the arrays that they are viewed from when needed
}

func (p *Program) newFrame(parent *frame) *frame { return &frame{p: p, parent: parent} }

// begin gives a top frame new columns of n rows.
func (f *frame) begin(cols []vec.Vec, arrs []arrow.Array, n int) {
	f.cols, f.arrs, f.n = cols, arrs, n
	f.stamp++
}

// child gives the frame of slot over rows sel of f. It is valid until the next call for that slot; sel must not change while it is used.
func (f *frame) child(slot int, sel []int32) *frame {
	k := f.kid(slot)
	k.sel, k.n = sel, len(sel)
	k.stamp++
	return k
}

func (f *frame) kid(slot int) *frame {
	for len(f.kids) <= slot {
		f.kids = append(f.kids, nil)
	}
	if f.kids[slot] == nil {
		f.kids[slot] = f.p.newFrame(f)
	}
	return f.kids[slot]
}

// selection gives an empty slice to fill with the rows of the child frame of slot.
func (f *frame) selection(slot int) []int32 { return f.kid(slot).sel[:0] }

func (f *frame) reg(id int) *reg {
	for len(f.regs) <= id {
		f.regs = append(f.regs, nil)
	}
	r := f.regs[id]
	if r == nil {
		r = &reg{}
		r.own.SetAllocator(f.p.alloc)
		f.regs[id] = r
	}
	return r
}

// computed reports whether the column of node id is at hand.
func (f *frame) computed(id int) bool {
	return id < len(f.regs) && f.regs[id] != nil && f.regs[id].stamp == f.stamp
}

// get gives the column of node id for the rows of f.
func (f *frame) get(id int) *vec.Vec {
	r := f.reg(id)
	if r.stamp == f.stamp {
		return r.v
	}
	nd := f.p.nodes[id]
	if f.parent != nil && (nd.column >= 0 || !nd.cheap && f.parent.computed(id)) {
		src := f.parent.get(id)
		r.own.Reset(src.Kind, 0)
		r.own.Gather(src, f.sel)
		r.v = &r.own
	} else if f.n == 0 {
		r.own.Reset(nd.typ.Kind(), 0)
		r.v = &r.own
	} else {
		nd.eval(f, r)
	}
	r.stamp = f.stamp
	return r.v
}

func (f *frame) release() {
	for _, r := range f.regs {
		if r != nil {
			r.own.Release()
		}
	}
	for _, k := range f.kids {
		if k != nil {
			k.release()
		}
	}
	f.regs, f.kids, f.cols, f.arrs = nil, nil, nil, nil
}

// CompileExprs compiles expressions over the columns of in.
func CompileExprs(ctx *Context, exprs []planner.Expr, in *vec.Schema) (*Program, error) {
	return compile(ctx.Fn, ctx.Alloc, exprs, in)
}

func compile(fc *fn.Ctx, alloc vec.Allocator, exprs []planner.Expr, in *vec.Schema) (*Program, error) {
	p := &Program{fn: fc, alloc: alloc}
	c := compiler{p: p, memo: map[string]int{}, in: in}
	c.fold = p.newFrame(nil)
	c.fold.begin(nil, nil, 1)
	defer c.fold.release()
	for _, e := range exprs {
		id, err := c.add(e)
		if err != nil {
			p.Close()
			return nil, err
		}
		p.roots = append(p.roots, id)
	}
	p.top = p.newFrame(nil)
	return p, nil
}

// Eval computes the expressions for n rows. The columns belong to the Program and
// are valid until the next call; rows that failed are listed in their Errs.
func (p *Program) Eval(cols []vec.Vec, n int) ([]*vec.Vec, error) {
	p.top.begin(cols, nil, n)
	p.outs = p.outs[:0]
	for _, id := range p.roots {
		p.outs = append(p.outs, p.top.get(id))
	}
	return p.outs, nil
}

// Close frees the registers.
func (p *Program) Close() {
	if p.top != nil {
		p.top.release()
	}
	for _, g := range p.guards {
		g.close()
	}
	p.guards = nil
}

// EvalConst computes an expression without columns. A row that fails gives its error.
func EvalConst(fc *fn.Ctx, e planner.Expr) (d types.Datum, err error) {
	if k, ok := e.(*planner.Const); ok {
		return k.Val, nil
	}
	defer func() { mem.Recovered(recover(), &err) }()
	p, err := compile(fc, vec.Metered(nil, fc.Memory), []planner.Expr{e}, nil)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	if k, ok := p.nodes[p.roots[0]].evaluator.(*constNode); ok {
		return k.val, k.err
	}
	out, err := p.Eval(nil, 1)
	if err != nil {
		return nil, err
	}
	if len(out[0].Errs) > 0 {
		return nil, out[0].Errs[0].Err
	}
	return out[0].Datum(0), nil
}

// compiler turns expression trees into nodes, equal ones into one.
type compiler struct {
	p    *Program
	memo map[string]int // structural key to node
	in   *vec.Schema
	fold *frame // one row, for what is constant
}

// put adds a node under a structural key ("" for one that is never shared). args are its operands.
func (c *compiler) put(key string, t types.T, ev evaluator, args []int, cheap, volatile bool) int {
	for _, a := range args {
		volatile = volatile || c.p.nodes[a].volatile
		cheap = cheap && c.p.nodes[a].cheap
	}
	if key != "" && !volatile {
		if id, ok := c.memo[key]; ok {
			return id
		}
	}
	id := len(c.p.nodes)
	c.p.nodes = append(c.p.nodes, &node{evaluator: ev, typ: t, column: -1, cheap: cheap && !volatile, volatile: volatile})
	if key != "" && !volatile {
		c.memo[key] = id
	}
	if !volatile && c.constant(args) {
		c.foldNode(id)
	}
	return id
}

// constant reports whether all args are constants. Column nodes are put in another way, so no args mean a constant.
func (c *compiler) constant(args []int) bool {
	for _, a := range args {
		if _, ok := c.p.nodes[a].evaluator.(*constNode); !ok {
			return false
		}
	}
	return true
}

// foldNode computes a node whose operands are constant now, once. An error is kept: it counts only where a row needs the value.
func (c *compiler) foldNode(id int) {
	nd := c.p.nodes[id]
	v := c.fold.get(id)
	k := &constNode{kind: nd.typ.Kind()}
	if len(v.Errs) > 0 {
		k.err = v.Errs[0].Err
	} else {
		k.val = v.Datum(0)
	}
	nd.evaluator, nd.cheap = k, k.err == nil
}

func (c *compiler) constant1(val types.Datum, t types.T) int {
	key := fmt.Sprintf("const %d %T %q", t.OID, val, planner.ConstKey(val))
	if id, ok := c.memo[key]; ok {
		return id
	}
	id := len(c.p.nodes)
	c.p.nodes = append(c.p.nodes, &node{evaluator: &constNode{kind: t.Kind(), val: val}, typ: t, column: -1, cheap: true})
	c.memo[key] = id
	return id
}

func (c *compiler) column(e *planner.Column) (int, error) {
	if c.in != nil && (e.Index < 0 || e.Index >= c.in.Len()) {
		return 0, pgerr.New(pgerr.InternalError, "column %d of an input with %d columns", e.Index, c.in.Len())
	}
	if c.in == nil {
		return 0, pgerr.New(pgerr.InternalError, "column %q where a constant is needed", e.Name)
	}
	key := fmt.Sprintf("col %d", e.Index)
	if id, ok := c.memo[key]; ok {
		return id, nil
	}
	id := len(c.p.nodes)
	c.p.nodes = append(c.p.nodes, &node{evaluator: columnNode(e.Index), typ: e.Typ, column: e.Index, cheap: true})
	c.memo[key] = id
	return id, nil
}

func (c *compiler) addAll(es []planner.Expr) ([]int, error) {
	ids := make([]int, len(es))
	for i, e := range es {
		id, err := c.add(e)
		if err != nil {
			return nil, err
		}
		ids[i] = id
	}
	return ids, nil
}

func (c *compiler) slot() int {
	c.p.slots++
	return c.p.slots - 1
}

func keyOf(what string, t types.T, ids []int, rest ...any) string {
	var b strings.Builder
	b.WriteString(what)
	fmt.Fprint(&b, " ", t.OID, t.Mod, ids, rest)
	return b.String()
}

// add compiles e.
func (c *compiler) add(e planner.Expr) (int, error) {
	switch e := e.(type) {
	case *planner.Column:
		return c.column(e)
	case *planner.Const:
		return c.constant1(e.Val, e.Typ), nil
	case *planner.Param:
		return 0, pgerr.New(pgerr.UndefinedParameter, "there is no parameter $%d", e.N)
	case *planner.Call:
		return c.call(e)
	case *planner.Cast:
		return c.cast(e)
	case *planner.And:
		return c.logic(e.Args, true)
	case *planner.Or:
		return c.logic(e.Args, false)
	case *planner.Not:
		x, err := c.add(e.X)
		if err != nil {
			return 0, err
		}
		return c.put(keyOf("not", types.Bool, []int{x}), types.Bool, &notNode{x}, []int{x}, true, false), nil
	case *planner.IsNull:
		return c.isNull(e)
	case *planner.IsBool:
		x, err := c.add(e.X)
		if err != nil {
			return 0, err
		}
		return c.put(keyOf("isbool", types.Bool, []int{x}, e.Want, e.Not), types.Bool, &isBoolNode{x, e.Want, e.Not}, []int{x}, true, false), nil
	case *planner.IsDistinct:
		ids, err := c.addAll([]planner.Expr{e.L, e.R})
		if err != nil {
			return 0, err
		}
		return c.put(keyOf("distinct", e.L.Type(), ids, e.Not), types.Bool,
			&distinctNode{ids[0], ids[1], fn.Comparer(e.L.Type()), e.Not}, ids, false, false), nil
	case *planner.Case:
		return c.caseExpr(e)
	case *planner.Coalesce:
		return c.coalesce(e)
	case *planner.MinMax:
		return c.minMax(e)
	case *planner.In:
		return c.inList(e)
	case *planner.AnyArray:
		return c.anyArray(e)
	case *planner.Array:
		return c.array(e)
	case *planner.Row:
		return c.row(e)
	case *planner.Field:
		return c.field(e)
	case *planner.Subscript:
		return c.subscript(e)
	case *planner.Guarded:
		return c.guarded(e)
	}
	return 0, pgerr.New(pgerr.InternalError, "no evaluator for expression %T", e)
}

// comparisons and arithmetic on fixed-width columns cost about a nanosecond a lane.
func cheapOp(f *fn.Func) bool {
	if !f.IsOp || f.Ret.Kind() == types.KindString || f.Ret.Kind() == types.KindBytes {
		return false
	}
	for _, a := range f.Args {
		if k := a.Kind(); k == types.KindString || k == types.KindBytes || k == types.KindFixed16 {
			return false
		}
	}
	switch f.Name {
	case "=", "<>", "<", ">", "<=", ">=", "+", "-", "*", "&", "|", "#":
		return true
	}
	return false
}

func (c *compiler) call(e *planner.Call) (int, error) {
	if e.Fn.Kernel == nil {
		if e.Fn.Set != nil {
			return 0, pgerr.New(pgerr.FeatureNotSupported, "set-valued function called in context that cannot accept a set").At(e.Pos)
		}
		return 0, pgerr.New(pgerr.FeatureNotSupported, "function %s is not supported", fn.Signature(e.Fn.Name, e.Fn.Args)).At(e.Pos)
	}
	ids, err := c.addAll(e.Args)
	if err != nil {
		return 0, err
	}
	argTypes := make([]string, len(e.Args))
	for i, a := range e.Args {
		argTypes[i] = a.Type().Name()
	}
	volatile := e.Fn.Volatility == fn.Volatile
	key := keyOf("call "+e.Fn.Schema+"."+e.Fn.Name, e.Fn.Ret, ids, e.Fn.IsOp, e.Fn.OID, argTypes)
	return c.put(key, e.Typ, &callNode{f: e.Fn, args: ids, pos: e.Pos, vecs: make([]*vec.Vec, len(ids))}, ids, cheapOp(e.Fn), volatile), nil
}

func (c *compiler) cast(e *planner.Cast) (int, error) {
	x, err := c.add(e.X)
	if err != nil {
		return 0, err
	}
	k := e.Cast
	if k == nil {
		if e.To.Mod < 0 || e.To.Mod == e.X.Type().Mod {
			return x, nil
		}
		k = &fn.Cast{From: e.X.Type().Bare(), To: e.To.Bare(), Binary: true}
	}
	key := keyOf("cast", e.To, []int{x}, k.From.OID, e.Explicit)
	return c.put(key, e.To, &castNode{c: k, x: x, to: e.To, explicit: e.Explicit, pos: e.Pos}, []int{x}, false, false), nil
}
