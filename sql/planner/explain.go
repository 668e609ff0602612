package planner

import (
	"fmt"
	"slices"
	"strings"

	"streamsql/catalog"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/parser/ast"
	"streamsql/window"
)

// Explain gives the plan as text, one operator a line with its properties indented below,
// as PostgreSQL's EXPLAIN does. A node that is computed once and read several times is
// numbered and printed once. verbose adds output columns, changelog kind, keys and watermarks of every node.
func Explain(n Node, verbose bool) string {
	e := &explainer{verbose: verbose, uses: map[Node]int{}, number: map[Node]int{}}
	e.count(n)
	e.node(n, 0)
	return strings.TrimRight(e.b.String(), "\n")
}

type explainer struct {
	b       strings.Builder
	verbose bool
	uses    map[Node]int
	number  map[Node]int
}

func (e *explainer) count(n Node) {
	e.uses[n]++
	if e.uses[n] > 1 {
		return
	}
	for _, in := range shown(n) {
		e.count(in)
	}
}

func (e *explainer) node(n Node, depth int) {
	prefix, indent := "", strings.Repeat(" ", 6*depth-min(depth, 1)*4+0)
	if depth > 0 {
		prefix = strings.Repeat(" ", 6*(depth-1)+2) + "->  "
		indent = strings.Repeat(" ", 6*depth)
	}
	title, lines := e.describe(n)
	if e.uses[n] > 1 {
		if k, seen := e.number[n]; seen {
			fmt.Fprintf(&e.b, "%sShared #%d\n", prefix, k)
			return
		}
		e.number[n] = len(e.number) + 1
		title += fmt.Sprintf("  (shared #%d)", e.number[n])
	}
	e.b.WriteString(prefix + title + "\n")
	if _, root := n.(*Emit); e.verbose && !root {
		lines = append(lines, e.props(n)...)
	}
	for _, l := range lines {
		e.b.WriteString(indent + "  " + l + "\n")
	}
	for _, in := range shown(n) {
		e.node(in, depth+1)
	}
}

// shown gives the operators below n: of a recursive query its terms.
func shown(n Node) []Node {
	if r, ok := n.(*Recursive); ok {
		return []Node{r.Base, r.Term}
	}
	return n.Inputs()
}

// names gives the columns of a schema; ones that occur twice get their position.
func names(s *vec.Schema) []string {
	count := map[string]int{}
	for _, f := range s.Fields {
		count[f.Name]++
	}
	out := make([]string, len(s.Fields))
	for i, f := range s.Fields {
		out[i] = f.Name
		if count[f.Name] > 1 {
			out[i] = fmt.Sprintf("%s#%d", f.Name, i+1)
		}
	}
	return out
}

func pick(ns []string, cols []int) string {
	out := make([]string, len(cols))
	for i, c := range cols {
		out[i] = ns[c]
	}
	return strings.Join(out, ", ")
}

func (e *explainer) props(n Node) []string {
	p := n.Props()
	ns := names(n.Schema())
	kind := "append-only"
	if p.Retracts {
		kind = "retracting"
	}
	if p.Bounded {
		kind += ", bounded"
	}
	out := []string{"Changelog: " + kind}
	if len(p.Keys) > 0 {
		var ks []string
		for _, k := range p.Keys {
			ks = append(ks, "("+pick(ns, k)+")")
		}
		out = append(out, "Keys: "+strings.Join(ks, " "))
	}
	if len(p.Watermarks) > 0 {
		out = append(out, "Watermark on: "+pick(ns, p.Watermarks))
	}
	return out
}

