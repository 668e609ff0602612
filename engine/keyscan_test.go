package engine

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"streamsql/internal/vec"
)

// TestKeyScans: what a condition on the key gives by way of the key is what it gives row by row, for tables with and without a
// primary key and for views, from memory, from the store, over both, and with a transaction's own changes.
func TestKeyScans(t *testing.T) {
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(uint64(seed), 1))
	dir := t.TempDir()
	e, s := reopen(t, nil, nil, dir)
	run(t, s, `CREATE TABLE t (a int, b text, c bigint, d date, n numeric, v text, PRIMARY KEY (a, b, c));
		CREATE TABLE days (d date, n numeric, f float8, u uuid, ts timestamp, PRIMARY KEY (d, n));
		CREATE TABLE bag (f float8, b varchar(5), s smallint, x bytea);
		CREATE MATERIALIZED VIEW m AS SELECT a, b, count(*) AS n, max(d) AS d FROM t GROUP BY a, b`)
	pick := func(xs ...string) string { return xs[r.IntN(len(xs))] }
	ints := func() string { return fmt.Sprint(r.IntN(7) - 2) }
	text := func() string { return "'" + pick("", "a", "b", "ab", "B", "ä", "a ", "aa") + "'" }
	day := func() string {
		return "'" + pick("2020-01-01", "2020-01-02", "1999-12-31", "infinity", "2020-03-01") + "'"
	}
	num := func() string { return pick("1", "1.0", "1.00", "-2.5", "0", "3.14", "'NaN'", "'infinity'") }
	float := func() string { return pick("0", "'-0'", "1.5", "'NaN'", "'infinity'", "-7") }
	fill := func() {
		var stmts []string
		for range 30 {
			stmts = append(stmts,
				fmt.Sprintf("INSERT INTO t VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING", ints(), text(), ints(), day(), num(), text()),
				fmt.Sprintf("INSERT INTO days VALUES (%s, %s, %s, NULL, %s) ON CONFLICT DO NOTHING", day(), num(), float(), day()),
				fmt.Sprintf("INSERT INTO bag VALUES (%s, %s, %s, NULL)", pick("NULL", float()), pick("NULL", text()), pick("NULL", ints())))
		}
		stmts = append(stmts, fmt.Sprintf("DELETE FROM t WHERE a = %s AND b = %s", ints(), text()), fmt.Sprintf("DELETE FROM bag WHERE s = %s", ints()),
			fmt.Sprintf("UPDATE t SET c = c + 10 WHERE a = %s AND b < %s", ints(), text()), fmt.Sprintf("DELETE FROM days WHERE d = %s", day()))
		run(t, s, strings.Join(stmts, "; "))
	}
	anInt := func() string {
		x := ints()
		return pick(x, x+"::bigint", x+"::smallint", x+".0", x+".5", "NULL::int", "3000000000", "-3000000000", "1e30", "'NaN'::numeric", "("+x+" + 1)", "(SELECT "+x+")")
	}
	anyInt := func() string {
		return pick("IN ("+anInt()+", "+anInt()+", "+ints()+")", fmt.Sprintf("= ANY ('{%s,NULL,%s}'::int[])", ints(), ints()), "= ANY (NULL::int[])",
			"BETWEEN "+anInt()+" AND "+anInt())
	}
	cmp := func() string { return pick("=", "=", "<", "<=", ">", ">=", "<>") }
	aText := func() string {
		x := text()
		return pick(x, x+"::varchar", x+"::text", "NULL", x+"::char(3)")
	}
	conds := map[string]func() string{
		"t.a": func() string {
			return pick("a "+cmp()+" "+anInt(), anInt()+" "+cmp()+" a", "a "+anyInt(), "(a = "+ints()+" OR a = "+ints()+")", "(a, b) "+cmp()+" ("+ints()+", "+text()+")")
		},
		"t.b": func() string { return pick("b "+cmp()+" "+aText(), "b IN ("+text()+", "+text()+")") },
		"t.c": func() string { return pick("c "+cmp()+" "+anInt(), "c "+anyInt()) },
		"t.v": func() string { return "v <> " + text() },
		"m.a": func() string { return pick("a "+cmp()+" "+anInt(), "a "+anyInt()) },
		"m.b": func() string { return "b " + cmp() + " " + aText() },
		"days.d": func() string {
			return pick("d "+cmp()+" "+day(), "d "+cmp()+" "+day()+"::timestamp", "d "+cmp()+" timestamp '2020-01-01 10:00'")
		},
		"days.n": func() string {
			return pick("n = "+num()+"::numeric", "n "+cmp()+" "+num()+"::numeric", "n = 1", "n IN (1, 3.140)")
		},
		"bag.f": func() string { return pick("f "+cmp()+" "+float()+"::float8", "f = 1.5", "f IS NULL", "f "+cmp()+" 1") },
		"bag.b": func() string { return pick("b "+cmp()+" "+aText(), "b IS NULL") },
		"bag.s": func() string { return pick("s "+cmp()+" "+anInt(), "s "+anyInt()) },
	}
	check := func(n int) {
		t.Helper()
		for range n {
			table := pick("t", "t", "m", "days", "bag")
			var names []string
			for k := range conds {
				if strings.HasPrefix(k, table+".") {
					names = append(names, k)
				}
			}
			slices.Sort(names)
			var parts []string
			for _, k := range names {
				if r.IntN(3) > 0 {
					parts = append(parts, conds[k]())
				}
			}
			if parts == nil {
				continue
			}
			where := strings.Join(parts, " AND ")
			want := run(t, s, "SELECT * FROM "+table+" WHERE ("+where+") IS TRUE")
			for _, q := range []string{"SELECT * FROM " + table + " WHERE " + where, "SELECT * FROM (SELECT * FROM " + table + ") x WHERE " + where} {
				if got := run(t, s, q); !slices.Equal(got, want) {
					t.Fatalf("seed %d: %s\ngot  %q\nwant %q\n%s", seed, q, got, want, strings.Join(run(t, s, "EXPLAIN "+q), "\n"))
				}
			}
			if got := run(t, s, "SELECT count(*) FROM "+table+" WHERE "+where); got[0] != fmt.Sprint(len(want)) {
				t.Fatalf("seed %d: %s counts %s instead of %d", seed, where, got[0], len(want))
			}
			limit := fmt.Sprintf(" LIMIT %d OFFSET %d", r.IntN(5), r.IntN(3))
			for _, order := range []string{"a, b", "1", "1, 2", "2, 1", "1, 3, 2"} {
				if order == "a, b" && table != "t" && table != "m" {
					continue
				}
				// The rank comes by another way, and ties are broken alike.
				q := "SELECT * FROM " + table + " WHERE " + where + " ORDER BY " + order
				all := run(t, s, "SELECT * FROM ("+q+" LIMIT 1000000) x")
				if got, full := run(t, s, q+limit), run(t, s, q); len(got) > len(full) || len(all) != len(want) {
					t.Fatalf("seed %d: %s%s gives %q of %q", seed, q, limit, got, full)
				} else if first := run(t, s, "SELECT * FROM "+table+" WHERE ("+where+") IS TRUE ORDER BY "+order+limit); !slices.Equal(got, first) {
					t.Fatalf("seed %d: %s%s\ngot  %q\nwant %q", seed, q, limit, got, first)
				}
			}
		}
	}
	fill()
	check(100)
	e, s = reopen(t, e, s, dir)
	check(100)
	fill()
	check(50)
	run(t, s, "BEGIN")
	fill()
	check(50)
	run(t, s, "ROLLBACK")
	check(20)
	s.Close()
	e.Close()
}

