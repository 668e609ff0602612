package engine

import (
	"fmt"
	"testing"

	"streamsql/internal/pgerr"
)

// TestStoredIndexes: unique keys and foreign keys hold after restarts, without that the tables are read, through changes of the table's definition.
func TestStoredIndexes(t *testing.T) {
	dir := t.TempDir()
	e, s := reopen(t, nil, nil, dir)
	run(t, s, `CREATE TABLE p (id int PRIMARY KEY, code text UNIQUE, n int); CREATE UNIQUE INDEX p_n ON p (n);
		CREATE TABLE c (id int PRIMARY KEY, code text REFERENCES p (code) ON DELETE CASCADE, parent int REFERENCES p);
		CREATE TABLE bag (a int, b int UNIQUE); CREATE TABLE word (w text, n int); CREATE UNIQUE INDEX ON word (lower(w), (n / 10)) WHERE n > 0;
		INSERT INTO word VALUES ('A', 10), ('a', 20), ('A', -1), ('a', -1);
		INSERT INTO p SELECT x, 'c' || x, x * 10 FROM generate_series(1, 300) x;
		INSERT INTO c SELECT x, 'c' || x % 100 + 1, x FROM generate_series(1, 300) x;
		INSERT INTO bag VALUES (1, 1), (1, NULL), (1, NULL), (2, 2)`)
	refused := func(code, sql string) {
		t.Helper()
		if _, err := tryRun(s, sql); pgerr.Code(err) != code {
			t.Errorf("%s: %v; want %s", sql, err, code)
		}
	}
	fromStore := func(tables ...string) {
		t.Helper()
		for _, name := range tables {
			r := e.relations[e.cat.Get("public", name).OID]
			for _, x := range r.indexes {
				if x.rows.Resident() != 0 || x.rows.Len() == 0 {
					t.Errorf("%s of %s has been made anew: %d bytes in memory, %d rows", x.name, name, x.rows.Resident(), x.rows.Len())
				}
			}
		}
	}
	for round := range 3 {
		e, s = reopen(t, e, s, dir)
		fromStore("p", "c", "bag", "word")
		refused(pgerr.UniqueViolation, "INSERT INTO word VALUES ('a', 15)")
		run(t, s, fmt.Sprintf("INSERT INTO word VALUES ('a', -1), ('b', %d)", 100+10*round))
		refused(pgerr.UniqueViolation, "INSERT INTO p VALUES (1000, 'c7', 0)")
		refused(pgerr.UniqueViolation, "INSERT INTO p VALUES (1000, 'x', 70)")
		refused(pgerr.UniqueViolation, "INSERT INTO bag VALUES (5, 2)")
		refused(pgerr.ForeignKeyViolation, "INSERT INTO c VALUES (1000, 'nobody', 1)")
		refused(pgerr.ForeignKeyViolation, fmt.Sprintf("DELETE FROM p WHERE id = %d", 200+round))
		run(t, s, fmt.Sprintf("UPDATE p SET code = 'd%d' WHERE id = %d; UPDATE p SET code = 'e' WHERE code = 'c299'; UPDATE p SET code = 'c299' WHERE code = 'e'", round, 250+round))
		run(t, s, fmt.Sprintf("BEGIN; INSERT INTO p VALUES (%d, 'rolled back', -100); ROLLBACK", 5000+round))
		run(t, s, fmt.Sprintf("INSERT INTO p VALUES (%d, 'new%d', %d) ON CONFLICT (code) DO NOTHING; INSERT INTO p VALUES (9999, 'd%d', 5) ON CONFLICT (code) DO UPDATE SET n = p.n + 1",
			1000+round, round, -1-round, round))
		expect(t, s, fmt.Sprintf("SELECT id, n FROM p WHERE code = 'd%d'", round), fmt.Sprintf("%d|%d", 250+round, 2501+10*round))
	}
	// Indexes go and come with the definition.
	run(t, s, "ALTER TABLE p DROP COLUMN n; ALTER TABLE bag ADD COLUMN x int DEFAULT 7; ALTER TABLE bag ADD UNIQUE (a, b)")
	run(t, s, "CREATE TABLE gone (a int UNIQUE); INSERT INTO gone VALUES (1)")
	e, s = reopen(t, e, s, dir)
	fromStore("p", "bag", "gone")
	run(t, s, "DROP TABLE gone; INSERT INTO bag VALUES (9, 9)")
	refused(pgerr.UniqueViolation, "INSERT INTO bag VALUES (10, 9)")
	e, s = reopen(t, e, s, dir)
	fromStore("p", "c", "bag")
	refused(pgerr.UniqueViolation, "INSERT INTO bag VALUES (9, 9)")
	run(t, s, "ALTER TABLE c DROP CONSTRAINT c_parent_fkey; DELETE FROM p WHERE code = 'c7'")
	expect(t, s, "SELECT count(*) FROM c WHERE code = 'c7'", "0")
	e, s = reopen(t, e, s, dir)
	fromStore("p", "c", "bag")
	expect(t, s, "SELECT count(*) FROM c", "297")
	if n := len(e.persist.saved); n != 4+1+1+2+1 { // p (code), c (code), bag (b; a, b), word
		t.Errorf("the store has %d relations and indexes instead of 9", n)
	}
	s.Close()
	e.Close()
}
