package engine

import (
	"testing"

	"streamsql/internal/pgerr"
)

// TestRestartDDL: what statements have made of the catalog is there again after a restart, and sequences give no value twice.
func TestRestartDDL(t *testing.T) {
	dir := t.TempDir()
	e, s := reopen(t, nil, nil, dir)
	run(t, s, `CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE DOMAIN pos AS int CHECK (VALUE > 0);
		CREATE DOMAIN even AS pos CHECK (VALUE % 2 = 0); ALTER DOMAIN even ADD CONSTRAINT big CHECK (VALUE > 5) NOT VALID; CREATE TABLE ds (d even, l pos[])`)
	run(t, s, `CREATE TABLE p (id serial PRIMARY KEY, code text UNIQUE, m mood, n pos)`)
	run(t, s, `CREATE TABLE c (pid int REFERENCES p ON DELETE CASCADE, x int CHECK (x < 10))`)
	run(t, s, `CREATE MATERIALIZED VIEW mv AS SELECT code, m FROM p`)
	run(t, s, `INSERT INTO p (code, m, n) VALUES ('a', 'happy', 1), ('b', 'sad', 2)`)
	run(t, s, `BEGIN; ALTER TABLE p ADD COLUMN extra int DEFAULT 5; INSERT INTO p (code) VALUES ('c'); ALTER TABLE p DROP COLUMN n; COMMIT`)
	run(t, s, `ALTER TABLE p RENAME COLUMN code TO kode; INSERT INTO c VALUES (1, 1); CREATE TEMP TABLE tmp (a int)`)
	run(t, s, `BEGIN; CREATE TABLE undone (a int); INSERT INTO undone VALUES (1); ROLLBACK`)
	for round := range 2 {
		e, s = reopen(t, e, s, dir)
		if round == 0 {
			expect(t, s, `SELECT * FROM p ORDER BY id`, "1|a|happy|5", "2|b|sad|5", "3|c|NULL|5")
			expect(t, s, `SELECT * FROM mv ORDER BY 1`, "a|happy", "b|sad", "c|NULL")
			expect(t, s, `SELECT kode FROM p WHERE m > 'sad'`, "a")
		}
		for sql, code := range map[string]string{
			`INSERT INTO p (kode) VALUES ('a')`:   pgerr.UniqueViolation,
			`INSERT INTO c VALUES (77, 1)`:        pgerr.ForeignKeyViolation,
			`INSERT INTO c VALUES (1, 10)`:        pgerr.CheckViolation,
			`SELECT * FROM undone`:                pgerr.UndefinedTable,
			`SELECT * FROM tmp`:                   pgerr.UndefinedTable,
			`INSERT INTO p (m) VALUES ('nobody')`: pgerr.InvalidTextRepresentation,
			`SELECT 7::even`:                      pgerr.CheckViolation,
			`SELECT (-8)::even`:                   pgerr.CheckViolation,
			`INSERT INTO ds VALUES (4)`:           pgerr.CheckViolation,
			`INSERT INTO ds VALUES (6, '{1,0}')`:  pgerr.CheckViolation,
			`DROP DOMAIN pos`:                     pgerr.DependentObjectsStillExist,
			`ALTER TABLE p DROP COLUMN kode`:      pgerr.DependentObjectsStillExist,
		} {
			if _, err := tryRun(s, sql); pgerr.Code(err) != code {
				t.Errorf("round %d: %s: %v, expected %s", round, sql, err, code)
			}
		}
		last := run(t, s, `SELECT max(id) FROM p`)[0]
		run(t, s, `INSERT INTO p (m) VALUES ('sad')`)
		if got := run(t, s, `SELECT max(id) > `+last+` FROM p`)[0]; got != "t" {
			t.Errorf("round %d: the sequence gave a value again", round)
		}
	}
	s.Close()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}
