package exec

import (
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
	"streamsql/state"
	"streamsql/window"
)

func newWindowTVF(n *planner.WindowTVF) (Operator, error) {
	if n.Spec.Kind == window.Session {
		return &sessionTVF{n: n}, nil
	}
	return &windowTVF{n: n}, nil
}

// windowTVF repeats each row for every window that it is in, window columns appended.
type windowTVF struct {
	n     *planner.WindowTVF
	ctx   *Context
	out   Output
	build *vec.Builder
	views []vec.Vec
	times []vec.Time
	sel   []int32
	wins  []window.Window
}

func (t *windowTVF) Open(ctx *Context, out Output) error {
	t.ctx, t.out = ctx, out
	t.build = vec.NewBuilder(ctx.Alloc, t.n.Schema())
	return nil
}

func (t *windowTVF) Push(_ int, b *vec.Batch) error {
	t.views = b.Views(t.views)
	if cap(t.times) < b.N {
		t.times = make([]vec.Time, max(b.N, vec.MaxRows))
	}
	times := timesOf(&t.views[t.n.TimeCol], b.N, t.times)
	t.sel, t.wins = t.sel[:0], t.wins[:0]
	var last window.Window
	for i, ts := range times {
		if t.n.Spec.Kind == window.Tumble && len(t.wins) > 0 && ts >= last.Start && ts < last.End {
			t.wins, t.sel = append(t.wins, last), append(t.sel, int32(i))
			continue
		}
		at := len(t.wins)
		t.wins = t.n.Spec.Assign(ts, t.wins)
		if len(t.wins) == at {
			if window.Infinite(ts) && t.ctx.Stats != nil {
				t.ctx.Stats.NullTimes++
			}
			continue
		}
		last = t.wins[len(t.wins)-1]
		for range t.wins[at:] {
			t.sel = append(t.sel, int32(i))
		}
		if len(t.sel) >= vec.MaxRows {
			if err := t.emit(b); err != nil {
				return err
			}
		}
	}
	return t.emit(b)
}

// emit sends the rows chosen so far with their windows.
func (t *windowTVF) emit(b *vec.Batch) error {
	if len(t.sel) == 0 {
		return nil
	}
	k := len(t.views)
	for c := range k {
		t.build.Cols[c].Gather(&t.views[c], t.sel)
	}
	appendWindows(t.build.Cols[k:], t.wins)
	for _, r := range t.sel {
		if b.Ops != nil {
			t.build.AppendOp(b.Ops[r])
		}
		if b.W != nil {
			t.build.W = append(t.build.W, b.W[r])
		}
	}
	out := t.build.Finish()
	out.From = b.From.Take(t.sel)
	t.sel, t.wins = t.sel[:0], t.wins[:0]
	err := t.out.Emit(out)
	out.Release()
	return err
}

// appendWindows appends window_start, window_end and window_time to three columns.
func appendWindows(cols []vec.Vec, ws []window.Window) {
	for _, w := range ws {
		for i, x := range [3]vec.Time{w.Start, w.End, w.Time()} {
			if cols[i].Kind == types.KindInt32 {
				cols[i].AppendInt32(types.TimestampToDate(x))
			} else {
				cols[i].AppendInt64(x)
			}
		}
	}
}

func (t *windowTVF) Advance(_ int, m Mark) error   { return t.out.Watermark(m) }
func (t *windowTVF) Tick(Tick) error               { return nil }
func (t *windowTVF) Snapshot(*state.Writer) error  { return nil }
func (t *windowTVF) Restore(r *state.Reader) error { return r.Err() }

func (t *windowTVF) Close() error {
	releaseViews(t.views)
	if t.build != nil {
		t.build.Release()
	}
	return nil
}
