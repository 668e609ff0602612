package exec

import (
	"streamsql/internal/vec"
	"streamsql/sql/planner"
	"streamsql/state"
)

type overTimed struct {
	n          *planner.Over
	mark, sent Mark
}

func (o *overTimed) Open(*Context, Output) error   { return nil }
func (o *overTimed) Push(int, *vec.Batch) error    { return nil }
func (o *overTimed) Advance(int, Mark) error       { return nil }
func (o *overTimed) Tick(Tick) error               { return nil }
func (o *overTimed) Snapshot(*state.Writer) error  { return nil }
func (o *overTimed) Restore(r *state.Reader) error { return nil }
func (o *overTimed) Close() error                  { return nil }
