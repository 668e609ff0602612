package engine

import (
	"context"
	"time"

	"streamsql/catalog"
	"streamsql/connector"
	"streamsql/internal/vec"
)

// ingest feeds a TABLE from its connector: what the connector gives is committed like an INSERT.
type ingest struct {
	rel  *catalog.Relation
	stop context.CancelFunc
	done chan struct{}
}

// startIngest begins to feed a table. The caller holds e.write.
func (e *Engine) startIngest(rel *catalog.Relation) {
	ctx, cancel := context.WithCancel(context.Background())
	in := &ingest{rel: rel, stop: cancel, done: make(chan struct{})}
	e.ingests[rel.OID] = in
	go func() {
		defer close(in.done)
		err := in.run(ctx, e)
		if err != nil && ctx.Err() == nil {
			e.log.Error("table stopped reading from its connector", "table", rel.Name, "error", err)
		}
	}()
}

// stopIngest ends the feeding of a table, if there is any. The caller holds e.write: it does not wait for
// the goroutine, which may be waiting for that lock; what it still commits meets a dropped relation.
func (e *Engine) stopIngest(oid uint32) {
	if in := e.ingests[oid]; in != nil {
		in.stop()
		delete(e.ingests, oid)
	}
}

func (in *ingest) run(ctx context.Context, e *Engine) (err error) {
	defer recovered(e, "table "+in.rel.Name, &err)
	s, err := e.NewSession(SessionOptions{})
	if err != nil {
		return err
	}
	defer s.Close()
	name, _ := in.rel.Option("connector")
	put := newAside(e)
	defer put.close()
	bad, err := e.newBadRows(in.rel, put)
	if err != nil {
		return err
	}
	src, err := e.connectors[name].Open(ctx, e.connectorConfig(in.rel, s.vars.env, e.alloc, bad), nil)
	if err != nil {
		return err
	}
	defer src.Close()
	b := vec.NewBuilder(e.alloc, in.rel.Fields())
	defer b.Release()
	for ctx.Err() == nil {
		p, err := src.Poll(ctx, b, vec.MaxRows)
		if perr := put.commit(); err == nil {
			err = perr
		}
		if err != nil {
			return err
		}
		if b.Len() > 0 {
			if err := s.insertBatches(ctx, in.rel, []*vec.Batch{b.Finish()}); err != nil {
				return err
			}
		}
		switch p.Status {
		case connector.End:
			return nil
		case connector.Idle:
			d := time.Duration(p.Wait) * time.Microsecond
			if err := sleep(ctx, max(d, time.Millisecond)); err != nil {
				return nil
			}
		}
	}
	return nil
}
