package engine

import (
	"bytes"
	"slices"

	"streamsql/catalog"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/state"
)

// diffRows is how many rows of each side a comparison of contents holds at a time.
const diffRows = 1024

// contentReader reads a content in the order of its keys, with the encodings of each row.
type contentReader struct {
	scan  *state.Scanner
	b     *vec.Builder
	key   []int
	types []types.T
	batch *vec.Batch
	views []vec.Vec
	cols  []vec.Vec
	at    int
	more  bool
	// Of the present row: what the order goes by, and all of it.
	order, row []byte
}

func newContentReader(rel *catalog.Relation, s *state.TableSnapshot, alloc vec.Allocator) *contentReader {
	r := &contentReader{scan: s.Scan(nil), b: vec.NewBuilder(alloc, s.Schema()), key: rel.PrimaryKey, more: true}
	if r.key == nil {
		for i := range s.Schema().Fields {
			r.key = append(r.key, i)
		}
	}
	for _, c := range r.key {
		r.types = append(r.types, s.Schema().Fields[c].Type)
	}
	return r
}

// next moves to the next row; false at the end.
func (r *contentReader) next() (bool, error) {
	for r.at++; r.batch == nil || r.at >= r.batch.N; r.at = 0 {
		if r.batch != nil {
			r.batch.Release()
			r.batch = nil
		}
		if !r.more {
			return false, nil
		}
		var err error
		if r.more, err = r.scan.Next(r.b, diffRows); err != nil {
			return false, err
		}
		if r.b.Len() == 0 {
			continue
		}
		r.batch = r.b.Finish()
		r.views = r.batch.Views(r.views)
		r.cols = r.cols[:0]
		for _, c := range r.key {
			r.cols = append(r.cols, r.views[c])
		}
		r.at = 0
		break
	}
	r.order = vec.AppendKey(r.order[:0], r.cols, r.types, r.at)
	r.row = vec.AppendRow(r.row[:0], r.views, r.at)
	return true, nil
}

func (r *contentReader) close() {
	if r.batch != nil {
		r.batch.Release()
	}
	r.b.Release()
}

// changesBetween gives what makes one content of a relation of another: the rows that are gone, then those that have come, in the order of
// their event time if they have one. The caller releases the batches.
func changesBetween(rel *catalog.Relation, old, now *state.TableSnapshot, alloc vec.Allocator) (out []*vec.Batch, err error) {
	if old == now {
		return nil, nil
	}
	a, b := newContentReader(rel, old, alloc), newContentReader(rel, now, alloc)
	defer a.close()
	defer b.close()
	gone, come := vec.NewBuilder(alloc, now.Schema()), vec.NewBuilder(alloc, now.Schema())
	defer gone.Release()
	defer come.Release()
	haveA, err := a.next()
	if err != nil {
		return nil, err
	}
	haveB, err := b.next()
	if err != nil {
		return nil, err
	}
	for haveA || haveB {
		order := 0
		switch {
		case !haveA:
			order = 1
		case !haveB:
			order = -1
		default:
			order = bytes.Compare(a.order, b.order)
		}
		if order == 0 && bytes.Equal(a.row, b.row) {
			if haveA, err = a.next(); err == nil {
				haveB, err = b.next()
			}
			if err != nil {
				return nil, err
			}
			continue
		}
		// All rows of the lowest key, of both sides: of rows that are equal and written differently (1.0, 1.00) the order is not known.
		low := slices.Clone(a.order)
		if order > 0 {
			low = append(low[:0], b.order...)
		}
		count := map[string]int{}
		for haveA && bytes.Equal(a.order, low) {
			count[string(a.row)]--
			if haveA, err = a.next(); err != nil {
				return nil, err
			}
		}
		for haveB && bytes.Equal(b.order, low) {
			count[string(b.row)]++
			if haveB, err = b.next(); err != nil {
				return nil, err
			}
		}
		for row, n := range count {
			dst := come
			if n < 0 {
				dst, n = gone, -n
			}
			for range n {
				vec.DecodeRow([]byte(row), nil, dst)
			}
		}
	}
	if gone.Len() > 0 {
		g := gone.Finish()
		g.Ops = deletes(g.N)
		out = append(out, g)
	}
	if come.Len() > 0 {
		c := come.Finish()
		if wm := rel.Watermark; wm != nil {
			var v vec.Vec
			v.View(c.Cols[wm.Column])
			sel := make([]int32, c.N)
			for i := range sel {
				sel[i] = int32(i)
			}
			slices.SortStableFunc(sel, func(x, y int32) int {
				switch { // rows without a time come first: they move nothing
				case v.IsNull(int(x)) || v.IsNull(int(y)):
					return boolOrder(!v.IsNull(int(x)), !v.IsNull(int(y)))
				case v.Kind == types.KindInt64:
					return boolOrder(v.I64[x] > v.I64[y], v.I64[x] < v.I64[y])
				}
				return 0
			})
			sorted := c.Select(alloc, sel)
			c.Release()
			c = sorted
		}
		out = append(out, c)
	}
	return out, nil
}

func boolOrder(after, before bool) int {
	switch {
	case after == before:
		return 0
	case after:
		return 1
	}
	return -1
}
