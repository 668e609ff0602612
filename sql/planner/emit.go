package planner

import (
	"slices"
	"strings"

	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/parser/ast"
)

// emitSpec evaluates the arguments of EMIT.
func (b *binder) emitSpec(e *ast.Emit) (EmitSpec, error) {
	s := EmitSpec{Trigger: e.Trigger, Repeat: e.Repeat, Late: e.Late, Snapshot: true, Limit: -1}
	for _, d := range []struct {
		e    ast.Expr
		to   *int64
		what string
		zero bool
	}{
		{e.Batch, &s.Batch, "WITH BATCH", true}, {e.Delay, &s.Delay, "AFTER DELAY", false}, {e.Period, &s.Period, "PERIODIC", false},
		{e.Hold, &s.Hold, "WITH DELAY", true}, {e.Lateness, &s.Lateness, "ALLOWED LATENESS", true}, {e.Timeout, &s.Timeout, "TIMEOUT", false},
	} {
		if d.e == nil {
			continue
		}
		us, err := b.micros(d.e, d.what)
		if err != nil {
			return s, err
		}
		switch {
		case us < 0 && d.zero:
			return s, pgerr.New(pgerr.InvalidParameterValue, "the interval of %s must not be negative", d.what).At(d.e.Position())
		case us <= 0 && !d.zero:
			return s, pgerr.New(pgerr.InvalidParameterValue, "the interval of %s must be greater than zero", d.what).At(d.e.Position())
		}
		*d.to = us
	}
	if e.Snapshot != nil {
		s.Snapshot = *e.Snapshot
	}
	s.Progress = e.Progress != nil && *e.Progress
	if e.LateInto.Parts != nil {
		s.LateInto = e.LateInto.String()
	}
	if e.Limit != nil {
		d, err := b.constant(e.Limit, types.Int8, "LIMIT")
		if err != nil {
			return s, err
		}
		if d != nil {
			if s.Limit = d.(int64); s.Limit < 0 {
				return s, pgerr.New(pgerr.InvalidRowCountInLimit, "LIMIT must not be negative").At(e.Limit.Position())
			}
		}
	}
	closes := e.Trigger == ast.EmitOnClose || e.Trigger == ast.EmitAfterDelayAndClose
	if !closes {
		for _, x := range []struct {
			e    ast.Expr
			what string
		}{{e.Hold, "WITH DELAY"}, {e.Timeout, "TIMEOUT"}} {
			if x.e != nil {
				return s, pgerr.New(pgerr.FeatureNotSupported, "%s needs a trigger that closes windows", x.what).
					WithHint("Use EMIT ON WINDOW CLOSE %s.", x.what).At(x.e.Position())
			}
		}
	}
	return s, nil
}

// emit puts the Emit node on top, after checking that the plan can give what it promises. timerCols are for setTimerKey.
func (b *binder) emit(root Node, q *Query, e *ast.Emit, s EmitSpec, timerCols []int) (Node, error) {
	f := flowOf(root)
	if s.Trigger == ast.EmitOnClose {
		if err := b.checkClose(root, e, s); err != nil {
			return nil, err
		}
	}
	keys := visibleKeys(f.props.Keys, len(q.Columns))
	key := shortestKey(keys)
	if ks := visibleKeys([][]int{f.session}, len(q.Columns)); f.session != nil && len(ks) > 0 {
		key = ks[0]
	}
	s.Key = key
	switch s.Trigger {
	case ast.EmitOnUpdate:
		s.Envelope = EnvelopeUpsert
	case ast.EmitOnClose:
		s.Envelope = EnvelopeAppend
		if f.props.Retracts {
			s.Envelope = EnvelopeChangelog
		}
	case ast.EmitPeriodic:
		s.Envelope = EnvelopePeriodic
	default:
		s.Envelope = EnvelopeChangelog
	}
	switch e.As {
	case "changelog":
		s.Envelope = EnvelopeChangelog
	case "upsert":
		s.Envelope = EnvelopeUpsert
	case "append":
		if f.props.Retracts {
			return nil, pgerr.New(pgerr.FeatureNotSupported, "the query takes rows back, it cannot be emitted AS APPEND").
				WithHint("Use AS CHANGELOG, or EMIT ON WINDOW CLOSE over windows.").At(e.AsPos)
		}
		s.Envelope = EnvelopeAppend
	}
	if s.Envelope == EnvelopeUpsert {
		if len(e.Key) > 0 {
			var named []int
			for _, k := range e.Key {
				i := slices.IndexFunc(q.Columns, func(f vec.Field) bool { return f.Name == k })
				if i < 0 {
					return nil, pgerr.New(pgerr.UndefinedColumn, "column \"%s\" named in KEY does not exist", k).At(e.KeyPos)
				}
				named = append(named, i)
			}
			if !provenKey(keys, named) {
				return nil, pgerr.New(pgerr.FeatureNotSupported, "the query does not prove that (%s) identifies a row", strings.Join(e.Key, ", ")).
					WithHint("%s", keyHint(q, keys)).At(e.KeyPos)
			}
			s.Key = named
		} else if key == nil {
			what, pos := "EMIT ON UPDATE", e.Pos
			if e.As == "upsert" {
				what, pos = "AS UPSERT", e.AsPos
			}
			return nil, pgerr.New(pgerr.FeatureNotSupported, "%s needs a key, and the query proves none", what).
				WithHint("GROUP BY the key and select it, select the primary key of a table, or use EMIT CHANGES.").At(pos)
		}
	}
	if s.Trigger == ast.EmitAfterDelay || s.Trigger == ast.EmitAfterDelayAndClose {
		setTimerKey(&s, root, timerCols)
	}
	if b.o.view {
		return b.foldEmit(root, q, e, s)
	}
	n := &Emit{Input: root, Spec: s}
	n.base = inherit(root, nil)
	var lead []vec.Field
	switch s.Envelope {
	case EnvelopeChangelog, EnvelopeUpsert:
		lead = []vec.Field{{Name: "_op", Type: types.Text}, {Name: "_ts", Type: types.Timestamptz}}
	case EnvelopePeriodic:
		lead = []vec.Field{{Name: "_ts", Type: types.Timestamptz}}
	}
	if s.Progress {
		if len(lead) == 0 {
			lead = []vec.Field{{Name: "_ts", Type: types.Timestamptz}}
		}
		lead = append(lead, vec.Field{Name: "_progressed", Type: types.Bool})
	}
	q.lead(lead)
	n.schema = &vec.Schema{Fields: q.Columns}
	n.props.Retracts = false
	n.props.Keys = nil
	n.props.Watermarks = nil
	return n, nil
}

