package engine

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

// prepareBenchmarks are statements as clients send them: a windowed aggregate, what a BI tool makes of a dashboard, and a catalogue query of 100 lines.
func prepareBenchmarks() []struct{ name, sql string } {
	var bi strings.Builder
	bi.WriteString(`SELECT "source"."region" AS "region", "source"."month" AS "month"`)
	for i := range 22 {
		fmt.Fprintf(&bi, ",\n  SUM(CASE WHEN \"source\".\"kind\" = 'kind-%d' AND \"source\".\"amount\" > %d THEN \"source\".\"amount\" ELSE 0 END) AS \"sum_of_kind_%d\",\n"+
			"  COUNT(DISTINCT CASE WHEN \"source\".\"kind\" = 'kind-%d' THEN \"source\".\"customer\" END) AS \"customers_%d\"", i, i*10, i, i, i)
	}
	bi.WriteString("\nFROM (SELECT \"o\".\"kind\" AS \"kind\", \"o\".\"amount\" AS \"amount\", \"o\".\"customer\" AS \"customer\", COALESCE(\"c\".\"region\", 'none') AS \"region\",\n" +
		"    DATE_TRUNC('month', CAST(\"o\".\"at\" AS timestamp)) AS \"month\"\n  FROM \"public\".\"orders\" AS \"o\" LEFT JOIN \"public\".\"customers\" AS \"c\" ON \"o\".\"customer\" = \"c\".\"id\"\n" +
		"  WHERE \"o\".\"at\" >= CAST('2026-01-01' AS timestamp) AND \"o\".\"at\" < CAST('2027-01-01' AS timestamp)) AS \"source\"\n" +
		"GROUP BY \"source\".\"region\", \"source\".\"month\"\nORDER BY \"source\".\"month\" ASC, \"source\".\"region\" ASC\nLIMIT 2000")
	catalogue := `SELECT n.nspname AS "Schema", c.relname AS "Name"` + strings.Repeat(`,
  CASE c.relkind
    WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view'
    WHEN 'i' THEN 'index' WHEN 'S' THEN 'sequence' WHEN 'f' THEN 'foreign table'
  END AS "Type",
  pg_catalog.pg_get_userbyid(c.relowner) AS "Owner"`, 16) + strings.Repeat(`,
  (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid, true)
   FROM pg_catalog.pg_attrdef d
   WHERE d.adrelid = c.oid AND d.adnum = 1)`, 3) + `
FROM pg_catalog.pg_class c
  LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r','p','v','m','S','f','')
  AND n.nspname <> 'pg_catalog'
  AND n.nspname !~ '^pg_toast'
  AND n.nspname <> 'information_schema'
  AND pg_catalog.pg_table_is_visible(c.oid)
ORDER BY 1,2`
	return []struct{ name, sql string }{
		{"window", `SELECT window_start, auction, count(*) AS n, sum(price) FILTER (WHERE price > 100) AS s
			FROM HOP(bid, ts, INTERVAL '2 seconds', INTERVAL '10 seconds') WHERE channel <> 'x' GROUP BY window_start, auction HAVING count(*) > 1`},
		{"dashboard", bi.String()},
		{"catalogue", catalogue},
	}
}

// BenchmarkPrepare takes a statement as a client sends it to what could be executed: it is parsed, bound, typed and optimised.
func BenchmarkPrepare(b *testing.B) {
	e, s := start(b, Options{})
	defer e.Close()
	defer s.Close()
	run(b, s, `CREATE TABLE bid (auction bigint, price bigint, channel text, ts timestamp, WATERMARK FOR ts);
		CREATE TABLE orders (id int PRIMARY KEY, customer int, kind text, amount numeric, at timestamptz); CREATE TABLE customers (id int PRIMARY KEY, region text)`)
	for _, q := range prepareBenchmarks() {
		b.Run(q.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(q.sql)))
			for b.Loop() {
				ps, err := s.Parse(q.sql)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := s.Prepare(context.Background(), ps[0], nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
