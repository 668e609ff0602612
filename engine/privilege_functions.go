package engine

import (
	"strings"

	"streamsql/catalog"
	"streamsql/internal/fn"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
)

var _ fn.Privileges = (*sessionInfo)(nil)

// HasPrivilege answers has_table_privilege and its kin, and pg_has_role.
func (i *sessionInfo) HasPrivilege(what string, args []types.Datum) (types.Datum, error) {
	text, _ := args[len(args)-1].(string)
	objects := 1
	if what == "column" {
		objects = 2
	}
	role := i.s.who.current
	if len(args) > objects+1 {
		var err error
		if role, err = i.roleArg(args[0]); err != nil {
			return nil, err
		}
		args = args[1:]
	}
	if what == "role" {
		of, err := i.roleArg(args[0])
		if err != nil {
			return nil, err
		}
		return i.hasRole(role, of, text)
	}
	o, class, err := i.privilegeObject(what, args[0])
	if err != nil {
		return nil, err
	}
	wants, err := wantedBits(text, class)
	if err != nil {
		return nil, err
	}
	if o == nil { // of a kind that has no privileges here, or gone
		if _, isOID := args[0].(int64); isOID && (what == "table" || what == "column" || what == "any_column" || what == "sequence" || what == "schema") {
			return nil, nil
		}
		return true, nil
	}
	for _, w := range wants {
		ok, err := i.granted(what, role, o, w, args)
		if err != nil || ok {
			return ok, err
		}
	}
	return false, nil
}

type wantedPrivilege struct {
	bit    catalog.Privileges
	option bool
}

// wantedBits reads a list of privileges, each perhaps WITH GRANT OPTION.
func wantedBits(text string, class catalog.ObjectClass) (out []wantedPrivilege, err error) {
	for _, w := range strings.Split(text, ",") {
		name := strings.Join(strings.Fields(strings.ToUpper(w)), " ")
		base, option := strings.CutSuffix(name, " WITH GRANT OPTION")
		bit, ok := catalog.PrivilegeByName(base)
		if !ok || bit&^class.All() != 0 && class != catalog.LanguageClass {
			return nil, pgerr.New(pgerr.InvalidParameterValue, "unrecognized privilege type: \"%s\"", strings.TrimSpace(w))
		}
		out = append(out, wantedPrivilege{bit, option})
	}
	return out, nil
}

func (i *sessionInfo) roleArg(d types.Datum) (uint32, error) {
	switch x := d.(type) {
	case int64:
		return uint32(x), nil
	case string:
		if x == "public" {
			return 0, nil
		}
		if r := i.s.findRole(i.cat, x); r != nil {
			return r.OID, nil
		}
		return 0, pgerr.New(pgerr.UndefinedObject, "role \"%s\" does not exist", x)
	}
	return 0, pgerr.New(pgerr.UndefinedObject, "role does not exist")
}

// hasRole answers pg_has_role: MEMBER is whether SET ROLE works, USAGE whether the privileges are there without it.
func (i *sessionInfo) hasRole(role, of uint32, text string) (types.Datum, error) {
	for _, w := range strings.Split(text, ",") {
		name := strings.Join(strings.Fields(strings.ToUpper(w)), " ")
		ok := false
		switch name {
		case "USAGE":
			ok = i.cat.HasPrivilegesOf(role, of)
		case "MEMBER":
			ok = i.cat.IsMember(role, of)
		case "USAGE WITH GRANT OPTION", "USAGE WITH ADMIN OPTION", "MEMBER WITH GRANT OPTION", "MEMBER WITH ADMIN OPTION":
			ok = i.cat.IsAdmin(role, of)
		default:
			return nil, pgerr.New(pgerr.InvalidParameterValue, "unrecognized privilege type: \"%s\"", strings.TrimSpace(w))
		}
		if ok {
			return true, nil
		}
	}
	return false, nil
}

