package catalog

import (
	"slices"
	"strings"

	"streamsql/internal/types"
)

// roleConfig gives pg_roles.rolconfig.
func roleConfig(r *Role) types.Datum {
	if len(r.Settings) == 0 {
		return nil
	}
	var out []string
	for _, o := range r.Settings {
		out = append(out, o.Name+"="+o.Value)
	}
	return out
}

func validUntil(r *Role) types.Datum {
	if r.ValidUntil == nil {
		return nil
	}
	return *r.ValidUntil
}

func fillAuthID(v *Viewer, add func(row)) error {
	for _, r := range v.Snapshot.Roles() {
		x := row{"oid": r.OID, "rolname": v.RoleName(r.OID), "rolsuper": r.Super, "rolinherit": r.Inherit, "rolcreaterole": r.CreateRole, "rolcreatedb": r.CreateDB,
			"rolcanlogin": r.Login, "rolreplication": r.Replication, "rolbypassrls": r.BypassRLS, "rolconnlimit": r.ConnLimit, "rolvaliduntil": validUntil(r)}
		if r.Password != "" {
			x["rolpassword"] = r.Password
		}
		add(x)
	}
	return nil
}

func fillAuthMembers(v *Viewer, add func(row)) error {
	for _, r := range v.Snapshot.Roles() {
		for _, m := range r.MemberOf {
			add(row{"roleid": m.Role, "member": r.OID, "grantor": m.Grantor, "admin_option": m.Admin})
		}
	}
	return nil
}

func fillRoles(v *Viewer, add func(row)) error {
	for _, r := range v.Snapshot.Roles() {
		add(row{"oid": r.OID, "rolname": v.RoleName(r.OID), "rolsuper": r.Super, "rolinherit": r.Inherit, "rolcreaterole": r.CreateRole, "rolcreatedb": r.CreateDB,
			"rolcanlogin": r.Login, "rolreplication": r.Replication, "rolbypassrls": r.BypassRLS, "rolconnlimit": r.ConnLimit, "rolpassword": "********",
			"rolvaliduntil": validUntil(r), "rolconfig": roleConfig(r)})
	}
	return nil
}

// fillUsers gives the roles that may connect, with what password shows of theirs.
func fillUsers(v *Viewer, add func(row), password func(*Role) types.Datum) error {
	for _, r := range v.Snapshot.Roles() {
		if r.Login {
			add(row{"usename": v.RoleName(r.OID), "usesysid": r.OID, "usecreatedb": r.CreateDB, "usesuper": r.Super, "userepl": r.Replication,
				"usebypassrls": r.BypassRLS, "passwd": password(r), "valuntil": validUntil(r), "useconfig": roleConfig(r)})
		}
	}
	return nil
}

func fillUser(v *Viewer, add func(row)) error {
	return fillUsers(v, add, func(*Role) types.Datum { return "********" })
}

func fillShadow(v *Viewer, add func(row)) error {
	return fillUsers(v, add, func(r *Role) types.Datum {
		if r.Password == "" {
			return nil
		}
		return r.Password
	})
}

func fillGroup(v *Viewer, add func(row)) error {
	for _, r := range v.Snapshot.Roles() {
		if r.Login {
			continue
		}
		members := []int{}
		for _, m := range v.Snapshot.Roles() {
			if slices.ContainsFunc(m.MemberOf, func(x Membership) bool { return x.Role == r.OID }) {
				members = append(members, int(m.OID))
			}
		}
		add(row{"groname": r.Name, "grosysid": r.OID, "grolist": members})
	}
	return nil
}

func fillRoleSettings(v *Viewer, add func(row)) error {
	for _, r := range v.Snapshot.Roles() {
		if c := roleConfig(r); c != nil {
			add(row{"setrole": r.OID, "setconfig": c})
		}
	}
	return nil
}

func (v *Viewer) schemaOwner(name string) uint32 {
	oid, _ := v.Snapshot.SchemaOID(name)
	o := v.Snapshot.SchemaObject(name, oid)
	return o.Owner
}

// role gives the viewer's current role.
func (v *Viewer) role() *Role {
	if r := v.Snapshot.Role(v.Role); r != nil {
		return r
	}
	return &Role{OID: v.Role, Name: v.User}
}

func fillISApplicableRoles(v *Viewer, add func(row)) error {
	v.Snapshot.memberships(v.role().OID, false, func(oid uint32) bool {
		r := v.Snapshot.Role(oid)
		if r == nil {
			return true
		}
		for _, m := range r.MemberOf {
			add(row{"grantee": v.RoleName(oid), "role_name": v.RoleName(m.Role), "is_grantable": yesNo(m.Admin)})
		}
		return true
	})
	return nil
}

func fillISEnabledRoles(v *Viewer, add func(row)) error {
	for _, r := range v.Snapshot.Roles() {
		if v.Snapshot.HasPrivilegesOf(v.role().OID, r.OID) {
			add(row{"role_name": v.RoleName(r.OID)})
		}
	}
	return nil
}

// eachTableGrant calls f with every privilege on a relation that the viewer may see: those that a role of theirs has given or got.
func eachTableGrant(v *Viewer, f func(r *Relation, x ACLItem, privilege string, grantable bool)) {
	me := v.role().OID
	for _, r := range v.Snapshot.Relations() {
		o := r.Object(v.Snapshot)
		if o.Class != RelationClass {
			continue
		}
		for _, x := range o.FullACL() {
			if x.Grantee != 0 && !v.Snapshot.HasPrivilegesOf(me, x.Grantee) && !v.Snapshot.HasPrivilegesOf(me, x.Grantor) {
				continue
			}
			for i, n := range privilegeNames {
				if p := Privileges(1 << i); x.Privileges&p != 0 {
					f(r, x, n, x.Options&p != 0 || x.Grantee != 0 && v.Snapshot.HasPrivilegesOf(x.Grantee, o.Owner))
				}
			}
		}
	}
}

func fillISTablePrivileges(v *Viewer, add func(row)) error {
	eachTableGrant(v, func(r *Relation, x ACLItem, privilege string, grantable bool) {
		add(tableGrant(v, r, x, privilege, grantable))
	})
	return nil
}

func fillISTableGrants(v *Viewer, add func(row)) error {
	eachTableGrant(v, func(r *Relation, x ACLItem, privilege string, grantable bool) {
		if x.Grantee != 0 {
			add(tableGrant(v, r, x, privilege, grantable))
		}
	})
	return nil
}

func tableGrant(v *Viewer, r *Relation, x ACLItem, privilege string, grantable bool) row {
	grantee := "PUBLIC"
	if x.Grantee != 0 {
		grantee = v.RoleName(x.Grantee)
	}
	return row{"grantor": v.RoleName(x.Grantor), "grantee": grantee, "table_catalog": v.Database, "table_schema": r.Schema, "table_name": r.Name,
		"privilege_type": privilege, "is_grantable": yesNo(grantable), "with_hierarchy": yesNo(strings.EqualFold(privilege, "select"))}
}
