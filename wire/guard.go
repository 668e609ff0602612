package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"

	"streamsql/internal/pgerr"
)

// The limits that PostgreSQL sets for the startup packet and for messages that
// carry no data of the user's.
const (
	maxStartupPacket = 10_000
	maxSmallMessage  = 10_000
)

// frame is one message of the client: its type byte and its body, the length
// word left out. The body is not reused, so it may be kept.
type frame struct {
	typ  byte
	body []byte
	// bad says what is wrong with the body. The boundary to the next message is
	// sound all the same, so the connection goes on after the error was sent.
	bad *pgerr.Error
}

// guard reads frames from a client. It is the only reader of the socket after
// the startup: every length is checked before a byte of the body is read or
// memory for it taken, and every body is checked before pgproto3 decodes it,
// because pgproto3/v2 panics on six malformed messages and takes any length.
type guard struct {
	r   io.Reader
	max int // of a message with data, in bytes
	// room, where not nil, is asked before memory for a large message is taken; its error takes the place of the message.
	room func(n int64) error
	// slab is what small bodies are carved from, so that a stream of little
	// messages does not cost an allocation each.
	slab []byte
	head [5]byte
}

const (
	slabSize  = 16 << 10
	slabLimit = 2 << 10 // larger bodies get memory of their own
	// growStep bounds the memory that a header alone can claim.
	growStep = 64 << 10
	// largeMessage is from what length on memory is asked for.
	largeMessage = 512 << 10
)

// limit gives the longest body of a frontend message, 0 for a type that does not exist.
func (g *guard) limit(typ byte) int {
	switch typ {
	case 'Q', 'P', 'B', 'F', 'd', 'p':
		return g.max
	case 'C', 'D', 'E', 'H', 'S', 'X', 'c', 'f':
		return min(maxSmallMessage, g.max)
	}
	return 0
}

// next reads one frame. io.EOF says that the client closed between messages; an
// *pgerr.Error is a violation after which the stream cannot be trusted.
func (g *guard) next() (frame, error) {
	if _, err := io.ReadFull(g.r, g.head[:1]); err != nil {
		return frame{}, err
	}
	typ := g.head[0]
	limit := g.limit(typ)
	if limit == 0 {
		return frame{}, pgerr.New(pgerr.ProtocolViolation, "invalid frontend message type %d", typ)
	}
	if _, err := io.ReadFull(g.r, g.head[1:]); err != nil {
		return frame{}, unexpectedEOF(err)
	}
	n := binary.BigEndian.Uint32(g.head[1:])
	if n < 4 {
		return frame{}, pgerr.New(pgerr.ProtocolViolation, "invalid message length")
	}
	if uint64(n)-4 > uint64(limit) {
		return frame{}, pgerr.New(pgerr.ProtocolViolation, "invalid message length").
			WithDetail("A message of type \"%c\" may have %d bytes, not %d.", typ, limit, n-4)
	}
	step := growStep
	if n > largeMessage && g.room != nil {
		if err := g.room(3 * int64(n)); err != nil { // what is made of it is about as large, and read again
			_, e := io.CopyN(io.Discard, g.r, int64(n)-4)
			return frame{typ: typ, bad: pgerr.From(err)}, unexpectedEOF(e)
		}
		step = int(n) // it is there
	}
	body, err := g.body(int(n)-4, step)
	if err != nil {
		return frame{}, unexpectedEOF(err)
	}
	f := frame{typ: typ, body: body}
	f.bad = validate(typ, body)
	return f, nil
}

// body reads n bytes. Memory is taken for step of them, and then grows with what has arrived, not with what was claimed.
func (g *guard) body(n, step int) ([]byte, error) {
	if n <= slabLimit {
		if n > len(g.slab) {
			g.slab = make([]byte, slabSize)
		}
		b := g.slab[:n:n]
		g.slab = g.slab[n:]
		_, err := io.ReadFull(g.r, b)
		return b, err
	}
	b := make([]byte, min(n, step))
	for at := 0; ; {
		if _, err := io.ReadFull(g.r, b[at:]); err != nil {
			return nil, err
		}
		if at = len(b); at == n {
			return b, nil
		}
		b = append(b, make([]byte, min(n-at, at))...)
	}
}

