package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
)

const formatHelp = "how results are printed: table, csv or json (one object a line)"

// checkFormat reports an unknown format on io.err.
func checkFormat(format string, io streams) bool {
	switch format {
	case "table", "csv", "json":
		return true
	}
	fmt.Fprintf(io.err, "streamsql: unknown format %q: it is table, csv or json\n", format)
	return false
}

// runCommand is streamsql -c SQL.
func runCommand(args []string, io streams) int {
	f := flags("streamsql", io, "-c SQL [--format FORMAT]")
	var commands []string
	f.Func("c", "the SQL to run; may be given several times", func(s string) error {
		commands = append(commands, s)
		return nil
	})
	format := f.String("format", "table", formatHelp)
	engine := resourceFlags(f)
	if _, code, ok := parse(f, args, 0); !ok {
		return code
	}
	if len(commands) == 0 {
		f.Usage()
		return exitUsage
	}
	return runScripts(commands, make([]string, len(commands)), *format, engine, io)
}

// runFile is streamsql run FILE.
func runFile(args []string, std streams) int {
	f := flags("run", std, "run FILE [--format FORMAT]")
	format := f.String("format", "table", formatHelp)
	engine := resourceFlags(f)
	files, code, ok := parse(f, args, 1)
	if !ok {
		return code
	}
	var text []byte
	var err error
	if files[0] == "-" {
		text, err = io.ReadAll(std.in)
	} else {
		text, err = os.ReadFile(files[0])
	}
	if err != nil {
		fmt.Fprintf(std.err, "streamsql: %v\n", err)
		return exitError
	}
	return runScripts([]string{string(text)}, files, *format, engine, std)
}

// runScripts runs scripts in one session on an embedded engine and stops at the first error.
func runScripts(scripts, names []string, format string, engine *resources, io streams) int {
	if !checkFormat(format, io) {
		return exitUsage
	}
	e, ok := engine.open(nil, io)
	if !ok {
		return exitError
	}
	defer e.Close()
	sh, err := newShell(e, io, format)
	if err != nil {
		printError(io.err, "", "", err)
		return exitError
	}
	defer sh.close()
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	defer signal.Stop(interrupts)
	go func() {
		select {
		case <-interrupts:
			cancel(errInterrupted)
		case <-ctx.Done():
		}
	}()
	for i, text := range scripts {
		if !sh.script(ctx, text, names[i]) {
			return exitError
		}
	}
	return exitOK
}

// script runs the statements of a text one by one, so that those before a syntax
// error have run. Data for COPY FROM STDIN follows its statement.
func (s *shell) script(ctx context.Context, text, name string) bool {
	rest, line := text, 1
	take := func(n int) string {
		part := rest[:n]
		rest = rest[n:]
		line += strings.Count(part, "\n")
		return part
	}
	takeLine := func() string {
		n := strings.IndexByte(rest, '\n')
		if n < 0 {
			return take(len(rest))
		}
		return strings.TrimSuffix(take(n+1), "\n")
	}
	for {
		take(len(rest) - len(strings.TrimLeft(rest, " \t\r\n\f\v")))
		if rest == "" {
			return true
		}
		where := ""
		if name != "" {
			where = fmt.Sprintf("%s:%d", name, line)
		}
		if rest[0] == '\\' {
			if !s.meta(ctx, takeLine(), where) {
				return false
			}
			continue
		}
		end := statementEnd(rest)
		if end < 0 {
			end = len(rest)
		}
		sql := take(end)
		if blank(sql) {
			continue
		}
		started := false
		s.copyLine = func() (string, bool) {
			if !started { // what follows the semicolon on its line
				started = true
				if strings.TrimSpace(takeLine()) != "" {
					return "", false
				}
			}
			if rest == "" {
				return "", false
			}
			return takeLine(), true
		}
		if !s.run(ctx, sql, where) {
			return false
		}
	}
}
