package exec

import (
	"fmt"
	"math"
	"math/rand"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow/memory"

	"streamsql/internal/types"
	"streamsql/internal/vec"
)

func numDatum(s string) types.Datum {
	d, err := types.ParseNumeric(s)
	if err != nil {
		panic(err)
	}
	return d.Encode()
}

// keyCases are key types with values; equal values have the same class.
var keyCases = []struct {
	types []types.T
	rows  [][]types.Datum
	class []int
}{
	{nil, [][]types.Datum{{}, {}}, []int{0, 0}},
	{[]types.T{types.Int8}, [][]types.Datum{{int64(0)}, {int64(-1)}, {nil}, {int64(0)}, {nil}}, []int{0, 1, 2, 0, 2}},
	{[]types.T{types.Bool}, [][]types.Datum{{true}, {false}, {nil}, {true}}, []int{0, 1, 2, 0}},
	{[]types.T{types.Int2}, [][]types.Datum{{int16(-1)}, {int16(1)}, {int16(-1)}}, []int{0, 1, 0}},
	{[]types.T{types.Float8}, [][]types.Datum{{math.NaN()}, {0.0}, {math.Copysign(0, -1)}, {math.Float64frombits(0x7ff8000000000002)}, {1.5}}, []int{0, 1, 1, 0, 2}},
	{[]types.T{types.Float4}, [][]types.Datum{{float32(math.NaN())}, {float32(1.5)}, {float32(math.NaN())}}, []int{0, 1, 0}},
	{[]types.T{types.Text}, [][]types.Datum{{"a"}, {""}, {nil}, {"a"}, {"b"}, {""}}, []int{0, 1, 2, 0, 3, 1}},
	{[]types.T{types.Numeric}, [][]types.Datum{{numDatum("1.0")}, {numDatum("1.00")}, {numDatum("-1")}, {nil}, {numDatum("NaN")}}, []int{0, 0, 1, 2, 3}},
	{[]types.T{types.UUID}, [][]types.Datum{{[16]byte{1}}, {[16]byte{15: 1}}, {nil}, {[16]byte{1}}}, []int{0, 1, 2, 0}},
	{[]types.T{types.Interval}, [][]types.Datum{{types.Span{Days: 1}.Bytes()}, {types.Span{Micros: types.UsPerDay}.Bytes()}, {types.Span{Days: 2}.Bytes()}}, []int{0, 0, 1}},
	{[]types.T{types.Int4, types.Int8}, [][]types.Datum{{int32(1), int64(2)}, {int32(2), int64(1)}, {nil, int64(2)}, {int32(0), int64(2)}, {nil, nil}, {nil, int64(2)}}, []int{0, 1, 2, 3, 4, 2}},
	{[]types.T{types.Text, types.Text}, [][]types.Datum{{"ab", "c"}, {"a", "bc"}, {nil, ""}, {"", nil}, {"ab", "c"}}, []int{0, 1, 2, 3, 0}},
	{[]types.T{types.Text, types.Numeric, types.Int4}, [][]types.Datum{{"x", numDatum("2.50"), int32(1)}, {"x", numDatum("2.5"), int32(1)}, {"x", nil, int32(1)}}, []int{0, 0, 1}},
}

func columns(ts []types.T, rows [][]types.Datum) []vec.Vec {
	cols := make([]vec.Vec, len(ts))
	for i, t := range ts {
		cols[i].Reset(t.Kind(), 0)
		for _, r := range rows {
			cols[i].AppendDatum(r[i])
		}
	}
	return cols
}

