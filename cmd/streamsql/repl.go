package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
)

// repl is the interactive shell.
func repl(args []string, io streams) int {
	f := flags("repl", io, "repl [--format FORMAT]")
	format := f.String("format", "table", formatHelp)
	engine := resourceFlags(f)
	if _, code, ok := parse(f, args, 0); !ok {
		return code
	}
	if !checkFormat(*format, io) {
		return exitUsage
	}
	e, ok := engine.open(nil, io)
	if !ok {
		return exitError
	}
	defer e.Close()
	sh, err := newShell(e, io, *format)
	if err != nil {
		printError(io.err, "", "", err)
		return exitError
	}
	defer sh.close()
	lines, err := newLineReader(io.in, sh.complete)
	if err != nil {
		fmt.Fprintf(io.err, "streamsql: %v\n", err)
		return exitError
	}
	defer lines.close()
	if isTerminal(io.in) {
		fmt.Fprintf(io.out, "%s\nEverything is kept in memory. Type \\? for help, \\q to quit.\n\n", version())
	}
	return sh.loop(lines)
}

// interrupter turns Ctrl-C into the end of the statement that runs.
type interrupter struct {
	mu     sync.Mutex
	cancel context.CancelCauseFunc
}

// watch starts to listen for interrupts; stop ends it.
func (i *interrupter) watch() (stop func()) {
	c := make(chan os.Signal, 1)
	done := make(chan struct{})
	signal.Notify(c, os.Interrupt)
	go func() {
		for {
			select {
			case <-c:
				i.mu.Lock()
				if i.cancel != nil {
					i.cancel(errInterrupted)
				}
				i.mu.Unlock()
			case <-done:
				return
			}
		}
	}()
	return func() {
		signal.Stop(c)
		close(done)
	}
}

// during gives f a context that an interrupt ends.
func (i *interrupter) during(f func(ctx context.Context)) {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	i.mu.Lock()
	i.cancel = cancel
	i.mu.Unlock()
	f(ctx)
	i.mu.Lock()
	i.cancel = nil
	i.mu.Unlock()
}

// loop reads and runs statements until the input ends. The exit code is that of the
// last statement where nobody types.
func (s *shell) loop(lines lineReader) int {
	var ints interrupter
	defer ints.watch()()
	s.copyLine = func() (string, bool) {
		l, err := lines.line("")
		return l, err == nil
	}
	_, typed := lines.(*editedLines)
	code := exitOK
	result := func(ok bool) {
		if !ok && !typed {
			code = exitError
		}
	}
	text := ""
	for {
		line, err := lines.line(s.prompt(text))
		switch {
		case errors.Is(err, errInterrupted):
			text = ""
			continue
		case errors.Is(err, io.EOF):
			if !blank(text) { // the last statement of a script may lack its semicolon
				ints.during(func(ctx context.Context) { result(s.run(ctx, strings.TrimSpace(text), "")) })
			}
			return code
		case err != nil:
			fmt.Fprintf(s.io.err, "streamsql: %v\n", err)
			return exitError
		}
		if blank(text) && strings.HasPrefix(strings.TrimSpace(line), `\`) {
			lines.remember(line)
			quit := false
			ints.during(func(ctx context.Context) {
				err := s.metaCommand(ctx, strings.TrimRight(strings.TrimSpace(line), ";"))
				quit = errors.Is(err, errQuit)
				if err != nil && !quit {
					printError(s.io.err, "", "", err)
					result(false)
				}
			})
			if quit {
				return code
			}
			continue
		}
		text += line + "\n"
		for {
			end := statementEnd(text)
			if end < 0 {
				break
			}
			sql := strings.TrimSpace(text[:end])
			text = strings.TrimLeft(text[end:], " \t\r\n")
			if blank(sql) {
				continue
			}
			lines.remember(sql)
			ints.during(func(ctx context.Context) { result(s.run(ctx, sql, "")) })
		}
		if blank(text) {
			text = ""
		}
	}
}

// prompt says what is awaited: a statement (=), its rest (-), and whether a transaction is open (*, ! if it failed).
func (s *shell) prompt(text string) string {
	mark := "="
	if text != "" {
		mark = "-"
	}
	switch s.session.TxStatus() {
	case 'T':
		mark += "*"
	case 'E':
		mark += "!"
	}
	return "streamsql" + mark + "> "
}
