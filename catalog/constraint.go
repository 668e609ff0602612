package catalog

import (
	"slices"
	"strings"

	"streamsql/internal/fn"
	"streamsql/internal/types"
)

// Kinds of constraints, as pg_constraint.contype.
const (
	CheckConstraint   byte = 'c'
	UniqueConstraint  byte = 'u'
	ForeignConstraint byte = 'f'
)

// Constraint is a CHECK, UNIQUE or FOREIGN KEY constraint of a table. Columns are attribute numbers.
type Constraint struct {
	OID      uint32
	IndexOID uint32 `json:",omitempty"` // of UNIQUE
	Name     string
	Kind     byte
	Columns  []int16
	Expr     string `json:",omitempty"` // of CHECK
	// Of FOREIGN KEY: the table and columns referred to, and pg_constraint.confupdtype, confdeltype (a no action, r restrict,
	// c cascade, n set null, d set default) and confmatchtype (s simple, f full).
	Ref                       uint32  `json:",omitempty"`
	RefColumns                []int16 `json:",omitempty"`
	OnUpdate, OnDelete, Match byte    `json:",omitempty"`
	Deferrable, Deferred      bool    `json:",omitempty"`
	NotValid                  bool    `json:",omitempty"`
	Comment                   string  `json:",omitempty"`
	IndexComment              string  `json:",omitempty"`
}

// IndexDef is an index that CREATE INDEX made. Only a unique one has an effect.
type IndexDef struct {
	OID     uint32
	Name    string
	Unique  bool
	Method  string
	Columns []int16  // attribute numbers, 0 for an expression
	Terms   []string // as written, with direction and operator class
	Where   string   `json:",omitempty"`
	Comment string   `json:",omitempty"`
}

// Binding says what a relation's name in a view's definition means: the relation and its columns, by the names that they had
// when the definition was written. Used lists the attribute numbers of the columns that the definition reads.
type Binding struct {
	Name    string // as written, parts joined by dots
	OID     uint32
	Columns []BoundColumn
	Used    []int16
}

// BoundColumn is a column of a Binding.
type BoundColumn struct {
	Num  int16
	Name string
}

// Sequence is what CREATE SEQUENCE declares.
type Sequence struct {
	Type                       types.T
	Start, Increment, Min, Max int64
	Cache                      int64
	Cycle                      bool
	Owner                      uint32 // the table of OWNED BY, 0 none
	OwnerColumn                int16
	Identity                   bool // of an identity column: it goes only with that
}

// IndexInfo describes an index, of a primary key, a unique constraint or CREATE INDEX.
type IndexInfo struct {
	Rel     *Relation
	OID     uint32
	Name    string
	Unique  bool
	Primary bool
	Method  string
	// Columns are indexes into Rel.Columns, -1 for an expression; Terms what stands in the definition.
	Columns    []int
	Terms      []string
	Where      string
	Constraint *Constraint // of UNIQUE
	Comment    string
}

// AllIndexes gives the indexes of a relation, the primary key's first.
func (r *Relation) AllIndexes() []IndexInfo {
	var out []IndexInfo
	names := func(cols []int) (terms []string) {
		for _, c := range cols {
			terms = append(terms, fn.QuoteIdent(r.Columns[c].Name))
		}
		return terms
	}
	if r.PrimaryKey != nil {
		out = append(out, IndexInfo{Rel: r, OID: r.PrimaryKeyOID, Name: r.PrimaryKeyName, Unique: true, Primary: true, Method: "btree",
			Columns: r.PrimaryKey, Terms: names(r.PrimaryKey), Comment: r.KeyIndexComment})
	}
	for _, c := range r.Constraints {
		if c.Kind == UniqueConstraint {
			cols := r.ColumnsByNum(c.Columns)
			out = append(out, IndexInfo{Rel: r, OID: c.IndexOID, Name: c.Name, Unique: true, Method: "btree", Columns: cols, Terms: names(cols),
				Constraint: c, Comment: c.IndexComment})
		}
	}
	for _, x := range r.Indexes {
		out = append(out, IndexInfo{Rel: r, OID: x.OID, Name: x.Name, Unique: x.Unique, Method: x.Method, Columns: r.ColumnsByNum(x.Columns),
			Terms: x.Terms, Where: x.Where, Comment: x.Comment})
	}
	return out
}

// ColumnsByNum gives the positions of columns, -1 for one that is not there.
func (r *Relation) ColumnsByNum(nums []int16) []int {
	out := make([]int, len(nums))
	for i, n := range nums {
		out[i] = r.ColumnByNum(n)
	}
	return out
}

// Attnums gives the attribute numbers of columns.
func (r *Relation) Attnums(cols []int) []int16 {
	out := make([]int16, len(cols))
	for i, c := range cols {
		out[i] = r.Attnum(c)
	}
	return out
}

