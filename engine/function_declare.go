package engine

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"streamsql/catalog"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/sql/parser"
	"streamsql/sql/parser/ast"
	"streamsql/sql/planner"
)

func invalidFunction(format string, args ...any) *pgerr.Error {
	return pgerr.New(pgerr.InvalidFunctionDefinition, format, args...)
}

// declareFunction reads everything of CREATE FUNCTION but the body.
func (s *Session) declareFunction(x *ast.CreateFunction) (*catalog.Function, error) {
	switch {
	case x.Language == "" && !x.HasBody:
		return nil, invalidFunction("no function body specified")
	case x.Language == "":
		return nil, invalidFunction("no language specified")
	case x.Language == "internal" || x.Language == "c":
		return nil, pgerr.New(pgerr.FeatureNotSupported, "functions of language \"%s\" are not supported", x.Language).
			WithHint("Use LANGUAGE SQL.")
	case x.Language != "sql":
		return nil, pgerr.New(pgerr.UndefinedObject, "language \"%s\" does not exist", x.Language).
			WithHint("Use LANGUAGE SQL.")
	case !x.HasBody:
		return nil, invalidFunction("no function body specified")
	}
	schema, name, err := s.qualify(x.Name)
	if err != nil {
		return nil, err
	}
	f := &catalog.Function{Schema: schema, Name: name, Body: x.Body, Return: x.Return, Atomic: x.Atomic, Strict: x.Strict, Volatility: 'v',
		Parallel: 'u', Cost: 100, Owner: s.ownerName()}
	if err := s.declareParams(x, f); err != nil {
		return nil, err
	}
	if err := s.declareResult(x, f); err != nil {
		return nil, err
	}
	if f.Set {
		f.Rows = 1000
	}
	return f, setFunctionOptions(x, f)
}

// declareParams reads the parameters.
func (s *Session) declareParams(x *ast.CreateFunction, f *catalog.Function) error {
	plain := true
	for i, p := range x.Params {
		t, domain, err := planner.ResolveColumnType(p.Type, s.catalog(), s.searchPath(s.catalog()))
		if err != nil {
			return err
		}
		t = t.Bare()
		plain = plain && p.Mode == 'i'
		in := p.Mode == 'i' || p.Mode == 'b' || p.Mode == 'v'
		switch {
		case p.Type.SetOf && p.Mode == 't':
			return invalidFunction("tables cannot have SETOF columns").At(p.Type.Pos)
		case p.Type.SetOf:
			return invalidFunction("functions cannot accept set arguments").At(p.Type.Pos)
		case t.IsPseudo() && !polymorphic(t) && in:
			return invalidFunction("SQL functions cannot have arguments of type %s", t.Format()).At(p.Type.Pos)
		case t.IsPseudo() && !polymorphic(t) && t.OID != types.OIDRecord:
			return invalidFunction("SQL functions cannot return type %s", t.Format()).At(p.Type.Pos)
		case in && f.Variadic:
			return invalidFunction("VARIADIC parameter must be the last input parameter").At(p.Pos)
		}
		if p.Mode == 'v' {
			f.Variadic = true
			if !t.IsArray() && t.OID != types.OIDAnyarray && t.OID != types.OIDAnycompatiblearray {
				return invalidFunction("VARIADIC parameter must be an array").At(p.Pos)
			}
		}
		for _, q := range x.Params[:i] {
			// An IN parameter and an OUT one may have one name.
			apart := in && p.Mode != 'b' && (q.Mode == 'o' || q.Mode == 't') || (p.Mode == 'o' || p.Mode == 't') && (q.Mode == 'i' || q.Mode == 'v')
			if p.Name != "" && p.Name == q.Name && !apart {
				return invalidFunction("parameter name \"%s\" used more than once", p.Name).At(p.Pos)
			}
		}
		f.Params = append(f.Params, catalog.Param{Name: p.Name, Mode: p.Mode, Type: t})
		switch {
		case !in && p.Default != "":
			return invalidFunction("only input parameters can have default values").At(p.Pos)
		case !in:
			continue
		case p.Default != "":
			f.Defaults = append(f.Defaults, p.Default)
		case len(f.Defaults) > 0:
			return invalidFunction("input parameters after one with a default value must also have defaults").At(p.Pos)
		}
		f.Args, f.ArgNames, f.ArgDomains = append(f.Args, t), append(f.ArgNames, p.Name), append(f.ArgDomains, domain)
	}
	if plain {
		f.Params = nil
	}
	if !slices.ContainsFunc(f.ArgDomains, func(d uint32) bool { return d != 0 }) {
		f.ArgDomains = nil
	}
	return nil
}

