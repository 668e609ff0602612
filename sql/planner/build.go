package planner

import (
	"fmt"
	"slices"
	"strings"

	"streamsql/catalog"
	"streamsql/internal/fn"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/window"
)

// builder makes the nodes of a plan with their properties. Structurally equal
// nodes are one pointer, so that a subplan written twice is computed once.
type builder struct {
	continuous bool
	onClose    bool // EMIT ON WINDOW CLOSE: aggregates send final results only
	free       bool // closed windows are freed and their rows late, also over kept rows
	hold, late int64
	lateRows   *LatePolicy // what EMIT says of late rows; nil: each relation has its own default
	nodes      map[string]Node
	b          *binder // of a continuous query, for conditions on the time
}

func newBuilder(continuous bool) *builder {
	return &builder{continuous: continuous, nodes: map[string]Node{}}
}

func (p *builder) intern(key string, mk func() Node) Node {
	if n, ok := p.nodes[key]; ok {
		return n
	}
	n := mk()
	p.nodes[key] = n
	return n
}

func exprsKey(es []Expr) string {
	var b strings.Builder
	for _, e := range es {
		writeKey(&b, e)
		b.WriteByte(';')
	}
	return b.String()
}

// flow is what a node knows beyond its Props: see base.
func flowOf(n Node) *base {
	switch n := n.(type) {
	case *Scan:
		return &n.base
	case *Watermark:
		return &n.base
	case *Values:
		return &n.base
	case *Given:
		return &n.base
	case *TableFunc:
		return &n.base
	case *ProjectSet:
		return &n.base
	case *Calc:
		return &n.base
	case *Temporal:
		return &n.base
	case *WindowTVF:
		return &n.base
	case *Aggregate:
		return &n.base
	case *Join:
		return &n.base
	case *AsOfJoin:
		return &n.base
	case *LookupJoin:
		return &n.base
	case *Recursive:
		return &n.base
	case *WorkingTable:
		return &n.base
	case *Union:
		return &n.base
	case *SetOp:
		return &n.base
	case *Sort:
		return &n.base
	case *TopN:
		return &n.base
	case *Over:
		return &n.base
	case *Emit:
		return &n.base
	}
	return &base{}
}

func inherit(in Node, schema *vec.Schema) base {
	f := flowOf(in)
	b := base{schema: schema, freeLate: f.freeLate, ends: slices.Clone(f.ends), finals: f.finals, held: f.held, session: f.session}
	b.props = Props{Retracts: f.props.Retracts, Bounded: f.props.Bounded,
		Keys: slices.Clone(f.props.Keys), Watermarks: slices.Clone(f.props.Watermarks)}
	return b
}

// keyOf maps the keys of a node through a projection; pos gives the new position of a column, -1 where it is dropped.
func mapKeys(keys [][]int, pos func(int) int) [][]int {
	var out [][]int
	for _, k := range keys {
		m := make([]int, 0, len(k))
		for _, c := range k {
			q := pos(c)
			if q < 0 {
				m = nil
				break
			}
			m = append(m, q)
		}
		if m != nil {
			out = append(out, m)
		}
	}
	return out
}

func (p *builder) scan(rel *catalog.Relation, cols []int) Node {
	return p.intern(fmt.Sprintf("scan %d %s.%s %v", rel.OID, rel.Schema, rel.Name, cols), func() Node {
		n := &Scan{Rel: rel, Cols: cols}
		n.schema = &vec.Schema{}
		for _, c := range cols {
			n.schema.Fields = append(n.schema.Fields, vec.Field{Name: rel.Columns[c].Name, Type: rel.Columns[c].Type})
		}
		pos := func(c int) int { return slices.Index(cols, c) }
		n.props.Bounded = !p.continuous || rel.Bounded || rel.Kind == catalog.System
		if p.continuous {
			switch rel.Kind {
			case catalog.Table:
				n.props.Retracts = !rel.AppendOnly
			case catalog.MatView:
				n.props.Retracts = rel.Retracts
			}
		}
		switch {
		case rel.Kind == catalog.Table && len(rel.PrimaryKey) > 0:
			n.props.Keys = mapKeys([][]int{rel.PrimaryKey}, pos)
		case rel.Kind == catalog.MatView && rel.Key != nil:
			n.props.Keys = mapKeys([][]int{rel.Key}, pos)
		}
		return n
	})
}

