package wire

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"streamsql/engine"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// fakeBackend has sessions whose statements block, flood, fail and panic at will:
//
//	rows N     N rows (n int4, t text)
//	stream     a row each 10 ms, for ever
//	hang       nothing, for ever
//	flood      rows without end, as fast as they are taken
//	fail       22012
//	panic
//	echo       its parameter $1 int4
//	copy out N, copy in
//	begin, commit, set NAME VALUE, notice, nothing (no rows)
type fakeBackend struct {
	sessions atomic.Int32 // open now
	running  atomic.Int32 // portals open now
	copied   atomic.Value // what the last COPY IN got
	commits  atomic.Int32
}

type fakeSession struct {
	b       *fakeBackend
	pid     int32
	tx      byte
	notices []*engine.Notice
	changes map[string]string
	vars    map[string]string
	stmts   map[string]statement
	portals map[string]engine.Portal
}

var fakePIDs atomic.Int32

func (b *fakeBackend) NewSession(o engine.SessionOptions) (session, error) {
	if o.Database == "nowhere" {
		return nil, pgerr.New(pgerr.InvalidCatalogName, "database \"nowhere\" does not exist")
	}
	b.sessions.Add(1)
	vars := map[string]string{"server_version": "15.0", "client_encoding": "UTF8", "session_authorization": o.User}
	for k, v := range o.Settings {
		vars[k] = v
	}
	return &fakeSession{b: b, pid: fakePIDs.Add(1), tx: 'I', vars: vars, stmts: map[string]statement{}, portals: map[string]engine.Portal{}}, nil
}

func (s *fakeSession) PID() int32 { return s.pid }

func (s *fakeSession) Close() {
	for name := range s.portals {
		s.ClosePortal(name)
	}
	s.b.sessions.Add(-1)
}

func (s *fakeSession) Notices() []*engine.Notice {
	n := s.notices
	s.notices = nil
	return n
}

func (s *fakeSession) ParameterChanges() map[string]string {
	c := s.changes
	s.changes = nil
	return c
}

func (s *fakeSession) ReportedParameters() map[string]string { return s.vars }
func (s *fakeSession) Setting(name string) (string, bool)    { v, ok := s.vars[name]; return v, ok }
func (s *fakeSession) Env() *types.Env                       { return &types.Env{} }
func (s *fakeSession) TxStatus() byte                        { return s.tx }
func (s *fakeSession) BeginImplicit()                        {}

func (s *fakeSession) EndImplicit(_ context.Context, err error) error {
	if err == nil {
		s.b.commits.Add(1)
	} else if s.tx == 'T' {
		s.tx = 'E'
	}
	return nil
}

func (s *fakeSession) Parse(sql string) ([]engine.Parsed, error) {
	var out []engine.Parsed
	for _, p := range strings.Split(sql, ";") {
		if p = strings.TrimSpace(p); p != "" {
			out = append(out, engine.Parsed{Text: p})
		}
	}
	if strings.Contains(sql, "syntax") {
		return nil, pgerr.New(pgerr.SyntaxError, "syntax error at or near \"syntax\"").At(strings.Index(sql, "syntax") + 1).WithHint("Do not.")
	}
	return out, nil
}

type fakeStatement struct {
	words  []string
	params []types.T
}

func (st *fakeStatement) Params() []types.T { return st.params }

var fakeColumns = []engine.Column{{Name: "n", Type: types.Int4}, {Name: "t", Type: types.Text}}

func (st *fakeStatement) Columns() []engine.Column {
	switch st.words[0] {
	case "rows", "stream", "hang", "flood", "fail":
		return fakeColumns
	case "echo":
		return fakeColumns[:1]
	}
	return nil
}

func (s *fakeSession) Prepare(_ context.Context, p engine.Parsed, _ []types.T) (statement, error) {
	st := &fakeStatement{words: strings.Fields(p.Text)}
	if s.tx == 'E' && st.words[0] != "commit" {
		return nil, pgerr.New(pgerr.InFailedSQLTransaction, "current transaction is aborted, commands ignored until end of transaction block")
	}
	if st.words[0] == "echo" {
		st.params = []types.T{types.Int4}
	}
	return st, nil
}

func (s *fakeSession) SetStatement(name string, st statement) error {
	if name != "" && s.stmts[name] != nil {
		return pgerr.New(pgerr.DuplicatePreparedStatement, "prepared statement \"%s\" already exists", name)
	}
	s.stmts[name] = st
	return nil
}

func (s *fakeSession) Statement(name string) (statement, error) {
	if st := s.stmts[name]; st != nil {
		return st, nil
	}
	return nil, pgerr.New(pgerr.InvalidSQLStatementName, "prepared statement \"%s\" does not exist", name)
}

func (s *fakeSession) CloseStatement(name string) { delete(s.stmts, name) }

func (s *fakeSession) Bind(_ context.Context, st statement, args []types.Datum) (engine.Portal, error) {
	f := st.(*fakeStatement)
	p := &fakePortal{s: s, st: f, args: args, left: -1}
	if len(f.words) > 1 {
		p.left, _ = strconv.Atoi(f.words[len(f.words)-1])
	}
	s.b.running.Add(1)
	return p, nil
}

