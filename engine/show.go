package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"streamsql/catalog"
	"streamsql/exec"
	"streamsql/internal/fn"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/parser/ast"
	"streamsql/sql/planner"
)

// shownKinds maps SHOW TABLES and its kin to the relations that they list.
var shownKinds = map[string][]catalog.RelKind{
	"tables":             {catalog.Table},
	"sources":            {catalog.Source},
	"views":              {catalog.View, catalog.MatView},
	"materialized views": {catalog.MatView},
	"sinks":              {catalog.Sink},
}

func showColumns(x *ast.Show) []Column {
	name := strings.ToLower(x.Name)
	switch {
	case shownKinds[name] != nil:
		return textColumns("schema", "name", "kind")
	case name == "all":
		return textColumns("name", "setting", "description")
	case name == "jobs":
		return textColumns("view", "state", "changes", "error")
	}
	if i, ok := settingIndex[settingName(name)]; ok {
		return textColumns(settings[i].name)
	}
	return textColumns(name)
}

// settingName maps the spellings that SHOW and SET have of their own to a setting's name.
func settingName(name string) string {
	switch strings.ToLower(name) {
	case "time zone":
		return "timezone"
	case "transaction isolation level":
		return "transaction_isolation"
	case "session authorization":
		return "session_authorization"
	}
	return strings.ToLower(name)
}

// show makes the portal of SHOW.
func (s *Session) show(x *ast.Show) (Portal, error) {
	cols := showColumns(x)
	name := strings.ToLower(x.Name)
	var rows [][]string
	switch {
	case shownKinds[name] != nil:
		for _, r := range s.catalog().Relations() {
			if slices.Contains(shownKinds[name], r.Kind) {
				rows = append(rows, []string{r.Schema, r.Name, r.Kind.String()})
			}
		}
	case name == "all":
		for i := range settings {
			v, _ := s.vars.get(settings[i].name)
			rows = append(rows, []string{settings[i].name, v, settings[i].desc})
		}
	case name == "jobs":
		info := &sessionInfo{s: s, cat: s.catalog()}
		for _, j := range s.e.jobStates() {
			view, ok := info.RegName(types.Regclass, j.oid)
			if !ok {
				view = j.view
			}
			rows = append(rows, []string{view, j.state, fmt.Sprint(j.changes), j.err})
		}
	default:
		v, ok := s.vars.get(settingName(name))
		if !ok {
			return nil, pgerr.New(pgerr.UndefinedObject, "unrecognized configuration parameter \"%s\"", x.Name).At(x.Pos)
		}
		rows = [][]string{{v}}
	}
	return textPortal(cols, func(int64) string { return "SHOW" }, rows), nil
}

func textPortal(cols []Column, tag func(int64) string, rows [][]string) *valuesPortal {
	names := make([]string, len(cols))
	for i, c := range cols {
		names[i] = c.Name
	}
	return &valuesPortal{columns: cols, tag: tag, run: func(context.Context) ([]*vec.Batch, error) {
		return []*vec.Batch{textRows(names, rows)}, nil
	}}
}

func explainColumns(x *ast.Explain) []Column {
	c := Column{Name: "QUERY PLAN", Type: types.Text}
	if x.Format == "json" {
		c.Type = types.JSON
	}
	return []Column{c}
}

