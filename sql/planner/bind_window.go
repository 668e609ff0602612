package planner

import (
	"strings"

	"streamsql/internal/fn"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/sql/parser/ast"
	"streamsql/window"
)

const usPerDay = 86_400_000_000

// maxWindowsPerRow bounds what one row may cost under HOP and CUMULATE.
const maxWindowsPerRow = 10_000

// constant evaluates an expression that must be known while planning.
func (b *binder) constant(e ast.Expr, want types.T, what string) (types.Datum, error) {
	x, err := b.expr(&exprCtx{s: &scope{}, clause: what, noSubqueries: true,
		columnsForbidden: "argument of " + what + " must not contain variables"}, e)
	if err != nil {
		return nil, err
	}
	y, ok, err := b.coerce(x, want, fn.Implicit, e.Position())
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, pgerr.New(pgerr.DatatypeMismatch, "argument of %s must be type %s, not type %s", what, want.Format(), x.Type().Bare().Format()).At(e.Position())
	}
	return b.evaluate(y, what, e.Position())
}

func (b *binder) evaluate(y Expr, what string, pos int) (types.Datum, error) {
	s := b.simplify(y)
	if c, ok := s.(*Const); ok {
		return c.Val, nil
	}
	hasParam := false
	walkExpr(s, func(x Expr) bool {
		if _, ok := x.(*Param); ok {
			hasParam = true
		}
		return true
	})
	if hasParam {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "%s must be known when the query is planned, it cannot be a parameter", what).
			WithHint("Write the value into the query.").At(pos)
	}
	if b.o.Fold != nil && constantExpr(s) {
		d, err := b.o.Fold(s)
		if err != nil {
			return nil, pgerr.AtPos(err, pos)
		}
		return d, nil
	}
	return nil, pgerr.New(pgerr.FeatureNotSupported, "%s must be a constant", what).At(pos)
}

func (b *binder) span(e ast.Expr, what string) (types.Span, error) {
	d, err := b.constant(e, types.Interval, what)
	if err != nil {
		return types.Span{}, err
	}
	if d == nil {
		return types.Span{}, pgerr.New(pgerr.NullValueNotAllowed, "%s must not be null", what).At(e.Position())
	}
	return types.SpanOf(d.([16]byte)), nil
}

// micros gives the length of an interval without months; a day is 24 hours.
func (b *binder) micros(e ast.Expr, what string) (int64, error) {
	s, err := b.span(e, what)
	if err != nil {
		return 0, err
	}
	if s.Months != 0 {
		return 0, pgerr.New(pgerr.FeatureNotSupported, "%s cannot have months or years", what).
			WithHint("Months have no fixed length. Calendar windows are those of TUMBLE with a size of months.").At(e.Position())
	}
	us := int64(s.Days)*usPerDay + s.Micros
	if int64(s.Days) > 100_000_000 || int64(s.Days) < -100_000_000 {
		return 0, pgerr.New(pgerr.DatetimeFieldOverflow, "interval out of range").At(e.Position())
	}
	return us, nil
}

