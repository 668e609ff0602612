package bench

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
)

// client is as much of a PostgreSQL client as a benchmark of the real process needs: simple queries, answered in text.
type client struct {
	conn net.Conn
	r    *bufio.Reader
}

// dial connects and waits until the server takes queries.
func dial(addr string) (*client, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &client{conn: conn, r: bufio.NewReader(conn)}
	start := []byte("\x00\x00\x00\x00\x00\x03\x00\x00user\x00bench\x00\x00")
	binary.BigEndian.PutUint32(start, uint32(len(start)))
	if _, err = conn.Write(start); err == nil {
		_, err = c.answer()
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

// query runs a query and gives its rows: the values of each with | between them.
func (c *client) query(sql string) (rows []string, err error) {
	msg := append([]byte{'Q', 0, 0, 0, 0}, sql...)
	msg = append(msg, 0)
	binary.BigEndian.PutUint32(msg[1:], uint32(len(msg)-1))
	if _, err := c.conn.Write(msg); err != nil {
		return nil, err
	}
	if rows, err = c.answer(); err != nil {
		err = fmt.Errorf("%.60s: %w", sql, err)
	}
	return rows, err
}

// answer reads messages until the server is ready for a query.
func (c *client) answer() (rows []string, failed error) {
	for {
		var head [5]byte
		if _, err := io.ReadFull(c.r, head[:]); err != nil {
			return nil, err
		}
		body := make([]byte, max(int(binary.BigEndian.Uint32(head[1:]))-4, 0))
		if _, err := io.ReadFull(c.r, body); err != nil {
			return nil, err
		}
		switch head[0] {
		case 'Z':
			return rows, failed
		case 'E':
			for _, f := range strings.Split(string(body), "\x00") {
				if strings.HasPrefix(f, "M") {
					failed = errors.New(f[1:])
				}
			}
		case 'D':
			rows = append(rows, textRow(body))
		}
	}
}

func textRow(b []byte) string {
	if len(b) < 2 {
		return ""
	}
	var cells []string
	n := binary.BigEndian.Uint16(b)
	for b = b[2:]; n > 0 && len(b) >= 4; n-- {
		size := int32(binary.BigEndian.Uint32(b))
		if b = b[4:]; size < 0 {
			cells = append(cells, "NULL")
			continue
		}
		cells, b = append(cells, string(b[:size])), b[size:]
	}
	return strings.Join(cells, "|")
}

func (c *client) close() { c.conn.Close() }
