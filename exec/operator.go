// Package exec runs plans: operators as step functions over batches, the
// compiled expressions they evaluate, group tables and join state, and the graph
// that feeds them.
package exec

import (
	"sync"

	"streamsql/internal/fn"
	"streamsql/internal/mem"
	"streamsql/internal/spill"
	"streamsql/internal/vec"
	"streamsql/state"
)

// Context is what the operators of one query share. It is used by one goroutine.
type Context struct {
	Alloc vec.Allocator
	Fn    *fn.Ctx
	// Continuous says that this is a changelog that goes on: operators emit net changes at
	// every Tick. Otherwise the query is a snapshot over bounded input: nothing is late,
	// watermarks are ignored but for MaxTime (the end of an input), and
	// every operator emits inserts only, each row of its result once.
	Continuous bool
	// RowError is asked what to do with a row that fails to evaluate: nil drops it (and the
	// handler has recorded it, a view's error table), an error ends the query. A nil handler ends the query.
	RowError func(err error, b *vec.Batch, row int) error
	// Late is told of a row that is late for every window it falls in (once for each row that came in).
	// A nil handler only counts. An error ends the query (LATE ERROR).
	Late  func(l *LateRow) error
	Stats *Stats
	// Parallel is how many copies of an operator with keys share its work; 0 and 1 are one. Results do not depend on it.
	Parallel int
	// Memory is the query's account; nil is without limit. Operators that can write their state to Spill do so when they are told to.
	Memory *mem.Account
	// Spill is the query's room on disk; nil is a file of the operator's own in the directory for temporary files.
	Spill *spill.Space
	// Stepped says that whoever drives the graph calls Resume until it has nothing more, after each call that ends an input, so that
	// very long results of a snapshot can be sent in steps.
	Stepped bool
	// Promise gives the time up to which a query whose output below upTo is complete may say so in a progress row: what it says must hold when the
	// engine has been restarted. ok is false as long as it may say nothing; a nil function says what is asked.
	Promise func(upTo vec.Time) (told vec.Time, ok bool)

	shared *sync.Mutex // of what copies of one operator share; nil: there is one
}

// Stats counts what EXPLAIN ANALYZE and sys.watermarks show.
type Stats struct {
	Rows, LateRows, NullTimes, FutureRows int64
}

func (s *Stats) add(o *Stats) {
	s.Rows += o.Rows
	s.LateRows += o.LateRows
	s.NullTimes += o.NullTimes
	s.FutureRows += o.FutureRows
}

// Mark is a watermark with the state of the stream it speaks for: no row with a
// smaller event time will come. An idle stream holds nobody back. W == vec.MaxTime says that the input has ended.
type Mark struct {
	W    vec.Time
	Idle bool
}

// Tick ends a step: everything pushed so far belongs to it. Epoch numbers are
// those of the engine's barriers; Now is processing time.
type Tick struct {
	Epoch uint64
	Now   vec.Time
	// Last says that nothing comes after this tick although the input goes on: what was sent is complete until Now.
	Last bool
}

// Operator is a step function: it has no goroutine, clock or lock of its own, so
// that one seeded scheduler can drive a whole graph in a test.
//
// Order of calls: Open, (Restore), then any number of Push, Advance and Tick;
// Snapshot only directly after a Tick; Close last, also after an error.
// Batches are borrowed: Retain to keep one beyond the call.
// Rows come first, then the watermark that they preceded: an operator that holds
// back rows emits those that Advance makes due before it passes the mark on.
type Operator interface {
	Open(*Context, Output) error
	// Push gives rows of an input.
	Push(input int, b *vec.Batch) error
	// Advance gives the mark of an input. Marks of an input never decrease. The operator combines
	// its inputs (see Combine) and passes on its own mark.
	Advance(input int, m Mark) error
	// Tick asks for the net change since the last one: operators that gather changes emit
	// them now. It comes in topological order, after all inputs have ticked.
	Tick(t Tick) error
	// Snapshot writes what Restore needs to go on from here.
	Snapshot(*state.Writer) error
	Restore(*state.Reader) error
	Close() error
}

// Output is where an operator sends its rows and its watermark. The batch is lent for the call.
type Output interface {
	Emit(*vec.Batch) error
	Watermark(Mark) error
}

// Groups gives dense ids to keys: a batch of key columns at a time. NULLs are equal, as are
// -0 and 0, all NaNs, and numerics of different scale. Ids are given from 0 in the order of first appearance.
type Groups interface {
	// Intern sets ids[i] to the id of row i of cols, adding new keys. len(ids) rows.
	Intern(cols []vec.Vec, ids []uint32)
	// Find is Intern without adding: unknown keys get NoGroup.
	Find(cols []vec.Vec, ids []uint32)
	// Len gives the number of ids given out.
	Len() int
	// Append appends the keys of ids to dst, one Vec a key column.
	Append(ids []uint32, dst []vec.Vec)
	// Reset forgets all keys and keeps the memory.
	Reset()
	Close()
}

// NoGroup is the id of a key that Groups.Find does not know.
const NoGroup = ^uint32(0)

// Combine gives the mark of a stream made of several: any active input holds it
// at the smallest of the active ones; when all others are idle or ended it goes on
// without them; all idle holds; all ended is MaxTime. prev is the last result: it never decreases.
func Combine(prev vec.Time, in []Mark) Mark {
	w, active, ended := vec.MaxTime, false, true
	for _, m := range in {
		if m.W == vec.MaxTime {
			continue
		}
		ended = false
		if !m.Idle {
			active = true
			w = min(w, m.W)
		}
	}
	switch {
	case ended:
		return Mark{W: vec.MaxTime}
	case !active:
		return Mark{W: prev, Idle: true}
	}
	return Mark{W: max(prev, w)}
}
