package fn

import (
	"strings"

	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// Candidate is a signature that overload resolution chooses among.
type Candidate struct {
	Args     []types.T
	Defaults int  // how many of the last arguments may be left out
	Variadic bool // the last argument repeats, once or more
	Ret      types.T
}

// ResolveError says how Resolve failed.
type ResolveError byte

// The outcomes of Resolve.
const (
	Matched    ResolveError = iota // a candidate was found
	NoMatch                        // no candidate takes these arguments
	Ambiguous                      // several do, equally well
	NoPolyType                     // the chosen one is polymorphic, and only unknown literals say its type
)

// Resolved is a function chosen for actual arguments.
type Resolved struct {
	// Func is the function with its types filled in, ready to Call. It may be a copy of the registry's entry.
	Func *Func
	// Args are the concrete types to coerce the actual arguments to, one for each (variadic ones too).
	Args []types.T
	Ret  types.T
}

// expanded is a candidate as it applies to a number of arguments.
type expanded struct {
	index    int
	args     []types.T
	ret      types.T
	variadic bool
}

func expand(cands []Candidate, n int) []expanded {
	out := make([]expanded, 0, len(cands))
	for i, c := range cands {
		switch {
		case len(c.Args) >= n && len(c.Args)-c.Defaults <= n:
			out = append(out, expanded{i, c.Args[:n], c.Ret, c.Variadic})
		case c.Variadic && n > len(c.Args):
			args := make([]types.T, n)
			copy(args, c.Args)
			for j := len(c.Args); j < n; j++ {
				args[j] = c.Args[len(c.Args)-1]
			}
			out = append(out, expanded{i, args, c.Ret, true})
		}
	}
	return out
}

// Resolve chooses the candidate for actual argument types by PostgreSQL's rules
// (manual 10.2 and 10.3). Unknown literals have type types.Unknown. It gives the
// index in cands, the types to coerce the arguments to and the result type.
func Resolve(cands []Candidate, args []types.T) (index int, coerced []types.T, ret types.T, err ResolveError) {
	exp := expand(cands, len(args))
	e, err := choose(exp, args)
	if err != Matched {
		return -1, nil, types.T{}, err
	}
	coerced, ret, ok := solvePoly(e.args, args, e.ret)
	if !ok {
		return -1, nil, types.T{}, NoPolyType
	}
	return e.index, coerced, ret, Matched
}

func choose(exp []expanded, args []types.T) (expanded, ResolveError) {
	// An exact match wins; one that is not variadic before one that is.
	best := -1
	for i, e := range exp {
		if exact(e.args, args) && (best < 0 || exp[best].variadic && !e.variadic) {
			best = i
		}
	}
	if best >= 0 {
		return exp[best], Matched
	}
	var fit []expanded
	for _, e := range exp {
		if fits(e.args, args) {
			fit = append(fit, e)
		}
	}
	fit = dropShadowed(fit)
	switch len(fit) {
	case 0:
		return expanded{}, NoMatch
	case 1:
		return fit[0], Matched
	}
	return selectCandidate(fit, args)
}

// dropShadowed drops variadic candidates whose expansion another one spells out.
func dropShadowed(in []expanded) []expanded {
	out := in[:0:0]
	for i, e := range in {
		shadowed := false
		for j, o := range in {
			if i != j && e.variadic && (!o.variadic || j < i) && exact(o.args, e.args) {
				shadowed = true
			}
		}
		if !shadowed {
			out = append(out, e)
		}
	}
	return out
}

func exact(want, have []types.T) bool {
	for i, w := range want {
		if w.OID != have[i].OID {
			return false
		}
	}
	return true
}

func fits(want, have []types.T) bool {
	poly := false
	for i, w := range want {
		if isPoly(w) {
			poly = true
			continue
		}
		if !CanCoerce(have[i], w, Implicit) {
			return false
		}
	}
	return !poly || polyFits(want, have)
}

// keepBest keeps the candidates with the highest score.
func keepBest(in []expanded, score func(expanded) int) []expanded {
	best, out := -1, in[:0:0]
	for _, e := range in {
		switch s := score(e); {
		case s > best:
			best, out = s, append(out[:0], e)
		case s == best:
			out = append(out, e)
		}
	}
	return out
}

// selectCandidate is func_select_candidate of the manual's steps 4.c to 4.f.
func selectCandidate(cands []expanded, args []types.T) (expanded, ResolveError) {
	unknowns := 0
	for _, a := range args {
		if a.Is(types.Unknown) {
			unknowns++
		}
	}
	cands = keepBest(cands, func(e expanded) (n int) {
		for i, a := range args {
			if !a.Is(types.Unknown) && e.args[i].OID == a.OID {
				n++
			}
		}
		return n
	})
	if len(cands) == 1 {
		return cands[0], Matched
	}
	cands = keepBest(cands, func(e expanded) (n int) {
		for i, a := range args {
			if !a.Is(types.Unknown) && (e.args[i].OID == a.OID ||
				e.args[i].Category() == a.Category() && e.args[i].Preferred()) {
				n++
			}
		}
		return n
	})
	if len(cands) == 1 {
		return cands[0], Matched
	}
	if unknowns == 0 {
		return expanded{}, Ambiguous
	}
	if e, ok := byCategory(&cands, args); ok {
		return e, Matched
	}
	// If all the known arguments have one type, take the unknown ones to have it too.
	if unknowns < len(args) {
		var known types.T
		for _, a := range args {
			switch {
			case a.Is(types.Unknown):
			case known.OID == 0:
				known = a
			case known.OID != a.OID:
				return expanded{}, Ambiguous
			}
		}
		all := make([]types.T, len(args))
		for i := range all {
			all[i] = known
		}
		found, n := expanded{}, 0
		for _, e := range cands {
			if fits(e.args, all) {
				found = e
				n++
			}
		}
		if n == 1 {
			return found, Matched
		}
	}
	return expanded{}, Ambiguous
}

// byCategory decides by the categories that unknown arguments may have: string
// if any candidate takes one, else the one that all candidates agree on. cands
// is narrowed even where that does not decide.
func byCategory(cands *[]expanded, args []types.T) (expanded, bool) {
	category := make([]byte, len(args))
	prefers := make([]bool, len(args))
	for i, a := range args {
		if !a.Is(types.Unknown) {
			continue
		}
		conflict := false
		for _, e := range *cands {
			t := e.args[i]
			c, p := t.Category(), t.Preferred()
			switch {
			case category[i] == 0:
				category[i], prefers[i] = c, p
			case category[i] == c:
				prefers[i] = prefers[i] || p
			case c == 'S': // strings win
				category[i], prefers[i], conflict = c, p, false
			case category[i] != 'S':
				conflict = true
			}
		}
		if conflict {
			return expanded{}, false
		}
	}
	var kept []expanded
	for _, e := range *cands {
		ok := true
		for i, a := range args {
			if a.Is(types.Unknown) {
				t := e.args[i]
				ok = ok && t.Category() == category[i] && (!prefers[i] || t.Preferred())
			}
		}
		if ok {
			kept = append(kept, e)
		}
	}
	if len(kept) > 0 {
		*cands = kept
	}
	if len(kept) == 1 {
		return kept[0], true
	}
	return expanded{}, false
}

func isPoly(t types.T) bool {
	switch t.OID {
	case types.OIDAnyelement, types.OIDAnyarray, types.OIDAnynonarray, types.OIDAnycompatible, types.OIDAnycompatiblearray:
		return true
	}
	return false
}

func polyFits(want, have []types.T) bool {
	_, _, err := polyTypes(want, have)
	return err != NoMatch
}

// polyTypes finds what anyelement and anycompatible stand for. The types are zero
// where no argument tells; NoPolyType says that one is needed.
func polyTypes(want, have []types.T) (elem, compat types.T, err ResolveError) {
	var compats []types.T
	needElem, needCompat := false, false
	merge := func(t types.T) bool {
		if elem.OID == 0 {
			elem = t.Bare()
			return true
		}
		return elem.OID == t.OID
	}
	for i, w := range want {
		h := have[i]
		unknown := h.Is(types.Unknown)
		switch w.OID {
		case types.OIDAnyelement, types.OIDAnynonarray:
			needElem = true
			if !unknown && !merge(h) || w.OID == types.OIDAnynonarray && h.IsArray() {
				return elem, compat, NoMatch
			}
		case types.OIDAnyarray:
			needElem = true
			if unknown {
				continue
			}
			e, ok := h.Elem()
			if !ok || !merge(e) {
				return elem, compat, NoMatch
			}
		case types.OIDAnycompatible:
			needCompat = true
			if !unknown {
				compats = append(compats, h.Bare())
			}
		case types.OIDAnycompatiblearray:
			needCompat = true
			if unknown {
				continue
			}
			e, ok := h.Elem()
			if !ok {
				return elem, compat, NoMatch
			}
			compats = append(compats, e.Bare())
		}
	}
	if len(compats) > 0 {
		t, e := SelectCommonType(compats)
		if e != nil {
			return elem, compat, NoMatch
		}
		compat = t.Bare()
	} else if needCompat {
		compat = types.Text
	}
	if needElem && elem.OID == 0 {
		return elem, compat, NoPolyType
	}
	return elem, compat, Matched
}

// solvePoly replaces the polymorphic types of a signature by what the actual arguments make them.
func solvePoly(want, have []types.T, ret types.T) (args []types.T, result types.T, ok bool) {
	elem, compat, err := polyTypes(want, have)
	if err != Matched {
		return nil, types.T{}, false
	}
	subst := func(t types.T) types.T {
		switch t.OID {
		case types.OIDAnyelement, types.OIDAnynonarray:
			return elem
		case types.OIDAnyarray:
			if a, ok := elem.ArrayOf(); ok {
				return a
			}
		case types.OIDAnycompatible:
			return compat
		case types.OIDAnycompatiblearray:
			if a, ok := compat.ArrayOf(); ok {
				return a
			}
		}
		return t
	}
	args = make([]types.T, len(want))
	for i, w := range want {
		args[i] = subst(w)
		switch {
		case w.Is(types.Any) && have[i].Is(types.Unknown):
			args[i] = types.Text
		case w.Is(types.Any), w.Is(types.AnyRecord) && (have[i].Is(types.AnyRecord) || have[i].IsComposite()):
			args[i] = have[i]
		case w.Is(types.Anyarray) && have[i].IsArray():
			args[i] = have[i].Bare() // int2vector and oidvector stay what they are
		}
	}
	return args, subst(ret), true
}

// bindTypes gives f with its types filled in.
func (f *Func) bindTypes(args []types.T, ret types.T) *Func {
	if f.RetOf != nil {
		ret = f.RetOf(args)
	}
	if f.bind == nil && f.Ret == ret && exact(f.Args[:min(len(f.Args), len(args))], args[:min(len(f.Args), len(args))]) && len(f.Args) == len(args) {
		return f
	}
	g := *f
	g.Args, g.Ret, g.Variadic, g.DefaultText = args, ret, false, nil
	if f.bind != nil {
		g.Kernel = f.bind(args, ret)
	}
	return &g
}

// Returning gives f, called with arguments of these types, with a result type that the call says.
func (f *Func) Returning(args []types.T, ret types.T) *Func {
	g := *f
	g.Args, g.Ret, g.Variadic, g.DefaultText = args, ret, false, nil
	if f.bind != nil {
		g.Kernel = f.bind(args, ret)
	}
	return &g
}

// WithColumns gives a set-returning function with columns that the call says.
func (f *Func) WithColumns(cols []vec.Field) *Func {
	g := *f
	g.Cols = func([]types.T) []vec.Field { return cols }
	return &g
}

func candidates(fs []*Func) []Candidate {
	out := make([]Candidate, len(fs))
	for i, f := range fs {
		out[i] = Candidate{f.Args, len(f.DefaultText), f.Variadic, f.Ret}
	}
	return out
}

// Signature gives a call as error messages show it: foo(integer, unknown).
func Signature(name string, args []types.T) string {
	var b strings.Builder
	b.WriteString(name)
	b.WriteByte('(')
	for i, a := range args {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(a.Bare().Format())
	}
	b.WriteByte(')')
	return b.String()
}

func errPolyUnknown() error {
	return pgerr.New(pgerr.DatatypeMismatch, "could not determine polymorphic type because input has type unknown")
}

// FuncError gives the error of a call that Resolve could not match (42883, 42725, 42804).
func FuncError(e ResolveError, name string, args []types.T) error {
	switch e {
	case Ambiguous:
		return pgerr.New(pgerr.AmbiguousFunction, "function %s is not unique", Signature(name, args)).
			WithHint("Could not choose a best candidate function. You might need to add explicit type casts.")
	case NoPolyType:
		return errPolyUnknown()
	}
	return pgerr.New(pgerr.UndefinedFunction, "function %s does not exist", Signature(name, args)).
		WithHint("No function matches the given name and argument types. You might need to add explicit type casts.")
}

// ResolveFunc chooses the scalar or set-returning function of a name for actual
// argument types (types.Unknown for literals). A type's name with one argument is a cast.
func ResolveFunc(name string, args []types.T) (*Resolved, error) {
	fs := funcs[name]
	cands := candidates(fs)
	if len(args) == 1 {
		if r := castCall(name, args[0], cands); r != nil {
			return r, nil
		}
	}
	i, coerced, ret, e := Resolve(cands, args)
	if e != Matched {
		return nil, FuncError(e, name, args)
	}
	f := fs[i].bindTypes(coerced, ret)
	return &Resolved{f, coerced, f.Ret}, nil
}

// ResolveAmong is ResolveFunc where users have made functions of that name too: more, in the order of the search path.
// A built-in function wins over one of the same signature. Where one of more is chosen, index tells which
// and Func is nil; else index is -1.
func ResolveAmong(name string, args []types.T, more []Candidate) (r *Resolved, index int, err error) {
	fs := funcs[name]
	cands := candidates(fs)
	own := len(cands)
	origin := make([]int, 0, len(more))
	for i, m := range more {
		hidden := false
		for _, c := range cands {
			hidden = hidden || len(c.Args) == len(m.Args) && exact(c.Args, m.Args)
		}
		if !hidden {
			cands = append(cands, m)
			origin = append(origin, i)
		}
	}
	if len(args) == 1 {
		if r := castCall(name, args[0], cands); r != nil {
			return r, -1, nil
		}
	}
	i, coerced, ret, e := Resolve(cands, args)
	switch {
	case e != Matched:
		return nil, -1, FuncError(e, name, args)
	case i >= own:
		return &Resolved{nil, coerced, ret}, origin[i-own], nil
	}
	f := fs[i].bindTypes(coerced, ret)
	return &Resolved{f, coerced, f.Ret}, -1, nil
}

// ResolveVariadic chooses the function of f(a, VARIADIC array): the last of args
// is the array, which the call gets whole.
func ResolveVariadic(name string, args []types.T) (*Resolved, error) {
	var fs []*Func
	var cands []Candidate
	for _, f := range funcs[name] {
		if !f.Variadic || len(f.Args) != len(args) || f.arrayBind == nil {
			continue
		}
		want := append([]types.T(nil), f.Args...)
		last := &want[len(want)-1]
		if last.Is(types.Any) {
			*last = types.Anyarray
		} else if a, ok := last.ArrayOf(); ok {
			*last = a
		}
		fs = append(fs, f)
		cands = append(cands, Candidate{Args: want, Ret: f.Ret})
	}
	i, coerced, ret, e := Resolve(cands, args)
	if e != Matched {
		return nil, FuncError(e, name, args)
	}
	g := *fs[i]
	g.Args, g.Ret, g.Variadic = coerced, ret, false
	g.Kernel = g.arrayBind(coerced, ret)
	return &Resolved{&g, coerced, ret}, nil
}

// castCall reads type(x) as a cast where no function matches exactly.
func castCall(name string, arg types.T, cands []Candidate) *Resolved {
	t, ok := types.Lookup(name)
	if !ok || strings.ContainsRune(name, ' ') || t.IsPseudo() && !t.Is(types.Text) {
		return nil
	}
	for _, c := range cands {
		if len(c.Args) == 1 && c.Args[0].OID == arg.OID {
			return nil
		}
	}
	c := FindCast(arg, t)
	if c == nil {
		return nil
	}
	f := &Func{Name: name, Args: []types.T{arg}, Ret: t, Strict: true, Volatility: Stable,
		Kernel: func(ctx *Ctx, args []*vecVec, out *vecVec, n int) { c.Run(ctx, args[0], out, n, t, true) }}
	return &Resolved{f, f.Args, t}
}

func errOperator(e ResolveError, sym string, args []types.T) error {
	var text string
	if len(args) == 1 {
		text = sym + " " + args[0].Bare().Format()
	} else {
		text = args[0].Bare().Format() + " " + sym + " " + args[1].Bare().Format()
	}
	if e == Ambiguous {
		return pgerr.New(pgerr.AmbiguousFunction, "operator is not unique: %s", text).
			WithHint("Could not choose a best candidate operator. You might need to add explicit type casts.")
	}
	hint := "No operator matches the given name and argument types. You might need to add explicit type casts."
	if len(args) == 1 {
		hint = "No operator matches the given name and argument type. You might need to add an explicit type cast."
	}
	return pgerr.New(pgerr.UndefinedFunction, "operator does not exist: %s", text).WithHint("%s", hint)
}

// ResolveOp chooses the operator of a symbol for one (prefix) or two actual operand types.
func ResolveOp(sym string, args []types.T) (*Resolved, error) {
	if asText, enum, ok := enumsAsText(args); ok {
		r, err := ResolveOp(sym, asText)
		if err != nil || !r.Ret.Is(types.Bool) || !comparison[sym] {
			return nil, errOperator(NoMatch, sym, args)
		}
		return &Resolved{r.Func, enum, r.Ret}, nil
	}
	var fs []*Func
	for _, f := range ops[sym] {
		if len(f.Args) == len(args) {
			fs = append(fs, f)
		}
	}
	if len(args) == 2 {
		// An unknown operand is first taken to have the type of the other.
		try := args
		if a, b := args[0].Is(types.Unknown), args[1].Is(types.Unknown); a != b {
			if a {
				try = []types.T{args[1], args[1]}
			} else {
				try = []types.T{args[0], args[0]}
			}
		}
		for _, f := range fs {
			if exact(f.Args, try) {
				g := f.bindTypes([]types.T{try[0].Bare(), try[1].Bare()}, f.Ret)
				return &Resolved{g, g.Args, g.Ret}, nil
			}
		}
	}
	i, coerced, ret, e := Resolve(candidates(fs), args)
	switch e {
	case Matched:
	case NoPolyType:
		return nil, errPolyUnknown()
	default:
		return nil, errOperator(e, sym, args)
	}
	f := fs[i].bindTypes(coerced, ret)
	return &Resolved{f, coerced, f.Ret}, nil
}

// PolyResult gives what a type of a signature, such as that of an OUT parameter, stands for where the arguments declared as want have the types have.
func PolyResult(want, have []types.T, t types.T) types.T {
	if !isPoly(t) {
		return t
	}
	if _, r, ok := solvePoly(want, have, t); ok {
		return r
	}
	return t
}
