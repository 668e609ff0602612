package main

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("os/signal.loop")) }

// command runs a command line and gives the exit code and what was printed.
func command(t *testing.T, stdin string, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(args, streams{strings.NewReader(stdin), &o, &e})
	return code, o.String(), e.String()
}

func TestCommand(t *testing.T) {
	tests := []struct {
		args []string
		code int
		out  string
		err  string
	}{
		{[]string{"-c", "select 1 as a, 'x' as name; select 2 where false"}, 0, " a | name \n---+------\n 1 | x\n(1 row)\n\n ?column? \n----------\n(0 rows)\n\n", ""},
		{[]string{"-c", "create table t (a int)", "-c", "insert into t values (1), (2)", "-c", "select sum(a) from t", "--format", "csv"}, 0, "sum\n3\n", ""},
		{[]string{"--format", "json", "-c", `select 1 a, 'q"<' b, null c, true d, 1.50 e, 'NaN'::float8 f, '{"x": 1}'::jsonb g, array['a', null] h`}, 0,
			`{"a":1,"b":"q\"<","c":null,"d":true,"e":1.50,"f":"NaN","g":{"x": 1},"h":["a",null]}` + "\n", ""},
		{[]string{"-c", "select a\nfrom nope", "-c", "select 1"}, 1, "", "ERROR:  relation \"nope\" does not exist\nLINE 2: from nope\n             ^\n"},
		{[]string{"-c", "copy (select 1, null union all select 2, 'a b') to stdout"}, 0, "1\t\\N\n2\ta b\n", ""},
		{[]string{"version"}, 0, version() + "\n", ""},
		{[]string{"help"}, 0, usage, ""},
	}
	for _, x := range tests {
		code, out, errs := command(t, "", x.args...)
		if code != x.code || out != x.out || errs != x.err {
			t.Errorf("%q: code %d\nout %q\nerr %q", x.args, code, out, errs)
		}
	}
	for _, args := range [][]string{{"-c"}, {"--format", "csv"}, {"-c", "select 1", "--format", "xml"}, {"run"}, {"run", "a", "b"}, {"bogus"}, {"serve", "--port", "1"},
		{"serve", "--listen", "0.0.0.0:0"}, {"repl", "extra"}} {
		if code, _, errs := command(t, "", args...); code != exitUsage || errs == "" {
			t.Errorf("%q: code %d, %q", args, code, errs)
		}
	}
}

func TestRunFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "s.sql")
	script := `-- a script
create table t (a int, b text);
copy t from stdin;
1	one
2	two; not the end
\.
insert into t values (3, 'it''s; fine'); /* a ; comment */ insert into t values (4, $x$ dollar; $x$);
\x
select count(*) from t
;
select nope
  from t;
select 'not reached';
`
	if err := os.WriteFile(name, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs := command(t, "", "run", name)
	want := "CREATE TABLE\nCOPY 2\nINSERT 0 1\nINSERT 0 1\nExpanded display is on.\n-[ RECORD 1 ]\ncount | 4\n\n"
	if code != exitError || out != want {
		t.Errorf("code %d\nout %q", code, out)
	}
	if want := name + ":11: ERROR:  column \"nope\" does not exist\nLINE 1: select nope\n               ^\n"; errs != want {
		t.Errorf("err %q\nwant %q", errs, want)
	}
	if code, out, _ := command(t, "select 7 as n", "run", "-", "--format", "csv"); code != 0 || out != "n\n7\n" {
		t.Errorf("standard input: code %d, %q", code, out)
	}
	if code, _, errs := command(t, "", "run", name+".missing"); code != exitError || !strings.Contains(errs, "no such file") {
		t.Errorf("missing file: code %d, %q", code, errs)
	}
}

func TestREPL(t *testing.T) {
	input := `create table t (a int primary key, b text);
select 1
  as one; select 2 as two;
\d t
\dt
\dm
\x
select 'multi
line' as v;
\x
\nonsense
select * form t;
begin;
\q
select 'not reached';
`
	code, out, errs := command(t, input)
	want := `CREATE TABLE
 one 
-----
   1
(1 row)

 two 
-----
   2
(1 row)

           Table "public.t"
 Column |  Type   | Nullable | Default 
--------+---------+----------+---------
 a      | integer | not null | 
 b      | text    |          | 
Primary key: (a)

         List of relations
 Schema | Name | Type  |   Owner   
--------+------+-------+-----------
 public | t    | table | streamsql
(1 row)

Did not find any relations.
Expanded display is on.
-[ RECORD 1 ]
v | multi
  | line

Expanded display is off.
BEGIN
`
	if code != exitError || out != want {
		t.Errorf("code %d\ngot\n%s\nwant\n%s", code, out, want)
	}
	if !strings.Contains(errs, `invalid command \nonsense`) || !strings.Contains(errs, "LINE 1: select * form t;\n                 ^\n") {
		t.Errorf("errors %q", errs)
	}
	if code, out, _ := command(t, "select 5 as n", "repl", "--format", "csv"); code != 0 || out != "n\n5\n" {
		t.Errorf("without a semicolon: %d %q", code, out)
	}
}

// lockedBuffer is a buffer that one goroutine fills and another reads.
type lockedBuffer struct {
	c   chan struct{}
	buf bytes.Buffer
}

func newLockedBuffer() *lockedBuffer {
	l := &lockedBuffer{c: make(chan struct{}, 1)}
	l.c <- struct{}{}
	return l
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	<-l.c
	defer func() { l.c <- struct{}{} }()
	return l.buf.Write(b)
}

