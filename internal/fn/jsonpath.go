package fn

import (
	"math"
	"strconv"
	"strings"

	"streamsql/internal/pgerr"
	"streamsql/internal/types"
)

// pathKind is the kind of a value that a path works on.
type pathKind byte

const (
	pathNull pathKind = iota
	pathBool
	pathNumber
	pathString
	pathDatetime
	pathArray
	pathObject
)

// pathValue is an item of SQL/JSON: a scalar, or the text of an array or object.
type pathValue struct {
	kind pathKind
	b    bool
	num  types.Decimal
	str  string
	raw  []byte // of an array or object
	time pathTime
}

func pathValueOf(raw []byte) pathValue {
	switch types.JSONTypeof(raw) {
	case "object":
		return pathValue{kind: pathObject, raw: raw}
	case "array":
		return pathValue{kind: pathArray, raw: raw}
	case "string":
		s, _ := types.JSONText(raw)
		return pathValue{kind: pathString, str: s}
	case "number":
		n, _ := types.ParseNumeric(string(raw)) // valid JSON
		return pathValue{kind: pathNumber, num: n}
	case "boolean":
		return pathValue{kind: pathBool, b: strings.HasPrefix(strings.TrimSpace(string(raw)), "t")}
	}
	return pathValue{}
}

func (v *pathValue) append(b []byte) []byte {
	switch v.kind {
	case pathBool:
		return strconv.AppendBool(b, v.b)
	case pathNumber:
		return v.num.AppendString(b)
	case pathString:
		return types.AppendJSONString(b, v.str)
	case pathDatetime:
		return types.AppendJSONString(b, v.time.String())
	case pathArray, pathObject:
		return append(b, v.raw...)
	}
	return append(b, "null"...)
}

// pathStatus is the result of a step: whether it found something, or failed in a way that a predicate makes unknown.
type pathStatus byte

const (
	pathFound pathStatus = iota
	pathNotFound
	pathError
)

// pathTruth is the result of a predicate.
type pathTruth byte

const (
	pathFalse pathTruth = iota
	pathTrue
	pathUnknown
)

// pathRun is one evaluation of a path.
type pathRun struct {
	root    pathValue
	current pathValue
	vars    []byte
	lax     bool
	// ignore holds while structural errors are passed over: in lax mode and below .**
	ignore bool
	// throw says that errors end the evaluation instead of making a predicate unknown.
	throw bool
	zoned bool // *_tz: the session's zone may be used
	size  int  // of the innermost array that is being subscripted, for last
	env   *types.Env
	now   int64
	c     *Ctx // cancels the matching of regular expressions; may be nil
	err   error
}

// fail notes an error where errors are to be seen.
func (r *pathRun) fail(code, format string, args ...any) pathStatus {
	if r.throw {
		return r.abort(pgerr.New(code, format, args...))
	}
	return pathError
}

// abort ends the evaluation with an error that no mode hides.
func (r *pathRun) abort(err error) pathStatus {
	if r.err == nil {
		r.err = err
	}
	return pathError
}

// SQLSTATEs of SQL/JSON.
const (
	codeDatetimeArgument  = "22031"
	codeSubscript         = "22033"
	codeNonNumeric        = "22036"
	codeSingleton         = "22038"
	codeArrayNotFound     = "22039"
	codeMemberNotFound    = "2203A"
	codeNumberNotFound    = "2203B"
	codeObjectNotFound    = "2203C"
	codeUndefinedVariable = pgerr.UndefinedObject
)

