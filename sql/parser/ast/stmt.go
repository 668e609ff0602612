package ast

// Option is name = value in a WITH list; the value is given as text.
type Option struct {
	Name     string // lower case, with dots: watermark.idle_timeout
	Value    string
	Pos      Pos // of the name
	ValuePos Pos
}

// ColumnDef is a column of CREATE TABLE or SOURCE.
type ColumnDef struct {
	Name       string
	Type       TypeName
	NotNull    bool
	PrimaryKey bool
	Default    Expr
	Generated  Expr   // GENERATED ALWAYS AS (e) STORED
	Identity   string // "", "always", "by default"
	Serial     bool   // serial and its kin
	Sequence   *SequenceOptions
	Collation  string
	// Constraints are those besides NOT NULL, written with the column: they name it alone.
	Constraints []*Constraint
	// Text of the expressions above as written, for the catalog.
	DefaultText, GeneratedText string
	Pos                        Pos
}

// SequenceOptions are those of CREATE and ALTER SEQUENCE and of identity columns; nil where not given.
type SequenceOptions struct {
	Type                              *TypeName
	Start, Increment, Min, Max, Cache *int64
	NoMin, NoMax                      bool
	Cycle                             *bool
	OwnedBy                           *Name // table and column
	OwnedByNone                       bool
	Restart                           bool
	RestartWith                       *int64
	Name                              *Name // SEQUENCE NAME, of identity columns
	Pos                               Pos
}

// Watermark is WATERMARK FOR column [AS expr].
type Watermark struct {
	Column string
	Expr   Expr   // nil: the column itself
	Text   string // of Expr as written
	Pos    Pos
}

// Constraint is a table constraint.
type Constraint struct {
	Name       string
	Kind       string // "primary key", "unique", "check", "foreign key"
	Columns    []string
	Check      Expr
	CheckText  string
	RefTable   *Name
	RefColumns []string
	// OnUpdate and OnDelete are as pg_constraint has them: a no action, r restrict, c cascade, n set null, d set default.
	OnUpdate, OnDelete, Match byte
	Deferrable, Deferred      bool
	NotValid                  bool
	UsingIndex                string // of ALTER TABLE .. ADD UNIQUE USING INDEX
	Pos                       Pos
}

// TableLike is LIKE table of CREATE TABLE. At is where it stands among the columns.
type TableLike struct {
	Table                                                         Name
	At                                                            int
	Defaults, Constraints, Identity, Generated, Indexes, Comments bool
}

// CreateTable is CREATE TABLE or CREATE SOURCE.
type CreateTable struct {
	Source      bool
	Temp        bool
	IfNotExists bool
	Name        Name
	Columns     []ColumnDef // empty: infer from the connector
	Watermark   *Watermark
	Constraints []Constraint
	AppendOnly  bool
	Options     []Option
	// As is CREATE TABLE .. AS query; WithNoData its suffix; Names its column list.
	As         *Query
	AsText     string
	Names      []string
	WithNoData bool
	Like       []TableLike
	OnCommit   string // "", "delete rows", "drop"
}

// CreateView is CREATE [MATERIALIZED] VIEW. Text is the query as written.
type CreateView struct {
	Materialized bool
	OrReplace    bool
	IfNotExists  bool
	Temp         bool
	Name         Name
	Columns      []string
	Query        *Query
	Text         string
	Options      []Option
	WithNoData   bool
}

// CreateSink is CREATE SINK.
type CreateSink struct {
	IfNotExists bool
	Name        Name
	From        *Name
	Query       *Query
	Text        string
	Options     []Option
}

// CreateSchema is CREATE SCHEMA.
type CreateSchema struct {
	IfNotExists bool
	Name        string
	Owner       *RoleSpec // of AUTHORIZATION
	Elements    []Stmt    // CREATE TABLE and VIEW within it
	Texts       []string
	Pos         Pos
}

