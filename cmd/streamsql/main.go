// Command streamsql runs SQL over streams: an interactive shell and scripts on an
// embedded engine, a server for PostgreSQL clients, and a demonstration.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"streamsql/internal/bench"
)

// The exit codes.
const (
	exitOK    = 0
	exitError = 1 // a statement failed, or the server could not run
	exitUsage = 2
)

const usage = `Usage:
  streamsql [repl]                      the interactive shell, on an engine of its own
  streamsql -c SQL [--format FORMAT]    run SQL and print the results
  streamsql run FILE [--format FORMAT]  run the statements of a file ("-" is standard input)
  streamsql serve [--listen ADDR]       serve PostgreSQL clients
  streamsql backup DIR [--connect ADDR] copy what a running server keeps to a new directory
  streamsql restore BACKUP --data DIR   check a backup and make a data directory of it
  streamsql demo [--for DURATION]       a live view over generated auctions, with a server for psql
  streamsql bench nexmark [FLAGS]       events a second of Nexmark queries, beside hand-written loops
  streamsql bench memory [FLAGS]        the memory of endless queries, which must not grow with the stream
  streamsql bench spill [FLAGS]         queries whose state does not fit the memory, beside the same with enough of it
  streamsql bench durability [FLAGS]    views with a data directory, beside the same in memory
  streamsql version

"streamsql COMMAND --help" tells the flags of a command.
FORMAT is table, csv or json (one object a line).
`

// streams are what a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

func main() {
	os.Exit(run(os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr}))
}

// run carries out a command line and gives the exit code.
func run(args []string, io streams) int {
	if len(args) == 0 {
		return repl(nil, io)
	}
	switch args[0] {
	case "repl":
		return repl(args[1:], io)
	case "run":
		return runFile(args[1:], io)
	case "serve":
		return serve(args[1:], io)
	case "backup":
		return backup(args[1:], io)
	case "restore":
		return restore(args[1:], io)
	case "demo":
		return demo(args[1:], io)
	case "bench":
		return bench.Main(args[1:], io.out, io.err)
	case "version", "--version", "-version":
		fmt.Fprintln(io.out, version())
		return exitOK
	case "help", "--help", "-help", "-h":
		fmt.Fprint(io.out, usage)
		return exitOK
	}
	if len(args[0]) > 0 && args[0][0] == '-' {
		return runCommand(args, io)
	}
	fmt.Fprintf(io.err, "streamsql: unknown command %q\n\n%s", args[0], usage)
	return exitUsage
}

// flags makes the flag set of a command; parse reads it.
func flags(name string, io streams, synopsis string) *flag.FlagSet {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.SetOutput(io.err)
	f.Usage = func() {
		fmt.Fprintf(io.err, "Usage: streamsql %s\n", synopsis)
		f.PrintDefaults()
	}
	return f
}

// parse reads the flags in args, which may stand before and after n operands. ok is
// false where the command ends here, with the exit code given.
func parse(f *flag.FlagSet, args []string, n int) (operands []string, code int, ok bool) {
	for {
		switch err := f.Parse(args); {
		case errors.Is(err, flag.ErrHelp):
			return nil, exitOK, false
		case err != nil:
			return nil, exitUsage, false
		}
		if args = f.Args(); len(args) == 0 {
			break
		}
		operands = append(operands, args[0])
		args = args[1:]
	}
	if len(operands) != n {
		fmt.Fprintf(f.Output(), "streamsql %s: %d arguments where %d are expected\n", f.Name(), len(operands), n)
		f.Usage()
		return nil, exitUsage, false
	}
	return operands, exitOK, true
}
