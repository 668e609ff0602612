package exec

import (
	"encoding/binary"
	"io"

	"streamsql/internal/mem"
	"streamsql/internal/spill"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
	"streamsql/state"
)

// sizer is an operator that can tell how much memory it holds, in bytes, roughly and cheaply.
type sizer interface{ stateBytes() int64 }

// divisible is an operator whose state can be written in parts by key.
type divisible interface {
	Operator
	sizer
	// divides says whether this one can, with its options; it is asked after Open.
	divides() bool
	// divide writes the state in n parts: share gives the part of each of some rows by their key columns (see spillKeys), put takes
	// the state of a part, as Restore reads it, once for each part that has one. In a continuous query it comes
	// directly after a Tick. The operator's state is as before.
	divide(n int, share func(input int, keys []vec.Vec, rows int, part []uint8), put func(part int, w *state.Writer) error) error
}

// spillKeys gives the columns of each input by whose values the state of an operator can be divided; nil if it cannot.
func spillKeys(n planner.Node) [][]int {
	if a, ok := n.(*planner.Aggregate); ok && a.SessionKeys == nil && len(a.Keys) > 0 {
		return [][]int{a.Keys}
	}
	return shareKeys(n)
}

// spilling runs an operator with keys in bounded memory. As long as there is room the operator gets everything as if
// spilling were not there. When its account is over, the state is written to disk in parts by key, and from then on rows
// wait on disk for their part. In a snapshot the parts are taken back one after the other when all input is there. In a
// changelog each tick takes back the parts that have rows waiting; parts stay as long as there is room. A part that is
// too large itself is divided again, by another hash of its keys: each part is run by a spilling of its own.
//
// The operator may be ticked in the middle of a step, before its state is written: its changes then go out in two
// pieces, which make the same sum.
type spilling struct {
	node    planner.Node
	share   keyShare
	schemas []*vec.Schema
	level   uint64

	ctx    *Context
	out    Output
	top    *spilling    // which has the account
	acct   *mem.Account // of the topmost
	space  *spill.Space
	own    bool // space is ours
	whole  Operator
	parts  []*spillPart // after the division
	marks  []Mark       // the last of each input
	seen   []bool       // inputs that have had one
	mark   Mark         // sent
	last   Tick
	ticks  int64
	atMost int64 // rows that may come before the state is weighed again

	// Of a snapshot whose input is complete.
	finishing bool
	cur       int
	reader    *spillReader

	views []vec.Vec
	buf   []byte
	disk  int64 // told to the account
}

// spillPart is the share of some keys: an operator, or its state on disk and what it has yet to take in.
type spillPart struct {
	s      *spilling
	op     *spilling // nil: on disk
	state  *spill.Stream
	log    *spill.Stream
	kept   []*vec.Batch // of the log, what cannot be written
	marks  []Mark       // that the operator has had, or will have had after the log
	seen   []bool
	rows   int64 // of the state on disk, for stateRows
	dirty  bool  // pushed to since the last tick
	busy   bool
	used   int64 // the tick that last needed it
	logged int64 // rows in the log
}

// Emit implements Output.
func (p *spillPart) Emit(b *vec.Batch) error { return p.s.out.Emit(b) }

// Watermark implements Output. The mark of all parts together follows from those of the inputs.
func (p *spillPart) Watermark(Mark) error { return nil }

const (
	// spillParts is into how many parts state is divided: enough for the parts of what is thirty times too large to fit.
	spillParts = 64
	// forcedParts is the same in tests, which are to divide several times.
	forcedParts = 3
	// spillLevels is how often a part may be divided.
	spillLevels = 4
	// spillIdle is after how many ticks without rows a part goes to disk before those that have some.
	spillIdle = 16
)

// newStateful makes the operator of a node, such that it can write its state to disk if it is one that can.
func newStateful(n planner.Node) (Operator, error) {
	op, err := newOperator(n)
	if err != nil {
		return nil, err
	}
	keys := spillKeys(n)
	if _, ok := op.(divisible); !ok || keys == nil {
		return op, nil
	}
	return newSpilling(n, op, keys), nil
}

func newSpilling(n planner.Node, op Operator, keys [][]int) *spilling {
	s := &spilling{node: n, whole: op, share: newKeyShare(n, keys), mark: Mark{W: vec.MinTime}}
	s.top = s
	for _, in := range n.Inputs() {
		s.schemas = append(s.schemas, in.Schema())
	}
	s.marks, s.seen = make([]Mark, len(s.schemas)), make([]bool, len(s.schemas))
	for i := range s.marks {
		s.marks[i].W = vec.MinTime
	}
	return s
}

