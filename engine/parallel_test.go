package engine

import (
	"slices"
	"strings"
	"testing"
)

// TestParallelism runs queries with one to four copies of each operator over batches that are large enough to be shared out
// among goroutines. What comes out in an order (windows that close, ORDER BY) has the same one.
func TestParallelism(t *testing.T) {
	queries := []struct {
		sql     string
		ordered bool
	}{
		{`SELECT auction, count(*) AS c, sum(price) AS s, max(price) AS m, count(DISTINCT bidder) AS d FROM bid GROUP BY auction`, false},
		{`SELECT channel, count(*) AS c FROM bid GROUP BY channel EMIT CHANGES`, false},
		{`SELECT window_start, window_end, auction, count(*) AS c FROM TUMBLE(bid, date_time, INTERVAL '1 second') GROUP BY window_start, window_end, auction EMIT ON WINDOW CLOSE`, true},
		{`SELECT window_start, window_end, auction, count(*) AS c FROM HOP(bid, date_time, INTERVAL '500 ms', INTERVAL '1 second') GROUP BY window_start, window_end, auction EMIT ON WINDOW CLOSE`, true},
		{`SELECT window_start, window_end, bidder, count(*) AS c FROM SESSION(bid PARTITION BY bidder, date_time, INTERVAL '100 ms') GROUP BY window_start, window_end, bidder EMIT ON WINDOW CLOSE`, true},
		{`SELECT a.price, b.bidder FROM bid a JOIN bid b ON a.auction = b.bidder AND a.price < b.price`, false},
		{`SELECT a.auction, a.bidder FROM bid a WHERE NOT EXISTS (SELECT 1 FROM bid b WHERE b.bidder = a.auction)`, false},
		{`SELECT bidder, auction FROM bid EXCEPT SELECT auction, bidder FROM bid`, false},
		{`SELECT auction, price, rn FROM (SELECT auction, price, row_number() OVER (PARTITION BY auction ORDER BY price DESC, bidder) AS rn FROM bid) r WHERE rn <= 2`, false},
		{`SELECT auction, price, sum(price) OVER (PARTITION BY auction ORDER BY date_time, bidder, price) AS s FROM bid`, false},
		{`SELECT auction, count(*) AS c FROM bid GROUP BY auction ORDER BY c DESC, auction LIMIT 20`, true},
	}
	want := make([][]string, len(queries))
	for _, n := range []int{1, 2, 3, 4} {
		e, s := start(t, Options{Parallel: n})
		run(t, s, `CREATE SOURCE bid (WATERMARK FOR date_time AS date_time) WITH (connector = 'nexmark', table = 'bid', events = '20000')`)
		for i, q := range queries {
			rows := run(t, s, q.sql)
			if strings.Contains(q.sql, "EMIT CHANGES") {
				rows = folded(rows)
			}
			if !q.ordered {
				slices.Sort(rows)
			}
			switch {
			case n == 1 && len(rows) < 20:
				t.Errorf("%s: only %d rows", q.sql, len(rows))
			case n == 1:
				want[i] = slices.Clone(rows)
			case !slices.Equal(rows, want[i]):
				t.Errorf("%d copies: another answer to %s: %d rows instead of %d", n, q.sql, len(rows), len(want[i]))
			}
		}
		s.Close()
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
}

// folded gives the content that a changelog with _op and _ts describes.
func folded(rows []string) []string {
	n := map[string]int{}
	for _, r := range rows {
		f := strings.SplitN(r, "|", 3)
		if f[0] == "+I" || f[0] == "+U" {
			n[f[2]]++
		} else if n[f[2]]--; n[f[2]] == 0 {
			delete(n, f[2])
		}
	}
	var out []string
	for r, c := range n {
		for range c {
			out = append(out, r)
		}
	}
	return out
}
