package planner

import (
	"fmt"
	"slices"

	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/parser/ast"
)

// WITH RECURSIVE: the recursive term is planned over a working table, which holds the rows
// that the iteration before has given. What does not depend on it is computed once.

// recursion is a recursive WITH query while it is bound.
type recursion struct {
	c    *cteScope
	cols []outCol // of the non-recursive term, under the names of the query; nil until that is bound
	ids  []int    // of the working table, once it was referred to
	// where says what stands between the recursive term and what is being bound that forbids a reference; "" nothing does.
	where string
	// plain says that the body names itself in no FROM: it is bound as any query.
	plain bool
}

// lWorking is the working table of a recursive query.
type lWorking struct{ ids []int }

// lRecursive is a recursive query: base, then term over what the last iteration gave until that is nothing.
type lRecursive struct {
	base, term         lrel
	baseFrom, termFrom []int
	working            *lWorking
	ids                []int
	all                bool
}

func (r *lWorking) cols() []int      { return r.ids }
func (r *lWorking) inputs() []lrel   { return nil }
func (r *lWorking) exprs() []Expr    { return nil }
func (r *lRecursive) cols() []int    { return r.ids }
func (r *lRecursive) inputs() []lrel { return []lrel{r.base, r.term} }
func (r *lRecursive) exprs() []Expr  { return nil }

// recursionOf gives the recursion of c if it is being bound.
func (b *binder) recursionOf(c *cteScope) *recursion {
	for _, r := range b.recursion {
		if r.c == c {
			return r
		}
	}
	return nil
}

// inRecursion notes, where on, that what is bound now must not refer to the recursive query. The result undoes it.
func (b *binder) inRecursion(on bool, where string) (back func()) {
	if !on || len(b.recursion) == 0 {
		return func() {}
	}
	r := b.recursion[len(b.recursion)-1]
	was := r.where
	if was == "" {
		r.where = where
	}
	return func() { r.where = was }
}

func invalidRecursion(format string, args ...any) *pgerr.Error {
	return pgerr.New("42P19", format, args...)
}

func notRecursive(c *cteScope) *pgerr.Error {
	return invalidRecursion("recursive query \"%s\" does not have the form non-recursive-term UNION [ALL] recursive-term", c.name).At(c.cte.Pos)
}

// selfReference binds a reference to a recursive query inside of it.
func (b *binder) selfReference(r *recursion, f *ast.TableRef, alias ast.Alias, lat *scope) (lrel, *scope, error) {
	switch {
	case r != b.recursion[len(b.recursion)-1]:
		return nil, nil, pgerr.New(pgerr.FeatureNotSupported, "mutual recursion between WITH items is not implemented").At(f.Pos)
	case r.where != "":
		return nil, nil, invalidRecursion("recursive reference to query \"%s\" must not appear within %s", r.c.name, r.where).At(f.Pos)
	case r.plain:
		return nil, nil, notRecursive(r.c)
	case r.ids != nil:
		return nil, nil, invalidRecursion("recursive reference to query \"%s\" must not appear more than once", r.c.name).At(f.Pos)
	}
	t := &table{alias: alias.Name}
	for _, c := range r.cols {
		id := b.newCol(c.name, b.cols[c.id].typ)
		r.ids = append(r.ids, id)
		t.cols = append(t.cols, scopeCol{c.name, id, t})
	}
	if r.ids == nil {
		r.ids = []int{}
	}
	a := f.Alias
	a.Name = alias.Name
	return &lWorking{r.ids}, oneTable(lat, t), aliasColumns(t, a)
}

// noRecursiveAggregate refuses an aggregate over a recursive reference.
func (b *binder) noRecursiveAggregate(s *ast.Select) error {
	if len(b.recursion) == 0 {
		return nil
	}
	r := b.recursion[len(b.recursion)-1]
	var names func(f ast.FromItem) bool
	names = func(f ast.FromItem) bool {
		switch f := f.(type) {
		case *ast.TableRef:
			return len(f.Name.Parts) == 1 && f.Name.Base() == r.c.name
		case *ast.JoinRef:
			return names(f.L) || names(f.R)
		}
		return false
	}
	if r.ids == nil || !slices.ContainsFunc(s.From, names) {
		return nil
	}
	return invalidRecursion("aggregate functions are not allowed in a recursive query's recursive term").At(s.Pos)
}

