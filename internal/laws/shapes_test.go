package laws

// shape is a query and what is expected of it.
type shape struct {
	name string
	sql  string
	// pg is the query for PostgreSQL where it is not sql; noPostgres: do not ask.
	pg string
	// close says that it can be emitted ON WINDOW CLOSE, update ON UPDATE.
	close, update bool
	// loose compares numbers without their scale, and -0 as 0: which of equal keys stands for a group is not defined.
	loose bool
	// errs says that some rows fail.
	errs bool
	// ordered says that a snapshot comes in one order.
	ordered bool
	// late says that rows do not come out just at the end of their window.
	late bool
	// lateModel says that a row counts in a window as long as the watermark is before its end.
	lateModel bool
}

const noPostgres = "-"

var shapes = []shape{
	// Projection, filters, expressions.
	{name: "calc", sql: `SELECT id, v + 1 AS a, v * 2.5 AS b, x, n, k || '!' AS c FROM t WHERE v > 0 OR v IS NULL`, update: true},
	{name: "calc stream", sql: `SELECT ts, k, v, x * 2 AS x FROM e WHERE v >= 0`},
	{name: "calc bag", sql: `SELECT k, coalesce(w, -1) AS w FROM u WHERE k <> 'c'`},
	{name: "case guards", sql: `SELECT k, CASE WHEN v = 0 THEN -1 WHEN v < 0 THEN 100 / v ELSE v % 3 END AS r, nullif(v, 2) AS z FROM t`},
	{name: "case guards stream", sql: `SELECT k, CASE WHEN v <> 0 AND 10 / v > 2 THEN 'big' WHEN v IS NULL THEN 'none' ELSE 'small' END AS r FROM e`},
	{name: "division by zero", sql: `SELECT k, 10 / v AS r FROM t`, errs: true},
	{name: "division by zero stream", sql: `SELECT k, 10 / (v - 8) AS r FROM e`, errs: true},
	{name: "three values", sql: `SELECT id, v > 2 AND k = 'a' AS p, v > 2 OR k = 'a' AS q, NOT (v > 2) AS r, v IS DISTINCT FROM 3 AS s, (v > 2) IS UNKNOWN AS u FROM t`},
	{name: "between like", sql: `SELECT id FROM t WHERE v BETWEEN 0 AND 5 AND k LIKE '%a%' OR k IN ('b', 'd e') OR v NOT IN (1, 2)`},
	{name: "by key", sql: `SELECT id, v, k FROM t WHERE id IN (1, 3, 7.0) OR id = 4`},
	{name: "by range of key", sql: `SELECT count(*) AS c, sum(v) AS s FROM t WHERE id > 2.5 AND id <= 9`},
	{name: "by first column", sql: `SELECT k, w FROM u WHERE k >= 'a' AND k < 'c' AND w < 4`},
	{name: "first by key", sql: `SELECT id, v FROM t WHERE v IS NOT NULL ORDER BY id LIMIT 3 OFFSET 1`},
	{name: "floats", sql: `SELECT id, x, x > 1 AS p, x = 'NaN' AS q, -x AS m, abs(x) AS a FROM t WHERE x >= 0`, loose: true},
	{name: "times", sql: `SELECT ts, ts + interval '1 hour' AS a, date_trunc('minute', ts) AS b, extract(second FROM ts) AS c FROM e WHERE isfinite(ts)`},

	// Aggregates.
	{name: "group", sql: `SELECT k, count(*) AS c, count(v) AS cv, sum(v) AS s, min(v) AS lo, max(v) AS hi, avg(v) AS a FROM t GROUP BY k`, update: true},
	{name: "group stream", sql: `SELECT k, count(*) AS c, sum(v) AS s, min(v) AS lo, max(v) AS hi, avg(v) AS a FROM e GROUP BY k`, update: true},
	{name: "group bag", sql: `SELECT w, count(*) AS c, count(DISTINCT k) AS d FROM u GROUP BY w`, update: true},
	{name: "group floats", sql: `SELECT k, sum(x) AS s, min(x) AS lo, max(x) AS hi, avg(x) AS a, count(x) AS c FROM t GROUP BY k`, loose: true},
	{name: "group by float", sql: `SELECT x, count(*) AS c, sum(v) AS s FROM t GROUP BY x`, loose: true},
	{name: "group numerics", sql: `SELECT k, sum(n) AS s, min(n) AS lo, max(n) AS hi, avg(n) AS a FROM t GROUP BY k`, loose: true},
	{name: "group by numeric", sql: `SELECT n, count(*) AS c FROM t GROUP BY n`, loose: true},
	{name: "group by numeric stream", sql: `SELECT n, x, count(*) AS c FROM e GROUP BY n, x`, loose: true},
	{name: "count distinct", sql: `SELECT k, count(DISTINCT v) AS d, sum(DISTINCT v) AS s, count(DISTINCT x) AS dx FROM t GROUP BY k`},
	{name: "filter", sql: `SELECT k, count(*) FILTER (WHERE v > 2) AS c, sum(v) FILTER (WHERE x > 1) AS s, count(DISTINCT v) FILTER (WHERE v < 5) AS d FROM t GROUP BY k`},
	{name: "string_agg", sql: `SELECT k, string_agg(v::text, ',' ORDER BY v DESC, id) AS s FROM t GROUP BY k`},
	{name: "string_agg stream", sql: `SELECT k, string_agg(v::text, ',' ORDER BY v) AS s FROM e GROUP BY k`},
	{name: "array_agg", sql: `SELECT k, array_agg(v ORDER BY v NULLS FIRST) AS a, array_agg(DISTINCT v ORDER BY v) AS d FROM t GROUP BY k`},
	{name: "bool aggregates", sql: `SELECT k, bool_and(v > 0) AS a, bool_or(v > 5) AS o FROM t GROUP BY k`},
	{name: "having", sql: `SELECT k, sum(v) AS s FROM t GROUP BY k HAVING count(*) > 2 AND sum(v) > 0`},
	{name: "having stream", sql: `SELECT k, max(v) AS m FROM e GROUP BY k HAVING count(*) % 2 = 1`},
	{name: "global", sql: `SELECT count(*) AS c, sum(v) AS s, max(k) AS m, avg(v) AS a FROM t`, update: true},
	{name: "global filtered", sql: `SELECT count(*) AS c, min(w) AS m FROM u WHERE k = 'a'`},
	{name: "global having", sql: `SELECT count(*) AS c FROM u HAVING count(*) > 3`},
	{name: "group of group", sql: `SELECT c, count(*) AS m FROM (SELECT k, count(*) AS c FROM t GROUP BY k) g GROUP BY c`},
	{name: "group by expression", sql: `SELECT v % 3 AS r, count(*) AS c FROM t GROUP BY v % 3`},
	{name: "grouping sets", sql: `SELECT k, v, count(*) AS c FROM t GROUP BY GROUPING SETS ((k), (v), ())`},

	// Windows.
	{name: "tumble", sql: `SELECT window_start, window_end, k, count(*) AS c, sum(v) AS s FROM {tumble e 10} w GROUP BY window_start, window_end, k`, close: true, lateModel: true, update: true},
	{name: "tumble alone", sql: `SELECT window_start, window_end, count(*) AS c, max(v) AS m FROM {tumble e 7} w GROUP BY window_start, window_end`, close: true, lateModel: true},
	{name: "tumble start only", sql: `SELECT window_start, k, avg(v) AS a FROM {tumble e 10} w GROUP BY window_start, k`, close: true},
	{name: "tumble end only", sql: `SELECT window_end, count(DISTINCT k) AS d FROM {tumble e 10} w GROUP BY window_end`, close: true, lateModel: true},
	{name: "tumble time only", sql: `SELECT window_time, count(*) AS c FROM {tumble e 10} w GROUP BY window_time`, close: true},
	{name: "tumble offset", sql: `SELECT window_start, window_end, count(*) AS c FROM {tumble e 10 -3} w GROUP BY window_start, window_end`, close: true, lateModel: true},
	{name: "tumble rows", sql: `SELECT ts, k, v, window_start, window_end, window_time FROM {tumble e 10} w`, late: true},
	{name: "tumble having", sql: `SELECT window_start, window_end, k, sum(v) AS s FROM {tumble e 10} w GROUP BY window_start, window_end, k HAVING sum(v) > 3`, close: true, lateModel: true},
	{name: "tumble filtered", sql: `SELECT window_start, window_end, count(*) AS c, count(*) FILTER (WHERE v > 3) AS f, string_agg(k, ',' ORDER BY k) AS s FROM {tumble (SELECT * FROM e WHERE v > 0) 10} w GROUP BY window_start, window_end`, close: true, lateModel: true},
	{name: "tumble group", sql: `SELECT window_start, window_end, k, count(*) AS c FROM e GROUP BY TUMBLE(ts, INTERVAL '10 seconds'), k`,
		pg: `SELECT window_start, window_end, k, count(*) AS c FROM {tumble e 10} w GROUP BY window_start, window_end, k`, close: true},
	{name: "tumble over table", sql: `SELECT window_start, window_end, count(*) AS c, sum(v) AS s FROM {tumble te 10} w GROUP BY window_start, window_end`},
	{name: "tumble over growing table", sql: `SELECT window_start, window_end, k, count(*) AS c, sum(v) AS s FROM {tumble tw 10} w GROUP BY window_start, window_end, k`, close: true},
	{name: "hop", sql: `SELECT window_start, window_end, k, count(*) AS c, sum(v) AS s FROM {hop e 5 10} w GROUP BY window_start, window_end, k`, close: true, lateModel: true},
	{name: "hop uneven", sql: `SELECT window_start, window_end, count(*) AS c, min(v) AS lo, max(v) AS hi FROM {hop e 3 10} w GROUP BY window_start, window_end`, close: true, lateModel: true},
	{name: "hop gaps", sql: `SELECT window_start, window_end, count(*) AS c FROM {hop e 10 4} w GROUP BY window_start, window_end`, close: true, lateModel: true},
	{name: "hop distinct", sql: `SELECT window_start, window_end, k, count(DISTINCT v) AS d, avg(v) AS a FROM {hop e 4 10} w GROUP BY window_start, window_end, k`, close: true, lateModel: true},
	{name: "hop group", sql: `SELECT window_start, window_end, sum(v) AS s FROM e GROUP BY HOP(ts, INTERVAL '5 seconds', INTERVAL '10 seconds')`,
		pg: `SELECT window_start, window_end, sum(v) AS s FROM {hop e 5 10} w GROUP BY window_start, window_end`, close: true},
	{name: "hop rows", sql: `SELECT ts, k, window_start, window_end FROM {hop e 3 10} w`, late: true},
	{name: "hop over table", sql: `SELECT window_start, window_end, k, count(*) AS c, sum(v) AS s FROM {hop te 5 15} w GROUP BY window_start, window_end, k`},
	{name: "cumulate", sql: `SELECT window_start, window_end, count(*) AS c, sum(v) AS s FROM {cumulate e 5 20} w GROUP BY window_start, window_end`, close: true, lateModel: true},
	{name: "cumulate keyed", sql: `SELECT window_start, window_end, k, max(v) AS m FROM {cumulate e 2 10} w GROUP BY window_start, window_end, k`, close: true, lateModel: true},
	{name: "cumulate over table", sql: `SELECT window_start, window_end, k, count(*) AS c FROM {cumulate te 5 20} w GROUP BY window_start, window_end, k`},
	{name: "session", sql: `SELECT window_start, window_end, k, count(*) AS c, sum(v) AS s FROM {session e 3} w GROUP BY window_start, window_end, k`, close: true},
	{name: "session min max", sql: `SELECT k, window_start, window_end, min(v) AS lo, max(v) AS hi, count(DISTINCT v) AS d FROM {session e 2} w GROUP BY k, window_start, window_end`, close: true},
	{name: "session group", sql: `SELECT window_start, window_end, k, count(*) AS c FROM e GROUP BY SESSION(ts, INTERVAL '3 seconds'), k`,
		pg: `SELECT window_start, window_end, k, count(*) AS c FROM {session e 3} w GROUP BY window_start, window_end, k`, close: true},
	{name: "session rows", sql: `SELECT k, v, ts, window_start, window_end FROM {session e 3} w`, late: true},
	{name: "session over table", sql: `SELECT window_start, window_end, k, count(*) AS c, sum(v) AS s FROM {session te 3} w GROUP BY window_start, window_end, k`},
	{name: "nested tumble", sql: `SELECT window_start, window_end, max(c) AS m, count(*) AS g FROM {tumble (SELECT window_time, k, count(*) AS c FROM {tumble e 5} a GROUP BY window_start, window_end, window_time, k) 20 window_time} w GROUP BY window_start, window_end`,
		pg:    `SELECT window_start, window_end, max(c) AS m, count(*) AS g FROM {tumble (SELECT window_time AS wt, k, count(*) AS c FROM {tumble e 5} a GROUP BY window_start, window_end, window_time, k) 20 wt} w GROUP BY window_start, window_end`,
		close: true},
	{name: "two levels", sql: `SELECT window_start, window_end, max(c) AS m FROM (SELECT window_start, window_end, k, count(*) AS c FROM {hop e 5 10} w GROUP BY window_start, window_end, k) g GROUP BY window_start, window_end`, close: true},

	// Joins.
	{name: "inner", sql: `SELECT t.id, t.k, u.w FROM t JOIN u ON t.k = u.k`},
	{name: "inner residual", sql: `SELECT t.id, t.v, u.w FROM t JOIN u ON t.k = u.k AND t.v < u.w`},
	{name: "left", sql: `SELECT t.id, t.k, u.w FROM t LEFT JOIN u ON t.k = u.k`},
	{name: "left residual", sql: `SELECT t.id, t.v, u.w FROM t LEFT JOIN u ON t.k = u.k AND t.v = u.w`},
	{name: "right", sql: `SELECT t.id, u.k, u.w FROM t RIGHT JOIN u ON t.k = u.k AND t.v > 2`},
	{name: "full", sql: `SELECT t.id, t.k, u.k AS uk, u.w FROM t FULL JOIN u ON t.k = u.k AND t.v = u.w`},
	{name: "full streams", sql: `SELECT e.k, e.v, q.v AS w FROM e FULL JOIN q ON e.k = q.k AND e.v = q.v`},
	{name: "null safe", sql: `SELECT t.id, u.w FROM t JOIN u ON t.k IS NOT DISTINCT FROM u.k WHERE t.v < 3`},
	{name: "float keys", sql: `SELECT a.id, b.id AS bid FROM t a JOIN t b ON a.x = b.x`},
	{name: "numeric keys", sql: `SELECT a.id, b.id AS bid FROM t a LEFT JOIN t b ON a.n = b.n AND a.id < b.id`},
	{name: "cross", sql: `SELECT a.w, b.w AS x FROM u a, u b WHERE a.w < b.w`},
	{name: "semi", sql: `SELECT id, k FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.k = t.k)`},
	{name: "semi residual", sql: `SELECT id, v FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.k = t.k AND u.w > t.v)`},
	{name: "anti", sql: `SELECT id, k FROM t WHERE NOT EXISTS (SELECT 1 FROM u WHERE u.k = t.k)`},
	{name: "anti residual", sql: `SELECT id, v FROM t WHERE NOT EXISTS (SELECT 1 FROM u WHERE u.k = t.k AND u.w > t.v)`},
	{name: "in", sql: `SELECT id, v FROM t WHERE v IN (SELECT w FROM u)`},
	{name: "not in", sql: `SELECT id, v FROM t WHERE v NOT IN (SELECT w FROM u WHERE k = 'c')`},
	{name: "not in correlated", sql: `SELECT id, v FROM t WHERE v NOT IN (SELECT w FROM u WHERE u.k = t.k)`},
	{name: "stream and table", sql: `SELECT e.ts, e.k, t.v FROM e JOIN t ON e.v = t.id`},
	{name: "stream left table", sql: `SELECT e.k, e.v, t.id FROM e LEFT JOIN t ON e.v = t.v AND e.k = t.k`},
	{name: "join of groups", sql: `SELECT a.k, a.c, b.s FROM (SELECT k, count(*) AS c FROM t GROUP BY k) a JOIN (SELECT k, sum(w) AS s FROM u GROUP BY k) b ON a.k = b.k`},
	{name: "three ways", sql: `SELECT t.id, u.w, q.v FROM t JOIN u ON t.k = u.k LEFT JOIN q ON q.v = u.w`},
	{name: "group of join", sql: `SELECT t.k, count(u.w) AS c, sum(u.w) AS s FROM t LEFT JOIN u ON t.k = u.k GROUP BY t.k`},

	// Joins in time.
	{name: "interval", sql: `SELECT e.ts, f.ts AS fts, e.k, e.v, f.v AS w FROM e JOIN f ON e.k = f.k AND f.ts BETWEEN e.ts - INTERVAL '2 seconds' AND e.ts + INTERVAL '3 seconds'`, close: true},
	{name: "interval left", sql: `SELECT e.ts, f.ts AS fts, e.k, e.v, f.v AS w FROM e LEFT JOIN f ON e.k = f.k AND f.ts BETWEEN e.ts - INTERVAL '2 seconds' AND e.ts + INTERVAL '3 seconds'`, close: true},
	{name: "interval anti", sql: `SELECT e.ts, e.k, e.v FROM e WHERE NOT EXISTS (SELECT 1 FROM f WHERE e.k = f.k AND f.ts >= e.ts AND f.ts <= e.ts + INTERVAL '5 seconds')`, close: true},
	{name: "interval semi", sql: `SELECT e.ts, e.k, e.v FROM e WHERE EXISTS (SELECT 1 FROM f WHERE e.k = f.k AND f.ts >= e.ts AND f.ts < e.ts + INTERVAL '5 seconds')`, close: true},
	{name: "interval full", sql: `SELECT e.ts, f.ts AS fts, e.k FROM e FULL JOIN f ON e.k = f.k AND f.ts BETWEEN e.ts AND e.ts + INTERVAL '3 seconds'`, close: true},
	{name: "interval right", sql: `SELECT e.ts, f.ts AS fts, f.k, f.v FROM e RIGHT JOIN f ON e.k = f.k AND f.ts BETWEEN e.ts - INTERVAL '1 second' AND e.ts + INTERVAL '3 seconds'`, close: true},
	{name: "window join full", sql: `SELECT a.window_end, b.window_end AS e2, a.k, b.k AS k2, a.c, b.c AS d FROM (SELECT window_start, window_end, k, count(*) AS c FROM {tumble e 10} w GROUP BY window_start, window_end, k) a
		FULL JOIN (SELECT window_start, window_end, k, count(*) AS c FROM {tumble f 10} w GROUP BY window_start, window_end, k) b
		ON a.k = b.k AND a.window_start = b.window_start AND a.window_end = b.window_end`, close: true},
	{name: "interval without key", sql: `SELECT e.ts, f.ts AS fts FROM e JOIN f ON f.ts >= e.ts AND f.ts <= e.ts + INTERVAL '1 second'`, close: true},
	{name: "interval then tumble", sql: `SELECT window_start, window_end, count(*) AS c FROM {tumble (SELECT e.ts, e.k FROM e JOIN f ON e.k = f.k AND f.ts BETWEEN e.ts AND e.ts + INTERVAL '3 seconds') 10} w GROUP BY window_start, window_end`, close: true, late: true},
	{name: "equal times", sql: `SELECT e.ts, e.k, f.v FROM e JOIN f ON e.ts = f.ts`, close: true},
	{name: "window join", sql: `SELECT a.window_start, a.window_end, a.k, a.c, b.c AS d FROM (SELECT window_start, window_end, k, count(*) AS c FROM {tumble e 10} w GROUP BY window_start, window_end, k) a
		JOIN (SELECT window_start, window_end, k, count(*) AS c FROM {tumble f 10} w GROUP BY window_start, window_end, k) b
		ON a.k = b.k AND a.window_start = b.window_start AND a.window_end = b.window_end`, close: true},
	{name: "window left join", sql: `SELECT a.window_start, a.window_end, a.k, a.c, b.c AS d FROM (SELECT window_start, window_end, k, count(*) AS c FROM {tumble e 10} w GROUP BY window_start, window_end, k) a
		LEFT JOIN (SELECT window_start, window_end, k, count(*) AS c FROM {tumble f 10} w GROUP BY window_start, window_end, k) b
		ON a.k = b.k AND a.window_start = b.window_start AND a.window_end = b.window_end`, close: true},
	{name: "window anti join", sql: `SELECT a.window_end, a.k, a.c FROM (SELECT window_end, k, count(*) AS c FROM {tumble e 10} w GROUP BY window_end, k) a
		WHERE NOT EXISTS (SELECT 1 FROM {tumble f 10} b WHERE a.k = b.k AND a.window_end = b.window_end)`, close: true},
	{name: "window join of rows", sql: `SELECT a.window_end, a.v, b.v AS w FROM {tumble e 5} a JOIN {tumble f 5} b ON a.k = b.k AND a.window_start = b.window_start AND a.window_end = b.window_end`, close: true},
	{name: "window join by time", sql: `SELECT a.window_time, a.v, b.v AS w FROM {tumble e 5} a JOIN {tumble f 5} b ON a.k = b.k AND a.window_time = b.window_time`, close: true},
	{name: "window join by start", sql: `SELECT a.window_start, a.v, b.v AS w FROM {tumble e 5} a JOIN {tumble f 5} b ON a.k = b.k AND a.window_start = b.window_start`, close: true},
	{name: "nexmark q5", sql: `SELECT a.k, a.c, a.window_start, a.window_end FROM (SELECT k, count(*) AS c, window_start, window_end FROM {hop e 5 10} w GROUP BY k, window_start, window_end) a
		JOIN (SELECT max(c) AS m, window_start, window_end FROM (SELECT count(*) AS c, window_start, window_end FROM {hop e 5 10} w GROUP BY k, window_start, window_end) g GROUP BY window_start, window_end) b
		ON a.window_start = b.window_start AND a.window_end = b.window_end AND a.c >= b.m`, close: true},
	{name: "nexmark q7", sql: `SELECT e.k, e.v, e.ts FROM e JOIN (SELECT window_end, max(v) AS m FROM {tumble e 10} w GROUP BY window_start, window_end) b
		ON e.v = b.m AND e.ts BETWEEN b.window_end - INTERVAL '10 seconds' AND b.window_end`},
	{name: "nexmark q8", sql: `SELECT a.k, a.window_start, a.window_end FROM (SELECT k, window_start, window_end FROM {tumble e 10} w GROUP BY k, window_start, window_end) a
		JOIN (SELECT k, window_start, window_end FROM {tumble f 10} w GROUP BY k, window_start, window_end) b
		ON a.k = b.k AND a.window_start = b.window_start AND a.window_end = b.window_end`, close: true},

	{name: "left join of representations", sql: `SELECT a.n, a.x, u.w FROM (SELECT k, n, x FROM t) a LEFT JOIN u ON a.k = u.k`},
	{name: "tumble union later", sql: `SELECT window_start, window_end, k, count(*) AS c, max(x) AS m FROM {tumble (SELECT ts, k, x FROM e WHERE v > 1 UNION ALL SELECT ts, k, x + 1 FROM f) 5} w GROUP BY window_start, window_end, k`, close: true, late: true, loose: true},
	{name: "top of windows", sql: `SELECT window_start, window_end, k, c FROM (SELECT *, row_number() OVER (PARTITION BY window_start, window_end ORDER BY c DESC, k) AS rn FROM
		(SELECT window_start, window_end, k, count(*) AS c FROM {tumble e 10} w GROUP BY window_start, window_end, k) g) r WHERE rn <= 2`, close: true, lateModel: true},
	{name: "top of windows with rank", sql: `SELECT window_end, k, s, rn FROM (SELECT *, row_number() OVER (PARTITION BY window_start, window_end ORDER BY s DESC NULLS LAST, k) AS rn FROM
		(SELECT window_start, window_end, k, sum(v) AS s FROM {hop e 5 10} w GROUP BY window_start, window_end, k) g) r WHERE rn <= 3`, close: true, lateModel: true},
	{name: "top of window rows", sql: `SELECT window_end, k, v, rn FROM (SELECT *, row_number() OVER (PARTITION BY window_start, window_end, k ORDER BY v DESC NULLS LAST) AS rn FROM {tumble e 10} w) r WHERE rn <= 2`,
		close: true, lateModel: true},
	{name: "top of hop rows", sql: `SELECT window_end, k, v FROM (SELECT *, row_number() OVER (PARTITION BY window_time, window_end ORDER BY v, k) AS rn FROM {hop e 4 10} w) r WHERE rn < 4`, close: true, lateModel: true},
	{name: "top of cumulated", sql: `SELECT window_end, k, v FROM (SELECT *, row_number() OVER (PARTITION BY window_start, window_end ORDER BY v DESC, k) AS rn FROM {cumulate e 5 20} w) r WHERE rn <= 2`, close: true, lateModel: true},
	{name: "top of growing table", sql: `SELECT window_end, k, v FROM (SELECT *, row_number() OVER (PARTITION BY window_start, window_end ORDER BY v DESC, k) AS rn FROM {tumble tw 10} w) r WHERE rn <= 2`, close: true},
	{name: "top of sessions", sql: `SELECT window_end, k, s FROM (SELECT *, row_number() OVER (PARTITION BY window_start, window_end ORDER BY s DESC, k) AS rn FROM
		(SELECT window_start, window_end, k, sum(v) AS s FROM {session e 3} w GROUP BY window_start, window_end, k) g) r WHERE rn <= 2`, close: true},
	{name: "window keep first", sql: `SELECT window_end, k, ts FROM (SELECT *, row_number() OVER (PARTITION BY window_start, window_end, k ORDER BY ts) AS rn FROM {tumble e 10} w) r WHERE rn = 1`, close: true, lateModel: true},
	{name: "window keep last", sql: `SELECT window_end, k, ts FROM (SELECT *, row_number() OVER (PARTITION BY window_start, window_end, k ORDER BY ts DESC) AS rn FROM {tumble e 10} w) r WHERE rn = 1`, close: true, lateModel: true},
	{name: "keep first", sql: `SELECT k, ts FROM (SELECT *, row_number() OVER (PARTITION BY k ORDER BY ts) AS rn FROM e) r WHERE rn = 1`},
	{name: "nexmark q18", sql: `SELECT k, v, ts FROM (SELECT *, row_number() OVER (PARTITION BY v, k ORDER BY ts DESC NULLS LAST) AS rn FROM e) r WHERE rn <= 1`},
	{name: "group of top of windows", sql: `SELECT window_end, count(*) AS c FROM (SELECT *, row_number() OVER (PARTITION BY window_start, window_end, k ORDER BY v DESC) AS rn FROM {tumble e 10} w) r WHERE rn <= 2 GROUP BY window_end`, close: true, lateModel: true},
	{name: "hop of tumble", sql: `SELECT window_start, window_end, sum(s) AS s FROM {hop (SELECT window_time, sum(v) AS s FROM {tumble e 2} a GROUP BY window_start, window_end, window_time) 4 8 window_time} w GROUP BY window_start, window_end`,
		pg:    `SELECT window_start, window_end, sum(s) AS s FROM {hop (SELECT window_time AS wt, sum(v) AS s FROM {tumble e 2} a GROUP BY window_start, window_end, window_time) 4 8 wt} w GROUP BY window_start, window_end`,
		close: true},
	{name: "session of tumble", sql: `SELECT window_start, window_end, k, sum(c) AS s FROM {session (SELECT window_time, k, count(*) AS c FROM {tumble e 2} a GROUP BY window_start, window_end, window_time, k) 5 window_time} w GROUP BY window_start, window_end, k`,
		pg:    `SELECT window_start, window_end, k, sum(c) AS s FROM {session (SELECT window_time AS wt, k, count(*) AS c FROM {tumble e 2} a GROUP BY window_start, window_end, window_time, k) 5 wt} w GROUP BY window_start, window_end, k`,
		close: true},
	{name: "group of interval left", sql: `SELECT e.k, count(*) AS c, count(f.v) AS d FROM e LEFT JOIN f ON e.k = f.k AND f.ts BETWEEN e.ts - INTERVAL '2 seconds' AND e.ts + INTERVAL '3 seconds' GROUP BY e.k`},
	{name: "windows and table", sql: `SELECT a.window_end, a.k, a.c, u.w FROM (SELECT window_start, window_end, k, count(*) AS c FROM {tumble e 10} w GROUP BY window_start, window_end, k) a LEFT JOIN u ON a.k = u.k`},

	{name: "left with subqueries", sql: `SELECT t.id, u.w FROM t LEFT JOIN u ON t.k = u.k AND t.v IN (SELECT v FROM q) AND EXISTS (SELECT 1 FROM q WHERE q.v = u.w)`},
	{name: "full with subquery", sql: `SELECT t.id, u.k, u.w FROM t FULL JOIN u ON t.k = u.k AND u.w > (SELECT count(*) FROM q WHERE q.k = t.k)`},

	// The nearest row in time.
	{name: "asof", sql: `SELECT e.ts, e.k, e.v, f.ts AS fts, f.v AS fv FROM e ASOF JOIN f ON e.k = f.k AND e.ts >= f.ts`, close: true, loose: true,
		pg: `SELECT e.ts, e.k, e.v, f.ts AS fts, f.v AS fv FROM e, LATERAL (SELECT * FROM f WHERE e.k = f.k AND e.ts >= f.ts ORDER BY ts DESC, k, v, x, n LIMIT 1) f`},
	{name: "asof left", sql: `SELECT e.ts, e.k, e.v, f.ts AS fts, f.v AS fv, f.x FROM e ASOF LEFT JOIN f ON e.k = f.k AND e.ts >= f.ts`, close: true, loose: true,
		pg: `SELECT e.ts, e.k, e.v, f.ts AS fts, f.v AS fv, f.x FROM e LEFT JOIN LATERAL (SELECT * FROM f WHERE e.k = f.k AND e.ts >= f.ts ORDER BY ts DESC, k, v, x, n LIMIT 1) f ON true`},
	{name: "asof strict", sql: `SELECT e.ts, e.k, e.v, f.ts AS fts, f.v AS fv FROM e ASOF LEFT JOIN f ON e.k = f.k AND e.ts > f.ts`, close: true, loose: true,
		pg: `SELECT e.ts, e.k, e.v, f.ts AS fts, f.v AS fv FROM e LEFT JOIN LATERAL (SELECT * FROM f WHERE e.k = f.k AND e.ts > f.ts ORDER BY ts DESC, k, v, x, n LIMIT 1) f ON true`},
	{name: "asof forward", sql: `SELECT e.ts, e.k, e.v, f.ts AS fts, f.v AS fv FROM e ASOF LEFT JOIN f ON e.k = f.k AND e.ts <= f.ts`, close: true, loose: true,
		pg: `SELECT e.ts, e.k, e.v, f.ts AS fts, f.v AS fv FROM e LEFT JOIN LATERAL (SELECT * FROM f WHERE e.k = f.k AND e.ts <= f.ts ORDER BY ts, k, v, x, n LIMIT 1) f ON true`},
	{name: "asof forward strict", sql: `SELECT e.ts, e.k, f.ts AS fts, f.v AS fv FROM e ASOF JOIN f ON f.ts > e.ts AND e.k IS NOT DISTINCT FROM f.k`, close: true, loose: true,
		pg: `SELECT e.ts, e.k, f.ts AS fts, f.v AS fv FROM e, LATERAL (SELECT * FROM f WHERE e.k IS NOT DISTINCT FROM f.k AND e.ts < f.ts ORDER BY ts, k, v, x, n LIMIT 1) f`},
	{name: "asof without key", sql: `SELECT e.ts, f.ts AS fts, f.k, f.v FROM e ASOF LEFT JOIN f ON e.ts >= f.ts`, close: true, loose: true,
		pg: `SELECT e.ts, f.ts AS fts, f.k, f.v FROM e LEFT JOIN LATERAL (SELECT * FROM f WHERE e.ts >= f.ts ORDER BY ts DESC, k, v, x, n LIMIT 1) f ON true`},
	{name: "asof tables", sql: `SELECT a.ts, a.k, a.v, b.ts AS bts, b.v AS bv FROM te a ASOF LEFT JOIN te b ON a.k = b.k AND a.ts > b.ts`,
		pg: `SELECT a.ts, a.k, a.v, b.ts AS bts, b.v AS bv FROM te a LEFT JOIN LATERAL (SELECT * FROM te b WHERE a.k = b.k AND a.ts > b.ts ORDER BY ts DESC, k, v LIMIT 1) b ON true`},
	{name: "asof tables forward", sql: `SELECT a.ts, a.k, a.v, b.ts AS bts, b.v AS bv FROM te a ASOF LEFT JOIN tw b ON a.k = b.k AND a.ts <= b.ts`,
		pg: `SELECT a.ts, a.k, a.v, b.ts AS bts, b.v AS bv FROM te a LEFT JOIN LATERAL (SELECT * FROM tw b WHERE a.k = b.k AND a.ts <= b.ts ORDER BY ts, k, v LIMIT 1) b ON true`},
	{name: "asof numbers", sql: `SELECT t.id, t.v, u.w, u.k FROM t ASOF LEFT JOIN u ON t.v >= u.w`,
		pg: `SELECT t.id, t.v, u.w, u.k FROM t LEFT JOIN LATERAL (SELECT * FROM u WHERE t.v >= u.w ORDER BY w DESC, k, w LIMIT 1) u ON true`},
	{name: "asof numerics", sql: `SELECT a.id, b.id AS bid FROM t a ASOF LEFT JOIN t b ON a.k = b.k AND a.n < b.n`,
		pg: `SELECT a.id, b.id AS bid FROM t a LEFT JOIN LATERAL (SELECT * FROM t b WHERE a.k = b.k AND a.n < b.n ORDER BY n, id LIMIT 1) b ON true`},
	{name: "asof floats", sql: `SELECT a.id, b.id AS bid FROM t a ASOF JOIN t b ON a.x <= b.x AND a.k = b.k`,
		pg: `SELECT a.id, b.id AS bid FROM t a, LATERAL (SELECT * FROM t b WHERE a.k = b.k AND a.x <= b.x ORDER BY x, id LIMIT 1) b`},
	{name: "asof growing tables", sql: `SELECT a.ts, a.k, b.v FROM tw a ASOF LEFT JOIN tw b ON a.k = b.k AND a.ts > b.ts`, close: true,
		pg: `SELECT a.ts, a.k, b.v FROM tw a LEFT JOIN LATERAL (SELECT * FROM tw b WHERE a.k = b.k AND a.ts > b.ts ORDER BY ts DESC, k, v LIMIT 1) b ON true`},
	{name: "asof using", sql: `SELECT k, ts, e.v, f.v AS fv FROM e ASOF LEFT JOIN f USING (k, ts) WHERE e.v > 0`, close: true, loose: true,
		pg: `SELECT e.k, e.ts, e.v, f.v AS fv FROM e LEFT JOIN LATERAL (SELECT * FROM f WHERE e.k = f.k AND e.ts >= f.ts ORDER BY ts DESC, k, v, x, n LIMIT 1) f ON true WHERE e.v > 0`},
	{name: "asof filtered", sql: `SELECT e.ts, e.k, f.v FROM e ASOF LEFT JOIN f ON e.k = f.k AND e.ts >= f.ts WHERE f.v > 2 AND e.v < 6`, close: true, loose: true,
		pg: `SELECT e.ts, e.k, f.v FROM e LEFT JOIN LATERAL (SELECT * FROM f WHERE e.k = f.k AND e.ts >= f.ts ORDER BY ts DESC, k, v, x, n LIMIT 1) f ON true WHERE f.v > 2 AND e.v < 6`},
	{name: "asof then tumble", sql: `SELECT window_start, window_end, count(*) AS c, sum(fv) AS s FROM {tumble (SELECT e.ts, f.v AS fv FROM e ASOF LEFT JOIN f ON e.k = f.k AND e.ts >= f.ts) 10} w GROUP BY window_start, window_end`, close: true, late: true, loose: true,
		pg: `SELECT window_start, window_end, count(*) AS c, sum(fv) AS s FROM {tumble (SELECT e.ts, f.v AS fv FROM e LEFT JOIN LATERAL (SELECT * FROM f WHERE e.k = f.k AND e.ts >= f.ts ORDER BY ts DESC, k, v, x, n LIMIT 1) f ON true) 10} w GROUP BY window_start, window_end`},
	{name: "asof groups", sql: `SELECT k, count(*) AS c, sum(bv) AS s FROM (SELECT a.k, b.v AS bv FROM te a ASOF JOIN tw b ON a.k = b.k AND a.ts >= b.ts) j GROUP BY k`,
		pg: `SELECT k, count(*) AS c, sum(bv) AS s FROM (SELECT a.k, b.v AS bv FROM te a, LATERAL (SELECT * FROM tw b WHERE a.k = b.k AND a.ts >= b.ts ORDER BY ts DESC, k, v LIMIT 1) b) j GROUP BY k`},
	{name: "temporal", sql: `SELECT e.ts, e.k, e.v, f.v AS fv FROM e LEFT JOIN f FOR SYSTEM_TIME AS OF e.ts AS f ON e.k = f.k`, close: true, loose: true,
		pg: `SELECT e.ts, e.k, e.v, f.v AS fv FROM e LEFT JOIN LATERAL (SELECT * FROM f WHERE e.k = f.k AND e.ts >= f.ts ORDER BY ts DESC, k, v, x, n LIMIT 1) f ON true`},
	{name: "temporal table", sql: `SELECT e.ts, e.k, e.v, r.v AS rv FROM e JOIN te FOR SYSTEM_TIME AS OF e.ts r ON r.k = e.k`,
		pg: `SELECT e.ts, e.k, e.v, r.v AS rv FROM e, LATERAL (SELECT * FROM te WHERE e.k = te.k AND e.ts >= te.ts ORDER BY ts DESC, k, v LIMIT 1) r`},

	// Sets.
	{name: "union all", sql: `SELECT k, v FROM t UNION ALL SELECT k, w FROM u UNION ALL SELECT k, v FROM q`},
	{name: "union", sql: `SELECT k, v FROM t UNION SELECT k, w FROM u`},
	{name: "union windows", sql: `SELECT window_start, window_end, count(*) AS c FROM {tumble (SELECT ts, k FROM e UNION ALL SELECT ts, k FROM f) 10} w GROUP BY window_start, window_end`, close: true, late: true},
	{name: "intersect", sql: `SELECT k, v FROM t INTERSECT SELECT k, w FROM u`},
	{name: "intersect all", sql: `SELECT k FROM t INTERSECT ALL SELECT k FROM u`},
	{name: "except", sql: `SELECT k, v FROM t EXCEPT SELECT k, w FROM u`},
	{name: "except all", sql: `SELECT k FROM t EXCEPT ALL SELECT k FROM u`},
	{name: "distinct", sql: `SELECT DISTINCT k, v FROM t`},
	{name: "distinct stream", sql: `SELECT DISTINCT v FROM e`},
	{name: "distinct floats", sql: `SELECT DISTINCT x FROM t`, loose: true},
	{name: "distinct on", sql: `SELECT DISTINCT ON (k) k, v, id FROM t ORDER BY k, v DESC NULLS LAST, id`},
	{name: "distinct on stream", sql: `SELECT DISTINCT ON (k) k, v FROM e ORDER BY k, v`},

	// Order.
	{name: "order", sql: `SELECT id, v, k FROM t ORDER BY v DESC, k, id`, ordered: true},
	{name: "top", sql: `SELECT id, v FROM t ORDER BY v DESC NULLS LAST, id LIMIT 3`, ordered: true},
	{name: "top offset", sql: `SELECT id, v FROM t ORDER BY v, id LIMIT 3 OFFSET 2`, ordered: true},
	{name: "top bag", sql: `SELECT k, w FROM u ORDER BY w, k LIMIT 4`, ordered: true},
	{name: "top stream", sql: `SELECT v, k FROM e ORDER BY v DESC, k LIMIT 5`, ordered: true},
	{name: "top ties", sql: `SELECT v FROM t ORDER BY v FETCH FIRST 2 ROWS WITH TIES`, ordered: true},
	{name: "top floats", sql: `SELECT x, id FROM t ORDER BY x DESC, id LIMIT 5`},
	{name: "top groups", sql: `SELECT k, sum(v) AS s FROM t GROUP BY k ORDER BY s DESC NULLS LAST, k LIMIT 2`},
	{name: "row_number", sql: `SELECT k, id, v FROM (SELECT k, id, v, row_number() OVER (PARTITION BY k ORDER BY v DESC, id) AS rn FROM t) r WHERE rn <= 2`},
	{name: "row_number shown", sql: `SELECT k, id, rn FROM (SELECT k, id, row_number() OVER (PARTITION BY k ORDER BY v, id) AS rn FROM t) r WHERE rn <= 3`},
	{name: "row_number stream", sql: `SELECT k, v, rn FROM (SELECT k, v, row_number() OVER (PARTITION BY k ORDER BY v DESC) AS rn FROM e) r WHERE rn <= 2`},
	{name: "limit in subquery", sql: `SELECT s.id, u.w FROM (SELECT id, k FROM t ORDER BY id LIMIT 3) s JOIN u ON s.k = u.k`},

	{name: "over", sql: `SELECT id, sum(v) OVER (PARTITION BY k ORDER BY id) AS s, rank() OVER (PARTITION BY k ORDER BY v) AS r FROM t`},
	{name: "over in windows", sql: `SELECT window_end, k, v, sum(v) OVER w AS s, rank() OVER w AS r, percent_rank() OVER w AS p, ntile(3) OVER w AS n, lead(v) OVER w AS l FROM {tumble e 10} t WINDOW w AS (PARTITION BY window_start, window_end ORDER BY v, k)`, close: true, loose: true},
	{name: "over of windows", sql: `SELECT window_end, k, s, sum(s) OVER (PARTITION BY window_start, window_end) AS total, rank() OVER (PARTITION BY window_start, window_end ORDER BY s DESC NULLS LAST) AS r FROM
		(SELECT window_start, window_end, k, sum(v) AS s FROM {hop e 5 10} w GROUP BY window_start, window_end, k) g`, close: true, lateModel: true},
	{name: "rank of windows", sql: `SELECT window_end, k, r FROM (SELECT window_end, k, rank() OVER (PARTITION BY window_start, window_end ORDER BY c DESC) AS r FROM
		(SELECT window_start, window_end, k, count(*) AS c FROM {tumble e 10} w GROUP BY window_start, window_end, k) g) x WHERE r <= 2`, close: true, lateModel: true},
	{name: "dense_rank of window rows", sql: `SELECT window_end, k, v, r FROM (SELECT window_end, k, v, dense_rank() OVER (PARTITION BY window_start, window_end ORDER BY v DESC NULLS LAST) AS r FROM {tumble e 10} w) x WHERE r <= 3`, close: true, lateModel: true},
	{name: "over ranks", sql: `SELECT id, row_number() OVER w AS a, rank() OVER (ORDER BY v) AS b, dense_rank() OVER (ORDER BY v) AS c, percent_rank() OVER (ORDER BY v) AS d, cume_dist() OVER (ORDER BY v) AS e, ntile(3) OVER w AS f FROM t WINDOW w AS (ORDER BY v, id)`},
	{name: "over values", sql: `SELECT id, first_value(v) OVER w AS a, last_value(v) OVER w AS b, nth_value(v, 2) OVER w AS c, lag(v, 2, -1) OVER w AS d, lead(v, 1, v) OVER w AS e, last_value(v) OVER (PARTITION BY k ORDER BY id ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS f FROM t WINDOW w AS (PARTITION BY k ORDER BY id)`},
	{name: "over range", sql: `SELECT id, v, count(*) OVER (ORDER BY v RANGE BETWEEN 2 PRECEDING AND 1 FOLLOWING) AS a, sum(v) OVER (PARTITION BY k ORDER BY v DESC NULLS LAST RANGE 3 PRECEDING) AS b, min(id) OVER (ORDER BY v NULLS FIRST RANGE BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS c FROM t`},
	{name: "over groups", sql: `SELECT id, v, sum(id) OVER (ORDER BY v GROUPS 1 PRECEDING) AS a, count(*) OVER (ORDER BY v GROUPS BETWEEN 1 FOLLOWING AND 2 FOLLOWING) AS b, sum(id) OVER (ORDER BY v GROUPS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS c FROM t`},
	{name: "over exclude", sql: `SELECT id, v, sum(id) OVER (ORDER BY v, id ROWS BETWEEN 2 PRECEDING AND 2 FOLLOWING EXCLUDE CURRENT ROW) AS a FROM t`},
	{name: "over exclude by key", sql: `SELECT id, v, count(*) OVER (ORDER BY v RANGE BETWEEN 2 PRECEDING AND 2 FOLLOWING EXCLUDE GROUP) AS b, sum(id) OVER (ORDER BY v GROUPS 1 PRECEDING EXCLUDE TIES) AS c, sum(id) OVER (ORDER BY v, id ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS d FROM t`},
	{name: "over bag", sql: `SELECT k, w, row_number() OVER (PARTITION BY k ORDER BY w) AS r, count(*) OVER (PARTITION BY k) AS c, sum(w) OVER (ORDER BY w) AS s FROM u`},
	{name: "over filter", sql: `SELECT id, count(*) FILTER (WHERE v > 2) OVER (PARTITION BY k ORDER BY id) AS a, array_agg(v) OVER (ORDER BY id ROWS 2 PRECEDING) AS b, string_agg(k, ',') OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS c, avg(v) OVER (PARTITION BY k ORDER BY id) AS d FROM t`},
	{name: "over stream", sql: `SELECT k, v, sum(v) OVER (PARTITION BY k ORDER BY v) AS s, count(*) OVER (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL '5 seconds' PRECEDING AND CURRENT ROW) AS c FROM e WHERE isfinite(ts)`},
	{name: "timed over", sql: `SELECT ts, k, v, row_number() OVER w AS n, rank() OVER (PARTITION BY k ORDER BY ts) AS r, dense_rank() OVER (PARTITION BY k ORDER BY ts) AS d, sum(v) OVER (PARTITION BY k ORDER BY ts) AS s, lag(v) OVER w AS l FROM e WHERE v IS NOT NULL WINDOW w AS (PARTITION BY k ORDER BY ts, v)`, close: true, loose: true},
	{name: "timed over range", sql: `SELECT ts, k, v, count(*) OVER (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL '5 seconds' PRECEDING AND CURRENT ROW) AS c, max(v) OVER (ORDER BY ts RANGE BETWEEN INTERVAL '3 seconds' PRECEDING AND INTERVAL '1 second' PRECEDING) AS m FROM e`, close: true},
	{name: "timed over rows", sql: `SELECT ts, k, v, sum(v) OVER w AS s, first_value(v) OVER w AS f, lag(v, 3, -9) OVER (PARTITION BY k ORDER BY ts, v) AS l FROM e WINDOW w AS (PARTITION BY k ORDER BY ts, v ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)`, close: true, loose: true},
	{name: "timed over groups", sql: `SELECT ts, v, sum(v) OVER (ORDER BY ts GROUPS 2 PRECEDING) AS s, count(*) OVER (ORDER BY ts GROUPS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS c, min(v) OVER (ORDER BY ts GROUPS 1 PRECEDING EXCLUDE GROUP) AS m FROM e`, close: true},
	{name: "timed over values", sql: `SELECT ts, k, v, first_value(v) OVER w AS f, last_value(v) OVER w AS l, nth_value(v, 2) OVER w AS n, nth_value(v, 3) OVER (PARTITION BY k ORDER BY ts, v ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS m, avg(v) OVER (PARTITION BY k ORDER BY ts RANGE UNBOUNDED PRECEDING) AS a FROM e WINDOW w AS (PARTITION BY k ORDER BY ts, v)`, close: true, loose: true},
	{name: "timed over ignoring nulls", sql: `SELECT ts, k, v, last_value(v) IGNORE NULLS OVER w AS l, lag(v, 2) IGNORE NULLS OVER w AS g, first_value(v) IGNORE NULLS OVER w AS f FROM e WINDOW w AS (PARTITION BY k ORDER BY ts, v)`, close: true, pg: noPostgres},
	{name: "timed over growing table", sql: `SELECT ts, k, sum(v) OVER (PARTITION BY k ORDER BY ts ROWS 1 PRECEDING) AS s, string_agg(k, '' ) OVER (ORDER BY ts RANGE INTERVAL '2 seconds' PRECEDING) AS a FROM (SELECT ts, k, sum(v) AS v FROM tw GROUP BY ts, k) g`, close: true, loose: true, pg: noPostgres},
	{name: "timed over windows", sql: `SELECT window_end, k, s, sum(s) OVER (PARTITION BY k ORDER BY window_end) AS total, s - lag(s) OVER (PARTITION BY k ORDER BY window_end) AS diff FROM
		(SELECT window_start, window_end, k, sum(v) AS s FROM {tumble e 5} w GROUP BY window_start, window_end, k) g`, close: true},
	{name: "timed over twice", sql: `SELECT window_start, window_end, sum(d) AS s FROM {tumble (SELECT ts, coalesce(v - lag(v) OVER (PARTITION BY k ORDER BY ts, v), 0) + count(*) OVER (ORDER BY ts) AS d FROM e) 10} w GROUP BY window_start, window_end`, close: true, late: true},
	{name: "over frames", sql: `SELECT id, sum(v) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS s, lag(v) OVER (ORDER BY id) AS l, max(v) OVER (PARTITION BY k) AS m FROM t`},

	// Subqueries.
	{name: "scalar", sql: `SELECT id, v, (SELECT max(w) FROM u) AS m FROM t`},
	{name: "scalar correlated", sql: `SELECT id, (SELECT count(*) FROM u WHERE u.k = t.k) AS c, (SELECT sum(w) FROM u WHERE u.k = t.k) AS s FROM t`},
	{name: "scalar compared", sql: `SELECT id, v FROM t WHERE v > (SELECT avg(w) FROM u)`},
	{name: "scalar compared correlated", sql: `SELECT id, v FROM t WHERE v >= (SELECT max(b.v) FROM t b WHERE b.k = t.k)`},
	{name: "exists alone", sql: `SELECT id FROM t WHERE EXISTS (SELECT 1 FROM u WHERE w = 3)`},
	{name: "not exists alone", sql: `SELECT id FROM t WHERE NOT EXISTS (SELECT 1 FROM u WHERE w = 3)`},
	{name: "exists as value", sql: `SELECT id, EXISTS (SELECT 1 FROM u WHERE u.k = t.k) AS e FROM t`},
	{name: "in as value", sql: `SELECT id, v IN (SELECT w FROM u) AS e FROM t`},
	{name: "any all", sql: `SELECT id, v FROM t WHERE v > ALL (SELECT w FROM u WHERE k = 'a') OR v = ANY (SELECT w FROM u WHERE k = 'b')`},
	{name: "lateral", sql: `SELECT t.id, l.w FROM t, LATERAL (SELECT w FROM u WHERE u.k = t.k ORDER BY w DESC NULLS LAST LIMIT 1) l`},
	{name: "lateral full join", sql: `SELECT t.id, l.w, l.z FROM t, LATERAL (SELECT x.w, y.z FROM (SELECT w FROM u WHERE u.k = t.k) x FULL JOIN (VALUES (1), (t.v)) y (z) ON y.z = x.w) l`},
	{name: "lateral right join", sql: `SELECT t.id, l.w, l.z FROM t, LATERAL (SELECT x.w, y.z FROM (SELECT w FROM u WHERE u.k = t.k) x RIGHT JOIN (VALUES (1), (2), (NULL)) y (z) ON y.z = x.w AND t.v > 1) l`},
	{name: "outer aggregate", sql: `SELECT k, (SELECT max(t.v) + count(*) FROM u WHERE u.k = t.k) AS m FROM t GROUP BY k`},
	{name: "cte", sql: `WITH s AS (SELECT k, count(*) AS c FROM t GROUP BY k) SELECT a.k, a.c, b.c AS d FROM s a JOIN s b ON a.c <= b.c`},

	// Values and sets of rows.
	{name: "values", sql: `SELECT t.id, d.label FROM t JOIN (VALUES ('a', 'first'), ('b', 'second'), (NULL, 'none')) AS d(k, label) ON d.k = t.k`},
	{name: "generate_series", sql: `SELECT g.i, count(t.id) AS c FROM generate_series(0, 5) AS g(i) LEFT JOIN t ON t.v = g.i GROUP BY g.i`},
	{name: "series of rows", sql: `SELECT t.id, g.i FROM t, LATERAL generate_series(1, t.v) AS g(i)`},
	{name: "unnest", sql: `SELECT id, unnest(ARRAY[v, v + 1, NULL]) AS a FROM t`},
}
