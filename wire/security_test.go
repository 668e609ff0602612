package wire_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"streamsql/engine"
	"streamsql/internal/pgtest"
	"streamsql/wire"
)

// writeCertificate makes a certificate for 127.0.0.1 that signs itself.
func writeCertificate(t *testing.T, dir, serial string) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	n, _ := new(big.Int).SetString(serial, 10)
	c := &x509.Certificate{SerialNumber: n, Subject: pkix.Name{CommonName: "localhost"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	pkcs, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "server.crt"), filepath.Join(dir, "server.key")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: pkcs}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

const securityRules = `host all postgres 127.0.0.1/32 trust
hostnossl all sec_tls 127.0.0.1/32 reject
host all sec_clear 127.0.0.1/32 password
host postgres,nowhere all 127.0.0.1/32 scram-sha-256
`

// securityRoles is what both servers know.
var securityRoles = []string{
	"CREATE ROLE sec_user LOGIN PASSWORD 'geheim'",
	"CREATE ROLE sec_tls LOGIN PASSWORD 'pässwörd\u00a0ª'",
	"CREATE ROLE sec_clear LOGIN PASSWORD 'geheim'",
	"CREATE ROLE sec_none LOGIN",
	"CREATE ROLE sec_group PASSWORD 'geheim'",
	"CREATE ROLE sec_old LOGIN PASSWORD 'geheim' VALID UNTIL '2001-01-01'",
	"CREATE ROLE sec_limit LOGIN PASSWORD 'geheim' CONNECTION LIMIT 0",
	"CREATE TABLE sec_t (a int, b text)",
	"CREATE VIEW sec_v AS SELECT a FROM sec_t",
	"INSERT INTO sec_t VALUES (1, 'x')",
}

// secured starts our server with securityRules, a certificate and securityRoles.
func secured(t *testing.T, o wire.Options) (port int, cert string) {
	t.Helper()
	e, err := engine.Open(engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := e.NewSession(engine.SessionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range append([]string{"CREATE ROLE postgres SUPERUSER LOGIN"}, securityRoles...) {
		ps, err := s.Parse(q)
		if err != nil {
			t.Fatal(err)
		}
		p, err := s.Execute(context.Background(), ps[0])
		if err == nil {
			_, _, err = p.Fetch(context.Background(), 0)
			p.Close()
		}
		if err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
	s.Close()
	dir := t.TempDir()
	rules := filepath.Join(dir, "hba.conf")
	if err := os.WriteFile(rules, []byte(securityRules), 0o600); err != nil {
		t.Fatal(err)
	}
	if o.Rules, err = wire.ReadRules(rules); err != nil {
		t.Fatal(err)
	}
	cert, key := writeCertificate(t, dir, "1")
	if o.Certificate, err = wire.LoadCertificate(cert, key); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- wire.Serve(ctx, ln, e, o) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		e.Close()
	})
	return ln.Addr().(*net.TCPAddr).Port, cert
}

// attempt connects, runs a statement, and gives "ok" or the code and message of the error.
func attempt(port int, conn, sql string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	cfg, err := pgconn.ParseConfig(fmt.Sprintf("host=127.0.0.1 port=%d %s", port, conn))
	if err != nil {
		return err.Error()
	}
	cfg.Fallbacks = nil
	c, err := pgconn.ConnectConfig(ctx, cfg)
	if err == nil {
		defer c.Close(ctx)
		_, err = c.Exec(ctx, sql).ReadAll()
	}
	var pe *pgconn.PgError
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &pe):
		return pe.Severity + " " + pe.Code + " " + pe.Message
	}
	return err.Error()
}