func (e *explainer) describe(n Node) (string, []string) {
	var lines []string
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	switch n := n.(type) {
	case *Scan:
		name := n.Rel.Name
		if n.Rel.Schema != "" && n.Rel.Schema != "public" {
			name = n.Rel.Schema + "." + name
		}
		what := map[catalog.RelKind]string{catalog.Source: "Source Scan", catalog.MatView: "View Scan", catalog.System: "Catalog Scan"}[n.Rel.Kind]
		if what == "" {
			what = "Table Scan"
		}
		cols := make([]string, len(n.Cols))
		for i, c := range n.Cols {
			cols[i] = n.Rel.Columns[c].Name
		}
		if len(cols) > 0 || len(n.Rel.Columns) == 0 {
			add("Columns: %s", strings.Join(cols, ", "))
		} else {
			add("Rows: counted")
		}
		if n.Key != nil {
			add("Key: %s", keyString(n))
		}
		return what + " on " + name, lines
	case *Watermark:
		ns := names(n.Input.Schema())
		add("Expression: %s", exprString(n.Expr, ns))
		if n.IdleTimeout > 0 {
			add("Idle Timeout: %s", micros(n.IdleTimeout))
		}
		if n.MaxFuture > 0 {
			add("Max Future: %s", micros(n.MaxFuture))
		}
		return "Watermark on " + ns[n.Column], lines
	case *Given:
		return "Changed Rows", lines
	case *Values:
		for i, r := range n.Rows {
			if i == 3 && !e.verbose {
				add("... %d rows", len(n.Rows))
				break
			}
			add("(%s)", exprStrings(r, nil))
		}
		return "Values", lines
	case *TableFunc:
		var ns []string
		if n.Input != nil {
			ns = names(n.Input.Schema())
		}
		title := "Function Scan on " + n.Fn.Name
		if n.Outer {
			title = "Outer " + title
		}
		add("Call: %s(%s)", n.Fn.Name, exprStrings(n.Args, ns))
		if n.Ordinality {
			add("With Ordinality")
		}
		return title, lines
	case *ProjectSet:
		ns := names(n.Input.Schema())
		for i, f := range n.Fns {
			add("Call: %s(%s)", f.Name, exprStrings(n.Args[i], ns))
		}
		return "ProjectSet", lines
	case *Calc:
		ns := names(n.Input.Schema())
		add("Output: %s", outputs(n.Exprs, ns, n.schema))
		if len(n.Filter) > 0 {
			add("Filter: %s", filterString(n.Filter, ns))
		}
		return "Calc", lines
	case *Temporal:
		ns := names(n.Input.Schema())
		add("Condition: %s %s %s", ns[n.Key], n.Op, exprStrings([]Expr{n.Bound}, ns))
		return "TemporalFilter", lines
	case *WindowTVF:
		ns := names(n.Input.Schema())
		add("Window: %s", windowString(&n.Spec, ns[n.TimeCol]))
		if len(n.PartitionBy) > 0 {
			add("Partition By: %s", pick(ns, n.PartitionBy))
		}
		return "Window", lines
	case *Aggregate:
		ns := names(n.Input.Schema())
		title := "Aggregate"
		if n.Window != nil {
			title = "Window Aggregate"
			add("Window: %s", windowString(n.Window, ns[n.TimeCol]))
			if n.SessionKeys != nil {
				var ks []int
				for _, k := range n.SessionKeys {
					ks = append(ks, n.Keys[k])
				}
				add("Session Key: (%s)", pick(ns, ks))
			}
		}
		if len(n.Keys) > 0 {
			add("Group Key: %s", pick(ns, n.Keys))
		}
		for _, a := range n.Aggs {
			add("%s", "Aggregate: "+aggString(a, ns))
		}
		if n.OnClose {
			s := "Emit: on window close"
			if n.Window == nil {
				s = "Emit: when " + ns[n.Keys[n.CloseKey]] + " has passed"
			}
			if n.Hold > 0 {
				s += ", delayed by " + micros(n.Hold)
			}
			if n.Lateness > 0 {
				s += ", refined for " + micros(n.Lateness)
			}
			add("%s", s)
		} else if n.FreeLate {
			add("State: freed when closed")
		}
		return title, lines
	case *Join:
		ln, rn := names(n.Left.Schema()), names(n.Right.Schema())
		both := append(append([]string(nil), ln...), rn...)
		both = dedup(both)
		kind := map[JoinType]string{InnerJoin: "Join", LeftJoin: "Left Join", RightJoin: "Right Join", FullJoin: "Full Join", SemiJoin: "Semi Join", AntiJoin: "Anti Join"}[n.Type]
		title := "Hash " + kind
		if len(n.LeftKeys) == 0 {
			title = "Nested Loop " + strings.TrimSpace(strings.TrimSuffix(kind, "Join")) + " Join"
			title = strings.ReplaceAll(title, "  ", " ")
		}
		switch {
		case n.Interval != nil:
			title = "Interval " + title
		case n.WindowEnd != nil:
			title = "Window " + title
		}
		var conds []string
		for i := range n.LeftKeys {
			op := "="
			if n.NullSafe != nil && n.NullSafe[i] {
				op = "IS NOT DISTINCT FROM"
			}
			conds = append(conds, fmt.Sprintf("(%s %s %s)", ln[n.LeftKeys[i]], op, rn[n.RightKeys[i]]))
		}
		if len(conds) > 0 {
			add("Hash Cond: %s", strings.Join(conds, " AND "))
		}
		if len(n.Residual) > 0 {
			add("Join Filter: %s", filterString(n.Residual, both))
		}
		if n.Interval != nil {
			add("Interval: %s in [%s%s, %s%s]", rn[n.Interval.RightTime], ln[n.Interval.LeftTime], signed(n.Interval.Lo), ln[n.Interval.LeftTime], signed(n.Interval.Hi))
		}
		if n.WindowEnd != nil {
			add("Closes With: %s, %s", ln[n.WindowEnd[0]], rn[n.WindowEnd[1]])
		}
		if n.Single {
			add("Single Row")
		}
		if n.NullAware {
			add("Null Aware")
		}
		if n.OnClose {
			add("Emit: unmatched rows on close")
		}
		return title, lines
	case *AsOfJoin:
		return e.asOf(n)
	case *LookupJoin:
		return e.lookup(n)
	case *WorkingTable:
		return "WorkTable Scan", nil
	case *Recursive:
		if !n.All {
			add("Distinct")
		}
		return "Recursive Union", lines
	case *Union:
		return "Append", nil
	case *SetOp:
		s := "Intersect"
		if n.Except {
			s = "Except"
		}
		if n.All {
			s += " All"
		}
		return "SetOp " + s, nil
	case *Sort:
		add("Sort Key: %s", sortString(n.Keys, names(n.Input.Schema())))
		return "Sort", lines
	case *TopN:
		ns := names(n.Input.Schema())
		title := "Limit"
		if len(n.Keys) > 0 {
			title = "Top-N"
			add("Sort Key: %s", sortString(n.Keys, ns))
		}
		if len(n.Partition) > 0 {
			add("Partition By: %s", pick(ns, n.Partition))
		}
		switch {
		case n.LimitParam != nil:
			add("Limit: %s", exprString(n.LimitParam, nil))
		case n.Limit >= 0:
			add("Limit: %d", n.Limit)
		}
		switch {
		case n.OffsetParam != nil:
			add("Offset: %s", exprString(n.OffsetParam, nil))
		case n.Offset > 0:
			add("Offset: %d", n.Offset)
		}
		if n.Presorted {
			add("Presorted")
		}
		if n.WithTies {
			add("With Ties")
		}
		if n.RankCol {
			add("Output: row_number")
		}
		closeLines(&n.Close, ns, add)
		return title, lines
	case *Over:
		ns := names(n.Input.Schema())
		if len(n.Partition) > 0 {
			add("Partition By: %s", pick(ns, n.Partition))
		}
		if len(n.Keys) > 0 {
			add("Order By: %s", sortString(n.Keys, ns))
		}
		for _, c := range n.Calls {
			args := pick(ns, c.Args)
			if c.Agg != nil {
				args = pick(ns, c.Agg.Args)
			}
			add("Call: %s(%s)", c.Name, args)
		}
		closeLines(&n.Close, ns, add)
		return "WindowAgg", lines
	case *Emit:
		return e.emit(n)
	}
	return fmt.Sprintf("%T", n), nil
}

