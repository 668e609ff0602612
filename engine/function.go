package engine

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"streamsql/catalog"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/sql/parser/ast"
	"streamsql/sql/planner"
)

// createFunction executes CREATE [OR REPLACE] FUNCTION.
func (s *Session) createFunction(x *ast.CreateFunction) error {
	f, err := s.declareFunction(x)
	if err != nil {
		return err
	}
	o := s.planOptions(nil, "")
	if old := sameFunction(o.Catalog, f); old != nil { // checked as it will be: it may call itself by way of others
		c := *f
		c.OID = old.OID
		f = &c
		o.Catalog = o.Catalog.WithFunction(f)
	}
	if err := s.checkBody(x, f, o); err != nil {
		return err
	}
	cat := s.catalog()
	if old := sameFunction(cat, f); old != nil {
		if !x.OrReplace {
			return pgerr.New(pgerr.DuplicateFunction, "function \"%s\" already exists with same argument types", f.Name)
		}
		if err := replaceableFunction(cat, old, f); err != nil {
			return err
		}
		f.OID, f.Comment = old.OID, old.Comment
	} else {
		s.e.write.Lock()
		f.OID = s.e.newOIDs(1)
		s.e.write.Unlock()
	}
	s.change(&ddl{ch: &catalogChange{PutFunctions: []*catalog.Function{f}}})
	return nil
}

func sameFunction(cat *catalog.Snapshot, f *catalog.Function) *catalog.Function {
	for _, g := range cat.FindFunctions(f.Schema, f.Name, nil) {
		if g.Takes(f.Args) {
			return g
		}
	}
	return nil
}

// declareFunction reads everything of CREATE FUNCTION but the body.
func (s *Session) declareFunction(x *ast.CreateFunction) (*catalog.Function, error) {
	invalid := func(format string, args ...any) *pgerr.Error {
		return pgerr.New(pgerr.InvalidFunctionDefinition, format, args...)
	}
	switch {
	case len(x.Returns.Name.Parts) == 0:
		return nil, invalid("function result type must be specified")
	case x.Language == "" && !x.HasBody:
		return nil, invalid("no function body specified")
	case x.Language == "":
		return nil, invalid("no language specified")
	case x.Language == "internal" || x.Language == "c":
		return nil, pgerr.New(pgerr.FeatureNotSupported, "functions of language \"%s\" are not supported", x.Language).
			WithHint("Use LANGUAGE SQL, with one SELECT as the body.")
	case x.Language != "sql":
		return nil, pgerr.New(pgerr.UndefinedObject, "language \"%s\" does not exist", x.Language).
			WithHint("Use LANGUAGE SQL, with one SELECT as the body.")
	case !x.HasBody:
		return nil, invalid("no function body specified")
	case x.Returns.SetOf:
		return nil, pgerr.New(pgerr.FeatureNotSupported, "functions that return sets are not supported").
			WithHint("Return a scalar, or make a view.").At(x.Returns.Pos)
	}
	schema, name, err := s.qualify(x.Name)
	if err != nil {
		return nil, err
	}
	cat := s.catalog()
	f := &catalog.Function{Schema: schema, Name: name, Body: x.Body, Return: x.Return, Defaults: x.Defaults, Strict: x.Strict, Volatility: 'v',
		Parallel: 'u', Cost: 100, Owner: s.user}
	for i, tn := range x.ArgTypes {
		t, err := planner.ResolveType(tn, cat)
		if err != nil {
			return nil, err
		}
		n := x.ArgNames[i]
		if n != "" && slices.Contains(f.ArgNames, n) {
			return nil, invalid("parameter name \"%s\" used more than once", n)
		}
		if t.IsPseudo() && !polymorphic(t) {
			return nil, invalid("SQL functions cannot have arguments of type %s", t.Format()).At(tn.Pos)
		}
		f.Args, f.ArgNames = append(f.Args, t.Bare()), append(f.ArgNames, n)
	}
	if f.Ret, err = planner.ResolveType(x.Returns, cat); err != nil {
		return nil, err
	}
	f.Ret = f.Ret.Bare()
	switch {
	case f.Ret.Is(types.Void) || f.Ret.OID == types.OIDRecord:
		return nil, pgerr.New(pgerr.FeatureNotSupported, "functions that return %s are not supported", f.Ret.Format()).
			WithHint("Return a scalar type.").At(x.Returns.Pos)
	case polymorphic(f.Ret):
		if !slices.ContainsFunc(f.Args, polymorphic) {
			return nil, invalid("cannot determine result data type").
				WithDetail("A result of type %s requires at least one input of type anyelement, anyarray, anynonarray, anyenum, anyrange, or anymultirange.", f.Ret.Format())
		}
	case f.Ret.IsPseudo():
		return nil, invalid("SQL functions cannot return type %s", f.Ret.Format()).At(x.Returns.Pos)
	}
	switch x.Volatility {
	case "immutable":
		f.Volatility = 'i'
	case "stable":
		f.Volatility = 's'
	}
	switch p := strings.ToLower(x.Parallel); p {
	case "", "unsafe":
	case "safe", "restricted":
		f.Parallel = p[0]
	default:
		return nil, pgerr.New(pgerr.SyntaxError, "parameter \"parallel\" must be SAFE, RESTRICTED, or UNSAFE")
	}
	if x.Cost != "" {
		if f.Cost, err = strconv.ParseFloat(x.Cost, 64); err != nil || f.Cost <= 0 {
			return nil, pgerr.New(pgerr.InvalidParameterValue, "COST must be positive")
		}
	}
	return f, nil
}

