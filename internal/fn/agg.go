package fn

import (
	"strings"

	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/state"
)

var (
	aggs    = map[string][]*Agg{}
	allAggs []*Agg
)

// LookupAgg gives the aggregates of a lower-case name.
func LookupAgg(name string) []*Agg { return aggs[name] }

// AllAggs gives every aggregate, for pg_proc and pg_aggregate. The slice must not be changed.
func AllAggs() []*Agg { return allAggs }

// ResolvedAgg is an aggregate chosen for actual arguments.
type ResolvedAgg struct {
	Agg *Agg
	// Args are the concrete types to coerce the actual arguments to, one for each.
	Args []types.T
	Ret  types.T
}

// ResolveAgg chooses an aggregate for actual argument types (types.Unknown for
// untyped literals) by PostgreSQL's rules. The arguments of an aggregate with WithinGroup are the
// direct ones, then those of its ORDER BY. count(*) has no arguments. Errors are 42883 and 42725.
func ResolveAgg(name string, args []types.T) (*ResolvedAgg, error) {
	if asText, enum, ok := enumsAsText(args); ok && (name == "min" || name == "max") { // a value compares as its text does
		r, err := ResolveAgg(name, asText)
		if err != nil {
			return nil, err
		}
		return &ResolvedAgg{Agg: r.Agg, Args: enum, Ret: enum[0]}, nil
	}
	cands := aggs[name]
	cs := make([]Candidate, len(cands))
	for i, a := range cands {
		cs[i] = Candidate{Args: a.Args, Variadic: a.Variadic, Ret: a.Ret}
	}
	i, coerced, ret, e := Resolve(cs, args)
	if e != Matched {
		return nil, FuncError(e, name, args)
	}
	a := cands[i]
	for j, t := range coerced {
		if t.Is(types.Any) || t.Is(types.Unknown) { // "any" takes the value as it is; a bare literal is text
			coerced[j] = args[j]
			if args[j].Is(types.Unknown) {
				coerced[j] = types.Text
			}
		}
	}
	if a.RetOf != nil {
		ret = a.RetOf(coerced)
	}
	if ret.Is(types.Anyarray) {
		for j, t := range a.Args {
			if t.Is(types.Anyelement) {
				return nil, pgerr.New(pgerr.UndefinedObject, "could not find array type for data type %s", coerced[j].Bare().Format())
			}
		}
	}
	return &ResolvedAgg{Agg: a, Args: coerced, Ret: ret}, nil
}

type aggOption func(*Agg)

func ordered(a *Agg)     { a.Ordered = true }
func withinGroup(a *Agg) { a.WithinGroup, a.Ordered = true, true }
func keepNulls(a *Agg)   { a.SkipNulls = false }

func aggRet(f func(args []types.T) types.T) aggOption { return func(a *Agg) { a.RetOf = f } }
func aggDoc(s string) aggOption                       { return func(a *Agg) { a.Doc = s } }

// defAgg registers an aggregate that leaves out rows with NULL arguments, unless the options say otherwise.
func defAgg(sig string, mk func(AggOptions) Aggregate, opts ...aggOption) *Agg {
	f := parseSig(sig)
	a := &Agg{Name: f.Name, Args: f.Args, Ret: f.Ret, SkipNulls: true, New: mk}
	for _, o := range opts {
		o(a)
	}
	f.Variadic = a.Variadic
	a.OID = aggOIDs[strings.TrimSpace(f.oidKey())]
	aggs[a.Name] = append(aggs[a.Name], a)
	allAggs = append(allAggs, a)
	return a
}

// grown gives s with at least n elements; new ones are zero. Elements are zeroed
// when their group is cleared, so that the room beyond len is zero as well.
func grown[E any](s []E, n int) []E {
	switch {
	case n <= len(s):
		return s
	case n <= cap(s):
		return s[:n]
	}
	t := make([]E, n, max(n, 2*cap(s), 16))
	copy(t, s)
	return t
}

// sampled estimates the sum of size over n groups from some of them, since Bytes is asked for often.
func sampled(n int, size func(i int) int) int {
	const most = 512
	step := max(n/most, 1)
	sum, seen := 0, 0
	for i := 0; i < n; i += step {
		sum += size(i)
		seen++
	}
	if seen == 0 {
		return 0
	}
	return int(float64(sum) * float64(n) / float64(seen))
}

func clearIDs[E any](s []E, ids []uint32) {
	var zero E
	for _, id := range ids {
		s[id] = zero
	}
}

// opAt gives what row i of ops counts for.
func opAt(ops []vec.Op, i int) int64 {
	if ops == nil {
		return 1
	}
	return int64(ops[i])
}

// countAgg counts rows; for count(x) those with NULL have been left out.
type countAgg struct{ n []int64 }

func newCount(AggOptions) Aggregate { return new(countAgg) }

func (a *countAgg) Grow(n int) { a.n = grown(a.n, n) }

func (a *countAgg) Update(ids []uint32, _ []*vec.Vec, ops []vec.Op) {
	n := a.n
	if ops == nil {
		for _, id := range ids {
			n[id]++
		}
		return
	}
	ops = ops[:len(ids)]
	for i, id := range ids {
		n[id] += int64(ops[i])
	}
}

func (a *countAgg) Merge(dst []uint32, from Aggregate, src []uint32) {
	n, m := a.n, from.(*countAgg).n
	src = src[:len(dst)]
	for i, d := range dst {
		n[d] += m[src[i]]
	}
}

func (a *countAgg) Result(ids []uint32, out *vec.Vec) {
	at := out.N
	out.Extend(len(ids))
	o := out.I64[at:out.N]
	for i, id := range ids {
		o[i] = a.n[id]
	}
}

func (a *countAgg) Clear(ids []uint32) { clearIDs(a.n, ids) }

func (a *countAgg) Snapshot(ids []uint32, w *state.Writer) {
	for _, id := range ids {
		w.Int64(a.n[id])
	}
}

func (a *countAgg) Restore(ids []uint32, r *state.Reader) error {
	for _, id := range ids {
		a.n[id] = r.Int64()
	}
	return r.Err()
}

func (a *countAgg) Bytes() int { return 8 * cap(a.n) }

func init() {
	defAgg("count() int8", newCount, aggDoc("number of input rows"))
	defAgg("count(any) int8", newCount, aggDoc("number of input rows for which the input expression is not null"))
}
