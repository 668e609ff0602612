package window

import (
	"math"

	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// floorDiv divides rounding towards minus infinity; b > 0.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// Floor gives the last point of the grid with the given step through origin that is not after ts.
func Floor(ts vec.Time, step, origin int64) vec.Time {
	r := (ts - origin) % step
	if r < 0 {
		r += step
	}
	return ts - r
}

// addSat gives a+b, stopping at the ends of time.
func addSat(a, b int64) int64 {
	c := a + b
	switch {
	case b > 0 && c < a:
		return math.MaxInt64
	case b < 0 && c > a:
		return math.MinInt64
	}
	return c
}

// Infinite reports whether ts is infinity or -infinity, which are in no window.
func Infinite(ts vec.Time) bool { return ts == types.PosInfinity || ts == types.NegInfinity }

// edge keeps window bounds clear of the end of int64: rows that near to it are in no window.
const edge = int64(1) << 62

// inRange says whether windows of s around ts can be computed. All timestamps of PostgreSQL but the last few thousand years are.
func (s *Spec) inRange(ts vec.Time) bool {
	return ts > -edge && ts < math.MaxInt64-(s.Size+s.Slide+abs(s.Offset)) && !Infinite(ts) && s.Size < edge && s.Slide < edge
}

func abs(x int64) int64 {
	if x < 0 {
		return -x
	}
	return x
}

// Local says that the grid follows local time, so that windows differ in length.
func (s *Spec) Local() bool { return s.Months != 0 || s.Zone != nil && s.TZ }

// Assign appends the windows of TUMBLE, HOP or CUMULATE that ts is in to dst, in
// the order of their ends. There are none for an infinite ts, or in a gap where the slide is longer than the size.
func (s *Spec) Assign(ts vec.Time, dst []Window) []Window {
	if !s.inRange(ts) {
		return dst
	}
	switch s.Kind {
	case Tumble:
		return append(dst, s.tumble(ts))
	case Hop:
		return s.hop(ts, dst)
	case Cumulate:
		return s.cumulate(ts, dst)
	}
	return dst
}

func (s *Spec) tumble(ts vec.Time) Window {
	if s.Local() {
		return s.local(ts)
	}
	start := Floor(ts, s.Size, s.Offset)
	return Window{start, start + s.Size}
}

func (s *Spec) hop(ts vec.Time, dst []Window) []Window {
	if s.Local() {
		return s.localHop(ts, dst)
	}
	last := Floor(ts, s.Slide, s.Offset)
	// The oldest start that still reaches over ts.
	k := floorDiv(s.Size-1-(ts-last), s.Slide)
	if s.Size <= ts-last {
		return dst
	}
	for start := last - k*s.Slide; start <= last; start += s.Slide {
		dst = append(dst, Window{start, start + s.Size})
	}
	return dst
}

func (s *Spec) cumulate(ts vec.Time, dst []Window) []Window {
	if s.Local() {
		return s.localCumulate(ts, dst)
	}
	start := Floor(ts, s.Size, s.Offset)
	for end := start + ((ts-start)/s.Slide+1)*s.Slide; end <= start+s.Size; end += s.Slide {
		dst = append(dst, Window{start, end})
	}
	return dst
}

// Overlap gives how many windows one row can be in at the most (0 for sessions).
func (s *Spec) Overlap() int64 {
	switch {
	case s.Kind == Tumble:
		return 1
	case s.Kind == Session || s.Slide <= 0:
		return 0
	}
	return (s.Size + s.Slide - 1) / s.Slide
}

// PaneSize gives the length of the panes of HOP and CUMULATE: every window is a whole
// number of them. 0 where the grid is not regular.
func (s *Spec) PaneSize() int64 {
	switch {
	case s.Local() || s.Kind == Session:
		return 0
	case s.Kind == Tumble:
		return s.Size
	case s.Kind == Cumulate:
		return s.Slide
	}
	a, b := s.Size, s.Slide
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// Pane gives the start of the pane that ts is in.
func (s *Spec) Pane(ts vec.Time) vec.Time {
	if s.Kind == Cumulate {
		start := Floor(ts, s.Size, s.Offset)
		return start + (ts-start)/s.Slide*s.Slide
	}
	return Floor(ts, s.PaneSize(), s.Offset)
}

// FirstEnd gives the end of the first window that holds ts, LastEnd that of the last one; ok is false where there is none.
func (s *Spec) FirstEnd(ts vec.Time) (end vec.Time, ok bool) {
	w := s.Assign(ts, make([]Window, 0, 8))
	if len(w) == 0 {
		return 0, false
	}
	return w[0].End, true
}

// Late reports whether a row that comes when the watermark is w is too late for a
// window that ends at end and is kept for hold longer.
func Late(end, w vec.Time, hold int64) bool { return w >= addSat(end, hold) }

// CloseAt gives the watermark at which a window that ends at end and is held for hold closes.
func CloseAt(end vec.Time, hold int64) vec.Time { return addSat(end, hold) }

// Hold gives the watermark of window_time that a holder of closed windows passes on.
func Hold(w vec.Time, hold int64) vec.Time {
	if w == vec.MaxTime || w == vec.MinTime {
		return w
	}
	return addSat(w, -hold)
}
