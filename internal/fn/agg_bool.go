package fn

import (
	"streamsql/internal/vec"
	"streamsql/state"
)

// simpleAgg is an aggregate whose state of a group is a value S,
// fed a row at a time: for those whose speed matters less than that they are few lines.
type simpleAgg[S any] struct {
	s      []S
	add    func(s *S, args []*vec.Vec, i int, o int64)
	merge  func(s, from *S)
	result func(s *S, out *vec.Vec)
	write  func(s *S, w *state.Writer)
	read   func(s *S, r *state.Reader)
	size   int
}

func (a *simpleAgg[S]) Grow(n int) { a.s = grown(a.s, n) }

func (a *simpleAgg[S]) Update(ids []uint32, args []*vec.Vec, ops []vec.Op) {
	for i, id := range ids {
		a.add(&a.s[id], args, i, opAt(ops, i))
	}
}

func (a *simpleAgg[S]) Merge(dst []uint32, from Aggregate, src []uint32) {
	f := from.(*simpleAgg[S]).s
	for i, d := range dst {
		a.merge(&a.s[d], &f[src[i]])
	}
}

func (a *simpleAgg[S]) Result(ids []uint32, out *vec.Vec) {
	for _, id := range ids {
		a.result(&a.s[id], out)
	}
}

func (a *simpleAgg[S]) Clear(ids []uint32) { clearIDs(a.s, ids) }

func (a *simpleAgg[S]) Snapshot(ids []uint32, w *state.Writer) {
	for _, id := range ids {
		a.write(&a.s[id], w)
	}
}

func (a *simpleAgg[S]) Restore(ids []uint32, r *state.Reader) error {
	for _, id := range ids {
		var s S
		a.read(&s, r)
		a.s[id] = s
	}
	return r.Err()
}

func (a *simpleAgg[S]) Bytes() int { return a.size * cap(a.s) }

// boolCount counts the values of a boolean.
type boolCount struct{ yes, no int64 }

// newBoolAgg makes bool_and (any false decides) or bool_or (any true decides).
func newBoolAgg(and bool) func(AggOptions) Aggregate {
	return func(AggOptions) Aggregate {
		return &simpleAgg[boolCount]{
			size: 16,
			add: func(s *boolCount, args []*vec.Vec, i int, o int64) {
				if args[0].Bools[i] {
					s.yes += o
				} else {
					s.no += o
				}
			},
			merge: func(s, f *boolCount) { s.yes += f.yes; s.no += f.no },
			result: func(s *boolCount, out *vec.Vec) {
				switch {
				case s.yes+s.no == 0:
					out.AppendNull()
				case and:
					out.AppendBool(s.no == 0)
				default:
					out.AppendBool(s.yes > 0)
				}
			},
			write: func(s *boolCount, w *state.Writer) { w.Int64(s.yes); w.Int64(s.no) },
			read:  func(s *boolCount, r *state.Reader) { s.yes, s.no = r.Int64(), r.Int64() },
		}
	}
}

// bitState is bit_and, bit_or or bit_xor of what cannot be taken back; xor can.
type bitState struct {
	n int64
	x int64
}

// bitCounts counts the ones of each bit, so that values can be taken back.
type bitCounts struct {
	n int64
	c [64]int32
}

func newBitAgg(name string) func(AggOptions) Aggregate {
	return func(o AggOptions) Aggregate {
		e := intElem(o.Args[0])
		if o.Retract && name != "bit_xor" {
			return newBitCounts(e, name == "bit_and")
		}
		join := func(s *bitState, x int64) {
			switch name {
			case "bit_and":
				if s.n == 0 {
					s.x = x
				} else {
					s.x &= x
				}
			case "bit_or":
				s.x |= x
			default:
				s.x ^= x
			}
		}
		return &simpleAgg[bitState]{
			size: 16,
			add: func(s *bitState, args []*vec.Vec, i int, o int64) {
				join(s, e.at(args[0], i))
				s.n += o
			},
			merge: func(s, f *bitState) {
				if f.n != 0 {
					join(s, f.x)
					s.n += f.n
				}
			},
			result: func(s *bitState, out *vec.Vec) {
				if s.n == 0 {
					out.AppendNull()
				} else {
					e.put(out, s.x)
				}
			},
			write: func(s *bitState, w *state.Writer) { w.Int64(s.n); w.Int64(s.x) },
			read:  func(s *bitState, r *state.Reader) { s.n, s.x = r.Int64(), r.Int64() },
		}
	}
}

func newBitCounts(e elem[int64], and bool) Aggregate {
	return &simpleAgg[bitCounts]{
		size: 264,
		add: func(s *bitCounts, args []*vec.Vec, i int, o int64) {
			x := uint64(e.at(args[0], i))
			s.n += o
			for b := range s.c {
				s.c[b] += int32(o) * int32(x>>b&1)
			}
		},
		merge: func(s, f *bitCounts) {
			s.n += f.n
			for b := range s.c {
				s.c[b] += f.c[b]
			}
		},
		result: func(s *bitCounts, out *vec.Vec) {
			if s.n == 0 {
				out.AppendNull()
				return
			}
			var x uint64
			for b, c := range s.c {
				if and && int64(c) == s.n || !and && c > 0 {
					x |= 1 << b
				}
			}
			e.put(out, int64(x))
		},
		write: func(s *bitCounts, w *state.Writer) {
			w.Int64(s.n)
			for _, c := range s.c {
				w.Int64(int64(c))
			}
		},
		read: func(s *bitCounts, r *state.Reader) {
			s.n = r.Int64()
			for b := range s.c {
				s.c[b] = int32(r.Int64())
			}
		},
	}
}

func init() {
	defAgg("bool_and(bool) bool", newBoolAgg(true), aggDoc("boolean-and aggregate"))
	defAgg("every(bool) bool", newBoolAgg(true), aggDoc("boolean-and aggregate"))
	defAgg("bool_or(bool) bool", newBoolAgg(false), aggDoc("boolean-or aggregate"))
	for _, name := range []string{"bit_and", "bit_or", "bit_xor"} {
		for _, t := range []string{"int2", "int4", "int8"} {
			defAgg(name+"("+t+") "+t, newBitAgg(name), aggDoc("bitwise-"+name[4:]+" aggregate"))
		}
	}
}