// windowSpec evaluates the arguments of a window function over a time column of type t.
func (b *binder) windowArgs(a *ast.WindowArgs, t types.T) (window.Spec, error) {
	s := window.Spec{Kind: window.Kind(a.Kind), TZ: t.OID == types.OIDTimestamptz}
	name := a.Kind.String()
	bad := func(pos int, format string, args ...any) error {
		return pgerr.New(pgerr.FeatureNotSupported, format, args...).At(pos)
	}
	if t.OID != types.OIDTimestamp && t.OID != types.OIDTimestamptz {
		return s, pgerr.New(pgerr.DatatypeMismatch, "time column of %s must be type timestamp or timestamp with time zone, not type %s", name, t.Bare().Format()).
			WithHint("Cast the column to timestamp in a subquery.").At(a.TimeCol.Position())
	}
	positive := func(e ast.Expr, what string) (int64, error) {
		if e == nil {
			return 0, pgerr.New(pgerr.UndefinedFunction, "%s needs %s", name, what).At(a.Pos)
		}
		us, err := b.micros(e, "the "+what+" of "+name)
		if err == nil && us <= 0 {
			err = bad(e.Position(), "the %s of %s must be greater than zero", what, name).(*pgerr.Error).
				WithHint("Write it as an interval, such as INTERVAL '10 minutes'.")
		}
		return us, err
	}
	if a.TimeZone != nil {
		d, err := b.constant(a.TimeZone, types.Text, "the TIMEZONE of "+name)
		if err != nil {
			return s, err
		}
		zone, _ := d.(string)
		z, err := types.LoadZone(zone)
		if err != nil {
			return s, pgerr.AtPos(err, a.TimeZone.Position())
		}
		s.Zone = z
	}
	var err error
	if a.Offset != nil {
		if s.Offset, err = b.micros(a.Offset, "the offset of "+name); err != nil {
			return s, err
		}
	}
	switch a.Kind {
	case ast.Tumble:
		if a.Size == nil {
			return s, pgerr.New(pgerr.UndefinedFunction, "%s needs a size", name).At(a.Pos)
		}
		sp, err := b.span(a.Size, "the size of "+name)
		if err != nil {
			return s, err
		}
		if sp.Months != 0 {
			if sp.Days != 0 || sp.Micros != 0 {
				return s, bad(a.Size.Position(), "the size of TUMBLE cannot mix months with days or hours").(*pgerr.Error).
					WithHint("Choose whole months, or a size of days, hours and less.")
			}
			if sp.Months < 0 {
				return s, bad(a.Size.Position(), "the size of TUMBLE must be greater than zero").(*pgerr.Error).
					WithHint("Write it as an interval, such as INTERVAL '1 month'.")
			}
			s.Months = int(sp.Months)
			return s, nil
		}
		if s.Size, err = positive(a.Size, "size"); err != nil {
			return s, err
		}
		if s.Zone != nil && s.Size%usPerDay == 0 {
			s.Days = int(s.Size / usPerDay)
		}
	case ast.Hop:
		if s.Slide, err = positive(a.Slide, "slide"); err != nil {
			return s, err
		}
		if s.Size, err = positive(a.Size, "size"); err != nil {
			return s, err
		}
		if (s.Size+s.Slide-1)/s.Slide > maxWindowsPerRow {
			return s, bad(a.Slide.Position(), "HOP would put one row into more than %d windows", maxWindowsPerRow).(*pgerr.Error).
				WithHint("Use a larger slide or a smaller size.")
		}
		if s.Slide > s.Size && b.o.Notice != nil {
			n := pgerr.New(pgerr.SuccessfulCompletion, "the slide of HOP is greater than its size: rows in the gaps belong to no window").At(a.Slide.Position())
			n.Severity = "NOTICE"
			b.o.Notice(n)
		}
	case ast.Cumulate:
		if s.Slide, err = positive(a.Step, "step"); err != nil {
			return s, err
		}
		if s.Size, err = positive(a.Size, "size"); err != nil {
			return s, err
		}
		if s.Size%s.Slide != 0 {
			return s, bad(a.Size.Position(), "the size of CUMULATE must be a multiple of its step").(*pgerr.Error).
				WithHint("Choose a size such as INTERVAL '%s'.", types.AppendInterval(nil, &types.Env{}, types.Span{Micros: (s.Size/s.Slide + 1) * s.Slide}))
		}
		if s.Size/s.Slide > maxWindowsPerRow {
			return s, bad(a.Step.Position(), "CUMULATE would put one row into more than %d windows", maxWindowsPerRow).(*pgerr.Error).
				WithHint("Use a larger step or a smaller size.")
		}
	case ast.Session:
		if s.Gap, err = positive(a.Gap, "gap"); err != nil {
			return s, err
		}
		if a.MaxSpan != nil {
			if s.MaxSpan, err = positive(a.MaxSpan, "max_span"); err != nil {
				return s, err
			}
		}
	}
	return s, nil
}

// newWindow puts a window function over rel.
func (b *binder) newWindow(rel lrel, sc *scope, a *ast.WindowArgs) (*lWindow, lrel, error) {
	t, err := b.expr(&exprCtx{s: sc, clause: a.Kind.String()}, a.TimeCol)
	if err != nil {
		return nil, nil, err
	}
	col, ok := t.(*Column)
	if !ok {
		return nil, nil, pgerr.New(pgerr.FeatureNotSupported, "the time argument of %s must be a column", a.Kind).
			WithHint("Compute it in a subquery and name its column.").At(a.TimeCol.Position())
	}
	spec, err := b.windowArgs(a, col.Typ)
	if err != nil {
		return nil, nil, err
	}
	if !containsInt(rel.cols(), col.Index) {
		id := b.newCol(col.Name, col.Typ)
		rel = extend(rel, []projItem{{id, col}}, b)
		col = b.col(id)
	}
	w := &lWindow{in: rel, spec: spec, timeCol: col.Index, pos: a.Pos}
	w.start = b.newCol("window_start", col.Typ)
	w.end = b.newCol("window_end", col.Typ)
	w.tim = b.newCol("window_time", col.Typ)
	for _, id := range []int{w.start, w.end, w.tim} {
		b.cols[id].notNull = true
	}
	return w, rel, nil
}

func containsInt(s []int, x int) bool {
	for _, y := range s {
		if x == y {
			return true
		}
	}
	return false
}

