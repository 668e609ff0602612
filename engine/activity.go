package engine

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"

	"streamsql/catalog"
	"streamsql/internal/fn"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/parser/ast"
)

// activity is what other sessions may see of a session, and do to it.
type activity struct {
	mu                sync.Mutex
	query             string // what runs or ran last
	application       string
	state             string
	queryAt, changeAt vec.Time
	txAt              vec.Time // of the transaction that is open, 0 none
	cancel, terminate func()   // nil: nobody can
	user              string   // the name of the session user
}

// Control says how others may cancel what the session runs, and how they may end it: pg_cancel_backend and pg_terminate_backend call the functions, from any
// goroutine.
func (s *Session) Control(cancel, terminate func()) {
	a := &s.activity
	a.mu.Lock()
	defer a.mu.Unlock()
	a.cancel, a.terminate = cancel, terminate
}

// began notes a statement for pg_stat_activity.
func (s *Session) began(p Parsed) {
	app, _ := s.vars.get("application_name")
	now, user := s.e.clock(), s.roleName(s.who.session)
	txAt := now
	if s.tx != nil {
		txAt = s.tx.started
	}
	a := &s.activity
	a.mu.Lock()
	defer a.mu.Unlock()
	a.query, a.application, a.user, a.state, a.queryAt, a.changeAt, a.txAt = withoutSecrets(p), app, user, "active", now, now, txAt
}

// Idle notes that the session waits for its client, for pg_stat_activity.
func (s *Session) Idle() {
	now := s.e.clock()
	a := &s.activity
	a.mu.Lock()
	defer a.mu.Unlock()
	a.changeAt = now
	switch s.TxStatus() {
	case 'T':
		a.state = "idle in transaction"
	case 'E':
		a.state = "idle in transaction (aborted)"
	default:
		a.state, a.txAt = "idle", 0
	}
}

// withoutSecrets gives the text of a statement as others may see it: without its literals where one of them is a password or the value of a secret.
func withoutSecrets(p Parsed) string {
	switch x := p.Stmt.(type) {
	case *ast.CreateRole:
		return withoutLiterals(p.Text)
	case *ast.AlterRole:
		if x.Set == nil {
			return withoutLiterals(p.Text)
		}
	case *ast.CreateOther:
		if x.Kind == "secret" {
			return withoutLiterals(p.Text)
		}
	}
	return p.Text
}

// withoutLiterals gives a text with the content of its string literals replaced. What follows one that it cannot tell the end of is left out.
func withoutLiterals(text string) string {
	i := strings.IndexAny(text, "'$")
	if i < 0 {
		return text
	}
	return strings.TrimRight(text[:i], " eEuU&") + " '********'"
}

// activityRows gives the rows of pg_stat_activity. What a session does is for its own role, and those that may see everything.
func (s *Session) activityRows(b *vec.Builder) {
	at := func(t vec.Time) types.Datum {
		if t == 0 {
			return nil
		}
		return t
	}
	for _, o := range s.e.liveSessions() {
		a := &o.activity
		a.mu.Lock()
		row := map[string]types.Datum{"datid": int64(catalog.DatabaseOID), "datname": o.database, "pid": o.pid, "usesysid": int64(o.authenticated()),
			"usename": a.user, "application_name": a.application, "backend_start": o.started, "backend_type": "client backend"}
		if s.seesSession(o) {
			row["xact_start"], row["query_start"], row["state_change"], row["query"] = at(a.txAt), at(a.queryAt), at(a.changeAt), a.query
			row["state"] = a.state
			if host, port, err := net.SplitHostPort(o.remote); err == nil {
				if addr, err := netip.ParseAddr(host); err == nil {
					if d, err := types.ParseText(&s.vars.env, types.Of(types.OIDInet), addr.Unmap().String()); err == nil {
						row["client_addr"] = d
					}
				}
				if n, err := strconv.Atoi(port); err == nil {
					row["client_port"] = int32(n)
				}
			}
		} else {
			row["query"] = "<insufficient privilege>"
		}
		a.mu.Unlock()
		appendByName(b, row)
	}
}

var _ fn.Signals = (*sessionInfo)(nil)

// Signal answers pg_cancel_backend and pg_terminate_backend.
func (i *sessionInfo) Signal(pid int32, terminate bool) (bool, error) {
	s := i.s
	s.e.sessions.Lock()
	o := s.e.sessions.m[pid]
	s.e.sessions.Unlock()
	if o == nil {
		s.warning(pgerr.Warning, "PID %d is not a PostgreSQL server process", pid)
		return false, nil
	}
	cat := i.cat
	me := s.role()
	target := cat.Role(o.authenticated())
	if target == nil {
		target = &catalog.Role{OID: o.authenticated()}
	}
	if target.Super && !me.Super {
		if terminate {
			return false, pgerr.New(pgerr.InsufficientPrivilege, "must be a superuser to terminate superuser process")
		}
		return false, pgerr.New(pgerr.InsufficientPrivilege, "must be a superuser to cancel superuser query")
	}
	if !cat.HasPrivilegesOf(me.OID, target.OID) && !cat.HasPrivilegesOf(me.OID, catalog.RoleSignalBackend) {
		if terminate {
			return false, pgerr.New(pgerr.InsufficientPrivilege, "must be a member of the role whose process is being terminated or member of pg_signal_backend")
		}
		return false, pgerr.New(pgerr.InsufficientPrivilege, "must be a member of the role whose query is being canceled or member of pg_signal_backend")
	}
	o.activity.mu.Lock()
	f := o.activity.cancel
	if terminate {
		f = o.activity.terminate
	}
	o.activity.mu.Unlock()
	if f == nil {
		return false, nil
	}
	f()
	return true, nil
}
