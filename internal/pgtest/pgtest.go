// Package pgtest starts a private PostgreSQL 15 for tests that compare with it.
package pgtest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Server is a PostgreSQL of our own: a fresh cluster in a temporary directory on a free loopback port, whose
// superuser postgres needs no password. Its collation is C and its characters are Unicode's, as ours are.
type Server struct {
	Port int

	dir string
	cmd *exec.Cmd
	log bytes.Buffer
}

// findProgram looks where packages put version 15 before it looks in the path.
func findProgram(name string) (string, error) {
	for _, dir := range []string{"/usr/lib/postgresql/15/bin", "/usr/local/bin", "/opt/homebrew/opt/postgresql@15/bin"} {
		p := filepath.Join(dir, name)
		if _, err := os.Stat(p); err == nil {
			return p, nil
		}
	}
	p, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%s is not installed (make deps)", name)
	}
	return p, nil
}

// Start starts a server, which the caller must Stop. The error says what is missing; tests are then skipped.
func Start() (*Server, error) {
	initdb, err := findProgram("initdb")
	if err != nil {
		return nil, err
	}
	bin, err := findProgram("postgres")
	if err != nil {
		return nil, err
	}
	version, err := exec.Command(bin, "--version").Output()
	if err != nil {
		return nil, err
	}
	if !strings.Contains(string(version), " 15") {
		return nil, fmt.Errorf("%s is not version 15", strings.TrimSpace(string(version)))
	}
	dir, err := os.MkdirTemp("", "streamsql-pg")
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir}
	if err := s.start(initdb, bin); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

func (s *Server) start(initdb, bin string) error {
	// PostgreSQL refuses to run as root: it gets the account that its package made.
	attr := &syscall.SysProcAttr{}
	if os.Getuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			return errors.New("running as root, and there is no user postgres")
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		if err := os.Chown(s.dir, uid, gid); err != nil {
			return err
		}
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	data := filepath.Join(s.dir, "data")
	init := exec.Command(initdb, "-D", data, "-U", "postgres", "-E", "UTF8", "-A", "trust", "--no-sync",
		"--locale=C", "--lc-ctype=C.UTF-8")
	init.SysProcAttr, init.Dir = attr, s.dir
	if out, err := init.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %v: %s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.Port = l.Addr().(*net.TCPAddr).Port
	l.Close()
	s.cmd = exec.Command(bin, "-D", data, "-p", strconv.Itoa(s.Port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
		"-c", "fsync=off", "-c", "full_page_writes=off", "-c", "synchronous_commit=off", "-c", "autovacuum=off", "-c", "jit=off",
		"-c", "TimeZone=UTC", "-c", "DateStyle=ISO, MDY", "-c", "log_destination=stderr")
	s.cmd.SysProcAttr, s.cmd.Dir, s.cmd.Stderr = attr, s.dir, &s.log
	if err := s.cmd.Start(); err != nil {
		s.cmd = nil
		return err
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		err := s.ready()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("postgres does not answer: %w: %s", err, s.log.String())
		}
	}
}

// ready asks whether the server takes sessions: a server that is starting listens already, but answers with an error.
func (s *Server) ready() error {
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.Port))
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	hello := "\x00\x03\x00\x00user\x00postgres\x00database\x00postgres\x00\x00"
	if _, err := c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(4+len(hello))), hello...)); err != nil {
		return err
	}
	var kind [1]byte
	if _, err := c.Read(kind[:]); err != nil {
		return err
	}
	if kind[0] != 'R' { // AuthenticationOk
		return errors.New("it is still starting")
	}
	return nil
}

// URL is the connection string of a database of the server, as pgx and lib/pq read it.
func (s *Server) URL(database string) string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable", s.Port, database)
}

// Stop ends the server, with the sessions that are left, and removes its directory.
func (s *Server) Stop() {
	if s.cmd != nil {
		s.cmd.Process.Signal(syscall.SIGINT) // fast shutdown
		done := make(chan struct{})
		go func() { s.cmd.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			s.cmd.Process.Kill()
			<-done
		}
	}
	os.RemoveAll(s.dir)
}
