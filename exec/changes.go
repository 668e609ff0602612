package exec

import (
	"slices"
	"unsafe"

	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/state"
)

// changes is a growing set of rows with what each does.
type changes struct {
	cols []vec.Vec
	ops  []vec.Op
	in   *vec.Schema
}

func (c *changes) init(a vec.Allocator, s *vec.Schema) {
	c.in = s
	c.cols = make([]vec.Vec, s.Len())
	for i := range c.cols {
		c.cols[i].SetAllocator(a)
	}
	c.clear()
}

func (c *changes) clear() {
	for i := range c.cols {
		c.cols[i].Reset(c.in.Fields[i].Type.Kind(), 0)
	}
	c.ops = c.ops[:0]
}

func (c *changes) len() int { return len(c.ops) }

// add appends the rows of b.
func (c *changes) add(b *vec.Batch) {
	var v vec.Vec
	for i := range c.cols {
		v.View(b.Cols[i])
		c.cols[i].AppendRange(&v, 0, b.N)
	}
	if b.Ops != nil {
		c.ops = append(c.ops, b.Ops...)
		return
	}
	for range b.N {
		c.ops = append(c.ops, vec.Insert)
	}
}

// take appends the rows sel of src.
func (c *changes) take(src *changes, sel []int32) {
	for i := range c.cols {
		c.cols[i].Gather(&src.cols[i], sel)
	}
	for _, s := range sel {
		c.ops = append(c.ops, src.ops[s])
	}
}

func (c *changes) close() {
	for i := range c.cols {
		c.cols[i].Release()
	}
	c.ops = nil
}

func (c *changes) snapshot(w *state.Writer) {
	w.Uint64(uint64(c.len()))
	for i := range c.cols {
		v := &c.cols[i]
		for r := range c.len() {
			null := v.IsNull(r)
			w.Bool(null)
			if null {
				continue
			}
			switch v.Kind {
			case types.KindBool:
				w.Bool(v.Bools[r])
			case types.KindInt16:
				w.Int64(int64(v.I16[r]))
			case types.KindInt32:
				w.Int64(int64(v.I32[r]))
			case types.KindInt64:
				w.Int64(v.I64[r])
			case types.KindFloat32:
				w.Float64(float64(v.F32[r]))
			case types.KindFloat64:
				w.Float64(v.F64[r])
			case types.KindFixed16:
				w.Blob(v.F16[r][:])
			default:
				w.Blob(v.Bytes(r))
			}
		}
	}
	for _, op := range c.ops {
		w.Bool(op == vec.Insert)
	}
}

func (c *changes) restore(r *state.Reader) {
	c.clear()
	n := int(r.Uint64())
	for i := range c.cols {
		v := &c.cols[i]
		for range n {
			if r.Err() != nil {
				return
			}
			if r.Bool() {
				v.AppendNull()
				continue
			}
			switch v.Kind {
			case types.KindBool:
				v.AppendBool(r.Bool())
			case types.KindInt16:
				v.AppendInt16(int16(r.Int64()))
			case types.KindInt32:
				v.AppendInt32(int32(r.Int64()))
			case types.KindInt64:
				v.AppendInt64(r.Int64())
			case types.KindFloat32:
				v.AppendFloat32(float32(r.Float64()))
			case types.KindFloat64:
				v.AppendFloat64(r.Float64())
			case types.KindFixed16:
				var x [16]byte
				copy(x[:], r.Blob())
				v.AppendFixed16(x)
			default:
				v.AppendBytes(r.Blob())
			}
		}
	}
	for range n {
		if r.Err() != nil {
			return
		}
		if r.Bool() {
			c.ops = append(c.ops, vec.Insert)
		} else {
			c.ops = append(c.ops, vec.Delete)
		}
	}
}

// netter finds the net effect of changes: rows of the same representation that come and go cancel
// out. 1.0 does not cancel 1.00, nor -0 cancel 0, as whoever folds the log would see another row.
type netter struct {
	alloc vec.Allocator
	in    *vec.Schema
	rows  Groups
	exact []vec.Vec // the columns as interned
	ids   []uint32
	count []int32
	last  [][2]int32 // by id: its last delete and insert

	// dels and ins are the rows that remain, as often as they count, in the order in which they came last.
	dels, ins []int32

	keys  Groups
	kcols []vec.Vec
	kids  []uint32
	open  map[uint32][]int32
	// lone, pairs and fresh are dels and ins after pairUp.
	lone, fresh []int32
	pairs       [][2]int32
	base        int // rows left by the last shrink
}

// exactType gives a type whose equality is that of the representation of values of t.
func exactType(t types.T) types.T {
	switch t.Kind() {
	case types.KindFloat32:
		return types.Int4
	case types.KindFloat64:
		return types.Int8
	case types.KindFixed16:
		return types.UUID
	case types.KindString:
		return types.Text
	case types.KindBytes:
		return types.Bytea
	}
	return t
}

