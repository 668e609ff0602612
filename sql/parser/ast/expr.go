package ast

// Expr is a scalar expression.
type Expr interface {
	// Position gives where the expression (for an operator: the operator) stands in the text.
	Position() Pos
}

// At is embedded by expressions for their position.
type At struct{ Pos Pos }

// Position implements Expr.
func (a At) Position() Pos { return a.Pos }

// ColumnRef is a column, possibly qualified: a, t.a, s.t.a, or a whole row where it names a relation.
type ColumnRef struct {
	At
	Parts []string
}

// Star is * or t.* in a select list, count(*) has FuncCall.Star instead.
type Star struct {
	At
	Qualifier []string
}

// Table gives the schema, "" where none is written, and the table of t.*.
func (s *Star) Table() (schema, name string) {
	n := len(s.Qualifier)
	if n > 1 {
		schema = s.Qualifier[n-2]
	}
	return schema, s.Qualifier[n-1]
}

// LiteralKind says what a literal is.
type LiteralKind uint8

// The kinds of literals. A string is of unknown type until it is resolved.
const (
	LitNull LiteralKind = iota + 1
	LitBool
	LitInt     // decimal digits, perhaps after a -, that fit int8
	LitNumeric // any other number
	LitString
	LitBits // B'..' and X'..': Text holds the bits
)

// Literal is a constant. A minus sign before a number belongs to it, as in PostgreSQL. Text holds its digits or decoded characters; "true" or "false" for booleans.
type Literal struct {
	At
	Kind LiteralKind
	Text string
}

// Param is $n, from 1.
type Param struct {
	At
	N int
}

// Default is the keyword DEFAULT in INSERT and UPDATE.
type Default struct{ At }

// Unary is a prefix operator: "-", "+", "~", "@", "|/", ... ("not" is Not).
type Unary struct {
	At
	Op     string
	Schema string // of OPERATOR(schema.op)
	X      Expr
}

// Binary is an infix operator by its PostgreSQL symbol; "like", "ilike" and
// "similar to" are Like. Comparisons of rows have RowExpr operands.
type Binary struct {
	At
	Op     string
	Schema string
	L, R   Expr
}

// And is a AND b AND ..
type And struct {
	At
	Args []Expr
}

// Or is a OR b OR ..
type Or struct {
	At
	Args []Expr
}

// Not is NOT x.
type Not struct {
	At
	X Expr
}

// IsTest is x IS [NOT] NULL, TRUE, FALSE, UNKNOWN, or [form] NORMALIZED.
type IsTest struct {
	At
	X    Expr
	What string // "null", "true", "false", "unknown", "normalized", "nfd normalized", ..
	Not  bool
}

// IsDistinct is a IS [NOT] DISTINCT FROM b.
type IsDistinct struct {
	At
	L, R Expr
	Not  bool
}

// Like is x [NOT] LIKE/ILIKE/SIMILAR TO pattern [ESCAPE e].
type Like struct {
	At
	Kind    string // "like", "ilike", "similar"
	X       Expr
	Pattern Expr
	Escape  Expr // nil: none given
	Not     bool
}

// Between is x [NOT] BETWEEN [SYMMETRIC] lo AND hi.
type Between struct {
	At
	X, Lo, Hi Expr
	Symmetric bool
	Not       bool
}

// In is x [NOT] IN (list) or (subquery).
type In struct {
	At
	X     Expr
	List  []Expr
	Query *Query // nil for a list
	Not   bool
}

// Quantified is x op ANY/ALL (array or subquery). SOME is ANY.
type Quantified struct {
	At
	Op     string
	Schema string
	X      Expr
	All    bool
	Array  Expr
	Query  *Query
}

// Exists is EXISTS (subquery).
type Exists struct {
	At
	Query *Query
}

// ScalarQuery is (subquery) as a value.
type ScalarQuery struct {
	At
	Query *Query
}

// ArrayQuery is ARRAY(subquery).
type ArrayQuery struct {
	At
	Query *Query
}

// Case is CASE [x] WHEN .. THEN .. ELSE .. END.
type Case struct {
	At
	X     Expr
	Whens []When
	Else  Expr
}

// When is one branch of CASE.
type When struct{ Cond, Then Expr }

// Cast is CAST(x AS t), x::t, or a typed literal t 'text'.
type Cast struct {
	At
	X    Expr
	Type TypeName
	// Literal says that it was written as t 'text'.
	Literal bool
}

// FuncCall is a call of a function or aggregate. Special syntax is mapped to the
// function that PostgreSQL calls: EXTRACT(f FROM x) is extract('f', x), SUBSTRING
// and OVERLAY and POSITION and TRIM by their pg_catalog names, CURRENT_TIMESTAMP
// and its kin, COALESCE, NULLIF, GREATEST and LEAST as calls of those names with
// Special set, x AT TIME ZONE z as timezone(z, x).
type FuncCall struct {
	At
	Name        Name
	Args        []Expr
	ArgNames    []string // parallel to Args where any argument is named, "" for positional ones
	Star        bool     // count(*)
	Distinct    bool
	Variadic    bool // VARIADIC before the last argument
	OrderBy     []OrderItem
	WithinGroup []OrderItem
	Filter      Expr
	Over        *WindowSpec
	IgnoreNulls bool
	Special     bool // a keyword of the grammar, not a name to look up in the search path
}

// WindowSpec is an OVER clause or WINDOW entry. Ref alone is OVER name.
type WindowSpec struct {
	Ref         string // base window's name
	PartitionBy []Expr
	OrderBy     []OrderItem
	Frame       *Frame
	Pos         Pos
}

// Frame is a frame clause.
type Frame struct {
	Unit       string // "rows", "range", "groups"
	Start, End Bound
	Exclude    string // "", "current row", "group", "ties"
	Pos        Pos
}

// Bound is one end of a frame.
type Bound struct {
	Kind   string // "unbounded preceding", "preceding", "current row", "following", "unbounded following"
	Offset Expr
}

// ArrayExpr is ARRAY[..]. A nested array literal [..] is an ArrayExpr too.
type ArrayExpr struct {
	At
	Elems []Expr
}

// RowExpr is ROW(..) or (a, b, ..).
type RowExpr struct {
	At
	Elems    []Expr
	Explicit bool // ROW was written
}

// Subscript is x[i] or x[lo:hi] (either bound may be nil in a slice).
type Subscript struct {
	At
	X      Expr
	Lo, Hi Expr
	Slice  bool
	// Chained says that X is a subscript of the same chain: a[1][2], and not (a[1])[2].
	Chained bool
}

// Field is (x).f; Name is "*" for (x).*.
type Field struct {
	At
	X    Expr
	Name string
}

// Collate is x COLLATE c.
type Collate struct {
	At
	X         Expr
	Collation Name
}

// Grouping is GROUPING(..).
type Grouping struct {
	At
	Args []Expr
}