// Open implements Operator.
func (s *spilling) Open(ctx *Context, out Output) error {
	s.ctx, s.out = ctx, out
	if s.top == s {
		s.acct = ctx.Memory.Operator(operatorName(s.node))
		s.space = ctx.Spill
	}
	return s.whole.Open(ctx, s)
}

// Emit implements Output for the undivided operator.
func (s *spilling) Emit(b *vec.Batch) error { return s.out.Emit(b) }

// Watermark implements Output for the undivided operator.
func (s *spilling) Watermark(m Mark) error {
	s.mark = m
	return s.out.Watermark(m)
}

// disks gives the room on disk.
func (s *spilling) disks() *spill.Space {
	t := s.top
	if t.space == nil {
		t.space, t.own = spill.NewSpace(""), true
	}
	return t.space
}

func (s *spilling) newPart() *spillPart {
	return &spillPart{s: s, state: s.disks().NewStream(), log: s.disks().NewStream(),
		marks: make([]Mark, len(s.marks)), seen: make([]bool, len(s.seen))}
}

// Push implements Operator.
func (s *spilling) Push(input int, b *vec.Batch) error {
	if s.whole != nil {
		if err := s.whole.Push(input, b); err != nil {
			return err
		}
		return s.weigh(b.N)
	}
	s.views = b.Views(s.views)
	sel := s.share.split(input, s.views, b.N, len(s.parts), s.level)
	for k, rows := range sel {
		if len(rows) == 0 {
			continue
		}
		if err := s.give(s.parts[k], input, b, rows); err != nil {
			return err
		}
	}
	return s.weigh(b.N)
}

// give hands rows of a batch to a part.
func (s *spilling) give(p *spillPart, input int, b *vec.Batch, rows []int32) error {
	if p.op != nil {
		p.dirty, p.used = true, s.ticks
		part := b.Select(s.ctx.Alloc, rows)
		err := p.op.Push(input, part)
		part.Release()
		return err
	}
	if err := p.logMarks(); err != nil {
		return err
	}
	p.logged += int64(len(rows))
	if b.From != nil { // rows behind the watermark know where they came from: there are few
		p.kept = append(p.kept, b.Select(s.ctx.Alloc, rows))
		s.buf = append(s.buf[:0], make([]byte, spillHead)...)
		putHead(s.buf, spillKept, input, 0, len(rows), 0)
	} else {
		s.buf = appendRows(s.buf[:0], input, s.views, b, rows)
	}
	_, err := p.log.Write(s.buf)
	return err
}

// logMarks writes the marks that came since the last rows.
func (p *spillPart) logMarks() error {
	s := p.s
	for i, m := range s.marks {
		if !s.seen[i] || p.seen[i] && p.marks[i] == m {
			continue
		}
		p.marks[i], p.seen[i] = m, true
		var rec [spillHead + 9]byte
		putHead(rec[:], spillMark, i, 0, 0, 9)
		putMark(rec[spillHead:], m)
		if _, err := p.log.Write(rec[:]); err != nil {
			return err
		}
	}
	return nil
}

// giveMarks tells the operator of a part the marks that it has not had.
func (p *spillPart) giveMarks() error {
	s := p.s
	for i, m := range s.marks {
		if !s.seen[i] || p.seen[i] && p.marks[i] == m {
			continue
		}
		p.marks[i], p.seen[i] = m, true
		if err := p.op.Advance(i, m); err != nil {
			return err
		}
	}
	return nil
}

// Advance implements Operator.
func (s *spilling) Advance(input int, m Mark) error {
	s.marks[input], s.seen[input] = m, true
	if s.whole != nil {
		return s.whole.Advance(input, m)
	}
	if s.ctx.Continuous {
		for _, p := range s.parts {
			if p.op != nil {
				if err := p.giveMarks(); err != nil {
					return err
				}
			}
		}
		return nil // the mark goes on at the tick, after the rows before it
	}
	for i := range s.marks {
		if !s.seen[i] || s.marks[i].W != vec.MaxTime {
			return nil
		}
	}
	if s.finishing || s.cur == len(s.parts) {
		return nil
	}
	s.finishing = true
	if s.ctx.Stepped {
		return nil
	}
	for {
		if more, err := s.resume(); err != nil || !more {
			return err
		}
	}
}

