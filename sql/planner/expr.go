package planner

import (
	"streamsql/internal/fn"
	"streamsql/internal/types"
)

// Expr is a bound, typed scalar expression over the columns of one input.
type Expr interface {
	Type() types.T
}

// Column is column Index of the input.
type Column struct {
	Index int
	Typ   types.T
	Name  string // for EXPLAIN
	Pos   int    // where it stands in the statement, 0 unknown
}

// Const is a value; Val nil is NULL.
type Const struct {
	Val types.Datum
	Typ types.T
}

// Param is $N (from 1). It is replaced by a Const when a portal is bound.
type Param struct {
	N   int
	Typ types.T
}

// Call is a scalar function or operator; the arguments have been coerced.
type Call struct {
	Fn   *fn.Func
	Args []Expr
	Typ  types.T
	Pos  int
}

// Cast converts X to To. Cast nil is a change of type without a change of representation (but for the modifier).
type Cast struct {
	X        Expr
	To       types.T
	Cast     *fn.Cast
	Explicit bool
	Pos      int
}

// And is three-valued AND: false AND an error is false.
type And struct{ Args []Expr }

// Or is three-valued OR.
type Or struct{ Args []Expr }

// Not is NOT X.
type Not struct{ X Expr }

// IsNull is X IS [NOT] NULL. Of a record it tests all fields, as SQL says.
type IsNull struct {
	X   Expr
	Not bool
}

// IsBool is X IS [NOT] TRUE / FALSE (UNKNOWN is IsNull).
type IsBool struct {
	X    Expr
	Want bool
	Not  bool
}

// IsDistinct is L IS [NOT] DISTINCT FROM R; both have one type.
type IsDistinct struct {
	L, R Expr
	Not  bool
}

// Case is a searched CASE (the simple form is desugared). All results have type Typ. Else nil is NULL.
type Case struct {
	Whens []When
	Else  Expr
	Typ   types.T
}

// When is a branch of Case.
type When struct{ Cond, Then Expr }

// Coalesce gives its first argument that is not NULL.
type Coalesce struct {
	Args []Expr
	Typ  types.T
}

// MinMax is GREATEST or LEAST: NULLs are ignored.
type MinMax struct {
	Args     []Expr
	Greatest bool
	Typ      types.T
}

// In is X [NOT] IN (list) where Eq compares X with each element (coerced to one type).
type In struct {
	X    Expr
	List []Expr
	Not  bool
	Pos  int
}

// AnyArray is X op ANY (array), or ALL. Op takes X's and the element type.
type AnyArray struct {
	X, Array Expr
	Op       *fn.Func
	All      bool
	Pos      int
}

// Array is ARRAY[..]; the elements have the element type of Typ, or are arrays of it themselves (nested).
type Array struct {
	Elems []Expr
	Typ   types.T
	Pos   int
}

// Row is ROW(..); Typ.Rec describes it.
type Row struct {
	Elems []Expr
	Typ   types.T
}

// Field is field Index of a record.
type Field struct {
	X     Expr
	Index int
	Typ   types.T
}

// Subscript is X[Subs..] of an array, or a slice (Slice: Subs and Upper in pairs; a nil is an open bound).
type Subscript struct {
	X     Expr
	Subs  []Expr
	Upper []Expr
	Slice bool
	Typ   types.T
}

// Type implements Expr.
func (e *Column) Type() types.T { return e.Typ }

// Type implements Expr.
func (e *Const) Type() types.T { return e.Typ }

// Type implements Expr.
func (e *Param) Type() types.T { return e.Typ }

// Type implements Expr.
func (e *Call) Type() types.T { return e.Typ }

// Type implements Expr.
func (e *Cast) Type() types.T { return e.To }

// Type implements Expr.
func (e *And) Type() types.T { return types.Bool }

// Type implements Expr.
func (e *Or) Type() types.T { return types.Bool }

// Type implements Expr.
func (e *Not) Type() types.T { return types.Bool }

// Type implements Expr.
func (e *IsNull) Type() types.T { return types.Bool }

// Type implements Expr.
func (e *IsBool) Type() types.T { return types.Bool }

// Type implements Expr.
func (e *IsDistinct) Type() types.T { return types.Bool }

// Type implements Expr.
func (e *Case) Type() types.T { return e.Typ }

// Type implements Expr.
func (e *Coalesce) Type() types.T { return e.Typ }

// Type implements Expr.
func (e *MinMax) Type() types.T { return e.Typ }

// Type implements Expr.
func (e *In) Type() types.T { return types.Bool }

// Type implements Expr.
func (e *AnyArray) Type() types.T { return types.Bool }

// Type implements Expr.
func (e *Array) Type() types.T { return e.Typ }

// Type implements Expr.
func (e *Row) Type() types.T { return e.Typ }

// Type implements Expr.
func (e *Field) Type() types.T { return e.Typ }

// Type implements Expr.
func (e *Subscript) Type() types.T { return e.Typ }