func (p *builder) watermark(in Node, e Expr, col int, idle, future int64, late LatePolicy, free bool) Node {
	return p.intern(fmt.Sprintf("wm %p %s %d %d %d %s", in, exprKey(e), col, idle, future, late), func() Node {
		n := &Watermark{Input: in, Expr: e, Column: col, IdleTimeout: idle, MaxFuture: future, Late: late}
		n.base = inherit(in, in.Schema())
		n.props.Watermarks = []int{col}
		n.freeLate = free
		return n
	})
}

func (p *builder) values(rows [][]Expr, fields []vec.Field) Node {
	key := "values "
	for _, f := range fields {
		key += fmt.Sprintf("%d/%d ", f.Type.OID, f.Type.Mod)
	}
	for _, r := range rows {
		key += exprsKey(r) + "\n"
	}
	return p.intern(key, func() Node {
		n := &Values{Rows: rows}
		n.schema = &vec.Schema{Fields: fields}
		n.props.Bounded = true
		if len(rows) <= 1 {
			n.props.Keys = [][]int{{}}
		}
		return n
	})
}

func (p *builder) calc(in Node, filter, exprs []Expr, fields []vec.Field) Node {
	// Nothing to do: the input as it is.
	if len(filter) == 0 && len(exprs) == in.Schema().Len() {
		same := true
		for i, e := range exprs {
			c, ok := e.(*Column)
			same = same && ok && c.Index == i && fields[i].Type == in.Schema().Fields[i].Type
		}
		if same {
			return in
		}
	}
	if p.b != nil && p.continuous {
		in, filter = p.temporal(in, filter)
	}
	if c, ok := in.(*Calc); ok {
		if f, x, ok := mergeCalc(c, filter, exprs); ok {
			return p.calc(c.Input, f, x, fields)
		}
	}
	if s, ok := in.(*Scan); ok && !p.continuous && len(filter) > 0 {
		in = p.keyScan(s, filter)
	}
	return p.intern(fmt.Sprintf("calc %p [%s][%s]", in, exprsKey(filter), exprsKey(exprs)), func() Node {
		n := &Calc{Input: in, Filter: filter, Exprs: exprs}
		n.base = inherit(in, &vec.Schema{Fields: fields})
		pos := func(c int) int {
			return slices.IndexFunc(exprs, func(e Expr) bool { x, ok := e.(*Column); return ok && x.Index == c })
		}
		n.props.Keys = mapKeys(n.props.Keys, pos)
		if n.session != nil {
			if m := mapKeys([][]int{n.session}, pos); m != nil {
				n.session = m[0]
			} else {
				n.session = nil
			}
		}
		var wms, ends []int
		for i, e := range exprs {
			if x, ok := e.(*Column); ok {
				if slices.Contains(n.props.Watermarks, x.Index) {
					wms = append(wms, i)
				}
				if slices.Contains(n.ends, x.Index) {
					ends = append(ends, i)
				}
			}
		}
		n.props.Watermarks, n.ends = wms, ends
		return n
	})
}

// mergeCalc puts a Calc over a Calc together, unless that would compute something twice.
func mergeCalc(in *Calc, filter, exprs []Expr) ([]Expr, []Expr, bool) {
	uses := map[int]int{}
	for _, list := range [][]Expr{filter, exprs} {
		for _, e := range list {
			walkExpr(e, func(x Expr) bool {
				if c, ok := x.(*Column); ok {
					uses[c.Index]++
				}
				return true
			})
		}
	}
	m := map[int]Expr{}
	for i, e := range in.Exprs {
		switch e.(type) {
		case *Column, *Const, *Param:
		default:
			if uses[i] > 1 || volatileExpr(e) && uses[i] > 0 && len(filter) > 0 {
				return nil, nil, false
			}
		}
		m[i] = e
	}
	sub := func(es []Expr) []Expr {
		out := make([]Expr, len(es))
		for i, e := range es {
			out[i] = substitute(e, m)
		}
		return out
	}
	return append(slices.Clone(in.Filter), sub(filter)...), sub(exprs), true
}

func (p *builder) tableFunc(in Node, f *fn.Func, args []Expr, ord, outer bool, fields []vec.Field) Node {
	return p.intern(fmt.Sprintf("tf %p %s/%d [%s] %v %v%s", in, f.Name, f.OID, exprsKey(args), ord, outer, runKey(f)), func() Node {
		n := &TableFunc{Input: in, Fn: f, Args: args, Ordinality: ord, Outer: outer}
		if in == nil {
			n.schema = &vec.Schema{Fields: fields}
			n.props.Bounded = true
			return n
		}
		n.base = inherit(in, &vec.Schema{Fields: append(slices.Clone(in.Schema().Fields), fields...)})
		n.props.Keys = nil
		return n
	})
}

