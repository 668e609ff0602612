package catalog

import (
	"strings"

	"streamsql/internal/fn"
	"streamsql/internal/types"
)

// indexDef gives the statement that would make the index of a primary key.
func indexDef(r *Relation) string {
	return "CREATE UNIQUE INDEX " + fn.QuoteIdent(r.PrimaryKeyName) + " ON " + fn.QuoteIdent(r.Schema) + "." + fn.QuoteIdent(r.Name) +
		" USING btree (" + keyList(r) + ")"
}

func keyList(r *Relation) string {
	names := make([]string, len(r.PrimaryKey))
	for i, c := range r.PrimaryKey {
		names[i] = fn.QuoteIdent(r.Columns[c].Name)
	}
	return strings.Join(names, ", ")
}

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
		if len(args) > 1 && args[1] != "pg_class" {
			return nil, false
		}
		if rel != nil && rel.Comment != "" {
			return rel.Comment, true
		}
	case "col_description":
		if n := int(oid(1)); rel != nil && n >= 1 && n <= len(rel.Columns) && rel.Columns[n-1].Comment != "" {
			return rel.Columns[n-1].Comment, true
		}
	case "pg_get_indexdef":
		r := v.Snapshot.IndexOf(oid(0))
		if r == nil {
			return nil, false
		}
		if n := int(oid(1)); n > 0 {
			if n > len(r.PrimaryKey) {
				return "", true
			}
			return fn.QuoteIdent(r.Columns[r.PrimaryKey[n-1]].Name), true
		}
		return indexDef(r), true
	case "pg_get_constraintdef":
		if r := v.Snapshot.IndexOf(oid(0)); r != nil {
			return "PRIMARY KEY (" + keyList(r) + ")", true
		}
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
		if oid(0) == OwnerOID {
			return v.User, true
		}
		return "unknown (OID=" + string(types.AppendInt(nil, int64(oid(0)))) + ")", true
	case "pg_table_is_visible":
		if rel != nil {
			return v.Snapshot.Find("", rel.Name, path) == rel, true
		}
		if rel = v.Snapshot.IndexOf(oid(0)); rel != nil {
			return v.Snapshot.FindIndex("", rel.PrimaryKeyName, path) == rel, true
		}
		return nil, false
	case "pg_relation_is_publishable":
		return rel != nil && rel.Kind == Table, true
	}
	return nil, false
}
