// Package catalog holds what exists: immutable snapshots of schemas and
// relations, and pg_catalog and information_schema as relations over a snapshot.
package catalog

import (
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// RelKind says what a relation is.
type RelKind uint8

// The relation kinds, with pg_class.relkind in parentheses.
const (
	Table        RelKind = iota + 1 // rows are kept (r)
	Source                          // rows flow through (f)
	View                            // a stored query (v)
	MatView                         // a continuously maintained query (m)
	Sink                            // (f, not shown by default)
	Index                           // of a primary key (i)
	System                          // pg_catalog, information_schema, sys (r or v)
	SequenceKind                    // numbers for nextval (S)
)

func (k RelKind) String() string {
	return [...]string{"", "table", "source", "view", "materialized view", "sink", "index", "system relation", "sequence"}[k]
}

// Column is a column of a relation.
type Column struct {
	Name      string
	Type      types.T
	NotNull   bool
	Default   string // SQL text, "" none
	Generated string // SQL text of GENERATED ALWAYS AS, "" none
	Identity  string // "", "always", "by default"
	Comment   string
	// Num is the attribute number, which stays when columns before it are dropped; 0 is the position. See Relation.Attnum.
	Num int16 `json:",omitempty"`
	// Sequence is the OID of the sequence that gives the values of a serial or identity column, or of DEFAULT nextval(..); 0 none.
	// Default is empty then: see Snapshot.DefaultText.
	Sequence uint32 `json:",omitempty"`
	// Domain is the OID of the domain that the column was declared with, 0 none; Type is its base type.
	Domain uint32 `json:",omitempty"`
}

// Watermark declares the event-time column of a relation and the expression whose
// prefix maximum is its watermark.
type Watermark struct {
	Column int    // index into Columns
	Expr   string // SQL text over the relation's columns; "" is the column itself
}

// Relation is a table, source, view or sink. It is immutable: DDL makes a new one.
type Relation struct {
	OID            uint32
	TypeOID        uint32 // its row type
	ArrayOID       uint32 `json:",omitempty"` // the array of its row type; 0 where there is none: of system relations
	Schema         string
	Name           string
	Kind           RelKind
	Columns        []Column
	PrimaryKey     []int // indexes into Columns; nil none
	PrimaryKeyName string
	PrimaryKeyOID  uint32 // of its index
	PrimaryKeyCon  uint32 `json:",omitempty"` // of the constraint
	AppendOnly     bool
	Watermark      *Watermark
	Options        []Option // of WITH, in order
	Definition     string   // of views and sinks: the query's text
	// Path and Settings are what the definition was written under: the schemas where its names are looked up, and the
	// settings that constants and functions in it depend on. They hold whoever reads the view.
	Path     []string          `json:",omitempty"`
	Settings map[string]string `json:",omitempty"`
	Owner    string
	Comment  string
	// Depends lists the OIDs of the relations that the definition reads.
	Depends []uint32
	// Calls lists the OIDs of the functions that the definition calls, directly or not.
	Calls []uint32 `json:",omitempty"`
	// Writes lists the OIDs of the tables that a view puts late rows into.
	Writes []uint32 `json:",omitempty"`
	// Key and Retracts are of materialized views: the key that the plan proves, and whether rows may be taken back.
	Key      []int
	Retracts bool
	// Paused says of a materialized view or a sink that it stands still until RESUME.
	Paused bool `json:",omitempty"`
	// Bounded says of a source that its input ends.
	Bounded bool
	// LastNum is the highest attribute number that was ever given; 0 is the number of columns.
	LastNum int16 `json:",omitempty"`
	// LayoutVersion changes with the columns: what was planned for another one does not fit.
	LayoutVersion uint32 `json:",omitempty"`
	// Constraints are those besides NOT NULL and the primary key, in the order in which they were made.
	Constraints []*Constraint `json:",omitempty"`
	// Indexes are those that CREATE INDEX made.
	Indexes []*IndexDef `json:",omitempty"`
	// KeyComment and KeyIndexComment are the comments on the primary key and its index.
	KeyComment, KeyIndexComment string `json:",omitempty"`
	// Sequence is what a sequence gives; nil of other relations.
	Sequence *Sequence `json:",omitempty"`
	// Temp says that the relation belongs to one session and ends with it. OnCommit is what COMMIT does: "", "delete rows", "drop".
	Temp     bool   `json:",omitempty"`
	OnCommit string `json:",omitempty"`
	// Bound says what the names in Definition mean, whatever has been renamed or added since it was written.
	Bound []Binding `json:",omitempty"`
	// SystemKind is the relkind of a System relation.
	SystemKind byte
	// Fill gives the rows of a System relation; nil for others.
	Fill func(v *Viewer, b *vec.Builder) error `json:"-"`
}

// Option is name = value of a WITH clause.
type Option struct{ Name, Value string }

// Option gives the value of an option, "" and false where it is not set.
func (r *Relation) Option(name string) (string, bool) {
	for _, o := range r.Options {
		if o.Name == name {
			return o.Value, true
		}
	}
	return "", false
}

// ColumnIndex finds a column by name, -1 if there is none.
func (r *Relation) ColumnIndex(name string) int {
	for i := range r.Columns {
		if r.Columns[i].Name == name {
			return i
		}
	}
	return -1
}

// Attnum gives the attribute number of a column by its index.
func (r *Relation) Attnum(i int) int16 {
	if n := r.Columns[i].Num; n != 0 {
		return n
	}
	return int16(i + 1)
}

// ColumnByNum finds a column by its attribute number, -1 if there is none (any more).
func (r *Relation) ColumnByNum(num int16) int {
	for i := range r.Columns {
		if r.Attnum(i) == num {
			return i
		}
	}
	return -1
}

// NextNum gives the attribute number of the next column that is added.
func (r *Relation) NextNum() int16 { return max(r.LastNum, int16(len(r.Columns))) + 1 }

// Fields gives the relation's columns as the fields of a batch.
func (r *Relation) Fields() *vec.Schema {
	s := &vec.Schema{Fields: make([]vec.Field, len(r.Columns))}
	for i, c := range r.Columns {
		s.Fields[i] = vec.Field{Name: c.Name, Type: c.Type}
	}
	return s
}

// Viewer is who looks at the system relations: a snapshot and what only the running engine knows.
type Viewer struct {
	Snapshot *Snapshot
	Database string
	User     string // the name of the current role
	Role     uint32 // its OID
	// Alias is the name under which the bootstrap superuser is shown, "" its own: see RoleName.
	Alias string
	Path  []string // the search path: what needs no schema where it is named
	// Live answers for relations about the running engine (pg_stat_activity, sys.jobs, pg_settings, ...):
	// it appends the rows of the named relation. May be nil.
	Live func(relation string, b *vec.Builder) error
}
