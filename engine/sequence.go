package engine

import (
	"context"
	"math"
	"sync"

	"streamsql/catalog"
	"streamsql/internal/pgerr"
	"streamsql/sql/parser/ast"
)

// sequenceAhead is how many values of a sequence the store hears of at a time: after a crash so many may be left out, none is given twice.
const sequenceAhead = 32

// sequences hold the values of all sequences. They are no part of transactions: what nextval has given is never given again.
type sequences struct {
	mu sync.Mutex
	m  map[uint32]*sequence
}

// sequence is the runtime side of a sequence.
type sequence struct {
	mu     sync.Mutex
	def    catalog.Sequence
	name   string
	last   int64
	called bool // last has been given
	ahead  int  // values that may be given before the store must hear of it
	temp   bool
	stored sequenceValue
}

// sequenceValue is how far a sequence has come.
type sequenceValue struct {
	Last   int64
	Called bool
}

// declare makes a sequence known, or gives it another definition.
func (q *sequences) declare(rel *catalog.Relation) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.m == nil {
		q.m = map[uint32]*sequence{}
	}
	if old := q.m[rel.OID]; old != nil {
		old.mu.Lock()
		old.def, old.name, old.ahead = *rel.Sequence, rel.Name, 0
		old.mu.Unlock()
		return
	}
	q.m[rel.OID] = &sequence{def: *rel.Sequence, name: rel.Name, last: rel.Sequence.Start, temp: rel.Temp, stored: sequenceValue{Last: rel.Sequence.Start}}
}

func (q *sequences) get(oid uint32) *sequence {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.m[oid]
}

func (q *sequences) drop(oid uint32) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.m, oid)
}

// forget drops the sequences that the changes made, which are undone.
func (q *sequences) forget(ddl []*ddl) {
	for _, d := range ddl {
		for _, oid := range d.newSequences {
			q.drop(oid)
		}
	}
}

// restore sets a value that the store remembers.
func (q *sequences) restore(oid uint32, v sequenceValue) {
	if s := q.get(oid); s != nil {
		s.last, s.called, s.stored, s.ahead = v.Last, v.Called, v, 0
	}
}

