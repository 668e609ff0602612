package engine

import (
	"fmt"
	"slices"
	"strings"

	"streamsql/catalog"
	"streamsql/internal/pgerr"
	"streamsql/internal/scram"
	"streamsql/internal/types"
	"streamsql/sql/parser/ast"
)

// reservedRole refuses the names that no user may give a role.
func reservedRole(x ast.RoleSpec) error {
	if x.Name == "public" { // quoted
		return pgerr.New(pgerr.ReservedName, "role name \"%s\" is reserved", x.Name)
	}
	if strings.HasPrefix(x.Name, "pg_") {
		return pgerr.New(pgerr.ReservedName, "role name \"%s\" is reserved", x.Name).WithDetail("Role names starting with \"pg_\" are reserved.").At(x.Pos)
	}
	return nil
}

// changeableRole refuses the predefined roles.
func changeableRole(r *catalog.Role) error {
	if r.Predefined() {
		return pgerr.New(pgerr.ReservedName, "role name \"%s\" is reserved", r.Name).WithDetail("Cannot alter reserved roles.")
	}
	return nil
}

// createRole executes CREATE ROLE.
func (s *Session) createRole(x *ast.CreateRole) error {
	me := s.role()
	wants := func(name string) bool {
		return slices.ContainsFunc(x.Options, func(o ast.RoleOption) bool { return o.Name == name && o.On })
	}
	for option, who := range map[string]string{"superuser": "superusers", "replication": "replication users", "bypassrls": "bypassrls users"} {
		if wants(option) && !me.Super {
			return pgerr.New(pgerr.InsufficientPrivilege, "must be superuser to create %s", who)
		}
	}
	if !me.Super && !me.CreateRole {
		return pgerr.New(pgerr.InsufficientPrivilege, "permission denied to create role")
	}
	if err := reservedRole(x.Name); err != nil {
		return err
	}
	if s.findRole(s.catalog(), x.Name.Name) != nil && s.catalog().RoleByName(x.Name.Name) != nil {
		return pgerr.New(pgerr.DuplicateObject, "role \"%s\" already exists", x.Name.Name)
	}
	r := &catalog.Role{Name: x.Name.Name, Inherit: true, Login: x.User, ConnLimit: -1}
	if err := s.roleOptions(r, x.Options); err != nil {
		return err
	}
	s.e.write.Lock()
	r.OID = s.e.newOIDs(1)
	s.e.write.Unlock()
	s.change(&ddl{ch: &catalogChange{PutRoles: []*catalog.Role{r}}})
	for _, o := range x.Options {
		for _, n := range o.Roles {
			other, err := s.roleSpec(n)
			if err != nil {
				return err
			}
			of, member := other, s.roleOf(r.OID)
			if o.Name != "in role" {
				of, member = member, other
			}
			if err := s.addMember(of, member, o.Name == "admin", catalog.OwnerOID); err != nil {
				return err
			}
		}
	}
	return nil
}

// roleOptions sets the options of a role, but for memberships.
func (s *Session) roleOptions(r *catalog.Role, options []ast.RoleOption) error {
	for i, o := range options {
		if slices.ContainsFunc(options[:i], func(x ast.RoleOption) bool { return x.Name == o.Name }) {
			return pgerr.New(pgerr.SyntaxError, "conflicting or redundant options").At(o.Pos)
		}
		switch o.Name {
		case "superuser":
			r.Super = o.On
		case "createdb":
			r.CreateDB = o.On
		case "createrole":
			r.CreateRole = o.On
		case "inherit":
			r.Inherit = o.On
		case "login":
			r.Login = o.On
		case "replication":
			r.Replication = o.On
		case "bypassrls":
			r.BypassRLS = o.On
		case "connection limit":
			if o.Number < -1 || o.Number > 1<<31-1 {
				return pgerr.New(pgerr.InvalidParameterValue, "invalid connection limit: %d", o.Number)
			}
			r.ConnLimit = int(o.Number)
		case "password":
			verifier, err := s.verifier(o.Text)
			if err != nil {
				return posErr(err, o.Pos)
			}
			r.Password = verifier
		case "valid until":
			d, err := types.ParseText(&s.vars.env, types.Timestamptz, *o.Text)
			if err != nil {
				return err
			}
			until := d.(int64)
			r.ValidUntil = &until
		}
	}
	return nil
}

