package planner

import (
	"errors"

	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/sql/parser/ast"
)

// funcRef binds functions in FROM.
func (b *binder) funcRef(f *ast.FuncRef, lat *scope) (lrel, *scope, error) {
	t := &table{alias: f.Alias.Name}
	if t.alias == "" && len(f.Calls) == 1 {
		t.alias = f.Calls[0].Name.Base()
	}
	sel := &selectState{}
	c := &exprCtx{s: lat, clause: "FROM", sel: sel, srfs: true}
	single := len(f.Calls) == 1
	var calls []Expr
	names := make([]string, len(f.Calls)) // of the columns of scalars
	for i, fc := range f.Calls {
		defs := f.Alias.ColDefs
		if i < len(f.ColDefs) && f.ColDefs[i] != nil {
			defs = f.ColDefs[i]
		}
		shape, err := b.columnDefinitions(defs)
		if err != nil {
			return nil, nil, err
		}
		c.shape = shape
		take := &userTake{}
		c.take = take
		x, err := b.expr(c, fc)
		c.take = nil
		if err != nil {
			return nil, nil, err
		}
		if names[i] = fc.Name.Base(); single && f.Alias.Name != "" {
			names[i] = f.Alias.Name
		}
		if u := take.u; u != nil {
			if err := checkShape(u, shape, f); err != nil {
				return nil, nil, err
			}
			if single && !f.Ordinality && (u.a.f.Set || b.o.Continuous) {
				rel, sc, err := b.inlineFrom(u, t, f, lat)
				n := (*notInlined)(nil)
				if !errors.As(err, &n) {
					return rel, sc, err
				}
				if b.o.Continuous {
					_, err = b.runCall(c, u, n)
					return nil, nil, err
				}
			}
			if x, err = b.userExpr(c, u); err != nil {
				return nil, nil, err
			}
			if b.outName != "" {
				names[i] = b.outName
			}
		} else if x, err = b.shaped(x, shape, f); err != nil {
			return nil, nil, err
		}
		calls = append(calls, x)
	}
	c.shape = nil
	add := func(name string, id int) { t.cols = append(t.cols, scopeCol{name, id, t}) }
	if single && len(sel.srfs) == 1 {
		s := sel.srfs[0]
		fields := s.fnc.Cols(exprTypes(s.args))
		row := len(fields) == 1 && fields[0].Type.Record() != nil && s.fnc.UserCall() != nil // a row of one column
		if col, ok := calls[0].(*Column); ok && col.Index == s.id && !row {
			tf := &lTableFunc{fn: s.fnc, args: s.args, ord: -1}
			for _, fd := range fields {
				name := fd.Name
				if len(fields) == 1 && (f.Alias.Name != "" || s.fnc.UserCall() != nil) {
					name = names[0]
				}
				id := b.newCol(name, fd.Type)
				b.cols[id].qual = t.alias
				tf.ids = append(tf.ids, id)
				add(name, id)
			}
			if f.Ordinality {
				tf.ord = b.newCol("ordinality", types.Int8)
				add("ordinality", tf.ord)
			}
			err := aliasColumns(t, f.Alias)
			if err != nil {
				return nil, nil, err
			}
			rel, err := b.guardedRows(tf, t)
			return rel, oneTable(lat, t), err
		}
	}
	rel, ord := b.sideBySide(sel, !single || f.Ordinality)
	p := &lProject{in: rel}
	for i, x := range calls {
		// What is no set has its value in the first row.
		first := func(y Expr) Expr { return y }
		if len(sel.srfs) > 0 && !single && !usesSets(x, sel) {
			first = func(y Expr) Expr {
				one := &Const{int64(1), types.Int8}
				eq, err := b.operator("=", []Expr{b.col(ord), one}, f.Pos)
				if err != nil {
					return y
				}
				return &Case{[]When{{eq, y}}, &Const{nil, y.Type()}, y.Type()}
			}
		}
		if rec := x.Type().Record(); rec != nil {
			for j, n := range rec.Names {
				id := b.newCol(n, rec.Types[j])
				p.items = append(p.items, projItem{id, first(fieldOf(x, j))})
				add(n, id)
			}
			continue
		}
		id := b.newCol(names[i], x.Type())
		p.items = append(p.items, projItem{id, first(x)})
		add(names[i], id)
	}
	if f.Ordinality {
		id := b.newCol("ordinality", types.Int8)
		var n Expr = &Const{int64(1), types.Int8}
		if ord >= 0 {
			n = b.col(ord)
		}
		p.items = append(p.items, projItem{id, n})
		add("ordinality", id)
	}
	if err := aliasColumns(t, f.Alias); err != nil {
		return nil, nil, err
	}
	return p, oneTable(lat, t), nil
}

// sideBySide gives the rows of several sets next to each other, and with number the column that counts them; -1 none.
func (b *binder) sideBySide(sel *selectState, number bool) (lrel, int) {
	if len(sel.srfs) == 0 {
		return oneRow(), -1
	}
	ps := &lProjectSet{in: oneRow()}
	for _, s := range sel.srfs {
		ps.fns = append(ps.fns, s.fnc)
		ps.args = append(ps.args, s.args)
		ps.ids = append(ps.ids, s.id)
	}
	if !number {
		return ps, -1
	}
	ps.ord = true
	ord := b.newCol("ordinality", types.Int8)
	ps.ids = append(ps.ids, ord)
	return ps, ord
}

func usesSets(x Expr, sel *selectState) bool {
	ids := idset{}
	for _, s := range sel.srfs {
		ids[s.id] = true
	}
	return refs(x).intersects(ids)
}

// inlineFrom binds a call in FROM as the subquery that the body is.
func (b *binder) inlineFrom(u *userCallOf, t *table, f *ast.FuncRef, lat *scope) (lrel, *scope, error) {
	rel, cols, err := b.inlineRows(u)
	if err != nil {
		return nil, nil, err
	}
	names := []string{u.column}
	switch {
	case u.rec != nil:
		names = u.rec.Names
	case f.Alias.Name != "" && !u.named:
		names[0] = f.Alias.Name
	}
	// The columns are the function's own: those of the body may be the same one twice.
	p := &lProject{in: rel}
	for i, id := range cols {
		n := b.newCol(names[i], b.cols[id].typ)
		b.cols[n].qual = t.alias
		p.items = append(p.items, projItem{n, b.col(id)})
		t.cols = append(t.cols, scopeCol{names[i], n, t})
	}
	if err := aliasColumns(t, f.Alias); err != nil {
		return nil, nil, err
	}
	return p, oneTable(lat, t), nil
}

// checkShape checks that a call of a user's function has a column definition list just where it needs one.
func checkShape(u *userCallOf, shape *types.Record, f *ast.FuncRef) error {
	names, _ := u.a.f.Out()
	switch {
	case shape == nil && u.rec == nil && u.ret.OID == types.OIDRecord:
		return pgerr.New(pgerr.SyntaxError, "a column definition list is required for functions returning \"record\"").At(f.Calls[0].Pos)
	case shape == nil:
	case u.a.f.Ret.OID != types.OIDRecord && u.rec != nil:
		return pgerr.New(pgerr.SyntaxError, "a column definition list is redundant for a function returning a named composite type").At(f.Alias.Pos)
	case u.a.f.Ret.OID != types.OIDRecord:
		return pgerr.New(pgerr.SyntaxError, "a column definition list is only allowed for functions returning \"record\"").At(f.Alias.Pos)
	case len(names) > 0:
		return pgerr.New(pgerr.SyntaxError, "a column definition list is redundant for a function with OUT parameters").At(f.Alias.Pos)
	}
	return nil
}
