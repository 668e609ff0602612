package engine

import (
	"slices"

	"streamsql/catalog"
	"streamsql/connector"
	"streamsql/internal/pgerr"
	"streamsql/sql/parser/ast"
	"streamsql/sql/planner"
)

// permitted checks that the session may do with relations and functions what a statement does: PostgreSQL's check when an execution begins.
func (s *Session) permitted(u *planner.Uses) error {
	if u == nil {
		return nil
	}
	cat, me := s.catalog(), s.role()
	for i := range u.Relations {
		x := &u.Relations[i]
		role := me.OID
		if x.Owner != "" {
			role = cat.OwnerRole(x.Owner).OID
		}
		if x.Owner == "" && me.Super {
			continue
		}
		if err := permittedUse(cat, role, x); err != nil {
			return err
		}
	}
	if me.Super {
		return nil
	}
	for _, schema := range u.Creates {
		if path := s.searchPath(cat); schema == "" && len(path) > 0 {
			schema = path[0]
		}
		if err := s.mayCreateIn(schema); err != nil {
			return err
		}
	}
	for _, oid := range u.Functions {
		f := cat.FunctionByOID(oid)
		if f == nil {
			continue // it is gone, as its execution will tell
		}
		if o := f.Object(cat); cat.Granted(me.OID, &o, catalog.PrivExecute, false) == 0 {
			return errDenied(&o)
		}
	}
	return nil
}

func permittedUse(cat *catalog.Snapshot, role uint32, x *planner.RelationUse) error {
	rel := x.Rel
	if now := cat.ByOID(rel.OID); now != nil {
		rel = now
	}
	if x.IfRead && len(x.Columns) == 0 {
		return nil
	}
	o := rel.Object(cat)
	if cat.Granted(role, &o, x.Needs, false) == x.Needs {
		return nil
	}
	columns := o.ColumnACLs()
	if x.Whole || len(columns) == 0 {
		return errDenied(&o)
	}
	granted := func(num int16) bool { return cat.GrantedColumn(role, &o, num, x.Needs, false) == x.Needs }
	if len(x.Columns) == 0 { // no column is named, as by count(*): any will do
		for num := range columns {
			if granted(num) {
				return nil
			}
		}
		return errDenied(&o)
	}
	for _, num := range x.Columns {
		if !granted(num) {
			return errDenied(&o)
		}
	}
	return nil
}

// usage checks that the session may look into a schema that a statement names. One that does not exist is somebody else's error.
func (s *Session) usage(schema string) error {
	cat := s.catalog()
	oid, ok := cat.SchemaOID(schema)
	if !ok || s.role().Super {
		return nil
	}
	if o := cat.SchemaObject(schema, oid); !s.seesSchema(&o) {
		return errDenied(&o)
	}
	return nil
}

func (s *Session) seesSchema(o *catalog.Object) bool {
	return isTempSchema(o.Name) || s.catalog().Granted(s.who.current, o, catalog.PrivUsage, false) != 0
}

// mayReference refuses a foreign key to a table, or from one, whose columns the session may not refer to.
func (s *Session) mayReference(rel *catalog.Relation, columns []int16) error {
	return permittedUse(s.catalog(), s.who.current, &planner.RelationUse{Rel: rel, Needs: catalog.PrivReferences, Columns: columns})
}

// serverAccess is what a connector does outside of the engine, by which the roles for it are chosen.
const (
	readsServer  = "read"
	writesServer = "write"
)

// mayReach checks that the session may make the server read or write what a relation's options name: files need the roles of PostgreSQL's
// server-side COPY, and the rest of the outside world a superuser.
func (s *Session) mayReach(name, how string) error {
	me := s.role()
	c := s.e.connectors[name]
	if me.Super || c == nil {
		return nil
	}
	cat := s.catalog()
	switch reach := connector.ReachOf(c); {
	case reach == connector.ReachNothing:
		return nil
	case reach == connector.ReachFiles && how == readsServer:
		if cat.HasPrivilegesOf(me.OID, catalog.RoleReadServerFiles) {
			return nil
		}
		return pgerr.New(pgerr.InsufficientPrivilege, "must be superuser or have privileges of the pg_read_server_files role to read a file").
			WithHint("Anyone can COPY from stdin. psql's \\copy command also works for anyone.")
	case reach == connector.ReachFiles:
		if cat.HasPrivilegesOf(me.OID, catalog.RoleWriteServerFiles) {
			return nil
		}
		return pgerr.New(pgerr.InsufficientPrivilege, "must be superuser or have privileges of the pg_write_server_files role to write a file").
			WithHint("Anyone can COPY to stdout. psql's \\copy command also works for anyone.")
	}
	return pgerr.New(pgerr.InsufficientPrivilege, "must be superuser to use connector \"%s\"", name)
}

// mayCopyFile refuses COPY to or from what only the server can reach.
func (s *Session) mayCopyFile(x *ast.Copy) error {
	cat, me := s.catalog(), s.role()
	if me.Super || !x.Program && x.File == "" {
		return nil
	}
	role, name, what := catalog.RoleWriteServerFiles, "pg_write_server_files", "COPY to a file"
	switch {
	case x.Program:
		role, name, what = catalog.RoleExecServerProgram, "pg_execute_server_program", "COPY to or from an external program"
	case x.From:
		role, name, what = catalog.RoleReadServerFiles, "pg_read_server_files", "COPY from a file"
	}
	if cat.HasPrivilegesOf(me.OID, role) {
		return nil
	}
	return pgerr.New(pgerr.InsufficientPrivilege, "must be superuser or have privileges of the %s role to %s", name, what).
		WithHint("Anyone can COPY to stdout or from stdin. psql's \\copy command also works for anyone.")
}

// seesRows reports whether the session may see rows of a relation, as sys.errors and its kind show them.
func (s *Session) seesRows(oid uint32) bool {
	rel := s.catalog().ByOID(oid)
	if rel == nil {
		return s.role().Super
	}
	o := rel.Object(s.catalog())
	return s.catalog().Granted(s.who.current, &o, catalog.PrivSelect, false) != 0
}

// seesSession reports whether the session may see what another does.
func (s *Session) seesSession(o *Session) bool {
	cat := s.catalog()
	return o == s || cat.HasPrivilegesOf(s.who.current, o.authenticated()) || cat.HasPrivilegesOf(s.who.current, catalog.RoleReadAllStats)
}

// attnums gives the attribute numbers of columns by their names; those that are not there are left out.
func attnums(rel *catalog.Relation, names []string) (out []int16) {
	for i := range rel.Columns {
		if names == nil || slices.Contains(names, rel.Columns[i].Name) {
			out = append(out, rel.Attnum(i))
		}
	}
	return out
}
