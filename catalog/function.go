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

// Function is a function that a user has made: a SQL expression over its arguments, which the planner puts in place of each
// call. It is immutable: CREATE OR REPLACE makes a new one of the same OID.
type Function struct {
	OID          uint32
	Schema, Name string
	Args         []types.T
	ArgNames     []string // parallel to Args, "" for one without a name
	Defaults     []string `json:",omitempty"` // SQL text of the DEFAULTs of the last parameters
	Ret          types.T
	Body         string // one SELECT
	Return       bool   // the body was written as RETURN expression, which follows SELECT in Body
	Volatility   byte   // i, s or v, as in pg_proc.provolatile
	Strict       bool
	Parallel     byte // s, r or u, as in pg_proc.proparallel
	Cost         float64
	Owner        string
	Comment      string `json:",omitempty"`
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
	return &proc{oid: f.OID, schema: f.Schema, name: f.Name, kind: 'f', args: f.Args, argNames: f.ArgNames, defaults: len(f.Defaults), ret: f.Ret,
		strict: f.Strict, volatility: f.Volatility, doc: f.Comment, user: f}
}

// definition writes the statement that would make the function, as pg_get_functiondef does.
func (f *Function) definition() string {
	var b strings.Builder
	b.WriteString("CREATE OR REPLACE FUNCTION " + fn.QuoteIdent(f.Schema) + "." + fn.QuoteIdent(f.Name) + "(" + f.proc().arguments(true) + ")\n RETURNS " +
		f.Ret.Format() + "\n LANGUAGE sql\n")
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
	if len(words) > 0 {
		b.WriteString(" " + strings.Join(words, " ") + "\n")
	}
	if f.Return {
		b.WriteString("RETURN " + strings.TrimPrefix(f.Body, "SELECT ") + "\n")
		return b.String()
	}
	tag := "$function$"
	for strings.Contains(f.Body, tag) {
		tag = "$x" + tag[1:]
	}
	b.WriteString("AS " + tag + f.Body + tag + "\n")
	return b.String()
}
