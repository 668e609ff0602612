package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"streamsql/catalog"
	"streamsql/engine"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
)

// errQuit ends the shell.
var errQuit = errors.New("quit")

const metaHelp = `  \d [NAME]     describe a relation, or list all
  \dt \dm \dv   list tables and sources, materialized views, views
  \i FILE       run the statements of a file
  \timing       show how long statements take, or not
  \x            show results one value a line, or not
  \?            this help
  \q            quit

  End statements with ";". Queries that end in EMIT CHANGES or EMIT ON WINDOW CLOSE go on until Ctrl-C.

  CREATE SOURCE bid WITH (connector = 'nexmark', table = 'bid', rate = '1000');
  SELECT window_start, count(*) FROM TUMBLE(bid, date_time, INTERVAL '10 seconds') GROUP BY window_start EMIT CHANGES;
`

// metaCommands are the backslash commands that are completed.
var metaCommands = []string{`\d`, `\dt`, `\dm`, `\dv`, `\i`, `\timing`, `\x`, `\?`, `\q`}

// meta carries out a backslash command and reports whether it succeeded.
func (s *shell) meta(ctx context.Context, line, where string) bool {
	err := s.metaCommand(ctx, strings.TrimRight(strings.TrimSpace(line), ";"))
	if err != nil && !errors.Is(err, errQuit) {
		printError(s.io.err, where, "", err)
	}
	return err == nil
}

func (s *shell) metaCommand(ctx context.Context, line string) error {
	name, arg, _ := strings.Cut(line, " ")
	arg = strings.TrimSpace(arg)
	onOff := func(v *bool, what string) {
		*v = !*v
		state := "off"
		if *v {
			state = "on"
		}
		fmt.Fprintf(s.io.out, "%s is %s.\n", what, state)
	}
	switch strings.TrimSuffix(name, "+") {
	case `\q`, `\quit`:
		return errQuit
	case `\?`, `\h`, `\help`:
		fmt.Fprint(s.io.out, metaHelp)
	case `\timing`:
		onOff(&s.timing, "Timing")
	case `\x`:
		onOff(&s.expanded, "Expanded display")
	case `\d`:
		if arg != "" {
			return s.describe(arg)
		}
		return s.list(catalog.Table, catalog.Source, catalog.View, catalog.MatView, catalog.Sink)
	case `\dt`:
		return s.list(catalog.Table, catalog.Source)
	case `\dm`:
		return s.list(catalog.MatView)
	case `\dv`:
		return s.list(catalog.View)
	case `\i`:
		text, err := os.ReadFile(arg)
		if err != nil {
			return pgerr.New(pgerr.UndefinedFile, "%v", err)
		}
		if !s.script(ctx, string(text), arg) {
			return nil // said already
		}
	default:
		return pgerr.New(pgerr.SyntaxError, "invalid command %s", name).WithHint(`Try \? for help.`)
	}
	return nil
}

// list prints the relations of some kinds.
func (s *shell) list(kinds ...catalog.RelKind) error {
	rels := s.relations(kinds...)
	if len(rels) == 0 {
		fmt.Fprintln(s.io.out, "Did not find any relations.")
		return nil
	}
	var rows [][]string
	for _, r := range rels {
		rows = append(rows, []string{r.Schema, r.Name, r.Kind.String(), r.Owner})
	}
	return s.printTable("List of relations", []string{"Schema", "Name", "Type", "Owner"}, rows,
		fmt.Sprintf("(%d row%s)", len(rows), map[bool]string{true: "", false: "s"}[len(rows) == 1]))
}

func (s *shell) relations(kinds ...catalog.RelKind) []*catalog.Relation {
	rels := slices.DeleteFunc(slices.Clone(s.engine.Catalog().Relations()), func(r *catalog.Relation) bool {
		return !slices.Contains(kinds, r.Kind)
	})
	slices.SortFunc(rels, func(a, b *catalog.Relation) int {
		return cmp.Or(cmp.Compare(a.Schema, b.Schema), cmp.Compare(a.Name, b.Name))
	})
	return rels
}

// describe prints the columns of a relation and what else there is to know of it.
func (s *shell) describe(name string) error {
	schema, rest, qualified := strings.Cut(name, ".")
	if !qualified {
		schema, rest = "", name
	}
	fold := func(s string) string {
		if len(s) > 1 && s[0] == '"' && s[len(s)-1] == '"' {
			return strings.ReplaceAll(s[1:len(s)-1], `""`, `"`)
		}
		return strings.ToLower(s)
	}
	r := s.engine.Catalog().Find(fold(schema), fold(rest), []string{"public"})
	if r == nil {
		return pgerr.New(pgerr.UndefinedTable, "Did not find any relation named \"%s\".", name)
	}
	var rows [][]string
	for _, c := range r.Columns {
		nullable, value := "", c.Default
		if c.NotNull {
			nullable = "not null"
		}
		if c.Generated != "" {
			value = "generated always as (" + c.Generated + ") stored"
		}
		rows = append(rows, []string{c.Name, c.Type.Format(), nullable, value})
	}
	var foot []string
	if len(r.PrimaryKey) > 0 {
		var names []string
		for _, k := range r.PrimaryKey {
			names = append(names, r.Columns[k].Name)
		}
		foot = append(foot, "Primary key: ("+strings.Join(names, ", ")+")")
	}
	if w := r.Watermark; w != nil {
		text := "Watermark for " + r.Columns[w.Column].Name
		if w.Expr != "" {
			text += " as " + w.Expr
		}
		foot = append(foot, text)
	}
	if r.AppendOnly {
		foot = append(foot, "Append only")
	}
	if len(r.Options) > 0 {
		var options []string
		for _, o := range r.Options {
			options = append(options, fmt.Sprintf("%s = '%s'", o.Name, strings.ReplaceAll(o.Value, "'", "''")))
		}
		foot = append(foot, "With: "+strings.Join(options, ", "))
	}
	if r.Definition != "" {
		foot = append(foot, "Definition:\n "+strings.ReplaceAll(strings.TrimSpace(r.Definition), "\n", "\n "))
	}
	kind := r.Kind.String()
	title := fmt.Sprintf("%s \"%s.%s\"", strings.ToUpper(kind[:1])+kind[1:], r.Schema, r.Name)
	return s.printTable(title, []string{"Column", "Type", "Nullable", "Default"}, rows, foot...)
}

// printTable prints rows of text under a centred title.
func (s *shell) printTable(title string, names []string, rows [][]string, foot ...string) error {
	t := &table{out: bufio.NewWriter(s.io.out)}
	cols := make([]engine.Column, len(names))
	for i, n := range names {
		cols[i] = engine.Column{Name: n, Type: types.Text}
	}
	t.begin(cols, nil)
	t.add(rows)
	total := -1
	for _, w := range t.width {
		total += w + 3
	}
	fmt.Fprintf(t.out, "%s%s\n", strings.Repeat(" ", max((total-textWidth(title))/2, 0)), title)
	t.head()
	for _, r := range rows {
		t.row(r)
	}
	for _, f := range foot {
		fmt.Fprintln(t.out, f)
	}
	fmt.Fprintln(t.out)
	return t.flush()
}
