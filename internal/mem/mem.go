// Package mem keeps the one memory budget of an engine: what its queries hold, who is over
// its share, and what the machine allows.
package mem

import (
	"sync"
	"sync/atomic"
	"time"
)

// Budget is the memory that an engine may use. Operators report what they hold; those that can write their state to disk
// do so when all together hold more than the budget's share for state. The share is well below the limit, because
// a table that grows is there twice for a moment, and the garbage collector needs room to let garbage lie. A Budget is safe
// for concurrent use; a nil one has no limit.
type Budget struct {
	limit int64 // 0: none
	force int64 // with forced: state is written to disk from so many bytes on
	// forced makes every operator write its state out by force alone; nothing is ever refused. It is for tests.
	forced bool
	used   atomic.Int64
	leaves atomic.Int64 // accounts that hold something
	disk   atomic.Int64
	peak   atomic.Int64 // of disk

	heap *heap
	// tight says that the process holds so much that state should go to disk whatever the accounts say; again asks for a new
	// measurement at once: something has been given free.
	tight, again atomic.Bool

	mu      sync.Mutex
	queries map[*Account]struct{}
}

// NewBudget makes a budget of limit bytes; 0 is without limit.
func NewBudget(limit int64) *Budget {
	return &Budget{limit: limit, queries: map[*Account]struct{}{}, heap: newHeap(limit)}
}

// Forced makes a budget without limit under which operators write their state to disk as soon as they hold more than
// threshold bytes. Tests use it to meet every path with little data.
func Forced(threshold int64) *Budget {
	return &Budget{force: threshold, forced: true, queries: map[*Account]struct{}{}}
}

// Limit gives the limit in bytes, 0 for none.
func (b *Budget) Limit() int64 {
	if b == nil {
		return 0
	}
	return b.limit
}

// Used gives the bytes reported by all accounts.
func (b *Budget) Used() int64 {
	if b == nil {
		return 0
	}
	return b.used.Load()
}

// OnDisk gives the bytes of state that are on disk, MostOnDisk the most that were.
func (b *Budget) OnDisk() int64 { return b.disk.Load() }

// MostOnDisk gives the largest value that OnDisk has had.
func (b *Budget) MostOnDisk() int64 { return b.peak.Load() }

// share is how much state there may be before operators write it to disk, hard how much before queries are refused.
func (b *Budget) share() int64 { return b.limit / 10 * 3 }
func (b *Budget) hard() int64  { return b.limit / 10 * 7 }

// Pressure reports whether state is over its share.
func (b *Budget) Pressure() bool {
	if b == nil {
		return false
	}
	if b.forced {
		return b.used.Load() > b.force
	}
	return b.limit > 0 && b.used.Load() > b.share()
}

// Query opens the account of a query, named for messages. A nil budget has nil accounts, which count nothing.
func (b *Budget) Query(name string) *Account { return b.open(name, false) }

// Job opens the account of a query that goes on for itself: where memory runs out it is ended after those of clients.
func (b *Budget) Job(name string) *Account { return b.open(name, true) }

// Shared gives an account for what belongs to no query, which only asks for room.
func (b *Budget) Shared() *Account {
	if b == nil {
		return nil
	}
	a := &Account{budget: b, shared: true, name: "statement"}
	a.root = a
	return a
}

func (b *Budget) open(name string, job bool) *Account {
	if b == nil {
		return nil
	}
	a := &Account{budget: b, name: name, job: job, born: time.Now()}
	a.root = a
	b.mu.Lock()
	defer b.mu.Unlock()
	b.queries[a] = struct{}{}
	return a
}

// Account is what a query, or an operator of one, holds. Set, Add and Close of one account are for one goroutine;
// the other methods for any. A nil Account has no limit and counts nothing.
type Account struct {
	budget *Budget
	parent *Account
	root   *Account // of the query
	name   string
	own    int64
	total  atomic.Int64 // with the accounts below
	disk   atomic.Int64
	most   atomic.Int64
	// mostDisk is the largest value of disk.
	mostDisk atomic.Int64

	// Of a query.
	job, shared bool
	born        time.Time
	lent        atomic.Int64 // by its allocator
	refused     atomic.Int64 // it is to end: what the process held when that was decided
	chosen      time.Time    // when, under Budget.mu
	in          atomic.Pointer[string]
	stopped     atomic.Pointer[error]
	opsMu       sync.Mutex
	ops         map[*Account]struct{} // the accounts below
}

// Operator opens an account below a, for an operator.
func (a *Account) Operator(name string) *Account {
	if a == nil {
		return nil
	}
	op := &Account{budget: a.budget, parent: a, root: a.root, name: name}
	a.root.opsMu.Lock()
	defer a.root.opsMu.Unlock()
	if a.root.ops == nil {
		a.root.ops = map[*Account]struct{}{}
	}
	a.root.ops[op] = struct{}{}
	return op
}

