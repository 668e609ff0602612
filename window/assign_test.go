package window

import (
	"slices"
	"testing"

	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// brute finds the windows of ts by trying every start near it.
func brute(s *Spec, ts vec.Time) []Window {
	var out []Window
	for start := ts - 200; start <= ts+200; start++ {
		switch s.Kind {
		case Cumulate:
			if (start-s.Offset)%s.Size != 0 || ts < start || ts >= start+s.Size {
				continue
			}
			for end := start + s.Slide; end <= start+s.Size; end += s.Slide {
				if end > ts {
					out = append(out, Window{start, end})
				}
			}
		default:
			slide := s.Slide
			if s.Kind == Tumble {
				slide = s.Size
			}
			if (start-s.Offset)%slide == 0 && start <= ts && ts < start+s.Size {
				out = append(out, Window{start, start + s.Size})
			}
		}
	}
	return out
}

func TestAssignExhaustive(t *testing.T) {
	for size := int64(1); size <= 8; size++ {
		for slide := int64(1); slide <= 10; slide++ {
			for offset := int64(-3); offset <= 11; offset += 2 {
				for ts := vec.Time(-25); ts <= 25; ts++ {
					specs := []Spec{{Kind: Hop, Size: size, Slide: slide, Offset: offset}, {Kind: Tumble, Size: size, Offset: offset}}
					if size%slide == 0 {
						specs = append(specs, Spec{Kind: Cumulate, Size: size, Slide: slide, Offset: offset})
					}
					for _, s := range specs {
						got, want := s.Assign(ts, nil), brute(&s, ts)
						if !slices.Equal(got, want) {
							t.Fatalf("%+v at %d: got %v, want %v", s, ts, got, want)
						}
						if p := s.Pane(ts); p > ts || ts >= p+s.PaneSize() {
							t.Fatalf("%+v at %d: pane %d", s, ts, p)
						}
						for _, w := range got { // windows are whole panes
							if s.Pane(w.Start) != w.Start {
								t.Fatalf("%+v: window %v does not begin with a pane", s, w)
							}
						}
					}
				}
			}
		}
	}
}

const (
	second = 1_000_000
	min1   = 60 * second
	hour   = 60 * min1
)

func TestTraps(t *testing.T) {
	ten := Spec{Kind: Tumble, Size: 10 * min1}
	for _, c := range []struct{ ts, start int64 }{
		{-2 * min1, -10 * min1}, {-1, -10 * min1}, {10 * min1, 10 * min1}, {0, 0}, // T1, T4
	} {
		if w := ten.Assign(c.ts, nil); len(w) != 1 || w[0] != (Window{c.start, c.start + 10*min1}) {
			t.Errorf("%d: %v", c.ts, w)
		}
	}
	for _, ts := range []int64{types.PosInfinity, types.NegInfinity} { // T14
		if w := ten.Assign(ts, nil); len(w) != 0 {
			t.Errorf("infinity is in %v", w)
		}
	}
	if (Window{0, 10}).Time() != 9 || !Closed(10, 10) || Closed(10, 9) || Late(10, 24, 15) || !Late(10, 25, 15) {
		t.Error("close rules")
	}
	s := Spec{Kind: Session, Gap: 5 * min1} // T38
	if s.Joins(0, 5*min1) || !s.Joins(5*min1, 10*min1-1) {
		t.Error("the gap is strict")
	}
}

// TestLocalGrids walks over the changes of the clock: windows follow each other without a gap.
func TestLocalGrids(t *testing.T) {
	for _, name := range []string{"Europe/Berlin", "America/Havana", "America/Sao_Paulo", "Australia/Lord_Howe", "Asia/Kolkata", "Africa/Cairo"} {
		zone, err := types.LoadZone(name)
		if err != nil {
			t.Fatal(err)
		}
		specs := []Spec{
			{Kind: Tumble, Size: day, Days: 1}, {Kind: Tumble, Size: 7 * day, Days: 7}, {Kind: Tumble, Months: 1}, {Kind: Tumble, Months: 3},
			{Kind: Tumble, Size: hour}, {Kind: Tumble, Size: 30 * min1}, {Kind: Tumble, Size: 6 * hour},
		}
		for _, s := range specs {
			s.Zone, s.TZ = zone, true
			begin := types.DaysFromCivil(2016, 1, 1) * day
			var last Window
			for ts := begin; ts < begin+3*365*day; ts += 17 * min1 {
				w := s.Assign(ts, nil)
				if len(w) != 1 || w[0].Start > ts || w[0].End <= ts {
					t.Fatalf("%s %+v at %d: %v", name, s, ts, w)
				}
				if last != (Window{}) && w[0] != last && w[0].Start < last.End {
					t.Fatalf("%s %+v at %d: %v overlaps %v", name, s, ts, w[0], last)
				}
				last = w[0]
			}
		}
	}
	berlin, _ := types.LoadZone("Europe/Berlin")
	s := Spec{Kind: Tumble, Size: day, Days: 1, Zone: berlin, TZ: true}
	length := func(y int64, m, d int) int64 {
		w := s.Assign(types.DaysFromCivil(y, m, d)*day+12*hour, nil)[0]
		return (w.End - w.Start) / hour
	}
	if a, b, c := length(2026, 3, 29), length(2026, 10, 25), length(2026, 6, 1); a != 23 || b != 25 || c != 24 {
		t.Errorf("days of %d, %d and %d hours", a, b, c)
	}
	h := Spec{Kind: Tumble, Size: hour, Zone: berlin, TZ: true}
	first := types.DaysFromCivil(2026, 10, 25)*day + 30*min1 // 02:30 CEST
	if a, b := h.Assign(first, nil)[0], h.Assign(first+hour, nil)[0]; a == b || a.End != b.Start {
		t.Errorf("the repeated hour: %v, %v", a, b)
	}
	m := Spec{Kind: Tumble, Months: 1}
	if w := m.Assign(types.DaysFromCivil(2024, 2, 29)*day, nil)[0]; w.End-w.Start != 29*day {
		t.Errorf("February 2024 is %v", w)
	}
}
