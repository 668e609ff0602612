package fn

import (
	"strings"
	"sync/atomic"

	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// lastPath and lastPathRegex keep what was parsed last: a query applies one path to many rows.
var (
	lastPath      atomic.Pointer[parsedPath]
	lastPathRegex atomic.Pointer[compiledPathRegex]
)

type parsedPath struct {
	text string
	path *types.JSONPath
}

type compiledPathRegex struct {
	pattern, flags string
	re             *regex
}

func parsePath(s string) (*types.JSONPath, error) {
	if p := lastPath.Load(); p != nil && p.text == s {
		return p.path, nil
	}
	p, err := types.ParseJSONPath(s)
	if err != nil {
		return nil, err
	}
	lastPath.Store(&parsedPath{strings.Clone(s), p})
	return p, nil
}

// pathRegex compiles the pattern of like_regex, whose flags are XQuery's.
func pathRegex(pattern, flags string) (*regex, error) {
	if c := lastPathRegex.Load(); c != nil && c.pattern == pattern && c.flags == flags {
		return c.re, nil
	}
	// As XQuery has it, a dot meets no newline unless s is given, and ^ and $ only the ends unless m is.
	f := regexFlags{}
	f.dotNewline = strings.ContainsRune(flags, 's')
	f.multiLines = strings.ContainsRune(flags, 'm')
	f.fold = strings.ContainsRune(flags, 'i')
	f.quote = strings.ContainsRune(flags, 'q')
	if f.quote {
		f.dotNewline, f.multiLines = true, false
	}
	re, err := compileRegex(pattern, f)
	if err != nil {
		return nil, err
	}
	lastPathRegex.Store(&compiledPathRegex{strings.Clone(pattern), flags, re})
	return re, nil
}

// runPath evaluates a path. found nil asks only whether there is something.
func runPath(c *Ctx, doc, path, vars string, silent, zoned bool, found *[]pathValue) (pathStatus, error) {
	p, err := parsePath(path)
	if err != nil {
		return pathError, err
	}
	if types.JSONTypeof(bytesOf(vars)) != "object" {
		return pathError, pgerr.New(pgerr.InvalidParameterValue, "\"vars\" argument is not an object").
			WithDetail("Jsonpath parameters should be encoded as key-value pairs of \"vars\" object.")
	}
	root := pathValueOf(bytesOf(doc))
	r := &pathRun{root: root, current: root, vars: bytesOf(vars), lax: !p.Strict, ignore: !p.Strict, throw: !silent, zoned: zoned, size: -1, env: &c.Env, now: c.Now, c: c}
	want := found
	if p.Strict && want == nil { // the whole list must be free of errors
		want = new([]pathValue)
	}
	st := r.item(p.Root, root, want, r.lax)
	if r.err != nil {
		return pathError, r.err
	}
	if found == nil && want != nil && st != pathError {
		if st = pathFound; len(*want) == 0 {
			st = pathNotFound
		}
	}
	return st, nil
}

// pathArgs gives the arguments of a function of the jsonb_path family, with the defaults of those left out.
func pathArgs(a []types.Datum) (doc, path, vars string, silent bool) {
	doc, path, vars = a[0].(string), a[1].(string), "{}"
	if len(a) > 2 {
		vars = a[2].(string)
	}
	if len(a) > 3 {
		silent = a[3].(bool)
	}
	return doc, path, vars, silent
}

func pathExists(c *Ctx, doc, path, vars string, silent, zoned bool) (types.Datum, error) {
	st, err := runPath(c, doc, path, vars, silent, zoned, nil)
	if err != nil || st == pathError {
		return nil, err
	}
	return st == pathFound, nil
}

func pathMatch(c *Ctx, doc, path, vars string, silent, zoned bool) (types.Datum, error) {
	var found []pathValue
	if _, err := runPath(c, doc, path, vars, silent, zoned, &found); err != nil {
		return nil, err
	}
	if len(found) == 1 {
		switch found[0].kind {
		case pathBool:
			return found[0].b, nil
		case pathNull:
			return nil, nil
		}
	}
	if !silent {
		return nil, pgerr.New(codeSingleton, "single boolean result is expected")
	}
	return nil, nil
}

func init() {
	types.CheckPathRegex = func(pattern, flags string) error {
		_, err := pathRegex(pattern, flags)
		return err
	}
	op("jsonb @? jsonpath bool", rowD(func(c *Ctx, a []types.Datum) (types.Datum, error) {
		return pathExists(c, a[0].(string), a[1].(string), "{}", true, false)
	}, true))
	op("jsonb @@ jsonpath bool", rowD(func(c *Ctx, a []types.Datum) (types.Datum, error) {
		return pathMatch(c, a[0].(string), a[1].(string), "{}", true, false)
	}, true))
	for _, suffix := range []string{"", "_tz"} {
		zoned := suffix != ""
		opts := []option{named("target", "path", "vars", "silent"), defaults("{}", "f")}
		if zoned {
			opts = append(opts, stable)
		}
		const args = "(jsonb,jsonpath,jsonb,bool) "
		def("jsonb_path_exists"+suffix+args+"bool", rowD(func(c *Ctx, a []types.Datum) (types.Datum, error) {
			doc, path, vars, silent := pathArgs(a)
			return pathExists(c, doc, path, vars, silent, zoned)
		}, true), opts...)
		def("jsonb_path_match"+suffix+args+"bool", rowD(func(c *Ctx, a []types.Datum) (types.Datum, error) {
			doc, path, vars, silent := pathArgs(a)
			return pathMatch(c, doc, path, vars, silent, zoned)
		}, true), opts...)
		query := func(c *Ctx, a []types.Datum) ([]pathValue, error) {
			doc, path, vars, silent := pathArgs(a)
			found := []pathValue{}
			_, err := runPath(c, doc, path, vars, silent, zoned, &found)
			return found, err
		}
		def("jsonb_path_query_first"+suffix+args+"jsonb", rowD(func(c *Ctx, a []types.Datum) (types.Datum, error) {
			found, err := query(c, a)
			if err != nil || len(found) == 0 {
				return nil, err
			}
			return string(found[0].append(nil)), nil
		}, true), opts...)
		def("jsonb_path_query_array"+suffix+args+"jsonb", rowD(func(c *Ctx, a []types.Datum) (types.Datum, error) {
			found, err := query(c, a)
			if err != nil {
				return nil, err
			}
			b := []byte{'['}
			for i := range found {
				if i > 0 {
					b = append(b, ", "...)
				}
				b = found[i].append(b)
			}
			return string(append(b, ']')), nil
		}, true), opts...)
		defSet("jsonb_path_query"+suffix+args+"jsonb", func(c *Ctx, a []types.Datum, emit *vec.Builder) error {
			found, err := query(c, a)
			if err != nil {
				return err
			}
			for i := range found {
				emit.Cols[0].AppendStr(string(found[i].append(nil)))
			}
			return nil
		}, nil, opts...)
	}
}
