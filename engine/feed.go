package engine

import (
	"context"
	"errors"
	"slices"
	"time"

	"streamsql/catalog"
	"streamsql/connector"
	"streamsql/exec"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
	"streamsql/state"
)

// feed gives the rows of one Scan to a graph: the stored content of a relation, the
// changes of a relation, or what a connector reads.
type feed struct {
	e      *Engine
	graph  *exec.Graph
	input  int
	scan   *planner.Scan
	schema *vec.Schema
	rows   *state.Scanner   // stored content not pushed yet
	src    connector.Source // nil: not read from a connector
	// open opens src at a position (nil: the beginning); again: for rows that have been read before.
	open    func(ctx context.Context, at connector.Offset, again bool) error
	changes bool // goes on with the relation's changes
	builder *vec.Builder
	parts   int
	ended   bool
	dry     bool // had nothing when it was asked in the pollAll under way

	// A continuous query that scans a source more than once reads it once: leader is the feed that reads for this
	// one, followers are the feeds that this one reads for. columns lists, of what is read, what the scan wants; nil is all.
	leader    *feed
	followers []*feed
	columns   []int

	// log, of a job that survives restarts, notes what is read; before is the position at the first poll of the step.
	log    *journal
	before connector.Offset
	polled bool
	digest uint64 // of the rows pushed last
	views  []vec.Vec

	// patient says that a source that fails may come back; away is not nil while it is.
	patient bool
	away    *outage
}

// newFeeds opens the feeds of all inputs of a graph. In a snapshot query changes
// is false: feeds end after the stored content. snaps holds that content. at, where not nil, says where the inputs
// stood when the state was written that the graph will go on with: connectors are opened there to be read again, see
// replay, and content that is stored has been taken in.
func (e *Engine) newFeeds(ctx context.Context, g *exec.Graph, snaps map[uint32]*state.TableSnapshot, viewer *catalog.Viewer, env types.Env, changes bool, alloc vec.Allocator, put *aside, at []feedPosition) (fs []*feed, err error) {
	if at != nil && len(at) != len(g.Inputs()) {
		return nil, errOldState
	}
	defer func() {
		if err != nil {
			closeFeeds(fs)
		}
	}()
	var opening []func() error
	for i, in := range g.Inputs() {
		f := &feed{e: e, graph: g, input: i, scan: in.Scan, schema: in.Scan.Schema()}
		f.builder = vec.NewBuilder(alloc, f.schema)
		fs = append(fs, f)
		rel := in.Scan.Rel
		switch {
		case rel.Kind == catalog.System:
			if err := f.fillSystem(viewer); err != nil {
				return fs, err
			}
		case rel.Kind == catalog.SequenceKind:
			if err := f.fillSequence(); err != nil {
				return fs, err
			}
		case rel.Kind == catalog.Source:
			name, ok := rel.Option("connector")
			if !ok { // a push source: its rows come as changes
				f.changes = changes
				break
			}
			c := e.connectors[name]
			if c == nil {
				return fs, pgerr.New(pgerr.InvalidParameterValue, "connector %q does not exist", name)
			}
			if changes && f.follow(fs[:i]) {
				break
			}
			opening = append(opening, func() error {
				bad, err := e.newBadRows(rel, put)
				if err != nil {
					return err
				}
				cfg := e.connectorConfig(rel, env, alloc, bad)
				cfg.Project = f.readColumns(alloc)
				f.open = func(ctx context.Context, at connector.Offset, again bool) (err error) {
					cfg := *cfg
					if cfg.Replay = again; again && cfg.BadRow != nil {
						cfg.BadRow = func(*connector.BadRow) error { return nil } // it has been told of
					}
					f.src, err = c.Open(ctx, &cfg, at)
					return err
				}
				if at != nil {
					return f.open(ctx, at[i].offset, true)
				}
				if err = f.open(ctx, nil, false); err == nil {
					f.setPartitions()
				}
				return err
			})
		default:
			snap := snaps[rel.OID]
			if snap == nil {
				if e.closed.Load() {
					return fs, pgerr.New(pgerr.AdminShutdown, "terminating connection due to administrator command")
				}
				return fs, pgerr.New(pgerr.UndefinedTable, "relation \"%s\" does not exist", rel.Name)
			}
			if at == nil {
				if fields := snap.Schema().Fields; len(fields) != len(rel.Columns) {
					return fs, pgerr.New(pgerr.SerializationFailure, "relation \"%s\" has been altered meanwhile", rel.Name).WithHint("Run the query again.")
				}
				f.rows = storedRows(g, i, snap)
			}
			f.changes = changes
		}
		f.parts = 1
		if at != nil {
			f.parts, f.ended = at[i].parts, at[i].ended
		}
		g.SetPartitions(i, f.parts)
	}
	for _, open := range opening { // by now it is known what is read for whom
		if err := open(); err != nil {
			return fs, err
		}
	}
	return fs, nil
}

