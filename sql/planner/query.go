package planner

import (
	"slices"
	"strings"

	"streamsql/catalog"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/parser/ast"
)

// Options is what planning depends on besides the tree.
type Options struct {
	Catalog    *catalog.Snapshot
	SearchPath []string
	// Env is the session's settings: how literals of date and time are read.
	Env *types.Env
	// ParamTypes are the declared types of parameters; OID 0 is to be inferred. Query.Params gives the result.
	ParamTypes []types.T
	// Fold evaluates a constant expression. Without it nothing is folded but literals.
	Fold func(e Expr) (types.Datum, error)
	// Text is the statement, only for messages.
	Text string
	// Notice takes notices; may be nil.
	Notice func(*pgerr.Error)
	// Continuous says that the plan is maintained (a view, EMIT) and no snapshot; the entry points set it.
	Continuous bool
	view       bool // the plan is of a view
	// Modifies allows data-modifying statements in WITH; else NoModifying is the error for them, "" a general one.
	Modifies    bool
	NoModifying string
	// Called is told the functions that BindScalar finds called, those that their bodies call included; may be nil.
	Called func(oid uint32)
	// Clause and Table are, for BindScalar, what messages name the place of the expression, and the name that may qualify columns.
	Clause, Table string
	// Bound says what names mean in the definition of a view that is planned again; nil: what the catalog says.
	Bound []catalog.Binding
	// Uses, where it is not nil, is told what the statement does with relations and functions. Usage checks that a schema may be named; nil: all may.
	Uses  *Uses
	Usage func(schema string) error
	body  *funcBody // of a statement of a function
}

// Query is a planned query.
type Query struct {
	// Root computes the result; of a query with EMIT it is an *Emit.
	Root Node
	// Columns are the result's columns, with EMIT the ones that its envelope puts first included.
	Columns []vec.Field
	Origins []Origin
	// Params are the types of the parameters, inferred where they were not declared.
	Params     []types.T
	Continuous bool
	// Depends lists the OIDs of the relations that the query names.
	Depends []uint32
	// Calls lists the OIDs of the functions that the query calls, those that their bodies call included.
	Calls []uint32
	// Bound says what the names of relations in the query mean, for the catalog.
	Bound []catalog.Binding
	// Runs says that it calls functions whose bodies the session runs, which may change tables.
	Runs bool
	// With are the data-modifying statements in WITH, whose rows the plan reads.
	With []*Modifying
	// AsOf and UpTo bound a SUBSCRIBE in time; nil where they were not given.
	AsOf, UpTo *TimeBound
}

// PlanQuery plans a SELECT, with or without EMIT.
func PlanQuery(q *ast.Query, o *Options) (*Query, error) {
	c := *o
	c.Continuous = q.Emit != nil
	return planQuery(q, &c)
}

// PlanView plans the body of a materialized view: continuous, with an Emit node (whose Spec.Fold is set) only where its
// EMIT clause makes the content another one than the query's result, or has it change at other times.
func PlanView(q *ast.Query, o *Options) (*Query, error) {
	c := *o
	c.Continuous, c.view = true, true
	return planQuery(q, &c)
}

func planQuery(q *ast.Query, o *Options) (*Query, error) {
	b := newBinder(o)
	b.depth-- // so that the outermost query is at depth 0
	body := *q
	body.Emit = nil
	r, err := b.queryIn(&body, nil, nil)
	if err != nil {
		return nil, err
	}
	if err := b.bodyResult(r); err != nil {
		return nil, err
	}
	if err := b.resolveUnknown(r); err != nil {
		return nil, err
	}
	return b.finish(r, q.Emit)
}