// Forced reports whether the budget is one of Forced.
func (a *Account) Forced() bool { return a != nil && a.budget.forced }

// Name gives what the account was opened for.
func (a *Account) Name() string { return a.name }

// Set says how many bytes the account itself holds, without those below it.
func (a *Account) Set(n int64) {
	if a == nil || n == a.own {
		return
	}
	a.Add(n - a.own)
}

// Add says that the account holds d bytes more (or less).
func (a *Account) Add(d int64) {
	if a == nil || d == 0 {
		return
	}
	was := a.own
	a.own += d
	switch {
	case was == 0:
		a.budget.leaves.Add(1)
	case a.own == 0:
		a.budget.leaves.Add(-1)
	}
	a.budget.used.Add(d)
	for x := a; x != nil; x = x.parent {
		n := x.total.Add(d)
		if x.parent == nil && n > x.most.Load() {
			x.most.Store(n)
		}
	}
}

// Disk says that the account has d bytes more (or less) on disk.
func (a *Account) Disk(d int64) {
	if a == nil || d == 0 {
		return
	}
	if n := a.budget.disk.Add(d); n > a.budget.peak.Load() {
		a.budget.peak.Store(n)
	}
	for x := a; x != nil; x = x.parent {
		if n := x.disk.Add(d); x.parent == nil && n > x.mostDisk.Load() {
			x.mostDisk.Store(n)
		}
	}
}

// Used gives the bytes held, with those of the accounts below; Most the largest value of it (of a query's account);
// OnDisk what was written to disk instead and is still there.
func (a *Account) Used() int64 {
	if a == nil {
		return 0
	}
	return a.total.Load()
}

// Most gives the largest value that Used of a query's account has had.
func (a *Account) Most() int64 {
	if a == nil {
		return 0
	}
	return a.most.Load()
}

// OnDisk gives the bytes that are on disk.
func (a *Account) OnDisk() int64 {
	if a == nil {
		return 0
	}
	return a.disk.Load()
}

// MostOnDisk gives the largest value that OnDisk of a query's account has had.
func (a *Account) MostOnDisk() int64 {
	if a == nil {
		return 0
	}
	return a.mostDisk.Load()
}

// Over reports whether the operator should write state to disk: all together are over the share, and it is not one of the small ones.
func (a *Account) Over() bool {
	if a == nil {
		return false
	}
	b := a.budget
	if b.forced {
		return a.own > b.force
	}
	if b.limit <= 0 {
		return false
	}
	used := b.used.Load()
	if b.tight.Load() && a.own >= b.share()/16 && 2*a.own*b.leaves.Load() >= used {
		return true
	}
	return used > b.share() && a.own >= b.share()/128 && 2*a.own*b.leaves.Load() >= used
}

// Room gives how many bytes the operator may hold before Over is likely to hold, at least a small amount.
func (a *Account) Room() int64 {
	if a == nil || !a.budget.forced && a.budget.limit <= 0 {
		return 1 << 62
	}
	b := a.budget
	if b.forced {
		return b.force
	}
	return max(b.share()-(b.used.Load()-a.own), b.share()/16)
}

// Check refuses a query that cannot get the memory it needs: the error is 53200. Of several queries the larger ones are refused
// first; near the limit whoever asks is.
func (a *Account) Check() error {
	if a == nil || a.budget.limit <= 0 || a.budget.forced {
		return nil
	}
	if err := a.Exhausted(); err != nil {
		return err
	}
	b := a.budget
	used := b.used.Load()
	if used <= b.hard() {
		return nil
	}
	q := a.root
	if used <= b.limit/100*85 {
		b.mu.Lock()
		n := int64(0)
		for x := range b.queries {
			if x.total.Load() > 0 {
				n++
			}
		}
		b.mu.Unlock()
		if q.total.Load()*n < used {
			return nil
		}
	}
	most := a.largest()
	return outOfMemory("%s holds %s that cannot be moved to disk, the query %s, all queries %s; the limit is %s.",
		most.who(), Format(most.total.Load()), Format(q.total.Load()), Format(used), Format(b.limit))
}

// largest gives the account that holds the most of those of a's query: it is to blame, whoever notices.
func (a *Account) largest() *Account {
	a.root.opsMu.Lock()
	defer a.root.opsMu.Unlock()
	for op := range a.root.ops {
		if op.total.Load() > a.total.Load() {
			a = op
		}
	}
	return a
}

// Close gives everything back. Accounts below must have been closed.
func (a *Account) Close() {
	if a == nil {
		return
	}
	a.Set(0)
	if a.parent != nil {
		a.root.opsMu.Lock()
		delete(a.root.ops, a)
		a.root.opsMu.Unlock()
	} else {
		a.budget.mu.Lock()
		delete(a.budget.queries, a)
		a.budget.mu.Unlock()
		if a.refused.Load() != 0 || a.most.Load() > a.budget.limit/16 {
			a.budget.again.Store(true) // whoever comes next is not to pay for it
		}
	}
}
