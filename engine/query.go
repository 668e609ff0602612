package engine

import (
	"context"
	"errors"
	"strconv"
	"time"

	"streamsql/exec"
	"streamsql/internal/fn"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
)

// canceled gives the error of a context that is done.
func canceled(ctx context.Context) error {
	if cause := context.Cause(ctx); cause != nil {
		var e *pgerr.Error
		if errors.As(cause, &e) {
			return e
		}
		if errors.Is(cause, context.DeadlineExceeded) {
			return pgerr.New(pgerr.QueryCanceled, "canceling statement due to statement timeout")
		}
	}
	return pgerr.New(pgerr.QueryCanceled, "canceling statement due to user request")
}

// rowsPortal is what portals that return rows share: a queue of batches of which
// the first may have been handed out in part.
type rowsPortal struct {
	queue []*vec.Batch
	at    int // rows of queue[0] already given
	alloc vec.Allocator
}

// pop gives at most max rows (0: a whole batch), nil if there are none.
func (p *rowsPortal) pop(max int) *vec.Batch {
	for len(p.queue) > 0 {
		b := p.queue[0]
		left := b.N - p.at
		if left <= 0 {
			p.queue, p.at = p.queue[1:], 0
			b.Release()
			continue
		}
		if max == 0 || left <= max {
			out := b
			if p.at > 0 {
				out = b.Slice(p.alloc, p.at, b.N)
				b.Release()
			}
			p.queue, p.at = p.queue[1:], 0
			return out
		}
		out := b.Slice(p.alloc, p.at, p.at+max)
		p.at += max
		return out
	}
	return nil
}

func (p *rowsPortal) drop() {
	for _, b := range p.queue {
		b.Release()
	}
	p.queue, p.at = nil, 0
}

// resumable is the key of a context that says that the query goes on after it is done (FETCH with a timeout).
type resumable struct{}

// queryPortal runs a planned query: the graph is stepped by whoever fetches, so
// a client that does not read costs nothing and holds nobody back.
type queryPortal struct {
	rowsPortal
	e       *Engine
	s       *Session
	q       *planner.Query
	columns []Column
	fc      *fn.Ctx
	args    []types.Datum // of the statement's parameters
	tag     string
	graph   *exec.Graph
	out     *exec.Collector
	feeds   []*feed
	sub     *subscription
	stage   stage
	current int // feed being read, of a snapshot
	epoch   uint64
	now     vec.Time
	upTo    *vec.Time // of SUBSCRIBE: changes from then on are not sent
	err     error
	stats   exec.Stats
	put     *aside
	told    time.Time // see tell
	late    *lateRows
	memory  queryMemory
	took    time.Duration // of the last tick
}

type stage uint8

const (
	notStarted stage = iota
	reading          // stored rows, and all of a snapshot
	following        // changes
	finished
)

func (s *Session) newQueryPortal(q *planner.Query, root planner.Node, columns []Column, fc *fn.Ctx) *queryPortal {
	p := &queryPortal{e: s.e, s: s, q: q, columns: columns, fc: fc, tag: "SELECT", out: exec.NewCollector()}
	p.alloc = s.e.alloc
	bound := *q
	bound.Root = root
	p.q = &bound
	return p
}

func (p *queryPortal) Columns() []Column     { return p.columns }
func (p *queryPortal) CopyOut() *CopyFormat  { return nil }
func (p *queryPortal) CopyIn() *CopyIn       { return nil }
func (p *queryPortal) Continuous() bool      { return p.q.Continuous }
func (p *queryPortal) Tag(rows int64) string { return p.tag + " " + strconv.FormatInt(rows, 10) }

// Progress implements Progress.
func (p *queryPortal) Progress() (read, kept int64) {
	if p.graph != nil {
		kept = p.graph.StateRows()
	}
	return p.stats.Rows, kept
}

