package wire

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgproto3/v2"
	"go.uber.org/goleak"

	"streamsql/internal/pgerr"
	"streamsql/internal/types"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serveFake serves a fake backend for the time of a test.
func serveFake(t testing.TB, o Options) (*fakeBackend, string) {
	t.Helper()
	b := &fakeBackend{}
	return b, serveBackend(t, b, o)
}

func serveBackend(t testing.TB, b backend, o Options) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- newServer(b, o).serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("serve: %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("the server does not stop")
		}
	})
	return ln.Addr().String()
}

// client speaks the protocol message by message.
type client struct {
	t   testing.TB
	nc  net.Conn
	fe  *pgproto3.Frontend
	pid uint32
	key uint32
}

func dial(t testing.TB, addr string) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(15 * time.Second))
	return nc
}

// connect logs in and waits until the server is ready.
func connect(t testing.TB, addr string, params ...string) *client {
	t.Helper()
	nc := dial(t, addr)
	c := &client{t: t, nc: nc, fe: pgproto3.NewFrontend(pgproto3.NewChunkReader(nc), nc)}
	m := &pgproto3.StartupMessage{ProtocolVersion: version3, Parameters: map[string]string{"user": "tester"}}
	for i := 0; i < len(params); i += 2 {
		m.Parameters[params[i]] = params[i+1]
	}
	c.send(m)
	for _, s := range c.until("ready I") {
		if strings.HasPrefix(s, "key ") {
			fmt.Sscanf(s, "key %d %d", &c.pid, &c.key)
		}
	}
	return c
}