// closeLines says when the rows of a Top-N or a window function are final.
func closeLines(c *Closing, ns []string, add func(format string, args ...any)) {
	switch {
	case c.OnClose:
		s := "Emit: when " + ns[c.Col] + " has passed"
		if c.End {
			s = "Emit: on window close"
		}
		if c.Hold > 0 {
			s += ", delayed by " + micros(c.Hold)
		}
		add("%s", s)
	case c.FreeLate && c.By != NeverCloses:
		add("State: freed when closed")
	}
}

func (e *explainer) emit(n *Emit) (string, []string) {
	var lines []string
	s := &n.Spec
	title := "Emit " + map[ast.EmitTrigger]string{ast.EmitChanges: "Changes", ast.EmitOnUpdate: "On Update", ast.EmitOnClose: "On Window Close",
		ast.EmitAfterDelay: "After Delay", ast.EmitAfterDelayAndClose: "After Delay And Window Close", ast.EmitPeriodic: "Periodic"}[s.Trigger]
	if s.Subscribe {
		title = "Subscribe"
	}
	env := map[Envelope]string{EnvelopeAppend: "append", EnvelopeChangelog: "changelog", EnvelopeUpsert: "upsert", EnvelopePeriodic: "periodic"}[s.Envelope]
	lines = append(lines, "Envelope: "+env)
	if s.Key != nil {
		lines = append(lines, "Key: ("+pick(names(n.Input.Schema()), s.Key)+")")
	}
	if s.TimerKey != nil && !slices.Equal(s.TimerKey, s.Key) {
		lines = append(lines, "Timer: ("+pick(names(n.Input.Schema()), s.TimerKey)+")")
	}
	if s.Trigger == ast.EmitAfterDelayAndClose {
		lines = append(lines, "Close: "+names(n.Input.Schema())[s.CloseCol])
	}
	for _, d := range []struct {
		name string
		us   int64
	}{{"Batch", s.Batch}, {"Delay", s.Delay}, {"Period", s.Period}, {"Hold", s.Hold}, {"Lateness", s.Lateness}, {"Timeout", s.Timeout}} {
		if d.us > 0 {
			lines = append(lines, d.name+": "+micros(d.us))
		}
	}
	if s.Late != "" {
		lines = append(lines, strings.TrimSpace("Late: "+s.Late+" "+s.LateInto))
	}
	if !s.Snapshot {
		lines = append(lines, "Snapshot: false")
	}
	if s.Limit >= 0 {
		lines = append(lines, fmt.Sprintf("Limit: %d", s.Limit))
	}
	return title, lines
}

