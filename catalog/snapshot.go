package catalog

import (
	"maps"
	"slices"
	"sync"
)

// Snapshot is the catalog at one moment. It is immutable; With and Without make changed copies.
type Snapshot struct {
	Version   uint64
	schemas   map[string]uint32
	relations map[string]map[string]*Relation // schema, name
	byOID     map[uint32]*Relation
	functions map[uint32]*Function
	types     map[uint32]*Type
	comments  map[uint32]string // of schemas and types
	roles     map[uint32]*Role
	access    map[uint32]*Access // by the OID of the object

	derived sync.Once // of the maps above, made when first asked for
	sorted  []*Relation
	indexes map[uint32]*IndexInfo
	// referring lists, for a table, the tables with foreign keys to it.
	referring map[uint32][]*Relation
}

// The schemas that exist in every snapshot, with PostgreSQL's OIDs where it has them.
const (
	PgCatalogOID         uint32 = 11
	PublicOID            uint32 = 2200
	InformationSchemaOID uint32 = 13000
	SysOID               uint32 = 13001
	// FirstUserOID is the first OID given to what users make.
	FirstUserOID uint32 = 16384
)

// NewSnapshot gives a catalog with the system schemas and their relations, and an empty public.
func NewSnapshot(system []*Relation) *Snapshot {
	s := &Snapshot{
		schemas: map[string]uint32{"pg_catalog": PgCatalogOID, "public": PublicOID,
			"information_schema": InformationSchemaOID, "sys": SysOID},
		relations: map[string]map[string]*Relation{},
		byOID:     map[uint32]*Relation{},
		roles:     systemRoles(), access: systemAccess(),
	}
	for _, r := range system {
		s.put(r)
	}
	return s
}

func (s *Snapshot) put(r *Relation) {
	if s.relations[r.Schema] == nil {
		s.relations[r.Schema] = map[string]*Relation{}
	}
	s.relations[r.Schema][r.Name] = r
	s.byOID[r.OID] = r
}

func (s *Snapshot) clone() *Snapshot {
	c := &Snapshot{Version: s.Version + 1, schemas: maps.Clone(s.schemas), byOID: maps.Clone(s.byOID), functions: maps.Clone(s.functions),
		types: s.types, comments: s.comments, roles: s.roles, access: s.access,
		relations: make(map[string]map[string]*Relation, len(s.relations))}
	for k, v := range s.relations {
		c.relations[k] = maps.Clone(v)
	}
	return c
}

// With gives a snapshot that also has r, in place of a relation of the same OID or name.
func (s *Snapshot) With(r *Relation) *Snapshot {
	c := s.clone()
	if old := c.byOID[r.OID]; old != nil && c.relations[old.Schema][old.Name] == old {
		delete(c.relations[old.Schema], old.Name)
	}
	c.put(r)
	return c
}

// Without gives a snapshot that lacks the relations in oids.
func (s *Snapshot) Without(oids ...uint32) *Snapshot {
	c := s.clone()
	for _, oid := range oids {
		if r := c.byOID[oid]; r != nil {
			if c.relations[r.Schema][r.Name] == r {
				delete(c.relations[r.Schema], r.Name)
			}
			delete(c.byOID, oid)
		}
	}
	return c
}

// WithSchema gives a snapshot that also has the schema name.
func (s *Snapshot) WithSchema(name string, oid uint32) *Snapshot {
	c := s.clone()
	c.schemas[name] = oid
	return c
}

// WithoutSchema gives a snapshot without the schema name.
func (s *Snapshot) WithoutSchema(name string) *Snapshot {
	c := s.clone()
	delete(c.schemas, name)
	return c
}

// SchemaOID gives the OID of a schema.
func (s *Snapshot) SchemaOID(name string) (uint32, bool) {
	oid, ok := s.schemas[name]
	return oid, ok
}

// WithComment gives a snapshot in which the schema or type oid has a comment; "" takes it away.
func (s *Snapshot) WithComment(oid uint32, text string) *Snapshot {
	c := s.clone()
	c.comments = maps.Clone(s.comments)
	if c.comments == nil {
		c.comments = map[uint32]string{}
	}
	if c.comments[oid] = text; text == "" {
		delete(c.comments, oid)
	}
	return c
}

// Comment gives the comment on a schema or type, "" if there is none.
func (s *Snapshot) Comment(oid uint32) string { return s.comments[oid] }

// Comments gives the comments on schemas and types by OID. The map must not be changed.
func (s *Snapshot) Comments() map[uint32]string { return s.comments }

// Schemas gives the names of all schemas, sorted.
func (s *Snapshot) Schemas() []string { return slices.Sorted(maps.Keys(s.schemas)) }

// Get finds a relation by schema and name; nil if there is none.
func (s *Snapshot) Get(schema, name string) *Relation { return s.relations[schema][name] }

// ByOID finds a relation by its OID; nil if there is none.
func (s *Snapshot) ByOID(oid uint32) *Relation { return s.byOID[oid] }

// Find looks a name up: in schema if it is given, else along the search path, pg_catalog first unless the path names it.
func (s *Snapshot) Find(schema, name string, path []string) *Relation {
	if schema != "" {
		return s.Get(schema, name)
	}
	if !slices.Contains(path, "pg_catalog") {
		if r := s.Get("pg_catalog", name); r != nil {
			return r
		}
	}
	for _, p := range path {
		if r := s.Get(p, name); r != nil {
			return r
		}
	}
	return nil
}

// derive makes what is worked out of the relations.
func (s *Snapshot) derive() {
	s.derived.Do(func() {
		s.sorted = slices.Collect(maps.Values(s.byOID))
		slices.SortFunc(s.sorted, func(a, b *Relation) int { return int(a.OID) - int(b.OID) })
		s.indexes, s.referring = map[uint32]*IndexInfo{}, map[uint32][]*Relation{}
		for _, r := range s.sorted {
			all := r.AllIndexes()
			for i := range all {
				s.indexes[all[i].OID] = &all[i]
			}
			for _, c := range r.Constraints {
				if c.Kind == ForeignConstraint && !slices.Contains(s.referring[c.Ref], r) {
					s.referring[c.Ref] = append(s.referring[c.Ref], r)
				}
			}
		}
	})
}

// Relations gives all relations by OID. The slice must not be changed.
func (s *Snapshot) Relations() []*Relation {
	s.derive()
	return s.sorted
}

// Feeds reports whether what is put into relation oid gets into one of the relations reads: they are the relation itself, or
// views over it, or what these put rows into.
func (s *Snapshot) Feeds(oid uint32, reads []uint32) bool {
	reached := map[uint32]bool{oid: true}
	for grown := true; grown; {
		grown = false
		for _, r := range s.Relations() {
			for _, on := range r.Depends {
				if !reached[on] {
					continue
				}
				for _, x := range append([]uint32{r.OID}, r.Writes...) {
					grown = grown || !reached[x]
					reached[x] = true
				}
			}
		}
	}
	for _, x := range reads {
		if reached[x] {
			return true
		}
	}
	return false
}
