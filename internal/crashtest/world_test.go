package crashtest

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	keys        = 10 // of events, each with a row of dims
	accounts    = 20
	openBalance = 1000
	writers     = 3
	// Events are a tenth of a second apart, windows ten seconds long.
	windowRows = 100
)

// sinksGoOn says that sinks survive a restart.
const sinksGoOn = true

// feed is a file that grows: rows numbered from 0, in a format of its own.
type feed struct {
	path string
	line func(dst *bytes.Buffer, id int)

	mu   sync.Mutex
	rows int    // whose line is complete
	half []byte // the rest of the line that follows
}

var origin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func eventTime(id int) string {
	return origin.Add(time.Duration(id) * 100 * time.Millisecond).Format("2006-01-02 15:04:05.000")
}

// grow appends n rows in one write, now and then breaking off within the last line.
func (f *feed) grow(n int, broken bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var b bytes.Buffer
	if f.half != nil {
		b.Write(f.half)
		f.half = nil
		f.rows++
	}
	for range n {
		f.line(&b, f.rows)
		f.rows++
	}
	if broken {
		var next bytes.Buffer
		f.line(&next, f.rows)
		b.Write(next.Bytes()[:next.Len()/2])
		f.half = next.Bytes()[next.Len()/2:]
	}
	file, err := os.OpenFile(f.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = file.Write(b.Bytes())
	return err
}

func (f *feed) total() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rows
}

// writer is a client that inserts numbered rows of its own, moves money between accounts and renames its key.
type writer struct {
	n           int
	acked       int // rows of ledger that are there for sure: 1 to acked
	maybe       int // rows of the statement whose end is not known
	name, other string
	transfers   int
	upserts     int // of its row of counters
}

// world is what the test knows of the data directory.
type world struct {
	dir    string // holds everything
	rng    *rand.Rand
	seed   uint64
	events *feed // ndjson, of which nearly everything is made
	clicks *feed // csv, joined with events
	ws     []*writer
	ddl    definitions
	alter  alterer
	pause  pauser
	files  map[string]int64 // of file sinks, with their sizes
	fresh  string           // the directory of the sink of this cycle

	followers []*follower
	mu        sync.Mutex
	refused   []string // what followers were refused

	cycles, kills, points, stops int
	violations                   []string
	slowest                      time.Duration // start
}

func newWorld(dir string, seed uint64) *world {
	w := &world{dir: dir, seed: seed, rng: rand.New(rand.NewPCG(seed, 1)), files: map[string]int64{}}
	w.events = &feed{path: filepath.Join(dir, "events.ndjson"), line: func(b *bytes.Buffer, id int) {
		fmt.Fprintf(b, "{\"id\":%d,\"ts\":\"%s\",\"k\":%d,\"v\":%d}\n", id, eventTime(id), id%keys, id*7)
	}}
	w.clicks = &feed{path: filepath.Join(dir, "clicks.csv"), line: func(b *bytes.Buffer, id int) {
		if id == 0 {
			b.WriteString("event,who\n")
		}
		fmt.Fprintf(b, "%d,user %d\n", id, id%7)
	}}
	for n := range writers {
		w.ws = append(w.ws, &writer{n: n, name: "first"})
	}
	for _, q := range followedQueries {
		w.followers = append(w.followers, &follower{query: q})
	}
	w.ddl = definitions{world: w, known: map[string]*definition{}}
	return w
}

func (w *world) violation(format string, args ...any) {
	w.violations = append(w.violations, fmt.Sprintf("cycle %d: ", w.cycles)+fmt.Sprintf(format, args...))
}

func (w *world) data() string            { return filepath.Join(w.dir, "data") }
func (w *world) sink(name string) string { return filepath.Join(w.dir, name) }

// eventsSource gives the statement that makes a source of the events.
func eventsSource(path, options string) string {
	return "CREATE SOURCE events (id bigint, ts timestamp, k int, v bigint, WATERMARK FOR ts AS ts) WITH (connector = 'file', path = '" + path + "', format = 'ndjson'" + options + ")"
}

