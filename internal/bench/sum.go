package bench

import (
	"context"
	"slices"

	"streamsql/engine"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// Sum describes a set of rows in a way that does not depend on their order: their
// number and a sum for each column.
type Sum struct {
	Rows    int64
	Columns []uint64

	views []vec.Vec
}

// Equal reports whether two sums describe the same rows, as far as they can tell.
func (s Sum) Equal(o Sum) bool { return s.Rows == o.Rows && slices.Equal(s.Columns, o.Columns) }

// drain sums up all rows of a portal.
func (s *Sum) drain(ctx context.Context, p engine.Portal) error {
	if s.Columns == nil {
		s.Columns = make([]uint64, len(p.Columns()))
	}
	for {
		b, done, err := p.Fetch(ctx, 0)
		if err != nil {
			return err
		}
		if b != nil {
			s.views = b.Views(s.views)
			s.Rows += int64(b.N)
			for c := range s.views {
				s.Columns[c] += column(&s.views[c], b.Schema.Fields[c].Type.OID == types.Numeric.OID)
			}
			b.Release()
		}
		if done {
			return nil
		}
	}
}

// column sums up the rows of a column: integers themselves, of numerics the coefficient, of strings length and first byte.
func column(v *vec.Vec, numeric bool) (sum uint64) {
	switch {
	case v.Kind == types.KindInt64:
		for _, x := range v.I64[:v.N] {
			sum += uint64(x)
		}
	case numeric:
		for i := range v.N {
			// The coefficient's low word is behind the header; the queries' numerics are positive.
			if b := v.Bytes(i); len(b) >= 16 {
				sum += uint64(b[8]) | uint64(b[9])<<8 | uint64(b[10])<<16 | uint64(b[11])<<24 |
					uint64(b[12])<<32 | uint64(b[13])<<40 | uint64(b[14])<<48 | uint64(b[15])<<56
			}
		}
	case v.Kind == types.KindString || v.Kind == types.KindBytes:
		from := v.Off[0]
		for _, to := range v.Off[1 : v.N+1] {
			if to > from {
				sum += uint64(to-from)<<8 + uint64(v.Data[from])
			}
			from = to
		}
	}
	return sum
}
