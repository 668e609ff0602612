package crashtest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

var (
	memoryLong = flag.Bool("memory.long", false, "send every hostile statement in its full size, in memory and with a data directory")
	memoryOnly = flag.String("memory.only", "", "send only the hostile statements whose name matches")
)

const (
	// memoryLimit is what the server is given; memoryAllowance what the process may take beside it: the program itself, the
	// runtime, and what is garbage before the collector comes to it.
	memoryLimit     = 256 << 20
	memoryAllowance = 192 << 20
	// memoryKill is where a run is ended: the machine is not the test's alone.
	memoryKill = 1536 << 20
	// answerPatience is how long another connection may wait for SELECT 1 while the machine is busy.
	answerPatience = 15 * time.Second
)

// TestMemory sends statements that no machine has the memory for to a server with little of it. Each must be answered, or end
// with 53200 (54000 where the value itself is beyond all limits, 54001 where it is nested too deep); the process lives, stays within its limit and an
// allowance, and goes on answering others.
func TestMemory(t *testing.T) {
	if _, err := os.Stat("/proc/self/clear_refs"); err != nil {
		t.Skip("the system does not tell the peak memory of a process: ", err)
	}
	all := hostile()
	last := len(all) - 1
	cases := append(append(all[:last:last], clients()...), all[last])
	if *memoryOnly != "" {
		only := regexp.MustCompile(*memoryOnly)
		var some []hostileCase
		for _, c := range cases {
			if only.MatchString(c.name) {
				some = append(some, c)
			}
		}
		cases = some
	}
	for _, durable := range []bool{false, true} {
		if durable && !*memoryLong {
			continue
		}
		name := "memory"
		if durable {
			name = "data"
		}
		t.Run(name, func(t *testing.T) {
			m := &memoryWorld{t: t}
			if durable {
				m.data = t.TempDir()
			}
			defer m.stop()
			for _, c := range cases {
				if c.quick || *memoryLong || *memoryOnly != "" {
					m.send(c)
				}
			}
			t.Logf("the most that the process took was %d MB of %d MB and %d MB", m.most>>20, memoryLimit>>20, memoryAllowance>>20)
		})
	}
}

// memoryWorld is a server of little memory.
type memoryWorld struct {
	t    *testing.T
	data string
	s    *server
	most int64
}

// up starts the server if it does not run.
func (m *memoryWorld) up() {
	if m.s != nil && !m.s.dead() {
		return
	}
	flags := []string{"--memory", strconv.Itoa(memoryLimit)}
	if m.data != "" {
		flags = append(flags, "--data", m.data)
	}
	s, err := startWith("", flags...)
	if err != nil {
		m.t.Fatal(err)
	}
	m.s = s
}

// stop ends the server, which must not have ended by itself.
func (m *memoryWorld) stop() {
	if m.s == nil {
		return
	}
	if err := m.s.stop(); err != nil && !m.s.killed() {
		m.t.Error(err)
	}
	if strings.Contains(m.s.tail(), "panic") {
		m.t.Errorf("the server said:\n%s", m.s.tail())
	}
}

// connect opens a connection that reports nothing but results.
func (m *memoryWorld) connect() (*pgconn.PgConn, error) {
	return pgconn.Connect(context.Background(), m.s.url())
}

// run sends statements, one message each, up to the first that fails, and counts the rows of the last.
func run(ctx context.Context, c *pgconn.PgConn, sql ...string) (last string, rows int64, err error) {
	for _, q := range sql {
		r := c.Exec(ctx, q)
		for r.NextResult() {
			rows = 0
			rr := r.ResultReader()
			for rr.NextRow() {
				rows++
				if v := rr.Values(); len(v) > 0 && len(v[0]) < 100 {
					last = string(v[0])
				}
			}
			if _, err := rr.Close(); err != nil {
				return "", 0, errors.Join(err, r.Close())
			}
		}
		if err := r.Close(); err != nil {
			return "", 0, fmt.Errorf("%.80s: %w", q, err)
		}
	}
	return last, rows, nil
}

// memoryRefused reports whether a statement ended as one may that needs too much.
func memoryRefused(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && (e.Code == "53200" || strings.HasPrefix(e.Code, "54") ||
		e.Code == "2201B" && (strings.Contains(e.Message, "too complex") || strings.Contains(e.Message, "repetition count")))
}

// send sends a case and checks what the server does meanwhile and afterwards.
func (m *memoryWorld) send(c hostileCase) {
	m.up()
	began := time.Now()
	pid := m.s.cmd.Process.Pid
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0); err != nil {
		m.t.Fatal(err)
	}
	stop := make(chan struct{})
	var others sync.WaitGroup
	others.Add(2)
	go func() {
		defer others.Done()
		m.watch(c.name, stop)
	}()
	go func() {
		defer others.Done()
		m.ping(c.name, stop)
	}()
	said := c.run(m)
	close(stop)
	others.Wait()
	if m.s.dead() {
		m.t.Errorf("%s: the server ended: %v\n%s", c.name, m.s.err, m.s.tail())
		return
	}
	peak := status(pid, "VmHWM")
	m.most = max(m.most, peak)
	if peak > memoryLimit+memoryAllowance {
		m.t.Errorf("%s: the process took %d MB of %d MB", c.name, peak>>20, (memoryLimit+memoryAllowance)>>20)
	}
	m.t.Logf("%-32s %6.1fs %5d MB  %s", c.name, time.Since(began).Seconds(), peak>>20, said)
}

// watch ends a server that grows beyond all measure.
func (m *memoryWorld) watch(name string, stop chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(10 * time.Millisecond):
		}
		if n := status(m.s.cmd.Process.Pid, "VmRSS"); n > memoryKill {
			m.t.Errorf("%s: the process took %d MB and was ended", name, n>>20)
			m.s.kill()
			return
		}
	}
}

// ping asks something small all the time, which must be answered.
func (m *memoryWorld) ping(name string, stop chan struct{}) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var answered atomic.Int64
	answered.Store(time.Now().UnixNano())
	failed := make(chan error, 1)
	go func() {
		c, err := m.connect()
		for ; err == nil && ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
			var v string
			if v, _, err = run(ctx, c, "SELECT count(*) + 1 FROM (VALUES (1), (2)) AS t"); err == nil && v != "3" {
				err = fmt.Errorf("the answer was %q", v)
			}
			answered.Store(time.Now().UnixNano())
		}
		if ctx.Err() != nil {
			err = nil
		}
		failed <- err
		if c != nil {
			_ = c.Close(context.Background()) // the server may be gone
		}
	}()
	for {
		select {
		case <-stop:
			return
		case err := <-failed:
			if err != nil && !m.s.dead() {
				m.t.Errorf("%s: another connection: %v", name, err)
			}
			return
		case <-time.After(100 * time.Millisecond):
		}
		if d := time.Since(time.Unix(0, answered.Load())); d > answerPatience {
			m.t.Errorf("%s: another connection has waited for %s", name, d)
			return
		}
	}
}

// status gives a line of /proc/PID/status in bytes, 0 if there is none.
func status(pid int, name string) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, name+":"); ok {
			kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(v), "kB")), 10, 64)
			if err != nil {
				return 0
			}
			return kb << 10
		}
	}
	return 0
}
