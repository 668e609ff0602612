package exec

import (
	"slices"
	"sync"

	"streamsql/internal/vec"
	"streamsql/sql/planner"
	"streamsql/state"
)

// parallel runs an operator with keys as several, each of which has the rows of its share of the keys: an exchange
// by key in front and a merge behind. To the graph it is one operator: its calls return when
// all the copies have done their part, so whatever holds of one copy (order of rows and marks,
// snapshots at ticks) holds of all together. Results do not depend on the number of copies.
type parallel struct {
	node planner.Node
	n    int

	ctx    *Context
	out    Output
	copies []*parallelCopy
	mark   Mark
	sent   bool
	// closes sorts what ON WINDOW CLOSE sends; nil for other operators.
	closes *closeOrder

	guard sync.Mutex // of what the copies share: the handlers of the context, the counts of late rows
	views []vec.Vec
	share keyShare
}

// parallelCopy is one of the operators, its context, and what it has sent during the call under way.
type parallelCopy struct {
	p       *parallel
	op      Operator
	held    int // rows of rows
	ctx     Context
	stats   Stats
	rows    []*vec.Batch
	mark    Mark
	err     error
	panicky any
}

// Emit implements Output.
func (c *parallelCopy) Emit(b *vec.Batch) error {
	c.rows = append(c.rows, b.Retain())
	c.held += b.N
	if c.held < parallelHold || c.p.closes != nil {
		return nil
	}
	// So much is not gathered until the call is over: what follows takes it now, from one copy at a time.
	c.p.guard.Lock()
	defer c.p.guard.Unlock()
	defer c.release()
	for _, b := range c.rows {
		if err := c.p.out.Emit(b); err != nil {
			return err
		}
	}
	return nil
}

func (c *parallelCopy) release() {
	for _, b := range c.rows {
		b.Release()
	}
	c.rows, c.held = c.rows[:0], 0
}

// Watermark implements Output.
func (c *parallelCopy) Watermark(m Mark) error {
	c.mark = m
	return nil
}

// parallelHold is how many rows of a copy wait for the others at the most.
const parallelHold = 8 * vec.MaxRows

// parallelRows is how many rows a batch must have for its shares to be worth a goroutine each.
const parallelRows = 512

// shareKeys gives the columns of each input by whose values the work of n can be shared out: rows that
// have anything to do with each other agree in them. nil: it cannot be shared out.
func shareKeys(n planner.Node) [][]int {
	one := func(cols []int) [][]int {
		if len(cols) == 0 {
			return nil
		}
		return [][]int{cols}
	}
	switch n := n.(type) {
	case *planner.Aggregate:
		if n.SessionKeys != nil {
			var cols []int
			for _, k := range n.SessionKeys {
				cols = append(cols, n.Keys[k])
			}
			return one(cols)
		}
		// Rows that were made of one row, for its windows, stay together: whether it is late is decided of all of them.
		windows := windowColumns(n.Input)
		cols := slices.DeleteFunc(slices.Clone(n.Keys), func(c int) bool {
			return slices.Contains(windows, c) || n.CloseKey >= 0 && c == n.Keys[n.CloseKey]
		})
		return one(cols)
	case *planner.WindowTVF:
		return one(n.PartitionBy)
	case *planner.Join:
		if len(n.LeftKeys) == 0 || n.NullAware {
			return nil
		}
		return [][]int{n.LeftKeys, n.RightKeys}
	case *planner.AsOfJoin:
		if len(n.LeftKeys) == 0 {
			return nil
		}
		return [][]int{n.LeftKeys, n.RightKeys}
	case *planner.SetOp:
		all := make([]int, n.Left.Schema().Len())
		for i := range all {
			all[i] = i
		}
		if len(all) == 0 {
			return nil
		}
		return [][]int{all, all}
	case *planner.TopN:
		if n.Sorted || n.Close.OnClose { // it has an order, which copies would lose
			return nil
		}
		return one(n.Partition)
	case *planner.Over:
		if n.Close.OnClose {
			return nil
		}
		return one(n.Partition)
	}
	return nil
}

