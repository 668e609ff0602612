// Package window is the arithmetic of windows: which windows a row belongs to,
// where panes lie, when a window closes and whether a row is late. It is pure:
// no goroutine, no clock, no memory of rows.
package window

import (
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// Kind names a window function.
type Kind uint8

// The window kinds.
const (
	Tumble Kind = iota + 1
	Hop
	Cumulate
	Session
)

func (k Kind) String() string {
	return [...]string{"", "TUMBLE", "HOP", "CUMULATE", "SESSION"}[k]
}

// Spec is a window definition. Durations are microseconds. The grid of TUMBLE, HOP and
// CUMULATE starts at 1970-01-01 00:00 (in Zone, if set) plus Offset; starts are found by floor division.
type Spec struct {
	Kind    Kind
	Size    int64
	Slide   int64 // Hop: distance of starts; Cumulate: step
	Offset  int64
	Gap     int64 // Session: a row joins iff ts < last + Gap
	MaxSpan int64 // Session: 0 none
	// Months, where not 0, makes TUMBLE windows of that many calendar months; Size is then 0.
	Months int
	// Days, where Zone is set and the size is whole days, makes windows of local days (23 to 25 hours).
	Days int
	Zone *types.Zone // nil: UTC
	// TZ says that the time column is timestamptz: with a Zone its instants are read as local times.
	TZ bool
}

// Window is [Start, End) in microseconds.
type Window struct{ Start, End vec.Time }

// Time gives window_time, the last instant of the window.
func (w Window) Time() vec.Time { return w.End - 1 }

// Closed reports whether a window ending at end is closed under watermark w: every row before w has arrived.
func Closed(end, w vec.Time) bool { return w >= end }
