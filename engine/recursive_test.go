package engine

import (
	"context"
	"errors"
	"testing"
	"time"

	"streamsql/internal/pgerr"
)

// TestEndlessSnapshotsCanBeCanceled: recursion without an end and long series answer a cancel request at once.
func TestEndlessSnapshotsCanBeCanceled(t *testing.T) {
	for _, sql := range []string{
		"WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n FROM t) SELECT count(*) FROM t",
		"WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT max FROM (SELECT max(n) OVER () AS max FROM t) x) SELECT n FROM t WHERE n > 1",
		"SELECT count(*) FROM generate_series(1, 9000000000000000000) g",
	} {
		_, s := open(t)
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		p, err := s.Parse(sql)
		if err != nil {
			t.Fatal(err)
		}
		st, err := s.Prepare(ctx, p[0], nil)
		if err != nil {
			t.Fatal(err)
		}
		portal, err := s.Bind(ctx, st, nil)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		b, _, err := portal.Fetch(ctx, 0)
		if b != nil {
			b.Release()
			t.Errorf("%s: rows", sql)
		}
		var e *pgerr.Error
		if !errors.As(err, &e) || e.Code != pgerr.QueryCanceled {
			t.Errorf("%s: %v instead of 57014", sql, err)
		}
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("%s: the cancel took %v", sql, d)
		}
		cancel()
		portal.Close()
	}
}
