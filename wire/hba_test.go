package wire

import (
	"net/netip"
	"testing"

	"streamsql/catalog"
)

func TestRules(t *testing.T) {
	r, bad := parseRules(`# who may come in
local   all        all                              trust
host    all        "all"     10.0.0.0/8             reject
host    db1,db2    anna, bert  10.1.0.0 255.255.0.0  password # with a mask
hostssl sameuser   all       all                    scram-sha-256
hostnossl all      +staff    ::1/128                md5
host    samerole   all       192.168.0.1/32         trust
host    replication all      all                    trust
`)
	if bad != nil {
		t.Fatal(bad.err)
	}
	cat := catalog.NewSnapshot(catalog.SystemRelations())
	staff := &catalog.Role{OID: 20000, Name: "staff"}
	carl := &catalog.Role{OID: 20001, Name: "carl", MemberOf: []catalog.Membership{{Role: 20000}}}
	cat = cat.WithRole(staff).WithRole(carl)
	for _, c := range []struct {
		user, database, addr string
		tls                  bool
		line                 int
	}{
		{"x", "y", "", false, 2},
		{"all", "y", "10.2.3.4", false, 3},
		{"anna", "db2", "10.1.2.3", false, 4},
		{"bert", "db1", "10.1.2.3", true, 4},
		{"bert", "db3", "10.1.2.3", true, 0},
		{"bert", "db1", "10.2.2.3", false, 0},
		{"x", "x", "8.8.8.8", true, 5},
		{"x", "x", "8.8.8.8", false, 0},
		{"carl", "y", "::1", false, 6},
		{"carl", "y", "::1", true, 0},
		{"streamsql", "y", "::1", false, 0}, // a superuser is no member of what a rule names
		{"carl", "staff", "192.168.0.1", false, 7},
		{"x", "staff", "192.168.0.1", false, 0},
	} {
		p := &peer{user: c.user, database: c.database, tls: c.tls, cat: cat}
		if c.addr != "" {
			p.addr = netip.MustParseAddr(c.addr)
		}
		line := 0
		if x := r.find(p); x != nil {
			line = x.line
		}
		if line != c.line {
			t.Errorf("%+v: line %d, want %d", c, line, c.line)
		}
	}
	for text, want := range map[string]string{
		"tcp all all all trust":        `invalid connection type "tcp"`,
		"host":                         "end-of-line before database specification",
		"host all":                     "end-of-line before role specification",
		"host all all":                 "end-of-line before IP address specification",
		"host all all 127.0.0.1/32":    "end-of-line before authentication method",
		"host all all 127.0.0.1 trust": `invalid IP mask "trust"`,
		"host all all 127.0.0.1 255.0.255.0 trust": `invalid IP mask "255.0.255.0"`,
		"host all all 127.0.0.1/99 trust":          `invalid IP address "127.0.0.1/99"`,
		"host all all all ldap":                    `invalid authentication method "ldap"`,
		"host all all all trust clientcert=1":      `unrecognized authentication option name: "clientcert"`,
		"host all all all trust x":                 "authentication option not in name=value format: x",
		"host all @file all trust":                 "files of names are not supported",
		"host all \"a all trust":                   "unterminated quoted string",
	} {
		if _, bad := parseRules(text); bad == nil || bad.err != want {
			t.Errorf("%s: %v, want %s", text, bad, want)
		}
	}
	for text, open := range map[string]bool{"host all all all trust": true, "host all all all scram-sha-256": true, "hostssl all all all trust": true,
		"hostssl all all all scram-sha-256": false, "host all all 127.0.0.1/32 trust": false, "host all all 127.0.0.1/0 trust": true, "host all all all reject": false,
		"local all all trust": false, "hostnossl all all 10.0.0.0/8 password": true} {
		if r, _ := parseRules(text); (r.open() != "") != open {
			t.Errorf("%s: %q", text, r.open())
		}
	}
}