// windowTVF binds TUMBLE and its kin in FROM.
func (b *binder) windowTVF(f *ast.WindowTVF, lat *scope) (lrel, *scope, error) {
	rel, in, err := b.fromItem(f.Input, lat)
	if err != nil {
		return nil, nil, err
	}
	in.parent = nil // a column of the input, not one of an outer query
	w, _, err := b.newWindow(rel, in, &f.WindowArgs)
	if err != nil {
		return nil, nil, err
	}
	for _, p := range f.PartitionBy {
		x, err := b.expr(&exprCtx{s: in, clause: "PARTITION BY"}, p)
		if err != nil {
			return nil, nil, err
		}
		c, ok := x.(*Column)
		if !ok {
			return nil, nil, notSupported("PARTITION BY an expression in "+f.Kind.String(), p.Position()).WithHint("Compute it in a subquery and name its column.")
		}
		w.partition = append(w.partition, c.Index)
	}
	t := &table{alias: f.Alias.Name}
	if t.alias == "" && len(in.tables) == 1 {
		t.alias, t.hidden = in.tables[0].alias, in.tables[0].hidden
	} else if t.alias == "" {
		t.hidden = true
	}
	for _, c := range in.cols {
		switch c.name {
		case "window_start", "window_end", "window_time": // hidden by the new ones, so that cascades work
			continue
		}
		t.cols = append(t.cols, scopeCol{c.name, c.id, t})
	}
	t.cols = append(t.cols, scopeCol{"window_start", w.start, t}, scopeCol{"window_end", w.end, t}, scopeCol{"window_time", w.tim, t})
	if err := aliasColumns(t, f.Alias); err != nil {
		return nil, nil, err
	}
	return w, oneTable(lat, t), nil
}

// hasTVF reports whether a FROM list itself (not a subquery in it) uses a window table function.
func hasTVF(items []ast.FromItem) bool {
	for _, f := range items {
		switch f := f.(type) {
		case *ast.WindowTVF:
			return true
		case *ast.JoinRef:
			if hasTVF([]ast.FromItem{f.L, f.R}) {
				return true
			}
		}
	}
	return false
}

// windowColumn resolves window_start, window_end and window_time of a group window.
func (s *scope) windowColumn(b *binder, name string, pos int) Expr {
	if s.sel == nil || s.sel.groupWin == nil {
		return nil
	}
	w := s.sel.groupWin
	switch name {
	case "window_start":
		return b.colAt(w.start, pos)
	case "window_end":
		return b.colAt(w.end, pos)
	case "window_time":
		return b.colAt(w.tim, pos)
	}
	return nil
}

// groupWindowHelper binds TUMBLE_START(..) and its kin.
func (b *binder) groupWindowHelper(c *exprCtx, e *ast.FuncCall, name string) (Expr, bool, error) {
	kind, part, ok := strings.Cut(name, "_")
	if !ok {
		return nil, false, nil
	}
	switch kind {
	case "tumble", "hop", "cumulate", "session":
	default:
		return nil, false, nil
	}
	switch part {
	case "start", "end", "rowtime", "time":
	default:
		return nil, false, nil
	}
	var w *lWindow
	for s := c.s; s != nil && w == nil; s = s.parent {
		if s.sel != nil && s.sel.groupWin != nil && strings.EqualFold(s.sel.kind.String(), kind) {
			w = s.sel.groupWin
		}
	}
	if w == nil {
		return nil, true, pgerr.New(pgerr.GroupingError, "%s needs %s in the GROUP BY clause of its query block", strings.ToUpper(name), strings.ToUpper(kind)).
			WithHint("Write GROUP BY %s(...), or use the table function in FROM and its column window_%s.", strings.ToUpper(kind), part).At(e.Pos)
	}
	if err := b.sameWindow(c, e, w, name, strings.ToUpper(kind)); err != nil {
		return nil, true, err
	}
	id := w.start
	switch part {
	case "end":
		id = w.end
	case "rowtime", "time":
		id = w.tim
	}
	return b.colAt(id, e.Pos), true, nil
}

// sameWindow checks that the arguments of a helper, where it has some, are those of the window in GROUP BY: one with
// another size would otherwise be given the bounds of a window that it did not ask for.
func (b *binder) sameWindow(c *exprCtx, e *ast.FuncCall, w *lWindow, name, kind string) error {
	if len(e.Args) == 0 {
		return nil
	}
	differs := pgerr.New(pgerr.GroupingError, "the arguments of %s differ from those of %s in the GROUP BY clause", strings.ToUpper(name), kind).
		WithHint("Repeat the arguments of GROUP BY %s(...), or use the columns window_start and window_end.", kind).At(e.Pos)
	t, err := b.expr(c, e.Args[0])
	if err != nil {
		return err
	}
	col, ok := t.(*Column)
	if !ok || b.cols[col.Index].name != b.cols[w.timeCol].name {
		return differs
	}
	a := ast.WindowArgs{Kind: ast.WindowKind(w.spec.Kind), TimeCol: e.Args[0], Pos: e.Pos}
	rest := map[ast.WindowKind][]*ast.Expr{ast.Tumble: {&a.Size, &a.Offset}, ast.Hop: {&a.Slide, &a.Size, &a.Offset},
		ast.Cumulate: {&a.Step, &a.Size, &a.Offset}, ast.Session: {&a.Gap, &a.MaxSpan}}[a.Kind]
	if len(e.Args)-1 > len(rest) {
		return differs
	}
	for i, x := range e.Args[1:] {
		*rest[i] = x
	}
	notice := b.o.Notice
	b.o.Notice = nil // what is to be said of the window has been said
	spec, err := b.windowArgs(&a, col.Typ)
	b.o.Notice = notice
	if err != nil {
		return err
	}
	spec.Zone, spec.Days = w.spec.Zone, w.spec.Days // the zone goes with GROUP BY, whose argument has a name
	if spec != w.spec {
		return differs
	}
	return nil
}
