package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"math/rand"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgproto3/v2"

	"streamsql/catalog"
	"streamsql/internal/scram"
)

// fuzzSession plays bytes to a server over a pipe and checks that the connection
// ends without a panic and soon after the client has gone.
func fuzzSession(t *testing.T, data []byte) { fuzzSessionWith(t, nil, data) }

// fuzzSessionWith is fuzzSession with what a client must get past first.
func fuzzSessionWith(t *testing.T, a *access, data []byte) {
	b := &fakeBackend{}
	s := newServer(b, Options{StartupTimeout: time.Second, MaxMessage: 1 << 16, onPanic: func(r any) {
		if r != "as asked" {
			t.Errorf("panic: %v", r)
		}
	}})
	s.access = a
	client, server := net.Pipe()
	ctx, cancel := context.WithCancelCause(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.handle(ctx, server)
		server.Close()
	}()
	go func() { _, _ = io.Copy(io.Discard, client) }()
	client.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = client.Write(data)
	cancel(errShutdown)
	client.Close()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Fatal("the connection does not end")
	}
	if b.sessions.Load() != 0 || b.running.Load() != 0 {
		t.Errorf("%d sessions and %d portals were left", b.sessions.Load(), b.running.Load())
	}
}

// sampleSession is a session in which every message occurs.
func sampleSession() []byte {
	var b []byte
	for _, m := range []pgproto3.FrontendMessage{
		&pgproto3.StartupMessage{ProtocolVersion: version3, Parameters: map[string]string{"user": "u"}},
		&pgproto3.Query{String: "rows 3; nothing"},
		&pgproto3.Parse{Name: "s", Query: "echo $1", ParameterOIDs: []uint32{23}},
		&pgproto3.Bind{DestinationPortal: "p", PreparedStatement: "s", ParameterFormatCodes: []int16{1}, Parameters: [][]byte{{0, 0, 0, 1}}, ResultFormatCodes: []int16{1}},
		&pgproto3.Describe{ObjectType: 'S', Name: "s"}, &pgproto3.Describe{ObjectType: 'P', Name: "p"},
		&pgproto3.Execute{Portal: "p", MaxRows: 1}, &pgproto3.Close{ObjectType: 'P', Name: "p"}, &pgproto3.Flush{}, &pgproto3.Sync{},
		&pgproto3.Query{String: "copy in"}, &pgproto3.CopyData{Data: []byte("a\n")}, &pgproto3.CopyDone{},
		&pgproto3.Query{String: "copy in"}, &pgproto3.CopyFail{Message: "x"},
		&pgproto3.FunctionCall{}, &pgproto3.Terminate{},
	} {
		b, _ = m.Encode(b) // samples of ours encode
	}
	return b
}

// FuzzSession plays whole sessions, the startup included.
func FuzzSession(f *testing.F) {
	sample := sampleSession()
	f.Add(sample)
	f.Add(append([]byte("\x00\x00\x00\x08\x04\xd2\x16\x2f"), sample...))              // after an SSLRequest
	f.Add([]byte("\x00\x00\x00\x10\x04\xd2\x16\x2e\x00\x00\x00\x01\x00\x00\x00\x02")) // a cancel request
	start := sample[:binary.BigEndian.Uint32(sample)]
	// The six messages that pgproto3/v2 panics on.
	for _, m := range []string{
		"B\x00\x00\x00\x10\x00\x00\x00\x00\x00\x01\xff\xff\xff\xfe\x00\x00",
		"F\x00\x00\x00\x04",
		"F\x00\x00\x00\x0a\x00\x00\x00\x01\x00\x05",
		"F\x00\x00\x00\x10\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x09",
		"Q\x00\x00\x00\x04",
		"f\x00\x00\x00\x04",
	} {
		f.Add(append(append([]byte(nil), start...), m...))
	}
	f.Fuzz(fuzzSession)
}

// TestMutatedSessions is a short fuzz for every run of the tests: valid sessions with random damage.
func TestMutatedSessions(t *testing.T) {
	seed := rand.Int63()
	r := rand.New(rand.NewSource(seed))
	sample := sampleSession()
	for range 300 {
		data := bytes.Clone(sample)
		for range 1 + r.Intn(6) {
			i := r.Intn(len(data))
			switch r.Intn(3) {
			case 0:
				data[i] = byte(r.Intn(256))
			case 1:
				data = append(data[:i], data[min(i+1+r.Intn(8), len(data)-1):]...)
			default:
				data = append(data[:i], append([]byte{0, 0, 0, byte(r.Intn(40))}, data[i:]...)...)
			}
		}
		fuzzSession(t, data)
		if t.Failed() {
			t.Fatalf("seed %d, session %q", seed, data)
		}
	}
}

// TestDecodePanic checks that a panic inside pgproto3, should the guard miss one, is an
// error of the connection. A frame that the guard was never asked about provokes it.
func TestDecodePanic(t *testing.T) {
	c := &conn{}
	c.decode = pgproto3.NewBackend(&c.source, nil)
	_, err := c.receive(frame{typ: 'B', body: []byte("\x00\x00\x00\x00\x00\x01\xff\xff\xff\xfe\x00\x00")})
	if err == nil || !fatal(err) {
		t.Errorf("got %v", err)
	}
}

// FuzzAuthentication plays sessions of which a password is asked, in the clear and by SCRAM.
func FuzzAuthentication(f *testing.F) {
	v, err := scram.NewVerifier("geheim")
	if err != nil {
		f.Fatal(err)
	}
	cat := catalog.NewSnapshot(catalog.SystemRelations()).
		WithRole(&catalog.Role{OID: 20000, Name: "u", Login: true, ConnLimit: -1, Password: v.String()}).
		WithRole(&catalog.Role{OID: 20001, Name: "clear", Login: true, ConnLimit: -1, Password: v.String()})
	rules, bad := parseRules("local all clear password\nlocal all all scram-sha-256\n")
	if bad != nil {
		f.Fatal(bad.err)
	}
	a := &access{catalog: func() *catalog.Snapshot { return cat }, secret: []byte("x"), databases: []string{"u", "clear"}}
	a.rules.Store(rules)
	startup := func(user string) []byte {
		b, _ := (&pgproto3.StartupMessage{ProtocolVersion: version3, Parameters: map[string]string{"user": user}}).Encode(nil) // a sample encodes
		return b
	}
	message := func(body string) []byte {
		return append(binary.BigEndian.AppendUint32([]byte{'p'}, uint32(4+len(body))), body...)
	}
	sample := sampleSession()
	after := sample[binary.BigEndian.Uint32(sample):]
	f.Add(slices.Concat(startup("u"), message("SCRAM-SHA-256\x00\x00\x00\x00\x0cn,,n=,r=abcd"), message("c=biws,r=abcd,p=AAAA")))
	f.Add(slices.Concat(startup("nobody"), message("SCRAM-SHA-256\x00\xff\xff\xff\xff"), message("n,,n=,r=abcd"), message("")))
	f.Add(slices.Concat(startup("u"), message("SCRAM-SHA-256-PLUS\x00\x00\x00\x00\x04p=x,")))
	f.Add(slices.Concat(startup("clear"), message("geheim\x00"), after))
	f.Add(slices.Concat(startup("clear"), message("falsch\x00"), after))
	f.Add(slices.Concat(startup("clear"), after))
	f.Fuzz(func(t *testing.T, data []byte) { fuzzSessionWith(t, a, data) })
}