// windowColumns gives the columns of a node that are those of a window function.
func windowColumns(n planner.Node) (cols []int) {
	switch n := n.(type) {
	case *planner.WindowTVF:
		last := n.Schema().Len()
		return []int{last - 3, last - 2, last - 1}
	case *planner.Calc:
		in := windowColumns(n.Input)
		for i, e := range n.Exprs {
			if c, ok := e.(*planner.Column); ok && slices.Contains(in, c.Index) {
				cols = append(cols, i)
			}
		}
	case *planner.Watermark:
		return windowColumns(n.Input)
	}
	return cols
}

// newParallel makes n copies of the operator of a node, or one operator alone where it cannot be shared out. In a continuous query one copy is a
// parallel, too, which does nothing but hand on: a state is read whatever number of copies there are to be after a restart.
func newParallel(node planner.Node, n int, continuous bool) (Operator, error) {
	keys := shareKeys(node)
	if n <= 1 && !continuous || keys == nil {
		return newStateful(node)
	}
	p := &parallel{node: node, n: max(n, 1), mark: Mark{W: vec.MinTime}, share: newKeyShare(node, keys)}
	if a, ok := node.(*planner.Aggregate); ok && a.OnClose {
		p.closes = newCloseOrder(a)
	}
	return p, nil
}

func (p *parallel) Open(ctx *Context, out Output) error {
	p.ctx, p.out = ctx, out
	if p.closes != nil {
		p.closes.alloc = ctx.Alloc
	}
	return p.open(p.n)
}