// explain makes the portal of EXPLAIN; with ANALYZE a finite query is run and counted.
func (s *Session) explain(x *ast.Explain, st *Statement, args []types.Datum) Portal {
	cols := explainColumns(x)
	p := &valuesPortal{columns: cols, tag: func(int64) string { return "EXPLAIN" }}
	p.run = func(ctx context.Context) ([]*vec.Batch, error) {
		if x.Format == "json" {
			return nil, pgerr.New(pgerr.FeatureNotSupported, "EXPLAIN (FORMAT JSON) is not supported").WithHint("Use the text format.").At(x.Pos)
		}
		inner := &Statement{s: s, parsed: Parsed{Stmt: x.Stmt, Text: st.parsed.Text}, declared: st.params}
		if view, ok := x.Stmt.(*ast.CreateView); ok && view.Materialized {
			q, err := planner.PlanView(view.Query, s.planOptions(nil, st.parsed.Text))
			if err != nil {
				return nil, err
			}
			inner.query = q
		} else if err := inner.plan(); err != nil {
			return nil, err
		}
		var root planner.Node
		switch {
		case inner.query != nil:
			root = inner.query.Root
		case inner.dml != nil:
			root = inner.dml.Source
		default:
			return nil, pgerr.New(pgerr.FeatureNotSupported, "%s has no plan to explain", statementName(x.Stmt)).At(x.Pos)
		}
		text := planner.Explain(root, x.Verbose)
		if x.Analyze {
			if inner.query == nil || inner.query.Continuous {
				return nil, pgerr.New(pgerr.FeatureNotSupported, "EXPLAIN ANALYZE runs queries that end").
					WithHint("Leave EMIT out, or look at sys.jobs for running views.").At(x.Pos)
			}
			start := s.e.clock()
			qp := s.newQueryPortal(inner.query, planner.Bind(root, args), nil, s.fnCtx(ctx))
			defer qp.Close()
			rows := 0
			for done := false; !done; {
				var b *vec.Batch
				var err error
				if b, done, err = qp.Fetch(ctx, 0); err != nil {
					return nil, err
				}
				if b != nil {
					rows += b.N
					b.Release()
				}
			}
			text = strings.TrimRight(text, "\n") + fmt.Sprintf("\nRows: %d\n%sExecution Time: %.3f ms\n", rows, qp.memory.explain(), float64(s.e.clock()-start)/1000)
		}
		var lines [][]string
		for _, l := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
			lines = append(lines, []string{l})
		}
		return []*vec.Batch{textRows([]string{"QUERY PLAN"}, lines)}, nil
	}
	return p
}

func evalConst(c *fn.Ctx, e planner.Expr) (types.Datum, error) { return exec.EvalConst(c, e) }

// statementName gives the words that begin a statement, for messages.
func statementName(s ast.Stmt) string {
	switch x := s.(type) {
	case *ast.CreateTable:
		if x.Source {
			return "CREATE SOURCE"
		}
		return "CREATE TABLE"
	case *ast.CreateView:
		if x.Materialized {
			return "CREATE MATERIALIZED VIEW"
		}
		return "CREATE VIEW"
	case *ast.CreateSink:
		return "CREATE SINK"
	case *ast.CreateSchema:
		return "CREATE SCHEMA"
	case *ast.CreateIndex:
		return "CREATE INDEX"
	case *ast.CreateFunction:
		return "CREATE FUNCTION"
	case *ast.CreateSequence:
		return "CREATE SEQUENCE"
	case *ast.CreateEnum, *ast.CreateComposite:
		return "CREATE TYPE"
	case *ast.CreateDomain:
		return "CREATE DOMAIN"
	case *ast.Merge:
		return "MERGE"
	case *ast.CreateOther:
		return "CREATE " + strings.ToUpper(x.Kind)
	case *ast.Drop:
		return "DROP " + strings.ToUpper(x.Kind)
	case *ast.Alter:
		return "ALTER " + strings.ToUpper(x.Kind)
	case *ast.Comment:
		return "COMMENT"
	case *ast.Insert:
		return "INSERT"
	case *ast.Update:
		return "UPDATE"
	case *ast.Delete:
		return "DELETE"
	case *ast.Truncate:
		return "TRUNCATE TABLE"
	case *ast.Copy:
		return "COPY"
	case *ast.Refresh:
		return "REFRESH MATERIALIZED VIEW"
	case *ast.CreateRole:
		return "CREATE ROLE"
	case *ast.AlterRole:
		return "ALTER ROLE"
	case *ast.DropRole:
		return "DROP ROLE"
	case *ast.ReassignOwned:
		if x.To == nil {
			return "DROP OWNED"
		}
		return "REASSIGN OWNED"
	case *ast.Grant:
		word := "GRANT"
		if x.Revoke {
			word = "REVOKE"
		}
		switch {
		case x.Defaults:
			return "ALTER DEFAULT PRIVILEGES"
		case x.Kind == "":
			return word + " ROLE"
		case x.Revoke:
			return "REVOKE"
		}
		return "GRANT"
	case *ast.Backup:
		return "BACKUP"
	case *ast.Pause:
		if x.Alter {
			return "ALTER " + strings.ToUpper(x.Kind)
		}
		if x.Resume {
			return "RESUME"
		}
		return "PAUSE"
	case *ast.Set:
		return "SET"
	case *ast.Transaction:
		return strings.ToUpper(x.Kind)
	}
	return "this statement"
}