// resume implements resumer: it takes a part of a snapshot one batch further.
func (s *spilling) resume() (more bool, err error) {
	if !s.finishing {
		return false, nil
	}
	if outputSated(s.out) {
		for ; s.cur < len(s.parts); s.cur++ {
			if err := s.parts[s.cur].drop(); err != nil {
				return false, err
			}
		}
	}
	for s.cur < len(s.parts) {
		p := s.parts[s.cur]
		if p.op == nil {
			if p.state.Len() == 0 && p.log.Len() == 0 {
				s.cur++
				continue
			}
			if err := s.load(p); err != nil {
				return false, err
			}
			s.reader = s.newReader(p)
		}
		if s.reader != nil {
			some, err := s.replay(p, s.reader)
			if err != nil {
				return false, err
			}
			if some {
				return true, nil
			}
			s.reader = nil
			p.forget()
			return true, p.giveMarks()
		}
		if more, err := p.op.resume(); more || err != nil {
			return more, err
		}
		if err := p.drop(); err != nil {
			return false, err
		}
		s.cur++
		return true, s.weigh(0)
	}
	s.finishing = false
	if s.top == s {
		s.acct.Set(0)
	}
	return false, s.out.Watermark(Mark{W: vec.MaxTime})
}

func (s *spilling) newReader(p *spillPart) *spillReader {
	return &spillReader{r: p.log.Reader(), alloc: s.ctx.Alloc, schemas: s.schemas, kept: p.kept}
}

// replay gives a part the next record of its log; false if there is none.
func (s *spilling) replay(p *spillPart, r *spillReader) (bool, error) {
	input, b, m, ok, err := r.next()
	if err != nil || !ok {
		return false, err
	}
	if b == nil {
		return true, p.op.Advance(input, m)
	}
	p.kept = r.kept
	err = p.op.Push(input, b)
	n := b.N
	b.Release()
	if err == nil {
		err = s.weigh(n)
	}
	return true, err
}

// forget empties the log.
func (p *spillPart) forget() {
	p.log.Reset()
	p.kept, p.logged = nil, 0
}

// load makes the operator of a part out of its state.
func (s *spilling) load(p *spillPart) error {
	op, err := newOperator(s.node)
	if err != nil {
		return err
	}
	p.op = newSpilling(s.node, op, s.share.keys)
	p.op.top, p.op.level, p.op.last = s.top, s.level+1, s.last
	if err := p.op.Open(s.ctx, p); err != nil {
		return err
	}
	if n := p.state.Len(); n > 0 {
		r := state.NewStreamReader(p.state.Reader(), n)
		if err := p.op.Restore(r); err != nil {
			return err
		}
		if !r.End() {
			return foreignState(r)
		}
		p.state.Reset()
	}
	return nil
}

// drop frees a part.
func (p *spillPart) drop() error {
	p.state.Reset()
	p.log.Reset()
	for _, b := range p.kept {
		b.Release()
	}
	p.kept = nil
	if p.op == nil {
		return nil
	}
	op := p.op
	p.op = nil
	return op.Close()
}

// Tick implements Operator.
func (s *spilling) Tick(t Tick) error {
	s.last = t
	s.ticks++
	if s.whole != nil {
		return s.whole.Tick(t)
	}
	if !s.ctx.Continuous {
		return nil
	}
	for _, p := range s.parts {
		if p.op != nil && p.dirty {
			p.dirty = false
			if err := p.op.Tick(t); err != nil {
				return err
			}
		}
	}
	for _, p := range s.parts {
		if p.log.Len() == 0 {
			continue
		}
		if err := s.takeIn(p); err != nil {
			return err
		}
	}
	m := Combine(s.mark.W, s.marks)
	if m == s.mark || m.W == vec.MinTime && !m.Idle {
		return nil
	}
	s.mark = m
	return s.out.Watermark(m)
}

// takeIn brings a part up to date within a tick.
func (s *spilling) takeIn(p *spillPart) error {
	p.busy = true
	defer func() { p.busy = false }()
	r := s.newReader(p)
	if err := s.load(p); err != nil {
		return err
	}
	for {
		more, err := s.replay(p, r)
		if err != nil {
			return err
		}
		if !more {
			break
		}
	}
	p.forget()
	if err := p.giveMarks(); err != nil {
		return err
	}
	if err := p.op.Tick(s.last); err != nil {
		return err
	}
	p.used, p.dirty, p.busy = s.ticks, false, false
	return s.weigh(int(p.rows) + 1)
}

