package engine

import (
	"slices"
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
	if old := sameFunction(o.Catalog, f); old != nil {
		if x.OrReplace {
			if err := s.mustOwn(old.Object(o.Catalog)); err != nil {
				return err
			}
		} else {
			return pgerr.New(pgerr.DuplicateFunction, "function \"%s\" already exists with same argument types", f.Name)
		}
		if err := replaceableFunction(o.Catalog, old, f); err != nil {
			return err
		}
		f.OID, f.Comment = old.OID, old.Comment
	} else {
		s.e.write.Lock()
		f.OID = s.e.newOIDs(1)
		s.e.write.Unlock()
	}
	o.Catalog = o.Catalog.WithFunction(f) // it may call itself
	if err := s.checkBody(x, f, o); err != nil {
		return err
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

// dropFunctions executes DROP FUNCTION.
func (s *Session) dropFunctions(x *ast.Drop) error {
	cat := s.catalog()
	var out []*catalog.Function
	for i, n := range x.Names {
		f, err := s.findFunction(cat, x, i, n)
		if err != nil {
			return err
		}
		if f != nil && !s.ownsSchema(f.Schema) {
			if err := s.mustOwn(f.Object(cat)); err != nil {
				return err
			}
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
		if err := s.mustOwn(f.Object(s.catalog())); err != nil && a.Action != "owner to" {
			return err
		}
		c := *f
		switch a.Action {
		case "owner to":
			to, err := s.newOwner(f.Object(s.catalog()), a)
			if err != nil {
				return err
			}
			s.handOver(f.Object(s.catalog()), to)
			c.Owner = to.Name
			s.change(&ddl{ch: &catalogChange{PutFunctions: []*catalog.Function{&c}}})
			f = &c
			continue
		case "rename to":
			c.Name = a.NewName
		case "set schema":
			if _, ok := s.catalog().SchemaOID(a.NewName); !ok {
				return pgerr.New(pgerr.InvalidSchemaName, "schema \"%s\" does not exist", a.NewName)
			}
			c.Schema = a.NewName
		case "options":
			if err := s.alterFunctionOptions(f, &c, a.Function); err != nil {
				return err
			}
			f = &c
			continue
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

// alterFunctionOptions executes ALTER FUNCTION for what CREATE FUNCTION says behind the result.
func (s *Session) alterFunctionOptions(f, c *catalog.Function, x *ast.CreateFunction) error {
	if err := setFunctionOptions(x, c); err != nil {
		return err
	}
	if f.Strict != c.Strict {
		if err := replaceableFunction(s.catalog(), f, c); err != nil {
			return err
		}
	}
	s.change(&ddl{ch: &catalogChange{PutFunctions: []*catalog.Function{c}}})
	return nil
}
