package sqltest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"streamsql/engine"
	"streamsql/internal/pgerr"
)

// The events cover both changes of the clock of 2026 in New York and on Lord Howe Island (where it is put forward by half an
// hour), and the turn of 1969, before and after which times have different signs. local is at without its zone.
const (
	eventColumns = "at timestamptz, local timestamp, k text, v int"
	ny           = "'America/New_York'"
)

func events() (rows []string) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var times []time.Time
	for _, span := range [][2]string{{"1969-10-20", "1970-02-10"}, {"2026-03-06", "2026-03-10"}, {"2026-04-03", "2026-04-06"}, {"2026-10-02", "2026-10-05"}, {"2026-10-30", "2026-11-03"}} {
		from, _ := time.Parse(time.DateOnly, span[0])
		to, _ := time.Parse(time.DateOnly, span[1])
		most := to.Sub(from) / 200 // between two events
		for at := from; at.Before(to); at = at.Add(time.Duration(rnd.Int64N(int64(most))).Truncate(time.Microsecond)) {
			// Many on the very edges of windows.
			times = append(times, at.Truncate([]time.Duration{time.Hour, time.Minute, time.Microsecond, time.Microsecond}[rnd.IntN(4)]))
		}
	}
	slices.SortFunc(times, time.Time.Compare) // nothing is late
	for _, at := range times {
		const layout = "2006-01-02 15:04:05.999999"
		rows = append(rows, fmt.Sprintf("%s|%s|%c|%d", at.Format(layout+"Z07"), at.Format(layout), 'a'+rnd.IntN(3), rnd.IntN(100)))
	}
	return rows
}

// binOrigin is a point of a grid of d, shifted by offset, that is before all events: date_bin of times before its origin differs between versions.
func binOrigin(d, offset string) string {
	return fmt.Sprintf("timestamp '1970-01-01' - interval '%s' * 10000 + interval '%s'", d, offset)
}

// truncated is a calendar window of PostgreSQL in a zone.
func truncated(unit, length, zone string) string {
	return fmt.Sprintf(`SELECT s, (s AT TIME ZONE %[3]s + interval '%[2]s') AT TIME ZONE %[3]s e, count(*), sum(v)
		FROM (SELECT *, date_trunc('%[1]s', at, %[3]s) s FROM events) x GROUP BY 1, 2`, unit, length, zone)
}