// item runs a step on v. What it gives is appended to found; where found is nil only whether there is something counts.
// unwrap says that an array stands for its elements.
func (r *pathRun) item(x *types.JSONPathItem, v pathValue, found *[]pathValue, unwrap bool) pathStatus {
	if r.err != nil {
		return pathError
	}
	switch x.Op {
	case types.PathKey:
		switch {
		case v.kind == pathObject:
			if raw, ok := types.JSONGet(v.raw, x.Str); ok {
				return r.next(x, pathValueOf(raw), found)
			}
			if !r.ignore {
				return r.fail(codeMemberNotFound, "JSON object does not contain key \"%s\"", x.Str)
			}
		case unwrap && v.kind == pathArray:
			return r.elements(x, v, found)
		case !r.ignore:
			return r.fail(codeMemberNotFound, "jsonpath member accessor can only be applied to an object")
		}
		return pathNotFound
	case types.PathRoot:
		return r.next(x, r.root, found)
	case types.PathCurrent:
		return r.next(x, r.current, found)
	case types.PathAnyArray:
		switch {
		case v.kind == pathArray:
			return r.any(x.Next, v, found, 1, 1, 1, false, r.lax)
		case r.lax:
			return r.next(x, v, found)
		case !r.ignore:
			return r.fail(codeArrayNotFound, "jsonpath wildcard array accessor can only be applied to an array")
		}
		return pathNotFound
	case types.PathAnyKey:
		switch {
		case v.kind == pathObject:
			return r.any(x.Next, v, found, 1, 1, 1, false, r.lax)
		case unwrap && v.kind == pathArray:
			return r.elements(x, v, found)
		case !r.ignore:
			return r.fail(codeObjectNotFound, "jsonpath wildcard member accessor can only be applied to an object")
		}
		return pathNotFound
	case types.PathIndexArray:
		return r.subscript(x, v, found)
	case types.PathAny:
		st := pathNotFound
		if x.First == 0 {
			saved := r.ignore
			r.ignore = true
			st = r.next(x, v, found)
			r.ignore = saved
			if st == pathError || st == pathFound && found == nil {
				return st
			}
		}
		if v.kind == pathArray || v.kind == pathObject {
			st = r.any(x.Next, v, found, 1, x.First, x.Last, true, r.lax)
		}
		return st
	case types.PathFilter:
		if unwrap && v.kind == pathArray {
			return r.elements(x, v, found)
		}
		saved := r.current
		r.current = v
		truth := r.predicate(x.Left, v)
		r.current = saved
		if r.err != nil {
			return pathError
		}
		if truth != pathTrue {
			return pathNotFound
		}
		return r.next(x, v, found)
	case types.PathMethod, types.PathDatetime:
		return r.method(x, v, found, unwrap)
	case types.PathAdd, types.PathSub, types.PathMul, types.PathDiv, types.PathMod:
		return r.binary(x, v, found)
	case types.PathPlus, types.PathMinus:
		return r.unary(x, v, found)
	case types.PathLast:
		return r.value(x, pathValue{kind: pathNumber, num: types.NumericFromInt64(int64(r.size) - 1)}, found)
	case types.PathNull:
		return r.value(x, pathValue{}, found)
	case types.PathBool:
		return r.value(x, pathValue{kind: pathBool, b: x.Bool}, found)
	case types.PathNumeric:
		return r.value(x, pathValue{kind: pathNumber, num: x.Num}, found)
	case types.PathString:
		return r.value(x, pathValue{kind: pathString, str: x.Str}, found)
	case types.PathVariable:
		raw, ok := types.JSONGet(r.vars, x.Str)
		if !ok {
			return r.abort(pgerr.New(codeUndefinedVariable, "could not find jsonpath variable \"%s\"", x.Str))
		}
		return r.value(x, pathValueOf(raw), found)
	}
	// A predicate as an expression.
	truth := r.predicate(x, v)
	if r.err != nil {
		return pathError
	}
	out := pathValue{kind: pathBool, b: truth == pathTrue}
	if truth == pathUnknown {
		out = pathValue{}
	}
	return r.value(x, out, found)
}

// value gives a literal or computed value to the next step.
func (r *pathRun) value(x *types.JSONPathItem, v pathValue, found *[]pathValue) pathStatus {
	if x.Next == nil && found == nil {
		return pathFound
	}
	return r.next(x, v, found)
}

func (r *pathRun) next(x *types.JSONPathItem, v pathValue, found *[]pathValue) pathStatus {
	if x.Next != nil {
		return r.item(x.Next, v, found, r.lax)
	}
	if found != nil {
		*found = append(*found, v)
	}
	return pathFound
}

// elements runs a step on each element of an array, which is not unwrapped further.
func (r *pathRun) elements(x *types.JSONPathItem, v pathValue, found *[]pathValue) pathStatus {
	return r.any(x, v, found, 1, 1, 1, false, false)
}

