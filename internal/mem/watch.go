package mem

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"

	"streamsql/internal/pgerr"
)

// Accounts count what operators know of. What nobody counts (expressions, results on their way, maps of small states) is seen
// only in the heap itself. Two things keep it within the limit: a large block is asked for before it is made (Need), and the heap is
// measured (Watch): where little is left, one query is chosen that ends with 53200 before the system ends the process.

const (
	watchEvery = 10 * time.Millisecond
	// collectEvery bounds how often a collection is forced, which is the only way to learn that what was held is free.
	collectEvery = 100 * time.Millisecond
	// leaveTime is how long a query that was chosen may take to end before another one is.
	leaveTime = 500 * time.Millisecond
	// oldQuery is how long a query must have run to be chosen where it is not known who holds the memory: what is answered at once is
	// not the cause.
	oldQuery = 250 * time.Millisecond
	// LargeBlock is from how many bytes on a block of memory is asked for before it is made.
	LargeBlock = 1 << 20
)

// Refusal is what is thrown where memory is refused deep within a computation. Whoever runs queries recovers it.
type Refusal struct {
	// Err, where not nil, is the query's error whatever the account.
	Err *pgerr.Error

	acct       *Account
	want, held int64
}

// Error implements error.
func (r *Refusal) Error() string { return r.Cause().Error() }

// Cause gives the query's error, which names the operator if that is known.
func (r *Refusal) Cause() *pgerr.Error {
	if r.Err != nil {
		return r.Err
	}
	if held := r.acct.root.refused.Load(); held != 0 {
		return outOfMemory("%s was at work when the process held %s; the limit is %s.", r.acct.who(), Format(held), Format(r.acct.budget.limit))
	}
	return outOfMemory("%s wants %s when the process holds %s; the limit is %s.", r.acct.who(), Format(r.want), Format(r.held), Format(r.acct.budget.limit))
}

// Recovered gives the error of a Refusal that was recovered from a panic; any other panic goes on. It is called with the result of recover.
func Recovered(r any, err *error) {
	switch r := r.(type) {
	case nil:
	case *Refusal:
		*err = r.Cause()
	default:
		panic(r)
	}
}

// In says, while a panic unwinds, in which operator it was; the first to say so counts.
func (a *Account) In(operator string) {
	if a != nil {
		a.root.in.CompareAndSwap(nil, &operator)
	}
}

// heap measures the heap of the process. It is locked while a large block is judged: two must not get the same room.
type heap struct {
	mu      sync.Mutex
	samples [3]metrics.Sample
	cycles  uint64 // of the collector, as of the last look
	granted int64  // large blocks granted since then
	forced  time.Time
	// whole says that the process as a whole was given the budget's limit or less: in a larger one most of the heap is not the engine's.
	whole bool
}

func newHeap(limit int64) *heap {
	h := &heap{whole: limit > 0 && debug.SetMemoryLimit(-1) <= limit}
	h.samples[0].Name = "/gc/heap/live:bytes"
	h.samples[1].Name = "/memory/classes/heap/objects:bytes"
	h.samples[2].Name = "/gc/cycles/total:gc-cycles"
	return h
}

// measure gives what the last collection left and what the heap holds with what has become garbage since. The caller holds mu.
func (h *heap) measure() (live, all int64) {
	metrics.Read(h.samples[:])
	if n := h.samples[2].Value.Uint64(); n != h.cycles {
		h.cycles, h.granted = n, 0
	}
	return int64(h.samples[0].Value.Uint64()), int64(h.samples[1].Value.Uint64())
}

// collect forces a collection and gives what it left. The caller holds mu.
func (h *heap) collect() int64 {
	runtime.GC()
	h.forced = time.Now()
	live, _ := h.measure()
	return live
}

// dire is how much the process may hold before somebody is refused: the collector can do little from there on.
func (b *Budget) dire() int64 { return b.limit / 100 * 88 }

// full is how much the process may hold before tables take no more rows: what is left is for queries.
func (b *Budget) full() int64 { return b.limit / 100 * 72 }

// Holds reports whether the process holds more than a share of the limit, in percent, of what is not garbage. It is false where the process is not the engine's.
func (b *Budget) Holds(percent int64) bool {
	if !b.watched() {
		return false
	}
	b.heap.mu.Lock()
	defer b.heap.mu.Unlock()
	live, _ := b.heap.measure()
	return live > b.limit/100*percent
}

// grant reports whether there is room for n bytes more below bound. keep says that they are allocated at once.
func (b *Budget) grant(n, bound int64, keep bool) (held int64, ok bool) {
	h := b.heap
	h.mu.Lock()
	defer h.mu.Unlock()
	live, all := h.measure()
	if all+n > bound && live+h.granted+n > bound && (n >= LargeBlock || time.Since(h.forced) > collectEvery) {
		live = h.collect()
		h.granted = 0
	}
	if min(all, live+h.granted)+n > bound {
		return live + h.granted, false
	}
	if keep {
		h.granted += n
	}
	return 0, true
}

// watched reports whether the heap is looked at.
func (b *Budget) watched() bool { return b != nil && b.limit > 0 && !b.forced && b.heap.whole }

