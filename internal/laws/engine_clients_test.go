package laws

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"streamsql/engine"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// texts gives the rows of a batch as texts.
func texts(s *engine.Session, b *vec.Batch) (rows []string) {
	views := b.Views(nil)
	for i := range b.N {
		out := make([]string, len(views))
		for c, v := range views {
			out[c] = "NULL"
			if d := v.Datum(i); d != nil {
				out[c] = string(types.AppendText(nil, s.Env(), b.Schema.Fields[c].Type, d))
			}
		}
		rows = append(rows, strings.Join(out, "|"))
	}
	return rows
}

// client follows a query and folds what it gets.
type client struct {
	w     *world
	s     *engine.Session
	sql   string
	query string // the snapshot that the fold must come to equal; "" if there is none
	reads map[string]bool
	p     engine.Portal
	fetch string // FETCH of a cursor, instead of p
	cols  []string

	rows    map[string]int
	unsure  map[string]int // of a subscription: since the last progress row
	token   string
	ts      string
	pair    string // the -U row that a +U must follow
	stopped bool
}

func (c *client) closed() bool { return c.stopped }

func (c *client) close() {
	if c.stopped {
		return
	}
	c.stopped = true
	if c.p != nil {
		c.p.Close()
	}
	c.s.Close()
}

// follow begins to follow a query; nil if it cannot be followed.
func (w *world) follow(sql, query string, reads map[string]bool) *client {
	c := &client{w: w, s: w.connect().s, sql: sql, query: query, reads: reads, rows: map[string]int{}, unsure: map[string]int{}}
	if err := c.open(sql); err != nil {
		if pgerr.Code(err) != pgerr.FeatureNotSupported {
			failf("%s: %v", sql, err)
		}
		c.close()
		return nil
	}
	w.trace = append(w.trace, "-- follow "+sql)
	w.clients = append(w.clients, c)
	return c
}

func (c *client) open(sql string) error {
	stmts, err := c.s.Parse(sql)
	if err != nil {
		return err
	}
	if c.p, err = c.s.Execute(context.Background(), stmts[0]); err != nil {
		c.s.EndImplicit(context.Background(), err)
		return err
	}
	c.cols = nil
	for _, col := range c.p.Columns() {
		c.cols = append(c.cols, col.Name)
	}
	return nil
}

// createClient begins to follow a random query in a random way.
func (w *world) createClient() {
	r := w.rnd
	q, v := w.randomQuery("")
	if len(w.views) > 0 && r.IntN(2) == 0 {
		m := pick(r, w.views...)
		q, v.reads, v.live = "TABLE "+m.name, m.reads, m.live && !m.materialized
		v.reads = map[string]bool{m.name: true}
		for n := range m.reads {
			v.reads[n] = true
		}
	}
	kind := r.IntN(4)
	if v.live {
		return
	}
	switch kind {
	case 0, 1:
		c := w.follow(strings.Replace(q, "TABLE ", "SELECT * FROM ", 1)+" EMIT CHANGES", q, v.reads)
		if c != nil && kind == 1 { // by a cursor
			c.p.Close()
			c.p = nil
			if _, err := query(c.s, "DECLARE c CURSOR FOR "+c.sql, ""); err != nil {
				failf("DECLARE c CURSOR FOR %s: %v", c.sql, err)
			}
			c.fetch = fmt.Sprintf("FETCH %d FROM c WITH (timeout = '1 ms')", 1+r.IntN(30))
		}
	default:
		if c := w.follow("SUBSCRIBE ("+q+") WITH (PROGRESS = true)", q, v.reads); c != nil {
			c.first()
		}
	}
}

// first reads what there is at the start, so that the start is now.
func (c *client) first() {
	if err := c.read(20 * time.Millisecond); err != nil {
		failf("%s: %v", c.sql, err)
	}
}

// step lets a client read a little, or break off and go on.
func (c *client) step() {
	if c.stopped {
		return
	}
	r := c.w.rnd
	again := r.IntN(2) == 0
	c.poll()
	if again && strings.HasPrefix(c.sql, "SUBSCRIBE") && c.token != "" {
		c.p.Close()
		clear(c.unsure)
		c.pair, c.ts = "", ""
		sql := strings.Replace(c.sql, "PROGRESS", "SNAPSHOT = false, PROGRESS", 1) + " AS OF '" + c.token + "'"
		c.w.counts["resumed"]++
		c.w.trace = append(c.w.trace, "-- resume "+sql)
		if err := c.open(sql); err != nil {
			failf("%s: %v", sql, err)
		}
	}
}