// weigh tells the account what is held after n more rows, and makes room if that is too much.
func (s *spilling) weigh(n int) error {
	t := s.top
	if t != s && s.whole != nil {
		return nil // whoever pushed weighs
	}
	if t.atMost -= int64(n); t.atMost > 0 && t.whole != nil {
		return nil
	}
	return t.fit()
}

// weighRows is after how many rows the state is weighed, at the most. Sizes are estimates that cost something.
const weighRows = 2 * vec.MaxRows

func (t *spilling) fit() error {
	if t.acct == nil {
		t.atMost = weighRows
		return nil
	}
	t.acct.Set(t.stateBytes())
	for t.acct.Over() {
		some, err := t.shrink()
		if err != nil {
			return err
		}
		t.acct.Set(t.stateBytes())
		t.tellDisk()
		if !some {
			break
		}
	}
	t.tellDisk()
	t.atMost = 0
	if room := t.acct.Room() - t.acct.Used(); room > 64*weighRows { // rows are seldom much larger than that
		t.atMost = min(room/256, weighRows)
	}
	return t.acct.Check()
}

// shrink moves something to disk. false: there is nothing that could be moved.
func (s *spilling) shrink() (bool, error) {
	if s.whole != nil {
		d, ok := s.whole.(divisible)
		if !ok || s.level >= spillLevels || !d.divides() || d.stateBytes() == 0 {
			return false, nil
		}
		return s.divide(d)
	}
	// First what has not been needed for long, then the largest.
	var oldest, largest *spillPart
	for _, p := range s.parts {
		switch {
		case p.op == nil || p.busy || p.op.whole == nil || !s.ctx.Continuous:
		case s.ticks-p.used > spillIdle && (oldest == nil || p.used < oldest.used):
			oldest = p
		case largest == nil || p.op.stateBytes() > largest.op.stateBytes():
			largest = p
		}
	}
	if oldest == nil {
		oldest = largest
	}
	if oldest != nil {
		return true, s.evict(oldest)
	}
	for _, p := range s.parts {
		if p.op == nil {
			continue
		}
		if some, err := p.op.shrink(); some || err != nil {
			return some, err
		}
	}
	return false, nil
}

// divide writes the state in parts.
func (s *spilling) divide(d divisible) (bool, error) {
	if s.ctx.Continuous {
		before := d.stateBytes()
		if err := d.Tick(s.last); err != nil {
			return false, err
		}
		if now := d.stateBytes(); now == 0 || s.top == s && now < before/2 { // it was the changes that took the room
			return now < before, nil
		}
	}
	n := spillParts
	if s.top.acct.Forced() {
		n = forcedParts
	}
	s.parts = make([]*spillPart, n)
	for i := range s.parts {
		s.parts[i] = s.newPart()
	}
	share := func(input int, keys []vec.Vec, rows int, part []uint8) {
		s.share.of(input, keys, rows, n, s.level, part)
	}
	var head state.Writer
	s.writeHead(&head)
	err := d.divide(n, share, func(k int, w *state.Writer) error {
		p := s.parts[k]
		copy(p.marks, s.marks)
		copy(p.seen, s.seen)
		// As Snapshot of an undivided spilling writes it.
		if _, err := p.state.Write(head.Bytes()); err != nil {
			return err
		}
		if _, err := w.WriteTo(p.state); err != nil {
			return err
		}
		p.rows = p.state.Len() / 16
		return p.state.Flush()
	})
	if err != nil {
		return false, err
	}
	s.whole = nil
	return true, d.Close()
}

// evict writes the state of a part to disk. The changes that it has not sent yet are sent before.
func (s *spilling) evict(p *spillPart) error {
	if p.dirty {
		p.dirty = false
		if err := p.op.Tick(s.last); err != nil {
			return err
		}
	}
	var w state.Writer
	if err := p.op.Snapshot(&w); err != nil {
		return err
	}
	p.rows = p.op.stateRows()
	if _, err := w.WriteTo(p.state); err != nil {
		return err
	}
	if err := p.state.Flush(); err != nil {
		return err
	}
	op := p.op
	p.op = nil
	return op.Close()
}

// stateBytes gives the memory held.
func (s *spilling) stateBytes() (n int64) {
	if s.whole != nil {
		return s.whole.(sizer).stateBytes()
	}
	for _, p := range s.parts {
		n += p.log.Held() + p.state.Held()
		for _, b := range p.kept {
			n += b.Bytes()
		}
		if p.op != nil {
			n += p.op.stateBytes()
		}
	}
	return n
}

