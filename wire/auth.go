package wire

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgproto3/v2"

	"streamsql/catalog"
	"streamsql/engine"
	"streamsql/internal/pgerr"
	"streamsql/internal/scram"
)

// The longest messages of an authentication, as PostgreSQL has them.
const (
	maxSASLMessage     = 1024
	maxPasswordMessage = 65535
)

// access decides who gets in: it belongs to a server over an engine. Its rules change when their file is read again.
type access struct {
	rules     atomic.Pointer[Rules]
	catalog   func() *catalog.Snapshot
	databases []string
	reserved  int
	secret    []byte // of mock verifiers
}

// newAccess makes the access of a server. With a certificate the salts that unknown users are shown are the same after a restart.
func newAccess(o *Options, cat func() *catalog.Snapshot) (*access, error) {
	a := &access{catalog: cat, databases: o.Databases, reserved: o.ReservedConnections, secret: make([]byte, 32)}
	a.rules.Store(o.Rules)
	if o.Rules == nil {
		a.rules.Store(builtinRules())
	}
	if o.Certificate != nil {
		if key, err := os.ReadFile(o.Certificate.keyFile); err == nil {
			sum := sha256.Sum256(append([]byte("mock authentication "), key...))
			a.secret = sum[:]
			return a, nil
		}
	}
	_, err := rand.Read(a.secret)
	return a, err
}

// startTLS makes the connection an encrypted one. Nothing has been read beyond the request, so that nothing that was sent in the clear can pass for what
// was sent encrypted.
func (c *conn) startTLS() error {
	cert := c.srv.opts.Certificate.current()
	t := tls.Server(c.nc, cert.config)
	if err := t.HandshakeContext(c.ctx); err != nil {
		return err
	}
	c.nc, c.w.nc, c.in.r = t, t, t
	c.secure, c.binding = true, cert.binding
	return nil
}

