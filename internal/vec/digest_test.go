package vec

import (
	"testing"

	"streamsql/internal/types"
)

// digestOf builds rows of (int8, text, bool) and gives their digest. dirty leaves other bytes under the NULLs.
func digestOf(dirty int64, rows ...[]types.Datum) uint64 {
	b := NewBuilder(nil, NewSchema(Field{"a", types.Int8}, Field{"b", types.Text}, Field{"c", types.Bool}))
	defer b.Release()
	for _, r := range rows {
		for c, d := range r {
			b.Cols[c].AppendDatum(d)
		}
	}
	for c := range b.Cols[0].N {
		if b.Cols[0].IsNull(c) {
			b.Cols[0].I64[c] = dirty
		}
	}
	batch := b.Finish()
	defer batch.Release()
	return batch.Digest(batch.Views(nil))
}

func TestDigest(t *testing.T) {
	full := [][]types.Datum{{int64(1), "x", true}, {int64(2), "", false}}
	if first, again := digestOf(0, full...), digestOf(0, full...); first != again {
		t.Error("equal rows, other digests")
	}
	if digestOf(0, []types.Datum{nil, "x", true}) != digestOf(99, []types.Datum{nil, "x", true}) {
		t.Error("the digest depends on what lies under a NULL")
	}
	others := [][][]types.Datum{
		{{int64(1), "x", true}},
		{{int64(2), "", false}, {int64(1), "x", true}},
		{{int64(1), "x", true}, {int64(2), "", true}},
		{{int64(1), "", true}, {int64(2), "x", false}},
		{{int64(1), "x", true}, {int64(2), nil, false}},
		{{nil, "x", true}, {int64(2), "", false}},
	}
	seen := map[uint64]int{digestOf(0, full...): -1}
	for i, rows := range others {
		d := digestOf(0, rows...)
		if j, ok := seen[d]; ok {
			t.Errorf("rows %d and %d have the same digest", i, j)
		}
		seen[d] = i
	}
}

func TestDigestOfTruncated(t *testing.T) {
	// A NULL that was taken back leaves a bitmap that says that all is valid.
	digest := func(null bool) uint64 {
		b := NewBuilder(nil, NewSchema(Field{"a", types.Int8}))
		defer b.Release()
		b.Cols[0].AppendDatum(int64(5))
		if null {
			b.Cols[0].AppendDatum(nil)
			b.Cols[0].Truncate(1)
		}
		batch := b.Finish()
		defer batch.Release()
		return batch.Digest(batch.Views(nil))
	}
	if digest(true) != digest(false) {
		t.Error("the digest depends on what was taken back")
	}
}

func BenchmarkDigest(b *testing.B) {
	bd := NewBuilder(nil, NewSchema(Field{"a", types.Int8}, Field{"b", types.Text}))
	for i := range 8192 {
		bd.Cols[0].AppendDatum(int64(i))
		bd.Cols[1].AppendDatum("some text of a row")
	}
	batch := bd.Finish()
	views := batch.Views(nil)
	b.SetBytes(8192 * (8 + 22))
	for b.Loop() {
		batch.Digest(views)
	}
}
