package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"

	"streamsql/wire"
)

// serve is streamsql serve.
func serve(args []string, io streams) int {
	f := flags("serve", io, "serve [--listen ADDR] [--data DIR]")
	listen := f.String("listen", defaultAddress, "address and port to serve PostgreSQL clients on; port 0 takes a free one")
	engine := resourceFlags(f)
	connections := f.Int("max-connections", 100, "how many sessions there may be at once")
	insecure := f.Bool("insecure", false, "listen on an address that other machines can reach, although there are no passwords yet")
	if _, code, ok := parse(f, args, 0); !ok {
		return code
	}
	// Signals are taken before anyone can connect, so that every stop is a graceful one.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	ln, err := net.Listen("tcp", *listen)
	if err != nil {
		fmt.Fprintf(io.err, "streamsql: %v\n", err)
		return exitError
	}
	if addr, ok := ln.Addr().(*net.TCPAddr); ok && !addr.IP.IsLoopback() && !*insecure {
		_ = ln.Close() // nothing was accepted
		fmt.Fprintf(io.err, "streamsql: %s can be reached from other machines, and anyone could connect: there are no passwords yet\n"+
			"Listen on 127.0.0.1, or say --insecure if the network is safe.\n", *listen)
		return exitUsage
	}
	log := slog.New(slog.NewTextHandler(io.err, nil))
	e, ok := engine.open(log, io)
	if !ok {
		_ = ln.Close()
		return exitError
	}
	defer e.Close()
	fmt.Fprintf(io.out, "listening on %s\n", ln.Addr())
	if engine.data == "" {
		fmt.Fprintln(io.out, "everything is kept in memory and lost at the end")
	} else {
		fmt.Fprintf(io.out, "everything is kept in %s and goes on from there after a restart\n", engine.data)
	}
	if err := wire.Serve(ctx, ln, e, wire.Options{MaxConnections: *connections, Log: log}); err != nil {
		fmt.Fprintf(io.err, "streamsql: %v\n", err)
		return exitError
	}
	if err := e.Close(); err != nil {
		printError(io.err, "", "", err)
		return exitError
	}
	return exitOK
}
