package exec

import (
	"fmt"

	"streamsql/internal/fn"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
)

// guard holds values against a planner.Guard.
type guard struct {
	*planner.Guard
	prog   *Program // of the conditions; nil if there are none
	elem   *guard
	fields []*guard
	cols   []vec.Vec
}

func compileGuard(fc *fn.Ctx, alloc vec.Allocator, g *planner.Guard) (_ *guard, err error) {
	if g == nil {
		return nil, nil
	}
	out := &guard{Guard: g}
	defer func() {
		if err != nil {
			out.close()
		}
	}()
	if len(g.Checks) > 0 {
		conds := make([]planner.Expr, len(g.Checks))
		for i, c := range g.Checks {
			conds[i] = c.Cond
		}
		if out.prog, err = compile(fc, alloc, conds, &vec.Schema{Fields: []vec.Field{{Name: "value", Type: g.Typ}}}); err != nil {
			return nil, err
		}
	}
	if out.elem, err = compileGuard(fc, alloc, g.Elem); err != nil {
		return nil, err
	}
	for _, f := range g.Fields {
		x, err := compileGuard(fc, alloc, f)
		if err != nil {
			return nil, err
		}
		out.fields = append(out.fields, x)
	}
	return out, nil
}

func (g *guard) close() {
	if g == nil {
		return
	}
	if g.prog != nil {
		g.prog.Close()
	}
	g.elem.close()
	for _, f := range g.fields {
		f.close()
	}
}

// check calls fail for the rows of v that do not meet the guard, once or more often: the first error of a row counts.
func (g *guard) check(p *Program, v *vec.Vec, fail func(row int, err error)) error {
	if g.Null != nil && v.HasNulls() {
		for i := range v.N {
			if v.IsNull(i) {
				fail(i, g.Null)
			}
		}
	}
	// What the conditions of a value take for granted of its parts, as of the value over whose domain it is, comes first.
	if g.elem != nil {
		if err := g.elem.checkParts(p, v, g.Typ, func(b []byte, part func(types.Datum)) error {
			a, err := types.DecodeArray(g.Typ, b)
			for _, e := range a.Elems {
				part(e)
			}
			return err
		}, fail); err != nil {
			return err
		}
	}
	for k, f := range g.fields {
		if f == nil {
			continue
		}
		if err := f.checkParts(p, v, g.Typ, func(b []byte, part func(types.Datum)) error {
			_, vals, err := types.DecodeRecord(b)
			if err == nil && k < len(vals) {
				part(vals[k])
			}
			return err
		}, fail); err != nil {
			return err
		}
	}
	if g.prog == nil {
		return nil
	}
	g.cols = append(g.cols[:0], *v)
	g.cols[0].Errs = nil
	res, err := g.prog.Eval(g.cols, v.N)
	if err != nil {
		return err
	}
	for k, r := range res {
		for _, e := range r.Errs {
			fail(int(e.Row), e.Err)
		}
		for i := range v.N {
			if !r.Bools[i] && !r.IsNull(i) {
				fail(i, g.Checks[k].Err)
			}
		}
	}
	return nil
}

// checkParts holds the parts of the values of v against the guard, all at once.
func (g *guard) checkParts(p *Program, v *vec.Vec, of types.T, each func(b []byte, part func(types.Datum)) error, fail func(row int, err error)) error {
	var parts vec.Vec
	parts.SetAllocator(p.alloc)
	defer parts.Release()
	parts.Reset(g.Typ.Kind(), 0)
	var rows []int
	for i := range v.N {
		if v.IsNull(i) {
			continue
		}
		if err := each(v.Bytes(i), func(d types.Datum) {
			parts.AppendDatum(d)
			rows = append(rows, i)
		}); err != nil {
			fail(i, err)
		}
	}
	return g.check(p, &parts, func(i int, err error) { fail(rows[i], err) })
}

// guardNode is a value that is held against the domains in its type.
type guardNode struct {
	x      int
	g      *guard
	failed []error // by row
}

func (n *guardNode) eval(f *frame, r *reg) {
	v := f.get(n.x)
	any := false
	n.failed = append(n.failed[:0], make([]error, v.N)...)
	for _, e := range v.Errs {
		n.failed[e.Row] = e.Err
	}
	err := n.g.check(f.p, v, func(i int, err error) {
		if n.failed[i] == nil {
			n.failed[i], any = err, true
		}
	})
	if !any && err == nil {
		r.v = v
		return
	}
	out := &r.own
	out.Reset(v.Kind, 0)
	for i := range v.N {
		if n.failed[i] == nil && err == nil {
			out.Append(v, i)
			continue
		}
		out.AppendNull()
		e := n.failed[i]
		if e == nil {
			e = err
		}
		out.Fail(i, e)
	}
	r.v = out
}

func (c *compiler) guarded(e *planner.Guarded) (int, error) {
	x, err := c.add(e.X)
	if err != nil {
		return 0, err
	}
	g, err := compileGuard(c.p.fn, c.p.alloc, e.Guard)
	if err != nil {
		return 0, err
	}
	c.p.guards = append(c.p.guards, g)
	return c.put(fmt.Sprintf("guard %p %d", e.Guard, x), e.Type(), &guardNode{x: x, g: g}, []int{x}, false, false), nil
}
