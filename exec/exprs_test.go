package exec

import (
	"errors"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow/memory"

	"streamsql/internal/fn"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
)

// tcol is a column of the test input.
func tcol(i int, t types.T) planner.Expr { return &planner.Column{Index: i, Typ: t} }

// tint, ttext and tnull are constants.
func tint(i int32) planner.Expr   { return &planner.Const{Val: i, Typ: types.Int4} }
func ttext(s string) planner.Expr { return &planner.Const{Val: s, Typ: types.Text} }
func tnull(t types.T) planner.Expr {
	return &planner.Const{Typ: t}
}

// top is an operator call, resolved for the types of its operands.
func top(t testing.TB, sym string, args ...planner.Expr) planner.Expr {
	t.Helper()
	r, err := fn.ResolveOp(sym, argTypes(args))
	if err != nil {
		t.Fatal(err)
	}
	return &planner.Call{Fn: r.Func, Args: args, Typ: r.Func.Ret, Pos: 7}
}

// tcast casts explicitly.
func tcast(t testing.TB, x planner.Expr, to types.T) planner.Expr {
	t.Helper()
	c := fn.FindCast(x.Type(), to)
	if c == nil {
		t.Fatalf("no cast from %s to %s", x.Type(), to)
	}
	return &planner.Cast{X: x, To: to, Cast: c, Explicit: true}
}

func tschema(ts ...types.T) *vec.Schema {
	s := &vec.Schema{}
	for i, t := range ts {
		s.Fields = append(s.Fields, vec.Field{Name: string(rune('a' + i)), Type: t})
	}
	return s
}

// tbatch makes a batch of inserts.
func tbatch(a vec.Allocator, s *vec.Schema, rows ...[]types.Datum) *vec.Batch {
	b := vec.NewBuilder(a, s)
	defer b.Release()
	for _, r := range rows {
		b.AppendDatums(r, vec.Insert)
	}
	return b.Finish()
}

func checked(t testing.TB) *memory.CheckedAllocator {
	a := memory.NewCheckedAllocator(memory.NewGoAllocator())
	t.Cleanup(func() { a.AssertSize(t, 0) })
	return a
}

func tctx(a vec.Allocator) *Context {
	return &Context{Alloc: a, Fn: &fn.Ctx{Alloc: a}, Continuous: true, Stats: &Stats{}}
}

// errText stands for a lane that failed.
type errText string

// lanes gives the values of a column, failed ones as their message.
func lanes(v *vec.Vec) []any {
	out := make([]any, v.N)
	for i := range out {
		out[i] = v.Datum(i)
	}
	for _, e := range v.Errs {
		out[e.Row] = errText(e.Err.Error())
	}
	return out
}

const divZero = errText("division by zero")

