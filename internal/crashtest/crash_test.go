package crashtest

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"streamsql/internal/crash"
)

var (
	cycles = flag.Int("crash.cycles", 50, "how often the server is killed")
	seed   = flag.Uint64("crash.seed", 0, "seed of the random choices; 0 takes a new one")
	most   = flag.Duration("crash.most", time.Second, "how long a cycle lives at the most")
	keep   = flag.Bool("crash.keep", false, "keep the files of a run with violations")
)

// settleEvery is after how many cycles everything is waited for.
const settleEvery = 10

// TestKill is the test; see the package.
func TestKill(t *testing.T) {
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	dir, err := os.MkdirTemp("", "crash")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(dir, *seed)
	defer func() {
		if *keep && len(w.violations) > 0 {
			t.Logf("kept: %s", dir)
			return
		}
		os.RemoveAll(dir)
	}()
	n := *cycles
	if testing.Short() {
		n = min(n, 10)
	}
	if err := w.setUp(context.Background()); err != nil {
		t.Fatalf("seed %d: %v", *seed, err)
	}
	for w.cycles < n && len(w.violations) == 0 {
		w.cycles++
		if err := w.cycle(); err != nil {
			t.Errorf("seed %d: cycle %d: %v", *seed, w.cycles, err)
			break
		}
	}
	if len(w.violations) == 0 && !t.Failed() {
		if err := w.finish(); err != nil {
			t.Errorf("seed %d: at the end: %v", *seed, err)
		}
	}
	for _, v := range w.violations {
		t.Error(v)
	}
	rows, upserts := 0, 0
	for _, x := range w.ws {
		rows, upserts = rows+x.acked, upserts+x.upserts
	}
	resumed, told := 0, 0
	for _, f := range w.followers {
		resumed, told = resumed+f.resumed, told+f.told
	}
	t.Logf("%d upserts, %d changes of a table's columns, %d pauses and resumptions, %d subscriptions resumed, %d progress rows", upserts, w.alter.times, w.pause.times, resumed, told)
	t.Logf("%d cycles (%d killed, %d at named points, %d stopped in order), %d violations, seed %d; %d rows acknowledged, %d events, slowest start %s",
		w.cycles, w.kills, w.points, w.stops, len(w.violations), *seed, rows, w.events.total(), w.slowest.Round(time.Millisecond))
}

// cycle starts the server, checks, works and ends the server.
func (w *world) cycle() error {
	point := ""
	if w.rng.IntN(2) == 0 {
		point = fmt.Sprintf("%s:%d", crash.Points[w.rng.IntN(len(crash.Points))], 1+w.rng.IntN(12))
	}
	stop := point == "" && w.rng.IntN(6) == 0
	life := time.Duration(w.rng.Int64N(int64(*most)))
	s, err := start(w.data(), point)
	if err != nil {
		return err
	}
	w.slowest = max(w.slowest, s.started)
	if s.addr != "" {
		if err := w.started(s); err != nil {
			select {
			case <-s.gone: // at its point, before everything was checked
			case <-time.After(10 * time.Second):
				s.kill()
				return err
			}
		}
		w.newSink(s)
		ctx, cancel := context.WithTimeout(context.Background(), life)
		go func() {
			select {
			case <-s.gone:
				cancel()
			case <-ctx.Done():
			}
		}()
		worked := make(chan struct{})
		go func() {
			defer close(worked)
			w.work(ctx, s)
		}()
		<-ctx.Done()
		if !stop && !s.dead() {
			s.kill() // clients find out in the middle of what they do
		}
		<-worked
		cancel()
	}
	switch {
	case stop && !s.dead():
		if w.cycles%settleEvery == 0 {
			if err := w.settled(s); err != nil {
				return err
			}
		}
		w.stops++
		return s.stop()
	case point != "" && s.dead() && !s.killed():
		return fmt.Errorf("the server ended by itself at %s: %v\n%s", point, s.err, s.tail())
	case !s.killed():
		return fmt.Errorf("the server ended by itself: %v\n%s", s.err, s.tail())
	case point != "":
		w.points++
	default:
		w.kills++
	}
	if w.cycles%settleEvery == 0 {
		return w.settle()
	}
	return nil
}

// dead reports whether the process is gone.
func (s *server) dead() bool {
	select {
	case <-s.gone:
		return true
	default:
		return false
	}
}

// settle starts the server, waits until everything has arrived and kills it.
func (w *world) settle() error {
	s, err := start(w.data(), "")
	if err != nil {
		return err
	}
	defer s.kill()
	if err := w.started(s); err != nil {
		return err
	}
	return w.settled(s)
}

// finish checks everything once more, stops the server in order, and checks that a stop loses nothing either.
func (w *world) finish() error {
	for range 2 {
		s, err := start(w.data(), "")
		if err != nil {
			return err
		}
		if err := w.started(s); err != nil {
			s.kill()
			return err
		}
		if err := w.settled(s); err != nil {
			s.kill()
			return err
		}
		if err := s.stop(); err != nil {
			return err
		}
		w.stops++
		if left := strings.Contains(s.tail(), "panic"); left {
			return fmt.Errorf("the server said:\n%s", s.tail())
		}
	}
	return nil
}