// schema gives the statements that make what is under test.
func (w *world) schema() []string {
	stmts := []string{
		eventsSource(w.events.path, ", follow = 'true'"),
		`CREATE SOURCE clicks (event bigint, who text) WITH (connector = 'file', path = '` + w.clicks.path + `', format = 'csv', follow = 'true')`,
		`CREATE TABLE ledger (id bigint PRIMARY KEY, client int NOT NULL, seq int NOT NULL, amount bigint NOT NULL) APPEND ONLY`,
		`CREATE TABLE accounts (id int PRIMARY KEY, balance bigint NOT NULL)`,
		`CREATE TABLE transfers (client int, n int, source int, target int, amount bigint)`,
		`CREATE TABLE dims (k int PRIMARY KEY, name text NOT NULL)`,
		`CREATE TABLE sunk (id bigint, k int)`,
		`CREATE TABLE counters (client int PRIMARY KEY, n bigint NOT NULL, tag text NOT NULL UNIQUE)`,
		`CREATE TABLE shape (id bigint PRIMARY KEY, a text)`,
		`INSERT INTO accounts SELECT n, ` + fmt.Sprint(openBalance) + ` FROM generate_series(0, ` + fmt.Sprint(accounts-1) + `) AS n`,
		`INSERT INTO dims SELECT n, 'first' FROM generate_series(0, ` + fmt.Sprint(keys-1) + `) AS n`,

		`CREATE MATERIALIZED VIEW by_client AS SELECT client, count(*) AS n, max(seq) AS last, sum(amount) AS amount FROM ledger GROUP BY client`,
		`CREATE MATERIALIZED VIEW all_clients AS SELECT count(*) AS clients, sum(n) AS n FROM by_client`,
		`CREATE MATERIALIZED VIEW moved AS SELECT a.id, a.balance, coalesce(i.s, 0) AS got, coalesce(o.s, 0) AS gave FROM accounts AS a
			LEFT JOIN (SELECT target AS id, sum(amount) AS s FROM transfers GROUP BY target) AS i ON i.id = a.id
			LEFT JOIN (SELECT source AS id, sum(amount) AS s FROM transfers GROUP BY source) AS o ON o.id = a.id`,
		`CREATE MATERIALIZED VIEW by_key AS SELECT k, count(*) AS n, sum(v) AS s, max(id) AS last FROM events GROUP BY k`,
		`CREATE MATERIALIZED VIEW windows AS SELECT window_start, count(*) AS n, sum(v) AS s FROM TUMBLE(events, ts, INTERVAL '10 seconds') GROUP BY window_start, window_end`,
		`CREATE MATERIALIZED VIEW named AS SELECT e.k, d.name, count(*) AS n FROM events AS e JOIN dims AS d ON d.k = e.k GROUP BY e.k, d.name`,
		`CREATE MATERIALIZED VIEW who AS SELECT c.who, count(*) AS n, sum(e.v) AS s FROM clicks AS c JOIN events AS e ON e.id = c.event GROUP BY c.who`,
		`CREATE MATERIALIZED VIEW tags AS SELECT count(*) AS n, count(DISTINCT tag) AS tags, sum(n) AS s FROM counters`,
		`CREATE MATERIALIZED VIEW shapes AS SELECT count(*) AS n, count(a) AS a, max(id) AS last FROM shape`,
		`CREATE MATERIALIZED VIEW pausable AS SELECT k, count(*) AS n FROM events GROUP BY k`,
		`CREATE MATERIALIZED VIEW top AS SELECT k, n FROM by_key ORDER BY n DESC, k LIMIT 3`,
	}
	for _, v := range recomputed {
		stmts = append(stmts, "CREATE MATERIALIZED VIEW "+v.name+" AS "+v.query)
	}
	for _, s := range w.sinks() {
		stmts = append(stmts, s.sql)
	}
	return append(stmts, `CREATE MATERIALIZED VIEW sunk_keys AS SELECT k, count(*) AS n FROM sunk GROUP BY k`)
}

// recomputed are views of which it is checked that they are their query over all events.
var recomputed = []struct{ name, query string }{
	{"sessions", `SELECT k, window_start, window_end, count(*) AS n FROM SESSION((SELECT * FROM events WHERE id % 100 < 60) PARTITION BY k, ts, INTERVAL '2 seconds') GROUP BY k, window_start, window_end`},
	{"nearest", `SELECT e.id % 3 AS r, count(*) AS n, sum(p.id) AS s FROM events AS e ASOF JOIN (SELECT id, ts, k FROM events WHERE id % 3 = 0) AS p ON e.k = p.k AND e.ts >= p.ts GROUP BY e.id % 3`},
	{"steps", `SELECT k, count(d) AS n, sum(d) AS s, max(r) AS last FROM (SELECT k, v - lag(v) OVER w AS d, row_number() OVER w AS r FROM events WINDOW w AS (PARTITION BY k ORDER BY ts)) AS x GROUP BY k`},
	{"kinds", `SELECT count(DISTINCT v % 97) AS d, (SELECT max(id) FROM events) AS last FROM events WHERE k IN (SELECT k FROM dims)`},
}

// sinkUnderTest is a sink whose rows are numbered.
type sinkUnderTest struct {
	name, format, sql string
}

func (w *world) sinks() []sinkUnderTest {
	if !sinksGoOn {
		return nil
	}
	file := func(name, format, query string) sinkUnderTest {
		return sinkUnderTest{name, format, `CREATE SINK ` + name + ` ` + query + ` WITH (connector = 'file', path = '` + w.sink(name) + `', format = '` + format +
			`', rollover_interval = '100 milliseconds', rollover_size = '20kB')`}
	}
	return []sinkUnderTest{
		file("sink_events", "csv", "AS SELECT id, k FROM events EMIT CHANGES AS APPEND"),
		file("sink_ledger", "ndjson", "FROM ledger"),
		file("sink_windows", "parquet", "AS SELECT window_start, count(*) AS n FROM TUMBLE(events, ts, INTERVAL '10 seconds') GROUP BY window_start, window_end EMIT ON WINDOW CLOSE"),
		{"sink_table", "", `CREATE SINK sink_table AS SELECT id, k FROM events WITH (connector = 'table', table = 'sunk')`},
	}
}

// setUp makes everything under test in an empty data directory.
func (w *world) setUp(ctx context.Context) error {
	for _, f := range []*feed{w.events, w.clicks} {
		if err := f.grow(50, false); err != nil {
			return err
		}
	}
	s, err := start(w.data(), "")
	if err != nil {
		return err
	}
	defer s.kill()
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	for _, sql := range w.schema() {
		if _, err := c.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%s: %w", strings.TrimSpace(sql), err)
		}
	}
	return nil
}
