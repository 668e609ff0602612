package wire

import (
	"bytes"
	"strings"
	"testing"

	"github.com/jackc/pgproto3/v2"

	"streamsql/internal/pgerr"
)

// TestLargeMessageRefused: a message for which there is no room is read over, and the one behind it is what it was.
func TestLargeMessageRefused(t *testing.T) {
	var wire []byte
	for _, q := range []string{"SELECT '" + strings.Repeat("x", 3<<20) + "'", "SELECT 1"} {
		var err error
		if wire, err = (&pgproto3.Query{String: q}).Encode(wire); err != nil {
			t.Fatal(err)
		}
	}
	asked := int64(0)
	g := &guard{r: bytes.NewReader(wire), max: 16 << 20, room: func(n int64) error {
		asked = n
		return pgerr.New(pgerr.OutOfMemory, "out of memory")
	}}
	f, err := g.next()
	if err != nil || f.typ != 'Q' || f.bad == nil || f.bad.Code != pgerr.OutOfMemory || f.body != nil {
		t.Errorf("the large message came as %c, %v, %v with %d bytes", f.typ, f.bad, err, len(f.body))
	}
	if asked < 3<<20 {
		t.Errorf("room was asked for %d bytes", asked)
	}
	if f, err = g.next(); err != nil || f.bad != nil || string(f.body) != "SELECT 1\x00" {
		t.Errorf("what followed came as %q, %v, %v", f.body, f.bad, err)
	}
}