// CreateIndex is CREATE INDEX, which is accepted.
type CreateIndex struct {
	Unique      bool
	IfNotExists bool
	Name        string
	Table       Name
	Method      string
	Columns     []OrderItem
	Terms       []string // Columns as written
	Where       Expr
	WhereText   string
	Pos         Pos
}

// CreateFunction is CREATE FUNCTION .. LANGUAGE SQL.
type CreateFunction struct {
	OrReplace  bool
	Name       Name
	Params     []FuncParam // the columns of RETURNS TABLE last
	Returns    TypeName    // without a name where RETURNS was not written, or was RETURNS TABLE
	HasBody    bool
	Body       string // of RETURN e: SELECT e
	Return     bool   // the body was written as RETURN e
	Atomic     bool   // the body was written as BEGIN ATOMIC .. END
	Language   string
	Volatility string
	Strict     bool
	Called     bool // CALLED ON NULL INPUT was written
	Parallel   string
	Cost, Rows string
	// BodyPos is where the first character of Body stands in the statement (what it would be, of RETURN), 0 unknown; in
	// a Quoted body each quote takes two characters there.
	BodyPos Pos
	Quoted  bool
}

// FuncParam is a parameter of a function.
type FuncParam struct {
	Mode    byte // i, o, b (INOUT), v (VARIADIC) or t (a column of RETURNS TABLE), as in pg_proc.proargmodes
	Name    string
	Type    TypeName
	Default string // text of the DEFAULT expression, "" none
	Pos     Pos
}

// CreateSequence is CREATE SEQUENCE.
type CreateSequence struct {
	Temp        bool
	IfNotExists bool
	Name        Name
	Options     SequenceOptions
}

// CreateEnum is CREATE TYPE .. AS ENUM.
type CreateEnum struct {
	Name   Name
	Labels []string
}

// CreateComposite is CREATE TYPE .. AS (..).
type CreateComposite struct {
	Name  Name
	Attrs []ColumnDef
}

// CreateDomain is CREATE DOMAIN.
type CreateDomain struct {
	Name        Name
	Type        TypeName
	Default     Expr
	DefaultText string
	NotNull     bool
	Checks      []*Constraint
}

// CreateOther is a CREATE of a kind that streamsql does not have yet (SECRET, CONNECTION, ROLE ..): Kind names it.
type CreateOther struct {
	Kind string
	Name Name
	Pos  Pos
}

// Drop is DROP kind names.
type Drop struct {
	Kind     string // "table", "source", "view", "materialized view", "sink", "schema", "index", "function", ...
	Names    []Name
	Args     [][]TypeName // of functions, where any has a list of types; parallel to Names: nil where there is none
	IfExists bool
	Cascade  bool
	Pos      Pos
}

// Alter is ALTER of anything.
type Alter struct {
	Kind     string
	Name     Name
	Args     []TypeName // of a function
	IfExists bool
	Actions  []*AlterAction
	Sequence *SequenceOptions // of ALTER SEQUENCE
	Pos      Pos
}

// AlterAction is one action of ALTER: Action says what in lower-case words ("rename to", "rename column", "add column", "owner to",
// "set schema", "alter column type", ...). What else is set depends on it.
type AlterAction struct {
	Action     string
	Column     string // also of a constraint, or the neighbour of an enum's new label
	NewName    string
	Role       RoleSpec // of OWNER TO
	Def        *ColumnDef
	Constraint *Constraint
	Type       *TypeName
	Expr       Expr // of USING and SET DEFAULT
	ExprText   string
	Identity   string
	Sequence   *SequenceOptions
	IfExists   bool // of IF NOT EXISTS too
	Cascade    bool
	Before     bool // of ADD VALUE .. BEFORE; else after Column, if that is given
	Pos        Pos
	// Function holds what ALTER FUNCTION sets, of "options".
	Function *CreateFunction
}

// Comment is COMMENT ON kind name IS text; Text nil removes it.
type Comment struct {
	Kind  string // "table", "column", "view", ...
	Name  Name   // of a column: table parts, then the column
	Table Name   // of a constraint: what it is on; without parts for others
	Args  []TypeName
	Text  *string
}

