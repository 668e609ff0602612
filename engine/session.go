package engine

import (
	"context"
	"slices"
	"strings"

	"streamsql/catalog"
	"streamsql/exec"
	"streamsql/internal/fn"
	"streamsql/internal/mem"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/parser"
	"streamsql/sql/planner"
	"streamsql/state"
)

// SessionOptions describe who connects.
type SessionOptions struct {
	User, Database string
	// Settings are start-up parameters (application_name, client_encoding, DateStyle, ...); unknown ones are ignored.
	Settings   map[string]string
	RemoteAddr string
}

// Session is one connection's state: settings, transaction, prepared statements
// and portals. It is used by one goroutine at a time.
type Session struct {
	e          *Engine
	pid        int32
	who        sessionIdentity
	database   string
	remote     string
	vars       *vars
	notices    []*Notice
	statements map[string]*Statement
	portals    map[string]*namedPortal
	tx         *tx
	started    vec.Time
	// currvals are what sequences have given to the session; lastSequence is the one that gave last.
	currvals     map[uint32]int64
	lastSequence uint32
	hasTemp      bool // it has, or had, temporary relations
	calls        calls
	// pinned are the tables that the transaction has changed as a statement with others in its WITH found them, nil outside of such a statement.
	pinned   map[uint32]*state.TableSnapshot
	query    string // what runs or ran last
	activity activity
}

// namedPortal is an entry of the namespace that SQL cursors and protocol portals share.
type namedPortal struct {
	Portal
	cursor bool // made by DECLARE
	hold   bool
	failed bool // an error has ended it
	text   string
	made   vec.Time
}

// DefaultUser and DefaultDatabase are what a session gets that names none.
const (
	DefaultUser     = "streamsql"
	DefaultDatabase = "streamsql"
)

// NewSession opens a session.
func (e *Engine) NewSession(o SessionOptions) (*Session, error) {
	if e.closed.Load() {
		return nil, pgerr.New(pgerr.CannotConnectNow, "the database system is shutting down")
	}
	if o.User == "" {
		o.User = DefaultUser
	}
	if o.Database == "" {
		o.Database = o.User
	}
	s := &Session{e: e, database: o.Database, remote: o.RemoteAddr, vars: newVars(),
		statements: map[string]*Statement{}, portals: map[string]*namedPortal{}, started: e.clock()}
	s.login(o.User)
	if err := s.roleSettings(); err != nil {
		return nil, err
	}
	if n := e.budget.Limit(); n > 0 {
		s.vars.defaults["memory_limit"] = strings.ReplaceAll(mem.Format(n), " ", "")
	}
	for k, v := range o.Settings {
		key := strings.ToLower(k)
		i, ok := settingIndex[key]
		if !ok || settings[i].readonly {
			continue
		}
		if key == "datestyle" {
			merged, err := dateStyle(s.vars.defaults[key], v)
			if err != nil {
				return nil, err
			}
			v = merged
		}
		v, err := settings[i].check(v)
		if err != nil {
			return nil, err
		}
		if key == "client_encoding" {
			v = strings.Trim(v, "'")
		}
		if err := s.vars.apply(key, v); err != nil {
			return nil, err
		}
		if key == "client_encoding" {
			v = "UTF8"
		}
		s.vars.defaults[key] = v
	}
	s.vars.env.RegName = func(t types.T, oid uint32) (string, bool) {
		return (&sessionInfo{s: s, cat: s.catalog()}).RegName(t, oid)
	}
	if err := s.checkLimit(); err != nil {
		return nil, err
	}
	app, _ := s.vars.get("application_name")
	s.activity = activity{application: app, state: "idle", changeAt: s.started, user: s.roleName(s.who.session)}
	e.sessions.Lock()
	e.sessions.nextPID++
	s.pid = e.sessions.nextPID
	e.sessions.m[s.pid] = s
	e.sessions.Unlock()
	return s, nil
}

// PID identifies the session to cancel requests and pg_stat_activity.
func (s *Session) PID() int32 { return s.pid }

// Close ends the session: its portals and its transaction are dropped.
func (s *Session) Close() {
	for name := range s.portals {
		s.dropPortal(name)
	}
	s.rollback()
	s.dropTemp()
	s.e.sessions.Lock()
	delete(s.e.sessions.m, s.pid)
	s.e.sessions.Unlock()
}