func polymorphic(t types.T) bool {
	switch t.OID {
	case types.OIDAnyelement, types.OIDAnyarray, types.OIDAnynonarray, types.OIDAnycompatible, types.OIDAnycompatiblearray:
		return true
	}
	return false
}

// checkBody reports what is wrong with the body, at the place in the statement.
func (s *Session) checkBody(x *ast.CreateFunction, f *catalog.Function, o *planner.Options) error {
	if err := planner.CheckFunction(f, o); err != nil {
		e := *pgerr.From(err)
		n := e.Position
		e.Position = 0
		if n > 0 && x.BodyPos != 0 {
			e.Position = x.BodyPos + n - 1
			if x.Quoted {
				body := []rune(x.Body)
				e.Position += strings.Count(string(body[:min(n-1, len(body))]), "'")
			}
		} else if e.Where == "" {
			e.Where = fmt.Sprintf("SQL function \"%s\"", f.Name)
		}
		return &e
	}
	return nil
}

// replaceableFunction checks that a function may take the place of another.
func replaceableFunction(cat *catalog.Snapshot, old, f *catalog.Function) error {
	hint := fmt.Sprintf("Use DROP FUNCTION %s first.", old.Signature())
	invalid := func(format string, args ...any) error {
		return pgerr.New(pgerr.InvalidFunctionDefinition, format, args...).WithHint("%s", hint)
	}
	if old.Ret.OID != f.Ret.OID {
		return invalid("cannot change return type of existing function")
	}
	for i, n := range old.ArgNames {
		if n != "" && n != f.ArgNames[i] {
			return invalid("cannot change name of input parameter \"%s\"", n)
		}
	}
	if len(f.Defaults) < len(old.Defaults) {
		return invalid("cannot remove parameter defaults from existing function")
	}
	// What is maintained was computed by the old definition: it would be neither the one nor the other.
	within := map[uint32]bool{} // plain views that call it, directly or not
	for grown := true; grown; {
		grown = false
		for _, r := range cat.Relations() {
			calls := slices.Contains(r.Calls, old.OID) || slices.ContainsFunc(r.Depends, func(oid uint32) bool { return within[oid] })
			switch {
			case !calls || within[r.OID]:
			case r.Kind == catalog.View:
				within[r.OID], grown = true, true
			case r.Kind == catalog.MatView || r.Kind == catalog.Sink:
				return pgerr.New(pgerr.DependentObjectsStillExist, "cannot replace function %s because other objects depend on it", old.Signature()).
					WithDetail("%s %s depends on function %s", r.Kind, r.Name, old.Signature()).
					WithHint("Drop them first, and create them again.")
			}
		}
	}
	return nil
}

// dropFunctions executes DROP FUNCTION.
func (s *Session) dropFunctions(x *ast.Drop) error {
	cat := s.catalog()
	var out []*catalog.Function
	for i, n := range x.Names {
		f, err := s.findFunction(cat, x, i, n)
		if err != nil {
			return err
		}
		if f != nil && !slices.Contains(out, f) {
			out = append(out, f)
		}
	}
	return s.dropAll(cat, dropping{funcs: out}, x.Cascade)
}

