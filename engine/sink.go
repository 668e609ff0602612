package engine

import (
	"context"
	"slices"
	"strings"

	"streamsql/catalog"
	"streamsql/connector"
	"streamsql/internal/pgerr"
	"streamsql/sql/parser/ast"
	"streamsql/sql/planner"
)

// tableSink is the connector of sinks that write into a table of the engine.
const tableSink = "table"

// createSink executes CREATE SINK: it returns when what the sink begins with has been written and its job runs.
func (s *Session) createSink(ctx context.Context, x *ast.CreateSink) (string, error) {
	const tag = "CREATE SINK"
	schema, name, err := s.qualify(x.Name)
	if err != nil {
		return "", err
	}
	if skip, err := s.taken(schema, name, x.IfNotExists, x.Name.Pos); skip || err != nil {
		return tag, err
	}
	rel := &catalog.Relation{Schema: schema, Name: name, Kind: catalog.Sink, Owner: s.ownerName(), Definition: x.Text}
	s.keepSettings(rel)
	body := x.Query
	if x.From != nil {
		from, err := s.lookup(*x.From)
		if err != nil {
			return "", err
		}
		rel.Definition = "SELECT * FROM " + quoteIdent(from.Schema) + "." + quoteIdent(from.Name)
		body = selectAll(*x.From)
	}
	takes, err := s.sinkOptions(rel, x)
	if err != nil {
		return "", err
	}
	pos := x.Name.Pos
	if x.From != nil {
		pos = x.From.Pos
	}
	if c, _ := rel.Option("connector"); c != tableSink {
		if err := s.mayReach(c, writesServer); err != nil {
			return "", err
		}
	}
	uses := &planner.Uses{}
	q, err := s.planSink(rel, body, takes, pos, rel.Definition, uses)
	if err != nil {
		return "", err
	}
	uses.Resolve()
	if err := s.permitted(uses); err != nil {
		return "", err
	}
	if err := setResultColumns(rel, q, nil); err != nil {
		return "", err
	}
	rel.Depends, rel.Calls, rel.Bound = q.Depends, q.Calls, q.Bound
	if target := s.sinkTarget(rel); target != nil {
		needs := catalog.PrivInsert | catalog.PrivUpdate | catalog.PrivDelete
		if takes == connector.TakesAppends {
			needs = catalog.PrivInsert
		}
		if o := target.Object(s.catalog()); s.catalog().Granted(s.who.current, &o, needs, false) != needs {
			return "", errDenied(&o)
		}
		if err := s.checkTarget(rel, q, target, x); err != nil {
			return "", err
		}
		rel.Depends = append(slices.Clone(rel.Depends), target.OID)
	}
	return tag, s.startSink(ctx, x, rel, q)
}

func selectAll(n ast.Name) *ast.Query {
	return &ast.Query{Pos: n.Pos, Body: &ast.Select{Pos: n.Pos, Items: []ast.SelectItem{{Expr: &ast.Star{At: ast.At{Pos: n.Pos}}}},
		From: []ast.FromItem{&ast.TableRef{Name: n, Pos: n.Pos}}}}
}