func dedup(ns []string) []string {
	count := map[string]int{}
	for _, n := range ns {
		count[n]++
	}
	for i, n := range ns {
		if count[n] > 1 {
			ns[i] = fmt.Sprintf("%s#%d", n, i+1)
		}
	}
	return ns
}

func micros(us int64) string {
	return string(types.AppendInterval(nil, nil, types.Span{Days: int32(us / usPerDay), Micros: us % usPerDay}))
}

func signed(us int64) string {
	switch {
	case us == 0:
		return ""
	case us < 0:
		return " - " + micros(-us)
	}
	return " + " + micros(us)
}

func windowString(s *window.Spec, col string) string {
	args := []string{col}
	switch s.Kind {
	case window.Tumble:
		if s.Months > 0 {
			args = append(args, string(types.AppendInterval(nil, nil, types.Span{Months: int32(s.Months)})))
		} else {
			args = append(args, micros(s.Size))
		}
	case window.Session:
		args = append(args, micros(s.Gap))
		if s.MaxSpan > 0 {
			args = append(args, "max_span => "+micros(s.MaxSpan))
		}
	default:
		args = append(args, micros(s.Slide), micros(s.Size))
	}
	if s.Offset != 0 {
		args = append(args, "offset => "+micros(s.Offset))
	}
	if s.Zone != nil {
		args = append(args, "timezone => "+s.Zone.Name())
	}
	return s.Kind.String() + "(" + strings.Join(args, ", ") + ")"
}

func sortString(keys []SortKey, ns []string) string {
	out := make([]string, len(keys))
	for i, k := range keys {
		out[i] = ns[k.Col]
		if k.Desc {
			out[i] += " DESC"
		}
		if k.NullsFirst != k.Desc {
			if k.NullsFirst {
				out[i] += " NULLS FIRST"
			} else {
				out[i] += " NULLS LAST"
			}
		}
	}
	return strings.Join(out, ", ")
}

func aggString(a AggCall, ns []string) string {
	args := pick(ns, a.Args)
	if len(a.Args) == 0 {
		args = "*"
	}
	if a.Distinct {
		args = "DISTINCT " + args
	}
	if len(a.OrderBy) > 0 {
		args += " ORDER BY " + sortString(a.OrderBy, ns)
	}
	s := a.Name + "(" + args + ")"
	if a.Filter >= 0 {
		s += " FILTER (WHERE " + ns[a.Filter] + ")"
	}
	return s
}

func outputs(es []Expr, ns []string, s *vec.Schema) string {
	out := make([]string, len(es))
	for i, e := range es {
		out[i] = exprString(e, ns)
		if _, ok := e.(*Column); !ok && i < len(s.Fields) && s.Fields[i].Name != "" {
			out[i] += " AS " + s.Fields[i].Name
		}
	}
	return strings.Join(out, ", ")
}

