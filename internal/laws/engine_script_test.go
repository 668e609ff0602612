package laws

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"streamsql/internal/pgerr"
)

func pick[T any](r *rand.Rand, xs ...T) T { return xs[r.IntN(len(xs))] }

func (w *world) name(prefix string) string {
	w.names++
	return fmt.Sprintf("%s%d", prefix, w.names)
}

const baseColumns = "id int, k int, v bigint, s text, at timestamp"

func (w *world) createBases() {
	r := w.rnd
	for i := range 3 + r.IntN(2) {
		b := &base{name: w.name("t"), pk: r.IntN(2) == 0, watermark: r.IntN(2) == 0, append: r.IntN(4) == 0}
		if i > 1 && r.IntN(2) == 0 {
			b.source, b.pk = true, false
			b.name = w.name("src")
		}
		sql := "CREATE TABLE "
		if b.source {
			sql = "CREATE SOURCE "
		}
		sql += b.name + " (" + baseColumns
		if b.pk {
			sql += ", PRIMARY KEY (id)"
		}
		if b.watermark {
			sql += ", WATERMARK FOR at" + pick(r, "", " AS at - INTERVAL '5 seconds'")
		}
		sql += ")"
		if b.append {
			sql += " APPEND ONLY"
		}
		w.trace = append(w.trace, sql)
		w.conns[0].must(sql)
		w.bases = append(w.bases, b)
	}
}

// step sends one random statement, or lets a client read.
func (w *world) step() {
	r := w.rnd
	c := pick(r, w.conns...)
	switch x := r.IntN(100); {
	case x < 45:
		if b := pick(r, w.bases...); w.takes(c, b) {
			w.change(c, b)
		}
	case x < 57:
		c.transact()
	case x < 75:
		if !c.tx && len(w.views) < 9 {
			w.createView(c)
		}
	case x < 80:
		if !c.tx {
			w.dropView(c)
		}
	case x < 84:
		if !c.tx {
			w.createSink(c)
		}
	case x < 92:
		if len(w.clients) < 6 {
			w.createClient()
		}
	case len(w.clients) > 0:
		pick(r, w.clients...).step()
	}
}

// row gives the values of a random row.
func (w *world) row() []string {
	r := w.rnd
	w.clock += r.IntN(3)
	null := func(s string) string {
		if r.IntN(12) == 0 {
			return ""
		}
		return s
	}
	t := max(0, w.clock+r.IntN(12)-9)
	return []string{fmt.Sprint(r.IntN(40)), null(fmt.Sprint(r.IntN(5))), null(fmt.Sprint(r.IntN(101) - 50)), null(pick(r, "a", "b", "c", "ä", "d e")),
		null(fmt.Sprintf("2026-01-01 %02d:%02d:%02d", t/3600, t/60%60, t%60))}
}

func values(rows [][]string) string {
	var out []string
	for _, row := range rows {
		var vs []string
		for i, x := range row {
			switch {
			case x == "":
				x = "NULL"
			case i > 2:
				x = "'" + x + "'"
			}
			vs = append(vs, x)
		}
		out = append(out, "("+strings.Join(vs, ", ")+")")
	}
	return strings.Join(out, ", ")
}