// any runs a step on what stands in an array or object at the levels first to last. x nil takes the values themselves.
func (r *pathRun) any(x *types.JSONPathItem, v pathValue, found *[]pathValue, level, first, last uint32, ignore, unwrap bool) pathStatus {
	st := pathNotFound
	if level > last {
		return st
	}
	each := func(raw []byte) bool {
		w := pathValueOf(raw)
		container := w.kind == pathArray || w.kind == pathObject
		if level >= first || first == types.PathDeepest && last == types.PathDeepest && !container {
			switch {
			case x != nil:
				saved := r.ignore
				if ignore {
					r.ignore = true
				}
				st = r.item(x, w, found, unwrap)
				r.ignore = saved
				if st == pathError || st == pathFound && found == nil {
					return false
				}
			case found != nil:
				*found = append(*found, w)
				st = pathFound
			default:
				st = pathFound
				return false
			}
		}
		if level < last && container {
			st = r.any(x, w, found, level+1, first, last, ignore, unwrap)
			if st == pathError || st == pathFound && found == nil {
				return false
			}
		}
		return true
	}
	if v.kind == pathArray {
		types.JSONElements(v.raw, func(_ int, raw []byte) bool { return each(raw) })
	} else {
		types.JSONEach(v.raw, func(_ string, raw []byte) bool { return each(raw) })
	}
	return st
}

func (r *pathRun) subscript(x *types.JSONPathItem, v pathValue, found *[]pathValue) pathStatus {
	if v.kind != pathArray && !r.lax {
		if !r.ignore {
			return r.fail(codeArrayNotFound, "jsonpath array accessor can only be applied to an array")
		}
		return pathNotFound
	}
	size := 1
	if v.kind == pathArray {
		size = types.JSONLen(v.raw)
	}
	saved := r.size
	r.size = size
	defer func() { r.size = saved }()
	st := pathNotFound
	for _, s := range x.Subscripts {
		from, ok := r.index(s.From, v)
		if !ok {
			return pathError
		}
		to := from
		if s.To != nil {
			if to, ok = r.index(s.To, v); !ok {
				return pathError
			}
		}
		if !r.ignore && (from < 0 || from > to || to >= size) {
			return r.fail(codeSubscript, "jsonpath array subscript is out of bounds")
		}
		for i := max(from, 0); i <= min(to, size-1); i++ {
			w := v
			if v.kind == pathArray {
				raw, ok := types.JSONIndex(v.raw, i)
				if !ok {
					continue
				}
				w = pathValueOf(raw)
			}
			if x.Next == nil && found == nil {
				return pathFound
			}
			if st = r.next(x, w, found); st == pathError || st == pathFound && found == nil {
				return st
			}
		}
	}
	return st
}

// index computes a subscript.
func (r *pathRun) index(x *types.JSONPathItem, v pathValue) (int, bool) {
	var got []pathValue
	if r.item(x, v, &got, r.lax) == pathError {
		return 0, false
	}
	if len(got) != 1 || got[0].kind != pathNumber {
		r.fail(codeSubscript, "jsonpath array subscript is not a single numeric value")
		return 0, false
	}
	i, ok := got[0].num.Trunc(0).Int64()
	if !ok || i != int64(int32(i)) {
		r.fail(codeSubscript, "jsonpath array subscript is out of integer range")
		return 0, false
	}
	return int(i), true
}

// operand runs an expression and, in lax mode, unwraps the arrays that it gives.
func (r *pathRun) operand(x *types.JSONPathItem, v pathValue, unwrap bool) ([]pathValue, pathStatus) {
	var got []pathValue
	st := r.item(x, v, &got, r.lax)
	if st == pathError || !unwrap || !r.lax {
		return got, st
	}
	var out []pathValue
	for _, g := range got {
		if g.kind == pathArray {
			r.elements(nil, g, &out)
		} else {
			out = append(out, g)
		}
	}
	return out, pathFound
}

func (r *pathRun) binary(x *types.JSONPathItem, v pathValue, found *[]pathValue) pathStatus {
	left, st := r.operand(x.Left, v, true)
	if st == pathError {
		return st
	}
	right, st := r.operand(x.Right, v, true)
	if st == pathError {
		return st
	}
	for i, side := range [][]pathValue{left, right} {
		if len(side) != 1 || side[0].kind != pathNumber {
			return r.fail(codeSingleton, "%s operand of jsonpath operator %s is not a single numeric value", [2]string{"left", "right"}[i], x.Op)
		}
	}
	a, b := left[0].num, right[0].num
	var n types.Decimal
	var err error
	switch x.Op {
	case types.PathAdd:
		n, err = a.Add(b)
	case types.PathSub:
		n, err = a.Sub(b)
	case types.PathMul:
		n, err = a.Mul(b)
	case types.PathDiv:
		n, err = a.Div(b)
	default:
		n, err = a.Mod(b)
	}
	if err != nil {
		if r.throw {
			return r.abort(err)
		}
		return pathError
	}
	return r.value(x, pathValue{kind: pathNumber, num: n}, found)
}

