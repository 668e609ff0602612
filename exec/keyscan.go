package exec

import (
	"math"

	"streamsql/internal/fn"
	"streamsql/internal/types"
	"streamsql/sql/planner"
	"streamsql/state"
)

// maxKeyRanges bounds what KeyRanges gives: conditions on further columns are then left to the filter.
const maxKeyRanges = 1 << 16

// KeyRanges gives what an input reads of a relation: see KeyRanges.
func (g *Graph) KeyRanges(in int, key []int) (ranges []state.KeyRange, ok bool) {
	s := g.infos[in].Scan
	if s.Key == nil {
		return nil, false
	}
	return KeyRanges(g.ctx.Fn, s, key)
}

// KeyRanges evaluates the conditions of a scan over a relation whose rows are in the order of the columns key. It gives all ranges in which
// rows may be that meet them, none for no rows; ok is false where all rows are to be read.
func KeyRanges(fc *fn.Ctx, s *planner.Scan, key []int) (ranges []state.KeyRange, ok bool) {
	ranges = []state.KeyRange{{}}
	at := 0 // the column of the key that comes next
	for _, c := range s.Key {
		if at >= len(key) || key[at] != c.Col {
			break
		}
		typ := s.Rel.Columns[c.Col].Type
		values, from, known := keyValues(fc, &c)
		if !known {
			break
		}
		if c.Op != "=" {
			if len(values) == 0 {
				return nil, true
			}
			x := nearKey(values[0], from, typ)
			switch up := c.Op[0] == '>'; {
			case x.unknown:
			case x.above && up || x.below && !up:
				return nil, true
			case x.above || x.below: // no bound
			default:
				for i := range ranges {
					if up {
						ranges[i].From = x.at
					} else {
						ranges[i].To = x.at
					}
				}
			}
			continue
		}
		var points []types.Datum
		all := true
		for _, v := range values {
			x := nearKey(v, from, typ)
			if all = all && !x.unknown; x.exact {
				points = append(points, x.at)
			}
		}
		if !all {
			break
		}
		if len(points) == 0 {
			return nil, true
		}
		if len(points)*len(ranges) > maxKeyRanges {
			break
		}
		next := make([]state.KeyRange, 0, len(points)*len(ranges))
		for _, r := range ranges {
			for _, p := range points {
				next = append(next, state.KeyRange{Prefix: append(r.Prefix[:len(r.Prefix):len(r.Prefix)], p)})
			}
		}
		ranges = next
		at++
	}
	r := &ranges[0]
	return ranges, len(r.Prefix) > 0 || r.From != nil || r.To != nil
}

// keyValues gives the values of a condition that are not NULL, with which nothing is true. known is false where they cannot be computed: the
// filter tells why, if there are rows.
func keyValues(fc *fn.Ctx, c *planner.KeyCond) (values []types.Datum, typ types.T, known bool) {
	typ = c.Values[0].Type()
	for _, e := range c.Values {
		if e.Type().OID != typ.OID { // of an OR
			return nil, typ, false
		}
		d, err := EvalConst(fc, e)
		if err != nil {
			return nil, typ, false
		}
		if d != nil {
			values = append(values, d)
		}
	}
	if !c.Array {
		return values, typ, true
	}
	elem, _ := typ.Elem()
	if len(values) == 0 {
		return nil, elem, true
	}
	b, ok := values[0].(string)
	if !ok {
		return nil, elem, false
	}
	a, err := types.DecodeArray(typ, []byte(b))
	if err != nil || len(a.Elems) > maxKeyRanges {
		return nil, elem, false
	}
	values = nil
	for _, d := range a.Elems {
		if d != nil {
			values = append(values, d)
		}
	}
	return values, elem, true
}

// nearest is where a value stands among those of a column of another type.
type nearest struct {
	at           types.Datum // the greatest that is not greater; exact: it is equal
	exact        bool
	below, above bool // all of the column's values are greater, or less
	unknown      bool
}

// nearKey finds a value, not NULL, among those of a column: see planner.keyValue for the pairs of types that there are.
func nearKey(d types.Datum, from, col types.T) nearest {
	if from.OID == col.OID || from.Kind() == types.KindString && col.Kind() == types.KindString && col.OID != types.OIDNumeric {
		return nearest{at: d, exact: true}
	}
	switch v := d.(type) {
	case int16:
		return nearInt(int64(v), col)
	case int32:
		if from.OID != types.OIDDate {
			return nearInt(int64(v), col)
		}
		ts, err := types.DateToTimestamp(v)
		return nearest{at: ts, exact: true, unknown: err != nil}
	case int64:
		if col.OID != types.OIDDate {
			return nearInt(v, col)
		}
		day := types.TimestampToDate(v)
		start, err := types.DateToTimestamp(day)
		return nearest{at: day, exact: start == v, unknown: err != nil}
	case string:
		if from.OID != types.OIDNumeric {
			break
		}
		n := types.DecodeNumeric([]byte(v))
		switch {
		case n.IsNaN() || n.IsInf() && n.Sign() > 0:
			return nearest{above: true}
		case n.IsInf():
			return nearest{below: true}
		}
		whole := n.Floor()
		i, fits := whole.Int64()
		if !fits {
			return nearest{below: n.Sign() < 0, above: n.Sign() > 0}
		}
		x := nearInt(i, col)
		x.exact = x.exact && whole.Cmp(n) == 0
		return x
	}
	return nearest{unknown: true}
}

func nearInt(i int64, col types.T) nearest {
	lo, hi := int64(math.MinInt64), int64(math.MaxInt64)
	switch col.OID {
	case types.OIDInt2:
		lo, hi = math.MinInt16, math.MaxInt16
	case types.OIDInt4:
		lo, hi = math.MinInt32, math.MaxInt32
	case types.OIDNumeric:
		return nearest{at: types.NumericFromInt64(i).Encode(), exact: true}
	}
	switch {
	case i < lo:
		return nearest{below: true}
	case i > hi:
		return nearest{above: true}
	}
	switch col.OID {
	case types.OIDInt2:
		return nearest{at: int16(i), exact: true}
	case types.OIDInt4:
		return nearest{at: int32(i), exact: true}
	}
	return nearest{at: i, exact: true}
}
