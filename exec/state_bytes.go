package exec

import "streamsql/internal/vec"

// What the operators hold that cannot write their state to disk. Beyond the budget their query ends with an error that names them.

const (
	partSize  = 120 // about what an entry of a partition takes, with its lists
	rowLink   = 24  // about what lists take of a row
	alarmSize = 24  // an entry of a heap of times
)

func (s *aggStates) bytes() (n int64) {
	if s == nil {
		return 0
	}
	for _, a := range s.aggs {
		n += int64(a.Bytes())
	}
	return n
}

// bytes gives what the store and lists of its rows take.
func (s *rowStore) bytes() int64 {
	if s == nil {
		return 0
	}
	return s.held + rowLink*int64(s.live)
}

func groupsBytes(g groupTable) int64 {
	if g == nil {
		return 0
	}
	return int64(g.Bytes())
}

func batchesBytes(bs []*vec.Batch) (n int64) {
	for _, b := range bs {
		n += b.Bytes()
	}
	return n
}

// weighWindows is how many open windows are added up at once; where there are more of them that is done the more seldom.
const weighWindows = 64

func (a *windowAggregate) stateBytes() int64 {
	if a.weighed > 0 {
		a.weighed--
		return a.size
	}
	a.weighed = len(a.order) / weighWindows
	a.size = 0
	for _, o := range a.order {
		a.size += o.bytes() + partSize
	}
	return a.size
}

func (s *slicedAggregate) stateBytes() int64 {
	if z, ok := s.Operator.(sizer); ok {
		return z.stateBytes()
	}
	return 0
}

func (a *paneAggregate) stateBytes() int64 {
	if a.weighed > 0 {
		a.weighed--
		return a.held
	}
	a.weighed = len(a.panes) / weighWindows
	a.held = a.set.bytes() + 4*int64(cap(a.refs)+cap(a.union)) + int64(cap(a.seen))
	for _, p := range a.panes {
		a.held += p.bytes()
	}
	for _, p := range a.free {
		a.held += p.bytes()
	}
	return a.held
}

func (p *pane) bytes() int64 {
	return p.aggs.bytes() + 8*int64(cap(p.rows)) + int64(cap(p.mark)) + 4*int64(cap(p.touched))
}

func (a *sessionAggregate) stateBytes() int64 {
	const slot = 96 // a session of one group in its partition
	n := groupsBytes(a.kids) + a.states.bytes() + a.tmp.bytes() + slot*int64(a.slots.live()) + partSize*int64(len(a.parts)) +
		8*int64(cap(a.rows)) + alarmSize*int64(cap(a.due))
	if a.n.SessionKeys != nil {
		n += groupsBytes(a.pids)
	}
	for i := range a.old.res {
		n += int64(a.old.res[i].Held())
	}
	return n + 24*int64(cap(a.old.rows))
}

func (a *asofJoin) stateBytes() int64 {
	return a.sides[0].store.bytes() + a.sides[1].store.bytes() + groupsBytes(a.groups) + partSize*int64(len(a.parts)) +
		rowLink*int64(cap(a.left)) + alarmSize*int64(cap(a.due)) + batchesBytes(a.held)
}

func (j *scalarJoin) stateBytes() int64 {
	return j.left.bytes() + j.right.bytes() + groupsBytes(j.groups) + partSize*int64(len(j.byKey))
}

func (s *singleJoin) stateBytes() int64 {
	if z, ok := s.Operator.(sizer); ok {
		return z.stateBytes()
	}
	return 0
}

func (l *lookupJoin) stateBytes() int64 {
	n := l.right.bytes() + groupsBytes(l.groups) + rowLink*int64(len(l.rows)) + batchesBytes(l.held)
	if l.sent != nil {
		n += groupsBytes(l.sent) + l.results.bytes() + partSize*int64(len(l.stacks))
	}
	return n
}

func (o *overTimed) stateBytes() int64 {
	return o.store.bytes() + groupsBytes(o.groups) + partSize*int64(len(o.parts))
}

func (t *temporal) stateBytes() int64 { return t.store.bytes() + batchesBytes(t.held) }

func (r *recursive) stateBytes() int64 {
	n := groupsBytes(r.seen) + r.bytes
	if r.term != nil {
		for _, s := range r.term.g.stages {
			if z, ok := s.op.(sizer); ok {
				n += z.stateBytes()
			}
		}
	}
	return n
}

func (e *emit) stateBytes() int64 {
	n := e.pend.bytes() + batchesBytes(e.held)
	switch t := e.when.(type) {
	case *periodTiming:
		n += t.content.bytes()
	case *delayTiming:
		n += groupsBytes(t.keys) + 4*int64(cap(t.at)) + partSize*int64(cap(t.slots))
	}
	return n
}

func (c *changes) bytes() int64 {
	n := int64(cap(c.ops))
	for i := range c.cols {
		n += int64(c.cols[i].Held())
	}
	return n
}
