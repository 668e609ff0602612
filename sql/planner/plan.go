// Package planner turns a syntax tree into a bound, typed and optimised plan
// against one catalog snapshot, and infers what the executor relies on: the kind
// of changelog, unique keys and watermarks of every node.
package planner

import (
	"strings"

	"streamsql/catalog"
	"streamsql/internal/fn"
	"streamsql/internal/vec"
	"streamsql/sql/parser/ast"
	"streamsql/window"
)

// Node is a relational operator of the plan. Nodes are immutable once planned; a
// node that occurs twice in the tree (the same pointer) is computed once.
type Node interface {
	Schema() *vec.Schema
	Inputs() []Node
	Props() *Props
}

// Props is what holds of every execution of a node.
type Props struct {
	// Retracts says that deletes may be emitted; false is an append-only stream.
	Retracts bool
	// Keys lists sets of columns each of which is unique among the current rows. An empty set says that there is at most one row.
	Keys [][]int
	// Watermarks lists the columns that the node's watermark speaks of: no row with a smaller value will come.
	Watermarks []int
	// Bounded says that the input ends.
	Bounded bool
}

type base struct {
	schema *vec.Schema
	props  Props
	// ends lists the watermarked columns that are window ends: a value e is final when W >= e.
	ends []int
	// freeLate says that the watermark is a source's, whose late rows are not kept.
	freeLate bool
	// finals says that the node, or one below it, gives final results at a watermark.
	finals bool
	// held says that the watermark has been held back for WITH DELAY at the node or below: once is enough.
	held bool
	// session is the key of a node whose rows are sessions, nil if not all of its columns are there. A session that
	// grows is another one: its start or end alone is unique at any moment, but does not identify it over time.
	session []int
}

func (b *base) Schema() *vec.Schema { return b.schema }
func (b *base) Props() *Props       { return &b.props }

// Describe sets the schema and properties of a node that is being made. Nodes are immutable once planned.
func (b *base) Describe(s *vec.Schema, p Props) { b.schema, b.props = s, p }

// Scan reads the columns Cols of a relation (not of a view, which is expanded).
type Scan struct {
	base
	Rel  *catalog.Relation
	Cols []int
	// Key, of a snapshot, tells which rows are wanted: see KeyCond. nil: all.
	Key []KeyCond
}

// Watermark sits above the Scan of a relation with a declared watermark in a continuous query:
// it keeps the maximum of Expr over the rows of each partition.
type Watermark struct {
	base
	Input  Node
	Expr   Expr // over the input
	Column int  // the event-time column, in the input
	// IdleTimeout and MaxFuture are microseconds, 0 none (sources' WITH options).
	IdleTimeout, MaxFuture int64
	// Late is what becomes of late rows of the relation.
	Late LatePolicy
}

// LatePolicy says what becomes of a row that comes too late for every window. The zero value drops it. Whatever it says, the row is counted.
type LatePolicy struct {
	Error bool     // it ends the query
	Into  []string // the name of the table that it goes to, nil none
}

// String gives the policy as the option late spells it.
func (l LatePolicy) String() string {
	switch {
	case l.Error:
		return "error"
	case l.Into != nil:
		return "table:" + strings.Join(l.Into, ".")
	}
	return "drop"
}

// Values is a list of rows of constant expressions.
type Values struct {
	base
	Rows [][]Expr
}

// TableFunc is a set-returning function in FROM. Its arguments are constant, unless Input is
// set (LATERAL): then they are over Input, and each input row is followed by the function's columns.
type TableFunc struct {
	base
	Input      Node // nil: none
	Fn         *fn.Func
	Args       []Expr
	Ordinality bool
	Outer      bool // LEFT JOIN LATERAL: a row without results is padded
}

// ProjectSet evaluates set-returning functions of a select list: each input row gives as many rows
// as the longest set, the shorter ones padded with NULL. Output: the columns of Input, then one for each function.
type ProjectSet struct {
	base
	Input Node
	Fns   []*fn.Func
	Args  [][]Expr
	// Ordinality adds a column that numbers the rows of each row.
	Ordinality bool
}

// Calc filters and projects: rows for which every conjunct of Filter is true, through Exprs.
type Calc struct {
	base
	Input  Node
	Filter []Expr
	Exprs  []Expr
}

// WindowTVF appends window_start, window_end and window_time, once for each window that the row is in.
// TUMBLE, HOP and CUMULATE only look at the row; SESSION groups by PartitionBy and may move
// rows from one session to another (it retracts).
type WindowTVF struct {
	base
	Input       Node
	Spec        window.Spec
	TimeCol     int
	PartitionBy []int
}

// AggCall is one aggregate of an Aggregate node. Args and Filter are columns of the input (a Calc below computes them).
type AggCall struct {
	Agg      *fn.Agg
	Options  fn.AggOptions // Args and Ret are set by the planner; Retract and Ctx by the executor
	Args     []int
	Distinct bool
	Filter   int // column of type bool, -1 none
	OrderBy  []SortKey
	Name     string
}