// poll reads what is at hand.
func (c *client) poll() {
	if c.stopped {
		return
	}
	if err := c.read(2 * time.Millisecond); err != nil {
		failf("%s: %v", c.sql, err)
	}
}

func (c *client) read(wait time.Duration) error {
	if c.fetch != "" {
		rows, err := query(c.s, c.fetch, "")
		if err != nil {
			return err
		}
		c.fold(rows)
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	for {
		b, done, err := c.p.Fetch(ctx, 0)
		if pgerr.Code(err) == pgerr.QueryCanceled {
			return nil
		}
		if err != nil {
			return err
		}
		if b != nil {
			c.fold(texts(c.s, b))
			b.Release()
		}
		if done {
			return fmt.Errorf("ended")
		}
	}
}

// fold takes rows in, and checks that they come in order.
func (c *client) fold(rows []string) {
	for _, row := range rows {
		if *engineTrace {
			fmt.Println("   ", row, c.sql)
		}
		f := strings.Split(row, "|")
		at := slices.Index(c.cols, "_ts")
		if at >= 0 {
			if f[at] < c.ts {
				failf("%s: %s comes after %s", c.sql, row, c.ts)
			}
			if c.cols[0] == "_ts" && len(c.cols) == 6 && f[at] != c.ts { // PERIODIC: a tick replaces all
				clear(c.rows)
			}
			if c.pair != "" && f[at] != c.ts {
				failf("%s: %s is not the +U of %s", c.sql, row, c.pair)
			}
			c.ts = f[at]
		}
		switch {
		case at < 0: // append
			c.add(c.rows, row, 1)
		case c.cols[0] == "_op":
			if (c.pair != "") != (f[0] == "+U") {
				failf("%s: %s after -U %q", c.sql, row, c.pair)
			}
			c.pair = ""
			body := strings.Join(f[2:], "|")
			switch f[0] {
			case "-U":
				c.pair = body
				c.add(c.rows, body, -1)
			case "-D":
				c.add(c.rows, body, -1)
			default:
				c.add(c.rows, body, 1)
			}
		case c.cols[1] == "_progressed":
			if f[1] == "t" {
				for r, n := range c.unsure {
					c.add(c.rows, r, n)
				}
				clear(c.unsure)
				c.token = f[0]
				continue
			}
			if c.token != "" && f[0] < c.token {
				failf("%s: %s comes after progress to %s", c.sql, row, c.token)
			}
			n := 1
			fmt.Sscan(f[2], &n)
			c.unsure[strings.Join(f[3:], "|")] += n
		default: // PERIODIC
			c.add(c.rows, strings.Join(f[1:], "|"), 1)
		}
	}
}

func (c *client) add(rows map[string]int, row string, n int) {
	if rows[row] += n; rows[row] < 0 {
		failf("%s: takes back %s, which is not there", c.sql, row)
	}
	if rows[row] == 0 {
		delete(rows, row)
	}
}

func (c *client) content() (out []string) {
	all := map[string]int{}
	for r, n := range c.rows {
		all[r] += n
	}
	for r, n := range c.unsure {
		all[r] += n
	}
	for r, n := range all {
		for range n {
			out = append(out, r)
		}
	}
	return out
}

// sinkUnderTest is a sink into a table or files.
type sinkUnderTest struct {
	name, query, table, path string
	reads                    map[string]bool
}

func (w *world) createSink(c *conn) {
	if len(w.sinks) > 2 {
		return
	}
	q, v := w.randomQuery("")
	if v.live {
		return
	}
	s := &sinkUnderTest{name: w.name("sink"), query: q, reads: v.reads}
	var sql string
	if w.rnd.IntN(3) > 0 {
		s.table = w.name("out")
		c.must("CREATE TABLE " + s.table + " (" + baseColumns + ")")
		sql = "CREATE SINK " + s.name + " AS " + q + " WITH (connector = 'table', table = '" + s.table + "')"
	} else {
		s.path = filepath.Join(w.files, s.name)
		sql = "CREATE SINK " + s.name + " AS " + q + " EMIT CHANGES WITH (connector = 'file', path = '" + s.path + "', type = 'changelog')"
	}
	if _, err := c.try(sql, ""); err == nil {
		w.sinks = append(w.sinks, s)
	}
}

func (w *world) checkSinks() {
	c := w.conns[0]
	for _, s := range w.sinks {
		w.counts["check of sinks"]++
		eventually("sink of "+s.query, func() (got, want []string) {
			want = c.must(s.query)
			if s.table != "" {
				return c.must("TABLE " + s.table), want
			}
			return foldFiles(s.path), want
		})
	}
}

func (w *world) dropSinks() {
	w.checkSinks()
	for _, s := range w.sinks {
		w.conns[0].try("DROP SINK "+s.name, "")
	}
	w.sinks = nil
}

// foldFiles folds the changelog that a sink has written.
func foldFiles(dir string) (out []string) {
	files, _ := filepath.Glob(filepath.Join(dir, "part-*"))
	slices.Sort(files)
	rows := map[string]int{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			failf("%v", err)
		}
		for _, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
			var x map[string]any
			if err := json.Unmarshal([]byte(line), &x); err != nil {
				failf("%s: %q: %v", f, line, err)
			}
			var row []string
			for _, k := range []string{"id", "k", "v", "s", "at"} {
				switch v := x[k].(type) {
				case nil:
					row = append(row, "NULL")
				case float64:
					row = append(row, fmt.Sprintf("%.0f", v))
				case string:
					if k == "at" {
						v = strings.Replace(v, "T", " ", 1)
					}
					row = append(row, v)
				}
			}
			n := 1
			if op := x["_op"]; op == "-U" || op == "-D" {
				n = -1
			}
			rows[strings.Join(row, "|")] += n
		}
	}
	for r, n := range rows {
		if n < 0 {
			failf("%s: takes back %s, which is not there", dir, r)
		}
		for range n {
			out = append(out, r)
		}
	}
	return out
}