func (p *builder) projectSet(in Node, fns []*fn.Func, args [][]Expr, fields []vec.Field, ord bool) Node {
	key := fmt.Sprintf("ps %p %v ", in, ord)
	for i, f := range fns {
		key += fmt.Sprintf("%s/%d[%s]%s", f.Name, f.OID, exprsKey(args[i]), runKey(f))
	}
	return p.intern(key, func() Node {
		n := &ProjectSet{Input: in, Fns: fns, Args: args, Ordinality: ord}
		n.base = inherit(in, &vec.Schema{Fields: append(slices.Clone(in.Schema().Fields), fields...)})
		n.props.Keys = nil
		return n
	})
}

func (p *builder) windowTVF(in Node, spec window.Spec, timeCol int, partition []int) Node {
	return p.intern(fmt.Sprintf("tvf %p %s %d %v", in, specKey(spec), timeCol, partition), func() Node {
		n := &WindowTVF{Input: in, Spec: spec, TimeCol: timeCol, PartitionBy: partition}
		t := in.Schema().Fields[timeCol].Type
		w := in.Schema().Len()
		n.base = inherit(in, &vec.Schema{Fields: append(slices.Clone(in.Schema().Fields),
			vec.Field{Name: "window_start", Type: t}, vec.Field{Name: "window_end", Type: t}, vec.Field{Name: "window_time", Type: t})})
		n.props.Keys = nil
		if spec.Kind == window.Tumble || spec.Kind == window.Session {
			n.props.Keys = flowOf(in).props.Keys // one window a row
		}
		if spec.Kind == window.Session {
			n.props.Retracts = p.continuous
		}
		if slices.Contains(n.props.Watermarks, timeCol) {
			n.props.Watermarks = append(n.props.Watermarks, w+1, w+2)
			n.ends = append(n.ends, w+1)
		}
		return n
	})
}

func specKey(s window.Spec) string {
	zone := ""
	if s.Zone != nil {
		zone = s.Zone.Name()
	}
	s.Zone = nil
	return fmt.Sprintf("%+v %s", s, zone)
}

// aggregate makes an Aggregate; calls with the same arguments are merged by the caller.
func (p *builder) aggregate(in Node, keys []int, win *window.Spec, timeCol int, session []int, aggs []AggCall, grouped bool) Node {
	if win == nil {
		in = p.countOnly(in, keys, aggs)
	}
	key := fmt.Sprintf("agg %p %v %v", in, keys, grouped)
	if win != nil {
		key += fmt.Sprintf(" win %s %d %v", specKey(*win), timeCol, session)
	}
	for _, a := range aggs {
		key += fmt.Sprintf(" %s/%d%v d%v f%d o%v r%d", a.Agg.Name, a.Agg.OID, a.Args, a.Distinct, a.Filter, a.OrderBy, a.Options.Ret.OID)
	}
	return p.intern(key, func() Node {
		f := flowOf(in)
		n := &Aggregate{Input: in, Keys: keys, Aggs: aggs, Window: win, TimeCol: timeCol, SessionKeys: session, Grouped: grouped || len(keys) > 0, CloseKey: -1}
		if win == nil {
			n.TimeCol = -1
		}
		n.schema = &vec.Schema{}
		for _, k := range keys {
			n.schema.Fields = append(n.schema.Fields, in.Schema().Fields[k])
		}
		var unique []int
		for i := range keys {
			unique = append(unique, i)
		}
		n.props.Bounded = f.props.Bounded
		n.props.Retracts = p.continuous
		nk := len(keys)
		if win != nil {
			t := in.Schema().Fields[timeCol].Type
			n.schema.Fields = append(n.schema.Fields, vec.Field{Name: "window_start", Type: t},
				vec.Field{Name: "window_end", Type: t}, vec.Field{Name: "window_time", Type: t})
			unique = append(unique, nk, nk+1)
		}
		for _, a := range aggs {
			n.schema.Fields = append(n.schema.Fields, vec.Field{Name: a.Name, Type: a.Options.Ret})
		}
		n.props.Keys = [][]int{unique}
		if win != nil {
			switch win.Kind {
			case window.Tumble, window.Hop, window.Session: // the start alone determines the window
				n.props.Keys = append(n.props.Keys, append(slices.Clone(unique[:nk]), nk))
			}
			n.props.Keys = append(n.props.Keys, append(slices.Clone(unique[:nk]), nk+1), append(slices.Clone(unique[:nk]), nk+2))
			if win.Kind == window.Session {
				n.session = unique
			}
		}
		if !p.continuous {
			return n
		}
		n.freeLate = f.freeLate
		n.FreeLate = f.freeLate || p.free
		final := false
		switch {
		case win != nil:
			if slices.Contains(f.props.Watermarks, timeCol) {
				final = true
				n.props.Watermarks = []int{nk + 1, nk + 2}
				n.ends = []int{nk + 1}
			}
		default:
			for i, k := range keys {
				if !slices.Contains(f.props.Watermarks, k) {
					continue
				}
				end := slices.Contains(f.ends, k)
				if n.CloseKey < 0 {
					n.CloseKey, n.CloseEnd = i, end
				}
				final = true
				n.props.Watermarks = append(n.props.Watermarks, i)
				if end {
					n.ends = append(n.ends, i)
				}
			}
		}
		if !final {
			n.FreeLate = false
		}
		if n.FreeLate {
			n.Hold, n.Lateness = p.holdOver(f), p.late
			n.held = n.held || n.Hold > 0
		}
		if p.onClose && final {
			n.OnClose = true
			n.finals = true
			n.Hold, n.Lateness = p.holdOver(f), p.late
			n.held = n.held || n.Hold > 0
			n.props.Retracts = p.late > 0
		} else if !n.FreeLate {
			// Nothing is final over kept rows: any group may still change.
			n.props.Watermarks, n.ends = nil, nil
		}
		return n
	})
}

