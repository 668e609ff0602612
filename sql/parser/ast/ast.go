// Package ast is the syntax tree of streamsql: PostgreSQL's statements plus
// sources with watermarks, window table functions, EMIT and maintained views.
// Names are folded already. Every node that an error may point at carries Pos,
// the 1-based character position in the text that was parsed.
package ast

import "strings"

// Pos is a 1-based character index into the statement's text; 0 is unknown.
type Pos = int

// Stmt is one statement.
type Stmt interface{ stmt() }

// Name is a possibly qualified name: the last part is the object, the ones before it schema and catalog.
type Name struct {
	Parts []string
	Pos   Pos
}

// Base gives the last part.
func (n Name) Base() string { return n.Parts[len(n.Parts)-1] }

// Schema gives the part before the last, "" if there is none.
func (n Name) Schema() string {
	if len(n.Parts) < 2 {
		return ""
	}
	return n.Parts[len(n.Parts)-2]
}

func (n Name) String() string { return strings.Join(n.Parts, ".") }

// TypeName is a type as written: its name, modifiers and array brackets.
type TypeName struct {
	Name   Name   // folded; SQL spellings are given as catalogue names (double precision -> float8)
	Mods   []Expr // (10,2)
	Array  int    // number of [] or ARRAY
	Fields string // of interval: "day to second", "" if none
	SetOf  bool
	Pos    Pos
}

// Query is SELECT, VALUES, a set operation or TABLE t, with what may follow it.
type Query struct {
	With     *With
	Body     QueryBody
	OrderBy  []OrderItem
	Limit    Expr // nil: none (also LIMIT ALL)
	Offset   Expr
	WithTies bool
	Locking  bool // FOR UPDATE/SHARE, which changes nothing here
	Emit     *Emit
	Pos      Pos
}

// With is a WITH clause.
type With struct {
	Recursive bool
	CTEs      []CTE
}

// CTE is one common table expression. Stmt is a *Query, or DML with RETURNING.
type CTE struct {
	Name         string
	Columns      []string
	Stmt         Stmt
	Materialized *bool
	Search       *Search
	Cycle        *Cycle
	Pos          Pos
}

// Search is SEARCH DEPTH or BREADTH FIRST BY columns SET name of a recursive query.
type Search struct {
	Breadth bool
	By      []string
	Set     string
	Pos     Pos
}

// Cycle is CYCLE columns SET mark TO value DEFAULT other USING path of a recursive query. Value and Other are literals.
type Cycle struct {
	Columns      []string
	Mark, Path   string
	Value, Other Expr
	Pos          Pos
}

// QueryBody is *Select, *Values, *SetOp or *Query (parenthesised, with its own ORDER BY or LIMIT).
type QueryBody interface{ body() }

// Select is one SELECT block.
type Select struct {
	Distinct      bool
	DistinctOn    []Expr
	Items         []SelectItem
	From          []FromItem
	Where         Expr
	GroupBy       []GroupItem
	GroupDistinct bool
	Having        Expr
	Windows       []NamedWindow
	Pos           Pos
}

// SelectItem is one output column, or a star. Into (SELECT INTO) is refused by the parser.
type SelectItem struct {
	Expr  Expr // *Star for * and t.*
	Alias string
	Pos   Pos
}

// NamedWindow is one entry of a WINDOW clause.
type NamedWindow struct {
	Name string
	Spec *WindowSpec
	Pos  Pos
}

// GroupItem is an element of GROUP BY: exactly one field is set.
type GroupItem struct {
	Expr   Expr
	Window *GroupWindow
	Sets   *GroupingSets
	Pos    Pos
}

// GroupingSets is GROUPING SETS, ROLLUP or CUBE; () is an item of a set list with no Exprs.
type GroupingSets struct {
	Kind  string // "sets", "rollup", "cube", "set" (a parenthesised list, Exprs)
	Sets  []GroupItem
	Exprs []Expr
}

// WindowKind names a window function.
type WindowKind uint8

// The window kinds.
const (
	Tumble WindowKind = iota + 1
	Hop
	Cumulate
	Session
)

func (k WindowKind) String() string {
	return [...]string{"", "TUMBLE", "HOP", "CUMULATE", "SESSION"}[k]
}

// WindowArgs are the arguments that a window table function and a group window share. Unset ones are nil.
type WindowArgs struct {
	Kind     WindowKind
	TimeCol  Expr // a column reference (DESCRIPTOR removed)
	Size     Expr // not of Session
	Slide    Expr // Hop
	Step     Expr // Cumulate
	Gap      Expr // Session
	MaxSpan  Expr // Session
	Offset   Expr
	TimeZone Expr
	Pos      Pos
}