func TestExpressions(t *testing.T) {
	i4, txt, bl := types.Int4, types.Text, types.Bool
	a, b, s, p := tcol(0, i4), tcol(1, i4), tcol(2, txt), tcol(3, bl)
	schema := tschema(i4, i4, txt, bl)
	rows := [][]types.Datum{
		{int32(6), int32(2), "x", true},
		{int32(5), int32(0), "y", false},
		{nil, int32(0), nil, nil},
		{int32(7), nil, "12", true},
	}
	div := top(t, "/", a, b)
	and := func(x ...planner.Expr) planner.Expr { return &planner.And{Args: x} }
	or := func(x ...planner.Expr) planner.Expr { return &planner.Or{Args: x} }
	gt := func(x planner.Expr, n int32) planner.Expr { return top(t, ">", x, tint(n)) }
	notZero := top(t, "<>", b, tint(0))
	null := &planner.Const{Typ: bl}
	num := tcast(t, s, i4)
	bad := errText(`invalid input syntax for type integer: "x"`)
	badY := errText(`invalid input syntax for type integer: "y"`)
	tests := []struct {
		name string
		e    planner.Expr
		want []any
	}{
		{"column", a, []any{int32(6), int32(5), nil, int32(7)}},
		{"constant", tint(3), []any{int32(3), int32(3), int32(3), int32(3)}},
		{"null constant", tnull(txt), []any{nil, nil, nil, nil}},
		{"error in a lane", div, []any{int32(3), divZero, nil, nil}},
		{"false AND error", and(notZero, gt(div, 1)), []any{true, false, false, nil}},
		{"error AND false", and(gt(div, 1), notZero), []any{true, false, false, nil}},
		{"error AND true", and(gt(div, 1), top(t, "=", b, b)), []any{true, divZero, nil, nil}},
		{"error AND NULL", and(gt(div, 1), null), []any{nil, divZero, nil, nil}},
		{"true OR error", or(top(t, "=", b, tint(0)), gt(div, 1)), []any{true, true, true, nil}},
		{"error OR true", or(gt(div, 5), top(t, "=", b, tint(0))), []any{false, true, true, nil}},
		{"error OR false", or(gt(div, 5), top(t, "<>", b, b)), []any{false, divZero, nil, nil}},
		{"NULL AND false", and(p, null), []any{nil, false, nil, nil}},
		{"NULL OR true", or(p, null), []any{true, nil, nil, true}},
		{"NOT", &planner.Not{X: p}, []any{false, true, nil, false}},
		{"NOT error", &planner.Not{X: gt(div, 1)}, []any{false, divZero, nil, nil}},
		{"IS NULL", &planner.IsNull{X: a}, []any{false, false, true, false}},
		{"IS NOT NULL", &planner.IsNull{X: a, Not: true}, []any{true, true, false, true}},
		{"IS NULL of an error", &planner.IsNull{X: div}, []any{false, divZero, true, true}},
		{"IS TRUE", &planner.IsBool{X: p, Want: true}, []any{true, false, false, true}},
		{"IS NOT FALSE", &planner.IsBool{X: p, Not: true}, []any{true, false, true, true}},
		{"IS DISTINCT FROM", &planner.IsDistinct{L: a, R: tnull(i4)}, []any{true, true, false, true}},
		{"IS NOT DISTINCT FROM", &planner.IsDistinct{L: a, R: tint(5), Not: true}, []any{false, true, false, false}},
		{"CASE guards", &planner.Case{Whens: []planner.When{{Cond: notZero, Then: div}}, Else: tint(-1), Typ: i4},
			[]any{int32(3), int32(-1), int32(-1), int32(-1)}},
		{"CASE without ELSE", &planner.Case{Whens: []planner.When{{Cond: gt(a, 5), Then: s}}, Typ: txt}, []any{"x", nil, nil, "12"}},
		{"CASE takes errors of its conditions", &planner.Case{Whens: []planner.When{
			{Cond: gt(a, 6), Then: tint(1)}, {Cond: gt(div, 0), Then: tint(2)}}, Else: tint(3), Typ: i4}, []any{int32(2), divZero, int32(3), int32(1)}},
		{"CASE of text", &planner.Case{Whens: []planner.When{
			{Cond: gt(a, 5), Then: top(t, "||", s, ttext("!"))}, {Cond: p, Then: ttext("never")}}, Else: ttext("else"), Typ: txt}, []any{"x!", "else", "else", "12!"}},
		{"constant error that no row reaches", &planner.Case{Whens: []planner.When{
			{Cond: top(t, "<", a, tint(0)), Then: top(t, "/", tint(1), tint(0))}}, Else: a, Typ: i4}, []any{int32(6), int32(5), nil, int32(7)}},
		{"COALESCE", &planner.Coalesce{Args: []planner.Expr{a, b}, Typ: i4}, []any{int32(6), int32(5), int32(0), int32(7)}},
		{"COALESCE guards", &planner.Coalesce{Args: []planner.Expr{a, num}, Typ: i4}, []any{int32(6), int32(5), nil, int32(7)}},
		{"COALESCE takes errors", &planner.Coalesce{Args: []planner.Expr{div, num, tint(9)}, Typ: i4}, []any{int32(3), divZero, int32(9), int32(12)}},
		{"COALESCE of text", &planner.Coalesce{Args: []planner.Expr{
			&planner.Case{Whens: []planner.When{{Cond: gt(a, 6), Then: s}}, Typ: txt}, top(t, "||", s, ttext("?")), ttext("none")}, Typ: txt}, []any{"x?", "y?", "none", "12"}},
		{"GREATEST", &planner.MinMax{Args: []planner.Expr{a, b, tint(6)}, Greatest: true, Typ: i4}, []any{int32(6), int32(6), int32(6), int32(7)}},
		{"LEAST", &planner.MinMax{Args: []planner.Expr{a, b}, Typ: i4}, []any{int32(2), int32(0), int32(0), int32(7)}},
		{"IN set", &planner.In{X: a, List: []planner.Expr{tint(5), tint(7)}}, []any{false, true, nil, true}},
		{"IN with NULL", &planner.In{X: a, List: []planner.Expr{tint(5), tnull(i4)}}, []any{nil, true, nil, nil}},
		{"NOT IN with NULL", &planner.In{X: a, List: []planner.Expr{tint(5), tnull(i4)}, Not: true}, []any{nil, false, nil, nil}},
		{"IN text", &planner.In{X: s, List: []planner.Expr{ttext("y"), ttext("12")}, Not: true}, []any{true, false, nil, false}},
		{"IN columns", &planner.In{X: a, List: []planner.Expr{b, tint(6)}}, []any{true, false, nil, nil}},
		{"IN with an error", &planner.In{X: a, List: []planner.Expr{div, tint(6)}}, []any{true, divZero, nil, nil}},
		{"cast", num, []any{bad, badY, nil, int32(12)}},
		{"error of an argument", top(t, "+", num, tint(1)), []any{bad, badY, nil, int32(13)}},
	}
	alloc := checked(t)
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			in := tbatch(alloc, schema, rows...)
			defer in.Release()
			prog, err := CompileExprs(tctx(alloc), []planner.Expr{tc.e}, schema)
			if err != nil {
				t.Fatal(err)
			}
			defer prog.Close()
			for range 2 { // registers are used again
				out, err := prog.Eval(in.Views(nil), in.N)
				if err != nil {
					t.Fatal(err)
				}
				got := lanes(out[0])
				for i := range tc.want {
					if got[i] != tc.want[i] {
						t.Fatalf("row %d: got %v, want %v; all %v", i, got[i], tc.want[i], got)
					}
				}
			}
			if out, err := prog.Eval(make([]vec.Vec, 4), 0); err != nil || out[0].N != 0 {
				t.Fatalf("no rows: %v %v", out[0].N, err)
			}
		})
	}
}