// foldEmit puts EMIT on top of a view's plan: the view is the fold of what the form sends. Forms that send every change at once need no node.
func (b *binder) foldEmit(root Node, q *Query, e *ast.Emit, s EmitSpec) (Node, error) {
	timed := s.Batch > 0 || s.Trigger == ast.EmitAfterDelay || s.Trigger == ast.EmitAfterDelayAndClose || s.Trigger == ast.EmitPeriodic || s.Timeout > 0
	switch {
	case !s.Snapshot && root.Props().Retracts:
		return nil, pgerr.New(pgerr.FeatureNotSupported, "a view cannot start WITH (SNAPSHOT = false): rows that it does not have may be taken back").
			WithHint("Leave SNAPSHOT out.").At(e.Pos)
	case s.Limit >= 0 && s.Trigger == ast.EmitPeriodic:
		return nil, pgerr.New(pgerr.FeatureNotSupported, "a view cannot end within a result of EMIT PERIODIC").
			WithHint("Write LIMIT before EMIT, to limit each result.").At(e.Limit.Position())
	case !timed && s.Snapshot && s.Limit < 0:
		return root, nil
	}
	s.Fold, s.Progress = true, false
	n := &Emit{Input: root, Spec: s}
	n.base = inherit(root, &vec.Schema{Fields: q.Columns})
	n.props.Keys = visibleKeys(n.props.Keys, len(q.Columns))
	n.props.Watermarks, n.ends = nil, nil
	return n, nil
}

// visibleKeys gives the keys that consist of the first n columns.
func visibleKeys(keys [][]int, n int) [][]int {
	return slices.DeleteFunc(slices.Clone(keys), func(k []int) bool {
		return slices.ContainsFunc(k, func(c int) bool { return c >= n })
	})
}

// lead puts the columns of an envelope before the select list.
func (q *Query) lead(fields []vec.Field) {
	q.Columns = append(slices.Clone(fields), q.Columns...)
	q.Origins = append(make([]Origin, len(fields)), q.Origins...)
}

func shortestKey(keys [][]int) []int {
	var best []int
	for _, k := range keys {
		if best == nil || len(k) < len(best) {
			best = k
			if best == nil {
				best = []int{}
			}
		}
	}
	return best
}

func provenKey(keys [][]int, named []int) bool {
	return slices.ContainsFunc(keys, func(k []int) bool {
		return !slices.ContainsFunc(k, func(c int) bool { return !slices.Contains(named, c) })
	})
}

func keyHint(q *Query, keys [][]int) string {
	k := shortestKey(keys)
	if k == nil {
		return "GROUP BY the key and select it, or select the primary key of a table."
	}
	var names []string
	for _, c := range k {
		names = append(names, q.Columns[c].Name)
	}
	return "The plan proves the key (" + strings.Join(names, ", ") + ")."
}
