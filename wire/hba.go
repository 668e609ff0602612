package wire

import (
	"bufio"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"streamsql/catalog"
	"streamsql/internal/pgerr"
)

// The ways to find out that a client is who it says.
const (
	methodTrust    = "trust"
	methodReject   = "reject"
	methodPassword = "password"
	methodScram    = "scram-sha-256"
)

// Rules say who may connect from where, and how they prove who they are: the first rule that fits a connection decides. They are read from a
// file of the form of pg_hba.conf.
type Rules struct {
	list []hbaRule
	// builtin rules let in, where they say trust, names that are of no role: as the bootstrap superuser.
	builtin bool
}

// hbaRule is a line of the file.
type hbaRule struct {
	line      int
	kind      string // local, host, hostssl, hostnossl
	databases []hbaName
	users     []hbaName
	address   string       // as written; "" of local
	prefix    netip.Prefix // not valid: every address
	mask      string       // as written in a column of its own
	local     bool         // samehost
	method    string
	err       string // why the line cannot be used
}

// hbaName is a name of a list; quoted ones are no key words.
type hbaName struct {
	text   string
	quoted bool
}

func (n hbaName) is(word string) bool { return !n.quoted && n.text == word }

// builtinRules are used without a file: whoever is on the machine is trusted, others need TLS and a password.
func builtinRules() *Rules {
	r, _ := parseRules("host all all 127.0.0.1/32 trust\nhost all all ::1/128 trust\nlocal all all trust\nhostssl all all all scram-sha-256\n")
	r.builtin = true
	return r
}

// ReadRules reads a file of rules. An error names the first line that cannot be used (F0000).
func ReadRules(path string) (*Rules, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, pgerr.New(pgerr.ConfigFileError, "could not open configuration file \"%s\": %v", path, err)
	}
	r, bad := parseRules(string(b))
	if bad != nil {
		return nil, pgerr.New(pgerr.ConfigFileError, "%s", bad.err).WithDetail("line %d of configuration file \"%s\"", bad.line, path)
	}
	if len(r.list) == 0 {
		return nil, pgerr.New(pgerr.ConfigFileError, "configuration file \"%s\" contains no entries", path)
	}
	return r, nil
}

// parseRules reads rules; bad is the first that cannot be used.
func parseRules(text string) (r *Rules, bad *hbaRule) {
	r = &Rules{}
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		fields, err := hbaFields(lines.Text())
		if len(fields) == 0 && err == "" {
			continue
		}
		rule := hbaRule{line: n, err: err}
		if err == "" {
			rule.err = rule.read(fields)
		}
		r.list = append(r.list, rule)
		if rule.err != "" && bad == nil {
			bad = &r.list[len(r.list)-1]
		}
	}
	if err := lines.Err(); err != nil && bad == nil {
		bad = &hbaRule{err: err.Error()}
	}
	return r, bad
}

// hbaFields splits a line into fields, each a list of names; a comment ends it.
func hbaFields(line string) (fields [][]hbaName, err string) {
	var list []hbaName
	var word []byte
	quoted, inQuotes, some := false, false, false
	endWord := func() {
		if some {
			list = append(list, hbaName{string(word), quoted})
		}
		word, quoted, some = word[:0], false, false
	}
	endField := func() {
		endWord()
		if list != nil {
			fields = append(fields, list)
		}
		list = nil
	}
	comma := false // a list goes on behind white space
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case inQuotes:
			if c == '"' {
				inQuotes = false
			} else {
				word = append(word, c)
			}
		case c == '"':
			inQuotes, quoted, some = true, true, true
		case c == '#':
			i = len(line)
		case c == ',':
			endWord()
			comma = true
			continue
		case c == ' ' || c == '\t' || c == '\r':
			if comma {
				continue
			}
			endField()
		default:
			word, some = append(word, c), true
		}
		comma = false
	}
	if inQuotes {
		return nil, "unterminated quoted string"
	}
	endField()
	return fields, ""
}

// read takes the fields of a line, and gives what is wrong with them.
func (r *hbaRule) read(f [][]hbaName) string {
	if len(f[0]) > 1 {
		return "multiple values specified for connection type"
	}
	r.kind = f[0][0].text
	switch r.kind {
	case "local", "host", "hostssl", "hostnossl":
	case "hostgssenc", "hostnogssenc":
		return "hostgssenc record cannot match because GSSAPI is not supported by this build"
	default:
		return fmt.Sprintf("invalid connection type \"%s\"", r.kind)
	}
	if len(f) < 2 {
		return "end-of-line before database specification"
	}
	if len(f) < 3 {
		return "end-of-line before role specification"
	}
	r.databases, r.users = f[1], f[2]
	for _, n := range slices.Concat(r.databases, r.users) {
		if !n.quoted && strings.HasPrefix(n.text, "@") {
			return "files of names are not supported"
		}
	}
	f = f[3:]
	if r.kind != "local" {
		if len(f) == 0 {
			return "end-of-line before IP address specification"
		}
		if len(f[0]) > 1 {
			return "multiple values specified for host address"
		}
		n, err := r.readAddress(f)
		if err != "" {
			return err
		}
		f = f[n:]
	}
	if len(f) == 0 {
		return "end-of-line before authentication method"
	}
	if len(f[0]) > 1 {
		return "multiple values specified for authentication type"
	}
	switch m := f[0][0].text; m {
	case methodTrust, methodReject, methodPassword, methodScram:
		r.method = m
	case "md5": // with a SCRAM verifier PostgreSQL takes it as this, too
		r.method = methodScram
	default:
		return fmt.Sprintf("invalid authentication method \"%s\"", m)
	}
	if len(f) > 1 {
		name, _, ok := strings.Cut(f[1][0].text, "=")
		if !ok {
			return fmt.Sprintf("authentication option not in name=value format: %s", name)
		}
		return fmt.Sprintf("unrecognized authentication option name: \"%s\"", name)
	}
	return ""
}

