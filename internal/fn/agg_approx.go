package fn

import (
	"math"
	"math/bits"
	"slices"

	"github.com/zeebo/xxh3"

	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/state"
)

// Registers of the HyperLogLog sketch: 2^12 give a standard error of 1.6 %.
const (
	hllBits  = 12
	hllSize  = 1 << hllBits
	hllExact = 512 // up to so many values are counted exactly
)

// sketch estimates the number of distinct hashes. Few of them, and any that can be taken back, are kept.
type sketch struct {
	hashes map[uint64]int64
	reg    []byte
}

func (s *sketch) add(h uint64, o int64, retract bool) {
	if s.reg != nil {
		s.observe(h)
		return
	}
	if s.hashes == nil {
		s.hashes = map[uint64]int64{}
	}
	if s.hashes[h] += o; s.hashes[h] == 0 {
		delete(s.hashes, h)
	}
	if !retract && len(s.hashes) > hllExact {
		s.reg = make([]byte, hllSize)
		for h := range s.hashes {
			s.observe(h)
		}
		s.hashes = nil
	}
}

func (s *sketch) observe(h uint64) {
	r := h >> (64 - hllBits)
	rank := byte(bits.LeadingZeros64(h<<hllBits|1<<(hllBits-1)) + 1)
	s.reg[r] = max(s.reg[r], rank)
}

func (s *sketch) merge(f *sketch, retract bool) {
	if f.reg == nil {
		for h, n := range f.hashes {
			s.add(h, n, retract)
		}
		return
	}
	if s.reg == nil {
		old := s.hashes
		*s = sketch{reg: make([]byte, hllSize)}
		for h := range old {
			s.observe(h)
		}
	}
	for i, r := range f.reg {
		s.reg[i] = max(s.reg[i], r)
	}
}

func (s *sketch) estimate() int64 {
	if s.reg == nil {
		n := int64(0)
		for _, c := range s.hashes {
			if c > 0 {
				n++
			}
		}
		return n
	}
	sum, zero := 0.0, 0
	for _, r := range s.reg {
		sum += math.Ldexp(1, -int(r))
		if r == 0 {
			zero++
		}
	}
	m := float64(hllSize)
	e := 0.7213 / (1 + 1.079/m) * m * m / sum
	if e <= 2.5*m && zero > 0 {
		e = m * math.Log(m/float64(zero))
	}
	return int64(math.Round(e))
}

func (s *sketch) write(w *state.Writer) {
	w.Blob(s.reg)
	hs := make([]uint64, 0, len(s.hashes))
	for h := range s.hashes {
		hs = append(hs, h)
	}
	slices.Sort(hs)
	w.Uint64(uint64(len(hs)))
	for _, h := range hs {
		w.Uint64(h)
		w.Int64(s.hashes[h])
	}
}

func (s *sketch) read(r *state.Reader) {
	if reg := r.Blob(); len(reg) == hllSize {
		s.reg = slices.Clone(reg)
	}
	for n := r.Uint64(); n > 0 && r.Err() == nil; n-- {
		if s.hashes == nil {
			s.hashes = map[uint64]int64{}
		}
		h := r.Uint64()
		s.hashes[h] = r.Int64()
	}
}

func newApproxDistinct(o AggOptions) Aggregate {
	var key []byte
	t := o.Args[0]
	return &simpleAgg[sketch]{
		size: 512,
		add: func(s *sketch, args []*vec.Vec, i int, n int64) {
			key = types.AppendKey(key[:0], t, args[0].Datum(i))
			s.add(xxh3.Hash(key), n, o.Retract)
		},
		merge:  func(s, f *sketch) { s.merge(f, o.Retract) },
		result: func(s *sketch, out *vec.Vec) { out.AppendInt64(s.estimate()) },
		write:  func(s *sketch, w *state.Writer) { s.write(w) },
		read:   func(s *sketch, r *state.Reader) { s.read(r) },
	}
}

func init() {
	defAgg("approx_count_distinct(any) int8", newApproxDistinct, aggDoc("estimated number of distinct values, exact for few"))
}