// enginePG is the oracle of tables.
type enginePG struct {
	c       *pgx.Conn
	schemas int
}

func enginePostgres(t *testing.T) *enginePG {
	server, err := startPostgres(t)
	if err != nil {
		t.Logf("no PostgreSQL: %v", err)
		return nil
	}
	c, err := pgx.Connect(context.Background(), server.url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return &enginePG{c: c}
}

// oracle words a statement for PostgreSQL: COPY with its data as INSERT.
func oracle(sql, data string) string {
	if data == "" {
		return sql
	}
	var rows [][]string
	for _, line := range strings.Split(strings.TrimSuffix(data, "\n"), "\n") {
		row := strings.Split(line, "\t")
		for i := range row {
			if row[i] == `\N` {
				row[i] = ""
			}
		}
		rows = append(rows, row)
	}
	return "INSERT INTO " + strings.Fields(sql)[1] + " VALUES " + values(rows)
}

// replay runs what was committed, one statement after another, and compares the tables.
func (p *enginePG) replay(w *world, final map[string][]string) error {
	ctx := context.Background()
	p.schemas++
	name := fmt.Sprintf("e%d", p.schemas)
	sql := []string{"CREATE SCHEMA " + name, "SET search_path = " + name}
	for _, b := range w.bases {
		s := "CREATE UNLOGGED TABLE " + b.name + " (" + baseColumns
		if b.pk {
			s += ", PRIMARY KEY (id)"
		}
		sql = append(sql, s+")")
	}
	for _, s := range append(sql, w.commits...) {
		if _, err := p.c.Exec(ctx, s); err != nil {
			return fmt.Errorf("PostgreSQL says of what was committed: %s: %w", s, err)
		}
	}
	for _, b := range w.bases {
		if b.source {
			continue
		}
		res, err := p.c.PgConn().Exec(ctx, "TABLE "+b.name).ReadAll()
		if err != nil {
			return err
		}
		var rows []string
		for _, r := range res[0].Rows {
			var row []string
			for _, x := range r {
				if x == nil {
					row = append(row, "NULL")
				} else {
					row = append(row, string(x))
				}
			}
			rows = append(rows, strings.Join(row, "|"))
		}
		if !slices.Equal(sorted(rows), final[b.name]) {
			return fmt.Errorf("table %s has\n%v, PostgreSQL's\n%v", b.name, final[b.name], rows)
		}
	}
	_, err := p.c.Exec(ctx, "SET client_min_messages = error; DROP SCHEMA "+name+" CASCADE")
	return err
}
