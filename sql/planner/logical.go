package planner

import (
	"streamsql/catalog"
	"streamsql/internal/fn"
	"streamsql/internal/types"
	"streamsql/sql/parser/ast"
	"streamsql/window"
)

// While a query is bound and rewritten, columns are ids that are unique in the
// statement (Column.Index holds one), so that operators can be moved without
// renumbering. Lowering gives them positions. A plain column keeps its id
// through every operator that passes it on.

// colInfo is what is known of a column id.
type colInfo struct {
	name    string
	typ     types.T
	qual    string // alias of its relation, for messages
	origin  Origin
	notNull bool
}

// Origin is the base column of a result column; zero for an expression.
type Origin struct {
	Rel    uint32 // OID of the relation
	Attnum int16
}

// lrel is a logical operator. They are immutable: a rewrite makes new ones.
type lrel interface {
	// cols gives the ids of the output.
	cols() []int
	inputs() []lrel
	// exprs gives the expressions that the operator evaluates over its inputs.
	exprs() []Expr
}

// lScan reads a relation; ids are parallel to rel.Columns.
type lScan struct {
	rel *catalog.Relation
	ids []int
	// wm is set where a watermark is kept above the scan: its expression and column.
	wm    Expr
	wmCol int
}

type lValues struct {
	rows [][]Expr
	ids  []int
}

type lTableFunc struct {
	in    lrel // nil: none
	fn    *fn.Func
	args  []Expr
	ids   []int // columns of the function
	ord   int   // id of the ordinality, -1 none
	outer bool
}

type lProjectSet struct {
	in   lrel
	fns  []*fn.Func
	args [][]Expr
	ids  []int // one a function, and that of the ordinality
	ord  bool
}

type projItem struct {
	id int
	e  Expr
}

type lProject struct {
	in    lrel
	items []projItem
}

type lFilter struct {
	in    lrel
	conds []Expr
}

type lWindow struct {
	in              lrel
	spec            window.Spec
	timeCol         int
	partition       []int
	start, end, tim int
	pos             int
}

type lAggCall struct {
	id       int
	agg      *fn.Agg
	argTypes []types.T
	ret      types.T
	args     []int
	distinct bool
	filter   int // -1 none
	order    []lSortKey
	name     string
}

type lAgg struct {
	in      lrel
	keys    []int
	aggs    []lAggCall
	grouped bool
	pos     int
}

type lJoin struct {
	typ    JoinType
	l, r   lrel
	on     []Expr
	single bool
	// notIn makes an anti join NOT IN: on[0] is the comparison whose NULLs matter.
	notIn bool
}

// lAsOf is an ASOF join, or a temporal one; without op, a lookup join, which has no times.
type lAsOf struct {
	l, r         lrel
	lkeys, rkeys []Expr
	nullSafe     []bool
	ltime, rtime Expr
	op           string // ltime op rtime
	outer        bool
}

type lUnion struct {
	in   []lrel
	from [][]int // per input, the ids that become ids
	ids  []int
}

type lSetOp struct {
	l, r         lrel
	lfrom, rfrom []int
	except, all  bool
	ids          []int
}

type lSortKey struct {
	col        int
	desc       bool
	nullsFirst bool
}

type lSort struct {
	in   lrel
	keys []lSortKey
}

// lLimit is LIMIT/OFFSET in each partition, in the order of keys. rank, where >= 0, is the id of the row number.
type lLimit struct {
	in            lrel
	partition     []int
	keys          []lSortKey
	limit, offset Expr // nil none
	withTies      bool
	rank          int
	sorted        bool
	pos           int
}

type lOverCall struct {
	id     int
	name   string
	agg    *lAggCall
	args   []int
	typ    types.T
	frame  *ast.Frame
	lo, hi Expr
	ignore bool
	pos    int
}

type lOver struct {
	in        lrel
	partition []int
	keys      []lSortKey
	calls     []lOverCall
}

// subKind says what a subquery in an expression is asked for.
type subKind uint8

const (
	subScalar subKind = iota + 1
	subExists
	subAny // x op ANY: conds compare the test with the output
	subAll
	subArray
)

// subquery is a subquery inside an expression, until it is made a join.
type subquery struct {
	kind subKind
	rel  lrel
	outs []int
	// test holds the comparison of subAny and subAll, over outer columns and outs.
	test  []Expr
	typ   types.T
	order []lSortKey // of subArray
	pos   int

	mentioned []int // columns that its text refers to
}

