package catalog

import (
	"strings"

	"streamsql/internal/fn"
	"streamsql/internal/types"
)

// defaultText gives a column's DEFAULT as PostgreSQL shows it, where a string literal has its type; "" is none.
func defaultText(c *Column) string {
	s := c.Default
	if len(s) >= 2 && s[0] == '\'' && s[len(s)-1] == '\'' && !strings.Contains(strings.ReplaceAll(s[1:len(s)-1], "''", ""), "'") {
		return s + "::" + c.Type.Bare().Format()
	}
	return s
}

// Describe answers the functions that describe an object by its OID: what names the function, args are its
// arguments. ok is false where the answer is NULL.
func Describe(v *Viewer, path []string, what string, args []types.Datum) (d types.Datum, ok bool) {
	oid := func(i int) uint32 {
		if i < len(args) {
			switch x := args[i].(type) {
			case int64:
				return uint32(x)
			case int32:
				return uint32(x)
			}
		}
		return 0
	}
	if len(args) == 0 {
		return nil, false
	}
	rel := v.Snapshot.ByOID(oid(0))
	switch what {
	case "pg_get_viewdef":
		if rel != nil && rel.Definition != "" {
			return " " + strings.TrimSuffix(strings.TrimSpace(rel.Definition), ";") + ";", true
		}
	case "obj_description":
		if len(args) > 1 && args[1] == "pg_proc" {
			if p := procByOID(v.Snapshot, oid(0)); p != nil && p.doc != "" {
				return p.doc, true
			}
			return nil, false
		}
		if len(args) > 1 && args[1] == "pg_constraint" {
			for _, r := range v.Snapshot.Relations() {
				if r.PrimaryKeyConOID() == oid(0) && r.KeyComment != "" {
					return r.KeyComment, true
				}
				for _, c := range r.Constraints {
					if c.OID == oid(0) && c.Comment != "" {
						return c.Comment, true
					}
				}
			}
			return nil, false
		}
		if len(args) > 1 && args[1] != "pg_class" {
			text := v.Snapshot.Comment(oid(0))
			return text, text != ""
		}
		if rel != nil && rel.Comment != "" {
			return rel.Comment, true
		}
		if x := v.Snapshot.IndexByOID(oid(0)); x != nil && x.Comment != "" {
			return x.Comment, true
		}
	case "col_description":
		if rel != nil {
			if i := rel.ColumnByNum(int16(oid(1))); i >= 0 && rel.Columns[i].Comment != "" {
				return rel.Columns[i].Comment, true
			}
		}
	case "pg_get_indexdef":
		x := v.Snapshot.IndexByOID(oid(0))
		if x == nil {
			return nil, false
		}
		if n := int(oid(1)); n > 0 {
			if n > len(x.Terms) {
				return "", true
			}
			return x.Terms[n-1], true
		}
		return x.Definition(), true
	case "pg_get_constraintdef":
		for _, r := range v.Snapshot.Relations() {
			if r.PrimaryKey != nil && r.PrimaryKeyConOID() == oid(0) {
				return "PRIMARY KEY (" + r.nameList(r.Attnums(r.PrimaryKey)) + ")", true
			}
			for _, c := range r.Constraints {
				if c.OID == oid(0) {
					return c.Definition(v.Snapshot, r, path), true
				}
			}
		}
		for _, t := range v.Snapshot.Types() {
			for _, c := range t.Checks {
				if c.OID == oid(0) {
					return c.Definition(v.Snapshot, nil, path), true
				}
			}
		}
	case "pg_get_serial_sequence":
		return serialSequence(v.Snapshot, path, args)
	case "pg_function_is_visible":
		if p := procByOID(v.Snapshot, oid(0)); p != nil {
			return p.visible(v.Snapshot, path), true
		}
		return nil, false
	case "pg_get_function_sqlbody":
		if f := v.Snapshot.FunctionByOID(oid(0)); f != nil && f.Return {
			return "RETURN " + strings.TrimPrefix(f.Body, "SELECT "), true
		}
	case "pg_get_function_arguments", "pg_get_function_identity_arguments":
		if p := procByOID(v.Snapshot, oid(0)); p != nil {
			return p.arguments(what == "pg_get_function_arguments"), true
		}
	case "pg_get_function_result":
		if p := procByOID(v.Snapshot, oid(0)); p != nil {
			return p.result(), true
		}
	case "pg_get_functiondef":
		if p := procByOID(v.Snapshot, oid(0)); p != nil && p.kind == 'f' {
			return p.definition(), true
		}
	case "pg_get_expr":
		if text, isText := args[0].(string); isText {
			return text, true
		}
	case "pg_get_userbyid":
		if v.Snapshot.Role(oid(0)) != nil {
			return v.RoleName(oid(0)), true
		}
		return "unknown (OID=" + string(types.AppendInt(nil, int64(oid(0)))) + ")", true
	case "pg_table_is_visible":
		if rel != nil {
			return v.Snapshot.Find("", rel.Name, path) == rel, true
		}
		if x := v.Snapshot.IndexByOID(oid(0)); x != nil {
			return v.Snapshot.FindIndex("", x.Name, path) == x, true
		}
		return nil, false
	case "pg_relation_is_publishable":
		return rel != nil && rel.Kind == Table, true
	}
	return nil, false
}

// serialSequence answers pg_get_serial_sequence(table, column).
func serialSequence(s *Snapshot, path []string, args []types.Datum) (types.Datum, bool) {
	if len(args) < 3 { // the table's OID, as the function was given it, follows
		return nil, false
	}
	oid, _ := args[2].(int64)
	column, _ := args[1].(string)
	rel := s.ByOID(uint32(oid))
	if rel == nil {
		return nil, false
	}
	i := rel.ColumnIndex(column)
	if i < 0 {
		return nil, false
	}
	for _, r := range s.Relations() {
		if q := r.Sequence; q != nil && q.Owner == rel.OID && q.OwnerColumn == rel.Attnum(i) {
			return fn.QuoteIdent(r.Schema) + "." + fn.QuoteIdent(r.Name), true
		}
	}
	return nil, false
}
