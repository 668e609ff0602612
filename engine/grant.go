package engine

import (
	"maps"
	"slices"
	"strings"

	"streamsql/catalog"
	"streamsql/internal/pgerr"
	"streamsql/sql/parser/ast"
)

// grant executes GRANT and REVOKE.
func (s *Session) grant(x *ast.Grant) error {
	if x.Kind == "" {
		return s.grantRoles(x)
	}
	if x.Defaults {
		return pgerr.New(pgerr.FeatureNotSupported, "ALTER DEFAULT PRIVILEGES is not supported").
			WithHint("Grant on what is there with GRANT .. ON ALL TABLES IN SCHEMA.")
	}
	var grantees []uint32
	for _, n := range x.Roles {
		if n.Special && n.Name == "public" {
			if x.WithOption {
				return pgerr.New(pgerr.InvalidGrantOperation, "grant options can only be granted to roles")
			}
			grantees = append(grantees, 0)
			continue
		}
		r, err := s.roleSpec(n)
		if err != nil {
			return err
		}
		grantees = append(grantees, r.OID)
	}
	if x.By != nil {
		by, err := s.roleSpec(*x.By)
		if err != nil {
			return err
		}
		if by.OID != s.who.current {
			return pgerr.New(pgerr.FeatureNotSupported, "grantor must be current user").At(x.By.Pos)
		}
	}
	objects, err := s.grantTargets(x)
	if err != nil {
		return err
	}
	for _, o := range objects {
		if err := s.grantOn(x, o, grantees); err != nil {
			return err
		}
	}
	return nil
}

// grantTargets gives the objects that a GRANT names.
func (s *Session) grantTargets(x *ast.Grant) (out []catalog.Object, err error) {
	cat := s.catalog()
	kind, all := strings.CutPrefix(x.Kind, "all ")
	if all {
		for _, n := range x.Objects {
			if _, ok := cat.SchemaOID(n.Base()); !ok {
				return nil, pgerr.New(pgerr.InvalidSchemaName, "schema \"%s\" does not exist", n.Base()).At(n.Pos)
			}
			for _, r := range cat.Relations() {
				if r.Schema == n.Base() && (kind == "tables" && r.Kind != catalog.SequenceKind || kind == "sequences" && r.Kind == catalog.SequenceKind) {
					out = append(out, r.Object(cat))
				}
			}
			for _, f := range cat.Functions() {
				if f.Schema == n.Base() && kind == "functions" {
					out = append(out, f.Object(cat))
				}
			}
		}
		return out, nil
	}
	for i, n := range x.Objects {
		switch kind {
		case "schema":
			oid, ok := cat.SchemaOID(n.Base())
			if !ok {
				return nil, pgerr.New(pgerr.InvalidSchemaName, "schema \"%s\" does not exist", n.Base())
			}
			out = append(out, cat.SchemaObject(n.Base(), oid))
		case "database":
			if n.Base() != s.database {
				return nil, pgerr.New(pgerr.InvalidCatalogName, "database \"%s\" does not exist", n.Base())
			}
			out = append(out, cat.DatabaseObject(s.database))
		case "function", "procedure", "routine":
			d := &ast.Drop{Kind: "function", Names: []ast.Name{n}}
			if i < len(x.Args) && x.Args[i] != nil {
				d.Args = [][]ast.TypeName{x.Args[i]}
			}
			f, err := s.findFunction(cat, d, 0, n)
			if err != nil {
				return nil, err
			}
			out = append(out, f.Object(cat))
		case "type", "domain":
			t, err := s.findType(n, kind, false)
			if err != nil {
				return nil, err
			}
			out = append(out, t.Object(cat))
		case "language":
			return nil, pgerr.New(pgerr.FeatureNotSupported, "privileges on languages are not supported")
		default:
			r, err := s.lookup(n)
			if err != nil {
				return nil, unplacedError(err)
			}
			if kind == "sequence" && r.Kind != catalog.SequenceKind {
				return nil, pgerr.New(pgerr.WrongObjectType, "\"%s\" is not a sequence", r.Name)
			}
			out = append(out, r.Object(cat))
		}
	}
	return out, nil
}

// unplacedError gives an error without its position: PostgreSQL shows none.
func unplacedError(err error) error {
	e := *pgerr.From(err)
	e.Position = 0
	return &e
}