// reserved gives what the store must say of a sequence that has been given out from already.
func (q *sequences) reserved(oid uint32) (sequenceValue, bool) {
	s := q.get(oid)
	if s == nil {
		return sequenceValue{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stored, true
}

// step gives the value that follows v.
func (s *sequence) step(v int64) (int64, error) {
	d := &s.def
	if d.Increment > 0 {
		if v > d.Max-d.Increment || d.Max < math.MinInt64+d.Increment {
			if !d.Cycle {
				return 0, pgerr.New("2200H", "nextval: reached maximum value of sequence \"%s\" (%d)", s.name, d.Max)
			}
			return d.Min, nil
		}
	} else if v < d.Min-d.Increment {
		if !d.Cycle {
			return 0, pgerr.New("2200H", "nextval: reached minimum value of sequence \"%s\" (%d)", s.name, d.Min)
		}
		return d.Max, nil
	}
	return v + d.Increment, nil
}

// next gives the next value.
func (e *Engine) nextSequence(oid uint32) (int64, error) {
	s := e.sequences.get(oid)
	if s == nil {
		return 0, pgerr.New(pgerr.UndefinedTable, "relation with OID %d does not exist", oid)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		v := s.last
		if s.called {
			var err error
			if v, err = s.step(v); err != nil {
				return 0, err
			}
		}
		if s.ahead > 0 || e.persist == nil || s.temp {
			s.last, s.called = v, true
			s.ahead--
			if e.persist == nil {
				s.stored = sequenceValue{v, true}
			}
			return v, nil
		}
		// The store is written under Engine.write, which comes before the sequence's lock.
		s.mu.Unlock()
		e.write.Lock()
		s.mu.Lock()
		err := s.reserve(e, oid)
		e.write.Unlock()
		if err != nil {
			return 0, err
		}
	}
}

// reserve lets the store say that the next values have been given. The caller holds e.write and s.mu.
func (s *sequence) reserve(e *Engine, oid uint32) error {
	if s.ahead > 0 { // another did
		return nil
	}
	v, called, n := s.last, s.called, 0
	for ; n < sequenceAhead; n++ {
		if called {
			next, err := s.step(v)
			if err != nil {
				break
			}
			v = next
		}
		called = true
	}
	if err := e.changeCatalog(&catalogChange{Sequences: map[uint32]sequenceValue{oid: {v, called}}}, nil); err != nil {
		return err
	}
	s.stored, s.ahead = sequenceValue{v, called}, max(n, 1)
	return nil
}

// setSequence makes a sequence go on from a value.
func (e *Engine) setSequence(oid uint32, v int64, called bool) error {
	s := e.sequences.get(oid)
	if s == nil {
		return pgerr.New(pgerr.UndefinedTable, "relation with OID %d does not exist", oid)
	}
	e.write.Lock()
	defer e.write.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if v < s.def.Min || v > s.def.Max {
		return pgerr.New(pgerr.NumericValueOutOfRange, "setval: value %d is out of bounds for sequence \"%s\" (%d..%d)", v, s.name, s.def.Min, s.def.Max)
	}
	if !s.temp && e.persist != nil {
		if err := e.changeCatalog(&catalogChange{Sequences: map[uint32]sequenceValue{oid: {v, called}}}, nil); err != nil {
			return err
		}
	}
	s.last, s.called, s.stored, s.ahead = v, called, sequenceValue{v, called}, 0
	return nil
}

// NextVal answers nextval.
func (i *sessionInfo) NextVal(oid uint32) (int64, error) {
	if err := i.sequence(oid, "nextval"); err != nil {
		return 0, err
	}
	if err := i.mayUse(oid, catalog.PrivUsage|catalog.PrivUpdate); err != nil {
		return 0, err
	}
	v, err := i.s.e.nextSequence(oid)
	if err == nil {
		i.s.gotValue(oid, v)
	}
	return v, err
}

// mayUse refuses a sequence of which the session has none of the privileges. The values of an identity column are part of inserting.
func (i *sessionInfo) mayUse(oid uint32, any catalog.Privileges) error {
	rel := i.cat.ByOID(oid)
	if rel == nil || rel.Sequence == nil || any&catalog.PrivUsage != 0 && rel.Sequence.Identity {
		return nil
	}
	if o := rel.Object(i.cat); i.cat.Granted(i.s.who.current, &o, any, false) == 0 {
		return errDenied(&o)
	}
	return nil
}

// gotValue remembers what a sequence has given the session, for currval and lastval.
func (s *Session) gotValue(oid uint32, v int64) {
	if s.currvals == nil {
		s.currvals = map[uint32]int64{}
	}
	s.currvals[oid], s.lastSequence = v, oid
}

// CurrVal answers currval.
func (i *sessionInfo) CurrVal(oid uint32) (int64, error) {
	if err := i.sequence(oid, ""); err != nil {
		return 0, err
	}
	if err := i.mayUse(oid, catalog.PrivUsage|catalog.PrivSelect); err != nil {
		return 0, err
	}
	v, ok := i.s.currvals[oid]
	if !ok {
		return 0, pgerr.New(pgerr.ObjectNotInPrerequisiteState, "currval of sequence \"%s\" is not yet defined in this session", i.cat.ByOID(oid).Name)
	}
	return v, nil
}

// LastVal answers lastval.
func (i *sessionInfo) LastVal() (int64, error) {
	v, ok := i.s.currvals[i.s.lastSequence]
	if !ok || i.s.catalog().ByOID(i.s.lastSequence) == nil {
		return 0, pgerr.New(pgerr.ObjectNotInPrerequisiteState, "lastval is not yet defined in this session")
	}
	return v, nil
}

// SetVal answers setval.
func (i *sessionInfo) SetVal(oid uint32, v int64, called bool) error {
	if err := i.sequence(oid, "setval"); err != nil {
		return err
	}
	if err := i.mayUse(oid, catalog.PrivUpdate); err != nil {
		return err
	}
	if err := i.s.e.setSequence(oid, v, called); err != nil {
		return err
	}
	if called {
		if i.s.currvals == nil {
			i.s.currvals = map[uint32]int64{}
		}
		i.s.currvals[oid] = v
	}
	return nil
}

// sequence checks that an OID is a sequence's, and that what changes it may.
func (i *sessionInfo) sequence(oid uint32, change string) error {
	r := i.cat.ByOID(oid)
	if r == nil {
		if r = i.s.catalog().ByOID(oid); r == nil {
			return pgerr.New(pgerr.UndefinedTable, "could not open relation with OID %d", oid)
		}
	}
	if r.Kind != catalog.SequenceKind {
		return pgerr.New(pgerr.WrongObjectType, "\"%s\" is not a sequence", r.Name)
	}
	if change != "" && i.s.readOnly() && !r.Temp {
		return errReadOnly(change + "()")
	}
	return nil
}

// alterSequence executes ALTER SEQUENCE.
func (s *Session) alterSequence(rel *catalog.Relation, o *ast.SequenceOptions) error {
	c := rel.Clone()
	if err := s.sequenceOptions(c.Sequence, o, false); err != nil {
		return err
	}
	if err := s.ownedBy(c, o); err != nil {
		return err
	}
	d := &ddl{ch: &catalogChange{Put: []*catalog.Relation{c}}, after: func() { s.e.sequences.declare(c) }}
	s.change(d)
	if !o.Restart {
		return nil
	}
	v, err := restartValue(c.Sequence, o.RestartWith)
	if err != nil {
		return err
	}
	if v < rel.Sequence.Min || v > rel.Sequence.Max { // the value holds with the new bounds only
		d.last = func(context.Context) error { return s.e.setSequence(rel.OID, v, false) }
		return nil
	}
	return s.e.setSequence(rel.OID, v, false)
}
