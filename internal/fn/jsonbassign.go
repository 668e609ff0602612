package fn

import (
	"strconv"

	"streamsql/internal/pgerr"
	"streamsql/internal/types"
)

// JSONBAssign gives the function that UPDATE .. SET j['a'][1] = v computes: its arguments are the document (which may be
// NULL), the value and the subscripts, text or integer. What the path needs and the document lacks is made, and gaps in
// arrays become null.
func JSONBAssign(subs []types.T) *Func {
	return &Func{Name: "jsonb assignment", Ret: types.JSONB, Volatility: Immutable, Kernel: rowD(func(_ *Ctx, a []types.Datum) (types.Datum, error) {
		path := make([]string, len(a)-2)
		for i, s := range a[2:] {
			switch s := s.(type) {
			case nil:
				return nil, pgerr.New(pgerr.NullValueNotAllowed, "jsonb subscript in assignment must not be null")
			case int32:
				path[i] = strconv.Itoa(int(s))
			case string:
				path[i] = s
			}
		}
		doc, val := "{}", "null"
		switch {
		case a[0] != nil:
			doc = a[0].(string)
		case subs[0].Is(types.Int4):
			doc = "[]"
		}
		if a[1] != nil {
			val = a[1].(string)
		}
		t, err := parseTree(bytesOf(doc))
		if err != nil {
			return nil, err
		}
		v, err := parseTree(bytesOf(val))
		if err != nil {
			return nil, err
		}
		if err := t.put(path, 0, v); err != nil {
			return nil, err
		}
		return jsonResult(t.append(nil), true)
	}, false)}
}

// put makes v the value at path[level:].
func (t *jsonTree) put(path []string, level int, v *jsonTree) error {
	i := -1
	switch t.kind {
	case '{':
		if i = t.find(path[level]); i < 0 {
			v, err := grow(path[level+1:], v)
			t.keys, t.vals = append(t.keys, path[level]), append(t.vals, v)
			return err
		}
	case '[':
		x, err := strconv.ParseInt(path[level], 10, 32)
		if err != nil {
			return errPathIndex(level, path[level])
		}
		if i = int(x); i < 0 {
			if i += len(t.vals); i < 0 {
				return pgerr.New(pgerr.InvalidParameterValue, "path element at position %d is out of range: %d", level+1, x)
			}
		}
		if i >= len(t.vals) {
			if err := t.pad(i); err != nil {
				return err
			}
			v, err := grow(path[level+1:], v)
			t.vals = append(t.vals, v)
			return err
		}
	default:
		return pgerr.New(pgerr.InvalidParameterValue, "cannot replace existing key").
			WithDetail("The path assumes key is a composite object, but it is a scalar value.")
	}
	if level == len(path)-1 {
		t.vals[i] = v
		return nil
	}
	return t.vals[i].put(path, level+1, v)
}

// maxPad is how long an assignment may make an array: its nulls are written out.
const maxPad = 1 << 24

// pad makes an array of n elements at least.
func (t *jsonTree) pad(n int) error {
	if n > maxPad {
		return pgerr.New(pgerr.ProgramLimitExceeded, "number of jsonb array elements exceeds the maximum allowed (%d)", maxPad)
	}
	for len(t.vals) < n {
		t.vals = append(t.vals, &jsonTree{raw: "null"})
	}
	return nil
}

// grow wraps v into the objects and arrays that a path goes through.
func grow(path []string, v *jsonTree) (*jsonTree, error) {
	for i := len(path) - 1; i >= 0; i-- {
		if n, err := strconv.ParseInt(path[i], 10, 32); err == nil {
			a := &jsonTree{kind: '['}
			if err := a.pad(int(n)); err != nil {
				return nil, err
			}
			a.vals = append(a.vals, v)
			v = a
		} else {
			v = &jsonTree{kind: '{', keys: []string{path[i]}, vals: []*jsonTree{v}}
		}
	}
	return v, nil
}
