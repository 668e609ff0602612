package exec

import (
	"streamsql/internal/fn"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
)

// sessionTVF appends session windows to rows. It is a session aggregate that
// groups by the whole row and counts: a row that comes n times is sent n times.
type sessionTVF struct {
	n *planner.WindowTVF
	*sessionAggregate
	repeat repeater
}

// countRows is the count(*) that tells how often a row is in its session.
func countRows() planner.AggCall {
	return planner.AggCall{Agg: fn.LookupAgg("count")[0], Options: fn.AggOptions{Ret: types.Int8}, Filter: -1, Name: "n"}
}

// Open implements Operator.
func (t *sessionTVF) Open(ctx *Context, out Output) error {
	in := t.n.Input.Schema()
	agg := &planner.Aggregate{Input: t.n.Input, Aggs: []planner.AggCall{countRows()}, Window: &t.n.Spec, TimeCol: t.n.TimeCol,
		SessionKeys: append([]int{}, t.n.PartitionBy...), CloseKey: -1}
	for i := range in.Fields {
		agg.Keys = append(agg.Keys, i)
	}
	fields := append(append([]vec.Field{}, t.n.Schema().Fields...), vec.Field{Name: "n", Type: types.Int8})
	agg.Describe(vec.NewSchema(fields...), *t.n.Props())
	t.sessionAggregate = &sessionAggregate{n: agg, spec: agg.Window}
	t.repeat = repeater{out: out, build: vec.NewBuilder(ctx.Alloc, t.n.Schema())}
	return t.sessionAggregate.Open(ctx, &t.repeat)
}

// Close implements Operator.
func (t *sessionTVF) Close() error {
	if t.sessionAggregate == nil {
		return nil
	}
	t.repeat.build.Release()
	releaseViews(t.repeat.views)
	return t.sessionAggregate.Close()
}

// repeater sends each row as often as its last column says.
type repeater struct {
	out   Output
	build *vec.Builder
	views []vec.Vec
}

// Emit implements Output.
func (r *repeater) Emit(b *vec.Batch) error {
	r.views = b.Views(r.views)
	k := len(r.views) - 1
	var sel []int32
	for i, n := range r.views[k].I64 {
		for range n {
			sel = append(sel, int32(i))
		}
	}
	for at := 0; at < len(sel); at += vec.MaxRows {
		part := sel[at:min(at+vec.MaxRows, len(sel))]
		for c := range k {
			r.build.Cols[c].Gather(&r.views[c], part)
		}
		for _, i := range part {
			r.build.AppendOp(b.Op(int(i)))
			if b.W != nil {
				r.build.W = append(r.build.W, b.W[i])
			}
		}
		out := r.build.Finish()
		err := r.out.Emit(out)
		out.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// Watermark implements Output.
func (r *repeater) Watermark(m Mark) error { return r.out.Watermark(m) }
