// Package vary draws constants of the engine at random, on which no result may depend: the tests of the engine then run with another engine each time.
//
// STREAMSQL_VARY=random draws them anew, STREAMSQL_VARY=SEED draws those of a seed. What was drawn is printed once, with the seed. Where the variable
// is not set nothing is drawn. Only what a caller left at its default is varied.
package vary

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"time"
)

// Constants is one draw; the zero value of a field stands for the engine's own constant.
type Constants struct {
	Seed uint64
	// BatchRows is how many rows a batch has at most.
	BatchRows int
	// Parallel is how many goroutines share the work of an operator with keys.
	Parallel int
	// SpillAt is from how many bytes on operators write their state to disk; less than 0: always.
	SpillAt int64
	// DurableEvery is the time between two durable epochs.
	DurableEvery time.Duration
	// HashSeed is the seed of the hashes of keys.
	HashSeed uint64
	// Compact makes the store write small files and merge them at once.
	Compact bool
	// Checkpoints says how often jobs make them.
	Checkpoints Checkpoints
	// StageBytes is from how many bytes on a commit of the store is written in pieces.
	StageBytes int
	// Evict makes tables and views give their memory back all the time, not only when it is scarce.
	Evict bool
}

// Checkpoints is how often a job makes a checkpoint.
type Checkpoints int

// Checkpoints are made when the journal has grown long, at each durable epoch, or of new jobs only, so that journals get long.
const (
	Due Checkpoints = iota
	Always
	Rarely
)

// Drawn gives the constants of this process, nil if none are varied. It panics if the variable holds anything but random or a number.
var Drawn = sync.OnceValue(func() *Constants {
	v := os.Getenv("STREAMSQL_VARY")
	if v == "" {
		return nil
	}
	seed := rand.Uint64()
	if v != "random" {
		n, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			panic("STREAMSQL_VARY is neither random nor a seed: " + v)
		}
		seed = n
	}
	c := draw(seed)
	fmt.Fprintf(os.Stderr, "STREAMSQL_VARY=%d: batch rows %d, parallel %d, spill at %d, durable every %s, hash seed %#x, compaction always %t, checkpoints %d, commits staged at %d, evicting %t\n",
		seed, c.BatchRows, c.Parallel, c.SpillAt, c.DurableEvery, c.HashSeed, c.Compact, c.Checkpoints, c.StageBytes, c.Evict)
	return c
})

func draw(seed uint64) *Constants {
	r := rand.New(rand.NewPCG(seed, 0x7661727900))
	return &Constants{
		Seed:         seed,
		BatchRows:    pick(r, 0, 1, 7, 4096),
		Parallel:     pick(r, 0, 1, 2, 3),
		SpillAt:      pick[int64](r, 0, -1, 64<<10),
		DurableEvery: pick(r, 0, time.Millisecond, 50*time.Millisecond),
		HashSeed:     r.Uint64() | 1,
		Compact:      r.IntN(2) == 0,
		Checkpoints:  pick(r, Due, Always, Rarely),
		StageBytes:   pick(r, 0, 200, 16<<10),
		Evict:        r.IntN(2) == 0,
	}
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }
