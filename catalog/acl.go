package catalog

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Privileges is a set of rights on an object.
type Privileges uint16

// The privileges, in the order in which an aclitem shows them.
const (
	PrivInsert Privileges = 1 << iota
	PrivSelect
	PrivUpdate
	PrivDelete
	PrivTruncate
	PrivReferences
	PrivTrigger
	PrivExecute
	PrivUsage
	PrivCreate
	PrivTemporary
	PrivConnect
)

const privilegeLetters = "arwdDxtXUCTc"

var privilegeNames = []string{"INSERT", "SELECT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "EXECUTE", "USAGE", "CREATE", "TEMPORARY", "CONNECT"}

// PrivilegeByName reads the name of a privilege in any case; false: there is none of that name.
func PrivilegeByName(name string) (Privileges, bool) {
	name = strings.ToUpper(name)
	if name == "TEMP" {
		name = "TEMPORARY"
	}
	i := slices.Index(privilegeNames, name)
	return 1 << max(i, 0), i >= 0
}

// Names gives the names of the privileges.
func (p Privileges) Names() []string {
	var out []string
	for i, n := range privilegeNames {
		if p&(1<<i) != 0 {
			out = append(out, n)
		}
	}
	return out
}

// ObjectClass is a kind of objects that have privileges.
type ObjectClass uint8

// The classes of objects with privileges.
const (
	RelationClass ObjectClass = iota + 1 // tables, views, materialized views, sources and sinks
	SequenceClass
	ColumnClass
	SchemaClass
	FunctionClass
	TypeClass
	DatabaseClass
	LanguageClass
	SecretClass
)

// All gives the privileges that there are on an object of the class.
func (c ObjectClass) All() Privileges {
	switch c {
	case RelationClass:
		return PrivInsert | PrivSelect | PrivUpdate | PrivDelete | PrivTruncate | PrivReferences | PrivTrigger
	case SequenceClass:
		return PrivSelect | PrivUpdate | PrivUsage
	case ColumnClass:
		return PrivInsert | PrivSelect | PrivUpdate | PrivReferences
	case SchemaClass:
		return PrivUsage | PrivCreate
	case FunctionClass:
		return PrivExecute
	case DatabaseClass:
		return PrivCreate | PrivTemporary | PrivConnect
	}
	return PrivUsage
}

// public gives what everybody may do with an object of the class of which nothing has been granted or revoked.
func (c ObjectClass) public() Privileges {
	switch c {
	case FunctionClass:
		return PrivExecute
	case TypeClass, LanguageClass:
		return PrivUsage
	case DatabaseClass:
		return PrivTemporary | PrivConnect
	}
	return 0
}

// ACLItem is what one role has granted to another, 0 being PUBLIC. Options are the privileges that it may grant on.
type ACLItem struct {
	Grantee, Grantor    uint32
	Privileges, Options Privileges
}

// ACL lists what has been granted on an object; nil is the class's default (see DefaultACL).
type ACL []ACLItem

// DefaultACL gives the privileges on an object of which nothing has been granted or revoked.
func DefaultACL(c ObjectClass, owner uint32) ACL {
	var out ACL
	if p := c.public(); p != 0 {
		out = append(out, ACLItem{Grantor: owner, Privileges: p})
	}
	if c == ColumnClass {
		return out
	}
	return append(out, ACLItem{Grantee: owner, Grantor: owner, Privileges: c.All()})
}

// Grant adds privileges, with options those that may be granted on.
func (a ACL) Grant(grantee, grantor uint32, p, options Privileges) ACL {
	out := slices.Clone(a)
	for i := range out {
		if x := &out[i]; x.Grantee == grantee && x.Grantor == grantor {
			x.Privileges |= p
			x.Options |= options
			return out
		}
	}
	return append(out, ACLItem{grantee, grantor, p, options})
}

// Revoke takes privileges away, and what they have been granted on by grantee; the dependents are the grants by grantee that
// cannot stay, which are left where cascade is false.
func (a ACL) Revoke(grantee, grantor, owner uint32, p, options Privileges, cascade bool) (out ACL, dependents bool) {
	for _, x := range a {
		if x.Grantee == grantee && x.Grantor == grantor {
			x.Privileges &^= p
			x.Options &^= options | p
		}
		if x.Privileges != 0 || x.Options != 0 {
			out = append(out, x)
		}
	}
	lost := options | p
	if grantee == owner || grantee == 0 {
		return out, false
	}
	for _, x := range out {
		if x.Grantee == grantee {
			lost &^= x.Options // from somebody else still
		}
	}
	for _, x := range slices.Clone(out) {
		if x.Grantor != grantee || x.Privileges&lost == 0 {
			continue
		}
		if !cascade {
			return out, true
		}
		out, _ = out.Revoke(x.Grantee, x.Grantor, owner, x.Privileges&lost, x.Privileges&lost, true)
	}
	return out, false
}

// ChangeOwner gives the list after the object has got another owner, who takes the place of the old one.
func (a ACL) ChangeOwner(from, to uint32) ACL {
	var out ACL
	for _, x := range a {
		if x.Grantee == from {
			x.Grantee = to
		}
		if x.Grantor == from {
			x.Grantor = to
		}
		out = out.Grant(x.Grantee, x.Grantor, x.Privileges, x.Options)
	}
	return out
}

// Access is who owns an object, where the object does not say so itself, and what has been granted on it.
type Access struct {
	Owner   string        `json:",omitempty"` // of a schema
	ACL     ACL           // nil the default
	Columns map[int16]ACL `json:",omitempty"` // of a relation, by attribute number
}

// empty says that the access is as if nothing had been said.
func (a *Access) empty() bool {
	return a == nil || a.Owner == "" && a.ACL == nil && len(a.Columns) == 0
}

// Clone gives a copy to change; of nil an empty one.
func (a *Access) Clone() *Access {
	if a == nil {
		return &Access{}
	}
	return &Access{Owner: a.Owner, ACL: slices.Clone(a.ACL), Columns: maps.Clone(a.Columns)}
}

// WithAccess gives a snapshot in which an object has the access; an empty one takes it away.
func (s *Snapshot) WithAccess(oid uint32, a *Access) *Snapshot {
	c := s.clone()
	c.access = maps.Clone(s.access)
	if c.access[oid] = a; a.empty() {
		delete(c.access, oid)
	}
	return c
}

// Access gives what has been granted on an object; nil: nothing.
func (s *Snapshot) Access(oid uint32) *Access { return s.access[oid] }

// Accesses gives all that has been granted by the OIDs of the objects. The map must not be changed.
func (s *Snapshot) Accesses() map[uint32]*Access { return s.access }

// systemAccess is what holds of the objects of every database: public belongs to the owner of the database, and everybody may look into it.
func systemAccess() map[uint32]*Access {
	out := map[uint32]*Access{PublicOID: {Owner: "pg_database_owner", ACL: ACL{
		{Grantee: RoleDatabaseOwner, Grantor: RoleDatabaseOwner, Privileges: SchemaClass.All()},
		{Grantor: RoleDatabaseOwner, Privileges: PrivUsage}}}}
	for _, oid := range []uint32{PgCatalogOID, InformationSchemaOID, SysOID} {
		out[oid] = &Access{ACL: ACL{{Grantee: OwnerOID, Grantor: OwnerOID, Privileges: SchemaClass.All()}, {Grantor: OwnerOID, Privileges: PrivUsage}}}
	}
	return out
}

// secretRelations are the system relations that only superusers may read.
var secretRelations = []string{"pg_authid", "pg_shadow", "pg_hba_file_rules", "pg_ident_file_mappings", "pg_file_settings", "pg_statistic", "pg_subscription",
	"pg_user_mapping", "pg_largeobject"}

// systemRelationACL is what holds of a system relation.
func systemRelationACL(r *Relation) ACL {
	a := ACL{{Grantee: OwnerOID, Grantor: OwnerOID, Privileges: RelationClass.All()}}
	if r.Schema == "pg_catalog" && slices.Contains(secretRelations, r.Name) {
		return a
	}
	return append(a, ACLItem{Grantor: OwnerOID, Privileges: PrivSelect})
}

// Object is something with an owner and privileges.
type Object struct {
	OID   uint32
	Class ObjectClass
	Owner uint32
	Name  string
	// Kind is what messages call it: table, view, sequence, schema, ...
	Kind   string
	access *Access
	fixed  ACL // of a system relation of which nothing was granted
}

// Object gives the owner and privileges of a relation.
func (r *Relation) Object(s *Snapshot) Object {
	o := Object{OID: r.OID, Class: RelationClass, Owner: s.OwnerRole(r.Owner).OID, Name: r.Name, Kind: r.Kind.String(), access: s.access[r.OID]}
	switch r.Kind {
	case SequenceKind:
		o.Class = SequenceClass
	case System:
		o.Owner, o.fixed = OwnerOID, systemRelationACL(r)
		if o.Kind = "table"; r.SystemKind == 'v' {
			o.Kind = "view"
		}
	}
	return o
}

// SchemaObject gives the owner and privileges of a schema.
func (s *Snapshot) SchemaObject(name string, oid uint32) Object {
	o := Object{OID: oid, Class: SchemaClass, Owner: OwnerOID, Name: name, Kind: "schema", access: s.access[oid]}
	if o.access != nil && o.access.Owner != "" {
		o.Owner = s.OwnerRole(o.access.Owner).OID
	}
	return o
}

// Object gives the owner and privileges of a function.
func (f *Function) Object(s *Snapshot) Object {
	return Object{OID: f.OID, Class: FunctionClass, Owner: s.OwnerRole(f.Owner).OID, Name: f.Name, Kind: "function", access: s.access[f.OID]}
}

// Object gives the owner and privileges of a type.
func (t *Type) Object(s *Snapshot) Object {
	return Object{OID: t.OID, Class: TypeClass, Owner: s.OwnerRole(t.Owner).OID, Name: t.Name, Kind: "type", access: s.access[t.OID]}
}

// DatabaseObject gives the owner and privileges of the database.
func (s *Snapshot) DatabaseObject(name string) Object {
	o := Object{OID: DatabaseOID, Class: DatabaseClass, Owner: OwnerOID, Name: name, Kind: "database", access: s.access[DatabaseOID]}
	if o.access != nil && o.access.Owner != "" {
		o.Owner = s.OwnerRole(o.access.Owner).OID
	}
	return o
}

// ACL gives what has been granted on the object, nil where it is the default.
func (o *Object) ACL() ACL {
	if o.access != nil && o.access.ACL != nil {
		return o.access.ACL
	}
	return o.fixed
}

// FullACL gives what has been granted on the object, the default included.
func (o *Object) FullACL() ACL {
	if a := o.ACL(); a != nil {
		return a
	}
	return DefaultACL(o.Class, o.Owner)
}

// ColumnACL gives what has been granted on a column of the relation that the object is.
func (o *Object) ColumnACL(num int16) ACL {
	if o.access == nil {
		return nil
	}
	return o.access.Columns[num]
}

// ColumnACLs gives what has been granted on columns. The map must not be changed.
func (o *Object) ColumnACLs() map[int16]ACL {
	if o.access == nil {
		return nil
	}
	return o.access.Columns
}

// Granted gives those of the privileges want that role has on the object; with options, that it may grant.
func (s *Snapshot) Granted(role uint32, o *Object, want Privileges, options bool) Privileges {
	r := s.roles[role]
	if r == nil {
		return 0
	}
	if r.Super {
		return want
	}
	got := s.granted(role, o.Owner, o.FullACL(), want, options)
	if o.Class == RelationClass && !options && r.OID != 0 {
		// The roles for all data reach user relations and the catalogs that are not secret; sequences have their own class.
		if want&PrivSelect != 0 && s.HasPrivilegesOf(role, RoleReadAllData) {
			got |= PrivSelect
		}
		if w := want & (PrivInsert | PrivUpdate | PrivDelete); w != 0 && o.fixed == nil && s.HasPrivilegesOf(role, RoleWriteAllData) {
			got |= w
		}
	}
	if o.Class == SchemaClass && want&PrivUsage != 0 && !options &&
		(s.HasPrivilegesOf(role, RoleReadAllData) || s.HasPrivilegesOf(role, RoleWriteAllData)) {
		got |= PrivUsage
	}
	if o.Class == SequenceClass && want&PrivSelect != 0 && !options && s.HasPrivilegesOf(role, RoleReadAllData) {
		got |= PrivSelect
	}
	return got
}

func (s *Snapshot) granted(role, owner uint32, acl ACL, want Privileges, options bool) (got Privileges) {
	if options && s.HasPrivilegesOf(role, owner) {
		return want
	}
	for _, x := range acl {
		p := x.Privileges
		if options {
			p = x.Options
		}
		if p&want&^got == 0 {
			continue
		}
		if x.Grantee == 0 && !options || x.Grantee != 0 && s.HasPrivilegesOf(role, x.Grantee) {
			got |= p & want
		}
	}
	return got
}

// GrantedColumn gives those of the privileges want that role has on a column by what was granted on the column itself.
func (s *Snapshot) GrantedColumn(role uint32, o *Object, num int16, want Privileges, options bool) Privileges {
	if r := s.roles[role]; r != nil && r.Super {
		return want
	}
	return s.granted(role, o.Owner, o.ColumnACL(num), want, options)
}

// Text gives the list as relacl and its kind show it; nil is NULL.
func (v *Viewer) aclText(a ACL) any {
	if a == nil {
		return nil
	}
	out := []string{}
	for _, x := range a {
		out = append(out, v.aclItem(x))
	}
	return out
}

// aclItem gives one grant as PostgreSQL's aclitem.
func (v *Viewer) aclItem(x ACLItem) string {
	var b strings.Builder
	if x.Grantee != 0 {
		b.WriteString(aclName(v.RoleName(x.Grantee)))
	}
	b.WriteByte('=')
	for i := range privilegeLetters {
		if x.Privileges&(1<<i) != 0 {
			b.WriteByte(privilegeLetters[i])
			if x.Options&(1<<i) != 0 {
				b.WriteByte('*')
			}
		}
	}
	b.WriteByte('/')
	b.WriteString(aclName(v.RoleName(x.Grantor)))
	return b.String()
}

// aclName quotes the name of a role in an aclitem unless it is plain letters, digits and underscores.
func aclName(n string) string {
	for _, c := range n {
		if c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return `"` + strings.ReplaceAll(n, `"`, `""`) + `"`
		}
	}
	return n
}

// RoleName gives the name of a role as the viewer sees it: whoever the bootstrap superuser has let in without a role of their
// own sees themselves in its place.
func (v *Viewer) RoleName(oid uint32) string {
	if oid == OwnerOID && v.Alias != "" {
		return v.Alias
	}
	if r := v.Snapshot.roles[oid]; r != nil {
		return r.Name
	}
	return strconv.FormatUint(uint64(oid), 10)
}

// ownerName gives the name of an owner as the viewer sees it.
func (v *Viewer) ownerName(owner string) string { return v.RoleName(v.Snapshot.OwnerRole(owner).OID) }

// ownerOID gives the OID of an owner.
func (v *Viewer) ownerOID(owner string) uint32 { return v.Snapshot.OwnerRole(owner).OID }
