package engine

import (
	"slices"
	"strconv"
	"strings"

	"streamsql/catalog"
	"streamsql/internal/fn"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/sql/parser"
	"streamsql/sql/planner"
)

// sessionInfo answers the system information functions for one statement.
type sessionInfo struct {
	s   *Session
	cat *catalog.Snapshot
}

var _ fn.SessionInfo = (*sessionInfo)(nil)

func (i *sessionInfo) CurrentUser() string     { return i.s.userName() }
func (i *sessionInfo) SessionUser() string     { return i.s.roleName(i.s.who.session) }
func (i *sessionInfo) CurrentDatabase() string { return i.s.database }
func (i *sessionInfo) BackendPID() int32       { return i.s.pid }

func (i *sessionInfo) SearchPath(implicit bool) []string {
	path := i.s.searchPath(i.cat)
	if implicit {
		path = append([]string{"pg_catalog"}, path...)
	}
	return path
}

func (i *sessionInfo) Setting(name string) (string, bool) { return i.s.vars.get(settingName(name)) }

func (i *sessionInfo) SetSetting(name, value string, local bool) error {
	return i.s.vars.set(settingName(name), value, local)
}

// RegLookup gives the OID that a name has as a reg* type.
func (i *sessionInfo) RegLookup(kind types.T, name string) (uint32, error) {
	name = strings.TrimSpace(name)
	if n, err := strconv.ParseUint(name, 10, 32); err == nil {
		return uint32(n), nil
	}
	if name == "-" {
		return 0, nil
	}
	parts := planner.SplitName(name)
	base, schema := parts[len(parts)-1], ""
	if len(parts) > 1 {
		schema = parts[len(parts)-2]
	}
	if kind.OID != types.OIDRegrole && kind.OID != types.OIDRegnamespace {
		if err := i.s.usage(schema); err != nil {
			return 0, err
		}
	}
	switch kind.OID {
	case types.OIDRegclass:
		if r := i.cat.Find(schema, base, i.s.searchPath(i.cat)); r != nil {
			return r.OID, nil
		}
		if r := i.cat.FindIndex(schema, base, i.s.searchPath(i.cat)); r != nil {
			return r.OID, nil
		}
		return 0, pgerr.New(pgerr.UndefinedTable, "relation \"%s\" does not exist", strings.Join(parts, "."))
	case types.OIDRegtype:
		t := strings.TrimSpace(base)
		arrays := 0
		for strings.HasSuffix(t, "[]") {
			t = strings.TrimSpace(strings.TrimSuffix(t, "[]"))
			arrays++
		}
		if open := strings.IndexByte(t, '('); open > 0 {
			if end := strings.IndexByte(t, ')'); end > open {
				t = strings.TrimSpace(t[:open] + t[end+1:])
			}
		}
		if ty, ok := types.Lookup(t); ok {
			if arrays > 0 {
				ty, _ = ty.ArrayOf()
			}
			return ty.OID, nil
		}
		if u := i.cat.FindType(schema, t, i.s.searchPath(i.cat)); u != nil {
			if arrays > 0 {
				return u.ArrayOID, nil
			}
			return u.OID, nil
		}
		if r := i.cat.Find(schema, base, i.s.searchPath(i.cat)); r != nil {
			return r.TypeOID, nil
		}
		return 0, pgerr.New(pgerr.UndefinedObject, "type \"%s\" does not exist", name)
	case types.OIDRegnamespace:
		if oid, ok := i.cat.SchemaOID(base); ok {
			return oid, nil
		}
		return 0, pgerr.New(pgerr.InvalidSchemaName, "schema \"%s\" does not exist", base)
	case types.OIDRegrole:
		r := i.s.findRole(i.cat, parts[0])
		if r == nil || len(parts) > 1 {
			return 0, pgerr.New(pgerr.UndefinedObject, "role \"%s\" does not exist", strings.Join(parts, "."))
		}
		return r.OID, nil
	case types.OIDRegproc, types.OIDRegprocedure:
		return i.lookupProc(kind, name)
	case types.OIDRegoper:
		ops := fn.LookupOp(base)
		switch len(ops) {
		case 0:
			return 0, pgerr.New(pgerr.UndefinedFunction, "operator does not exist: %s", name)
		case 1:
			return ops[0].OID, nil
		}
		return 0, pgerr.New(pgerr.AmbiguousFunction, "more than one operator named %s", name)
	case types.OIDRegoperator:
		symbol, list, _ := strings.Cut(base, "(")
		list, typed := strings.CutSuffix(strings.TrimSpace(list), ")")
		left, right, two := strings.Cut(list, ",")
		if !typed || !two {
			return 0, pgerr.New(pgerr.InvalidTextRepresentation, "expected a left parenthesis")
		}
		var args []uint32
		for _, t := range []string{left, right} {
			if strings.EqualFold(strings.TrimSpace(t), "none") {
				continue
			}
			oid, err := i.RegLookup(types.Regtype, t)
			if err != nil {
				return 0, err
			}
			args = append(args, oid)
		}
		for _, f := range fn.LookupOp(strings.TrimSpace(symbol)) {
			if slices.EqualFunc(f.Args, args, func(t types.T, oid uint32) bool { return t.OID == oid }) {
				return f.OID, nil
			}
		}
		return 0, pgerr.New(pgerr.UndefinedFunction, "operator does not exist: %s", name)
	case types.OIDRegcollation:
		for oid, n := range catalog.Collations {
			if n == base {
				return oid, nil
			}
		}
		return 0, pgerr.New(pgerr.UndefinedObject, "collation \"%s\" for encoding \"UTF8\" does not exist", base)
	}
	return 0, pgerr.New(pgerr.FeatureNotSupported, "names of type %s cannot be looked up", kind)
}

