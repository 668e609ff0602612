package engine

import (
	"testing"

	"streamsql/internal/pgerr"
)

// TestModifyingWithElsewhere: where data-modifying statements in WITH are not executed they are refused, and nothing is changed.
func TestModifyingWithElsewhere(t *testing.T) {
	e, s := start(t, Options{})
	defer e.Close()
	defer s.Close()
	run(t, s, "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 1), (2, 2)")
	for _, sql := range []string{
		"EXPLAIN ANALYZE WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d",
		"CREATE TABLE u AS WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d",
		"WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d EMIT CHANGES",
		"SUBSCRIBE TO (WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d)",
		"CREATE FUNCTION f() RETURNS int LANGUAGE SQL AS 'WITH d AS (DELETE FROM t RETURNING *) SELECT id FROM d'",
		"INSERT INTO t WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d",
	} {
		_, err := tryRun(s, sql)
		if pgerr.Code(err) != pgerr.FeatureNotSupported {
			t.Errorf("%s: %v", sql, err)
		}
	}
	// Functions that change tables see what the statement has not done yet as it was, and their changes are kept.
	run(t, s, "CREATE FUNCTION put(i int) RETURNS int LANGUAGE SQL AS 'INSERT INTO t VALUES (i, 0) RETURNING id'")
	run(t, s, "WITH d AS (DELETE FROM t WHERE id = 1 RETURNING id) SELECT put(id + 10) FROM d")
	run(t, s, "PREPARE p AS WITH u AS (UPDATE t SET v = v + $1 RETURNING id, v) SELECT sum(v) FROM u")
	expect(t, s, "EXECUTE p(5)", "12")
	expect(t, s, "SELECT id, v FROM t ORDER BY id", "2|7", "11|5")
	run(t, s, "EXPLAIN MERGE INTO t USING t AS x ON t.id = x.id WHEN MATCHED THEN DELETE")
	run(t, s, "EXPLAIN WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d")
	expect(t, s, "SELECT count(*) FROM t", "2")
}
