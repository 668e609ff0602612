package crashtest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// binary is the server, built once for all tests.
var binary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "crashtest")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "streamsql")
		build := exec.Command("go", "build", "-o", binary, "streamsql/cmd/streamsql")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "building the server: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// startPatience is how long a server may take until it listens: the machine may be busy.
const startPatience = 60 * time.Second

// server is a running server process.
type server struct {
	cmd     *exec.Cmd
	addr    string
	started time.Duration // until it listened
	gone    chan struct{}
	err     error // how it ended, once gone is closed

	mu  sync.Mutex
	log []string
}

// start runs the server on a data directory; point is a crash point or "".
func start(dir, point string) (*server, error) { return startWith(point, "--data", dir) }

// startWith runs the server with flags.
func startWith(point string, flags ...string) (*server, error) {
	s := &server{cmd: exec.Command(binary, append([]string{"serve", "--listen", "127.0.0.1:0"}, flags...)...), gone: make(chan struct{})}
	if point != "" {
		s.cmd.Env = append(os.Environ(), "STREAMSQL_CRASH="+point)
	}
	// A server must not outlive a test that is killed.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	errs, err := s.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	addr := make(chan string, 1)
	var readers sync.WaitGroup
	read := func(r io.Reader) {
		defer readers.Done()
		for lines := bufio.NewScanner(r); lines.Scan(); {
			line := lines.Text()
			if a, ok := strings.CutPrefix(line, "listening on "); ok {
				addr <- a
			}
			s.mu.Lock()
			s.log = append(s.log, line)
			s.mu.Unlock()
		}
	}
	readers.Add(2)
	go read(out)
	go read(errs)
	go func() {
		readers.Wait()
		s.err = s.cmd.Wait()
		close(s.gone)
	}()
	select {
	case s.addr = <-addr:
	case <-s.gone:
		if point != "" && s.killed() {
			return s, nil // it has died at its point
		}
		return nil, fmt.Errorf("the server did not start: %v\n%s", s.err, s.tail())
	case <-time.After(startPatience):
		s.kill()
		return nil, fmt.Errorf("the server did not start within %s:\n%s", startPatience, s.tail())
	}
	s.started = time.Since(began)
	return s, nil
}

// tail gives the end of what the server said.
func (s *server) tail() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.log[max(0, len(s.log)-20):], "\n")
}

func (s *server) kill() {
	_ = s.cmd.Process.Kill() // it may have died by itself
	<-s.gone
}

// killed reports whether the process, which is gone, was ended by SIGKILL.
func (s *server) killed() bool {
	var e *exec.ExitError
	return errors.As(s.err, &e) && e.Sys().(syscall.WaitStatus).Signaled() && e.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
}

// stop ends the server in order; it must then exit with 0.
func (s *server) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-s.gone:
	case <-time.After(startPatience):
		s.kill()
		return fmt.Errorf("the server did not stop within %s of SIGTERM:\n%s", startPatience, s.tail())
	}
	if s.err != nil {
		return fmt.Errorf("the server was told to stop: %v\n%s", s.err, s.tail())
	}
	return nil
}

func (s *server) url() string { return "postgres://crash@" + s.addr + "/streamsql?sslmode=disable" }

// connect opens a session.
func (s *server) connect(ctx context.Context) (*pgx.Conn, error) {
	c, err := pgx.ParseConfig(s.url())
	if err != nil {
		return nil, err
	}
	return pgx.ConnectConfig(ctx, c)
}