// holdOver gives how long what closes above f waits: nothing where all of f has waited already.
func (p *builder) holdOver(f *base) int64 {
	if f.held {
		return 0
	}
	return p.hold
}

func (p *builder) join(j Join) Node {
	key := fmt.Sprintf("join %d %p %p %v %v %v [%s] %v %v", j.Type, j.Left, j.Right, j.LeftKeys, j.RightKeys, j.NullSafe, exprsKey(j.Residual), j.Single, j.NullAware)
	return p.intern(key, func() Node {
		n := &j
		l, r := flowOf(n.Left), flowOf(n.Right)
		nl := n.Left.Schema().Len()
		fields := slices.Clone(n.Left.Schema().Fields)
		semi := n.Type == SemiJoin || n.Type == AntiJoin
		if !semi {
			fields = append(fields, n.Right.Schema().Fields...)
		}
		n.schema = &vec.Schema{Fields: fields}
		n.props.Bounded = l.props.Bounded && r.props.Bounded
		n.finals = l.finals || r.finals
		n.held = l.held && r.held
		n.freeLate = l.freeLate && r.freeLate
		if p.continuous {
			p.bounds(n)
		}
		n.props.Retracts = p.continuous && (l.props.Retracts || r.props.Retracts || n.Type == LeftJoin || n.Type == RightJoin || n.Type == FullJoin || n.Type == AntiJoin)
		if n.Type == SemiJoin && p.continuous {
			// A match on an append-only right side never goes away.
			n.props.Retracts = l.props.Retracts || r.props.Retracts
		}
		if p.onClose && n.props.Retracts && !l.props.Retracts && !r.props.Retracts && (n.WindowEnd != nil || n.Interval != nil) &&
			n.Type != InnerJoin && n.Type != SemiJoin {
			n.OnClose = true
			n.finals = true
			n.props.Retracts = false
		}
		if n.WindowEnd != nil || n.Interval != nil {
			n.finals = true
		}
		// Keys: a side whose rows match at most one of the other keeps its own.
		unique := func(keys [][]int, on []int) bool {
			return slices.ContainsFunc(keys, func(k []int) bool {
				return !slices.ContainsFunc(k, func(c int) bool { return !slices.Contains(on, c) })
			})
		}
		shift := func(k []int) []int {
			out := make([]int, len(k))
			for i, c := range k {
				out[i] = c + nl
			}
			return out
		}
		switch {
		case semi:
			n.props.Keys = l.props.Keys
		default:
			if unique(r.props.Keys, n.RightKeys) {
				n.Single = false // there is nothing to check
			}
			lone, rone := unique(r.props.Keys, n.RightKeys) || n.Single, unique(l.props.Keys, n.LeftKeys)
			if lone && (n.Type == InnerJoin || n.Type == LeftJoin) {
				n.props.Keys = append(n.props.Keys, l.props.Keys...)
			}
			if rone && (n.Type == InnerJoin || n.Type == RightJoin) {
				for _, k := range r.props.Keys {
					n.props.Keys = append(n.props.Keys, shift(k))
				}
			}
			if len(n.props.Keys) == 0 {
				for _, a := range l.props.Keys {
					for _, c := range r.props.Keys {
						n.props.Keys = append(n.props.Keys, append(slices.Clone(a), shift(c)...))
					}
				}
			}
		}
		return n
	})
}

