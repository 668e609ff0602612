package exec

import (
	"slices"

	"github.com/apache/arrow/go/v17/arrow"

	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
)

// progressEvery is how often progress is told while nothing is sent, in microseconds.
const progressEvery = 1000000

// The values of _op.
const (
	opInsert = "+I"
	opBefore = "-U"
	opAfter  = "+U"
	opDelete = "-D"
	opUpsert = "upsert"
	opGone   = "delete"
)

// rendered is a set of output rows before it becomes a batch: rows of a changes, each with its _op and _diff.
type rendered struct {
	sel  []int32
	op   []string
	diff []int64
}

func (r *rendered) add(row int32, op string, diff int64) {
	r.sel = append(r.sel, row)
	r.op = append(r.op, op)
	r.diff = append(r.diff, diff)
}

// render sends what e.net found in c: deletes, then pairs, then inserts.
func (e *emit) render(c *changes, ts vec.Time) error {
	var r rendered
	n := &e.net
	switch {
	case e.spec.Fold:
		return e.renderFold(c)
	case e.spec.Subscribe:
		for i := 0; i < len(n.dels); {
			j := runEnd(n.dels, i)
			r.add(n.dels[i], opDelete, int64(i-j))
			i = j
		}
		for i := 0; i < len(n.ins); {
			j := runEnd(n.ins, i)
			r.add(n.ins[i], opInsert, int64(j-i))
			i = j
		}
	case e.spec.Envelope == planner.EnvelopeUpsert:
		n.pairUp(c, e.key())
		for _, d := range n.lone {
			r.add(d, opGone, -1)
		}
		gone := len(r.sel)
		for _, p := range n.pairs {
			r.add(p[1], opUpsert, 1)
		}
		for _, i := range n.fresh {
			r.add(i, opUpsert, 1)
		}
		return e.sendRendered(c, &r, ts, gone)
	default:
		if e.spec.Key != nil {
			n.pairUp(c, e.spec.Key)
		} else {
			n.unpaired()
		}
		for _, d := range n.lone {
			r.add(d, opDelete, -1)
		}
		for _, p := range n.pairs {
			r.add(p[0], opBefore, -1)
			r.add(p[1], opAfter, 1)
		}
		for _, i := range n.fresh {
			r.add(i, opInsert, 1)
		}
	}
	return e.sendRendered(c, &r, ts, 0)
}

// renderFold sends the changes that the rows of the form amount to, in their order. LIMIT counts those rows, and parts no pair.
func (e *emit) renderFold(c *changes) error {
	upsert := e.spec.Envelope == planner.EnvelopeUpsert
	if upsert || e.spec.Key != nil {
		e.net.pairUp(c, e.key())
	} else {
		e.net.unpaired()
	}
	var sel []int32
	var ops []vec.Op
	add := func(row int32, op vec.Op) { sel, ops = append(sel, row), append(ops, op) }
	room := func(rows int64) bool {
		if e.left < 0 {
			return true
		}
		ok := e.left > 0
		e.left = max(e.left-rows, 0)
		return ok
	}
	for _, d := range e.net.lone {
		if room(1) {
			add(d, vec.Delete)
		}
	}
	rows := int64(2)
	if upsert {
		rows = 1
	}
	for _, p := range e.net.pairs {
		if room(rows) {
			add(p[0], vec.Delete)
			add(p[1], vec.Insert)
		}
	}
	for _, i := range e.net.fresh {
		if room(1) {
			add(i, vec.Insert)
		}
	}
	for at := 0; at < len(sel); at += vec.MaxRows {
		end := min(at+vec.MaxRows, len(sel))
		cols := make([]arrow.Array, len(c.cols))
		for k := range c.cols {
			var v vec.Vec
			v.SetAllocator(e.ctx.Alloc)
			v.Reset(c.cols[k].Kind, 0)
			v.Gather(&c.cols[k], sel[at:end])
			cols[k] = v.Seal()
		}
		b := vec.NewBatch(e.n.Schema(), cols, ops[at:end], end-at)
		err := e.out.Emit(b)
		b.Release()
		if err != nil {
			return err
		}
	}
	if e.left == 0 {
		return ErrFinished
	}
	return nil
}

// runEnd gives the end of the equal elements that start at i.
func runEnd(s []int32, i int) int {
	j := i + 1
	for j < len(s) && s[j] == s[i] {
		j++
	}
	return j
}

