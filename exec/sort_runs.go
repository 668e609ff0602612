package exec

import (
	"container/heap"

	"streamsql/internal/mem"
	"streamsql/internal/spill"
	"streamsql/internal/vec"
)

// sortRuns are the rows of a snapshot that did not fit the memory: sorted pieces on disk, merged at the end.
type sortRuns struct {
	acct    *mem.Account
	space   *spill.Space
	own     bool
	streams []*spill.Stream
	merge   []*sortCursor // a heap, of the runs that have rows left
	order   *rowOrder
	merging bool
	buf     []byte
	disk    int64
}

// sortCursor is where the merge stands in a run.
type sortCursor struct {
	run    int
	reader *spillReader
	batch  *vec.Batch
	views  []vec.Vec
	at     int
}

// Len implements heap.Interface; so do the next four.
func (r *sortRuns) Len() int { return len(r.merge) }

// Less puts the first row in order first, of equal ones that of the earlier run.
func (r *sortRuns) Less(i, j int) bool {
	a, b := r.merge[i], r.merge[j]
	if c := r.order.compare(a.views, a.at, b.views, b.at); c != 0 {
		return c < 0
	}
	return a.run < b.run
}

// Swap implements heap.Interface.
func (r *sortRuns) Swap(i, j int) { r.merge[i], r.merge[j] = r.merge[j], r.merge[i] }

// Push implements heap.Interface.
func (r *sortRuns) Push(x any) { r.merge = append(r.merge, x.(*sortCursor)) }

// Pop implements heap.Interface.
func (r *sortRuns) Pop() any {
	n := len(r.merge) - 1
	c := r.merge[n]
	r.merge = r.merge[:n]
	return c
}

// advance moves a cursor to its next row; false at the end of the run.
func (c *sortCursor) advance() (bool, error) {
	if c.at++; c.batch != nil && c.at < c.batch.N {
		return true, nil
	}
	if c.batch != nil {
		c.batch.Release()
		c.batch = nil
	}
	_, b, _, ok, err := c.reader.next()
	if err != nil || !ok {
		return false, err
	}
	c.batch, c.at = b, 0
	c.views = b.Views(c.views)
	return true, nil
}

// sortBytesARow is about what sorting takes for a row beside its values.
const sortBytesARow = 40

func (s *sortOp) stateBytes() int64 {
	if s.store == nil {
		return 0
	}
	return s.store.held + sortBytesARow*int64(cap(s.refs))
}

// weigh writes the rows so far as a run if they are too many.
func (s *sortOp) weigh() error {
	r := &s.runs
	if r.acct == nil {
		return nil
	}
	r.acct.Set(s.stateBytes())
	if !s.ctx.Continuous && len(s.refs) > 0 && len(s.store.kinds) > 0 && r.acct.Over() {
		if err := s.writeRun(); err != nil {
			return err
		}
		r.acct.Set(s.stateBytes())
	}
	return r.acct.Check()
}

// writeRun sorts the rows so far and writes them.
func (s *sortOp) writeRun() error {
	r := &s.runs
	if r.space == nil {
		if r.space = s.ctx.Spill; r.space == nil {
			r.space, r.own = spill.NewSpace(""), true
		}
	}
	st := r.space.NewStream()
	r.streams = append(r.streams, st)
	perm := s.order.sort(s.refs)
	refs := make([]rowRef, 0, vec.MaxRows)
	all := iota32(vec.MaxRows)
	for len(perm) > 0 {
		n := min(len(perm), vec.MaxRows)
		refs = refs[:0]
		for _, p := range perm[:n] {
			refs = append(refs, s.refs[p])
		}
		b := s.store.takeRows(s.n.Input.Schema(), refs, nil)
		r.buf = appendRows(r.buf[:0], 0, b.Views(nil), b, all[:n])
		b.Release()
		if _, err := st.Write(r.buf); err != nil {
			return err
		}
		perm = perm[n:]
	}
	s.store.reset()
	s.refs = nil
	r.disk += st.OnDisk()
	r.acct.Disk(st.OnDisk())
	return st.Flush()
}

// beginMerge makes the heap of all runs.
func (s *sortOp) beginMerge() error {
	r := &s.runs
	if len(s.refs) > 0 {
		if err := s.writeRun(); err != nil {
			return err
		}
	}
	r.order, r.merging = s.order, true
	for i, st := range r.streams {
		c := &sortCursor{run: i, at: -1, reader: &spillReader{r: st.Reader(), alloc: s.ctx.Alloc, schemas: []*vec.Schema{s.n.Input.Schema()}}}
		some, err := c.advance()
		if err != nil {
			return err
		}
		if some {
			r.merge = append(r.merge, c)
		}
	}
	heap.Init(r)
	r.acct.Set(int64(len(r.merge)) * spill.BlockSize)
	return nil
}

// resume implements resumer: it sends the next batch of the merge.
func (s *sortOp) resume() (bool, error) {
	r := &s.runs
	if !r.merging {
		return false, nil
	}
	bld := vec.NewBuilder(s.ctx.Alloc, s.n.Schema())
	defer bld.Release()
	n := 0
	for ; n < vec.MaxRows && len(r.merge) > 0; n++ {
		c := r.merge[0]
		for i := range bld.Cols {
			bld.Cols[i].Append(&c.views[i], c.at)
		}
		some, err := c.advance()
		if err != nil {
			return false, err
		}
		if some {
			heap.Fix(r, 0)
		} else {
			heap.Pop(r)
		}
	}
	if n > 0 {
		b := bld.Finish()
		err := marked(s.out, s.hasW, s.sent.W).Emit(b)
		b.Release()
		if err != nil {
			return false, err
		}
	}
	if len(r.merge) > 0 && !outputSated(s.out) {
		return true, nil
	}
	s.runs.free()
	return false, s.out.Watermark(s.mark)
}

// free gives the runs back.
func (r *sortRuns) free() {
	for _, c := range r.merge {
		if c.batch != nil {
			c.batch.Release()
		}
	}
	r.merge, r.merging = nil, false
	for _, st := range r.streams {
		st.Reset()
	}
	r.streams = nil
	r.acct.Set(0)
	r.acct.Disk(-r.disk)
	r.disk = 0
}

func (r *sortRuns) close() error {
	r.free()
	r.acct.Close()
	if !r.own {
		return nil
	}
	r.own = false
	return r.space.Close()
}
