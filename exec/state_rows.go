package exec

// stateCounter is an operator that keeps rows or groups beyond a tick. The count is of what a
// user would call rows of state: rows of a join, groups of a window, sessions. It must be cheap.
type stateCounter interface{ stateRows() int64 }

// StateRows gives how many rows and groups the operators keep. Where an endless query is bounded by its
// watermark it stays level, which is how a leak is told from load.
func (g *Graph) StateRows() (n int64) {
	for _, s := range g.stages {
		if c, ok := s.op.(stateCounter); ok {
			n += c.stateRows()
		}
	}
	return n
}

func (a *groupAggregate) stateRows() int64 { return int64(a.set.groups.Len()) }

func (a *windowAggregate) stateRows() (n int64) {
	for _, o := range a.order {
		n += int64(o.groups.Len())
	}
	return n
}

func (s *slicedAggregate) stateRows() int64 {
	if c, ok := s.Operator.(stateCounter); ok {
		return c.stateRows()
	}
	return 0
}

func (a *paneAggregate) stateRows() int64 {
	n := a.set.groups.Len()
	for _, p := range a.panes {
		n += len(p.touched)
	}
	return int64(n)
}

func (a *sessionAggregate) stateRows() int64 { return int64(a.slots.live()) }

func (j *joinOp) stateRows() (n int64) {
	for _, b := range j.held {
		n += int64(b.N)
	}
	for _, s := range j.sides {
		n += int64(s.store.live)
	}
	if j.keyed != nil {
		n += int64(j.keyed.groups.Len())
	}
	return n
}

func (o *overOp) stateRows() int64 { return int64(o.store.live) }

func (t *topNOp) stateRows() int64 { return int64(t.store.live) }

func (s *setOp) stateRows() int64 { return int64(s.groups.Len()) }

func (s *sortOp) stateRows() int64 { return int64(s.store.live) }

func (e *emit) stateRows() int64 { return int64(e.pend.len()) }

func (p *parallel) stateRows() (n int64) {
	for _, c := range p.copies {
		if s, ok := c.op.(stateCounter); ok {
			n += s.stateRows()
		}
	}
	return n
}