// TestLimitReadsLittle: a LIMIT, a look-up by key and a count read no more of a stored table than they need.
func TestLimitReadsLittle(t *testing.T) {
	dir := t.TempDir()
	e, s := reopen(t, nil, nil, dir)
	run(t, s, `CREATE TABLE t (id bigint PRIMARY KEY, v text); CREATE TABLE keys (id bigint);
		INSERT INTO t SELECT n, 'text ' || n FROM generate_series(1, 100000) n; INSERT INTO keys VALUES (5), (77)`)
	e, s = reopen(t, e, s, dir)
	for _, c := range []struct {
		sql  string
		rows int
		most int64
	}{
		{"SELECT * FROM t LIMIT 10", 10, 10_000},
		{"SELECT v FROM t WHERE id % 2 = 0 LIMIT 3 OFFSET 4", 3, 10_000},
		{"SELECT * FROM t ORDER BY id LIMIT 10", 10, 10_000},
		{"SELECT v FROM t WHERE id = 70000", 1, 1},
		{"SELECT v FROM t WHERE id IN (1, 2, 99999, -5, 1)", 3, 3},
		{"SELECT v FROM t WHERE id BETWEEN 500 AND 600", 101, 101},
		{"SELECT v FROM t WHERE id > 99990 AND id < 10000000000", 10, 11},
		{"SELECT count(*) FROM t", 1, 100_000},
	} {
		stmts, err := s.Parse(c.sql)
		if err != nil {
			t.Fatal(err)
		}
		p, err := s.Execute(t.Context(), stmts[0])
		if err != nil {
			t.Fatal(err)
		}
		rows := 0
		for done := false; !done; {
			var b *vec.Batch
			if b, done, err = p.Fetch(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
			if b != nil {
				rows += b.N
				b.Release()
			}
		}
		read, _ := p.(Progress).Progress()
		if p.Close(); rows != c.rows || read > c.most {
			t.Errorf("%s gives %d rows and reads %d; want %d and at most %d", c.sql, rows, read, c.rows, c.most)
		}
	}
	for _, sql := range []string{"UPDATE t SET v = 'x' WHERE id = 3", "DELETE FROM t WHERE id = 4 OR id = 5"} {
		if plan := strings.Join(run(t, s, "EXPLAIN "+sql), "\n"); !strings.Contains(plan, "Key: (id") {
			t.Errorf("%s reads all of the table:\n%s", sql, plan)
		}
	}
	s.Close()
	e.Close()
}
