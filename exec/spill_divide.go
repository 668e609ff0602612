package exec

import (
	"fmt"
	"strings"

	"streamsql/internal/vec"
	"streamsql/sql/planner"
	"streamsql/state"
)

// operatorName names the operator of a node for messages about memory.
func operatorName(n planner.Node) string {
	return strings.TrimPrefix(fmt.Sprintf("%T", n), "*planner.")
}

type (
	shareKeysFunc = func(input int, keys []vec.Vec, rows int, part []uint8)
	putPartFunc   = func(part int, w *state.Writer) error
)

// byPart sorts ids into n parts. of[i] is the part of ids[i].
func byPart(ids []uint32, of []uint8, n int) [][]uint32 {
	count := make([]int, n)
	for _, p := range of {
		count[p]++
	}
	all := make([]uint32, len(ids))
	parts := make([][]uint32, n)
	at := 0
	for p, c := range count {
		parts[p] = all[at : at : at+c]
		at += c
	}
	for i, id := range ids {
		parts[of[i]] = append(parts[of[i]], id)
	}
	return parts
}

// divideGroups shares out ids, whose keys a table gives, and writes each part that is not empty.
func divideGroups(alloc vec.Allocator, groups Groups, kinds []vec.Vec, ids []uint32, n int, share shareKeysFunc, write func(ids []uint32, w *state.Writer), put putPartFunc) error {
	of := make([]uint8, len(ids))
	keys := make([]vec.Vec, len(kinds))
	for i := range keys {
		keys[i].SetAllocator(alloc)
		defer keys[i].Release()
	}
	for at := 0; at < len(ids); at += vec.MaxRows {
		some := ids[at:min(at+vec.MaxRows, len(ids))]
		for i := range keys {
			keys[i].Reset(kinds[i].Kind, 0)
		}
		groups.Append(some, keys)
		share(0, keys, len(some), of[at:])
	}
	var w state.Writer
	for k, ids := range byPart(ids, of, n) {
		if len(ids) == 0 {
			continue
		}
		w.Reset()
		write(ids, &w)
		if err := put(k, &w); err != nil {
			return err
		}
	}
	return nil
}

// stateBytes gives what the copies hold that do not report it themselves.
func (p *parallel) stateBytes() (n int64) {
	for _, c := range p.copies {
		if _, ok := c.op.(*spilling); ok {
			return 0
		}
		if s, ok := c.op.(sizer); ok {
			n += s.stateBytes()
		}
	}
	return n
}

func (a *groupAggregate) divides() bool { return len(a.n.Keys) > 0 }

func (a *groupAggregate) stateBytes() int64 { return a.set.bytes() }

// bytes gives the memory that the set holds.
func (g *groupSet) bytes() int64 {
	n := g.groups.Bytes() + 8*cap(g.rows) + cap(g.mark) + 4*cap(g.dirty) + cap(g.existed)
	for _, a := range g.aggs.aggs {
		n += a.Bytes()
	}
	for i := range g.old {
		n += g.old[i].Held()
	}
	return int64(n)
}

func (a *groupAggregate) divide(n int, share shareKeysFunc, put putPartFunc) error {
	kinds := make([]vec.Vec, len(a.plan.keyTypes))
	for i, t := range a.plan.keyTypes {
		kinds[i].Kind = t.Kind()
	}
	return divideGroups(a.ctx.Alloc, a.set.groups, kinds, a.set.kept(), n, share, a.set.snapshotOf, put)
}

func (s *setOp) divides() bool { return true }

func (s *setOp) stateBytes() int64 {
	if s.groups == nil {
		return 0
	}
	return int64(s.groups.Bytes() + 8*(cap(s.counts[0])+cap(s.counts[1])+cap(s.sentN)) + cap(s.isNew) + 4*cap(s.dirty))
}

func (s *setOp) divide(n int, share shareKeysFunc, put putPartFunc) error {
	kinds := make([]vec.Vec, s.n.Schema().Len())
	for i, k := range schemaKinds(s.n.Schema()) {
		kinds[i].Kind = k
	}
	return divideGroups(s.ctx.Alloc, s.groups, kinds, s.kept(), n, share, s.snapshotOf, put)
}

func (t *topNOp) divides() bool { return t.queue == nil || !t.ctx.Continuous }

func (t *topNOp) stateBytes() int64 {
	if t.store == nil {
		return 0
	}
	return t.store.held + 8*int64(t.store.live) + int64(t.groups.Bytes()) + 88*int64(len(t.parts))
}

