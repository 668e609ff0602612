package engine

import (
	"context"
	"time"

	"streamsql/connector"
	"streamsql/internal/pgerr"
)

// A source of a view that fails for a reason that may pass (a file system or a broker that is away) is opened again
// where it was, after a pause that doubles from try to try. The view keeps what it has and waits.
const (
	firstRetry = 250 * time.Millisecond
	lastRetry  = 30 * time.Second
)

// mayPass reports whether an error of a source is of a kind that trying again may cure: not what is wrong with the rows or the options.
func mayPass(err error) bool {
	switch pgerr.Code(err) {
	case pgerr.UndefinedFile, pgerr.InsufficientPrivilege:
		return true
	case "":
		return false
	}
	switch pgerr.Code(err)[:2] {
	case "08", "53", "57", "58":
		return true
	}
	return false
}

// outage is what is known of a source that is away.
type outage struct {
	err   error
	at    connector.Offset // after the last row that was taken
	pause time.Duration
	until time.Time // of the next try
}

// interrupted notes that the source failed after position at; false where trying again makes no sense.
func (f *feed) interrupted(err error, at connector.Offset) bool {
	if !f.patient || !mayPass(err) {
		return false
	}
	pause := firstRetry
	if f.away != nil {
		pause = min(2*f.away.pause, lastRetry)
		at = f.away.at
	} else {
		f.e.log.Warn("source failed, will try again", "source", f.scan.Rel.Name, "error", err)
	}
	f.away = &outage{err: err, at: at, pause: pause, until: time.Now().Add(pause)}
	f.builder.Truncate(0)
	return true
}

// back opens a source again that had failed, if it is time. away is how long it is away still.
func (f *feed) back(ctx context.Context) (away time.Duration, err error) {
	if away = time.Until(f.away.until); away > 0 {
		return away, nil
	}
	old := f.src
	if err := f.open(ctx, f.away.at, false); err != nil {
		f.src = old
		if f.interrupted(err, nil) {
			return f.away.pause, nil
		}
		return 0, err
	}
	old.Close()
	return 0, nil
}

// A job that fails inside, by a panic of an operator, goes on from the last durable epoch. What fails again and again, and does not run
// for a while in between, stays failed: RESUME tries once more.
const (
	maxRestarts = 3
	steadyAfter = time.Minute
)

// comeBack lets a job that has just failed inside be brought back, after a pause that doubles from time to time. Readers see its last content meanwhile. The caller
// holds coordinator.step and runs on behalf of the engine, until ctx is done.
func (j *job) comeBack(ctx context.Context) {
	if j.journal == nil || pgerr.Code(j.failed) != pgerr.InternalError {
		return
	}
	if !j.cameBack.IsZero() && time.Since(j.cameBack) > steadyAfter {
		j.restarts = 0
	}
	if j.restarts >= maxRestarts {
		return
	}
	e, tried := j.e, j.restarts
	e.running.Add(1)
	go func() {
		defer e.running.Done()
		for n := tried; n < maxRestarts; n++ {
			if sleep(ctx, firstRetry<<n) != nil {
				return
			}
			rel := e.Catalog().ByOID(j.rel.rel.OID)
			if rel == nil || e.jobOf(rel.OID) != j { // it was dropped, or somebody else has brought it back
				return
			}
			e.coord.step.Lock()
			j.restarts, j.cameBack = n+1, time.Now() // which the one that comes takes over
			e.coord.step.Unlock()
			err := j.restart(ctx, false)
			if err == nil {
				e.log.Info(rel.Kind.String()+" goes on from the last epoch", "name", rel.Name)
				return
			}
			if ctx.Err() != nil {
				return
			}
			e.coord.step.Lock()
			j.failed = err
			e.coord.step.Unlock()
			if pgerr.Code(err) != pgerr.InternalError {
				return
			}
		}
	}()
}
