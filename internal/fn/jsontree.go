package fn

import (
	"strconv"
	"strings"

	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// jsonTree is a JSON value taken apart for changing it. kind is '{', '[' or 0 for a scalar, whose text raw is.
type jsonTree struct {
	kind byte
	raw  string
	keys []string
	vals []*jsonTree
}

func parseTree(v []byte) (*jsonTree, error) {
	t := &jsonTree{}
	var err error
	add := func(w []byte) bool {
		var sub *jsonTree
		if sub, err = parseTree(w); err == nil {
			t.vals = append(t.vals, sub)
		}
		return err == nil
	}
	switch types.JSONTypeof(v) {
	case "object":
		t.kind = '{'
		types.JSONEach(v, func(k string, w []byte) bool {
			t.keys = append(t.keys, k)
			return add(w)
		})
	case "array":
		t.kind = '['
		types.JSONElements(v, func(_ int, w []byte) bool { return add(w) })
	default:
		t.raw = strings.TrimSpace(string(v))
	}
	return t, err
}

// append writes the tree as json_strip_nulls does, without blanks.
func (t *jsonTree) append(dst []byte) []byte {
	switch t.kind {
	case '{':
		dst = append(dst, '{')
		for i, k := range t.keys {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(types.AppendJSONString(dst, k), ':')
			dst = t.vals[i].append(dst)
		}
		return append(dst, '}')
	case '[':
		dst = append(dst, '[')
		for i, v := range t.vals {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = v.append(dst)
		}
		return append(dst, ']')
	}
	return append(dst, t.raw...)
}

func (t *jsonTree) pretty(dst []byte, indent int) []byte {
	line := func(n int) { dst = append(append(dst, '\n'), strings.Repeat("    ", n)...) }
	if t.kind == 0 {
		return append(dst, t.raw...)
	}
	dst = append(dst, t.kind)
	for i, v := range t.vals {
		if i > 0 {
			dst = append(dst, ',')
		}
		line(indent + 1)
		if t.kind == '{' {
			dst = append(types.AppendJSONString(dst, t.keys[i]), ": "...)
		}
		dst = v.pretty(dst, indent+1)
	}
	line(indent)
	return append(dst, t.kind+2) // '{' and '}', '[' and ']' are two apart
}

func (t *jsonTree) stripNulls() {
	if t.kind == '{' {
		keys, vals := t.keys[:0:0], t.vals[:0:0]
		for i, v := range t.vals {
			if v.kind != 0 || v.raw != "null" {
				keys, vals = append(keys, t.keys[i]), append(vals, v)
			}
		}
		t.keys, t.vals = keys, vals
	}
	for _, v := range t.vals {
		v.stripNulls()
	}
}

func (t *jsonTree) find(key string) int {
	for i, k := range t.keys {
		if k == key {
			return i
		}
	}
	return -1
}

func (t *jsonTree) remove(i int) {
	if t.kind == '{' {
		t.keys = append(t.keys[:i], t.keys[i+1:]...)
	}
	t.vals = append(t.vals[:i], t.vals[i+1:]...)
}

func (t *jsonTree) insert(i int, v *jsonTree) {
	t.vals = append(t.vals, nil)
	copy(t.vals[i+1:], t.vals[i:])
	t.vals[i] = v
}

// What setPath does at the end of the path.
const (
	pathReplace = 1 << iota // change what is there
	pathCreate              // add what is not
	pathInsert              // put before what is there
	pathAfter               // put after what is there
	pathDelete
)

func errPathIndex(level int, s string) error {
	return pgerr.New(pgerr.InvalidTextRepresentation, "path element at position %d is not an integer: \"%s\"", level+1, s)
}

// setPath changes the tree at path: jsonb_set, jsonb_insert and #-.
func (t *jsonTree) setPath(path []types.Datum, level int, v *jsonTree, mode int) error {
	if level == len(path) {
		return nil
	}
	if path[level] == nil {
		return pgerr.New(pgerr.NullValueNotAllowed, "path element at position %d is null", level+1)
	}
	key, last := path[level].(string), level == len(path)-1
	i := -1
	before := 0 // where an element that is missing goes
	switch t.kind {
	case '{':
		i = t.find(key)
	case '[':
		x, err := strconv.ParseInt(key, 10, 32)
		if err != nil {
			return errPathIndex(level, key)
		}
		i = int(x)
		if i < 0 {
			i += len(t.vals)
		}
		if i >= len(t.vals) {
			before = len(t.vals)
		}
		if i < 0 || i >= len(t.vals) {
			i = -1
		}
	default:
		return nil
	}
	if !last {
		if i < 0 {
			return nil
		}
		return t.vals[i].setPath(path, level+1, v, mode)
	}
	switch {
	case i < 0:
		if mode&(pathCreate|pathInsert|pathAfter) == 0 {
			return nil
		}
		if t.kind == '{' {
			t.keys, t.vals = append(t.keys, key), append(t.vals, v)
		} else {
			t.insert(before, v)
		}
	case mode&pathDelete != 0:
		t.remove(i)
	case mode&(pathInsert|pathAfter) != 0:
		if t.kind == '{' {
			return pgerr.New(pgerr.InvalidParameterValue, "cannot replace existing key").
				WithHint("Try using the function jsonb_set to replace key value.")
		}
		t.insert(i+b2i(mode&pathAfter != 0), v)
	case mode&pathReplace != 0:
		t.vals[i] = v
	}
	return nil
}

func errScalar(what string) error { return pgerr.New(pgerr.InvalidParameterValue, "%s", what) }

func jsonbSet(doc, path, val string, mode int, what string) (types.Datum, error) {
	p, err := flatPath(path)
	if err != nil {
		return nil, err
	}
	t, err := parseTree(bytesOf(doc))
	if err != nil {
		return nil, err
	}
	if t.kind == 0 {
		return nil, errScalar(what)
	}
	if len(t.vals) == 0 && mode&(pathCreate|pathInsert|pathAfter) == 0 {
		return doc, nil // nothing to find: the path is not looked at
	}
	var v *jsonTree
	if val != "" {
		if v, err = parseTree(bytesOf(val)); err != nil {
			return nil, err
		}
	}
	if err := t.setPath(p, 0, v, mode); err != nil {
		return nil, err
	}
	return jsonResult(t.append(nil), true)
}

// jsonbConcat is ||: objects merge, arrays join, anything else is an array of one.
func jsonbConcat(_ *Ctx, a, b []byte) (string, error) {
	x, err := parseTree(a)
	if err != nil {
		return "", err
	}
	y, err := parseTree(b)
	if err != nil {
		return "", err
	}
	if x.kind == '{' && y.kind == '{' {
		for i, k := range y.keys {
			if j := x.find(k); j >= 0 {
				x.vals[j] = y.vals[i]
			} else {
				x.keys, x.vals = append(x.keys, k), append(x.vals, y.vals[i])
			}
		}
	} else {
		wrap := func(t *jsonTree) []*jsonTree {
			if t.kind == '[' {
				return t.vals
			}
			return []*jsonTree{t}
		}
		x = &jsonTree{kind: '[', vals: append(wrap(x), wrap(y)...)}
	}
	d, err := jsonResult(x.append(nil), true)
	if err != nil {
		return "", err
	}
	return d.(string), nil
}

func jsonbDelete(doc []byte, drop func(t *jsonTree) error) (string, error) {
	t, err := parseTree(doc)
	if err != nil {
		return "", err
	}
	if t.kind == 0 {
		return "", errScalar("cannot delete from scalar")
	}
	if err := drop(t); err != nil {
		return "", err
	}
	d, err := jsonResult(t.append(nil), true)
	if err != nil {
		return "", err
	}
	return d.(string), nil
}

func (t *jsonTree) dropKey(key string) {
	for i := len(t.vals) - 1; i >= 0; i-- {
		if t.kind == '{' && t.keys[i] == key {
			t.remove(i)
			continue
		}
		if t.kind == '[' && strings.HasPrefix(t.vals[i].raw, `"`) {
			if s, ok := types.JSONText(bytesOf(t.vals[i].raw)); ok && s == key {
				t.remove(i)
			}
		}
	}
}

// objectOf is json_object: from alternating keys and values, from pairs, or from two arrays.
func objectOf(keys, vals string, two, jsonb bool) (string, error) {
	k, err := types.DecodeArray(types.TextArray, bytesOf(keys))
	if err != nil {
		return "", err
	}
	var ks, vs []types.Datum
	if two {
		v, err := types.DecodeArray(types.TextArray, bytesOf(vals))
		if err != nil {
			return "", err
		}
		if len(k.Dims) > 1 || len(v.Dims) > 1 {
			return "", pgerr.New(pgerr.ArraySubscriptError, "wrong number of array subscripts")
		}
		if len(k.Elems) != len(v.Elems) {
			return "", pgerr.New(pgerr.ArraySubscriptError, "mismatched array dimensions")
		}
		ks, vs = k.Elems, v.Elems
	} else {
		switch {
		case len(k.Dims) == 1 && len(k.Elems)%2 != 0:
			return "", pgerr.New(pgerr.ArraySubscriptError, "array must have even number of elements")
		case len(k.Dims) == 2 && k.Dims[1].Len != 2:
			return "", pgerr.New(pgerr.ArraySubscriptError, "array must have two columns")
		case len(k.Dims) > 2:
			return "", pgerr.New(pgerr.ArraySubscriptError, "wrong number of array subscripts")
		}
		for i := 0; i < len(k.Elems); i += 2 {
			ks, vs = append(ks, k.Elems[i]), append(vs, k.Elems[i+1])
		}
	}
	b := []byte{'{'}
	for i := range ks {
		if ks[i] == nil {
			return "", pgerr.New(pgerr.NullValueNotAllowed, "null value not allowed for object key")
		}
		if i > 0 {
			b = append(b, ", "...)
		}
		b = append(types.AppendJSONString(b, ks[i].(string)), " : "...)
		if vs[i] == nil {
			b = append(b, "null"...)
		} else {
			b = types.AppendJSONString(b, vs[i].(string))
		}
	}
	d, err := jsonResult(append(b, '}'), jsonb)
	if err != nil {
		return "", err
	}
	return d.(string), nil
}

// jsonSets registers the set-returning functions of json or jsonb.
func jsonSets(j string) {
	each := func(asText bool) SetKernel {
		return func(_ *Ctx, args []types.Datum, emit *vec.Builder) error {
			v := bytesOf(args[0].(string))
			if !types.JSONEach(v, func(k string, w []byte) bool {
				emit.Cols[0].AppendStr(k)
				appendElement(&emit.Cols[1], w, asText)
				return true
			}) {
				return errScalar("cannot call " + j + "_each" + textSuffix(asText) + " on a non-object")
			}
			return nil
		}
	}
	elements := func(asText bool) SetKernel {
		return func(_ *Ctx, args []types.Datum, emit *vec.Builder) error {
			v := bytesOf(args[0].(string))
			if !types.JSONElements(v, func(_ int, w []byte) bool {
				appendElement(&emit.Cols[0], w, asText)
				return true
			}) {
				what := "a scalar"
				if types.JSONTypeof(v) == "object" {
					what = "an object"
				}
				if j == "json" {
					return errScalar("cannot call json_array_elements" + textSuffix(asText) + " on " + strings.Replace(what, "an object", "a non-array", 1))
				}
				return errScalar("cannot extract elements from " + what)
			}
			return nil
		}
	}
	for _, asText := range []bool{false, true} {
		val := mustType(j)
		if asText {
			val = types.Text
		}
		defSet(j+"_each"+textSuffix(asText)+"("+j+") record", each(asText), func([]types.T) []vecField {
			return []vecField{{Name: "key", Type: types.Text}, {Name: "value", Type: val}}
		})
		defSet(j+"_array_elements"+textSuffix(asText)+"("+j+") "+val.Name(), elements(asText), func([]types.T) []vecField {
			return []vecField{{Name: "value", Type: val}}
		})
	}
	defSet(j+"_object_keys("+j+") text", func(_ *Ctx, args []types.Datum, emit *vec.Builder) error {
		v := bytesOf(args[0].(string))
		if !types.JSONEach(v, func(k string, _ []byte) bool {
			emit.Cols[0].AppendStr(k)
			return true
		}) {
			if types.JSONTypeof(v) == "array" {
				return errScalar("cannot call " + j + "_object_keys on an array")
			}
			return errScalar("cannot call " + j + "_object_keys on a scalar")
		}
		return nil
	}, nil)
}

func textSuffix(asText bool) string {
	if asText {
		return "_text"
	}
	return ""
}

func appendElement(out *vec.Vec, w []byte, asText bool) {
	if !asText {
		out.AppendStr(strings.TrimSpace(stringOf(w)))
		return
	}
	if s, ok := types.JSONText(w); ok {
		out.AppendStr(s)
	} else {
		out.AppendNull()
	}
}

func init() {
	jsonSets("json")
	jsonSets("jsonb")
	op("jsonb || jsonb jsonb", row2e(jsonbConcat))
	op("jsonb - text jsonb", row2e(func(_ *Ctx, v []byte, k string) (string, error) {
		return jsonbDelete(v, func(t *jsonTree) error { t.dropKey(k); return nil })
	}))
	op("jsonb - text[] jsonb", row2e(func(_ *Ctx, v []byte, ks string) (string, error) {
		keys, err := flatPath(ks)
		if err != nil {
			return "", err
		}
		return jsonbDelete(v, func(t *jsonTree) error {
			for _, k := range keys {
				if k != nil {
					t.dropKey(k.(string))
				}
			}
			return nil
		})
	}))
	op("jsonb - int4 jsonb", row2e(func(_ *Ctx, v []byte, i int32) (string, error) {
		return jsonbDelete(v, func(t *jsonTree) error {
			if t.kind == '{' {
				return errScalar("cannot delete from object using integer index")
			}
			at := int(i)
			if at < 0 {
				at += len(t.vals)
			}
			if at >= 0 && at < len(t.vals) {
				t.remove(at)
			}
			return nil
		})
	}))
	deletePath := rowD(func(_ *Ctx, a []types.Datum) (types.Datum, error) {
		return jsonbSet(a[0].(string), a[1].(string), "", pathDelete, "cannot delete path in scalar")
	}, true)
	op("jsonb #- text[] jsonb", deletePath)
	def("jsonb_delete_path(jsonb,text[]) jsonb", deletePath)
	def("jsonb_set(jsonb,text[],jsonb,bool) jsonb", rowD(func(_ *Ctx, a []types.Datum) (types.Datum, error) {
		mode := pathReplace | pathCreate
		if len(a) > 3 && !a[3].(bool) {
			mode = pathReplace
		}
		return jsonbSet(a[0].(string), a[1].(string), a[2].(string), mode, "cannot set path in scalar")
	}, true), defaults("true"), named("jsonb_in", "path", "replacement", "create_if_missing"))
	def("jsonb_insert(jsonb,text[],jsonb,bool) jsonb", rowD(func(_ *Ctx, a []types.Datum) (types.Datum, error) {
		mode := pathInsert
		if len(a) > 3 && a[3].(bool) {
			mode = pathAfter
		}
		return jsonbSet(a[0].(string), a[1].(string), a[2].(string), mode, "cannot set path in scalar")
	}, true), defaults("false"), named("jsonb_in", "path", "replacement", "insert_after"))
	def("jsonb_pretty(jsonb) text", row1e(func(_ *Ctx, v []byte) (string, error) {
		t, err := parseTree(v)
		if err != nil {
			return "", err
		}
		return string(t.pretty(nil, 0)), nil
	}))
}
