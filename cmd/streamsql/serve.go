package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"streamsql/internal/pgerr"
	"streamsql/wire"
)

// serve is streamsql serve.
func serve(args []string, io streams) int {
	f := flags("serve", io, "serve [--listen ADDR] [--data DIR] [--tls-cert FILE --tls-key FILE] [--hba FILE]")
	listen := f.String("listen", defaultAddress, "address and port to serve PostgreSQL clients on; port 0 takes a free one")
	engine := resourceFlags(f)
	connections := f.Int("max-connections", 100, "how many sessions there may be at once")
	cert := f.String("tls-cert", "", "file with the server's certificate and its chain (PEM); connections may be encrypted then")
	key := f.String("tls-key", "", "file with the key of the certificate (PEM)")
	hba := f.String("hba", "", "file of the form of pg_hba.conf that says who may connect and how they prove who they are\n"+
		"(without it: anyone on this machine, and others over TLS with a password)")
	database := f.String("database", "", "names, with commas between, under which clients find the database\n(without it: streamsql and postgres; without --hba as well: any name)")
	insecure := f.Bool("insecure", false, "listen on an address that other machines can reach, although they need no password or encryption")
	if _, code, ok := parse(f, args, 0); !ok {
		return code
	}
	// Signals are taken before anyone can connect, so that every stop is a graceful one.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	log := slog.New(slog.NewTextHandler(io.err, nil))
	o := wire.Options{MaxConnections: *connections, Log: log, Insecure: *insecure, RulesFile: *hba, Reload: hangups(ctx)}
	if err := security(&o, *cert, *key, *database); err != nil {
		printError(io.err, "", "", err)
		return exitUsage
	}
	ln, err := net.Listen("tcp", *listen)
	if err != nil {
		fmt.Fprintf(io.err, "streamsql: %v\n", err)
		return exitError
	}
	e, ok := engine.open(log, io)
	if !ok {
		_ = ln.Close()
		return exitError
	}
	defer e.Close()
	if err := wire.CheckListen(ln.Addr(), o, e); err != nil {
		_ = ln.Close() // nothing was accepted
		printError(io.err, "", "", err)
		return exitUsage
	}
	fmt.Fprintf(io.out, "listening on %s\n", ln.Addr())
	if engine.data == "" {
		fmt.Fprintln(io.out, "everything is kept in memory and lost at the end")
	} else {
		fmt.Fprintf(io.out, "everything is kept in %s and goes on from there after a restart\n", engine.data)
	}
	if err := wire.Serve(ctx, ln, e, o); err != nil {
		printError(io.err, "", "", err)
		return exitError
	}
	if err := e.Close(); err != nil {
		printError(io.err, "", "", err)
		return exitError
	}
	return exitOK
}

// security reads what the flags about who gets in name.
func security(o *wire.Options, cert, key, database string) (err error) {
	if (cert == "") != (key == "") {
		return pgerr.New(pgerr.ConfigFileError, "a certificate needs its key: give --tls-cert and --tls-key")
	}
	if cert != "" {
		if o.Certificate, err = wire.LoadCertificate(cert, key); err != nil {
			return err
		}
	}
	if o.RulesFile != "" {
		if o.Rules, err = wire.ReadRules(o.RulesFile); err != nil {
			return err
		}
	}
	if database != "" {
		o.Databases = strings.Split(database, ",")
	}
	return nil
}

// hangups tells of SIGHUP until ctx is done: what has been configured in files is read again.
func hangups(ctx context.Context) <-chan struct{} {
	signals, out := make(chan os.Signal, 1), make(chan struct{}, 1)
	signal.Notify(signals, syscall.SIGHUP)
	go func() {
		defer signal.Stop(signals)
		for {
			select {
			case <-signals:
				select {
				case out <- struct{}{}:
				default: // one that waits will do
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}
