package main

import (
	"flag"
	"log/slog"
	"runtime"
	"runtime/debug"

	"streamsql/engine"
	"streamsql/internal/mem"
)

// resources are what an engine is given of the machine: the flags that every command with an engine has.
type resources struct {
	data   string
	memory int64 // bytes, 0: without limit
}

// resourceFlags defines the flags.
func resourceFlags(f *flag.FlagSet) *resources {
	r := &resources{memory: mem.Default()}
	f.StringVar(&r.data, "data", "", "directory that keeps the state (in memory if not given)")
	f.Func("memory", "`amount` of memory to use, such as 512MB or 2GB; 0 is without limit (default: three quarters of what the control group or machine has). "+
		"State that does not fit is written to disk", func(s string) (err error) {
		r.memory, err = mem.ParseSize(s)
		return err
	})
	return r
}

// open starts an engine. log may be nil.
func (r *resources) open(log *slog.Logger, io streams) (*engine.Engine, bool) {
	if r.memory > 0 {
		debug.SetMemoryLimit(r.memory)
	}
	e, err := engine.Open(engine.Options{DataDir: r.data, Memory: r.memory, Log: log, Parallel: runtime.GOMAXPROCS(0)})
	if err != nil {
		printError(io.err, "", "", err)
		return nil, false
	}
	return e, true
}