// wantedPrivileges reads the privileges of a GRANT on an object: those on the whole, and by attribute number those on columns.
func (s *Session) wantedPrivileges(x *ast.Grant, o *catalog.Object) (whole catalog.Privileges, columns map[int16]catalog.Privileges, err error) {
	class := o.Class
	what := map[catalog.ObjectClass]string{catalog.RelationClass: "relation", catalog.SequenceClass: "sequence", catalog.SchemaClass: "schema",
		catalog.FunctionClass: "function", catalog.TypeClass: "type", catalog.DatabaseClass: "database", catalog.SecretClass: "secret"}[class]
	columns = map[int16]catalog.Privileges{}
	for _, p := range x.Privileges {
		bits := class.All()
		if !x.All {
			var ok bool
			if bits, ok = catalog.PrivilegeByName(p.Name); !ok {
				return 0, nil, pgerr.New(pgerr.SyntaxError, "unrecognized privilege type \"%s\"", p.Name)
			}
			if bits&^class.All() != 0 {
				if class == catalog.SequenceClass && x.Kind == "table" && bits&^catalog.RelationClass.All() == 0 { // GRANT INSERT ON seq of old dumps
					s.warning(pgerr.InvalidGrantOperation, "sequence \"%s\" only supports USAGE, SELECT, and UPDATE privileges", o.Name)
					continue
				}
				return 0, nil, pgerr.New(pgerr.InvalidGrantOperation, "invalid privilege type %s for %s", strings.ToUpper(p.Name), what)
			}
		}
		if p.Columns == nil {
			whole |= bits
			continue
		}
		if class != catalog.RelationClass {
			return 0, nil, pgerr.New(pgerr.InvalidGrantOperation, "column privileges are only valid for relations")
		}
		if x.All {
			bits = catalog.ColumnClass.All()
		}
		if bits&^catalog.ColumnClass.All() != 0 {
			return 0, nil, pgerr.New(pgerr.InvalidGrantOperation, "invalid privilege type %s for column", strings.ToUpper(p.Name))
		}
		rel := s.catalog().ByOID(o.OID)
		for _, c := range p.Columns {
			i := rel.ColumnIndex(c)
			if i < 0 {
				return 0, nil, pgerr.New(pgerr.UndefinedColumn, "column \"%s\" of relation \"%s\" does not exist", c, rel.Name)
			}
			columns[rel.Attnum(i)] |= bits
		}
	}
	return whole, columns, nil
}

// grantOn executes GRANT or REVOKE on one object.
func (s *Session) grantOn(x *ast.Grant, o catalog.Object, grantees []uint32) error {
	whole, columns, err := s.wantedPrivileges(x, &o)
	if err != nil {
		return err
	}
	access := s.catalog().Access(o.OID).Clone()
	if whole != 0 {
		acl, err := s.changeACL(x, &o, o.FullACL(), 0, whole, grantees)
		if err != nil {
			return err
		}
		if acl == nil {
			acl = catalog.ACL{}
		}
		access.ACL = acl
		if x.Revoke && o.Class == catalog.RelationClass { // REVOKE on a table takes what was granted on its columns as well
			for num, old := range access.Columns {
				for _, g := range grantees {
					old, _ = old.Revoke(g, s.grantorOf(&o, whole), o.Owner, whole, 0, true)
				}
				access.Columns[num] = old
			}
		}
	}
	for _, num := range slices.Sorted(maps.Keys(columns)) {
		acl, err := s.changeACL(x, &o, access.Columns[num], num, columns[num], grantees)
		if err != nil {
			return err
		}
		if access.Columns == nil {
			access.Columns = map[int16]catalog.ACL{}
		}
		access.Columns[num] = acl
	}
	maps.DeleteFunc(access.Columns, func(_ int16, a catalog.ACL) bool { return len(a) == 0 })
	s.change(&ddl{ch: &catalogChange{Access: map[uint32]*catalog.Access{o.OID: access}}})
	return nil
}