// finish optimises and lowers a bound query and puts EMIT on top.
func (b *binder) finish(r *qres, emit *ast.Emit) (*Query, error) {
	params, err := b.paramTypes()
	if err != nil {
		return nil, err
	}
	p := newBuilder(b.o.Continuous)
	p.b = b
	var spec EmitSpec
	if emit != nil {
		if spec, err = b.emitSpec(emit); err != nil {
			return nil, err
		}
		p.onClose = spec.Trigger == ast.EmitOnClose
		p.free = spec.Trigger == ast.EmitAfterDelayAndClose
		p.hold, p.late = spec.Hold, spec.Lateness
		if emit.Late != "" {
			p.lateRows = &LatePolicy{Error: emit.Late == "error", Into: emit.LateInto.Parts}
			b.noteLate(emit.LateInto)
		}
	}
	closeID := -1
	if p.free {
		r.rel, closeID = b.closeColumn(r.rel)
	}
	var timerIDs []int
	if p.free || spec.Trigger == ast.EmitAfterDelay {
		want := idset{closeID: true}
		for _, c := range r.cols {
			want[c.id] = true
		}
		r.rel, timerIDs = b.timerKey(r.rel, want)
	}
	ids := make([]int, len(r.cols))
	need := idset{}
	out := &Query{Params: params, Continuous: b.o.Continuous, Depends: b.reads, Calls: b.calls, Runs: b.runs, Bound: b.bindings(),
		With: b.modifying}
	for i, c := range r.cols {
		ids[i] = c.id
		need[c.id] = true
		out.Columns = append(out.Columns, vec.Field{Name: c.name, Type: b.cols[c.id].typ})
		out.Origins = append(out.Origins, b.cols[c.id].origin)
	}
	for _, id := range timerIDs {
		if !need[id] {
			ids = append(ids, id)
			need[id] = true
		}
	}
	closeCol := slices.Index(ids, closeID)
	if closeID >= 0 && closeCol < 0 {
		closeCol = len(ids)
		ids = append(ids, closeID)
		need[closeID] = true
	}
	root, err := b.lowerRoot(p, r.rel, ids, need)
	if err != nil {
		return nil, err
	}
	if b.o.Continuous {
		if err := checkVolatile(root); err != nil {
			return nil, err
		}
		if b.o.view {
			if err := checkNow(root); err != nil {
				return nil, err
			}
		}
	}
	if emit != nil {
		if err := b.checkLate(root, emit); err != nil {
			return nil, err
		}
		if p.free {
			if err := b.checkClose(root, emit, spec); err != nil {
				e := pgerr.From(err)
				e.Message = strings.Replace(e.Message, "EMIT ON WINDOW CLOSE", "EMIT AFTER DELAY AND AFTER WATERMARK", 1)
				return nil, e
			}
			if err := setCloseColumn(&spec, root, closeCol, emit); err != nil {
				return nil, err
			}
		}
		spec.Hidden = len(ids) - len(r.cols)
		timerCols := positionsOf(timerIDs, ids)
		if root, err = b.emit(root, out, emit, spec, timerCols); err != nil {
			return nil, err
		}
	}
	out.Root = root
	return out, nil
}

func (b *binder) lowerRoot(p *builder, rel lrel, ids []int, need idset) (Node, error) {
	l := &lowerer{b: b, p: p}
	n, y := l.lower(b.optimise(rel), need)
	if s, ok := n.(*Sort); ok && l.err == nil {
		// The order stays on top: the projection goes below it where it keeps the sort keys.
		if m, ok := l.projectBelowSort(s, y, ids); ok {
			return m, l.err
		}
	}
	n = l.project(n, y, ids)
	return n, l.err
}

// projectBelowSort moves the last projection under a Sort if the keys are among the columns.
func (l *lowerer) projectBelowSort(s *Sort, y layout, ids []int) (Node, bool) {
	keys := make([]SortKey, len(s.Keys))
	for i, k := range s.Keys {
		j := slices.Index(ids, y[k.Col])
		if j < 0 {
			return nil, false
		}
		keys[i] = SortKey{j, k.Desc, k.NullsFirst}
	}
	return l.p.sort(l.project(s.Input, y, ids), keys), true
}

// paramTypes checks that every parameter has a type: one that nothing constrains is text, as PostgreSQL has it
// for a bare output column.
func (b *binder) paramTypes() ([]types.T, error) {
	for i, t := range b.params.ts {
		if t.OID == types.OIDUnknown || t.OID == 0 {
			if b.paramUsed(i + 1) {
				b.params.ts[i] = types.Text
				continue
			}
			return nil, pgerr.New(pgerr.IndeterminateDatatype, "could not determine data type of parameter $%d", i+1)
		}
	}
	return b.params.ts, nil
}

func (b *binder) paramUsed(n int) bool { return b.paramsUsed[n] }

// BindScalar binds an expression over columns of a schema (none: a constant) and converts it to want, unless that is zero.
// It serves defaults, generated columns, watermarks and the arguments of EXECUTE.
func BindScalar(e ast.Expr, schema []vec.Field, want types.T, o *Options) (Expr, error) {
	b := newBinder(o)
	sc := &scope{}
	t := &table{hidden: true}
	if o.Table != "" {
		t = &table{alias: o.Table}
	}
	clause := o.Clause
	if clause == "" {
		clause = "this expression"
	}
	for _, f := range schema {
		t.cols = append(t.cols, scopeCol{f.Name, b.newCol(f.Name, f.Type), t})
	}
	sc.addTable(t)
	x, err := b.expr(&exprCtx{s: sc, clause: clause, noSubqueries: true}, e)
	if err != nil {
		return nil, err
	}
	if want.OID != 0 {
		name := "?column?"
		if len(schema) > 0 {
			name = schema[0].Name
		}
		if x, err = b.assign(x, want, name, e.Position()); err != nil {
			return nil, err
		}
	} else if unknown(x) {
		if x, err = b.mustCoerce(x, types.Text, 'i', e.Position()); err != nil {
			return nil, err
		}
	}
	if o.Called != nil {
		for _, oid := range b.calls {
			o.Called(oid)
		}
	}
	return b.simplify(x), nil
}
