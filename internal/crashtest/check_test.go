package crashtest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"streamsql/engine"
)

// settlePatience is how long views and sinks may take to have everything that was written.
const settlePatience = 90 * time.Second

// checker asks a server, and remembers the first thing that could not be asked.
type checker struct {
	w   *world
	c   *pgx.Conn
	err error // of the connection: no verdict
}

// rows gives the rows of a query as text, columns joined by |.
func (k *checker) rows(sql string) []string {
	if k.err != nil {
		return nil
	}
	rs, err := k.c.Query(context.Background(), sql)
	if err != nil {
		k.fail(sql, err)
		return nil
	}
	defer rs.Close()
	var out []string
	for rs.Next() {
		vals, err := rs.Values()
		if err != nil {
			k.fail(sql, err)
			return nil
		}
		var cells []string
		for _, v := range vals {
			switch x := v.(type) {
			case time.Time:
				cells = append(cells, x.Format("2006-01-02 15:04:05"))
			case interface{ Value() (any, error) }:
				cells = append(cells, fmt.Sprint(x))
			default:
				cells = append(cells, fmt.Sprint(v))
			}
		}
		out = append(out, strings.Join(cells, "|"))
	}
	if err := rs.Err(); err != nil {
		k.fail(sql, err)
	}
	return out
}

// fail tells an error of the server, which is a violation, from a server that is gone.
func (k *checker) fail(sql string, err error) {
	if e := answered(err); e != nil {
		k.w.violation("%s: %v", sql, e)
		return
	}
	k.err = err
}

func (k *checker) one(sql string) string {
	rows := k.rows(sql)
	if len(rows) != 1 {
		if k.err == nil {
			k.w.violation("%s: %d rows", sql, len(rows))
		}
		return ""
	}
	return rows[0]
}

func (k *checker) number(sql string) int {
	s := k.one(sql)
	n, err := strconv.Atoi(s)
	if err != nil && k.err == nil && s != "" {
		k.w.violation("%s: %s", sql, s)
	}
	return n
}

// equal checks that two queries give the same rows in one statement, of one cut.
func (k *checker) equal(what, a, b string) {
	n := k.rows(fmt.Sprintf("SELECT * FROM ((%[1]s EXCEPT ALL %[2]s) UNION ALL (%[2]s EXCEPT ALL %[1]s)) AS x LIMIT 5", a, b))
	if len(n) > 0 {
		time.Sleep(time.Second) // tells what is lost from what comes late
		again := k.rows(fmt.Sprintf("SELECT 'view' AS side, x::text FROM (%s) AS x UNION ALL SELECT 'query', y::text FROM (%s) AS y", a, b))
		jobs := k.rows("SELECT relation, state, changes, error FROM sys.jobs")
		k.w.violation("%s differs from its query: %q; when both are read again, after a second: %q; jobs: %q", what, n, again[:min(len(again), 60)], jobs)
	}
}

// started checks what must be there right after a start, and takes note of how statements ended that were under way.
func (w *world) started(s *server) error {
	ctx := context.Background()
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	k := &checker{w: w, c: c}
	for _, x := range w.ws {
		n := k.number(fmt.Sprintf("SELECT count(*) FROM ledger WHERE client = %d", x.n))
		last := k.number(fmt.Sprintf("SELECT coalesce(max(seq), 0) FROM ledger WHERE client = %d", x.n))
		moves := k.number(fmt.Sprintf("SELECT count(*) FROM transfers WHERE client = %d", x.n))
		name := k.one(fmt.Sprintf("SELECT name FROM dims WHERE k = %d", x.n))
		upserts := k.number(fmt.Sprintf("SELECT coalesce(sum(n), 0)::bigint FROM counters WHERE client = %d", x.n))
		if k.err != nil {
			return k.err
		}
		if n != last || n != x.acked && (x.maybe == 0 || n != x.acked+x.maybe) {
			w.violation("writer %d has %d rows up to %d, of %d acknowledged and perhaps %d", x.n, n, last, x.acked, x.maybe)
		}
		if moves != x.transfers && moves != x.transfers+1 {
			w.violation("writer %d has %d transfers of %d acknowledged", x.n, moves, x.transfers)
		}
		if name != x.name && (x.other == "" || name != x.other) {
			w.violation("writer %d has set the name %q (perhaps %q), which is %q", x.n, x.name, x.other, name)
		}
		if upserts != x.upserts && upserts != x.upserts+1 {
			w.violation("writer %d has counted to %d in %d acknowledged steps", x.n, upserts, x.upserts)
		}
		x.acked, x.maybe, x.transfers, x.name, x.other, x.upserts = n, 0, moves, name, "", upserts
	}
	w.alter.check(k)
	w.pause.check(k)
	for _, r := range w.refused {
		w.violation("%s", r)
	}
	w.consistent(k)
	w.checkFollowers(k)
	w.checkNewSink()
	w.ddl.check(k)
	w.checkFiles()
	return k.err
}

