package planner

import (
	"slices"

	"streamsql/catalog"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/sql/parser/ast"
)

// What MERGE does with a row: the last column of its source, of type int4.
const (
	MergeNothing int32 = iota
	MergeUpdate
	MergeDelete
	MergeInsert
)

// merge plans MERGE: the source joined with the target, and for each row the first WHEN that holds. Its new values are computed for the rows
// that it is chosen for only.
func (b *binder) merge(s *ast.Merge, outer *cteScope) (*DML, error) {
	rel, err := b.dmlTarget(s.Table, MergeDML)
	if err != nil {
		return nil, err
	}
	if s.With != nil && s.With.Recursive {
		return nil, pgerr.New(pgerr.SyntaxError, "WITH RECURSIVE is not supported for MERGE statement").At(s.With.CTEs[0].Pos)
	}
	ctes, err := b.withScope(s.With, nil, outer)
	if err != nil {
		return nil, err
	}
	alias := s.Alias
	if alias == "" {
		alias = rel.Name
	}
	b.depends(rel.OID)
	scan, t, err := b.scan(rel, ast.Alias{Name: alias}, ast.Alias{})
	if err != nil {
		return nil, err
	}
	b.noteScan(rel, scan.ids, true)
	for _, w := range s.When {
		switch {
		case w.Update:
			b.noteAssigned(rel, w.Set)
		case w.Delete:
			b.noteChange(rel, catalog.PrivDelete, nil, true)
		case w.Insert:
			b.noteChange(rel, catalog.PrivInsert, w.Columns, false)
		}
	}
	target := &scope{ctes: ctes}
	target.addTable(t)
	src, source, err := b.from([]ast.FromItem{s.Source}, nil, ctes)
	if err != nil {
		return nil, err
	}
	if err := checkAliases(target, source, itemPos(s.Source)); err != nil {
		e := *pgerr.From(err)
		e.Message = "name \"" + alias + "\" specified more than once"
		return nil, e.WithDetail("The name is used both as MERGE target table and data source.")
	}
	source.ctes = ctes
	both := joinScopes(target, source)
	on, err := b.boolExpr(&exprCtx{s: both, clause: "JOIN/ON"}, s.On)
	if err != nil {
		return nil, err
	}
	found := b.newCol("found", types.Bool)
	side := extend(scan, []projItem{{found, &Const{true, types.Bool}}}, b)
	var in lrel
	if slices.ContainsFunc(s.When, func(w *ast.MergeWhen) bool { return !w.Matched }) {
		if hasSubquery(on) {
			return nil, notSupported("a subquery in ON of MERGE with WHEN NOT MATCHED", s.On.Position()).WithHint("Compute it in the source.")
		}
		in = &lJoin{typ: LeftJoin, l: src, r: side, on: conjuncts(on, nil)}
	} else if in, err = b.where(&lJoin{typ: InnerJoin, l: src, r: side}, on); err != nil {
		return nil, err
	}
	m := &merger{b: b, rel: rel, target: target, source: source, both: both, old: scan.ids}
	for i, w := range s.When {
		if i > 0 && s.When[i-1].And == nil && slices.ContainsFunc(s.When[:i], func(p *ast.MergeWhen) bool { return p.Matched == w.Matched && p.And == nil }) {
			return nil, pgerr.New(pgerr.SyntaxError, "unreachable WHEN clause specified after unconditional WHEN clause").At(w.Pos)
		}
		var cond Expr = &IsNull{X: b.col(found), Not: w.Matched}
		if w.And != nil {
			c, err := b.boolExpr(&exprCtx{s: m.scopeOf(w), clause: "MERGE WHEN"}, w.And)
			if err != nil {
				return nil, err
			}
			cond = &And{Args: []Expr{cond, c}}
		}
		if err := m.add(w, cond); err != nil {
			return nil, err
		}
	}
	in, row, act, err := m.finish(in)
	if err != nil {
		return nil, err
	}
	d := &DML{Kind: MergeDML, Rel: rel}
	d.Source, err = b.plan(in, append(concat(scan.ids, row), act))
	return d, err
}

// merger gathers the branches of MERGE.
type merger struct {
	b                    *binder
	rel                  *catalog.Relation
	target, source, both *scope
	old                  []int
	branches             []mergeBranch
}