// startup reads the body of a startup packet: a request code or a version, then parameters.
func (g *guard) startup() ([]byte, error) {
	if _, err := io.ReadFull(g.r, g.head[:4]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(g.head[:4])
	if n < 8 || n > maxStartupPacket {
		return nil, pgerr.New(pgerr.ProtocolViolation, "invalid length of startup packet")
	}
	b, err := g.body(int(n)-4, growStep)
	return b, unexpectedEOF(err)
}

// response reads the client's answer to a request of the authentication: a message of type p with at most limit bytes. what is what was asked for.
func (g *guard) response(limit int, what string) ([]byte, error) {
	if _, err := io.ReadFull(g.r, g.head[:]); err != nil {
		return nil, err
	}
	if g.head[0] != 'p' {
		return nil, fatalError(pgerr.ProtocolViolation, "expected %s response, got message type %d", what, g.head[0])
	}
	n := binary.BigEndian.Uint32(g.head[1:])
	if n < 4 || uint64(n)-4 > uint64(limit) {
		return nil, fatalError(pgerr.ProtocolViolation, "invalid message length")
	}
	b, err := g.body(int(n)-4, growStep)
	return b, unexpectedEOF(err)
}

func unexpectedEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// validate checks the whole shape of a body, in PostgreSQL's words.
func validate(typ byte, body []byte) *pgerr.Error {
	c := cursor{b: body}
	switch typ {
	case 'Q':
		c.str()
	case 'P':
		c.str()
		c.str()
		c.skip(4 * int(c.u16()))
	case 'B':
		c.bind()
	case 'C', 'D':
		kind := c.u8()
		c.str()
		if c.err == nil && kind != 'S' && kind != 'P' {
			name := "CLOSE"
			if typ == 'D' {
				name = "DESCRIBE"
			}
			return pgerr.New(pgerr.ProtocolViolation, "invalid %s message subtype %d", name, kind)
		}
	case 'E':
		c.str()
		c.skip(4)
	case 'f':
		c.str()
	case 'd', 'p', 'F':
		// Data of any shape; password messages and function calls are answered without being decoded.
		return nil
	}
	if c.err == nil && len(c.b) != 0 {
		c.fail("invalid message format")
	}
	return c.err
}

// cursor walks over a body. After a failure it gives zeros.
type cursor struct {
	b   []byte
	err *pgerr.Error
}

func (c *cursor) fail(msg string) {
	if c.err == nil {
		c.err = pgerr.New(pgerr.ProtocolViolation, "%s", msg)
	}
	c.b = nil
}

func (c *cursor) skip(n int) {
	if n < 0 || n > len(c.b) {
		c.fail("insufficient data left in message")
		return
	}
	c.b = c.b[n:]
}

func (c *cursor) str() {
	i := bytes.IndexByte(c.b, 0)
	if i < 0 {
		c.fail("invalid string in message")
		return
	}
	c.b = c.b[i+1:]
}

func (c *cursor) u8() byte {
	if len(c.b) < 1 {
		c.fail("no data left in message")
		return 0
	}
	x := c.b[0]
	c.b = c.b[1:]
	return x
}

func (c *cursor) u16() uint16 {
	if len(c.b) < 2 {
		c.fail("insufficient data left in message")
		return 0
	}
	x := binary.BigEndian.Uint16(c.b)
	c.b = c.b[2:]
	return x
}

func (c *cursor) i32() int32 {
	if len(c.b) < 4 {
		c.fail("insufficient data left in message")
		return 0
	}
	x := int32(binary.BigEndian.Uint32(c.b))
	c.b = c.b[4:]
	return x
}

func (c *cursor) bind() {
	c.str()
	c.str()
	formats := int(c.u16())
	c.skip(2 * formats)
	params := int(c.u16())
	if c.err == nil && formats > 1 && formats != params {
		c.err = pgerr.New(pgerr.ProtocolViolation, "bind message has %d parameter formats but %d parameters", formats, params)
		c.b = nil
		return
	}
	for range params {
		n := c.i32()
		if c.err != nil {
			return
		}
		switch {
		case n == -1:
		case n < -1 || n > math.MaxInt32-4:
			c.fail("invalid message format")
			return
		default:
			c.skip(int(n))
		}
	}
	c.skip(2 * int(c.u16()))
}

// frameSource is pgproto3's ChunkReader over a frame that the guard has passed:
// pgproto3 asks for the header, then for the body.
type frameSource struct {
	f      frame
	header [5]byte
	state  int // 0: nothing to give, 1: the header is next, 2: the body is
}

// load makes f the next message.
func (s *frameSource) load(f frame) {
	s.f, s.state = f, 1
	s.header[0] = f.typ
	binary.BigEndian.PutUint32(s.header[1:], uint32(len(f.body)+4))
}

// Next implements pgproto3.ChunkReader.
func (s *frameSource) Next(n int) ([]byte, error) {
	switch {
	case s.state == 1 && n == len(s.header):
		s.state = 2
		return s.header[:], nil
	case s.state == 2 && n == len(s.f.body):
		s.state = 0
		return s.f.body, nil
	}
	return nil, pgerr.New(pgerr.InternalError, "frame read out of step")
}
