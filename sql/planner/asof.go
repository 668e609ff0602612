package planner

import (
	"fmt"
	"slices"
	"strings"

	"streamsql/catalog"
	"streamsql/internal/pgerr"
	"streamsql/internal/vec"
	"streamsql/sql/parser/ast"
)

// The joins that look for one row: ASOF JOIN takes the nearest right row in time, a temporal join
// (FOR SYSTEM_TIME AS OF a column) the version that was valid then, which is the same over the right
// side's event time.

// operandSides splits a comparison between the two sides of a join: which columns each operand is over.
func operandSides(x, y Expr, lset, rset idset) (l, r Expr, swapped, ok bool) {
	xs, ys := refs(x), refs(y)
	switch {
	case len(xs) == 0 || len(ys) == 0:
	case xs.subsetOf(lset) && ys.subsetOf(rset):
		return x, y, false, true
	case xs.subsetOf(rset) && ys.subsetOf(lset):
		return y, x, true, true
	}
	return nil, nil, false, false
}

// joinEquality adds a condition that equates the two sides to the keys of j.
func (b *binder) joinEquality(j *lAsOf, c Expr, lset, rset idset) bool {
	var x, y Expr
	null := false
	if eq, ok := isOp(c, "="); ok {
		x, y = eq.Args[0], eq.Args[1]
	} else if d, ok := c.(*IsDistinct); ok && d.Not {
		x, y, null = d.L, d.R, true
	} else {
		return false
	}
	l, r, _, ok := operandSides(x, y, lset, rset)
	if !ok || volatileExpr(c) {
		return false
	}
	two, ok := b.hashable(l, r)
	if !ok {
		return false
	}
	j.lkeys, j.rkeys, j.nullSafe = append(j.lkeys, two[0]), append(j.rkeys, two[1]), append(j.nullSafe, null)
	return true
}

// asOfJoin binds the conditions of ASOF JOIN: equalities, and one inequality between the sides.
func (b *binder) asOfJoin(l, r lrel, outer bool, on []Expr, f *ast.JoinRef) (lrel, error) {
	j := &lAsOf{l: l, r: r, outer: outer}
	lset, rset := setOf(l.cols()...), setOf(r.cols()...)
	if freeCols(r).intersects(lset) {
		return nil, notSupported("a LATERAL item on the right side of ASOF JOIN", f.Pos)
	}
	swap := map[string]string{"<": ">", "<=": ">=", ">": "<", ">=": "<="}
	for _, c := range on {
		if hasSubquery(c) {
			return nil, notSupported("a subquery in the condition of ASOF JOIN", f.Pos).WithHint("Compute it in a subquery in FROM.")
		}
		if b.joinEquality(j, c, lset, rset) {
			continue
		}
		call, ok := c.(*Call)
		if ok && call.Fn.IsOp && len(call.Args) == 2 && swap[call.Fn.Name] != "" && !volatileExpr(c) {
			if x, y, swapped, ok := operandSides(call.Args[0], call.Args[1], lset, rset); ok {
				if j.op != "" {
					return nil, notSupported("ASOF JOIN with two inequalities", f.Pos).
						WithHint("ASOF JOIN takes equalities and exactly one inequality between its sides.")
				}
				two, ok := b.hashable(x, y)
				if !ok {
					return nil, notSupported("an inequality of types without a common one in ASOF JOIN", f.Pos)
				}
				if j.ltime, j.rtime, j.op = two[0], two[1], call.Fn.Name; swapped {
					j.op = swap[j.op]
				}
				continue
			}
		}
		return nil, notSupported("this condition of ASOF JOIN", f.Pos).
			WithHint("ASOF JOIN takes equalities and one inequality between its sides. Filter a side in a subquery in FROM, or the result with WHERE.")
	}
	if j.op == "" {
		return nil, pgerr.New(pgerr.SyntaxError, "ASOF JOIN needs an inequality between its sides").
			WithHint("Write for example ON a.key = b.key AND a.ts >= b.ts.").At(f.Pos)
	}
	return j, nil
}

// checkNearest refuses the joins that no nearest row is defined for.
func checkNearest(f *ast.JoinRef) error {
	t, temporal := systemTime(f)
	switch {
	case !f.AsOf && !temporal:
		return nil
	case f.AsOf && temporal:
		return notSupported("ASOF JOIN with FOR SYSTEM_TIME AS OF", t.Pos).WithHint("Either finds the row that was valid at a time: write one of them.")
	case f.Kind != ast.InnerJoin && f.Kind != ast.LeftJoin:
		what := "ASOF JOIN"
		if temporal {
			what = "a join with FOR SYSTEM_TIME"
		}
		return notSupported(what+" other than inner and left", f.Pos).WithHint("Each left row joins one right row: write JOIN or LEFT JOIN.")
	case f.AsOf && f.Natural:
		return notSupported("NATURAL ASOF JOIN", f.Pos).WithHint("Name the columns with USING (key, time).")
	}
	return nil
}

