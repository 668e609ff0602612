package catalog

import (
	"slices"
	"strings"
	"sync"

	"streamsql/internal/fn"
	"streamsql/internal/types"
)

// firstProcOID numbers the functions that PostgreSQL does not have; it keeps the OIDs from 8000 for development.
const firstProcOID uint32 = 8000

// The functions of pg_type.typsubscript.
var (
	arraySubscript    = ioProc{6179, "array_subscript_handler"}
	rawArraySubscript = ioProc{6180, "raw_array_subscript_handler"}
	jsonbSubscript    = ioProc{6098, "jsonb_subscript_handler"}
)

// proc is a row of pg_proc.
type proc struct {
	oid        uint32
	schema     string
	name       string
	kind       byte // pg_proc.prokind
	args       []types.T
	argNames   []string
	defaults   int
	variadic   bool
	set        bool
	ret        types.T
	strict     bool
	volatility byte
	doc        string
	user       *Function // nil of what is built in
}

// ioOf gives the functions that convert a type.
func ioOf(in *types.Info) typeIO {
	if in.Name[0] == '_' {
		return arrayIO
	}
	return typeIOs[in.Name]
}

// procs is pg_proc: what can be called, and what converts types.
var procs = sync.OnceValue(func() []proc {
	var out []proc
	next := firstProcOID
	oid := func(known uint32) uint32 {
		if known != 0 {
			return known
		}
		next++
		return next - 1
	}
	for _, f := range fn.All() {
		schema := f.Schema
		if schema == "" {
			schema = "pg_catalog"
		}
		out = append(out, proc{oid: oid(f.OID), schema: schema, name: f.Name, kind: 'f', args: f.Args, argNames: f.ArgNames, defaults: len(f.DefaultText),
			variadic: f.Variadic, set: f.Set != nil, ret: f.Ret, strict: f.Strict, volatility: byte(f.Volatility), doc: f.Doc})
	}
	for _, a := range fn.AllAggs() {
		out = append(out, proc{oid: oid(a.OID), schema: "pg_catalog", name: a.Name, kind: 'a', args: a.Args, variadic: a.Variadic, ret: a.Ret,
			volatility: 'i', doc: a.Doc})
	}
	seen := map[uint32]bool{}
	for _, p := range out {
		seen[p.oid] = true
	}
	convert := func(p ioProc, ret types.T, args ...types.T) {
		if p.oid != 0 && !seen[p.oid] {
			seen[p.oid] = true
			out = append(out, proc{oid: p.oid, schema: "pg_catalog", name: p.name, kind: 'f', args: args, ret: ret, strict: true, volatility: 'i'})
		}
	}
	cstring, array := types.Of(types.OIDCstring), types.Of(types.OIDAnyarray)
	for _, in := range types.All() {
		t, io := types.Of(in.OID), ioOf(in)
		inArgs := []types.T{cstring}
		if in.Name[0] == '_' {
			t = array
		}
		if io[4].oid != 0 || in.Name[0] == '_' {
			inArgs = []types.T{cstring, types.Oid, types.Int4}
		}
		convert(io[0], t, inArgs...)
		convert(io[1], cstring, t)
		convert(io[2], t, append([]types.T{types.Of(types.OIDInternal)}, inArgs[1:]...)...)
		convert(io[3], types.Bytea, t)
		convert(io[4], types.Int4, types.Of(1263)) // cstring[]
		convert(io[5], cstring, types.Int4)
	}
	for _, p := range []ioProc{arraySubscript, rawArraySubscript, jsonbSubscript} {
		convert(p, types.Of(types.OIDInternal), types.Of(types.OIDInternal))
	}
	slices.SortFunc(out, func(a, b proc) int { return int(a.oid) - int(b.oid) })
	return out
})

func procByOID(s *Snapshot, oid uint32) *proc {
	if f := s.FunctionByOID(oid); f != nil {
		return f.proc()
	}
	all := procs()
	i, ok := slices.BinarySearchFunc(all, oid, func(p proc, oid uint32) int { return int(p.oid) - int(oid) })
	if !ok {
		return nil
	}
	return &all[i]
}

// LookupProc gives the OIDs of the functions and aggregates of a name, of one schema if it is not "".
// With args only the one with these argument types; args nil gives all. Users' functions are found along path.
func LookupProc(s *Snapshot, path []string, schema, name string, args []uint32) []uint32 {
	var out []uint32
	for _, f := range s.FindFunctions(schema, name, path) {
		if args == nil || slices.EqualFunc(f.Args, args, func(t types.T, oid uint32) bool { return t.OID == oid }) {
			out = append(out, f.OID)
		}
	}
	for i := range procs() {
		p := &procs()[i]
		if p.name != name || schema != "" && p.schema != schema {
			continue
		}
		if args != nil && !slices.EqualFunc(p.args, args, func(t types.T, oid uint32) bool { return t.OID == oid }) {
			continue
		}
		out = append(out, p.oid)
	}
	return out
}

// ProcName gives the name of a function as regproc shows it, and with its argument types as regprocedure does; ok is
// false where there is no such function. One that the search path does not lead to is shown with its schema.
func ProcName(s *Snapshot, path []string, oid uint32) (name, signature string, ok bool) {
	p := procByOID(s, oid)
	if p == nil {
		return "", "", false
	}
	name = fn.QuoteIdent(p.name)
	if p.schema != "pg_catalog" && !(p.user != nil && p.visible(s, path)) {
		name = fn.QuoteIdent(p.schema) + "." + name
	}
	args := make([]string, len(p.args))
	for i, a := range p.args {
		args[i] = a.Format()
	}
	return name, name + "(" + strings.Join(args, ",") + ")", true
}