// Merge is MERGE.
type Merge struct {
	With   *With
	Table  Name
	Alias  string
	Source FromItem
	On     Expr
	When   []*MergeWhen
	Pos    Pos
}

// MergeWhen is one WHEN of MERGE. Exactly one of Insert, Update, Delete and Nothing is set.
type MergeWhen struct {
	Matched                 bool
	And                     Expr
	Update, Delete, Nothing bool
	Set                     []Assignment
	Insert                  bool
	Columns                 []string
	ColumnPos               []Pos
	Overriding              string
	Values                  []Expr // nil: DEFAULT VALUES
	Pos                     Pos
}

// Insert is INSERT. Query nil is DEFAULT VALUES.
type Insert struct {
	With      *With
	Table     Name
	Alias     string
	Columns   []string
	ColumnPos []Pos
	// Parts are, beside Columns, the subscripts of columns of which a part is given; nil where no column has any.
	Parts      [][]*Subscript
	Overriding string
	Query      *Query
	OnConflict *OnConflict
	Returning  []SelectItem
}

// OnConflict is ON CONFLICT (target) DO NOTHING or DO UPDATE.
type OnConflict struct {
	// Terms tell which index arbitrates, Classes their operator classes, IndexWhere the condition of a partial one.
	Terms      []*OrderItem
	Classes    []string
	IndexWhere Expr
	Constraint string
	DoNothing  bool
	Set        []Assignment
	Where      Expr
	Pos        Pos
}

// Assignment is column = value; several Columns take a row or a subquery.
type Assignment struct {
	Columns []string
	// Subs are the subscripts of a single array column, outermost first; their X is not set.
	Subs  []*Subscript
	Value Expr
	Pos   Pos
}

// Update is UPDATE.
type Update struct {
	With      *With
	Table     Name
	Alias     string
	Set       []Assignment
	From      []FromItem
	Where     Expr
	Returning []SelectItem
}

// Delete is DELETE.
type Delete struct {
	With      *With
	Table     Name
	Alias     string
	Using     []FromItem
	Where     Expr
	Returning []SelectItem
}

// Truncate is TRUNCATE.
type Truncate struct {
	Names   []Name
	Cascade bool
	Restart bool // RESTART IDENTITY
}

// Copy is COPY. Exactly one of Table, Query and Subscribe is set.
type Copy struct {
	Table                   *Name
	Columns                 []string
	Query                   *Query
	Subscribe               *Subscribe
	From                    bool   // COPY FROM
	File                    string // "" is STDIN or STDOUT
	Program                 bool
	Format                  string // "text", "csv", "binary"
	Delimiter               string // "" default
	Null                    *string
	Header                  string // "", "true", "match"
	Quote                   string
	Escape                  string
	ForceQuote              []string // "*" for all
	ForceNull, ForceNotNull []string
	Encoding                string
	Where                   Expr
	Pos                     Pos
}

// Subscribe is SUBSCRIBE [TO] relation or (query).
type Subscribe struct {
	Relation *Name
	Query    *Query
	Snapshot *bool
	Progress *bool
	AsOf     Expr
	UpTo     Expr
	Pos      Pos
}

// Declare is DECLARE name CURSOR FOR query. Exactly one of Query and Subscribe is set.
type Declare struct {
	Name      string
	Binary    bool
	Scroll    *bool
	Hold      bool
	Query     *Query
	Subscribe *Subscribe
	Pos       Pos
}

// Fetch is FETCH or MOVE.
type Fetch struct {
	Move      bool
	Direction string // "next", "forward", "prior", "backward", "first", "last", "absolute", "relative"
	Count     int64  // with forward and backward; -1 is ALL
	Cursor    string
	Timeout   string // of WITH (timeout = ..), "" if not given
	Pos       Pos
}

// CloseCursor is CLOSE name; "" is CLOSE ALL.
type CloseCursor struct{ Name string }

