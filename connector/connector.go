// Package connector is where rows come in and go out: the Source and Sink
// interfaces and the registry. One folder below holds each connector.
package connector

import (
	"context"
	"time"

	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// Config is what a source is opened with.
type Config struct {
	// Name is the relation's qualified name, for messages.
	Name string
	// Columns are the declared columns, in order; Project lists the ones that the query needs.
	// Batches hold exactly those, in the order of Project.
	Columns []vec.Field
	Project []int
	NotNull []bool // parallel to Columns: NULL there is a bad row
	Options map[string]string
	Env     types.Env
	Alloc   vec.Allocator
	// BadRow is called for each row that could not be decoded. If it returns an error the source stops
	// with it. nil: the first bad row is an error. Where it is set, which rows are bad must not depend on Project.
	BadRow func(r *BadRow) error
	// Replay says that what comes has been read before, and is read again after a restart: a source whose rows come at a
	// rate of its own gives them at once.
	Replay bool
}

// BadRow is a row that could not be decoded.
type BadRow struct {
	Raw       []byte // as it was read; valid during the call
	Partition int
	// Place says where it stood, for people ("orders.csv, line 3"), and Position counts it within its file or partition: a
	// line from 1, or an offset.
	Place    string
	Position int64
	Err      error
}

// Status says how a Poll ended.
type Status uint8

// The statuses of a poll.
const (
	More Status = iota // there may be more at once
	Idle               // nothing now; poll again in a millisecond or so, or when Wake fires
	End                // the input has ended (bounded)
)

// Polled is what a Poll returned besides rows. All rows of one poll are of one partition.
type Polled struct {
	Status    Status
	Partition int
	// Wait, with Idle, is how long nothing will come for sure (microseconds, 0 unknown).
	Wait int64
}

// Offset is a source's position, opaque to all but the source: the next Poll after opening at it gives the row after the last one polled.
type Offset []byte

// Source gives rows. It is used by one goroutine.
type Source interface {
	// Poll appends at most max rows to dst. It may read files, but does not wait for
	// rows that are not there yet. An error ends the source; it carries the place (file, line).
	Poll(ctx context.Context, dst *vec.Builder, max int) (Polled, error)
	// Partitions gives the number of partitions known now, at least 1. Each has its own watermark.
	Partitions() int
	// Offset gives the position after the last Poll.
	Offset() Offset
	Close() error
}

// Sink takes rows and commits them in two phases, so that whoever reads them has every row exactly once, whatever happens in between.
//
// The engine calls Write any number of times, then Prepare, then Commit, and begins again: nothing is written between a
// Prepare and its Commit. Epochs increase. Between the two calls the engine records durably that the epoch is prepared, together with the
// inputs that what was written comes from. That record is the decision:
//   - a crash before it: what was prepared is dropped by the next OpenSink (SinkConfig.Prepared is an earlier epoch), and the engine
//     computes and writes the same rows again;
//   - a crash after it: the next OpenSink (SinkConfig.Prepared is this epoch) must end with it committed, whether
//     the crash came before, within or after Commit.
//
// An engine without a data directory does not record: it calls Commit right after Prepare.
//
// A Sink is used by one goroutine. Its errors end the sink; after one only Abort or Close is called.
type Sink interface {
	// Write takes the rows of a batch, which is borrowed.
	Write(b *vec.Batch) error
	// Prepare makes everything written since the last Commit durable under epoch, but not visible: from its return on Commit must succeed
	// even in another process.
	Prepare(epoch uint64) error
	// Commit makes what was prepared under epoch visible. It is idempotent.
	Commit(epoch uint64) error
	// Abort drops what was written or prepared and not committed: it is known that the epoch has not been recorded.
	Abort() error
	// Close frees the sink. It drops what was written since the last Prepare; what is prepared and not committed stays, since
	// only the engine's record says what is to become of it.
	Close() error
}

// Paced is a Sink that says itself when what was written is to be committed. Other sinks are committed about every second.
type Paced interface {
	// CommitIn gives how long to wait with the next commit; the first row of it has waited for waited. 0 or less: now.
	CommitIn(waited time.Duration) time.Duration
}

// Takes is the set of changelogs that a sink can take.
type Takes uint8

// The kinds of changelogs.
const (
	// TakesAppends: rows that are never taken back, without more columns than the query has.
	TakesAppends Takes = 1 << iota
	// TakesUpserts: rows by key, with _op (upsert, delete) and _ts first.
	TakesUpserts
	// TakesChanges: inserts, deletes and updates, with _op (+I, -U, +U, -D) and _ts first.
	TakesChanges
)

// SinkConfig is what a sink is opened with.
type SinkConfig struct {
	// Name is the sink's qualified name, for messages.
	Name    string
	Columns []vec.Field
	Options map[string]string
	Env     types.Env
	Alloc   vec.Allocator
	// ID is the same whenever this sink is opened, and of no other sink that there ever was in the engine's data directory.
	ID string
	// Prepared is the last epoch that is recorded as prepared; 0: none, the sink is new. See Sink.
	Prepared uint64
}

// SinkConnector is a Connector that can also write.
type SinkConnector interface {
	Connector
	// SinkOptions lists what may stand in the WITH of CREATE SINK.
	SinkOptions() []OptionSpec
	// CheckSink validates the options and says what a sink with them takes.
	CheckSink(options map[string]string) (Takes, error)
	// OpenSink begins a sink or goes on with one, from SinkConfig.Prepared: it commits that epoch if it is not committed yet, and drops
	// what was written or prepared after it. If it finds that what was recorded as prepared is gone it says so, rather than leave a gap.
	OpenSink(cfg *SinkConfig) (Sink, error)
}

// OptionSpec documents one WITH option of a connector.
type OptionSpec struct {
	Name, Doc string
	Required  bool
	Default   string
}

// Connector makes sources, and if it is a SinkConnector sinks, from WITH options. Its methods may be called from any goroutine.
type Connector interface {
	Name() string
	// Options lists what may stand in WITH, besides connector itself; anything else is refused (22023) with the nearest name.
	Options() []OptionSpec
	// Check validates the options when the relation is created, without needing the input to exist
	// unless columns must be inferred: values, combinations, names of columns.
	Check(cfg *Config) error
	// Infer gives the columns where none were declared.
	Infer(ctx context.Context, options map[string]string) ([]vec.Field, error)
	// Bounded reports whether the input ends.
	Bounded(options map[string]string) bool
	// Open starts reading at an offset (nil: from the beginning).
	Open(ctx context.Context, cfg *Config, at Offset) (Source, error)
}

// Reach is what of the world outside of the engine a connector touches. It decides who may use it.
type Reach uint8

// What connectors touch.
const (
	ReachAnything Reach = iota
	ReachFiles          // of the server
	ReachNothing        // what it gives is made up
)

// ReachOf gives what a connector touches: what its method Reach says, anything without one.
func ReachOf(c Connector) Reach {
	if r, ok := c.(interface{ Reach() Reach }); ok {
		return r.Reach()
	}
	return ReachAnything
}