func (r *pathRun) unary(x *types.JSONPathItem, v pathValue, found *[]pathValue) pathStatus {
	got, st := r.operand(x.Left, v, true)
	if st == pathError {
		return st
	}
	st = pathNotFound
	for _, g := range got {
		if g.kind != pathNumber {
			if found == nil && x.Next == nil {
				continue
			}
			return r.fail(codeNumberNotFound, "operand of unary jsonpath operator %s is not a numeric value", x.Op)
		}
		if found == nil && x.Next == nil {
			return pathFound
		}
		if x.Op == types.PathMinus {
			g.num = g.num.Neg()
		}
		one := r.next(x, g, found)
		if one == pathError {
			return one
		}
		if one == pathFound {
			if st = pathFound; found == nil {
				return st
			}
		}
	}
	return st
}

func (r *pathRun) method(x *types.JSONPathItem, v pathValue, found *[]pathValue, unwrap bool) pathStatus {
	number := func(n types.Decimal) pathStatus { return r.value(x, pathValue{kind: pathNumber, num: n}, found) }
	switch x.Str {
	case "type":
		return r.next(x, pathValue{kind: pathString, str: v.typeName()}, found)
	case "size":
		size := 1
		if v.kind == pathArray {
			size = types.JSONLen(v.raw)
		} else if !r.lax {
			if !r.ignore {
				return r.fail(codeArrayNotFound, "jsonpath item method .size() can only be applied to an array")
			}
			return pathNotFound
		}
		return number(types.NumericFromInt64(int64(size)))
	}
	if unwrap && v.kind == pathArray {
		return r.elements(x, v, found)
	}
	switch x.Str {
	case "abs", "floor", "ceiling":
		if v.kind != pathNumber {
			return r.fail(codeNonNumeric, "jsonpath item method .%s() can only be applied to a numeric value", x.Str)
		}
		switch x.Str {
		case "abs":
			return number(v.num.Abs())
		case "floor":
			return number(v.num.Floor())
		}
		return number(v.num.Ceil())
	case "double":
		switch v.kind {
		case pathNumber:
			if f := v.num.Float64(); math.IsInf(f, 0) || math.IsNaN(f) {
				return r.fail(codeNonNumeric, "numeric argument of jsonpath item method .double() is out of range for type double precision")
			}
			return r.next(x, v, found)
		case pathString:
			d, err := types.ParseText(nil, types.Float8, v.str)
			f, _ := d.(float64)
			if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
				return r.fail(codeNonNumeric, "string argument of jsonpath item method .double() is not a valid representation of a double precision number")
			}
			return r.next(x, pathValue{kind: pathNumber, num: types.NumericFromFloat64(f)}, found)
		}
		return r.fail(codeNonNumeric, "jsonpath item method .double() can only be applied to a string or numeric value")
	case "keyvalue":
		return r.keyvalue(x, v, found)
	}
	return r.datetime(x, v, found)
}

// keyvalue gives an object for each member. The ids tell the members of one object from those of others.
func (r *pathRun) keyvalue(x *types.JSONPathItem, v pathValue, found *[]pathValue) pathStatus {
	if v.kind != pathObject {
		return r.fail(codeObjectNotFound, "jsonpath item method .keyvalue() can only be applied to an object")
	}
	id := int64(jsonbOffset(r.root.raw, v.raw))
	st := pathNotFound
	types.JSONEach(v.raw, func(key string, raw []byte) bool {
		if found == nil && x.Next == nil {
			st = pathFound
			return false
		}
		b := types.AppendJSONString([]byte(`{"id": `+strconv.FormatInt(id, 10)+`, "key": `), key)
		b = append(append(append(b, `, "value": `...), raw...), '}')
		st = r.next(x, pathValue{kind: pathObject, raw: b}, found)
		return st != pathError && (st != pathFound || found != nil)
	})
	return st
}

func (v *pathValue) typeName() string {
	switch v.kind {
	case pathBool:
		return "boolean"
	case pathNumber:
		return "number"
	case pathString:
		return "string"
	case pathDatetime:
		return v.time.t.Format()
	case pathArray:
		return "array"
	case pathObject:
		return "object"
	}
	return "null"
}

