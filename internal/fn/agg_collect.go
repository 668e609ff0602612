package fn

import (
	"math"

	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/state"
)

// collectAgg keeps the rows of each group in the order in which they came and
// computes the result from all of them. Rows are not taken back here: where they
// can be, the executor keeps them and feeds a group anew.
type collectAgg struct {
	c      *Ctx
	types  []types.T
	groups [][]datum // the arguments of each row, one after the other
	finish func(c *Ctx, ts []types.T, vals []datum) (datum, error)
}

func collect(finish func(c *Ctx, ts []types.T, vals []datum) (datum, error)) func(AggOptions) Aggregate {
	return func(o AggOptions) Aggregate {
		c := o.Ctx
		if c == nil {
			c = &Ctx{}
		}
		return &collectAgg{c: c, types: o.Args, finish: finish}
	}
}

func (a *collectAgg) Grow(n int) { a.groups = grown(a.groups, n) }

func (a *collectAgg) Update(ids []uint32, args []*vec.Vec, _ []vec.Op) {
	for i, id := range ids {
		g := a.groups[id]
		if len(g)+len(args) > cap(g) {
			a.c.Need(collectedSize * (len(g) + len(g)/4)) // what append takes
		}
		for _, v := range args {
			g = append(g, v.Datum(i))
		}
		a.groups[id] = g
	}
}

func (a *collectAgg) Merge(dst []uint32, from Aggregate, src []uint32) {
	for i, d := range dst {
		a.groups[d] = append(a.groups[d], from.(*collectAgg).groups[src[i]]...)
	}
}

func (a *collectAgg) Result(ids []uint32, out *vec.Vec) {
	for _, id := range ids {
		g := a.groups[id]
		if len(g) == 0 {
			out.AppendNull()
			continue
		}
		a.c.Need(2 * (collectedSize*len(g) + contentSize(g)))
		d, err := a.finish(a.c, a.types, g)
		if err != nil {
			failRow(out, err)
			continue
		}
		out.AppendDatum(d)
	}
}

func (a *collectAgg) Clear(ids []uint32) { clearIDs(a.groups, ids) }

func (a *collectAgg) Snapshot(ids []uint32, w *state.Writer) {
	k := len(a.types)
	for _, id := range ids {
		g := a.groups[id]
		w.Uint64(uint64(len(g) / k))
		for i, d := range g {
			w.Bool(d != nil)
			if d != nil {
				w.Blob(types.AppendBinary(nil, a.types[i%k], d))
			}
		}
	}
}

func (a *collectAgg) Restore(ids []uint32, r *state.Reader) error {
	k := len(a.types)
	for _, id := range ids {
		n := int(r.Uint64()) * k
		var g []datum
		for i := 0; i < n && r.Err() == nil; i++ {
			var d datum
			if r.Bool() {
				var err error
				if d, err = types.DecodeBinary(a.types[i%k], r.Blob()); err != nil {
					return err
				}
			}
			g = append(g, d)
		}
		a.groups[id] = g
	}
	return r.Err()
}

func (a *collectAgg) Bytes() int {
	return 24*cap(a.groups) + sampled(len(a.groups), func(i int) int { return collectedSize*cap(a.groups[i]) + contentSize(a.groups[i]) })
}

// collectedSize is what a value that was gathered takes in the list.
const collectedSize = 16

// contentSize tells what the values of a group take beside the list, roughly.
func contentSize(g []datum) int {
	return sampled(min(len(g), 64), func(i int) int {
		switch x := g[i*max(len(g)/64, 1)].(type) {
		case nil, bool:
			return 0
		case string:
			return 16 + len(x)
		default:
			return 8
		}
	}) * max(len(g)/64, 1)
}

func stringAgg(_ *Ctx, _ []types.T, vals []datum) (datum, error) {
	var b []byte
	some := false
	for i := 0; i < len(vals); i += 2 {
		if vals[i] == nil {
			continue
		}
		if some && vals[i+1] != nil {
			b = append(b, vals[i+1].(string)...)
		}
		b = append(b, vals[i].(string)...)
		some = true
	}
	if !some {
		return nil, nil
	}
	return string(b), nil
}