// verifier gives what is stored in the place of a password: a verifier, which may also be given instead of one.
func (s *Session) verifier(password *string) (string, error) {
	if password == nil {
		return "", nil
	}
	if *password == "" {
		s.notice(pgerr.New(pgerr.SuccessfulCompletion, "empty string is not a valid password, clearing password"))
		return "", nil
	}
	if _, ok := scram.ParseVerifier(*password); ok {
		return *password, nil
	}
	if len(*password) == 35 && strings.HasPrefix(*password, "md5") {
		return "", pgerr.New(pgerr.FeatureNotSupported, "MD5 passwords are not supported").WithHint("Give the password itself, or a SCRAM-SHA-256 verifier.")
	}
	v, err := scram.NewVerifier(*password)
	if err != nil {
		return "", err
	}
	return v.String(), nil
}

// alterRole executes ALTER ROLE.
func (s *Session) alterRole(x *ast.AlterRole) error {
	me := s.role()
	if x.All {
		if !me.Super {
			return pgerr.New(pgerr.InsufficientPrivilege, "must be superuser to alter settings globally")
		}
		return pgerr.New(pgerr.FeatureNotSupported, "ALTER ROLE ALL SET is not supported").WithHint("Set the roles one by one.")
	}
	r, err := s.roleSpec(x.Role)
	if err != nil {
		return err
	}
	if err := changeableRole(r); err != nil {
		return err
	}
	switch {
	case x.NewName != nil:
		return s.renameRole(r, *x.NewName)
	case x.Set != nil:
		return s.setOfRole(r, x.Set)
	case x.Members != nil:
		for _, n := range x.Members {
			m, err := s.roleSpec(n)
			if err != nil {
				return err
			}
			if err := s.mayGrantRole(r); err != nil {
				return err
			}
			if x.Drop {
				err = s.dropMember(r, m, false)
			} else {
				err = s.addMember(r, m, false, me.OID)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	has := func(name string) bool {
		return slices.ContainsFunc(x.Options, func(o ast.RoleOption) bool { return o.Name == name })
	}
	switch {
	case me.Super:
	case r.Super || has("superuser"):
		return pgerr.New(pgerr.InsufficientPrivilege, "must be superuser to alter superuser roles or change superuser attribute")
	case r.Replication || has("replication"):
		return pgerr.New(pgerr.InsufficientPrivilege, "must be superuser to alter replication roles or change replication attribute")
	case has("bypassrls"):
		return pgerr.New(pgerr.InsufficientPrivilege, "must be superuser to change bypassrls attribute")
	case me.CreateRole:
	case r.OID != me.OID || slices.ContainsFunc(x.Options, func(o ast.RoleOption) bool { return o.Name != "password" }):
		return pgerr.New(pgerr.InsufficientPrivilege, "permission denied")
	}
	c := r.Clone()
	if err := s.roleOptions(c, x.Options); err != nil {
		return err
	}
	if r.OID == catalog.OwnerOID && (!c.Super || !c.Login) {
		return pgerr.New(pgerr.FeatureNotSupported, "the bootstrap user must be able to log in, as a superuser")
	}
	s.change(&ddl{ch: &catalogChange{PutRoles: []*catalog.Role{c}}})
	return nil
}

// renameRole gives a role another name. What it owns names its owner, and follows.
func (s *Session) renameRole(r *catalog.Role, to ast.RoleSpec) error {
	me := s.role()
	switch {
	case r.OID == catalog.OwnerOID:
		return pgerr.New(pgerr.FeatureNotSupported, "the bootstrap user cannot be renamed")
	case r.OID == s.who.session:
		return pgerr.New(pgerr.FeatureNotSupported, "session user cannot be renamed")
	case r.OID == me.OID:
		return pgerr.New(pgerr.FeatureNotSupported, "current user cannot be renamed")
	}
	if err := reservedRole(to); err != nil {
		return err
	}
	if s.catalog().RoleByName(to.Name) != nil {
		return pgerr.New(pgerr.DuplicateObject, "role \"%s\" already exists", to.Name)
	}
	switch {
	case r.Super && !me.Super:
		return pgerr.New(pgerr.InsufficientPrivilege, "must be superuser to rename superusers")
	case !me.Super && !me.CreateRole:
		return pgerr.New(pgerr.InsufficientPrivilege, "permission denied to rename role")
	}
	c := r.Clone()
	c.Name = to.Name
	ch := s.ownedByRoles(func(owner *catalog.Role) bool { return owner.OID == r.OID }, to.Name)
	ch.PutRoles = []*catalog.Role{c}
	s.change(&ddl{ch: ch})
	return nil
}

// setOfRole executes ALTER ROLE .. SET and RESET.
func (s *Session) setOfRole(r *catalog.Role, x *ast.Set) error {
	me := s.role()
	switch {
	case me.Super:
	case r.Super:
		return pgerr.New(pgerr.InsufficientPrivilege, "must be superuser to alter superusers")
	case !me.CreateRole && me.OID != r.OID:
		return pgerr.New(pgerr.InsufficientPrivilege, "permission denied")
	}
	c := r.Clone()
	name := strings.ToLower(x.Name)
	switch {
	case x.Default && name == "all":
		c.Settings = nil
	case x.Default:
		c.Settings = slices.DeleteFunc(c.Settings, func(o catalog.Option) bool { return strings.EqualFold(o.Name, name) })
	default:
		value := strings.Join(x.Values, ", ")
		i, known := settingIndex[name]
		switch {
		case known && (settings[i].readonly || name == "role" || name == "session_authorization"):
			return pgerr.New("55P02", "parameter \"%s\" cannot be changed", settings[i].name)
		case known:
			var err error
			if value, err = settings[i].check(value); err != nil {
				return err
			}
			name = settings[i].name
		case !strings.Contains(name, "."):
			return pgerr.New(pgerr.UndefinedObject, "unrecognized configuration parameter \"%s\"", x.Name)
		}
		c.Settings = append(slices.DeleteFunc(c.Settings, func(o catalog.Option) bool { return strings.EqualFold(o.Name, name) }), catalog.Option{Name: name, Value: value})
	}
	s.change(&ddl{ch: &catalogChange{PutRoles: []*catalog.Role{c}}})
	return nil
}

// dropRoles executes DROP ROLE.
func (s *Session) dropRoles(x *ast.DropRole) error {
	me := s.role()
	if !me.Super && !me.CreateRole {
		return pgerr.New(pgerr.InsufficientPrivilege, "permission denied to drop role")
	}
	ch := &catalogChange{}
	for _, n := range x.Roles {
		if n.Special {
			return pgerr.New(pgerr.InvalidParameterValue, "cannot use special role specifier in DROP ROLE")
		}
		r := s.findRole(s.catalog(), n.Name)
		switch {
		case r == nil && x.IfExists:
			s.notice(pgerr.New(pgerr.SuccessfulCompletion, "role \"%s\" does not exist, skipping", n.Name))
			continue
		case r == nil:
			return pgerr.New(pgerr.UndefinedObject, "role \"%s\" does not exist", n.Name)
		case r.OID == s.who.current:
			return pgerr.New(pgerr.ObjectInUse, "current user cannot be dropped")
		case r.OID == s.who.session:
			return pgerr.New(pgerr.ObjectInUse, "session user cannot be dropped")
		case r.Super && !me.Super:
			return pgerr.New(pgerr.InsufficientPrivilege, "must be superuser to drop superusers")
		case r.OID < catalog.FirstUserOID:
			return pgerr.New(pgerr.DependentObjectsStillExist, "cannot drop role %s because it is required by the database system", r.Name)
		}
		if lines := s.needsRole(r); len(lines) > 0 {
			return pgerr.New(pgerr.DependentObjectsStillExist, "role \"%s\" cannot be dropped because some objects depend on it", r.Name).
				WithDetail("%s", strings.Join(lines, "\n"))
		}
		ch.DropRoles = append(ch.DropRoles, r.OID)
	}
	for _, m := range s.catalog().Roles() {
		c := m.Clone()
		c.MemberOf = slices.DeleteFunc(c.MemberOf, func(o catalog.Membership) bool { return slices.Contains(ch.DropRoles, o.Role) })
		if len(c.MemberOf) != len(m.MemberOf) && !slices.Contains(ch.DropRoles, m.OID) {
			ch.PutRoles = append(ch.PutRoles, c)
		}
	}
	s.change(&ddl{ch: ch})
	return nil
}

// needsRole lists, as messages do, what would be without an owner or a grantee if a role were not there.
func (s *Session) needsRole(r *catalog.Role) (lines []string) {
	for _, o := range s.objects() {
		if o.Owner == r.OID {
			lines = append(lines, "owner of "+o.Kind+" "+o.Name)
			continue
		}
		if slices.ContainsFunc(o.ACL(), func(x catalog.ACLItem) bool { return x.Grantee == r.OID || x.Grantor == r.OID }) {
			lines = append(lines, "privileges for "+o.Kind+" "+o.Name)
		}
		for num, acl := range o.ColumnACLs() {
			if slices.ContainsFunc(acl, func(x catalog.ACLItem) bool { return x.Grantee == r.OID || x.Grantor == r.OID }) {
				rel := s.catalog().ByOID(o.OID)
				lines = append(lines, fmt.Sprintf("privileges for column %s of %s %s", rel.Columns[max(rel.ColumnByNum(num), 0)].Name, o.Kind, o.Name))
			}
		}
	}
	return lines
}

// objects gives everything that has an owner.
func (s *Session) objects() (out []catalog.Object) {
	cat := s.catalog()
	for _, r := range cat.Relations() {
		if r.Kind != catalog.System || cat.Access(r.OID) != nil {
			out = append(out, r.Object(cat))
		}
	}
	for _, f := range cat.Functions() {
		out = append(out, f.Object(cat))
	}
	for _, t := range cat.Types() {
		out = append(out, t.Object(cat))
	}
	for _, n := range cat.Schemas() {
		oid, _ := cat.SchemaOID(n)
		out = append(out, cat.SchemaObject(n, oid))
	}
	return append(out, cat.DatabaseObject(s.database))
}

// ownedByRoles gives the change that makes what certain roles own the property of another.
func (s *Session) ownedByRoles(of func(owner *catalog.Role) bool, to string) *catalogChange {
	cat := s.catalog()
	ch := &catalogChange{Access: map[uint32]*catalog.Access{}}
	for _, r := range cat.Relations() {
		if r.Kind != catalog.System && of(cat.OwnerRole(r.Owner)) {
			c := r.Clone()
			c.Owner = to
			ch.Put = append(ch.Put, c)
		}
	}
	for _, f := range cat.Functions() {
		if of(cat.OwnerRole(f.Owner)) {
			c := *f
			c.Owner = to
			ch.PutFunctions = append(ch.PutFunctions, &c)
		}
	}
	for _, t := range cat.Types() {
		if of(cat.OwnerRole(t.Owner)) {
			c := *t
			c.Owner = to
			ch.PutTypes = append(ch.PutTypes, &c)
		}
	}
	for oid, a := range cat.Accesses() {
		if a.Owner != "" && of(cat.OwnerRole(a.Owner)) {
			c := a.Clone()
			c.Owner = to
			ch.Access[oid] = c
		}
	}
	return ch
}

// reassign executes REASSIGN OWNED.
func (s *Session) reassign(x *ast.ReassignOwned) error {
	from, err := s.ownedRoles(x)
	if err != nil {
		return err
	}
	to, err := s.roleSpec(*x.To)
	if err != nil {
		return err
	}
	if !s.catalog().HasPrivilegesOf(s.who.current, to.OID) {
		return pgerr.New(pgerr.InsufficientPrivilege, "permission denied to reassign objects")
	}
	ch := s.ownedByRoles(func(owner *catalog.Role) bool { return slices.Contains(from, owner.OID) }, to.Name)
	cat := s.catalog()
	for oid, a := range cat.Accesses() {
		owner := s.ownerOf(oid)
		if a.ACL == nil || !slices.Contains(from, owner) {
			continue
		}
		c := ch.Access[oid]
		if c == nil {
			c = a.Clone()
		}
		c.ACL = c.ACL.ChangeOwner(owner, to.OID)
		ch.Access[oid] = c
	}
	s.change(&ddl{ch: ch})
	for _, r := range ch.Put {
		s.renew(r)
	}
	return nil
}

// ownerOf gives the owner of the object that privileges are on.
func (s *Session) ownerOf(oid uint32) uint32 {
	for _, o := range s.objects() {
		if o.OID == oid {
			return o.Owner
		}
	}
	return 0
}

func (s *Session) ownedRoles(x *ast.ReassignOwned) (out []uint32, err error) {
	for _, n := range x.Roles {
		r, err := s.roleSpec(n)
		if err != nil {
			return nil, err
		}
		if !s.catalog().HasPrivilegesOf(s.who.current, r.OID) {
			what := "drop objects"
			if x.To != nil {
				what = "reassign objects"
			}
			return nil, pgerr.New(pgerr.InsufficientPrivilege, "permission denied to %s", what)
		}
		if r.OID < catalog.FirstUserOID {
			return nil, pgerr.New(pgerr.DependentObjectsStillExist, "cannot %s objects owned by role %s because they are required by the database system",
				map[bool]string{true: "reassign ownership of", false: "drop"}[x.To != nil], r.Name)
		}
		out = append(out, r.OID)
	}
	return out, nil
}

// dropOwned executes DROP OWNED: what the roles own goes, and what has been granted to them is taken back.
func (s *Session) dropOwned(x *ast.ReassignOwned) error {
	from, err := s.ownedRoles(x)
	if err != nil {
		return err
	}
	owns := func(owner string) bool { return slices.Contains(from, s.catalog().OwnerRole(owner).OID) }
	d := dropping{}
	cat := s.catalog()
	for _, r := range cat.Relations() {
		if r.Kind != catalog.System && owns(r.Owner) && (r.Sequence == nil || r.Sequence.Owner == 0) {
			d.rels = append(d.rels, r)
		}
	}
	for _, f := range cat.Functions() {
		if owns(f.Owner) {
			d.funcs = append(d.funcs, f)
		}
	}
	for _, t := range cat.Types() {
		if owns(t.Owner) {
			d.types = append(d.types, t)
		}
	}
	for _, n := range cat.Schemas() {
		oid, _ := cat.SchemaOID(n)
		if o := cat.SchemaObject(n, oid); oid >= catalog.FirstUserOID && slices.Contains(from, o.Owner) {
			d.schemas = append(d.schemas, n)
		}
	}
	if err := s.dropAll(cat, d, x.Cascade); err != nil {
		return err
	}
	access := map[uint32]*catalog.Access{}
	for oid, a := range s.catalog().Accesses() {
		of := func(x catalog.ACLItem) bool {
			return slices.Contains(from, x.Grantee) || slices.Contains(from, x.Grantor)
		}
		c := a.Clone()
		c.ACL = slices.DeleteFunc(c.ACL, of)
		for num, acl := range c.Columns {
			c.Columns[num] = slices.DeleteFunc(slices.Clone(acl), of)
		}
		access[oid] = c
	}
	s.change(&ddl{ch: &catalogChange{Access: access}})
	return nil
}

// mayGrantRole checks that the session may grant membership in a role.
func (s *Session) mayGrantRole(r *catalog.Role) error {
	me := s.role()
	switch {
	case me.Super:
	case r.Super:
		return pgerr.New(pgerr.InsufficientPrivilege, "must be superuser to alter superusers")
	case s.catalog().IsAdmin(me.OID, r.OID):
	case me.CreateRole && !r.Predefined(): // as PostgreSQL 16: in 15 CREATEROLE gives away the server's files
	default:
		return pgerr.New(pgerr.InsufficientPrivilege, "must have admin option on role \"%s\"", r.Name)
	}
	if r.OID == catalog.RoleDatabaseOwner {
		return pgerr.New(pgerr.InvalidGrantOperation, "role \"%s\" cannot have explicit members", r.Name)
	}
	return nil
}

// addMember makes member a member of role.
func (s *Session) addMember(role, member *catalog.Role, admin bool, grantor uint32) error {
	if member.OID == catalog.RoleDatabaseOwner {
		return pgerr.New(pgerr.InvalidGrantOperation, "role \"%s\" cannot be a member of any role", member.Name)
	}
	if role.OID == member.OID || s.isPlainMember(role.OID, member.OID) {
		return pgerr.New(pgerr.InvalidGrantOperation, "role \"%s\" is a member of role \"%s\"", role.Name, member.Name)
	}
	c := s.roleOf(member.OID).Clone()
	i := slices.IndexFunc(c.MemberOf, func(m catalog.Membership) bool { return m.Role == role.OID })
	switch {
	case i < 0:
		c.MemberOf = append(c.MemberOf, catalog.Membership{Role: role.OID, Grantor: grantor, Admin: admin})
	case admin && !c.MemberOf[i].Admin:
		c.MemberOf[i].Admin, c.MemberOf[i].Grantor = true, grantor
	default:
		s.notice(pgerr.New(pgerr.SuccessfulCompletion, "role \"%s\" is already a member of role \"%s\"", member.Name, role.Name))
		return nil
	}
	s.change(&ddl{ch: &catalogChange{PutRoles: []*catalog.Role{c}}})
	return nil
}

// isPlainMember is membership that has been granted: that of a superuser in everything does not count.
func (s *Session) isPlainMember(role, of uint32) bool {
	seen := []uint32{role}
	for i := 0; i < len(seen); i++ {
		for _, m := range s.roleOf(seen[i]).MemberOf {
			if m.Role == of {
				return true
			}
			if !slices.Contains(seen, m.Role) {
				seen = append(seen, m.Role)
			}
		}
	}
	return false
}

// dropMember ends a membership, or with adminOnly the right to grant it.
func (s *Session) dropMember(role, member *catalog.Role, adminOnly bool) error {
	c := s.roleOf(member.OID).Clone()
	i := slices.IndexFunc(c.MemberOf, func(m catalog.Membership) bool { return m.Role == role.OID })
	if i < 0 {
		s.warning(pgerr.Warning, "role \"%s\" is not a member of role \"%s\"", member.Name, role.Name)
		return nil
	}
	if adminOnly {
		c.MemberOf[i].Admin = false
	} else {
		c.MemberOf = slices.Delete(c.MemberOf, i, i+1)
	}
	s.change(&ddl{ch: &catalogChange{PutRoles: []*catalog.Role{c}}})
	return nil
}

// grantRoles executes GRANT and REVOKE of membership.
func (s *Session) grantRoles(x *ast.Grant) error {
	grantor := s.who.current
	if x.By != nil {
		by, err := s.roleSpec(*x.By)
		if err != nil {
			return err
		}
		if by.OID != grantor && !s.role().Super {
			return pgerr.New(pgerr.InsufficientPrivilege, "must be superuser to set grantor")
		}
		grantor = by.OID
	}
	for _, p := range x.Privileges {
		if p.Columns != nil {
			return pgerr.New(pgerr.InvalidGrantOperation, "column names cannot be included in GRANT/REVOKE ROLE")
		}
		role, err := s.roleSpec(ast.RoleSpec{Name: p.Name, Pos: p.Pos})
		if err != nil {
			return err
		}
		if err := s.mayGrantRole(role); err != nil {
			return err
		}
		for _, n := range x.Roles {
			member, err := s.roleSpec(n)
			if err != nil {
				return err
			}
			if x.Revoke {
				err = s.dropMember(role, member, x.OptionFor)
			} else {
				err = s.addMember(s.roleOf(role.OID), member, x.WithOption, grantor)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}