// change sends a statement that changes the rows of a relation.
func (w *world) change(c *conn, b *base) {
	r := w.rnd
	var rows [][]string
	for range 1 + r.IntN(6) {
		rows = append(rows, w.row())
	}
	insert := "INSERT INTO " + b.name + " VALUES " + values(rows)
	where := pick(r, "k = "+fmt.Sprint(r.IntN(5)), "id % 7 = "+fmt.Sprint(r.IntN(7)), "v < "+fmt.Sprint(r.IntN(60)-50), "s = 'b' OR k IS NULL")
	x := r.IntN(20)
	if b.source || b.append {
		x = r.IntN(9)
	}
	if b.append && !b.source && r.IntN(20) == 0 {
		x = 15 // refused
	}
	switch {
	case x < 5 && b.pk && r.IntN(2) == 0:
		seen := map[string]bool{} // one command must not meet a row twice
		rows = slices.DeleteFunc(rows, func(row []string) bool { s := seen[row[0]]; seen[row[0]] = true; return s })
		insert = "INSERT INTO " + b.name + " VALUES " + values(rows)
		if b.append {
			insert += " ON CONFLICT DO NOTHING"
		} else {
			insert += pick(r, " ON CONFLICT (id) DO UPDATE SET v = excluded.v, at = excluded.at", " ON CONFLICT DO NOTHING")
		}
		c.dml(insert, "")
	case x < 7:
		c.dml(insert, "")
	case x < 9:
		var lines []string
		for _, row := range rows {
			row = slices.Clone(row)
			for i := range row {
				if row[i] == "" {
					row[i] = `\N`
				}
			}
			lines = append(lines, strings.Join(row, "\t")+"\n")
		}
		c.dml("COPY "+b.name+" FROM STDIN", strings.Join(lines, ""))
	case x < 10:
		c.dml(fmt.Sprintf("INSERT INTO %s SELECT 100 + n, n %% 3, n, NULL, '2026-01-01'::timestamp + n * INTERVAL '1 second' FROM generate_series(%d, %d) AS n", b.name, w.clock, w.clock+r.IntN(12)), "")
	case x < 16:
		set := pick(r, "v = v + 1", "k = (k + 1) % 5", "s = 'c'", "v = NULL", "at = at + INTERVAL '3 seconds'", "v = -v, k = 1", "s = s")
		c.dml("UPDATE "+b.name+" SET "+set+" WHERE "+where, "")
	case x < 17:
		c.dml(w.merge(b, rows), "")
	case x < 18:
		to := pick(r, w.bases...)
		move := "WITH gone AS (DELETE FROM " + b.name + " WHERE " + where + " RETURNING *) INSERT INTO " + to.name + " SELECT * FROM gone"
		if to.pk {
			move += " ON CONFLICT DO NOTHING"
		}
		c.dml(move, "")
	case x < 19 || r.IntN(2) == 0:
		c.dml("DELETE FROM "+b.name+" WHERE "+where, "")
	default:
		c.dml("TRUNCATE "+b.name, "")
	}
}

// merge gives a MERGE of rows into a relation.
func (w *world) merge(b *base, rows [][]string) string {
	seen := map[string]bool{} // no row of the relation may be met twice
	rows = slices.DeleteFunc(rows, func(row []string) bool { s := seen[row[0]]; seen[row[0]] = true; return s })
	return "MERGE INTO " + b.name + " AS t USING (SELECT id, k::int, v::int, s, at::timestamp FROM (VALUES " + values(rows) + ") AS x (id, k, v, s, at)) AS n ON t.id = n.id" +
		pick(w.rnd, "", " WHEN MATCHED AND n.k = 1 THEN DELETE", " WHEN MATCHED AND t.v > n.v THEN DO NOTHING") + " WHEN MATCHED THEN UPDATE SET v = t.v + n.v, s = n.s" +
		pick(w.rnd, "", " WHEN NOT MATCHED THEN INSERT VALUES (n.id, n.k, n.v, n.s, n.at)")
}

// relation is what a query may read.
type readable struct {
	name string
	rows int
	live bool
	base *base
	deps map[string]bool
}

func (w *world) readables() (out []readable) {
	for _, b := range w.bases {
		out = append(out, readable{b.name, 60, b.source, b, map[string]bool{b.name: true}})
	}
	for _, v := range w.views {
		deps := maps.Clone(v.reads)
		deps[v.name] = true
		// A view that is materialized may be asked, whatever it reads.
		out = append(out, readable{v.name, v.rows, v.live && !v.materialized, nil, deps})
	}
	return out
}