// newSink makes a sink of ledger, into a directory of its own, that lives as long as the server.
func (w *world) newSink(s *server) {
	ctx := context.Background()
	c, err := s.connect(ctx)
	if err != nil {
		return
	}
	defer c.Close(ctx)
	w.fresh = fmt.Sprintf("fresh_%d", w.cycles)
	for _, sql := range []string{"DROP SINK IF EXISTS fresh", "CREATE SINK fresh FROM ledger WITH (connector = 'file', path = '" + w.sink(w.fresh) +
		"', rollover_interval = '20 milliseconds', rollover_size = '2kB')"} {
		if _, err := c.Exec(ctx, sql); err != nil {
			return // the server is gone; what is written is checked all the same
		}
	}
}

// checkNewSink checks that the last sink has shown no row twice, and none that is not there after the crash.
func (w *world) checkNewSink() {
	got := w.fileIDs(w.fresh, "ndjson")
	w.exactly(w.fresh, got, got.n)
	for id := range got.seen {
		if x := w.ws[id/1_000_000_000]; id%1_000_000_000 > x.acked {
			w.violation("%s shows row %d of writer %d, who has %d rows", w.fresh, id, x.n, x.acked)
			return
		}
	}
}

// consistent checks what holds at every moment.
func (w *world) consistent(k *checker) {
	if sum := k.number("SELECT sum(balance)::bigint FROM accounts"); sum != accounts*openBalance && k.err == nil {
		w.violation("the accounts hold %d together instead of %d", sum, accounts*openBalance)
	}
	if bad := k.rows(fmt.Sprintf("SELECT id, balance, got::bigint, gave::bigint FROM moved WHERE balance <> %d + got - gave", openBalance)); len(bad) > 0 {
		w.violation("accounts do not fit their transfers: %q", bad)
	}
	k.equal("by_client", "SELECT * FROM by_client", "SELECT client, count(*), max(seq), sum(amount) FROM ledger GROUP BY client")
	k.equal("all_clients", "SELECT * FROM all_clients", "SELECT count(*), sum(n) FROM (SELECT client, count(*) AS n FROM ledger GROUP BY client) AS x")
	k.equal("moved", "SELECT id, balance, got, gave FROM moved", `SELECT a.id, a.balance, coalesce((SELECT sum(amount) FROM transfers WHERE target = a.id), 0),
		coalesce((SELECT sum(amount) FROM transfers WHERE source = a.id), 0) FROM accounts AS a`)
	k.equal("top", "SELECT * FROM top", "SELECT * FROM (SELECT k, n FROM by_key ORDER BY n DESC, k LIMIT 3) AS x")
	k.equal("sunk_keys", "SELECT * FROM sunk_keys", "SELECT k, count(*) FROM sunk GROUP BY k")
	k.equal("tags", "SELECT n, tags, s FROM tags", "SELECT count(*), count(DISTINCT tag), sum(n) FROM counters")
	k.equal("shapes", "SELECT n, a, last FROM shapes", "SELECT count(*), count(a), max(id) FROM shape")
	if bad := k.rows("SELECT client, n, tag FROM counters WHERE tag <> client || '-' || n"); len(bad) > 0 {
		w.violation("counters that were set in part, or against a constraint: %q", bad)
	}
	if twice := k.rows("SELECT id, count(*) FROM sunk GROUP BY id HAVING count(*) > 1 LIMIT 5"); len(twice) > 0 {
		w.violation("rows that a table has twice: %q", twice)
	}
}

