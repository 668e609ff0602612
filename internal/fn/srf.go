package fn

import (
	"strings"

	"streamsql/internal/mem"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

var (
	errStepZero = pgerr.New(pgerr.InvalidParameterValue, "step size cannot equal zero")
)

// series emits start, start+step .. up to stop; it ends quietly where the type does.
func series(start, stop, step int64, emit func(int64)) error {
	if step == 0 {
		return errStepZero
	}
	for x := start; step > 0 && x <= stop || step < 0 && x >= stop; {
		emit(x)
		next := x + step
		if (next > x) != (step > 0) {
			break
		}
		x = next
	}
	return nil
}

func numericSeries(_ *Ctx, args []types.Datum, emit *vec.Builder) error {
	x, stop := types.NumericOf(args[0].(string)), types.NumericOf(args[1].(string))
	step := types.NumericFromInt64(1)
	if len(args) > 2 {
		step = types.NumericOf(args[2].(string))
	}
	for i, d := range []types.Decimal{x, stop, step} {
		name := [3]string{"start value", "stop value", "step size"}[i]
		if d.IsNaN() {
			return pgerr.New(pgerr.InvalidParameterValue, "%s cannot be NaN", name)
		}
		if d.IsInf() {
			return pgerr.New(pgerr.InvalidParameterValue, "%s cannot be infinity", name)
		}
	}
	if step.IsZero() {
		return errStepZero
	}
	for x.Cmp(stop)*step.Sign() <= 0 {
		appendDecimal(&emit.Cols[0], x)
		var err error
		if x, err = x.Add(step); err != nil {
			return nil // what is too large for numeric is beyond stop
		}
	}
	return nil
}

func timeSeries(zoned bool) SetKernel {
	return func(c *Ctx, args []types.Datum, emit *vec.Builder) error {
		x, stop, step := args[0].(int64), args[1].(int64), types.SpanOf(args[2].([16]byte))
		sign := step.Sign()
		if sign == 0 {
			return errStepZero
		}
		for sign > 0 && x <= stop || sign < 0 && x >= stop {
			emit.Cols[0].AppendInt64(x)
			if infinite(x) {
				return pgerr.New(pgerr.DatetimeFieldOverflow, "timestamp out of range")
			}
			next, err := addSpan(c, x, step, false, zoned)
			if err != nil {
				return err
			}
			x = next
		}
		return nil
	}
}

func subscripts(_ *Ctx, args []types.Datum, emit *vec.Builder) error {
	dims, _, err := arrayDims(bytesOf(args[0].(string)))
	if err != nil {
		return err
	}
	d := args[1].(int32)
	if d < 1 || int(d) > len(dims) {
		return nil
	}
	lo, hi := dims[d-1].Lower, dims[d-1].Lower+dims[d-1].Len-1
	from, to, step := int64(lo), int64(hi), int64(1)
	if len(args) > 2 && args[2].(bool) {
		from, to, step = to, from, -1
	}
	return series(from, to, step, func(x int64) { emit.Cols[0].AppendInt32(int32(x)) })
}

// splitText is string_to_array and string_to_table: a NULL separator cuts between characters.
func splitText(c *Ctx, a []types.Datum) []types.Datum {
	s := a[0].(string)
	if s == "" {
		return nil
	}
	if len(s) >= mem.LargeBlock/64 {
		n := len(s)
		if sep, ok := a[1].(string); ok {
			n = strings.Count(s, sep) + 1
		}
		c.Need(n * 56) // the piece, the datum, and what that points to
	}
	var parts []string
	switch {
	case a[1] == nil:
		parts = strings.Split(s, "")
	case a[1] == "":
		parts = []string{s}
	default:
		parts = strings.Split(s, a[1].(string))
	}
	out := make([]types.Datum, len(parts))
	for i, p := range parts {
		if len(a) > 2 && a[2] != nil && a[2] == p {
			continue
		}
		out[i] = p
	}
	return out
}

func init() {
	defs3 := func(t string, emitter func(emit *vec.Builder) func(int64), get func(types.Datum) int64) {
		k := func(_ *Ctx, args []types.Datum, emit *vec.Builder) error {
			step := int64(1)
			if len(args) > 2 {
				step = get(args[2])
			}
			return series(get(args[0]), get(args[1]), step, emitter(emit))
		}
		defSet("generate_series("+t+","+t+","+t+") "+t, k, nil)
		defSet("generate_series("+t+","+t+") "+t, k, nil)
	}
	defs3("int4", func(e *vec.Builder) func(int64) { return func(x int64) { e.Cols[0].AppendInt32(int32(x)) } },
		func(d types.Datum) int64 { return int64(d.(int32)) })
	defs3("int8", func(e *vec.Builder) func(int64) { return func(x int64) { e.Cols[0].AppendInt64(x) } },
		func(d types.Datum) int64 { return d.(int64) })
	defSet("generate_series(numeric,numeric) numeric", numericSeries, nil)
	defSet("generate_series(numeric,numeric,numeric) numeric", numericSeries, nil)
	defSet("generate_series(timestamp,timestamp,interval) timestamp", timeSeries(false), nil)
	defSet("generate_series(timestamptz,timestamptz,interval) timestamptz", timeSeries(true), nil, stable)
	defSet("generate_subscripts(anyarray,int4) int4", subscripts, nil)
	defSet("generate_subscripts(anyarray,int4,bool) int4", subscripts, nil)
	defSet("unnest(anyarray) anyelement", func(_ *Ctx, args []types.Datum, emit *vec.Builder) error {
		t, ok := emit.Schema.Fields[0].Type.ArrayOf()
		if !ok {
			t = types.TextArray
		}
		a, err := types.DecodeArray(t, bytesOf(args[0].(string)))
		for _, d := range a.Elems {
			emit.Cols[0].AppendDatum(d)
		}
		return err
	}, func(args []types.T) []vecField {
		e, _ := args[0].Elem()
		return []vecField{{Name: "unnest", Type: e}}
	})
	// information_schema's helper that clients use to number the columns of an index.
	f := defSet("_pg_expandarray(anyarray) record", func(_ *Ctx, args []types.Datum, emit *vec.Builder) error {
		e := emit.Schema.Fields[0].Type
		t, ok := e.ArrayOf()
		if !ok {
			t = types.TextArray
		}
		a, err := types.DecodeArray(t, bytesOf(args[0].(string)))
		for i, d := range a.Elems {
			emit.Cols[0].AppendDatum(d)
			emit.Cols[1].AppendInt32(int32(i + 1))
		}
		return err
	}, func(args []types.T) []vecField {
		e, _ := args[0].Elem()
		return []vecField{{Name: "x", Type: e}, {Name: "n", Type: types.Int4}}
	})
	f.Schema = "information_schema"
	for _, args := range []string{"text,text", "text,text,text"} {
		def("string_to_array("+args+") text[]", rowD(func(c *Ctx, a []types.Datum) (types.Datum, error) {
			if a[0] == nil {
				return nil, nil
			}
			return textArray(splitText(c, a)), nil
		}, false), nonStrict)
		defSet("string_to_table("+args+") text", func(c *Ctx, a []types.Datum, emit *vec.Builder) error {
			if a[0] != nil {
				for _, d := range splitText(c, a) {
					emit.Cols[0].AppendDatum(d)
				}
			}
			return nil
		}, nil, nonStrict)
	}
}