// GroupWindow is a window function as a GROUP BY item.
type GroupWindow struct{ WindowArgs }

// SetOp is UNION, INTERSECT or EXCEPT.
type SetOp struct {
	Op   string // "UNION", "INTERSECT", "EXCEPT"
	All  bool
	L, R QueryBody
	Pos  Pos
}

// Values is VALUES (..), (..). A *Default expression may stand in INSERT.
type Values struct {
	Rows [][]Expr
	Pos  Pos
}

func (*Select) body() {}
func (*SetOp) body()  {}
func (*Values) body() {}
func (*Query) body()  {}
func (*Query) stmt()  {}

// FromItem is an element of FROM.
type FromItem interface{ from() }

// Alias is AS name (columns); ColDefs is the column definition list of a record function.
type Alias struct {
	Name    string
	Columns []string
	ColDefs []ColumnDef
	Pos     Pos
}

// TableRef names a relation. AsOf is FOR SYSTEM_TIME AS OF expr, if given.
type TableRef struct {
	Name        Name
	Only        bool
	Alias       Alias
	AsOf        Expr
	TableSample bool
	Pos         Pos
}

// SubqueryRef is a subquery in FROM; the alias is optional.
type SubqueryRef struct {
	Query   *Query
	Lateral bool
	Alias   Alias
	Pos     Pos
}

// FuncRef is one or (ROWS FROM) several set-returning functions in FROM.
type FuncRef struct {
	Calls      []*FuncCall
	RowsFrom   bool
	ColDefs    [][]ColumnDef // parallel to Calls in ROWS FROM, where any has a column definition list
	Ordinality bool
	Lateral    bool
	Alias      Alias
	Pos        Pos
}

// WindowTVF is TUMBLE, HOP, CUMULATE or SESSION in FROM.
type WindowTVF struct {
	WindowArgs
	Input       FromItem // *TableRef or *SubqueryRef
	PartitionBy []Expr
	Alias       Alias
	Pos         Pos
}

// JoinKind names a join.
type JoinKind uint8

// The join kinds.
const (
	InnerJoin JoinKind = iota + 1
	LeftJoin
	RightJoin
	FullJoin
	CrossJoin
)

func (k JoinKind) String() string {
	return [...]string{"", "inner", "left", "right", "full", "cross"}[k]
}

// JoinRef is a join. At most one of On, Using and Natural is given. AsOf is ASOF JOIN.
type JoinRef struct {
	Kind       JoinKind
	L, R       FromItem
	On         Expr
	Using      []string
	UsingAlias string
	Natural    bool
	AsOf       bool
	Alias      Alias // of a parenthesised join
	Pos        Pos
}

func (*TableRef) from()    {}
func (*SubqueryRef) from() {}
func (*FuncRef) from()     {}
func (*WindowTVF) from()   {}
func (*JoinRef) from()     {}

// OrderItem is an element of ORDER BY. Using holds the operator of ORDER BY x USING op.
type OrderItem struct {
	Expr       Expr
	Desc       bool
	NullsFirst *bool // nil: PostgreSQL's default (last for ascending, first for descending)
	Using      string
	Pos        Pos
}

// EmitTrigger says when EMIT sends rows.
type EmitTrigger uint8

// The triggers. Synonyms are mapped here: AFTER WATERMARK, FINAL and ON/AFTER WINDOW CLOSE are EmitOnClose.
const (
	EmitChanges EmitTrigger = iota + 1
	EmitOnUpdate
	EmitOnClose
	EmitAfterDelay
	EmitAfterDelayAndClose
	EmitPeriodic
)

func (t EmitTrigger) String() string {
	return [...]string{"", "changes", "on update", "on window close", "after delay", "after delay and on window close", "periodic"}[t]
}

// Emit is an EMIT clause. Expressions are intervals unless said otherwise; nil where not given.
type Emit struct {
	Trigger  EmitTrigger
	Batch    Expr // ON UPDATE WITH BATCH
	Delay    Expr // AFTER DELAY
	Period   Expr // PERIODIC
	Repeat   bool // PERIODIC .. REPEAT
	Hold     Expr // WITH DELAY
	Lateness Expr // ALLOWED LATENESS
	Timeout  Expr
	Late     string // "", "drop", "error", "into"
	LateInto Name
	As       string // "", "changelog", "upsert", "append"
	AsPos    Pos    // of AS
	Key      []string
	KeyPos   Pos // of the parenthesis that begins the key
	Snapshot *bool
	Progress *bool
	Limit    Expr // LIMIT after EMIT, a count
	Pos      Pos
}
