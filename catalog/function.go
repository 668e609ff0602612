package catalog

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"streamsql/internal/fn"
	"streamsql/internal/types"
)

// Function is a function that a user has made: SQL statements over its arguments. The planner puts the body in place of each call where it
// is one query, else the session runs it. It is immutable: CREATE OR REPLACE makes a new one of the same OID.
type Function struct {
	OID          uint32
	Schema, Name string
	Args         []types.T // of the parameters that a call gives: an array for a VARIADIC one
	ArgNames     []string  // parallel to Args, "" for one without a name
	Defaults     []string  `json:",omitempty"` // SQL text of the DEFAULTs of the last of Args
	// Params are all parameters as they were declared, where there are others than of mode IN.
	Params   []Param `json:",omitempty"`
	Variadic bool    `json:",omitempty"` // the last of Args takes any number of values
	Set      bool    `json:",omitempty"` // returns a set
	Ret      types.T // of a row of it; record where there are several OUT parameters
	// ArgDomains are parallel to Args, RetDomain is of Ret: the OIDs of the domains, or arrays of them, that were named; 0 of other types.
	ArgDomains []uint32 `json:",omitempty"`
	RetDomain  uint32   `json:",omitempty"`
	Body       string   // statements
	Return     bool     // the body was written as RETURN expression, which follows SELECT in Body
	Atomic     bool     `json:",omitempty"` // the body was written as BEGIN ATOMIC .. END
	Volatility byte     // i, s or v, as in pg_proc.provolatile
	Strict     bool
	Parallel   byte // s, r or u, as in pg_proc.proparallel
	Cost       float64
	Rows       float64 `json:",omitempty"`
	Owner      string
	Comment    string `json:",omitempty"`
}

// Param is a parameter of a function with OUT, INOUT, VARIADIC or TABLE ones.
type Param struct {
	Name string
	Mode byte // i, o, b, v or t, as in pg_proc.proargmodes
	Type types.T
}

// Out gives the names and types of the OUT parameters, INOUT and TABLE ones included; those without a name are column1, column2, ...
func (f *Function) Out() (names []string, ts []types.T) {
	for _, p := range f.Params {
		if p.Mode == 'i' || p.Mode == 'v' {
			continue
		}
		n := p.Name
		if n == "" {
			n = "column" + strconv.Itoa(len(names)+1)
		}
		names, ts = append(names, n), append(ts, p.Type)
	}
	return names, ts
}

// IsTable reports whether the function was declared with RETURNS TABLE.
func (f *Function) IsTable() bool {
	return len(f.Params) > 0 && f.Params[len(f.Params)-1].Mode == 't'
}

// Signature gives the function as messages name it: f(integer,text).
func (f *Function) Signature() string {
	names := make([]string, len(f.Args))
	for i, a := range f.Args {
		names[i] = a.Format()
	}
	return fn.QuoteIdent(f.Name) + "(" + strings.Join(names, ",") + ")"
}

// Takes reports whether the function is declared with just these argument types.
func (f *Function) Takes(args []types.T) bool {
	return slices.EqualFunc(f.Args, args, func(a, b types.T) bool { return a.OID == b.OID })
}

// WithFunction gives a snapshot that also has f, in place of a function of the same OID.
func (s *Snapshot) WithFunction(f *Function) *Snapshot {
	c := s.clone()
	if c.functions == nil {
		c.functions = map[uint32]*Function{}
	}
	c.functions[f.OID] = f
	return c
}

// WithoutFunctions gives a snapshot that lacks the functions in oids.
func (s *Snapshot) WithoutFunctions(oids ...uint32) *Snapshot {
	c := s.clone()
	for _, oid := range oids {
		delete(c.functions, oid)
	}
	return c
}

// FunctionByOID finds a user's function by its OID; nil if there is none.
func (s *Snapshot) FunctionByOID(oid uint32) *Function { return s.functions[oid] }

// Functions gives the users' functions by OID.
func (s *Snapshot) Functions() []*Function {
	return slices.SortedFunc(maps.Values(s.functions), func(a, b *Function) int { return cmp.Compare(a.OID, b.OID) })
}

