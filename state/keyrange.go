package state

import (
	"cmp"
	"slices"

	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// KeyRange is a part of a table in the order of its key (of a bag: of all columns): rows whose key begins with the values of Prefix,
// and whose next column is between From and To. A bound that is nil is none; with one of them, rows with NULL in that column
// are not meant; of a table without a key others may be given, too. Bounds are included, and may only be given for a type of which types.KeyOrdered holds.
type KeyRange struct {
	Prefix   []types.Datum
	From, To types.Datum
}

// span is a range of encoded keys: from from, before to ("": to the end).
type span struct {
	from, to string
	point    bool // from is a whole key, and nothing else is meant
}

// endOf gives the first string after those that begin with prefix; "" if there is none.
func endOf(prefix string) string {
	if prefix == "" {
		return ""
	}
	return string(prefixEnd([]byte(prefix)))
}

func prefixSpan(prefix string) span { return span{from: prefix, to: endOf(prefix)} }

// span encodes a range; ok is false where it has no rows. In a bag, whose long keys are shortened, there may be others in it.
func (s *TableSnapshot) span(r KeyRange) (x span, ok bool) {
	prefix := s.encodeKey(r.Prefix)
	cut := func(k string) string { return k }
	if s.key == nil {
		cut = func(k string) string { return k[:min(len(k), vec.KeyStart)] }
		if len(prefix) >= vec.KeyStart {
			return prefixSpan(cut(prefix)), true
		}
	}
	if r.From == nil && r.To == nil {
		x = prefixSpan(prefix)
		x.point = s.key != nil && len(r.Prefix) == len(s.key)
		return x, true
	}
	with := func(d types.Datum) string { return s.encodeKey(append(slices.Clone(r.Prefix), d)) }
	x.from = prefix
	if r.From != nil {
		x.from = cut(with(r.From))
	}
	if r.To != nil {
		x.to = endOf(cut(with(r.To)))
	} else {
		x.to = prefix + string([]byte{vec.NullKey})
	}
	return x, x.from < x.to
}

// KeyColumns gives the columns by which the rows are ordered.
func (s *TableSnapshot) KeyColumns() []int {
	if s.key != nil {
		return s.key
	}
	all := make([]int, s.schema.Len())
	for i := range all {
		all[i] = i
	}
	return all
}

// ScanRanges reads the columns cols (nil: all) of the rows in any of the ranges, in the order of the key, each row once.
func (s *TableSnapshot) ScanRanges(ranges []KeyRange, cols []int) *Scanner {
	var spans []span
	for _, r := range ranges {
		if x, ok := s.span(r); ok {
			spans = append(spans, x)
		}
	}
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	out := spans[:0]
	for _, x := range spans {
		if n := len(out); n > 0 && (out[n-1].to == "" || x.from < out[n-1].to) {
			last := &out[n-1]
			if last.to != "" && (x.to == "" || x.to > last.to) {
				last.to = x.to
			}
			last.point = last.point && x.point && x.from == last.from
			continue
		}
		out = append(out, x)
	}
	return s.scanner(cols, out)
}