// randomQuery gives a query over a relation or two with the columns of all relations.
func (w *world) randomQuery(not string) (q string, v view) {
	r := w.rnd
	rs := slices.DeleteFunc(w.readables(), func(x readable) bool { return x.deps[not] })
	a, b := pick(r, rs...), pick(r, rs...)
	n := fmt.Sprint(r.IntN(40) - 20)
	two := false
	window := func(f string) string {
		return "SELECT max(id) AS id, k, count(*) + coalesce(sum(v), 0)::bigint AS v, min(s) AS s, window_start AS at FROM " + f + " GROUP BY window_start, window_end, k"
	}
	switch x := r.IntN(17); {
	case x == 0:
		q = "SELECT id, k, v, s, at FROM " + a.name + " WHERE v > " + n
	case x == 1 || x == 2:
		q = "SELECT min(id) AS id, k, sum(v)::bigint AS v, max(s) AS s, max(at) AS at FROM " + a.name + " GROUP BY k"
		a.rows = 6
	case x == 3:
		q = "SELECT count(DISTINCT s)::int AS id, NULL::int AS k, count(*) AS v, string_agg(DISTINCT s, ',' ORDER BY s) AS s, min(at) FILTER (WHERE v > " + n + ") AS at FROM " + a.name
		a.rows = 1
	case x == 4 || x == 5:
		if a.rows*b.rows/5 > 3000 {
			b = pick(r, rs[:len(w.bases)]...)
		}
		two = true
		q = "SELECT a.id, b.k, a.v + b.v AS v, b.s, a.at FROM " + a.name + " AS a " + pick(r, "JOIN", "LEFT JOIN", "FULL JOIN", "RIGHT JOIN") + " " + b.name + " AS b ON a.k = b.k" + pick(r, "", " AND a.v < b.v", " AND a.id = b.id")
		a.rows = a.rows*b.rows/5 + a.rows + b.rows
	case x == 6:
		q = "SELECT id, k, v, s, at FROM " + a.name + " ORDER BY v " + pick(r, "", "DESC ") + "NULLS " + pick(r, "FIRST", "LAST") + ", id, k, s, at LIMIT " + fmt.Sprint(1+r.IntN(6)) + pick(r, "", " OFFSET 2")
		a.rows = 6
	case x == 7 || x == 8:
		two = true
		q = "SELECT id, k, v, s, at FROM " + a.name + " " + pick(r, "UNION", "UNION ALL", "EXCEPT", "EXCEPT ALL", "INTERSECT", "INTERSECT ALL") + " SELECT id, k, v, s, at FROM " + b.name
		a.rows += b.rows
	case x == 9:
		q = "SELECT DISTINCT 0 AS id, k, v / 10 AS v, s, NULL::timestamp AS at FROM " + a.name
	case x == 10:
		q = "SELECT id, k, " + pick(r, "row_number() OVER (PARTITION BY k ORDER BY v, id, s, at)", "rank() OVER (ORDER BY v)", "sum(v) OVER (PARTITION BY s ORDER BY at, id)::bigint", "lag(v) OVER (PARTITION BY k ORDER BY id, v, s, at)") + " AS v, s, at FROM " + a.name
	case x == 11:
		two = true
		q = "SELECT id, k, v, s, at FROM " + a.name + " AS a WHERE " + pick(r, "NOT EXISTS (SELECT 1 FROM "+b.name+" AS b WHERE b.id = a.id AND b.v > a.v)", "k IN (SELECT k FROM "+b.name+" WHERE v > "+n+")", "v > (SELECT avg(v) FROM "+b.name+")", "v >= (SELECT max(v) FROM "+b.name+" AS b WHERE b.k = a.k)")
	case x < 15:
		q = window(pick(r, "TUMBLE("+a.name+", at, INTERVAL '5 seconds')", "TUMBLE("+a.name+", at, INTERVAL '10 seconds')", "HOP("+a.name+", at, INTERVAL '5 seconds', INTERVAL '12 seconds')", "SESSION("+a.name+" PARTITION BY k, at, INTERVAL '3 seconds')", "CUMULATE("+a.name+", at, INTERVAL '5 seconds', INTERVAL '10 seconds')"))
		a.rows *= 3
	case x == 15:
		two = true
		q = "SELECT a.id, a.k, b.v, a.s, a.at FROM " + a.name + " AS a " + pick(r, "JOIN", "LEFT JOIN") + " LATERAL (SELECT v FROM " + b.name + " AS b WHERE b.k = a.k ORDER BY v DESC NULLS LAST LIMIT 2) AS b ON true"
		a.rows *= 2
	default:
		q = "SELECT id, k, v, s, at FROM (SELECT *, row_number() OVER (PARTITION BY k ORDER BY v DESC NULLS LAST, id, s, at) AS rn FROM " + a.name + ") AS x WHERE rn <= 2"
		a.rows = 12
	}
	v.reads = maps.Clone(a.deps)
	v.live, v.rows = a.live, a.rows
	if two {
		maps.Copy(v.reads, b.deps)
		v.live = v.live || b.live
	}
	v.query = q
	return q, v
}