func arrayAgg(_ *Ctx, ts []types.T, vals []datum) (datum, error) {
	e, ok := ts[0].Elem()
	if !ok {
		return types.NewArray(ts[0].Bare(), vals).Encode(), nil
	}
	// Arrays become a further dimension.
	var out types.Array
	for i, v := range vals {
		if v == nil {
			return nil, pgerr.New(pgerr.NullValueNotAllowed, "cannot accumulate null arrays")
		}
		a, err := types.DecodeArray(ts[0], bytesOf(v.(string)))
		if err != nil {
			return nil, err
		}
		if len(a.Dims) == 0 {
			return nil, pgerr.New(pgerr.ArraySubscriptError, "cannot accumulate empty arrays")
		}
		if i == 0 {
			out = types.Array{Elem: e, Dims: append([]types.Dim{{Len: int32(len(vals)), Lower: 1}}, a.Dims...)}
		}
		for j, d := range a.Dims {
			if len(a.Dims) != len(out.Dims)-1 || d.Len != out.Dims[j+1].Len {
				return nil, pgerr.New(pgerr.ArraySubscriptError, "cannot accumulate arrays of different dimensionality")
			}
		}
		out.Elems = append(out.Elems, a.Elems...)
	}
	return out.Encode(), nil
}

func jsonAgg(jsonb bool) func(c *Ctx, ts []types.T, vals []datum) (datum, error) {
	return func(c *Ctx, ts []types.T, vals []datum) (datum, error) {
		b := []byte{'['}
		nested := ts[0].IsArray() || ts[0].Is(types.AnyRecord)
		for i, v := range vals {
			if i > 0 {
				b = append(b, ", "...)
				if nested && v != nil {
					b = append(b, "\n "...)
				}
			}
			b = AppendJSON(b, c, ts[0], v)
		}
		return jsonResult(append(b, ']'), jsonb)
	}
}

func jsonObjectAgg(jsonb bool) func(c *Ctx, ts []types.T, vals []datum) (datum, error) {
	return func(c *Ctx, ts []types.T, vals []datum) (datum, error) {
		if err := checkKeyType(ts[0]); err != nil && len(vals) > 0 && vals[0] != nil {
			return nil, err
		}
		b := []byte("{ ")
		for i := 0; i < len(vals); i += 2 {
			if vals[i] == nil {
				return nil, pgerr.New(pgerr.InvalidParameterValue, "field name must not be null")
			}
			if i > 0 {
				b = append(b, ", "...)
			}
			b = appendKey(b, c, ts[0], vals[i])
			b = append(b, " : "...)
			b = AppendJSON(b, c, ts[1], vals[i+1])
		}
		return jsonResult(append(b, " }"...), jsonb)
	}
}

// mode gives the most frequent of the sorted values, the first of several.
func mode(_ *Ctx, ts []types.T, vals []datum) (datum, error) {
	best, count := vals[0], 0
	for i := 0; i < len(vals); {
		j := i + 1
		for j < len(vals) && types.Compare(ts[0], vals[i], vals[j]) == 0 {
			j++
		}
		if j-i > count {
			best, count = vals[i], j-i
		}
		i = j
	}
	return best, nil
}

func checkFraction(f float64) error {
	if f < 0 || f > 1 || f != f {
		return pgerr.New(pgerr.NumericValueOutOfRange, "percentile value %g is not between 0 and 1", f)
	}
	return nil
}

// discrete gives the first of n sorted values whose position reaches f.
func discrete(f float64, at func(i int) datum, n int) datum {
	return at(max(int(math.Ceil(f*float64(n)))-1, 0))
}

// continuous interpolates between two neighbours of n sorted values (float8 or interval).
func continuous(f float64, at func(i int) datum, n int) (datum, error) {
	pos := f * float64(n-1)
	lo, hi := int(math.Floor(pos)), int(math.Ceil(pos))
	a, b, p := at(lo), at(hi), pos-float64(lo)
	switch x := a.(type) {
	case float64:
		if lo == hi {
			return x, nil
		}
		return x + p*(b.(float64)-x), nil
	case b16:
		s, t := types.SpanOf(x), types.SpanOf(b.(b16))
		d, err := t.Sub(s)
		if err == nil {
			d, err = d.Mul(p)
		}
		if err == nil {
			s, err = s.Add(d)
		}
		return s.Bytes(), err
	}
	return a, nil
}

