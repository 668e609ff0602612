package fn

import (
	"math"
	"math/rand/v2"
	"testing"

	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// Integers become numerics, and numerics are multiplied, as types.Decimal does it one by one: zeros, signs,
// products of more than a word, factors of more than a word in the middle of a column, constants on either side.
func TestNumericProducts(t *testing.T) {
	c := &Ctx{}
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	pick := func() int64 {
		edges := []int64{0, 1, -1, 10, math.MaxInt64, math.MinInt64, 908}
		if r.IntN(2) == 0 {
			return edges[r.IntN(len(edges))]
		}
		return int64(r.Uint64()) >> r.IntN(64)
	}
	mul, err := ResolveOp("*", []types.T{types.Numeric, types.Numeric})
	if err != nil {
		t.Fatal(err)
	}
	toNumeric := FindCast(types.Int8, types.Numeric)
	for round := range 200 {
		n := 1 + r.IntN(20)
		var ints, a, b, out vec.Vec
		ints.Reset(types.KindInt64, 0)
		b.Reset(types.KindBytes, 0)
		constant := types.NumericFromScaled(pick(), r.IntN(5))
		for range n {
			ints.AppendInt64(pick())
			d := types.NumericFromScaled(pick(), r.IntN(5))
			if r.IntN(8) == 0 {
				d, _ = d.Mul(types.NumericFromInt64(pick()))
			}
			if round%4 == 0 {
				d = constant
			}
			if r.IntN(16) == 0 && round%3 == 0 && round%4 != 0 {
				b.AppendNull()
				continue
			}
			b.AppendBytes(d.Append(nil))
		}
		b.Const = round%4 == 0
		toNumeric.Run(c, &ints, &a, n, types.Numeric, false)
		args := []*vec.Vec{&a, &b}
		if r.IntN(2) == 0 {
			args[0], args[1] = args[1], args[0]
		}
		mul.Func.Call(c, args, &out, n)
		if out.N != n {
			t.Fatalf("seed %d: %d rows of %d", seed, out.N, n)
		}
		for i := range n {
			x := types.NumericFromInt64(ints.I64[i])
			if got := string(a.Bytes(i)); got != x.Encode() {
				t.Fatalf("seed %d: %d became %x, want %x", seed, ints.I64[i], got, x.Encode())
			}
			if b.IsNull(i) {
				if !out.IsNull(i) {
					t.Fatalf("seed %d: row %d is not NULL", seed, i)
				}
				continue
			}
			y := types.DecodeNumeric(b.Bytes(i))
			want, err := x.Mul(y)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(out.Bytes(i)); got != want.Encode() {
				t.Fatalf("seed %d: %s * %s gave %x, want %x", seed, x, y, got, want.Encode())
			}
		}
		for _, v := range []*vec.Vec{&ints, &a, &b, &out} {
			v.Release()
		}
	}
}