var emits = []string{"EMIT CHANGES", "EMIT ON UPDATE", "EMIT ON WINDOW CLOSE", "EMIT ON WINDOW CLOSE", "EMIT ON WINDOW CLOSE ALLOWED LATENESS INTERVAL '7 seconds'",
	"EMIT ON UPDATE WITH BATCH INTERVAL '20 ms'", "EMIT AFTER DELAY INTERVAL '20 ms'", "EMIT PERIODIC INTERVAL '20 ms'", "EMIT AFTER DELAY INTERVAL '20 ms' AND AFTER WATERMARK"}

func (w *world) createView(c *conn) {
	r := w.rnd
	name, replaces := w.name("m"), (*view)(nil)
	if len(w.views) > 0 && r.IntN(4) == 0 {
		replaces = pick(r, w.views...)
		name = replaces.name
	}
	_, v := w.randomQuery(name)
	v.name, v.materialized = name, r.IntN(6) > 0
	if replaces != nil {
		v.materialized = replaces.materialized
	}
	if v.materialized && r.IntN(3) == 0 {
		v.emit = pick(r, emits...)
	}
	v.closes = strings.Contains(v.emit, "WATERMARK") || strings.Contains(v.emit, "CLOSE")
	sql := "CREATE "
	if replaces != nil {
		sql += "OR REPLACE "
	}
	if v.materialized {
		sql += "MATERIALIZED "
	}
	sql += "VIEW " + name + " AS " + v.query + " " + v.emit
	if _, err := c.try(sql, ""); err != nil {
		if pgerr.Code(err) == pgerr.UndefinedTable {
			failf("%s: %v", sql, err)
		}
		return
	}
	if replaces != nil {
		w.forget(name)
	}
	w.views = append(w.views, &v)
	if v.emit != "" && (v.live || r.IntN(2) == 0) {
		emit := v.emit
		if strings.Contains(emit, "ON UPDATE") {
			emit += " AS CHANGELOG" // an upsert can be folded only by who knows the key
		}
		if v.twin = w.follow(v.query+" "+emit, "", v.reads); v.twin != nil {
			v.twin.first()
		}
	}
}

// forget takes a view out of the books, and the clients that read it.
func (w *world) forget(name string) {
	w.views = slices.DeleteFunc(w.views, func(v *view) bool { return v.name == name || v.reads[name] })
	w.clients = slices.DeleteFunc(w.clients, func(c *client) bool {
		if c.reads[name] {
			c.close()
		}
		return c.reads[name]
	})
	w.sinks = slices.DeleteFunc(w.sinks, func(s *sinkUnderTest) bool { return s.reads[name] })
}

func (w *world) dropView(c *conn) {
	if len(w.views) == 0 {
		return
	}
	v := pick(w.rnd, w.views...)
	sql := "DROP VIEW " + v.name
	if v.materialized {
		sql = "DROP MATERIALIZED VIEW " + v.name
	}
	if w.rnd.IntN(3) == 0 {
		sql += " CASCADE"
	}
	if _, err := c.try(sql, ""); err == nil {
		w.forget(v.name)
	}
}