// systemTimeJoin binds FOR SYSTEM_TIME AS OF: of a time of the left side, or of the moment.
func (b *binder) systemTimeJoin(l, r lrel, ls, rs, lat *scope, outer bool, on []Expr, f *ast.JoinRef) (lrel, error) {
	t := f.R.(*ast.TableRef)
	if processingTime(t.AsOf) {
		return b.lookupJoin(l, r, rs, outer, on, f)
	}
	sc := joinScopes(ls, &scope{})
	sc.parent, sc.ctes = lat.parent, lat.ctes
	at, err := b.expr(&exprCtx{s: sc, clause: "FOR SYSTEM_TIME"}, t.AsOf)
	if err != nil {
		return nil, err
	}
	if lset := setOf(l.cols()...); len(refs(at)) == 0 || !refs(at).subsetOf(lset) || hasSubquery(at) || volatileExpr(at) {
		return nil, notSupported("FOR SYSTEM_TIME AS OF this expression", t.AsOf.Position()).
			WithHint("Give a time of the left side, for the version that was valid then, or now(), for the content at the moment.")
	}
	return b.temporalJoin(l, r, rs, at, outer, on, f)
}

// temporalJoin binds a join with FOR SYSTEM_TIME AS OF a time of the left side: the row of the right side that was the last of
// its key at that time.
func (b *binder) temporalJoin(l, r lrel, rs *scope, at Expr, outer bool, on []Expr, f *ast.JoinRef) (lrel, error) {
	t := f.R.(*ast.TableRef)
	lset, rset := setOf(l.cols()...), setOf(r.cols()...)
	j := &lAsOf{l: l, r: r, outer: outer, op: ">="}
	var rel *catalog.Relation
	if len(rs.tables) == 1 {
		rel = rs.tables[0].rel
	}
	if rel == nil || rel.Watermark == nil || rel.Kind == catalog.View {
		return nil, notSupported(fmt.Sprintf("FOR SYSTEM_TIME AS OF with \"%s\", which has no event time,", t.Name.Base()), t.Pos).
			WithHint("Declare WATERMARK FOR column in CREATE TABLE or CREATE SOURCE: its rows are the versions. To join with the content at the moment write FOR SYSTEM_TIME AS OF now().")
	}
	version := rs.tables[0].cols[rel.Watermark.Column].id
	for _, c := range on {
		if hasSubquery(c) || !b.joinEquality(j, c, lset, rset) {
			return nil, notSupported("this condition of a join with FOR SYSTEM_TIME", f.Pos).
				WithHint("Such a join takes equalities between its sides. Filter a side in a subquery in FROM, or the result with WHERE.")
		}
	}
	two, ok := b.hashable(at, b.col(version))
	if !ok {
		return nil, pgerr.New(pgerr.DatatypeMismatch, "FOR SYSTEM_TIME AS OF is of type %s, but the versions of \"%s\" of type %s",
			at.Type().Bare().Format(), rel.Name, b.cols[version].typ.Bare().Format()).At(t.AsOf.Position())
	}
	j.ltime, j.rtime = two[0], two[1]
	return j, nil
}

