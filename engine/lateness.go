package engine

import (
	"slices"
	"strings"

	"streamsql/catalog"
	"streamsql/exec"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
)

// lateRows is what a continuous query does with late rows, and what it knows of them. It is used by whoever runs the query.
type lateRows struct {
	e     *Engine
	view  *catalog.Relation // nil: a query of a session
	put   *aside
	by    map[uint32]*lateOf
	again bool // rows are late that have been told of before
	// other has the rows of which it is not known where they came from.
	other lateOf
}

// lateOf is the late rows of one relation.
type lateOf struct {
	rel    *catalog.Relation
	policy planner.LatePolicy
	into   *asideTable // nil: they are only counted
	rows   int64
	at     vec.Time // when the last one came
	w, end vec.Time // of the last one
	last   *vec.Batch
	row    int
}

// lateColumns gives the columns of a table for late rows of a relation: its own, when the row came, the watermark before it and
// the end of the last window that it would have been in.
func lateColumns(rel *catalog.Relation) []vec.Field {
	t := rel.Columns[rel.Watermark.Column].Type
	return append(slices.Clone(rel.Fields().Fields), vec.Field{Name: "_late_at", Type: types.Timestamptz},
		vec.Field{Name: "_watermark", Type: t}, vec.Field{Name: "_window_end", Type: t})
}

// newLateRows makes ready for the late rows of a plan: tables that they go to are looked up, and made where there is none.
// path is where names without a schema are looked for. The caller holds no lock of the engine.
func (e *Engine) newLateRows(root planner.Node, view *catalog.Relation, path []string, put *aside) (*lateRows, error) {
	l := &lateRows{e: e, view: view, put: put, by: map[uint32]*lateOf{}}
	var reads []uint32
	var marks []*planner.Watermark
	visitPlan(root, func(n planner.Node) {
		switch n := n.(type) {
		case *planner.Scan:
			reads = append(reads, n.Rel.OID)
		case *planner.Watermark:
			marks = append(marks, n)
		}
	})
	for _, n := range marks {
		scan, ok := n.Input.(*planner.Scan)
		if !ok || l.by[scan.Rel.OID] != nil {
			continue
		}
		o := &lateOf{rel: scan.Rel, policy: n.Late}
		l.by[scan.Rel.OID] = o
		l.other.policy.Error = l.other.policy.Error || n.Late.Error
		if n.Late.Into == nil {
			continue
		}
		schema, name, err := e.lateTarget(n.Late.Into, path)
		if err != nil {
			return nil, err
		}
		if o.into, err = put.open(schema, name, lateColumns(scan.Rel), "late rows of "+scan.Rel.Name); err != nil {
			return nil, err
		}
		if e.Catalog().Feeds(o.into.rel.OID, reads) {
			return nil, pgerr.New(pgerr.FeatureNotSupported, "late rows cannot go to \"%s\", which the query reads", o.into.rel.Name).
				WithDetail("A late row would come back as a row of the input, for ever.").WithHint("Name another table.")
		}
	}
	return l, nil
}

// lateTarget gives the schema and name of a table for late rows.
func (e *Engine) lateTarget(name, path []string) (schema, base string, err error) {
	base = name[len(name)-1]
	if len(name) > 1 {
		return name[len(name)-2], base, nil
	}
	if r := e.Catalog().Find("", base, path); r != nil && r.Kind != catalog.System {
		return r.Schema, base, nil
	}
	if len(path) == 0 {
		return "", "", pgerr.New(pgerr.InvalidSchemaName, "no schema has been selected to create in")
	}
	return path[0], base, nil
}

// visitPlan calls f for each node of a plan once.
func visitPlan(root planner.Node, f func(planner.Node)) {
	seen := map[planner.Node]bool{}
	var walk func(planner.Node)
	walk = func(n planner.Node) {
		if seen[n] {
			return
		}
		seen[n] = true
		f(n)
		for _, in := range n.Inputs() {
			walk(in)
		}
	}
	walk(root)
}

// writes lists the relations that late rows go to.
func (l *lateRows) writes() (oids []uint32) {
	for _, o := range l.by {
		if o.into != nil && !slices.Contains(oids, o.into.rel.OID) {
			oids = append(oids, o.into.rel.OID)
		}
	}
	slices.Sort(oids)
	return oids
}