// FindFunctions gives the users' functions of a name, in schema if it is given, else along the search path: of several with the same
// argument types only the first.
func (s *Snapshot) FindFunctions(schema, name string, path []string) []*Function {
	if len(s.functions) == 0 {
		return nil
	}
	if schema != "" {
		path = []string{schema}
	}
	var out []*Function
	for _, p := range path {
		for _, f := range s.Functions() {
			if f.Schema == p && f.Name == name && !slices.ContainsFunc(out, func(g *Function) bool { return g.Takes(f.Args) }) {
				out = append(out, f)
			}
		}
	}
	return out
}

// proc gives the row of pg_proc.
func (f *Function) proc() *proc {
	return &proc{oid: f.OID, schema: f.Schema, name: f.Name, kind: 'f', args: f.Args, argNames: f.ArgNames, defaults: len(f.Defaults), variadic: f.Variadic,
		set: f.Set, ret: f.Ret, strict: f.Strict, volatility: f.Volatility, doc: f.Comment, user: f}
}

// arguments writes the parameters as pg_get_function_arguments does, with those of mode OUT; without defaults (for
// pg_get_function_identity_arguments) the columns of RETURNS TABLE are left out in both.
func (f *Function) arguments(defaults bool) string {
	params := f.Params
	if params == nil {
		for i, a := range f.Args {
			params = append(params, Param{f.ArgNames[i], 'i', a})
		}
	}
	var out []string
	in := 0
	for _, p := range params {
		s := map[byte]string{'o': "OUT ", 'b': "INOUT ", 'v': "VARIADIC "}[p.Mode]
		if p.Name != "" {
			s += fn.QuoteIdent(p.Name) + " "
		}
		s += p.Type.Format()
		if p.Mode == 't' {
			continue
		}
		if p.Mode != 'o' {
			if d := in - (len(f.Args) - len(f.Defaults)); defaults && d >= 0 {
				s += " DEFAULT " + f.Defaults[d]
			}
			in++
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}

// result writes what the function returns as pg_get_function_result does.
func (f *Function) result() string {
	switch {
	case f.IsTable():
		var cols []string
		for _, p := range f.Params {
			if p.Mode == 't' {
				cols = append(cols, fn.QuoteIdent(p.Name)+" "+p.Type.Format())
			}
		}
		return "TABLE(" + strings.Join(cols, ", ") + ")"
	case f.Set:
		return "SETOF " + f.Ret.Format()
	}
	return f.Ret.Format()
}

// definition writes the statement that would make the function, as pg_get_functiondef does.
func (f *Function) definition() string {
	var b strings.Builder
	b.WriteString("CREATE OR REPLACE FUNCTION " + fn.QuoteIdent(f.Schema) + "." + fn.QuoteIdent(f.Name) + "(" + f.arguments(true) + ")\n RETURNS " +
		f.result() + "\n LANGUAGE sql\n")
	var words []string
	switch f.Volatility {
	case 'i':
		words = append(words, "IMMUTABLE")
	case 's':
		words = append(words, "STABLE")
	}
	switch f.Parallel {
	case 's':
		words = append(words, "PARALLEL SAFE")
	case 'r':
		words = append(words, "PARALLEL RESTRICTED")
	}
	if f.Strict {
		words = append(words, "STRICT")
	}
	if f.Cost != 100 {
		words = append(words, "COST "+strconv.FormatFloat(f.Cost, 'g', -1, 64))
	}
	if f.Set && f.Rows != 0 && f.Rows != 1000 {
		words = append(words, "ROWS "+strconv.FormatFloat(f.Rows, 'g', -1, 64))
	}
	if len(words) > 0 {
		b.WriteString(" " + strings.Join(words, " ") + "\n")
	}
	switch {
	case f.Return:
		b.WriteString("RETURN " + strings.TrimPrefix(f.Body, "SELECT ") + "\n")
		return b.String()
	case f.Atomic:
		b.WriteString(f.sqlBody() + "\n")
		return b.String()
	}
	tag := "$function$"
	for strings.Contains(f.Body, tag) {
		tag = "$x" + tag[1:]
	}
	b.WriteString("AS " + tag + f.Body + tag + "\n")
	return b.String()
}

// sqlBody gives the body of RETURN and of BEGIN ATOMIC, "" of one that was written as a string.
func (f *Function) sqlBody() string {
	switch {
	case f.Return:
		return "RETURN " + strings.TrimPrefix(f.Body, "SELECT ")
	case f.Atomic:
		return "BEGIN ATOMIC\n" + f.Body + "\nEND"
	}
	return ""
}