// storedRows reads what an input wants of a relation.
func storedRows(g *exec.Graph, in int, snap *state.TableSnapshot) *state.Scanner {
	cols := g.Inputs()[in].Scan.Cols
	// Where nearly every row is looked up by its key, reading all is less.
	if ranges, ok := g.KeyRanges(in, snap.KeyColumns()); ok && int64(len(ranges)) <= max(snap.Len()/2, 16) {
		return snap.ScanRanges(ranges, cols)
	}
	return snap.Scan(cols)
}

// follow looks among the feeds before f for one that reads the same source, and if there is one leaves the reading to it.
func (f *feed) follow(before []*feed) bool {
	for _, l := range before {
		if l.scan.Rel.OID == f.scan.Rel.OID && l.leader == nil {
			f.leader = l
			l.followers = append(l.followers, f)
			return true
		}
	}
	return false
}

// readColumns gives the columns that f reads for itself and its followers, and tells each where its own are among them.
func (f *feed) readColumns(alloc vec.Allocator) []int {
	if f.followers == nil {
		return f.scan.Cols
	}
	all := append([]*feed{f}, f.followers...)
	var read []int
	for _, x := range all {
		read = append(read, x.scan.Cols...)
	}
	slices.Sort(read)
	read = slices.Compact(read)
	for _, x := range all {
		x.columns = make([]int, len(x.scan.Cols))
		for i, c := range x.scan.Cols {
			x.columns[i] = slices.Index(read, c)
		}
	}
	fields := f.scan.Rel.Fields().Fields
	schema := &vec.Schema{}
	for _, c := range read {
		schema.Fields = append(schema.Fields, fields[c])
	}
	f.builder.Release()
	f.builder = vec.NewBuilder(alloc, schema)
	return read
}

// connectorConfig gives what a connector needs to know of a relation, all columns projected.
func (e *Engine) connectorConfig(rel *catalog.Relation, env types.Env, alloc vec.Allocator, bad *badRows) *connector.Config {
	cfg := &connector.Config{
		Name: rel.Schema + "." + rel.Name, Options: optionMap(rel), Env: env, Alloc: alloc,
		Columns: rel.Fields().Fields,
	}
	if bad != nil {
		cfg.BadRow = bad.add
	}
	for i, c := range rel.Columns {
		cfg.NotNull = append(cfg.NotNull, c.NotNull)
		cfg.Project = append(cfg.Project, i)
	}
	return cfg
}

func (f *feed) setPartitions() {
	if n := f.src.Partitions(); n != f.parts {
		f.setPartitionCount(n)
	}
}

func (f *feed) setPartitionCount(n int) {
	f.parts = n
	f.graph.SetPartitions(f.input, n)
	for _, x := range f.followers {
		x.parts = n
		x.graph.SetPartitions(x.input, n)
	}
}

func (f *feed) fillSystem(viewer *catalog.Viewer) error {
	all := vec.NewBuilder(nil, f.scan.Rel.Fields())
	defer all.Release()
	if err := f.scan.Rel.Fill(viewer, all); err != nil {
		return err
	}
	b := all.Finish()
	defer b.Release()
	p := b.Project(f.schema, f.scan.Cols)
	defer p.Release()
	return f.pushPieces(p)
}

// fillSequence gives the one row that SELECT from a sequence shows.
func (f *feed) fillSequence() error {
	q := f.e.sequences.get(f.scan.Rel.OID)
	if q == nil {
		return nil
	}
	q.mu.Lock()
	row := []types.Datum{q.last, int64(max(q.ahead, 0)), q.called}
	q.mu.Unlock()
	all := vec.NewBuilder(nil, f.scan.Rel.Fields())
	defer all.Release()
	all.AppendDatums(row, vec.Insert)
	b := all.Finish()
	defer b.Release()
	p := b.Project(f.schema, f.scan.Cols)
	defer p.Release()
	return f.pushPieces(p)
}

// load says whether what is pushed is stored content that the query starts from, of which no row is late.
func (f *feed) load(on bool) {
	if f.changes && f.src == nil && f.leader == nil {
		f.graph.Load(f.input, on)
	}
}

// pushStored pushes the next piece of the stored content and reports whether there may be more.
func (f *feed) pushStored() (more bool, err error) {
	if f.rows == nil {
		return false, nil
	}
	if more, err = f.rows.Next(f.builder, f.e.batchRows); err != nil {
		return false, err
	}
	if !more {
		f.rows = nil
	}
	return more, f.flush(0)
}

func (f *feed) flush(partition int) error {
	if f.builder.Len() == 0 {
		return nil
	}
	b := f.builder.Finish()
	defer b.Release()
	if f.log != nil {
		f.views = b.Views(f.views)
		f.digest = b.Digest(f.views)
	}
	if f.followers == nil {
		return f.graph.Push(f.input, partition, b)
	}
	if err := f.pushColumns(partition, b); err != nil {
		return err
	}
	for _, x := range f.followers {
		if err := x.pushColumns(partition, b); err != nil {
			return err
		}
	}
	return nil
}

// pushColumns pushes f's columns of a batch that was read for several feeds.
func (f *feed) pushColumns(partition int, b *vec.Batch) error {
	p := b.Project(f.schema, f.columns)
	defer p.Release()
	return f.graph.Push(f.input, partition, p)
}