// privilegeObject finds what a function asks about, by name or OID; nil: it is not there, or has no privileges here.
func (i *sessionInfo) privilegeObject(what string, d types.Datum) (*catalog.Object, catalog.ObjectClass, error) {
	name, byName := d.(string)
	n, _ := d.(int64)
	oid := uint32(n)
	lookup := func(kind types.T) error {
		if !byName {
			return nil
		}
		var err error
		oid, err = i.RegLookup(kind, name)
		return err
	}
	some := func(o catalog.Object, class catalog.ObjectClass) (*catalog.Object, catalog.ObjectClass, error) {
		return &o, class, nil
	}
	switch what {
	case "table", "column", "any_column", "sequence":
		class := map[string]catalog.ObjectClass{"table": catalog.RelationClass, "sequence": catalog.SequenceClass}[what]
		if class == 0 {
			class = catalog.ColumnClass
		}
		if err := lookup(types.Regclass); err != nil {
			return nil, class, err
		}
		r := i.cat.ByOID(oid)
		if r == nil {
			return nil, class, nil
		}
		if what == "sequence" && r.Kind != catalog.SequenceKind {
			return nil, class, pgerr.New(pgerr.WrongObjectType, "\"%s\" is not a sequence", r.Name)
		}
		return some(r.Object(i.cat), class)
	case "schema":
		if err := lookup(types.T{OID: types.OIDRegnamespace}); err != nil {
			return nil, catalog.SchemaClass, err
		}
		for _, s := range i.cat.Schemas() {
			if o, _ := i.cat.SchemaOID(s); o == oid {
				return some(i.cat.SchemaObject(s, oid), catalog.SchemaClass)
			}
		}
		return nil, catalog.SchemaClass, nil
	case "database":
		if byName && name != i.s.database {
			return nil, catalog.DatabaseClass, pgerr.New(pgerr.InvalidCatalogName, "database \"%s\" does not exist", name)
		}
		return some(i.cat.DatabaseObject(i.s.database), catalog.DatabaseClass)
	case "function":
		if err := lookup(types.T{OID: types.OIDRegprocedure}); err != nil {
			return nil, catalog.FunctionClass, err
		}
		if f := i.cat.FunctionByOID(oid); f != nil {
			return some(f.Object(i.cat), catalog.FunctionClass)
		}
		return nil, catalog.FunctionClass, nil
	case "type":
		if t := i.cat.TypeByOID(oid); !byName && t != nil {
			return some(t.Object(i.cat), catalog.TypeClass)
		}
		return nil, catalog.TypeClass, nil
	}
	return nil, catalog.LanguageClass, nil
}

// granted tells whether role has one privilege.
func (i *sessionInfo) granted(what string, role uint32, o *catalog.Object, w wantedPrivilege, args []types.Datum) (bool, error) {
	bit := w.bit
	if role == 0 { // PUBLIC
		for _, x := range o.FullACL() {
			if x.Grantee == 0 && x.Privileges&bit != 0 && !w.option {
				return true, nil
			}
		}
		return false, nil
	}
	if i.cat.Granted(role, o, bit, w.option) != 0 {
		return true, nil
	}
	switch what {
	case "any_column":
		for num := range o.ColumnACLs() {
			if i.cat.GrantedColumn(role, o, num, bit, w.option) != 0 {
				return true, nil
			}
		}
	case "column":
		rel := i.cat.ByOID(o.OID)
		num := int16(0)
		switch c := args[1].(type) {
		case int16:
			num = c
		case string:
			k := rel.ColumnIndex(c)
			if k < 0 {
				return false, pgerr.New(pgerr.UndefinedColumn, "column \"%s\" of relation \"%s\" does not exist", c, rel.Name)
			}
			num = rel.Attnum(k)
		}
		return i.cat.GrantedColumn(role, o, num, bit, w.option) != 0, nil
	}
	return false, nil
}