type mergeBranch struct {
	cond Expr
	act  int32
	row  map[int]Expr // new values by column; a column without keeps the old one
}

func (m *merger) scopeOf(w *ast.MergeWhen) *scope {
	if w.Matched {
		return m.both
	}
	return m.source
}

func (m *merger) add(w *ast.MergeWhen, cond Expr) error {
	br := mergeBranch{cond: cond}
	var err error
	switch {
	case w.Delete:
		br.act = MergeDelete
	case w.Update:
		br.act = MergeUpdate
		br.row, err = m.b.assignments(w.Set, m.rel, &exprCtx{s: m.both, clause: "UPDATE"})
	case w.Insert:
		br.act = MergeInsert
		br.row, err = m.inserted(w)
	}
	m.branches = append(m.branches, br)
	return err
}

// inserted binds INSERT of WHEN NOT MATCHED.
func (m *merger) inserted(w *ast.MergeWhen) (map[int]Expr, error) {
	b := m.b
	out := map[int]Expr{}
	targets, err := insertTargets(m.rel, &ast.Insert{Columns: w.Columns, ColumnPos: w.ColumnPos})
	if err != nil {
		return nil, err
	}
	if len(w.Values) > len(targets) {
		return nil, pgerr.New(pgerr.SyntaxError, "INSERT has more expressions than target columns").At(w.Values[len(targets)].Position())
	}
	if len(w.Columns) > 0 && len(w.Values) > 0 && len(w.Values) < len(targets) {
		return nil, pgerr.New(pgerr.SyntaxError, "INSERT has more target columns than expressions").At(w.ColumnPos[len(w.Values)])
	}
	for i, e := range w.Values {
		col := &m.rel.Columns[targets[i]]
		if _, ok := e.(*ast.Default); ok {
			continue
		}
		if col.Generated != "" {
			return nil, errGenerated(col.Name).At(e.Position())
		}
		skip, err := identityValue(col, w.Overriding)
		if err != nil {
			return nil, pgerr.AtPos(err, e.Position())
		}
		if skip {
			continue
		}
		x, err := b.expr(&exprCtx{s: m.source, clause: "VALUES"}, e)
		if err != nil {
			return nil, err
		}
		if out[targets[i]], err = b.assign(x, col.Type, col.Name, e.Position()); err != nil {
			return nil, err
		}
	}
	for i := range m.rel.Columns {
		if out[i] != nil {
			continue
		}
		if out[i], err = BindDefault(&m.rel.Columns[i], b.o); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// finish computes what is to be done and the new row.
func (m *merger) finish(in lrel) (lrel, []int, int, error) {
	b := m.b
	choose := &Case{Else: &Const{MergeNothing, types.Int4}, Typ: types.Int4}
	which := &Case{Else: &Const{int32(-1), types.Int4}, Typ: types.Int4}
	for i, br := range m.branches {
		which.Whens = append(which.Whens, When{br.cond, &Const{int32(i), types.Int4}})
	}
	in, e, err := b.unnest(in, which)
	if err != nil {
		return nil, nil, 0, err
	}
	at := b.newCol("branch", types.Int4)
	in = extend(in, []projItem{{at, e}}, b)
	is := func(i int) Expr { return &In{X: b.col(at), List: []Expr{&Const{int32(i), types.Int4}}} }
	for i, br := range m.branches {
		choose.Whens = append(choose.Whens, When{is(i), &Const{br.act, types.Int4}})
	}
	act := b.newCol("act", types.Int4)
	items := []projItem{{act, choose}}
	row := slices.Clone(m.old)
	for c := range m.rel.Columns {
		col := &m.rel.Columns[c]
		v := &Case{Else: b.col(m.old[c]), Typ: col.Type}
		for i, br := range m.branches {
			if x := br.row[c]; x != nil {
				v.Whens = append(v.Whens, When{is(i), x})
			}
		}
		if v.Whens == nil {
			continue
		}
		var e Expr
		if in, e, err = b.unnest(in, v); err != nil {
			return nil, nil, 0, err
		}
		row[c] = b.newCol(col.Name, col.Type)
		items = append(items, projItem{row[c], e})
	}
	in, row, err = b.generated(m.rel, extend(in, items, b), row)
	return in, row, act, err
}
