package window

import (
	"sort"

	"streamsql/internal/vec"
)

// Run is a stretch of rows of one key: the times of its first and last row. Closed, where set,
// says that the session it is in has ended at End and takes no more rows.
type Run struct {
	First, Last vec.Time
	End         vec.Time
	Closed      bool
}

// Find gives the index of the last run that does not begin after ts, -1 if there is none. Runs are in order and apart.
func Find[R any](runs []R, first func(*R) vec.Time, ts vec.Time) int {
	return sort.Search(len(runs), func(i int) bool { return first(&runs[i]) > ts }) - 1
}

// Joins reports whether a row at ts belongs to the same session as a row at last: the gap is strict.
func (s *Spec) Joins(last, ts vec.Time) bool { return ts < addSat(last, s.Gap) }

// SessionEnd gives the end of a session from first to last.
func (s *Spec) SessionEnd(first, last vec.Time) vec.Time {
	end := addSat(last, s.Gap)
	if s.MaxSpan > 0 {
		end = min(end, addSat(first, s.MaxSpan))
	}
	return end
}

// Next gives the index after the session that begins with runs[i], and its window. Runs are in order;
// with MaxSpan each holds rows of one time, so that sessions split as if the rows had come in order.
func (s *Spec) Next(run func(i int) Run, n, i int) (next int, w Window) {
	r := run(i)
	first, last := r.First, r.Last
	for i++; i < n; i++ {
		q := run(i)
		if q.Closed || q.First >= s.SessionEnd(first, last) {
			break
		}
		last = q.Last
	}
	return i, Window{first, s.SessionEnd(first, last)}
}

// Tombstone gives the watermark until which a closed session must be remembered, so that no
// row can begin a session that overlaps it.
func (s *Spec) Tombstone(end vec.Time, keep int64) vec.Time {
	return addSat(addSat(end, keep), 2*s.Gap)
}
