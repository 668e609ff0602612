package exec

import (
	"streamsql/internal/mem"
	"streamsql/internal/vec"
)

// Collector is an Output that queues batches until they are taken.
type Collector struct {
	queue []*vec.Batch
	rows  int
	mark  Mark
	acct  *mem.Account
	// full is called when there are more rows than atMost.
	full   func() error
	atMost int
}

// NewCollector makes an empty collector.
func NewCollector() *Collector { return &Collector{mark: Mark{W: vec.MinTime}} }

// SetAccount makes the collector count what it holds. A query whose result outgrows the budget within one step ends with an error.
func (c *Collector) SetAccount(a *mem.Account) { c.acct = a }

// OnFull makes the collector call f, which takes what there is, whenever it holds more than rows rows: for whoever can use rows
// before the step that makes them is over. f nil ends it.
func (c *Collector) OnFull(rows int, f func() error) { c.atMost, c.full = rows, f }

// Emit implements Output.
func (c *Collector) Emit(b *vec.Batch) error {
	if b.N == 0 {
		return nil
	}
	c.add(b)
	if c.full != nil && c.rows > c.atMost {
		return c.full()
	}
	return c.acct.Check()
}

func (c *Collector) add(b *vec.Batch) {
	c.rows += b.N
	if c.acct != nil {
		c.acct.Add(b.Bytes())
	}
	if b.From == nil {
		c.queue = append(c.queue, b.Retain())
		return
	}
	// Where the rows came from is nothing to those who read the result, who may keep it for long.
	out := vec.NewBatch(b.Schema, b.Cols, b.Ops, b.N)
	out.W = b.W
	for _, a := range out.Cols {
		a.Retain()
	}
	c.queue = append(c.queue, out)
}

// Watermark implements Output.
func (c *Collector) Watermark(m Mark) error {
	c.mark = m
	return nil
}

// Rows gives the number of rows in the queue.
func (c *Collector) Rows() int { return c.rows }

// Mark gives the last watermark.
func (c *Collector) Mark() Mark { return c.mark }

// Next takes the first batch of the queue, which the caller releases; nil if there is none.
func (c *Collector) Next() *vec.Batch {
	if len(c.queue) == 0 {
		return nil
	}
	b := c.queue[0]
	c.queue[0] = nil
	c.queue = c.queue[1:]
	c.rows -= b.N
	if c.acct != nil {
		c.acct.Add(-b.Bytes())
	}
	return b
}

// Close releases what was not taken.
func (c *Collector) Close() {
	for b := c.Next(); b != nil; b = c.Next() {
		b.Release()
	}
	c.acct.Close()
}
