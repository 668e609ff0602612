package exec

import (
	"context"
	"errors"
	"time"

	"streamsql/internal/vec"
	"streamsql/state"
)

// State says what a Poll or a Step leaves to be done.
type State uint8

// The states.
const (
	More State = iota // there may be more at once
	Idle              // nothing now
	End               // nothing ever again
)

// Status is a State; Wait, with Idle, is how long nothing will come for sure, 0 unknown.
type Status struct {
	State State
	Wait  time.Duration
}

// Feed gives the rows of one input of a graph.
type Feed interface {
	// Poll gives at most max rows of one partition; b is nil if there are none. The caller
	// releases b. Poll does not wait for rows. After End it is not called again.
	Poll(ctx context.Context, max int) (b *vec.Batch, partition int, st Status, err error)
	// Partitions gives the number of partitions known now, at least 1.
	Partitions() int
	// Stored reports whether rows are still to come that the query starts from: the
	// first tick waits for them.
	Stored() bool
}

// Policy decides what the runner is free to decide. The zero value is round robin,
// full batches, and steps of a few milliseconds; a seeded test sets what it wants to vary.
type Policy struct {
	// Pick chooses among the n feeds that may have rows.
	Pick func(n int) int
	// Rows gives how many rows to ask the next Poll for.
	Rows func() int
	// Tick decides whether to end a step after a poll.
	Tick func() bool
	// Restart decides, after a tick, whether to write the state, build the graph anew with Rebuild and go on from there.
	Restart func() bool
	Rebuild func() (*Graph, error)
	// Now gives processing time.
	Now func() vec.Time
}

// stepTime and stepPolls bound a step of a continuous query.
const (
	stepTime  = 4 * time.Millisecond
	stepPolls = 64
)

// Runner feeds a graph. It has no goroutine: Step does a bounded amount of work.
type Runner struct {
	g      *Graph
	feeds  []Feed
	policy Policy
	parts  []int
	ended  []bool
	turn   int
	epoch  uint64
	began  bool // the first tick is over
	done   bool
	now    vec.Time
}

// NewRunner makes a runner that feeds input i of g from feeds[i]. The runner owns neither.
func NewRunner(g *Graph, feeds []Feed, policy Policy) *Runner {
	return &Runner{g: g, feeds: feeds, policy: policy, parts: make([]int, len(feeds)), ended: make([]bool, len(feeds))}
}

// Graph gives the graph that is being fed: another one after a restart.
func (r *Runner) Graph() *Graph { return r.g }

// Step feeds the graph for a while and, if the query is continuous, ends with a tick.
// A snapshot reads one input to its end before the next and ticks once, at the end.
func (r *Runner) Step(ctx context.Context) (Status, error) {
	if r.done {
		return Status{State: End}, nil
	}
	st, err := r.step(ctx)
	if errors.Is(err, ErrFinished) {
		st, err = Status{State: End}, nil
	}
	r.done = err != nil || st.State == End
	return st, err
}

func (r *Runner) step(ctx context.Context) (Status, error) {
	if !r.g.ctx.Continuous {
		return r.snapshotStep(ctx)
	}
	start := time.Now()
	wait, idle := time.Duration(0), 0
	if !r.began {
		for i, f := range r.feeds {
			if f.Stored() {
				r.g.Load(i, true)
			}
		}
	}
	// The first tick comes when the stored rows are in, before any change.
	for polls := 1; r.began || r.storedLeft(); polls++ {
		if err := ctx.Err(); err != nil {
			return Status{}, err
		}
		ready := r.ready()
		if len(ready) == 0 {
			break
		}
		st, err := r.poll(ctx, r.choose(ready))
		if err != nil {
			return st, err
		}
		if st.State == Idle {
			idle++
			if st.Wait <= 0 {
				st.Wait = time.Millisecond
			}
			if wait == 0 || st.Wait < wait {
				wait = st.Wait
			}
		} else {
			idle = 0
		}
		if r.policy.Tick != nil {
			if r.began && r.policy.Tick() {
				break
			}
		} else if r.began && (idle >= len(ready) || polls >= stepPolls || time.Since(start) >= stepTime) {
			break
		}
	}
	if !r.began {
		for i := range r.feeds {
			r.g.Load(i, false)
		}
	}
	if err := r.tick(); err != nil {
		return Status{}, err
	}
	switch left := len(r.ready()); {
	case left == 0:
		return Status{State: End}, nil
	case idle < left:
		return Status{State: More}, nil
	}
	if next := r.g.NextTimer(); next != vec.MaxTime {
		wait = min(wait, time.Duration(max(next-r.now, 0))*time.Microsecond)
	}
	return Status{State: Idle, Wait: wait}, nil
}