// recursiveQuery binds a WITH RECURSIVE query that may name itself.
func (b *binder) recursiveQuery(c *cteScope, q *ast.Query) (*qres, error) {
	rec := &recursion{c: c}
	b.recursion = append(b.recursion, rec)
	defer func() { b.recursion = b.recursion[:len(b.recursion)-1] }()
	set, ok := q.Body.(*ast.SetOp)
	if !ok || set.Op != "UNION" {
		return nil, notRecursive(c)
	}
	if b.o.Continuous {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "WITH RECURSIVE is not supported in a continuous query").
			WithHint("Run it as a snapshot: a SELECT without EMIT, outside of a view.").At(c.cte.Pos)
	}
	if q.Locking {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "FOR UPDATE/SHARE in a recursive query is not implemented").At(q.Pos)
	}
	ctes := c.body
	if q.With != nil {
		var err error
		if ctes, err = b.withScope(q.With, c.scope, ctes); err != nil {
			return nil, err
		}
	}
	rec.where = "its non-recursive term"
	base, _, err := b.body(set.L, nil, c.scope, ctes)
	rec.where = ""
	if err != nil {
		return nil, err
	}
	if err := b.resolveUnknown(base); err != nil {
		return nil, err
	}
	rec.cols = slices.Clone(base.cols)
	for i, n := range c.cte.Columns {
		if i < len(rec.cols) {
			rec.cols[i].name = n
		}
	}
	term, _, err := b.body(set.R, nil, c.scope, ctes)
	if err != nil {
		return nil, err
	}
	if rec.ids != nil {
		for _, x := range []struct {
			there bool
			name  string
		}{{len(q.OrderBy) > 0, "ORDER BY"}, {q.Offset != nil, "OFFSET"}, {q.Limit != nil, "LIMIT"}} {
			if x.there {
				return nil, pgerr.New(pgerr.FeatureNotSupported, "%s in a recursive query is not implemented", x.name).At(q.Pos)
			}
		}
	} else { // another relation of the name, in a scope of its own, was meant
		b.recursion[len(b.recursion)-1] = &recursion{c: &cteScope{}}
		return b.queryIn(q, c.scope, c.body)
	}
	if len(base.cols) != len(term.cols) {
		return nil, pgerr.New(pgerr.SyntaxError, "each UNION query must have the same number of columns").At(set.Pos)
	}
	ts := make([]types.T, len(base.cols))
	for i := range ts {
		have := b.cols[base.cols[i].id].typ
		t, err := b.commonType([]types.T{have, b.cols[term.cols[i].id].typ}, "UNION", []int{set.Pos, set.Pos})
		if err != nil {
			return nil, err
		}
		if t.OID != have.OID {
			return nil, pgerr.New(pgerr.DatatypeMismatch, "recursive query \"%s\" column %d has type %s in non-recursive term but type %s overall",
				c.name, i+1, have.Format(), t.Format()).WithHint("Cast the output of the non-recursive term to the correct type.").At(set.Pos)
		}
		ts[i] = have
	}
	base.order, term.order = nil, nil
	if err := b.convert(term, ts, "UNION"); err != nil {
		return nil, err
	}
	r := &lRecursive{base: base.rel, term: term.rel, working: &lWorking{rec.ids}, all: set.All}
	out := &qres{}
	for i := range ts {
		id := b.newCol(base.cols[i].name, ts[i])
		r.ids = append(r.ids, id)
		r.baseFrom, r.termFrom = append(r.baseFrom, base.cols[i].id), append(r.termFrom, term.cols[i].id)
		out.cols = append(out.cols, outCol{rec.cols[i].name, id})
	}
	out.rel = r
	return out, nil
}

// WorkingTable is the leaf of a recursive term: the rows that the iteration before has given.
type WorkingTable struct{ base }

// Inputs implements Node.
func (n *WorkingTable) Inputs() []Node { return nil }

// Recursive is WITH RECURSIVE in a snapshot: the rows of Base, then those of Term over Working until an iteration gives none.
// Without All a row is given once.
type Recursive struct {
	base
	Base, Term Node
	Working    *WorkingTable
	// Static are the largest parts of Term that do not read Working: they are computed once.
	Static []Node
	All    bool
}

// Inputs implements Node. Term is no input: it is run again and again, over the Static ones.
func (n *Recursive) Inputs() []Node { return append([]Node{n.Base}, n.Static...) }

func (l *lowerer) lowerRecursive(r *lRecursive) (Node, layout) {
	bn, by := l.lower(r.base, setOf(r.baseFrom...))
	bn = l.project(bn, by, r.baseFrom)
	w := &WorkingTable{}
	w.schema = &vec.Schema{Fields: l.b.fields(r.working.ids)}
	key := fmt.Sprint(r.working.ids)
	if l.working == nil {
		l.working = map[string]*WorkingTable{}
	}
	l.working[key] = w
	tn, ty := l.lower(r.term, setOf(r.termFrom...))
	tn = l.project(tn, ty, r.termFrom)
	n := &Recursive{Base: bn, Term: tn, Working: w, All: r.all}
	n.schema = &vec.Schema{Fields: l.b.fields(r.ids)}
	n.props.Bounded = true
	n.Static = staticParts(tn, w)
	return n, r.ids
}

// readsWorking reports whether r reads the working table of a recursive query.
func readsWorking(r lrel) bool {
	if _, ok := r.(*lWorking); ok {
		return true
	}
	return slices.ContainsFunc(r.inputs(), readsWorking)
}

// staticParts gives the largest subtrees of n that do not read w.
func staticParts(n Node, w *WorkingTable) []Node {
	reads := map[Node]bool{}
	var depends func(n Node) bool
	depends = func(n Node) bool {
		if n == Node(w) {
			return true
		}
		if d, ok := reads[n]; ok {
			return d
		}
		d := false
		in := n.Inputs()
		if r, ok := n.(*Recursive); ok { // its term may read an outer working table
			in = []Node{r.Base, r.Term}
		}
		for _, x := range in {
			if depends(x) {
				d = true
			}
		}
		reads[n] = d
		return d
	}
	var out []Node
	var walk func(n Node)
	walk = func(n Node) {
		switch {
		case n == Node(w):
		case !depends(n):
			if !slices.Contains(out, n) {
				out = append(out, n)
			}
		default:
			for _, x := range n.Inputs() {
				walk(x)
			}
		}
	}
	walk(n)
	return out
}
