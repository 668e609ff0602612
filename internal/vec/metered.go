package vec

import "streamsql/internal/mem"

// metered is the allocator of a query: what it lends is counted for the query, and a large block is asked for before it is made.
type metered struct {
	under Allocator
	acct  *mem.Account
}

// Metered makes an allocator that takes memory from a (nil: Go's heap) for a query. Where there is no room for a block Allocate panics with a
// *mem.Refusal. a itself is given back where acct is nil.
func Metered(a Allocator, acct *mem.Account) Allocator {
	if acct == nil {
		return a
	}
	if a == nil {
		a = heap
	}
	return &metered{a, acct}
}

// Allocate implements Allocator.
func (m *metered) Allocate(size int) []byte {
	m.acct.Need(int64(size))
	m.acct.Lend(int64(size))
	return m.under.Allocate(size)
}

// Reallocate implements Allocator.
func (m *metered) Reallocate(size int, b []byte) []byte {
	if size > cap(b) {
		m.acct.Need(int64(size))
	}
	m.acct.Lend(int64(size - len(b)))
	return m.under.Reallocate(size, b)
}

// Free implements Allocator.
func (m *metered) Free(b []byte) {
	m.acct.Lend(-int64(len(b)))
	m.under.Free(b)
}