func (c *client) send(ms ...pgproto3.FrontendMessage) {
	c.t.Helper()
	var b []byte
	for _, m := range ms {
		var err error
		if b, err = m.Encode(b); err != nil {
			c.t.Fatal(err)
		}
	}
	if _, err := c.nc.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

// next gives the next message in one line of text.
func (c *client) next() string {
	c.t.Helper()
	m, err := c.fe.Receive()
	if err != nil {
		return "closed"
	}
	switch m := m.(type) {
	case *pgproto3.ReadyForQuery:
		return "ready " + string(m.TxStatus)
	case *pgproto3.RowDescription:
		s := "columns"
		for _, f := range m.Fields {
			s += fmt.Sprintf(" %s:%d:%d:%d", f.Name, f.DataTypeOID, f.DataTypeSize, f.Format)
		}
		return s
	case *pgproto3.DataRow:
		s := "row"
		for _, v := range m.Values {
			if v == nil {
				s += " NULL"
			} else if len(v) == 4 && v[0] == 0 {
				s += fmt.Sprintf(" 0x%x", v)
			} else {
				s += " " + string(v)
			}
		}
		return s
	case *pgproto3.CommandComplete:
		return "done " + string(m.CommandTag)
	case *pgproto3.ErrorResponse:
		s := fmt.Sprintf("%s %s %s", m.Severity, m.Code, m.Message)
		if m.Position != 0 {
			s += fmt.Sprintf(" at %d", m.Position)
		}
		return s
	case *pgproto3.NoticeResponse:
		return fmt.Sprintf("%s %s %s", m.Severity, m.Code, m.Message)
	case *pgproto3.ParameterStatus:
		return "parameter " + m.Name + "=" + m.Value
	case *pgproto3.BackendKeyData:
		return fmt.Sprintf("key %d %d", m.ProcessID, m.SecretKey)
	case *pgproto3.ParameterDescription:
		return fmt.Sprintf("parameters %v", m.ParameterOIDs)
	case *pgproto3.CopyData:
		return "data " + strings.TrimSuffix(string(m.Data), "\n")
	case *pgproto3.CopyOutResponse:
		return fmt.Sprintf("copy out %d", len(m.ColumnFormatCodes))
	case *pgproto3.CopyInResponse:
		return fmt.Sprintf("copy in %d", len(m.ColumnFormatCodes))
	}
	return strings.TrimPrefix(fmt.Sprintf("%T", m), "*pgproto3.")
}

// until gives the messages to the first that starts with last, or to the end.
func (c *client) until(last string) (out []string) {
	c.t.Helper()
	for {
		s := c.next()
		out = append(out, s)
		if strings.HasPrefix(s, last) || s == "closed" {
			return out
		}
	}
}

// expect compares the messages to the next ReadyForQuery.
func (c *client) expect(want ...string) {
	c.t.Helper()
	got := c.until("ready")
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		c.t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func (c *client) query(sql string, want ...string) {
	c.t.Helper()
	c.send(&pgproto3.Query{String: sql})
	c.expect(want...)
}

const columnsText = "columns n:23:4:0 t:25:-1:0"

func TestSimpleQuery(t *testing.T) {
	b, addr := serveFake(t, Options{})
	c := connect(t, addr)
	c.query("", "EmptyQueryResponse", "ready I")
	c.query(" ; ", "EmptyQueryResponse", "ready I")
	c.query("rows 2", columnsText, "row 1 row 1", "row 2 NULL", "done SELECT 2", "ready I")
	c.query("nothing; rows 1", "done NOTHING", columnsText, "row 1 row 1", "done SELECT 1", "ready I")
	c.query("rows 0", columnsText, "done SELECT 0", "ready I")
	c.query("nothing; syntax", `ERROR 42601 syntax error at or near "syntax" at 10`, "ready I")
	c.query("rows 1; fail; rows 1", columnsText, "row 1 row 1", "done SELECT 1", columnsText, "ERROR 22012 division by zero", "ready I")
	c.query("notice", "NOTICE 00000 mind this", "done NOTICE", "ready I")
	c.query("set TimeZone UTC", "done SET", "parameter TimeZone=UTC", "ready I")
	c.query("begin", "done BEGIN", "ready T")
	c.query("fail", columnsText, "ERROR 22012 division by zero", "ready E")
	c.query("rows 1", "ERROR 25P02 current transaction is aborted, commands ignored until end of transaction block", "ready E")
	c.query("commit", "done COMMIT", "ready I")
	c.query("copy out 2", "copy out 2", "data 1\trow 1", "data 2\t\\N", "CopyDone", "done COPY 2", "ready I")
	c.query("a\xffb", `ERROR 22021 invalid byte sequence for encoding "UTF8": 0xff`, "ready I")
	if n := b.running.Load(); n != 0 {
		t.Errorf("%d portals were left open", n)
	}
	c.send(&pgproto3.Terminate{})
	if s := c.next(); s != "closed" {
		t.Errorf("after Terminate: %s", s)
	}
}

func TestExtendedQuery(t *testing.T) {
	b, addr := serveFake(t, Options{})
	c := connect(t, addr)
	sync := &pgproto3.Sync{}
	c.send(&pgproto3.Parse{Name: "s", Query: "echo $1"}, &pgproto3.Describe{ObjectType: 'S', Name: "s"},
		&pgproto3.Bind{PreparedStatement: "s", Parameters: [][]byte{[]byte("42")}}, &pgproto3.Describe{ObjectType: 'P'}, &pgproto3.Execute{}, sync)
	c.expect("ParseComplete", "parameters [23]", "columns n:23:4:0", "BindComplete", "columns n:23:4:0", "row 42", "done SELECT 1", "ready I")

	// Binary both ways.
	c.send(&pgproto3.Bind{PreparedStatement: "s", ParameterFormatCodes: []int16{1}, Parameters: [][]byte{{0, 0, 1, 0}}, ResultFormatCodes: []int16{1}},
		&pgproto3.Describe{ObjectType: 'P'}, &pgproto3.Execute{}, sync)
	c.expect("BindComplete", "columns n:23:4:1", "row 0x00000100", "done SELECT 1", "ready I")

	// Errors skip to Sync.
	c.send(&pgproto3.Bind{PreparedStatement: "s", Parameters: [][]byte{[]byte("x")}}, &pgproto3.Execute{}, &pgproto3.Query{String: "rows 1"}, sync)
	c.expect(`ERROR 22P02 invalid input syntax for type integer: "x"`, "ready I")
	c.send(&pgproto3.Bind{PreparedStatement: "s"}, sync)
	c.expect(`ERROR 08P01 bind message supplies 0 parameters, but prepared statement "s" requires 1`, "ready I")
	c.send(&pgproto3.Bind{PreparedStatement: "gone"}, sync)
	c.expect(`ERROR 26000 prepared statement "gone" does not exist`, "ready I")
	c.send(&pgproto3.Parse{Name: "s", Query: "rows 1"}, sync)
	c.expect(`ERROR 42P05 prepared statement "s" already exists`, "ready I")
	c.send(&pgproto3.Parse{Query: "rows 1; rows 2"}, sync)
	c.expect("ERROR 42601 cannot insert multiple commands into a prepared statement", "ready I")
	c.send(&pgproto3.Close{ObjectType: 'S', Name: "s"}, &pgproto3.Close{ObjectType: 'P', Name: "never"}, sync)
	c.expect("CloseComplete", "CloseComplete", "ready I")

	// Two portals at once, suspended and resumed; exactly max rows suspend even at the end.
	c.send(&pgproto3.Parse{Query: "rows 3"}, &pgproto3.Bind{DestinationPortal: "a"}, &pgproto3.Bind{DestinationPortal: "b"},
		&pgproto3.Execute{Portal: "a", MaxRows: 2}, &pgproto3.Execute{Portal: "b", MaxRows: 3}, &pgproto3.Execute{Portal: "a", MaxRows: 2},
		&pgproto3.Execute{Portal: "b"}, &pgproto3.Execute{Portal: "a"}, &pgproto3.Bind{DestinationPortal: "a"}, sync)
	c.expect("ParseComplete", "BindComplete", "BindComplete", "row 1 row 1", "row 2 NULL", "PortalSuspended",
		"row 1 row 1", "row 2 NULL", "row 3 row 3", "PortalSuspended", "row 3 row 3", "done SELECT 1", "done SELECT 0", "done SELECT 0",
		`ERROR 42P03 cursor "a" already exists`, "ready I")

	// Portals end with the implicit transaction.
	c.send(&pgproto3.Execute{Portal: "a"}, sync)
	c.expect(`ERROR 34000 portal "a" does not exist`, "ready I")

	// An empty statement.
	c.send(&pgproto3.Parse{Query: " ;"}, &pgproto3.Describe{ObjectType: 'S'}, &pgproto3.Bind{}, &pgproto3.Describe{ObjectType: 'P'}, &pgproto3.Execute{}, sync)
	c.expect("ParseComplete", "parameters []", "NoData", "BindComplete", "NoData", "EmptyQueryResponse", "ready I")

	// Flush without Sync sends what there is.
	c.send(&pgproto3.Parse{Query: "nothing"}, &pgproto3.Flush{})
	if s := c.next(); s != "ParseComplete" {
		t.Errorf("after Flush: %s", s)
	}
	c.send(&pgproto3.Bind{}, &pgproto3.Execute{}, &pgproto3.Execute{}, sync)
	c.expect("BindComplete", "done NOTHING", `ERROR 55000 portal "" cannot be run`, "ready I")
	if n := b.running.Load(); n != 0 {
		t.Errorf("%d portals were left open", n)
	}
}

func TestCopyIn(t *testing.T) {
	b, addr := serveFake(t, Options{})
	c := connect(t, addr)
	c.send(&pgproto3.Query{String: "copy in"})
	if s := c.next(); s != "copy in 2" {
		t.Fatal(s)
	}
	c.send(&pgproto3.CopyData{Data: []byte("1\ta\n2")}, &pgproto3.Sync{}, &pgproto3.CopyData{Data: []byte("\tb\n")}, &pgproto3.CopyDone{})
	c.expect("done COPY 2", "ready I")
	if got := b.copied.Load(); got != "1\ta\n2\tb\n" {
		t.Errorf("copied %q", got)
	}
	c.send(&pgproto3.Query{String: "copy in"}, &pgproto3.CopyData{Data: []byte("x\n")}, &pgproto3.CopyFail{Message: "no more"})
	c.expect("copy in 2", "ERROR 57014 COPY from stdin failed: no more", "ready I")
	// After an error the rest of the data is dropped.
	c.send(&pgproto3.Query{String: "copy in"}, &pgproto3.CopyData{Data: []byte("bad\n")}, &pgproto3.CopyData{Data: []byte("x\n")}, &pgproto3.CopyDone{})
	c.expect("copy in 2", "ERROR 22P04 bad row", "ready I")
	c.query("rows 0", columnsText, "done SELECT 0", "ready I")
	// Extended, as libpq sends it.
	c.send(&pgproto3.Parse{Query: "copy in"}, &pgproto3.Bind{}, &pgproto3.Describe{ObjectType: 'P'}, &pgproto3.Execute{}, &pgproto3.Sync{})
	c.until("copy in")
	c.send(&pgproto3.CopyData{Data: []byte("x\n")}, &pgproto3.CopyDone{}, &pgproto3.Sync{})
	c.expect("done COPY 1", "ready I")
	// A client that goes away in the middle.
	c.send(&pgproto3.Query{String: "copy in"})
	c.next()
	c.nc.Close()
	eventually(t, "session end", func() bool { return b.sessions.Load() == 0 })
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for range 200 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%s: not within 2 s", what)
}

// cancelRequest sends a cancel request and expects nothing but the end of the connection.
func cancelRequest(t testing.TB, addr string, pid, key uint32) {
	t.Helper()
	nc := dial(t, addr)
	b, _ := (&pgproto3.CancelRequest{ProcessID: pid, SecretKey: key}).Encode(nil)
	nc.Write(b)
	if rest, err := io.ReadAll(nc); err != nil || len(rest) > 0 {
		t.Errorf("cancel connection: %q, %v", rest, err)
	}
}

func TestCancel(t *testing.T) {
	b, addr := serveFake(t, Options{})
	c := connect(t, addr)
	const canceled = "ERROR 57014 canceling statement due to user request"
	for _, sql := range []string{"stream", "hang", "flood"} {
		c.send(&pgproto3.Query{String: sql})
		c.until("columns")
		cancelRequest(t, addr, c.pid, c.key+1) // not its key
		if sql == "stream" {
			c.until("row 3") // rows come as they are made
		}
		start := time.Now()
		cancelRequest(t, addr, c.pid, c.key)
		got := c.until("ready")
		if d := time.Since(start); d > 500*time.Millisecond {
			t.Errorf("%s: cancelled after %v", sql, d)
		}
		if got[len(got)-2] != canceled {
			t.Errorf("%s: %v", sql, got[len(got)-2:])
		}
		cancelRequest(t, addr, c.pid, c.key) // between statements: no effect
		c.query("rows 0", columnsText, "done SELECT 0", "ready I")
	}
	// In a resumed portal.
	c.send(&pgproto3.Parse{Query: "stream"}, &pgproto3.Bind{}, &pgproto3.Execute{MaxRows: 2}, &pgproto3.Execute{}, &pgproto3.Sync{})
	c.until("PortalSuspended")
	cancelRequest(t, addr, c.pid, c.key)
	got := c.until("ready")
	if got[len(got)-2] != canceled {
		t.Errorf("resumed portal: %v", got)
	}
	// In COPY FROM STDIN.
	c.send(&pgproto3.Query{String: "copy in"})
	c.next()
	cancelRequest(t, addr, c.pid, c.key)
	c.expect(canceled, "ready I")
	if n := b.running.Load(); n != 0 {
		t.Errorf("%d portals were left open", n)
	}
}

func TestStatementTimeout(t *testing.T) {
	_, addr := serveFake(t, Options{})
	c := connect(t, addr, "statement_timeout", "50ms")
	const timeout = "ERROR 57014 canceling statement due to statement timeout"
	c.query("hang", columnsText, timeout, "ready I")
	c.send(&pgproto3.Parse{Query: "hang"}, &pgproto3.Bind{}, &pgproto3.Execute{}, &pgproto3.Sync{})
	c.expect("ParseComplete", "BindComplete", timeout, "ready I")
	c.query("rows 0", columnsText, "done SELECT 0", "ready I")
	for s, want := range map[string]time.Duration{"0": 0, "": 0, "250": 250 * time.Millisecond, "2s": 2 * time.Second, "1min": time.Minute,
		"3h": 3 * time.Hour, "x": 0, "5 parsecs": 0, "99999999999999d": 0} {
		if got := parseTimeout(s); got != want {
			t.Errorf("parseTimeout(%q) = %v", s, got)
		}
	}
}

// TestGone checks that a query is freed soon after its client has closed the connection.
func TestGone(t *testing.T) {
	b, addr := serveFake(t, Options{})
	for _, sql := range []string{"stream", "hang", "flood", "copy in"} {
		c := connect(t, addr)
		c.send(&pgproto3.Query{String: sql})
		c.next()
		start := time.Now()
		c.nc.Close()
		eventually(t, sql, func() bool { return b.sessions.Load() == 0 && b.running.Load() == 0 })
		if d := time.Since(start); d > time.Second {
			t.Errorf("%s: freed after %v", sql, d)
		}
	}
	// A client that has filled the inbox and leaves while nobody reads it.
	c := connect(t, addr)
	c.send(&pgproto3.Query{String: "hang"})
	c.next()
	c.send(&pgproto3.Query{String: strings.Repeat(" ", readAhead)}, &pgproto3.Query{String: "rows 1"})
	time.Sleep(50 * time.Millisecond)
	start := time.Now()
	c.nc.Close()
	if runtime.GOOS == "linux" {
		eventually(t, "full inbox", func() bool { return b.sessions.Load() == 0 && b.running.Load() == 0 })
		if d := time.Since(start); d > time.Second {
			t.Errorf("full inbox: freed after %v", d)
		}
	}
}

// TestFireAndForget checks that what was sent just before the end is done all the same.
func TestFireAndForget(t *testing.T) {
	b, addr := serveFake(t, Options{})
	c := connect(t, addr)
	c.send(&pgproto3.Query{String: "nothing"}, &pgproto3.Terminate{})
	c.nc.Close()
	eventually(t, "commit", func() bool { return b.commits.Load() == 1 })
}

// TestSlowReader checks that a client that does not read is ended, and that its results do not pile up.
func TestSlowReader(t *testing.T) {
	b, addr := serveFake(t, Options{StallTimeout: 300 * time.Millisecond})
	c := connect(t, addr)
	c.send(&pgproto3.Query{String: "flood"})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	eventually(t, "end of the session", func() bool { return b.sessions.Load() == 0 && b.running.Load() == 0 })
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 16<<20 {
		t.Errorf("the heap has grown by %d bytes", grown)
	}
	c2 := connect(t, addr) // others are not disturbed
	c2.query("rows 0", columnsText, "done SELECT 0", "ready I")
}

func TestStartup(t *testing.T) {
	b, addr := serveFake(t, Options{MaxConnections: 2, StartupTimeout: 300 * time.Millisecond})
	request := func(code uint32) []byte {
		return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 8), code)
	}
	startup := func(version uint32, params ...string) []byte {
		b := binary.BigEndian.AppendUint32([]byte{0, 0, 0, 0}, version)
		for _, p := range params {
			b = append(append(b, p...), 0)
		}
		b = append(b, 0)
		binary.BigEndian.PutUint32(b, uint32(len(b)))
		return b
	}
	read := func(nc net.Conn, n int) string {
		b := make([]byte, n)
		m, _ := io.ReadFull(nc, b)
		return string(b[:m])
	}
	nc := dial(t, addr)
	nc.Write(request(codeGSS))
	if s := read(nc, 1); s != "N" {
		t.Errorf("GSSENCRequest: %q", s)
	}
	nc.Write(request(codeSSL))
	if s := read(nc, 1); s != "N" {
		t.Errorf("SSLRequest: %q", s)
	}
	nc.Write(startup(version3+2, "user", "u", "_pq_.compress", "on"))
	if s := read(nc, 1+12+14+9); s != "v\x00\x00\x00\x1a\x00\x03\x00\x00\x00\x00\x00\x01_pq_.compress\x00R\x00\x00\x00\x08\x00\x00\x00\x00"[:36] {
		t.Errorf("NegotiateProtocolVersion: %q", s)
	}
	nc.Close()
	eventually(t, "session end", func() bool { return b.sessions.Load() == 0 })

	bad := map[string]struct {
		send []byte
		want string
	}{
		"no user":     {startup(version3), "FATAL 28000 no PostgreSQL user name"},
		"no user 2":   {startup(version3, "database", "d"), "FATAL 28000 no PostgreSQL user name"},
		"database":    {startup(version3, "user", "u", "database", "nowhere"), "FATAL 3D000"},
		"version 2":   {startup(2 << 16), "FATAL 0A000 unsupported frontend protocol 2.0"},
		"replication": {startup(version3, "user", "u", "replication", "true"), "FATAL 0A000 replication"},
		"layout":      {[]byte("\x00\x00\x00\x0c\x00\x03\x00\x00user"), "FATAL 08P01 invalid startup packet layout"},
		"layout 2":    {[]byte("\x00\x00\x00\x0d\x00\x03\x00\x00user\x00"), "FATAL 08P01 invalid startup packet layout"},
		"huge":        {[]byte("\x7f\xff\xff\xff\x00\x03\x00\x00"), "FATAL 08P01 invalid length of startup packet"},
		"tiny":        {[]byte("\x00\x00\x00\x04"), "FATAL 08P01 invalid length of startup packet"},
		"http":        {[]byte("GET / HTTP/1.0\r\n\r\n"), "FATAL 08P01 invalid length of startup packet"},
		"encryptions": {append(append(request(codeSSL), request(codeSSL)...), request(codeSSL)...), ""},
		"half open":   {[]byte("\x00\x00"), "closed"},
	}
	for name, x := range bad {
		nc := dial(t, addr)
		nc.Write(x.send)
		if name == "encryptions" {
			if s := read(nc, 100); !strings.HasPrefix(s, "NNNE") {
				t.Errorf("%s: %q", name, s)
			}
			continue
		}
		c := &client{t: t, nc: nc, fe: pgproto3.NewFrontend(pgproto3.NewChunkReader(nc), nc)}
		if s := c.next(); !strings.HasPrefix(s, x.want) {
			t.Errorf("%s: %s, want %s", name, s, x.want)
		}
		if s := c.next(); s != "closed" {
			t.Errorf("%s: then %s", name, s)
		}
	}
	connect(t, addr)
	connect(t, addr, "options", `-c search_path=a\ b --work-mem=1MB`)
	third := dial(t, addr)
	third.Write(startup(version3, "user", "u"))
	c := &client{t: t, nc: third, fe: pgproto3.NewFrontend(pgproto3.NewChunkReader(third), third)}
	if s := c.next(); s != "FATAL 53300 sorry, too many clients already" {
		t.Errorf("third connection: %s", s)
	}
}