// check checks the rows and columns of shape.
func (a *alterer) check(k *checker) {
	wide := k.number("SELECT count(*) FROM information_schema.columns WHERE table_name = 'shape' AND column_name = 'b'") == 1
	rows := k.one("SELECT count(*) || '/' || coalesce(max(id), 0) FROM shape")
	if k.err != nil {
		return
	}
	if wide != a.wide && !a.maybeAltered {
		k.w.violation("column b of shape is there: %v, acknowledged: %v", wide, a.wide)
	}
	if wide {
		if bad := k.rows("SELECT id, b FROM shape WHERE b IS DISTINCT FROM 7 LIMIT 5"); len(bad) > 0 {
			k.w.violation("rows of shape without the default of the new column: %q", bad)
		}
	}
	a.wide, a.maybeAltered = wide, false
	switch rows {
	case fmt.Sprintf("%d/%[1]d", a.rows):
	case fmt.Sprintf("%d/%[1]d", a.rows+a.maybe):
		a.rows += a.maybe
	default:
		k.w.violation("shape has %s rows and greatest id, of %d acknowledged and perhaps %d", rows, a.rows, a.maybe)
	}
	a.maybe = 0
}

// check checks that a view that was paused still is, and one that was not is not.
func (p *pauser) check(k *checker) {
	paused := k.one("SELECT state FROM sys.jobs WHERE relation = 'pausable'") == "paused"
	if k.err != nil {
		return
	}
	if paused != p.paused && !p.maybe {
		k.w.violation("view pausable is paused: %v, acknowledged: %v", paused, p.paused)
	}
	p.paused, p.maybe = paused, false
}

// check checks the definitions, and takes note of those whose statement was under way.
func (d *definitions) check(k *checker) {
	there := map[string]string{}
	for _, r := range k.rows("SELECT relname, relkind FROM pg_class WHERE relname LIKE 'made\\_%' AND relkind IN ('r', 'v', 'm')") {
		name, kind, _ := strings.Cut(r, "|")
		there[name] = kind
	}
	if k.err != nil {
		return
	}
	for name, x := range d.known {
		_, ok := there[name]
		delete(there, name)
		switch {
		case !ok && (x.query == "" || x.maybe == "-"):
			delete(d.known, name)
			continue
		case !ok:
			k.w.violation("%s %s was acknowledged and is not there", x.kind, name)
			delete(d.known, name)
			continue
		}
		if x.maybe != "" && x.maybe != "-" { // which of the two definitions is it
			def := k.one("SELECT pg_get_viewdef('" + name + "'::regclass)")
			if x.kind == "TABLE" || strings.Contains(def, x.maybe) {
				x.query = x.maybe
			} else if x.query == "" {
				k.w.violation("%s %s is there as %q instead of %q", x.kind, name, def, x.maybe)
			}
		}
		x.maybe = ""
		if x.kind == "TABLE" {
			k.rows("SELECT a, b FROM " + name)
		} else {
			k.equal(name, "SELECT * FROM "+name, x.query)
		}
	}
	for name := range there {
		k.w.violation("%s is there, and its DROP was acknowledged", name)
	}
}

// checkFiles checks that files of sinks stay as they appeared.
func (w *world) checkFiles() {
	for _, s := range w.sinks() {
		if s.format == "" {
			continue
		}
		now := map[string]int64{}
		paths, _ := filepath.Glob(filepath.Join(w.sink(s.name), "part-*")) // the pattern is good
		for _, p := range paths {
			if i, err := os.Stat(p); err == nil {
				now[p] = i.Size()
			}
		}
		for p, size := range w.files {
			if filepath.Dir(p) == w.sink(s.name) && now[p] != size {
				w.violation("file %s had %d bytes and has %d", p, size, now[p])
			}
		}
		for p, size := range now {
			w.files[p] = size
		}
	}
}

