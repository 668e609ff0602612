package planner

import (
	"fmt"
	"slices"
	"strings"

	"streamsql/catalog"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// KeyCond is a condition on a column of the key of a stored relation, which leads a scan to the rows that may meet it. A scan may
// give others too: the condition also stands in a filter above.
type KeyCond struct {
	// Col is the column of the relation.
	Col int
	// Op is "=" (one of Values), "<", "<=", ">" or ">=".
	Op string
	// Values have no columns and one value in a statement, which may be of another type than the column.
	Values []Expr
	// Array says that the only one of Values is an array, whose elements are meant.
	Array bool
}

// storedKey gives the columns in whose order the rows of a relation are stored.
func storedKey(rel *catalog.Relation) []int {
	switch {
	case rel.Kind == catalog.Table && rel.PrimaryKey != nil:
		return rel.PrimaryKey
	case rel.Kind == catalog.Table || rel.Kind == catalog.MatView:
		all := make([]int, len(rel.Columns))
		for i := range all {
			all[i] = i
		}
		return all
	}
	return nil
}

// maxKeyValues bounds the values that a column of the key is compared with.
const maxKeyValues = 10_000

// keyScan gives a scan that reads less where a filter over it tells which keys are wanted: equalities with the first columns
// of the key, then at most two bounds of the next one.
func (p *builder) keyScan(s *Scan, filter []Expr) *Scan {
	var conds, use []KeyCond
	for _, f := range filter {
		if c, ok := keyCond(s, f); ok {
			conds = append(conds, c)
		}
	}
	if conds == nil {
		return s
	}
	one := true
	key := storedKey(s.Rel)
	for _, col := range key {
		i := slices.IndexFunc(conds, func(c KeyCond) bool { return c.Col == col && c.Op == "=" && !c.Array && len(c.Values) == 1 })
		if i < 0 {
			i = slices.IndexFunc(conds, func(c KeyCond) bool { return c.Col == col && c.Op == "=" })
		}
		if i >= 0 {
			use = append(use, conds[i])
			one = one && !conds[i].Array && len(conds[i].Values) == 1
			continue
		}
		one = false
		for _, ops := range []string{"> >=", "< <="} {
			for _, c := range conds {
				if c.Col == col && strings.Contains(ops, c.Op) {
					use = append(use, c)
					break
				}
			}
		}
		break
	}
	if use == nil {
		return s
	}
	return p.scanKeys(s.Rel, s.Cols, use, one && s.Rel.PrimaryKey != nil)
}

// scanKeys makes a scan with conditions; one says that at most one row meets them.
func (p *builder) scanKeys(rel *catalog.Relation, cols []int, conds []KeyCond, one bool) *Scan {
	plain := p.scan(rel, cols).(*Scan)
	key := fmt.Sprintf("keyscan %p", plain)
	for _, c := range conds {
		key += fmt.Sprintf(" %d %s %v [%s]", c.Col, c.Op, c.Array, exprsKey(c.Values))
	}
	return p.intern(key, func() Node {
		n := *plain
		n.Key = conds
		if one {
			n.props.Keys = append(slices.Clone(n.props.Keys), []int{})
		}
		return &n
	}).(*Scan)
}

// keyCond reads a condition over a scan as one on a column of its key.
func keyCond(s *Scan, e Expr) (c KeyCond, ok bool) {
	column := func(x Expr) (int, types.T, bool) {
		for {
			k, is := x.(*Cast)
			if !is || !keepsOrder(k) {
				break
			}
			x = k.X
		}
		k, is := x.(*Column)
		if !is {
			return 0, types.T{}, false
		}
		col := s.Cols[k.Index]
		return col, s.Rel.Columns[col].Type, slices.Contains(storedKey(s.Rel), col)
	}
	constants := func(es []Expr, col types.T, op string) bool {
		for _, v := range es {
			if !constantExpr(v) || !keyValue(col, v.Type(), op) {
				return false
			}
		}
		return len(es) <= maxKeyValues
	}
	switch e := e.(type) {
	case *Call:
		if !e.Fn.IsOp || len(e.Args) != 2 {
			return c, false
		}
		op, l, r := e.Fn.Name, e.Args[0], e.Args[1]
		col, t, is := column(l)
		if !is {
			if op, is = commuted[op]; !is {
				return c, false
			}
			if col, t, is = column(r); !is {
				return c, false
			}
			r = l
		}
		if _, known := commuted[op]; !known || !constants([]Expr{r}, t, op) {
			return c, false
		}
		return KeyCond{Col: col, Op: op, Values: []Expr{r}}, true
	case *In:
		col, t, is := column(e.X)
		if !is || e.Not || !constants(e.List, t, "=") {
			return c, false
		}
		return KeyCond{Col: col, Op: "=", Values: e.List}, true
	case *AnyArray:
		col, t, is := column(e.X)
		elem, array := e.Array.Type().Elem()
		if !is || e.All || !e.Op.IsOp || e.Op.Name != "=" || !array || !constantExpr(e.Array) || !keyValue(t, elem, "=") {
			return c, false
		}
		return KeyCond{Col: col, Op: "=", Values: []Expr{e.Array}, Array: true}, true
	case *Or: // a = 1 OR a = 2, or a comparison of rows
		if c, ok = rowBound(s, e); ok {
			return c, true
		}
		for i, x := range e.Args {
			k, is := keyCond(s, x)
			if !is || k.Op != "=" || k.Array || i > 0 && k.Col != c.Col {
				return c, false
			}
			c.Col, c.Op, c.Values = k.Col, "=", append(c.Values, k.Values...)
		}
		return c, len(c.Values) <= maxKeyValues
	}
	return c, false
}

// rowBound reads (a, b) > (x, y), which is a > x OR (a = x AND b > y), as a >= x.
func rowBound(s *Scan, e *Or) (c KeyCond, ok bool) {
	if len(e.Args) != 2 {
		return c, false
	}
	and, is := e.Args[1].(*And)
	if !is {
		return c, false
	}
	strict, ok1 := keyCond(s, e.Args[0])
	equal, ok2 := keyCond(s, and.Args[0])
	if !ok1 || !ok2 || strict.Op != "<" && strict.Op != ">" || equal.Op != "=" || equal.Array || strict.Col != equal.Col ||
		exprsKey(strict.Values) != exprsKey(equal.Values) {
		return c, false
	}
	strict.Op += "="
	return strict, true
}

var commuted = map[string]string{"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}

// keepsOrder reports whether a cast of a column to a wider type, or one that is only named otherwise, leaves comparisons what they are.
func keepsOrder(c *Cast) bool {
	from := c.X.Type()
	switch {
	case c.To.Mod >= 0 && c.To.Mod != from.Mod: // it may be cut
		return false
	case c.Cast == nil:
		return from.Kind() == c.To.Kind() && (from.OID == c.To.OID || isText(from) && isText(c.To))
	case isInt(from):
		return isInt(c.To) && intWidth(c.To) >= intWidth(from) || c.To.OID == types.OIDNumeric
	}
	return from.OID == types.OIDDate && c.To.OID == types.OIDTimestamp
}

func isText(t types.T) bool {
	return t.OID == types.OIDText || t.OID == types.OIDVarchar || t.OID == types.OIDName
}

func isInt(t types.T) bool { return intWidth(t) > 0 }

func intWidth(t types.T) int {
	switch t.OID {
	case types.OIDInt2:
		return 2
	case types.OIDInt4:
		return 4
	case types.OIDInt8:
		return 8
	}
	return 0
}

// keyValue reports whether a comparison of a key column with a value of a type can be answered in the order of the keys: see exec.KeyRanges.
func keyValue(col, value types.T, op string) bool {
	if op != "=" && !types.KeyOrdered(col) {
		return false
	}
	switch {
	case col.OID == value.OID:
		_, array := col.Elem()
		return !array && col.OID != types.OIDRecord
	case isText(col):
		return isText(value)
	case isInt(col):
		return isInt(value) || value.OID == types.OIDNumeric
	case col.OID == types.OIDNumeric:
		return isInt(value)
	case col.OID == types.OIDDate:
		return value.OID == types.OIDTimestamp
	case col.OID == types.OIDTimestamp:
		return value.OID == types.OIDDate
	}
	return false
}

// keyString words the conditions of a scan.
func keyString(s *Scan) string {
	var out []string
	for _, c := range s.Key {
		name := s.Rel.Columns[c.Col].Name
		switch {
		case c.Array:
			out = append(out, fmt.Sprintf("(%s = ANY (%s))", name, exprString(c.Values[0], nil)))
		case len(c.Values) > 1:
			out = append(out, fmt.Sprintf("(%s IN (%s))", name, exprStrings(c.Values, nil)))
		default:
			out = append(out, fmt.Sprintf("(%s %s %s)", name, c.Op, exprString(c.Values[0], nil)))
		}
	}
	return strings.Join(out, " AND ")
}

// countOnly gives what a scan reads where only the number of rows matters: no column.
func (p *builder) countOnly(in Node, keys []int, aggs []AggCall) Node {
	s, ok := in.(*Scan)
	if !ok || p.continuous || len(keys) > 0 || s.Key != nil || storedKey(s.Rel) == nil {
		return in
	}
	for _, a := range aggs {
		if len(a.Args) > 0 || a.Filter >= 0 || len(a.OrderBy) > 0 {
			return in
		}
	}
	return p.scan(s.Rel, []int{})
}

func typesOf(rel *catalog.Relation) (ts []types.T) {
	for _, c := range rel.Columns {
		ts = append(ts, c.Type)
	}
	return ts
}

// presorted reports whether the rows of a snapshot come from the store in the order of keys, those that are equal there by the
// whole row: then a LIMIT has what it wants after the first ones.
func (p *builder) presorted(t *TopN) bool {
	if p.continuous || len(t.Keys) == 0 || t.Partition != nil || t.RankCol || t.WithTies {
		return false
	}
	pos := func(c int) int { return c }
	in := t.Input
	if c, ok := in.(*Calc); ok {
		in = c.Input
		pos = func(i int) int {
			if x, ok := c.Exprs[i].(*Column); ok {
				return x.Index
			}
			return -1
		}
	}
	s, ok := in.(*Scan)
	if !ok {
		return false
	}
	var order []int // columns of the relation
	for _, k := range t.Keys {
		if k.Desc || k.NullsFirst {
			return false
		}
		order = append(order, pos(k.Col))
	}
	for i := range t.Input.Schema().Len() {
		order = append(order, pos(i))
	}
	key := storedKey(s.Rel)
	if key == nil || s.Rel.PrimaryKey == nil && !vec.WholeKeys(typesOf(s.Rel)) {
		return false
	}
	seen := map[int]bool{}
	for _, c := range order {
		if len(key) == 0 {
			break
		}
		if c >= 0 {
			c = s.Cols[c]
		}
		if seen[c] {
			continue
		}
		if seen[c] = true; c != key[0] || !types.KeyOrdered(s.Rel.Columns[c].Type) || types.NeedsKey(s.Rel.Columns[c].Type) {
			return false
		}
		key = key[1:]
	}
	return len(key) == 0
}
