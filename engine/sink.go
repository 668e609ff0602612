package engine

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"streamsql/catalog"
	"streamsql/connector"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/parser/ast"
	"streamsql/sql/planner"
)

// sinkCommitEvery is how often what a sink was given is made visible.
const sinkCommitEvery = time.Second

// tableSink is the connector of sinks that write into a table of the engine.
const tableSink = "table"

// sinkRun is a sink that runs: a continuous query whose rows go to a connector or a table.
type sinkRun struct {
	rel   *catalog.Relation
	stop  context.CancelFunc
	since vec.Time

	mu     sync.Mutex
	rows   int64
	state  string
	failed error
}

// createSink executes CREATE SINK: it returns when the sink is known and its query has been started.
func (s *Session) createSink(ctx context.Context, x *ast.CreateSink) (string, error) {
	const tag = "CREATE SINK"
	schema, name, err := s.qualify(x.Name)
	if err != nil {
		return "", err
	}
	if skip, err := s.taken(schema, name, x.IfNotExists, x.Name.Pos); skip || err != nil {
		return tag, err
	}
	rel := &catalog.Relation{Schema: schema, Name: name, Kind: catalog.Sink, Owner: s.user, Definition: x.Text}
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
	q, err := s.planSink(rel, body, takes, pos, rel.Definition)
	if err != nil {
		return "", err
	}
	if err := setResultColumns(rel, q, nil); err != nil {
		return "", err
	}
	rel.Depends, rel.Calls = q.Depends, q.Calls
	if target := s.sinkTarget(rel); target != nil {
		if err := s.checkTarget(rel, q, target, x); err != nil {
			return "", err
		}
		rel.Depends = append(slices.Clone(rel.Depends), target.OID)
	}
	s.e.write.Lock()
	defer s.e.write.Unlock()
	if skip, err := s.taken(schema, name, x.IfNotExists, x.Name.Pos); skip || err != nil {
		return tag, err
	}
	s.e.register(rel)
	if err := s.e.changeCatalog(&catalogChange{Put: []*catalog.Relation{rel}}, nil); err != nil {
		return "", err
	}
	s.e.newSink(rel).start(s.e, q)
	return tag, nil
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
	if name == tableSink {
		if _, ok := rel.Option("table"); !ok {
			return 0, pgerr.New(pgerr.InvalidParameterValue, "option \"table\" is missing").At(x.Name.Pos)
		}
		return connector.TakesChanges, nil
	}
	takes, err := s.e.connectors[name].(connector.SinkConnector).CheckSink(optionMap(rel))
	if err != nil {
		return 0, placeAtOption(err, x.Options)
	}
	return takes, nil
}

