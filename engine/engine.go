package engine

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"streamsql/catalog"
	"streamsql/connector"
	"streamsql/internal/mem"
	"streamsql/internal/vary"
	"streamsql/internal/vec"
	"streamsql/state"
)

// Options configure an engine.
type Options struct {
	// DataDir is where the catalog and the rows of tables are kept; "" keeps everything in memory.
	DataDir string
	// FS is the file system that DataDir is in; nil is the operating system's. Tests bring ones that crash and fail.
	FS state.FS
	// DurableEvery is how often changes are made durable that nobody waits for; 0 is a second.
	DurableEvery time.Duration
	Log          *slog.Logger
	// Alloc is where columns get their memory; nil is a pool of the engine's own.
	Alloc vec.Allocator
	// Clock gives processing time in microseconds since 1970 UTC; nil is the wall clock. Tests bring virtual time.
	Clock func() vec.Time
	// Parallel is how many goroutines share the work of an operator with keys; 0 and 1 are one. Results do not depend on it.
	Parallel int
	// Memory is how many bytes the engine may use: operators whose state does not fit write it to disk, queries that cannot
	// end with 53200. 0 is without limit. Whoever sets it should also set Go's own limit, debug.SetMemoryLimit.
	Memory int64
	// SpillAt, if not 0, makes operators write their state to disk whenever it is larger than so many bytes (less than 0: always), whatever
	// Memory says. Results do not depend on it, which tests check.
	SpillAt int64
	// HistoryBytes bounds the memory for the changes of recent epochs, which SUBSCRIBE .. AS OF can go back to; 0 is 64 MiB.
	HistoryBytes int64
	// Stepped, if not nil, is called after each step of the coordinator: how long the step took, and for how long what makes it durable
	// then held the next one up. It must not call the engine. Benchmarks bring it.
	Stepped func(step, held time.Duration)
	// BatchRows is how many rows a batch that enters a graph holds at most; 0 is vec.MaxRows. Results never depend
	// on it, which tests check by running with small batches.
	BatchRows int

	// returning is called before a job is brought back after a restart. Tests bring it.
	returning func(rel *catalog.Relation)
}

// vary sets what was left at its default to the constants of a test.
func (o *Options) vary(v *vary.Constants) {
	if v == nil {
		return
	}
	o.BatchRows = cmp.Or(o.BatchRows, v.BatchRows)
	o.Parallel = cmp.Or(o.Parallel, v.Parallel)
	o.DurableEvery = cmp.Or(o.DurableEvery, v.DurableEvery)
	if o.Memory == 0 {
		o.SpillAt = cmp.Or(o.SpillAt, v.SpillAt)
	}
}

// Engine is one database: its catalog, the content of its relations and the jobs
// that maintain views. It is safe for concurrent use.
type Engine struct {
	log     *slog.Logger
	alloc   vec.Allocator
	clock   func() vec.Time
	stepped func(step, held time.Duration)
	// batchRows bounds the batches that enter graphs.
	batchRows int
	parallel  int
	budget    *mem.Budget
	// statements asks for the room of what statements compute outside queries.
	statements *mem.Account
	spillDir   string

	connectors map[string]connector.Connector

	// cut guards what readers see: the catalog and the published snapshots of all
	// relations change together, once an epoch, so that a reader who holds
	// it sees one consistent cut.
	cut       sync.RWMutex
	cat       *catalog.Snapshot
	relations map[uint32]*relation
	epoch     uint64
	lastTick  vec.Time
	history   history
	// started is when the engine was started: what happened until then is not in history.
	started    vec.Time
	remembered remembered
	subs       map[*subscription]struct{}

	// write serialises changes of tables and the catalog: what is validated under it stays valid until it is enqueued.
	write   sync.Mutex
	nextOID uint32

	coord     *coordinator
	asides    *asideWriter
	sequences sequences
	// persist makes epochs durable; nil: everything is in memory.
	persist *persister
	evictor *evictor
	kept    *keptJobs // what persist keeps of jobs
	// resuming counts the jobs that are on their way back after a restart; changes of tables wait for them.
	resuming atomic.Int32

	sessions struct {
		sync.Mutex
		m       map[int32]*Session
		nextPID int32
	}
	writers     sync.WaitGroup // of sinks, also of dropped ones until they have ended
	held        sync.Map       // of heldKey to *heldRows: what waits for paused jobs
	recordSinks func()         // asks for a durable epoch, which records the positions of sinks; nil: nothing is durable
	rowErrors   rowErrorLog
	bad         badLog
	queries     runningQueries
	rules       atomic.Pointer[func() []map[string]any] // see SetRules
	filling     sync.Map                                // of *job: those whose views are being filled
	ingests     map[uint32]*ingest                      // under write
	fault       func(*job)                              // of tests: called at the beginning of each step of a job
	closed      atomic.Bool
	stop        context.CancelFunc
	stopping    <-chan struct{} // closed by stop
	running     sync.WaitGroup
}

// relation is the runtime side of a catalog relation that holds rows: a table or materialized view.
type relation struct {
	rel *catalog.Relation
	// table is the working state: of a table the newest rows, written under Engine.write;
	// of a materialized view written by the coordinator only.
	table   *state.Table
	indexes []*tableIndex // of a table: they go with table
	version uint64        // of a table: changes with every commit, under Engine.write
	// published is what readers see, under Engine.cut.
	published        *state.TableSnapshot
	publishedIndexes []indexContent
	born             vec.Time // when it was made, or the engine was opened
	rowErrors        atomic.Int64
}

