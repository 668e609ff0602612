package planner

import (
	"streamsql/catalog"
	"streamsql/internal/fn"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/parser/ast"
)

// TimeBound is AS OF or UP TO of SUBSCRIBE: an expression of type timestamptz without columns, and where it stands.
type TimeBound struct {
	Expr Expr
	Pos  int
}

// PlanSubscribe plans SUBSCRIBE.
func PlanSubscribe(s *ast.Subscribe, o *Options) (*Query, error) {
	q := s.Query
	if s.Relation != nil {
		q = &ast.Query{Pos: s.Pos, Body: &ast.Select{Pos: s.Pos, Items: []ast.SelectItem{{Expr: &ast.Star{At: ast.At{Pos: s.Pos}}}},
			From: []ast.FromItem{&ast.TableRef{Name: *s.Relation, Pos: s.Relation.Pos}}}}
	}
	if q.Emit != nil {
		return nil, pgerr.New(pgerr.SyntaxError, "SUBSCRIBE already says how changes are sent: leave EMIT out").At(q.Emit.Pos)
	}
	c := *o
	c.Continuous = true
	out, err := planSubscribed(q, s, &c)
	if err != nil {
		return nil, err
	}
	spec := EmitSpec{Trigger: ast.EmitChanges, Envelope: EnvelopeChangelog, Snapshot: true, Limit: -1, Subscribe: true,
		Key: shortestKey(out.Root.Props().Keys)}
	if s.Snapshot != nil {
		spec.Snapshot = *s.Snapshot
	}
	spec.Progress = s.Progress != nil && *s.Progress
	n := &Emit{Input: out.Root, Spec: spec}
	n.base = inherit(out.Root, nil)
	out.lead([]vec.Field{{Name: "_ts", Type: types.Timestamptz}, {Name: "_progressed", Type: types.Bool}, {Name: "_diff", Type: types.Int8}})
	n.schema = &vec.Schema{Fields: out.Columns}
	n.props = Props{Bounded: n.props.Bounded}
	out.Root = n
	return out, nil
}

// planSubscribed plans the query of SUBSCRIBE with its bounds, which may have parameters too.
func planSubscribed(q *ast.Query, s *ast.Subscribe, o *Options) (*Query, error) {
	b := newBinder(o)
	b.depth--
	r, err := b.queryIn(q, nil, nil)
	if err != nil {
		return nil, err
	}
	if err := b.resolveUnknown(r); err != nil {
		return nil, err
	}
	asOf, err := b.timeBound(s.AsOf, "AS OF")
	if err != nil {
		return nil, err
	}
	upTo, err := b.timeBound(s.UpTo, "UP TO")
	if err != nil {
		return nil, err
	}
	out, err := b.finish(r, nil)
	if err != nil {
		return nil, err
	}
	out.AsOf, out.UpTo = asOf, upTo
	if asOf == nil {
		return out, nil
	}
	stateless := true
	var source *catalog.Relation
	visit(out.Root, func(n Node) {
		switch n := n.(type) {
		case *Scan:
			if n.Rel.Kind == catalog.Source {
				source = n.Rel
				if _, ok := n.Rel.Option("connector"); ok {
					stateless = false
				}
			}
		case *Calc, *Watermark, *Union:
		default:
			stateless = false
		}
	})
	if source != nil && !stateless {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "AS OF cannot go back in source \"%s\", which keeps no rows", source.Name).
			WithHint("Subscribe to a materialized view over it.").At(asOf.Pos)
	}
	return out, nil
}

// timeBound binds a time of SUBSCRIBE, which is evaluated when the subscription starts.
func (b *binder) timeBound(e ast.Expr, what string) (*TimeBound, error) {
	if e == nil {
		return nil, nil
	}
	x, err := b.expr(&exprCtx{s: &scope{}, clause: what, noSubqueries: true,
		columnsForbidden: "argument of " + what + " must not contain variables"}, e)
	if err != nil {
		return nil, err
	}
	y, ok, err := b.coerce(x, types.Timestamptz, fn.Implicit, e.Position())
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, pgerr.New(pgerr.DatatypeMismatch, "argument of %s must be type %s, not type %s", what, types.Timestamptz.Format(), x.Type().Bare().Format()).At(e.Position())
	}
	return &TimeBound{Expr: y, Pos: e.Position()}, nil
}
