package laws

import (
	"time"

	"streamsql/catalog"
	"streamsql/internal/vec"
)

// watermarks gives the watermark of a relation before each of its events and after the last.
func watermarks(in *input, name string) []vec.Time {
	r := relations[name]
	top := [2]vec.Time{vec.MinTime, vec.MaxTime}
	if in.split && r.rel.Kind == catalog.Source {
		top[1] = vec.MinTime
	}
	out := []vec.Time{vec.MinTime}
	for _, e := range in.events[name] {
		if s := e.row[r.timeCol]; s != null && s != "infinity" && e.of < 0 {
			p := in.partition(name, e)
			top[p] = max(top[p], parseTime(s)-r.delay)
		}
		out = append(out, min(top[0], top[1]))
	}
	return out
}

func parseTime(s string) vec.Time {
	if s == "infinity" {
		return vec.MaxTime
	}
	t, err := time.Parse("2006-01-02 15:04:05.999999", s)
	if err != nil {
		return vec.MaxTime
	}
	return t.UnixMicro()
}

// shrink removes events as long as the check still fails.
func shrink(in *input, names []string, fails func(*input) error) *input {
	deadline := time.Now().Add(time.Second)
	for n := max(in.size(names)/2, 1); ; n = max(n/2, 1) {
		removed := false
		for _, name := range names {
			for at := 0; at < len(in.events[name]) && time.Now().Before(deadline); {
				try := without(in, name, at, n)
				if fails(try) != nil {
					in, removed = try, true
				} else {
					at += n
				}
			}
			if in.stored[name] > 0 {
				try := in.clone()
				try.stored[name] = 0
				if fails(try) != nil {
					in, removed = try, true
				}
			}
		}
		if n == 1 && !removed || time.Now().After(deadline) {
			return in
		}
	}
}

// without removes n events from at on, and the deletes of rows that are no longer inserted.
func without(in *input, name string, at, n int) *input {
	out := in.clone()
	out.events[name] = nil
	gone := map[int]bool{}
	stored := in.stored[name]
	for i, e := range in.events[name] {
		if i >= at && i < at+n || gone[e.of] && e.of >= 0 {
			if e.of < 0 {
				gone[e.id] = true
			}
			if i < in.stored[name] {
				stored--
			}
			continue
		}
		out.events[name] = append(out.events[name], e)
	}
	out.stored[name] = stored
	return out
}
