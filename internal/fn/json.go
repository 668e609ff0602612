package fn

import (
	"bytes"
	"strconv"
	"strings"

	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// AppendJSON appends value d of type t as to_json shows it: numbers and booleans
// bare, times in ISO 8601, arrays and records nested, NULL as null, all else as a string.
func AppendJSON(dst []byte, c *Ctx, t types.T, d types.Datum) []byte {
	if d == nil {
		return append(dst, "null"...)
	}
	switch t.OID {
	case types.OIDJSON, types.OIDJSONB:
		return append(dst, d.(string)...)
	case types.OIDBool:
		return append(dst, textBool(d.(bool))...)
	case types.OIDInt2, types.OIDInt4, types.OIDInt8:
		return types.AppendText(dst, &c.Env, t, d)
	case types.OIDFloat4, types.OIDFloat8, types.OIDNumeric:
		at := len(dst)
		dst = types.AppendText(dst, &c.Env, t, d)
		if b := dst[len(dst)-1]; b == 'y' || b == 'N' { // Infinity, NaN
			s := string(dst[at:])
			return types.AppendJSONString(dst[:at], s)
		}
		return dst
	case types.OIDDate, types.OIDTimestamp, types.OIDTimestamptz:
		env := types.Env{Zone: c.Env.Zone}
		s := types.AppendText(nil, &env, t, d)
		if len(s) > 0 && s[0] != 'i' && s[0] != '-' && t.OID != types.OIDDate {
			if i := bytes.IndexByte(s, ' '); i >= 0 {
				s[i] = 'T'
			}
			if t.OID == types.OIDTimestamptz {
				s = fullOffset(s)
			}
		}
		return types.AppendJSONString(dst, string(s))
	}
	if e, ok := t.Elem(); ok {
		a, err := types.DecodeArray(t, bytesOf(d.(string)))
		if err != nil {
			return append(dst, "null"...)
		}
		dst, _ = appendJSONArray(dst, c, e, a.Dims, a.Elems)
		return dst
	}
	if t.Is(types.AnyRecord) || t.IsComposite() {
		return appendJSONRecord(dst, c, t, d.(string))
	}
	return types.AppendJSONString(dst, formatDatum(c, t, d))
}

// fullOffset writes +00 as +00:00.
func fullOffset(s []byte) []byte {
	i := bytes.LastIndexAny(s, "+-")
	if i < 0 || bytes.IndexByte(s[i:], ':') >= 0 {
		return s
	}
	end := i + 3
	return append(append(append([]byte(nil), s[:end]...), ":00"...), s[end:]...)
}

func appendJSONArray(dst []byte, c *Ctx, e types.T, dims []types.Dim, elems []types.Datum) ([]byte, []types.Datum) {
	dst = append(dst, '[')
	if len(dims) > 0 {
		for i := range int(dims[0].Len) {
			if i > 0 {
				dst = append(dst, ',')
			}
			if len(dims) > 1 {
				dst, elems = appendJSONArray(dst, c, e, dims[1:], elems)
				continue
			}
			dst = AppendJSON(dst, c, e, elems[0])
			elems = elems[1:]
		}
	}
	return append(dst, ']'), elems
}

func appendJSONRecord(dst []byte, c *Ctx, t types.T, rec string) []byte {
	ts, vals, err := types.DecodeRecord(bytesOf(rec))
	if err != nil {
		return append(dst, "null"...)
	}
	dst = append(dst, '{')
	shape := t.Record()
	for i, v := range vals {
		if i > 0 {
			dst = append(dst, ',')
		}
		name := "f" + strconv.Itoa(i+1)
		ft := ts[i]
		if shape != nil && i < len(shape.Names) {
			name, ft = shape.Names[i], shape.Types[i]
		}
		dst = append(types.AppendJSONString(dst, name), ':')
		dst = AppendJSON(dst, c, ft, v)
	}
	return append(dst, '}')
}

// jsonResult finishes a JSON text that a function made: normalised where the result is jsonb.
func jsonResult(b []byte, jsonb bool) (types.Datum, error) {
	if !jsonb {
		return string(b), nil
	}
	n, err := types.NormalizeJSONB(b)
	if err != nil {
		return nil, err
	}
	return string(n), nil
}

// anyJSON binds to_json and to_jsonb to the type of their argument.
func anyJSON(jsonb bool) binder {
	return func(ts []types.T, _ types.T) Kernel {
		return rowD(func(c *Ctx, a []types.Datum) (types.Datum, error) {
			return jsonResult(AppendJSON(nil, c, ts[0], a[0]), jsonb)
		}, true)
	}
}

// linedJSON binds array_to_json and row_to_json, whose second argument asks for a line for each element.
func linedJSON(ts []types.T, _ types.T) Kernel {
	return rowD(func(c *Ctx, a []types.Datum) (types.Datum, error) {
		b := AppendJSON(nil, c, ts[0], a[0])
		if !a[1].(bool) {
			return string(b), nil
		}
		var out []byte
		depth, quoted := 0, false
		for i := 0; i < len(b); i++ {
			out = append(out, b[i])
			switch {
			case quoted:
				if b[i] == '\\' {
					i++
					out = append(out, b[i])
				} else {
					quoted = b[i] != '"'
				}
			case b[i] == '"':
				quoted = true
			case b[i] == '{' || b[i] == '[':
				depth++
			case b[i] == '}' || b[i] == ']':
				depth--
			case b[i] == ',' && depth == 1:
				out = append(out, "\n "...)
			}
		}
		return string(out), nil
	}, true)
}

func buildObject(c *Ctx, ts []types.T, a []types.Datum, jsonb bool) (types.Datum, error) {
	if len(a)%2 != 0 {
		return nil, pgerr.New(pgerr.InvalidParameterValue, "argument list must have even number of elements").
			WithHint("The arguments of %s must consist of alternating keys and values.", [2]string{"json_build_object()", "jsonb_build_object()"}[b2i(jsonb)])
	}
	b := []byte{'{'}
	for i := 0; i < len(a); i += 2 {
		if i > 0 {
			b = append(b, ", "...)
		}
		if a[i] == nil {
			if jsonb {
				return nil, pgerr.New(pgerr.InvalidParameterValue, "argument %d: key must not be null", i+1)
			}
			return nil, pgerr.New(pgerr.InvalidParameterValue, "argument %d cannot be null", i+1).
				WithHint("Object keys should be text.")
		}
		if err := checkKeyType(ts[i]); err != nil {
			return nil, err
		}
		b = appendKey(b, c, ts[i], a[i])
		b = append(b, " : "...)
		b = AppendJSON(b, c, ts[i+1], a[i+1])
	}
	return jsonResult(append(b, '}'), jsonb)
}

// checkKeyType refuses what cannot be the key of a JSON object.
func checkKeyType(t types.T) error {
	if t.IsArray() || t.OID == types.OIDRecord || t.IsComposite() || t.OID == types.OIDJSON || t.OID == types.OIDJSONB {
		return pgerr.New(pgerr.InvalidParameterValue, "key value must be scalar, not array, composite, or json")
	}
	return nil
}

// appendKey appends the key of a JSON object: a value as JSON has it, in quotes.
func appendKey(b []byte, c *Ctx, t types.T, d types.Datum) []byte {
	if t.Category() == 'D' {
		return AppendJSON(b, c, t, d)
	}
	return types.AppendJSONString(b, formatKey(c, t, d))
}

// formatKey is formatDatum but for booleans, which keys and casts to text spell out.
func formatKey(c *Ctx, t types.T, d types.Datum) string {
	if b, ok := d.(bool); ok {
		return textBool(b)
	}
	return formatDatum(c, t, d)
}

func buildArray(c *Ctx, ts []types.T, a []types.Datum, jsonb bool) (types.Datum, error) {
	b := []byte{'['}
	for i, d := range a {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = AppendJSON(b, c, ts[i], d)
	}
	return jsonResult(append(b, ']'), jsonb)
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// variadicAny registers a function over "any" arguments, callable with VARIADIC arrays too.
func variadicAny(sig string, f func(c *Ctx, ts []types.T, a []types.Datum) (types.Datum, error), opts ...option) *Func {
	bind := func(ts []types.T, _ types.T) Kernel {
		return rowD(func(c *Ctx, a []types.Datum) (types.Datum, error) { return f(c, ts, a) }, false)
	}
	arrayBind := func(ts []types.T, _ types.T) Kernel {
		last := len(ts) - 1
		elem, _ := ts[last].Elem()
		return rowD(func(c *Ctx, a []types.Datum) (types.Datum, error) {
			if a[last] == nil {
				return nil, nil
			}
			arr, err := types.DecodeArray(ts[last], bytesOf(a[last].(string)))
			if err != nil {
				return nil, err
			}
			us := append([]types.T(nil), ts[:last]...)
			row := append([]types.Datum(nil), a[:last]...)
			for _, d := range arr.Elems {
				us, row = append(us, elem), append(row, d)
			}
			return f(c, us, row)
		}, false)
	}
	g := def(sig, nil, append(opts, nonStrict, variadic, stable, bound(bind))...)
	g.arrayBind = arrayBind
	return g
}

// pathOf gives the elements of a text[] path, nil elements for NULLs.
func pathOf(s string) ([]types.Datum, error) {
	a, err := types.DecodeArray(types.TextArray, bytesOf(s))
	return a.Elems, err
}

// flatPath is pathOf for functions that refuse arrays of several dimensions.
func flatPath(s string) ([]types.Datum, error) {
	a, err := types.DecodeArray(types.TextArray, bytesOf(s))
	if len(a.Dims) > 1 {
		return nil, pgerr.New(pgerr.ArraySubscriptError, "wrong number of array subscripts")
	}
	return a.Elems, err
}

// follow walks a path into a JSON value.
func follow(v []byte, path []types.Datum) ([]byte, bool) {
	for _, p := range path {
		if p == nil {
			return nil, false
		}
		var ok bool
		key := p.(string)
		switch types.JSONTypeof(v) {
		case "object":
			v, ok = types.JSONGet(v, key)
		case "array":
			i, err := strconv.ParseInt(strings.TrimSpace(key), 10, 32)
			if err != nil {
				return nil, false
			}
			v, ok = types.JSONIndex(v, int(i))
		}
		if !ok {
			return nil, false
		}
	}
	return v, true
}

// getKernel is -> and ->>. get finds the raw value in row i.
func getKernel(asText bool, get func(v []byte, key *vec.Vec, i int) ([]byte, bool)) Kernel {
	return func(_ *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
		for i := range n {
			if args[0].IsNull(i) || args[1].IsNull(i) {
				out.AppendNull()
				continue
			}
			v, ok := get(args[0].Bytes(i), args[1], i)
			if !ok {
				out.AppendNull()
				continue
			}
			if !asText {
				out.AppendBytes(bytes.TrimSpace(v))
				continue
			}
			if s, ok := types.JSONText(v); ok {
				out.AppendStr(s)
			} else {
				out.AppendNull()
			}
		}
	}
}

func getKey(v []byte, key *vec.Vec, i int) ([]byte, bool) { return types.JSONGet(v, key.Str(i)) }

func getIndex(v []byte, key *vec.Vec, i int) ([]byte, bool) {
	return types.JSONIndex(v, int(key.I32[i]))
}

// getIndexB is getIndex of jsonb, where a scalar counts as an array of itself.
func getIndexB(v []byte, key *vec.Vec, i int) ([]byte, bool) {
	if k := key.I32[i]; (k == 0 || k == -1) && len(v) > 0 && v[0] != '{' && v[0] != '[' {
		return v, true
	}
	return getIndex(v, key, i)
}

func getPath(v []byte, key *vec.Vec, i int) ([]byte, bool) {
	path, err := pathOf(key.Str(i))
	if err != nil {
		return nil, false
	}
	return follow(v, path)
}

func extractPath(asText bool) func(_ *Ctx, a []types.Datum) (types.Datum, error) {
	return func(_ *Ctx, a []types.Datum) (types.Datum, error) {
		if anyNil(a) {
			return nil, nil
		}
		return pathResult(a[0].(string), a[1:], asText)
	}
}

func anyNil(a []types.Datum) bool {
	for _, d := range a {
		if d == nil {
			return true
		}
	}
	return false
}

func pathResult(s string, path []types.Datum, asText bool) (types.Datum, error) {
	v, ok := follow(bytesOf(s), path)
	if !ok {
		return nil, nil
	}
	if !asText {
		return string(bytes.TrimSpace(v)), nil
	}
	t, ok := types.JSONText(v)
	if !ok {
		return nil, nil
	}
	return t, nil
}

// contains is jsonb's @>.
func contains(a, b []byte, top bool) bool {
	ka, kb := types.JSONTypeof(a), types.JSONTypeof(b)
	if kb == "object" {
		if ka != kb {
			return false
		}
		ok := true
		types.JSONEach(b, func(k string, v []byte) bool {
			var w []byte
			if w, ok = types.JSONGet(a, k); ok {
				ok = contains(w, v, false)
			}
			return ok
		})
		return ok
	}
	if ka == "array" && (kb == "array" || top) {
		has := func(v []byte) bool {
			found := false
			types.JSONElements(a, func(_ int, w []byte) bool {
				found = contains(w, v, false)
				return !found
			})
			return found
		}
		if kb != "array" {
			return has(b)
		}
		ok := true
		types.JSONElements(b, func(_ int, v []byte) bool {
			ok = has(v)
			return ok
		})
		return ok
	}
	return ka == kb && ka != "array" && types.CompareBytes(types.JSONB, a, b) == 0
}

// hasKey is jsonb's ?: a key of an object, a string element of an array, or a string itself.
func hasKey(v []byte, key string) bool {
	switch types.JSONTypeof(v) {
	case "object":
		_, ok := types.JSONGet(v, key)
		return ok
	case "array":
		found := false
		types.JSONElements(v, func(_ int, w []byte) bool {
			if types.JSONTypeof(w) == "string" {
				s, _ := types.JSONText(w)
				found = s == key
			}
			return !found
		})
		return found
	case "string":
		s, _ := types.JSONText(v)
		return s == key
	}
	return false
}

func hasKeys(all bool) func(_ *Ctx, v []byte, keys string) (bool, error) {
	return func(_ *Ctx, v []byte, keys string) (bool, error) {
		path, err := pathOf(keys)
		if err != nil {
			return false, err
		}
		for _, k := range path {
			if k != nil && hasKey(v, k.(string)) != all {
				return !all, nil
			}
		}
		return all, nil
	}
}

// jsonbTo makes the cast from jsonb to a scalar type.
func jsonbTo(want string, to types.T, viaNumeric bool) castKernel {
	return unary(rowD(func(c *Ctx, a []types.Datum) (types.Datum, error) {
		v := bytesOf(a[0].(string))
		kind := types.JSONTypeof(v)
		if kind != want {
			return nil, pgerr.New(pgerr.InvalidParameterValue, "cannot cast jsonb %s to type %s", kind, to.Format())
		}
		s, _ := types.JSONText(v)
		if !viaNumeric {
			return types.ParseText(&c.Env, to, s)
		}
		d, err := types.ParseNumeric(s)
		if err != nil {
			return nil, err
		}
		var src, out vec.Vec
		defer src.Release()
		defer out.Release()
		src.Reset(types.KindBytes, 0)
		src.AppendStr(d.Encode())
		FindCast(types.Numeric, to).Run(c, &src, &out, 1, to, true)
		if len(out.Errs) > 0 {
			return nil, out.Errs[0].Err
		}
		return out.Datum(0), nil
	}, true))
}

func init() {
	for _, j := range []string{"json", "jsonb"} {
		b := j == "jsonb"
		op(j+" -> text "+j, getKernel(false, getKey))
		index := getIndex
		if b {
			index = getIndexB
		}
		op(j+" -> int4 "+j, getKernel(false, index))
		op(j+" ->> text text", getKernel(true, getKey))
		op(j+" ->> int4 text", getKernel(true, index))
		op(j+" #> text[] "+j, getKernel(false, getPath))
		op(j+" #>> text[] text", getKernel(true, getPath))
		for _, asText := range []bool{false, true} {
			name, ret := j+"_extract_path", j
			if asText {
				name, ret = name+"_text", "text"
			}
			f := def(name+"("+j+",text) "+ret, rowD(extractPath(asText), true), variadic)
			f.arrayBind = func([]types.T, types.T) Kernel {
				return rowD(func(_ *Ctx, a []types.Datum) (types.Datum, error) {
					path, err := pathOf(a[1].(string))
					if err != nil {
						return nil, err
					}
					return pathResult(a[0].(string), path, asText)
				}, true)
			}
		}
		def("to_"+j+"(anyelement) "+j, nil, bound(anyJSON(b)), stable)
		variadicAny(j+"_build_object(any) "+j, func(c *Ctx, ts []types.T, a []types.Datum) (types.Datum, error) { return buildObject(c, ts, a, b) })
		variadicAny(j+"_build_array(any) "+j, func(c *Ctx, ts []types.T, a []types.Datum) (types.Datum, error) { return buildArray(c, ts, a, b) })
		def(j+"_build_object() "+j, row0(func(*Ctx) string { return "{}" }), stable)
		def(j+"_build_array() "+j, row0(func(*Ctx) string { return "[]" }), stable)
		def(j+"_typeof("+j+") text", row1(func(v []byte) string { return types.JSONTypeof(v) }))
		def(j+"_array_length("+j+") int4", row1e(func(_ *Ctx, v []byte) (int32, error) {
			switch types.JSONTypeof(v) {
			case "array":
				return int32(types.JSONLen(v)), nil
			case "object":
				return 0, pgerr.New(pgerr.InvalidParameterValue, "cannot get array length of a non-array")
			}
			return 0, pgerr.New(pgerr.InvalidParameterValue, "cannot get array length of a scalar")
		}))
		def(j+"_strip_nulls("+j+") "+j, row1e(func(_ *Ctx, v []byte) (string, error) {
			t, err := parseTree(v)
			if err != nil {
				return "", err
			}
			t.stripNulls()
			d, err := jsonResult(t.append(nil), b)
			if err != nil {
				return "", err
			}
			return d.(string), nil
		}))
		def(j+"_object(text[]) "+j, row1e(func(_ *Ctx, a string) (string, error) { return objectOf(a, "", false, b) }))
		def(j+"_object(text[],text[]) "+j, row2e(func(_ *Ctx, k, v string) (string, error) { return objectOf(k, v, true, b) }))
	}
	def("array_to_json(anyarray) json", nil, bound(anyJSON(false)), stable)
	def("row_to_json(record) json", nil, bound(anyJSON(false)), stable)
	def("array_to_json(anyarray,bool) json", nil, bound(linedJSON), stable)
	def("row_to_json(record,bool) json", nil, bound(linedJSON), stable)
	op("jsonb @> jsonb bool", row2(func(a, b []byte) bool { return contains(a, b, true) }))
	op("jsonb <@ jsonb bool", row2(func(a, b []byte) bool { return contains(b, a, true) }))
	def("jsonb_contains(jsonb,jsonb) bool", row2(func(a, b []byte) bool { return contains(a, b, true) }))
	op("jsonb ? text bool", row2(func(v []byte, k string) bool { return hasKey(v, k) }))
	def("jsonb_exists(jsonb,text) bool", row2(func(v []byte, k string) bool { return hasKey(v, k) }))
	op("jsonb ?| text[] bool", row2e(hasKeys(false)))
	op("jsonb ?& text[] bool", row2e(hasKeys(true)))

	defCast("json", "jsonb", Assignment, unary(row1e(func(_ *Ctx, v []byte) ([]byte, error) { return types.NormalizeJSONB(v) })))
	defCast("jsonb", "json", Assignment, nil)
	defCast("jsonb", "bool", Explicit, jsonbTo("boolean", types.Bool, false))
	defCast("jsonb", "numeric", Explicit, jsonbTo("number", types.Numeric, false))
	for _, t := range []string{"int2", "int4", "int8", "float4", "float8"} {
		defCast("jsonb", t, Explicit, jsonbTo("number", mustType(t), true))
	}
}