// Open starts an engine.
func Open(o Options) (*Engine, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Alloc == nil {
		o.Alloc = vec.NewPool()
		if o.Memory > 0 { // what lies idle counts as well
			o.Alloc = vec.NewPoolKeeping(o.Memory / 16)
		}
	}
	o.vary(vary.Drawn())
	if o.BatchRows <= 0 || o.BatchRows > vec.MaxRows {
		o.BatchRows = vec.MaxRows
	}
	if o.HistoryBytes <= 0 {
		o.HistoryBytes = defaultHistory
		if o.Memory > 0 {
			o.HistoryBytes = min(o.HistoryBytes, o.Memory/16)
		}
	}
	if o.Clock == nil {
		o.Clock = func() vec.Time { return time.Now().UnixMicro() }
	}
	e := &Engine{
		log: o.Log, stepped: o.Stepped, alloc: o.Alloc, clock: o.Clock, batchRows: o.BatchRows, parallel: o.Parallel,
		budget: newBudget(&o), spillDir: spillDirectory(&o),
		connectors: map[string]connector.Connector{},
		cat:        catalog.NewSnapshot(catalog.SystemRelations()),
		relations:  map[uint32]*relation{},
		subs:       map[*subscription]struct{}{},
		nextOID:    catalog.FirstUserOID,
		ingests:    map[uint32]*ingest{},
	}
	e.statements = e.budget.Shared()
	for _, c := range builtinConnectors() {
		e.connectors[c.Name()] = c
	}
	e.history = history{limit: o.HistoryBytes, horizon: vec.MinTime}
	e.started = e.clock()
	e.sessions.m = map[int32]*Session{}
	e.sessions.nextPID = 1000
	if o.DataDir != "" {
		if err := e.recover(&o); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	e.stop, e.stopping = cancel, ctx.Done()
	e.coord = newCoordinator(e)
	e.asides = newAsideWriter(e)
	if e.persist != nil {
		go e.persist.run()
	}
	if e.persist != nil {
		e.evictor = newEvictor(e)
		e.running.Add(1)
		go func() {
			defer e.running.Done()
			e.evictor.run(ctx)
		}()
	}
	e.running.Add(3)
	go func() {
		defer e.running.Done()
		e.budget.Watch(ctx)
	}()
	go func() {
		defer e.running.Done()
		e.coord.run(ctx)
	}()
	go func() {
		defer e.running.Done()
		e.asides.run(ctx)
	}()
	if err := e.restart(ctx, o.returning); err != nil {
		e.Close()
		return nil, err
	}
	return e, nil
}

// Close ends all jobs and frees everything: sources are read no more, what was read and written goes through views and sinks, and sinks
// commit. Sessions must have been closed.
func (e *Engine) Close() error {
	if e.closed.Swap(true) {
		return nil
	}
	e.write.Lock()
	ingests := slices.Collect(maps.Values(e.ingests))
	clear(e.ingests)
	e.write.Unlock()
	for _, in := range ingests {
		in.stop()
	}
	for _, in := range ingests {
		<-in.done
	}
	e.coord.drain()
	e.closeSinks()
	e.stop()
	e.running.Wait()
	if e.persist != nil {
		e.persist.close()
	}
	e.coord.close()
	e.cut.Lock()
	defer e.cut.Unlock()
	for s := range e.subs {
		s.close()
	}
	e.history.close()
	e.relations = map[uint32]*relation{}
	if e.persist != nil {
		e.persist.blobs.Wait()
		return e.persist.store.Close()
	}
	return nil
}

// addRelation makes a relation known from now on. The caller holds e.cut.
func (e *Engine) addRelation(r *relation) {
	e.begins(r)
	e.relations[r.rel.OID] = r
}

// begins notes that what a relation contained before now is not its past any more: it is new, or has other columns. The caller holds e.cut.
func (e *Engine) begins(r *relation) {
	e.lastTick = max(e.clock(), e.lastTick+1)
	r.born = e.lastTick
	e.history.forget(r.rel.OID)
}

// Catalog gives the catalog as it is now.
func (e *Engine) Catalog() *catalog.Snapshot {
	e.cut.RLock()
	defer e.cut.RUnlock()
	return e.cat
}

// Alloc gives the engine's allocator.
func (e *Engine) Alloc() vec.Allocator { return e.alloc }

// newOIDs takes n consecutive OIDs. The caller holds e.write.
func (e *Engine) newOIDs(n uint32) uint32 {
	oid := e.nextOID
	e.nextOID += n
	return oid
}

// snapshots gives the published content of relations at one epoch.
func (e *Engine) snapshots(oids []uint32) (map[uint32]*state.TableSnapshot, uint64) {
	e.cut.RLock()
	defer e.cut.RUnlock()
	return e.snapshotsLocked(oids), e.epoch
}

func (e *Engine) snapshotsLocked(oids []uint32) map[uint32]*state.TableSnapshot {
	out := make(map[uint32]*state.TableSnapshot, len(oids))
	for _, oid := range oids {
		if r := e.relations[oid]; r != nil {
			out[oid] = r.published
		}
	}
	return out
}

// optionMap gives the WITH options of a relation by name.
func optionMap(r *catalog.Relation) map[string]string {
	m := make(map[string]string, len(r.Options))
	for _, o := range r.Options {
		m[o.Name] = o.Value
	}
	return m
}

// liveSessions gives the sessions that are open.
func (e *Engine) liveSessions() []*Session {
	e.sessions.Lock()
	defer e.sessions.Unlock()
	out := make([]*Session, 0, len(e.sessions.m))
	for s := range maps.Values(e.sessions.m) {
		out = append(out, s)
	}
	return out
}