func TestCommandLine(t *testing.T) {
	m := map[string]string{}
	if err := commandLine(`-c search_path=a\ b  --work-mem=1MB -cx=y`, m); err != nil {
		t.Fatal(err)
	}
	if m["search_path"] != "a b" || m["work_mem"] != "1MB" || m["x"] != "y" {
		t.Errorf("%v", m)
	}
	for _, s := range []string{"-z", "-c novalue", "word"} {
		if commandLine(s, m) == nil {
			t.Errorf("%q is accepted", s)
		}
	}
}

// TestGarbage checks that bad messages get PostgreSQL's answers, and that those after which
// the stream cannot be trusted end the connection.
func TestGarbage(t *testing.T) {
	_, addr := serveFake(t, Options{})
	msg := func(typ byte, body string) []byte {
		return append(binary.BigEndian.AppendUint32([]byte{typ}, uint32(len(body)+4)), body...)
	}
	sync := msg('S', "")
	tests := []struct {
		name string
		send []byte
		want string
		ends bool
	}{
		{"unknown type", []byte("!\x00\x00\x00\x04"), "FATAL 08P01 invalid frontend message type 33", true},
		{"length 3", []byte("Q\x00\x00\x00\x03"), "FATAL 08P01 invalid message length", true},
		{"length -1", []byte("Q\xff\xff\xff\xff"), "FATAL 08P01 invalid message length", true},
		{"huge query", []byte("Q\x40\x00\x00\x00"), "FATAL 08P01 invalid message length", true},
		{"long sync", append([]byte("S\x00\x00\x27\x20"), make([]byte, 10000)...), "FATAL 08P01 invalid message length", true},
		{"empty query body", msg('Q', ""), "ERROR 08P01 invalid string in message", false},
		{"query with rest", msg('Q', "a\x00b"), "ERROR 08P01 invalid message format", false},
		{"parse", append(msg('P', "a\x00b\x00\x00\x05"), sync...), "ERROR 08P01 insufficient data left in message", false},
		{"bind -2", append(msg('B', "\x00\x00\x00\x00\x00\x01\xff\xff\xff\xfe\x00\x00"), sync...), "ERROR 08P01 invalid message format", false},
		{"bind huge parameter", append(msg('B', "\x00\x00\x00\x00\x00\x01\x7f\xff\xff\xff\x00\x00"), sync...), "ERROR 08P01 in", false},
		{"bind formats", append(msg('B', "\x00\x00\x00\x02\x00\x01\x00\x01\x00\x00\x00\x00"), sync...), "ERROR 08P01 bind message has 2 parameter formats but 0 parameters", false},
		{"bind format code", append(msg('B', "\x00\x00\x00\x01\x00\x07\x00\x00\x00\x00"), sync...), "ERROR 22023 unsupported format code: 7", false},
		{"describe", append(msg('D', "X\x00"), sync...), "ERROR 08P01 invalid DESCRIBE message subtype 88", false},
		{"close", append(msg('C', ""), sync...), "ERROR 08P01 no data left in message", false},
		{"execute", append(msg('E', "\x00\x00"), sync...), "ERROR 08P01 insufficient data left in message", false},
		{"function call", msg('F', "\x00"), "ERROR 0A000 the function call protocol is not supported", false},
		{"password", msg('p', "secret\x00"), "ERROR 08P01 unexpected password message", false},
		{"empty CopyFail", append(msg('f', ""), msg('Q', "\x00")...), "EmptyQueryResponse", false},
	}
	for _, x := range tests {
		c := connect(t, addr)
		if _, err := c.nc.Write(x.send); err != nil {
			t.Fatal(err)
		}
		if s := c.next(); !strings.HasPrefix(s, x.want) {
			t.Errorf("%s: %s, want %s", x.name, s, x.want)
		}
		if x.ends {
			if s := c.next(); s != "closed" {
				t.Errorf("%s: then %s", x.name, s)
			}
			continue
		}
		c.until("ready")
		c.query("rows 0", columnsText, "done SELECT 0", "ready I")
	}
}

