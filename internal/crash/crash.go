// Package crash ends the process at named points, for the tests of recovery. A point is a step of a commit, a flush or
// a change of the catalog between which and the next a power cut must do no harm.
//
// STREAMSQL_CRASH=NAME[:N] kills the process, as SIGKILL does, when the point NAME is passed for the N-th time (default 1).
// Where the variable is not set a point costs one comparison.
package crash

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

// Points lists the names that At is called with.
var Points = []string{
	SinkBeforePrepare, SinkAfterFileSync, SinkAfterPrepare, SinkBeforeCommit, SinkMidCommit, SinkAfterCommit,
	DefineBefore, DefineFilled, DefineAfter, DropBefore, DropAfter, EpochCut, EpochDurable, CheckpointWritten, CommitStaged, CommitApplied,
	FlushBegun, FlushDone, CompactionBegun, CompactionDone, RecoveryBegun, RecoveredJob,
}

// The points of sinks: of Prepare of a file sink, and of its Commit; between them the position is recorded.
const (
	SinkBeforePrepare = "sink-before-prepare"
	SinkAfterFileSync = "sink-after-file-sync" // the files are synced, the manifest does not name them yet
	SinkAfterPrepare  = "sink-after-prepare"
	SinkBeforeCommit  = "sink-before-commit" // the position is recorded
	SinkMidCommit     = "sink-mid-commit"    // after the rename of one file
	SinkAfterCommit   = "sink-after-commit"
)

// The points of CREATE and DROP.
const (
	DefineBefore = "define-before" // before a change of the catalog is made durable
	DefineFilled = "define-filled" // a view or sink is filled, and not known yet
	DefineAfter  = "define-after"  // the change is durable, and nobody has been told
	DropBefore   = "drop-before"
	DropAfter    = "drop-after"
)

// The points of a durable epoch.
const (
	EpochCut     = "epoch-cut"     // before it is written
	EpochDurable = "epoch-durable" // it is on the disk, and nobody has been told
	// CheckpointWritten is passed when the state of a job is on the disk, and nothing names it yet.
	CheckpointWritten = "checkpoint-written"
	// CommitStaged and CommitApplied are of commits that are written in pieces: the mark that makes them count is on the disk, and a piece is in its place.
	CommitStaged  = "commit-staged"
	CommitApplied = "commit-applied"
)

// The points of the store's background work: a flush of its memory to a table, and a merge of tables. The first is passed before
// anything is written, the second when the new tables are in the manifest and the old ones are about to go.
const (
	FlushBegun      = "flush-begun"
	FlushDone       = "flush-done"
	CompactionBegun = "compaction-begun"
	CompactionDone  = "compaction-done"
)

// The points of a start over a data directory.
const (
	RecoveryBegun = "recovery-begun" // the store has been read, and what no epoch names is removed; no job is back
	RecoveredJob  = "recovered-job"  // a job is back, others may not be
)

var (
	point = name(os.Getenv("STREAMSQL_CRASH"))
	left  atomic.Int64
)

func name(v string) string {
	n, count, ok := strings.Cut(v, ":")
	left.Store(1)
	if k, err := strconv.ParseInt(count, 10, 64); ok && err == nil {
		left.Store(k)
	}
	if n != "" && !slices.Contains(Points, n) {
		panic("STREAMSQL_CRASH: there is no point " + strconv.Quote(n) + "; the points are " + strings.Join(Points, ", "))
	}
	return n
}

// At ends the process if name is the point that it is to end at.
func At(name string) {
	if point == "" {
		return
	}
	at(name)
}

func at(name string) {
	if name == point && left.Add(-1) == 0 {
		die()
	}
}

// die ends the process as SIGKILL does: nothing is flushed, no deferred function runs.
func die() {
	if p, err := os.FindProcess(os.Getpid()); err == nil {
		_ = p.Kill()
	}
	select {}
}
