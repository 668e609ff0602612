// Package fn is the table of everything that computes: scalar functions,
// operators, casts, set-returning functions and aggregates. An entry holds both
// the signature that the planner resolves against and the vectorised kernel that
// operators run, so that a function is added in one place.
package fn

import (
	"streamsql/internal/mem"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/state"
)

// Volatility is PostgreSQL's provolatile.
type Volatility byte

// The volatilities. Immutable calls on constants are folded at plan time;
// Stable ones (now, current_setting) once per statement.
const (
	Immutable Volatility = 'i'
	Stable    Volatility = 's'
	Volatile  Volatility = 'v'
)

// Ctx is what kernels may know of the statement that they run in. It is not shared between goroutines.
type Ctx struct {
	Env     types.Env // time zone, DateStyle, IntervalStyle, ...
	Now     vec.Time  // start of the transaction: now()
	StmtNow vec.Time  // start of the statement: statement_timestamp()
	Clock   func() vec.Time
	Alloc   vec.Allocator
	// Memory is asked before a large value is made; nil has room for everything.
	Memory *mem.Account
	// Session answers the system information functions; nil outside a session.
	Session SessionInfo
	// Done is closed when the statement is cancelled; nil: never. Functions that wait honour it.
	Done <-chan struct{}
}

// SessionInfo is what the system information functions ask of the session and its catalog snapshot.
type SessionInfo interface {
	CurrentUser() string
	SessionUser() string
	CurrentDatabase() string
	SearchPath(implicit bool) []string // schemas that exist; implicit adds pg_catalog
	Setting(name string) (value string, ok bool)
	SetSetting(name, value string, local bool) error
	BackendPID() int32
	// RegObject resolves a name to an OID for a reg* type (class, type, proc, namespace, role, collation), and back.
	RegLookup(kind types.T, name string) (oid uint32, err error)
	RegName(kind types.T, oid uint32) (name string, ok bool)
	// Describe answers pg_get_viewdef, obj_description and their kind: what names the
	// function, args are its arguments. ok false gives NULL.
	Describe(what string, args []types.Datum) (d types.Datum, ok bool)
}

// Kernel computes a column: out[i] = f(args[0][i], ...) for the args[0].N rows
// (for functions without arguments out.N is set before the call). For a Strict
// function the caller has called out.Reset(kind, n) with the right n for
// fixed-width kinds (n = 0 for variable-width ones, which append) and has ANDed
// the validity of the arguments into out: lanes that are NULL may compute
// anything, but must not fail, and variable-width kernels must append exactly one
// (empty) value for them with AppendLane. A row that fails is reported with
// out.Fail. n is the number of rows.
type Kernel func(c *Ctx, args []*vec.Vec, out *vec.Vec, n int)

// SetKernel gives the rows of a set-returning function for one row of arguments. emit has the columns of Func.Cols.
type SetKernel func(c *Ctx, args []types.Datum, emit *vec.Builder) error

// Func is a scalar or set-returning function, or an operator.
type Func struct {
	OID    uint32 // of pg_proc (or of pg_operator where IsOp), 0 for ours
	Schema string // "" is pg_catalog
	Name   string // lower case; for an operator its symbol
	IsOp   bool
	// Args may hold the polymorphic pseudo-types. A prefix operator has one argument.
	Args     []types.T
	ArgNames []string // may be nil
	// DefaultText are the literals of the last arguments, which may be left out.
	DefaultText []string
	Variadic    bool // the last argument repeats (Args holds its element type, or "any")
	Ret         types.T
	// RetOf computes the result type from the actual argument types, where Ret does not say it all.
	RetOf      func(args []types.T) types.T
	Strict     bool
	Volatility Volatility
	Kernel     Kernel
	// Set and Cols are of set-returning functions: Cols names the result's columns (one: named after the function).
	Set     SetKernel
	Cols    func(args []types.T) []vec.Field
	Commute string // operators: the name of the commutator
	Negate  string
	Doc     string

	// bind makes the kernel of one call, for functions that must know the types of
	// polymorphic arguments; arrayBind that of a call with VARIADIC.
	bind, arrayBind func(args []types.T, ret types.T) Kernel
	user            *UserCall // of a function that a session runs
}

// AggOptions says how an aggregate will be fed.
type AggOptions struct {
	Retract bool      // deletes will come
	Args    []types.T // actual argument types, after coercion
	Ret     types.T
	Ctx     *Ctx
}

// Agg is an aggregate function.
type Agg struct {
	OID      uint32
	Name     string
	Args     []types.T
	Variadic bool
	Ret      types.T
	RetOf    func(args []types.T) types.T
	// Ordered says that the result depends on the order of the input (array_agg, string_agg);
	// the executor then feeds each group in the ORDER BY of the call, see Aggregate.Update.
	Ordered bool
	// WithinGroup says that it is called as f(direct args) WITHIN GROUP (ORDER BY ..).
	WithinGroup bool
	// SkipNulls says that rows with a NULL argument are left out before Update.
	SkipNulls bool
	New       func(AggOptions) Aggregate
	Doc       string
}

// Aggregate holds the states of one aggregate call for all groups, addressed by
// dense group ids. It is used by one goroutine.
type Aggregate interface {
	// Grow makes room for groups 0..n-1; new ones are empty.
	Grow(n int)
	// Update adds row i of args to group ids[i] (ops[i] == Delete takes it away; ops nil: all inserts).
	// For an aggregate with SkipNulls, rows with NULL arguments have been removed.
	Update(ids []uint32, args []*vec.Vec, ops []vec.Op)
	// Merge adds group src[i] of from, an Aggregate made with the same options, to group dst[i].
	Merge(dst []uint32, from Aggregate, src []uint32)
	// Result appends the value of each group in ids to out, which has the result's kind.
	// A value that cannot be computed (a sum out of range) is appended with AppendNull and out.Fail.
	Result(ids []uint32, out *vec.Vec)
	// Clear empties the groups in ids, so that their ids can be given out again.
	Clear(ids []uint32)
	// Snapshot writes the states of ids, in their order; Restore reads them back for the same ids.
	Snapshot(ids []uint32, w *state.Writer)
	Restore(ids []uint32, r *state.Reader) error
	// Bytes estimates the memory held.
	Bytes() int
}

// CastContext is PostgreSQL's castcontext.
type CastContext byte

// The contexts, from the most to the least permissive use.
const (
	Implicit   CastContext = 'i'
	Assignment CastContext = 'a'
	Explicit   CastContext = 'e'
)

// Cast converts one type to another. Kernel is called as for a strict function;
// mod is the modifier of the target type (-1 none), explicit says that the cast
// was written, which makes varchar(n) truncate instead of fail.
type Cast struct {
	From, To types.T
	Context  CastContext
	Kernel   func(c *Ctx, in, out *vec.Vec, n int, mod int32, explicit bool)
	// Binary says that the representation is the same and no kernel is needed (but for the modifier).
	Binary bool

	modDone bool // Kernel applies the modifier itself
}
