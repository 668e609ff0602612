package exec

import (
	"streamsql/internal/fn"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// columnNode is a column of the input. Only a top frame evaluates it; others gather it from their parent.
type columnNode int

func (c columnNode) eval(f *frame, r *reg) {
	if f.cols != nil {
		r.v = &f.cols[c]
		return
	}
	r.own.View(f.arrs[c])
	r.v = &r.own
}

// constNode is a constant, or an expression of constants that failed with err.
type constNode struct {
	kind types.Kind
	val  types.Datum
	err  error
}

// eval fills own with as many rows as were ever asked for and shows the first of them.
func (c *constNode) eval(f *frame, r *reg) {
	if c.err != nil {
		r.own.SetConst(c.kind, nil, f.n)
		r.own.Const = false
		for i := range f.n {
			r.own.Fail(i, c.err)
		}
		r.v = &r.own
		return
	}
	if r.own.N < f.n || r.own.Kind != c.kind {
		r.own.SetConst(c.kind, c.val, max(f.n, min(2*r.own.N, vec.MaxRows)))
	}
	r.view = r.own
	r.view.N = f.n
	r.v = &r.view
}

// callNode calls a function or operator.
type callNode struct {
	f    *fn.Func
	args []int
	pos  int
	vecs []*vec.Vec
}

func (c *callNode) eval(f *frame, r *reg) {
	for i, a := range c.args {
		c.vecs[i] = f.get(a)
	}
	r.own.N = f.n // for kernels without arguments
	c.f.Call(f.p.fn, c.vecs, &r.own, f.n)
	if len(r.own.Errs) > 0 {
		place(r.own.Errs, c.pos)
	}
	r.v = &r.own
}

// place gives the errors of an expression its position. Rows mostly fail with one shared error, which is copied once.
func place(errs []vec.LaneErr, pos int) {
	if pos <= 0 {
		return
	}
	var last, placed error
	for i := range errs {
		if errs[i].Err != last {
			last = errs[i].Err
			placed = pgerr.AtPos(last, pos)
		}
		errs[i].Err = placed
	}
}

// castNode converts a type.
type castNode struct {
	c        *fn.Cast
	x        int
	to       types.T
	explicit bool
	pos      int
}

func (c *castNode) eval(f *frame, r *reg) {
	c.c.Run(f.p.fn, f.get(c.x), &r.own, f.n, c.to, c.explicit)
	if len(r.own.Errs) > 0 {
		place(r.own.Errs, c.pos)
	}
	r.v = &r.own
}