// sendRendered sends rows in batches. The first keyOnly of them carry only the key.
func (e *emit) sendRendered(c *changes, r *rendered, ts vec.Time, keyOnly int) error {
	for at := 0; at < len(r.sel); {
		end := min(at+vec.MaxRows, len(r.sel))
		if at < keyOnly {
			end = min(end, keyOnly)
		}
		cols := e.prefixColumns(end-at, ts, r.op[at:end], r.diff[at:end], false)
		for k := range c.cols {
			var v vec.Vec
			v.SetAllocator(e.ctx.Alloc)
			v.Reset(c.cols[k].Kind, 0)
			if at < keyOnly && !slices.Contains(e.key(), k) {
				for range end - at {
					v.AppendNull()
				}
			} else {
				v.Gather(&c.cols[k], r.sel[at:end])
			}
			cols = append(cols, v.Seal())
		}
		if err := e.send(vec.NewBatch(e.n.Schema(), cols, nil, end-at)); err != nil {
			return err
		}
		at = end
	}
	return nil
}

// sendInserts sends a batch of inserts as it is, its columns shared.
func (e *emit) sendInserts(b *vec.Batch, ts vec.Time) error {
	op := opInsert
	if e.spec.Envelope == planner.EnvelopeUpsert {
		op = opUpsert
	}
	cols := e.prefixColumns(b.N, ts, []string{op}, []int64{1}, false)
	for _, c := range b.Cols[:e.in.Len()] {
		c.Retain()
		cols = append(cols, c)
	}
	return e.send(vec.NewBatch(e.n.Schema(), cols, nil, b.N))
}

// prefixColumns makes the columns before the select list for n rows. A slice of one element stands for all rows; nil ops are NULL.
func (e *emit) prefixColumns(n int, ts vec.Time, ops []string, diffs []int64, progress bool) []arrow.Array {
	var cols []arrow.Array
	column := func(k types.Kind, fill func(v *vec.Vec, i int)) {
		var v vec.Vec
		v.SetAllocator(e.ctx.Alloc)
		v.Reset(k, 0)
		for i := range n {
			fill(&v, i)
		}
		cols = append(cols, v.Seal())
	}
	opCol := func(v *vec.Vec, i int) {
		switch len(ops) {
		case 0:
			v.AppendNull()
		case 1:
			v.AppendStr(ops[0])
		default:
			v.AppendStr(ops[i])
		}
	}
	tsCol := func(v *vec.Vec, _ int) { v.AppendInt64(ts) }
	progressCol := func(v *vec.Vec, _ int) { v.AppendBool(progress) }
	diffCol := func(v *vec.Vec, i int) {
		switch len(diffs) {
		case 0:
			v.AppendNull()
		case 1:
			v.AppendInt64(diffs[0])
		default:
			v.AppendInt64(diffs[i])
		}
	}
	switch {
	case e.spec.Subscribe:
		column(types.KindInt64, tsCol)
		column(types.KindBool, progressCol)
		column(types.KindInt64, diffCol)
		return cols
	case e.prefix() == 0:
		return cols
	case e.spec.Envelope == planner.EnvelopeChangelog, e.spec.Envelope == planner.EnvelopeUpsert:
		column(types.KindString, opCol)
	}
	column(types.KindInt64, tsCol)
	if e.spec.Progress {
		column(types.KindBool, progressCol)
	}
	return cols
}

// promise gives what a progress row may say now; ok is false if that is nothing new.
func (e *emit) promise() (ts vec.Time, ok bool) {
	ts = e.stamp(e.done)
	if e.ctx.Promise == nil {
		return ts, true
	}
	if ts, ok = e.ctx.Promise(ts); !ok {
		return 0, false
	}
	return ts, ts > e.told
}

// nextProgress gives the time of the next progress row.
func (e *emit) nextProgress() vec.Time {
	switch {
	case e.ctx.Promise != nil && (e.some || e.asked):
	case e.told == vec.MinTime:
		return vec.MaxTime
	default:
		return e.told + progressEvery
	}
	if told, ok := e.ctx.Promise(vec.MaxTime); ok && told > e.told {
		return e.done // now: after a tick that much will have been sent
	}
	return vec.MaxTime // whoever drives the graph is woken when there is something to promise
}

// progress sends a row that says that nothing more comes below its _ts: after rows, and
// now and then in silence.
func (e *emit) progress(t Tick) error {
	e.done = t.Now + 1 // what has the time of the tick has been sent
	if t.Last {
		e.done = t.Now
	}
	if !t.Last && !e.some && !e.asked && e.told != vec.MinTime && t.Now < e.told+progressEvery {
		return nil
	}
	ts, ok := e.promise()
	if e.asked = !ok; e.asked {
		return nil
	}
	e.ts, e.told = max(e.ts, ts-1), ts
	e.some = e.ts >= ts
	cols := e.prefixColumns(1, ts, nil, nil, true)
	for _, f := range e.in.Fields {
		var v vec.Vec
		v.SetAllocator(e.ctx.Alloc)
		v.Reset(f.Type.Kind(), 0)
		v.AppendNull()
		cols = append(cols, v.Seal())
	}
	b := vec.NewBatch(e.n.Schema(), cols, nil, 1)
	err := e.out.Emit(b) // LIMIT counts data only
	b.Release()
	return err
}
