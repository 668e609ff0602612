package exec

import (
	"bytes"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/apache/arrow/go/v17/arrow/memory"

	"streamsql/internal/fn"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
	"streamsql/state"
)

// rowLeaf is an input that a test feeds.
type rowLeaf struct{ planner.Values }

func newRowLeaf(retracts bool, ts ...types.T) *rowLeaf {
	s := &vec.Schema{}
	for i, t := range ts {
		s.Fields = append(s.Fields, vec.Field{Name: fmt.Sprint("c", i), Type: t})
	}
	l := &rowLeaf{}
	l.Describe(s, planner.Props{Retracts: retracts})
	return l
}

// rowFold sums up what an operator sends.
type rowFold struct {
	t       testing.TB
	rows    map[string]int
	order   []string
	log     []string
	mark    Mark
	timeCol int // >= 0: check that no row of this column is behind the mark
	noTake  bool
	batches int
}

func newRowFold(t testing.TB) *rowFold {
	return &rowFold{t: t, rows: map[string]int{}, mark: Mark{W: vec.MinTime}, timeCol: -1}
}

func rowString(views []vec.Vec, i int) string {
	var s []string
	for c := range views {
		d := views[c].Datum(i)
		if x, ok := d.(string); ok && views[c].Kind == types.KindBytes {
			d = types.NumericOf(x).String()
		}
		if d == nil {
			d = "-"
		}
		s = append(s, fmt.Sprint(d))
	}
	return strings.Join(s, ",")
}

func (f *rowFold) Emit(b *vec.Batch) error {
	f.batches++
	views := b.Views(nil)
	for i := range b.N {
		r := rowString(views, i)
		f.rows[r] += int(b.Op(i))
		switch f.rows[r] {
		case 0:
			delete(f.rows, r)
		case -1:
			if f.noTake {
				f.t.Errorf("row %s is taken back before it was sent", r)
			}
		}
		if b.Op(i) == vec.Delete {
			f.log = append(f.log, "-"+r)
			if f.noTake {
				f.t.Errorf("row %s is taken back in an append-only result", r)
			}
		} else {
			f.log = append(f.log, "+"+r)
			f.order = append(f.order, r)
		}
		if f.timeCol >= 0 && !views[f.timeCol].IsNull(i) && b.W == nil && f.mark.W != vec.MinTime {
			if at := views[f.timeCol].I64[i]; at < f.mark.W {
				f.t.Errorf("row %s is behind the watermark %d", r, f.mark.W)
			}
		}
	}
	return nil
}

func (f *rowFold) Watermark(m Mark) error {
	if m.W < f.mark.W {
		f.t.Errorf("watermark goes back from %d to %d", f.mark.W, m.W)
	}
	f.mark = m
	return nil
}

// bagText renders a bag of rows.
func bagText(rows map[string]int) string {
	var s []string
	for r, n := range rows {
		s = append(s, fmt.Sprintf("%s x%d", r, n))
	}
	slices.Sort(s)
	return strings.Join(s, "\n")
}

// change is a row of a test's changelog.
type change struct {
	input int
	row   []types.Datum
	op    vec.Op
}

// bench runs an operator and restarts it from a snapshot on demand.
type rowRun struct {
	t    testing.TB
	mem  *memory.CheckedAllocator
	ctx  *Context
	make func() (Operator, error)
	op   Operator
	out  *rowFold
	in   []*vec.Schema
	wait []*vec.Builder
	size int
	tick uint64
	w    []vec.Time // running watermark an input; batches carry it where withW
	ws   [][]vec.Time
	has  bool

	// A snapshot that is read only when the operator has gone on, and its bytes.
	held *state.Writer
	want []byte
}

func newRowRun(t testing.TB, continuous bool, size int, mk func() (Operator, error), in ...planner.Node) *rowRun {
	r := &rowRun{t: t, mem: memory.NewCheckedAllocator(memory.NewGoAllocator()), make: mk, out: newRowFold(t), size: size}
	r.ctx = &Context{Alloc: r.mem, Fn: &fn.Ctx{Alloc: r.mem}, Continuous: continuous, Stats: &Stats{}}
	for _, n := range in {
		r.in = append(r.in, n.Schema())
		r.wait = append(r.wait, vec.NewBuilder(r.mem, n.Schema()))
		r.w = append(r.w, vec.MinTime)
		r.ws = append(r.ws, nil)
	}
	r.open()
	return r
}

func (r *rowRun) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rowRun) open() {
	op, err := r.make()
	r.must(err)
	r.op = op
	r.must(op.Open(r.ctx, r.out))
}

// add gives a row to an input; batches are pushed when they are full, keeping the order over inputs.
func (r *rowRun) add(c change) {
	for i := range r.wait {
		if i != c.input {
			r.push(i)
		}
	}
	r.wait[c.input].AppendDatums(c.row, c.op)
	if r.has {
		r.ws[c.input] = append(r.ws[c.input], r.w[c.input])
	}
	if r.wait[c.input].Len() >= r.size {
		r.push(c.input)
	}
}