// visible reports whether a call by the name alone, with arguments of just these types, is one of p.
func (p *proc) visible(s *Snapshot, path []string) bool {
	if p.user == nil {
		return p.schema == "pg_catalog" || slices.Contains(path, p.schema)
	}
	for _, f := range fn.Lookup(p.name) {
		if p.user.Takes(f.Args) {
			return false
		}
	}
	return slices.Contains(s.FindFunctions("", p.name, path), p.user)
}

// arguments writes the parameter list as pg_get_function_arguments does, or pg_get_function_identity_arguments, without defaults.
func (p *proc) arguments(defaults bool) string {
	if p.user != nil {
		return p.user.arguments(defaults)
	}
	var b strings.Builder
	for i, a := range p.args {
		if i > 0 {
			b.WriteString(", ")
		}
		if p.variadic && i == len(p.args)-1 {
			b.WriteString("VARIADIC ")
			if e, ok := a.ArrayOf(); ok { // Args has the element, the declaration the array
				a = e
			}
		}
		if i < len(p.argNames) && p.argNames[i] != "" {
			b.WriteString(fn.QuoteIdent(p.argNames[i]) + " ")
		}
		b.WriteString(a.Format())
	}
	return b.String()
}

func (p *proc) result() string {
	if p.user != nil {
		return p.user.result()
	}
	if p.set {
		return "SETOF " + p.ret.Format()
	}
	return p.ret.Format()
}

// definition writes the statement that would make the function, "" for an aggregate.
func (p *proc) definition() string {
	if p.kind != 'f' {
		return ""
	}
	if p.user != nil {
		return p.user.definition()
	}
	volatility := map[byte]string{'i': "IMMUTABLE ", 's': "STABLE ", 'v': ""}[p.volatility]
	strict := ""
	if p.strict {
		strict = " STRICT"
	}
	return "CREATE OR REPLACE FUNCTION " + fn.QuoteIdent(p.schema) + "." + fn.QuoteIdent(p.name) + "(" + p.arguments(true) + ")\n RETURNS " + p.result() +
		"\n LANGUAGE internal\n " + volatility + "PARALLEL SAFE" + strict + "\nAS $function$" + p.name + "$function$\n"
}

func fillProc(v *Viewer, add func(row)) error {
	all := procs()
	for _, f := range v.Snapshot.Functions() {
		all = append(all[:len(all):len(all)], *f.proc())
	}
	for i := range all {
		p := &all[i]
		ns, _ := v.Snapshot.SchemaOID(p.schema)
		variadic := 0
		if p.variadic && len(p.args) > 0 {
			variadic = int(p.args[len(p.args)-1].OID)
		}
		src := p.name
		if p.kind == 'a' {
			src = "aggregate_dummy"
		}
		rows := 0
		if p.set {
			rows = 1000
		}
		r := row{"oid": p.oid, "proname": p.name, "pronamespace": ns, "proowner": OwnerOID, "prolang": 12, "procost": 1, "prorows": rows,
			"prokind": string(p.kind), "proisstrict": p.strict, "proretset": p.set, "provolatile": string(p.volatility), "proparallel": "s",
			"pronargs": len(p.args), "pronargdefaults": p.defaults, "prorettype": p.ret.OID, "proargtypes": oids(p.args), "provariadic": variadic, "prosrc": src}
		if slices.ContainsFunc(p.argNames, func(s string) bool { return s != "" }) {
			r["proargnames"] = p.argNames
		}
		if f := p.user; f != nil {
			o := f.Object(v.Snapshot)
			r["proowner"], r["proacl"] = o.Owner, v.aclText(o.ACL())
			r["prolang"], r["procost"], r["proparallel"], r["prosrc"] = 14, float32(f.Cost), string(f.Parallel), f.Body
			if body := f.sqlBody(); body != "" {
				r["prosrc"], r["prosqlbody"] = "", body
			}
			if f.Variadic {
				if e, ok := f.Args[len(f.Args)-1].Elem(); ok {
					r["provariadic"] = e.OID
				}
			}
			if f.Set {
				r["prorows"] = float32(f.Rows)
			}
			if f.Params != nil {
				var all []types.T
				var modes, names []string
				for _, p := range f.Params {
					all, modes, names = append(all, p.Type), append(modes, string(p.Mode)), append(names, p.Name)
				}
				r["proallargtypes"], r["proargmodes"] = oids(all), modes
				if slices.ContainsFunc(names, func(s string) bool { return s != "" }) {
					r["proargnames"] = names
				}
			}
			if len(f.Defaults) > 0 {
				r["proargdefaults"] = strings.Join(f.Defaults, ", ")
			}
		}
		add(r)
	}
	return nil
}

func fillAggregate(_ *Viewer, add func(row)) error {
	ordered := map[uint32]bool{}
	for _, a := range fn.AllAggs() {
		ordered[a.OID] = a.WithinGroup
	}
	for i := range procs() {
		if p := &procs()[i]; p.kind == 'a' {
			kind, direct := "n", 0
			if ordered[p.oid] {
				kind, direct = "o", len(p.args)-1
			}
			add(row{"aggfnoid": p.oid, "aggkind": kind, "aggnumdirectargs": direct, "aggtranstype": types.OIDInternal, "aggfinalmodify": "r", "aggmfinalmodify": "r"})
		}
	}
	return nil
}