// start opens the graph and its inputs at the present.
func (p *queryPortal) start(ctx context.Context) error {
	p.stage = reading
	xc := &exec.Context{Alloc: p.e.alloc, Fn: p.fc, Continuous: p.q.Continuous, Stats: &p.stats, Parallel: p.e.parallel}
	single(xc, p.q)
	p.memory = p.e.newMemory(p.e.budget.Query("query"))
	p.memory.bind(xc, p.out)
	xc.Stepped = true
	var err error
	p.put = newAside(p.e, p.s.ownerName())
	if p.q.Continuous {
		if p.late, err = p.e.newLateRows(p.q.Root, nil, p.s.searchPath(p.e.Catalog()), p.put); err != nil {
			return err
		}
		xc.Late = p.late.late
	}
	if p.graph, err = exec.Build(xc, p.q.Root, p.out); err != nil {
		return err
	}
	oids := scannedOIDs(p.graph)
	snaps, epoch := p.s.readSnapshots(oids)
	asOf, err := p.timeOf(p.q.AsOf, "AS OF")
	if err != nil {
		return err
	}
	if p.upTo, err = p.timeOf(p.q.UpTo, "UP TO"); err != nil {
		return err
	}
	switch {
	case asOf != nil && p.upTo != nil && *p.upTo <= *asOf:
		return pgerr.New(pgerr.InvalidParameterValue, "UP TO must be later than AS OF").At(p.q.UpTo.Pos)
	case asOf != nil:
		if p.sub, err = p.e.subscribeAt(oids, *asOf, p.tells(), p.q.AsOf.Pos); err != nil {
			return err
		}
	case p.q.Continuous && len(oids) > 0:
		p.sub = p.e.subscribe(oids, p.tells())
	}
	if p.sub != nil {
		xc.Promise = p.sub.promise
		if p.sub.remembered {
			p.e.persist.request() // the first progress row is not to be long in coming
		}
		snaps, epoch, p.now = p.sub.snaps, p.sub.epoch, p.sub.now
		// The content that it would begin with is of a time that it is not to reach: whoever goes on from UP TO would get
		// what changed in between twice.
		if asOf == nil && p.upTo != nil && *p.upTo <= p.now {
			return pgerr.New(pgerr.InvalidParameterValue, "UP TO lies in the past").
				WithHint("A subscription without AS OF begins now, at %s: it can end later only.", timestamp(p.now)).At(p.q.UpTo.Pos)
		}
	}
	p.epoch = epoch
	p.feeds, err = p.e.newFeeds(ctx, p.graph, snaps, p.s.viewer(), p.fc.Env, p.q.Continuous, p.e.alloc, p.put, nil)
	return err
}

// tells reports whether the query says how far it is.
func (p *queryPortal) tells() bool {
	n, ok := p.q.Root.(*planner.Emit)
	return ok && n.Spec.Progress
}

// timeOf evaluates a bound of SUBSCRIBE; nil if it was not given.
func (p *queryPortal) timeOf(b *planner.TimeBound, what string) (*vec.Time, error) {
	if b == nil {
		return nil, nil
	}
	d, err := exec.EvalConst(p.fc, planner.BindExpr(b.Expr, p.args))
	if err != nil {
		return nil, pgerr.AtPos(err, b.Pos)
	}
	if d == nil {
		return nil, pgerr.New(pgerr.NullValueNotAllowed, "%s must not be null", what).At(b.Pos)
	}
	t := d.(int64)
	if t == types.PosInfinity || t == types.NegInfinity {
		return nil, pgerr.New(pgerr.InvalidParameterValue, "%s must be a finite time", what).At(b.Pos)
	}
	return &t, nil
}

// Fetch implements Portal.
func (p *queryPortal) Fetch(ctx context.Context, max int) (b *vec.Batch, done bool, err error) {
	if p.err != nil {
		return nil, true, p.err
	}
	defer func() {
		if err != nil && (pgerr.Code(err) != pgerr.QueryCanceled || p.memory.account.Exhausted() != nil) {
			p.err = err
			p.free()
		}
	}()
	defer recovered(p.e, "query", &err)
	if !p.q.Continuous {
		p.fc.Done = ctx.Done() // pg_sleep ends with the statement
	}
	if p.stage == notStarted {
		if err := p.start(ctx); err != nil {
			p.stage = finished
			return nil, true, err
		}
	}
	if !p.q.Continuous && ctx.Value(resumable{}) == nil {
		// A step may take very long: it ends when the statement is canceled, and the query with it.
		defer context.AfterFunc(ctx, func() { p.memory.account.Stop(canceled(ctx)) })()
	}
	for {
		if b := p.pop(max); b != nil {
			return b, p.stage == finished && len(p.queue) == 0, nil
		}
		if p.stage == finished {
			return nil, true, nil
		}
		if ctx.Err() != nil {
			return nil, false, canceled(ctx)
		}
		err := p.step(ctx)
		if p.put != nil {
			if perr := p.put.commit(); err == nil {
				err = perr
			}
		}
		p.tell(false)
		if err != nil {
			if errors.Is(err, exec.ErrFinished) {
				p.queue = append(p.queue, takeAll(p.out)...)
				p.finish()
				continue
			}
			if ctx.Err() != nil {
				err = canceled(ctx)
			}
			return nil, false, err
		}
		p.queue = append(p.queue, takeAll(p.out)...)
	}
}

