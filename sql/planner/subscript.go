package planner

import (
	"streamsql/internal/fn"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/sql/parser/ast"
)

// subscript binds a[i], a[i:j] and their chains, a[i][j], which are one node.
func (b *binder) subscript(c *exprCtx, e *ast.Subscript) (Expr, error) {
	var chain []*ast.Subscript
	slice := false
	var base ast.Expr
	for sub := e; sub != nil; {
		slice = slice || sub.Slice
		chain = append([]*ast.Subscript{sub}, chain...)
		base = sub.X
		if !sub.Chained {
			break
		}
		sub, _ = base.(*ast.Subscript)
	}
	x, err := b.expr(c, base)
	if err != nil {
		return nil, err
	}
	t := x.Type()
	if t.OID == types.OIDJSONB {
		path := make([]Expr, len(chain))
		for i, sub := range chain {
			key, err := b.jsonbSubscript(c, sub)
			if err != nil {
				return nil, err
			}
			if path[i], _, err = b.coerce(key, types.Text, fn.Explicit, sub.Lo.Position()); err != nil {
				return nil, err
			}
		}
		return b.operator("#>", []Expr{x, &Array{path, types.TextArray, e.Pos}}, e.Pos)
	}
	el, ok := t.Elem()
	if !ok {
		return nil, notSubscriptable(t, base.Position())
	}
	s := &Subscript{X: x, Typ: el, Slice: slice}
	if slice {
		s.Typ = t
	}
	s.Subs, s.Upper, err = b.arraySubscripts(c, chain, slice)
	return s, err
}

func notSubscriptable(t types.T, pos int) error {
	return pgerr.New(pgerr.DatatypeMismatch, "cannot subscript type %s because it does not support subscripting", t.Bare().Format()).At(pos)
}

// arraySubscripts binds the subscripts of an array. Those of a slice have an upper bound each: in a slice, [n] means [1:n]. A bound that is left out
// is nil.
func (b *binder) arraySubscripts(c *exprCtx, subs []*ast.Subscript, slice bool) (lower, upper []Expr, err error) {
	index := func(x ast.Expr) (Expr, error) {
		if x == nil {
			return nil, nil
		}
		e, err := b.expr(c, x)
		if err != nil {
			return nil, err
		}
		i, ok, err := b.coerce(e, types.Int4, fn.Assignment, x.Position())
		if err == nil && !ok {
			err = pgerr.New(pgerr.DatatypeMismatch, "array subscript must have type integer").At(x.Position())
		}
		return i, err
	}
	for _, s := range subs {
		lo, err := index(s.Lo)
		if err != nil {
			return nil, nil, err
		}
		if slice {
			hi := lo
			if s.Slice {
				if hi, err = index(s.Hi); err != nil {
					return nil, nil, err
				}
			} else {
				lo = &Const{int32(1), types.Int4}
			}
			upper = append(upper, hi)
		}
		lower = append(lower, lo)
	}
	return lower, upper, nil
}

// jsonbSubscript binds the subscript of a jsonb value: the number of an element or the key of a field.
func (b *binder) jsonbSubscript(c *exprCtx, s *ast.Subscript) (Expr, error) {
	if s.Slice || s.Lo == nil {
		pos := s.Pos
		for _, bound := range []ast.Expr{s.Lo, s.Hi} {
			if bound != nil {
				pos = bound.Position()
			}
		}
		return nil, pgerr.New(pgerr.DatatypeMismatch, "jsonb subscript does not support slices").At(pos)
	}
	x, err := b.expr(c, s.Lo)
	if err != nil {
		return nil, err
	}
	to := types.Text
	if t := x.Type(); !unknown(x) && fn.CanCoerce(t, types.Int4, fn.Implicit) {
		to = types.Int4
	}
	i, ok, err := b.coerce(x, to, fn.Implicit, s.Lo.Position())
	if err == nil && !ok {
		err = pgerr.New(pgerr.DatatypeMismatch, "subscript type %s is not supported", x.Type().Bare().Format()).
			WithHint("jsonb subscript must be coercible to either integer or text.").At(s.Lo.Position())
	}
	return i, err
}