func (s *spilling) onDisk() (n int64) {
	for _, p := range s.parts {
		n += p.log.OnDisk() + p.state.OnDisk()
		if p.op != nil {
			n += p.op.onDisk()
		}
	}
	return n
}

func (s *spilling) tellDisk() {
	n := s.onDisk()
	s.acct.Disk(n - s.disk)
	s.disk = n
}

// stateRows implements stateCounter.
func (s *spilling) stateRows() (n int64) {
	if c, ok := s.whole.(stateCounter); ok {
		return c.stateRows()
	}
	for _, p := range s.parts {
		if p.op != nil {
			n += p.op.stateRows()
		} else {
			n += p.rows + p.logged
		}
	}
	return n
}

// sated implements sated for the operator.
func (s *spilling) sated(port int) bool {
	if s.whole == nil {
		return !s.ctx.Continuous && outputSated(s.out)
	}
	x, ok := s.whole.(sated)
	return ok && x.sated(port)
}

// lastClose implements opener for the operator.
func (s *spilling) lastClose() (need, w vec.Time, open bool) {
	if o, ok := s.whole.(opener); ok {
		return o.lastClose()
	}
	return 0, 0, false
}

// Snapshot implements Operator.
func (s *spilling) Snapshot(w *state.Writer) error {
	s.writeHead(w)
	if s.whole != nil {
		return s.whole.Snapshot(w)
	}
	w.Uint64(s.level)
	w.Uint64(uint64(len(s.parts)))
	for _, p := range s.parts {
		for i, m := range p.marks {
			w.Bool(p.seen[i])
			w.Int64(m.W)
			w.Bool(m.Idle)
		}
		w.Int64(p.rows)
		if p.op != nil {
			var sub state.Writer
			err := p.op.Snapshot(&sub)
			w.Frames(&sub)
			if err != nil {
				return err
			}
			continue
		}
		shared := p.state.Share()
		w.Stream(func(dst io.Writer) error {
			_, err := io.Copy(dst, shared.Reader())
			return err
		}, shared.Reset)
	}
	return nil
}

// writeHead writes what the state of the operator, or of its parts, comes behind. The marks are there for the undivided
// one too: an input that has ended says nothing any more when the operator is divided later.
func (s *spilling) writeHead(w *state.Writer) {
	w.Bool(s.whole == nil)
	w.Int64(s.mark.W)
	w.Bool(s.mark.Idle)
	for i, m := range s.marks {
		w.Bool(s.seen[i])
		w.Int64(m.W)
		w.Bool(m.Idle)
	}
}

// Restore implements Operator.
func (s *spilling) Restore(r *state.Reader) error {
	divided := r.Bool()
	s.mark = Mark{W: r.Int64(), Idle: r.Bool()}
	for i := range s.marks {
		s.seen[i] = r.Bool()
		s.marks[i] = Mark{W: r.Int64(), Idle: r.Bool()}
	}
	if !divided {
		return s.whole.Restore(r)
	}
	s.level = r.Uint64()
	n := r.Uint64()
	if r.Err() != nil || n == 0 || n > spillParts {
		return errForeignState()
	}
	if err := s.whole.Close(); err != nil {
		return err
	}
	s.whole = nil
	for range n {
		p := s.newPart()
		s.parts = append(s.parts, p)
		for i := range p.marks {
			p.seen[i] = r.Bool()
			p.marks[i] = Mark{W: r.Int64(), Idle: r.Bool()}
		}
		p.rows = r.Int64()
		if err := r.CopyFrames(p.state); err != nil {
			return err
		}
		if err := p.state.Flush(); err != nil {
			return err
		}
	}
	s.cur = len(s.parts)
	if s.ctx.Continuous {
		s.cur = 0
	}
	return r.Err()
}

// Close implements Operator.
func (s *spilling) Close() error {
	var first error
	if s.whole != nil {
		first = s.whole.Close()
		s.whole = nil
	}
	for _, p := range s.parts {
		if err := p.drop(); err != nil && first == nil {
			first = err
		}
	}
	s.parts = nil
	releaseViews(s.views)
	if s.top == s {
		if s.acct != nil {
			s.tellDisk()
			s.acct.Close()
		}
		if s.own {
			if err := s.space.Close(); err != nil && first == nil {
				first = err
			}
			s.space, s.own = nil, false
		}
	}
	return first
}

func putMark(dst []byte, m Mark) {
	binary.NativeEndian.PutUint64(dst, uint64(m.W))
	dst[8] = 0
	if m.Idle {
		dst[8] = 1
	}
}
