package engine

import (
	"path/filepath"
	"time"

	"streamsql/exec"
	"streamsql/internal/mem"
	"streamsql/internal/spill"
	"streamsql/internal/vec"
)

// queryMemory is what a query or job has of the engine's memory and of its disk.
type queryMemory struct {
	account *mem.Account
	space   *spill.Space
	closed  bool
}

// newMemory makes the memory of a query or job out of its account.
func (e *Engine) newMemory(account *mem.Account) queryMemory {
	return queryMemory{account: account, space: spill.NewSpace(e.spillDir)}
}

// gather opens an account of the rows that a statement gathers before it does something with all of them; free gives it back.
func (e *Engine) gather(statement string) (held *mem.Account, free func()) {
	q := e.budget.Query(statement)
	held = q.Operator(statement)
	return held, func() {
		held.Close()
		q.Close()
	}
}

// bind makes the operators of a query use its memory, and out count what it queues.
func (m *queryMemory) bind(xc *exec.Context, out *exec.Collector) {
	xc.Memory, xc.Spill = m.account, m.space
	xc.Alloc = vec.Metered(xc.Alloc, m.account)
	xc.Fn.Memory = m.account
	out.SetAccount(m.account.Operator("Result"))
}

// close gives everything back; the query's graph has been closed. It may be called again.
func (m *queryMemory) close() {
	if m.closed {
		return
	}
	m.closed = true
	m.account.Close()
	// The file has no name: an error of closing it loses nothing.
	_ = m.space.Close()
}

// explain tells of a query that has ended what its state took, for EXPLAIN ANALYZE; nothing where that was next to nothing.
func (m *queryMemory) explain() string {
	most, disk := m.account.Most(), m.account.MostOnDisk()
	if most < 1<<20 && disk == 0 {
		return ""
	}
	s := "Memory: " + mem.Format(most)
	if disk > 0 {
		s += "  Disk: " + mem.Format(disk)
	}
	return s + "\n"
}

// spilled reports whether some of the query's state is on disk.
func (m *queryMemory) spilled() bool { return m.account.OnDisk() > 0 }

// AskMemory gives an error (53200) where there is no room for n bytes that are to be allocated now, for what has no query yet: a message.
func (e *Engine) AskMemory(n int64) error { return e.statements.Ask(n) }

// MemoryUse is what an engine has of the machine, in bytes.
type MemoryUse struct {
	// Limit is Options.Memory, 0 for none; Used is what the state of queries and views takes.
	Limit, Used int64
	// OnDisk is the state that did not fit, MostOnDisk the most that it was.
	OnDisk, MostOnDisk int64
}

// Memory tells what the engine uses.
func (e *Engine) Memory() MemoryUse {
	b := e.budget
	return MemoryUse{Limit: b.Limit(), Used: b.Used(), OnDisk: b.OnDisk(), MostOnDisk: b.MostOnDisk()}
}

// spillStep bounds how long a step of a query with state on disk reads its sources.
const spillStep = 500 * time.Millisecond

// deadline gives until when a step that begins now should read from sources, if the last tick took as long as took.
// Where state is on disk a tick costs much whatever the number of its rows: it gets more of them.
func (m *queryMemory) deadline(took time.Duration) time.Time {
	d := stepBudget
	if m.spilled() {
		d = min(max(d, 4*took), spillStep)
	}
	return time.Now().Add(d)
}

// newBudget makes the engine's budget of its options.
func newBudget(o *Options) *mem.Budget {
	if o.SpillAt != 0 {
		return mem.Forced(max(o.SpillAt, 0))
	}
	return mem.NewBudget(max(o.Memory, 0))
}

// spillDirectory gives where files of state lie that does not fit the memory.
func spillDirectory(o *Options) string {
	if o.DataDir == "" {
		return ""
	}
	return filepath.Join(o.DataDir, "spill")
}
