package engine

import (
	"strings"

	"streamsql/catalog"
	"streamsql/internal/pgerr"
	"streamsql/sql/parser/ast"
)

// sessionIdentity is who a session is. Roles are held by their OIDs: a role that is renamed stays the same, one that is dropped can do nothing.
type sessionIdentity struct {
	authenticated uint32 // who connected
	session       uint32 // session_user, which SET SESSION AUTHORIZATION changes
	current       uint32 // current_user, which SET ROLE changes
	// alias is the name that the session gave where it is of no role: it is the bootstrap superuser under that name. Only whoever may be any
	// role without a password gets such a session: see wire's rules.
	alias string
	name  string // of the role that connected, for when it has been dropped
}

// login makes the session one of a user.
func (s *Session) login(user string) {
	cat := s.e.Catalog()
	s.who = sessionIdentity{authenticated: catalog.OwnerOID, name: user}
	if r := cat.RoleByName(user); r != nil {
		s.who.authenticated = r.OID
	} else {
		s.who.alias = user
	}
	s.who.session, s.who.current = s.who.authenticated, s.who.authenticated
	s.vars.defaults["session_authorization"] = user
	s.vars.identity = s.takeIdentity
	s.vars.defaults["is_superuser"] = onOff(s.role().Super)
}

// roleSettings gives the session the settings of its role.
func (s *Session) roleSettings() error {
	for _, o := range s.role().Settings {
		key := strings.ToLower(o.Name)
		if err := s.vars.set(key, o.Value, false); err != nil {
			s.warning(pgerr.Code(err), "%s", err.Error()) // the role must be able to connect nevertheless
			continue
		}
		s.vars.defaults[key] = s.vars.values[key]
		delete(s.vars.values, key)
	}
	return nil
}

// checkLimit refuses a session beyond the connection limit of its role.
func (s *Session) checkLimit() error {
	r := s.role()
	if r.ConnLimit < 0 || r.Super {
		return nil
	}
	n := 0
	for _, o := range s.e.liveSessions() {
		if o.authenticated() == r.OID {
			n++
		}
	}
	if n >= r.ConnLimit {
		return pgerr.New(pgerr.TooManyConnections, "too many connections for role \"%s\"", r.Name)
	}
	return nil
}

// authenticated gives the role that connected. It never changes, so that other sessions may ask.
func (s *Session) authenticated() uint32 { return s.who.authenticated }

// role gives the current role. One that has been dropped can do nothing.
func (s *Session) role() *catalog.Role { return s.roleOf(s.who.current) }

func (s *Session) roleOf(oid uint32) *catalog.Role {
	if r := s.catalog().Role(oid); r != nil {
		return r
	}
	return &catalog.Role{OID: oid, Name: s.who.name, ConnLimit: -1}
}

// roleName gives the name of a role as the session sees it: its alias for the bootstrap superuser.
func (s *Session) roleName(oid uint32) string {
	if oid == catalog.OwnerOID && s.who.alias != "" {
		return s.who.alias
	}
	return s.roleOf(oid).Name
}

// userName gives current_user.
func (s *Session) userName() string { return s.roleName(s.who.current) }

// ownerName gives the name under which the session owns what it makes.
func (s *Session) ownerName() string { return s.role().Name }

// findRole finds a role by the name that the session knows it by; nil if there is none.
func (s *Session) findRole(cat *catalog.Snapshot, name string) *catalog.Role {
	if r := cat.RoleByName(name); r != nil {
		return r
	}
	if name == s.who.alias && name != "" {
		return cat.Role(catalog.OwnerOID)
	}
	return nil
}

// roleSpec gives the role that a statement names, which must exist. PUBLIC is none.
func (s *Session) roleSpec(x ast.RoleSpec) (*catalog.Role, error) {
	if x.Special {
		switch x.Name {
		case "public":
			return nil, pgerr.New(pgerr.UndefinedObject, "role \"public\" does not exist").At(x.Pos)
		case "session_user":
			return s.roleOf(s.who.session), nil
		}
		return s.role(), nil
	}
	r := s.findRole(s.catalog(), x.Name)
	if r == nil {
		return nil, pgerr.New(pgerr.UndefinedObject, "role \"%s\" does not exist", x.Name).At(0)
	}
	return r, nil
}

// setRole executes SET ROLE: value is its argument, "none" for the session user itself.
func (s *Session) setRole(value string) error {
	if strings.EqualFold(value, "none") {
		s.who.current = s.who.session
	} else {
		r := s.findRole(s.catalog(), value)
		if r == nil {
			return pgerr.New(pgerr.InvalidParameterValue, "role \"%s\" does not exist", value)
		}
		if !s.catalog().IsMember(s.who.session, r.OID) {
			return pgerr.New(pgerr.InsufficientPrivilege, "permission denied to set role \"%s\"", value)
		}
		s.who.current = r.OID
	}
	s.roleChanged()
	return nil
}

// setSessionAuthorization executes SET SESSION AUTHORIZATION; "default" is who connected.
func (s *Session) setSessionAuthorization(value string, reset bool) error {
	oid := s.who.authenticated
	if !reset {
		r := s.findRole(s.catalog(), value)
		if r == nil {
			return pgerr.New(pgerr.InvalidParameterValue, "role \"%s\" does not exist", value)
		}
		if oid = r.OID; oid != s.who.authenticated && !s.roleOf(s.who.authenticated).Super {
			return pgerr.New(pgerr.InsufficientPrivilege, "permission denied to set session authorization \"%s\"", value)
		}
	}
	s.who.session, s.who.current = oid, oid
	delete(s.vars.values, "role")
	s.roleChanged()
	return nil
}

// setAuthorization executes SET SESSION AUTHORIZATION name.
func (s *Session) setAuthorization(value string, x *ast.Set) error {
	old := s.roleName(s.who.session)
	if err := s.setSessionAuthorization(value, false); err != nil {
		return err
	}
	if x.Local {
		if s.vars.local == nil {
			s.vars.local = map[string]string{}
		}
		if _, ok := s.vars.local["session_authorization"]; !ok {
			s.vars.local["session_authorization"] = old
		}
	}
	return nil
}

// takeIdentity is vars.identity.
func (s *Session) takeIdentity(key, value string) error {
	if key == "role" {
		return s.setRole(value)
	}
	return s.setSessionAuthorization(value, false)
}

// roleChanged tells the client what it is told of roles.
func (s *Session) roleChanged() {
	for name, v := range map[string]string{"session_authorization": s.roleName(s.who.session), "is_superuser": onOff(s.role().Super)} {
		if old, _ := s.vars.get(name); old != v {
			s.vars.values[name] = v
			s.vars.changed[name] = true
		}
	}
}
