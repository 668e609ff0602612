package engine

import (
	"strings"
	"sync"

	"streamsql/catalog"
	"streamsql/connector"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/planner"
)

// badColumns are those of a table for rows that could not be decoded. Several relations may share one.
var badColumns = []vec.Field{
	{Name: "relation", Type: types.Text}, {Name: "partition", Type: types.Int4}, {Name: "place", Type: types.Text}, {Name: "position", Type: types.Int8},
	{Name: "raw", Type: types.Bytea}, {Name: "sqlstate", Type: types.Text}, {Name: "error", Type: types.Text}, {Name: "at", Type: types.Timestamptz},
}

// badRows is what becomes of the rows of one relation that cannot be decoded, for one reader of it.
type badRows struct {
	e    *Engine
	rel  *catalog.Relation
	into *asideTable // nil: they are only counted
}

// badState is what is known of the rows of a relation that could not be decoded.
type badState struct {
	policy   string
	into     uint32
	rows     int64
	at       vec.Time
	place    string
	code     string
	lastText string
}

// badLog counts the rows that could not be decoded, by relation, since the engine was opened; sys.bad_data shows it.
type badLog struct {
	mu sync.Mutex
	by map[uint32]*badState
}

// newBadRows gives what the option bad_data of a relation says; nil where the first bad row is an error.
func (e *Engine) newBadRows(rel *catalog.Relation, put *aside) (*badRows, error) {
	v, _ := rel.Option("bad_data")
	b := &badRows{e: e, rel: rel}
	switch name := planner.AsideTable(rel, "bad_data"); {
	case name != nil:
		var err error
		if b.into, err = put.open(name[0], name[len(name)-1], badColumns, "rows of "+rel.Name+" that could not be decoded"); err != nil {
			return nil, err
		}
	case !strings.EqualFold(v, "drop"):
		return nil, nil
	}
	e.bad.note(b, func(*badState) {})
	return b, nil
}

// note changes what is known of the bad rows of a relation.
func (l *badLog) note(b *badRows, f func(*badState)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.by == nil {
		l.by = map[uint32]*badState{}
	}
	s := l.by[b.rel.OID]
	if s == nil {
		s = &badState{policy: "drop"}
		l.by[b.rel.OID] = s
	}
	if b.into != nil {
		s.policy, s.into = "table", b.into.rel.OID
	}
	f(s)
}

// forget drops what is known of a relation that is no more.
func (l *badLog) forget(oid uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.by, oid)
}

// add is connector.Config.BadRow.
func (b *badRows) add(r *connector.BadRow) error {
	pe := pgerr.From(r.Err)
	now := b.e.clock()
	b.e.bad.note(b, func(s *badState) {
		s.rows++
		s.at, s.place, s.code, s.lastText = now, r.Place, pe.Code, pe.Message
	})
	if b.into == nil {
		b.e.log.Info("row dropped", "relation", b.rel.Schema+"."+b.rel.Name, "where", r.Place, "err", r.Err)
		return nil
	}
	b.into.add(func(i int, dst *vec.Vec) {
		switch i {
		case 0:
			dst.AppendStr(b.rel.Name)
		case 1:
			dst.AppendInt32(int32(r.Partition))
		case 2:
			dst.AppendStr(r.Place)
		case 3:
			dst.AppendInt64(r.Position)
		case 4:
			dst.AppendDatum(append([]byte(nil), r.Raw...))
		case 5:
			dst.AppendStr(pe.Code)
		case 6:
			dst.AppendStr(pe.Message)
		case 7:
			dst.AppendInt64(now)
		}
	})
	return nil
}
