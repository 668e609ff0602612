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
	at   connector.Offset // where it begins; nil: at the beginning
	stop context.CancelFunc
	done chan struct{}
}

// startIngest begins to feed a table from a position of its connector. The caller holds e.write.
func (e *Engine) startIngest(rel *catalog.Relation, at connector.Offset) {
	ctx, cancel := context.WithCancel(context.Background())
	in := &ingest{rel: rel, at: at, stop: cancel, done: make(chan struct{})}
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
	put := newAside(e, in.rel.Owner)
	defer put.close()
	bad, err := e.newBadRows(in.rel, put)
	if err != nil {
		return err
	}
	src, err := e.connectors[name].Open(ctx, e.connectorConfig(in.rel, s.vars.env, e.alloc, bad), in.at)
	if err != nil {
		return err
	}
	defer src.Close()
	b := vec.NewBuilder(e.alloc, in.rel.Fields())
	defer b.Release()
	for ctx.Err() == nil {
		p, err := src.Poll(ctx, b, vec.MaxRows)
		// The rows, those put aside and the position are in one transaction, so that after a restart none is there twice or not at all.
		rows := put.take()
		if err == nil && b.Len() > 0 {
			rows = append(rows, asideRows{in.rel, b.Finish()})
		}
		if len(rows) > 0 {
			x := &tx{light: true}
			if err == nil {
				x.offset, x.offsetOf = append(connector.Offset{}, src.Offset()...), in.rel.OID
			}
			if ierr := e.insertRows(x, rows, false); err == nil {
				err = ierr
			}
		}
		if err != nil {
			return err
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