func (t *topNOp) divide(n int, share shareKeysFunc, put putPartFunc) error {
	var ids []uint32
	for id, p := range t.parts {
		if p != nil {
			ids = append(ids, uint32(id))
		}
	}
	kinds := make([]vec.Vec, len(t.n.Partition))
	for i, c := range t.n.Partition {
		kinds[i].Kind = t.n.Input.Schema().Fields[c].Type.Kind()
	}
	return divideGroups(t.ctx.Alloc, t.groups, kinds, ids, n, share, func(ids []uint32, w *state.Writer) {
		parts := make([]*topPart, len(ids))
		for i, id := range ids {
			parts[i] = t.parts[id]
		}
		t.snapshotOf(parts, w)
	}, put)
}

func (o *overOp) divides() bool { return o.queue == nil || !o.ctx.Continuous }

func (o *overOp) stateBytes() int64 {
	if o.store == nil {
		return 0
	}
	return o.store.held + o.res.held + 24*int64(o.store.live) + int64(o.groups.Bytes()) + 120*int64(len(o.parts))
}

func (o *overOp) divide(n int, share shareKeysFunc, put putPartFunc) error {
	var ids []uint32
	for id, p := range o.parts {
		if p != nil {
			ids = append(ids, uint32(id))
		}
	}
	kinds := make([]vec.Vec, len(o.n.Partition))
	for i, t := range partitionTypes(o.n) {
		kinds[i].Kind = t.Kind()
	}
	return divideGroups(o.ctx.Alloc, o.groups, kinds, ids, n, share, func(ids []uint32, w *state.Writer) {
		parts := make([]*overPart, len(ids))
		for i, id := range ids {
			parts[i] = o.parts[id]
		}
		o.snapshotOf(parts, w)
	}, put)
}

// divides: where the watermark frees rows, each mark would have to reach every part.
func (j *joinOp) divides() bool {
	return len(j.n.LeftKeys) > 0 && !j.n.NullAware && (!j.timed || !j.ctx.Continuous)
}

// indexedRow is about what the index of a row takes that has not been indexed yet.
const indexedRow = 48

func (j *joinOp) stateBytes() (n int64) {
	for _, b := range j.held {
		n += b.Bytes() + indexedRow*int64(b.N)
	}
	for _, s := range j.sides {
		if s == nil {
			continue
		}
		n += s.store.held + 8*int64(len(s.byRow.slots))
		for _, b := range s.buckets {
			n += 4*int64(cap(b.heads)) + indexedRow*int64(b.todoRows)
			if b.groups != nil {
				n += int64(b.groups.Bytes())
			}
		}
	}
	if h := j.keyed; h != nil && h.groups != nil {
		n += int64(h.groups.Bytes()) + 8*int64(cap(h.counts)) + 4*int64(cap(h.stamps))
	}
	return n
}

func (j *joinOp) divide(n int, share shareKeysFunc, put putPartFunc) error {
	p := &joinPart{}
	some := make([]bool, n)
	of := func(input int, keys []vec.Vec, rows int) []uint8 {
		parts := make([]uint8, rows)
		share(input, keys, rows, parts)
		for _, x := range parts {
			some[x] = true
		}
		return parts
	}
	for _, b := range j.held {
		p.held = append(p.held, of(0, keyCols(nil, b.Views(nil), j.sides[0].keys), b.N))
	}
	for i, s := range j.sides {
		p.blocks[i] = make([][]uint8, len(s.store.blocks))
		for at, blk := range s.store.blocks {
			if blk != nil && blk.n > 0 {
				p.blocks[i][at] = of(i, keyCols(nil, blk.cols, s.keys), blk.n)
			}
		}
	}
	if h := j.keyed; h != nil {
		var ids []uint32
		for id, n := range h.counts {
			if n > 0 {
				ids = append(ids, uint32(id))
			}
		}
		keys := make([]vec.Vec, len(j.sides[1].keyTypes))
		for i, t := range j.sides[1].keyTypes {
			keys[i].SetAllocator(j.ctx.Alloc)
			keys[i].Reset(t.Kind(), 0)
			defer keys[i].Release()
		}
		h.groups.Append(ids, keys)
		p.counts = make([]uint8, len(h.counts))
		for i, part := range of(1, keys, len(ids)) {
			p.counts[ids[i]] = part
		}
	}
	var w state.Writer
	for k := range n {
		if !some[k] {
			continue
		}
		w.Reset()
		p.part = uint8(k)
		j.snapshotOf(p, &w)
		if err := put(k, &w); err != nil {
			return err
		}
	}
	return nil
}
