package exec

import (
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
	"streamsql/state"
)

// setOp is INTERSECT or EXCEPT: it counts equal rows on both sides and keeps in the
// result as many copies as the counts ask for. NULLs are equal.
type setOp struct {
	n      *planner.SetOp
	ctx    *Context
	out    Output
	groups groupTable
	counts [2][]int64 // by group id
	sentN  []int64    // copies in the result at the last tick
	dirty  []uint32
	isNew  []bool // by id: is in dirty
	marks  [2]Mark
	mark   Mark
	sent   Mark
	hasW   bool
	done   bool
	views  []vec.Vec
	ids    []uint32
}

func newSetOp(n *planner.SetOp) (Operator, error) {
	none := Mark{W: vec.MinTime}
	return &setOp{n: n, marks: [2]Mark{none, none}, mark: none, sent: none}, nil
}

func schemaTypes(s *vec.Schema) []types.T {
	ts := make([]types.T, len(s.Fields))
	for i, f := range s.Fields {
		ts[i] = f.Type
	}
	return ts
}

// Open implements Operator.
func (s *setOp) Open(ctx *Context, out Output) error {
	s.ctx, s.out = ctx, out
	s.groups = newGroups(ctx.Alloc, schemaTypes(s.n.Schema()))
	return nil
}

// copies gives how many copies of a row are in the result.
func (s *setOp) copies(id uint32) int64 {
	l, r := s.counts[0][id], s.counts[1][id]
	switch {
	case s.n.Except && s.n.All:
		return max(l-r, 0)
	case s.n.Except:
		if l > 0 && r <= 0 {
			return 1
		}
		return 0
	case s.n.All:
		return max(min(l, r), 0)
	}
	if l > 0 && r > 0 {
		return 1
	}
	return 0
}

// Push implements Operator.
func (s *setOp) Push(input int, b *vec.Batch) error {
	s.hasW = s.hasW || b.W != nil
	s.views = b.Views(s.views)
	s.ids = growSide(s.ids[:0], 0, b.N)
	s.groups.Intern(s.views, s.ids)
	s.grow()
	counts := s.counts[input]
	for i, id := range s.ids {
		counts[id] += int64(b.Op(i))
		if !s.isNew[id] {
			s.isNew[id] = true
			s.dirty = append(s.dirty, id)
		}
	}
	return nil
}

func (s *setOp) grow() {
	n := s.groups.Len()
	for len(s.sentN) < n {
		s.counts[0] = append(s.counts[0], 0)
		s.counts[1] = append(s.counts[1], 0)
		s.sentN = append(s.sentN, 0)
		s.isNew = append(s.isNew, false)
	}
}

// Advance implements Operator.
func (s *setOp) Advance(input int, m Mark) error {
	s.marks[input] = m
	s.mark = Combine(s.mark.W, s.marks[:])
	if s.ctx.Continuous || s.mark.W != vec.MaxTime || s.done {
		return nil
	}
	s.done = true
	if err := s.flush(); err != nil {
		return err
	}
	return s.out.Watermark(s.mark)
}

// Tick implements Operator.
func (s *setOp) Tick(Tick) error {
	if !s.ctx.Continuous {
		return nil
	}
	if err := s.flush(); err != nil {
		return err
	}
	return passHeld(s.out, s.mark, &s.sent)
}

// flush sends the net changes, deletes first, and forgets rows that are on neither side.
func (s *setOp) flush() error {
	var del, ins, gone []uint32
	for _, id := range s.dirty {
		s.isNew[id] = false
		n := s.copies(id)
		for k := s.sentN[id]; k < n; k++ {
			ins = append(ins, id)
		}
		for k := n; k < s.sentN[id]; k++ {
			del = append(del, id)
		}
		s.sentN[id] = n
		if s.counts[0][id] == 0 && s.counts[1][id] == 0 {
			gone = append(gone, id)
		}
	}
	s.dirty = s.dirty[:0]
	if err := s.send(del, vec.Delete); err != nil {
		return err
	}
	if err := s.send(ins, vec.Insert); err != nil {
		return err
	}
	s.groups.Remove(gone)
	return nil
}

func (s *setOp) send(ids []uint32, op vec.Op) error {
	out := marked(s.out, s.hasW, s.sent.W)
	for len(ids) > 0 {
		n := min(len(ids), vec.MaxRows)
		bld := vec.NewBuilder(s.ctx.Alloc, s.n.Schema())
		s.groups.Append(ids[:n], bld.Cols)
		for range n {
			bld.AppendOp(op)
		}
		b := bld.Finish()
		bld.Release()
		err := out.Emit(b)
		b.Release()
		if err != nil {
			return err
		}
		ids = ids[n:]
	}
	return nil
}

// Snapshot implements Operator.
func (s *setOp) Snapshot(w *state.Writer) error {
	s.snapshotOf(s.kept(), w)
	return nil
}

// kept lists the rows that a snapshot holds.
func (s *setOp) kept() (ids []uint32) {
	for id := range s.sentN {
		if s.counts[0][id] != 0 || s.counts[1][id] != 0 {
			ids = append(ids, uint32(id))
		}
	}
	return ids
}

// snapshotOf writes the rows ids as Snapshot does.
func (s *setOp) snapshotOf(ids []uint32, w *state.Writer) {
	for _, m := range append(s.marks[:], s.mark) {
		w.Int64(m.W)
		w.Bool(m.Idle)
	}
	w.Bool(s.hasW)
	w.Bool(s.done)
	bld := vec.NewBuilder(s.ctx.Alloc, s.n.Schema())
	s.groups.Append(ids, bld.Cols)
	writeRows(w, bld.Cols, iota32(len(ids)))
	bld.Release()
	for _, id := range ids {
		w.Int64(s.counts[0][id])
		w.Int64(s.counts[1][id])
		w.Int64(s.sentN[id])
	}
}

// Restore implements Operator.
func (s *setOp) Restore(r *state.Reader) error {
	for i := range s.marks {
		s.marks[i] = Mark{W: r.Int64(), Idle: r.Bool()}
	}
	s.mark = Mark{W: r.Int64(), Idle: r.Bool()}
	s.sent = s.mark
	s.hasW, s.done = r.Bool(), r.Bool()
	bld := vec.NewBuilder(s.ctx.Alloc, s.n.Schema())
	defer bld.Release()
	n, err := readRows(r, bld.Cols, schemaKinds(s.n.Schema()))
	if err != nil {
		return err
	}
	ids := make([]uint32, n)
	s.groups.Intern(bld.Cols, ids)
	s.grow()
	for _, id := range ids {
		s.counts[0][id], s.counts[1][id], s.sentN[id] = r.Int64(), r.Int64(), r.Int64()
		if !s.ctx.Continuous {
			s.isNew[id] = true
			s.dirty = append(s.dirty, id)
		}
	}
	return r.Err()
}

// Close implements Operator.
func (s *setOp) Close() error {
	if s.groups != nil {
		s.groups.Close()
		s.groups = nil
	}
	for i := range s.views {
		s.views[i].Release()
	}
	return nil
}