// findFunction gives the function that DROP FUNCTION names, nil where IF EXISTS allows that there is none.
func (s *Session) findFunction(cat *catalog.Snapshot, x *ast.Drop, i int, n ast.Name) (*catalog.Function, error) {
	path := s.searchPath(cat)
	found := cat.FindFunctions(n.Schema(), n.Base(), path)
	if i < len(x.Args) && x.Args[i] != nil {
		var args []types.T
		var names []string
		for _, tn := range x.Args[i] {
			t, err := planner.ResolveType(tn, cat)
			if err != nil {
				return nil, err
			}
			args, names = append(args, t.Bare()), append(names, t.Bare().Format())
		}
		for _, f := range found {
			if f.Takes(args) {
				return f, nil
			}
		}
		if len(builtinProcs(cat, n, args)) > 0 {
			return nil, requiredFunction(n, names)
		}
		if x.IfExists {
			s.notice(pgerr.New(pgerr.SuccessfulCompletion, "function %s(%s) does not exist, skipping", n, strings.Join(names, ",")))
			return nil, nil
		}
		return nil, pgerr.New(pgerr.UndefinedFunction, "function %s(%s) does not exist", n, strings.Join(names, ", "))
	}
	builtin := builtinProcs(cat, n, nil)
	switch {
	case len(found)+len(builtin) > 1:
		return nil, pgerr.New(pgerr.AmbiguousFunction, "function name \"%s\" is not unique", n).
			WithHint("Specify the argument list to select the function unambiguously.")
	case len(found) == 1:
		return found[0], nil
	case len(builtin) == 1:
		_, sig, _ := catalog.ProcName(cat, path, builtin[0])
		return nil, pgerr.New(pgerr.DependentObjectsStillExist, "cannot drop function %s because it is required by the database system", sig)
	case x.IfExists:
		s.notice(pgerr.New(pgerr.SuccessfulCompletion, "function %s() does not exist, skipping", n))
		return nil, nil
	}
	return nil, pgerr.New(pgerr.UndefinedFunction, "could not find a function named \"%s\"", n)
}

func requiredFunction(n ast.Name, args []string) error {
	return pgerr.New(pgerr.DependentObjectsStillExist, "cannot drop function %s(%s) because it is required by the database system", n.Base(), strings.Join(args, ","))
}

// builtinProcs gives the functions of pg_catalog of a name, and with argument types if they are not nil.
func builtinProcs(cat *catalog.Snapshot, n ast.Name, args []types.T) []uint32 {
	if n.Schema() != "" && n.Schema() != "pg_catalog" {
		return nil
	}
	var oids []uint32
	if args != nil {
		oids = []uint32{}
		for _, t := range args {
			oids = append(oids, t.OID)
		}
	}
	return catalog.LookupProc(cat, nil, "pg_catalog", n.Base(), oids)
}

// alterFunction executes ALTER FUNCTION for what does not change what the function gives.
func (s *Session) alterFunction(x *ast.Alter) error {
	d := &ast.Drop{Kind: "function", Names: []ast.Name{x.Name}}
	if x.Args != nil {
		d.Args = [][]ast.TypeName{x.Args}
	}
	f, err := s.findFunction(s.catalog(), d, 0, x.Name)
	if err != nil {
		return err
	}
	for _, a := range x.Actions {
		c := *f
		switch a.Action {
		case "owner to":
			continue
		case "rename to":
			c.Name = a.NewName
		case "set schema":
			if _, ok := s.catalog().SchemaOID(a.NewName); !ok {
				return pgerr.New(pgerr.InvalidSchemaName, "schema \"%s\" does not exist", a.NewName)
			}
			c.Schema = a.NewName
		default:
			return unsupportedAlter(x, a.Action)
		}
		if g := sameFunction(s.catalog(), &c); g != nil {
			return pgerr.New(pgerr.DuplicateFunction, "function %s already exists in schema \"%s\"", c.Signature(), c.Schema)
		}
		for _, r := range s.catalog().Relations() {
			if slices.Contains(r.Calls, f.OID) {
				return pgerr.New(pgerr.DependentObjectsStillExist, "cannot rename function %s because other objects depend on it", f.Signature()).
					WithDetail("%s %s depends on function %s", r.Kind, r.Name, f.Signature())
			}
		}
		s.change(&ddl{ch: &catalogChange{PutFunctions: []*catalog.Function{&c}}})
		f = &c
	}
	return nil
}
