package vec

import (
	"math"
	"math/bits"
	"sync"
	"sync/atomic"
	"unsafe"
)

// Pool is an Allocator that keeps freed buffers for reuse, by powers of two from
// 64 bytes to 4 MiB: taking a buffer back costs a few nanoseconds where Go's heap
// zeroes it and makes the collector look at it. It is safe for concurrent use.
type Pool struct {
	classes [17]poolClass
	held    atomic.Int64 // bytes lent out
	idle    atomic.Int64 // bytes kept for reuse
	keep    int64        // at the most
}

type poolClass struct {
	mu   sync.Mutex
	free []unsafe.Pointer
}

const (
	poolMinBits = 6
	poolMaxBits = 22
	// poolKeep bounds what a class keeps, in bytes, so that a burst does not stay forever.
	poolKeep = 64 << 20
)

// NewPool makes an empty pool.
func NewPool() *Pool { return NewPoolKeeping(math.MaxInt64) }

// NewPoolKeeping makes an empty pool that keeps at most so many bytes for reuse.
func NewPoolKeeping(bytes int64) *Pool { return &Pool{keep: bytes} }

func poolClassOf(size int) (class, capacity int) {
	b := max(bits.Len(uint(size-1)), poolMinBits)
	return b - poolMinBits, 1 << b
}

// Allocate gives a buffer of size bytes whose content is undefined.
func (p *Pool) Allocate(size int) []byte {
	if size <= 0 {
		return []byte{}
	}
	p.held.Add(int64(size))
	if size > 1<<poolMaxBits {
		return make([]byte, size)
	}
	class, capacity := poolClassOf(size)
	c := &p.classes[class]
	c.mu.Lock()
	if n := len(c.free); n > 0 {
		ptr := c.free[n-1]
		c.free = c.free[:n-1]
		c.mu.Unlock()
		p.idle.Add(-int64(capacity))
		return unsafe.Slice((*byte)(ptr), capacity)[:size]
	}
	c.mu.Unlock()
	return make([]byte, capacity)[:size]
}

// Reallocate gives a buffer of size bytes that begins with b's content, and takes b back.
func (p *Pool) Reallocate(size int, b []byte) []byte {
	if size <= cap(b) && cap(b) <= 1<<poolMaxBits {
		p.held.Add(int64(size - len(b)))
		return b[:size]
	}
	n := p.Allocate(size)
	copy(n, b)
	p.Free(b)
	return n
}

// Free takes a buffer back. It must have come from this pool, whole.
func (p *Pool) Free(b []byte) {
	if cap(b) == 0 {
		return
	}
	p.held.Add(-int64(len(b)))
	if cap(b) > 1<<poolMaxBits {
		return
	}
	class, capacity := poolClassOf(cap(b))
	if capacity != cap(b) {
		return // not ours
	}
	if p.idle.Load()+int64(capacity) > p.keep {
		return
	}
	c := &p.classes[class]
	c.mu.Lock()
	kept := len(c.free) < poolKeep>>(class+poolMinBits)
	if kept {
		c.free = append(c.free, unsafe.Pointer(unsafe.SliceData(b)))
	}
	c.mu.Unlock()
	if kept {
		p.idle.Add(int64(capacity))
	}
}

// Held gives the bytes lent out and not yet freed.
func (p *Pool) Held() int64 { return p.held.Load() }