func hostAddr(a net.Addr) netip.Addr {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

// fatalError is an error that ends the connection.
func fatalError(code, format string, args ...any) *pgerr.Error {
	e := pgerr.New(code, format, args...)
	e.Severity = "FATAL"
	return e
}

// admitted finds out whether a user may connect to a database: by the rule that fits, and what PostgreSQL checks behind it.
func (c *conn) admitted(user, database string) error {
	a := c.srv.access
	if a == nil { // a test of the protocol alone
		return nil
	}
	p := &peer{user: user, database: database, addr: hostAddr(c.nc.RemoteAddr()), server: hostAddr(c.nc.LocalAddr()), tls: c.secure, cat: a.catalog()}
	rules := a.rules.Load()
	rule := rules.find(p)
	if err := c.prove(p, rule); err != nil {
		return err
	}
	cat := a.catalog()
	role := cat.RoleByName(user)
	switch {
	case role == nil && rules.builtin && rule.method == methodTrust:
		role = cat.Role(catalog.OwnerOID) // under the name that they gave
	case role == nil:
		return fatalError(pgerr.InvalidAuthorization, "role \"%s\" does not exist", user)
	case !role.Login:
		return fatalError(pgerr.InvalidAuthorization, "role \"%s\" is not permitted to log in", user)
	}
	if err := c.srv.reserve(role.Super); err != nil {
		return err
	}
	c.reserved = true
	if !a.hasDatabase(rules, database) {
		return fatalError(pgerr.InvalidCatalogName, "database \"%s\" does not exist", database)
	}
	if o := cat.DatabaseObject(database); cat.Granted(role.OID, &o, catalog.PrivConnect, false) == 0 {
		return fatalError(pgerr.InsufficientPrivilege, "permission denied for database \"%s\"", database).WithDetail("User does not have CONNECT privilege.")
	}
	return nil
}

// hasDatabase reports whether the database goes by a name. There is one; without rules of its own and names for it, it takes the name that a client asks for.
func (a *access) hasDatabase(rules *Rules, database string) bool {
	if len(a.databases) > 0 {
		return slices.Contains(a.databases, database)
	}
	return rules.builtin || database == "streamsql" || database == "postgres"
}

// prove has the client prove who it is, in the way that the rule asks for.
func (c *conn) prove(p *peer, rule *hbaRule) error {
	encryption := "no encryption"
	if p.tls {
		encryption = "SSL encryption"
	}
	host := "[local]"
	if p.addr.IsValid() {
		host = p.addr.String()
	}
	switch {
	case rule == nil:
		return fatalError(pgerr.InvalidAuthorization, "no pg_hba.conf entry for host \"%s\", user \"%s\", database \"%s\", %s", host, p.user, p.database, encryption)
	case rule.method == methodReject:
		return fatalError(pgerr.InvalidAuthorization, "pg_hba.conf rejects connection for host \"%s\", user \"%s\", database \"%s\", %s", host, p.user, p.database, encryption)
	case rule.method == methodTrust:
		return nil
	}
	v, doomed := c.verifier(p)
	var err error
	if rule.method == methodPassword {
		err = c.cleartext(v)
	} else {
		err = c.sasl(v, doomed)
	}
	if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() {
		return fatalError(pgerr.QueryCanceled, "canceling authentication due to timeout")
	}
	if errors.Is(err, scram.ErrMismatch) || err == nil && doomed {
		return fatalError(pgerr.InvalidPassword, "password authentication failed for user \"%s\"", p.user)
	}
	return err
}

// verifier gives what a password is checked with. Of a user without one, or whose password has expired, it is one that nothing matches, and doomed
// is true: the client cannot tell the difference.
func (c *conn) verifier(p *peer) (v *scram.Verifier, doomed bool) {
	if r := p.cat.RoleByName(p.user); r != nil && (r.ValidUntil == nil || *r.ValidUntil > time.Now().UnixMicro()) {
		if v, ok := scram.ParseVerifier(r.Password); ok {
			return v, false
		}
	}
	return scram.Mock(c.srv.access.secret, p.user), true
}

// cleartext asks for the password itself.
func (c *conn) cleartext(v *scram.Verifier) error {
	c.w.send(&pgproto3.AuthenticationCleartextPassword{})
	if err := c.w.flush(); err != nil {
		return err
	}
	body, err := c.in.response(maxPasswordMessage, "password")
	if err != nil {
		return err
	}
	n := len(body) - 1
	if n < 0 || strings.IndexByte(string(body), 0) != n {
		return fatalError(pgerr.ProtocolViolation, "invalid password packet size")
	}
	if n == 0 {
		return fatalError(pgerr.InvalidPassword, "empty password returned by client")
	}
	if !v.Matches(string(body[:n])) {
		return scram.ErrMismatch
	}
	return nil
}

// sasl carries out SCRAM-SHA-256, with channel binding where the connection is encrypted and the client can.
func (c *conn) sasl(v *scram.Verifier, doomed bool) error {
	mechanisms := []string{scram.SHA256}
	if c.binding != nil {
		mechanisms = []string{scram.SHA256Plus, scram.SHA256}
	}
	c.w.send(&pgproto3.AuthenticationSASL{AuthMechanisms: mechanisms})
	if err := c.w.flush(); err != nil {
		return err
	}
	body, err := c.in.response(maxSASLMessage, "SASL")
	if err != nil {
		return err
	}
	mechanism, first, ok := saslInitial(body)
	if !ok {
		return fatalError(pgerr.ProtocolViolation, "invalid message format")
	}
	if !slices.Contains(mechanisms, mechanism) {
		return fatalError(pgerr.ProtocolViolation, "client selected an invalid SASL authentication mechanism")
	}
	s, err := scram.NewServer(v, doomed, mechanism, c.binding)
	if err != nil {
		return err
	}
	if first == nil { // the client waits to be asked for its first message
		c.w.send(&pgproto3.AuthenticationSASLContinue{})
		if err := c.w.flush(); err != nil {
			return err
		}
		if first, err = c.in.response(maxSASLMessage, "SASL"); err != nil {
			return err
		}
	}
	answer, err := s.First(string(first))
	if err != nil {
		return scramError(err)
	}
	c.w.send(&pgproto3.AuthenticationSASLContinue{Data: []byte(answer)})
	if err := c.w.flush(); err != nil {
		return err
	}
	last, err := c.in.response(maxSASLMessage, "SASL")
	if err != nil {
		return err
	}
	if answer, err = s.Final(string(last)); err != nil {
		return scramError(err)
	}
	c.w.send(&pgproto3.AuthenticationSASLFinal{Data: []byte(answer)})
	return nil
}

// saslInitial reads SASLInitialResponse: a mechanism and perhaps the client's first message; first nil: there is none.
func saslInitial(body []byte) (mechanism string, first []byte, ok bool) {
	name, rest, found := strings.Cut(string(body), "\x00")
	if !found || len(rest) < 4 {
		return "", nil, false
	}
	n := int32(binary.BigEndian.Uint32([]byte(rest)))
	switch {
	case n == -1 && len(rest) == 4:
		return name, nil, true
	case n < 0 || int(n) != len(rest)-4:
		return "", nil, false
	}
	return name, []byte(rest[4:]), true
}

func scramError(err error) error {
	var m *scram.Malformed
	var b *scram.BindingError
	switch {
	case errors.As(err, &m):
		return fatalError(pgerr.ProtocolViolation, "malformed SCRAM message").WithDetail("%s", m.Detail)
	case errors.As(err, &b):
		return fatalError(pgerr.InvalidAuthorization, "%s", b.Text)
	}
	return err
}

// CheckListen refuses an address that other machines can reach unless whoever comes from there must give a password over TLS (F0000). Serve
// refuses the same.
func CheckListen(addr net.Addr, o Options, e *engine.Engine) error {
	cat := e.Catalog()
	host := hostAddr(addr)
	if o.Insecure || !host.IsValid() || host.IsLoopback() {
		return nil
	}
	refuse := func(why, hint string) error {
		return pgerr.New(pgerr.ConfigFileError, "%s can be reached from other machines, and %s", addr, why).WithHint("%s", hint)
	}
	if o.Certificate == nil {
		return refuse("connections would not be encrypted", "Give a certificate with --tls-cert and --tls-key, listen on 127.0.0.1, or say --insecure if the network is safe.")
	}
	rules := o.Rules
	if rules == nil {
		rules = builtinRules()
	}
	if line := rules.open(); line != "" {
		return refuse("the rule \""+line+"\" lets others in without a password over TLS",
			"Make it hostssl with scram-sha-256, or say --insecure if the network is safe.")
	}
	if !slices.ContainsFunc(cat.Roles(), func(r *catalog.Role) bool { return r.Login && r.Password != "" }) {
		return refuse("no role has a password", "Connect on 127.0.0.1 first and give one: ALTER ROLE streamsql PASSWORD '...'; it is kept with --data.")
	}
	return nil
}