// RegName gives the name of an OID as a reg* type shows it.
func (i *sessionInfo) RegName(kind types.T, oid uint32) (string, bool) {
	if oid == 0 {
		return "-", true
	}
	switch kind.OID {
	case types.OIDRegclass:
		if r := i.cat.ByOID(oid); r != nil {
			if i.cat.Find("", r.Name, i.s.searchPath(i.cat)) == r {
				return fn.QuoteIdent(r.Name), true
			}
			return fn.QuoteIdent(r.Schema) + "." + fn.QuoteIdent(r.Name), true
		}
		if x := i.cat.IndexByOID(oid); x != nil {
			if i.cat.FindIndex("", x.Name, i.s.searchPath(i.cat)) == x {
				return fn.QuoteIdent(x.Name), true
			}
			return fn.QuoteIdent(x.Rel.Schema) + "." + fn.QuoteIdent(x.Name), true
		}
	case types.OIDRegtype:
		if types.InfoOf(types.Of(oid)) != nil {
			return types.Of(oid).Format(), true
		}
		for _, r := range i.cat.Relations() {
			if r.TypeOID == oid {
				return r.Name, true
			}
		}
	case types.OIDRegnamespace:
		for _, n := range i.cat.Schemas() {
			if o, _ := i.cat.SchemaOID(n); o == oid {
				return fn.QuoteIdent(n), true
			}
		}
	case types.OIDRegrole:
		if i.cat.Role(oid) != nil {
			return fn.QuoteIdent(i.s.roleName(oid)), true
		}
	case types.OIDRegproc:
		name, _, ok := catalog.ProcName(i.cat, i.s.searchPath(i.cat), oid)
		return name, ok
	case types.OIDRegprocedure:
		_, signature, ok := catalog.ProcName(i.cat, i.s.searchPath(i.cat), oid)
		return signature, ok
	case types.OIDRegoper, types.OIDRegoperator:
		for _, f := range fn.AllOps() {
			if f.OID != oid {
				continue
			}
			if kind.OID == types.OIDRegoper {
				return f.Name, true
			}
			left, right := "NONE", f.Args[len(f.Args)-1].Format()
			if len(f.Args) == 2 {
				left = f.Args[0].Format()
			}
			return f.Name + "(" + left + "," + right + ")", true
		}
	case types.OIDRegcollation:
		if n, ok := catalog.Collations[oid]; ok {
			return fn.QuoteIdent(n), true
		}
	}
	return "", false
}