func (r *rowRun) push(i int) {
	if r.wait[i].Len() == 0 {
		return
	}
	b := r.wait[i].Finish()
	if r.has {
		b.W = r.ws[i]
		r.ws[i] = nil
	}
	err := r.op.Push(i, b)
	b.Release()
	r.must(err)
}

func (r *rowRun) flush() {
	for i := range r.wait {
		r.push(i)
	}
}

func (r *rowRun) step() {
	r.flush()
	r.tick++
	r.must(r.op.Tick(Tick{Epoch: r.tick}))
	if r.tick%32 != 0 {
		return
	}
	r.readHeld()
	var same state.Writer
	r.held = new(state.Writer)
	r.must(r.op.Snapshot(r.held))
	r.must(r.op.Snapshot(&same))
	r.want = slices.Clone(same.Bytes())
}

// readHeld checks that a snapshot that is read late is what it was.
func (r *rowRun) readHeld() {
	if r.held != nil && !bytes.Equal(r.held.Bytes(), r.want) {
		r.t.Fatal("a snapshot has changed with its operator")
	}
	r.held = nil
}

func (r *rowRun) advance(input int, w vec.Time) {
	r.flush()
	r.w[input] = max(r.w[input], w)
	r.must(r.op.Advance(input, Mark{W: w}))
}

func init() { laterRows = 1 } // blocks are shared with snapshots however small they are

// restart goes on from a snapshot in a new operator.
func (r *rowRun) restart() {
	var w, same state.Writer
	r.must(r.op.Snapshot(&w))
	r.must(r.op.Snapshot(&same))
	now := slices.Clone(same.Bytes())
	r.must(r.op.Close())
	saved := slices.Clone(w.Bytes()) // some of it is written only now
	if !bytes.Equal(saved, now) {
		r.t.Fatalf("a snapshot of %d bytes was another one of %d before the operator was closed", len(saved), len(now))
	}
	r.open()
	rd := state.NewStreamReader(iotest.OneByteReader(bytes.NewReader(saved)), int64(len(saved)))
	r.must(r.op.Restore(rd))
	if !rd.End() {
		r.t.Fatalf("state is left over (%v)", rd.Err())
	}
}

func (r *rowRun) close() {
	r.must(r.op.Close())
	r.readHeld()
	for _, b := range r.wait {
		b.Release()
	}
	if n := r.mem.CurrentAlloc(); n != 0 {
		r.t.Errorf("%d bytes leak", n)
	}
}

// rowBag is a test's model of a changelog's content, in order of arrival.
type rowBag struct{ rows [][]types.Datum }

func (b *rowBag) apply(c change) {
	if c.op == vec.Insert {
		b.rows = append(b.rows, c.row)
		return
	}
	for i, r := range b.rows {
		if slices.Equal(r, c.row) {
			b.rows = slices.Delete(b.rows, i, i+1)
			return
		}
	}
	panic("delete of a row that is not there")
}

func datumText(row ...types.Datum) string {
	var s []string
	for _, d := range row {
		if d == nil {
			d = "-"
		}
		if x, ok := d.(string); ok && strings.HasPrefix(x, numericMark) {
			d = types.NumericOf(x[len(numericMark):]).String()
		}
		s = append(s, fmt.Sprint(d))
	}
	return strings.Join(s, ",")
}

const numericMark = "\x00n"

// randomChange makes an insert, or the delete of one of the bag's rows.
func randomChange(rng *rand.Rand, input int, bag *rowBag, retract bool, row func() []types.Datum) change {
	if retract && len(bag.rows) > 0 && rng.Intn(5) < 2 {
		return change{input, bag.rows[rng.Intn(len(bag.rows))], vec.Delete}
	}
	return change{input, row(), vec.Insert}
}

func TestRowIndex(t *testing.T) {
	seed := int64(1)
	rng := rand.New(rand.NewSource(seed))
	a := memory.NewCheckedAllocator(memory.NewGoAllocator())
	defer a.AssertSize(t, 0)
	s := newRowStore(a, []types.Kind{types.KindInt64, types.KindString})
	defer s.reset()
	var x rowIndex
	cols := make([]vec.Vec, 2)
	model := map[string]rowRef{}
	h := make([]uint64, 1)
	for range 20000 {
		k := int64(rng.Intn(300))
		cols[0].Reset(types.KindInt64, 0)
		cols[1].Reset(types.KindString, 0)
		cols[0].AppendInt64(k)
		if k%7 == 0 {
			cols[1].AppendNull()
		} else {
			cols[1].AppendStr(fmt.Sprint("name of ", k%50))
		}
		hashRows(cols, 1, h)
		key := rowString(cols, 0)
		r := x.find(s, cols, 0, h[0])
		want, ok := model[key]
		if ok != (r != noRow) || ok && r != want {
			t.Fatalf("seed %d: find %s gives %d, want %d %v", seed, key, r, want, ok)
		}
		if !ok {
			r = s.add(cols, 0)
			x.add(r, h[0])
			model[key] = r
		} else {
			x.remove(r, h[0])
			delete(model, key)
		}
		if x.n != len(model) {
			t.Fatalf("seed %d: %d entries, want %d", seed, x.n, len(model))
		}
	}
}
