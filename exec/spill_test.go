package exec

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"streamsql/internal/mem"
	"streamsql/internal/pgerr"
	"streamsql/internal/spill"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
)

// TestSpillRows writes random rows of all kinds, marks and kept batches, and reads them back.
func TestSpillRows(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	schema := vec.NewSchema()
	for i, ty := range []types.T{types.Bool, types.Int2, types.Int4, types.Int8, types.Float4, types.Float8, types.UUID, types.Text, types.Bytea, types.Numeric} {
		schema.Fields = append(schema.Fields, vec.Field{Name: fmt.Sprint("c", i), Type: ty})
	}
	sp := spill.NewSpace(t.TempDir())
	defer sp.Close()
	log := sp.NewStream()
	var want []string
	row := func(views []vec.Vec, b *vec.Batch, i int) string {
		s := fmt.Sprint(b.Op(i))
		if b.W != nil {
			s += fmt.Sprint(" w", b.W[i])
		}
		for c := range views {
			s += fmt.Sprintf(" %v", views[c].Datum(i))
		}
		return s
	}
	for range 300 {
		if rnd.IntN(8) == 0 {
			var rec [spillHead + 9]byte
			m := Mark{W: rnd.Int64(), Idle: rnd.IntN(2) == 0}
			putHead(rec[:], spillMark, 0, 0, 0, 9)
			putMark(rec[spillHead:], m)
			if _, err := log.Write(rec[:]); err != nil {
				t.Fatal(err)
			}
			want = append(want, fmt.Sprint(m))
			continue
		}
		b := vec.NewBuilder(nil, schema)
		n := 1 + rnd.IntN(100)
		for range n {
			for c := range b.Cols {
				v := &b.Cols[c]
				if rnd.IntN(6) == 0 {
					v.AppendNull()
					continue
				}
				switch x := rnd.Int64(); v.Kind {
				case types.KindBool:
					v.AppendBool(x&1 == 0)
				case types.KindInt16:
					v.AppendInt16(int16(x))
				case types.KindInt32:
					v.AppendInt32(int32(x))
				case types.KindInt64:
					v.AppendInt64(x)
				case types.KindFloat32:
					v.AppendFloat32(float32(x))
				case types.KindFloat64:
					v.AppendFloat64(float64(x))
				case types.KindFixed16:
					v.AppendFixed16([16]byte{byte(x), 15: byte(x >> 8)})
				default:
					v.AppendBytes(make([]byte, x&31))
				}
			}
			b.AppendOp(vec.Op(1 - 2*rnd.IntN(2)))
		}
		if rnd.IntN(3) == 0 {
			b.Ops = nil
		}
		batch := b.Finish()
		if rnd.IntN(5) == 0 {
			batch.W = make([]vec.Time, n)
			for i := range batch.W {
				batch.W[i] = rnd.Int64()
			}
		}
		var sel []int32
		views := batch.Views(nil)
		for i := range n {
			if rnd.IntN(3) > 0 {
				sel = append(sel, int32(i))
				want = append(want, row(views, batch, i))
			}
		}
		if len(sel) > 0 {
			if _, err := log.Write(appendRows(nil, 0, views, batch, sel)); err != nil {
				t.Fatal(err)
			}
		}
		batch.Release()
	}
	r := &spillReader{r: log.Reader(), schemas: []*vec.Schema{schema}}
	var got []string
	for {
		_, b, m, ok, err := r.next()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		if b == nil {
			got = append(got, fmt.Sprint(m))
			continue
		}
		views := b.Views(nil)
		for i := range b.N {
			got = append(got, row(views, b, i))
		}
		b.Release()
	}
	if len(got) != len(want) {
		t.Fatalf("%d rows and marks instead of %d", len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("%d: %s instead of %s", i, got[i], want[i])
		}
	}
}

// TestSpillEndedInput: an input that has ended says nothing any more when the state is divided later, or divided again, so that
// the marks go with the state.
func TestSpillEndedInput(t *testing.T) {
	for _, continuous := range []bool{false, true} {
		l, r := newRowLeaf(false, types.Int8), newRowLeaf(false, types.Int8)
		n := &planner.SetOp{Left: l, Right: r, Except: true}
		n.Describe(l.Schema(), planner.Props{Retracts: true})
		run := newRowRun(t, continuous, 1, func() (Operator, error) { return newStateful(n) }, l, r)
		query := mem.Forced(0).Query("q")
		if !continuous {
			run.must(run.op.Close())
			run.ctx.Memory = query // all state on disk, in parts of parts
			run.open()
		}
		run.advance(1, vec.MaxTime)
		run.step()
		if continuous {
			run.ctx.Memory = query
			run.restart()
		}
		want := map[string]int{}
		for i := range int64(40) {
			run.add(change{0, []types.Datum{i}, vec.Insert})
			want[fmt.Sprint(i)] = 1
		}
		run.step()
		if s := run.op.(*spilling); s.whole != nil {
			t.Fatal("the state is not divided")
		}
		run.advance(0, vec.MaxTime)
		run.step()
		if got, want := bagText(run.out.rows), bagText(want); got != want {
			t.Errorf("continuous %v: got\n%s\nwant\n%s", continuous, got, want)
		}
		if run.out.mark.W != vec.MaxTime {
			t.Errorf("continuous %v: the mark is %d", continuous, run.out.mark.W)
		}
		run.close()
		query.Close()
	}
}

// TestOutOfMemory: a store of rows that nothing can move ends its query, and says what it was.
func TestOutOfMemory(t *testing.T) {
	b := mem.NewBudget(1 << 20)
	q := b.Query("q")
	op := q.Operator("Join")
	c := NewCollector()
	c.SetAccount(op)
	bld := vec.NewBuilder(nil, vec.NewSchema(vec.Field{Name: "x", Type: types.Int8}))
	for i := range int64(vec.MaxRows) {
		bld.Cols[0].AppendInt64(i)
	}
	batch := bld.Finish()
	defer batch.Release()
	var err error
	for i := 0; i < 100 && err == nil; i++ {
		err = c.Emit(batch)
	}
	e := pgerr.From(err)
	if e == nil || e.Code != pgerr.OutOfMemory || e.Detail == "" {
		t.Fatalf("not refused: %v", err)
	}
	c.Close()
	q.Close()
	if b.Used() != 0 {
		t.Errorf("%d bytes are left", b.Used())
	}
}