// Prepare is PREPARE name (types) AS statement.
type Prepare struct {
	Name  string
	Types []TypeName
	Stmt  Stmt
	Text  string // of the statement
	Pos   Pos
}

// Execute is EXECUTE name (args).
type Execute struct {
	Name string
	Args []Expr
	Pos  Pos
}

// Deallocate is DEALLOCATE name; "" is ALL.
type Deallocate struct{ Name string }

// Transaction is BEGIN, COMMIT, ROLLBACK, SAVEPOINT, RELEASE, ROLLBACK TO and SET TRANSACTION.
type Transaction struct {
	Kind      string // "begin", "commit", "rollback", "savepoint", "release", "rollback to", "set transaction", "set session characteristics"
	Savepoint string
	Isolation string // lower case, "" if not given
	ReadOnly  *bool
	// Deferrable is nil if not given. Start says that START TRANSACTION was written.
	Deferrable *bool
	Chain      bool
	Start      bool
}

// Set is SET and RESET. Values are given as text; Default for SET x TO DEFAULT and RESET x; Name "all" for RESET ALL.
type Set struct {
	Name    string // lower case
	Values  []string
	Default bool
	Local   bool
	Pos     Pos
}

// Show is SHOW name ("all" for ALL; "tables", "sources", "views", "materialized views", "sinks", "jobs" list objects).
type Show struct {
	Name string
	Pos  Pos
}

// Discard is DISCARD what.
type Discard struct{ What string }

// Explain is EXPLAIN.
type Explain struct {
	Analyze bool
	Verbose bool
	Format  string // "text" or "json"
	Options map[string]string
	Stmt    Stmt
	Pos     Pos
}

// Refresh is REFRESH MATERIALIZED VIEW, which is accepted.
type Refresh struct{ Name Name }

// Listen is LISTEN, UNLISTEN or NOTIFY.
type Listen struct{ Kind, Channel, Payload string }

// Pause is PAUSE or RESUME of a materialized view or a sink, also as an action of ALTER, which says which of them (Kind).
type Pause struct {
	Resume, Alter bool
	Kind          string
	IfExists      bool
	Name          Name
}

// Backup is BACKUP TO 'directory'. Pos is that of the directory.
type Backup struct {
	Pos int
	Dir string
}

// NoOp is a statement that is accepted and does nothing (LOCK, ANALYZE, VACUUM, CHECKPOINT, SECURITY LABEL ..). Tag is its command tag.
type NoOp struct{ Tag string }

func (*CreateTable) stmt()     {}
func (*CreateView) stmt()      {}
func (*CreateSink) stmt()      {}
func (*CreateSchema) stmt()    {}
func (*CreateIndex) stmt()     {}
func (*CreateFunction) stmt()  {}
func (*CreateOther) stmt()     {}
func (*CreateSequence) stmt()  {}
func (*CreateEnum) stmt()      {}
func (*CreateDomain) stmt()    {}
func (*Merge) stmt()           {}
func (*Drop) stmt()            {}
func (*Alter) stmt()           {}
func (*Comment) stmt()         {}
func (*Insert) stmt()          {}
func (*Update) stmt()          {}
func (*Delete) stmt()          {}
func (*Truncate) stmt()        {}
func (*Copy) stmt()            {}
func (*Subscribe) stmt()       {}
func (*Declare) stmt()         {}
func (*Fetch) stmt()           {}
func (*CloseCursor) stmt()     {}
func (*Prepare) stmt()         {}
func (*Execute) stmt()         {}
func (*Deallocate) stmt()      {}
func (*Transaction) stmt()     {}
func (*Set) stmt()             {}
func (*Show) stmt()            {}
func (*Discard) stmt()         {}
func (*Explain) stmt()         {}
func (*Refresh) stmt()         {}
func (*Listen) stmt()          {}
func (*Backup) stmt()          {}
func (*Pause) stmt()           {}
func (*NoOp) stmt()            {}
func (*CreateComposite) stmt() {}
