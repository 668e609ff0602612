package exec

import (
	"streamsql/internal/vec"
	"streamsql/sql/planner"
)

// batchPart holds some rows of a batch: those that belong to one window. Only the columns that the aggregation reads are filled.
type batchPart struct {
	used []bool
	cols []vec.Vec
	ops  []vec.Op
}

func (p *batchPart) open(n *planner.Aggregate, plan *groupPlan, ctx *Context) {
	cols := len(n.Input.Schema().Fields)
	p.used = make([]bool, cols)
	for _, k := range n.Keys {
		p.used[k] = true
	}
	plan.aggs.columns(p.used)
	p.cols = make([]vec.Vec, cols)
	for i := range p.cols {
		p.cols[i].SetAllocator(ctx.Alloc)
	}
}

// take fills the part with the rows sel of the columns views. What it gives is good until the next call; ops nil means that all rows are inserted.
func (p *batchPart) take(views []vec.Vec, ops []vec.Op, sel []int32) ([]vec.Vec, []vec.Op) {
	for c, used := range p.used {
		if used {
			p.cols[c].Reset(views[c].Kind, 0)
			p.cols[c].Gather(&views[c], sel)
		}
	}
	if ops == nil {
		return p.cols, nil
	}
	p.ops = p.ops[:0]
	for _, r := range sel {
		p.ops = append(p.ops, ops[r])
	}
	return p.cols, p.ops
}

func (p *batchPart) release() { releaseViews(p.cols) }
