package catalog

import (
	"maps"
	"slices"
)

// Role is a user or a group of users. It is immutable: ALTER ROLE makes a new one of the same OID.
type Role struct {
	OID         uint32
	Name        string
	Super       bool `json:",omitempty"`
	Inherit     bool `json:",omitempty"` // has the privileges of the roles that it is a member of without SET ROLE
	CreateRole  bool `json:",omitempty"`
	CreateDB    bool `json:",omitempty"`
	Login       bool `json:",omitempty"`
	Replication bool `json:",omitempty"`
	BypassRLS   bool `json:",omitempty"`
	ConnLimit   int  // sessions that the role may have at once, -1 without limit
	// Password is a verifier in PostgreSQL's form, SCRAM-SHA-256$..., never the password; "" is none.
	Password   string `json:",omitempty"`
	ValidUntil *int64 `json:",omitempty"` // microseconds since 1970 UTC when the password expires; nil never
	// MemberOf are the roles that this one is a member of.
	MemberOf []Membership `json:",omitempty"`
	// Settings are what ALTER ROLE .. SET gives the role's sessions.
	Settings []Option `json:",omitempty"`
	Comment  string   `json:",omitempty"`
}

// Membership is that a role has been granted another.
type Membership struct {
	Role, Grantor uint32
	Admin         bool `json:",omitempty"` // WITH ADMIN OPTION
}

// OwnerOID is the OID of the bootstrap superuser, which every database has.
const OwnerOID uint32 = 10

// BootstrapUser is its name until somebody changes it.
const BootstrapUser = "streamsql"

// The OIDs of the predefined roles that the engine asks for, as PostgreSQL has them.
const (
	RoleDatabaseOwner     uint32 = 6171
	RoleReadAllData       uint32 = 6181
	RoleWriteAllData      uint32 = 6182
	RoleMonitor           uint32 = 3373
	RoleReadAllSettings   uint32 = 3374
	RoleReadAllStats      uint32 = 3375
	RoleStatScanTables    uint32 = 3377
	RoleReadServerFiles   uint32 = 4569
	RoleWriteServerFiles  uint32 = 4570
	RoleExecServerProgram uint32 = 4571
	RoleSignalBackend     uint32 = 4200
	RoleCheckpoint        uint32 = 4544
)

// systemRoles are those of every database.
func systemRoles() map[uint32]*Role {
	out := map[uint32]*Role{OwnerOID: {OID: OwnerOID, Name: BootstrapUser, Super: true, Inherit: true, CreateRole: true, CreateDB: true, Login: true,
		Replication: true, BypassRLS: true, ConnLimit: -1}}
	for oid, name := range map[uint32]string{RoleDatabaseOwner: "pg_database_owner", RoleReadAllData: "pg_read_all_data", RoleWriteAllData: "pg_write_all_data",
		RoleMonitor: "pg_monitor", RoleReadAllSettings: "pg_read_all_settings", RoleReadAllStats: "pg_read_all_stats",
		RoleStatScanTables: "pg_stat_scan_tables", RoleReadServerFiles: "pg_read_server_files", RoleWriteServerFiles: "pg_write_server_files",
		RoleExecServerProgram: "pg_execute_server_program", RoleSignalBackend: "pg_signal_backend", RoleCheckpoint: "pg_checkpoint"} {
		out[oid] = &Role{OID: oid, Name: name, Inherit: true, ConnLimit: -1}
	}
	for _, of := range []uint32{RoleReadAllSettings, RoleReadAllStats, RoleStatScanTables} {
		m := out[RoleMonitor]
		m.MemberOf = append(m.MemberOf, Membership{Role: of, Grantor: OwnerOID})
	}
	return out
}

// Predefined reports whether the role is one of those that PostgreSQL brings, which nobody may change.
func (r *Role) Predefined() bool { return r.OID < FirstUserOID && r.OID != OwnerOID }

// Clone gives a copy to change.
func (r *Role) Clone() *Role {
	c := *r
	c.MemberOf, c.Settings = slices.Clone(r.MemberOf), slices.Clone(r.Settings)
	return &c
}

// WithRole gives a snapshot that also has r, in place of a role of the same OID.
func (s *Snapshot) WithRole(r *Role) *Snapshot {
	c := s.clone()
	c.roles = maps.Clone(s.roles)
	c.roles[r.OID] = r
	return c
}

// WithoutRoles gives a snapshot that lacks roles, and the memberships in them.
func (s *Snapshot) WithoutRoles(oids ...uint32) *Snapshot {
	c := s.clone()
	c.roles = maps.Clone(s.roles)
	for _, oid := range oids {
		delete(c.roles, oid)
	}
	return c
}

// RoleByName finds a role; nil if there is none.
func (s *Snapshot) RoleByName(name string) *Role {
	for _, r := range s.roles {
		if r.Name == name {
			return r
		}
	}
	return nil
}

// Role finds a role by its OID; nil if there is none.
func (s *Snapshot) Role(oid uint32) *Role { return s.roles[oid] }

// Roles gives all roles by OID.
func (s *Snapshot) Roles() []*Role {
	out := slices.Collect(maps.Values(s.roles))
	slices.SortFunc(out, func(a, b *Role) int { return int(a.OID) - int(b.OID) })
	return out
}

// OwnerRole gives the role that an object's owner is. A name that is no role's is of the bootstrap superuser: so are the objects of data
// directories from before there were roles.
func (s *Snapshot) OwnerRole(name string) *Role {
	if r := s.RoleByName(name); r != nil {
		return r
	}
	return s.roles[OwnerOID]
}

// membersOf calls f with the roles that role is a member of, directly or not, itself first, until f gives false. With inherited
// only those whose privileges it has without SET ROLE.
func (s *Snapshot) memberships(role uint32, inherited bool, f func(oid uint32) bool) {
	seen := []uint32{role}
	for i := 0; i < len(seen); i++ {
		if !f(seen[i]) {
			return
		}
		r := s.roles[seen[i]]
		if r == nil || inherited && !r.Inherit {
			continue
		}
		of := func(oid uint32) {
			if !slices.Contains(seen, oid) && s.roles[oid] != nil {
				seen = append(seen, oid)
			}
		}
		for _, m := range r.MemberOf {
			of(m.Role)
		}
		if o := s.DatabaseObject(""); r.OID == o.Owner {
			of(RoleDatabaseOwner)
		}
	}
}

// HasPrivilegesOf reports whether role may do, as it is, what of may do: it is of, a superuser, or inherits it.
func (s *Snapshot) HasPrivilegesOf(role, of uint32) bool { return s.isMember(role, of, true) }

// IsMember reports whether role may become of with SET ROLE.
func (s *Snapshot) IsMember(role, of uint32) bool { return s.isMember(role, of, false) }

func (s *Snapshot) isMember(role, of uint32, inherited bool) bool {
	if r := s.roles[role]; r != nil && r.Super {
		return true
	}
	found := false
	s.memberships(role, inherited, func(oid uint32) bool {
		found = oid == of
		return !found
	})
	return found
}

// IsAdmin reports whether member may grant the role: it was granted to it, or to a role that it is a member of, WITH ADMIN OPTION.
func (s *Snapshot) IsAdmin(member, role uint32) bool {
	if r := s.roles[member]; r != nil && r.Super {
		return true
	}
	found := false
	s.memberships(member, false, func(oid uint32) bool {
		if r := s.roles[oid]; r != nil {
			found = slices.ContainsFunc(r.MemberOf, func(m Membership) bool { return m.Role == role && m.Admin })
		}
		return !found
	})
	return found
}
