package exec

import (
	"streamsql/internal/fn"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
)

func newAggWrapper(alloc vec.Allocator, c *planner.AggCall, o fn.AggOptions) fn.Aggregate {
	return c.Agg.New(o)
}