// TestSecurityOnPostgres: who is refused, and what is refused to whom, has PostgreSQL's code and words.
func TestSecurityOnPostgres(t *testing.T) {
	pg, err := pgtest.Start()
	if err != nil {
		t.Skipf("skipped: %v", err)
	}
	defer pg.Stop()
	ours, cert := secured(t, wire.Options{Databases: []string{"postgres"}})
	ctx := context.Background()
	c, err := pgconn.Connect(ctx, pg.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range securityRoles {
		if _, err := c.Exec(ctx, q).ReadAll(); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
	r, err := c.Exec(ctx, "SHOW data_directory").ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	data := string(r[0].Rows[0][0])
	st, err := os.Stat(data)
	if err != nil {
		t.Fatal(err)
	}
	owner := st.Sys().(*syscall.Stat_t)
	write := func(name string, b []byte) {
		path := filepath.Join(data, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(path, int(owner.Uid), int(owner.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	write("pg_hba.conf", []byte(securityRules))
	for from, to := range map[string]string{cert: "server.crt", strings.TrimSuffix(cert, "crt") + "key": "server.key"} {
		b, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		write(to, b)
	}
	for _, q := range []string{"ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()"} {
		if _, err := c.Exec(ctx, q).ReadAll(); err != nil {
			t.Fatal(err)
		}
	}
	c.Close(ctx)
	plain := " sslmode=disable dbname=postgres"
	for deadline := time.Now().Add(5 * time.Second); attempt(pg.Port, "user=postgres dbname=postgres sslmode=require", "SELECT 1") != "ok"; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Skip("skipped: this PostgreSQL has no TLS")
		}
	}
	for _, x := range []struct{ conn, sql string }{
		{"user=postgres" + plain, "SELECT 1"},
		{"user=sec_user password=geheim" + plain, "SELECT 1"},
		{"user=sec_user password=falsch" + plain, "SELECT 1"},
		{"user=sec_nobody password=geheim" + plain, "SELECT 1"},
		{"user=sec_none password=geheim" + plain, "SELECT 1"},
		{"user=sec_old password=geheim" + plain, "SELECT 1"},
		{"user=sec_group password=geheim" + plain, "SELECT 1"},
		{"user=sec_limit password=geheim" + plain, "SELECT 1"},
		{"user=sec_clear password=geheim" + plain, "SELECT 1"},
		{"user=sec_clear password=falsch" + plain, "SELECT 1"},
		{"user=sec_tls password='pässwörd\u00a0ª'" + plain, "SELECT 1"},
		{"user=sec_tls password='pässwörd a' sslmode=require dbname=postgres", "SELECT 1"}, // the same by SASLprep
		{"user=sec_tls password='pässwörd a' sslmode=verify-full dbname=postgres sslrootcert=" + cert, "SELECT 1"},
		{"user=sec_user password=geheim sslmode=disable dbname=nowhere", "SELECT 1"},
		{"user=sec_user password=falsch sslmode=disable dbname=nowhere", "SELECT 1"},
		{"user=sec_user password=geheim sslmode=disable dbname=elsewhere", "SELECT 1"},
		{"user=sec_user password=geheim sslmode=require dbname=elsewhere", "SELECT 1"},
		{"user=postgres sslmode=disable dbname=elsewhere", "SELECT 1"},
		{"user=sec_user password=geheim" + plain, "SELECT * FROM sec_t"},
		{"user=sec_user password=geheim" + plain, "SELECT * FROM sec_v"},
		{"user=sec_user password=geheim" + plain, "INSERT INTO sec_t VALUES (2)"},
		{"user=sec_user password=geheim" + plain, "CREATE TABLE mine (a int)"},
		{"user=sec_user password=geheim" + plain, "CREATE SCHEMA mine"},
		{"user=sec_user password=geheim" + plain, "CREATE ROLE mine"},
		{"user=sec_user password=geheim" + plain, "ALTER ROLE sec_old LOGIN"},
		{"user=sec_user password=geheim" + plain, "ALTER ROLE sec_user PASSWORD 'geheim'"},
		{"user=sec_user password=geheim" + plain, "GRANT pg_read_server_files TO sec_user"},
		{"user=sec_user password=geheim" + plain, "SET ROLE postgres"},
		{"user=sec_user password=geheim" + plain, "SET SESSION AUTHORIZATION postgres"},
		{"user=sec_user password=geheim" + plain, "SELECT * FROM pg_authid"},
		{"user=sec_user password=geheim" + plain, "COPY sec_t FROM '/etc/passwd'"},
		{"user=sec_user password=geheim" + plain, "SELECT pg_terminate_backend(1)"},
		{"user=sec_user password=geheim" + plain, "SELECT rolname FROM pg_roles; SELECT query FROM pg_stat_activity"},
		{"user=postgres" + plain, "REVOKE CONNECT ON DATABASE postgres FROM PUBLIC"},
		{"user=sec_user password=geheim" + plain, "SELECT 1"},
		{"user=postgres" + plain, "GRANT CONNECT ON DATABASE postgres TO sec_user"},
		{"user=sec_user password=geheim" + plain, "SELECT 1"},
	} {
		got, want := attempt(ours, x.conn, x.sql), attempt(pg.Port, x.conn, x.sql)
		if got != want {
			t.Errorf("%s: %s\n  ours:       %s\n  PostgreSQL: %s", x.conn, x.sql, got, want)
		}
	}
	psql, err := exec.LookPath("psql")
	if err != nil {
		t.Skip("skipped: psql is not installed (channel binding is not tried)")
	}
	for _, x := range []string{"user=sec_user sslmode=verify-full channel_binding=require sslrootcert=" + cert, "user=sec_user sslmode=disable channel_binding=require",
		"user=sec_user sslmode=require channel_binding=disable", "user=sec_clear sslmode=require channel_binding=require"} {
		run := func(port int) string {
			cmd := exec.Command(psql, fmt.Sprintf("host=127.0.0.1 port=%d dbname=postgres %s", port, x), "-XAtc", "SELECT current_user")
			cmd.Env = append(os.Environ(), "PGPASSWORD=geheim")
			out, _ := cmd.CombinedOutput() // what it says is compared
			return strings.ReplaceAll(string(out), fmt.Sprint(port), "PORT")
		}
		if got, want := run(ours), run(pg.Port); got != want {
			t.Errorf("psql %s\n  ours:       %s  PostgreSQL: %s", x, got, want)
		}
	}
}

// TestPlaintextBeforeTLS: what was sent in the clear behind the request for encryption is not taken for a part of the session (CVE-2021-23214).
func TestPlaintextBeforeTLS(t *testing.T) {
	port, _ := secured(t, wire.Options{})
	nc, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(10 * time.Second))
	startup := "\x00\x03\x00\x00user\x00postgres\x00\x00"
	if _, err := nc.Write([]byte("\x00\x00\x00\x08\x04\xd2\x16\x2f\x00\x00\x00" + string(rune(4+len(startup))) + startup)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 1024)
	n := 0
	for n < len(got) {
		k, err := nc.Read(got[n:])
		n += k
		if err != nil {
			break
		}
	}
	if n == 0 || got[0] != 'S' || strings.ContainsAny(string(got[1:n]), "RE") && n > 16 {
		t.Errorf("the server answered %q", got[:n])
	}
}

// TestCertificateReload: a certificate that has been replaced is the one that the next connection sees, and one that does not fit its key is not.
func TestCertificateReload(t *testing.T) {
	reload := make(chan struct{})
	port, cert := secured(t, wire.Options{Reload: reload})
	old, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	conn := func() string {
		return attempt(port, "user=sec_user password=geheim dbname=postgres sslmode=verify-full sslrootcert="+cert, "SELECT 1")
	}
	if r := conn(); r != "ok" {
		t.Fatal(r)
	}
	writeCertificate(t, filepath.Dir(cert), "2")
	reload <- struct{}{}
	reload <- struct{}{} // the first has been seen to
	if r := conn(); r != "ok" {
		t.Errorf("with the new certificate: %s", r)
	}
	now, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cert, old, 0o600); err != nil { // which does not fit the key
		t.Fatal(err)
	}
	reload <- struct{}{}
	reload <- struct{}{}
	if err := os.WriteFile(cert, now, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := conn(); r != "ok" {
		t.Errorf("after a certificate that does not fit: %s", r)
	}
}

// TestSlots: the last places are for superusers, and a role may have no more sessions than its limit.
func TestSlots(t *testing.T) {
	port, _ := secured(t, wire.Options{MaxConnections: 3, ReservedConnections: 2})
	ctx := context.Background()
	connect := func(conn string) (*pgconn.PgConn, string) {
		c, err := pgconn.Connect(ctx, fmt.Sprintf("host=127.0.0.1 port=%d dbname=postgres sslmode=disable %s", port, conn))
		var pe *pgconn.PgError
		if errors.As(err, &pe) {
			return nil, pe.Code + " " + pe.Message
		}
		if err != nil {
			return nil, err.Error()
		}
		t.Cleanup(func() { c.Close(ctx) })
		return c, ""
	}
	if _, err := connect("user=sec_user password=geheim"); err != "" {
		t.Fatal(err)
	}
	if _, err := connect("user=sec_user password=geheim"); err != "53300 remaining connection slots are reserved for non-replication superuser connections" {
		t.Error(err)
	}
	for range 2 {
		if _, err := connect("user=postgres"); err != "" {
			t.Fatal(err)
		}
	}
	if _, err := connect("user=postgres"); err != "53300 sorry, too many clients already" {
		t.Error(err)
	}
}

// TestSignals: sessions that others may end, idle ones that end by themselves, and what is to be seen of them.
func TestSignals(t *testing.T) {
	port, _ := secured(t, wire.Options{})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	connect := func(conn string) *pgconn.PgConn {
		c, err := pgconn.Connect(ctx, fmt.Sprintf("host=127.0.0.1 port=%d dbname=postgres sslmode=disable %s", port, conn))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close(ctx) })
		return c
	}
	admin, user := connect("user=postgres"), connect("user=sec_user password=geheim application_name=victim")
	one := func(c *pgconn.PgConn, sql string) string {
		r, err := c.Exec(ctx, sql).ReadAll()
		var pe *pgconn.PgError
		if errors.As(err, &pe) {
			return pe.Code + " " + pe.Message
		}
		if err != nil {
			return err.Error()
		}
		last := r[len(r)-1]
		if len(last.Rows) == 0 {
			return last.CommandTag.String()
		}
		var out []string
		for _, v := range last.Rows[0] {
			out = append(out, string(v))
		}
		return strings.Join(out, "|")
	}
	check := func(got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	sleeping := func(query string) {
		t.Helper()
		for got := ""; got != "active|"+query; time.Sleep(10 * time.Millisecond) {
			if got = one(admin, "SELECT state, query FROM pg_stat_activity WHERE application_name = 'victim'"); ctx.Err() != nil {
				t.Fatalf("%s does not run: %s", query, got)
			}
		}
	}
	check(one(user, "BEGIN; SELECT 'mine'"), "mine")
	check(one(admin, "SELECT usename, state, query, client_addr FROM pg_stat_activity WHERE application_name = 'victim'"), "sec_user|idle in transaction|SELECT 'mine'|127.0.0.1")
	check(one(user, "COMMIT"), "COMMIT")
	check(one(admin, "ALTER ROLE sec_user PASSWORD 'geheim2'"), "ALTER ROLE")
	check(one(user, fmt.Sprintf("SELECT query FROM pg_stat_activity WHERE pid = %d", admin.PID())), "<insufficient privilege>")
	check(one(connect("user=postgres"), fmt.Sprintf("SELECT query FROM pg_stat_activity WHERE pid = %d", admin.PID())), "ALTER ROLE sec_user PASSWORD '********'")
	check(one(user, fmt.Sprintf("SELECT pg_terminate_backend(%d)", admin.PID())), "42501 must be a superuser to terminate superuser process")
	check(one(user, fmt.Sprintf("SELECT pg_cancel_backend(%d)", admin.PID())), "42501 must be a superuser to cancel superuser query")
	check(one(user, "SELECT pg_cancel_backend(1)"), "f")
	slept := make(chan string, 1)
	go func() { slept <- one(user, "SELECT pg_sleep(60)") }()
	sleeping("SELECT pg_sleep(60)")
	check(one(admin, fmt.Sprintf("SELECT pg_cancel_backend(%d)", user.PID())), "t")
	check(<-slept, "57014 canceling statement due to user request")
	go func() { slept <- one(user, "SELECT pg_sleep(61)") }()
	sleeping("SELECT pg_sleep(61)")
	check(one(admin, fmt.Sprintf("SELECT pg_terminate_backend(%d)", user.PID())), "t")
	check(<-slept, "57P01 terminating connection due to administrator command")

	ended := func(c *pgconn.PgConn, want string) {
		t.Helper()
		_, err := c.ReceiveMessage(ctx)
		var pe *pgconn.PgError
		if errors.As(err, &pe) {
			check(pe.Code+" "+pe.Message, want)
			return
		}
		if one(c, "SELECT 1") == "1" {
			t.Errorf("the session goes on, want %s", want)
		}
	}
	idle := connect("user=postgres")
	check(one(idle, "SET idle_session_timeout = 50"), "SET")
	ended(idle, "57P05 terminating connection due to idle-session timeout")
	idle = connect("user=postgres")
	check(one(idle, "SET idle_in_transaction_session_timeout = 50; BEGIN"), "BEGIN")
	ended(idle, "25P03 terminating connection due to idle-in-transaction timeout")
}