// grantorOf gives the role in whose name the session grants on an object: its owner where it may act as it, else the role that has most of the
// grant options.
func (s *Session) grantorOf(o *catalog.Object, want catalog.Privileges) uint32 {
	cat := s.catalog()
	if s.role().Super || cat.HasPrivilegesOf(s.who.current, o.Owner) {
		return o.Owner
	}
	best, most := s.who.current, 0
	for _, item := range o.FullACL() {
		if n := len((item.Options & want).Names()); item.Grantee != 0 && n > most && cat.HasPrivilegesOf(s.who.current, item.Grantee) {
			best, most = item.Grantee, n
		}
	}
	return best
}

// changeACL gives the list after a GRANT or REVOKE of the privileges want, on the column num if it is not 0.
func (s *Session) changeACL(x *ast.Grant, o *catalog.Object, acl catalog.ACL, num int16, want catalog.Privileges, grantees []uint32) (catalog.ACL, error) {
	cat := s.catalog()
	grantor := s.grantorOf(o, want)
	may := cat.Granted(grantor, o, want, true)
	if num != 0 {
		may |= cat.GrantedColumn(grantor, o, num, want, true)
	}
	if may == 0 {
		any := cat.Granted(s.who.current, o, o.Class.All(), false)
		if any == 0 {
			return nil, errDenied(o)
		}
	}
	if may != want && !(x.All && may != 0) {
		word, code := "granted", pgerr.PrivilegeNotGranted
		if x.Revoke {
			word, code = "revoked", pgerr.PrivilegeNotRevoked
		}
		switch {
		case may == 0 && x.Revoke:
			s.warning(code, "no privileges could be revoked for \"%s\"", o.Name)
		case may == 0:
			s.warning(code, "no privileges were granted for \"%s\"", o.Name)
		case x.Revoke:
			s.warning(code, "not all privileges could be %s for \"%s\"", word, o.Name)
		default:
			s.warning(code, "not all privileges were %s for \"%s\"", word, o.Name)
		}
	}
	for _, g := range grantees {
		switch {
		case x.Revoke:
			p, options := may, catalog.Privileges(0)
			if x.OptionFor {
				p, options = 0, may
			}
			var dependents bool
			if acl, dependents = acl.Revoke(g, grantor, o.Owner, p, options, x.Cascade); dependents {
				return nil, pgerr.New(pgerr.DependentObjectsStillExist, "dependent privileges exist").WithHint("Use CASCADE to revoke them too.")
			}
		case x.WithOption:
			acl = acl.Grant(g, grantor, may, may)
		default:
			acl = acl.Grant(g, grantor, may, 0)
		}
	}
	return acl, nil
}

// errDenied words that the session may not do with an object what it wants.
func errDenied(o *catalog.Object) error {
	return pgerr.New(pgerr.InsufficientPrivilege, "permission denied for %s %s", o.Kind, o.Name)
}

// errNotOwner words that the session must own an object.
func errNotOwner(o *catalog.Object) error {
	return pgerr.New(pgerr.InsufficientPrivilege, "must be owner of %s %s", o.Kind, o.Name)
}

// owns reports whether the session may do what only the owner of an object may.
func (s *Session) owns(o catalog.Object) bool {
	return s.catalog().HasPrivilegesOf(s.who.current, o.Owner)
}

// mustOwn refuses the session that does not own an object.
func (s *Session) mustOwn(o catalog.Object) error {
	if s.owns(o) {
		return nil
	}
	return errNotOwner(&o)
}

// ownsSchema reports whether the session owns a schema: who does may drop what is in it.
func (s *Session) ownsSchema(name string) bool {
	oid, _ := s.catalog().SchemaOID(name)
	return s.owns(s.catalog().SchemaObject(name, oid))
}

// mustOwnIndex refuses the session that does not own the table of an index.
func (s *Session) mustOwnIndex(ix *catalog.IndexInfo) error {
	o := ix.Rel.Object(s.catalog())
	if s.owns(o) {
		return nil
	}
	o.Kind, o.Name = "index", ix.Name
	return errNotOwner(&o)
}

// schemaObject gives the owner and privileges of a schema that exists.
func (s *Session) schemaObject(name string) catalog.Object {
	oid, _ := s.catalog().SchemaOID(name)
	return s.catalog().SchemaObject(name, oid)
}