func quoteIdent(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

// sinkOptions checks WITH and says what the sink takes.
func (s *Session) sinkOptions(rel *catalog.Relation, x *ast.CreateSink) (connector.Takes, error) {
	var names []string
	for n, c := range s.e.connectors {
		if _, ok := c.(connector.SinkConnector); ok {
			names = append(names, n)
		}
	}
	names = append(names, tableSink)
	slices.Sort(names)
	conn := -1
	for i, o := range x.Options {
		if o.Name == "connector" {
			conn = i
		}
	}
	if conn < 0 {
		return 0, pgerr.New(pgerr.InvalidParameterValue, "option \"connector\" is missing").
			WithHint("Sinks are written by: %s.", strings.Join(names, ", ")).At(x.Name.Pos)
	}
	name := strings.ToLower(x.Options[conn].Value)
	if !slices.Contains(names, name) {
		return 0, pgerr.New(pgerr.InvalidParameterValue, "connector \"%s\" cannot be a sink", name).
			WithHint("Sinks are written by: %s.", strings.Join(names, ", ")).At(x.Options[conn].ValuePos)
	}
	known := []string{"connector"}
	if name == tableSink {
		known = append(known, "table")
	} else {
		for _, spec := range s.e.connectors[name].(connector.SinkConnector).SinkOptions() {
			known = append(known, spec.Name)
		}
	}
	for i, o := range x.Options {
		if slices.ContainsFunc(x.Options[:i], func(p ast.Option) bool { return p.Name == o.Name }) {
			return 0, pgerr.New(pgerr.SyntaxError, "option \"%s\" is given twice", o.Name).At(o.Pos)
		}
		if !slices.Contains(known, o.Name) {
			return 0, unknownOption(o, known)
		}
		v := o.Value
		if o.Name == "connector" {
			v = name
		}
		rel.Options = append(rel.Options, catalog.Option{Name: o.Name, Value: v})
	}
	if _, ok := rel.Option("table"); name == tableSink && !ok {
		return 0, pgerr.New(pgerr.InvalidParameterValue, "option \"table\" is missing").At(x.Name.Pos)
	}
	takes, err := s.sinkTakes(rel)
	if err != nil {
		return 0, placeAtOption(err, x.Options)
	}
	return takes, nil
}

// sinkTakes says what a sink with the options of rel takes.
func (s *Session) sinkTakes(rel *catalog.Relation) (connector.Takes, error) {
	name, _ := rel.Option("connector")
	if name == tableSink {
		return connector.TakesChanges, nil
	}
	c, ok := s.e.connectors[name].(connector.SinkConnector)
	if !ok {
		return 0, pgerr.New(pgerr.InvalidParameterValue, "connector \"%s\" cannot be a sink", name)
	}
	return c.CheckSink(optionMap(rel))
}

// planSink plans the query of a sink, and checks that the sink takes what it gives.
func (s *Session) planSink(rel *catalog.Relation, body *ast.Query, takes connector.Takes, pos int, text string, uses *planner.Uses) (*planner.Query, error) {
	o := s.planOptions(nil, text)
	o.Uses = uses
	o.Bound = rel.Bound
	if c, _ := rel.Option("connector"); c == tableSink {
		return planner.PlanView(body, o)
	}
	as := map[connector.Takes]string{connector.TakesAppends: "append", connector.TakesUpserts: "upsert", connector.TakesChanges: "changelog"}[takes]
	q, err := planner.PlanSink(body, as, pos, o)
	if err != nil {
		if body.Emit == nil && as == "append" && pgerr.Code(err) == pgerr.FeatureNotSupported && strings.Contains(err.Error(), "AS APPEND") {
			return nil, notAppended(pos)
		}
		return nil, err
	}
	if len(q.Params) > 0 {
		return nil, pgerr.New(pgerr.UndefinedParameter, "there is no parameter $1").At(pos)
	}
	if body.Emit != nil {
		pos = body.Emit.Pos
	}
	given := connector.TakesAppends
	switch q.Root.(*planner.Emit).Spec.Envelope {
	case planner.EnvelopeChangelog:
		given = connector.TakesChanges
	case planner.EnvelopeUpsert:
		given = connector.TakesUpserts
	}
	if takes&given != 0 {
		return q, nil
	}
	if takes == connector.TakesAppends {
		return nil, notAppended(pos)
	}
	return nil, pgerr.New(pgerr.FeatureNotSupported, "the sink takes %s, and the query is emitted as %s", kindName(takes), kindName(given)).
		WithHint("Let type and EMIT .. AS agree.").At(pos)
}

// notAppended is the error of an append-only sink that is fed with a changelog.
func notAppended(pos int) error {
	return pgerr.New(pgerr.FeatureNotSupported, "an append-only sink cannot take a changelog: the query takes rows back").
		WithHint("Use EMIT ON WINDOW CLOSE over windows, or WITH (type = 'changelog') or (type = 'upsert'), which write _op and _ts.").At(pos)
}

func kindName(t connector.Takes) string {
	switch t {
	case connector.TakesAppends:
		return "appends"
	case connector.TakesUpserts:
		return "upserts"
	}
	return "a changelog"
}

// sinkTarget gives the table that a sink writes into, nil if it is not of that kind.
func (s *Session) sinkTarget(rel *catalog.Relation) *catalog.Relation {
	if c, _ := rel.Option("connector"); c != tableSink {
		return nil
	}
	v, _ := rel.Option("table")
	cat := s.catalog()
	schema, name, ok := strings.Cut(v, ".")
	if !ok {
		schema, name = "", v
	}
	if r := cat.Find(schema, name, s.searchPath(cat)); r != nil {
		return r
	}
	return &catalog.Relation{Name: v}
}

// checkTarget checks that a table can take the rows of a query.
func (s *Session) checkTarget(rel *catalog.Relation, q *planner.Query, target *catalog.Relation, x *ast.CreateSink) error {
	pos := x.Name.Pos
	for _, o := range x.Options {
		if o.Name == "table" {
			pos = o.ValuePos
		}
	}
	switch {
	case target.OID == 0:
		return pgerr.New(pgerr.UndefinedTable, "relation \"%s\" does not exist", target.Name).At(pos)
	case target.Kind != catalog.Table:
		return pgerr.New(pgerr.WrongObjectType, "\"%s\" is not a table", target.Name).At(pos)
	case len(target.Columns) != len(q.Columns):
		return pgerr.New(pgerr.DatatypeMismatch, "table \"%s\" has %d columns and the query %d", target.Name, len(target.Columns), len(q.Columns)).At(pos)
	}
	for i, c := range target.Columns {
		if f := q.Columns[i]; f.Type.OID != c.Type.OID || f.Type.Mod != c.Type.Mod {
			return pgerr.New(pgerr.DatatypeMismatch, "column \"%s\" is of type %s but expression is of type %s", c.Name, c.Type, f.Type.Format()).
				WithHint("You will need to rewrite or cast the expression.").At(pos)
		}
	}
	if target.AppendOnly && q.Root.Props().Retracts {
		return pgerr.New(pgerr.FeatureNotSupported, "an append-only table cannot take a changelog: the query takes rows back").
			WithHint("Use EMIT ON WINDOW CLOSE over windows, or a table that is not APPEND ONLY.").At(pos)
	}
	// What the sink writes must not come back to it.
	cat := s.catalog()
	seen := map[uint32]bool{}
	for queue := slices.Clone(q.Depends); len(queue) > 0; queue = queue[1:] {
		oid := queue[0]
		if oid == target.OID {
			return pgerr.New(pgerr.FeatureNotSupported, "sink \"%s\" would be fed by what it writes into table \"%s\"", rel.Name, target.Name).At(pos)
		}
		if seen[oid] {
			continue
		}
		seen[oid] = true
		for _, r := range cat.Relations() {
			if r.OID == oid || r.Kind == catalog.Sink && slices.Contains(r.Depends, oid) && isTarget(r, oid) {
				queue = append(queue, r.Depends...)
			}
		}
	}
	return nil
}

// isTarget reports whether a sink writes into the relation oid, which stands last among what it depends on.
func isTarget(sink *catalog.Relation, oid uint32) bool {
	c, _ := sink.Option("connector")
	return c == tableSink && sink.Depends[len(sink.Depends)-1] == oid
}