// planSink plans the query of a sink, and checks that the sink takes what it gives.
func (s *Session) planSink(rel *catalog.Relation, body *ast.Query, takes connector.Takes, pos int, text string) (*planner.Query, error) {
	o := s.planOptions(nil, text)
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
	cat := s.e.Catalog()
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
	cat := s.e.Catalog()
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

// newSink makes the runtime of a sink. The caller holds e.write.
func (e *Engine) newSink(rel *catalog.Relation) *sinkRun {
	k := &sinkRun{rel: rel, since: e.clock(), state: "running"}
	e.sinks.Lock()
	defer e.sinks.Unlock()
	e.sinks.m[rel.OID] = k
	return k
}

// start runs the sink's query in the background.
func (k *sinkRun) start(e *Engine, q *planner.Query) {
	ctx, cancel := context.WithCancel(context.Background())
	k.stop = cancel
	e.sinks.running.Add(1)
	go func() {
		defer e.sinks.running.Done()
		err := k.run(ctx, e, q)
		k.mu.Lock()
		defer k.mu.Unlock()
		switch {
		case err != nil && ctx.Err() == nil:
			k.state, k.failed = "failed", err
			e.log.Error("sink stopped", "sink", k.rel.Name, "error", err)
		case ctx.Err() == nil:
			k.state = "finished"
		}
	}()
}

func (k *sinkRun) run(ctx context.Context, e *Engine, q *planner.Query) (err error) {
	defer recovered(e, "sink "+k.rel.Name, &err)
	s, err := e.NewSession(SessionOptions{User: k.rel.Owner})
	if err != nil {
		return err
	}
	defer s.Close()
	out, err := e.openSink(s, k.rel)
	if err != nil {
		return err
	}
	defer out.Close()
	p := s.newQueryPortal(q, q.Root, nil, s.fnCtx(ctx))
	defer p.Close()
	epoch := uint64(0)
	commit := func() error {
		epoch++
		if err := out.Prepare(epoch); err != nil {
			return err
		}
		return out.Commit(epoch)
	}
	var due time.Time // of the next commit; zero: nothing is waiting
	for {
		fctx, cancel := ctx, context.CancelFunc(func() {})
		if !due.IsZero() {
			fctx, cancel = context.WithDeadline(ctx, due)
		}
		b, done, err := p.Fetch(fctx, 0)
		cancel()
		if err != nil && (pgerr.Code(err) != pgerr.QueryCanceled || fctx.Err() == nil) {
			return err
		}
		if b != nil {
			err := out.Write(b)
			k.mu.Lock()
			k.rows += int64(b.N)
			k.mu.Unlock()
			b.Release()
			if err != nil {
				return err
			}
			if due.IsZero() {
				due = time.Now().Add(out.every())
			}
		}
		// A commit falls between ticks: what changed together is seen together.
		whole := len(p.queue) == 0
		if !due.IsZero() && whole && (done || ctx.Err() != nil || !time.Now().Before(due)) {
			if err := commit(); err != nil {
				return err
			}
			due = time.Time{}
		}
		if done || ctx.Err() != nil {
			return nil
		}
	}
}

// engineSink is a connector's sink with the engine's rhythm.
type engineSink struct {
	connector.Sink
	wait time.Duration
}

func (k *engineSink) every() time.Duration { return k.wait }

func (e *Engine) openSink(s *Session, rel *catalog.Relation) (*engineSink, error) {
	name, _ := rel.Option("connector")
	if name == tableSink {
		target := e.Catalog().ByOID(rel.Depends[len(rel.Depends)-1])
		if target == nil {
			return nil, pgerr.New(pgerr.UndefinedTable, "the table of sink \"%s\" does not exist any more", rel.Name)
		}
		return &engineSink{Sink: &tableWriter{s: s, rel: target}}, nil
	}
	c, ok := e.connectors[name].(connector.SinkConnector)
	if !ok {
		return nil, pgerr.New(pgerr.InvalidParameterValue, "connector \"%s\" cannot be a sink", name)
	}
	k, err := c.OpenSink(&connector.SinkConfig{Name: rel.Schema + "." + rel.Name, Columns: rel.Fields().Fields,
		Options: optionMap(rel), Env: types.Env{}, Alloc: e.alloc})
	if err != nil {
		return nil, err
	}
	return &engineSink{Sink: k, wait: sinkCommitEvery}, nil
}

// tableWriter is the sink into a table: each commit is a transaction.
type tableWriter struct {
	s     *Session
	rel   *catalog.Relation
	batch []*vec.Batch
}

// Write implements connector.Sink.
func (w *tableWriter) Write(b *vec.Batch) error {
	schema := w.rel.Fields()
	cols := make([]int, len(b.Cols))
	for i := range cols {
		cols[i] = i
	}
	w.batch = append(w.batch, b.Project(schema, cols))
	return nil
}

// Prepare implements connector.Sink.
func (w *tableWriter) Prepare(uint64) error { return nil }

// Commit implements connector.Sink.
func (w *tableWriter) Commit(uint64) error {
	bs := w.batch
	w.batch = nil
	if len(bs) == 0 {
		return nil
	}
	return w.s.insertBatches(context.Background(), w.rel, bs)
}

// Close implements connector.Sink.
func (w *tableWriter) Close() error {
	releaseAll(w.batch)
	w.batch = nil
	return nil
}

// dropSink ends a sink. The caller holds e.write: it does not wait for the sink, which may be waiting for that lock.
func (e *Engine) dropSink(oid uint32) {
	e.sinks.Lock()
	defer e.sinks.Unlock()
	if k := e.sinks.m[oid]; k != nil {
		if k.stop != nil {
			k.stop()
		}
		delete(e.sinks.m, oid)
	}
}

// closeSinks ends all sinks and waits until what they were given is committed, also of those that were dropped just now.
func (e *Engine) closeSinks() {
	e.sinks.Lock()
	for _, k := range e.sinks.m {
		if k.stop != nil {
			k.stop()
		}
	}
	clear(e.sinks.m)
	e.sinks.Unlock()
	e.sinks.running.Wait()
}

// restartSink shows a sink that was running when the engine was left. It does not go on: where its query was is not kept,
// and beginning anew would write everything twice.
func (e *Engine) restartSink(rel *catalog.Relation) {
	k := e.newSink(rel)
	k.state = "stopped"
	k.failed = pgerr.New(pgerr.ObjectNotInPrerequisiteState, "the sink does not go on after a restart: it would write its rows a second time").
		WithHint("DROP SINK and CREATE it again with another path.")
}

// sinkStates gives what sys.jobs shows of sinks.
func (e *Engine) sinkStates() []jobState {
	e.sinks.Lock()
	defer e.sinks.Unlock()
	var out []jobState
	for oid, k := range e.sinks.m {
		k.mu.Lock()
		st := jobState{oid: oid, view: k.rel.Name, state: k.state, changes: k.rows, since: k.since}
		if k.failed != nil {
			st.err = k.failed.Error()
		}
		k.mu.Unlock()
		out = append(out, st)
	}
	slices.SortFunc(out, func(a, b jobState) int { return int(a.oid) - int(b.oid) })
	return out
}