// Notices takes the notices that have gathered since the last call.
func (s *Session) Notices() []*Notice {
	n := s.notices
	s.notices = nil
	return n
}

// notice queues a message for the client unless client_min_messages leaves it out.
func (s *Session) notice(n *pgerr.Error) {
	if n.Severity == "" {
		n.Severity = "NOTICE"
	}
	levels := []string{"debug5", "debug4", "debug3", "debug2", "debug1", "log", "notice", "warning", "error"}
	least, _ := s.vars.get("client_min_messages")
	if slices.Index(levels, strings.ToLower(n.Severity)) < slices.Index(levels, strings.ToLower(least)) {
		return
	}
	s.notices = append(s.notices, n)
}

func (s *Session) warning(code, format string, args ...any) {
	n := pgerr.New(code, format, args...)
	n.Severity = "WARNING"
	s.notice(n)
}

// ParameterChanges gives the settings reported to clients that changed since the last call.
func (s *Session) ParameterChanges() map[string]string {
	if len(s.vars.changed) == 0 {
		return nil
	}
	out := map[string]string{}
	for k := range s.vars.changed {
		out[settings[settingIndex[k]].name], _ = s.vars.get(k)
	}
	clear(s.vars.changed)
	return out
}

// ReportedParameters gives the settings that a client is told of when it connects.
func (s *Session) ReportedParameters() map[string]string {
	out := map[string]string{}
	for i := range settings {
		if settings[i].report {
			out[settings[i].name], _ = s.vars.get(settings[i].name)
		}
	}
	return out
}

// Setting gives the value of a run-time parameter.
func (s *Session) Setting(name string) (string, bool) { return s.vars.get(name) }

// Env gives the settings that text input and output depend on. It changes with SET.
func (s *Session) Env() *types.Env { return &s.vars.env }

// searchPath gives the schemas of search_path that exist, without the implicit pg_catalog.
func (s *Session) searchPath(cat *catalog.Snapshot) []string {
	v, _ := s.vars.get("search_path")
	var out []string
	super := s.role().Super
	if _, ok := cat.SchemaOID(s.tempName()); ok && s.hasTemp {
		out = append(out, s.tempName())
	}
	for _, p := range strings.Split(v, ",") {
		p = strings.TrimSpace(p)
		if len(p) >= 2 && p[0] == '"' && p[len(p)-1] == '"' {
			p = strings.ReplaceAll(p[1:len(p)-1], `""`, `"`)
		} else {
			p = strings.ToLower(p)
		}
		switch p {
		case "$user":
			p = s.userName()
		case "pg_temp":
			p = s.tempName()
		}
		if slices.Contains(out, p) {
			continue
		}
		if oid, ok := cat.SchemaOID(p); ok {
			if o := cat.SchemaObject(p, oid); super || s.seesSchema(&o) {
				out = append(out, p)
			}
		}
	}
	return out
}

// definitionSettings are the settings that the meaning of a definition depends on.
var definitionSettings = []string{"search_path", "TimeZone", "DateStyle", "IntervalStyle"}

// keepSettings notes in a relation what its definition was written under.
func (s *Session) keepSettings(rel *catalog.Relation) {
	rel.Path = s.searchPath(s.e.Catalog())
	rel.Settings = map[string]string{}
	for _, name := range definitionSettings {
		rel.Settings[name], _ = s.vars.get(name)
	}
}

// takeSettings makes the session one in which the definition of rel means what it did when it was written.
func (s *Session) takeSettings(rel *catalog.Relation) error {
	s.login(s.e.Catalog().OwnerRole(rel.Owner).Name)
	for name, v := range rel.Settings {
		if err := s.vars.set(name, v, false); err != nil {
			return err
		}
	}
	return nil
}

// Parse splits a query string into statements. Positions in them are characters of the whole string.
func (s *Session) Parse(sql string) ([]Parsed, error) {
	// A syntax tree takes many times the room of its text.
	if len(sql) >= mem.LargeBlock/8 {
		const perPart = 200
		if err := s.e.statements.Ask(int64(4*len(sql) + perPart*strings.Count(sql, ","))); err != nil {
			return nil, err
		}
	}
	stmts, err := parser.Parse(sql)
	if err != nil {
		return nil, err
	}
	out := make([]Parsed, len(stmts))
	for i, st := range stmts {
		out[i] = Parsed{Stmt: st.Stmt, Text: st.Text, Offset: st.Offset}
	}
	return out, nil
}