func (p *queryPortal) step(ctx context.Context) error {
	switch {
	case p.stage == following:
		return p.follow(ctx)
	case p.q.Continuous:
		return p.readStored()
	default:
		return p.readNext(ctx)
	}
}

// readNext pushes the next piece of a snapshot: the inputs one after the other, each to its end.
func (p *queryPortal) readNext(ctx context.Context) error {
	if more, err := p.graph.Resume(); more || err != nil {
		return err
	}
	if more, err := p.graph.Produce(p.current); more || err != nil {
		return err
	}
	// An operator without input that has just ended may have left something to resume.
	if more, err := p.graph.Resume(); more || err != nil {
		return err
	}
	if p.current < len(p.feeds) {
		f := p.feeds[p.current]
		switch enough := p.graph.Sated(p.current); {
		case f.src != nil && !f.ended && !enough:
			polled, err := f.poll(ctx, f.e.batchRows)
			if err == nil && polled.Wait > 0 {
				err = sleep(ctx, time.Duration(polled.Wait)*time.Microsecond)
			}
			return err
		case f.rows != nil && !enough:
			_, err := f.pushStored()
			return err
		case !f.ended:
			f.rows = nil
			if err := f.end(); err != nil {
				return err
			}
		}
		p.current++
		return nil
	}
	p.epoch++
	if err := p.graph.Tick(exec.Tick{Epoch: p.epoch, Now: p.e.clock()}); err != nil {
		return err
	}
	p.queue = append(p.queue, takeAll(p.out)...)
	p.finish()
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return canceled(ctx)
	case <-t.C:
		return nil
	}
}

// readStored pushes the content that a continuous query starts from, as one tick.
func (p *queryPortal) readStored() error {
	for _, f := range p.feeds {
		f.load(true)
		for more := f.rows != nil; more; {
			var err error
			if more, err = f.pushStored(); err != nil {
				return err
			}
		}
		f.load(false)
	}
	if p.sub == nil {
		p.stage = following
	}
	return p.settle()
}

// settle ends inputs that have nothing more, ticks, and finishes the query when all inputs have ended.
func (p *queryPortal) settle() error {
	all, err := endIdle(p.feeds)
	if err != nil {
		return err
	}
	if moved, err := p.moveOn(); err != nil || !moved {
		return err
	}
	began := time.Now()
	if err := p.graph.Tick(exec.Tick{Epoch: p.epoch, Now: p.now}); err != nil {
		return err
	}
	p.took = time.Since(began)
	if all {
		p.queue = append(p.queue, takeAll(p.out)...)
		p.finish()
	}
	return nil
}

// moveOn sets the time of a tick that no epoch brings. It reports false if there is to be none: changes of relations
// wait, and come first, or the query has ended.
func (p *queryPortal) moveOn() (bool, error) {
	if p.sub == nil {
		p.now = max(p.e.clock(), p.now+1)
		if p.upTo != nil && p.now >= *p.upTo {
			return false, p.end()
		}
		return true, nil
	}
	if p.stage == reading { // the content that the query starts from has the time of its snapshot
		p.stage = following
		return true, nil
	}
	now, ok := p.sub.tick()
	switch {
	case !ok:
		return false, nil
	case p.upTo != nil && now >= *p.upTo:
		return false, p.end()
	}
	p.now = now
	return true, nil
}

// end finishes a subscription at its UP TO: a last tick says that everything before it has been sent.
func (p *queryPortal) end() error {
	if p.sub != nil && p.sub.remembered {
		if err := p.e.persist.wait(); err != nil {
			return err
		}
	}
	if err := p.graph.Tick(exec.Tick{Epoch: p.epoch, Now: *p.upTo, Last: true}); err != nil {
		return err
	}
	p.queue = append(p.queue, takeAll(p.out)...)
	p.finish()
	return nil
}