func TestArraysAndRecords(t *testing.T) {
	alloc := checked(t)
	i4 := types.Int4
	arr := func(es ...planner.Expr) planner.Expr { return &planner.Array{Elems: es, Typ: types.Int4Array} }
	lit := func(xs ...types.Datum) planner.Expr {
		return &planner.Const{Val: types.NewArray(types.Int4, xs).Encode(), Typ: types.Int4Array}
	}
	schema := tschema(i4)
	a := tcol(0, i4)
	eq, err := fn.ResolveOp("=", []types.T{i4, i4})
	if err != nil {
		t.Fatal(err)
	}
	rec := types.T{OID: types.OIDRecord, Mod: -1, Rec: &types.Record{Names: []string{"f1", "f2"}, Types: []types.T{i4, types.Text}}}
	row := &planner.Row{Elems: []planner.Expr{a, tnull(types.Text)}, Typ: rec}
	sub := func(x planner.Expr, i ...planner.Expr) planner.Expr {
		return &planner.Subscript{X: x, Subs: i, Typ: i4}
	}
	div := top(t, "/", tint(1), a)
	tests := []struct {
		name string
		e    planner.Expr
		want []any // for a = 1, NULL, 0
	}{
		{"element", sub(arr(a, tint(5)), tint(2)), []any{int32(5), int32(5), int32(5)}},
		{"element by column", sub(lit(int32(8), int32(9)), a), []any{int32(8), nil, nil}},
		{"nested", sub(arr(arr(a, tint(2)), arr(tint(3), tint(4))), tint(2), tint(1)), []any{int32(3), int32(3), int32(3)}},
		{"too few subscripts", sub(arr(arr(a), arr(a)), tint(1)), []any{nil, nil, nil}},
		{"slice", &planner.Subscript{X: lit(int32(1), int32(2), int32(3)), Subs: []planner.Expr{tint(2)}, Upper: []planner.Expr{nil}, Slice: true, Typ: types.Int4Array},
			[]any{"{2,3}", "{2,3}", "{2,3}"}},
		{"shape", arr(arr(a), arr(a, a)), []any{
			errText("multidimensional arrays must have array expressions with matching dimensions"),
			errText("multidimensional arrays must have array expressions with matching dimensions"),
			errText("multidimensional arrays must have array expressions with matching dimensions")}},
		{"ANY", &planner.AnyArray{X: a, Array: lit(int32(0), int32(3)), Op: eq.Func}, []any{false, nil, true}},
		{"ANY with NULL", &planner.AnyArray{X: a, Array: lit(int32(0), nil), Op: eq.Func}, []any{nil, nil, true}},
		{"ANY of nothing", &planner.AnyArray{X: a, Array: lit(), Op: eq.Func}, []any{false, false, false}},
		{"ANY of NULL", &planner.AnyArray{X: a, Array: tnull(types.Int4Array), Op: eq.Func}, []any{nil, nil, nil}},
		{"ALL", &planner.AnyArray{X: a, Array: lit(int32(1), int32(1)), Op: eq.Func, All: true}, []any{true, nil, false}},
		{"ANY of columns", &planner.AnyArray{X: a, Array: arr(a, tint(3)), Op: eq.Func}, []any{true, nil, true}},
		{"error in an array", &planner.AnyArray{X: tint(1), Array: arr(div), Op: eq.Func}, []any{true, nil, divZero}},
		{"field", &planner.Field{X: row, Index: 0, Typ: i4}, []any{int32(1), nil, int32(0)}},
		{"record IS NULL", &planner.IsNull{X: row}, []any{false, true, false}},
		{"record IS NOT NULL", &planner.IsNull{X: row, Not: true}, []any{false, false, false}},
	}
	in := tbatch(alloc, schema, []types.Datum{int32(1)}, []types.Datum{nil}, []types.Datum{int32(0)})
	defer in.Release()
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			prog, err := CompileExprs(tctx(alloc), []planner.Expr{tc.e}, schema)
			if err != nil {
				t.Fatal(err)
			}
			defer prog.Close()
			out, err := prog.Eval(in.Views(nil), in.N)
			if err != nil {
				t.Fatal(err)
			}
			got := lanes(out[0])
			for i, g := range got {
				if s, ok := g.(string); ok && tc.e.Type().IsArray() {
					g = string(types.AppendText(nil, &types.Env{}, tc.e.Type(), s))
				}
				if g != tc.want[i] {
					t.Fatalf("row %d: got %v, want %v", i, g, tc.want[i])
				}
			}
		})
	}
}