// lowerAsOf lowers an ASOF join, which needs the whole right row, as it decides between rows of one time, or a lookup join.
func (l *lowerer) lowerAsOf(r *lAsOf, need idset) (Node, layout) {
	var litems, ritems []projItem
	lneed, rneed := idset{}, setOf(r.r.cols()...)
	if r.op == "" {
		rneed = within(need, rneed, nil)
	}
	for _, id := range r.l.cols() {
		if need[id] {
			lneed[id] = true
		}
	}
	key := func(e Expr, items *[]projItem, need idset) int {
		e = l.b.simplify(e)
		if c, ok := e.(*Column); ok {
			need[c.Index] = true
			return c.Index
		}
		id := l.b.newCol("key", e.Type())
		*items = append(*items, projItem{id, e})
		need[id] = true
		return id
	}
	var lk, rk []int
	for i := range r.lkeys {
		lk = append(lk, key(r.lkeys[i], &litems, lneed))
		rk = append(rk, key(r.rkeys[i], &ritems, rneed))
	}
	var lt, rt int
	if r.op != "" {
		lt, rt = key(r.ltime, &litems, lneed), key(r.rtime, &ritems, rneed)
	}
	ln, ly := l.lower(extend(r.l, litems, l.b), lneed)
	ln, ly = l.trim(ln, ly, lneed)
	rn, ry := l.lower(extend(r.r, ritems, l.b), rneed)
	if r.op == "" {
		rn, ry = l.trim(rn, ry, rneed)
		j := LookupJoin{Left: ln, Right: rn, LeftKeys: l.positions(lk, ly), RightKeys: l.positions(rk, ry), Outer: r.outer}
		if slices.Contains(r.nullSafe, true) {
			j.NullSafe = r.nullSafe
		}
		return l.p.lookup(j), append(slices.Clone(ly), ry...)
	}
	// The columns in the order of FROM: they break ties.
	rids := slices.Clone(r.r.cols())
	for _, it := range ritems {
		rids = append(rids, it.id)
	}
	rn, ry = l.project(rn, ry, rids), rids
	j := AsOfJoin{Left: ln, Right: rn, LeftKeys: l.positions(lk, ly), RightKeys: l.positions(rk, ry),
		LeftTime: l.positions([]int{lt}, ly)[0], RightTime: l.positions([]int{rt}, ry)[0], Op: r.op, Outer: r.outer}
	if slices.Contains(r.nullSafe, true) {
		j.NullSafe = r.nullSafe
	}
	return l.p.asOf(j), append(slices.Clone(ly), ry...)
}

func (p *builder) asOf(j AsOfJoin) Node {
	key := fmt.Sprintf("asof %p %p %v %v %v %d %d %s %v", j.Left, j.Right, j.LeftKeys, j.RightKeys, j.NullSafe, j.LeftTime, j.RightTime, j.Op, j.Outer)
	return p.intern(key, func() Node {
		n := &j
		l, r := flowOf(n.Left), flowOf(n.Right)
		n.schema = &vec.Schema{Fields: append(slices.Clone(n.Left.Schema().Fields), n.Right.Schema().Fields...)}
		n.props.Bounded = l.props.Bounded && r.props.Bounded
		n.props.Keys = slices.Clone(l.props.Keys) // a left row joins one row at the most
		n.finals = l.finals || r.finals
		n.held = l.held && r.held
		n.freeLate = l.freeLate && r.freeLate
		if !p.continuous {
			return n
		}
		n.props.Retracts = true
		marked := slices.Contains(l.props.Watermarks, n.LeftTime) && slices.Contains(r.props.Watermarks, n.RightTime)
		if !marked || l.props.Retracts || r.props.Retracts || !p.onClose && !n.freeLate {
			return n // a late change of a kept row may still come and must find its partners
		}
		n.Free = true
		if p.onClose {
			n.OnClose, n.finals, n.props.Retracts = true, true, false
		}
		if n.Op == ">=" || n.Op == ">" { // a left row that waits for one to come after it may wait for ever
			n.props.Watermarks = []int{n.LeftTime}
		}
		return n
	})
}

func (e *explainer) asOf(n *AsOfJoin) (string, []string) {
	ln, rn := names(n.Left.Schema()), names(n.Right.Schema())
	title := "AsOf Join"
	if n.Outer {
		title = "AsOf Left Join"
	}
	var lines, conds []string
	for i := range n.LeftKeys {
		op := "="
		if n.NullSafe != nil && n.NullSafe[i] {
			op = "IS NOT DISTINCT FROM"
		}
		conds = append(conds, fmt.Sprintf("(%s %s %s)", ln[n.LeftKeys[i]], op, rn[n.RightKeys[i]]))
	}
	if len(conds) > 0 {
		lines = append(lines, "Hash Cond: "+strings.Join(conds, " AND "))
	}
	lines = append(lines, fmt.Sprintf("Nearest: (%s %s %s)", ln[n.LeftTime], n.Op, rn[n.RightTime]))
	if n.OnClose {
		lines = append(lines, "Emit: rows on close")
	}
	if n.Free {
		lines = append(lines, "State: freed by the watermarks")
	}
	return title, lines
}

// systemTime finds what the right item of a join says with FOR SYSTEM_TIME AS OF.
func systemTime(f *ast.JoinRef) (*ast.TableRef, bool) {
	t, ok := f.R.(*ast.TableRef)
	return t, ok && t.AsOf != nil
}

// processingTime reports whether FOR SYSTEM_TIME AS OF names the moment: now() and its like, or PROCTIME().
func processingTime(e ast.Expr) bool {
	c, ok := e.(*ast.FuncCall)
	if !ok || len(c.Args) > 0 {
		return false
	}
	switch c.Name.Base() {
	case "now", "current_timestamp", "localtimestamp", "transaction_timestamp", "statement_timestamp", "clock_timestamp", "proctime":
		return true
	}
	return false
}
