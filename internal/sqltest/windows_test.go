package sqltest

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"streamsql/engine"
	"streamsql/internal/pgerr"
)

// windowCase is a windowed query and batch SQL that says the same to PostgreSQL without any windows.
type windowCase struct {
	name, query, oracle string
}

// The flights sample is a little behind itself nowhere: it is in order of time, so that nothing is late and EMIT ON
// WINDOW CLOSE must give every window.
var windowCases = []windowCase{
	{"tumble",
		`SELECT window_start, window_end, count(*), sum(delay), max(distance), count(DISTINCT origin)
		 FROM TUMBLE(flights, ts, INTERVAL '1 day') GROUP BY window_start, window_end`,
		`SELECT s, s + interval '1 day', count(*), sum(delay), max(distance), count(DISTINCT origin)
		 FROM (SELECT *, date_bin('1 day', ts, timestamp '1970-01-01') s FROM flights) f GROUP BY s`},
	{"tumble with an offset, by key",
		`SELECT window_start, origin, count(*), avg(delay) FROM TUMBLE(flights, ts, INTERVAL '1 week', INTERVAL '-3 hours')
		 GROUP BY window_start, window_end, origin`,
		`SELECT s, origin, count(*), avg(delay)
		 FROM (SELECT *, date_bin('7 days', ts, timestamp '1970-01-01' - interval '3 hours') s FROM flights) f GROUP BY s, origin`},
	{"hop whose slide does not divide its size",
		`SELECT window_start, window_end, count(*), sum(delay), min(delay), max(delay)
		 FROM HOP(flights, ts, INTERVAL '7 hours', INTERVAL '1 day') GROUP BY window_start, window_end`,
		`SELECT s, s + interval '1 day', count(*), sum(delay), min(delay), max(delay)
		 FROM flights, LATERAL generate_series(date_bin('7 hours', ts, timestamp '1970-01-01') - interval '21 hours',
		   date_bin('7 hours', ts, timestamp '1970-01-01'), interval '7 hours') s
		 WHERE ts < s + interval '1 day' GROUP BY s`},
	{"hop by key",
		`SELECT window_start, dest, count(*), sum(distance) FROM HOP(flights, ts, INTERVAL '2 days', INTERVAL '5 days')
		 WHERE origin = 'ORD' GROUP BY window_start, window_end, dest`,
		`SELECT s, dest, count(*), sum(distance)
		 FROM flights, LATERAL generate_series(date_bin('2 days', ts, timestamp '1970-01-01') - interval '4 days',
		   date_bin('2 days', ts, timestamp '1970-01-01'), interval '2 days') s
		 WHERE ts < s + interval '5 days' AND origin = 'ORD' GROUP BY s, dest`},
	{"cumulate",
		`SELECT window_start, window_end, count(*), sum(delay)
		 FROM CUMULATE(flights, ts, INTERVAL '4 hours', INTERVAL '1 day') GROUP BY window_start, window_end`,
		`SELECT d, e, count(*), sum(delay)
		 FROM (SELECT *, date_bin('1 day', ts, timestamp '1970-01-01') d FROM flights) f,
		   LATERAL generate_series(d + interval '4 hours', d + interval '1 day', interval '4 hours') e
		 WHERE ts < e GROUP BY d, e`},
	{"session by origin",
		`SELECT origin, window_start, window_end, count(*), sum(delay)
		 FROM SESSION(flights PARTITION BY origin, ts, INTERVAL '9 hours') GROUP BY origin, window_start, window_end`,
		`SELECT origin, min(ts), max(ts) + interval '9 hours', count(*), sum(delay)
		 FROM (SELECT *, sum(CASE WHEN new THEN 1 ELSE 0 END) OVER (PARTITION BY origin ORDER BY ts) island
		       FROM (SELECT *, coalesce(ts >= lag(ts) OVER (PARTITION BY origin ORDER BY ts) + interval '9 hours', true) new
		             FROM flights) a) b
		 GROUP BY origin, island`},
}

const flightsSource = `CREATE SOURCE flights (ts timestamp, delay bigint, distance bigint, origin text, dest text, WATERMARK FOR ts)
	WITH (connector='file', path='%PATH%', format='parquet', columns='date,delay,distance,origin,destination')`