// Aggregate groups. Output: the Keys, then, with Window, window_start, window_end and window_time, then
// the Aggs. Without Keys and Window there is exactly one row, also over no input, unless Grouped.
type Aggregate struct {
	base
	Input Node
	Keys  []int // columns of the input
	Aggs  []AggCall
	// Window, where not nil, also groups by the windows of TimeCol (TUMBLE, HOP, CUMULATE, SESSION; a session is per Keys,
	// or per SessionKeys where PARTITION BY named fewer columns than the Keys).
	Window      *window.Spec
	TimeCol     int
	SessionKeys []int // positions in Keys; nil: all
	// Grouped says that GROUP BY was written, so that no input gives no row.
	Grouped bool
	// OnClose says that a group is sent once, when the watermark passes its end (WindowEndKey or the Window itself), and then forgotten.
	OnClose bool
	// CloseKey, where >= 0, is the position in Keys of a column with a watermark: a group is final when the watermark is beyond it.
	// CloseEnd says that the column is a window_end, final when W >= it (a window_time or start is final when W > it).
	CloseKey int
	CloseEnd bool
	// Hold keeps a window open for so long after its end (WITH DELAY); Lateness keeps it refinable (ALLOWED LATENESS). Microseconds.
	Hold, Lateness int64
	// FreeLate says that rows of closed windows are late and the state of closed windows is freed, also under
	// EMIT CHANGES (a source with a watermark). False over tables and in snapshots: every row counts.
	FreeLate bool
}

// JoinType names a join.
type JoinType uint8

// The join types. A semi or anti join gives the left columns only.
const (
	InnerJoin JoinType = iota + 1
	LeftJoin
	RightJoin
	FullJoin
	SemiJoin
	AntiJoin
)

func (t JoinType) String() string {
	return [...]string{"", "inner", "left", "right", "full", "semi", "anti"}[t]
}

// Join is a hash join on LeftKeys = RightKeys (types equal, pairwise) with a Residual condition over the
// columns of both sides (left, then right). Without keys it is a nested loop over all pairs.
// Output: the left columns, then the right ones.
type Join struct {
	base
	Type                JoinType
	Left, Right         Node
	LeftKeys, RightKeys []int
	// NullSafe marks keys compared with IS NOT DISTINCT FROM.
	NullSafe []bool
	Residual []Expr
	// Interval, where not nil, bounds the right row's time by the left row's, so that the watermark frees state.
	Interval *IntervalBound
	// WindowEnd, where not nil, are columns (left, right) of window ends or times equated by the keys: rows whose window has closed are freed.
	// CloseEnd says that they are ends, of which no row comes once W >= the end (a time may still come at W == the time).
	WindowEnd *[2]int
	CloseEnd  bool
	// Single says of a left join that a second match is the error 21000 (scalar subquery).
	Single bool
	// OnClose says that a left or anti join sends a row without a match only when the watermark
	// (of Interval or WindowEnd) shows that none can come, so that it never takes a row back.
	OnClose bool
	// NullAware makes an anti join NOT IN: a NULL on either side gives no row (for keys at index 0).
	NullAware bool
}

// IntervalBound says Left[LeftTime] + Lo <= Right[RightTime] <= Left[LeftTime] + Hi (microseconds).
type IntervalBound struct {
	LeftTime, RightTime int
	Lo, Hi              int64
}

// AsOfJoin joins each left row with the nearest right row that has its keys: with Op ">=" or ">" the last one at or before
// LeftTime, with "<=" or "<" the first one at or after it. Of several at one time it is the first by the whole row, so that the result is
// a function of the content. Output: the left columns, then the right ones.
type AsOfJoin struct {
	base
	Left, Right         Node
	LeftKeys, RightKeys []int
	// NullSafe marks keys compared with IS NOT DISTINCT FROM; nil: none.
	NullSafe []bool
	// LeftTime and RightTime are columns of one type, compared as LeftTime Op RightTime.
	LeftTime, RightTime int
	Op                  string
	// Outer keeps left rows without a right one, padded with NULL.
	Outer bool
	// Free says that both times carry watermarks by which state is freed.
	Free bool
	// OnClose says that a left row is sent when the watermark shows that no nearer row can come, and never taken back.
	OnClose bool
}

// Union is UNION ALL: the inputs have one schema.
type Union struct {
	base
	In []Node
}

// SetOp is INTERSECT or EXCEPT [ALL].
type SetOp struct {
	base
	Left, Right Node
	Except      bool
	All         bool
}

// SortKey is a column of the input and its direction.
type SortKey struct {
	Col        int
	Desc       bool
	NullsFirst bool
}

// Sort orders the rows of a snapshot, or of one tick of a changelog.
type Sort struct {
	base
	Input Node
	Keys  []SortKey
}

// TopN keeps, in each partition, the rows Offset .. Offset+Limit in the order of Keys (ties broken by the whole
// row, so that the result is a function of the content). Limit < 0 is none. RankCol appends the row
// number as a last column of type int8. Sorted says that a snapshot must come out in the order of Keys.
type TopN struct {
	base
	Input     Node
	Partition []int
	Keys      []SortKey
	Limit     int64
	Offset    int64
	WithTies  bool
	RankCol   bool
	Sorted    bool
	// Presorted says that the rows of a snapshot come in the order of Keys, and within it of the whole row: the first ones are the result.
	Presorted   bool
	LimitParam  Expr // non-nil until bound: a Param or constant expression
	OffsetParam Expr
	Close       Closing // of partitions
}