func (l *lockedBuffer) String() string {
	<-l.c
	defer func() { l.c <- struct{}{} }()
	return l.buf.String()
}

func (l *lockedBuffer) await(t *testing.T, text string) {
	t.Helper()
	for range 1000 {
		if strings.Contains(l.String(), text) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("no %q in %q", text, l.String())
}

func interrupt(t *testing.T) {
	t.Helper()
	if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
}

// TestREPLInterrupt checks that rows of a continuous query are printed as they come, and
// that Ctrl-C ends the query and not the shell.
func TestREPLInterrupt(t *testing.T) {
	in, typing := io.Pipe()
	out, errs := newLockedBuffer(), newLockedBuffer()
	done := make(chan int, 1)
	go func() { done <- run(nil, streams{in, out, errs}) }()
	io.WriteString(typing, "create source bid with (connector = 'nexmark', table = 'bid', rate = '1000');\nselect auction, price from bid emit changes;\n")
	out.await(t, " _op | ")
	out.await(t, "+I")
	interrupt(t)
	errs.await(t, "ERROR:  canceling statement due to user request")
	io.WriteString(typing, "select 'still ' || 'here' as s;\n")
	out.await(t, "still here")
	typing.Close()
	if code := <-done; code != exitError {
		t.Errorf("code %d", code)
	}
}

func TestServe(t *testing.T) {
	out, errs := newLockedBuffer(), newLockedBuffer()
	done := make(chan int, 1)
	go func() { done <- run([]string{"serve", "--listen", "127.0.0.1:0"}, streams{nil, out, errs}) }()
	out.await(t, "kept in memory")
	line, _, _ := strings.Cut(out.String(), "\n")
	addr, ok := strings.CutPrefix(line, "listening on ")
	if !ok {
		t.Fatalf("first line %q", line)
	}
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
	interrupt(t)
	select {
	case code := <-done:
		if code != 0 {
			t.Errorf("code %d, %s", code, errs)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the server does not stop")
	}
	if code, _, errs := command(t, "", "serve", "--listen", "127.0.0.1:99999"); code != exitError || errs == "" {
		t.Errorf("bad port: %d %q", code, errs)
	}
}

// TestBackup backs up a running server, and then the directory that it has left, and restores one.
func TestBackup(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	if code, _, errs := command(t, "", "backup", filepath.Join(dir, "a"), "--data", data); code != exitError || !strings.Contains(errs, "could not open data directory") {
		t.Errorf("of nothing: %d %q", code, errs)
	}
	if code, _, errs := command(t, "", "-c", "create table t as select generate_series(1, 10) as a", "--data", data); code != 0 {
		t.Fatal(errs)
	}
	out, errs := newLockedBuffer(), newLockedBuffer()
	done := make(chan int, 1)
	go func() {
		done <- run([]string{"serve", "--listen", "127.0.0.1:0", "--data", data}, streams{nil, out, errs})
	}()
	out.await(t, "everything is kept in")
	line, _, _ := strings.Cut(out.String(), "\n")
	addr := strings.TrimPrefix(line, "listening on ")
	to := filepath.Join(dir, "it's a copy")
	if code, out, errs := command(t, "", "backup", to, "--connect", addr); code != 0 || out != "backed up to "+to+"\n" {
		t.Errorf("%d %q %q", code, out, errs)
	}
	if code, _, errs := command(t, "", "backup", "--connect", addr, to); code != exitError || !strings.Contains(errs, "is not empty") || !strings.Contains(errs, "HINT") {
		t.Errorf("into a directory that is not empty: %d %q", code, errs)
	}
	if code, _, errs := command(t, "", "backup", to+"2", "--data", data); code != exitError || !strings.Contains(errs, "leave out --data") {
		t.Errorf("beside the server: %d %q", code, errs)
	}
	interrupt(t)
	if code := <-done; code != 0 {
		t.Errorf("the server ended with %d: %s", code, errs)
	}
	if code, _, errs := command(t, "", "backup", to+"2", "--connect", addr); code != exitError || !strings.Contains(errs, "could not connect") {
		t.Errorf("of no server: %d %q", code, errs)
	}
	if code, _, errs := command(t, "", "backup", to+"2", "--data", data); code != 0 {
		t.Errorf("of the directory: %d %q", code, errs)
	}
	if code, _, errs := command(t, "", "restore", to+"2"); code != exitUsage || !strings.Contains(errs, "--data") {
		t.Errorf("to nowhere: %d %q", code, errs)
	}
	if code, _, errs := command(t, "", "restore", to+"2", "--data", data); code != exitError || !strings.Contains(errs, "is not empty") {
		t.Errorf("over a data directory: %d %q", code, errs)
	}
	if code, _, errs := command(t, "", "restore", to+"2", "--data", data+"2"); code != 0 {
		t.Errorf("%d %q", code, errs)
	}
	for _, d := range []string{to, data + "2"} {
		if code, out, errs := command(t, "", "-c", "select sum(a) from t", "--format", "csv", "--data", d); code != 0 || out != "sum\n55\n" {
			t.Errorf("%s: %d %q %q", d, code, out, errs)
		}
	}
}

func TestDemo(t *testing.T) {
	code, out, errs := command(t, "", "demo", "--for", "2500ms")
	if code != 0 || errs != "" {
		t.Fatalf("code %d, %q", code, errs)
	}
	for _, want := range []string{"psql -h 127.0.0.1 -p ", "window_start", "2015-07-15 00:00:00"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in %q", want, out)
		}
	}
}