// TestWindowsAgainstPostgres compares every kind of window over real data with
// batch SQL on PostgreSQL, and the two EMIT forms with the snapshot.
func TestWindowsAgainstPostgres(t *testing.T) {
	pg := postgres(t).database(t)
	e, err := engine.Open(engine.Options{})
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
	ctx := context.Background()
	run := func(t *testing.T, sql string) []string {
		t.Helper()
		r, err := c.exec(ctx, sql, nil)
		if err != nil {
			t.Fatalf("%s\nerror %s: %s", sql, pgerr.Code(err), describe(err))
		}
		return r.rows
	}
	path, err := filepath.Abs(filepath.Join(testdata, "data", "flights-20k.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	run(t, strings.Replace(flightsSource, "%PATH%", path, 1))

	// PostgreSQL gets the same rows through COPY.
	if _, _, _, err := pgRows(pg, `CREATE TABLE flights (ts timestamp, delay bigint, distance bigint, origin text, dest text)`); err != nil {
		t.Fatal(err)
	}
	rows := run(t, `SELECT ts, delay, distance, origin, dest FROM flights`)
	if len(rows) != 20000 {
		t.Fatalf("%d flights, expected 20000", len(rows))
	}
	if _, err := pg.CopyFrom(ctx, strings.NewReader(strings.Join(rows, "\n")+"\n"), `COPY flights FROM STDIN WITH (DELIMITER '|')`); err != nil {
		t.Fatal(err)
	}

	for _, w := range windowCases {
		t.Run(w.name, func(t *testing.T) {
			want, _, _, err := pgRows(pg, w.oracle)
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(want)
			if len(want) < 20 {
				t.Fatalf("the oracle gives only %d rows", len(want))
			}
			if err := compare(sorted(run(t, w.query)), want); err != nil {
				t.Error(err)
			}
			closed := run(t, w.query+" EMIT ON WINDOW CLOSE")
			if err := compare(sorted(closed), want); err != nil {
				t.Errorf("EMIT ON WINDOW CLOSE: %v", err)
			}
			if at := strings.Index(w.query, "window_start, window_end, count"); at > 0 && !strings.Contains(w.query, "origin, window_start") {
				ends := make([]string, len(closed))
				for i, r := range closed {
					ends[i] = strings.Split(r, "|")[1]
				}
				if !slices.IsSorted(ends) {
					t.Error("EMIT ON WINDOW CLOSE: windows do not come in the order of their ends")
				}
			}
			folded, err := fold(run(t, w.query+" EMIT CHANGES"))
			if err != nil {
				t.Fatal(err)
			}
			if err := compare(folded, want); err != nil {
				t.Errorf("EMIT CHANGES: %v", err)
			}
		})
	}
}

// TestGapNotice: windows that leave gaps are allowed, and the user is told once.
func TestGapNotice(t *testing.T) {
	e, err := engine.Open(engine.Options{})
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
	run := func(sql string) []*engine.Notice {
		t.Helper()
		if _, err := c.exec(context.Background(), sql, nil); err != nil {
			t.Fatalf("%s: %s", sql, describe(err))
		}
		return s.Notices()
	}
	run("CREATE TABLE e (ts timestamp, WATERMARK FOR ts)")
	for sql, want := range map[string]int{
		"SELECT * FROM HOP(e, ts, INTERVAL '10 min', INTERVAL '4 min')":                                                                    26,
		"SELECT HOP_START(ts, INTERVAL '10 min', INTERVAL '4 min') FROM e GROUP BY HOP(ts, INTERVAL '10 min', INTERVAL '4 min')":           83,
		"CREATE VIEW v AS SELECT count(*) FROM HOP(e, ts, INTERVAL '10 min', INTERVAL '4 min') GROUP BY window_start":                      50,
		"SELECT * FROM HOP(e, ts, INTERVAL '4 min', INTERVAL '4 min')":                                                                     0,
		"SELECT * FROM HOP(e, ts, INTERVAL '4 min', INTERVAL '10 min') a JOIN HOP(e, ts, INTERVAL '4 min', INTERVAL '6 min') b USING (ts)": 0,
	} {
		got := run(sql)
		switch {
		case want == 0 && len(got) == 0:
		case len(got) != 1 || got[0].Severity != "NOTICE" || got[0].Position != want ||
			got[0].Message != "the slide of HOP is greater than its size: rows in the gaps belong to no window":
			t.Errorf("%s: notices %v", sql, got)
		}
	}
}