// FindConstraint finds a constraint besides the primary key by its name; nil if there is none.
func (r *Relation) FindConstraint(name string) *Constraint {
	for _, c := range r.Constraints {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// Clone gives a copy whose columns, constraints and lists may be changed.
func (r *Relation) Clone() *Relation {
	c := *r
	c.Columns = slices.Clone(r.Columns)
	c.PrimaryKey = slices.Clone(r.PrimaryKey)
	c.Options = slices.Clone(r.Options)
	c.Calls = slices.Clone(r.Calls)
	c.Constraints, c.Indexes = nil, nil
	for _, x := range r.Constraints {
		k := *x
		c.Constraints = append(c.Constraints, &k)
	}
	for _, x := range r.Indexes {
		k := *x
		c.Indexes = append(c.Indexes, &k)
	}
	if r.Watermark != nil {
		w := *r.Watermark
		c.Watermark = &w
	}
	if r.Sequence != nil {
		q := *r.Sequence
		c.Sequence = &q
	}
	return &c
}

// Definition writes the statement that would make the index.
func (x *IndexInfo) Definition() string {
	unique := ""
	if x.Unique {
		unique = "UNIQUE "
	}
	s := "CREATE " + unique + "INDEX " + fn.QuoteIdent(x.Name) + " ON " + fn.QuoteIdent(x.Rel.Schema) + "." + fn.QuoteIdent(x.Rel.Name) +
		" USING " + x.Method + " (" + strings.Join(x.Terms, ", ") + ")"
	if x.Where != "" {
		s += " WHERE (" + x.Where + ")"
	}
	return s
}

func (r *Relation) nameList(nums []int16) string {
	names := make([]string, 0, len(nums))
	for _, c := range r.ColumnsByNum(nums) {
		if c >= 0 {
			names = append(names, fn.QuoteIdent(r.Columns[c].Name))
		}
	}
	return strings.Join(names, ", ")
}

// Definition writes a constraint as pg_get_constraintdef does. s says what a foreign key refers to, path what needs no schema.
func (c *Constraint) Definition(s *Snapshot, r *Relation, path []string) string {
	var out string
	switch c.Kind {
	case CheckConstraint:
		return "CHECK ((" + c.Expr + "))" + notValid(c)
	case UniqueConstraint:
		out = "UNIQUE (" + r.nameList(c.Columns) + ")"
	case ForeignConstraint:
		ref := s.ByOID(c.Ref)
		if ref == nil {
			return ""
		}
		out = "FOREIGN KEY (" + r.nameList(c.Columns) + ") REFERENCES " + s.QualifiedName(ref, path) + "(" + ref.nameList(c.RefColumns) + ")"
		if c.Match == 'f' {
			out += " MATCH FULL"
		}
		if a := actionName(c.OnUpdate); a != "" {
			out += " ON UPDATE " + a
		}
		if a := actionName(c.OnDelete); a != "" {
			out += " ON DELETE " + a
		}
	}
	if c.Deferrable {
		out += " DEFERRABLE"
	}
	if c.Deferred {
		out += " INITIALLY DEFERRED"
	}
	return out + notValid(c)
}

func notValid(c *Constraint) string {
	if c.NotValid {
		return " NOT VALID"
	}
	return ""
}

func actionName(a byte) string {
	switch a {
	case 'r':
		return "RESTRICT"
	case 'c':
		return "CASCADE"
	case 'n':
		return "SET NULL"
	case 'd':
		return "SET DEFAULT"
	}
	return ""
}

// QualifiedName gives a relation's name, quoted where it must be, with its schema unless it is found along path without.
func (s *Snapshot) QualifiedName(r *Relation, path []string) string {
	if s.Find("", r.Name, path) == r {
		return fn.QuoteIdent(r.Name)
	}
	return fn.QuoteIdent(r.Schema) + "." + fn.QuoteIdent(r.Name)
}

// DefaultText gives the DEFAULT of a column as SQL, "" where there is none (identity columns have none).
func (s *Snapshot) DefaultText(c *Column, path []string) string {
	if c.Sequence == 0 || c.Identity != "" {
		return defaultText(c)
	}
	seq := s.ByOID(c.Sequence)
	if seq == nil {
		return ""
	}
	return "nextval('" + strings.ReplaceAll(s.QualifiedName(seq, path), "'", "''") + "'::regclass)"
}

// IndexByOID finds an index; nil if there is none.
func (s *Snapshot) IndexByOID(oid uint32) *IndexInfo {
	s.derive()
	return s.indexes[oid]
}

// FindIndex looks an index up by its name, in schema if it is given, else along the search path. A relation of the same
// name earlier in the path hides the index: then, too, the answer is nil.
func (s *Snapshot) FindIndex(schema, name string, path []string) *IndexInfo {
	if schema != "" {
		path = []string{schema}
	}
	s.derive()
	for _, p := range path {
		if s.Get(p, name) != nil {
			return nil
		}
		for _, x := range s.indexes {
			if x.Rel.Schema == p && x.Name == name {
				return x
			}
		}
	}
	return nil
}

// Referring gives the foreign keys that refer to a relation, with the tables that have them.
func (s *Snapshot) Referring(oid uint32) (rels []*Relation, keys []*Constraint) {
	s.derive()
	for _, r := range s.referring[oid] {
		for _, c := range r.Constraints {
			if c.Kind == ForeignConstraint && c.Ref == oid {
				rels, keys = append(rels, r), append(keys, c)
			}
		}
	}
	return rels, keys
}

// PrimaryKeyConOID gives the OID of the primary key as a constraint; PrimaryKeyOID is its index's.
func (r *Relation) PrimaryKeyConOID() uint32 {
	if r.PrimaryKeyCon != 0 {
		return r.PrimaryKeyCon
	}
	return r.PrimaryKeyOID
}

// keyIndex gives the index of the key with these columns, 0 if there is none.
func (r *Relation) keyIndex(nums []int16) uint32 {
	for _, x := range r.AllIndexes() {
		if x.Unique && slices.Equal(r.Attnums(x.Columns), nums) {
			return x.OID
		}
	}
	return 0
}