// TestPanic checks that a panic costs its own connection only.
func TestPanic(t *testing.T) {
	var seen any
	b, addr := serveFake(t, Options{onPanic: func(r any) { seen = r }})
	other := connect(t, addr)
	c := connect(t, addr)
	c.send(&pgproto3.Query{String: "panic"})
	if got := c.until("closed"); !strings.HasPrefix(got[0], "FATAL XX000 internal error: as asked") || len(got) != 2 {
		t.Errorf("%v", got)
	}
	eventually(t, "session end", func() bool { return b.sessions.Load() == 1 })
	if seen != "as asked" {
		t.Errorf("the panic was %v", seen)
	}
	other.query("rows 0", columnsText, "done SELECT 0", "ready I")
}

// TestStop checks that a stopping server ends its sessions with 57P01.
func TestStop(t *testing.T) {
	b := &fakeBackend{}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- newServer(b, Options{}).serve(ctx, ln) }()
	idle, busy := connect(t, ln.Addr().String()), connect(t, ln.Addr().String())
	half := dial(t, ln.Addr().String())
	half.Write([]byte{0})
	busy.send(&pgproto3.Query{String: "hang"})
	busy.next()
	start := time.Now()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if d := time.Since(start); d > time.Second {
		t.Errorf("stopped after %v", d)
	}
	for name, c := range map[string]*client{"idle": idle, "busy": busy} {
		if s := c.next(); s != "FATAL 57P01 terminating connection due to administrator command" {
			t.Errorf("%s: %s", name, s)
		}
	}
}

