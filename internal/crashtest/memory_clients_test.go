package crashtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// clients are cases of many small things, of large messages and of what is nested deep.
func clients() []hostileCase {
	return []hostileCase{
		quick(hostileCase{name: "open portals", run: openPortals}),
		{name: "open cursors", run: openCursors},
		{name: "prepared statements", run: preparedStatements},
		quick(asks("deep parentheses", "", "SELECT "+strings.Repeat("(", 200_000)+"1"+strings.Repeat(")", 200_000))),
		asks("deep operators", "", "SELECT 1"+strings.Repeat(" + 1", 500_000)),
		asks("deep subqueries", "", strings.Repeat("SELECT * FROM (", 20_000)+"SELECT 1 AS x"+strings.Repeat(") AS t", 20_000)),
		asks("deep CASE", "", "SELECT "+strings.Repeat("CASE WHEN true THEN ", 50_000)+"1"+strings.Repeat(" END", 50_000)),
		asks("deep NOT", "", "SELECT "+strings.Repeat("NOT ", 500_000)+"true"),
		asks("deep array", "", "SELECT '"+strings.Repeat("{", 1_000_000)+"'::int[]"),
		quick(asks("deep json", "", "SELECT length((repeat('[', 2000000) || repeat(']', 2000000))::jsonb::text)")),
		asks("deep json text", "", "SELECT length((repeat('{\"a\":', 1000000) || '1' || repeat('}', 1000000))::json::text)"),
		asks("deep regular expression", "", "SELECT 'x' ~ (repeat('(', 200000) || 'x' || repeat(')', 200000))"),
		asks("large regular expression", "", "SELECT 'x' ~ '((((x{200}){200}){200}){200})'"),
		asks("alternatives in a regular expression", "", "SELECT 'x' ~ string_agg('a' || g || '[^x]{1,100}', '|') FROM generate_series(1, 100000) AS g"),
		asks("views over views", "", viewsOverViews()...),
		asks("views over views, after", "", "DROP TABLE vv CASCADE"),
		asks("function that calls itself", "", "CREATE FUNCTION again(n bigint) RETURNS bigint LANGUAGE SQL AS 'SELECT n'",
			"CREATE OR REPLACE FUNCTION again(n bigint) RETURNS bigint LANGUAGE SQL AS 'SELECT again(n + 1)'", "SELECT again(1)"),
		asks("function that calls itself, after", "", "DROP FUNCTION IF EXISTS again(bigint)"),
		asks("numeric", "", "SELECT length((10::numeric ^ 131071 * 9.99)::text) FROM generate_series(1, 1000)"),
		asks("factorial", "", "SELECT length(factorial(30000)::text)"),
		asks("hop of many windows", "8640000", "CREATE TABLE hw (k int, ts timestamp)", "INSERT INTO hw SELECT g, '2026-01-01' FROM generate_series(1, 1000) AS g",
			"SELECT count(*) FROM HOP(TABLE hw, DESCRIPTOR(ts), INTERVAL '10 seconds', INTERVAL '1 day')"),
		asks("hop of many windows, after", "", "DROP TABLE hw"),
		quick(hostileCase{name: "rows of VALUES", run: manyValues}),
		{name: "large messages", run: largeMessages},
		quick(hostileCase{name: "copy of one line", run: copyOneLine}),
		quick(hostileCase{name: "copy of long lines", run: copyLongLines}),
		{name: "copy out", run: copyOut},
		asks("savepoints", "", append(append([]string{"CREATE TABLE sp (a int)", "BEGIN"}, savepoints(20_000)...), "ROLLBACK", "DROP TABLE sp")...),
		asks("explain analyze", "", "EXPLAIN ANALYZE SELECT array_agg(g) FROM generate_series(1, 100000000) AS g"),
		endless("sets of rows", "SELECT count(*) FROM (SELECT (SELECT array_agg(b) FROM generate_series(1, 100000) AS b WHERE b > a - a) AS x FROM generate_series(1, 10000) AS a) AS t WHERE x IS NOT NULL"),
	}
}