// pushChanges pushes changes of the relation, which hold all its columns.
func (f *feed) pushChanges(bs []*vec.Batch) error {
	for _, b := range bs {
		p := b.Project(f.schema, f.scan.Cols)
		err := f.pushPieces(p)
		p.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// pushPieces pushes a batch in pieces of at most the engine's batch size.
func (f *feed) pushPieces(b *vec.Batch) error {
	for from := 0; from < b.N; from += f.e.batchRows {
		piece := b.Slice(f.e.alloc, from, min(from+f.e.batchRows, b.N))
		err := f.graph.Push(f.input, 0, piece)
		piece.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// poll reads from the connector once and pushes what it gave.
func (f *feed) poll(ctx context.Context, max int) (connector.Polled, error) {
	var at connector.Offset
	if f.patient {
		at = f.src.Offset()
		if !f.polled {
			f.before, f.polled = at, true
		}
	}
	p, err := f.src.Poll(ctx, f.builder, max)
	f.setPartitions()
	if err != nil {
		if f.interrupted(err, at) {
			return connector.Polled{Status: connector.Idle, Wait: f.away.pause.Microseconds()}, nil
		}
		return p, err
	}
	f.away = nil
	rows := f.builder.Len()
	if err = f.flush(p.Partition); err != nil && !errors.Is(err, exec.ErrFinished) {
		return p, err
	}
	if f.log != nil {
		f.log.poll(journalPoll{input: f.input, partition: p.Partition, parts: f.parts, rows: rows, end: p.Status == connector.End, digest: f.digest})
	}
	if err == nil && p.Status == connector.End {
		err = f.end()
	}
	return p, err
}

// offset gives the position of the source: after the last step that the job has finished.
func (f *feed) offset(failed bool) connector.Offset {
	switch {
	case failed && f.polled:
		return f.before
	case f.away != nil:
		return f.away.at
	}
	return f.src.Offset()
}

// end tells the graph that this input has ended.
func (f *feed) end() error {
	f.ended = true
	for p := range f.parts {
		if err := f.graph.Advance(f.input, p, exec.Mark{W: vec.MaxTime}); err != nil {
			return err
		}
	}
	for _, x := range f.followers {
		if err := x.end(); err != nil {
			return err
		}
	}
	return nil
}

func (f *feed) close() {
	if f.src != nil {
		f.src.Close()
		f.src = nil
	}
	f.builder.Release()
}

func closeFeeds(fs []*feed) {
	for _, f := range fs {
		f.close()
	}
}

// pollAll reads from the connectors of all feeds until the deadline and
// reports whether rows were pushed, whether there may be more at once, and how long to wait if not.
// Of several streams with event time the one that is furthest behind is read, as long as it has rows: what has run ahead
// would have to be kept by joins and unions until the others catch up, without bound where one stream is denser than another.
// With out it stops as soon as there is output: rows that go on while they are in the
// processor's cache cost half of what rows that wait for others do.
func pollAll(ctx context.Context, fs []*feed, deadline time.Time, out *exec.Collector) (pushed, more bool, wait time.Duration, err error) {
	for _, f := range fs {
		f.dry = false
	}
	for {
		low := lowest(fs)
		again := false
		for _, f := range fs {
			if f.src == nil || f.ended || f.dry {
				continue
			}
			if w, ok := f.graph.Low(f.input); ok && w > low {
				again = true
				continue
			}
			if f.away != nil {
				away, err := f.back(ctx)
				if err != nil {
					return pushed, false, 0, err
				}
				if away > 0 {
					f.dry = true
					if wait == 0 || away < wait {
						wait = away
					}
					continue
				}
			}
			p, err := f.poll(ctx, f.e.batchRows)
			if err != nil {
				return pushed, false, 0, err
			}
			pushed = true
			switch p.Status {
			case connector.More:
				again = true
			case connector.Idle:
				f.dry = true
				w := time.Millisecond
				if p.Wait > 0 {
					w = time.Duration(p.Wait) * time.Microsecond
				}
				if wait == 0 || w < wait {
					wait = w
				}
			}
		}
		if !again {
			return pushed, false, wait, nil
		}
		if !time.Now().Before(deadline) || ctx.Err() != nil || out != nil && out.Rows() > 0 {
			return pushed, true, 0, nil
		}
	}
}

// lowest gives the event time of the stream that is furthest behind of those that may have rows at hand.
func lowest(fs []*feed) vec.Time {
	low := vec.MaxTime
	for _, f := range fs {
		if f.src == nil || f.ended || f.dry {
			continue
		}
		if w, ok := f.graph.Low(f.input); ok {
			low = min(low, w)
		}
	}
	return low
}

// endAll ends the feeds that neither have stored rows left nor go on; it reports whether every feed has ended.
func endIdle(fs []*feed) (all bool, err error) {
	all = true
	for _, f := range fs {
		if f.ended {
			continue
		}
		if f.src != nil || f.leader != nil || f.changes || f.rows != nil {
			all = false
			continue
		}
		if err := f.end(); err != nil {
			return false, err
		}
	}
	return all, nil
}