func TestGroupsEquality(t *testing.T) {
	for _, c := range keyCases {
		mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
		g := newGroups(mem, c.types)
		cols := columns(c.types, c.rows)
		ids := make([]uint32, len(c.rows))
		g.Find(cols, ids)
		for _, id := range ids {
			if id != NoGroup {
				t.Errorf("%v: found in an empty table", c.types)
			}
		}
		g.Intern(cols, ids)
		first := map[int]int{}
		for i, id := range ids {
			if int(id) != c.class[i] {
				t.Errorf("%v row %d: id %d, want %d", c.types, i, id, c.class[i])
			}
			if _, ok := first[c.class[i]]; !ok {
				first[c.class[i]] = i
			}
		}
		again := make([]uint32, len(ids))
		g.Find(cols, again)
		if fmt.Sprint(again) != fmt.Sprint(ids) {
			t.Errorf("%v: Find gives %v, Intern gave %v", c.types, again, ids)
		}
		out := columns(c.types, nil)
		all := identity(g.Len())
		g.Append(all, out)
		for id := range all {
			for k := range out {
				got, want := out[k].Datum(id), c.rows[first[id]][k]
				if fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("%v: key %d is %v, want %v", c.types, id, got, want)
				}
			}
		}
		g.Close()
		mem.AssertSize(t, 0)
	}
}

// TestGroupsRandom compares tables with a map, with removals.
func TestGroupsRandom(t *testing.T) {
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewSource(seed))
	for _, ts := range [][]types.T{{types.Int8}, {types.Int4, types.Int8}, {types.Text}, {types.Text, types.Int8}} {
		mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
		g := newGroups(mem, ts)
		model := map[string]uint32{}
		for range 200 {
			var rows [][]types.Datum
			for range r.Intn(60) {
				x := int64(r.Intn(3000))
				row := make([]types.Datum, len(ts))
				for i, t := range ts {
					switch t.OID {
					case types.OIDInt8:
						row[i] = x
					case types.OIDInt4:
						row[i] = int32(x % 7)
					default:
						row[i] = fmt.Sprint("key", x)
					}
				}
				if r.Intn(50) == 0 {
					row[0] = nil
				}
				rows = append(rows, row)
			}
			ids := make([]uint32, len(rows))
			g.Intern(columns(ts, rows), ids)
			used := map[uint32]string{}
			for k, id := range model {
				used[id] = k
			}
			for i, row := range rows {
				k := fmt.Sprint(row...)
				if id, ok := model[k]; ok && id != ids[i] {
					t.Fatalf("%v: %s was %d, is %d", ts, k, id, ids[i])
				}
				if o, ok := used[ids[i]]; ok && o != k {
					t.Fatalf("%v: %s and %s share id %d", ts, k, o, ids[i])
				}
				model[k], used[ids[i]] = ids[i], k
			}
			for k, id := range model {
				if r.Intn(4) == 0 {
					g.Remove([]uint32{id})
					delete(model, k)
				}
			}
		}
		g.Close()
		mem.AssertSize(t, 0)
	}
}

func BenchmarkGroups(b *testing.B) {
	for _, keys := range []int{100, 10_000, 1_000_000} {
		for _, kind := range []string{"int8", "pair", "text"} {
			b.Run(fmt.Sprintf("%s/%d", kind, keys), func(b *testing.B) {
				ts := map[string][]types.T{"int8": {types.Int8}, "pair": {types.Int8, types.Int4}, "text": {types.Text}}[kind]
				r := rand.New(rand.NewSource(1))
				var batches [][]vec.Vec
				for range max(2*keys/vec.MaxRows, 4) {
					rows := make([][]types.Datum, vec.MaxRows)
					for i := range rows {
						x := int64(r.Intn(keys)) * 7919
						switch kind {
						case "int8":
							rows[i] = []types.Datum{x}
						case "pair":
							rows[i] = []types.Datum{x, int32(x)}
						default:
							rows[i] = []types.Datum{fmt.Sprintf("key%010d", x)}
						}
					}
					batches = append(batches, columns(ts, rows))
				}
				g := newGroups(goHeap{}, ts)
				ids := make([]uint32, vec.MaxRows)
				for _, cols := range batches {
					g.Intern(cols, ids)
				}
				b.ReportAllocs()
				b.ResetTimer()
				for i := range b.N {
					g.Intern(batches[i%len(batches)], ids)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/vec.MaxRows, "ns/row")
			})
		}
	}
}
