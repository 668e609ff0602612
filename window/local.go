package window

import (
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// Windows on a local grid. A grid of whole days or months starts each window at
// the first instant at which the clock shows its start. A finer grid starts one
// at every instant at which the clock shows a point of the grid: an hour that is repeated is two windows.

const day = 24 * 3600 * 1e6

// clock gives the offset of s's zone at an instant, in microseconds east of UTC.
func (s *Spec) clock(ts vec.Time) int64 {
	if s.Zone == nil || !s.TZ {
		return 0
	}
	off, _, _ := s.Zone.Offset(ts)
	return int64(off) * types.UsPerSecond
}

// days says that the grid is one of whole days or months.
func (s *Spec) days() bool { return s.Days != 0 || s.Months != 0 || s.Size%day == 0 }

// local gives the window of a grid of Size (or Days, or Months).
func (s *Spec) local(ts vec.Time) Window {
	if !s.days() {
		return Window{s.begin(ts, s.Size), s.next(ts, s.Size)}
	}
	l := ts + s.clock(ts) - s.Offset
	var a, b int64
	if s.Months != 0 {
		d := floorDiv(l, day)
		y, m, _ := types.CivilFromDays(d)
		n := Floor(y*12+int64(m-1), int64(s.Months), 1970*12)
		a, b = monthStart(n), monthStart(n+int64(s.Months))
	} else {
		size := s.Size
		if s.Days != 0 {
			size = int64(s.Days) * day
		}
		a = Floor(l, size, 0)
		b = a + size
	}
	return Window{s.first(a + s.Offset), s.first(b + s.Offset)}
}

// monthStart gives the first midnight of a month counted from year 0.
func monthStart(n int64) int64 {
	return types.DaysFromCivil(floorDiv(n, 12), int(n-floorDiv(n, 12)*12)+1, 1) * day
}

// first gives the first instant at which the clock shows l, or a later time where it skips l.
func (s *Spec) first(l int64) vec.Time {
	before := s.clock(l - day)
	after := s.clock(l + day)
	if before == after && s.clock(l-before) == before {
		return l - before
	}
	if t := l - before; s.clock(t) == before {
		return t
	}
	// The clock changed before it showed l.
	c := s.change(l-day, l+day)
	if t := l - s.clock(c); t >= c {
		return t
	}
	return c
}

// change finds the instant in (a, b] at which the offset stops being that of a. There must be one.
func (s *Spec) change(a, b vec.Time) vec.Time {
	off := s.clock(a)
	for b-a > 1 {
		if m := a + (b-a)/2; s.clock(m) == off {
			a = m
		} else {
			b = m
		}
	}
	return b
}

// begin gives the last instant, not after ts, at which the clock shows a point of the grid of step, or skips one.
func (s *Spec) begin(ts vec.Time, step int64) vec.Time {
	off := s.clock(ts)
	start := Floor(ts+off, step, s.Offset) - off
	if s.clock(start) == off {
		return start
	}
	c := s.change(start, ts) // start < c <= ts
	old := s.clock(c - 1)
	if off > old { // the clock was put forward over (c+old, c+off]
		if p := start + off; p >= c+old {
			return c
		}
		return start + off - old
	}
	return s.begin(c-1, step)
}

// next gives the first instant after ts at which the clock shows a point of the grid, or skips one.
func (s *Spec) next(ts vec.Time, step int64) vec.Time {
	off := s.clock(ts)
	end := Floor(ts+off, step, s.Offset) + step - off
	if s.clock(end) == off {
		return end
	}
	c := s.change(ts, end) // ts < c <= end
	now := s.clock(c)
	if now > off {
		if end+off <= c+now {
			return c
		}
		return end + off - now
	}
	// The clock was put back: the point is reached under the new offset.
	p := Floor(c+now, step, s.Offset)
	if p < c+now {
		p += step
	}
	return p - now
}

// endOf gives the end of a window of HOP that starts at start.
func (s *Spec) endOf(start vec.Time) vec.Time {
	if s.days() {
		return s.first(start + s.clock(start) + s.Size)
	}
	return start + s.Size
}

func (s *Spec) localHop(ts vec.Time, dst []Window) []Window {
	at := len(dst)
	step := func(t vec.Time) vec.Time { return s.begin(t, s.Slide) }
	if s.Slide%day == 0 {
		step = func(t vec.Time) vec.Time {
			l := Floor(t+s.clock(t), s.Slide, s.Offset)
			return s.first(l)
		}
	}
	for start := step(ts); ; start = step(start - 1) {
		end := s.endOf(start)
		if end <= ts {
			break
		}
		dst = append(dst, Window{start, end})
	}
	for i, j := at, len(dst)-1; i < j; i, j = i+1, j-1 {
		dst[i], dst[j] = dst[j], dst[i]
	}
	return dst
}

func (s *Spec) localCumulate(ts vec.Time, dst []Window) []Window {
	w := s.local(ts)
	l := w.Start + s.clock(w.Start)
	for k := int64(1); ; k++ {
		end := w.Start + k*s.Slide
		if s.Slide%day == 0 {
			end = s.first(l + k*s.Slide)
		}
		end = min(end, w.End)
		if end > ts {
			dst = append(dst, Window{w.Start, end})
		}
		if end == w.End {
			return dst
		}
	}
}