// viewsOverViews makes views each of which reads the one before it twice.
func viewsOverViews() []string {
	sql := []string{"CREATE TABLE vv (a int)", "CREATE VIEW vv0 AS SELECT a FROM vv"}
	for i := range 24 {
		sql = append(sql, fmt.Sprintf("CREATE VIEW vv%d AS SELECT x.a FROM vv%d AS x JOIN vv%d AS y ON x.a = y.a", i+1, i, i))
	}
	return append(sql, "SELECT count(*) FROM vv24")
}

func savepoints(n int) (sql []string) {
	for i := range n {
		sql = append(sql, fmt.Sprintf("SAVEPOINT s%d; INSERT INTO sp VALUES (%d)", i, i))
	}
	return sql
}

// expectRefused reports an error that is none of memory; it gives what was said.
func (m *memoryWorld) expectRefused(name string, err error) string {
	if err == nil {
		return "answered"
	}
	if !memoryRefused(err) && !m.s.dead() {
		m.t.Errorf("%s: %v", name, err)
	}
	return err.Error()
}

// openPortals leaves many portals open, each with a sort begun.
func openPortals(m *memoryWorld) string {
	c, err := m.connect()
	if err != nil {
		m.t.Errorf("open portals: %v", err)
		return ""
	}
	defer c.Conn().Close()
	f := c.Frontend()
	next := func() (pgproto3.BackendMessage, error) {
		msg, err := f.Receive()
		if e, ok := msg.(*pgproto3.ErrorResponse); ok && err == nil {
			err = pgconn.ErrorResponseToPgError(e)
		}
		return msg, err
	}
	f.Send(&pgproto3.Parse{Query: "BEGIN"})
	f.Send(&pgproto3.Bind{})
	f.Send(&pgproto3.Execute{})
	f.Send(&pgproto3.Parse{Name: "s", Query: "SELECT g, repeat('x', 100) FROM generate_series(1, 20000) AS g ORDER BY -g"})
	for i := range 1000 {
		p := fmt.Sprintf("p%d", i)
		f.Send(&pgproto3.Bind{DestinationPortal: p, PreparedStatement: "s"})
		f.Send(&pgproto3.Execute{Portal: p, MaxRows: 1})
		f.Send(&pgproto3.Flush{})
		if err := f.Flush(); err != nil {
			return m.expectRefused("open portals", err)
		}
		for {
			msg, err := next()
			if err != nil {
				return fmt.Sprintf("%d portals, %s", i, m.expectRefused("open portals", err))
			}
			if _, ok := msg.(*pgproto3.PortalSuspended); ok {
				break
			}
		}
	}
	return "1000 portals"
}

func openCursors(m *memoryWorld) string {
	sql := []string{"BEGIN"}
	for i := range 1000 {
		sql = append(sql, fmt.Sprintf("DECLARE c%d CURSOR FOR SELECT g, repeat('x', 100) FROM generate_series(1, 20000) AS g ORDER BY -g", i), fmt.Sprintf("FETCH 1 FROM c%d", i))
	}
	return m.ask("open cursors", "", false, append(sql, "ROLLBACK"))
}

// preparedStatements prepares without end and drops nothing.
func preparedStatements(m *memoryWorld) string {
	c, err := m.connect()
	if err != nil {
		m.t.Errorf("prepared statements: %v", err)
		return ""
	}
	defer c.Close(context.Background())
	text := strings.Repeat("a + b * c - ", 100) + "1"
	if _, _, err := run(context.Background(), c, "CREATE TABLE ps (a int, b int, c int)"); err != nil {
		m.t.Errorf("prepared statements: %v", err)
	}
	n := 0
	for ; n < 20_000 && err == nil; n++ {
		_, err = c.Prepare(context.Background(), fmt.Sprint("p", n), fmt.Sprintf("SELECT %s + %d FROM ps", text, n), nil)
	}
	said := m.expectRefused("prepared statements", err)
	m.ask("prepared statements, after", "", false, []string{"DROP TABLE ps"})
	return fmt.Sprintf("%d statements, %s", n, said)
}

// manyValues inserts the rows of one large statement, by several clients at once.
func manyValues(m *memoryWorld) string {
	var b strings.Builder
	b.WriteString("INSERT INTO mv VALUES (0, 'x', 0.5)")
	for i := range 500_000 {
		fmt.Fprintf(&b, ",(%d, 'x%d', %d.5)", i, i, i)
	}
	m.ask("rows of VALUES", "", false, []string{"CREATE TABLE mv (a int, b text, c numeric)"})
	said := make([]string, 4)
	var all sync.WaitGroup
	for i := range said {
		all.Go(func() { said[i] = m.ask("rows of VALUES", "", false, []string{b.String()}) })
	}
	all.Wait()
	m.ask("rows of VALUES, after", "", false, []string{"DROP TABLE mv"})
	return strings.Join(said, "; ")
}