// readAddress reads the address, and the mask where it is a field of its own, and gives how many fields they take.
func (r *hbaRule) readAddress(f [][]hbaName) (fields int, bad string) {
	a := f[0][0]
	r.address = a.text
	switch {
	case a.is("all"):
		return 1, ""
	case a.is("samehost"):
		r.local = true
		return 1, ""
	case a.is("samenet"):
		return 0, "address \"samenet\" is not supported"
	}
	if strings.Contains(a.text, "/") {
		p, err := netip.ParsePrefix(a.text)
		if err != nil {
			return 0, fmt.Sprintf("invalid IP address \"%s\"", a.text)
		}
		r.prefix = p.Masked()
		return 1, ""
	}
	addr, err := netip.ParseAddr(a.text)
	if err != nil {
		return 0, fmt.Sprintf("host names are not supported: \"%s\"", a.text)
	}
	if len(f) < 2 {
		return 0, "end-of-line before netmask specification"
	}
	r.mask = f[1][0].text
	mask, err := netip.ParseAddr(r.mask)
	if err != nil || mask.Is4() != addr.Is4() {
		return 0, fmt.Sprintf("invalid IP mask \"%s\"", r.mask)
	}
	bits, ended := 0, false
	for _, b := range mask.AsSlice() {
		for k := 7; k >= 0; k-- {
			one := b&(1<<k) != 0
			if one && ended {
				return 0, fmt.Sprintf("invalid IP mask \"%s\"", r.mask)
			}
			if ended = !one; one {
				bits++
			}
		}
	}
	r.prefix = netip.PrefixFrom(addr, bits).Masked()
	return 2, ""
}

// peer is what a rule is matched with.
type peer struct {
	user, database string
	addr           netip.Addr // not valid: a Unix socket
	server         netip.Addr // the address that the client reached
	tls            bool
	cat            *catalog.Snapshot
}

// find gives the rule that decides; nil if none fits.
func (r *Rules) find(p *peer) *hbaRule {
	for i := range r.list {
		if r.list[i].fits(p) {
			return &r.list[i]
		}
	}
	return nil
}

func (r *hbaRule) fits(p *peer) bool {
	switch {
	case r.err != "", (r.kind == "local") == p.addr.IsValid(), r.kind == "hostssl" && !p.tls, r.kind == "hostnossl" && p.tls:
		return false
	case r.prefix.IsValid() && !r.prefix.Contains(p.addr), r.local && p.addr != p.server:
		return false
	}
	role := p.cat.RoleByName(p.user)
	member := func(group string) bool {
		of := p.cat.RoleByName(group)
		return role != nil && of != nil && granted(p.cat, role, of.OID)
	}
	return slices.ContainsFunc(r.databases, func(n hbaName) bool {
		switch {
		case n.is("all"):
			return true
		case n.is("sameuser"):
			return p.user == p.database
		case n.is("samerole"), n.is("samegroup"):
			return member(p.database)
		case n.is("replication"):
			return false
		}
		return n.text == p.database
	}) && slices.ContainsFunc(r.users, func(n hbaName) bool {
		if group, ok := strings.CutPrefix(n.text, "+"); ok && !n.quoted {
			return member(group)
		}
		return n.is("all") || n.text == p.user
	})
}

// granted is membership that was granted: a superuser is not by that a member of what a rule names.
func granted(cat *catalog.Snapshot, r *catalog.Role, of uint32) bool {
	if !r.Super {
		return cat.IsMember(r.OID, of)
	}
	return r.OID == of || slices.ContainsFunc(r.MemberOf, func(m catalog.Membership) bool { return m.Role == of })
}

// open gives the first rule that lets somebody in from beyond the machine without TLS and a password; "" if there is none.
func (r *Rules) open() string {
	for i := range r.list {
		x := &r.list[i]
		if x.kind == "local" || x.method == methodReject || x.local || x.prefix.IsValid() && x.prefix.Addr().IsLoopback() && x.prefix.Bits() >= 8 {
			continue
		}
		if x.method == methodTrust || x.kind != "hostssl" {
			return fmt.Sprintf("%s %s %s %s %s", x.kind, hbaText(x.databases), hbaText(x.users), x.address, x.method)
		}
	}
	return ""
}

func hbaText(list []hbaName) string {
	var out []string
	for _, n := range list {
		out = append(out, n.text)
	}
	return strings.Join(out, ",")
}

// texts gives the names of a list for pg_hba_file_rules.
func texts(list []hbaName) []string {
	out := []string{}
	for _, n := range list {
		out = append(out, n.text)
	}
	return out
}

// rows gives the rows of pg_hba_file_rules by column.
func (a *access) rows() (out []map[string]any) {
	r := a.rules.Load()
	for i := range r.list {
		x := &r.list[i]
		row := map[string]any{"line_number": int32(x.line)}
		if x.err != "" {
			row["error"] = x.err
			out = append(out, row)
			continue
		}
		row["type"], row["database"], row["user_name"], row["auth_method"] = x.kind, texts(x.databases), texts(x.users), x.method
		if x.kind != "local" {
			row["address"] = x.address
			if x.prefix.IsValid() {
				row["address"], row["netmask"] = x.prefix.Addr().String(), netmask(x.prefix)
			}
		}
		out = append(out, row)
	}
	return out
}

func netmask(p netip.Prefix) string {
	b := make([]byte, len(p.Addr().AsSlice()))
	for i := range p.Bits() {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a.String()
}