// fnCtx gives what functions may know of the statement that starts now.
func (s *Session) fnCtx(ctx context.Context) *fn.Ctx {
	now := s.e.clock()
	c := &fn.Ctx{Env: s.vars.env, Now: now, StmtNow: now, Clock: s.e.clock, Alloc: s.e.alloc, Memory: s.e.statements,
		Session: &sessionInfo{s: s, cat: s.catalog()}}
	if s.tx != nil && s.tx.explicit {
		c.Now = s.tx.started
	}
	c.Env.Now = c.Now
	return c
}

// planOptions gives the options to plan a statement of the session.
func (s *Session) planOptions(params []types.T, text string) *planner.Options {
	cat := s.catalog()
	fc := s.fnCtx(context.Background())
	return &planner.Options{
		Catalog: cat, SearchPath: s.searchPath(cat), Env: &fc.Env, ParamTypes: params, Text: text,
		Fold:   func(x planner.Expr) (types.Datum, error) { return exec.EvalConst(fc, x) },
		Notice: s.notice, Uses: &planner.Uses{}, Usage: s.usage,
	}
}

// readSnapshots gives the content of relations as the session sees it: the last
// epoch, and the transaction's own changes.
func (s *Session) readSnapshots(oids []uint32) (map[uint32]*state.TableSnapshot, uint64) {
	snaps, epoch := s.e.snapshots(oids)
	if s.pinned != nil {
		for oid, snap := range s.pinned {
			if slices.Contains(oids, oid) {
				snaps[oid] = snap
			}
		}
	} else if s.tx != nil {
		for oid, t := range s.tx.tables {
			if t.work != nil && slices.Contains(oids, oid) {
				snaps[oid] = t.work.Snapshot()
			}
		}
	}
	return snaps, epoch
}

// SetStatement names a prepared statement; the empty name may be taken again and again.
func (s *Session) SetStatement(name string, st *Statement) error {
	if name != "" && s.statements[name] != nil {
		return pgerr.New(pgerr.DuplicatePreparedStatement, "prepared statement \"%s\" already exists", name)
	}
	if name != "" {
		const perByte = 64 // a plan takes about as much for a byte of the text
		if err := s.e.askKept(`Prepared statement "`+name+`"`, int64(perByte*len(st.parsed.Text))); err != nil {
			return err
		}
	}
	st.name = name
	s.statements[name] = st
	return nil
}

// Statement finds a prepared statement.
func (s *Session) Statement(name string) (*Statement, error) {
	st := s.statements[name]
	if st == nil {
		if name == "" {
			return nil, pgerr.New(pgerr.InvalidSQLStatementName, "unnamed prepared statement does not exist")
		}
		return nil, pgerr.New(pgerr.InvalidSQLStatementName, "prepared statement \"%s\" does not exist", name)
	}
	return st, nil
}

// CloseStatement forgets a prepared statement; an unknown name is no error.
func (s *Session) CloseStatement(name string) { delete(s.statements, name) }

// SetPortal names a portal. The empty name replaces what had it.
func (s *Session) SetPortal(name string, p Portal) error {
	if old := s.portals[name]; old != nil {
		if name != "" {
			return pgerr.New(pgerr.DuplicateCursor, "cursor \"%s\" already exists", name)
		}
		s.dropPortal(name)
	}
	s.portals[name] = &namedPortal{Portal: p, made: s.e.clock()}
	return nil
}

// Portal finds a portal or cursor.
func (s *Session) Portal(name string) (Portal, error) {
	p := s.portals[name]
	if p == nil {
		return nil, pgerr.New(pgerr.InvalidCursorName, "portal \"%s\" does not exist", name)
	}
	return p.Portal, nil
}

// ClosePortal closes a portal or cursor; an unknown name is no error.
func (s *Session) ClosePortal(name string) { s.dropPortal(name) }

func (s *Session) dropPortal(name string) {
	if p := s.portals[name]; p != nil {
		delete(s.portals, name)
		p.Close()
	}
}

// viewer gives the session's look at the system relations.
func (s *Session) viewer() *catalog.Viewer {
	cat := s.catalog()
	return &catalog.Viewer{Snapshot: cat, Database: s.database, User: s.userName(), Role: s.who.current, Alias: s.who.alias, Path: s.searchPath(cat), Live: s.liveRows}
}