// largeMessages sends parameters as large as a message may be, from many clients at once.
func largeMessages(m *memoryWorld) string {
	said := make([]string, 40)
	large := []byte(strings.Repeat("x", 15<<20))
	var all sync.WaitGroup
	for i := range said {
		all.Go(func() {
			c, err := m.connect()
			if err == nil {
				defer c.Close(context.Background())
				r := c.ExecParams(context.Background(), "SELECT length($1 || $1)", [][]byte{large}, []uint32{25}, nil, nil).Read()
				err = r.Err
			}
			said[i] = m.expectRefused("large messages", err)
		})
	}
	all.Wait()
	return strings.Join(said, "; ")
}

// again is a reader that gives the same bytes again and again.
type again struct {
	b    []byte
	left int64
}

// Read implements io.Reader.
func (r *again) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, io.EOF
	}
	n := copy(p, r.b)
	r.left -= int64(n)
	return n, nil
}

func copyOneLine(m *memoryWorld) string {
	c, err := m.connect()
	if err != nil {
		m.t.Errorf("copy of one line: %v", err)
		return ""
	}
	defer c.Close(context.Background())
	if _, _, err := run(context.Background(), c, "CREATE TABLE k1 (a text)"); err != nil {
		m.t.Errorf("copy of one line: %v", err)
	}
	var said []string
	for _, options := range []string{"", " (FORMAT csv)", " (FORMAT binary)"} {
		_, err = c.CopyFrom(context.Background(), &again{b: []byte(strings.Repeat("xyz ", 10_000)), left: 3 << 30}, "COPY k1 FROM STDIN"+options)
		var e *pgconn.PgError
		if options != "" && errors.As(err, &e) && strings.HasPrefix(e.Code, "22") { // it is not in the format
			err = nil
		}
		said = append(said, m.expectRefused("copy of one line", err))
	}
	m.ask("copy of one line, after", "0", false, []string{"SELECT count(*) FROM k1", "DROP TABLE k1"})
	return strings.Join(said, "; ")
}

// copyLongLines copies rows of some megabytes, which there is room for.
func copyLongLines(m *memoryWorld) string {
	c, err := m.connect()
	if err != nil {
		m.t.Errorf("copy of long lines: %v", err)
		return ""
	}
	defer c.Close(context.Background())
	if _, _, err := run(context.Background(), c, "CREATE TABLE k2 (a text)"); err != nil {
		m.t.Errorf("copy of long lines: %v", err)
	}
	const long = 5_000_000
	value := strings.Repeat("y", long)
	binary := []byte("PGCOPY\n\377\r\n\000\000\000\000\000\000\000\000\000")
	for range 2 {
		binary = append(binary, 0, 1, byte(long>>24), byte(long>>16&255), byte(long>>8&255), byte(long&255))
		binary = append(binary, value...)
	}
	for options, data := range map[string]string{
		"": value + "\nz\n" + value, " (FORMAT csv)": "\"" + value + "\"\nz\n" + value + "\n", " (FORMAT binary)": string(binary) + "\377\377",
	} {
		if _, err = c.CopyFrom(context.Background(), strings.NewReader(data), "COPY k2 FROM STDIN"+options); err != nil {
			m.t.Errorf("copy of long lines%s: %v", options, err)
		}
	}
	m.ask("copy of long lines, after", fmt.Sprint(6*long+2), false, []string{"SELECT sum(length(a)) FROM k2", "DROP TABLE k2"})
	return "answered"
}

func copyOut(m *memoryWorld) string {
	c, err := m.connect()
	if err != nil {
		m.t.Errorf("copy out: %v", err)
		return ""
	}
	defer c.Close(context.Background())
	_, err = c.CopyTo(context.Background(), io.Discard, "COPY (SELECT g, repeat('x', 1000) FROM generate_series(1, 1000000) AS g) TO STDOUT")
	return m.expectRefused("copy out", err)
}