func (p *builder) union(in []Node, fields []vec.Field) Node {
	key := "union"
	for _, n := range in {
		key += fmt.Sprintf(" %p", n)
	}
	return p.intern(key, func() Node {
		n := &Union{In: in}
		n.schema = &vec.Schema{Fields: fields}
		n.props.Bounded = true
		n.freeLate, n.finals, n.held = true, false, true
		for i, x := range in {
			f := flowOf(x)
			n.props.Retracts = n.props.Retracts || f.props.Retracts
			n.props.Bounded = n.props.Bounded && f.props.Bounded
			n.finals = n.finals || f.finals
			n.held = n.held && f.held
			if i == 0 {
				n.props.Watermarks, n.ends = slices.Clone(f.props.Watermarks), slices.Clone(f.ends)
				n.freeLate = f.freeLate
				continue
			}
			// A bounded input without a watermark holds nobody back in the end, but says nothing of its columns.
			n.props.Watermarks = slices.DeleteFunc(n.props.Watermarks, func(c int) bool { return !slices.Contains(f.props.Watermarks, c) })
			n.ends = slices.DeleteFunc(n.ends, func(c int) bool { return !slices.Contains(f.ends, c) })
			n.freeLate = n.freeLate && f.freeLate
		}
		return n
	})
}

func (p *builder) setOp(l, r Node, except, all bool) Node {
	return p.intern(fmt.Sprintf("setop %p %p %v %v", l, r, except, all), func() Node {
		n := &SetOp{Left: l, Right: r, Except: except, All: all}
		n.schema = l.Schema()
		lf, rf := flowOf(l), flowOf(r)
		n.props.Bounded = lf.props.Bounded && rf.props.Bounded
		n.props.Retracts = p.continuous
		n.props.Keys = slices.Clone(lf.props.Keys)
		if !all {
			whole := make([]int, n.schema.Len())
			for i := range whole {
				whole[i] = i
			}
			n.props.Keys = append(n.props.Keys, whole)
		}
		return n
	})
}

func (p *builder) sort(in Node, keys []SortKey) Node {
	return p.intern(fmt.Sprintf("sort %p %v", in, keys), func() Node {
		n := &Sort{Input: in, Keys: keys}
		n.base = inherit(in, in.Schema())
		return n
	})
}

func (p *builder) topN(t TopN) Node {
	t.Presorted = p.presorted(&t)
	key := fmt.Sprintf("topn %p %v %v %d %d %v %v %v [%s][%s]", t.Input, t.Partition, t.Keys, t.Limit, t.Offset, t.WithTies, t.RankCol, t.Sorted, exprKey(t.LimitParam), exprKey(t.OffsetParam))
	return p.intern(key, func() Node {
		n := &t
		schema := t.Input.Schema()
		if t.RankCol {
			schema = &vec.Schema{Fields: append(slices.Clone(schema.Fields), vec.Field{Name: "row_number", Type: types.Int8})}
		}
		n.base = inherit(t.Input, schema)
		n.props.Retracts = p.continuous
		n.Close = p.closing(&n.base, n.Input, n.Partition, nil, nil)
		if t.LimitParam == nil && t.Limit == 1 && !t.WithTies {
			n.props.Keys = append(n.props.Keys, slices.Clone(t.Partition))
			if n.props.Keys[len(n.props.Keys)-1] == nil {
				n.props.Keys[len(n.props.Keys)-1] = []int{}
			}
		}
		if t.RankCol {
			n.props.Keys = append(n.props.Keys, append(slices.Clone(t.Partition), schema.Len()-1))
		}
		return n
	})
}

func (p *builder) over(in Node, partition []int, keys []SortKey, calls []OverCall) Node {
	n := &Over{Input: in, Partition: partition, Keys: keys, Calls: calls}
	fields := slices.Clone(in.Schema().Fields)
	for _, c := range calls {
		fields = append(fields, c.Type)
	}
	n.base = inherit(in, &vec.Schema{Fields: fields})
	n.props.Retracts = p.continuous
	n.Close = p.closing(&n.base, in, partition, keys, calls)
	return n
}

// runKey tells apart the calls of functions that the session runs: each of them runs.
func runKey(f *fn.Func) string {
	if f.UserCall() == nil {
		return ""
	}
	return fmt.Sprintf("%p", f)
}
