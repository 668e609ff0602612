package exec

import (
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
)

// keyShare shares rows out by the hash of their keys: equal keys go to one share, whichever input they come from.
type keyShare struct {
	keys  [][]int // columns of each input
	types [][]types.T

	cols []vec.Vec
	hash []uint64
	buf  []byte
	sel  [][]int32
}

func newKeyShare(node planner.Node, keys [][]int) keyShare {
	s := keyShare{keys: keys}
	for i, in := range node.Inputs() {
		ts := make([]types.T, len(keys[i]))
		for k, c := range keys[i] {
			ts[k] = in.Schema().Fields[c].Type
		}
		s.types = append(s.types, ts)
	}
	return s
}

// split lists the rows of each of n shares, of the rows whose columns (all those of an input) are views. Another level shares out
// independently of the others. The result is valid until the next call.
func (s *keyShare) split(input int, views []vec.Vec, rows, n int, level uint64) [][]int32 {
	hash := s.hashes(input, keyCols(s.cols, views, s.keys[input]), rows, level)
	for len(s.sel) < n {
		s.sel = append(s.sel, nil)
	}
	sel := s.sel[:n]
	for i := range sel {
		sel[i] = sel[i][:0]
	}
	for i, h := range hash {
		k := shareOf(h, n)
		sel[k] = append(sel[k], int32(i))
	}
	return sel
}

// of gives the share of each of the rows whose key columns are cols.
func (s *keyShare) of(input int, cols []vec.Vec, rows, n int, level uint64, share []uint8) {
	for i, h := range s.hashes(input, append(s.cols[:0], cols...), rows, level) {
		share[i] = uint8(shareOf(h, n))
	}
}

func shareOf(h uint64, n int) uint64 { return (h >> 32) * uint64(n) >> 32 }

// hashes gives a hash of the key columns of each row that is equal where they are.
func (s *keyShare) hashes(input int, cols []vec.Vec, rows int, level uint64) []uint64 {
	s.cols = cols
	plain := true
	for _, t := range s.types[input] {
		switch t.Kind() {
		case types.KindFloat32, types.KindFloat64: // -0 is 0
			plain = false
		default:
			plain = plain && !types.NeedsKey(t)
		}
	}
	if cap(s.hash) < rows {
		s.hash = make([]uint64, max(rows, vec.MaxRows))
	}
	hash := s.hash[:rows]
	if plain {
		hashRows(cols, rows, hash)
	} else {
		for i := range hash {
			s.buf = vec.AppendKey(s.buf[:0], cols, s.types[input], i)
			hash[i] = mixBytes(hashSeed, s.buf)
		}
	}
	if level > 0 {
		for i, h := range hash {
			hash[i] = mix(h, level)
		}
	}
	return hash
}
