package planner

import (
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// Given is rows that are known only when the plan is executed: what a statement has changed, for the parts of it that read that.
type Given struct {
	base
	// Rows are set by BindGiven, and borrowed until the plan has been executed.
	Rows []*vec.Batch
}

// Inputs implements Node.
func (n *Given) Inputs() []Node { return nil }

// lGiven is Given before lowering.
type lGiven struct {
	node *Given
	ids  []int
}

func (r *lGiven) cols() []int    { return r.ids }
func (r *lGiven) inputs() []lrel { return nil }
func (r *lGiven) exprs() []Expr  { return nil }

// given makes a relation of columns whose rows come at execution.
func (b *binder) given(ids []int) *lGiven {
	n := &Given{}
	n.schema = &vec.Schema{Fields: b.fields(ids)}
	n.props.Bounded = true
	return &lGiven{n, ids}
}

// GivenRows are the rows of a Given of a plan.
type GivenRows map[*Given][]*vec.Batch

// BindGiven is Bind with rows for what the plan reads of Given.
func BindGiven(n Node, args []types.Datum, rows GivenRows) Node {
	b := &paramBinder{args: args, done: map[Node]Node{}}
	for g, r := range rows {
		c := *g
		c.Rows = r
		b.done[g] = &c
	}
	return b.node(n)
}