// exactly gives a view of v as a column of its exactType.
func exactly(v *vec.Vec) vec.Vec {
	out := vec.Vec{Kind: v.Kind, N: v.N, Const: v.Const, Valid: v.Valid, Bools: v.Bools,
		I16: v.I16, I32: v.I32, I64: v.I64, F16: v.F16, Off: v.Off, Data: v.Data}
	switch v.Kind {
	case types.KindFloat32:
		out.Kind, out.I32 = types.KindInt32, unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(v.F32))), len(v.F32))
	case types.KindFloat64:
		out.Kind, out.I64 = types.KindInt64, unsafe.Slice((*int64)(unsafe.Pointer(unsafe.SliceData(v.F64))), len(v.F64))
	}
	return out
}

func (n *netter) init(a vec.Allocator, s *vec.Schema) {
	n.alloc, n.in = a, s
	n.kcols = make([]vec.Vec, s.Len())
	for i := range n.kcols {
		n.kcols[i].SetAllocator(a)
	}
}

func (n *netter) run(c *changes) {
	n.dels, n.ins = n.dels[:0], n.ins[:0]
	rows := c.len()
	deletes := slices.Contains(c.ops, vec.Delete)
	if !deletes {
		for i := range rows {
			n.ins = append(n.ins, int32(i))
		}
		return
	}
	if n.rows == nil {
		ts := make([]types.T, n.in.Len())
		for i := range ts {
			ts[i] = exactType(n.in.Fields[i].Type)
		}
		n.rows = NewGroups(n.alloc, ts)
	}
	n.rows.Reset()
	n.ids = slices.Grow(n.ids[:0], rows)[:rows]
	n.exact = n.exact[:0]
	for i := range c.cols {
		n.exact = append(n.exact, exactly(&c.cols[i]))
	}
	n.rows.Intern(n.exact, n.ids)
	k := n.rows.Len()
	n.count = slices.Grow(n.count[:0], k)[:k]
	n.last = slices.Grow(n.last[:0], k)[:k]
	clear(n.count)
	for i, id := range n.ids {
		op := c.ops[i]
		n.count[id] += int32(op)
		if op == vec.Insert {
			n.last[id][1] = int32(i)
		} else {
			n.last[id][0] = int32(i)
		}
	}
	for i, id := range n.ids {
		switch x := n.count[id]; {
		case x > 0 && c.ops[i] == vec.Insert && n.last[id][1] == int32(i):
			for range x {
				n.ins = append(n.ins, int32(i))
			}
		case x < 0 && c.ops[i] == vec.Delete && n.last[id][0] == int32(i):
			for range -x {
				n.dels = append(n.dels, int32(i))
			}
		}
	}
}

// pairUp splits dels and ins into pairs of one key, and the rest.
func (n *netter) pairUp(c *changes, key []int) {
	n.lone, n.pairs, n.fresh = n.lone[:0], n.pairs[:0], n.fresh[:0]
	if len(n.dels) == 0 || len(n.ins) == 0 {
		n.lone, n.fresh = append(n.lone, n.dels...), append(n.fresh, n.ins...)
		return
	}
	if n.keys == nil {
		ts := make([]types.T, len(key))
		for i, k := range key {
			ts[i] = n.in.Fields[k].Type
		}
		n.keys = NewGroups(n.alloc, ts)
		n.open = map[uint32][]int32{}
	}
	n.keys.Reset()
	clear(n.open)
	ids := func(sel []int32) []uint32 {
		for i, k := range key {
			n.kcols[i].Reset(c.cols[k].Kind, 0)
			n.kcols[i].Gather(&c.cols[k], sel)
		}
		n.kids = slices.Grow(n.kids[:0], len(sel))[:len(sel)]
		n.keys.Intern(n.kcols[:len(key)], n.kids)
		return n.kids
	}
	for i, id := range ids(n.dels) {
		n.open[id] = append(n.open[id], n.dels[i])
	}
	paired := map[int32]int{}
	for i, id := range ids(n.ins) {
		if d := n.open[id]; len(d) > 0 {
			n.pairs = append(n.pairs, [2]int32{d[0], n.ins[i]})
			paired[d[0]]++
			n.open[id] = d[1:]
		} else {
			n.fresh = append(n.fresh, n.ins[i])
		}
	}
	for _, d := range n.dels {
		if paired[d] > 0 {
			paired[d]--
			continue
		}
		n.lone = append(n.lone, d)
	}
}

// unpaired is pairUp where no key is known.
func (n *netter) unpaired() {
	n.lone, n.pairs, n.fresh = append(n.lone[:0], n.dels...), n.pairs[:0], append(n.fresh[:0], n.ins...)
}

// compact replaces c by its net effect.
func (n *netter) compact(c *changes) {
	n.run(c)
	if len(n.dels)+len(n.ins) == c.len() {
		return
	}
	var out changes
	out.init(n.alloc, n.in)
	out.take(c, append(append([]int32{}, n.dels...), n.ins...))
	c.close()
	*c = out
}

// shrink compacts c when it has grown to twice what the last time left.
func (n *netter) shrink(c *changes) {
	if c.len() > 2*n.base+vec.MaxRows {
		n.compact(c)
		n.base = c.len()
	}
}

func (n *netter) close() {
	if n.rows != nil {
		n.rows.Close()
	}
	if n.keys != nil {
		n.keys.Close()
	}
	for i := range n.kcols {
		n.kcols[i].Release()
	}
}