// percentile makes percentile_cont or percentile_disc, of one fraction or of an array of them. Rows are (fraction, value), in order.
func percentile(cont, many bool) func(c *Ctx, ts []types.T, vals []datum) (datum, error) {
	return func(_ *Ctx, ts []types.T, vals []datum) (datum, error) {
		n := len(vals) / 2
		at := func(i int) datum { return vals[2*i+1] }
		one := func(f float64) (datum, error) {
			if err := checkFraction(f); err != nil {
				return nil, err
			}
			if cont {
				return continuous(f, at, n)
			}
			return discrete(f, at, n), nil
		}
		if !many {
			return one(vals[0].(float64))
		}
		a, err := types.DecodeArray(ts[0], bytesOf(vals[0].(string)))
		if err != nil {
			return nil, err
		}
		out := types.Array{Elem: ts[1].Bare(), Dims: a.Dims}
		for _, f := range a.Elems {
			var d datum
			if f != nil {
				if d, err = one(f.(float64)); err != nil {
					return nil, err
				}
			}
			out.Elems = append(out.Elems, d)
		}
		return out.Encode(), nil
	}
}

func arrayOfArg(i int) func(args []types.T) types.T {
	return func(args []types.T) types.T {
		if args[i].IsArray() {
			return args[i]
		}
		t, ok := args[i].Bare().ArrayOf()
		if !ok {
			return types.Anyarray
		}
		return t
	}
}

func init() {
	defAgg("string_agg(text,text) text", collect(stringAgg), keepNulls, ordered, aggDoc("concatenate aggregate input into a string"))
	defAgg("string_agg(bytea,bytea) bytea", collect(stringAgg), keepNulls, ordered, aggDoc("concatenate aggregate input into a bytea"))
	defAgg("array_agg(anynonarray) anyarray", collect(arrayAgg), keepNulls, ordered, aggRet(arrayOfArg(0)), aggDoc("concatenate aggregate input into an array"))
	defAgg("array_agg(anyarray) anyarray", collect(arrayAgg), keepNulls, ordered, aggRet(arrayOfArg(0)), aggDoc("concatenate aggregate input into an array"))
	for _, j := range []string{"json", "jsonb"} {
		b := j == "jsonb"
		defAgg(j+"_agg(anyelement) "+j, collect(jsonAgg(b)), keepNulls, ordered, aggDoc("aggregate input into "+j))
		defAgg(j+"_object_agg(any,any) "+j, collect(jsonObjectAgg(b)), keepNulls, ordered, aggDoc("aggregate input into a "+j+" object"))
	}
	first := func(i int) aggOption { return aggRet(func(args []types.T) types.T { return args[i] }) }
	defAgg("mode(anyelement) anyelement", collect(mode), withinGroup, first(0), aggDoc("most common value"))
	defAgg("percentile_disc(float8,anyelement) anyelement", collect(percentile(false, false)), withinGroup, first(1), aggDoc("discrete percentile"))
	defAgg("percentile_disc(float8[],anyelement) anyarray", collect(percentile(false, true)), withinGroup, aggDoc("multiple discrete percentiles"))
	defAgg("percentile_cont(float8,float8) float8", collect(percentile(true, false)), withinGroup, aggDoc("continuous distribution percentile"))
	defAgg("percentile_cont(float8,interval) interval", collect(percentile(true, false)), withinGroup, aggDoc("continuous distribution percentile"))
	defAgg("percentile_cont(float8[],float8) float8[]", collect(percentile(true, true)), withinGroup, aggDoc("multiple continuous percentiles"))
	defAgg("percentile_cont(float8[],interval) interval[]", collect(percentile(true, true)), withinGroup, aggDoc("multiple continuous percentiles"))
}