var calendarCases = []windowCase{
	{"days of 23 and 25 hours",
		`SELECT window_start, window_end, count(*), sum(v) FROM TUMBLE(events, at, INTERVAL '1 day', TIMEZONE => ` + ny + `) GROUP BY window_start, window_end`,
		truncated("day", "1 day", ny)},
	{"months", `SELECT window_start, window_end, count(*), sum(v) FROM TUMBLE(events, at, INTERVAL '1 month', TIMEZONE => ` + ny + `) GROUP BY window_start, window_end`,
		truncated("month", "1 month", ny)},
	{"quarters", `SELECT window_start, window_end, count(*), sum(v) FROM TUMBLE(events, at, INTERVAL '3 months', TIMEZONE => 'Australia/Lord_Howe') GROUP BY window_start, window_end`,
		truncated("quarter", "3 months", "'Australia/Lord_Howe'")},
	{"years", `SELECT window_start, window_end, count(*), sum(v) FROM TUMBLE(events, at, INTERVAL '1 year', TIMEZONE => ` + ny + `) GROUP BY window_start, window_end`,
		truncated("year", "1 year", ny)},
	{"months of UTC", `SELECT window_start, window_end, count(*), sum(v) FROM TUMBLE(events, local, INTERVAL '1 month') GROUP BY window_start, window_end`,
		`SELECT s, s + interval '1 month', count(*), sum(v) FROM (SELECT *, date_trunc('month', local) s FROM events) x GROUP BY s`},
	{"decades", `SELECT window_start, window_end, count(*), sum(v) FROM TUMBLE(events, local, INTERVAL '10 years') GROUP BY window_start, window_end`,
		`SELECT s, s + interval '10 years', count(*), sum(v) FROM (SELECT *, date_trunc('decade', local) s FROM events) x GROUP BY s`},
	{"the hour that is repeated is two windows",
		`SELECT window_start, window_end, count(*), sum(v) FROM TUMBLE(events, at, INTERVAL '1 hour', TIMEZONE => ` + ny + `) GROUP BY window_start, window_end`,
		`SELECT s, s + interval '1 hour', count(*), sum(v) FROM (SELECT *, date_trunc('hour', at) s FROM events) x GROUP BY s`},
	{"an hour that begins at half past in UTC",
		`SELECT window_start, window_end, count(*), sum(v) FROM TUMBLE(events, at, INTERVAL '1 hour', TIMEZONE => 'Asia/Kolkata') GROUP BY window_start, window_end`,
		`SELECT s, s + interval '1 hour', count(*), sum(v) FROM (SELECT *, date_trunc('hour', at - interval '30 min') + interval '30 min' s FROM events) x GROUP BY s`},
	{"half hours where the clock moves by half an hour",
		`SELECT window_start, window_end, count(*), sum(v) FROM TUMBLE(events, at, INTERVAL '30 minutes', TIMEZONE => 'Australia/Lord_Howe') GROUP BY window_start, window_end`,
		`SELECT s, s + interval '30 min', count(*), sum(v) FROM (SELECT *, date_bin('30 min', at, timestamptz '1900-01-01 00:00Z') s FROM events) x GROUP BY s`},
	{"quarters of a day",
		`SELECT window_start, window_end, count(*), sum(v) FROM TUMBLE(events, at, INTERVAL '6 hours', TIMEZONE => ` + ny + `) GROUP BY window_start, window_end`,
		`SELECT l AT TIME ZONE ` + ny + `, (l + interval '6 hours') AT TIME ZONE ` + ny + `, count(*), sum(v)
		 FROM (SELECT *, date_bin('6 hours', at AT TIME ZONE ` + ny + `, timestamp '1900-01-01') l FROM events) x GROUP BY l`},
	{"HOP of local days",
		`SELECT window_start, window_end, count(*), sum(v) FROM HOP(events, at, INTERVAL '6 hours', INTERVAL '1 day', TIMEZONE => ` + ny + `) GROUP BY window_start, window_end`,
		`SELECT l AT TIME ZONE ` + ny + ` s, (l + interval '1 day') AT TIME ZONE ` + ny + ` e, count(*), sum(v)
		 FROM (SELECT *, date_bin('6 hours', at AT TIME ZONE ` + ny + `, timestamp '1900-01-01') b FROM events) x,
		   LATERAL generate_series(b - interval '30 hours', b + interval '6 hours', interval '6 hours') l
		 WHERE l AT TIME ZONE ` + ny + ` <= at AND at < (l + interval '1 day') AT TIME ZONE ` + ny + ` GROUP BY l`},
	{"CUMULATE of local days",
		`SELECT window_start, window_end, count(*), sum(v) FROM CUMULATE(events, at, INTERVAL '6 hours', INTERVAL '1 day', TIMEZONE => ` + ny + `) GROUP BY window_start, window_end`,
		`SELECT s, e, count(*), sum(v)
		 FROM (SELECT *, (date_trunc('day', at, ` + ny + `) AT TIME ZONE ` + ny + ` + interval '1 day') AT TIME ZONE ` + ny + ` d, date_trunc('day', at, ` + ny + `) s FROM events) x,
		   LATERAL (SELECT DISTINCT least(s + k * interval '6 hours', d) e FROM generate_series(1, 5) k) y
		 WHERE at < e GROUP BY s, e`},
	{"negative offsets and times",
		`SELECT window_start, window_end, count(*), sum(v) FROM TUMBLE(events, local, INTERVAL '7 hours', INTERVAL '-3 hours') GROUP BY window_start, window_end`,
		`SELECT s, s + interval '7 hours', count(*), sum(v) FROM (SELECT *, date_bin('7 hours', local, ` + binOrigin("7 hours", "-3 hours") + `) s FROM events) x GROUP BY s`},
	{"an offset longer than the window",
		`SELECT window_start, window_end, count(*), sum(v) FROM HOP(events, local, INTERVAL '5 hours', INTERVAL '12 hours', OFFSET => INTERVAL '-100 hours') GROUP BY window_start, window_end`,
		`SELECT s, s + interval '12 hours', count(*), sum(v)
		 FROM (SELECT *, date_bin('5 hours', local, ` + binOrigin("5 hours", "0") + `) b FROM events) x, LATERAL generate_series(b - interval '15 hours', b, interval '5 hours') s
		 WHERE local < s + interval '12 hours' GROUP BY s`},
	{"max_span",
		`SELECT k, window_start, window_end, count(*), sum(v) FROM SESSION(events PARTITION BY k, local, INTERVAL '3 hours', MAX_SPAN => INTERVAL '10 hours') GROUP BY k, window_start, window_end`,
		`CREATE TEMP TABLE o AS SELECT *, row_number() OVER (PARTITION BY k ORDER BY local, v) n FROM events;
		 CREATE INDEX ON o (k, n); ANALYZE o;
		 WITH RECURSIVE w AS (
		   SELECT k, n, local, v, local s FROM o WHERE n = 1
		   UNION ALL
		   SELECT o.k, o.n, o.local, o.v, CASE WHEN o.local < w.local + interval '3 hours' AND o.local < w.s + interval '10 hours' THEN w.s ELSE o.local END
		   FROM w JOIN o ON o.k = w.k AND o.n = w.n + 1
		 )
		 SELECT k, s, least(max(local) + interval '3 hours', s + interval '10 hours'), count(*), sum(v) FROM w GROUP BY k, s`},
	{"several windows in one query",
		`SELECT a.window_start, a.window_end, a.n, b.n, b.s FROM
		 (SELECT window_start, window_end, count(*) n FROM TUMBLE(events, local, INTERVAL '6 hours') GROUP BY window_start, window_end) a
		 JOIN (SELECT window_start, window_end, count(*) n, sum(v) s FROM HOP(events, local, INTERVAL '6 hours', INTERVAL '1 day') GROUP BY window_start, window_end) b
		 ON a.window_end = b.window_end`,
		`SELECT a.s, a.s + interval '6 hours', a.n, b.n, b.t FROM
		 (SELECT date_bin('6 hours', local, timestamp '1900-01-01') s, count(*) n FROM events GROUP BY 1) a
		 JOIN (SELECT s + interval '1 day' e, count(*) n, sum(v) t FROM (SELECT *, date_bin('6 hours', local, timestamp '1900-01-01') b FROM events) x,
		   LATERAL generate_series(b - interval '18 hours', b, interval '6 hours') s GROUP BY s) b
		 ON a.s + interval '6 hours' = b.e`},
	{"windows over window_time",
		`SELECT window_start, window_end, count(*), sum(n), max(s) FROM TUMBLE(
		   (SELECT k, window_time t, count(*) n, sum(v) s FROM TUMBLE(events, local, INTERVAL '1 hour') GROUP BY k, window_time) h, t, INTERVAL '1 day')
		 GROUP BY window_start, window_end`,
		`SELECT s, s + interval '1 day', count(*), sum(n), max(t) FROM (SELECT date_trunc('day', h) s, count(*) n, sum(v) t FROM
		   (SELECT *, date_trunc('hour', local) h FROM events) x GROUP BY k, h) y GROUP BY s`},
	{"three levels of windows, columns hidden",
		`SELECT window_start, window_end, count(*), sum(c) FROM TUMBLE((SELECT *, c AS d FROM TUMBLE(
		   (SELECT window_start, window_end, window_time AS wt, count(*) c FROM TUMBLE((SELECT * FROM TUMBLE(events, local, INTERVAL '1 minute')) m, local, INTERVAL '1 hour')
		    GROUP BY window_start, window_end, window_time) h, wt, INTERVAL '4 hours')) q, wt, INTERVAL '1 day')
		 GROUP BY window_start, window_end`,
		`SELECT s, s + interval '1 day', count(*), sum(n) FROM (SELECT date_trunc('day', h) s, count(*) n FROM (SELECT *, date_trunc('hour', local) h FROM events) x GROUP BY h) y GROUP BY s`},
	{"a window over a view",
		`SELECT window_start, window_end, k, count(*), sum(w) FROM TUMBLE(seen, t, INTERVAL '1 day') GROUP BY window_start, window_end, k`,
		`SELECT s, s + interval '1 day', k, count(*), sum(v * 2) FROM (SELECT *, date_trunc('day', local) s FROM events WHERE v > 10) x GROUP BY s, k`},
	{"a group window with its helpers",
		`SELECT TUMBLE_START(local, INTERVAL '1 day') s, TUMBLE_END(local, INTERVAL '1 day') e, TUMBLE_ROWTIME(local, INTERVAL '1 day') t, k, count(*)
		 FROM events GROUP BY k, TUMBLE(local, INTERVAL '1 day')`,
		`SELECT s, s + interval '1 day', s + interval '1 day' - interval '1 us', k, count(*) FROM (SELECT *, date_trunc('day', local) s FROM events) x GROUP BY s, k`},
	{"a group window HOP",
		`SELECT HOP_START(local, INTERVAL '6 hours', INTERVAL '1 day'), window_end, count(*) FROM events GROUP BY HOP(local, INTERVAL '6 hours', INTERVAL '1 day') HAVING count(*) > 30`,
		`SELECT s, s + interval '1 day', count(*) FROM (SELECT *, date_bin('6 hours', local, timestamp '1900-01-01') b FROM events) x,
		 LATERAL generate_series(b - interval '18 hours', b, interval '6 hours') s GROUP BY s HAVING count(*) > 30`},
	{"a group window SESSION",
		`SELECT k, SESSION_START(local, INTERVAL '2 hours'), SESSION_END(local, INTERVAL '2 hours'), count(*) FROM events GROUP BY k, SESSION(local, INTERVAL '2 hours')`,
		`SELECT k, min(local), max(local) + interval '2 hours', count(*)
		 FROM (SELECT *, sum(CASE WHEN new THEN 1 ELSE 0 END) OVER (PARTITION BY k ORDER BY local) island
		       FROM (SELECT *, coalesce(local >= lag(local) OVER (PARTITION BY k ORDER BY local) + interval '2 hours', true) new FROM events) a) b
		 GROUP BY k, island`},
}