// mayCreateIn refuses the session that may not create anything in a schema.
func (s *Session) mayCreateIn(schema string) error {
	if isTempSchema(schema) {
		return nil
	}
	if o := s.schemaObject(schema); s.catalog().Granted(s.who.current, &o, catalog.PrivCreate, false) == 0 {
		return errDenied(&o)
	}
	return nil
}

// schemaOwner checks that the session may create a schema, gives it the name of its owner where it has none, and gives the owner.
func (s *Session) schemaOwner(x *ast.CreateSchema) (string, error) {
	owner := s.role()
	if x.Owner != nil {
		var err error
		if owner, err = s.roleSpec(*x.Owner); err != nil {
			return "", err
		}
		if x.Name == "" {
			x.Name = s.roleName(owner.OID)
		}
	}
	if o := s.catalog().DatabaseObject(s.database); s.catalog().Granted(s.who.current, &o, catalog.PrivCreate, false) == 0 {
		return "", errDenied(&o)
	}
	if !s.catalog().IsMember(s.who.current, owner.OID) {
		return "", pgerr.New(pgerr.InsufficientPrivilege, "must be member of role \"%s\"", owner.Name)
	}
	return owner.Name, nil
}

// newOwner checks OWNER TO, and gives the owner to be.
func (s *Session) newOwner(o catalog.Object, a *ast.AlterAction) (*catalog.Role, error) {
	to, err := s.roleSpec(a.Role)
	if err != nil {
		return nil, err
	}
	if to.OID == o.Owner {
		return to, nil
	}
	if err := s.mustOwn(o); err != nil {
		return nil, err
	}
	if !s.catalog().IsMember(s.who.current, to.OID) {
		return nil, pgerr.New(pgerr.InsufficientPrivilege, "must be member of role \"%s\"", to.Name)
	}
	return to, nil
}

// ownRelation executes ALTER .. OWNER TO of a relation, whose sequences follow.
func (s *Session) ownRelation(rel, c *catalog.Relation, a *ast.AlterAction) error {
	cat := s.catalog()
	to, err := s.newOwner(rel.Object(cat), a)
	if err != nil {
		return err
	}
	if q := rel.Sequence; q != nil && q.Owner != 0 && cat.ByOID(q.Owner) != nil {
		return pgerr.New(pgerr.FeatureNotSupported, "cannot change owner of sequence \"%s\"", rel.Name).
			WithDetail("Sequence \"%s\" is linked to table \"%s\".", rel.Name, cat.ByOID(q.Owner).Name)
	}
	if !s.role().Super {
		oid, _ := cat.SchemaOID(rel.Schema)
		if o := cat.SchemaObject(rel.Schema, oid); cat.Granted(to.OID, &o, catalog.PrivCreate, false) == 0 {
			return errDenied(&o)
		}
	}
	for _, r := range append([]*catalog.Relation{c}, ownedSequences(cat, rel.OID, 0)...) {
		n := r.Clone()
		n.Owner = to.Name
		if err := s.putRelation(n); err != nil {
			return err
		}
		s.handOver(cat.ByOID(r.OID).Object(cat), to)
	}
	return nil
}

// handOver makes what has been granted on an object be granted by its new owner.
func (s *Session) handOver(o catalog.Object, to *catalog.Role) {
	access := s.catalog().Access(o.OID)
	if access == nil || o.Owner == to.OID {
		return
	}
	c := access.Clone()
	if c.ACL != nil {
		c.ACL = c.ACL.ChangeOwner(o.Owner, to.OID)
	}
	for num, acl := range c.Columns {
		c.Columns[num] = acl.ChangeOwner(o.Owner, to.OID)
	}
	s.change(&ddl{ch: &catalogChange{Access: map[uint32]*catalog.Access{o.OID: c}}})
}

// ownObject executes ALTER .. OWNER TO of a schema or the database.
func (s *Session) ownObject(o catalog.Object, a *ast.AlterAction) error {
	to, err := s.newOwner(o, a)
	if err != nil {
		return err
	}
	c := s.catalog().Access(o.OID).Clone()
	c.Owner = to.Name
	if c.ACL != nil {
		c.ACL = c.ACL.ChangeOwner(o.Owner, to.OID)
	}
	s.change(&ddl{ch: &catalogChange{Access: map[uint32]*catalog.Access{o.OID: c}}})
	return nil
}