func (s *subquery) Type() types.T { return s.typ }

func (r *lScan) cols() []int   { return r.ids }
func (r *lValues) cols() []int { return r.ids }
func (r *lTableFunc) cols() []int {
	var out []int
	if r.in != nil {
		out = append(out, r.in.cols()...)
	}
	out = append(out, r.ids...)
	if r.ord >= 0 {
		out = append(out, r.ord)
	}
	return out
}
func (r *lProjectSet) cols() []int { return concat(r.in.cols(), r.ids) }
func (r *lProject) cols() []int {
	out := make([]int, len(r.items))
	for i, it := range r.items {
		out[i] = it.id
	}
	return out
}
func (r *lFilter) cols() []int { return r.in.cols() }
func (r *lWindow) cols() []int { return concat(r.in.cols(), []int{r.start, r.end, r.tim}) }
func (r *lAgg) cols() []int {
	out := append([]int(nil), r.keys...)
	for _, a := range r.aggs {
		out = append(out, a.id)
	}
	return out
}
func (r *lJoin) cols() []int {
	if r.typ == SemiJoin || r.typ == AntiJoin {
		return r.l.cols()
	}
	return concat(r.l.cols(), r.r.cols())
}
func (r *lAsOf) cols() []int  { return concat(r.l.cols(), r.r.cols()) }
func (r *lUnion) cols() []int { return r.ids }
func (r *lSetOp) cols() []int { return r.ids }
func (r *lSort) cols() []int  { return r.in.cols() }
func (r *lLimit) cols() []int {
	if r.rank >= 0 {
		return concat(r.in.cols(), []int{r.rank})
	}
	return r.in.cols()
}
func (r *lOver) cols() []int {
	out := append([]int(nil), r.in.cols()...)
	for _, c := range r.calls {
		out = append(out, c.id)
	}
	return out
}

func concat(a, b []int) []int { return append(append(make([]int, 0, len(a)+len(b)), a...), b...) }

func (r *lScan) inputs() []lrel   { return nil }
func (r *lValues) inputs() []lrel { return nil }
func (r *lTableFunc) inputs() []lrel {
	if r.in == nil {
		return nil
	}
	return []lrel{r.in}
}
func (r *lProjectSet) inputs() []lrel { return []lrel{r.in} }
func (r *lProject) inputs() []lrel    { return []lrel{r.in} }
func (r *lFilter) inputs() []lrel     { return []lrel{r.in} }
func (r *lWindow) inputs() []lrel     { return []lrel{r.in} }
func (r *lAgg) inputs() []lrel        { return []lrel{r.in} }
func (r *lJoin) inputs() []lrel       { return []lrel{r.l, r.r} }
func (r *lAsOf) inputs() []lrel       { return []lrel{r.l, r.r} }
func (r *lUnion) inputs() []lrel      { return r.in }
func (r *lSetOp) inputs() []lrel      { return []lrel{r.l, r.r} }
func (r *lSort) inputs() []lrel       { return []lrel{r.in} }
func (r *lLimit) inputs() []lrel      { return []lrel{r.in} }
func (r *lOver) inputs() []lrel       { return []lrel{r.in} }

func (r *lScan) exprs() []Expr { return nil }
func (r *lValues) exprs() []Expr {
	var out []Expr
	for _, row := range r.rows {
		out = append(out, row...)
	}
	return out
}
func (r *lTableFunc) exprs() []Expr { return r.args }
func (r *lProjectSet) exprs() []Expr {
	var out []Expr
	for _, a := range r.args {
		out = append(out, a...)
	}
	return out
}
func (r *lProject) exprs() []Expr {
	out := make([]Expr, len(r.items))
	for i, it := range r.items {
		out[i] = it.e
	}
	return out
}
func (r *lFilter) exprs() []Expr { return r.conds }
func (r *lWindow) exprs() []Expr { return nil }
func (r *lAgg) exprs() []Expr    { return nil }
func (r *lJoin) exprs() []Expr   { return r.on }
func (r *lAsOf) exprs() []Expr {
	out := append(append([]Expr{}, r.lkeys...), r.rkeys...)
	if r.op != "" {
		out = append(out, r.ltime, r.rtime)
	}
	return out
}
func (r *lUnion) exprs() []Expr { return nil }
func (r *lSetOp) exprs() []Expr { return nil }
func (r *lSort) exprs() []Expr  { return nil }
func (r *lLimit) exprs() []Expr {
	var out []Expr
	for _, e := range []Expr{r.limit, r.offset} {
		if e != nil {
			out = append(out, e)
		}
	}
	return out
}
func (r *lOver) exprs() []Expr { return nil }