// settled waits until everything that was written has arrived, and checks that it has arrived once.
func (w *world) settled(s *server) error {
	ctx := context.Background()
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	k := &checker{w: w, c: c}
	events, clicks := w.events.total(), w.clicks.total()
	ledger := 0
	for _, x := range w.ws {
		ledger += x.acked
	}
	until := time.Now().Add(settlePatience)
	wait := func(what string, done func() bool) {
		for !done() && k.err == nil {
			if time.Now().After(until) {
				w.violation("not within %s: %s; jobs: %q", settlePatience, what, k.rows("SELECT relation, state, changes, error FROM sys.jobs WHERE state <> 'running' ORDER BY relation"))
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	wait("all events in views", func() bool {
		return k.number("SELECT coalesce(sum(n), 0)::bigint FROM by_key") >= events && k.number("SELECT coalesce(sum(n), 0)::bigint FROM windows") >= events &&
			k.number("SELECT coalesce(sum(n), 0)::bigint FROM named") >= events && k.number("SELECT coalesce(sum(n), 0)::bigint FROM who") >= min(events, clicks)
	})
	w.consistent(k)
	if w.pause.paused && k.err == nil {
		if _, err := c.Exec(ctx, w.pause.sql()); err != nil {
			k.fail("RESUME", err)
		}
		w.pause.paused = false
	}
	wait("all events in the view that was paused", func() bool { return k.number("SELECT coalesce(sum(n), 0)::bigint FROM pausable") >= events })
	k.equal("pausable", "SELECT k, n FROM pausable", "SELECT k, n FROM by_key")
	fresh, err := w.recompute()
	if err != nil {
		return err
	}
	for i, v := range recomputed {
		var got []string
		wait(v.name+" to be its query over all events", func() bool {
			got = k.rows("SELECT x::text FROM " + v.name + " AS x ORDER BY 1")
			return slices.Equal(got, fresh[i])
		})
		if k.err == nil && !slices.Equal(got, fresh[i]) {
			w.violation("%s is %q instead of %q", v.name, got[:min(len(got), 60)], fresh[i][:min(len(fresh[i]), 60)])
		}
	}
	for key := range keys {
		n, sum, last := 0, 0, 0
		for id := key; id < events; id += keys {
			n, sum, last = n+1, sum+id*7, id
		}
		if got, want := k.one(fmt.Sprintf("SELECT n, s::bigint, last FROM by_key WHERE k = %d", key)), fmt.Sprintf("%d|%d|%d", n, sum, last); got != want && k.err == nil {
			w.violation("by_key has for key %d %s instead of %s", key, got, want)
		}
		if got, want := k.rows(fmt.Sprintf("SELECT v.n, v.name = d.name FROM named AS v JOIN dims AS d USING (k) WHERE k = %d", key)), fmt.Sprintf("[%d|true]", n); fmt.Sprint(got) != want && k.err == nil {
			w.violation("named has for key %d %s instead of %s", key, got, want)
		}
	}
	if bad := k.rows(fmt.Sprintf("SELECT window_start, n FROM windows WHERE n <> %d AND window_start <> timestamp '%s'", windowRows,
		origin.Add(time.Duration(events/windowRows)*10*time.Second).Format("2006-01-02 15:04:05"))); len(bad) > 0 {
		w.violation("windows without all of their rows or with more: %q", bad)
	}
	if got, want := k.number("SELECT coalesce(sum(n), 0)::bigint FROM who"), min(events, clicks); got != want && k.err == nil {
		w.violation("who has joined %d rows instead of %d", got, want)
	}

	if stopped := k.rows("SELECT relation, state, error FROM sys.jobs WHERE state NOT IN ('running', 'finished') AND relation <> 'fresh'"); len(stopped) > 0 {
		w.violation("jobs that do not run: %q", stopped)
	}
	if !sinksGoOn {
		return k.err
	}
	wait("all events in the table sink", func() bool { return k.number("SELECT count(*) FROM sunk") >= events })
	if got, want := k.one("SELECT count(*), count(DISTINCT id), min(id), max(id) FROM sunk"), fmt.Sprintf("%d|%d|0|%d", events, events, events-1); got != want && k.err == nil {
		w.violation("the table sink has %s instead of %s", got, want)
	}
	wait("all events in files", func() bool { return w.fileIDs("sink_events", "csv").n >= events })
	w.exactly("sink_events", w.fileIDs("sink_events", "csv"), events)
	wait("all of ledger in files", func() bool { return w.fileIDs("sink_ledger", "ndjson").n >= ledger })
	w.exactly("sink_ledger", w.fileIDs("sink_ledger", "ndjson"), ledger)
	closed := (events - 1) / windowRows // the watermark is the time of the last event
	var got []string
	wait("all closed windows in files", func() bool {
		got, err = w.parquetRows("sink_windows")
		return err != nil || len(got) >= closed
	})
	if err != nil {
		w.violation("files of sink_windows: %v", err)
	}
	if len(got) != closed {
		w.violation("sink_windows has %d windows instead of %d", len(got), closed)
	}
	for i, row := range got {
		if want := fmt.Sprintf("%s|%d", origin.Add(time.Duration(i)*10*time.Second).Format("2006-01-02 15:04:05"), windowRows); row != want {
			w.violation("sink_windows has at place %d %s instead of %s", i, row, want)
			break
		}
	}
	w.followersCatchUp(s, k)
	w.checkFiles()
	return k.err
}

// idSet is what files of a sink hold.
type idSet struct {
	n     int // rows
	seen  map[int]bool
	twice []int
	err   error
}

// fileIDs reads the ids of the files of a sink.
func (w *world) fileIDs(name, format string) idSet {
	out := idSet{seen: map[int]bool{}}
	paths, _ := filepath.Glob(filepath.Join(w.sink(name), "part-*")) // the pattern is good
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			out.err = err
			return out
		}
		if !strings.HasSuffix(string(b), "\n") {
			out.err = fmt.Errorf("%s breaks off within a line", p)
			return out
		}
		for i, line := range strings.Split(strings.TrimSuffix(string(b), "\n"), "\n") {
			id := 0
			if format == "csv" {
				if i == 0 {
					continue
				}
				field, _, _ := strings.Cut(line, ",")
				id, err = strconv.Atoi(field)
			} else {
				row := struct{ ID int }{}
				err = json.Unmarshal([]byte(line), &row)
				id = row.ID
			}
			if err != nil {
				out.err = fmt.Errorf("%s, line %d: %w", p, i+1, err)
				return out
			}
			out.n++
			if out.seen[id] {
				out.twice = append(out.twice, id)
			}
			out.seen[id] = true
		}
	}
	return out
}

func (w *world) exactly(name string, got idSet, want int) {
	switch {
	case got.err != nil:
		w.violation("files of %s: %v", name, got.err)
	case len(got.twice) > 0:
		w.violation("%s has %d rows twice: %v ..", name, len(got.twice), got.twice[:min(5, len(got.twice))])
	case got.n != want:
		w.violation("%s has %d rows instead of %d", name, got.n, want)
	}
}

// parquetRows reads the windows of a sink's files with an engine of the test's own, in the order in which the files came.
func (w *world) parquetRows(name string) (rows []string, err error) {
	pattern := filepath.Join(w.sink(name), "part-*.parquet")
	if paths, _ := filepath.Glob(pattern); len(paths) == 0 {
		return nil, nil
	}
	err = freshly(func(s *engine.Session) error {
		rows, err = query(s, "CREATE SOURCE f (window_start timestamp, n bigint) WITH (connector = 'file', path = '"+pattern+"', format = 'parquet'); SELECT window_start::text || '|' || n FROM f")
		return err
	})
	return rows, err
}

// recompute gives the rows of the recomputed views, by an engine of the test's own out of the complete lines of the events.
func (w *world) recompute() (out [][]string, err error) {
	b, err := os.ReadFile(w.events.path)
	if err != nil {
		return nil, err
	}
	whole := filepath.Join(w.dir, "whole.ndjson")
	if err := os.WriteFile(whole, b[:bytes.LastIndexByte(b, '\n')+1], 0o666); err != nil {
		return nil, err
	}
	err = freshly(func(s *engine.Session) error {
		if _, err := query(s, eventsSource(whole, "")+`; CREATE TABLE dims (k int); INSERT INTO dims SELECT generate_series(0, `+fmt.Sprint(keys-1)+`)`); err != nil {
			return err
		}
		for _, v := range recomputed {
			rows, err := query(s, "SELECT x::text FROM ("+v.query+") AS x ORDER BY 1")
			if err != nil {
				return fmt.Errorf("%s: %w", v.name, err)
			}
			if len(rows) == 0 {
				return fmt.Errorf("%s is empty", v.name)
			}
			out = append(out, rows)
		}
		return nil
	})
	return out, err
}

// freshly does something with an engine of the test's own.
func freshly(do func(*engine.Session) error) error {
	e, err := engine.Open(engine.Options{})
	if err != nil {
		return err
	}
	defer e.Close()
	s, err := e.NewSession(engine.SessionOptions{})
	if err != nil {
		return err
	}
	defer s.Close()
	return do(s)
}

func query(s *engine.Session, sql string) (out []string, err error) {
	ctx := context.Background()
	parsed, err := s.Parse(sql)
	if err != nil {
		return nil, err
	}
	for _, p := range parsed {
		st, err := s.Prepare(ctx, p, nil)
		if err != nil {
			return nil, err
		}
		portal, err := s.Bind(ctx, st, nil)
		if err != nil {
			return nil, err
		}
		for done := false; !done; {
			b, d, err := portal.Fetch(ctx, 0)
			if err != nil {
				portal.Close()
				return nil, err
			}
			if done = d; b == nil {
				continue
			}
			for _, v := range b.Views(nil)[:min(1, len(b.Cols))] {
				for i := range b.N {
					out = append(out, fmt.Sprint(v.Datum(i)))
				}
			}
			b.Release()
		}
		portal.Close()
	}
	return out, s.EndImplicit(ctx, nil)
}