func TestEvalConst(t *testing.T) {
	fc := &fn.Ctx{}
	d, err := EvalConst(fc, top(t, "+", tint(2), top(t, "*", tint(3), tint(4))))
	if err != nil || d != int32(14) {
		t.Fatalf("got %v %v", d, err)
	}
	_, err = EvalConst(fc, top(t, "/", tint(1), tint(0)))
	var pe *pgerr.Error
	if !errors.As(err, &pe) || pe.Code != pgerr.DivisionByZero || pe.Position != 7 {
		t.Fatalf("got %#v", err)
	}
	if _, err = EvalConst(fc, &planner.Param{N: 1, Typ: types.Int4}); pgerr.Code(err) != pgerr.UndefinedParameter {
		t.Fatal(err)
	}
	if _, err = EvalConst(fc, tcol(0, types.Int4)); err == nil || !strings.Contains(err.Error(), "constant") {
		t.Fatal(err)
	}
}

// Equal subexpressions are computed once, but never volatile ones.
func TestSharing(t *testing.T) {
	s := tschema(types.Int4)
	sum := func() planner.Expr { return top(t, "+", tcol(0, types.Int4), tint(1)) }
	p, err := CompileExprs(tctx(nil), []planner.Expr{sum(), top(t, "*", sum(), sum()), sum()}, s)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if p.roots[0] != p.roots[2] || len(p.nodes) != 4 {
		t.Errorf("%d nodes, roots %v", len(p.nodes), p.roots)
	}
	r, err := fn.ResolveFunc("random", nil)
	if err != nil {
		t.Fatal(err)
	}
	rnd := &planner.Call{Fn: r.Func, Typ: r.Func.Ret}
	q, err := CompileExprs(tctx(nil), []planner.Expr{rnd, rnd}, s)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	out, _ := q.Eval(make([]vec.Vec, 1), 2)
	if q.roots[0] == q.roots[1] || out[0].F64[0] == out[1].F64[0] || out[0].F64[0] == out[0].F64[1] {
		t.Error("random() was computed once")
	}
}