// predicate computes a condition; errors make it unknown.
func (r *pathRun) predicate(x *types.JSONPathItem, v pathValue) pathTruth {
	switch x.Op {
	case types.PathAnd:
		left := r.predicate(x.Left, v)
		if left == pathFalse {
			return left
		}
		if right := r.predicate(x.Right, v); right != pathTrue {
			return right
		}
		return left
	case types.PathOr:
		left := r.predicate(x.Left, v)
		if left == pathTrue {
			return left
		}
		if right := r.predicate(x.Right, v); right != pathFalse {
			return right
		}
		return left
	case types.PathNot:
		switch r.predicate(x.Left, v) {
		case pathTrue:
			return pathFalse
		case pathFalse:
			return pathTrue
		}
		return pathUnknown
	case types.PathIsUnknown:
		if r.predicate(x.Left, v) == pathUnknown {
			return pathTrue
		}
		return pathFalse
	case types.PathExists:
		var all *[]pathValue
		if !r.lax { // the whole list must be free of errors
			all = new([]pathValue)
		}
		st := r.quietly(func() pathStatus { return r.item(x.Left, v, all, r.lax) })
		switch {
		case st == pathError:
			return pathUnknown
		case all != nil && len(*all) == 0, all == nil && st == pathNotFound:
			return pathFalse
		}
		return pathTrue
	case types.PathStartsWith:
		return r.compareEach(x.Left, x.Right, v, false, func(a, b *pathValue) pathTruth {
			if a.kind != pathString || b.kind != pathString {
				return pathUnknown
			}
			return truthOf(strings.HasPrefix(a.str, b.str))
		})
	case types.PathLikeRegex:
		re, err := pathRegex(x.Str, x.Flags)
		if err != nil {
			r.abort(err)
			return pathUnknown
		}
		m := re.matcher(r.c)
		return r.compareEach(x.Left, nil, v, false, func(a, _ *pathValue) pathTruth {
			if a.kind != pathString {
				return pathUnknown
			}
			ok, err := m.match([]byte(a.str))
			if err != nil {
				r.abort(err)
				return pathUnknown
			}
			return truthOf(ok)
		})
	}
	return r.compareEach(x.Left, x.Right, v, true, func(a, b *pathValue) pathTruth { return r.compare(x.Op, a, b) })
}

func truthOf(b bool) pathTruth {
	if b {
		return pathTrue
	}
	return pathFalse
}

// quietly runs f with errors suppressed.
func (r *pathRun) quietly(f func() pathStatus) pathStatus {
	saved := r.throw
	r.throw = false
	st := f()
	r.throw = saved
	return st
}

// compareEach tries a predicate on all pairs of what its operands give: one that holds is enough.
func (r *pathRun) compareEach(left, right *types.JSONPathItem, v pathValue, unwrapRight bool, f func(a, b *pathValue) pathTruth) pathTruth {
	var a, b []pathValue
	st := r.quietly(func() (st pathStatus) {
		if a, st = r.operand(left, v, true); st != pathError && right != nil {
			b, st = r.operand(right, v, unwrapRight)
		}
		return st
	})
	if st == pathError {
		return pathUnknown
	}
	if right == nil {
		b = []pathValue{{}}
	}
	found, unknown := false, false
	for i := range a {
		for j := range b {
			switch f(&a[i], &b[j]) {
			case pathUnknown:
				if !r.lax {
					return pathUnknown
				}
				unknown = true
			case pathTrue:
				if r.lax {
					return pathTrue
				}
				found = true
			}
		}
	}
	switch {
	case found:
		return pathTrue
	case unknown:
		return pathUnknown
	}
	return pathFalse
}

func (r *pathRun) compare(op types.JSONPathOp, a, b *pathValue) pathTruth {
	if a.kind != b.kind {
		if a.kind == pathNull || b.kind == pathNull {
			return truthOf(op == types.PathNotEqual)
		}
		return pathUnknown
	}
	c := 0
	switch a.kind {
	case pathBool:
		c = b2i(a.b) - b2i(b.b)
	case pathNumber:
		c = a.num.Cmp(b.num)
	case pathString:
		c = strings.Compare(a.str, b.str)
	case pathDatetime:
		var ok bool
		if c, ok = r.compareTimes(&a.time, &b.time); !ok {
			return pathUnknown
		}
	case pathArray, pathObject:
		return pathUnknown
	}
	switch op {
	case types.PathEqual:
		return truthOf(c == 0)
	case types.PathNotEqual:
		return truthOf(c != 0)
	case types.PathLess:
		return truthOf(c < 0)
	case types.PathGreater:
		return truthOf(c > 0)
	case types.PathLessOrEqual:
		return truthOf(c <= 0)
	}
	return truthOf(c >= 0)
}