// TestCalendarWindowsAgainstPostgres compares windows on local and calendar grids, nested windows and sessions with a
// greatest length with batch SQL on PostgreSQL, in each form.
func TestCalendarWindowsAgainstPostgres(t *testing.T) {
	pg := postgres(t).database(t)
	rows := events()
	path := filepath.Join(t.TempDir(), "events.csv")
	if err := os.WriteFile(path, []byte("at,local,k,v\n"+strings.ReplaceAll(strings.Join(rows, "\n"), "|", ",")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	if _, err := pg.Exec(ctx, "CREATE TABLE events ("+eventColumns+")").ReadAll(); err != nil {
		t.Fatal(err)
	}
	if _, err := pg.CopyFrom(ctx, strings.NewReader(strings.Join(rows, "\n")+"\n"), `COPY events FROM STDIN WITH (DELIMITER '|')`); err != nil {
		t.Fatal(err)
	}
	answers := map[string][]string{}
	for _, w := range calendarCases {
		rows, _, _, err := pgRows(pg, w.oracle)
		if err != nil || len(rows) < 2 {
			t.Fatalf("%s: the oracle gives %d rows, %v", w.name, len(rows), err)
		}
		answers[w.name] = sorted(rows)
	}
	for _, batch := range []int{0, 1} {
		e, err := engine.Open(engine.Options{BatchRows: batch})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		s, err := e.NewSession(engine.SessionOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		c := &conn{s}
		run := func(t *testing.T, sql string) []string {
			t.Helper()
			r, err := c.exec(ctx, sql, nil)
			if err != nil {
				t.Fatalf("%s\nerror %s: %s", sql, pgerr.Code(err), describe(err))
			}
			return r.rows
		}
		// Two sources of the same rows: a relation has one watermark.
		for _, x := range [][2]string{{"by_at", "at"}, {"by_local", "local"}} {
			run(t, fmt.Sprintf("CREATE SOURCE %s (%s, WATERMARK FOR %s) WITH (connector = 'file', path = '%s', format = 'csv')", x[0], eventColumns, x[1], path))
		}
		run(t, "CREATE VIEW seen AS SELECT local AS t, k, v * 2 AS w FROM by_local WHERE v > 10; SET TIME ZONE 'UTC'")
		for _, w := range calendarCases {
			t.Run(fmt.Sprintf("%s/%d", w.name, batch), func(t *testing.T) {
				source := "by_local"
				if strings.Contains(w.query, "TIMEZONE") {
					source = "by_at"
				}
				query := strings.ReplaceAll(w.query, "events", source)
				want := answers[w.name]
				if err := compare(sorted(run(t, query)), want); err != nil {
					t.Error(err)
				}
				folded, err := fold(run(t, query+" EMIT CHANGES"))
				if err == nil {
					err = compare(folded, want)
				}
				if err != nil {
					t.Errorf("EMIT CHANGES: %v", err)
				}
				if closed := run(t, query+" EMIT ON WINDOW CLOSE"); compare(sorted(closed), want) != nil {
					t.Errorf("EMIT ON WINDOW CLOSE: %v", compare(sorted(closed), want))
				} else if strings.HasPrefix(w.query, "SELECT window_start, window_end, count") && !slices.IsSortedFunc(closed, byEnd) {
					t.Error("EMIT ON WINDOW CLOSE: windows do not come in the order of their ends")
				}
			})
		}
	}
}

// byEnd compares rows by their second column.
func byEnd(a, b string) int {
	return strings.Compare(strings.Split(a, "|")[1], strings.Split(b, "|")[1])
}