func (p *parallel) open(n int) error {
	if n == 1 {
		op, err := newStateful(p.node)
		if err != nil {
			return err
		}
		p.copies = append(p.copies, &parallelCopy{p: p, op: op, mark: Mark{W: vec.MinTime}})
		return op.Open(p.ctx, p.out)
	}
	for range n {
		op, err := newStateful(p.node)
		if err != nil {
			return err
		}
		c := &parallelCopy{p: p, op: op, ctx: *p.ctx, mark: Mark{W: vec.MinTime}}
		c.ctx.shared = &p.guard
		c.ctx.Stats = &c.stats
		if f := p.ctx.Fn; f != nil {
			own := *f
			c.ctx.Fn = &own
		}
		if h := p.ctx.RowError; h != nil {
			c.ctx.RowError = func(err error, b *vec.Batch, row int) error {
				p.guard.Lock()
				defer p.guard.Unlock()
				return h(err, b, row)
			}
		}
		p.copies = append(p.copies, c)
		if err := op.Open(&c.ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// Push shares the rows out by the hash of their keys.
func (p *parallel) Push(input int, b *vec.Batch) error {
	if len(p.copies) == 1 {
		return p.copies[0].op.Push(input, b)
	}
	p.views = b.Views(p.views)
	sel := p.share.split(input, p.views, b.N, len(p.copies), 0)
	parts := make([]*vec.Batch, len(p.copies))
	defer func() {
		for _, x := range parts {
			if x != nil {
				x.Release()
			}
		}
	}()
	return p.each(b.N >= parallelRows, func(i int, c *parallelCopy) error {
		switch len(sel[i]) {
		case 0:
			return nil
		case b.N:
			return c.op.Push(input, b)
		}
		parts[i] = b.Select(p.ctx.Alloc, sel[i])
		return c.op.Push(input, parts[i])
	})
}

// each calls f for every copy, side by side if that is worth it, and then sends on what they have sent.
func (p *parallel) each(side bool, f func(i int, c *parallelCopy) error) error {
	if len(p.copies) == 1 { // which sends for itself
		return f(0, p.copies[0])
	}
	if side {
		var wg sync.WaitGroup
		for i, c := range p.copies[1:] {
			wg.Add(1)
			go func() {
				defer wg.Done()
				defer func() { c.panicky = recover() }()
				c.err = f(i+1, c)
			}()
		}
		first := p.copies[0]
		func() {
			defer func() { first.panicky = recover() }()
			first.err = f(0, first)
		}()
		wg.Wait()
		for _, c := range p.copies {
			if c.panicky != nil {
				panic(c.panicky)
			}
		}
	} else {
		for i, c := range p.copies {
			c.err = f(i, c)
		}
	}
	var err error
	for _, c := range p.copies {
		if c.err != nil && err == nil {
			err = c.err
		}
		if s := p.ctx.Stats; s != nil {
			s.add(&c.stats)
		}
		c.stats = Stats{}
	}
	if err == nil {
		err = p.send()
	}
	for _, c := range p.copies {
		c.release()
	}
	return err
}

// send passes on the rows of all copies, then the mark that holds of all.
func (p *parallel) send() error {
	if p.closes != nil {
		if err := p.closes.send(p.copies, p.out); err != nil {
			return err
		}
	} else {
		for _, c := range p.copies {
			for _, b := range c.rows {
				if err := p.out.Emit(b); err != nil {
					return err
				}
			}
		}
	}
	marks := make([]Mark, len(p.copies))
	for i, c := range p.copies {
		marks[i] = c.mark
	}
	m := Combine(p.mark.W, marks)
	if m == p.mark && p.sent || m.W == vec.MinTime && !m.Idle {
		return nil
	}
	p.mark, p.sent = m, true
	return p.out.Watermark(m)
}

func (p *parallel) Advance(input int, m Mark) error {
	return p.each(true, func(_ int, c *parallelCopy) error { return c.op.Advance(input, m) })
}

func (p *parallel) Tick(t Tick) error {
	return p.each(true, func(_ int, c *parallelCopy) error { return c.op.Tick(t) })
}

// sated implements sated for the one copy.
func (p *parallel) sated(port int) bool {
	if len(p.copies) != 1 {
		return false
	}
	x, ok := p.copies[0].op.(sated)
	return ok && x.sated(port)
}

// resume implements resumer.
func (p *parallel) resume() (more bool, err error) {
	left := make([]bool, len(p.copies))
	some := false
	for _, c := range p.copies {
		_, ok := c.op.(resumer)
		some = some || ok
	}
	if !some {
		return false, nil
	}
	err = p.each(true, func(i int, c *parallelCopy) (err error) {
		if r, ok := c.op.(resumer); ok {
			left[i], err = r.resume()
		}
		return err
	})
	return slices.Contains(left, true), err
}

func (p *parallel) Snapshot(w *state.Writer) error {
	w.Uint64(uint64(len(p.copies)))
	w.Int64(p.mark.W)
	subs := make([]state.Writer, len(p.copies))
	err := p.each(true, func(i int, c *parallelCopy) error { return c.op.Snapshot(&subs[i]) })
	for i, c := range p.copies {
		w.Int64(c.mark.W)
		w.Bool(c.mark.Idle)
		w.Frames(&subs[i])
	}
	return err
}

// Restore goes on with as many copies as there were, so that each finds its own keys.
func (p *parallel) Restore(r *state.Reader) error {
	n := r.Uint64()
	p.mark.W = r.Int64()
	if r.Err() != nil || n == 0 || n > uint64(r.Len()) {
		return errForeignState()
	}
	if int(n) != len(p.copies) {
		if err := p.close(); err != nil {
			return err
		}
		if err := p.open(int(n)); err != nil {
			return err
		}
	}
	for _, c := range p.copies {
		c.mark = Mark{W: r.Int64(), Idle: r.Bool()}
		sub := r.Frames()
		if err := c.op.Restore(sub); err != nil {
			return err
		}
		if !sub.End() {
			return foreignState(sub)
		}
	}
	return r.Err()
}

func (p *parallel) close() error {
	var first error
	for _, c := range p.copies {
		if err := c.op.Close(); err != nil && first == nil {
			first = err
		}
		c.release()
	}
	p.copies = nil
	return first
}

func (p *parallel) Close() error {
	releaseViews(p.views)
	if p.closes != nil {
		p.closes.release()
	}
	return p.close()
}
