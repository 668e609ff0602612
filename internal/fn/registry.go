package fn

import (
	"strings"

	"streamsql/internal/types"
)

// The registry is filled by the init functions of this package's files and read
// only afterwards, so that it needs no lock.
var (
	funcs     = map[string][]*Func{}
	ops       = map[string][]*Func{}
	allFuncs  []*Func
	allOps    []*Func
	casts     = map[[2]uint32]*Cast{}
	castOrder []*Cast
)

// Lookup gives the scalar and set-returning functions of a lower-case name.
func Lookup(name string) []*Func { return funcs[name] }

// LookupOp gives the operators of a symbol, prefix operators included.
func LookupOp(symbol string) []*Func { return ops[symbol] }

// All gives every scalar and set-returning function, for pg_proc. The slice must not be changed.
func All() []*Func { return allFuncs }

// AllOps gives every operator, for pg_operator. The slice must not be changed.
func AllOps() []*Func { return allOps }

// AllCasts gives the casts of pg_cast; casts by way of text are not among them, see FindCast.
func AllCasts() []*Cast { return castOrder }

type option func(*Func)

func stable(f *Func)    { f.Volatility = Stable }
func volatile(f *Func)  { f.Volatility = Volatile }
func nonStrict(f *Func) { f.Strict = false }
func variadic(f *Func)  { f.Variadic = true }

func defaults(text ...string) option { return func(f *Func) { f.DefaultText = text } }
func named(names ...string) option   { return func(f *Func) { f.ArgNames = names } }

// binder makes the kernel of one call, whose types are known: for functions that
// must know the types of polymorphic arguments.
type binder func(args []types.T, ret types.T) Kernel

func bound(b binder) option { return func(f *Func) { f.bind = b } }

// mustType reads a type's name in a signature; only a programming error can fail.
func mustType(s string) types.T {
	s = strings.TrimSpace(s)
	if e, ok := strings.CutSuffix(s, "[]"); ok {
		if t, ok := mustType(e).ArrayOf(); ok {
			return t
		}
	}
	t, ok := types.Lookup(s)
	if !ok {
		panic("fn: no type " + s)
	}
	return t
}

// parseSig reads "name(type,type) ret".
func parseSig(sig string) *Func {
	name, rest, _ := strings.Cut(sig, "(")
	args, ret, ok := strings.Cut(rest, ")")
	if !ok {
		panic("fn: signature " + sig)
	}
	f := &Func{Name: name, Ret: mustType(ret), Strict: true, Volatility: Immutable}
	if args != "" {
		for _, a := range strings.Split(args, ",") {
			f.Args = append(f.Args, mustType(a))
		}
	}
	return f
}

func (f *Func) oidKey() string {
	var b strings.Builder
	b.WriteString(f.Name)
	for i, a := range f.Args {
		b.WriteByte(" ,"[min(i, 1)])
		if f.Variadic && i == len(f.Args)-1 && !a.Is(types.Any) {
			b.WriteByte('_')
		}
		b.WriteString(a.Name())
	}
	return b.String()
}

// def registers a function: strict and immutable unless the options say otherwise.
func def(sig string, k Kernel, opts ...option) *Func {
	f := parseSig(sig)
	f.Kernel = k
	for _, o := range opts {
		o(f)
	}
	f.OID = procOIDs[f.oidKey()]
	funcs[f.Name] = append(funcs[f.Name], f)
	allFuncs = append(allFuncs, f)
	return f
}

// defs registers several functions with one kernel.
func defs(sigs []string, k Kernel, opts ...option) {
	for _, s := range sigs {
		def(s, k, opts...)
	}
}

// defSet registers a set-returning function. An unnamed column bears the function's name.
func defSet(sig string, s SetKernel, cols func(args []types.T) []vecField, opts ...option) *Func {
	f := def(sig, nil, opts...)
	f.Set = s
	f.Cols = cols
	if cols == nil {
		name, ret := f.Name, f.Ret
		f.Cols = func([]types.T) []vecField { return []vecField{{Name: name, Type: ret}} }
	}
	return f
}

// op registers an operator: "left symbol right result", or "symbol right result" for a prefix operator.
func op(sig string, k Kernel, opts ...option) *Func {
	w := strings.Fields(sig)
	f := &Func{IsOp: true, Strict: true, Volatility: Immutable, Kernel: k}
	if len(w) == 3 {
		f.Name, f.Args = w[0], []types.T{mustType(w[1])}
	} else {
		f.Name, f.Args = w[1], []types.T{mustType(w[0]), mustType(w[2])}
	}
	f.Ret = mustType(w[len(w)-1])
	for _, o := range opts {
		o(f)
	}
	f.OID = opOIDs[f.oidKey()]
	if len(f.Args) == 2 {
		f.Commute, f.Negate = commutators[f.Name], negators[f.Name]
		if f.Commute == f.Name && !f.Args[0].Is(f.Args[1]) && !commutesAcross(f) {
			f.Commute = ""
		}
	}
	ops[f.Name] = append(ops[f.Name], f)
	allOps = append(allOps, f)
	return f
}

// commutesAcross says that op(b,a) exists for the mixed operand types of f.
func commutesAcross(f *Func) bool { return f.Name == "=" || f.Name == "<>" || f.Name == "*" }

var commutators = map[string]string{
	"=": "=", "<>": "<>", "<": ">", ">": "<", "<=": ">=", ">=": "<=",
	"*": "*", "&": "&", "|": "|", "#": "#", "@>": "<@", "<@": "@>", "&&": "&&",
}

var negators = map[string]string{
	"=": "<>", "<>": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">",
	"~~": "!~~", "!~~": "~~", "~~*": "!~~*", "!~~*": "~~*", "~": "!~", "!~": "~", "~*": "!~*", "!~*": "~*",
}

// castKernel converts a column, see Cast.Kernel.
type castKernel = func(c *Ctx, in, out *vecVec, n int, mod int32, explicit bool)

func defCast(from, to string, context CastContext, k castKernel) {
	c := &Cast{From: mustType(from), To: mustType(to), Context: context, Kernel: k, Binary: k == nil}
	key := [2]uint32{c.From.OID, c.To.OID}
	if casts[key] == nil {
		castOrder = append(castOrder, c)
	}
	casts[key] = c
}

// unary makes a cast's kernel of a function's.
func unary(k Kernel) castKernel {
	return func(c *Ctx, in, out *vecVec, n int, _ int32, _ bool) { k(c, []*vecVec{in}, out, n) }
}
