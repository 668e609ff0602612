package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"streamsql/engine"
	"streamsql/wire"
)

// defaultAddress is where a server listens, and is looked for, if nothing else is said.
const defaultAddress = "127.0.0.1:5433"

// interruptible gives a context that ends with Ctrl-C.
func interruptible() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
}

// backup is streamsql backup.
func backup(args []string, io streams) int {
	f := flags("backup", io, "backup DIR [--connect ADDR | --data DIR]")
	addr := f.String("connect", defaultAddress, "address and port of the running server, which makes the backup: DIR is on its machine")
	data := f.String("data", "", "back up a data directory that no server uses")
	dirs, code, ok := parse(f, args, 1)
	if !ok {
		return code
	}
	dir, err := filepath.Abs(dirs[0])
	ctx, stop := interruptible()
	defer stop()
	switch {
	case err != nil:
	case *data != "":
		err = engine.BackupDirectory(ctx, *data, dir)
	default:
		err = wire.Exec(ctx, *addr, "streamsql backup", "BACKUP TO '"+strings.ReplaceAll(dir, "'", "''")+"'")
	}
	if err != nil {
		printError(io.err, "", "", err)
		return exitError
	}
	fmt.Fprintf(io.out, "backed up to %s\n", dir)
	return exitOK
}

// restore is streamsql restore.
func restore(args []string, io streams) int {
	f := flags("restore", io, "restore BACKUP --data DIR")
	data := f.String("data", "", "directory to make of the backup; it must not exist or be empty")
	dirs, code, ok := parse(f, args, 1)
	if !ok {
		return code
	}
	if *data == "" {
		fmt.Fprintln(io.err, "streamsql restore: --data DIR is missing")
		f.Usage()
		return exitUsage
	}
	ctx, stop := interruptible()
	defer stop()
	if err := engine.Restore(ctx, dirs[0], *data); err != nil {
		printError(io.err, "", "", err)
		return exitError
	}
	fmt.Fprintf(io.out, "restored to %s; start it with streamsql serve --data %[1]s\n", *data)
	return exitOK
}