func (s *fakeSession) SetPortal(name string, p engine.Portal) error {
	if s.portals[name] != nil && name != "" {
		return pgerr.New(pgerr.DuplicateCursor, "cursor \"%s\" already exists", name)
	}
	s.ClosePortal(name)
	s.portals[name] = p
	return nil
}

func (s *fakeSession) Portal(name string) (engine.Portal, error) {
	if p := s.portals[name]; p != nil {
		return p, nil
	}
	return nil, pgerr.New(pgerr.InvalidCursorName, "portal \"%s\" does not exist", name)
}

func (s *fakeSession) ClosePortal(name string) {
	if p := s.portals[name]; p != nil {
		delete(s.portals, name)
		p.Close()
	}
}

func (s *fakeSession) CopyIn(p engine.Portal) copyIn {
	if f, ok := p.(*fakePortal); ok && f.is("copy", "in") {
		return &fakeCopyIn{b: s.b}
	}
	return nil
}

type fakeCopyIn struct {
	b    *fakeBackend
	data []byte
}

func (c *fakeCopyIn) Format() *engine.CopyFormat { return textCopy }
func (c *fakeCopyIn) Columns() int               { return 2 }
func (c *fakeCopyIn) Fail(msg string) error {
	return pgerr.New(pgerr.QueryCanceled, "COPY from stdin failed: %s", msg)
}
func (c *fakeCopyIn) Write(data []byte) error {
	c.data = append(c.data, data...)
	if strings.Contains(string(data), "bad") {
		return pgerr.New(pgerr.BadCopyFileFormat, "bad row")
	}
	return nil
}

func (c *fakeCopyIn) Finish(context.Context) (string, error) {
	c.b.copied.Store(string(c.data))
	return fmt.Sprintf("COPY %d", strings.Count(string(c.data), "\n")), nil
}

var textCopy = &engine.CopyFormat{Format: "text", Delimiter: '\t', Null: `\N`}

type fakePortal struct {
	s      *fakeSession
	st     *fakeStatement
	args   []types.Datum
	left   int
	n      int32
	closed bool
}

func (p *fakePortal) is(words ...string) bool {
	for i, w := range words {
		if i >= len(p.st.words) || p.st.words[i] != w {
			return false
		}
	}
	return true
}

func (p *fakePortal) Columns() []engine.Column {
	if p.is("copy", "out") {
		return fakeColumns
	}
	return p.st.Columns()
}

func (p *fakePortal) CopyOut() *engine.CopyFormat {
	if p.is("copy", "out") {
		return textCopy
	}
	return nil
}

func (p *fakePortal) CopyIn() *engine.CopyIn { return nil }
func (p *fakePortal) Continuous() bool       { return p.is("stream") || p.is("hang") || p.is("flood") }

func (p *fakePortal) Tag(rows int64) string {
	switch {
	case p.is("copy"):
		return fmt.Sprintf("COPY %d", rows)
	case p.Columns() == nil:
		return strings.ToUpper(p.st.words[0])
	}
	return fmt.Sprintf("SELECT %d", rows)
}

func (p *fakePortal) Close() {
	if !p.closed {
		p.closed = true
		p.s.b.running.Add(-1)
	}
}

func (p *fakePortal) batch(n int) *vec.Batch {
	rows := make([][]types.Datum, n)
	for i := range rows {
		p.n++
		text := types.Datum(fmt.Sprintf("row %d", p.n))
		if p.is("flood") {
			text = strings.Repeat("x", 1000)
		} else if p.n%2 == 0 {
			text = nil
		}
		rows[i] = []types.Datum{p.n, text}
	}
	return makeBatch(fakeColumns, rows)
}

func (p *fakePortal) Fetch(ctx context.Context, max int) (*vec.Batch, bool, error) {
	switch p.st.words[0] {
	case "begin":
		p.s.tx = 'T'
	case "commit":
		p.s.tx = 'I'
	case "set":
		p.s.vars[p.st.words[1]] = p.st.words[2]
		p.s.changes = map[string]string{p.st.words[1]: p.st.words[2]}
	case "notice":
		p.s.notices = append(p.s.notices, pgerr.New(pgerr.SuccessfulCompletion, "mind this"))
	case "fail":
		return nil, true, pgerr.New(pgerr.DivisionByZero, "division by zero").WithDetail("a\x00b")
	case "panic":
		panic("as asked")
	case "hang":
		<-ctx.Done()
		return nil, false, pgerr.New(pgerr.QueryCanceled, "canceling statement")
	case "stream":
		select {
		case <-ctx.Done():
			return nil, false, pgerr.New(pgerr.QueryCanceled, "canceling statement")
		case <-time.After(10 * time.Millisecond):
			return p.batch(1), false, nil
		}
	case "flood":
		return p.batch(max0(max, 500)), false, nil
	case "echo":
		return makeBatch(fakeColumns[:1], [][]types.Datum{{p.args[0]}}), true, nil
	case "rows", "copy":
		n := min(p.left, max0(max, 700))
		p.left -= n
		return p.batch(n), p.left == 0, nil
	}
	return nil, true, nil
}

func max0(max, n int) int {
	if max == 0 {
		return n
	}
	return min(max, n)
}