// Closing says when partitions or rows of an operator are final.
type Closing struct {
	// Col is the column of the input with a watermark that decides, where By is not NeverCloses. End says
	// that it is a window_end, final when W >= it (another time is final when W > it).
	By  CloseBy
	Col int
	End bool
	// OnClose says that a row is sent once, when it is final. Hold is how much longer than that it waits (WITH DELAY), in microseconds.
	OnClose bool
	Hold    int64
	// FreeLate says that rows of closed partitions are late and their state is freed, also under EMIT CHANGES.
	FreeLate bool
}

// CloseBy names what a watermark makes final.
type CloseBy uint8

// What closes: nothing; partitions, by a column of PARTITION BY; rows, by the first column of ORDER BY.
const (
	NeverCloses CloseBy = iota
	PartitionsClose
	RowsClose
)

// OverCall is one window function call of an Over node.
type OverCall struct {
	Name        string
	Agg         *AggCall // an aggregate used as a window function, else nil
	Args        []int
	Type        vec.Field
	Frame       *ast.Frame
	Lo, Hi      Expr // offsets of the frame, bound
	IgnoreNulls bool
}

// Over appends the results of window functions that share a partitioning and an order.
type Over struct {
	base
	Input     Node
	Partition []int
	Keys      []SortKey
	Calls     []OverCall
	Close     Closing
}

// Emit is the root of a continuous query: it renders the changes of Input as EMIT asks.
type Emit struct {
	base
	Input Node
	Spec  EmitSpec
}

// EmitSpec is EMIT with everything evaluated. Durations are microseconds; 0 is not given.
type EmitSpec struct {
	Trigger                                       ast.EmitTrigger
	Batch, Delay, Period, Hold, Lateness, Timeout int64
	Repeat                                        bool
	Late                                          string // "", drop, error, into
	LateInto                                      string
	Envelope                                      Envelope
	Key                                           []int // columns of Input that identify a row (for pairs and upserts); nil none
	Snapshot                                      bool  // the first content is sent
	Progress                                      bool
	Limit                                         int64 // rows after which the query ends, -1 none
	// Subscribe renders _ts, _progressed, _diff as SUBSCRIBE does.
	Subscribe bool
	// CloseCol is, of AFTER DELAY AND AFTER WATERMARK, the column of Input that tells when a row's window closes: at W >= its
	// value with CloseEnd, else beyond it. Emit sees a mark that is CloseLead microseconds behind the one that closes.
	CloseCol  int
	CloseEnd  bool
	CloseLead int64
	// TimerKey are, of AFTER DELAY, the columns of Input by which changes share a timer; nil is by Key, or the whole row.
	TimerKey []int
	// Hidden is the number of columns at the end of Input that are for Emit alone.
	Hidden int
	// Fold makes Emit send the changes themselves, with their ops, whenever the form would send rows: a view is the fold of them.
	Fold bool
}

// Envelope says which columns EMIT puts before the select list.
type Envelope uint8

// The envelopes: append has none, changelog and upsert have _op and _ts, periodic has _ts.
const (
	EnvelopeAppend Envelope = iota + 1
	EnvelopeChangelog
	EnvelopeUpsert
	EnvelopePeriodic
)

// Inputs implements Node.
func (n *Scan) Inputs() []Node { return nil }

// Inputs implements Node.
func (n *Watermark) Inputs() []Node { return []Node{n.Input} }

// Inputs implements Node.
func (n *Values) Inputs() []Node { return nil }

// Inputs implements Node.
func (n *TableFunc) Inputs() []Node {
	if n.Input == nil {
		return nil
	}
	return []Node{n.Input}
}

// Inputs implements Node.
func (n *ProjectSet) Inputs() []Node { return []Node{n.Input} }

// Inputs implements Node.
func (n *Calc) Inputs() []Node { return []Node{n.Input} }

// Inputs implements Node.
func (n *WindowTVF) Inputs() []Node { return []Node{n.Input} }

// Inputs implements Node.
func (n *Aggregate) Inputs() []Node { return []Node{n.Input} }

// Inputs implements Node.
func (n *Join) Inputs() []Node { return []Node{n.Left, n.Right} }

// Inputs implements Node.
func (n *AsOfJoin) Inputs() []Node { return []Node{n.Left, n.Right} }

// Inputs implements Node.
func (n *Union) Inputs() []Node { return n.In }

// Inputs implements Node.
func (n *SetOp) Inputs() []Node { return []Node{n.Left, n.Right} }

// Inputs implements Node.
func (n *Sort) Inputs() []Node { return []Node{n.Input} }

// Inputs implements Node.
func (n *TopN) Inputs() []Node { return []Node{n.Input} }

// Inputs implements Node.
func (n *Over) Inputs() []Node { return []Node{n.Input} }

// Inputs implements Node.
func (n *Emit) Inputs() []Node { return []Node{n.Input} }