// late takes a late row: it is counted, and then what its policy says. A table that it goes to gets rows that were added, not
// those that were taken away: what a late DELETE took is counted only.
func (l *lateRows) late(x *exec.LateRow) error {
	if l.again {
		return nil
	}
	o := &l.other
	if x.Rel != nil && l.by[x.Rel.OID] != nil {
		o = l.by[x.Rel.OID]
	}
	o.rows++
	o.at, o.w, o.end = l.e.clock(), x.W, x.End
	if o.last != x.Rows {
		if o.last != nil {
			o.last.Release()
		}
		o.last = x.Rows.Retain()
	}
	o.row = x.Row
	switch {
	case o.policy.Error:
		err := o.fail(x)
		if l.view == nil {
			return err
		}
		l.e.recordRowError(l.view, err, x.Rows, x.Row)
	case o.into != nil && x.Rows.Op(x.Row) == vec.Insert:
		n := len(o.rel.Columns)
		var v vec.Vec
		o.into.add(func(i int, dst *vec.Vec) {
			switch i - n {
			case 0:
				dst.AppendInt64(o.at)
			case 1:
				dst.AppendInt64(x.W)
			case 2:
				if x.End == vec.MaxTime {
					dst.AppendNull()
				} else {
					dst.AppendInt64(x.End)
				}
			default:
				v.View(x.Rows.Cols[i])
				dst.Append(&v, x.Row)
			}
		})
	}
	return nil
}

// fail is the error of a late row under LATE ERROR.
func (o *lateOf) fail(x *exec.LateRow) error {
	what, t := "a row", types.Timestamp
	if o.rel != nil {
		what = "a row of \"" + o.rel.Name + "\""
		t = o.rel.Columns[o.rel.Watermark.Column].Type
	}
	verb := "came"
	if x.Rows.Op(x.Row) == vec.Delete {
		verb = "was deleted"
	}
	env := types.Env{}
	detail := "The row is (" + rowText(x.Rows, x.Row) + "); the watermark is " + string(types.AppendText(nil, &env, t, x.W))
	if x.End != vec.MaxTime {
		detail += ", and its last window ends at " + string(types.AppendText(nil, &env, t, x.End))
	}
	return pgerr.New(pgerr.DataException, "%s %s late: every window that it falls in has closed", what, verb).
		WithDetail("%s.", detail).
		WithHint("ALLOWED LATENESS keeps windows open for longer; LATE INTO a table keeps late rows; LATE DROP counts them only.")
}

// counts gives how many rows came late so far, by relation (0: unknown); restore sets it.
func (l *lateRows) counts() map[uint32]lateCount {
	out := map[uint32]lateCount{}
	for oid, o := range l.by {
		if o.rows > 0 {
			out[oid] = lateCount{o.rows, o.at}
		}
	}
	if l.other.rows > 0 {
		out[0] = lateCount{l.other.rows, l.other.at}
	}
	return out
}

func (l *lateRows) restore(counts map[uint32]lateCount) {
	for oid, c := range counts {
		o := l.by[oid]
		if o == nil {
			o = &l.other
		}
		o.rows, o.at = c.rows, c.at
	}
}

func (l *lateRows) close() {
	if l == nil {
		return
	}
	for _, o := range l.by {
		if o.last != nil {
			o.last.Release()
			o.last = nil
		}
	}
	if l.other.last != nil {
		l.other.last.Release()
		l.other.last = nil
	}
}

// lateState is a row of sys.late.
type lateState struct {
	rel          uint32 // 0: unknown
	policy       string
	into         uint32
	rows         int64
	at           vec.Time
	w, end, last types.Datum
}

// states tells of the late rows so far, relation by relation.
func (l *lateRows) states() (out []lateState) {
	if l == nil {
		return nil
	}
	all := []*lateOf{}
	for _, o := range l.by {
		all = append(all, o)
	}
	if l.other.rows > 0 {
		all = append(all, &l.other)
	}
	for _, o := range all {
		s := lateState{policy: o.policy.String(), rows: o.rows, at: o.at}
		if s.policy, _, _ = strings.Cut(s.policy, ":"); o.rel != nil {
			s.rel = o.rel.OID
		}
		if o.into != nil {
			s.into = o.into.rel.OID
		}
		if o.last != nil {
			s.w, s.last = o.w, rowJSON(o.last, o.row)
			if o.end != vec.MaxTime {
				s.end = o.end
			}
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b lateState) int { return int(a.rel) - int(b.rel) })
	return out
}