// choose gives the next feed to poll, in turn unless the policy says otherwise.
func (r *Runner) choose(ready []int) int {
	if r.policy.Pick != nil {
		return ready[r.policy.Pick(len(ready))]
	}
	for _, i := range ready {
		if i >= r.turn {
			r.turn = i + 1
			return i
		}
	}
	r.turn = ready[0] + 1
	return ready[0]
}

// snapshotStep polls the first feed that has not ended.
func (r *Runner) snapshotStep(ctx context.Context) (Status, error) {
	ready := r.ready()
	if err := ctx.Err(); err != nil {
		return Status{}, err
	}
	next := len(r.feeds)
	if len(ready) > 0 {
		next = ready[0]
	}
	if more, err := r.g.Resume(); more || err != nil {
		return Status{State: More}, err
	}
	if more, err := r.g.Produce(next); more || err != nil {
		return Status{State: More}, err
	}
	if more, err := r.g.Resume(); more || err != nil { // what an operator without input ended with
		return Status{State: More}, err
	}
	if len(ready) == 0 {
		return Status{State: End}, r.tick()
	}
	return r.poll(ctx, ready[0])
}

// ready lists the feeds that may have rows; before the first tick those with stored rows come alone.
func (r *Runner) ready() []int {
	var out, stored []int
	for i := range r.feeds {
		if r.ended[i] {
			continue
		}
		out = append(out, i)
		if r.feeds[i].Stored() {
			stored = append(stored, i)
		}
	}
	if !r.began && len(stored) > 0 && r.g.ctx.Continuous {
		return stored
	}
	return out
}

func (r *Runner) storedLeft() bool {
	if r.began {
		return false
	}
	for i, f := range r.feeds {
		if !r.ended[i] && f.Stored() {
			return true
		}
	}
	return false
}

// poll moves rows of feed i into the graph. The status is never End: that is told to the graph.
func (r *Runner) poll(ctx context.Context, i int) (Status, error) {
	rows := vec.MaxRows
	if r.policy.Rows != nil {
		rows = r.policy.Rows()
	}
	b, part, st, err := r.feeds[i].Poll(ctx, rows)
	if n := r.feeds[i].Partitions(); n != r.parts[i] {
		r.parts[i] = n
		r.g.SetPartitions(i, n)
	}
	if err == nil && b != nil {
		err = r.g.Push(i, part, b)
	}
	if b != nil {
		b.Release()
	}
	if err != nil {
		return Status{}, err
	}
	if st.State == End {
		r.ended[i] = true
		for p := range r.parts[i] {
			if err := r.g.Advance(i, p, Mark{W: vec.MaxTime}); err != nil {
				return Status{}, err
			}
		}
		st = Status{State: More}
	}
	return st, nil
}

// tick ends a step and, if the policy says so, carries the state over into a new graph.
func (r *Runner) tick() error {
	r.began = true
	r.epoch++
	now := time.Now().UnixMicro()
	if r.policy.Now != nil {
		now = r.policy.Now()
	}
	r.now = max(now, r.now)
	if err := r.g.Tick(Tick{Epoch: r.epoch, Now: r.now}); err != nil {
		return err
	}
	if r.policy.Restart == nil || !r.policy.Restart() {
		return nil
	}
	var w state.Writer
	if err := r.g.Snapshot(&w); err != nil {
		return err
	}
	if err := r.g.Close(); err != nil {
		return err
	}
	g, err := r.policy.Rebuild()
	if err != nil {
		return err
	}
	r.g = g
	for i, n := range r.parts {
		g.SetPartitions(i, max(n, 1))
	}
	// What is written later is written after the operators are gone.
	return g.Restore(state.NewReader(w.Bytes()))
}