func filterString(es []Expr, ns []string) string {
	out := make([]string, len(es))
	for i, e := range es {
		s := exprString(e, ns)
		if !strings.HasPrefix(s, "(") {
			s = "(" + s + ")"
		}
		out[i] = s
	}
	return strings.Join(out, " AND ")
}

func exprStrings(es []Expr, ns []string) string {
	out := make([]string, len(es))
	for i, e := range es {
		out[i] = exprString(e, ns)
	}
	return strings.Join(out, ", ")
}

// exprString prints an expression whose columns are called ns.
func exprString(e Expr, ns []string) string {
	str := func(x Expr) string { return exprString(x, ns) }
	not := func(n bool) string {
		if n {
			return "NOT "
		}
		return ""
	}
	join := func(es []Expr, sep string) string {
		out := make([]string, len(es))
		for i, x := range es {
			out[i] = str(x)
		}
		return "(" + strings.Join(out, sep) + ")"
	}
	switch e := e.(type) {
	case nil:
		return ""
	case *Column:
		if e.Index < len(ns) {
			return ns[e.Index]
		}
		return e.Name
	case *Const:
		return constString(e)
	case *Param:
		return fmt.Sprintf("$%d", e.N)
	case *Call:
		if e.Fn.IsOp {
			if len(e.Args) == 1 {
				return "(" + e.Fn.Name + " " + str(e.Args[0]) + ")"
			}
			return "(" + str(e.Args[0]) + " " + e.Fn.Name + " " + str(e.Args[1]) + ")"
		}
		return e.Fn.Name + "(" + exprStrings(e.Args, ns) + ")"
	case *Cast:
		return str(e.X) + "::" + e.To.Format()
	case *And:
		return join(e.Args, " AND ")
	case *Or:
		return join(e.Args, " OR ")
	case *Not:
		return "(NOT " + str(e.X) + ")"
	case *IsNull:
		return "(" + str(e.X) + " IS " + not(e.Not) + "NULL)"
	case *IsBool:
		return fmt.Sprintf("(%s IS %s%s)", str(e.X), not(e.Not), strings.ToUpper(fmt.Sprint(e.Want)))
	case *IsDistinct:
		return "(" + str(e.L) + " IS " + not(e.Not) + "DISTINCT FROM " + str(e.R) + ")"
	case *Case:
		s := "CASE"
		for _, w := range e.Whens {
			s += " WHEN " + str(w.Cond) + " THEN " + str(w.Then)
		}
		if e.Else != nil {
			s += " ELSE " + str(e.Else)
		}
		return s + " END"
	case *Coalesce:
		return "COALESCE" + join(e.Args, ", ")
	case *MinMax:
		if e.Greatest {
			return "GREATEST" + join(e.Args, ", ")
		}
		return "LEAST" + join(e.Args, ", ")
	case *In:
		return "(" + str(e.X) + " " + not(e.Not) + "IN " + join(e.List, ", ") + ")"
	case *AnyArray:
		q := "ANY"
		if e.All {
			q = "ALL"
		}
		return fmt.Sprintf("(%s %s %s (%s))", str(e.X), e.Op.Name, q, str(e.Array))
	case *Array:
		return "ARRAY[" + exprStrings(e.Elems, ns) + "]"
	case *Row:
		return "ROW" + join(e.Elems, ", ")
	case *Guarded:
		return str(e.X)
	case *Field:
		return fmt.Sprintf("(%s).f%d", str(e.X), e.Index+1)
	case *Subscript:
		s := str(e.X)
		for i, x := range e.Subs {
			if e.Slice {
				s += "[" + str(x) + ":" + str(e.Upper[i]) + "]"
			} else {
				s += "[" + str(x) + "]"
			}
		}
		return s
	}
	return fmt.Sprintf("%T", e)
}

func constString(c *Const) string {
	if c.Val == nil {
		return "NULL::" + c.Typ.Format()
	}
	s := string(types.AppendText(nil, nil, c.Typ, c.Val))
	switch c.Typ.OID {
	case types.OIDInt4, types.OIDNumeric:
		return s
	case types.OIDBool:
		return fmt.Sprint(c.Val)
	}
	return "'" + strings.ReplaceAll(s, "'", "''") + "'::" + c.Typ.Format()
}
