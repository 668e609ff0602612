package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"streamsql/internal/pgtest"
)

// setup is the script that makes what all others work on.
const setup = "test_setup"

// database bears the name that the scripts expect.
const database = "regression"

// runner runs scripts on both servers. Every script begins with a fresh database of PostgreSQL and a fresh server of ours,
// so its share does not depend on what ran before.
type runner struct {
	ctx      context.Context
	o        options
	src      string
	pg       *pgtest.Server
	log      string
	template bool // PostgreSQL has a database with the setup done
}

// file runs one script and gives the outcome of every statement.
func (r *runner) file(f file) ([]outcome, error) {
	if err := r.fresh(); err != nil {
		return nil, err
	}
	ours, err := startOurs(r.ctx, r.o.bin, r.log)
	if err != nil {
		return nil, err
	}
	p := &pair{runner: r,
		want: session{port: r.pg.Port, db: database, timeout: time.Minute},
		got:  session{port: ours.port, db: database, timeout: r.o.timeout},
		vars: map[string]string{"abs_srcdir": r.src, "abs_builddir": r.src, "libdir": "/nowhere", "dlsuffix": ".so"},
	}
	defer func() { p.want.close(); p.got.close(); ours.stop() }()
	// PostgreSQL has the setup from its template.
	p.skipPostgres = true
	p.script(setup)
	p.skipPostgres = false
	for _, name := range f.needs {
		p.script(name)
		p.reconnect()
	}
	p.out = nil
	p.reconnect()
	p.script(f.name)
	for i := range p.out {
		p.out[i].file, p.out[i].group = f.name, f.group
	}
	return p.out, r.ctx.Err()
}

// fresh makes the database again, and the template at the first time.
func (r *runner) fresh() error {
	admin := session{port: r.pg.Port, db: "postgres", timeout: time.Minute}
	defer admin.close()
	exec := func(sql string) error {
		a := admin.run(r.ctx, sql, "")
		if a.err != nil {
			return a.err
		}
		return a.lost
	}
	if !r.template {
		if err := exec("CREATE DATABASE setup"); err != nil {
			return err
		}
		p := &pair{runner: r, want: session{port: r.pg.Port, db: "setup", timeout: time.Minute}, skipOurs: true,
			vars: map[string]string{"abs_srcdir": r.src, "libdir": "/nowhere", "dlsuffix": ".so"}}
		p.script(setup)
		p.want.close()
		r.template = true
	}
	if err := exec("DROP DATABASE IF EXISTS " + database + " WITH (FORCE)"); err != nil {
		return err
	}
	return exec("CREATE DATABASE " + database + " TEMPLATE setup")
}

// pair is a session on each of the two servers that get the same statements.
type pair struct {
	*runner
	want, got              session
	vars                   map[string]string
	skipPostgres, skipOurs bool
	scope                  scope
	out                    []outcome
	dead                   bool // our server is gone: what is left of the script counts as different
}

func (p *pair) reconnect() {
	p.want.close()
	p.got.close()
}

// copyFile finds COPY .. FROM 'file': both servers get the lines from us, since ours reads no files of its clients.
var copyFile = regexp.MustCompile(`(?is)^(\\?copy\s.*?\sfrom\s+)'([^']*)'`)

func (p *pair) script(name string) {
	text, err := os.ReadFile(filepath.Join(p.src, "sql", name+".sql"))
	if err != nil {
		p.out = append(p.out, outcome{sql: name, diff: err.Error()})
		return
	}
	p.scope = scope{made: map[string]string{}}
	s := newScript(string(text), p.vars)
	for p.ctx.Err() == nil {
		st, ok := s.next()
		if !ok {
			return
		}
		if st.sql != "" && strings.HasPrefix(st.meta, "gexec") {
			a := p.statement(st)
			for _, res := range a.results {
				for _, row := range res.rows {
					for _, sql := range row {
						p.statement(step{line: st.line, sql: sql})
					}
				}
			}
			continue
		}
		var a answer
		if st.sql != "" {
			if m := copyFile.FindStringSubmatch(st.sql); m != nil {
				data, err := os.ReadFile(m[2])
				if err == nil {
					st.sql, st.data = m[1]+"STDIN"+st.sql[len(m[0]):], string(data)
				}
			}
			a = p.statement(st)
		}
		if st.meta != "" && p.command(s, st.meta, a) {
			return
		}
	}
}

// command does what psql does for one of its commands; true ends the script.
func (p *pair) command(s *script, meta string, a answer) bool {
	word, rest, _ := strings.Cut(meta, " ")
	args := s.arguments(rest)
	switch word {
	case "set":
		if len(args) > 0 {
			p.vars[args[0]] = strings.Join(args[1:], "")
		}
	case "unset":
		if len(args) > 0 {
			delete(p.vars, args[0])
		}
	case "gset":
		prefix := ""
		if len(args) > 0 {
			prefix = args[0]
		}
		for _, r := range a.results {
			if len(r.rows) != 1 {
				continue
			}
			for i, c := range r.columns {
				p.vars[prefix+c.name] = r.rows[0][i]
			}
		}
	case "c", "connect":
		p.reconnect()
	case "q", "quit":
		return true
	case "if":
		for meta := rest; !truth(s.arguments(meta)); {
			end := s.skipTo()
			if meta, _ = strings.CutPrefix(end, "elif "); meta == end {
				break
			}
		}
	case "else", "elif":
		for {
			if end := s.skipTo(); end == "endif" || end == "" {
				break
			}
		}
	}
	return false
}

func truth(args []string) bool {
	if len(args) == 0 {
		return false
	}
	switch strings.ToLower(args[0]) {
	case "t", "true", "on", "1", "yes":
		return true
	}
	return false
}

// statement sends a query string to both servers, notes the outcome and gives PostgreSQL's answer.
func (p *pair) statement(st step) (want answer) {
	if !p.skipPostgres {
		want = p.want.run(p.ctx, st.sql, st.data)
	}
	if p.skipOurs {
		return want
	}
	c := outcome{line: st.line, sql: st.sql, outside: p.scope.reason(st.sql)}
	if p.dead {
		c.diff = "lost: the server crashed before"
		p.out = append(p.out, c)
		return want
	}
	got := p.got.run(p.ctx, st.sql, st.data)
	c.diff = difference(st.sql, want, got)
	// An error of class XX is a failure inside the server that was caught.
	if got.err != nil && strings.HasPrefix(got.err.Code, "XX") && (want.err == nil || want.err.Code != got.err.Code) {
		c.crash = true
	}
	if got.lost != nil && want.lost == nil {
		// The connection is closed by a cancelled statement, too: the server is gone if it takes no other.
		if err := p.got.open(p.ctx); err != nil {
			c.crash, p.dead = true, true
			log, _ := os.ReadFile(p.log)
			c.diff = fmt.Sprintf("lost: the server is gone: %v\n%s", err, log[:min(len(log), 4000)])
		}
	}
	p.out = append(p.out, c)
	return want
}
