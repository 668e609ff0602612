package catalog

import (
	"cmp"
	"maps"
	"slices"

	"streamsql/internal/fn"
	"streamsql/internal/types"
)

// Type is an enum, a domain or a composite type that a user has made. It is immutable: ALTER TYPE makes a new one of the same OID.
type Type struct {
	OID, ArrayOID uint32
	Schema, Name  string
	Kind          byte // e enum, d domain, c composite, as in pg_type.typtype
	// Labels are of an enum, in their order.
	Labels []EnumLabel `json:",omitempty"`
	// Base, Over, NotNull, Default and Checks are of a domain. Over is the OID of the domain, or array of a domain, that it was made over, 0 of another
	// type; Base is without domains.
	Base    types.T       `json:",omitzero"`
	Over    uint32        `json:",omitempty"`
	NotNull bool          `json:",omitempty"`
	Default string        `json:",omitempty"`
	Checks  []*Constraint `json:",omitempty"`
	// Attrs are the columns of a composite type, ClassOID its entry in pg_class.
	Attrs    []TypeAttr `json:",omitempty"`
	ClassOID uint32     `json:",omitempty"`
	Owner    string
}

// TypeAttr is a column of a composite type; Type is the base type where it is of a domain.
type TypeAttr struct {
	Name   string
	Type   types.T
	Domain uint32 `json:",omitempty"`
}

// EnumLabel is a value of an enum.
type EnumLabel struct {
	OID   uint32
	Label string
	Order float32 // pg_enum.enumsortorder
}

// LastOID gives the highest OID that the type has taken.
func (t *Type) LastOID() uint32 {
	last := max(t.OID, t.ArrayOID, t.ClassOID)
	for _, l := range t.Labels {
		last = max(last, l.OID)
	}
	for _, c := range t.Checks {
		last = max(last, c.OID)
	}
	return last
}

// WithType gives a snapshot that also has t, in place of a type of the same OID.
func (s *Snapshot) WithType(t *Type) *Snapshot {
	c := s.clone()
	c.types = maps.Clone(s.types)
	if c.types == nil {
		c.types = map[uint32]*Type{}
	}
	c.types[t.OID] = t
	return c
}

// WithoutTypes gives a snapshot that lacks the types in oids.
func (s *Snapshot) WithoutTypes(oids ...uint32) *Snapshot {
	c := s.clone()
	c.types = maps.Clone(s.types)
	for _, oid := range oids {
		delete(c.types, oid)
	}
	return c
}

// TypeByOID finds a user's type by its OID; nil if there is none.
func (s *Snapshot) TypeByOID(oid uint32) *Type { return s.types[oid] }

// TypeOfArray finds the user's type whose array type has the OID; nil if there is none.
func (s *Snapshot) TypeOfArray(oid uint32) *Type {
	if oid == 0 {
		return nil
	}
	for _, t := range s.types {
		if t.ArrayOID == oid {
			return t
		}
	}
	return nil
}

// IsOver reports whether the values of a declared type (the OID of a domain, of an array of one, or 0, and the base type) are made of those of the
// domain t. Inside says that they are not of it themselves but hold some, as an array or a row does.
func (s *Snapshot) IsOver(declared uint32, base types.T, t *Type) (over, inside bool) {
	if declared == t.OID {
		return true, false
	}
	if u := s.types[declared]; u != nil {
		return s.IsOver(u.Over, u.Base, t)
	}
	if u := s.TypeOfArray(declared); u != nil {
		over, _ = s.IsOver(u.OID, u.Base, t)
		return over, over
	}
	if elem, ok := base.Elem(); ok {
		over, _ = s.IsOver(0, elem, t)
		return over, over
	}
	if u := s.types[base.OID]; u != nil && u.Kind == 'c' {
		for _, a := range u.Attrs {
			if over, _ = s.IsOver(a.Domain, a.Type, t); over {
				return true, true
			}
		}
	}
	return false, false
}

// Types gives the users' types by OID.
func (s *Snapshot) Types() []*Type {
	return slices.SortedFunc(maps.Values(s.types), func(a, b *Type) int { return cmp.Compare(a.OID, b.OID) })
}

// FindType looks a user's type up by its name, in schema if it is given, else along the search path; nil if there is none.
func (s *Snapshot) FindType(schema, name string, path []string) *Type {
	if schema != "" {
		path = []string{schema}
	}
	for _, p := range path {
		for _, t := range s.types {
			if t.Schema == p && t.Name == name {
				return t
			}
		}
	}
	return nil
}

// Register makes the type known to the types of the process.
func (t *Type) Register() {
	in := &types.Info{OID: t.OID, Name: t.Name, Format: fn.QuoteIdent(t.Name), Array: t.ArrayOID, Len: 4, Category: 'E', Type: t.Kind, ByVal: true, Align: 'i'}
	if t.Kind == 'e' {
		in.Enum = &types.Enum{}
		for _, l := range t.Labels {
			in.Enum.Labels = append(in.Enum.Labels, l.Label)
			in.Enum.Orders = append(in.Enum.Orders, l.Order)
		}
	} else if t.Kind == 'c' {
		in.Len, in.Category, in.ByVal, in.Align, in.Rec = -1, 'C', false, 'd', &types.Record{}
		for _, a := range t.Attrs {
			in.Rec.Names, in.Rec.Types = append(in.Rec.Names, a.Name), append(in.Rec.Types, a.Type)
		}
	} else if b := types.InfoOf(t.Base); b != nil {
		in.Len, in.Category, in.ByVal, in.Align = b.Len, b.Category, b.ByVal, b.Align
	}
	array := &types.Info{OID: t.ArrayOID, Name: "_" + t.Name, Format: in.Format + "[]", Len: -1, Category: 'A', Type: 'b', Align: 'i', Elem: t.OID}
	types.Register(in, array)
}

// RegisterRow makes the row type of a relation, as it is now, known to the types of the process.
func (r *Relation) RegisterRow() {
	if r.ArrayOID == 0 || r.Kind == SequenceKind {
		return
	}
	if in := types.InfoOf(types.Of(r.TypeOID)); in != nil && in.Name == r.Name && slices.EqualFunc(r.Columns, in.Rec.Types, func(c Column, t types.T) bool { return c.Type == t }) &&
		slices.EqualFunc(r.Columns, in.Rec.Names, func(c Column, n string) bool { return c.Name == n }) {
		return
	}
	t := &Type{OID: r.TypeOID, ArrayOID: r.ArrayOID, Name: r.Name, Kind: 'c'}
	for _, c := range r.Columns {
		t.Attrs = append(t.Attrs, TypeAttr{Name: c.Name, Type: c.Type})
	}
	t.Register()
}

// FindRow looks the relation up whose row type a name means; nil if there is none.
func (s *Snapshot) FindRow(schema, name string, path []string) *Relation {
	if r := s.Find(schema, name, path); r != nil && r.ArrayOID != 0 && r.Kind != SequenceKind && r.Kind != Sink {
		return r
	}
	return nil
}