func TestErrorFields(t *testing.T) {
	e := pgerr.New(pgerr.SyntaxError, "bad \x00 and \xff").WithHint("h").WithDetail("d").At(7)
	e.Schema, e.Table, e.Column, e.DataType, e.Constraint, e.Where = "s", "t", "c", "dt", "k", "w"
	b, err := errorResponse(e, "ERROR").Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	want := "SERROR\x00VERROR\x00C42601\x00Mbad \uFFFD and \uFFFD\x00Dd\x00Hh\x00P7\x00Ww\x00ss\x00tt\x00cc\x00ddt\x00nk\x00\x00"
	if got := string(b[5:]); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestArgumentText(t *testing.T) {
	c := &conn{sess: &fakeSession{}}
	for _, s := range []string{"a\x00", "\xc3"} {
		if _, err := c.argument(types.Text, []byte(s), 0); pgerr.Code(err) != pgerr.CharacterNotInRepertoire {
			t.Errorf("%q: %v", s, err)
		}
	}
}

var syncMessage = &pgproto3.Sync{}

func query(sql string) *pgproto3.Query { return &pgproto3.Query{String: sql} }
func describePortal(name string) *pgproto3.Describe {
	return &pgproto3.Describe{ObjectType: 'P', Name: name}
}
func executePortal(name string, max uint32) *pgproto3.Execute {
	return &pgproto3.Execute{Portal: name, MaxRows: max}
}