// refusal judges a block of n bytes that is to be made now: nil where there is room for it. Small blocks are not judged.
func (a *Account) refusal(n int64) *Refusal {
	if a == nil || n < LargeBlock || !a.budget.watched() {
		return nil
	}
	if a.root.refused.Load() != 0 {
		return &Refusal{acct: a}
	}
	if held, ok := a.budget.grant(n, a.budget.dire(), true); !ok {
		return &Refusal{acct: a, want: n, held: held}
	}
	return nil
}

// Ask gives an error (53200) where there is no room for a block of n bytes that is to be made now.
func (a *Account) Ask(n int64) error {
	if r := a.refusal(n); r != nil {
		return r.Cause()
	}
	return nil
}

// AskKept gives an error (53200) where there is no room for n bytes that are to be kept beyond the statement: rows of a table or a transaction,
// those that go to the views over a source, what a session holds. what names it, such as: Table "t".
func (a *Account) AskKept(what string, n int64) error {
	if a == nil || !a.budget.watched() || n < LargeBlock && !a.budget.tight.Load() {
		return nil
	}
	held, ok := a.budget.grant(n, a.budget.full(), false)
	if ok {
		return nil
	}
	return pgerr.New(pgerr.OutOfMemory, "out of memory").
		WithDetail("%s is to take about %s when the process holds %s; the limit is %s.", what, Format(n), Format(held), Format(a.budget.limit)).
		WithHint("Rows of tables, what views know of theirs, and what sessions have prepared stay in memory: delete or drop what is not needed, insert in smaller transactions, or give the server more with --memory.")
}

// Need is Ask for computations deep within an expression: it panics with a Refusal.
func (a *Account) Need(n int64) {
	if n < LargeBlock {
		return
	}
	if r := a.refusal(n); r != nil {
		panic(r)
	}
}

// Lend says that a query's allocator has handed out n bytes more (or less).
func (a *Account) Lend(n int64) {
	if a != nil {
		a.root.lent.Add(n)
	}
}

// Stop makes Exhausted of a query, and of its operators, give err: the query ends also in the middle of a step. Any goroutine may call it.
func (a *Account) Stop(err error) {
	if a != nil {
		a.stopped.Store(&err)
	}
}

// Exhausted gives the error (53200) of a query that has been chosen to end because the process holds too much, or that of Stop. It costs next
// to nothing.
func (a *Account) Exhausted() error {
	if a == nil {
		return nil
	}
	if e := a.root.stopped.Load(); e != nil {
		return *e
	}
	held := a.root.refused.Load()
	if held == 0 {
		return nil
	}
	return outOfMemory("%s was at work when the process held %s; the limit is %s.", a.who(), Format(held), Format(a.budget.limit))
}

// who names the account in messages.
func (a *Account) who() string {
	switch {
	case a.shared:
		return "The statement"
	case a.parent == nil:
		if in := a.in.Load(); in != nil {
			return *in + " of the query"
		}
		return "The query"
	}
	return a.name + " of the query"
}

func outOfMemory(detail string, args ...any) *pgerr.Error {
	return pgerr.New(pgerr.OutOfMemory, "out of memory").WithDetail(detail, args...).
		WithHint("Give the server more with --memory, or let the query keep less: fewer rows, an equality in the join condition, a window.")
}

// Watch measures the heap until ctx is done and chooses who is to end where little is left. It does nothing where the process is not
// the engine's.
func (b *Budget) Watch(ctx context.Context) {
	if !b.watched() {
		return
	}
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			b.look()
		}
	}
}

// look measures once.
func (b *Budget) look() {
	h := b.heap
	h.mu.Lock()
	live, all := h.measure()
	b.tight.Store(live > b.limit/100*70)
	if live <= b.dire() && all <= b.limit { // beyond the limit the collector is behind
		h.mu.Unlock()
		return
	}
	if !b.again.Swap(false) && time.Since(h.forced) < collectEvery {
		h.mu.Unlock()
		return
	}
	live = h.collect()
	h.mu.Unlock()
	if live > b.dire() {
		b.choose(live)
	}
}

// choose chooses who is to end: of the queries of clients the one that holds the most, then of the views, and where neither is known to hold
// much, whoever has been at work for a while.
func (b *Budget) choose(held int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var query, job *Account
	for a := range b.queries {
		switch {
		case a.refused.Load() != 0:
			if time.Since(a.chosen) < leaveTime {
				return // on its way out
			}
		case a.job:
			if job == nil || a.weight() > job.weight() {
				job = a
			}
		case query == nil || a.weight() > query.weight():
			query = a
		}
	}
	end := func(a *Account) {
		a.chosen = time.Now()
		a.refused.Store(held)
	}
	switch {
	case query != nil && query.weight() >= b.limit/16:
		end(query)
	case job != nil && job.weight() >= b.limit/8:
		end(job)
	default:
		for a := range b.queries {
			if !a.job && a.refused.Load() == 0 && time.Since(a.born) > oldQuery {
				end(a)
			}
		}
	}
}

// weight is what a query is known to hold.
func (a *Account) weight() int64 { return max(a.total.Load(), a.lent.Load()) }