// withInputs gives r over other inputs, and with its expressions mapped by f (nil: unchanged).
func withInputs(r lrel, in []lrel, f func(Expr) Expr) lrel {
	if f == nil {
		f = func(e Expr) Expr { return e }
	}
	list := func(es []Expr) []Expr {
		out := make([]Expr, len(es))
		for i, e := range es {
			out[i] = f(e)
		}
		return out
	}
	switch r := r.(type) {
	case *lScan, *lWorking, *lGiven:
		return r
	case *lRecursive:
		c := *r
		c.base, c.term = in[0], in[1]
		return &c
	case *lValues:
		c := *r
		c.rows = make([][]Expr, len(r.rows))
		for i, row := range r.rows {
			c.rows[i] = list(row)
		}
		return &c
	case *lTableFunc:
		c := *r
		if len(in) > 0 {
			c.in = in[0]
		}
		c.args = list(r.args)
		return &c
	case *lProjectSet:
		c := *r
		c.in = in[0]
		c.args = make([][]Expr, len(r.args))
		for i, a := range r.args {
			c.args[i] = list(a)
		}
		return &c
	case *lProject:
		c := &lProject{in: in[0], items: make([]projItem, len(r.items))}
		for i, it := range r.items {
			c.items[i] = projItem{it.id, f(it.e)}
		}
		return c
	case *lFilter:
		return &lFilter{in[0], list(r.conds)}
	case *lWindow:
		c := *r
		c.in = in[0]
		return &c
	case *lAgg:
		c := *r
		c.in = in[0]
		return &c
	case *lJoin:
		c := *r
		c.l, c.r, c.on = in[0], in[1], list(r.on)
		return &c
	case *lAsOf:
		c := *r
		c.l, c.r, c.lkeys, c.rkeys = in[0], in[1], list(r.lkeys), list(r.rkeys)
		if r.op != "" {
			c.ltime, c.rtime = f(r.ltime), f(r.rtime)
		}
		return &c
	case *lUnion:
		c := *r
		c.in = in
		return &c
	case *lSetOp:
		c := *r
		c.l, c.r = in[0], in[1]
		return &c
	case *lSort:
		c := *r
		c.in = in[0]
		return &c
	case *lLimit:
		c := *r
		c.in = in[0]
		if r.limit != nil {
			c.limit = f(r.limit)
		}
		if r.offset != nil {
			c.offset = f(r.offset)
		}
		return &c
	case *lOver:
		c := *r
		c.in = in[0]
		return &c
	}
	return r
}

// substituteRel replaces free columns of r by expressions.
func substituteRel(r lrel, m map[int]Expr) lrel {
	in := r.inputs()
	out := make([]lrel, len(in))
	for i, x := range in {
		out[i] = substituteRel(x, m)
	}
	return withInputs(r, out, func(e Expr) Expr { return substitute(e, m) })
}

// freeCols gives the columns that r takes from outside: those of outer queries.
func freeCols(r lrel) idset {
	used, defined := idset{}, idset{}
	collectCols(r, used, defined)
	for i := range defined {
		delete(used, i)
	}
	return used
}

func collectCols(r lrel, used, defined idset) {
	for _, e := range r.exprs() {
		used.addRefs(e)
	}
	switch r := r.(type) {
	case *lAgg:
		used.addAll(r.keys)
		for _, a := range r.aggs {
			used.addAll(a.args)
			if a.filter >= 0 {
				used[a.filter] = true
			}
		}
	}
	defined.addAll(r.cols())
	for _, in := range r.inputs() {
		collectCols(in, used, defined)
	}
}

// extend adds computed columns to those of in.
func extend(in lrel, items []projItem, b *binder) lrel {
	if len(items) == 0 {
		return in
	}
	p := &lProject{in: in}
	for _, id := range in.cols() {
		p.items = append(p.items, projItem{id, b.col(id)})
	}
	p.items = append(p.items, items...)
	return p
}
