package planner

import (
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/parser/ast"
)

// Modifying is a data-modifying statement in WITH.
type Modifying struct {
	Name string
	DML  *DML
	// Rows are what it returns, for those that read it. Read says that some do: it is then to be executed before the statement itself.
	Rows *Given
	Read bool
}

// PlanDML plans INSERT, UPDATE, DELETE and MERGE.
func PlanDML(s ast.Stmt, o *Options) (*DML, error) {
	c := *o
	c.Continuous, c.Modifies = false, true
	b := newBinder(&c)
	b.depth--
	d, err := b.dml(s, nil)
	if err != nil {
		return nil, err
	}
	d.With = b.modifying
	d.Params, err = b.paramTypes()
	d.Depends, d.Runs = b.reads, b.runs
	return d, err
}

func (b *binder) dml(s ast.Stmt, outer *cteScope) (*DML, error) {
	switch s := s.(type) {
	case *ast.Insert:
		return b.insert(s, outer)
	case *ast.Update:
		return b.update(s, outer)
	case *ast.Delete:
		return b.delete(s, outer)
	case *ast.Merge:
		return b.merge(s, outer)
	}
	return nil, pgerr.New(pgerr.InternalError, "%T is not DML", s)
}

// withScope adds the queries of WITH to ctes. Those of WITH RECURSIVE see themselves and each other, the others the ones before them.
func (b *binder) withScope(w *ast.With, parent *scope, ctes *cteScope) (*cteScope, error) {
	if w == nil {
		return ctes, nil
	}
	top := parent == nil && ctes == nil && b.depth <= 0 && b.viewDepth == 0
	seen := map[string]bool{}
	var own []*cteScope
	for i := range w.CTEs {
		c := &w.CTEs[i]
		if seen[c.Name] {
			return nil, pgerr.New(pgerr.DuplicateAlias, "WITH query name \"%s\" specified more than once", c.Name).At(c.Pos)
		}
		seen[c.Name] = true
		if _, ok := c.Stmt.(*ast.Query); !ok {
			switch {
			case !top:
				return nil, pgerr.New(pgerr.FeatureNotSupported, "WITH clause containing a data-modifying statement must be at the top level").At(c.Pos)
			case !b.o.Modifies && b.o.NoModifying != "":
				return nil, pgerr.New(pgerr.FeatureNotSupported, "%s", b.o.NoModifying)
			case !b.o.Modifies || b.o.Continuous:
				return nil, notSupported("a data-modifying statement in WITH here", c.Pos).WithHint("Run it as a statement of its own.")
			}
		}
		ctes = &cteScope{parent: ctes, name: c.Name, cte: c, scope: parent, body: ctes, recursive: w.Recursive}
		own = append(own, ctes)
	}
	if w.Recursive {
		for _, c := range own {
			c.body = ctes
		}
	}
	for _, c := range own {
		if _, ok := c.cte.Stmt.(*ast.Query); ok || b.modified[c.cte] != nil {
			continue
		}
		if err := b.modify(c); err != nil {
			return nil, err
		}
	}
	return ctes, nil
}

// modify plans a data-modifying statement in WITH.
func (b *binder) modify(c *cteScope) error {
	if b.modified == nil {
		b.modified = map[*ast.CTE]*Modifying{}
	}
	m := &Modifying{Name: c.name, Rows: &Given{}}
	b.modified[c.cte] = m
	b.depth += 2 // nothing in it is at the top level
	d, err := b.dml(c.cte.Stmt, c.body)
	b.depth -= 2
	if err != nil {
		return err
	}
	m.DML = d
	m.Rows.schema = &vec.Schema{Fields: d.ResultColumns}
	m.Rows.props.Bounded = true
	b.modifying = append(b.modifying, m) // after those that it reads
	return nil
}

// modifiedRows binds a reference to what a data-modifying statement returns.
func (b *binder) modifiedRows(c *cteScope, pos int) (*qres, error) {
	if b.modified[c.cte] == nil { // WITH RECURSIVE: it comes later
		if err := b.modify(c); err != nil {
			return nil, err
		}
	}
	m := b.modified[c.cte]
	switch {
	case m.DML == nil:
		return nil, pgerr.New(pgerr.InvalidRecursion, "recursive query \"%s\" must not contain data-modifying statements", c.name).At(c.cte.Pos)
	case !m.DML.HasReturning:
		return nil, pgerr.New(pgerr.FeatureNotSupported, "WITH query \"%s\" does not have a RETURNING clause", c.name).At(pos)
	}
	m.Read = true
	r := &qres{}
	var ids []int
	for _, f := range m.DML.ResultColumns {
		id := b.newCol(f.Name, f.Type)
		ids = append(ids, id)
		r.cols = append(r.cols, outCol{f.Name, id})
	}
	r.rel = &lGiven{m.Rows, ids}
	return r, nil
}

// returning binds RETURNING. more are the columns of the relations in others that it reads: the statement's source gives them after its rows.
func (b *binder) returning(d *DML, items []ast.SelectItem, alias string, others *scope, ctes *cteScope) (more []int, err error) {
	if len(items) == 0 {
		return nil, nil
	}
	if alias == "" {
		alias = d.Rel.Name
	}
	sc, ids := b.rowScope(d.Rel, alias)
	b.noteScan(d.Rel, ids, true)
	if others != nil {
		sc = joinScopes(sc, others)
	}
	sc.ctes = ctes
	targets, err := b.returned(items, sc)
	if err != nil {
		return nil, err
	}
	if b.depth < 0 { // of the statement itself
		if err := b.bodyReturning(targets); err != nil {
			return nil, err
		}
	}
	used := idset{}
	for i, t := range targets {
		if unknown(t.e) {
			if targets[i].e, err = b.mustCoerce(t.e, types.Text, 'i', t.pos); err != nil {
				return nil, err
			}
		}
		used.addRefs(targets[i].e)
	}
	if others != nil {
		for _, t := range others.tables {
			for _, c := range t.cols {
				if used[c.id] {
					delete(used, c.id)
					more = append(more, c.id)
				}
			}
		}
	}
	g := b.given(concat(ids, more))
	d.Changed = g.node
	var in lrel = g
	var out []int
	var list []projItem
	for _, t := range targets {
		e := t.e
		if in, e, err = b.unnest(in, e); err != nil {
			return nil, err
		}
		id := b.newCol(t.name, e.Type())
		list, out = append(list, projItem{id, e}), append(out, id)
		d.ResultColumns = append(d.ResultColumns, vec.Field{Name: t.name, Type: e.Type()})
	}
	d.HasReturning = true
	d.Returning, err = b.plan(extend(in, list, b), out)
	return more, err
}

func (b *binder) returned(items []ast.SelectItem, sc *scope) ([]target, error) {
	var out []target
	for _, it := range items {
		if st, ok := it.Expr.(*ast.Star); ok {
			cols, err := b.starColumns(sc, st)
			if err != nil {
				return nil, err
			}
			for _, x := range cols {
				out = append(out, target{name: x.name, e: b.colAt(x.id, st.Pos), pos: st.Pos})
			}
			continue
		}
		x, err := b.expr(&exprCtx{s: sc, clause: "RETURNING"}, it.Expr)
		if err != nil {
			return nil, err
		}
		name := it.Alias
		if name == "" {
			name = columnName(it.Expr)
		}
		out = append(out, target{name: name, e: x, pos: it.Expr.Position()})
	}
	return out, nil
}
