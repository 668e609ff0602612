package engine

import (
	"maps"
	"slices"
	"sync"
	"time"

	"streamsql/catalog"
	"streamsql/exec"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// queryProgress is what others may know of a running continuous query: how far event time has come, and its late rows.
type queryProgress struct {
	view  uint32 // 0: a query of the session pid
	pid   int32
	marks []markState
	late  []lateState
}

// markState is the progress of a partition of a relation.
type markState struct {
	rel uint32
	exec.PartitionMark
}

// progressOf looks at a graph. It is called by whoever runs the graph.
func progressOf(g *exec.Graph, late *lateRows) *queryProgress {
	p := &queryProgress{late: late.states()}
	for i, in := range g.Inputs() {
		for _, m := range g.Watermark(i) {
			p.marks = append(p.marks, markState{in.Scan.Rel.OID, m})
		}
	}
	return p
}

// runningQueries are the continuous queries of sessions. Each tells now and then how far it is.
type runningQueries struct {
	mu sync.Mutex
	m  map[*queryPortal]*queryProgress
}

func (r *runningQueries) set(q *queryPortal, p *queryProgress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.m == nil {
		r.m = map[*queryPortal]*queryProgress{}
	}
	r.m[q] = p
}

func (r *runningQueries) remove(q *queryPortal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.m, q)
}

// progressEvery is how often a query that does not wait tells how far it is.
const progressEvery = 10 * time.Millisecond

// tell makes it known how far the query is; unless it is about to wait, only now and then.
func (p *queryPortal) tell(waits bool) {
	if p.graph == nil || !p.q.Continuous || !waits && time.Since(p.told) < progressEvery {
		return
	}
	p.told = time.Now()
	s := progressOf(p.graph, p.late)
	s.pid = p.s.pid
	p.e.queries.set(p, s)
}

// progress gives the progress of all views and continuous queries.
func (e *Engine) progress() (out []*queryProgress) {
	c := e.coord
	c.step.Lock()
	for _, j := range c.jobs {
		if j.graph != nil {
			p := progressOf(j.graph, j.late)
			p.view = j.rel.rel.OID
			out = append(out, p)
		}
	}
	c.step.Unlock()
	e.queries.mu.Lock()
	defer e.queries.mu.Unlock()
	own := slices.SortedFunc(maps.Values(e.queries.m), func(a, b *queryProgress) int { return int(a.pid) - int(b.pid) })
	return append(out, own...)
}

// who gives the columns that say whose progress it is. name names a relation by its OID.
func (p *queryProgress) who(rel uint32, name func(oid uint32) string) map[string]types.Datum {
	row := map[string]types.Datum{}
	if rel != 0 {
		row["relation"] = name(rel)
	}
	if p.view != 0 {
		row["view"] = name(p.view)
	} else {
		row["pid"] = p.pid
	}
	return row
}

// watermarks adds the rows of sys.watermarks.
func (p *queryProgress) watermarks(name func(oid uint32) string, add func(map[string]types.Datum)) {
	for _, m := range p.marks {
		row := p.who(m.rel, name)
		row["partition"], row["state"] = int64(m.Partition), m.State
		row["rows"], row["late_rows"], row["null_times"], row["future_rows"] = m.Rows, m.Late, m.NullTimes, m.Future
		switch m.W {
		case vec.MinTime:
		case vec.MaxTime:
			row["watermark"] = types.PosInfinity
		default:
			row["watermark"] = m.W
		}
		if m.LastRowAt != vec.MinTime {
			row["last_row_at"] = m.LastRowAt
		}
		add(row)
	}
}

// lateRows adds the rows of sys.late.
func (p *queryProgress) lateRows(name func(oid uint32) string, sees func(oid uint32) bool, add func(map[string]types.Datum)) {
	for _, l := range p.late {
		row := p.who(l.rel, name)
		row["policy"], row["late_rows"] = l.policy, l.rows
		row["last_watermark"], row["last_window_end"] = l.w, l.end
		if sees(l.rel) {
			row["last_row"] = l.last
		}
		if l.into != 0 {
			row["target"] = name(l.into)
		}
		if l.rows > 0 {
			row["last_late_at"] = l.at
		}
		add(row)
	}
}

// rows adds the rows of sys.bad_data.
func (l *badLog) rows(name func(oid uint32) string, add func(map[string]types.Datum)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, oid := range slices.Sorted(maps.Keys(l.by)) {
		s := l.by[oid]
		row := map[string]types.Datum{"relation": name(oid), "policy": s.policy, "bad_rows": s.rows}
		if s.into != 0 {
			row["target"] = name(s.into)
		}
		if s.rows > 0 {
			row["last_at"], row["place"], row["sqlstate"], row["error"] = s.at, s.place, s.code, s.lastText
		}
		add(row)
	}
}

// jobState is what SHOW JOBS and sys.jobs tell of a view's job.
type jobState struct {
	oid           uint32
	view, state   string
	read, changes int64
	stored, kept  types.Datum
	memory, disk  types.Datum
	err           string
	since         int64
}

// jobStates tells of the jobs that run, of those that are on their way back after a restart, and of those that fill their views.
func (e *Engine) jobStates() []jobState {
	c := e.coord
	c.step.Lock()
	defer c.step.Unlock()
	out := make([]jobState, 0, len(c.jobs))
	trouble, why := e.persist.trouble()
	for _, j := range c.jobs {
		st := j.state()
		st.read, st.changes = j.stats.Rows, j.rows
		if j.graph != nil {
			st.kept = j.graph.StateRows()
		}
		finished, failed := j.ended, j.failed
		if j.sink != nil && failed == nil {
			finished, failed = j.sink.state()
		}
		switch {
		case failed != nil && j.stopped:
			st.state, st.err = "stopped", failed.Error()
		case failed != nil:
			st.state, st.err = "failed", failureText(failed)
		case finished:
			st.state = "finished"
		case j.paused != nil:
			st.state = "paused"
		case trouble != "":
			st.state, st.err = trouble, why
		default:
			for _, f := range j.feeds {
				if f.away != nil {
					st.state, st.err = "retrying", f.away.err.Error()
				}
			}
		}
		out = append(out, st)
	}
	for _, r := range c.returning {
		rel := e.Catalog().ByOID(r.rel.OID)
		if rel == nil || slices.ContainsFunc(c.jobs, func(j *job) bool { return j.rel.rel.OID == rel.OID }) {
			continue
		}
		st := jobState{oid: rel.OID, view: rel.Name, state: "starting", since: e.clock()}
		if rel.Paused {
			st.state = "paused"
		}
		out = append(out, st)
	}
	e.filling.Range(func(k, _ any) bool {
		j := k.(*job)
		st := j.state()
		st.state, st.read = "filling", j.read.Load()
		out = append(out, st)
		return true
	})
	return out
}

func (j *job) state() jobState {
	st := jobState{oid: j.rel.rel.OID, view: j.rel.rel.Name, state: "running", since: j.since}
	if j.memory.account != nil {
		st.memory, st.disk = j.memory.account.Used(), j.memory.account.OnDisk()
	}
	if j.stored > 0 {
		st.stored = j.stored
	}
	return st
}

// relationName names a relation that may not be in the catalog yet.
func (j jobState) relationName(cat *catalog.Snapshot, name func(oid uint32) string) string {
	if cat.ByOID(j.oid) == nil {
		return j.view
	}
	return name(j.oid)
}
