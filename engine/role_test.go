package engine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"streamsql/internal/pgerr"
)

// TestRestartRoles: roles, memberships, owners and what has been granted are there again after a restart, and what was taken back or dropped is not.
func TestRestartRoles(t *testing.T) {
	dir := t.TempDir()
	e, s := reopen(t, nil, nil, dir)
	run(t, s, `CREATE ROLE staff; CREATE ROLE anna LOGIN PASSWORD 'geheim' IN ROLE staff; CREATE ROLE bert NOINHERIT; CREATE ROLE gone; GRANT staff TO bert WITH ADMIN OPTION`)
	run(t, s, `CREATE SCHEMA house AUTHORIZATION staff; CREATE TABLE house.t (a int, b text); ALTER TABLE house.t OWNER TO staff; INSERT INTO house.t VALUES (1, 'x')`)
	run(t, s, `GRANT USAGE ON SCHEMA house TO bert; GRANT SELECT (a), INSERT ON house.t TO bert; GRANT DELETE ON house.t TO gone`)
	run(t, s, `ALTER ROLE anna SET search_path = house`)
	run(t, s, `CREATE FUNCTION house.f() RETURNS int LANGUAGE sql AS 'SELECT 1'; REVOKE EXECUTE ON FUNCTION house.f() FROM PUBLIC`)
	run(t, s, `REVOKE USAGE ON SCHEMA public FROM PUBLIC; DROP OWNED BY gone; DROP ROLE gone`)
	run(t, s, `BEGIN; CREATE ROLE undone; GRANT ALL ON house.t TO bert; ROLLBACK`)
	const roles = `SELECT rolname, rolinherit, rolcanlogin, rolpassword IS NOT NULL FROM pg_authid WHERE oid >= 16384 ORDER BY 1`
	const acls = `SELECT relacl::text, (SELECT attacl::text FROM pg_attribute WHERE attrelid = c.oid AND attname = 'a'), pg_get_userbyid(relowner) FROM pg_class c WHERE relname = 't'`
	verifier := run(t, s, `SELECT rolpassword FROM pg_authid WHERE rolname = 'anna'`)[0]
	for range 3 {
		expect(t, s, roles, "anna|t|t|t", "bert|f|f|f", "staff|t|f|f")
		expect(t, s, `SELECT rolpassword FROM pg_authid WHERE rolname = 'anna'`, verifier)
		expect(t, s, `SELECT pg_has_role('anna', 'staff', 'USAGE'), pg_has_role('bert', 'staff', 'USAGE'), pg_has_role('bert', 'staff', 'MEMBER WITH ADMIN OPTION')`, "t|f|t")
		expect(t, s, acls, `{staff=arwdDxt/staff,bert=a/staff}|{bert=r/staff}|staff`)
		for as, codes := range map[string]map[string]string{
			"anna": {`SELECT b FROM house.t`: "", `DROP ROLE bert`: pgerr.InsufficientPrivilege, `SELECT house.f()`: pgerr.InsufficientPrivilege},
			"bert": {`SELECT a FROM house.t`: "", `SELECT b FROM house.t`: pgerr.InsufficientPrivilege, `DELETE FROM house.t`: pgerr.InsufficientPrivilege,
				`SELECT house.f()`: pgerr.InsufficientPrivilege, `CREATE TABLE public.x (a int)`: pgerr.InsufficientPrivilege},
		} {
			o, err := e.NewSession(SessionOptions{User: as})
			if err != nil {
				t.Fatal(err)
			}
			for sql, code := range codes {
				if _, err := tryRun(o, sql); pgerr.Code(err) != code && (err != nil || code != "") {
					t.Errorf("%s: %s: %v, expected %q", as, sql, err, code)
				}
			}
			if as == "anna" {
				expect(t, o, `SHOW search_path`, "house")
			}
			o.Close()
		}
		e, s = reopen(t, e, s, dir)
	}
	s.Close()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestServerAccess: reading and writing what the server can reach takes the roles for it, and a view keeps its owner's rights when others read it.
func TestServerAccess(t *testing.T) {
	e, s := open(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "in.csv")
	if err := os.WriteFile(path, []byte("a\n1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, s, `CREATE ROLE reader; CREATE ROLE writer; CREATE ROLE other; GRANT pg_read_server_files TO reader; GRANT pg_write_server_files TO writer;
		GRANT CREATE, USAGE ON SCHEMA public TO PUBLIC; CREATE TABLE t (a int); GRANT SELECT ON t TO PUBLIC; CREATE TABLE secret (a int); INSERT INTO secret VALUES (7)`)
	source := `CREATE SOURCE src_%s (a int) WITH (connector = 'file', path = '` + path + `', format = 'csv', header = true)`
	sink := `CREATE SINK out_%s FROM t WITH (connector = 'file', path = '` + dir + `/%s', format = 'json')`
	for _, c := range []struct{ role, sql, code string }{
		{"other", source, pgerr.InsufficientPrivilege}, {"reader", source, ""}, {"writer", source, pgerr.InsufficientPrivilege},
		{"other", sink, pgerr.InsufficientPrivilege}, {"reader", sink, pgerr.InsufficientPrivilege},
		{"other", `CREATE SOURCE made_%s WITH (connector = 'nexmark', table = 'bid', events = 1)`, ""},
		{"other", `BACKUP TO '` + dir + `/backup_%s'`, pgerr.InsufficientPrivilege},
		{"other", `CREATE MATERIALIZED VIEW mv_%s AS SELECT * FROM secret`, pgerr.InsufficientPrivilege},
		{"other", `CREATE SINK s_%s FROM secret WITH (connector = 'table', table = 't')`, pgerr.InsufficientPrivilege},
		{"other", `CREATE TABLE copy_%s AS SELECT * FROM secret`, pgerr.InsufficientPrivilege},
		{"other", `SUBSCRIBE secret_%s`, pgerr.UndefinedTable},
		{"other", `SUBSCRIBE secret`, pgerr.InsufficientPrivilege},
		{"other", `SELECT * FROM secret EMIT CHANGES`, pgerr.InsufficientPrivilege},
		{"other", `DECLARE c CURSOR WITH HOLD FOR SELECT * FROM secret`, pgerr.InsufficientPrivilege},
		{"other", `PREPARE p AS SELECT * FROM secret; EXECUTE p`, pgerr.InsufficientPrivilege},
		{"other", `EXPLAIN ANALYZE SELECT * FROM secret`, pgerr.InsufficientPrivilege},
	} {
		o, err := e.NewSession(SessionOptions{User: c.role})
		if err != nil {
			t.Fatal(err)
		}
		sql := strings.ReplaceAll(c.sql, "%s", c.role)
		if _, err := tryRun(o, sql); pgerr.Code(err) != c.code && (err != nil || c.code != "") {
			t.Errorf("%s: %s: %v, expected %q", c.role, sql, err, c.code)
		}
		o.Close()
	}
	run(t, s, `CREATE MATERIALIZED VIEW mv AS SELECT a FROM secret; CREATE VIEW v AS SELECT a FROM secret; GRANT SELECT ON mv, v TO other`)
	o, err := e.NewSession(SessionOptions{User: "other"})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	expect(t, o, `SELECT (SELECT a FROM mv), (SELECT a FROM v)`, "7|7")
	st, err := o.Parse(`SELECT a FROM v`)
	if err != nil {
		t.Fatal(err)
	}
	p, err := o.Prepare(t.Context(), st[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	run(t, s, `REVOKE SELECT ON v FROM other`)
	if _, err := o.Bind(t.Context(), p, nil); pgerr.Code(err) != pgerr.InsufficientPrivilege {
		t.Errorf("a prepared statement outlives the privilege: %v", err)
	}
	run(t, s, `DROP OWNED BY other; DROP ROLE other`)
	if _, err := tryRun(o, `SELECT * FROM secret`); pgerr.Code(err) != pgerr.UndefinedTable { // it may look into no schema
		t.Errorf("a session whose role is gone: %v", err)
	}
}