// lookupProc gives the OID of a function: by its name alone, which must be of one function, or with its argument types.
func (i *sessionInfo) lookupProc(kind types.T, name string) (uint32, error) {
	text, list, typed := strings.Cut(strings.TrimSpace(name), "(")
	parts := planner.SplitName(text)
	base, schema := strings.TrimSpace(parts[len(parts)-1]), ""
	if len(parts) > 1 {
		schema = parts[len(parts)-2]
	}
	if kind.OID == types.OIDRegproc {
		switch oids := catalog.LookupProc(i.cat, i.s.searchPath(i.cat), schema, base, nil); {
		case len(oids) == 1:
			return oids[0], nil
		case len(oids) > 1:
			return 0, pgerr.New(pgerr.AmbiguousFunction, "more than one function named \"%s\"", name)
		}
		return 0, pgerr.New(pgerr.UndefinedFunction, "function \"%s\" does not exist", name)
	}
	if !typed || !strings.HasSuffix(list, ")") {
		return 0, pgerr.New(pgerr.InvalidTextRepresentation, "expected a left parenthesis")
	}
	args := []uint32{}
	if list = strings.TrimSpace(strings.TrimSuffix(list, ")")); list != "" {
		for _, t := range strings.Split(list, ",") {
			oid, err := i.RegLookup(types.Regtype, t)
			if err != nil {
				return 0, err
			}
			args = append(args, oid)
		}
	}
	if oids := catalog.LookupProc(i.cat, i.s.searchPath(i.cat), schema, base, args); len(oids) > 0 {
		return oids[0], nil
	}
	return 0, pgerr.New(pgerr.UndefinedFunction, "function \"%s\" does not exist", name)
}

// keywordRows gives the rows of pg_get_keywords: the words of PostgreSQL's grammar.
func keywordRows() [][]types.Datum {
	var out [][]types.Datum
	for _, w := range parser.Keywords() {
		code, bare, ok := parser.KeywordCategory(w)
		if !ok {
			continue // a word of the streaming clauses, which is a key word only there
		}
		desc := map[byte]string{'U': "unreserved", 'C': "unreserved (cannot be function or type name)",
			'T': "reserved (can be function or type name)", 'R': "reserved"}[code]
		label := "requires AS"
		if bare {
			label = "can be bare label"
		}
		out = append(out, []types.Datum{w, string(code), bare, desc, label})
	}
	return out
}

// settingRows gives the rows of pg_show_all_settings, whose columns are those of pg_settings.
func (i *sessionInfo) settingRows() [][]types.Datum {
	out := make([][]types.Datum, len(settings))
	for k := range settings {
		st := &settings[k]
		v, _ := i.s.vars.get(st.name)
		out[k] = []types.Datum{st.name, v, nilIfEmpty(st.unit), settingCategory, st.desc, nil, settingContext(st), settingType(st), "default",
			nil, nil, nil, st.value, st.value, nil, nil, false}
	}
	return out
}

// Describe answers the functions that describe catalog objects.
func (i *sessionInfo) Describe(what string, args []types.Datum) (types.Datum, bool) {
	switch what {
	case "pg_get_keywords":
		return keywordRows(), true
	case "pg_show_all_settings":
		return i.settingRows(), true
	case "pg_get_viewdef":
		if name, isText := args[0].(string); isText {
			oid, err := i.RegLookup(types.Regclass, name)
			if err != nil {
				return nil, false
			}
			args = []types.Datum{int64(oid)}
		}
	case "pg_get_serial_sequence":
		oid, err := i.RegLookup(types.Regclass, args[0].(string))
		if err != nil {
			return nil, false
		}
		args = append(args[:2:2], int64(oid))
	case "pg_sequence_last_value":
		oid, _ := args[0].(int64)
		q := i.s.e.sequences.get(uint32(oid))
		if q == nil {
			return nil, false
		}
		q.mu.Lock()
		defer q.mu.Unlock()
		return q.last, q.called
	case "pg_type_is_visible":
		oid, _ := args[0].(int64)
		if u := i.cat.TypeByOID(uint32(oid)); u != nil {
			return i.cat.FindType("", u.Name, i.s.searchPath(i.cat)) == u, true
		}
	case "pg_my_temp_schema":
		oid, _ := i.cat.SchemaOID(i.s.tempName())
		return int64(oid), true
	}
	v := i.s.viewer()
	v.Snapshot = i.cat
	return catalog.Describe(v, i.s.searchPath(i.cat), what, args)
}
