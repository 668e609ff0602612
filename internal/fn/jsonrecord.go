package fn

import (
	"fmt"

	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// populator turns JSON into values of SQL types, as json_populate_record and its kind do.
type populator struct {
	c     *Ctx
	jsonb bool
	// key is the column that is being read, and path the subscripts in it: for hints.
	key  string
	path []int
}

func (p *populator) hint() string {
	at := ""
	for _, i := range p.path {
		at += fmt.Sprintf("[%d]", i)
	}
	switch {
	case p.key != "" && at != "":
		return fmt.Sprintf("See the array element %s of key \"%s\".", at, p.key)
	case p.key != "":
		return fmt.Sprintf("See the value of key \"%s\".", p.key)
	case at != "":
		return fmt.Sprintf("See the array element %s.", at)
	}
	return ""
}

func (p *populator) bad(format string, args ...any) *pgerr.Error {
	e := pgerr.New(pgerr.InvalidTextRepresentation, format, args...)
	if h := p.hint(); h != "" {
		e = e.WithHint("%s", h)
	}
	return e
}

// value reads one JSON value (nil: there is none) as type t; base is what a record's missing fields keep.
func (p *populator) value(t types.T, v []byte, base types.Datum) (types.Datum, error) {
	kind := "null"
	if v != nil {
		kind = types.JSONTypeof(v)
	}
	if kind == "null" {
		return nil, nil
	}
	if kind != "string" {
		if e, ok := t.Elem(); ok {
			return p.array(t, e, v, kind)
		}
		if t.Record() != nil {
			return p.record(t, v, base)
		}
	}
	s := string(v)
	switch {
	case t.Is(types.JSON) && !p.jsonb, t.Is(types.JSONB) && p.jsonb:
	case kind == "string" && !t.Is(types.JSON) && !t.Is(types.JSONB):
		s, _ = types.JSONText(v)
	}
	d, err := types.ParseText(&p.c.Env, t, s)
	if err != nil {
		return nil, err
	}
	return types.ApplyMod(t, d, false)
}

func (p *populator) array(t, elem types.T, v []byte, kind string) (types.Datum, error) {
	if kind != "array" {
		return nil, p.bad("expected JSON array")
	}
	a := types.Array{Elem: elem}
	a.Elem.Mod = t.Mod
	depth := p.path
	defer func() { p.path = depth }()
	// The first element of each level says how many dimensions there are.
	var dims []types.Dim
	for x := v; ; {
		n := types.JSONLen(x)
		dims = append(dims, types.Dim{Len: int32(n), Lower: 1})
		first, ok := types.JSONIndex(x, 0)
		if !ok || types.JSONTypeof(first) != "array" || elem.Is(types.JSON) || elem.Is(types.JSONB) {
			break
		}
		x = first
	}
	if len(dims) > 6 {
		return nil, pgerr.New(pgerr.ProgramLimitExceeded, "number of array dimensions (%d) exceeds the maximum allowed (%d)", len(dims), 6)
	}
	var walk func(v []byte, level int) error
	walk = func(v []byte, level int) (err error) {
		if types.JSONLen(v) != int(dims[level].Len) {
			return pgerr.New(pgerr.InvalidTextRepresentation, "malformed JSON array").
				WithDetail("Multidimensional arrays must have sub-arrays with matching dimensions.")
		}
		types.JSONElements(v, func(i int, x []byte) bool {
			p.path = append(p.path[:len(depth)+level], i)
			isArray := types.JSONTypeof(x) == "array" && !elem.Is(types.JSON) && !elem.Is(types.JSONB)
			switch {
			case level+1 < len(dims) && !isArray:
				err = p.bad("expected JSON array")
			case level+1 < len(dims):
				err = walk(x, level+1)
			case isArray:
				err = pgerr.New(pgerr.InvalidTextRepresentation, "malformed JSON array").
					WithDetail("Multidimensional arrays must have sub-arrays with matching dimensions.")
			default:
				var d types.Datum
				d, err = p.value(a.Elem, x, nil)
				a.Elems = append(a.Elems, d)
			}
			return err == nil
		})
		return err
	}
	if err := walk(v, 0); err != nil {
		return nil, err
	}
	a.Elem = elem
	if len(a.Elems) > 0 {
		a.Dims = dims
	}
	return a.Encode(), nil
}

func (p *populator) record(t types.T, v []byte, base types.Datum) (types.Datum, error) {
	row, err := p.fields(t.Record(), v, base, "populate_composite")
	if err != nil {
		return nil, err
	}
	return types.EncodeRecord(t.Record().Types, row), nil
}

// fields reads an object as the fields of a record.
func (p *populator) fields(rec *types.Record, v []byte, base types.Datum, caller string) ([]types.Datum, error) {
	if k := types.JSONTypeof(v); k != "object" {
		if k != "array" {
			k = "scalar"
		}
		what := "a"
		if k == "array" {
			what = "an"
		}
		return nil, pgerr.New(pgerr.InvalidParameterValue, "cannot call %s on %s %s", caller, what, k)
	}
	row := make([]types.Datum, len(rec.Types))
	if base != nil {
		_, vals, err := types.DecodeRecord(bytesOf(base.(string)))
		if err != nil {
			return nil, err
		}
		copy(row, vals)
	}
	key, path := p.key, p.path
	for i, n := range rec.Names {
		x, ok := types.JSONGet(v, n)
		if !ok && base != nil {
			continue
		}
		if !ok {
			x = nil
		}
		p.key, p.path = n, nil
		d, err := p.value(rec.Types[i], x, row[i])
		if err != nil {
			return nil, err
		}
		row[i] = d
	}
	p.key, p.path = key, path
	return row, nil
}

func errRowType(name string) error {
	return pgerr.New(pgerr.FeatureNotSupported, "could not determine row type for result of %s", name).
		WithHint("Provide a non-null record argument, or call the function in the FROM clause using a column definition list.")
}

// populateRecord binds json_populate_record and json_to_record to the type of their result.
func populateRecord(name string, hasBase, jsonb bool) binder {
	return func(ts []types.T, ret types.T) Kernel {
		return rowD(func(c *Ctx, a []types.Datum) (types.Datum, error) {
			var base types.Datum
			if hasBase {
				base, a = a[0], a[1:]
			}
			if hasBase && ret.Record() == nil && ret.Category() != 'P' {
				return nil, pgerr.New(pgerr.DatatypeMismatch, "first argument of %s must be a row type", name)
			}
			if ret.Record() == nil {
				return nil, errRowType(name)
			}
			if a[0] == nil {
				return base, nil
			}
			p := &populator{c: c, jsonb: jsonb}
			v := bytesOf(a[0].(string))
			caller := name
			if hasBase {
				caller = "populate_composite"
			}
			row, err := p.fields(ret.Record(), v, base, caller)
			if err != nil {
				return nil, err
			}
			return types.EncodeRecord(ret.Record().Types, row), nil
		}, false)
	}
}

// populateSet is json_populate_recordset and json_to_recordset.
func populateSet(name string, hasBase, jsonb bool) SetKernel {
	return func(c *Ctx, a []types.Datum, emit *vec.Builder) (err error) {
		var base types.Datum
		if hasBase {
			base, a = a[0], a[1:]
		}
		if a[0] == nil {
			return nil
		}
		rec := &types.Record{}
		for _, f := range emit.Schema.Fields {
			rec.Names, rec.Types = append(rec.Names, f.Name), append(rec.Types, f.Type)
		}
		v := bytesOf(a[0].(string))
		switch types.JSONTypeof(v) {
		case "array":
		case "object":
			return pgerr.New(pgerr.InvalidParameterValue, "cannot call %s on an object", name)
		default:
			return pgerr.New(pgerr.InvalidParameterValue, "cannot call %s on a scalar", name)
		}
		types.JSONElements(v, func(_ int, x []byte) bool {
			if types.JSONTypeof(x) != "object" {
				err = pgerr.New(pgerr.InvalidParameterValue, "argument of %s must be an array of objects", name)
				return false
			}
			var row []types.Datum
			p := &populator{c: c, jsonb: jsonb}
			if row, err = p.fields(rec, x, base, name); err == nil {
				for i, d := range row {
					emit.Cols[i].AppendDatum(d)
				}
			}
			return err == nil
		})
		return err
	}
}

func recordColumns(args []types.T) []vecField {
	var out []vecField
	if rec := args[0].Record(); rec != nil {
		for i, n := range rec.Names {
			out = append(out, vecField{Name: n, Type: rec.Types[i]})
		}
	}
	return out
}

func init() {
	for _, j := range []string{"json", "jsonb"} {
		b := j == "jsonb"
		def(j+"_to_record("+j+") record", nil, bound(populateRecord(j+"_to_record", false, b)), stable, nonStrict)
		defSet(j+"_to_recordset("+j+") record", populateSet(j+"_to_recordset", false, b), func([]types.T) []vecField { return nil }, stable, nonStrict)
		name := j + "_populate_record"
		if b {
			def(name+"(anyelement,"+j+") anyelement", nil, bound(populateRecord(name, true, b)), stable, nonStrict)
			defSet(name+"set(anyelement,"+j+") anyelement", populateSet(name+"set", true, b), recordColumns, stable, nonStrict)
			continue
		}
		// json's have a third parameter, which does nothing any more.
		def(name+"(anyelement,json,bool) anyelement", nil, bound(populateRecord(name, true, b)), stable, nonStrict, named("base", "from_json", "use_json_as_text"), defaults("false"))
		defSet(name+"set(anyelement,json,bool) anyelement", populateSet(name+"set", true, b), recordColumns, stable, nonStrict, named("base", "from_json", "use_json_as_text"), defaults("false"))
	}
}