// follow takes the next epoch's changes or what connectors have, and waits if there is nothing.
func (p *queryPortal) follow(ctx context.Context) error {
	if p.sub != nil {
		ec, err := p.sub.next()
		if err != nil {
			return err
		}
		if ec != nil {
			defer ec.release()
			if p.upTo != nil && ec.now >= *p.upTo {
				return p.end()
			}
			for _, f := range p.feeds {
				if f.changes {
					if err := f.pushChanges(ec.deltas[f.scan.Rel.OID]); err != nil {
						return err
					}
				}
			}
			p.epoch, p.now = ec.epoch, max(ec.now, p.now+1)
			return p.graph.Tick(exec.Tick{Epoch: p.epoch, Now: p.now})
		}
	}
	pushed, more, wait, err := pollAll(ctx, p.feeds, p.memory.deadline(p.took), p.out)
	if err != nil {
		return err
	}
	if pushed {
		if err := p.settle(); err != nil {
			return err
		}
	}
	if more || p.stage == finished || p.out.Rows() > 0 {
		return nil
	}
	next := p.graph.NextTimer()
	if p.upTo != nil {
		next = min(next, *p.upTo)
	}
	if next != vec.MaxTime {
		due := time.Duration(max(next-p.e.clock(), 0)) * time.Microsecond
		if due == 0 && !pushed {
			return p.settle()
		}
		if wait == 0 || due < wait {
			wait = max(due, 100*time.Microsecond)
		}
	}
	p.tell(true)
	var timer <-chan time.Time
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		timer = t.C
	}
	var notify chan struct{}
	if p.sub != nil {
		notify = p.sub.notify
	}
	select {
	case <-ctx.Done():
		return canceled(ctx)
	case <-notify:
	case <-timer:
	}
	return nil
}

// finish frees the graph; rows in the queue remain.
func (p *queryPortal) finish() {
	p.stage = finished
	p.freeGraph()
}

func (p *queryPortal) freeGraph() {
	if p.sub != nil {
		p.e.unsubscribe(p.sub)
		p.sub = nil
	}
	p.e.queries.remove(p)
	closeFeeds(p.feeds)
	p.feeds = nil
	p.late.close()
	if p.graph != nil {
		p.graph.Close()
		p.graph = nil
	}
	p.out.Close()
	p.memory.close()
}

func (p *queryPortal) free() {
	p.freeGraph()
	if p.put != nil {
		p.put.close()
		p.put = nil
	}
	p.drop()
	p.stage = finished
}

// Close implements Portal.
func (p *queryPortal) Close() { p.free() }

// valuesPortal gives rows that are known already (SHOW, EXPLAIN, RETURNING).
type valuesPortal struct {
	rowsPortal
	columns []Column
	tag     func(rows int64) string
	// run produces the rows at the first Fetch.
	run  func(ctx context.Context) ([]*vec.Batch, error)
	done bool
}

func (p *valuesPortal) Columns() []Column    { return p.columns }
func (p *valuesPortal) CopyOut() *CopyFormat { return nil }
func (p *valuesPortal) CopyIn() *CopyIn      { return nil }
func (p *valuesPortal) Continuous() bool     { return false }
func (p *valuesPortal) Close()               { p.drop() }
func (p *valuesPortal) Tag(rows int64) string {
	return p.tag(rows)
}

// Fetch implements Portal.
func (p *valuesPortal) Fetch(ctx context.Context, max int) (*vec.Batch, bool, error) {
	if !p.done {
		p.done = true
		bs, err := p.run(ctx)
		if err != nil {
			return nil, true, err
		}
		p.queue = bs
	}
	b := p.pop(max)
	return b, len(p.queue) == 0, nil
}

// textRows makes a batch of text columns.
func textRows(names []string, rows [][]string) *vec.Batch {
	s := &vec.Schema{}
	for _, n := range names {
		s.Fields = append(s.Fields, vec.Field{Name: n, Type: types.Text})
	}
	b := vec.NewBuilder(nil, s)
	for _, r := range rows {
		for i, v := range r {
			b.Cols[i].AppendStr(v)
		}
	}
	return b.Finish()
}

func textColumns(names ...string) []Column {
	out := make([]Column, len(names))
	for i, n := range names {
		out[i] = Column{Name: n, Type: types.Text}
	}
	return out
}