// declareResult reads RETURNS, or what the OUT parameters say.
func (s *Session) declareResult(x *ast.CreateFunction, f *catalog.Function) error {
	_, outs := f.Out()
	var required types.T // what RETURNS has to say
	switch {
	case len(outs) == 1:
		required = outs[0]
	case len(outs) > 1:
		required = types.AnyRecord
	}
	switch {
	case f.IsTable():
		f.Ret, f.Set = required, true
	case len(x.Returns.Name.Parts) == 0 && len(outs) == 0:
		return invalidFunction("function result type must be specified")
	case len(x.Returns.Name.Parts) == 0:
		f.Ret = required
	default:
		t, domain, err := planner.ResolveColumnType(x.Returns, s.catalog(), s.searchPath(s.catalog()))
		if err != nil {
			return err
		}
		f.Ret, f.Set, f.RetDomain = t.Bare(), x.Returns.SetOf, domain
		if len(outs) > 0 && f.Ret.OID != required.OID {
			return invalidFunction("function result type must be %s because of OUT parameters", required.Format()).At(x.Returns.Pos)
		}
	}
	if f.Ret.IsPseudo() && !polymorphic(f.Ret) && !f.Ret.Is(types.Void) && f.Ret.OID != types.OIDRecord {
		return invalidFunction("SQL functions cannot return type %s", f.Ret.Format()).At(x.Returns.Pos)
	}
	for _, t := range append(outs, f.Ret) {
		if err := determined(f, t); err != nil {
			return err
		}
	}
	return nil
}

// determined checks that a polymorphic result follows from the arguments.
func determined(f *catalog.Function, t types.T) error {
	compatible := func(t types.T) bool { return t.OID == types.OIDAnycompatible || t.OID == types.OIDAnycompatiblearray }
	switch {
	case !polymorphic(t):
	case compatible(t) && !slices.ContainsFunc(f.Args, compatible):
		return invalidFunction("cannot determine result data type").WithDetail("A result of type %s requires at least one input of type "+
			"anycompatible, anycompatiblearray, anycompatiblenonarray, anycompatiblerange, or anycompatiblemultirange.", t.Format())
	case !compatible(t) && !slices.ContainsFunc(f.Args, func(a types.T) bool { return polymorphic(a) && !compatible(a) }):
		return invalidFunction("cannot determine result data type").WithDetail("A result of type %s requires at least one input of type "+
			"anyelement, anyarray, anynonarray, anyenum, anyrange, or anymultirange.", t.Format())
	}
	return nil
}

// setFunctionOptions reads what both CREATE and ALTER FUNCTION set.
func setFunctionOptions(x *ast.CreateFunction, f *catalog.Function) error {
	switch x.Volatility {
	case "immutable":
		f.Volatility = 'i'
	case "stable":
		f.Volatility = 's'
	case "volatile":
		f.Volatility = 'v'
	}
	switch p := strings.ToLower(x.Parallel); p {
	case "":
	case "safe", "restricted", "unsafe":
		f.Parallel = p[0]
	default:
		return pgerr.New(pgerr.SyntaxError, "parameter \"parallel\" must be SAFE, RESTRICTED, or UNSAFE")
	}
	if x.Strict || x.Called {
		f.Strict = x.Strict
	}
	var err error
	if x.Cost != "" {
		if f.Cost, err = strconv.ParseFloat(x.Cost, 64); err != nil || f.Cost <= 0 {
			return pgerr.New(pgerr.InvalidParameterValue, "COST must be positive")
		}
	}
	if x.Rows != "" {
		if f.Rows, err = strconv.ParseFloat(x.Rows, 64); err != nil || f.Rows <= 0 {
			return pgerr.New(pgerr.InvalidParameterValue, "ROWS must be positive")
		}
		if !f.Set {
			return pgerr.New(pgerr.InvalidParameterValue, "ROWS is not applicable when function does not return a set")
		}
	}
	return nil
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
	err := planner.CheckFunction(f, o)
	if stmts, perr := parser.Parse(x.Body); err == nil && perr == nil {
		for _, st := range stmts {
			switch st.Stmt.(type) {
			case *ast.Query, *ast.Insert, *ast.Update, *ast.Delete:
			default:
				if err == nil {
					err = allowedInBody(st.Stmt)
				}
			}
		}
	}
	if err != nil {
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
	invalid := func(format string, args ...any) *pgerr.Error {
		return invalidFunction(format, args...).WithHint("%s", hint)
	}
	if old.Ret.OID != f.Ret.OID || old.Set != f.Set {
		return invalid("cannot change return type of existing function")
	}
	names, ts := old.Out()
	names2, ts2 := f.Out()
	if f.Ret.OID == types.OIDRecord && (!slices.Equal(names, names2) || !slices.EqualFunc(ts, ts2, func(a, b types.T) bool { return a.OID == b.OID })) {
		return invalid("cannot change return type of existing function").WithDetail("Row type defined by OUT parameters is different.")
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
